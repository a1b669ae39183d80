"""Specs of kernels/02 · Reductions and softmax."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader import kernels
from grader.specs import check

INFINITY = float("inf")


def shares(x):
    """The softmax of each row, in float64."""
    return x.double().softmax(1)


def log_sums(x):
    """The log of each row's sum of powers, in float64."""
    return x.double().logsumexp(1)


@st.composite
def rows_and_blocks(draw):
    """Rows of any length, one of them far from 0, and a block."""
    M, N = draw(st.integers(1, 3)), draw(st.integers(1, 70))
    x = (
        torch.randn(
            M, N, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
        )
        * 5
    )
    x[0] += draw(st.sampled_from([0, 300, -300]))
    return x, draw(st.sampled_from([16, 32, 128]))


class TestSoftmax:
    def test_rows_become_shares(self, kata):
        """Each row is divided by its own sum of powers. 64 numbers fill a block
        of 64.
        """
        x = torch.randn(3, 64)
        wrong = {
            "shares of the columns": shares(x.T).T,
            "not divided by the sum": (x - x.amax(1, keepdim=True)).exp(),
        }
        with kernels.watched():
            out = kata.softmax(x)
        check.close(out, shares(x), unlike=wrong)

    def test_masked_lanes_get_no_share(self, kata):
        """33 numbers lie in a block of 64. The other 31 lanes must add nothing to the
        sum, and e⁰ is 1.
        """
        for N in (33, 1, 5):
            x = torch.randn(4, N).round()
            lanes = torch.cat([x, torch.zeros(4, 64 - N)], 1)
            with kernels.watched():
                out = kata.softmax(x)
            check.close(
                out, shares(x), unlike={"masked lanes in the sum": shares(lanes)[:, :N]}
            )

    def test_only_differences_count(self, kata):
        """Rows around 200 and −200: exp(200) is infinite in float32, exp(−200) is 0.
        The maximum of the real lanes is subtracted first.
        """
        x = torch.randn(3, 9) + torch.tensor([[200.0], [-200.0], [0.0]])
        unlike = {
            "the maximum is not subtracted": x.exp() / x.exp().sum(1, keepdim=True)
        }
        check.close(kata.softmax(x), shares(x), unlike=unlike)

    def test_each_number_is_moved_once(self, kata):
        """One load and one store per number, by one program per row. Between the rows
        of this view lie numbers that are not part of it. A copy of x before would load
        each number once more. A row may be wide.
        """
        for N in (33, 1100):
            x = torch.randn(7, N + 7)[:, :N]
            with kernels.watched(backwards=True) as seen:
                out = kata.softmax(x)
            check.close(out, shares(x))
            check.moved(seen, loads=7 * N, stores=7 * N, programs=7, x=x)
        check.kernels_compute(lambda: kata.softmax(x), out)

    @settings(max_examples=10)
    @given(case=rows_and_blocks())
    def test_a_shift_changes_nothing(self, kata, case):
        """A number added to a whole row cancels, for any length of row."""
        x, _ = case
        check.close(kata.softmax(x + 3), shares(x), rtol=1e-3)

    @pytest.mark.edge
    def test_half_precision_is_computed_in_float32(self, kata):
        """Powers and their sum in float16 would lose digits. The result has x's dtype.
        Masked lanes hold −∞: −10,000 is more than any number of a row near −30,000.
        """
        for dtype, places in ((torch.float16, 5e-4), (torch.bfloat16, 1e-2)):
            x = torch.randn(3, 33) * 3
            x[2] -= 30_000
            x = x.to(dtype)
            out = kata.softmax(x)
            check.dtype(out, dtype)
            check.close(out.double(), shares(x), rtol=places, atol=1e-7)


def rms(x, eps, numbers=None):
    """x divided by its root mean square, and 1 / that root, in float64; the mean may be
    over too many numbers.
    """
    rstd = 1 / (x.double().square().sum(1) / (numbers or x.size(1)) + eps).sqrt()
    return x.double() * rstd[:, None], rstd


