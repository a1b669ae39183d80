"""Messages about code beside which a reference runs, with nothing that the code could have put there."""

import ast
import builtins

from grader.course.catalogue import Kata
from grader.course.cells import UNREADABLE
from grader.protocol import SpecFinished, SpecInfo
from grader.results import NOT_WRITTEN, TOO_BUSY

ERRORS = {
    **{
        name: name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    },
    "Mismatch": "a wrong answer",
    "Failed": "a spec that failed",
    "TimedOut": "a spec that was stopped: an endless loop, or one that waits",
    "TooBusy": f"a spec that was stopped: {TOO_BUSY}",
    "NotRun": "a spec that was not run",
}
WHY = "What this code raises or prints in full is not shown, because a reference runs beside it."


def told(kata: Kata, spec: SpecInfo, message: SpecFinished, source: str, problem: str) -> str:
    """State the spec's demand, the kind of error that ended it, and where the exercise is defined.

    The line of the error is the code's choice, so it could say what the reference holds.

    Args:
        source: the text of the code.
        problem: why there was no code to run, or an empty string.
    """
    unwritten = [f"{name}: {NOT_WRITTEN}" for e in kata.exercises for name in (e.name, e.owner)]
    if message.message in [problem, *unwritten]:
        return message.message
    try:
        line = _line(ast.parse(source), spec.exercise)
    except UNREADABLE as error:
        return f"{kata.file.name}:{getattr(error, 'lineno', None) or 1}: {type(error).__name__}"
    where = f", {spec.exercise} at line {line}" if line else ""
    rows = [
        spec.says,
        f"  raised     {ERRORS.get(message.error, 'an error')}\n  in         {kata.file.name}{where}",
        f"{spec.file}:{spec.line}",
        WHY,
    ]
    return "\n\n".join(row for row in rows if row)


def _line(node: ast.AST, exercise: str) -> int:
    """The line at which a function, a class or a method is defined last; 0 if it is not."""
    name, _, rest = exercise.partition(".")
    named = [one for one in getattr(node, "body", ()) if getattr(one, "name", "") == name]
    if not named:
        return 0
    return _line(named[-1], rest) if rest else named[-1].lineno
