"""Variants of a kata's code as data (mistakes, accepted solutions, mutants), each run
in a warm worker.
"""

import ast
import functools
import re
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from grader.course import cells
from grader.course.catalogue import Kata, with_prerequisites
from grader.course.mistakes import Equivalent, Mistake
from grader.execution import scheduler
from grader.execution.result_cache import ResultCache
from grader.protocol import RunOptions, SpecInfo
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.workers.jobs import Job

DEFAULT = RunOptions()
POINTS = RunOptions(ideas=True)

T = TypeVar("T")


def mistakes(kata: Kata) -> list[Mistake]:
    """The kata's mistakes; none if there is no file of them."""
    if not mistakes_file(kata).is_file():
        return []
    return runpy.run_path(str(mistakes_file(kata)))["MISTAKES"]


def equivalents(kata: Kata) -> list[Equivalent]:
    return (
        runpy.run_path(str(mistakes_file(kata))).get("EQUIVALENT", [])
        if mistakes_file(kata).is_file()
        else []
    )


def all_work(kata: Kata, specs: Mapping[str, SpecInfo]) -> KataResult:
    """A result with which the second lock asks every one of these specs."""
    passed: dict[str, tuple[SpecResult, ...]] = {}
    for name, spec in specs.items():
        passed[spec.exercise] = (
            *passed.get(spec.exercise, ()),
            SpecResult(name, "passed"),
        )
    return KataResult(
        kata.name, tuple(ExerciseResult(name, found) for name, found in passed.items())
    )


def job(
    kata: Kata, source: str, options: RunOptions = DEFAULT, *, textbooks: bool = False
) -> Job:
    """The kata's specs against this text of its file, on the references or the textbook
    solutions of earlier katas.
    """
    files = {}
    for earlier in with_prerequisites([kata]):
        path = (
            earlier.textbook
            if textbooks and earlier.textbook.is_file()
            else earlier.reference
        )
        files[earlier.file] = path.read_text(encoding="utf-8")
    return Job(kata, files | {kata.file: source}, options=options)


def results(
    jobs: Iterable[Job], cache: ResultCache | None = None
) -> dict[Job, KataResult]:
    """Every job's result, by the job itself (jobs compare by identity).

    Args:
        cache: where results are looked up and kept. A clean clone has an empty one, so
            that CI runs everything.
    """
    found, open_ = {}, []
    for one in jobs:
        known = cache.find(one) if cache else None
        if known:
            found[one] = known
        else:
            open_.append(one)
    for one, result in scheduler.run(open_):
        found[one] = result
        if cache:
            cache.keep(one, result)
    return found


def specs(result: KataResult) -> list[SpecResult]:
    return [spec for exercise in result.exercises for spec in exercise.specs]


def names(spec: str) -> set[str]:
    """What a mistake's `caught_by` may call a spec: "test_x", "TestClass::test_x",
    "TestClass::test_x[a]".
    """
    bare = spec.partition("[")[0]
    return {spec, bare, bare.partition("::")[2]}


def failing(result: KataResult) -> list[SpecResult]:
    return [spec for spec in specs(result) if spec.status not in ("passed", "skipped")]


def mistakes_file(kata: Kata) -> Path:
    """Its mistakes, and the mutants on record as equivalent."""
    return kata.author / "mistakes.py"


def touched(kata: Kata, reference: str, source: str) -> tuple[str, ...]:
    """The spec classes of the exercises that this text changes when it is appended to
    the reference.
    """
    body = [
        node
        for node in ast.parse(source).body
        if not isinstance(node, (ast.Import, ast.ImportFrom))
    ]
    return exercises_with(kata, reference, set().union(*map(cells.bound, body)))


def apart(given: Mapping[T, tuple[set[str], set[str]]]) -> list[list[T]]:
    """These in rounds, in none of which one writes what another writes or reads.

    Args:
        given: the names that each writes, and those that it reads.
    """
    rounds: list[list[T]] = []
    for one, (writes, reads) in given.items():
        for there in rounds:
            written, read = (
                set().union(*(given[other][part] for other in there)) for part in (0, 1)
            )
            if not (writes & written or writes & read or reads & written):
                there.append(one)
                break
        else:
            rounds.append([one])
    return rounds


def bound(source: str) -> set[str]:
    """The names that a module binds."""
    return set().union(*map(cells.bound, ast.parse(source).body))


def written(reference: str, mistake: Mistake) -> set[str]:
    """The names of the reference's statements that a mistake changes."""
    first = reference[: reference.index(mistake.was)].count("\n") + 1
    last = first + mistake.was.rstrip("\n").count("\n")
    changed, above = set(), 0
    # what stands above a statement belongs to it: decorators do
    for node in _body(reference):
        if above < last and first <= (node.end_lineno or 0):
            changed |= _bound(node)
        above = node.end_lineno or 0
    return changed


def read(kata: Kata, reference: str, mistake: Mistake) -> set[str]:
    """The names of the reference that a mistake and the classes with its spec come to,
    whatever stands between.
    """
    uses, mentions = _uses(reference), _mentions(kata.specs.read_text(encoding="utf-8"))
    own, _, test = mistake.caught_by.partition("[")[0].rpartition("::")
    having = {name for name in mentions if name == own or test in mentions[name]}
    found: set[str] = set()
    heirs = {name for name in mentions if mentions[name] & having}
    new = having | heirs or set(mentions)  # all, for a spec from another file
    new |= set(re.findall(r"\w+", mistake.now))
    while new:
        found |= new
        new = (
            set().union(
                *(uses.get(name, set()) | mentions.get(name, set()) for name in new)
            )
            - found
        )
    return found & set(uses)


@functools.cache
def _mentions(specs: str) -> dict[str, set[str]]:
    """Each name that the spec file binds, and every name and text in the statement that
    binds it.
    """
    return {
        name: {
            said
            for part in ast.walk(node)
            for said in vars(part).values()
            if isinstance(said, str)
        }
        for node in ast.parse(specs).body
        for name in cells.bound(node)
    }


def exercises_with(kata: Kata, reference: str, changed: set[str]) -> tuple[str, ...]:
    """The spec classes of the exercises that are, or use, one of these definitions;
    empty, which means all, if none.
    """
    uses = _uses(reference)
    reached = changed & set(uses)
    while users := {
        name for name in uses if name not in reached and uses[name] & reached
    }:
        reached |= users
    touched = [
        e
        for e in kata.exercises
        if e.owner in reached or reached & set(kata.used_by(e))
    ]
    return tuple(exercise.spec_class for exercise in touched)


@functools.cache
def _uses(module: str) -> dict[str, set[str]]:
    """Each name that the module binds, and the names in the statements that bind it."""
    uses: dict[str, set[str]] = {}
    for node in _body(module):
        for name in _bound(node):
            uses.setdefault(name, set()).update(_names(node))
    return uses


@functools.cache
def _body(module: str) -> list[ast.stmt]:
    return ast.parse(module).body


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds; of one that binds none, all: it may change what
    they stand for.
    """
    return set(cells.bound(node)) or _names(node)


def _names(node: ast.stmt) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def statements(module: str) -> dict[str, str]:
    """Each name that the module binds, and the statement that binds it."""
    return {
        name: ast.unparse(node)
        for node in ast.parse(module).body
        for name in cells.bound(node)
    }