class TestRmsNorm:
    def test_rows_have_a_mean_square_of_one(self, kata):
        """Before the weight. Unlike layer norm, no mean is subtracted."""
        x, weight = torch.randn(3, 64) * 3 + 1, torch.rand(64) + 0.5
        y, _ = rms(x, 1e-5)
        wrong = {
            "the weight is missing": y,
            "the mean subtracted": rms(x - x.mean(1, keepdim=True), 1e-5)[0] * weight,
            "divided by the mean square, not by its root": y
            * rms(x, 1e-5)[1][:, None]
            * weight,
        }
        with kernels.watched():
            out, _ = kata.rms_norm(x, weight)
        check.close(out, y * weight, unlike=wrong)

    def test_the_mean_is_over_real_lanes(self, kata):
        """33 numbers lie in a block of 64, and their squares are divided by 33."""
        x, weight = torch.randn(4, 33).round(), torch.randn(33).round()
        with kernels.watched():
            out, _ = kata.rms_norm(x, weight)
        check.close(
            out,
            rms(x, 1e-5)[0] * weight,
            unlike={"a mean over the block": rms(x, 1e-5, 64)[0] * weight},
        )

    def test_the_root_is_kept(self, kata):
        """One number per row, 1 / √(mean(x²) + eps). eps stands under the root, which
        shows in small rows.
        """
        x, eps = torch.randn(5, 20) * 0.1, 0.01
        _, rstd = rms(x, eps)
        wrong = {
            "the root itself": 1 / rstd,
            "eps outside of the root": 1 / (1 / rms(x, 0.0)[1] + eps),
        }
        with kernels.watched():
            _, out = kata.rms_norm(x, torch.ones(20), eps)
        check.close(out, rstd, unlike=wrong | {"the mean square": rms(x, eps)[1] ** -2})

    def test_each_number_is_loaded_once(self, kata):
        """A row and the weight are loaded, y and one number are stored, by one program
        per row. A row may be wide.
        """
        for N in (33, 1100):
            x, weight = torch.randn(7, N), torch.randn(N)
            with kernels.watched(backwards=True) as seen:
                out = kata.rms_norm(x, weight)
            check.close(out, (rms(x, 1e-5)[0] * weight, rms(x, 1e-5)[1]))
            check.moved(
                seen, loads=2 * 7 * N, stores=7 * N + 7, programs=7, x=x, weight=weight
            )
        check.kernels_compute(lambda: kata.rms_norm(x, weight), out)

    @pytest.mark.edge
    def test_half_precision_is_computed_in_float32(self, kata):
        """300² is infinite in float16. y has x's dtype, rounded once, after the weight.
        rstd is float32.
        """
        for dtype, places in ((torch.float16, 1.02 * 2**-11), (torch.bfloat16, 1e-2)):
            x, weight = (
                (torch.randn(3, 33) * 300).to(dtype),
                (torch.rand(33) + 0.5).to(dtype),
            )
            out, rstd = kata.rms_norm(x, weight)
            check.dtype(out, dtype)
            check.dtype(rstd, torch.float32)
            check.close(out.double(), rms(x, 1e-5)[0] * weight, rtol=places, atol=1e-6)
            check.close(rstd, rms(x, 1e-5)[1])


def normalised(x, weight, bias, eps=1e-5):
    """Layer norm in float64."""
    centred = x.double() - x.double().mean(1, keepdim=True)
    return (
        centred / (centred.square().mean(1, keepdim=True) + eps).sqrt() * weight + bias
    )


