"""Practice on one's own code: a planted bug, a call line by line, and small tensors as
blocks of colour.
"""

import random
import shutil

import pytest
import torch

from grader.cli import learner, practice
from grader.course.catalogue import ROOT, Kata, find
from grader.errors import NotPossible
from grader.learner import bug_hunt, planting, progress, runs, stepping, trace
from grader.reports import colour_blocks
from grader.specs import check
from tests.conftest import SOUND

SPLIT = "return x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)"
WITHOUT_TRANSPOSE = "return x.reshape(B, num_heads, T, C // num_heads)"
LOOP = """

def merge_heads(x):
    parts = []
    for head in x.unbind(1):
        parts.append(head)
    try:
        raise ValueError("caught")
    except ValueError:
        pass
    return torch.cat(parts, dim=2)
"""
ONLY_DOUBLE = (
    "def double(x):\n    return x + x\n\n\ndef total(x, dim=0):\n"
    "    raise NotImplementedError\n"
)


def course(folder, root, name: str) -> Kata:
    """One kata in a checkout of its own."""
    one = Kata(root, name)
    for there in (one.folder, one.reference.parent):
        shutil.copytree(there, folder / there.relative_to(root))
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, folder)
    return Kata(folder, name)


@pytest.fixture(scope="module")
def sums_course(tmp_path_factory) -> Kata:
    return course(tmp_path_factory.mktemp("sums"), SOUND, "01_sums")


@pytest.fixture(scope="module")
def heads_course(tmp_path_factory) -> Kata:
    return course(tmp_path_factory.mktemp("heads"), ROOT, find("16").name)


@pytest.fixture(scope="module")
def planted(sums_course) -> bug_hunt.Hunt:
    shutil.copy(sums_course.textbook, sums_course.code)
    return bug_hunt.start(sums_course, "total", random.Random(0))


@pytest.fixture
def sums(sums_course) -> Kata:
    """Kata 01_sums with the textbook solution as the learner's code."""
    shutil.copy(sums_course.textbook, sums_course.code)
    return sums_course


@pytest.fixture
def heads(heads_course) -> Kata:
    """Kata 16 with the textbook solution as the learner's code."""
    shutil.copy(heads_course.textbook, heads_course.code)
    return heads_course


@pytest.fixture
def changed():
    """A function that changes a file until the test ends."""
    before = {}

    def change(path, was: str, now: str) -> None:
        text = path.read_text()
        assert was in text
        before.setdefault(path, text)
        path.write_text(text.replace(was, now))

    yield change
    for path, text in before.items():
        path.write_text(text)


