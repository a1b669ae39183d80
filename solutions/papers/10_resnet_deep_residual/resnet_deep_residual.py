"""Residual networks: a block with a shortcut, nets of any depth with and without
shortcuts, and how well they train.

After He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition" (2015).
Sizes: B images in a batch, C channels, H and W the height and width of a map, D
features, n blocks per stage.
"""

import numpy as np  # stub: keep
import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn


def residual_block_numpy(
    x: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray
) -> np.ndarray:
    """Run a residual block of two linear layers in NumPy: equation (1) and figure 2 of
    the paper.

    Args:
        x: (B, D) float64.
        W1, b1: (M, D) and (M,), the first layer. A row of W1 belongs to an output, as
            in `nn.Linear`.
        W2, b2: (D, M) and (D,), the second layer.
    Returns:
        (B, D): relu(x + F(x)), with F(x) = W2 relu(W1 x + b1) + b2 for each row of x.
        If W2 and b2 are zero, this is relu(x).

    Edge cases ★
        float64 precision. x is not written to.
    """
    hidden = np.maximum(x @ W1.T + b1, 0)
    return np.maximum(x + hidden @ W2.T + b2, 0)


class BasicBlock(nn.Module):
    """Two 3×3 convolutions, and a shortcut that adds the block's input to their result
    (section 3.3).

    Args:
        in_channels, out_channels: channels of the input and of the output.
        stride: of the first convolution; 2 halves the map.
        residual: False leaves the shortcut out: the plain block.
    Attributes:
        conv1, conv2: 3×3, padding 1, no bias; conv1 has the stride, conv2 has stride 1.
        bn1, bn2: a `BatchNorm2d` for each.
        shortcut: `nn.Identity()` where input and output have the same shape. Else
            `nn.Sequential` of a 1×1 convolution (the stride, no bias) and a
            `BatchNorm2d`: the paper's projection. With residual=False, None.

    `forward(x)` takes (B, in_channels, H, W) and returns (B, out_channels,
    ⌈H / stride⌉, ⌈W / stride⌉):

        relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))

    With residual=False nothing is added.

    Edge cases ★
        x is not written to. A float64 block computes in float64.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        residual: bool = True,
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(
            in_channels, out_channels, 3, stride, padding=1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            _shortcut(in_channels, out_channels, stride) if residual else None
        )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(branch if self.shortcut is None else branch + self.shortcut(x))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The identity where shapes match, else the projection."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResNet(nn.Module):
    """A net of two stages of n blocks each, with or without shortcuts: 4n + 2 layers,
    as in section 4.2.

    Args:
        blocks_per_stage: n, at least 1.
        width: channels of the first stage; the second stage has twice as many.
        num_classes: the logits per image.
        residual: handed on to every block.
    Attributes:
        stem: `nn.Sequential` of a 3×3 convolution from 1 channel to `width` (padding 1,
            no bias), a `BatchNorm2d` and a `ReLU`.
        blocks: `nn.Sequential` of 2n `BasicBlock`s. The first block of the second stage
            doubles the channels and has stride 2.
        head: a linear layer from 2 · width features.

    `forward(x)` takes (B, 1, H, W) of any size and returns logits (B, num_classes):
    stem, blocks, the mean over height and width, head. Keep PyTorch's
    own initialisation.

    Edge cases ★
        A blocks_per_stage below 1 is an error.
    """

    def __init__(
        self,
        blocks_per_stage: int,
        width: int = 8,
        num_classes: int = 10,
        residual: bool = True,
    ):
        super().__init__()
        if blocks_per_stage < 1:
            raise ValueError(
                f"blocks_per_stage must be at least 1, not {blocks_per_stage}"
            )
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        blocks, channels = [], width
        for stage in (1, 2):
            for place in range(blocks_per_stage):
                stride = 2 if stage == 2 and place == 0 else 1
                blocks.append(BasicBlock(channels, stage * width, stride, residual))
                channels = stage * width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.blocks(self.stem(x))
        return self.head(maps.mean(dim=(2, 3)))


def init_gradient_norms(model: ResNet, x: Tensor, y: Tensor) -> list[float]:
    """Measure how large a gradient reaches each block.

    Args:
        model: has `blocks`, each with a `conv1`.
        x, y: images (B, 1, H, W) and labels (B,) int64, one batch.
    Returns:
        One float per block, first block first: the Euclidean norm of the gradient of
        its `conv1.weight`, for the mean cross-entropy of one pass in train mode. A
        model that is in eval mode is measured in train mode, too.

    Edge cases ★
        Every `.grad`, every buffer (the running statistics) and `training` are
        as before.
    """
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    modes = {module: module.training for module in model.modules()}
    model.train()
    loss = F.cross_entropy(model(x), y)
    gradients = torch.autograd.grad(
        loss, [block.conv1.weight for block in model.blocks]
    )
    for module, mode in modes.items():
        module.training = mode
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])
    return [gradient.norm().item() for gradient in gradients]


def train_net(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 150,
    batch: int = 32,
    lr: float = 0.05,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Train a classifier with the optimizer of section 4.2: SGD with momentum 0.9 and
    weight decay 1e-4.

    Args:
        model: returns logits (rows, classes).
        x, y: all images, and their labels (int64).
        steps: the number of updates, each on `batch` rows drawn at random.
        generator: the source of the draws. None means the global generator.
    Returns:
        One float per step: the mean cross-entropy of its batch before the update.

    - The optimizer takes all parameters of the model.
    - Gradients are cleared before each step.

    Edge cases ★
        The model is put in train mode and stays in it. Gradients that it holds at the
        start have no effect.
    """
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4
    )
    model.train()
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def zero_init_residual(model: ResNet) -> None:
    """Let a residual net start from blocks that do nothing.

    Args:
        model: has `blocks`, each with a `bn2`. The `weight` of every `bn2` becomes 0,
            in place. Nothing else changes, and the weights are still learned.

    A block with an identity shortcut then returns relu(x).

    Edge cases ★
        The weights are the same `nn.Parameter` objects as before, so that an optimizer
        made earlier still moves them.
    """
    with torch.no_grad():
        for block in model.blocks:
            block.bn2.weight.zero_()
