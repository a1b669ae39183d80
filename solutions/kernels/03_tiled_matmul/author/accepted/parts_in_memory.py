"""Parts of K interleaved and summed by a second kernel, an order by counting down, a
tile of b that is loaded transposed.
"""


@triton.jit
def _dot_kernel(
    a_ptr, b_ptr, out_ptr, M, N, K, am, ak, bk, bn, SPLITS: tl.constexpr,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
):  # fmt: skip
    m = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    n = tl.program_id(1) * BN + tl.arange(0, BN)[:, None]
    split = tl.program_id(2)
    acc = tl.zeros((BM, BN), tl.float32)
    for start in range(split * BK, K, SPLITS * BK):
        k = (start + tl.arange(0, BK))[None, :]
        a = tl.load(a_ptr + m * am + k * ak, mask=(m < M) & (k < K), other=0)
        b = tl.load(b_ptr + n * bn + k * bk, mask=(n < N) & (k < K), other=0)
        acc += tl.dot(
            a.to(tl.float32), tl.trans(b).to(tl.float32), input_precision="ieee"
        )
    n = tl.trans(n)
    tl.store(out_ptr + (split * M + m) * N + n, acc, mask=(m < M) & (n < N))


@triton.jit
def _sum_kernel(parts_ptr, out_ptr, count, SPLITS: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for split in range(SPLITS):
        total += tl.load(parts_ptr + split * count + at, mask=at < count, other=0.0)
    tl.store(out_ptr + at, total, mask=at < count)


def _parts(a, b, splits, block, dtype=torch.float32):
    (M, K), (_, N) = a.shape, b.shape
    parts = torch.empty(splits, M, N, dtype=dtype)
    grid = (-(-M // block[0]), -(-N // block[1]), splits)
    _dot_kernel[grid](a, b, parts, M, N, K, *a.stride(), *b.stride(), splits, *block)
    return parts


def matmul(a, b, block=(16, 16, 16)):
    if a.shape[1] != b.shape[0]:
        raise ValueError(f"a has {a.shape[1]} columns, b has {b.shape[0]} rows")
    return _parts(a, b, 1, block)[0]


def matmul_half(a, b, block=(16, 16, 16)):
    return _parts(a, b, 1, block, torch.float16)[0]


def split_k(a, b, splits=4, block=(16, 16, 16)):
    parts = _parts(a, b, splits, block)
    out = torch.empty(parts.shape[1:])
    _sum_kernel[(triton.cdiv(out.numel(), 256),)](
        parts, out, out.numel(), splits, BLOCK=256
    )
    return out


def grouped_order(pid, num_m, num_n, group):
    top = 0
    while pid >= min(group, num_m - top) * num_n:
        pid -= min(group, num_m - top) * num_n
        top += group
    column, row = divmod(pid, min(group, num_m - top))
    return top + row, column
