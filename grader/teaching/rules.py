"""A course's rules: what katas, exercises and their edges are worth, from the
file `grading.toml`.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from grader.course import catalogue
from grader.course.catalogue import Kata
from grader.errors import BrokenRules, KataError
from grader.results import KataResult, Visibility
from grader.teaching import lateness
from grader.teaching.lateness import Late

NAME = "grading.toml"  # the default file, beside katas/
OLD_NAME = "weights.toml"  # before it, with one line per kata
KEYS = ("edges", "unparsed_waits", "katas", "exercises", "late", "gradescope")


@dataclass(frozen=True)
class Rules:
    """The points of a course. Without rules, an exercise is worth one point and its
    star nothing.

    Attributes:
        edges: the percentage of an exercise's worth that its star brings.
        katas: full name of a kata → points, shared equally by the exercises without
            points of their own.
        exercises: (full name of a kata, exercise) → points.
        late: the cost of a late submission of a class.
        details: when Gradescope shows students the messages of failures.
        unparsed_waits: a file that no Python parses waits for a person, and is no 0.
    """

    edges: float = 0.0
    katas: dict[str, float] = field(default_factory=dict)
    exercises: dict[tuple[str, str], float] = field(default_factory=dict)
    late: Late | None = None
    details: Visibility = "visible"
    unparsed_waits: bool = False

    def __bool__(self) -> bool:
        """True if the rules change a score."""
        return bool(self.edges or self.katas or self.exercises or self.late)

    def worth(self, kata: str, exercises: Iterable[str]) -> dict[str, float]:
        """The points of each of a kata's exercises."""
        names = list(exercises)
        own = {
            name: self.exercises[kata, name]
            for name in names
            if (kata, name) in self.exercises
        }
        others = [name for name in names if name not in own]
        rest = (
            self.katas[kata] - sum(own.values())
            if kata in self.katas
            else float(len(others))
        )
        return {name: own.get(name, rest / max(1, len(others))) for name in names}

    def applied(
        self, result: KataResult, exercises: Iterable[str], penalty: float = 0.0
    ) -> KataResult:
        """The kata's result with what its exercises are worth, or not graded where a
        score of 0 would have no reason.

        Args:
            exercises: those that share the kata's points. The result may have fewer.
            penalty: the part of the score that is lost, from 0 to 1.
        """
        result = result.or_waits(unparsed_waits=self.unparsed_waits)
        worth = self.worth(result.kata, exercises)
        share = self.edges / 100
        weighted = [
            replace(e, worth=worth[e.name], star_share=share, penalty=penalty)
            for e in result.exercises
        ]
        return replace(result, exercises=tuple(weighted))


def read(path: Path) -> Rules:
    """The rules in a file.

    Raises:
        BrokenRules: the file cannot be read or breaks the format.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenRules(f"{path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise BrokenRules(f"{path}: {error}") from None
    try:
        return _rules(table)
    except (KataError, ValueError) as error:
        raise BrokenRules(f"{path}: {error}") from None


def of_course(path: Path | None, root: Path) -> Rules:
    """The rules in this file. Without a file, the rules in `grading.toml` at `root`, if
    there is one.

    Raises:
        BrokenRules: the file cannot be read or breaks the format.
    """
    if path or (root / NAME).exists():
        return read(path or root / NAME)
    if (root / OLD_NAME).exists():
        todo = f"rename it to {NAME} and put the line [katas] above its lines"
        raise BrokenRules(f"{root / OLD_NAME} is no longer read: {todo}")
    return Rules()


def text(rules: Rules, katas: Iterable[Kata]) -> str:
    """The rules for these katas, as the text of a file; empty where there are none."""
    names = {kata.name for kata in katas}
    points = {name: value for name, value in rules.katas.items() if name in names}
    own = {
        f"{kata}::{name}": value
        for (kata, name), value in rules.exercises.items()
        if kata in names
    }
    parts = [f"edges = {rules.edges:g}\n"] if rules.edges else []
    parts += ["unparsed_waits = true\n"] if rules.unparsed_waits else []
    for head, table in (("katas", points), ("exercises", own)):
        if table:
            parts.append(
                f"[{head}]\n"
                + "".join(f'"{name}" = {value:g}\n' for name, value in table.items())
            )
    if rules.late:
        parts.append(lateness.text(rules.late, names))
    if rules.details != "visible":
        parts.append(f'[gradescope]\ndetails = "{rules.details}"\n')
    return "\n".join(parts)


def _rules(table: dict[str, Any]) -> Rules:
    unknown = [key for key in table if key not in KEYS]
    if unknown:
        tables = "[katas], [exercises], [late] and [gradescope]"
        raise ValueError(
            f"unknown key: {', '.join(unknown)} (edges = 20, or tables {tables})"
        )
    edges = _number("edges", table.get("edges", 0))
    if edges > 100:
        raise ValueError(f"edges = {edges:g}: a percentage, at most 100")
    katas: dict[str, float] = {}
    for query, value in _table(table, "katas").items():
        name = catalogue.find(query).name
        if name in katas:
            raise ValueError(f"{name} is there twice")
        katas[name] = _number(query, value)
    exercises: dict[tuple[str, str], float] = {}
    for query, value in _table(table, "exercises").items():
        kata, _, exercise = query.partition("::")
        found = catalogue.find(kata)
        place = (found.name, found.exercise(exercise).name)
        if place in exercises:
            raise ValueError(f"{'::'.join(place)} is there twice")
        exercises[place] = _number(query, value)
    late = lateness.from_table(table["late"]) if "late" in table else None
    unparsed_waits = table.get("unparsed_waits", False)
    if not isinstance(unparsed_waits, bool):
        raise ValueError(f"unparsed_waits = {unparsed_waits!r}: must be true or false")
    rules = Rules(
        edges,
        katas,
        exercises,
        late,
        _details(table.get("gradescope", {})),
        unparsed_waits,
    )
    for name, points in katas.items():
        own = [value for (kata, _), value in exercises.items() if kata == name]
        all_have_own = len(own) == len(catalogue.find(name).exercises)
        missing = round(points - sum(own), 6)
        if missing < 0 or (all_have_own and missing):
            raise ValueError(
                f"{name} is worth {points:g}, but its exercises {sum(own):g}"
            )
    return rules


def _details(table: object) -> Visibility:
    """The one entry of the table [gradescope]."""
    known = get_args(Visibility)
    if not isinstance(table, dict):
        raise ValueError(
            'gradescope must be a table: [gradescope], then details = "after_due_date"'
        )
    if unknown := table.keys() - {"details"}:
        raise ValueError(
            f"[gradescope] has an unknown key: {', '.join(sorted(unknown))} (it has "
            "only details)"
        )
    if (value := table.get("details", "visible")) not in known:
        raise ValueError(f"details = {value!r}: must be one of {', '.join(known)}")
    return cast(Visibility, value)


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise ValueError(
            f"{key} must be a table: [{key}], then one line per entry, such as 16 = 20"
        )
    return value


def _number(name: str, value: object) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value < float("inf")
    ):
        raise ValueError(f"{name} = {value!r}: must be a number, 0 or more")
    return float(value)
