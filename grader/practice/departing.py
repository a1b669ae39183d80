"""The line of failing code that departs from its nearest version that passes: the code after one small change."""

import ast
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from grader import followed
from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.execution import scheduler
from grader.followed import Call, Value
from grader.practice import carried, mutation, operators, planting, recorded, runs
from grader.practice.debugging import job_of
from grader.practice.mutation import Mutant
from grader.practice.operators import Edit, Source
from grader.practice.planting import Version
from grader.results import DONE
from grader.workers.jobs import Job

SECONDS = 20.0  # of looking
MOST_TRIED = 40  # versions
BORROWED = "a statement of a right solution"


@dataclass(frozen=True)
class Departure:
    """A line of failing code that, written otherwise, passes.

    Attributes:
        instead: ": q is float32 tensor (2, 5, 3, 4), and float32 tensor (2, 3, 5, 4) in code that passes".
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
    """The departure of a failing call; None if no small change was found that passes.

    Args:
        job: the kata's code.
        spec: the failing spec, in which the call was followed.
        mistakes, solutions: other ones than those that are recorded.
    """
    mistakes = recorded.mistakes(kata) if mistakes is None else mistakes
    solutions = recorded.solutions(kata) if solutions is None else solutions
    passing = nearest(kata, exercise, job, mistakes, solutions, {step.line for step in call.steps})
    if passing is None:
        return None
    span = planting.span(Source(passing.source), exercise)
    [run] = runs.of([job_of(job, passing.source, exercise, traced=span)])
    others = [
        other for other in run.calls.get(spec, ()) if other.name == call.name and followed.same_input(call, other)
    ]
    return Departure(passing.line, _instead(call, others[0], passing.line) if others else "")


def nearest(
    kata: Kata,
    exercise: Exercise,
    job: Job,
    mistakes: Sequence[Version],
    solutions: Sequence[str],
    ran: set[int],
) -> Mutant | None:
    """A small change after which the specs of the exercise's point pass."""
    source, begun = Source(job.files[kata.file]), time.monotonic()
    found = islice(_candidates(kata, exercise, source, mistakes, solutions, ran), MOST_TRIED)
    while time.monotonic() - begun < SECONDS and (batch := list(islice(found, scheduler.available_cores()))):
        tried = runs.of(job_of(job, one.source, exercise) for one in batch)
        for mutant, run in zip(batch, tried, strict=True):
            if all(one.status in DONE for one in run.specs.values()):
                return mutant
    return None


def _candidates(
    kata: Kata, exercise: Exercise, source: Source, mistakes: Sequence[Version], solutions: Sequence[str], ran: set[int]
) -> Iterator[Mutant]:
    """Mistakes that are carried back, statements of right solutions, and operators' changes of lines that ran first."""
    span = planting.span(source, exercise)
    back = [edit for one in mistakes for edit in carried.edits(one.wrong, one.right, source, planting.CARRIED)]
    lent = [edit for text in solutions for edit in _borrowed(Source(text), source, exercise, span)]
    found = mutation.generate(source, [*back, *lent, *operators.edits(source)], stubs.stub_of(kata) or "")
    order = [planting.CARRIED, BORROWED]
    place = {label: number for number, label in enumerate(order)}
    found = [one for one in found if one.line in span]
    yield from sorted(found, key=lambda one: (place.get(one.operator, len(order)), one.line not in ran))


def _borrowed(lender: Source, source: Source, exercise: Exercise, span: range) -> Iterator[Edit]:
    """Statements replaced by those of a right solution that set the same names, or return.

    They use known names, among them the variables that the statement used: what computed these is not thrown away.
    """
    arguments = {node.arg for node in ast.walk(source.tree) if isinstance(node, ast.arg)}
    known = _names(source.tree) | arguments
    variables = {name for target, _ in _simple(source, span) for name in target.split(", ")}
    theirs = _simple(lender, planting.span(lender, exercise))
    for target, statement in _simple(source, span):
        for other, lent in theirs:
            used = _names(lent)
            if other == target and _names(statement) & variables <= used <= known:
                yield source.replaced(BORROWED, statement, lender.code(lent))


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _simple(source: Source, lines: range) -> list[tuple[str, ast.stmt]]:
    """The statements in these lines that have no block, each with what it sets: "q", "B, T, C", "return"."""
    found: list[tuple[str, ast.stmt]] = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.stmt) and node.lineno in lines:
            if isinstance(node, ast.Return):
                found.append(("return", node))
            elif isinstance(node, ast.Assign):
                found.append((", ".join(map(ast.unparse, node.targets)), node))
            elif isinstance(node, ast.AugAssign):
                found.append((ast.unparse(node.target), node))
    return found


def _instead(call: Call, other: Call, line: int) -> str:
    """What the line makes in the other call, where it is of another kind or shape."""
    mine = next((step.first for step in call.steps if step.line == line), {})
    theirs = next((step.first for step in other.steps if step.line == line), {})
    pairs = [(name, mine[name], theirs[name]) for name in mine.keys() & theirs.keys()]
    if call.steps and call.steps[-1].line == line and call.returned and other.returned:
        pairs.append(("the result", call.returned, other.returned))
    return next((_differs(*pair) for pair in pairs if pair[1].text != pair[2].text), "")


def _differs(name: str, mine: Value, right: Value) -> str:
    return f": {name} is {mine.text}, and {right.text} in code that passes"
