"""The learner's commands: hints, solutions after hints, reset and undo that lose
nothing, next, lesson, doctor.
"""

import os
import re
import shutil
import subprocess
import sys

import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from grader import lesson
from grader.cli import learner, lessons
from grader.course import hint_file, lesson_code, stubs
from grader.course.catalogue import ROOT, Kata, find
from grader.errors import KataError, NotPossible
from grader.learner import doctor, environment, helping, history, reading, tasks
from tests.conftest import SOUND, kata_command


@pytest.fixture
def tree(tmp_path) -> Kata:
    """Kata 01 in a checkout of its own, without the author's files."""
    one = find("01")
    for folder in (one.folder, one.reference.parent):
        shutil.copytree(
            folder,
            tmp_path / folder.relative_to(ROOT),
            ignore=shutil.ignore_patterns("author"),
        )
    return Kata(tmp_path, one.name)


class TestHints:
    def test_one_level_at_a_time_and_then_the_last(self, tree):
        count = len(hint_file.of(tree, "describe"))
        said = [helping.next_hint(tree, "describe") for _ in range(count + 1)]
        numbered = [
            f"describe, hint {level} of {count}" for level in range(1, count + 1)
        ]
        assert [text.partition(":")[0] for text in said[:-1]] == numbered
        assert (
            "More: kata hint 01 describe" in said[0]
            and "kata solution 01 describe" in said[-2]
        )
        assert (
            said[-1].startswith("There are no more hints for describe.")
            and "kata solution 01" in said[-1]
        )

    def test_while_watching_the_key_leads_on(self, tree):
        count = len(hint_file.of(tree, "describe"))
        said = [
            helping.next_hint(tree, "describe", watching=True) for _ in range(count)
        ]
        assert all(text.endswith("\nh again for the next hint") for text in said[:-1])
        assert "In another terminal, kata solution 01 describe" in said[-1]

    def test_each_exercise_has_its_own_count(self, tree):
        helping.next_hint(tree, "describe")
        assert helping.next_hint(tree, tree.exercises[0].name).startswith(
            f"{tree.exercises[0].name}, hint 1 of "
        )

    def test_a_level_can_be_asked_for_again(self, tree):
        last = len(hint_file.of(tree, "describe"))
        helping.next_hint(tree, "describe", last)
        assert helping.next_hint(tree, "describe", 1).startswith("describe, hint 1 of ")
        with pytest.raises(
            NotPossible,
            match=f"describe has no hint {last + 1}, the last one is {last}",
        ):
            helping.next_hint(tree, "describe", last + 1)

    def test_the_edge_cases_have_the_last_hint(self, tree):
        """An exercise that works, with its star open, gets that hint only."""
        (tree.folder / "hints.md").write_text(
            "# Hints\n\n## describe\n1. Look. For the star: look twice.\n"
            "2. For the star: think.\n"
        )
        assert helping.next_hint(tree, "describe", works=True).startswith(
            "describe, hint 2 of 2: For the star: look twice. think."
        )
        assert helping.next_hint(tree, "describe").startswith(
            "describe, hint 1 of 2: Look.\nMore"
        )
        (tree.folder / "hints.md").write_text("# Hints\n\n## describe\n1. Look.\n")
        assert "no hint about its edge cases" in helping.next_hint(
            tree, "describe", works=True
        )

    def test_without_a_kata_it_is_for_where_the_learner_is(
        self, sound, submission, monkeypatch, capsys
    ):
        hinted = []
        monkeypatch.setattr(learner, "katas", lambda _: sound)
        monkeypatch.setattr(
            helping,
            "next_hint",
            lambda *place, works: hinted.append((*place, works)) or "",
        )
        for text in (sound[0].code.read_text(), sound[0].reference.read_text()):
            monkeypatch.setattr(learner, "KATAS", submission(sound[0], text))
            learner.hint()
        assert hinted == [
            (sound[0], "double", None, False),
            (sound[1], "quadruple", None, False),
        ]

    def test_an_exercise_without_hints_is_one_line(self, tree):
        (tree.folder / "hints.md").write_text("# Hints\n\n## describe\nLook.\n")
        for exercise in ("describe", tree.exercises[0].name):
            with pytest.raises(
                NotPossible, match=f"hints.md has no hints for {exercise}"
            ):
                helping.next_hint(tree, exercise)

    @pytest.mark.parametrize(
        "damage", ["", "{", "[]", '{"01_tensors describe": "many"}', "\x00"]
    )
    def test_a_damaged_memory_starts_anew(self, tree, damage):
        helping.next_hint(tree, "describe")
        (tree.root / ".kata/hints.json").write_text(damage)
        assert helping.next_hint(tree, "describe").startswith("describe, hint 1 of ")

    def test_it_is_shown_where_nothing_can_be_remembered(self, tree):
        """As in a checkout that is read-only: the next hint can be asked for by
        its level.
        """
        (tree.root / ".kata").write_text("in the way of the folder")
        said = helping.next_hint(tree, "count_to")
        assert "count_to, hint 1 of " in said and said.endswith(
            "kata hint 01 count_to --level 2"
        )

    def test_an_unknown_exercise_is_one_line(self, kata_here):
        done = kata_here("hint", "01", "no_such")
        assert (
            done.returncode == 2
            and "has no exercise 'no_such'" in done.stderr
            and done.stderr.count("\n") == 1
        )


