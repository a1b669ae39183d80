"""Checkpoints, early stopping and schedules. Milestone 3: a CNN that reads digits."""

import json  # stub: keep
import math  # stub: keep
import os  # stub: keep
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.advanced_optimizers import (  # stub: keep
    Adam,
    evaluate_classifier,
    train_classifier,
)
from tinytorch.dataloader import DataLoader, digits_datasets  # stub: keep
from tinytorch.layers import Linear, Module  # stub: keep
from tinytorch.optimizers import Optimizer
from tinytorch.setup import get_rng, scaling_exponent  # stub: keep
from tinytorch.spatial import make_cnn  # stub: keep

State = dict[str, np.ndarray]
Schedule = Callable[[int, float], float]


def model_state(model: Module) -> State:
    """Copy all parameters of a model.

    Returns:
        From each name of `model.named_parameters()` to a copy of the parameter's array.
        A Linear(3, 2) has "weight", (2, 3), and "bias", (2,).

    Training the model further does not change the copies.
    """
    return {name: p.data.copy() for name, p in model.named_parameters()}


def load_model_state(
    model: Module, state: Mapping[str, np.ndarray], *, strict: bool = True
) -> dict[str, list[str]]:
    """Copy the values of a state into the parameters with the same names.

    Args:
        state: from names to arrays, as `model_state` gives them.
        strict: False skips names that differ.
    Returns:
        {"missing": names of parameters that the state lacks, "unexpected": names in the
        state that no parameter has}. Parameters that are missing keep their values.

    Training the model further does not change the state.

    Edge cases ★
        If `strict`, and a name is missing or unexpected, that is a KeyError that
        mentions all of these. A wrong shape is a ValueError that names the parameter.
        After an error, no parameter has changed. Values are copied into the arrays that
        the parameters have, and take their dtype.
    """
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
            raise ValueError(
                f"{name} has shape {parameters[name].shape}, the state "
                f"{state[name].shape}"
            )
    for name in both:
        parameters[name].data[...] = state[name]
    return found


def optimizer_state(optimizer: Optimizer) -> State:
    """Copy what an optimizer remembers between two steps.

    Args:
        optimizer: an SGD, SGDMomentum, Adam, or another with some of the
            same attributes.
    Returns:
        Arrays that share no memory with the optimizer:

        - "lr": the learning rate, 0-d.
        - "velocity.0", "velocity.1", … and likewise "m.0", "v.0": the arrays of those
          lists, if it has them.
        - "steps": its counters, (number of parameters,), if it has them.

        Adam with one parameter has "lr", "m.0", "v.0" and "steps".
    """
    state = {"lr": np.array(optimizer.lr)}
    for name in ("velocity", "m", "v"):
        for i, array in enumerate(getattr(optimizer, name, [])):
            state[f"{name}.{i}"] = array.copy()
    if hasattr(optimizer, "steps"):
        state["steps"] = np.array(optimizer.steps)
    return state


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, np.ndarray]) -> None:
    """Let an optimizer go on where another one was.

    Args:
        optimizer: of the same class, for parameters of the same shapes.
        state: what `optimizer_state` returned.

    All its entries are restored: after the same gradients, both optimizers make the
    same step. The optimizer shares no memory with the state.

    Edge cases ★
        Other keys than those of the optimizer's own state are a KeyError, another shape
        is a ValueError that names the entry.
    """
    own = optimizer_state(optimizer)
    if own.keys() != state.keys():
        raise KeyError(f"the state has {sorted(state)}, the optimizer {sorted(own)}")
    for name in own:
        if own[name].shape != state[name].shape:
            raise ValueError(
                f"{name} has shape {own[name].shape}, the state {state[name].shape}"
            )
    optimizer.lr = float(state["lr"])
    for name in ("velocity", "m", "v"):
        for i, array in enumerate(getattr(optimizer, name, [])):
            array[...] = state[f"{name}.{i}"]
    if "steps" in own:
        optimizer.steps = state["steps"].tolist()


