"""A teacher's overrides: reads the CSV file that decides exercises of students, and
puts the decisions into results.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from grader.course import catalogue
from grader.errors import BrokenOverrides, UnknownExercise, UnknownKata
from grader.reports.unconfirmed import COLUMNS
from grader.results import KataResult, Override
from grader.teaching import roster, tables
from grader.teaching.roster import Person

# (student, kata) → exercise → the decision
Overrides = Mapping[tuple[str, str], Mapping[str, Override]]
ID, EXERCISE, POINTS, REASON = COLUMNS


def read(path: Path, students: Iterable[str], people: list[Person]) -> Overrides:
    """The overrides in a file: a header with id, kata::exercise, points and reason, and
    a line per exercise or kata.

    Args:
        students: everybody's name in reports.
        people: the roster, whose ids count. Who is not in it, and everybody without a
            roster, has their name as id.
    Raises:
        BrokenOverrides: the file cannot be read, or a line of it cannot be followed.
            The message says which and why.
    """
    by_id = roster.named_by_id(students, people)
    found: dict[tuple[str, str], dict[str, Override]] = {}
    lines: dict[tuple[str, str, str], int] = {}
    for line, cells, rest in tables.rows(path, COLUMNS, BrokenOverrides):
        try:
            tables.refuse(rest)
            student = by_id(cells[ID])
            kata, exercises = _exercises(cells[EXERCISE])
            decided = Override(_points(cells[POINTS]), _reason(cells[REASON]))
            for exercise in exercises:
                if (first := lines.setdefault((student, kata, exercise), line)) != line:
                    raise ValueError(
                        f"{kata}::{exercise} of {cells[ID]} is in line {first} "
                        "already: keep one of them"
                    )
        except (UnknownKata, UnknownExercise, ValueError) as error:
            raise BrokenOverrides(f"{path}:{line}: {error}") from None
        found.setdefault((student, kata), {}).update(dict.fromkeys(exercises, decided))
    return found


def merged(earlier: Overrides, later: Overrides) -> Overrides:
    """Both. Where they decide the same exercise, the later one counts."""
    return {
        place: {**earlier.get(place, {}), **later.get(place, {})}
        for place in [*earlier, *later]
    }


def applied(result: KataResult, decided: Mapping[str, Override]) -> KataResult:
    """The kata's result, in which these decisions count instead of what the specs of
    their exercises said.
    """
    exercises = tuple(
        replace(one, override=decided.get(one.name)) for one in result.exercises
    )
    return replace(result, exercises=exercises)


def _exercises(written: str) -> tuple[str, list[str]]:
    """The full name of the kata, and the exercise; all of them where it names none."""
    query, colons, name = written.partition("::")
    kata = catalogue.find(query.strip())
    return kata.name, [
        one.name
        for one in ([kata.exercise(name.strip())] if colons else kata.exercises)
    ]


def _points(written: str) -> int:
    if written not in ("0", "1"):
        raise ValueError(
            f"points are '{written}': write 1 for the point, or 0 for none"
        )
    return int(written)


def _reason(written: str) -> str:
    if not written:
        raise ValueError("the reason is empty: say why, since every report shows it")
    return written
