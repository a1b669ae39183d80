"""Statements of a kata's file that fail: those that no exercise needs are left out,
with a line on each.
"""

import sys

import pytest

from grader.course import cells, statements
from grader.execution import grading
from grader.protocol import RunOptions
from tests.conftest import SOUND

RIGHT = (SOUND / "solutions/01_sums/sums.py").read_text()
MODULE = "def f(x):\n    return g(x) + N\n\n\ndef g(x):\n    return x\n\n\nN = 1\n"
FAILING = {
    'x = open("/content/data.csv")': (
        "FileNotFoundError: [Errno 2] No such file or directory: '/content/data.csv'"
    ),
    "x = lost": "NameError: name 'lost' is not defined",
    "import no_such_library as x": (
        "ModuleNotFoundError: No module named 'no_such_library'"
    ),
    "print(f(1, 2))": "TypeError: f() takes 1 positional argument but 2 were given",
    "@lost\ndef plot(x):\n    return f(x)": "NameError: name 'lost' is not defined",
    "if f(1):\n    1 / 0": "ZeroDivisionError: division by zero",
    "a = 1; b = 1 / 0; c = 3": "ZeroDivisionError: division by zero",
    "exit()": "SystemExit: None",
    "assert f(1) == 3": "AssertionError",
    "from no_such_library import *": (
        "ModuleNotFoundError: No module named 'no_such_library'"
    ),
}
# Statements that make a name, and what uses it.
MAKING = {
    "def h(x=lost):\n    return x": "h(1)",
    "@lost\nclass H:\n    pass": "H()",
    "class H(lost):\n    pass": "H.size",
    "class G(lost):\n    pass\nclass H(G):\n    pass": "H()",
    "x = lost": "1 + x",
    "from torch import no_such_name as x": "import torch; torch.add(torch.ones(1), x)",
}

if sys.version_info < (3, 14):  # which looks at annotations when somebody asks
    MAKING["def h(x: lost):\n    return x"] = "h(1)"


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize("tried", FAILING)
def test_a_statement_that_fails_is_left_out(tried, future):
    space = {}
    text = f"{future}{MODULE}{tried}\nlast: int = 7\nlost\n"
    first, second = statements.run(text, "/a/f.py", space)
    line = text[: text.index(tried)].count("\n") + 1 + tried.startswith("if")
    quoted = text.splitlines()[line - 1].strip()
    assert (
        first.why == f"f.py:{line}: `{quoted}` fails: {FAILING[tried]}"
        and not first.is_slow
    )
    assert second.why == (
        f"f.py:{text.count(chr(10))}: `lost` fails: NameError: name 'lost' is not "
        "defined"
    )
    assert space["f"](1) == 2 and space["last"] == 7
    # by 3.14
    annotations = (
        space["__annotations__"]
        if "__annotations__" in space
        else space["__annotate__"](1)
    )
    assert annotations == {"last": "int" if future else int}


@pytest.mark.parametrize("making", MAKING)
def test_what_uses_a_name_that_was_not_made_fails_with_the_reason(making):
    space = {}
    failed = statements.run(f"{MODULE}{making}\n", "/a/f.py", space)
    with pytest.raises(statements.StatementFailed) as caught:
        exec(MAKING[making], space)
    assert (
        str(caught.value) == failed[0].why
        and "lost" in failed[0].why
        or "no_such" in failed[0].why
    )
    assert len({one.why for one in failed}) == 1


@pytest.mark.parametrize(
    "again",
    [
        *(
            "N = lost",
            "N += lost",
            "g = lost",
            "g, N = lost",
            "from no_such_library import N",
            "for N in lost: pass",
        ),
        *(
            "def g(x=lost): pass",
            "@lost\ndef g(x): pass",
            "class g(lost): pass",
            "import math, no_such_library as g",
        ),
        "class g:\n    def __new__(cls, x, y=lost): pass",
    ],
)
def test_no_older_value_stands_in_for_what_was_not_made(again):
    space = {}
    [failed] = statements.run(f"{MODULE}{again}\n", "/a/f.py", space)
    with pytest.raises(statements.StatementFailed, match=r"^f.py:1[01]: "):
        space["f"](1)
    assert space.keys() <= {*"fgN", "math", "__builtins__"} and failed.first >= 10


