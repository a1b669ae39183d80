"""Name the cause of a failure: from its error, the line that raised it and the values
of the names there.

Each public function is one of `grader.specs.sources`, which says when it is asked.
"""

import ast
import functools
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
from torch import Tensor, nn

from grader.course.catalogue import Kata
from grader.course.description import Exercise
from grader.failure import LIKE, MEANS, Row
from grader.specs import check, inherited, likeness, reading
from grader.specs.reading import Place, Scope

Rows = list[Row]

UNREADY = re.compile(
    r"before Module.__init__\(\) call|no attribute "
    r"'_\w*(hooks|modules|parameters|buffers)\w*'"
)
DTYPES = re.compile(r"\bdtypes?\b|\bscalar type\b")
TWICE = "backward through the graph a second time"
# what the shapes do not explain
STRIDED = "is not compatible with input tensor's size and stride"
ARGUMENTS = re.compile(r"\barguments?\b|invalid combination")
SHAPES = re.compile(
    r"\b(sizes?|shapes?|dimensions?|dims?|broadcast|core dimension)\b|\bmat[12]\b",
    re.IGNORECASE,
)
UNCALLED = re.compile(
    r"('|non-iterable )(builtin_function_or_method|method|function)\b(?!.* attribute "
    r"'scalar')"
)
UNPACKED = re.compile(
    r"(too many|not enough) values to unpack|cannot unpack non-iterable (?!NoneType)"
)
COUNTED = re.compile(r"^'int' object (has no|is not)|non-iterable int")
UNCHANGED = set(  # methods and functions that hand on the numbers that they get
    "detach clone cpu numpy tolist item to float double long int bool astype "
    "contiguous copy flatten reshape "
    "view squeeze unsqueeze permute transpose tensor as_tensor from_numpy array "
    "asarray stack cat concatenate get "
    "data".split()
)
# of overloads, which are shown in short
UNTOLD = ("out", "names", "layout", "pin_memory")
LAYOUTS = {  # of functions whose own errors say sizes only
    "cross_entropy": (
        "classes in dimension 1: (N, C) and targets (N,), or (N, C, T) and targets "
        "(N, T)"
    ),
    "nll_loss": (
        "classes in dimension 1: (N, C) and targets (N,), or (N, C, T) and targets "
        "(N, T)"
    ),
}


@dataclass(frozen=True)
class Case:
    """A spec that failed, and what is known of it."""

    error: BaseException
    module: ModuleType  # the code under test
    kata: Kata
    exercise: Exercise
    given: Mapping[str, Any]  # the values of the names in the call that was judged
    spec_files: tuple[str, ...]
    asks: str = ""  # what the spec asks for, in words

    @functools.cached_property
    def places(self) -> list[Place]:
        return reading.places(self.error)

    @property
    def own(self) -> list[Place]:
        """The lines of the code under test."""
        return [place for place in self.places if place.file == self.module.__file__]

    @property
    def specs(self) -> list[Place]:
        return [
            place
            for place in self.places
            if place.file in (*self.spec_files, check.__file__)
        ]

    @property
    def line(self) -> tuple[ast.AST | None, Scope]:
        """What the code under test was computing, unless it raised the error itself."""
        node, scope = (
            (self.own[-1].expression(), self.own[-1].scope) if self.own else (None, {})
        )
        return None if isinstance(node, ast.Raise) else node, scope

    @property
    def sides(self) -> tuple[Any, Any] | None:
        """What was returned and what was expected, where the spec compares the one with
        the other as it is.
        """
        if not isinstance(self.error, check.Mismatch) or not self.error.sides:
            return None
        place = next(
            (one for one in reversed(self.places) if one.file != check.__file__), None
        )
        node = place.expression() if place else None
        is_changed = (
            place
            and isinstance(node, ast.Call)
            and node.args
            and not _is_plain(node.args[0], place)
        )
        return None if is_changed else self.error.sides


