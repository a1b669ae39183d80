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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

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
        raise NotImplementedError
