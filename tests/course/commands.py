"""Collects the commands that README.md, lessons and docs name, and resolves their
katas, classes and options.
"""

import functools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from grader.cli import commands
from grader.cli.app import app
from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.specs.code_option import expanded

PROGRAM = re.compile(
    r"(kata|pytest|make|python|torchrun|bash|source|git|pip|pre-commit) \S"
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PATH = re.compile(r"katas/(?:(papers|tinytorch|today|kernels)/)?\w+(/\w+\.py)?(::\w+)?")


@dataclass(frozen=True)
class Command:
    """A command line, and the page that names it."""

    line: str
    page: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)

    @property
    def form(self) -> tuple[str, ...]:
        """The form that tells commands apart: program, subcommand, options, and the
        kinds of its other words.

        In a track, pytest is started as on the path, whatever its own options, and so
        is a program of today's or a paper's.
        """
        program, first, *rest = self.words
        if program == "pytest":
            rest = [] if rest and rest[0] in ("-k", "-m") else rest
        kinds = (
            first if program in ("kata", "make") else _kind(first),
            *map(_kind, rest),
        )
        if program == "pytest" or (
            program == "python" and not first.startswith("katas/tinytorch/")
        ):
            kinds = tuple(re.sub("^katas/[a-z]+", "katas/N", kind) for kind in kinds)
        return (program, *kinds)


def _kind(word: str) -> str:
    """ "katas/16::TestSplitHeads" → "katas/N::Test", "--report=FILE" → "--report"; a
    number or a name → "WORD".
    """
    if path := PATH.fullmatch(word):
        return (
            f"katas/{path[1] or 'N'}{'/FILE' if path[2] else ''}"
            f"{'::Test' if path[3] else ''}"
        )
    option, equals, _ = word.partition("=")
    return option if word.startswith("-") or equals else "WORD"


def named(root: Path) -> list[Command]:
    """Every command of the pages, in their order."""
    docs, lessons = (
        sorted((root / "docs").glob("*.md")),
        sorted((root / "katas").rglob("README.md")),
    )
    pages = [root / "README.md", root / "CONTRIBUTING.md", *docs, *lessons]
    return [
        command
        for page in pages
        for command in of_page(page.read_text(encoding="utf-8"), page.relative_to(root))
    ]


def of_page(text: str, page: Path | str) -> list[Command]:
    """The commands in code blocks without a language, and in inline code."""
    blocks = [
        line
        for language, block in FENCE.findall(text)
        if language in ("", "bash", "sh")
        for line in block.splitlines()
    ]
    lines = [part.strip() for line in blocks for part in line.split("&&")]
    lines += [
        part.strip()
        for inline in CODE.findall(FENCE.sub("", text))
        for part in inline.split("&&")
    ]
    return [Command(line, str(page)) for line in lines if PROGRAM.match(line)]


@functools.cache
def program() -> Any:
    """The `kata` program as click has it, which takes typer 50 ms to make."""
    for name in commands.ALL:
        commands.load(name)
    return typer.main.get_command(app)


def is_mention(command: Command) -> bool:
    """Tell if the page speaks of a command without what it needs: "`kata new` creates
    a kata".
    """
    first, *rest = command.words
    group = program()
    if first != "kata":
        return False
    while rest and hasattr(group, "commands"):
        group = group.commands[rest.pop(0)]
    return not rest and any(parameter.required for parameter in group.params)


def problem(command: Command, root: Path) -> str:
    """Say why the command cannot mean anything in the checkout at `root`; empty if
    it can.
    """
    first, *rest = command.words
    try:
        return {"pytest": _pytest, "kata": _kata, "make": _make, "python": _python}.get(
            first, _anything
        )(rest, root)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _anything(words: list[str], root: Path) -> str:
    return ""


def _pytest(words: list[str], root: Path) -> str:
    kata = None
    for word in words:
        if word.startswith("katas/"):
            path, _, spec_class = expanded(word, root).partition("::")
            kata = catalogue.kata_at(root / path / "any")
            if not (root / path).exists() or (
                spec_class and f"class {spec_class}" not in (root / path).read_text()
            ):
                return f"{word} is not there"
    chosen = dict(zip(words, words[1:])).get("-k")
    if (
        chosen
        and kata
        and not any(f"class {chosen}" in path.read_text() for path in kata.spec_files)
    ):
        return f"no specs of {chosen} in {kata.name}"
    return ""


def _kata(words: list[str], root: Path) -> str:
    group, rest = program(), list(words)
    while hasattr(group, "commands"):
        if rest[0] not in group.commands:
            return f"there is no kata {' '.join(words)}"
        name, group = rest[0], group.commands[rest.pop(0)]
    if not rest:
        return ""
    context = group.make_context(name, rest)
    found: Kata | None = None
    query = context.params.get("kata")
    for one in [query] if isinstance(query, str) else query or []:
        if not one.endswith(".ipynb"):
            number, _, exercise = one.partition("::")
            [found, *_] = catalogue.matching(number, root)
            if exercise:
                found.exercise(exercise)
    if found and context.params.get("exercise"):
        found.exercise(context.params["exercise"])
    return ""


def _make(words: list[str], root: Path) -> str:
    rules = (root / "Makefile").read_text() + (root / "grader/setup.mk").read_text()
    targets = [
        word
        for word in words
        if "=" not in word and not word.startswith("-") and word != "course"
    ]
    missing = [
        target
        for target in targets
        if not re.search(rf"^{re.escape(target)}\b.*:", rules, re.MULTILINE)
    ]
    return f"make has no {missing[0]}" if missing else ""


def _python(words: list[str], root: Path) -> str:
    if words[0] == "-m":
        place = root / words[1].replace(".", "/")
        found = (
            place.with_suffix(".py").is_file()
            or place.is_dir()
            or words[1] in ("venv", "pytest")
        )
    else:
        found = (root / words[0]).is_file()
    return "" if found else f"{words[0]} is not there"
