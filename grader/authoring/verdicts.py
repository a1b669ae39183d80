"""Remembers which promises held for exactly the files that are there now, so that these need not be tried again."""

import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from grader import files
from grader.course.catalogue import ROOT, Kata, with_prerequisites
from grader.execution import result_cache

Promise = Callable[[Kata], list[str]]

FOLDER = ROOT / ".kata" / "promises"


def remembered(promise: Promise) -> Promise:
    """A promise that is not tried again while nothing has changed on which it depends."""

    @functools.wraps(promise)
    def checked(kata: Kata) -> list[str]:
        if kata.root != ROOT:
            return promise(kata)
        name = f"{promise.__name__}-{kata.name.replace('/', '-')}"
        mark = FOLDER / f"{name}-{key(kata)}"
        if mark.exists():
            return []
        problems = promise(kata)
        if not problems:
            for old in FOLDER.glob(f"{name}-*"):
                old.unlink(missing_ok=True)
            files.write(mark, "")
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
    for path in sorted(_files(ROOT / "grader")):
        found.update(path.read_bytes())
    return found.digest()


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
