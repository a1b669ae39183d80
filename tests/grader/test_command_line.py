"""The `kata` command on arguments that nobody would type: it ends with a known exit
code and at most one line of error.

All commands run in one process, in a copy of the grader with the sound tree's katas.
"""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grader.course.catalogue import ROOT
from tests.conftest import SOUND
from tests.course.commands import program

# Runs one command per line of its input, and answers with the exit code, what was
# printed, and the errors.
SERVER = """
import json, logging, os, sys, tempfile, traceback
from grader.cli.main import main
# or `kata tutor` sets up the log of the commands after it
logging.root.addHandler(logging.lastResort)
asked, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.putenv("COLUMNS", "80")
for line in asked:
    files = [tempfile.TemporaryFile("w+b") for _ in "12"]
    for number, file in enumerate(files, start=1):
        os.dup2(file.fileno(), number)
    sys.stdout = open(1, "w", closefd=False)
    sys.stderr = open(2, "w", errors="backslashreplace", closefd=False)
    sys.argv, code = ["kata", *json.loads(line)], 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        code = traceback.print_exc() or "a traceback"
    sys.stdout.flush(), sys.stderr.flush()
    texts = [file.seek(0) or file.read().decode(errors="replace") for file in files]
    print(json.dumps([code, *texts]), file=answers, flush=True)
"""
# `watch` runs until a key; `doctor` takes no arguments and loads PyTorch, as the
# authors' tools do, which take minutes.
TOOLS = (
    "promises",
    "mutants",
    "seals",
    "snippets",
    "results",
    "stacks",
    "points",
    "diagrams",
)
LEFT_OUT = ("watch", "doctor", *TOOLS)
KATAS = (
    "01",
    "02",
    "0",
    "99",
    "A",
    "01::double",
    "02::x",
    "::",
    "blank.ipynb",
    "torn.ipynb",
    "half.ipynb",
    "1.ipynb",
)
PLACES = (
    *(
        "katas",
        "solutions",
        "class",
        "empty",
        "file",
        "link",
        "loop",
        "nowhere",
        "nowhere/new",
        "new",
        ".",
        "x" * 300,
    ),
    *(
        "blank.ipynb",
        "torn.ipynb",
        "half.ipynb",
        "bomb.zip",
        "broken.toml",
        "/dev/full",
        "/dev/null",
        "/proc/new",
    ),
)
REPORTS = (
    "json=new",
    "csv=new",
    "html=class",
    "junit=/dev/full",
    "json=loop",
    "json=nowhere/new",
    "pdf=new",
    "json=",
)
NUMBERS = ("1", "0", "-1", "60", "nan", "1e999", str(10**30), "0x1")
NAMES = ("double", "quadruple", "starter", "teacher", "o/r@main", "ann", "34_new")
# by what the help calls it
WANTED = {"KATA": KATAS, "=": REPORTS, "DIR": PLACES, "FILE": PLACES, "PATH": PLACES}
ODD = (
    "",
    " ",
    "-",
    "--",
    "--x",
    "two\nlines",
    "\x1b[2J",
    "é ☆",
    "\udcff",
    "[bold]",
    "../..",
    "~",
    "a\\b",
)
texts = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6
)


@st.composite
def command_lines(draw) -> list[str]:
    """A command with some of its arguments and options, in any order. One word in four
    is not what is wanted there.
    """
    commands = {
        name: command
        for name, command in program().commands.items()
        if name not in LEFT_OUT
    }
    name = draw(
        st.sampled_from([*sorted(commands), "grade", "grade", "class", "export"])
    )
    # the rest of a lesson runs as long as it likes
    parts = [["--text"]] if name == "lesson" else []
    for parameter in commands[name].params:
        shown = parameter.metavar or ""
        wanted = next(
            (words for part, words in WANTED.items() if part in shown), NUMBERS + NAMES
        )
        is_option = parameter.param_type_name == "option"
        if not draw(st.integers(0, 3)) < (1 if is_option else 3):
            continue
        option = [draw(st.sampled_from(parameter.opts))] if is_option else []
        word = draw(st.sampled_from(wanted * 3) | st.sampled_from(ODD) | texts)
        parts.append(
            option if getattr(parameter, "is_flag", False) else [*option, word]
        )
    return [name, *(word for part in draw(st.permutations(parts)) for word in part)]


