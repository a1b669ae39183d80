"""What needs private names of torch, written for torch 2.10 to 2.15."""

import functools
import gc
import sys
from types import FunctionType
from typing import Any

import torch

COMPILER = "torch._dynamo"
MARK = "__dynamo_disable"  # the attribute where a function keeps its marked version


def import_compiler_late() -> None:
    """Keep optimizers and the meta device from importing torch's compiler, which takes
    more than a second.

    Torch excludes some of its own functions from compilation. The first call of such a
    function imports the compiler, only to mark the function. Until something else
    imports the compiler, these functions now run unmarked.
    """
    if COMPILER in sys.modules:
        return
    # shared by all wrappers that mark a function
    code = torch._disable_dynamo(import_compiler_late).__code__
    for wrapper in gc.get_referrers(code):
        if isinstance(wrapper, FunctionType) and wrapper.__closure__:
            function = wrapper.__closure__[code.co_freevars.index("fn")].cell_contents
            setattr(function, MARK, _unmarked(function, wrapper))
    for optimizer in vars(torch.optim).values():
        step = vars(optimizer).get("step") if isinstance(optimizer, type) else None
        if isinstance(step, FunctionType) and step.__code__.co_name == "_use_grad":
            optimizer.step = _without_graph_breaks(step)


def _unmarked(function: FunctionType, wrapper: FunctionType) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        if COMPILER not in sys.modules:
            return function(*args, **kwargs)
        vars(function).pop(MARK, None)
        return wrapper(*args, **kwargs)

    return run


def _without_graph_breaks(step: Any) -> Any:
    """An optimizer's `step`. Torch's own asks the compiler to stop compiling there, and
    imports it to do so.
    """

    @functools.wraps(step)
    def run(self: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
        if COMPILER in sys.modules:
            return step(self, *args, **kwargs)
        with torch.set_grad_enabled(self.defaults["differentiable"]):
            return step.__wrapped__(self, *args, **kwargs)

    return run
