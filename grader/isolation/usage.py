"""The time that a tree of processes has used, from /proc: computing, and waiting of its
own, whatever else runs here.

A busy machine makes a process late without the process doing anything: its tasks stand
in the run queue. That time is neither computing nor waiting, so limits on these two
hold for code and not for the machine.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grader.isolation import linux, proc
from grader.isolation.rights import PLAIN

LOOK_SECONDS = 1.0  # between two looks
SHARE = 20  # seconds by the clock in which a busy machine lets code compute for one
# of the time a busy machine gives to code that computes: what has less waits
LEAST = 0.01
if sys.platform == "linux":
    IS_TOLD = Path("/proc/self/schedstat").exists()
    # per second, in what /proc tells of computing
    CLOCK_TICKS = os.sysconf("SC_CLK_TCK") if IS_TOLD else 0
else:
    from grader.isolation import plain

    IS_TOLD, CLOCK_TICKS = True, 0


@dataclass(frozen=True)
class Limit:
    """Seconds of computing, of waiting, and by the clock: the last for a machine that
    gives the code almost no time.

    By the clock, code that computes next to nothing has a third: it may wait in a way
    that does not look like it.
    """

    computing: float
    waiting: float
    clock: float

    def is_late(self, seconds: float, computing: float) -> bool:
        """Tell if this is too long by the clock for code that has computed so
        much meanwhile.
        """
        return seconds >= min(self.clock, self.clock / 3 + SHARE * computing)


def of_spec(seconds: float) -> Limit:
    return Limit(seconds, 3 * seconds, 30 * seconds)


# of a worker: fork, collect the specs, and between two specs
OF_START = Limit(60.0, 60.0, 600.0)
# of all its specs, in each lock
OF_KATA = Limit(PLAIN.kata_seconds, PLAIN.kata_seconds, 3600.0)


@dataclass(frozen=True)
class Used:
    """Seconds that some processes have used since they began, together with their
    children that have ended.
    """

    computing: float
    queued: float  # ready to compute, while others had the cores
    is_told: bool = True  # how long it queued

    def __add__(self, other: "Used") -> "Used":
        is_told = self.is_told and other.is_told
        return Used(
            self.computing + other.computing, self.queued + other.queued, is_told
        )


def of_this_process() -> Used | None:
    """The time of this process and all that descend from it; the run queue counts as
    waiting if it is not told.
    """
    return (
        of_processes(tree(os.getpid())) or _in_the_sandbox()
        if IS_TOLD
        else Used(time.process_time(), 0.0)
    )


def _in_the_sandbox() -> Used | None:
    """The time of this process, where /proc is hidden; None while it has children, of
    which nothing is told.
    """
    linux.only()
    with suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None
    _, _, *of_children, _ = os.times()
    return Used(time.process_time() + sum(of_children), 0.0, is_told=False)


def of_processes(pids: Iterable[int]) -> Used | None:
    """The time of these processes; None where the system does not tell it. One that has
    ended counts for its parent.
    """
    known = [used for pid in pids if (used := _of_process(pid))]
    return sum(known, Used(0.0, 0.0)) if known else None


def tasks(pids: Iterable[int]) -> int:
    """The number of threads of these processes; 0 where the system does not tell it."""
    return sum(len(proc.tasks(pid)) for pid in pids)


def sockets(pids: Iterable[int]) -> int:
    """The number of sockets of these processes: all in a network of their own,
    elsewhere those that they have open.
    """
    ours, opened, most = proc.mounts("self"), set[bytes](), 0
    for pid in pids:
        theirs = proc.mounts(pid)
        if theirs == ours:
            opened.update(
                path for path, _ in proc.opened(pid) if path.startswith(b"socket:")
            )
        elif theirs:
            most = max(most, proc.sockets(pid))
    return max(most, len(opened))


def tree(pid: int) -> set[int]:
    """This process and all that descend from it."""
    if sys.platform != "linux":
        return plain.tree(pid)
    found, new = {pid}, {pid}
    while new:
        new = {child for one in new for child in proc.children(one)} - found
        found |= new
    return found


def _of_process(pid: int) -> Used | None:
    if sys.platform != "linux":
        seconds = plain.computing(pid)
        return None if seconds is None else Used(seconds, 0.0, is_told=False)
    numbers = proc.stat(pid)
    if not numbers:
        return None
    queued = [proc.told(f"{task}/schedstat").split() for task in proc.tasks(pid)]
    return Used(
        sum(numbers[10:14]) / CLOCK_TICKS,
        sum(int(told[1]) for told in queued if told) / 1e9,
    )


class Stopwatch:
    """Measures code against its limits, from one look to the next.

    Args:
        used: what the code has used so far; None where that is not known. If the system
            never tells it, the clock stands for it.
        last: what it had used a moment ago, where that is known.
    """

    def __init__(
        self, limit: Limit, used: Callable[[], Used | None], last: Used | None = None
    ):
        self.limit, self.used = limit, used
        self.began = self.looked = time.monotonic()
        self.computing = self.waited = 0.0
        self.last = last or used()

    def look(self) -> str:
        """Tell which limit is reached: "computing", "waiting" or "clock"; empty if
        none is.
        """
        now, used = time.monotonic(), self.used()
        if used and self.last:
            computing = max(0.0, used.computing - self.last.computing)
            queued = max(0.0, used.queued - self.last.queued)
            if not used.is_told and computing > LEAST * (now - self.looked):
                queued = now - self.looked - computing
            self.computing += computing
            # A stay in the run queue is told when it ends: what was taken for waiting
            # before is taken back then.
            self.waited = max(0.0, self.waited + now - self.looked - computing - queued)
        elif not IS_TOLD:
            self.computing = now - self.began
        self.looked, self.last = now, used
        if self.computing >= self.limit.computing:
            return "computing"
        if self.waited >= self.limit.waiting:
            return "waiting"
        return "clock" if self.limit.is_late(now - self.began, self.computing) else ""

    @property
    def due(self) -> float:
        """When to look next, by `time.monotonic`."""
        return self.looked + self.next_look

    @property
    def next_look(self) -> float:
        """Seconds until the next look: soon where a limit is near."""
        left = (self.limit.computing - self.computing, self.limit.waiting - self.waited)
        return max(0.05, min(LOOK_SECONDS, *left))
