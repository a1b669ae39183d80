# Different: -inf for masked keys, and nan_to_num for the rows that this makes NaN. Its
# gradient is clean, because masked_fill stops it. Both factors of the product carry
# half of the scale; F.softmax; matmul as a method.
import torch.nn.functional as F


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"expected a bool mask, not {mask.dtype}")
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"sizes do not fit: {q.shape}, {k.shape}, {v.shape}")
    if scale is None:
        root = q.shape[-1] ** 0.25
        scores = q.div(root).matmul(k.div(root).mT)
    else:
        scores = q.mul(scale).matmul(k.mT)
    if mask is None:
        weights = F.softmax(scores, dim=-1)
    else:
        weights = F.softmax(
            scores.masked_fill(~mask, float("-inf")), dim=-1
        ).nan_to_num(nan=0.0)
    weights = weights.type_as(v)
    return weights.matmul(v), weights
