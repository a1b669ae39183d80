"""Compares a class with an earlier grading of it, which a file of result
lines keeps.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from grader.errors import KataError
from grader.reports import words
from grader.results import (
    Change,
    ExerciseResult,
    KataResult,
    Override,
    kata_result,
    number,
    timing_of,
    title,
)
from grader.teaching import accommodations
from grader.teaching.accommodations import Accommodation


@dataclass(frozen=True)
class Earlier:
    """A kata's earlier result, and what its exercises scored by the rules of that time;
    None if not decided.

    `id` is the student's, `decided` are the overrides of that time, `allowed` is what
    was allowed for the kata, `penalty` is what lateness cost, and `line` is all that
    the file said.
    """

    result: KataResult
    scores: dict[str, float | None]
    decided: dict[str, Override]
    id: str = ""
    penalty: float = 0.0
    line: str = ""
    allowed: Accommodation | None = None


EarlierResults = Mapping[tuple[str, str], Earlier]  # by student and kata


def read(path: Path) -> dict[tuple[str, str], Earlier]:
    """The results in a file that `kata class --results` wrote.

    Raises:
        KataError: the file cannot be read, or a line holds no result.
    """
    give = "give the file of kata class --results"
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line]
    except OSError as error:
        raise KataError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KataError(f"{path}: is not UTF-8 text; {give}") from None
    if not lines:
        raise KataError(f"{path}: holds no results; {give}")
    found: dict[tuple[str, str], Earlier] = {}
    for row, line in enumerate(lines, start=1):
        try:
            data = json.loads(line)
            scores = {
                exercise["name"]: exercise["score"] for exercise in data["exercises"]
            }
            own = {
                e["name"]: e["override"] for e in data["exercises"] if e.get("override")
            }
            decided = {
                name: Override(one["points"], one["reason"])
                for name, one in own.items()
            }
            who, timing = str(data.get("id") or data["student"]), timing_of(data)
            penalty = timing.penalty / 100 if timing else 0.0
            allowed = (
                accommodations.of_cells(data["allowed"])
                if data.get("allowed")
                else None
            )
            result = kata_result(data)
            found[data["student"], data["kata"]] = Earlier(
                result, scores, decided, who, penalty, line, allowed
            )
        except (ValueError, TypeError, KeyError, AttributeError):
            raise KataError(f"{path}:{row}: holds no result; {give}") from None
    return found


def of_students(
    earlier: EarlierResults, ids: Mapping[str, str]
) -> dict[tuple[str, str], Earlier]:
    """The earlier results under the names that the students have today, found by
    their ids.

    Args:
        ids: today's name in reports → the id.
    """
    names = {id_: name for name, id_ in ids.items()}
    return {
        (names.get(one.id, student), kata): one
        for (student, kata), one in earlier.items()
    }


def had_a_roster(earlier: EarlierResults) -> bool:
    """Tell if a roster gave somebody a name, or more time."""
    timings = ((one.result.timing, one.allowed) for one in earlier.values())
    is_longer = any(
        timing and timing.extension and not allowed for timing, allowed in timings
    )
    return is_longer or any(one.id != student for (student, _), one in earlier.items())


def kept_lines(
    earlier: EarlierResults, now: Mapping[str, Mapping[str, KataResult]]
) -> list[str]:
    """The lines of earlier results that have no new one, so that a file of new lines
    loses nothing.

    Args:
        now: the new results by student and kata.
    """
    return [
        one.line
        for (student, kata), one in earlier.items()
        if kata not in now.get(student, {})
    ]


def better(old: KataResult, new: KataResult) -> KataResult:
    """The new result, where each exercise keeps the better of its two results."""
    before = {exercise.name: exercise for exercise in old.exercises if not exercise.gap}
    if not new.exercises:
        return old
    kept = [_best(before.get(exercise.name), exercise) for exercise in new.exercises]
    return replace(new, exercises=tuple(kept))


def changes(student: str, earlier: Earlier | None, now: KataResult) -> list[Change]:
    """The exercises of a kata whose score differs from the earlier one, and why."""
    before = (
        {exercise.name: exercise for exercise in earlier.result.exercises}
        if earlier
        else {}
    )
    scores = earlier.scores if earlier else {}
    found = []
    for exercise in now.exercises:
        old, new = (
            scores.get(exercise.name),
            None if exercise.score is None else round(exercise.score, 6),
        )
        if old != new:
            why = _why(
                before.get(exercise.name), exercise, earlier.penalty if earlier else 0.0
            )
            found.append(Change(student, now.kata, exercise.name, old, new, why))
    return found


def _best(old: ExerciseResult | None, new: ExerciseResult) -> ExerciseResult:
    return old if old and (new.gap or old.score_so_far > new.score_so_far) else new


def _why(old: ExerciseResult | None, new: ExerciseResult, penalty: float) -> str:
    """The teacher's decision, "unconfirmed …", or the first spec with another verdict:
    "on a view: failed → passed".

    Args:
        penalty: the part of the score that lateness cost.
    """
    if new.override:
        return words.override(new.override)
    if new.to_settle:
        return words.UNCONFIRMED
    if old is None:
        return "was not there"
    before = {spec.name: spec.status for spec in old.specs}
    for spec in new.specs:
        was = before.pop(spec.name, "new")
        if was != spec.status:
            return f"{spec.title}: {was} → {spec.status}"
    if before:
        return f"{title(next(iter(before)))}: no longer there"
    if round(penalty - new.penalty, 6):
        return (
            f"lateness costs {number(100 * new.penalty)} %, not "
            f"{number(100 * penalty)} %"
        )
    return "its worth has changed"
