"""Questions that the specs of papers/27 cannot ask from another process: they read what the model was called with."""

from types import SimpleNamespace
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

from grader.lock.probes import probe


@probe("train_multi_token")
def _(kata, rng):
    """In this chain each token has one follower. The model knows it, and learns only how sure to be."""
    follower = torch.randperm(5, generator=rng)

    class Sure(nn.Module):
        vocab_size, num_heads = 5, 3

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(0.5 * torch.randn(3, generator=rng))

        def forward(self, tokens):
            logits = []
            for weight in self.weight:
                tokens = follower[tokens]
                logits.append(3 * weight * F.one_hot(tokens, 5))
            return torch.stack(logits, dim=2)

    model = Sure()
    options = {"steps": 5, "batch_size": 4, "length": 6, "lr": 0.1}
    return [kata.train_multi_token(model, F.one_hot(follower, 5).float(), **options), model.weight]


@probe("compare_heads")
def _(kata, rng):
    seen = []

    def build(vocab_size, hidden_size, num_heads):
        seen.append((vocab_size, hidden_size, num_heads, torch.rand(2)))
        return SimpleNamespace(num_heads=num_heads)

    def train(model, transition, *, steps, generator, **settings):
        return torch.rand(steps, model.num_heads, generator=generator).tolist()

    counts, seed = (torch.randperm(4, generator=rng) + 1).tolist(), int(torch.randint(1000, (), generator=rng))
    with mock.patch.dict(vars(kata), MultiTokenModel=build, train_multi_token=train):
        return [kata.compare_heads(torch.eye(5), counts, steps=3, hidden_size=6, seed=seed), seen]
