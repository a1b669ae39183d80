"""Probes: short functions that run beside the code in the worker, and beside the reference in the judge.

They ask where specs cannot from another process. The judge compares what both return; the seed is its own.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

Probe = Callable[[ModuleType, torch.Generator], Any]


def probe(exercise: str) -> Callable[[Probe], Probe]:
    """Make a function of the kata's module and a random generator the probe of an exercise.

    It returns plain data, arrays and tensors, which are the same for all right solutions.
    """

    def keep(function: Probe) -> Probe:
        vars_of_file = function.__globals__
        vars_of_file.setdefault("PROBES", {})[exercise] = function
        return function

    return keep


def run(text: str, exercise: str, module: ModuleType, seed: int) -> Any:
    """Run the exercise's probe on this module."""
    space: dict[str, Any] = {"__name__": "probes"}
    exec(compile(text, "probes.py", "exec", dont_inherit=True), space)
    torch.manual_seed(seed)
    return space["PROBES"][exercise](module, torch.Generator().manual_seed(seed))
