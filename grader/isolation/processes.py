"""Process trees on Linux: a child dies with its parent, orphans are adopted, a tree is stopped. Elsewhere no-ops."""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends."""
    _set(PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of orphaned descendants, so that it can kill them."""
    _set(PR_SET_CHILD_SUBREAPER, 1)


def hide() -> None:
    """Keep this process's memory and files from other processes of the same user."""
    _set(PR_SET_DUMPABLE, 0)


def show() -> None:
    """Let other processes of the same user see this one again, after a change of the user."""
    _set(PR_SET_DUMPABLE, 1)


def children(pid: int) -> set[int]:
    """The process ids of a process's children, those of every thread; none on a system without /proc."""
    found: set[int] = set()
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found.update(map(int, (thread / "children").read_text().split()))
    return found


def stopped_tree(pid: int) -> set[int]:
    """Stop this process and all that descend from it, so that none of them starts another. Returns their ids."""
    tree: set[int] = set()
    found = {pid}
    while found:
        for one in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGSTOP)
        tree |= found
        found = {child for one in tree for child in children(one)} - tree
    return tree


def _set(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def oom_kills() -> int | None:
    """The number of processes killed so far because memory ran out; None where the system does not say."""
    try:
        with open("/proc/vmstat") as file:
            return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), None)
    except OSError:
        return None
