"""Finds the Python code in a lesson's text, and the output that the lesson shows below each statement."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.course.statements import decorated_line

BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
OUTPUT = "#> "  # starts a line of output


@dataclass(frozen=True)
class Statement:
    """A statement of a snippet, and the output shown below it."""

    line: int  # in the lesson
    text: str
    output: str


def statements(page: str) -> Iterator[Statement]:
    """Each statement of each snippet of a lesson, in order.

    Raises:
        SyntaxError: a snippet does not parse.
    """
    for block in BLOCK.finditer(page):
        above = page.count("\n", 0, block.start(1))
        lines = block[1].splitlines()
        body = ast.parse(block[1]).body
        starts = [decorated_line(node) for node in body]
        for node, first, following in zip(body, starts, [*starts[1:], len(lines) + 1], strict=True):
            end = node.end_lineno or first
            below = lines[end : following - 1]
            output = "\n".join(line[len(OUTPUT) :] for line in below if line.startswith(OUTPUT.strip()))
            yield Statement(above + first, "\n".join(lines[first - 1 : end]), output)


def without_output(snippet: str) -> str:
    """The snippet's code alone."""
    return "\n".join(line for line in snippet.splitlines() if not line.startswith(OUTPUT.strip()))
