"""Kernels whose parts depend on each other: scans that hand a sum on, groups of any
length, scales beside numbers.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

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
    x = tl.load(x_ptr + at, mask=at < n, other=0)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(x, axis=0))


@triton.jit
def _prefix_kernel(x_ptr, before_ptr, out_ptr, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    at = block * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0)
    before = tl.load(before_ptr + block - 1, mask=block > 0, other=0)
    tl.store(out_ptr + at, before + tl.cumsum(x, axis=0), mask=at < n)


def prefix_sum(x: Tensor, block: int = 64) -> Tensor:
    """Sum all numbers up to each one. Blocks are summed at the same time, though each
    goes on from those before.

    Three steps: the sum of each block; the prefix sums of these sums, for which this
    function can be called again; and each block once more, from where the blocks before
    it end.

    Args:
        x: (n,), contiguous float32.
        block: numbers per program, a power of two: no program loads more of x.
    Returns:
        (n,): [3, 1, 2] becomes [3, 4, 6]. With c blocks, and c ≤ block, at most 2n + 3c
        numbers are loaded and n + 2c stored, none by atomics.

    Edge cases ★
        int32: sums are exact, and the result is int32. n = 0.
    """
    n, out = len(x), torch.empty_like(x)
    blocks, sums = triton.cdiv(n, block), x
    if blocks > 1:
        sums = torch.empty(blocks, dtype=x.dtype)
        _block_sums_kernel[(blocks,)](x, sums, n, BLOCK=block)
        sums = prefix_sum(sums, block)
    _prefix_kernel[(blocks,)](x, sums, out, n, BLOCK=block)
    return out


@triton.jit
def _then(a, b, c, d):
    """h ↦ a h + b, and then h ↦ c h + d."""
    return a * c, b * c + d


@triton.jit
def _recurrence_kernel(a_ptr, b_ptr, h_ptr, T, N, BT: tl.constexpr, BN: tl.constexpr):
    steps, columns = (
        tl.arange(0, BT)[:, None],
        tl.program_id(0) * BN + tl.arange(0, BN)[None, :],
    )
    carry = tl.zeros((1, BN), tl.float32)
    for start in range(0, T, BT):
        at = (start + steps) * N + columns
        inside = (start + steps < T) & (columns < N)
        a = tl.load(a_ptr + at, mask=inside, other=0.0).to(tl.float32)
        b = tl.load(b_ptr + at, mask=inside, other=0.0).to(tl.float32)
        a, b = tl.associative_scan((a, b), 0, _then)
        h = a * carry + b
        tl.store(h_ptr + at, h.to(h_ptr.dtype.element_ty), mask=inside)
        carry = tl.sum(tl.where(steps == BT - 1, h, 0.0), axis=0, keep_dims=True)


def linear_recurrence(
    a: Tensor, b: Tensor, block_t: int = 16, block_n: int = 16
) -> Tensor:
    """Compute h_t = a_t · h_{t−1} + b_t for each column, from h_{−1} = 0.

    One step after another is one map h ↦ a h + b after another, and two such maps in a
    row are one such map. So the steps of a block can be put together in any grouping,
    by `tl.associative_scan` of the pairs (a, b), or in turn. The last h of a block is
    carried to the next one.

    Args:
        a, b: (T, N), contiguous float32: a row per step.
        block_t: rows that are held at a time, a power of two.
        block_n: columns per program, a power of two.
    Returns:
        (T, N): every h_t, by ceil(N / block_n) programs. a = [2, 3] and b = [1, 5] give
        [1, 8]. Each number of a and b is loaded once, and only the result is stored.

    Edge cases ★
        float16: h is kept in float32 from step to step, and the result has a's dtype.
        A GPU's compiler takes the kernel.
    """
    T, N = a.shape
    h = torch.empty_like(a)
    _recurrence_kernel[(triton.cdiv(N, block_n),)](
        a, b, h, T, N, BT=block_t, BN=block_n
    )
    return h


@triton.jit
def _segment_kernel(x_ptr, offsets_ptr, out_ptr, N, BM: tl.constexpr, BN: tl.constexpr):
    segment, columns = tl.program_id(0), tl.program_id(1) * BN + tl.arange(0, BN)
    begin, end = tl.load(offsets_ptr + segment), tl.load(offsets_ptr + segment + 1)
    total = tl.zeros((BN,), tl.float32)
    for start in range(begin, end, BM):
        rows = start + tl.arange(0, BM)[:, None]
        x = tl.load(
            x_ptr + rows * N + columns[None, :],
            mask=(rows < end) & (columns[None, :] < N),
            other=0.0,
        )
        total += tl.sum(x.to(tl.float32), axis=0)
    tl.store(
        out_ptr + segment * N + columns,
        total.to(out_ptr.dtype.element_ty),
        mask=columns < N,
    )


def segmented_sum(x: Tensor, offsets: Tensor, block_n: int = 32) -> Tensor:
    """Sum the rows of each group. Groups lie one after the other, and may have
    any length.

    A program owns a group and `block_n` columns, and loads where its rows begin
    and end.

    Args:
        x: (M, N), contiguous float32.
        offsets: (E + 1,) int32, from 0 up to M: group e has the rows offsets[e] to
            offsets[e + 1] − 1, perhaps none.
        block_n: columns per program, a power of two.
    Returns:
        (E, N), zeros for a group without rows, by E · ceil(N / block_n) programs. Each
        number of x is loaded once.

    Edge cases ★
        float16: sums are kept in float32, and the result has x's dtype.
    """
    E, N = len(offsets) - 1, x.size(1)
    out = torch.empty(E, N, dtype=x.dtype)
    _segment_kernel[(E, triton.cdiv(N, block_n))](x, offsets, out, N, BM=16, BN=block_n)
    return out


@triton.jit
def _linear_attention_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    log_decay_ptr,
    out_ptr,
    T,
    K: tl.constexpr,
    V: tl.constexpr,
    C: tl.constexpr,
):
    head, rows = tl.program_id(0), tl.arange(0, C)
    keys, values = tl.arange(0, K)[None, :], tl.arange(0, V)[None, :]
    state = tl.zeros((K, V), tl.float32)
    for start in range(0, T, C):
        at, inside = head * T + start + rows, start + rows < T
        q = tl.load(q_ptr + at[:, None] * K + keys, mask=inside[:, None], other=0.0).to(
            tl.float32
        )
        k = tl.load(k_ptr + at[:, None] * K + keys, mask=inside[:, None], other=0.0).to(
            tl.float32
        )
        v = tl.load(
            v_ptr + at[:, None] * V + values, mask=inside[:, None], other=0.0
        ).to(tl.float32)
        fade = tl.load(log_decay_ptr + at, mask=inside, other=0.0).to(tl.float32)
        total = tl.cumsum(fade, axis=0)  # from the chunk's begin to each token
        whole = tl.sum(fade, axis=0)
        between = tl.where(
            rows[:, None] >= rows[None, :],
            total[:, None] - total[None, :],
            float("-inf"),
        )
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * tl.exp(between)
        out = tl.dot(scores, v, input_precision="ieee")
        out += tl.dot(q * tl.exp(total)[:, None], state, input_precision="ieee")
        tl.store(
            out_ptr + at[:, None] * V + values,
            out.to(out_ptr.dtype.element_ty),
            mask=inside[:, None],
        )
        faded = k * tl.exp(whole - total)[:, None]
        state = state * tl.exp(whole) + tl.dot(
            tl.trans(faded), v, input_precision="ieee"
        )


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, chunk: int = 16
) -> Tensor:
    """Attend without a softmax: the past of a head fits into a matrix, which stays
    in registers.

    o_t = Σ_{s ≤ t} exp(g_{s+1} + … + g_t) (q_t · k_s) v_s, with g for log_decay. The
    same with a state S that begins at 0: S ← exp(g_t) S + k_t v_tᵀ, o_t = q_t S. A
    program owns a head and goes over chunks: within one, scores and a mask; what came
    before is in S.

    Args:
        q, k: (B, H, T, K), contiguous float32. T is any length.
        v: (B, H, T, V). K and V are 16 or 32.
        log_decay: (B, H, T), at most 0, and perhaps −20.
        chunk: tokens held at a time, a power of two from 16 on.
    Returns:
        (B, H, T, V), by B · H programs. Each number is loaded once, and only the result
        is stored.

    Edge cases ★
        float16: sums are kept in float32, and the result has v's dtype.
        A GPU's compiler takes the kernel, and its products keep float32:
        `tl.dot(…, input_precision="ieee")`.
    """
    (B, H, T, K), V = q.shape, v.size(3)
    out = torch.empty_like(v)
    _linear_attention_kernel[(B * H,)](q, k, v, log_decay, out, T, K=K, V=V, C=chunk)
    return out


@triton.jit
def _count_kernel(
    experts_ptr, counts_ptr, n, E, BLOCK: tl.constexpr, LANES: tl.constexpr
):
    at, numbers = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, LANES)
    experts = tl.load(experts_ptr + at, mask=at < n, other=-1)
    chosen = (experts[:, None] == numbers[None, :]).to(tl.int32)
    tl.store(
        counts_ptr + numbers * tl.num_programs(0) + tl.program_id(0),
        tl.sum(chosen, axis=0),
        mask=numbers < E,
    )


@triton.jit
def _place_kernel(
    experts_ptr,
    ends_ptr,
    counts_ptr,
    places_ptr,
    n,
    E,
    BLOCK: tl.constexpr,
    LANES: tl.constexpr,
):
    at, numbers = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, LANES)
    experts = tl.load(experts_ptr + at, mask=at < n, other=-1)
    chosen = (experts[:, None] == numbers[None, :]).to(tl.int32)
    cell = numbers * tl.num_programs(0) + tl.program_id(0)
    begins = tl.load(ends_ptr + cell, mask=numbers < E, other=0) - tl.load(
        counts_ptr + cell, mask=numbers < E, other=0
    )
    rank = tl.cumsum(chosen, axis=0) - 1  # among the block's choices of the same expert
    tl.store(
        places_ptr + at, tl.sum(chosen * (begins[None, :] + rank), axis=1), mask=at < n
    )


def places_by_expert(
    experts: Tensor, n_experts: int, block: int = 32
) -> tuple[Tensor, Tensor]:
    """Find where each token belongs if tokens are sorted by expert, as today/06's
    `dispatch` has to.

    A counting sort: choices per expert and block; where each block's choices of each
    expert begin, a prefix sum over experts first and blocks second, by PyTorch or by
    `prefix_sum`; and the place of each choice, from its rank among equal ones of
    its block.

    Args:
        experts: (n,) int32, the chosen experts, from 0 to n_experts − 1.
        block: choices per program, a power of two: no program loads more of them.
    Returns:
        places (n,): that of each choice in the stable order. Choices of one expert keep
        their order.
        counts (n_experts,): choices per expert.

    [2, 0, 2, 1] with 4 experts gives the places [2, 0, 3, 1] and the counts
    [1, 1, 2, 0]. Kernels load each choice at most twice, and use no atomics.

    Edge cases ★
        Both results are int32. n = 0.
    """
    n = len(experts)
    blocks, lanes = triton.cdiv(n, block), triton.next_power_of_2(n_experts)
    counts = torch.empty(n_experts, blocks, dtype=torch.int32)
    _count_kernel[(blocks,)](experts, counts, n, n_experts, BLOCK=block, LANES=lanes)
    ends = prefix_sum(counts.flatten())
    places = torch.empty(n, dtype=torch.int32)
    _place_kernel[(blocks,)](
        experts, ends, counts, places, n, n_experts, BLOCK=block, LANES=lanes
    )
    return places, counts.sum(1, dtype=torch.int32)


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
    tile, first, across = tl.program_id(0), 0, tl.cdiv(N, BN)
    for group in range(E):
        begin, end = tl.load(offsets_ptr + group), tl.load(offsets_ptr + group + 1)
        tiles = tl.cdiv(end - begin, BM) * across
        while tile < first + tiles:
            rows = begin + (tile - first) // across * BM + tl.arange(0, BM)[:, None]
            columns = (tile - first) % across * BN + tl.arange(0, BN)
            acc = tl.zeros((BM, BN), tl.float32)
            for start in range(0, K, BK):
                at = start + tl.arange(0, BK)[None, :]
                x = tl.load(
                    x_ptr + rows * K + at, mask=(rows < end) & (at < K), other=0.0
                )
                places = (group * N + columns[:, None]) * K + at
                w = tl.load(
                    w_ptr + places, mask=(columns[:, None] < N) & (at < K), other=0.0
                )
                acc += tl.dot(x, tl.trans(w), input_precision="ieee")
            inside = (rows < end) & (columns[None, :] < N)
            tl.store(
                out_ptr + rows * N + columns[None, :],
                acc.to(out_ptr.dtype.element_ty),
                mask=inside,
            )
            tile += programs
        first += tiles


def grouped_matmul(
    x: Tensor,
    w: Tensor,
    offsets: Tensor,
    programs: int = 8,
    block: tuple[int, int, int] = (16, 16, 16),
) -> Tensor:
    """Multiply each group of rows by its expert's matrix, in one launch of a fixed
    number of programs.

    Each program finds its tiles from `offsets`, on the device. Tiles are numbered
    through all groups, and program p takes p, p + programs and so on. A tile has rows
    of one group.

    Args:
        x: (M, K), contiguous float32, rows sorted by group.
        w: (E, N, K), a matrix per group, as `nn.Linear` has it.
        offsets: (E + 1,) int32, as in `segmented_sum`.
        programs: how many. None takes more than an equal share of tiles, rounded up.
        block: (BM, BN, BK), rows and columns per tile, and numbers of K at a time:
            powers of two from 16 on.
    Returns:
        (M, N): rows of group e times w[e] transposed. x is loaded once per BN columns,
        and w[e] once per BM rows of group e. Only the result is stored.

    Edge cases ★
        float16: sums are kept in float32, and the result has x's dtype.
        A GPU's compiler takes the kernel in all sizes of blocks, and its products
        keep float32.
    """
    E, N, K = w.shape
    out = torch.empty(len(x), N, dtype=x.dtype)
    BM, BN, BK = block
    _grouped_kernel[(programs,)](
        x, w, offsets, out, N, K, E, programs, BM=BM, BN=BN, BK=BK
    )
    return out


@triton.jit
def _e2m1(codes):
    """The numbers of 4-bit codes: a sign, two bits of exponent, and one of mantissa."""
    exponent, half = (codes >> 1) & 3, (codes & 1) * 0.5
    size = tl.where(
        exponent == 0, half, (1 + half) * tl.exp2((exponent - 1).to(tl.float32))
    )
    return tl.where((codes & 8) == 0, size, -size)


@triton.jit
def _mxfp4_tile(codes_ptr, scale_ptr, rows, M, block, K, BM: tl.constexpr):
    """The numbers (BM, 32) of some rows, in a block of 32 columns."""
    at = rows * (K // 2) + block * 16 + tl.arange(0, 16)[None, :]
    codes = tl.load(codes_ptr + at, mask=rows < M, other=0).to(tl.int32)
    scale = tl.load(scale_ptr + rows * (K // 32) + block, mask=rows < M, other=0).to(
        tl.int32
    )
    # A GPU's tl.exp2 makes 0 of 2⁻¹²⁷, the byte 0. Its bits have no exponent: bit 22 is
    # half of 2⁻¹²⁶.
    power = tl.maximum(scale << 23, 1 << 22).to(tl.float32, bitcast=True)
    factor = tl.where(scale == 255, float("nan"), power)
    return tl.interleave(_e2m1(codes & 15), _e2m1(codes >> 4)) * factor


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
    rows = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    outputs = tl.program_id(1) * BN + tl.arange(0, BN)[:, None]
    acc = tl.zeros((BM, BN), tl.float32)
    for block in range(0, K // 32):
        x = _mxfp4_tile(x_ptr, x_scale_ptr, rows, M, block, K, BM)
        w = _mxfp4_tile(w_ptr, w_scale_ptr, outputs, N, block, K, BN)
        acc += tl.dot(x, tl.trans(w), input_precision="ieee")
    inside = (rows < M) & (tl.trans(outputs) < N)
    tl.store(out_ptr + rows * N + tl.trans(outputs), acc, mask=inside)


def matmul_mxfp4(x: Tensor, x_scale: Tensor, w: Tensor, w_scale: Tensor) -> Tensor:
    """Multiply two matrices kept in MXFP4: codes of 4 bits, and a power of two per 32
    of a row.

    E2M1's codes 0 to 7 are 0, ½, 1, 1½, 2, 3, 4, 6; 8 to 15 the same with a minus. A
    scale, E8M0, is a byte s for 2^(s − 127).

    Args:
        x: (M, K / 2) uint8, K a multiple of 32. Byte j has element 2j in its low four
            bits, 2j + 1 in its high four.
        x_scale: (M, K / 32) uint8. Element k of row m has the scale
            x_scale[m, k // 32].
        w, w_scale: the same, of (N, K).
    Returns:
        (M, N) float32: x times the transposed w. A byte of x is loaded at most once per
        16 columns of the result, and a byte of w once per 16 rows. Only the result
        is stored.

    Edge cases ★
        A scale of 255 is NaN, and so is each result that it takes part in.
    """
    (M, half), N = x.shape, len(w)
    out = torch.empty(M, N)
    grid = (triton.cdiv(M, 16), triton.cdiv(N, 16))
    _mxfp4_kernel[grid](x, x_scale, w, w_scale, out, M, N, 2 * half, BM=16, BN=16)
    return out


def candidates(
    configs: Sequence[Config],
    M: int,
    N: int,
    K: int,
    itemsize: int,
    shared: int = 101_376,
    registers: int = 255,
) -> list[Config]:
    """Choose the configurations that can run a product (M, K) times (K, N), best first.
    Plain Python.

    Three kinds are left out: those whose tiles in flight, `stages` times both operands'
    tiles, exceed `shared` bytes; those whose result's tile has more numbers than the
    program has registers; and those with a side that is longer than its dimension
    rounded up to a power of two, and to 16.

    Args:
        configs: in any order.
        M, N, K: sizes.
        itemsize: bytes per number of the operands.
        shared: bytes of shared memory that a program may take.
        registers: numbers that one thread can hold. A warp has 32 threads.
    Returns:
        Those with the least traffic come first: each number of the left operand is
        loaded once per column of tiles, and each of the right one once per row of
        tiles. Equal ones come in any order.
    """

    def fits(c: Config) -> bool:
        sides = zip((c.bm, c.bn, c.bk), (M, N, K))
        return (
            c.stages * (c.bm + c.bn) * c.bk * itemsize <= shared
            and c.bm * c.bn <= registers * 32 * c.warps
            and all(
                side <= max(16, triton.next_power_of_2(size)) for side, size in sides
            )
        )

    def moved(c: Config) -> int:
        return M * K * triton.cdiv(N, c.bn) + K * N * triton.cdiv(M, c.bm)

    return sorted(filter(fits, configs), key=moved)


class Tuner:
    """Find the cheapest configuration by trying each of them, once per key, and keep
    what was found.

    Args:
        run: `run(config, *args)` launches kernels, as `product` does.
        configs: what there is to choose from, of which at least one can run.
        measure: `measure(call)` runs `call()`, perhaps many times, and returns its
            cost, such as seconds.
    """

    def __init__(
        self,
        run: Callable[..., object],
        configs: Sequence[Config],
        measure: Callable[[Callable[[], object]], float],
    ):
        self.run, self.configs, self.measure = run, configs, measure
        self.best: dict[Hashable, Config] = {}

    def __call__(self, key: Hashable, outputs: Sequence[Tensor], *args: Any) -> Config:
        """Run with the cheapest configuration. A new key has each configuration
        measured before.

        Args:
            key: what the choice depends on, such as the sizes.
            outputs: tensors that `run` writes to, or adds to. Each trial begins with
                them as they were given, however often `measure` runs it, and so does
                the run at the end.
            args: for `run`.
        Returns:
            the configuration. It is run once after the trials; later calls with the
            same key run it once, and measure nothing.

        Edge cases ★
            A configuration whose trial raises an error is not chosen, and outputs are
            put back after it, too.
        """
        if key not in self.best:
            self.best[key] = min(
                self.configs, key=lambda config: self._cost(config, outputs, args)
            )
        self.run(self.best[key], *args)
        return self.best[key]

    def _cost(
        self, config: Config, outputs: Sequence[Tensor], args: tuple[Any, ...]
    ) -> float:
        kept = [output.clone() for output in outputs]
        try:
            return self.measure(lambda: self.run(config, *args))
        except Exception:
            # more memory or registers than there are, and whatever else a
            # compiler refuses
            return float("inf")
        finally:
            for output, before in zip(outputs, kept):
                output.copy_(before)
