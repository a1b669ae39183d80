"""Specs for 04: ranges, reductions, broadcasting, matrix products, and what each of
them does at zero.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nan
from torch.nn import functional as F

from grader.specs import check

INF = math.inf
ROUGHLY = {"rtol": 1e-4, "atol": 1e-5}  # where precision is not the point


def numbers(*shape, seed=0):
    """Float64 numbers around 0.5, the same on every call."""
    return (
        torch.randn(
            *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
        )
        + 0.5
    )


def equal_values():
    """Rows of seven equal values. Seven times 0.1 does not add up to exactly 0.7, so
    some computed means are off.
    """
    return torch.tensor([0.1, 0.2, 0.7, 1.1, 3.3, -0.6])[:, None].repeat(1, 7)


def stats_by_numpy(x, axis):
    """min, max, mean and n-divisor std by NumPy."""
    found = {"min": np.min, "max": np.max, "mean": np.mean, "std": np.std}
    return {
        name: torch.as_tensor(reduce(x.numpy(), axis=axis))
        for name, reduce in found.items()
    }


def standardized_by_numpy(x, axis):
    values = x.numpy()
    mean, std = (
        reduce(values, axis=axis, keepdims=True) for reduce in (np.mean, np.std)
    )
    return torch.from_numpy((values - mean) / std)


def cosine(a, b):
    """The cosine of two lists of numbers, by the textbook formula."""
    return sum(p * q for p, q in zip(a, b, strict=True)) / (
        math.hypot(*a) * math.hypot(*b)
    )


def shape_by_torch(a_shape, b_shape):
    """The shape that torch.matmul gives for these shapes; None where it
    refuses them.
    """
    try:
        return tuple(torch.matmul(torch.empty(a_shape), torch.empty(b_shape)).shape)
    except RuntimeError:
        return None


@st.composite
def ranges(draw):
    """Some integers, and a range whose ends may lie between two of them."""
    ends = st.integers(-8, 8).map(lambda n: n / 2)
    low, high = sorted((draw(ends), draw(ends)))
    return draw(st.lists(st.integers(-5, 5), min_size=1, max_size=4)), low, high


@st.composite
def shapes_and_dims(draw):
    """A shape of one to three dimensions, and one of them, counted from either end."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple))
    return shape, draw(st.integers(-len(shape), len(shape) - 1))


def two_shapes(smallest):
    """Two shapes of one to four dimensions, many of which fit."""
    shape = st.lists(st.sampled_from([smallest, 1, 3, 3]), min_size=1, max_size=4).map(
        tuple
    )
    return st.tuples(shape, shape)


@st.composite
def points(draw):
    """Two lists of points, all with the same number of coordinates."""
    size = draw(st.integers(1, 3))
    point = st.lists(st.integers(-9, 9), min_size=size, max_size=size)
    return draw(st.lists(point, min_size=1, max_size=3)), draw(
        st.lists(point, min_size=1, max_size=3)
    )


class TestBetween:
    def test_true_inside_and_false_outside(self, kata):
        """Each element is compared separately, so the result is a bool tensor of x's
        shape. A chain like low <= x <= high needs one truth value for the whole tensor,
        and there is none.
        """
        x = torch.tensor([[0.5, 2.5, 9.0], [3.5, -2.5, 2.25]])
        expected = torch.tensor([[False, True, False], [True, False, True]])
        beyond_one_end = {
            "everything above low": x >= 2,
            "everything below high": x <= 4,
            "True everywhere: joined by or": torch.ones_like(x).bool(),
        }
        check.equal(kata.between(x, 2.0, 4.0), expected, unlike=beyond_one_end)

    def test_both_ends_belong_to_the_range(self, kata):
        """low ≤ x ≤ high: an element equal to an end lies inside."""
        x = torch.tensor([1, 2, 3, 4, 5])
        check.equal(
            kata.between(x, 2, 4),
            torch.tensor([False, True, True, True, False]),
            unlike={
                "both ends left out": (x > 2) & (x < 4),
                "the lower end left out": (x > 2) & (x <= 4),
                "the upper end left out": (x >= 2) & (x < 4),
            },
        )

    def test_integers_between_two_fractions(self, kata):
        """Between 1.5 and 3.5 lie 2 and 3. Converted to x's dtype first, 1.5 becomes 1,
        and lets 1 in.
        """
        x = torch.tensor([1, 2, 3, 4])
        unlike = {"the ends cut to integers": (x >= 1) & (x <= 3)}
        check.equal(
            kata.between(x, 1.5, 3.5),
            torch.tensor([False, True, True, False]),
            unlike=unlike,
        )

    @given(case=ranges())
    def test_any_range_of_any_numbers(self, kata, case):
        """Integers may be compared with fractions, and a range of one number contains
        that number.
        """
        values, low, high = case
        x = torch.tensor(values)
        check.equal(
            kata.between(x, low, high),
            torch.tensor([low <= value <= high for value in values]),
        )

    @pytest.mark.edge
    def test_nan_lies_nowhere(self, kata):
        """NaN is neither above nor below any number: `<`, `<=`, `>` and `>=` are all
        False for it. So "not below and not above" would let it in.
        """
        x = torch.tensor([nan, 1.0, INF])
        check.equal(kata.between(x, 0.0, 2.0), torch.tensor([False, True, False]))
        check.equal(kata.between(x, -INF, INF), torch.tensor([False, True, True]))

    @pytest.mark.edge
    def test_low_above_high_is_refused(self, kata):
        """The two ends were swapped: a result of all False would hide that."""
        with check.raises(ValueError):
            kata.between(torch.ones(3), 2.0, 1.0)


