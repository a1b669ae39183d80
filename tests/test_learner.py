"""Hints that are remembered, solutions after hints, reset and undo that lose nothing, the next step, the lesson, the doctor."""

import os
import shutil
import zipfile

import pytest

from grader import catalogue, doctor, learner, reading
from grader.catalogue import ROOT, Kata, find
from tests.conftest import kata_command


@pytest.fixture
def tree(tmp_path) -> Kata:
    """Kata 01 in a checkout of its own."""
    one = find("01")
    for folder in (one.folder, one.reference.parent):
        shutil.copytree(folder, tmp_path / folder.relative_to(ROOT))
    return Kata(tmp_path, one.name)


class TestHints:
    def test_one_level_at_a_time_and_then_the_last(self, tree):
        said = [learner.next_hint(tree, "describe", None) for _ in range(4)]
        assert [text.split(":")[0] for text in said] == [f"describe, hint {level} of 3" for level in (1, 2, 3, 3)]
        assert "More: kata hint 01 describe" in said[0] and "kata solution 01 describe" in said[3]

    def test_each_exercise_has_its_own_count(self, tree):
        learner.next_hint(tree, "describe", None)
        assert learner.next_hint(tree, None, None).startswith("memory_by_dtype, hint 1 of 3")

    def test_a_level_can_be_asked_for_again(self, tree):
        learner.next_hint(tree, "describe", 3)
        assert learner.next_hint(tree, "describe", 1).startswith("describe, hint 1 of 3")

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"01_tensors describe": "many"}', "\x00"])
    def test_a_damaged_memory_starts_anew(self, tree, damage):
        learner.next_hint(tree, "describe", None)
        (tree.root / ".kata/hints.json").write_text(damage)
        assert learner.next_hint(tree, "describe", None).startswith("describe, hint 1 of 3")

    def test_an_unknown_exercise_is_one_line(self):
        done = kata_command("hint", "01", "no_such")
        assert done.returncode == 2 and "has no exercise 'no_such'" in done.stderr and done.stderr.count("\n") == 1


class TestSolution:
    def test_only_after_three_hints_or_now(self, tree):
        with pytest.raises(learner.NotPossible, match="0 of 3 hints taken"):
            learner.solution(tree, "describe")
        learner.next_hint(tree, "describe", 3)
        assert learner.solution(tree, "describe") == learner.solution(tree, "describe", now=True)

    def test_it_is_a_difference_to_the_learners_code_of_that_exercise(self, tree):
        lines = learner.solution(tree, "memory_by_dtype", now=True)
        assert "-    raise NotImplementedError" in lines
        assert any(line.startswith(" def memory_by_dtype(") for line in lines)
        assert not any("def describe" in line for line in lines)

    def test_the_same_code_is_said_to_be(self, tree):
        shutil.copy(tree.reference, tree.folder)
        assert learner.solution(tree, "describe", now=True) == ["the two are the same"]

    def test_a_half_typed_file_still_shows_the_reference(self, tree):
        (tree.folder / tree.file.name).write_text("def describe(")
        assert any(line.startswith("+def describe") for line in learner.solution(tree, "describe", now=True))

    def test_a_starter_has_none(self, tree):
        tree.reference.unlink()
        with pytest.raises(learner.NotPossible, match="no solutions/"):
            learner.solution(tree, "describe", now=True)


