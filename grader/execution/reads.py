"""What a run of specs reads, declared once: files of the course, the grader's code and
data, and what is installed.
"""

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from grader.course import places
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.handouts import PROBES, SEALED


@dataclass(frozen=True)
class Reads:
    """The files of the course that something reads, beside the grader's own code.

    Attributes:
        own: patterns, in which {kata} is the kata's name, {file} the path of its
            module, {track} what holds it, and {configuration} the name of the file with
            pytest's options.
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
        found.update(
            path
            for one in builds_on
            for pattern in self.earlier
            for path in _matching(one, pattern)
        )
        found.update(path for path in self.others(kata) if path.exists())
        return {path for path in found if path.name != "__pycache__"}


TOML, SPECS, REFERENCE = (
    "katas/{kata}/kata.toml",
    "katas/{kata}/**/test_*.py",
    "solutions/{file}",
)
TRACK = "katas/{track}/*.py"  # of a track that is a package
# of the second lock
LISTS = ("solutions/{kata}/author/" + SEALED, "solutions/{kata}/author/" + PROBES)
RUN = (TOML, SPECS, REFERENCE, TRACK, "{configuration}")  # where specs run on code
ROOMS = ("course", "specs", "isolation", "lock", "workers", "execution")
OF_REPORTS = (
    "reports/__init__.py",
    "reports/words.py",
    "reports/colour_blocks.py",
    "reports/layout.py",
)
CODE = ("*.py", *(f"{room}/*.py" for room in ROOMS), *OF_REPORTS, "data/*")


def of_a_run(*, sealed: bool) -> Reads:
    """What a run of a kata's specs reads beside the code that it judges."""
    return Reads(
        (*RUN, *LISTS) if sealed else RUN, (TOML,), lambda kata: kata.hidden_specs
    )


@cache
def surroundings() -> list[str]:
    """The grader's code and data, the system, Python, and every installed package:
    specs use some that have no pin.
    """
    code = digest(
        places.PACKAGE,
        (path for pattern in CODE for path in places.PACKAGE.glob(pattern)),
    )
    folders = [
        folder
        for folder in sys.path
        if os.path.isdir(folder) and os.access(folder, os.R_OK)
    ]
    names = {
        name
        for folder in folders
        for name in os.listdir(folder)
        if name.endswith("-info")
    }
    # whose code is hashed
    packages = sorted(name for name in names if not name.startswith("torch_katas"))
    return [code, platform.platform(), platform.python_version(), *packages]


def digest(top: Path, files: Iterable[Path]) -> str:
    """A hash of these files and their paths from `top`."""
    found = hashlib.sha256()
    for path in sorted(files):
        told = path.stat()
        found.update(os.fsencode(os.path.relpath(path, top)) + b"\0")
        found.update(
            _content(path, told.st_mtime_ns, told.st_size)
            if path.is_file()
            else b"folder"
        )
    return found.hexdigest()


@cache
def _content(path: Path, modified: int, size: int) -> bytes:
    """A hash of the file as it was when it had this time and size."""
    return hashlib.sha256(path.read_bytes()).digest()


def _matching(kata: Kata, pattern: str) -> Iterable[Path]:
    top = kata.solutions.parent if pattern.startswith("solutions/") else kata.root
    track, configuration = (
        Path(kata.name).parent.as_posix(),
        places.configuration(kata.root).name,
    )
    return top.glob(
        pattern.format(
            kata=kata.name,
            file=kata.file.as_posix(),
            track=track,
            configuration=configuration,
        )
    )
