"""Runs a program of a kata's folder: lesson.py, and the one that makes a GPT of the
learner's code.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from grader.course.catalogue import ROOT
from grader.errors import NotPossible

OWN_GPT = Path("katas", "33_gpt_capstone", "mine.py")


def run(program: Path, *arguments: str) -> int:
    """Run it, and return its exit code. In a pipe, what it prints is passed on as long
    as somebody reads it.
    """
    command = [sys.executable, str(program), *arguments]
    sys.stdout.flush()
    if sys.stdout.isatty():
        return subprocess.run(command, cwd=ROOT).returncode
    piped: Any = {"stdout": subprocess.PIPE, "encoding": "utf-8", "errors": "replace"}
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONIOENCODING": "utf-8"}, **piped
    ) as process:
        try:
            for line in process.stdout or ():
                print(line, end="", flush=True)
        except BrokenPipeError:
            process.kill()
            raise
    return process.returncode


def own_gpt(*options: str) -> int:
    """Run `kata mine` with these options.

    Raises:
        NotPossible: its program is not here, as in a course that ends before
            the capstone.
    """
    if not (ROOT / OWN_GPT).is_file():
        raise NotPossible(
            f"{OWN_GPT.as_posix()} is not here, which makes a GPT of your code"
        )
    return run(ROOT / OWN_GPT, *options)
