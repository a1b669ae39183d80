"""Slips that people make: the first failure of the exercise names the cause, whichever
way it is run.
"""

from pathlib import Path

import pytest

from grader.course.catalogue import find
from grader.protocol import RunOptions
from grader.results import KataResult
from grader.workers.jobs import Job
from tests.wrong_code import WrongCode, read
from workshop import variants

SLIPS = read(Path(__file__).with_name("slips.txt"))


@pytest.fixture(scope="module")
def results(warm_workers) -> dict[WrongCode, KataResult]:
    """Each slip's result: the specs of its exercise, up to the first that fails, on
    textbook code of earlier katas.
    """
    jobs: dict[WrongCode, Job] = {}
    for slip in SLIPS:
        kata = find(slip.kata)
        text = slip.planted(kata.textbook.read_text(encoding="utf-8"))
        only = (kata.exercise(slip.exercise).spec_class,)
        jobs[slip] = variants.job(
            kata,
            text,
            RunOptions(only=only, ideas=True, stop_at_failure=True),
            textbooks=True,
        )
    found = variants.results(jobs.values())
    return {slip: found[job] for slip, job in jobs.items()}


@pytest.mark.parametrize(
    "slip", SLIPS, ids=lambda slip: f"{slip.kata}-{slip.exercise}-{slip.slip}"
)
def test_the_first_failure_names_the_cause(results, slip):
    failure = next(
        e for e in results[slip].exercises if e.name == slip.exercise
    ).first_failure
    assert failure, f"no spec of {slip.exercise} fails"
    assert slip.says in " ".join(failure.message.split()), failure.message
