"""What a wrong answer is of the right one: what is said, and where nothing may be."""

import numpy as np
import pytest
import torch

from grader.specs import likeness

torch.manual_seed(0)
R = torch.randn(3, 4)
P = R.softmax(1)
CUBE = torch.randn(2, 3, 4)
SQUARE = torch.randn(4, 4)
N = torch.tensor([3, 1, 4, 1, 5])
X = torch.arange(6.0).reshape(2, 3)

SPEAKS = [
    (X.T, X, "the last two dimensions are swapped"),
    (X.reshape(6), X, "the right numbers in another shape"),
    (3 * X, X, "every value is 3 times the expected one"),
    # codes, not 0.992 times as large
    (torch.arange(119, 131), torch.arange(120, 132), "every value is 1 too small"),
    (-X, X, "the right numbers with the sign flipped"),
    (torch.tensor(-1.5), torch.tensor(1.5), "the right number with the sign flipped"),
    (torch.tensor(3.75), torch.tensor(1.25), "3 times the expected number"),
    (torch.tensor(1.25), torch.tensor(2.5), "the expected number / 2"),
    (~(X > 2), X > 2, "inverted"),
    (X.reshape(2, 1, 3), X.reshape(1, 2, 3),
     "the dimension of size 1 is at place 1, not 0"),
    (CUBE.transpose(0, 2), CUBE, "dimensions 0 and 2 are swapped"),
    (CUBE.reshape(3, 2, 4), CUBE, "the right numbers in another shape"),
    (R.tolist(), R, "the right values in a list, not in a tensor"),
    ((1, "a"), [1, "a"], "the right values in a tuple, not in a list"),
    (R.double(), R, "held as float64 and not as float32"),
    (np.ones(3), np.ones(3, dtype=bool), "held as float64 and not as bool"),
    (torch.tensor(2.5), 2.5, ".item() takes it out"),
    (torch.tensor(3), 3, ".item() takes it out"),
    (2.5, torch.tensor(2.5), "the right number, but a plain one"),
    ((P, R), R, "place 1 of your tuple is the right result"),
    (("b", "a"), ("a", "b"), "the two results are exchanged"),
    ([R, P], [P, R], "the two results are exchanged"),
    (CUBE.permute(2, 0, 1), CUBE, "yours are 2, 0, 1 of the right result"),
    (CUBE.permute(1, 2, 0), CUBE, "yours are 1, 2, 0 of the right result"),
    (R[:, :, None], R, "a dimension of size 1 too many, at place 2"),
    (R[None], R, "a dimension of size 1 too many, at place 0"),
    (R, R[:, None], "a dimension of size 1 is missing, at place 1"),
    (N, N[None], "a dimension of size 1 is missing, at place 0"),
    (CUBE.flatten(1), CUBE, "dimensions 1 and 2 of the right result are joined"),
    (CUBE.flatten(), CUBE, "dimensions 0 to 2 of the right result are joined"),
    (CUBE, CUBE.flatten(0, 1), "dimensions 0 and 1 of yours are to be joined"),
    (R, R.flatten(), "dimensions 0 and 1 of yours are to be joined"),
    (CUBE.reshape(3, 2, 4), CUBE, "the right sizes in another order"),
    (CUBE.reshape(4, 2, 3), CUBE, "the right sizes in another order"),
    (SQUARE.T, SQUARE, "the last two dimensions are swapped"),
    (torch.tensor([[True, True], [False, True]]),
     torch.tensor([[True, False], [True, True]]), "are swapped"),
    (R + 1, R, "every value is 1 too large"),
    ({"a": 1, "b": 2, "c": 3}, {"a": 2, "b": 3, "c": 4}, "every value is 1 too small"),
    ([2 * R, R, -2 * P], [R, R, -P], "every value is 2 times the expected one"),
    (torch.tensor(0.25), torch.tensor(0.5), "the expected number / 2"),
    (None, torch.zeros(2, 3), "None, where zeros are expected"),
    ((R, None), (R, torch.zeros(3)), "None, where zeros are expected"),
    ((R, [3, 1]), (R, torch.tensor([3, 1])), "in a list, not in a tensor"),
    ((R, P.double()), (R, P), "held as float64 and not as float32"),
    (0.25, 0.75, "the expected number / 3"),
    (5.0, 5, "the right number as a float"),
    ((R, 2.0), (R, 2), "the right number as a float"),
    (8 / 3, 8.0, "the expected number / 3"),
]  # fmt: skip
SILENT = [
    ([1, 2, 4], [1, 2, 3]),
    (["a", "c"], ["a", "b"]),
    ((R, P), (R, P + R)),
    ([R + 1, 2 * P], [R, P]),  # two that are wrong, each in its own way
    ([1, 1], [1, 2]),
    ([R.double().tolist(), 1], R),
    (torch.tensor(2.5), 2.6),
    (R.tolist(), P * P + 1),
    (CUBE.reshape(4, 6) * CUBE.flatten()[0], CUBE),
    (R[:, 1:] + 1e-2, R),
    (torch.tensor(8), torch.tensor([3, 5])),  # whole numbers: by chance
    (torch.zeros(2), torch.zeros(3)),
    (torch.ones(3), torch.ones(4)),
    (torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0])),  # two numbers only
    (torch.tensor([True, False]), torch.tensor([False, False])),
    (R * R.abs() + 0.3, R),
    (R.roll(2, 1), R),
    (R.float() + 1e-7, R.double()),
    (R.relu() + 0.1, R),
    (3.0, 9.0),
    (torch.tensor(2), torch.tensor(4)),
    (R / 0, R),
    (1.0003 * R, R),  # "1 times the expected one"
    ({"a": 1}, {"b": 1}),
    (None, R),
    ("ba", "ab"),
    (None, torch.ones(2)),
    (torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 6.0])),
    ([7, 4], [7, 3, 5]),
    ([7, 3, 7, 3], [7, 3, 5]),
    (1.3, 0.7),
    (R[[2, 0]], R),
    (R * torch.tensor([[1.0], [0.0], [2.0]]), R[[0, 2]]),
    (torch.where(R > 0, R, R * R.abs() - 1), R),
    (torch.tensor([0.01, 0.01, 0.0, 0.0]), torch.tensor([5.4, 5.4, 0.0, 0.0])),
    (torch.tensor([0.01, 0.02, 0.0, 0.0]), torch.tensor([5.4, 10.8, 0.0, 0.0])),
    (0.5, 2.0),
    (5.5, 5),
    (5, 5.5),
]  # fmt: skip


@pytest.mark.parametrize(("got", "expected", "words"), SPEAKS, ids=range(len(SPEAKS)))
def test_what_a_wrong_answer_is(got, expected, words):
    [(_, said)] = likeness.rows(got, expected)
    assert words in said


@pytest.mark.parametrize(("got", "expected"), SILENT, ids=range(len(SILENT)))
def test_nothing_is_said_that_does_not_explain_everything(got, expected):
    says = likeness.rows(got, expected)
    assert not says


def test_how_a_shape_comes_from_the_right_one():
    assert (
        likeness.regrouped((2, 3, 1), (2, 3))
        == "a dimension of size 1 too many, at place 2"
    )
    assert (
        likeness.regrouped((3, 2), (2, 3))
        == "the right sizes in another order, which deals the numbers out anew"
    )
    assert likeness.regrouped((2, 4), (2, 3)) == likeness.regrouped((6,), (7,)) == ""
