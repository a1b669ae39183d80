"""What a spec gave to the code under test: the call that it judged, and the values of
the names in it.

A learner should be able to make the same input. So functions of the spec file are shown
as what they return, and objects of its classes in the words of their docstrings.
"""

import ast
import copy
import inspect
import re
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from grader.specs import check, habits, inherited, reading

LONGEST = 110  # characters of a call
DEEPEST = 4  # functions of the spec file inside each other
UNKNOWN = "…"
# where a check calls: the function, its arguments
ASSERTS = {"check.gradients": (0, 2), "check.repeated": (1, 2)}

Frames = list[tuple[FrameType, int]]
Scope = Mapping[str, Any]
# a parameter's argument; of `**options` all of them
Bound = dict[str, ast.expr | list[ast.keyword]]


@dataclass(frozen=True)
class Judged:
    """A call as the spec file has it, and the names there."""

    call: ast.Call
    local: Scope
    scope: Scope
    made: Mapping[str, ast.Call]  # what made the objects of the code under test
    is_near: bool = True  # in the statement that failed, or in what made its names

    @property
    def values(self) -> dict[str, Any]:
        """The spec's own names in the call, if what failed is what came of it."""
        return {
            name: self.local[name]
            for name in _names(self.call)
            if name in self.local and self.is_near
        }

    @property
    def text(self) -> str:
        """The call, with functions of the spec file spelled out unless that is long,
        and what its names stand for.
        """
        for deepest in (DEEPEST, 0):
            shown = _Shown(self.scope, deepest)
            call = shown.visit(copy.deepcopy(self.call))
            text = ast.unparse(call)
            if len(text) <= LONGEST:
                break
        made = {
            name: shown.visit(copy.deepcopy(one))
            for name, one in self.made.items()
            if name in _names(call)
        }
        if text.startswith(UNKNOWN):  # all that can be said is in words
            text, call = shown.made.pop(UNKNOWN, ""), self.call
        names = dict.fromkeys([*_names(call), *_names([*made.values()])])
        known = {name: self.scope[name] for name in names if name in self.scope}
        numbers = [
            f"{name} = {one}"
            for name, one in known.items()
            if type(one) in (int, float)
        ]
        values = {
            name: _value(one, self.scope)
            for name, one in known.items()
            if type(one) not in (int, float)
        }
        told = {name: ast.unparse(one) for name, one in made.items()}
        values |= {
            name: said
            for name, said in told.items()
            if len(said) <= LONGEST and UNKNOWN not in said
        }
        lines = [
            f"{name} = {said}"
            for name, said in {**values, **shown.made}.items()
            if said
        ]
        whole = [
            check.shortened(text, LONGEST),
            *([", ".join(numbers)] if numbers else []),
            *lines,
        ]
        return "\n".join(whole) if text else ""


def judged(
    frames: Frames, spec: pytest.Function, module: ModuleType | None
) -> Judged | None:
    """The call that a spec judged: in the statement that failed, else in what made its
    names, else the last one.
    """
    file = str(inherited.source(spec))
    own = [(frame, line) for frame, line in frames if frame.f_code.co_filename == file]
    places = [_Place(frame, line, module) for frame, line in own]
    outer = [
        place for place in places if place.frame.f_code.co_name == spec.originalname
    ][-1:]
    inner = places[places.index(outer[0]) + 1 :] if outer else []
    inner.reverse()
    ways = [
        *((place.in_statement, _Place.direct) for place in [*outer, *inner]),
        *((place.in_origins, _Place.direct) for place in [*inner, *outer]),
        *((place.in_statement, _Place.inside) for place in [*outer, *inner]),
        *((place.in_origins, _Place.inside) for place in [*outer, *inner]),
        *(
            (place.in_earlier, how)
            for how in (_Place.direct, _Place.inside)
            for place in [*outer, *inner]
        ),
    ]
    return next((found for way, how in ways if (found := way(how))), None)


