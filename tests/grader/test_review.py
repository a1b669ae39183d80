"""`kata review`: what is due when, and one review from the blank to what the learner
had, with the sound tree.
"""

import contextlib
import shutil
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from grader import files
from grader.course.catalogue import Kata, all_katas
from grader.learner import progress, review, reviews
from grader.learner.inputs import Event
from grader.learner.reviews import Due, Note
from tests.conftest import SOUND

UNWRITTEN = "raise NotImplementedError"


@pytest.fixture
def tree(tmp_path, monkeypatch) -> list[Kata]:
    """Two katas, of which the first works and is due at once."""
    shutil.copytree(SOUND, tmp_path / "tree")
    katas = all_katas(tmp_path / "tree")
    monkeypatch.setattr(reviews, "AFTER", (0, 1))
    monkeypatch.setattr(review, "AFTER", (0, 1))
    katas[0].code.write_text(katas[0].reference.read_text())
    return katas


def due(tree: list[Kata]) -> list[Due]:
    return list(reviews.due(tree, progress.so_far(tree, tree[0].root / "katas")))


@pytest.fixture
def reviewed(monkeypatch, capsys):
    """A function that begins the review that is due, saves edits of the copy, and
    quits. Returns what was said.
    """

    def run(tree: list[Kata], *edits: Callable[[str], str]) -> str:
        [one] = due(tree)
        left, copy = list(edits), reviews.copies(one.kata.root) / one.kata.file

        def read(*, wait: bool) -> list[Event]:
            if not left:
                return [Event.QUIT]
            copy.write_text(left.pop(0)(copy.read_text()))
            return [Event.SAVED]

        inputs = SimpleNamespace(
            keys=None, sources=(), follow=lambda *folders: None, read=read
        )
        monkeypatch.setattr(
            review, "opened_inputs", lambda: contextlib.nullcontext(inputs)
        )
        review.start(*one)
        return capsys.readouterr().out

    return run


def test_from_the_blank_to_what_they_had(tree, reviewed):
    """The last core exercise first. Broken off, it waits as it was left; the learner's
    own file stays as it is.
    """
    one = tree[0]
    own = one.code.read_bytes()
    assert due(tree) == [Due(one, "total", 0)]
    said = reviewed(tree)
    assert (
        "Write total again, in .kata/review/01_sums/sums.py." in said
        and "total: not written yet" in said
    )
    assert "write it at .kata/review/01_sums/sums.py:" in said
    assert said.endswith(
        "total waits in .kata/review/01_sums/sums.py: kata review goes on, --give-up "
        "ends it.\n"
    )
    assert "FAILED  total" in reviewed(
        tree, lambda text: text.replace(UNWRITTEN, "return x.sum(dim) + 1")
    )
    said = reviewed(
        tree,
        lambda text: text.replace(
            "return x.sum(dim) + 1", "return sum(x.movedim(dim, 0))"
        ),
    )
    assert (
        "✓ total works" in said
        and "\n--- what you had\n+++ what you wrote now\n" in said
    )
    assert (
        "\n+    return sum(x.movedim(dim, 0))\n" in said
        and one.code.read_bytes() == own
    )
    assert due(tree) == [] and not (reviews.copies(one.root) / one.file).exists()


def test_an_exercise_that_is_no_longer_in_the_copy_begins_anew(tree, reviewed):
    reviewed(tree, lambda text: text.replace("def total(", "def add("))
    assert "total: not written yet" in reviewed(tree)


def test_what_is_no_definition_cannot_be_blank(tree):
    """Such as `total = torch.sum`."""
    text = tree[0].code.read_text()
    tree[0].code.write_text(
        text.replace("def total(", "def add(") + "\n\ntotal = add\n"
    )
    assert progress.is_working(
        progress.so_far(tree, tree[0].root / "katas")[tree[0]], "total"
    )
    assert due(tree) == []


def test_given_up_it_comes_again(tree, monkeypatch):
    [one] = due(tree)
    assert review.give_up(*one)[0].startswith("def total(")
    assert due(tree) == []
    monkeypatch.setattr(reviews, "_notes", lambda root: {"01_sums": Note(0, times=1)})
    assert due(tree) == [Due(one.kata, "double", 0)]


@pytest.mark.parametrize(
    "damaged",
    ["", "[]", '{"01_sums": 3}', '{"01_sums": ["x", null]}', '{"01_sums": ["x", 1]}'],
)
def test_a_damaged_record_is_none(tree, damaged):
    files.write(tree[0].root / ".kata" / "reviews.json", damaged)
    assert [one.exercise for one in due(tree)] == ["total"]


def test_what_is_due_after_thirty_katas(monkeypatch):
    """The first review after two later katas, and the next ones when the notes
    say so.
    """
    path = all_katas()[:34]
    notes = {
        path[0].name: Note(20, 2),
        path[1].name: Note(None, 3),
        path[2].name: Note(30, 1),
    }
    monkeypatch.setattr(reviews, "_notes", lambda root: notes)
    works = SimpleNamespace(core_works=True)
    results = dict.fromkeys(path[:30], works) | {
        path[30]: SimpleNamespace(core_works=False),
        path[31]: None,
    }
    monkeypatch.setattr(progress, "is_working", lambda result, name: result is works)
    found = list(reviews.due(path, results))
    assert [one.kata for one in found] == [path[0], *path[3:28]]
    assert all(
        one.later == 29 - path.index(one.kata)
        and not one.kata.exercise(one.exercise).stretch
        for one in found
    )
