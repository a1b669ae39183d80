"""The encoder run on rows of equal length, without packing; a window by clamped sums;
the loss by a mask and clipping by hand.
"""


class BahdanauAttention(nn.Module):
    def __init__(self, query_size, key_size, attn_size):
        super().__init__()
        self.W_a, self.U_a = (
            nn.Linear(size, attn_size, bias=False) for size in (query_size, key_size)
        )
        self.v_a = nn.Linear(attn_size, 1, bias=False)

    def forward(self, query, keys, mask=None):
        scores = (
            torch.tanh(self.W_a(query[:, None]) + self.U_a(keys)) @ self.v_a.weight[0]
        )
        if mask is None:
            mask = torch.ones_like(scores, dtype=torch.bool)
        scores = scores.masked_fill(~mask, -1e9)
        shares = (scores - scores.amax(dim=1, keepdim=True)).exp() * mask
        weights = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-30)
        return torch.bmm(weights[:, None], keys)[:, 0], weights


class Seq2Seq(nn.Module):
    def __init__(self, vocab_size, hidden_size, attention=True):
        super().__init__()
        self.attention = (
            BahdanauAttention(hidden_size, 2 * hidden_size, hidden_size)
            if attention
            else None
        )
        self.head = nn.Linear(3 * hidden_size, vocab_size)
        self.decoder = nn.GRUCell(3 * hidden_size, hidden_size)
        self.bridge = nn.Linear(hidden_size, hidden_size)
        self.encoder = nn.GRU(
            hidden_size, hidden_size, 1, batch_first=True, bidirectional=True
        )
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.size = hidden_size

    def forward(self, src, lengths, tgt_in):
        memory = torch.zeros(*src.shape, 2 * self.size)
        fixed = torch.zeros(len(src), 2 * self.size)
        for length in lengths.unique().tolist():
            alike = (lengths == length).nonzero()[:, 0]
            outputs, last = self.encoder(self.embed(src[alike, :length]))
            memory = memory.index_copy(
                0, alike, F.pad(outputs, (0, 0, 0, src.shape[1] - length))
            )
            fixed = fixed.index_copy(0, alike, torch.hstack([last[0], last[1]]))
        mask = torch.arange(src.shape[1]) < lengths[:, None]
        state = self.bridge(fixed[:, self.size :]).tanh()
        batch, steps = tgt_in.shape
        logits = []
        shares = torch.zeros(batch, steps, src.shape[1])
        for t in range(steps):
            context = fixed
            if self.attention is not None:
                context, shares[:, t] = self.attention(state, memory, mask)
            state = self.decoder(
                torch.hstack([self.embed(tgt_in[:, t]), context]), state
            )
            logits.append(self.head(torch.hstack([state, context])))
        return torch.stack(logits, dim=1), shares


def alignment_mass(weights, centre, width=1):
    total = 0.0
    for t, c in enumerate(centre.tolist()):
        total += (
            weights[:, t, max(c - width, 0) : c + width + 1].sum(dim=-1).mean().item()
        )
    return total / len(centre)


def train_seq2seq(
    model,
    *,
    steps=200,
    batch=64,
    min_len=4,
    max_len=10,
    vocab_size=12,
    lr=0.01,
    generator=None,
):
    model.train()
    parameters = [p for p in model.parameters()]
    adam = torch.optim.Adam(parameters, lr)
    history = []
    while len(history) < steps:
        src, lengths, before, after = reverse_batch(
            batch, min_len, max_len, vocab_size, generator=generator
        )
        real = after != PAD
        loss = nn.CrossEntropyLoss()(model(src, lengths, before)[0][real], after[real])
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum(g.square().sum() for g in gradients).sqrt()
        for p, g in zip(parameters, gradients):
            p.grad = g / norm.clamp(min=1.0)
        adam.step()
        history.append(float(loss))
    return history
