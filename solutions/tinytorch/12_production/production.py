"""Checkpoints, early stopping and schedules. Milestone 3: a CNN that reads digits."""

import json
import math
import os
import tempfile
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
    """Copy all parameters, by name."""
    return {name: p.data.copy() for name, p in model.named_parameters()}


def load_model_state(model: Module, state: Mapping[str, np.ndarray], *, strict: bool = True) -> dict[str, list[str]]:
    """Copy values into the model's parameters."""
    parameters = dict(model.named_parameters())
    found = {
        "missing": [n for n in parameters if n not in state],
        "unexpected": [n for n in state if n not in parameters],
    }
    if strict and (found["missing"] or found["unexpected"]):
        raise KeyError(f"missing {found['missing']}, unexpected {found['unexpected']}")
    both = [name for name in parameters if name in state]
    for name in both:
        if state[name].shape != parameters[name].shape:
            raise ValueError(f"{name} has shape {parameters[name].shape}, the state {state[name].shape}")
    for name in both:
        parameters[name].data[...] = state[name]
    return found


def optimizer_state(optimizer: Optimizer) -> State:
    """Copy the learning rate, and the arrays and counters that the optimizer keeps."""
    state = {"lr": np.array(optimizer.lr)}
    for name in ("velocity", "m", "v"):
        for i, array in enumerate(getattr(optimizer, name, [])):
            state[f"{name}.{i}"] = array.copy()
    if hasattr(optimizer, "steps"):
        state["steps"] = np.array(optimizer.steps)
    return state


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, np.ndarray]) -> None:
    """Go on where the saved optimizer was."""
    own = optimizer_state(optimizer)
    if own.keys() != state.keys():
        raise KeyError(f"the state has {sorted(state)}, the optimizer {sorted(own)}")
    for name in own:
        if own[name].shape != state[name].shape:
            raise ValueError(f"{name} has shape {own[name].shape}, the state {state[name].shape}")
    optimizer.lr = float(state["lr"])
    for name in ("velocity", "m", "v"):
        for i, array in enumerate(getattr(optimizer, name, [])):
            array[...] = state[f"{name}.{i}"]
    if "steps" in own:
        optimizer.steps = state["steps"].tolist()


def save_checkpoint(
    path: Path | str, model: Module, optimizer: Optimizer | None = None, *, meta: dict[str, Any] | None = None
) -> None:
    """Write model, optimizer and meta to one file, whole or not at all."""
    path = Path(path)
    arrays = {f"model.{name}": array for name, array in model_state(model).items()}
    if optimizer is not None:
        arrays |= {f"optimizer.{name}": array for name, array in optimizer_state(optimizer).items()}
    arrays["meta"] = np.array(json.dumps({} if meta is None else meta))
    descriptor, neighbour = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez(file, **arrays)
        os.replace(neighbour, path)
    except BaseException:
        os.unlink(neighbour)
        raise


def load_checkpoint(path: Path | str, model: Module, optimizer: Optimizer | None = None) -> dict[str, Any]:
    """Load a checkpoint into model and optimizer, and return its meta."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    saved = {name.removeprefix("optimizer."): a for name, a in arrays.items() if name.startswith("optimizer.")}
    if optimizer is not None and not saved:
        raise KeyError(f"{path} holds no optimizer")
    load_model_state(model, {n.removeprefix("model."): a for n, a in arrays.items() if n.startswith("model.")})
    if optimizer is not None:
        load_optimizer_state(optimizer, saved)
    return json.loads(str(arrays["meta"]))


class EarlyStopping:
    """Says when a value no longer improves."""

    def __init__(self, patience: int, *, min_delta: float = 0.0, mode: str = "min"):
        """Wait for a first value."""
        if patience < 1 or mode not in ("min", "max"):
            raise ValueError(f"patience must be at least 1 and mode 'min' or 'max', got {patience} and {mode!r}")
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best: float | None = None
        self.best_epoch, self.bad_epochs, self.epoch = -1, 0, -1
        self.best_state: State | None = None

    def step(self, value: float, model: Module | None = None) -> bool:
        """Take in the value of one more epoch. True means stop."""
        self.epoch += 1
        if self._is_better(value):
            self.best, self.best_epoch, self.bad_epochs = value, self.epoch, 0
            self.best_state = None if model is None else model_state(model)
        else:
            self.bad_epochs += 1
        return self.bad_epochs >= self.patience

    def _is_better(self, value: float) -> bool:
        if math.isnan(value):
            return False
        gain = math.inf if self.best is None else self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta


def step_decay(epoch: int, base_lr: float, *, step_size: int, gamma: float = 0.1) -> float:
    """Multiply by gamma every step_size epochs."""
    return base_lr * gamma ** (epoch // step_size)


def cosine_decay(epoch: int, base_lr: float, *, total: int, min_lr: float = 0.0, warmup: int = 0) -> float:
    """Rise linearly, then fall along half a cosine."""
    if epoch < warmup:
        return base_lr * (epoch + 1) / warmup
    if epoch >= total:
        return min_lr
    progress = (epoch - warmup) / (total - warmup)
    return min_lr + (base_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


class LRScheduler:
    """Sets an optimizer's learning rate per epoch."""

    def __init__(self, optimizer: Optimizer, schedule: Schedule):
        """Set the rate of epoch 0."""
        self.optimizer, self.schedule, self.base_lr, self.epoch = optimizer, schedule, optimizer.lr, 0
        optimizer.lr = schedule(0, self.base_lr)

    def step(self) -> None:
        """Go to the next epoch."""
        self.epoch += 1
        self.optimizer.lr = self.schedule(self.epoch, self.base_lr)


