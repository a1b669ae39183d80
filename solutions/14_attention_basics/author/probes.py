"""Questions that the specs of 14 cannot ask from another process, or ask only about
sizes that are known.
"""

from contextlib import contextmanager
from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, integers, judge, probe


@probe("Seq2Seq.__init__")
def _(kata, rng):
    sizes, found = integers(rng, 3, 3, 30), []
    for use_attention in (True, False):
        model = kata.Seq2Seq(*sizes, use_attention)
        for part in (model.embedding, model.encoder, model.decoder, model.head):
            shapes = [(name, p.shape) for name, p in part.state_dict().items()]
            found.append(sorted(shapes))
    return [found, model.attention]


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


class Watched(nn.Module):
    """Stands in for the model, and keeps how it was made."""

    def __init__(self, vocab_size, embed_dim, hidden_size, use_attention=True):
        super().__init__()
        self.symbols, self.use_attention = vocab_size, use_attention
        self.told = [embed_dim, hidden_size, torch.rand(3)]
        torch.rand(int(use_attention))


@contextmanager
def watching(kata, losses, wrong):
    """Training and decoding are replaced, and seen with all that they are given."""
    seen = {}

    def train(model, steps, batch_size=64, length=8, lr=5e-3, generator=None):
        batch, *_ = kata.make_reversal_batch(200, length, model.symbols, generator)
        told = [model.symbols, *model.told, steps, batch_size, lr, batch]
        seen[length, bool(model.use_attention)] = told
        return [length * loss + model.use_attention for loss in losses]

    def decode(model, src, max_len, src_mask=None):
        seen[max_len, bool(model.use_attention)].append(src)
        tokens = src.flip(1)
        tokens.view(-1)[: wrong + model.use_attention] = 0
        return tokens, None

    stand_ins = {"Seq2Seq": Watched, "train_seq2seq": train, "greedy_decode": decode}
    with mock.patch.multiple(kata, **stand_ins):
        yield seen


@probe("compare_seq2seq")
def _(kata, rng):
    lengths = (torch.randperm(9, generator=rng)[:3] + 2).tolist()
    steps, hidden, symbols, seed, wrong = integers(rng, 5, 5, 99)
    with watching(kata, torch.rand(4, generator=rng).tolist(), wrong) as seen:
        found = kata.compare_seq2seq(lengths, steps, hidden, symbols, seed)
    return [list(found), found, seen]


@judge("compare_seq2seq")
def _(values, expected):
    """The batches are free, but both models get the same, and others as a test."""
    *found, seen = values
    for length, attention in expected[2]:
        *told, batch, test = seen[length, attention]
        *_, other_batch, other_test = seen[length, not attention]
        same = torch.equal(batch, other_batch), torch.equal(test, other_test)
        found.append([length, attention, told, same, torch.equal(batch, test)])
    return found


def drawn(kata, use_attention, rng):
    """A model with parameters of our own, three sources, and their mask."""
    model = fill(kata.Seq2Seq(9, 5, 4, use_attention), rng)
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


def allowed(rng, *shape):
    """Random permissions, of which each row has one at least."""
    mask = torch.rand(shape, generator=rng) < 0.5
    return mask.index_fill(-1, torch.tensor([0]), True)


@probe("masked_softmax")
def _(kata, rng):
    scores = torch.randn(2, 4, 5, generator=rng).requires_grad_()
    found = []
    for mask, dim in ((allowed(rng, 2, 4, 5), -1), (None, 1), (allowed(rng, 5), 2)):
        weights = kata.masked_softmax(scores, mask, dim)
        loss = (weights * torch.randn(2, 4, 5, generator=rng)).sum()
        found.append([weights.detach(), *torch.autograd.grad(loss, scores)])
    return found


@probe("attend")
def _(kata, rng):
    scores = torch.randn(3, 3, 5, generator=rng)
    values = torch.randn(3, 5, 2, generator=rng)
    masks = None, allowed(rng, 3, 5), allowed(rng, 3, 3, 5)
    return [kata.attend(scores, values, mask) for mask in masks]


def additive(kata, rng):
    layer = kata.AdditiveAttention(4, 3, 5)
    for part in (layer.W_q, layer.W_k, layer.v):
        fill(part, rng)
    return layer, *(torch.randn(2, n, d, generator=rng) for n, d in ((3, 4), (6, 3)))


@probe("AdditiveAttention.score")
def _(kata, rng):
    layer, query, keys = additive(kata, rng)
    return [layer.score(query, keys).detach(), layer.score(query[:, :1], keys).detach()]


@probe("AdditiveAttention.forward")
def _(kata, rng):
    layer, query, keys = additive(kata, rng)
    values = torch.randn(2, 6, 4, generator=rng)
    found = []
    for one in (query, query[:, 0], query[:1, :1], query[:1, 0]):
        part = slice(len(one))
        mask = allowed(rng, len(one), 6)
        found += layer(one, keys[part], values[part], mask)
    found += layer(query, keys)
    return [x.detach() for x in found]