@pytest.mark.stretch
class TestLayerNorm:
    def test_mean_and_variance_are_taken_out(self, kata):
        """Then the weight scales and the bias shifts."""
        x, weight, bias = (
            (torch.randn(3, 64) * 2 + 1).round(),
            torch.randn(64).round(),
            torch.randn(64),
        )
        plain = normalised(x, 1, 0)
        wrong = {
            "the weight is missing": plain + bias,
            "the bias is missing": plain * weight,
        }
        with kernels.watched():
            out = kata.layer_norm(x, weight, bias)
        check.close(
            out,
            plain * weight + bias,
            unlike=wrong | {"scaled after the shift": (plain + bias) * weight},
        )

    def test_masked_lanes_are_not_in_the_variance(self, kata):
        """33 numbers with a mean of 3 lie in a block of 64. The other lanes hold 0, and
        after the subtraction −3: their squares do not belong to the row.
        """
        x, weight, bias = torch.randn(4, 33) + 3, torch.rand(33) + 0.5, torch.randn(33)
        mean = x.mean(1, keepdim=True)
        lanes = torch.cat([x - mean, -mean.expand(4, 31)], 1)
        spoilt = (x - mean) / (lanes.square().sum(1, keepdim=True) / 33 + 1e-5).sqrt()
        wrong = {"31 masked lanes in the variance": spoilt * weight + bias}
        with kernels.watched():
            out = kata.layer_norm(x, weight, bias)
        check.close(out, normalised(x, weight, bias), unlike=wrong)

    def test_each_number_is_loaded_once(self, kata):
        """A row, the weight and the bias: mean and variance come from the same block. A
        row may be wide.
        """
        for N in (33, 1100):
            x, weight, bias = torch.randn(7, N), torch.randn(N), torch.randn(N)
            with kernels.watched(backwards=True) as seen:
                out = kata.layer_norm(x, weight, bias, eps=0.5)
            check.close(
                out,
                normalised(x, weight, bias, 0.5),
                unlike={"eps not used": normalised(x, weight, bias)},
            )
            check.moved(
                seen,
                loads=3 * 7 * N,
                stores=7 * N,
                programs=7,
                x=x,
                weight=weight,
                bias=bias,
            )
        check.kernels_compute(lambda: kata.layer_norm(x, weight, bias, eps=0.5), out)

    @pytest.mark.edge
    def test_a_large_mean_costs_no_digits(self, kata):
        """Around 10,000, a square has no digits left for a variance of 1. Subtract the
        mean first, then square.
        """
        x = torch.randn(4, 33) + 1e4
        check.close(
            kata.layer_norm(x, torch.ones(33), torch.zeros(33)),
            normalised(x, 1, 0),
            rtol=1e-2,
            atol=1e-3,
        )


class TestLogsumexp:
    def test_one_block(self, kata):
        """32 numbers, one turn of the loop: the maximum, and the log of the sum of what
        is left.
        """
        x = torch.randn(3, 32).round()
        wrong = {
            "the maximum is not added": log_sums(x) - x.amax(1),
            "the sum, not its log": log_sums(x).exp(),
        }
        with kernels.watched():
            out = kata.logsumexp(x)
        check.close(out, log_sums(x), unlike=wrong)

    def test_a_maximum_in_a_later_block(self, kata):
        """What was summed before was measured from another maximum. It is multiplied by
        exp(old − new). From the first one, exp(105) would be beyond float32.
        """
        x = torch.randn(3, 75)
        x[0, 40], x[1, 70], x[2, 3] = 6.0, 105.0, 4.0
        tops = [block.amax(1) for block in x.split(32, 1)]
        parts = [
            (block - top[:, None]).exp().sum(1)
            for block, top in zip(x.split(32, 1), tops)
        ]
        running = torch.stack(tops).cummax(0).values
        later = sum(
            (block - top[:, None]).exp().sum(1)
            for block, top in zip(x.split(32, 1), running)
        )
        wrong = {
            "earlier blocks are not rescaled": x.amax(1) + later.log(),
            "each block from its own maximum": x.amax(1) + sum(parts).log(),
            "the last block alone": log_sums(x[:, 64:]),
        }
        with kernels.watched():
            out = kata.logsumexp(x)
        check.close(out, log_sums(x), unlike=wrong)

    def test_far_from_zero(self, kata):
        """Rows around −300 and 300. The first maximum is that of the first block,
        not 0.
        """
        x = torch.randn(2, 64) + torch.tensor([[-300.0], [300.0]])
        with kernels.watched():
            out = kata.logsumexp(x)
        right = log_sums(x)
        unlike = {
            "the largest so far begins at 0": torch.tensor(
                [-float("inf"), right[1].item()]
            )
        }
        check.close(out, right, unlike=unlike)

    def test_one_pass(self, kata):
        """Each number is loaded once, and one number per row is stored."""
        x = torch.randn(7, 80)[:, :75]
        with kernels.watched(backwards=True) as seen:
            out = kata.logsumexp(x)
        check.close(out, log_sums(x))
        check.moved(seen, loads=7 * 75, stores=7, programs=7, x=x)
        check.kernels_compute(lambda: kata.logsumexp(x), out)

    @settings(max_examples=10)
    @given(case=rows_and_blocks())
    def test_the_block_changes_nothing(self, kata, case):
        """Any length of row, in any block."""
        x, block = case
        check.close(kata.logsumexp(x, block=block), log_sums(x))

    @pytest.mark.edge
    def test_masked_scores(self, kata):
        """−∞ − (−∞) is NaN. A block of −∞ adds nothing, and log 0 is −∞. A row near
        −30,000 is no masked one: the maximum begins at −∞, not at −10,000.
        """
        x = torch.randn(4, 80)
        x[0, :40] = x[1] = x[2, 32:64] = -INFINITY
        x[3] -= 30_000
        check.close(kata.logsumexp(x), log_sums(x), finite=False)

    @pytest.mark.edge
    def test_a_gpu_can_have_it(self, kata):
        """On a GPU, a variable has one type. `total = 0` is an integer, and a loop that
        adds to it does not compile.
        """
        x = torch.randn(2, 70)
        with kernels.watched() as seen:
            kata.logsumexp(x)
        check.compiles(seen)


