"""Questions that the specs of tinytorch/07 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe


def parameter(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(
        torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True
    )


@probe("SGD")
def _(kata, rng):
    params, lr = (
        [parameter(rng, 2, 3), parameter(rng, 4)],
        torch.rand((), generator=rng).item(),
    )
    params[0].grad = torch.randn(2, 3, generator=rng).double().numpy()
    kata.SGD(params, lr).step()
    return [(p.data, p.grad) for p in params]


@probe("max_stable_lr")
def _(kata, rng):
    return kata.max_stable_lr(
        (0.1 + torch.rand(5, generator=rng, dtype=torch.float64)).tolist()
    )


@probe("accumulation_report")
def _(kata, rng):
    import tinytorch.autograd  # noqa: F401  from now on it listens to operations

    param, steps = parameter(rng, 4), int(torch.randint(2, 6, (), generator=rng))
    factors = torch.randn(4, generator=rng).double().numpy()
    return kata.accumulation_report(
        param, lambda: (param * param * factors).sum(), steps
    )


@probe("Optimizer")
def _(kata, rng):
    params, lr = (
        [parameter(rng, 2, 3), parameter(rng, 4), parameter(rng, 5)],
        torch.rand((), generator=rng).item(),
    )
    for param in params[:2]:
        param.grad = param.data
    optimizer = kata.Optimizer(iter(params[::-1]), lr)
    kept = [param.data for param in optimizer.params]
    optimizer.zero_grad()
    return [optimizer.lr, kept, [param.grad for param in params]]


@probe("lr_sweep")
def _(kata, rng):
    curvature, *start = (1 + torch.rand(3, generator=rng, dtype=torch.float64)).tolist()
    shares = torch.tensor([0.01, 0.45, 1.2], dtype=torch.float64)[
        torch.randint(3, (12,), generator=rng)
    ]
    lrs = (
        shares
        * (1 + 0.1 * torch.rand(12, generator=rng, dtype=torch.float64))
        * 2
        / curvature
    )
    return kata.lr_sweep([curvature, 0.95 * curvature], start, lrs.tolist(), 12)


@probe("update_cost")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    sizes = torch.randint(1, 30, (3,), generator=rng).tolist()
    return kata.update_cost(
        [Tensor(np.zeros(size, dtype=np.float32), requires_grad=True) for size in sizes]
    )


def growth(found):
    """The sizes, how many times the first value each value is, and the exponent over
    the slope of these points.
    """
    sizes, values = found["sizes"], found["values"]
    slope = np.polyfit(np.log(sizes), np.log(values), 1)[0]
    return [
        sizes,
        [round(value / values[0]) for value in values],
        found["exponent"] / slope,
    ]


def multiples(rng, base):
    """Three sizes, the first is the base."""
    return [
        base * factor
        for factor in (1, *(2 + torch.randperm(5, generator=rng)[:2]).tolist())
    ]


@probe("step_scaling")
def _(kata, rng):
    return growth(
        kata.step_scaling(
            multiples(rng, int(torch.randint(30_000, 50_000, (), generator=rng)))
        )
    )
