"""Questions about inputs drawn anew in papers/15."""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("shortcut_gain_numpy")
def _(kata, rng):
    sizes = torch.randint(1, 12, (3,), generator=rng).tolist()
    scales = [
        0.5 + torch.rand(size, generator=rng, dtype=torch.float64) for size in sizes
    ]
    return [kata.shortcut_gain_numpy(one.numpy()) for one in scales]


@probe("ResidualUnit.__init__")
def _(kata, rng):
    found = []
    for order, shortcut in (
        ("pre", "gate"),
        ("post", "scale"),
        ("pre", "dropout"),
        ("post", "identity"),
    ):
        width, (scale, p) = (
            int(torch.randint(2, 30, (), generator=rng)),
            torch.rand(2, generator=rng).tolist(),
        )
        unit = kata.ResidualUnit(width, order, shortcut, scale, p)
        shapes = {
            name: tuple(parameter.shape) for name, parameter in unit.named_parameters()
        }
        found.append([shapes, unit.order, unit.shortcut, unit.scale, unit.p])
        if shortcut == "gate":
            found.append([unit.gate.weight, unit.gate.bias])
    return found


class Chain(nn.Module):
    """Each state is a product of the state before."""

    def __init__(self, depth, width, rng):
        super().__init__()
        self.weights = nn.Parameter(
            torch.randn(depth + 2, width, width, generator=rng) / width**0.5
        )

    def forward(self, x, return_states=False):
        states = [x @ self.weights[0]]
        for weight in self.weights[1:-1]:
            states.append(torch.tanh(states[-1] @ weight))
        logits = states[-1] @ self.weights[-1]
        return (logits, states) if return_states else logits


@probe("gradient_profile")
def _(kata, rng):
    depth, width, rows = (int(torch.randint(2, 7, (), generator=rng)) for _ in range(3))
    x, y = (
        torch.randn(rows, width, generator=rng),
        torch.randint(width, (rows,), generator=rng),
    )
    return kata.gradient_profile(Chain(depth, width, rng), x, y)
