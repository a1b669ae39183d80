"""Reads when the newest commit of a student's checkout was made, without reading or running anything it configures."""

import os
import re
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from grader.course import kata_modules
from grader.errors import LoadFailure

REF = re.compile(r"ref: (refs/heads/[\w./+@-]+)\s*")
COMMIT = re.compile(r"[0-9a-f]{40}")
COMMITTER = re.compile(r"^committer .*> (\d{1,11}) [+-]\d{4}$", re.MULTILINE)
MOST = 10_000_000  # bytes of a file of references
SECONDS = 20


def newest(folder: Path) -> datetime | None:
    """The time of the commit that is checked out, as its committer says; None if the folder is no checkout."""
    try:
        commit = _head(folder / ".git")
    except (LoadFailure, UnicodeDecodeError):
        return None
    text = _read(commit, folder / ".git" / "objects") if commit else ""
    match = COMMITTER.search(text.partition("\n\n")[0])
    return datetime.fromtimestamp(int(match[1]), UTC) if match else None


def _head(git: Path) -> str:
    """The hash of the commit that is checked out; empty if there is none."""
    head = _text(git, "HEAD")
    ref = REF.fullmatch(head)
    if ref is None or ".." in ref[1]:
        return head.strip() if COMMIT.fullmatch(head.strip()) else ""
    try:
        value = _text(git, ref[1]).strip()
    except LoadFailure:
        lines = (line.partition(" ") for line in _text(git, "packed-refs").splitlines())
        value = next((commit for commit, _, name in lines if name == ref[1]), "")
    return value if COMMIT.fullmatch(value) else ""


def _text(git: Path, name: str) -> str:
    return kata_modules.read_bytes(git / name, git.parent, MOST).decode()


def _read(commit: str, objects: Path) -> str:
    """The text of a commit. git runs in an empty repository: the student's could name programs for it to run."""
    with tempfile.TemporaryDirectory(prefix="kata-") as empty:
        for name in ("objects", "refs"):
            (Path(empty) / name).mkdir()
        (Path(empty) / "HEAD").write_text("ref: refs/heads/main\n")
        places = {"GIT_DIR": empty, "GIT_OBJECT_DIRECTORY": str(objects.resolve()), "GIT_ALLOC_LIMIT": "100m"}
        try:
            done = subprocess.run(
                ["git", "cat-file", "commit", commit],
                cwd=empty,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": empty, **places},
                capture_output=True,
                timeout=SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):  # git is not installed, or never ends
            return ""
    return done.stdout.decode(errors="replace")
