"""Read a kata's hints.md: numbered items per exercise, each of which may end with a
part on the edge cases.

Which of them a learner has taken is noted in `.kata/hints.json`.
"""

import json
import re
from pathlib import Path

from grader.course.catalogue import Kata
from grader.errors import NotPossible

STAR = "For the star: "
TAKEN = Path(".kata", "hints.json")


def of(kata: Kata, exercise: str) -> list[str]:
    """The hints for an exercise, in the order to give them: the idea's, and last what
    helps with the edge cases.

    Raises:
        NotPossible: there are none.
    """
    items = [item.partition(STAR) for item in sections(kata).get(exercise, [])]
    star = " ".join(edges for _, _, edges in items if edges)
    found = [idea.strip() for idea, _, _ in items if idea] + (
        [STAR + star] if star else []
    )
    if not found:
        raise NotPossible(f"katas/{kata.name}/hints.md has no hints for {exercise}")
    return found


def levels(noted: str | bytes) -> dict[tuple[str, str], int]:
    """The highest level taken, per kata's name and exercise, as a file says that may
    be damaged.
    """
    try:
        found = json.loads(noted)
    except (ValueError, RecursionError):
        return {}
    of_names = (
        [(tuple(name.split(" ")), level) for name, level in found.items()]
        if isinstance(found, dict)
        else []
    )
    return {
        (name[0], name[1]): level
        for name, level in of_names
        if len(name) == 2 and isinstance(level, int)
    }


def sections(kata: Kata) -> dict[str, list[str]]:
    """The items per exercise, in order: hints.md has a section `## exercise` per
    exercise with numbered items.
    """
    text = (kata.folder / "hints.md").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        items = re.split(r"^\d\. ", body, flags=re.MULTILINE)[1:]
        found[name.strip()] = [" ".join(item.split()) for item in items]
    return found
