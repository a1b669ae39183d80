"""Questions that the specs of tinytorch/03 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


@probe("relu")
def _(kata, rng):
    return kata.relu(kata.Tensor(torch.randn(3, 5, generator=rng).numpy())).data


@probe("broadcast_cost")
def _(kata, rng):
    rows, columns = torch.randint(2, 20, (2,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.broadcast_cost((rows, 1), (columns,), (1, 1, columns), itemsize=itemsize)


@probe("best_linear_fit")
def _(kata, rng):
    x, y = (torch.randn(9, size, generator=rng).double().numpy() for size in (3, 1))
    return kata.best_linear_fit(x, y)


@probe("predict_activation_bytes")
def _(kata, rng):
    *shape, layers = torch.randint(1, 20, (3,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.predict_activation_bytes(shape, itemsize, hidden_layers=layers)
