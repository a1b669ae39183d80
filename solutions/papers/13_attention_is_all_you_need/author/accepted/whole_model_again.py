"""A padding_idx, nll_loss, a decoder made of the encoder, and decoding that runs the
whole model for each symbol.
"""

# leaves open: test_the_source_is_encoded_once


def label_smoothed_loss(logits, target, eps=0.1, pad_id=None):
    logp = F.log_softmax(logits, dim=-1).flatten(0, -2)
    ignore = -100 if pad_id is None else pad_id
    right = F.nll_loss(logp, target.flatten(), ignore_index=ignore)
    spread = -logp.mean(dim=-1)[target.flatten() != ignore].mean()
    return (1 - eps) * right + eps * spread


class EncoderLayer(nn.Module):
    def __init__(self, d_model, num_heads, d_ff, dropout=0.0):
        super().__init__()
        self.self_attn = MultiHeadAttention(d_model, num_heads)
        self.ff = nn.Sequential(
            nn.Linear(d_model, d_ff), nn.ReLU(), nn.Linear(d_ff, d_model)
        )
        self.norm1 = nn.LayerNorm(d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.drop = nn.Dropout(p=dropout)

    def forward(self, x, src_mask=None):
        attended = self.drop(self.self_attn(x, x, x, mask=src_mask))
        x = self.norm1(attended + x)
        processed = self.drop(self.ff(x))
        return self.norm2(processed + x)


class DecoderLayer(EncoderLayer):
    def __init__(self, d_model, num_heads, d_ff, dropout=0.0):
        super().__init__(d_model, num_heads, d_ff, dropout)
        self.cross_attn = MultiHeadAttention(d_model, num_heads)
        self.norm3 = nn.LayerNorm(d_model)

    def forward(self, y, memory, tgt_mask=None, src_mask=None):
        sublayers = (
            lambda y: self.self_attn(y, y, y, tgt_mask),
            lambda y: self.cross_attn(y, memory, memory, src_mask),
            self.ff,
        )
        for norm, sublayer in zip(
            (self.norm1, self.norm2, self.norm3), sublayers, strict=True
        ):
            y = norm(y + self.drop(sublayer(y)))
        return y


class Transformer(nn.Module):
    def __init__(
        self,
        vocab_size,
        d_model=32,
        num_heads=4,
        num_layers=1,
        d_ff=64,
        dropout=0.0,
        max_len=64,
        pad_id=PAD,
    ):
        super().__init__()
        self.embed = nn.Embedding(vocab_size, d_model, padding_idx=pad_id)
        self.embed.weight.data.normal_(0, d_model**-0.5)
        sizes = d_model, num_heads, d_ff, dropout
        self.encoder = nn.ModuleList([EncoderLayer(*sizes) for _ in range(num_layers)])
        self.decoder = nn.ModuleList([DecoderLayer(*sizes) for _ in range(num_layers)])
        self.drop = nn.Dropout(dropout)

    def encode(self, src):
        D = self.embed.embedding_dim
        x = self.drop(
            self.embed(src) * D**0.5 + sinusoids(src.size(1), D).to(self.embed.weight)
        )
        src_mask = (src != self.embed.padding_idx).view(len(src), 1, 1, -1)
        for layer in self.encoder:
            x = layer(x, src_mask=src_mask)
        return x, src_mask

    def decode(self, tgt, memory, src_mask):
        T, D = tgt.size(1), self.embed.embedding_dim
        y = self.drop(self.embed(tgt) * D**0.5 + sinusoids(T, D).to(self.embed.weight))
        past = torch.arange(T)[:, None] >= torch.arange(T)
        tgt_mask = past[None, None] & (tgt != self.embed.padding_idx).view(
            len(tgt), 1, 1, T
        )
        for layer in self.decoder:
            y = layer(y, memory, tgt_mask=tgt_mask, src_mask=src_mask)
        return torch.einsum("btd,vd->btv", y, self.embed.weight)

    def forward(self, src, tgt):
        return self.decode(tgt, *self.encode(src))


def greedy_decode(model, src, max_len):
    training = model.training
    model.eval()
    rows = torch.full((len(src), 1), BOS)
    with torch.no_grad():
        for _ in range(max_len):
            best = model(src, rows)[:, -1].argmax(dim=-1)
            ended = (rows == EOS).any(dim=1)
            rows = torch.cat([rows, torch.where(ended, PAD, best)[:, None]], dim=1)
    model.train(training)
    return rows[:, 1:]
