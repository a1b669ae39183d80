"""Shared memory that has a name in /dev/shm: what a worker leaves there is found, open
or not.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from grader.isolation import linux, proc

FOLDER = b"/dev/shm/"


def names_of(pids: Iterable[int]) -> set[Path]:
    """The files below /dev/shm that these processes have open or mapped.

    What a process in a mount namespace of its own names so is not the machine's: it
    goes with the process.
    """
    found, ours = set[bytes](), proc.mounts("self")
    for pid in (pid for pid in pids if proc.mounts(pid) == ours):
        found.update(path for _, path in proc.mapped(pid, FOLDER))
        found.update(path for path, _ in proc.opened(pid))
    return {Path(os.fsdecode(path)) for path in found if path.startswith(FOLDER)}


def present() -> set[Path]:
    """Whatever is in /dev/shm and belongs to the user of this process: files, folders,
    links, sockets.
    """
    linux.only()
    with suppress(OSError), os.scandir(os.fsdecode(FOLDER)) as entries:
        return {
            Path(entry.path)
            for entry in entries
            if entry.stat(follow_symlinks=False).st_uid == os.getuid()
        }
    return set()


def left_since(before: set[Path]) -> set[Path]:
    """What is new there, and not open or mapped by any process, neither itself nor what
    is in it.
    """
    if not (new := present() - before):
        return new
    names = names_of(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return new - names - {folder for name in names for folder in name.parents}