class TestSummaryStats:
    def test_four_numbers_for_the_whole_tensor(self, kata):
        """Without a dim everything is reduced, and each value is a 0-dim tensor."""
        x = torch.tensor([[4.0, -2.0, 6.0], [0.0, 10.0, 3.0]])
        got = kata.summary_stats(x)
        expected = {"min": -2.0, "max": 10.0, "mean": 3.5, "std": math.sqrt(91.5 / 6)}
        suspects = {
            "divided by n − 1 instead of n": {"std": torch.tensor(91.5 / 5).sqrt()},
            "the square root is missing": {"std": torch.tensor(91.5 / 6)},
        }
        for name, value in expected.items():
            for shape in ((1,), (1, 1)):
                suspects |= {
                    f"keepdim=True: {name} keeps a dimension, {shape}": {
                        name: torch.full(shape, value)
                    }
                }
        check.close(
            got,
            {name: torch.tensor(value) for name, value in expected.items()},
            unlike=suspects,
        )

    def test_std_divides_by_n(self, kata):
        """1 and 3 are both 1 away from their mean 2, so their std is 1. Dividing by
        n − 1, as x.std() does by default, gives the root of 2.
        """
        got = kata.summary_stats(torch.tensor([1.0, 3.0]))
        suspects = {
            "divided by n − 1": torch.tensor(2.0).sqrt(),
            "the square root is missing": torch.tensor(2.0),
        }
        check.close(got["std"], torch.tensor(1.0), unlike=suspects, what="std")

    @given(case=shapes_and_dims())
    def test_along_one_dim(self, kata, case):
        """The reduced dimension disappears, and each value is a tensor: x.min(dim) and
        x.max(dim) return a pair of values and indices.
        """
        shape, dim = case
        x = numbers(*shape)
        check.close(kata.summary_stats(x, dim), stats_by_numpy(x, dim))

    def test_a_single_element_has_no_spread(self, kata):
        """A single element equals its mean: std 0. With the divisor n − 1 it would
        be 0 / 0.
        """
        check.equal(
            kata.summary_stats(torch.tensor(3.0))["std"], torch.tensor(0.0), what="std"
        )
        check.equal(
            kata.summary_stats(torch.tensor([[3.0], [5.0]]), 1)["std"],
            torch.zeros(2),
            what="std along dim 1",
        )

    def test_gradients_flow_back(self, kata):
        """All four are differentiable, so a loss may use them."""
        names = ("min", "max", "mean", "std")

        def by_hand(x):
            mean = x.sum(1) / 4
            std = ((x - mean[:, None]) ** 2).mean(1).sqrt()
            ordered = x.sort(dim=1).values
            return torch.stack([ordered[:, 0], ordered[:, -1], mean, std])

        def ours(x):
            return torch.stack([kata.summary_stats(x, 1)[name] for name in names])

        check.gradients(ours, by_hand, numbers(3, 4), **ROUGHLY)

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """The result follows the indices, not the order in memory; `view` refuses a
        tensor like this one.
        """
        x = numbers(3, 5).t()
        check.close(kata.summary_stats(x), stats_by_numpy(x, None))
        check.close(kata.summary_stats(x, 0), stats_by_numpy(x, 0))

    @pytest.mark.edge
    def test_accurate_where_the_mean_is_large(self, kata):
        """mean(x²) − mean(x)² subtracts two numbers near 1e8, where float32 has steps
        of 8. Subtract the mean first and square afterwards.
        """
        got = kata.summary_stats(torch.tensor([9999.0, 10001.0]))
        check.close(got["std"], torch.tensor(1.0), what="std")

    @pytest.mark.edge
    def test_integers_have_a_fractional_mean(self, kata):
        """The minimum and maximum of integers are integers. Their mean need not be, and
        torch refuses to take the mean of an integer tensor: mean and std are float32.
        """
        got = kata.summary_stats(torch.tensor([1, 2, 4, 9]))
        check.equal(
            {name: got[name] for name in ("min", "max", "mean")},
            {"min": torch.tensor(1), "max": torch.tensor(9), "mean": torch.tensor(4.0)},
        )
        check.dtype(got["std"], torch.float32, what="std")
        check.close(got["std"], torch.tensor(9.5).sqrt(), what="std")

    @pytest.mark.edge
    def test_integers_along_a_dim(self, kata):
        """A dim does not change the dtypes: integers for minimum and maximum, float32
        for mean and std.
        """
        got = kata.summary_stats(
            torch.tensor([[1, 2, 6], [5, 5, 8]], dtype=torch.int32), 1
        )
        check.equal(
            {name: got[name] for name in ("min", "max", "mean")},
            {
                "min": torch.tensor([1, 5], dtype=torch.int32),
                "max": torch.tensor([6, 8], dtype=torch.int32),
                "mean": torch.tensor([3.0, 6.0]),
            },
        )
        check.dtype(got["std"], torch.float32, what="std")
        check.close(got["std"], torch.tensor([14 / 3, 2.0]).sqrt(), what="std")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_floating_point_dtypes_stay(self, kata, dtype):
        """float64 numbers keep their digits, and bfloat16 numbers their two bytes."""
        got = kata.summary_stats(torch.tensor([[1.0, 3.0], [2.0, 6.0]], dtype=dtype), 1)
        for name, value in got.items():
            check.dtype(value, dtype, what=name)

    @pytest.mark.edge
    @pytest.mark.parametrize(("shape", "dim"), [((0,), None), ((3, 0), 0)], ids=str)
    def test_an_empty_tensor_is_refused(self, kata, shape, dim):
        """An empty tensor has no minimum and no mean: an error is better than NaN."""
        with check.raises(ValueError):
            kata.summary_stats(torch.empty(shape), dim)


