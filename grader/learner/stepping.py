"""`kata trace`: a call of the learner's code line by line."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.followed import Call
from grader.learner import picture, runs, trace
from grader.protocol import Evaluate
from grader.results import DONE, title
from grader.workers.jobs import Job


@dataclass(frozen=True)
class Followed:
    """A call that was followed.

    Attributes:
        text: the file.
        spec: in which it was; "" if the learner gave it.
    """

    text: str
    call: Call
    spec: str = ""
    fails: bool = False


def of_a_spec(kata: Kata, exercise: Exercise, job: Job) -> Followed:
    """A call in the exercise's first failing spec, else in its first.

    Raises:
        NotPossible: the code was not called: it cannot be imported, or is not written.
    """
    text = job.files[kata.file]
    [run] = runs.of([runs.job_of(job, text, exercise)])
    found = trace.chosen(run, exercise.name.rpartition(".")[2])
    if found is None:
        failing = [one for one in run.specs.values() if one.status not in DONE]
        reason = (failing and failing[0].headline) or "no spec called it"
        raise NotPossible(f"{exercise.name}: nothing to follow: {reason}")
    spec, call = found
    return Followed(text, call, spec, fails=run.specs[spec].status not in DONE)


def of_a_call(kata: Kata, exercise: Exercise, job: Job, expression: str) -> Followed:
    """A call that the learner gave.

    Raises:
        NotPossible: the expression raises an error before it calls the exercise.
    """
    text = job.files[kata.file]
    options = replace(
        job.options, also=Evaluate(expression, runs.lines_of(text, exercise))
    )
    [run] = runs.of([replace(job, options=options)])
    asked, calls = run.calls.get("", [])[:1], run.calls.get("", [])[1:]
    if not calls:
        raised = f": {asked[0].raised}" if asked and asked[0].raised else ""
        raise NotPossible(f"{expression}: does not call {exercise.name}{raised}")
    return Followed(text, calls[0])


def lines(followed: Followed) -> Iterator[str]:
    """What `kata trace` prints."""
    if followed.spec:
        yield f"{'FAILED' if followed.fails else 'passes'}  {title(followed.spec)}"
    yield from trace.lines(followed.call, followed.text.splitlines())


def html(followed: Followed) -> str:
    """The same as a picture."""
    return picture.html(followed.call, followed.text.splitlines())
