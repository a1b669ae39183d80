"""What a terminal says of a class: what was found before it is graded, what came of
each student, and what is left for the teacher.
"""

from grader.reports import class_lines, unconfirmed, words
from grader.results import Reason
from grader.teaching import intake, versions
from grader.teaching.class_run import Attributed, Reported

NO_RULES = "the students' own dates cost nothing: grading.toml has no table [late]"


def unowned(attributed: Attributed) -> list[str]:
    """What is said of the submissions of nobody."""
    waiting = [one.submission.student for one in attributed.read if one.waits]
    return intake.unowned(attributed.collected.waits, waiting)


def urgent(attributed: Attributed) -> list[str]:
    """What keeps the grading from being whole: submissions of nobody, and those that
    were not recognised.
    """
    return [*unowned(attributed), *intake.urgent(attributed.rows)]


def found(attributed: Attributed) -> list[str]:
    """What is said before the class is graded."""
    collected = attributed.collected
    lines = unowned(attributed)
    lines += intake.lines(attributed.rows, collected.strangers, intake.SHOWN)
    lines += _times(attributed)
    has_dates = any(person.due or person.extension for person in collected.people)
    has_more = any(not one.excused for one in collected.allowed.values())
    if (has_dates or has_more) and not attributed.asked.assignment.rules.late:
        lines.append(NO_RULES)
    return lines


def _times(attributed: Attributed) -> list[str]:
    """What is said of late submissions, and of those whose time nobody knows."""
    late: dict[str, list[str]] = {}
    for one in attributed.read:
        if platform := one.submission.late_by:
            late.setdefault(platform, []).append(one.submission.student)
    untimed: dict[str, list[str]] = {}
    if attributed.asked.assignment.rules.late:
        for one in attributed.read:
            for why in versions.why_untimed(one.versions):
                untimed.setdefault(why, []).append(one.submission.student)
    return intake.of_times(late, untimed)


def of_students(reported: Reported) -> list[str]:
    """What is said of the points that the teacher has to decide, and of each
    student.
    """
    booked, whole = reported.booked, reported.whole
    not_begun = [
        s
        for s, report in whole.students.items()
        if booked.interrupted and not report.katas
    ]
    absent, said = set(booked.attributed.absent), list(unconfirmed.lines(whole))
    for student, report in whole.students.items():
        if student not in not_begun:
            why = (
                words.not_graded(booked.book.ungraded[student])
                if student in booked.book.ungraded
                else "interrupted"
            )
            said += class_lines.of(
                student,
                report,
                why,
                absent=student in absent,
                explain=booked.attributed.asked.explain,
            )
    return [
        *said,
        *(
            [f"{words.counted(len(not_begun), 'more student')} not graded yet"]
            if not_begun
            else []
        ),
    ]


def unparsed(reported: Reported) -> list[str]:
    """The files that no Python parses, each with its line: they have 0, or wait if the
    course says so.
    """
    found = {
        f"  {student}: {kata.kata}: {kata.file.line}": bool(kata.gap)
        for student, report in reported.whole.students.items()
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
    ungraded, waits = booked.book.ungraded, booked.attributed.collected.waits
    everybody = words.counted(len(booked.book.results), "student")
    unknown = {
        student
        for student, kata in ungraded.items()
        if kata.nothing_graded is Reason.NOT_RECOGNISED
    }
    waiting = {
        student
        for student, kata in ungraded.items()
        if kata.nothing_graded is Reason.UNOWNED
    }
    open_points = {} if booked.attributed.asked.only else reported.whole.to_settle
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
    if others := ungraded.keys() - unknown - waiting:
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
    if unwritten and not ungraded:
        found.append(
            f"{words.counted(len(unwritten), 'page')} could not be written: "
            f"{unwritten[0]}"
        )
    return found
