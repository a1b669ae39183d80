# einsum, an additive mask of −inf, a softmax by hand, the mask by comparing positions,
# and bytes asked of a meta tensor.


def causal_mask(t_q, t_k, device=None):
    if t_q < 1 or t_q > t_k:
        raise ValueError(f"cannot line up {t_q} queries with {t_k} keys")
    positions = torch.arange(t_k, device=device)
    return positions[None, :] <= positions[t_k - t_q :, None]


def manual_attention(q, k, v, dropout_p=0.0, return_weights=False):
    scores = torch.einsum("bhqd,bhkd->bhqk", q * q.shape[-1] ** -0.5, k)
    blocked = ~causal_mask(q.shape[2], k.shape[2], device=q.device)
    bias = torch.zeros(blocked.shape, dtype=scores.dtype, device=q.device).masked_fill_(
        blocked, -math.inf
    )
    scores = scores + bias
    raised = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = raised / raised.sum(-1, keepdim=True)
    dropped = nn.functional.dropout(weights, p=dropout_p, training=dropout_p > 0)
    out = torch.einsum("bhqk,bhkd->bhqd", dropped, v)
    if return_weights:
        return out, weights
    return out


def score_bytes(batch_size, n_head, n_tokens, dtype=torch.float32):
    return torch.empty(
        batch_size, n_head, n_tokens, n_tokens, dtype=dtype, device="meta"
    ).nbytes
