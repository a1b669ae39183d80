"""Makes `os.chmod` and `os.utime` do nothing to the code's own files, as the filter of
system calls refuses both.

It is a comfort for right code, and no defence: `shutil.copy`, `tarfile` and `dbm.dumb`
set modes and times.
"""

import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any


def leave_as_they_are(folders: Iterable[Path]) -> None:
    """Have modes and times of files below these folders left as they are. What belongs
    to others is still refused.
    """
    own = [os.path.realpath(folder) for folder in folders]
    for name in ("chmod", "utime"):
        setattr(os, name, _quiet(getattr(os, name), own))


def _quiet(change: Callable[..., None], own: list[str]) -> Callable[..., None]:
    @functools.wraps(change)
    def leave(path: Any, *arguments: Any, **options: Any) -> None:
        try:
            change(path, *arguments, **options)
        except PermissionError:
            place = os.path.realpath(
                f"/proc/self/fd/{path}" if isinstance(path, int) else os.fsdecode(path)
            )
            if not any(os.path.commonpath([folder, place]) == folder for folder in own):
                raise
            os.stat(place)  # a missing file is still an error

    return leave
