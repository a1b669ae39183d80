"""Read a line that raised an error: its expression, and the values of its names.
Nothing is evaluated.
"""

import ast
import builtins
import functools
import inspect
import itertools
import linecache
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FrameType, FunctionType, ModuleType
from typing import Any

from torch import nn

MISSING = object()  # in place of a value that cannot be known without running code
# of a line that begins a statement of the module, or is part of a text
HEAD = re.compile(r"[\w@]")
Scope = Mapping[str, Any]


@dataclass(frozen=True)
class Made:
    """In place of an object that the line makes: an instance of this class."""

    kind: type


@dataclass(frozen=True)
class Place:
    """A line of a traceback, with its names and the expression that was
    being computed.
    """

    frame: FrameType
    line: int
    last_instruction: int

    @property
    def file(self) -> str:
        return self.frame.f_code.co_filename

    @property
    def scope(self) -> Scope:
        return ChainMap(self.frame.f_locals, self.frame.f_globals, vars(builtins))

    def expression(self) -> ast.AST | None:
        """The expression that was being computed; if it is unknown, the simple
        statement or loop's head.
        """
        start, end, first, last = list(self.frame.f_code.co_positions())[
            self.last_instruction // 2
        ]
        within = None
        for node in nodes(self.file, self.line):
            if isinstance(node, ast.expr) and (node.lineno, node.end_lineno) == (
                start,
                end,
            ):
                if (node.col_offset, node.end_col_offset) == (
                    first,
                    last,
                ) and not _is_assigned(node):
                    return node
            elif isinstance(node, ast.stmt) and node.lineno <= self.line <= (
                node.end_lineno or 0
            ):
                within = node
        if isinstance(within, ast.For):
            return ast.For(within.target, within.iter, [], [], lineno=self.line)
        return None if hasattr(within, "body") else within

    def origins(self, name: str) -> Iterator[ast.expr]:
        """Expressions assigned to a name of this function before this line,
        last first.
        """
        function = definition(self.file, self.frame.f_code.co_firstlineno)
        assigned = [
            node
            for node in ast.walk(function or ast.Module([], []))
            if isinstance(node, ast.Assign) and node.lineno <= self.line
        ]
        for node in sorted(assigned, key=lambda node: -node.lineno):
            for target in node.targets:
                pairs = [(target, node.value)]
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = list(zip(target.elts, node.value.elts, strict=False))
                yield from (
                    made
                    for part, made in pairs
                    if isinstance(part, ast.Name) and part.id == name
                )


def places(error: BaseException) -> list[Place]:
    """The lines of an error's traceback, from the outermost to the one that
    raised it.
    """
    found, step = [], error.__traceback__
    while step:
        found.append(Place(step.tb_frame, step.tb_lineno, step.tb_lasti))
        step = step.tb_next
    return found


def tree(file: str) -> ast.Module:
    """The syntax tree of a file; empty if it cannot be read."""
    return _parsed("".join(linecache.getlines(file))) or ast.Module([], [])


def nodes(file: str, line: int) -> Iterator[ast.AST]:
    """The nodes of the module's statement that this line belongs to, from the
    outside in.

    A spec file is long, and of it no more is read than that. If it cannot be read
    alone, the whole file is.
    """
    lines = linecache.getlines(file)
    heads = [number for number, text in enumerate(lines, 1) if HEAD.match(text)]
    begins = [
        number
        for before, number in itertools.pairwise([1, *heads])
        if not lines[before - 1].startswith("@")
    ]
    first = max((number for number in begins if number <= line), default=1)
    end = min((number for number in begins if number > line), default=len(lines) + 1)
    alone = _parsed("\n" * (first - 1) + "".join(lines[first - 1 : end - 1]))
    return ast.walk(alone or tree(file))


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def definition(
    file: str, first_line: int
) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """The function whose definition, decorators included, begins at this line."""
    for node in nodes(file, first_line):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if first_line in {
                node.lineno,
                *(decorator.lineno for decorator in node.decorator_list),
            }:
                return node
        elif isinstance(node, ast.Lambda) and node.lineno == first_line:
            return node
    return None


def value(node: ast.AST, scope: Scope) -> Any:
    """The value of a name, of a chain of attributes or of a call that makes an object;
    MISSING for all else.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return scope.get(node.id, MISSING)
        case ast.Attribute():
            return _attribute(value(node.value, scope), node.attr)
        case ast.Call() if isinstance(kind := value(node.func, scope), type):
            return Made(kind)
    return MISSING


def called(function: Any) -> FunctionType | None:
    """The Python function that runs when an object is called; None for a class, and for
    code that is not Python.
    """
    owner = function.kind if isinstance(function, Made) else type(function)
    if isinstance(function, type) or function is MISSING:
        return None
    if not isinstance(function, FunctionType):
        if hasattr(function, "__func__"):
            return called(function.__func__)
        name = "forward" if issubclass(owner, nn.Module) else "__call__"
        function = inspect.getattr_static(owner, name, None)
    found = inspect.unwrap(function) if callable(function) else None
    return found if isinstance(found, FunctionType) else None


def scope_of(function: FunctionType) -> Scope:
    """The names that a function can read, beside its own."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    known = {name: cell.cell_contents for name, cell in cells}
    return ChainMap(known, function.__globals__)


def _is_assigned(node: ast.expr) -> bool:
    """Tell if this is the left side of an assignment."""
    return isinstance(getattr(node, "ctx", None), ast.Store)


def _attribute(owner: Any, name: str) -> Any:
    """An attribute as it is stored, without running a property."""
    if owner is MISSING:
        return MISSING
    if isinstance(owner, Made):
        owner = owner.kind
    elif isinstance(owner, nn.Module):
        for registry in ("_parameters", "_buffers", "_modules"):
            if name in (stored := vars(owner).get(registry) or {}):
                return stored[name]
    found = inspect.getattr_static(owner, name, MISSING)
    if isinstance(found, (staticmethod, classmethod)):
        return found.__func__
    is_computed = inspect.isdatadescriptor(found) and not isinstance(
        owner, (type, ModuleType)
    )
    return MISSING if is_computed else found
