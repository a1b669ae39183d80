"""Questions that the specs of papers/24 cannot ask from another process: they read what
the model was called with.
"""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("train_policy")
def _(kata, rng):
    """The model sees the right bits, and learns only how sure to be of them: draws
    decide nothing.
    """

    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.02 * torch.randn(2, generator=rng))

        def forward(self, bits):
            return (2.0 * bits - 1) * (40 * self.weight[0] - 8 * self.weight[1])

    model = Sure()
    rewards = kata.train_policy(
        model, steps=6, max_length=4, horizon=7, batch_size=5, lr=0.03
    )
    return [torch.tensor(rewards), model.weight]


@probe("complexity_weighted_sum")
def _(kata, rng):
    count = int(torch.randint(3, 12, (), generator=rng))
    values = torch.randn(count, generator=rng, requires_grad=True)
    total = kata.complexity_weighted_sum(
        values, torch.randint(1, 9, (count,), generator=rng)
    )
    total.backward()
    return [total.detach(), values.grad]
