"""Changes after which right code may still be right: an expression written otherwise, two lines in another order."""

import ast
from collections.abc import Iterator
from itertools import pairwise

from grader.practice.operators import Edit, Source

LABEL = "the same, written otherwise"
LINES = "two lines change places"
BLOCKS = (ast.FunctionDef, ast.If, ast.For, ast.While, ast.With)
SWAPPED = (ast.Add, ast.Mult, ast.BitAnd, ast.BitOr)
MIRRORED = {ast.Lt: ">", ast.Gt: "<", ast.LtE: ">=", ast.GtE: "<=", ast.Eq: "==", ast.NotEq: "!="}


def edits(source: Source) -> Iterator[Edit]:
    """Candidates only: whether they change nothing is found by running them."""
    for node in ast.walk(source.tree):
        if now := _otherwise(source, node):
            yield source.replaced(LABEL, node, now)
        for one, other in pairwise(getattr(node, "body", None) or []) if isinstance(node, BLOCKS) else ():
            if _builds(one) and _builds(other):  # two modules draw their weights in that order
                continue
            if _is_a_line(one) and _is_a_line(other) and other.lineno == one.lineno + 1:
                between = source.text(source.end(one), source.start(other))
                now = source.code(other) + between + source.code(one)
                yield Edit(LINES, source.start(one), source.end(other), now)


def _builds(node: ast.stmt) -> bool:
    """Tell if an object of a class is made, by its name in capitals."""
    calls = [ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)]
    return any(name.rpartition(".")[2][:1].isupper() for name in calls)


def _is_a_line(node: ast.stmt) -> bool:
    simple = isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    )
    return simple and node.lineno == node.end_lineno


def _otherwise(source: Source, node: ast.AST) -> str | None:
    code = source.operand
    match node:
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, SWAPPED) and not _is_joined(left, right):
            return f"{code(right)} {_sign(op)} {code(left)}"
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in MIRRORED:
            return f"{code(right)} {MIRRORED[type(op)]} {code(left)}"
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return f"-{code(right)} + {code(left)}"
        case ast.Call(func=ast.Attribute(value=value, attr="transpose"), args=[one, other], keywords=[]):
            return f"{code(value)}.transpose({source.code(other)}, {source.code(one)})"
        case ast.Call(func=ast.Attribute(value=value, attr="unsqueeze"), args=[ast.Constant(value=0)], keywords=[]):
            return f"{code(value)}[None]"
        case ast.Call(
            func=ast.Attribute(value=value, attr="softmax" | "sum" | "mean" as name), args=args, keywords=keywords
        ) if not source.is_namespace(value):
            rest = ", ".join([*map(source.code, args), *(f"{k.arg}={source.code(k.value)}" for k in keywords)])
            return f"torch.{name}({source.code(value)}{', ' + rest if rest else ''})"
        case ast.Attribute(value=value, attr="mT") if isinstance(node.ctx, ast.Load):
            return f"{code(value)}.transpose(-2, -1)"
        case ast.BinOp(left=left, op=ast.MatMult(), right=right):
            return f"torch.matmul({source.code(left)}, {source.code(right)})"
        case ast.IfExp(test=test, body=body, orelse=other):
            return f"{code(other)} if not {code(test)} else {code(body)}"
    return None


def _is_joined(*sides: ast.expr) -> bool:
    """Tell if these are no numbers: + joins lists, tuples and texts in their order."""
    return any(isinstance(side, (ast.List, ast.Tuple, ast.ListComp, ast.JoinedStr)) or _is_text(side) for side in sides)


def _is_text(side: ast.expr) -> bool:
    return isinstance(side, ast.Constant) and isinstance(side.value, str | bytes)


def _sign(op: ast.operator) -> str:
    return {ast.Add: "+", ast.Mult: "*", ast.BitAnd: "&", ast.BitOr: "|"}[type(op)]
