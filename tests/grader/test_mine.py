"""`kata mine`: whose part runs, what is said of the others, and what is shown."""

import importlib.util
import sys
from html import unescape
from pathlib import Path

import pytest

from grader.course.catalogue import ROOT, Kata, all_katas
from grader.course.parts import BY_KATA, EXERCISES, PARTS, PLACES
from grader.learner import programs
from grader.memory import Memory
from grader.results import ExerciseResult, KataResult, SpecResult
from grader.teaching import export
from grader.teaching.rules import Rules

PROGRAM = ROOT / "katas" / "33_gpt_capstone" / "mine.py"
PATH = [f"{number:02}" for number in range(34)]
FIRST, ATTENTION, LOSS, WINDOWS, CAUSAL, WRITING = (
    "00_first_look",
    "15_scaled_dot_product_attention",
    "20_losses",
    "24_token_batches",
    "25_causal_self_attention",
    "27_generation",
)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """The program as a module, with a memory of its own."""
    spec = importlib.util.spec_from_file_location("own_gpt", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_gpt", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "Memory", lambda root: Memory(tmp_path))
    monkeypatch.setattr(module, "EPOCHS", 1)
    monkeypatch.setattr(module, "CHARACTERS", 20)
    return module


@pytest.fixture
def mine(program, tmp_path):
    """Makes models of which these katas are the learner's: their textbook solutions,
    with what is appended to them.
    """

    def made(*own, **appended):
        for name in own:
            kata = Kata(ROOT, name)
            (tmp_path / kata.file).parent.mkdir(exist_ok=True)
            (tmp_path / kata.file).write_text(
                kata.textbook.read_text() + appended.get(f"on_{name[:2]}", "")
            )
        return program.Mine(tmp_path, lambda doing: None, list(own))

    return made


def test_every_part_may_be_the_learners(program, mine):
    """The textbook solutions fit together without a step of training, and then write
    what is noise.
    """
    told = mine(*BY_KATA).made(list(BY_KATA), each=0)
    assert told["reader"]["accuracy"] > 0.7 and len(told["reader"]["worst"]) == 4
    assert (
        told["gpt"]["losses"] == []
        and len(told["gpt"]["text"]) == 21
        and told["gpt"]["whole"] > 3.5
    )


def test_the_models_learn_and_say_whose_they_are(program, mine, monkeypatch):
    found = mine(FIRST, WINDOWS)
    found.notes[LOSS] = "a spec of <cross_entropy> fails"
    found.train()
    found.compare()
    losses = found.told["gpt"]["losses"]
    assert len(losses) == 40 and losses[-1] < losses[0] - 1
    lines = [text for _, lines in program.sections(found) for text in lines]
    heading = next(program.sections(found))[0]
    assert heading == (
        f"8 % of this GPT is your code: 4 of the {EXERCISES} exercises that it is "
        "made of"
    )
    text = "\n".join(line.plain for line in lines)
    assert (
        "output    │ ░ 13 norms   ▒ 20 loss\n" in text
        and "text      ░ 01 counts   ░ 23 tokenizer   █ 24" in text
    )
    assert "20: a spec of <cross_entropy> fails" in text and not found.before
    page = program.html(found)
    assert (
        "<span class='unconfirmed'>▒ 20 loss</span>" in page
        and "&lt;cross_entropy&gt;" in page
    )
    assert found.told["gpt"]["text"].splitlines()[-1].strip() in unescape(page)
    monkeypatch.setattr(program, "read", None)  # nothing is trained twice
    again = mine(FIRST, WINDOWS)
    again.train()
    assert again.told == found.told


def test_a_part_that_ends_the_training_is_the_courses_and_its_line_is_named(
    program, mine
):
    code = (
        "\n\nright, calls = random_batch, []\n\n\ndef random_batch(*a):\n"
        "    calls.append(1)\n"
    )
    code += (
        "    if len(calls) > 5:\n        raise KeyError('lost')\n"
        "    print('forgotten')\n    return right(*a)\n"
    )
    found = mine(FIRST, WINDOWS, on_24=code)
    found.train()
    line = Kata(ROOT, WINDOWS).textbook.read_text().count("\n") + 9
    note = (
        "the course's runs, because with yours the training ended with KeyError: "
        f"'lost', at token_batches.py:{line}"
    )
    assert (
        found.notes == {WINDOWS: note}
        and found.own == [FIRST]
        and len(found.told["gpt"]["losses"]) == 30
    )


def test_a_part_is_found_that_makes_another_one_raise(program, mine):
    """The error passes through no line of the learner's: kata 25 returned what the next
    block cannot add.
    """
    code = "\n\nCausalSelfAttention.forward = lambda self, x, cache=None: x[:, :, :5]\n"
    found = mine(CAUSAL, WRITING, on_25=code)
    found.train()
    assert (
        found.own == [WRITING]
        and "the training ended with RuntimeError: " in found.notes[CAUSAL]
    )


def test_what_was_written_before_is_shown(program, mine):
    found = mine(FIRST)
    texts = []
    for text in ("one", "two", "two"):
        found.told = {"gpt": {"text": text}}
        found.compare()
        texts.append(found.before)
    assert texts == [[], [3, "one"], [3, "one"]]


def test_katas_whose_core_works_are_the_learners(program, mine, monkeypatch):
    def graded(katas, *rest, **options):
        for kata in katas:
            verdict = SpecResult(
                "x", "failed" if kata.name in (ATTENTION, LOSS) else "passed"
            )
            yield KataResult(
                kata.name,
                tuple(ExerciseResult(e.name, (verdict,)) for e in kata.exercises),
            )

    monkeypatch.setattr(program, "grade_sources", graded)
    monkeypatch.setattr(
        program.progress, "is_begun", lambda kata, code: kata.name != ATTENTION
    )
    found, wrong_too = mine(), mine()
    found.choose(False)
    assert BY_KATA.keys() - found.own == {ATTENTION, LOSS}
    assert found.notes == {LOSS: "a spec of regression_loss fails"}
    wrong_too.choose(True)
    assert (
        BY_KATA.keys() - wrong_too.own == {ATTENTION} and wrong_too.notes == found.notes
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (PATH, "finish 00_first_look first: accuracy: not written yet"),
        (["33"], "00_first_look is not in this course, and gives a part"),
    ],
)
def test_a_starter_without_solutions_says_what_to_finish_first(
    program, tmp_path, monkeypatch, capsys, asked, said
):
    export.starter(
        tmp_path, [kata for kata in all_katas() if kata.number in asked], None, Rules()
    )
    monkeypatch.setattr(program, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["mine.py"])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert capsys.readouterr() == ("", f"kata mine: {said}\n")