class _Place:
    """A line of a function of the spec file."""

    def __init__(self, frame: FrameType, line: int, module: ModuleType | None):
        self.frame, self.line, self.module = frame, line, module
        self.scope = ChainMap(frame.f_locals, frame.f_globals)
        found = reading.definition(
            frame.f_code.co_filename, frame.f_code.co_firstlineno
        )
        self.function: ast.AST = found or ast.Module([], [])

    def in_statement(self, how: "How") -> Judged | None:
        return next(
            (found for node in self._failed() if (found := how(self, node))), None
        )

    def in_origins(self, how: "How") -> Judged | None:
        """In what made the names of the statement, nearest first, and then in what made
        the names of that.
        """
        open_, seen, is_near = self._failed(), set[str](), True
        while open_:
            names = {name for node in open_ for name in _names(node)} - seen
            seen |= names
            open_ = self._made(names)
            for node in open_:
                if found := how(self, node):
                    return replace(found, is_near=is_near)
            is_near = False
        return None

    def in_earlier(self, how: "How") -> Judged | None:
        """In the last statement before that has a call, such as a step before its
        weights are looked at.
        """
        before: list[ast.stmt | ast.expr] = []
        for node in ast.walk(self.function):
            if isinstance(node, ast.withitem):
                before.append(node.context_expr)
            elif isinstance(node, ast.stmt) and not hasattr(node, "body"):
                before.append(node)
        for part in sorted(before, key=lambda part: -part.lineno):
            if part.lineno < self.line and (found := how(self, part)):
                return replace(found, is_near=False)
        return None

    def _failed(self) -> list[ast.AST]:
        """The statement at the line: of a loop or a condition its head, of a `with`
        all, as its exit may fail.
        """
        statements = [
            node
            for node in ast.walk(self.function)
            if isinstance(node, ast.stmt)
            and node.lineno <= self.line <= (node.end_lineno or node.lineno)
        ]
        match statements[-1:]:
            case [ast.For() as loop]:
                return [loop.iter]
            case [ast.If() | ast.While() as condition]:
                return [condition.test]
            case [ast.FunctionDef()]:
                return []
        return [*statements[-1:]]

    def _made(self, names: set[str]) -> list[ast.AST]:
        """What these names were assigned before the line, nearest first."""
        found = [
            (line, value)
            for line, targets, value in _assigned(self.function)
            if line <= self.line
            and any(names & set(_names(target)) for target in targets)
        ]
        return [value for _, value in sorted(found, key=lambda one: -one[0])]

    def direct(self, node: ast.AST) -> Judged | None:
        """The first call of the code under test, or of its objects."""
        for call in _calls(node):
            if asked := _asserted(call):
                if self._is_theirs(asked.func):
                    return self._judged(asked)
            elif inherited.is_handed_on(call):
                return self._judged(inherited.resolved(call, self.frame.f_locals))
            elif self._is_theirs(call.func):
                return self._judged(call)
        return None

    def inside(self, node: ast.AST) -> Judged | None:
        """The first call of the code under test in a function of the spec file, or a
        call that gets its functions.
        """
        inside = (_inside(call, self.scope) for call in _calls(node))
        handed_over = (call for call in _calls(node) if self._hands_over(call))
        found = next((call for call in (*inside, *handed_over) if call), None)
        return self._judged(found) if found else None

    def _judged(self, call: ast.Call) -> Judged:
        value: Any = (
            self.frame.f_locals.get(call.func.id)
            if isinstance(call.func, ast.Name)
            else None
        )
        if self._defines(value):  # under another name
            call = ast.Call(ast.Name(value.__qualname__), call.args, call.keywords)
        call = self._named(call)
        theirs = {
            name
            for name in _names(call)
            if self._defines(type(self.frame.f_locals.get(name)))
        }
        made = {name: one for name in theirs if (one := self._maker(name))}
        return Judged(call, self.frame.f_locals, self.scope, made)

    def _named(self, call: ast.Call) -> ast.Call:
        """With the parameter's name for an argument that only a function of the spec
        file knows.
        """
        name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        function = inspect.getattr_static(self.module, name, None)
        names = (
            [*inspect.signature(function).parameters]
            if isinstance(function, FunctionType)
            else []
        )
        if len(call.args) > len(names) or any(
            isinstance(one, ast.Starred) for one in call.args
        ):
            return call
        pairs = zip(call.args, names, strict=False)
        told = [
            ast.Name(to)
            if UNKNOWN in ast.unparse(one) and to not in self.scope
            else one
            for one, to in pairs
        ]
        return ast.Call(call.func, told, call.keywords)

    def _maker(self, name: str) -> ast.Call | None:
        """The call that made an object, if an assignment of its own has one."""
        for line, targets, value in sorted(
            _assigned(self.function), key=lambda one: -one[0]
        ):
            is_own = any(
                isinstance(target, ast.Name) and target.id == name for target in targets
            )
            if is_own and line <= self.line and isinstance(value, ast.Call):
                if inherited.is_handed_on(value):
                    return inherited.resolved(value, self.frame.f_locals)
                return (
                    value if self._is_theirs(value.func) else _inside(value, self.scope)
                )
        return None

    def _is_theirs(self, node: ast.expr) -> bool:
        """Tell if this is a function or an object of the code under test, or a method
        that it defines.
        """
        match node:
            case ast.Name():
                is_of_spec = _is_of_spec(self.frame.f_locals.get(node.id), self.scope)
                is_known = node.id in self.frame.f_locals and not is_of_spec
                return is_known and (
                    self._has_made(node) or node.id in self._from_kata()
                )
            case ast.Call() if _got(node):
                return True
            case ast.Attribute(value=ast.Name() as owner) if owner.id != "kata":
                method = inspect.getattr_static(
                    type(self.frame.f_locals.get(owner.id)), node.attr, None
                )
                return self._has_made(owner) and self._defines(method)
        root = node
        while isinstance(root, (ast.Attribute, ast.Call, ast.Subscript)):
            root = root.func if isinstance(root, ast.Call) else root.value
        is_kata = isinstance(root, ast.Name) and root.id == "kata"
        return is_kata or (
            isinstance(node, ast.Call)
            and isinstance(root, ast.Name)
            and self._has_made(root)
        )

    def _hands_over(self, call: ast.Call) -> bool:
        """Tell if a function of another library gets one of the code under test."""
        arguments = [*call.args, *(one.value for one in call.keywords)]
        is_given = any(
            isinstance(one, ast.Attribute) and ast.unparse(one.value) == "kata"
            for one in arguments
        )
        function = (
            self.scope.get(call.func.id) if isinstance(call.func, ast.Name) else None
        )
        return (
            is_given
            and not _is_of_spec(function, self.scope)
            and not ast.unparse(call.func).startswith("check.")
        )

    def _has_made(self, name: ast.Name) -> bool:
        """Tell if the code under test defines this function, this class or this
        object's class.
        """
        value = self.frame.f_locals.get(name.id)
        return self._defines(value) or self._defines(type(value))

    def _defines(self, thing: Any) -> bool:
        is_definition = isinstance(thing, (type, FunctionType))
        return (
            is_definition
            and self.module is not None
            and thing.__module__ == self.module.__name__
        )

    def _from_kata(self) -> set[str]:
        """The names that the spec gives to what comes from the code under test, and not
        to a model built by hand.
        """
        theirs = {"kata"} | {
            node.arg for node in ast.walk(self.function) if isinstance(node, ast.arg)
        }
        for _, targets, value in sorted(
            _assigned(self.function), key=lambda one: one[0]
        ):
            if theirs & {
                one.id for one in ast.walk(value) if isinstance(one, ast.Name)
            }:
                theirs.update(name for target in targets for name in _names(target))
        return theirs - {"self"}


