"""The k-th largest by kthvalue; draws by inverting the cumulative sum; a cache that is
cleared when the window moves.
"""


def top_k_filter(logits, k):
    if not k >= 1:
        raise ValueError("k must be positive")
    size = logits.shape[-1]
    if k >= size:
        return logits.clone()
    limit = logits.kthvalue(size - k + 1, dim=-1, keepdim=True).values
    return logits.where(logits >= limit, -torch.inf)


def top_p_filter(logits, p):
    if not (p > 0 and p <= 1):
        raise ValueError("p must be in (0, 1]")
    if p == 1:
        return logits.clone()
    ordered, order = torch.sort(-logits, dim=-1, stable=True)
    weights = (-ordered).double().softmax(-1)
    before = weights.cumsum(-1).roll(1, -1)
    before[..., 0] = 0.0
    result = torch.full_like(logits, -torch.inf)
    kept = torch.where(
        before < p, -ordered, torch.tensor(-torch.inf, dtype=logits.dtype)
    )
    return result.scatter_(-1, order, kept.to(logits.dtype))


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature < 0:
        raise ValueError("the temperature must not be negative")
    if temperature == 0:
        return logits.max(dim=-1, keepdim=True).indices
    logits = logits.float() / temperature
    if top_k is not None:
        logits = top_k_filter(logits, top_k)
    if top_p is not None:
        logits = top_p_filter(logits, top_p)
    reached = logits.double().softmax(-1).cumsum(-1)
    drawn = torch.rand(
        len(logits), 1, dtype=torch.float64, generator=generator, device=logits.device
    )
    return torch.searchsorted(reached / reached[:, -1:], drawn, right=True)


def next_logits(model, idx, cache=None):
    window = idx[:, -model.config.block_size :]
    if cache is None:
        return model(window)[0].select(1, -1)
    if idx.size(1) > model.config.block_size:
        for layer in cache:
            layer.k = layer.v = None
    return model(window[:, len(cache[0]) :], cache=cache)[0][:, -1, :]


def apply_stop(token, done, stop_token):
    if stop_token is None:
        return token.clone(), done.clone()
    ended = done.logical_or(token.eq(stop_token))
    return torch.where(ended, torch.full_like(token, stop_token), token), ended
