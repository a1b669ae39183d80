"""Cream mixes into coffee: the entropy rises, while the complexity rises and
falls again.

After Aaronson, Carroll and Ouellette, "Quantifying the Rise and Fall of Complexity in
Closed Systems: The Coffee Automaton" (2014). A state (B, 1, H, W) is a batch of B grids
of cells: 1 is cream, 0 is coffee.
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
    """Swap random pairs of neighbours, once.

    Args:
        state: (B, 1, H, W) float of 0 and 1.
        swap_probability: the chance of each pair.
        generator: the source of all draws.
    Returns:
        The next state, (B, 1, H, W).

    - Per call, draw one direction, vertical or horizontal, and one offset, 0 or 1, all
      equally likely.
    - From the offset on, neighbours along the direction are pairs: 0-1, 2-3, … or 1-2,
      3-4, …. A cell left over stays.
    - Every pair of every grid swaps on its own.

    Edge cases ★
        `state` is not written to. A `swap_probability` outside [0, 1] is an error.
    """
    raise NotImplementedError


def coarse_grain(state: Tensor, window: int, stride: int, levels: int = 3) -> Tensor:
    """Blur a state, and keep few shades of it (section 5).

    Args:
        state: (B, 1, H, W).
        window: the side of the square windows.
        stride: the step from one window to the next, in both directions. Windows
            may overlap.
        levels: L, the number of shades.
    Returns:
        (B, 1, h, w) uint8, one number per full window: floor(mean · L), at most L − 1.

    With window = stride = 2 and L = 3, the window [[1, 1], [0, 1]] has mean 0.75 and
    level floor(2.25) = 2.
    """
    raise NotImplementedError


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
    """Mix one cup, and measure it now and then.

    Args:
        size: the cup is `initial_state(size, size)`.
        window, stride, levels: for `coarse_grain`.
        steps, every: readings are taken before step 0, `every`, 2 · `every`, …, up to
            and including `steps`.
        swap_probability, generator: for `mix_step`, which alone draws.
    Returns:
        A dict of three lists of ints, one entry per reading: "step", its number;
        "entropy", `compressed_size` of the state; "complexity", `compressed_size` of
        the coarse state.

    With steps = 5 and every = 2, "step" is [0, 2, 4].
    """
    raise NotImplementedError


def expected_step(state: Tensor, swap_probability: float = 0.5) -> Tensor:
    """Compute the mean of all that `mix_step` could return: one step of diffusion.

    Args:
        state: (B, 1, H, W) float, also with values between 0 and 1.
        swap_probability: p.
    Returns:
        (B, 1, H, W): each cell plus p/4 times the sum of (neighbour − cell) over its up
        to four neighbours. Beyond the border there is no neighbour, and nothing to add.

    With p = 1, the grid [[1, 0, 0]] becomes [[0.75, 0.25, 0]].

    Edge cases ★
        A float64 state gives a float64 result.
    """
    raise NotImplementedError


def expected_step_numpy(state: np.ndarray, swap_probability: float = 0.5) -> np.ndarray:
    """Compute the mean next state as `expected_step` does, in NumPy.

    Args:
        state: (B, 1, H, W) float64.
        swap_probability: p.
    Returns:
        (B, 1, H, W): each cell plus p/4 times the sum of (neighbour − cell) over its up
        to four neighbours.

    Edge cases ★
        float64 precision. `state` is not written to.
    """
    raise NotImplementedError


class DiffusionModel(nn.Module):
    """Predict the mean next state with one convolution.

    Attributes:
        conv: `nn.Conv2d` from 1 channel to 1, kernel 3 × 3, without a bias. There are
            no other parameters.

    `forward(state)` takes (B, 1, H, W) and returns (B, 1, H, W), the output of
    `conv` alone.

    - A cell beyond the border counts as a copy of the nearest cell of the grid, so that
      the difference between the two is 0 (`padding_mode="replicate"`).
    """

    def __init__(self):
        raise NotImplementedError

    def forward(self, state: Tensor) -> Tensor:
        raise NotImplementedError


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
    """Train a model to predict the next state, which is random. What it learns is
    the mean.

    Args:
        model: called as model(state); Adam trains it with learning rate `lr`.
        steps: the number of updates.
        size, batch_size: each update draws `batch_size` new grids of size × size. Per
            grid draw a share of cream, uniform in [0, 1]; each cell is cream with
            that chance.
        swap_probability: for `mix_step`.
        generator: the source of all draws.
    Returns:
        One float per step, before its update: the mean squared difference of prediction
        and next state.

    - `mix_step` draws one direction per call: call it on at least four groups of
      the batch.
    - Gradients are cleared before each step.

    Edge cases ★
        The model is put in training mode and stays in it. Gradients that it holds at
        the start have no effect.
    """
    raise NotImplementedError


def recurrence_time(state: Tensor, permutation: Tensor) -> int:
    """Count the steps of a reversible law until a state is back for the first time.

    Args:
        state: N cells of any shape, read row by row. Cells may be equal.
        permutation: (N,) int64. After one step, cell i holds what cell
            permutation[i] held.
    Returns:
        The smallest number of steps, at least 1, after which every cell holds what it
        held at first.

    - A step rotates each cycle of the permutation by one place. A cycle is back after
      the smallest rotation that leaves its values as they were; all are back after the
      least common multiple.
    - Times beyond 10^8 occur: do not count steps.

    The state [0, 1, 0, 1] with permutation [1, 2, 3, 0] is back after 2 steps.

    Edge cases ★
        A permutation that does not hold each of 0 … N − 1 once is an error. No input is
        written to.
    """
    raise NotImplementedError
