"""Lengths made where none are given, and checked like others; the real steps turned
round; norms by vjp.
"""


def run_recurrent(cell, x, lengths=None, initial_state=None, reverse=False):
    B, T, _ = x.shape
    if lengths is None:
        lengths = torch.full((B,), T, device=x.device)
    if lengths.shape != (B,) or lengths.min() < 0 or lengths.max() > T:
        raise ValueError("lengths do not fit")
    state, outputs = initial_state, {}
    for t in sorted(range(T), reverse=reverse):
        real = (lengths > t).unsqueeze(1)
        new = cell(x[:, t], state)
        pair = isinstance(new, tuple)
        new = new if pair else (new,)
        if state is None:
            old = [torch.zeros_like(part) for part in new]
        else:
            old = state if pair else (state,)
        outputs[t] = torch.where(real, new[0], torch.zeros_like(new[0]))
        kept = tuple(torch.where(real, a, b) for a, b in zip(new, old, strict=True))
        state = kept if pair else kept[0]
    return torch.stack([outputs[t] for t in range(T)], dim=1), state


def run_bidirectional(forward_cell, backward_cell, x, lengths=None):
    """The real steps turned round and read from the left."""
    from_left, first = run_recurrent(forward_cell, x, lengths)
    t = torch.arange(x.shape[1], device=x.device).expand(x.shape[:2])
    n = (
        torch.full((len(x), 1), x.shape[1], device=x.device)
        if lengths is None
        else lengths.unsqueeze(1)
    )
    turned = torch.where(t < n, n - 1 - t, t).unsqueeze(-1)
    from_right, last = run_recurrent(
        backward_cell, x.take_along_dim(turned, dim=1), lengths
    )
    return torch.cat([from_left, from_right.take_along_dim(turned, dim=1)], dim=2), (
        first,
        last,
    )


def input_gradient_norms(cell, x):
    _, pull = torch.func.vjp(
        lambda v: run_recurrent(cell, v)[0][:, -1].sum(), x.detach()
    )
    (gradient,) = pull(torch.ones((), dtype=x.dtype, device=x.device))
    return gradient.detach().norm(dim=(0, 2))
