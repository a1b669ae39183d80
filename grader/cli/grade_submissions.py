"""`kata grade --submissions`: grades a class with a progress bar, and writes what the options ask for."""

import json
import os
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import typer

from grader.cli import report_files
from grader.cli.app import INTERRUPTED, bar
from grader.cli.report_files import ReportFile
from grader.course.catalogue import ROOT
from grader.errors import KataError
from grader.execution.result_cache import ResultCache
from grader.reports import audit_report, change_lines, html_report, words
from grader.results import Audit, ClassReport, KataResult, kata_as_dict
from grader.teaching import audit, class_grading, cluster, pseudonyms, regrading, submissions
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
    pseudonyms: bool = False  # in reports and pages, apart from those for gradebooks
    key: Path | None = None  # who is who


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
    _end(book, interrupted)


def audit_class_folder(
    folder: Path, assignment: Assignment, files: list[ReportFile[Audit]], only: list[str] | None, count: int
) -> None:
    """Grade so many students of the class twice, without cached results, and say which verdicts differ.

    Raises:
        KataError: the folder cannot be graded, or a report cannot be written.
    """
    handed_in, stream = _opened(folder, Outputs([]), only)
    stream.close()
    chosen = audit.sample(handed_in, count)
    runs: list[dict[tuple[str, str], KataResult]] = [{}, {}]
    interrupted = False
    try:
        with bar("grading twice", "results", left=True) as counting:
            task = counting.add_task("", total=2 * len(chosen) * len(assignment.katas))
            for run in runs:
                for student, result in audit.grade_afresh(chosen, assignment):
                    run[student, result.kata] = result
                    counting.advance(task)
    except KeyboardInterrupt:
        interrupted = True
    first, second = runs
    found = [
        difference
        for student, kata in second
        for difference in audit.differences(student, first[student, kata], second[student, kata])
    ]
    names = tuple(submission.student for submission in chosen)
    report = Audit(names, len(second), tuple(found), complete=not interrupted)
    for line in audit_report.lines(report):
        print(line)
    for file in files:
        file.write(report)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def regrade_class_folder(
    folder: Path, assignment: Assignment, outputs: Outputs, earlier: regrading.Grading, *, never_lower: bool
) -> None:
    """Grade the class again, show whose score is not what it was, and write the reports.

    Args:
        earlier: the results to compare with.
        never_lower: each exercise keeps the better of its two results.
    Raises:
        KataError: the folder cannot be graded, a report cannot be written, or something was not graded.
    """
    handed_in, stream = _opened(folder, outputs, None)
    book = Gradebook([submission.student for submission in handed_in], assignment)
    grading = _grading(handed_in, folder, assignment, None)
    if never_lower:
        grading = regrading.never_lower(grading, earlier, assignment)
    with stream:
        interrupted = _fill(book, grading, stream, total=len(handed_in) * len(assignment.katas))
    whole = book.class_report(interrupted=interrupted)
    katas = [(student, kata) for student, report in whole.students.items() for kata in report.katas]
    found = [one for s, kata in katas for one in regrading.changes(s, earlier.get((s, kata.kata)), kata)]
    for line in change_lines.lines(found):
        print(line)
    gone = sorted({student for student, _ in earlier} - whole.students.keys())
    if gone:
        first = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        print(f"{len(gone)} graded earlier and not in {folder}: {first}")
    _write_files(whole, outputs)
    state = "  (interrupted: run the same command again to continue)" if interrupted else ""
    print(f"the scores of {len({one.student for one in found})} of {len(whole.students)} students change{state}")
    _end(book, interrupted)


def _opened(folder: Path, outputs: Outputs, only: list[str] | None) -> tuple[list[Submission], TextIO]:
    """The submissions, and the open file for result lines. Also makes the folder for pages."""
    if not folder.is_dir():
        raise KataError(
            f"{folder}: no such folder; --submissions takes a folder with one folder, .zip or .ipynb file per student"
        )
    try:
        handed_in = [found for found in submissions.collect(folder) if not only or found.student in only]
        if outputs.pages:
            outputs.pages.mkdir(parents=True, exist_ok=True)
        return handed_in, open(outputs.lines or os.devnull, "w", encoding="utf-8")
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


def _fill(book: Gradebook, grading: Generator[StudentResult], stream: TextIO, total: int) -> bool:
    """Enter the results into the gradebook and write one line each. True if Ctrl-C interrupted the grading."""
    try:
        with closing(grading), bar("grading", "results", left=True) as counting:
            for student, found in counting.track(grading, total=total):
                result = book.enter(student, found)
                stream.write(json.dumps({"student": student, **kata_as_dict(result)}, ensure_ascii=False) + "\n")
                stream.flush()
    except KeyboardInterrupt:
        return True
    return False


def _write(book: Gradebook, outputs: Outputs, interrupted: bool) -> None:
    """Print each student's totals, and write pages and reports."""
    whole = book.class_report(interrupted=interrupted)
    for student, report in whole.students.items():
        missing = f"  ({book.lost.get(student, 'interrupted')})" if report.not_graded else ""
        print(f"{student}: {words.totals(report)}{missing}")
    _write_files(whole, outputs)
    state = "  (interrupted: run the same command again to continue)" if interrupted else ""
    print(f"{len(whole.students)} students · {whole.seconds:.1f} s{state}")


def _write_files(whole: ClassReport, outputs: Outputs) -> None:
    """Write pages and reports, with pseudonyms if asked for."""
    key = pseudonyms.draw(whole.students) if outputs.pseudonyms else {}
    shown = pseudonyms.applied(whole, key) if outputs.pseudonyms else whole
    if outputs.key:
        report_files.write(outputs.key, pseudonyms.render_key(key))
    if outputs.pages:
        for student, report in shown.students.items():
            report_files.write(outputs.pages / f"{student}.html", html_report.render(report))
    for file in outputs.reports:
        file.write(whole if file.render in report_files.WITH_NAMES else shown)


def _end(book: Gradebook, interrupted: bool) -> None:
    """End with the exit code of a grading that was interrupted, or that has lost results."""
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if book.lost:
        count = f"{len(book.lost)} of {len(book.results)} students"
        raise KataError(f"{count} could not be graded: run the same command again to retry")