class TestStandardize:
    def test_everything_as_one_slice(self, kata):
        """Without a dim there is one mean and one std for all of x. The result keeps
        x's shape.
        """
        x = numbers(2, 3, 4)
        one_less = (x - x.mean()) / x.std()
        suspects = {
            "std with the divisor n − 1": one_less,
            "only the mean was subtracted": x - x.mean(),
            "divided by the variance instead of its root": (x - x.mean())
            / x.var(correction=0),
            "each row by itself": standardized_by_numpy(x, -1),
        }
        check.close(
            kata.standardize(x),
            standardized_by_numpy(x, None),
            atol=1e-4,
            unlike=suspects,
        )

    def test_rows_of_a_square_matrix(self, kata):
        """Four row means have shape (4,), and a (4, 4) matrix minus (4,) subtracts them
        from its columns without an error. keepdim=True gives them shape (4, 1).
        """
        x = numbers(4, 4)
        mean, std = x.mean(1), x.std(1, correction=0)
        suspects = {
            "keepdim is missing: row statistics were applied to columns": (x - mean)
            / std,
            "keepdim is missing for the mean": (x - mean) / std[:, None],
            "keepdim is missing for the std": (x - mean[:, None]) / std,
            "columns instead of rows": standardized_by_numpy(x, 0),
            "one mean for all of x: pass dim to the mean": (x - x.mean())
            / std[:, None],
            "one std for all of x: pass dim to the std": (x - mean[:, None])
            / x.std(correction=0),
        }
        check.close(
            kata.standardize(x, 1),
            standardized_by_numpy(x, 1),
            atol=1e-4,
            unlike=suspects,
        )

    @pytest.mark.parametrize("dim", [0, -1, (0, 2)], ids=str)
    def test_along_some_dims(self, kata, dim):
        """Each slice has its own mean and std. Keep the reduced dims with size 1, so
        that both broadcast to their slice.
        """
        x = numbers(3, 4, 5)
        check.close(kata.standardize(x, dim), standardized_by_numpy(x, dim), atol=1e-4)

    def test_equal_values_become_0(self, kata):
        """Equal values have no spread, and 0 / 0 is NaN. The other slice keeps
        its result.
        """
        x = torch.tensor([[2.0, 2.0, 2.0, 2.0], [0.0, 1.0, 2.0, 3.0]])
        got = kata.standardize(x, 1)
        check.equal(
            got[0],
            torch.zeros(4),
            what="the slice of equal values",
            unlike={"0 / 0": torch.full((4,), nan)},
        )
        check.close(
            got[1], standardized_by_numpy(x[1], None), atol=1e-4, what="the slice 0 … 3"
        )

    @given(case=st.tuples(st.sampled_from([0.25, 2.0, 40.0]), st.integers(-20, 20)))
    def test_shift_and_scale_do_not_matter(self, kata, case):
        """Heights in cm or in inches, measured from the floor or from a table:
        standardized, they are the same.
        """
        factor, shift = case
        x = numbers(4, 5)
        check.close(
            kata.standardize(factor * x + shift, 1),
            standardized_by_numpy(x, 1),
            atol=1e-4,
        )

    def test_x_stays_as_it_was(self, kata):
        """`x -= mean` would change the caller's tensor."""
        x = numbers(3, 4)
        with check.unchanged(x=x):
            kata.standardize(x, 1)

    def test_gradient_matches(self, kata):
        """Mean and std depend on every element of the slice, so the gradient flows
        through both. `detach` or `no_grad` would cut it off.
        """

        def by_hand(x):
            centred = x - x.sum(1, keepdim=True) / 4
            return centred / (centred.square().sum(1, keepdim=True) / 4) ** 0.5

        check.gradients(
            lambda x: kata.standardize(x, 1), by_hand, numbers(3, 4), **ROUGHLY
        )

    @pytest.mark.edge
    def test_a_tiny_spread_still_gives_std_1(self, kata):
        """Numbers around 1e-9 have a spread, too: an eps added to the divisor would
        flatten them.
        """
        x = 1e-9 * torch.tensor(
            [[1.0, 2.0, 6.0], [-4.0, 0.0, 1.0]], dtype=torch.float64
        )
        check.close(kata.standardize(x, 1), standardized_by_numpy(1e9 * x, 1))

    @pytest.mark.edge
    def test_a_tiny_spread_far_from_zero(self, kata):
        """[5, 5 + 2e-9] are two different numbers. mean(x²) − mean(x)² cannot tell
        them apart.
        """
        x = torch.tensor([5.0, 5.0 + 2e-9], dtype=torch.float64)
        expected = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        check.close(
            kata.standardize(x),
            expected,
            rtol=1e-4,
            unlike={"treated as equal values": torch.zeros(2)},
        )

    @pytest.mark.edge
    def test_equal_values_with_an_inexact_mean(self, kata):
        """In float32 the computed mean of seven times 0.1 is off by a rounding step.
        All differences equal that step, the std may as well, and step / step is 1.
        Compare the values themselves, not the std with 0.
        """
        for slice_of_x in equal_values():
            step = slice_of_x - slice_of_x.mean()
            unlike = {"a rounding step divided by itself": step / step.abs()}
            check.equal(kata.standardize(slice_of_x), torch.zeros(7), unlike=unlike)

    @pytest.mark.edge
    def test_gradient_of_equal_values_is_finite(self, kata):
        """The square root is infinitely steep at 0. Replacing the NaN afterwards, for
        instance with torch.where, repairs the value but not the gradient: put a
        harmless number under the root before you take it.
        """
        x = torch.cat(
            [equal_values(), torch.full((1, 7), 2.0), torch.arange(7.0)[None]]
        ).requires_grad_()
        kata.standardize(x, 1).pow(3).sum().backward()
        check.finite(x.grad, what="gradient of x")

    @pytest.mark.edge
    def test_integers_become_float32(self, kata):
        """The mean of [1, 2, 6] is 3, but the std is not an integer."""
        got = kata.standardize(torch.tensor([1, 2, 6]))
        check.dtype(got, torch.float32)
        check.close(got, torch.tensor([-2.0, -1.0, 3.0]) * math.sqrt(3 / 14))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_floating_point_dtypes_stay(self, kata, dtype):
        """Only integers are converted to float32."""
        check.dtype(kata.standardize(torch.tensor([1.0, 2.0, 4.0], dtype=dtype)), dtype)


