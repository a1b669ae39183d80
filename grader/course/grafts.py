"""Grafts: a learner's file with the reference's code for some exercises, so that a
mistake costs its own exercise.
"""

import ast
import io
from collections.abc import Collection

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.cells import Function, Import, bound
from grader.course.description import Exercise
from grader.course.statements import UNREADABLE, decorated_line

APART = "_reference"  # starts the names that the reference's helpers and imports get


def needed(kata: Kata, exercise: Exercise, broken: Collection[str]) -> tuple[str, ...]:
    """The functions and classes that the exercise uses and that do not work."""
    return tuple(name for name in kata.used_by(exercise) if name in broken)


def note(names: Collection[str]) -> str:
    """The remark on an exercise that works with a graft: "with the
    reference's prepare_mask".
    """
    return f"with the reference's {', '.join(names)}"


def grafted(kata: Kata, source: str, names: tuple[str, ...]) -> str | None:
    """Give the file the reference's definitions of these names, each where the file has
    its own.

    The lines keep their numbers. What a definition needs and the stub lacks comes along
    under another name: a helper of the learner's may be called the same. Decorated
    helpers come again at the end, because what they register counts, not what the
    learner's register.

    Args:
        source: the text of the learner's file. One that Python cannot parse stays as
            it is.
    Returns:
        The new text. None without a reference.
    """
    if not kata.reference.is_file():
        return None
    try:
        body = ast.parse(source).body
    except UNREADABLE:
        return source
    reference = kata.reference.read_text(encoding="utf-8")
    missing = _set_apart(
        stubs.lacking(reference, tuple(e.name for e in kata.exercises), names), names
    )
    registering: list[ast.stmt] = [
        s
        for s in missing
        if isinstance(s, Function) and s.decorator_list and s.name not in names
    ]
    lines = list(io.StringIO(source, newline=""))
    for statement in body:
        own = set(bound(statement))
        if own and own.issubset(names):
            start, end = (
                decorated_line(statement) - 1,
                statement.end_lineno or statement.lineno,
            )
            until = max(
                (
                    i
                    for i, other in enumerate(missing, 1)
                    if not own.isdisjoint(bound(other))
                ),
                default=0,
            )
            lines[start:end] = [_run(missing[:until]), *["\n"] * (end - start - 1)]
            del missing[:until]
    return "".join([*lines, "\n", _run(missing + registering)])


def _run(statements: list[ast.stmt]) -> str:
    """One line that runs these statements."""
    text = ast.unparse(ast.Module(statements, []))
    return f"exec({text!r})\n" if text else "\n"


def _set_apart(statements: list[ast.stmt], names: tuple[str, ...]) -> list[ast.stmt]:
    """The same statements with other names for what is not among these."""
    taken = {
        node.arg
        for one in statements
        for node in ast.walk(one)
        if isinstance(node, ast.arg)
    }
    renamed = {name for one in statements for name in bound(one)} - taken - set(names)
    for node in (node for one in statements for node in ast.walk(one)):
        if isinstance(node, ast.Name) and node.id in renamed:
            node.id = APART + node.id
        elif isinstance(node, (Function, ast.ClassDef)) and node.name in renamed:
            node.name = APART + node.name
        elif isinstance(node, ast.Global):
            node.names = [
                APART + name if name in renamed else name for name in node.names
            ]
        elif isinstance(node, Import):
            for alias in node.names:
                name = alias.asname or alias.name
                if name in renamed:
                    alias.asname = APART + name
    return statements
