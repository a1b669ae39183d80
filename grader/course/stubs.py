"""Stubs: the reference without the bodies of exercises, and without the helpers and
imports that only they use.
"""

import ast
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from grader.course import kata_modules
from grader.course.catalogue import Kata
from grader.course.cells import Function, Import, bound, first_line
from grader.course.statements import UNREADABLE
from grader.errors import LoadFailure

# ends a line of the reference: the stub keeps the statement and drops the comment
KEEP = "# stub: keep"
NOT_WRITTEN = "raise NotImplementedError"
Documented = ast.Module | ast.ClassDef | Function


def stub_of(kata: Kata) -> str | None:
    """The stub, generated from the reference. Without solutions, the stub packed at
    export; None if there is none.
    """
    if kata.reference.is_file():
        return generate(
            kata.reference.read_text(encoding="utf-8"),
            tuple(e.name for e in kata.exercises),
        )
    try:
        with zipfile.ZipFile(_packed(kata.root)) as packed:
            return packed.read(kata.file.as_posix()).decode()
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def content(kata: Kata) -> bytes:
    """What the kata's file holds when it is handed out: the stub as the generator makes
    it, whatever is in katas/.
    """
    stub = stub_of(kata)
    return kata.code.read_bytes() if stub is None else stub.encode()


def stale(katas: Iterable[Kata]) -> dict[Path, str]:
    """The files in katas/ that differ from their stub and contain no work, each with
    its stub.
    """
    found = {}
    for kata in katas:
        stub = stub_of(kata)
        current = (
            kata.code.read_text(encoding="utf-8", errors="replace")
            if kata.code.is_file()
            else ""
        )
        if stub is not None and current != stub and not is_begun(kata, kata.code):
            found[kata.code] = stub
    return found


def pack(katas: Iterable[Kata], root: Path) -> None:
    """Pack the stubs into the tree at `root`, where `stub_of` finds them
    without solutions.
    """
    _packed(root).parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(_packed(root), "w", zipfile.ZIP_DEFLATED) as packed:
        for kata in katas:
            # has a fixed date, so equal stubs give an equal file
            entry = zipfile.ZipInfo(kata.file.as_posix())
            packed.writestr(entry, stub_of(kata) or "", zipfile.ZIP_DEFLATED)


def is_begun(kata: Kata, path: Path) -> bool:
    """Tell if a file contains work: a written function that the stub lacks, no function
    at all, or broken text.
    """
    try:
        functions = dict(_functions(ast.parse(kata_modules.read_source(path)).body))
    except LoadFailure:
        return path.exists()
    except UNREADABLE:
        return True
    stub = dict(_functions(ast.parse(stub_of(kata) or "").body))
    return bool(_written(functions) - _written(stub)) or bool(stub and not functions)


def is_changed(kata: Kata, path: Path) -> bool:
    """Tell if there is a file that differs from the kata's stub, if only in
    a comment.
    """
    try:
        return kata_modules.read_source(path).replace("\r\n", "\n") != stub_of(kata)
    except LoadFailure:
        return path.exists()


def is_untouched(kata: Kata, source: str) -> bool:
    """Tell if the source is still the kata's stub: equal as Python, so apart from
    comments and layout.
    """
    if "NotImplementedError" not in source:
        return False
    stub = stub_of(kata)
    return stub is not None and same_python(source, stub)


def same_python(one: str, other: str) -> bool:
    """Tell if two sources differ in comments and layout at most, also of docstrings."""
    try:
        return one == other or _as_python(one) == _as_python(other)
    except UNREADABLE:
        return False


@lru_cache(maxsize=100)
def _as_python(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, Documented) and (text := ast.get_docstring(node)):
            node.body[0] = ast.Expr(ast.Constant(" ".join(text.split())))
    return ast.dump(tree)


@cache
def generate(reference: str, exercises: tuple[str, ...]) -> str:
    """Make the stub of a kata.

    Args:
        reference: the source of the reference module.
        exercises: names of functions, classes and methods ("GPT.forward"). Of a class
            that is an exercise, every public method is to be written. Of a class with a
            method that is one, the other public methods stay as they are.
    """
    lines = reference.splitlines(keepends=True)
    names = list(exercises)
    for name, function in reversed(list(_functions(ast.parse(reference).body))):
        if _belongs(name, names) and not (
            _is_private(function.name) or _is_kept(function, lines)
        ):
            _open(function, lines)
    owners = {name.partition(".")[0] for name in names}
    for statement in reversed(_parsed(lines)):
        if isinstance(statement, ast.ClassDef) and statement.name in owners:
            _cut_helpers(
                statement.body,
                [s for s in statement.body if isinstance(s, Function)],
                lines,
            )
    body = _parsed(lines)
    _cut_helpers(body, [s for s in body if not isinstance(s, Import)], lines)
    _cut_imports(lines)
    return "".join(lines).replace(f"  {KEEP}", "").rstrip("\n") + "\n"


def lacking(
    reference: str, exercises: tuple[str, ...], names: tuple[str, ...]
) -> list[ast.stmt]:
    """The reference's definitions of these names, with the imports, and the helpers
    that the stub lacks.
    """
    body = ast.parse(reference).body
    stub = ast.parse(generate(reference, exercises)).body
    given = {
        name
        for statement in stub
        if not isinstance(statement, Import)
        for name in bound(statement)
    }
    helpers = [s for s in body if given.isdisjoint(bound(s))]
    wanted = [
        s
        for s in body
        if not set(names).isdisjoint(_called(s) if s in helpers else bound(s))
    ]
    needed = _needed(wanted, helpers)
    return [s for s in body if s in needed]


