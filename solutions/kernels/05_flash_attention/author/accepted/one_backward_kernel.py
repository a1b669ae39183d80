"""Scores transposed, features never transposed back, queries from the first key on, and
a backward kernel with atomics.
"""


@triton.jit
def _row_kernel(out_ptr, dout_ptr, delta_ptr, D: tl.constexpr):
    at = tl.program_id(0) * D + tl.arange(0, D)
    tl.store(
        delta_ptr + tl.program_id(0),
        tl.sum(tl.load(out_ptr + at) * tl.load(dout_ptr + at), 0),
    )


def flash_delta(out, dout):
    delta = out.new_empty(out.shape[:-1])
    _row_kernel[(delta.numel(),)](out, dout, delta, D=out.shape[-1])
    return delta


@triton.jit
def _backward(
    Q, K, V, DO, LSE, DELTA, DQ, DK, DV, T, scale,
    CAUSAL: tl.constexpr, ATOMIC: tl.constexpr, D: tl.constexpr, BQ: tl.constexpr,
    BK: tl.constexpr,
):  # fmt: skip
    keys, d = tl.program_id(0) * BK + tl.arange(0, BK), tl.arange(0, D)
    base = tl.program_id(1) * T
    own = base * D + keys[:, None] * D + d
    k = tl.load(K + own, mask=keys[:, None] < T, other=0.0) * scale
    v = tl.load(V + own, mask=keys[:, None] < T, other=0.0)
    dk, dv = tl.zeros([BK, D], tl.float32), tl.zeros([BK, D], tl.float32)
    for start in range(tl.program_id(0) * BK if CAUSAL else 0, T, BQ):
        rows = start + tl.arange(0, BQ)
        at = base * D + rows[:, None] * D + d
        q = tl.load(Q + at, mask=rows[:, None] < T, other=0.0)
        do = tl.load(DO + at, mask=rows[:, None] < T, other=0.0)
        lse = tl.load(LSE + base + rows, mask=rows < T, other=float("inf"))
        delta = tl.load(DELTA + base + rows, mask=rows < T, other=0.0)
        pt = tl.exp(tl.dot(k, tl.trans(q), input_precision="ieee") - lse[None, :])
        if CAUSAL:
            pt = tl.where(keys[:, None] <= rows[None, :], pt, 0.0)
        dv = tl.dot(pt, do, dv, input_precision="ieee")
        dst = pt * (tl.dot(v, tl.trans(do), input_precision="ieee") - delta[None, :])
        dk = tl.dot(dst, q, dk, input_precision="ieee")
        if ATOMIC:
            tl.atomic_add(
                DQ + at,
                tl.dot(tl.trans(dst), k, input_precision="ieee"),
                mask=rows[:, None] < T,
            )
    tl.store(DK + own, dk * scale, mask=keys[:, None] < T)
    tl.store(DV + own, dv, mask=keys[:, None] < T)


def flash_dkdv(q, k, v, dout, lse, delta, causal, block_q=16, block_k=16):
    B, H, T, D = q.shape
    dk, dv = torch.zeros_like(k), torch.zeros_like(v)
    grid = (triton.cdiv(T, block_k), B * H)
    _backward[grid](
        q,
        k,
        v,
        dout,
        lse,
        delta,
        dk,
        dk,
        dv,
        T,
        D**-0.5,
        causal,
        False,
        D,
        block_q,
        block_k,
    )
    return dk, dv


@triton.jit
def _queries(
    Q,
    K,
    V,
    DO,
    LSE,
    DELTA,
    DQ,
    T,
    CAUSAL: tl.constexpr,
    D: tl.constexpr,
    BQ: tl.constexpr,
    BK: tl.constexpr,
):
    rows, d = tl.program_id(1) * BQ + tl.arange(0, BQ), tl.arange(0, D)
    base = tl.program_id(0) * T
    at = (base + rows)[:, None] * D + d[None, :]
    inside = rows < T
    scale = 1.0 / D**0.5
    q, do = (
        tl.load(Q + at, inside[:, None], 0.0) * scale,
        tl.load(DO + at, inside[:, None], 0.0),
    )
    lse, delta = (
        tl.load(LSE + base + rows, inside, 0.0),
        tl.load(DELTA + base + rows, inside, 0.0),
    )
    dq = tl.zeros([BQ, D], tl.float32)
    start = 0
    while (start < T) & ((start <= tl.program_id(1) * BQ + BQ - 1) | (not CAUSAL)):
        keys = start + tl.arange(0, BK)
        to = (base + keys)[None, :] * D + d[:, None]
        kt = tl.load(K + to, (keys < T)[None, :], 0.0)
        vt = tl.load(V + to, (keys < T)[None, :], 0.0)
        s = tl.dot(q, kt, input_precision="ieee")
        if CAUSAL:
            s = tl.where(keys[None, :] <= rows[:, None], s, float("-inf"))
        ds = tl.exp(s - lse[:, None]) * (
            tl.dot(do, vt, input_precision="ieee") - delta[:, None]
        )
        dq += tl.dot(ds, tl.trans(kt), input_precision="ieee")
        start += BK
    tl.store(DQ + at, dq * scale, inside[:, None])


def flash_dq(q, k, v, dout, lse, delta, causal, block_q=16, block_k=16):
    B, H, T, D = q.shape
    dq = torch.empty(B, H, T, D)
    _queries[(B * H, triton.cdiv(T, block_q))](
        q, k, v, dout, lse, delta, dq, T, causal, D, block_q, block_k
    )
    return dq


class FlashAttention(torch.autograd.Function):
    @staticmethod
    def forward(q, k, v, causal):
        out, lse = flash_forward(q.contiguous(), k.contiguous(), v.contiguous(), causal)
        return out, lse

    @staticmethod
    def setup_context(ctx, inputs, output):
        q, k, v, ctx.causal = inputs
        ctx.save_for_backward(q.contiguous(), k.contiguous(), v.contiguous(), *output)
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    def backward(ctx, dout, _):
        q, k, v, out, lse = ctx.saved_tensors
        dout = dout.contiguous()
        B, H, T, D = q.shape
        dq, dk, dv = torch.zeros_like(q), torch.empty_like(k), torch.empty_like(v)
        delta = flash_delta(out, dout)
        grid = (triton.cdiv(T, 16), B * H)
        _backward[grid](
            q,
            k,
            v,
            dout,
            lse,
            delta,
            dq,
            dk,
            dv,
            T,
            D**-0.5,
            ctx.causal,
            True,
            D,
            16,
            16,
        )
        return dq, dk, dv, None

    @classmethod
    def apply(cls, q, k, v, causal):
        return super().apply(q, k, v, causal)[0]
