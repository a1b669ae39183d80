"""The global state that every spec starts from."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

# gradients, default dtype, autocast and its dtype
Modes = tuple[bool, torch.dtype, bool, torch.dtype]


def modes() -> Modes:
    """The modes of this thread that change what an operation gives."""
    autocast = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    return torch.is_grad_enabled(), torch.get_default_dtype(), *autocast


def enter(wanted: Modes) -> None:
    """Take over these modes."""
    if wanted != modes():
        gradients, dtype, autocast, autocast_dtype = wanted
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        torch.set_autocast_enabled("cpu", autocast)
        torch.set_autocast_dtype("cpu", autocast_dtype)


@contextmanager
def others(wanted: Modes) -> Iterator[None]:
    """Have these modes inside the block, and those from before it afterwards."""
    before = modes()
    try:
        enter(wanted)
        yield
    finally:
        enter(before)


def reset(seed: int) -> None:
    """Reset the global state, so that every spec starts from the same one."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)
    # the setter imports modules for a second
    if torch.are_deterministic_algorithms_enabled():
        torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.set_float32_matmul_precision("highest")
