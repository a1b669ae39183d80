"""Writes what a kata's recorded mistakes look like over all specs of their exercises: `kata signatures`.

And, for slips that are on no record, what small changes of its textbook solution look like.
"""

import ast
import hashlib
import json
from pathlib import Path

from grader.course.catalogue import Kata
from grader.course.handouts import SIGNATURES
from grader.protocol import RunOptions
from grader.results import DONE
from grader.specs import habits, signatures
from workshop import likely, variants

MOST_WORDS = 2  # for changes that look the same


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
    texts = {"digest": digest(kata), **found, signatures.CHANGES: _of_changes(kata, found)}
    texts |= {signatures.HABITS: told} if (told := habits_of_right_code(kata)) else {}
    return json.dumps(texts, ensure_ascii=False, indent=0) + "\n"


def _of_changes(kata: Kata, known: dict[str, dict[str, str]]) -> dict[str, dict[str, list[str]]]:
    """Of each class of specs the changes that a failure does not explain by itself, each with what it may look like.

    What a recorded mistake looks like is that mistake, and what many changes look like is none of them.
    """
    jobs = [
        (words, variants.job(kata, text, RunOptions(only=(exercise.spec_class,), ideas=True), textbooks=True))
        for words, exercise, text in likely.changes(kata)
    ]
    recorded = _recorded(kata)  # which the failures name already
    results = variants.results(job for _, job in jobs)
    found: dict[str, dict[str, set[str]]] = {}
    for words, job in jobs:
        failing = {
            spec.name: spec.failure for spec in variants.specs(results[job]) if spec.failure and spec.status not in DONE
        }
        first = next(iter(failing.values()), None)
        if first and (first.cause in recorded or not first.is_named):
            found.setdefault(job.options.only[0], {}).setdefault(signatures.written(failing), set()).add(words)
    return {spec_class: _by_words(looks, {*known.get(spec_class, {}).values()}) for spec_class, looks in found.items()}


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


def _recorded(kata: Kata) -> set[str]:
    """The words of changes in the record that is there: what it names must not be left out of the next one."""
    try:
        changes = json.loads(path(kata).read_text(encoding="utf-8")).get(signatures.CHANGES, {})
    except (OSError, ValueError):
        return set()
    return {words for looks in changes.values() for words in looks}


def _by_words(looks: dict[str, set[str]], known: set[str]) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
    for signature, words in looks.items():
        if signature not in known and len(words) <= MOST_WORDS:
            told.setdefault(", or ".join(sorted(words)), []).append(signature)
    return told


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
