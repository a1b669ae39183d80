"""Tells what was found in the submissions of a class before they are graded: what counts, and what was ignored."""

import csv
import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from grader.course.catalogue import Kata
from grader.reports.csv_report import as_text
from grader.teaching import commits
from grader.teaching.finder import CANVAS, Contents, readable
from grader.teaching.submissions import Submission

SHOWN = 20  # findings on a terminal
MOST_INNER = 100  # entries of a submission that may be a checkout
COLUMNS = ("student", "kata", "file", "verdict", "note", "modified")


@dataclass(frozen=True)
class Finding:
    """One file of a submission, or a kata without one. `odd`: a person should look at it."""

    student: str
    kata: str
    file: str
    verdict: str  # counts, ignored, not handed in, not graded
    note: str = ""
    modified: str = ""
    odd: bool = False


@dataclass(frozen=True)
class HandIn:
    """The time of a submission, and its source. A time from an archive has no time zone."""

    time: datetime
    how: str


def findings(submission: Submission, contents: Contents, katas: Iterable[Kata]) -> list[Finding]:
    """The findings in a submission.

    Args:
        katas: those that are graded. Earlier katas that were not handed in are replaced by the reference.
    """
    student = submission.student
    found = [
        Finding(student, kata.name, one.file.shown, "counts", one.note, _said(one.file.modified), odd=bool(one.note))
        for kata, one in contents.found.items()
    ]
    asked = list(katas)
    missing = [kata for kata in asked if kata in contents.missing]
    found += [Finding(student, kata.name, "", "not handed in", contents.missing[kata]) for kata in missing]
    lost = [kata for kata in asked if kata in contents.lost]
    found += [Finding(student, kata.name, "", "not graded", contents.lost[kata]) for kata in lost]
    if len(submission.places) > 1 and not all(CANVAS.fullmatch(place.name) for place in submission.places):
        names = " and ".join(sorted(readable(place.name) for place in submission.places))
        note = f"where {names} hold the same kata, {contents.newest} counts, which is newer"
        found.append(Finding(student, "", names, "counts", note, odd=True))
    if submission.places and not any(kata in contents.found for kata in asked):
        found.append(Finding(student, "", "", "not handed in", "no file of a kata was found", odd=True))
    return found + [Finding(student, "", one.file, "ignored", one.why, odd=one.odd) for one in contents.ignored]


def handed_in(submission: Submission, contents: Contents) -> HandIn | None:
    """The time of a submission: that of its checkout's newest commit, or else of the newest of the katas' files."""
    if times := [time for folder in _checkouts(submission) if (time := commits.newest(folder))]:
        return HandIn(max(times), "the newest commit")
    if not contents.found:
        return None
    newest = max((one.file for one in contents.found.values()), key=lambda file: file.modified.timestamp())
    return HandIn(newest.modified, f"the time of {newest.shown}")


def _checkouts(submission: Submission) -> list[Path]:
    """The checkouts that a student handed in, each perhaps inside another folder."""
    found = []
    for place in submission.places:
        with suppress(OSError):  # a folder that cannot be read is among the findings
            inner = sorted(place.iterdir())[:MOST_INNER] if place.is_dir() else []
            own = [place, *(one for one in inner if not one.is_symlink())]
            found += [one for one in own if (one / ".git").is_dir()]
    return found


def lines(found: Iterable[Finding], strangers: Iterable[str] = ()) -> list[str]:
    """The findings that a person should look at, one per line. Files of one student with the same note share a line."""
    shared: dict[tuple[str, str, str], list[str]] = {}
    for one in found:
        if one.odd:
            shared.setdefault((one.student, one.verdict, one.note), []).append(one.file)
    said = [_line(*key, files) for key, files in shared.items()]
    return said + [f"{name}: ignored: it is no folder, .zip or .ipynb file of a student" for name in strangers]


def short(said: list[str]) -> list[str]:
    """The first lines, and how many more there are."""
    rest = len(said) - SHOWN
    return said if rest <= 0 else [*said[:SHOWN], f"… and {rest} more: --intake FILE writes them all"]


def render_csv(found: Iterable[Finding], strangers: Iterable[str]) -> str:
    """One row per file, and per kata that was not handed in."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in found:
        cells = (one.student, one.kata, one.file, one.verdict, one.note, one.modified)
        writer.writerow([as_text(cell) for cell in cells])
    for name in strangers:
        writer.writerow(["", "", as_text(name), "ignored", "it is no folder, .zip or .ipynb file of a student", ""])
    return file.getvalue()


def _line(student: str, verdict: str, note: str, files: list[str]) -> str:
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    what = f"{files[0]}{more}: " if files[0] and files[0] not in note else ""
    return f"{student}: {what}{'ignored: ' if verdict == 'ignored' else ''}{note}"


def _said(time: datetime) -> str:
    return time.isoformat(" ", "seconds")
