"""`make` on a machine that is not ready: one clear line and a non-zero exit, whatever is missing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the set-up reads, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "grader", tmp_path / "grader", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def make(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", *args], cwd=folder, env=clean | environment, capture_output=True, text=True)


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_python_is_too_old(checkout):
    old = script(checkout / "old-python", "exit 1")
    done = make(checkout, "grade", f"PYTHON={old}")
    assert done.returncode == 2
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr
    assert not (checkout / ".venv").exists()


def test_venv_is_missing(checkout):
    broken = script(
        checkout / "broken-python", 'case "$*" in *venv*) echo "No module named venv"; exit 1;; esac; exit 0'
    )
    done = make(checkout, "grade", f"PYTHON={broken}")
    assert done.returncode == 2
    assert "could not create .venv: No module named venv" in done.stderr


def test_the_install_fails_and_is_tried_again_next_time(checkout):
    """The line names what pip could not find. pip indents that error where the package is needed for building."""
    why = "make: installing failed: ERROR: Could not find a version that satisfies the requirement setuptools"
    for _ in range(2):
        done = make(checkout, "grade", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
        assert done.returncode == 2
        assert [line for line in done.stderr.splitlines() if line.startswith(why)], done.stderr
        assert "Installing the pinned packages" in done.stdout
        assert not (checkout / ".venv" / "installed").exists()


def test_nothing_is_done_twice(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "installed").touch()
    done = make(checkout, "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing" not in done.stdout and "Creating" not in done.stdout


UV = (
    'case "$*" in "python install --no-progress 3.12") ;; "python find 3.12") echo /there/python3.12;; *) exit 2;; esac'
)


@pytest.mark.parametrize("has_uv", [True, False])
def test_a_python_that_fits_comes_from_uv_where_there_is_none(tmp_path, has_uv):
    """With stand-ins: a Python 3.10 whose pip can install uv, and uv itself."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cp", "mkdir", "mktemp", "rm"):
        (tools / name).symlink_to(shutil.which(name))
    uv = script(tools / "uv" if has_uv else tmp_path / "packed-uv", UV)
    pip = f'"-m pip install -q --target "*) mkdir "$6/bin"; cp {uv} "$6/bin/uv";;'
    script(tools / "python3", f'case "$*" in -V) echo Python 3.10.12;; {pip} *) exit 1;; esac')
    command = [shutil.which("bash"), ROOT / "grader" / "python.sh"]
    done = subprocess.run(command, env={"PATH": str(tools)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "/there/python3.12\n"), done.stderr
    assert "this is Python 3.10.12" in done.stderr


def test_a_python_that_fits_is_taken(tmp_path):
    python = script(tmp_path / "python3.13", "exit 0")
    command = [shutil.which("bash"), ROOT / "grader" / "python.sh"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{python}\n", "")


def test_both_tiers_are_run_and_nothing_is_known_before():
    quick, rest = (make(ROOT, "-n", target).stdout for target in ("test", "test-rest"))
    assert "rm -f .kata/known.sqlite" in quick and "--tier quick" in quick and "--tier rest" in rest
    for path in (ROOT / ".ci/run", ROOT / ".github/workflows/test.yml"):
        commands = [line.rpartition("make ")[2] for line in path.read_text().splitlines() if "make " in line]
        assert commands == ["test", "test-rest"], path
