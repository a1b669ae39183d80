"""Practice on one's own code: a planted bug, questions, a call line by line, and small tensors as blocks of colour."""

import random
import shutil
from dataclasses import replace
from html import unescape
from itertools import islice

import pytest
import torch

from grader.authoring import practised, variants
from grader.course.catalogue import ROOT, Kata, find
from grader.course.description import Exercise
from grader.errors import NotPossible
from grader.followed import Call, Value
from grader.learner import bug_hunt, defence, progress, stepping
from grader.practice import carried, debugging, departing, harmless, planting, questions, recorded, runs, shown
from grader.practice.mutation import Mutant
from grader.practice.operators import Source
from grader.protocol import RunOptions
from grader.reports import colour_blocks
from grader.specs import check
from grader.workers.jobs import Job
from tests.conftest import kata_command

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

COUNTING = """

class Counting(nn.Module):
    def __init__(self, size, bias=True):
        super().__init__()
        self.layer = nn.Linear(size, size, bias)
        self.norm = nn.BatchNorm1d(size, affine=False)
        self.register_buffer("calls", torch.tensor(0.0))
        self.register_buffer("last", torch.zeros(size), persistent=False)

    def forward(self, x):
        self.calls += 1
        return self.calls * self.layer(x)
"""


@pytest.fixture
def tree(tmp_path, warm_workers) -> Kata:
    """Kata 16 in a checkout of its own, with the textbook solution as the learner's code."""
    one = find("16")
    for folder in (one.folder, one.reference.parent):
        shutil.copytree(folder, tmp_path / folder.relative_to(ROOT))
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    tree = Kata(tmp_path, one.name)
    shutil.copy(one.textbook, tree.code)
    return tree


def write(kata: Kata, was: str, now: str) -> None:
    text = kata.code.read_text()
    assert was in text
    kata.code.write_text(text.replace(was, now))


class TestCarrying:
    def test_a_mistake_is_found_again_with_other_names(self):
        """Whatever the variables are called, and wherever the expression stands."""
        right = "def f(x, n):\n    return x.reshape(n, -1).transpose(0, 1)\n"
        wrong = "def f(x, n):\n    return x.reshape(n, -1)\n"
        own = Source("def f(values, rows):\n    table = values.reshape(rows, -1).transpose(0, 1)\n    return table\n")
        [edit] = carried.edits(right, wrong, own, "")
        assert edit.now == "values.reshape(rows, -1)"

    def test_code_without_the_place_is_left_alone(self):
        assert not [
            *carried.edits(
                "def f(x):\n    return x + 1\n", "def f(x):\n    return x\n", Source("def f(x):\n    return -x\n"), ""
            )
        ]


