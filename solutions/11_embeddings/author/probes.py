"""Questions that the specs of 11 ask only about inputs that are known."""

import torch
from torch import nn

from grader.lock.probes import fill, probe


def texts(rng):
    """Four texts of words such as "w7": some are frequent, some occur once, some as
    often as others.
    """
    rows = torch.randint(9, (4, 6), generator=rng) * torch.randint(
        1, 9, (4, 6), generator=rng
    )
    return [" ".join(f"w{number}" for number in row) for row in rows.tolist()]


@probe("Vocabulary.__init__")
def _(kata, rng):
    found = []
    for limits in ({}, {"min_freq": 2}, {"max_size": 6}):
        vocabulary = kata.Vocabulary(texts(rng), **limits)
        found.append(
            [
                vocabulary.tokens,
                dict(vocabulary.ids),
                vocabulary.pad_id,
                vocabulary.unk_id,
            ]
        )
    return found


@probe("Vocabulary.encode")
def _(kata, rng):
    vocabulary = kata.Vocabulary(texts(rng), max_size=9)
    return [vocabulary.encode(text) for text in texts(rng)]


@probe("PackedBatch.pack")
def _(kata, rng):
    padded, lengths = (
        torch.randn(5, 7, 3, generator=rng),
        torch.randint(1, 7, (5,), generator=rng),
    )
    packed = kata.PackedBatch.pack(padded, lengths)
    return [packed.data, packed.batch_sizes, packed.sorted_indices, packed.total_length]


@probe("memory_comparison")
def _(kata, rng):
    return kata.memory_comparison(*torch.randint(1, 999, (3,), generator=rng).tolist())


def seen(rng, function, *given):
    """The result of drawn tensors, and their gradients."""
    given = [x.clone().requires_grad_() for x in given]
    out = function(*given)
    gradients = torch.autograd.grad(out, given, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


@probe("Vocabulary.decode")
def _(kata, rng):
    vocabulary = kata.Vocabulary(texts(rng))
    ids = torch.randint(len(vocabulary), (12,), generator=rng)
    ids[torch.randint(12, (4,), generator=rng)] = 0
    return vocabulary.decode(ids)


@probe("pad_batch")
def _(kata, rng):
    lengths, found = torch.randint(1, 7, (4,), generator=rng).tolist(), []
    for options in ({}, {"padding_value": 7}, {"max_len": 3}):
        pieces = [torch.randint(9, (n, 2), generator=rng) for n in lengths]
        found.append(kata.pad_batch(pieces, **options))
    return [found, found[0][0].dtype]


@probe("Embedding")
def _(kata, rng):
    """Written over: its first numbers are the code's own."""
    v, d, padding, *_ = torch.randint(3, 9, (4,), generator=rng).tolist()
    padding %= v
    layer, plain = kata.Embedding(v, d, padding), kata.Embedding(v, d)
    first, ids = layer.weight[padding].detach().clone(), torch.arange(2 * v) % v
    [[name, _]] = layer.named_parameters()
    grads = []
    for one in (layer, plain):
        fill(one, rng)
        out = one(ids.view(2, v))
        grads += torch.autograd.grad(out.pow(3).sum(), one.weight)
    zeros = kata.Embedding(v, d, 0).weight[0].detach()
    return [name, first, zeros, out.detach(), grads]


@probe("one_hot_lookup")
def _(kata, rng):
    ids, weight = (
        torch.randint(5, (2, 3), generator=rng),
        torch.randn(9, 4, generator=rng),
    )
    return seen(rng, lambda w: kata.one_hot_lookup(ids, w), weight)


@probe("embed_texts")
def _(kata, rng):
    vocabulary = kata.Vocabulary(texts(rng))
    embedding = fill(nn.Embedding(len(vocabulary), 3), rng)
    found = kata.embed_texts([*texts(rng), "a"], vocabulary, embedding)
    return {name: x.detach() for name, x in found.items()}


@probe("PackedBatch.unpack")
def _(kata, rng):
    padded = torch.randn(5, 6, 2, generator=rng)
    lengths = torch.randint(1, 6, (5,), generator=rng)
    order = lengths.argsort(descending=True, stable=True)
    running = torch.arange(6)[:, None] < lengths[order]
    data = padded[order].transpose(0, 1)[running]
    sizes = running.sum(1)[: lengths.max()]
    return kata.PackedBatch(data, sizes, order, 6).unpack(7.0)


@probe("project_2d")
def _(kata, rng):
    """The sign of each axis is free."""
    return kata.project_2d(torch.randn(9, 5, generator=rng)).abs()
