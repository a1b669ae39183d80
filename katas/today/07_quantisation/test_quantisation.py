"""Specs of today/07: bytes and half bytes with scales, a linear layer of four bits,
calibration, eight floating bits, and a gradient through rounding.
"""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from grader.specs import check

NEAR = {"rtol": 1e-5, "atol": 1e-6}


@st.composite
def weights(draw):
    """A weight of any small size and magnitude, some of whose rows may be zero."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    w = torch.randn(rows, columns, generator=generator) * 10.0 ** draw(
        st.integers(-4, 4)
    )
    return (
        w
        * torch.tensor(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)))[
            :, None
        ]
    )


class TestAbsmaxInt8:
    def test_codes_and_scales_by_hand(self, kata):
        """The largest of each row becomes 127 or −127. The others keep their ratio to
        it, rounded to the nearest.
        """
        w = torch.tensor(
            [[1.27, -0.506, 0.004, 0.019], [-0.254, 0.127, 0.0035, -0.1281]]
        )
        q, scale = kata.absmax_int8(w)
        check.shape(scale, (2, 1), what="scale")
        wrong_scales = {
            "a scale per column of inputs, not per output": w.abs().amax(
                0, keepdim=True
            )
            / 127,
            "one scale for the whole tensor": torch.tensor([[0.01], [0.01]]),
            "the largest divided by 128": w.abs().amax(1, keepdim=True) / 128,
            "the largest without its sign": w.amax(1, keepdim=True) / 127,
        }
        check.close(
            scale,
            torch.tensor([[0.01], [0.002]]),
            **NEAR,
            unlike=wrong_scales,
            what="scale",
        )
        check.dtype(q, torch.int8, what="q")
        cut = torch.tensor([[127, -50, 0, 1], [-127, 63, 1, -64]], dtype=torch.int8)
        wrong = {"cut off, not rounded: the cast to int8 truncates": cut}
        check.equal(
            q,
            torch.tensor([[127, -51, 0, 2], [-127, 64, 2, -64]], dtype=torch.int8),
            unlike=wrong,
            what="q",
        )

    def test_a_row_of_zeros(self, kata):
        """Every pruned model has one. Divided by a scale of 0 it would be NaN. A row of
        tiny numbers is no such row.
        """
        w = torch.tensor([[0.5, -1.0], [0.0, 0.0], [2.0, 1.0], [4e-6, -1e-6]])
        q, scale = kata.absmax_int8(w)
        unlike = {
            "the largest of the row divided by 127, though it is 0": torch.zeros(1)
        }
        check.close(
            scale[1], torch.ones(1), unlike=unlike, what="the scale of a row of zeros"
        )
        check.equal(
            q[1], torch.zeros(2, dtype=torch.int8), what="the codes of a row of zeros"
        )
        check.equal(
            q[3],
            torch.tensor([127, -32], dtype=torch.int8),
            what="the codes of a row of tiny numbers",
        )

    def test_halves_go_to_the_even_neighbour(self, kata):
        """`torch.round` rounds 0.5 to 0, 1.5 and 2.5 to 2, so that halves do not push
        the sum one way.
        """
        w = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -1.5]])
        wrong = {
            "halves away from zero": torch.tensor(
                [[127, 1, 2, 3, -1, -2]], dtype=torch.int8
            )
        }
        expected = torch.tensor([[127, 0, 2, 2, 0, -2]], dtype=torch.int8)
        check.equal(kata.absmax_int8(w)[0], expected, unlike=wrong, what="q")

    def test_the_scale_has_w_s_dtype(self, kata):
        """A layer in bfloat16 multiplies by a scale in bfloat16."""
        for dtype in (torch.float64, torch.bfloat16):
            check.dtype(
                kata.absmax_int8(torch.ones(2, 3, dtype=dtype))[1], dtype, what="scale"
            )

    @given(w=weights())
    def test_error_is_at_most_half_a_step(self, kata, w):
        """For any size and magnitude: no number moves by more than half its row's
        scale, and no code is −128.
        """
        q, scale = kata.absmax_int8(w)
        off = (
            ((q.double() * scale.double() - w.double()).abs() / scale.double())
            .max()
            .item()
        )
        check.that(
            off <= 0.501,
            f"the largest error is {off:.3f} of its row's scale, expected at most "
            "half of it",
        )
        check.that(int(q.min()) >= -127, f"a code is {int(q.min())}: −128 is not used")
        largest = q.abs().amax(1)[w.abs().amax(1) > 0]
        check.that(
            bool((largest == 127).all()),
            f"the largest codes of the rows are {largest.tolist()}, expected 127",
        )

    @pytest.mark.edge
    def test_the_largest_does_not_overflow_in_bfloat16(self, kata):
        """Most weights come in bfloat16. There 1.34375 / (1.34375 / 127) is 127.5 and
        rounds to 128, which int8 lacks: the largest weight would change its sign.
        """
        w = torch.tensor([[1.34375, 0.0], [0.0, -1.34375]], dtype=torch.bfloat16)
        q, _ = kata.absmax_int8(w)
        wrong = {
            "128 wrapped to −128": torch.tensor(
                [[-128, 0], [0, -128]], dtype=torch.int8
            )
        }
        check.equal(
            q,
            torch.tensor([[127, 0], [0, -127]], dtype=torch.int8),
            unlike=wrong,
            what="q",
        )


NIBBLES = list(range(-8, 8))


def byte(low, high):
    return low % 16 + 16 * (high % 16)


class TestPackInt4:
    def test_the_first_goes_low(self, kata):
        """[−1, −8] is 1111 and 1000 in two's complement: 1000 1111, or 0x8F. The even
        places are in the low bits.
        """
        q = torch.tensor([[-1, -8, 3, 5], [7, 0, -2, 1]], dtype=torch.int8)
        expected = torch.tensor([[0x8F, 0x53], [0x07, 0x1E]], dtype=torch.uint8)
        filled = torch.tensor([[0xFF, 0x53], [0x07, 0xFE]], dtype=torch.uint8)
        halves = [[byte(a, c), byte(b, d)] for a, b, c, d in q.tolist()]
        wrong = {
            "the first number in the high bits": torch.tensor(
                [[0xF8, 0x35], [0x70, 0xE1]], dtype=torch.uint8
            ),
            "the sign of a low number filled the high bits": filled,
            "the first half of the row low, the second high": torch.tensor(
                halves, dtype=torch.uint8
            ),
        }
        check.equal(kata.pack_int4(q), expected, unlike=wrong)

    def test_all_pairs(self, kata):
        """All 256 pairs of numbers from −8 to 7 become all 256 bytes."""
        pairs = [[low, high] for high in NIBBLES for low in NIBBLES]
        expected = torch.tensor(
            [[byte(low, high)] for low, high in pairs], dtype=torch.uint8
        )
        check.equal(
            kata.pack_int4(torch.tensor(pairs, dtype=torch.int8)),
            expected,
            what="the bytes of all pairs",
        )

    def test_any_leading_dimensions(self, kata):
        """The last dimension is halved, and the others stay."""
        q = torch.randint(-8, 8, (2, 3, 6))
        got = kata.pack_int4(q)
        check.shape(got, (2, 3, 3))
        expected = torch.tensor(
            [[[byte(*r[i : i + 2]) for i in (0, 2, 4)] for r in m] for m in q.tolist()]
        )
        check.equal(got, expected.to(torch.uint8))

    @pytest.mark.edge
    def test_an_odd_number_is_an_error(self, kata):
        """Five numbers do not make pairs. The message says how many there are."""
        with check.raises(ValueError, 5):
            kata.pack_int4(torch.zeros(2, 5, dtype=torch.int8))

    @pytest.mark.edge
    @pytest.mark.parametrize("value", [8, -9])
    def test_values_outside_are_errors(self, kata, value):
        """8 would come back as −8. The message names the value."""
        with check.raises(ValueError, value):
            kata.pack_int4(torch.tensor([0, value], dtype=torch.int8))


class TestUnpackInt4:
    def test_low_bits_first_and_signed(self, kata):
        """0x8F holds 1111, which is −1, and then 1000, which is −8."""
        packed = torch.tensor([[0x8F, 0x53], [0x07, 0x1E]], dtype=torch.uint8)
        got = kata.unpack_int4(packed)
        check.dtype(got, torch.int8)
        rows = {
            "the high bits first": [[-8, -1, 5, 3], [0, 7, 1, -2]],
            "without signs: 1111 is −1, not 15": [[15, 8, 3, 5], [7, 0, 14, 1]],
            "all low bits, then all high bits": [[-1, 3, -8, 5], [7, -2, 0, 1]],
            "counted from −8: 0000 is 0, not −8": [[7, 0, -5, -3], [-1, -8, 6, -7]],
        }
        wrong = {
            name: torch.tensor(values, dtype=torch.int8)
            for name, values in rows.items()
        }
        check.equal(
            got,
            torch.tensor([[-1, -8, 3, 5], [7, 0, -2, 1]], dtype=torch.int8),
            unlike=wrong,
        )

    def test_all_bytes(self, kata):
        """All 256 bytes, and packed again they are the same bytes."""
        packed = torch.arange(256, dtype=torch.uint8).view(2, 4, 32)
        got = kata.unpack_int4(packed)
        signed = [
            [b % 16 - 16 * (b % 16 > 7), b // 16 - 16 * (b // 16 > 7)]
            for b in range(256)
        ]
        check.equal(got, torch.tensor(signed, dtype=torch.int8).view(2, 4, 64))


def rounded_groups(w, group_size):
    """Codes and scales, group by group, in float64."""
    codes, scales = [], []
    for row in w.double():
        parts = [row[i : i + group_size] for i in range(0, len(row), group_size)]
        scale = [float(part.abs().max()) / 7 or 1.0 for part in parts]
        codes.append(
            [
                round(v / s)
                for part, s in zip(parts, scale, strict=True)
                for v in part.tolist()
            ]
        )
        scales.append(scale)
    return torch.tensor(codes), torch.tensor(scales, dtype=torch.float64)


def packed_by_hand(codes):
    return torch.tensor(
        [
            [byte(*row[i : i + 2]) for i in range(0, len(row), 2)]
            for row in codes.tolist()
        ]
    ).byte()


@pytest.mark.stretch
class TestAbsmaxInt4:
    def test_a_scale_per_group(self, kata):
        """Two rows of three groups of four. A group's largest is 7 or −7, and the bytes
        are those of `pack_int4`.
        """
        w = torch.randn(2, 12)
        packed, scale = kata.absmax_int4(w, 4)
        codes, scales = rounded_groups(w, 4)
        row = w.abs().amax(1, keepdim=True) / 7
        wrong = {
            "one scale for the whole row": row.expand(2, 3).double(),
            "the largest divided by 8": scales * 7 / 8,
            "the largest divided by 127": scales * 7 / 127,
        }
        check.close(scale, scales, **NEAR, unlike=wrong, what="scale")
        check.equal(packed, packed_by_hand(codes), what="packed")

    def test_an_outlier_stays_in_its_group(self, kata):
        """A weight of 100 makes the other codes of its group 0. With one scale per row,
        the whole row would be lost.
        """
        w = torch.randn(2, 8, dtype=torch.float64)
        w[0, 1] = 100
        packed, scale = kata.absmax_int4(w, 4)
        codes, scales = rounded_groups(w, 4)
        check.equal(packed, packed_by_hand(codes), what="packed")
        check.close(scale, scales, **NEAR, what="scale")

    def test_a_group_of_zeros(self, kata):
        """Its scale is 1 and its codes are 0."""
        w = torch.tensor([[1.0, -2.0, 0.0, 0.0]])
        packed, scale = kata.absmax_int4(w, 2)
        unlike = {
            "the largest of the group divided by 7, though it is 0": torch.tensor(0.0)
        }
        check.close(
            scale[0, 1],
            torch.tensor(1.0),
            unlike=unlike,
            what="the scale of a group of zeros",
        )
        check.equal(
            packed[0, 1],
            torch.tensor(0, dtype=torch.uint8),
            what="the byte of a group of zeros",
        )

    @pytest.mark.edge
    def test_groups_must_divide_the_row(self, kata):
        """5 does not divide 12. The message says both."""
        with check.raises(ValueError, 5, 12):
            kata.absmax_int4(torch.randn(2, 12), 5)


def a_layer(outputs=5, inputs=12, group_size=4):
    """Codes, bytes and scales of a weight, and the weight in float64."""
    codes = torch.randint(-7, 8, (outputs, inputs))
    scale = torch.rand(outputs, inputs // group_size, dtype=torch.float64) + 0.1
    w = torch.stack(
        [codes[:, i] * scale[:, i // group_size] for i in range(inputs)], dim=1
    )
    return packed_by_hand(codes), scale, w, codes


class TestQuantisedLinear:
    @pytest.mark.parametrize(
        "shape", [(3,), (2, 3)], ids=["one dimension", "two dimensions"]
    )
    def test_equals_the_dequantised_layer(self, kata, shape):
        """Each code times the scale of its group is the weight. The rest
        is nn.Linear.
        """
        packed, scale, w, codes = a_layer()
        x, bias = (
            torch.randn(*shape, 12, dtype=torch.float64),
            torch.randn(5, dtype=torch.float64),
        )
        one = codes * scale[:, :1]
        in_turn = codes * scale.repeat(1, 4)
        wrong = {
            "the scale of the first group used for the row": x @ one.mT + bias,
            "scales in turn, not group by group": x @ in_turn.mT + bias,
            "the codes without their scales": x @ codes.double().mT + bias,
            "without the bias": x @ w.mT,
            "the input rounded, too": x.round() @ w.mT + bias,
        }
        check.close(
            kata.quantised_linear(x, packed, scale, 4, bias),
            x @ w.mT + bias,
            **NEAR,
            unlike=wrong,
        )

    def test_without_a_bias(self, kata):
        """Most of today's layers have none."""
        packed, scale, w, _ = a_layer(3, 8, 2)
        x = torch.randn(4, 8, dtype=torch.float64)
        check.close(kata.quantised_linear(x, packed, scale, 2), x @ w.mT, **NEAR)

    def test_gradient_of_the_input(self, kata):
        """The weight is fixed, but layers before it may learn."""
        packed, scale, w, _ = a_layer()
        x = torch.randn(3, 12, dtype=torch.float64)
        check.gradients(
            lambda x: kata.quantised_linear(x, packed, scale, 4),
            lambda x: x @ w.mT,
            x,
            **NEAR,
        )

    @pytest.mark.edge
    def test_dtype_of_the_input(self, kata):
        """Scales in float32 and activations in bfloat16 are usual."""
        packed, scale, w, _ = a_layer()
        x = torch.randn(3, 12).bfloat16()
        got = kata.quantised_linear(x, packed, scale.float(), 4)
        check.dtype(got, torch.bfloat16)
        check.close(got.float(), x.float() @ w.float().mT, rtol=0.05, atol=0.5)


