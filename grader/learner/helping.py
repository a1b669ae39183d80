"""Help for a learner who is stuck: one hint at a time, and a solution as a difference
to their code.
"""

import ast
import difflib
import json
from pathlib import Path

from grader import files
from grader.course import hint_file
from grader.course.catalogue import Kata
from grader.errors import NotPossible
from grader.learner.tasks import lines_of


def next_hint(
    kata: Kata,
    exercise: str,
    level: int | None = None,
    *,
    works: bool = False,
    watching: bool = False,
) -> str:
    """The next hint for an exercise. The highest level given is remembered, unless
    `.kata` cannot be written.

    Args:
        level: give this level, not the next one.
        works: the exercise works, so that only the hint about its edge cases can help.
        watching: the learner is in `kata watch`, where the key h gives the next hint.
    Raises:
        UnknownExercise: the kata has no such exercise.
        NotPossible: the exercise has no hint of this level.
    """
    kata.exercise(exercise)
    items, before = hint_file.of(kata, exercise), taken(kata, exercise)
    if level and level > len(items):
        raise NotPossible(
            f"{exercise} has no hint {level}, the last one is {len(items)}"
        )
    if works and not items[-1].startswith(hint_file.STAR):
        return f"{exercise} works, and there is no hint about its edge cases"
    if before >= len(items) and not level and not works:
        return (
            "There are no more hints for "
            f"{exercise}.{_solution(kata, exercise, watching)}"
        )
    wanted = level or (len(items) if works else before + 1)
    command = f"More: kata hint {kata.number} {exercise}"
    more = "h again for the next hint" if watching else command
    try:
        note_taken(kata, exercise, max(before, 0 if works else wanted))
    except OSError:
        more = f"{command} --level {wanted + 1}"
    text = f"{exercise}, hint {wanted} of {len(items)}: {items[wanted - 1]}"
    if wanted < len(items):
        return f"{text}\n{more}"
    return text + _solution(kata, exercise, watching)


def taken(kata: Kata, exercise: str) -> int:
    """The highest level of an exercise's hints that was given."""
    return _given(kata).get((kata.name, exercise), 0)


def note_taken(kata: Kata, exercise: str, level: int) -> None:
    """Remember the highest level of an exercise's hints that was given.

    Raises:
        OSError: `.kata` cannot be written.
    """
    given = _given(kata) | {(kata.name, exercise): level}
    files.write(
        kata.root / hint_file.TAKEN,
        json.dumps({" ".join(name): level for name, level in given.items()}, indent=1),
    )


def hints_left(kata: Kata, exercise: str) -> int:
    """Count the hints of an exercise that have not been taken.

    Raises:
        UnknownExercise: the kata has no such exercise.
    """
    kata.exercise(exercise)
    return len(hint_file.of(kata, exercise)) - taken(kata, exercise)


def _solution(kata: Kata, exercise: str, watching: bool) -> str:
    """A pointer to a solution after the last hint; empty without a reference."""
    if not kata.reference.is_file():
        return ""
    where = "In another terminal, kata" if watching else "kata"
    return (
        "\n"
        f"Still stuck? {where} solution {kata.number} {exercise} shows a solution "
        "beside your code."
    )


def solution(
    kata: Kata, exercise: str, *, now: bool = False, full: bool = False
) -> list[str]:
    """The lines of a unified diff from the learner's code to the solution of
    one exercise.

    The textbook solution is shown, without docstrings, or the reference if there is no
    textbook solution.

    Args:
        now: do not ask for the hints to be taken first.
        full: show the reference, with its edge cases.
    Raises:
        UnknownExercise: the kata has no such exercise.
        NotPossible: there is no reference here, or not all hints were taken.
    """
    _require_hints_taken(kata, exercise, now)
    short = [] if full else _without_docstrings(_source_of(kata.textbook, exercise))
    mine = _source_of(kata.code, exercise)
    if not short:
        return _difference(
            kata, mine, _source_of(kata.reference, exercise), f"solutions/{kata.file}"
        )
    more = (
        f"with edge cases: kata solution {kata.number} {exercise} --full; other ways: "
        "--others"
    )
    return [
        *_difference(kata, _without_docstrings(mine), short, "the textbook solution"),
        "",
        more,
    ]


def others(kata: Kata, exercise: str, *, now: bool = False) -> list[str]:
    """The lines of the other right solutions of one exercise, each under its name.

    Raises:
        UnknownExercise: the kata has no such exercise.
        NotPossible: there are none here, or not all hints were taken.
    """
    _require_hints_taken(kata, exercise, now)
    lines = []
    for path in [*kata.accepted, kata.textbook]:
        if found := _source_of(path, exercise):
            lines += [
                f"# {path.stem.replace('_', ' ')}",
                *_without_docstrings(found),
                "",
            ]
    if not lines:
        raise NotPossible(f"there is no other solution of {exercise} here")
    return lines[:-1]


def _require_hints_taken(kata: Kata, exercise: str, now: bool) -> None:
    kata.exercise(exercise)
    if not kata.reference.is_file():
        raise NotPossible(f"there is no solutions/{kata.file} here")
    left, there = hints_left(kata, exercise), len(hint_file.of(kata, exercise))
    if left > 0 and not now:
        taken = f"{there - left} of {there} hints taken"
        raise NotPossible(
            f"{taken}: kata hint {kata.number} {exercise} first, or add --now"
        )


def _difference(kata: Kata, mine: list[str], right: list[str], name: str) -> list[str]:
    names = (f"your katas/{kata.file}", name)
    lines = difflib.unified_diff(
        mine, right, *names, lineterm="", n=max(len(mine), len(right))
    )
    return list(lines) or [f"your code is the same as {name}"]


def _given(kata: Kata) -> dict[tuple[str, str], int]:
    """The highest level given, per kata's name and exercise. Empty if the file is
    missing or damaged.
    """
    try:
        return hint_file.levels((kata.root / hint_file.TAKEN).read_bytes())
    except OSError:
        return {}


def _source_of(path: Path, exercise: str) -> list[str]:
    """The lines that define the exercise, unindented. Empty if they are not found."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    place = lines_of(text, exercise)
    lines = text.split("\n")[place] if place else []
    # a text in the definition may begin left of it
    margin = len(lines[0]) - len(lines[0].lstrip()) if lines else 0
    return [line[margin:] if line[:margin].isspace() else line for line in lines]


def _without_docstrings(lines: list[str]) -> list[str]:
    """The lines of a definition without its docstrings, which would hide the few lines
    that differ.
    """
    kept = list(lines)
    definitions = [
        n
        for n in ast.walk(ast.parse("\n".join(lines)))
        if isinstance(n, (ast.FunctionDef, ast.ClassDef))
    ]
    for definition in sorted(definitions, key=lambda node: -node.lineno):
        docstring = definition.body[0]
        if ast.get_docstring(definition) is not None and len(definition.body) > 1:
            del kept[docstring.lineno - 1 : docstring.end_lineno]
    return kept
