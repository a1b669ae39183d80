"""Residual units with four kinds of shortcut, deep nets of them, and how much gradient
reaches each state.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def shortcut_gain_numpy(scales: np.ndarray) -> np.ndarray:
    """The product of all later scales."""
    return np.cumprod(scales[::-1])[::-1]


def residual_sum_numpy(x: np.ndarray, branches: list[np.ndarray]) -> list[np.ndarray]:
    """Every state is the one before plus a branch."""
    states = [x]
    for branch in branches:
        states.append(states[-1] + branch)
    return states


class ResidualUnit(nn.Module):
    """skip(x) + branch(x)"""

    def __init__(
        self,
        width: int,
        order: str = "pre",
        shortcut: str = "identity",
        scale: float = 0.5,
        p: float = 0.5,
    ):
        super().__init__()
        self.order, self.shortcut, self.scale, self.p = order, shortcut, scale, p
        self.norm1 = nn.BatchNorm1d(width)
        self.fc1 = nn.Linear(width, width, bias=False)
        self.norm2 = nn.BatchNorm1d(width)
        self.fc2 = nn.Linear(width, width, bias=False)
        self.gate = None
        if shortcut == "gate":
            self.gate = nn.Linear(width, width)
            nn.init.zeros_(self.gate.weight)
            nn.init.constant_(self.gate.bias, -1.0)

    def branch(self, x: Tensor) -> Tensor:
        if self.order == "pre":
            hidden = self.fc1(F.relu(self.norm1(x)))
            return self.fc2(F.relu(self.norm2(hidden)))
        hidden = F.relu(self.norm1(self.fc1(x)))
        return self.norm2(self.fc2(hidden))

    def skip(self, x: Tensor) -> Tensor:
        if self.shortcut == "scale":
            return self.scale * x
        if self.shortcut == "dropout":
            return F.dropout(x, self.p, self.training)
        if self.shortcut == "gate":
            return (1 - torch.sigmoid(self.gate(x))) * x
        return x

    def forward(self, x: Tensor) -> Tensor:
        out = self.skip(x) + self.branch(x)
        return F.relu(out) if self.order == "post" else out


class DeepNet(nn.Module):
    """A stem, units, a final norm for the pre order, a head."""

    def __init__(
        self,
        depth: int,
        width: int = 32,
        order: str = "pre",
        shortcut: str = "identity",
        in_features: int = 64,
        num_classes: int = 10,
    ):
        super().__init__()
        self.stem = nn.Linear(in_features, width)
        self.units = nn.ModuleList(
            ResidualUnit(width, order, shortcut) for _ in range(depth)
        )
        self.final = (
            nn.Sequential(nn.BatchNorm1d(width), nn.ReLU())
            if order == "pre"
            else nn.Identity()
        )
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor, return_states: bool = False):
        states = [self.stem(x.flatten(1))]
        for unit in self.units:
            states.append(unit(states[-1]))
        logits = self.head(self.final(states[-1]))
        return (logits, states) if return_states else logits


def gradient_profile(model: DeepNet, x: Tensor, y: Tensor) -> Tensor:
    """One backward pass, then the norm at each state."""
    logits, states = model(x, return_states=True)
    for state in states:
        state.retain_grad()
    F.cross_entropy(logits, y).backward()
    return torch.stack([state.grad.norm() for state in states])


def train_deep(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    steps: int = 100,
    batch: int = 64,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    """SGD with momentum."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        loss = F.cross_entropy(model(x[rows]), y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
