"""Writes what a kata's recorded mistakes look like over all specs of their exercises: `kata signatures`."""

import ast
import hashlib
import json
from pathlib import Path
from typing import Any

from grader.course.catalogue import Kata
from grader.course.handouts import SIGNATURES
from grader.protocol import RunOptions
from grader.results import DONE
from grader.specs import habits, signatures
from workshop import variants


def digest(kata: Kata) -> str:
    """What the signatures depend on: specs, mistakes, reference and textbook solution."""
    files = (kata.specs, variants.mistakes_file(kata), kata.reference, kata.textbook)
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files if path.is_file())).hexdigest()[:16]


def is_stale(kata: Kata) -> bool:
    try:
        known = json.loads(path(kata).read_text(encoding="utf-8"))
        return known["digest"] != digest(kata) or known.get(signatures.HABITS, {}) != habits_of_right_code(kata)
    except (OSError, ValueError, KeyError):
        return True


def path(kata: Kata) -> Path:
    return kata.folder / SIGNATURES


def text(kata: Kata) -> str:
    """The file's text: the digest, and of each class of specs the mistakes that it catches, each with its signature."""
    right = kata.reference.read_text(encoding="utf-8")
    jobs = {}
    for mistake in variants.mistakes(kata):
        if not mistake.edge:
            options = RunOptions(only=(_spec_class(kata, mistake.caught_by),), ideas=True)
            jobs[mistake] = variants.job(kata, right.replace(mistake.was, mistake.now), options)
    found: dict[str, dict[str, str]] = {}
    results = variants.results(jobs.values())
    for mistake, job in jobs.items():
        failing = {
            spec.name: spec.failure for spec in variants.specs(results[job]) if spec.failure and spec.status not in DONE
        }
        found.setdefault(job.options.only[0], {})[mistake.name] = signatures.written(failing)
    texts: dict[str, Any] = {"digest": digest(kata), **found}
    texts |= {signatures.HABITS: told} if (told := habits_of_right_code(kata)) else {}
    return json.dumps(texts, ensure_ascii=False, indent=0) + "\n"


def habits_of_right_code(kata: Kata) -> dict[str, list[str]]:
    """Of each class of specs what would be said at sight of the reference, the textbook or an accepted solution."""
    found: dict[str, list[str]] = {}
    for path in (kata.reference, kata.textbook, *kata.accepted):
        tree = ast.parse(path.read_text(encoding="utf-8") if path.is_file() else "")
        for exercise in kata.exercises:
            apart = {one.name for one in kata.exercises} - {exercise.name}
            if code := habits.in_tree(tree, exercise.name, apart):
                told = found.setdefault(exercise.spec_class, [])
                told += [fact for fact in habits.facts(code) if fact not in told]
    return {spec_class: told for spec_class, told in found.items() if told}


def _spec_class(kata: Kata, spec: str) -> str:
    """The class of a spec that a mistake names: its own, or one that inherits the spec."""
    owner, _, name = spec.partition("[")[0].rpartition("::")
    tree = ast.parse(kata.specs.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}

    def inherits(node: ast.ClassDef) -> bool:
        """Tell if a class has the spec, or may have it from another file."""
        bases = [classes.get(ast.unparse(base)) for base in node.bases]
        return defines(node) or any(base is None or inherits(base) for base in bases)

    def defines(node: ast.ClassDef) -> bool:
        return any(getattr(part, "name", "") == name for part in node.body)

    own = [one.spec_class for one in kata.exercises if defines(classes[one.spec_class])]
    return owner or [*own, *(one.spec_class for one in kata.exercises if inherits(classes[one.spec_class]))][0]