class TestDebug:
    @pytest.fixture
    def hunt(self, sums, planted) -> bug_hunt.Hunt:
        """A hunt that has just begun."""
        return bug_hunt.begun(sums, planted.bug, random.Random(0))

    def test_a_recorded_mistake_is_planted_in_a_copy_of_the_learners_code(
        self, sums, hunt
    ):
        own = sums.code.read_text()
        assert (
            own == sums.textbook.read_text() == hunt.bug.right
            and hunt.bug.whose == "your code"
        )
        assert hunt.bug.wrong in {
            own.replace(one.was, one.now) for one in planting.mistakes(sums)
        } - {own}
        assert bug_hunt.place(
            sums
        ).read_text() == hunt.bug.wrong and hunt == bug_hunt.current(sums)

    def test_the_task_does_not_give_it_away(self, sums, hunt):
        said = "\n".join(bug_hunt.task(sums, hunt))
        assert (
            "looks like" not in said
            and "test_" not in said
            and f":{hunt.bug.lines[0]}" not in said
        )
        exercise = sums.exercise("total")
        [run] = runs.of([runs.job_of(progress.job(sums), hunt.bug.wrong, exercise)])
        failed = next(
            name for name, spec in run.specs.items() if spec.status == "failed"
        )
        shown = {trace.in_words(call) for call in run.calls[failed]}
        assert shown and not shown & {*hunt.bug.same, *hunt.bug.differing}

    def test_the_line_the_call_and_the_mended_copy_are_judged(self, sums, hunt):
        hunt, said = bug_hunt.name_line(sums, hunt, 1)
        assert said.startswith("No") and not hunt.line
        hunt, said = bug_hunt.name_line(sums, hunt, hunt.bug.lines[0])
        assert said.startswith("Yes") and hunt.line
        hunt, said = bug_hunt.name_call(
            sums, hunt, "total(torch.arange(6.).reshape(2, 3), 1)"
        )
        assert said.startswith("Yes: ") and hunt.call and hunt == bug_hunt.current(sums)
        assert bug_hunt.mend(sums, hunt) == (
            False,
            "The copy is as it was planted: mend it first.",
        )
        bug_hunt.place(sums).write_text(hunt.bug.right)
        assert bug_hunt.mend(sums, hunt) == (True, "Mended, with 1 changed line.")
        assert bug_hunt.current(sums) is None and not bug_hunt.place(sums).exists()

    def test_one_of_the_calls_that_are_offered_goes_wrong(self, sums):
        offered = ("total(x = same)", "total(x = differing)")
        bug = planting.Bug("total", "your code", "", "", "", offered[:1], offered[1:])
        hunt = bug_hunt.Hunt(bug, offered)
        assert "    b  total(x = differing)" in bug_hunt.task(sums, hunt)
        assert (
            bug_hunt.name_call(sums, hunt, "a")[1]
            == "No, a comes to the same with and without the bug."
        )
        hunt, said = bug_hunt.name_call(sums, hunt, "b")
        assert hunt.call and said == "Yes, b."

    def test_calls_that_come_to_the_same_or_to_nothing_do_not_count(self, sums, hunt):
        _, said = bug_hunt.name_call(sums, hunt, "len('abc')")
        assert said == "len('abc') comes to the same with and without the bug."
        _, said = bug_hunt.name_call(sums, hunt, "total(")
        assert said.startswith("total( raises with and without the bug: SyntaxError")
        _, said = bug_hunt.name_call(sums, hunt, "__import__('os')._exit(3)")
        assert "ended the process" in said

    def test_a_pasted_reference_is_refused(self, sums, hunt):
        bug_hunt.place(sums).write_text(sums.reference.read_text())
        done, said = bug_hunt.mend(sums, hunt)
        assert not done and "lines differ from the copy with the bug" in said

    def test_a_broken_copy_and_lost_notes_are_said(self, sums, hunt):
        bug_hunt.place(sums).write_text(hunt.bug.wrong + "\nraise RuntimeError\n")
        done, said = bug_hunt.mend(sums, hunt)
        assert not done and said.startswith("A spec fails still:")
        bug_hunt.place(sums).with_name("hunt.json").write_text("{")
        assert bug_hunt.current(sums) is None

    def test_code_without_a_mistakes_line_gets_solutions_without_what_is_not_finished(
        self, sums, changed
    ):
        sums.code.write_text(ONLY_DOUBLE)
        bug = bug_hunt.start(sums, None, random.Random(0)).bug
        assert (bug.exercise, bug.whose) == ("double", "the textbook solution")
        assert "raise NotImplementedError" in bug.wrong and "sum(dim)" not in bug.wrong
        changed(sums.textbook, "2 * x", "x + x")
        bug = bug_hunt.start(sums, "double", random.Random(0)).bug
        assert bug.whose == "the course's solution" and "sum(dim)" not in bug.wrong

    def test_where_none_can_be_planted_a_line_says_why(self, sums, changed):
        file = sums.author / "mistakes.py"
        # needs a name that is not there
        changed(file, 'now="x.mean(dim)"', 'now="mean(x, dim)"')
        for was in ("x.sum()", "x.sum(0)"):
            changed(file, f'now="{was}"', 'now="x.sum(dim)"')
        with pytest.raises(
            NotPossible, match="^total: no recorded mistake fits: try another exercise$"
        ):
            bug_hunt.start(sums, "total", random.Random(0))
        file.rename(file.with_suffix(".away"))
        with pytest.raises(NotPossible, match="a starter without solutions has none$"):
            bug_hunt.start(sums, None, random.Random(0))
        file.with_suffix(".away").rename(file)
        sums.code.write_text("def total(x, dim=0):\n    return x\n")
        with pytest.raises(NotPossible, match="^01: does not work yet"):
            bug_hunt.start(sums, None, random.Random(0))

    @pytest.mark.parametrize(
        "now", ["pass", "if True: x = 1", "", "x = (", "x = 1\n" * 4]
    )
    def test_a_line_that_nobody_has_to_look_for_is_not_planted(self, now):
        assert planting.must_be_looked_for("x = 2\ny = x\n", "x = 3\ny = x\n")
        assert not planting.must_be_looked_for("x = 2\ny = x\n", f"{now}\ny = x\n")

    def test_a_failure_that_quotes_a_new_text_gives_it_away(self):
        was, now = 'name = "batch"', 'name = "batch_"'
        assert planting.quotes("got        'batch_'\nexpected   'batch'", was, now)
        assert not planting.quotes("expected   'batch'", was, now)


