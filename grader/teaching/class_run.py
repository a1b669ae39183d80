"""A class as one run: it is taken in, graded, booked and reported, each stage from the
plain data of the one before.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.errors import KataError
from grader.execution import boundary
from grader.execution.result_cache import ResultCache
from grader.isolation import untouched
from grader.isolation.untouched import Changes
from grader.protocol import RunOptions
from grader.reports import class_lines, html_report, students_view, unconfirmed, words
from grader.results import ClassReport, KataResult, Reason
from grader.teaching import (
    accommodations,
    attribution,
    class_grading,
    cluster,
    gradescope_export,
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
from grader.teaching.assignment import Assignment
from grader.teaching.class_grading import Graded
from grader.teaching.contents import Absent, Contents, Found
from grader.teaching.dask_tasks import Engine
from grader.teaching.gradebook import Gradebook
from grader.teaching.intake import Finding
from grader.teaching.overrides import Overrides
from grader.teaching.regrading import EarlierResults
from grader.teaching.report_files import ReportFile
from grader.teaching.result_lines import ResultLines
from grader.teaching.roster import Person
from grader.teaching.submissions import Attempt, Submission
from grader.teaching.versions import Dates, Versions

T = TypeVar("T")


class Counting(Protocol):
    """Passes on what it is given, and shows how many there have been, as a progress
    bar does.
    """

    def __call__(
        self, sequence: Iterable[T], /, total: int | None = None
    ) -> Iterable[T]: ...


@dataclass(frozen=True)
class Class:
    """The class to grade: its folder with one submission per student, and what they
    were to do.
    """

    folder: Path
    assignment: Assignment = Assignment([], RunOptions())
    roster_file: Path | None = None  # the course's list of students, if there is one
    overrides_file: Path | None = None  # what the teacher has decided
    accommodations_file: Path | None = None  # what the teacher allows some students
    # the result lines of an earlier grading, with the times it saw
    seen_file: Path | None = None
    only: list[str] | None = None  # the students to grade; None for all
    # submissions of nobody in the roster are taken for nobody's work
    unowned_are_nobody: bool = False
    # where the assignment's rules come from, if not from the default file
    rules_file: Path | None = None
    engine: Engine | None = None  # the cluster to grade on; None for this machine
    # earlier results, whose overrides still count
    earlier: EarlierResults = field(default_factory=dict)
    never_lower: bool = False  # each exercise keeps the better of its two results


@dataclass(frozen=True)
class Outputs:
    """The outputs of grading a class."""

    reports: list[ReportFile[ClassReport]]
    # one line of JSON per student and kata, written as each is graded
    lines: Path | None = None
    pages: Path | None = None  # folder for one HTML page per student
    intake: Path | None = None  # CSV of what was found in the submissions
    explain: bool = False  # print how each score comes about
    canvas_column: str = ""  # of Canvas's gradebook, for the total


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

    class_: Class
    people: list[Person]
    everybody: list[Submission]
    unowned: dict[str, str]
    strangers: list[str]
    is_nbgraders: bool = False
    earlier: EarlierResults = field(default_factory=dict)
    decided: Overrides = field(default_factory=dict)
    allowed: Accommodations = field(default_factory=dict)
    seen: EarlierResults = field(default_factory=dict)

    @property
    def ids(self) -> dict[str, str]:
        """Student → the roster's id, or else the name."""
        by_label = {person.label: person.id for person in self.people}
        return {
            one.student: by_label.get(one.student, one.student)
            for one in self.everybody
        }

    @property
    def asked_for(self) -> list[Submission]:
        """The submissions to grade."""
        only = self.class_.only
        return [found for found in self.everybody if not only or found.student in only]

    @property
    def waits(self) -> dict[str, str]:
        """The submissions of nobody that may be those of people who have none."""
        return {} if self.class_.unowned_are_nobody else self.unowned

    @property
    def unused(self) -> int:
        """How many overrides are for exercises that this grading leaves out."""
        assignment = self.class_.assignment
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
    """One submission that was opened: its texts, what was found in it, and the versions
    of each kata to grade.

    `waits`: a kata is missing that a submission of nobody has.
    """

    submission: Submission
    findings: list[Finding]
    versions: dict[Kata, Versions] = field(default_factory=dict)
    waits: bool = False


