"""Functions of the grader stay small enough to call: none takes more than
seven parameters.
"""

import ast
from pathlib import Path

import grader

GRADER = Path(grader.__file__).parent
MOST = 7
TYPERS = "command()"  # the decorator of a command, whose parameters are its options
STILL = {("specs/training.py", "by_hand")}  # its ten are the slips that katas name


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The parameters of a function, without the object that a method belongs to."""
    found = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
    return len([one for one in found if one.arg not in ("self", "cls")])


def test_no_function_takes_more_than_seven_parameters():
    long = {
        (path.relative_to(GRADER).as_posix(), one.name)
        for path in GRADER.rglob("*.py")
        for one in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        and parameters(one) > MOST
        if not any(ast.unparse(by).endswith(TYPERS) for by in one.decorator_list)
    }
    assert long == STILL
