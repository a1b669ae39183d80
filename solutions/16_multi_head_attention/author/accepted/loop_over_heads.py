"""The layer with a Python loop over heads and einsum, a fill of −inf, and `torch.where`
for rows without any key.
"""


class MultiHeadAttention(nn.Module):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__()
        if num_heads <= 0:
            raise ValueError("there must be at least one head")
        if d_model % num_heads != 0:
            raise ValueError(f"{num_heads} does not divide {d_model}")
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout is {dropout}")
        self.W_o, self.W_v, self.W_k, self.W_q = (
            nn.Linear(d_model, d_model, bias) for _ in range(4)
        )
        self.d_model, self.num_heads, self.d_k = (
            d_model,
            num_heads,
            d_model // num_heads,
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        if query.size(-1) != self.d_model:
            raise ValueError(f"expected {self.d_model} features, got {query.size(-1)}")
        if key is None:
            key = query
        if value is None:
            value = key
        B, T, S = query.size(0), query.size(1), key.size(1)
        allowed = prepare_mask(mask, key_padding_mask, (B, self.num_heads, T, S))
        if allowed is not None:
            allowed = allowed.expand(B, self.num_heads, T, S)
        outputs, patterns = [], []
        projected = zip(
            self.W_q(query).split(self.d_k, -1),
            self.W_k(key).split(self.d_k, -1),
            self.W_v(value).split(self.d_k, -1),
        )
        for head, (q, k, v) in enumerate(projected):
            scores = torch.einsum("btd,bsd->bts", q * self.d_k**-0.5, k)
            if allowed is not None:
                live = allowed[:, head].any(dim=-1, keepdim=True)
                scores = torch.where(allowed[:, head] | ~live, scores, float("-inf"))
                weights = torch.where(live, scores.softmax(dim=-1), 0.0)
            else:
                weights = scores.softmax(dim=-1)
            patterns.append(weights)
            outputs.append(
                torch.einsum("bts,bsd->btd", self.dropout(weights).to(v.dtype), v)
            )
        output = self.W_o(torch.cat(outputs, dim=-1))
        if need_weights:
            return output, torch.stack(patterns, dim=1)
        return output
