"""Writes what a kata's recorded mistakes look like over all specs of their exercises: `kata signatures`."""

import ast
import hashlib
import json
from pathlib import Path

from grader.authoring import variants
from grader.course.catalogue import Kata
from grader.course.handouts import SIGNATURES
from grader.protocol import RunOptions
from grader.results import DONE
from grader.specs import signatures


def digest(kata: Kata) -> str:
    """What the signatures depend on: specs, mistakes and reference."""
    files = (kata.specs, variants.mistakes_file(kata), kata.reference)
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]


def is_stale(kata: Kata) -> bool:
    try:
        return json.loads(path(kata).read_text(encoding="utf-8"))["digest"] != digest(kata)
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
        failing = {spec.name: spec.message for spec in variants.specs(results[job]) if spec.status not in DONE}
        found.setdefault(job.options.only[0], {})[mistake.name] = signatures.written(failing)
    return json.dumps({"digest": digest(kata), **found}, ensure_ascii=False, indent=0) + "\n"


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