def _assigned(function: ast.AST) -> list[tuple[int, list[ast.expr], ast.expr]]:
    """Every assignment in a function, of a loop and of a `with` too: its line, its
    targets and its value.
    """
    found: list[tuple[int, list[ast.expr], ast.expr]] = []
    for node in ast.walk(function):
        match node:
            case ast.Assign():
                found.append((node.lineno, node.targets, node.value))
            case ast.AugAssign() | ast.NamedExpr():
                found.append((node.lineno, [node.target], node.value))
            case ast.For():
                found.append((node.lineno, [node.target], node.iter))
            case ast.With():
                made = [(one.optional_vars, one.context_expr) for one in node.items]
                found += [
                    (node.lineno, [target], value) for target, value in made if target
                ]
    return found


class _Shown(ast.NodeTransformer):
    """Spells out calls of functions of the spec file that return one expression, and
    names its other objects.
    """

    def __init__(self, scope: Scope, deepest: int):
        self.scope, self.deepest = scope, deepest
        # what an object is, by the word that stands for it
        self.made: dict[str, str] = {}

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner == "self":
            value = reading.value(node, self.scope)
            if isinstance(value, (int, float, str)):
                return ast.Constant(value)
            self.made[node.attr] = _value(value, self.scope)
            return ast.Name(node.attr if self.made[node.attr] else UNKNOWN)
        return ast.Name(node.attr) if owner == "kata" else self.generic_visit(node)

    def visit_Starred(self, node: ast.Starred) -> ast.AST:
        node = ast.Starred(self.visit(node.value), node.ctx)
        return node.value if ast.unparse(node.value) == UNKNOWN else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = (
            self.scope.get(node.func.id) if isinstance(node.func, ast.Name) else None
        )
        node.keywords = [
            one
            for one in node.keywords
            if one.arg or reading.value(one.value, self.scope) != {}
        ]
        if name := _got(node):
            return ast.Name(str(reading.value(name, self.scope)))
        if isinstance(function, type) and _is_of_spec(function, self.scope):
            said = _described(function)
            word = _word(function) if said else UNKNOWN
            self.made[word] = said
            return ast.Name(word)
        if not isinstance(function, FunctionType) or not _is_of_spec(
            function, self.scope
        ):
            return self.generic_visit(node)
        returned, body = _returned(function)
        bound = _bound(function, node) if body and self.deepest else None
        if returned is None or bound is None:
            if found := _inside(node, self.scope):
                return self.visit(found)
            self.made[UNKNOWN] = _described(function)
            return ast.Name(UNKNOWN)
        self.deepest -= 1
        inside = self.visit(_Substituted(bound).visit(copy.deepcopy(returned)))
        self.deepest += 1
        return inside


