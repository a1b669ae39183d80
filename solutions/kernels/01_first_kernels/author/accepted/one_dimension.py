"""A grid of one dimension over tiles, sizes known when the kernel is built, and a mask
that is made again.
"""


@triton.jit
def _sums(x_ptr, y_ptr, out_ptr, n: tl.constexpr, BLOCK: tl.constexpr):
    start = tl.program_id(axis=0) * BLOCK
    offsets = start + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets, mask=offsets < n, other=0.0)
    x += tl.load(y_ptr + offsets, mask=offsets < n, other=0.0)
    tl.store(out_ptr + offsets, x, mask=offsets < n)


def add(x, y, block=64):
    assert x.shape == y.shape, (x.shape, y.shape)
    out = torch.zeros_like(x)
    grid = lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)
    _sums[grid](x, y, out, n=x.numel(), BLOCK=block)
    return out


@triton.jit
def _tile(x_ptr, y_ptr, out_ptr, M, N, BM: tl.constexpr, BN: tl.constexpr):
    across = tl.cdiv(N, BN)
    i = tl.program_id(0) // across * BM + tl.arange(0, BM)
    j = tl.program_id(0) % across * BN + tl.arange(0, BN)
    x = tl.load(x_ptr + i, mask=i < M, other=0.0)
    y = tl.load(y_ptr + j, mask=j < N, other=0.0)
    tl.store(
        out_ptr + (i * N)[:, None] + j,
        x[:, None] + y[None],
        mask=(i < M)[:, None] & (j < N)[None],
    )


def outer_add(x, y, block_m=16, block_n=32):
    M, N = x.shape[0], y.shape[0]
    out = x.new_empty((M, N))
    _tile[(triton.cdiv(M, block_m) * triton.cdiv(N, block_n),)](
        x, y, out, M, N, block_m, block_n
    )
    return out


@triton.jit
def _again(grad_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    grad = tl.load(grad_ptr + at, mask=at < n, other=0.0)
    kept = (tl.rand(seed, at) >= p).to(tl.float32)
    tl.store(out_ptr + at, grad * kept * (1.0 / (1.0 - p)), mask=at < n)


def dropout_backward(grad, p, seed, block=128):
    out = torch.empty_like(grad)
    _again[(triton.cdiv(grad.numel(), block),)](
        grad, out, grad.numel(), p, seed, BLOCK=block
    )
    return out
