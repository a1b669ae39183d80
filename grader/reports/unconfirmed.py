"""Tells a teacher which points only the first lock gives, what each lock saw, and how
to settle them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from textwrap import indent

from grader.reports import csv_cells, words
from grader.results import DONE, ClassReport, ExerciseResult

SHOWN = 3  # exercises of a student with what each lock saw
LINES = 12  # of a message, and of a file of overrides
COLUMNS = ("id", "kata::exercise", "points", "reason")  # of a file of overrides


def lines(report: ClassReport) -> Iterator[str]:
    """For a terminal: the students, what each lock saw, and what settles the points; no
    line if all are settled.
    """
    found = report.to_settle
    if not found:
        return
    points = words.counted(sum(map(len, found.values())), "point")
    yield (
        f"unconfirmed: {points} of {words.counted(len(found), 'student')}, which only "
        "the first lock gives"
    )
    for student, exercises in found.items():
        yield student
        for kata, exercise in exercises[:SHOWN]:
            yield f"  {kata.kata} · {exercise.name}"
            yield f"    first lock   {first_lock(exercise)}"
            yield f"    second lock  {second_lock(exercise)}"
            yield from indent(_cut(message(exercise)), " " * 6).splitlines()
        if rest := exercises[SHOWN:]:
            names = ", ".join(exercise.name for _, exercise in rest)
            yield (
                f"  and {words.counted(len(rest), 'more exercise')}, which --report "
                f"html=FILE shows: {names}"
            )
    yield (
        "These students have no grade until every such point is settled. Look at the "
        "code, write a line for each"
    )
    yield (
        "point into a CSV file (points 1 or 0, and your reason), and run the same "
        "command with --overrides FILE:"
    )
    yield from indent(_file(report), "  ").splitlines()
    yield ""


def first_lock(exercise: ExerciseResult) -> str:
    """ "5 of 5 specs passed"."""
    return (
        f"{exercise.first_lock} of {words.counted(exercise.first_lock, 'spec')} passed"
    )


def second_lock(exercise: ExerciseResult) -> str:
    """ "counts from zero: failed", "counts from zero: failed, and 2 more"."""
    failed = [spec for spec in exercise.ideas if spec.status not in DONE]
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    return f"{failed[0].title}: failed{more}"


def message(exercise: ExerciseResult) -> str:
    """What the first spec said that failed in the second lock, without the line that
    they all begin with.
    """
    failure = exercise.first_failure
    return replace(failure.failure, head="").text if failure and failure.failure else ""


def _cut(text: str) -> str:
    """The first lines of a message."""
    told = text.splitlines()
    return "\n".join(told if len(told) <= LINES else [*told[:LINES], "…"])


def decisions(
    report: ClassReport, student: str, places: Iterable[str], why: str
) -> list[str]:
    """The lines of a file of overrides that give these exercises or katas all points,
    and those that give none.
    """
    said = {1: "looked at by hand: right", 0: f"looked at by hand: {why}"}
    who, places = _id(report, student), list(places)
    return [
        _lines([who, place, points, reason] for place in places)
        for points, reason in said.items()
    ]


def _file(report: ClassReport) -> str:
    """The first lines of the file of overrides that is needed, without
    the decisions.
    """
    open_points = [
        (student, *one) for student, found in report.to_settle.items() for one in found
    ]
    rows = [
        [_id(report, student), f"{kata.kata}::{one.name}", "", ""]
        for student, kata, one in open_points[:LINES]
    ]
    return _lines([COLUMNS, *rows]) + ("\n…" if len(open_points) > LINES else "")


def _id(report: ClassReport, student: str) -> str:
    return report.roster[student].id if student in report.roster else student


def _lines(rows: Iterable[Iterable[str | int]]) -> str:
    return csv_cells.render(rows).rstrip("\n")
