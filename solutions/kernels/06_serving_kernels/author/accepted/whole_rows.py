"""A loop over tokens' blocks with while, pointers that move, all inputs of a tile at
once, x rounded inside the product.
"""


@triton.jit
def _decode(
    Q,
    K,
    V,
    TABLE,
    LENGTHS,
    OUT,
    M,
    rsqrt,
    G,
    HK,
    S: tl.constexpr,
    D: tl.constexpr,
    R: tl.constexpr,
):
    b, kv = tl.program_id(1), tl.program_id(0)
    r, d, s = tl.arange(0, R)[:, None], tl.arange(0, D), tl.arange(0, S)
    Q += (b * HK + kv) * G * D
    OUT += (b * HK + kv) * G * D
    TABLE += b * M
    length = tl.load(LENGTHS + b)
    q = tl.load(Q + r * D + d[None, :], mask=r < G, other=0.0).to(tl.float32) * rsqrt
    top, total, out = (
        tl.full([R], float("-inf"), tl.float32),
        tl.zeros([R], tl.float32),
        tl.zeros([R, D], tl.float32),
    )
    left = length
    while left > 0:
        inside = s < left
        base = ((tl.load(TABLE) * S + s) * HK + kv)[:, None] * D + d[None, :]
        k = tl.load(K + base, mask=inside[:, None], other=0.0).to(tl.float32)
        v = tl.load(V + base, mask=inside[:, None], other=0.0).to(tl.float32)
        score = tl.where(
            inside[None, :], tl.sum(q[:, None, :] * k[None, :, :], 2), float("-inf")
        )
        before, top = top, tl.maximum(top, tl.max(score, 1))
        p = tl.exp(score - top[:, None])
        total = total * tl.exp(before - top) + tl.sum(p, 1)
        out = out * tl.exp(before - top)[:, None] + tl.sum(
            p[:, :, None] * v[None, :, :], 1
        )
        TABLE += 1
        left -= S
    out = tl.where(length > 0, out / total[:, None], 0.0)
    tl.store(OUT + r * D + d[None, :], out.to(OUT.dtype.element_ty), mask=r < G)


def paged_attention(q, k_pool, v_pool, block_table, lengths):
    B, H, D = q.shape
    S, HK = k_pool.shape[1:3]
    out = torch.zeros_like(q)
    R = triton.next_power_of_2(H // HK)
    _decode[(HK, B)](
        q,
        k_pool,
        v_pool,
        block_table,
        lengths,
        out,
        block_table.stride(0),
        D**-0.5,
        H // HK,
        HK,
        S=S,
        D=D,
        R=R,
    )
    return out


@triton.jit
def _all_inputs(
    X,
    W,
    SCALE,
    OUT,
    M,
    N,
    K,
    FOUR: tl.constexpr,
    SIZE: tl.constexpr,
    R: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A program has 16 rows of x and 8 outputs, over all K numbers at once: BLOCK
    of them.
    """
    m, n = (
        tl.program_id(0) * R + tl.arange(0, R)[:, None],
        tl.program_id(1) * 8 + tl.arange(0, 8),
    )
    k = tl.arange(0, BLOCK)[None, :]
    x = tl.load(X + m * K + k, mask=(m < M) & (k < K), other=0.0).to(tl.float32)
    if FOUR:
        j = tl.arange(0, BLOCK // 2)[None, :]
        w = tl.load(
            W + n[:, None] * (K // 2) + j, mask=(n[:, None] < N) & (j < K // 2), other=0
        )
        w = tl.reshape(tl.join(w & 0xF, w >> 4), (8, BLOCK)).to(tl.int32)
        w = ((w ^ 8) - 8).to(tl.float32)
        g = tl.arange(0, BLOCK // SIZE)[None, :]
        scale = tl.load(
            SCALE + n[:, None] * (K // SIZE) + g,
            mask=(n[:, None] < N) & (g < K // SIZE),
            other=0.0,
        )
        w = tl.reshape(
            tl.reshape(w, (8, BLOCK // SIZE, SIZE)) * scale[:, :, None], (8, BLOCK)
        )
    else:
        w = tl.load(
            W + n[:, None] * K + k, mask=(n[:, None] < N) & (k < K), other=0
        ).to(tl.float32)
        w = w * tl.load(SCALE + n, mask=n < N, other=0.0)[:, None]
    out = tl.sum(x[:, None, :] * w[None, :, :], axis=2)
    tl.store(
        OUT + m * N + n[None, :],
        out.to(OUT.dtype.element_ty),
        mask=(m < M) & (n[None, :] < N),
    )


def _whole(x, w, scale, four, size):
    (M, K), N = x.shape, w.shape[0]
    out = torch.empty(M, N, dtype=x.dtype)
    grid = (triton.cdiv(M, 16), triton.cdiv(N, 8))
    _all_inputs[grid](
        x,
        w,
        scale,
        out,
        M,
        N,
        K,
        FOUR=four,
        SIZE=size,
        R=16,
        BLOCK=triton.next_power_of_2(K),
    )
    return out


def matmul_int8(x, w, scale):
    return _whole(x, w, scale, False, 1)


def matmul_int4(x, packed, scale, group_size):
    return _whole(x, packed, scale, True, group_size)


@triton.jit
def _fused(X, W, SCALE, OUT, M, N, K, BLOCK: tl.constexpr):
    """x is rounded in registers, by every program anew."""
    m, n, k = (
        tl.program_id(0) * 16 + tl.arange(0, 16),
        tl.program_id(1) * 16 + tl.arange(0, 16),
        tl.arange(0, BLOCK),
    )
    x = tl.load(
        X + m[:, None] * K + k[None, :],
        mask=(m[:, None] < M) & (k[None, :] < K),
        other=0.0,
    )
    top = tl.max(tl.abs(x), axis=1)
    step = tl.where(top > 0, top / 127.0, 1.0)
    codes = tl.floor(x / step[:, None] + 0.5).to(tl.int8)
    w = tl.load(
        W + n[None, :] * K + k[:, None],
        mask=(n[None, :] < N) & (k[:, None] < K),
        other=0,
    )
    sums = tl.dot(codes, w, out_dtype=tl.int32).to(tl.float32)
    scale = tl.load(SCALE + n, mask=n < N, other=0.0)
    out = sums * step[:, None] * scale[None, :]
    tl.store(
        OUT + m[:, None] * N + n[None, :], out, mask=(m[:, None] < M) & (n[None, :] < N)
    )


def matmul_w8a8(x, w, scale):
    (M, K), N = x.shape, w.shape[0]
    out = torch.empty(M, N)
    _fused[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, w, scale, out, M, N, K, triton.next_power_of_2(K)
    )
    return out
