"""`kata grade --submissions`: grades a class with a progress bar, and writes what the options ask for."""

from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

from grader.cli import report_files, result_lines
from grader.cli.app import INTERRUPTED, bar
from grader.cli.report_files import ReportFile
from grader.cli.result_lines import ResultLines
from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import KataError
from grader.execution import boundary
from grader.execution.result_cache import ResultCache
from grader.isolation import untouched
from grader.protocol import RunOptions
from grader.reports import audit_report, change_lines, explanation, html_report, unconfirmed, words
from grader.results import NOT_HANDED_IN, NOT_RECOGNISED, Audit, ClassReport, KataResult, Report
from grader.teaching import (
    audit,
    class_grading,
    cluster,
    finder,
    intake,
    listing,
    overrides,
    pseudonyms,
    regrading,
    roster,
    submissions,
    versions,
)
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import StudentResult
from grader.teaching.gradebook import Gradebook
from grader.teaching.intake import Finding
from grader.teaching.overrides import Overrides
from grader.teaching.roster import Person
from grader.teaching.submissions import Submission
from grader.teaching.versions import Dates, Versions
from grader.workers.jobs import SourceText


@dataclass(frozen=True)
class Class:
    """The class to grade: its folder with one submission per student, and what they were to do."""

    folder: Path
    assignment: Assignment
    roster_file: Path | None = None  # the course's list of students, if there is one
    overrides_file: Path | None = None  # what the teacher has decided
    only: list[str] | None = None  # the students to grade; None for all
    unowned_are_nobody: bool = False  # submissions of nobody in the roster are taken for nobody's work
    rules_file: Path | None = None  # where the assignment's rules come from, if not from the default file


@dataclass(frozen=True)
class Outputs:
    """The outputs of grading a class."""

    reports: list[ReportFile[ClassReport]]
    lines: Path | None = None  # one line of JSON per student and kata, written as each is graded
    pages: Path | None = None  # folder for one HTML page per student
    intake: Path | None = None  # CSV of what was found in the submissions
    explain: bool = False  # print how each score comes about
    pseudonyms: bool = False  # in reports and pages, apart from those for gradebooks
    key: Path | None = None  # who is who


@dataclass(frozen=True)
class Urgent:
    """The findings that keep a grading from being whole: submissions of nobody, and those that were not recognised."""

    nobodys: int
    unowned: list[str]
    lines: list[str]
    touched: tuple[str, ...] = ()  # files whose mode, owner or attributes changed meanwhile


def grade_class_folder(class_: Class, outputs: Outputs, engine: cluster.Engine | None) -> None:
    """Grade every submission in the folder. After Ctrl-C, report what is finished; the next call continues.

    Args:
        engine: the cluster to grade on; None for this machine.
    Raises:
        KataError: the folder cannot be graded, an output cannot be written, or a cluster lost some results.
    """
    handed_in, book, interrupted, urgent, _ = _graded(class_, outputs, engine)
    whole, unwritten = _write(book, outputs, interrupted, {one.student for one in handed_in if not one.places})
    _end(book, {} if class_.only else whole.unconfirmed, interrupted, unwritten, urgent)


def everybody(folder: Path, roster_file: Path | None) -> tuple[list[Submission], dict[str, str]]:
    """Everybody's submission under the name that reports and pages have, and that name → the id in the roster.

    Raises:
        KataError: the folder or the roster cannot be read.
    """
    class_ = Class(folder, Assignment([], RunOptions()), roster_file)
    people = _people(class_)
    found, *_ = _collected(class_, people)
    return found, {person.label: person.id for person in people}


def audit_class_folder(class_: Class, files: list[ReportFile[Audit]], count: int) -> None:
    """Grade so many students of the class twice, without cached results, and say which verdicts differ.

    Raises:
        KataError: the folder cannot be graded, or a report cannot be written.
    """
    everybody, *_ = _collected(class_, _people(class_))
    chosen = audit.sample(_asked_for(class_, everybody), count)
    runs: list[dict[tuple[str, str], KataResult]] = [{}, {}]
    interrupted = False
    try:
        with bar("grading twice", "results", left=True) as counting:
            task = counting.add_task("", total=2 * len(chosen) * len(class_.assignment.katas))
            for run in runs:
                for student, result in audit.grade_afresh(chosen, class_.assignment):
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


