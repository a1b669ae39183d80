"""Momentum and Adam, cross-entropy as one operation, and training a classifier with
its metrics.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Module
from tinytorch.losses import check_targets
from tinytorch.optimizers import Optimizer
from tinytorch.recorder import record
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor
from tinytorch.training import evaluating

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
        raise NotImplementedError

    def step(self) -> None:
        """Per parameter: g = grad + weight_decay · p, then v ← μ v + g, then p
        ← p − lr · v.

        With μ = 0.9 and the gradients 2, 2 the velocities are 2, 3.8. A parameter whose
        `grad` is None keeps its values and velocity. Gradients keep their values.

        Edge cases ★
            `data` is changed in place.
        """
        raise NotImplementedError


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
        raise NotImplementedError

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
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def state_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the memory of Adam's state over the size of a parameter.

    Args:
        sizes: numbers of elements n. For each, one float32 parameter of n elements
            exists already.
    Returns:
        What `measure_scaling` returns for the bytes that a new `Adam([p])` retains:
        near 2 · 4 · n, exponent near 1.
    """
    raise NotImplementedError
