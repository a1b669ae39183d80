"""Why a spec failed, in the words a learner reads: one line where that is enough, else rationale, given, expected, got, place."""

import ast
import difflib
import inspect
import linecache
import re
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, ModuleType

import pytest
import torch

from grader import catalogue, check
from grader.catalogue import Exercise, Kata
from grader.loading import LoadFailure
from grader.results import NOT_WRITTEN

TIMED_OUT = re.compile(r"Timeout \(>([\d.]+)s\)")  # pytest-timeout's message


class NotRun(Exception):
    """The spec was not run. The message is one line that says why."""


@dataclass(frozen=True)
class Failure:
    """`line` says it in one line; `details` is the whole story, or empty where the line is the whole story."""

    line: str
    details: str = ""

    @property
    def text(self) -> str:
        return self.details or self.line


def explain(error: BaseException, kata: Kata, exercise: Exercise, spec: pytest.Function, module: ModuleType | None) -> Failure:
    """What the exception that ended a spec means for the person who wrote `module`."""
    frames = list(traceback.walk_tb(error.__traceback__))
    theirs = [(frame, line) for frame, line in frames if _is_theirs(frame, module)]
    if isinstance(error, (LoadFailure, NotRun)):
        return Failure(str(error))
    if isinstance(error, NotImplementedError) and theirs and _is_stub_line(*theirs[-1]):
        return Failure(f"{_written_name(theirs[-1][0])}: {NOT_WRITTEN}")
    if isinstance(error, AttributeError) and module is not None and error.obj is module:
        return Failure(_missing(error.name, module, kata))
    if isinstance(error, TypeError) and check.BAD_CALL.match(str(error)) and frames and not theirs:
        return Failure(_bad_call(str(error), module))
    if any(frame.f_globals is vars(module) for frame, _ in theirs):  # rather than in an earlier kata that it called
        theirs = [(frame, line) for frame, line in theirs if frame.f_globals is vars(module)]
    rows = _given(frames, spec) + _rows(error, theirs)
    place = _place(theirs if not isinstance(error, check.Mismatch) else [], module, exercise, kata)
    reason = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(spec.function.__doc__ or ""))  # a line a paragraph
    story = [reason, _table(rows), f"{place} · kata hint {kata.number} {exercise.name}"]
    return Failure(_headline(error), "\n\n".join(part for part in story if part))


def _rows(error: BaseException, theirs: list[tuple[FrameType, int]]) -> list[tuple[str, str]]:
    if isinstance(error, check.Mismatch):
        return error.rows
    timeout = TIMED_OUT.match(str(error))
    where = [("at", f"line {theirs[-1][1]}: {_source_line(*theirs[-1])}")] if theirs else []
    if timeout:
        return [("stopped", f"still running after {float(timeout[1]):g} s: a loop that never ends?"), *where]
    said = "".join(traceback.format_exception_only(error)).strip()
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith("Falsifying")]
    said = said if len(said) <= 600 else said[:600] + " …"
    return [("raised", said.split("\nFalsifying")[0]), *where, *(("example", note) for note in notes)]


def _headline(error: BaseException) -> str:
    """One line about the failure, for lists."""
    if isinstance(error, check.Mismatch):
        label, text = error.rows[-1]
        return f"{label}: {text.splitlines()[0]}"
    return traceback.format_exception_only(error)[0].strip().splitlines()[0]


def _is_theirs(frame: FrameType, module: ModuleType | None) -> bool:
    """A frame of the code under test, or of an earlier kata's code that it builds on."""
    if module is None:
        return False
    name = frame.f_globals.get("__name__", "")
    return frame.f_globals is vars(module) or (isinstance(name, str) and name.startswith("prerequisite_"))


def _is_stub_line(frame: FrameType, line: int) -> bool:
    return _source_line(frame, line).startswith("raise NotImplementedError")


def _source_line(frame: FrameType, line: int) -> str:
    return linecache.getline(frame.f_code.co_filename, line).strip()


def _written_name(frame: FrameType) -> str:
    """ "MultiHeadAttention" for its __init__, "MultiHeadAttention.forward" for other methods."""
    return frame.f_code.co_qualname.removesuffix(".__init__").replace(".<locals>", "")


def _missing(name: str, module: ModuleType, kata: Kata) -> str:
    """ "split_heads: not found in multi_head_attention.py (it defines splitheads: renamed?)"."""
    exercises = {exercise.name for exercise in catalogue.exercises(kata)}
    others = [node.name for node in _definitions(module) if node.name not in exercises]
    near = difflib.get_close_matches(name, others, n=1)
    return f"{name}: not found in {kata.file.name}" + (f" (it defines {near[0]}: renamed?)" if near else "")


