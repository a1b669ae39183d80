"""Compares pytest with the grader: what is wrong in a kata must cost the same exercises
under both.

    python -m tests.both_ways tinytorch/06      (without a kata: all of them)

Each kata is tried with each of its mistakes, and without each of its functions and
classes, which may cost no other.
"""

import contextlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies  # noqa: F401  (forks inherit what takes long to import)
import pytest
import torch  # noqa: F401

from grader.course import stubs
from grader.course.catalogue import ROOT, Kata, all_katas, matching
from grader.results import KataResult
from workshop import variants

FAILED, OPEN = "failed", "open edge"


def disagreements(kata: Kata) -> Iterator[str]:
    """One line for each exercise on which the two differ, or which another one has cost
    its point.
    """
    reference = kata.reference.read_text(encoding="utf-8")
    wrong = {
        mistake.name: reference.replace(mistake.was, mistake.now)
        for mistake in variants.mistakes(kata)
    }
    owners = {exercise.owner for exercise in kata.exercises}
    unwritten = {
        f"without {owner}": stubs.generate(reference, (owner,))
        for owner in sorted(owners)
    }
    jobs = {
        name: variants.job(kata, text) for name, text in (wrong | unwritten).items()
    }
    graded = variants.results(jobs.values())
    with multiprocessing.get_context("fork").Pool(
        os.cpu_count(), maxtasksperchild=1
    ) as pool:
        tested = pool.starmap(
            _tested,
            [(kata, job.files[kata.file]) for job in jobs.values()],
            chunksize=1,
        )
    for (name, job), seen in zip(jobs.items(), tested, strict=True):
        said = _graded(graded[job])
        for exercise in kata.exercises:
            one, other = (
                said.get(exercise.name, "works"),
                seen.get(exercise.name, "works"),
            )
            if one != other or (
                name in unwritten
                and FAILED in (one, other)
                and name != f"without {exercise.owner}"
            ):
                yield (
                    f"{kata.name} · {name} · {exercise.name} · grader: {one}, pytest: "
                    f"{other}"
                )


def _graded(result: KataResult) -> dict[str, str]:
    """What does not work, or has open edges, according to the grader."""
    found = {}
    for exercise in result.exercises:
        if not exercise.so_far.point:
            found[exercise.name] = FAILED
        elif exercise.open_edges:
            found[exercise.name] = OPEN
    return found


class Outcomes:
    """A pytest plugin that notes what does not work."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        spec_class = report.nodeid.split("::")[1]
        if report.failed:
            self.found[spec_class] = FAILED
        elif getattr(report, "wasxfail", ""):
            self.found.setdefault(spec_class, OPEN)


def _tested(kata: Kata, source: str) -> dict[str, str]:
    """What does not work, or has open edges, according to pytest, which is run in
    this process.
    """
    outcomes = Outcomes()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as code, Path(os.devnull).open("w") as nowhere:
        path = Path(code, kata.file)
        path.parent.mkdir(parents=True)
        path.write_text(source, encoding="utf-8")
        with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            pytest.main([str(kata.specs), "--code", code], [outcomes])
    names = {exercise.spec_class: exercise.name for exercise in kata.exercises}
    return {names[spec_class]: what for spec_class, what in outcomes.found.items()}


def main() -> None:
    count = 0
    for kata in [
        kata for query in sys.argv[1:] for kata in matching(query)
    ] or all_katas():
        for line in disagreements(kata):
            print(line, flush=True)
            count += 1
    sys.exit(f"{count} disagreements" if count else None)


if __name__ == "__main__":
    main()
