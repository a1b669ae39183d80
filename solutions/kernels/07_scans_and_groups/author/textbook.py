"""Kernels whose parts depend on each other: scans that hand a sum on, groups of any
length, scales beside numbers.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from grader.kernels import tl, triton


@triton.jit
def row_cumsum_kernel(x_ptr, out_ptr, N, BLOCK: tl.constexpr):
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0)
    tl.store(out_ptr + row * N + at, tl.cumsum(x, axis=0), mask=at < N)


def row_cumsum(x: Tensor) -> Tensor:
    """The running sums of each row of x (M, N), one program per row: the
    worked example.
    """
    M, N = x.shape
    out = torch.empty_like(x)
    row_cumsum_kernel[(M,)](x, out, N, BLOCK=triton.next_power_of_2(N))
    return out


@dataclass(frozen=True)
class Config:
    """How a product (M, K) times (K, N) is cut, and how a GPU runs a tile of it."""

    bm: int  # rows per tile
    bn: int  # columns per tile
    bk: int  # numbers of K per turn of the loop
    stages: int = 2  # turns whose tiles are in shared memory at once
    warps: int = 4  # of 32 threads each, per program


@triton.jit
def product_kernel(
    x_ptr, w_ptr, out_ptr, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    rows = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    columns = tl.program_id(1) * BN + tl.arange(0, BN)[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(0, K, BK):
        left, upper = (
            start + tl.arange(0, BK)[None, :],
            start + tl.arange(0, BK)[:, None],
        )
        x = tl.load(x_ptr + rows * K + left, mask=(rows < M) & (left < K), other=0.0)
        w = tl.load(
            w_ptr + upper * N + columns, mask=(upper < K) & (columns < N), other=0.0
        )
        acc += tl.dot(x, w, input_precision="ieee")
    tl.store(out_ptr + rows * N + columns, acc, mask=(rows < M) & (columns < N))


def product(config: Config, x: Tensor, w: Tensor, out: Tensor) -> None:
    """Write x (M, K) times w (K, N) to out, in tiles of a configuration: what a `Tuner`
    may run.
    """
    (M, K), N, c = x.shape, w.size(1), config
    grid = (triton.cdiv(M, c.bm), triton.cdiv(N, c.bn))
    product_kernel[grid](
        x,
        w,
        out,
        M,
        N,
        K,
        BM=c.bm,
        BN=c.bn,
        BK=c.bk,
        num_stages=c.stages,
        num_warps=c.warps,
    )


@triton.jit
def _block_sums_kernel(x_ptr, sums_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(x))


@triton.jit
def _scan_sums_kernel(sums_ptr, ends_ptr, blocks, BLOCKS: tl.constexpr):
    at = tl.arange(0, BLOCKS)
    sums = tl.load(sums_ptr + at, mask=at < blocks)
    tl.store(ends_ptr + at, tl.cumsum(sums), mask=at < blocks)


@triton.jit
def _scan_blocks_kernel(x_ptr, sums_ptr, ends_ptr, out_ptr, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n)
    begin = tl.load(ends_ptr + block) - tl.load(sums_ptr + block)
    tl.store(out_ptr + at, begin + tl.cumsum(x), mask=at < n)


def prefix_sum(x, block=64):
    n = len(x)
    blocks = triton.cdiv(n, block)
    sums, ends, out = torch.empty(blocks), torch.empty(blocks), torch.empty(n)
    _block_sums_kernel[(blocks,)](x, sums, n, BLOCK=block)
    _scan_sums_kernel[(1,)](sums, ends, blocks, BLOCKS=triton.next_power_of_2(blocks))
    _scan_blocks_kernel[(blocks,)](x, sums, ends, out, n, BLOCK=block)
    return out


@triton.jit
def _combine(a, b, c, d):
    return a * c, c * b + d


@triton.jit
def _recurrence_kernel(a_ptr, b_ptr, h_ptr, T, N, BT: tl.constexpr, BN: tl.constexpr):
    columns = tl.program_id(0) * BN + tl.arange(0, BN)
    h = tl.zeros((BN,), tl.float32)
    for start in range(0, T, BT):
        rows = start + tl.arange(0, BT)
        at = rows[:, None] * N + columns[None, :]
        mask = (rows[:, None] < T) & (columns[None, :] < N)
        a = tl.load(a_ptr + at, mask=mask)
        b = tl.load(b_ptr + at, mask=mask)
        a, b = tl.associative_scan((a, b), 0, _combine)
        out = a * h[None, :] + b
        tl.store(h_ptr + at, out, mask=mask)
        h = tl.sum(tl.where(rows[:, None] == start + BT - 1, out, 0.0), axis=0)


def linear_recurrence(a, b, block_t=16, block_n=16):
    T, N = a.shape
    h = torch.empty(T, N)
    _recurrence_kernel[(triton.cdiv(N, block_n),)](
        a, b, h, T, N, BT=block_t, BN=block_n
    )
    return h


@triton.jit
def _segment_kernel(x_ptr, offsets_ptr, out_ptr, N, BLOCK: tl.constexpr):
    segment = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for row in range(
        tl.load(offsets_ptr + segment), tl.load(offsets_ptr + segment + 1)
    ):
        total += tl.load(x_ptr + row * N + columns, mask=columns < N)
    tl.store(out_ptr + segment * N + columns, total, mask=columns < N)


def segmented_sum(x, offsets, block_n=32):
    E, N = len(offsets) - 1, x.shape[1]
    out = torch.empty(E, N)
    _segment_kernel[(E, triton.cdiv(N, block_n))](x, offsets, out, N, BLOCK=block_n)
    return out


@triton.jit
def _linear_attention_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    g_ptr,
    out_ptr,
    T,
    K: tl.constexpr,
    V: tl.constexpr,
    C: tl.constexpr,
):
    head = tl.program_id(0)
    i, keys, values = tl.arange(0, C), tl.arange(0, K), tl.arange(0, V)
    state = tl.zeros((K, V), tl.float32)
    for start in range(0, T, C):
        rows = start + i
        mask = rows[:, None] < T
        qk_at = (head * T + rows[:, None]) * K + keys[None, :]
        v_at = (head * T + rows[:, None]) * V + values[None, :]
        q = tl.load(q_ptr + qk_at, mask=mask)
        k = tl.load(k_ptr + qk_at, mask=mask, other=0.0)
        v = tl.load(v_ptr + v_at, mask=mask, other=0.0)
        g = tl.load(g_ptr + head * T + rows, mask=rows < T)
        G = tl.cumsum(g)
        decay = tl.where(i[:, None] >= i[None, :], tl.exp(G[:, None] - G[None, :]), 0.0)
        scores = tl.dot(q, tl.trans(k)) * decay
        out = tl.dot(scores, v) + tl.dot(q * tl.exp(G)[:, None], state)
        tl.store(out_ptr + v_at, out, mask=mask)
        end = tl.sum(g)
        state = tl.exp(end) * state + tl.dot(tl.trans(k * tl.exp(end - G)[:, None]), v)


def linear_attention(q, k, v, log_decay, chunk=16):
    B, H, T, K = q.shape
    out = torch.empty_like(v)
    _linear_attention_kernel[(B * H,)](
        q, k, v, log_decay, out, T, K=K, V=v.shape[3], C=chunk
    )
    return out


@triton.jit
def _count_kernel(
    experts_ptr, counts_ptr, n, E, BLOCK: tl.constexpr, EXPERTS: tl.constexpr
):
    block, e = tl.program_id(0), tl.arange(0, EXPERTS)
    at = block * BLOCK + tl.arange(0, BLOCK)
    experts = tl.load(experts_ptr + at, mask=at < n, other=EXPERTS)
    counts = tl.sum((experts[:, None] == e[None, :]).to(tl.int32), axis=0)
    tl.store(counts_ptr + block * E + e, counts, mask=e < E)


@triton.jit
def _place_kernel(
    experts_ptr,
    begins_ptr,
    places_ptr,
    n,
    E,
    BLOCK: tl.constexpr,
    EXPERTS: tl.constexpr,
):
    block, e = tl.program_id(0), tl.arange(0, EXPERTS)
    at = block * BLOCK + tl.arange(0, BLOCK)
    experts = tl.load(experts_ptr + at, mask=at < n)
    begins = tl.load(begins_ptr + block * E + e, mask=e < E)
    mine = (experts[:, None] == e[None, :]).to(tl.int32)
    ranks = tl.cumsum(mine, axis=0) - 1
    places = tl.sum(mine * (begins[None, :] + ranks), axis=1)
    tl.store(places_ptr + at, places, mask=at < n)


def places_by_expert(experts, n_experts, block=32):
    n = len(experts)
    blocks, lanes = triton.cdiv(n, block), triton.next_power_of_2(n_experts)
    counts = torch.empty(blocks, n_experts, dtype=torch.int32)
    _count_kernel[(blocks,)](experts, counts, n, n_experts, BLOCK=block, EXPERTS=lanes)
    ends = counts.T.flatten().cumsum(0).view(n_experts, blocks).T
    begins = (ends - counts).contiguous()
    places = torch.empty(n, dtype=torch.int32)
    _place_kernel[(blocks,)](
        experts, begins, places, n, n_experts, BLOCK=block, EXPERTS=lanes
    )
    return places, counts.sum(0)


@triton.jit
def _grouped_kernel(
    x_ptr,
    w_ptr,
    offsets_ptr,
    out_ptr,
    N,
    K,
    E,
    programs,
    BM: tl.constexpr,
    BN: tl.constexpr,
    BK: tl.constexpr,
):
    tile = tl.program_id(0)
    first = 0
    for e in range(E):
        begin = tl.load(offsets_ptr + e)
        end = tl.load(offsets_ptr + e + 1)
        tiles_n = tl.cdiv(N, BN)
        last = first + tl.cdiv(end - begin, BM) * tiles_n
        while tile < last:
            rows = begin + (tile - first) // tiles_n * BM + tl.arange(0, BM)
            columns = (tile - first) % tiles_n * BN + tl.arange(0, BN)
            acc = tl.zeros((BM, BN), tl.float32)
            for start in range(0, K, BK):
                k = start + tl.arange(0, BK)
                x_mask = (rows[:, None] < end) & (k[None, :] < K)
                w_mask = (columns[:, None] < N) & (k[None, :] < K)
                x = tl.load(
                    x_ptr + rows[:, None] * K + k[None, :], mask=x_mask, other=0.0
                )
                w = tl.load(
                    w_ptr + e * N * K + columns[:, None] * K + k[None, :],
                    mask=w_mask,
                    other=0.0,
                )
                acc += tl.dot(x, tl.trans(w))
            mask = (rows[:, None] < end) & (columns[None, :] < N)
            tl.store(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=mask)
            tile += programs
        first = last


def grouped_matmul(x, w, offsets, programs=8, block=(16, 16, 16)):
    E, N, K = w.shape
    out = torch.empty(len(x), N)
    BM, BN, BK = block
    _grouped_kernel[(programs,)](
        x, w, offsets, out, N, K, E, programs, BM=BM, BN=BN, BK=BK
    )
    return out


@triton.jit
def _numbers(codes, scale):
    exponent = (codes >> 1) & 3
    mantissa = (codes & 1).to(tl.float32)
    size = tl.where(
        exponent == 0,
        mantissa / 2,
        (1 + mantissa / 2) * tl.exp2(exponent.to(tl.float32) - 1),
    )
    return tl.where(codes > 7, -size, size) * tl.maximum(
        scale.to(tl.int32) << 23, 1 << 22
    ).to(tl.float32, bitcast=True)


@triton.jit
def _mxfp4_kernel(
    x_ptr,
    x_scale_ptr,
    w_ptr,
    w_scale_ptr,
    out_ptr,
    M,
    N,
    K,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    m = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    n = tl.program_id(1) * BN + tl.arange(0, BN)[:, None]
    pairs = tl.arange(0, 16)[None, :]
    acc = tl.zeros((BM, BN), tl.float32)
    for block in range(K // 32):
        x = tl.load(x_ptr + m * (K // 2) + block * 16 + pairs, mask=m < M)
        w = tl.load(w_ptr + n * (K // 2) + block * 16 + pairs, mask=n < N)
        x_scale = tl.load(x_scale_ptr + m * (K // 32) + block, mask=m < M)
        w_scale = tl.load(w_scale_ptr + n * (K // 32) + block, mask=n < N)
        x = tl.interleave(_numbers(x & 15, x_scale), _numbers(x >> 4, x_scale))
        w = tl.interleave(_numbers(w & 15, w_scale), _numbers(w >> 4, w_scale))
        acc += tl.dot(x, tl.trans(w))
    columns = tl.trans(n)
    tl.store(out_ptr + m * N + columns, acc, mask=(m < M) & (columns < N))


def matmul_mxfp4(x, x_scale, w, w_scale):
    M, K, N = x.shape[0], 2 * x.shape[1], w.shape[0]
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, 16), triton.cdiv(N, 16))
    _mxfp4_kernel[grid](x, x_scale, w, w_scale, out, M, N, K, BM=16, BN=16)
    return out


def candidates(configs, M, N, K, itemsize, shared=101_376, registers=255):
    fitting = []
    for c in configs:
        if c.stages * (c.bm + c.bn) * c.bk * itemsize > shared:
            continue
        if c.bm * c.bn > registers * 32 * c.warps:
            continue
        largest = [max(16, triton.next_power_of_2(size)) for size in (M, N, K)]
        if c.bm > largest[0] or c.bn > largest[1] or c.bk > largest[2]:
            continue
        fitting.append(c)
    return sorted(
        fitting,
        key=lambda c: M * K * triton.cdiv(N, c.bn) + N * K * triton.cdiv(M, c.bm),
    )


class Tuner:
    def __init__(self, run, configs, measure):
        self.run, self.configs, self.measure = run, configs, measure
        self.best = {}

    def __call__(self, key, outputs, *args):
        if key not in self.best:
            costs = {}
            before = [output.clone() for output in outputs]
            for config in self.configs:
                costs[config] = self.measure(lambda: self.run(config, *args))
                for output, kept in zip(outputs, before):
                    output.copy_(kept)
            self.best[key] = min(costs, key=costs.get)
        self.run(self.best[key], *args)
        return self.best[key]
