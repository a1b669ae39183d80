"""Runs versions of a kata's code, and tells what each of its specs came to and what the code did in it."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader import followed
from grader.errors import NotPossible
from grader.execution import scheduler
from grader.execution.supervisor import Supervisor
from grader.followed import Call
from grader.results import KataResult, SpecResult
from grader.workers import forkserver, orphans
from grader.workers.jobs import Job


@dataclass(frozen=True)
class Run:
    """What came of one version.

    Attributes:
        specs: by name.
        calls: of the functions that are followed, by spec.
        says: what each spec asks for.
    """

    result: KataResult
    calls: dict[str, list[Call]]
    says: dict[str, str]

    @property
    def specs(self) -> dict[str, SpecResult]:
        return {spec.name: spec for exercise in self.result.exercises for spec in exercise.specs}


def of(jobs: Iterable[Job]) -> list[Run]:
    """Run these jobs, as many at once as there are cores.

    Raises:
        NotPossible: the kata's specs cannot be collected.
    """
    return [_run(one, result) for one, result in finished(jobs)]


def finished(jobs: Iterable[Job]) -> list[tuple[Supervisor, KataResult]]:
    """The same, for a caller who reads the traces in another way."""
    waiting, running = list(enumerate(jobs)), dict[int, Supervisor]()
    found: dict[int, tuple[Supervisor, KataResult]] = {}
    folder = tempfile.TemporaryDirectory(prefix="kata-", dir=forkserver.temporary_folder(), ignore_cleanup_errors=True)
    with folder as scratch, orphans.ended() as end_orphans:
        while waiting or running:
            while waiting and len(running) < scheduler.available_cores():
                place, job = waiting.pop(0)
                forkserver.prepare([job.kata])
                running[place] = Supervisor(job, Path(scratch))
            if not any(one.finished for one in running.values()):
                scheduler.wait(list(running.values()), ())
            for place, one in [(place, one) for place, one in running.items() if one.finished]:
                del running[place]
                found[place] = (one, one.result())
        end_orphans()
    return [found[place] for place in sorted(found)]


def _run(one: Supervisor, result: KataResult) -> Run:
    if not one.specs:
        raise NotPossible(f"{one.job.kata.number}: {result.message}")
    calls = {name: followed.read(text) for name, text in one.traces.items()}
    return Run(result, calls, {name: spec.says for name, spec in one.specs.items()})
