"""The comparisons that specs share: what they let pass, and what they say when they
do not.
"""

import math
from types import SimpleNamespace

import numpy as np
import pandas
import pytest
import torch

from grader.specs import check, given


def said(call, *args, **kwargs) -> str:
    with pytest.raises(check.Mismatch) as caught:
        call(*args, **kwargs)
    return str(caught.value)


X = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (X, X.clone()),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
        (torch.tensor([True]), torch.tensor([True])),
        ({"a": 1, "b": X}, {"a": 1, "b": X}),
        ([1, 2.5], [1, 2.5]),
        ((X, None), (X, None)),
        (np.arange(3), np.arange(3)),
        (np.arange(3)[::-1], np.array([2, 1, 0])),  # a reversed view
        ([np.True_, False], [True, np.False_]),
        ("relu", "relu"),
        (torch.int64, torch.int64),
    ],
)
def test_equal_accepts_what_is_equal(got, expected):
    check.equal(got, expected)


@pytest.mark.parametrize(
    "value", [torch.tensor(math.nan), math.inf, {"a": [1.0, np.array([-math.inf])]}]
)
def test_an_expected_value_is_finite_unless_something_else_is_meant(value):
    with pytest.raises(check.NotFinite):
        check.close(value, value)
    check.equal(value, value, finite=False)


@pytest.mark.parametrize(
    ("got", "expected", "words"),
    [
        (X.T, X, "shape      (3, 2)  expected (2, 3)"),
        (X.double(), X, "dtype      float64  expected float32"),
        (X + 1, X, "at 6 of 6 places, first at [0, 0]: got 1, expected 0"),
        (X / 0, X, "values are NaN"),
        (None, X, "got        None"),
        (None, X, "a tensor of shape (2, 3)"),
        ([X], X, "list of 1: float32 tensor (2, 3)"),
        # as TinyTorch's are
        (
            (SimpleNamespace(data=np.ones(2)),),
            X,
            "tuple of 1: float64 SimpleNamespace (2,)",
        ),
        (
            {"a": 1},
            {"a": 1, "b": 2},
            "keys       'a'\nexpected   'a', 'b'\nmissing    'b'",
        ),
        (
            {"a": 1, "c": 2},
            {"a": 1},
            "keys       'a', 'c'\nexpected   'a'\nmore       'c'",
        ),
        (
            [{"shapes": 1}],
            [{"shape": 1}],
            "looks like the key 'shape' is written 'shapes'",
        ),
        ({(0, 1): 1}, {(0,): 1}, "missing    (0,)\nmore       (0, 1)"),
        ({"a": 1}, {"a": 2}, "['a']"),
        ([1, 2], (1, 2), "tuple of 2"),
        (X, (X, 1), "a tuple of 2: `return` 2 results, with a comma between them"),
        (X.float, X, "looks like `float` without its brackets: `float()` calls it"),
        (
            torch.tensor([0.1]),
            torch.tensor([0.1 + 1e-8]),
            "got 0.1, expected 0.10000001",
        ),
        (0.1 + 1e-12, 0.1, "got        0.100000000001\nexpected   0.1"),
        ((1, 2, 3), (1, 2), "2 of them"),
        (True, 1, "the number 1"),
        (1.0, 1, "the int 1"),
        (torch.tensor(2), 2, "int64 tensor ()"),
        (X, np.zeros((2, 3)), "NumPy array"),
        ("gelu", "relu", "'gelu'"),
    ],
)
def test_equal_says_how_things_differ(got, expected, words):
    assert words in said(check.equal, got, expected)


def test_the_name_of_a_known_wrong_answer_is_said():
    assert "looks like squared" in said(
        check.equal, X * X, 2 * X, unlike={"cubed": X**3, "squared": X * X}
    )
    assert "squared" not in said(
        check.equal, X * X + 1, 2 * X, unlike={"squared": X * X}
    )
    assert "looks like b" in said(
        check.equal, {"a": X + 1}, {"a": X}, unlike={"b": {"a": X + 1}}
    )
    assert "looks like upper" in said(
        check.equal,
        ["a", "B"],
        ["a", "b"],
        unlike={"lower": ["a"], "upper": ["a", "B"]},
    )
    assert "looks like cut off" in said(
        check.equal, [1, 2], [1, 2, 3], unlike={"cut off": [1, 2]}
    )
    assert "looks like" not in said(
        check.equal, ["a", "C"], ["a", "b"], unlike={"upper": ["a", "B"]}
    )
    assert "looks like rounded" in said(check.close, 2.0, 2.5, unlike={"rounded": 2})
    both = said(
        check.equal,
        [1],
        [1, 1],
        unlike={"each once": [1], "the last lost": [1], "none": []},
    )
    assert "looks like each once, or the last lost" in both and "none" not in both


