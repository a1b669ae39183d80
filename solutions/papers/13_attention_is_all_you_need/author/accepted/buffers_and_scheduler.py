"""Masks and positions as buffers, one-hot targets, a LambdaLR schedule, decoding that
stops early.
"""


def attention_numpy(Q, K, V, mask=None):
    scores = np.einsum("...qd,...kd->...qk", Q, K) * Q.shape[-1] ** -0.5
    allowed = (
        np.ones(scores.shape, bool)
        if mask is None
        else np.broadcast_to(mask, scores.shape)
    )
    weights = np.zeros(scores.shape)
    for place in np.ndindex(scores.shape[:-1]):
        keys = allowed[place]
        if keys.any():
            e = np.exp(scores[place][keys] - scores[place][keys].max())
            weights[place][keys] = e / e.sum()
    return np.matmul(weights, V), weights


def noam_lr(step, d_model, warmup):
    if step <= 0:
        raise ValueError("step 0")
    if step < warmup:
        return step / (math.sqrt(d_model) * warmup**1.5)
    return 1 / math.sqrt(d_model * step)


def label_smoothed_loss(logits, target, eps=0.1, pad_id=None):
    V = logits.shape[-1]
    soft = F.one_hot(target, V) * (1 - eps) + eps / V
    losses = -(soft * torch.log_softmax(logits, -1)).sum(-1)
    keep = (
        torch.ones_like(losses)
        if pad_id is None
        else (target != pad_id).to(losses.dtype)
    )
    return (losses * keep).sum() / keep.sum()


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
        pad_id=0,
    ):
        super().__init__()
        self.scale, self.pad_id = d_model**0.5, pad_id
        self.embed = nn.Embedding.from_pretrained(
            torch.randn(vocab_size, d_model) / self.scale, freeze=False
        )
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for _ in range(num_layers):
            self.encoder.append(EncoderLayer(d_model, num_heads, d_ff, dropout))
            self.decoder.append(DecoderLayer(d_model, num_heads, d_ff, dropout))
        self.drop = nn.Dropout(dropout)
        self.register_buffer("table", sinusoids(max_len, d_model))
        self.register_buffer(
            "causal", torch.tril(torch.ones(1, 1, max_len, max_len)).bool()
        )

    def encode(self, src):
        mask = src.ne(self.pad_id).unsqueeze(1).unsqueeze(1)
        x = self.drop(self.embed(src).mul(self.scale).add(self.table[: src.shape[1]]))
        for layer in self.encoder:
            x = layer(x, mask)
        return x, mask

    def decode(self, tgt, memory, src_mask):
        T = tgt.shape[1]
        mask = self.causal[..., :T, :T] & tgt.ne(self.pad_id).unsqueeze(1).unsqueeze(1)
        y = self.drop(self.embed(tgt).mul(self.scale).add(self.table[:T]))
        for layer in self.decoder:
            y = layer(y, memory, mask, src_mask)
        return F.linear(y, self.embed.weight)

    def forward(self, src, tgt):
        memory, mask = self.encode(src)
        return self.decode(tgt, memory, mask)


@torch.no_grad()
def greedy_decode(model, src, max_len):
    before = model.training
    model.eval()
    memory, mask = model.encode(src)
    written = torch.full((len(src), max_len + 1), PAD)
    written[:, 0] = BOS
    going = torch.ones(len(src), dtype=torch.bool)
    for t in range(max_len):
        if not going.any():
            break
        best = model.decode(written[:, : t + 1], memory, mask)[:, t].argmax(-1)
        written[going, t + 1] = best[going]
        going &= best != EOS
    model.train(before)
    return written[:, 1:]


def train_reverse(
    model,
    *,
    steps=400,
    batch=64,
    min_len=3,
    max_len=6,
    vocab_size=10,
    warmup=60,
    lr_scale=0.5,
    eps=0.1,
    generator=None,
):
    width = model.embed.weight.shape[1]
    model.train()
    model.zero_grad()
    optimizer = torch.optim.Adam(
        model.parameters(), lr=lr_scale, betas=(0.9, 0.98), eps=1e-9
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: noam_lr(done + 1, width, warmup)
    )
    losses = []
    while len(losses) < steps:
        src, tgt_in, tgt_out = reverse_batch(
            batch, min_len, max_len, vocab_size, generator=generator
        )
        loss = label_smoothed_loss(model(src, tgt_in), tgt_out, eps=eps, pad_id=PAD)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return losses