@dataclass(frozen=True)
class TakenIn:
    """The submissions with their texts, and what was found in them."""

    collected: Collected
    read: list[Read]

    @property
    def class_(self) -> Class:
        return self.collected.class_

    @property
    def attempts(self) -> list[Attempt]:
        """What to grade: each submission, and once more what it had on time."""
        katas, allowed = self.class_.assignment.katas, self.collected.allowed
        found: list[Attempt] = []
        for one in self.read:
            asked = [
                kata
                for kata in katas
                if not accommodations.excused(
                    allowed, one.submission.student, kata.name
                )
            ]
            found += versions.attempts(one.submission, one.versions, asked)
        return found

    @property
    def absent(self) -> list[str]:
        """The students who handed in nothing."""
        return [
            one.submission.student for one in self.read if not one.submission.places
        ]

    @property
    def unowned(self) -> list[str]:
        """What is said of the submissions of nobody."""
        return intake.unowned(
            self.collected.waits,
            [one.submission.student for one in self.read if one.waits],
        )

    @property
    def findings(self) -> list[Finding]:
        """What was found in submissions that are somebody's, or are taken for
        nobody's work.
        """
        nobodys = self.collected.unowned if self.class_.unowned_are_nobody else {}
        first = [
            Finding(name, "", "", "counts", why, odd=True)
            for name, why in nobodys.items()
        ]
        return [*first, *(finding for one in self.read for finding in one.findings)]

    @property
    def urgent(self) -> list[str]:
        """What keeps the grading from being whole: submissions of nobody, and those
        that were not recognised.
        """
        return [*self.unowned, *intake.urgent(self.findings)]

    @property
    def lines(self) -> list[str]:
        """What a terminal says before the class is graded."""
        found, strangers = self.findings, self.collected.strangers
        counts = bool(self.class_.assignment.rules.late)
        dated = any(person.due or person.extension for person in self.collected.people)
        dated = dated or any(not one.excused for one in self.collected.allowed.values())
        return [
            *self.unowned,
            *intake.lines(found, strangers, intake.SHOWN),
            *intake.of_times(found, count=counts),
            *(
                [
                    (
                        "the students' own dates cost nothing: grading.toml has no "
                        "table [late]"
                    )
                ]
                if dated and not counts
                else []
            ),
        ]

    @property
    def table(self) -> str:
        """All of it as CSV."""
        rows = [
            Finding(name, "", "", "nobody's", why)
            for name, why in self.collected.waits.items()
        ]
        return intake.render_csv([*rows, *self.findings], self.collected.strangers)


@dataclass(frozen=True)
class Booked:
    """The gradebook with every result that arrived."""

    taken: TakenIn
    book: Gradebook
    interrupted: bool  # by Ctrl-C
    changed: Changes  # files that are not as they were before any code ran


@dataclass(frozen=True)
class Reported:
    """The report of the class."""

    booked: Booked
    whole: ClassReport


def collect(class_: Class) -> Collected:
    """Find out whose submissions there are.

    Raises:
        KataError: the folder, the roster or the overrides cannot be read.
    """
    listed = class_.folder / gradescope_export.NAME
    roster_file = class_.roster_file or (listed if listed.is_file() else None)
    people = roster.read(roster_file) if roster_file else []
    if not class_.folder.is_dir():
        holds = "a class is a folder with one folder, .zip or .ipynb file per student"
        raise KataError(f"{class_.folder}: no such folder; {holds}")
    try:
        others = submissions.strangers(class_.folder)
        collected = submissions.collect(class_.folder, or_none=bool(people and others))
    except OSError as error:
        raise KataError(f"{error.filename}: {error.strerror}") from None
    everybody, unowned = (
        roster.assigned(collected, people, others) if people else (collected, {})
    )
    taken = {place for one in everybody for place in one.places}
    strangers = [
        listing.readable(one.places[0].name)
        for one in others
        if one.places[0] not in taken
    ]
    is_nbgraders = times.is_nbgraders(class_.folder, everybody)
    found = Collected(class_, people, everybody, unowned, strangers, is_nbgraders)
    return _with_decisions(found)


