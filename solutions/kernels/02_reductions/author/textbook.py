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


@triton.jit
def _softmax_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride + at, mask=at < N, other=-float("inf"))
    powers = tl.exp(x - tl.max(x))
    shares = powers / tl.sum(powers)
    tl.store(out_ptr + row * N + at, shares, mask=at < N)


def softmax(x: Tensor) -> Tensor:
    """Turn each row into shares that sum to 1, one program per row: each number is
    loaded once and stored once.
    """
    M, N = x.shape
    out = torch.empty(M, N)
    _softmax_kernel[(M,)](x, out, x.stride(0), N, BLOCK=triton.next_power_of_2(N))
    return out


@triton.jit
def _rms_norm_kernel(x_ptr, weight_ptr, y_ptr, rstd_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0)
    weight = tl.load(weight_ptr + at, mask=at < N)
    rstd = 1 / tl.sqrt(tl.sum(x * x) / N + eps)
    y = x * rstd * weight
    tl.store(y_ptr + row * N + at, y, mask=at < N)
    tl.store(rstd_ptr + row, rstd)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor]:
    """Divide each row by the root of its mean square, one program per row, and keep
    what it was multiplied with.
    """
    M, N = x.shape
    y, rstd = torch.empty_like(x), torch.empty(M)
    _rms_norm_kernel[(M,)](x, weight, y, rstd, N, eps, BLOCK=triton.next_power_of_2(N))
    return y, rstd


@triton.jit
def _layer_norm_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, N, eps, BLOCK: tl.constexpr
):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0)
    weight = tl.load(weight_ptr + at, mask=at < N)
    bias = tl.load(bias_ptr + at, mask=at < N)
    centred = tl.where(at < N, x - tl.sum(x) / N, 0.0)
    variance = tl.sum(centred * centred) / N
    tl.store(
        out_ptr + row * N + at,
        centred / tl.sqrt(variance + eps) * weight + bias,
        mask=at < N,
    )


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Bring each row to mean 0 and variance 1, then scale and shift it, one program
    per row.
    """
    M, N = x.shape
    out = torch.empty_like(x)
    _layer_norm_kernel[(M,)](
        x, weight, bias, out, N, eps, BLOCK=triton.next_power_of_2(N)
    )
    return out


@triton.jit
def _logsumexp_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride + at, mask=at < N, other=-float("inf"))
        now = tl.maximum(top, tl.max(x))
        total = total * tl.exp(top - now) + tl.sum(tl.exp(x - now))
        top = now
    tl.store(out_ptr + row, top + tl.log(total))


def logsumexp(x: Tensor, block: int = 32) -> Tensor:
    """Compute log Σ exp of each row in one pass, `block` columns at a time: N may be
    any size.
    """
    M, N = x.shape
    out = torch.empty(M)
    _logsumexp_kernel[(M,)](x, out, x.stride(0), N, BLOCK=block)
    return out


@triton.jit
def _softmax_long_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    total = 0.0
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride + at, mask=at < N, other=-float("inf"))
        now = tl.maximum(top, tl.max(x))
        total = total * tl.exp(top - now) + tl.sum(tl.exp(x - now))
        top = now
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride + at, mask=at < N)
        tl.store(out_ptr + row * N + at, tl.exp(x - top) / total, mask=at < N)


def softmax_long(x: Tensor, block: int = 32) -> Tensor:
    """Turn rows of any length into shares that sum to 1, in two passes: one program
    per row.
    """
    M, N = x.shape
    out = torch.empty(M, N)
    _softmax_long_kernel[(M,)](x, out, x.stride(0), N, BLOCK=block)
    return out


@triton.jit
def _column_sum_kernel(x_ptr, out_ptr, M, N, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    x = tl.load(x_ptr + rows[:, None] * N + columns[None, :], mask=inside, other=0.0)
    tl.store(
        out_ptr + tl.program_id(0) * N + columns, tl.sum(x, axis=0), mask=columns < N
    )


def column_sum(x: Tensor, rows: int = 16, block: int = 32) -> Tensor:
    """Sum each column, many programs at once and without atomics: the same bits
    every time.
    """
    while len(x) > 1:
        M, N = x.shape
        lines = torch.empty(triton.cdiv(M, rows), N)
        grid = (len(lines), triton.cdiv(N, block))
        _column_sum_kernel[grid](x, lines, M, N, ROWS=rows, BLOCK=block)
        x = lines
    return x[0]


@triton.jit
def _argmax_kernel(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    top = -float("inf")
    place = 0
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride + at, mask=at < N, other=-float("inf"))
        largest = tl.max(x)
        first = tl.min(tl.where(x == largest, at, N))
        place = tl.where(largest > top, first, place)
        top = tl.maximum(top, largest)
    tl.store(out_ptr + row, place)


def argmax(x: Tensor, block: int = 32) -> Tensor:
    """Find the place of each row's largest number in one pass, `block` columns at a
    time; of equal ones the first.
    """
    M, N = x.shape
    out = torch.empty(M, dtype=torch.int64)
    _argmax_kernel[(M,)](x, out, x.stride(0), N, BLOCK=block)
    return out
