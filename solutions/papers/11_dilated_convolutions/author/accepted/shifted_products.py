"""Sums of shifted matrix products, unfold and np.convolve in place of dilated
convolutions, the loss by gather.
"""


def receptive_field(kernel_size, dilations):
    if kernel_size < 1 or min(dilations, default=1) < 1:
        raise ValueError("taps and dilations start at 1")
    earliest = 0
    for dilation in dilations:
        earliest -= dilation * (kernel_size - 1)
    return -earliest + 1


def dilated_conv1d_numpy(x, w, dilation):
    kernel = np.zeros((len(w) - 1) * dilation + 1)
    kernel[::dilation] = w[::-1]
    return np.convolve(x, kernel)[: len(x)]


class CausalConv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, dilation=1):
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size)
        self.dilation, self.kernel_size = dilation, kernel_size

    def forward(self, x):
        before = x.new_zeros(*x.shape[:2], (self.kernel_size - 1) * self.dilation)
        windows = torch.cat([before, x], dim=2).unfold(2, before.shape[2] + 1, 1)[
            ..., :: self.dilation
        ]
        return (
            torch.einsum("bctk,ock->bot", windows, self.conv.weight)
            + self.conv.bias[:, None]
        )


class DilatedStack(nn.Module):
    def __init__(
        self, in_channels, channels, out_channels, kernel_size=2, dilations=(1, 2, 4, 8)
    ):
        super().__init__()
        self.stem, self.head = (
            nn.Conv1d(in_channels, channels, 1),
            nn.Conv1d(channels, out_channels, 1),
        )
        self.layers = nn.ModuleList(
            [CausalConv1d(channels, channels, kernel_size, d) for d in dilations]
        )

    def forward(self, x):
        h = F.conv1d(x, self.stem.weight, self.stem.bias)
        for layer in self.layers:
            branch = layer(h)
            h = torch.where(branch > 0, h + branch, h)
        return self.head(h)


def empirical_receptive_field(model, in_channels, length):
    modes = [(module, module.training) for module in model.modules()]
    x = torch.randn(1, in_channels, length, requires_grad=True)
    last = model.eval()(x)[..., -1]
    gradient = torch.autograd.grad(last, x, torch.ones_like(last))[0]
    for module, mode in modes:
        module.training = mode
    seen = np.flatnonzero(gradient.abs().amax(dim=(0, 1)).numpy())
    return length - int(seen.min()) if seen.size else 0


def train_lag(
    model, *, steps=200, batch=16, length=64, lag=24, vocab=4, lr=0.01, generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=0)
    losses = []
    for _ in range(steps):
        x, y = lag_batch(batch, length, lag, vocab, generator)
        log_shares = model(x).log_softmax(dim=1)[:, :, lag:]
        loss = -log_shares.gather(1, y[:, None, lag:]).mean()
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters), strict=True
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    return losses


class ContextModule2d(nn.Module):
    def __init__(self, channels, dilations=(1, 1, 2, 4, 8)):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in dilations]
        )
        start = torch.zeros(channels, channels, 3, 3)
        start[:, :, 1, 1] = torch.eye(channels)
        for layer in self.layers:
            layer.weight.data.copy_(start)
            layer.bias.data.fill_(0.0)

    def forward(self, x):
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x)
            if number < len(self.layers):
                x = x.relu()
        return x
