"""First kernels: programs that share an array among them, addresses and masks; what is
fused crosses memory once.
"""

import torch
from torch import Tensor

from grader.kernels import tl, triton


@triton.jit
def copy_kernel(x_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # the elements of this program
    mask = at < n  # the last block may reach beyond the end
    x = tl.load(x_ptr + at, mask=mask)
    tl.store(out_ptr + at, x, mask=mask)


def copy(x: Tensor, block: int = 64) -> Tensor:
    """Copy a contiguous tensor, `block` elements per program: the worked example."""
    out = torch.empty_like(x)
    n = x.numel()
    # one program per block, rounded up
    copy_kernel[(triton.cdiv(n, block),)](x, out, n, BLOCK=block)
    return out


@triton.jit
def _add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    x = tl.load(x_ptr + at, mask=mask)
    y = tl.load(y_ptr + at, mask=mask)
    tl.store(out_ptr + at, x + y, mask=mask)


def add(x: Tensor, y: Tensor, block: int = 64) -> Tensor:
    """Add two tensors in a kernel, each number loaded once."""
    out = torch.empty_like(x)
    n = x.numel()
    _add_kernel[(triton.cdiv(n, block),)](x, y, out, n, BLOCK=block)
    return out


@triton.jit
def _outer_add_kernel(
    x_ptr, y_ptr, out_ptr, M, N, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    x = tl.load(x_ptr + rows, mask=rows < M)
    y = tl.load(y_ptr + columns, mask=columns < N)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(
        out_ptr + rows[:, None] * N + columns[None, :],
        x[:, None] + y[None, :],
        mask=inside,
    )


def outer_add(x: Tensor, y: Tensor, block_m: int = 16, block_n: int = 32) -> Tensor:
    """Add every pair of two vectors, one program per tile of the result."""
    M, N = len(x), len(y)
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, block_m), triton.cdiv(N, block_n))
    _outer_add_kernel[grid](x, y, out, M, N, BLOCK_M=block_m, BLOCK_N=block_n)
    return out


@triton.jit
def _to_contiguous_kernel(x_ptr, out_ptr, M, N, down, right, BLOCK: tl.constexpr):
    rows = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[:, None]
    columns = (tl.program_id(1) * BLOCK + tl.arange(0, BLOCK))[None, :]
    inside = (rows < M) & (columns < N)
    x = tl.load(x_ptr + rows * down + columns * right, mask=inside)
    tl.store(out_ptr + rows * N + columns, x, mask=inside)


def to_contiguous(x: Tensor, block: int = 16) -> Tensor:
    """Copy a matrix that lies in memory in any order into a contiguous one, by a kernel
    that knows its strides.
    """
    M, N = x.shape
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, block), triton.cdiv(N, block))
    _to_contiguous_kernel[grid](x, out, M, N, x.stride(0), x.stride(1), BLOCK=block)
    return out


@triton.jit
def _swiglu_kernel(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    gate = tl.load(gate_ptr + at, mask=mask)
    up = tl.load(up_ptr + at, mask=mask)
    out = gate * tl.sigmoid(gate) * up
    tl.store(out_ptr + at, out, mask=mask)


def swiglu(gate: Tensor, up: Tensor, block: int = 128) -> Tensor:
    """Compute silu(gate) · up in one launch: two loads and one store per element."""
    out = torch.empty_like(gate)
    n = gate.numel()
    _swiglu_kernel[(triton.cdiv(n, block),)](gate, up, out, n, BLOCK=block)
    return out


@triton.jit
def _dropout_kernel(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    x = tl.load(x_ptr + at, mask=mask)
    kept = tl.rand(seed, at) >= p
    tl.store(out_ptr + at, tl.where(kept, x / (1 - p), 0.0), mask=mask)


def dropout(x: Tensor, p: float, seed: int, block: int = 128) -> Tensor:
    """Zero each element with probability p, without a mask in memory: a seed is enough
    to make it again.
    """
    out = torch.empty_like(x)
    n = x.numel()
    _dropout_kernel[(triton.cdiv(n, block),)](x, out, n, p, seed, BLOCK=block)
    return out


def dropout_backward(grad: Tensor, p: float, seed: int, block: int = 128) -> Tensor:
    """Compute the gradient of `dropout` with respect to its input, from the
    same seed.
    """
    return dropout(grad, p, seed, block)


@triton.jit
def _gather_rows_kernel(x_ptr, index_ptr, out_ptr, N, BLOCK: tl.constexpr):
    row = tl.load(index_ptr + tl.program_id(0))
    at = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + at, mask=at < N)
    tl.store(out_ptr + tl.program_id(0) * N + at, x, mask=at < N)


def gather_rows(x: Tensor, index: Tensor) -> Tensor:
    """Copy rows of a table in the order of an index, as an embedding does: one program
    per row of the result.
    """
    R, N = len(index), x.size(1)
    out = torch.empty(R, N)
    _gather_rows_kernel[(R,)](x, index, out, N, BLOCK=triton.next_power_of_2(N))
    return out