def _is_plain(node: ast.AST, place: Place, depth: int = 5) -> bool:
    """Tell if a spec's expression hands on what the code under test returned, and
    computes nothing from it.
    """
    match node:
        case ast.Name(id=name) if depth and (made := next(place.origins(name), None)):
            return _is_plain(made, place, depth - 1)
        case (
            ast.Attribute(value=part)
            | ast.Subscript(value=part)
            | ast.ListComp(elt=part)
        ):
            return _is_plain(part, place, depth)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return all(_is_plain(part, place, depth) for part in parts)
        case ast.Call(
            func=ast.Attribute(attr="grad") | ast.Attribute(value=ast.Name(id="kata"))
        ):
            return True  # a gradient is the code's, whatever was summed for it
        case ast.Call(func=ast.Attribute(value=owner, attr=name), args=args):
            function = reading.value(node.func, place.scope)
            if name in UNCHANGED:
                return all(_is_plain(part, place, depth) for part in (owner, *args))
            return not (
                hasattr(Tensor, name)
                if function is reading.MISSING
                else _is_library(function)
            )
        case ast.BinOp(left=left, right=right):
            return any(
                _is_theirs(reading.value(side, place.scope)) for side in (left, right)
            )
    return not isinstance(node, ast.UnaryOp)


def _is_theirs(held: Any) -> bool:
    """Tell if an operator of this object is code under test, as TinyTorch's are."""
    kind = held.kind if isinstance(held, reading.Made) else type(held)
    return kind.__module__.startswith("kata_")


# Wrong answers.


def handed_back(case: Case) -> Rows:
    """What was given came back as the result."""
    got = (
        case.error.sides[0]
        if isinstance(case.error, check.Mismatch) and case.error.sides
        else None
    )
    if isinstance(got, (Tensor, np.ndarray)) and math.prod(got.shape) != 1:
        for name, value in case.given.items():
            if value is got:
                return [(MEANS, f"the result is `{name}` itself")]
            if isinstance(value, type(got)) and likeness.same(got, value):
                return [(MEANS, f"the result is what was given as `{name}`")]
    return []


# `return` is missing.


def nothing_returned(case: Case) -> Iterator[Row]:
    """A None was compared, or raised an error, that comes from a function
    without `return`.
    """
    is_wrong = isinstance(case.error, check.Mismatch)
    said = (
        [text for _, text in case.error.rows]
        if isinstance(case.error, check.Mismatch)
        else [str(case.error)]
    )
    if any(
        re.search(r"\bNone\b|\bNoneType\b" if is_wrong else "NoneType", text)
        for text in said
    ):
        places = case.specs if is_wrong else case.own or case.specs
        if cause := _nothing_returned(places, case.module, by_comparison=is_wrong):
            yield LIKE, cause


def _nothing_returned(
    places: list[Place], module: ModuleType, *, by_comparison: bool
) -> str:
    """Name the function of the code under test that made a None at one of these lines,
    if it has no `return` there.

    Args:
        by_comparison: a comparison found the None; otherwise an error did.
    """
    for place in reversed(places):
        node = place.expression()
        if node is None:
            continue
        for call, is_none in _calls_behind(node, place, by_comparison):
            for function in _functions(call, place.scope, module):
                if cause := _without_return(function, is_none):
                    return cause
    return ""


def _calls_behind(
    node: ast.AST, place: Place, by_comparison: bool
) -> Iterator[tuple[ast.Call, bool]]:
    """The calls in an expression, and those from which its names got their value; each
    with whether that is None.

    An attribute of a result was compared if there is one, and not the result. In an
    error it is the other way round.
    """
    parts = list(ast.walk(node))
    owners = {
        id(part.value)
        for part in parts
        if isinstance(part, (ast.Attribute, ast.Subscript))
    }
    for part in parts:
        if isinstance(part, ast.Call) and not (by_comparison and id(part) in owners):
            is_assigned = isinstance(node, ast.Assign) and node.value is part
            yield part, by_comparison or is_assigned or id(part) in owners
        elif (
            isinstance(part, ast.Name)
            and place.frame.f_locals.get(part.id, part) is None
        ):
            for made in place.origins(part.id):
                sides = (
                    [(made.body, False), (made.orelse, False)]
                    if isinstance(made, ast.IfExp)
                    else [(made, True)]
                )
                yield from (
                    (side, is_none)
                    for side, is_none in sides
                    if isinstance(side, ast.Call)
                )


