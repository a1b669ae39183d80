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


@triton.jit
def _attend(
    q, k_ptr, v_ptr, table_ptr, begin, end, length, kv, scale,
    H_KV: tl.constexpr, S: tl.constexpr, D: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """The largest score, the total and the mixture of a group's queries, over blocks
    begin to end − 1 of a row.
    """
    slots, features = tl.arange(0, S), tl.arange(0, D)[None, :]
    top = tl.full((GROUP,), float("-inf"), tl.float32)
    total = tl.zeros((GROUP,), tl.float32)
    mixed = tl.zeros((GROUP, D), tl.float32)
    for block in range(begin, end):
        page = tl.load(table_ptr + block)
        used = block * S + slots < length
        places = ((page * S + slots[:, None]) * H_KV + kv) * D + features
        k = tl.load(k_ptr + places, mask=used[:, None])
        v = tl.load(v_ptr + places, mask=used[:, None], other=0.0)
        scores = tl.sum(q[:, None, :] * k[None, :, :], axis=2) * scale
        scores = tl.where(used[None, :], scores, float("-inf"))
        now = tl.maximum(top, tl.max(scores, axis=1))
        fade = tl.exp(top - now)
        weights = tl.exp(scores - now[:, None])
        total = total * fade + tl.sum(weights, axis=1)
        mixed = mixed * fade[:, None] + tl.sum(
            weights[:, :, None] * v[None, :, :], axis=1
        )
        top = now
    return top, total, mixed


@triton.jit
def _paged_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, lengths_ptr, out_ptr, M, scale,
    G: tl.constexpr, H_KV: tl.constexpr, S: tl.constexpr, D: tl.constexpr,
    GROUP: tl.constexpr,
):  # fmt: skip
    row, kv, lanes = tl.program_id(0), tl.program_id(1), tl.arange(0, GROUP)[:, None]
    at = (row * H_KV * G + kv * G + lanes) * D + tl.arange(0, D)[None, :]
    q = tl.load(q_ptr + at, lanes < G)
    length = tl.load(lengths_ptr + row)
    top, total, mixed = _attend(
        q,
        k_ptr,
        v_ptr,
        table_ptr + row * M,
        0,
        tl.cdiv(length, S),
        length,
        kv,
        scale,
        H_KV,
        S,
        D,
        GROUP,
    )
    tl.store(out_ptr + at, mixed / total[:, None], mask=lanes < G)


def paged_attention(
    q: Tensor, k_pool: Tensor, v_pool: Tensor, block_table: Tensor, lengths: Tensor
) -> Tensor:
    """Attend with one new query per row and head to keys and values that lie in blocks
    of a pool, in one launch.
    """
    (B, H, D), (_, S, H_kv, _), M = q.shape, k_pool.shape, block_table.size(1)
    out, G = torch.empty_like(q), H // H_kv
    _paged_kernel[(B, H_kv)](
        q, k_pool, v_pool, block_table, lengths, out, M, D**-0.5,
        G=G, H_KV=H_kv, S=S, D=D, GROUP=triton.next_power_of_2(G),
    )  # fmt: skip
    return out


@triton.jit
def _split_kernel(
    q_ptr, k_ptr, v_ptr, table_ptr, lengths_ptr, outs_ptr, lses_ptr, M, scale, splits,
    G: tl.constexpr, H_KV: tl.constexpr, S: tl.constexpr, D: tl.constexpr,
    GROUP: tl.constexpr,
):  # fmt: skip
    row, kv, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    lanes, features = tl.arange(0, GROUP), tl.arange(0, D)[None, :]
    heads = row * H_KV * G + kv * G + lanes
    q = tl.load(q_ptr + heads[:, None] * D + features, mask=lanes[:, None] < G)
    length = tl.load(lengths_ptr + row)
    blocks = tl.cdiv(length, S)
    share = tl.cdiv(blocks, splits)
    begin, end = split * share, tl.minimum((split + 1) * share, blocks)
    top, total, mixed = _attend(
        q,
        k_ptr,
        v_ptr,
        table_ptr + row * M,
        begin,
        end,
        length,
        kv,
        scale,
        H_KV,
        S,
        D,
        GROUP,
    )
    part = split * tl.num_programs(0) * H_KV * G + heads  # in (splits, B, H)
    out = tl.where(total[:, None] > 0, mixed / total[:, None], 0.0)
    tl.store(outs_ptr + part[:, None] * D + features, out, mask=lanes[:, None] < G)
    tl.store(lses_ptr + part, top + tl.log(total), mask=lanes < G)


def paged_attention_split(
    q: Tensor,
    k_pool: Tensor,
    v_pool: Tensor,
    block_table: Tensor,
    lengths: Tensor,
    splits: int = 2,
) -> Tensor:
    """Share a row's blocks among several programs, and put their parts together with
    05's `flash_decode_merge`.
    """
    (B, H, D), (_, S, H_kv, _), M = q.shape, k_pool.shape, block_table.size(1)
    outs, lses, G = torch.empty(splits, B, H, D), torch.empty(splits, B, H), H // H_kv
    _split_kernel[(B, H_kv, splits)](
        q, k_pool, v_pool, block_table, lengths, outs, lses, M, D**-0.5, splits,
        G=G, H_KV=H_kv, S=S, D=D, GROUP=triton.next_power_of_2(G),
    )  # fmt: skip
    return flash_decode_merge(outs, lses)


