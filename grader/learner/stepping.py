"""`kata trace`: a call of the learner's code line by line, and the first line that departs from code that passes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.followed import Call
from grader.practice import debugging, departing, picture, planting, runs, trace
from grader.practice.departing import Departure
from grader.practice.operators import Source
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
    departure: Departure | None = None


def of_a_spec(kata: Kata, exercise: Exercise, job: Job, *, departs: bool = True) -> Followed:
    """A call in the exercise's first failing spec, else in its first.

    Args:
        departs: look for the line that departs from code that passes, which reads solutions.
    Raises:
        NotPossible: the code was not called: it cannot be imported, or is not written.
    """
    text = job.files[kata.file]
    span = _span(text, exercise)
    [run] = runs.of([debugging.job_of(job, text, exercise, traced=span)])
    found = trace.chosen(run, exercise.name.rpartition(".")[2])
    if found is None:
        failing = [one for one in run.specs.values() if one.status not in DONE]
        reason = failing[0].message.splitlines()[0] if failing and failing[0].message else "no spec called it"
        raise NotPossible(f"{exercise.name}: nothing to follow: {reason}")
    spec, call = found
    followed = Followed(text, call, spec, fails=run.specs[spec].status not in DONE)
    if not (followed.fails and departs):
        return followed
    return replace(followed, departure=departing.look(kata, exercise, job, spec, call))


def of_a_call(kata: Kata, exercise: Exercise, job: Job, expression: str) -> Followed:
    """A call that the learner gave.

    Raises:
        NotPossible: the expression raises an error before it calls the exercise.
    """
    text = job.files[kata.file]
    span = _span(text, exercise)
    options = replace(job.options, asked=expression, traced=(span.start, span.stop - 1))
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
    yield from trace.lines(followed.call, followed.text.splitlines(), followed.departure)


def html(followed: Followed) -> str:
    """The same as a picture."""
    return picture.html(followed.call, followed.text.splitlines(), followed.departure)


def _span(text: str, exercise: Exercise) -> range:
    try:
        return planting.span(Source(text), exercise)
    except SyntaxError as error:
        raise NotPossible(f"line {error.lineno}: {error.msg}") from None
