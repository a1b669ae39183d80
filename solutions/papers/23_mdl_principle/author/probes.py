"""Questions that the specs of papers/23 cannot ask from another process."""

import torch

from grader.lock.probes import probe


@probe("train_polynomial")
def _(kata, rng):
    x = 2 * torch.rand(40, generator=rng, dtype=torch.float64) - 1
    y = x**3 - x + 0.1 * torch.randn(40, generator=rng, dtype=torch.float64)
    model = kata.PolynomialModel(3)
    losses = kata.train_polynomial(model, x, y)
    powers = torch.stack([x**i for i in range(4)], dim=1)
    least = (powers @ torch.linalg.lstsq(powers, y).solution - y).square().mean()
    with torch.no_grad():
        return [losses[0], len(losses), bool((model(x) - y).square().mean() - least < 1e-6)]
