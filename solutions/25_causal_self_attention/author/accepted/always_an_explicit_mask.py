# The fused call with a mask at all times, here an additive one; and a float32 mask by
# hand, as many tutorials have it.
# leaves open: test_dtypes_are_kept, test_double_in_double_out,
# test_float16_survives_large_products, test_no_mask_where_is_causal_will_do

from torch.nn.functional import scaled_dot_product_attention


def manual_attention(q, k, v, dropout_p=0.0, return_weights=False):
    t_q, t_k = q.size(-2), k.size(-2)
    bias = torch.full((t_q, t_k), float("-inf"), device=q.device).triu(t_k - t_q + 1)
    weights = torch.softmax(
        q @ k.transpose(-2, -1) / math.sqrt(q.size(-1)) + bias, dim=-1
    )
    out = F.dropout(weights, p=dropout_p) @ v
    return (out, weights) if return_weights else out


def flash_attention(q, k, v, dropout_p=0.0):
    allowed = causal_mask(q.shape[-2], k.shape[-2], device=q.device)
    bias = torch.zeros(allowed.shape, device=q.device).masked_fill(
        ~allowed, float("-inf")
    )
    return scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout_p)
