"""The field's own mutation operators: edits of a reference, each a mistake that people
make in PyTorch code.

An operator is a generator function from a source and one node of its tree to the edits
it makes there.
"""

import ast
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any


@dataclass(frozen=True)
class Edit:
    """The bytes of a source from start to end (UTF-8, as `ast` counts) become `now`."""

    operator: str
    start: int
    end: int
    now: str


class Source:
    """A module's text, its tree, and where in the text a node stands."""

    def __init__(self, text: str):
        self.data = text.encode()
        self.tree = ast.parse(text)
        self.lines = [0, *accumulate(map(len, self.data.splitlines(keepends=True)))]
        imports = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        self.imported = {
            (name.asname or name.name).partition(".")[0]
            for node in imports
            for name in node.names
        }
        self.whole_statements = {
            node.value for node in ast.walk(self.tree) if isinstance(node, ast.Expr)
        }

    def start(self, node: Any) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def end(self, node: Any) -> int:
        return self.lines[node.end_lineno - 1] + node.end_col_offset

    def at(self, line: int, column: int) -> int:
        """The place of a column that is counted in characters."""
        start = self.lines[line - 1]
        return (
            start + len(self.data[start:].decode()[:column].encode())
            if column
            else start
        )

    def text(self, start: int, end: int) -> str:
        return self.data[start:end].decode()

    def code(self, node: ast.AST) -> str:
        return self.text(self.start(node), self.end(node))

    def edited(self, edit: Edit) -> str:
        return self.text(0, edit.start) + edit.now + self.text(edit.end, len(self.data))

    def operand(self, node: ast.expr) -> str:
        """The code of an expression, in brackets if it needs them where a single
        value stood.
        """
        needs = isinstance(
            node,
            (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Lambda),
        )
        return f"({self.code(node)})" if needs else self.code(node)

    def replaced(self, operator: str, node: ast.AST, now: str) -> Edit:
        return Edit(operator, self.start(node), self.end(node), now)

    def is_namespace(self, node: ast.expr) -> bool:
        """Tell if this is `torch`, `torch.nn.functional`, `self` …: nothing that a
        value could be.
        """
        if isinstance(node, ast.Attribute):
            return self.is_namespace(node.value) and not _is_name(
                node.value, "self", "cls"
            )
        return isinstance(node, ast.Name) and node.id in self.imported | {"self", "cls"}


Operator = Callable[[Source, ast.AST], Iterator[Edit]]


def edits(source: Source, operators: Sequence[Operator]) -> Iterator[Edit]:
    """The edits of these operators to every node.

    f-strings are one node: Python 3.11 does not locate their parts.
    """
    nodes: list[ast.AST] = [source.tree]
    while nodes:
        node = nodes.pop()
        if not isinstance(node, ast.JoinedStr):
            nodes += ast.iter_child_nodes(node)
        for operator in operators:
            yield from operator(source, node)


# Calls

DIM_METHODS = set(
    "softmax log_softmax sum mean std var max min amax amin argmax argmin any all prod "
    "cumsum cumprod logsumexp norm "
    "flip transpose permute movedim swapaxes unsqueeze squeeze flatten unflatten size "
    "stack cat chunk split unbind "
    "gather scatter scatter_ scatter_add_ index_select index_add_ narrow select sort "
    "argsort topk diagonal roll".split()
)
DIM_KEYWORDS = {"dim", "dims", "axis", "dim0", "dim1", "start_dim", "end_dim"}


def another_dim(source: Source, node: ast.AST) -> Iterator[Edit]:
    """softmax(dim=-1) → softmax(dim=-2), transpose(1, 2) → transpose(0, 2), sum(dim=(0,
    2)) → sum(dim=(0)).
    """
    if not isinstance(node, ast.Call):
        return
    given = [keyword.value for keyword in node.keywords if keyword.arg in DIM_KEYWORDS]
    if isinstance(node.func, ast.Attribute) and node.func.attr in DIM_METHODS:
        given += node.args
    for value in given:
        several = (
            value.elts
            if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) > 1
            else []
        )
        for number in several or [value]:
            if (dim := _whole_number(number)) is not None and -5 < dim < 5:
                other = dim - 1 if dim > 0 or dim == -1 else dim + 1
                yield source.replaced(f"dim {dim} → {other}", number, str(other))
        for number in several:
            rest = ", ".join(
                source.code(other) for other in several if other is not number
            )
            yield source.replaced(
                f"dropped dim {source.code(number)}", value, f"({rest},)"
            )


