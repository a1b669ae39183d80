"""Say what a wrong answer is of the right one, such as transposed, or its sum: facts that explain every difference."""

import functools
import inspect
import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Rows = list[tuple[str, str]]
ROWS = ("values", "rows")
MOST = 100_000  # numbers; comparing more takes too long

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "the square": torch.square,
    "the exponential": torch.exp,
    "the reciprocal": torch.reciprocal,
    "the difference to 1": lambda x: 1 - x,
    "tanh": torch.tanh,
    "the sigmoid": torch.sigmoid,
    "ReLU": torch.relu,
    "the absolute value": torch.abs,
}
ALONG: dict[str, Callable[..., Tensor]] = {
    "the softmax": torch.softmax,
    "the log-softmax": torch.log_softmax,
    "the running sum": torch.cumsum,
}
KINDS = {list: "a list", tuple: "a tuple", np.ndarray: "a NumPy array", Tensor: "a tensor"}
REDUCED: dict[str, Callable[..., Tensor]] = {
    "the sum": torch.sum,
    "the mean": torch.mean,
    "the largest": torch.amax,
    "the smallest": torch.amin,
}


def rows(got: Any, expected: Any) -> Rows:
    """What a wrong answer is of the right one, in at most one row: the likely bug, or a fact. Empty if nothing is said.

    Of several results, all that are wrong must be so in the same way.
    """
    return _of_kind(got, expected) or _of_list(got, expected) or _of_parts(got, expected)


def factor(got: Any, expected: Any) -> float | None:
    """The number by which all that is expected was multiplied; None if there is none, or it is 1."""
    if isinstance(expected, tuple) and isinstance(got, tuple) and len(got) == len(expected):
        wrong = [(a, b) for a, b in zip(got, expected, strict=True) if not same(a, b)]
        return factor(*wrong[0]) if len(wrong) == 1 else None
    mine, right = _tensor(got), _tensor(expected)
    if (
        mine is None
        or right is None
        or mine.shape != right.shape
        or not right.is_floating_point()
        or not (right % 1).any()
    ):
        return None
    if mine.numel() == 1:
        is_telling = right.item() and (right.item() % 1 or 4 * mine.item() % 1)
        return mine.item() / right.item() if is_telling else None
    found = _ratio(mine.double(), right.double())
    return None if found is None or abs(found - 1) < 1e-3 else found


def regrouped(mine: tuple[int, ...], right: tuple[int, ...]) -> str:
    """How a shape comes from the right one, if it holds as many numbers; empty if that is not plain."""
    for place in range(len(mine)):
        if mine[place] == 1 and mine[:place] + mine[place + 1 :] == right:
            return f"a dimension of size 1 too many, at place {place}"
    for place in range(len(right)):
        if right[place] == 1 and right[:place] + right[place + 1 :] == mine:
            return f"a dimension of size 1 is missing, at place {place}"
    if (joined := _joined(right, mine)) is not None:
        return f"dimensions {joined} of the right result are joined into one"
    if (joined := _joined(mine, right)) is not None:
        return f"dimensions {joined} of yours are to be joined into one"
    if sorted(mine) == sorted(right):
        return "the right sizes in another order, which deals the numbers out anew"
    return ""


def _of_parts(got: Any, expected: Any) -> Rows:
    if isinstance(expected, Mapping) and isinstance(got, Mapping) and got.keys() == expected.keys():
        got, expected = [got[key] for key in expected], list(expected.values())
    if not (type(got) is type(expected) and isinstance(got, (list, tuple)) and len(got) == len(expected)):
        return _of_tensors(got, expected)
    if len(got) > 1 and (said := _of_tensors(_numbers(got), _numbers(expected))):
        return said
    pairs = list(zip(got, expected, strict=True))
    wrong = [(a, b) for a, b in pairs if not same(a, b)] or [(a, b) for a, b in pairs if _of_kind(a, b)]
    found = [rows(a, b) for a, b in wrong]
    return found[0] if found and all(one == found[0] for one in found) else []


# Answers of another kind or in another order.


