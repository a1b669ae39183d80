"""Code for a GPU: where things live, when memory is free, when gradients are scaled,
when the clock may be read.

Everything that touches a device can be passed in as an argument, so all of this runs
and is judged without a GPU.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def select_device(
    preferred: str | None = None,
    *,
    cuda_available: Callable[[], bool] | None = None,
    mps_available: Callable[[], bool] | None = None,
) -> torch.device:
    """Choose the device to work on: the preferred one, or the best of this machine.

    Args:
        preferred: "cpu", "cuda", "cuda:1", "mps"; None or "auto" for the best.
        cuda_available: tells whether there is a CUDA GPU. None:
            `torch.cuda.is_available`.
        mps_available: tells whether there is an Apple GPU. None:
            `torch.backends.mps.is_available`.
    Returns:
        The best: cuda if available, else mps if available, else cpu.
        A preferred device: that device, index included. The CPU is always available.

    A preferred device whose kind is not available is an error (ValueError), never
    another device.
    Ask the machine in every call: look the default functions up in the body.

    Edge cases ★
        The error's message holds the text of `preferred`. Text that names no device is
        an error, too. So is any other kind of device, such as "meta".
    """
    raise NotImplementedError


def move_to(obj: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """Move a batch to a device, however it is nested.

    Args:
        obj: anything.
        device: the target.
        non_blocking: passed on to every `.to`. With True, a copy from pinned memory
            runs beside other work.
    Returns:
        - an object with a `.to` method (tensor, module, PackedSequence, your own batch
          class): the result of `obj.to(device, non_blocking=non_blocking)`
        - a dict, list or tuple: a new one of the same type with its contents moved, at
          any depth
        - anything else (None, numbers, text, dtypes): `obj` itself

    The containers passed in are not changed.

    Edge cases ★
        An OrderedDict and a namedtuple keep their class, too.
    """
    raise NotImplementedError


def accumulated_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    accumulation_steps: int,
    *,
    device: torch.device | str = "cpu",
) -> list[float]:
    """Train for one epoch with one optimizer step per window of several batches.

    Args:
        model: is on `device`, and is put into train mode.
        loader: batches (inputs, targets). Their sizes, len(inputs), may differ.
        loss_fn: of outputs and targets, the mean over the batch.
        accumulation_steps: batches per window. A shorter last window gets its
            step, too.
        device: where each batch is moved.
    Returns:
        The mean loss per sample of each window, as floats: three of them for seven
        batches in windows of 3.

    Each step equals one step on the window's batches joined: in a window of sizes 4 and
    2 the losses count 4/6 and 2/6. Each batch has its own forward and backward pass, so
    only one graph at a time is alive.

    Edge cases ★
        Gradients left in `.grad` before the call have no influence. The loader may be a
        generator. An empty loader gives [] and no step. `accumulation_steps` below 1 is
        an error.
    """
    raise NotImplementedError


def amp_train_step(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    scaler: Any = None,
    device_type: str = "cuda",
    dtype: torch.dtype = torch.float16,
    max_grad_norm: float | None = None,
) -> float:
    """Take one training step in mixed precision: products in half precision, weights
    and update in float32.

    Args:
        scaler: a `torch.amp.GradScaler`, or anything with its `scale`, `unscale_`,
            `step` and `update`. None for bfloat16, which needs no scaler.
        device_type, dtype: for `torch.autocast`.
        max_grad_norm: the limit for the norm of all gradients together; None: do
            not clip.
    Returns:
        The loss as a float, without the scaler's factor.

    1. Forward and loss run under autocast, nothing else does.
    2. Backward, of the scaled loss if there is a scaler.
    3. To clip: divide the scaler's factor out first (`unscale_`).
    4. `scaler.step(optimizer)` in place of `optimizer.step()`: it skips the step if a
       gradient is infinite. Then `scaler.update()`.

    Edge cases ★
        Gradients left in `.grad` before the call have no influence.
    """
    raise NotImplementedError


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that a device has run out of memory.

    Args:
        error: any exception.
    Returns:
        True for a `torch.OutOfMemoryError`, whatever it says, and for any RuntimeError
        whose text contains "out of memory". False otherwise.
    """
    raise NotImplementedError


