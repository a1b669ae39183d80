"""Compares two pieces of code on one sample after the other, and counts what came
of it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from grader.course import catalogue, kata_modules

Thunk = Callable[[], Any]


class NotOurs(Exception):
    """A sample asks for what the exercise does not have; the message says what."""


@dataclass
class Row:
    """What came of one exercise's samples.

    Attributes:
        refused: how often the exercise refused a sample, by what it said.
        wrong: what differs, per sample.
        largest: the largest difference between numbers of samples that agree.
    """

    ours: str
    theirs: str
    agree: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    largest: float = 0.0


def kata(number: str):
    """The reference of this kata."""
    return kata_modules.load(catalogue.find(number), catalogue.ROOT / "solutions")


def compared(
    ours: str,
    theirs: str,
    pairs: Iterable[tuple[Thunk, Thunk]],
    tolerance: float = 1e-9,
) -> Row:
    """Run every pair. Where both raise an error they agree."""
    row = Row(ours, theirs)
    for one, other in pairs:
        right, wanted = _attempt(other)
        fine, got = _attempt(one)
        if not fine and not right:
            row.agree += 1
        elif not fine:
            row.refused[_reason(got)] += 1
        elif not right:
            row.wrong.append(
                f"theirs raises {type(wanted).__name__}, ours gives {got!r:.60}"
            )
        else:
            try:
                torch.testing.assert_close(
                    got, wanted, rtol=tolerance, atol=tolerance, equal_nan=True
                )
                row.agree, row.largest = (
                    row.agree + 1,
                    max(row.largest, _apart(got, wanted)),
                )
            except AssertionError as error:
                row.wrong.append(" ".join(str(error).split())[:200])
    return row


def differentiated(
    function: Callable[..., Tensor], arguments: tuple, options: dict[str, Any]
) -> tuple:
    """A function's result, and the gradients of its arguments for one fixed weighting
    of the result.
    """
    mine = [
        a.detach().clone().requires_grad_(a.requires_grad)
        if isinstance(a, Tensor)
        else a
        for a in arguments
    ]
    result = function(*mine, **options)
    inputs = [a for a in mine if isinstance(a, Tensor) and a.requires_grad]
    if not (inputs and result.requires_grad):
        return (result,)
    weights = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).reshape(
        result.shape
    )
    return (
        result.detach(),
        *torch.autograd.grad((result * weights).sum(), inputs, materialize_grads=True),
    )


def _apart(got: Any, wanted: Any) -> float:
    if isinstance(got, Tensor):
        both = got.isfinite() & wanted.isfinite()
        return (
            (got - wanted)[both].abs().max().item()
            if both.any() and got.dtype != torch.bool
            else 0.0
        )
    if isinstance(got, dict):
        return _apart(list(got.values()), list(wanted.values()))
    pairs = zip(got, wanted, strict=True) if isinstance(got, (list, tuple)) else ()
    return max((_apart(*pair) for pair in pairs), default=0.0)


def _attempt(thunk: Thunk) -> tuple[bool, Any]:
    try:
        return True, thunk()
    except Exception as error:
        return False, error


def _reason(error: Exception) -> str:
    """The first words of what was said, without the numbers of this one sample."""
    said = " ".join(str(error).split()).rpartition("() ")[2].partition(":")[0]
    return re.sub(r"\([^()]*\)?", "(…)", re.sub(r"\d+", "N", said))[:70]