class TestCosineSimilarity:
    def test_small_numbers(self, kata):
        """[3, 4]·[4, 3] = 24 and both norms are 5: 24 / 25. Right angles give 0,
        opposite directions −1.
        """
        a = torch.tensor([[3.0, 4.0], [1.0, 2.0], [2.0, -1.0]], dtype=torch.float64)
        b = torch.tensor([[4.0, 3.0], [-2.0, 1.0], [-4.0, 2.0]], dtype=torch.float64)
        suspects = {
            "the product without the norms": torch.tensor([24.0, 0.0, -10.0]),
            "divided by the norms of the whole tensors": (a * b).sum(1)
            / (a.norm() * b.norm()),
            "the norms added, not multiplied": (a * b).sum(1)
            / (a.norm(dim=1) + b.norm(dim=1)),
            "squares without a root": (a * b).sum(1)
            / ((a * a).sum(1) * (b * b).sum(1)),
        }
        check.close(
            kata.cosine_similarity(a, b),
            torch.tensor([0.96, 0.0, -1.0], dtype=torch.float64),
            unlike=suspects,
        )

    def test_along_dim_0(self, kata):
        """With dim = 0 the vectors are the columns. In a square matrix, norms along the
        wrong dim raise no error.
        """
        a, b = numbers(3, 3), numbers(3, 3, seed=1)
        expected = [cosine(a[:, j].tolist(), b[:, j].tolist()) for j in range(3)]
        suspects = {
            "products along dim 0, norms along the rows": (a * b).sum(0)
            / (a.norm(dim=1) * b.norm(dim=1)),
            "rows instead of columns": F.cosine_similarity(a, b, dim=1),
        }
        check.close(
            kata.cosine_similarity(a, b, dim=0),
            torch.tensor(expected).double(),
            rtol=1e-5,
            unlike=suspects,
        )

    def test_all_pairs_by_broadcasting(self, kata):
        """(N, 1, D) with (1, M, D) is every vector of a with every vector of
        b: (N, M).
        """
        a, b = numbers(4, 3), numbers(5, 3, seed=1)
        expected = torch.tensor(
            [[cosine(p, q) for q in b.tolist()] for p in a.tolist()],
            dtype=torch.float64,
        )
        check.close(kata.cosine_similarity(a[:, None], b[None]), expected)

    @given(factors=st.tuples(*[st.sampled_from([-3.0, -0.1, 0.1, 1.0, 50.0])] * 2))
    def test_length_does_not_matter(self, kata, factors):
        """Only directions count: scaling a vector changes nothing, and the opposite
        direction flips the sign.
        """
        p, q = factors
        a, b = numbers(4, 3), numbers(4, 3, seed=1)
        expected = torch.tensor(
            [cosine(v, w) for v, w in zip(a.tolist(), b.tolist(), strict=True)]
        ).double()
        check.close(
            kata.cosine_similarity(p * a, q * b),
            expected * math.copysign(1, p * q),
            rtol=1e-5,
        )

    def test_a_zero_vector_is_similar_to_nothing(self, kata):
        """A zero vector has no direction. The value is 0, not 0 / 0."""
        a = torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]])
        b = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]])
        check.equal(
            kata.cosine_similarity(a, b),
            torch.zeros(3),
            unlike={"0 / 0": torch.full((3,), nan)},
        )

    def test_gradients_match(self, kata):
        """Gradients flow to a and to b, through the product and through the norms."""
        a, b = numbers(4, 1, 3), numbers(2, 3, seed=1)
        check.gradients(
            kata.cosine_similarity,
            lambda a, b: F.cosine_similarity(a, b, dim=-1),
            a,
            b,
            **ROUGHLY,
        )

    def test_is_written_without_the_ready_made_one(self, kata):
        """torch has this function; here you build it from products, sums and norms."""
        a, b = numbers(4, 3), numbers(4, 3, seed=1)
        expected = F.cosine_similarity(a, b)
        names = [
            "torch.nn.functional.cosine_similarity",
            "torch.cosine_similarity",
            "torch.nn.CosineSimilarity",
        ]
        with check.forbidden(kata, *names):
            got = kata.cosine_similarity(a, b)
        check.close(got, expected)

    @pytest.mark.edge
    def test_gradient_at_a_zero_vector_is_finite(self, kata):
        """The root of a sum of squares is infinitely steep at 0, and infinity times 0
        is NaN. Norm functions take the slope there as 0; a root of your own needs care.
        """
        a = torch.tensor([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]], requires_grad=True)
        b = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, 0.0]], requires_grad=True)
        kata.cosine_similarity(a, b).sum().backward()
        check.finite(a.grad, what="gradient of a")
        check.finite(b.grad, what="gradient of b")

    @pytest.mark.edge
    def test_eps_is_the_least_norm_of_each(self, kata):
        """max(‖a‖, eps) · max(‖b‖, eps): with eps 0.5, the norm 0.3 becomes 0.5 and the
        norm 2 stays, so 0.6 / 1.
        """
        a, b = torch.tensor([0.3, 0.0]), torch.tensor([2.0, 0.0])
        suspects = {
            "max(‖a‖ · ‖b‖, eps)": torch.tensor(1.0),
            "‖a‖ · ‖b‖ + eps": torch.tensor(0.6 / 1.1),
            "eps added to each norm": torch.tensor(0.6 / (0.8 * 2.5)),
        }
        check.close(
            kata.cosine_similarity(a, b, eps=0.5), torch.tensor(0.6), unlike=suspects
        )
        check.close(
            kata.cosine_similarity(b, a, eps=0.5), torch.tensor(0.6), unlike=suspects
        )

    @pytest.mark.edge
    def test_eps_is_1e_8_unless_given(self, kata):
        """A norm of 1e-9 becomes 1e-8, so the result is a tenth of the cosine."""
        a, b = (
            torch.tensor([1e-9, 0.0], dtype=torch.float64),
            torch.tensor([1.0, 0.0], dtype=torch.float64),
        )
        check.close(
            kata.cosine_similarity(a, b), torch.tensor(0.1, dtype=torch.float64)
        )

    @pytest.mark.edge
    def test_dim_counts_in_the_broadcast_shape(self, kata):
        """a (2, 3) and b (3,) broadcast to (2, 3), where dim 0 runs over the two rows.
        b is then repeated in both rows, so its columns are two equal numbers.
        """
        a, b = (
            torch.tensor([[3.0, 1.0, 5.0], [4.0, -1.0, 12.0]]),
            torch.tensor([2.0, 3.0, -7.0]),
        )
        expected = [7 / (5 * 2**0.5), 0.0, -17 / (13 * 2**0.5)]
        check.close(kata.cosine_similarity(a, b, dim=0), torch.tensor(expected))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_dtype_stays(self, kata, dtype):
        """float64 in, float64 out, and so for float32."""
        check.dtype(
            kata.cosine_similarity(
                torch.ones(2, 3, dtype=dtype), torch.ones(2, 3, dtype=dtype)
            ),
            dtype,
        )


