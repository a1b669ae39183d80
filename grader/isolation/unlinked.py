"""Counts what processes hold of files that they have removed: no folder shows them, and they still fill the disk."""

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from grader.isolation.rights import PLAIN

BLOCK = 512  # bytes of what `st_blocks` counts, on every system
REMOVED = b" (deleted)"


def on_disk(found: os.stat_result) -> int:
    """The bytes that a file takes on the disk. Windows does not tell them, and its length counts."""
    return getattr(found, "st_blocks", -(-found.st_size // BLOCK)) * BLOCK


def bytes_held(folder: Path, pids: Iterable[int]) -> int:
    """The bytes of removed files below the folder that these processes have open or mapped.

    The size of a file that is only mapped is not told: it counts as the longest that a process may write.
    """
    held: dict[int, int] = {}  # by inode
    below = f"{os.path.realpath(folder)}/"
    for pid in pids:
        with suppress(OSError):
            held |= _mapped(Path(f"/proc/{pid}/maps").read_bytes(), os.fsencode(below))
        with suppress(OSError):
            for descriptor in os.scandir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    found = os.stat(descriptor.path)
                    if (
                        stat.S_ISREG(found.st_mode)
                        and not found.st_nlink
                        and os.readlink(descriptor.path).startswith(below)
                    ):
                        held[found.st_ino] = on_disk(found)
    return sum(held.values())


def _mapped(maps: bytes, below: bytes) -> dict[int, int]:
    """The inodes of removed files in a table of mapped memory. A line ends with its inode and its path."""
    if REMOVED not in maps:
        return {}
    lines = [line.split(maxsplit=5) for line in maps.splitlines() if line.endswith(REMOVED)]
    return {int(line[4]): PLAIN.file_size for line in lines if line[5].startswith(below)}
