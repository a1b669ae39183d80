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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def dropout_backward(grad: Tensor, p: float, seed: int, block: int = 128) -> Tensor:
    """Compute the gradient of `dropout` with respect to its input, from the same seed.

    Args:
        grad: the gradient of the output, contiguous float32.
        p, seed, block: as `dropout` had them; block may differ.
    Returns:
        grad's shape: grad[i] / (1 − p) where `dropout` kept element i, else 0. Each
        element is loaded and stored once.
    """
    raise NotImplementedError


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
    raise NotImplementedError
