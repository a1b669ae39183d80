"""Finds the submissions in a folder: which of its entries belong to which student."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from grader.course.catalogue import Kata
from grader.errors import NoSubmissions
from grader.teaching import finder
from grader.teaching.finder import CANVAS, SKIPPED, readable
from grader.workers.jobs import SourceText

FILES = (".zip", ".ipynb")


@dataclass(frozen=True)
class Submission:
    """One student's submission: folders (such as a checkout), zip archives, notebooks, files with Canvas's names.

    There are no places if a student of the roster handed in nothing. `texts` has each kata's text, once read. `katas`
    are those to grade; None for all that are asked for.
    """

    student: str
    places: tuple[Path, ...]
    texts: Mapping[Kata, SourceText] | None = None
    katas: tuple[Kata, ...] | None = None


def collect(folder: Path) -> list[Submission]:
    """The submissions in a folder, sorted by name. `alice/` and `alice.zip` are one student's.

    Raises:
        NoSubmissions: the folder holds none.
    """
    places: dict[str, list[Path]] = {}
    for entry in _entries(folder):
        if _is_handed_in(entry):
            places.setdefault(_student(entry), []).append(entry)
    if not places:
        raise NoSubmissions(f"{folder} holds no submissions: it needs one folder, .zip or .ipynb file per student")
    students: dict[str, str] = {}
    for name in sorted(places):
        shown = readable(name)
        numbered = (f"{shown} ({number})" for number in count(2))
        students[next(one for one in chain([shown], numbered) if one not in students)] = name
    return [Submission(student, tuple(places[name])) for student, name in students.items()]


def strangers(folder: Path) -> list[str]:
    """The names of the entries in a folder that are nobody's submission."""
    return [readable(entry.name) for entry in _entries(folder) if not _is_handed_in(entry)]


def sources(submission: Submission, katas: Iterable[Kata]) -> dict[Kata, SourceText]:
    """The text of each kata's file in the submission, or the problem with that file. What is read is not read again."""
    katas = list(katas)
    if submission.texts is not None:
        return {kata: submission.texts[kata] for kata in katas}
    return finder.look(submission.places, katas).sources(katas)


def _entries(folder: Path) -> list[Path]:
    return [entry for entry in sorted(folder.iterdir()) if not SKIPPED.match(entry.name)]


def _is_handed_in(entry: Path) -> bool:
    is_file_from_canvas = entry.suffix == ".py" and CANVAS.fullmatch(entry.name)
    return entry.is_dir() or entry.suffix.lower() in FILES or bool(is_file_from_canvas)


def _student(entry: Path) -> str:
    if entry.is_dir():
        return entry.name
    match = CANVAS.fullmatch(entry.name)
    return f"{match['student']}_{match['id']}" if match else entry.stem
