"""Resolves what a lesson's claims stand on, which comments name that readers do
not see.

Each bullet of "Where it bites" has one, and any other line may:

    - **The loss stays at ln 10.** The labels were shuffled apart. <!-- mistake: the
      labels shuffled alone -->

It is a mistake or a spec, of another kata with "mistake of 29: …", or words of a
snippet or of lesson.py. What none of these shows is run after the snippets: "true: …"
ends in an expression that holds, "raises: …" in one that raises an error with the words
that the bullet quotes.
"""

import ast
import functools
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.course.lesson_code import BLOCK
from grader.errors import KataError
from workshop import variants

BULLETS = re.compile(r"### Where it bites\n(.*?)(?=\n##|\Z)", re.DOTALL)
MARK = re.compile(
    r"<!-- (spec|mistake|snippet|lesson|true|raises)(?: of ([\w/]+))?: (.+?) -->"
)
QUOTED = re.compile(r'- \*\*"(.+?)"')
RUN = ("true", "raises")


def problems(kata: Kata) -> Iterator[tuple[int, str]]:
    """A line of the lesson, and what is wrong with what stands there."""
    text = (kata.folder / "README.md").read_text(encoding="utf-8")
    section = BULLETS.search(text)
    first, last = (
        (text.count("\n", 0, section.start(1)), text.count("\n", 0, section.end(1)))
        if section
        else (0, 0)
    )
    for number, line in enumerate(text.split("\n"), start=1):
        marks = MARK.findall(line)
        if not marks and first < number <= last + 1 and line.startswith("- "):
            yield (
                number,
                (
                    "a bullet of 'Where it bites' stands on no mistake, spec, snippet "
                    "or line of the lesson"
                ),
            )
        for kind, other, name in marks:
            if kind not in RUN and not _is_there(kata, kind, other, name):
                yield (
                    number,
                    (
                        f"there is no {kind}{f' of {other}' if other else ''} with "
                        f"'{name}'"
                    ),
                )


def untrue(page: str, namespace: dict[str, object]) -> Iterator[tuple[int, str]]:
    """What the comments of a lesson say is true or raises, and is not so after its
    snippets have run.
    """
    for number, line in enumerate(page.split("\n"), start=1):
        quoted = QUOTED.match(line)
        for kind, _, code in MARK.findall(line):
            if kind not in RUN:
                continue
            try:
                came = _value(code, namespace)
                fine = kind == "true" and bool(came)
            except Exception as error:
                came, words = error, re.split(" ?… ?", quoted[1]) if quoted else []
                fine = kind == "raises" and all(part in str(error) for part in words)
            if not fine:
                yield number, f"`{code}` came to {came!r}"


def _value(code: str, namespace: dict[str, object]) -> object:
    """The value of the last of some statements, which is an expression."""
    *statements, last = ast.parse(code).body
    exec(compile(ast.Module(statements, []), "<bullet>", "exec"), namespace)
    return eval(ast.unparse(last), namespace)


def elsewhere(kata: Kata) -> Iterator[Path]:
    """The files of other katas that these comments name."""
    page = kata.folder / "README.md"
    for kind, number, _ in MARK.findall(
        page.read_text(encoding="utf-8") if page.is_file() else ""
    ):
        with suppress(KataError):
            yield from (
                [_file(catalogue.find(number, kata.root), kind)] if number else []
            )


def _is_there(kata: Kata, kind: str, number: str, name: str) -> bool:
    try:
        of = catalogue.find(number, kata.root) if number else kata
    except KataError:
        return False
    if kind == "mistake":
        return name in {mistake.name for mistake in variants.mistakes(of)}
    text = _file(of, kind).read_text(encoding="utf-8")
    if kind == "spec":
        return name in _functions(text)
    return any(
        name in part for part in ([text] if kind == "lesson" else BLOCK.findall(text))
    )


@functools.cache
def _functions(module: str) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(module))
        if isinstance(node, ast.FunctionDef)
    }


def _file(kata: Kata, kind: str) -> Path:
    """Where a mark of this kind points."""
    if kind == "mistake":
        return variants.mistakes_file(kata)
    return {
        "spec": kata.specs,
        "lesson": kata.folder / "lesson.py",
        "snippet": kata.folder / "README.md",
    }[kind]
