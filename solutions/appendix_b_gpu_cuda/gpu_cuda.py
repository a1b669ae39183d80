"""Code for a GPU: where things live, when memory is free, when gradients are scaled, when the clock may be read.

Everything that touches a device can be handed in as an argument, so all of this runs and is judged without one.
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
    """The device to work on: the one wished for, or the best there is.

    Args:
        preferred: None or "auto" for the best there is. Otherwise a device as text: "cpu", "cuda", "cuda:1", "mps".
        cuda_available: answers whether there is a CUDA GPU. None: `torch.cuda.is_available`.
        mps_available: answers whether there is an Apple GPU. None: `torch.backends.mps.is_available`.
    Returns:
        For None and "auto": torch.device("cuda") if there is one, else torch.device("mps") if there is one, else
        torch.device("cpu"). For a wish: that device as it was given, index included, if its kind is available. The CPU
        always is.

    The machine is asked in every call, not once when this module is loaded.

    Raises:
        ValueError: the wish is not available, or is no device of the kinds cpu, cuda and mps. The message holds its
            text.
    """
    available = {
        "cuda": torch.cuda.is_available if cuda_available is None else cuda_available,
        "mps": torch.backends.mps.is_available if mps_available is None else mps_available,
        "cpu": lambda: True,
    }
    if preferred is None or preferred == "auto":
        return torch.device(next(kind for kind, is_there in available.items() if is_there()))
    try:
        device = torch.device(preferred)
    except RuntimeError:
        raise ValueError(f"{preferred!r} is no device") from None
    if device.type not in available:
        raise ValueError(f"{preferred!r} is none of the kinds {sorted(available)}")
    if not available[device.type]():
        raise ValueError(f"there is no {preferred!r} on this machine")
    return device


def move_to(obj: Any, device: torch.device | str, *, non_blocking: bool = False) -> Any:
    """A batch, however it is nested, with everything that can move on another device.

    Args:
        obj: anything.
        device: where to.
        non_blocking: passed on to every `.to`. True lets the copy of a tensor in pinned memory run beside other work.
    Returns:
        - for an object with a `.to` method (a tensor, a module, a PackedSequence, a batch class of your own): the
          result of `obj.to(device, non_blocking=non_blocking)`. So a tensor that is there already comes back itself,
          and a module too: it moves in place.
        - for a dict, OrderedDict, list, tuple or namedtuple: a new one of the same type, its contents moved in the same
          way, at any depth. Keys stay as they are, and so does their order.
        - for anything else (None, numbers, text, dtypes): obj itself.

    The containers given are not changed: the caller may need the batch where it was.
    """
    if hasattr(obj, "to"):
        return obj.to(device, non_blocking=non_blocking)
    if isinstance(obj, dict):
        return type(obj)({key: move_to(value, device, non_blocking=non_blocking) for key, value in obj.items()})
    if isinstance(obj, (list, tuple)):
        moved = [move_to(value, device, non_blocking=non_blocking) for value in obj]
        return type(obj)(*moved) if hasattr(obj, "_fields") else type(obj)(moved)
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
    """Train for one epoch, with one optimizer step per window of several batches: large batches for little memory.

    Args:
        model: lies on `device`. It is put into train mode.
        loader: (inputs, targets) batches of tensors, in anything that can be looped over once. Their sizes,
            len(inputs), may differ.
        loss_fn: of outputs and targets, the mean over the batch.
        optimizer: of the model's parameters.
        accumulation_steps: how many batches make a window. What is left over at the end is a shorter last window, and
            gets its step, too.
        device: where each batch is moved before the forward pass.
    Returns:
        For each window its mean loss per sample, as a float. Seven batches in windows of 3 give three. [] without
        batches.

    Each step equals, up to rounding, the one step that the batches of its window would give as a single batch. With
    sizes 4 and 2 the gradient of the first loss counts 4/6 and that of the second 2/6. One graph at a time is alive:
    each batch has its own backward pass.

    Gradients that lie in `.grad` beforehand have no influence, and nothing leaks from one call into the next.

    Raises:
        ValueError: accumulation_steps < 1.
    """
    if accumulation_steps < 1:
        raise ValueError(f"accumulation_steps should be at least 1, not {accumulation_steps}")
    model.train()
    batches = iter(loader)
    losses = []
    while window := list(islice(batches, accumulation_steps)):
        samples = sum(len(inputs) for inputs, _ in window)
        optimizer.zero_grad()
        window_loss = 0.0
        for inputs, targets in window:
            loss = loss_fn(model(inputs.to(device)), targets.to(device)) * (len(inputs) / samples)
            loss.backward()
            window_loss += loss.item()
        optimizer.step()
        losses.append(window_loss)
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
    """One training step in mixed precision: matrix products in half precision, weights and update in float32.

    Args:
        model, inputs, targets: all on one device.
        loss_fn: of outputs and targets.
        optimizer: of the model's parameters.
        scaler: a `torch.amp.GradScaler`, or anything with its methods `scale`, `unscale_`, `step` and `update`. float16
            needs one: gradients below 6e-8 would become 0. None for bfloat16 and float32, which reach as low as needed.
        device_type, dtype: what `torch.autocast` is given.
        max_grad_norm: clip the norm of all gradients of the model, taken as one vector, to this; None: do not clip.
    Returns:
        The loss as a float, without the factor of the scaler.

    The order matters:

    1. forward and loss under autocast, and nothing else: the backward pass chooses the dtypes that the forward used
    2. backward, of the scaled loss if there is a scaler
    3. to clip: first divide the scaler's factor out of the gradients (`unscale_`), or the limit means something else
    4. the step: `scaler.step(optimizer)`, once, in place of `optimizer.step()`, for it leaves the step out where a
       gradient is infinite or NaN; without scaler `optimizer.step()`
    5. `scaler.update()`: a smaller factor after a step left out, a larger one after many that went well

    The model's weights remain float32. Gradients that lie in `.grad` beforehand have no influence.
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
    """One optimizer step on a batch, in pieces that are halved until they fit into memory.

    Args:
        model: without BatchNorm, whose statistics would depend on the pieces.
        inputs, targets: the batch, rows along the first dimension.
        loss_fn: of outputs and targets, the mean over the rows.
        optimizer: of the model's parameters.
        micro_batch_size: how many rows to try first; None, or more than there are: all of them.
        empty_cache: gives freed memory back to the device. None: `torch.cuda.empty_cache`.
    Returns:
        The mean loss per row, as a float, and the size that worked.

    The batch is taken in its order, `size` rows at a time, the last piece shorter where it does not divide. Where
    memory runs out in any piece, forward or backward, the attempt is over: drop the gradients so far, call
    `empty_cache` once, halve the size (`size // 2`) and start again at the first row. So 11 rows, where no more than 3
    fit, are tried as 11, then 5, then 2 2 2 2 2 1. The update equals, up to rounding, that of the whole batch at once,
    wherever memory ran out and whatever lay in `.grad` beforehand.

    When `empty_cache` is called, nothing of the failed attempt is alive: no activation, no output, no loss. (A caught
    error holds on to its traceback, that to the frames of the calls, and these to every tensor in them.)

    Out of memory is a `torch.OutOfMemoryError`, whatever it says, or any RuntimeError whose text has "out of memory".
    All other errors propagate at once, and nothing is tried again.

    Raises:
        ValueError: the batch is empty, or micro_batch_size < 1.
        RuntimeError: not even a single row fits. The text has "out of memory" (torch.OutOfMemoryError is one of them).
            The weights are as before, and no gradients are left (None or zero).
    """
    rows = len(inputs)
    if rows == 0:
        raise ValueError("the batch is empty")
    if micro_batch_size is not None and micro_batch_size < 1:
        raise ValueError(f"micro_batch_size should be at least 1, not {micro_batch_size}")
    size = rows if micro_batch_size is None else min(micro_batch_size, rows)
    while size >= 1:
        optimizer.zero_grad()
        loss = _accumulate(model, inputs, targets, loss_fn, size)
        if loss is not None:
            optimizer.step()
            return loss, size
        optimizer.zero_grad()
        (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
    raise torch.OutOfMemoryError("out of memory with a single row")


def profile_empty_cache(build: Callable[[], object], *, cuda: Any = None) -> list[dict[str, Any]]:
    """What building something and letting go of it does to the memory of a GPU.

    Args:
        build: makes what is measured, and returns it.
        cuda: has `synchronize()`, `memory_allocated()`, `memory_reserved()` and `empty_cache()`; None: `torch.cuda`.
    Returns:
        Four dicts with the keys "stage", "allocated" and "reserved" (the last two in bytes), for these stages:

        - "start": before anything
        - "allocated": after `build()`, while its result is alive
        - "deleted": once its result is gone
        - "emptied": after `empty_cache()`

    A GPU works on while Python goes ahead, so each stage waits for it (`synchronize`) before it reads.

    "allocated" counts the bytes that live tensors occupy, "reserved" those that PyTorch holds of the device, free
    blocks for later tensors included. To other programs the second number is taken.

    Raises:
        RuntimeError: `cuda` is None and there is no CUDA device. The message says CUDA.
    """
    if cuda is None:
        if not torch.cuda.is_available():
            raise RuntimeError("there is no CUDA device to profile")
        cuda = torch.cuda
    stages = [_memory("start", cuda)]
    result = build()
    stages.append(_memory("allocated", cuda))
    del result
    stages.append(_memory("deleted", cuda))
    cuda.empty_cache()
    stages.append(_memory("emptied", cuda))
    return stages


def benchmark(
    fn: Callable[[], object],
    *,
    warmup: int = 3,
    repeats: int = 10,
    synchronize: Callable[[], None] | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """How long one call of a function takes, the work that it starts on a device included.

    Args:
        fn: what to measure.
        warmup: calls before the measurement. The first ones are slower: kernels are compiled, memory is fetched.
        repeats: calls that are measured, each by itself.
        synchronize: waits until all work started so far is done; None: there is nothing to wait for.
        timer: the clock, in seconds.
    Returns:
        "times", a list of `repeats` floats in the order of the calls, and their "min", "mean" and "median". The median
        of an even number is the mean of the middle two.

    `fn` is called warmup + repeats times. A call that starts work on a GPU returns before that work is done; so
    whenever the timer is read, `synchronize` has been called since the last call of `fn`.

    Raises:
        ValueError: repeats < 1 or warmup < 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"wanted repeats >= 1 and warmup >= 0, not {repeats} and {warmup}")
    wait = synchronize or _nothing
    for _ in range(warmup):
        fn()
    times = []
    for _ in range(repeats):
        wait()
        start = timer()
        fn()
        wait()
        times.append(timer() - start)
    return {"times": times, "min": min(times), "mean": statistics.mean(times), "median": statistics.median(times)}


def wait_for(device: torch.device) -> None:
    """Wait until all work started on a device is done. The CPU works while it is called: nothing to wait for."""
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
    """How much faster than the first device each device does the same work.

    Args:
        make_workload: given a torch.device, sets the work up there (makes the model, moves the data) and returns the
            function to measure. Called once for each device, and not part of the measurement.
        devices: the devices to compare, as text or torch.device.
        warmup, repeats, timer: as in `benchmark`.
        synchronize: waits for the torch.device that it is given; it gets the one that is being measured.
    Returns:
        For each device, under `str(device)` and in the order given, "median": the median seconds of a call, and
        "speedup": the median of the first device / this median. 1.0 for the first; 4.0 means a quarter of its time.

    Raises:
        ValueError: there are no devices.
    """
    if not devices:
        raise ValueError("there are no devices to compare")
    medians = {}
    for device in map(torch.device, devices):
        workload = make_workload(device)
        measured = benchmark(
            workload, warmup=warmup, repeats=repeats, synchronize=lambda on=device: synchronize(on), timer=timer
        )
        medians[str(device)] = measured["median"]
    first = next(iter(medians.values()))
    return {name: {"median": median, "speedup": first / median} for name, median in medians.items()}


def _accumulate(model, inputs: Tensor, targets: Tensor, loss_fn, size: int) -> float | None:
    """Add the gradients of the batch up, `size` rows at a time; the mean loss per row, or None where memory ran out.

    What the attempt made ends with this call: the caught error, too, which would keep it alive.
    """
    total = 0.0
    try:
        for x, y in zip(inputs.split(size), targets.split(size), strict=True):
            loss = loss_fn(model(x), y) * (len(x) / len(inputs))
            loss.backward()
            total += loss.item()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            return None
        raise
    return total


def _memory(stage: str, cuda: Any) -> dict[str, Any]:
    cuda.synchronize()
    return {"stage": stage, "allocated": cuda.memory_allocated(), "reserved": cuda.memory_reserved()}


def _nothing() -> None:
    pass
