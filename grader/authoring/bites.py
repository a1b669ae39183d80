"""Resolves what each bullet of a lesson's "Where it bites" stands on, which a comment names that readers do not see.

    - **The loss stays at ln 10.** The labels were shuffled apart. <!-- mistake: the labels shuffled alone -->

It is a mistake or a spec, of another kata with "mistake of 29: …", or words of a snippet or of lesson.py.
"""

import ast
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from grader.authoring import variants
from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.course.lesson_code import BLOCK
from grader.errors import KataError

BULLETS = re.compile(r"### Where it bites\n(.*?)(?=\n##|\Z)", re.DOTALL)
MARK = re.compile(r"<!-- (spec|mistake|snippet|lesson)(?: of ([\w/]+))?: (.+?) -->")
LATER = 28  # lessons up to this one, the appendices and TinyTorch do not say yet what they stand on


def expected(kata: Kata) -> bool:
    """Whether this lesson's bullets name what they stand on."""
    number = re.match(r"\d+", kata.name)
    return kata.name.startswith(("papers/", "today/")) or (number is not None and int(number.group()) > LATER)


def problems(kata: Kata) -> Iterator[tuple[int, str]]:
    """A line of the lesson, and what is wrong with the bullet there."""
    text = (kata.folder / "README.md").read_text(encoding="utf-8")
    section = BULLETS.search(text)
    if not section:
        return
    first = text.count("\n", 0, section.start(1)) + 1
    for line, bullet in enumerate(section.group(1).split("\n"), start=first):
        marks = MARK.findall(bullet)
        if bullet.startswith("- ") and not marks and expected(kata):
            yield line, "a bullet of 'Where it bites' stands on no mistake, spec, snippet or line of the lesson"
        for kind, number, name in marks:
            if not _is_there(kata, kind, number, name):
                yield line, f"there is no {kind}{f' of {number}' if number else ''} with '{name}'"


def elsewhere(kata: Kata) -> Iterator[Path]:
    """The files of other katas that these comments name."""
    page = kata.folder / "README.md"
    for kind, number, _ in MARK.findall(page.read_text(encoding="utf-8") if page.is_file() else ""):
        with suppress(KataError):
            yield from [_file(catalogue.find(number, kata.root), kind)] if number else []


def _is_there(kata: Kata, kind: str, number: str, name: str) -> bool:
    try:
        of = catalogue.find(number, kata.root) if number else kata
    except KataError:
        return False
    if kind == "mistake":
        return name in {mistake.name for mistake in variants.mistakes(of)}
    text = _file(of, kind).read_text(encoding="utf-8")
    if kind == "spec":
        return name in {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)}
    return any(name in part for part in ([text] if kind == "lesson" else BLOCK.findall(text)))


def _file(kata: Kata, kind: str) -> Path:
    """Where a mark of this kind points."""
    if kind == "mistake":
        return variants.mistakes_file(kata)
    return {"spec": kata.specs, "lesson": kata.folder / "lesson.py", "snippet": kata.folder / "README.md"}[kind]
