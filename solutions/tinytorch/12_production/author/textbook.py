"""Checkpoints, early stopping and schedules. Milestone 3: a CNN that reads digits."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.advanced_optimizers import Adam, evaluate_classifier, train_classifier
from tinytorch.dataloader import DataLoader, digits_datasets
from tinytorch.layers import Linear, Module
from tinytorch.optimizers import Optimizer
from tinytorch.setup import get_rng, scaling_exponent
from tinytorch.spatial import make_cnn

State = dict[str, np.ndarray]
Schedule = Callable[[int, float], float]


def model_state(model: Module) -> State:
    """A copy of every parameter, by name."""
    return {name: p.data.copy() for name, p in model.named_parameters()}


def load_model_state(
    model: Module, state: Mapping[str, np.ndarray], *, strict: bool = True
) -> dict[str, list[str]]:
    """Copy the values of a state into a model."""
    parameters = dict(model.named_parameters())
    missing = [name for name in parameters if name not in state]
    unexpected = [name for name in state if name not in parameters]
    if strict and (missing or unexpected):
        raise KeyError(f"missing {missing}, unexpected {unexpected}")
    for name, p in parameters.items():
        if name in state:
            p.data = state[name].copy()
    return {"missing": missing, "unexpected": unexpected}


def optimizer_state(optimizer: Optimizer) -> State:
    """A copy of what an optimizer keeps between two steps."""
    state = {"lr": np.array(optimizer.lr)}
    for name in ["velocity", "m", "v"]:
        if hasattr(optimizer, name):
            for i, array in enumerate(getattr(optimizer, name)):
                state[f"{name}.{i}"] = array.copy()
    if hasattr(optimizer, "steps"):
        state["steps"] = np.array(optimizer.steps)
    return state


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, np.ndarray]) -> None:
    """Give an optimizer what another one kept."""
    optimizer.lr = float(state["lr"])
    for name in ["velocity", "m", "v"]:
        if hasattr(optimizer, name):
            setattr(
                optimizer,
                name,
                [state[f"{name}.{i}"].copy() for i in range(len(optimizer.params))],
            )
    if hasattr(optimizer, "steps"):
        optimizer.steps = state["steps"].tolist()


def save_checkpoint(
    path: Path | str,
    model: Module,
    optimizer: Optimizer | None = None,
    *,
    meta: dict[str, Any] | None = None,
) -> None:
    """Write a model, its optimizer and notes to one file."""
    arrays = {f"model.{name}": array for name, array in model_state(model).items()}
    if optimizer is not None:
        for name, array in optimizer_state(optimizer).items():
            arrays[f"optimizer.{name}"] = array
    np.savez(path, meta=json.dumps(meta or {}), **arrays)


def load_checkpoint(
    path: Path | str, model: Module, optimizer: Optimizer | None = None
) -> dict[str, Any]:
    """Read a checkpoint back into a model and its optimizer."""
    with np.load(path) as file:
        model_arrays, optimizer_arrays = {}, {}
        for name in file.files:
            if name.startswith("model."):
                model_arrays[name.removeprefix("model.")] = file[name]
            if name.startswith("optimizer."):
                optimizer_arrays[name.removeprefix("optimizer.")] = file[name]
        meta = json.loads(str(file["meta"]))
    load_model_state(model, model_arrays)
    if optimizer is not None:
        load_optimizer_state(optimizer, optimizer_arrays)
    return meta


class EarlyStopping:
    """Stop when a value has not improved for a while."""

    def __init__(self, patience: int, *, min_delta: float = 0.0, mode: str = "min"):
        """Keep the options."""
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode
        self.best = math.inf if mode == "min" else -math.inf
        self.best_epoch = None
        self.bad_epochs = 0
        self.best_state = None
        self.epoch = 0

    def step(self, value: float, model: Module | None = None) -> bool:
        """Compare a new value with the best so far."""
        if self.mode == "min":
            improved = value < self.best - self.min_delta
        else:
            improved = value > self.best + self.min_delta
        if improved:
            self.best = value
            self.best_epoch = self.epoch
            self.bad_epochs = 0
            if model is not None:
                self.best_state = model_state(model)
        else:
            self.bad_epochs += 1
        self.epoch += 1
        return self.bad_epochs >= self.patience


def step_decay(
    epoch: int, base_lr: float, *, step_size: int, gamma: float = 0.1
) -> float:
    """Multiply the rate by gamma every step_size epochs."""
    return base_lr * gamma ** (epoch // step_size)


def cosine_decay(
    epoch: int, base_lr: float, *, total: int, min_lr: float = 0.0, warmup: int = 0
) -> float:
    """Warm up linearly, then follow half a cosine."""
    if epoch < warmup:
        return base_lr * (epoch + 1) / warmup
    if epoch >= total:
        return min_lr
    progress = (epoch - warmup) / (total - warmup)
    return min_lr + (base_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2


class LRScheduler:
    """Set the learning rate of an optimizer, epoch by epoch."""

    def __init__(self, optimizer: Optimizer, schedule: Schedule):
        """Start with epoch 0."""
        self.optimizer = optimizer
        self.schedule = schedule
        self.base_lr = optimizer.lr
        self.epoch = 0
        optimizer.lr = schedule(0, self.base_lr)

    def step(self) -> None:
        """Go on to the next epoch."""
        self.epoch += 1
        self.optimizer.lr = self.schedule(self.epoch, self.base_lr)


class RunningMean:
    """A weighted mean of values that come one by one."""

    def __init__(self) -> None:
        """Start empty."""
        self.reset()

    def update(self, value: float, n: int = 1) -> None:
        """Count value n times."""
        self.total += n * value
        self.count += n

    @property
    def value(self) -> float:
        """The mean so far."""
        return self.total / self.count

    def reset(self) -> None:
        """Start anew."""
        self.total = 0.0
        self.count = 0


class Trainer:
    """Train a classifier with all that this module has."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        early_stopping: EarlyStopping | None = None,
        checkpoint_path: Path | str | None = None,
    ):
        """Keep the parts."""
        self.model = model
        self.optimizer = optimizer
        self.schedule = schedule
        self.early_stopping = early_stopping
        self.checkpoint_path = checkpoint_path

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Loss and accuracy per sample."""
        return evaluate_classifier(self.model, loader)

    def fit(
        self,
        train_loader: Iterable[Any],
        epochs: int,
        *,
        val_loader: Iterable[Any] | None = None,
    ) -> dict[str, list[float]]:
        """Train, one epoch at a time."""
        scheduler = (
            LRScheduler(self.optimizer, self.schedule) if self.schedule else None
        )
        history = {"train_loss": [], "train_accuracy": [], "lr": []}
        if val_loader is not None:
            history["val_loss"], history["val_accuracy"] = [], []
        best = math.inf
        for epoch in range(epochs):
            history["lr"].append(self.optimizer.lr)
            found = train_classifier(
                self.model, self.optimizer, train_loader, 1, val_loader=val_loader
            )
            for name, values in found.items():
                history[name] += values
            loss = history["train_loss" if val_loader is None else "val_loss"][-1]
            if loss < best:
                best = loss
                if self.checkpoint_path is not None:
                    save_checkpoint(
                        self.checkpoint_path,
                        self.model,
                        self.optimizer,
                        meta={"epoch": epoch, "loss": loss},
                    )
            if self.early_stopping is not None and self.early_stopping.step(
                loss, self.model
            ):
                break
            if scheduler is not None:
                scheduler.step()
        if self.early_stopping is not None:
            load_model_state(self.model, self.early_stopping.best_state)
        return history


def train_digits_cnn(
    rng: np.random.Generator | None = None,
    *,
    epochs: int = 8,
    batch_size: int = 32,
    lr: float = 3e-3,
) -> dict[str, Any]:
    """Train a small CNN on the digits."""
    rng = get_rng(rng)
    train, test = digits_datasets(rng=rng)
    model = make_cnn(8, padding=1, rng=rng)
    optimizer = Adam(model.parameters(), lr=lr)
    trainer = Trainer(
        model,
        optimizer,
        schedule=lambda epoch, base: cosine_decay(epoch, base, total=epochs),
    )
    history = trainer.fit(DataLoader(train, batch_size, shuffle=True, rng=rng), epochs)
    found = trainer.evaluate(DataLoader(test, 256))
    return {
        "model": model,
        "history": history,
        "test_accuracy": found["accuracy"],
        "test_loss": found["loss"],
    }


def predict_checkpoint_bytes(model: Module, name: str | None = None) -> int:
    """The bytes of parameters and optimizer state."""
    copies = {None: 1, "sgd": 1, "momentum": 2, "adam": 3}[name]
    return copies * sum(p.nbytes for p in model.parameters())


def checkpoint_scaling(widths: Sequence[int], folder: Path | str) -> dict[str, Any]:
    """Measure the size of checkpoints over the number of parameters."""
    sizes, values = [], []
    for width in widths:
        layer = Linear(width, width)
        path = Path(folder) / f"linear_{width}.npz"
        save_checkpoint(path, layer)
        sizes.append(sum(p.size for p in layer.parameters()))
        values.append(path.stat().st_size)
    return {
        "sizes": sizes,
        "values": values,
        "exponent": scaling_exponent(sizes, values),
    }
