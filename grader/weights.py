"""What katas are worth where it is not one point an exercise: a TOML file with a line `16 = 20` a kata."""

import tomllib
from collections.abc import Iterable
from pathlib import Path

from grader import catalogue
from grader.catalogue import Kata, UnknownKata


NAME = "weights.toml"  # beside katas/, where it is found without being named


class NoWeights(Exception):
    """The file cannot be used. The message is one line that says where."""


def read(path: Path) -> dict[str, int]:
    """The points of the katas that the file names, by their full names.

    Raises:
        NoWeights: it is no such file.
    """
    try:
        lines = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NoWeights(f"{path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise NoWeights(f"{path}: {error}: write a line like 16 = 20 a kata") from None
    points: dict[str, int] = {}
    for name, worth in lines.items():
        if type(worth) is not int or worth < 0:
            raise NoWeights(f"{path}: {name} = {worth!r}: a kata is worth whole points, 0 or more")
        try:
            kata = catalogue.find(name)
        except UnknownKata as error:
            raise NoWeights(f"{path}: {error}") from None
        if kata.name in points:
            raise NoWeights(f"{path}: {kata.name} is there twice")
        points[kata.name] = worth
    return points


def text(points: dict[str, int], katas: Iterable[Kata]) -> str:
    """The file that says so of these katas."""
    return "".join(f'"{kata.name}" = {points[kata.name]}\n' for kata in katas if kata.name in points)
