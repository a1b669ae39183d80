"""Losses: one number that says how wrong a model is, so that one backward pass
is enough.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import sigmoid  # stub: keep
from tinytorch.autograd import Node, backward_rule  # stub: keep
from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import measure_scaling  # stub: keep
from tinytorch.tensor import Tensor

Values = Tensor | np.ndarray


def mse_loss(pred: Tensor, target: Values, *, reduction: str = "mean") -> Tensor:
    """Square the differences of prediction and target, and average them.

    Args:
        pred: of any shape.
        target: of the same shape, a Tensor or an array.
        reduction: "mean" or "sum" of all squares, or "none": the squares themselves.
    Returns:
        A 0-d Tensor, or one of pred's shape for "none". Gradients reach pred. [1, 4]
        against [1, 1] is 4.5.

    Two shapes that differ are a ValueError: (N, 1) and (N,) would broadcast to (N, N).

    Edge cases ★
        The error names both shapes. A reduction of another name is an error that
        names it.
    """
    if pred.shape != target.shape:
        raise ValueError(f"pred has shape {pred.shape} and target {target.shape}")
    squared = (pred - target) ** 2
    if reduction == "mean":
        return squared.mean()
    if reduction == "sum":
        return squared.sum()
    if reduction == "none":
        return squared
    raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


class MSELoss:
    """mse_loss as an object."""

    def __init__(self, *, reduction: str = "mean"):
        self.reduction = reduction

    def __call__(self, pred: Tensor, target: Values) -> Tensor:
        return mse_loss(pred, target, reduction=self.reduction)


def log_softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Take the logarithm of softmax along one dimension: x - log Σ eˣ.

    Args:
        x: logits of any shape.
        dim: the dimension along which the exponentials are added up. May be negative.
    Returns:
        A Tensor of x's shape. The logits [0, log 3] become [log 1/4, log 3/4].

    - Logits of ±10,000 give finite values and gradients, and so does a row at 1000
      beside a row at -1000: subtract each row's own largest logit first.
    - Make it of Tensor operations, or compute it in NumPy, announce it under a name of
      its own with `record`, and write the rule for that name with `@backward_rule`.

    Edge cases ★
        `x` may be non-contiguous. float32 stays float32.
    """
    shifted = x.data - x.data.max(axis=dim, keepdims=True)
    result = shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))
    return record(Tensor(result), "log_softmax", (x,), dim=dim)


