"""F.embedding picks the columns, a generator makes the chunks, and sampling reads the
whole text again each time.
"""


def rnn_forward_numpy(ids, h0, W_xh, W_hh, W_hy, b_h, b_y):
    inputs = W_xh.T[list(ids)] + b_h
    states = [np.array(h0, dtype=np.float64)]
    for row in inputs:
        states.append(np.tanh(row + states[-1] @ W_hh.T))
    hidden = np.array(states[1:])
    return hidden, np.einsum("vh,th->tv", W_hy, hidden) + b_y


class CharRNN(nn.Module):
    def __init__(self, vocab_size, hidden_size):
        super().__init__()
        self.W_xh = nn.Parameter(torch.empty(hidden_size, vocab_size))
        self.W_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.W_hy = nn.Parameter(torch.empty(vocab_size, hidden_size))
        self.b_h = nn.Parameter(torch.zeros(hidden_size))
        self.b_y = nn.Parameter(torch.zeros(vocab_size))
        for weight in (self.W_xh, self.W_hh, self.W_hy):
            nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)

    def step(self, character, h):
        return torch.tanh(
            F.embedding(character, self.W_xh.T) + h @ self.W_hh.T + self.b_h
        )

    def forward(self, ids, h=None):
        if h is None:
            h = torch.zeros_like(self.b_h).repeat(ids.shape[0], 1)
        states = []
        for t in range(ids.shape[1]):
            h = self.step(ids[:, t], h)
            states += [h]
        return torch.einsum(
            "vh,bth->btv", self.W_hy, torch.stack(states, 1)
        ) + self.b_y, states[-1]


def chunks(ids, seq_len):
    count = (len(ids) - 1) // seq_len
    inputs = ids[: count * seq_len].reshape(count, seq_len)
    targets = ids[1 : count * seq_len + 1].reshape(count, seq_len)
    return list(zip(inputs, targets, strict=True))


def train_char_rnn(model, ids, *, steps=300, seq_len=25, lr=0.01, max_norm=5.0):
    stream, losses = chunks(ids, seq_len), []
    optimizer = torch.optim.Adam(model.parameters(), lr)
    optimizer.zero_grad()
    model.train()
    if not stream:
        raise ValueError("no chunk")
    while len(losses) < steps:
        h = None
        for inputs, targets in stream[: steps - len(losses)]:
            logits, h = model(inputs.view(1, -1), None if h is None else h.data)
            loss = F.nll_loss(F.log_softmax(logits, 2).mT, targets.view(1, -1))
            losses.append(loss.item())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=max_norm)
            optimizer.step()
            optimizer.zero_grad()
    return losses


def sample(model, prompt, n, *, temperature=1.0, generator=None):
    assert len(prompt) > 0 and temperature >= 0
    text = prompt
    for _ in range(n):
        with torch.no_grad():
            scores = model(text.unsqueeze(0))[0][0, -1]
        if temperature:
            following = torch.distributions.Categorical(
                logits=scores / temperature
            ).probs.multinomial(1, generator=generator)
        else:
            following = scores.topk(1).indices
        text = torch.cat((text, following))
    return text[len(prompt) :]


def rnn_backward_numpy(ids, targets, h0, hidden, logits, W_hh, W_hy):
    """Forward in time: how each state depends on each parameter, then the chain rule
    once per place.
    """
    steps, size = hidden.shape
    before = np.vstack([h0[None, :], hidden])
    dlogits = torch.from_numpy(np.array(logits)).softmax(1).numpy()
    for t, character in enumerate(targets):
        dlogits[t, character] -= 1
    dlogits /= steps
    by_x, by_h = np.zeros((size, size, logits.shape[1])), np.zeros((size, size, size))
    by_b = np.zeros((size, size))
    found = {"W_xh": 0.0, "W_hh": 0.0, "b_h": 0.0}
    for t in range(steps):
        by_x, by_h, by_b = (np.tensordot(W_hh, old, 1) for old in (by_x, by_h, by_b))
        by_x[range(size), range(size), ids[t]] += 1
        by_h[range(size), range(size)] += before[t]
        by_b += np.eye(size)
        slope = 1 - hidden[t] ** 2
        by_x, by_h, by_b = (
            by_x * slope[:, None, None],
            by_h * slope[:, None, None],
            by_b * slope[:, None],
        )
        pull = W_hy.T @ dlogits[t]
        for name, old in (("W_xh", by_x), ("W_hh", by_h), ("b_h", by_b)):
            found[name] = found[name] + np.tensordot(pull, old, 1)
    return found | {"W_hy": dlogits.T @ hidden, "b_y": dlogits.sum(axis=0)}