class TestDebug:
    @pytest.fixture
    def hunt(self, tree) -> bug_hunt.Hunt:
        return bug_hunt.start(tree, tree.exercise("split_heads"), recorded.mistakes(tree), random.Random(0))

    def test_the_call_that_the_failure_shows_is_not_offered(self, tree, hunt):
        options = RunOptions(ideas=True, only=("TestSplitHeads",), traced=(1, 99))
        [run] = runs.of([Job(tree, {**progress.job(tree).files, tree.file: hunt.bug.text}, options=options)])
        failed = next(name for name, spec in run.specs.items() if spec.status == "failed")
        assert not {debugging.in_words(call) for call in run.calls[failed]} & {*hunt.offered}
        assert hunt.bug.by_people

    def test_a_bug_is_planted_in_a_copy_of_the_learners_code(self, tree, hunt):
        before = tree.code.read_text()
        bug = bug_hunt.place(tree).read_text()
        assert before == hunt.own != bug == hunt.bug.text
        assert bug_hunt.changed_lines(before, bug) <= bug_hunt.MOST_LINES
        said = "\n".join(bug_hunt.task(tree, hunt))
        assert "looks like" not in said and "test_" not in said and str(hunt.bug.lines[0]) + ":" not in said

    def test_the_line_the_call_and_the_mended_copy_are_judged(self, tree, hunt):
        hunt, said = bug_hunt.name_line(tree, hunt, 1)
        assert said.startswith("No") and not hunt.line
        hunt, said = bug_hunt.name_line(tree, hunt, hunt.bug.lines[0])
        assert said.startswith("Yes") and hunt.line
        hunt, said = bug_hunt.name_call(tree, hunt, "split_heads(torch.arange(24.).reshape(1, 2, 12), 3)")
        assert said.startswith("Yes: ") and hunt.call
        assert bug_hunt.mend(tree, hunt) == (False, "The copy is as it was planted: mend it first.")
        bug_hunt.place(tree).write_text(hunt.own)
        done, said = bug_hunt.mend(tree, hunt)
        assert done and said.startswith("Mended, with ")
        [found] = bug_hunt.found(tree.root)
        assert (found["exercise"], found["line"], found["wrong_answers"]) == ("split_heads", True, 1)
        assert bug_hunt.current(tree) is None and not bug_hunt.place(tree).exists()

    def test_calls_that_come_to_the_same_or_to_nothing_do_not_count(self, tree, hunt):
        _, said = bug_hunt.name_call(tree, hunt, "len('abc')")
        assert said == "len('abc') comes to the same with and without the bug."
        _, said = bug_hunt.name_call(tree, hunt, "split_heads(")
        assert said.startswith("split_heads( raises with and without the bug: SyntaxError")
        _, said = bug_hunt.name_call(tree, hunt, "__import__('os')._exit(3)")
        assert "ended the process" in said

    def test_a_pasted_reference_is_refused(self, tree, hunt):
        bug_hunt.place(tree).write_text(tree.reference.read_text())
        done, said = bug_hunt.mend(tree, hunt)
        assert not done and "lines differ from the copy with the bug" in said

    def test_a_broken_copy_and_lost_notes_are_said(self, tree, hunt):
        bug_hunt.place(tree).write_text(hunt.bug.text + "\nraise RuntimeError\n")
        done, said = bug_hunt.mend(tree, hunt)
        assert not done and said.startswith("A spec fails still:")
        bug_hunt.place(tree).with_name("hunt.json").write_text("{")
        assert bug_hunt.current(tree) is None


class TestDefend:
    def test_a_call_is_written_with_all_that_it_depends_on(self, tree):
        def value(text, shape=None, kind="", numbers=()):
            return Value(kind, text, shape, numbers)

        source = Source("class A:\n  def __init__(self, n, k=2): ...\n\n  def forward(self, x, mask=None): ...\n")
        made = Call("__init__", 2, {"self": value("A"), "n": value("4"), "k": value("3")})
        x = value("float32 tensor (2, 4)", (2, 4), "Tensor")
        run = Call("forward", 4, {"self": value("A"), "x": x, "mask": value("None")})
        hidden = Call("forward", 4, {"self": value("A"), "x": x, "mask": value("Mask object")})
        exercise = Exercise("A.forward", "TestForward")
        assert shown.calls(source, exercise, [[made, run], [made, hidden], [run]]) == ["A(4, 3)(torch.randn(2, 4))"]

    @pytest.mark.timeout(1800)  # it starts more than 400 workers, one after the other
    def test_questions_come_again_with_their_seed_and_the_sheet_keeps_its_answers(self, tree, tmp_path):
        job, exercises = progress.job(tree), [tree.exercise("split_heads")]
        asked = defence.drawn(tree, exercises, job, 3)
        assert asked == defence.drawn(tree, exercises, job, 3) and len(asked) == defence.NUMBER
        assert all(0 <= one.answer < len(one.options) == len({*one.options}) for _, one in asked)
        assert defence.write(asked, "16", job.files[tree.file], tmp_path / "ada.html").endswith("its key ada-key.html")
        page = unescape((tmp_path / "ada.html").read_text())
        key = unescape((tmp_path / "ada-key.html").read_text())
        assert "def split_heads" in page and all(
            option.split("`")[0] in page for _, one in asked for option in one.options
        )
        assert [one.options[one.answer].split("`")[0] in key for _, one in asked] == [True] * 5
        assert "Which " not in key and "What " not in key

    def test_answers_are_counted(self):
        asked = (find("16").exercise("split_heads"), questions.Question("value", "What is it?", ("1", "2", "3"), 1))
        said: list[str] = []
        answers = iter(["B", "?"])
        assert defence.hold([asked, asked], said.append, lambda: next(answers)) == 1
        assert said[1] == "Yes.\n" and said[-2].startswith("No: ") and said[-1] == "1 of 2"

    def test_a_sheet_for_each_student(self, tree, tmp_path):
        for student, code in (("ada", tree.textbook), ("bob", find("16").code)):
            (tmp_path / "class" / student).mkdir(parents=True)
            shutil.copy(code, tmp_path / "class" / student / "multi_head_attention.py")
        done = kata_command(
            *("defend", "16", "--submissions", tmp_path / "class", "--sheet", tmp_path / "sheets", "--seed", "1")
        )
        assert done.returncode == 0, done.stderr
        assert "bob: no sheet: no exercise works" in done.stdout and "wrote 1 of 2 sheets" in done.stdout
        assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == ["ada-key.html", "ada.html"]


