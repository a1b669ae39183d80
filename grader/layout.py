"""How a failure's text is laid out in a terminal: labelled rows go on below their second column."""

import re
import textwrap

ROW = re.compile(r"looks like | {11}|\w+( \w+)? {2,}")  # a line that begins with a label, or goes on under one


def wrapped(text: str, width: int, indent: int = 2) -> str:
    """The lines indented; what does not fit goes on below, that of a labelled row below its second column."""
    return "\n".join(_line(line, width, indent) for line in text.splitlines())


def _line(line: str, width: int, indent: int) -> str:
    hang = indent + (11 if ROW.match(line) else 0)
    return textwrap.fill(line, width, initial_indent=" " * indent, subsequent_indent=" " * hang, break_long_words=False)
