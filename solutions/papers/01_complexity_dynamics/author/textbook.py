"""Cellular automata, their block entropy, the entropy and complexity of mixing, and a
convolution that learns a rule.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mix(state: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    rows = [state]
    for _ in range(steps):
        state = state.clone()
        for first in (0, 1):
            left, right = state[..., first:-1:2], state[..., first + 1 :: 2]
            swap = torch.rand(left.shape, generator=generator) < 0.5
            lefts, rights = (
                torch.where(swap, right, left),
                torch.where(swap, left, right),
            )
            state[..., first:-1:2], state[..., first + 1 :: 2] = lefts, rights
        rows.append(state)
    return torch.stack(rows, dim=-2)


def recovered_rule(model: nn.Module) -> int:
    number = torch.arange(8)
    neighbourhoods = torch.stack([number // 4, number // 2 % 2, number % 2], dim=1)
    with torch.no_grad():
        alive = model(neighbourhoods)[:, 1] > 0
    return int((alive * 2**number).sum())


def rule_table(rule: int) -> Tensor:
    return torch.tensor([(rule >> i) & 1 for i in range(8)])


def evolve(state: Tensor, rule: int, steps: int) -> Tensor:
    table = rule_table(rule)
    rows = [state]
    for _ in range(steps):
        left, right = state.roll(1, dims=-1), state.roll(-1, dims=-1)
        state = table[4 * left + 2 * state + right]
        rows.append(state)
    return torch.stack(rows, dim=-2)


def block_entropy_numpy(row: np.ndarray, block: int) -> float:
    codes = sum(2**i * np.roll(row, -i) for i in range(block))
    counts = np.bincount(codes)
    p = counts[counts > 0] / len(row)
    return -(p * np.log2(p)).sum()


def block_entropy(rows: Tensor, block: int) -> Tensor:
    codes = sum(2**i * rows.roll(-i, dims=-1) for i in range(block))
    p = F.one_hot(codes, 2**block).float().mean(dim=-2)
    return torch.special.entr(p).sum(dim=-1) / math.log(2)


def mixing_curves(rows: Tensor, block: int) -> dict[str, Tensor]:
    d = rows.float().unflatten(-1, (-1, block)).mean(dim=-1)
    entropy = (torch.special.entr(d) + torch.special.entr(1 - d)) / math.log(2)
    levels = (d > 0.25).long() + (d > 0.75).long()
    p = F.one_hot(levels, 3).float().mean(dim=-2)
    complexity = torch.special.entr(p).sum(dim=-1) / math.log(2)
    return {"entropy": entropy.mean(dim=-1), "complexity": complexity}


class LearnedRule(nn.Module):
    def __init__(self, hidden: int = 16):
        super().__init__()
        self.conv = nn.Conv1d(
            1, hidden, kernel_size=3, padding=1, padding_mode="circular"
        )
        self.out = nn.Conv1d(hidden, 1, kernel_size=1)

    def forward(self, state: Tensor) -> Tensor:
        x = state.float().unsqueeze(1)
        return self.out(F.relu(self.conv(x))).squeeze(1)


def train_rule(
    model: LearnedRule,
    rule: int,
    *,
    steps: int = 300,
    width: int = 64,
    batch: int = 32,
    lr: float = 0.02,
    generator: torch.Generator | None = None,
) -> list[float]:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        state = torch.randint(2, (batch, width), generator=generator)
        target = evolve(state, rule, 1)[:, 1]
        loss = F.binary_cross_entropy_with_logits(model(state), target.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses
