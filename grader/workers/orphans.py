"""Ends processes that code under test leaves behind. On Linux the runner adopts orphans
and kills them.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from grader.isolation import linux, namespaces, proc, processes, shared_memory, usage
from grader.workers import folders, servers
from grader.workers.servers import Process

if sys.platform != "linux":
    from grader.isolation import plain

PATIENCE = 10.0  # seconds to go on killing processes that start others
DYING = 120.0  # seconds that a busy machine may take to end a process that is killed


# what was in /dev/shm before the first job that may write there; None before one
_before: set[Path] | None = None


@contextmanager
def ended() -> Iterator[Callable[[], None]]:
    """Kill every process that was orphaned inside the block, whatever session it is in,
    and remove what jobs have left.

    Yields a function that does so at once.
    """
    global _before
    processes.adopt_orphans()
    before = proc.children(os.getpid())

    def end_orphans() -> None:
        until = time.monotonic() + PATIENCE
        while (found := _orphans(before)) and time.monotonic() < until:
            # a child of theirs that escapes is an orphan from now on, and found in the
            # next round
            end(found)
        if _before is not None:
            _remove(shared_memory.left_since(_before))

    try:
        yield end_orphans
    finally:
        end_orphans()
        _before = None


def expect(needs: frozenset[str]) -> None:
    """Note what is in the machine's /dev/shm, before the first job begins that may
    write there.
    """
    global _before
    if (
        sys.platform == "linux"
        and _before is None
        and "processes" in needs
        and not namespaces.are_allowed()
    ):
        _before = shared_memory.present()


def end_tree(process: Process | BaseProcess) -> None:
    """Kill a worker and every process below it, whatever session they are in."""
    if process.pid and process.is_alive():
        if sys.platform == "linux":
            end([process.pid])
        else:
            plain.end(process.pid)
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        process.kill()
    process.join(DYING)


def end(roots: Iterable[int]) -> None:
    """Kill these processes, all that descend from them, and remove the names of the
    memory that they share.
    """
    linux.only()
    tree, names = set[int](), set[Path]()
    try:
        for root in roots:
            processes.stop_tree(root, tree)
        names = shared_memory.names_of(tree)
    finally:  # nothing may come between: what is stopped would stay
        for pid in tree:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
    for pid in tree & proc.children(os.getpid()):
        with suppress(ChildProcessError):
            os.waitpid(pid, 0)
    _remove(names)


def _remove(paths: Iterable[Path]) -> None:
    """Remove these files and folders. One that is gone already is named "… (deleted)"
    by the system, and is no file.
    """
    for path in paths:
        with suppress(OSError):
            path.unlink()
        folders.remove(path)


def tree(pid: int) -> set[int]:
    """A worker and all that descend from it, those included that this process has
    adopted and that kept its session.
    """
    if sys.platform != "linux":
        return usage.tree(pid)
    adopted = {child for child in proc.children(os.getpid()) if _session(child) == pid}
    return set().union(*map(usage.tree, {pid, *adopted}))


def _orphans(before: set[int]) -> set[int]:
    """The adopted processes: those children of this process that are new, and in
    another session.
    """
    if sys.platform != "linux":
        return set()
    found = proc.children(os.getpid()) - before - servers.helpers()
    return {pid for pid in found if _session(pid) not in (None, os.getsid(0))}


def _session(pid: int) -> int | None:
    linux.only()
    with suppress(OSError):
        return os.getsid(pid)
    return None
