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


@triton.jit
def _sum_over_k(
    a_ptr, b_ptr, rows, columns, begin, end, M, N, a_down, a_right, b_down, b_right,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(begin, end, BK):
        ks = start + tl.arange(0, BK)
        in_a = (rows[:, None] < M) & (ks[None, :] < end)
        in_b = (ks[:, None] < end) & (columns[None, :] < N)
        a = tl.load(
            a_ptr + rows[:, None] * a_down + ks[None, :] * a_right, mask=in_a, other=0.0
        )
        b = tl.load(
            b_ptr + ks[:, None] * b_down + columns[None, :] * b_right,
            mask=in_b,
            other=0.0,
        )
        acc += tl.dot(a, b, input_precision="ieee")
    return acc


@triton.jit
def _matmul_kernel(
    a_ptr, b_ptr, out_ptr, M, N, K, a_down, a_right, b_down, b_right,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = _sum_over_k(
        a_ptr,
        b_ptr,
        rows,
        columns,
        0,
        K,
        M,
        N,
        a_down,
        a_right,
        b_down,
        b_right,
        BM,
        BN,
        BK,
    )
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=inside)


def matmul(a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16)) -> Tensor:
    """Multiply two matrices, one program per tile of the result."""
    (M, K), N = a.shape, b.size(1)
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]))
    _matmul_kernel[grid](a, b, out, M, N, K, *a.stride(), *b.stride(), *block)
    return out


def matmul_half(
    a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16)
) -> Tensor:
    """Multiply two matrices of float16, and keep the sum in float32 until it
    is stored.
    """
    (M, K), N = a.shape, b.size(1)
    half = torch.empty(M, N, dtype=a.dtype)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]))
    _matmul_kernel[grid](a, b, half, M, N, K, *a.stride(), *b.stride(), *block)
    return half


@triton.jit
def _linear_kernel(
    x_ptr, weight_ptr, bias_ptr, out_ptr, M, N, K, x_down, x_right, w_down, w_right,
    ACTIVATION: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = _sum_over_k(
        x_ptr,
        weight_ptr,
        rows,
        columns,
        0,
        K,
        M,
        N,
        x_down,
        x_right,
        w_right,
        w_down,
        BM,
        BN,
        BK,
    )
    if bias_ptr is not None:
        bias = tl.load(bias_ptr + columns, mask=columns < N)
        acc += bias[None, :]
    if ACTIVATION == "silu":
        acc = acc * tl.sigmoid(acc)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=inside)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    block: tuple[int, int, int] = (16, 16, 16),
) -> Tensor:
    """Compute activation(x · weightᵀ + bias) in one launch: bias and activation meet
    the sum while it is in registers.
    """
    (M, K), N = x.shape, len(weight)
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]))
    _linear_kernel[grid](
        x, weight, bias, out, M, N, K, *x.stride(), *weight.stride(), activation, *block
    )
    return out


def grouped_order(pid: int, num_m: int, num_n: int, group: int) -> tuple[int, int]:
    """Find the tile of the pid-th program, if tiles are computed in groups of `group`
    rows. Plain Python.
    """
    top = pid // (group * num_n) * group
    height = min(group, num_m - top)
    place = pid - top * num_n
    return top + place % height, place // height


@triton.jit
def _grouped_kernel(
    a_ptr, b_ptr, out_ptr, M, N, K, a_down, a_right, b_down, b_right,
    GROUP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    num_m, num_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    top = tl.program_id(0) // (GROUP * num_n) * GROUP
    height = tl.minimum(GROUP, num_m - top)
    place = tl.program_id(0) - top * num_n
    rows = (top + place % height) * BM + tl.arange(0, BM)
    columns = place // height * BN + tl.arange(0, BN)
    acc = _sum_over_k(
        a_ptr,
        b_ptr,
        rows,
        columns,
        0,
        K,
        M,
        N,
        a_down,
        a_right,
        b_down,
        b_right,
        BM,
        BN,
        BK,
    )
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=inside)


def matmul_grouped(
    a: Tensor, b: Tensor, block: tuple[int, int, int] = (16, 16, 16), group: int = 4
) -> Tensor:
    """Multiply two matrices as `matmul` does, with a grid of one dimension, in the
    order of `grouped_order`.
    """
    (M, K), N = a.shape, b.size(1)
    out = torch.empty(M, N)
    programs = triton.cdiv(M, block[0]) * triton.cdiv(N, block[1])
    _grouped_kernel[(programs,)](
        a, b, out, M, N, K, *a.stride(), *b.stride(), group, *block
    )
    return out


@triton.jit
def _split_kernel(
    a_ptr, b_ptr, out_ptr, M, N, K, part, a_down, a_right, b_down, b_right,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    begin = tl.program_id(2) * part
    end = tl.minimum(begin + part, K)
    acc = _sum_over_k(
        a_ptr,
        b_ptr,
        rows,
        columns,
        begin,
        end,
        M,
        N,
        a_down,
        a_right,
        b_down,
        b_right,
        BM,
        BN,
        BK,
    )
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.atomic_add(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=inside)


def split_k(
    a: Tensor, b: Tensor, splits: int = 4, block: tuple[int, int, int] = (16, 16, 16)
) -> Tensor:
    """Multiply two matrices with `splits` programs per tile, each of which sums over a
    part of K.
    """
    (M, K), N = a.shape, b.size(1)
    sums = torch.zeros(M, N)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]), splits)
    part = triton.cdiv(triton.cdiv(K, block[2]), splits) * block[2]
    _split_kernel[grid](a, b, sums, M, N, K, part, *a.stride(), *b.stride(), *block)
    return sums
