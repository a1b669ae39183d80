"""Messages about code beside which a reference runs, with nothing that the code could have put there."""

import ast
import builtins
import functools

from grader.course import cells, statements
from grader.protocol import SpecFinished, SpecInfo
from grader.results import NOT_WRITTEN, TOO_BUSY
from grader.workers.jobs import Job

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


def told(job: Job, spec: SpecInfo, message: SpecFinished) -> str:
    """State the spec's demand, the kind of error that ended it, and where the exercise is defined.

    The line of the error is the code's choice, so it could say what the reference holds.
    """
    kata = job.kata
    unwritten = [f"{name}: {NOT_WRITTEN}" for e in kata.exercises for name in (e.name, e.owner)]
    if message.message in [job.problem, *unwritten]:
        return message.message
    lines = _definitions(job.files.get(kata.file, ""))
    if isinstance(lines, str):
        return f"{kata.file.name}:{lines}"
    where = f", {spec.exercise} at line {lines[spec.exercise]}" if spec.exercise in lines else ""
    rows = [
        spec.says,
        f"  raised     {ERRORS.get(message.error, 'an error')}\n  in         {kata.file.name}{where}",
        f"{spec.file}:{spec.line}",
        WHY,
    ]
    return "\n\n".join(row for row in rows if row)


def left_out(job: Job) -> str:
    """A line on all statements that were left out. Which ones these are is the code's choice, too."""
    return f"{job.kata.file.name}: left out what fails while it is imported and no exercise needs"


@functools.lru_cache(maxsize=8)
def _definitions(source: str) -> dict[str, int] | str:
    """The line of each function, class and method; or the line and the kind of the error that keeps it from parsing."""
    try:
        return {name: node.lineno for name, node in cells.definitions(ast.parse(source)).items()}
    except statements.UNREADABLE as error:
        return f"{getattr(error, 'lineno', None) or 1}: {type(error).__name__}"
