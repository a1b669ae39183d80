"""The folders that code under test writes to: a run's own, their limits, and their
removal, however deep they are.
"""

import errno
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from grader.isolation import proc, rights, unlinked, usage

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

RUN = "kata-run-"  # begins the name of a run's folder
YOUNG = 60.0  # seconds after which a run holds its folder for certain
LOOK_SECONDS = 1.0  # between two looks at a running job's folder
# limits for a kata's folder
FOLDER_BYTES, FOLDER_FILES = rights.PLAIN.scratch_bytes, rights.PLAIN.scratch_files
# at most, of a job's processes: the judge, and those that wait for the code
OF_THE_GRADER = 8
DEEPEST = rights.PLAIN.scratch_depth  # folders inside each other
FILLS = (
    f"the code fills its folder: the limit is {FOLDER_BYTES >> 20} MB in "
    f"{FOLDER_FILES:,} files and {DEEPEST} folders inside each other"
)
# only code that hides its files makes a folder that cannot be opened
HIDDEN = (errno.EACCES, errno.ENAMETOOLONG)
IS_A_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
BY_DESCRIPTOR = {
    os.open,
    os.rename,
    os.rmdir,
    os.unlink,
} <= os.supports_dir_fd and os.scandir in os.supports_fd


@contextmanager
def of_a_run(parent: str) -> Iterator[Path]:
    """A new folder, which goes at the end of the block. Those of runs that were killed
    go first: nobody holds them.
    """
    for other in Path(parent).glob(f"{RUN}*"):
        with suppress(OSError):
            _remove_unless_held(other)
    folder = Path(tempfile.mkdtemp(prefix=RUN, dir=parent))
    held = _hold(folder)
    try:
        yield folder
    finally:
        remove(folder)
        if held is not None:
            os.close(held)


def _hold(folder: Path) -> int | None:
    """Hold a folder until this process ends or closes the descriptor. Raises OSError if
    somebody else does.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(folder, IS_A_FOLDER)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_unless_held(folder: Path) -> None:
    if sys.platform == "win32":  # where nobody can hold one
        return
    found = folder.lstat()
    if (
        found.st_uid == os.geteuid()
        and time.time() - found.st_mtime > YOUNG
        and (held := _hold(folder)) is not None
    ):
        remove(folder)
        os.close(held)


def exceeded(
    folder: Path,
    pids: Iterable[int],
    needs: frozenset[str],
    in_memory: Sequence[str] = (".",),
) -> str:
    """Which limit a running job has reached, as a sentence: of its folder, threads or
    sockets. Empty if none is.

    Args:
        in_memory: the folders in it that the processes may have in memory instead.
    """
    pids, allowed = [*pids], rights.of(needs)
    if usage.tasks(pids) > allowed.tasks + OF_THE_GRADER:
        return f"the code starts too many threads: the limit is {allowed.tasks}"
    if usage.sockets(pids) > allowed.most_sockets + OF_THE_GRADER:
        return f"the code has too many sockets: the limit is {allowed.most_sockets}"
    return FILLS if is_full(folder, pids, in_memory) else ""


def is_full(
    folder: Path, writers: Iterable[int] = (), in_memory: Sequence[str] = (".",)
) -> bool:
    """Tell if the folder holds more than a job may write: as the disk counts,
    in blocks.

    Args:
        writers: ids of processes, whose removed files count for as long as they hold
            them. With mounts of its own a process writes to memory alone, which counts
            them itself.
        in_memory: the folders in it that such a process may have in memory instead.
    """
    writers = [*writers]
    if any(
        _memory_is_full(f"/proc/{pid}/root{folder / one}")
        for pid in writers
        for one in in_memory
    ):
        return True
    ours = proc.mounts("self")
    files, size = (
        0,
        unlinked.bytes_held(
            folder, [pid for pid in writers if proc.mounts(pid) in (ours, b"")]
        ),
    )
    waiting = [(str(folder), 0)]
    while waiting:
        place, depth = waiting.pop()
        if depth > DEEPEST:
            return True
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    files += 1
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append((entry.path, depth + 1))
                    else:
                        with suppress(FileNotFoundError):
                            size += unlinked.on_disk(entry.stat(follow_symlinks=False))
                    if files > FOLDER_FILES or size > FOLDER_BYTES:
                        return True
        except OSError as error:  # the code has removed it meanwhile, or hides it
            if error.errno in HIDDEN:
                return True
    return False


def _memory_is_full(place: str) -> bool:
    """Tell if this folder of a process is a file system of its own that holds as much
    as a job may write.
    """
    with suppress(OSError):
        if sys.platform == "linux" and os.path.ismount(place):
            found = os.statvfs(place)
            used, files = (
                (found.f_blocks - found.f_bfree) * found.f_frsize,
                found.f_files - found.f_ffree,
            )
            return used >= FOLDER_BYTES or files >= FOLDER_FILES
    return False


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, as far as that is possible.

    Every folder inside is moved to the top before it is emptied. So nothing recurses,
    and no path is too long to open. Links are never followed, even where a process of
    the code still changes the folder.
    """
    if not BY_DESCRIPTOR:  # Windows
        return shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError, NotImplementedError):
        os.chmod(folder, 0o700, follow_symlinks=False)
    with suppress(OSError):
        top = os.open(folder, IS_A_FOLDER)
        try:
            names = (f"{uuid.uuid4().hex}-{number}" for number in count())
            waiting = _emptied(top, top, names)
            while waiting:
                name = waiting.pop()
                with suppress(OSError):
                    inner = os.open(name, IS_A_FOLDER, dir_fd=top)
                    try:
                        waiting += _emptied(inner, top, names)
                    finally:
                        os.close(inner)
                    os.rmdir(name, dir_fd=top)
        finally:
            os.close(top)
        os.rmdir(folder)


def _emptied(folder: int, top: int, names: Iterator[str]) -> list[str]:
    """Remove the files in an open folder, and move the folders in it to the top.
    Returns their new names.
    """
    moved = []
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        with suppress(OSError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
                continue
            # not every system can do this without following a link
            with suppress(OSError, NotImplementedError):
                # to be moved, it must be writable
                os.chmod(name, 0o700, dir_fd=folder, follow_symlinks=False)
            new = next(names)
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
            moved.append(new)
    return moved
