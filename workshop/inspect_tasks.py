"""`kata export inspect`: tasks for inspect-ai, which measure how well models
solve katas.
"""

import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from grader.cli.app import katas
from grader.cli.export import Folder, exports, write
from grader.course import catalogue, stubs
from grader.course.catalogue import TEACHER, Kata, with_prerequisites
from grader.course.description import Exercise
from grader.errors import ExportFailure
from grader.reports import words
from grader.teaching import export
from grader.teaching.rules import Rules

# a file that marks a folder as such a package, which another export may replace
MARK = ".kata-inspect"
TEMPLATES = Path(__file__).parent / "templates"


@exports.command("inspect")
def inspect_(
    folder: Folder,
    chosen: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KATA]…",
            help="16, or 16::split_heads for one exercise; default: all",
        ),
    ] = None,
    specs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help=(
                "private specs, laid out like katas/: they join the public ones or "
                "replace them"
            ),
        ),
    ] = None,
) -> None:
    """Write tasks for inspect-ai, which measure how well models solve katas, judged by
    both locks.

    For private specs in place of public ones, the list of those that also judge from
    another process is found anew. Exit code 1: the list refuses too little.
    """
    write(folder, lambda root: for_inspect(folder, _asked(chosen, root), specs))
    if specs and (own := with_own_specs(folder, specs)):
        from workshop import seals

        if seals.report(own, check=False):
            raise typer.Exit(1)


@dataclass(frozen=True)
class Asked:
    """What a task for a model is about: a kata's exercises, all or one of them."""

    kata: Kata
    only: Exercise | None = None

    @property
    def query(self) -> str:
        """As `kata grade` takes it: "16", "16::split_heads"."""
        return (
            f"{self.kata.number}::{self.only.name}" if self.only else self.kata.number
        )

    @property
    def task(self) -> str:
        """The name of the task's function."""
        return f"kata_{re.sub(r'[^0-9a-zA-Z]+', '_', self.query)}"

    @property
    def unscored(self) -> set[str]:
        """The exercises that a second lock cannot judge, or not wholly."""
        return (
            self.kata.description.unsealed.keys()
            | self.kata.description.measured.keys()
        )

    @property
    def scored(self) -> list[Exercise]:
        wanted = [self.only] if self.only else self.kata.exercises
        return [one for one in wanted if one.name not in self.unscored]


def for_inspect(folder: Path, asked: Iterable[Asked], specs: Path | None) -> list[str]:
    """Write or replace a package for inspect-ai: `tasks.py`, and beside it the course
    that grades.

    Args:
        specs: a folder laid out like katas/ with private specs. A file with the name of
            a public one replaces it, and others join them.
    Raises:
        ExportFailure: the folder is not such a package, or nothing in it could
            be scored.
        MisplacedSpecs: private specs would not count.
    """
    wanted = list(asked)
    tasks = [one for one in wanted if one.scored]
    if not tasks:
        raise ExportFailure(
            f"{', '.join(one.query for one in wanted)}: no second lock judges any of "
            "its exercises"
        )
    katas = with_prerequisites(one.kata for one in tasks)
    export.prepare(folder, MARK)
    for name in ("katas", "solutions"):
        shutil.rmtree(folder / name, ignore_errors=True)
    export.write_course(folder, katas, Rules())
    for kata in katas:
        (folder / "katas" / kata.file).write_text(
            stubs.stub_of(kata) or "", encoding="utf-8"
        )
    private = _add_specs(specs, katas, folder) if specs else []
    about = {one.query: _about(one) for one in tasks}
    (folder / "tasks.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    functions = [
        f'\n@task\ndef {one.task}() -> Task:\n    return asking("{one.query}")\n'
        for one in tasks
    ]
    text = (TEMPLATES / "inspect_tasks.py.template").read_text(encoding="utf-8")
    (folder / "tasks.py").write_text(
        Template(text).substitute(tasks="\n".join(functions)), encoding="utf-8"
    )
    unscored = [
        f"{one.kata.number}::{name}"
        for one in tasks
        if not one.only
        for name in sorted(one.unscored)
    ]
    return [
        (
            f"{words.counted(len(tasks), 'task')} in {folder}: cd {folder} && inspect "
            "eval tasks.py --model MODEL"
        ),
        *([f"with private specs: {', '.join(private)}"] if private else []),
        *([f"no part of a score: {', '.join(unscored)}"] if unscored else []),
    ]


def _about(one: Asked) -> dict[str, object]:
    """A sample's metadata."""
    kata = one.kata
    return {
        "asked": one.query,
        "file": kata.file.as_posix(),
        "what": f"`{one.only.name}`"
        if one.only
        else "every function and method that is not written",
        "exercises": [exercise.name for exercise in one.scored],
        "core": [exercise.name for exercise in one.scored if not exercise.stretch],
        "unscored": sorted(one.unscored),
        "kata": kata.name,
        "chapter": kata.description.chapter,
        "difficulty": kata.description.difficulty,
        "minutes": kata.description.minutes_all,
    }


def _add_specs(specs: Path, katas: Iterable[Kata], folder: Path) -> list[str]:
    """Add private specs to the course in a folder. Returns the files that
    were found.
    """
    found = []
    for kata in katas:
        there = folder / "katas" / kata.name
        for path in sorted((specs / kata.name).glob("test_*.py")):
            place = (
                there / path.name
                if path.name == kata.specs.name
                else there / TEACHER / path.name
            )
            place.parent.mkdir(exist_ok=True)
            shutil.copyfile(path, place)
            found.append(f"{kata.name}/{path.name}")
    if not found:
        raise ExportFailure(
            f"{specs} has no private specs for these katas: they are called "
            "KATA/test_….py"
        )
    return found


def with_own_specs(folder: Path, specs: Path) -> list[Kata]:
    """The katas of an export whose public specs were replaced."""
    return [
        kata
        for kata in catalogue.all_katas(folder)
        if (specs / kata.name / kata.specs.name).is_file()
    ]


def _asked(chosen: list[str] | None, root: Path) -> list[Asked]:
    """The katas and exercises of these queries."""
    found = []
    for query in chosen or []:
        number, exercise, name = query.partition("::")
        for kata in katas([number], root):
            found.append(Asked(kata, kata.exercise(name) if exercise else None))
    return found or [Asked(kata) for kata in katas(None, root)]
