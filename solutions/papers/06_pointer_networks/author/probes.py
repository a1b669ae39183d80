"""Questions about inputs drawn anew in papers/06."""

from unittest import mock

import torch

from grader.lock.probes import fill, probe


@probe("PointerNet.__init__")
def _(kata, rng):
    numbers, hidden = torch.randint(1, 30, (2,), generator=rng).tolist()
    model = kata.PointerNet(numbers, hidden)
    parts = (model.embed, model.encoder, model.decoder, model.attention)
    shapes = [
        {name: tuple(parameter.shape) for name, parameter in part.named_parameters()}
        for part in parts
    ]
    return [shapes, tuple(model.start.shape)]


@probe("pointer_scores_numpy")
def _(kata, rng):
    shapes = (5, 3), (3,), (3, 3), (3, 3), (3,)
    given = [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]
    return kata.pointer_scores_numpy(*given)


@probe("convex_hull")
def _(kata, rng):
    return [kata.convex_hull(torch.rand(n, 2, generator=rng)) for n in (5, 9, 20)]


@probe("PointerAttention")
def _(kata, rng):
    layer = kata.PointerAttention(4)
    fill(layer, rng)
    enc, dec = torch.randn(3, 5, 4, generator=rng), torch.randn(3, 4, generator=rng)
    mask = (torch.rand(3, 5, generator=rng) < 0.5).index_fill(
        1, torch.tensor([0]), True
    )
    masked = layer(enc, dec, mask)
    return [layer(enc, dec).detach(), masked.softmax(1).detach(), masked.isfinite()]


def lists(rng):
    """Lists of drawn lengths, and a drawn order of the places of each."""
    lengths = torch.tensor([5, 3, 4])[torch.randperm(3, generator=rng)]
    targets = torch.full((3, 5), -100)
    for row, length in zip(targets, lengths.tolist()):
        row[:length] = torch.randperm(length, generator=rng)
    return torch.randn(3, 5, 2, generator=rng), lengths, targets


@probe("PointerNet.forward")
def _(kata, rng):
    model = kata.PointerNet(2, 4)
    fill(model, rng)
    x, lengths, targets = lists(rng)
    found = []
    for given in ((targets,), ()):
        logits, picks = model(x, lengths, *given)
        shares = logits.masked_fill(logits.isneginf(), -99.0)
        found += [shares.detach(), picks]
    loss = kata.pointer_loss(model(x, lengths, targets)[0], targets)
    return [found, torch.autograd.grad(loss, (model.embed.weight, model.start))]


@probe("pointer_loss")
def _(kata, rng):
    _, _, targets = lists(rng)
    return kata.pointer_loss(torch.randn(3, 5, 5, generator=rng), targets)


@probe("exact_match")
def _(kata, rng):
    found = []
    for share in (0.0, 0.1, 0.5):
        _, _, targets = lists(rng)
        targets = targets.repeat(20, 1)
        wrong = torch.rand(targets.shape, generator=rng) < share / 2
        picks = torch.where(targets == -100, 3, (targets + wrong.long()) % 5)
        found.append(kata.exact_match(picks, targets))
    return found


@probe("train_pointer")
def _(kata, rng):
    """All batches hold the same drawn lists."""
    model = kata.PointerNet(2, 4)
    fill(model, rng)
    with mock.patch.object(kata, "sort_batch", lambda *given, **options: drawn):
        drawn = lists(rng)
        losses = kata.train_pointer(model, steps=4, batch=3, lr=0.05)
    return [losses, model.start.detach()]
