"""The rooms of the grader import one another one way only, and so do the files in a room."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT

DOORS = ("loading", "lesson")  # what the code of katas imports, whoever runs it
MODULE = re.compile(r"grader(\.\w+)+")
PLANTED = {  # file → the import that must not be there, and what the linter says
    "execution/boundary.py": ("from grader.execution import grading", "No cycles are allowed in grader.execution"),
    "course/pages.py": ("from grader.learner import helping", "grader.course is not allowed to import grader.learner"),
}


def test_imports_go_one_way():
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", PLANTED)
def test_an_import_the_other_way_is_refused(tmp_path, file):
    planted, said = PLANTED[file]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "grader", tmp_path / "grader", ignore=shutil.ignore_patterns("__pycache__", "data"))
    with (tmp_path / "grader" / file).open("a") as end:
        end.write(f"\n\ndef planted():\n    {planted}\n")
    done = linted(tmp_path)
    assert done.returncode == 1, done.stderr
    assert said in done.stdout


def test_no_file_of_the_grader_is_imported_by_a_string():
    """The linter would not see it."""
    for path in (ROOT / "grader").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                assert not ast.unparse(node.args[0]).lstrip("f'\"").startswith("grader"), f"{path}:{node.lineno}"


def test_no_file_of_the_grader_names_a_module_above_it_in_a_string():
    """A program that starts another one by its name would go around the linter."""
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    height = {room: -number for number, layer in enumerate(layers) for room in layer.split(" | ")}
    named = [
        (path.relative_to(ROOT / "grader"), node.value.split("."))
        for path in (ROOT / "grader").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value)
    ]
    assert len(named) >= 3, "the servers' programs and the judge"
    rooms = [(path, height[Path(path.parts[0]).stem], height[name[1]]) for path, name in named if name[1] not in DOORS]
    assert [path for path, own, other in rooms if other > own] == []


def linted(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)
