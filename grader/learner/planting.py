"""A mistake that people make, planted in right code: the failure that shows it, and
calls that go wrong.
"""

import ast
import random
import re
import runpy
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from grader import followed
from grader.course import kata_modules, stubs
from grader.course.catalogue import Kata
from grader.course.cells import is_python
from grader.course.description import Exercise
from grader.failure import table
from grader.followed import Call
from grader.learner import runs
from grader.learner.trace import in_words
from grader.results import DONE, SpecResult
from grader.workers.jobs import Job

MOST_LINES = 3  # that mending may change
# nobody has to look for such a line
GIVEN_AWAY = re.compile(r"\bpass\b|\bif (?:not )?(?:True|False)\b|^\s*$")
# rows that name the line or what is wrong there
TELLING = ("at", "shapes", "dtypes", "takes")


@dataclass(frozen=True)
class Bug:
    """A planted bug.

    Attributes:
        exercise: where it is.
        whose: "your code", "the textbook solution".
        right, wrong: the file without the bug, and with it.
        failure: what the first failing spec says, without its name and without a guess
            at the cause.
        same, differing: calls that give the same with the bug, and others, in words;
            none that the failure shows.
    """

    exercise: str
    whose: str
    right: str
    wrong: str
    failure: str
    same: tuple[str, ...]
    differing: tuple[str, ...]

    @property
    def lines(self) -> tuple[int, ...]:
        """The lines that the bug changed."""
        return changed(self.right, self.wrong)


def mistakes(kata: Kata) -> list[Any]:
    """The recorded mistakes that cost a point. A starter repository has none."""
    file = kata.author / "mistakes.py"
    if not file.is_file():
        return []
    return [one for one in runpy.run_path(str(file))["MISTAKES"] if not one.edge]


def plant(
    kata: Kata,
    exercises: Sequence[Exercise],
    job: Job,
    unfinished: Collection[str],
    drawn: random.Random,
) -> Bug | None:
    """Plant a recorded mistake that a spec of an exercise's point notices, in the first
    of these; None if none fits.

    Args:
        exercises: that work in the learner's code.
        job: the learner's code.
        unfinished: exercises whose solution the learner should not see.
    """
    recorded = drawn.sample(found := mistakes(kata), len(found))
    for whose, text in _right_code(kata, job, unfinished):
        for exercise in exercises:
            named = specs_of(kata, exercise)
            fitting = [
                one
                for one in recorded
                if one.caught_by.partition("[")[0] in named and text.count(one.was) == 1
            ]
            if fitting and (bug := _planted(exercise, job, whose, text, fitting)):
                return bug
    return None


def specs_of(kata: Kata, exercise: Exercise) -> set[str]:
    """What a mistake's `caught_by` may call a spec of the exercise: "test_x",
    "TestClass::test_x".
    """
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"))
    [found] = [
        one
        for one in tree.body
        if isinstance(one, ast.ClassDef) and one.name == exercise.spec_class
    ]
    names = [spec.name for spec in found.body if isinstance(spec, ast.FunctionDef)]
    return {*names, *(f"{found.name}::{name}" for name in names)}


def _right_code(
    kata: Kata, job: Job, unfinished: Collection[str]
) -> Iterator[tuple[str, str]]:
    """The learner's file, then solutions without what is not finished yet."""
    yield "your code", job.files[kata.file]
    for whose, path in (
        ("the textbook solution", kata.textbook),
        ("the course's solution", kata.reference),
    ):
        if path.is_file():
            yield (
                whose,
                stubs.generate(kata_modules.read_source(path), tuple(unfinished)),
            )


def _planted(
    exercise: Exercise, job: Job, whose: str, text: str, fitting: Sequence[Any]
) -> Bug | None:
    """The first of these mistakes that a spec notices and that neither its line nor its
    failure gives away.
    """
    [before] = runs.of([runs.job_of(job, text, exercise)])
    if any(spec.status not in DONE for spec in before.specs.values()):
        return None
    for one in fitting:
        wrong = text.replace(one.was, one.now)
        if not must_be_looked_for(text, wrong):
            continue
        [after] = runs.of([runs.job_of(job, wrong, exercise)])
        failed = next(
            (spec for spec in after.specs.values() if spec.status == "failed"), None
        )
        # it needs what this file lacks
        if failed is None or (failed.failure and failed.failure.error == "NameError"):
            continue
        failure = anonymous(failed)
        if not quotes(failure, _changed_code(wrong, text), _changed_code(text, wrong)):
            shown = {in_words(call) for call in before.calls.get(failed.name, ())}
            same, differing = (
                [c for c in calls if c not in shown]
                for calls in compared(before.calls, after.calls)
            )
            return Bug(
                exercise.name,
                whose,
                text,
                wrong,
                failure,
                tuple(same),
                tuple(differing),
            )
    return None


def must_be_looked_for(right: str, wrong: str) -> bool:
    """Tell if no changed line shows at once that it was changed, and few lines
    mend it.
    """
    lines = wrong.splitlines()
    now = [lines[number - 1] for number in changed(right, wrong)]
    return (
        is_python(wrong)
        and len(now) <= MOST_LINES
        and not any(map(GIVEN_AWAY.search, now))
    )


def _changed_code(before: str, after: str) -> str:
    """The lines of the second text that differ from the first, as one."""
    lines = after.splitlines()
    return " ".join(lines[number - 1].strip() for number in changed(before, after))


def quotes(failure: str, was: str, now: str) -> bool:
    """Tell if the failure quotes the line, or code or a text that is new in it."""
    quoted = [
        code or f'"{text}"'
        for code, text in re.findall(r"`([^`]+)`|'([^'\n]+)'", failure)
    ]
    was, now = was.replace("'", '"'), now.replace("'", '"')
    new = [code for code in quoted if code in now and code not in was]
    return bool(new) or any(line in failure for line in (was, now) if line)


def compared(
    before: dict[str, list[Call]], after: dict[str, list[Call]]
) -> tuple[list[str], list[str]]:
    """The calls that both versions got, in words: those with the same result, and
    those without.
    """
    same, differing = dict[str, None](), dict[str, None]()
    for spec, calls in before.items():
        for one, other in zip(calls, after.get(spec, ()), strict=False):
            if one.name != other.name or not followed.same_input(one, other):
                break
            (same if followed.same_outcome(one, other) else differing)[
                in_words(one)
            ] = None
    return [call for call in same if call not in differing], [*differing]


def changed(before: str, after: str) -> tuple[int, ...]:
    """The lines of the second text that differ from the first; where lines are gone,
    the one that has their place.
    """
    was, now = before.splitlines(), after.splitlines()
    head = next(
        (
            i
            for i, (one, other) in enumerate(zip(was, now, strict=False))
            if one != other
        ),
        len(now) - 1,
    )
    tail = 0
    while tail < min(len(was), len(now)) - head and was[-1 - tail] == now[-1 - tail]:
        tail += 1
    return tuple(range(head + 1, max(head + 1, len(now) - tail) + 1))


def anonymous(failed: SpecResult) -> str:
    """What a failure says, without the spec's place and name, and without rows that
    name the line or the cause.
    """
    found = failed.failure
    if not found or not found.rows:
        return failed.message
    return "\n\n".join(
        filter(None, [found.reason, table(found.without(*TELLING).rows)])
    )
