"""Makes strings from a submission harmless where people and platforms read them:
terminals, pages, tables, logs.
"""

import re

# Everything but text, tabs and line breaks: control characters, half surrogate pairs,
# separators of lines and paragraphs, and the marks that change the direction of the
# text around them.
HARMFUL = re.compile(
    "[^\n"
    "\t\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|"
    "[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)
# Where GitHub Actions would find a command: "::" at the start of a line, "##[" anywhere
# in it.
COMMAND = re.compile(r"^([ \t]*)(?=::)|(?<=##)(?=\[)", re.MULTILINE)


def text(found: str) -> str:
    """The text with every harmful character replaced, and nothing that a platform takes
    for a command.
    """
    return COMMAND.sub(r"\1. ", HARMFUL.sub("\N{REPLACEMENT CHARACTER}", found))


def line(found: str) -> str:
    """The same on one line, for names and sentences."""
    return text(re.sub(r"[\n\t]", " ", found))
