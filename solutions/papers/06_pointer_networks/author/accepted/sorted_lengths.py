"""A Graham scan, lists sorted by length and back, the last valid state put back in
order, and minus infinity added to the scores.
"""


def pointer_scores_numpy(enc, dec, W1, W2, v):
    return np.einsum(
        "h,th->t", v, np.tanh(np.einsum("hi,ti->th", W1, enc) + (W2 @ dec)[None])
    )


def convex_hull(points):
    import math

    assert len(points) >= 3, "too few points"
    xy = points.double().numpy()
    first = min(range(len(xy)), key=lambda i: tuple(xy[i]))
    around = [i for i in range(len(xy)) if i != first]
    way = xy - xy[first]
    around.sort(key=lambda i: (math.atan2(way[i][1], way[i][0]), math.hypot(*way[i])))
    stack = [first]
    for i in [*around, first]:
        while len(stack) > 1:
            a, b = xy[stack[-1]] - xy[stack[-2]], xy[i] - xy[stack[-1]]
            if a[0] * b[1] - a[1] * b[0] > 1e-12:
                break
            stack.pop()
        stack.append(i)
    return torch.tensor(stack[:-1], dtype=torch.long)


class PointerNet(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.embed, self.attention = (
            nn.Linear(input_size, hidden_size),
            PointerAttention(hidden_size),
        )
        self.encoder = nn.LSTM(hidden_size, hidden_size, batch_first=True)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)
        self.start = nn.Parameter(torch.empty(hidden_size).uniform_(-0.1, 0.1))

    def encode(self, embedded, lengths):
        order = lengths.argsort(descending=True)
        packed = pack_padded_sequence(embedded[order], lengths[order], batch_first=True)
        states, (h, c) = self.encoder(packed)
        states, _ = pad_packed_sequence(
            states, batch_first=True, total_length=embedded.size(1)
        )
        back = order.argsort()
        return states[back], h[0, back], c[0, back]

    def forward(self, x, lengths, targets=None):
        embedded = self.embed(x)
        steps = x.size(1)
        states, h, c = self.encode(embedded, lengths)
        log_free = torch.zeros(x.shape[:2]).masked_fill(
            torch.arange(steps) >= lengths[:, None], float("-inf")
        )
        state, fed, logits, picks = (h, c), self.start.expand_as(h), [], []
        for t in range(steps):
            state = self.decoder(fed, state)
            going = t < lengths
            row = (self.attention(states, state[0]) + log_free)[going]
            pick = torch.full_like(lengths, -100).masked_scatter(going, row.argmax(1))
            choice = pick.clone() if targets is None else targets[:, t].clone()
            choice[~going] = 0
            log_free = log_free.index_put(
                (torch.arange(len(x)), choice), torch.tensor(float("-inf"))
            )
            fed = embedded.flatten(0, 1)[torch.arange(len(x)) * steps + choice]
            logits.append(row.new_zeros(len(x), steps).index_put((going,), row))
            picks.append(pick)
        return torch.stack(logits, 1), torch.stack(picks, 1)


def pointer_loss(logits, targets):
    steps = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    return steps.sum() / (targets != -100).sum()


def exact_match(picks, targets):
    pairs = zip(picks.tolist(), targets.tolist(), strict=True)
    right = [
        all(p == t for p, t in zip(*pair, strict=True) if t != -100) for pair in pairs
    ]
    return sum(right) / len(right)
