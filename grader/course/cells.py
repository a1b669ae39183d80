"""Convert between a kata's module and the code cells of a notebook."""

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

NOT_CODE = re.compile(r"# (lesson|check)\b")  # starts a cell that is not part of the module
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast.parse raises
TIMING = ("%%time", "%%timeit", "%%capture", "%%prun")
COMPOUND = (ast.For, ast.With, ast.If, ast.Try, getattr(ast, "TypeAlias", ast.Try))  # Python 3.11 has no TypeAlias

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Segment:
    """A piece of a module: its text, the blank lines after it, and the exercise that it defines, if any."""

    text: str
    after: str
    exercise: str = ""


def cut(module: str, exercises: Iterable[str]) -> list[Segment]:
    """Cut a module into pieces: one per exercise with the comments above it, and the text between exercises.

    Joining the texts and blank lines of all pieces gives the module.
    """
    lines = module.splitlines(keepends=True)
    named = set(exercises)
    starts = {0: ""}
    for node in ast.parse(module).body:
        if isinstance(node, Function | ast.ClassDef) and node.name in named:
            starts[first_line(node, lines)] = node.name
            starts.setdefault(node.end_lineno or node.lineno, "")
    edges = [*sorted(start for start in starts if start < len(lines)), len(lines)]
    found: list[Segment] = []
    for start, end in zip(edges, edges[1:], strict=False):
        piece = "".join(lines[start:end])
        text = piece.rstrip("\n")
        if text.strip() or not found:
            found.append(Segment(text, piece[len(text) :], starts[start]))
        else:  # only blank lines: they belong to the piece before
            found[-1] = Segment(found[-1].text, found[-1].after + piece, found[-1].exercise)
    return found


def up_front(segments: Iterable[Segment]) -> list[int]:
    """The indices of the pieces that do not need an exercise to run, so that they can come before all exercises."""
    found: list[int] = []
    later: set[str] = set()
    for index, segment in enumerate(segments):
        body = ast.parse(segment.text).body
        if segment.exercise or later & set().union(*map(_used_at_once, body)):
            later.update(name for statement in body for name in bound(statement))
        else:
            found.append(index)
    return found


def join(cells: Iterable[str], exercises: Iterable[str]) -> str:
    """Make a module from the code cells of a notebook: the exercises and the definitions that they use, nothing else.

    The last definition of a name counts, in any order of cells, unless it would replace code with an unwritten stub.
    Magics, shell lines and cells that do not parse are left out. If such a cell defines an exercise, calling the
    exercise raises the SyntaxError.
    """
    names = list(exercises)
    binding: dict[str, ast.stmt] = {}  # name → the statement that binds it
    order: list[ast.stmt] = []
    for statement in _statements(cells, names):
        own = bound(statement)
        if own and not all(n in binding and _is_unwritten(statement) and not _is_unwritten(binding[n]) for n in own):
            binding.update(dict.fromkeys(own, statement))
            order.append(statement)
    needed = _needed(binding, names)
    chosen = [statement for statement in order if statement in needed]
    return "\n\n\n".join(ast.unparse(s) for s in _sorted(chosen, binding)) + "\n" if chosen else ""


def python(cell: str) -> str:
    """The cell without notebook syntax: magics, shell lines and help requests."""
    lines = cell.splitlines()
    if lines and lines[0].startswith("%%"):
        if not lines[0].startswith(TIMING):
            return ""
        lines = lines[1:]
    return "\n".join(_line(line) for line in lines)


def bound(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, Function | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, Import):
        return [(alias.asname or alias.name).partition(".")[0] for alias in statement.names]
    targets: Sequence[ast.AST] = ()
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    elif isinstance(statement, COMPOUND):
        targets = [statement]
    nodes = [node for target in targets for node in ast.walk(target)]
    return list(dict.fromkeys(n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)))


def decorated_line(statement: ast.stmt) -> int:
    """The number of the first line of a statement, with its decorators."""
    return min([statement.lineno, *(decorator.lineno for decorator in getattr(statement, "decorator_list", []))])


def first_line(statement: ast.stmt, lines: list[str]) -> int:
    """The index of the first line of a statement, with its decorators and the comments right above it."""
    start = decorated_line(statement) - 1
    while start > 0 and lines[start - 1].strip().startswith("#"):
        start -= 1
    return start


def _statements(cells: Iterable[str], exercises: Collection[str]) -> Iterator[ast.stmt]:
    """The statements of all cells. In a cell that does not parse, exercises become functions that raise the error."""
    for number, cell in enumerate(cells, start=1):
        if NOT_CODE.match(cell):
            continue
        try:
            tree = ast.parse(python(cell))
            ast.unparse(tree)  # what `join` does too, and nothing recurses deeper
            yield from tree.body
        except UNREADABLE as error:
            yield from ast.parse("".join(_broken(n, number, error) for n in exercises if _defines(cell, n))).body


def _defines(cell: str, name: str) -> bool:
    return bool(re.search(rf"^(async def|def|class) {re.escape(name)}\b", cell, re.MULTILINE))


def _broken(name: str, number: int, error: Exception) -> str:
    where = f"cell {number}, line {getattr(error, 'lineno', None) or '?'}: {getattr(error, 'msg', error)}"
    return f"def {name}(*arguments, **options):\n    raise SyntaxError({where!r})\n"


def _line(line: str) -> str:
    """The line, with a magic or shell command replaced by a statement that does nothing."""
    bare = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if bare.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]+\?{1,2}", bare):
        return f"{indent}pass"
    assigned = re.match(r"(\s*[\w, ]+=\s*)[%!]", line)
    return f"{assigned[1]}None" if assigned else line


def _is_unwritten(statement: ast.stmt) -> bool:
    return "raise NotImplementedError" in ast.unparse(statement)


def _needed(binding: dict[str, ast.stmt], names: list[str]) -> set[ast.stmt]:
    """The statements that bind these names, and all statements that they use in turn."""
    needed: set[ast.stmt] = set()
    wanted = [binding[name] for name in names if name in binding]
    while wanted:
        statement = wanted.pop()
        if statement not in needed:
            needed.add(statement)
            wanted += [binding[name] for name in _used(statement) if name in binding]
    return needed


def _used(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _used_at_once(statement: ast.stmt) -> set[str]:
    """The names that a statement uses when it runs. The bodies of functions run later."""
    if isinstance(statement, Function):
        outside = [*statement.decorator_list, *([statement.returns] if statement.returns else [])]
        return _used(statement.args).union(*map(_used, outside))
    if isinstance(statement, ast.ClassDef):
        outside = [*statement.bases, *statement.decorator_list, *(k.value for k in statement.keywords)]
        return set().union(*map(_used, outside), *map(_used_at_once, statement.body))
    return _used(statement)


def _sorted(chosen: list[ast.stmt], binding: dict[str, ast.stmt]) -> list[ast.stmt]:
    """The statements in their order, imports first, each after the statements that it uses at once."""
    done: dict[ast.stmt, None] = {}

    def put(statement: ast.stmt, above: tuple[ast.stmt, ...]) -> None:
        if statement in done or statement in above:
            return
        for name in sorted(_used_at_once(statement)):
            if name in binding:
                put(binding[name], (*above, statement))
        done[statement] = None

    for statement in sorted(chosen, key=lambda s: not isinstance(s, Import)):
        put(statement, ())
    return list(done)
