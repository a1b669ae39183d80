"""Atomic file writes."""

import errno
import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes, *, through_links: bool = True) -> None:
    """Write a file atomically and create missing parent folders. An interrupted write
    leaves the old file intact.

    Args:
        through_links: whether a symbolic link at this path is followed; otherwise the
            file replaces it.
    Raises:
        OSError: the file cannot be written, or there is a folder or a device, which
            must not be replaced.
    """
    try:
        _replace(
            path.resolve() if through_links else path.parent.resolve() / path.name,
            content,
        )
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.exists() and not path.is_symlink()
    if there and not path.is_file():
        raise FileExistsError(errno.EEXIST, "is there already, and is not a file")
    mode = path.stat().st_mode & 0o777 if there else 0o644
    file = tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False)
    try:
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(file.name, mode)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise
