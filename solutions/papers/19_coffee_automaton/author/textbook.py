"""Cream mixes into coffee: the entropy rises, while the complexity rises and
falls again.
"""

import math
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def initial_state(height: int, width: int, batch_size: int = 1) -> Tensor:
    """Pour cream on coffee: (batch_size, 1, height, width) float32, with 1 in the rows
    above height // 2, else 0.
    """
    state = torch.zeros(batch_size, 1, height, width)
    state[:, :, : height // 2] = 1
    return state


def compressed_size(array: Tensor) -> int:
    """Count the bytes that zlib (level 9) needs for the contents of `array` as uint8,
    row by row.
    """
    return len(zlib.compress(array.to(torch.uint8).numpy().tobytes(), 9))


def mix_step(
    state: Tensor,
    swap_probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Swap random pairs of neighbours."""
    vertical, offset = torch.randint(2, (2,), generator=generator).tolist()
    state = state.clone()
    lines = state.mT if vertical else state
    first, second = lines[..., offset:-1:2], lines[..., offset + 1 :: 2]
    swap = torch.rand(first.shape, generator=generator) < swap_probability
    new_first, new_second = (
        torch.where(swap, second, first),
        torch.where(swap, first, second),
    )
    first[:], second[:] = new_first, new_second
    return state


def coarse_grain(state: Tensor, window: int, stride: int, levels: int = 3) -> Tensor:
    """Average over windows, then round down to levels."""
    mean = F.avg_pool2d(state, window, stride)
    return (mean * levels).floor().clamp(max=levels - 1).to(torch.uint8)


def complexity_curve(
    size: int,
    window: int,
    stride: int,
    *,
    steps: int,
    every: int,
    levels: int = 3,
    swap_probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> dict[str, list[int]]:
    """Mix, and compress the exact and the blurred state now and then."""
    curve: dict[str, list[int]] = {"step": [], "entropy": [], "complexity": []}
    state = initial_state(size, size)
    for step in range(steps + 1):
        if step % every == 0:
            curve["step"].append(step)
            curve["entropy"].append(compressed_size(state))
            curve["complexity"].append(
                compressed_size(coarse_grain(state, window, stride, levels))
            )
        state = mix_step(state, swap_probability, generator)
    return curve


def expected_step(state: Tensor, swap_probability: float = 0.5) -> Tensor:
    """The mean of `mix_step`."""
    padded = F.pad(state, (1, 1, 1, 1), mode="replicate")
    up, down = padded[..., :-2, 1:-1], padded[..., 2:, 1:-1]
    left, right = padded[..., 1:-1, :-2], padded[..., 1:-1, 2:]
    return state + swap_probability / 4 * (up + down + left + right - 4 * state)


def expected_step_numpy(state: np.ndarray, swap_probability: float = 0.5) -> np.ndarray:
    """The same on an array."""
    result = state.copy()
    for axis in (2, 3):
        difference = swap_probability / 4 * np.diff(state, axis=axis)
        before, after = [(0, 0)] * 4, [(0, 0)] * 4
        before[axis], after[axis] = (1, 0), (0, 1)
        result += np.pad(difference, after) - np.pad(difference, before)
    return result


class DiffusionModel(nn.Module):
    """One convolution."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate", bias=False)

    def forward(self, state: Tensor) -> Tensor:
        return self.conv(state)


def train_diffusion(
    model: nn.Module,
    *,
    steps: int,
    size: int = 16,
    batch_size: int = 32,
    lr: float = 0.02,
    swap_probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Learn the mean next state from random steps."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        share = torch.rand(batch_size, 1, 1, 1, generator=generator)
        state = (
            torch.rand(batch_size, 1, size, size, generator=generator) < share
        ).float()
        target = torch.cat(
            [mix_step(group, swap_probability, generator) for group in state.chunk(4)]
        )
        loss = F.mse_loss(model(state), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def recurrence_time(state: Tensor, permutation: Tensor) -> int:
    """The least common multiple of the times of all cycles."""
    values, permutation = state.flatten().tolist(), permutation.tolist()
    seen = set()
    time = 1
    for start in range(len(values)):
        cycle = []
        cell = start
        while cell not in seen:
            seen.add(cell)
            cycle.append(values[cell])
            cell = permutation[cell]
        if cycle:
            turns = range(1, len(cycle) + 1)
            time = math.lcm(
                time,
                next(turn for turn in turns if cycle[turn:] + cycle[:turn] == cycle),
            )
    return time