def _of_kind(got: Any, expected: Any) -> Rows:
    """The right numbers in something else: a list for a tensor, a tensor for a number, another dtype."""
    if isinstance(got, Tensor) and got.ndim == 0 and isinstance(expected, numbers.Real) and same(got, expected):
        return [("means", "the right number in a tensor: .item() takes it out")]
    if isinstance(got, numbers.Real) and isinstance(expected, Tensor) and expected.ndim == 0 and same(got, expected):
        return [("means", "the right number, but a plain one, as .item() and float() give, not a tensor")]
    if type(got) is float and type(expected) is int and got == expected:
        return [("means", "the right number as a float: / makes one, and // a whole number")]
    if got is None and isinstance(expected, Tensor) and not expected.any():
        return [("means", "None, where zeros are expected")]
    if isinstance(got, tuple) and isinstance(expected, Tensor):
        places = [place for place, one in enumerate(got) if isinstance(one, Tensor) and same(one, expected)]
        if places:
            return [("means", f"place {places[0]} of your tuple is the right result")]
    names = [KINDS.get(type(one), "") for one in (got, expected)]
    if all(names) and names[0] != names[1]:
        is_same = _all_same(got, expected) if {*names} == {"a list", "a tuple"} else same(got, expected)
        return [("means", f"the right values in {names[0]}, not in {names[1]}")] if is_same else []
    if isinstance(got, (Tensor, np.ndarray)) and type(got) is type(expected) and got.dtype != expected.dtype:
        mine, right = _tensor(got), _tensor(expected)
        if mine is not None and right is not None and mine.shape == right.shape:
            if torch.equal(mine.to(right.dtype), right) or torch.equal(mine, right.to(mine.dtype)):
                dtypes = [str(one.dtype).removeprefix("torch.") for one in (got, expected)]
                return [("means", f"the right values, held as {dtypes[0]} and not as {dtypes[1]}")]
    return []


def _of_list(got: Any, expected: Any) -> Rows:
    """The right items in another order, or a part of them."""
    if type(got) is not type(expected) or not isinstance(got, (list, tuple)) or not got or not expected:
        return []
    right, mine = len(expected), len(got)
    if right == mine:
        orders = itertools.permutations(expected) if right <= 4 else [expected[::-1]]
        if not _all_same(got, expected) and any(_all_same(got, order) for order in orders):
            return [("means", "the two results are exchanged" if right == 2 else "the right items in another order")]
        return []
    shorter, longer = sorted((got, expected), key=len)
    gap = len(longer) - len(shorter)
    for skipped, where in ((gap, "first"), (0, "last")):
        if _all_same(shorter, longer[skipped : skipped + len(shorter)]):
            what = f"the {where} {gap}" if gap > 1 else f"the {where} one"
            return [("means", f"{what} of the right items missing" if mine < right else f"{what} too many")]
    if mine < right and len(missing := _missing(got, expected)) == right - mine:
        first = missing[0]
        what = f"{expected[first]!r} at place {first}"
        return [("means", f"the right items but {len(missing)} of them, first {what}")]
    once = [one for place, one in enumerate(got) if not any(same(one, other) for other in got[:place])]
    if mine > right and len(once) == right and all(any(same(one, other) for other in expected) for one in once):
        return [("means", "the right items, and some more than once")]
    return []


def _missing(got: Any, expected: Any) -> list[int]:
    """The places of the right items that are left out, if the others are all there and in order."""
    missing, at = [], 0
    for place, one in enumerate(expected):
        if at < len(got) and same(got[at], one):
            at += 1
        else:
            missing.append(place)
    return missing


def _all_same(got: Any, expected: Any) -> bool:
    return len(got) == len(expected) and all(map(same, got, expected))


def same(a: Any, b: Any) -> bool:
    """Tell if two items are equal, tensors within rounding."""
    if type(a) is type(b) and isinstance(a, (list, tuple)):
        return _all_same(a, b)
    mine, right = _tensor(a), _tensor(b)
    if mine is None or right is None:
        return type(a) is type(b) and not inspect.isroutine(a) and bool(a == b)
    return mine.shape == right.shape and _close(mine, right)


def _tensor(value: Any) -> Tensor | None:
    """The numbers of an answer; None if it holds anything else."""
    if isinstance(value, Tensor):
        return None if value.is_complex() or value.layout != torch.strided else value.detach().cpu()
    if isinstance(value, np.ndarray):
        return torch.tensor(value.copy()) if value.dtype.kind in "biuf" else None
    if isinstance(value, numbers.Real):
        return torch.tensor(value, dtype=torch.float64)
    items = [_tensor(one) for one in value] if isinstance(value, (list, tuple)) else []
    parts = [one.double() for one in items if one is not None]
    is_whole = len(parts) == len(items) > 0 and all(one.shape == parts[0].shape for one in parts)
    return torch.stack(parts) if is_whole else None


