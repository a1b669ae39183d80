"""Losses: squared error, and cross-entropy from logits."""

import numpy as np

from tinytorch.activations import sigmoid
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor


def mse_loss(pred, target, *, reduction="mean"):
    """Mean squared error."""
    if pred.shape != target.shape:
        raise ValueError("pred and target differ in shape")
    squared = (pred - target) ** 2
    if reduction == "mean":
        return squared.mean()
    if reduction == "sum":
        return squared.sum()
    return squared


class MSELoss:
    """mse_loss as an object."""

    def __init__(self, *, reduction="mean"):
        self.reduction = reduction

    def __call__(self, pred, target):
        return mse_loss(pred, target, reduction=self.reduction)


def log_softmax(x, dim=-1):
    """x - log Σ eˣ, with the largest logit subtracted first."""
    shifted = x - x.data.max(axis=dim, keepdims=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def softmax(x, dim=-1):
    """eˣ / Σ eˣ."""
    return log_softmax(x, dim).exp()


def check_targets(logits, targets):
    """One class number per row."""
    targets = targets.data if isinstance(targets, Tensor) else targets
    if logits.ndim != 2:
        raise ValueError("logits must be (N, C)")
    if not np.issubdtype(targets.dtype, np.integer):
        raise TypeError("targets must be integers")
    if targets.shape != (logits.shape[0],):
        raise ValueError("targets must be (N,)")
    return targets


def cross_entropy(logits, targets):
    """The mean of minus the log-probability of the target class."""
    targets = check_targets(logits, targets)
    log_probs = log_softmax(logits, dim=1)
    return -log_probs[np.arange(len(targets)), targets].mean()


class CrossEntropyLoss:
    """cross_entropy as an object."""

    def __call__(self, logits, targets):
        return cross_entropy(logits, targets)


def sigmoid_loss_gradients(logits, target):
    """dL/dz of the squared error and of binary cross-entropy."""
    z = np.array(logits, dtype=np.float64)
    p = sigmoid(Tensor(z)).data
    return {"logit": z, "mse": 2 * (p - target) * p * (1 - p), "bce": p - target}


def gradient_magnitudes(loss, named):
    """Backward, then the norms."""
    loss.backward()
    return {name: float(np.linalg.norm(p.grad)) for name, p in named.items()}


def predict_cross_entropy_bytes(batch, classes, itemsize=4):
    """Three tables and a number."""
    table = batch * classes * itemsize
    return {"logits": table, "log_probs": table, "logit_grad": table, "loss": itemsize}


def class_scaling(classes, batch=64):
    """Measure cross_entropy over the number of classes."""

    def build(n):
        logits = Tensor(np.zeros((batch, n), dtype=np.float32), requires_grad=True)
        targets = np.zeros(batch, dtype=int)
        return lambda: cross_entropy(logits, targets)

    return measure_scaling(build, classes)
