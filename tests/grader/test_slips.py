"""Slips that people make: the first failure of the exercise names the cause, whichever way it is run."""

import pytest

from grader.course.catalogue import Kata, find
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers.jobs import Job
from tests.grader.slips import SLIPS, Slip
from workshop import variants


def planted(slip: Slip) -> tuple[Kata, str]:
    kata = find(slip.kata)
    text = kata.textbook.read_text(encoding="utf-8")
    assert text.count(slip.was) == 1, f"{slip.kata} {slip.name}: the textbook solution has changed"
    return kata, text.replace(slip.was, slip.now)


@pytest.fixture(scope="module")
def results(warm_workers) -> dict[Slip, KataResult]:
    """Each slip's result: the specs of its exercise, up to the first that fails, on textbook code of earlier katas."""
    jobs: dict[Slip, Job] = {}
    for slip in SLIPS:
        kata, text = planted(slip)
        only = (kata.exercise(slip.exercise).spec_class,)
        jobs[slip] = variants.job(kata, text, RunOptions(only=only, ideas=True, stop_at_failure=True), textbooks=True)
    found = variants.results(jobs.values())
    return {slip: found[job] for slip, job in jobs.items()}


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: f"{slip.kata}-{slip.exercise}-{slip.name}")
def test_the_first_failure_names_the_cause(results, slip):
    failure = next(e for e in results[slip].exercises if e.name == slip.exercise).first_failure
    assert failure, f"no spec of {slip.exercise} fails"
    assert slip.says in " ".join(failure.message.split()), failure.message
