"""A kata's description: its kata.toml, read and checked."""

import difflib
import importlib.util
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from grader.errors import BrokenDescription

DIFFICULTIES = ("easy", "medium", "hard")
# What specs need: to start processes, to use the loopback address, to take longer
# because they train, Triton.
NEEDS = ("processes", "loopback", "training", "triton")
KEYS = (
    *(
        "title",
        "chapter",
        "difficulty",
        "minutes",
        "core",
        "all",
        "finished",
        "exercises",
        "builds_on",
        "ideas_of",
    ),
    *("needs", "files", "unsealed", "measured", "by_heart", "operators", "guarded"),
    *("name", "asks", "stretch", "uses", "specs", "practice", "problem"),
    *("gpt2", "step", "paper", "authors", "year", "url", "result", "seconds"),
)


@dataclass(frozen=True, order=True)
class Exercise:
    """One public function, class or method of a kata ("split_heads", "GPT.forward"),
    and the class of its specs.
    """

    name: str
    spec_class: str
    stretch: bool = False
    # exercises of the same kata that the reference solution calls
    uses: tuple[str, ...] = ()
    asks: str = ""  # the task in a few words

    @property
    def owner(self) -> str:
        """The function or class of the module: "GPT" for "GPT.forward"."""
        return self.name.partition(".")[0]


@dataclass(frozen=True)
class Practice:
    """A problem of the practice list that the path follows, and the exercises that
    cover it.
    """

    problem: str
    exercises: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """A numbered step of reproducing GPT-2 ("02 the model as modules"), and the
    exercises that cover it.
    """

    step: str
    exercises: tuple[str, ...]


@dataclass(frozen=True)
class Paper:
    """The paper that a kata rebuilds, the result that comes out, and the seconds that
    its training takes.
    """

    title: str
    authors: str
    year: int
    url: str
    result: str
    seconds: float


@dataclass(frozen=True)
class Description:
    """The contents of a kata.toml. Minutes are for a learner to whom the subject
    is new.
    """

    title: str
    chapter: str
    difficulty: str
    minutes_core: int
    minutes_all: int
    exercises: tuple[Exercise, ...]
    finished: bool = False  # with it, what is "to do" in a kata is a broken promise
    builds_on: tuple[str, ...] = ()  # katas whose code this one uses, by full name
    ideas_of: tuple[str, ...] = ()  # katas whose ideas this one uses
    needs: frozenset[str] = frozenset()
    practice: tuple[Practice, ...] = ()
    gpt2: tuple[Step, ...] = ()
    # exercises that cannot be judged from another process → why
    unsealed: dict[str, str] = field(default_factory=dict)
    # exercises that measure where the code runs → what
    measured: dict[str, str] = field(default_factory=dict)
    # exercises with one answer, whatever is drawn → why
    by_heart: dict[str, str] = field(default_factory=dict)
    # classes of the code whose objects sealed specs may use with + and the like
    operators: tuple[str, ...] = ()
    # exercises whose argument check is the idea → why
    guarded: dict[str, str] = field(default_factory=dict)
    # further files in its folder that a learner gets, or folders of them
    files: tuple[str, ...] = ()
    paper: Paper | None = None

    @property
    def lack(self) -> str:
        """Why its specs cannot run on this machine; empty if they can."""
        return _triton_lack() if "triton" in self.needs else ""


def _triton_lack() -> str:
    """Why kernels cannot run here. On a device they need no interpreter."""
    # here, because every command reads descriptions when it starts
    from importlib.metadata import PackageNotFoundError, version

    from grader.results import LOWEST_TRITON, NO_TRITON, OLD_TRITON

    if not importlib.util.find_spec("triton"):
        return NO_TRITON
    try:
        installed = version("triton")
    except PackageNotFoundError:  # a build by another name
        return ""
    numbers = re.match(r"(\d+)\.(\d+)", installed)
    is_old = numbers is not None and tuple(map(int, numbers.groups())) < LOWEST_TRITON
    return (
        OLD_TRITON.format(installed)
        if is_old and os.environ.get("TRITON_INTERPRET") != "0"
        else ""
    )


@cache
def read(path: Path) -> Description:
    """Read a kata.toml.

    Raises:
        BrokenDescription: the file is missing or not TOML, or a key is missing, unknown
            or of the wrong type.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise BrokenDescription(f"{path}: {error.strerror}") from None
    except ValueError as error:  # not TOML, or not UTF-8
        raise BrokenDescription(f"{path}: {error}") from None
    try:
        return _description(table)
    except (TypeError, ValueError, KeyError) as error:
        said, word = (*error.args, "")[:2] if error.args else (error, "")
        raise BrokenDescription(f"{path}{_line_of(word, text)}: {said}") from None


def spec_class(exercise: str) -> str:
    """The default class of an exercise's specs: "GPT.forward" → "TestGPTForward"."""
    return "Test" + "".join(
        part[:1].upper() + part[1:] for part in re.split(r"[_.]", exercise)
    )