NOT_THE_SAME_KIND = set(
    "isinstance issubclass super range len zip enumerate map filter print hasattr "
    "getattr setattr type repr open next "
    "iter zeros ones empty full eye arange linspace rand randn randint randperm tensor "
    "from_numpy device finfo iinfo "
    "Generator manual_seed prod perm comb dict set prerequisite partial".split()
)


def dropped_call(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x.contiguous() → x, self.norm(x) → x, torch.exp(x) → x, tuple(x) → x."""
    if not isinstance(node, ast.Call) or node in source.whole_statements:
        return
    match node:
        case ast.Call(func=ast.Attribute(value=value, attr=name)) if (
            not source.is_namespace(value)
        ):
            if not isinstance(value, ast.Constant) and not _is_call_of(value, "super"):
                before, _ = _around(source, node, value, ".")
                yield source.replaced(f"dropped .{name}()", node, before)
        case ast.Call(
            func=ast.Attribute(attr=name) | ast.Name(id=name), args=[first, *_]
        ):
            makes_another = name in NOT_THE_SAME_KIND or name[0].isupper()
            if not makes_another and not isinstance(
                first, (ast.Constant, ast.Starred, ast.GeneratorExp)
            ):
                yield source.replaced(f"dropped {name}()", node, source.operand(first))


def dropped_attribute(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x.mT → x, values.T → values, p.data → p."""
    match node:
        case ast.Attribute(value=value, attr="T" | "mT" | "H" | "mH" | "data" as name):
            yield source.replaced(
                f"dropped .{name}", node, _around(source, node, value, ".")[0]
            )


ORDER_IS_NOTHING = set(
    "maximum minimum max min add mul logical_and logical_or mse_loss gcd dot isclose "
    "allclose equal transpose swapaxes "
    "promote_types isinstance".split()
)


def swapped_arguments(source: Source, node: ast.AST) -> Iterator[Edit]:
    """f(a, b) → f(b, a), where(c, a, b) → where(c, b, a)."""
    if isinstance(node, ast.Call) and _called(node) not in ORDER_IS_NOTHING:
        two = node.args[1:3] if _called(node) == "where" else node.args[:2]
        if len(two) == 2 and not any(isinstance(arg, ast.Starred) for arg in two):
            between = source.text(source.end(two[0]), source.start(two[1]))
            now = source.code(two[1]) + between + source.code(two[0])
            yield Edit(
                "swapped arguments", source.start(two[0]), source.end(two[1]), now
            )


def no_mask(source: Source, node: ast.AST) -> Iterator[Edit]:
    """f(x, mask=m) → f(x, mask=None), f(x, mask) → f(x, None)."""
    if isinstance(node, ast.Call):
        values = [
            keyword.value
            for keyword in node.keywords
            if keyword.arg and "mask" in keyword.arg
        ]
        for value in values + [
            arg for arg in node.args if isinstance(arg, ast.Name) and "mask" in arg.id
        ]:
            yield source.replaced("no mask", value, "None")


def no_bias(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Linear(a, b, bias=c) → Linear(a, b, bias=False)."""
    if isinstance(node, ast.keyword) and node.arg == "bias":
        yield source.replaced("no bias", node.value, "False")


def flipped_training(source: Source, node: ast.AST) -> Iterator[Edit]:
    """dropout(x, p, training=self.training) → dropout(x, p,
    training=not self.training).
    """
    if isinstance(node, ast.keyword) and node.arg in ("training", "train"):
        yield source.replaced(
            "flipped training", node.value, f"not {source.operand(node.value)}"
        )


def dropped_keyword(source: Source, node: ast.AST) -> Iterator[Edit]:
    """f(x, dim=0) → f(x). Masks are for `no_mask`, and True for True → False."""
    for keyword in node.keywords if isinstance(node, ast.Call) else []:
        if keyword.arg and "mask" not in keyword.arg and not _is_bool(keyword.value):
            before = source.data[: source.start(keyword)].rstrip()
            after = source.data[source.end(keyword) :]
            if before.endswith(b","):
                yield Edit(
                    f"dropped {keyword.arg}=", len(before) - 1, source.end(keyword), ""
                )
            else:
                rest = after.lstrip(b", \n")
                yield Edit(
                    f"dropped {keyword.arg}=",
                    source.start(keyword),
                    len(source.data) - len(rest),
                    "",
                )


# Names

TWINS = [
    pair.split()
    for pair in (
        "min max",
        "amin amax",
        "argmin argmax",
        "minimum maximum",
        "any all",
        "zeros ones",
        "zeros_like ones_like",
        "tril triu",
        "sum mean",
        "std var",
        "rand randn",
        "rand_like randn_like",
        "sin cos",
        "floor ceil",
        "softmax log_softmax",
        "cat stack",
        "no_grad enable_grad",
        "float double",
        "clone detach",
        "startswith endswith",
        "relu gelu",
        "square sqrt",
        "resize thumbnail",
    )
]
BUILT_IN = {"min", "max", "any", "all"}
OTHER_NAME = dict(TWINS) | {b: a for a, b in TWINS} | {"inference_mode": "enable_grad"}
OTHER_DTYPE = {
    "float32": "float64",
    "float64": "float32",
    "float16": "float32",
    "bfloat16": "float32",
    "float": "double",
    "int64": "int32",
    "long": "int",
    "bool": "uint8",
}


def another_function(source: Source, node: ast.AST) -> Iterator[Edit]:
    """min ↔ max, zeros ↔ ones, no_grad ↔ enable_grad, train() ↔ eval() …"""
    match node:
        case ast.Call(func=ast.Attribute(ast.Name("math"), name)) if not hasattr(
            math, OTHER_NAME.get(name, "")
        ):
            return  # there is no math.square
        case ast.Call(func=ast.Attribute(attr=name) as function) if name in OTHER_NAME:
            yield _renamed(source, function, OTHER_NAME[name])
        case ast.Call(
            func=ast.Attribute(attr="train" | "eval" as name) as function,
            args=[],
            keywords=[],
        ):
            yield _renamed(source, function, "eval" if name == "train" else "train")
        case ast.Call(func=ast.Name(id=name)) if name in BUILT_IN:
            yield source.replaced(
                f"{name} → {OTHER_NAME[name]}", node.func, OTHER_NAME[name]
            )


def another_dtype(source: Source, node: ast.AST) -> Iterator[Edit]:
    """torch.float32 ↔ torch.float64, torch.int64 → torch.int32 …"""
    match node:
        case ast.Attribute(value=ast.Name(id="torch"), attr=name) if (
            name in OTHER_DTYPE
        ):
            yield _renamed(source, node, OTHER_DTYPE[name])


def another_key(source: Source, node: ast.AST) -> Iterator[Edit]:
    """{"mean": m} → {"mean_": m}, x["mean"] → x["mean_"]."""
    match node:
        case ast.Dict():
            keys = node.keys
        case ast.Subscript():
            keys = [node.slice]
        case _:
            return
    for key in keys:
        if isinstance(key, ast.JoinedStr) or (
            isinstance(key, ast.Constant) and isinstance(key.value, str)
        ):
            yield source.replaced(
                "another key", key, f"{source.code(key)[:-1]}_{source.code(key)[-1]}"
            )


def another_default(source: Source, node: ast.AST) -> Iterator[Edit]:
    """def f(x, dim=0) → def f(x, dim=1), bias=True → bias=False, eps=1e-5 → eps=2e-5,
    kind="a" → kind="a_".
    """
    if isinstance(node, ast.arguments):
        for default in [*node.defaults, *filter(None, node.kw_defaults)]:
            match default:
                case ast.Constant(value=bool(value)):
                    yield source.replaced("another default", default, str(not value))
                case ast.Constant(value=int(value)):
                    yield source.replaced("another default", default, str(value + 1))
                case ast.Constant(value=float(value)):
                    yield source.replaced(
                        "another default", default, str(2 * value or 1.0)
                    )
                case ast.Constant(value=str()):
                    yield source.replaced(
                        "another default",
                        default,
                        f"{source.code(default)[:-1]}_{source.code(default)[-1]}",
                    )
                case ast.UnaryOp(op=ast.USub(), operand=operand):
                    yield source.replaced(
                        "another default", default, source.code(operand)
                    )


# Expressions

SYMBOLS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.MatMult: "@",
    ast.BitAnd: "&",
    ast.BitOr: "|",
}
EITHER_SIDE = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr)


def dropped_operand(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x / sqrt(d) → x, x * scale → x, x + eps → x, x + b → b."""
    if isinstance(node, ast.BinOp) and type(node.op) in SYMBOLS:
        symbol = SYMBOLS[type(node.op)]
        left, right = _around(source, node, node.left, symbol)
        if not isinstance(node.left, ast.Constant):
            yield source.replaced(f"dropped {symbol} {_short(right)}", node, left)
        if isinstance(node.op, EITHER_SIDE) and not isinstance(
            node.right, ast.Constant
        ):
            yield source.replaced(f"dropped {_short(left)} {symbol}", node, right)


def swapped_product(source: Source, node: ast.AST) -> Iterator[Edit]:
    """a @ b → b @ a."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        yield source.replaced(
            "swapped product",
            node,
            f"{source.operand(node.right)} @ {source.operand(node.left)}",
        )


def dropped_condition(source: Source, node: ast.AST) -> Iterator[Edit]:
    """a and b → a; a if c else b → a, or b; if c: → if True:, or if False:; [x for x in
    xs if c] → [x for x in xs].
    """
    match node:
        case ast.BoolOp(op=op, values=values):
            word = " and " if isinstance(op, ast.And) else " or "
            for dropped in values:
                rest = word.join(
                    source.operand(v)
                    if isinstance(v, (ast.BoolOp, ast.IfExp))
                    else source.code(v)
                    for v in values
                    if v is not dropped
                )
                yield source.replaced(
                    f"dropped {_short(source.code(dropped))}", node, rest
                )
        case ast.IfExp(body=yes, orelse=no):
            yield source.replaced("always the first", node, source.code(yes))
            yield source.replaced("always the second", node, source.code(no))
        case ast.If(test=test, body=body) if not (
            len(body) == 1 and isinstance(body[0], ast.Raise)
        ):
            yield source.replaced("always true", test, "True")
            yield source.replaced("never true", test, "False")
        case ast.While(test=test):
            yield source.replaced("never true", test, "False")
        case ast.comprehension(ifs=[test]):
            yield source.replaced("dropped filter", test, "True")


def dropped_bound(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x[1:] → x[:], x[:n] → x[:]."""
    if isinstance(node, ast.Slice):
        for bound in filter(None, (node.lower, node.upper, node.step)):
            yield source.replaced(
                f"dropped bound {_short(source.code(bound))}", bound, ""
            )


def membership(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x in xs ↔ x not in xs."""
    match node:
        case ast.Compare(
            left=left, ops=[ast.In() | ast.NotIn() as op], comparators=[right]
        ):
            was, now = (
                (" not in ", " in ")
                if isinstance(op, ast.NotIn)
                else (" in ", " not in ")
            )
            between = source.text(source.end(left), source.start(right))
            yield Edit(
                was.strip() + " →" + now.rstrip(),
                source.end(left),
                source.start(right),
                between.replace(was, now),
            )


# Statements

OPPOSITE = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}


def dropped_statement(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A call, `x += y`, `x.grad = None`, `x[i] = y` or `x = f(x)` → pass;
    `x += y` → `x = y`; `raise …` → pass;
    a return before the end → pass.
    """
    match node:
        case ast.Raise():
            yield source.replaced("dropped raise", node, "pass")
        case ast.AugAssign(target=target, op=op, value=value):
            yield source.replaced("dropped statement", node, "pass")
            yield source.replaced(
                "plain =", node, f"{source.code(target)} = {source.code(value)}"
            )
            if symbol := OPPOSITE.get(type(op)):
                yield source.replaced(
                    f"{symbol}=",
                    node,
                    f"{source.code(target)} {symbol}= {source.code(value)}",
                )
        case (
            ast.Expr()
            | ast.Assign(targets=[ast.Attribute() | ast.Subscript()])
            | ast.Delete()
        ):
            yield source.replaced("dropped statement", node, "pass")
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if any(
            _is_name(n, name) for n in ast.walk(value)
        ):
            if not isinstance(value, ast.IfExp):  # which is for `dropped_condition`
                yield source.replaced("dropped statement", node, "pass")
        case ast.If(body=body, orelse=orelse) | ast.For(body=body, orelse=orelse):
            for statement in [*body, *orelse]:
                if isinstance(statement, ast.Return):
                    yield source.replaced("dropped return", statement, "pass")


OTHER_ORDER = {ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">"}


def off_by_one(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x[1:] → x[2:], i < n → i <= n, i < n → i < n + 1."""
    match node:
        case ast.Constant(value=int(number)) if not isinstance(number, bool):
            for other in (number + 1, number - 1):
                yield source.replaced(f"{number} → {other}", node, str(other))
        case ast.Compare(left=left, ops=[op], comparators=[bound]) if (
            type(op) in OTHER_ORDER
        ):
            now = f"{source.code(left)} {OTHER_ORDER[type(op)]} {source.code(bound)}"
            yield source.replaced("another order", node, now)
            for step in () if isinstance(bound, ast.Constant) else ("+ 1", "- 1"):
                yield source.replaced(
                    f"bound {step}", bound, f"{source.operand(bound)} {step}"
                )


def another_lane(source: Source, node: ast.AST) -> Iterator[Edit]:
    """tl.load(p, mask=m, other=0.0) → tl.load(p, mask=m, other=float("inf")), or
    without `other`.
    """
    match node:
        case ast.Call(func=ast.Attribute(ast.Name("tl"), "load"), keywords=keywords):
            yield from (
                edit
                for edit in dropped_keyword(source, node)
                if edit.operator == "dropped other="
            )
            others = (keyword.value for keyword in keywords if keyword.arg == "other")
            for value in (one for one in others if source.code(one) != "0"):
                infinite = re.search(r"\.|inf", source.code(value))  # not an integer
                for now in (
                    ("0.0", 'float("inf")', '-float("inf")') if infinite else ("0",)
                ):
                    yield source.replaced("another masked lane", value, now)


# Habits

IN_PLACE = {ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_"}
HAVE_IN_PLACE = set(
    (
        "masked_fill clamp exp log scatter scatter_add index_add fill_diagonal tril "
        "triu abs sqrt"
    ).split()
)


def in_place(source: Source, node: ast.AST) -> Iterator[Edit]:
    """x + y → x.add_(y), x.clamp(0) → x.clamp_(0)."""
    match node:
        case ast.BinOp(
            left=ast.Name() | ast.Attribute() as left, op=op, right=right
        ) if type(op) in IN_PLACE:
            yield source.replaced(
                "in place",
                node,
                f"{source.code(left)}.{IN_PLACE[type(op)]}({source.code(right)})",
            )
        case ast.Call(func=ast.Attribute(attr=name) as function) if (
            name in HAVE_IN_PLACE
        ):
            yield _renamed(source, function, f"{name}_")


def another_result(source: Source, node: ast.AST) -> Iterator[Edit]:
    """return x → return x.float(), or x.detach(); return x, y → return x.float(), y."""
    match node:
        case ast.Return(value=ast.expr() as value):
            for part in value.elts if isinstance(value, ast.Tuple) else [value]:
                if isinstance(part, (ast.Name, ast.Call, ast.BinOp, ast.IfExp)):
                    for call in ("float", "detach"):
                        yield source.replaced(
                            f"returned .{call}()",
                            part,
                            f"{source.operand(part)}.{call}()",
                        )


# a tensor of torch or TinyTorch, a list or a dict
EMPTYING = ("data.__setitem__(..., 0)", "clear()")


def another_start(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A function that does nothing, ignores what it is given in place of a default, or
    first writes to an argument.
    """
    match node:
        case ast.FunctionDef(args=ast.arguments(args=args, kwonlyargs=named) as given):
            defaults = [
                *zip(reversed(args), reversed(given.defaults), strict=False),
                *zip(named, given.kw_defaults, strict=True),
            ]
            starts = [
                "return",
                *(
                    f"{arg.arg} = {source.code(default)}"
                    for arg, default in defaults
                    if default
                ),
            ]
            starts += [f"{arg.arg}.{call}" for arg in args[:4] for call in EMPTYING]
            starts += [
                f"{arg.arg}.{call}()"
                for arg in args
                if "model" in arg.arg
                for call in ("eval", "zero_grad")
            ]
            for now in starts:
                yield _starting(source, node, "another start", now)


def used_up(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A function of x at whose end x is empty: return y → return (y, x.clear())[0]."""
    match node:
        case ast.FunctionDef(
            args=ast.arguments(args=args),
            body=[*_, ast.Return(value=ast.expr() as value)],
        ):
            for arg in args[:4]:
                for call in EMPTYING:
                    yield source.replaced(
                        "used up",
                        value,
                        f"(({source.code(value)}), {arg.arg}.{call})[0]",
                    )


def another_order(source: Source, node: ast.AST) -> Iterator[Edit]:
    """[f(x) for x in xs] → [f(x) for x in xs][::-1], for x in xs: → for x
    in reversed(xs):.
    """
    match node:
        case ast.ListComp():
            yield source.replaced("another order", node, f"{source.code(node)}[::-1]")
        case ast.For(iter=given):
            yield source.replaced(
                "another order", given, f"reversed({source.code(given)})"
            )


def another_argument(source: Source, node: ast.AST) -> Iterator[Edit]:
    """In a function of a and b: a → b."""
    match node:
        case ast.FunctionDef(
            args=ast.arguments(args=args, kwonlyargs=named), body=body
        ):
            names = [arg.arg for arg in [*args, *named] if arg.arg != "self"]
            next_one = dict(zip(names, names[1:] + names[:1], strict=True))
            for used in (part for statement in body for part in ast.walk(statement)):
                if (
                    isinstance(used, ast.Name)
                    and isinstance(used.ctx, ast.Load)
                    and used.id in next_one
                ):
                    yield source.replaced("another argument", used, next_one[used.id])


def another_body(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A function that takes the same arguments does the work."""
    if isinstance(node, ast.FunctionDef) and node in source.tree.body:
        names = [arg.arg for arg in node.args.args]
        for other in source.tree.body:
            if isinstance(other, ast.FunctionDef) and other is not node:
                takes = [arg.arg for arg in other.args.args]
                if takes[: len(names)] == names and len(takes) - len(
                    other.args.defaults
                ) <= len(names):
                    yield _starting(
                        source,
                        node,
                        "another body",
                        f"return {other.name}({', '.join(names)})",
                    )


def dropped_argument(source: Source, node: ast.AST) -> Iterator[Edit]:
    """f(a, b) → f(a), Dropout(p) → Dropout()."""
    match node:
        case ast.Call(args=[*rest, last]) if rest or _called(node)[:1].isupper():
            start = source.end(rest[-1]) if rest else source.start(last)
            yield Edit("dropped argument", start, source.end(last), "")


def cached(source: Source, node: ast.AST) -> Iterator[Edit]:
    """A function that remembers what it returned."""
    if isinstance(node, ast.FunctionDef) and node in source.tree.body:
        yield Edit(
            "cached",
            source.start(node),
            source.start(node),
            '@__import__("functools").cache\n',
        )


def default_dtype(source: Source, node: ast.AST) -> Iterator[Edit]:
    """zeros_like(x) → zeros(x.shape), x.new_zeros(3) → torch.zeros(3)."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name) as function, args=[first, *_]) if (
            name.endswith("_like")
        ):
            made = source.code(function).removesuffix("_like")
            rest = source.text(source.end(first), source.end(node))
            yield source.replaced(
                "default dtype", node, f"{made}({source.operand(first)}.shape{rest}"
            )
        case ast.Call(func=ast.Attribute(attr=name) as function) if name.startswith(
            "new_"
        ):
            yield source.replaced(
                "default dtype", function, f"torch.{name.removeprefix('new_')}"
            )


def no_copy(source: Source, node: ast.AST) -> Iterator[Edit]:
    """layer.weight.copy_(w) → layer.weight = w."""
    match node:
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(value=target, attr="copy_"), args=[given])
        ):
            yield source.replaced(
                "no copy", node, f"{source.code(target)} = {source.code(given)}"
            )


ANOTHER_OPTION = dict.fromkeys(["backward", "grad"], "create_graph=True") | {
    "load_state_dict": "assign=True"
}


def another_option(source: Source, node: ast.AST) -> Iterator[Edit]:
    """loss.backward() → loss.backward(create_graph=True), load_state_dict(s) →
    load_state_dict(s, assign=True).
    """
    match node:
        case ast.Call(func=ast.Attribute(attr=name), args=args, keywords=keywords) if (
            name in ANOTHER_OPTION
        ):
            comma = ", " if args or keywords else ""
            now = f"{source.code(node)[:-1]}{comma}{ANOTHER_OPTION[name]})"
            yield source.replaced("another option", node, now)


def no_way_back(source: Source, node: ast.AST) -> Iterator[Edit]:
    """with no_grad(): … → no_grad().__enter__(), which nothing undoes."""
    match node:
        case ast.With(items=items, body=[first, *_]):
            entered = [
                (f"{source.code(item.optional_vars)} = " if item.optional_vars else "")
                + (
                    f"{source.code(item.context_expr)}.__enter__()\n"
                    f"{' ' * node.col_offset}"
                )
                for item in items
            ]
            now = f"{''.join(entered)}if True:\n{' ' * first.col_offset}"
            yield Edit("no way back", source.start(node), source.start(first), now)


def repeats(source: Source, node: ast.AST) -> Iterator[Edit]:
    """set(x) → list(x)."""
    if isinstance(node, ast.Call) and _is_name(node.func, "set") and node.args:
        yield source.replaced("repeats", node.func, "list")


ENDS = [off_by_one, another_lane]
HABITS = [
    in_place,
    another_result,
    another_start,
    used_up,
    another_order,
    another_argument,
    another_body,
    dropped_argument,
    cached,
    default_dtype,
    no_copy,
    another_option,
    no_way_back,
    repeats,
]
OPERATORS = [
    another_dim,
    dropped_call,
    dropped_attribute,
    swapped_arguments,
    no_mask,
    no_bias,
    flipped_training,
    dropped_keyword,
    another_function,
    another_dtype,
    another_key,
    another_default,
    dropped_operand,
    swapped_product,
    dropped_condition,
    dropped_bound,
    membership,
    dropped_statement,
]


def _around(
    source: Source, node: ast.expr, left: ast.expr, symbol: str
) -> tuple[str, str]:
    """The text of a node before and after the symbol that follows its left part, with
    the brackets of either side.
    """
    at = source.data.index(symbol.encode(), source.end(left))
    before = source.text(source.start(node), at)
    return before.rstrip(), source.text(at + len(symbol), source.end(node)).lstrip()


def _starting(source: Source, node: ast.FunctionDef, operator: str, now: str) -> Edit:
    first = node.body[ast.get_docstring(node) is not None and len(node.body) > 1]
    at = source.lines[first.lineno - 1]
    return Edit(operator, at, at, f"{' ' * first.col_offset}{now}\n")


def _renamed(source: Source, node: ast.Attribute, now: str) -> Edit:
    return Edit(
        f"{node.attr} → {now}", source.end(node) - len(node.attr), source.end(node), now
    )


def _whole_number(node: ast.expr) -> int | None:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return -value
    return None


def _called(call: ast.Call) -> str:
    return (
        call.func.attr
        if isinstance(call.func, ast.Attribute)
        else getattr(call.func, "id", "")
    )


def _is_call_of(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and _called(node) == name


def _is_bool(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _is_name(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _short(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= 24 else line[:23] + "…"
