"""Follows a definition of the code under test line by line: its calls, what each line
made of its variables, results.

Everything is bounded: calls, lines per call, the length of texts. What is kept are
descriptions, no values.
"""

import ast
import linecache
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from grader.course.statements import UNREADABLE
from grader.errors import LoadFailure
from grader.followed import Call, Move, Step, Value
from grader.isolation import state
from grader.specs import check

MOST_CALLS, MOST_LINES, MOST_VALUES = 12, 400, 12
SAMPLE = 16  # numbers that stand for those of a tensor
LONGEST = 120  # characters of a text
MOVING = {
    *(
        "reshape",
        "view",
        "transpose",
        "permute",
        "flatten",
        "unflatten",
        "movedim",
        "swapaxes",
        "t",
        "T",
        "mT",
    ),
    *("unsqueeze", "squeeze", "flip", "contiguous"),
}
LOOPS = (ast.For, ast.While)
DEPTH = 3  # of containers and objects that are looked into


def evaluated(expression: str, module: ModuleType | LoadFailure, seed: int) -> Call:
    """The value of an expression in a module, or what it raises, as a call of
    that name.
    """
    call = Call(expression, 0, {})
    if isinstance(module, LoadFailure):
        call.raised = str(module)
        return call
    state.reset(seed)
    try:
        call.returned = value(
            eval(
                expression,
                {"torch": torch, "np": np, "nn": torch.nn, "F": F} | vars(module),
            )
        )
    except Exception as error:
        call.raised = traceback.format_exception_only(error)[-1].strip()[:LONGEST]
    return call


def value(found: Any) -> Value:
    """Describe a value. What cannot be described is told by its type alone."""
    kind = type(found).__name__
    try:
        with torch._C.DisableTorchFunction():  # these calls are ours
            return _described_value(kind, found)
    except Exception:  # from a method of a class that the learner wrote
        return Value(kind, kind)


def _described_value(kind: str, found: Any) -> Value:
    module = (
        isinstance(found, torch.nn.Module)
        and type(found).__module__.partition(".")[0] != "torch"
    )
    text = kind if module else " ".join(check.describe(found).split())[:LONGEST]
    return Value(kind, text, check.shape_of(found), tuple(_numbers(found, DEPTH)))


class Tracer:
    """Records calls of the functions whose `def` is within these lines of a file."""

    def __init__(self, file: str, lines: range):
        self.file, self.lines, self.bodies = file, lines, _bodies(file) if lines else {}
        self.calls: list[Call] = []
        self.stack: list[Follower] = []  # of the frames that are running

    @contextmanager
    def on(self) -> Iterator[None]:
        """Record what runs in the block."""
        self.calls, before = [], sys.gettrace()
        with Moves(self):
            sys.settrace(self._enter)
            try:
                yield
            finally:
                sys.settrace(before)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if (
            code.co_filename != self.file
            or code.co_firstlineno not in self.lines
            or code.co_name.startswith("<")
        ):
            return None
        if len(self.calls) >= MOST_CALLS:
            return None
        call = Call(
            code.co_name, code.co_firstlineno, _described(_given(code, frame.f_locals))
        )
        self.calls.append(call)
        follower = Follower(self, call, frame)
        self.stack.append(follower)
        return follower


class Moves(TorchFunctionMode):
    """Notes the moves on the line that is running."""

    def __init__(self, tracer: Tracer):
        super().__init__()
        self.tracer = tracer

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        name = getattr(function, "__name__", "")
        if name == "__get__":  # of a property, such as `mT`
            name = function.__self__.__name__
        if name in MOVING and args and isinstance(result, torch.Tensor):
            running = self.tracer.stack[-1:]
            if running and running[0].frame is _caller(sys._getframe(1)):
                # a subclass of tensors that the learner wrote
                with suppress(Exception):
                    running[0].note_move(
                        _moved(name, function, args, kwargs or {}, result)
                    )
        return result


class Follower:
    """Follows one frame."""

    def __init__(self, tracer: Tracer, call: Call, frame: FrameType):
        # on the line that is running
        self.tracer, self.frame, self.moves = tracer, frame, list[Move]()
        self.call, self.before = call, _versions(_variables(frame))
        self.steps: dict[int, Step] = {}
        self.line = 0  # that is running
        self.seen = 0

    def __call__(self, frame: FrameType, event: str, result: Any) -> Any:
        with suppress(Exception):  # from classes that the learner wrote
            self._note(frame)
        if event == "line":
            # what was raised before was caught
            self.line, self.call.raised = frame.f_lineno, ""
            self.seen += 1
            if self.seen > MOST_LINES:
                self.call.cut, frame.f_trace_lines = True, False
        elif event == "return":
            self.tracer.stack.remove(self)
            self.call.returned = value(result) if not self.call.raised else None
        elif event == "exception" and not issubclass(result[0], StopIteration):
            self.call.raised = result[0].__name__
        return self

    def note_move(self, move: Move) -> None:
        if len(self.moves) < MOST_VALUES:
            self.moves.append(move)

    def _note(self, frame: FrameType) -> None:
        """Take in what the line that has just run did to the variables."""
        if not self.line:
            return
        variables = _variables(frame)
        now = _versions(variables)
        changed = {
            name: variables[name]
            for name, found in now.items()
            if self.before.get(name) != found
        }
        step = self.steps.get(self.line)
        described = _described(changed)
        if step is None:
            step = self.steps[self.line] = Step(
                self.line, first=described, moves=self.moves
            )
            self.call.steps.append(step)
        elif (
            self.line not in self.tracer.bodies
            or frame.f_lineno in self.tracer.bodies[self.line]
        ):
            step.times += 1
            step.last = described
        self.before, self.moves = now, []
        self.line = 0