@pytest.mark.stretch
class TestMatmulShape:
    def test_two_matrices(self, kata):
        """(M, K), (K, N) → (M, N): the inner sizes disappear, the outer ones stay. The
        result is a plain tuple of ints.
        """
        check.equal(kata.matmul_shape((2, 3), (3, 4)), (2, 4))

    def test_a_vector_is_a_column_or_a_row_that_vanishes(self, kata):
        """(M, K), (K,) → (M,): one number per row. (K,), (K, N) → (N,): one number
        per column.
        """
        unlike = {"a[:-1] and b[-1:], as for two matrices": (2, 3)}
        check.equal(kata.matmul_shape((2, 3), (3,)), (2,), unlike=unlike)
        check.equal(kata.matmul_shape((3,), (3, 4)), (4,))

    def test_two_vectors_give_a_single_number(self, kata):
        """Row and column both disappear, and a shape without sizes is ()."""
        check.equal(kata.matmul_shape((3,), (3,)), ())

    def test_batch_dimensions_broadcast(self, kata):
        """All but the last two dimensions are batch dimensions. Aligned from the right,
        a 1 or a missing size takes the size of the other shape. A vector is multiplied
        with every matrix of the batch.
        """
        check.equal(kata.matmul_shape((5, 2, 3), (5, 3, 4)), (5, 2, 4))
        check.equal(kata.matmul_shape((2, 3), (6, 5, 3, 4)), (6, 5, 2, 4))
        check.equal(kata.matmul_shape((7, 1, 2, 3), (5, 3, 4)), (7, 5, 2, 4))
        check.equal(kata.matmul_shape((6, 5, 2, 3), (3,)), (6, 5, 2))

    def test_shapes_that_do_not_fit_are_refused(self, kata):
        """Inner sizes have to be equal: an inner 1 is not stretched, unlike a batch
        size of 1. Batch sizes 4 and 5 do not fit either.
        """
        for a, b in (
            ((2, 3), (4, 5)),
            ((2, 1), (3, 5)),
            ((3,), (2, 3)),
            ((4, 2, 3), (5, 3, 6)),
        ):
            with check.raises(ValueError):
                kata.matmul_shape(a, b)

    def test_nothing_is_multiplied(self, kata):
        """Shapes alone decide. A matrix of 10⁹ × 10⁹ numbers fits into no memory, but
        its shape is just two ints.
        """
        check.equal(kata.matmul_shape((10**9, 10**9), (10**9, 7)), (10**9, 7))

    @given(case=two_shapes(smallest=1))
    def test_agrees_with_torch_on_any_shapes(self, kata, case):
        """Any two shapes give the shape that torch.matmul gives, and an error where
        torch.matmul refuses.
        """
        a, b = case
        expected = shape_by_torch(a, b)
        if expected is None:
            with check.raises(ValueError):
                kata.matmul_shape(a, b)
        else:
            check.equal(kata.matmul_shape(a, b), expected)

    @pytest.mark.edge
    @example(case=((0, 2, 3), (1, 3, 4)))
    @given(case=two_shapes(smallest=0))
    def test_a_size_may_be_0(self, kata, case):
        """0 is a size like any other. A batch size 0 with a batch size 1 gives 0, which
        max() gets wrong. An inner size of 0 is allowed as well: each entry of the
        product is then an empty sum.
        """
        a, b = case
        expected = shape_by_torch(a, b)
        if expected is None:
            with check.raises(ValueError):
                kata.matmul_shape(a, b)
        else:
            check.equal(kata.matmul_shape(a, b), expected)

    @pytest.mark.edge
    def test_lists_and_torch_sizes_will_do(self, kata):
        """Any sequence of sizes is a shape; the result is a tuple."""
        check.equal(kata.matmul_shape([5, 2, 3], [3]), (5, 2))
        check.equal(kata.matmul_shape(torch.Size([2, 3]), torch.Size([3, 4])), (2, 4))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("a", "b"),
        [
            ((2, 3), (4, 5)),
            ((4, 2, 3), (5, 3, 6)),
            ((0, 2, 3), (5, 3, 4)),
            ((), (3, 4)),
            ((2, 3), ()),
        ],
        ids=str,
    )
    def test_shapes_that_do_not_fit_are_both_named(self, kata, a, b):
        """A message with both shapes, as tuples, shows which two did not fit."""
        with check.raises(ValueError, a, b):
            kata.matmul_shape(list(a), list(b))


