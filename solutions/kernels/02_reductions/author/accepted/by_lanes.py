"""A helper of one's own in the kernel, a running maximum per lane, a row that stays in
registers, a variance measured from the first number.
"""


@triton.jit
def _shares(x):
    e = tl.exp(x - tl.max(x, axis=0))
    return e / tl.sum(e, axis=0)


@triton.jit
def _rowwise(x_ptr, out_ptr, stride_x, stride_out, N, BLOCK: tl.constexpr):
    row = tl.program_id(axis=0).to(tl.int64)
    offsets = tl.arange(0, BLOCK)
    x = tl.load(x_ptr + row * stride_x + offsets, mask=offsets < N, other=-float("inf"))
    y = _shares(x.to(tl.float32))
    tl.store(out_ptr + row * stride_out + offsets, y, mask=offsets < N)


def softmax(x):
    out = torch.zeros(x.shape, dtype=x.dtype)
    BLOCK = triton.next_power_of_2(x.shape[1])
    _rowwise[lambda meta: (x.shape[0],)](
        x, out, x.stride(0), out.stride(0), x.shape[1], BLOCK=BLOCK
    )
    return out


@triton.jit
def _normed(x_ptr, w_ptr, b_ptr, out_ptr, N, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    at = tl.arange(0, BLOCK)
    real = at < N
    x = tl.load(x_ptr + row * N + at, mask=real, other=0.0)
    # measured from the row's first number, nothing large is left
    first = tl.sum(tl.where(at == 0, x, 0.0))
    x = tl.where(real, x - first, 0.0)
    mean = tl.sum(x) / N
    variance = tl.sum(x * x) / N - mean * mean
    y = (x - mean) * tl.rsqrt(variance + eps)
    w, b = tl.load(w_ptr + at, mask=real), tl.load(b_ptr + at, mask=real)
    tl.store(out_ptr + row * N + at, y * w + b, mask=real)


def layer_norm(x, weight, bias, eps=1e-5):
    out = torch.empty_like(x)
    _normed[(len(x),)](
        x, weight, bias, out, x.shape[1], eps, triton.next_power_of_2(x.shape[1])
    )
    return out


@triton.jit
def _tops(x_ptr, N, BLOCK: tl.constexpr):
    """Top and total of a row: each lane has its own until the end."""
    at = tl.arange(0, BLOCK)
    top = tl.full([BLOCK], -float("inf"), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, N, BLOCK):
        x = tl.load(x_ptr + start + at, mask=start + at < N, other=-float("inf"))
        now = tl.maximum(top, x)
        total = tl.where(
            x == -float("inf"), total, total * tl.exp(top - now) + tl.exp(x - now)
        )
        top = now
    whole = tl.max(top)
    return whole, tl.sum(
        tl.where(top == -float("inf"), 0.0, total * tl.exp(top - whole))
    )


@triton.jit
def _lse(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    top, total = _tops(x_ptr + tl.program_id(0) * stride, N, BLOCK)
    tl.store(out_ptr + tl.program_id(0), tl.log(total) + top)


def logsumexp(x, block=32):
    out = torch.empty(len(x))
    _lse[(len(x),)](x, out, x.stride(0), x.shape[1], block)
    return out


@triton.jit
def _long(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):
    x_ptr, out_ptr = x_ptr + tl.program_id(0) * stride, out_ptr + tl.program_id(0) * N
    top, total = _tops(x_ptr, N, BLOCK)
    log_total = top + tl.log(total)
    for start in range(0, N, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + at, mask=at < N)
        tl.store(out_ptr + at, tl.exp(x - log_total), mask=at < N)


def softmax_long(x, block=32):
    if x.shape[1] <= block:
        return softmax(x)
    out = torch.empty(x.shape)
    _long[(len(x),)](x, out, x.stride(0), x.shape[1], block)
    return out
