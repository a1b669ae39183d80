# Sum over count, with torch.where for sequences without a token, and the head's matrix applied before the division.


class SequenceClassifier(nn.Module):
    def __init__(
        self, vocab_size, num_classes, d_model=32, num_heads=4, num_layers=2, d_ff=None, dropout=0.1, norm_first=True
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.encoder = TransformerEncoder(num_layers, d_model, num_heads, d_ff, dropout, norm_first)
        self.head = nn.Linear(d_model, num_classes)

    def forward(self, ids, key_padding_mask=None):
        x = self.encoder(self.embedding(ids), key_padding_mask=key_padding_mask)
        if key_padding_mask is None:
            return self.head(x).mean(1)
        real = key_padding_mask[:, :, None]
        count = real.sum(1)
        total = torch.einsum("btc,kc,bt->bk", x, self.head.weight, real[..., 0].to(x.dtype))
        return torch.where(count > 0, total / count.clamp(min=1), torch.zeros_like(total)) + self.head.bias