def accumulate_gradients(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    micro_batch_size: int,
) -> float:
    """Run forward and backward for a whole batch, a few rows at a time.

    Args:
        inputs, targets: the batch, rows along the first dimension.
        loss_fn: of outputs and targets, the mean over the rows.
        micro_batch_size: rows per piece. The last piece is shorter where it does not
            divide the batch.
    Returns:
        The mean loss per row of the batch, as a float.

    The gradients of the batch's mean loss are added to `.grad`: 11 rows as 4 + 4 + 3
    count 4/11, 4/11 and 3/11.
    Each piece goes forward and backward before the next one goes forward.
    """
    raise NotImplementedError


def oom_safe_step(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    micro_batch_size: int | None = None,
    empty_cache: Callable[[], None] | None = None,
) -> tuple[float, int]:
    """Take one optimizer step on a batch, in pieces that are halved until they fit
    into memory.

    Args:
        model: without BatchNorm.
        micro_batch_size: the rows to try first; None, or more than the batch has: all
            of them.
        empty_cache: gives freed memory back to the device. None:
            `torch.cuda.empty_cache`.
    Returns:
        The mean loss per row, as a float, and the size that worked.

    If memory runs out in any piece, forward or backward: drop the gradients, call
    `empty_cache` once, halve the size (`size // 2`) and start again at the first row.
    With room for 3 rows, try 11 rows as 11, 5, then 2 2 2 2 2 1.
    When `empty_cache` runs, no tensor of the failed attempt is alive: leave the
    `except` block first, because a caught exception keeps every stack frame and its
    tensors alive. All other errors propagate at once.

    Edge cases ★
        Gradients left in `.grad` before the call have no influence. If not even one row
        fits, the out-of-memory error propagates: weights are as before, gradients None
        or zero. An empty batch or a `micro_batch_size` below 1 is an error.
    """
    raise NotImplementedError


def profile_empty_cache(
    build: Callable[[], object], *, cuda: Any = None
) -> list[dict[str, Any]]:
    """Record a GPU's memory while something is built, deleted, and given back.

    Args:
        build: makes the object to measure, and returns it.
        cuda: has `synchronize()`, `memory_allocated()`, `memory_reserved()`,
            `empty_cache()`; None: `torch.cuda`.
    Returns:
        Four dicts with the keys "stage", "allocated" and "reserved" (bytes), for
        these stages:

        - "start": before anything
        - "allocated": after `build()`, while its result is alive
        - "deleted": when its result is gone
        - "emptied": after `empty_cache()`

    Call `synchronize` before the readings of each stage: Python runs ahead of a GPU.

    Edge cases ★
        `cuda=None` without a CUDA device is an error that mentions CUDA.
    """
    raise NotImplementedError


def benchmark(
    fn: Callable[[], object],
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[], None] | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Time a function call, including the work that it starts on a device.

    Args:
        fn: the function to measure.
        warmup: calls before the measurement. The first calls are slower: they compile
            and allocate.
        repeats: calls that are measured, one by one.
        synchronize: waits until all work started so far is done; None: there is nothing
            to wait for.
        timer: the clock, in seconds.
    Returns:
        "times", a list of `repeats` floats in the order of the calls, and their "min",
        "mean" and "median". The median of an even number of times is the mean of the
        middle two.

    Whenever `timer` is read, `synchronize` has been called since the last call of `fn`,
    warm-up included.

    Edge cases ★
        `repeats` below 1 and `warmup` below 0 are errors.
    """
    raise NotImplementedError


def wait_for(device: torch.device) -> None:
    """Wait until all work started on a device is done. On the CPU a call returns when
    its work is done.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def compare_devices(
    make_workload: Callable[[torch.device], Callable[[], object]],
    devices: Sequence[str | torch.device],
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[torch.device], None] = wait_for,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, dict[str, float]]:
    """Time the same work on several devices, and compare each with the first.

    Args:
        make_workload: given a torch.device, sets the work up there and returns the
            function to measure. Called once per device, outside the measurement.
        devices: as text or torch.device.
        warmup, repeats, timer: as in `benchmark`.
        synchronize: given the torch.device being measured, waits for it.
    Returns:
        Per device, under `str(device)` and in the order given: "median", the median
        seconds per call, and "speedup", the median of the first device / this median. A
        speedup of 4.0 means a quarter of the first device's time.

    Edge cases ★
        An empty `devices` is an error.
    """
    raise NotImplementedError
