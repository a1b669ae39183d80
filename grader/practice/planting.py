"""Bugs to plant in code that works: recorded mistakes carried over, and small changes that a spec notices."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.cells import bound, decorated_line
from grader.course.description import Exercise
from grader.practice import carried, mutation, operators
from grader.practice.mutation import Mutant
from grader.practice.operators import Source

CARRIED = "a recorded mistake"


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


def candidates(
    kata: Kata, exercise: Exercise, text: str, mistakes: Sequence[Version], drawn: random.Random
) -> Iterator[Mutant]:
    """Changes of this exercise's definition in a text, in a drawn order: those that people make first."""
    source = Source(text)
    lines = span(source, exercise)
    edits = [edit for one in mistakes for edit in carried.edits(one.right, one.wrong, source, CARRIED)]
    found = mutation.generate(source, [*edits, *operators.edits(source)], stubs.stub_of(kata) or "")
    found = [mutant for mutant in found if mutant.line in lines]
    drawn.shuffle(found)
    yield from sorted(found, key=lambda mutant: mutant.operator != CARRIED)
