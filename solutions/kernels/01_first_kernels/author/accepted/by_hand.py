"""Pointers that move, a sigmoid written out, division by a ceiling in Python, and rows
copied block by block.
"""


@triton.jit
def _view(x_ptr, out_ptr, M, N, stride_m, stride_n, B: tl.constexpr):
    rows = tl.program_id(1) * B + tl.arange(0, B)
    cols = tl.program_id(0) * B + tl.arange(0, B)
    ptrs = x_ptr + rows[:, None] * stride_m + cols[None, :] * stride_n
    mask = (rows[:, None] < M) & (cols[None, :] < N)
    out_ptr += rows[:, None] * N + cols[None, :]
    tl.store(out_ptr, tl.load(ptrs, mask=mask, other=0), mask=mask)


def to_contiguous(x, block=16):
    M, N = x.shape
    out = x.new_empty((M, N))
    _view[(-(-N // block), -(-M // block))](x, out, M, N, *x.stride(), B=block)
    return out


@triton.jit
def _silu(g):
    return g / (1.0 + tl.exp(-g))


@triton.jit
def _gated(gate_ptr, up_ptr, out_ptr, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    g = tl.load(gate_ptr + at, mask=at < n, other=0.0).to(tl.float32)
    u = tl.load(up_ptr + at, mask=at < n, other=0.0).to(tl.float32)
    tl.store(out_ptr + at, _silu(g) * u, mask=at < n)


def swiglu(gate, up, block=128):
    out = torch.empty_like(gate)
    _gated[((gate.numel() + block - 1) // block,)](gate, up, out, gate.numel(), block)
    return out


@triton.jit
def _dropped(x_ptr, out_ptr, n, p, seed, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + at, mask=at < n, other=0.0)
    out = tl.where(tl.rand(seed, at) < p, 0.0, x / (1 - p))
    tl.store(out_ptr + at, out, mask=at < n)


def dropout(x, p, seed, block=128):
    out = torch.empty_like(x)
    _dropped[(triton.cdiv(x.numel(), block),)](x, out, x.numel(), p, seed, BLOCK=block)
    return out


@triton.jit
def _rows(x_ptr, index_ptr, out_ptr, N, BLOCK: tl.constexpr):
    r = tl.program_id(0)
    x_ptr += tl.load(index_ptr + r) * N
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        tl.store(out_ptr + r * N + at, tl.load(x_ptr + at, mask=at < N), mask=at < N)


def gather_rows(x, index):
    out = torch.empty(index.numel(), x.shape[1])
    _rows[(index.numel(),)](x, index, out, x.shape[1], BLOCK=16)
    return out
