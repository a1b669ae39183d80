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
    """
    return triton.cdiv(min((i + 1) * block_q, T), block_k)


@triton.jit
def _scores(q, k, rows, keys, T, scale, CAUSAL: tl.constexpr):
    """The scaled scores of two tiles, and −∞ for keys that a row does not see."""
    scores = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    seen = keys[None, :] < T
    if CAUSAL:
        seen = seen & (keys[None, :] <= rows[:, None])
    return tl.where(seen, scores, float("-inf"))


@triton.jit
def _forward_kernel(
    q_ptr, k_ptr, v_ptr, out_ptr, lse_ptr, T, scale,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tile, first = tl.program_id(0), tl.program_id(1) * T  # of this head
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    features = tl.arange(0, D)[None, :]
    q = tl.load(q_ptr + (first + rows[:, None]) * D + features, mask=rows[:, None] < T)
    top = tl.full((BLOCK_Q,), float("-inf"), tl.float32)
    total = tl.zeros((BLOCK_Q,), tl.float32)
    mixed = tl.zeros((BLOCK_Q, D), tl.float32)
    end = tl.minimum((tile + 1) * BLOCK_Q, T) if CAUSAL else T
    for start in range(0, end, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        at = (first + keys[:, None]) * D + features
        k = tl.load(k_ptr + at, mask=keys[:, None] < T)
        v = tl.load(v_ptr + at, mask=keys[:, None] < T, other=0.0)
        scores = _scores(q, k, rows, keys, T, scale, CAUSAL)
        now = tl.maximum(top, tl.max(scores, axis=1))
        fade = tl.exp(top - now)
        weights = tl.exp(scores - now[:, None])
        total = total * fade + tl.sum(weights, axis=1)
        mixed = mixed * fade[:, None] + tl.dot(weights, v, input_precision="ieee")
        top = now
    out = mixed / total[:, None]
    tl.store(
        out_ptr + (first + rows[:, None]) * D + features, out, mask=rows[:, None] < T
    )
    tl.store(lse_ptr + first + rows, top + tl.log(total), mask=rows < T)


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
    """
    B, H, T, D = q.shape
    out, lse = torch.empty_like(q), torch.empty(B, H, T)
    grid = (triton.cdiv(T, block_q), B * H)
    _forward_kernel[grid](
        q,
        k,
        v,
        out,
        lse,
        T,
        D**-0.5,
        CAUSAL=causal,
        D=D,
        BLOCK_Q=block_q,
        BLOCK_K=block_k,
    )
    return out, lse


def flash_decode_merge(outs: Tensor, lses: Tensor) -> Tensor:
    """Put attention over all keys together from parts, each over some of the keys.
    Plain PyTorch, no kernel.
    """
    lse = lses.logsumexp(0)
    weights = (lses - lse).exp()
    return (weights.unsqueeze(-1) * outs).sum(0)


@triton.jit
def _delta_kernel(
    out_ptr, dout_ptr, delta_ptr, n, D: tl.constexpr, BLOCK: tl.constexpr
):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    at = rows[:, None] * D + tl.arange(0, D)[None, :]
    out = tl.load(out_ptr + at, mask=rows[:, None] < n)
    dout = tl.load(dout_ptr + at, mask=rows[:, None] < n)
    tl.store(delta_ptr + rows, tl.sum(out * dout, axis=1), mask=rows < n)


def flash_delta(out: Tensor, dout: Tensor) -> Tensor:
    """Compute what the gradient of a softmax subtracts, per query: Σ_D out · dout, in
    a kernel.
    """
    B, H, T, D = out.shape
    delta = torch.empty(B, H, T, device=out.device)
    _delta_kernel[(triton.cdiv(B * H * T, 16),)](
        out, dout, delta, B * H * T, D=D, BLOCK=16
    )
    return delta


