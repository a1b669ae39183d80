"""Draws as argmax of logits plus Gumbel noise; exactly k tokens by scatter; nucleus
sets counted in sorted order.
"""


def pick_device(preference=None):
    if preference:
        return torch.device(preference)
    for kind, there in (
        ("cuda", torch.cuda.is_available),
        ("mps", torch.backends.mps.is_available),
    ):
        if there():
            return torch.device(kind)
    return torch.device("cpu")


def top_k_filter(logits, k):
    if k <= 0:
        raise ValueError(k)
    values, places = torch.topk(logits, k=min(k, logits.shape[-1]))
    return torch.full_like(logits, float("-inf")).scatter(-1, places, values)


def top_p_filter(logits, p):
    if p <= 0 or p > 1:
        raise ValueError(p)
    probabilities, order = torch.sort(
        torch.softmax(logits.double(), -1), dim=-1, descending=True
    )
    remove = torch.cumsum(probabilities, -1) >= p
    remove = torch.cat([torch.zeros_like(remove[..., :1]), remove[..., :-1]], -1)
    if p == 1.0:
        remove = torch.zeros_like(remove)
    mask = torch.zeros_like(remove).scatter(-1, order, remove)
    return torch.where(
        mask,
        torch.tensor(float("-inf"), dtype=logits.dtype, device=logits.device),
        logits,
    )


def sample_next(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    if temperature < 0.0:
        raise ValueError("negative")
    if temperature == 0:
        return torch.topk(logits, 1).indices
    scaled = logits.to(torch.float64) / temperature
    scaled = scaled if top_k is None else top_k_filter(scaled, top_k)
    scaled = scaled if top_p is None else top_p_filter(scaled, top_p)
    noise = torch.empty_like(scaled).exponential_(generator=generator)
    return (scaled - noise.log()).argmax(-1).unsqueeze(-1)
