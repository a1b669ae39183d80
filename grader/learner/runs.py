"""Runs versions of a kata's code, and tells what each of its specs came to and what the
code did in it.
"""

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from grader import followed
from grader.course.cells import definitions
from grader.course.description import Exercise
from grader.course.statements import decorated_line
from grader.errors import NotPossible
from grader.execution import scheduler
from grader.followed import Call
from grader.protocol import Follow, RunOptions
from grader.reports import words
from grader.results import KataResult, SpecResult
from grader.workers.jobs import Job


@dataclass(frozen=True)
class Run:
    """What came of one version: its specs by name, and the calls that were followed,
    by spec.
    """

    specs: dict[str, SpecResult]
    calls: dict[str, list[Call]]


def job_of(job: Job, text: str, exercise: Exercise) -> Job:
    """A run of the specs of an exercise's point on this text, in which the exercise
    is followed.

    Raises:
        NotPossible: the text does not parse.
    """
    options = RunOptions(
        ideas=True, only=(exercise.spec_class,), also=lines_of(text, exercise)
    )
    return Job(job.kata, {**job.files, job.kata.file: text}, options=options)


def lines_of(text: str, exercise: Exercise) -> Follow | None:
    """The first and last line of an exercise's function or method, else of its class;
    None if there is none.

    Raises:
        NotPossible: the text does not parse.
    """
    try:
        found = definitions(ast.parse(text))
    except SyntaxError as error:
        raise NotPossible(f"line {error.lineno}: {error.msg}") from None
    node = found.get(exercise.name) or found.get(exercise.owner)
    return (
        Follow(decorated_line(node), node.end_lineno or node.lineno) if node else None
    )


def of(jobs: Iterable[Job]) -> list[Run]:
    """Run these jobs, as many at once as there are cores.

    Raises:
        NotPossible: the kata's specs cannot be collected.
    """
    jobs = list(jobs)
    results = dict(scheduler.run(jobs))
    return [_run(job, results[job]) for job in jobs]


def _run(job: Job, result: KataResult) -> Run:
    if result.gap:
        raise NotPossible(f"{job.kata.number}: {words.not_graded(result)}")
    specs = {
        spec.name: spec for exercise in result.exercises for spec in exercise.specs
    }
    return Run(
        specs, {name: followed.read(text) for name, text in result.traces.items()}
    )
