"""The first line of failing code whose values depart from those of right code.

Right code is the nearest version of the learner's own that passes: the code after one small change. If none is found,
known right solutions tell where values are still among theirs.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.execution import scheduler
from grader.practice import carried, mutation, operators, planting, recorded, runs
from grader.practice.debugging import job_of
from grader.practice.mutation import Mutant
from grader.practice.operators import Source
from grader.practice.planting import Version
from grader.results import DONE
from grader.specs import tracing
from grader.specs.tracing import Call, Step, Value
from grader.workers.jobs import Job

SECONDS = 20.0  # of looking
MOST_TRIED = 24  # versions


@dataclass(frozen=True)
class Departure:
    """Where failing code first comes to other values than the version that passes.

    Attributes:
        line: of the failing code.
        instead: ": the version that passes has q float32 (2, 3, 5, 4) here", where kinds or shapes differ.
    """

    line: int
    instead: str = ""


def look(
    kata: Kata,
    exercise: Exercise,
    job: Job,
    spec: str,
    call: Call,
    mistakes: Sequence[Version] | None = None,
    solutions: Sequence[str] | None = None,
) -> Departure | None:
    """The departure of a failing call; None if none is found.

    Args:
        job: the kata's code.
        spec: the failing spec, in which the call was followed.
        mistakes, solutions: other ones than those that are recorded.
    """
    mistakes = recorded.mistakes(kata) if mistakes is None else mistakes
    solutions = recorded.solutions(kata) if solutions is None else solutions
    passing = nearest(kata, exercise, job, mistakes, {step.line for step in call.steps})
    others = [*_alike(job, exercise, spec, call, [passing.source])] if passing else []
    if others:
        return first_difference(call, others[0])
    return first_unknown(call, [*_alike(job, exercise, spec, call, solutions)])


def _alike(job: Job, exercise: Exercise, spec: str, call: Call, texts: Sequence[str]) -> Iterator[Call]:
    """The calls with the same input that other code got in a spec."""
    traced = [planting.span(Source(text), exercise) for text in texts]
    for run in runs.of(job_of(job, text, exercise, span) for text, span in zip(texts, traced, strict=True)):
        for other in run.calls.get(spec, ()):
            if other.name == call.name and _same_input(call, other):
                yield other


def nearest(
    kata: Kata, exercise: Exercise, job: Job, mistakes: Sequence[Version], ran: set[int], seconds: float = SECONDS
) -> Mutant | None:
    """A small change after which the specs of the exercise's point pass: a mistake carried back, or an operator's."""
    text = job.files[kata.file]
    begun, found = time.monotonic(), islice(_candidates(kata, exercise, text, mistakes, ran), MOST_TRIED)
    while time.monotonic() - begun < seconds and (batch := list(islice(found, scheduler.available_cores()))):
        tried = runs.of(job_of(job, one.source, exercise) for one in batch)
        for mutant, run in zip(batch, tried, strict=True):
            if run.specs and all(one.status in DONE for one in run.specs.values()):
                return mutant
    return None


def _candidates(
    kata: Kata, exercise: Exercise, text: str, mistakes: Sequence[Version], ran: set[int]
) -> Iterator[Mutant]:
    """Mistakes that are carried back, then the operators' changes, those of lines that ran first."""
    source = Source(text)
    span = planting.span(source, exercise)
    back = [edit for one in mistakes for edit in carried.edits(one.wrong, one.right, source, planting.CARRIED)]
    found = mutation.generate(source, [*back, *operators.edits(source)], stubs.stub_of(kata) or "")
    found = [one for one in found if one.line in span]
    yield from sorted(found, key=lambda one: (one.operator != planting.CARRIED, one.line not in ran))


def _same_input(one: Call, other: Call) -> bool:
    return one.arguments.keys() == other.arguments.keys() and all(
        tracing.same(value, other.arguments[name]) for name, value in one.arguments.items()
    )


def first_difference(call: Call, other: Call) -> Departure | None:
    """The first line after which a variable, or the result, is another one than in the other call."""
    for step, theirs in zip(call.steps, other.steps, strict=False):
        for name in step.first.keys() | theirs.first.keys():
            mine, right = step.first.get(name), theirs.first.get(name)
            if not tracing.same(mine, right) or not tracing.same(step.last.get(name), theirs.last.get(name)):
                return Departure(step.line, _instead(name, mine, right))
        if step.line != theirs.line and len(step.first) != len(theirs.first):
            return Departure(step.line)
    if call.steps and (call.raised != other.raised or not tracing.same(call.returned, other.returned)):
        return Departure(call.steps[-1].line, _instead("the result", call.returned, other.returned))
    return None


def first_unknown(call: Call, others: Sequence[Call]) -> Departure | None:
    """The only line after the last one that made a value which right code makes, too; None if there are several."""
    known = [value for other in others for step in other.steps for value in _made(step)]
    known += [other.returned for other in others if other.returned]
    last = -1
    for place, step in enumerate(call.steps):
        if any(_tells(value) and _is_among(value, known) for value in _made(step)):
            last = place
    after = [step for step in call.steps[last + 1 :] if any(map(_tells, _made(step)))]
    if call.returned is None or not _is_among(call.returned, [value for step in after for value in _made(step)]):
        after += call.steps[-1:] if after[-1:] != call.steps[-1:] else []
    return Departure(after[0].line) if others and len(after) == 1 else None


def _is_among(value: Value, known: Sequence[Value]) -> bool:
    return any(tracing.same(replace(value, kind=one.kind), one) for one in known)  # a list, or a tuple


def _made(step: Step) -> list[Value]:
    return [*step.first.values(), *step.last.values()]


def _tells(value: Value) -> bool:
    """Tell if a value is no accident: a tensor of several numbers, or a number that is no integer."""
    if value.shape is not None and math.prod(value.shape) > 1:
        return True
    return any(isinstance(one, float) and not one.is_integer() for one in value.numbers)


def _instead(name: str, mine: tracing.Value | None, right: tracing.Value | None) -> str:
    if mine is None or right is None or mine.text == right.text:
        return ""
    return f": {name} is {mine.text}, and {right.text} in code that passes"
