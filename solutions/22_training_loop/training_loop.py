"""The training loop and its promises: modes, averages, gradients, stopping in time,
resuming without a trace.

Everywhere in this file a loader is any iterable of batches `(inputs, targets)` of any
sizes: a list, a generator, a DataLoader. `loss_fn(outputs, targets)` returns the mean
over the batch, as a tensor with one element. An average per sample weights each batch
by `len(inputs)`.
"""

import math
import os
import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grader.loading import prerequisite

kata_10 = prerequisite("10_fashionmnist_nn")


def train_one_epoch(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    device: torch.device | str = "cpu",
    max_grad_norm: float | None = None,
    scheduler: Any = None,
) -> float:
    """Train a model on one pass through the data, with one optimizer step per batch.

    Args:
        model: the model, which is on the device already. Put it into train mode in
            every call.
        loader: the batches.
        loss_fn: outputs and targets → the batch's mean loss.
        optimizer: makes one step per batch, along the gradient of that batch alone.
        device: where inputs and targets are moved.
        max_grad_norm: if given, clip the norm of all gradients together to this before
            the step.
        scheduler: if given, call `scheduler.step()` after each optimizer step.
    Returns:
        The mean loss per sample, a Python float, each loss measured before its step.
        Batches of 4, 4 and 3 with mean losses 1, 1 and 4 give (4 + 4 + 12) / 11.

    Edge cases ★
        Whatever lies in `.grad` at the call has no influence. A loss that is NaN or
        infinite is a FloatingPointError with the index of the batch, counted from 0.
        That batch changes no weight and makes no step of optimizer or scheduler. An
        empty loader is an error.
    """
    model.train()
    total, samples = 0.0, 0
    for index, (inputs, targets) in enumerate(loader):
        inputs, targets = inputs.to(device), targets.to(device)
        loss = loss_fn(model(inputs), targets)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(f"the loss of batch {index} is {value}")
        optimizer.zero_grad()
        loss.backward()
        if max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total += value * len(inputs)
        samples += len(inputs)
    if not samples:
        raise ValueError("the loader gave no batch to train on")
    return total / samples


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure a classifier as `evaluate` of 10 does, and leave the mode of every module
    as it was.

    Args:
        model: gives outputs (B, C), one score per class. It is on the device already.
        loader: the batches, with class indices (B,) as targets.
        loss_fn: outputs and targets → the batch's mean loss.
        device: where inputs and targets are moved.
    Returns:
        `{"loss": …, "accuracy": …}`, Python floats per sample that the loader gave, the
        two numbers of 10's `evaluate`.

    Afterwards every module has the `training` flag that it had before: a frozen batch
    norm stays in eval mode.

    Edge cases ★
        The flags come back after an exception, too. An empty loader is an error.
    """
    flags = [(module, module.training) for module in model.modules()]
    moved = ((inputs.to(device), targets.to(device)) for inputs, targets in loader)
    try:
        loss, accuracy = kata_10.evaluate(model, moved, loss_fn)
    finally:
        for module, training in flags:
            module.training = training
    return {"loss": loss, "accuracy": accuracy}


def accumulated_step(
    model: nn.Module,
    micro_batches: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float | None = None,
) -> float:
    """Make one optimizer step out of several micro-batches, as if they were one batch.

    Args:
        model: is trained in the mode it is in. (Batch norm would make it another step:
            its statistics are those of a micro-batch.)
        micro_batches: the parts of the batch.
        loss_fn: outputs and targets → the micro-batch's mean loss.
        optimizer: makes exactly one step.
        max_grad_norm: if given, clip the norm of the whole gradient to this, once,
            before the step.
    Returns:
        The mean loss per sample over all micro-batches, a Python float.

    The step equals the one on the concatenation: each micro-batch weighs as much as it
    has samples. The gradients of one call have no influence on the next. To save
    memory, each micro-batch goes forward and backward before the next.

    Edge cases ★
        Micro-batches may come from a generator. Whatever lies in `.grad` at the first
        call has no influence. Parameters without a gradient stay as they are. No
        micro-batches are an error, and no weight changes.
    """
    optimizer.zero_grad()
    total, samples = 0.0, 0
    for inputs, targets in micro_batches:
        loss = loss_fn(model(inputs), targets) * len(inputs)
        loss.backward()
        total += loss.item()
        samples += len(inputs)
    if not samples:
        raise ValueError("there are no micro-batches to make a step of")
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= samples
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return total / samples


class EarlyStopping:
    """Watch a loss that should fall or an accuracy that should rise, with the
    `EarlyStopping` of 10 inside.

    Args:
        patience: how many epochs in a row may bring no better value. Training stops
            after the last of them.
        min_delta: a value is better if it beats `best` by more than this.
        mode: "min" where less is better, as for a loss; "max" where more is, as for
            an accuracy.
    Attributes:
        best: float, the best value so far; None before there is one.
        best_epoch: int, the index of the call of `step` that had it, counted from 0;
            None before there is one.
        bad_epochs: int, how many calls in a row have had no better value.
        stopper: 10's `EarlyStopping`, which watches a number that should fall and keeps
            the best weights.
    """

    def __init__(self, patience: int = 3, min_delta: float = 0.0, mode: str = "min"):
        if mode not in ("min", "max"):
            raise ValueError(f"mode should be 'min' or 'max', not {mode!r}")
        self.stopper = kata_10.EarlyStopping(patience, min_delta)
        self.mode = mode
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.bad_epochs = 0

    def step(self, value: float, model: nn.Module) -> bool:
        """Take in the value of one more epoch: `stopper` judges it and keeps the
        weights, in either mode.

        Args:
            value: the watched number. `best` is this number as it came, in mode "max"
                as well.
            model: the model after this epoch.
        Returns:
            True if it is time to stop: `bad_epochs` has reached `patience`. With
            patience 2 and mode "max", the accuracies 0.5, 0.8, 0.7, 0.75 end with best
            0.8, best_epoch 1, bad_epochs 2, and stop.

        Edge cases ★
            NaN is never better, not even as the first value, and counts as a bad epoch.
        """
        stop: bool = self.stopper.step(value if self.mode == "min" else -value, model)
        self.bad_epochs = self.stopper.bad_epochs
        if self.bad_epochs == 0:
            self.best, self.best_epoch = value, self.stopper.best_epoch
        return stop

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights of the best epoch."""
        self.stopper.restore(model)


