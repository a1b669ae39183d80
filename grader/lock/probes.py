"""Probes: short functions that the judge runs on the code, which is in another process,
and on the reference.

They ask what specs cannot ask from there. The judge compares what both return; the seed
is its own.
"""

import functools
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

import cloudpickle  # type: ignore[import-untyped]
import torch

from grader.lock.mirrors import RemoteModule

Probe = Callable[[ModuleType, torch.Generator], Any]


def probe(exercise: str) -> Callable[[Probe], Probe]:
    """Make a function of the kata's module and a random generator the probe of
    an exercise.

    It returns plain data, arrays and tensors, which are the same for all right
    solutions and others for another seed.
    """

    def keep(function: Probe) -> Probe:
        function.__globals__.setdefault("PROBES", {})[exercise] = function
        return function

    return keep


def there(kata: ModuleType, function: Callable[..., Any], /, *arguments: Any) -> Any:
    """Call `function(kata, *arguments)` where the code is: to set up what does not
    cross, or to look at it.

    Code under test could see the function and change what it returns, so that depends
    on what was drawn here.
    """
    if not isinstance(kata, RemoteModule):
        return function(kata, *arguments)
    return kata._remote("there", cloudpickle.dumps(function), *arguments)


def run(text: str, exercise: str, module: ModuleType, seed: int) -> Any:
    """Run the exercise's probe on this module."""
    space: dict[str, Any] = {"__name__": "probes"}
    exec(_compiled(text), space)
    # torch.manual_seed notes for other devices who has called it
    torch.default_generator.manual_seed(seed)
    return space["PROBES"][exercise](module, torch.Generator().manual_seed(seed))


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "probes.py", "exec", dont_inherit=True)
