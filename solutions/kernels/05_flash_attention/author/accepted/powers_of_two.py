"""Powers of two, keys loaded transposed by their strides, the diagonal in a loop of its
own, a grid of one dimension.
"""

import math


def causal_tiles(i, block_q, block_k, T):
    last = min(i * block_q + block_q, T) - 1
    return 1 + last // block_k


@triton.jit
def _step(
    q,
    k_ptr,
    v_ptr,
    start,
    rows,
    T,
    top,
    total,
    mixed,
    MASKED: tl.constexpr,
    D: tl.constexpr,
    BK: tl.constexpr,
):
    keys, d = start + tl.arange(0, BK), tl.arange(0, D)
    k = tl.load(
        k_ptr + keys[None, :] * D + d[:, None], mask=(keys < T)[None, :], other=0.0
    )
    s = tl.dot(q, k, input_precision="ieee")
    if MASKED:
        s = tl.where(rows[:, None] >= keys[None, :], s, -float("inf"))
    else:
        s = tl.where((keys < T)[None, :], s, -float("inf"))
    now = tl.maximum(top, tl.max(s, 1))
    p = tl.exp2(s - now[:, None])
    v = tl.load(
        v_ptr + keys[:, None] * D + d[None, :], mask=(keys < T)[:, None], other=0.0
    )
    mixed = tl.dot(
        p.to(v.dtype), v, mixed * tl.exp2(top - now)[:, None], input_precision="ieee"
    )
    return now, total * tl.exp2(top - now) + tl.sum(p, 1), mixed


@triton.jit
def _attend(
    Q,
    K,
    V,
    OUT,
    L,
    T,
    factor,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BQ: tl.constexpr,
    BK: tl.constexpr,
):
    tiles = tl.cdiv(T, BQ)
    tile, head = tl.program_id(0) % tiles, tl.program_id(0) // tiles
    K += head * T * D
    V += head * T * D
    rows, d = tile * BQ + tl.arange(0, BQ), tl.arange(0, D)
    at = head * T * D + rows[:, None] * D + d[None, :]
    q = tl.load(Q + at, mask=rows[:, None] < T, other=0.0)
    q = (q * factor).to(q.dtype)
    top = tl.full([BQ], -float("inf"), tl.float32)
    total, mixed = tl.zeros([BQ], tl.float32), tl.zeros([BQ, D], tl.float32)
    seen_by_all = tile * BQ // BK * BK if CAUSAL else T
    for start in range(0, seen_by_all, BK):
        top, total, mixed = _step(
            q, K, V, start, rows, T, top, total, mixed, False, D, BK
        )
    if CAUSAL:
        for start in range(seen_by_all, tl.minimum(tile * BQ + BQ, T), BK):
            top, total, mixed = _step(
                q, K, V, start, rows, T, top, total, mixed, True, D, BK
            )
    tl.store(
        OUT + at,
        (mixed / total[:, None]).to(OUT.dtype.element_ty),
        mask=rows[:, None] < T,
    )
    tl.store(
        L + head * T + rows, (top + tl.log2(total)) * 0.6931471805599453, mask=rows < T
    )


def flash_forward(q, k, v, causal=False, block_q=16, block_k=16):
    B, H, T, D = q.shape
    out = torch.zeros_like(q)
    lse = q.new_zeros(B, H, T, dtype=torch.float32)
    factor = math.log2(math.e) / math.sqrt(D)
    programs = triton.cdiv(T, block_q) * B * H
    _attend[(programs,)](q, k, v, out, lse, T, factor, causal, D, block_q, block_k)
    return out, lse


def flash_decode_merge(outs, lses):
    weights = torch.softmax(lses, dim=0).nan_to_num(0.0)
    return torch.einsum("s...,s...d->...d", weights, outs)
