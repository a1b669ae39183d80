"""Probes: short functions that ask an exercise a question with drawn inputs.

A probe is run twice with one seed: beside the code under test, in that code's process,
and on the reference, in the judge. What both return is compared. The code can read the
probe and the seed, and owns what it returns there: so a probe returns what the exercise
computes of the drawn inputs, and never whether that is right.
"""

import functools
import zlib
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from grader.isolation import state

UNIT = 200_000  # bytes: far more than a measurement is off by

Probe = Callable[[ModuleType, torch.Generator], Any]
Judge = Callable[[Any, Any], Any]


def probe(exercise: str) -> Callable[[Probe], Probe]:
    """Make a function of the kata's module and a random generator the probe of
    an exercise.

    It returns plain values: numbers, texts, None, tensors, arrays, and lists, tuples,
    dictionaries and sets of these. They are the same for all right solutions and others
    for another seed.
    """

    def keep(function: Probe) -> Probe:
        function.__globals__.setdefault("PROBES", {})[exercise] = function
        return function

    return keep


def judge(exercise: str) -> Callable[[Judge], Judge]:
    """Make a function the second half of an exercise's probe: it runs in the judge.

    It is for what right solutions do not return alike: random masks, first weights. It
    gets what came back, which has the form of what the reference returned, and that;
    what it makes of the first is compared with what it makes of the second.
    """

    def keep(function: Judge) -> Judge:
        function.__globals__.setdefault("JUDGES", {})[exercise] = function
        return function

    return keep


def integers(rng: torch.Generator, count: int, low: int = 2, high: int = 9) -> Any:
    """So many whole numbers from low to high - 1, as a list."""
    return torch.randint(low, high, (count,), generator=rng).tolist()


def normal(rng: torch.Generator, *shape: int) -> np.ndarray:
    """A float64 array of normal random numbers."""
    return torch.randn(shape, generator=rng, dtype=torch.float64).numpy()


def fill(module: nn.Module, rng: torch.Generator) -> nn.Module:
    """Give the module's parameters drawn values: of each name the same, whatever other
    parameters there are.
    """
    [drawn] = integers(rng, 1, 0, 1 << 31)
    for name, parameter in module.named_parameters():
        own = torch.Generator().manual_seed(drawn ^ zlib.crc32(name.encode()))
        parameter.data.normal_(generator=own)
    return module


def growth(found: dict[str, Any], sizes: list[int]) -> list[Any]:
    """What measurements come to that are off by some bytes: the sizes, the values in
    units of UNIT bytes, and whether the exponent is that of the values.
    """
    values = np.array(found["values"], dtype=float)
    with np.errstate(all="ignore"):
        covariance = np.cov(np.log(sizes), np.log(values))
        exponent = covariance[0, 1] / covariance[0, 0]
    units = np.round(values / UNIT)
    return [found["sizes"], units, abs(found["exponent"] - exponent) < 1e-6]


def run(text: str, exercise: str, module: ModuleType, seed: int) -> Any:
    """Run the exercise's probe on this module."""
    space = _space(text)
    state.reset(seed)
    return space["PROBES"][exercise](module, torch.Generator().manual_seed(seed))


def second_half(text: str, exercise: str) -> Judge | None:
    """What makes comparable values of the exercise's answers; None where they are
    compared as they are.
    """
    return _space(text).get("JUDGES", {}).get(exercise)


def form(value: Any) -> Any:
    """What a value is without its numbers: containers, kinds of numbers, shapes, and
    whether all are finite.
    """
    match value:
        case dict():
            return {key: form(part) for key, part in value.items()}
        case list() | tuple():
            return type(value)(map(form, value))
        case torch.Tensor() if value.is_meta:
            return "meta", tuple(value.shape)
        case torch.Tensor():
            finite = bool(value.isfinite().all())
            return "tensor", value.is_floating_point(), tuple(value.shape), finite
        case np.ndarray():
            return (
                "array",
                value.dtype.kind,
                value.shape,
                bool(np.isfinite(value).all()),
            )
        case bool() | np.bool():
            return "bool"
        case int() | float() | np.number():
            return "number", bool(np.isfinite(value))
    return type(value).__name__


def _space(text: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "probes"}
    exec(_compiled(text), space)
    return space


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "probes.py", "exec", dont_inherit=True)
