"""Questions about inputs drawn anew in papers/15."""

import torch
from torch import nn

from grader.lock.probes import fill, probe


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


@probe("residual_sum_numpy")
def _(kata, rng):
    x, *branches = torch.randn(4, 2, 3, generator=rng).double().numpy()
    return [kata.residual_sum_numpy(x, branches), x]


def units(kata, rng, *shortcuts):
    """Units of both orders with drawn numbers, and an input."""
    for order in ("pre", "post"):
        for shortcut in shortcuts:
            unit = kata.ResidualUnit(4, order, shortcut, 0.3, 1 - 1e-7)
            fill(unit, rng)
            yield unit, torch.randn(5, 4, generator=rng)


@probe("ResidualUnit.branch")
def _(kata, rng):
    found = []
    for unit, x in units(kata, rng, "identity"):
        found += [unit.branch(x).detach(), unit.eval().branch(x).detach(), x]
    return found


@probe("ResidualUnit.skip")
def _(kata, rng):
    """Dropout near 1 drops everything, so that draws decide nothing."""
    return [
        [unit.skip(x).detach(), unit.eval().skip(x).detach()]
        for unit, x in units(kata, rng, "identity", "scale", "dropout", "gate")
    ]


@probe("ResidualUnit.forward")
def _(kata, rng):
    return [
        [unit(x).detach(), unit.eval()(x).detach()]
        for unit, x in units(kata, rng, "identity", "scale", "gate")
    ]


@probe("DeepNet")
def _(kata, rng):
    found = []
    for order, shortcut in (("pre", "identity"), ("post", "scale")):
        net = kata.DeepNet(2, 4, order, shortcut, 6, 3)
        fill(net, rng)
        names = sorted((name, tuple(p.shape)) for name, p in net.named_parameters())
        x = torch.randn(5, 2, 3, generator=rng)
        logits, states = net(x, return_states=True)
        grads = torch.autograd.grad(states[-1].pow(2).sum(), net.stem.weight)
        found += [names, logits.detach(), [one.detach() for one in states], grads]
        found.append(net.eval()(x).detach())
    return found


@probe("train_deep")
def _(kata, rng):
    """All samples are alike, so that no draw decides anything."""
    model = nn.Linear(4, 3)
    fill(model, rng)
    x, y = torch.randn(1, 4, generator=rng).expand(8, 4), torch.full((8,), 2)
    losses = kata.train_deep(model, x, y, steps=5, batch=4, lr=0.1)
    return [losses, model.weight.detach()]
