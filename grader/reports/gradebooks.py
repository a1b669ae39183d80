"""Renders the scores of a class as the CSV files that course platforms import: Canvas's gradebook and Moodle's grades.

A student whose score is not decided has no row, so that the import leaves an earlier grade alone.
"""

import csv
import io
from collections.abc import Iterable

from grader.reports import words
from grader.reports.csv_report import as_text
from grader.results import ClassReport, Identity, Report, plain

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def render_canvas(report: ClassReport) -> str:
    """One column per kata, under a row with the points possible.

    Canvas finds a student by its own ID, the SIS user ID, the login ID, then by the name. A roster from Canvas holds
    them all. The id of another roster may be either SIS ID.
    """
    graded = _graded(report)
    most = {kata.kata: plain(kata.max_score, 2) for one in graded.values() for kata in one.katas}
    rows: list[list[str | float]] = [[*CANVAS, *most], ["    Points Possible", *[""] * 4, *most.values()]]
    for student, one in graded.items():
        scores = {kata.kata: plain(kata.score, 2) for kata in one.katas}
        who = report.roster.get(student)
        ids = who.canvas or ("", who.id, who.id, "") if who else ("", "", student, "")
        columns = (who.name or who.id if who else student, *ids)
        rows.append([*map(as_text, columns), *(scores[kata] for kata in most)])
    return _csv(rows)


def render_moodle(report: ClassReport) -> str:
    """The score and a line of feedback, with what a teacher has decided.

    In Moodle, map `identifier` to the ID number or user name, or else `email`.
    """
    rows: list[list[str | float]] = [["identifier", "email", "grade", "feedback"]]
    for student, one in _graded(report).items():
        who = report.roster.get(student, Identity(student, "", ""))
        feedback = "; ".join([words.totals(one), *words.overrides(one.katas)])
        rows.append([as_text(who.id), as_text(who.email), plain(one.score, 2), feedback])
    return _csv(rows)


def _graded(report: ClassReport) -> dict[str, Report]:
    known = report.roster or report.students  # a platform refuses a file with somebody whom it does not know
    return {student: one for student, one in report.students.items() if student in known and not one.pending}


def _csv(rows: Iterable[Iterable[str | float]]) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(rows)
    return file.getvalue()
