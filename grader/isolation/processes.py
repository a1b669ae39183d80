"""Process trees on Linux: a child dies with its parent, orphans are adopted, a tree is
stopped. Elsewhere no-ops.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress

from grader.isolation import linux, proc

KILLED = -9  # the exit code of a process that SIGKILL has ended
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        _set(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that it can
    kill them.
    """
    _set(PR_SET_CHILD_SUBREAPER, 1)


def hide() -> None:
    """Keep this process's memory and files from other processes of the same user."""
    _set(PR_SET_DUMPABLE, 0)


def show() -> None:
    """Let other processes of the same user see this one again, after a change of
    the user.
    """
    _set(PR_SET_DUMPABLE, 1)


def stop_tree(pid: int, stopped: set[int]) -> None:
    """Stop this process and all that descend from it, so that none of them
    starts another.

    Args:
        stopped: gets their ids, each before that process is stopped.
    """
    linux.only()
    found = {pid}
    while found:
        stopped |= found
        for one in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGSTOP)
        found = {child for one in stopped for child in proc.children(one)} - stopped


def _set(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def oom_kills() -> int | None:
    """The number of processes killed so far because memory ran out; None where the
    system does not say.
    """
    lines = proc.told("vmstat").split(b"\n")
    return next(
        (int(line.split()[1]) for line in lines if line.startswith(b"oom_kill ")), None
    )
