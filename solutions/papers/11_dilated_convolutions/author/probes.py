"""Questions that the specs of papers/11 cannot ask from another process: their models
read from it.
"""

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import probe


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
