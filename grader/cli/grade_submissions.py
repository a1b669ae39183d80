"""`kata grade --submissions`: grades a class with a progress bar, and prints what came of it."""

from pathlib import Path

import typer

from grader.cli.app import INTERRUPTED, bar
from grader.errors import KataError
from grader.failure import PYTHON
from grader.isolation import untouched
from grader.reports import words
from grader.teaching import class_run, report_files, result_lines
from grader.teaching.class_run import Booked, Class, Outputs, Reported, TakenIn

AGAIN = "  (interrupted: run the same command again to continue)"


def grade_class_folder(class_: Class, outputs: Outputs) -> None:
    """Grade every submission in the folder. After Ctrl-C, report what is finished; the next call continues.

    Raises:
        KataError: the folder cannot be graded, an output cannot be written, or a cluster lost some results.
    """
    booked = graded(class_, outputs)
    reported = class_run.report(booked, outputs)
    for line in class_run.lines(reported, outputs):
        print(line)
    unwritten = class_run.write(reported.whole, outputs)
    everybody = words.counted(len(reported.whole.students), "student")
    print(f"{everybody} · {reported.whole.seconds:.1f} s · {PYTHON}{AGAIN if booked.interrupted else ''}")
    end(reported, unwritten)


def graded(class_: Class, outputs: Outputs) -> Booked:
    """Take in the class, say what was found, and grade it."""
    collected = class_run.collect(class_)
    if collected.unused:
        print(f"{words.counted(collected.unused, 'override')} not used: this grading leaves the exercise out")
    _make_folder(outputs.pages)
    with result_lines.opened(outputs.lines, collected.ids, collected.allowed, at_once=bool(class_.only)) as lines:
        taken = _taken_in(collected, outputs)
        with bar("grading", "results", left=True) as counting:
            booked = class_run.book(taken, lines, counting.track)
        for line in untouched.lines(booked.changed):
            print(line)
        if booked.interrupted and lines.unfinished:
            print(lines.unfinished)
    return booked


def end(reported: Reported, unwritten: list[str]) -> None:
    """End with the exit code of a grading that was interrupted, or of one that is not whole.

    Args:
        unwritten: why pages could not be written.
    """
    booked = reported.booked
    if booked.interrupted:
        raise typer.Exit(INTERRUPTED)
    if booked.book.lost or booked.taken.collected.waits:
        print("", *booked.taken.urgent, sep="\n")
    if problems := class_run.problems(reported, unwritten):
        raise KataError("; ".join(problems))


def _taken_in(collected: class_run.Collected, outputs: Outputs) -> TakenIn:
    """Read the submissions, and say what was found in them."""
    try:
        with bar("reading", "submissions", left=True) as counting:
            taken = class_run.take_in(collected, counting.track)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    if outputs.intake:
        report_files.write(outputs.intake, taken.table)
    for line in taken.lines:
        print(line)
    return taken


def _make_folder(pages: Path | None) -> None:
    """Make the folder for pages."""
    try:
        if pages:
            pages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
