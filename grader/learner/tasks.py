"""An exercise in the learner's file: where it stands, what it asks for, and where to
write it.
"""

import ast
import re
from pathlib import Path

from grader.course.catalogue import Kata
from grader.course.statements import UNREADABLE, decorated_line

EDGES = "Edge cases ★"  # the last part of a docstring, for the star
# Columns of a docstring's line that had no room for another word (88 without the
# indentation), and of one that breaks off within a sentence.
FULL, BREAKS_OFF = 80, 56
# What is never broken: a word, code, a pair of brackets.
PIECE = re.compile(r"(?:`[^`]*`|\([^()]*\)|\[[^\[\]]*\]|\S)+")
# What begins a line of its own: an item, the name of an argument or of a section,
# a row.
BEGINS = re.compile(
    r"[-*•] |\d+[.)] |→|\*{0,2}[A-Za-z_]\w*(, \w+)*( \([^)]*\))?:( |$)|\S.*\S {2,}\S"
)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def asked(kata: Kata, name: str, code: Path | None = None) -> str:
    """The docstring of a function, class or method in the learner's file, and the line
    to write at.

    A class's is followed by that of its `__init__`; a method without one has its
    class's. The edge cases are left out. Empty if the file has no such name.

    Args:
        code: the code folder that the file is in, if it is not katas/.
    """
    file = code / kata.file if code else kata.code
    try:
        nodes: list[ast.stmt] = ast.parse(file.read_text(encoding="utf-8")).body
    except (OSError, *UNREADABLE):
        return ""
    text, line = "", 0
    for part in name.split("."):
        named = [
            node for node in nodes if isinstance(node, Definition) and node.name == part
        ]
        if not named:
            return ""
        text, nodes = _idea(named[0]) or text, named[0].body
        line = min(_unwritten_lines(named[0]), default=named[0].lineno)
    first = [
        _idea(node)
        for node in nodes
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]
    place = f"write it at {file.relative_to(kata.root).as_posix()}:{line}"
    return "\n\n".join(part for part in (text, *first, place) if part)


def lines_of(text: str, name: str) -> slice | None:
    """Where a function, class or method stands among the lines of a module, split at
    "\\n"; None if it does not.
    """
    try:
        nodes: list[ast.stmt] = ast.parse(text).body
    except UNREADABLE:
        return None
    found: Definition | None = None
    for part in name.split("."):
        named = [
            node for node in nodes if isinstance(node, Definition) and node.name == part
        ]
        if not named:
            return None
        found, nodes = named[0], named[0].body
    return slice(decorated_line(found) - 1, found.end_lineno) if found else None


def blanked(text: str, exercise: str, stub: str) -> str | None:
    """The text of a kata's file with an exercise as in the stub; None if one of both
    does not define it.
    """
    there, new = lines_of(text, exercise), lines_of(stub, exercise)
    if there is None or new is None:
        return None
    lines = text.split("\n")
    lines[there] = stub.split("\n")[new]
    return "\n".join(lines)


def _idea(definition: Definition) -> str:
    return _unbroken((ast.get_docstring(definition) or "").partition(EDGES)[0].rstrip())


def _unbroken(text: str) -> str:
    """The text with the lines joined that the file breaks at its margin, for a screen
    of another width.
    """
    lines: list[str] = []
    before = ""
    for line in text.splitlines():
        if _goes_on(before, line.strip()):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
        before = line
    return "\n".join(lines)


def _goes_on(before: str, text: str) -> bool:
    """Whether this text goes on with the sentence of the line before it."""
    is_new = not text or BEGINS.match(text)
    if is_new or not before or before.endswith(":") and len(before) < BREAKS_OFF:
        return False
    piece = PIECE.match(text)
    is_full = len(before) + 1 + len(piece[0] if piece else text) > FULL
    return is_full or len(before) >= BREAKS_OFF and before[-1] not in ".:;!?"


def _unwritten_lines(definition: Definition) -> list[int]:
    raising = [
        node
        for node in ast.walk(definition)
        if isinstance(node, ast.Raise) and node.exc
    ]
    return [
        node.lineno
        for node in raising
        if ast.unparse(node) == "raise NotImplementedError"
    ]