class TestSolution:
    def test_only_after_all_hints_or_now(self, tree):
        count = len(hint_file.of(tree, "describe"))
        with pytest.raises(NotPossible, match=f"0 of {count} hints taken"):
            helping.solution(tree, "describe")
        helping.next_hint(tree, "describe", count)
        assert helping.solution(tree, "describe") == helping.solution(
            tree, "describe", now=True
        )

    def test_an_exercise_that_works_needs_no_hints(
        self, sound, submission, monkeypatch, capsys
    ):
        """As with the key c of `kata watch`."""
        monkeypatch.setattr(lessons.catalogue, "find", lambda _: sound[0])
        monkeypatch.setattr(
            lessons, "KATAS", submission(sound[0], sound[0].reference.read_text())
        )
        lessons.solution("01", "double")
        assert "the textbook solution" in capsys.readouterr().out
        one_wrong = (
            sound[0].reference.read_text().replace("return 2 * x", "return x * x")
        )
        monkeypatch.setattr(lessons, "KATAS", submission(sound[0], one_wrong))
        with pytest.raises(NotPossible, match="hints taken"):
            lessons.solution("01", "double")
        lessons.solution("01", "double", now=True)

    def test_the_textbook_solution_comes_first(self, tree):
        """Without docstrings, which would hide it; the reference, whose code is longer,
        comes with --full.
        """
        tree.author.mkdir()
        tree.textbook.write_text(
            'def describe(x):\n    """Of x."""\n    return str(x)\n'
        )
        lines = helping.solution(tree, "describe", now=True)
        assert lines[:2] == [f"--- your katas/{tree.file}", "+++ the textbook solution"]
        assert [line for line in lines if line.startswith("+")][1:] == [
            "+def describe(x):",
            "+    return str(x)",
        ]
        assert "-    raise NotImplementedError" in lines and not any(
            '"""' in line for line in lines
        )
        assert (
            lines[-1]
            == "with edge cases: kata solution 01 describe --full; other ways: --others"
        )
        full = helping.solution(tree, "describe", now=True, full=True)
        assert full[1] == f"+++ solutions/{tree.file}" and any(
            '"""' in line for line in full
        )
        assert "--full" not in full[-1]

    def test_of_a_method_only_that_method_is_shown(self):
        one = Kata(SOUND, "01_sums")
        lines = helping.solution(one, "Doubler", now=True)
        assert (
            "+        return double(x)" in lines
            and " class Doubler(nn.Module):" in lines
        )
        forward = helping._source_of(one.reference, "Doubler.forward")
        assert (
            forward[0] == "def forward(self, x: Tensor) -> Tensor:"
            and forward[-1] == "    return double(x)"
        )

    def test_a_text_that_begins_left_of_its_method_stays_whole(self, tmp_path):
        (tmp_path / "f.py").write_text(
            'class C:\n    def f(self):\n        """One.\n\nTwo.\n        """\n'
            "        return 1\n"
        )
        found = helping._source_of(tmp_path / "f.py", "C.f")
        assert found == [
            "def f(self):",
            '    """One.',
            "",
            "Two.",
            '    """',
            "    return 1",
        ]
        assert helping._without_docstrings(found) == ["def f(self):", "    return 1"]

    def test_without_a_textbook_solution_of_it_the_reference_is_shown(self, tree):
        tree.author.mkdir()
        tree.textbook.write_text("def something_else(x):\n    return x\n")
        assert helping.solution(tree, "describe", now=True) == helping.solution(
            tree, "describe", now=True, full=True
        )

    def test_it_is_a_difference_to_the_learners_code_of_that_exercise(self, tree):
        lines = helping.solution(tree, "memory_by_dtype", now=True)
        assert "-    raise NotImplementedError" in lines
        assert any(line.startswith(" def memory_by_dtype(") for line in lines)
        assert not any("def describe" in line for line in lines)

    def test_the_same_code_is_said_to_be(self, tree):
        shutil.copy(tree.reference, tree.folder)
        assert helping.solution(tree, "describe", now=True) == [
            f"your code is the same as solutions/{tree.file}"
        ]

    def test_a_half_typed_file_still_shows_the_reference(self, tree):
        (tree.folder / tree.file.name).write_text("def describe(")
        assert any(
            line.startswith("+def describe")
            for line in helping.solution(tree, "describe", now=True)
        )

    def test_a_starter_has_none(self, tree):
        tree.reference.unlink()
        with pytest.raises(NotPossible, match="no solutions/"):
            helping.solution(tree, "describe", now=True)


class TestResetAndUndo:
    def test_nothing_written_is_ever_lost(self, tree):
        path = tree.folder / tree.file.name
        stub = path.read_bytes()
        path.write_text("my first version")
        history.reset(tree)
        assert path.read_bytes() == stub
        history.undo(tree)
        assert path.read_text() == "my first version"
        path.write_text("my second version")
        history.reset(tree), history.undo(tree), history.reset(tree)
        kept = {version.read_text() for version in history.versions(tree)}
        assert {"my first version", "my second version"} <= kept

    def test_the_stub_never_comes_back_as_the_learners_version(self, tree):
        tree.code.write_text("mine")
        history.reset(tree)
        assert history.undo(tree).endswith("is your version again")
        with pytest.raises(NotPossible, match="is your version already"):
            history.undo(tree)
        assert tree.code.read_text() == "mine"

    def test_undoing_twice_swaps_two_versions(self, tree):
        tree.code.write_text("mine")
        history.reset(tree)
        tree.code.write_text("another")
        assert history.undo(tree).endswith("kata undo 01 swaps the two versions back")
        assert tree.code.read_text() == "mine"
        history.undo(tree)
        assert tree.code.read_text() == "another"

    def test_a_stub_or_a_missing_file(self, tree):
        assert "already the stub" in history.reset(tree)
        with pytest.raises(NotPossible, match="nothing to undo"):
            history.undo(tree)
        (tree.folder / tree.file.name).unlink()
        assert history.reset(tree).endswith("is the stub again")
        assert (tree.folder / tree.file.name).read_bytes() == stubs.stub_of(
            tree
        ).encode()

    def test_one_exercise_alone(self, tree):
        stub, right = tree.code.read_text(), tree.reference.read_text()
        tree.code.write_text(right)
        assert (
            history.reset(tree, "filled")
            == "filled is as in the stub again; kata undo 01 brings your version back"
        )
        place, before = tasks.lines_of(stub, "filled"), tasks.lines_of(right, "filled")
        expected = right.split("\n")
        expected[before] = stub.split("\n")[place]
        assert tree.code.read_text().split("\n") == expected
        assert history.reset(tree, "filled") == "filled is already as in the stub"
        history.undo(tree)
        assert tree.code.read_text() == right
        with pytest.raises(
            KataError,
            match="no exercise 'filed': did you mean filled\\? It has count_to, ",
        ):
            history.reset(tree, "filed")
        tree.code.write_text("def filled(")
        with pytest.raises(
            NotPossible, match="filled is not found in katas/01_tensors/tensors.py"
        ):
            history.reset(tree, "filled")
        assert tree.code.read_text() == "def filled("

    def test_stopped_in_the_middle_the_file_is_as_it_was(self, tree, monkeypatch):
        path = tree.folder / tree.file.name
        path.write_text("mine")
        before = set(tree.root.rglob(".*"))
        monkeypatch.setattr(
            os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            history.reset(tree)
        assert path.read_text() == "mine"
        new = set(tree.root.rglob(".*")) - before
        assert not [file for file in new if file.is_file()], (
            "half-written files are left"
        )

    def test_a_link_to_a_file_elsewhere_is_replaced_and_that_file_is_not(
        self, tree, tmp_path
    ):
        path, elsewhere = tree.folder / tree.file.name, tmp_path / "elsewhere.py"
        stub = path.read_bytes()
        elsewhere.write_text("mine")
        path.unlink()
        path.symlink_to(elsewhere)
        history.reset(tree)
        assert (
            elsewhere.read_text() == "mine"
            and path.read_bytes() == stub
            and not path.is_symlink()
        )
        history.undo(tree)
        assert path.read_text() == "mine"

    def test_a_folder_elsewhere_is_not_written_to(self, tree, tmp_path_factory):
        elsewhere = tmp_path_factory.mktemp("elsewhere") / tree.name
        tree.code.write_text("mine")
        shutil.move(tree.folder, elsewhere)
        tree.folder.symlink_to(elsewhere)
        with pytest.raises(
            NotPossible, match="01_tensors is a link that leads out of the course"
        ):
            history.reset(tree)
        assert (elsewhere / tree.file.name).read_text() == "mine"

    def test_a_starter_puts_back_the_stub_that_it_was_given(self, tree):
        stub = tree.code.read_bytes()
        stubs.pack([tree], tree.root)
        shutil.rmtree(tree.root / "solutions")
        tree.code.write_text("mine")
        history.reset(tree)
        assert tree.code.read_bytes() == stub

    def test_without_a_reference_or_a_packed_stub_nothing_is_touched(self, tree):
        shutil.rmtree(tree.root / "solutions")
        tree.code.write_text("mine")
        with pytest.raises(
            NotPossible, match="the stub of 01_tensors cannot be made here"
        ):
            history.reset(tree)
        assert tree.code.read_text() == "mine"


class TestNext:
    def test_it_names_the_exercise_the_files_and_the_commands(self, kata_here):
        done = kata_here("next")
        assert done.returncode == 0, done.stderr
        for words in (
            "00 A first look",
            "katas/00_first_look/first_look.py",
            "exercise   accuracy",
            "kata hint 00 accuracy",
            "kata watch 00",
        ):
            assert words in done.stdout

    def test_the_first_look_is_optional(self, submission, monkeypatch, capsys):
        """A learner who begins with 01 is not led back."""
        path = [find("00"), find("01")]
        stub = stubs.stub_of(path[1])
        begun = stub.replace("raise NotImplementedError", "return torch.arange(n)", 1)
        monkeypatch.setattr(learner, "katas", lambda _: path)
        for text, name in ((stub, "accuracy"), (begun, "filled")):
            monkeypatch.setattr(learner, "KATAS", submission(path[1], text))
            learner.next_()
            said = capsys.readouterr().out
            assert f"exercise   {name}\n" in said and ("Begin at 15" in said) == (
                text == stub
            )

    def test_it_says_which_stars_are_open(self, sound, submission, monkeypatch, capsys):
        """01 works with an open edge, so 02 is next; the star of 01 is named."""
        monkeypatch.setattr(learner, "katas", lambda _: sound)
        text = sound[0].reference.read_text().replace("x.dim() == 0", "False")
        monkeypatch.setattr(learner, "KATAS", submission(sound[0], text))
        learner.next_()
        said = capsys.readouterr().out
        assert "exercise   quadruple" in said and said.endswith(
            "stars open 01_sums: total (1 guard)\n"
        )


class TestLesson:
    def test_in_a_pipe_the_text_as_it_is_and_what_lesson_py_says(self, kata_here):
        done = kata_here("lesson", "01")
        assert done.returncode == 0, done.stderr
        assert "<!--" not in done.stdout, "what a bullet stands on is for authors"
        assert (
            done.stdout.startswith("# 01 · Tensors")
            and "The figure is in" in done.stdout
            and "\x1b" not in done.stdout
        )

    def test_a_reader_that_has_enough_ends_it_quietly(self):
        """As `kata lesson 01 | head -1` does."""
        run = (
            f"{sys.executable} -c 'from grader.cli.main import main; main()' lesson "
            "01 | head -1"
        )
        done = subprocess.run(run, shell=True, cwd=ROOT, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (
            "# 01 · Tensors: the data building blocks\n",
            "",
        )

    def test_a_figure_that_cannot_be_saved_does_not_end_it(
        self, tree, monkeypatch, capsys
    ):
        (tree.root / ".kata").write_text("in the way of the folder")
        monkeypatch.setattr(sys, "argv", ["lesson.py"])
        lesson.save_figure(Figure(), str(tree.folder / "lesson.py"))
        assert capsys.readouterr().out.startswith("\nThe figure cannot be saved: ")

    def test_a_figure_can_be_read_on_a_phone(self, tree, monkeypatch, tmp_path):
        """However wide a lesson wants it, and however small its letters."""
        figure = Figure(figsize=(12, 3))
        figure.subplots(1, 3)[0].set_title("small", fontsize=5)
        monkeypatch.setattr(sys, "argv", ["lesson.py", str(tmp_path / "figure.png")])
        lesson.save_figure(figure, str(tree.folder / "lesson.py"))
        with Image.open(tmp_path / "figure.png") as drawn:
            assert 800 <= drawn.width <= 1000
        assert min(text.get_fontsize() for text in figure.findobj(Text)) == 10

    def test_text_only(self, kata_here):
        text = re.sub(" <!--.*?-->", "", (find("01").folder / "README.md").read_text())
        # at 120 columns it is for an editor
        code = "The lesson's code: katas/01_tensors/lesson.py"
        assert (
            kata_here("lesson", "01", "--text").stdout
            == f"{lesson_code.unfolded(text)}\n{code}\n"
        )

    def test_a_terminal_gets_no_link_that_leads_nowhere(self):
        page = reading.for_terminal(
            "![a b](figure.png) and [next](../02/README.md), [web](https://x.y)"
        )
        assert page == "*Figure: a b* and next, [web](https://x.y)"

    def test_a_terminal_gets_a_diagram_in_words(self):
        page = reading.for_terminal(
            "The layer:\n\n![x goes into W_q. Its result is q.](heads.svg)\n\nNext."
        )
        assert (
            page
            == "The layer:\n\n> **Diagram.** x goes into W_q. Its result is q.\n\nNext."
        )

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


class TestExercisesOfALesson:
    @pytest.fixture
    def first_look(self, tmp_path) -> Kata:
        """Kata 00 in a checkout of its own, with a right accuracy and a wrong draw."""
        kata = find("00")
        for folder in (kata.folder, kata.reference.parent):
            shutil.copytree(folder, tmp_path / folder.relative_to(ROOT))
        for name in ("conftest.py", "pyproject.toml"):
            shutil.copy(ROOT / name, tmp_path)
        kata = Kata(tmp_path, kata.name)
        stub, line = stubs.stub_of(kata), "raise NotImplementedError"
        right = "return sum((scores.argmax(1) == labels).tolist()) / len(labels)"
        kata.code.write_text(
            stub.replace(line, right, 1)
            .replace(line, "return 0", 2)
            .replace("return 0", line, 1)
        )
        return kata

    def test_each_is_the_learners_own_where_it_works(self, first_look, capsys):
        found, next_ = lesson.exercises(str(first_look.folder / "lesson.py"))
        said = capsys.readouterr().out
        assert said == (
            "accuracy: your own code, its specs pass\n"
            "gradient_step: the reference stands in for yours (not written yet)\n"
            "draw: the reference stands in for yours (a spec fails)\n\n"
        )
        assert next_ == (
            "Next: write gradient_step in katas/00_first_look/first_look.py; kata "
            "watch 00 judges every save."
        )
        files = [
            function.__code__.co_filename
            for function in (found.accuracy, found.gradient_step, found.draw)
        ]
        assert files == [
            str(first_look.code),
            str(first_look.reference),
            str(first_look.reference),
        ]

    def test_without_a_reference_the_lesson_ends_where_one_is_missing(
        self, first_look, capsys
    ):
        shutil.rmtree(first_look.root / "solutions")
        found, _ = lesson.exercises(str(first_look.folder / "lesson.py"))
        assert (
            "gradient_step: yours is needed (not written yet)"
            in capsys.readouterr().out
        )
        assert found.accuracy(torch.eye(2), torch.tensor([0, 0])) == 0.5
        with pytest.raises(
            SystemExit, match="Next: write draw in katas/00_first_look/first_look.py"
        ):
            found.draw(torch.ones(1))

    def test_a_file_that_cannot_be_read_as_python(self, first_look, capsys):
        first_look.code.write_text(first_look.code.read_text() + "\ndef (\n")
        found, next_ = lesson.exercises(str(first_look.folder / "lesson.py"))
        assert (
            "accuracy: the reference stands in for yours (first_look.py:"
            in capsys.readouterr().out
        )
        assert (
            found.accuracy(torch.eye(2), torch.tensor([0, 0])) == 0.5
            and "write accuracy" in next_
        )


class TestDoctor:
    def test_a_ready_machine(self, kata_here):
        done = kata_here("doctor")
        assert done.returncode == 0, done.stdout
        for what in ("Python", "torch", "isolation", "data sets", "free disk", "katas"):
            assert what in done.stdout

    def test_a_path_with_spaces_is_quoted_in_commands(self, tmp_path):
        said = [
            doctor.how_to_open(tmp_path / "my katas.ipynb"),
            environment.activation(tmp_path / "my env"),
        ]
        assert (
            said[0].endswith(f"'{tmp_path}/my katas.ipynb'")
            and said[1] == f"source '{tmp_path}/my env/bin/activate'"
        )

    def test_what_is_wrong_is_said_with_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setattr(doctor, "NEEDED", ("torch", "no-such-package"))
        monkeypatch.setattr(
            doctor.reduced, "gaps", lambda _: ["it may use the network"]
        )
        monkeypatch.setattr(
            doctor.shutil,
            "disk_usage",
            lambda _: os.terminal_size((0, 0)) and type("", (), {"free": 1e8}),
        )
        found = {finding.what: finding for finding in doctor.examine()}
        assert (
            found["no-such-package"].state == "bad"
            and "make setup" in found["no-such-package"].says
        )
        assert found["isolation"].state == "note" and found["free disk"].state == "note"


def test_completion_knows_katas_and_exercises():
    """As a shell asks for it: the words so far in COMP_WORDS, the place
    in COMP_CWORD.
    """
    environment = os.environ | {"_KATA_COMPLETE": "complete_bash"}
    katas = kata_command(
        env=environment | {"COMP_WORDS": "kata hint 1", "COMP_CWORD": "2"}
    ).stdout.split()
    assert "16" in katas and "01" not in katas
    exercises = kata_command(
        env=environment | {"COMP_WORDS": "kata hint 16 split", "COMP_CWORD": "3"}
    ).stdout.split()
    assert exercises == ["split_heads"]
