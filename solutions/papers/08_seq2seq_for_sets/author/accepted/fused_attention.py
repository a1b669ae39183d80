"""scaled_dot_product_attention with scale=1, finite masks, log_softmax and gather, Adam
on gradients clipped by hand.
"""


def attention_readout_numpy(memory, query):
    scores = np.einsum("nh,h->n", memory, query)
    log_total = scores.max() + np.log(np.sum(np.exp(scores - scores.max())))
    weights = np.exp(scores - log_total)
    return (memory * weights[:, None]).sum(axis=0), weights


class ProcessBlock(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.cell = nn.LSTMCell(2 * hidden_size, hidden_size)

    def forward(self, memory, steps, mask=None):
        q_star = torch.zeros_like(memory[:, 0]).repeat(1, 2)
        state = None  # LSTMCell's zeros
        allowed = None if mask is None else mask[:, None]
        while steps > 0:
            state = self.cell(q_star, state)
            query = state[0][:, None]
            r = F.scaled_dot_product_attention(
                query, memory, memory, attn_mask=allowed, scale=1.0
            )
            q_star = torch.hstack([state[0], r[:, 0]])
            steps = steps - 1
        return q_star


class ReadProcessWrite(nn.Module):
    def __init__(self, input_size, hidden_size, process_steps=3, reader="set"):
        super().__init__()
        readers = {
            "set": lambda: None,
            "lstm": lambda: nn.LSTM(hidden_size, hidden_size, batch_first=True),
        }
        self.v = nn.Linear(hidden_size, 1, bias=False)
        self.W2 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.W1 = nn.Linear(hidden_size, hidden_size, bias=False)
        self.read = nn.Sequential(
            nn.Linear(input_size, hidden_size),
            nn.ReLU(inplace=True),
            nn.Linear(hidden_size, hidden_size),
        )
        self.lstm = readers[reader]()
        self.process = ProcessBlock(hidden_size)
        self.K = process_steps
        self.init = nn.Linear(2 * hidden_size, hidden_size)
        self.decoder = nn.LSTMCell(hidden_size, hidden_size)

    def encode(self, x):
        memory = self.read(x)
        if self.lstm is None:
            return memory, self.process(memory, self.K)
        memory = self.lstm(memory)[0]
        return memory, memory[:, -1].repeat(1, 2)

    def forward(self, x, targets=None):
        memory, code = self.encode(x)
        keys = self.W1(memory)  # the same in every step
        size, hidden = x.size(1), memory.size(2)
        h = self.init(code).tanh()
        c = fed = torch.zeros_like(h)
        blocked = torch.zeros(x.shape[:2])
        logits, picks = [], []
        for t in range(size):
            h, c = self.decoder(fed, (h, c))
            row = (torch.tanh(keys + self.W2(h[:, None])) @ self.v.weight[0]) + blocked
            best = row.max(dim=1).indices
            choice = (best if targets is None else targets[:, t])[:, None]
            blocked = blocked.scatter(1, choice, -1e9)
            fed = memory.gather(1, choice[..., None].expand(-1, 1, hidden))[:, 0]
            logits.append(row)
            picks.append(best)
        return torch.stack(logits, 1), torch.stack(picks, 1)


def train_sorter(
    model, *, steps=300, batch=64, n=5, lr=0.005, order="sorted", generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr)
    losses = []
    while len(losses) < steps:
        x = number_sets(batch, n, generator=generator)
        targets = set_targets(x, order=order, generator=generator)
        loss = (
            -model(x, targets=targets)[0]
            .log_softmax(-1)
            .gather(-1, targets[..., None])
            .mean()
        )
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        norm = sum((g**2).sum() for g in gradients if g is not None).sqrt().item()
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = None if g is None else g * min(1.0, 2.0 / (norm + 1e-6))
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


@torch.no_grad()
def order_gap(model, x, generator=None):
    permuted = torch.stack(
        [one[torch.randperm(x.size(1), generator=generator)] for one in x]
    )
    codes = model.encode(torch.cat([permuted, x]))[1]
    return torch.dist(*codes.chunk(2), p=float("inf")).item()
