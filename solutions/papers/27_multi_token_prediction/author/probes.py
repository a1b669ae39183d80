"""Questions that the specs of papers/27 cannot ask from another process: they read what
the model was called with.
"""

from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import probe


class Sure(nn.Module):
    """Knows the one follower of each token, and learns only how sure to be."""

    vocab_size, num_heads = 5, 3

    def __init__(self, follower, rng):
        super().__init__()
        self.follower, self.weight = (
            follower,
            nn.Parameter(0.5 * torch.randn(3, generator=rng)),
        )

    def forward(self, tokens):
        logits = []
        for weight in self.weight:
            tokens = self.follower[tokens]
            logits.append(3 * weight * F.one_hot(tokens, 5))
        return torch.stack(logits, dim=2)


class Built(nn.Module):
    """The parts of a `MultiTokenModel`, which are computed here."""

    vocab_size, num_heads = 5, 3

    def __init__(self, rng):
        super().__init__()
        self.embedding, self.trunk = nn.Embedding(5, 4), nn.GRU(4, 4, batch_first=True)
        self.heads = nn.ModuleList(nn.Linear(4, 5) for _ in range(3))
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=rng))

    def hidden(self, tokens):
        return self.trunk(self.embedding(tokens))[0]

    def forward(self, tokens):
        hidden = self.hidden(tokens)
        return torch.stack([head(hidden) for head in self.heads], dim=2)


@probe("backward_head_by_head")
def _(kata, rng):
    model = Built(rng).double()
    total = kata.backward_head_by_head(model, torch.randint(5, (2, 6), generator=rng))
    return [total, *(parameter.grad for parameter in model.parameters())]


@probe("train_multi_token")
def _(kata, rng):
    """In this chain each token has one follower: draws decide nothing."""
    follower = torch.randperm(5, generator=rng)
    model = Sure(follower, rng)
    options = {"steps": 5, "batch_size": 4, "length": 6, "lr": 0.1}
    return [
        torch.tensor(
            kata.train_multi_token(model, F.one_hot(follower, 5).float(), **options)
        ),
        model.weight,
    ]


def built(kata, seed, sizes):
    """A model built right after this seed was set."""
    import torch

    torch.manual_seed(seed)
    return kata.MultiTokenModel(*sizes)


@probe("compare_heads")
def _(kata, rng):
    """Training is replaced by draws of losses, and each model is compared with one that
    was built as it should be.
    """
    size, hidden, seed = (int(torch.randint(3, 9, (), generator=rng)) for _ in range(3))
    counts, seen, models = (torch.randperm(4, generator=rng)[:3] + 1).tolist(), {}, {}
    losses = {count: torch.rand(3, count, generator=rng).tolist() for count in counts}

    def train(model, transition, *, steps, generator, **settings):
        seen[model.num_heads] = (
            len(transition),
            steps,
            generator.initial_seed(),
            settings,
        )
        models[model.num_heads] = [
            parameter.detach().clone() for parameter in model.parameters()
        ]
        return losses[model.num_heads]

    with mock.patch.object(kata, "train_multi_token", train):
        curves = kata.compare_heads(
            torch.eye(size), counts, steps=3, hidden_size=hidden, seed=seed
        )
    differences = []
    for count in counts:
        right = [*built(kata, seed, (size, hidden, count)).parameters()]
        differences += [
            (one - other).detach()
            for one, other in zip(models[count], right, strict=True)
        ]
    return [curves, seen, differences]
