"""The diagrams of lessons, each drawn from a source text beside it: NAME.diagram becomes NAME.svg.

`python -m grader.authoring.diagrams 16` draws those of one kata that have changed, without a number those of every kata,
and with --check none: it says which are stale.
"""

import hashlib
import re
import sys
from pathlib import Path

from grader.authoring import drawing, svg
from grader.course import catalogue
from grader.course.catalogue import Kata

FEWEST_WORDS, FEWEST_SENTENCES = 30, 2  # of an alt text, which tells the structure to those who do not see it


def problems(kata: Kata) -> list[str]:
    """What is wrong with the diagrams of a kata: with a picture, or with how the lesson shows it."""
    page = (kata.folder / "README.md").read_text(encoding="utf-8")
    found = []
    for source in sources(kata):
        picture = source.with_suffix(".svg")
        if not picture.is_file():
            found.append(f"{picture.name} is missing: make diagrams")
        elif is_stale(source):
            found.append(f"{picture.name} is not what {source.name} says: make diagrams")
        found += _shown(page, picture.name)
    drawn = {source.with_suffix(".svg") for source in sources(kata)}
    without = sorted(set(kata.folder.glob("*.svg")) - drawn)
    return found + [f"{picture.name} has no source {picture.stem}.diagram" for picture in without]


def sources(kata: Kata) -> list[Path]:
    return sorted(kata.folder.glob("*.diagram"))


def is_stale(source: Path) -> bool:
    """Whether the picture is missing, was changed by hand, or was drawn from another text or by another program."""
    picture = source.with_suffix(".svg")
    if not picture.is_file():
        return True
    body, _, mark = picture.read_text(encoding="utf-8").rpartition("<!--")
    return f"<!--{mark}" != _mark(source, body)


def draw(source: Path) -> None:
    """Draw the picture of this source, with a mark at its end by which `is_stale` recognises it.

    Raises:
        ValueError: a statement is wrong, or something overlaps.
    """
    body = drawing.draw(source.read_text(encoding="utf-8"))
    source.with_suffix(".svg").write_text(body + _mark(source, body), encoding="utf-8")


def _mark(source: Path, body: str) -> str:
    """A comment with a hash of the source and of the program that draws it, and one of the picture."""
    texts = [Path(file).read_text(encoding="utf-8") for file in (drawing.__file__, svg.__file__, source)]
    origin = _hash("".join(texts))
    return f"<!-- drawn from {source.name} by make diagrams: source {origin}, picture {_hash(body)} -->\n"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _shown(page: str, picture: str) -> list[str]:
    """What is wrong with how the page shows a picture."""
    shown = re.search(rf"!\[([^\]]*)\]\({re.escape(picture)}\)", page)
    if shown is None:
        return [f"README.md does not show {picture}"]
    words, sentences = len(shown[1].split()), len(re.findall(r"[.:](?=\s|$)", shown[1]))
    if words < FEWEST_WORDS or sentences < FEWEST_SENTENCES:
        return [
            f"README.md: the alt text of {picture} has {words} words in {sentences} sentences, and should tell the "
            f"structure in at least {FEWEST_WORDS} and {FEWEST_SENTENCES}"
        ]
    return []


def main(arguments: list[str]) -> None:
    check = "--check" in arguments
    katas = [catalogue.find(query) for query in arguments if query != "--check"] or catalogue.all_katas()
    stale = [source for kata in katas for source in sources(kata) if is_stale(source)]
    for source in stale:
        shown = source.with_suffix(".svg").relative_to(catalogue.ROOT)
        if check:
            print(f"stale, run make diagrams: {shown}")
            continue
        try:
            draw(source)
        except ValueError as error:
            raise SystemExit(f"{source.relative_to(catalogue.ROOT)}: {error}") from None
        print(f"drew {shown}")
    if check and stale:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
