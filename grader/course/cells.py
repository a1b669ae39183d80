"""Convert between a kata's module and the code cells of a notebook."""

import ast
import builtins
import re
import symtable
import textwrap
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from grader.course.statements import (
    UNREADABLE,
    decorated_line,
    is_for_all,
    is_future,
    reached,
    used,
)
from grader.failure import UNPARSED

# starts a cell that is not part of the module
NOT_CODE = re.compile(r"# (lesson|check)\b")
TIMING = ("%%time", "%%timeit", "%%capture", "%%prun")
WRITING = ("%%writefile", "%%file")  # write the rest of their cell to a file
APPENDING = ("-a", "--append")
# Python 3.11 has no TypeAlias
COMPOUND = (ast.For, ast.With, ast.If, ast.Try, getattr(ast, "TypeAlias", ast.Try))

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom


@dataclass(frozen=True)
class Segment:
    """A piece of a module: its text, the blank lines after it, and the exercise that it
    defines, if any.
    """

    text: str
    after: str
    exercise: str = ""


def cut(module: str, exercises: Iterable[str]) -> list[Segment]:
    """Cut a module into pieces: one per exercise with the comments above it, and the
    text between exercises.

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
            found[-1] = Segment(
                found[-1].text, found[-1].after + piece, found[-1].exercise
            )
    return found


def up_front(segments: Iterable[Segment]) -> list[int]:
    """The indices of the pieces that do not need an exercise to run, so that they can
    come before all exercises.
    """
    found: list[int] = []
    later: set[str] = set()
    for index, segment in enumerate(segments):
        body = ast.parse(segment.text).body
        if segment.exercise or later & set().union(*map(_used_at_once, body)):
            later.update(name for statement in body for name in bound(statement))
        else:
            found.append(index)
    return found


@dataclass(frozen=True)
class Joined:
    """The module in a notebook's cells, and what a person should know about it.

    Attributes:
        undefined: the exercises that no code cell defines.
        notes: one line per exercise with several definitions and per cell that does not
            parse, then what was given.
        hidden: the cell whose magic hides an exercise that has no code elsewhere; empty
            if there is none.
    """

    text: str
    undefined: tuple[str, ...]
    notes: tuple[str, ...]
    hidden: str = ""


@dataclass(frozen=True)
class Definition:
    """A statement of a cell. It is broken where it stands for an exercise in a cell
    that does not parse.
    """

    statement: ast.stmt
    cell: int  # counted from 1; 0 for the stub
    is_broken: bool = False

    @property
    def rank(self) -> int:
        """A definition replaces an earlier one of the same rank or a lower one."""
        if self.is_broken:
            return 1
        return 0 if "raise NotImplementedError" in ast.unparse(self.statement) else 2


def join(
    cells: Iterable[str], exercises: Iterable[str], stub: str = "", file: str = ""
) -> Joined:
    """Make a module from a notebook's code: the exercises, what the stub gives, and the
    definitions that these use.

    The last definition of a name counts, in any order of cells, unless it would replace
    code with an unwritten stub or with a cell that does not parse. Magics, shell lines
    and cells that do not parse are left out. If such a cell defines an exercise,
    calling the exercise raises the SyntaxError.

    Args:
        cells: the texts of all cells, which notes count from 1; "" for a cell that is
            not code.
        stub: where definitions come from that it gives and that no cell has.
        file: the name of the module's file. What `%%writefile` writes to it is code of
            the module.
    """
    names, cells = list(dict.fromkeys(exercises)), _last_written(cells, file)
    found, unreadable = _definitions(cells, names, file)
    given = [
        Definition(s, 0)
        for s in ast.parse(stub).body
        if not set(names).intersection(bound(s))
    ]
    others = [
        n
        for one in given
        if not isinstance(one.statement, Import)
        for n in bound(one.statement)
    ]
    binding: dict[str, Definition] = {}  # name → the definition that counts
    for one in [*given, *found]:
        own = bound(one.statement)
        if own and not all(
            name in binding and one.rank < binding[name].rank for name in own
        ):
            binding.update(dict.fromkeys(own, one))
    statements = {name: one.statement for name, one in binding.items()}
    wanted = [statements[name] for name in [*names, *others] if name in statements]
    needed = reached(
        wanted, {name: [statement] for name, statement in statements.items()}
    )
    chosen = [
        s
        for s in (one.statement for one in [*given, *found])
        if s in needed or is_for_all(s)
    ]
    from_stub = [
        n for n, one in binding.items() if not one.cell and one.statement in needed
    ]
    notes = [*_repeated(names, found, binding), *unreadable]
    if from_stub:
        notes.append(
            f"not in the notebook, so taken from the stub: {', '.join(from_stub)}"
        )
    text = (
        "\n\n\n".join(ast.unparse(s) for s in _sorted(chosen, statements)) + "\n"
        if chosen
        else ""
    )
    if nowhere := [name for name in nowhere_defined(text) if name not in names]:
        notes.append(f"used, but not defined in a cell: {', '.join(nowhere)}")
    undefined = tuple(name for name in names if name not in binding)
    unwritten = [name for name in names if name in undefined or binding[name].rank < 2]
    return Joined(text, undefined, tuple(notes), _hidden(cells, unwritten, file))


def python(cell: str, file: str = "") -> str:
    """The cell without notebook syntax: magics, shell lines, help requests and an
    indentation of all lines.

    Args:
        file: see `join`.
    """
    lines = (
        textwrap.dedent(cell) if cell.startswith((" ", "\t")) else cell
    ).splitlines()
    if magic(cell):
        if not magic(cell).startswith(TIMING) and not writes(cell, file):
            return ""
        lines[next(number for number, line in enumerate(lines) if line.strip())] = ""
    return "\n".join(_line(line) for line in lines)


def magic(cell: str) -> str:
    """The line with which a cell gives the rest of it to a magic; empty if it
    does not.
    """
    head = cell.lstrip().partition("\n")[0]
    return head if head.startswith("%%") else ""


def writes(cell: str, file: str) -> str:
    """How a cell writes this file: "anew" or "on", at its end; empty if it does not."""
    first, *words = magic(cell).split() or [""]
    name = (
        " ".join(word for word in words if word not in APPENDING)
        .strip("'\"")
        .replace("\\", "/")
    )
    if first not in WRITING or name.rpartition("/")[2] != file:
        return ""
    return "on" if set(words) & set(APPENDING) else "anew"


def _last_written(cells: Iterable[str], file: str) -> list[str]:
    """The cells, empty where a later one writes the file anew."""
    cells = list(cells)
    last = max(
        (number for number, cell in enumerate(cells) if writes(cell, file) == "anew"),
        default=0,
    )
    return [
        "" if number < last and writes(cell, file) else cell
        for number, cell in enumerate(cells)
    ]


def _hidden(cells: Iterable[str], names: Iterable[str], file: str) -> str:
    """What to say of these exercises, which have no code, if a magic hides that of one;
    empty if none does.
    """
    for number, cell in enumerate(cells, start=1):
        if (
            magic(cell)
            and not python(cell, file)
            and (own := [name for name in names if defines(cell, name)])
        ):
            return (
                f"cell {number}: `{magic(cell)[:60]}` hides {own[0]}: put it into a "
                "cell without this line"
            )
    return ""


def is_python(text: str) -> bool:
    """Tell if this is the text of a Python file with code in it."""
    try:
        return bool(ast.parse(text).body)
    except UNREADABLE:
        return False


def bound(statement: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, Function | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, Import):
        return [
            (alias.asname or alias.name).partition(".")[0] for alias in statement.names
        ]
    targets: Sequence[ast.AST] = ()
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    elif isinstance(statement, COMPOUND):
        targets = [statement]
    nodes = [node for target in targets for node in ast.walk(target)]
    return list(
        dict.fromkeys(
            n.id
            for n in nodes
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        )
    )


def definitions(tree: ast.Module) -> dict[str, Function | ast.ClassDef]:
    """The functions, classes and methods by dotted name, in order; of those with one
    name, the last.
    """
    found: dict[str, Function | ast.ClassDef] = {}
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef):
            found[node.name] = node
            inner = node.body if isinstance(node, ast.ClassDef) else []
            found |= {
                f"{node.name}.{method.name}": method
                for method in inner
                if isinstance(method, Function)
            }
    return found


def first_line(statement: ast.stmt, lines: list[str]) -> int:
    """The index of the first line of a statement, with its decorators and the comments
    right above it.
    """
    start = decorated_line(statement) - 1
    while start > 0 and lines[start - 1].strip().startswith("#"):
        start -= 1
    return start


def _definitions(
    cells: Iterable[str], exercises: Collection[str], file: str
) -> tuple[list[Definition], list[str]]:
    """The statements of all cells, and a line on each cell that does not parse, those
    of exercises first.

    In such a cell, exercises become functions that raise the error.
    """
    found: list[Definition] = []
    first: list[str] = []
    rest: list[str] = []
    for number, cell in enumerate(cells, start=1):
        if NOT_CODE.match(cell):
            continue
        try:
            with warnings.catch_warnings(action="ignore"):
                tree = ast.parse(python(cell, file))
                ast.unparse(tree)  # what `join` does too, and nothing recurses deeper
                compile(
                    tree,
                    "cell",
                    "exec",
                    ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
                    dont_inherit=True,
                )
                found += [
                    Definition(statement, number)
                    for statement in tree.body
                    if not _awaits(statement)
                ]
        except UNREADABLE as error:
            why = (
                f"cell {number} {UNPARSED}: line "
                f"{getattr(error, 'lineno', None) or '?'}: {_said(error)}"
            )
            begun = [name for name in exercises if defines(cell, name)]
            broken = "".join(
                f"def {n}(*arguments, **options):\n    raise SyntaxError({why!r})\n"
                for n in begun
            )
            found += [
                Definition(statement, number, is_broken=True)
                for statement in ast.parse(broken).body
            ]
            (first if begun else rest).append(why)
    return found, [*first, *rest]


def defines(cell: str, name: str) -> bool:
    """Tell if a cell has the head of a function or class of this name, even if it does
    not parse.
    """
    return bool(
        re.search(
            rf"^(async def|def|class) {re.escape(name)}\b",
            textwrap.dedent(cell),
            re.MULTILINE,
        )
    )


def _awaits(statement: ast.stmt) -> bool:
    """Tell if a statement awaits something outside of functions, which only a
    notebook can.
    """
    try:
        compile(ast.Module([statement], []), "cell", "exec", dont_inherit=True)
    except SyntaxError:
        return True
    return False


def _repeated(
    names: Iterable[str], found: Iterable[Definition], binding: dict[str, Definition]
) -> Iterator[str]:
    """A line per exercise that several cells define, with the one that counts."""
    for name in names:
        places = list(
            dict.fromkeys(
                str(one.cell) for one in found if name in bound(one.statement)
            )
        )
        if len(places) > 1:
            where = f"{', '.join(places[:-1])} and {places[-1]}"
            yield (
                f"{name} is defined in cells {where}; cell {binding[name].cell} counts"
            )


def _said(error: Exception) -> str:
    return str(getattr(error, "msg", error))


def _line(line: str) -> str:
    """The line, with a magic or shell command replaced by a statement that
    does nothing.
    """
    bare = line.strip()
    indent = line[: len(line) - len(line.lstrip())]
    if bare.startswith(("%", "!", "?")) or re.fullmatch(r"[\w.]+\?{1,2}", bare):
        return f"{indent}pass"
    assigned = re.match(r"(\s*[\w, ]+=\s*)[%!]", line)
    return f"{assigned[1]}None" if assigned else line


def nowhere_defined(module: str) -> list[str]:
    """The names that a module uses and nobody defines, unless it imports everything
    from somewhere.
    """
    try:
        top = symtable.symtable(module, "module", "exec")
    except UNREADABLE:  # the module then says so itself
        return []
    if "import *" in module:
        return []
    tables = [top]
    for table in tables:
        tables += table.get_children()
    known = {
        symbol.get_name()
        for symbol in top.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    used = {
        s.get_name()
        for table in tables
        for s in table.get_symbols()
        if s.is_global() and s.is_referenced()
    }
    # Python 3.14's own
    return sorted(
        used - known - set(dir(builtins)) - {"__file__", "__conditional_annotations__"}
    )


def _used_at_once(statement: ast.stmt) -> set[str]:
    """The names that a statement uses when it runs. The bodies of functions
    run later.
    """
    if isinstance(statement, Function):
        given = statement.args
        annotated = [
            *given.posonlyargs,
            *given.args,
            *given.kwonlyargs,
            given.vararg,
            given.kwarg,
        ]
        hints = [argument.annotation for argument in annotated if argument]
        parts = [
            *statement.decorator_list,
            *given.defaults,
            *given.kw_defaults,
            *hints,
            statement.returns,
        ]
        return set().union(*(used(part) for part in parts if part))
    if isinstance(statement, ast.ClassDef):
        outside = [
            *statement.bases,
            *statement.decorator_list,
            *(k.value for k in statement.keywords),
        ]
        return set().union(*map(used, outside), *map(_used_at_once, statement.body))
    return used(statement)


def _sorted(chosen: list[ast.stmt], binding: dict[str, ast.stmt]) -> list[ast.stmt]:
    """The statements in their order, imports first, each after the statements that it
    uses at once.
    """
    done: dict[ast.stmt, None] = {}

    def put(statement: ast.stmt, above: tuple[ast.stmt, ...]) -> None:
        if statement in done or statement in above:
            return
        for name in sorted(_used_at_once(statement)):
            if name in binding:
                put(binding[name], (*above, statement))
        done[statement] = None

    for statement in sorted(
        chosen, key=lambda s: (not is_future(s), not isinstance(s, Import))
    ):
        put(statement, ())
    return list(done)
