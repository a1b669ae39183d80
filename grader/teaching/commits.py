"""Reads the history of a student's checkout, without reading or running anything that
the checkout configures.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Timer

from grader.course import kata_modules
from grader.errors import LoadFailure
from grader.teaching import dates

REF = re.compile(r"ref: (refs/heads/[\w./+@-]+)\s*")
COMMIT = re.compile(r"[0-9a-f]{40}")
COMMITTER = re.compile(r"^committer .*> (\d{1,11}) [+-]\d{4}$", re.MULTILINE)
HEAD_LINE = re.compile(r"commit ([0-9a-f]{40}) (-?\d+)")
FILE_LINE = re.compile(
    r":\d+ (\d+) [0-9a-f]{40} ([0-9a-f]{40}) ([A-Z])\d*\t([^\t]+)(?:\t([^\t]+))?"
)
CODE = ("*.py", "*.ipynb")
REGULAR = ("100644", "100755")  # the modes of files, not of links
MOST = 10_000_000  # bytes of a file of references, and of a log
MOST_OBJECTS = 200_000  # files of a repository
SECONDS = 20


@dataclass(frozen=True)
class Change:
    """A commit that changed a file, and the hash of the file's content from then on."""

    commit: str
    time: datetime
    blob: str


@dataclass(frozen=True)
class History:
    """The changes of all code files up to the commit that is checked out, newest first.

    `log` has, per commit, its hash, its time, and per file the status, the old name,
    the name and the content's hash.
    """

    checkout: Path
    log: tuple[tuple[str, datetime, tuple[tuple[str, str, str, str], ...]], ...] = ()

    def changes(self, path: str) -> list[Change]:
        """The changes of the file that has this path in the newest commit, newest
        first, also under earlier names.
        """
        found = []
        for commit, time, files in self.log:
            for status, old, name, blob in files:
                if name == path:
                    found.append(Change(commit, time, blob))
                    path = old if status == "R" else path
                    break
        return found

    def content(self, blob: str, most: int) -> bytes | None:
        """The content with this hash; None if it cannot be read or has more bytes."""
        with _repository(self.checkout) as run:
            data = run(most, "cat-file", "blob", blob)
        return data if data is not None and len(data) <= most else None


def newest(folder: Path) -> datetime | None:
    """The time of the commit that is checked out, as its committer says; None if the
    folder is no checkout.
    """
    with _repository(folder) as run:
        commit = _head(folder / ".git")
        text = (
            (run(MOST, "cat-file", "commit", commit) or b"").decode(errors="replace")
            if commit
            else ""
        )
    match = COMMITTER.search(text.partition("\n\n")[0])
    return dates.of_timestamp(int(match[1])) if match else None


def history(folder: Path) -> History | None:
    """The history of a checkout; None if the folder is no checkout, or its history
    cannot be read.
    """
    objects = folder / ".git" / "objects"
    commit = _head(folder / ".git")
    if not commit or _leads_away(objects):
        return None
    shown = (
        "--format=commit %H %ct",
        "--raw",
        "--no-abbrev",
        "-m",
        "--find-renames",
        "-l200",
    )
    with _repository(folder) as run:
        said = run(MOST, "log", *shown, commit, "--", *CODE)
    if said is None or len(said) > MOST:
        return None
    return History(folder, tuple(_parsed(said.decode(errors="surrogateescape"))))


def checkout_of(path: Path, within: Path) -> Path | None:
    """The innermost checkout that a file is in, from this folder on."""
    folders = [folder for folder in path.parents if folder.is_relative_to(within)]
    return next((folder for folder in folders if (folder / ".git").is_dir()), None)


