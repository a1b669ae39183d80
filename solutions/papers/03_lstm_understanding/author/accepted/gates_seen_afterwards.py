"""Four views of the weights, gates recomputed for all steps at once, a leaf per step,
and Adam written out.
"""


class LSTMCellScratch(nn.Module):
    def __init__(self, input_size, hidden_size, forget_bias=1.0):
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_ih = nn.Parameter(torch.zeros(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.zeros(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.uniform_(weight, -(hidden_size**-0.5), hidden_size**-0.5)
        nn.init.constant_(self.bias[hidden_size : 2 * hidden_size], forget_bias)

    def gates(self, x, h):
        found = []
        for k, squash in enumerate(
            (torch.sigmoid, torch.sigmoid, torch.tanh, torch.sigmoid)
        ):
            rows = slice(k * self.hidden_size, (k + 1) * self.hidden_size)
            total = F.linear(x, self.weight_ih[rows]) + F.linear(
                h, self.weight_hh[rows], self.bias[rows]
            )
            found.append(squash(total))
        return tuple(found)

    def forward(self, x, state=None):
        if state is None:
            i, _, g, o = self.gates(
                x, torch.zeros(len(x), self.hidden_size, dtype=x.dtype)
            )
            c = i * g
        else:
            i, f, g, o = self.gates(x, state[0])
            c = i * g + f * state[1]
        return o * torch.tanh(c), c


def run_lstm(cell, x, state=None):
    begin = (
        torch.zeros(len(x), cell.hidden_size, dtype=x.dtype)
        if state is None
        else state[0]
    )
    states = []
    for t in range(x.shape[1]):
        state = cell(x[:, t], state)
        states.append(state)
    h, c = (torch.stack(parts, 1) for parts in zip(*states))
    before = torch.cat([begin[:, None], h[:, :-1]], 1)
    gates = cell.gates(x.flatten(0, 1), before.flatten(0, 1))
    return dict(zip("ifgo", (gate.unflatten(0, x.shape[:2]) for gate in gates))) | {
        "h": h,
        "c": c,
    }


def gradient_through_time(model, x, y):
    steps = [x[:, t].detach().requires_grad_() for t in range(x.shape[1])]
    logits = model(torch.stack(steps, dim=1))
    loss = -logits.log_softmax(1).gather(1, y[:, None]).mean()
    return torch.stack(
        [part.square().sum().sqrt() for part in torch.autograd.grad(loss, steps)]
    )


def train_recall(
    model,
    *,
    steps=200,
    length=40,
    num_symbols=4,
    noise=0.4,
    batch=32,
    lr=0.01,
    generator=None,
):
    model.train()
    parameters = list(model.parameters())
    m, v = (
        [torch.zeros_like(p) for p in parameters],
        [torch.zeros_like(p) for p in parameters],
    )
    losses = []
    for t in range(1, steps + 1):
        x, y = recall_batch(
            batch, length, num_symbols, noise=noise, generator=generator
        )
        loss = nn.CrossEntropyLoss()(model(x), y)
        gradients = torch.autograd.grad(loss, parameters)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        with torch.no_grad():
            for k, (p, g) in enumerate(zip(parameters, gradients)):
                g = g / norm.clamp(min=1.0)
                m[k] = 0.9 * m[k] + 0.1 * g
                v[k] = 0.999 * v[k] + 0.001 * g * g
                p -= (
                    lr * (m[k] / (1 - 0.9**t)) / ((v[k] / (1 - 0.999**t)).sqrt() + 1e-8)
                )
        losses.append(float(loss))
    return losses
