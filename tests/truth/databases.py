"""PyTorch's own test databases: the one place with names of `torch.testing._internal`,
which any release may change.

They need the package expecttest.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db

Call = tuple[tuple, dict[str, Any]]


def operator(name: str) -> Iterator[tuple[Any, Call]]:
    """PyTorch's function of this name, and the arguments of each of its samples
    in float64.
    """
    [op, *_] = [op for op in op_db if op.name == name]
    for sample in op.sample_inputs("cpu", torch.float64, requires_grad=True):
        yield op.op, ((sample.input, *sample.args), sample.kwargs)


def module(name: str) -> Iterator[tuple[type, Call, Call]]:
    """PyTorch's class of this name, and for each of its samples what the constructor
    and `forward` get.
    """
    [info] = [info for info in module_db if info.name == name]
    for training in (True, False):
        samples = info.module_inputs_func(
            info, "cpu", torch.float64, requires_grad=True, training=training
        )
        for sample in samples:
            made, called = sample.constructor_input, sample.forward_input
            yield (
                info.module_cls,
                (made.args, made.kwargs),
                (called.args, called.kwargs),
            )


def optimizer(name: str) -> Iterator[tuple[type, dict[str, Any]]]:
    """PyTorch's optimizer of this name, and the settings of each of its samples."""
    [info] = [info for info in optim_db if info.optim_cls.__name__ == name]
    for sample in info.optim_inputs_func(device="cpu"):
        yield info.optim_cls, sample.kwargs
