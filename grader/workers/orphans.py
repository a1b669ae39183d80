"""Ends processes that code under test leaves behind. On Linux the runner adopts orphans and kills them."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from grader.isolation import namespaces, proc, processes, shared_memory, usage
from grader.workers import servers
from grader.workers.servers import Process

PATIENCE = 10.0  # seconds to go on killing processes that start others
DYING = 120.0  # seconds that a busy machine may take to end a process that is killed


@contextmanager
def ended() -> Iterator[Callable[[], None]]:
    """Kill every process that was orphaned inside the block, whatever session it is in.

    Yields a function that does so at once.
    """
    processes.adopt_orphans()
    before = proc.children(os.getpid())

    def end_orphans() -> None:
        until = time.monotonic() + PATIENCE
        while (found := _orphans(before)) and time.monotonic() < until:
            end(found)  # a child of theirs that escapes is an orphan from now on, and found in the next round

    try:
        yield end_orphans
    finally:
        end_orphans()


def shared_names(needs: frozenset[str]) -> set[Path] | None:
    """The names in the machine's /dev/shm, before a job begins that may write there. None for one that may not."""
    return shared_memory.present() if "processes" in needs and not namespaces.are_allowed() else None


def end_tree(process: Process | BaseProcess, names: set[Path] | None = None) -> None:
    """Kill a worker and every process below it, whatever session they are in.

    Args:
        names: what was in /dev/shm before it. What is new there, and nobody has open, is removed.
    """
    if sys.platform == "linux" and process.pid and process.is_alive():
        end([process.pid])
    with suppress(ProcessLookupError, PermissionError, AttributeError):  # Windows has no process groups
        os.killpg(process.pid or 0, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):
        process.kill()
    process.join(DYING)
    if names is not None:
        shared_memory.remove(shared_memory.left_since(names))


def end(roots: Iterable[int]) -> None:
    """Kill these processes, all that descend from them, and remove the names of the memory that they share."""
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
    shared_memory.remove(names)


def tree(pid: int) -> set[int]:
    """A worker and all that descend from it, those included that this process has adopted and that kept its session."""
    adopted = {child for child in proc.children(os.getpid()) if _session(child) == pid}
    return set().union(*map(usage.tree, {pid, *adopted}))


def _orphans(before: set[int]) -> set[int]:
    """The adopted processes: those children of this process that are new, and in another session."""
    found = proc.children(os.getpid()) - before - servers.helpers()
    return {pid for pid in found if _session(pid) not in (None, os.getsid(0))}


def _session(pid: int) -> int | None:
    with suppress(OSError):
        return os.getsid(pid)
    return None
