"""Questions that the specs of tinytorch/03 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe


@probe("relu")
def _(kata, rng):
    return kata.relu(kata.Tensor(torch.randn(3, 5, generator=rng).numpy())).data


@probe("broadcast_cost")
def _(kata, rng):
    rows, columns = torch.randint(2, 20, (2,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.broadcast_cost(
        (rows, 1), (columns,), (1, 1, columns), itemsize=itemsize
    )


@probe("best_linear_fit")
def _(kata, rng):
    x, y = (torch.randn(9, size, generator=rng).double().numpy() for size in (3, 1))
    return kata.best_linear_fit(x, y)


@probe("predict_activation_bytes")
def _(kata, rng):
    *shape, layers = torch.randint(1, 20, (3,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.predict_activation_bytes(shape, itemsize, hidden_layers=layers)


@probe("sigmoid")
def _(kata, rng):
    return kata.sigmoid(
        kata.Tensor(torch.randn(3, 5, generator=rng).double().numpy())
    ).data


@probe("broadcast_scaling")
def _(kata, rng):
    sizes = (20 * (10 + torch.randperm(15, generator=rng)[:3])).tolist()
    found = kata.broadcast_scaling(sizes)
    slope = np.polyfit(np.log(sizes), np.log(found["values"]), 1)[0]
    # of a square of float32 numbers
    sides = [round((value / 4) ** 0.5 / 20) for value in found["values"]]
    return [found["sizes"], sides, found["exponent"] / slope]
