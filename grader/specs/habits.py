"""Say what is wrong with code at sight: a parameter that nothing reads, a result thrown
away. No line of it is run.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Set
from types import ModuleType

from grader.specs import reading

Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)

# methods that return something new: no class has one of this name that changes
# its owner
PURE = {
    "abs", "amax", "argmax", "bool", "clamp", "clone", "contiguous", "cumsum", "detach",
    "exp", "expand", "flatten",
    "flip", "log_softmax", "long", "masked_fill", "matmul", "mean", "mul", "numpy",
    "permute", "repeat",
    "reshape", "roll", "sigmoid", "softmax", "sqrt", "square", "squeeze", "sum", "tanh",
    "transpose",
    "unsqueeze", "view", "where", "astype",
}  # fmt: skip
# of a module these change the module itself
MOVES = {"to", "cpu", "cuda", "float", "double", "half"}
DRAWS = {"rand", "randn", "randint", "randperm", "multinomial", "bernoulli", "normal"}
LAYERS = re.compile(
    r"^(?:torch\.)?nn\.(?:Linear|Bilinear|Embedding|Conv\w+|\w*Norm(?:\dd)?|RNN|LSTM|"
    r"GRU|Parameter)$"
)
LOSSES = {"cross_entropy", "CrossEntropyLoss"}


def facts(definition: ast.AST, asks: str = "") -> Iterator[str]:
    """What a function or class does that no right code does. The most telling first.

    Args:
        asks: what the spec that failed asks for. Of a parameter that it does not name
            nothing is said.
    """
    yield from slips(definition)
    for function in _functions(definition):
        named = (name for name in _unread(function) if re.search(rf"\b{name}\b", asks))
        yield from (f"{function.name} never uses `{name}`" for name in named)
        yield from _undrawn(function)


def slips(definition: ast.AST) -> Iterator[str]:
    """Those that are wrong whatever is asked for."""
    for function in _functions(definition):
        nodes = [*ast.walk(function)]
        yield from _thrown_away(function, nodes)
        yield from _first_round(nodes)
        yield from _rebound(nodes)
        yield from _listed(nodes)
        yield from _made_anew(nodes) if function.name == "forward" else ()
        yield from _paired(nodes)
    yield from _softmax_twice(definition)


def _functions(definition: ast.AST) -> list[Function]:
    """The function, or the methods of the class."""
    inside = definition.body if isinstance(definition, ast.ClassDef) else [definition]
    return [node for node in inside if isinstance(node, FUNCTION)]


def definition(module: ModuleType, exercise: str, apart: Set[str]) -> ast.AST | None:
    """The code of an exercise, without that of others; None if it is written elsewhere
    or not at all.
    """
    owner, _, method = exercise.partition(".")
    if method:
        function = reading.called(
            inspect.getattr_static(getattr(module, owner), method)
        )
        if function is None or function.__code__.co_filename != module.__file__:
            return None
        return reading.definition(module.__file__, function.__code__.co_firstlineno)
    return in_tree(reading.tree(module.__file__ or ""), exercise, apart)


def in_tree(tree: ast.Module, exercise: str, apart: Set[str]) -> ast.AST | None:
    """The code of an exercise where it is defined, without that of others; None if it
    is not.
    """
    owner, _, method = exercise.partition(".")
    named = [
        node
        for node in tree.body
        if isinstance(node, (*FUNCTION, ast.ClassDef)) and node.name == owner
    ]
    if not named or not isinstance(named[-1], ast.ClassDef):
        return named[-1] if named else None
    if method:
        found = [
            node
            for node in named[-1].body
            if isinstance(node, FUNCTION) and node.name == method
        ]
        return found[-1] if found else None
    own = [
        node
        for node in named[-1].body
        if f"{owner}.{getattr(node, 'name', '')}" not in apart
    ]
    return ast.ClassDef(
        owner, named[-1].bases, named[-1].keywords, own, named[-1].decorator_list
    )


def cuts(code: ast.AST) -> Iterator[str]:
    """What takes a result out of autograd's graph."""
    found = [
        ast.unparse(node)
        for node in ast.walk(code)
        if (
            isinstance(node, ast.Call)
            and re.search(
                r"(\.(detach|item|numpy|tolist)|torch\.(tensor|no_grad))$",
                ast.unparse(node.func),
            )
        )
        or (
            isinstance(node, ast.Attribute)
            and node.attr == "data"
            and isinstance(node.ctx, ast.Load)
        )
    ]
    if found:
        yield (
            "the graph ends at "
            f"{', '.join(f'`{one}`' for one in dict.fromkeys(found[:3]))}"
        )


