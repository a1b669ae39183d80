"""The time that a tree of processes has used, from /proc: computing, and waiting of its own, whatever else runs here.

A busy machine makes a process late without the process doing anything: its tasks stand in the run queue. That time is
neither computing nor waiting, so limits on these two hold for code and not for the machine.
"""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from grader.isolation import processes
from grader.isolation.rights import PLAIN

LOOK_SECONDS = 1.0  # between two looks
LEAST = 0.01  # of the time a busy machine gives to code that computes: what has less waits
IS_TOLD = Path("/proc/self/schedstat").exists()


@dataclass(frozen=True)
class Limit:
    """Seconds of computing, of waiting, and by the clock: the last for a machine that gives the code almost no time."""

    computing: float
    waiting: float
    clock: float


def of_spec(seconds: float) -> Limit:
    return Limit(seconds, 3 * seconds, 30 * seconds)


OF_START = Limit(60.0, 60.0, 600.0)  # of a worker: fork, collect the specs, and between two specs
OF_KATA = Limit(PLAIN.kata_seconds, PLAIN.kata_seconds, 3600.0)  # of all its specs, in each lock


@dataclass(frozen=True)
class Used:
    """Seconds that some processes have used since they began, together with their children that have ended."""

    computing: float
    queued: float  # ready to compute, while others had the cores
    is_told: bool = True  # how long it queued

    def __add__(self, other: "Used") -> "Used":
        return Used(self.computing + other.computing, self.queued + other.queued)


def of_this_process() -> Used | None:
    """The time of this process and all that descend from it; the run queue counts as waiting if it is not told."""
    return of_processes(tree(os.getpid())) or _in_the_sandbox() if IS_TOLD else Used(time.process_time(), 0.0)


def _in_the_sandbox() -> Used | None:
    """The time of this process, where /proc is hidden; None while it has children, of which nothing is told."""
    with suppress(ChildProcessError):
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return None
    _, _, *of_children, _ = os.times()
    return Used(time.process_time() + sum(of_children), 0.0, is_told=False)


def of_processes(pids: Iterable[int]) -> Used | None:
    """The time of these processes; None where the system does not tell it. One that has ended counts for its parent."""
    found, is_told = Used(0.0, 0.0), False
    for pid in pids:
        try:
            found, is_told = found + _of_process(Path(f"/proc/{pid}")), True
        except (FileNotFoundError, ProcessLookupError):
            continue
        except (OSError, ValueError, IndexError):
            return None
    return found if is_told else None


def tasks(pids: Iterable[int]) -> int:
    """The number of threads of these processes; 0 where the system does not tell it."""
    found = 0
    for pid in pids:
        with suppress(OSError):
            found += os.stat(f"/proc/{pid}/task").st_nlink - 2
    return found


def tree(pid: int) -> set[int]:
    """This process and all that descend from it."""
    found, new = {pid}, {pid}
    while new:
        new = {child for one in new for child in processes.children(one)} - found
        found |= new
    return found


def _of_process(place: Path) -> Used:
    fields = (place / "stat").read_text().rpartition(")")[2].split()
    computing = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    queued = sum(int((task / "schedstat").read_text().split()[1]) for task in (place / "task").iterdir())
    return Used(computing, queued / 1e9)


class Stopwatch:
    """Measures code against its limits, from one look to the next.

    Args:
        used: what the code has used so far; None where that is not known. If the system never tells it, the clock
            stands for it.
        last: what it had used a moment ago, where that is known.
    """

    def __init__(self, limit: Limit, used: Callable[[], Used | None], last: Used | None = None):
        self.limit, self.used = limit, used
        self.began = self.looked = time.monotonic()
        self.computing = self.waited = 0.0
        self.last = last or used()

    def look(self) -> str:
        """Tell which limit is reached: "computing", "waiting" or "clock"; empty if none is."""
        now, used = time.monotonic(), self.used()
        if used and self.last:
            computing = max(0.0, used.computing - self.last.computing)
            queued = max(0.0, used.queued - self.last.queued)
            if not used.is_told and computing > LEAST * (now - self.looked):
                queued = now - self.looked - computing
            self.computing += computing
            # A stay in the run queue is told when it ends: what was taken for waiting before is taken back then.
            self.waited = max(0.0, self.waited + now - self.looked - computing - queued)
        elif not IS_TOLD:
            self.computing = now - self.began
        self.looked, self.last = now, used
        if self.computing >= self.limit.computing:
            return "computing"
        if self.waited >= self.limit.waiting:
            return "waiting"
        return "clock" if now - self.began >= self.limit.clock else ""

    @property
    def due(self) -> float:
        """When to look next, by `time.monotonic`."""
        return self.looked + self.next_look

    @property
    def next_look(self) -> float:
        """Seconds until the next look: soon where a limit is near."""
        left = (self.limit.computing - self.computing, self.limit.waiting - self.waited)
        return max(0.05, min(LOOK_SECONDS, *left))
