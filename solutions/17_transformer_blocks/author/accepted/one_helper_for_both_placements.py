# One method wraps either sublayer, which comes as a lambda; both masks are joined into
# one beforehand.


class TransformerEncoderBlock(nn.Module):
    def __init__(
        self,
        d_model,
        num_heads,
        d_ff=None,
        dropout=0.1,
        norm_first=False,
        activation="relu",
    ):
        super().__init__()
        self.attention = MultiHeadAttention(d_model, num_heads, dropout=dropout)
        self.ff = FeedForward(d_model, d_ff, dropout=dropout, activation=activation)
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def _wrap(self, x, norm, sublayer):
        if self.norm_first:
            return x + self.dropout(sublayer(norm(x)))
        return norm(x + self.dropout(sublayer(x)))

    def forward(self, x, mask=None, key_padding_mask=None):
        if key_padding_mask is not None:
            keys = key_padding_mask[:, None, :]
            mask = keys if mask is None else keys & mask
        x = self._wrap(x, self.norm1, lambda y: self.attention(y, mask=mask))
        return self._wrap(x, self.norm2, self.ff)