def _numbers(values: Any) -> Tensor | None:
    if not values or not all(isinstance(one, (numbers.Real, Tensor)) and not isinstance(one, bool) for one in values):
        return None
    if any(isinstance(one, Tensor) and one.ndim for one in values):
        return None
    return torch.tensor([float(one) for one in values], dtype=torch.float64)


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a.double(), b.double(), 1e-4, 1e-6)


# Tensors, and numbers as tensors of one.


def _of_tensors(got: Any, expected: Any) -> Rows:
    one, other = (None if side is None else _tensor(side) for side in (got, expected))
    if one is None or other is None or not 0 < one.numel() < MOST or not 0 < other.numel() < MOST:
        return []
    if (one.dtype == torch.bool) != (other.dtype == torch.bool):
        return []
    mine, right = one.double(), other.double()
    if torch.isnan(mine).any() or torch.isnan(right).any() or (mine.shape == right.shape and _close(mine, right)):
        return []
    if mine.shape != right.shape:
        return _of_shapes(mine, right)
    if mine.numel() == 1:
        return _multiple(mine.item(), right.item()) if mine.isfinite() and right.isfinite() else []
    if one.dtype == torch.bool and not (one == other).any():
        return [("looks like", "inverted: True and False are exchanged everywhere")]
    return _of_values(mine, right, is_bool=one.dtype == torch.bool)


def _of_shapes(mine: Tensor, right: Tensor) -> Rows:
    if mine.ndim >= 2 and mine.mT.shape == right.shape and _close(mine.mT, right):
        return [("looks like", "the last two dimensions are swapped")]
    if moved := _moved(mine, right):
        return [("looks like", moved)]
    if mine.numel() == right.numel():
        if mine.numel() > 1 and _close(mine.flatten(), right.flatten()):
            how = regrouped(tuple(mine.shape), tuple(right.shape))
            return [("looks like", "the right numbers in another shape" + (f": {how}" if how else ""))]
        return []
    says = next(itertools.chain(_cut(mine, right), _thinned(mine, right), _reduced(mine, right)), "")
    return [("means", says)] if says else []


def _moved(mine: Tensor, right: Tensor) -> str:
    """The two dimensions that are swapped, their order, or the place of the dimension of size 1 that is wrong."""
    if mine.ndim != right.ndim:
        return ""
    ones = [[place for place, size in enumerate(x.shape) if size == 1] for x in (mine, right)]
    if len(ones[0]) == len(ones[1]) == 1 and ones[0] != ones[1] and mine.squeeze().shape == right.squeeze().shape:
        if _close(mine.squeeze(), right.squeeze()):
            return f"the dimension of size 1 is at place {ones[0][0]}, not {ones[1][0]}"
    for a, b in itertools.combinations(range(mine.ndim), 2):
        swapped = mine.transpose(a, b)
        if swapped.shape == right.shape and _close(swapped, right):
            return f"dimensions {a} and {b} are swapped"
    for order in itertools.permutations(range(right.ndim)) if right.ndim in (3, 4) else ():
        moved = right.permute(order)
        if moved.shape == mine.shape and _close(moved, mine):
            return f"the dimensions are in another order: yours are {', '.join(map(str, order))} of the right result"
    return ""


def _joined(long: tuple[int, ...], short: tuple[int, ...]) -> str | None:
    for first, last in itertools.combinations(range(len(long)), 2):
        if long[:first] + (math.prod(long[first : last + 1]),) + long[last + 1 :] == short:
            return f"{first} and {last}" if last == first + 1 else f"{first} to {last}"
    return None


def _cut(mine: Tensor, right: Tensor) -> Iterator[str]:
    """One of the two is a part of the other along one dimension."""
    smaller, larger = sorted((mine, right), key=Tensor.numel)
    if smaller.unique().numel() < 2:
        return
    if mine.ndim == right.ndim:
        places = [place for place in range(mine.ndim) if mine.shape[place] != right.shape[place]]
        if len(places) != 1:
            return
        [place] = places
        size, gap = smaller.shape[place], larger.shape[place] - smaller.shape[place]
        for start, where in ((0, "last"), (gap, "first")):
            if _close(larger.narrow(place, start, size), smaller):
                many = f"the {where} {gap}" if gap > 1 else f"the {where} one"
                yield f"{many} along dimension {place} " + ("missing" if smaller is mine else "too many")
    elif smaller.ndim + 1 == larger.ndim:
        for place in range(larger.ndim):
            for index in {0, larger.shape[place] - 1}:
                if larger.select(place, index).shape == smaller.shape and _close(larger.select(place, index), smaller):
                    part = f"index {index} along dimension {place}"
                    yield (
                        f"{part} of the right result alone"
                        if smaller is mine
                        else f"{part} of yours is the right result"
                    )


