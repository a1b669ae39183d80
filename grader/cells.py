"""Between a kata's module and the code cells of a notebook: cut a module into cells, and put cells together to a module."""

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

NOT_CODE = re.compile(r"# (lesson|check)\b")  # how a cell begins that is no part of the module
TIMING = ("%%time", "%%timeit", "%%capture", "%%prun")


@dataclass(frozen=True)
class Segment:
    """A piece of a module: its text without the blank lines behind it, those, and the exercise it defines, if any."""

    text: str
    after: str
    exercise: str = ""


def cut(module: str, exercises: Iterable[str]) -> list[Segment]:
    """The module in pieces, one an exercise with the comments above it, in between what belongs to none.

    The pieces' texts and blank lines, one after the other, are the module.
    """
    lines = module.splitlines(keepends=True)
    named = set(exercises)
    starts = {0: ""}
    for node in ast.parse(module).body:
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        while first > 0 and lines[first - 1].startswith("#"):
            first -= 1
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in named:
            starts[first] = node.name
            starts.setdefault(node.end_lineno, "")
    edges = [*sorted(start for start in starts if start < len(lines)), len(lines)]
    pieces = [("".join(lines[a:b]), starts[a]) for a, b in zip(edges, edges[1:], strict=False)]
    found = []
    for text, exercise in pieces:
        body = text.rstrip("\n")
        if body.strip() or not found:
            found.append(Segment(body, text[len(body) :], exercise))
        else:  # blank lines belong to what stands before them
            found[-1] = Segment(found[-1].text, found[-1].after + text, found[-1].exercise)
    return found


def up_front(segments: Iterable[Segment]) -> list[int]:
    """The places of the pieces that can run before all exercises: what no check below an exercise should have to wait for."""
    found: list[int] = []
    later: set[str] = set()
    for place, segment in enumerate(segments):
        body = ast.parse(segment.text).body
        if segment.exercise or later & set().union(*map(_at_once, body)):
            later.update(name for statement in body for name in bound(statement))
        else:
            found.append(place)
    return found


def join(cells: Iterable[str], exercises: Iterable[str]) -> str:
    """A module from the code cells of a notebook: what the exercises need, and nothing that only shows or tries something.

    Whatever the cells' order, a name's last definition counts, but one that is written before one that is not. Magics and shell
    lines are left out, and so is a cell that is no Python; if it was to define an exercise, the exercise raises the SyntaxError.
    """
    exercises = list(exercises)
    statements: dict[str, ast.stmt] = {}  # a name → what binds it
    order: list[ast.stmt] = []
    for number, cell in enumerate(cells, start=1):
        if NOT_CODE.match(cell):
            continue
        try:
            body = ast.parse(python(cell)).body
        except (SyntaxError, ValueError, RecursionError) as error:
            body = ast.parse("".join(_broken(name, number, error) for name in exercises if _defines(cell, name))).body
        for statement in body:
            names = bound(statement)
            if names and not all(n in statements and _unwritten(statement) and not _unwritten(statements[n]) for n in names):
                statements.update(dict.fromkeys(names, statement))
                order.append(statement)
    wanted: dict[ast.stmt, None] = {}
    needed = [name for name in exercises if name in statements]
    while needed:
        statement = statements[needed.pop()]
        if statement not in wanted:
            wanted[statement] = None
            needed += [name for name in used(statement) if name in statements]
    chosen = [statement for statement in order if statement in wanted]
    return "\n\n\n".join(ast.unparse(s) for s in _in_order(chosen, statements)) + "\n" if chosen else ""


def python(cell: str) -> str:
    """The cell without what only a notebook understands: magics, shell lines, questions."""
    lines = cell.splitlines()
    if lines and lines[0].startswith("%%"):
        if not lines[0].startswith(TIMING):
            return ""
        lines = lines[1:]
    return "\n".join(_line(line) for line in lines)


def bound(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.For, ast.With, ast.If, ast.Try, ast.TypeAlias if hasattr(ast, "TypeAlias") else ast.Assign)):
        return list(dict.fromkeys(n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)))
    return []


def used(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _line(line: str) -> str:
    """The line, or something harmless in the place of a magic."""
    bare = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if bare.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]+\?{1,2}", bare):
        return f"{indent}pass"
    assigned = re.match(r"(\s*[\w, ]+=\s*)[%!]", line)
    return f"{assigned[1]}None" if assigned else line


def _defines(cell: str, name: str) -> bool:
    return bool(re.search(rf"^(def|class) {re.escape(name)}\b", cell, re.MULTILINE))


def _broken(name: str, number: int, error: Exception) -> str:
    where = f"cell {number}, line {getattr(error, 'lineno', None) or '?'}: {getattr(error, 'msg', error)}"
    return f"def {name}(*arguments, **options):\n    raise SyntaxError({where!r})\n"


def _unwritten(statement: ast.stmt) -> bool:
    return "raise NotImplementedError" in ast.unparse(statement)


def _at_once(statement: ast.stmt) -> set[str]:
    """The names that running the statement itself needs: not those inside the functions that it defines."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return used(statement.args) | set().union(*map(used, statement.decorator_list), used(statement.returns) if statement.returns else set())
    if isinstance(statement, ast.ClassDef):
        outside = [*statement.bases, *statement.decorator_list, *(k.value for k in statement.keywords)]
        return set().union(*map(used, outside), *map(_at_once, statement.body))
    return used(statement)


def _in_order(chosen: list[ast.stmt], statements: dict[str, ast.stmt]) -> list[ast.stmt]:
    """The statements so that each stands behind those that it needs at once; otherwise as they came, imports first."""
    came = sorted(chosen, key=lambda s: not isinstance(s, (ast.Import, ast.ImportFrom)))
    done: dict[ast.stmt, None] = {}

    def put(statement: ast.stmt, above: tuple[ast.stmt, ...]) -> None:
        if statement in done or statement in above:
            return
        for name in sorted(_at_once(statement)):
            if name in statements:
                put(statements[name], (*above, statement))
        done[statement] = None

    for statement in came:
        put(statement, ())
    return list(done)
