"""Atomic file writes."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes, *, through_links: bool = True) -> None:
    """Write a file atomically and create missing parent folders. An interrupted write leaves the old file intact.

    Args:
        through_links: whether a symbolic link at this path is followed; otherwise the file replaces it.
    """
    path = path.resolve() if through_links else path.parent.resolve() / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() and not path.is_symlink() else 0o644
    file = tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False)
    try:
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(file.name, mode)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise
