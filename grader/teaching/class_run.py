"""A class as one run, in five stages: collect, attribute, grade, book, report. Each
takes the record of the one before.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Protocol, TypeVar

from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import KataError
from grader.execution import boundary
from grader.execution.result_cache import ResultCache
from grader.failure import Failure
from grader.isolation import untouched
from grader.isolation.untouched import Changes
from grader.reports import class_lines, html_report, students_view, unconfirmed, words
from grader.results import ClassReport, KataResult, Reason
from grader.teaching import (
    accommodations,
    attribution,
    class_grading,
    cluster,
    intake,
    listing,
    overrides,
    regrading,
    report_files,
    roster,
    submissions,
    times,
    versions,
)
from grader.teaching.accommodations import Accommodations
from grader.teaching.class_grading import Graded
from grader.teaching.class_options import ClassOptions
from grader.teaching.contents import Contents, Row, absent, general, of_student
from grader.teaching.gradebook import Gradebook
from grader.teaching.overrides import Overrides
from grader.teaching.regrading import EarlierResults
from grader.teaching.result_lines import ResultLines
from grader.teaching.roster import Person
from grader.teaching.submissions import Attempt, Submission
from grader.teaching.versions import Dates, Versions
from grader.workers.jobs import SourceText

T = TypeVar("T")


class Counting(Protocol):
    """Passes on what it is given, and shows how many there have been, as a progress
    bar does.
    """

    def __call__(
        self, sequence: Iterable[T], /, total: int | None = None
    ) -> Iterable[T]: ...


@dataclass(frozen=True)
class Collected:
    """Whose submissions are there, before any of them is opened, and what was decided
    about them earlier.

    Attributes:
        everybody: a submission per student, under the name that reports and pages have.
        unowned: a submission of nobody in the roster → why it is nobody's.
        strangers: the names of files that are no submission.
        is_nbgraders: nbgrader laid out the class.
        earlier: the earlier results, under today's names.
        decided: the overrides of the earlier results, and today's.
        allowed: what is allowed students for a kata.
        seen: the results of the last grading, for the times that it saw.
    """

    asked: ClassOptions
    people: list[Person]
    everybody: list[Submission]
    unowned: dict[str, str]
    strangers: list[str]
    is_nbgraders: bool = False
    earlier: EarlierResults = field(default_factory=dict)
    decided: Overrides = field(default_factory=dict)
    allowed: Accommodations = field(default_factory=dict)
    seen: EarlierResults = field(default_factory=dict)

    @cached_property
    def by_label(self) -> dict[str, Person]:
        """The people of the roster, by their names in reports."""
        return {person.label: person for person in self.people}

    @property
    def ids(self) -> dict[str, str]:
        """Student → the roster's id, or else the name."""
        by_label = {label: person.id for label, person in self.by_label.items()}
        names = [one.student for one in self.everybody]
        return {name: by_label.get(name, name) for name in names}

    @property
    def asked_for(self) -> list[Submission]:
        """The submissions to grade."""
        only = self.asked.only
        return [found for found in self.everybody if not only or found.student in only]

    @property
    def waits(self) -> dict[str, str]:
        """The submissions of nobody that may be those of people who have none."""
        return {} if self.asked.unowned_are_nobody else self.unowned

    @property
    def unused(self) -> int:
        """How many overrides are for exercises that this grading leaves out."""
        assignment = self.asked.assignment
        graded = {
            kata.name: {one.name for one in assignment.asked(kata)}
            for kata in assignment.katas
        }
        places = [
            (kata, name) for (_, kata), names in self.decided.items() for name in names
        ]
        return sum(name not in graded.get(kata, ()) for kata, name in places)


@dataclass(frozen=True)
class Read:
    """One submission that was opened: its texts, a row per file and kata, and the
    versions of each kata to grade.

    `waits`: a kata is missing that a submission of nobody has.
    """

    submission: Submission
    rows: list[Row]
    versions: dict[Kata, Versions] = field(default_factory=dict)
    waits: bool = False


@dataclass(frozen=True)
class Attributed:
    """The submissions with their texts, and what became of each file."""

    collected: Collected
    read: list[Read]

    @property
    def asked(self) -> ClassOptions:
        return self.collected.asked

    @property
    def attempts(self) -> list[Attempt]:
        """What to grade: each submission, and once more what it had on time."""
        katas, allowed = self.asked.assignment.katas, self.collected.allowed
        found: list[Attempt] = []
        for one in self.read:
            student = one.submission.student
            graded = [
                kata
                for kata in katas
                if not accommodations.excused(allowed, student, kata.name)
            ]
            found += versions.attempts(one.submission, one.versions, graded)
        return found

    @property
    def absent(self) -> list[str]:
        """The students who handed in nothing."""
        return [
            one.submission.student for one in self.read if not one.submission.places
        ]

    @property
    def rows(self) -> list[Row]:
        """The rows of submissions that are somebody's, or are taken for nobody's
        work.
        """
        taken = self.collected.unowned if self.asked.unowned_are_nobody else {}
        first = [
            replace(general("counts", why, odd=True), student=name)
            for name, why in taken.items()
        ]
        return [*first, *(row for one in self.read for row in one.rows)]

    @property
    def intake_file(self) -> str:
        """All of it as CSV."""
        nobodys = [
            replace(general("nobody's", why), student=name)
            for name, why in self.collected.waits.items()
        ]
        return intake.render_csv([*nobodys, *self.rows], self.collected.strangers)


@dataclass(frozen=True)
class UnderWay:
    """The grading of a class, which runs while its results are taken."""

    attributed: Attributed
    results: Generator[Graded]
    files: untouched.Known  # what was handed in, before any of it ran


@dataclass(frozen=True)
class Booked:
    """The gradebook with every result that arrived."""

    attributed: Attributed
    book: Gradebook
    interrupted: bool  # by Ctrl-C
    changed: Changes  # files that are not as they were before any code ran


@dataclass(frozen=True)
class Reported:
    """The report of the class."""

    booked: Booked
    whole: ClassReport


def collect(asked: ClassOptions) -> Collected:
    """Find out whose submissions there are.

    Raises:
        KataError: the folder, the roster or the overrides cannot be read.
    """
    people = _people(asked)
    if not asked.folder.is_dir():
        holds = "a class is a folder with one folder, .zip or .ipynb file per student"
        raise KataError(f"{asked.folder}: no such folder; {holds}")
    try:
        others = submissions.strangers(asked.folder)
        everybody = submissions.collect(asked.folder, or_none=bool(people and others))
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
    unowned: dict[str, str] = {}
    if people:
        everybody, unowned = roster.assigned(everybody, people, others)
    taken = {place for one in everybody for place in one.places}
    strangers = [
        listing.readable(one.places[0].name)
        for one in others
        if one.places[0] not in taken
    ]
    is_nbgraders = times.is_nbgraders(asked.folder, everybody)
    found = Collected(asked, people, everybody, unowned, strangers, is_nbgraders)
    return _with_decisions(found)


def attribute(collected: Collected, counted: Counting) -> Attributed:
    """Read the submissions, and find the file of each kata in them. An empty hand is no
    0 while nobody's work has the kata.
    """
    held = _held_back(collected)
    submissions_ = counted(collected.asked_for)
    return Attributed(
        collected, [_opened(one, collected, held) for one in submissions_]
    )


def grade(attributed: Attributed) -> UnderWay:
    """Grade what was attributed, here or on a cluster. Results come as they finish."""
    asked, attempts, cache = attributed.asked, attributed.attempts, ResultCache(ROOT)
    files = untouched.known(
        place for one in attributed.read for place in one.submission.places
    )
    if asked.engine:
        results = cluster.grade_on_cluster(attempts, asked, cache=cache)
        return UnderWay(attributed, results, files)
    results = class_grading.grade_class(
        attempts,
        asked.assignment.katas,
        cache=cache,
        options=asked.assignment.options,
        at_a_time=asked.assignment.at_a_time,
    )
    return UnderWay(attributed, results, files)


def book(under_way: UnderWay, lines: ResultLines, counted: Counting) -> Booked:
    """Enter the results into a gradebook as they arrive, and write a line for each.
    Ctrl-C ends it early.
    """
    attributed = under_way.attributed
    book = _empty_book(attributed)
    for line in _excused(attributed, book, lines):
        lines.write(line)
    total = sum(len(attempt.katas) for attempt in attributed.attempts)
    try:
        with closing(under_way.results) as results:
            for one in counted(results, total=total):
                lines.write(_entered(one, book, attributed, lines))
    except KeyboardInterrupt:
        return Booked(attributed, book, True, untouched.changes(under_way.files))
    for line in regrading.kept_lines(attributed.collected.earlier, book.results):
        lines.write(line)
    lines.finish()
    return Booked(attributed, book, False, untouched.changes(under_way.files))


def report(booked: Booked) -> Reported:
    """The report of the class. Each student's is tried alone: one that cannot be
    rendered is not graded.
    """
    asked = booked.attributed.asked
    for student in booked.book.results:
        with boundary.costs_only(partial(booked.book.lose_all, student)):
            _try(student, booked.book, asked)
    whole = booked.book.class_report(interrupted=booked.interrupted)
    waits = booked.attributed.collected.waits
    return Reported(booked, replace(whole, unowned=waits))


