"""Say what a wrong answer is of the right one, such as transposed or doubled: facts
that hold at every place.
"""

import inspect
import itertools
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grader.failure import LIKE, MEANS, Row

Rows = list[Row]
MOST = 100_000  # numbers; comparing more takes too long
KINDS = {
    list: "a list",
    tuple: "a tuple",
    np.ndarray: "a NumPy array",
    Tensor: "a tensor",
}


def rows(got: Any, expected: Any) -> Rows:
    """What a wrong answer is of the right one, in at most one row: the likely bug, or a
    fact. Empty if nothing is said.

    Of several results, all that are wrong must be so in the same way.
    """
    return _of_kind(got, expected) or _of_parts(got, expected)


def same(a: Any, b: Any) -> bool:
    """Tell if two items are equal, tensors within rounding."""
    if type(a) is type(b) and isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    mine, right = _tensor(a), _tensor(b)
    if mine is None or right is None:
        return type(a) is type(b) and not inspect.isroutine(a) and bool(a == b)
    return mine.shape == right.shape and _close(mine, right)


def regrouped(mine: tuple[int, ...], right: tuple[int, ...]) -> str:
    """How a shape comes from the right one, if it holds as many numbers; empty if that
    is not plain.
    """
    for long, short, what in ((mine, right, "too many"), (right, mine, "is missing")):
        for place, size in enumerate(long):
            if size == 1 and long[:place] + long[place + 1 :] == short:
                return f"a dimension of size 1 {what}, at place {place}"
    if joined := _joined(right, mine):
        return f"dimensions {joined} of the right result are joined into one"
    if joined := _joined(mine, right):
        return f"dimensions {joined} of yours are to be joined into one"
    return (
        "the right sizes in another order, which deals the numbers out anew"
        if sorted(mine) == sorted(right)
        else ""
    )


def _joined(long: tuple[int, ...], short: tuple[int, ...]) -> str:
    for first, last in itertools.combinations(range(len(long)), 2):
        if (
            long[:first] + (math.prod(long[first : last + 1]),) + long[last + 1 :]
            == short
        ):
            return f"{first} and {last}" if last == first + 1 else f"{first} to {last}"
    return ""


def _of_kind(got: Any, expected: Any) -> Rows:
    """The right numbers in something else: a list for a tensor, a tensor for a number,
    another dtype.
    """
    if (
        isinstance(got, Tensor)
        and got.ndim == 0
        and isinstance(expected, numbers.Real)
        and same(got, expected)
    ):
        return [(MEANS, "the right number in a tensor: .item() takes it out")]
    if (
        isinstance(got, numbers.Real)
        and isinstance(expected, Tensor)
        and expected.ndim == 0
        and same(got, expected)
    ):
        return [
            (
                MEANS,
                (
                    "the right number, but a plain one, as .item() and float() give, "
                    "not a tensor"
                ),
            )
        ]
    if type(got) is float and type(expected) is int and got == expected:
        return [
            (MEANS, "the right number as a float: / makes one, and // a whole number")
        ]
    if got is None and isinstance(expected, Tensor) and not expected.any():
        return [(MEANS, "None, where zeros are expected")]
    if isinstance(got, tuple) and isinstance(expected, Tensor):
        places = [
            place
            for place, one in enumerate(got)
            if isinstance(one, Tensor) and same(one, expected)
        ]
        return (
            [(MEANS, f"place {places[0]} of your tuple is the right result")]
            if places
            else []
        )
    names = [KINDS.get(type(one), "") for one in (got, expected)]
    if not all(names) or not same(
        *(list(one) if isinstance(one, tuple) else one for one in (got, expected))
    ):
        return []
    if names[0] != names[1]:
        return [(MEANS, f"the right values in {names[0]}, not in {names[1]}")]
    mine, right = _tensor(got), _tensor(expected)
    if mine is None or right is None:
        return []
    is_same = torch.equal(mine, right.to(mine.dtype)) or torch.equal(
        mine.to(right.dtype), right
    )
    held, wanted = (
        str(getattr(one, "dtype", "")).removeprefix("torch.") for one in (got, expected)
    )
    return (
        [(MEANS, f"the right values, held as {held} and not as {wanted}")]
        if is_same and held != wanted
        else []
    )


def _of_parts(got: Any, expected: Any) -> Rows:
    if (
        isinstance(expected, Mapping)
        and isinstance(got, Mapping)
        and got.keys() == expected.keys()
    ):
        got, expected = [got[key] for key in expected], list(expected.values())
    if not (
        type(got) is type(expected)
        and isinstance(got, (list, tuple))
        and len(got) == len(expected)
    ):
        return _of_tensors(_tensor(got), _tensor(expected))
    if len(got) == 2 and same(got[::-1], expected) and not same(got, expected):
        return [(MEANS, "the two results are exchanged")]
    is_plain = all(
        isinstance(one, numbers.Real) and not isinstance(one, bool)
        for one in (*got, *expected)
    )
    if is_plain and (said := _of_tensors(_tensor(got), _tensor(expected))):
        return said
    pairs = list(zip(got, expected, strict=True))
    wrong = [(a, b) for a, b in pairs if not same(a, b)] or [
        (a, b) for a, b in pairs if _of_kind(a, b)
    ]
    found = [rows(a, b) for a, b in wrong]
    return found[0] if found and all(one == found[0] for one in found) else []