def save_checkpoint(
    path: Path | str,
    model: Module,
    optimizer: Optimizer | None = None,
    *,
    meta: dict[str, Any] | None = None,
) -> None:
    """Write all that training needs to go on to one file.

    Args:
        path: of the file. A file that is there is replaced.
        model, optimizer: the states of both are saved. None saves no optimizer.
        meta: anything else that JSON can hold, such as {"epoch": 3}. None means {}.

    The format is yours: `np.savez` takes named arrays, and a text can be an array, too.
    Arrays go in uncompressed. For one layer, names and meta add less than 4 KiB.

    Edge cases ★
        The file is at exactly `path`, without an added suffix. Nothing is pickled. The
        content is written to another file in the same folder, which is renamed at the
        end: a failure leaves an older file as it was, and no new file. So does a meta
        that JSON cannot hold, a TypeError.
    """
    path = Path(path)
    arrays = {f"model.{name}": array for name, array in model_state(model).items()}
    if optimizer is not None:
        arrays |= {
            f"optimizer.{name}": array
            for name, array in optimizer_state(optimizer).items()
        }
    arrays["meta"] = np.array(json.dumps({} if meta is None else meta))
    neighbour = path.with_name(f"{path.name}.part")
    try:
        with open(neighbour, "wb") as file:
            np.savez(file, **arrays)
        os.replace(neighbour, path)
    except BaseException:
        neighbour.unlink(missing_ok=True)
        raise


def load_checkpoint(
    path: Path | str, model: Module, optimizer: Optimizer | None = None
) -> dict[str, Any]:
    """Read a file of `save_checkpoint` into a model, and into an optimizer if one
    is given.

    Args:
        path: of the file.
        model, optimizer: like those that were saved. Their values are replaced.
    Returns:
        The meta: {"epoch": 3} was saved and comes back.

    Three epochs, a checkpoint, and three epochs of the loaded model and optimizer give
    the same weights as six in one go.

    Edge cases ★
        Nothing is unpickled. An optimizer that was not saved is a KeyError.
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    saved = {
        name.removeprefix("optimizer."): a
        for name, a in arrays.items()
        if name.startswith("optimizer.")
    }
    if optimizer is not None and not saved:
        raise KeyError(f"{path} holds no optimizer")
    load_model_state(
        model,
        {
            n.removeprefix("model."): a
            for n, a in arrays.items()
            if n.startswith("model.")
        },
    )
    if optimizer is not None:
        load_optimizer_state(optimizer, saved)
    return json.loads(str(arrays["meta"]))


class EarlyStopping:
    """Watch a value, such as the validation loss, and say when it no longer improves.

    Attributes:
        best: the best value so far, and best_epoch: its epoch. The first call of `step`
            is epoch 0.
        bad_epochs: how many epochs have passed since then.
        best_state: the `model_state` of the best epoch, or None.

    Edge cases ★
        NaN is never an improvement, not even as the first value. A patience below 1 and
        another mode are errors.
    """

    def __init__(self, patience: int, *, min_delta: float = 0.0, mode: str = "min"):
        """Keep the options.

        Args:
            patience: how many epochs in a row without improvement make it stop.
            min_delta: an improvement is better than `best` by more than this.
            mode: "min" if smaller is better, "max" if larger is.
        """
        if patience < 1 or mode not in ("min", "max"):
            raise ValueError(
                f"patience must be at least 1 and mode 'min' or 'max', got {patience} "
                f"and {mode!r}"
            )
        self.patience, self.min_delta, self.mode = patience, min_delta, mode
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.bad_epochs, self.epoch = 0, -1
        self.best_state: State | None = None

    def step(self, value: float, model: Module | None = None) -> bool:
        """Take in the value of one more epoch.

        Args:
            model: its state is kept if the value is an improvement.
        Returns:
            True to stop. With patience 2, the values 3, 1, 2, 1 give False, False,
            False, True.
        """
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
        gain = (
            math.inf
            if self.best is None
            else self.best - value
            if self.mode == "min"
            else value - self.best
        )
        return gain > self.min_delta


def step_decay(
    epoch: int, base_lr: float, *, step_size: int, gamma: float = 0.1
) -> float:
    """Compute a rate that is multiplied by gamma after every step_size epochs.

    Args:
        epoch: 0, 1, 2, …
        base_lr: the rate of epoch 0.
    Returns:
        The rate of this epoch. With base_lr 8, step_size 2 and gamma 0.5: 8, 8, 4, 4,
        2, …
    """
    return base_lr * gamma ** (epoch // step_size)


def cosine_decay(
    epoch: int, base_lr: float, *, total: int, min_lr: float = 0.0, warmup: int = 0
) -> float:
    """Compute a rate that rises along a line, and falls along half a cosine.

    Args:
        epoch: 0, 1, 2, …
        base_lr: the largest rate.
        total: the epoch in which min_lr is reached.
        warmup: how many epochs the rise takes.
    Returns:
        The rate of this epoch:

        - epoch < warmup: base_lr · (epoch + 1) / warmup.
        - up to total: half a cosine, from base_lr in epoch `warmup` to min_lr in
          epoch `total`.
        - later: min_lr.
    """
    if epoch < warmup:
        return base_lr * (epoch + 1) / warmup
    if epoch >= total:
        return min_lr
    progress = (epoch - warmup) / (total - warmup)
    return min_lr + (base_lr - min_lr) * 0.5 * (1 + math.cos(math.pi * progress))


class LRScheduler:
    """Set the learning rate of an optimizer, epoch by epoch.

    A schedule that halves, base_lr / 2**epoch, sets 0.4 to 0.4, then 0.2, then 0.1:
    `base_lr` is always the rate that the optimizer had at first.
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule):
        """Set `optimizer.lr` to the rate of epoch 0 at once.

        Args:
            schedule: schedule(epoch, base_lr) returns the rate of an epoch.
        """
        self.optimizer, self.schedule, self.base_lr, self.epoch = (
            optimizer,
            schedule,
            optimizer.lr,
            0,
        )
        optimizer.lr = schedule(0, self.base_lr)

    def step(self) -> None:
        """Go to the next epoch: set its rate."""
        self.epoch += 1
        self.optimizer.lr = self.schedule(self.epoch, self.base_lr)


