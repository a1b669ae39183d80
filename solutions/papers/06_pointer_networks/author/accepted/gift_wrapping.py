"""A gift-wrapping hull, -1e9 in place of -inf, an encoder that steps under a mask,
log_softmax and gather.
"""


def pointer_scores_numpy(enc, dec, W1, W2, v):
    return np.array([v.dot(np.tanh(W1.dot(e) + W2.dot(dec))) for e in enc])


def convex_hull(points):
    if len(points) < 3:
        raise ValueError("points: at least 3, please")
    points = points.double()
    first = min(range(len(points)), key=lambda i: points[i].tolist())
    corners, here = [], first
    while not corners or here != first:
        corners.append(here)
        best = None
        for other in range(len(points)):
            if other == here:
                continue
            if best is None:
                best = other
                continue
            a, b = points[best] - points[here], points[other] - points[here]
            cross = a[0] * b[1] - a[1] * b[0]
            if cross < 0 or (cross == 0 and b.norm() > a.norm()):
                best = other
        here = best
    return torch.tensor(corners)


class PointerAttention(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.v = nn.Linear(hidden_size, 1, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)

    def forward(self, enc, dec, mask=None):
        hidden = torch.tanh(
            torch.einsum("hi,bti->bth", self.W1.weight, enc) + self.W2(dec[:, None, :])
        )
        scores = hidden @ self.v.weight[0]
        if mask is None:
            return scores
        return scores.masked_fill(mask.logical_not(), float("-inf"))


class PointerNet(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.start = nn.Parameter(torch.randn(hidden_size) / 10)
        self.attention = PointerAttention(hidden_size)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)
        self.encoder = nn.LSTM(hidden_size, hidden_size, num_layers=1, batch_first=True)
        self.embed = nn.Linear(input_size, hidden_size)

    def forward(self, x, lengths, targets=None):
        size, steps = x.shape[:2]
        hidden = self.start.numel()
        valid = torch.stack([torch.arange(steps) < length for length in lengths])
        embedded = self.embed(x)
        h, c = x.new_zeros(1, size, hidden), x.new_zeros(1, size, hidden)
        states = []
        for t in range(steps):
            out, (new_h, new_c) = self.encoder(embedded[:, t : t + 1], (h, c))
            on = valid[None, :, t, None]
            h, c = torch.where(on, new_h, h), torch.where(on, new_c, c)
            states.append(out[:, 0])
        enc, h, c = torch.stack(states, 1), h[0], c[0]
        used = torch.zeros(size, steps, dtype=torch.bool)
        fed = self.start.repeat(size, 1)
        logits, picks = x.new_zeros(size, steps, steps), torch.full((size, steps), -100)
        for t in range(steps):
            h, c = self.decoder(fed, (h, c))
            scores = self.attention(enc, h, valid & ~used)
            best = scores.max(dim=1).indices
            on = valid[:, t]
            logits[on, t] = scores[on]
            picks[on, t] = best[on]
            choice = best if targets is None else torch.where(on, targets[:, t], 0)
            used = used.scatter(1, choice[:, None], True)
            fed = embedded.gather(1, choice[:, None, None].expand(-1, 1, hidden))[:, 0]
        return logits, picks


def pointer_loss(logits, targets):
    real = targets != -100
    return -logits[real].log_softmax(-1).gather(1, targets[real][:, None]).mean()


def exact_match(picks, targets):
    wrong = (picks != targets) & (targets >= 0)
    return 1.0 - float(wrong.any(1).float().mean())


def train_pointer(
    model, *, steps=300, batch=64, min_len=3, max_len=6, lr=0.005, generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr)
    losses = []
    for _ in range(steps):
        x, lengths, targets = sort_batch(batch, min_len, max_len, generator=generator)
        loss = pointer_loss(model(x, lengths, targets=targets)[0], targets)
        gradients = torch.autograd.grad(loss, parameters)
        norm = sum((g**2).sum() for g in gradients).sqrt()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = g * min(1.0, 2.0 / (norm.item() + 1e-6))
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
