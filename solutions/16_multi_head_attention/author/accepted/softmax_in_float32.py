"""The softmax always in float32, whatever the layer's dtype, and cast back; dead rows
zeroed by their own mask.
"""


class MultiHeadAttention(MultiHeadAttention):
    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        if query.shape[-1] != self.d_model:
            raise ValueError(f"expected {self.d_model} features, got {query.shape[-1]}")
        key = query if key is None else key
        value = key if value is None else value
        heads = self.num_heads
        q, k, v = (
            split_heads(self.W_q(query), heads),
            split_heads(self.W_k(key), heads),
            split_heads(self.W_v(value), heads),
        )
        scores = (q / math.sqrt(self.d_k)) @ k.mT
        allowed = prepare_mask(
            mask, key_padding_mask, (len(q), heads, q.shape[2], k.shape[2])
        )
        scores = scores.float()
        if allowed is not None:
            scores = scores.masked_fill(
                allowed.logical_not(), torch.finfo(torch.float32).min
            )
        weights = torch.softmax(scores, dim=-1)
        if allowed is not None:
            weights = weights.masked_fill(~allowed.any(dim=-1, keepdim=True), 0)
        weights = weights.to(v.dtype)
        output = self.W_o(merge_heads(self.dropout(weights) @ v))
        return (output, weights) if need_weights else output
