"""`kata grade --submissions`: grades a class with a progress bar, and writes what the options ask for."""

import json
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

import typer

from grader.cli import report_files
from grader.cli.app import INTERRUPTED, bar
from grader.cli.report_files import ReportFile
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.execution.result_cache import ResultCache
from grader.reports import html_report, words
from grader.results import ClassReport, kata_as_dict
from grader.teaching import class_grading, cluster, submissions
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import StudentResult
from grader.teaching.gradebook import Gradebook
from grader.teaching.submissions import Submission


@dataclass(frozen=True)
class Outputs:
    """Where the results of a class go."""

    reports: list[ReportFile[ClassReport]]
    lines: Path | None = None  # one line of JSON per student and kata, written as each is graded
    pages: Path | None = None  # folder for one HTML page per student


def grade_class_folder(
    folder: Path, assignment: Assignment, outputs: Outputs, engine: cluster.Engine | None, only: list[str] | None
) -> None:
    """Grade every submission in the folder. After Ctrl-C, report what is finished; the next call continues.

    Args:
        engine: the cluster to grade on; None for this machine.
        only: the students to grade; None for all.
    Raises:
        KataError: the folder cannot be graded, an output cannot be written, or a cluster lost some results.
    """
    handed_in, stream = _opened(folder, outputs, only)
    book = Gradebook([submission.student for submission in handed_in], assignment)
    grading = _grading(handed_in, folder, assignment, engine)
    with stream:
        interrupted = _fill(book, grading, stream, total=len(handed_in) * len(assignment.katas))
    _write(book, outputs, interrupted)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if book.lost:
        raise KataError(
            f"{len(book.lost)} of {len(handed_in)} students could not be graded: run the same command again to retry"
        )


def _opened(folder: Path, outputs: Outputs, only: list[str] | None) -> tuple[list[Submission], FileIO]:
    """The submissions, and the open file for result lines. Also makes the folder for pages."""
    if not folder.is_dir():
        raise KataError(
            f"{folder}: no such folder; --submissions takes a folder with one folder, .zip or .ipynb file per student"
        )
    try:
        handed_in = [found for found in submissions.collect(folder) if not only or found.student in only]
        if outputs.pages:
            outputs.pages.mkdir(parents=True, exist_ok=True)
        return handed_in, open(outputs.lines or os.devnull, "wb", buffering=0)
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None


def _grading(
    handed_in: list[Submission], folder: Path, assignment: Assignment, engine: cluster.Engine | None
) -> Generator[StudentResult]:
    katas, options, at_a_time = assignment.katas, assignment.options, assignment.at_a_time
    cache = ResultCache(ROOT)
    if engine is None:
        return class_grading.grade_class(handed_in, katas, cache=cache, options=options, at_a_time=at_a_time)
    return cluster.grade_on_cluster(handed_in, katas, folder, engine, cache=cache, options=options, at_a_time=at_a_time)


def _fill(book: Gradebook, grading: Generator[StudentResult], stream: FileIO, total: int) -> bool:
    """Enter the results into the gradebook and write one line each. True if Ctrl-C interrupted the grading."""
    try:
        with closing(grading), bar("grading", "results", left=True) as counting:
            for student, found in counting.track(grading, total=total):
                result = book.enter(student, found)
                _append(stream, json.dumps({"student": student, **kata_as_dict(result)}, ensure_ascii=False))
    except KeyboardInterrupt:
        return True
    return False


def _append(stream: FileIO, line: str) -> None:
    """Write a line without a buffer, which would fail a second time when it is closed on a full disk."""
    rest = memoryview(f"{line}\n".encode())
    try:
        while rest:
            rest = rest[stream.write(rest) :]
    except OSError as error:
        kept = "what is graded is cached: make room and run the same command again"
        raise KataError(f"{stream.name} cannot be written: {error.strerror}; {kept}") from None


def _write(book: Gradebook, outputs: Outputs, interrupted: bool) -> None:
    """Print each student's totals, and write pages and reports."""
    whole = book.class_report(interrupted=interrupted)
    for student, report in whole.students.items():
        missing = "" if report.complete else f"  ({book.lost.get(student, 'not all graded')})"
        print(f"{student}: {words.totals(report)}{missing}")
        if outputs.pages:
            report_files.write(outputs.pages / f"{student}.html", html_report.render(report))
    for file in outputs.reports:
        file.write(whole)
    state = "  (interrupted: run the same command again to continue)" if interrupted else ""
    print(f"{words.counted(len(whole.students), 'student')} · {whole.seconds:.1f} s{state}")
