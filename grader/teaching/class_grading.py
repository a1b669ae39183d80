"""Grades the submissions of a class through one set of workers. Code that several students share runs once."""

from collections.abc import Generator, Iterable, Iterator
from functools import partial

from grader.course.catalogue import Kata, with_prerequisites
from grader.execution import result_cache, scheduler
from grader.execution.boundary import costs_only, not_graded
from grader.execution.grading import Grading
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.teaching import submissions
from grader.teaching.submissions import Submission
from grader.workers.jobs import Job

StudentResult = tuple[str, KataResult]  # a student, and the result of one kata


def grade_class(
    handed_in: Iterable[Submission],
    katas: Iterable[Kata],
    *,
    cache: ResultCache,
    options: RunOptions,
    at_a_time: int = 0,
) -> Generator[StudentResult]:
    """Grade every submission. Yield (student, result of one kata) as they finish.

    Where the grader itself fails on a submission, that one is not graded, and the others are.
    Closing the iterator ends every process that it started. The next call continues from the cached results.

    Args:
        at_a_time: katas graded in parallel; 0 means one per core.
    """
    katas = list(katas)
    run = _ClassRun(handed_in, katas, cache, options)
    for job, result in scheduler.run(run.ready, at_a_time=at_a_time, specs_of=katas):
        with costs_only():  # the cache only saves time
            cache.keep(job, result)
        run.finish(job, result)
        yield from run.take_results()
    yield from run.take_results()


class _ClassRun:
    """The submissions that are being graded. The next one is read when the current ones have no job to start."""

    def __init__(self, handed_in: Iterable[Submission], katas: list[Kata], cache: ResultCache, options: RunOptions):
        self.katas, self.cache, self.options = katas, cache, options
        self.needed = with_prerequisites(katas)
        self.following = iter(handed_in)
        self.gradings: dict[str, Grading] = {}  # by student
        self.owed: dict[str, dict[str, Kata]] = {}  # student → the katas without a result
        self.keys: dict[Job, str] = {}  # the cache keys of the running jobs
        self.sharing: dict[str, list[tuple[str, Kata]]] = {}  # key of a running job → who waits for its result
        self.results: list[StudentResult] = []

    def ready(self) -> Iterator[Job]:
        """Yield the jobs that can start now, one per distinct code."""
        while True:
            found = [(student, job) for student in list(self.gradings) for job in self._jobs(student)]
            for student, job in found:
                if new := self._unless_known(student, job):
                    yield new
            self._close_finished()
            if not found and not self._open_next():
                return

    def finish(self, job: Job, result: KataResult) -> None:
        """Give the result to every student with this code."""
        for student, kata in self.sharing.pop(self.keys.pop(job)):
            self._settle(student, kata, result)

    def take_results(self) -> list[StudentResult]:
        """The results that have come in since the last call."""
        taken, self.results = self.results, []
        return taken

    def _jobs(self, student: str) -> list[Job]:
        """The jobs of a submission that can start now."""
        with costs_only(partial(self._lose, student)):
            found = list(self.gradings[student].ready())
            self._take(student)
            return found
        return []

    def _unless_known(self, student: str, job: Job) -> Job | None:
        """The job, unless its result is cached or the same code runs already."""
        with costs_only(partial(self._lose, student)):
            key = result_cache.key(job)
            if known := self.cache.find(job):
                self._settle(student, job.kata, known)
            elif key in self.sharing:
                self.sharing[key].append((student, job.kata))
            else:
                self.sharing[key], self.keys[job] = [(student, job.kata)], key
                return job
        return None

    def _settle(self, student: str, kata: Kata, result: KataResult) -> None:
        with costs_only(partial(self._lose, student)):
            if student in self.gradings:  # and not lost meanwhile
                self.gradings[student].settle(kata, result)
                self._take(student)

    def _take(self, student: str) -> None:
        """Take the results that a submission has by now."""
        found = self.gradings[student].results
        for result in found:
            del self.owed[student][result.kata]
        self.results += [(student, result) for result in found]
        found.clear()

    def _lose(self, student: str, why: str) -> None:
        """Give up a submission: what it has no result for yet is not graded."""
        self.gradings.pop(student, None)
        lost = self.owed.pop(student, {}).values()
        self.results += [(student, not_graded(kata, why, self.options)) for kata in lost]

    def _close_finished(self) -> None:
        """Forget the submissions whose katas are all graded."""
        waited_for = {student for waiting in self.sharing.values() for student, _ in waiting}
        for student in [s for s, grading in self.gradings.items() if not grading.waiting and s not in waited_for]:
            del self.gradings[student]

    def _open_next(self) -> bool:
        """Read the next submission; False if there is none."""
        submission = next(self.following, None)
        if submission is None:
            return False
        student = submission.student
        katas = self.katas if submission.katas is None else submission.katas
        self.owed[student] = {kata.name: kata for kata in katas}
        with costs_only(partial(self._lose, student)):
            texts = submissions.sources(submission, self.needed)
            self.gradings[student] = Grading(katas, texts, options=self.options)
        return True
