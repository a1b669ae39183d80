"""Variants of a kata's code as data (mistakes, accepted solutions, mutants), each run in a warm worker."""

import ast
import functools
import runpy
from collections.abc import Iterable, Mapping
from pathlib import Path

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


def mistakes(kata: Kata) -> list[Mistake]:
    """The kata's mistakes; none if there is no file of them."""
    if not mistakes_file(kata).is_file():
        return []
    return runpy.run_path(str(mistakes_file(kata)))["MISTAKES"]


def equivalents(kata: Kata) -> list[Equivalent]:
    return runpy.run_path(str(mistakes_file(kata))).get("EQUIVALENT", []) if mistakes_file(kata).is_file() else []


def all_work(kata: Kata, specs: Mapping[str, SpecInfo]) -> KataResult:
    """A result with which the second lock asks every one of these specs."""
    passed: dict[str, tuple[SpecResult, ...]] = {}
    for name, spec in specs.items():
        passed[spec.exercise] = (*passed.get(spec.exercise, ()), SpecResult(name, "passed"))
    return KataResult(kata.name, tuple(ExerciseResult(name, found) for name, found in passed.items()))


def job(kata: Kata, source: str, options: RunOptions = DEFAULT, *, textbooks: bool = False) -> Job:
    """The kata's specs against this text of its file, on the references or the textbook solutions of earlier katas."""
    files = {}
    for earlier in with_prerequisites([kata]):
        path = earlier.textbook if textbooks and earlier.textbook.is_file() else earlier.reference
        files[earlier.file] = path.read_text(encoding="utf-8")
    return Job(kata, files | {kata.file: source}, options=options)


def results(jobs: Iterable[Job], cache: ResultCache | None = None) -> dict[Job, KataResult]:
    """Every job's result, by the job itself (jobs compare by identity).

    Args:
        cache: where results are looked up and kept. A clean clone has an empty one, so that CI runs everything.
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
    """What a mistake's `caught_by` may call a spec: "test_x", "TestClass::test_x", "TestClass::test_x[a]"."""
    bare = spec.partition("[")[0]
    return {spec, bare, bare.partition("::")[2]}


def failing(result: KataResult) -> list[SpecResult]:
    return [spec for spec in specs(result) if spec.status not in ("passed", "skipped")]


def mistakes_file(kata: Kata) -> Path:
    """Its mistakes, and the mutants on record as equivalent."""
    return kata.author / "mistakes.py"


def touched(kata: Kata, reference: str, source: str) -> tuple[str, ...]:
    """The spec classes of the exercises that this text changes when it is appended to the reference."""
    body = [node for node in ast.parse(source).body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    return exercises_with(kata, reference, set().union(*map(cells.bound, body)))


def apart(paths: Iterable[Path]) -> list[list[Path]]:
    """These modules in rounds, in which no two bind the same name."""
    rounds: list[tuple[list[Path], set[str]]] = []
    for path in paths:
        names = set().union(*map(cells.bound, ast.parse(path.read_text(encoding="utf-8")).body))
        there, taken = next((one for one in rounds if not one[1] & names), ([], set[str]()))
        if not there:
            rounds.append((there, taken))
        there.append(path)
        taken |= names
    return [there for there, _ in rounds]


def exercises_with(kata: Kata, reference: str, changed: set[str]) -> tuple[str, ...]:
    """The spec classes of the exercises that are, or use, one of these definitions; empty, which means all, if none."""
    uses = _uses(reference)
    reached = changed & set(uses)
    while users := {name for name in uses if name not in reached and uses[name] & reached}:
        reached |= users
    touched = [e for e in kata.exercises if e.owner in reached or reached & set(kata.used_by(e))]
    return tuple(exercise.spec_class for exercise in touched)


@functools.cache
def _uses(module: str) -> dict[str, set[str]]:
    """Each name that the module binds, and the names in the statement that binds it."""
    return {
        name: {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        for node in ast.parse(module).body
        for name in cells.bound(node)
    }


def statements(module: str) -> dict[str, str]:
    """Each name that the module binds, and the statement that binds it."""
    return {name: ast.unparse(node) for node in ast.parse(module).body for name in cells.bound(node)}
