"""Counts what processes hold of files that they have removed: no folder shows them, and
they still fill the disk.
"""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from grader.isolation import proc
from grader.isolation.rights import PLAIN

BLOCK = 512  # bytes of what `st_blocks` counts, on every system
REMOVED = b" (deleted)"


def on_disk(found: os.stat_result) -> int:
    """The bytes that a file takes on the disk. Windows does not tell them, and its
    length counts.
    """
    return getattr(found, "st_blocks", -(-found.st_size // BLOCK)) * BLOCK


def bytes_held(folder: Path, pids: Iterable[int]) -> int:
    """The bytes of removed files below the folder that these processes have open
    or mapped.

    The size of a file that is only mapped is not told: it counts as the longest that a
    process may write.
    """
    held: dict[int, int] = {}  # by inode
    below = os.fsencode(os.path.realpath(folder)) + b"/"
    for pid in pids:
        for inode, path in proc.mapped(pid, REMOVED):
            if path.startswith(below) and path.endswith(REMOVED):
                held[inode] = PLAIN.file_size
        for path, found in proc.opened(pid):
            if (
                path.startswith(below)
                and stat.S_ISREG(found.st_mode)
                and not found.st_nlink
            ):
                held[found.st_ino] = on_disk(found)
    return sum(held.values())
