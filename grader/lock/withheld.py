"""Messages about code beside which a reference runs, with nothing that the code could
have put there.
"""

import ast
import builtins
import functools
from collections.abc import Iterator
from dataclasses import replace

from grader import failure
from grader.course import cells, syntax
from grader.course.catalogue import Kata
from grader.failure import Failure
from grader.protocol import SpecFinished, SpecInfo
from grader.results import TOO_BUSY
from grader.workers.jobs import Job

ERRORS = {
    **{
        name: name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    },
    "Mismatch": "a wrong answer",
    "NotFinite": "NaN or infinity, of which an expected value was made",
    "Failed": "a spec that failed",
    "TimedOut": "a spec that was stopped: an endless loop, or one that waits",
    "TooBusy": f"a spec that was stopped: {TOO_BUSY}",
    "NotRun": "a spec that was not run",
}
WHY = (
    "What this code raises or prints in full is not shown, because a reference runs "
    "beside it."
)


def told(job: Job, spec: SpecInfo, message: SpecFinished) -> Failure:
    """State the spec's demand, the kind of error that ended it, and where the exercise
    is defined.

    The line of the error is the code's choice, so it could say what the
    reference holds.
    """
    kata = job.kata
    found = message.failure or Failure("not run", "")
    plain = replace(found, by="", error="")
    if plain in map(failure.unwritten, _names(kata)):
        return replace(plain, by=spec.exercise if found.by else "")
    lines = _definitions(job.files.get(kata.file, ""))
    where = (
        f", {spec.exercise} at line {lines[spec.exercise]}"
        if spec.exercise in lines
        else ""
    )
    rows = (
        ("raised", ERRORS.get(found.error, "an error")),
        ("in", f"{kata.file.name}{where}"),
    )
    place = f"{spec.file}:{spec.line}\n\n{WHY}"
    kind = found.kind if found.kind in ("timed out", "too busy") else "raised"
    return Failure(
        kind, f"raised {rows[0][1]}", reason=spec.says, rows=rows, place=place
    )


def _names(kata: Kata) -> Iterator[str]:
    yield from (name for e in kata.exercises for name in (e.name, e.owner))


def of_file(job: Job, found: Failure) -> Failure:
    """State what is wrong with a file that cannot be run: what its text says, or else
    the kind of error.
    """
    name, source = job.kata.file.name, job.files[job.kata.file]
    if error := syntax.error_in(source):
        return syntax.unparsed(name, source, error)
    return Failure(
        "import failed",
        f"{name}: {ERRORS.get(found.error, 'an error')} (while the file was imported)",
    )


def left_out(job: Job) -> str:
    """A line on all statements that were left out. Which ones these are is the code's
    choice, too.
    """
    return f"{job.kata.file.name}: left out what fails while it is imported"


@functools.lru_cache(maxsize=8)
def _definitions(source: str) -> dict[str, int]:
    """The line of each function, class and method."""
    return {
        name: node.lineno for name, node in cells.definitions(ast.parse(source)).items()
    }
