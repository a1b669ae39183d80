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
    """Add two tensors in a kernel, each number loaded once.

    Args:
        x, y: contiguous float32 tensors of one shape, n numbers each.
        block: numbers per program, a power of two. ceil(n / block) programs run.
    Returns:
        x + y, in their shape. With n = 100 and block 64, program 1 works on elements 64
        to 99.

    Edge cases ★
        n may be 0. Unlike shapes are an error that names both.
    """
    if x.shape != y.shape:
        raise ValueError(f"x has shape {tuple(x.shape)}, y {tuple(y.shape)}")
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
    """Add every pair of two vectors, one program per tile of the result.

    A program loads its part of x and of y once each, and broadcasts them: `[:, None]`
    and `[None, :]`.

    Args:
        x, y: (M,) and (N,), contiguous float32.
        block_m, block_n: rows and columns of a tile, powers of two.
    Returns:
        (M, N): out[i, j] = x[i] + y[j], by ceil(M / block_m) · ceil(N /
        block_n) programs.
    """
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

    Args:
        x: (M, N), a view such as `t.T` or `t[::2, 1::3]`. Only its own elements may be
            touched, each once.
        block: rows and columns of a program's tile.
    Returns:
        (M, N), contiguous, equal to x. `contiguous`, `clone` and `reshape` are
        not used.

    Edge cases ★
        The dtype stays, float16 and int64 as well.
    """
    M, N = x.shape
    out = torch.empty(M, N, dtype=x.dtype)
    grid = (triton.cdiv(M, block), triton.cdiv(N, block))
    _to_contiguous_kernel[grid](x, out, M, N, x.stride(0), x.stride(1), BLOCK=block)
    return out


@triton.jit
def _swiglu_kernel(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = at < n
    gate = tl.load(gate_ptr + at, mask=mask).to(tl.float32)
    up = tl.load(up_ptr + at, mask=mask).to(tl.float32)
    out = gate * tl.sigmoid(gate) * up
    tl.store(out_ptr + at, out.to(out_ptr.dtype.element_ty), mask=mask)


def swiglu(gate: Tensor, up: Tensor, block: int = 128) -> Tensor:
    """Compute silu(gate) · up in one launch: two loads and one store per element.

    silu(g) = g · sigmoid(g). No step between is stored.

    Args:
        gate, up: contiguous, of one shape.
        block: elements per program.
    Returns:
        their shape and dtype.

    Edge cases ★
        float16 and bfloat16: the kernel computes in float32, and rounds once, to store.
        A GPU's compiler takes the kernel: no `break`, no list that grows.
    """
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

    `tl.rand(seed, i)` is a number from 0 to 1 that depends on seed and i alone.

    Args:
        x: contiguous float32, finite.
        p: the share that is dropped, 0 ≤ p < 1.
        block: elements per program. It changes nothing in the result.
    Returns:
        x's shape: element i is x[i] / (1 − p) where `tl.rand(seed, i)` ≥ p, else 0.
        Each element is loaded and stored once.
    """
    out = torch.empty_like(x)
    n = x.numel()
    _dropout_kernel[(triton.cdiv(n, block),)](x, out, n, p, seed, BLOCK=block)
    return out


def dropout_backward(grad: Tensor, p: float, seed: int, block: int = 128) -> Tensor:
    """Compute the gradient of `dropout` with respect to its input, from the same seed.

    Args:
        grad: the gradient of the output, contiguous float32.
        p, seed, block: as `dropout` had them; block may differ.
    Returns:
        grad's shape: grad[i] / (1 − p) where `dropout` kept element i, else 0. Each
        element is loaded and stored once.
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

    A program first loads its row's number, then that row.

    Args:
        x: (M, N), contiguous float32.
        index: (R,) int64, numbers of rows; one may occur more than once.
    Returns:
        (R, N): row r is x[index[r]]. No other row is loaded.
    """
    R, N = len(index), x.size(1)
    out = torch.empty(R, N)
    _gather_rows_kernel[(R,)](x, index, out, N, BLOCK=triton.next_power_of_2(N))
    return out
