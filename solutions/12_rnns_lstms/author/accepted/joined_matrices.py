"""The cells with one joined matrix or einsum, start values from nn.init; padding masked
by factors of 0 and 1.
"""


class RNNCell(nn.Module):
    G = 1

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.G * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(self.G * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(self.G * hidden_size))
        self.bias_hh = nn.Parameter(torch.empty(self.G * hidden_size))
        for p in self.parameters():
            nn.init.uniform_(p, -1 / hidden_size**0.5, 1 / hidden_size**0.5)

    def start(self, x):
        return torch.zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)

    def joined(self, x, h):
        weight = torch.cat([self.weight_ih, self.weight_hh], dim=1)
        return (weight @ torch.cat([x, h], dim=1).T).T + (self.bias_ih + self.bias_hh)

    def forward(self, x, state=None):
        return self.joined(x, self.start(x) if state is None else state).tanh()


class LSTMCell(RNNCell):
    G = 4

    def forward(self, x, state=None):
        if state is None:
            state = (self.start(x), self.start(x))
        h, c = state
        i, f, g, o = self.joined(x, h).reshape(len(x), 4, -1).unbind(dim=1)
        new_c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * new_c.tanh(), new_c


class GRUCell(RNNCell):
    G = 3

    def forward(self, x, state=None):
        h = self.start(x) if state is None else state
        a = torch.einsum("bi,gi->bg", x, self.weight_ih) + self.bias_ih
        b = torch.einsum("bj,gj->bg", h, self.weight_hh) + self.bias_hh
        H = self.hidden_size
        r = torch.sigmoid(a[:, :H] + b[:, :H])
        z = torch.sigmoid(a[:, H : 2 * H] + b[:, H : 2 * H])
        n = torch.tanh(a[:, 2 * H :] + r * b[:, 2 * H :])
        return n + z * (h - n)


def run_recurrent(cell, x, lengths=None, initial_state=None, reverse=False):
    B, T = x.shape[0], x.shape[1]
    if lengths is not None:
        if tuple(lengths.shape) != (B,):
            raise ValueError("lengths must have one number for each sequence")
        if lengths.min() < 0 or lengths.max() > T:
            raise ValueError("lengths must lie in 0 … T")
        mask = (
            torch.arange(T, device=x.device).unsqueeze(0) < lengths.unsqueeze(1)
        ).to(x.dtype)
    else:
        mask = torch.ones(B, T, dtype=x.dtype, device=x.device)
    is_lstm = isinstance(cell, LSTMCell)
    zeros = torch.zeros(B, cell.hidden_size, dtype=x.dtype, device=x.device)
    if initial_state is None:
        h, c = zeros, zeros
    else:
        h, c = initial_state if is_lstm else (initial_state, zeros)
    outputs = []
    steps = list(range(T))
    if reverse:
        steps.reverse()
    for t in steps:
        m = mask[:, t : t + 1]
        if is_lstm:
            new_h, new_c = cell(x[:, t], (h, c))
            c = m * new_c + (1 - m) * c
        else:
            new_h = cell(x[:, t], h)
        h = m * new_h + (1 - m) * h
        outputs.append(m * h)
    if reverse:
        outputs.reverse()
    return torch.stack(outputs, 1), (h, c) if is_lstm else h
