"""Questions on an LSTM whose gates can be looked at."""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, probe


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


def sizes(rng):
    """Input and hidden sizes."""
    return torch.randint(2, 6, (2,), generator=rng).tolist()


@probe("lstm_step_numpy")
def _(kata, rng):
    i, h = sizes(rng)
    shapes = (3, i), (3, h), (3, h), (4 * h, i), (4 * h, h), (4 * h,)
    given = [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]
    return kata.lstm_step_numpy(*given)


def a_cell(kata, rng):
    i, h = sizes(rng)
    cell = kata.LSTMCellScratch(i, h)
    fill(cell, rng)
    return (
        cell,
        torch.randn(3, 5, i, generator=rng),
        torch.randn(2, 3, h, generator=rng),
    )


@probe("LSTMCellScratch")
def _(kata, rng):
    bias = (
        kata.LSTMCellScratch(2, 3, forget_bias=0.5 + sizes(rng)[0])
        .bias.detach()
        .clone()
    )
    cell, x, state = a_cell(kata, rng)
    shapes = sorted((name, tuple(p.shape)) for name, p in cell.named_parameters())
    gates = [gate.detach() for gate in cell.gates(x[:, 0], state[0])]
    out = cell(x[:, 1], cell(x[:, 0], tuple(state)))
    fresh = [part.detach() for part in cell(x[:, 0])]
    names, parts = zip(*sorted(cell.named_parameters()))
    both, grads = seen(rng, torch.cat(out), *parts)
    return [shapes, bias, gates, fresh, both, dict(zip(names, grads))]


@probe("run_lstm")
def _(kata, rng):
    cell, x, state = a_cell(kata, rng)
    found = kata.run_lstm(cell, x, tuple(state)), kata.run_lstm(cell, x)
    return [{name: part.detach() for name, part in one.items()} for one in found]


def a_net(kata, kind, rng):
    net = kata.RecallNet(kind, 3, 5, 4, 2.0)
    bias = net.cell.bias.detach().clone() if kind == "lstm" else torch.zeros(1)
    fill(net.cell, rng)
    fill(net.head, rng)
    return net, bias


@probe("RecallNet")
def _(kata, rng):
    found, x = [], torch.randn(2, 6, 3, generator=rng)
    for kind in ("lstm", "rnn"):
        net, bias = a_net(kata, kind, rng)
        found += [bias, net(x).detach()]
    return found


@probe("gradient_through_time")
def _(kata, rng):
    net, _ = a_net(kata, "rnn", rng)
    x, y = torch.randn(3, 6, 3, generator=rng), torch.randint(4, (3,), generator=rng)
    return kata.gradient_through_time(net, x, y)


@probe("train_recall")
def _(kata, rng):
    """On batches that are drawn here, each once."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    fill(net, rng)
    batches = [
        (torch.randn(3, 3, 4, generator=rng), torch.randint(4, (3,), generator=rng))
        for _ in range(5)
    ]
    left = iter(batches)
    with mock.patch.object(kata, "recall_batch", lambda *given, **options: next(left)):
        losses = kata.train_recall(net, steps=5, length=3, batch=3, lr=0.1)
    return [losses, net[1].weight.detach()]
