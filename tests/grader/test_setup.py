"""`make` on a machine that is not ready: one clear line and a non-zero exit, whatever
is missing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A copy of what the set-up reads, without a virtual environment."""
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(
        ROOT / "grader",
        tmp_path / "grader",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    return tmp_path


def make(folder: Path, *args: str, **environment: str) -> subprocess.CompletedProcess:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", *args],
        cwd=folder,
        env=clean | environment,
        capture_output=True,
        text=True,
    )


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def python(path: Path, version: str) -> str:
    """A stand-in for a Python of this version: it runs code as if it were one, and
    makes no environment.
    """
    as_if = f"import sys; sys.version_info = ({version.replace('.', ', ')}, 9)"
    return script(
        path,
        f'case "$1" in -c) exec {sys.executable} -c "{as_if}; $2";; *) echo "Python '
        f'{version}.0";; esac',
    )


def found(*args: str, **environment: str) -> subprocess.CompletedProcess:
    command = [shutil.which("bash"), ROOT / "grader" / "python.sh", *args]
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("version", ["3.10", "3.11.4", "3.15"])
def test_no_python_fits(checkout, version):
    """3.15 has no wheels of the pinned PyTorch. One line says what to do."""
    other = python(checkout / "other-python", version)
    done = make(checkout, "grade", f"PYTHON={other}")
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if "Error" not in line]
    assert len(said) == 1 and "no Python 3.11.5 to 3.14 with venv here (" in said[0]
    assert "bash grader/python.sh" in said[0]
    assert not (checkout / ".venv").exists()


@pytest.mark.parametrize("here", [["3.15", "3.14", "3.12"], ["3.15", "3.11"], ["3.13"]])
def test_the_newest_python_that_fits_is_taken(tmp_path, here):
    """`python3` is the newest of all, as on a system that has replaced it."""
    paths = {
        version: python(tmp_path / f"python{version}", version) for version in here
    }
    (tmp_path / "python3").symlink_to(paths[here[0]])
    newest = next(version for version in here if version != "3.15")
    done = found("--here", PATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{paths[newest]}\n", "")


def test_venv_is_missing(checkout):
    broken = script(
        checkout / "broken-python",
        'case "$*" in "-m venv"*) echo "No module named venv"; exit 1;; esac; exit 0',
    )
    done = make(checkout, "grade", f"PYTHON={broken}")
    assert done.returncode == 2
    assert "could not create .venv: No module named venv" in done.stderr


def test_an_install_that_fails_is_tried_again_next_time(checkout):
    """The line names what pip could not find, which pip indents where it is needed for
    building, or the index.
    """
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }
    for why, environment in [
        (
            "ERROR: Could not find a version that satisfies the requirement setuptools",
            {"PIP_NO_INDEX": "1"},
        ),
        ("the package index cannot be reached", {"PIP_EXTRA_INDEX_URL": ""} | nowhere),
    ]:
        done = make(checkout, "grade", PIP_FIND_LINKS="", **environment)
        assert done.returncode == 2
        assert f"\nmake: installing failed: {why}" in f"\n{done.stderr}"
        assert "Installing the pinned packages" in done.stdout
        assert not (checkout / ".venv" / "installed").exists()
    assert "index of CPU builds" not in done.stdout


def test_nothing_is_done_twice(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "installed").touch()
    done = make(checkout, "setup")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Installing" not in done.stdout and "Creating" not in done.stdout


UV = (
    'case "$*" in "python install --no-progress 3.14") ;; "python find 3.14") echo '
    "/there/python3.14;; *) exit 2;; esac"
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
    script(
        tools / "python3",
        f'case "$*" in -V) echo Python 3.10.12;; {pip} *) exit 1;; esac',
    )
    done = found(PATH=str(tools))
    assert (done.returncode, done.stdout) == (0, "/there/python3.14\n"), done.stderr
    assert "python3 is Python 3.10.12" in done.stderr


def test_both_tiers_are_run_and_nothing_is_known_before():
    quick, rest = (make(ROOT, "-n", target).stdout for target in ("test", "test-rest"))
    assert (
        "rm -f .kata/known.sqlite" in quick
        and "--tier quick" in quick
        and "--tier rest" in rest
    )
    assert (ROOT / ".ci/run").read_text().endswith("\nmake test\nexec make test-rest\n")
    workflow = (ROOT / ".github/workflows/test.yml").read_text()
    assert (
        "run: make test\n"
        "      - run: .venv/bin/python -m tests.tiers || make test-rest\n"
    ) in workflow
