"""Padding by the convolution itself and a cut on the right, a walk down the stack, the
identity start by hand.
"""


def receptive_field(kernel_size, dilations):
    reach = 1
    for dilation in dilations:
        assert dilation > 0
        reach += (kernel_size - 1) * dilation
    assert kernel_size > 0
    return reach


def dilated_conv1d_numpy(x, w, dilation):
    y = np.zeros_like(x)
    for t in range(len(x)):
        for k in range(len(w)):
            step = t - (len(w) - 1 - k) * dilation
            if step >= 0:
                y[t] += w[k] * x[step]
    return y


class CausalConv1d(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, dilation=1):
        super().__init__()
        padding = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(
            in_channels, out_channels, kernel_size, dilation=dilation, padding=padding
        )

    def forward(self, x):
        return self.conv(x)[..., : x.shape[-1]]


class DilatedStack(nn.Module):
    def __init__(
        self, in_channels, channels, out_channels, kernel_size=2, dilations=(1, 2, 4, 8)
    ):
        super().__init__()
        self.stem = nn.Conv1d(in_channels, channels, kernel_size=1)
        self.layers = nn.ModuleList()
        for dilation in dilations:
            self.layers.append(
                CausalConv1d(channels, channels, kernel_size, dilation=dilation)
            )
        self.head = nn.Conv1d(channels, out_channels, kernel_size=1)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x).clamp(min=0).add(x)
        return self.head(x)


def empirical_receptive_field(model, in_channels, length):
    was = model.training
    model.eval()
    parameters = {p: p.grad for p in model.parameters()}
    x = torch.rand(1, in_channels, length).requires_grad_()
    model(x)[0, :, -1].sum().backward()
    model.train(was)
    for parameter, gradient in parameters.items():
        parameter.grad = gradient
    for t in range(length):
        if x.grad[0, :, t].any():
            return length - t
    return 0


def train_lag(
    model, *, steps=200, batch=16, length=64, lag=24, vocab=4, lr=0.01, generator=None
):
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr)
    losses = []
    while len(losses) < steps:
        x, y = lag_batch(batch, length, lag, vocab, generator=generator)
        logits = model(x).transpose(1, 2).reshape(-1, vocab)
        loss = F.cross_entropy(logits, y.reshape(-1), ignore_index=-100)
        model.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [float(loss)]
    return losses


class ContextModule2d(nn.Module):
    def __init__(self, channels, dilations=(1, 1, 2, 4, 8)):
        super().__init__()
        self.layers = nn.ModuleList([])
        for dilation in dilations:
            layer = nn.Conv2d(
                channels, channels, kernel_size=3, dilation=dilation, padding="same"
            )
            with torch.no_grad():
                layer.weight.zero_()
                layer.weight[range(channels), range(channels), 1, 1] = 1.0
                layer.bias.zero_()
            self.layers.append(layer)

    def forward(self, x):
        *layers, last = self.layers
        for layer in layers:
            x = torch.relu(layer(x))
        return last(x)
