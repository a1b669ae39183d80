"""Questions on a recurrent network that reads and writes characters."""

import torch

from grader.lock.probes import fill, judge, probe


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


def sizes(rng):
    """Numbers of characters and of features."""
    return torch.randint(3, 7, (2,), generator=rng).tolist()


def arrays(rng, *shapes):
    return [torch.randn(shape, generator=rng).double().numpy() for shape in shapes]


@probe("build_vocab")
def _(kata, rng):
    letters = torch.randint(97, 123, (12,), generator=rng).tolist()
    return kata.build_vocab("".join(map(chr, letters)))


@probe("rnn_forward_numpy")
def _(kata, rng):
    v, h = sizes(rng)
    given = arrays(rng, (h,), (h, v), (h, h), (v, h), (h,), (v,))
    return kata.rnn_forward_numpy(
        torch.randint(v, (6,), generator=rng).tolist(), *given
    )


@probe("rnn_backward_numpy")
def _(kata, rng):
    v, h = sizes(rng)
    ids, targets = torch.randint(v, (2, 6), generator=rng).tolist()
    h0, hidden, logits, W_hh, W_hy = arrays(rng, (h,), (6, h), (6, v), (h, h), (v, h))
    return kata.rnn_backward_numpy(ids, targets, h0, hidden / 3, logits, W_hh, W_hy)


def a_model(kata, rng):
    v, h = sizes(rng)
    model = kata.CharRNN(v, h)
    fill(model, rng)
    return model, v, h


@probe("CharRNN")
def _(kata, rng):
    """The first numbers are the code's own."""
    drawn = {
        name: p.detach().clone() for name, p in kata.CharRNN(30, 25).named_parameters()
    }
    model, v, h = a_model(kata, rng)
    ids = torch.randint(v, (2, 5), generator=rng)
    start = torch.randn(2, h, generator=rng).requires_grad_()
    logits, last = model(ids, start)
    return [
        {name: drawn[name] for name in sorted(drawn)},
        [seen(rng, logits, start), last.detach(), model(ids)[0].detach()],
        torch.autograd.grad(model(ids, start)[0].pow(2).sum(), model.W_xh),
    ]


@judge("CharRNN")
def _(values, expected):
    drawn, *found = values
    weights = [drawn[name] for name in ("W_xh", "W_hh", "W_hy")]
    return [
        found,
        [drawn["b_h"], drawn["b_y"]],
        [0.18 < w.max() <= 0.2001 and -0.2001 <= w.min() < -0.18 for w in weights],
        [len(w.unique()) > 0.9 * w.numel() for w in weights],
    ]


@probe("chunks")
def _(kata, rng):
    ids = torch.randint(99, (13,), generator=rng)
    return [kata.chunks(ids, n) for n in (2, 3, 4)]


@probe("train_char_rnn")
def _(kata, rng):
    model, v, _ = a_model(kata, rng)
    ids = torch.randint(v, (11,), generator=rng)
    losses = kata.train_char_rnn(model, ids, steps=7, seq_len=3, lr=0.02, max_norm=0.5)
    return [losses, model.W_hh.detach()]


@probe("sample")
def _(kata, rng):
    """Without temperature the best is taken; with it, of two what is sure is drawn."""
    model, v, h = a_model(kata, rng)
    prompt = torch.randint(v, (5,), generator=rng)
    found = [kata.sample(model, prompt, 6, temperature=0)]
    with torch.no_grad():
        model.W_hy *= 100
    return [found, kata.sample(model, prompt, 6, temperature=0.01)]