def rounding_error(x, scale, n):
    return ((x / scale).round().clamp(-n, n) * scale - x).square().mean().item()


def best_scale(x, n, candidates):
    absmax = x.abs().max().item()
    scales = [absmax / n * i / candidates for i in range(candidates, 0, -1)]
    return min(scales, key=lambda s: rounding_error(x, s, n))


@st.composite
def samples(draw):
    """Activations with or without outliers, in float64, and a number of bits."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    x = torch.randn(draw(st.integers(2, 60)), generator=generator, dtype=torch.float64)
    x[0] *= draw(st.sampled_from([1.0, 10.0, 100.0]))
    return x, draw(st.sampled_from([3, 4, 8]))


@pytest.mark.stretch
class TestCalibrate:
    def test_an_outlier_is_cut(self, kata):
        """One 40 among 4,000 normal values, and 4 bits. At the scale of the largest,
        most values round to 0. The best scale is about an eighth of it.
        """
        x = torch.randn(4000, dtype=torch.float64)
        x[7], x[8] = 40, 0
        got = kata.calibrate(x, bits=4)
        wrong = {
            "the scale of the largest value": torch.tensor(40 / 7, dtype=torch.float64),
            "the smallest candidate, as without the clamp": torch.tensor(
                40 / 700, dtype=torch.float64
            ),
            "n = 8, not 7": torch.tensor(best_scale(x, 8, 100), dtype=torch.float64),
        }
        check.close(
            got,
            torch.tensor(best_scale(x, 7, 100), dtype=torch.float64),
            **NEAR,
            unlike=wrong,
        )

    def test_two_values_need_no_cut(self, kata):
        """−3 and 3 are exact at the scale of the largest. Every smaller one would cut
        them off.
        """
        x = torch.tensor([3.0, -3.0, 3.0], dtype=torch.float64)
        got = kata.calibrate(x, 8, 127)
        check.close(got, torch.tensor(3 / 127, dtype=torch.float64), **NEAR)

    @given(case=samples())
    def test_never_worse_than_the_largest(self, kata, case):
        """The scale of the largest value is one of the candidates, so the best is at
        least as good. And none of the others is better.
        """
        x, bits = case
        n = 2 ** (bits - 1) - 1
        got = rounding_error(x, float(kata.calibrate(x, bits, 20)), n)
        least = rounding_error(x, best_scale(x, n, 20), n)
        words = (
            f"the mean squared error is {got:.4g}, and one of the candidates has "
            f"{least:.4g}"
        )
        check.that(
            got <= least * 1.0001 + 1e-15,
            f"{words} ({len(x)} values, {bits} bits, 20 candidates)",
        )

    def test_zeros(self, kata):
        """Nothing to choose: the scale is 1, and not 0."""
        check.close(kata.calibrate(torch.zeros(5)), torch.tensor(1.0))

    def test_the_first_candidate_counts(self, kata):
        """Two values of 0.5 and one of 1, in two bits. Half of the scale cuts off the 1
        and is exact for the rest. But 1.5, at which 3 and 1.5 are exact in three bits,
        is beyond the last candidate.
        """
        check.close(
            kata.calibrate(torch.tensor([1.0, 0.5, 0.5]), bits=2, candidates=2),
            torch.tensor(0.5),
        )
        check.close(
            kata.calibrate(torch.tensor([3.0, 1.5, 1.5]), bits=3, candidates=2),
            torch.tensor(1.0),
        )

    @pytest.mark.edge
    def test_of_equal_ones_the_largest(self, kata):
        """At the scale 1, 0.5 becomes 0. At the scale 0.5, it is exact, and 1 is cut to
        0.5. The error is the same.
        """
        check.close(
            kata.calibrate(torch.tensor([1.0, 0.5]), bits=2, candidates=2),
            torch.tensor(1.0),
        )


@pytest.mark.stretch
class TestFp8Scale:
    def test_the_largest_becomes_448(self, kata):
        """448 is the largest number of float8_e4m3fn. Divided by the scale, the tensor
        uses the whole range.
        """
        x = torch.tensor([[0.52, -8.96], [1.12, 0.0]])
        y, scale = kata.fp8_scale(x)
        check.dtype(y, torch.float8_e4m3fn, what="y")
        wrong = {
            "the range of e5m2, 57344": torch.tensor(8.96 / 57344),
            "the range divided by the largest": torch.tensor(448 / 8.96),
        }
        check.close(scale, torch.tensor(0.02), **NEAR, unlike=wrong, what="scale")
        check.dtype(scale, torch.float32, what="scale")
        check.close(y.float(), torch.tensor([[26.0, -448.0], [56.0, 0.0]]), what="y")

    def test_relative_error(self, kata):
        """Three bits behind the point: a number of at least 2⁻⁶ moves by at most a
        sixteenth of itself. Smaller ones lie on a grid of 2⁻⁹. Nothing becomes NaN,
        whatever the magnitude.
        """
        for size in (1e-4, 1.0, 3e5):
            x = torch.randn(500) * size
            y, scale = kata.fp8_scale(x)
            check.finite(y.float(), what=f"y for values of about {size:g}")
            exact = x.double() / scale.double()
            off, limit = (
                (y.double() - exact).abs(),
                (exact.abs() / 16).clamp(min=2**-10) * 1.0001,
            )
            worst = (off / limit).max().item()
            check.that(
                worst <= 1,
                f"a value of y is {worst:.3g} times as far off as 1/16 (values of "
                f"about {size:g})",
            )

    def test_zeros(self, kata):
        """The scale of zeros is 1, so that nothing becomes NaN."""
        y, scale = kata.fp8_scale(torch.zeros(3))
        check.close(scale, torch.tensor(1.0), what="scale")
        check.close(y.float(), torch.zeros(3), what="y")

    @pytest.mark.edge
    def test_scale_of_bfloat16(self, kata):
        """A scale in bfloat16 would move all values by up to 0.4 %."""
        _, scale = kata.fp8_scale(torch.tensor([1.0, -3.0]).bfloat16())
        check.dtype(scale, torch.float32, what="scale")
        check.close(scale, torch.tensor(3 / 448), what="scale")


class TestStraightThrough:
    def test_values_are_rounded(self, kata):
        """Forward, the layer sees what it will have when it is shipped."""
        w = torch.randn(4, 3)
        check.close(
            kata.straight_through(w, torch.round),
            w.round(),
            **NEAR,
            unlike={"the values of w, not rounded": w},
        )

    def test_gradient_passes_as_if_not_rounded(self, kata):
        """round has the gradient 0 everywhere, so nothing would learn. Here what
        arrives goes on to w.
        """
        w, upstream = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
        out = kata.straight_through(w, torch.round)
        check.that(
            out.requires_grad,
            "the result has no gradient: w was detached with the rounding",
        )
        (got,) = torch.autograd.grad(out, w, upstream, allow_unused=True)
        check.that(got is not None, "w gets no gradient")
        check.close(
            got,
            upstream,
            unlike={"0, the gradient of round": torch.zeros(4, 3)},
            what="the gradient of w",
        )

    def test_a_gradient_of_quantise_does_not_count(self, kata):
        """A scale that is computed from w makes `quantise` differentiable. Its gradient
        is left out: it would be added to the 1.
        """
        w, upstream = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3)
        (got,) = torch.autograd.grad(
            kata.straight_through(w, lambda w: 0.5 * w), w, upstream
        )
        wrong = {
            "counted twice: 1, and that of quantise": 1.5 * upstream,
            "that of quantise": 0.5 * upstream,
        }
        check.close(got, upstream, unlike=wrong, what="the gradient of w")

    def test_learns_through_two_bits(self, kata):
        """A weight that is rounded to −1, 0 or 1 learns which of them is right. With
        the gradient of round, it stays where it began.
        """
        target = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
        w, x = torch.full((2, 3), 0.1, requires_grad=True), torch.randn(50, 3)
        for _ in range(60):
            loss = F.mse_loss(
                x @ kata.straight_through(w, lambda w: w.round().clamp(-1, 1)).mT,
                x @ target.mT,
            )
            (gradient,) = torch.autograd.grad(loss, w)
            with torch.no_grad():
                w -= 0.2 * gradient
        check.close(
            w.detach().round().clamp(-1, 1),
            target,
            what="the rounded weight after 60 steps",
        )
