"""Powers of two, a root that is ready made, a maximum with its place, and sums of lines
by recursion.
"""

LOG2_E = 1.4426950408889634


@triton.jit
def _softmax2(x_ptr, out_ptr, stride, N, LOG2_E: tl.constexpr, BLOCK: tl.constexpr):
    x_ptr += tl.program_id(0) * stride
    out_ptr += tl.program_id(0) * N
    cols = tl.arange(0, BLOCK)
    mask = cols < N
    x = tl.load(x_ptr + cols, mask=mask, other=float("-inf")).to(tl.float32) * LOG2_E
    x -= tl.max(x, axis=0)
    p = tl.exp2(x)
    tl.store(out_ptr + cols, p / tl.sum(p, axis=0), mask=mask)


def softmax(x):
    M, N = x.shape
    out = x.new_empty((M, N))
    _softmax2[(M,)](x, out, x.stride(0), N, LOG2_E, BLOCK=triton.next_power_of_2(N))
    return out


@triton.jit
def _rms(x_ptr, w_ptr, y_ptr, rstd_ptr, N: tl.constexpr, eps, BLOCK: tl.constexpr):
    row, cols = tl.program_id(0), tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * N + cols, mask=cols < N, other=0.0).to(tl.float32)
    rstd = tl.rsqrt(tl.sum(x * x, axis=0) * (1 / N) + eps)
    tl.store(rstd_ptr + row, rstd)
    w = tl.load(w_ptr + cols, mask=cols < N)
    tl.store(y_ptr + row * N + cols, x * rstd * w.to(tl.float32), mask=cols < N)


def rms_norm(x, weight, eps=1e-5):
    y = torch.zeros_like(x)
    rstd = torch.zeros(len(x), dtype=torch.float32)
    _rms[(len(x),)](
        x, weight, y, rstd, x.shape[1], eps, triton.next_power_of_2(x.shape[1])
    )
    return y, rstd


@triton.jit
def _lse2(x_ptr, out_ptr, stride, N, LOG2_E: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    m = -1e30
    s = 0.0
    for start in range(0, tl.cdiv(N, BLOCK)):
        cols = start * BLOCK + tl.arange(0, BLOCK)
        x = (
            tl.load(x_ptr + row * stride + cols, mask=cols < N, other=float("-inf"))
            * LOG2_E
        )
        m_new = tl.maximum(m, tl.max(x, 0))
        s = s * tl.exp2(m - m_new) + tl.sum(tl.exp2(x - m_new), 0)
        m = m_new
    tl.store(out_ptr + row, (m + tl.log2(s)) / LOG2_E)


def logsumexp(x, block=32):
    out = x.new_empty(x.shape[0])
    _lse2[(x.shape[0],)](x, out, x.stride(0), x.shape[1], LOG2_E, BLOCK=block)
    return out


@triton.jit
def _places(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    best, index = tl.max(tl.load(x_ptr + row * stride + tl.arange(0, 1))), 0
    for start in range(1, N, BLOCK):
        cols = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * stride + cols, mask=cols < N, other=float("-inf"))
        value, place = tl.max(x, axis=0, return_indices=True)
        if value > best:
            best, index = value, start + place
    tl.store(out_ptr + row, index)


def argmax(x, block=32):
    out = torch.empty(x.shape[0], dtype=torch.long)
    _places[(x.shape[0],)](x, out, x.stride(0), x.shape[1], BLOCK=block)
    return out


@triton.jit
def _lines(x_ptr, out_ptr, M, N, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    cols = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for r in range(ROWS):
        row = tl.program_id(1) * ROWS + r
        total += tl.load(x_ptr + row * N + cols, mask=(cols < N) & (row < M), other=0.0)
    tl.store(out_ptr + tl.program_id(1) * N + cols, total, mask=cols < N)


def column_sum(x, rows=16, block=32):
    M, N = x.shape
    if M == 0:
        return torch.zeros(N)
    lines = -(-M // rows)
    out = torch.empty((lines, N))
    _lines[(triton.cdiv(N, block), lines)](x, out, M, N, ROWS=rows, BLOCK=block)
    return out[0] if lines == 1 else column_sum(out, rows, block)