def _with_decisions(collected: Collected) -> Collected:
    """The same with the earlier results by today's names, and with what is decided and
    allowed, there or now.
    """
    class_, names = collected.class_, [one.student for one in collected.everybody]
    if not collected.people and regrading.had_a_roster(class_.earlier):
        raise KataError(
            f"the earlier results of {class_.folder} were graded with a roster: give "
            "--roster as there"
        )
    earlier = regrading.of_students(class_.earlier, collected.ids)
    decided: Overrides = {place: one.decided for place, one in earlier.items()}
    if class_.overrides_file:
        decided = overrides.merged(
            decided, overrides.read(class_.overrides_file, names, collected.people)
        )
    granted: Accommodations = {
        place: one.allowed for place, one in earlier.items() if one.allowed
    }
    if class_.accommodations_file:
        granted = {
            **granted,
            **accommodations.read(class_.accommodations_file, names, collected.people),
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
    file = collected.class_.seen_file
    with suppress(KataError):
        if file and file.is_file():
            return regrading.of_students(regrading.read(file), collected.ids)
    return {}


def take_in(collected: Collected, counted: Counting) -> TakenIn:
    """Read the submissions. An empty hand is no 0 while nobody's work has the kata."""
    people, held = (
        {person.label: person for person in collected.people},
        _held_back(collected),
    )
    everybody = counted(collected.asked_for)
    return TakenIn(
        collected,
        [_opened(one, collected, people.get(one.student), held) for one in everybody],
    )


def _held_back(collected: Collected) -> dict[Kata, list[str]]:
    """What the submissions of nobody that may be somebody's have of each kata."""
    katas = collected.class_.assignment.katas
    held: dict[Kata, list[str]] = {kata: [] for kata in katas}
    for one in collected.everybody:
        if one.student not in collected.waits:
            continue
        contents = attribution.look(one.places, with_prerequisites(katas), katas)
        for kata in katas:
            if attribution.may_have(contents, kata):
                file = contents.found[kata].file.shown if kata in contents.found else ""
                held[kata].append(file or one.student)
    return held


def _opened(
    submission: Submission,
    collected: Collected,
    person: Person | None,
    held: Mapping[Kata, list[str]],
) -> Read:
    """One submission with its texts. Where it cannot be read, each of its katas
    says why.
    """
    opened: list[Read] = []

    def lost(why: str) -> None:
        needed = with_prerequisites(collected.class_.assignment.katas)
        nothing = dict.fromkeys(needed, Absent(why, Reason.UNREADABLE).source)
        finding = Finding(submission.student, "", "", "not graded", why, odd=True)
        opened.append(Read(replace(submission, texts=nothing), [finding]))

    with boundary.costs_only(lost):
        opened.append(_read(submission, collected, person, held))
    return opened[0]


def _read(
    submission: Submission,
    collected: Collected,
    person: Person | None,
    held: Mapping[Kata, list[str]],
) -> Read:
    """What is in one submission."""
    assignment = collected.class_.assignment
    needed = with_prerequisites(assignment.katas)
    contents = attribution.look(submission.places, needed, assignment.katas)
    if not collected.is_nbgraders:
        contents = times.without_notes(contents)
    found = (
        []
        if submission.places
        else intake.findings(submission, contents, assignment.katas)
    )
    lost = _waiting(contents, held) if person else {}
    contents = replace(contents, katas={**contents.katas, **lost})
    found = found or intake.findings(submission, contents, assignment.katas)
    student, late = submission.student, assignment.rules.late
    places = [(student, kata.name) for kata in assignment.katas]
    allowed = {
        place[1]: collected.allowed[place]
        for place in places
        if place in collected.allowed
    }
    dates = Dates(late, allowed=allowed, is_nbgraders=collected.is_nbgraders)
    if person:
        dates = replace(
            dates,
            due=person.due,
            extension=person.extension,
            handed_in=person.handed_in,
        )
    dated = versions.find(submission, contents, assignment.katas, dates)
    seen = {
        place[1]: collected.seen[place].result
        for place in places
        if place in collected.seen
    }
    dated, changed = versions.as_first_seen(dated, seen, dates, student)
    texts = replace(submission, texts=contents.sources(needed))
    return Read(
        texts, [*found, *versions.findings(student, dated), *changed], dated, bool(lost)
    )


def _waiting(contents: Contents, held: Mapping[Kata, list[str]]) -> dict[Kata, Absent]:
    """The katas of which a student has a stub at most, and nobody's work has more."""
    found: dict[Kata, Absent] = {}
    for kata, theirs in held.items():
        if not theirs or attribution.may_have(contents, kata):
            continue
        row = contents.katas[kata]
        count = f"{words.counted(len(theirs), 'submission')} of nobody in the roster"
        if isinstance(row, Found):
            why = f"untouched stub in {row.file.shown}, and work in {count}"
            found[kata] = Absent(why, Reason.UNOWNED, attribution.named(theirs))
        else:
            found[kata] = Absent(f"not handed in, and in {count}", Reason.UNOWNED)
    return found


def grade(taken: TakenIn) -> Generator[Graded]:
    """Grade what was taken in, here or on a cluster. Yield results as they finish."""
    class_, cache = taken.class_, ResultCache(ROOT)
    assignment = class_.assignment
    if class_.engine:
        files = (
            class_.roster_file,
            class_.rules_file,
            class_.unowned_are_nobody,
            class_.accommodations_file,
        )
        where = cluster.Sources(class_.folder, *files)
        return cluster.grade_on_cluster(
            taken.attempts, assignment, where, class_.engine, cache=cache
        )
    katas, options, at_a_time = (
        assignment.katas,
        assignment.options,
        assignment.at_a_time,
    )
    return class_grading.grade_class(
        taken.attempts, katas, cache=cache, options=options, at_a_time=at_a_time
    )


def book(taken: TakenIn, lines: ResultLines, counted: Counting) -> Booked:
    """Enter the results into a gradebook as they arrive, and write a line for each.
    Ctrl-C ends it early.
    """
    collected, class_ = taken.collected, taken.class_
    texts = {one.submission.student: one.submission.texts or {} for one in taken.read}
    dated = {one.submission.student: one.versions for one in taken.read}
    kept = collected.earlier if class_.never_lower else None
    book = Gradebook(
        texts, class_.assignment, dated, collected.people, collected.decided, kept
    )
    for line in _excused(taken, book, lines):
        lines.write(line)
    total = sum(len(attempt.katas) for attempt in taken.attempts)
    files = untouched.known(
        place for one in taken.read for place in one.submission.places
    )
    try:
        with closing(grade(taken)) as grading:
            for one in counted(grading, total=total):
                lines.write(_entered(one, book, taken, lines))
    except KeyboardInterrupt:
        return Booked(taken, book, True, untouched.changes(files))
    for line in regrading.kept_lines(collected.earlier, book.results):
        lines.write(line)
    lines.finish()
    return Booked(taken, book, False, untouched.changes(files))


def _excused(taken: TakenIn, book: Gradebook, lines: ResultLines) -> Iterator[str]:
    """Enter the katas that students are excused from, which are not graded. Yields the
    line of each.
    """
    for one in taken.read:
        student = one.submission.student
        for kata in taken.class_.assignment.katas:
            if why := accommodations.excused(
                taken.collected.allowed, student, kata.name
            ):
                yield lines.text(student, book.excuse(student, kata.name, why))


def _entered(one: Graded, book: Gradebook, taken: TakenIn, lines: ResultLines) -> str:
    """The line of a result that is entered into the gradebook. Where that fails, the
    kata is not graded.
    """
    texts: list[str] = []

    def lost(why: str) -> None:
        texts.append(
            _line(one, book.lose(one.student, one.result.kata, why), taken, lines)
        )

    with boundary.costs_only(lost):
        texts.append(_line(one, book.enter(one), taken, lines))
    return texts[0]


def _line(
    one: Graded, counts: KataResult | None, taken: TakenIn, lines: ResultLines
) -> str:
    """The line of a result, as the gradebook counts it. What was graded earlier, and is
    not now, keeps its line.

    Where students are chosen, the lines are for who chooses among versions: one per
    version, as it was graded.
    """
    if taken.class_.only:
        return lines.of_version(
            replace(one, result=counts) if counts and counts.gap else one
        )
    if counts is None:
        return ""
    old = taken.collected.earlier.get((one.student, counts.kata))
    return (
        old.line
        if old and counts.gap and not old.result.gap
        else lines.text(one.student, counts)
    )


def report(booked: Booked, outputs: Outputs) -> Reported:
    """The report of the class. Each student's is tried alone: one that cannot be
    rendered is not graded.
    """
    for student in booked.book.results:
        with boundary.costs_only(partial(booked.book.lose_all, student)):
            _try(student, booked.book, outputs)
    whole = booked.book.class_report(interrupted=booked.interrupted)
    return Reported(booked, replace(whole, unowned=booked.taken.collected.waits))


def _try(student: str, book: Gradebook, outputs: Outputs) -> None:
    """Render everything that is said of a student."""
    alone = ClassReport(
        book.started, 0.0, True, {student: book.report(student)}, book.roster
    )
    class_lines.of(student, alone.students[student], explain=outputs.explain)
    list(unconfirmed.lines(alone))
    _pages(alone, outputs)
    for file in outputs.reports:
        file.render(alone)


def lines(reported: Reported, outputs: Outputs) -> list[str]:
    """What a terminal says of the points that the teacher has to decide, and of
    each student.
    """
    booked, whole = reported.booked, reported.whole
    not_begun = [
        s
        for s, report in whole.students.items()
        if booked.interrupted and not report.katas
    ]
    absent, said = set(booked.taken.absent), list(unconfirmed.lines(whole))
    for student, report in whole.students.items():
        if student not in not_begun:
            why = (
                words.not_graded(booked.book.lost[student])
                if student in booked.book.lost
                else "interrupted"
            )
            said += class_lines.of(
                student, report, why, absent=student in absent, explain=outputs.explain
            )
    return [
        *said,
        *(
            [f"{words.counted(len(not_begun), 'more student')} not graded yet"]
            if not_begun
            else []
        ),
    ]


def write(whole: ClassReport, outputs: Outputs) -> list[str]:
    """Write pages and reports. Returns why a student's page could not be written."""
    unwritten: list[str] = []
    for path, page in _pages(whole, outputs):
        with boundary.costs_only(unwritten.append):
            report_files.write(path, page)
    for file in outputs.reports:
        links = file.links(outputs.pages, whole.students)
        file.write(replace(whole, pages=links, canvas_column=outputs.canvas_column))
    return unwritten


def _pages(report: ClassReport, outputs: Outputs) -> list[tuple[Path, str]]:
    """The path and the text of each student's page, if pages are asked for."""
    if outputs.pages is None:
        return []
    students = report.students.items()
    return [
        (outputs.pages / f"{name}.html", html_report.render(students_view.of(one)))
        for name, one in students
    ]


def unparsed(whole: ClassReport) -> list[str]:
    """The files that no Python parses, each with its line: they have 0, or wait if the
    course says so.
    """
    found = {
        f"  {student}: {kata.kata}: {kata.file.line}": bool(kata.gap)
        for student, report in whole.students.items()
        for kata in report.katas
        if kata.file
        and kata.file.kind == "unparsed"
        and not all(one.override or one.so_far.point for one in kata.exercises)
    }
    which = "wait for you" if any(found.values()) else "have 0: look at these first"
    return [f"files that no Python parses {which}", *found] if found else []


def problems(reported: Reported, unwritten: list[str]) -> list[str]:
    """What keeps the grading from being whole, each with what to do about it.

    Args:
        unwritten: why pages could not be written.
    """
    booked, found = reported.booked, []
    lost, waits = booked.book.lost, booked.taken.collected.waits
    everybody = words.counted(len(booked.book.results), "student")
    unknown = {
        student
        for student, kata in lost.items()
        if kata.nothing_graded is Reason.NOT_RECOGNISED
    }
    waiting = {
        student
        for student, kata in lost.items()
        if kata.nothing_graded is Reason.UNOWNED
    }
    open_points = {} if booked.taken.class_.only else reported.whole.to_settle
    if waits:
        count = f"{words.counted(len(waits), 'submission')} of nobody in the roster"
        held = (
            f", which {len(waiting)} of {everybody} may have handed in"
            if waiting
            else ""
        )
        found.append(
            f"{count}{held}: name each as an id of the roster, or add "
            "--unowned-are-nobody"
        )
    if rights := booked.changed.rights:
        count = words.counted(len(rights), "file")
        found.append(
            f"{count} changed in mode, owner or attributes while the code ran: see "
            "the first line"
        )
    if unknown:
        count = f"{len(unknown)} of {everybody}"
        found.append(
            f"not recognised: {count}: rename what they handed in, or ask them for it "
            "again"
        )
    if others := lost.keys() - unknown - waiting:
        count = f"{len(others)} of {everybody}"
        found.append(
            f"{count} could not be graded: ask for a file that can be read, decide, "
            "or run the command again"
        )
    if open_points:
        count = (
            f"{words.counted(sum(map(len, open_points.values())), 'point')} of "
            f"{len(open_points)} of {everybody}"
        )
        found.append(
            f"unconfirmed: {count}: settle each with a line of --overrides FILE"
        )
    if unwritten and not lost:
        found.append(
            f"{words.counted(len(unwritten), 'page')} could not be written: "
            f"{unwritten[0]}"
        )
    return found
