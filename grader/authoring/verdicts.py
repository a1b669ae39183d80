"""Remembers which promises held for exactly the files that are there now, so that these need not be tried again."""

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.execution import result_cache
from grader.memory import Memory

Promise = Callable[[Kata], list[str]]

MEMORY = Memory(ROOT)
UNREAD = ("cli", "teaching", "site")  # rooms of which no promise runs anything


def remembered(promise: Promise) -> Promise:
    """A promise that is not tried again while nothing has changed on which it depends."""

    @functools.wraps(promise)
    def checked(kata: Kata) -> list[str]:
        if kata.root != ROOT:
            return promise(kata)
        entry = "promise", f"{promise.__name__} {kata.name}", key(kata)
        if MEMORY.find(*entry) is not None:
            return []
        problems = promise(kata)
        if not problems:
            MEMORY.keep(*entry)
        return problems

    return checked


def key(kata: Kata, beside: Iterable[Path] = ()) -> str:
    """A hash of the kata, of what it builds on, of files beside it, of the grader, and the versions they run on."""
    folders = [folder for one in with_prerequisites([kata]) for folder in (one.folder, one.reference.parent)]
    given = kata.folder.parent.glob("*.py")  # of a track that is a package
    found = hashlib.sha256(_surroundings())
    own = [*given, *(path for path in beside if path.is_file())]
    for path in sorted([*own, *(path for folder in folders for path in _files(folder))]):
        found.update(str(path.relative_to(kata.root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:32]


@functools.cache
def _surroundings() -> bytes:
    found = hashlib.sha256(repr(result_cache.surroundings()).encode())
    grader = ROOT / "grader"
    for path in sorted(_files(grader)):
        if path.relative_to(grader).parts[0] not in UNREAD:
            found.update(path.read_bytes())
    return found.digest()


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
