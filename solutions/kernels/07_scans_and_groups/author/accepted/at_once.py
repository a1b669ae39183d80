"""The carry put into the first step, states transposed, ranks by comparing, tiles
sought by number, scales as bits.
"""


@triton.jit
def _sum_of_block(x_ptr, sums_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(
        sums_ptr + 1 + tl.program_id(0),
        tl.sum(tl.load(x_ptr + at, mask=at < n, other=0), 0),
    )


@triton.jit
def _scan_of_sums(sums_ptr, begins_ptr, c, BLOCK: tl.constexpr):
    carry = tl.load(sums_ptr)  # a 0
    for start in range(0, c, BLOCK):
        at = start + tl.arange(0, BLOCK)
        sums = tl.load(sums_ptr + at, mask=at < c, other=0)
        tl.store(begins_ptr + at, carry + tl.cumsum(sums, 0), mask=at < c)
        carry += tl.sum(sums, 0)


@triton.jit
def _block_from_begin(x_ptr, begins_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0)
    tl.store(
        out_ptr + at,
        tl.cumsum(x, 0) + tl.load(begins_ptr + tl.program_id(0)),
        mask=at < n,
    )


def prefix_sum(x, block=64):
    (n,), c = x.shape, triton.cdiv(x.shape[0], block)
    sums, begins = torch.zeros(c + 1, dtype=x.dtype), torch.empty(c, dtype=x.dtype)
    out = torch.empty(n, dtype=x.dtype)
    if n:
        _sum_of_block[(c,)](x, sums, n, BLOCK=block)
        _scan_of_sums[(1,)](sums, begins, c, BLOCK=block)
        _block_from_begin[(c,)](x, begins, out, n, BLOCK=block)
    return out


@triton.jit
def _maps(a1, b1, a2, b2):
    return a2 * a1, a2 * b1 + b2


@triton.jit
def _carried(a_ptr, b_ptr, h_ptr, T, N, BT: tl.constexpr, BN: tl.constexpr):
    """The carry is part of the first step's b."""
    t, n = tl.arange(0, BT), tl.program_id(0) * BN + tl.arange(0, BN)
    carry = tl.zeros((BN,), tl.float32)
    for start in range(0, tl.cdiv(T, BT)):
        at = (start * BT + t[:, None]) * N + n[None, :]
        mask = (start * BT + t[:, None] < T) & (n[None, :] < N)
        a = tl.load(a_ptr + at, mask, other=1.0).to(tl.float32)
        b = tl.load(b_ptr + at, mask, other=0.0).to(tl.float32)
        b += tl.where(t[:, None] == 0, a * carry[None, :], 0.0)
        _, h = tl.associative_scan((a, b), axis=0, combine_fn=_maps)
        tl.store(h_ptr + at, h.to(h_ptr.dtype.element_ty), mask)
        carry = tl.sum(h * (t == BT - 1).to(tl.float32)[:, None], 0)


def linear_recurrence(a, b, block_t=16, block_n=16):
    (T, N), h = a.shape, torch.zeros_like(b)
    _carried[(triton.cdiv(N, block_n),)](a, b, h, T, N, block_t, block_n)
    return h


@triton.jit
def _tiles_of_rows(x_ptr, offsets_ptr, out_ptr, N, BN: tl.constexpr):
    e, n = tl.program_id(1), tl.program_id(0) * BN + tl.arange(0, BN)
    ends = tl.load(offsets_ptr + e + tl.arange(0, 2))
    begin, end = tl.min(ends), tl.max(ends)
    kept = tl.zeros((8, BN), tl.float32)
    for i in range(tl.cdiv(end - begin, 8)):
        m = begin + i * 8 + tl.arange(0, 8)
        kept += tl.load(
            x_ptr + m[:, None] * N + n[None, :],
            (m[:, None] < end) & (n[None, :] < N),
            other=0.0,
        )
    tl.store(out_ptr + e * N + n, tl.sum(kept, 0).to(out_ptr.dtype.element_ty), n < N)


def segmented_sum(x, offsets, block_n=32):
    N, E = x.shape[1], offsets.shape[0] - 1
    out = torch.zeros(E, N, dtype=x.dtype)
    _tiles_of_rows[(triton.cdiv(N, block_n), E)](x, offsets, out, N, block_n)
    return out


@triton.jit
def _transposed(
    Q, K, V, G, OUT, T, H, DK: tl.constexpr, DV: tl.constexpr, C: tl.constexpr
):
    """The state is (V, K), and keys are loaded transposed."""
    base = tl.program_id(1) * H + tl.program_id(0)
    Q, K, V, OUT, G = (
        Q + base * T * DK,
        K + base * T * DK,
        V + base * T * DV,
        OUT + base * T * DV,
        G + base * T,
    )
    t, i, j = tl.arange(0, C), tl.arange(0, DK), tl.arange(0, DV)
    state = tl.zeros((DV, DK), tl.float32)
    for start in range(0, T, C):
        s = start + t
        q = tl.load(Q + s[:, None] * DK + i[None, :], s[:, None] < T, other=0.0).to(
            tl.float32
        )
        kt = tl.load(K + s[None, :] * DK + i[:, None], s[None, :] < T, other=0.0).to(
            tl.float32
        )
        v = tl.load(V + s[:, None] * DV + j[None, :], s[:, None] < T, other=0.0).to(
            tl.float32
        )
        g = tl.load(G + s, s < T, other=0.0).to(tl.float32)
        # after each token, to the end
        later = tl.sum(tl.where(t[None, :] > t[:, None], g[None, :], 0.0), 1)
        since = tl.sum(tl.where(t[None, :] <= t[:, None], g[None, :], 0.0), 1)
        fade = tl.exp(tl.minimum(later[None, :] - later[:, None], 0.0))
        scores = tl.where(
            t[None, :] <= t[:, None], tl.dot(q, kt, input_precision="ieee") * fade, 0.0
        )
        read = (
            tl.dot(q, tl.trans(state), input_precision="ieee") * tl.exp(since)[:, None]
        )
        out = tl.dot(scores, v, read, input_precision="ieee")
        tl.store(
            OUT + s[:, None] * DV + j[None, :],
            out.to(OUT.dtype.element_ty),
            s[:, None] < T,
        )
        state *= tl.exp(tl.sum(g, 0))
        state += tl.dot(
            tl.trans(v), tl.trans(kt * tl.exp(later)[None, :]), input_precision="ieee"
        )


def linear_attention(q, k, v, log_decay, chunk=16):
    B, H, T, DK = q.shape
    out = v.new_empty(v.shape)
    _transposed[(H, B)](q, k, v, log_decay, out, T, H, DK, v.size(-1), chunk)
    return out


@triton.jit
def _counted(experts_ptr, counts_ptr, ranks_ptr, n, E, BLOCK: tl.constexpr):
    """Ranks within a block by comparing each choice with those before it; what a block
    has of each expert.
    """
    pid, i = tl.program_id(0), tl.arange(0, BLOCK)
    mine = tl.load(experts_ptr + pid * BLOCK + i, mask=pid * BLOCK + i < n, other=-1)
    other = tl.reshape(mine, (1, BLOCK))
    same = (mine[:, None] == other) & (i[None, :] < i[:, None])
    tl.store(
        ranks_ptr + pid * BLOCK + i,
        tl.sum(same.to(tl.int32), 1),
        mask=pid * BLOCK + i < n,
    )
    for e in range(E):
        tl.store(
            counts_ptr + e * tl.num_programs(0) + pid,
            tl.sum((mine == e).to(tl.int32), 0),
        )


@triton.jit
def _placed(
    experts_ptr, ranks_ptr, begins_ptr, places_ptr, n, blocks, BLOCK: tl.constexpr
):
    pid = tl.program_id(0)
    at = pid * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    expert = tl.load(experts_ptr + at, inside, other=0)
    begin = tl.load(begins_ptr + expert * blocks + pid, inside, other=0)
    tl.store(places_ptr + at, begin + tl.load(ranks_ptr + at, inside, other=0), inside)


def places_by_expert(experts, n_experts, block=32):
    (n,), blocks = experts.shape, triton.cdiv(experts.shape[0], block)
    ranks, places = torch.empty_like(experts), torch.empty_like(experts)
    counts = torch.zeros(n_experts, blocks, dtype=torch.int32)
    _counted[(blocks,)](experts, counts, ranks, n, n_experts, BLOCK=block)
    flat = counts.flatten()
    begins = (flat.cumsum(0) - flat).int()
    _placed[(blocks,)](experts, ranks, begins, places, n, blocks, BLOCK=block)
    return places, counts.sum(1).int()


@triton.jit
def _sought(
    x_ptr, w_ptr, offsets_ptr, out_ptr, N, K, E, GROUPS: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    """All groups' tiles are counted at once; the group of a tile is how many groups end
    before it.
    """
    e = tl.arange(0, GROUPS)
    begins = tl.load(offsets_ptr + e, mask=e < E, other=0)
    ends = tl.load(offsets_ptr + e + 1, mask=e < E, other=0)
    tiles_n = (N + BN - 1) // BN
    tiles = (ends - begins + BM - 1) // BM * tiles_n
    last = tl.cumsum(tiles, 0)
    for tile in range(tl.program_id(0), tl.sum(tiles, 0), tl.num_programs(0)):
        group = tl.sum((last <= tile).to(tl.int32), 0)
        here = e == group
        local = tile - tl.sum(tl.where(here, last - tiles, 0), 0)
        end = tl.sum(tl.where(here, ends, 0), 0)
        m = (
            tl.sum(tl.where(here, begins, 0), 0)
            + local % (tl.sum(tl.where(here, tiles, 0), 0) // tiles_n) * BM
        )
        m = m + tl.arange(0, BM)
        n = local // (tl.sum(tl.where(here, tiles, 0), 0) // tiles_n) * BN + tl.arange(
            0, BN
        )
        acc = tl.zeros((BM, BN), tl.float32)
        for k0 in range(tl.cdiv(K, BK)):
            k = k0 * BK + tl.arange(0, BK)
            x = tl.load(
                x_ptr + m[:, None] * K + k[None, :],
                (m[:, None] < end) & (k[None, :] < K),
                other=0.0,
            )
            w = tl.load(
                w_ptr + group * N * K + n[:, None] * K + k[None, :],
                (n[:, None] < N) & (k[None, :] < K),
                other=0.0,
            )
            acc += tl.dot(x, w.T, input_precision="ieee")
        out = acc.to(out_ptr.dtype.element_ty)
        tl.store(
            out_ptr + m[:, None] * N + n[None, :],
            out,
            (m[:, None] < end) & (n[None, :] < N),
        )


def grouped_matmul(x, w, offsets, programs=8, block=(16, 16, 16)):
    E, N, K = w.shape
    out = torch.empty((x.shape[0], N), dtype=x.dtype)
    _sought[(programs,)](
        x,
        w,
        offsets,
        out,
        N,
        K,
        E,
        GROUPS=triton.next_power_of_2(E),
        BM=block[0],
        BN=block[1],
        BK=block[2],
    )
    return out


@triton.jit
def _from_bits(codes):
    """E2M1 by comparing: twice its size is 0, 1, 2, 3, 4, 6, 8, 12."""
    low = codes & 7
    double = tl.where(low < 5, low, tl.where(low == 5, 6, tl.where(low == 6, 8, 12)))
    return tl.where(codes >= 8, -double, double).to(tl.float32) * 0.5


@triton.jit
def _factor(scale):
    bits = tl.where(scale == 255, 0x7FC00000, tl.maximum(scale << 23, 1 << 22))
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _pairs(
    x_ptr,
    xs_ptr,
    w_ptr,
    ws_ptr,
    out_ptr,
    M,
    N,
    HALF,
    BM: tl.constexpr,
    BN: tl.constexpr,
):
    """The low halves of x with those of w, and the high ones with the high ones; both
    scales after the block's sum.
    """
    m, n, j = (
        tl.program_id(0) * BM + tl.arange(0, BM),
        tl.program_id(1) * BN + tl.arange(0, BN),
        tl.arange(0, 16),
    )
    acc = tl.zeros((BM, BN), tl.float32)
    for block in range(HALF // 16):
        x = tl.load(
            x_ptr + m[:, None] * HALF + block * 16 + j[None, :], m[:, None] < M, other=0
        ).to(tl.int32)
        w = tl.load(
            w_ptr + n[:, None] * HALF + block * 16 + j[None, :], n[:, None] < N, other=0
        ).to(tl.int32)
        dots = tl.dot(
            _from_bits(x & 15), tl.trans(_from_bits(w & 15)), input_precision="ieee"
        )
        dots += tl.dot(
            _from_bits(x >> 4), tl.trans(_from_bits(w >> 4)), input_precision="ieee"
        )
        xs = tl.load(xs_ptr + m * (HALF // 16) + block, m < M, other=0).to(tl.int32)
        ws = tl.load(ws_ptr + n * (HALF // 16) + block, n < N, other=0).to(tl.int32)
        acc += dots * _factor(xs)[:, None] * _factor(ws)[None, :]
    tl.store(
        out_ptr + m[:, None] * N + n[None, :], acc, (m[:, None] < M) & (n[None, :] < N)
    )


def matmul_mxfp4(x, x_scale, w, w_scale):
    (M, half), N = x.shape, w.shape[0]
    out = torch.zeros(M, N)
    _pairs[(triton.cdiv(M, 32), triton.cdiv(N, 16))](
        x, x_scale, w, w_scale, out, M, N, half, 32, 16
    )
    return out


def candidates(configs, M, N, K, itemsize, shared=101_376, registers=255):
    def possible(c):
        fits = (
            c.stages * itemsize * c.bk * (c.bm + c.bn) <= shared
            and c.bm * c.bn <= 32 * c.warps * registers
        )
        return fits and all(
            b <= 16 or b < 2 * size for b, size in ((c.bm, M), (c.bn, N), (c.bk, K))
        )

    kept = [c for c in configs if possible(c)]
    kept.sort(key=lambda c: -(-N // c.bn) * M * K + -(-M // c.bm) * N * K + M * N)
    return kept


class Tuner:
    def __init__(self, run, configs, measure):
        self.run, self.configs, self.measure, self.found = (
            run,
            list(configs),
            measure,
            {},
        )

    def __call__(self, key, outputs, *args):
        config = self.found.get(key)
        if config is None:
            costs = [
                self._try(config, [out.clone() for out in outputs], outputs, args)
                for config in self.configs
            ]
            config = self.found[key] = self.configs[costs.index(min(costs))]
        self.run(config, *args)
        return config

    def _try(self, config, kept, outputs, args):
        def call():
            for out, was in zip(outputs, kept):
                out.copy_(was)
            self.run(config, *args)

        try:
            return self.measure(call)
        except Exception:
            return float("inf")
        finally:
            for out, was in zip(outputs, kept):
                out.copy_(was)
