"""Training: forward, loss, backward, step. Milestone 2: XOR, learned."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinytorch.activations import XOR_X, XOR_Y, Tanh  # stub: keep
from tinytorch.autograd import no_grad  # stub: keep
from tinytorch.layers import Linear, Module, Sequential  # stub: keep
from tinytorch.losses import mse_loss  # stub: keep
from tinytorch.optimizers import SGD, Optimizer  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
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
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


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
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


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
    total, count = 0.0, 0
    with evaluating(model):
        for x, y in data:
            total += loss_fn(model(x), y).item() * len(y)
            count += len(y)
    if count == 0:
        raise ValueError("there is no data to evaluate on")
    return total / count


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
    samples = sum(len(y) for _, y in batches)
    total = 0.0
    optimizer.zero_grad()
    for x, y in batches:
        loss = loss_fn(model(x), y) * (len(y) / samples)
        loss.backward()
        total += loss.item()
    optimizer.step()
    return total


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
    if epochs < 0 or accumulation_steps < 1:
        raise ValueError(
            f"epochs must be at least 0 and accumulation_steps 1, got {epochs} and "
            f"{accumulation_steps}"
        )
    if iter(data) is data:
        raise TypeError(
            "data is an iterator, which can be read once: pass a list or a loader"
        )
    history: dict[str, list[float]] = {"train_loss": []} | (
        {"val_loss": []} if val_data is not None else {}
    )
    for epoch in range(epochs):
        model.train()
        total, count = 0.0, 0
        for group in _groups(data, accumulation_steps):
            samples = sum(len(y) for _, y in group)
            total += train_group(model, loss_fn, optimizer, group) * samples
            count += samples
        if count == 0:
            raise ValueError("there is no data to train on")
        history["train_loss"].append(total / count)
        if val_data is not None:
            history["val_loss"].append(evaluate(model, loss_fn, val_data))
        if on_epoch is not None and on_epoch(epoch, history) is False:
            break
    return history


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
    parameters = sum(p.nbytes for p in model.parameters())
    activations = 0
    with no_grad():
        for layer in model:
            x = layer(x)
            activations += x.nbytes
    state = optimizer_state_multiple * parameters
    return {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer_state": state,
        "activations": activations,
        "total": 2 * parameters + state + activations,
    }


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
    model = Sequential([Linear(width, width), Tanh(), Linear(width, width)])

    def build(n: int) -> Callable[[], Tensor]:
        x = Tensor(np.ones((n, width), dtype=np.float32))
        return lambda: model(x)

    return measure_scaling(build, batch_sizes, kind="retained_bytes")


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
    rng = get_rng(rng)
    model = Sequential([Linear(2, hidden, rng=rng), Tanh(), Linear(hidden, 1, rng=rng)])
    x, y = Tensor(XOR_X), Tensor(XOR_Y)
    losses = train(model, mse_loss, SGD(model.parameters(), lr), [(x, y)], epochs)[
        "train_loss"
    ]
    loss = evaluate(model, mse_loss, [(x, y)])
    with evaluating(model):
        right = (model(x).data > 0.5) == (XOR_Y > 0.5)
    return {
        "model": model,
        "losses": losses,
        "loss": loss,
        "accuracy": float(right.mean()),
    }


def _groups(data: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """The batches in groups of this size. The last group may be smaller."""
    group: list[Batch] = []
    for batch in data:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
