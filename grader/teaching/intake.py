"""Tells what was found in the submissions of a class before they are graded: what
counts, and what was ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from grader.course.catalogue import Kata
from grader.failure import NOT_HANDED_IN
from grader.reports import csv_cells
from grader.teaching import uploads
from grader.teaching.contents import Absent, Contents, Found
from grader.teaching.listing import readable
from grader.teaching.submissions import Submission

# findings on a terminal, beside those that keep a submission from being graded
SHOWN = 20
URGENT = ("not recognised", "not graded", "not handed in")
COLUMNS = ("student", "kata", "file", "verdict", "note", "modified")
STRANGER = "it is no folder, archive or notebook of a student"


@dataclass(frozen=True)
class Finding:
    """One file of a submission, or a kata without one. `odd`: a person should look
    at it.
    """

    student: str
    kata: str
    file: str
    # counts, ignored, handed in, not handed in, not recognised, not graded
    verdict: str
    note: str = ""
    modified: str = ""
    odd: bool = False
    untimed: bool = False  # the note says why nobody knows when it was handed in
    late: bool = False  # a platform marks it so


def findings(
    submission: Submission, contents: Contents, katas: Iterable[Kata]
) -> list[Finding]:
    """The findings in a submission.

    Args:
        katas: those that are graded. Earlier katas that were not handed in are replaced
            by the reference.
    """
    student = submission.student
    found = [
        Finding(
            student,
            kata.name,
            one.file.shown,
            _verdict(one),
            one.note,
            _said(one.file.modified),
            odd=bool(one.note),
        )
        for kata, one in contents.found.items()
    ]
    asked = list(katas)
    absent = [
        (kata.name, row)
        for kata in asked
        if isinstance(row := contents.katas.get(kata), Absent)
    ]
    # An archive that nobody can open is one line, not one per kata.
    if (
        len(asked) > 1
        and len(absent) == len(asked)
        and len({row for _, row in absent}) == 1
    ):
        absent = [("", absent[0][1])]
    for name, row in sorted(absent, key=lambda pair: pair[1].verdict != NOT_HANDED_IN):
        verdict, is_odd = row.verdict, row.verdict != NOT_HANDED_IN
        found.append(Finding(student, name, "", verdict, row.for_teacher, odd=is_odd))
    if submission.is_late:
        found.append(
            Finding(student, "", "", "handed in", "Canvas marks it as late", late=True)
        )
    if len(submission.places) > 1 and not all(
        uploads.of(place) for place in submission.places
    ):
        names = " and ".join(
            sorted(readable(place.name) for place in submission.places)
        )
        note = (
            f"where {names} hold the same kata, {contents.newest} counts, which is "
            "newer"
        )
        found.append(Finding(student, "", names, "counts", note, odd=True))
    missing = contents.absent(NOT_HANDED_IN)
    if submission.places and asked and all(kata in missing for kata in asked):
        found.append(
            Finding(
                student,
                "",
                "",
                "not handed in",
                "no file of a kata was found",
                odd=True,
            )
        )
    said = {row.why for _, row in absent}
    unsaid = [one for one in contents.unused if one.line not in said]
    return found + [
        Finding(student, "", one.file, "ignored", one.why, odd=one.odd)
        for one in unsaid
    ]


def _verdict(found: Found) -> str:
    return found.source.lost.state if found.source.lost else "counts"


def lines(
    found: Iterable[Finding], strangers: Iterable[str] = (), most: int | None = None
) -> list[str]:
    """The findings that a person should look at, one per line. First, and never cut
    off, come the urgent ones.
    """
    found = list(found)
    others = _others(found, strangers)
    rest = len(others[most:]) if most else 0
    more = [f"… and {rest} more: --intake FILE writes them all"] if rest else []
    return [*urgent(found), *others[:most], *more]


def urgent(found: Iterable[Finding]) -> list[str]:
    """A line per reason why a submission, or a kata of it, was not recognised, cannot
    be read, or is empty.
    """
    return _shared(one for one in found if one.odd and one.verdict in URGENT)


def unowned(names: Mapping[str, str], waiting: Iterable[str]) -> list[str]:
    """The submissions that nobody in the roster owns, each with the reason, and the
    people who lack what they have.
    """
    if not names:
        return []
    people = ", ".join(waiting) or "nobody"
    owners = [f"  {name}: {why}" for name, why in names.items()]
    return [
        "submissions that nobody in the roster owns:",
        *owners,
        f"people who may have handed one in: {people}",
    ]


def of_times(found: Iterable[Finding], *, count: bool) -> list[str]:
    """One line on the submissions that a platform marks as late, and one on those whose
    time nobody knows.

    Args:
        count: times count, as the rules say what lateness costs.
    """
    late: list[str] = []
    untimed: dict[str, list[str]] = {}
    for one in found:
        if one.late:
            late.append(one.student)
        elif one.untimed and count:
            untimed.setdefault(one.note, []).append(one.student)
    said = [f"late, as Canvas says: {', '.join(late)}"] if late else []
    return said + [
        f"{why}, so lateness costs nothing: {', '.join(students)}"
        for why, students in untimed.items()
    ]


def _others(found: Iterable[Finding], strangers: Iterable[str]) -> list[str]:
    said = _shared(one for one in found if one.odd and one.verdict not in URGENT)
    return said + [f"{name}: ignored: {STRANGER}" for name in strangers]


def _shared(found: Iterable[Finding]) -> list[str]:
    """A line per finding. Files of one student with the same note share a line."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        shared.setdefault((one.student, one.verdict, one.note), []).append(one.file)
    return [_line(*key, files) for key, files in shared.items()]


def render_csv(found: Iterable[Finding], strangers: Iterable[str]) -> str:
    """One row per file, and per kata that was not handed in."""
    rows = [COLUMNS]
    for one in found:
        row = (one.student, one.kata, one.file, one.verdict, one.note, one.modified)
        rows.append(row)
    rows += [("", "", name, "ignored", STRANGER, "") for name in strangers]
    return csv_cells.render(rows)


def _line(student: str, verdict: str, note: str, files: list[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    what = f"{files[0]}{more}: " if files[0] and files[0] not in note else ""
    said = f"{verdict}: " if verdict in ("ignored", "not recognised") else ""
    return f"{student}: {what}{said}{note}"


def _said(time: datetime) -> str:
    return time.isoformat(" ", "seconds")
