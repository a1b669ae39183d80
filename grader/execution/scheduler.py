"""Runs jobs in warm workers, several at a time, and enforces their deadlines from outside."""

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from multiprocessing import connection
from pathlib import Path

from grader.course.catalogue import Kata
from grader.execution import bare_server, forkserver, orphans, reduced
from grader.execution.folders import LOOK_SECONDS
from grader.execution.jobs import Job
from grader.execution.second_lock import SecondLock
from grader.execution.supervisor import Supervisor
from grader.results import KataResult


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job],
    *,
    at_a_time: int = 0,
    specs_of: Sequence[Kata] = (),
    until: Sequence[int | socket.socket] = (),
) -> Iterator[tuple[Job, KataResult]]:
    """Run jobs in parallel and yield each with its result as it finishes.

    Closing the iterator ends every process that it started.

    Args:
        jobs_ready: the jobs, or a function that returns those that can start now. It is called again when they run out.
        at_a_time: jobs that run in parallel; 0 means one per core.
        specs_of: katas whose specs a new forkserver collects. Later calls reuse the forkserver as it is.
        until: file descriptors or sockets. As soon as one of them can be read, all running jobs are given up.
    """
    more = _as_function(jobs_ready)
    queue: Iterator[Job] = iter(())
    limit = at_a_time or available_cores()
    running: list[Supervisor | SecondLock] = []
    folder = tempfile.TemporaryDirectory(prefix="kata-", dir=forkserver.temporary_folder(), ignore_cleanup_errors=True)
    with folder as scratch, orphans.ended() as end_orphans:
        try:
            while True:
                while len(running) < limit:
                    job = next(queue, None) or next(queue := iter(more()), None)
                    if job is None:
                        break
                    if result := reduced.refused(job):
                        yield job, result
                        continue
                    forkserver.prepare(specs_of or [job.kata])
                    if job.options.sealed:
                        bare_server.prepare(specs_of or [job.kata])
                    running.append(Supervisor(job, Path(scratch)))
                if not running or wait(running, until):
                    return
                for finished in [one for one in running if one.finished]:
                    running.remove(finished)
                    end_orphans()
                    second = finished.second_lock(Path(scratch)) if isinstance(finished, Supervisor) else None
                    if second and not second.finished:
                        running.append(second)
                    else:
                        yield finished.job, (second or finished).result()
        finally:
            for one in running:
                if not one.finished:
                    one.kill()


def _as_function(jobs_ready: Callable[[], Iterable[Job]] | Iterable[Job]) -> Callable[[], Iterable[Job]]:
    if callable(jobs_ready):
        return jobs_ready
    rest = iter(jobs_ready)
    return lambda: rest


def wait(running: Sequence[Supervisor | SecondLock], until: Sequence[int | socket.socket]) -> bool:
    """Read messages until a job finishes, and kill overdue workers. True if one of `until` came first."""
    while not any(one.finished for one in running):
        channels: dict[object, Supervisor | SecondLock] = {one.worker.channel: one for one in running}
        timeout = min(LOOK_SECONDS, max(0.0, min(one.due for one in running) - time.monotonic()))
        arrived = connection.wait([*(one.worker.channel for one in running), *until], timeout)
        if any(source in until for source in arrived):
            return True
        for channel in arrived:
            channels[channel].read()
        for one in running:
            if not one.finished:
                one.check()
    return False
