"""Rows and columns that wrap around, pointers that move, a product that takes its sum
along, one grid for all.
"""


@triton.jit
def _wrapped(
    A, B, C, M, N, K, am, ak, bk, bn, bias, SILU: tl.constexpr, GROUP: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    pid = tl.program_id(axis=0)
    tiles_m, tiles_n = tl.cdiv(M, BM), tl.cdiv(N, BN)
    in_group = GROUP * tiles_n
    first = pid // in_group * GROUP
    size = min(tiles_m - first, GROUP)
    tile_m = first + (pid % in_group) % size
    tile_n = (pid % in_group) // size
    rows = (tile_m * BM + tl.arange(0, BM)) % M
    cols = (tile_n * BN + tl.arange(0, BN)) % N
    k = tl.arange(0, BK)
    a_ptrs = A + rows[:, None] * am + k[None, :] * ak
    b_ptrs = B + k[:, None] * bk + cols[None, :] * bn
    total = tl.zeros((BM, BN), dtype=tl.float32)
    for step in range(0, tl.cdiv(K, BK)):
        left = K - step * BK
        a = tl.load(a_ptrs, mask=k[None, :] < left, other=0.0)
        b = tl.load(b_ptrs, mask=k[:, None] < left, other=0.0)
        total = tl.dot(a, b, total, input_precision="ieee")
        a_ptrs += BK * ak
        b_ptrs += BK * bk
    rows, cols = tile_m * BM + tl.arange(0, BM), tile_n * BN + tl.arange(0, BN)
    if bias is not None:
        total += tl.load(bias + cols, mask=cols < N)[None, :]
    if SILU:
        total = total / (1 + tl.exp(-total))
    tl.store(
        C + N * rows[:, None] + cols[None, :],
        total,
        mask=(rows[:, None] < M) & (cols[None, :] < N),
    )


def _launch(a, b, block, group=1, bias=None, silu=False):
    (M, K), N = a.shape, b.shape[1]
    c = a.new_zeros(M, N)
    grid = lambda meta: (triton.cdiv(M, meta["BM"]) * triton.cdiv(N, meta["BN"]),)
    BM, BN, BK = block
    _wrapped[grid](
        a,
        b,
        c,
        M,
        N,
        K,
        *a.stride(),
        *b.stride(),
        bias,
        silu,
        group,
        BM=BM,
        BN=BN,
        BK=BK,
    )
    return c


def matmul(a, b, block=(16, 16, 16)):
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"{tuple(a.shape)} @ {tuple(b.shape)}")
    return _launch(a, b, block)


def matmul_half(a, b, block=(16, 16, 16)):
    return _launch(a, b, block)


def linear(x, weight, bias=None, activation=None, block=(16, 16, 16)):
    if activation is not None and activation != "silu":
        raise ValueError(f"unknown activation: {activation}")
    return _launch(x, weight.T, block, bias=bias, silu=activation == "silu")


def matmul_grouped(a, b, block=(16, 16, 16), group=4):
    return _launch(a, b, block, group)