def test_entries_may_be_some_of_many():
    check.entries({"a": 1, "b": X, "c": None}, {"b": X, "a": 1})
    assert "['a']" in said(check.entries, {"a": 2, "b": 1}, {"a": 1})
    found = said(
        check.entries,
        {"shapes": (2, 3), "ndim": 2},
        {"ndim": 2, "shape": (2, 3)},
        what="the result at ",
    )
    assert (
        "of         the result\n" in found
        and "expected   'ndim', 'shape', and others" in found
    )
    assert "missing    'shape'" in found and "more" not in found
    assert "looks like the key 'shape' is written 'shapes'" in found
    assert "a dict with keys ['a']" in said(check.entries, None, {"a": 1})


def test_a_broken_repr_does_no_harm():
    class Broken:
        def __repr__(self):
            raise KeyError

    assert "a Broken whose repr raises KeyError" in said(check.equal, Broken(), X)


def test_an_object_without_a_repr_is_named_by_its_class():
    class Plain:
        pass

    assert "Plain object" in said(check.equal, Plain(), X) and " at 0x" not in said(
        check.equal, Plain(), X
    )


def test_what_is_long_loses_its_middle_on_both_sides():
    text = said(check.equal, "first" + "-" * 500 + "last", "first" + "-" * 500)
    assert (
        max(map(len, text.splitlines())) < 120
        and "-last'" in text
        and text.count(" … ") == 2
    )


def test_a_table_is_one():
    table = pandas.DataFrame(
        {"age": [31, 27], "weight": [61.5, 70.0]}, index=["Ada", "Bo"]
    )
    assert check.describe(table) == "DataFrame (2, 2) with the columns age, weight"
    assert given._value(table, {}).splitlines()[1:] == str(table).splitlines()


def test_imprecise_is_not_called_a_factor():
    assert "times" not in said(check.equal, X * (1 + 1e-6), X)


def test_close_follows_the_less_precise_dtype():
    check.close(X + 1e-6, X.double())
    check.close((X / 3).bfloat16(), X.double() / 3)
    assert "differs" in said(check.close, X.double() + 1e-6, X.double())
    assert "differs" in said(check.close, X + 1e-2, X)
    check.close(X + 0.5, X, atol=1)
    check.close(1.0 + 1e-8, 1.0)
    assert "expected" in said(check.close, float("inf"), 1.0)
    assert "differs" in said(check.close, X / 0, X)


def test_raises():
    with check.raises(ValueError, 10, "heads"):
        raise ValueError("10 features, 3 Heads")

    def block(error, *mentions, expected=ValueError):
        with check.raises(expected, *mentions):
            if error:
                raise error

    assert "nothing" in said(block, None)
    block(RuntimeError("the library's own answer"))
    block(OverflowError("300 does not fit"), 300)
    block(AttributeError("frozen"), expected=AttributeError)
    assert "should mention 3" in said(block, ValueError("ten"), 3)
    for slip in (NameError("x"), AttributeError("x"), ImportError("x")):
        with pytest.raises(type(slip)):
            block(slip)
    with pytest.raises(NotImplementedError):
        block(NotImplementedError(), expected=RuntimeError)
    with pytest.raises(TypeError, match="takes"):
        block(
            TypeError("f() takes 1 positional argument but 2 were given"),
            expected=TypeError,
        )


def test_unchanged():
    x = torch.ones(3)
    with check.unchanged(x=x):
        x.add(1)

    def block(change):
        y = torch.ones(3)
        with check.unchanged(y=y):
            change(y)

    assert "y after the call" in said(block, lambda y: y.add_(1))
    assert "requires_grad" in said(block, lambda y: y.requires_grad_())


