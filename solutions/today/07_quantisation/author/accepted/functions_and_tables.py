# Loops over rows and groups, arithmetic in place of bits, a table for unpacking, an
# autograd function.


def absmax_int8(w):
    codes, scales = [], []
    for row in w:
        s = row.abs().max() / 127 if row.any() else torch.ones((), dtype=w.dtype)
        codes.append(torch.round(row / s).clamp(-127, 127).to(torch.int8))
        scales.append(s)
    return torch.stack(codes), torch.stack(scales)[:, None]


def pack_int4(q):
    assert q.shape[-1] % 2 == 0, f"an odd number: {q.shape[-1]}"
    assert q.min() >= -8 and q.max() <= 7, f"outside: {q.min()} … {q.max()}"
    pairs = q.to(torch.int32).reshape(*q.shape[:-1], -1, 2) % 16
    return (pairs[..., 0] + 16 * pairs[..., 1]).to(torch.uint8)


def unpack_int4(packed):
    nibbles = [n - 16 if n > 7 else n for n in range(16)]
    table = torch.tensor(
        [[nibbles[b % 16], nibbles[b // 16]] for b in range(256)], dtype=torch.int8
    )
    return table[packed.long()].reshape(*packed.shape[:-1], 2 * packed.shape[-1])


def absmax_int4(w, group_size):
    if w.shape[1] % group_size != 0:
        raise RuntimeError(f"{w.shape[1]} / {group_size}")
    codes, scales = [], []
    for part in w.split(group_size, dim=1):
        s = part.abs().max(dim=1, keepdim=True).values / 7
        s = s.masked_fill(s == 0, 1)
        codes.append((part / s).round().to(torch.int64))
        scales.append(s)
    return pack_int4(torch.cat(codes, 1)), torch.cat(scales, 1)


def quantised_linear(x, packed, scale, group_size, bias=None):
    codes = unpack_int4(packed).to(x.dtype)
    y = x.new_zeros(*x.shape[:-1], len(packed))
    for g in range(scale.shape[1]):
        part = slice(g * group_size, (g + 1) * group_size)
        y = y + x[..., part] @ codes[:, part].T * scale[:, g].to(x.dtype)
    return y if bias is None else y + bias


def calibrate(x, bits=8, candidates=100):
    n = 2 ** (bits - 1) - 1
    absmax = x.abs().amax()
    if not absmax:
        return torch.tensor(1.0, dtype=x.dtype)
    scales = (absmax / n * torch.arange(1, candidates + 1) / candidates).flip(0)
    flat = x.reshape(1, -1)
    rounded = (flat / scales[:, None]).round().clamp(-n, n) * scales[:, None]
    return scales[(rounded - flat).pow(2).mean(1).argmin()]


def fp8_scale(x):
    absmax = x.abs().amax().to(torch.float32)
    scale = (
        absmax / torch.finfo(torch.float8_e4m3fn).max if absmax > 0 else torch.ones(())
    )
    return torch.clamp(x / scale, -448.0, 448.0).to(torch.float8_e4m3fn), scale


class _Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, quantise):
        return quantise(w).clone()

    @staticmethod
    def backward(ctx, upstream):
        return upstream, None


def straight_through(w, quantise):
    return _Straight.apply(w, quantise)
