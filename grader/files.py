"""Atomic file writes."""

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically and create missing parent folders. An interrupted write leaves the old file intact."""
    path = path.resolve()  # write through a symbolic link instead of replacing it
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    file = tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False)
    try:
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(file.name, mode)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise
