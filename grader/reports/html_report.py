"""Renders one student's report as a single HTML page: no scripts, no external files."""

import io
from dataclasses import dataclass

from grader.failure import NOT_HANDED_IN, Failure
from grader.reports import page, words
from grader.reports.students_view import StudentReport
from grader.results import ExerciseResult, Undecided

# lines shown before and after that one, and characters of each
AROUND, LONGEST_LINE = 2, 300


@dataclass(frozen=True)
class Row:
    """An exercise: one line, and what unfolds below it."""

    exercise: ExerciseResult
    text: str = ""  # the first failure, or the open edges; empty: nothing unfolds
    failure: Failure | None = None
    code: str = ""  # where the failure is
    is_failure: bool = False  # it is unfolded from the start


def render(report: StudentReport) -> str:
    """One student's page: the totals, the files that cannot be run, and what is open in
    each exercise.
    """
    broken = [
        (kata, why)
        for kata in report.katas
        if (why := kata.why_no_code) and kata.state != NOT_HANDED_IN
    ]
    return page.render(
        "student.html",
        heading=words.totals(report),
        report=report,
        problems=[
            (kata, why, _code_at(kata.kata, why, report.files)) for kata, why in broken
        ],
        katas=[
            (kata, [_row(kata.kata, one, report.files) for one in kata.exercises])
            for kata in report.katas
        ],
    )


def _row(kata: str, exercise: ExerciseResult, files: dict[str, str]) -> Row:
    failures = (
        [exercise.first_failure]
        if exercise.first_failure
        else list(exercise.open_edges)
    )
    if not failures or exercise.not_written or exercise.file_state:
        return Row(exercise)
    text = (
        words.details(exercise)
        if isinstance(exercise.outcome, Undecided)
        else "\n\n".join(map(words.failed, failures))
    )
    found = failures[0].failure
    code = _code_at(kata, found, files) if found else ""
    return Row(
        exercise, text, found, code, bool(exercise.gap or exercise.first_failure)
    )


def _code_at(kata: str, found: Failure, files: dict[str, str]) -> str:
    """The line of the submitted file that a failure is at, between the lines around it;
    empty if it is at none.
    """
    at, lines = (
        found.at,
        io.StringIO(files.get(f"{kata}/{found.file}", ""), newline=None).readlines(),
    )
    if not 0 < at <= len(lines):
        return ""
    shown = range(max(1, at - AROUND), min(len(lines), at + AROUND) + 1)
    rows = [
        f"{'→' if n == at else ' '} {n:>4}  {_printable(lines[n - 1])}".rstrip()
        for n in shown
    ]
    return "\n".join(rows)


def _printable(line: str) -> str:
    shown = line.rstrip("\n")[:LONGEST_LINE].expandtabs()
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
