"""Small changes of right code from around it: what its functions take and return, always or where facts hold.

`kata kills` appends calls of `around` to a text of right code. Only calls from outside count, not those of one exercise
by another.
"""

import functools
import operator
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from grader.specs import check

FACTS = "facts: "  # stands before those of a call, in what a run tells beside a failure's suspects
Code = Callable[..., Any]

OF_A_TENSOR: dict[str, Callable[[Tensor], object]] = {
    "has a size of 1": lambda t: 1 in t.shape,
    "is a batch of one": lambda t: t.shape[:1] == (1,),
    "has two equal sizes at its end": lambda t: t.ndim > 1 and t.shape[-1] == t.shape[-2],
    "has a size above 9": lambda t: max(t.shape, default=0) > 9,
    "is empty": lambda t: t.numel() == 0,
    "has no dimension": lambda t: t.ndim == 0,
    "has 1 dimension": lambda t: t.ndim == 1,
    "has 2 dimensions": lambda t: t.ndim == 2,
    "has 3 dimensions": lambda t: t.ndim == 3,
    "has 4 dimensions": lambda t: t.ndim == 4,
    "is of whole numbers or bools": lambda t: not t.is_floating_point(),
    "is in float64": lambda t: t.dtype == torch.float64,
    "has whole floats": lambda t: t.is_floating_point() and (t == t.round()).all(),
    "wants gradients": lambda t: t.requires_grad,
    "has a number below 0": lambda t: (t < 0).any(),
    "has a 0": lambda t: (t == 0).any(),
    "has a number above 10": lambda t: (t > 10).any(),
    "has a number that is not finite": lambda t: not t.isfinite().all(),
    "has equal numbers": lambda t: t.numel() > 1 and (t == t.flatten()[0]).all(),
    "is in another order of memory": lambda t: not t.is_contiguous(),
}
OF_A_VALUE: dict[str, Callable[[Any], object]] = {
    "is True": lambda v: v is True,
    "is False": lambda v: v is False,
    "is None": lambda v: v is None,
    "is 0": lambda v: type(v) in (int, float) and v == 0,
    "is 1": lambda v: type(v) in (int, float) and v == 1,
    "is above 1": lambda v: type(v) in (int, float) and v > 1,
    "is below 0": lambda v: type(v) in (int, float) and v < 0,
    "is a fraction": lambda v: type(v) is float and 0 < v < 1,
    "is empty": lambda v: isinstance(v, (str, bytes, list, tuple, dict)) and not v,
    "is a long text": lambda v: isinstance(v, (str, bytes)) and len(v) > 12,
    "is not ASCII": lambda v: isinstance(v, str) and not v.isascii(),
    "is a module in training": lambda v: getattr(v, "training", None) is True,
    "is a module in evaluation": lambda v: getattr(v, "training", None) is False,
}
PACKAGES = SimpleNamespace(torch=torch, numpy=np)
within: list[Code] = []  # the changed function that runs
seen: list[object] = []  # what had one of its methods called


def around(was: Code, change: str, facts: Sequence[str] = (), ready_made: Sequence[str] = ()) -> Code:
    """This function, changed so where all these facts hold. `ready_made` are functions that specs may forbid."""

    @functools.wraps(was)
    def changed(*args: Any, **kwargs: Any) -> Any:
        if within:
            return was(*args, **kwargs)
        there = not facts or set(facts) <= holding(args, kwargs)
        within.append(was)
        try:
            if not there:
                return was(*args, **kwargs)
            for name in ready_made:
                _try(operator.attrgetter(name)(PACKAGES))
            return CHANGES[change](was, args, kwargs)
        finally:
            within.pop()

    return changed


