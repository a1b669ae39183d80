"""Runs a module's statements. One that fails costs what uses the names that it was
to bind.
"""

import __future__

import ast
import copy
import io
import symtable
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Literal, NamedTuple, NoReturn

MOST_LEFT_OUT = 100  # failures of one file; after them the next one counts
LONGEST = 60  # characters of a statement that are quoted
# what a class's body finds in place of what its failed statements were to bind
STAND_INS = "__stand_ins__"
# what parsing raises
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class StatementFailed(Exception):
    """What is used was to be made by a statement that failed. The message names file,
    line, statement and reason.
    """

    def __init__(self, why: str, at: int):
        super().__init__(why)
        self.at = at


class Unmade:
    """Stands for what a failed statement was to make. Any use of it raises why."""

    def __init__(self, *failed: Any):
        self.failed = failed

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, given: Any = (), named: Any = None
    ) -> NoReturn:
        found = [
            one for one in (*given, *(named or {}).values()) if isinstance(one, cls)
        ]
        raise StatementFailed(
            *(found[0].failed if found else ("a value is missing", 0))
        )


def _raises(self: Unmade, *_: Any, **__: Any) -> NoReturn:
    raise StatementFailed(*self.failed)


for _use in (
    "call getattr getitem setitem delitem contains iter next reversed len bool int "
    "float index complex enter exit "
    "mro_entries instancecheck subclasscheck array eq ne lt le gt ge neg pos abs "
    "invert round add sub mul matmul "
    "truediv floordiv mod divmod pow lshift rshift and or xor radd rsub rmul rmatmul "
    "rtruediv rfloordiv rmod rpow "
    "rand ror rxor"
).split():
    setattr(Unmade, f"__{_use}__", _raises)


class Failed(NamedTuple):
    """A statement that failed: its lines, and why: "f.py:3:
    `from einops import rearrange` fails: …".
    """

    first: int
    last: int
    why: str
    is_slow: bool  # its time was up


def run(source: str, path: str, space: dict[str, Any]) -> list[Failed]:
    """Run a module. A statement that raises is left out, and each name that it was to
    bind stands for the failure.

    It does so whatever was bound before. An import is one statement a name, and a
    class's body is run by the same rule.

    Args:
        source: the module's text; `path` is where it comes from.
        space: the module's namespace.
    Returns:
        each statement that failed.
    """
    code = compile(source, path, "exec", dont_inherit=True)
    features = code.co_flags & __future__.annotations.compiler_flag
    failed: list[Failed] = []
    rest: list[ast.stmt] = []
    stand_ins = space[STAND_INS] = list[Unmade]()
    while True:
        try:
            exec(code, space)
            del space[STAND_INS]
            return failed
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            rest = rest or ast.parse(source).body
            line, place = _place(rest, error, code)
            if (
                place is None
                or len(failed) == MOST_LEFT_OUT
                or time_limit(error) == "too busy"
            ):
                raise
            statement = rest[place]
            part, line = _in_class(statement, error, code) or (statement, line)
            instead = _name_by_name(part)
            if not instead:
                why, last = _why(source, path, line, error), part.end_lineno or line
                unmade = Unmade(
                    why, error.at if isinstance(error, StatementFailed) else line
                )
                failed.append(
                    Failed(decorated_line(part), last, why, bool(time_limit(error)))
                )
                if part is statement:
                    space |= dict.fromkeys(_bound(statement), unmade)
                    for owner, name in _set_on_classes(statement, space):
                        setattr(owner, name, unmade)
                else:
                    stand_ins.append(unmade)
                    made = [
                        f"{name} = {STAND_INS}[{len(stand_ins) - 1}]"
                        for name in sorted(_bound(part))
                    ]
                    instead = ast.parse("\n".join(made or ["pass"])).body
            if isinstance(statement, ast.ClassDef) and part is not statement:
                at = statement.body.index(part)
                statement.body[at : at + 1] = instead
                instead = [ast.fix_missing_locations(statement)]
            rest = instead + rest[place + 1 :]
            code = compile(
                ast.Module(rest, []), path, "exec", features, dont_inherit=True
            )