class _Substituted(ast.NodeTransformer):
    """Puts arguments in place of parameters."""

    def __init__(self, bound: Bound):
        self.bound = bound

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = self.bound.get(node.id)
        return copy.deepcopy(found) if isinstance(found, ast.expr) else node

    def visit_Starred(self, node: ast.Starred) -> Any:
        node = self.generic_visit(node)  # type: ignore[assignment]
        return node.value.elts if isinstance(node.value, ast.Tuple) else node

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        for key, value in zip(node.keys, node.values, strict=True):
            options = (
                self.bound.get(value.id)
                if isinstance(value, ast.Name) and key is None
                else None
            )
            if isinstance(options, list):
                pairs += [(ast.Constant(one.arg), one.value) for one in options]
            else:
                pairs.append((key, value))
        return self.generic_visit(
            ast.Dict([key for key, _ in pairs], [value for _, value in pairs])
        )

    def visit_Call(self, node: ast.Call) -> ast.AST:
        keywords: list[ast.keyword] = []
        for one in node.keywords:
            options = (
                self.bound.get(one.value.id)
                if isinstance(one.value, ast.Name) and one.arg is None
                else None
            )
            keywords += options if isinstance(options, list) else [one]
        node.keywords = keywords
        self.generic_visit(node)
        known = [
            one
            for one in node.keywords
            if one.arg or UNKNOWN not in ast.unparse(one.value)
        ]
        # `Config(…)` says as much as `Config(**… | …)`
        if len(known) < len(node.keywords):
            node.args, node.keywords = [*node.args, ast.Name(UNKNOWN)], known
        return node


How = Callable[[_Place, ast.AST], Judged | None]


def _defaults(function: habits.Function | ast.Lambda) -> dict[str, ast.expr]:
    """The default of each parameter that has one."""
    named = [*function.args.posonlyargs, *function.args.args]
    found = dict(zip(reversed(named), reversed(function.args.defaults), strict=False))
    found |= {
        one: it
        for one, it in zip(
            function.args.kwonlyargs, function.args.kw_defaults, strict=True
        )
        if it
    }
    return {one.arg: default for one, default in found.items()}


def _calls(node: ast.AST) -> list[ast.Call]:
    return [one for one in ast.walk(node) if isinstance(one, ast.Call)]


def _asserted(call: ast.Call) -> ast.Call | None:
    """The call that a check makes by itself."""
    function, first = ASSERTS.get(ast.unparse(call.func), (0, 0))
    has_it = first and len(call.args) > function
    return ast.Call(call.args[function], call.args[first:], []) if has_it else None


