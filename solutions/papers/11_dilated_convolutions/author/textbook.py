"""Dilated convolutions: causal ones in a residual stack that looks far back, and a
context module for images.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def lag_batch(
    batch: int,
    length: int,
    lag: int,
    vocab: int,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    symbols = torch.randint(vocab, (batch, length), generator=generator)
    x = F.one_hot(symbols, vocab).float().mT
    y = torch.cat([torch.full((batch, lag), -100), symbols], dim=1)[:, :length]
    return x, y


def receptive_field(kernel_size: int, dilations: Sequence[int]) -> int:
    return 1 + (kernel_size - 1) * sum(dilations)


def dilated_conv1d_numpy(x: np.ndarray, w: np.ndarray, dilation: int) -> np.ndarray:
    T, K = len(x), len(w)
    padded = np.concatenate([np.zeros((K - 1) * dilation), x])
    return sum(w[k] * padded[k * dilation : k * dilation + T] for k in range(K))


class CausalConv1d(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1
    ):
        super().__init__()
        self.padding = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (self.padding, 0)))


class DilatedStack(nn.Module):
    def __init__(
        self,
        in_channels: int,
        channels: int,
        out_channels: int,
        kernel_size: int = 2,
        dilations: Sequence[int] = (1, 2, 4, 8),
    ):
        super().__init__()
        self.stem = nn.Conv1d(in_channels, channels, 1)
        self.layers = nn.ModuleList(
            CausalConv1d(channels, channels, kernel_size, d) for d in dilations
        )
        self.head = nn.Conv1d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.stem(x)
        for layer in self.layers:
            h = h + F.relu(layer(h))
        return self.head(h)


def empirical_receptive_field(model: nn.Module, in_channels: int, length: int) -> int:
    x = torch.randn(1, in_channels, length, requires_grad=True)
    model(x)[:, :, -1].sum().backward()
    seen = x.grad[0].abs().sum(dim=0).nonzero()
    return length - int(seen[0])


def train_lag(
    model: nn.Module,
    *,
    steps: int = 200,
    batch: int = 16,
    length: int = 64,
    lag: int = 24,
    vocab: int = 4,
    lr: float = 0.01,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        x, y = lag_batch(batch, length, lag, vocab, generator)
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


class ContextModule2d(nn.Module):
    def __init__(self, channels: int, dilations: Sequence[int] = (1, 1, 2, 4, 8)):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=d, dilation=d) for d in dilations
        )
        for layer in self.layers:
            nn.init.dirac_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)
