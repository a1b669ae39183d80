"""The paper's way: one matrix for [h, x] side by side, in NumPy and in PyTorch; a loop
that keeps h and c apart.
"""


def lstm_step_numpy(x, h, c, weight_ih, weight_hh, bias):
    size = h.shape[-1]
    sums = (
        np.concatenate([h, x], axis=-1)
        @ np.concatenate([weight_hh, weight_ih], axis=1).T
        + bias
    )
    parts = [sums[:, k * size : (k + 1) * size] for k in range(4)]
    i, f, o = (0.5 * (1 + np.tanh(parts[k] / 2)) for k in (0, 1, 3))
    new = i * np.tanh(parts[2]) + f * c
    return np.multiply(o, np.tanh(new)), new


class LSTMCellScratch(nn.Module):
    def __init__(self, input_size, hidden_size, forget_bias=1.0):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.bias = nn.Parameter(
            torch.cat(
                [
                    torch.full((hidden_size,), b)
                    for b in (0.0, float(forget_bias), 0.0, 0.0)
                ]
            )
        )
        self.weight_hh = nn.Parameter(
            (torch.rand(4 * hidden_size, hidden_size) * 2 - 1) / hidden_size**0.5
        )
        self.weight_ih = nn.Parameter(
            (torch.rand(4 * hidden_size, input_size) * 2 - 1) / hidden_size**0.5
        )

    def gates(self, x, h):
        weight = torch.cat([self.weight_hh, self.weight_ih], dim=1)
        sums = torch.addmm(self.bias, torch.cat([h, x], dim=1), weight.T)
        i, f, g, o = sums.reshape(len(x), 4, -1).unbind(1)
        return [i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()]

    def forward(self, x, state=None):
        if state is None:
            state = [x.new_zeros(len(x), self.hidden_size)] * 2
        i, f, g, o = self.gates(x, state[0])
        c = torch.addcmul(i * g, f, state[1])
        return o * c.tanh(), c


class RecallNet(nn.Module):
    def __init__(self, kind, input_size, hidden_size, num_symbols, forget_bias=1.0):
        super().__init__()
        makers = {
            "lstm": lambda: LSTMCellScratch(
                input_size, hidden_size, forget_bias=forget_bias
            ),
            "rnn": lambda: nn.RNNCell(input_size, hidden_size, nonlinearity="tanh"),
        }
        if kind not in makers:
            raise KeyError(f"no kind {kind}")
        self.head = nn.Linear(hidden_size, num_symbols)
        self.cell = makers[kind]()
        self.hidden_size = hidden_size

    def forward(self, x):
        h, c = (
            torch.zeros(x.size(0), self.hidden_size, dtype=x.dtype) for _ in range(2)
        )
        for t in range(x.size(1)):
            if isinstance(self.cell, nn.RNNCell):
                h = self.cell(x[:, t, :], h)
            else:
                h, c = self.cell(x[:, t, :], (h, c))
        return self.head(h)