def _functions(
    call: ast.Call, scope: Scope, module: ModuleType
) -> Iterator[FunctionType]:
    """The function of the code under test that a call runs, also if the specs wrap it
    in a lambda or a method.
    """
    function = reading.called(reading.value(call.func, scope))
    if function is None:
        return
    if function.__code__.co_filename == module.__file__:
        yield function
    elif function.__name__ == "<lambda>":
        wrapper = reading.definition(
            function.__code__.co_filename, function.__code__.co_firstlineno
        )
        if isinstance(wrapper, ast.Lambda) and isinstance(wrapper.body, ast.Call):
            yield from _functions(wrapper.body, reading.scope_of(function), module)
    elif inherited.is_handed_on(call):
        yield from _functions(inherited.resolved(call, scope), {"kata": module}, module)


def _without_return(function: FunctionType, is_none: bool) -> str:
    """Say that a function lacks a `return`; empty if it returns a value on every way,
    or is to return None.

    Args:
        is_none: the function has returned None. Otherwise it may have, and some
            `return` acquits it.
    """
    node = reading.definition(
        function.__code__.co_filename, function.__code__.co_firstlineno
    )
    if not isinstance(node, ast.FunctionDef) or inspect.isgeneratorfunction(function):
        return ""
    if isinstance(node.returns, ast.Constant) and node.returns.value in (None, "None"):
        return ""
    returns = [
        part
        for part in _own_nodes(node)
        if isinstance(part, ast.Return) and part.value is not None
    ]
    if not returns:
        return f"nothing was returned: `return` is missing in {node.name}"
    if is_none and _may_end(node.body):
        return (
            f"nothing was returned: one way through {node.name} ends without `return`"
        )
    return ""


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without those of functions inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, (ast.FunctionDef, ast.Lambda, ast.ClassDef)):
            yield child
            yield from _own_nodes(child)


def _may_end(body: list[ast.stmt]) -> bool:
    """Tell if a block can end without `return` or `raise`."""
    match body[-1] if body else None:
        case ast.Return(value=value):
            return value is None
        case ast.Raise():
            return False
        case ast.If(body=yes, orelse=no):
            return _may_end(yes) or _may_end(no)
        case ast.With(body=inner):
            return _may_end(inner)
        case ast.Try(body=inner, handlers=handlers, orelse=rest, finalbody=last):
            ways = [rest or inner, *(handler.body for handler in handlers)]
            return any(map(_may_end, ways)) and (not last or _may_end(last))
        case ast.While(test=ast.Constant(value=True)) as loop:
            return any(isinstance(part, ast.Break) for part in ast.walk(loop))
        case ast.Match(cases=cases):
            open_ended = not (
                isinstance(cases[-1].pattern, ast.MatchAs)
                and cases[-1].pattern.pattern is None
            )
            return open_ended or any(_may_end(case.body) for case in cases)
    return True


# Modules, keys, rules and results.


def before_init(case: Case) -> Iterator[Row]:
    """A module that is used before `super().__init__()`."""
    for place in reversed(case.places if UNREADY.search(str(case.error)) else []):
        made = place.frame.f_locals.get("self")
        if isinstance(made, nn.Module) and "_parameters" not in vars(made):
            yield (
                LIKE,
                (
                    "`super().__init__()` has not run: make it the first line of "
                    f"{type(made).__name__}.__init__"
                ),
            )
            return


def no_rule(case: Case) -> Iterator[Row]:
    """A gradient rule that is looked up by the name of an operation that the code under
    test announces.
    """
    if not isinstance(case.error, KeyError):
        return
    announced = {
        part.value
        for call in ast.walk(reading.tree(case.module.__file__ or ""))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("record")
        for part in call.args
        if isinstance(part, ast.Constant)
    }
    name = case.error.args[0] if case.error.args else None
    if isinstance(name, str) and name in announced:
        yield (
            LIKE,
            (
                f'no gradient rule for "{name}": put @backward_rule("{name}") above '
                "its rule"
            ),
        )


