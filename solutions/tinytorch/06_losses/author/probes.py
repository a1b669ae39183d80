"""Questions on losses and their gradients."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def scores(kata, rng, *shape):
    return kata.Tensor(normal(rng, *shape), requires_grad=True)


def tried(function, *given):
    """What it returns, or the name of the error that it raises."""
    try:
        return function(*given)
    except (TypeError, ValueError) as error:
        return type(error).__name__


def weighted(kata, rng, x, result):
    """The numbers of a result, and x's gradient of their weighted sum."""
    (result * kata.Tensor(normal(rng, *result.shape))).sum().backward()
    return [result.data, x.grad]


@probe("mse_loss")
def _(kata, rng):
    """Some of the shapes differ."""
    found = []
    for reduction in ("mean", "sum", "none"):
        pred, target = scores(kata, rng, 5, 4), normal(rng, 5, 4)
        loss = kata.mse_loss(pred, target, reduction=reduction)
        found.append(weighted(kata, rng, pred, loss))
    for columns in integers(rng, 9, 1, 3):
        pred, target = scores(kata, rng, 4, 1), normal(rng, 4, columns)
        found.append(tried(lambda *given: kata.mse_loss(*given).data, pred, target))
    return found


@probe("log_softmax")
def _(kata, rng):
    found = []
    for dim, scale in ((-1, 1), (0, 1), (1, 1000), (-1, 1000)):
        x = kata.Tensor(scale * normal(rng, 3, 4), requires_grad=True)
        found.append(weighted(kata, rng, x, kata.log_softmax(x, dim)))
    return found


@probe("softmax")
def _(kata, rng):
    found = []
    for dim, scale in ((-1, 1), (0, 1), (1, 1000)):
        x = kata.Tensor(scale * normal(rng, 3, 4), requires_grad=True)
        found.append(weighted(kata, rng, x, kata.softmax(x, dim)))
    return found


@probe("check_targets")
def _(kata, rng):
    """Some of the targets are none."""
    found = []
    for kind in (0, *integers(rng, 12, 0, 5)):
        numbers, logits = np.array(integers(rng, 5, 0, 4)), scores(kata, rng, 5, 4)
        bad = numbers * 1.0, numbers[:, None], np.eye(4, dtype=int)[numbers]
        given = (numbers, kata.Tensor(numbers), *bad)[kind]
        found.append(tried(kata.check_targets, logits, given))
    return found


@probe("cross_entropy")
def _(kata, rng):
    found = []
    for scale in (1, 1000):
        logits = kata.Tensor(scale * normal(rng, 5, 4), requires_grad=True)
        loss = kata.cross_entropy(logits, np.array(integers(rng, 5, 0, 4)))
        found.append(weighted(kata, rng, logits, loss))
    for columns in integers(rng, 9, 1, 3):
        given = scores(kata, rng, 5, 4), np.ones((5, columns)[: 3 - columns], int)
        found.append(tried(lambda *given: kata.cross_entropy(*given).data, *given))
    return found


@probe("sigmoid_loss_gradients")
def _(kata, rng):
    [target] = np.abs(normal(rng, 1)) % 1
    return kata.sigmoid_loss_gradients(normal(rng, 5, 4), target)


@probe("gradient_magnitudes")
def _(kata, rng):
    a, b = scores(kata, rng, 5, 4), scores(kata, rng, 5, 4)
    return kata.gradient_magnitudes((a * b + a).sum(), {"a": a, "b": b})


@probe("predict_cross_entropy_bytes")
def _(kata, rng):
    return kata.predict_cross_entropy_bytes(
        *integers(rng, 2, 1, 50), 2 ** integers(rng, 1, 1, 4)[0]
    )


@probe("class_scaling")
def _(kata, rng):
    """The loss takes so much memory as is drawn for its number of classes."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def cross_entropy(logits, targets):
        return np.zeros(units[logits.shape[1]] * UNIT * len(targets) // 8, np.int8)

    with mock.patch.object(kata, "cross_entropy", cross_entropy):
        return kata.class_scaling(list(units), batch=8)


@judge("class_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
