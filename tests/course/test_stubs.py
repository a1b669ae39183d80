"""Stubs: what the generator cuts and keeps, what counts as work, and that a stale stub
is noticed.
"""

import shutil

import pytest

from grader.course import stubs
from grader.course.catalogue import Kata, all_katas
from tests.conftest import SOUND
from workshop import promises

REFERENCE = '''"""About."""

import json
import math  # stub: keep
from functools import lru_cache, wraps

from torch import nn

_SCALE = 3
_HIDDEN = [1]
PUBLIC = _SCALE


# how it is done
@lru_cache
def _helper(x):
    return json.dumps(x)


@wraps(print)
async def fetch(
    x: int,
    y: int = _SCALE,
) -> int:
    """Doc.

    More.
    """

    def inner():
        return _helper(x)

    return inner


def bare(x):
    # how it is done
    return x * math.pi


class Layer(nn.Module):
    """Doc."""

    width = _SCALE

    def __init__(self):
        super().__init__()
        self._given()

    def _given(self):
        return 1

    def _secret(self):
        return 2

    # in both
    @property
    def size(self):
        """Size."""
        return self._secret()


class Whole:
    def _private(self):
        return 1

    def run(self):
        return self._private()


def given(x):
    return bare(x)
'''
STUB = '''"""About."""

import math
from functools import wraps

from torch import nn

_SCALE = 3
PUBLIC = _SCALE


@wraps(print)
async def fetch(
    x: int,
    y: int = _SCALE,
) -> int:
    """Doc.

    More.
    """
    raise NotImplementedError


def bare(x):
    raise NotImplementedError


class Layer(nn.Module):
    """Doc."""

    width = _SCALE

    def __init__(self):
        super().__init__()
        self._given()

    def _given(self):
        return 1

    # in both
    @property
    def size(self):
        """Size."""
        raise NotImplementedError


class Whole:
    def run(self):
        raise NotImplementedError


def given(x):
    return bare(x)
'''
EXERCISES = ("fetch", "bare", "Layer.size", "Whole")


def test_a_stub_keeps_what_is_given_and_nothing_that_solves_an_exercise():
    assert stubs.generate(REFERENCE, EXERCISES) == STUB


def test_a_stub_of_a_stub_is_the_stub():
    assert stubs.generate(STUB, EXERCISES).replace("import math\n", "") == STUB.replace(
        "import math\n", ""
    )


@pytest.fixture
def tree(tmp_path) -> Kata:
    shutil.copytree(
        SOUND, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__", ".kata")
    )
    return all_katas(tmp_path / "tree")[0]


@pytest.mark.parametrize(
    ("was", "now", "untouched"),
    [
        ("import torch.nn as nn\n", "import torch.nn as nn  # mine\n\n", True),
        ("raise NotImplementedError", "return x\n    raise NotImplementedError", False),
        ("Twice x", "Double x", False),
        ("def double(", "def double(((", False),
    ],
)
def test_what_is_untouched(tree, was, now, untouched):
    stub = stubs.stub_of(tree)
    assert (
        was in stub and stubs.is_untouched(tree, stub.replace(was, now, 1)) == untouched
    )
    assert not stubs.is_untouched(
        tree, stub + "double = abs\n"
    ) and not stubs.is_untouched(tree, "")


def test_a_changed_docstring_makes_the_stub_stale(tree):
    assert stubs.stale([tree]) == {} and promises.stub(tree) == []
    tree.reference.write_text(
        tree.reference.read_text().replace("Twice x, of any shape", "Double x")
    )
    assert "Double x" in stubs.stale([tree])[tree.code]
    assert "make stubs" in promises.stub(tree)[0]


@pytest.mark.parametrize(
    "work", ["return x + x", "x.no_such(", "# a note\n    return 2 * x"]
)
def test_work_is_never_overwritten(tree, work):
    text = tree.code.read_text().replace("raise NotImplementedError", work, 1)
    tree.code.write_text(text)
    tree.reference.write_text(
        tree.reference.read_text().replace("Twice x, of any shape", "Double x")
    )
    assert stubs.stale([tree]) == {}


def test_a_stub_whose_exercises_were_all_renamed_is_no_work(tree):
    tree.code.write_text("def halve(x):\n    raise NotImplementedError\n")
    assert "def double" in stubs.stale([tree])[tree.code]


def test_without_solutions_the_packed_stubs_are_used(tree):
    stub = stubs.stub_of(tree)
    stubs.pack([tree], tree.root)
    tree.reference.unlink()
    assert stubs.stub_of(tree) == stub
    # its reference is there
    assert stubs.stub_of(Kata(tree.root, "02_reuse")) is not None