def test_a_class_and_an_import_lose_only_the_names_that_were_not_made():
    space = {}
    body = (
        "    size = 2\n    @property\n    def a(self, x=lost): pass\n"
        "    def b(self): return super().__sizeof__()\n"
    )
    text = (
        f"import math, no_such_library, json\nclass C:\n{body}    lost\n"
        "    from math import tau, no_such_name\n"
    )
    failed = statements.run(text, "/a/f.py", space)
    assert [(one.first, one.last) for one in failed] == [(1, 1), (4, 5), (7, 7), (8, 8)]
    assert (
        space["math"].pi
        and space["json"]
        and space["C"].tau > 6
        and space["C"]().b()
        and space["C"].size == 2
    )
    for use in ("no_such_library.x", "C.a.fget", "C.no_such_name + 1"):
        with pytest.raises(statements.StatementFailed):
            eval(use, space)


def test_an_attribute_of_a_class_stands_for_the_failure_and_one_of_a_library_stays():
    space = {"__name__": "f"}
    text = (
        "import ast\nclass C:\n    def a(self): return 1\n    def b(self): return 2\n"
        "C.a = ast.parse = lost(C.a)\n"
    )
    [failed] = statements.run(text, "/a/f.py", space)
    assert failed.first == 5 and space["C"]().b() == 2 and space["ast"].parse("1")
    with pytest.raises(statements.StatementFailed, match=r"^f.py:5: "):
        space["C"]().a()


def test_what_does_not_use_it_works():
    space = {}
    statements.run(
        f"{MODULE}def h(x: lost):\n    return N\n\n\nf.table = lost\n", "/a/f.py", space
    )
    assert space["f"](1) == 2


def test_all_of_a_module_that_ends_in_failures_is_not_run_forever():
    with pytest.raises(NameError):
        statements.run(MODULE + "lost\n" * 200, "f.py", {})


def test_the_rest_keeps_its_lines():
    assert statements.without("a\nb(\n)\nc\n", [(2, 3)]) == "a\npass\n\nc\n"
    assert (
        statements.without("class C:\n    a = 1\n", [(2, 2)]) == "class C:\n    pass\n"
    )


def test_parameters_and_variables_of_functions_are_no_names_of_the_module():
    """A cell in which a value is tried is kept only if an exercise uses that value."""
    tried = ["x = torch.rand(3, device='cuda')", "n = 5", "[y for y in range(3)]"]
    exercise = "def double(x):\n    y = [n for n in x]\n    return k * y"
    assert (
        cells.join(["k = 2", *tried, exercise], ["double"]).text
        == f"k = 2\n\n\n{exercise}\n"
    )


@pytest.mark.parametrize("sealed", [False, True])
def test_it_costs_a_line_and_no_point_in_both_locks(sealed, sound, submission):
    """What its statement was to make costs what uses it, though, and one that takes too
    long is tried once.
    """
    tried = 'x = input("a number?")\nprint(double(x))\nwhile True: pass\n'
    options = RunOptions(sealed=sealed, spec_seconds=0.5)
    [result] = grading.grade_folder(
        sound[:1], submission(sound[0], RIGHT + tried), options=options
    )
    assert all(exercise.so_far.point for exercise in result.exercises)
    line = RIGHT.count("\n") + 1
    assert result.message.splitlines() == [
        (
            f'sums.py:{line}: `x = input("a number?")` fails: EOFError: EOF when '
            "reading a line"
        ),
        (
            f"sums.py:{line + 2}: `while True: pass` fails: used 0.5 s of CPU: an "
            "endless loop?"
        ),
    ]
    text = RIGHT.replace("def double(", "@decorated\ndef double(")
    [result] = grading.grade_folder(
        sound[:1], submission(sound[0], text), options=options
    )
    lost = {
        exercise.name: exercise.first_failure
        for exercise in result.exercises
        if not exercise.so_far.point
    }
    assert result.so_far.points == len(result.exercises) - len(lost) > 0
    assert lost["double"].failure.kind == "statement failed"
