"""Runs a module's statements, of which those that no exercise needs may fail: what was only tried costs no point."""

import __future__

import ast
import symtable
import traceback
from collections.abc import Iterable, Mapping
from types import CodeType
from typing import Any

MOST_LEFT_OUT = 100  # failures of one file; after them the next one counts
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what parsing raises


def run(source: str, path: str, space: dict[str, Any], exercises: Iterable[str]) -> list[str]:
    """Run a module, but for the statements that fail and that no exercise needs.

    Args:
        source: the module's text; `path` is where it comes from.
        space: the module's namespace.
        exercises: the names of the functions and classes that are exercises, or whose methods are.
    Returns:
        a line on each statement left out: "line 12 was left out, since no exercise needs it: NameError: …".
    """
    code = compile(source, path, "exec", dont_inherit=True)
    features = code.co_flags & __future__.annotations.compiler_flag
    told: list[str] = []
    rest: list[ast.stmt] = []
    needed: set[ast.stmt] = set()
    while True:
        try:
            exec(code, space)
            return told
        except (Exception, SystemExit) as error:
            if not told:
                tree = ast.parse(source)
                rest, needed = tree.body, _needed(tree, exercises)
            place = _place(rest, error, code)
            if place is None or rest[place] in needed or len(told) == MOST_LEFT_OUT:
                raise
            reason = traceback.format_exception_only(error)[-1].strip()
            told.append(f"line {rest[place].lineno} was left out, since no exercise needs it: {reason}")
            rest = rest[place + 1 :]
            code = compile(ast.Module(rest, []), path, "exec", features, dont_inherit=True)


def _place(body: list[ast.stmt], error: BaseException, code: CodeType) -> int | None:
    """The index of the statement during which the module's code raised this."""
    step = error.__traceback__
    while step and step.tb_frame.f_code is not code:
        step = step.tb_next
    if step is None:
        return None
    line, _, column, _ = list(code.co_positions())[step.tb_lasti // 2]
    ends = [(statement.end_lineno or 0, statement.end_col_offset or 0) for statement in body]
    return next((place for place, end in enumerate(ends) if end > (line or 0, column or 0)), None)


def used(node: ast.AST) -> set[str]:
    """The module's names that a statement or an expression uses. Parameters and variables of functions are not."""
    text = ast.unparse(node)
    top = symtable.symtable(f"({text},)" if isinstance(node, ast.expr) else text, "", "exec")  # *x is no statement
    tables, found = [top], set()
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if (symbol.is_global() or table is top) and symbol.is_referenced():
                found.add(symbol.get_name())
    return found


def reached(wanted: Iterable[ast.stmt], makers: Mapping[str, Iterable[ast.stmt]]) -> set[ast.stmt]:
    """These statements, and those that make what they use in turn.

    Args:
        makers: name → the statements that make it.
    """
    found: set[ast.stmt] = set()
    left = list(wanted)
    while left:
        statement = left.pop()
        if statement not in found:
            found.add(statement)
            left += [maker for name in used(statement) for maker in makers.get(name, ())]
    return found


def is_for_all(statement: ast.stmt) -> bool:
    """True if a statement changes other names' meaning: `from math import *`, `from __future__ import annotations`."""
    is_star = isinstance(statement, ast.ImportFrom) and any(alias.name == "*" for alias in statement.names)
    return is_star or is_future(statement)


def is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def _needed(tree: ast.Module, exercises: Iterable[str]) -> set[ast.stmt]:
    """The statements that make or change what these names stand for, and what they use in turn.

    Those that may do so for any name are among them. If the module defines none of these, or cannot be taken apart, all
    are needed.
    """
    makers: dict[str, list[ast.stmt]] = {}
    wanted: list[ast.stmt] = []
    try:
        for statement in tree.body:
            if is_for_all(statement):
                wanted.append(statement)
            for name in made(statement):
                makers.setdefault(name, []).append(statement)
        defining = [statement for name in exercises for statement in makers.get(name, [])]
        wanted += defining or tree.body
        return reached(wanted, makers)
    except UNREADABLE:
        return set(tree.body)


def made(statement: ast.stmt) -> set[str]:
    """The names that a statement binds or whose objects it changes: `x = 1`, `x[0] = 1`, `x.y = 1`."""
    top = symtable.symtable(ast.unparse(statement), "", "exec")
    found = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            root: ast.AST = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            found.update([root.id] if isinstance(root, ast.Name) else [])
    return found
