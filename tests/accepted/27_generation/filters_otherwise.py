"""The k-th largest by kthvalue; nucleus sets by comparing every token with every other; draws by inverting the cumulative sum."""


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
    kept = torch.where(before < p, -ordered, torch.tensor(-torch.inf, dtype=logits.dtype))
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
    drawn = torch.rand(len(logits), 1, dtype=torch.float64, generator=generator, device=logits.device)
    return torch.searchsorted(reached / reached[:, -1:], drawn, right=True)
