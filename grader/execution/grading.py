"""Grades katas against one submission: each after those that it builds on, several
in parallel.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from grader.course import stubs
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.description import Exercise
from grader.errors import LoadFailure
from grader.execution import scheduler
from grader.execution.boundary import costs_only, not_graded
from grader.execution.cores import (
    CORE_WORKS,
    not_started,
    references,
    why_core_fails,
)
from grader.execution.result_cache import ResultCache
from grader.failure import NOT_WRITTEN, Failure
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers import jobs
from grader.workers.jobs import Job, SourceText


def specs_for(kata: Kata, exercise: Exercise) -> list[str]:
    """The spec classes that must run to judge one exercise: its own, and those of the
    exercises that it uses.
    """
    used = kata.used_by(exercise)
    return [
        other.spec_class
        for other in kata.exercises
        if other == exercise or other.owner in used
    ]


class Grading:
    """The grading of one submission: which of its katas can start now, and which code
    each of them builds on.

    Args:
        katas: the katas to grade.
        sources: the text of each of these katas and of every kata that they build on.
        are_references: the texts come from the reference, whose core needs no check.
        options: how the katas to grade run. For the katas they build on, `CORE_WORKS`
            is checked.
        brief: the result of an untouched stub, or of nothing, names exercises and no
            specs, and needs no process.
    """

    def __init__(
        self,
        katas: Iterable[Kata],
        sources: Mapping[Kata, SourceText],
        *,
        are_references: bool = False,
        options: RunOptions | None = None,
        brief: bool = False,
    ):
        self.wanted = dict.fromkeys(katas)
        self.sources, self.options = sources, options or RunOptions()
        self.reasons: dict[Kata, Failure | None] = (
            dict.fromkeys(sources) if are_references else {}
        )
        self.untouched = {
            k
            for k, s in sources.items()
            if not s.problem and stubs.is_untouched(k, s.text)
        }
        self.brief = brief and not self.options.only
        needed = [
            kata for kata in sources if kata not in self.wanted and not are_references
        ]
        # Start the slow katas first: they finish last.
        self.waiting = sorted(
            [*needed, *self.wanted],
            key=lambda kata: "training" not in kata.description.needs,
        )
        self.results: list[KataResult] = []

    def ready(
        self, known: Callable[[Job], KataResult | None] = lambda job: None
    ) -> Iterator[Job]:
        """Yield, once each, the jobs that can start now. A job whose result is `known`
        is settled instead.
        """
        while now := [
            kata
            for kata in self.waiting
            if all(k in self.reasons for k in with_prerequisites([kata])[:-1])
        ]:
            for kata in now:
                self.waiting.remove(kata)
                if self.needs_no_run(kata):
                    self.settle(
                        kata,
                        not_started(kata, self.options, self.sources[kata].problem),
                    )
                    continue
                source = self.sources[kata]
                if source.problem and source.reason:
                    nothing = not_graded(kata, source.problem.line, self.options)
                    self.settle(
                        kata,
                        replace(nothing.because(source.reason), file=source.problem),
                    )
                    continue
                job = None
                with costs_only(partial(self._lose, kata)):
                    found = self._job(kata)
                    if result := known(found):
                        self.settle(kata, result)
                    else:
                        job = found
                if job:
                    yield job

    def needs_no_run(self, kata: Kata) -> bool:
        """Tell if what a kata comes to is known without its specs."""
        problem = self.sources[kata].problem
        is_open = kata in self.untouched or (
            problem is not None and problem.kind == "not handed in"
        )
        return is_open and (self.brief or kata not in self.wanted)

    def settle(self, kata: Kata, result: KataResult) -> None:
        """Take in a finished job's result. Katas that build on this one can
        start now.
        """
        self.reasons.setdefault(kata, why_core_fails(result))
        if kata in self.wanted:
            # otherwise the message says what was lost
            notes = self.sources[kata].notes if result.exercises else ()
            self.results.append(
                replace(
                    result, message="\n".join(filter(None, [*notes, result.message]))
                )
            )

    def _lose(self, kata: Kata, why: str) -> None:
        self.settle(kata, not_graded(kata, why, self.options))

    def _job(self, kata: Kata) -> Job:
        source = self.sources[kata]
        if kata in self.untouched:
            return Job(
                kata,
                {kata.file: source.text},
                Failure("unwritten", NOT_WRITTEN),
                options=self.options,
            )
        files: dict[Path, str] = {}
        own, notes, problem = [], [], source.problem
        for earlier in with_prerequisites([kata])[:-1]:
            reason = self.reasons[earlier]
            try:
                if reason is None:
                    files[earlier.file] = self.sources[earlier].text
                    own.append(earlier.number)
                else:
                    files[earlier.file] = (
                        references(earlier, reason) / earlier.file
                    ).read_text(encoding="utf-8")
                    notes.append(
                        f"builds on the reference of {earlier.number} ({reason.line})"
                    )
            except LoadFailure as failure:
                problem = problem or failure.failure
        stand_ins = bool(notes)
        if own:
            notes.insert(0, f"builds on the submission's own {', '.join(own)}")
        if not source.problem:
            files[kata.file] = source.text
        options = self.options
        check = replace(
            CORE_WORKS,
            spec_seconds=options.spec_seconds,
            require_isolation=options.require_isolation,
        )
        return Job(
            kata,
            files,
            problem,
            "; ".join(notes),
            stand_ins,
            self.options if kata in self.wanted else check,
        )


def grade_folder(
    katas: Iterable[Kata],
    code: Path,
    *,
    at_a_time: int = 0,
    options: RunOptions | None = None,
    cache: ResultCache | None = None,
) -> Generator[KataResult]:
    """Grade katas against a code folder laid out like `katas/`. For the rest, see
    `grade_sources`.
    """
    katas = list(katas)
    sources = {kata: jobs.read(kata, code) for kata in with_prerequisites(katas)}
    return grade_sources(
        katas, sources, code, at_a_time=at_a_time, options=options, cache=cache
    )


def grade_sources(
    katas: list[Kata],
    sources: Mapping[Kata, SourceText],
    code: Path,
    *,
    at_a_time: int = 0,
    options: RunOptions | None = None,
    cache: ResultCache | None = None,
    brief: bool = False,
) -> Generator[KataResult]:
    """Grade katas, several in parallel. Yield results as they finish.

    A kata that builds on earlier ones runs after them. Closing the iterator ends every
    process that it started.

    Args:
        sources: the text of each kata's file, and of those of the katas that they
            build on.
        code: the folder that the texts come from.
        at_a_time: katas graded in parallel; 0 means one per core.
        cache: where results are looked up and kept.
        brief: see `Grading`.
    """
    is_reference = bool(katas) and code.resolve() == katas[0].solutions.resolve()
    grading = Grading(
        katas, sources, are_references=is_reference, options=options, brief=brief
    )

    def known(job: Job) -> KataResult | None:
        return (
            cache.find(job)
            if cache and (job.kata in grading.untouched or not cache.again)
            else None
        )

    to_run = [kata for kata in katas if not grading.needs_no_run(kata)]
    for job, result in scheduler.run(
        lambda: grading.ready(known), at_a_time=at_a_time, specs_of=to_run
    ):
        if cache:
            cache.keep(job, result)
        grading.settle(job.kata, result)
        while grading.results:
            yield grading.results.pop(0)
    yield from grading.results
