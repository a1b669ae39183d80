"""A softmax written out, which masks by multiplying and divides by what is left; the
layer's scale kept as a number.
"""


def masked_softmax(scores, allowed):
    if allowed is None:
        powers = (scores - scores.amax(dim=-1, keepdim=True)).exp()
        return powers / powers.sum(dim=-1, keepdim=True)
    largest = (
        scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)
        .amax(dim=-1, keepdim=True)
        .detach()
    )
    powers = (scores - largest).masked_fill(~allowed, 0.0).exp() * allowed
    total = powers.sum(dim=-1, keepdim=True)
    return powers / torch.where(total == 0, 1.0, total)


class MultiHeadAttention(MultiHeadAttention):
    def __init__(self, d_model, num_heads, dropout=0.0, bias=True):
        super().__init__(d_model, num_heads, dropout, bias)
        self.scale = self.d_k**-0.5
        for linear in (self.W_q, self.W_k, self.W_v, self.W_o):
            nn.init.xavier_uniform_(linear.weight)
            if bias:
                nn.init.zeros_(linear.bias)

    def forward(
        self,
        query,
        key=None,
        value=None,
        mask=None,
        key_padding_mask=None,
        need_weights=False,
    ):
        if query.shape[2] != self.d_model:
            raise ValueError(f"expected {self.d_model} features, got {query.shape[2]}")
        key = key if key is not None else query
        value = value if value is not None else key
        q, k, v = self.W_q(query), self.W_k(key), self.W_v(value)
        q, k, v = (x.unflatten(2, (self.num_heads, self.d_k)) for x in (q, k, v))
        scores = torch.einsum("bthd,bshd->bhts", q, k) * self.scale
        weights = masked_softmax(
            scores, prepare_mask(mask, key_padding_mask, scores.shape)
        )
        weights = weights.to(v.dtype)
        output = self.W_o(
            torch.einsum("bhts,bshd->bthd", self.dropout(weights), v).flatten(2)
        )
        return (output, weights) if need_weights else output