def _bodies(file: str) -> dict[int, range]:
    """The lines of every loop's body, by the loop's own line. It runs once more than
    its body, to find the end.
    """
    with suppress(*UNREADABLE):
        loops = [
            node
            for node in ast.walk(ast.parse("".join(linecache.getlines(file))))
            if isinstance(node, LOOPS)
        ]
        return {
            loop.lineno: range(loop.body[0].lineno, (loop.body[-1].end_lineno or 0) + 1)
            for loop in loops
        }
    return {}


def _caller(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is neither torch's nor the grader's, which stands
    between in a spec with bans.
    """
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[
        0
    ] in ("torch", "grader"):
        frame = frame.f_back
    return frame


def _moved(
    name: str, function: Any, args: Any, options: Any, result: torch.Tensor
) -> Move:
    """Where the axes of the result come from: what grows along one axis before shows
    along which ones after.
    """
    before = tuple(args[0].shape)
    axes: list[tuple[int, ...]] = [()] * result.ndim
    with torch._C.DisableTorchFunction():
        for axis, size in enumerate(before):
            shape = [1] * len(before)
            shape[axis] = size
            place = torch.arange(size).reshape(shape).expand(before).contiguous()
            found = function(place, *args[1:], **options)
            for other in range(result.ndim):
                if size > 1 and (found != found.narrow(other, 0, 1)).any():
                    axes[other] += (axis,)
    return Move(name, before, tuple(result.shape), tuple(axes))


def _variables(frame: FrameType) -> dict[str, Any]:
    """The variables of a function, and the attributes of a method's `self`: of a module
    also what it registers.
    """
    found = dict(frame.f_locals)
    own = dict(getattr(found.get("self"), "__dict__", {}))
    for kind in (
        ("_parameters", "_buffers", "_modules")
        if isinstance(found.get("self"), torch.nn.Module)
        else ()
    ):
        own |= own.get(kind, {})
    shown = {
        f"self.{name}": value for name, value in own.items() if not name.startswith("_")
    }
    return found | dict(list(shown.items())[:MOST_VALUES])


def _given(code: CodeType, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call."""
    number = (
        code.co_argcount
        + code.co_kwonlyargcount
        + bool(code.co_flags & 4)
        + bool(code.co_flags & 8)
    )
    return {
        name: variables[name] for name in code.co_varnames[:number] if name in variables
    }


def _described(variables: Mapping[str, Any]) -> dict[str, Value]:
    return {name: value(found) for name, found in list(variables.items())[:MOST_VALUES]}


def _versions(variables: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Which object each variable holds, and of a tensor, how often it was
    written to.
    """
    return {
        name: (id(found), getattr(found, "_version", 0))
        for name, found in variables.items()
    }


def _numbers(found: Any, depth: int) -> Iterator[float | str]:
    if isinstance(found, (torch.Tensor, np.ndarray)):
        yield str(found.dtype)
        yield from _of_array(found)
    elif isinstance(found, (bool, int, float)):
        yield float(found)
    elif found is None or isinstance(
        found, (str, bytes, torch.dtype, torch.Size, torch.device)
    ):
        yield repr(found)[:LONGEST]
    elif depth and isinstance(found, (list, tuple, set, frozenset)):
        yield float(len(found))
        for part in list(found)[:SAMPLE]:
            yield from _numbers(part, depth - 1)
    elif depth and isinstance(found, Mapping):
        yield float(len(found))
        for key, part in list(found.items())[:SAMPLE]:
            yield repr(key)[:LONGEST]
            yield from _numbers(part, depth - 1)
    elif isinstance(found, torch.nn.Module):
        for name, part in list(found.named_parameters())[:SAMPLE]:
            yield name
            yield from _numbers(part, 0)
    elif depth and hasattr(found, "__dict__"):
        yield from _numbers(vars(found), depth - 1)


def _of_array(found: torch.Tensor | np.ndarray) -> Iterator[float]:
    if isinstance(found, torch.Tensor):
        flat = found.detach().reshape(-1)
        yield from _sample(
            (
                torch.view_as_real(flat).reshape(-1) if flat.is_complex() else flat
            ).double()
        )
    elif found.dtype.kind in "fiub":
        yield from _sample(torch.as_tensor(found.astype(np.float64)).reshape(-1))


def _sample(flat: torch.Tensor) -> Iterator[float]:
    """Numbers of a tensor at equal distances, their mean and their mean size."""
    if flat.device.type == "meta" or not flat.numel():
        return
    step = max(1, flat.numel() // SAMPLE)
    yield from flat[::step][:SAMPLE].tolist()
    yield float(flat.mean())
    yield float(flat.abs().mean())
