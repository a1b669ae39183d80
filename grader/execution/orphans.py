"""Ends processes that code under test leaves behind. On Linux the runner adopts orphans and kills them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from grader.execution import forkserver
from grader.isolation import processes


@contextmanager
def ended() -> Iterator[None]:
    """Kill every process that was orphaned inside the block, whatever session it is in."""
    processes.adopt_orphans()
    before = set(_children())
    try:
        yield
    finally:
        for pid in set(_children()) - before - forkserver.helpers():
            with suppress(ProcessLookupError, ChildProcessError):
                if os.getsid(pid) != os.getsid(0):
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)


def _children() -> list[int]:
    """The process ids of this process's children; none on a system without /proc."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in listing.read_text().split()] if listing.exists() else []