@triton.jit
def _quantise_kernel(w_ptr, codes_ptr, scale_ptr, K, BLOCK: tl.constexpr):
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    w = tl.load(w_ptr + row * K + at, mask=at < K, other=0.0)
    largest = tl.max(tl.abs(w))
    scale = tl.where(largest == 0, 1.0, largest / 127)
    tl.store(
        codes_ptr + row * K + at, tl.floor(w / scale + 0.5).to(tl.int8), mask=at < K
    )
    tl.store(scale_ptr + row, scale)


def quantise_rows(w: Tensor) -> tuple[Tensor, Tensor]:
    """Round each row of a matrix to 8-bit integers with a scale of its own, one program
    per row.
    """
    N, K = w.shape
    codes, scale = torch.empty(N, K, dtype=torch.int8), torch.empty(N)
    _quantise_kernel[(N,)](w, codes, scale, K, BLOCK=triton.next_power_of_2(K))
    return codes, scale


@triton.jit
def _int8_kernel(
    x_ptr,
    w_ptr,
    scale_ptr,
    out_ptr,
    M,
    N,
    K,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
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
        )
        acc += tl.dot(x, tl.trans(w.to(tl.float32)), input_precision="ieee")
    scale = tl.load(scale_ptr + outputs, outputs < N)
    inside = (rows[:, None] < M) & (outputs[None, :] < N)
    tl.store(
        out_ptr + rows[:, None] * N + outputs[None, :], acc * scale[None, :], inside
    )


def matmul_int8(x: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Multiply by a weight that is kept in 8 bits: integers become floats in registers,
    and never in memory.
    """
    (M, K), N = x.shape, len(w)
    out = torch.empty(M, N)
    _int8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, w, scale, out, M, N, K, BM=16, BN=16, BK=32
    )
    return out


@triton.jit
def _int4_kernel(
    x_ptr,
    packed_ptr,
    scale_ptr,
    out_ptr,
    M,
    N,
    K,
    BM: tl.constexpr,
    BN: tl.constexpr,
    SIZE: tl.constexpr,
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    outputs = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.float32)
    for group in range(0, K // SIZE):
        at = group * SIZE + tl.arange(0, SIZE)
        pairs = group * (SIZE // 2) + tl.arange(0, SIZE // 2)
        x = tl.load(x_ptr + rows[:, None] * K + at[None, :], mask=rows[:, None] < M)
        packed = tl.load(
            packed_ptr + outputs[:, None] * (K // 2) + pairs[None, :],
            outputs[:, None] < N,
        )
        scale = tl.load(scale_ptr + outputs * (K // SIZE) + group, outputs < N)
        codes = tl.interleave(packed & 15, packed >> 4).to(tl.int8)
        codes = tl.where(codes > 7, codes - 16, codes).to(tl.float32)
        acc += tl.dot(x, tl.trans(codes), input_precision="ieee") * scale[None, :]
    inside = (rows[:, None] < M) & (outputs[None, :] < N)
    tl.store(out_ptr + rows[:, None] * N + outputs[None, :], acc, inside)


def matmul_int4(x: Tensor, packed: Tensor, scale: Tensor, group_size: int) -> Tensor:
    """Multiply by a weight that is kept in 4 bits, two codes per byte, unpacked
    in registers.
    """
    (M, K), N = x.shape, len(packed)
    out = torch.empty(M, N)
    _int4_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, packed, scale, out, M, N, K, BM=16, BN=16, SIZE=group_size
    )
    return out


@triton.jit
def _w8a8_kernel(
    x_ptr,
    w_ptr,
    x_scale_ptr,
    scale_ptr,
    out_ptr,
    M,
    N,
    K,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    outputs = tl.program_id(1) * BN + tl.arange(0, BN)
    acc = tl.zeros((BM, BN), tl.int32)
    for start in range(0, K, BK):
        at = start + tl.arange(0, BK)
        x = tl.load(
            x_ptr + rows[:, None] * K + at[None, :],
            (rows[:, None] < M) & (at[None, :] < K),
            other=0,
        )
        w = tl.load(
            w_ptr + outputs[:, None] * K + at[None, :],
            (outputs[:, None] < N) & (at[None, :] < K),
        )
        acc += tl.dot(x, tl.trans(w), out_dtype=tl.int32)
    x_scale = tl.load(x_scale_ptr + rows, rows < M)
    scale = tl.load(scale_ptr + outputs, outputs < N)
    inside = (rows[:, None] < M) & (outputs[None, :] < N)
    tl.store(
        out_ptr + rows[:, None] * N + outputs[None, :],
        acc * x_scale[:, None] * scale[None, :],
        inside,
    )


def matmul_w8a8(x: Tensor, w: Tensor, scale: Tensor) -> Tensor:
    """Multiply in integers: x is rounded by rows, too, and both scales come after
    the sum.
    """
    (M, K), N = x.shape, len(w)
    codes, x_scale = quantise_rows(x)
    out = torch.empty(M, N)
    _w8a8_kernel[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        codes, w, x_scale, scale, out, M, N, K, BM=16, BN=16, BK=32
    )
    return out
