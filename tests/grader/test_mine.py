"""`kata mine`: which parts of the learner's own GPT are theirs, what is said of the others, and what it shows."""

import shutil

import pytest
from rich.console import Console

from grader.course.catalogue import ROOT, Kata
from grader.course.parts import BY_KATA, EXERCISES, PARTS, PLACES
from grader.learner import mine, mine_shown, runs
from grader.mine import budget
from grader.mine.course_parts import COURSE
from grader.mine.samples import SAMPLES
from grader.results import ExerciseResult, KataResult, SpecResult

FIRST, ATTENTION, LOSS, WINDOWS = (
    "00_first_look",
    "15_scaled_dot_product_attention",
    "20_losses",
    "24_token_batches",
)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Four katas whose every exercise works, as far as the record says."""
    for name in (FIRST, ATTENTION, LOSS, WINDOWS):
        shutil.copytree(ROOT / "katas" / name, tmp_path / "katas" / name)
        shutil.copy(ROOT / "solutions" / Kata(ROOT, name).file, tmp_path / "katas" / Kata(ROOT, name).file)
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.setattr(mine.progress, "so_far", lambda katas, code: {kata: _working(kata) for kata in katas})
    monkeypatch.setattr(budget, "TRIAL_SECONDS", 0.5)
    return tmp_path


def _working(kata: Kata, *open_: str) -> KataResult:
    found = [
        ExerciseResult(e.name, (SpecResult("x", "failed" if e.name in open_ else "passed"),)) for e in kata.exercises
    ]
    return KataResult(kata.name, tuple(found))


def _append(checkout, name: str, code: str) -> None:
    with (checkout / "katas" / Kata(ROOT, name).file).open("a") as file:
        file.write(f"\n\n{code}\n")


def _notes(found: mine.Mine) -> dict[str, str]:
    return {one.part.kata: one.note for one in found.standings if one.is_begun}


def test_right_parts_are_the_learners_and_nothing_runs_twice(checkout, monkeypatch):
    found = mine.look(checkout)
    assert {one.part.kata for one in found.standings if one.is_own} == {FIRST, ATTENTION, LOSS, WINDOWS}
    assert found.share.startswith("14 % of this GPT is your code: 7 of the 51 exercises") and found.steps == 70
    assert len(found.told["gpt"]["losses"]) == 70 and found.told["gpt"]["last"] < found.told["gpt"]["losses"][0] - 1
    assert found.last == BY_KATA[WINDOWS] and len(found.before["gpt"]["losses"]) == 60
    console = Console(record=True, width=100, file=open("/dev/null", "w"))
    mine_shown.show(found, console)
    shown = console.export_text()
    assert "block 1   │ █ 15 attention" in shown and "block 2   │ ░ 16 heads   ░ 17 block" in shown
    assert "Before 24:" in shown and found.told["gpt"]["text"].splitlines()[0][:20] in shown
    assert found.told["gpt"]["text"].splitlines()[0] in mine_shown.html(found)
    monkeypatch.setattr(runs, "Supervisor", None)
    assert mine.look(checkout) == found


def test_what_is_wrong_or_does_not_end_is_the_courses_and_is_said(checkout):
    _append(checkout, LOSS, "right = cross_entropy\ndef cross_entropy(*a, **b):\n    return 1.5 * right(*a, **b)")
    _append(checkout, ATTENTION, "def causal_mask(n):\n    while True:\n        pass")
    _append(checkout, WINDOWS, "def random_batch(*a, **b):\n    raise KeyError('lost')")
    found = mine.look(checkout)
    assert {one.part.kata for one in found.standings if one.is_own} == {FIRST}
    notes = _notes(found)
    assert notes[LOSS] == "the course's runs: it differs from the course's by up to 50 % of the largest number"
    assert "used 0.5 s" in notes[ATTENTION] and "KeyError: 'lost'" in notes[WINDOWS]
    assert mine.look(checkout, wrong_too=True).exercises == 4


def test_a_part_that_ends_the_training_is_left_out(checkout):
    _append(
        checkout,
        WINDOWS,
        "right, calls = random_batch, []\ndef random_batch(tokens, *a):\n"
        "    calls.append(1)\n    assert len(tokens) == 1000 or len(calls) < 9\n    return right(tokens, *a)",
    )
    found = mine.look(checkout)
    assert _notes(found)[WINDOWS].startswith("it ended the training: AssertionError") and found.exercises == 6
    assert found.steps == len(found.told["gpt"]["losses"]) == 60


def test_slow_and_weak_parts_are_said(monkeypatch):
    part = BY_KATA[LOSS]
    kata = Kata(ROOT, LOSS)
    slow = {"difference": 1e-6, "seconds": 0.004, "course": 0.001, "extreme": float("inf")}
    [one] = mine._fast_enough([mine._standing(part, _working(kata), slow, False)])
    assert one.is_own and one.note == (
        "takes 4 times as long as the course's; loses its digits where numbers are extreme: see its star"
    )
    [one] = mine._fast_enough([mine._standing(part, _working(kata), slow | {"seconds": 0.02}, False)])
    assert not one.is_own and one.note.startswith("right, but too slow to train with")
    one = mine._standing(part, _working(kata, "cross_entropy"), slow, False)
    assert not one.is_own and "cross_entropy does not work yet" in one.note


def test_a_curve_has_losses_of_every_kind():
    assert mine_shown.curve([]) == [] and mine_shown.curve([float("nan"), -3.0, 1.0])[0] == " 1.0   █"
    assert mine_shown.curve([2.0, 1.0])[-1] == " 0.0 ██"


def test_the_table_names_exercises_that_are_there():
    assert EXERCISES == sum(len(part.exercises) for part in PARTS)
    assert set(COURSE) == set(SAMPLES) == set(BY_KATA)
    for part in PARTS:
        kata = Kata(ROOT, part.kata)
        core = {exercise.name for exercise in kata.exercises if not exercise.stretch}
        assert set(part.exercises) <= core and part.place in PLACES, part.kata
        assert mine.added(kata, _working(kata)).startswith(f"Your own GPT now gets {part.gives}")
        assert not mine.added(kata, _working(kata, part.exercises[0]))


def test_the_references_agree_with_the_courses_parts(tmp_path):
    from grader.course import kata_modules
    from grader.mine.trial import tried

    for part in PARTS:
        kata = Kata(ROOT, part.kata)
        found = tried(part.kata, kata_modules.load(kata, kata.solutions))
        assert found["difference"] < 1e-4, (part.kata, found)
