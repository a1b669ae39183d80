"""Wrap the text of a failure for a terminal or a block of code. A labelled row's value
continues below itself.
"""

import re
import textwrap

# a line with a label, or a continuation of one
ROW = re.compile(r"looks like | {11}|\w+( \w+)? {2,}")


def wrapped(text: str, width: int, indent: int = 2) -> str:
    """Indent and wrap the lines. Labelled rows continue below their value, other lines
    below their start.
    """
    return "\n".join(_line(line, width, indent) for line in text.splitlines())


def _line(line: str, width: int, indent: int) -> str:
    hang = indent + (11 if ROW.match(line) else 0)
    return textwrap.fill(
        line,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * hang,
        break_long_words=False,
    )