def no_key(case: Case) -> Rows:
    """The keys of the dict that lacks one, and the key that looks like it."""
    for place in (
        (case.own or case.specs)[-1:] if isinstance(case.error, KeyError) else []
    ):
        node = place.expression() or ast.Module([], [])
        for part in [node] if isinstance(node, ast.Subscript) else ast.walk(node):
            match part:
                case ast.Subscript(value=owner, slice=asked) | ast.Call(
                    ast.Attribute(owner, "pop"), [asked]
                ):
                    key = case.error.args[0]
                    held, known = (
                        reading.value(owner, place.scope),
                        reading.value(asked, place.scope),
                    )
                    is_asked = (
                        part is node
                        or known is key
                        or (type(known) is str and known == key)
                    )
                    if isinstance(held, dict) and is_asked and key not in held:
                        return _lacking(
                            held, key, ast.unparse(owner), is_own=bool(case.own)
                        )
    return []


def _lacking(held: dict[Any, Any], key: object, name: str, *, is_own: bool) -> Rows:
    *kinds, asked = [
        "int" if isinstance(one, Integral) else type(one).__name__
        for one in (*held, key)
    ]
    if kinds and asked not in kinds:
        return [
            (
                MEANS,
                (
                    f"a key of type {asked} is asked for, and those of `{name}` are "
                    f"{' or '.join(sorted({*kinds}))}"
                ),
            )
        ]
    rows = check.key_rows(held, [key], complete=False)
    # nobody expects the code's own key
    return [row for row in rows if not is_own or row[0] in ("keys", LIKE)]


def second_backward(case: Case) -> Iterator[Row]:
    if TWICE in str(case.error):
        ways = (
            "two calls for one result, or for two that share a part, such as a state "
            "handed on without detach()"
        )
        yield LIKE, f"one graph gone back through twice, freed the first time: {ways}"


def taken_apart(case: Case) -> Rows:
    """Several results are expected of a call of the code under test, and another number
    was returned.
    """
    if (
        case.own
        or not isinstance(case.error, (TypeError, ValueError))
        or not UNPACKED.search(str(case.error))
    ):
        return []
    for place in case.specs[-1:]:
        for node in reading.nodes(place.file, place.line):
            if isinstance(node, ast.Assign) and node.lineno <= place.line <= (
                node.end_lineno or 0
            ):
                made = [
                    node.value,
                    *(
                        place.origins(node.value.id)
                        if isinstance(node.value, ast.Name)
                        else []
                    ),
                ]
                is_theirs = any(
                    list(_functions(one, place.scope, case.module))
                    for one in made
                    if isinstance(one, ast.Call)
                )
                if isinstance(target := node.targets[0], ast.Tuple) and is_theirs:
                    names = ast.unparse(target).strip("()")
                    return [
                        (
                            LIKE,
                            (
                                f"{len(target.elts)} results are expected, as in "
                                f"`return {names}`"
                            ),
                        )
                    ]
    return []


def counter(case: Case) -> Iterator[Row]:
    """The number of a round, taken for what the loop goes over."""
    node, _ = case.line
    if node is None or not COUNTED.search(str(case.error)):
        return
    for loop in reading.nodes(case.own[-1].file, case.own[-1].line):
        match loop:
            case ast.For(
                target=ast.Tuple(elts=[ast.Name(id=name), *_]),
                iter=ast.Call(func=ast.Name(id="enumerate")),
            ):
                is_inside = loop.lineno <= case.own[-1].line <= (loop.end_lineno or 0)
                if is_inside and any(
                    isinstance(part, ast.Name) and part.id == name
                    for part in ast.walk(node)
                ):
                    yield (
                        MEANS,
                        f"`{name}` is enumerate's counter, and the item comes second",
                    )


# Calls of PyTorch and NumPy.


