"""Explain to a learner why a spec failed: in one line, or with rationale, given,
expected, got and place.
"""

import ast
import contextlib
import difflib
import inspect
import linecache
import re
import traceback
from dataclasses import replace
from pathlib import Path
from types import FrameType, ModuleType

import pytest

from grader import failure
from grader.course import cells
from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.course.statements import StatementFailed
from grader.errors import LoadFailure
from grader.failure import LIKE, MEANS, Cause, Failure, Kind
from grader.isolation import refused, usage
from grader.results import LOOPS, WAITED
from grader.specs import check, given, inherited, reading, sources
from grader.specs.causes import Case

# Hypothesis's note; `given` tells it better
EXAMPLE = re.compile(r"\n(?:Falsifying example|Failing test case)")
# what pytest says to code that calls input()
INPUT = re.compile(r"pytest: reading from stdin.*")
# in front of a function that a spec defines
SPECS_NAMES = re.compile(r"\bTest\w+\.test_\w+\.<locals>\.")

MOST = 600  # characters of a row; the middle of a longer one is left out

Frames = list[tuple[FrameType, int]]
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class TimedOut(BaseException):
    """The spec's time is up; the message says which. Hypothesis would take pytest's
    exception for a counterexample.
    """

    kind: Kind = "timed out"


def timed_out(reached: str, watch: usage.Stopwatch) -> TimedOut:
    """What to raise where code has reached this limit of computing or of waiting."""
    used = f"used {watch.limit.computing:g} s {LOOPS}"
    return TimedOut(
        used if reached == "computing" else f"{WAITED} {watch.waited:.2g} s"
    )


class TooBusy(TimedOut):
    """The machine gave the spec almost no time."""

    kind = "too busy"


class NotRun(Exception):
    """The spec was not run, for a reason that is a failure of one line."""

    def __init__(self, why: Failure):
        super().__init__(why.text)
        self.why = why


def explain(
    error: BaseException,
    kata: Kata,
    exercise: Exercise,
    spec: pytest.Function,
    module: ModuleType | None,
) -> Failure:
    """Explain the exception that ended a spec to the author of `module`."""
    # Hypothesis tries inputs twice
    if isinstance(error, ExceptionGroup) and type(error).__name__ == "FlakyFailure":
        error = error.exceptions[0]
        if isinstance(error, check.Mismatch):
            error.add(
                [
                    (
                        MEANS,
                        (
                            "with the same inputs a second call passed: something "
                            "else decides, such as chance"
                        ),
                    )
                ]
            )
    frames = list(traceback.walk_tb(error.__traceback__))
    theirs = [(frame, line) for frame, line in frames if _is_theirs(frame, module)]
    found = _explained(error, frames, theirs, kata, exercise, spec, module)
    if not found.place and (words := refused.told(error, kata.number)):
        found = replace(found, line=f"{found.line}: {words}")
    return (
        found
        if isinstance(error, LoadFailure)
        else replace(found, error=type(error).__name__)
    )


