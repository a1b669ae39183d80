"""Keeps the lines of solutions out of an answer: what the learner's code raises, prints and returns may quote them."""

import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from grader.course.catalogue import Kata, with_prerequisites
from grader.course.stubs import stub_of

LEAST_WORDS, LEAST_TOKENS = 5, 6  # of a line that could only come from a solution
TOKEN = re.compile(r"\w+|[^\w\s]")
WITHHELD = "[a line of a solution]"
EVERY_MODULES = "super().__init__()"  # PyTorch's error asks for it


def without_solutions(answer: str, kata: Kata) -> str:
    """The answer without lines of the solutions of a kata and of those that it builds on.

    Those stay that the learner's own files, the stub, the lesson or the hints have.
    """
    places = [place for place, character in enumerate(answer) if not character.isspace()]
    dense, gone = _dense(answer), bytearray(len(answer))
    known = _known(kata)
    for line in _of_solutions(kata):
        start = dense.find(line)
        while start >= 0 and line not in known:
            first, last = places[start], places[start + len(line) - 1]
            gone[first : last + 1] = b"\1" * (last + 1 - first)
            start = dense.find(line, start + 1)
    left = ("\0" if is_gone else character for character, is_gone in zip(answer, gone, strict=True))
    return re.sub("\0+", WITHHELD, "".join(left))


def _dense(text: str) -> str:
    """The text without white space, which a report changes: it wraps and indents."""
    return "".join(text.split())


def _known(kata: Kata) -> str:
    """All that the learner has in their folder of a kata, and their own files of earlier ones."""
    pages = [kata.folder / "README.md", kata.folder / "lesson.py", kata.folder / "hints.md"]
    files = [*pages, *(one.code for one in with_prerequisites([kata]))]
    return _dense("\n".join([EVERY_MODULES, stub_of(kata) or "", *map(_text, files)]))


@cache
def _of_solutions(kata: Kata) -> frozenset[str]:
    katas = with_prerequisites([kata])
    files = [file for one in katas for file in (one.reference, one.textbook, *one.accepted)]
    return frozenset(_dense(line) for file in files for line in _lines(_text(file)))


def _lines(text: str) -> Iterator[str]:
    """The lines that are long enough, without comments."""
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            number, column = token.start
            lines[number - 1] = lines[number - 1][:column]
    for line in lines:
        if len(re.findall(r"\w+", line)) >= LEAST_WORDS or len(TOKEN.findall(line)) >= LEAST_TOKENS:
            yield line


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
