"""The rooms of the grader import one another one way only, and so do the files in
a room.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT

PLANTED = {  # file → the import that must not be there, and what the linter says
    "execution/boundary.py": (
        "from grader.execution import grading",
        "No cycles are allowed in grader.execution",
    ),
    "course/pages.py": (
        "from grader.learner import helping",
        "grader.course is not allowed to import grader.learner",
    ),
}


def test_imports_go_one_way():
    done = linted(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("file", PLANTED)
def test_an_import_the_other_way_is_refused(tmp_path, file):
    planted, said = PLANTED[file]
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(
        ROOT / "grader",
        tmp_path / "grader",
        ignore=shutil.ignore_patterns("__pycache__", "data"),
    )
    with (tmp_path / "grader" / file).open("a") as end:
        end.write(f"\n\ndef planted():\n    {planted}\n")
    done = linted(tmp_path)
    assert done.returncode == 1, done.stderr
    assert said in done.stdout


def linted(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True)