class RunningMean:
    """A weighted mean that keeps two numbers."""

    def __init__(self) -> None:
        self.reset()

    def update(self, value: float, n: int = 1) -> None:
        """Take in n equal values."""
        self.total, self.count = self.total + value * n, self.count + n

    @property
    def value(self) -> float:
        """The mean so far."""
        if self.count == 0:
            raise ValueError("there is no value yet")
        return self.total / self.count

    def reset(self) -> None:
        """Forget everything."""
        self.total, self.count = 0.0, 0


class Trainer:
    """Trains a classifier with schedule, early stopping and checkpoints."""

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
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.early_stopping, self.checkpoint_path = early_stopping, checkpoint_path

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Average loss and accuracy over all samples."""
        return evaluate_classifier(self.model, loader)

    def fit(
        self, train_loader: Iterable[Any], epochs: int, *, val_loader: Iterable[Any] | None = None
    ) -> dict[str, list[float]]:
        """Train for at most so many epochs."""
        if self.early_stopping is not None and val_loader is None:
            raise ValueError("early stopping needs a val_loader")
        scheduler = LRScheduler(self.optimizer, self.schedule) if self.schedule else None
        history: dict[str, list[float]] = {}
        best = math.inf
        for epoch in range(epochs):
            rate = self.optimizer.lr
            found = train_classifier(self.model, self.optimizer, train_loader, 1, val_loader=val_loader)
            for name, values in (found | {"lr": [rate]}).items():
                history.setdefault(name, []).extend(values)
            watched = history["train_loss" if val_loader is None else "val_loss"][-1]
            if watched < best:
                best = watched
                if self.checkpoint_path is not None:
                    meta = {"epoch": epoch, "loss": watched}
                    save_checkpoint(self.checkpoint_path, self.model, self.optimizer, meta=meta)
            if self.early_stopping is not None and self.early_stopping.step(watched, self.model):
                break
            if scheduler is not None:
                scheduler.step()
        if self.early_stopping is not None and self.early_stopping.best_state is not None:
            load_model_state(self.model, self.early_stopping.best_state)
        return history


def predict_checkpoint_bytes(model: Module, name: str | None = None) -> int:
    """Predict the payload of a checkpoint."""
    copies = {None: 1, "sgd": 1, "momentum": 2, "adam": 3}
    return copies[name] * sum(p.nbytes for p in model.parameters())


def checkpoint_scaling(widths: Sequence[int], folder: Path | str) -> dict[str, Any]:
    """Measure the size of a checkpoint over the number of parameters."""
    sizes, values = [], []
    for width in widths:
        layer, path = Linear(width, width), Path(folder) / f"linear_{width}.npz"
        save_checkpoint(path, layer)
        sizes.append(sum(p.size for p in layer.parameters()))
        values.append(path.stat().st_size)
    return {"sizes": sizes, "values": values, "exponent": scaling_exponent(sizes, values)}


def train_digits_cnn(
    rng: np.random.Generator | None = None, *, epochs: int = 8, batch_size: int = 32, lr: float = 3e-3
) -> dict[str, Any]:
    """Train a small CNN on the digits."""
    rng = get_rng(rng)
    train, test = digits_datasets(rng=rng)
    model = make_cnn(8, padding=1, rng=rng)
    trainer = Trainer(
        model, Adam(model.parameters(), lr), schedule=lambda epoch, base: cosine_decay(epoch, base, total=epochs)
    )
    history = trainer.fit(DataLoader(train, batch_size, shuffle=True, rng=rng), epochs)
    found = trainer.evaluate(DataLoader(test, 256))
    return {"model": model, "history": history, "test_accuracy": found["accuracy"], "test_loss": found["loss"]}
