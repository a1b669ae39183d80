"""Numbers of eight and four bits: formats, a scale per block, products of blocks,
rounding that is right on average.

Sizes: a tensor (…, K) has K / block scales per row. A product is of N rows with
matrices (O, K), E of them for E groups of rows.
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
    """Turn codes into the numbers that they stand for.

    From its highest bit on, a code holds a sign if the format is signed, an exponent e,
    and a fraction m.

    Args:
        codes: any shape, uint8. Those of E2M1 have four bits, so they are 0 to 15.
        fmt: E4M3, E5M2, E2M1, E8M0 or another `Format`.
    Returns:
        The shape of codes, float32.

        - e > 0: ±(1 + m / 2^man_bits) · 2^(e − bias).
        - e = 0: ±(m / 2^man_bits) · 2^(1 − bias), a subnormal number. A format with no
          fraction bits has none, so E8M0's code 0 is 2^−127.
        - A code without its sign is NaN if it is `nan` or more, and else infinite if
          its number exceeds `largest`.

        In E2M1, codes 0 to 7 are 0, ½, 1, 1½, 2, 3, 4 and 6; 8 to 15 the same with
        a minus.
    """
    sign_bit = 1 << (fmt.exp_bits + fmt.man_bits)
    magnitude = codes.int() & (sign_bit - 1)
    exponent, fraction = (
        magnitude >> fmt.man_bits,
        magnitude & ((1 << fmt.man_bits) - 1),
    )
    hidden = ((exponent > 0) | (fmt.man_bits == 0)).int()
    lowest = 0 if fmt.man_bits == 0 else 1
    number = (hidden + fraction / 2**fmt.man_bits) * 2.0 ** (
        exponent.clamp(min=lowest) - fmt.bias
    ).float()
    number = torch.where(number > fmt.largest, math.inf, number)
    if fmt.nan is not None:
        number = torch.where(magnitude >= fmt.nan, math.nan, number)
    return torch.where((codes.int() & sign_bit) > 0, -number, number)


def encode(x: Tensor, fmt: Format) -> Tensor:
    """Round numbers to the nearest that the format has.

    Args:
        x: any shape, float32.
        fmt: a signed format, such as E4M3, E5M2 and E2M1.
    Returns:
        The shape of x, uint8: the code of the nearest number, and of two that are
        equally near the even code. Beyond ±largest, infinity included, it is the code
        of ±largest. What becomes a zero may have the code of either.
        In E2M1, [0.3, −5, 100] become [1, 14, 7], the codes of ½, −4 and 6.

    Numbers of the format with the same exponent are one step apart,
    2^(exponent − man_bits). Subnormal ones have the step of the smallest normal
    number, 2^(1 − bias).

    Edge cases ★
        NaN becomes a NaN where the format has one, and any number elsewhere. x is
        not changed.
    """
    size = x.abs().clamp(max=fmt.largest)
    steps = size / _step(size, fmt)
    exponent = _exponent(size, fmt)
    # A round-up to the next power of two carries into the exponent's bits by itself.
    magnitude = steps.round() + (exponent + fmt.bias - 1) * 2**fmt.man_bits
    sign_bit = 1 << (fmt.exp_bits + fmt.man_bits)
    codes = magnitude + torch.where(x < 0, sign_bit, 0)
    if fmt.nan is not None:
        codes = torch.where(x.isnan(), fmt.nan, codes)
    return codes.to(torch.uint8)


def round_stochastically(x: Tensor, fmt: Format, u: Tensor) -> Tensor:
    """Round down or up at random, so that the mean over many draws of u is x itself.

    Args:
        x: any shape, float32, from −largest to largest.
        fmt: a signed format.
        u: the shape of x, uniform in [0, 1).
    Returns:
        The shape of x, float32: ⌊x / step + u⌋ · step, where step is that of the format
        at x, as in `encode`. These are numbers, not codes.
        In E2M1 the step at 2.2 is 1. 2.2 becomes 2 for u below 0.8 and 3 above; −2.2
        becomes −3 for u below 0.2 and −2 above.
    """
    step = _step(x, fmt)
    return torch.floor(x / step + u) * step


def quantise_mx(
    x: Tensor, fmt: Format, block: int = 32, clip: bool = False, u: Tensor | None = None
) -> Blocks:
    """Round with a scale per block that is a power of two, as in the MX formats.

    Args:
        x: (…, K), float32, finite.
        fmt: of the codes: E4M3, E5M2 or E2M1.
        block: how many neighbours of the last dimension share a scale, a divisor of K.
        clip: choose the smaller scale.
        u: None, or (…, K) in [0, 1): x / scale is first rounded by
            `round_stochastically`, with clip, too. What lies beyond ±largest is cut off
            by `encode`.
    Returns:
        Blocks of the codes of x / scale, (…, K), with scales (…, K / block) in E8M0.
        With amax, a block's largest |x|:

        - scale = 2^⌈log2(amax / largest)⌉: no number is beyond the format.
        - With clip, scale = 2^(⌊log2 amax⌋ − ⌊log2 largest⌋): what is beyond is cut off
          by `encode`.
        - A block of zeros has the scale 1, whose code is 127.

    Edge cases ★
        A block that does not divide K is an error that names both. The exponent of a
        scale is −127 at least, however small a block's numbers are.
    """
    parts = _blocks(x, block)
    amax = parts.abs().amax(dim=-1)
    if clip:
        exponent = amax.log2().floor() - math.floor(math.log2(fmt.largest))
    else:
        exponent = (amax / fmt.largest).log2().ceil()
    exponent = torch.where(amax == 0, 0.0, exponent.clamp(min=-127))
    scaled = (parts / (2.0**exponent).unsqueeze(-1)).flatten(-2)
    if u is not None:
        scaled = round_stochastically(scaled, fmt, u)
    return Blocks(
        encode(scaled, fmt), (exponent + E8M0.bias).to(torch.uint8), fmt, E8M0
    )


def quantise_nvfp4(x: Tensor, block: int = 16, u: Tensor | None = None) -> Blocks:
    """Round to E2M1 with a scale in E4M3 per block, and a float32 factor for the whole
    tensor, as in NVFP4.

    Args:
        x: (…, K), float32.
        block: how many neighbours share a scale, a divisor of K.
        u: as in `quantise_mx`.
    Returns:
        Blocks of E2M1 codes (…, K), with scales (…, K / block) in E4M3 and `whole`.

        - whole = the largest |x| of the tensor / (6 · 448). It makes the largest
          scale 448.
        - A scale is the largest |x| of the block / 6 / whole, encoded in E4M3.
        - Codes are those of x / (scale · whole), where scale is decoded again: what is
          kept, not what was computed.

    Edge cases ★
        Codes are 0 where the scale is 0: in a block of zeros, and in one whose scale is
        too small for E4M3. Where all of x is 0, codes are 0, `whole` is finite, and
        scales are open. A block that does not divide K is an error that names both.
    """
    parts = _blocks(x, block)
    amax = parts.abs().amax(dim=-1)
    whole = amax.max().item() / (E2M1.largest * E4M3.largest) or 1.0
    scales = encode(amax / E2M1.largest / whole, E4M3)
    kept = decode(scales, E4M3) * whole
    scaled = (parts / torch.where(kept == 0, math.inf, kept).unsqueeze(-1)).flatten(-2)
    if u is not None:
        scaled = round_stochastically(scaled, E2M1, u)
    return Blocks(encode(scaled, E2M1), scales, E2M1, E4M3, whole)


def scaled_matmul(a: Blocks, b: Blocks, counts: Sequence[int]) -> Tensor:
    """Multiply rows by the matrix of their group, where both are in blocks.

    Args:
        a: N rows: codes (N, K), scales (N, K / block). Rows of one group
            are neighbours.
        b: E matrices with the same block: codes (E, O, K), scales (E, O, K / block).
        counts: how many rows each of the E groups has; 0 is possible. One matrix has
            E = 1 and counts [N].
    Returns:
        (N, O), float32: the rows of group e times b[e]ᵀ.

        - A number is a decoded code times the scale of its block and `whole`.
        - Scales can wait: within a block, products of decoded codes can be added up
          first, and the sum multiplied by both scales. Multiplied to the numbers they
          give the same.

    Edge cases ★
        Counts that do not add up to N are an error that names N.
    """
    if sum(counts) != len(a.codes):
        raise ValueError(f"groups of {list(counts)} rows do not make {len(a.codes)}")
    rows = _blocks(decode(a.codes, a.fmt), a.block).split(list(counts))
    scales = decode(a.scales, a.scale_fmt).split(list(counts))
    matrices, their_scales = (
        _blocks(decode(b.codes, b.fmt), b.block),
        decode(b.scales, b.scale_fmt),
    )
    products = []
    for part, left, matrix, right in zip(
        rows, scales, matrices, their_scales, strict=True
    ):
        sums = torch.einsum("nji,oji->noj", part, matrix)
        products.append((sums * left.unsqueeze(1) * right).sum(dim=-1))
    return torch.cat(products) * (a.whole * b.whole)


def hadamard(x: Tensor) -> Tensor:
    """Rotate the last dimension by Sylvester's matrix, which spreads each number over
    all n places.

    Args:
        x: (…, n), n a power of two.
    Returns:
        The shape of x: x Hₙ / √n, with H₁ = [1] and H₂ₙ = [[Hₙ, Hₙ], [Hₙ, −Hₙ]].
        [1, 2, 3, 4] becomes [5, −1, −2, 0].

    It takes log2 n rounds and no matrix. In the round with h = 1, 2, 4, … n / 2, each
    pair of places h apart within 2h neighbours becomes its sum and its difference.

    Edge cases ★
        An n that is no power of two is an error that names it. The result has the dtype
        of x, and x is not changed.
    """
    n = x.size(-1)
    if n & (n - 1) or n == 0:
        raise ValueError(f"{n} is no power of two")
    h = 1
    while h < n:
        first, second = x.unflatten(-1, (-1, 2, h)).unbind(-2)
        x = torch.stack([first + second, first - second], dim=-2).flatten(-3)
        h *= 2
    return x / math.sqrt(n)


class LowPrecisionLinear(torch.autograd.Function):
    """A linear layer that rounds the operands of all its three products:
    `LowPrecisionLinear.apply(x, w, rounding)`.

    With r(t, role) = rounding(t, role), for x (N, I), w (O, I) and the gradient g
    (N, O) that arrives:

    - y = r(x, "x") r(w, "w")ᵀ
    - dx = r(g, "grad") r(wᵀ, "w")ᵀ
    - dw = r(gᵀ, "grad") r(xᵀ, "x")ᵀ

    `rounding` works in blocks along the last dimension. So each operand goes there with
    the dimension last over which its product sums: w is rounded twice, in different
    blocks. No gradient flows through the rounding.

    Edge cases ★
        Where x or w needs no gradient (`ctx.needs_input_grad`), nothing is rounded for
        it in backward.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, w: Tensor, rounding: Callable[[Tensor, str], Tensor]
    ) -> Tensor:
        """Compute y, (N, O), and keep what the gradients need."""
        ctx.save_for_backward(x, w)
        ctx.rounding = rounding
        return rounding(x, "x") @ rounding(w, "w").mT

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Compute the gradients of x and w, and None for the rounding."""
        (x, w), rounding = ctx.saved_tensors, ctx.rounding
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = rounding(grad, "grad") @ rounding(w.mT, "w").mT
        if ctx.needs_input_grad[1]:
            dw = rounding(grad.mT, "grad") @ rounding(x.mT, "x").mT
        return dx, dw, None


def _exponent(x: Tensor, fmt: Format) -> Tensor:
    """The exponent of each number, that of the smallest normal one for numbers
    below it.
    """
    return x.abs().log2().floor().clamp(min=1 - fmt.bias)


def _step(x: Tensor, fmt: Format) -> Tensor:
    """How far apart the format's numbers are at x."""
    return 2.0 ** (_exponent(x, fmt) - fmt.man_bits)


def _blocks(x: Tensor, block: int) -> Tensor:
    """The last dimension in blocks, (…, K / block, block)."""
    if x.size(-1) % block:
        raise ValueError(f"blocks of {block} do not divide {x.size(-1)}")
    return x.unflatten(-1, (-1, block))
