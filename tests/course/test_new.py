"""`kata new`: what it creates keeps its promises at once, and bad names are one line."""

import shutil
import subprocess
import sys

import pytest

from grader.authoring import new, promises
from grader.authoring.promises import PROMISES
from grader.course.catalogue import Kata
from grader.errors import NotPossible
from tests.conftest import SOUND


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    return tmp_path / "tree"


def test_a_teachers_own_kata_keeps_its_promises_at_once(tree, warm_workers):
    kata = new.create(tree, "mycourse/01_halves")
    assert [exercise.name for exercise in kata.exercises] == ["halve"]
    assert "| 1 | `halve` | core | half of every number |" in (kata.folder / "README.md").read_text()
    subprocess.run([sys.executable, kata.folder / "lesson.py", kata.folder / "figure.png"], check=True)
    problems = {promise.__name__: promise(kata) for promise in PROMISES}
    assert not any(problems.values()), problems


def test_in_the_course_it_says_what_is_missing(tree, warm_workers):
    kata = new.create(tree, "34_halves")
    assert promises.folder(kata) == ["katas/34_halves/figure.png: missing: docs/authoring.md says what it holds"]
    shutil.copy(tree / "katas/01_sums/figure.png", kata.folder)
    said = "\n".join(promises.folder(kata))
    assert "2 mistakes, 10 to 25 are wanted" in said and "only 1 accepted solutions" in said
    assert not promises.textbook(kata) and not promises.unguarded(kata) and not promises.mistakes(kata)


@pytest.mark.parametrize("name", ["halves", "34-halves", "../34_halves", "Mine/01_halves", "34_", "/tmp/34_halves"])
def test_other_names_are_refused(tree, name):
    with pytest.raises(NotPossible, match="is no name of a kata"):
        new.create(tree, name)


def test_a_number_is_given_once(tree):
    before = Kata(tree, "01_sums").specs.read_text()
    with pytest.raises(NotPossible, match="01 is taken by katas/01_sums"):
        new.create(tree, "01_sums")
    with pytest.raises(NotPossible, match="01 is taken by katas/01_sums"):
        new.create(tree, "01_other")
    assert Kata(tree, "01_sums").specs.read_text() == before
