"""What is due for a review: a fixed rule, and a small record in
`.kata/reviews.json`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from grader import files
from grader.course import kata_modules, stubs
from grader.course.catalogue import Kata
from grader.learner import progress, tasks
from grader.results import KataResult

# later katas whose core works: then a kata is due for the first, second and third time
AFTER = (2, 6, 20)
AFTER_GIVING_UP = 2  # more of them


@dataclass(frozen=True)
class Note:
    """What is remembered of a kata's reviews.

    Attributes:
        due: the number of later katas from which on it is due again; never, where there
            is none.
        times: how many reviews have ended, which decides the exercise of the next one.
    """

    due: int | None
    times: int = 0


class Due(NamedTuple):
    """An exercise to be reviewed, and how many later katas work."""

    kata: Kata
    exercise: str
    later: int


def due(
    path: Sequence[Kata], results: Mapping[Kata, KataResult | None]
) -> Iterator[Due]:
    """What is due, at most one exercise of a kata; first what is broken off."""
    done = [
        kata for kata in path if (result := results.get(kata)) and result.core_works
    ]
    notes = _notes(done[0].root) if done else {}
    found = []
    for place, kata in enumerate(done):
        note = notes.get(kata.name, Note(AFTER[0]))
        later = len(done) - place - 1
        works = [
            one.name
            for one in kata.exercises
            if not one.stretch and progress.is_working(results[kata], one.name)
        ]
        if works and note.due is not None and later >= note.due:
            # the last one uses most of the others
            found.append(Due(kata, works[-1 - note.times % len(works)], later))
    in_turn = sorted(
        found, key=lambda one: not (copies(one.kata.root) / one.kata.file).exists()
    )
    yield from (one for one in in_turn if blank(one.kata, one.exercise) is not None)


def blank(kata: Kata, exercise: str) -> str | None:
    """The learner's file with the exercise as in the stub; None if it has no definition
    there, or there is no stub.
    """
    return tasks.blanked(
        kata_modules.read_source(kata.code), exercise, stubs.stub_of(kata) or ""
    )


def copies(root: Path) -> Path:
    """The code folder of what is reviewed, laid out like katas/."""
    return root / ".kata" / "review"


def end(kata: Kata, next_due: int | None) -> None:
    """Note that a review has ended, and when the next one is due; remove the copy."""
    notes = _notes(kata.root)
    notes[kata.name] = Note(next_due, notes.get(kata.name, Note(AFTER[0])).times + 1)
    told = {name: [note.due, note.times] for name, note in notes.items()}
    files.write(kata.root / ".kata" / "reviews.json", json.dumps(told, indent=1))
    (copies(kata.root) / kata.file).unlink(missing_ok=True)


def _notes(root: Path) -> dict[str, Note]:
    """By kata's name. Empty if the file is missing or damaged."""
    try:
        told = json.loads((root / ".kata" / "reviews.json").read_text(encoding="utf-8"))
        return {
            name: Note(due if due is None else int(due), int(times))
            for name, (due, times) in told.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
