"""The parameters in reverse order, the loss from log-probabilities, all steps of a
network under one roof.
"""


def compare_training(x, y, hidden_dim=32, depth=10, steps=80, lr=0.1, seed=0):
    def layers(norm):
        width = x.shape[1]
        for _ in range(depth):
            yield from [nn.Linear(width, hidden_dim), *norm(hidden_dim), nn.ReLU()]
            width = hidden_dim
        yield nn.Linear(width, int(y.max().item()) + 1)

    def curve(norm):
        torch.manual_seed(seed)
        model = nn.Sequential(*layers(norm)).to(x.device, x.dtype)
        optimizer = torch.optim.SGD([*model.parameters()][::-1], lr)
        losses = []
        for _ in range(steps):
            model.zero_grad()
            loss = (
                -model(x)
                .log_softmax(dim=1)[torch.arange(len(y), device=x.device), y]
                .mean()
            )
            loss.backward()
            optimizer.step()
            losses.append(float(loss))
        return losses

    norms = {"none": lambda width: [], "batch": lambda width: [BatchNorm1d(width)]}
    return {
        name: curve(norm)
        for name, norm in (norms | {"layer": lambda width: [LayerNorm(width)]}).items()
    }
