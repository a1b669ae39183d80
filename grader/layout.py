"""How a failure's text is laid out in a terminal: labelled rows go on below their second column."""

import re
import textwrap

ROW = re.compile(r"looks like | {11}|\w+( \w+)? {2,}")  # a line that begins with a label, or goes on under one


def wrapped(text: str, width: int) -> str:
    """The lines indented by two; what does not fit goes on below, that of a labelled row below its second column."""
    return "\n".join(_line(line, width) for line in text.splitlines())


def _line(line: str, width: int) -> str:
    hang = 13 if ROW.match(line) else 2
    return textwrap.fill(line, width, initial_indent="  ", subsequent_indent=" " * hang, break_long_words=False)
