"""Shared memory that has a name in /dev/shm: what a worker leaves there is found, open or not."""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FOLDER = "/dev/shm/"


def names_of(pids: Iterable[int]) -> set[Path]:
    """The files below /dev/shm that these processes have open or mapped.

    What a process in a mount namespace of its own names so is not the machine's: it goes with the process.
    """
    found: set[str] = set()
    for pid in filter(_has_our_mounts, pids):
        with suppress(OSError):
            found.update(line.split(maxsplit=5)[5] for line in open(f"/proc/{pid}/maps") if FOLDER in line)
        with suppress(OSError):
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found.add(os.readlink(descriptor.path))
    return {Path(name.strip()) for name in found if name.startswith(FOLDER)}


def _has_our_mounts(pid: int) -> bool:
    with suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    return False


def present() -> set[Path]:
    """Whatever is in /dev/shm and belongs to the user of this process: files, folders, links, sockets."""
    with suppress(OSError), os.scandir(FOLDER) as entries:
        return {Path(entry.path) for entry in entries if entry.stat(follow_symlinks=False).st_uid == os.getuid()}
    return set()


def left_since(before: set[Path]) -> set[Path]:
    """What is new there, and not open or mapped by any process, neither itself nor what is in it."""
    if not (new := present() - before):
        return new
    names = names_of(int(entry) for entry in os.listdir("/proc") if entry.isdigit())
    return new - names - {folder for name in names for folder in name.parents}
