"""The `regrade` command: grades a class again after a spec or a rule has changed, and
shows whose score changes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.app import RulesFile, app, complete_kata, katas, with_options
from grader.cli.class_ import (
    AGAIN,
    AccommodationsFile,
    Feedback,
    OverridesFile,
    Reports,
    Results,
    Roster,
    UnownedAreNobody,
    end,
    graded,
)
from grader.cli.grade import Core, Jobs, Sealed, is_sealed
from grader.course import catalogue
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.protocol import RunOptions
from grader.reports import change_lines, unconfirmed, words
from grader.results import Change, ClassReport
from grader.teaching import class_run, regrading, report_files, rules
from grader.teaching.assignment import Assignment
from grader.teaching.class_options import ClassOptions
from grader.teaching.regrading import EarlierResults
from grader.teaching.report_files import CLASS_FORMATS

Katas = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KATA]…",
        help="16, papers/13, multi_head; default: the katas of the earlier results",
        autocompletion=complete_kata,
    ),
]
Against = Annotated[
    Path,
    typer.Option(
        metavar="FILE", help="the earlier results, as kata class --results wrote them"
    ),
]
ClassFolder = Annotated[
    Path,
    typer.Option("--submissions", metavar="DIR", help="the class, as for kata class"),
]
NeverLower = Annotated[
    bool, typer.Option("--never-lower", help="keep the better result of each exercise")
]


@dataclass(frozen=True)
class Request:
    """The parameters of `kata regrade`."""

    class_folder: ClassFolder
    against: Against
    kata: Katas = None
    never_lower: NeverLower = False
    roster: Roster = None
    unowned_are_nobody: UnownedAreNobody = False
    overrides: OverridesFile = None
    accommodations: AccommodationsFile = None
    report: Reports = None
    results: Results = None
    feedback: Feedback = None
    core: Core = False
    sealed: Sealed = None
    jobs: Jobs = 0
    rules_file: RulesFile = None


@app.command()
@with_options(Request)
def regrade(request: Request) -> None:
    """Grade a class again, and show every student whose score changes and why. Earlier
    overrides still count.
    """
    earlier = regrading.read(request.against)
    named = katas(request.kata or {name for _, name in earlier})
    chosen = (
        named
        if request.kata
        else [kata for kata in catalogue.all_katas() if kata in named]
    )
    catalogue.refuse_misplaced_specs()
    options = RunOptions(
        core=request.core, sealed=is_sealed(request.sealed, of_a_class=True)
    )
    course = rules.of_course(request.rules_file, ROOT)
    regrade_class_folder(
        ClassOptions(
            folder=request.class_folder,
            assignment=Assignment(chosen, options, course, request.jobs),
            roster_file=request.roster,
            overrides_file=request.overrides,
            accommodations_file=request.accommodations,
            rules_file=request.rules_file,
            unowned_are_nobody=request.unowned_are_nobody,
            earlier=earlier,
            never_lower=request.never_lower,
            reports=report_files.parse_all(request.report, CLASS_FORMATS),
            results=request.results,
            pages=request.feedback,
        )
    )


def regrade_class_folder(asked: ClassOptions) -> None:
    """Grade the class again, show whose score is not what it was, and write
    the reports.

    Raises:
        KataError: the folder cannot be graded, a report cannot be written, or something
            was not graded.
    """
    booked = graded(asked)
    reported = class_run.report(booked)
    whole, earlier = reported.whole, booked.attributed.collected.earlier
    if not whole.students.keys() & {student for student, _ in earlier}:
        advice = "give --roster as in that grading"
        raise KataError(
            f"none of the earlier results is of a student in {asked.folder}: {advice}"
        )
    found = _changes(whole, earlier)
    for line in [
        *unconfirmed.lines(whole),
        *change_lines.lines(found),
        *change_lines.by_exercise(found),
    ]:
        print(line)
    if gone := sorted({student for student, _ in earlier} - whole.students.keys()):
        first = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        print(f"{len(gone)} graded earlier and not in {asked.folder}: {first}")
    unwritten = class_run.write(reported)
    for line in _overrides(whole, earlier):
        print(line)
    granted = booked.attributed.collected.allowed
    kept = {
        (place[0], one.allowed)
        for place, one in earlier.items()
        if one.allowed and one.allowed is granted[place]
    }
    if kept:
        print(
            f"{words.counted(len(kept), 'accommodation')} of the earlier results "
            f"count{'s' * (len(kept) == 1)}"
        )
    state = AGAIN if booked.interrupted else ""
    everybody = words.counted(len(whole.students), "student")
    print(
        f"the scores of {len({one.student for one in found})} of {everybody} "
        f"change{state}"
    )
    end(reported, unwritten)


def _changes(whole: ClassReport, earlier: EarlierResults) -> list[Change]:
    """The exercises whose score is not what it was."""
    katas = [
        (s, kata)
        for s, report in whole.students.items()
        for kata in report.katas
        if not kata.gap
    ]
    return [
        one
        for s, kata in katas
        for one in regrading.changes(s, earlier.get((s, kata.kata)), kata)
    ]


def _overrides(whole: ClassReport, earlier: EarlierResults) -> Iterator[str]:
    """A line per override that counts. It says if the code is another one than that of
    the earlier grading.
    """
    for student, report in whole.students.items():
        for kata in report.katas:
            old = earlier.get((student, kata.kata))
            is_new = old is not None and old.result.code != kata.code
            for line in words.overrides([kata]):
                remark = (
                    " (the code has changed since the earlier grading)"
                    if is_new
                    else ""
                )
                yield f"{student}: {line}{remark}"
