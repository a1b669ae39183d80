"""Leaves lines of solutions out of an answer, so that an assistant quotes none by
accident. It is no lock.
"""

import re
from functools import cache
from pathlib import Path

from grader.course.catalogue import Kata, with_prerequisites
from grader.course.stubs import stub_of

LEAST = 6  # tokens of a line that could only come from a solution
TOKEN = re.compile(r"\w+|[^\w\s]")
WITHHELD = "[a line of a solution]"
EVERY_MODULES = "super().__init__()"  # PyTorch's error asks for it


def without_solutions(answer: str, kata: Kata) -> str:
    """The answer without lines that hold one of the solutions of a kata, or of those
    that it builds on, as it is.

    Those stay that the learner's own files, the stub, the lesson or the hints have.
    """
    known = _known(kata)
    secret = [line for line in _of_solutions(kata) if line not in known]
    return "\n".join(
        WITHHELD if any(line in one for line in secret) else one
        for one in answer.split("\n")
    )


def _known(kata: Kata) -> str:
    """All that the learner has in their folder of a kata, and their own files of
    earlier ones.
    """
    pages = [
        kata.folder / "README.md",
        kata.folder / "lesson.py",
        kata.folder / "hints.md",
    ]
    files = [*pages, *(one.code for one in with_prerequisites([kata]))]
    return "\n".join([EVERY_MODULES, stub_of(kata) or "", *map(_text, files)])


@cache
def _of_solutions(kata: Kata) -> frozenset[str]:
    """The lines that are long enough, without comments."""
    katas = with_prerequisites([kata])
    files = [
        file for one in katas for file in (one.reference, one.textbook, *one.accepted)
    ]
    lines = [
        line.partition("  #")[0].strip()
        for file in files
        for line in _text(file).splitlines()
    ]
    return frozenset(line for line in lines if len(TOKEN.findall(line)) >= LEAST)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