class TestSoftmaxLong:
    def test_a_maximum_in_a_later_block(self, kata):
        """The shares of all blocks are measured from the row's maximum and divided by
        the row's sum.
        """
        x = torch.randn(3, 75).round()
        x[0, 40], x[1, 70], x[2, 3] = 6.0, 60.0, 4.0
        alone = torch.cat([shares(block) for block in x.split(32, 1)], 1)
        with kernels.watched():
            out = kata.softmax_long(x)
        check.close(out, shares(x), unlike={"shares of each block": alone})

    def test_far_from_zero(self, kata):
        """Rows around −300 and 300."""
        x = torch.randn(2, 64) + torch.tensor([[-300.0], [300.0]])
        check.close(kata.softmax_long(x), shares(x), rtol=1e-3)

    def test_two_passes(self, kata):
        """Maximum and sum come from one pass, so that each number is loaded twice, and
        stored once.
        """
        x = torch.randn(7, 80)[:, :75]
        with kernels.watched(backwards=True) as seen:
            out = kata.softmax_long(x)
        check.close(out, shares(x))
        check.moved(seen, loads=2 * 7 * 75, stores=7 * 75, programs=7, x=x)
        check.kernels_compute(lambda: kata.softmax_long(x), out)

    @settings(max_examples=10)
    @given(case=rows_and_blocks())
    def test_the_block_changes_nothing(self, kata, case):
        """Any length of row, in any block."""
        x, block = case
        check.close(kata.softmax_long(x, block=block), shares(x), rtol=1e-3)

    @pytest.mark.edge
    def test_masked_scores(self, kata):
        """−∞ − (−∞) is NaN. A block of −∞ has shares of 0. A row near −30,000 is no
        masked one: the maximum begins at −∞, not at −10,000.
        """
        x = torch.randn(3, 80)
        x[0, :40] = x[1, 32:64] = -INFINITY
        x[2] -= 30_000
        out = kata.softmax_long(x)
        check.close(out[:2], shares(x[:2]))
        # float32 numbers near −30,000 are 0.002 apart
        check.close(out[2], shares(x)[2], rtol=5e-3)


