"""Products of matrices in tiles: bigger tiles, less traffic; bias and activation while
the sum is in registers.
"""

import torch
from torch import Tensor

from grader.kernels import tl, triton


@triton.jit
def matvec_kernel(
    a_ptr,
    x_ptr,
    out_ptr,
    M,
    K,
    down,
    right,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    total = tl.zeros((BLOCK_M,), tl.float32)  # in registers, for the whole loop
    for start in range(0, K, BLOCK_K):
        ks = start + tl.arange(0, BLOCK_K)
        inside = (rows[:, None] < M) & (ks[None, :] < K)
        a = tl.load(
            a_ptr + rows[:, None] * down + ks[None, :] * right, mask=inside, other=0.0
        )
        x = tl.load(x_ptr + ks, mask=ks < K, other=0.0)
        total += tl.sum(a * x[None, :], axis=1)
    tl.store(out_ptr + rows, total, mask=rows < M)


def matvec(a: Tensor, x: Tensor, block: tuple[int, int] = (16, 16)) -> Tensor:
    """Multiply a matrix, which may be any view, and a contiguous vector: the
    worked example.
    """
    M, K = a.shape
    out = torch.empty(M)
    grid = (triton.cdiv(M, block[0]),)  # one program per block of rows
    matvec_kernel[grid](
        a, x, out, M, K, a.stride(0), a.stride(1), BLOCK_M=block[0], BLOCK_K=block[1]
    )
    return out


def matmul(a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16)) -> Tensor:
    """Multiply two matrices, one program per tile of the result.

    A program goes over K in steps of BK: it loads a tile of a and a tile of b, and adds
    their product to a tile in registers.

    Args:
        a, b: (M, K) and (K, N) float32. They may be views such as `t.T`, and are read
            through their strides.
        block: BM, BN and BK, powers of two from 16 on.
    Returns:
        (M, N), by ceil(M / BM) · ceil(N / BN) programs: a is loaded once per column of
        tiles, b once per row of tiles.

    Edge cases ★
        M, N or K may be 0: a sum over nothing is 0. An a and a b with unlike K are an
        error that names both.
        A GPU's compiler takes the kernel, and its products keep float32:
        `tl.dot(…, input_precision="ieee")`.
    """
    raise NotImplementedError


def matmul_half(
    a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16)
) -> Tensor:
    """Multiply two matrices of float16 as `matmul` does, and keep the sum in float32
    until it is stored.

    Tiles are loaded and multiplied as they are. The sum of each tile is rounded to
    float16 once.

    Args:
        a, b: (M, K) and (K, N) float16, views as well. They are not copied.
        block: BM, BN and BK, as in `matmul`.
    Returns:
        (M, N) float16. 4,096 times 0.1 is 409.5; a sum that is rounded at each step
        ends elsewhere.
    """
    raise NotImplementedError


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    block: tuple[int, int, int] = (16, 16, 16),
) -> Tensor:
    """Compute activation(x · weightᵀ + bias) in one launch: bias and activation meet
    the sum while it is in registers.

    Args:
        x: (M, K) float32, a view as well.
        weight: (N, K), as `nn.Linear` holds it. It is read through its strides: no
            transposed copy is made.
        bias: (N,), contiguous, or None.
        activation: None or "silu", s · sigmoid(s) of the finished sum s.
        block: BM, BN and BK, as in `matmul`.
    Returns:
        (M, N). x and weight are loaded as often as a and b in `matmul`, the bias once
        per row of tiles.

    Edge cases ★
        float16 x, weight and bias: sum, bias and activation are computed in float32,
        and the result is float16. Another activation is an error that names it.
    """
    raise NotImplementedError


def grouped_order(pid: int, num_m: int, num_n: int, group: int) -> tuple[int, int]:
    """Find the tile of the pid-th program, if tiles are computed in groups of `group`
    rows. Plain Python.

    A group of tile rows is gone through column by column, from its top to its bottom;
    then comes the group below. The last group has the rows that are left.

    Args:
        pid: from 0 to num_m · num_n − 1.
        num_m, num_n: rows and columns of tiles.
        group: rows of tiles per group, at least 1.
    Returns:
        (tile row, tile column). 3 × 2 tiles in groups of 2: (0, 0), (1, 0), (0, 1),
        (1, 1), then (2, 0), (2, 1).
    """
    raise NotImplementedError


def matmul_grouped(
    a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16), group: int = 4
) -> Tensor:
    """Multiply two matrices as `matmul` does, with a grid of one dimension, in the
    order of `grouped_order`.

    A kernel cannot call a Python function: it computes the order itself.

    Args:
        a, b, block: as in `matmul`.
        group: rows of tiles per group.
    Returns:
        (M, N): program p computes the tile grouped_order(p, ceil(M / BM),
        ceil(N / BN), group).
    """
    raise NotImplementedError


def split_k(
    a: Tensor, b: Tensor, splits: int = 4, block: tuple[int, int, int] = (16, 16, 16)
) -> Tensor:
    """Multiply two matrices with `splits` programs per tile, each of which sums over a
    part of K.

    A result of few tiles with a long K keeps few programs busy; parts of K keep more.
    The parts are added with `tl.atomic_add`, or stored apart and summed by a
    second kernel.

    Args:
        a, b, block: as in `matmul`.
        splits: programs per tile, each with ceil(steps / splits) steps of BK at most.
    Returns:
        (M, N). Each number of a and b is loaded as often as in `matmul`.

    Edge cases ★
        There may be more splits than steps: some programs have nothing to add.
    """
    raise NotImplementedError
