"""A class: which submissions a folder holds, and grading them all through one set of workers."""

import re
import sys
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from grader import loading, notebooks, runner, verdicts
from grader.catalogue import KATA_FOLDER, Kata
from grader.loading import LoadFailure
from grader.results import KataResult
from grader.runner import Grading, Job

MOST_MEMBERS = 10_000  # files in one archive
DEEPEST = 3  # folders around the one that holds the katas
FILES = (".zip", ".ipynb")
NOT_SUBMISSIONS = re.compile(r"\.|__MACOSX$|__pycache__$")


class NoSubmissions(Exception):
    """The folder cannot be graded as a class. The message is one line."""


@dataclass(frozen=True)
class Submission:
    """What one student handed in: a folder (a checkout, say), a zip archive, or a notebook of one kata."""

    student: str
    place: Path


def collect(folder: Path) -> list[Submission]:
    """The submissions in a folder, one an entry, by name. Hidden entries and single files of other kinds are no submissions.

    Raises:
        NoSubmissions: there is none.
    """
    entries = [entry for entry in sorted(folder.iterdir()) if not NOT_SUBMISSIONS.match(entry.name)]
    found = [entry for entry in entries if entry.is_dir() or entry.suffix.lower() in FILES]
    if not found:
        raise NoSubmissions(f"{folder} holds no submissions: it should hold one folder, .zip or .ipynb file a student")
    taken = [entry.stem if entry.is_file() else entry.name for entry in found]
    return [
        Submission(entry.name if taken.count(name) > 1 else name, entry) for entry, name in zip(found, taken, strict=True)
    ]


def texts(submission: Submission, katas: Iterable[Kata]) -> dict[Kata, tuple[str, str]]:
    """For each kata the text of its file in the submission, or "" and the reason why there is none."""
    katas, place = list(katas), submission.place
    try:
        if place.is_dir():
            find = _in_folder(place)
        else:
            find = _in_notebook(place, katas) if place.suffix.lower() == ".ipynb" else _in_archive(place)
    except (LoadFailure, OSError) as failure:
        return {kata: ("", str(failure)) for kata in katas}
    found = {}
    for kata in katas:
        try:
            found[kata] = (sys.intern(find(kata)), "")  # most of a class hands in some files unchanged
        except (LoadFailure, OSError) as failure:
            found[kata] = ("", str(failure))
    return found


def grade(
    submissions: Iterable[Submission], katas: Iterable[Kata], *, kept: verdicts.Verdicts, jobs: int = 0, core: bool = False
) -> Iterator[tuple[str, KataResult]]:
    """Grade every submission; (student, result of one kata) as they finish. The same code is run once, whoever handed it in.

    Closing the iterator ends every process it started; calling it again goes on where it ended, from the verdicts on file.
    """
    katas = list(katas)
    needed = runner.with_prerequisites(katas)
    following = iter(submissions)
    open_: dict[str, Grading] = {}
    under_way: dict[str, list[tuple[str, Kata]]] = {}  # the key of a job that is running → whose it is
    keys: dict[Job, str] = {}
    done: list[tuple[str, KataResult]] = []

    def settle(student: str, kata: Kata, result: KataResult) -> None:
        grading = open_[student]
        grading.settle(kata, result)
        done.extend((student, r) for r in grading.results)
        grading.results.clear()

    def ready() -> Iterator[Job]:
        while True:
            found = [(student, job) for student, grading in open_.items() for job in grading.ready()]
            for student, job in found:
                key = verdicts.key(job)
                known = kept.find(job)
                if known:
                    settle(student, job.kata, known)
                elif key in under_way:
                    under_way[key].append((student, job.kata))
                else:
                    under_way[key] = [(student, job.kata)]
                    keys[job] = key
                    yield job
            waited_for = {student for waiting in under_way.values() for student, _ in waiting}
            for student in [s for s, grading in open_.items() if not grading.waiting and s not in waited_for]:
                del open_[student]
            if not found:
                submission = next(following, None)
                if submission is None:
                    return
                open_[submission.student] = Grading(katas, texts(submission, needed), core=core)

    for job, result in runner.run(ready, jobs=jobs, specs_of=katas):
        kept.keep(job, result)
        for student, kata in under_way.pop(keys.pop(job)):
            settle(student, kata, result)
        yield from done
        done.clear()
    yield from done


def _in_folder(place: Path):
    """A function from a kata to the text of its file below this folder."""
    root = place
    for _ in range(DEEPEST):
        inside = [entry for entry in place.iterdir() if not NOT_SUBMISSIONS.match(entry.name)]
        if len(inside) != 1 or not inside[0].is_dir() or inside[0].is_symlink() or KATA_FOLDER.fullmatch(inside[0].name):
            break
        place = inside[0]

    def find(kata: Kata) -> str:
        paths = [place / "katas" / kata.file, place / kata.file, place / kata.file.name]
        path = next((path for path in paths if path.exists() or path.is_symlink()), None)
        if path is None:
            raise LoadFailure(f"{kata.file.name}: not handed in")
        return loading.read_source(path, within=root)

    return find


def _in_notebook(place: Path, katas: list[Kata]):
    """A function from a kata to the code of this notebook, if it is that kata's."""
    try:
        notebook = notebooks.read(place)
        its_kata = notebooks.kata_of(notebook, katas, place.name)
    except notebooks.NotANotebook as failure:
        raise LoadFailure(str(failure)) from None

    def find(kata: Kata) -> str:
        if kata != its_kata:
            raise LoadFailure(f"{kata.file.name}: not handed in")
        return notebooks.module(notebook, kata)

    return find


def _in_archive(place: Path):
    """A function from a kata to the text of its file in this zip archive, of which nothing is written to disk."""
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
            raise LoadFailure(f"{kata.file.name}: not handed in")
        member = (in_its_folder + in_none)[0]
        try:
            with archive.open(member) as file:
                return loading.decoded(kata.file.name, file.read(loading.MAX_BYTES + 1))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, zipfile.zlib.error) as error:
            raise LoadFailure(f"{kata.file.name}: cannot be unpacked from {place.name} ({error})") from None

    return find
