"""Finds demands of specs that no docstring says, and the other way round, and specs
that demand nothing.

What a spec of the point asks for stands above the docstring's edges, and what an edge
spec asks for stands below.
"""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grader.course import cells
from grader.course.catalogue import Kata
from grader.specs import training
from workshop import points

# in a sentence about what is raised,
ERROR = re.compile(r"[Ee]rror|[Ee]xception|message|refuse|raise|fail|must ")
# and about the words in it
NAMING = re.compile(r"\b(nam|mention|say|said|show|hold|come|propagate)")
ANNOUNCED = re.compile(r"\b(is|are) (an error|errors)\b|\braises? an? [A-Z]")
STAYS = re.compile(
    r"written|writes? |writes? to|stays?\b|keeps?\b|left\b|alone|as (it|they) "
    r"(was|were|is|are|came)|as before|put back"
    r"|(not?|nothing|none|neither|never|without) .*(chang|touch)|unchanged|untouched"
    r"|shares? (no )?memory|new (tensor|array|list)"
)
DTYPE = re.compile(r"dtype|float|precision|int\d", re.IGNORECASE)
WORDS = {
    "check.raises": ("an error", ERROR),
    "check.unchanged": ("that something stays as it was", STAYS),
}
WORDS_OF_EDGES = WORDS | {"check.dtype": ("a dtype", DTYPE)}
COMPARISONS = {
    *(
        "check.close",
        "check.compiles",
        "check.dtype",
        "check.entries",
        "check.equal",
        "check.finite",
    ),
    *(
        "check.forbidden",
        "check.gradients",
        "check.independent",
        "check.moved",
        "check.raises",
        "check.shape",
    ),
    *("check.that", "check.unchanged", "check.view_of", "AssertionError"),
}