def test_the_command_hands_on_its_options(kata_here, monkeypatch):
    monkeypatch.setattr(programs, "run", lambda *command: print(*command) or 3)
    done = kata_here("mine", "--wrong-too", "--html")
    assert (done.returncode, done.stdout) == (3, f"{PROGRAM} --wrong-too --html\n")
    monkeypatch.setattr(
        programs, "OWN_GPT", Path("katas", "33_gpt_capstone", "lost.py")
    )
    assert "33_gpt_capstone/lost.py is not here" in kata_here("mine").stderr


def test_ctrl_c_is_told_where_it_came(program, monkeypatch, capsys, tmp_path):
    code = compile("raise KeyboardInterrupt", str(tmp_path / "losses.py"), "exec")
    monkeypatch.setattr(program.Mine, "choose", lambda self, wrong_too: exec(code))
    monkeypatch.setattr(sys, "argv", ["mine.py", "--code", str(tmp_path)])
    with pytest.raises(SystemExit, match="130"):
        program.main()
    assert capsys.readouterr().err == "kata mine: interrupted at losses.py:1\n"


def test_a_curve_has_losses_of_every_kind(program):
    assert (
        program.curve([]) == []
        and program.curve([float("nan"), -3.0, 1.0])[0] == " 1.0   █"
    )
    assert program.curve([2.0, 1.0])[-1] == " 0.0 ██"


def test_the_table_names_exercises_that_are_there():
    for part in PARTS:
        kata = Kata(ROOT, part.kata)
        core = {exercise.name for exercise in kata.exercises if not exercise.stretch}
        assert set(part.exercises) <= core and part.place in PLACES, part.kata
