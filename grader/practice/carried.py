"""Carries a change between two versions of a definition over to a third one, on the syntax tree.

What changes is looked for in the other code with its own names of variables: first the whole statement, then ever
smaller parts around the change.
"""

import ast
import builtins
from collections.abc import Iterator

from grader.course.cells import bound
from grader.practice.operators import Edit, Source

Names = dict[str, str]  # of variables here → of those in the other code
TOO_SMALL = (
    *(ast.Name, ast.Constant, ast.operator, ast.unaryop, ast.boolop, ast.cmpop),
    *(ast.expr_context, ast.arguments, ast.arg, ast.keyword),
)


def edits(was: str, now: str, own: Source, label: str) -> Iterator[Edit]:
    """The edits of the code `own` that change it as `was` was changed to `now`: none if it has no such place."""
    before, after = ast.parse(was), ast.parse(now)
    for one, other in zip(before.body, after.body, strict=False):
        if ast.dump(one) == ast.dump(other) or len(before.body) != len(after.body):
            continue
        [name, *_] = [*bound(one), ""]
        there = [node for node in own.tree.body if name in bound(node)]
        for node in there[-1:]:
            yield from _within(one, other, node, own, label)


def _within(was: ast.AST, now: ast.AST, own: ast.AST, source: Source, label: str) -> Iterator[Edit]:
    """Edits for the largest part around the change that occurs in the other code."""
    for part, changed in _narrowing(was, now):
        found = [(node, names) for node in ast.walk(own) if (names := matched(part, node)) is not None]
        if found:
            for node, names in found:
                if _used(changed) <= names.keys() | _known(source):
                    yield source.replaced(label, node, _written(changed, names, node))
            return


def _narrowing(was: ast.AST, now: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Pairs of nodes that differ, each inside the one before, as long as they say enough to be recognised."""
    while True:
        if dropped := _dropped(was, now):
            yield dropped, ast.Pass()
            return
        if _is_whole(was) and _is_whole(now) and not isinstance(was, (*TOO_SMALL, ast.FunctionDef, ast.ClassDef)):
            yield was, now
        if type(was) is not type(now):
            return
        differing = [pair for pair in _children(was, now) if ast.dump(pair[0]) != ast.dump(pair[1])]
        if len(differing) != 1 or len([*ast.iter_child_nodes(was)]) != len([*ast.iter_child_nodes(now)]):
            return
        [(was, now)] = differing


def _is_whole(node: ast.AST) -> bool:
    """Tell if a node means something by itself, as the part `1:, 2` of `x[1:, 2]` does not."""
    if not isinstance(node, (ast.stmt, ast.expr)):
        return False
    return isinstance(node, ast.stmt) or not any(isinstance(part, (ast.Slice, ast.Starred)) for part in _outside(node))


def _outside(node: ast.AST) -> Iterator[ast.AST]:
    """The node, and the elements of a tuple."""
    yield node
    if isinstance(node, ast.Tuple):
        yield from node.elts


def _dropped(was: ast.AST, now: ast.AST) -> ast.stmt | None:
    """The only statement of a block that is not there any more."""
    before, after = getattr(was, "body", None), getattr(now, "body", None)
    if not (isinstance(before, list) and isinstance(after, list) and len(before) == len(after) + 1):
        return None
    left = [ast.dump(node) for node in after]
    for place, node in enumerate(before):
        if [ast.dump(other) for other in before[:place] + before[place + 1 :]] == left:
            return node
    return None


def _children(one: ast.AST, other: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    yield from zip(ast.iter_child_nodes(one), ast.iter_child_nodes(other), strict=False)


def matched(part: ast.AST, node: ast.AST, names: Names | None = None) -> Names | None:
    """The other code's names for the variables of `part`, if `node` is the same code with these names; else None."""
    names = {} if names is None else names
    if isinstance(part, ast.Name) and isinstance(node, ast.Name):
        taken = names.setdefault(part.id, node.id)
        return names if taken == node.id else None
    if type(part) is not type(node):
        return None
    for key, value in ast.iter_fields(part):
        if key in ("ctx", "type_comment"):
            continue
        other = getattr(node, key)
        pairs = (
            zip(value, other, strict=True) if isinstance(value, list) and isinstance(other, list) else [(value, other)]
        )
        if isinstance(value, list) and len(value) != len(other):
            return None
        for one, two in pairs:
            if isinstance(one, ast.AST) and isinstance(two, ast.AST):
                if matched(one, two, names) is None:
                    return None
            elif one != two:
                return None
    return names


def _used(node: ast.AST) -> set[str]:
    """The names that the code reads and does not bind itself."""
    names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
    bound_here = {part.id for part in names if isinstance(part.ctx, ast.Store)}
    bound_here |= {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    return {part.id for part in names} - bound_here


def _known(source: Source) -> set[str]:
    """Names that mean something everywhere in the other code."""
    return set(dir(builtins)).union(*map(bound, source.tree.body))


def _written(changed: ast.AST, names: Names, place: ast.AST) -> str:
    """The changed code in the other code's names, with the indentation of its place."""
    copy = ast.parse(ast.unparse(changed))
    for node in ast.walk(copy):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    text = ast.unparse(copy)
    if isinstance(place, ast.expr):
        return f"({text})" if _needs_brackets(changed) else text
    return text.replace("\n", "\n" + " " * place.col_offset)  # type: ignore[attr-defined]


def _needs_brackets(node: ast.AST) -> bool:
    return isinstance(node, (ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.IfExp, ast.Lambda))