class RunningMean:
    """Average values that come one after the other, without keeping them.

    After update(2.0, n=3) and update(6.0), `value` is (3 · 2 + 6) / 4 = 3.

    Edge cases ★
        As long as there is no value, `value` is an error.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.reset()

    def update(self, value: float, n: int = 1) -> None:
        """Take in n values whose mean is `value`, such as the loss of a batch of n.
        Memory does not grow.
        """
        self.total, self.count = self.total + value * n, self.count + n

    @property
    def value(self) -> float:
        """The mean of all values since the start or the last reset."""
        if self.count == 0:
            raise ValueError("there is no value yet")
        return self.total / self.count

    def reset(self) -> None:
        """Forget all values."""
        self.total, self.count = 0.0, 0


class Trainer:
    """Train a classifier with a schedule, early stopping and checkpoints, each of
    them optional.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        *,
        schedule: Schedule | None = None,
        early_stopping: EarlyStopping | None = None,
        checkpoint_path: Path | str | None = None,
    ):
        """Keep the five parts, as attributes with these names. Nothing is trained yet.

        Args:
            optimizer: of the model's parameters.
            schedule: schedule(epoch, base_lr) returns the rate of an epoch, as
                for `LRScheduler`.
            early_stopping: is asked after each epoch.
            checkpoint_path: of the file that holds the best epoch.
        """
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.early_stopping, self.checkpoint_path = early_stopping, checkpoint_path
        self.scheduler = None if schedule is None else LRScheduler(optimizer, schedule)

    def evaluate(self, loader: Iterable[Any]) -> dict[str, float]:
        """Measure {"loss", "accuracy"} of the model. Given, and works once `model`
        is kept.
        """
        return evaluate_classifier(self.model, loader)

    def fit(
        self,
        train_loader: Iterable[Any],
        epochs: int,
        *,
        val_loader: Iterable[Any] | None = None,
    ) -> dict[str, list[float]]:
        """Train for at most so many epochs.

        Args:
            train_loader, val_loader: batches, as for `train_classifier`.
        Returns:
            The history of `train_classifier`, and "lr", the rate that was used in
            each epoch.

        - The watched loss is the validation loss of each epoch, or the train loss
          without a val_loader.
        - When it is the lowest so far, a checkpoint with meta {"epoch", "loss"} is
          saved at once.
        - Early stopping ends training. In the end, the model has the weights of
          `early_stopping.best_state`.

        Edge cases ★
            Early stopping without a val_loader is an error.
        """
        if self.early_stopping is not None and val_loader is None:
            raise ValueError("early stopping needs a val_loader")
        history: dict[str, list[float]] = {}
        best = math.inf
        for epoch in range(epochs):
            rate = self.optimizer.lr
            found = train_classifier(
                self.model, self.optimizer, train_loader, 1, val_loader=val_loader
            )
            for name, values in (found | {"lr": [rate]}).items():
                history.setdefault(name, []).extend(values)
            watched = history["train_loss" if val_loader is None else "val_loss"][-1]
            if watched < best:
                best = watched
                if self.checkpoint_path is not None:
                    meta = {"epoch": epoch, "loss": watched}
                    save_checkpoint(
                        self.checkpoint_path, self.model, self.optimizer, meta=meta
                    )
            if self.early_stopping is not None and self.early_stopping.step(
                watched, self.model
            ):
                break
            if self.scheduler is not None:
                self.scheduler.step()
        if (
            self.early_stopping is not None
            and self.early_stopping.best_state is not None
        ):
            load_model_state(self.model, self.early_stopping.best_state)
        return history


