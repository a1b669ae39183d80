"""Questions that the specs of 14 cannot ask from another process, or ask only about
sizes that are known.
"""

import torch
from torch import nn

from grader.lock.probes import probe


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
    lengths = (torch.randperm(9, generator=rng)[:3] + 2).tolist()
    found = kata.compare_seq2seq(
        lengths, steps=2, hidden_size=3, vocab_size=5, seed=lengths[0]
    )
    losses = [
        0 < each["loss"] < 5 for models in found.values() for each in models.values()
    ]
    right = [
        each["accuracy"] * 200 * length
        for length, models in found.items()
        for each in models.values()
    ]
    return [
        {length: sorted(found[length]) for length in found},
        losses,
        [abs(n - round(n)) < 1e-3 for n in right],
    ]


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
