"""A kata's title and hints, read from its README.md and hints.md."""

import re

from grader import catalogue
from grader.catalogue import Kata


def title(kata: Kata) -> str:
    """The first heading of the lesson without its number: "Multi-head attention". Without a lesson the module's name."""
    lesson = kata.folder / "README.md"
    if not lesson.is_file():
        return kata.module
    return lesson.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ").rpartition(" · ")[2]


def sections(kata: Kata) -> dict[str, list[str]]:
    """Exercise → its hints in order, from `## exercise` and the numbered items below it."""
    text = (kata.folder / "hints.md").read_text(encoding="utf-8")
    found = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        items = re.split(r"^\d\. ", body, flags=re.MULTILINE)[1:]
        found[name.strip()] = [" ".join(item.split()) for item in items]
    return found


def hint(kata: Kata, exercise: str | None, level: int) -> str:
    """The hint of that level (from 1). Without an exercise, the kata's first.

    Raises:
        LookupError: the kata has no such exercise.
    """
    names = [e.name for e in catalogue.exercises(kata)]
    wanted = exercise or names[0]
    if wanted not in names:
        raise LookupError(f"{kata.name} has no exercise '{wanted}': it has {', '.join(names)}")
    more = f"\nMore: kata hint {kata.number} {wanted}" if level < 3 else ""
    return f"{wanted}, hint {level} of 3: {sections(kata)[wanted][level - 1]}{more}"
