# Exponents by frexp and from float32's own bits, dequantised operands in one batched
# product, a recursive rotation.


def decode(codes, fmt):
    bits = codes.to(torch.int32)
    width = fmt.exp_bits + fmt.man_bits
    negative = (bits >> width) & 1 if fmt.signed else torch.zeros_like(bits)
    bits = bits & ((1 << width) - 1)
    e, m = (
        torch.div(bits, 2**fmt.man_bits, rounding_mode="floor"),
        bits % 2**fmt.man_bits,
    )
    normal = (e > 0) | (fmt.man_bits == 0)
    whole = torch.where(normal, m + 2**fmt.man_bits, m).double()
    power = torch.where(normal, e, torch.ones_like(e)) - fmt.bias - fmt.man_bits
    x = whole * torch.pow(2.0, power.double())
    x = x.masked_fill(x > fmt.largest, float("inf"))
    if fmt.nan is not None:
        x = x.masked_fill(bits >= fmt.nan, float("nan"))
    return (x * (1 - 2 * negative)).float()


def spacing(x, fmt):
    _, e = torch.frexp(x)
    e = torch.where(x == 0, 1 - fmt.bias, e - 1).clamp(min=1 - fmt.bias)
    return e, torch.pow(2.0, e - fmt.man_bits)


def encode(x, fmt):
    size = torch.clamp(torch.abs(x.double()), max=fmt.largest)
    e, step = spacing(size, fmt)
    code = torch.round(size / step) + (e - (1 - fmt.bias)) * (1 << fmt.man_bits)
    code = code.nan_to_num(fmt.nan or 0).int()
    return (code | ((x < 0).int() << (fmt.exp_bits + fmt.man_bits))).to(torch.uint8)


def round_stochastically(x, fmt, u):
    _, step = spacing(x, fmt)
    lower = torch.floor(x / step)
    return (lower + (x / step - lower + u >= 1).float()) * step


def float32_exponent(x):
    return ((x.contiguous().view(torch.int32) >> 23) & 255) - 127


def quantise_mx(x, fmt, block=32, clip=False, u=None):
    if x.size(-1) % block != 0:
        raise ValueError(f"K = {x.size(-1)} in blocks of {block}")
    shape = x.shape
    x = x.reshape(*shape[:-1], shape[-1] // block, block)
    amax = x.abs().max(dim=-1).values
    if clip:
        e = float32_exponent(amax) - float32_exponent(torch.tensor(fmt.largest))
    else:
        ratio = amax / fmt.largest
        e = float32_exponent(ratio)
        e = e + (ratio > 2.0 ** e.double()).int()
    e = torch.where(amax > 0, e, 0).clamp(-127, 127)
    x = (x * 2.0 ** (-e[..., None].double())).float().reshape(shape)
    if u is not None:
        x = round_stochastically(x, fmt, u)
    return Blocks(
        codes=encode(x, fmt), scales=(e + 127).to(torch.uint8), fmt=fmt, scale_fmt=E8M0
    )


def quantise_nvfp4(x, block=16, u=None):
    if x.size(-1) % block != 0:
        raise ValueError(f"K = {x.size(-1)} in blocks of {block}")
    x = x.unflatten(-1, (-1, block))
    amax = x.abs().amax(-1)
    whole = (amax.max() / (6.0 * 448.0)).float()
    whole = torch.where(whole > 0, whole, torch.ones_like(whole))
    scales = encode(amax / (6.0 * whole), E4M3)
    inverse = 1.0 / whole / decode(scales, E4M3)
    inverse = torch.where(scales == 0, 0.0, inverse)
    x = (x * inverse[..., None]).flatten(-2)
    if u is not None:
        x = round_stochastically(x, E2M1, u)
    return Blocks(encode(x, E2M1), scales, E2M1, E4M3, whole)


def scaled_matmul(a, b, counts):
    counts = torch.tensor(counts)
    assert counts.sum() == len(a.codes), f"{counts.tolist()} for {len(a.codes)} rows"
    group = torch.repeat_interleave(torch.arange(len(counts)), counts)
    return torch.bmm(b.values()[group], a.values().unsqueeze(-1)).squeeze(-1)


def hadamard(x):
    def unscaled(x):
        if x.size(-1) == 1:
            return x
        if x.size(-1) % 2:
            raise ValueError(f"{n} is not a power of 2")
        first, second = x.chunk(2, dim=-1)
        return torch.cat([unscaled(first + second), unscaled(first - second)], dim=-1)

    n = x.size(-1)
    return unscaled(x) * n**-0.5


class LowPrecisionLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, rounding):
        ctx.x, ctx.w, ctx.rounding = x.detach(), w.detach(), rounding
        return torch.nn.functional.linear(rounding(x, "x"), rounding(w, "w"))

    @staticmethod
    def backward(ctx, g):
        r, grads = ctx.rounding, [None, None, None]
        if ctx.needs_input_grad[0]:
            grads[0] = torch.nn.functional.linear(
                r(g, "grad"), r(ctx.w.t().contiguous(), "w")
            )
        if ctx.needs_input_grad[1]:
            grads[1] = torch.nn.functional.linear(
                r(g.t().contiguous(), "grad"), r(ctx.x.t().contiguous(), "x")
            )
        return tuple(grads)
