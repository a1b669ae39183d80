"""The capstone's lesson as a program: interrupted and resumed, on any text, clear about
what it cannot use.
"""

import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
import torch

from grader.course import catalogue
from grader.datasets import prose

LESSON = catalogue.find("33_gpt_capstone").folder / "lesson.py"


@pytest.fixture
def text(tmp_path) -> Path:
    path = tmp_path / "some.txt"
    path.write_text(prose()[:12_000], encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def warm() -> None:
    """Import the modules that take a new process seconds: matplotlib, and those that
    the first optimizer needs.
    """
    importlib.import_module("matplotlib.figure")
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])


@pytest.fixture
def lesson(tmp_path, warm):
    """A function that runs the lesson with a figure and checkpoints in a scratch
    folder, in a fork of this process.
    """

    def run(*arguments) -> subprocess.CompletedProcess:
        said, complaints = tmp_path / "said", tmp_path / "complaints"
        pid = os.fork()
        if pid == 0:
            for descriptor, path in ((1, said), (2, complaints)):
                os.dup2(
                    os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), descriptor
                )
            sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
            _, *sys.argv = map(str, command(tmp_path, *arguments))
            code = 1
            try:
                runpy.run_path(str(LESSON), run_name="__main__")
                code = 0
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return subprocess.CompletedProcess(
            arguments, code, said.read_text(), complaints.read_text()
        )

    return run


def command(folder: Path, *arguments) -> list:
    return [
        sys.executable,
        LESSON,
        folder / "figure.png",
        "--runs",
        folder / "runs",
        *map(str, arguments),
    ]


def one_line(done: subprocess.CompletedProcess) -> str:
    """The lesson's refusal: one line on stderr, and exit code 2."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("lesson.py: "), (
        done.stderr
    )
    return done.stderr


def test_interrupted_and_resumed_is_as_if_nothing_had_happened(lesson, text, tmp_path):
    """Stopped after 5 steps, and after 9, where validation is due: the losses to the
    last bit, each validation once.
    """
    whole, parts = tmp_path / "whole.json", tmp_path / "parts.json"
    run = ("--data", text, "--steps", 12)
    done = lesson(*run, "--losses", whole)
    assert done.returncode == 0, done.stderr
    assert (
        "The figure is in" in done.stdout
        and (tmp_path / "figure.png").stat().st_size > 10_000
    )
    assert not list((tmp_path / "runs").iterdir()), (
        "a run that is over leaves no checkpoint"
    )
    for step in (5, 9):
        done = lesson(*run, "--interrupt-at", step)
        assert done.returncode == 130 and not done.stderr, done.stderr
        assert (
            f"Stopped after step {step} of 12. The same command goes on from there."
            in done.stdout
        )
        [checkpoint] = (tmp_path / "runs").iterdir()
        assert len(torch.load(checkpoint, weights_only=True)["history"]["loss"]) == step
    done = lesson(*run, "--losses", parts)
    assert done.returncode == 0, done.stderr
    assert "goes on after step 9" in done.stdout and not list(
        (tmp_path / "runs").iterdir()
    )
    expected = json.loads(whole.read_text())
    assert json.loads(parts.read_text()) == expected
    assert len(expected["loss"]) == 12 and [step for step, _ in expected["val"]] == [
        0,
        3,
        6,
        9,
        12,
    ]


def test_ctrl_c_from_outside_a_damaged_checkpoint_and_a_new_beginning(
    lesson, text, tmp_path
):
    run = ("--data", text, "--steps", 1_000_000)
    with subprocess.Popen(
        command(tmp_path, *run),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            said = ""
            for line in process.stdout:
                said += line
                if line.startswith("   step    0"):
                    break
            process.send_signal(signal.SIGINT)
            rest, complaints = process.communicate()
        finally:
            process.kill()
    assert process.returncode == 130 and not complaints, said + rest + complaints
    assert "The same command goes on from there." in rest
    [checkpoint] = (tmp_path / "runs").iterdir()
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    said = one_line(lesson(*run))
    assert str(checkpoint) in said and "--restart" in said
    done = lesson(*run, "--restart", "--interrupt-at", 1)
    assert (
        done.returncode == 130 and "Stopped after step 1 of 1000000." in done.stdout
    ), done.stderr


@pytest.mark.parametrize(
    "content, complaint",
    [
        (None, "cannot be read: No such file or directory"),
        (
            b"far too little\n",
            "is too small: 14 characters, and at least 2,000 are needed",
        ),
        (
            b"almost text " * 500 + b"\xff",
            "is no text in UTF-8: byte 0xff at 6,000 is not",
        ),
        (b"the same over and over\n\n" * 500, "is too small: it leaves"),
    ],
    ids=["missing", "too small", "not text", "nothing to validate"],
)
def test_a_text_that_cannot_be_used_is_one_clear_line(
    lesson, tmp_path, content, complaint
):
    path = tmp_path / "given.txt"
    if content is not None:
        path.write_bytes(content)
    said = one_line(lesson("--data", path))
    assert f"{path} {complaint}" in said
