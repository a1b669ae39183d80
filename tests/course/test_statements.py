"""Statements of a kata's file that fail: those that no exercise needs are left out, with a line on each."""

import pytest

from grader.course import cells, statements
from grader.execution import grading
from grader.protocol import RunOptions
from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
MODULE = "def f(x):\n    return g(x) + N\n\n\ndef g(x):\n    return x\n\n\nN = 1\n"
TRIED = {
    'x = open("/content/data.csv")': "FileNotFoundError: [Errno 2] No such file or directory: '/content/data.csv'",
    "x = lost": "NameError: name 'lost' is not defined",
    "import no_such_library as x": "ModuleNotFoundError: No module named 'no_such_library'",
    "print(f(1, 2))": "TypeError: f() takes 1 positional argument but 2 were given",
    "@lost\ndef plot(x):\n    return f(x)": "NameError: name 'lost' is not defined",
    "if f(1):\n    1 / 0": "ZeroDivisionError: division by zero",
    "a = 1; b = 1 / 0; c = 3": "ZeroDivisionError: division by zero",
    "exit()": "SystemExit: None",
    "assert f(1) == 3": "AssertionError",
}
NEEDED = (
    "N = lost",
    "N += lost",
    "f.table = lost",
    "if f(1):\n    N = lost",
    "from no_such_library import *",
    "g = lost",
)


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize("tried", TRIED)
def test_what_no_exercise_needs_may_fail(tried, future):
    space = {}
    text = f"{future}{MODULE}{tried}\nlast: int = 7\nlost\n"
    first, second = statements.run(text, "f.py", space, ["f"])
    said = "was left out, since no exercise needs it"
    assert first == f"line {text[: text.index(tried)].count(chr(10)) + 1 + ('@' in tried)} {said}: {TRIED[tried]}"
    assert second == f"line {text.count(chr(10))} {said}: NameError: name 'lost' is not defined"
    assert space["f"](1) == 2 and space["last"] == 7
    assert space["__annotations__"] == {"last": "int" if future else int}


@pytest.mark.parametrize("needed", NEEDED)
def test_what_an_exercise_needs_may_not(needed):
    with pytest.raises((NameError, ImportError)):
        statements.run(f"{MODULE}{needed}\n", "f.py", {}, ["f"])


def test_a_module_without_an_exercise_is_as_a_whole():
    with pytest.raises(ZeroDivisionError):
        statements.run("x = 1 / 0\n", "f.py", {}, ["f"])


def test_all_of_a_module_that_ends_in_failures_is_not_run_forever():
    with pytest.raises(NameError):
        statements.run(MODULE + "lost\n" * 200, "f.py", {}, ["f"])


def test_parameters_and_variables_of_functions_are_no_names_of_the_module():
    """A cell in which a value is tried is kept only if an exercise uses that value."""
    tried = ["x = torch.rand(3, device='cuda')", "n = 5", "[y for y in range(3)]"]
    exercise = "def double(x):\n    y = [n for n in x]\n    return k * y"
    assert cells.join(["k = 2", *tried, exercise], ["double"]).text == f"k = 2\n\n\n{exercise}\n"


def test_it_costs_a_line_and_no_point_in_both_locks(sound, submission):
    """The line says what was left out. Where the next statement is needed, the state says so."""
    tried = 'x = input("a number?")\nprint(double(x))\n'
    [result] = grading.grade_folder(sound[:1], submission(sound[0], RIGHT + tried), options=RunOptions(sealed=True))
    assert [exercise.sealed for exercise in result.exercises] == ["passed"] * len(result.exercises)
    assert result.message.splitlines() == [
        f"sums.py: line {RIGHT.count(chr(10)) + 1} was left out, since no exercise needs it: "
        "EOFError: EOF when reading a line",
        f"sums.py: line {RIGHT.count(chr(10)) + 2} was left out, since no exercise needs it: "
        "NameError: name 'x' is not defined",
    ]
    [result] = grading.grade_folder(sound[:1], submission(sound[0], RIGHT + "double = decorated(double)\n"))
    assert result.state == "import fails" and not result.exercises[0].works
