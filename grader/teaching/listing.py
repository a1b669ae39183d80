"""Lists the files that a student handed in: in folders, archives and single files, and
in archives inside these.
"""

import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath

from grader import printable
from grader.course import kata_modules
from grader.errors import LoadFailure
from grader.execution import boundary
from grader.teaching import archives, dates, uploads
from grader.teaching.archives import Member

MOST_FILES = 100_000  # files and folders in one folder
DEEPEST = 64
HIDDEN = re.compile(r"\.|__MACOSX$|__pycache__$")
# What systems and tools hide in a folder, in which no student writes. Of other hidden
# files a person is told.
TOOLS = re.compile(
    r"(?:^|/)(?:\.[_~]|__pycache__/[^/]*\.pyc$|\.(?:AppleDouble|DS_Store|Spotlight|"
    r"Trash|cache|conda|config|coverage|"
    r"devcontainer|directory|editorconfig|env|fseventsd|git|hypothesis|idea|ipython|"
    r"jupyter|kata|local|mypy_cache|nfs|"
    r"npm|pre-commit|pytest_cache|python|ruff_cache|venv|vs))"
)
# Jupyter's copy of the file beside it
CHECKPOINT = re.compile(r"\.ipynb_checkpoints/([^/]*)-checkpoint(?=\.\w+$)")
# beside a pyvenv.cfg
OF_ENVIRONMENTS = frozenset(
    ["bin", "etc", "include", "lib", "lib64", "scripts", "share"]
)
DATA = "data"  # the folder of downloaded data sets
# what a browser adds to a second download: "sums (1).py"
COPY = re.compile(r" ?\(\d{1,3}\)(?=\.\w+$)")
MOST_OPENED = 10  # archives in one submission
NOT_OPENED = (
    "is an archive that was not opened, since there are many or large ones: ask for "
    "one .zip"
)
CANNOT_OPEN = "is an archive that cannot be opened here: ask for a .zip"
INSIDE = "is an archive inside an archive: unpack it"
NOT_PUSHED = (
    "is an empty folder in a checkout: a repository inside it was not handed in"
)


@dataclass(frozen=True, eq=False)
class File:
    """A file that a student handed in, not read yet.

    Attributes:
        path: below the folder or archive that holds it.
        shown: the same for people, with the folder's or archive's name in front.
        modified: without a time zone for a member of an archive, which has none.
        read: returns its content, up to this many bytes; raises LoadFailure, which does
            not name it.
        batch: when the newest file of the same folder or archive was modified, as
            a timestamp.
        attempt: the number of the resubmission, in Canvas's names.
        is_packed: it is in an archive inside a folder or archive.
    """

    path: PurePosixPath
    shown: str
    modified: datetime
    read: Callable[[int], bytes]
    batch: float = 0.0
    attempt: int = 0
    is_link: bool = False
    is_packed: bool = False
    size: int = 0

    @property
    def name(self) -> str:
        """The file's own name, without what a platform or a browser puts around it."""
        return COPY.sub("", uploads.own_name(self.path.name))

    @property
    def is_copy(self) -> bool:
        return self.name != uploads.own_name(self.path.name)

    @property
    def is_hidden(self) -> bool:
        return any(HIDDEN.match(part) for part in self.path.parts)


def readable(name: str) -> str:
    """A file's name on one line. Bytes that are not UTF-8 are taken for Latin-1."""
    try:
        name.encode()
    except UnicodeEncodeError:
        name = os.fsencode(name).decode("latin-1")
    return printable.line(name)


@dataclass
class Listing:
    """Every file in some places, why a place could not be read, and why some archives
    stay closed.

    `newest` is the place that was modified last. No hidden file counts, so `hidden` has
    them apart.
    """

    files: list[File] = field(default_factory=list)
    hidden: list[File] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    closed: dict[File, str] = field(default_factory=dict)
    newest: str = ""


def listed(places: Iterable[Path]) -> Listing:
    """Every file in these places, and in the archives inside them up to a number and
    a size.
    """
    found = Listing()
    for place in places:
        batch: list[File] = []
        with boundary.costs_only(partial(note, found.problems, readable(place.name))):
            batch = list(_files(place, found.problems))
        found.files += _together(batch, _attempt(place.name))
    if found.files:
        found.newest = max(found.files, key=lambda file: file.batch).shown.partition(
            "/"
        )[0]
    packed, size = [file for file in found.files if _is_archive(file)], 0
    for number, file in enumerate(packed):
        size += file.size
        if not archives.is_opened(file.name):
            found.closed[file] = CANNOT_OPEN
        elif number >= MOST_OPENED or size > archives.LARGEST:
            found.closed[file] = NOT_OPENED
        else:
            with boundary.costs_only(partial(found.closed.__setitem__, file)):
                inside = _inside(file)
                found.files.remove(file)
                found.files += inside
                found.closed |= {one: INSIDE for one in inside if _is_archive(one)}
    plain = {file.shown: file for file in found.files if not file.is_hidden}
    found.hidden = [
        one
        for one in found.files
        if one.is_hidden and CHECKPOINT.sub(r"\1", one.shown) not in plain
    ]
    found.files = [file for file in found.files if not file.is_hidden]
    return found


