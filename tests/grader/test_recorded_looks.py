"""A recorded mistake is named where no spec names the cause: by all failures of an exercise, and with care."""

import json
from dataclasses import asdict, replace

import pytest

from grader.course.handouts import SIGNATURES
from grader.failure import Cause, Failure, made
from grader.specs import signatures
from workshop import variants


def failure(*rows: str) -> Failure:
    told = [("given", "f(my_name)"), *((row[:10].strip(), row[11:]) for row in rows)]
    place = "code.py:3 · kata hint 01 f"
    return Failure("mismatch", "wrong", reason="Why it is asked.", rows=tuple(told), place=place)


HALVED = {"T::test_a": failure("differs    got 1.23456, expected 2.5"), "T::test_b": failure("got        3")}
WORDED = {"T::test_w": failure("wrong      this is one part alone")}
DOUBLED = {"T::test_a": failure("differs    got 4.9, expected 2.5"), "T::test_c": failure("got        8")}

MISTAKES = {"halved": HALVED, "doubled": DOUBLED, "the last part alone": WORDED}


@pytest.fixture
def folder(tmp_path):
    record = {name: signatures.written(failing) for name, failing in MISTAKES.items()}
    (tmp_path / SIGNATURES).write_text(json.dumps({"digest": "", "T": record}))
    return tmp_path


def test_the_mistake_that_looks_like_it_is_named(folder):
    """Whatever the learner's names are, and to three digits."""
    change = lambda text: text.replace("my_name", "x").replace("1.23456", "1.23460")  # noqa: E731
    mine = {"T::test_a": HALVED["T::test_a"].each(change), "T::test_b": HALVED["T::test_b"]}
    assert "expected 2.5\nlooks like halved\n\ncode.py:3" in signatures.told(folder, "T", mine).text


@pytest.mark.parametrize(
    "mine",
    [
        {"T::test_a": failure("differs    got 7, expected 2.5"), "T::test_b": failure("got        4")},  # other values
        {"T::test_d": HALVED["T::test_a"]},  # another spec
        HALVED | {f"T::test_{name}": failure("got        9") for name in "efghi"},  # much more is wrong
        {"T::test_a": HALVED["T::test_a"], "T::test_c": DOUBLED["T::test_c"]},  # half of each
        WORDED,  # which the first part alone fails, too
    ],
)
def test_another_failure_is_not(folder, mine):
    assert signatures.told(folder, "T", mine) == next(iter(mine.values()))


def test_the_name_stands_before_facts_and_its_source_is_kept(folder):
    fact = Cause("means", "every value is half the expected one", "likeness")
    told = signatures.told(folder, "T", HALVED | {"T::test_a": replace(HALVED["T::test_a"], causes=(fact,))})
    assert told.causes == (Cause("looks like", "halved", "mistake"), fact)
    assert made(json.loads(json.dumps(asdict(told)))) == told


def test_a_failure_that_names_its_cause_stays(folder):
    named = failure("differs    got 1.23456, expected 2.5", "looks like something else")
    assert signatures.told(folder, "T", {"T::test_a": named}) == named
    assert signatures.told(folder, "None", HALVED) == HALVED["T::test_a"]


def test_each_mistake_on_record_is_told_by_its_own_name(sound, warm_workers):
    [kata, _] = sound
    right = kata.reference.read_text()
    known = [one for one in variants.mistakes(kata) if not one.edge]
    jobs = {one.name: variants.job(kata, right.replace(one.was, one.now), variants.POINTS) for one in known}
    found = variants.results(jobs.values())
    failures = {
        name: next(e.first_failure.message for e in found[job].exercises if e.first_failure)
        for name, job in jobs.items()
    }
    told = {name: text for name, text in failures.items() if "looks like" in text}
    assert told and all(f"looks like {name}" in text for name, text in told.items()), told
