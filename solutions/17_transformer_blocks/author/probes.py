"""Questions that the specs of 17 ask only about data that is known."""

import torch
from torch import nn

from grader.lock.probes import probe


class Reader(nn.Module):
    """Classifies by the mean embedding of the real tokens."""

    def __init__(self, rng):
        super().__init__()
        self.embedding, self.head = nn.Embedding(9, 4), nn.Linear(4, 3)
        with torch.no_grad():
            for parameter in (self.embedding.weight, self.head.weight, self.head.bias):
                parameter.copy_(3 * torch.randn(parameter.shape, generator=rng))

    def forward(self, ids, key_padding_mask=None):
        real = torch.ones_like(ids) if key_padding_mask is None else key_padding_mask
        weights = real.unsqueeze(-1).float()
        return self.head((self.embedding(ids) * weights).sum(dim=1) / weights.sum(dim=1))


@probe("train_classifier")
def _(kata, rng):
    """Losses of rows that are all the same, whichever are drawn; accuracy of others, where nothing is learnt."""
    ids, labels = torch.randint(9, (31, 5), generator=rng), torch.randint(3, (31,), generator=rng)
    real = (torch.rand(31, 5, generator=rng) < 0.6) | (torch.arange(5) == 0)
    alike = [part[:1].expand(31, *part.shape[1:]).clone() for part in (ids, labels, real)]
    losses = kata.train_classifier(Reader(rng), *alike, steps=4, batch_size=8, lr=0.05)["losses"]
    measured = kata.train_classifier(Reader(rng), ids, labels, real, steps=2, batch_size=8, lr=1e-9)
    return [torch.tensor(losses), measured["accuracy"]]
