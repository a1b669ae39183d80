"""Code for a GPU: where things live, when memory is free, when gradients are scaled,
when the clock may be read.

Everything that touches a device can be handed in as an argument, so all of this runs
and is judged without one.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn


def select_device(
    preferred: str | None = None,
    *,
    cuda_available: Callable[[], bool] | None = None,
    mps_available: Callable[[], bool] | None = None,
) -> torch.device:
    """The device to work on: the one wished for, or the best there is."""
    has_cuda = (cuda_available or torch.cuda.is_available)()
    has_mps = (mps_available or torch.backends.mps.is_available)()
    if preferred is None or preferred == "auto":
        return torch.device("cuda" if has_cuda else "mps" if has_mps else "cpu")
    device = torch.device(preferred)
    if (device.type == "cuda" and not has_cuda) or (
        device.type == "mps" and not has_mps
    ):
        raise ValueError(f"{preferred} is not available")
    return device


def move_to(obj: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """A batch, however it is nested, with everything that can move on
    another device.
    """

    def move(part):
        return move_to(part, device, non_blocking=non_blocking)

    if hasattr(obj, "to"):
        return obj.to(device, non_blocking=non_blocking)
    if isinstance(obj, dict):
        return type(obj)((key, move(value)) for key, value in obj.items())
    if isinstance(obj, tuple) and hasattr(obj, "_fields"):  # a namedtuple
        return type(obj)(*map(move, obj))
    if isinstance(obj, (list, tuple)):
        return type(obj)(map(move, obj))
    return obj


def accumulated_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    accumulation_steps: int,
    *,
    device: torch.device | str = "cpu",
) -> list[float]:
    """Train for one epoch, with one optimizer step per window of several batches: large
    batches for little memory.
    """
    model.train()
    batches = iter(loader)
    losses = []
    while window := list(islice(batches, accumulation_steps)):
        rows = sum(len(inputs) for inputs, _ in window)
        total = 0.0
        optimizer.zero_grad()
        for inputs, targets in window:
            loss = (
                loss_fn(model(inputs.to(device)), targets.to(device))
                * len(inputs)
                / rows
            )
            loss.backward()
            total += loss.item()
        optimizer.step()
        losses.append(total)
    return losses


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
    """One training step in mixed precision: matrix products in half precision, weights
    and update in float32.
    """
    optimizer.zero_grad()
    with torch.autocast(device_type, dtype=dtype):
        loss = loss_fn(model(inputs), targets)
    if scaler is None:
        loss.backward()
    else:
        scaler.scale(loss).backward()
    if max_grad_norm is not None:
        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    if scaler is None:
        optimizer.step()
    else:
        scaler.step(optimizer)
        scaler.update()
    return loss.item()


def is_out_of_memory(error: BaseException) -> bool:
    """Tell if an error means that a device ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "out of memory" in str(error)


def accumulate_gradients(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    micro_batch_size: int,
) -> float:
    """Forward and backward of a whole batch, a few rows at a time."""
    total = 0.0
    for x, y in zip(inputs.split(micro_batch_size), targets.split(micro_batch_size)):
        loss = loss_fn(model(x), y) * len(x) / len(inputs)
        loss.backward()
        total += loss.item()
    return total


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
    """One optimizer step on a batch, in pieces that are halved until they fit
    into memory.
    """
    size = min(micro_batch_size or len(inputs), len(inputs))
    while True:
        optimizer.zero_grad()
        try:
            loss = accumulate_gradients(model, inputs, targets, loss_fn, size)
            optimizer.step()
            return loss, size
        except RuntimeError as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        # Outside of the except block: by now the error is gone, and with it all that it
        # held on to.
        optimizer.zero_grad()
        (empty_cache or torch.cuda.empty_cache)()
        size //= 2


def profile_empty_cache(
    build: Callable[[], object], *, cuda: Any = None
) -> list[dict[str, Any]]:
    """Measure the memory of a GPU while something is built and let go."""
    if cuda is None:
        cuda = torch.cuda
    stages = []

    def note(stage):
        cuda.synchronize()
        stages.append(
            {
                "stage": stage,
                "allocated": cuda.memory_allocated(),
                "reserved": cuda.memory_reserved(),
            }
        )

    note("start")
    result = build()
    note("allocated")
    del result
    note("deleted")
    cuda.empty_cache()
    note("emptied")
    return stages


def benchmark(
    fn: Callable[[], object],
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[], None] | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Time one call of a function, the work that it starts on a device included."""
    if synchronize is None:
        synchronize = lambda: None
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        synchronize()
        start = timer()
        fn()
        synchronize()
        times.append(timer() - start)
    return {
        "times": times,
        "min": min(times),
        "mean": statistics.mean(times),
        "median": statistics.median(times),
    }


def wait_for(device: torch.device) -> None:
    """Wait until all work started on a device is done. The CPU works while it is
    called: nothing to wait for.
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
    """Compare the speed of each device with the first one's, on the same work."""
    medians = {}
    for name in devices:
        device = torch.device(name)
        fn = make_workload(device)
        result = benchmark(
            fn,
            warmup=warmup,
            repeats=repeats,
            synchronize=lambda: synchronize(device),
            timer=timer,
        )
        medians[str(device)] = result["median"]
    first = next(iter(medians.values()))
    return {
        name: {"median": median, "speedup": first / median}
        for name, median in medians.items()
    }