def _packed(root: Path) -> Path:
    return root / "grader" / "data" / "stubs.zip"


def _written(functions: dict[str, Function]) -> set[str]:
    return {name for name, function in functions.items() if not is_open(function)}


def _functions(body: Iterable[ast.stmt]) -> Iterator[tuple[str, Function]]:
    """Every function and method with its name: "split_heads", "GPT.forward"."""
    for statement in body:
        if isinstance(statement, Function):
            yield statement.name, statement
        elif isinstance(statement, ast.ClassDef):
            yield from (
                (f"{statement.name}.{n.name}", n)
                for n in statement.body
                if isinstance(n, Function)
            )


def _belongs(name: str, exercises: list[str]) -> bool:
    """Tell if a function is an exercise, or a method of a class that is one."""
    return name in exercises or name.partition(".")[0] in exercises


def is_open(function: Function) -> bool:
    """Tell if the function is left to the learner: it ends as stubs do. An abstract
    method's error has a message.
    """
    return ast.unparse(function.body[-1]) == NOT_WRITTEN


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _is_kept(statement: ast.stmt, lines: list[str]) -> bool:
    return lines[statement.lineno - 1].rstrip().endswith(KEEP)


def _parsed(lines: list[str]) -> list[ast.stmt]:
    return ast.parse("".join(lines)).body


def _open(function: Function, lines: list[str]) -> None:
    """Replace the body, except its docstring, with `raise NotImplementedError`."""
    first = function.body[0]
    start = (
        first_line(first, lines) if ast.get_docstring(function) is None else _end(first)
    )
    lines[start : _end(function)] = [f"{' ' * first.col_offset}{NOT_WRITTEN}\n"]


def _cut_helpers(
    body: list[ast.stmt], candidates: Sequence[ast.stmt], lines: list[str]
) -> None:
    """Remove the private ones among these statements that the rest of the body does
    not use.
    """
    helpers = [s for s in candidates if _is_helper(s, lines)]
    if not helpers:
        return
    needed = _needed([s for s in body if s not in helpers], helpers)
    for statement in reversed(body):
        if statement not in needed:
            _cut(statement, lines)


def _needed(wanted: list[ast.stmt], helpers: Collection[ast.stmt]) -> set[ast.stmt]:
    """These statements, and the helpers that they use, directly or not."""
    needed: set[ast.stmt] = set()
    while wanted:
        statement = wanted.pop()
        needed.add(statement)
        used = _names(statement) | _attributes(statement)
        wanted += [
            s for s in helpers if s not in needed and not used.isdisjoint(_called(s))
        ]
    return needed


def _called(statement: ast.stmt) -> set[str]:
    """What others call a statement: the names that it binds, and those under which its
    decorators register it.
    """
    decorators = getattr(statement, "decorator_list", [])
    return set(bound(statement)).union(*map(_quoted, decorators))


def _is_helper(statement: ast.stmt, lines: list[str]) -> bool:
    names = bound(statement)
    return (
        bool(names) and all(map(_is_private, names)) and not _is_kept(statement, lines)
    )


def _cut_imports(lines: list[str]) -> None:
    """Remove imported names that the module does not use."""
    body = _parsed(lines)
    used = {
        name
        for statement in body
        if not isinstance(statement, Import)
        for name in _names(statement)
    }
    for statement in reversed(body):
        if not isinstance(statement, Import) or _is_kept(statement, lines):
            continue
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            continue
        aliases = [
            alias
            for alias in statement.names
            if (alias.asname or alias.name).partition(".")[0] in used
        ]
        if not aliases:
            _cut(statement, lines)
        elif len(aliases) < len(statement.names):
            statement.names = aliases
            lines[statement.lineno - 1 : _end(statement)] = [
                f"{ast.unparse(statement)}\n"
            ]


def _cut(statement: ast.stmt, lines: list[str]) -> None:
    """Remove a statement, the comments above it, and the blank lines above or, at the
    head of a class, below.
    """
    start, end = first_line(statement, lines), _end(statement)
    if not "".join(lines[end : end + 1]).strip():
        at_the_head = start > 0 and lines[start - 1].rstrip().endswith(":")
        while at_the_head and end < len(lines) and not lines[end].strip():
            end += 1
        while start > 0 and not lines[start - 1].strip():
            start -= 1
    del lines[start:end]


def _end(statement: ast.stmt) -> int:
    """The index of the line after a statement."""
    return statement.end_lineno or statement.lineno


def _names(node: ast.AST) -> set[str]:
    """The names in a statement, also those in quotes, which may be annotations."""
    names: set[str] = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Name):
            names.add(n.id)
        elif (
            isinstance(n, ast.Constant)
            and isinstance(n.value, str)
            and n.value.isidentifier()
        ):
            names.add(n.value)
    return names


def _quoted(node: ast.AST) -> set[str]:
    quoted = {
        n.value
        for n in ast.walk(node)
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    }
    return {text for text in quoted if text.isidentifier()}


def _attributes(node: ast.AST) -> set[str]:
    return {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