def reason(docstring: str) -> str:
    """A spec's docstring, which says why it is asked, with one line per paragraph."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(docstring))


def is_unwritten(error: BaseException, exercise: Exercise) -> bool:
    """Tell if the error says that this exercise, not another one that it calls, is not
    written yet.
    """
    frames = list(traceback.walk_tb(error.__traceback__))
    if (
        not isinstance(error, NotImplementedError)
        or not frames
        or not _is_stub_line(*frames[-1])
    ):
        return False
    return _written_name(frames[-1][0]).partition(".")[0] == exercise.owner


def _explained(
    error: BaseException,
    frames: Frames,
    theirs: Frames,
    kata: Kata,
    exercise: Exercise,
    spec: pytest.Function,
    module: ModuleType | None,
) -> Failure:
    if isinstance(error, NotRun):
        return error.why
    if isinstance(error, LoadFailure):
        return error.failure
    if isinstance(error, StatementFailed):
        return Failure("statement failed", str(error), file=kata.file.name, at=error.at)
    if isinstance(error, NotImplementedError) and theirs and _is_stub_line(*theirs[-1]):
        callers = [_written_name(frame) for frame, _ in theirs[:-1]]
        return failure.unwritten(_written_name(theirs[-1][0]), "".join(callers[-1:]))
    if isinstance(error, AttributeError) and module is not None and error.obj is module:
        return _missing(str(error.name), module, kata)
    if (
        isinstance(error, TypeError)
        and check.BAD_CALL.match(str(error))
        and frames
        and not theirs
    ):
        return _bad_call(str(error), module)
    # ignore frames of earlier katas
    if own := [(frame, line) for frame, line in theirs if _is_of(frame, module)]:
        theirs = own
    rows, judged = _rows(error, theirs, module), None
    # objects of the code under test may break whoever looks at them
    with contextlib.suppress(Exception):
        if judged := given.judged(frames, spec, module):
            rows = [("given", judged.text), *rows] if judged.text else rows
    causes: tuple[Cause, ...] = ()
    if module is not None and module.__file__:
        files = str(spec.path), str(inherited.source(spec))
        asks = f"{spec.originalname.replace('_', ' ')} {spec.function.__doc__}"
        values = judged.values if judged else {}
        more, causes = sources.asked(
            Case(error, module, kata, exercise, values, files, asks)
        )
        rows = [row for row in rows if row[0] not in (LIKE, MEANS)] + more
    own_file, line = _place(
        theirs if not isinstance(error, check.Mismatch) else [], module, exercise, kata
    )
    place = f"{own_file}:{line}" if line else own_file
    _, at, _ = spec.reportinfo()
    file = spec.path.relative_to(kata.folder).as_posix()
    where = (
        f"{place} · kata hint {kata.number} {exercise.name}\n"
        f"{file}:{(at or 0) + 1} · {spec.name}"
    )
    if inherited.source(spec) != spec.path:
        where += f" · inherited from {inherited.shown(spec)}"
    why = reason(spec.function.__doc__ or "")
    picture = error.picture if isinstance(error, check.Mismatch) else ""
    told = Failure(
        _kind(error),
        _headline(error, causes),
        reason=why,
        rows=tuple(rows),
        causes=causes,
        picture=picture,
    )
    return replace(told, place=where, file=own_file, at=line)


def _kind(error: BaseException) -> Kind:
    if isinstance(error, check.Mismatch):
        return "mismatch"
    return error.kind if isinstance(error, TimedOut) else "raised"


def _rows(
    error: BaseException, theirs: Frames, module: ModuleType | None
) -> list[tuple[str, str]]:
    if isinstance(error, check.Mismatch):
        return [(label, check.shortened(text, MOST)) for label, text in error.rows]
    where = [("at", _where(*theirs[-1], module))] if theirs else []
    if isinstance(error, TimedOut):
        return [("stopped", str(error)), *where]
    said = _said(error)
    said = SPECS_NAMES.sub("", EXAMPLE.split(said)[0])
    return [("raised", check.shortened(said, MOST)), *where]


def _where(frame: FrameType, line: int, module: ModuleType | None) -> str:
    """A line and its code. That of an earlier kata may be the reference's, so it is
    not quoted.
    """
    if _is_of(frame, module):
        return f"line {line}: {_source_line(frame, line)}"
    return f"line {line} of {Path(frame.f_code.co_filename).name}, of an earlier kata"


def _headline(error: BaseException, causes: tuple[Cause, ...]) -> str:
    """The failure in one line, for lists."""
    if isinstance(error, check.Mismatch):
        label, text = (causes[0].label, causes[0].text) if causes else error.rows[-1]
        return f"{label}: {text.splitlines()[0]}"
    if isinstance(error, TimedOut):
        return str(error)
    return _said(error).splitlines()[0]


def _said(error: BaseException) -> str:
    """An error as Python prints it, with its class."""
    said = "".join(traceback.format_exception_only(error)).strip()
    return INPUT.sub(
        "nobody is there to answer input(): a spec gives arguments; `pytest -s` asks "
        "you",
        said,
    )


def _is_theirs(frame: FrameType, module: ModuleType | None) -> bool:
    """Tell if a frame belongs to the code under test or to an earlier kata that it
    builds on.
    """
    name = frame.f_globals.get("__name__", "")
    return _is_of(frame, module) or (
        isinstance(name, str) and name.startswith("prerequisite_")
    )


def _is_of(frame: FrameType, module: ModuleType | None) -> bool:
    """Tell if a frame belongs to the code under test. By name, since a second run has
    another module of that name.
    """
    is_graft = frame.f_code.co_filename == "<string>"
    return (
        module is not None
        and frame.f_globals.get("__name__") == module.__name__
        and not is_graft
    )


def _is_stub_line(frame: FrameType, line: int) -> bool:
    return (
        _source_line(frame, line).partition("#")[0].strip()
        == "raise NotImplementedError"
    )


def _source_line(frame: FrameType, line: int) -> str:
    return linecache.getline(frame.f_code.co_filename, line).strip()


def _written_name(frame: FrameType) -> str:
    """The name of a function: "MultiHeadAttention" for its __init__,
    "MultiHeadAttention.forward" for other methods.
    """
    return frame.f_code.co_qualname.removesuffix(".__init__").replace(".<locals>", "")


def _missing(name: str, module: ModuleType, kata: Kata) -> Failure:
    """ "split_heads: not found in multi_head_attention.py (it defines
    splitheads: renamed?)".
    """
    exercises = {exercise.owner for exercise in kata.exercises}
    others = [
        name
        for node in _statements(module)
        for name in cells.bound(node)
        if name not in exercises
    ]
    near = difflib.get_close_matches(name, others, n=1)
    renamed = f" (it defines {near[0]}: renamed?)" if near else ""
    return failure.of_exercise(
        "missing", name, f"not found in {kata.file.name}{renamed}"
    )


def _bad_call(message: str, module: ModuleType | None) -> Failure:
    """ "split_heads: wrong signature: takes 1 positional argument but 2 were given;
    yours is split_heads(x)".
    """
    name, _, reason = message.partition("() ")
    target = module
    for part in name.split("."):
        target = inspect.getattr_static(target, part, None)
    yours = ""
    if callable(target):
        yours = f"; yours is {name.split('.')[-1]}{inspect.signature(target)}"
        is_method = (
            "." in name
            and inspect.isfunction(target)
            and "self" not in inspect.signature(target).parameters
        )
        yours += ", without `self`" * is_method
    return failure.of_exercise(
        "missing", name.removesuffix(".__init__"), f"wrong signature: {reason}{yours}"
    )


def _place(
    theirs: Frames, module: ModuleType | None, exercise: Exercise, kata: Kata
) -> tuple[str, int]:
    """The line to look at: the innermost line of the learner's code, or else the
    exercise's definition.
    """
    if theirs:
        return Path(theirs[-1][0].f_code.co_filename).name, theirs[-1][1]
    owners = [node for node in _definitions(module) if node.name == exercise.owner]
    inside = owners[-1].body if owners else []
    method = exercise.name.rpartition(".")[2]
    found = [
        node for node in inside if isinstance(node, Definition) and node.name == method
    ] or owners
    return kata.file.name, found[-1].lineno if found else 0


def _definitions(module: ModuleType | None) -> list[Definition]:
    """The functions and classes at the top level of the module."""
    return [node for node in _statements(module) if isinstance(node, Definition)]


def _statements(module: ModuleType | None) -> list[ast.stmt]:
    return reading.tree(module.__file__).body if module and module.__file__ else []
