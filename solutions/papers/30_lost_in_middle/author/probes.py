"""Questions that the specs of papers/30 cannot ask from another process: they read what the model was called with."""

from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import probe


@probe("train_reader")
def _(kata, rng):
    """The model finds the answer, and learns how sure to be of each position. The prior allows only one of them."""

    class Sure(nn.Module):
        num_documents, key_size, num_values = 4, 3, 5

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, generator=rng))

        def forward(self, query, keys, values, correction=None):
            place = (keys == query[:, None]).all(dim=2)
            answer = F.one_hot((place * values).sum(dim=1), 5)
            return (answer * (place.float() @ self.weight)[:, None]).log_softmax(dim=1)

    model, prior = Sure(), F.one_hot(torch.randint(4, (), generator=rng), 4).float()
    losses = kata.train_reader(model, steps=5, prior=prior, noise=0.0, batch_size=6, lr=0.3)
    return [torch.tensor(losses), model.weight]


@probe("length_sweep")
def _(kata, rng):
    seen, lengths = [], (3 + torch.randperm(6, generator=rng))[:3].tolist()

    def train(model, *, steps, prior, noise=1.0, **settings):
        seen.append((model.num_documents, steps, prior, noise))

    def measure(model, *, noise=1.0, **settings):
        seen.append((model.num_documents, noise))
        return torch.randint(65, (model.num_documents,), generator=rng) / 64

    with mock.patch.multiple(kata, train_reader=train, accuracy_by_position=measure):
        return [kata.length_sweep(lengths, steps=7, noise=0.5), seen]