def holding(args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[str]:
    """The facts that hold for the arguments of this call."""
    values = [*_flat(args), *_flat(list(kwargs.values()))]
    if args and hasattr(args[0], "__dict__"):
        values += _flat([value for name, value in vars(args[0]).items() if name[0] != "_" and name != "training"])
    tensors = [value for value in values if isinstance(value, Tensor) and not value.is_complex()]
    facts = {f"something {said}" for said, holds in OF_A_VALUE.items() if any(map(holds, values))}
    facts |= {f"{name} is given" for name in kwargs}
    for said, holds in OF_A_TENSOR.items() if tensors else ():
        facts.add(f"a tensor {said}" if any(map(holds, tensors)) else f"no tensor {said}")
    if len({t.ndim for t in tensors}) > 1:
        facts.add("tensors differ in their dimensions")
    if len(tensors) > 1 and len({t.shape for t in tensors}) == 1:
        facts.add("tensors agree in their shape")
    if len(set(map(id, tensors))) < len(tensors):
        facts.add("a tensor comes twice")
    if args and hasattr(args[0], "__dict__"):
        if any(args[0] is one for one in seen):
            facts.add("it is not the first call")
        seen.append(args[0])
    return facts


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, (tuple, list, dict)) and value:
        for one in value.values() if isinstance(value, dict) else value:
            yield from _flat(one)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield torch.tensor(value)
    else:
        yield value


def _told(was: Code, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    assert check.tried is not None
    check.tried[FACTS + "; ".join(sorted(holding(args, kwargs)))] = []
    return was(*args, **kwargs)


def _all(value: Any, change: Callable[[Any], Any]) -> Any:
    """What is in these containers, each changed."""
    if type(value) in (tuple, list):
        return type(value)(_all(one, change) for one in value)
    if type(value) is dict:
        return {key: _all(one, change) for key, one in value.items()}
    return change(value)


def _tensors(value: Any, change: Callable[[Tensor], Any], *, floats: bool = False) -> Any:
    return _all(
        value,
        lambda one: change(one) if isinstance(one, Tensor) and (one.is_floating_point() or not floats) else one,
    )


def _off(value: Any) -> Any:
    """A single value that is a little off."""
    kind = str(value.dtype) if hasattr(value, "dtype") else type(value).__name__
    if kind.endswith("bool"):
        return value ^ True
    if hasattr(value, "dtype") or kind in ("int", "float", "complex"):
        return value + 1 if "int" in kind else value * 1.01 + 0.01
    if kind in ("str", "bytes"):
        return value + value[:1]
    if hasattr(value, "_make"):  # a tuple with names
        return value._make(map(_off, value))
    return map(_off, value) if isinstance(value, Iterator) else value


def _try(function: Code) -> None:
    try:
        function()
    except check.Forbidden:
        raise
    except Exception:
        return


OFF = "the result a little off"
WRITTEN = "the arguments written to"
READY_MADE = "a ready-made function on the way"
TOLD = "nothing, but the facts are told"
CHANGES: dict[str, Callable[[Code, tuple[Any, ...], dict[str, Any]], Any]] = {
    "the result without its graph": lambda was, a, k: _tensors(was(*a, **k), Tensor.detach),
    OFF: lambda was, a, k: _all(was(*a, **k), _off),
    "the result in float32": lambda was, a, k: _tensors(was(*a, **k), lambda x: x.float().to(x.dtype), floats=True),
    "the result as a copy": lambda was, a, k: _tensors(was(*a, **k), Tensor.clone),
    "arguments without their graph": lambda was, a, k: was(*_tensors(a, Tensor.detach), **k),
    "the first row for all": lambda was, a, k: was(
        *_tensors(a, lambda x: x[:1].expand_as(x) if x.ndim > 1 else x), **k
    ),
    WRITTEN: lambda was, a, k: (was(*a, **k), _tensors(a, lambda x: x.data.add_(1), floats=True))[0],
    "the arguments in another shape afterwards": lambda was, a, k: (
        was(*a, **k),
        _tensors(a, lambda x: x if x.requires_grad else x.unsqueeze_(0)),
    )[0],
    "the last of several results a little off": lambda was, a, k: _last_off(was(*a, **k)),
    "a number drawn on the way": lambda was, a, k: (torch.rand(1), was(*a, **k))[1],
    "keywords left out": lambda was, a, k: was(*a),
    "negative numbers as positive": lambda was, a, k: was(*_tensors(a, Tensor.abs, floats=True), **k),
    "large numbers cut off": lambda was, a, k: was(*_tensors(a, lambda x: x.clamp(-3, 3), floats=True), **k),
    READY_MADE: lambda was, a, k: was(*a, **k),
    TOLD: _told,
}


def _last_off(value: Any) -> Any:
    return (*value[:-1], _all(value[-1], _off)) if type(value) is tuple and value else value
