"""Which code stands for the earlier katas that one builds on: the learner's where its core passes, else the reference."""

import ast
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from grader import catalogue, loading, runner
from grader.catalogue import Kata
from grader.loading import LoadFailure


@dataclass
class Choice:
    """For each earlier kata the code folder to take it from, and a sentence for each about which one it is."""

    sources: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def choose(kata: Kata, code: Path, *, itself: bool = False) -> Choice:
    """Decide for all that `kata` builds on (and for the kata itself, if asked) by running core specs where needed.

    Raises:
        LoadFailure: the learner's code does not pass and there is no reference; says which kata to finish first.
    """
    choice = Choice()
    solutions = kata.root / "solutions"
    order = runner.with_prerequisites([kata])
    for earlier in order if itself else order[:-1]:
        if solutions.is_dir() and code.resolve() == solutions.resolve():
            choice.sources[earlier.name] = solutions
            continue
        reason = why_not(earlier, code)
        if not reason:
            choice.sources[earlier.name] = code
            choice.notes.append(f"{earlier.name}: your own code, its core specs pass")
        elif earlier.reference.is_file():
            choice.sources[earlier.name] = solutions
            choice.notes.append(f"{earlier.name}: the reference stands in for yours ({reason})")
        else:
            raise LoadFailure(f"finish {earlier.name} first: {reason}")
    return choice


def why_not(kata: Kata, code: Path) -> str:
    """Why this code does not pass the kata's core specs, in one line; empty where it does. Verdicts are remembered."""
    try:
        source = loading.read_source(code / kata.file)
    except LoadFailure as failure:
        return str(failure)
    if unwritten := _unwritten_core(kata, source):
        return f"{unwritten}: not written yet"
    key = _fingerprint(kata, code, source)
    known = _remembered(kata)
    if key not in known:
        [result] = runner.grade([kata], code, core=True)
        known[key] = runner.why_not_core(result)
        _remember(kata, known)
    return known[key]


def _unwritten_core(kata: Kata, source: str) -> str:
    """The first core exercise whose body is still `raise NotImplementedError`, which no run is needed to judge."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return ""
    core = [exercise.name for exercise in catalogue.exercises(kata) if not exercise.stretch]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in core:
            functions = [node] if isinstance(node, ast.FunctionDef) else [n for n in node.body if isinstance(n, ast.FunctionDef)]
            if any(ast.unparse(function.body[-1]).startswith("raise NotImplementedError") for function in functions):
                return node.name
    return ""


def _fingerprint(kata: Kata, code: Path, source: str) -> str:
    """What the verdict depends on: the code, its specs, what it builds on in turn, and the versions that run it."""
    parts = [source, kata.specs.read_text(encoding="utf-8"), version("torch"), version("numpy"), version("pytest")]
    for earlier in catalogue.prerequisites(kata):
        path = code / earlier.file
        parts.append(path.read_text(encoding="utf-8", errors="replace") if path.is_file() else "")
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _memory(kata: Kata) -> Path:
    return kata.root / ".kata" / "verdicts.json"


def _remembered(kata: Kata) -> dict[str, str]:
    """The verdicts on file; none where there is no file or it cannot be read as what it should be."""
    try:
        known = json.loads(_memory(kata).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and all(isinstance(v, str) for v in known.values()) else {}


def _remember(kata: Kata, known: dict[str, str]) -> None:
    """Keep the latest hundred verdicts; a place that cannot be written costs only the time to run the specs again."""
    try:
        _memory(kata).parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=_memory(kata).parent, delete=False) as file:
            json.dump(dict(list(known.items())[-100:]), file)
        os.replace(file.name, _memory(kata))
    except OSError:
        pass
