"""FlashAttention: a kernel keeps a tile of queries, goes over the keys tile by tile,
and writes no score to memory.
"""

import torch
from torch import Tensor

from grader.kernels import tl, triton


@triton.jit
def scores_kernel(
    q_ptr, k_ptr, scores_ptr, T, scale, D: tl.constexpr, BLOCK: tl.constexpr
):
    head, features = tl.program_id(1), tl.arange(0, D)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    q = tl.load(
        q_ptr + (head * T + rows[:, None]) * D + features[None, :],
        mask=rows[:, None] < T,
        other=0.0,
    )
    for start in range(0, T, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        k = tl.load(
            k_ptr + (head * T + keys[:, None]) * D + features[None, :],
            mask=keys[:, None] < T,
            other=0.0,
        )
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        inside = (rows[:, None] < T) & (keys[None, :] < T)
        tl.store(
            scores_ptr + (head * T + rows[:, None]) * T + keys[None, :],
            scores,
            mask=inside,
        )


@triton.jit
def softmax_kernel(scores_ptr, weights_ptr, T, BLOCK: tl.constexpr):
    at, columns = tl.program_id(0) * T + tl.arange(0, BLOCK), tl.arange(0, BLOCK)
    scores = tl.load(scores_ptr + at, mask=columns < T, other=float("-inf"))
    weights = tl.exp(scores - tl.max(scores, axis=0))
    tl.store(weights_ptr + at, weights / tl.sum(weights, axis=0), mask=columns < T)


@triton.jit
def mixture_kernel(
    weights_ptr, v_ptr, out_ptr, T, D: tl.constexpr, BLOCK: tl.constexpr
):
    head, features = tl.program_id(1), tl.arange(0, D)
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mixed = tl.zeros((BLOCK, D), tl.float32)
    for start in range(0, T, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        inside = (rows[:, None] < T) & (keys[None, :] < T)
        weights = tl.load(
            weights_ptr + (head * T + rows[:, None]) * T + keys[None, :],
            mask=inside,
            other=0.0,
        )
        v = tl.load(
            v_ptr + (head * T + keys[:, None]) * D + features[None, :],
            mask=keys[:, None] < T,
            other=0.0,
        )
        mixed += tl.dot(weights, v, input_precision="ieee")
    tl.store(
        out_ptr + (head * T + rows[:, None]) * D + features[None, :],
        mixed,
        mask=rows[:, None] < T,
    )


def three_kernels(q: Tensor, k: Tensor, v: Tensor, block: int = 16) -> Tensor:
    """Attention with the scores and their softmax in memory, (B, H, T, T) each: the
    worked example, not causal.
    """
    B, H, T, D = q.shape
    scores, weights, out = (
        torch.empty(B, H, T, T),
        torch.empty(B, H, T, T),
        torch.empty_like(q),
    )
    tiles = (triton.cdiv(T, block), B * H)  # one program per tile of queries and head
    scores_kernel[tiles](q, k, scores, T, D**-0.5, D=D, BLOCK=block)
    softmax_kernel[(B * H * T,)](scores, weights, T, BLOCK=triton.next_power_of_2(T))
    mixture_kernel[tiles](weights, v, out, T, D=D, BLOCK=block)
    return out


def causal_tiles(i: int, block_q: int, block_k: int, T: int) -> int:
    """Count the tiles of keys that a tile of queries needs if no query looks ahead:
    where `flash_forward`'s loop ends.

    Plain Python. Tiles of keys that come after all queries of tile i are left out, and
    so is what comes after T.

    Args:
        i: the number of a tile of queries. Its queries are i · block_q to
            (i + 1) · block_q − 1, those below T.
        block_q, block_k: queries and keys per tile.
        T: how many queries, and keys, there are.
    Returns:
        With 16 of both, tile 2 needs 3 tiles. With block_k = 32 it needs 2.
    """
    raise NotImplementedError


def flash_forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    causal: bool = False,
    block_q: int = 16,
    block_k: int = 16,
) -> tuple[Tensor, Tensor]:
    """Attention in one launch, without scores in memory: write it for
    `causal=False` first.

    A program owns a tile of queries. It goes over the tiles of keys once, and keeps
    three things per query: the largest score so far, the sum of exp(score − largest),
    and the mixture of values with these weights. When the largest grows, the other two
    are scaled down. Scores are q · k / √D.

    Args:
        q, k, v: (B, H, T, D), contiguous. T is any length, D 16, 32 or 64.
        causal: whether key j counts for query i only if j ≤ i. Tiles that are all
            future are not loaded.
        block_q, block_k: rows per tile of queries and of keys.
    Returns:
        out (B, H, T, D), and lse (B, H, T) in float32: log Σ_j exp(score_j) per query.

    Edge cases ★
        float16: tiles are multiplied as they are, sums are kept in float32, and out has
        q's dtype.
        Scores near −20,000 count as others do.
        A GPU's compiler takes the kernel, and its products keep float32:
        `tl.dot(…, input_precision="ieee")`.
    """
    raise NotImplementedError


def flash_decode_merge(outs: Tensor, lses: Tensor) -> Tensor:
    """Put attention over all keys together from parts, each over some of the keys.
    Plain PyTorch, no kernel.

    Σ_s exp(lse_s − lse) · out_s, where lse is that of all keys: parts are weighed by
    their sums of exponentials.

    Args:
        outs: (S, …, D): the result of each of S parts for the same queries.
        lses: (S, …). A part without keys has −∞, and its out is finite and does
            not count.
    Returns:
        (…, D).

    Edge cases ★
        A query that no part has a key for gets zeros.
    """
    raise NotImplementedError


def flash_delta(out: Tensor, dout: Tensor) -> Tensor:
    """Compute what the gradient of a softmax subtracts, per query: Σ_D out · dout, in
    a kernel.

    Args:
        out, dout: (B, H, T, D), contiguous: a result and its gradient.
    Returns:
        (B, H, T). Each number of out and dout is loaded once.
    """
    raise NotImplementedError


def flash_dkdv(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, lse: Tensor, delta: Tensor,
    causal: bool, block_q: int = 16, block_k: int = 16,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the gradients of the keys and the values. A program owns a tile of keys,
    and goes over tiles of queries.

    For each tile of queries, loaded once, the scores are computed again, and from them:
    p = exp(score − lse), 0 where a key is not seen; dv += pᵀ dout; ds = p · (dout
    vᵀ − delta); dk += dsᵀ q / √D.

    Args:
        q, k, v, dout: (B, H, T, D), contiguous; dout is the gradient of out.
        lse, delta: (B, H, T), as `flash_forward` and `flash_delta` return them.
        causal: as in `flash_forward`. Queries that see none of the tile's keys are
            not loaded.
        block_q, block_k: rows per tile of queries and of keys.
    Returns:
        dk and dv, both (B, H, T, D), by ceil(T / block_k) programs per head.
    """
    raise NotImplementedError


def flash_dq(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, lse: Tensor, delta: Tensor,
    causal: bool, block_q: int = 16, block_k: int = 16,
) -> Tensor:  # fmt: skip
    """Compute the gradient of the queries. A program owns a tile of queries, and goes
    over tiles of keys once.

    ds as in `flash_dkdv`; dq += ds k / √D.

    Args:
        q, k, v, dout, lse, delta, causal, block_q, block_k: as in `flash_dkdv`.
    Returns:
        (B, H, T, D), by ceil(T / block_q) programs per head. Tiles that are all future
        are not loaded.
    """
    raise NotImplementedError


class FlashAttention(torch.autograd.Function):
    """Attention with a gradient, of the functions above:
    `FlashAttention.apply(q, k, v, causal)`.

    `ctx.save_for_backward` keeps q, k, v, out and lse, and nothing of size T × T. Each
    call has a `ctx` of its own.

    Edge cases ★
        q, k and v may be views, such as heads split from features. The gradient that
        arrives may be an expanded number, as that of a sum is.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """Attend, and keep what the gradient needs.

        Returns:
            out, (B, H, T, D).
        """
        raise NotImplementedError

    @staticmethod
    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Compute the gradients of q, k and v, and None for causal."""
        raise NotImplementedError
