"""Blocks one row at a time, stages concatenated, SGD with momentum and weight decay by
hand, batches by randperm.
"""


def residual_block_numpy(x, W1, b1, W2, b2):
    rows = []
    for row in x:
        branch = W2 @ np.clip(W1 @ row + b1, 0, None) + b2
        rows.append(np.clip(row + branch, 0, None))
    return np.stack(rows)


class ResNet(nn.Module):
    def __init__(self, blocks_per_stage, width=8, num_classes=10, residual=True):
        super().__init__()
        assert blocks_per_stage >= 1, "one block per stage at least"

        def stage(channels_in, channels, stride):
            first = BasicBlock(channels_in, channels, stride, residual=residual)
            return [first] + [
                BasicBlock(channels, channels, residual=residual)
                for _ in range(blocks_per_stage - 1)
            ]

        self.head = nn.Linear(2 * width, num_classes)
        self.blocks = nn.Sequential(
            *stage(width, width, 1), *stage(width, 2 * width, 2)
        )
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, x):
        out = self.stem(x)
        for block in self.blocks:
            out = block(out)
        return self.head(F.adaptive_avg_pool2d(out, 1).flatten(1))


def init_gradient_norms(model, x, y):
    was = model.training
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    logits = model.train()(x)
    loss = -logits.log_softmax(1)[torch.arange(len(y)), y].mean()
    norms = []
    for block in model.blocks:
        (gradient,) = torch.autograd.grad(loss, block.conv1.weight, retain_graph=True)
        norms.append(float(gradient.pow(2).sum().sqrt()))
    model.load_state_dict(saved)
    model.train(was)
    return norms


def train_net(model, x, y, *, steps=150, batch=32, lr=0.05, generator=None):
    model.train()
    speed = {p: torch.zeros_like(p) for p in model.parameters()}
    losses = []
    for _ in range(steps):
        rows = torch.randperm(len(x), generator=generator)[:batch]
        loss = F.nll_loss(F.log_softmax(model(x[rows]), dim=1), y[rows])
        gradients = torch.autograd.grad(loss, list(speed))
        with torch.no_grad():
            for (p, v), g in zip(speed.items(), gradients):
                v.mul_(0.9).add_(g + 1e-4 * p)
                p.sub_(lr * v)
        losses += [float(loss)]
    return losses


def zero_init_residual(model):
    for name, parameter in model.named_parameters():
        if name.endswith("bn2.weight"):
            parameter.data.fill_(0)
