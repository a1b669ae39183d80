"""Kernels of a server: attention that follows a block table, and products with weights
of 8 and 4 bits.
"""

import torch
from torch import Tensor

from grader.kernels import tl, triton
from grader.loading import prerequisite

flash_decode_merge = prerequisite("kernels/05_flash_attention").flash_decode_merge


@triton.jit
def linear_kernel(
    x_ptr, w_ptr, out_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    outputs = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        at = start + tl.arange(0, BK)
        x = tl.load(
            x_ptr + rows[:, None] * K + at[None, :],
            (rows[:, None] < M) & (at[None, :] < K),
            other=0.0,
        )
        w = tl.load(
            w_ptr + outputs[:, None] * K + at[None, :],
            (outputs[:, None] < N) & (at[None, :] < K),
            other=0.0,
        )
        acc += tl.dot(x, tl.trans(w), input_precision="ieee")
    inside = (rows[:, None] < M) & (outputs[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + outputs[None, :], acc, inside)


def linear(x: Tensor, w: Tensor) -> Tensor:
    """x (M, K) times w (N, K) transposed, in tiles of 16 rows and 16 outputs: the
    worked example.
    """
    (M, K), N = x.shape, len(w)
    out = torch.empty(M, N)
    linear_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, w, out, M, N, K, BM=16, BN=16, BK=32
    )
    return out


def paged_attention(
    q: Tensor, k_pool: Tensor, v_pool: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    """Attend with one query per row and head to keys and values in blocks of a pool.

    A program owns a row and a key head, and goes over the row's blocks with a running
    softmax. All queries of the key head share what it loads.

    Args:
        q: (B, H, D). Query head h reads key head h // (H / H_kv).
        k_pool, v_pool: (num_blocks, block_size, H_kv, D). block_size and D are powers
            of two.
        block_table: (B, M) long, each row's blocks in order, then −1.
        lengths: (B,) long, tokens per row, at least 1. Token t of row b is at place
            t % block_size of block block_table[b, t // block_size].
    Returns:
        (B, H, D): softmax(q kᵀ / √D) v over the row's tokens, by B · H_kv programs.
        Queries, keys and values are loaded once, other places never; table entries and
        lengths once per program.

    Edge cases ★
        A row of length 0 gets zeros. Scores near −20,000 count as others do.
        float16: sums are kept in float32, and the result has q's dtype.
    """
    raise NotImplementedError


def paged_attention_split(
    q: Tensor,
    k_pool: Tensor,
    v_pool: Tensor,
    block_table: Tensor,
    lengths: Tensor,
    splits: int = 2,
) -> Tensor:
    """Share each row's blocks among several programs, so that one long row does not
    keep a GPU waiting.

    Of a row's n blocks a program takes at most ceil(n / splits). It stores its part of
    the result, and lse as in 05. `flash_decode_merge` puts the parts together.

    Args:
        q, k_pool, v_pool, block_table, lengths: as in `paged_attention`.
        splits: programs per row and key head. A row may have fewer blocks: a program
            without any stores an lse of −∞, and finite numbers.
    Returns:
        (B, H, D), as `paged_attention` returns it, by B · H_kv · splits programs. Each
        key and value is loaded once.
    """
    raise NotImplementedError


def quantise_rows(w: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix to 8-bit integers with a scale of its own, one program
    per row.

    Args:
        w: (N, K), contiguous float32.
    Returns:
        codes (N, K), int8: w / scale, rounded to the nearest integer; halves go where
        you like.
        scale (N,), float32: the row's largest |w| / 127, and 1 for a row of zeros.

    The row [1.27, −0.5, 0.004] has the scale 0.01 and the codes [127, −50, 0]. Each
    weight is loaded once.

    Edge cases ★
        float16: the kernel computes in float32, and scale is float32.
    """
    raise NotImplementedError


def matmul_int8(x: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Multiply by a weight that is kept in 8 bits: integers become floats in registers,
    and never in memory.

    All products of an output have the same scale: it is multiplied with their sum.

    Args:
        x: (M, K), contiguous float32.
        w: (N, K), int8.
        scale: (N,). The weight is w[n, k] · scale[n].
    Returns:
        (M, N), x times the transposed weight. A program takes 16 rows of x: if M is at
        most 16, each integer is loaded once. Only the result is stored.

    Edge cases ★
        x of float16: sums are kept in float32, and the result has x's dtype.
        A GPU's compiler takes the kernel, and its products keep float32:
        `tl.dot(…, input_precision="ieee")`.
    """
    raise NotImplementedError


def matmul_int4(x: Tensor, packed: Tensor, scale: Tensor, group_size: int) -> Tensor:
    """Multiply by a weight that is kept in 4 bits, two integers per byte, which are
    taken apart in registers.

    Args:
        x: (M, K), contiguous float32.
        packed: (N, K / 2), uint8. Byte j has element 2j in its low four bits, and
            2j + 1 in its high four, in two's complement: 0x8F is −1 and −8.
        scale: (N, K / group_size). Element k of row n is multiplied by scale[n, k
            // group_size].
        group_size: a power of two from 16 on that divides K.
    Returns:
        (M, N), x times the transposed weight. A program takes 16 rows of x: if M is at
        most 16, each byte is loaded once. Only the result is stored.

    Edge cases ★
        x of float16: sums are kept in float32, and the result has x's dtype.
    """
    raise NotImplementedError


def matmul_w8a8(x: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Multiply in integers: x is rounded by `quantise_rows`, too, and both scales come
    after the sum.

    Products and sums are int32. 127 · 127 does not fit into int8, and float32 rounds
    sums above 2²⁴.

    Args:
        x: (M, K), contiguous float32.
        w: (N, K), int8.
        scale: (N,).
    Returns:
        (M, N): Σ_k codes[m, k] · w[n, k], times the scales of row m of x and of output
        n. A program takes 16 rows: if M is at most 16, each integer of w is
        loaded once.
    """
    raise NotImplementedError
