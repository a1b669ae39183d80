"""Questions that the specs of tinytorch/06 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe


def scores(kata, rng):
    return kata.Tensor(
        torch.randn(5, 4, generator=rng).double().numpy(), requires_grad=True
    )


@probe("mse_loss")
def _(kata, rng):
    pred, target = scores(kata, rng), scores(kata, rng).data
    return [
        kata.mse_loss(pred, target, reduction=reduction).data
        for reduction in ("mean", "sum", "none")
    ]


@probe("check_targets")
def _(kata, rng):
    return kata.check_targets(
        scores(kata, rng), torch.randint(4, (5,), generator=rng).numpy()
    )


@probe("cross_entropy")
def _(kata, rng):
    logits = scores(kata, rng)
    loss = kata.cross_entropy(logits, torch.randint(4, (5,), generator=rng).numpy())
    loss.backward()
    return [loss.data, logits.grad]


@probe("sigmoid_loss_gradients")
def _(kata, rng):
    return kata.sigmoid_loss_gradients(
        scores(kata, rng).data, torch.rand((), generator=rng).item()
    )


@probe("gradient_magnitudes")
def _(kata, rng):
    a, b = scores(kata, rng), scores(kata, rng)
    return kata.gradient_magnitudes((a * b + a).sum(), {"a": a, "b": b})


@probe("predict_cross_entropy_bytes")
def _(kata, rng):
    sizes, itemsize = (
        torch.randint(1, 50, (2,), generator=rng).tolist(),
        2 ** int(torch.randint(1, 4, (), generator=rng)),
    )
    return kata.predict_cross_entropy_bytes(*sizes, itemsize)


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


@probe("class_scaling")
def _(kata, rng):
    # a buffer of NumPy's, 33 kB, is small beside 1000 columns
    batch = int(torch.randint(300, 500, (), generator=rng))
    return growth(kata.class_scaling(multiples(rng, 1000), batch=batch))
