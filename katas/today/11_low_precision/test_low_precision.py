"""Specs of today/11: formats of eight and four bits, blocks with scales, their product,
random rounding, a rotation, and a layer whose three products are of rounded operands.
"""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

CODES = torch.arange(256, dtype=torch.uint8)
HALF_BYTE = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
# E3M2's
SIX_BITS = [i / 16 for i in range(8)] + [
    2.0**e * m / 4 for e in range(-1, 5) for m in (4, 5, 6, 7)
]
TABLES = {  # the finite numbers of the codes 0, 1, 2 …, without signs
    "E2M1": torch.tensor(HALF_BYTE).double(),
    "E3M2": torch.tensor(SIX_BITS).double(),
    "E4M3": CODES[:0x7F].view(torch.float8_e4m3fn).double(),
    "E5M2": CODES[:0x7C].view(torch.float8_e5m2).double(),
}
SIGN = {"E2M1": 8, "E3M2": 32, "E4M3": 128, "E5M2": 128}  # the code of −0
E8M0 = CODES.view(torch.float8_e8m0fnu).double()


def the_format(kata, name):
    return kata.Format(3, 2, 3, 28.0) if name == "E3M2" else getattr(kata, name)


def numbers(codes, name):
    """What codes stand for, in float64."""
    table = TABLES[name]
    return torch.cat([table, -table])[
        torch.where(codes >= SIGN[name], codes.long() - SIGN[name] + len(table), codes)
    ]


def nearest(x, name):
    """The nearest code by search through all of them. Of two that are equally near, the
    even one.
    """
    table = TABLES[name]
    apart = (x.double().abs().clamp(max=table[-1]).unsqueeze(-1) - table).abs()
    preferred = 2 - torch.arange(len(table)) % 2
    found = torch.where(apart == apart.amin(-1, keepdim=True), preferred, 0).argmax(-1)
    return torch.where((x < 0) & (found > 0), found + SIGN[name], found).to(torch.uint8)


def plain(codes, name):
    """The codes with 0 for −0: which of the two stands for what was rounded to 0 does
    not matter.
    """
    return torch.where(codes == SIGN[name], torch.zeros_like(codes), codes)


class TestDecode:
    def test_sixteen_codes_of_e2m1(self, kata):
        """One bit of sign, two of exponent, one of fraction. Code 1 is the only
        subnormal number, ½: its exponent bits are 0, so there is no 1 before the
        fraction, and the power is that of code 2.
        """
        expected = torch.tensor([*HALF_BYTE, *(-v for v in HALF_BYTE)])
        sign = torch.tensor([1.0] * 8 + [-1.0] * 8)
        wrong = {
            "a hidden 1 in subnormal numbers, too": sign
            * torch.tensor([0.5, 0.75, *HALF_BYTE[2:]]).repeat(2),
            "subnormal numbers a power too low": sign
            * torch.tensor([0.0, 0.25, *HALF_BYTE[2:]]).repeat(2),
            "the sign bit was not read": expected.abs(),
            "the hidden 1 is missing": sign
            * torch.tensor([0, 0.5, 0, 0.5, 0, 1, 0, 2]).repeat(2),
        }
        check.close(
            kata.decode(CODES[:16], kata.E2M1),
            expected,
            rtol=1e-6,
            atol=0,
            unlike=wrong,
        )

    def test_all_codes_of_e4m3(self, kata):
        """Only 0x7F and 0xFF are NaN. The other codes with a full exponent are numbers
        up to 448, where IEEE would have infinity. Subtract the bias from a signed
        integer: in uint8, 1 − 7 is 250.
        """
        expected = CODES.view(torch.float8_e4m3fn).float()
        exponent = CODES.int() >> 3 & 15
        wrapped = torch.where((exponent > 0) & (exponent < 7), math.inf, expected.abs())
        full = torch.where(CODES % 8 == 0, math.inf, math.nan)
        as_ieee = torch.where(exponent == 15, full, expected.abs())
        wrong = {
            "arithmetic in uint8: 1 − 7 is 250": wrapped.copysign(expected),
            "IEEE's infinity and NaN for every full exponent":
                as_ieee.copysign(expected),
            "a bias of 8": expected / 2,
            "480 where NaN is": torch.where(CODES % 128 == 127, 480.0,
                                            expected.abs()).copysign(expected),
        }  # fmt: skip
        check.close(
            kata.decode(CODES, kata.E4M3),
            expected,
            rtol=1e-6,
            atol=0,
            unlike=wrong,
            finite=False,
        )

    def test_all_codes_of_e5m2(self, kata):
        """More exponent, less fraction, and IEEE's rules: 0x7C is infinity, and the
        three codes above it are NaN.
        """
        expected = CODES.view(torch.float8_e5m2).float()
        magnitude = (CODES % 128).int()
        no_inf = torch.where(magnitude == 0x7C, 65536.0, expected.abs()).copysign(
            expected
        )
        wrong = {"65536 where infinity is": no_inf}
        check.close(
            kata.decode(CODES, kata.E5M2),
            expected,
            rtol=1e-6,
            atol=0,
            unlike=wrong,
            finite=False,
        )

    def test_all_codes_of_e8m0(self, kata):
        """A power of two per code: 127 is 1. There is no sign, no fraction and no 0.
        Code 0 is 2^−127, 0xFF NaN.
        """
        expected = E8M0.float()
        no_zero = expected.clone()
        no_zero[0] = 0
        signed = torch.where(CODES > 127, -expected[CODES.long() % 128], expected)
        wrong = {
            "code 0 taken for 0": no_zero,
            "the highest bit taken for a sign": signed,
            "infinity where NaN is": torch.where(CODES == 255, math.inf, expected),
        }
        check.close(
            kata.decode(CODES, kata.E8M0),
            expected,
            rtol=1e-6,
            atol=0,
            unlike=wrong,
            finite=False,
        )

    def test_another_format_and_any_shape(self, kata):
        """E3M2 has six bits, a bias of 3, and neither NaN nor infinity. The rule is the
        same, whatever torch has. Without a sign bit E4M3 still has subnormal numbers:
        what decides is that there is a fraction. Where the largest number of E2M1's
        layout is 3, its 4 and 6 are infinite.
        """
        codes = torch.randint(64, (2, 3, 25), dtype=torch.uint8)
        codes[0, 0, :8] = torch.tensor([0, 1, 3, 4, 31, 33, 35, 63])
        got = kata.decode(codes, the_format(kata, "E3M2"))
        check.close(got, numbers(codes, "E3M2"), rtol=1e-6, atol=0)
        unsigned = kata.Format(4, 3, 7, 448.0, nan=0x7F, signed=False)
        check.close(
            kata.decode(CODES[:127], unsigned), TABLES["E4M3"], rtol=1e-6, atol=0
        )
        expected = torch.tensor([*HALF_BYTE[:6], math.inf, math.inf])
        check.close(
            kata.decode(CODES[:8], kata.Format(2, 1, 1, 3.0)),
            expected,
            rtol=1e-6,
            atol=0,
            finite=False,
        )


