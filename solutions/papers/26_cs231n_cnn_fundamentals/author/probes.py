"""Questions about inputs drawn anew in papers/26."""

import torch

from grader.lock.probes import probe


@probe("numerical_gradient")
def _(kata, rng):
    """Large steps are far from the derivative of a cube: only central differences of that step give these slopes."""
    found = []
    for sizes in ((5,), (2, 3)):
        x, weights = (torch.randn(*sizes, generator=rng, dtype=torch.float64) for _ in range(2))
        eps = 0.2 + torch.rand((), generator=rng).item()
        found.append(kata.numerical_gradient(lambda t, weights=weights: (weights * t**3).sum(), x, eps))
    return found


@probe("TwoLayerNet.__init__")
def _(kata, rng):
    net = kata.TwoLayerNet(*torch.randint(2, 30, (3,), generator=rng).tolist())
    return [tuple(net.W1.shape), tuple(net.W2.shape), net.b1, net.b2]
