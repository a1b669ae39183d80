"""F.unfold and a matrix product, for both operations; the network from blocks, its
logits flattened or indexed.
"""


def conv2d(x, weight, bias=None, stride=1, padding=0):
    if x.size(1) != weight.size(1):
        raise ValueError(f"{x.size(1)} channels, {weight.size(1)} expected")
    stride = (stride, stride) if isinstance(stride, int) else stride
    padding = (padding, padding) if isinstance(padding, int) else padding
    size = []
    for d in (0, 1):
        size.append(
            (x.size(2 + d) + 2 * padding[d] - weight.size(2 + d)) // stride[d] + 1
        )
        if size[d] < 1:
            raise ValueError("the kernel is larger than the picture")
    columns = F.unfold(x, tuple(weight.shape[2:]), padding=padding, stride=stride)
    y = torch.matmul(weight.reshape(len(weight), -1), columns)
    if bias is not None:
        y += bias[:, None]
    return y.reshape(len(x), len(weight), *size)


def max_pool2d(x, kernel_size, stride=None, padding=0):
    pair = lambda value: (value, value) if isinstance(value, int) else value
    kernel, padding = pair(kernel_size), pair(padding)
    stride = kernel if stride is None else pair(stride)
    if padding[0] * 2 > kernel[0] or padding[1] * 2 > kernel[1]:
        raise ValueError("more border than picture")
    b, c, h, w = x.shape
    rows = (h + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (w + 2 * padding[1] - kernel[1]) // stride[1] + 1
    if min(rows, columns) < 1:
        raise ValueError("no window fits")
    x = F.pad(
        x, [padding[1], padding[1], padding[0], padding[0]], "constant", float("-inf")
    )
    windows = F.unfold(x.reshape(b * c, 1, *x.shape[2:]), kernel, stride=stride)
    best = windows.argmax(1, keepdim=True)
    return windows.gather(1, best).reshape(b, c, rows, columns)


class BinaryCNN(nn.Module):
    def __init__(
        self,
        image_size=16,
        in_channels=3,
        channels=(8, 16, 32),
        hidden=32,
        dropout=0.5,
        batch_norm=False,
    ):
        super().__init__()
        self.config = dict(
            image_size=image_size,
            in_channels=in_channels,
            channels=[*channels],
            hidden=hidden,
            dropout=dropout,
            batch_norm=batch_norm,
        )
        side = image_size
        self.features = nn.Sequential()
        for before, after in zip([in_channels, *channels], channels):
            if side % 2:
                raise ValueError(f"{image_size} cannot be halved {len(channels)} times")
            side //= 2
            self.features.append(
                nn.Conv2d(
                    before,
                    after,
                    kernel_size=(3, 3),
                    padding="same",
                    bias=not batch_norm,
                )
            )
            if batch_norm:
                self.features.append(nn.BatchNorm2d(after))
            self.features.append(nn.ReLU(inplace=True))
            self.features.append(nn.MaxPool2d((2, 2)))
        self.classifier = nn.Sequential(
            nn.Flatten(1),
            nn.Linear(channels[-1] * side**2, hidden),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(hidden, 1),
        )

    def forward(self, x):
        s = self.config["image_size"]
        if x.dim() != 4 or tuple(x.shape)[1:] != (self.config["in_channels"], s, s):
            raise ValueError("another picture was expected")
        return self.classifier(self.features(x))[:, 0]

    def predict_proba(self, x):
        with torch.no_grad():
            return 1 / (1 + (-self.forward(x)).exp())
