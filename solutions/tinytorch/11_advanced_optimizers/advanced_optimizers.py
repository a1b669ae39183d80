"""Momentum and Adam, cross-entropy as one operation, and training a classifier with
its metrics.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Module
from tinytorch.losses import check_targets  # stub: keep
from tinytorch.optimizers import Optimizer
from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import measure_scaling  # stub: keep
from tinytorch.tensor import Tensor
from tinytorch.training import evaluating  # stub: keep

Values = Tensor | np.ndarray
Loader = Iterable[tuple[Tensor, Tensor]]  # of batches: inputs, and class numbers (B,)


class SGDMomentum(Optimizer):
    """Gradient descent with a memory: gradients that agree from step to step add up,
    others cancel.

    Attributes:
        velocity: a list with one array v per parameter, of its shape and dtype, zeros
            at first.
        params, lr: by Optimizer. `lr` may be changed between steps.

    Edge cases ★
        A momentum outside [0, 1) is an error.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        """Keep the options, and start at rest.

        Args:
            momentum: μ, the share of the velocity that survives a step.
            weight_decay: how much of the parameter is added to its gradient.
        """
        super().__init__(params, lr)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = [np.zeros_like(p.data) for p in self.params]

    def step(self) -> None:
        """Per parameter: g = grad + weight_decay · p, then v ← μ v + g, then p
        ← p − lr · v.

        With μ = 0.9 and the gradients 2, 2 the velocities are 2, 3.8. A parameter whose
        `grad` is None keeps its values and velocity. Gradients keep their values.

        Edge cases ★
            `data` is changed in place.
        """
        for p, v in zip(self.params, self.velocity):
            if p.grad is not None:
                v *= self.momentum
                v += p.grad + self.weight_decay * p.data
                p.data -= self.lr * v


class Adam(Optimizer):
    """Give every element a step of about lr: its mean gradient over the root of its
    mean squared gradient.

    Attributes:
        m, v: lists, one array per parameter, of its shape and dtype, zeros at first.
        steps: a list of ints, the updates of each parameter.
        params, lr: by Optimizer. `lr` may be changed between steps.

    Edge cases ★
        Betas outside [0, 1) and an eps that is not positive are errors.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        """Keep the options, and start with zeros."""
        super().__init__(params, lr)
        if not all(0 <= beta < 1 for beta in betas) or eps <= 0:
            raise ValueError(
                f"betas must be in [0, 1) and eps above 0, got {betas} and {eps}"
            )
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]
        self.steps = [0] * len(self.params)

    def step(self) -> None:
        """Update each parameter, in its t-th step by:

        - g = grad + weight_decay · p
        - m ← β₁ m + (1 − β₁) g and v ← β₂ v + (1 − β₂) g²
        - p ← p − lr · m̂ / (√v̂ + eps), with m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ)

        With grad [0.01, −50], the first step moves p by about [−lr, lr]. A `grad` of
        None is skipped; gradients keep their values.

        Edge cases ★
            `data` is changed in place. t counts only the steps in which this parameter
            had a gradient.
        """
        b1, b2 = self.betas
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            self.steps[i] += 1
            grad = p.grad + self.weight_decay * p.data
            self.m[i] = b1 * self.m[i] + (1 - b1) * grad
            self.v[i] = b2 * self.v[i] + (1 - b2) * grad**2
            mean = self.m[i] / (1 - b1 ** self.steps[i])
            square = self.v[i] / (1 - b2 ** self.steps[i])
            p.data -= self.lr * mean / (np.sqrt(square) + self.eps)


def fused_cross_entropy(
    logits: Tensor,
    targets: Values,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Tensor:
    """Compute cross-entropy in NumPy, as one operation: −Σ wanted · log
    softmax(logits), averaged over the rows.

    Args:
        logits: (N, C).
        targets: (N,) class numbers. What `check_targets` refuses is refused here, too.
        label_smoothing: ε. A row of `wanted` has ε / C for every class, and 1 − ε more
            for the target.
        ignore_index: a row with this target is ignored.
    Returns:
        A 0-d Tensor that announces itself as "fused_cross_entropy" with the input
        (logits,), and saves for the rule `probs`, the softmax, and `wanted`,
        both (N, C).

    - In ignored rows, `wanted` is 0. The mean is over the others.
    - Logits of ±10,000 give a finite loss.

    Edge cases ★
        float32 stays float32. If no row is left, or ε is outside [0, 1), that is an
        error; so is another target below 0 or above C − 1, an IndexError.
    """
    numbers, classes = check_targets(logits, targets), logits.shape[1]
    kept = numbers != ignore_index
    if not kept.any() or not 0 <= label_smoothing < 1:
        raise ValueError(
            f"{kept.sum()} rows are kept, label_smoothing is {label_smoothing}"
        )
    if not (0 <= numbers[kept].min() and numbers[kept].max() < classes):
        raise IndexError(f"targets must be from 0 to {classes - 1}, or {ignore_index}")
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = np.full_like(log_probs, label_smoothing / classes)
    wanted[kept, numbers[kept]] += 1 - label_smoothing
    wanted[~kept] = 0
    loss = -(wanted * log_probs).sum() / kept.sum()
    return record(
        Tensor(loss, dtype=logits.dtype),
        "fused_cross_entropy",
        (logits,),
        probs=np.exp(log_probs),
        wanted=wanted,
    )


@backward_rule("fused_cross_entropy")
def fused_cross_entropy_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Give the gradient of the logits: (softmax − wanted) / kept rows, and 0 in
    ignored rows.

    Args:
        node: `node.inputs` is (logits,). `node.saved` has what `fused_cross_entropy`
            saved: "probs" and "wanted".
        grad: the gradient of the loss, 0-d.
    Returns:
        One gradient (N, C) in a tuple, times `grad`. With one row, probabilities
        [0.7, 0.3] and target 1 it is [[0.7, −0.7]].

    The rows of `wanted` sum to 1, and those of ignored rows to 0.
    """
    wanted = node.saved["wanted"]
    kept = wanted.any(axis=1, keepdims=True)
    return (grad * (node.saved["probs"] * kept - wanted) / kept.sum(),)