def train_digits_cnn(
    rng: np.random.Generator | None = None,
    *,
    epochs: int = 8,
    batch_size: int = 32,
    lr: float = 3e-3,
) -> dict[str, Any]:
    """Milestone 3: train a CNN of two convolutions on handwritten digits, to more than
    95 % of the test images.

    Args:
        rng: the source of all draws: split, model, batches.
        epochs, batch_size: of training.
        lr: of Adam in the first epoch. It falls along a cosine that would reach 0 in
            epoch `epochs`.
    Returns:
        {"model": make_cnn(8, padding=1), trained; "history": of `Trainer.fit`;
        "test_accuracy", "test_loss": floats}

    The test images, 20 %, are used once, at the end.
    """
    rng = get_rng(rng)
    train, test = digits_datasets(rng=rng)
    model = make_cnn(8, padding=1, rng=rng)
    trainer = Trainer(
        model,
        Adam(model.parameters(), lr),
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
    """Predict the bytes of a checkpoint's large arrays: parameters, and the state that
    the optimizer has per parameter.

    Args:
        name: "sgd", "momentum", "adam", or None for no optimizer.
    Returns:
        An int. A float32 Linear(3, 2) has 32 bytes with "sgd" and 96 with "adam".
        Names, rate and counters do not count.

    Edge cases ★
        Another name is an error that names it.
    """
    copies = {None: 1, "sgd": 1, "momentum": 2, "adam": 3}
    if name not in copies:
        raise ValueError(
            f"name must be None, 'sgd', 'momentum' or 'adam', got {name!r}"
        )
    return copies[name] * sum(p.nbytes for p in model.parameters())


def checkpoint_scaling(widths: Sequence[int], folder: Path | str) -> dict[str, Any]:
    """Measure how the file of a checkpoint grows with the model.

    Args:
        widths: of each Linear(w, w) to be saved, without an optimizer.
        folder: exists, and takes the files.
    Returns:
        {"sizes": numbers of parameters, "values": bytes of the files, "exponent": the
        scaling exponent}. Width 10 has 110 parameters.
    """
    sizes, values = [], []
    for width in widths:
        layer, path = Linear(width, width), Path(folder) / f"linear_{width}.npz"
        save_checkpoint(path, layer)
        sizes.append(sum(p.size for p in layer.parameters()))
        values.append(path.stat().st_size)
    return {
        "sizes": sizes,
        "values": values,
        "exponent": scaling_exponent(sizes, values),
    }
