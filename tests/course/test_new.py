"""`kata new`: what it creates keeps its promises at once, and bad names are
one line.
"""

import shutil

import pytest

from grader.course import description, pages, stubs
from grader.course.catalogue import Kata, all_katas
from grader.errors import NotPossible
from tests.conftest import SOUND
from workshop import kept, new


@pytest.fixture
def tree(tmp_path):
    shutil.copytree(SOUND, tmp_path / "tree")
    return tmp_path / "tree"


@pytest.mark.parametrize(
    "name", ["mycourse/01_halves", "34_halves", "papers/31_halves"]
)
def test_a_new_kata_keeps_its_promises_at_once(tree, warm_workers, name):
    kata = new.create(tree, name)
    assert [exercise.name for exercise in kata.exercises] == ["halve"]
    assert (
        "| 1 | `halve` | core | half of every number |"
        in (kata.folder / "README.md").read_text()
    )
    assert not pages.stale(all_katas(tree)) and not stubs.stale([kata])
    outcome = kept.check(kata)
    assert (outcome.findings, outcome.untried) == ([], [])


def test_what_needs_work_is_to_do_until_it_is_finished(tree, warm_workers):
    kata = new.create(tree, "34_halves")
    outcome = kept.check(kata)
    assert outcome.to_do == [
        "katas/34_halves/README.md: 1 snippets, 3 to 6 are wanted",
        "katas/02_reuse/README.md:39: what is next must link to ../34_halves/README.md",
        (
            "katas/GLOSSARY.md: no term leads to 34_halves/README.md: add one that it "
            "teaches"
        ),
        "solutions/34_halves/author/mistakes.py: 2 mistakes, 10 to 25 are wanted",
        (
            "solutions/34_halves/author/accepted: 1 accepted solutions, 2 or more are "
            "wanted"
        ),
    ]
    toml = kata.folder / "kata.toml"
    toml.write_text(toml.read_text().replace("finished = false", "finished = true"))
    description.read.cache_clear()
    finished = kept.check(kata)
    assert (finished.findings, finished.to_do) == (outcome.to_do, [])


def test_an_unfinished_kata_is_in_no_table_of_the_path(tree):
    table = "| chapter | katas | minutes |\n| --- | --- | --- |\n"
    (tree / "README.md").write_text(table)
    kata = new.create(tree, "34_halves")
    assert (
        "02 Reuse" in (tree / "README.md").read_text()
        and "34 Halves" not in (tree / "README.md").read_text()
    )
    (kata.folder.parent / "mycourse").mkdir()
    (kata.folder.parent / "mycourse" / "README.md").write_text(table)
    new.create(tree, "mycourse/01_halves")
    assert "01 Halves" in (kata.folder.parent / "mycourse" / "README.md").read_text()


def test_a_teachers_own_kata_needs_four_files_and_its_stub(tree, warm_workers):
    kata = new.create(tree, "mycourse/01_halves")
    shutil.rmtree(kata.author)
    for name in ("lesson.py", "hints.md", "figure.png"):
        (kata.folder / name).unlink()
    (kata.folder / "README.md").write_text("Divide by two.\n")
    (kata.folder / "data.txt").write_text("1 2 3\n")
    outcome = kept.check(kata)
    assert outcome.findings == [] and len(outcome.to_do) > 8, outcome


@pytest.mark.parametrize(
    "name",
    ["halves", "34-halves", "../34_halves", "Mine/01_halves", "34_", "/tmp/34_halves"],
)
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
