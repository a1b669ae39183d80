"""Output and weights from a call each, with all arguments by place; PyTorch's layer
called with a float mask.
"""


def compare_with_torch(
    mha, query, key=None, value=None, mask=None, key_padding_mask=None
):
    was_training, mha.training = mha.training, False
    dropping, mha.dropout.training = mha.dropout.training, False
    try:
        with torch.inference_mode():
            output = mha(query, key, value, mask, key_padding_mask)
            weights = mha(query, key, value, mask, key_padding_mask, True)[1]
    finally:
        mha.training, mha.dropout.training = was_training, dropping
    key = key if key is not None else query
    value = value if value is not None else key
    allowed = prepare_mask(mask, key_padding_mask, tuple(weights.shape))
    allowed = (
        torch.ones(weights.shape, dtype=torch.bool)
        if allowed is None
        else allowed.expand(weights.shape)
    )
    blocked = (
        torch.zeros(weights.shape, dtype=query.dtype)
        .masked_fill(~allowed, float("-inf"))
        .flatten(0, 1)
    )
    with torch.no_grad():
        expected, by_head = to_torch_mha(mha).eval()(
            query, key, value, attn_mask=blocked, average_attn_weights=False
        )
    has_keys = allowed.any(-1)
    gaps = {
        "output": (output - expected)[has_keys.all(1)],
        "weights": (weights - by_head)[has_keys],
    }
    return {
        name: float(gap.abs().max()) if gap.numel() else 0.0
        for name, gap in gaps.items()
    }
