"""Finds the submissions in a folder: which of its entries belong to which student."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal

from grader.course.catalogue import Kata
from grader.errors import NoSubmissions
from grader.teaching import archives, attribution, platforms, uploads
from grader.teaching.listing import HIDDEN, readable
from grader.teaching.platform import Platform
from grader.workers.jobs import SourceText

FILES = (*archives.OPENED, ".ipynb")
Version = Literal["newest", "on time"]


@dataclass(frozen=True)
class Submission:
    """One student's submission: folders (such as a checkout), archives, notebooks,
    files as a platform names them.

    There are no places if a student of the roster handed in nothing. `texts` has each
    kata's text, once read. `number` is a platform's own number for the student, such as
    "Canvas 12345".
    """

    student: str
    places: tuple[Path, ...]
    texts: Mapping[Kata, SourceText] | None = None
    number: str = ""

    @property
    def platform(self) -> Platform:
        """The platform that has named it."""
        return platforms.named(self.number.partition(" ")[0])

    @property
    def late_by(self) -> str:
        """The platform that marks it as handed in late; empty if none does."""
        found = [uploads.of(place) for place in self.places]
        late = [upload.platform.name for upload in found if upload and upload.late]
        return next(iter(late), "")

    @property
    def is_test(self) -> bool:
        """True if it is called as that of the platform's own test student."""
        test = self.platform.test_student
        return bool(test) and self.student.startswith(test)


@dataclass(frozen=True)
class Attempt:
    """What is graded of a submission: one version of these katas."""

    submission: Submission
    katas: tuple[Kata, ...]
    version: Version = "newest"

    @property
    def student(self) -> str:
        return self.submission.student


def attempts(handed_in: Iterable[Submission], katas: Iterable[Kata]) -> list[Attempt]:
    """Each submission as it is, for these katas."""
    asked = tuple(katas)
    return [Attempt(submission, asked) for submission in handed_in]


def collect(folder: Path, *, or_none: bool = False) -> list[Submission]:
    """The submissions in a folder, sorted by name. `alice/` and `alice.zip` are
    one student's.

    Args:
        or_none: there may be none.
    Raises:
        NoSubmissions: the folder holds none.
    """
    places: dict[str, list[Path]] = {}
    numbers: dict[str, str] = {}
    for entry in _entries(folder):
        if _is_handed_in(entry):
            upload = uploads.of(entry)
            student = upload.student if upload else _student(entry)
            places.setdefault(student, []).append(entry)
            numbers[student] = upload.number if upload else ""
    if not places and not or_none:
        raise NoSubmissions(
            f"{folder} holds no submissions: it needs one folder, .zip or .ipynb file "
            "per student"
        )
    students: dict[str, str] = {}
    for name in sorted(places):
        shown = readable(name)
        numbered = (f"{shown} ({number})" for number in count(2))
        students[
            next(one for one in chain([shown], numbered) if one not in students)
        ] = name
    found = students.items()
    return [
        Submission(student, tuple(places[name]), number=numbers[name])
        for student, name in found
    ]


def strangers(folder: Path) -> list[Submission]:
    """The other entries of a folder, each by its name: whoever of a roster is called so
    has handed it in.
    """
    return [
        Submission(_bare(entry), (entry,))
        for entry in _entries(folder)
        if not _is_handed_in(entry)
    ]


def sources(submission: Submission, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
    """The text of each kata's file in the submission, or the problem with that file.
    What is read is not read again.
    """
    katas = list(katas)
    if submission.texts is not None:
        return {kata: submission.texts[kata] for kata in katas}
    return attribution.look(submission.places, katas).sources(katas)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not HIDDEN.match(entry.name)]


def _is_handed_in(entry: Path) -> bool:
    is_packed = archives.is_archive(entry.name) or entry.suffix.lower() == ".ipynb"
    return entry.is_dir() or is_packed or uploads.parsed(entry.name) is not None


def _bare(entry: Path) -> str:
    """A file's name without ".py", or ".py.txt"."""
    return readable(Path(entry.name.removesuffix(".txt")).stem)


def _student(entry: Path) -> str:
    """The name of a folder, or that of a file without ".zip" or ".tar.gz"."""
    if entry.is_dir():
        return entry.name
    return (
        entry.stem.removesuffix(".tar")
        if archives.is_archive(entry.name)
        else entry.stem
    )
