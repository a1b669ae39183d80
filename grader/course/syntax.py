"""Tells if code that does not parse here may be for a newer Python."""

import ast
import re
import sys
import warnings

from grader.course.statements import UNREADABLE
from grader.failure import UNPARSED

# The Python that brings a syntax; how an older one's error for it begins, and the line that the error names.
NEWER = (
    ((3, 12), "f-string", re.compile(r"\s*(type\s+\w.*=|((async\s+)?def|class)\s+\w+\s*\[)")),
    ((3, 12), "f-string", re.compile(r""".*\b[rR]?[fF][rR]?["'][^"']*\{[^}"']*$""")),
    ((3, 14), "multiple exception types must be parenthesized", re.compile(r""".*\b([rR]?[tT]|[tT][rR])["']""")),
)


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
