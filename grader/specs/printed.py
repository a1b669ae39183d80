"""Keeps the first lines that a spec's call prints, to be shown with its failure."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from grader.reports import words
from grader.specs import check

MOST_LINES, MOST_CHARACTERS, LONGEST_LINE = 10, 2_000, 200


class Printed:
    """Takes the place of `sys.stdout`: passes everything on, and keeps
    the beginning.
    """

    def __init__(self, under: TextIO):
        self.under = under
        self.restart()

    def restart(self) -> None:
        """Forget what was printed until now."""
        self.kept, self.lines = "", 0

    def write(self, text: str) -> int:
        self.kept += text[: MOST_CHARACTERS - len(self.kept)]
        self.lines += text.count("\n")
        return self.under.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.under, name)

    @property
    def beginning(self) -> str:
        """The first lines, and how many more there were."""
        first = [
            check.shortened(line, LONGEST_LINE)
            for line in self.kept.splitlines()[:MOST_LINES]
        ]
        more = self.lines - len(first)
        return "\n".join(
            [*first, *([f"… {words.counted(more, 'more line')}"] if more > 0 else [])]
        )


@contextmanager
def each_example(spec: Any, begin: Callable[[], None]) -> Iterator[None]:
    """Call `begin` before each example of a property in the block. Does nothing for a
    spec without Hypothesis.
    """
    handle = getattr(spec, "hypothesis", None)
    if handle is None:
        yield
        return
    inner = handle.inner_test

    @functools.wraps(inner)
    def one_example(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        begin()
        inner(*arguments, **named)

    handle.inner_test = one_example
    try:
        yield
    finally:
        handle.inner_test = inner
