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
    tl.store(
        out_ptr + rows[:, None] * N + columns[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=inside,
    )


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
    M, K = a.shape
    if len(b) != K:
        raise ValueError(f"a has {K} columns, and b {len(b)} rows")
    N = b.size(1)
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]))
    _matmul_kernel[grid](a, b, out, M, N, K, *a.stride(), *b.stride(), *block)
    return out


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
        bias = tl.load(bias_ptr + columns, mask=columns < N, other=0.0)
        acc += bias[None, :]
    if ACTIVATION == "silu":
        acc = acc * tl.sigmoid(acc)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(
        out_ptr + rows[:, None] * N + columns[None, :],
        acc.to(out_ptr.dtype.element_ty),
        mask=inside,
    )


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
    if activation not in (None, "silu"):
        raise ValueError(f"activation {activation!r} is not known, only 'silu'")
    (M, K), N = x.shape, len(weight)
    out = torch.empty(M, N, dtype=x.dtype)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]))
    _linear_kernel[grid](
        x, weight, bias, out, M, N, K, *x.stride(), *weight.stride(), activation, *block
    )
    return out


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

    A kernel cannot call a Python function: it computes the order itself.

    Args:
        a, b, block: as in `matmul`.
        group: rows of tiles per group.
    Returns:
        (M, N): program p computes the tile grouped_order(p, ceil(M / BM),
        ceil(N / BN), group).
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
    (M, K), N = a.shape, b.size(1)
    sums = torch.zeros(M, N)
    grid = (triton.cdiv(M, block[0]), triton.cdiv(N, block[1]), splits)
    part = triton.cdiv(triton.cdiv(K, block[2]), splits) * block[2]
    _split_kernel[grid](a, b, sums, M, N, K, part, *a.stride(), *b.stride(), *block)
    return sums
