"""Sorted by length, the batch shrinks as sequences end, as packing has it; the reverse
on rows turned by gather.
"""


def _turned(x, lengths):
    """Each row's first `length` steps in reverse order, the rest where it is."""
    T = x.size(1)
    steps = torch.arange(T, device=x.device)[None].expand(x.size(0), T)
    source = torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps)
    return x.gather(1, source[..., None].expand_as(x))


def run_recurrent(cell, x, lengths=None, initial_state=None, reverse=False):
    B, T, _ = x.size()
    if lengths is None:
        counts = [T] * B
        lengths = torch.full((B,), T, dtype=torch.int64, device=x.device)
    else:
        if lengths.shape != torch.Size([B]):
            raise ValueError(
                f"lengths: one for each of {B} sequences, not {tuple(lengths.shape)}"
            )
        counts = lengths.tolist()
        if min(counts) < 0 or max(counts) > T:
            raise ValueError(f"lengths: {counts} do not lie in 0 … {T}")
    if reverse:
        outputs, state = run_recurrent(
            cell, _turned(x, lengths), lengths, initial_state
        )
        return _turned(outputs, lengths), state
    order = sorted(range(B), key=lambda b: -counts[b])
    back = [order.index(b) for b in range(B)]
    if initial_state is None:
        initial_state = (x.new_zeros(B, cell.hidden_size),) * (
            2 if isinstance(cell, LSTMCell) else 1
        )
    elif not isinstance(initial_state, tuple):
        initial_state = (initial_state,)
    state = tuple(part[order] for part in initial_state)
    x = x[order]
    columns = []
    for t in range(T):
        live = sum(n > t for n in counts)
        if live:
            before = tuple(part[:live] for part in state)
            after = cell(x[:live, t], before if len(before) == 2 else before[0])
            after = after if isinstance(after, tuple) else (after,)
            state = tuple(
                torch.cat([new, old[live:]]) for new, old in zip(after, state)
            )
        columns.append(torch.cat([state[0][:live], torch.zeros_like(state[0][live:])]))
    state = tuple(part[back] for part in state)
    return torch.stack(columns, 1)[back], state if len(state) == 2 else state[0]


def run_bidirectional(forward_cell, backward_cell, x, lengths=None):
    a, last_a = run_recurrent(forward_cell, x, lengths)
    if lengths is None:
        b, last_b = run_recurrent(backward_cell, x.flip(1))
        b = b.flip(1)
    else:
        b, last_b = run_recurrent(backward_cell, _turned(x, lengths), lengths)
        b = _turned(b, lengths)
    return torch.cat((a, b), dim=2), (last_a, last_b)
