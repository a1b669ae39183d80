"""Questions that the specs of papers/30 cannot ask from another process: they read what
the model was called with.
"""

from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import probe


@probe("train_reader")
def _(kata, rng):
    """The model finds the answer, and learns how sure to be of each position. The prior
    allows only one of them.
    """

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
    losses = kata.train_reader(
        model, steps=5, prior=prior, noise=0.0, batch_size=6, lr=0.3
    )
    return [torch.tensor(losses), model.weight]


class Choosy(nn.Module):
    """Answers right where the correction is above 0, and weighs documents by their
    position alone.
    """

    key_size, num_values = 6, 5

    def __init__(self, bias):
        super().__init__()
        self.num_documents, self.bias = len(bias), bias

    def forward(self, query, keys, values, correction=None):
        place = (keys == query[:, None]).all(dim=2)
        answer = (place * values).sum(dim=1)
        wrong = (place.float() @ (correction <= 0).float()).long()
        return F.one_hot((answer + wrong) % 5, 5).float()

    def attention(self, query, keys, correction=None):
        return self.bias.softmax(dim=0).expand(len(query), -1)


@probe("accuracy_by_position")
def _(kata, rng):
    found = []
    for count in (9 + torch.randperm(9, generator=rng))[:3].tolist():
        model, correction = (
            Choosy(torch.zeros(count)),
            torch.randn(count, generator=rng),
        )
        found.append(
            kata.accuracy_by_position(
                model, examples_per_position=20, noise=0.0, correction=correction
            )
        )
    return found


@probe("measure_position_bias")
def _(kata, rng):
    counts = torch.randint(3, 9, (3,), generator=rng).tolist()
    return [
        kata.measure_position_bias(
            Choosy(torch.randn(count, generator=rng)), num_examples=20
        )
        for count in counts
    ]


@probe("Reader.__init__")
def _(kata, rng):
    sizes = torch.randint(2, 20, (4,), generator=rng).tolist()
    reader = kata.Reader(*sizes)
    shapes = {
        name: tuple(parameter.shape) for name, parameter in reader.named_parameters()
    }
    return [shapes, reader.num_documents, reader.key_size, reader.num_values]


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
