"""Deals a module's definitions out to the cells of a notebook: each comes right before
the first cell that uses it.
"""

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from grader.course import cells, statements
from grader.errors import NotANotebook

Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Dealt:
    """What a notebook's cells need of a module: its imports, and for each cell the text
    that comes before it.
    """

    imports: list[str]
    before: list[str]


def deal(module: str, code: Sequence[str]) -> Dealt:
    """Find the definitions that each of these cells uses, directly or not, and no cell
    before it.

    Raises:
        NotANotebook: a cell gives one of these names another meaning.
    """
    lines = module.splitlines()
    body = ast.parse(module).body
    makers: dict[str, list[ast.stmt]] = {}
    for statement in body:
        for name in _made(statement):
            makers.setdefault(name, []).append(statement)
    placed = [statement for statement in body if statements.is_for_all(statement)]
    before = []
    for cell in code:
        uses = statements.used(ast.parse(cell))
        needed = statements.reached(
            (maker for name in uses for maker in makers.get(name, ())), makers
        )
        new = [
            statement
            for statement in body
            if statement in needed and statement not in placed
        ]
        placed += new
        before.append(
            _text(
                [statement for statement in new if not isinstance(statement, Import)],
                lines,
            )
        )
    _refuse_two_meanings(placed, code)
    imports = [
        statement
        for statement in body
        if statement in placed and isinstance(statement, Import)
    ]
    return Dealt([_source(statement, lines) for statement in imports], before)


def _text(chosen: Iterable[ast.stmt], lines: list[str]) -> str:
    """The source of these statements, with two empty lines around functions
    and classes.
    """
    text, was_block = "", False
    for statement in chosen:
        is_block = isinstance(statement, cells.Function | ast.ClassDef)
        gap = "\n\n\n" if is_block or was_block else "\n"
        text, was_block = (
            text + (gap if text else "") + _source(statement, lines),
            is_block,
        )
    return text


def _source(statement: ast.stmt, lines: list[str]) -> str:
    """The lines of a statement, with the comments right above it."""
    return "\n".join(lines[cells.first_line(statement, lines) : statement.end_lineno])


def _made(statement: ast.stmt) -> Iterable[str]:
    """The names that a statement of a module binds or changes. What happens in a
    function is its own.
    """
    is_block = isinstance(statement, cells.Function | ast.ClassDef)
    return cells.bound(statement) if is_block else statements.made(statement)


def _refuse_two_meanings(placed: Iterable[ast.stmt], code: Iterable[str]) -> None:
    own = _makers(placed)
    theirs = _makers(statement for cell in code for statement in ast.parse(cell).body)
    for name in sorted(own.keys() & theirs.keys()):
        if not own[name] or own[name] != theirs[name]:
            raise NotANotebook(
                f"{name} is a variable of the notebook, too: give it another name in "
                "the kata's file"
            )


def _makers(chosen: Iterable[ast.stmt]) -> Mapping[str, str]:
    """Each name that these statements make, and the import that makes it; "" for what
    is no import.
    """
    found: dict[str, str] = {}
    for statement in chosen:
        if isinstance(statement, Import):
            where = getattr(statement, "module", "")
            found |= {
                cells.bound(ast.Import([alias]))[0]: f"{where} {alias.name}"
                for alias in statement.names
            }
        else:
            found |= dict.fromkeys(_made(statement), "")
    return found
