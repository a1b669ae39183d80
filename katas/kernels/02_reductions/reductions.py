"""Reductions: a row is loaded once, whatever is computed from it; a long one block by
block, with a running maximum.
"""

import torch
from torch import Tensor

from grader.kernels import tl, triton


@triton.jit
def row_sum_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)  # the columns; the block is at least as long as the row
    # a masked lane adds nothing
    x = tl.load(x_ptr + row * stride + at, mask=at < N, other=0.0)
    tl.store(out_ptr + row, tl.sum(x))


def row_sum(x: Tensor) -> Tensor:
    """Sum each row of (M, N), one program per row: the worked example."""
    M, N = x.shape
    out = torch.empty(M)
    row_sum_kernel[(M,)](x, out, x.stride(0), N, BLOCK=triton.next_power_of_2(N))
    return out


def softmax(x: Tensor) -> Tensor:
    """Turn each row into shares that sum to 1, one program per row: each number is
    loaded once and stored once.

    A share is exp(v − top) divided by the row's sum of these, where top is the
    row's maximum.

    Args:
        x: (M, N) float32. A row's elements are neighbours; rows may lie further apart
            than N, as in `t[:, :N]`.
    Returns:
        (M, N), contiguous. A row [0, ln 3] becomes [0.25, 0.75].

    Edge cases ★
        float16 and bfloat16: the kernel computes in float32 and rounds once. The result
        has x's dtype.
        A row near −30,000 counts as others do.
    """
    raise NotImplementedError


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Divide each row by the root of its mean square, one program per row, and keep
    what it was multiplied with.

    A backward pass needs that one number per row. Each number of x is loaded once, and
    the weight once per program.

    Args:
        x: (M, N), contiguous float32.
        weight: (N,).
        eps: added to the mean square, under the root.
    Returns:
        y (M, N) = x · rstd · weight, and rstd (M,) = 1 / √(mean(x²) + eps), of
        each row.

    Edge cases ★
        float16 and bfloat16: the kernel computes in float32, and rounds y once. y has
        x's dtype, rstd stays float32.
    """
    raise NotImplementedError


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Bring each row to mean 0 and variance 1, then scale and shift it, one program
    per row.

    Each number of x is loaded once, weight and bias once per program.

    Args:
        x: (M, N), contiguous float32.
        weight, bias: (N,).
        eps: added to the variance, under the root.
    Returns:
        (M, N): (x − mean) / √(variance + eps) · weight + bias. Both are means over
        N numbers.

    Edge cases ★
        Numbers around 10,000 keep their variance: mean(x²) − mean(x)² would lose it.
    """
    raise NotImplementedError


def logsumexp(x: Tensor, block: int = 32) -> Tensor:
    """Compute log Σ exp of each row in one pass, `block` columns at a time: N may be
    any size.

    A program keeps two numbers: the largest so far (top), and Σ exp(v − top) so far
    (total). Where a block raises top, total first shrinks by exp(old top − new top).

    Args:
        x: (M, N) float32; rows may lie further apart than N.
        block: columns per turn of the loop, a power of two.
    Returns:
        (M,): top + log(total). M programs load each number once.

    Edge cases ★
        Blocks or rows of −inf, as masked scores are: they add nothing. A row of them
        gives −inf, one near −30,000 does not.
        A GPU's compiler takes the kernel: what a loop changes keeps its type, so that a
        sum begins with 0.0, not 0.
    """
    raise NotImplementedError


def softmax_long(x: Tensor, block: int = 32) -> Tensor:
    """Turn rows of any length into shares that sum to 1, in two passes: one program
    per row.

    The first pass finds top and total as `logsumexp` does, the second writes
    exp(v − top) / total.

    Args:
        x: (M, N) float32; rows may lie further apart than N.
        block: columns per turn of a loop, a power of two.
    Returns:
        (M, N), contiguous. Each number is loaded twice and stored once.

    Edge cases ★
        Blocks of −inf, as masked scores are, get shares of 0. A row near −30,000 counts
        as others do.
    """
    raise NotImplementedError


def column_sum(x: Tensor, rows: int = 16, block: int = 32) -> Tensor:
    """Sum each column, many programs at once and without atomics: the same bits
    every time.

    A program sums `rows` rows of `block` columns into a line of its own. The same
    kernel then sums these lines, until one is left: 300 rows become 19 lines, 2, and 1.

    Args:
        x: (M, N), contiguous float32.
        rows, block: rows and columns per program, powers of two, rows ≥ 2.
    Returns:
        (N,).

    Edge cases ★
        Without rows, each sum is 0.
    """
    raise NotImplementedError


def argmax(x: Tensor, block: int = 32) -> Tensor:
    """Find the place of each row's largest number in one pass, `block` columns at a
    time; of equal ones the first.

    Args:
        x: (M, N) float32 above −10,000; rows may lie further apart than N.
        block: columns per turn of the loop, a power of two.
    Returns:
        (M,) int64: [3, 9, 9] gives 1. M programs load each number once.
    """
    raise NotImplementedError
