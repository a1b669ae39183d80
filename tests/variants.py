"""Variants of a kata's code — mistakes, accepted solutions, mutants — as data, and how they are run: each in a warm worker."""

import runpy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from grader import runner
from grader.catalogue import Kata
from grader.results import KataResult, SpecResult


@dataclass(frozen=True)
class Mistake:
    """A wrong solution: the reference with `was`, which stands in it exactly once, replaced by `now`.

    `caught_by` names a spec that must fail on it: "test_name", or "TestClass::test_name" where two classes share the name.
    """

    name: str
    was: str
    now: str
    caught_by: str


@dataclass(frozen=True)
class Equivalent:
    """A generated mutant that no spec can catch, by its difference as `python -m tests.mutants` shows it, and why. They are
    listed as EQUIVALENT beside the MISTAKES."""

    was: str
    now: str
    reason: str


def mistakes(kata: Kata) -> list[Mistake]:
    return runpy.run_path(str(_mistakes_file(kata)))["MISTAKES"]


def equivalents(kata: Kata) -> list[Equivalent]:
    return runpy.run_path(str(_mistakes_file(kata))).get("EQUIVALENT", []) if _mistakes_file(kata).is_file() else []


def accepted(kata: Kata) -> list[Path]:
    return sorted((kata.root / "tests" / "accepted" / kata.name).glob("*.py"))


def job(kata: Kata, source: str, **options) -> runner.Job:
    """The kata's specs against this text of its file, on the references of the earlier katas. Options are those of a Job."""
    files = {k.file: k.reference.read_text(encoding="utf-8") for k in runner.with_prerequisites([kata])} | {kata.file: source}
    return runner.Job(kata, files, **options)


def results(jobs: Iterable[runner.Job]) -> dict[runner.Job, KataResult]:
    """Every job's result, by the job itself (jobs compare by identity)."""
    return dict(runner.run(jobs))


def specs(result: KataResult) -> list[SpecResult]:
    return [spec for exercise in result.exercises for spec in exercise.specs]


def failing(result: KataResult) -> list[SpecResult]:
    return [spec for spec in specs(result) if spec.status not in ("passed", "skipped")]


def _mistakes_file(kata: Kata) -> Path:
    return kata.root / "tests" / "mistakes" / f"{kata.name}.py"
