"""Runs jobs in warm workers, several at a time, and enforces their deadlines from outside."""

import os
import socket
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
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
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job],
    *,
    at_a_time: int = 0,
    specs_of: Sequence[Kata] = (),
    until: Sequence[int | socket.socket] = (),
) -> Generator[tuple[Job, KataResult]]:
    """Run jobs in parallel and yield each with its result as it finishes.

    Closing the iterator ends every process that it started. Where the grader itself fails on a job, that job is not
    graded, and the others go on. A job of which a process is killed from outside, as the system does where memory runs
    out, runs once more, alone: what then ends without a verdict is the code's doing.

    Args:
        jobs_ready: the jobs, or a function that returns those that can start now. It is called again when they run out.
        at_a_time: jobs that run in parallel; 0 means one per core. Fewer run where memory has no room for them.
        specs_of: katas whose specs a new forkserver collects. Later calls reuse the forkserver as it is.
        until: file descriptors or sockets. As soon as one of them can be read, all running jobs are given up.
    """
    more = _as_function(jobs_ready)
    queue: Iterator[Job] = iter(())
    limit = min(at_a_time or available_cores(), limits.most_at_a_time())
    running: list[Running] = []
    ended: list[tuple[Job, KataResult]] = []
    again: list[Job] = []  # of which a process was killed from outside: each runs once more, beside no other
    with folders.of_a_run(forkserver.temporary_folder()) as scratch, orphans.ended() as end_orphans:
        try:
            while True:
                while not ended and (not running if again else _have_room(running, limit)):
                    is_second = bool(again)
                    job = again.pop() if again else next(queue, None) or next(queue := iter(more()), None)
                    if job is None:
                        break
                    if refused := reduced.refused(job):
                        ended.append((job, refused))
                        continue
                    with costs_only(partial(_lose, job, ended)):
                        running.append(_started(job, scratch, specs_of, may_fail=not is_second))
                if not running and not ended:
                    return
                if not ended and wait(running, until):
                    return
                for one in [one for one in running if one.finished]:
                    running.remove(one)
                    if one.lost:
                        with costs_only():
                            one.kill()
                    end_orphans()
                    with costs_only(partial(_lose, one.job, ended)):
                        following = _following(one, scratch, limit - _in_use(running) if one.may_fail else 1)
                        if following is None:
                            again.append(one.job)
                        elif isinstance(following, KataResult):
                            ended.append((one.job, following))
                        else:
                            running.append(following)
                while ended:
                    yield ended.pop(0)
        finally:
            for one in running:
                with costs_only():
                    if not one.finished:
                        one.kill()
            end_orphans()
            folders.remove(scratch)


def _started(job: Job, scratch: Path, specs_of: Sequence[Kata], *, may_fail: bool) -> Supervisor:
    forkserver.prepare(specs_of or [job.kata])
    if job.options.sealed:
        bare_server.prepare(specs_of or [job.kata])
    return Supervisor(job, scratch, may_fail=may_fail)


def _have_room(running: Sequence[Running], limit: int) -> bool:
    """Tell if another job may start beside these: none does beside one that runs once more."""
    return _in_use(running) < limit and all(one.may_fail for one in running)


def _in_use(running: Sequence[Running]) -> int:
    """The number of cores that these keep busy."""
    return sum(len(one.channels) for one in running)


def _following(one: Running, scratch: Path, cores: int) -> SecondLock | KataResult | None:
    """The next step after a finished part of a job: the second lock on so many cores, or the result.

    None: the job was disturbed, and runs again.
    """
    if one.lost:
        return not_graded(one.job.kata, one.lost, one.job.options)
    if one.disturbed:
        return None
    second = one.second_lock(scratch, max(1, cores)) if isinstance(one, Supervisor) else None
    if second and second.disturbed:
        return None
    return second if second and not second.finished else (second or one).result()


def _lose(job: Job, ended: list[tuple[Job, KataResult]], why: str) -> None:
    ended.append((job, not_graded(job.kata, why, job.options)))


def _as_function(jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job]) -> Callable[[], Iterable[Job]]:
    if callable(jobs_ready):
        return jobs_ready
    rest = iter(jobs_ready)
    return lambda: rest


def wait(running: Sequence[Running], until: Sequence[int | socket.socket]) -> bool:
    """Read messages until a job finishes, and kill overdue workers. True if one of `until` came first."""
    while not any(one.finished for one in running):
        channels = {channel: one for one in running for channel in one.channels}
        timeout = min(LOOK_SECONDS, max(0.0, min(one.due for one in running) - time.monotonic()))
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
    one.lost, one.finished = why, True
