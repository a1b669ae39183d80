"""F.embedding picks the columns, a generator makes the chunks, and sampling reads the whole text again each time."""


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
        return torch.tanh(F.embedding(character, self.W_xh.T) + h @ self.W_hh.T + self.b_h)

    def forward(self, ids, h=None):
        if h is None:
            h = torch.zeros_like(self.b_h).repeat(ids.shape[0], 1)
        states = []
        for t in range(ids.shape[1]):
            h = self.step(ids[:, t], h)
            states += [h]
        return torch.einsum("vh,bth->btv", self.W_hy, torch.stack(states, 1)) + self.b_y, states[-1]


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
            following = torch.distributions.Categorical(logits=scores / temperature).probs.multinomial(
                1, generator=generator
            )
        else:
            following = scores.topk(1).indices
        text = torch.cat((text, following))
    return text[len(prompt) :]
