"""A recorded mistake is named where no spec names the cause: by all failures of an exercise, and with care."""

import json
import shutil
from dataclasses import asdict, replace

import pytest

from grader.course.catalogue import all_katas
from grader.course.handouts import SIGNATURES
from grader.failure import Cause, Failure, made
from grader.specs import signatures
from tests.conftest import SOUND
from workshop import likely, signing, variants


def failure(*rows: str) -> Failure:
    told = [("given", "f(my_name)"), *((row[:10].strip(), row[11:]) for row in rows)]
    place = "code.py:3 · kata hint 01 f"
    return Failure("mismatch", "wrong", reason="Why it is asked.", rows=tuple(told), place=place)


HALVED = {"T::test_a": failure("differs    got 1.23456, expected 2.5"), "T::test_b": failure("got        3")}
WORDED = {"T::test_w": failure("wrong      this is one part alone")}
DOUBLED = {"T::test_a": failure("differs    got 4.9, expected 2.5"), "T::test_c": failure("got        8")}

OFF = {f"T::test_{name}": failure(f"got        {number}") for number, name in enumerate("pqrst")}
MISTAKES = {"halved": HALVED, "doubled": DOUBLED, "the last part alone": WORDED}


@pytest.fixture
def folder(tmp_path):
    record = {name: signatures.written(failing) for name, failing in MISTAKES.items()}
    changes = {"one off": [signatures.written(OFF)], "without the mask": [signatures.written(HALVED)]}
    (tmp_path / SIGNATURES).write_text(json.dumps({"digest": "", "T": record, "changes": {"T": changes}}))
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


def test_a_change_is_named_where_no_mistake_looks_like_it_and_nearly_all_agrees(folder):
    assert "\nlooks like one off\n" in signatures.told(folder, "T", OFF).text
    less = OFF | {"T::test_t": failure("got        9"), "T::test_s": failure("got        8")}  # as a mistake's may be
    assert signatures.told(folder, "T", less) == next(iter(less.values()))
    assert signatures.told(folder, "T", HALVED).cause == "halved"


def test_the_name_stands_before_facts_and_its_source_is_kept(folder):
    fact = Cause("means", "every value is half the expected one", "likeness")
    told = signatures.told(folder, "T", HALVED | {"T::test_a": replace(HALVED["T::test_a"], causes=(fact,))})
    assert told.causes == (Cause("looks like", "halved", "mistake"), fact)
    assert made(json.loads(json.dumps(asdict(told)))) == told


RIGHT = """
import torch


def double(x, mask, n):
    total = x.sum(dim=-1)
    for i in range(n):
        if i < 3 and not mask:
            total = total / x.abs().norm(dim=0, keepdim=True) - torch.sub(total, x[1:])
    return total
"""


def test_changes_are_what_learners_do_in_words_without_a_line_of_the_solution(tmp_path, monkeypatch):
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    [kata, _] = all_katas(tmp_path)
    kata.textbook.write_text(RIGHT)
    with (kata.folder / "README.md").open("a") as page:
        page.write("`abs` is the distance from zero.\n")
    assert 0 < len(likely.changes(kata)) <= likely.MOST
    monkeypatch.setattr(likely, "MOST", 1000)
    found = [(words, exercise.name, text) for words, exercise, text in likely.changes(kata)]
    assert {name for _, name, _ in found} == {"double"}
    for words, part in {
        "another dimension than the right one": "x.sum(dim=-2)",
        "a dimension kept that is to go": "x.sum(dim=-1, keepdim=True)",
        "a dimension lost that is to stay": "norm(dim=0, keepdim=False)",
        "a bound that is one off": "range(n + 1)",
        "a condition or mask the wrong way round": "and mask",
        "multiplied where it is to be divided": "total * x.abs()",
        "without `abs`": "total / x.norm",
        "a call left out": "x.abs() -",  # no word of `norm` in stub and lesson
        "a slice without one of its ends": "torch.sub(total, x[:])",
    }.items():
        assert any(said == words and part in text for said, _, text in found), (words, part)
    kata.textbook.unlink()
    assert not likely.changes(kata)


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


def test_a_record_that_is_there_changes_nothing_in_the_next_one(tmp_path, warm_workers):
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    [kata, _] = all_katas(tmp_path)
    first = signing.text(kata)
    signing.path(kata).write_text(first)
    assert signing.text(kata) == first
