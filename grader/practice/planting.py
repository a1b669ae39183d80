"""Bugs to plant in code that works: recorded mistakes carried over, and small changes that a spec notices."""

import ast
import functools
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.cells import bound, decorated_line
from grader.course.description import Exercise
from grader.practice import carried, mutation, operators
from grader.practice.mutation import Mutant
from grader.practice.operators import Edit, Source

CARRIED = "a recorded mistake"
ALIKE = "as in a recorded mistake: "
SHORT = 3  # lines of a definition in which there is little to look for, or to ask about


@dataclass(frozen=True)
class Version:
    """A wrong version of a reference, both as text."""

    right: str
    wrong: str


def span(source: Source, exercise: Exercise) -> range:
    """The lines of an exercise's definition, the last one of its name: its function or method, or its class."""
    owner, _, method = exercise.name.partition(".")
    for node in reversed(source.tree.body):
        if owner in bound(node):
            inner = [one for one in getattr(node, "body", []) if getattr(one, "name", "") == method]
            found = inner[0] if method and inner else node
            return range(decorated_line(found), (found.end_lineno or found.lineno) + 1)
    return range(0)


def _kernels(source: Source, exercise: Exercise) -> Iterator[range]:
    """The lines of the GPU kernels that an exercise launches, and of those that they call. They stand above it."""
    used = {exercise.owner}
    for node in reversed(source.tree.body):
        kernel = isinstance(node, ast.FunctionDef) and "triton.jit" in map(ast.unparse, node.decorator_list)
        if used.intersection(bound(node)) and (kernel or exercise.owner in bound(node)):
            used |= {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
            if kernel:
                yield range(decorated_line(node), (node.end_lineno or node.lineno) + 1)


def candidates(
    kata: Kata, exercise: Exercise, text: str, mistakes: Sequence[Version], drawn: random.Random
) -> Iterator[Mutant]:
    """Changes of an exercise's definition in a text, and of its kernels, in a drawn order: those of people first.

    These are the recorded mistakes, where the text has their place, and then what an operator makes of a mistake's
    place in the reference, too.
    """
    source = Source(text)
    spans = [span(source, exercise), *_kernels(source, exercise)]
    made = operators_of(mistakes)
    edits = [edit for one in mistakes for edit in carried.edits(one.right, one.wrong, source, CARRIED)]
    for edit in operators.edits(source):
        edits.append(replace(edit, operator=ALIKE + edit.operator) if edit.operator in made else edit)
    inside = [edit for lines in spans for edit in within(source, edits, lines)]
    found = mutation.generate(source, inside, stubs.stub_of(kata) or "")
    drawn.shuffle(found)
    yield from sorted(found, key=lambda mutant: (mutant.operator != CARRIED, not is_by_people(mutant)))


def within(source: Source, edits: Iterable[Edit], lines: range) -> Iterator[Edit]:
    """The edits that begin in these lines."""
    first, last = (source.lines[lines.start - 1], source.lines[lines.stop - 1]) if lines else (0, 0)
    return (edit for edit in edits if first <= edit.start < last)


def is_by_people(mutant: Mutant) -> bool:
    """Tell if the change is a recorded mistake, or of the kind of one."""
    return mutant.operator.startswith((CARRIED, ALIKE))


@functools.cache
def _edits(text: str) -> list[Edit]:
    return [*operators.edits(Source(text))]


def operators_of(mistakes: Sequence[Version]) -> set[str]:
    """The operators that make one of these mistakes."""
    wrong = {version.wrong for version in mistakes}
    return {
        edit.operator
        for right in {one.right for one in mistakes}
        for edit in _edits(right)
        if _made(right, edit) in wrong
    }


def _made(right: str, edit: Edit) -> str:
    data = right.encode()
    return (data[: edit.start] + edit.now.encode() + data[edit.end :]).decode()