class TestMatmul:
    def test_small_numbers(self, kata):
        """Row [1, 2] times column [5, 7] is 1·5 + 2·7 = 19. `a * b` multiplies entry by
        entry and sums nothing.
        """
        a, b = (
            torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
            torch.tensor([[5.0, 6.0], [7.0, 8.0]]),
        )
        suspects = {
            "a * b, entry by entry": a * b,
            "summed over the wrong dimension": torch.tensor(
                [[11.0, 30.0], [33.0, 60.0]]
            ),
            "columns of a with columns of b": torch.tensor(
                [[26.0, 30.0], [38.0, 44.0]]
            ),
            "rows of a with rows of b": torch.tensor([[17.0, 23.0], [39.0, 53.0]]),
            "b times a": torch.tensor([[23.0, 34.0], [31.0, 46.0]]),
        }
        check.equal(
            kata.matmul(a, b),
            torch.tensor([[19.0, 22.0], [43.0, 50.0]]),
            unlike=suspects,
        )

    @given(case=st.tuples(*[st.integers(1, 4)] * 3))
    def test_matrices_of_any_size(self, kata, case):
        """(M, K) · (K, N) → (M, N), each entry a sum over K products. With K = 1 this
        is a multiplication table.
        """
        m, k, n = case
        a, b = numbers(m, k), numbers(k, n, seed=1)
        expected = [
            [sum(a[i, q].item() * b[q, j].item() for q in range(k)) for j in range(n)]
            for i in range(m)
        ]
        check.close(kata.matmul(a, b), torch.tensor(expected, dtype=torch.float64))

    def test_gradients_match(self, kata):
        """Gradients flow to both matrices. A float() or item() on the way would cut
        them off.
        """
        check.gradients(
            kata.matmul,
            lambda a, b: a @ b,
            numbers(3, 4),
            numbers(4, 5, seed=1),
            **ROUGHLY,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """torch has many names for this product; here you build it from element-wise
        products and sums, or torch.dot.
        """
        a, b = numbers(3, 4), numbers(4, 5, seed=1)
        expected = a @ b
        functions = [
            "matmul",
            "mm",
            "einsum",
            "tensordot",
            "addmm",
            "bmm",
            "linalg.matmul",
            "nn.functional.linear",
        ]
        methods = ["__matmul__", "__rmatmul__", "matmul", "mm", "addmm", "bmm"]
        names = [f"torch.{name}" for name in functions] + [
            f"torch.Tensor.{name}" for name in methods
        ]
        with check.forbidden(kata, *names):
            got = kata.matmul(a, b)
        check.close(got, expected)

    @pytest.mark.edge
    def test_works_on_transposed_views(self, kata):
        """Entry [i, k] is found by its index, wherever it is in memory; `view` refuses
        such tensors.
        """
        a, b = numbers(4, 3).t(), numbers(5, 4, seed=1).t()
        check.close(kata.matmul(a, b), a @ b)

    @pytest.mark.edge
    def test_an_inner_size_of_0_gives_zeros(self, kata):
        """A sum of no products is 0."""
        check.equal(kata.matmul(torch.ones(2, 0), torch.ones(0, 3)), torch.zeros(2, 3))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.int64, torch.int32, torch.float64], ids=str
    )
    def test_the_dtype_stays(self, kata, dtype):
        """Integers give integers of the same width, but sum() turns int32 into int64
        unless it gets a dtype.
        """
        a, b = (
            torch.tensor([[1, 2, 3], [4, 5, 6]], dtype=dtype),
            torch.tensor([[1], [0], [-2]], dtype=dtype),
        )
        check.equal(kata.matmul(a, b), torch.tensor([[-5], [-8]], dtype=dtype))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("a", "b"), [((2, 3), (4, 5)), ((2, 1), (3, 5)), ((2, 3), (1, 5))], ids=str
    )
    def test_inner_sizes_must_be_equal(self, kata, a, b):
        """Broadcasting would stretch an inner size of 1 and return numbers that are not
        a matrix product.
        """
        with check.raises(ValueError):
            kata.matmul(torch.ones(a), torch.ones(b))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("a", "b"),
        [((3,), (3, 4)), ((2, 3), (3,)), ((3, 3, 3), (3, 4)), ((2, 3), (3, 3, 3))],
        ids=str,
    )
    def test_both_must_be_matrices(self, kata, a, b):
        """Vectors and batches are refused: only matrices fit this formula."""
        with check.raises(ValueError):
            kata.matmul(torch.ones(a), torch.ones(b))