def midpoints(name):
    """Numbers halfway between two of the format, with both signs."""
    table = TABLES[name]
    middle = (table[1:] + table[:-1]) / 2
    return torch.cat([middle, -middle]).float()


@st.composite
def numbers_of_any_size(draw):
    """Numbers within a format, and the format's name."""
    name = draw(st.sampled_from(sorted(TABLES)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x = torch.randn(3, 50, generator=generator) * 2.0 ** torch.randint(
        -20, 18, (3, 1), generator=generator
    )
    return x.clamp(-TABLES[name][-1], TABLES[name][-1]), name


class TestEncode:
    def test_the_nearest_of_e2m1(self, kata):
        """0.3 is nearer to ½ than to 0, and −5.2 nearer to −6 than to −4."""
        x = torch.tensor([[0.3, 0.2, 0.8, -1.3], [2.4, -5.2, 3.6, -0.6]])
        expected = torch.tensor([[1, 0, 2, 11], [4, 15, 6, 9]], dtype=torch.uint8)
        wrong = {
            "cut off, not rounded": torch.tensor(
                [[0, 0, 1, 10], [4, 14, 5, 9]], dtype=torch.uint8
            ),
            "the sign bit was not set": expected % 8,
            "values in place of codes": torch.tensor(
                [[0, 0, 1, 255], [2, 250, 4, 0]], dtype=torch.uint8
            ),
        }
        check.equal(plain(kata.encode(x, kata.E2M1), "E2M1"), expected, unlike=wrong)

    def test_halfway_goes_to_the_even_code(self, kata):
        """2.5 lies between 2 and 3, of codes 4 and 5, and becomes 2. 1.75 lies between
        1½ and 2, codes 3 and 4, and becomes 2. Rounded away from 0 each time, sums
        would grow.
        """
        x = midpoints("E2M1")
        away, down = torch.arange(1, 8), torch.arange(7)
        wrong = {
            "halves away from zero": torch.cat([away, away + 8]).to(torch.uint8),
            "halves towards zero": torch.cat([down, down + 8 * (down > 0)]).to(
                torch.uint8
            ),
        }
        check.equal(
            plain(kata.encode(x, kata.E2M1), "E2M1"), nearest(x, "E2M1"), unlike=wrong
        )
        x = midpoints("E4M3")
        check.equal(
            plain(kata.encode(x, kata.E4M3), "E4M3"),
            nearest(x, "E4M3"),
            what="E4M3's codes of all midpoints",
        )

    @pytest.mark.parametrize("name", ["E4M3", "E5M2", "E2M1"])
    def test_beyond_the_largest(self, kata, name):
        """A gradient that is too large becomes the largest number, never infinity or
        NaN: one of those in a product makes all that it meets NaN.
        """
        largest = float(TABLES[name][-1])
        x = torch.tensor([1.01, -1.2, 3.0, -1000.0]) * largest
        code = len(TABLES[name]) - 1
        expected = torch.tensor([code, code + SIGN[name]] * 2, dtype=torch.uint8)
        check.equal(
            kata.encode(x, getattr(kata, name)),
            expected,
            what=f"the codes of {x.tolist()}",
        )
        x = torch.tensor([math.inf, -math.inf])
        check.equal(
            kata.encode(x, getattr(kata, name)),
            expected[:2],
            what="the codes of inf and −inf",
        )

    @pytest.mark.parametrize("name", sorted(TABLES))
    def test_each_number_of_the_format_keeps_its_code(self, kata, name):
        """Nothing is rounded here, and every code comes back: those of subnormal
        numbers, too, which all have the step of the smallest normal one. E3M2 is a
        format of six bits.
        """
        x = torch.cat([TABLES[name], -TABLES[name]]).float()
        codes = torch.arange(len(TABLES[name]))
        expected = torch.cat([codes, codes + SIGN[name] * (codes > 0)]).to(torch.uint8)
        check.equal(plain(kata.encode(x, the_format(kata, name)), name), expected)

    @given(case=numbers_of_any_size())
    def test_nothing_is_nearer(self, kata, case):
        """For numbers of any size within a format, a search through all codes finds
        none that is nearer.
        """
        x, name = case
        check.equal(
            plain(kata.encode(x, the_format(kata, name)), name),
            nearest(x, name),
            what=f"{name}'s codes",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["E4M3", "E5M2"])
    def test_nan_and_x_stay(self, kata, name):
        """A NaN that became a number would hide where training went wrong. What is cut
        off is the result, not x.
        """
        x = torch.tensor([-1000.0, 1e6, math.nan])
        with check.unchanged(x=x[:2]):
            codes = kata.encode(x, getattr(kata, name))
        dtype = {"E4M3": torch.float8_e4m3fn, "E5M2": torch.float8_e5m2}[name]
        found = codes.view(dtype).float()
        check.that(
            bool(found[2].isnan()),
            f"NaN became code {int(codes[2])}, which is {found[2].item()}",
        )


def neighbours(x, name):
    """The format's numbers next to x, below and above it."""
    table = torch.cat([-TABLES[name].flip(0), TABLES[name][1:]])
    x = x.double().contiguous()
    below = torch.searchsorted(table, x, right=True) - 1
    return table[below], table[torch.searchsorted(table, x)]


def drawn(kata, x, fmt, draws=4000):
    """x (n,), rounded once for each of as many u, evenly from 0 to 1: (draws, n)."""
    u = (torch.arange(draws) + 0.5) / draws
    return kata.round_stochastically(
        x.expand(draws, -1), fmt, u.unsqueeze(1).expand(draws, len(x))
    )


class TestRoundStochastically:
    def test_the_mean_is_the_number(self, kata):
        """2.2 lies between 2 and 3. It becomes 3 in a fifth of the draws, so that the
        mean is 2.2. For negative numbers that takes ⌊ ⌋, which rounds down: −2.2
        becomes −3 for u below 0.2, not above 0.8.
        """
        x = torch.tensor([2.2, -2.2, 0.3, -0.3, 5.2, -3.6, 1.1, -0.05])
        step = torch.tensor([1.0, 1.0, 0.5, 0.5, 2.0, 1.0, 0.5, 0.5])
        u = (torch.arange(4000).unsqueeze(1) + 0.5) / 4000
        wrong = {
            "cut off towards zero, not down": ((x / step + u).trunc() * step).mean(0),
            "rounded after u was added, where ⌊ ⌋ belongs": (
                (x / step + u).round() * step
            ).mean(0),
            "how many steps, not the number": (x / step + u).floor().mean(0),
            "the nearest number, whatever u is": numbers(
                nearest(x, "E2M1"), "E2M1"
            ).float(),
        }
        got = drawn(kata, x, kata.E2M1)
        check.shape(got, (4000, 8))
        what = "the mean over 4,000 draws"
        check.close(
            got.double().mean(0), x.double(), rtol=0, atol=1e-3, unlike=wrong, what=what
        )
        x, u = torch.full((3,), -2.2), torch.tensor([0.1, 0.3, 0.9])
        wrong = {
            "|x| rounded, and the sign put back": torch.tensor([-2.0, -2.0, -3.0]),
            "one step for numbers of all sizes, that of the smallest": torch.tensor(
                [-2.5, -2.5, -2.0]
            ),
        }
        check.close(
            kata.round_stochastically(x, kata.E2M1, u),
            torch.tensor([-3.0, -2.0, -2.0]),
            unlike=wrong,
        )

    @pytest.mark.parametrize("name", sorted(TABLES))
    def test_only_the_two_neighbours(self, kata, name):
        """A number goes to the one below or the one above, and its step is that of its
        own size. Subnormal numbers have the step of the smallest normal one. E3M2 is a
        format of six bits.
        """
        largest = float(TABLES[name][-1])
        smallest = float(TABLES[name][1])
        x = torch.cat(
            [
                torch.randn(9),
                torch.randn(9) * 2 * smallest,
                (torch.rand(9) - 0.5) * 2 * largest,
            ]
        )
        got = drawn(kata, x, the_format(kata, name), 1000).double()
        below, above = neighbours(x, name)
        others = (got != below) & (got != above)
        first = others.nonzero()[0].tolist() if others.any() else [0, 0]
        check.that(
            not others.any(),
            f"{x[first[1]].item():.6g} became {got[tuple(first)].item():.6g}; in "
            f"{name} it lies between "
            f"{below[first[1]].item():.6g} and {above[first[1]].item():.6g}",
        )
        apart = (above - below).clamp(min=smallest)
        off = ((got.mean(0) - x.double()) / apart).abs().max().item()
        check.that(
            off < 3e-3,
            f"a mean over 1,000 draws is {off:.3f} steps from the number, expected "
            "the number",
        )

    def test_numbers_of_the_format_stay(self, kata):
        """What needs no rounding is not moved, whatever u is."""
        x = torch.tensor([*HALF_BYTE, *(-v for v in HALF_BYTE[1:])])
        check.close(drawn(kata, x, kata.E2M1, 50), x.expand(50, -1))

    def test_each_number_has_its_own_u(self, kata):
        """Rounded together or one by one, the result is the same: u alone decides, and
        a neighbour's size does not.
        """
        x, u = (
            torch.randn(2, 3, 5) * torch.tensor([0.1, 1.0, 2.0, 0.5, 1.5]),
            torch.rand(2, 3, 5),
        )
        got = kata.round_stochastically(x.clamp(-6, 6), kata.E2M1, u)
        pairs = zip(x.clamp(-6, 6).flatten(), u.flatten(), strict=True)
        one_by_one = [
            kata.round_stochastically(a.reshape(1), kata.E2M1, b.reshape(1))
            for a, b in pairs
        ]
        check.close(got, torch.cat(one_by_one).view(2, 3, 5))


def scales_by_search(x, name, block, clip=False):
    """The exponent of each block's scale: of all powers of two the first that reaches.
    In float64.
    """
    amax = x.double().unflatten(-1, (-1, block)).abs().amax(-1, keepdim=True)
    powers, largest = 2.0 ** torch.arange(-140, 128).double(), TABLES[name][-1]
    if not clip:
        return (powers * largest >= amax).int().argmax(-1) - 140
    return (powers <= amax).sum(-1) - 141 - int((powers <= largest).sum() - 141)


def in_blocks(exponents, block):
    """A factor per number from an exponent per block."""
    return (2.0 ** exponents.double()).repeat_interleave(block, -1)


def code_of(exponents):
    return (exponents + 127).to(torch.uint8)


@st.composite
def tensors_and_blocks(draw):
    """A tensor of any size and magnitude, a block that divides its last dimension, and
    a format.
    """
    block = draw(st.sampled_from([2, 3, 8, 32]))
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 3)),
        block * draw(st.integers(1, 5)),
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x = torch.randn(shape, generator=generator) * 10.0 ** draw(st.integers(-6, 6))
    return x, block, draw(st.sampled_from(["E2M1", "E4M3", "E5M2"]))