def not_called(case: Case) -> Rows:
    """A function or method without its brackets."""
    node, scope = case.line
    if node is None or not UNCALLED.search(str(case.error)):
        return []
    called = {id(part.func) for part in ast.walk(node) if isinstance(part, ast.Call)}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and id(part) not in called:
            found = reading.value(part, scope)
            if found is not reading.MISSING and inspect.isroutine(found):
                return [
                    (
                        LIKE,
                        (
                            f"`{ast.unparse(part)}` lacks its brackets: "
                            f"`{ast.unparse(part)}()` calls it"
                        ),
                    )
                ]
    return [(LIKE, "a function or method without its brackets: `()` calls it")]


def arguments(case: Case) -> Rows:
    """The arguments that a function of PyTorch or NumPy takes, and what to put into one
    tuple or list.
    """
    node, scope = case.line
    said = str(case.error)
    if (
        not isinstance(case.error, TypeError)
        or not isinstance(node, ast.Call)
        or "NoneType" in said
    ):
        return []
    function = reading.value(node.func, scope)
    if not _is_library(function):
        return []
    name = ast.unparse(node.func)
    parameters = _parameters(function, named="keyword" in said)
    if not parameters or (
        "takes 1 positional" in said and parameters[0].startswith("*")
    ):
        return []
    overloads = [
        re.findall(r"(\*|\w+)(?: =[^,]*)?(?:, |$)", one)
        for one in re.findall(r"\n \* \((.*)\)", said)
    ]
    ways = [[one for one in way if one not in UNTOLD] for way in overloads] or [
        parameters
    ]
    calls = [f"{name}({', '.join(way).removesuffix(', *')})" for way in ways]
    found = [("takes", "\n".join(dict.fromkeys(calls)))]
    slip = ""
    first = parameters[0]
    given = [reading.value(argument, scope) for argument in node.args]
    if (
        first in ("size", "shape")
        and len(given) > 1
        and all(type(size) is int for size in given[:2])
    ):
        sizes = [
            ast.unparse(part)
            for part, size in zip(node.args, given, strict=True)
            if type(size) is int
        ]
        slip = f"the sizes are not in one tuple: {name}(({', '.join(sizes)}), …)"
    elif (
        first in ("tensors", "arrays")
        and given
        and check.shape_of(given[0]) is not None
    ):
        slip = (
            f"the {first} are not in one list: {name}([{ast.unparse(node.args[0])}, …])"
        )
    if slip:
        return [*found, (LIKE, slip)]
    return found if ARGUMENTS.search(said) else []


def _is_library(function: Any) -> bool:
    module = getattr(function, "__module__", None) or ""
    is_builtin = isinstance(
        function, BuiltinFunctionType
    ) or inspect.ismethoddescriptor(function)
    return module.partition(".")[0] in ("torch", "numpy") or (is_builtin and not module)


def _parameters(function: Any, *, named: bool) -> list[str]:
    """The parameters of a function, from its signature or the first line of
    its documentation.

    Args:
        named: those that are given by name alone, too.
    """
    try:
        known = inspect.signature(function).parameters.values()
        # which these are, nobody says
        if named and any(p.kind == p.VAR_KEYWORD for p in known):
            return []
        kinds = (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            *([inspect.Parameter.KEYWORD_ONLY] if named else []),
        )
        told = [
            str(p.replace(annotation=p.empty))
            for p in known
            if p.kind in kinds and p.name != "self"
        ]
        return told + ["…"] * any(
            p.kind == p.KEYWORD_ONLY and p.kind not in kinds for p in known
        )
    except (TypeError, ValueError):
        line = (inspect.getdoc(function) or "").strip().partition("\n")[0]
    inside = re.match(r"[\w.]+\(([^()]*)", line)
    names = inside[1].replace("\\", "").split(",") if inside else []
    if not named and " *" in names:
        names = [*names[: names.index(" *")], "…"]
    return [name.strip() for name in names if name.strip(" *")]


