"""The report as CSV, one row an exercise, for a spreadsheet."""

import csv
import io

from grader.results import Report

COLUMNS = ("kata", "exercise", "part", "points", "max_points", "specs_passed", "specs", "seconds", "first_failure")


def render(report: Report) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for kata in report.katas:
        for exercise in kata.exercises:
            passed = sum(spec.status == "passed" for spec in exercise.specs)
            failure = exercise.first_failure
            seconds = round(sum(spec.seconds for spec in exercise.specs), 3)
            part = "stretch" if exercise.stretch else "core"
            first = as_text(failure.message.partition("\n")[0]) if failure else ""
            writer.writerow([kata.kata, exercise.name, part, exercise.points, exercise.max_points, passed, len(exercise.specs), seconds, first])
    return file.getvalue()


def as_text(cell: str) -> str:
    """The cell so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell
