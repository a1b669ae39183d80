"""Tells why a file is no Python: the line, a caret, a plain word; and if it is wrong
Python, or no source at all.
"""

import ast
import io
import re
import sys
import warnings
from dataclasses import replace

from grader.course.statements import UNREADABLE
from grader.failure import MEANS, UNPARSED, Cause, Failure

# The Python that brings a syntax; how an older one's error for it begins, and the line
# that the error names.
NEWER = (
    (
        (3, 12),
        "f-string",
        re.compile(r"\s*(type\s+\w.*=|((async\s+)?def|class)\s+\w+\s*\[)"),
    ),
    ((3, 12), "f-string", re.compile(r""".*\b[rR]?[fF][rR]?["'][^"']*\{[^}"']*$""")),
    (
        (3, 14),
        "multiple exception types must be parenthesized",
        re.compile(r""".*\b([rR]?[tT]|[tT][rR])["']"""),
    ),
)
DEFINITION = re.compile(r"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
# a line of seven = may be in a docstring
MERGE = re.compile(r"^(?:<{7}|>{7})(?: |$)", re.MULTILINE)
POINTER = "version https://git-lfs."
SHOWN = 56  # characters of a line, around the caret


def error_in(source: str) -> BaseException | None:
    """What keeps a text from being parsed."""
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(source)
    except UNREADABLE as error:
        return error
    return None


def unparsed(name: str, source: str, error: BaseException) -> Failure:
    """This error of a file of this name: with the line, a caret, and a plain word where
    Python has none.

    What is no source is "unreadable": nobody's wrong Python, so a person has to look
    at it.
    """
    kind = type(error).__name__
    if not isinstance(error, SyntaxError):
        return Failure("unparsed", f"{name}: {UNPARSED}: {kind}", error=kind)
    number, at = error.lineno or 1, (error.offset or 1) - 1
    line = "".join(
        io.StringIO(source, newline=None).readlines()[number - 1 : number]
    ).rstrip("\n")
    start = max(len(line) - len(line.lstrip()), at - SHOWN // 2)
    head = f"line {number}: "
    shown = (
        f"{head}{line[start : start + SHOWN]}\n"
        f"{' ' * (len(head) + max(at - start, 0))}^"
    ).expandtabs(1)
    foreign, said, place = (
        _foreign(source, error),
        f"{kind}: {error.msg}",
        f"{name}:{number}",
    )
    told = Failure(
        "unparsed",
        f"{place}: {UNPARSED}: {foreign or said}",
        place=f"{place} · {UNPARSED}",
        error=kind,
    )
    told = replace(told, kind="unreadable") if foreign else told
    word = foreign or _word(error)
    causes = (Cause(MEANS, word, "syntax"),) if word else ()
    return replace(
        told,
        rows=(("raised", said), ("at", shown)),
        causes=causes,
        file=name,
        at=number,
    )


def no_source(name: str, source: str) -> Failure | None:
    """What keeps a text of this name from being source; None if it is Python, right
    or wrong.
    """
    error = error_in(source)
    found = unparsed(name, source, error) if error else None
    return found if found and found.kind == "unreadable" else None


def _foreign(source: str, error: SyntaxError) -> str:
    """Why a text that does not parse is no wrong Python; empty if it is some."""
    if source.startswith(POINTER):
        return "a pointer of git LFS, not the file: run git lfs pull"
    if marker := MERGE.search(source):
        number = source.count("\n", 0, marker.start()) + 1
        return (
            f"a merge marker of git in line {number}: keep one version, delete the "
            "markers"
        )
    if not DEFINITION.search(source):
        return "no Python: it defines no function and no class"
    kinds = (
        (message, line)
        for version, message, line in NEWER
        if sys.version_info < version
    )
    is_newer = any(
        error.msg.startswith(message) or line.match(error.text or "")
        for message, line in kinds
    )
    return f"may be for a newer one: {error.msg}" if is_newer else ""


def _word(error: SyntaxError) -> str:
    if isinstance(error, TabError):
        return "tabs and spaces are mixed: indent with spaces alone"
    return (
        "this bracket is opened here, and nothing closes it"
        if error.msg.endswith("was never closed")
        else ""
    )
