"""What of a kata's file is still to be written, as its text tells without being run."""

import ast
from pathlib import Path

from grader import catalogue, loading
from grader.catalogue import Exercise, Kata


def unwritten(kata: Kata, source: str) -> list[Exercise]:
    """The exercises of which a body is still `raise NotImplementedError`; none where the text does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return []
    open_ = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and _has_open_body(node)}
    return [exercise for exercise in catalogue.exercises(kata) if exercise.name in open_]


def is_begun(kata: Kata, path: Path) -> bool:
    """Whether something of the kata is written in this file, or it is in a state that only a run can judge."""
    try:
        source = loading.read_source(path)
    except loading.LoadFailure:
        return path.exists()
    return len(unwritten(kata, source)) < len(catalogue.exercises(kata))


def _has_open_body(node: ast.FunctionDef | ast.ClassDef) -> bool:
    functions = [node] if isinstance(node, ast.FunctionDef) else [n for n in node.body if isinstance(n, ast.FunctionDef)]
    return any(ast.unparse(function.body[-1]).startswith("raise NotImplementedError") for function in functions)