class TestTrace:
    def test_a_reshape_without_a_transpose_shows_which_axis_came_from_which(self, tree):
        write(tree, SPLIT, WITHOUT_TRANSPOSE)
        followed = stepping.of_a_spec(tree, tree.exercise("split_heads"), progress.job(tree))
        said = "\n".join(stepping.lines(followed))
        assert said.startswith(
            "FAILED  heads are consecutive feature blocks\nsplit_heads(x = float32 tensor (2, 5, 12)"
        )
        assert "reshape  (a2, b5, c12) → (a2, bc3, bc5, c4)" in said
        line = tree.code.read_text().splitlines().index(f"    {WITHOUT_TRANSPOSE}") + 1
        assert followed.departure == departing.Departure(line)
        assert stepping.html(followed).count("departs here") == 1

    def test_a_call_that_is_given(self, tree):
        tree.code.write_text(tree.code.read_text() + LOOP)
        job, merge = progress.job(tree), tree.exercise("merge_heads")
        followed = stepping.of_a_call(tree, merge, job, "merge_heads(torch.ones(2, 3, 5, 4))")
        said = [*stepping.lines(followed)]
        assert [line for line in said if "×3" in line and "parts.append(head)" in line]
        assert said[-1].strip() == "returned float32 (2, 5, 12)"  # what was caught is not told
        with pytest.raises(NotPossible, match="does not call merge_heads: NameError"):
            stepping.of_a_call(tree, merge, job, "merge_head(1)")

    def test_code_that_cannot_be_followed_is_said(self, tree):
        split = tree.exercise("split_heads")
        write(tree, SPLIT, "raise NotImplementedError")
        assert "raised NotImplementedError" in "\n".join(
            stepping.lines(stepping.of_a_spec(tree, split, progress.job(tree)))
        )
        tree.code.write_text("def split_heads(:\n")
        with pytest.raises(NotPossible, match="line 1: "):
            stepping.of_a_spec(tree, split, progress.job(tree))
        tree.code.write_text("raise OSError('no')\n")
        with pytest.raises(NotPossible, match="split_heads: nothing to follow: "):
            stepping.of_a_spec(tree, split, progress.job(tree))

    def test_a_long_loop_is_cut(self, tree):
        write(tree, SPLIT, f"for _ in range(10_000):\n        T = T + 0\n    {SPLIT}")
        followed = stepping.of_a_call(
            tree, tree.exercise("split_heads"), progress.job(tree), "split_heads(torch.ones(1, 2, 4), 2)"
        )
        assert followed.call.cut and "       … longer than is followed" in [*stepping.lines(followed)]

    def test_without_the_authors_files_it_works_too(self, tree):
        shutil.rmtree(tree.author)
        write(tree, SPLIT, WITHOUT_TRANSPOSE)
        followed = stepping.of_a_spec(tree, tree.exercise("split_heads"), progress.job(tree))
        assert "bc3" in "\n".join(stepping.lines(followed))


class TestBlocks:
    def test_a_small_tensor_that_differs_has_a_picture(self):
        got, expected = torch.tensor([[0.0, 1.0], [2.0, float("nan")]]), torch.tensor([[0.0, 1.0], [2.0, 9.0]])
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

    @pytest.mark.parametrize("text", ["\x1b]0;title\a", "\n\x1b[2J 1 1", "\n1 1", "\n" + "1" * 17 + " 1 1"])
    def test_other_text_is_no_picture(self, text):
        assert colour_blocks.coloured(text) == ""


