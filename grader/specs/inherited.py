"""Specs that a class inherits from another file: their line in the kata's spec file,
and the call that they judge.
"""

import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from grader.specs import reading


def source(spec: pytest.Function) -> Path:
    """The file that defines the spec."""
    if spec.cls is None or spec.originalname in vars(spec.cls):
        return spec.path
    return Path(inspect.getsourcefile(inspect.unwrap(spec.function)) or spec.path)


def shown(spec: pytest.Function) -> str:
    """ "grader/specs/training.py:58": where the text of an inherited spec can
    be read.
    """
    path = source(spec)
    inside = [parent for parent in path.parents if parent.name == "grader"]
    name = path.relative_to(inside[0].parent).as_posix() if inside else path.name
    return f"{name}:{inspect.unwrap(spec.function).__code__.co_firstlineno}"


def place_at_class(spec: pytest.Function) -> None:
    """Let pytest say that the spec is where its class begins in the kata's spec file,
    and not in another file.
    """
    text, name = spec.path.read_text(encoding="utf-8"), spec.getmodpath()
    found = re.search(rf"^class {spec.cls.__name__}\b", text, re.MULTILINE)
    line = text.count("\n", 0, found.start()) if found else None
    spec.reportinfo = lambda: (spec.path, line, name)  # type: ignore[method-assign]


def resolved(call: ast.Call, names: Mapping[str, Any]) -> ast.Call:
    """The call of the code under test behind `self.train(kata, model, steps=3)`: what
    that method of the class returns.

    Of `self.make(kata)(3)` it is that of what the method returns, as in `kata.Cell(3)`.

    Args:
        names: the values of the names at the call.
    """
    maker = call.func if isinstance(call.func, ast.Call) else call
    method = reading.called(reading.value(maker.func, names))
    function = (
        reading.definition(method.__code__.co_filename, method.__code__.co_firstlineno)
        if method
        else None
    )
    inside = [*ast.walk(function or call)]
    if maker is not call:
        returned = [
            node.value for node in inside if isinstance(node, ast.Return) and node.value
        ]
        made = [
            one
            for kind in returned
            if is_of_kata(one := ast.Call(kind, call.args, call.keywords))
        ]
        return made[0] if made else call
    made = [node for node in inside if isinstance(node, ast.Call) and is_of_kata(node)]
    if method is None or not made:
        return call
    named = inspect.signature(method).parameters  # the method itself sees to these
    given = [
        ast.keyword(one.arg, _known(one.value, names))
        for one in call.keywords
        if one.arg not in named
    ]
    own = made[0].keywords
    options = [
        at
        for at, one in enumerate(own)
        if one.arg is None and isinstance(one.value, ast.Name)
    ]
    for at in options[:1]:
        own = [*own[:at], *given, *own[at + 1 :]]
    return ast.Call(made[0].func, made[0].args, own)


def is_of_kata(call: ast.Call) -> bool:
    """Tell if this is `kata.name(…)`, `kata.Name.method(…)` or
    `getattr(kata, name)(…)`.
    """
    function = call.func
    if isinstance(function, ast.Call):
        return ast.unparse(function).startswith("getattr(kata, ")
    owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
    return re.fullmatch(r"kata(\.\w+)?", owner) is not None


def is_handed_on(call: ast.Call) -> bool:
    """Tell if this is `self.name(kata, …)`, or a call of what it returns."""
    if isinstance(call.func, ast.Call):
        return is_handed_on(call.func)
    of_self = (
        isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "self"
    )
    return of_self and bool(call.args) and ast.unparse(call.args[0]) == "kata"


def _known(node: ast.expr, names: Mapping[str, Any]) -> ast.expr:
    """A number or a text in place of a name, if it is known."""
    value = reading.value(node, names)
    return ast.Constant(value) if isinstance(value, (int, float, str)) else node
