"""Tells when something was handed in, by who keeps that: a roster, a platform, commits, or else the files."""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grader.teaching import commits, uploads
from grader.teaching.contents import Contents
from grader.teaching.listing import File
from grader.teaching.submissions import Submission

MOST_INNER = 100  # entries of a submission that may be a checkout
FIRST_YEAR = 1981  # archives without times say 1980, and tar and files say 1970
NOT_KNOWN = "its time is not known"
NBGRADER = "timestamp.txt"  # which `nbgrader submit` writes into a submission
STAMP = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)? (UTC|[+-]\d{4})\s*")


@dataclass(frozen=True)
class HandIn:
    """The time of a submission, and its source. A time from an archive has no time zone.

    `is_weak`: it is a file's own, which a copy of the class changes.
    """

    time: datetime
    how: str
    is_weak: bool = False


def of(submission: Submission, contents: Contents) -> HandIn | None:
    """The time of a submission: of its checkout's newest commit, of nbgrader's note, or of the newest of its files.

    None if it is not known: a platform packs files with the time of the download, and what a student's own archive
    says inside is the student's word.
    """
    if times := [time for folder in checkouts(submission) if (time := commits.newest(folder))]:
        return HandIn(max(times), "the newest commit")
    files = [one.file for one in contents.found.values() if not is_of_a_download(one.file)]
    if not files:
        return None
    if stamps := [stamp for place in submission.places if (stamp := _stamp(place))]:
        return HandIn(max(stamps), f"nbgrader's {NBGRADER}")
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
        return f"{NOT_KNOWN}: {said.how} is of {said.time:%Y-%m-%d}, which has not come yet"
    if all(is_of_a_download(one.file) for one in contents.found.values()):
        return f"{NOT_KNOWN}: a file of a download has the time of the download"
    return f"{NOT_KNOWN}: its files say they are from before {FIRST_YEAR}"


def is_of_a_download(file: File) -> bool:
    """Tell if a file came in a platform's download, which has the time at which it was packed."""
    return uploads.parsed(file.shown.partition("/")[0]) is not None


def checkouts(submission: Submission) -> list[Path]:
    """The checkouts that a student handed in, each perhaps inside another folder."""
    found = []
    for place in submission.places:
        with suppress(OSError):  # a folder that cannot be read is among the findings
            inner = sorted(place.iterdir())[:MOST_INNER] if place.is_dir() else []
            own = [place, *(one for one in inner if not one.is_symlink())]
            found += [one for one in own if (one / ".git").is_dir()]
    return found


def _stamp(place: Path) -> datetime | None:
    """What nbgrader noted in a submission's folder, or in that of an assignment in it."""
    with suppress(OSError, ValueError):
        for path in sorted([place / NBGRADER, *place.glob(f"*/{NBGRADER}")] if place.is_dir() else []):
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as file:
                    match = STAMP.fullmatch(file.read(100).decode("ascii", "replace"))
                if match:
                    zone = match[2].replace("UTC", "+0000")
                    return datetime.strptime(match[1] + zone, "%Y-%m-%d %H:%M:%S%z")
    return None