def test_a_bug_may_be_in_the_kernels_of_an_exercise():
    kata = find("kernels/05")
    own = kata.reference.read_text()
    [exercise] = [one for one in kata.exercises if one.name == "flash_dq"]
    found = planting.candidates(kata, exercise, own, (), random.Random(0))
    assert {one.definition for one in found} == {"flash_dq", "_dq_kernel", "_scores"}


def test_right_code_can_be_practised(sound, warm_workers):
    """The shares over all katas are measured every night."""
    found = practised.of(sound[0], sound[0].accepted)
    assert found.count["planted"] == found.count["exercises"] > 3
    assert found.count["questions"] and not found.count["wrong keys"] and found.guessed.keys() == {*practised.WAYS}


def test_a_wrong_key_is_found_in_a_second_way(warm_workers):
    kata = find("16")
    exercise, job = kata.exercise("prepare_mask"), variants.job(kata, kata.textbook.read_text(), textbooks=True)
    drawn = random.Random(2)
    asked = [*islice(questions.ask(questions.material(kata, exercise, job, drawn), drawn), 5)]
    assert len({question.kind for question in asked}) >= 4
    for question in asked:
        assert practised.decided_anew(question, exercise, job), question
        wrong = replace(question, answer=(question.answer + 1) % len(question.options))
        assert not practised.decided_anew(wrong, exercise, job), question


def test_what_a_second_call_comes_to_and_what_a_layer_holds(warm_workers):
    kata = find("16")
    text = kata.textbook.read_text() + COUNTING
    job, call = variants.job(kata, text, textbooks=True), "Counting(3, bias=False)(torch.ones(2, 3))"
    found = questions.Material(
        job, Source(text), kata.exercise("split_heads"), {call: questions.outcomes(job, text, call)}, [], [], []
    )
    asked = [*questions._seconds(found, random.Random(0)), *questions._holds(found, random.Random(0))]
    assert [one.options[one.answer] for one in asked] == ["another result of the same shape", "5"]
    for question in asked:
        assert practised.decided_anew(question, found.exercise, job)
        wrong = replace(question, answer=(question.answer + 1) % len(question.options))
        assert not practised.decided_anew(wrong, found.exercise, job)


def test_a_bug_is_rather_one_that_must_be_looked_for(warm_workers, monkeypatch):
    kata = find("16")
    exercise, job = kata.exercise("split_heads"), variants.job(kata, kata.textbook.read_text(), textbooks=True)
    last = "    return x.reshape(B, T, num_heads, C // num_heads)"
    changes = (
        (planting.CARRIED, "if True:\n        x = x + 1\n" + last),
        ("another function", "return x.split_heads()"),
        ("another axis", last.strip() + ".transpose(1, 3)"),
    )
    given_away, raising, quiet = (
        Mutant(16, "split_heads", operator, job.files[kata.file].replace(SPLIT, now), SPLIT, now)
        for operator, now in changes
    )

    def planted(*found: Mutant) -> str:
        monkeypatch.setattr(planting, "candidates", lambda *_: iter(found))
        bug = debugging.plant(kata, exercise, job, (), random.Random(0))
        return bug.text if bug else ""

    assert planted(given_away, raising, quiet) == quiet.source
    assert planted(given_away, raising) == given_away.source, "better than none"


def test_a_statement_that_is_left_out_leaves_no_pass():
    text = "def f(x):\n    if x:\n        x.zero_()\n    x.add_(1)\n    return x\n"
    for statement, left in (("    x.add_(1)\n", ""), ("        x.zero_()\n", "        pass\n")):
        dropped = text.replace(statement, statement.replace(statement.strip(), "pass"))
        assert debugging._without_pass(text, dropped) == text.replace(statement, left)


def test_a_failure_that_quotes_a_new_text_gives_it_away():
    mutant = Mutant(1, "f", "another key", "", 'name = "batch"', 'name = "batch_"')
    assert debugging._quotes("got        'batch_'\nexpected   'batch'", mutant)
    assert not debugging._quotes("expected   'batch'", mutant)


def test_two_modules_that_are_built_do_not_change_places():
    text = "def f(self):\n    self.a = nn.Linear(2, 3)\n    self.b = nn.Linear(3, 2)\n    self.c = 1\n"
    swapped = [edit.now for edit in harmless.edits(Source(text)) if edit.operator == harmless.LINES]
    assert swapped == ["self.c = 1\n    self.b = nn.Linear(3, 2)"]
