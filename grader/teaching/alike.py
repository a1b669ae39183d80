"""Finds students whose code is the same: compares syntax trees without names, comments, type hints and order."""

import ast
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from grader.course import stubs
from grader.course.catalogue import Kata
from grader.course.cells import UNREADABLE, Function
from grader.results import TELLING, Alike
from grader.workers.jobs import SourceText

HELPERS = "helpers"  # the name of every definition that is no exercise
DROPPED = ("ctx", "kind", "annotation", "returns", "type_comment", "type_ignores", "type_params")
Shape = tuple[object, ...]  # of a node of a syntax tree: its type, then its fields; a name is its number


def found(texts: Mapping[str, Mapping[Kata, SourceText]], katas: Iterable[Kata]) -> tuple[Alike, ...]:
    """The groups of students who share definitions of a kata that are large enough to tell, the largest first.

    Parts of a definition count where they are in statements that neither the stub nor the course's solutions have.
    """
    groups: list[Alike] = []
    for kata in katas:
        groups += _of(kata, {student: own[kata].text for student, own in texts.items() if kata in own})
    return tuple(sorted(groups, key=lambda group: -group.size))


def _of(kata: Kata, texts: Mapping[str, str]) -> Iterator[Alike]:
    exercises = {exercise.name for exercise in kata.exercises}
    given = {_head(statement) for text in _given(kata) for statement in _statements(ast.parse(text))}
    known = {text: _definitions(text, exercises, given) for text in set(texts.values())}
    sharing: defaultdict[str, dict[str, str]] = defaultdict(dict)  # definition → student → its name there
    sizes: dict[str, int] = {}
    for student, text in texts.items():
        for name, definition, size in known[text]:
            if size >= TELLING:
                sharing[definition].setdefault(student, name)
                sizes[definition] = size
    groups: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for definition, names in sharing.items():
        groups[tuple(names)].append(definition)
    for students, definitions in groups.items():
        if len(students) > 1:
            shared = dict.fromkeys(sharing[one][students[0]] for one in definitions)
            yield Alike(kata.name, students, tuple(shared), sum(sizes[one] for one in definitions))


def _given(kata: Kata) -> Iterator[str]:
    """What everybody may have: the stub, the reference, and the author's other right solutions."""
    yield stubs.stub_of(kata) or ""
    for path in (kata.reference, kata.textbook, *kata.accepted):
        if path.is_file():
            yield path.read_text(encoding="utf-8")


def _definitions(text: str, exercises: set[str], given: set[Shape]) -> list[tuple[str, str, int]]:
    """Each definition's exercise, a hash of its shape, and the number of its parts that are not given.

    There are none in a text that does not parse, or is nested too deeply to be compared.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return list(_measured(ast.parse(text), exercises, given))
    except UNREADABLE:
        return []


def _measured(tree: ast.Module, exercises: set[str], given: set[Shape]) -> Iterator[tuple[str, str, int]]:
    for node in tree.body:
        inside = list(ast.walk(node))
        own = {one.attr for one in inside if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store)}
        own |= {one.name for one in inside if isinstance(one, Function)}
        for name, parts in _named(node, exercises):
            shapes = sorted(repr(_shape(part, {}, frozenset(own))) for part in parts)
            heads = [_head(statement) for part in parts for statement in _statements(part)]
            size = sum(_size(head) for head in heads if head not in given)
            yield name if name in exercises else HELPERS, sha256("".join(shapes).encode()).hexdigest(), size


def _named(node: ast.stmt, exercises: set[str]) -> Iterator[tuple[str, Sequence[ast.stmt]]]:
    """The name and the statements of each definition. A class is one, unless its methods are exercises of their own."""
    if isinstance(node, Function):
        yield node.name, [node]
    elif isinstance(node, ast.ClassDef):
        if any(name.startswith(f"{node.name}.") for name in exercises):
            yield from ((f"{node.name}.{one.name}", [one]) for one in node.body if isinstance(one, Function))
        else:
            yield node.name, [one for one in node.body if not _is_idle(one)]


def _statements(tree: ast.AST) -> Iterator[ast.stmt]:
    """The statements in definitions and outside that do something, without those that only name or group others."""
    grouping = (ast.ClassDef, *Function.__args__)
    return (n for n in ast.walk(tree) if isinstance(n, ast.stmt) and not isinstance(n, grouping) and not _is_idle(n))


def _is_idle(node: ast.AST) -> bool:
    """True for a docstring or another constant, `pass`, and a name that only gets a type."""
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant or isinstance(node, ast.Pass) or (isinstance(node, ast.AnnAssign) and node.value is None)


def _head(statement: ast.stmt) -> Shape:
    """The shape of a statement without the statements in it."""
    return _shape(statement, {}, frozenset(), alone=True)


def _shape(node: ast.AST, numbers: dict[str, int], own: frozenset[str], *, alone: bool = False) -> Shape:
    """The shape of a node.

    Args:
        numbers: the names so far, each with its number.
        own: attributes that this code has named. The others are those of a library.
        alone: without the statements in it.
    """
    if isinstance(node, ast.AnnAssign) and node.value:
        node = ast.Assign([node.target], node.value)
    parts: list[object] = [type(node).__name__]
    for field, value in ast.iter_fields(node):
        if field in DROPPED:
            continue
        if isinstance(value, list):
            parts.append(field)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.stmt) and (alone or _is_idle(one)):
                continue
            if isinstance(one, ast.AST):
                parts.append(_shape(one, numbers, own, alone=alone))
            elif isinstance(one, str) and _is_chosen(node, field, one, own):
                parts.append(numbers.setdefault(one, len(numbers)))
            else:
                parts.append(repr(one))
    return tuple(parts)


def _is_chosen(node: ast.AST, field: str, name: str, own: frozenset[str]) -> bool:
    """True if a text is a name that the author of the code has chosen: no keyword, no attribute of a library."""
    if isinstance(node, (ast.Constant, ast.keyword)) or (isinstance(node, ast.alias) and field == "name"):
        return False
    return field != "attr" or name in own


def _size(shape: Shape) -> int:
    return 1 + sum(_size(part) for part in shape if isinstance(part, tuple))
