"""Tells when something was handed in, by who keeps that: a roster, a platform, commits,
or else the files.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath

from grader.execution import boundary
from grader.teaching import commits, uploads
from grader.teaching.contents import Contents, Row
from grader.teaching.listing import File, readable
from grader.teaching.platforms import nbgrader
from grader.teaching.submissions import Submission

MOST_INNER = 100  # entries of a submission that may be a checkout
FIRST_YEAR = 1981  # archives without times say 1980, and tar and files say 1970
NOT_KNOWN = "its time is not known"


@dataclass(frozen=True)
class HandIn:
    """The time of a submission, and its source. A time from an archive has no
    time zone.

    `is_weak`: it is a file's own, which a copy of the class changes.
    """

    time: datetime
    how: str
    is_weak: bool = False


def of(
    submission: Submission,
    contents: Contents,
    *,
    is_nbgraders: bool = False,
) -> HandIn | None:
    """The time of a submission: of its newest commit, nbgrader's note, or newest file.

    None if it is not known: a platform packs files with the time of the download, and
    what a student's own archive says inside is the student's word.

    Args:
        is_nbgraders: nbgrader laid out the class.
    """
    if times := [
        time for folder in checkouts(submission) if (time := commits.newest(folder))
    ]:
        return HandIn(max(times), "the newest commit")
    files = [file for file in contents.files.values() if not is_of_a_download(file)]
    if not files:
        return None
    notes = [_note(submission, file) for file in files] if is_nbgraders else []
    if noted := [time for time in notes if time]:
        return HandIn(max(noted), f"nbgrader's {nbgrader.NOTE}")
    newest = max(files, key=lambda file: file.modified.timestamp())
    if newest.modified.year < FIRST_YEAR:
        return None
    return HandIn(newest.modified, f"the time of {newest.shown}", is_weak=True)


def why_unknown(contents: Contents, said: HandIn | None) -> str:
    """The reason why no time is known of what was found.

    Args:
        said: a time that has not come yet.
    """
    if said:
        return (
            f"{NOT_KNOWN}: {said.how} is of {said.time:%Y-%m-%d}, which has not come "
            "yet"
        )
    if all(is_of_a_download(file) for file in contents.files.values()):
        return f"{NOT_KNOWN}: a file of a download has the time of the download"
    return f"{NOT_KNOWN}: its files say they are from before {FIRST_YEAR}"


def is_of_a_download(file: File) -> bool:
    """Tell if a file came in a platform's download, which has the time at which it
    was packed.
    """
    return uploads.parsed(file.shown.partition("/")[0]) is not None


def checkouts(submission: Submission) -> list[Path]:
    """The checkouts that a student handed in, each perhaps inside another folder."""
    found = []
    for place in submission.places:
        with suppress(OSError):  # a folder that cannot be read is among the rows
            inner = sorted(place.iterdir())[:MOST_INNER] if place.is_dir() else []
            own = [place, *(one for one in inner if not one.is_symlink())]
            found += [one for one in own if (one / ".git").is_dir()]
    return found


def is_nbgraders(folder: Path, everybody: Iterable[Submission]) -> bool:
    """Tell if nbgrader laid out a class: most students have its note on an assignment.

    A student can write such a note into their own folder. One note alone counts only if
    the teacher's folder is called as nbgrader calls it.
    """
    handed_in = [one for one in everybody if one.places]
    noted = 0
    for one in handed_in:
        with boundary.costs_only():
            noted += _has_note(one)
    is_called_so = folder.resolve().name == nbgrader.SUBMITTED
    return 2 * noted > len(handed_in) and (noted > 1 or is_called_so)


def without_notes(contents: Contents) -> Contents:
    """The same, where a person is told of each file that is called as such a note."""
    unused: list[Row] = []
    for row in contents.unused:
        is_called_so = PurePosixPath(row.name).name == nbgrader.NOTE
        if is_called_so:
            row = replace(row, note=nbgrader.NO_NOTE, odd=True)
        unused.append(row)
    return replace(contents, unused=tuple(unused))


def _has_note(submission: Submission) -> bool:
    """Tell if a student's folder has nbgrader's note in the folder of an assignment."""
    notes = f"*/{nbgrader.NOTE}"
    called_so = [path for place in submission.places for path in place.glob(notes)]
    return any(_stamp(path) for path in called_so)


def _note(submission: Submission, file: File) -> datetime | None:
    """What nbgrader noted beside a file, in STUDENT/ASSIGNMENT."""
    parts = PurePosixPath(file.shown).parts
    for place in submission.places:
        if parts[0] == readable(place.name) and len(parts) > 2:
            return _stamp(place / parts[1] / nbgrader.NOTE)
    return None


def _stamp(path: Path) -> datetime | None:
    """The time in a note of nbgrader; None if this is none."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                return nbgrader.noted(file.read(100).decode("ascii", "replace"))
    return None
