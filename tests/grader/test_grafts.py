"""A follow-up's file: the learner's, with the reference's code for some exercises in
place of theirs.
"""

import shutil
import sys

import pytest

from grader.course import grafts
from grader.course.catalogue import Kata, find
from grader.execution import follow_up
from grader.failure import unwritten
from grader.protocol import SpecInfo
from grader.results import SpecResult
from tests import both_ways
from tests.conftest import SOUND
from workshop import variants

GIVEN = """\
RULES = {}


def rule(name):
    return lambda function: RULES.setdefault(name, []).append(function) or function
"""
REFERENCE = f"""\
from math import prod as times

{GIVEN}

def double(x):
    return _helped(x)


@rule("double")
def _rule(x):
    return "reference"


def _helped(x):
    return times([2, x])


def total(xs):
    return sum(xs)


RULES["total"] = total


class Doubler:
    def __call__(self, x):
        return double(x)
"""
LEARNERS = f"""\
{GIVEN}

def times(a, b):
    return a * b


def _helped(xs):
    return sum(xs[1:])


def double(
    x,
):
    return 3 * x


@rule("double")
def _mine(x):
    return "learner"


def total(xs):
    return _helped(xs) + times(1, 0)


RULES["total"] = total


class Doubler:
    def __call__(self, x):
        return double(x) + 0


def after():
    raise ValueError
"""


@pytest.fixture
def kata(tmp_path) -> Kata:
    shutil.copytree(SOUND / "katas", tmp_path / "katas")
    found = Kata(tmp_path, "01_sums")
    found.reference.parent.mkdir(parents=True)
    found.reference.write_text(REFERENCE)
    return found


@pytest.fixture
def module(kata):
    """A function that runs the learner's file with the reference's code for
    these names.
    """

    def run(*names: str, source: str = LEARNERS) -> dict:
        space: dict = {}
        exec(compile(grafts.grafted(kata, source, names), "learners.py", "exec"), space)
        return space

    return run


def test_only_these_names_are_the_references(module):
    found = module("double")
    assert (found["double"](4), found["Doubler"]()(4), found["total"]([1, 2, 3])) == (
        8,
        8,
        5,
    )


def test_helpers_and_imports_of_both_stay_apart(module):
    found = module("double")
    assert found["times"](3, 4) == 12 and found["_helped"]([1, 2, 3]) == 5


def test_what_is_registered_later_finds_the_references_code(module):
    assert module("total")["RULES"]["total"]([1, 2, 3]) == 6


def test_what_a_helper_registers_comes_last(module):
    assert module("double")["RULES"]["double"][-1](0) == "reference"
    assert [f(0) for f in module("total")["RULES"]["double"]] == ["learner"]


def test_lines_keep_their_numbers(module):
    with pytest.raises(ValueError) as raised:
        module("double", "total")["after"]()
    assert (
        raised.traceback[-1].lineno + 1
        == LEARNERS.splitlines().index("    raise ValueError") + 1
    )


@pytest.mark.parametrize(
    "own",
    [
        "",
        "double = None",
        "try:\n    double, other = 1, 2\nfinally:\n    pass",
        "from os import path as double",
    ],
    ids=["missing", "a value", "one of several", "imported"],
)
def test_the_name_may_be_bound_in_any_way(module, own):
    assert module("double", source=f"{GIVEN}\n{own}\nlast = 1")["double"](4) == 8


def test_a_file_that_cannot_be_parsed_stays_as_it_is(kata):
    assert grafts.grafted(kata, "def double(", ("double",)) == "def double("


def test_without_a_reference_there_is_none(kata):
    kata.reference.unlink()
    assert grafts.grafted(kata, LEARNERS, ("double",)) is None


def test_a_forgotten_maximum_costs_one_exercise():
    """In both locks. The log_softmax of tinytorch/06 is made of Tensor operations: the
    reference's has its own rule.
    """
    kata = find("tinytorch/06")
    text = kata.reference.read_text(encoding="utf-8")
    start, end = text.index("    shifted = x.data"), text.index("def softmax(")
    text = (
        f"{text[:start]}    return x - x.exp().sum(dim, keepdim=True).log()\n\n\n"
        f"{text[end:]}"
    )
    job = variants.job(kata, text, variants.RunOptions(sealed=True))
    result = variants.results([job])[job]
    [broken] = [exercise for exercise in result.exercises if not exercise.so_far.point]
    assert broken.name == "log_softmax" and broken.sealed not in ("passed", "failed"), (
        "it fails in the first lock"
    )


@pytest.mark.parametrize(
    ("found", "is_run_again"), [(unwritten("attention_patterns"), False), (None, True)]
)
def test_what_is_not_written_is_not_run_again(found, is_run_again):
    """It has no point to keep, and the reference's code beside it may train
    for seconds.
    """
    specs = {
        name: SpecInfo(name, exercise, 1.0, "", edge=False, line=1, says="")
        for name, exercise in (
            ("a", "split_heads"),
            ("b", "attention_patterns"),
            ("c", "attention_patterns"),
        )
    }
    failed = {
        name: SpecResult(name, "failed", failure=found if name == "b" else None)
        for name in specs
    }
    planned = follow_up.following(find("16"), specs, failed, tried=())
    assert (
        planned is not None and planned.exercise == "attention_patterns"
    ) == is_run_again


@pytest.mark.skipif(
    sys.platform == "darwin",
    reason="processes that have used a library's threads cannot be forked",
)
def test_pytest_and_the_grader_agree(sound):
    """On every mistake of a small kata here, of all katas nightly."""
    assert list(both_ways.disagreements(sound[0])) == []
