"""Questions that the specs of papers/11 cannot ask from another process: their models
read from it.
"""

from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import fill, probe


@probe("empirical_receptive_field")
def _(kata, rng):
    class Taps(nn.Module):
        """One output channel reads this step, the other one only a step long ago."""

        def __init__(self, reach):
            super().__init__()
            self.reach, self.weight = reach, nn.Parameter(torch.tensor(0.5))

        def forward(self, x):
            return self.weight * torch.stack(
                [x[:, 0], F.pad(x, (self.reach, 0))[:, 1, : x.shape[2]]], dim=1
            )

    reaches = torch.randint(1, 30, (3,), generator=rng).tolist()
    return [kata.empirical_receptive_field(Taps(reach), 2, 40) for reach in reaches]


@probe("CausalConv1d")
def _(kata, rng):
    """With drawn weights, so that a layer whose own are zeros does not pass."""
    found = []
    for dilation in (1, 2, 3):
        layer = kata.CausalConv1d(2, 3, 3, dilation)
        layer.load_state_dict(
            {
                n: torch.randn(p.shape, generator=rng)
                for n, p in layer.state_dict().items()
            }
        )
        found.append(layer(torch.randn(2, 2, 9, generator=rng)).detach())
    return found


@probe("receptive_field")
def _(kata, rng):
    rows = torch.randint(1, 6, (4, 4), generator=rng).tolist()
    return [kata.receptive_field(1 + taps, dilations) for taps, *dilations in rows]


@probe("dilated_conv1d_numpy")
def _(kata, rng):
    x, w = (torch.randn(n, generator=rng).double().numpy() for n in (12, 3))
    return [kata.dilated_conv1d_numpy(x, w, dilation) for dilation in (1, 2, 4)]


@probe("DilatedStack")
def _(kata, rng):
    model = kata.DilatedStack(
        2, 3, 4, 2, torch.randint(1, 5, (3,), generator=rng).tolist()
    )
    fill(model, rng)
    names = sorted((name, tuple(p.shape)) for name, p in model.named_parameters())
    return [names, model(torch.randn(2, 2, 12, generator=rng)).detach()]


@probe("train_lag")
def _(kata, rng):
    """On batches that are drawn here, each once."""
    model = nn.Conv1d(3, 3, 1)
    fill(model, rng)
    batches = []
    for _ in range(4):
        y = torch.randint(3, (2, 6), generator=rng)
        y[:, :2] = -100
        batches.append((torch.randn(2, 3, 6, generator=rng), y))
    left = iter(batches)
    with mock.patch.object(kata, "lag_batch", lambda *given, **options: next(left)):
        losses = kata.train_lag(
            model, steps=4, batch=2, length=6, lag=2, vocab=3, lr=0.1
        )
    return [losses, model.weight.detach()]


@probe("ContextModule2d")
def _(kata, rng):
    model = kata.ContextModule2d(2, torch.randint(1, 4, (3,), generator=rng).tolist())
    x = torch.randn(2, 2, 7, 6, generator=rng)
    first = [p.detach().clone() for p in model.parameters()]
    before = model(x.abs()).detach()
    fill(model, rng)
    return [first, before, model(x).detach()]