@pytest.mark.stretch
class TestPairwiseDistances:
    def test_small_numbers(self, kata):
        """The distance from (0, 0) to (3, 4) is 5, the root of 9 + 16."""
        a = torch.tensor([[0.0, 0.0], [3.0, 0.0]])
        b = torch.tensor([[3.0, 4.0], [0.0, 0.0], [-5.0, 0.0]])
        expected = torch.tensor([[5.0, 0.0, 5.0], [4.0, 3.0, 8.0]])
        suspects = {
            "squared distances": expected.square(),
            "sums of |differences|": torch.tensor([[7.0, 0.0, 5.0], [4.0, 3.0, 8.0]]),
            "summed over b's rows, not over the coordinates": (a[:, None] - b)
            .square()
            .sum(1)
            .sqrt(),
            "largest differences": torch.tensor([[4.0, 0.0, 5.0], [4.0, 3.0, 8.0]]),
        }
        check.close(kata.pairwise_distances(a, b), expected, unlike=suspects)

    @given(case=points())
    def test_every_point_of_a_with_every_point_of_b(self, kata, case):
        """(N, D) and (M, D) give (N, M): entry [i, j] is the distance from a[i]
        to b[j].
        """
        first, second = case
        a, b = torch.tensor(first).double(), torch.tensor(second).double()
        expected = torch.tensor(
            [[math.dist(p, q) for q in second] for p in first], dtype=torch.float64
        )
        check.close(kata.pairwise_distances(a, b), expected)

    def test_gradients_match(self, kata):
        """Gradients flow to both: a distance grows fastest when a point moves straight
        away from the other one.
        """
        check.gradients(
            kata.pairwise_distances,
            lambda a, b: ((a[:, None] - b[None]) ** 2).sum(2) ** 0.5,
            numbers(4, 3),
            numbers(5, 3, seed=1),
            **ROUGHLY,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """torch has cdist and its relatives; here you build the distances
        from differences.
        """
        a, b = numbers(4, 3), numbers(5, 3, seed=1)
        expected = torch.cdist(a, b)
        names = [
            "cdist",
            "pairwise_distance",
            "nn.functional.pairwise_distance",
            "nn.PairwiseDistance",
        ]
        with check.forbidden(kata, *[f"torch.{name}" for name in names]):
            got = kata.pairwise_distances(a, b)
        check.close(got, expected)

    @pytest.mark.edge
    def test_a_point_has_distance_0_to_itself(self, kata):
        """The distance is exactly 0. An eps under the root would show here, and the
        rounding of |a|² + |b|² − 2ab.
        """
        x = torch.randn(9, 5)
        expanded = (
            ((x * x).sum(1, keepdim=True) + (x * x).sum(1) - 2 * x @ x.T)
            .clamp(min=0)
            .sqrt()
            .diagonal()
        )
        unlike = {"the root of |a|² + |b|² − 2ab": expanded} if expanded.any() else {}
        check.equal(
            kata.pairwise_distances(x, x).diagonal(),
            torch.zeros(9),
            unlike=unlike,
            what="the diagonal",
        )

    @pytest.mark.edge
    def test_accurate_far_from_the_origin(self, kata):
        """|a|² + |b|² − 2ab subtracts numbers near six million to find 0.0625, and
        float32 has steps of 0.5 there. Take the difference first, then square.
        """
        a = 1000 + torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.25, 0.0]])
        b = 1000 + torch.tensor([[0.25, 0.0, 0.0], [0.5, 0.25, 0.25]])
        expected = torch.tensor([[0.25, 0.375**0.5], [0.125**0.5, 0.25]])
        expanded = (a * a).sum(1, keepdim=True) + (b * b).sum(1) - 2 * a @ b.T
        unlike = {"|a|² + |b|² − 2ab in float32": expanded.clamp(min=0).sqrt()}
        check.close(
            kata.pairwise_distances(a, b), expected, rtol=0, atol=1e-4, unlike=unlike
        )

    @pytest.mark.edge
    def test_gradient_at_distance_0_is_finite(self, kata):
        """The root is infinitely steep at 0, and infinity times 0 is NaN, which spreads
        to the other distances.
        """
        x = numbers(4, 3).requires_grad_()
        kata.pairwise_distances(x, x).sum().backward()
        check.finite(x.grad, what="gradient of x")

    @pytest.mark.edge
    def test_no_points_no_distances(self, kata):
        """M = 0 gives shape (N, 0): N rows without columns."""
        check.equal(
            kata.pairwise_distances(torch.ones(4, 3), torch.ones(0, 3)),
            torch.ones(4, 0),
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_dtype_stays(self, kata, dtype):
        """float64 in, float64 out, and so for float32."""
        check.dtype(
            kata.pairwise_distances(
                torch.ones(2, 3, dtype=dtype), torch.zeros(4, 3, dtype=dtype)
            ),
            dtype,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("a", "b"), [((2, 3), (4, 5)), ((2, 3), (4, 1)), ((2, 1), (4, 3))], ids=str
    )
    def test_points_must_have_the_same_d(self, kata, a, b):
        """Broadcasting would stretch points with one coordinate into points
        with three.
        """
        with check.raises(ValueError):
            kata.pairwise_distances(torch.ones(a), torch.ones(b))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("a", "b"),
        [((3,), (4, 3)), ((4, 3), (3,)), ((2, 3, 5), (4, 3)), ((4, 3), (2, 3, 5))],
        ids=str,
    )
    def test_both_must_be_2_d(self, kata, a, b):
        """A single point has shape (1, D). Any other number of dimensions would
        broadcast to an unexpected shape.
        """
        with check.raises(ValueError):
            kata.pairwise_distances(torch.ones(a), torch.ones(b))


