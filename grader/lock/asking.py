"""The runner's side of a round of the second lock: it watches judge and code, and ends
both when one is late.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from grader import protocol
from grader.isolation import processes, usage
from grader.isolation.usage import OF_START, Limit, Stopwatch, Used, of_spec
from grader.protocol import Done, Loaded, Loading, SpecFinished, SpecInfo, SpecStarted
from grader.results import TOO_BUSY
from grader.workers import folders, orphans
from grader.workers.forkserver import Worker
from grader.workers.servers import Process

# a spec's time limit here, in multiples of that in one process: each call crosses
# a pipe
PATIENCE = 3
# seconds beyond that limit before both processes are killed: the alarm inside says
# more, and comes first
GRACE = 5.0
LONGEST_MESSAGE = 200_000  # bytes
CODE, SHARED = "code", "shared"  # folders of a round


@dataclass(frozen=True)
class End:
    """Why a round has ended before its specs did."""

    why: str
    # the machine or the grader is to blame, and the specs have no verdict
    is_ours: bool = False


ENDED = End("the code under test has ended")
NO_ANSWER = End("no answer came in time")
NO_TIME = End(f"{TOO_BUSY}: grade again", is_ours=True)
JUDGE_ENDED = End("the second lock has ended, grade again", is_ours=True)


@dataclass(frozen=True)
class Round:
    """Specs that ask the same code: the learner's own, or with the reference's for
    some names.
    """

    specs: tuple[str, ...]
    names: tuple[str, ...]
    attempts: int


class Asking:
    """The two processes of a round, and which of its specs they have come to.

    Args:
        round: what is asked.
        specs: these specs, by name.
        load_seconds: the time limit for loading the code, in one process.
        judge: the process that asks.
        code: the process that answers.
        folder: the code's files, and what it shares with the judge.
        needs: what the kata needs.
    """

    def __init__(
        self,
        round: Round,
        specs: Mapping[str, SpecInfo],
        load_seconds: float,
        judge: Worker,
        code: Process | BaseProcess,
        folder: Path,
        needs: frozenset[str],
    ):
        self.round, self.specs, self.load_seconds = round, specs, load_seconds
        self.judge, self.code, self.folder, self.needs = judge, code, folder, needs
        self.unasked, self.current = set(round.specs), ""
        self.again: list[str] = []  # specs that failed and may ask once more
        self.ended: End | None = None
        self.is_lost = False  # the code has ended, the judge says
        self.is_loaded = False
        self.cpu_seconds = 0.0  # of a round that came to its end
        self.looked = 0.0  # when the folder was looked at last
        orphans.expect(needs)
        self._allow(OF_START)

    def read(self) -> SpecFinished | None:
        """Take in one message from the judge, or its end. A spec's verdict
        is returned.
        """
        try:
            message = protocol.decode(self.judge.channel.recv_bytes(LONGEST_MESSAGE))
        except (EOFError, OSError, ValueError):
            self.ended = JUDGE_ENDED
            return None
        match message:
            case Loaded():
                self.is_loaded = True
                self._allow(OF_START)
            case Loading():
                self._allow(of_spec(PATIENCE * self.load_seconds + GRACE))
            case SpecStarted(name):
                self.current = name
                self._allow(
                    of_spec(PATIENCE * self.specs[name].seconds + GRACE),
                    self.watch.last,
                )
            case SpecFinished(name) if name in self.unasked:
                self.current, self.is_lost = "", message.error == "Lost"
                self.unasked.discard(name)
                self._allow(OF_START)
                return message
            case Done(cpu_seconds):
                self.cpu_seconds, self.ended = cpu_seconds, ENDED
            case _:
                self._allow(OF_START)
        return None

    def check(self) -> None:
        """Note why the round must end: a message is late, or the folder is full."""
        now = time.monotonic()
        if self.watch.due <= now and (reached := self.watch.look()):
            self.ended = NO_TIME if reached == "clock" else NO_ANSWER
        elif self.looked + folders.LOOK_SECONDS <= now:
            self.looked = now
            if exceeded := folders.exceeded(
                self.folder, self.pids(), self.needs, (CODE, SHARED)
            ):
                self.ended = self.ended or End(exceeded)

    def is_disturbed(self) -> bool:
        """Tell if the judge has ended before its last message, or the code was killed:
        the system does so where memory runs out.
        """
        if self.is_lost:
            self.code.join(1)
        return self.ended == JUDGE_ENDED or (
            not self.code.is_alive() and self.code.exitcode == processes.KILLED
        )

    def kill(self) -> None:
        """Kill the judge, the code under test, and every process that it started."""
        orphans.end_tree(self.judge.process)
        self.judge.channel.close()
        orphans.end_tree(self.code)
        folders.remove(self.folder)

    def used(self) -> Used | None:
        """The time that judge and code have used together: limits count for both."""
        return usage.of_processes(self.pids())

    def pids(self) -> set[int]:
        """The process ids of judge and code, and of all that descend from them."""
        pids = [
            process.pid for process in (self.judge.process, self.code) if process.pid
        ]
        return set().union(*map(orphans.tree, pids))

    def _allow(self, limit: Limit, last: Used | None = None) -> None:
        """Expect the next message within these limits."""
        self.watch = Stopwatch(limit, self.used, last)
