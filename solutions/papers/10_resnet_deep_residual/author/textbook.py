"""Residual networks: blocks with a shortcut, nets of any depth with and without it, and
how they train.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def residual_block_numpy(
    x: np.ndarray, W1: np.ndarray, b1: np.ndarray, W2: np.ndarray, b2: np.ndarray
) -> np.ndarray:
    """relu(x + F(x))"""
    hidden = np.maximum(x @ W1.T + b1, 0)
    return np.maximum(x + hidden @ W2.T + b2, 0)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them."""

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
        if not residual:
            self.shortcut = None
        elif stride == 1 and in_channels == out_channels:
            self.shortcut = nn.Identity()
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.shortcut is not None:
            out = out + self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    """A stem, two stages of n blocks, a global mean, a linear head."""

    def __init__(
        self,
        blocks_per_stage: int,
        width: int = 8,
        num_classes: int = 10,
        residual: bool = True,
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        blocks = [
            BasicBlock(width, width, 1, residual) for _ in range(blocks_per_stage)
        ]
        blocks.append(BasicBlock(width, 2 * width, 2, residual))
        blocks += [
            BasicBlock(2 * width, 2 * width, 1, residual)
            for _ in range(blocks_per_stage - 1)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.blocks(self.stem(x))
        return self.head(maps.mean(dim=(2, 3)))


def init_gradient_norms(model: ResNet, x: Tensor, y: Tensor) -> list[float]:
    """One backward pass, then the norms block by block."""
    model.train()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    return [block.conv1.weight.grad.norm().item() for block in model.blocks]


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
    """SGD with momentum and weight decay."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4
    )
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
    """Every block starts as its shortcut."""
    for block in model.blocks:
        nn.init.zeros_(block.bn2.weight)
