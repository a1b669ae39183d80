"""SGD: move every parameter a little against its gradient, and see how far is
too far.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.layers import Parameter
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor


class Optimizer:
    """Parameters and a learning rate."""

    def __init__(self, params: Iterable[Tensor], lr: float):
        """Keep the parameters in a list."""
        self.params = list(params)
        self.lr = lr

    def step(self) -> None:
        """Update the parameters."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.params:
            p.grad = None


class SGD(Optimizer):
    """Gradient descent."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01):
        super().__init__(params, lr)

    def step(self) -> None:
        """Move every parameter against its gradient."""
        for p in self.params:
            if p.grad is not None:
                p.data -= self.lr * p.grad


def descend_quadratic(
    curvatures: Sequence[float], start: Sequence[float], lr: float, steps: int
) -> dict[str, np.ndarray]:
    """Minimise a bowl, and keep every point."""
    c = np.array(curvatures, dtype=np.float64)
    x = Parameter(np.array(start, dtype=np.float64))
    optimizer = SGD([x], lr)
    points, losses = [], []
    for _ in range(steps + 1):
        loss = 0.5 * (c * x * x).sum()
        points.append(x.data.copy())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {"points": np.array(points), "losses": np.array(losses)}


def max_stable_lr(curvatures: Sequence[float]) -> float:
    """Above it, the steepest direction diverges."""
    return 2 / max(curvatures)


def lr_sweep(
    curvatures: Sequence[float],
    start: Sequence[float],
    lrs: Sequence[float],
    steps: int,
) -> dict[float, str]:
    """A verdict per learning rate."""
    verdicts = {}
    for lr in lrs:
        losses = descend_quadratic(curvatures, start, lr, steps)["losses"]
        if losses[-1] > losses[0]:
            verdicts[lr] = "diverges"
        elif losses[-1] < 0.01 * losses[0]:
            verdicts[lr] = "converges"
        else:
            verdicts[lr] = "slow"
    return verdicts


def accumulation_report(
    param: Tensor, loss_fn: Callable[[], Tensor], steps: int
) -> dict[str, list[np.ndarray]]:
    """Gradients of repeated backward passes, with and without clearing."""
    zeroed, accumulated = [], []
    for _ in range(steps):
        param.grad = None
        loss_fn().backward()
        zeroed.append(param.grad.copy())
    param.grad = None
    for _ in range(steps):
        loss_fn().backward()
        accumulated.append(param.grad.copy())
    return {"zeroed": zeroed, "accumulated": accumulated}


def update_cost(params: Iterable[Tensor]) -> dict[str, int]:
    """The cost of one step of SGD."""
    count = sum(p.size for p in params)
    return {
        "parameters": count,
        "multiply_adds": count,
        "gradient_bytes": 4 * count,
        "state_bytes": 0,
    }


def step_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """The peak memory of one step."""

    def build(n):
        p = Parameter(np.zeros(n))
        p.grad = np.ones(n)
        return SGD([p]).step

    return measure_scaling(build, sizes)