@triton.jit
def _dkdv_kernel(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, delta_ptr, dk_ptr, dv_ptr, T, scale,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tile, first = tl.program_id(0), tl.program_id(1) * T
    keys = tile * BLOCK_K + tl.arange(0, BLOCK_K)
    features = tl.arange(0, D)[None, :]
    own = (first + keys[:, None]) * D + features
    k = tl.load(k_ptr + own, mask=keys[:, None] < T)
    v = tl.load(v_ptr + own, mask=keys[:, None] < T)
    dk = tl.zeros((BLOCK_K, D), tl.float32)
    dv = tl.zeros((BLOCK_K, D), tl.float32)
    begin = tile * BLOCK_K // BLOCK_Q * BLOCK_Q if CAUSAL else 0
    for start in range(begin, T, BLOCK_Q):
        rows = start + tl.arange(0, BLOCK_Q)
        at = (first + rows[:, None]) * D + features
        q = tl.load(q_ptr + at, mask=rows[:, None] < T, other=0.0)
        dout = tl.load(dout_ptr + at, mask=rows[:, None] < T, other=0.0)
        lse = tl.load(lse_ptr + first + rows, mask=rows < T, other=0.0)
        delta = tl.load(delta_ptr + first + rows, mask=rows < T, other=0.0)
        p = tl.exp(_scores(q, k, rows, keys, T, scale, CAUSAL) - lse[:, None])
        dv += tl.dot(tl.trans(p), dout, input_precision="ieee")
        ds = p * (tl.dot(dout, tl.trans(v), input_precision="ieee") - delta[:, None])
        dk += tl.dot(tl.trans(ds), q, input_precision="ieee") * scale
    tl.store(dk_ptr + own, dk, mask=keys[:, None] < T)
    tl.store(dv_ptr + own, dv, mask=keys[:, None] < T)


def flash_dkdv(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, lse: Tensor, delta: Tensor,
    causal: bool, block_q: int = 16, block_k: int = 16,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Compute the gradients of the keys and the values. A program owns a tile of keys,
    and goes over tiles of queries.
    """
    B, H, T, D = q.shape
    dk, dv = torch.empty_like(k), torch.empty_like(v)
    grid = (triton.cdiv(T, block_k), B * H)
    _dkdv_kernel[grid](
        q,
        k,
        v,
        dout,
        lse,
        delta,
        dk,
        dv,
        T,
        D**-0.5,
        CAUSAL=causal,
        D=D,
        BLOCK_Q=block_q,
        BLOCK_K=block_k,
    )
    return dk, dv


@triton.jit
def _dq_kernel(
    q_ptr, k_ptr, v_ptr, dout_ptr, lse_ptr, delta_ptr, dq_ptr, T, scale,
    CAUSAL: tl.constexpr, D: tl.constexpr, BLOCK_Q: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    tile, first = tl.program_id(0), tl.program_id(1) * T
    rows = tile * BLOCK_Q + tl.arange(0, BLOCK_Q)
    features = tl.arange(0, D)[None, :]
    own = (first + rows[:, None]) * D + features
    q = tl.load(q_ptr + own, mask=rows[:, None] < T)
    dout = tl.load(dout_ptr + own, mask=rows[:, None] < T)
    lse = tl.load(lse_ptr + first + rows, mask=rows < T)
    delta = tl.load(delta_ptr + first + rows, mask=rows < T)
    dq = tl.zeros((BLOCK_Q, D), tl.float32)
    end = tl.minimum((tile + 1) * BLOCK_Q, T) if CAUSAL else T
    for start in range(0, end, BLOCK_K):
        keys = start + tl.arange(0, BLOCK_K)
        at = (first + keys[:, None]) * D + features
        k = tl.load(k_ptr + at, mask=keys[:, None] < T, other=0.0)
        v = tl.load(v_ptr + at, mask=keys[:, None] < T, other=0.0)
        p = tl.exp(_scores(q, k, rows, keys, T, scale, CAUSAL) - lse[:, None])
        ds = p * (tl.dot(dout, tl.trans(v), input_precision="ieee") - delta[:, None])
        dq += tl.dot(ds, k, input_precision="ieee") * scale
    tl.store(dq_ptr + own, dq, mask=rows[:, None] < T)


def flash_dq(
    q: Tensor, k: Tensor, v: Tensor, dout: Tensor, lse: Tensor, delta: Tensor,
    causal: bool, block_q: int = 16, block_k: int = 16,
) -> Tensor:  # fmt: skip
    """Compute the gradient of the queries. A program owns a tile of queries, and goes
    over tiles of keys.
    """
    B, H, T, D = q.shape
    dq = torch.empty_like(q)
    grid = (triton.cdiv(T, block_q), B * H)
    _dq_kernel[grid](
        q,
        k,
        v,
        dout,
        lse,
        delta,
        dq,
        T,
        D**-0.5,
        CAUSAL=causal,
        D=D,
        BLOCK_Q=block_q,
        BLOCK_K=block_k,
    )
    return dq


class FlashAttention(torch.autograd.Function):
    """Attention with a gradient, of the functions above:
    `FlashAttention.apply(q, k, v, causal)`.
    """

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
        """Attend, and keep what the gradient needs."""
        out, lse = flash_forward(q, k, v, causal)
        ctx.save_for_backward(q, k, v, out, lse)
        ctx.causal = causal
        return out

    @staticmethod
    def backward(ctx, dout: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Compute the gradients of q, k and v, and None for causal."""
        q, k, v, out, lse = ctx.saved_tensors
        delta = flash_delta(out, dout)
        dk, dv = flash_dkdv(q, k, v, dout, lse, delta, ctx.causal)
        return flash_dq(q, k, v, dout, lse, delta, ctx.causal), dk, dv, None
