"""Finds the Python code in a lesson's text, and the output that the lesson shows below
each statement.
"""

import ast
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from grader.course.statements import decorated_line

BLOCK = re.compile(r"^```python\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
OUTPUT = "#> "  # starts a line of output
# Directly below a snippet whose last statement prints what is to be guessed first:
# that, and a sentence about it.
FOLDED = re.compile(
    r"\n<details>\n<summary>What does it "
    r"print\?</summary>\n\n```\n(.*?)^```\n\n(.+?)\n\n</details>\n",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Statement:
    """A statement of a snippet, and the output shown below it, each line after
    the prefix.

    `line` and `output_at` are numbers of lines of the lesson, from 1; what is shown
    ends before `output_end`.
    """

    line: int
    text: str
    output: str
    output_at: int
    output_end: int
    prefix: str


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
        for node, first, following in zip(
            body, starts, [*starts[1:], len(lines) + 1], strict=True
        ):
            end = node.end_lineno or first
            text = "\n".join(lines[first - 1 : end])
            if node is body[-1] and (folded := FOLDED.match(page, block.end())):
                at = page.count("\n", 0, folded.start(1)) + 1
                shown, prefix = folded[1].splitlines(), ""
            else:
                at, prefix = above + end + 1, OUTPUT
                below = itertools.takewhile(
                    lambda line: line.startswith(OUTPUT.strip()),
                    lines[end : following - 1],
                )
                shown = [line[len(OUTPUT) :] for line in below]
            yield Statement(
                above + first, text, "\n".join(shown), at, at + len(shown), prefix
            )


def misplaced_folds(page: str) -> list[int]:
    """The lines of folded answers that are not as `FOLDED` has them, or not directly
    below a snippet.
    """
    right = {
        match.start() + 1
        for block in BLOCK.finditer(page)
        if (match := FOLDED.match(page, block.end()))
    }
    folds = (match.start() for match in re.finditer("<details", page))
    return [page.count("\n", 0, at) + 1 for at in folds if at not in right]


def unfolded(page: str) -> str:
    """The page with the folded answers of each section at its end, for readers that
    cannot fold.
    """
    sections = re.split(r"^(?=##+ )", page, flags=re.MULTILINE)
    return "".join(map(_with_answers_below, sections))


def _with_answers_below(section: str) -> str:
    answers = [
        f"```\n{printed}```\n\n{about}\n" for printed, about in FOLDED.findall(section)
    ]
    return FOLDED.sub("", section) + (
        "**Answers**\n\n" + "\n".join(answers) + "\n" if answers else ""
    )


def without_output(snippet: str) -> str:
    """The snippet's code alone."""
    return "\n".join(
        line for line in snippet.splitlines() if not line.startswith(OUTPUT.strip())
    )
