"""Questions on gradient descent."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def parameter(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(normal(rng, *shape), requires_grad=True)


@probe("Optimizer")
def _(kata, rng):
    params = [parameter(rng, 2, 3), parameter(rng, 4), parameter(rng, 5)]
    for param in params[:2]:
        param.grad = param.data + 1
    optimizer = kata.Optimizer(iter(params[::-1]), abs(normal(rng, 1).item()))
    optimizer.zero_grad()
    kept = [param.data for param in optimizer.params]
    return [optimizer.lr, kept, [param.grad for param in params]]


@probe("SGD")
def _(kata, rng):
    """One of the parameters has no gradient, one is in float32."""
    params = [parameter(rng, *shape) for shape in ((2, 3), (4,), (5,), (3,))]
    params[2].data = params[2].data.astype(np.float32)
    for i in (0, 2, 3):
        params[i].grad = normal(rng, *params[i].shape).astype(params[i].data.dtype)
    kata.SGD(params, abs(normal(rng, 1).item())).step()
    return [(p.data, p.grad, str(p.data.dtype), p.node) for p in params]


@probe("descend_quadratic")
def _(kata, rng):
    curvatures, [steps] = np.abs(normal(rng, 3)), integers(rng, 1, 3, 9)
    return kata.descend_quadratic(curvatures, normal(rng, 3), 0.3, steps)


@probe("max_stable_lr")
def _(kata, rng):
    return kata.max_stable_lr(np.abs(normal(rng, 5)).tolist())


@probe("lr_sweep")
def _(kata, rng):
    """Rates that end at a hundredth of a percent, at 3 %, at half, and far away."""
    curvature, *start = (1 + np.abs(normal(rng, 3))).tolist()
    factors = [(0.1, 0.75, 0.945, 1.4)[i] for i in integers(rng, 16, 0, 4)]
    lrs = [(1 + f + 0.01 * i / 16) / curvature for i, f in enumerate(factors)]
    return kata.lr_sweep([curvature, curvature], start, lrs, 6)


@probe("accumulation_report")
def _(kata, rng):
    param, [steps], factors = parameter(rng, 4), integers(rng, 1), normal(rng, 4)
    return kata.accumulation_report(
        param, lambda: (param * param * factors).sum(), steps
    )


@probe("update_cost")
def _(kata, rng):
    from tinytorch.tensor import Tensor

    arrays = [np.zeros(size, np.float32) for size in integers(rng, 3, 1, 30)]
    return kata.update_cost([Tensor(one, requires_grad=True) for one in arrays])


@probe("step_scaling")
def _(kata, rng):
    """A step takes so much memory as is drawn for its parameter's size."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def step(optimizer):
        [param] = optimizer.params
        np.zeros(units[param.size] * UNIT * param.grad.size // param.size, np.int8)

    with mock.patch.object(kata.SGD, "step", step):
        return kata.step_scaling(list(units))


@judge("step_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
