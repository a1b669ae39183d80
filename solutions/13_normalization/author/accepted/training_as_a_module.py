"""The networks as a class of their own, ReLU as a function, the update written out; the
linear layers made first.
"""


class _Deep(nn.Module):
    def __init__(self, sizes, make_norm):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:]))
        self.norms = nn.ModuleList(make_norm(width) for width in sizes[1:-1])

    def forward(self, x):
        for linear, norm in zip(self.linears, self.norms):
            x = norm(linear(x)).relu_()
        return self.linears[-1](x)


def compare_training(x, y, hidden_dim=32, depth=10, steps=80, lr=0.1, seed=0):
    sizes = [x.shape[1]] + [hidden_dim] * depth + [y.max().item() + 1]
    curves = {}
    for kind in ("none", "batch", "layer"):
        torch.manual_seed(seed)
        make_norm = {
            "none": lambda width: nn.Identity(),
            "batch": BatchNorm1d,
            "layer": LayerNorm,
        }[kind]
        net = _Deep(sizes, make_norm).to(device=x.device, dtype=x.dtype).train()
        parameters = list(net.parameters())
        curves[kind] = []
        for _ in range(steps):
            loss = F.cross_entropy(net(x), y)
            curves[kind].append(loss.detach().item())
            with torch.no_grad():
                for p, g in zip(
                    parameters, torch.autograd.grad(loss, parameters, allow_unused=True)
                ):
                    if g is not None:
                        p -= lr * g
        F.cross_entropy(net(x), y)
    return curves