class TestResetAndUndo:
    def test_nothing_written_is_ever_lost(self, tree):
        path = tree.folder / tree.file.name
        stub = path.read_bytes()
        path.write_text("my first version")
        learner.reset(tree)
        assert path.read_bytes() == stub
        learner.undo(tree)
        assert path.read_text() == "my first version"
        path.write_text("my second version")
        learner.reset(tree), learner.undo(tree), learner.undo(tree), learner.reset(tree)
        kept = {version.read_text() for version in learner.versions(tree)}
        assert {"my first version", "my second version"} <= kept

    def test_undoing_twice_changes_nothing(self, tree):
        path = tree.folder / tree.file.name
        path.write_text("mine")
        learner.reset(tree)
        stub = path.read_bytes()
        learner.undo(tree), learner.undo(tree)
        assert path.read_bytes() == stub

    def test_a_stub_or_a_missing_file(self, tree):
        assert "the stub already" in learner.reset(tree)
        with pytest.raises(learner.NotPossible, match="nothing to undo"):
            learner.undo(tree)
        (tree.folder / tree.file.name).unlink()
        learner.reset(tree)
        assert (tree.folder / tree.file.name).read_bytes() == learner.stub_of(tree)

    def test_stopped_in_the_middle_the_file_is_as_it_was(self, tree, monkeypatch):
        path = tree.folder / tree.file.name
        path.write_text("mine")
        monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            learner.reset(tree)
        assert path.read_text() == "mine"
        assert not [file for file in tree.root.rglob(".*") if file.is_file()], "half-written files are left"

    def test_a_link_to_a_file_elsewhere_stays_one(self, tree, tmp_path):
        path, elsewhere = tree.folder / tree.file.name, tmp_path / "elsewhere.py"
        stub = path.read_bytes()
        elsewhere.write_text("mine")
        path.unlink()
        path.symlink_to(elsewhere)
        learner.reset(tree)
        assert path.is_symlink() and elsewhere.read_bytes() == stub

    def test_every_kata_has_a_stub_to_put_back(self):
        with zipfile.ZipFile(learner.STUBS) as kept:
            assert sorted(kept.namelist()) == sorted(kata.file.as_posix() for kata in catalogue.all_katas())


class TestNext:
    def test_it_names_the_exercise_the_files_and_the_commands(self):
        done = kata_command("next")
        assert done.returncode == 0, done.stderr
        for words in ("01 Tensors", "katas/01_tensors/tensors.py", "exercise   memory_by_dtype", "kata hint 01 memory_by_dtype", "kata watch 01"):
            assert words in done.stdout


class TestLesson:
    def test_in_a_pipe_the_text_as_it_is_and_what_lesson_py_says(self):
        done = kata_command("lesson", "01")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("# 01 · Tensors") and "The figure is in" in done.stdout and "\x1b" not in done.stdout

    def test_text_only(self):
        assert kata_command("lesson", "01", "--text").stdout == (find("01").folder / "README.md").read_text() + "\n"

    def test_a_terminal_gets_no_link_that_leads_nowhere(self):
        page = reading.for_terminal("![a b](figure.png) and [next](../02/README.md), [web](https://x.y)")
        assert page == "*Figure: a b* and next, [web](https://x.y)"

    @pytest.mark.parametrize(
        ("environment", "start"),
        [
            ({"TERM": "xterm-kitty"}, "\x1b_Ga=T,f=100,m="),
            ({"TERM_PROGRAM": "iTerm.app"}, "\x1b]1337;File=inline=1"),
            ({"TERM": "xterm-256color"}, ""),
            ({"TERM": "xterm-kitty", "TMUX": "/x"}, ""),
        ],
    )
    def test_a_figure_only_where_the_terminal_can(self, environment, start):
        shown = reading.inline(find("01").folder / "figure.png", environment)
        assert shown.startswith(start) and bool(shown) == bool(start)


class TestDoctor:
    def test_a_ready_machine(self):
        done = kata_command("doctor")
        assert done.returncode == 0, done.stdout
        for what in ("Python", "torch", "isolation", "data sets", "free disk", "katas"):
            assert what in done.stdout

    def test_what_is_wrong_is_said_with_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setattr(doctor, "NEEDED", ("torch", "no-such-package"))
        monkeypatch.setattr(doctor.confine, "what_is_open", lambda: ["it may use the network"])
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: os.terminal_size((0, 0)) and type("", (), {"free": 1e8}))
        found = {finding.what: finding for finding in doctor.examine()}
        assert found["no-such-package"].state == "bad" and "make setup" in found["no-such-package"].says
        assert found["isolation"].state == "note" and found["free disk"].state == "note"


def test_completion_knows_katas_and_exercises():
    """As a shell asks for it: the words so far in COMP_WORDS, the place in COMP_CWORD."""
    environment = os.environ | {"_KATA_COMPLETE": "complete_bash"}
    katas = kata_command(env=environment | {"COMP_WORDS": "kata hint 1", "COMP_CWORD": "2"}).stdout.split()
    assert "16" in katas and "01" not in katas
    exercises = kata_command(env=environment | {"COMP_WORDS": "kata hint 16 split", "COMP_CWORD": "3"}).stdout.split()
    assert exercises == ["split_heads"]
