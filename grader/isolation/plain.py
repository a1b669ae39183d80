"""What the system tells of processes, and how a tree of them ends, elsewhere than on
Linux: by psutil.
"""

from contextlib import suppress

import psutil


def tree(pid: int) -> set[int]:
    """This process and all that descend from it."""
    with suppress(psutil.Error):
        return {
            pid,
            *(child.pid for child in psutil.Process(pid).children(recursive=True)),
        }
    return {pid}


def computing(pid: int) -> float | None:
    """The seconds that a process has computed; None if it has ended."""
    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return None


def end(pid: int) -> None:
    """Kill this process and all that descend from it."""
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        for one in (*root.children(recursive=True), root):
            with suppress(psutil.Error):  # it has ended meanwhile
                one.kill()