class TestQuantiseMx:
    def test_a_scale_per_block(self, kata):
        """Two rows of three blocks of four. A block whose largest number is 5 has the
        scale 1, as 5 lies within E2M1. One of 13 has the scale 4: 2 · 6 is not enough.
        """
        x = torch.tensor([[1.0, -5.0, 0.2, 3.0, 13.0, 1.0, 2.0, -2.0, 0.1, 0.2, -0.7,
                           0.4],
                          [90.0, -9.0, 7.0, 1.0, 2.5, 1.5, -2.9, 0.3, -7.0, 0.1, 2.0,
                           5.0]])  # fmt: skip
        exponents = torch.tensor([[0, 2, -3], [4, -1, 1]])
        got = kata.quantise_mx(x, kata.E2M1, block=4)
        check.shape(got.scales, (2, 3), what="scales")
        check.shape(got.codes, (2, 12), what="codes")
        amax = x.unflatten(-1, (3, 4))
        wrong = {
            "one scale for the whole tensor": torch.full((2, 3), 131),
            "one scale per row": torch.tensor([[129] * 3, [131] * 3]),
            "the exponent itself, without 127": exponents,
            "the exponent rounded down: numbers would be cut off": code_of(
                scales_by_search(x, "E2M1", 4) - 1
            ),
            "the largest without its sign: −5 was not seen": code_of(
                scales_by_search(x.clamp(min=0), "E2M1", 4)
            ),
            "1 / scale": 127 - exponents,
            "⌈ ⌉ and ⌊ ⌋ taken apart: ⌈log2 amax⌉ − ⌊log2 largest⌋": code_of(
                amax.abs().amax(-1).log2().ceil() - 2
            ),
            "without the format's largest": code_of(amax.abs().amax(-1).log2().ceil()),
        }
        wrong = {name: value.to(torch.uint8) for name, value in wrong.items()}
        check.equal(
            got.scales, code_of(exponents), unlike=wrong, what="scales, codes of E8M0"
        )
        expected = nearest(x / in_blocks(exponents, 4), "E2M1")
        multiplied = nearest(x * in_blocks(exponents, 4), "E2M1")
        wrong = {
            "x multiplied by the scale": multiplied,
            "x not scaled at all": nearest(x, "E2M1"),
        }
        check.equal(plain(got.codes, "E2M1"), expected, unlike=wrong, what="codes")

    def test_exact_powers(self, kata):
        """A block whose largest number is 6 · 2^k fits with the scale 2^k. The next one
        would waste half of the format.
        """
        for name in ("E2M1", "E4M3", "E5M2"):
            k = torch.tensor([[-9, 0, 3], [1, -4, 12]])
            x = (
                in_blocks(k, 32)
                * TABLES[name][-1]
                * torch.linspace(-1, 0.9, 32).repeat(3)
            )
            got = kata.quantise_mx(x.float(), getattr(kata, name)).scales
            check.equal(
                got,
                code_of(k),
                unlike={"a power too large": code_of(k + 1)},
                what=f"scales of {name}",
            )

    @given(case=tensors_and_blocks())
    def test_codes_and_scales_of_any_tensor(self, kata, case):
        """For any shape, block and magnitude: the smallest power of two with which no
        number is beyond the format, and the nearest codes.
        """
        x, block, name = case
        got = kata.quantise_mx(x, getattr(kata, name), block)
        exponents = scales_by_search(x, name, block)
        check.equal(
            got.scales, code_of(exponents), what=f"scales, blocks of {block} in {name}"
        )
        expected = nearest(x / in_blocks(exponents, block), name)
        check.equal(
            plain(got.codes, name), expected, what=f"codes, blocks of {block} in {name}"
        )

    def test_an_outlier_spoils_its_own_block_alone(self, kata):
        """Blocks of 32 are the default. With 1000 in the second of five, the others
        keep their codes and scales.
        """
        x = torch.randn(2, 3, 160)
        before = kata.quantise_mx(x, kata.E2M1)
        check.shape(before.scales, (2, 3, 5), what="scales of blocks of 32")
        x[1, 2, 40] = 1000
        after = kata.quantise_mx(x, kata.E2M1)
        check.equal(
            after.scales[1, 2, 1],
            torch.tensor(135, dtype=torch.uint8),
            what="the scale of the outlier's block",
        )
        changed = (after.codes != before.codes).view(2, 3, 5, 32).any(-1)
        changed[1, 2, 1] = False
        check.that(
            not changed.any(),
            f"codes changed in the blocks {changed.nonzero().tolist()}, too",
        )

    def test_a_block_of_zeros(self, kata):
        """It has no largest number to go by. The scale 1 keeps its numbers 0, where
        0 / 0 is NaN. A block of tiny numbers has a scale like any other.
        """
        x = torch.randn(2, 96)
        x[1, 32:64] = 0
        x[0, :32] *= 1e-8
        got = kata.quantise_mx(x, kata.E4M3)
        unlike = {
            "the exponent of 0, which is the least there is": torch.tensor(
                0, dtype=torch.uint8
            )
        }
        check.equal(
            got.scales[1, 1],
            torch.tensor(127, dtype=torch.uint8),
            unlike=unlike,
            what="the scale of a block of zeros",
        )
        zeros = torch.zeros(32, dtype=torch.uint8)
        check.equal(
            plain(got.codes[1, 32:64], "E4M3"),
            zeros,
            what="the codes of a block of zeros",
        )
        tiny = code_of(scales_by_search(x[0, :32], "E4M3", 32))
        check.equal(
            got.scales[0, :1], tiny, what="the scale of a block of tiny numbers"
        )

    @pytest.mark.parametrize("name", ["E2M1", "E4M3"])
    def test_clip_takes_the_smaller_scale(self, kata, name):
        """OCP's rule compares exponents only: 7 has the exponent 2, as E2M1's largest
        number 6 has. So the scale is 1, and 7 becomes 6.
        """
        x = torch.randn(5, 7 * 32) * 2.0 ** torch.arange(-2, 3).unsqueeze(1)
        exponents = scales_by_search(x, name, 32, clip=True)
        got = kata.quantise_mx(x, getattr(kata, name), clip=True)
        wrong = {
            "rounded up, as without clip": code_of(scales_by_search(x, name, 32)),
            "⌊log2 largest⌋ forgotten": code_of(
                exponents + int(math.log2(TABLES[name][-1]))
            ),
        }
        check.equal(got.scales, code_of(exponents), unlike=wrong, what="scales")
        expected = nearest(x / in_blocks(exponents, 32), name)
        check.equal(plain(got.codes, name), expected, what="codes")

    def test_random_rounding(self, kata):
        """With u the mean over many draws is x itself, and the scale is what it was:
        nothing else is random. With clip, u rounds, too.
        """
        x = torch.randn(64) * torch.tensor([1.0, 30.0]).repeat_interleave(32)
        u = ((torch.arange(1000) + 0.5) / 1000).unsqueeze(1).expand(1000, 64)
        got = kata.quantise_mx(x.expand(1000, 64), kata.E2M1, u=u)
        exponents = scales_by_search(x, "E2M1", 32)
        check.equal(got.scales, code_of(exponents).expand(1000, 2), what="scales")
        mean = numbers(got.codes, "E2M1").mean(0)
        scaled = x / in_blocks(exponents, 32)
        wrong = {
            "rounded to the nearest, whatever u is": numbers(
                nearest(scaled, "E2M1"), "E2M1"
            )
        }
        what = "the mean over 1,000 draws, in scales"
        check.close(mean, scaled.double(), rtol=0, atol=4e-3, unlike=wrong, what=what)
        x, u = torch.tensor([4.0, 2.2, 2.2, 2.2]), torch.tensor([0.0, 0.9, 0.9, 0.1])
        got = kata.quantise_mx(x, kata.E2M1, block=4, clip=True, u=u)
        wrong = {
            "rounded to the nearest, whatever u is": torch.tensor(
                [6, 4, 4, 4], dtype=torch.uint8
            )
        }
        check.equal(
            got.codes,
            torch.tensor([6, 5, 5, 4], dtype=torch.uint8),
            unlike=wrong,
            what="codes with clip",
        )

    @pytest.mark.edge
    def test_blocks_must_divide_the_row(self, kata):
        """32 does not divide 48. The message says both."""
        with check.raises(ValueError, 32, 48):
            kata.quantise_mx(torch.randn(2, 48), kata.E2M1)

    @pytest.mark.edge
    def test_tiny_blocks(self, kata):
        """E8M0 ends at 2^−127. A smaller exponent would wrap to a huge scale."""
        got = kata.quantise_mx(torch.full((1, 32), 2.0**-130), kata.E2M1)
        check.equal(
            got.scales,
            torch.zeros(1, 1, dtype=torch.uint8),
            what="the scale's code for numbers of 2^−130",
        )


