"""SGD: move every parameter a little against its gradient, and see how far is
too far.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinytorch.layers import Parameter  # stub: keep
from tinytorch.setup import measure_scaling  # stub: keep
from tinytorch.tensor import Tensor


class Optimizer:
    """The base of every optimizer: a list of parameters and a learning rate.

    Attributes:
        params: the list of parameters.
        lr: the learning rate, which may be changed between steps.

    Edge cases ★
        No parameters, one parameter twice, and an lr that is not positive are errors.
        So is a parameter that is no Tensor.
    """

    def __init__(self, params: Iterable[Tensor], lr: float):
        """Set the two attributes.

        Args:
            params: any iterable of Tensors. A generator can be run through only once,
                and every step needs them all.
            lr: the learning rate.
        """
        self.params = list(params)
        for p in self.params:
            if not isinstance(p, Tensor):
                raise TypeError(f"a parameter must be a Tensor, not {type(p).__name__}")
        if not self.params or lr <= 0:
            raise ValueError(
                f"an optimizer needs parameters and lr > 0, got {len(self.params)} "
                f"and {lr}"
            )
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError("a parameter occurs twice")
        self.lr = lr

    def step(self) -> None:  # stub: keep
        """Update the parameters. Every optimizer writes its own. Given."""
        raise NotImplementedError(f"{type(self).__name__} has no step")

    def zero_grad(self) -> None:
        """Forget all gradients: set the `grad` of every parameter to None.

        `backward` adds to `grad`, so without this call the next step would use the sum
        of old and new gradients.
        """
        for p in self.params:
            p.grad = None


class SGD(Optimizer):
    """Gradient descent: w ← w − lr · gradient of w.

    Called stochastic (the S), because in training the gradient comes from a
    random batch.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.01):  # stub: keep
        super().__init__(params, lr)

    def step(self) -> None:
        """Move every parameter against its gradient.

        With lr = 0.1, data [1.0] and grad [2.0] become data [0.8].

        - A parameter whose `grad` is None stays as it is.
        - Compute with the arrays `data` and `grad`: no operation is recorded, and the
          parameter stays a leaf.
        - The gradients keep their values, the data their dtype.

        Edge cases ★
            `data` is changed in place: it stays the same array object, so that whoever
            shares it sees the update.
        """
        for p in self.params:
            if p.grad is not None:
                p.data -= self.lr * p.grad


def descend_quadratic(
    curvatures: Sequence[float], start: Sequence[float], lr: float, steps: int
) -> dict[str, np.ndarray]:
    """Minimise the bowl ½ Σ cᵢ xᵢ² with your SGD, and keep every point on the way.

    Args:
        curvatures: d numbers cᵢ. The gradient is cᵢ xᵢ.
        start: the first x, d numbers.
        steps: the number of updates.
    Returns:
        {"points": (steps + 1, d), "losses": (steps + 1,)}, two float64 arrays that
        begin with the start and its loss. Curvature 1 from [8.0] with lr 0.5 gives the
        points 8, 4, 2, 1 in three steps.

    Edge cases ★
        `start` may be a float64 array, which is not written to.
    """
    c = np.asarray(curvatures, dtype=np.float64)
    x = Parameter(np.array(start, dtype=np.float64))
    optimizer = SGD([x], lr)
    points = [x.data.copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * c * x * x).sum().backward()
        optimizer.step()
        points.append(x.data.copy())
    found = np.array(points)
    return {"points": found, "losses": (0.5 * c * found**2).sum(axis=1)}


def max_stable_lr(curvatures: Sequence[float]) -> float:
    """Find the learning rate above which descent on the bowl diverges.

    Args:
        curvatures: the positive cᵢ of ½ Σ cᵢ xᵢ².
    Returns:
        2 / the largest curvature. One step multiplies xᵢ by 1 − lr · cᵢ, and above this
        lr one of these factors is below −1. For [1, 10] it is 0.2.
    """
    return 2 / max(curvatures)


def lr_sweep(
    curvatures: Sequence[float],
    start: Sequence[float],
    lrs: Sequence[float],
    steps: int,
) -> dict[float, str]:
    """Say for each learning rate what descent on the bowl does.

    Args:
        curvatures, start, steps: as for `descend_quadratic`.
        lrs: the learning rates to try.
    Returns:
        From each learning rate to one of three words:

        - "diverges": the last loss is above the first.
        - "converges": the last loss is below 1 % of the first.
        - "slow": neither.

    Edge cases ★
        A last loss that has overflowed to infinity or NaN means "diverges".
    """
    verdicts = {}
    for lr in lrs:
        with np.errstate(all="ignore"):
            losses = descend_quadratic(curvatures, start, lr, steps)["losses"]
        first, last = losses[0], losses[-1]
        if not last <= first:  # NaN is not
            verdicts[lr] = "diverges"
        else:
            verdicts[lr] = "converges" if last < 0.01 * first else "slow"
    return verdicts


def accumulation_report(
    param: Tensor, loss_fn: Callable[[], Tensor], steps: int
) -> dict[str, list[np.ndarray]]:
    """Show that gradients add up: collect those of repeated backward passes, with and
    without clearing.

    Args:
        param: the parameter whose `grad` is collected. It is never updated.
        loss_fn: makes the loss anew at each call: `loss_fn().backward()` is one pass.
        steps: passes per series.
    Returns:
        {"zeroed": [...], "accumulated": [...]}, each a list of `steps` copies of
        param.grad, one after each pass. For "zeroed" the gradient is cleared before
        each pass, for "accumulated" only before the first. The k-th accumulated
        gradient is k times the zeroed one.

    Edge cases ★
        Afterwards param.grad is None.
    """
    report: dict[str, list[np.ndarray]] = {}
    for name, clear in (("zeroed", True), ("accumulated", False)):
        param.grad = None
        report[name] = []
        for _ in range(steps):
            if clear:
                param.grad = None
            loss_fn().backward()
            report[name].append(param.grad.copy())
    param.grad = None
    return report


def update_cost(params: Iterable[Tensor]) -> dict[str, int]:
    """Predict what one step of SGD costs.

    Args:
        params: float32 parameters, whether they have gradients yet or not.
    Returns:
        Four ints:

        - "parameters": the number of elements.
        - "multiply_adds": one per element.
        - "gradient_bytes": of all gradients. A gradient has the shape and dtype of
          its parameter.
        - "state_bytes": 0, as SGD remembers nothing between steps.

        A (2, 3) and a (3,) parameter give 9, 9, 36 and 0.

    Edge cases ★
        The parameters may have several dtypes, and come from a generator.
    """
    params = list(params)
    count = sum(p.size for p in params)
    return {
        "parameters": count,
        "multiply_adds": count,
        "gradient_bytes": sum(p.nbytes for p in params),
        "state_bytes": 0,
    }


def step_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the peak memory of one step of SGD over the size of its parameter.

    Args:
        sizes: numbers of elements n. For each, one float64 parameter of n elements has
            a gradient already.
    Returns:
        What `measure_scaling` returns for the peak bytes of step(). lr · grad is a new
        array of 8 · n bytes, so the exponent is near 1.
    """

    def build(n: int) -> Callable[[], None]:
        p = Parameter(np.zeros(n))
        p.grad = np.ones(n)
        return SGD([p], lr=0.1).step

    return measure_scaling(build, sizes)
