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
Loader = Iterable[tuple[Tensor, Tensor]]


class SGDMomentum(Optimizer):
    """Gradient descent with a velocity."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
    ):
        """Start at rest."""
        super().__init__(params, lr)
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.velocity = [np.zeros_like(p.data) for p in self.params]

    def step(self) -> None:
        """v ← μv + g, p ← p − lr·v."""
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            g = p.grad + self.weight_decay * p.data
            self.velocity[i] = self.momentum * self.velocity[i] + g
            p.data = p.data - self.lr * self.velocity[i]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1)."""

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        """Start with both moments at zero."""
        super().__init__(params, lr)
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay
        self.m = [np.zeros_like(p.data) for p in self.params]
        self.v = [np.zeros_like(p.data) for p in self.params]
        self.steps = [0 for _ in self.params]

    def step(self) -> None:
        """Move every parameter by its corrected mean gradient over its corrected root
        mean square.
        """
        b1, b2 = self.betas
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            self.steps[i] += 1
            g = p.grad + self.weight_decay * p.data
            self.m[i] = b1 * self.m[i] + (1 - b1) * g
            self.v[i] = b2 * self.v[i] + (1 - b2) * g**2
            m_hat = self.m[i] / (1 - b1 ** self.steps[i])
            v_hat = self.v[i] / (1 - b2 ** self.steps[i])
            p.data = p.data - self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


def fused_cross_entropy(
    logits: Tensor,
    targets: Values,
    *,
    label_smoothing: float = 0.0,
    ignore_index: int = -100,
) -> Tensor:
    """Cross-entropy as one operation."""
    numbers = check_targets(logits, targets)
    kept = numbers != ignore_index
    shifted = logits.data - logits.data.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    wanted = np.full(logits.shape, label_smoothing / logits.shape[1])
    wanted[kept, numbers[kept]] += 1 - label_smoothing
    wanted[~kept] = 0
    loss = -(wanted * log_probs).sum() / kept.sum()
    return record(
        Tensor(loss),
        "fused_cross_entropy",
        (logits,),
        probs=np.exp(log_probs),
        wanted=wanted,
    )


@backward_rule("fused_cross_entropy")
def fused_cross_entropy_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """The gradient of the logits, (softmax − wanted) / rows."""
    probs, wanted = node.saved["probs"], node.saved["wanted"]
    kept = wanted.sum(axis=1, keepdims=True)
    return (grad * (probs * kept - wanted) / kept.sum(),)


def accuracy(logits: Values, targets: Values) -> float:
    """The share of rows whose largest logit is the target's."""
    return float((_array(logits).argmax(axis=1) == _array(targets)).mean())


def confusion_matrix(
    predictions: Values, targets: Values, num_classes: int
) -> np.ndarray:
    """Count how often each true class was predicted as each class."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    for true, predicted in zip(_array(targets), _array(predictions)):
        counts[true, predicted] += 1
    return counts


def classification_metrics(cm: np.ndarray) -> dict[str, Any]:
    """Accuracy, and per class precision, recall and F1, from a confusion matrix."""
    right = np.diag(cm)
    precision = right / cm.sum(axis=0)
    recall = right / cm.sum(axis=1)
    return {
        "accuracy": float(right.sum() / cm.sum()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall),
    }


def evaluate_classifier(model: Module, loader: Loader) -> dict[str, float]:
    """Average loss and accuracy over all samples."""
    loss, right, count = 0.0, 0.0, 0
    with evaluating(model):
        for x, y in loader:
            logits = model(x)
            loss += fused_cross_entropy(logits, y).item() * len(y)
            right += accuracy(logits, y) * len(y)
            count += len(y)
    return {"loss": loss / count, "accuracy": right / count}


def train_classifier(
    model: Module,
    optimizer: Optimizer,
    train_loader: Loader,
    epochs: int,
    *,
    val_loader: Loader | None = None,
) -> dict[str, list[float]]:
    """Train a classifier and keep losses and accuracies per epoch."""
    history = {"train_loss": [], "train_accuracy": []}
    if val_loader is not None:
        history["val_loss"], history["val_accuracy"] = [], []
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
    """Predict the bytes of parameters, gradients and optimizer state."""
    size = sum(p.nbytes for p in params)
    state = {"sgd": 0, "momentum": 1, "adam": 2}[name] * size
    return {
        "parameters": size,
        "gradients": size,
        "state": state,
        "total": 2 * size + state,
    }


def state_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the memory of Adam's state over the size of a parameter."""

    def build(n):
        p = Tensor(np.ones(n, dtype=np.float32))
        return lambda: Adam([p])

    return measure_scaling(build, sizes, kind="retained_bytes")


def _array(values: Values) -> np.ndarray:
    return np.asarray(values.data if isinstance(values, Tensor) else values)
