"""What a learner asks between specs: hints that are remembered, the reference beside their code, the stub back, and back again."""

import ast
import difflib
import json
import os
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

from grader import catalogue, hints
from grader.catalogue import Kata

STUBS = Path(__file__).parent / "data" / "stubs.zip"  # every kata's file as it is handed out, under its path below katas/
LEVELS = 3


class NotPossible(Exception):
    """What was asked cannot be done. The message is one line: why, and what to do instead."""


def next_hint(kata: Kata, exercise: str | None, level: int | None) -> str:
    """The hint after the last one given for this exercise (or the one of that level), which is remembered.

    Raises:
        LookupError: the kata has no such exercise.
    """
    given = _hints_given(kata)
    name = exercise or catalogue.exercises(kata)[0].name
    wanted = level or min(given.get(f"{kata.name} {name}", 0) + 1, LEVELS)
    text = hints.hint(kata, name, wanted)
    given[f"{kata.name} {name}"] = max(wanted, given.get(f"{kata.name} {name}", 0))
    write(_memory(kata), json.dumps(given, indent=1))
    if wanted == LEVELS and kata.reference.is_file():
        text += f"\nStill stuck? kata solution {kata.number} {name} shows the reference beside your code."
    return text


def solution(kata: Kata, exercise: str, *, now: bool = False) -> list[str]:
    """The reference of one exercise as a difference to the learner's code: the lines of a unified diff.

    Raises:
        LookupError: the kata has no such exercise.
        NotPossible: there is no reference here, or not all hints were taken (which `now` overrides).
    """
    _require(kata, exercise)
    if not kata.reference.is_file():
        raise NotPossible(f"there is no solutions/{kata.file} here to show")
    seen = _hints_given(kata).get(f"{kata.name} {exercise}", 0)
    if seen < LEVELS and not now:
        raise NotPossible(f"{seen} of {LEVELS} hints taken: kata hint {kata.number} {exercise} first, or add --now")
    mine = _source_of(kata.folder / kata.file.name, exercise)
    right = _source_of(kata.reference, exercise)
    names = (f"your katas/{kata.file}", f"solutions/{kata.file}")
    return list(difflib.unified_diff(mine, right, *names, lineterm="", n=max(len(mine), len(right)))) or ["the two are the same"]


def reset(kata: Kata) -> str:
    """Put the stub back and keep what was there; a sentence that says so."""
    stub, path = stub_of(kata), kata.folder / kata.file.name
    if stub is None:
        raise NotPossible(f"the stub of {kata.name} is not kept here")
    if path.is_file() and path.read_bytes() == stub:
        return f"katas/{kata.file} is the stub already"
    replace(kata, path, stub)
    return f"katas/{kata.file} is the stub again; kata undo {kata.number} brings your version back"


def replace(kata: Kata, path: Path, content: str | bytes) -> str:
    """Write a file of the kata's and keep what was there; a sentence that says so."""
    new = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == new:
        return f"{path} is up to date"
    kept = _keep(kata, path) if path.is_file() else None
    write(path, new)
    return f"wrote {path}" + (f"; what was there is kept in {kept.relative_to(kata.root)}" if kept else "")


def undo(kata: Kata) -> str:
    """Bring back the version kept last, and keep what it replaces: undoing twice changes nothing.

    Raises:
        NotPossible: nothing was kept.
    """
    kept = versions(kata)
    if not kept:
        raise NotPossible(f"there is nothing to undo: no version of katas/{kata.file} was kept by a reset")
    replace(kata, kata.folder / kata.file.name, kept[-1].read_bytes())
    return f"katas/{kata.file} is as it was before; the version of a moment ago is kept, kata undo {kata.number} exchanges the two"


def stub_of(kata: Kata) -> bytes | None:
    """The kata's stub as the grader keeps it; None if it does not."""
    with zipfile.ZipFile(STUBS) as kept:
        return kept.read(kata.file.as_posix()) if kata.file.as_posix() in kept.namelist() else None


def versions(kata: Kata) -> list[Path]:
    """The versions kept of the kata's file, the oldest first."""
    return sorted((kata.root / ".kata" / "kept" / kata.name).glob("*.py"))


def write(path: Path, content: str | bytes) -> None:
    """Write all or nothing: who stops in the middle leaves the file as it was."""
    path = path.resolve()  # a link stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    file = tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".", delete=False)
    try:
        with file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(file.name, mode)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise


def _keep(kata: Kata, path: Path) -> Path:
    """Keep a copy of the file, under a number that goes on from the last one."""
    folder = kata.root / ".kata" / "kept" / kata.name
    number = len(list(folder.glob("*"))) + 1
    kept = folder / f"{number:04}_{datetime.now():%Y-%m-%d_%H-%M-%S}{path.suffix}"
    write(kept, path.read_bytes())
    return kept


def _memory(kata: Kata) -> Path:
    return kata.root / ".kata" / "hints.json"


def _hints_given(kata: Kata) -> dict[str, int]:
    """The highest level given for each exercise; nothing where the file is missing or damaged."""
    try:
        given = json.loads(_memory(kata).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {k: v for k, v in given.items() if isinstance(v, int)} if isinstance(given, dict) else {}


def _require(kata: Kata, exercise: str) -> None:
    names = [e.name for e in catalogue.exercises(kata)]
    if exercise not in names:
        raise LookupError(f"{kata.name} has no exercise '{exercise}': it has {', '.join(names)}")


def _source_of(path: Path, exercise: str) -> list[str]:
    """The lines that define it, with its decorators; none where the file does not parse or lacks it."""
    try:
        text = path.read_text(encoding="utf-8")
        nodes = ast.parse(text).body
    except (OSError, SyntaxError, ValueError):
        return []
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == exercise:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            return text.splitlines()[first - 1 : node.end_lineno]
    return []