def nvfp4_by_hand(x, block):
    """Codes, scales and the whole tensor's factor in float64, what is divided, and how
    close a tie is.
    """
    amax = x.double().unflatten(-1, (-1, block)).abs().amax(-1)
    whole = amax.max() / 2688
    wanted = amax / 6 / whole
    scales = nearest(wanted, "E4M3")
    scaled = x / (numbers(scales, "E4M3") * whole).repeat_interleave(block, -1)
    return (
        scales,
        whole,
        scaled,
        min(from_ties(wanted, "E4M3"), from_ties(scaled, "E2M1")),
    )


def from_ties(x, name):
    """How far, relatively, the nearest number is from the middle between two numbers of
    the format.
    """
    middle = midpoints(name).double()
    return ((x.double().unsqueeze(-1) - middle).abs() / middle.abs()).min()


def without_ties(shape, block):
    """Numbers for which the order of two divisions cannot change a code."""
    while True:
        x = torch.randn(shape) * 2.0 ** torch.randint(-4, 5, (*shape[:-1], 1))
        if nvfp4_by_hand(x, block)[3] > 1e-5:
            return x


@pytest.mark.stretch
class TestQuantiseNvfp4:
    def test_a_factor_for_the_tensor(self, kata):
        """A scale in E4M3 is at most 448. The factor moves the tensor there: the block
        with the largest number gets 448, code 0x7E.
        """
        x = without_ties((3, 80), 16)
        x = x * -x.flatten()[x.abs().argmax()].sign()  # the largest is negative
        got = kata.quantise_nvfp4(x)
        scales, whole, _, _ = nvfp4_by_hand(x, 16)
        found = torch.as_tensor(got.whole, dtype=torch.float64).reshape(())
        wrong = {
            "1: there is none": torch.ones(()).double(),
            "without the 6": whole * 6,
            "without the 448": whole * 448,
            "its inverse": 1 / whole,
            "the largest without its sign": x.max().double() / 2688,
        }
        wrong = {
            name: value
            for name, value in wrong.items()
            if not torch.allclose(value, whole)
        }
        check.close(found, whole, rtol=1e-5, atol=0, unlike=wrong, what="whole")
        check.shape(got.scales, (3, 5), what="scales of blocks of 16")
        check.equal(
            got.scales.max(),
            torch.tensor(0x7E, dtype=torch.uint8),
            what="the largest scale",
        )
        amax = x.unflatten(-1, (-1, 16)).abs().amax(-1)
        wrong = {"largest |x| / whole, without the 6": nearest(amax / whole, "E4M3"),
                 "not divided by whole": nearest(amax / 6, "E4M3")}  # fmt: skip
        check.equal(got.scales, scales, unlike=wrong, what="scales")

    def test_codes_use_the_scale_that_is_kept(self, kata):
        """The scale was rounded to three bits of fraction, and whoever reads the codes
        has only that. Divided by the exact one, codes are up to 6 % off on average, and
        no error shows it: the product is a little wrong.
        """
        x = without_ties((2, 3, 80), 16)
        got = kata.quantise_nvfp4(x)
        _, whole, scaled, _ = nvfp4_by_hand(x, 16)
        amax = x.double().unflatten(-1, (-1, 16)).abs().amax(-1, keepdim=True)
        exact = (x.double().unflatten(-1, (-1, 16)) / amax * 6).flatten(-2)
        wrong = {
            "divided by the scale before it was rounded": nearest(exact, "E2M1"),
            "divided by the scale alone, without whole": nearest(
                scaled * whole, "E2M1"
            ),
        }
        check.equal(
            plain(got.codes, "E2M1"),
            nearest(scaled, "E2M1"),
            unlike=wrong,
            what="codes",
        )

    def test_a_million_times_as_large(self, kata):
        """With 2^20 · x, `whole` is 2^20 times as large, and codes and scales stay.
        Without it, scales end at 448. The same holds for gradients of 2^−50: a `whole`
        with a least value would lose them.
        """
        x = without_ties((5, 16), 16)
        one = kata.quantise_nvfp4(x)
        for power in (20, -50):
            other = kata.quantise_nvfp4(x * 2.0**power)
            check.equal(other.scales, one.scales, what=f"scales of 2^{power} · x")
            check.equal(other.codes, one.codes, what=f"codes of 2^{power} · x")

    def test_error_of_normal_numbers(self, kata):
        """Scales of E4M3 are finer than powers of two, and blocks of 16 smaller than
        32: the error is 0.095 of the numbers' size. With scales of E8M0 it is 0.115.
        """
        x = torch.randn(64, 240)
        got = kata.quantise_nvfp4(x, block=8)
        check.shape(got.scales, (64, 30), what="scales of blocks of 8")
        got = kata.quantise_nvfp4(x)
        scales = numbers(got.scales, "E4M3").repeat_interleave(16, -1) * float(
            got.whole
        )
        error = ((numbers(got.codes, "E2M1") * scales - x).norm() / x.norm()).item()
        check.that(
            error < 0.105,
            f"the error is {error:.3f} of the numbers' size, expected less than 0.105",
        )

    def test_random_rounding(self, kata):
        """With u the mean over many draws is x itself."""
        x = torch.randn(48)
        u = ((torch.arange(1000) + 0.5) / 1000).unsqueeze(1).expand(1000, 48)
        got = kata.quantise_nvfp4(x.expand(1000, 48), u=u)
        _, _, scaled, _ = nvfp4_by_hand(x, 16)
        mean, wrong = (
            numbers(got.codes, "E2M1").mean(0),
            numbers(nearest(scaled, "E2M1"), "E2M1").clamp(-6, 6),
        )
        what = "the mean over 1,000 draws, in scales"
        unlike = {"rounded to the nearest, whatever u is": wrong}
        check.close(
            mean, scaled.clamp(-6, 6), rtol=0, atol=4e-3, unlike=unlike, what=what
        )

    @pytest.mark.edge
    def test_zeros(self, kata):
        """A block of zeros among others, one beside which others are ten million times
        as large, and zeros alone: no code is anything but 0.
        """
        x = torch.randn(2, 48)
        x[0, 16:32] = 0
        zeros = torch.zeros(16, dtype=torch.uint8)
        got = plain(kata.quantise_nvfp4(x).codes[0, 16:32], "E2M1")
        check.equal(got, zeros, what="the codes of a block of zeros")
        x = torch.tensor([1e-7, 1.0]).repeat_interleave(16)
        got = plain(kata.quantise_nvfp4(x).codes[:16], "E2M1")
        check.equal(got, zeros, what="the codes of a block whose scale is 0 in E4M3")
        got = kata.quantise_nvfp4(torch.zeros(1, 16))
        check.equal(
            plain(got.codes, "E2M1"), zeros[None], what="the codes of zeros alone"
        )
        check.that(
            math.isfinite(float(got.whole)),
            f"whole is {float(got.whole)} for zeros alone",
        )

    @pytest.mark.edge
    def test_blocks_must_divide_the_row(self, kata):
        """16 does not divide 40. The message says both."""
        with check.raises(ValueError, 16, 40):
            kata.quantise_nvfp4(torch.randn(2, 40))


