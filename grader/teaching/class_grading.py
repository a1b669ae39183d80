"""Grades the submissions of a class through one set of workers. Code that several
students share runs once.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from grader.course.catalogue import Kata, with_prerequisites
from grader.execution import result_cache, scheduler
from grader.execution.boundary import costs_only, not_graded
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching import submissions
from grader.teaching.submissions import Attempt, Version
from grader.workers.jobs import Job

# what no two attempts have in common: the student and the version
Key = tuple[str, Version]


@dataclass(frozen=True)
class Graded:
    """The result of one kata in one version."""

    student: str
    version: Version
    result: KataResult


def grade_class(
    attempts: Iterable[Attempt],
    katas: Iterable[Kata],
    *,
    cache: ResultCache,
    options: RunOptions,
    at_a_time: int = 0,
) -> Generator[Graded]:
    """Grade every attempt. Yield the result of each kata as it finishes.

    Where the grader itself fails on an attempt, that one is not graded, and the
    others are.
    Closing the iterator ends every process that it started. The next call continues
    from the cached results.

    Args:
        katas: all that may be among the attempts.
        at_a_time: katas graded in parallel; 0 means one per core.
    """
    katas = list(katas)
    run = _Running(attempts, katas, cache, options)
    for job, result in scheduler.run(run.ready, at_a_time=at_a_time, specs_of=katas):
        with costs_only():  # the cache only saves time
            cache.keep(job, result)
        run.finish(job, result)
        yield from run.take_results()
    yield from run.take_results()


class _Running:
    """The attempts that are being graded. The next one is read when the current ones
    have no job to start.
    """

    def __init__(
        self,
        attempts: Iterable[Attempt],
        katas: list[Kata],
        cache: ResultCache,
        options: RunOptions,
    ):
        self.cache, self.options = cache, options
        self.needed = with_prerequisites(katas)
        self.following = iter(attempts)
        self.gradings: dict[Key, Grading] = {}
        self.owed: dict[Key, dict[str, Kata]] = {}  # the katas without a result
        self.keys: dict[Job, str] = {}  # the cache keys of the running jobs
        # cache key of a running job → who waits for its result
        self.sharing: dict[str, list[tuple[Key, Kata]]] = {}
        self.results: list[Graded] = []

    def ready(self) -> Iterator[Job]:
        """Yield the jobs that can start now, one per distinct code."""
        while True:
            found = [
                (one, job) for one in list(self.gradings) for job in self._jobs(one)
            ]
            for one, job in found:
                if new := self._unless_known(one, job):
                    yield new
            self._close_finished()
            if not found and not self._open_next():
                return

    def finish(self, job: Job, result: KataResult) -> None:
        """Give the result to every attempt with this code."""
        for one, kata in self.sharing.pop(self.keys.pop(job)):
            self._settle(one, kata, result)

    def take_results(self) -> list[Graded]:
        """The results that have come in since the last call."""
        taken, self.results = self.results, []
        return taken

    def _jobs(self, one: Key) -> list[Job]:
        """The jobs of an attempt that can start now."""
        with costs_only(partial(self._lose, one)):
            found = list(self.gradings[one].ready())
            self._take(one)
            return found
        return []

    def _unless_known(self, one: Key, job: Job) -> Job | None:
        """The job, unless its result is cached or the same code runs already."""
        with costs_only(partial(self._lose, one)):
            key = result_cache.key(job)
            if known := self.cache.find(job):
                self._settle(one, job.kata, known)
            elif key in self.sharing:
                self.sharing[key].append((one, job.kata))
            else:
                self.sharing[key], self.keys[job] = [(one, job.kata)], key
                return job
        return None

    def _settle(self, one: Key, kata: Kata, result: KataResult) -> None:
        with costs_only(partial(self._lose, one)):
            if one in self.gradings:  # and not lost meanwhile
                self.gradings[one].settle(kata, result)
                self._take(one)

    def _take(self, one: Key) -> None:
        """Take the results that an attempt has by now."""
        found = self.gradings[one].results
        for result in found:
            del self.owed[one][result.kata]
        self.results += [Graded(*one, result) for result in found]
        found.clear()

    def _lose(self, one: Key, why: str) -> None:
        """Give up an attempt: what it has no result for yet is not graded."""
        self.gradings.pop(one, None)
        lost = self.owed.pop(one, {}).values()
        self.results += [
            Graded(*one, not_graded(kata, why, self.options)) for kata in lost
        ]

    def _close_finished(self) -> None:
        """Forget the attempts whose katas are all graded."""
        waited_for = {one for waiting in self.sharing.values() for one, _ in waiting}
        for one in [
            o
            for o, grading in self.gradings.items()
            if not grading.waiting and o not in waited_for
        ]:
            del self.gradings[one]

    def _open_next(self) -> bool:
        """Read the next attempt; False if there is none."""
        attempt = next(self.following, None)
        if attempt is None:
            return False
        one: Key = (attempt.student, attempt.version)
        self.owed[one] = {kata.name: kata for kata in attempt.katas}
        with costs_only(partial(self._lose, one)):
            texts = submissions.sources(attempt.submission, self.needed)
            self.gradings[one] = Grading(attempt.katas, texts, options=self.options)
        return True