def test_memory():
    check.view_of(X[0], X)
    check.independent(X.clone(), X)
    assert "a copy" in said(check.view_of, X.clone(), X)
    assert "shares memory" in said(check.independent, X.T, X)


def test_gradients():
    check.gradients(lambda a, b: a * b, lambda a, b: b * a, X, X + 1)
    assert "gradient of input 1" in said(
        check.gradients, lambda a, b: a * b + b, lambda a, b: a * b, X, X
    )
    assert "has no autograd graph" in said(
        check.gradients, lambda a: a.detach(), lambda a: a, X
    )
    said_of_b = said(
        check.gradients, lambda a, b: a * b.detach(), lambda a, b: a * b, X, X
    )
    assert "is None: the result is detached" in said_of_b


def test_of_long_lists_and_texts_the_difference_is_told():
    names = [f"layer {i}" for i in range(18)]
    assert (
        said(check.equal, [*names, "router.bias"], names)
        == "list       19 of them, expected 18\nmore       'router.bias'"
    )
    assert said(check.equal, [*range(8)], [*range(7)]).startswith(
        "list       [0, 1, 2, 3, 4, 5, 6, 7]\n"
    )
    # few, and too long for a row
    long = [f"transformer.layer{i}.weight" for i in range(4)]
    assert said(check.equal, long, long[:3]).endswith(
        "expected 3\nmore       'transformer.layer3.weight'"
    )
    found = said(
        check.equal, dict.fromkeys([*names[1:], "bias"], 0), dict.fromkeys(names, 0)
    )
    assert (
        found
        == "keys       18 of them, expected 18\nmissing    'layer 0'\nmore       'bias'"
    )
    found = said(
        check.equal,
        "all of it is the same to here, end",
        "all of it is the same to here. End",
    )
    assert found == (
        "differs    from character 29 on\ngot        … ' to here, end'\n"
        "expected   … ' to here. End'"
    )


def test_shape_dtype_finite_that():
    (
        check.shape(X, (2, 3)),
        check.dtype(X, torch.float32),
        check.finite(X),
        check.that(True, ""),
    )
    assert "(2, 3)  expected (3,)" in said(check.shape, X, (3,))
    assert "float32  expected int64" in said(check.dtype, X, torch.int64)
    assert "first at [0, 0]: nan" in said(check.finite, X / X)
    assert said(check.that, False, "because") == "wrong      because"


def test_the_one_bug_behind_a_condition_is_named():
    assert (
        said(check.that, False, "all are 0", like="drawn once")
        == "wrong      all are 0\nlooks like drawn once"
    )
    with (
        pytest.raises(check.Mismatch) as failure,
        check.raises(ValueError, like="sizes not compared"),
    ):
        pass
    assert failure.value.rows[-1] == ("looks like", "sizes not compared")


@pytest.mark.parametrize(
    ("got", "expected", "wrong", "named"),
    [
        ([1, 5, 6], [1, 2, 3], [1, 5, 6], True),
        ([1, 5, 7], [1, 2, 3], [1, 5, 6], False),
        ([1, 2, 6], [1, 2, 3], [1, 5, 6], True),
        ([1, 5, 7], [1, 2, 3], [1, 5, ...], True),
        ([1, 2, 7], [1, 2, 3], [1, 5, ...], False),
        ((4.0, 1.0), (2.0, 1.0), (4.0, 0.5), True),
        ((4.0, 0.7), (2.0, 1.0), (4.0, 0.5), False),
        ({"loss": math.nan, "n": 3}, {"loss": 0.5, "n": 3}, {"loss": math.nan}, True),
        ({"loss": 0.7, "n": 3}, {"loss": 0.5, "n": 3}, {"loss": math.nan}, False),
    ],
)
def test_a_wrong_answer_is_named_where_it_explains_every_difference(
    got, expected, wrong, named
):
    with pytest.raises(check.Mismatch) as failure:
        check.close(got, expected, unlike={"the slip": wrong})
    assert (("looks like", "the slip") in failure.value.rows) == named


def test_modes_begin_with_the_defaults():
    assert list(check.modes(bias=[False], eps=[0.1, 1])) == [
        {},
        {"bias": False},
        {"eps": 0.1},
        {"eps": 1},
    ]
