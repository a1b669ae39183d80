"""Draws the diagrams of lessons, each from a source text beside it: NAME.diagram
becomes NAME.svg.
"""

import hashlib
import re
from pathlib import Path

from grader.course.catalogue import Kata
from grader.errors import KataError
from workshop import drawing, svg

# of an alt text, which tells the structure to those who do not see it
FEWEST_WORDS, FEWEST_SENTENCES = 30, 2


def problems(kata: Kata) -> list[str]:
    """The faults of a kata's diagrams: of a picture, or of the way in which the lesson
    shows it.
    """
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    found = []
    for source in sources(kata):
        picture = source.with_suffix(".svg")
        if not picture.is_file():
            found.append(f"{picture.name}: missing: make diagrams")
        elif is_stale(source):
            found.append(f"{picture.name}: not what {source.name} says: make diagrams")
        found += _shown(page, picture.name)
    drawn = {source.with_suffix(".svg") for source in sources(kata)}
    without = sorted(set(kata.folder.glob("*.svg")) - drawn)
    return found + [
        f"{picture.name}: has no source {picture.stem}.diagram" for picture in without
    ]


def sources(kata: Kata) -> list[Path]:
    return sorted(kata.folder.glob("*.diagram"))


def is_stale(source: Path) -> bool:
    """Tell if the picture is missing, was changed by hand, or was drawn from another
    text or by another program.
    """
    picture = source.with_suffix(".svg")
    if not picture.is_file():
        return True
    body, _, mark = picture.read_text(encoding="utf-8").rpartition("<!--")
    return f"<!--{mark}" != _mark(source, body)


def draw(source: Path) -> None:
    """Draw the picture of this source, with a mark at its end by which `is_stale`
    recognises it.

    Raises:
        ValueError: a statement is wrong, or something overlaps.
    """
    body = drawing.draw(source.read_text(encoding="utf-8"))
    source.with_suffix(".svg").write_text(body + _mark(source, body), encoding="utf-8")


def _mark(source: Path, body: str) -> str:
    """A comment with a hash of the source and of the program that draws it, and one of
    the picture.
    """
    texts = [
        Path(file).read_text(encoding="utf-8")
        for file in (drawing.__file__, svg.__file__, source)
    ]
    origin = _hash("".join(texts))
    return (
        f"<!-- drawn from {source.name} by make diagrams: source {origin}, picture "
        f"{_hash(body)} -->\n"
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _shown(page: str, picture: str) -> list[str]:
    """The faults in how the page shows a picture."""
    shown = re.search(rf"!\[([^\]]*)\]\({re.escape(picture)}\)", page)
    if shown is None:
        return [f"README.md: does not show {picture}"]
    words, sentences = len(shown[1].split()), len(re.findall(r"[.:](?=\s|$)", shown[1]))
    if words < FEWEST_WORDS or sentences < FEWEST_SENTENCES:
        return [
            f"README.md: the alt text of {picture} has {words} words in {sentences} "
            "sentences, and should tell the "
            f"structure in at least {FEWEST_WORDS} and {FEWEST_SENTENCES}"
        ]
    return []


class WrongSource(KataError):
    """The source of a diagram cannot be drawn."""


def update(katas: list[Kata], *, check: bool) -> bool:
    """Draw the diagrams of these katas that are stale, or only say which are. Returns
    whether there were some.

    Raises:
        WrongSource: a statement is wrong, or something overlaps.
    """
    stale = [
        (kata, source) for kata in katas for source in sources(kata) if is_stale(source)
    ]
    for kata, source in stale:
        shown = source.with_suffix(".svg").relative_to(kata.root)
        if check:
            print(f"stale, run make diagrams: {shown}")
            continue
        try:
            draw(source)
        except ValueError as error:
            raise WrongSource(f"{source.relative_to(kata.root)}: {error}") from None
        print(f"drew {shown}")
    return bool(stale)