def fit(
    model: nn.Module,
    train_loader: Iterable[tuple[Tensor, Tensor]],
    val_loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    early_stopping: EarlyStopping | None = None,
    scheduler: Any = None,
    max_grad_norm: float | None = None,
    device: torch.device | str = "cpu",
) -> list[dict[str, float]]:
    """Train a classifier for several epochs, measure it after each, and keep the best.

    Args:
        model, loss_fn, optimizer, max_grad_norm, device: as in `train_one_epoch`.
        train_loader: what each epoch trains on.
        val_loader: what the model is evaluated on after each epoch.
        epochs: how many at most.
        early_stopping: if given, call its `step` with the validation loss after each
            epoch, and stop when it says so.
        scheduler: if given, call `scheduler.step()` once per epoch, after its training.
    Returns:
        One dict per epoch, in order: `"epoch"` (int, from 0), `"lr"` (of the
        optimizer's first group, as the epoch used it), `"train_loss"`, `"val_loss"`,
        `"val_accuracy"` (floats).

    With early stopping the model ends up with the weights of the best epoch, whether
    patience or epochs ran out first.

    Edge cases ★
        If no validation loss was usable, `early_stopping.best` is None, and the model
        stays as the last epoch left it.
    """
    history = []
    for epoch in range(epochs):
        lr = optimizer.param_groups[0]["lr"]
        trained = train_one_epoch(
            model,
            train_loader,
            loss_fn,
            optimizer,
            device=device,
            max_grad_norm=max_grad_norm,
        )
        found = evaluate(model, val_loader, loss_fn, device=device)
        history.append(
            {
                "epoch": epoch,
                "lr": lr,
                "train_loss": trained,
                "val_loss": found["loss"],
                "val_accuracy": found["accuracy"],
            }
        )
        if scheduler is not None:
            scheduler.step()
        if early_stopping is not None and early_stopping.step(found["loss"], model):
            break
    if early_stopping is not None and early_stopping.best is not None:
        early_stopping.restore(model)
    return history


