"""Read a kata's hints.md."""

import re

from grader.course.catalogue import Kata


def sections(kata: Kata) -> dict[str, list[str]]:
    """The hints per exercise, in order: hints.md has a section `## exercise` per exercise with numbered items."""
    text = (kata.folder / "hints.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        items = re.split(r"^\d\. ", body, flags=re.MULTILINE)[1:]
        found[name.strip()] = [" ".join(item.split()) for item in items]
    return found
