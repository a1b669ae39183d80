"""Kernels on a real device: `TRITON_INTERPRET=0 pytest katas/kernels/01` asks the same
specs there.

What kernels move is not counted, and views with gaps arrive without them: that is
judged on Triton's interpreter.
"""

from types import ModuleType
from typing import Any, cast

import pytest
import torch

from grader import kernels
from grader.course.catalogue import Kata
from grader.specs import check

LEAST = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}


def is_asked_for(kata: Kata) -> bool:
    return "triton" in kata.description.needs and kernels.run_on_a_device()


def prepare(spec: pytest.Item) -> None:
    """Make a spec one for a device, with tolerances above what devices differ by."""
    spec.add_marker(pytest.mark.gpu)
    check.least.update(LEAST)


class OnDevice:
    """A kata's module, or what is in it: a call's tensors go to the device, and its
    results come back.
    """

    def __init__(self, what: Any, device: str = "cuda"):
        self.what, self.device = what, device

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.what, name)
        return OnDevice(found, self.device) if callable(found) else found

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with torch.device(self.device):  # where torch.empty takes memory
            found = self.what(*_at(self.device, arguments), **_at(self.device, options))
        return OnDevice(found, self.device) if callable(found) else _at("cpu", found)


def module_of(kata: Kata, module: ModuleType) -> ModuleType:
    """The module as specs call it: on a device, if one is asked for."""
    return cast(ModuleType, OnDevice(module)) if is_asked_for(kata) else module


def _at(device: str, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value if value.is_meta else value.to(device)
    if isinstance(value, (tuple, list)):
        return type(value)(_at(device, part) for part in value)
    return (
        {name: _at(device, part) for name, part in value.items()}
        if isinstance(value, dict)
        else value
    )
