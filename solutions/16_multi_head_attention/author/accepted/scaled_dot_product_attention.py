"""`F.scaled_dot_product_attention` for the output, on a mask expanded in full; the
weights apart, when asked for.
"""

import torch.nn.functional as F


class MultiHeadAttention(nn.Module):
    def __init__(
        self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True
    ):
        super().__init__()
        if num_heads < 1 or d_model % num_heads:
            raise ValueError(f"d_model={d_model}, num_heads={num_heads}")
        self.d_model, self.num_heads, self.d_k = (
            d_model,
            num_heads,
            d_model // num_heads,
        )
        for name in ("W_q", "W_k", "W_v", "W_o"):
            self.add_module(name, nn.Linear(d_model, d_model, bias=bias))
        self.dropout = nn.Dropout(p=dropout)

    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        B, T, width = query.shape
        if width != self.d_model:
            raise ValueError(f"query is {width} wide, not {self.d_model}")
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            split_heads(linear(x), self.num_heads)
            for linear, x in ((self.W_q, query), (self.W_k, key), (self.W_v, value))
        )
        shape = (B, self.num_heads, T, key.shape[1])
        allowed = prepare_mask(mask, key_padding_mask, shape)
        allowed = None if allowed is None else allowed.expand(shape)
        found = F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=allowed,
            dropout_p=self.dropout.p if self.training else 0.0,
        )
        output = self.W_o(merge_heads(found))
        if not need_weights:
            return output
        scores = q @ k.transpose(-2, -1) * self.d_k**-0.5
        if allowed is None:
            return output, torch.softmax(scores, dim=-1)
        filled = scores.masked_fill(~allowed, float("-inf"))
        return output, torch.softmax(filled, dim=-1).masked_fill(~allowed, 0.0)
