"""Sequential and AdaptiveAvgPool2d inside, norms measured on a deep copy, zeros by the
class of the module.
"""

import copy


def residual_block_numpy(x, W1, b1, W2, b2):
    hidden = np.einsum("md,bd->bm", W1, x) + b1
    hidden = hidden * (hidden > 0)
    total = np.einsum("dm,bm->bd", W2, hidden) + b2 + x
    return np.where(total > 0, total, 0.0)


class BasicBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, residual=True):
        nn.Module.__init__(self)
        first = {
            "kernel_size": (3, 3),
            "stride": (stride, stride),
            "padding": (1, 1),
            "bias": False,
        }
        self.conv1, self.bn1 = (
            nn.Conv2d(in_channels, out_channels, **first),
            nn.BatchNorm2d(out_channels),
        )
        self.conv2 = nn.Conv2d(
            out_channels, out_channels, kernel_size=3, padding="same", bias=False
        )
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Identity() if residual else None
        if residual and (stride > 1 or in_channels != out_channels):
            conv = nn.Conv2d(
                in_channels, out_channels, kernel_size=1, stride=stride, bias=False
            )
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        out = nn.Sequential(self.conv1, self.bn1, self.relu, self.conv2, self.bn2)(x)
        if self.shortcut:
            out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, blocks_per_stage, width=8, num_classes=10, residual=True):
        super().__init__()
        if blocks_per_stage <= 0:
            raise ValueError("no blocks")
        conv = nn.Conv2d(1, width, kernel_size=3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential()
        for i in range(2 * blocks_per_stage):
            ins = width if i <= blocks_per_stage else 2 * width
            outs = width if i < blocks_per_stage else 2 * width
            self.blocks.append(BasicBlock(ins, outs, 1 + (ins != outs), residual))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        return self.head(self.pool(self.blocks(self.stem(x))))


def init_gradient_norms(model, x, y):
    twin = copy.deepcopy(model).train()
    twin.zero_grad()
    nn.CrossEntropyLoss()(twin(x), y).backward()
    return [
        torch.linalg.vector_norm(block.conv1.weight.grad).item()
        for block in twin.blocks
    ]


def zero_init_residual(model):
    for module in model.modules():
        if isinstance(module, BasicBlock):
            nn.init.constant_(module.bn2.weight, 0.0)
