"""Questions that the specs of 12 ask only of what the code's own answers give."""

import torch
from torch import nn

from grader.lock.probes import fill, judge, probe


@probe("CharRNN")
def _(kata, rng):
    """A text in two pieces, and the states of one text, where every weight is
    drawn here.
    """
    ids, found = torch.randint(5, (2, 7), generator=rng), []
    for kind in ("rnn", "lstm", "gru"):
        model = kata.CharRNN(5, 3, 4, kind, num_layers=2)
        for part in (model.embedding, model.rnn, model.head):
            for parameter in part.parameters():
                parameter.detach().copy_(torch.randn(parameter.shape, generator=rng))
        first, state = model(ids[:, :3])
        found += [first, state, model(ids[:, 3:], state), model.hidden_states(ids[0])]
    return found


def cell_asked(rng, kind, states):
    """A cell of drawn numbers: two steps, with a state and without, and the gradients
    of its parameters.
    """
    inputs, hidden = torch.randint(2, 6, (2,), generator=rng).tolist()
    cell = kind(inputs, hidden)
    state = cell.state_dict()
    shapes = {name: x.shape for name, x in state.items()}
    bound = max(x.abs().max() for x in state.values()) * hidden**0.5
    fill(cell, rng)
    x = torch.randn(2, 3, inputs, generator=rng)
    start = [torch.randn(3, hidden, generator=rng) for _ in range(states)]
    out = cell(x[0], tuple(start) if states > 1 else start[0])
    out = cell(x[1], out)
    last = out[0] if states > 1 else out
    grads = torch.autograd.grad(last.pow(2).sum(), cell.parameters())
    fresh = cell(x[0])
    return [shapes, bound.item() <= 1, _plain(out), _plain(fresh), grads]


def _plain(state):
    return [x.detach() for x in (state if isinstance(state, tuple) else (state,))]


@probe("RNNCell")
def _(kata, rng):
    return cell_asked(rng, kata.RNNCell, 1)


@probe("LSTMCell")
def _(kata, rng):
    return cell_asked(rng, kata.LSTMCell, 2)


@probe("GRUCell")
def _(kata, rng):
    return cell_asked(rng, kata.GRUCell, 1)


def sequences(rng):
    """Drawn sequences, their lengths, and a cell of PyTorch's with drawn numbers."""
    x, lengths = torch.randn(3, 5, 2, generator=rng), torch.tensor([5, 2, 4])
    return fill(nn.GRUCell(2, 4), rng), x, lengths[torch.randperm(3, generator=rng)]


@probe("run_recurrent")
def _(kata, rng):
    found = []
    for reverse in (False, True):
        cell, x, lengths = sequences(rng)
        start = torch.randn(3, 4, generator=rng)
        for given in (lengths, None):
            outputs, state = kata.run_recurrent(cell, x, given, start, reverse)
            found += [outputs.detach(), state.detach()]
        _, x, lengths = sequences(rng)
        two = kata.LSTMCell(2, 4)
        fill(two, rng)
        outputs, state = kata.run_recurrent(two, x, lengths, reverse=reverse)
        found += [outputs.detach(), *_plain(state)]
    return found


@probe("run_bidirectional")
def _(kata, rng):
    (one, x, lengths), (other, *_) = sequences(rng), sequences(rng)
    outputs, states = kata.run_bidirectional(one, other, x, lengths)
    return [outputs.detach(), _plain(states)]


@probe("draw_windows")
def _(kata, rng):
    data = torch.randint(10**6, (9,), generator=rng)
    seed = int(torch.randint(999, (), generator=rng))
    drawn = []
    for one in (seed, seed, seed + 1):
        drawn.append(
            kata.draw_windows(data, 300, 4, torch.Generator().manual_seed(one))
        )
    return [data, kata.draw_windows(data, 2, 8), drawn, torch.rand(3)]


@judge("draw_windows")
def _(values, expected):
    data, (_, whole, drawn, _) = expected[0], values
    windows = data.unfold(0, 5, 1)
    found = [torch.cat([x, y[:, -1:]], dim=1) for x, y in drawn]
    counts = [(one[:, None] == windows).all(2).sum(0) for one in found]
    return [
        whole,
        [x[:, 1:] - y[:, :-1] for x, y in drawn],
        [count.sum() for count in counts],
        counts[0].min() > 30 and counts[0].max() < 100,
        found[0] - found[1],
        bool((found[0] != found[2]).any()),
    ]


@probe("train_char_rnn")
def _(kata, rng):
    """A text of one window makes every batch the same; the clock is a drawn one."""
    model = kata.CharRNN(5, 3, 4, "gru")
    for part in (model.embedding, model.rnn, model.head):
        fill(part, rng)
    data = torch.randint(5, (7,), generator=rng)
    found = kata.train_char_rnn(model, data, 5, 2, 6, lr=0.1, max_norm=0.5)
    rate = found["tokens_per_second"] * found["seconds"]
    return [found["losses"], rate, *_plain(tuple(model.head.parameters()))]


@probe("input_gradient_norms")
def _(kata, rng):
    return [kata.input_gradient_norms(*sequences(rng)[:2]) for _ in range(2)]
