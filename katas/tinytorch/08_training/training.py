"""Training: forward, loss, backward, step. Milestone 2: XOR, learned."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.activations import XOR_X, XOR_Y, Tanh
from tinytorch.autograd import no_grad
from tinytorch.layers import Linear, Module, Sequential
from tinytorch.losses import mse_loss
from tinytorch.optimizers import SGD, Optimizer
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor

Batch = tuple[Any, Any]  # inputs and targets of equal length
Loss = Callable[[Any, Any], Tensor]  # of predictions and targets: the mean over a batch


def train_step(
    model: Module, loss_fn: Loss, optimizer: Optimizer, x: Any, y: Any
) -> float:
    """Make one update on one batch: clear, forward, loss, backward, step.

    Args:
        model: gives predictions, model(x).
        loss_fn: loss_fn(predictions, y) is a Tensor with one element.
        optimizer: of the model's parameters.
        x, y: inputs and targets.
    Returns:
        The loss before the update, as a Python number.

    Gradients from before have no part in the update. Those of this batch can still be
    read afterwards.
    """
    raise NotImplementedError


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Evaluate inside the block: `with evaluating(model): …`.

    Args:
        model: in eval mode inside the block, where nothing is recorded, as
            under `no_grad`.

    After the block the model has the mode that it had before: a model in eval mode
    stays in it.

    `@contextmanager` makes a block of a generator with one `yield`: the code before the
    `yield` runs at the start of the block, the code after it at the end.

    Edge cases ★
        Every module inside gets back its own mode, where they differed. All this holds
        after an exception in the block as well.
    """
    raise NotImplementedError


def evaluate(model: Module, loss_fn: Loss, data: Iterable[Batch]) -> float:
    """Average the loss over all samples, in eval mode and without a graph.

    Args:
        model: as for train_step.
        loss_fn: gives the mean loss of a batch.
        data: (x, y) batches, of any lengths.
    Returns:
        The mean loss per sample: a batch of 5 counts 5 times, a batch of 3 counts
        3 times.

    Edge cases ★
        Data without a sample is an error.
    """
    raise NotImplementedError


def train_group(
    model: Module, loss_fn: Loss, optimizer: Optimizer, batches: Sequence[Batch]
) -> float:
    """Make one update on several batches, equal to one update on the batches joined.

    Only one batch at a time needs memory for its graph: gradients add up from batch
    to batch.

    Args:
        model, loss_fn, optimizer: as for train_step.
        batches: (x, y) batches, at least one.
    Returns:
        The mean loss per sample before the update, as a Python number.

    The loss of the joined batches is the mean of the batches' losses, if all are of one
    length. So is its gradient.

    Edge cases ★
        Batches of different lengths count by their samples.
    """
    raise NotImplementedError


def train(
    model: Module,
    loss_fn: Loss,
    optimizer: Optimizer,
    data: Iterable[Batch],
    epochs: int,
    *,
    val_data: Iterable[Batch] | None = None,
    accumulation_steps: int = 1,
    on_epoch: Callable[[int, dict[str, list[float]]], Any] | None = None,
) -> dict[str, list[float]]:
    """Go through the data again and again, and keep a history of the losses.

    Args:
        data: (x, y) batches, read once per epoch.
        epochs: how often.
        val_data: batches to evaluate on after each epoch.
        accumulation_steps: batches per update. The last group of an epoch may
            have fewer.
        on_epoch: called as on_epoch(epoch, history) after each epoch, counted from 0.
            Only False, returned, stops.
    Returns:
        {"train_loss": one float per epoch}, and "val_loss" if there is val_data.

    - Each epoch starts in train mode.
    - The train_loss is the mean per sample of the losses before the updates.

    Edge cases ★
        An iterator, which can be read only once, is an error. So are negative epochs,
        accumulation_steps below 1, and data without a batch. 0 epochs give empty lists.
        Batches of different lengths count by their samples.
    """
    raise NotImplementedError


def training_memory(
    model: Sequential, x: Tensor, *, optimizer_state_multiple: int = 0
) -> dict[str, int]:
    """Count the bytes that a training step on x keeps.

    Args:
        model: layers, run one after the other.
        x: a batch of inputs.
        optimizer_state_multiple: arrays that the optimizer keeps per parameter: 0 for
            SGD, 2 for Adam.
    Returns:
        Five ints: "parameters"; "gradients", as many bytes; "optimizer_state", the
        multiple of them; "activations", the outputs of all layers for x; "total", the
        sum of the four.

    One forward runs, without a graph.
    """
    raise NotImplementedError


def batch_scaling(batch_sizes: Sequence[int], width: int = 64) -> dict[str, Any]:
    """Measure how the memory of a forward pass with its graph grows with the batch.

    Args:
        batch_sizes: the sizes n to measure.
        width: of the model Linear(width, width), Tanh, Linear(width, width).
    Returns:
        What `measure_scaling` returns for the bytes that the model's output on an (n,
        width) float32 input retains.
        The output keeps the whole graph alive. The model and the input are
        not measured.
    """
    raise NotImplementedError


def train_xor(
    rng: np.random.Generator | None = None,
    *,
    hidden: int = 8,
    lr: float = 0.1,
    epochs: int = 1000,
) -> dict[str, Any]:
    """Milestone 2: train a network on XOR, from a random start.

    Linear(2, hidden), Tanh, Linear(hidden, 1); mean squared error; SGD; all four points
    XOR_X, XOR_Y as one batch.

    Args:
        rng: the source of all draws. None means the framework's generator.
        hidden, lr, epochs: of the network and its training.
    Returns:
        "model"; "losses", a list with the loss of each epoch before its update; "loss",
        after the last update; "accuracy", the share of the four points on the right
        side: prediction above 0.5 where XOR is 1, and not above it where XOR is 0.

    Within 600 epochs the loss falls below 0.01 and all four points are right, from
    every start that was tried.
    """
    raise NotImplementedError