def save_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: Any = None,
    scaler: Any = None,
    generators: Mapping[str, torch.Generator] | None = None,
    step: int = 0,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write everything that a run needs to continue later, exactly as if it had not
    been interrupted.

    Args:
        path: the file, str or Path.
        model, optimizer: their state_dicts are saved.
        scheduler, scaler: as well, if given.
        generators: the run's own generators by name.
        step: how far the run has come.
        extra: what else to keep: numbers, strings, tensors, and lists, tuples and dicts
            of these.

    Save the state of torch's global generator, too.
    `torch.load(path, weights_only=True)` must open the file, so it holds plain data and
    no NumPy arrays; its layout is yours. Saving changes nothing in the run.

    Edge cases ★
        The states of Python's `random`, of NumPy's `np.random` and of the CUDA devices
        are saved as well. Saving is atomic: the new file is written in the same folder
        and takes the place of the old one in one step. If saving fails, the error comes
        through and the old file is as it was. No other file is left in the folder.
    """
    kind, keys, *rest = np.random.get_state()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "generators": {
            name: generator.get_state()
            for name, generator in (generators or {}).items()
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "step": step,
        "extra": extra or {},
    }
    if scheduler is not None:
        checkpoint["scheduler"] = scheduler.state_dict()
    if scaler is not None:
        checkpoint["scaler"] = scaler.state_dict()
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        torch.save(checkpoint, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_checkpoint(
    path: str | Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: Any = None,
    scaler: Any = None,
    generators: Mapping[str, torch.Generator] | None = None,
    map_location: Any = "cpu",
) -> dict[str, Any]:
    """Bring a run back to where `save_checkpoint` was called.

    Args:
        path: the file, str or Path.
        model, optimizer: built as they were then; they get their saved states. The
            model keeps its Parameter objects.
        scheduler, scaler: get their saved states, if given.
        generators: each gets the state that was saved under its name.
        map_location: handed to `torch.load`.
    Returns:
        `{"step": …, "extra": …}` as they were saved; extra is {} if there was none.

    Training on is then bitwise the same as without the interruption, so torch's global
    generator gets its state back, too. Ignore what the file holds beyond what is asked
    for. Load with `weights_only=True`: code in a file is not run.

    Edge cases ★
        The generators of `random`, NumPy and the CUDA devices come back, wherever
        map_location puts tensors. A scheduler, scaler or generator that was not saved
        is an error that names it ("scheduler", "scaler", the generator's name), and
        then nothing has been changed. An empty state that was saved is not missing.
    """
    checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    generators = generators or {}
    wanted = {"scheduler": scheduler, "scaler": scaler}
    missing = [
        name
        for name, part in wanted.items()
        if part is not None and name not in checkpoint
    ]
    missing += [name for name in generators if name not in checkpoint["generators"]]
    if missing:
        raise ValueError(f"{path} holds no state for {', '.join(missing)}")
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    for name, part in wanted.items():
        if part is not None:
            part.load_state_dict(checkpoint[name])
    for name, generator in generators.items():
        generator.set_state(checkpoint["generators"][name].cpu())
    torch.set_rng_state(checkpoint["torch"].cpu())
    for index, state in enumerate(checkpoint["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state.cpu(), index)
    random.setstate(checkpoint["python"])
    np.random.set_state(checkpoint["numpy"])
    return {"step": checkpoint["step"], "extra": checkpoint["extra"]}


def gradient_report(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Report the state of each parameter's gradient after a backward pass.

    Returns:
        For every trainable parameter, by name and in the order of
        `model.named_parameters()`, a dict with

        - `"status"`: "missing" if `.grad` is None, "nan" if any element is NaN, "inf"
          if any is infinite, else "ok".
        - `"norm"`: the root of the sum of its squares.
        - `"mean"`, `"std"`: over its elements. Divide by n, not n − 1, so that one
          element has a deviation of 0.0.

        The three numbers are Python floats, and None for a missing gradient. Leave
        frozen parameters out.

    Edge cases ★
        NaN wins over infinity. A gradient in float16 or bfloat16 is measured in a wider
        dtype, because its norm may be more than float16 can hold. Nothing in the
        model changes.
    """
    report = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter.grad is None:
            report[name] = {
                "status": "missing",
                "norm": None,
                "mean": None,
                "std": None,
            }
            continue
        gradient = parameter.grad.cpu().double()
        status = (
            "nan"
            if gradient.isnan().any()
            else "inf"
            if gradient.isinf().any()
            else "ok"
        )
        report[name] = {
            "status": status,
            "norm": gradient.norm().item(),
            "mean": gradient.mean().item(),
            "std": gradient.std(correction=0).item(),
        }
    return report


def classify_error(error: BaseException) -> str:
    """Name the kind of mistake behind one of PyTorch's errors.

    Args:
        error: what was raised.
    Returns:
        - "out_of_memory": a `torch.OutOfMemoryError`, whatever it says
        - "device_mismatch": tensors on different devices: `same device`,
          `expected device`
        - "shape_mismatch": tensors do not fit together or into a shape:
          `cannot be multiplied`, `must match`, `match target`,
          `invalid for input of size`
        - "dtype_mismatch": float32 met float64, or targets or indices are floats:
          `dtype`, `scalar type`
        - "inplace_modification": what the backward pass needs was overwritten:
          `inplace operation`, `in-place operation`
        - "non_scalar_backward": `backward()` on several elements:
          `only for scalar outputs`
        - "second_backward": `backward()` on a freed graph: `a second time`
        - "no_gradient": `backward()` without a graph: `does not require grad`
        - "unknown": everything else; a KeyError or an IndexError, whatever it says

    Only the first kind has a class. The words behind the others are in the messages of
    RuntimeErrors, or of ValueErrors from a loss.
    """
    if isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    if isinstance(error, (RuntimeError, ValueError)):
        for kind, phrases in _PHRASES.items():
            if any(phrase in str(error) for phrase in phrases):
                return kind
    return "unknown"


_PHRASES = {
    "device_mismatch": ("same device", "expected device"),
    "inplace_modification": ("inplace operation", "in-place operation"),
    "non_scalar_backward": ("only for scalar outputs",),
    "second_backward": ("a second time",),
    "no_gradient": ("does not require grad",),
    "dtype_mismatch": ("dtype", "scalar type"),
    "shape_mismatch": (
        "cannot be multiplied",
        "must match",
        "match target",
        "invalid for input of size",
    ),
}
