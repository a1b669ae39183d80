"""Questions that the specs of papers/18 cannot ask from another process: they read what the model was called with."""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("train_recall")
def _(kata, rng):
    """The model looks the answer up, and learns only how sure to be of it: draws decide nothing."""

    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.05 * torch.randn(2, generator=rng))

        def forward(self, x):
            asked = (x[:, :-1, :4] * x[:, -1:, :4]).sum(dim=2, keepdim=True)
            answer = (asked * x[:, :-1, 4:7]).sum(dim=1)
            return 20 * self.weight[0] * answer + 5 * self.weight[1] * (1 - answer)

    model = Sure()
    losses = kata.train_recall(model, steps=6, num_pairs=4, num_values=3, batch_size=5, lr=0.05)
    return [torch.tensor(losses), model.weight]
