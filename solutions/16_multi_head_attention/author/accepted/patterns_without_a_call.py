"""The patterns recomputed from the layer's projections, without calling it; `no_grad`
as a decorator.
"""


@torch.no_grad()
def attention_patterns(mha, query, key=None, mask=None, key_padding_mask=None):
    if query.shape[-1] != mha.W_q.in_features:
        raise ValueError("wrong width")
    q = split_heads(mha.W_q(query), mha.num_heads)
    k = split_heads(mha.W_k(query if key is None else key), mha.num_heads)
    scores = q @ k.transpose(-1, -2) / mha.d_k**0.5
    allowed = prepare_mask(mask, key_padding_mask, tuple(scores.shape))
    if allowed is None:
        return scores.softmax(dim=-1)
    return (
        scores.masked_fill(~allowed, torch.finfo(scores.dtype).min).softmax(dim=-1)
        * allowed
    )