def _tensor(value: Any) -> Tensor | None:
    """The numbers of an answer; None if it holds anything else."""
    if isinstance(value, Tensor):
        return (
            None
            if value.is_complex() or value.layout != torch.strided
            else value.detach().cpu()
        )
    if isinstance(value, np.ndarray):
        return torch.tensor(value.copy()) if value.dtype.kind in "biuf" else None
    if isinstance(value, numbers.Real):
        return torch.tensor(value, dtype=torch.float64)
    items = [_tensor(one) for one in value] if isinstance(value, (list, tuple)) else []
    parts = [one.double() for one in items if one is not None]
    is_whole = len(parts) == len(items) > 0 and all(
        one.shape == parts[0].shape for one in parts
    )
    return torch.stack(parts) if is_whole else None


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), 1e-4, 1e-6)


def _of_tensors(one: Tensor | None, other: Tensor | None) -> Rows:
    if (
        one is None
        or other is None
        or not 0 < one.numel() < MOST
        or not 0 < other.numel() < MOST
    ):
        return []
    is_bool = one.dtype == torch.bool
    mine, right = one.double(), other.double()
    if is_bool != (other.dtype == torch.bool) or not (
        mine.isfinite().all() and right.isfinite().all()
    ):
        return []
    is_same_shape = mine.shape == right.shape
    if is_same_shape and _close(mine, right):
        return []
    if is_bool and is_same_shape and mine.numel() > 1 and not (one == other).any():
        return [(LIKE, "inverted: True and False are exchanged everywhere")]
    if moved := _moved(mine, right):
        return [(LIKE, moved)]
    if is_same_shape:
        return [] if is_bool else _of_values(mine, right)
    if 1 < mine.numel() == right.numel() and _close(mine.flatten(), right.flatten()):
        how = regrouped(tuple(mine.shape), tuple(right.shape))
        return [
            (LIKE, "the right numbers in another shape" + (f": {how}" if how else ""))
        ]
    return []


def _moved(mine: Tensor, right: Tensor) -> str:
    """The place of the dimension of size 1, the two that are swapped, or the order of
    all; empty if that is not all.
    """
    if (
        mine.ndim != right.ndim
        or sorted(mine.shape) != sorted(right.shape)
        or mine.ndim > 4
    ):
        return ""
    mine_at, right_at = (
        [place for place, size in enumerate(x.shape) if size == 1]
        for x in (mine, right)
    )
    if (
        len(mine_at) == 1
        and mine_at != right_at
        and same(mine.squeeze(), right.squeeze())
    ):
        return f"the dimension of size 1 is at place {mine_at[0]}, not {right_at[0]}"
    for order in list(itertools.permutations(range(right.ndim)))[1:]:
        moved = right.permute(order)
        if moved.shape == mine.shape and _close(moved, mine):
            first, *others = (place for place, one in enumerate(order) if place != one)
            if len(others) > 1:
                yours = ", ".join(map(str, order))
                return (
                    f"the dimensions are in another order: yours are {yours} of the "
                    "right result"
                )
            is_last = first == right.ndim - 2
            which = (
                "the last two dimensions"
                if is_last
                else f"dimensions {first} and {others[0]}"
            )
            return f"{which} are swapped"
    return ""


def _of_values(mine: Tensor, right: Tensor) -> Rows:
    """One factor between all values, or one difference. Whole numbers, and zero, have
    one too often by chance.
    """
    if mine.numel() == 1:
        return _of_number(mine.item(), right.item())
    if (ratio := _ratio(mine, right)) is not None:
        if math.isclose(ratio, -1, rel_tol=1e-3):
            return [(LIKE, "the right numbers with the sign flipped")]
        return [(MEANS, f"every value is {ratio:.4g} times the expected one")]
    gaps = mine - right
    gap = gaps.mean().item()
    if right.unique().numel() > 2 and torch.allclose(
        gaps, torch.full_like(gaps, gap), 1e-4, 1e-6
    ):
        return [
            (
                MEANS,
                f"every value is {abs(gap):.4g} too {'large' if gap > 0 else 'small'}",
            )
        ]
    return []


def _ratio(mine: Tensor, right: Tensor) -> float | None:
    """The one factor between all values; None if there is none, or one that is 1 to
    three digits.

    Zeros agree with every factor, and one number has one with every other: beside zeros
    it takes three that differ.
    Of whole numbers, such as codes, the factor is exact: 123 and 130 are not 0.992
    times 124 and 131.
    """
    told = right.abs() > 1e-6
    ratios = (mine / right)[told]
    if (
        right[told].unique().numel() < (2 if told.all() else 3)
        or not ratios.isfinite().all()
    ):
        return None
    is_whole = not (mine % 1).any() and not (right % 1).any()
    found = ratios.mean().item()
    is_one = (
        ratios.std() < (1e-6 if is_whole else 1e-3) * abs(found)
        and mine[~told].abs().lt(1e-5).all()
    )
    return found if is_one and abs(found - 1) > 1e-3 else None


def _of_number(mine: float, right: float) -> Rows:
    if not (mine and right and (right % 1 or 4 * mine % 1)):
        return []
    if math.isclose(mine, -right, rel_tol=1e-5):
        return [(LIKE, "the right number with the sign flipped")]
    for times, how in (
        (mine / right, "{} times the expected number"),
        (right / mine, "the expected number / {}"),
    ):
        if 1.5 < times < 1000 and math.isclose(times, round(times), rel_tol=1e-5):
            return [(MEANS, how.format(round(times)))]
    return []
