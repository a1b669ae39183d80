"""Calls that were followed, written out so that nothing on which they depend is hidden: arguments, and how `self` was
made."""

import ast
import re
from collections.abc import Iterable, Iterator

from grader.course.description import Exercise
from grader.followed import Call, Value
from grader.practice import planting
from grader.practice.operators import Source

LONGEST = 150  # characters
FEW = 6  # numbers of a tensor that are written out
RANDOM = {"float32": "", "float64": ", dtype=torch.float64", "float16": ", dtype=torch.float16"}
MADE = "_made"  # the object whose method is called
TORCH = re.compile(r"(?:torch\.)?(?:float|int|uint|bool|bfloat|complex)\d*")


def calls(source: Source, exercise: Exercise, followed: Iterable[list[Call]]) -> list[str]:
    """Expressions that call the exercise as these calls did, each once; what cannot be written is left out.

    Args:
        followed: the calls of each spec, in their order. Those of a method come with its class's `__init__`.
    """
    owner, _, wanted = exercise.name.partition(".")
    functions = {node.lineno: node for node in ast.walk(source.tree) if isinstance(node, ast.FunctionDef)}
    span = planting.span(source, exercise)
    found = dict[str, None]()
    for one_spec in followed:
        made = ""
        for call in one_spec:
            node = next((functions[line] for line in range(call.line, call.line + 9) if line in functions), None)
            given = _arguments(call, node)
            if call.name == "__init__":
                made = f"{owner}({given})" if given is not None else ""
            method = "self" in call.arguments
            if given is None or call.line not in span or (method and not made) or (wanted and call.name != wanted):
                continue
            name = "" if call.name in ("forward", "__call__") else f".{call.name}"
            text = made if call.name == "__init__" else f"{made}{name}({given})" if method else f"{owner}({given})"
            if len(text) <= LONGEST:
                found[text] = None
    return [*found]


def once(call: str) -> tuple[dict[str, str], str]:
    """The object of a call and its arguments, by names, and the call with these names."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    owner = node.func.value if isinstance(node.func, ast.Attribute) else node.func
    given = {MADE: ast.unparse(owner)} if isinstance(owner, ast.Call) else {}
    function = ast.unparse(node.func).replace(given.get(MADE, MADE), MADE, 1)
    parts = []
    for place, part in enumerate([*node.args, *node.keywords]):
        given[f"_{place}"] = ast.unparse(part.value if isinstance(part, ast.keyword) else part)
        parts.append(f"{part.arg}=_{place}" if isinstance(part, ast.keyword) else f"_{place}")
    return given, f"{function}({', '.join(parts)})"


def _arguments(call: Call, node: ast.FunctionDef | None) -> str | None:
    """The arguments of a call as it would be written; None if one cannot be."""
    if node is None or node.args.vararg or node.args.kwarg or node.name != call.name:
        return None
    arguments = [*node.args.posonlyargs, *node.args.args]
    first = [*[None] * (len(arguments) - len(node.args.defaults)), *node.args.defaults]
    parts, by_name = [], False
    for place, (one, default) in enumerate([*zip(arguments, first, strict=True), *_by_name(node)]):
        if one.arg == "self":
            continue
        held = call.arguments.get(one.arg)
        if default is not None and held is not None and held.text == ast.unparse(default):
            by_name = True
            continue
        text = written(held) if held is not None else None
        if text is None:
            return None
        parts.append(f"{one.arg}={text}" if by_name or place >= len(arguments) else text)
    return ", ".join(parts)


def _by_name(node: ast.FunctionDef) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    return zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)


def written(held: Value) -> str | None:
    """An expression for a value like this one, with drawn numbers in a large tensor; None if there is none."""
    if held.shape is not None:
        return _tensor(held)
    if held.kind == "dtype" and TORCH.fullmatch(held.text):
        return f"torch.{held.text.removeprefix('torch.')}"
    try:
        ast.literal_eval(held.text)
    except (ValueError, SyntaxError):
        return None
    return held.text


def _tensor(held: Value) -> str | None:
    dtype = held.text.partition(" ")[0]
    shape = held.shape or ()
    sizes = ", ".join(map(str, shape)) if shape else "()"
    if held.kind == "ndarray":
        return f"np.random.randn({sizes})" if dtype == "float64" and shape else None
    if held.text.endswith(f"Tensor {shape}"):  # of TinyTorch
        return f"Tensor(np.random.randn({sizes}))" if shape and dtype in ("float32", "float64") else None
    if held.kind != "Tensor" or not held.text.endswith(f"tensor {shape}"):
        return None
    numbers = [number for number in held.numbers[1:-2] if not isinstance(number, str)]
    if dtype in RANDOM:
        return f"torch.randn({sizes}{RANDOM[dtype]})"
    if len(shape) == 1 and shape[0] <= FEW and len(numbers) == shape[0] and dtype in ("int64", "bool"):
        return f"torch.tensor({[bool(n) if dtype == 'bool' else int(n) for n in numbers]})"
    if dtype == "bool" and shape:
        return f"torch.rand({sizes}) < 0.5"
    if dtype == "int64" and shape and numbers and min(numbers) >= 0:
        return f"torch.randint({int(max(numbers)) + 1}, ({sizes},))"
    return None
