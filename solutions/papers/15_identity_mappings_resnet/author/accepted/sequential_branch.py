"""The branch as a Sequential of the named layers, shortcuts by dictionary, norms from
kept gradients that are cleared.
"""


def shortcut_gain_numpy(scales):
    return np.flip(np.multiply.accumulate(np.flip(scales)))


def residual_sum_numpy(x, branches):
    return list(np.cumsum([x, *branches], axis=0))


class ResidualUnit(nn.Module):
    def __init__(self, width, order="pre", shortcut="identity", scale=0.5, p=0.5):
        super().__init__()
        if order not in {"pre", "post"} or shortcut not in {
            "identity",
            "scale",
            "dropout",
            "gate",
        }:
            raise ValueError(f"unknown: {order} or {shortcut}")
        self.fc1 = nn.Linear(width, width, bias=False)
        self.fc2 = nn.Linear(width, width, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        self.relu = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(p)
        self.gate = None
        if shortcut == "gate":
            self.gate = nn.Linear(width, width)
            self.gate.weight.data.zero_()
            self.gate.bias.data.fill_(-1)
        self.order, self.shortcut, self.scale, self.p = order, shortcut, scale, p

    def branch(self, x):
        if self.order == "pre":
            layers = [self.norm1, self.relu, self.fc1, self.norm2, self.relu, self.fc2]
        else:
            layers = [self.fc1, self.norm1, self.relu, self.fc2, self.norm2]
        return nn.Sequential(*layers)(x)

    def skip(self, x):
        shortcuts = {
            "identity": lambda: x,
            "scale": lambda: x * self.scale,
            "dropout": lambda: self.drop(x),
            "gate": lambda: x - self.gate(x).sigmoid() * x,
        }
        return shortcuts[self.shortcut]()

    def forward(self, x):
        out = self.branch(x)
        out = out + self.skip(x)
        return out.relu() if self.order == "post" else out


def gradient_profile(model, x, y):
    kept = [parameter.grad for parameter in model.parameters()]
    model.zero_grad(set_to_none=True)
    logits, states = model(x, return_states=True)
    for state in states:
        state.retain_grad()
    nn.CrossEntropyLoss()(logits, y).backward()
    with torch.no_grad():
        norms = torch.tensor(
            [state.grad.pow(2).sum().sqrt().item() for state in states]
        )
    for parameter, gradient in zip(model.parameters(), kept):
        parameter.grad = gradient
    return norms