def regrade_class_folder(class_: Class, outputs: Outputs, earlier: regrading.Grading, *, never_lower: bool) -> None:
    """Grade the class again, show whose score is not what it was, and write the reports.

    Args:
        earlier: the results to compare with.
        never_lower: each exercise keeps the better of its two results.
    Raises:
        KataError: the folder cannot be graded, a report cannot be written, or something was not graded.
    """
    _, book, interrupted, urgent, earlier = _graded(class_, outputs, None, earlier, never_lower=never_lower)
    whole = _reported(book, outputs, interrupted)
    if not whole.students.keys() & {student for student, _ in earlier}:
        advice = "give --roster as in that grading"
        raise KataError(f"none of the earlier results is of a student in {class_.folder}: {advice}")
    katas = [(s, kata) for s, report in whole.students.items() for kata in report.katas if not kata.not_graded]
    found = [one for s, kata in katas for one in regrading.changes(s, earlier.get((s, kata.kata)), kata)]
    for line in unconfirmed.lines(whole):
        print(line)
    for line in [*change_lines.lines(found), *change_lines.by_exercise(found)]:
        print(line)
    gone = sorted({student for student, _ in earlier} - whole.students.keys())
    if gone:
        first = ", ".join(gone[:5]) + (", …" if len(gone) > 5 else "")
        print(f"{len(gone)} graded earlier and not in {class_.folder}: {first}")
    unwritten = _write_files(whole, outputs)
    state = "  (interrupted: run the same command again to continue)" if interrupted else ""
    for line in _overrides(whole, earlier):
        print(line)
    everybody = words.counted(len(whole.students), "student")
    print(f"the scores of {len({one.student for one in found})} of {everybody} change{state}")
    _end(book, whole.unconfirmed, interrupted, unwritten, urgent)


def _overrides(whole: ClassReport, earlier: regrading.Grading) -> Iterator[str]:
    """A line per override that counts. It says if the code is another one than that of the earlier grading."""
    for student, report in whole.students.items():
        for kata in report.katas:
            old = earlier.get((student, kata.kata))
            is_new = old is not None and old.result.code != kata.code
            for line in words.overrides([kata]):
                yield f"{student}: {line}{' (the code has changed since the earlier grading)' if is_new else ''}"


def _graded(
    class_: Class,
    outputs: Outputs,
    engine: cluster.Engine | None,
    earlier: regrading.Grading | None = None,
    *,
    never_lower: bool = False,
) -> tuple[list[Submission], Gradebook, bool, Urgent, regrading.Grading]:
    """The submissions, their results, whether Ctrl-C interrupted the grading, and what keeps it from being whole.

    Last come the earlier results, by today's names.

    Args:
        earlier: earlier results, whose overrides still count.
        never_lower: they also count where they are better.
    """
    people, assignment = _people(class_), class_.assignment
    everybody, unowned, strangers = _collected(class_, people)
    by_label = {person.label: person.id for person in people}
    ids = {one.student: by_label.get(one.student, one.student) for one in everybody}
    before = regrading.of_students(earlier or {}, ids)
    given = {place: one.decided for place, one in before.items()}
    decided = overrides.merged(given, _decided(class_, everybody, people))
    _say_left_out(decided, assignment)
    handed_in = _asked_for(class_, everybody)
    _make_folder(outputs.pages)
    with result_lines.opened(outputs.lines, ids, at_once=bool(class_.only)) as lines:
        handed_in, found, urgent = _taken_in(class_, outputs, people, handed_in, unowned, strangers)
        to_grade = [some for one in handed_in for some in versions.to_grade(one, found.get(one.student, {}))]
        texts = {one.student: one.texts or {} for one in to_grade if not one.student.endswith(versions.OLDER)}
        book = Gradebook(texts, assignment, found, people, texts, decided, before if never_lower else None)
        files = untouched.known(place for one in handed_in for place in one.places)
        grading = _grading(class_, to_grade, engine)
        total = sum(len(assignment.katas if one.katas is None else one.katas) for one in to_grade)
        interrupted = _fill(book, grading, lines, before, total=total, each_version=bool(class_.only))
        changed = untouched.changes(files)
        for text in untouched.lines(changed):
            print(text)
        if interrupted and lines.unfinished:
            print(lines.unfinished)
        elif not interrupted:
            for line in regrading.kept_lines(before, book.results):
                lines.write(line)
            lines.finish()
    return handed_in, book, interrupted, replace(urgent, touched=changed.rights), before