class TestTrace:
    def test_a_reshape_without_a_transpose_shows_which_axis_came_from_which(
        self, heads, changed
    ):
        changed(heads.code, SPLIT, WITHOUT_TRANSPOSE)
        followed = stepping.of_a_spec(
            heads, heads.exercise("split_heads"), progress.job(heads)
        )
        said = "\n".join(stepping.lines(followed))
        assert said.startswith(
            "FAILED  heads are consecutive feature blocks\n"
            "split_heads(x = float32 tensor (2, 5, 12)"
        )
        assert (
            trace.LEGEND in said
            and "reshape  (a2, b5, c12) → (a2, bc3, bc5, c4)" in said
        )
        assert "reshape: " in stepping.html(followed)

    def test_without_a_kata_it_is_for_where_the_learner_is(
        self, heads, changed, monkeypatch, capsys
    ):
        changed(heads.code, SPLIT, "raise NotImplementedError")
        monkeypatch.setattr(practice, "katas", lambda _: [heads])
        monkeypatch.setattr(learner, "KATAS", heads.root / "katas")
        practice.trace()
        assert "split_heads(x = " in capsys.readouterr().out

    def test_a_call_that_is_given(self, heads):
        heads.code.write_text(heads.code.read_text() + LOOP)
        job, merge = progress.job(heads), heads.exercise("merge_heads")
        followed = stepping.of_a_call(
            heads, merge, job, "merge_heads(torch.ones(2, 3, 5, 4))"
        )
        said = [*stepping.lines(followed)]
        assert [line for line in said if "×3" in line and "parts.append(head)" in line]
        assert [line for line in said if "×3" in line and "for head in" in line], (
            "no fourth time, that finds the end"
        )
        assert max(map(len, said)) <= 80
        # what was caught is not told
        assert said[-1].strip() == "returned float32 (2, 5, 12)"
        with pytest.raises(NotPossible, match="does not call merge_heads: NameError"):
            stepping.of_a_call(heads, merge, job, "merge_head(1)")

    def test_code_that_cannot_be_followed_is_said(self, heads, changed):
        split = heads.exercise("split_heads")
        changed(heads.code, SPLIT, "raise NotImplementedError")
        assert "raised NotImplementedError" in "\n".join(
            stepping.lines(stepping.of_a_spec(heads, split, progress.job(heads)))
        )
        heads.code.write_text("def split_heads(:\n")
        with pytest.raises(NotPossible, match="line 1: "):
            stepping.of_a_spec(heads, split, progress.job(heads))
        heads.code.write_text("raise OSError('no')\n")
        with pytest.raises(NotPossible, match="split_heads: nothing to follow: "):
            stepping.of_a_spec(heads, split, progress.job(heads))

    def test_a_long_loop_is_cut(self, heads, changed):
        changed(
            heads.code,
            SPLIT,
            f"for _ in range(10_000):\n        T = T + 0\n    {SPLIT}",
        )
        followed = stepping.of_a_call(
            heads,
            heads.exercise("split_heads"),
            progress.job(heads),
            "split_heads(torch.ones(1, 2, 4), 2)",
        )
        assert followed.call.cut and "       … longer than is followed" in [
            *stepping.lines(followed)
        ]


class TestBlocks:
    def test_a_small_tensor_that_differs_has_a_picture(self):
        got, expected = (
            torch.tensor([[0.0, 1.0], [2.0, float("nan")]]),
            torch.tensor([[0.0, 1.0], [2.0, 9.0]]),
        )
        with pytest.raises(check.Mismatch) as found:
            check.equal(got, expected)
        assert found.value.picture == "\n01 01 00\n2x 29 0x"
        painted = colour_blocks.coloured(found.value.picture)
        assert "got" in painted.splitlines()[0] and painted.count("\x1b[48;5;") == 12

    @pytest.mark.parametrize("shape", [(), (1,), (13, 2), (2, 17)])
    def test_others_have_none(self, shape):
        with pytest.raises(check.Mismatch) as found:
            check.equal(torch.zeros(shape), torch.ones(shape))
        assert found.value.picture == ""

    def test_of_a_larger_one_the_part_that_differs_is_shown(self):
        got, expected = torch.zeros(3, 2, 2), torch.zeros(3, 2, 2)
        got[1, 0, 1] = 1
        with pytest.raises(check.Mismatch) as found:
            check.equal(got, expected)
        assert found.value.picture == "[1]\n09 00 09\n00 00 00"

    @pytest.mark.parametrize(
        "text", ["\x1b]0;title\a", "\n\x1b[2J 1 1", "\n1 1", "\n" + "1" * 17 + " 1 1"]
    )
    def test_other_text_is_no_picture(self, text):
        assert colour_blocks.coloured(text) == ""