class Tree:
    """A tree to spoil, and the process that runs commands in it."""

    def __init__(self, folder: Path):
        self.folder = folder / "tree"
        shutil.copytree(
            ROOT / "grader",
            self.folder / "grader",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        self.restore()
        # Nothing is fetched from elsewhere.
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "GIT_ALLOW_PROTOCOL": "file",
            "HOME": str(folder),
        }
        # or it is in HOME
        environment["MPLCONFIGDIR"] = str(self.folder / ".kata" / "matplotlib")
        command = [sys.executable, "-c", SERVER]
        self.process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def restore(self) -> None:
        """Put everything but the grader and the cached results back."""
        for path in [*self.folder.iterdir(), *self.folder.glob(".kata/*")]:
            if path.name not in ("grader", ".kata", "known.sqlite"):
                if path.is_symlink() or not path.is_dir():
                    path.unlink()
                else:
                    shutil.rmtree(path)
        shutil.copytree(SOUND, self.folder, dirs_exist_ok=True)
        shutil.copytree(SOUND / "solutions", self.folder / "class" / "ann")
        (self.folder / "class" / "bob.zip").write_text("no archive")
        (self.folder / "empty").mkdir()
        (self.folder / "file").write_text("text")
        (self.folder / "link").symlink_to("class")
        (self.folder / "loop").symlink_to("loop")
        (self.folder / "broken.toml").write_text("[katas\n")
        blank = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        cell = {
            "id": "a",
            "cell_type": "code",
            "metadata": {},
            "execution_count": None,
            "outputs": [],
        }
        half = {**cell, "source": 'def double(x):\n    return "\ud800"\n'}
        (self.folder / "blank.ipynb").write_text(json.dumps(blank))
        (self.folder / "half.ipynb").write_text(json.dumps({**blank, "cells": [half]}))
        (self.folder / "torn.ipynb").write_text('{"cells": [')
        with zipfile.ZipFile(
            self.folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED
        ) as bomb:
            bomb.writestr("sums.py", bytes(10_000_000))

    def run(self, *arguments: str) -> tuple[int | str, str, str]:
        """The exit code of a command, what it printed, and its errors."""
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        return tuple(json.loads(self.process.stdout.readline()))


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    tree = Tree(tmp_path_factory.mktemp("course"))
    yield tree
    tree.process.stdin.close()
    tree.process.wait(30)


@example(["grade", "half.ipynb"])
@example(["grade", "01", "--code", "x" * 300])
@example(["grade", "01", "--report", "csv=" + "x" * 300])
@example(["grade", "01", "--report", "json=new", "--report", "csv=./new"])
@example(["grade", "two\nlines"])
@example(["notebook", "01", "/dev/null"])
@example(["list", "--code", "x" * 300])
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(arguments=command_lines())
def test_any_arguments(tree, arguments):
    beside = set(os.listdir(tree.folder.parent))
    tree.restore()
    code, out, err = tree.run(*arguments)
    assert "Traceback" not in out + err, err
    assert code in (0, 1, 2), err
    judging = ("grade", "generate")
    assert code != 1 or arguments[0] in judging, (
        "only these have a result that is not good enough"
    )
    if code == 2:
        usage = (
            "─ Error ─" in err
            if err.startswith("Usage: kata ")
            else not err and "Usage: kata export" in out
        )
        assert usage or (
            err.startswith("kata: ")
            and err.count("\n") == 1
            and len(err) > len("kata: \n")
        ), err
    assert set(os.listdir(tree.folder.parent)) == beside, (
        "it wrote outside of the course"
    )


def test_a_full_disk_keeps_what_is_graded(tree):
    tree.restore()
    code, _, err = tree.run(
        "class", "class", "01", "--results", "/dev/full", "--unsealed"
    )
    assert code == 2 and err.startswith(
        "kata: /dev/full cannot be written: No space left on device; "
    )
    assert err.count("\n") == 1
    with closing(sqlite3.connect(tree.folder / ".kata" / "known.sqlite")) as cache:
        assert cache.execute(
            "SELECT count(*) FROM known WHERE kind = 'result'"
        ).fetchone() != (0,)
