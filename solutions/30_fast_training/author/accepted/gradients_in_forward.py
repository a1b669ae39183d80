"""The chunked loss as a torch.autograd.Function: no logits are computed twice, and
backward only multiplies.
"""


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, hidden, weight, targets, chunk_size, vocab_size):
        rows, flat = hidden.flatten(0, 1), targets.flatten()
        counted = flat != -100
        share = 1 / counted.sum().clamp(min=1)
        half = (
            torch.get_autocast_dtype("cpu")
            if torch.is_autocast_enabled("cpu")
            else weight.dtype
        )
        cast = weight.to(half)
        total = torch.zeros((), dtype=weight.dtype)
        d_rows, d_weight = torch.empty_like(rows), torch.zeros_like(weight)
        for start in range(0, len(flat), chunk_size):
            part = slice(start, start + chunk_size)
            logits = (rows[part].to(half) @ cast.T).to(weight.dtype)
            logits[:, vocab_size:] = -torch.inf
            log_p = logits.log_softmax(-1)
            where = torch.arange(len(log_p)), flat[part].clamp(min=0)
            total -= (log_p[where] * counted[part]).sum()
            d_logits = log_p.exp_()
            d_logits[where] -= 1
            d_logits *= (counted[part] * share)[:, None]
            d_rows[part] = d_logits.to(half) @ cast
            d_weight += d_logits.to(half).T @ rows[part].to(half)
        ctx.save_for_backward(d_rows.view_as(hidden), d_weight)
        return total * share

    @staticmethod
    def backward(ctx, factor):
        d_hidden, d_weight = ctx.saved_tensors
        return factor * d_hidden, factor * d_weight, None, None, None


def chunked_cross_entropy(hidden, weight, targets, chunk_size=1024, vocab_size=None):
    if chunk_size <= 0:
        raise ValueError(chunk_size)
    return _Chunked.apply(
        hidden,
        weight,
        targets,
        chunk_size,
        len(weight) if vocab_size is None else vocab_size,
    )