def operands(case: Case) -> Rows:
    """The dtypes or the shapes of the tensors at the line."""
    node, scope = case.line
    said = str(case.error)
    if (
        node is None
        or not isinstance(case.error, (RuntimeError, ValueError, IndexError))
        or STRIDED in said
    ):
        return []
    if DTYPES.search(said):
        dtypes = {
            name: dtype
            for name, held in _operands(node, scope)
            if (dtype := _dtype(held)) != "None"
        }
        return _operand_rows("dtypes", dtypes if len(set(dtypes.values())) > 1 else {})
    return _shapes(node, scope) if SHAPES.search(said) else []


def _shapes(node: ast.AST, scope: Scope) -> Rows:
    """The shapes of the tensors at the line, and which of their sizes do not fit."""
    fact = _misfit(node, scope)
    rows = _operand_rows(
        "shapes", {name: _sizes(held) for name, held in _operands(node, scope)}
    )
    return [*rows, *([(MEANS, fact)] if fact else [])]


def _operand_rows(label: str, said: dict[str, str]) -> Rows:
    return (
        [(label, "\n".join(f"{name}: {text}" for name, text in said.items()))]
        if said
        else []
    )


def _operands(node: ast.AST, scope: Scope) -> Iterator[tuple[str, Any]]:
    if isinstance(node, (ast.Name, ast.Attribute)):
        held = reading.value(node, scope)
        if check.shape_of(held) is not None or _is_layer(held):
            yield ast.unparse(node), held
            return
    for child in ast.iter_child_nodes(node):
        yield from _operands(child, scope)


def _is_layer(held: Any) -> bool:
    """Tell if this is one of PyTorch's own layers that is shown in a line:
    `Linear(in_features=4, out_features=3)`.
    """
    return (
        isinstance(held, nn.Module)
        and type(held).__module__.startswith("torch.nn")
        and not list(held.children())
    )


def _dtype(held: Any) -> str:
    if isinstance(held, nn.Module):
        held = next(held.parameters(), None)
    return str(getattr(held, "dtype", None)).removeprefix("torch.")


def _sizes(held: Any) -> str:
    return str(held) if isinstance(held, nn.Module) else str(check.shape_of(held))


def _misfit(node: ast.AST, scope: Scope) -> str:
    """The reason why one operation's operands do not fit, in words."""
    match node:
        case ast.Call(
            func=ast.Name(id=name) | ast.Attribute(attr=name), args=[scores, classes]
        ) if name in LAYOUTS:
            a, b = (
                check.shape_of(reading.value(side, scope)) for side in (scores, classes)
            )
            fits = a is not None and b is not None and (*a[:1], *a[2:]) == b
            return "" if fits else f"another layout: {name} takes the {LAYOUTS[name]}"
        case ast.BinOp(left=left, right=right, op=operator):
            a, b = (
                check.shape_of(reading.value(side, scope)) for side in (left, right)
            )
            if a is None or b is None:
                return ""
            names = ast.unparse(left), ast.unparse(right)
            return (
                _product(*names, a, b)
                if isinstance(operator, ast.MatMult)
                else _broadcast(a, b)
            )
    return ""


def _product(left: str, right: str, a: tuple[int, ...], b: tuple[int, ...]) -> str:
    if len(a) < 2 or len(b) < 2 or a[-1] == b[-2]:
        return ""
    needed = (
        f"in {left} @ {right} the last size of {left}, {a[-1]}, must equal the last "
        f"but one of {right}, {b[-2]}"
    )
    if a[-1] == b[-1]:
        return f"{needed}: a transpose of {right} would fit"
    return f"{needed}: a transpose of {left} would fit" if a[-2] == b[-2] else needed


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    for place in range(1, min(len(a), len(b)) + 1):
        if a[-place] != b[-place] and 1 not in (a[-place], b[-place]):
            long, short = sorted((a, b), key=len, reverse=True)
            dropped = [
                at for at in range(len(long)) if long[:at] + long[at + 1 :] == short
            ]
            if dropped:
                return (
                    f"shapes are aligned at their last dimensions, and {short} is "
                    f"{long} without dimension {dropped[0]}"
                )
            return (
                f"sizes {a[-place]} and {b[-place]} at dimension −{place} do not "
                "broadcast: neither is 1"
            )
    return ""