def _unread(function: Function) -> Iterator[str]:
    """A parameter that is read nowhere, or compared with None and then not used."""
    if (
        _is_empty(function)
        or function.name.startswith("__")
        and function.name not in ("__init__", "__call__")
    ):
        return  # what others than the author call, with all that they have
    given = [
        one.arg
        for one in (
            *function.args.posonlyargs,
            *function.args.args,
            *function.args.kwonlyargs,
        )
    ]
    compared = {
        id(part) for node in ast.walk(function) for part in _compared_with_none(node)
    }
    read = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and id(node) not in compared
    }
    for name in given:
        if (
            name not in read
            and name not in ("self", "cls", "ctx", "closure")
            and not name.startswith("_")
        ):
            yield name


def _is_empty(function: Function) -> bool:
    """Tell if the function only raises, passes or says something, as one that
    others override.
    """
    return all(
        isinstance(node, (ast.Raise, ast.Pass)) or _is_text(node)
        for node in function.body
    )


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _compared_with_none(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(
            left=left,
            ops=[ast.Is() | ast.IsNot()],
            comparators=[ast.Constant(value=None)],
        ):
            yield left


def _thrown_away(function: Function, nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        match node:
            case ast.Expr(
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr))
            ) if attr in MOVES:
                if name in _tensors(function):
                    yield (
                        f"the result of `{ast.unparse(node)}` is thrown away: a "
                        "tensor stays where it was"
                    )
            case ast.Expr(value=ast.Call(func=ast.Attribute(attr=name))) if (
                name in PURE
            ):
                yield (
                    f"the result of `{ast.unparse(node)}` is thrown away: it changes "
                    "nothing in place"
                )
            case ast.Expr(value=ast.Compare(ops=[ast.Eq()])):
                yield (
                    f"`{ast.unparse(node)}` compares, and its result is thrown away: "
                    "`=` assigns"
                )


def _tensors(function: Function) -> set[str]:
    """The names that the function says are tensors."""
    said = {
        one.arg
        for one in function.args.args
        if one.annotation and ast.unparse(one.annotation) == "Tensor"
    }
    return said | set(
        re.findall(r"isinstance\((\w+), (?:torch\.)?Tensor\)", ast.unparse(function))
    )


def _first_round(nodes: list[ast.AST]) -> Iterator[str]:
    """A loop whose last statement leaves it in any case, before a second round."""
    for loop in nodes:
        if isinstance(loop, (ast.For, ast.While)) and isinstance(
            loop.body[-1], ast.Return
        ):
            # meant so
            is_first = loop.body[:-1] == [] and isinstance(
                loop.body[-1].value, (ast.Name, ast.Attribute)
            )
            if not is_first and not any(
                isinstance(node, ast.Continue) for node in ast.walk(loop)
            ):
                yield f"the loop `{_head(loop)}` returns in its first round"