def _description(table: dict[str, Any]) -> Description:
    minutes = _taken(table, "minutes", dict)
    _require("exercises" in table, "exercises is missing")
    rows = [_exercise(row) for row in _tables(table, "exercises")]
    practice, steps = _tables(table, "practice"), _tables(table, "gpt2")
    paper = _taken(table, "paper", dict, {})
    found = Description(
        title=_taken(table, "title", str),
        chapter=_taken(table, "chapter", str),
        difficulty=_taken(table, "difficulty", str),
        minutes_core=_taken(minutes, "core", int),
        minutes_all=_taken(minutes, "all", int),
        exercises=tuple(rows),
        finished=_taken(table, "finished", bool, False),
        builds_on=_texts(table, "builds_on"),
        ideas_of=_texts(table, "ideas_of"),
        needs=frozenset(_texts(table, "needs")),
        practice=tuple(
            Practice(_taken(row, "problem", str), _texts(row, "exercises"))
            for row in practice
        ),
        gpt2=tuple(
            Step(_taken(row, "step", str), _texts(row, "exercises")) for row in steps
        ),
        unsealed=_taken(table, "unsealed", dict, {}),
        measured=_taken(table, "measured", dict, {}),
        by_heart=_taken(table, "by_heart", dict, {}),
        operators=_texts(table, "operators"),
        guarded=_taken(table, "guarded", dict, {}),
        files=_texts(table, "files"),
        paper=_paper(paper) if paper else None,
    )
    names = [exercise.name for exercise in rows]
    claims: list[Practice | Step] = [*found.practice, *found.gpt2]
    named = {name for row in rows for name in row.uses} | {
        name for claim in claims for name in claim.exercises
    }
    named |= (
        found.guarded.keys()
        | found.unsealed.keys()
        | found.by_heart.keys()
        | found.measured.keys()
    )
    unknown = [
        key for part in (table, minutes, paper, *practice, *steps) for key in part
    ]
    _require(not unknown, f"unknown key: {_guessed(unknown, KEYS)}", *unknown[:1])
    _require(
        found.difficulty in DIFFICULTIES,
        f"difficulty must be one of {', '.join(DIFFICULTIES)}",
        "difficulty",
    )
    _require(
        all(Path(name).name == name for name in found.files),
        "files must be names of files in the kata's folder",
    )
    _require(
        found.needs <= set(NEEDS), f"needs may contain {', '.join(NEEDS)}", "needs"
    )
    _require(
        bool(names) and len(set(names)) == len(names),
        "exercises needs at least one exercise, and each name once",
    )
    missing = sorted(named - set(names))
    _require(not missing, f"no such exercise: {_guessed(missing, names)}", *missing[:1])
    return found


def _paper(table: dict[str, Any]) -> Paper:
    texts = {
        key: _taken(table, key, str) for key in ("title", "authors", "url", "result")
    }
    year, seconds = _taken(table, "year", int), table.pop("seconds", None)
    _require(
        type(seconds) in (int, float), f"seconds must be a number, not {seconds!r}"
    )
    return Paper(**texts, year=year, seconds=seconds)


def _exercise(row: dict[str, Any]) -> Exercise:
    name = _taken(row, "name", str)
    known = Exercise(
        name,
        _taken(row, "specs", str, spec_class(name)),
        _taken(row, "stretch", bool, False),
        _texts(row, "uses"),
        _taken(row, "asks", str),
    )
    _require(
        not row,
        f"exercise {name}: unknown key: {_guessed(list(row), KEYS)}",
        *list(row)[:1],
    )
    return known


def _taken(table: dict[str, Any], key: str, kind: type, otherwise: Any = None) -> Any:
    """Remove a key from the table and return its value. The keys left in the end are
    the unknown ones.
    """
    value = table.pop(key, otherwise)
    if value is None:
        slips = [
            other
            for other in difflib.get_close_matches(key, table)
            if other not in KEYS
        ]
        _require(
            False,
            f"{key} is missing{': is it ' + slips[0] + '?' if slips else ''}",
            *slips[:1],
        )
    _require(type(value) is kind, f"{key} must be {kind.__name__}, not {value!r}", key)
    return value


def _texts(table: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = _taken(table, key, list, [])
    _require(
        all(isinstance(text, str) for text in texts),
        f"{key} must contain strings, not {texts!r}",
        key,
    )
    return tuple(texts)


def _tables(table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = _taken(table, key, list, [])
    for row in rows:
        _require(isinstance(row, dict), f"{key} must contain tables, not {row!r}", key)
    return rows


def _guessed(names: list[str], known: Iterable[str]) -> str:
    """The names, each with the known one that it may be meant for:
    "strech (stretch?)".
    """
    close = [difflib.get_close_matches(name, known, 1) for name in names]
    return ", ".join(
        f"{name} ({guess[0]}?)" if guess else name
        for name, guess in zip(names, close, strict=True)
    )


def _line_of(word: str, text: str) -> str:
    """ ":3", if the word first occurs in line 3."""
    found = re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", text) if word else None
    return f":{text.count(chr(10), 0, found.start()) + 1}" if found else ""


def _require(condition: bool, otherwise: str, word: str = "") -> None:
    """Raise the error that says `otherwise`, about the line with this word."""
    if not condition:
        raise ValueError(otherwise, word)
