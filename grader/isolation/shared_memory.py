"""Shared memory that has a name in /dev/shm: what a worker leaves there is found and removed, open or not."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from grader.isolation import proc

FOLDER = b"/dev/shm/"


def names_of(pids: Iterable[int]) -> set[Path]:
    """The files below /dev/shm that these processes have open or mapped.

    What a process in a mount namespace of its own names so is not the machine's: it goes with the process.
    """
    found, ours = set[bytes](), proc.mounts("self")
    for pid in (pid for pid in pids if proc.mounts(pid) == ours):
        found.update(path for _, path in proc.mapped(pid, FOLDER))
        found.update(path for path, _ in proc.opened(pid))
    return {Path(os.fsdecode(path)) for path in found if path.startswith(FOLDER)}


def present() -> set[Path]:
    """The files in /dev/shm of the user of this process."""
    with suppress(OSError), os.scandir(os.fsdecode(FOLDER)) as entries:
        return {Path(entry.path) for entry in entries if entry.stat(follow_symlinks=False).st_uid == os.getuid()}
    return set()


def left_since(before: set[Path]) -> set[Path]:
    """The files that are new there, and that no process has open or mapped: code that has ended left them."""
    new = present() - before
    return new - names_of(int(entry) for entry in os.listdir("/proc") if entry.isdigit()) if new else set()


def remove(names: Iterable[Path]) -> None:
    """Remove these files. One that is gone already is named "… (deleted)" by the system, and is no file."""
    for name in names:
        with suppress(OSError):
            name.unlink()
