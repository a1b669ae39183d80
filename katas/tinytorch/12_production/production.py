"""Checkpoints, early stopping and schedules. Milestone 3: a CNN that reads digits."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinytorch.advanced_optimizers import (
    Adam,
    evaluate_classifier,
    train_classifier,
)
from tinytorch.dataloader import DataLoader, digits_datasets
from tinytorch.layers import Linear, Module
from tinytorch.optimizers import Optimizer
from tinytorch.setup import get_rng, scaling_exponent
from tinytorch.spatial import make_cnn

State = dict[str, np.ndarray]
Schedule = Callable[[int, float], float]


def model_state(model: Module) -> State:
    """Copy all parameters of a model.

    Returns:
        From each name of `model.named_parameters()` to a copy of the parameter's array.
        A Linear(3, 2) has "weight", (2, 3), and "bias", (2,).

    Training the model further does not change the copies.
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def step(self, value: float, model: Module | None = None) -> bool:
        """Take in the value of one more epoch.

        Args:
            model: its state is kept if the value is an improvement.
        Returns:
            True to stop. With patience 2, the values 3, 1, 2, 1 give False, False,
            False, True.
        """
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def step(self) -> None:
        """Go to the next epoch: set its rate."""
        raise NotImplementedError


class RunningMean:
    """Average values that come one after the other, without keeping them.

    After update(2.0, n=3) and update(6.0), `value` is (3 · 2 + 6) / 4 = 3.

    Edge cases ★
        As long as there is no value, `value` is an error.
    """

    def __init__(self) -> None:
        """Start empty."""
        raise NotImplementedError

    def update(self, value: float, n: int = 1) -> None:
        """Take in n values whose mean is `value`, such as the loss of a batch of n.
        Memory does not grow.
        """
        raise NotImplementedError

    @property
    def value(self) -> float:
        """The mean of all values since the start or the last reset."""
        raise NotImplementedError

    def reset(self) -> None:
        """Forget all values."""
        raise NotImplementedError


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
        raise NotImplementedError

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
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def checkpoint_scaling(widths: Sequence[int], folder: Path | str) -> dict[str, Any]:
    """Measure how the file of a checkpoint grows with the model.

    Args:
        widths: of each Linear(w, w) to be saved, without an optimizer.
        folder: exists, and takes the files.
    Returns:
        {"sizes": numbers of parameters, "values": bytes of the files, "exponent": the
        scaling exponent}. Width 10 has 110 parameters.
    """
    raise NotImplementedError