def _parsed(
    log: str,
) -> Iterator[tuple[str, datetime, tuple[tuple[str, str, str, str], ...]]]:
    """The commits of a log. A merge is there once per parent."""
    commit, time, files = "", datetime.min, list[tuple[str, str, str, str]]()
    for line in log.split("\n"):
        if head := HEAD_LINE.fullmatch(line):
            if files:
                yield commit, time, tuple(files)
            commit, time, files = head[1], dates.of_timestamp(int(head[2][:20])), []
        elif (file := FILE_LINE.fullmatch(line)) and file[1] in REGULAR:
            files.append((file[3], file[4], file[5] or file[4], file[2]))
    if files:
        yield commit, time, tuple(files)


def _head(git: Path) -> str:
    """The hash of the commit that is checked out; empty if there is none."""
    try:
        head = _text(git, "HEAD")
        ref = REF.fullmatch(head)
        if ref is None or ".." in ref[1]:
            value = head.strip()
        else:
            value = _branch(git, ref[1])
    except (LoadFailure, UnicodeDecodeError):
        return ""
    return value if COMMIT.fullmatch(value) else ""


def _branch(git: Path, name: str) -> str:
    """The hash that a branch is at."""
    try:
        return _text(git, name).strip()
    except LoadFailure:
        lines = (line.partition(" ") for line in _text(git, "packed-refs").splitlines())
        return next((commit for commit, _, ref in lines if ref == name), "")


def _text(git: Path, name: str) -> str:
    return kata_modules.read_bytes(git / name, git.parent, MOST).decode()


def _leads_away(objects: Path) -> bool:
    """Tell if a repository takes content from elsewhere, by a link or as git's
    alternates do: it is not read then.
    """
    if (
        objects.is_symlink()
        or objects.parent.is_symlink()
        or (objects / "info" / "alternates").exists()
    ):
        return True
    seen = 0
    for name, folders, files in os.walk(objects):
        seen += len(folders) + len(files)
        if seen > MOST_OBJECTS or any(
            (Path(name) / one).is_symlink() for one in [*folders, *files]
        ):
            return True
    return False


@contextmanager
def _repository(folder: Path) -> Iterator[Callable[..., bytes | None]]:
    """A function that runs git on a student's commits, and returns its output if
    it succeeds.

    git runs in an empty repository, which only knows where the commits are: the
    student's could name programs to run.
    """
    git = folder / ".git"
    with tempfile.TemporaryDirectory(prefix="kata-") as empty:
        for name in ("objects", "refs"):
            (Path(empty) / name).mkdir()
        (Path(empty) / "HEAD").write_text("ref: refs/heads/main\n", "utf-8")
        if grafts := _shallow(git):
            (Path(empty) / "shallow").write_text(grafts, "utf-8")
        places = {
            "GIT_DIR": empty,
            "GIT_OBJECT_DIRECTORY": str((git / "objects").resolve()),
        }
        limits = {
            "GIT_ALLOC_LIMIT": "100m",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
        }
        where = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": empty,
            "LC_ALL": "C",
            **places,
            **limits,
        }
        yield partial(_run, Path(empty), where)


def _shallow(git: Path) -> str:
    """The commits at which the history of a shallow clone ends."""
    try:
        lines = _text(git, "shallow").split()
    except (LoadFailure, UnicodeDecodeError):
        return ""
    return "".join(f"{line}\n" for line in lines if COMMIT.fullmatch(line))


def _run(
    folder: Path, where: dict[str, str], most: int, *arguments: str
) -> bytes | None:
    """The output of git, cut after `most` + 1 bytes; None if it fails, is not installed
    or does not end.
    """
    command = [
        "git",
        "-c",
        "core.commitGraph=false",
        "-c",
        "core.quotePath=false",
        *arguments,
    ]
    nothing = subprocess.DEVNULL
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=where,
            stdin=nothing,
            stdout=subprocess.PIPE,
            stderr=nothing,
        )
    except OSError:
        return None
    timer = Timer(SECONDS, process.kill)
    timer.start()
    try:
        with process:
            data = process.stdout.read(most + 1) if process.stdout else b""
            if is_cut := len(data) > most:
                process.kill()
    finally:
        timer.cancel()
    return data if process.returncode == 0 or is_cut else None
