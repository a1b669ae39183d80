"""Windows by sliding_window_view, LRN by avg_pool3d, shifts by gather, layers without
nn.Sequential for the features.
"""

from torch.utils.data import DataLoader, RandomSampler, TensorDataset


def conv2d_numpy(x, w, b=None, stride=1, padding=0):
    wide = np.zeros((*x.shape[:2], x.shape[2] + 2 * padding, x.shape[3] + 2 * padding))
    wide[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]] = x
    windows = np.lib.stride_tricks.sliding_window_view(wide, w.shape[2:], axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    # im2col
    rows = windows.transpose(0, 2, 3, 1, 4, 5).reshape(
        *np.array(windows.shape)[[0, 2, 3]], -1
    )
    out = np.moveaxis(rows @ w.reshape(len(w), -1).T, -1, 1)
    return out if b is None else out + b.reshape(1, -1, 1, 1)


def local_response_norm(x, size=5, alpha=1e-4, beta=0.75, k=2.0):
    if size <= 0:
        raise ValueError("the size must be positive")
    volume = F.pad(x.square().unsqueeze(1), (0, 0, 0, 0, size // 2, size // 2))
    sums = F.avg_pool3d(volume, (size, 1, 1), stride=1).squeeze(1) * size
    return x * (k + alpha * sums).pow(-beta)


def random_shift(x, pad, generator=None):
    B, C, H, W = x.shape
    wide = F.pad(x, [pad] * 4)
    high = 2 * pad + 1
    top = torch.randint(0, high, (B, 1), generator=generator) + torch.arange(H)
    left = torch.randint(0, high, (B, 1), generator=generator) + torch.arange(W)
    wide = wide.gather(2, top[:, None, :, None].expand(B, C, H, wide.shape[3]))
    return wide.gather(3, left[:, None, None, :].expand(B, C, H, W))


class _Features(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, 1, "same") for a, b in ((1, 16), (16, 32), (32, 32))
        )

    def forward(self, x):
        first, second, third = self.convs
        x = F.max_pool2d(
            nn.LocalResponseNorm(5, 0.1, 0.75, 1.0)(self.act(first(x))), 3, 2
        )
        x = nn.LocalResponseNorm(5, 0.1, 0.75, 1.0)(self.act(second(x)))
        return self.act(third(x))


class MiniAlexNet(nn.Module):
    def __init__(self, num_classes=10, activation="relu", dropout=0.5):
        super().__init__()
        act = {"relu": nn.ReLU(), "tanh": nn.Tanh()}.get(activation)
        if act is None:
            raise ValueError(f"no such activation: {activation}")
        self.features = _Features(act)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(288, 64),
            act,
            nn.Dropout(dropout),
            nn.Linear(64, num_classes),
        )
        for parameter in self.parameters():
            if parameter.ndim == 1:
                nn.init.constant_(parameter, 0.0)
            else:
                nn.init.normal_(parameter, std=(2 / parameter[0].numel()) ** 0.5)

    def forward(self, x):
        return self.classifier(self.features(x))


def predict_averaged(model, x, pad=1):
    was_training = model.training
    height, width = x.shape[-2:]
    wide = F.pad(x, (pad,) * 4)
    views = torch.cat(
        [
            wide[..., :height, :width],
            wide[..., :height, -width:],
            wide[..., -height:, :width],
            wide[..., -height:, -width:],
            x,
        ]
    )
    with torch.inference_mode():
        chances = model.eval()(views).softmax(-1).view(5, len(x), -1).mean(0)
    model.train(was_training)
    return chances


def train_alexnet(
    model,
    x,
    y,
    *,
    steps=200,
    batch=64,
    lr=0.003,
    weight_decay=1e-4,
    shift=0,
    generator=None,
):
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay)
    data = TensorDataset(x, y)
    sampler = RandomSampler(
        data, replacement=True, num_samples=steps * batch, generator=generator
    )
    losses = []
    for images, labels in DataLoader(data, batch, sampler=sampler, generator=generator):
        if shift:
            images = random_shift(images, shift, generator=generator)
        model.zero_grad()
        loss = nn.CrossEntropyLoss()(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
