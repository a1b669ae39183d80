"""Tells why a file is no Python: the line, a caret, a plain word; and if it may be for a newer Python."""

import ast
import re
import sys
import warnings

from grader.course.statements import UNREADABLE
from grader.failure import MEANS, UNPARSED, Cause, Failure

# The Python that brings a syntax; how an older one's error for it begins, and the line that the error names.
NEWER = (
    ((3, 12), "f-string", re.compile(r"\s*(type\s+\w.*=|((async\s+)?def|class)\s+\w+\s*\[)")),
    ((3, 12), "f-string", re.compile(r""".*\b[rR]?[fF][rR]?["'][^"']*\{[^}"']*$""")),
    ((3, 14), "multiple exception types must be parenthesized", re.compile(r""".*\b([rR]?[tT]|[tT][rR])["']""")),
)

MERGE = re.compile(r"(<{7}|\|{7}|={7}|>{7})( |$)")
SHOWN = 56  # characters of a line, around the caret


def unparsed(name: str, source: str) -> Failure | None:
    """Why a file of this name and text is no Python; None if it is."""
    try:
        with warnings.catch_warnings(action="ignore"):
            compile(source, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        said = f"{type(error).__name__}: {error.msg}"
        line = f"{name}:{error.lineno}: {UNPARSED}: {said}"
        rows = (("raised", said), ("at", _marked(error, source)))
        word = _word(error, source)
        causes = (Cause(MEANS, word, "syntax"),) if word else ()
        place = f"{name}:{error.lineno} · {UNPARSED}"
        return Failure("unparsed", line, rows=rows, causes=causes, place=place, error=type(error).__name__)
    except UNREADABLE as error:
        return Failure("unparsed", f"{name}: {UNPARSED}: {type(error).__name__}", error=type(error).__name__)
    return None


def _line(error: SyntaxError, source: str) -> str:
    return source.split("\n")[(error.lineno or 1) - 1].expandtabs(1)


def _marked(error: SyntaxError, source: str) -> str:
    """The line that the error names, or what is around its place, with a caret below."""
    line, at = _line(error, source), max((error.offset or 1) - 1, 0)
    start = max(len(line) - len(line.lstrip()), at - SHOWN // 2)
    head = f"line {error.lineno}: "
    return f"{head}{line[start : start + SHOWN].rstrip()}\n{' ' * (len(head) + max(at - start, 0))}^"


def _word(error: SyntaxError, source: str) -> str:
    """What the error comes from, where Python does not say it; otherwise empty."""
    if MERGE.match(_line(error, source)):
        return "a merge marker of git: keep one version, delete the markers"
    if isinstance(error, TabError):
        return "tabs and spaces are mixed: indent with spaces alone"
    return "this bracket is opened here, and nothing closes it" if error.msg.endswith("was never closed") else ""


def for_a_newer_python(source: str) -> str:
    """The line and the error of a text that does not parse here, and likely does with a newer Python; else empty."""
    try:
        with warnings.catch_warnings(action="ignore"):
            ast.parse(source)
    except SyntaxError as error:
        kinds = ((message, line) for version, message, line in NEWER if sys.version_info < version)
        if any(error.msg.startswith(message) or line.match(error.text or "") for message, line in kinds):
            return f"{error.lineno}: {UNPARSED}, and may be for a newer one: {error.msg}"
    except UNREADABLE:
        return ""
    return ""