@backward_rule("log_softmax")
def _log_softmax(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    return (grad - np.exp(node.out) * grad.sum(axis=node.saved["dim"], keepdims=True),)


def softmax(x: Tensor, dim: int = -1) -> Tensor:
    """Turn logits into probabilities along one dimension: eˣ / Σ eˣ.

    Args:
        x: logits of any shape.
        dim: the dimension along which the probabilities sum to 1. May be negative.
    Returns:
        A Tensor of x's shape. The logits [0, log 3] become [1/4, 3/4].

    Logits of ±10,000 give finite values and gradients, as in `log_softmax`.

    Edge cases ★
        `x` may be non-contiguous. float32 stays float32.
    """
    return log_softmax(x, dim).exp()


def check_targets(logits: Tensor, targets: Values) -> np.ndarray:
    """Check that there is one class number per row of the logits, and return the
    numbers as an array.

    Args:
        logits: (N, C).
        targets: (N,) integers, a Tensor or an array.
    Returns:
        The targets as an array. Whether they are from 0 to C - 1 is not checked here.

    - Logits that are not 2-D are a ValueError.
    - Targets that are not integers are a TypeError.
    - Targets of another shape than (N,) are a ValueError: (N, 1) and one-hot rows
      (N, C) as well.

    Edge cases ★
        An error about shapes names the shape of the logits and that of the targets.
    """
    numbers = np.asarray(targets.data if isinstance(targets, Tensor) else targets)
    if logits.ndim != 2:
        raise ValueError(
            f"logits must be (N, C), got shape {logits.shape}, with targets of shape "
            f"{numbers.shape}"
        )
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers, got {numbers.dtype}")
    if numbers.shape != logits.shape[:1]:
        raise ValueError(
            f"logits of shape {logits.shape} need targets of shape "
            f"{logits.shape[:1]}, got {numbers.shape}"
        )
    return numbers


def cross_entropy(logits: Tensor, targets: Values) -> Tensor:
    """Average minus the log-probability that each row gives to its own class.

    Args:
        logits: (N, C), not probabilities.
        targets: (N,) class numbers. What `check_targets` refuses is refused here, too.
    Returns:
        A 0-d Tensor: the mean over the N rows of -log softmax(row)[target]. Equal
        logits give log C. The gradient of the logits is (softmax - one-hot) / N.

    Logits of ±1000 give a finite loss and gradient. The log of a probability that is
    rounded to 0 would not.

    Edge cases ★
        A target below 0 or above C - 1 is an IndexError.
    """
    numbers = check_targets(logits, targets)
    if numbers.size and not (0 <= numbers.min() and numbers.max() < logits.shape[1]):
        raise IndexError(
            f"targets must be from 0 to {logits.shape[1] - 1}, got {numbers.min()} to "
            f"{numbers.max()}"
        )
    return -log_softmax(logits)[np.arange(len(numbers)), numbers].mean()


class CrossEntropyLoss:
    """cross_entropy as an object."""

    def __call__(self, logits: Tensor, targets: Values) -> Tensor:
        return cross_entropy(logits, targets)


def sigmoid_loss_gradients(logits: Any, target: float) -> dict[str, np.ndarray]:
    """Compare the gradients of two losses behind a sigmoid, by their formulas.

    With p = σ(z): the squared error is (p - t)², binary cross-entropy is -t log p -
    (1 - t) log(1 - p).

    Args:
        logits: z, numbers of any shape.
        target: t, from 0 to 1.
    Returns:
        Three float64 arrays of the shape of z:

        - "logit": z.
        - "mse": the derivative of the squared error with respect to z. The chain rule
          brings in σ'(z) = p(1 - p).
        - "bce": that of binary cross-entropy, in which p(1 - p) cancels.

        At z = 0 with target 1, they are -0.25 and -0.5.
    """
    z = np.asarray(logits, dtype=np.float64)
    p = sigmoid(Tensor(z)).data
    return {"logit": z, "mse": 2 * (p - target) * p * (1 - p), "bce": p - target}


def gradient_magnitudes(loss: Tensor, named: Mapping[str, Tensor]) -> dict[str, float]:
    """Run `loss.backward()` and measure each parameter's gradient.

    Args:
        loss: a 0-d Tensor.
        named: name to parameter, with no gradients yet.
    Returns:
        Each name, in the given order, to the Euclidean norm of all elements of its
        gradient. A gradient [3, 4] has the norm 5.

    Edge cases ★
        A parameter that received no gradient has 0.0.
    """
    loss.backward()
    return {
        name: 0.0 if p.grad is None else float(np.linalg.norm(p.grad))
        for name, p in named.items()
    }


def predict_cross_entropy_bytes(
    batch: int, classes: int, itemsize: int = 4
) -> dict[str, int]:
    """Predict the bytes of the arrays that cross-entropy leaves behind.

    Args:
        batch: N.
        classes: C.
        itemsize: bytes per element.
    Returns:
        The bytes of "logits", of "log_probs", of "logit_grad" (the gradient of the
        logits) and of "loss". For 2 rows, 5 classes and float32 they are 40, 40, 40
        and 4.
    """
    table = batch * classes * itemsize
    return {"logits": table, "log_probs": table, "logit_grad": table, "loss": itemsize}


def class_scaling(classes: Sequence[int], batch: int = 64) -> dict[str, Any]:
    """Measure the peak memory of `cross_entropy` over the number of classes.

    Args:
        classes: the values of C.
        batch: N, rows of float32 logits.
    Returns:
        What module 01's measure_scaling returns: "sizes", "values" (the peak bytes for
        each C) and "exponent", near
        1. Make the logits outside of the measured call.
    """

    def build(n: int) -> Callable[[], Tensor]:
        logits = Tensor(np.zeros((batch, n), dtype=np.float32), requires_grad=True)
        return lambda: cross_entropy(logits, np.zeros(batch, dtype=np.int64))

    return measure_scaling(build, classes)
