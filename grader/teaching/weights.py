"""Weights: what katas are worth, from a TOML file with one line per kata, such as `16 = 20`.

A kata without a line is worth one point per exercise.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.errors import BrokenRules, UnknownKata

NAME = "weights.toml"  # the default file, beside katas/


def read(path: Path) -> dict[str, int]:
    """The file's weights: full name of a kata → points.

    Raises:
        BrokenRules: the file cannot be read or breaks the format.
    """
    try:
        lines = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenRules(f"{path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise BrokenRules(f"{path}: {error}: write one line per kata, such as 16 = 20") from None
    points: dict[str, int] = {}
    for name, worth in lines.items():
        if type(worth) is not int or worth < 0:
            raise BrokenRules(f"{path}: {name} = {worth!r}: a kata is worth whole points, 0 or more")
        try:
            kata = catalogue.find(name)
        except UnknownKata as error:
            raise BrokenRules(f"{path}: {error}") from None
        if kata.name in points:
            raise BrokenRules(f"{path}: {kata.name} is there twice")
        points[kata.name] = worth
    return points


def of_course(path: Path | None, root: Path) -> dict[str, int]:
    """The weights in this file. Without a file, the weights in `weights.toml` at `root`, if there is one.

    Raises:
        BrokenRules: the file cannot be read or breaks the format.
    """
    if path is None and not (root / NAME).exists():
        return {}
    return read(path or root / NAME)


def text(points: dict[str, int], katas: Iterable[Kata]) -> str:
    """The text of a weights file for these katas."""
    return "".join(f'"{kata.name}" = {points[kata.name]}\n' for kata in katas if kata.name in points)
