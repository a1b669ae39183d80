"""Renders a report as CSV for a spreadsheet, with one row per exercise."""

import csv
import io
import unicodedata

from grader.reports import words
from grader.results import ExerciseResult, KataResult, Report, plain

COLUMNS = (
    "kata",
    "exercise",
    "part",
    "points",
    "max_points",
    "star",
    "score",
    "max_score",
    "specs_passed",
    "specs",
    "edges_open",
    "edges",
    "seconds",
    "first_failure",
    "state",
    "run",
    "hidden_passed",
    "hidden",
    "sealed",
    "kata_state",
)

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a formula begins


def render(report: Report) -> str:
    """A header and one row per exercise. `specs` are those of the point, `edges` those of the star; `hidden` of both.

    An exercise that is not decided has empty cells for point, star and score. Every row of an incomplete run says so.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for kata in report.katas:
        for exercise in kata.exercises:
            hidden = [sum(spec.status == "passed" for spec in exercise.hidden), len(exercise.hidden)]
            run = "complete" if report.complete else "incomplete"
            writer.writerow([*_row(kata, exercise), run, *hidden, words.seal(exercise), kata.state])
    return file.getvalue()


def as_text(cell: str) -> str:
    """The cell, quoted if a spreadsheet would take it for a formula. Some read a wide ＝ as = and skip spaces."""
    first = unicodedata.normalize("NFKC", cell).lstrip(" ")[:1]
    return f"'{cell}" if first in FORMULA else cell


def _row(kata: KataResult, exercise: ExerciseResult) -> list[str | int | float]:
    failure = exercise.first_failure
    return [
        kata.kata,
        exercise.name,
        "stretch" if exercise.stretch else "core",
        "" if exercise.pending else exercise.points,
        1,
        "" if exercise.pending else exercise.stars,
        "" if exercise.pending else plain(exercise.score),
        plain(exercise.worth),
        sum(spec.status == "passed" for spec in exercise.ideas),
        len(exercise.ideas),
        len(exercise.open_edges),
        len(exercise.specs) - len(exercise.ideas),
        round(sum(spec.seconds for spec in exercise.specs), 3),
        as_text(("hidden: " if failure.hidden else "") + failure.message.partition("\n")[0]) if failure else "",
        "not graded" if exercise.not_graded else "unconfirmed" if exercise.unconfirmed else "graded",
    ]