@pytest.mark.stretch
class TestColumnSum:
    def test_one_program(self, kata):
        """16 rows of 32 columns. Axis 0 goes down the rows."""
        x = torch.randn(16, 32).round()
        with kernels.watched():
            out = kata.column_sum(x)
        check.close(out, x.double().sum(0), atol=1e-4)

    def test_lines_are_summed_again(self, kata):
        """300 rows become 19 lines, 2, and 1: three launches, each of which loads what
        the one before stored.
        """
        x = torch.randn(300, 64)
        with kernels.watched(max_programs=64) as seen:
            out = kata.column_sum(x)
        check.close(out, x.double().sum(0), atol=1e-4)
        check.moved(
            seen,
            loads=(300 + 19 + 2) * 64,
            stores=(19 + 2 + 1) * 64,
            programs=(19 + 2 + 1) * 2,
            x=x,
        )
        check.kernels_compute(lambda: kata.column_sum(x), out)

    def test_the_same_bits_in_any_order(self, kata):
        """Floating sums depend on their order. Atomics add in the order in which
        programs come, so that the last digits change from run to run; lines of one's
        own do not.
        """
        x = torch.randn(20, 33)
        found = []
        for backwards in (False, True):
            with kernels.watched(backwards=backwards) as seen:
                found.append(kata.column_sum(x, rows=4))
            check.that(
                seen.total("atomic") == 0,
                f"{seen.total('atomic')} numbers were changed by atomics",
            )
        check.close(found[0], x.double().sum(0), atol=1e-4)
        check.equal(
            found[0], found[1], what="the sums with the programs in the other order"
        )

    def test_blocks_are_obeyed(self, kata):
        """A program sums `rows` rows of `block` columns, of the lines as well: 20, 5, 2
        and 1.
        """
        x = torch.randn(20, 24)
        with kernels.watched() as seen:
            out = kata.column_sum(x, rows=4, block=8)
        check.close(out, x.double().sum(0), atol=1e-4)
        check.moved(
            seen,
            loads=(20 + 5 + 2) * 24,
            stores=(5 + 2 + 1) * 24,
            programs=(5 + 2 + 1) * 3,
        )

    @pytest.mark.edge
    def test_no_rows(self, kata):
        """The sum of nothing is 0."""
        check.equal(kata.column_sum(torch.zeros(0, 5)), torch.zeros(5))


@pytest.mark.stretch
class TestArgmax:
    def test_the_place_counts_from_the_row_s_start(self, kata):
        """A place in the second block is 32 more than the place in the block."""
        x = torch.randn(4, 75)
        x[0, 70], x[1, 2], x[2, 40], x[3, 31] = 9.0, 9.0, 9.0, 9.0
        expected = torch.tensor([70, 2, 40, 31])
        with kernels.watched():
            out = kata.argmax(x)
        check.equal(out, expected, unlike={"the place in the block": expected % 32})

    def test_the_first_of_equal_ones(self, kata):
        """Within a block, and across blocks: a later number must be larger to win."""
        x = torch.zeros(3, 75)
        x[0, 5] = x[0, 9] = x[1, 20] = x[1, 50] = x[1, 70] = 4.0
        x[2, 20:] = 0.5
        unlike = {"the last block's of equal ones": torch.tensor([5, 70, 64])}
        check.equal(kata.argmax(x), torch.tensor([5, 20, 20]), unlike=unlike)

    def test_all_negative(self, kata):
        """Masked lanes and the start of the running maximum must lose against
        any number.
        """
        x = -torch.rand(3, 50) - 5
        x[0, 49] = x[1, 0] = x[2, 33] = -4.0
        unlike = {"the largest so far begins at 0": torch.tensor([0, 0, 0])}
        check.equal(kata.argmax(x), torch.tensor([49, 0, 33]), unlike=unlike)

    def test_one_pass(self, kata):
        """Each number is loaded once, and one place per row is stored."""
        for N in (64, 75):
            x = torch.randn(7, 80)[:, :N]
            with kernels.watched(backwards=True) as seen:
                out = kata.argmax(x, block=16)
            check.equal(
                out,
                torch.tensor(
                    [max(range(N), key=row.__getitem__) for row in x.tolist()]
                ),
            )
            check.moved(seen, loads=7 * N, stores=7, programs=7, x=x)
        check.kernels_compute(lambda: kata.argmax(x), out)