@pytest.mark.stretch
class TestMaskedMean:
    def test_small_numbers(self, kata):
        """Of [2, 4, 100] the first two count: 6 / 2 = 3. Dividing by all three would
        give 2.
        """
        x, mask = torch.tensor([2.0, 4.0, 100.0]), torch.tensor([True, True, False])
        suspects = {
            "divided by the number of all entries": torch.tensor(2.0),
            "the mean of everything": torch.tensor(106.0 / 3),
            "the mean of the masked-out entries": torch.tensor(100.0),
            "the sum of the masked-out entries, divided by the number of the others": (
                torch.tensor(50.0)
            ),
        }
        check.close(kata.masked_mean(x, mask), torch.tensor(3.0), unlike=suspects)

    @pytest.mark.parametrize("dim", [0, -1, (0, 2), None], ids=str)
    def test_along_some_dims(self, kata, dim):
        """Each slice has its own sum and count, and the reduced dims disappear."""
        x, mask = numbers(3, 4, 5), numbers(3, 4, 5, seed=1) > 0.2
        weights = mask.double().numpy()
        expected = torch.as_tensor(np.average(x.numpy(), axis=dim, weights=weights))
        check.close(kata.masked_mean(x, mask, dim), expected)

    def test_a_mask_for_each_position(self, kata):
        """A (T, 1) mask over (B, T, C) has T entries but covers B · T · C: expand it
        before you count its Trues.
        """
        x, mask = numbers(2, 3, 4), torch.tensor([[True], [False], [True]])
        both = (x[:, 0] + x[:, 2]) / 2
        suspects = {
            "divided by the Trues of the mask before it broadcasts": 8 * both.mean()
        }
        check.close(
            kata.masked_mean(x, mask),
            both.mean(),
            unlike=suspects,
            what="the mean over everything",
        )
        check.close(kata.masked_mean(x, mask, 1), both, what="the mean over dim 1")

    def test_x_and_mask_stay_as_they_were(self, kata):
        """x[~mask] = 0 would change the caller's tensor."""
        x, mask = numbers(3, 4), torch.tensor([True, False, True, True])
        with check.unchanged(x=x, mask=mask):
            kata.masked_mean(x, mask, 1)

    def test_gradient_is_shared_by_what_counts(self, kata):
        """In a mean over two entries, each has the gradient ½. A masked-out entry has
        the gradient 0.
        """
        x = torch.tensor([[9.0, 2.0, 4.0], [7.0, 3.0, -8.0]], requires_grad=True)
        mask = torch.tensor([[False, True, True], [False, True, False]])
        kata.masked_mean(x, mask, 1).sum().backward()
        check.equal(
            x.grad, torch.tensor([[0.0, 0.5, 0.5], [0, 1, 0]]), what="gradient of x"
        )

    @pytest.mark.edge
    def test_where_nothing_counts_the_mean_is_0(self, kata):
        """A sum of no entries is 0, and 0 / 0 is NaN. The other slices keep
        their means.
        """
        x = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
        mask = torch.tensor([[False, False], [True, True]])
        check.equal(kata.masked_mean(x, mask, 1), torch.tensor([0.0, 4.0]))
        check.equal(kata.masked_mean(x, torch.tensor(False)), torch.tensor(0.0))

    @pytest.mark.edge
    def test_nan_and_infinity_under_the_mask_do_not_count(self, kata):
        """0 · NaN is NaN: multiplying by the mask hides numbers, not NaN. A masked-out
        entry has to be replaced.
        """
        x = torch.tensor([[nan, 2.0, 4.0], [INF, 3.0, -INF]])
        mask = torch.tensor([[False, True, True], [False, True, False]])
        unlike = {"multiplied by the mask: 0 · NaN is NaN": torch.tensor([nan, nan])}
        check.equal(
            kata.masked_mean(x, mask, 1), torch.tensor([3.0, 3.0]), unlike=unlike
        )

    @pytest.mark.edge
    def test_nan_under_the_mask_leaves_the_gradient_alone(self, kata):
        """A masked-out entry has the gradient 0, whatever its value, and so has a slice
        in which nothing counts. torch.where after a multiplication repairs only
        the value.
        """
        x = torch.tensor(
            [[nan, 2.0, 4.0], [INF, 3.0, -INF], [nan, 1.0, 1.0]], requires_grad=True
        )
        mask = torch.tensor(
            [[False, True, True], [False, True, False], [False, False, False]]
        )
        kata.masked_mean(x, mask, 1).sum().backward()
        check.equal(
            x.grad,
            torch.tensor([[0.0, 0.5, 0.5], [0, 1, 0], [0, 0, 0]]),
            what="gradient of x",
        )

    @pytest.mark.edge
    def test_a_nan_that_counts_is_not_hidden(self, kata):
        """A NaN where the mask is True means bad data, and the mean should show it.
        nanmean would hide it.
        """
        x, mask = (
            torch.tensor([[1.0, nan, 3.0], [1.0, 2.0, nan]]),
            torch.tensor([True, True, False]),
        )
        check.equal(
            kata.masked_mean(x, mask, 1), torch.tensor([nan, 1.5]), finite=False
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_the_dtype_stays(self, kata, dtype):
        """The count is an integer and does not change the dtype of the mean."""
        check.dtype(
            kata.masked_mean(
                torch.ones(2, 3, dtype=dtype), torch.ones(2, 3, dtype=torch.bool), 1
            ),
            dtype,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.int64, torch.uint8], ids=str
    )
    def test_a_mask_is_bool(self, kata, dtype):
        """Numbers as a mask might be weights or indices: an error is better than
        a guess.
        """
        with check.raises(TypeError):
            kata.masked_mean(torch.ones(3), torch.ones(3, dtype=dtype))
