"""The reference without its guards: without every `if …: raise` and every helper that
only checks.
"""

import ast


def stripped(source: str) -> str:
    """The source without argument checks."""
    tree = ast.parse(source)
    checking: set[str] = set()
    while True:
        tree = ast.fix_missing_locations(_Stripper(checking).visit(tree))
        found = {
            node.name
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            and node.name.startswith("_")
            and _is_empty(node)
        }
        if found <= checking:
            return ast.unparse(tree) + "\n"
        checking |= found


class _Stripper(ast.NodeTransformer):
    """Takes out guards, asserts, and calls of helpers that have nothing left to do."""

    def __init__(self, checking: set[str]):
        self.checking = checking

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt] | None:
        self.generic_visit(node)
        if (
            not node.body
            or isinstance(node.body[-1], ast.Raise)
            and all(map(_prepares, node.body[:-1]))
        ):
            return node.orelse or None
        return node

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        if (
            isinstance(call, ast.Call)
            and ast.unparse(call.func).rpartition(".")[2] in self.checking
        ):
            return None
        return node

    def visit_For(self, node: ast.For) -> ast.AST | None:
        self.generic_visit(node)
        return node if node.body else None

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = node.body or [ast.Pass()]
        return node


def _prepares(statement: ast.stmt) -> bool:
    """Tell if a statement before a `raise` only makes its message."""
    return isinstance(statement, (ast.Assign, ast.AnnAssign))


def _is_empty(function: ast.FunctionDef) -> bool:
    return all(
        isinstance(s, ast.Pass)
        or isinstance(s, ast.Expr)
        and isinstance(s.value, ast.Constant)
        for s in function.body
    )
