# Scores and softmax in at least float32, finfo.min where blocked, dropout by a random
# mask, and the result cast back.


def manual_attention(q, k, v, dropout_p=0.0, return_weights=False):
    wide = torch.promote_types(q.dtype, torch.float32)
    scores = q.to(wide) @ k.to(wide).transpose(-2, -1) / q.size(-1) ** 0.5
    allowed = causal_mask(q.size(-2), k.size(-2), q.device)
    scores = torch.where(allowed, scores, torch.finfo(wide).min)
    weights = torch.softmax(scores, dim=-1).to(q.dtype)
    dropped = weights
    if dropout_p > 0:
        dropped = weights * (torch.rand_like(weights) >= dropout_p) / (1 - dropout_p)
    return (dropped @ v, weights) if return_weights else dropped @ v
