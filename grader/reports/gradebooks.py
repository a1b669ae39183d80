"""Renders the scores of a class as the CSV files that course platforms import: Canvas's
gradebook and Moodle's grades.

A student whose score is not decided has no row, so that the import leaves an earlier
grade alone.
"""

from grader.reports import csv_cells, words
from grader.results import ClassReport, Identity, Report, plain

CANVAS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def render_canvas(report: ClassReport) -> str:
    """One column per kata, under a row with the points possible; or, named by the
    report, one with the total.

    Canvas finds a student by its own ID, the SIS user ID, the login ID, then by the
    name. A roster from Canvas holds them all. The id of another roster may be either
    SIS ID. What a student is excused from is EX, as Canvas writes it.
    """
    known, total = _known(report), report.canvas_column
    most: dict[str, float] = {}
    for one in known.values():
        for column, score in (
            [(total, one.max_score)]
            if total
            else [(k.kata, k.max_score) for k in one.katas]
        ):
            most[column] = max(score, most.get(column, 0.0))
    possible = [plain(points, 2) for points in most.values()]
    rows: list[list[str | float]] = [
        [*CANVAS, *most],
        ["    Points Possible", *[""] * 4, *possible],
    ]
    for student, one in known.items():
        scores: dict[str, str | float] = {
            k.kata: plain(k.total.score, 2) if k.total else "EX" for k in one.katas
        }
        # out of the same points for everybody: the rest counts for what is excused, too
        if total:
            scores[total] = "EX"
        if total and one.total:
            share = one.total.score / one.max_score if one.max_score else 0.0
            scores[total] = plain(share * most[total], 2)
        who = report.roster.get(student)
        ids = who.canvas or ("", who.id, who.id, "") if who else ("", "", student, "")
        columns = (who.name or who.id if who else student, *ids)
        rows.append([*columns, *(scores[column] for column in most)])
    return csv_cells.render(rows)


def render_moodle(report: ClassReport) -> str:
    """The score and a line of feedback: what keeps a file from being run, the sums,
    overrides, and lateness.

    In Moodle, map `identifier` to the ID number or user name, or else `email`.
    """
    rows: list[list[str | float]] = [["identifier", "email", "grade", "feedback"]]
    for student, one in _known(report).items():
        if one.total is None:
            continue
        who = report.roster.get(student, Identity(student, "", ""))
        said = [
            words.of_files(one),
            words.totals(one),
            *words.overrides(one.katas),
            *words.lateness(one),
        ]
        feedback = "; ".join(filter(None, said))
        rows.append([who.id, who.email, plain(one.total.score, 2), feedback])
    return csv_cells.render(rows)


def _known(report: ClassReport) -> dict[str, Report]:
    """The students whose score is decided, or who are excused. A platform refuses whom
    it does not know.
    """
    known = report.roster or report.students
    return {
        student: one
        for student, one in report.students.items()
        if student in known and (one.excused or one.total)
    }