def _people(class_: Class) -> list[Person]:
    return roster.read(class_.roster_file) if class_.roster_file else []


def _collected(class_: Class, people: list[Person]) -> tuple[list[Submission], dict[str, str], list[str]]:
    """Everybody's submission, why some are of nobody in the roster, and the names of files that are nobody's."""
    if not class_.folder.is_dir():
        takes = "--submissions takes a folder with one folder, .zip or .ipynb file per student"
        raise KataError(f"{class_.folder}: no such folder; {takes}")
    try:
        strangers = submissions.strangers(class_.folder)
        collected = submissions.collect(class_.folder, or_none=bool(people and strangers))
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
    everybody, unowned = roster.assigned(collected, people, strangers) if people else (collected, {})
    taken = {place for one in everybody for place in one.places}
    names = [listing.readable(one.places[0].name) for one in strangers if one.places[0] not in taken]
    return everybody, unowned, names


def _asked_for(class_: Class, everybody: list[Submission]) -> list[Submission]:
    return [found for found in everybody if not class_.only or found.student in class_.only]


def _decided(class_: Class, everybody: list[Submission], people: list[Person]) -> Overrides:
    if class_.overrides_file is None:
        return {}
    return overrides.read(class_.overrides_file, [found.student for found in everybody], people)


def _say_left_out(decided: Overrides, assignment: Assignment) -> None:
    """Say how many overrides are for exercises that this grading leaves out."""
    graded = {kata.name: {one.name for one in assignment.asked(kata)} for kata in assignment.katas}
    places = [(kata, name) for (_, kata), names in decided.items() for name in names]
    if count := sum(name not in graded.get(kata, ()) for kata, name in places):
        print(f"{words.counted(count, 'override')} not used: this grading leaves the exercise out")


def _make_folder(pages: Path | None) -> None:
    """Make the folder for pages."""
    try:
        if pages:
            pages.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None


def _taken_in(
    class_: Class,
    outputs: Outputs,
    people: list[Person],
    handed_in: list[Submission],
    unowned: dict[str, str],
    strangers: list[str],
) -> tuple[list[Submission], dict[str, dict[Kata, Versions]], Urgent]:
    """Read the submissions, and say what was found in them.

    Returns them with the texts of their katas, by student the versions of each kata that are graded, and
    what keeps the grading from being whole. While a submission is nobody's, nobody's missing file counts as 0.
    """
    read: list[Submission] = []
    needed = with_prerequisites(class_.assignment.katas)
    by_label = {person.label: person for person in people}
    waits = unowned if not class_.unowned_are_nobody else {}
    nobodys = [] if waits else unowned.items()
    found = [Finding(name, "", "", "counts", why, odd=True) for name, why in nobodys]
    dated: dict[str, dict[Kata, Versions]] = {}

    def lost(why: str) -> None:
        nothing = dict.fromkeys(needed, SourceText("", why, lost=True))
        read.append(replace(submission, texts=nothing))
        found.append(Finding(submission.student, "", "", "not graded", why, odd=True))

    try:
        with bar("reading", "submissions", left=True) as counting:
            for submission in counting.track(handed_in):
                with boundary.costs_only(lost):
                    person = by_label.get(submission.student)
                    texts, told, some = _read(submission, needed, class_.assignment, person, len(waits))
                    read.append(replace(submission, texts=texts))
                    found += told
                    dated[submission.student] = some
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    rows = [Finding(name, "", "", "nobody's", why) for name, why in waits.items()]
    if outputs.intake:
        report_files.write(outputs.intake, intake.render_csv([*rows, *found], strangers))
    counts = bool(class_.assignment.rules.late)
    absent = [one.student for one in read if not one.places]
    urgent = Urgent(len(waits), intake.unowned(waits, absent), intake.urgent(found))
    for line in [*urgent.unowned, *intake.short(found, strangers), *intake.times(found, count=counts)]:
        print(line)
    if not counts and any(person.due or person.extension for person in people):
        print("the roster's dates cost nothing: grading.toml has no table [late]")
    return read, dated, urgent