def _got(call: ast.Call) -> ast.expr | None:
    """Of `getattr(kata, name)`, the name."""
    arguments = call.args if ast.unparse(call.func) == "getattr" else []
    return (
        arguments[1]
        if len(arguments) == 2 and ast.unparse(arguments[0]) == "kata"
        else None
    )


def _inside(call: ast.Call, scope: Scope) -> ast.Call | None:
    """The first call of the code under test in a function of the spec file, which gets
    that code or is handed on.
    """
    named = [
        scope.get(one.id) if isinstance(one, ast.Name) else None
        for one in [call.func, *call.args]
    ]
    gets_it = any(ast.unparse(one).partition(".")[0] == "kata" for one in call.args)
    for place, function in enumerate(named):
        if isinstance(function, FunctionType) and _is_of_spec(function, scope):
            bound = {} if place else _bound(function, call)
            if bound is not None and (
                gets_it or "kata" in function.__code__.co_freevars
            ):
                if made := _called_in(function, bound):
                    return made
    return None


def _called_in(function: FunctionType, bound: Bound) -> ast.Call | None:
    """The first call of the code under test in a function, with `…` for what only the
    function knows.
    """
    definition = reading.definition(
        function.__code__.co_filename, function.__code__.co_firstlineno
    )
    for one in _calls(definition) if definition else []:
        call = _Substituted(bound).visit(copy.deepcopy(_asserted(one) or one))
        if inherited.is_of_kata(call):
            own = set(function.__code__.co_varnames) - {
                "kata",
                *_names([*bound.values()]),
            }
            return _Substituted(dict.fromkeys(own, ast.Name(UNKNOWN))).visit(call)
    return None


def _returned(function: FunctionType) -> tuple[ast.expr | None, ast.AST | None]:
    """What a function returns at its end, and the function if it does nothing else."""
    definition = reading.definition(
        function.__code__.co_filename, function.__code__.co_firstlineno
    )
    if not isinstance(definition, ast.FunctionDef):
        return None, None
    body = [
        one
        for one in definition.body
        if not isinstance(one, (ast.Import, ast.ImportFrom))
    ]
    body = (
        body[1:]
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
        else body
    )
    last = body[-1] if body else None
    returned = last.value if isinstance(last, ast.Return) else None
    return returned, definition if len(
        body
    ) == 1 and not definition.decorator_list else None


def _bound(function: FunctionType, call: ast.Call) -> Bound | None:
    """Each parameter's argument, as it is written; None where that cannot be told."""
    definition = reading.definition(
        function.__code__.co_filename, function.__code__.co_firstlineno
    )
    if definition is None or any(
        one.arg is None for one in call.keywords if definition.args.kwarg is None
    ):
        return None
    names, rest = (
        [one.arg for one in [*definition.args.posonlyargs, *definition.args.args]],
        call.args,
    )
    if any(isinstance(one, ast.Starred) for one in rest[: len(names)]):
        return None
    bound: Bound = {**_defaults(definition), **dict(zip(names, rest, strict=False))}
    if definition.args.vararg:
        bound[definition.args.vararg.arg] = _tuple(rest[len(names) :])
    named = {*names, *(one.arg for one in definition.args.kwonlyargs)}
    bound |= {one.arg: one.value for one in call.keywords if one.arg in named}
    if definition.args.kwarg:
        bound[definition.args.kwarg.arg] = [
            one for one in call.keywords if one.arg not in named
        ]
    return bound if named <= bound.keys() else None


def _tuple(parts: list[ast.expr]) -> ast.expr:
    alone = parts[0] if len(parts) == 1 else None
    return (
        alone.value if isinstance(alone, ast.Starred) else ast.Tuple(parts, ast.Load())
    )


def _names(node: Any) -> list[str]:
    """The names in an expression, or in several, in order, but those of its own loops
    and functions.
    """
    return [name for name in dict.fromkeys(_free(node)) if name not in ("kata", "self")]


