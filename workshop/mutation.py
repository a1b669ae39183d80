"""Small changes of a text, each within one definition, that compile and mean
something else.
"""

import ast
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from os.path import commonprefix

from grader.course import stubs
from grader.course.cells import decorated_line
from workshop.operators import Edit, Source


@dataclass(frozen=True)
class Mutant:
    """The text of a kata's file after one edit, in the definition of that name.

    `was` and `now` are the lines that differ, stripped and joined to one.
    """

    line: int
    definition: str
    operator: str
    source: str
    was: str
    now: str


def generate(source: Source, edits: Iterable[Edit], stub: str) -> list[Mutant]:
    """The mutants that these edits make, in the order of their lines: those that
    compile, each once.
    """
    fixed = fixed_parts(source, ast.parse(stub))
    spans = [
        (source.lines[first - 1], source.lines[last], name)
        for first, last, name in definitions(source.tree)
    ]
    seen = {_meaning(source.text(low, high)) for low, high, _ in spans}
    mutants = []
    for edit in (_trimmed(source, edit) for edit in edits):
        if not any(low <= edit.start and edit.end <= high for low, high in fixed):
            low, high, name = next(
                found for found in spans if found[0] <= edit.start < found[1]
            )
            meaning = _meaning(
                source.text(low, edit.start) + edit.now + source.text(edit.end, high)
            )
            if meaning and meaning not in seen:
                seen.add(meaning)
                mutants.append(_mutant(source, edit, name))
    return sorted(mutants, key=lambda mutant: mutant.line)


def fixed_parts(source: Source, stub: ast.Module) -> list[tuple[int, int]]:
    """Spans without edits: docstrings, annotations, imports, `__all__`, error texts,
    and what the stub gives.

    The stub gives whole statements, functions with a body, and the default values of
    all others.
    """
    given = {(owner, ast.unparse(node)) for owner, node in _members(stub)}
    given |= {
        (owner, node.name)
        for owner, node in _members(stub)
        if isinstance(node, ast.FunctionDef) and not stubs.is_open(node)
    }
    signatures = {
        (owner, node.name) for owner, node in _members(stub) if hasattr(node, "name")
    }
    nodes: list[ast.AST] = []
    spans = []
    for owner, member in _members(source.tree):
        if (owner, ast.unparse(member)) in given or (
            owner,
            getattr(member, "name", None),
        ) in given:
            nodes.append(member)
        elif isinstance(member, ast.FunctionDef) and (owner, member.name) in signatures:
            nodes += [
                default
                for default in [*member.args.defaults, *member.args.kw_defaults]
                if default
            ]
        if decorators := getattr(member, "decorator_list", None):
            if (owner, getattr(member, "name", None)) in signatures:
                spans.append(
                    (
                        source.lines[decorators[0].lineno - 1],
                        source.lines[member.lineno - 1],
                    )
                )
    for node in ast.walk(source.tree):
        match node:
            case (
                ast.Import()
                | ast.ImportFrom()
                | ast.Expr(value=ast.Constant())
                | ast.Assign(targets=[ast.Name(id="__all__")])
            ):
                nodes.append(node)
            case (
                ast.arg(annotation=ast.expr() as part)
                | ast.AnnAssign(annotation=part)
                | ast.Assert(msg=ast.expr() as part)
            ):
                nodes.append(part)
            case ast.Call(func=ast.Name(id="zip"), keywords=keywords):
                nodes += keywords
            case ast.Raise(exc=ast.Call(args=args, keywords=keywords)):
                nodes += [*args, *(keyword.value for keyword in keywords)]
            case ast.FunctionDef():
                nodes += [*filter(None, [node.returns]), *_only_for_messages(node)]
    return spans + [(source.start(node), source.end(node)) for node in nodes]


def _members(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    """The statements of a module and of its classes, each with the name of its class
    ("" for the module).
    """
    for node in tree.body:
        yield "", node
        if isinstance(node, ast.ClassDef):
            yield from ((node.name, inner) for inner in node.body)


def _only_for_messages(function: ast.FunctionDef) -> list[ast.Assign]:
    """Assignments of names that are read in a `raise` and nowhere else: they prepare
    its text.
    """
    raises = [node for node in ast.walk(function) if isinstance(node, ast.Raise)]
    told = [
        node
        for raise_ in raises
        for node in ast.walk(raise_)
        if isinstance(node, ast.Name)
    ]
    read = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    names = {node.id for node in told} - {node.id for node in read if node not in told}
    assigned = [node for node in ast.walk(function) if isinstance(node, ast.Assign)]
    return [
        node
        for node in assigned
        if isinstance(node.targets[0], ast.Name) and node.targets[0].id in names
    ]


def definitions(tree: ast.Module) -> Iterator[tuple[int, int, str]]:
    """The first and last line of each statement of a module, with its decorators, and
    the name that it defines.
    """
    for node in tree.body:
        yield (
            decorated_line(node),
            node.end_lineno or node.lineno,
            getattr(node, "name", ""),
        )


def _meaning(code: str) -> str:
    """The code without its layout; empty if it does not compile."""
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(code)
            compile(tree, "mutant", "exec")
    except SyntaxError:
        return ""
    return ast.dump(tree)


def _trimmed(source: Source, edit: Edit) -> Edit:
    """The same edit without what it leaves as it was at its start and its end."""
    was, now = source.text(edit.start, edit.end), edit.now
    head = commonprefix([was, now])
    was, now = was[len(head) :], now[len(head) :]
    tail = commonprefix([was[::-1], now[::-1]])
    return Edit(
        edit.operator,
        edit.start + len(head.encode()),
        edit.end - len(tail.encode()),
        now[: len(now) - len(tail)],
    )


def _mutant(source: Source, edit: Edit, definition: str) -> Mutant:
    after = source.edited(edit)
    was, now = source.data.decode().splitlines(), after.splitlines()
    head = len(commonprefix([was, now]))
    was, now = was[head:], now[head:]
    tail = len(commonprefix([was[::-1], now[::-1]]))
    was, now = was[: len(was) - tail], now[: len(now) - tail]
    return Mutant(
        head + 1, definition, edit.operator, after, _one_line(was), _one_line(now)
    )


def _one_line(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)