def _read(
    submission: Submission, needed: list[Kata], assignment: Assignment, person: Person | None, unowned: int
) -> tuple[dict[Kata, SourceText], list[Finding], dict[Kata, Versions]]:
    """The texts of one submission, what was found in it, and the versions of each kata that are graded.

    Args:
        unowned: how many submissions are nobody's, one of which may be this person's.
    """
    contents = finder.look(submission.places, needed, assignment.katas)
    found = [] if submission.places else intake.findings(submission, contents, assignment.katas)
    if unowned and person:
        why = f"not handed in, and {words.counted(unowned, 'submission')} of the class belong to nobody in the roster"
        contents.lost |= dict.fromkeys(contents.missing, why)
        contents.missing.clear()
    found = found or intake.findings(submission, contents, assignment.katas)
    own = (person.due, person.extension) if person else ()
    dated = versions.find(submission, contents, assignment.katas, Dates(assignment.rules.late, *own))
    return contents.sources(needed), [*found, *versions.findings(submission.student, dated)], dated


def _grading(class_: Class, handed_in: list[Submission], engine: cluster.Engine | None) -> Generator[StudentResult]:
    folder, roster_file, katas, cache = class_.folder, class_.roster_file, class_.assignment.katas, ResultCache(ROOT)
    options, at_a_time = class_.assignment.options, class_.assignment.at_a_time
    if engine is None:
        return class_grading.grade_class(handed_in, katas, cache=cache, options=options, at_a_time=at_a_time)
    return cluster.grade_on_cluster(
        handed_in,
        katas,
        folder,
        engine,
        cache=cache,
        options=options,
        at_a_time=at_a_time,
        roster=roster_file,
        rules=class_.rules_file,
        unowned_are_nobody=class_.unowned_are_nobody,
    )


def _fill(
    book: Gradebook,
    grading: Generator[StudentResult],
    lines: ResultLines,
    earlier: regrading.Grading,
    *,
    total: int,
    each_version: bool,
) -> bool:
    """Enter the results into the gradebook and write one line each. True if Ctrl-C interrupted the grading.

    Args:
        earlier: what keeps its line where there is no result now.
        each_version: the lines are for who chooses among versions: one per version, as it was graded.
    """

    texts: list[str] = []

    def lost(why: str) -> None:
        texts.append(line(book.lose(name.removesuffix(versions.OLDER), found.kata, why)))

    def line(result: KataResult | None) -> str:
        student = name.removesuffix(versions.OLDER)
        old = earlier.get((student, found.kata))
        if each_version:
            return lines.text(name, result if result and result.not_graded else found)
        if result is None:
            return ""
        return old.line if old and result.not_graded and not old.result.not_graded else lines.text(student, result)

    try:
        with closing(grading), bar("grading", "results", left=True) as counting:
            for name, found in counting.track(grading, total=total):
                with boundary.costs_only(lost):
                    texts.append(line(book.enter(name, found)))
                lines.write(texts.pop())
    except KeyboardInterrupt:
        return True
    return False


def _reported(book: Gradebook, outputs: Outputs, interrupted: bool) -> ClassReport:
    """The report of the class. Each student's is tried alone: one that cannot be rendered is not graded."""
    for student in book.results:
        with boundary.costs_only(partial(book.lose_all, student)):
            alone = ClassReport(book.started, 0.0, True, {student: book.report(student)}, book.roster)
            _said(student, alone.students[student], outputs)
            list(unconfirmed.lines(alone))
            _pages(pseudonyms.applied(alone, {student: student}), outputs)
            for file in outputs.reports:
                file.render(alone)
    return book.class_report(interrupted=interrupted)


def _said(student: str, report: Report, outputs: Outputs, lost: str = "", *, absent: bool = False) -> list[str]:
    """The terminal's lines on a student."""
    missing = f"  ({lost})" if report.not_graded else ""
    decided = [f"  {line}" for line in words.overrides(report.katas)]
    told = f" · {words.of_files(report)}" if words.of_files(report) and not absent else ""
    first = f"{student}: {'not handed in · ' if absent else ''}{words.totals(report)}{told}{missing}"
    explained = [f"  {line}" for line in explanation.lines(report)] if outputs.explain else []
    return [first, *decided, *explained]


