"""The `class` command: grades a class with a progress bar, and prints what came
of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from grader.cli.app import INTERRUPTED, app, bar, complete_kata, with_options
from grader.cli.grade import Asked, assigned, say_gaps
from grader.errors import KataError
from grader.failure import PYTHON
from grader.isolation import untouched
from grader.reports import words
from grader.teaching import (
    class_run,
    class_words,
    dask_tasks,
    report_files,
    result_lines,
)
from grader.teaching.class_options import ClassOptions
from grader.teaching.class_run import Attributed, Booked, Collected, Reported
from grader.teaching.report_files import CLASS_FORMATS

AGAIN = "  (interrupted: run the same command again to continue)"

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR", help="the class: one folder, .zip or .ipynb file per student"
    ),
]
Katas = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KATA]…",
        help=(
            "16, papers/13, multi_head, 16::split_heads for one exercise; default: all"
        ),
        autocompletion=complete_kata,
    ),
]
Reports = Annotated[
    list[str] | None,
    typer.Option(metavar="FORMAT=FILE", help=f"also write {', '.join(CLASS_FORMATS)}"),
]
Results = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="one line of JSON per student and kata, written as each is graded",
    ),
]
Feedback = Annotated[
    Path | None, typer.Option(metavar="DIR", help="one HTML page per student")
]
Roster = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "CSV with id, name and email, or a platform's own; due and extension for "
            "late penalties"
        ),
    ),
]
UnownedAreNobody = Annotated[
    bool,
    typer.Option(
        "--unowned-are-nobody",
        help=(
            "with --roster: whose submission is missing gets 0, although some "
            "submissions are nobody's"
        ),
    ),
]
OverridesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "CSV of points that you decide: id, kata::exercise, points (0 or 1), reason"
        ),
    ),
]
AccommodationsFile = Annotated[
    Path | None,
    typer.Option(
        "--accommodations",
        metavar="FILE",
        help=(
            "CSV of what you allow: id, kata, due or extension or excused or "
            "waive_late, reason"
        ),
    ),
]
CanvasColumn = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help=(
            'with --report canvas=FILE: the total, in this column, such as "HW1 '
            '(999)"; otherwise a column per kata'
        ),
        show_default=False,
    ),
]
Intake = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="CSV of every file that counts or was ignored, and why"
    ),
]
Dask = Annotated[
    bool, typer.Option("--dask", help="grade on the cluster at DASK_SCHEDULER_ADDRESS")
]
Students = Annotated[
    list[str] | None, typer.Option(hidden=True, help="grade this student; repeatable")
]


@dataclass(frozen=True)
class Request(Asked):
    """The parameters of `kata class`."""

    folder: Folder
    kata: Katas = None
    report: Reports = None
    results: Results = None
    feedback: Feedback = None
    roster: Roster = None
    unowned_are_nobody: UnownedAreNobody = False
    overrides: OverridesFile = None
    accommodations: AccommodationsFile = None
    canvas_column: CanvasColumn = ""
    intake: Intake = None
    dask: Dask = False
    student: Students = None


@app.command("class")
@with_options(Request)
def class_(request: Request) -> None:
    """Grade a class, with a page per student and files for gradebooks.

    Exit code 0: nothing is left. 2: something is not graded, not recognised, nobody's
    or unconfirmed.
    """
    if request.unowned_are_nobody and not request.roster:
        raise KataError(
            "--unowned-are-nobody is about submissions of nobody in a roster: add "
            "--roster FILE"
        )
    if request.canvas_column and not any(
        one.startswith("canvas=") for one in request.report or []
    ):
        raise KataError(
            "--canvas-column names the column of --report canvas=FILE: add that"
        )
    assignment = assigned(request, request.kata or [], of_a_class=True)
    if not assignment.katas:
        return
    asked = ClassOptions(
        folder=request.folder,
        assignment=assignment,
        roster_file=request.roster,
        overrides_file=request.overrides,
        accommodations_file=request.accommodations,
        rules_file=request.rules_file,
        seen_file=request.results,
        only=request.student,
        unowned_are_nobody=request.unowned_are_nobody,
        engine=dask_tasks.on_dask if request.dask else None,
        reports=report_files.parse_all(request.report, CLASS_FORMATS),
        results=request.results,
        pages=request.feedback,
        intake=request.intake,
        explain=request.explain,
        canvas_column=request.canvas_column,
    )
    if not request.dask:
        say_gaps(assignment.katas)
    grade_class_folder(asked)


def grade_class_folder(asked: ClassOptions) -> None:
    """Grade every submission in the folder. After Ctrl-C, report what is finished; the
    next call continues.

    Raises:
        KataError: the folder cannot be graded, an output cannot be written, or a
            cluster lost some results.
    """
    reported = class_run.report(graded(asked))
    for line in class_words.of_students(reported):
        print(line)
    unwritten = class_run.write(reported)
    everybody = words.counted(len(reported.whole.students), "student")
    again = AGAIN if reported.booked.interrupted else ""
    print(f"{everybody} · {reported.whole.seconds:.1f} s · {PYTHON}{again}")
    end(reported, unwritten)


def graded(asked: ClassOptions) -> Booked:
    """Take in the class, say what was found, and grade it."""
    collected = class_run.collect(asked)
    if collected.unused:
        print(
            f"{words.counted(collected.unused, 'override')} not used: this grading "
            "leaves the exercise out"
        )
    _make_folder(asked.pages)
    with result_lines.opened(
        asked.results, collected.ids, collected.allowed, at_once=bool(asked.only)
    ) as lines:
        under_way = class_run.grade(_attributed(collected))
        with bar("grading", "results", left=True) as counting:
            booked = class_run.book(under_way, lines, counting.track)
        for line in untouched.lines(booked.changed):
            print(line)
        if booked.interrupted and lines.unfinished:
            print(lines.unfinished)
    return booked


def end(reported: Reported, unwritten: list[str]) -> None:
    """End with the exit code of a grading that was interrupted, or of one that is
    not whole.

    Args:
        unwritten: why pages could not be written.
    """
    booked = reported.booked
    if booked.interrupted:
        raise typer.Exit(INTERRUPTED)
    if booked.book.ungraded or booked.attributed.collected.waits:
        print("", *class_words.urgent(booked.attributed), sep="\n")
    if unparsed := class_words.unparsed(reported):
        print("", *unparsed, sep="\n")
    if problems := class_words.problems(reported, unwritten):
        raise KataError("; ".join(problems))


def _attributed(collected: Collected) -> Attributed:
    """Read the submissions, and say what was found in them."""
    try:
        with bar("reading", "submissions", left=True) as counting:
            attributed = class_run.attribute(collected, counting.track)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if collected.asked.intake:
        report_files.write(collected.asked.intake, attributed.intake_file)
    for line in class_words.found(attributed):
        print(line)
    return attributed


def _make_folder(pages: Path | None) -> None:
    """Make the folder for pages."""
    try:
        if pages:
            pages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
