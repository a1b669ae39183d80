"""An editor with this repository's settings: its explorer finds the specs, each under
its exercise.
"""

import json
import subprocess
import sys

from grader.course.catalogue import ROOT, all_katas, find


def test_the_test_explorer_finds_every_exercise():
    """As the editor asks: pytest with its arguments, collecting only."""
    settings = json.loads((ROOT / ".vscode/settings.json").read_text())
    assert settings["python.testing.pytestEnabled"] is True
    command = [
        sys.executable,
        "-m",
        "pytest",
        *settings["python.testing.pytestArgs"],
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    for kata in all_katas():
        for exercise in kata.exercises:
            assert f"test_{kata.module}.py::{exercise.spec_class}::" in done.stdout, (
                f"{kata.name}: {exercise.name}"
            )


def test_a_run_button_says_what_runs_specs():
    """Python alone defines them, and would end as if they had passed."""
    done = subprocess.run(
        [sys.executable, find("01").specs], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"This file has specs, which pytest runs: pytest {find('01').folder}\n"
    )


def test_plain_pytest_finds_the_projects_tests_and_says_so():
    """Some of them, to import less: what is ignored here is no kata's."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-k",
        "test_what_runs or TestSplitHeads",
    ]
    command += ["--ignore=tests/attacks", "--ignore=tests/course"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert "a kata's specs: pytest katas/16" in done.stdout
    assert "<Function test_what_runs[" in done.stdout, done.stdout + done.stderr
    assert "<Class TestSplitHeads>" not in done.stdout, (
        "a kata's specs are not among the project's tests"
    )


def test_a_codespace_sets_itself_up():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    makefile = (ROOT / "grader/setup.mk").read_text()
    command, target = container["postCreateCommand"].split()
    assert command == "make" and f"\n{target}: " in makefile
    assert container["remoteEnv"]["PATH"].startswith(
        "${containerWorkspaceFolder}/.venv/bin:"
    )
    assert container["image"].partition(":")[2] in ("3.11", "3.12", "3.13", "3.14")
