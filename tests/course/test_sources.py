"""What can be seen in the text of Python files without other packages: syntax, and
which rooms a file names.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT
from tests.breakages import BREAKAGES
from workshop.promises import LOWEST

GRADER = ROOT / "grader"
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
LAYERS = TOOLS["importlinter"]["contracts"][0]["layers"]
HEIGHT = {
    room: -number for number, layer in enumerate(LAYERS) for room in layer.split(" | ")
}
DOORS = ("loading", "lesson")  # what the code of katas imports, whoever runs it
MODULE = re.compile(r"grader(\.\w+)+")


@pytest.fixture(scope="module")
def trees() -> dict[Path, list[ast.AST]]:
    """Each file of the grader, and the nodes of its syntax tree."""
    return {path: list(ast.walk(parsed(path))) for path in GRADER.rglob("*.py")}


def parsed(path: Path) -> ast.Module:
    """Raises SyntaxError also for what only a newer Python reads, but f-strings that
    hold their own quotes.
    """
    return ast.parse(path.read_text(encoding="utf-8"), path, feature_version=LOWEST)


def test_no_syntax_is_newer_than_the_lowest_python(trees):
    """Of the grader and its tests. Of a kata, its promises say so."""
    assert f"py{LOWEST[0]}{LOWEST[1]}" == TOOLS["ruff"]["target-version"] and trees
    for path in (ROOT / "tests").rglob("*.py"):
        parsed(path)


def test_no_file_of_the_grader_imports_a_room_above_it(trees):
    """The linter of test_rooms sees circles, too. It is another package."""
    assert {"cli", "results"} <= {
        room for nodes in trees.values() for _, room in imported(nodes)
    }
    assert [
        f"{path}:{line}: {room}"
        for path in trees
        for line, room in imported(trees[path])
        if is_above(path, room)
    ] == []


def imported(nodes: list[ast.AST]) -> Iterator[tuple[int, str]]:
    """The line and the room of each import of the grader's own files."""
    for node in nodes:
        names = (
            [one.name for one in node.names]
            if isinstance(node, (ast.Import, ast.ImportFrom))
            else []
        )
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{name}" for name in names]
        yield from (
            (node.lineno, name.split(".")[1])
            for name in names
            if name.startswith("grader.")
        )


def is_above(path: Path, room: str) -> bool:
    """Whether a file may not import this room. Rooms on one line do not import
    each other.
    """
    own = Path(path.relative_to(GRADER).parts[0]).stem
    return room != own and HEIGHT[room] >= HEIGHT[own]


def test_no_file_of_the_grader_is_imported_by_a_string(trees):
    """Neither the linter nor the test above would see it."""
    for path, nodes in trees.items():
        for node in nodes:
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                ("import_module", "__import__")
            ):
                assert (
                    not ast.unparse(node.args[0]).lstrip("f'\"").startswith("grader")
                ), f"{path}:{node.lineno}"


def test_no_file_of_the_grader_names_a_module_above_it_in_a_string(trees):
    """A program that starts another one by its name would go around the linter."""
    named = [
        (path, node.value.split(".")[1])
        for path, nodes in trees.items()
        for node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and MODULE.fullmatch(node.value)
    ]
    assert len(named) >= 3, "the servers' programs and the judge"
    assert [
        path for path, room in named if room not in DOORS and is_above(path, room)
    ] == []


@pytest.mark.parametrize("one", BREAKAGES, ids=lambda one: one.name)
def test_each_breakage_can_be_planted(one):
    """Or the job that plants them, and asks `make test` to notice, would try an
    unbroken copy.
    """
    assert (ROOT / one.file).read_text(encoding="utf-8").count(one.was) == 1
