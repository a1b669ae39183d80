"""Finds the submissions in a folder, and the file of each kata in a submission."""

import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import loading, notebooks
from grader.course.catalogue import KATA_FOLDER, Kata
from grader.errors import LoadFailure, NoSubmissions, NotANotebook
from grader.execution.jobs import SourceText, unreadable

MOST_MEMBERS = 10_000  # files in one archive
DEEPEST = 3  # folders around the one that holds the katas
FILES = (".zip", ".ipynb")
NOT_SUBMISSIONS = re.compile(r"\.|__MACOSX$|__pycache__$")

Find = Callable[[Kata], str]  # returns the text of a kata's file, or raises LoadFailure


@dataclass(frozen=True)
class Submission:
    """What one student handed in: a folder (such as a checkout), a zip archive, or a notebook of one kata."""

    student: str
    place: Path


def collect(folder: Path) -> list[Submission]:
    """The submissions in a folder, sorted by name: every folder, .zip file and .ipynb file that is not hidden.

    Raises:
        NoSubmissions: the folder holds none.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if not NOT_SUBMISSIONS.match(entry.name)]
    found = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in FILES]
    if not found:
        raise NoSubmissions(f"{folder} holds no submissions: it needs one folder, .zip or .ipynb file per student")
    taken = [printable.line(entry.stem if entry.is_file() else entry.name) for entry in found]
    names = [printable.line(e.name) if taken.count(name) > 1 else name for e, name in zip(found, taken, strict=True)]
    students: dict[str, Path] = {}
    for entry, name in zip(found, names, strict=True):
        numbered = (f"{name} ({number})" for number in count(2))
        students[next(one for one in chain([name], numbered) if one not in students)] = entry
    return [Submission(student, entry) for student, entry in students.items()]


def sources(submission: Submission, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
    """The text of each kata's file in the submission, or the problem with that file."""
    katas = list(katas)
    try:
        find = _finder(submission.place, katas)
    except (LoadFailure, OSError) as failure:
        return {kata: unreadable(failure) for kata in katas}
    found = {}
    for kata in katas:
        try:
            found[kata] = SourceText(sys.intern(find(kata)))  # saves memory: many students leave some files unchanged
        except (LoadFailure, OSError) as failure:
            found[kata] = unreadable(failure)
    return found


def _finder(place: Path, katas: list[Kata]) -> Find:
    if place.is_dir():
        return _in_folder(place)
    return _in_notebook(place, katas) if place.suffix.lower() == ".ipynb" else _in_archive(place)


def _in_folder(place: Path) -> Find:
    """Find files below this folder, or below the folders that wrap its content."""
    root = place
    for _ in range(DEEPEST):
        inside = [entry for entry in place.iterdir() if not NOT_SUBMISSIONS.match(entry.name)]
        if len(inside) != 1 or not _wraps(inside[0]):
            break
        place = inside[0]

    def find(kata: Kata) -> str:
        paths = [place / "katas" / kata.file, place / kata.file, place / kata.file.name]
        path = next((path for path in paths if path.exists() or path.is_symlink()), None)
        if path is None:
            raise _not_handed_in(kata)
        return loading.read_source(path, within=root)

    return find


def _wraps(entry: Path) -> bool:
    """Whether this only entry of a folder is a wrapper around the submission, not a kata's folder."""
    return entry.is_dir() and not entry.is_symlink() and not KATA_FOLDER.fullmatch(entry.name)


def _in_notebook(place: Path, katas: list[Kata]) -> Find:
    """Find code in this notebook, which belongs to one kata."""
    try:
        notebook = notebooks.read(place)
        its_kata = notebooks.kata_of(notebook, katas, place.name)
    except NotANotebook as failure:
        raise LoadFailure(str(failure)) from None

    def find(kata: Kata) -> str:
        if kata != its_kata:
            raise _not_handed_in(kata)
        return notebooks.module(notebook, kata)

    return find


def _in_archive(place: Path) -> Find:
    """Find files in this zip archive without unpacking it to disk."""
    try:
        archive = zipfile.ZipFile(place)
        members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        raise LoadFailure(f"{place.name}: is not a zip archive that can be read") from None
    if len(members) > MOST_MEMBERS:
        raise LoadFailure(f"{place.name}: holds {len(members)} files, the limit is {MOST_MEMBERS}")
    by_name: dict[str, list[zipfile.ZipInfo]] = {}
    for member in sorted(members, key=lambda m: m.filename.count("/")):
        if not any(NOT_SUBMISSIONS.match(part) for part in PurePosixPath(member.filename).parts):
            by_name.setdefault(PurePosixPath(member.filename).name, []).append(member)

    def find(kata: Kata) -> str:
        named = by_name.get(kata.file.name, [])
        in_its_folder = [m for m in named if f"/{m.filename}".endswith(f"/{kata.file.as_posix()}")]
        in_none = [m for m in named if not any(KATA_FOLDER.fullmatch(part) for part in PurePosixPath(m.filename).parts)]
        if not in_its_folder + in_none:
            raise _not_handed_in(kata)
        member = (in_its_folder + in_none)[0]
        try:
            with archive.open(member) as file:
                return loading.decoded(kata.file.name, file.read(loading.MAX_BYTES + 1))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zlib.error) as error:
            raise LoadFailure(f"{kata.file.name}: cannot be unpacked from {place.name} ({error})") from None

    return find


def _not_handed_in(kata: Kata) -> LoadFailure:
    return LoadFailure(f"{kata.file.name}: not handed in")
