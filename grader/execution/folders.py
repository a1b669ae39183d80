"""Limits for the folders that code under test writes to."""

import os
from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 1.0  # between two looks at a running job's folder
FOLDER_BYTES, FOLDER_FILES = 256 << 20, 10_000  # limits for a kata's folder
FILLS = f"the code fills its folder: the limit is {FOLDER_BYTES >> 20} MB in {FOLDER_FILES:,} files"


def is_full(folder: Path) -> bool:
    """Whether the folder holds more than a job may write."""
    files = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size += os.lstat(os.path.join(place, name)).st_size
        files += 1 + len(names)
        if files > FOLDER_FILES or size > FOLDER_BYTES:
            return True
    return False