def _rebound(nodes: list[ast.AST]) -> Iterator[str]:
    """A loop's variable that is computed anew as if that changed what the loop
    goes over.
    """
    for loop in nodes:
        if not isinstance(loop, ast.For):
            continue
        names = {
            node.id for node in ast.walk(loop.target) if isinstance(node, ast.Name)
        }
        read = [
            node
            for node in ast.walk(loop)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
        ]
        for node in ast.walk(loop):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)]) if name in names:
                    is_read = any(
                        one.id == name and one.lineno > (node.end_lineno or 0)
                        for one in read
                    )
                    if not is_read:
                        yield (
                            f"`{name} = …` binds the name to a new value: what it "
                            "stood for stays as it was"
                        )


def _undrawn(function: Function) -> Iterator[str]:
    """A function that has a generator, and draws without it."""
    given = {one.arg for one in (*function.args.args, *function.args.kwonlyargs)}
    if "generator" not in given:
        return
    handed, bare = set(), []
    for node in ast.walk(function):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="torch"), attr=name),
                keywords=keywords,
            ):
                if {keyword.arg for keyword in keywords} & {"generator", None}:
                    handed.add(name)
                elif name in DRAWS:
                    bare.append(f"torch.{name} draws without the generator")
                elif name == "manual_seed":
                    bare.append(
                        "torch.manual_seed inside the function: every call draws the "
                        "same"
                    )
    yield from (
        words for words in bare if words.split()[0].removeprefix("torch.") not in handed
    )


def _listed(nodes: list[ast.AST]) -> Iterator[str]:
    """Layers in a plain list of a module."""
    for node in nodes:
        match node:
            case ast.Assign(
                targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)],
                value=ast.List() | ast.ListComp() as made,
            ):
                if any(_is_layer(part) for part in ast.walk(made)):
                    yield (
                        f"`self.{name}` is a plain list: a module knows the layers of "
                        "an nn.ModuleList alone"
                    )


def _made_anew(nodes: list[ast.AST]) -> Iterator[str]:
    """A layer with weights that is made in forward: no optimizer has seen them."""
    for node in nodes:
        if isinstance(node, ast.Call) and LAYERS.match(ast.unparse(node.func)):
            yield (
                f"`{ast.unparse(node)}` is made anew in each forward, so nothing "
                "trains its weights"
            )


def _paired(nodes: list[ast.AST]) -> Iterator[str]:
    """A choice between a pair and its first part that binds to the second
    part alone.
    """
    for node in nodes:
        match node:
            case ast.Return(
                value=ast.Tuple(elts=[first, ast.IfExp(body=second, orelse=other)])
            ) if ast.unparse(first) == ast.unparse(other):
                one, two = ast.unparse(first), ast.unparse(second)
                line = f"return {one}, {two} if … else {one}"
                yield (
                    f"`{line}` returns two values in any case: ({one}, {two}) needs "
                    "brackets"
                )


def _is_layer(node: ast.AST) -> bool:
    """Tell if this makes a layer or a parameter: `nn.Linear(2, 2)`."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).startswith("nn.")


def _softmax_twice(definition: ast.AST) -> Iterator[str]:
    for node in ast.walk(definition):
        match node:
            case ast.Call(
                func=ast.Name(id=name) | ast.Attribute(attr=name), args=[scores, *_]
            ) if name in LOSSES:
                if _ends_in_softmax(scores):
                    yield (
                        f"{name} takes scores and does the softmax itself, and here "
                        "it gets probabilities"
                    )


def _ends_in_softmax(node: ast.expr) -> bool:
    """Tell if this is a softmax, or one that was reshaped or indexed afterwards."""
    match node:
        case ast.Call(func=ast.Name(id="softmax") | ast.Attribute(attr="softmax")):
            return True
        case ast.Call(func=ast.Attribute(value=inner)) | ast.Subscript(value=inner):
            return _ends_in_softmax(inner)
    return False


def _head(loop: ast.For | ast.While) -> str:
    if isinstance(loop, ast.While):
        return f"while {ast.unparse(loop.test)}"
    return f"for {ast.unparse(loop.target)} in {ast.unparse(loop.iter)}"
