"""The training loop and its promises: modes, averages, gradients, stopping in time,
resuming without a trace.

Everywhere in this file a loader is any iterable of batches `(inputs, targets)` of any
sizes: a list, a DataLoader. `loss_fn(outputs, targets)` returns the mean over the
batch, as a tensor with one element. An average per sample weights each batch by
`len(inputs)`. The optimizer holds the parameters of the model that are to be trained.
"""

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
    """Train a model once through the data: one optimizer step for each batch."""
    model.train()
    total, count = 0.0, 0
    for inputs, targets in loader:
        inputs, targets = inputs.to(device), targets.to(device)
        loss = loss_fn(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        if max_grad_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total += loss.item() * len(inputs)
        count += len(inputs)
    return total / count


def evaluate(
    model: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    *,
    device: torch.device | str = "cpu",
) -> dict[str, float]:
    """Measure a classifier on data without changing it."""
    modes = [(module, module.training) for module in model.modules()]
    batches = ((inputs.to(device), targets.to(device)) for inputs, targets in loader)
    loss, accuracy = kata_10.evaluate(model, batches, loss_fn)
    for module, mode in modes:
        module.training = mode
    return {"loss": loss, "accuracy": accuracy}


def accumulated_step(
    model: nn.Module,
    micro_batches: Iterable[tuple[Tensor, Tensor]],
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    max_grad_norm: float | None = None,
) -> float:
    """Make one optimizer step out of several micro-batches, as if they had been
    one batch.
    """
    micro_batches = list(micro_batches)
    count = sum(len(inputs) for inputs, _ in micro_batches)
    total = 0.0
    optimizer.zero_grad()
    for inputs, targets in micro_batches:
        loss = loss_fn(model(inputs), targets) * len(inputs) / count
        loss.backward()
        total += loss.item()
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()
    return total


class EarlyStopping:
    """Watch one number per epoch: say when it stops getting better, and keep the
    weights of its best epoch.
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
        """Take in the value of one more epoch."""
        sign = 1 if self.mode == "min" else -1
        stop = self.stopper.step(sign * value, model)
        self.best = sign * self.stopper.best_loss
        self.best_epoch = self.stopper.best_epoch
        self.bad_epochs = self.stopper.bad_epochs
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
    """Train a classifier for several epochs, measure it after each, and keep
    the best.
    """
    history = []
    for epoch in range(epochs):
        lr = optimizer.param_groups[0]["lr"]
        train_loss = train_one_epoch(
            model,
            train_loader,
            loss_fn,
            optimizer,
            device=device,
            max_grad_norm=max_grad_norm,
        )
        if scheduler is not None:
            scheduler.step()
        val = evaluate(model, val_loader, loss_fn, device=device)
        history.append(
            {
                "epoch": epoch,
                "lr": lr,
                "train_loss": train_loss,
                "val_loss": val["loss"],
                "val_accuracy": val["accuracy"],
            }
        )
        if early_stopping is not None and early_stopping.step(val["loss"], model):
            break
    if early_stopping is not None:
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
    """
    kind, keys, *rest = np.random.get_state()
    checkpoint = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict() if scheduler is not None else None,
        "scaler": scaler.state_dict() if scaler is not None else None,
        "generators": {
            name: generator.get_state()
            for name, generator in (generators or {}).items()
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),
        "random": random.getstate(),
        "numpy": (kind, keys.tolist(), *rest),
        "step": step,
        "extra": extra or {},
    }
    temporary = f"{path}.tmp"
    torch.save(checkpoint, temporary)
    os.replace(temporary, path)


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
    """Bring a run back to where `save_checkpoint` was called."""
    checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    model.load_state_dict(checkpoint["model"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    if scheduler is not None:
        scheduler.load_state_dict(checkpoint["scheduler"])
    if scaler is not None:
        scaler.load_state_dict(checkpoint["scaler"])
    for name, generator in (generators or {}).items():
        generator.set_state(checkpoint["generators"][name])
    torch.set_rng_state(checkpoint["torch"])
    torch.cuda.set_rng_state_all(checkpoint["cuda"])
    random.setstate(checkpoint["random"])
    np.random.set_state(checkpoint["numpy"])
    return {"step": checkpoint["step"], "extra": checkpoint["extra"]}


def gradient_report(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Report the state of each parameter's gradient after a backward pass."""
    report = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        grad = parameter.grad
        if grad is None:
            report[name] = {
                "status": "missing",
                "norm": None,
                "mean": None,
                "std": None,
            }
            continue
        if grad.isnan().any():
            status = "nan"
        elif grad.isinf().any():
            status = "inf"
        else:
            status = "ok"
        report[name] = {
            "status": status,
            "norm": grad.norm().item(),
            "mean": grad.mean().item(),
            "std": grad.std(correction=0).item(),
        }
    return report


# Words in the messages of PyTorch, kind by kind.
_WORDS = {
    "device_mismatch": ["on the same device", "expected device"],
    "inplace_modification": ["inplace operation", "in-place operation"],
    "non_scalar_backward": ["scalar outputs"],
    "second_backward": ["a second time"],
    "no_gradient": ["does not require grad"],
    "dtype_mismatch": ["dtype", "scalar type"],
    "shape_mismatch": [
        "cannot be multiplied",
        "must match",
        "size mismatch",
        "target batch_size",
        "is invalid for input of size",
        "must be the same as input size",
        "expected size",
        "expanded size",
        "view size is not compatible",
    ],
}


def classify_error(error: BaseException) -> str:
    """Name the kind of mistake behind one of PyTorch's errors."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out_of_memory"
    if not isinstance(error, (RuntimeError, ValueError)):
        return "unknown"
    text = str(error).lower()
    for kind, words in _WORDS.items():
        if any(word in text for word in words):
            return kind
    return "unknown"
