"""`kata promises`: a line per finding, and katas that have kept their promises are
skipped until something changes.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from grader.course import description
from grader.course.catalogue import Kata, all_katas
from grader.learner import inputs
from grader.learner.inputs import Event
from tests.conftest import SOUND
from workshop import commands, kept


@pytest.fixture
def tree(tmp_path, monkeypatch, warm_workers) -> list[Kata]:
    """A copy of the sound tree, which `kata promises` takes for the course. Workers
    know its specs.
    """
    shutil.copytree(
        SOUND, tmp_path / "tree", ignore=shutil.ignore_patterns("__pycache__", ".kata")
    )
    found = all_katas(tmp_path / "tree")
    monkeypatch.setattr(
        commands,
        "katas",
        lambda names: [k for k in found if not names or k.number in names],
    )
    monkeypatch.setattr(kept, "warm_up", lambda katas: None)
    return found


def change(path: Path, was: str, now: str) -> None:
    text = path.read_text()
    assert was in text
    path.write_text(text.replace(was, now, 1))


def test_a_green_run_is_remembered_until_something_changes(tree, kata_here):
    lines = kata_here("promises").stdout.splitlines()
    assert [line.partition(" · ")[0] for line in lines] == [
        f"{k.name} keeps its 14 promises" for k in tree
    ]
    done = kata_here("promises")
    assert done.returncode == 0
    assert done.stdout == (
        "2 of 2 katas are unchanged since they kept their promises, and were skipped\n"
    )
    change(tree[1].folder / "lesson.py", '"""', '"""Again. ')
    first, second = kata_here("promises").stdout.splitlines()
    assert first.startswith(
        "02_reuse keeps its 14 promises · tried anew: lesson, complete · "
    )
    assert second.startswith("1 of 2 katas are unchanged")
    assert kata_here("promises", "02").stdout.startswith(
        "02_reuse keeps its 14 promises · tried anew: none · "
    )


class Edits:
    """The inputs of a watch: each edit is a save, and the last one is followed
    by Ctrl-C.
    """

    def __init__(self, *edits: Callable[[], None]):
        self.edits = list(edits)

    def follow(self, *folders: Path) -> None:
        pass

    def read(self, *, wait: bool) -> Iterator[Event]:
        if not self.edits:
            raise KeyboardInterrupt
        self.edits.pop(0)()
        yield Event.SAVED


def test_a_watch_tries_what_each_edit_touches(tree, kata_here, monkeypatch):
    """A broken promise, too, is tried again only once a file that it reads
    has changed.
    """
    lesson, hints = tree[0].folder / "lesson.py", tree[0].folder / "hints.md"
    edits = Edits(
        lambda: change(lesson, "print(", "1 / 0; print("),
        lambda: change(hints, "3. (2, 3)", "3. Or (2, 3)"),
        lambda: change(lesson, "1 / 0; ", ""),
        lambda: (tree[0].root / "katas" / "notes.txt").write_text("of no kata"),
    )
    monkeypatch.setattr(inputs, "opened_inputs", lambda: nullcontext(edits))
    done = kata_here("promises", "--watch")
    lines = [line.rpartition(" · ")[0] for line in done.stdout.splitlines()]
    assert done.returncode == 0 and lines[:2] == [
        f"{kata.name} keeps its 14 promises" for kata in tree
    ]
    broken, first, again, second, *rest = lines[2:]
    assert done.stdout.count("ZeroDivisionError: division by zero") == 2
    assert first == "01_sums: 1 finding · tried anew: lesson, complete"
    assert second == "01_sums: 1 finding · tried anew: complete"
    # the lesson is as it was
    assert rest == ["01_sums keeps its 14 promises · tried anew: complete"]


def test_a_finding_is_a_line_with_its_file(tree, kata_here):
    change(tree[0].folder / "hints.md", "3. (2, 3)", "3. Shapes.\n4. (2, 3)")
    change(tree[0].specs, '"""The other dimension stays."""', "")
    done = kata_here("promises", "01")
    *findings, end = done.stdout.splitlines()
    line = (tree[0].folder / "hints.md").read_text().splitlines().index("## total") + 1
    assert (
        f"katas/01_sums/hints.md:{line}: total has 4 hints, 1 to 3 are wanted"
        in findings
    )
    assert all(
        finding.startswith(("katas/01_sums/", "solutions/")) for finding in findings
    ), findings
    assert done.returncode == 1 and end.startswith(
        f"01_sums: {len(findings)} findings · "
    )
    assert kept.changed(tree)[0] == tree[0]


@pytest.mark.parametrize(
    ("file", "was", "now", "finding"),
    [
        (
            "kata.toml",
            "difficulty",
            "difficult",
            "katas/01_sums/kata.toml:3: difficulty is missing: is it difficult?",
        ),
        ("sums.py", "def double(", "def double((", "katas/01_sums/sums.py:"),
        ("lesson.py", "for size", "fro size", "katas/01_sums/lesson.py:"),
    ],
)
def test_what_cannot_be_read_is_one_finding(tree, file, was, now, finding):
    change(tree[0].folder / file, was, now)
    [found] = kept.check(tree[0]).findings
    assert found.startswith(finding)


def test_a_broken_reference_is_one_finding(tree, kata_here):
    """The promises that try code on it or beside it wait for it. Nothing else
    is wrong.
    """
    change(tree[0].reference, "return 2 * x", "return 3 * x")
    done = kata_here("promises", "01")
    finding, end = done.stdout.splitlines()
    spec = "the reference fails backwards TestDouble::test_every_value_is_doubled"
    assert done.returncode == 1 and re.match(
        rf"katas/01_sums/test_sums.py:\d+: {spec}", finding
    )
    waiting = "textbook, unguarded, mistakes, accepted, lesson, sealed"
    assert end.startswith(
        f"01_sums: 1 finding, and not tried until the reference passes: {waiting} · "
    )


def test_what_is_to_do_follows_the_result(tree, kata_here):
    """It breaks no promise, so the exit code is 0 and the kata is remembered
    as green.
    """
    change(tree[1].folder / "kata.toml", "finished = true\n", "")
    change(tree[1].folder / "hints.md", "## quadruple", "## four times")
    description.read.cache_clear()
    done = kata_here("promises", "02")
    first, *to_do = done.stdout.splitlines()
    assert done.returncode == 0 and first.startswith(
        "02_reuse keeps its 12 promises · "
    )
    assert first.endswith(" · to do before `finished = true`:")
    assert to_do == [
        "  katas/02_reuse/hints.md: has ['four times']; the exercises are ['quadruple']"
    ]
    assert kept.changed(tree) == tree[:1]