def write(reported: Reported) -> list[str]:
    """Write pages and reports. Returns why a student's page could not be written."""
    asked, whole = reported.booked.attributed.asked, reported.whole
    unwritten: list[str] = []
    for path, page in _pages(whole, asked.pages):
        with boundary.costs_only(unwritten.append):
            report_files.write(path, page)
    for file in asked.reports:
        links = file.links(asked.pages, whole.students)
        file.write(replace(whole, pages=links, canvas_column=asked.canvas_column))
    return unwritten


# Collecting.


def _people(asked: ClassOptions) -> list[Person]:
    """The people of the roster; nobody without one."""
    file = asked.roster_file or roster.inside(asked.folder)
    return roster.read(file) if file else []


def _with_decisions(collected: Collected) -> Collected:
    """The same with the earlier results by today's names, and with what is decided and
    allowed, there or now.
    """
    asked, names = collected.asked, [one.student for one in collected.everybody]
    if not collected.people and regrading.had_a_roster(asked.earlier):
        raise KataError(
            f"the earlier results of {asked.folder} were graded with a roster: give "
            "--roster as there"
        )
    earlier = regrading.of_students(asked.earlier, collected.ids)
    decided: Overrides = {place: one.decided for place, one in earlier.items()}
    if asked.overrides_file:
        decided = overrides.merged(
            decided, overrides.read(asked.overrides_file, names, collected.people)
        )
    granted: Accommodations = {
        place: one.allowed for place, one in earlier.items() if one.allowed
    }
    if asked.accommodations_file:
        granted = {
            **granted,
            **accommodations.read(asked.accommodations_file, names, collected.people),
        }
    return replace(
        collected,
        earlier=earlier,
        decided=decided,
        allowed=granted,
        seen=_seen(collected) or earlier,
    )


def _seen(collected: Collected) -> EarlierResults:
    """The results that an earlier grading has left where this one writes its own; none
    if they cannot be read.
    """
    file = collected.asked.seen_file
    with suppress(KataError):
        if file and file.is_file():
            return regrading.of_students(regrading.read(file), collected.ids)
    return {}


# Attributing.


def _held_back(collected: Collected) -> dict[Kata, list[str]]:
    """What the submissions of nobody that may be somebody's have of each kata."""
    katas = collected.asked.assignment.katas
    held: dict[Kata, list[str]] = {kata: [] for kata in katas}
    for one in collected.everybody:
        if one.student not in collected.waits:
            continue
        contents = attribution.look(one.places, with_prerequisites(katas), katas)
        for kata in katas:
            if attribution.may_have(contents, kata):
                held[kata].append(contents.katas[kata].name or one.student)
    return held


def _opened(
    submission: Submission, collected: Collected, held: Mapping[Kata, list[str]]
) -> Read:
    """One submission with its texts. Where it cannot be read, each of its katas
    says why.
    """
    opened: list[Read] = []

    def lost(why: str) -> None:
        needed = with_prerequisites(collected.asked.assignment.katas)
        nothing = {kata: absent(kata, "not graded", why).for_job for kata in needed}
        rows = [general("not graded", why, odd=True)]
        texts = replace(submission, texts=nothing)
        opened.append(Read(texts, of_student(submission.student, rows)))

    with boundary.costs_only(lost):
        opened.append(_read(submission, collected, held))
    return opened[0]


def _read(
    submission: Submission, collected: Collected, held: Mapping[Kata, list[str]]
) -> Read:
    """What is in one submission."""
    student, katas = submission.student, collected.asked.assignment.katas
    needed = with_prerequisites(katas)
    handed_in = attribution.look(submission.places, needed, katas)
    if not collected.is_nbgraders:
        handed_in = times.without_notes(handed_in)
    waiting = _waiting(handed_in, held) if student in collected.by_label else {}
    contents = replace(handed_in, katas={**handed_in.katas, **waiting})
    # Of an empty hand the intake file says that alone.
    told = contents if submission.places else handed_in
    dates = _dates(student, collected)
    dated = versions.find(submission, contents, katas, dates)
    dated, changed = versions.as_first_seen(dated, _seen_of(student, collected), dates)
    timed = of_student(student, [*versions.rows(dated), *changed])
    rows = [*intake.rows(submission, told, katas), *timed]
    texts = replace(submission, texts=contents.sources(needed))
    return Read(texts, rows, dated, waits=bool(waiting))


