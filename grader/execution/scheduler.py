"""Runs jobs in warm workers, several at a time, and enforces their deadlines
from outside.
"""

import os
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import connection
from pathlib import Path

from grader.course.catalogue import Kata
from grader.execution import reduced
from grader.execution.boundary import costs_only, not_graded
from grader.execution.supervisor import Supervisor
from grader.isolation import limits
from grader.lock import bare_server
from grader.lock.second_lock import SecondLock
from grader.results import KataResult
from grader.workers import folders, forkserver, orphans
from grader.workers.folders import LOOK_SECONDS
from grader.workers.jobs import Job

Running = Supervisor | SecondLock


def available_cores() -> int:
    """The number of cores that this process may use."""
    return (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )


def run(
    jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job],
    *,
    at_a_time: int = 0,
    specs_of: Sequence[Kata] = (),
    until: Sequence[int | socket.socket] = (),
) -> Generator[tuple[Job, KataResult]]:
    """Run jobs in parallel and yield each with its result as it finishes.

    Closing the iterator ends every process that it started. Where the grader itself
    fails on a job, that job is not graded, and the others go on. A job of which a
    process is killed from outside, as the system does where memory runs out, runs once
    more, alone: what then ends without a verdict is the code's doing.

    Args:
        jobs_ready: the jobs, or a function that returns those that can start now. It is
            called again when they run out.
        at_a_time: jobs that run in parallel; 0 means one per core. Fewer run where
            memory has no room for them.
        specs_of: katas whose specs a new forkserver collects. Later calls reuse the
            forkserver as it is.
        until: file descriptors or sockets. As soon as one of them can be read, all
            running jobs are given up.
    """
    limit = min(at_a_time or available_cores(), limits.most_at_a_time())
    with (
        folders.of_a_run(forkserver.temporary_folder()) as scratch,
        orphans.ended() as end_orphans,
    ):
        jobs = _Jobs(_as_function(jobs_ready), limit, scratch, specs_of, end_orphans)
        try:
            while True:
                jobs.start()
                if not jobs.running and not jobs.ended:
                    return
                if not jobs.ended and wait(jobs.running, until):
                    return
                jobs.follow()
                while jobs.ended:
                    yield jobs.ended.pop(0)
        finally:
            jobs.give_up()
            folders.remove(scratch)


@dataclass
class _Jobs:
    """The jobs of one run: which wait, which run, and which have ended with what."""

    more: Callable[[], Iterable[Job]]
    limit: int
    scratch: Path
    specs_of: Sequence[Kata]
    end_orphans: Callable[[], None]
    queue: Iterator[Job] = field(default_factory=lambda: iter(()))
    running: list[Running] = field(default_factory=list)
    ended: list[tuple[Job, KataResult]] = field(default_factory=list)
    # of which a process was killed from outside: each runs alone
    again: list[Job] = field(default_factory=list)

    def start(self) -> None:
        """Start as many as there is room for."""
        while not self.ended and (
            not self.running if self.again else _have_room(self.running, self.limit)
        ):
            is_second = bool(self.again)
            job = self.again.pop() if self.again else self._next()
            if job is None:
                return
            if refused := reduced.refused(job):
                self.ended.append((job, refused))
                continue
            with costs_only(partial(_lose, job, self.ended)):
                self.running.append(
                    _started(job, self.scratch, self.specs_of, may_fail=not is_second)
                )

    def _next(self) -> Job | None:
        for job in self.queue:
            return job
        self.queue = iter(self.more())
        return next(self.queue, None)

    def follow(self) -> None:
        """Take the next step of each whose part is finished."""
        for one in [one for one in self.running if one.finished]:
            self.running.remove(one)
            if one.fault:
                with costs_only():
                    one.kill()
            self.end_orphans()
            with costs_only(partial(_lose, one.job, self.ended)):
                cores = self.limit - _in_use(self.running) if one.may_fail else 1
                match _following(one, self.scratch, cores):
                    case None:
                        self.again.append(one.job)
                    case KataResult() as result:
                        self.ended.append((one.job, result))
                    case following:
                        self.running.append(following)

    def give_up(self) -> None:
        """End every process."""
        for one in self.running:
            with costs_only():
                if not one.finished:
                    one.kill()
        self.end_orphans()


def _started(
    job: Job, scratch: Path, specs_of: Sequence[Kata], *, may_fail: bool
) -> Supervisor:
    forkserver.prepare(specs_of or [job.kata])
    if job.options.sealed:
        bare_server.prepare(specs_of or [job.kata])
    return Supervisor(job, scratch, may_fail=may_fail)


def _have_room(running: Sequence[Running], limit: int) -> bool:
    """Tell if another job may start beside these: none does beside one that runs
    once more.
    """
    return _in_use(running) < limit and all(one.may_fail for one in running)


def _in_use(running: Sequence[Running]) -> int:
    """The number of cores that these keep busy."""
    return sum(len(one.channels) for one in running)


def _following(
    one: Running, scratch: Path, cores: int
) -> SecondLock | KataResult | None:
    """The next step after a finished part of a job: the second lock on so many cores,
    or the result.

    None: the job was disturbed, and runs again.
    """
    if one.fault:
        return not_graded(one.job.kata, one.fault, one.job.options)
    if one.disturbed:
        return None
    second = (
        one.second_lock(scratch, max(1, cores)) if isinstance(one, Supervisor) else None
    )
    if second and second.disturbed:
        return None
    return second if second and not second.finished else (second or one).result()


def _lose(job: Job, ended: list[tuple[Job, KataResult]], why: str) -> None:
    ended.append((job, not_graded(job.kata, why, job.options)))


def _as_function(
    jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job],
) -> Callable[[], Iterable[Job]]:
    if callable(jobs_ready):
        return jobs_ready
    rest = iter(jobs_ready)
    return lambda: rest


def wait(running: Sequence[Running], until: Sequence[int | socket.socket]) -> bool:
    """Read messages until a job finishes, and kill overdue workers. True if one of
    `until` came first.
    """
    while not any(one.finished for one in running):
        channels = {channel: one for one in running for channel in one.channels}
        timeout = min(
            LOOK_SECONDS, max(0.0, min(one.due for one in running) - time.monotonic())
        )
        arrived = connection.wait([*channels, *until], timeout)
        if any(source in until for source in arrived):
            return True
        for channel in channels.keys() & set(arrived):
            with costs_only(partial(_give_up, channels[channel])):
                channels[channel].read(channel)
        for one in running:
            if not one.finished:
                with costs_only(partial(_give_up, one)):
                    one.check()
    return False


def _give_up(one: Running, why: str) -> None:
    one.fault, one.finished = why, True
