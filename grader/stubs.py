"""What of a kata's file is still to be written, as its text tells without being run."""

import ast

from grader import catalogue
from grader.catalogue import Exercise, Kata


def unwritten(kata: Kata, source: str) -> list[Exercise]:
    """The exercises of which a body is still `raise NotImplementedError`; none where the text does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    open_ = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and _has_open_body(node)}
    return [exercise for exercise in catalogue.exercises(kata) if exercise.name in open_]


def _has_open_body(node: ast.FunctionDef | ast.ClassDef) -> bool:
    functions = [node] if isinstance(node, ast.FunctionDef) else [n for n in node.body if isinstance(n, ast.FunctionDef)]
    return any(ast.unparse(function.body[-1]).startswith("raise NotImplementedError") for function in functions)