def _thinned(mine: Tensor, right: Tensor) -> Iterator[str]:
    """Rows are left out, or rows of zeros stand between the right ones."""
    if mine.ndim == right.ndim and mine.shape[1:] == right.shape[1:]:
        kept = mine[mine.flatten(1).any(1)] if mine.ndim > 1 else mine[mine != 0]
        if len(mine) > len(right) and kept.shape == right.shape and _close(kept, right):
            yield f"the right {ROWS[mine.ndim > 1]} with {len(mine) - len(right)} of zeros in between"
        missing = _missing(mine, right) if len(mine) < len(right) < 100 and right.unique().numel() > 2 else []
        if missing and len(missing) == len(right) - len(mine):
            yield f"the right {ROWS[mine.ndim > 1]} but {len(missing)}, the first at {missing[0]}"


def _reduced(mine: Tensor, right: Tensor) -> Iterator[str]:
    """One of the two is the sum, the mean or an extreme of the other."""
    smaller, larger = sorted((mine, right), key=Tensor.numel)
    is_whole = smaller.numel() == 1 and not (larger % 1).any()  # too often so by chance
    if is_whole or larger.unique().numel() < 2 or not larger.isfinite().all():
        return
    whose, is_mine = ("the right result", True) if smaller is mine else ("yours", False)
    for name, reduce in REDUCED.items():
        if smaller.numel() == 1:
            if _close(reduce(larger), smaller.reshape(())):
                yield f"{name} of all that is expected" if is_mine else f"{name} of all of yours is the right result"
            continue
        for place in range(larger.ndim):
            for keep in (False, True):
                found = reduce(larger, dim=place, keepdim=keep)
                if found.shape == smaller.shape and _close(found, smaller):
                    yield f"{name} of {whose} over dimension {place}" + ("" if is_mine else " is the right one")


def _of_values(mine: Tensor, right: Tensor, *, is_bool: bool) -> Rows:
    if (ratio := _ratio(mine, right)) is not None:
        if abs(ratio + 1) < 1e-3:
            return [("looks like", "the right numbers with the sign flipped")]
        return [("means", f"every value is {ratio:.4g} times the expected one")]
    if swapped := _swapped(mine, right):
        return [("looks like", swapped)]
    if is_bool or right.unique().numel() < 3:
        return []
    ways = (_shifted(mine, right), _normalised(mine, right), _functions(mine, right), _where_wrong(mine, right))
    says = next(itertools.chain(*ways), "")
    return [("means", says)] if says else []


def _ratio(mine: Tensor, right: Tensor) -> float | None:
    """The one factor between all values; None if there is none, or one that is 1 to four digits.

    Zeros agree with every factor, and one number has one with every other: beside zeros it takes three that differ.
    Of whole numbers, such as codes, the factor is exact: 123 and 130 are not 0.992 times 124 and 131.
    """
    is_whole = not (mine % 1).any() and not (right % 1).any()
    loosest = 1e-6 if is_whole else 1e-3
    told = right.abs() > 1e-6
    ratios = (mine / right)[told]
    if (
        right[told].unique().numel() < (2 if told.all() else 3)
        or not torch.isfinite(ratios).all()
        or ratios.std() >= loosest * ratios.mean().abs()
    ):
        return None
    rest = mine[right.abs() <= 1e-6]
    factor = ratios.mean().item()
    return None if abs(factor - 1) < 5e-4 or rest.numel() and rest.abs().max() >= 1e-5 else factor


def _swapped(mine: Tensor, right: Tensor) -> str:
    for a, b in itertools.combinations(range(mine.ndim), 2):
        if mine.shape[a] == mine.shape[b] > 1 and _close(mine.transpose(a, b), right):
            return (
                "the last two dimensions are swapped" if a == mine.ndim - 2 else f"dimensions {a} and {b} are swapped"
            )
    return ""


