"""Shared by every lesson.py: choosing the code to run on, headings, stretch exercises,
and the style of figures.
"""

import ast
import importlib
import inspect
import io
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn, TypeVar

from matplotlib.figure import Figure

from grader.course import catalogue, kata_modules, places
from grader.course.catalogue import Kata
from grader.errors import LoadFailure
from grader.execution import standing_in
from grader.figures import COLOURS as COLOURS
from grader.figures import write_figure

Answer = TypeVar("Answer")

places.import_own_tracks()


def code(lesson: str) -> ModuleType:
    """Load the module that a lesson runs on and print which: the learner's if its core
    specs pass, else the reference.

    Args:
        lesson: the lesson's own `__file__`.
    """
    kata = _kata(lesson)
    try:
        choice = standing_in.choose(kata, kata.root / "katas", itself=True)
        module = kata_modules.load(kata, choice.sources[kata.name], choice.sources)
    except LoadFailure as failure:
        raise SystemExit(str(failure)) from None
    print(*choice.notes, "", sep="\n")
    return module


def exercises(lesson: str) -> tuple[SimpleNamespace, str]:
    """Load each exercise by itself and print which code it is: the learner's if its
    specs pass, else the reference's.

    Without a reference, calling an exercise that does not work yet ends the lesson and
    says what to write.

    Returns:
        The exercises by name, and a line on the one to write next.
    """
    kata = _kata(lesson)
    reasons = standing_in.why_each_fails(kata, kata.root / "katas")
    has_reference = kata.reference.is_file()
    own = (
        kata_modules.load(kata, kata.root / "katas")
        if not all(reasons.values())
        else None
    )
    reference = (
        kata_modules.load(kata, kata.solutions)
        if any(reasons.values()) and has_reference
        else None
    )
    found, next_ = SimpleNamespace(), "Every exercise of this kata is your own code."
    for name, reason in reversed(reasons.items()):
        if reason:
            next_ = (
                f"Next: write {name} in katas/{kata.file}; kata watch {kata.number} "
                "judges every save."
            )
        setattr(
            found, name, getattr(reference if reason else own, name, _ending(next_))
        )
    for name, reason in reasons.items():
        instead = (
            "the reference stands in for yours" if has_reference else "yours is needed"
        )
        print(
            f"{name}: "
            f"{f'{instead} ({reason})' if reason else 'your own code, its specs pass'}"
        )
    print()
    return found, next_


def heading(text: str) -> None:
    """Print an underlined title with a blank line above it."""
    print(f"\n{text}\n{'-' * len(text)}")


def pytorch_source(module: str, name: str, start: str = "", lines: int = 12) -> None:
    """Print how PyTorch does the same: the file, the function, and its lines from the
    one that contains `start`.

    Args:
        name: of a function of the module ("cross_entropy") or of a method
            ("ReLU.forward").
    """
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        text = inspect.getsource(found).splitlines()
    except (ImportError, AttributeError, OSError, TypeError) as error:
        print(f"   ({module}.{name} cannot be shown here: {error})")
        return
    first = next((number for number, line in enumerate(text) if start in line), 0)
    shown = textwrap.dedent("\n".join(text[first : first + lines]))
    print(f"   {module.replace('.', '/')}.py, {name}:")
    print(textwrap.indent(shown, "   | "))


def shown_code(thing: Callable[..., Any]) -> None:
    """Print the code of a function or class that the lesson runs on, without
    its docstrings.
    """
    lines = textwrap.dedent(inspect.getsource(thing)).splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if (
            isinstance(node, ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            first, last = (
                node.body[0].lineno,
                node.body[0].end_lineno or node.body[0].lineno,
            )
            lines[first - 1 : last] = [""] * (last - first + 1)
    print(textwrap.indent("\n".join(line for line in lines if line.strip()), "   | "))


def stretch(
    exercise: Callable[..., Answer], *arguments: Any, **options: Any
) -> Answer | None:
    """Call a stretch exercise, a function or class. If it is not written yet, print
    that and return None.
    """
    try:
        return exercise(*arguments, **options)
    except NotImplementedError:
        print(
            f"   ({exercise.__qualname__} is a stretch exercise that is not written "
            "yet)"
        )
        return None


def save_figure(figure: Figure, lesson: str) -> None:
    """Save the figure to the path given on the command line, or else in
    `.kata/figures/`, and print the path.

    Where it cannot be saved, say so: the lesson goes on.
    """
    kata = _kata(lesson)
    path = Path(
        sys.argv[1]
        if len(sys.argv) > 1
        else kata.root / ".kata" / "figures" / f"{kata.name}.png"
    )
    try:
        write_figure(figure, path)
    except OSError as error:
        print(f"\nThe figure cannot be saved: {error.filename}: {error.strerror}")
    else:
        print(f"\nThe figure is in {path}")


@dataclass(frozen=True)
class Picture:
    """A figure as a notebook shows it: the last value of a cell."""

    figure: Figure

    def _repr_png_(self) -> bytes:
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png")
        return drawn.getvalue()


def _ending(why: str) -> Callable[..., NoReturn]:
    def end(*arguments: object) -> NoReturn:
        raise SystemExit(f"\n{why}")

    return end


def _kata(lesson: str) -> Kata:
    kata = catalogue.kata_at(Path(lesson).resolve())
    if kata is None:
        raise SystemExit(f"{lesson} is not in the folder of a kata")
    return kata
