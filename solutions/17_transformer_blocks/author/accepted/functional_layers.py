# Activation and dropout as functions, with the training flag handed over; no modules
# kept for them in FeedForward.


class FeedForward(nn.Module):
    def __init__(self, d_model, d_ff=None, dropout=0.0, activation="relu"):
        super().__init__()
        functions = {"relu": F.relu, "gelu": F.gelu}
        try:
            self.act = functions[activation]
        except KeyError:
            raise ValueError(f"unknown activation {activation}") from None
        if d_ff is None:
            d_ff = d_model * 4
        self.p = dropout
        self.fc1 = nn.Linear(d_model, d_ff)
        self.fc2 = nn.Linear(d_ff, d_model)

    def forward(self, x):
        hidden = self.act(F.linear(x, self.fc1.weight, self.fc1.bias))
        hidden = F.dropout(hidden, p=self.p, training=self.training)
        return F.linear(hidden, self.fc2.weight, self.fc2.bias)


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
        self.norm1, self.norm2 = nn.LayerNorm(d_model), nn.LayerNorm(d_model)
        self.attention = MultiHeadAttention(d_model, num_heads, dropout)
        self.ff = FeedForward(d_model, d_ff, dropout, activation)
        self.dropout = nn.Dropout(dropout)
        self.norm_first = norm_first

    def forward(self, x, mask=None, key_padding_mask=None):
        def drop(y):
            return F.dropout(y, self.dropout.p, self.training)

        y = self.norm1(x) if self.norm_first else x
        x = x + drop(self.attention(y, y, y, mask, key_padding_mask))
        x = x if self.norm_first else self.norm1(x)
        y = self.norm2(x) if self.norm_first else x
        x = x + drop(self.ff(y))
        return x if self.norm_first else self.norm2(x)
