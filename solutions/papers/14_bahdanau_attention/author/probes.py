"""Questions about inputs drawn anew in papers/14."""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, probe


@probe("Seq2Seq.__init__")
def _(kata, rng):
    found = []
    for attention in (True, False):
        symbols, hidden = torch.randint(2, 20, (2,), generator=rng).tolist()
        model = kata.Seq2Seq(symbols, hidden, attention)
        parts = [model.embed, model.encoder, model.bridge, model.decoder, model.head]
        parts += [model.attention] if attention else []
        found.append(
            [
                {name: tuple(one.shape) for name, one in part.named_parameters()}
                for part in parts
            ]
        )
    return found


def drawn(kata, attention, rng):
    """A model with parameters of our own, five sources, and their lengths."""
    model = kata.Seq2Seq(11, 6, attention)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    lengths = torch.randint(1, 8, (5,), generator=rng)
    lengths[0] = 7
    src = torch.randint(2, 11, (5, 7), generator=rng)
    return model, src * (torch.arange(7) < lengths[:, None]), lengths


@probe("Seq2Seq.forward")
def _(kata, rng):
    found = []
    for attention in (True, False):
        model, src, lengths = drawn(kata, attention, rng)
        logits, weights = model(
            src, lengths, torch.randint(1, 11, (5, 4), generator=rng)
        )
        found.append([logits.detach(), weights.detach()])
    return found


@probe("greedy_translate")
def _(kata, rng):
    model, src, lengths = drawn(kata, True, rng)
    return kata.greedy_translate(
        model, src, lengths, int(torch.randint(4, 12, (), generator=rng))
    )


def allowed(rng, *shape):
    """Random permissions, of which each row has one at least."""
    mask = torch.rand(shape, generator=rng) < 0.5
    return mask.index_fill(-1, torch.tensor([0]), True)


@probe("additive_attention_numpy")
def _(kata, rng):
    shapes = (4,), (6, 3), (5, 4), (5, 3), (5,)
    given = [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]
    masks = None, allowed(rng, 6).numpy()
    return [kata.additive_attention_numpy(*given, mask) for mask in masks]


@probe("BahdanauAttention")
def _(kata, rng):
    layer, query = kata.BahdanauAttention(4, 3, 5), torch.randn(2, 4, generator=rng)
    fill(layer, rng)
    keys, found = torch.randn(2, 6, 3, generator=rng), []
    for mask in (None, allowed(rng, 2, 6)):
        context, weights = layer(query, keys, mask)
        grads = torch.autograd.grad(context.pow(2).sum(), layer.W_a.weight)
        found += [context.detach(), weights.detach(), grads]
    return found


@probe("alignment_mass")
def _(kata, rng):
    weights = torch.randn(2, 4, 6, generator=rng).softmax(-1)
    centre = torch.randint(6, (4,), generator=rng)
    return [kata.alignment_mass(weights, centre, width) for width in (0, 1, 3)]


class Named(nn.Module):
    """Scores each target by what stands before it."""

    def __init__(self, rng):
        super().__init__()
        self.table = nn.Parameter(3 * torch.randn(9, 9, generator=rng))

    def forward(self, src, lengths, tgt):
        return self.table[tgt], lengths


@probe("train_seq2seq")
def _(kata, rng):
    """On batches that are drawn here, some of whose places are padding."""
    model, batches = Named(rng), []
    for _ in range(5):
        src, given, wanted = torch.randint(3, 9, (3, 4, 6), generator=rng)
        wanted[:, 4:] = kata.PAD
        batches.append((src, torch.full((4,), 6), given, wanted))
    left = iter(batches)
    with mock.patch.object(kata, "reverse_batch", lambda *given, **options: next(left)):
        losses = kata.train_seq2seq(model, steps=5, batch=4, vocab_size=9, lr=0.1)
    return [losses, model.table.detach()]
