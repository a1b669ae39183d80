"""Questions about inputs drawn anew in papers/08."""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, judge, probe


@probe("attention_readout_numpy")
def _(kata, rng):
    count, width = torch.randint(2, 9, (2,), generator=rng).tolist()
    memory, query = (
        torch.randn(size, generator=rng, dtype=torch.float64)
        for size in ((count, width), (width,))
    )
    return kata.attention_readout_numpy(memory.numpy(), query.numpy())


@probe("ReadProcessWrite.__init__")
def _(kata, rng):
    found = []
    for reader, own in (("set", "process"), ("lstm", "lstm")):
        numbers, hidden, steps = torch.randint(1, 30, (3,), generator=rng).tolist()
        model = kata.ReadProcessWrite(numbers, hidden, steps, reader)
        parts = [
            getattr(model, name)
            for name in ("read", own, "init", "decoder", "W1", "W2", "v")
        ]
        found.append(
            [
                {name: tuple(one.shape) for name, one in part.named_parameters()}
                for part in parts
            ]
        )
    return found


@probe("ReadProcessWrite.forward")
def _(kata, rng):
    found = []
    for reader, own in (("set", "process"), ("lstm", "lstm")):
        model = kata.ReadProcessWrite(2, 5, 3, reader)
        for name in ("read", own, "init", "decoder", "W1", "W2", "v"):
            for _, parameter in sorted(getattr(model, name).named_parameters()):
                parameter.data.copy_(torch.randn(parameter.shape, generator=rng))
        x = torch.randn(3, 4, 2, generator=rng)
        chosen = torch.rand(3, 4, generator=rng).argsort(dim=1)
        for targets in (None, chosen):
            logits, picks = model(x, targets)
            found.append([logits.detach().exp(), picks])  # of the places taken, 0
    return found


@probe("ProcessBlock")
def _(kata, rng):
    block, found = kata.ProcessBlock(4), []
    fill(block, rng)
    names = sorted((name, tuple(p.shape)) for name, p in block.named_parameters())
    memory = torch.randn(3, 5, 4, generator=rng)
    mask = (torch.rand(3, 5, generator=rng) < 0.5).index_fill(
        1, torch.tensor([0]), True
    )
    for steps in (0, 1, 3):
        found += [block(memory, steps).detach(), block(memory, steps, mask).detach()]
    return [names, found]


@probe("ReadProcessWrite.encode")
def _(kata, rng):
    found, x = [], torch.randn(3, 5, 2, generator=rng)
    for reader in ("set", "lstm"):
        model = kata.ReadProcessWrite(2, 4, process_steps=2, reader=reader)
        fill(model, rng)
        found += [part.detach() for part in model.encode(x)]
    return found


@probe("train_sorter")
def _(kata, rng):
    """On sets that are drawn here; what each asks for is noted."""
    model = kata.ReadProcessWrite(1, 4, process_steps=2)
    fill(model, rng)
    x, asked = torch.rand(3, 5, 1, generator=rng), []
    orders = {
        name: torch.rand(3, 5, generator=rng).argsort(1)
        for name in ("sorted", "random")
    }

    def targets(x, order="sorted", generator=None):
        asked.append(order)
        return orders[order]

    stand_ins = {"number_sets": lambda *given, **options: x, "set_targets": targets}
    with mock.patch.multiple(kata, **stand_ins):
        losses = [
            kata.train_sorter(model, steps=3, batch=3, n=5, lr=0.02, order=order)
            for order in orders
        ]
    return [losses, asked, model.v.weight.detach()]


class Weighted(nn.Module):
    """The code of a set weighs each place by its own number."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def encode(self, x):
        return x, (x * self.weights[:, None]).sum(1)


@probe("order_gap")
def _(kata, rng):
    """Of two elements there is one other order, which is drawn for some of the sets."""
    x, weights = torch.randn(40, 2, 3, generator=rng), torch.randn(2, generator=rng)
    gaps = kata.order_gap(Weighted(weights), x, torch.Generator().manual_seed(1))
    alike = torch.randn(1, 2, 3, generator=rng).expand(40, 2, 3)
    same = kata.order_gap(Weighted(weights), alike, torch.Generator().manual_seed(1))
    return [x, weights, gaps, same]


@judge("order_gap")
def _(values, expected):
    """The largest of the gaps that a swap makes, but for the sets that keep their
    order: of equal sets, which are many, it is surely the swap's.
    """
    (x, weights, *_), (_, _, gap, same) = expected, values
    swapped = (x[:, 0] - x[:, 1]) * (weights[0] - weights[1])
    most = swapped.abs().flatten(1).amax(1).sort().values
    return [same, any(abs(gap - one) < 1e-4 for one in most[-20:].tolist())]