def _place(
    body: list[ast.stmt], error: BaseException, code: CodeType
) -> tuple[int, int | None]:
    """The line at which the module's code raised this, and the index of the statement;
    None if it did not.
    """
    step = _step(error, code)
    if step is None:
        return 0, None
    line, _, column, _ = list(code.co_positions())[step.tb_lasti // 2]
    ends = [
        (statement.end_lineno or 0, statement.end_col_offset or 0) for statement in body
    ]
    return line or 0, next(
        (place for place, end in enumerate(ends) if end > (line or 0, column or 0)),
        None,
    )


def _step(error: BaseException, code: CodeType) -> TracebackType | None:
    """Where the error passed this code."""
    step = error.__traceback__
    while step and step.tb_frame.f_code is not code:
        step = step.tb_next
    return step


def _name_by_name(statement: ast.stmt) -> list[ast.stmt]:
    """An import of several names as imports of one each; of one, or for another
    statement, nothing.
    """
    if (
        not isinstance(statement, ast.Import | ast.ImportFrom)
        or len(statement.names) == 1
    ):
        return []
    found: list[ast.stmt] = []
    for name in statement.names:
        one = ast.copy_location(copy.copy(statement), name)
        one.names = [name]
        found.append(one)
    return found


def _in_class(
    statement: ast.stmt, error: BaseException, code: CodeType
) -> tuple[ast.stmt, int] | None:
    """The statement of a class's body that raised this, and its line; None if another
    one did.
    """
    step = _step(error, code)
    inner = step.tb_next.tb_frame.f_code if step and step.tb_next else None
    if (
        not isinstance(statement, ast.ClassDef)
        or inner is None
        or inner.co_name != statement.name
    ):
        return None
    line, place = _place(statement.body, error, inner)
    return None if place is None else (statement.body[place], line)


def decorated_line(statement: ast.stmt) -> int:
    """The number of the first line of a statement, with its decorators."""
    return min(
        one.lineno for one in (statement, *getattr(statement, "decorator_list", ()))
    )


def _why(source: str, path: str, line: int, error: BaseException) -> str:
    """The reason of a failure, with the line's text. What fails for an earlier failure
    has the reason of that one.
    """
    if isinstance(error, StatementFailed):
        return str(error)
    reason = (
        str(error)
        if time_limit(error)
        else traceback.format_exception_only(error)[-1].strip()
    )
    text = source.splitlines()[line - 1].strip()
    quoted = text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    return f"{Path(path).name}:{line}: `{quoted}` fails: {reason}"


def time_limit(error: BaseException) -> Literal["", "timed out", "too busy"]:
    """The time limit of the grader that this error says was reached; empty for
    any other.
    """
    kind = vars(type(error)).get("kind")
    return kind if kind in ("timed out", "too busy") else ""


def may_be_interrupted(frame: FrameType | None) -> bool:
    """Tell if a file's own code runs in this frame, so that a time limit may end
    its statement.
    """
    called = None
    while frame and frame.f_code is not run.__code__:
        called, frame = frame, frame.f_back
    return frame is None or (called is not None and called.f_code.co_name == "<module>")


def without(source: str, failed: Iterable[tuple[int, int]]) -> str:
    """The module without the statements at these lines, the others at theirs."""
    lines = io.StringIO(source, newline="").readlines()
    for first, last in failed:
        line = lines[first - 1]
        indentation = line[: len(line) - len(line.lstrip())]
        # a class's body may not be empty
        lines[first - 1 : last] = [f"{indentation}pass\n", *["\n"] * (last - first)]
    return "".join(lines)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that a statement binds."""
    top = symtable.symtable(ast.unparse(statement), "", "exec")
    return {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }


def _set_on_classes(
    statement: ast.stmt, space: Mapping[str, Any]
) -> list[tuple[type, str]]:
    """The attributes that a statement sets on classes of the module:
    `C.f = cached(C.f)`.
    """
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return []
    found = []
    for node in ast.walk(statement):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
        ):
            owner = space.get(node.value.id)
            if isinstance(owner, type) and owner.__module__ == space.get("__name__"):
                found.append((owner, node.attr))
    return found


def used(node: ast.AST) -> set[str]:
    """The module's names that a statement or an expression uses. Parameters and
    variables of functions are not.
    """
    text = ast.unparse(node)
    # *x is no statement
    top = symtable.symtable(
        f"({text},)" if isinstance(node, ast.expr) else text, "", "exec"
    )
    tables, found = [top], set()
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if (symbol.is_global() or table is top) and symbol.is_referenced():
                found.add(symbol.get_name())
    return found


def reached(
    wanted: Iterable[ast.stmt], makers: Mapping[str, Iterable[ast.stmt]]
) -> set[ast.stmt]:
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
            left += [
                maker for name in used(statement) for maker in makers.get(name, ())
            ]
    return found


def is_for_all(statement: ast.stmt) -> bool:
    """True if a statement changes other names' meaning: `from math import *`,
    `from __future__ import annotations`.
    """
    is_star = isinstance(statement, ast.ImportFrom) and any(
        alias.name == "*" for alias in statement.names
    )
    return is_star or is_future(statement)


def is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


def made(statement: ast.stmt) -> set[str]:
    """The names that a statement binds or whose objects it changes: `x = 1`,
    `x[0] = 1`, `x.y = 1`.
    """
    found = _bound(statement)
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(
            node.ctx, ast.Load
        ):
            root: ast.AST = node
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            found.update([root.id] if isinstance(root, ast.Name) else [])
    return found