def _shifted(mine: Tensor, right: Tensor) -> Iterator[str]:
    """All values are higher or lower by one number, or stand at other places."""
    gaps = mine - right
    gap = gaps.mean().item()
    if gaps.isfinite().all() and torch.allclose(gaps, torch.full_like(gaps, gap), 1e-4, 1e-6):
        yield f"every value is {abs(gap):.4g} too {'large' if gap > 0 else 'small'}"
    for place in range(mine.ndim):
        size = mine.shape[place]
        if _close(mine.flip(place), right):
            yield f"reversed along dimension {place}"
        elif size > 2 and _close(mine.narrow(place, 1, size - 1), right.narrow(place, 0, size - 1)):
            yield f"shifted along dimension {place}: what belongs at i is at i + 1"
        elif size > 2 and _close(mine.narrow(place, 0, size - 1), right.narrow(place, 1, size - 1)):
            yield f"shifted along dimension {place}: what belongs at i + 1 is at i"


def _normalised(mine: Tensor, right: Tensor) -> Iterator[str]:
    """Shares add up to 1, or differences to 0, along another dimension than they should."""
    for what, total in (("adds up to 1", 1.0), ("adds up to 0", 0.0)):
        if total and (right.min() < 0 or mine.min() < 0):
            continue
        along = [
            [place for place in range(x.ndim) if _close(x.sum(place), torch.full_like(x.sum(place), total))]
            for x in (mine, right)
        ]
        if len(along[0]) == len(along[1]) == 1 and along[0] != along[1]:
            yield f"{what} along dimension {along[0][0]}, not along {along[1][0]}"


def _functions(mine: Tensor, right: Tensor) -> Iterator[str]:
    """One of the two is a function of the other. Of whole numbers, and of few different ones, that is chance."""
    if not (mine.isfinite().all() and right.isfinite().all() and mine.unique().numel() > 2):
        return
    if not (mine % 1).any() and not (right % 1).any() and (mine >= 0).all():
        return
    for name, function in _all_functions(mine.ndim):
        if _close(function(right), mine):
            yield f"{name} of what is expected"
        elif _close(function(mine), right):
            yield f"{name} of yours is the right result"


def _where_wrong(mine: Tensor, right: Tensor) -> Iterator[str]:
    """What holds at the places that are wrong, where others are right."""
    wrong = ~torch.isclose(mine, right, 1e-4, 1e-6)
    got, wanted = mine[wrong], right[wrong]
    if wrong.all() or got.numel() < 2:
        return
    if got.unique().numel() == 1 and wanted.unique().numel() > 1:
        yield f"all values that are wrong are {got[0]:.4g}"
    if wanted.unique().numel() < 3 or not (got.isfinite().all() and wanted.isfinite().all()):
        return
    if (ratio := _ratio(got, wanted)) is not None:
        times = "the sign is flipped" if abs(ratio + 1) < 1e-3 else f"every value is {ratio:.4g} times the expected one"
        yield f"where it is wrong, {times}"
    elif (gap := (got - wanted)).std() < 1e-4 * gap.mean().abs():
        yield f"where it is wrong, every value is {gap.mean().abs():.4g} too {'large' if gap.mean() > 0 else 'small'}"


def _all_functions(dimensions: int) -> Iterator[tuple[str, Callable[[Tensor], Tensor]]]:
    yield from FUNCTIONS.items()
    for name, function in ALONG.items():
        for place in range(dimensions):
            yield f"{name} along dimension {place}", functools.partial(function, dim=place)


def _multiple(mine: float, right: float) -> Rows:
    """What a single number is of the expected one: its negative, a whole multiple or part, a function of it.

    Whole numbers, and zero, are too often so by chance.
    """
    if not (mine and right and (right % 1 or 4 * mine % 1)):
        return []
    if math.isclose(mine, -right, rel_tol=1e-5):
        return [("looks like", "the right number with the sign flipped")]
    factor = mine / right
    times = factor if abs(factor) > 1 else right / mine
    if 1.5 < times < 1000 and math.isclose(times, round(times), rel_tol=1e-5):
        how = f"{round(times)} times the expected number" if factor > 1 else f"the expected number / {round(times)}"
        is_share = 0 < right < 1 and math.isclose(mine, 1 - right, rel_tol=1e-5)
        return [("means", how + (", or 1 minus it" if is_share else ""))]
    for name, of_mine, of_right in (
        ("square", mine * mine, right * right),
        ("exponential", _exp(mine), _exp(right)),
        ("reciprocal", 1 / mine, 1 / right),
        ("difference to 1", 1 - mine, 1 - right),
    ):
        if math.isclose(of_right, mine, rel_tol=1e-5):
            return [("means", f"the {name} of the expected number")]
        if math.isclose(of_mine, right, rel_tol=1e-5):
            return [("means", f"the {name} of yours is the right number")]
    return []


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