def _bad_call(message: str, module: ModuleType | None) -> str:
    """ "split_heads: wrong signature: takes 1 positional argument but 2 were given; yours is split_heads(x)"."""
    name, _, reason = message.partition("() ")
    target = module
    for part in name.split("."):
        target = getattr(target, part, None)
    yours = ""
    if callable(target):
        yours = f"; yours is {name.split('.')[-1]}{inspect.signature(target)}"
    return f"{name.removesuffix('.__init__')}: wrong signature: {reason}{yours}"


def _place(theirs, module: ModuleType | None, exercise: Exercise, kata: Kata) -> str:
    if theirs:
        return f"{Path(theirs[-1][0].f_code.co_filename).name}:{theirs[-1][1]}"
    lines = [node.lineno for node in _definitions(module) if node.name == exercise.name]
    return f"{kata.file.name}:{lines[-1]}" if lines else kata.file.name


def _definitions(module: ModuleType | None) -> list[ast.stmt]:
    if module is None:
        return []
    tree = ast.parse("".join(linecache.getlines(module.__file__)))
    return [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef))]


def _table(rows: list[tuple[str, str]]) -> str:
    width = max([len(label) for label, _ in rows] + [10])
    indent = "\n" + " " * (width + 1)
    return "\n".join(f"{label:<{width}} {indent.join(text.splitlines())}" for label, text in rows)


def _given(frames: list[tuple[FrameType, int]], spec: pytest.Function) -> list[tuple[str, str]]:
    """The call whose outcome the spec judged, as the spec wrote it, and what its arguments were."""
    own = [(f, line) for f, line in frames if f.f_code.co_filename == str(spec.path) and f.f_code.co_name == spec.originalname]
    if not own:
        return []
    frame, line = own[-1]
    function = ast.parse(inspect.cleandoc("\n" + inspect.getsource(frame.f_code)))
    call = _judged_call(function, line - frame.f_code.co_firstlineno + 1, {"kata", *frame.f_locals} - {"self"})
    if call is None:
        return []
    text = ast.unparse(call).removeprefix("kata.").replace("(kata.", "(")
    names = dict.fromkeys(node.id for node in ast.walk(call) if isinstance(node, ast.Name))
    values = {name: frame.f_locals[name] for name in names if name in frame.f_locals and name not in ("kata", "self")}
    shown = [f"{name} = {_value(value)}" for name, value in values.items() if _worth_showing(value)]
    return [("given", "\n".join([text if len(text) <= 110 else text[:109] + "…", *shown]))]


def _judged_call(function: ast.AST, line: int, callable_names: set[str]) -> ast.Call | None:
    """In the statement of that line, or in the assignments it draws on, the first call of the implementation or of what it made."""
    statements = [n for n in ast.walk(function) if isinstance(n, ast.stmt) and n.lineno <= line <= n.end_lineno]
    if not statements or isinstance(statements[-1], (ast.FunctionDef, ast.For, ast.If)):
        return None
    innermost = statements[-1]  # a `with` where leaving its block failed: then the call is in there
    for node in (innermost, *_origins(function, innermost)):
        for call in (n for n in ast.walk(node) if isinstance(n, ast.Call)):
            if _root(call.func) == "kata" or (isinstance(call.func, ast.Name) and call.func.id in callable_names):
                return call
    return None


def _origins(function: ast.AST, statement: ast.stmt) -> list[ast.AST]:
    """The assignments before `statement` that made the names it uses, nearest first."""
    names = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)}
    assigned = [
        n
        for n in ast.walk(function)
        if isinstance(n, ast.Assign) and n.lineno < statement.lineno
        and names & {t.id for target in n.targets for t in ast.walk(target) if isinstance(t, ast.Name)}
    ]
    return [n.value for n in sorted(assigned, key=lambda n: -n.lineno)]


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _worth_showing(value) -> bool:
    return not (callable(value) or inspect.ismodule(value)) or isinstance(value, torch.nn.Module)


def _value(value) -> str:
    if isinstance(value, torch.nn.Module):
        return type(value).__name__
    if isinstance(value, torch.Tensor) and value.numel() <= 8 and value.device.type == "cpu":
        return f"{check.describe(value)} {value.tolist()}"
    return check.describe(value)
