"""The call that a failure shows: where it is found, and in what words."""

import importlib.util
import sys
import traceback
from types import ModuleType, SimpleNamespace

import pytest

from grader.specs import given

LEARNERS = """
import torch

def double(x, factor=2):
    return x

class Cell(torch.nn.Module):
    def __init__(self, size=1):
        super().__init__()
        self.size = size

    def forward(self, x):
        return x

    def wide(self):
        return self.size

class Twice:
    @staticmethod
    def apply(x):
        return x
"""

SPECS = """
import math
import torch
from grader.specs import check

N = 3
CASES = [1, 2]

def counting(*shape):
    \"\"\"0, 1, 2 and so on.\"\"\"
    return torch.arange(math.prod(shape)).reshape(shape)

def ragged():
    \"\"\"Rows of different lengths. Not to be stacked.\"\"\"
    rows = [[1], [2, 3]]
    return rows

def cell(kata, size=4, **options):
    made = kata.Cell(size, **options)
    return made

def sized(kata, **changes):
    sizes = {"size": 4}
    return kata.Cell(**(sizes | changes))

def twice(kata, x):
    out = kata.Twice.apply(x)
    return out

def squared(x):
    return x**2

def gathered(kata, items):
    least, most = min(items), max(items)
    return [kata.double([least, most], len(items))]

def judge(rule, x):
    check.that(rule(x) is None, "no")

class Watched(torch.nn.Module):
    \"\"\"Notes its calls. And no more.\"\"\"

class Numbered(torch.utils.data.Dataset):
    \"\"\"The first numbers.\"\"\"

    def __len__(self):
        return 3

class Spec:
    factor = 5

    def kind(self, kata):
        return kata.Cell

    def test(self, kata):
        BODY
"""


@pytest.fixture
def shown(tmp_path):
    """The text for a spec with this body, which fails."""
    modules = []

    def made(name: str, text: str) -> ModuleType:
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        found = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(found)
        sys.modules[name] = module
        modules.append(name)
        found.loader.exec_module(module)
        return module

    def text(*body: str) -> str:
        number = len(modules)
        kata = made(f"kata_of_learner_{number}", LEARNERS)
        specs = made(
            f"test_of_kata_{number}", SPECS.replace("BODY", "\n        ".join(body))
        )
        spec = SimpleNamespace(
            path=tmp_path / f"test_of_kata_{number}.py", cls=None, originalname="test"
        )
        with pytest.raises(AssertionError) as caught:
            specs.Spec().test(kata)
        found = given.judged(
            list(traceback.walk_tb(caught.value.__traceback__)), spec, kata
        )
        return found.text if found else ""

    yield text
    for name in modules:
        del sys.modules[name]


NO = 'check.that(False, "no")'


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            ["x = torch.tensor([7])", "check.equal(kata.double(x, N), -x)"],
            "double(x, N)\nN = 3\nx = int64 tensor (1,) [7]",
        ),
        (
            ["x = torch.tensor([0.1, 7])", "check.equal(kata.double(x), -x)"],
            "double(x)\nx = float32 tensor (2,) [0.1, 7.0]",
        ),
        (
            [
                "x = torch.tensor([2 / 3, 1e9]).numpy()",
                "check.equal(kata.double(x), -x)",
            ],
            "double(x)\nx = float32 NumPy array (2,) [0.6667, 1000000000.0]",
        ),
        (
            ["x = [2 / 3, 1000.12, 1000.2]", "check.equal(kata.double(x), 0)"],
            "double(x)\nx = [0.66667, 1000.1, 1000.2]",
        ),
        (
            [
                "got = kata.double(4)",
                "half = got / 2",
                "wrong = half < 9",
                "check.that(not wrong, 'no')",
            ],
            "double(4)",
        ),
        (
            ["for part in kata.double([1.0, 2.0]):", "    check.equal(part, 0)"],
            "double([1.0, 2.0])",
        ),
        (
            ["check.gradients(kata.double, squared, torch.zeros(1))"],
            "double(torch.zeros(1))",
        ),
        (["[found] = check.repeated(1, kata.double, 4)", NO], "double(4)"),
        (["kata.double(5)", NO], "double(5)"),
        (["judge(kata.double, N)"], "double(x)\nx = 3"),
        (["out = twice(kata, N)", "check.equal(out, 0)"], "Twice.apply(N)\nN = 3"),
        (["check.equal(getattr(kata, 'double')(6), 7)"], "double(6)"),
        (["check.equal(gathered(kata, [1, 2]), 0)"], "double(x, len([1, 2]))"),
        (
            ["x = 4", "check.equal(gathered(kata, [1, 2]), x)"],
            "double([…, …], len([1, 2]))",
        ),
        ([NO], ""),
    ],
)
def test_the_call_is_found(shown, body, text):
    assert shown(*body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            ["check.equal(kata.double(counting(2, N)), 0)"],
            "double(torch.arange(math.prod((2, N))).reshape((2, N)))\nN = 3",
        ),
        (
            ["check.equal(kata.double(ragged()), 0)"],
            "double(…)\n… = rows of different lengths",
        ),
        (
            ["check.equal(kata.double(Watched()), 0)"],
            "double(model)\nmodel = notes its calls",
        ),
        (
            ["seen = Watched()", "check.equal(kata.double(seen), 0)"],
            "double(seen)\nseen = notes its calls",
        ),
        (
            ["check.equal(kata.double(squared), 0)"],
            "double(squared)\nsquared = lambda x: x ** 2",
        ),
        (["check.equal(kata.double(self.factor), 0)"], "double(5)"),
        (["rest = {}", "check.equal(kata.double(3, **rest), 0)"], "double(3)"),
        (
            ["s = Numbered()", "check.equal(kata.double(s), 0)"],
            "double(s)\ns = the first numbers, with len 3",
        ),
        (
            ["made = kata.Cell(8)", "check.equal(made(N), 0)"],
            "made(N)\nN = 3\nmade = Cell(8)",
        ),
        (
            ["made = cell(kata)", "check.equal(made.wide(), 0)"],
            "made.wide()\nmade = Cell(4)",
        ),
        (["check.equal(kata.double(sized(kata)), 0)"], "double(Cell(…))"),
        (
            ["made = self.kind(kata)(8)", "check.equal(made.wide(), 0)"],
            "made.wide()\nmade = Cell(8)",
        ),
        (["check.equal(self.kind(kata)(N), 0)"], "Cell(N)\nN = 3"),
        (["check.equal(kata.double(cell(kata, size=N)), 0)"], "double(Cell(N))\nN = 3"),
    ],
)
def test_a_helper_of_the_specs_is_not_named(shown, body, text):
    assert shown(*body) == text


def test_a_call_that_is_long_spelled_out_is_told_in_words(shown):
    call = f"kata.double([{', '.join(['counting(N)'] * 4)}])"
    assert (
        shown(f"check.equal({call}, 0)")
        == "double([…, …, …, …])\n… = 0, 1, 2 and so on"
    )
