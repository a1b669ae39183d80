"""Renders the results of a class: as JSON (schema kata-class/3), and as CSV with one
row per student.
"""

import json

from grader.reports import csv_cells, words
from grader.reports.json_report import as_dict
from grader.results import ClassReport, Identity, Report, number, plain

WHO_AND_WHEN = ("id", "email", "handed_in", "penalty", "lateness")
COLUMNS = ("student", "points", "max_points", "stars", "score", "max_score")


def render_json(report: ClassReport) -> str:
    """One report per student, in the form of the JSON report."""
    students = [
        {"student": student, "report": as_dict(one)}
        for student, one in report.students.items()
    ]
    data = {
        "schema": "kata-class/3",
        "started": report.started,
        "seconds": round(report.seconds, 3),
        "complete": report.complete,
    }
    return (
        json.dumps({**data, "students": students}, indent=2, ensure_ascii=False) + "\n"
    )


def render_csv(report: ClassReport) -> str:
    """The sums, one column per kata with its score, and one with what became of it:
    "works", "not handed in", ….

    An empty cell means not graded, or unconfirmed. `state` says which, and `reason`
    says why; it also says why a file cannot be run. `penalty` is what lateness costs of
    the kata that loses most, in percent; `lateness` explains each. Every row of an
    incomplete run says so in the column `run`.
    """
    katas = list(
        dict.fromkeys(
            kata.kata for one in report.students.values() for kata in one.katas
        )
    )
    run = "complete" if report.complete else "incomplete"
    states = [f"{kata} state" for kata in katas]
    last_columns = ("reason", "sealed", "overrides", *WHO_AND_WHEN)
    rows: list[list[str | float]] = [
        [*COLUMNS, *katas, "state", "run", *states, *last_columns],
    ]
    for student, one in report.students.items():
        scores = {
            kata.kata: plain(kata.total.score) for kata in one.katas if kata.total
        }
        sums: list[str | float] = [""] * 5
        if one.total:
            sums = [
                one.total.points,
                one.max_points,
                one.total.stars,
                plain(one.total.score),
                plain(one.max_score),
            ]
        state = {kata.kata: kata.state for kata in one.katas}
        became = (state.get(name, "not graded") for name in katas)
        cells = [scores.get(name, "") for name in katas]
        last = [
            _reason(one),
            words.seals(one),
            "; ".join(words.overrides(one.katas)),
            *_who_and_when(report, student),
        ]
        rows.append([student, *sums, *cells, _graded(one), run, *became, *last])
    return csv_cells.render(rows)


def _graded(report: Report) -> str:
    if not report.is_whole:
        return "not graded"
    if report.to_settle:
        return "unconfirmed"
    return "excused" if report.excused else "graded"


def _who_and_when(report: ClassReport, student: str) -> list[str]:
    """The id and email in the roster, the newest time of what counts, what lateness
    costs at most, and why.
    """
    one, who = (
        report.students[student],
        report.roster.get(student, Identity("", "", "")),
    )
    penalty = max((kata.penalty for kata in one.katas if kata.timing), default=None)
    cost = "" if penalty is None else number(100 * penalty)
    return [who.id, who.email, words.newest(one), cost, "; ".join(words.lateness(one))]


def _reason(report: Report) -> str:
    """One line on why a student has no score, or a file cannot be run; empty where
    there is nothing to say.
    """
    if not report.is_whole:
        gaps = (words.not_graded(kata) for kata in report.katas if kata.gap)
        return next(gaps, "")
    names = [f"{kata.kata}::{exercise.name}" for kata, exercise in report.to_settle]
    return (
        f"only the first lock confirms {', '.join(names)}"
        if names
        else words.of_files(report)
    )
