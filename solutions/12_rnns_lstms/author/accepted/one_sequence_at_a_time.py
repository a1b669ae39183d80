"""Every sequence by itself, padded again at the end; the reverse by turning each one
round; gradients step by step.
"""


def _alone(cell, steps, state):
    rows = []
    for step in steps:
        state = cell(step[None], state)
        rows.append(state[0][0] if isinstance(state, tuple) else state[0])
    return rows, state


def run_recurrent(cell, x, lengths=None, initial_state=None, reverse=False):
    B, T, _ = x.shape
    if lengths is None:
        lengths = [T] * B
    else:
        if (
            lengths.ndim != 1
            or len(lengths) != B
            or not all(0 <= n <= T for n in lengths.tolist())
        ):
            raise ValueError(f"bad lengths: {lengths}")
        lengths = lengths.tolist()
    pair = isinstance(cell, LSTMCell)
    if initial_state is None:
        zeros = torch.zeros(B, cell.hidden_size, dtype=x.dtype, device=x.device)
        initial_state = (zeros, zeros) if pair else zeros
    outputs, finals = [], []
    for b, n in enumerate(lengths):
        state = (
            tuple(s[b, None] for s in initial_state) if pair else initial_state[b, None]
        )
        steps = list(x[b, :n])
        rows, state = _alone(cell, steps[::-1] if reverse else steps, state)
        if reverse:
            rows = rows[::-1]
        rows += [x.new_zeros(cell.hidden_size)] * (T - n)
        outputs.append(torch.stack(rows))
        finals.append(state)
    if pair:
        h, c = zip(*finals)
        return torch.stack(outputs), (torch.cat(h), torch.cat(c))
    return torch.stack(outputs), torch.cat(finals)


def input_gradient_norms(cell, x):
    with torch.enable_grad():
        steps = [x[:, t].detach().requires_grad_() for t in range(x.size(1))]
        state = None
        for step in steps:
            state = cell(step, state)
        h = state[0] if type(state) is tuple else state
        gradients = torch.autograd.grad(h.sum(), steps)
    return torch.stack([g.flatten().norm() for g in gradients])