def _free(node: Any) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    parts = node if isinstance(node, list) else [*ast.iter_child_nodes(node)]
    own = (
        {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
        if isinstance(node, ast.Lambda)
        else set()
    )
    own |= {
        name for loop in getattr(node, "generators", []) for name in _free(loop.target)
    }
    return [name for part in parts for name in _free(part) if name not in own]


def _is_of_spec(thing: Any, scope: Scope) -> bool:
    """Tell if a class or a function is defined in the spec file, or where that inherits
    the spec from.
    """
    module = str(getattr(thing, "__module__", ""))
    return module == scope.get("__name__") or module.rpartition(".")[2].startswith(
        "test_"
    )


def _word(kind: type) -> str:
    """What to call an object of a class of the spec file."""
    words = {
        torch.nn.Module: "model",
        torch.utils.data.Dataset: "dataset",
        torch.optim.Optimizer: "optimizer",
    }
    return next(
        (word for base, word in words.items() if issubclass(kind, base)), "stand_in"
    )


def _value(value: Any, scope: Scope) -> str:
    """A value in a few words; empty for what is not worth showing."""
    kind = type(value)
    if isinstance(value, FunctionType) and _is_of_spec(value, scope):
        returned, body = _returned(value)
        arguments = body and ast.unparse(body.args)  # type: ignore[attr-defined]
        said = (
            f"lambda {arguments}: {ast.unparse(returned)}" if body and returned else ""
        )
        return said if len(said) <= LONGEST else ""
    if _is_of_spec(kind, scope) and (
        isinstance(value, torch.nn.Module) or kind.__repr__ is object.__repr__
    ):
        said = _described(kind)
        has_length = isinstance(value, torch.utils.data.Dataset) and hasattr(
            kind, "__len__"
        )
        return f"{said}, with len {len(value)}" if said and has_length else said
    if isinstance(value, torch.nn.Module):
        return kind.__name__
    if isinstance(value, Path):  # below a folder that has another name each time
        return (
            "a folder"
            if value.is_dir()
            else "a file"
            if value.is_file()
            else "a path where nothing is"
        )
    if inspect.isgenerator(value):
        return "a generator"
    if isinstance(value, (torch.Generator, np.random.Generator)):
        return "a generator of random numbers"
    if callable(value) or inspect.ismodule(value):
        return ""
    if isinstance(value, torch.optim.Optimizer):
        return (
            f"{kind.__name__} with lr "
            f"{', '.join(str(group['lr']) for group in value.param_groups)}"
        )
    few = _few(value)
    if few is not None:
        return (
            str(_numbers(few))
            if kind is list
            else f"{check.describe(value)} {_numbers(few)}"
        )
    if check.is_table(value):
        return f"{check.describe(value)}\n{value.iloc[:6, :6]}"
    said = check.describe(value)
    if isinstance(value, (list, tuple)) and "tensor(" in said and " … " in said:
        return (
            f"{kind.__name__} of {len(value)}, the first a {check.describe(value[0])}"
        )
    return re.sub(r"<[\w.]*\b(\w+) object at 0x\w+>", r"\1", said)


def _few(value: Any) -> np.ndarray | None:
    """The numbers of a small tensor or array, or of a short list of floats."""
    if (
        isinstance(value, torch.Tensor)
        and value.device.type == "cpu"
        and value.numel() <= check.FEW
    ):
        return np.array(
            (value.double() if value.is_floating_point() else value).tolist()
        )
    if type(value) is list and all(type(one) is float for one in value):
        value = np.array(value)
    is_small = (
        isinstance(value, np.ndarray)
        and value.size <= check.FEW
        and value.dtype.kind in "biuf"
    )
    return value if is_small else None


def _numbers(value: np.ndarray) -> Any:
    """The numbers in nested lists, with four digits, or with as many as tell
    them apart.
    """
    if value.dtype.kind != "f":
        return value.tolist()
    for digits in range(4, 18):
        shown = np.array([float(f"{one:.{digits}g}") for one in value.flat]).reshape(
            value.shape
        )
        if len(np.unique(shown)) == len(np.unique(value)):
            break
    return shown.tolist()


def _described(thing: type | FunctionType) -> str:
    """The first sentence of the docstring, or what a class inherits from."""
    said = " ".join((thing.__doc__ or "").split()).partition(". ")[0].removesuffix(".")
    bases = thing.__mro__[1:-1] if isinstance(thing, type) else ()
    return (
        said[:1].lower() + said[1:]
        if said
        else f"a {bases[0].__name__}"
        if bases
        else ""
    )
