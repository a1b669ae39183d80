# Different: leading dims expanded and flattened to one batch, baddbmm and bmm, a
# softmax made of exp and sum.


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if mask is not None and not mask.dtype == torch.bool:
        raise TypeError("only bool masks")
    (T, D), (S, other), Dv = q.shape[-2:], k.shape[-2:], v.shape[-1]
    if D != other or S != v.shape[-2]:
        raise ValueError(f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)}")
    lead = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    dtype = torch.promote_types(q.dtype, torch.float32)
    q = q.expand(*lead, T, D).reshape(-1, T, D).to(dtype)
    k = k.expand(*lead, S, D).reshape(-1, S, D).to(dtype)
    alpha = 1 / math.sqrt(D) if scale is None else scale
    allowed = (
        torch.ones(*lead, T, S, dtype=torch.bool, device=q.device)
        if mask is None
        else mask
    )
    allowed = allowed.expand(*lead, T, S).reshape(-1, T, S)
    scores = torch.baddbmm(
        torch.zeros(1, 1, 1, dtype=dtype, device=q.device),
        q,
        k.transpose(1, 2),
        alpha=alpha,
    )
    scores = scores.masked_fill(allowed.logical_not(), torch.finfo(dtype).min)
    powers = (scores - scores.amax(-1, keepdim=True)).exp() * allowed
    weights = powers / powers.sum(-1, keepdim=True).clamp(min=torch.finfo(dtype).tiny)
    weights = weights.to(v.dtype)
    values = v.expand(*lead, S, Dv).reshape(-1, S, Dv)
    return torch.bmm(weights, values).reshape(*lead, T, Dv), weights.reshape(
        *lead, T, S
    )
