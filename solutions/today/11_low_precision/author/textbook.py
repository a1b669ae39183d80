"""Numbers of eight and four bits: formats, a scale per block, products of blocks,
rounding that is right on average.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Format:
    """A floating-point format of at most eight bits. Given: nothing to write here."""

    exp_bits: int  # of the exponent
    man_bits: int  # of the fraction
    bias: int  # what the exponent is counted from
    largest: float  # the largest finite number
    nan: int | None = None  # the first code of NaN, if there is one
    signed: bool = True


E4M3 = Format(4, 3, 7, 448.0, nan=0x7F)
E5M2 = Format(5, 2, 15, 57344.0, nan=0x7D)
E2M1 = Format(2, 1, 1, 6.0)
E8M0 = Format(8, 0, 127, 2.0**127, nan=0xFF, signed=False)


@dataclass
class Blocks:
    """A tensor in few bits, with a scale per block of its last dimension. Given:
    nothing to write here.
    """

    codes: Tensor  # (…, K), uint8, of the format fmt
    scales: Tensor  # (…, K / block), uint8, of the format scale_fmt
    fmt: Format
    scale_fmt: Format
    whole: float = 1.0  # a factor for all blocks

    @property
    def block(self) -> int:
        """How many neighbours share a scale."""
        return self.codes.size(-1) // self.scales.size(-1)

    def values(self) -> Tensor:
        """What the codes stand for, (…, K), float32."""
        scales = decode(self.scales, self.scale_fmt) * self.whole
        return decode(self.codes, self.fmt) * scales.repeat_interleave(
            self.block, dim=-1
        )


def decode(codes: Tensor, fmt: Format) -> Tensor:
    """Turn codes into the numbers that they stand for."""
    codes = codes.int()
    m = codes & (2**fmt.man_bits - 1)
    e = (codes >> fmt.man_bits) & (2**fmt.exp_bits - 1)
    x = (1 + m / 2**fmt.man_bits) * 2.0 ** (e - fmt.bias)
    if fmt.man_bits > 0:
        x = torch.where(e == 0, m / 2**fmt.man_bits * 2.0 ** (1 - fmt.bias), x)
    x[x > fmt.largest] = math.inf
    unsigned = (e << fmt.man_bits) | m
    if fmt.nan is not None:
        x[unsigned >= fmt.nan] = math.nan
    if fmt.signed:
        x = torch.where(codes > unsigned, -x, x)
    return x


def step_at(x, fmt):
    exponent = torch.floor(torch.log2(x.abs())).clamp(min=1 - fmt.bias)
    return 2.0 ** (exponent - fmt.man_bits)


def encode(x: Tensor, fmt: Format) -> Tensor:
    """Round numbers to the nearest that the format has."""
    size = x.abs().clamp(max=fmt.largest)
    step = step_at(size, fmt)
    rounded = torch.round(size / step) * step
    exponent = torch.floor(torch.log2(rounded)).clamp(min=1 - fmt.bias)
    m = rounded / 2.0 ** (exponent - fmt.man_bits)
    code = m + (exponent + fmt.bias - 1) * 2**fmt.man_bits
    sign = (x < 0) * 2 ** (fmt.exp_bits + fmt.man_bits)
    return (code + sign).to(torch.uint8)


def round_stochastically(x: Tensor, fmt: Format, u: Tensor) -> Tensor:
    """Round down or up at random, so that the mean over many draws of u is x itself."""
    step = step_at(x, fmt)
    return torch.floor(x / step + u) * step


def quantise_mx(
    x: Tensor, fmt: Format, block: int = 32, clip: bool = False, u: Tensor | None = None
) -> Blocks:
    """Round with a scale per block that is a power of two, as in the MX formats."""
    blocks = x.unflatten(-1, (-1, block))
    amax = blocks.abs().amax(dim=-1)
    if clip:
        exponent = torch.floor(torch.log2(amax)) - math.floor(math.log2(fmt.largest))
    else:
        exponent = torch.ceil(torch.log2(amax / fmt.largest))
    exponent[amax == 0] = 0
    scaled = (blocks / 2.0 ** exponent[..., None]).flatten(-2)
    if u is not None:
        scaled = round_stochastically(scaled, fmt, u)
    return Blocks(encode(scaled, fmt), (exponent + 127).to(torch.uint8), fmt, E8M0)


def quantise_nvfp4(x: Tensor, block: int = 16, u: Tensor | None = None) -> Blocks:
    """Round to E2M1 with a scale in E4M3 per block, and a float32 factor for the whole
    tensor, as in NVFP4.
    """
    blocks = x.unflatten(-1, (-1, block))
    whole = x.abs().max() / (6 * 448)
    scales = encode(blocks.abs().amax(dim=-1) / 6 / whole, E4M3)
    scaled = (blocks / (decode(scales, E4M3) * whole)[..., None]).flatten(-2)
    if u is not None:
        scaled = round_stochastically(scaled, E2M1, u)
    return Blocks(encode(scaled, E2M1), scales, E2M1, E4M3, whole)


def scaled_matmul(a: Blocks, b: Blocks, counts: Sequence[int]) -> Tensor:
    """Multiply rows by the matrix of their group, where both are in blocks."""
    x, w = a.values(), b.values()
    return torch.cat([rows @ w[e].T for e, rows in enumerate(x.split(counts))])


def hadamard(x: Tensor) -> Tensor:
    """Rotate the last dimension by Sylvester's matrix, which spreads each number over
    all n places.
    """
    n, h = x.size(-1), 1
    while h < n:
        a, b = x.unflatten(-1, (n // (2 * h), 2, h)).unbind(-2)
        x = torch.stack([a + b, a - b], dim=-2).flatten(-3)
        h *= 2
    return x / n**0.5


class LowPrecisionLinear(torch.autograd.Function):
    """A linear layer that rounds the operands of all its three products."""

    @staticmethod
    def forward(
        ctx, x: Tensor, w: Tensor, rounding: Callable[[Tensor, str], Tensor]
    ) -> Tensor:
        """Compute y, (N, O), and keep what the gradients need."""
        ctx.save_for_backward(x, w)
        ctx.rounding = rounding
        return rounding(x, "x") @ rounding(w, "w").T

    @staticmethod
    def backward(ctx, grad: Tensor):
        """Compute the gradients of x and w, and None for the rounding."""
        x, w = ctx.saved_tensors
        r = ctx.rounding
        dx = r(grad, "grad") @ r(w.T, "w").T
        dw = r(grad.T, "grad") @ r(x.T, "x").T
        return dx, dw, None
