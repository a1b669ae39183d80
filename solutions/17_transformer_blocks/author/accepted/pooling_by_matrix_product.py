# The mean as a product with normalised weights, (B, 1, T) @ (B, T, C); an absent mask
# becomes a mask of ones.


class SequenceClassifier(nn.Module):
    def __init__(
        self,
        vocab_size,
        num_classes,
        d_model=32,
        num_heads=4,
        num_layers=2,
        d_ff=None,
        dropout=0.1,
        norm_first=True,
    ):
        super().__init__()
        self.head = nn.Linear(d_model, num_classes)
        self.embedding = nn.Embedding(vocab_size, d_model)
        self.encoder = TransformerEncoder(
            num_layers,
            d_model,
            num_heads,
            d_ff=d_ff,
            dropout=dropout,
            norm_first=norm_first,
        )

    def forward(self, ids, key_padding_mask=None):
        if key_padding_mask is None:
            key_padding_mask = torch.ones_like(ids, dtype=torch.bool)
        encoded = self.encoder(self.embedding(ids), None, key_padding_mask)
        real = key_padding_mask.to(encoded.dtype)
        weights = real / real.sum(dim=1, keepdim=True).clamp_min(1)
        return self.head(torch.bmm(weights.unsqueeze(1), encoded).squeeze(1))
