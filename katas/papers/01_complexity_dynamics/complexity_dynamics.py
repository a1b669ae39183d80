"""Entropy rises, complexity rises and falls: automata, two gases that mix, and a
convolution that learns a rule.

After Aaronson, "The First Law of Complexodynamics" (2011). Every row is a ring or a
tube of cells, each 0 or 1.
Sizes: W cells of a row, B rows in a batch.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mix(state: Tensor, steps: int, generator: torch.Generator | None = None) -> Tensor:
    """Let two gases mix: (..., W) → (..., steps + 1, W), the start first. Given.

    A step swaps each even pair of neighbours (0, 1), (2, 3), …, then each odd pair
    (1, 2), (3, 4), …, all with probability 1/2.
    """
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
    """Read the rule that a model has learned from its middle logit for each of the
    eight neighbourhoods. Given.
    """
    number = torch.arange(8)
    neighbourhoods = torch.stack([number // 4, number // 2 % 2, number % 2], dim=1)
    with torch.no_grad():
        alive = model(neighbourhoods)[:, 1] > 0
    return int((alive * 2**number).sum())


def rule_table(rule: int) -> Tensor:
    """Unpack the number of an automaton into its answers, one per neighbourhood
    (Wolfram's numbering).

    Args:
        rule: 0 … 255.
    Returns:
        (8,) int64. Entry 4·left + 2·centre + right is the next state of the cell in the
        middle, and that bit of `rule`: entry 0 is the lowest bit. Rule 6 = 2 + 4 gives
        [0 1 1 0 0 0 0 0].

    Edge cases ★
        A rule outside 0 … 255 is an error that names it.
    """
    raise NotImplementedError


def evolve(state: Tensor, rule: int, steps: int) -> Tensor:
    """Run an automaton, and keep every row of its history.

    Args:
        state: (..., W) int64 of 0 and 1, the start. Leading dims are separate automata.
        rule: 0 … 255, as in `rule_table`.
        steps: 0 or more.
    Returns:
        (..., steps + 1, W) int64. Row 0 is the start. Under rule 2 (only 001 gives 1),
        [0 0 1] becomes [0 1 0].

    - All cells change at once, from the old row.
    - The row is a ring: its ends are neighbours.

    Edge cases ★
        `state` has any integer or bool dtype, and is not written to. Negative steps are
        an error.
    """
    raise NotImplementedError


def block_entropy_numpy(row: np.ndarray, block: int) -> float:
    """Measure how varied the windows of one row are, in NumPy.

    Args:
        row: (W,) int64 of 0 and 1, a ring.
        block: the number of cells per window.
    Returns:
        −Σ p log₂ p, in bits. p is the share of each pattern among the W windows, one
        from each cell: windows overlap, and the last ones go on at the start. Patterns
        that do not occur add 0.
        With block = 2, [0 1 0 1] has the windows 01, 10, 01, 10: 1 bit.
    """
    raise NotImplementedError


def block_entropy(rows: Tensor, block: int) -> Tensor:
    """Measure every row of a batch at once, as `block_entropy_numpy` measures one.

    Args:
        rows: (..., W) int64 of 0 and 1, each row a ring of its own.
        block: the number of cells per window.
    Returns:
        (...,) float32, one value in bits per row, never NaN. A picture (T, W) gives
        (T,): a curve over time.
    """
    raise NotImplementedError


def mixing_curves(rows: Tensor, block: int) -> dict[str, Tensor]:
    """Look at rows coarsely, block by block, and measure their disorder and
    their structure.

    Args:
        rows: (..., W) of 0 and 1.
        block: the cells per block, a divisor of W. Blocks do not overlap.
    Returns:
        From the density d of ones in each block, in bits and with 0·log 0 = 0:

        - "entropy" (...,): the mean over blocks of −d log₂ d − (1 − d) log₂(1 − d).
        - "complexity" (...,): entropy of the shares of low (d ≤ 1/4), mid
          (1/4 < d ≤ 3/4) and high (d > 3/4) blocks.

        With block = 2, [1 1 0 0] has entropy 0 and complexity 1.

    Edge cases ★
        A W that `block` does not divide is an error.
    """
    raise NotImplementedError


class LearnedRule(nn.Module):
    """Guess the next row of an automaton from the row before, with one function for
    all cells.

    Args:
        hidden: H.
    Attributes:
        conv: `nn.Conv1d`, 1 → H channels, kernel 3, with circular padding: the row is
            a ring.
        out: `nn.Conv1d`, H → 1 channels, kernel 1. There are no other parameters.

    `forward(state)` takes (B, W) int64 of 0 and 1, and returns (B, W) float32 logits:
    conv, ReLU, out. A positive logit says that the cell will be 1. There is no sigmoid.

    Edge cases ★
        `state` has any dtype.
    """

    def __init__(self, hidden: int = 16):
        raise NotImplementedError

    def forward(self, state: Tensor) -> Tensor:
        raise NotImplementedError


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
    """Teach a model the rule of an automaton from examples.

    Args:
        model: trained in place, with Adam at learning rate `lr`.
        rule: what `evolve` makes the targets with.
        steps: the number of updates.
        width, batch: each step draws `batch` new rows of `width` cells, 0 or 1 with
            equal chances.
        generator: the source of the draws. None means the global generator.
    Returns:
        The loss of each step before its update, as floats: the mean binary
        cross-entropy of the logits with the next row, in nats.

    Edge cases ★
        `training` is set to True and left so. Gradients that are there before the first
        step have no effect.
    """
    raise NotImplementedError
