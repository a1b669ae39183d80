"""Questions about inputs drawn anew in papers/22."""

from unittest import mock

import torch

from grader.lock.probes import probe

# of the data that come again and again, so that no order of draws decides anything
ROWS = 20


def repeated(kata, rng):
    """Put data that repeat in the place of `make_power_law_data`."""
    x, y = torch.randn(ROWS, 40, generator=rng), torch.randn(ROWS, generator=rng)

    def make(num_samples, num_features=256, exponent=0.8, generator=None):
        rows = torch.arange(num_samples) % ROWS
        return x[rows, :num_features], exponent * y[rows]

    return mock.patch.object(kata, "make_power_law_data", make)


@probe("fit_saturating")
def _(kata, rng):
    """Within the steps of the grid."""
    found = []
    for _ in range(2):
        a, alpha, c = (0.5 + torch.rand(3, generator=rng)).tolist()
        sizes = [2.0**k for k in range(int(torch.randint(4, 8, (), generator=rng)))]
        fit = kata.fit_saturating(sizes, [a * n**-alpha + c for n in sizes])
        found.append(torch.tensor(fit).bfloat16())
    return found


@probe("train_size")
def _(kata, rng):
    size, features, steps = (
        int(torch.randint(low, 2 * low, (), generator=rng)) for low in (3, 20, 5)
    )
    options = {
        "lr": 0.02,
        "exponent": 0.5 + torch.rand((), generator=rng).item(),
        "num_features": features,
    }
    with repeated(kata, rng):
        return torch.tensor(
            kata.train_size(size, steps=steps, batch_size=ROWS, **options)
        )


@probe("data_limited_loss")
def _(kata, rng):
    size, features = (
        int(torch.randint(low, 2 * low, (), generator=rng)) for low in (3, 20)
    )
    exponent = 0.5 + torch.rand((), generator=rng).item()
    with repeated(kata, rng):
        loss = kata.data_limited_loss(
            2 * ROWS, size, exponent=exponent, num_features=features, repeats=2
        )
    return torch.tensor(loss)
