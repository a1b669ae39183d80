"""Powers of two, blocks dealt out in turn, bytes as two products, scales in the loop,
integers summed without a dot.
"""

import math


@triton.jit
def _turns(
    Q, K, V, TABLE, LENGTHS, OUT, LSE, M, factor, splits,
    G: tl.constexpr, H: tl.constexpr, HK: tl.constexpr, S: tl.constexpr,
    D: tl.constexpr, LANES: tl.constexpr,
):  # fmt: skip
    part, kv, row = (
        tl.program_id(0) % splits,
        tl.program_id(0) // splits % HK,
        tl.program_id(0) // splits // HK,
    )
    g, d, s = tl.arange(0, LANES), tl.arange(0, D), tl.arange(0, S)
    q = tl.load(
        Q + row * H * D + (kv * G + g)[:, None] * D + d,
        mask=(g < G)[:, None],
        other=0.0,
    )
    q = q.to(tl.float32) * factor
    m, sums = tl.full([LANES], -1e30, tl.float32), tl.zeros([LANES], tl.float32)
    acc = tl.zeros([LANES, D], tl.float32)
    n = tl.load(LENGTHS + row)
    for i in range(part, tl.cdiv(n, S), splits):
        block = tl.load(TABLE + row * M + i).to(tl.int64)
        here = s < n - i * S
        kt = tl.load(
            K + block * S * HK * D + s[None, :] * HK * D + kv * D + d[:, None],
            mask=here[None, :],
            other=0.0,
        )
        v = tl.load(
            V + block * S * HK * D + s[:, None] * HK * D + kv * D + d[None, :],
            mask=here[:, None],
            other=0.0,
        )
        qk = (
            tl.dot(q, kt.to(tl.float32), input_precision="ieee")
            + tl.where(here, 0.0, -float("inf"))[None, :]
        )
        m_new = tl.maximum(m, tl.max(qk, 1))
        p = tl.exp2(qk - m_new[:, None])
        sums = sums * tl.exp2(m - m_new) + tl.sum(p, 1)
        acc = acc * tl.exp2(m - m_new)[:, None] + tl.sum(
            p[:, :, None] * v.to(tl.float32)[None], 1
        )
        m = m_new
    sums = tl.maximum(sums, 1e-30)
    at = (part * tl.num_programs(0) // splits // HK + row) * H + kv * G + g
    tl.store(
        OUT + at[:, None] * D + d,
        (acc / sums[:, None]).to(OUT.dtype.element_ty),
        mask=(g < G)[:, None],
    )
    tl.store(
        LSE + at,
        tl.where(n > part * S, (m + tl.log2(sums)) * 0.6931471805599453, -float("inf")),
        mask=g < G,
    )


def _parts(q, k_pool, v_pool, block_table, lengths, splits):
    B, H, D = q.shape
    _, S, HK, _ = k_pool.shape
    outs, lses = (
        q.new_empty(splits, B, H, D),
        q.new_empty(splits, B, H, dtype=torch.float32),
    )
    _turns[(B * HK * splits,)](
        q, k_pool, v_pool, block_table, lengths, outs, lses, block_table.shape[1],
        math.log2(math.e) / math.sqrt(D),
        splits, H // HK, H, HK, S, D, triton.next_power_of_2(H // HK),
    )  # fmt: skip
    return outs, lses


def paged_attention_split(q, k_pool, v_pool, block_table, lengths, splits=2):
    return flash_decode_merge(*_parts(q, k_pool, v_pool, block_table, lengths, splits))


@triton.jit
def _round(W, CODES, SCALE, K, BLOCK: tl.constexpr):
    row, at = tl.program_id(0), tl.arange(0, BLOCK)
    w = tl.load(W + row * K + at, mask=at < K, other=0.0).to(tl.float32)
    top = tl.maximum(tl.max(w, 0), -tl.min(w, 0))
    codes = w * (127 / tl.maximum(top, 1e-30))
    codes = tl.where(codes < 0, codes - 0.5, codes + 0.5).to(tl.int8)  # towards zero
    tl.store(CODES + row * K + at, codes, mask=at < K)
    tl.store(SCALE + row, tl.where(top > 0, top / 127, 1.0))


def quantise_rows(w):
    codes, scale = torch.zeros(w.shape, dtype=torch.int8), torch.zeros(len(w))
    _round[(len(w),)](w, codes, scale, w.shape[1], triton.next_power_of_2(w.shape[1]))
    return codes, scale


@triton.jit
def _bytes(
    X, W, SCALE, OUT, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    m, n, k = (
        tl.program_id(1) * BM + tl.arange(0, BM),
        tl.program_id(0) * BN + tl.arange(0, BN),
        tl.arange(0, BK),
    )
    scale = tl.load(SCALE + n, mask=n < N, other=0.0)
    acc = tl.zeros([BM, BN], tl.float32)
    while tl.min(k) < K:
        x = tl.load(
            X + m[:, None] * K + k[None, :],
            mask=(m < M)[:, None] & (k < K)[None, :],
            other=0.0,
        )
        w = tl.load(
            W + n[None, :] * K + k[:, None],
            mask=(n < N)[None, :] & (k < K)[:, None],
            other=0,
        )
        acc = tl.dot(x.to(tl.float32), w * scale[None, :], acc, input_precision="ieee")
        k += BK
    tl.store(
        OUT + m[:, None] * N + n[None, :],
        acc.to(X.dtype.element_ty),
        mask=(m < M)[:, None] & (n < N)[None, :],
    )


def matmul_int8(x, w, scale):
    out = x.new_empty(x.shape[0], w.shape[0])
    _bytes[(triton.cdiv(w.shape[0], 32), triton.cdiv(x.shape[0], 16))](
        x, w, scale, out, *out.shape, w.shape[1], 16, 32, 16
    )
    return out


@triton.jit
def _halves(
    X, W, SCALE, OUT, M, N, K, SIZE: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr
):
    m, n, j = (
        tl.program_id(0) * BM + tl.arange(0, BM),
        tl.program_id(1) * BN + tl.arange(0, BN),
        tl.arange(0, SIZE // 2),
    )
    rows, columns = (m < M)[:, None], (n < N)[:, None]
    acc = tl.zeros([BM, BN], tl.float32)
    for start in range(0, K // 2, SIZE // 2):
        w = tl.load(W + n[:, None] * (K // 2) + start + j, mask=columns, other=0).to(
            tl.int8, bitcast=True
        )
        low, high = (w << 4) >> 4, w >> 4  # of a signed byte: the sign is carried along
        even = tl.load(X + m[:, None] * K + 2 * (start + j), mask=rows, other=0.0).to(
            tl.float32
        )
        odd = tl.load(
            X + m[:, None] * K + 2 * (start + j) + 1, mask=rows, other=0.0
        ).to(tl.float32)
        both = tl.dot(even, tl.trans(low.to(tl.float32)), input_precision="ieee")
        both += tl.dot(odd, tl.trans(high.to(tl.float32)), input_precision="ieee")
        acc += (
            both
            * tl.load(
                SCALE + n * (K // SIZE) + 2 * start // SIZE, mask=n < N, other=0.0
            )[None, :]
        )
    tl.store(
        OUT + m[:, None] * N + n[None, :],
        acc.to(X.dtype.element_ty),
        mask=rows & (n < N)[None, :],
    )


def matmul_int4(x, packed, scale, group_size):
    (M, K), N = x.shape, packed.shape[0]
    out = torch.zeros((M, N), dtype=x.dtype)
    _halves[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        x, packed, scale, out, M, N, K, group_size, 16, 16
    )
    return out


@triton.jit
def _sums(
    X, XS, W, WS, OUT, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr
):
    m, n = (
        tl.program_id(0) * BM + tl.arange(0, BM),
        tl.program_id(1) * BN + tl.arange(0, BN),
    )
    acc = tl.zeros([BM, BN], tl.int32)
    for start in range(0, K, BK):
        k = start + tl.arange(0, BK)
        x = tl.load(
            X + m[:, None] * K + k[None, :],
            mask=(m[:, None] < M) & (k[None, :] < K),
            other=0,
        ).to(tl.int32)
        w = tl.load(
            W + n[:, None] * K + k[None, :],
            mask=(n[:, None] < N) & (k[None, :] < K),
            other=0,
        ).to(tl.int32)
        acc += tl.sum(x[:, None, :] * w[None, :, :], axis=2)
    scales = (
        tl.load(XS + m, mask=m < M, other=0.0)[:, None]
        * tl.load(WS + n, mask=n < N, other=0.0)[None, :]
    )
    tl.store(
        OUT + m[:, None] * N + n[None, :],
        acc.to(tl.float32) * scales,
        mask=(m[:, None] < M) & (n[None, :] < N),
    )


def matmul_w8a8(x, w, scale):
    (M, K), N = x.shape, w.shape[0]
    out = torch.empty(M, N)
    _sums[(triton.cdiv(M, 16), triton.cdiv(N, 16))](
        *quantise_rows(x), w, scale, out, M, N, K, 16, 16, 64
    )
    return out
