"""Questions that the specs of 14 cannot ask from another process, or ask only about
sizes that are known.
"""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import judge, probe


@probe("Seq2Seq.__init__")
def _(kata, rng):
    vocab_size, embed_dim, hidden_size = torch.randint(
        3, 30, (3,), generator=rng
    ).tolist()
    models = [
        kata.Seq2Seq(vocab_size, embed_dim, hidden_size, use_attention)
        for use_attention in (True, False)
    ]
    parts = [
        [(name, tuple(p.shape)) for name, p in model.state_dict().items()]
        for model in models
    ]
    return [
        [
            sorted(one for one in each if not one[0].startswith("attention."))
            for each in parts
        ],
        models[1].attention,
    ]


class Sums(nn.Module):
    """Predicts each symbol from the one before it and from all of the source."""

    def __init__(self, rng):
        super().__init__()
        self.embedding, self.head = nn.Embedding(7, 7), nn.Linear(7, 7, bias=False)
        with torch.no_grad():
            for part in (self.embedding, self.head):
                part.double().weight.copy_(torch.randn(7, 7, generator=rng))

    def forward(self, src, tgt_in, src_mask=None):
        return self.head(
            self.embedding(tgt_in) + self.embedding(src).sum(dim=1, keepdim=True).tanh()
        ), None


@probe("train_seq2seq")
def _(kata, rng):
    return kata.train_seq2seq(Sums(rng), 5, 3, 4, 0.03, rng)


@probe("compare_seq2seq")
def _(kata, rng):
    """Models that get drawn shares of the symbols right, after a training that tells
    what the generators give.
    """
    *lengths, seed = (torch.randperm(9, generator=rng)[:4] + 2).tolist()
    wrong, made = torch.randint(3, (2, 20), generator=rng), []

    def model(vocab_size, embed_dim, hidden_size, use_attention=False):
        made.append((use_attention, embed_dim, hidden_size, torch.rand(()).item()))
        return int(use_attention)

    def train(model, steps, *, length, generator):
        return [float(steps), torch.rand((), generator=generator).item() + length]

    def decode(model, src, max_len):
        tokens = src.flip(1)
        tokens[:, : wrong[model, max_len]] += 1
        return tokens, None

    stand_ins = {"Seq2Seq": model, "train_seq2seq": train, "greedy_decode": decode}
    with mock.patch.multiple(kata, **stand_ins):
        return [kata.compare_seq2seq(lengths, 2, 3, 20, seed=seed), sorted(made)]


@judge("compare_seq2seq")
def _(values, expected):
    found, made = values
    shares = {
        length: {name: each["accuracy"] for name, each in models.items()}
        for length, models in found.items()
    }
    losses = [
        (models["plain"]["loss"] - models["attention"]["loss"])
        for models in found.values()
    ]
    near = [
        length <= models["plain"]["loss"] <= length + 1
        for length, models in found.items()
    ]
    return [shares, losses, near, made]


def drawn(kata, use_attention, rng):
    """A model with parameters of our own, three sources, and their mask."""
    model = kata.Seq2Seq(9, 5, 4, use_attention)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(2 * torch.randn(parameter.shape, generator=rng))
    mask = torch.arange(6) < torch.tensor([[6], [2], [5]])
    return model, torch.randint(2, 9, (3, 6), generator=rng) * mask, mask


@probe("Seq2Seq.forward")
def _(kata, rng):
    found = []
    for use_attention in (True, False):
        model, src, mask = drawn(kata, use_attention, rng)
        with torch.no_grad():
            found.append(model(src, torch.randint(1, 9, (3, 4), generator=rng), mask))
    return found


@probe("greedy_decode")
def _(kata, rng):
    found = []
    for use_attention in (True, False):
        model, src, mask = drawn(kata, use_attention, rng)
        found.append(kata.greedy_decode(model, src, 8, mask))
    return found