def problems(kata: Kata, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """A line of the spec file, and what is wrong there."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    told = {
        name: ast.get_docstring(node) or ""
        for name, node in cells.definitions(
            ast.parse(kata.reference.read_text(encoding="utf-8"))
        ).items()
    }
    raised = " ".join(
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Raise)
    )
    for exercise in kata.exercises:
        if exercise.spec_class not in classes:  # then the promise about specs says so
            continue
        own, edges_alone = _parts(_own(told, exercise.name))
        idea, edges = _parts(
            [*_own(told, exercise.name), *_named(told, f"{own} {edges_alone}")]
        )
        specs = list(_specs(classes, exercise.spec_class))
        for spec in specs:
            part, words = (edges, WORDS_OF_EDGES) if _is_edge(spec) else (idea, WORDS)
            side = "below its edges' heading" if _is_edge(spec) else "above its edges"
            for call in _calls(spec):
                wanted, pattern = words.get(ast.unparse(call.func), ("", None))
                if pattern and not pattern.search(part):
                    yield (
                        call.lineno,
                        (
                            f"{exercise.name}: wants {wanted}, and the docstring does "
                            f"not say so {side}"
                        ),
                    )
        for line, wanted in _unnamed(f"{idea} {edges}", specs, raised):
            said = (
                "in the message, and no sentence of the docstring says what the error "
                "names"
            )
            yield line, f"{exercise.name}: wants {wanted} {said}"
        found = ANNOUNCED.search(own)
        if found and not any(
            "check.raises" in _reached(tree, spec)
            for spec in specs
            if not _is_edge(spec)
        ):
            said = (
                f'"{found.group()}" stands above the edges, and no spec of the point '
                "wants an error"
            )
            yield classes[exercise.spec_class].lineno, f"{exercise.name}: {said}"


def hollow(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and name of each spec that compares nothing, neither itself nor in
    functions that it calls.

    Only calls that are statements count, or that a `with` enters: `check.equal(a, b)`
    may have become `(a, b)`, and a function that is called for its result may compare
    on the way to it.
    """
    own, comparing = _functions(tree.body), COMPARISONS
    while (
        new := {one.name for one, done in [*_inherited(), *own] if done & comparing}
        - comparing
    ):
        comparing = comparing | new
    for spec, done in own:
        if spec.name.startswith("test_") and not done & comparing:
            yield spec.lineno, spec.name


@functools.cache
def _inherited() -> list[tuple[ast.FunctionDef, set[str]]]:
    return _functions(
        ast.parse(Path(training.__file__).read_text(encoding="utf-8")).body
    )


def _functions(body: list[ast.stmt]) -> list[tuple[ast.FunctionDef, set[str]]]:
    """Each function, and what it does."""
    return [
        (node, _done(node.body))
        for node in _statements(body)
        if isinstance(node, ast.FunctionDef)
    ]


def _statements(body: list[Any]) -> Iterator[Any]:
    """The statements, and those in them."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from _statements(getattr(node, part, []))


def _done(body: list[ast.stmt]) -> set[str]:
    """What is called in a statement of its own, entered or raised."""
    found: list[ast.expr | None] = []
    for node in _statements(body):
        if isinstance(node, ast.Expr):
            found.append(node.value)
        elif isinstance(node, ast.With):
            found += [item.context_expr for item in node.items]
        elif isinstance(node, ast.Raise):
            found.append(node.exc)
    called = [ast.unparse(one.func) for one in found if isinstance(one, ast.Call)]
    return {name.removeprefix("self.").removeprefix("super().") for name in called}


def _own(told: dict[str, str], name: str) -> list[str]:
    """The docstrings of an exercise: its own, of its class, of its methods."""
    return [
        text
        for one, text in told.items()
        if one in (name, name.partition(".")[0]) or one.startswith(f"{name}.")
    ]


def _named(told: dict[str, str], own: str) -> list[str]:
    """The docstrings that these name, as in "as in `Adam`"."""
    return [
        text
        for one, text in told.items()
        if any(f"`{name}`" in own for name in (one, *one.split(".")))
    ]


def _parts(texts: list[str]) -> tuple[str, str]:
    """What stands before and after the heading of the edges."""
    parts = [text.partition(points.EDGES) for text in texts]
    idea, edges = (
        " ".join(" ".join(part[i] for part in parts).split()) for i in (0, 2)
    )
    return idea, edges


def _specs(classes: dict[str, ast.ClassDef], name: str) -> Iterator[ast.FunctionDef]:
    """The specs of a class and of those in the file that it inherits from."""
    for node in classes[name].body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node
    for base in map(ast.unparse, classes[name].bases):
        if base in classes:
            yield from _specs(classes, base)


def _is_edge(spec: ast.FunctionDef) -> bool:
    return "pytest.mark.edge" in map(ast.unparse, spec.decorator_list)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (one for one in ast.walk(node) if isinstance(one, ast.Call))


def _reached(tree: ast.Module, spec: ast.FunctionDef) -> str:
    """The text of a spec and of the file's functions that it calls."""
    called = {ast.unparse(call.func) for call in _calls(spec)}
    return ast.unparse(spec) + "".join(
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name in called
    )


def _unnamed(
    told: str, specs: list[ast.FunctionDef], raised: str
) -> Iterator[tuple[int, str]]:
    """Calls of `check.raises` that want words of the message, where no sentence
    announces an error that names any.

    What the specs themselves raise, or a text that the docstrings contain, needs
    no announcement.
    """
    if any(
        ERROR.search(one) and NAMING.search(one) for one in re.split(r"[.:]\s", told)
    ):
        return
    for call in (
        call
        for spec in specs
        for call in _calls(spec)
        if ast.unparse(call.func) == "check.raises"
    ):
        texts = [
            one.value if isinstance(one, ast.Constant) else one for one in call.args[1:]
        ]
        if any(
            not isinstance(one, str) or (one not in raised and one not in told)
            for one in texts
        ):
            yield call.lineno, ", ".join(ast.unparse(one) for one in call.args[1:])