def note(problems: list[str], name: str, why: str) -> None:
    """Extend the problems by the reason, with the name of what it is about."""
    problems.append(f"{name}: {why}")


def _together(batch: list[File], attempt: int) -> list[File]:
    """These files as those of one folder or archive."""
    newest = max(
        (file.modified.timestamp() for file in batch if not file.is_hidden), default=0.0
    )
    return [
        replace(f, batch=newest, attempt=max(attempt, _attempt(f.path.name)))
        for f in batch
    ]


def _is_archive(file: File) -> bool:
    """Tell if a file is an archive to look into, and no data set."""
    is_apart = DATA in file.path.parts or file.is_link or file.is_hidden
    return archives.is_archive(file.name) and not is_apart


def _inside(file: File) -> list[File]:
    """The files in an archive that is in a submission."""
    data = file.read(archives.LARGEST)
    if len(data) > archives.LARGEST:
        raise LoadFailure(f"is too large, the limit is {archives.LARGEST / 1e6:.0f} MB")
    found = list(_members(archives.members(io.BytesIO(data), file.name), file.shown))
    return [replace(one, is_packed=True) for one in _together(found, file.attempt)]


def _files(place: Path, problems: list[str]) -> Iterator[File]:
    if place.is_symlink():
        raise LoadFailure(
            "is a link, which is not followed: put what it leads to in its place"
        )
    if place.is_dir():
        return _below(place, problems)
    if archives.is_opened(place.name):
        return _members(archives.members(place, place.name), place.name)
    return iter([_file(place, place.parent, place.name)])


def _below(place: Path, problems: list[str]) -> Iterator[File]:
    """The files below a folder. Links are not followed; what tools and virtual
    environments hold is left out.

    Args:
        problems: to be extended by the folders that cannot be read.
    """

    def note(error: OSError) -> None:
        problems.append(
            f"{readable(os.path.basename(error.filename))}: {error.strerror}"
        )

    seen, checkouts = 0, list[Path]()
    for name, folders, names in os.walk(place, onerror=note):
        folder, inside = Path(name), Path(name).relative_to(place)
        if ".git" in [*folders, *names]:
            checkouts.append(folder)
        elif (
            not folders
            and not names
            and any(folder.is_relative_to(checkout) for checkout in checkouts)
        ):
            problems.append(f"{readable(f'{place.name}/{inside}')}: {NOT_PUSHED}")
        links = [one for one in folders if (folder / one).is_symlink()]
        kept = [one for one in folders if one not in links and not TOOLS.search(one)]
        if "pyvenv.cfg" in names:
            kept = [one for one in kept if one.casefold() not in OF_ENVIRONMENTS]
            links = [one for one in links if one.casefold() not in OF_ENVIRONMENTS]
        deeper = len(inside.parts) < DEEPEST
        if kept and not deeper:
            problems.append(
                f"{readable(place.name)}: has more than {DEEPEST} folders inside each "
                "other"
            )
        folders[:] = sorted(kept) if deeper else []
        seen += len(folders) + len(names)
        if seen > MOST_FILES:
            raise LoadFailure(
                f"holds more than {MOST_FILES:,} files: hand in the katas' files only"
            )
        for one in sorted([*links, *names]):
            if not TOOLS.search((inside / one).as_posix()):
                yield _file(
                    folder / one, place, f"{place.name}/{(inside / one).as_posix()}"
                )


def _file(path: Path, within: Path, shown: str) -> File:
    info = path.lstat()
    modified = dates.of_timestamp(info.st_mtime)
    read = partial(kata_modules.read_bytes, path, within)
    inside = PurePosixPath(path.relative_to(within).as_posix())
    # a pipe or a device is not empty: nobody can read it
    size = info.st_size if stat.S_ISREG(info.st_mode) else 1
    return File(
        inside, readable(shown), modified, read, is_link=path.is_symlink(), size=size
    )


def _members(members: Iterable[Member], shown: str) -> Iterator[File]:
    """The files in the archive that people know by this name, without those
    of tools.
    """
    for one in members:
        if not TOOLS.search(one.path.as_posix()):
            name = readable(f"{shown}/{one.path}")
            yield File(
                one.path,
                name,
                one.modified,
                one.read,
                is_link=one.is_link,
                size=one.size,
            )


def _attempt(name: str) -> int:
    upload = uploads.parsed(name)
    return upload.attempt if upload else 0