def accuracy(logits: Values, targets: Values) -> float:
    """Return the share of rows whose largest logit is that of the target.

    Args:
        logits: (N, C), a Tensor or an array.
        targets: (N,) class numbers, a Tensor or an array.
    Returns:
        A Python float from 0 to 1. [[2, 1], [0, 3], [5, 4]] with the targets [0, 1, 1]
        has 2/3.

    Edge cases ★
        Targets (N, 1), logits that are not 2-D, and no rows are errors.
    """
    scores, numbers = _array(logits), _array(targets)
    if scores.ndim != 2 or numbers.shape != scores.shape[:1] or len(numbers) == 0:
        raise ValueError(
            f"logits of shape {scores.shape} and targets of shape {numbers.shape} do "
            "not fit"
        )
    return float((scores.argmax(axis=1) == numbers).mean())


def confusion_matrix(
    predictions: Values, targets: Values, num_classes: int
) -> np.ndarray:
    """Count how often each true class was predicted as each class.

    Args:
        predictions: (N,) predicted class numbers, a Tensor or an array.
        targets: (N,) true class numbers, a Tensor or an array.
        num_classes: C. Some classes may not occur.
    Returns:
        (C, C) int64. Row i, column j counts the samples of class i that were predicted
        as j. Predictions [0, 1, 1] for targets [0, 0, 0] give a first row [1, 2, …].
    """
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (_array(targets), _array(predictions)), 1)
    return counts


def classification_metrics(cm: np.ndarray) -> dict[str, Any]:
    """Compute accuracy, and precision, recall and F1 of each class, from a
    confusion matrix.

    Args:
        cm: (C, C) counts, rows true, columns predicted.
    Returns:
        Four entries:

        - "accuracy": the share of right predictions, a float.
        - "precision": of those predicted as class i, the share that are class i, (C,).
        - "recall": of those that are class i, the share predicted as class i, (C,).
        - "f1": 2 · precision · recall / (precision + recall), (C,).

        [[3, 1], [2, 4]] has precision [3/5, 4/5] and recall [3/4, 4/6].

    Edge cases ★
        A share of nothing is 0.0, without a warning.
    """
    right = np.diag(cm).astype(float)
    precision, recall = _share(right, cm.sum(axis=0)), _share(right, cm.sum(axis=1))
    return {
        "accuracy": float(right.sum() / cm.sum()),
        "precision": precision,
        "recall": recall,
        "f1": _share(2 * precision * recall, precision + recall),
    }


