"""PyTorch's layer filled by `load_state_dict`, its two masks given apart, and the
differences taken in NumPy's way.
"""


def to_torch_mha(mha):
    state = {name: tensor.detach().clone() for name, tensor in mha.state_dict().items()}
    bias = "W_q.bias" in state
    theirs = nn.MultiheadAttention(
        mha.d_model, mha.num_heads, mha.dropout.p, bias, batch_first=True
    )
    theirs = theirs.to(device=mha.W_q.weight.device, dtype=mha.W_q.weight.dtype)
    stacked = {
        "in_proj_weight": torch.cat([state[f"W_{x}.weight"] for x in "qkv"]),
        "out_proj.weight": state["W_o.weight"],
    }
    if bias:
        stacked |= {
            "in_proj_bias": torch.cat([state[f"W_{x}.bias"] for x in "qkv"]),
            "out_proj.bias": state["W_o.bias"],
        }
    theirs.load_state_dict(stacked)
    theirs.training = mha.training
    theirs.out_proj.training = mha.training
    return theirs


@torch.no_grad()
def compare_with_torch(
    mha, query, key=None, value=None, mask=None, key_padding_mask=None
):
    training = mha.training
    mha.eval()
    try:
        theirs = to_torch_mha(mha)
        key = query if key is None else key
        value = key if value is None else value
        output, weights = mha(
            query,
            key,
            value,
            mask=mask,
            key_padding_mask=key_padding_mask,
            need_weights=True,
        )
        B, H, T, S = weights.shape
        arguments = {}
        if mask is not None:
            full = prepare_mask(mask, None, (B, H, T, S)).expand(B, H, T, S)
            arguments["attn_mask"] = full.logical_not().reshape(B * H, T, S)
        if key_padding_mask is not None:
            arguments["key_padding_mask"] = key_padding_mask.logical_not()
        their_output, their_weights = theirs(
            query,
            key,
            value,
            need_weights=True,
            average_attn_weights=False,
            **arguments,
        )
        allowed = prepare_mask(mask, key_padding_mask, (B, H, T, S))
        dead = (
            torch.zeros(B, H, T, dtype=torch.bool)
            if allowed is None
            else ~allowed.expand(B, H, T, S).any(-1)
        )
        output_gap = (
            (output - their_output).abs().masked_fill(dead.any(1).unsqueeze(-1), 0.0)
        )
        weights_gap = (
            (weights - their_weights).abs().masked_fill(dead.unsqueeze(-1), 0.0)
        )
        return {"weights": float(weights_gap.max()), "output": float(output_gap.max())}
    finally:
        mha.train(training)
