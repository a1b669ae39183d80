# Tables of all codes, a search among them, a dense rotation, loops over groups
# and blocks.


def table_of(fmt):
    values = []
    for code in range(2 ** (fmt.signed + fmt.exp_bits + fmt.man_bits)):
        plain = code % 2 ** (fmt.exp_bits + fmt.man_bits)
        e, m = divmod(plain, 2**fmt.man_bits)
        if fmt.man_bits and e == 0:
            value = m * 2.0 ** (1 - fmt.bias - fmt.man_bits)
        else:
            value = (2**fmt.man_bits + m) * 2.0 ** (e - fmt.bias - fmt.man_bits)
        if fmt.nan is not None and plain >= fmt.nan:
            value = math.nan
        elif value > fmt.largest:
            value = math.inf
        values.append(value if plain == code else -value)
    return torch.tensor(values, dtype=torch.float32)


def positive(fmt):
    half = table_of(fmt)[: 2 ** (fmt.exp_bits + fmt.man_bits)]
    return half[half.isfinite()]


def decode(codes, fmt):
    return table_of(fmt)[codes.long()]


def encode(x, fmt):
    grid = positive(fmt)
    size = x.abs()
    above = torch.searchsorted(grid, size.contiguous()).clamp(max=len(grid) - 1)
    below = (above - 1).clamp(min=0)
    to_above, to_below = (grid[above] - size).abs(), (size - grid[below]).abs()
    tie = torch.where(above % 2 == 0, above, below)
    code = torch.where(
        to_above < to_below, above, torch.where(to_above > to_below, below, tie)
    )
    code = torch.where(size >= grid[-1], len(grid) - 1, code)
    code = torch.where(
        torch.signbit(x), code + 2 ** (fmt.exp_bits + fmt.man_bits), code
    )
    if fmt.nan is not None:
        code[x.isnan()] = fmt.nan
    return code.byte()


def round_stochastically(x, fmt, u):
    grid = positive(fmt)
    grid = torch.cat([-grid.flip(0), grid[1:]])
    high = torch.searchsorted(grid, x.contiguous()).clamp(1, len(grid) - 1)
    lower, upper = grid[high - 1], grid[high]
    chance = (x - lower) / (upper - lower)
    return torch.where(u >= 1 - chance, upper, lower)


def quantise_mx(x, fmt, block=32, clip=False, u=None):
    if x.shape[-1] % block:
        raise ValueError(f"{block} does not divide {x.shape[-1]}")
    rows = x.reshape(-1, block)
    exponents = []
    for row in rows:
        amax = row.abs().max().item()
        if amax == 0:
            exponents.append(0)
        elif clip:
            exponents.append(math.frexp(amax)[1] - math.frexp(fmt.largest)[1])
        else:
            mantissa, exponent = math.frexp(amax / fmt.largest)
            exponents.append(exponent - (mantissa == 0.5))
    exponents = torch.tensor(exponents).clamp(min=-127)
    scaled = (rows / (2.0 ** exponents.float())[:, None]).reshape(x.shape)
    if u is not None:
        scaled = round_stochastically(scaled.clamp(-fmt.largest, fmt.largest), fmt, u)
    scales = (exponents + 127).byte().reshape(*x.shape[:-1], -1)
    return Blocks(encode(scaled, fmt), scales, fmt, E8M0)


def quantise_nvfp4(x, block=16, u=None):
    assert x.shape[-1] % block == 0, f"{x.shape[-1]} % {block}"
    rows = x.reshape(-1, block)
    whole = (x.abs().max() / 6 / 448).item() or 1.0
    scales = (rows.abs().amax(1) / whole / 6).clamp(max=448).to(torch.float8_e4m3fn)
    factor = scales.float() * whole
    scaled = (
        rows / torch.where(factor > 0, factor, torch.ones_like(factor))[:, None]
    ).reshape(x.shape)
    if u is not None:
        scaled = round_stochastically(scaled.clamp(-6, 6), E2M1, u)
    scales = scales.view(torch.uint8).reshape(*x.shape[:-1], -1)
    return Blocks(encode(scaled, E2M1), scales, E2M1, E4M3, whole)


def scaled_matmul(a, b, counts):
    if sum(counts) != a.codes.shape[0]:
        raise ValueError(f"{counts} are not {a.codes.shape[0]} rows")
    x, w = decode(a.codes, a.fmt), decode(b.codes, b.fmt)
    sx, sw = decode(a.scales, a.scale_fmt), decode(b.scales, b.scale_fmt)
    y, start = torch.zeros(x.shape[0], w.shape[1]), 0
    for e, count in enumerate(counts):
        rows = slice(start, start + count)
        for j in range(sx.shape[1]):
            part = slice(j * a.block, (j + 1) * a.block)
            y[rows] += x[rows, part] @ w[e, :, part].T * sx[rows, j, None] * sw[e, :, j]
        start += count
    return y * a.whole * b.whole


def hadamard(x):
    n = x.shape[-1]
    matrix = torch.ones(1, 1, dtype=x.dtype)
    while len(matrix) < n:
        matrix = torch.cat(
            [torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)]
        )
    if len(matrix) != n:
        raise ValueError(f"no power of two: {n}")
    return x @ matrix / n**0.5


class LowPrecisionLinear(torch.autograd.Function):
    @staticmethod
    def forward(x, w, rounding):
        return torch.einsum("ni,oi->no", rounding(x, "x"), rounding(w, "w"))

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, w, ctx.rounding = inputs
        ctx.save_for_backward(x, w)

    @staticmethod
    def backward(ctx, grad):
        x, w = ctx.saved_tensors
        needs_x, needs_w, _ = ctx.needs_input_grad
        dx = (
            torch.einsum(
                "no,io->ni", ctx.rounding(grad, "grad"), ctx.rounding(w.T, "w")
            )
            if needs_x
            else None
        )
        dw = (
            torch.einsum(
                "on,in->oi", ctx.rounding(grad.T, "grad"), ctx.rounding(x.T, "x")
            )
            if needs_w
            else None
        )
        return dx, dw, None
