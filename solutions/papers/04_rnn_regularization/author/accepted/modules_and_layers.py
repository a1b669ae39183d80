"""nn.Dropout modules, unrolled layer by layer; windows by unfold; variational masks
drawn by bernoulli_.
"""


def dropout_numpy(x, keep_mask, p):
    return keep_mask * x / (1.0 - p)


def lstm_stack_step_numpy(x, states, weights, masks, p):
    def sigmoid(z):
        return 0.5 * (1 + np.tanh(z / 2))

    below, new = x, []
    for layer in range(len(states)):
        h, c = states[layer]
        weight_ih, weight_hh, bias = weights[layer]
        both = np.concatenate([dropout_numpy(below, masks[layer], p), h])
        sums = (np.concatenate([weight_ih, weight_hh], axis=1) @ both + bias).reshape(
            4, -1
        )
        new_c = sigmoid(sums[1]) * c + sigmoid(sums[0]) * np.tanh(sums[2])
        below = sigmoid(sums[3]) * np.tanh(new_c)
        new += [(below, new_c)]
    return dropout_numpy(below, masks[len(states)], p), new


class RegularizedLSTM(nn.Module):
    def __init__(
        self, vocab_size, hidden_size, num_layers=2, p=0.0, where="non_recurrent"
    ):
        super().__init__()
        if p < 0 or p >= 1:
            raise ValueError(f"p = {p}")
        self.between = nn.Dropout(p if where == "non_recurrent" else 0.0)
        self.through = nn.Dropout({"recurrent": p, "non_recurrent": 0.0}[where])
        self.p, self.where, self.hidden_size = p, where, hidden_size
        self.head = nn.Linear(hidden_size, vocab_size)
        self.embed = nn.Embedding(vocab_size, hidden_size)
        self.cells = nn.ModuleList(
            nn.LSTMCell(hidden_size, hidden_size) for _ in range(num_layers)
        )

    def forward(self, ids, state=None):
        batch, steps = ids.shape
        x = self.embed(ids)
        ends = []
        for layer, cell in enumerate(self.cells):
            x = self.between(x)
            if state is None:
                h, c = (
                    x.new_zeros(batch, self.hidden_size),
                    x.new_zeros(batch, self.hidden_size),
                )
            else:
                h, c = state[layer]
            outputs = []
            for t in range(steps):
                h, c = cell(x[:, t], (self.through(h), c))
                outputs.append(h)
            x = torch.stack(outputs, 1)
            ends.append((h, c))
        return self.head(self.between(x)), ends


@torch.no_grad()
def perplexity(model, ids):
    before = model.training
    model.train(False)
    log_chances = model(ids.unsqueeze(0))[0].squeeze(0)[:-1].log_softmax(-1)
    model.train(before)
    return log_chances.gather(1, ids[1:, None]).mean().neg().exp().item()


def train_lm(model, ids, *, steps=200, batch=16, seq_len=20, lr=0.01, generator=None):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    windows = ids.unfold(0, seq_len + 1, 1)
    losses = [0.0] * steps
    for step in range(steps):
        rows = windows[torch.randint(0, len(windows), (batch,), generator=generator)]
        model.zero_grad()
        loss = F.cross_entropy(
            model(rows[:, :-1], None)[0].transpose(1, 2), rows[:, 1:]
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=1)
        optimizer.step()
        losses[step] = float(loss)
    return losses


class VariationalLSTM(RegularizedLSTM):
    def __init__(self, vocab_size, hidden_size, num_layers=2, p=0.0):
        super().__init__(vocab_size, hidden_size, num_layers, p)

    def forward(self, ids, state=None):
        layers = len(self.cells)
        keep = 1 - self.p if self.training else 1.0
        masks = (
            self.head.weight.new_empty(
                2 * layers + 1, len(ids), self.hidden_size
            ).bernoulli_(keep)
            / keep
        )
        x, ends = self.embed(ids), []
        for layer, cell in enumerate(self.cells):
            h, c = (torch.zeros_like(masks[0]),) * 2 if state is None else state[layer]
            outputs = []
            for column in (x * masks[layer][:, None]).unbind(1):
                h, c = cell(column, (h * masks[layers + 1 + layer], c))
                outputs.append(h)
            x = torch.stack(outputs, 1)
            ends.append((h, c))
        return self.head(x * masks[layers][:, None]), ends
