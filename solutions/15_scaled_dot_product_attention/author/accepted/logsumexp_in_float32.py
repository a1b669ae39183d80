# Different: scores in at least float32, softmax as exp(scores - logsumexp), a stand-in
# row of scores for queries without keys, and torch.where in place of masked_fill.


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if mask is not None and mask.dtype is not torch.bool:
        raise TypeError("mask: bool only")
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(f"q {list(q.shape)} does not fit k {list(k.shape)}")
    if k.shape[-2] != v.shape[-2]:
        raise ValueError(f"k {list(k.shape)} does not fit v {list(v.shape)}")
    wide = torch.promote_types(q.dtype, torch.float32)
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.einsum("...td,...sd->...ts", q.to(wide), k.to(wide)) * factor
    if mask is not None:
        live = mask.any(dim=-1, keepdim=True)
        scores = torch.where(mask, scores, -torch.inf)
        scores = torch.where(live, scores, 0.0)
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    if mask is not None:
        weights = torch.where(mask, weights, 0.0)
    weights = weights.to(v.dtype)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights
