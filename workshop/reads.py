"""What a promise about a kata reads, and a key of it: a hash that changes when a promise must be tried again."""

import functools
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from grader.course.catalogue import Kata, with_prerequisites
from grader.errors import KataError
from grader.execution import result_cache

Promise = Callable[[Kata], list[str]]  # what breaks it, a sentence each

DRAWN_WITH = ("matplotlib", "nbformat")  # which lessons use, and no spec


@dataclass(frozen=True)
class Reads:
    """The files that a promise reads, beside the grader's own code.

    Attributes:
        own: patterns, in which {kata} is the kata's name, {file} the path of its module and {track} what holds it.
        earlier: patterns for each kata that it builds on.
        others: the files that its own files name.
    """

    own: tuple[str, ...]
    earlier: tuple[str, ...] = ()
    others: Callable[[Kata], Iterable[Path]] = lambda kata: ()

    def files(self, kata: Kata) -> set[Path]:
        """Those that are there.

        Raises:
            KataError: a kata.toml cannot be read.
        """
        *builds_on, _ = with_prerequisites([kata])
        found = {path for pattern in self.own for path in _matching(kata, pattern)}
        found.update(path for one in builds_on for pattern in self.earlier for path in _matching(one, pattern))
        found.update(path for path in self.others(kata) if path.exists())
        return {path for path in found if path.name != "__pycache__"}

    def key(self, kata: Kata) -> str:
        """A hash of these files and their names, of the grader's code, and of the versions that it runs on.

        It is empty where something cannot be read.
        """
        found = hashlib.sha256(_grader())
        try:
            for path in sorted(self.files(kata)):
                told = path.stat()
                found.update(f"{path.relative_to(kata.root)}\0".encode())
                found.update(_digest(path, told.st_mtime_ns, told.st_size) if path.is_file() else b"folder")
        except (KataError, OSError):
            return ""
        return found.hexdigest()[:32]


def _matching(kata: Kata, pattern: str) -> Iterable[Path]:
    top = kata.solutions.parent if pattern.startswith("solutions/") else kata.root
    track = Path(kata.name).parent.as_posix()
    return top.glob(pattern.format(kata=kata.name, file=kata.file.as_posix(), track=track))


@functools.cache
def _digest(path: Path, modified: int, size: int) -> bytes:
    """A hash of the file as it was when it had this time and size."""
    return hashlib.sha256(path.read_bytes()).digest()


@functools.cache
def _grader() -> bytes:
    """A hash of what promises run: no code of the rooms for learners, teachers, reports and the site."""
    found = hashlib.sha256(repr([*result_cache.surroundings(), *map(version, DRAWN_WITH)]).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.digest()
