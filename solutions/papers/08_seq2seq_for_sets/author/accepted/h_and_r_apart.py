"""The state without q*: h and r are kept apart, a softmax by hand, one loss per step, a
loop over the sets.
"""


def attention_readout_numpy(memory, query):
    scores = [float(row.dot(query)) for row in memory]
    top = max(scores)
    shares = np.array([np.exp(score - top) for score in scores])
    shares = shares / np.add.reduce(shares)
    return np.average(memory, axis=0, weights=shares), shares


class ProcessBlock(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.LSTMCell(hidden_size * 2, hidden_size)

    def look(self, memory, h, mask):
        scores = torch.einsum("bnh,bh->bn", memory, h)
        shares = torch.exp(scores - scores.amax(dim=1, keepdim=True))
        if mask is not None:
            scores = scores.where(mask, -torch.inf)
            shares = torch.exp(scores - scores.amax(dim=1, keepdim=True))
        return torch.einsum(
            "bn,bnh->bh", shares / shares.sum(dim=1, keepdim=True), memory
        )

    def forward(self, memory, steps, mask=None):
        h, c, r = (memory.new_zeros(len(memory), self.hidden_size) for _ in range(3))
        for _ in range(steps):
            h, c = self.cell(torch.cat([h, r], -1), (h, c))
            r = self.look(memory, h, mask)
        return torch.cat([h, r], -1)


def train_sorter(
    model, *, steps=300, batch=64, n=5, lr=0.005, order="sorted", generator=None
):
    optimizer = torch.optim.Adam(params=model.parameters(), lr=lr)
    model.train()
    history = torch.zeros(steps)
    for step in range(steps):
        sets = number_sets(batch, n, generator)
        answers = set_targets(sets, order, generator)
        logits, _ = model(sets, answers)
        loss = sum(F.cross_entropy(logits[:, t], answers[:, t]) for t in range(n)) / n
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=2)
        optimizer.step()
        history[step] = loss.detach()
    return history.tolist()


def order_gap(model, x, generator=None):
    with torch.inference_mode():
        _, before = model.encode(x)
        other = x.clone()
        for row in range(len(x)):
            other[row] = x[row, torch.randperm(x.shape[1], generator=generator)]
        _, after = model.encode(other)
    return max(
        abs(a - b)
        for a, b in zip(
            before.flatten().tolist(), after.flatten().tolist(), strict=True
        )
    )