def some_codes(name, *shape):
    """Codes of finite numbers, with both signs."""
    return torch.randint(len(TABLES[name]), shape) + SIGN[name] * torch.randint(
        2, shape
    )


def operand(kata, name, shape, block, scale_name="E8M0", whole=1.0):
    """Blocks of drawn codes and scales, and what they stand for in float64: codes, and
    scales per number.
    """
    codes = some_codes(name, *shape).to(torch.uint8)
    low, high = (122, 133) if scale_name == "E8M0" else (0x28, 0x50)
    scales = torch.randint(
        low, high, (*shape[:-1], shape[-1] // block), dtype=torch.uint8
    )
    table = E8M0 if scale_name == "E8M0" else TABLES["E4M3"]
    blocks = kata.Blocks(
        codes, scales, getattr(kata, name), getattr(kata, scale_name), whole
    )
    return (
        blocks,
        numbers(codes, name),
        table[scales.long()].repeat_interleave(block, -1) * whole,
    )


def grouped(x, w, counts):
    """Each row times the matrix of its group, in float64."""
    groups = [e for e, count in enumerate(counts) for _ in range(count)]
    return torch.stack([w[e] @ row for e, row in zip(groups, x, strict=True)])


def first_scale(scales, block):
    return scales[..., :1].expand_as(scales)


class TestScaledMatmul:
    @pytest.mark.parametrize("blocks", [1, 3], ids=["one block", "three blocks"])
    def test_one_matrix(self, kata, blocks):
        """Seven rows, one matrix of five outputs. Every block of K has a scale of its
        own on both sides.
        """
        a, x, sx = operand(kata, "E2M1", (7, 32 * blocks), 32)
        b, w, sw = operand(kata, "E2M1", (1, 5, 32 * blocks), 32)
        expected = grouped(x * sx, w * sw, [7])
        got = kata.scaled_matmul(a, b, [7])
        check.shape(got, (7, 5))
        check.dtype(got, torch.float32)
        wrong = {
            "without b's scales": grouped(x * sx, w, [7]),
            "without a's scales": grouped(x, w * sw, [7]),
            "codes alone, without scales": grouped(x, w, [7]),
            "the first block's scales for all": grouped(
                x * first_scale(sx, 32), w * first_scale(sw, 32), [7]
            ),
        }
        if blocks == 1:
            del wrong["the first block's scales for all"]
        check.close(
            got,
            expected,
            rtol=1e-4,
            atol=1e-5 * expected.abs().max().item(),
            unlike=wrong,
        )

    def test_groups(self, kata):
        """Four rows for the first matrix, none for the second, six for the third: what
        experts get. Rows of group e meet b[e] alone.
        """
        a, x, sx = operand(kata, "E2M1", (10, 96), 32)
        b, w, sw = operand(kata, "E2M1", (3, 5, 96), 32)
        expected = grouped(x * sx, w * sw, [4, 0, 6])
        wrong = {
            "the first matrix for all rows": grouped(x * sx, w[:1] * sw[:1], [10]),
            "an empty group was left out: the next one got its matrix": grouped(
                x * sx, w * sw, [4, 6, 0]
            ),
            "the first matrix's scales for all": grouped(x * sx, w * sw[:1], [4, 0, 6]),
        }
        got = kata.scaled_matmul(a, b, [4, 0, 6])
        check.close(
            got,
            expected,
            rtol=1e-4,
            atol=1e-5 * expected.abs().max().item(),
            unlike=wrong,
        )

    def test_other_formats_and_a_factor_for_the_whole(self, kata):
        """NVFP4 on one side: blocks of 16, scales of E4M3, a factor. E4M3 on the other,
        in the same blocks. Each side is decoded by its own formats.
        """
        a, x, sx = operand(kata, "E4M3", (6, 80), 16, whole=0.75)
        b, w, sw = operand(kata, "E2M1", (2, 3, 80), 16, "E4M3", 0.01)
        expected = grouped(x * sx, w * sw, [5, 1])
        wrong = {
            "without `whole` of a": expected / 0.75,
            "without `whole` of b": expected / 0.01,
            "without `whole` of both": expected / 0.0075,
        }
        got = kata.scaled_matmul(a, b, [5, 1])
        check.close(
            got,
            expected,
            rtol=1e-4,
            atol=1e-5 * expected.abs().max().item(),
            unlike=wrong,
        )

    @pytest.mark.edge
    def test_counts_add_up(self, kata):
        """Groups of 4, 0 and 5 rows leave one of ten without a matrix. The message
        says 10.
        """
        a, _, _ = operand(kata, "E2M1", (10, 32), 32)
        b, _, _ = operand(kata, "E2M1", (3, 5, 32), 32)
        with check.raises(ValueError, 10):
            kata.scaled_matmul(a, b, [4, 0, 5])


def sylvester(n):
    """(−1)^(how many bits i and j have in common), over √n."""
    signs = [[(-1.0) ** (i & j).bit_count() for j in range(n)] for i in range(n)]
    return torch.tensor(signs, dtype=torch.float64) / math.sqrt(n)


@st.composite
def rows_of_powers(draw):
    """Rows whose length is a power of two, in float64."""
    n = 2 ** draw(st.integers(0, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    return torch.randn(
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        n,
        dtype=torch.float64,
        generator=generator,
    )


@pytest.mark.stretch
class TestHadamard:
    def test_four_and_eight_places(self, kata):
        """[1, 2, 3, 4] has the sum 10, and 10 / √4 is 5. In the first round neighbours
        meet, in the second those two apart, in a third those four apart.
        """
        x = torch.tensor([1.0, 2.0, 3.0, 4.0])
        wrong = {
            "without 1 / √n": torch.tensor([10.0, -2.0, -4.0, 0.0]),
            "divided by n, not √n": torch.tensor([2.5, -0.5, -1.0, 0.0]),
            "neighbours met in every round": x,
            "only one round": torch.tensor([3.0, -1.0, 7.0, -1.0]) / 2,
            "sums and differences put alternately, not where their pair was": (
                torch.tensor([5.0, -2.0, -1.0, 0.0])
            ),
        }
        check.close(
            kata.hadamard(x), torch.tensor([5.0, -1.0, -2.0, 0.0]), unlike=wrong
        )
        x = torch.randn(3, 5, 8, dtype=torch.float64)
        expected = x @ sylvester(8)  # before the call, which might write to x
        check.close(kata.hadamard(x), expected)

    @given(x=rows_of_powers())
    def test_by_bits(self, kata, x):
        """The sign at (i, j) is that of (−1)^(bits that i and j share). One place is
        left alone.
        """
        expected = x @ sylvester(x.size(-1))
        check.close(kata.hadamard(x), expected, what=f"n = {x.size(-1)}")

    def test_its_own_inverse(self, kata):
        """A second time gives x again, and lengths are kept: nothing is lost by it."""
        x = torch.randn(2, 3, 32, dtype=torch.float64)
        once = kata.hadamard(x.clone())
        check.close(once.norm(dim=-1), x.norm(dim=-1), what="lengths")
        check.close(kata.hadamard(once), x, what="x after two rotations")

    def test_an_outlier_is_spread(self, kata):
        """A single 8 among 64 places becomes ±1 everywhere."""
        x = torch.zeros(3, 64)
        x[1, 37] = 8
        expected = torch.zeros(3, 64)
        expected[1] = sylvester(64)[37] * 8
        check.close(kata.hadamard(x), expected)

    @pytest.mark.edge
    def test_a_power_of_two(self, kata):
        """Twelve places cannot be halved four times. The message says 12."""
        with check.raises(ValueError, 12):
            kata.hadamard(torch.randn(2, 12))

    @pytest.mark.edge
    def test_x_and_its_dtype_stay(self, kata):
        """Rounds in place would write to the caller's tensor."""
        x = torch.randn(5, 16).bfloat16()
        with check.unchanged(x=x):
            got = kata.hadamard(x)
        check.dtype(got, torch.bfloat16)
        check.close(got, x.double() @ sylvester(16), rtol=0.05, atol=0.05)


def rows_rounded(t, role):
    """Each row in steps of a quarter of its largest number."""
    step = t.abs().amax(-1, keepdim=True) / 4
    return (t / step).round() * step


def factors(t, role):
    """The tensor times 2, 3 or 5, by its role."""
    return t * {"x": 2.0, "w": 3.0, "grad": 5.0}[role]


def layer_case(n=5, inputs=7, outputs=3):
    """x, w and the gradient that arrives, in float64: multiples of 1/64, so that sums
    are exact.
    """
    shapes = ((n, inputs), (outputs, inputs), (n, outputs))
    return [
        (torch.randn(shape, dtype=torch.float64) * 64).round() / 64 for shape in shapes
    ]


def run(kata, x, w, grad, rounding):
    """y, dx and dw of the layer."""
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    y = kata.LowPrecisionLinear.apply(x, w, rounding)
    return (y.detach(), *torch.autograd.grad(y, [x, w], grad))


@pytest.mark.stretch
class TestLowPrecisionLinear:
    def test_forward_of_rounded_operands(self, kata):
        """Both operands are rounded along I, over which the product sums."""
        x, w, grad = layer_case()
        r = rows_rounded
        wrong = {
            "x not rounded": x @ r(w, "w").mT,
            "w not rounded": r(x, "x") @ w.mT,
            "nothing rounded": x @ w.mT,
            "w rounded along its outputs": r(x, "x") @ r(w.mT, "w"),
            "the result rounded, not the operands": r(x @ w.mT, "x"),
        }
        check.close(run(kata, x, w, grad, r)[0], r(x, "x") @ r(w, "w").mT, unlike=wrong)

    def test_gradients_of_rounded_operands(self, kata):
        """dx sums over O, so the gradient and w are rounded along O. dw sums over N, so
        the gradient and x are rounded along N: each in other blocks than forward.
        """
        x, w, grad = layer_case()
        r = rows_rounded
        _, dx, dw = run(kata, x, w, grad, r)
        g, gt = r(grad, "grad"), r(grad.mT, "grad")
        wrong = {
            "w rounded along I, as forward": g @ r(w, "w"),
            "the gradient not rounded": grad @ r(w.mT, "w").mT,
            "w not rounded": g @ w,
            "the gradient rounded along N": gt.mT @ r(w.mT, "w").mT,
            "nothing rounded": grad @ w,
        }
        check.close(dx, g @ r(w.mT, "w").mT, unlike=wrong, what="dx")
        wrong = {
            "x rounded along I, as forward": gt @ r(x, "x"),
            "the gradient rounded along O": g.mT @ r(x.mT, "x").mT,
            "x and the gradient rounded as for the other products": g.mT @ r(x, "x"),
            "the gradient not rounded": grad.mT @ r(x.mT, "x").mT,
            "x not rounded": gt @ x,
            "nothing rounded": grad.mT @ x,
        }
        check.close(dw, gt @ r(x.mT, "x").mT, unlike=wrong, what="dw")

    def test_roles(self, kata):
        """A recipe may round gradients at random and weights to the nearest. Here roles
        are told apart by factors: 2 for x, 3 for w, 5 for the gradient.
        """
        x, w, grad = layer_case()
        y, dx, dw = run(kata, x, w, grad, factors)
        check.close(y, 6 * x @ w.mT, what="y")
        check.close(dx, 15 * grad @ w, what="dx")
        check.close(dw, 10 * grad.mT @ x, what="dw")

    def test_what_is_rounded(self, kata):
        """Six operands, each with the dimension last over which its product sums."""
        x, w, grad = layer_case()
        seen = []

        def noted(t, role):
            seen.append((role, tuple(t.shape)))
            return t

        run(kata, x, w, grad, noted)
        expected = [
            ("grad", (3, 5)),
            ("grad", (5, 3)),
            ("w", (3, 7)),
            ("w", (7, 3)),
            ("x", (5, 7)),
            ("x", (7, 5)),
        ]
        check.equal(
            sorted(seen),
            expected,
            what="roles and shapes that rounding was called with, sorted",
        )

    def test_without_rounding_it_is_a_linear_layer(self, kata):
        """With the identity in place of rounding, gradients are those of autograd.
        Blocks of 32 would be of no use to sizes that are no multiples: the layer itself
        asks for none.
        """
        x, w, _ = layer_case(n=34, inputs=11, outputs=6)
        check.gradients(
            lambda x, w: kata.LowPrecisionLinear.apply(x, w, lambda t, role: t),
            lambda x, w: x @ w.mT,
            x,
            w,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("frozen", ["x", "w"])
    def test_nothing_is_rounded_for_what_needs_no_gradient(self, kata, frozen):
        """The first layer's x needs no gradient, and with LoRA no base weight does. A
        third of the work is saved.
        """
        x, w, grad = layer_case()
        seen = []

        def noted(t, role):
            seen.append((role, tuple(t.shape)))
            return t

        y = kata.LowPrecisionLinear.apply(
            x.requires_grad_(frozen != "x"), w.requires_grad_(frozen != "w"), noted
        )
        seen.clear()
        y.backward(grad)
        expected = (
            [("grad", (3, 5)), ("x", (7, 5))]
            if frozen == "x"
            else [("grad", (5, 3)), ("w", (7, 3))]
        )
        check.equal(
            sorted(seen),
            expected,
            what=f"what was rounded in backward where {frozen} needs no gradient",
        )