def evaluate_classifier(model: Module, loader: Loader) -> dict[str, float]:
    """Measure loss and accuracy over all samples, in eval mode and without a graph.

    Args:
        model: gives logits (B, C) for the inputs of a batch.
        loader: (inputs, class numbers) batches, of any lengths.
    Returns:
        {"loss", "accuracy"}: floats, the mean of `fused_cross_entropy` and of
        `accuracy` per sample. A batch of 5 counts 5 times.

    Afterwards the model has the mode that it had before.

    Edge cases ★
        A loader without a batch is an error.
    """
    loss_sum, right, count = 0.0, 0.0, 0
    with evaluating(model):
        for x, y in loader:
            logits = model(x)
            loss_sum += fused_cross_entropy(logits, y).item() * len(y)
            right += accuracy(logits, y) * len(y)
            count += len(y)
    if count == 0:
        raise ValueError("the loader is empty")
    return {"loss": loss_sum / count, "accuracy": right / count}


def train_classifier(
    model: Module,
    optimizer: Optimizer,
    train_loader: Loader,
    epochs: int,
    *,
    val_loader: Loader | None = None,
) -> dict[str, list[float]]:
    """Train with `fused_cross_entropy`, one update per batch, and keep losses
    and accuracies.

    Args:
        model: gives logits (B, C).
        optimizer: of the model's parameters.
        train_loader: (inputs, class numbers) batches, run through once per epoch.
        epochs: how often.
        val_loader: batches for `evaluate_classifier` after each epoch.
    Returns:
        {"train_loss", "train_accuracy"}, and "val_loss", "val_accuracy" if there is a
        val_loader: lists with one float per epoch.

    - Every epoch runs in train mode.
    - Train loss and accuracy are means per sample, of the logits that the updates were
      made from: one forward pass per batch.
    """
    history: dict[str, list[float]] = {"train_loss": [], "train_accuracy": []}
    if val_loader is not None:
        history |= {"val_loss": [], "val_accuracy": []}
    for _ in range(epochs):
        model.train()
        loss_sum, right, count = 0.0, 0.0, 0
        for x, y in train_loader:
            optimizer.zero_grad()
            logits = model(x)
            loss = fused_cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            loss_sum += loss.item() * len(y)
            right += accuracy(logits, y) * len(y)
            count += len(y)
        history["train_loss"].append(loss_sum / count)
        history["train_accuracy"].append(right / count)
        if val_loader is not None:
            found = evaluate_classifier(model, val_loader)
            history["val_loss"].append(found["loss"])
            history["val_accuracy"].append(found["accuracy"])
    return history


def optimizer_bytes(params: Iterable[Tensor], name: str) -> dict[str, int]:
    """Predict the bytes that an optimizer needs between two steps.

    Args:
        params: the parameters. Each has a gradient of its own shape and dtype.
        name: "sgd", "momentum" or "adam".
    Returns:
        Four ints: "parameters", "gradients", "state" (0, 1 or 2 arrays per parameter)
        and "total", their sum. A (2, 3) float32 parameter with "momentum" has 24, 24,
        24 and 72.

    Edge cases ★
        Another name is an error that names it. `params` may be a generator.
    """
    copies = {"sgd": 0, "momentum": 1, "adam": 2}
    if name not in copies:
        raise ValueError(f"name must be one of {', '.join(copies)}, got {name!r}")
    size = sum(p.nbytes for p in params)
    return {
        "parameters": size,
        "gradients": size,
        "state": copies[name] * size,
        "total": (2 + copies[name]) * size,
    }


def state_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the memory of Adam's state over the size of a parameter.

    Args:
        sizes: numbers of elements n. For each, one float32 parameter of n elements
            exists already.
    Returns:
        What `measure_scaling` returns for the bytes that a new `Adam([p])` retains:
        near 2 · 4 · n, exponent near 1.
    """

    def build(n: int) -> Callable[[], Adam]:
        p = Tensor(np.ones(n, dtype=np.float32), requires_grad=True)
        return lambda: Adam([p])

    return measure_scaling(build, sizes, kind="retained_bytes")


def _array(values: Values) -> np.ndarray:
    return np.asarray(values.data if isinstance(values, Tensor) else values)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
