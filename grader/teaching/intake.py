"""Tells what was found in the submissions of a class before they are graded: what
counts, and what was ignored.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from grader.course.catalogue import Kata
from grader.reports import csv_cells
from grader.teaching import contents, uploads
from grader.teaching.contents import Contents, Row, general
from grader.teaching.listing import readable
from grader.teaching.submissions import Submission

# rows on a terminal, beside those that keep a submission from being graded
SHOWN = 20
URGENT = ("not recognised", "not graded", "not handed in")
COLUMNS = ("student", "kata", "file", "verdict", "note", "modified")
STRANGER = "it is no folder, archive or notebook of a student"


def rows(
    submission: Submission, contents_: Contents, katas: Iterable[Kata]
) -> list[Row]:
    """What is told of a submission: the files that count, what is missing, how it came,
    and the files that were ignored.

    Args:
        katas: those that are graded. Earlier katas that were not handed in are replaced
            by the reference.
    """
    asked = list(katas)
    absent = _absent(contents_, asked)
    said = {row.note for row in absent}
    found = [
        *(row for row in contents_.katas.values() if row.file),
        *absent,
        *_of_the_whole(submission, contents_, asked),
        *(row for row in contents_.unused if row.line not in said),
    ]
    return contents.of_student(submission.student, found)


def _absent(contents_: Contents, asked: Sequence[Kata]) -> list[Row]:
    """The katas without a file, those that were not handed in first."""
    absent = [
        row for kata in asked if (row := contents_.katas.get(kata)) and row.file is None
    ]
    # An archive that nobody can open is one row, not one per kata.
    reasons = {(row.verdict, row.note) for row in absent}
    if len(asked) > 1 and len(absent) == len(asked) and len(reasons) == 1:
        return [replace(absent[0], kata=None)]
    return sorted(absent, key=lambda row: row.verdict != "not handed in")


def _of_the_whole(
    submission: Submission, contents_: Contents, asked: Sequence[Kata]
) -> list[Row]:
    """What is told of a submission as a whole."""
    found: list[Row] = []
    if submission.late_by:
        found.append(general("handed in", f"{submission.late_by} marks it as late"))
    is_a_download = all(uploads.of(place) for place in submission.places)
    if len(submission.places) > 1 and not is_a_download:
        places = sorted(readable(place.name) for place in submission.places)
        names = " and ".join(places)
        note = (
            f"where {names} hold the same kata, {contents_.newest} counts, which is "
            "newer"
        )
        found.append(general("counts", note, names, odd=True))
    missing = contents_.absent("not handed in")
    if submission.places and asked and all(kata in missing for kata in asked):
        why = "no file of a kata was found"
        found.append(general("not handed in", why, odd=True))
    return found


def lines(
    found: Iterable[Row], strangers: Iterable[str] = (), most: int | None = None
) -> list[str]:
    """The rows that a person should look at, one per line. First, and never cut
    off, come the urgent ones.
    """
    found = list(found)
    others = _others(found, strangers)
    rest = len(others[most:]) if most else 0
    more = [f"… and {rest} more: --intake FILE writes them all"] if rest else []
    return [*urgent(found), *others[:most], *more]


def urgent(found: Iterable[Row]) -> list[str]:
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


def of_times(
    late: Mapping[str, Sequence[str]], untimed: Mapping[str, Sequence[str]]
) -> list[str]:
    """One line on the submissions that a platform marks as late, and one per reason why
    nobody knows a time.

    Args:
        late: by platform, the students of these submissions.
        untimed: by reason, the students whom it keeps from losing anything.
    """
    marked = [
        f"late, as {platform} says: {', '.join(students)}"
        for platform, students in late.items()
    ]
    return marked + [
        f"{why}, so lateness costs nothing: {', '.join(students)}"
        for why, students in untimed.items()
    ]


def _others(found: Iterable[Row], strangers: Iterable[str]) -> list[str]:
    said = _shared(one for one in found if one.odd and one.verdict not in URGENT)
    return said + [f"{name}: ignored: {STRANGER}" for name in strangers]


def _shared(found: Iterable[Row]) -> list[str]:
    """A line per row. Files of one student with the same note share a line."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        shared.setdefault((one.student, one.verdict, one.note), []).append(one.name)
    return [_line(*key, files) for key, files in shared.items()]


def render_csv(found: Iterable[Row], strangers: Iterable[str]) -> str:
    """One row per file, and per kata that was not handed in."""
    cells = [COLUMNS]
    for row in found:
        kata = row.kata.name if row.kata else ""
        cells.append((row.student, kata, row.name, row.verdict, row.note, row.modified))
    cells += [("", "", name, "ignored", STRANGER, "") for name in strangers]
    return csv_cells.render(cells)


def _line(student: str, verdict: str, note: str, files: list[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    what = f"{files[0]}{more}: " if files[0] and files[0] not in note else ""
    said = f"{verdict}: " if verdict in ("ignored", "not recognised") else ""
    return f"{student}: {what}{said}{note}"
