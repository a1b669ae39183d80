"""A track that is a package, seen on TinyTorch: one version of each module, earlier
ones kept, later ones refused.
"""

import re
import shutil
import sys
from pathlib import Path

import pytest

from grader.course import catalogue, packages
from grader.course import kata_modules as loading
from grader.course.catalogue import ROOT, Kata, find
from grader.course.statements import StatementFailed
from grader.errors import LoadFailure
from grader.execution import grading

TENSOR, ACTIVATIONS, LAYERS, AUTOGRAD = (
    find(f"tinytorch/{number}") for number in ("02", "03", "04", "05")
)


@pytest.fixture
def code(tmp_path) -> Path:
    """A code folder with the reference of modules 01 to 05."""
    for kata in catalogue.with_prerequisites([AUTOGRAD]):
        (tmp_path / kata.file).parent.mkdir(parents=True)
        shutil.copy(kata.reference, tmp_path / kata.file)
    return tmp_path


def changed(code: Path, kata: Kata, was: str, now: str) -> None:
    text = kata.reference.read_text()
    assert text.count(was) == 1, (
        "the reference has changed: this submission has to follow"
    )
    (code / kata.file).write_text(text.replace(was, now))


def test_all_modules_share_one_tensor(code):
    layers = loading.load(LAYERS, code)
    assert (
        layers.Tensor
        is sys.modules["tinytorch.tensor"].Tensor
        is sys.modules["tinytorch.activations"].Tensor
    )
    assert Path(sys.modules["tinytorch.tensor"].__file__) == code / TENSOR.file
    assert (
        Path(sys.modules["tinytorch"].__file__) == ROOT / "katas/tinytorch/__init__.py"
    )


def test_each_kata_under_test_keeps_its_own_modules(code):
    """Two katas in one pytest session: each has its own Tensor, recorder and rules."""
    five = loading.load(AUTOGRAD, code)
    four = loading.load(LAYERS, ROOT / "solutions")
    assert five.Tensor is not four.Tensor
    packages.enter(five)
    x = five.Tensor([2.0], requires_grad=True)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0]
    packages.enter(four)
    assert (
        sys.modules["tinytorch.tensor"].Tensor is four.Tensor
        and "tinytorch.autograd" not in four.__dict__
    )
    assert four.Tensor([1.0]).node is None


def test_a_recorder_that_was_left_installed_is_taken_out(code):
    five = loading.load(AUTOGRAD, code)
    sys.modules["tinytorch.recorder"].set_recorder(lambda *_: 1 / 0)
    packages.enter(five)
    assert (five.Tensor([2.0], requires_grad=True) * 3).node.op == "mul"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "Tensor.__mul__ = None",
            "autograd.py: changes Tensor.__mul__, which belongs to an earlier module",
        ),
        (
            "import tinytorch.tensor as t; t.Tensor = 3",
            "autograd.py: changes .*Tensor, which belongs to an earlier",
        ),
    ],
)
def test_what_a_module_may_not_do_is_one_line(code, line, said):
    with open(code / AUTOGRAD.file, "a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(LoadFailure, match=f"^{said}"):
        loading.load(AUTOGRAD, code)
    assert loading.load(LAYERS, code).Linear(2, 3).weight.shape == (3, 2)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "from tinytorch.training import train as walk",
            "imports tinytorch.training, a later module",
        ),
        (
            "from tinytorch.autograd import no_such_thing as walk",
            "ImportError: cannot import name",
        ),
        (
            "from tinytorch.nothing import x as walk",
            "ModuleNotFoundError: No module named",
        ),
    ],
)
def test_an_import_that_fails_costs_what_uses_it(code, line, said):
    with open(code / AUTOGRAD.file, "a") as file:
        file.write(f"\n{line}\n")
    module = loading.load(AUTOGRAD, code)
    [failed] = loading.left_out(module)
    assert f"`{line}` fails: " in failed.why and said in failed.why
    with pytest.raises(StatementFailed, match=re.escape(failed.why)):
        module.walk(None)


@pytest.mark.usefixtures("warm_workers")
def test_a_wrong_rule_costs_its_own_exercise_only(code):
    changed(code, AUTOGRAD, "return grad, -grad", "return grad, grad")
    [result] = grading.grade_folder([AUTOGRAD], code)
    assert [
        exercise.name for exercise in result.exercises if not exercise.so_far.point
    ] == ["arithmetic_rule"]


@pytest.mark.usefixtures("warm_workers")
@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("Tensor(self.data + other.data)", "Tensor(self.data)"),
        ("        self.data = array\n", "        self.array = array\n"),
    ],
    ids=["wrong", "without its attribute"],
)
def test_a_broken_tensor_costs_no_other_module_its_points(code, was, now):
    changed(code, TENSOR, was, now)
    results = {
        result.kata: result
        for result in grading.grade_folder([TENSOR, ACTIVATIONS], code)
    }
    broken, built_on_it = results[TENSOR.name], results[ACTIVATIONS.name]
    assert broken.so_far.points < len(TENSOR.exercises)
    assert built_on_it.so_far.points == len(ACTIVATIONS.exercises)
    assert "builds on the reference of tinytorch/02 (" in built_on_it.message
    assert all(
        len(spec.message.splitlines()[0]) < 200
        for e in broken.exercises
        for spec in e.specs
        if spec.message
    )
