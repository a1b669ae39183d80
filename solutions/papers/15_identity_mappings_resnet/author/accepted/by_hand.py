"""Products from the back in a loop, a net of appended units, one gradient at a time,
momentum by hand.
"""


def shortcut_gain_numpy(scales):
    gain = np.empty(len(scales))
    product = 1.0
    for unit in reversed(range(len(scales))):
        product *= scales[unit]
        gain[unit] = product
    return gain


def residual_sum_numpy(x, branches):
    return [x + sum(branches[:count]) for count in range(len(branches) + 1)]


class DeepNet(nn.Module):
    def __init__(
        self,
        depth,
        width=32,
        order="pre",
        shortcut="identity",
        in_features=64,
        num_classes=10,
    ):
        super().__init__()
        self.head = nn.Linear(width, num_classes)
        self.units = nn.ModuleList()
        while len(self.units) < depth:
            self.units.append(ResidualUnit(width=width, order=order, shortcut=shortcut))
        self.stem = nn.Linear(in_features, width)
        self.final = nn.Identity()
        if order == "pre":
            self.final = nn.Sequential(nn.BatchNorm1d(width), nn.ReLU(inplace=True))

    def forward(self, x, return_states=False):
        h = self.stem(x.reshape(len(x), -1))
        states = [h]
        for unit in self.units:
            h = unit(h)
            states += [h]
        logits = self.head(self.final(h))
        if return_states:
            return logits, states
        return logits


def gradient_profile(model, x, y):
    logits, states = model(x, return_states=True)
    loss = -logits.log_softmax(dim=1)[torch.arange(len(y)), y].mean()
    norms = []
    for state in states:
        (gradient,) = torch.autograd.grad(loss, state, retain_graph=True)
        norms.append(torch.linalg.vector_norm(gradient))
    return torch.stack(norms)


def train_deep(model, x, y, *, steps=100, batch=64, lr=0.02, generator=None):
    model.train()
    speed = {p: torch.zeros_like(p) for p in model.parameters()}
    losses = []
    for _ in range(steps):
        rows = torch.randperm(len(x), generator=generator)[:batch]
        loss = F.nll_loss(F.log_softmax(model(x[rows]), dim=1), y[rows])
        gradients = torch.autograd.grad(loss, list(speed))
        with torch.no_grad():
            for (p, v), g in zip(speed.items(), gradients):
                v.mul_(0.9).add_(g)
                p.sub_(lr * v)
        losses += [float(loss)]
    return losses
