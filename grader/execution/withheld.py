"""Messages about code beside which a reference runs, with nothing that the code could have put there."""

import builtins

from grader.course.catalogue import Kata
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
UNPARSED = ("SyntaxError", "IndentationError", "TabError")
WHY = "What this code raises or prints in full is not shown, because a reference runs beside it."


def told(kata: Kata, spec: SpecInfo, message: SpecFinished, problem: str) -> str:
    """State the spec's demand, the kind of error that ended it, and the line.

    Args:
        problem: why there was no code to run, or an empty string.
    """
    unwritten = [f"{name}: {NOT_WRITTEN}" for e in kata.exercises for name in (e.name, e.owner)]
    if message.message in [problem, *unwritten]:
        return message.message
    line = message.at if 0 < message.at < 100_000 else 0
    if message.error in UNPARSED and line:
        return f"{kata.file.name}:{line}: {message.error}"
    error = ERRORS.get(message.error, "an error")
    where = f", line {line}" if line else ""
    rows = [
        spec.says,
        f"  raised     {error}\n  in         {kata.file.name}{where}",
        f"{spec.file}:{spec.line}",
        WHY,
    ]
    return "\n\n".join(row for row in rows if row)