def _write(book: Gradebook, outputs: Outputs, interrupted: bool, absent: set[str]) -> tuple[ClassReport, list[str]]:
    """Print what the teacher has to decide and each student's totals, and write pages and reports.

    Returns the report, and why a page could not be written.

    Args:
        absent: the students who handed in nothing.
    """
    whole = _reported(book, outputs, interrupted)
    for line in unconfirmed.lines(whole):
        print(line)
    not_begun = [student for student, report in whole.students.items() if interrupted and not report.katas]
    for student, report in whole.students.items():
        if student not in not_begun:
            why = book.lost.get(student, "interrupted")
            print(*_said(student, report, outputs, why, absent=student in absent), sep="\n")
    if not_begun:
        print(f"{words.counted(len(not_begun), 'more student')} not graded yet")
    unwritten = _write_files(whole, outputs)
    state = "  (interrupted: run the same command again to continue)" if interrupted else ""
    print(f"{words.counted(len(whole.students), 'student')} · {whole.seconds:.1f} s{state}")
    return whole, unwritten


def _write_files(whole: ClassReport, outputs: Outputs) -> list[str]:
    """Write pages and reports, with pseudonyms if asked for. Returns why a student's page could not be written."""
    key = pseudonyms.draw(whole.students) if outputs.pseudonyms else {}
    shown = pseudonyms.applied(whole, key) if outputs.pseudonyms else whole
    unwritten: list[str] = []
    if outputs.key:
        report_files.write(outputs.key, pseudonyms.render_key(key))
    for path, page in _pages(shown, outputs):
        with boundary.costs_only(unwritten.append):
            report_files.write(path, page)
    for file in outputs.reports:
        report = whole if file.render in report_files.WITH_NAMES else shown
        file.write(replace(report, pages=file.links(outputs.pages, report.students)))
    return unwritten


def _pages(report: ClassReport, outputs: Outputs) -> list[tuple[Path, str]]:
    """The path and the text of each student's page, if pages are asked for."""
    folder = outputs.pages
    return [(folder / f"{s}.html", html_report.render(one)) for s, one in report.students.items()] if folder else []


def _end(
    book: Gradebook, open_points: Mapping[str, list[Any]], interrupted: bool, unwritten: list[str], urgent: Urgent
) -> None:
    """End with the exit code of a grading that was interrupted, or of one that is not whole.

    Args:
        open_points: the points that the teacher has to decide, by student.
        urgent: what was said first, and is said again here.
    """
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    problems, everybody = [], words.counted(len(book.results), "student")
    unknown = {student for student, why in book.lost.items() if why.startswith(NOT_RECOGNISED)}
    waiting = {student for student, why in book.lost.items() if why.startswith(NOT_HANDED_IN)}
    if book.lost or urgent.nobodys:
        print("", *urgent.unowned, *urgent.lines, sep="\n")
    if urgent.nobodys:
        count = (
            f"{words.counted(urgent.nobodys, 'submission')} of nobody in the roster, and {len(waiting)} of {everybody}"
        )
        advice = "name each as an id of the roster, or add --unowned-are-nobody"
        problems.append(f"{count} who wait{'s' * (len(waiting) == 1)} for one: {advice}")
    if urgent.touched:
        count = words.counted(len(urgent.touched), "file")
        problems.append(f"{count} changed in mode, owner or attributes while the code ran: see the first line")
    if unknown:
        count = f"{len(unknown)} of {everybody}"
        problems.append(f"not recognised: {count}: rename what they handed in, or ask them for it again")
    if lost := book.lost.keys() - unknown - waiting:
        count = f"{len(lost)} of {everybody}"
        problems.append(f"{count} could not be graded: run the same command again, or ask for a file that can be read")
    if open_points:
        count = f"{words.counted(sum(map(len, open_points.values())), 'point')} of {len(open_points)} of {everybody}"
        problems.append(f"unconfirmed: {count}: settle each with a line of --overrides FILE")
    if unwritten and not book.lost:
        problems.append(f"{words.counted(len(unwritten), 'page')} could not be written: {unwritten[0]}")
    if problems:
        raise KataError("; ".join(problems))
