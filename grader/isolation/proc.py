"""What the system tells of processes, below /proc: in bytes, as code under test chooses
names, paths and arguments.

Nothing here raises. Of a process that has ended, or that the system hides, nothing
is told.
"""

import os
from collections.abc import Iterator
from contextlib import suppress


def told(place: str) -> bytes:
    """The contents of a file below /proc."""
    with suppress(OSError), open(f"/proc/{place}", "rb") as file:
        return file.read()
    return b""


def stat(pid: int) -> list[int]:
    """The numbers in a process's stat that follow its name and its state, the parent's
    id first.
    """
    return [
        int(number) for number in told(f"{pid}/stat").rpartition(b")")[2].split()[1:]
    ]


def tasks(pid: int) -> list[str]:
    """A process's threads, each as the place below /proc that tells of it."""
    return [f"{pid}/task/{task}" for task in _entries(f"{pid}/task")]


def children(pid: int) -> set[int]:
    """The process ids of a process's children, those of every thread."""
    return {
        int(child) for task in tasks(pid) for child in told(f"{task}/children").split()
    }


def mapped(pid: int, part: bytes) -> Iterator[tuple[int, bytes]]:
    """The inode and the path of each file that a process has mapped and whose path has
    this part.

    Threads share their memory, and the first one of a process may have ended before
    the others.
    """
    maps = next(filter(None, (told(f"{task}/maps") for task in tasks(pid))), b"")
    # in a path, this byte is written as \012
    for line in maps.split(b"\n") if part in maps else []:
        if part in line:
            _, _, _, _, inode, path = line.split(maxsplit=5)
            yield int(inode), path


def opened(pid: int) -> Iterator[tuple[bytes, os.stat_result]]:
    """The path and the state of each file that a process has open. A thread may have
    descriptors of its own.
    """
    for task in tasks(pid):
        for descriptor in _entries(f"{task}/fd"):
            with suppress(OSError):
                place = f"/proc/{task}/fd/{descriptor}"
                yield os.fsencode(os.readlink(place)), os.stat(place)


def sockets(pid: int) -> int:
    """The number of sockets in a process's network, with those that no process has open
    any more.
    """
    numbers = told(f"{pid}/net/sockstat").partition(b"\n")[0].split()
    return int(numbers[-1]) if numbers else 0


def mounts(pid: int | str) -> bytes:
    """The name of a process's mount namespace."""
    with suppress(OSError):
        return os.fsencode(os.readlink(f"/proc/{pid}/ns/mnt"))
    return b""


def _entries(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(f"/proc/{folder}")
    return []