def _dates(student: str, collected: Collected) -> Dates:
    """The dates that hold for a student."""
    assignment, person = collected.asked.assignment, collected.by_label.get(student)
    allowed = {
        kata.name: collected.allowed[student, kata.name]
        for kata in assignment.katas
        if (student, kata.name) in collected.allowed
    }
    dates = Dates(
        assignment.rules.late, allowed=allowed, is_nbgraders=collected.is_nbgraders
    )
    if person is None:
        return dates
    return replace(
        dates,
        due=person.due,
        extension=person.extension,
        handed_in=person.handed_in,
    )


def _seen_of(student: str, collected: Collected) -> dict[str, KataResult]:
    """A student's results of the last grading, by kata."""
    return {
        kata.name: collected.seen[student, kata.name].result
        for kata in collected.asked.assignment.katas
        if (student, kata.name) in collected.seen
    }


def _waiting(contents: Contents, held: Mapping[Kata, list[str]]) -> dict[Kata, Row]:
    """The katas of which a student has a stub at most, and nobody's work has more."""
    found: dict[Kata, Row] = {}
    for kata, theirs in held.items():
        if not theirs or attribution.may_have(contents, kata):
            continue
        row = contents.katas[kata]
        count = f"{words.counted(len(theirs), 'submission')} of nobody in the roster"
        why, files = f"not handed in, and in {count}", ""
        if row.file:
            why = f"untouched stub in {row.name}, and work in {count}"
            # other people's files, of which the teacher alone may read
            files = f": {attribution.named(theirs)}"
        problem = Failure("not handed in", why)
        source = SourceText("", problem, reason=Reason.UNOWNED)
        note = f"{why}{files}"
        found[kata] = Row(None, kata, "not graded", note, source, odd=True)
    return found


# Booking.


def _empty_book(attributed: Attributed) -> Gradebook:
    """The gradebook before any result is in it."""
    collected, asked = attributed.collected, attributed.asked
    read = {one.submission.student: one for one in attributed.read}
    return Gradebook(
        {student: one.submission.texts or {} for student, one in read.items()},
        asked.assignment,
        {student: one.versions for student, one in read.items()},
        collected.people,
        collected.decided,
        collected.earlier if asked.never_lower else None,
    )


def _excused(
    attributed: Attributed, book: Gradebook, lines: ResultLines
) -> Iterator[str]:
    """Enter the katas that students are excused from, which are not graded. Yields the
    line of each.
    """
    for one in attributed.read:
        student = one.submission.student
        for kata in attributed.asked.assignment.katas:
            if why := accommodations.excused(
                attributed.collected.allowed, student, kata.name
            ):
                yield lines.text(student, book.excuse(student, kata.name, why))


def _entered(
    one: Graded, book: Gradebook, attributed: Attributed, lines: ResultLines
) -> str:
    """The line of a result that is entered into the gradebook. Where that fails, the
    kata is not graded.
    """
    texts: list[str] = []

    def lost(why: str) -> None:
        texts.append(
            _line(one, book.lose(one.student, one.result.kata, why), attributed, lines)
        )

    with boundary.costs_only(lost):
        texts.append(_line(one, book.enter(one), attributed, lines))
    return texts[0]


def _line(
    one: Graded, counts: KataResult | None, attributed: Attributed, lines: ResultLines
) -> str:
    """The line of a result, as the gradebook counts it. What was graded earlier, and is
    not now, keeps its line.

    Where students are chosen, the lines are for who chooses among versions: one per
    version, as it was graded.
    """
    if attributed.asked.only:
        return lines.of_version(
            replace(one, result=counts) if counts and counts.gap else one
        )
    if counts is None:
        return ""
    old = attributed.collected.earlier.get((one.student, counts.kata))
    return (
        old.line
        if old and counts.gap and not old.result.gap
        else lines.text(one.student, counts)
    )


# Reporting.


def _try(student: str, book: Gradebook, asked: ClassOptions) -> None:
    """Render everything that is said of a student."""
    alone = ClassReport(
        book.started, 0.0, True, {student: book.report(student)}, book.roster
    )
    class_lines.of(student, alone.students[student], explain=asked.explain)
    list(unconfirmed.lines(alone))
    _pages(alone, asked.pages)
    for file in asked.reports:
        file.render(alone)


def _pages(report: ClassReport, folder: Path | None) -> list[tuple[Path, str]]:
    """The path and the text of each student's page, if pages are asked for."""
    if folder is None:
        return []
    students = report.students.items()
    return [
        (folder / f"{name}.html", html_report.render(students_view.of(one)))
        for name, one in students
    ]
