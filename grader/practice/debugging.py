"""A bug planted in one's own code: which one, the failure that shows it, and the calls on which it goes wrong."""

import ast
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from grader import followed
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.execution import scheduler
from grader.followed import Call
from grader.practice import planting, runs
from grader.practice.mutation import Mutant
from grader.practice.operators import Source
from grader.practice.planting import Version
from grader.protocol import RunOptions
from grader.results import SpecResult
from grader.workers.jobs import Job

MOST_TRIED = 24  # changes, until one is noticed
SEED = 0
RAISED = "\nraised  "  # in the failure of code that raised an error
GIVEN_AWAY = re.compile(r"\bif (?:not )?(?:True|False)\b")  # nobody has to look for that
LOOKS_LIKE = re.compile(r"^looks like +(.*(?:\n {11}.*)*)", re.MULTILINE)
TELLING = re.compile(  # rows that name the cause or the line
    r"^(?:looks like|at|means|shapes|dtypes|takes) .*\n(?: +.*\n)*", re.MULTILINE
)


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    Attributes:
        exercise: where it is.
        text: the file with the bug.
        lines: of that text that the bug changed.
        failure: what the first failing spec says, without its name and without a guess at the cause.
        right, wrong: calls that give the same as before, and others, each in words; none that the failure shows.
        by_people: it is a recorded mistake, not a generated change.
    """

    exercise: str
    text: str
    lines: tuple[int, ...]
    failure: str
    right: tuple[str, ...]
    wrong: tuple[str, ...]
    by_people: bool = False


def plant(kata: Kata, exercise: Exercise, job: Job, mistakes: Sequence[Version], drawn: random.Random) -> Bug | None:
    """Plant a bug that a spec of the exercise's point notices; None if none of those tried is noticed.

    One that its line gives away, and a generated one that raises an error, are planted if there is no other.

    Args:
        job: the kata's code, which works, on that of the earlier katas.
        mistakes: recorded ones of this kata.
    """
    text = job.files[kata.file]
    last_resort = None
    found = islice(planting.candidates(kata, exercise, text, mistakes, drawn), MOST_TRIED)
    while batch := list(islice(found, scheduler.available_cores())):
        tried = runs.of(job_of(job, one.source, exercise) for one in batch)
        for mutant, run in zip(batch, tried, strict=True):
            failed = next((spec for spec in run.specs.values() if spec.status == "failed"), None)
            if not failed or _quotes(anonymous(failed.message), mutant):
                continue
            raises = RAISED in failed.message and not planting.is_by_people(mutant)
            if not raises and not GIVEN_AWAY.search(mutant.now):
                return _bug(kata, exercise, job, mutant, failed)
            last_resort = last_resort or (mutant, failed)
    return _bug(kata, exercise, job, *last_resort) if last_resort else None


def _quotes(story: str, mutant: Mutant) -> bool:
    """Tell if the failure quotes the line, or code or a text that is new in it."""
    quoted = [code or f'"{text}"' for code, text in re.findall(r"`([^`]+)`|'([^'\n]+)'", story)]
    was, now = (text.replace("'", '"') for text in (mutant.was, mutant.now))
    new = [code for code in quoted if code in now and code not in was]
    return bool(new) or any(line in story for line in (mutant.was, mutant.now) if line)


def _bug(kata: Kata, exercise: Exercise, job: Job, mutant: Mutant, failed: SpecResult) -> Bug:
    text = job.files[kata.file]
    mutant = replace(mutant, source=_without_pass(text, mutant.source))
    before, after = runs.of(
        job_of(job, version, exercise, traced=planting.span(Source(version), exercise))
        for version in (text, mutant.source)
    )
    right, wrong = compared(before.calls, after.calls)
    told = {in_words(call) for call in before.calls.get(failed.name, ())}  # the failure shows how the spec calls
    right, wrong = (tuple(call for call in calls if call not in told) for calls in (right, wrong))
    lines, by_people = changed(text, mutant.source), planting.is_by_people(mutant)
    return Bug(exercise.name, mutant.source, lines, anonymous(failed.message), right, wrong, by_people)


def _without_pass(text: str, source: str) -> str:
    """The source without the `pass` that stands for a statement, where that may go."""
    first, *more = changed(text, source)
    lines = source.splitlines(keepends=True)
    shorter = "".join([*lines[: first - 1], *lines[first:]])
    try:
        ast.parse(shorter)
    except SyntaxError:
        return source
    return shorter if not more and lines[first - 1].strip() == "pass" else source


def compared(before: dict[str, list[Call]], after: dict[str, list[Call]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The calls that both versions got, in words: those with the same result, and those without."""
    right, wrong = dict[str, None](), dict[str, None]()
    for spec, calls in before.items():
        for one, other in zip(calls, after.get(spec, ()), strict=False):
            if one.name != other.name or not followed.same_input(one, other):
                break
            (right if followed.same_outcome(one, other) else wrong)[in_words(one)] = None
    return tuple(right.keys() - wrong.keys()), tuple(wrong)


def in_words(call: Call) -> str:
    """ "split_heads(x = float32 tensor (2, 5, 8), num_heads = 2)"."""
    given = ", ".join(f"{name} = {value.text}" for name, value in call.arguments.items() if name != "self")
    return f"{call.name}({given})"


def changed(before: str, after: str) -> tuple[int, ...]:
    """The lines of the second text that differ from the first; where lines are gone, the one that has their place."""
    was, now = before.splitlines(), after.splitlines()
    head = next((i for i, (one, other) in enumerate(zip(was, now, strict=False)) if one != other), len(now) - 1)
    tail = 0
    while tail < min(len(was), len(now)) - head and was[-1 - tail] == now[-1 - tail]:
        tail += 1
    return tuple(range(head + 1, max(head + 1, len(now) - tail) + 1))


def anonymous(failure: str) -> str:
    """A failure's text without the spec's place and name, and without rows that name the line or the cause."""
    story = failure.rstrip().rpartition("\n\n")[0] or failure
    return TELLING.sub("", story + "\n").rstrip()


def job_of(job: Job, text: str, exercise: Exercise, traced: range = range(0)) -> Job:
    """A run of the specs of an exercise's point on this text, in which these lines are followed."""
    lines = (traced.start, traced.stop - 1) if traced else (0, 0)
    options = RunOptions(ideas=True, only=(exercise.spec_class,), seed=SEED, traced=lines)
    return Job(job.kata, {**job.files, job.kata.file: text}, options=options)
