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
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor

Batch = tuple[Any, Any]
Loss = Callable[[Any, Any], Tensor]


def train_step(
    model: Module, loss_fn: Loss, optimizer: Optimizer, x: Any, y: Any
) -> float:
    """One update on one batch."""
    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Eval mode and no graph inside the block."""
    mode = model.training
    model.eval()
    with no_grad():
        yield
    model.train(mode)


def evaluate(model: Module, loss_fn: Loss, data: Iterable[Batch]) -> float:
    """The mean loss per sample."""
    total, count = 0.0, 0
    with evaluating(model):
        for x, y in data:
            total += loss_fn(model(x), y).item() * len(y)
            count += len(y)
    return total / count


def train_group(
    model: Module, loss_fn: Loss, optimizer: Optimizer, batches: Sequence[Batch]
) -> float:
    """One update on several batches."""
    optimizer.zero_grad()
    total = 0.0
    for x, y in batches:
        loss = loss_fn(model(x), y) / len(batches)
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
    """Train for some epochs and keep a history of the losses."""
    history = {"train_loss": []}
    if val_data is not None:
        history["val_loss"] = []
    for epoch in range(epochs):
        model.train()
        batches, total, count = list(data), 0.0, 0
        for start in range(0, len(batches), accumulation_steps):
            group = batches[start : start + accumulation_steps]
            samples = sum(len(y) for _, y in group)
            total += train_group(model, loss_fn, optimizer, group) * samples
            count += samples
        history["train_loss"].append(total / count)
        if val_data is not None:
            history["val_loss"].append(evaluate(model, loss_fn, val_data))
        if on_epoch is not None and on_epoch(epoch, history) is False:
            break
    return history


def training_memory(
    model: Sequential, x: Tensor, *, optimizer_state_multiple: int = 0
) -> dict[str, int]:
    """The bytes of a training step."""
    parameters = sum(p.nbytes for p in model.parameters())
    state = optimizer_state_multiple * parameters
    activations = 0
    with no_grad():
        for layer in model:
            x = layer(x)
            activations += x.nbytes
    return {
        "parameters": parameters,
        "gradients": parameters,
        "optimizer_state": state,
        "activations": activations,
        "total": 2 * parameters + state + activations,
    }


def batch_scaling(batch_sizes: Sequence[int], width: int = 64) -> dict[str, Any]:
    """The memory of a forward pass over the batch size."""
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
    """Train a network on XOR."""
    model = Sequential([Linear(2, hidden, rng=rng), Tanh(), Linear(hidden, 1, rng=rng)])
    x, y = Tensor(XOR_X), Tensor(XOR_Y)
    history = train(model, mse_loss, SGD(model.parameters(), lr), [(x, y)], epochs)
    with evaluating(model):
        predictions = model(x)
        loss = mse_loss(predictions, y).item()
    right = (predictions.data > 0.5) == (XOR_Y > 0.5)
    return {
        "model": model,
        "losses": history["train_loss"],
        "loss": loss,
        "accuracy": float(right.mean()),
    }
