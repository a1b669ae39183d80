"""Specs of kata papers/23: polynomials, their training, the bits of data and of models,
the choice of a degree.
"""

import copy
import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training


def points(count, seed=0):
    """x (count,) and y (count,), wavy and with some noise: no polynomial goes through
    them. Both are float64.
    """
    generator = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1
    return x, (3 * x).sin() + 0.3 * torch.randn(
        count, generator=generator, dtype=torch.float64
    )


def left_over(x, y, degree):
    """The residuals of the least squares polynomial, by NumPy."""
    powers = np.vander(x.numpy(), degree + 1)
    coefficients = np.linalg.lstsq(powers, y.numpy(), rcond=None)[0]
    return y - torch.from_numpy(powers @ coefficients)


def polynomial(coefficients, x):
    """The value at each x by Horner's rule, from the highest power down."""
    value = torch.zeros_like(x)
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value


def filled(kata, coefficients):
    """A model with these coefficients."""
    model = kata.PolynomialModel(len(coefficients) - 1)
    with torch.no_grad():
        model.coefficients.copy_(torch.tensor(coefficients))
    return model


numbers = st.integers(-20, 20).map(lambda k: k / 4)


@st.composite
def coefficients_and_places(draw):
    coefficients = draw(st.lists(numbers, min_size=1, max_size=6))
    return coefficients, draw(
        st.lists(st.integers(-8, 8).map(lambda k: k / 4), min_size=1, max_size=5)
    )


class TestPolynomialModel:
    def test_has_one_coefficient_per_power_and_starts_at_zero(self, kata):
        """Degree 3 has the powers 0 to 3, which are four coefficients in one parameter.
        They are float64, because powers of x are so much alike that float32 could not
        tell high degrees apart.
        """
        parameters = dict(kata.PolynomialModel(3).named_parameters())
        check.equal(list(parameters), ["coefficients"], what="names of the parameters")
        check.equal(
            parameters["coefficients"].detach(),
            torch.zeros(4, dtype=torch.float64),
            what="coefficients",
        )

    def test_adds_up_powers_from_zero_on(self, kata):
        """coefficients[k] belongs to x^k, so coefficients[0] is the constant."""
        x = torch.tensor([0.5, -1.0, 2.0, -0.25, 3.0], dtype=torch.float64)
        coefficients = [1.0, -2.0, 0.5, 4.0]
        expected = polynomial(coefficients, x)
        unlike = {
            "powers from 1 on": polynomial([0.0, *coefficients], x),
            "the coefficients in reverse order": polynomial(coefficients[::-1], x),
            "no constant": polynomial([0.0, *coefficients[1:]], x),
        }
        check.close(
            filled(kata, coefficients)(x),
            expected,
            unlike=unlike,
            what="the polynomial at 5 places",
        )

    def test_the_constant_counts_at_zero_too(self, kata):
        """x^0 is 1, also at x = 0. Degree 0 is one constant for all x, still with one
        value per input.
        """
        x = torch.tensor([0.0, 0.5, 0.0, -1.0], dtype=torch.float64)
        got = filled(kata, [2.5])(x)
        check.close(
            got, torch.full((4,), 2.5, dtype=torch.float64), what="degree 0 at 4 places"
        )

    def test_computes_in_float64(self, kata):
        """Inputs in float64 give values in float64."""
        check.dtype(
            filled(kata, [1.0, 2.0])(torch.ones(3, dtype=torch.float64)), torch.float64
        )

    def test_gradients_reach_the_coefficients(self, kata):
        """The sum of the values changes with coefficient k by Σ x^k."""
        x = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
        model = filled(kata, [1.0, -2.0, 0.5])
        total = model(x).sum()
        check.that(
            total.requires_grad,
            "the values have no autograd graph: nothing can be learned",
        )
        total.backward()
        expected = torch.stack([(x**k).sum() for k in range(3)])
        check.close(
            model.coefficients.grad, expected, what="gradient of the coefficients"
        )

    @given(case=coefficients_and_places())
    def test_any_degree_at_any_place(self, kata, case):
        """Another way to the same values is Horner's rule: ((c3 · x + c2) · x + c1)
        · x + c0.
        """
        coefficients, places = case
        x = torch.tensor(places, dtype=torch.float64)
        check.close(
            filled(kata, coefficients)(x), polynomial(coefficients, x), what="values"
        )

    @pytest.mark.edge
    def test_a_negative_degree_is_an_error(self, kata):
        """Degree −1 would be a model without coefficients, which predicts nothing."""
        with check.raises(ValueError):
            kata.PolynomialModel(-1)


class Polynomial(nn.Module):
    """A small model for the trainer. It notes what it reads, and its mode."""

    def __init__(self, degree, start=0.0):
        super().__init__()
        self.coefficients = nn.Parameter(
            torch.full((degree + 1,), start, dtype=torch.float64)
        )
        self.read, self.modes = [], []

    def forward(self, x):
        self.read.append(x)
        self.modes.append(self.training)
        return polynomial(list(self.coefficients), x)


class TestTrainPolynomial(training.Contract):
    """Steps of L-BFGS, which evaluates the loss as often as it likes: what counts is
    how far it comes.
    """

    # and nothing is drawn
    test_every_step_is_that_of_the_optimizer = test_the_generator_alone_draws = None

    def model(self):
        return Polynomial(2, start=1.0)

    def train(self, kata, model, steps, **options):
        return kata.train_polynomial(model, *points(20), steps=steps)

    def batches(self, model, steps):
        return [points(20)]

    def loss(self, model, batch):
        x, y = batch
        return (model(x) - y).square().mean()

    def wrong_losses(self, model, batch):
        x, y = batch
        return {
            "the sum over the points": 20 * self.loss(model, batch),
            "half of the mean squared error": self.loss(model, batch) / 2,
            "every prediction compared with every target": (model(x)[:, None] - y)
            .square()
            .mean(),
        }

    @pytest.mark.timeout(60)
    @pytest.mark.parametrize("degree", [0, 3, 8])
    def test_reaches_the_least_squares_error(self, kata, degree):
        """In 30 steps on 60 points the error comes within 1e-6 of the smallest possible
        one. Otherwise the bits would speak of the training, not of the degree. High
        powers are alike, so the bowl is a long narrow valley: plain gradient steps are
        too slow. L-BFGS learns its shape, if each evaluation of the loss clears
        the gradients.
        """
        x, y = points(60)
        model = Polynomial(degree)
        losses = kata.train_polynomial(model, x, y)
        best = left_over(x, y, degree).square().mean().item()
        reached = (model(x) - y).square().mean().item()
        check.that(
            len(losses) == 30, f"{len(losses)} losses, expected 30 steps by default"
        )
        said = (
            f"the mean squared error is {reached:.8f}, the smallest possible one "
            f"{best:.8f}: not within 1e-6"
        )
        check.that(reached - best < 1e-6, said)
        check.that(
            abs(losses[-1] - best) < 1e-6,
            f"the last loss is {losses[-1]:.8f}, expected {best:.8f} within 1e-6",
        )


def bits(residuals, precision=0.01):
    """−log2 of density times precision, residual by residual, for a normal distribution
    of variance v ≥ precision².
    """
    v = max(sum(r * r for r in residuals) / len(residuals), precision**2)
    densities = [
        math.exp(-r * r / (2 * v)) / math.sqrt(2 * math.pi * v) for r in residuals
    ]
    return sum(-math.log2(density * precision) for density in densities)


def slips(residuals, precision):
    """By name, what some slips in a code length lead to."""
    n, total = len(residuals), sum(r * r for r in residuals)
    v, grid, right = total / n, n * math.log2(precision), bits(residuals, precision)

    def with_variance(w):
        return n / 2 * math.log2(2 * math.pi * w) + total / (2 * w * math.log(2)) - grid

    return {
        "nats, not bits": right * math.log(2),
        "the precision term with the wrong sign": right + 2 * grid,
        "no precision term": right + grid,
        "the variance with n − 1": with_variance(total / (n - 1)),
        "a variance of 1": with_variance(1.0),
        "the standard deviation in place of the variance": with_variance(math.sqrt(v)),
        "no Σr² / (2v · ln 2)": right - n / (2 * math.log(2)),
        "Σr² / 2v in nats, the rest in bits": right - n / (2 * math.log(2)) + n / 2,
        "no log2(2πv)": right - n / 2 * math.log2(2 * math.pi * v),
        "a natural logarithm of 2πv": right
        - n / 2 * (math.log2(2 * math.pi * v) - math.log(2 * math.pi * v)),
        "log2(v) without 2π": right - n / 2 * math.log2(2 * math.pi),
        "the mean over the residuals": right / n,
        "the precision term once, not per residual": right
        + grid
        - math.log2(precision),
        "no 1/2 before log2(2πv)": right + n / 2 * math.log2(2 * math.pi * v),
    }


RESIDUALS = [3.0, -1.0, 2.0, 0.5, -0.25, 1.5]  # their mean is not 0


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


class TestGaussianCodeLength:
    def test_six_residuals_by_the_formula(self, kata):
        """Bits are −log2 of a probability: the density of the normal distribution at
        each residual, times the width of a cell of the grid. The variance is the mean
        of r², because the code takes the mean to be 0.
        """
        got = kata.gaussian_code_length(tensor(RESIDUALS), 0.125)
        check.close(
            got,
            bits(RESIDUALS, 0.125),
            rtol=1e-4,
            unlike=slips(RESIDUALS, 0.125),
            what="the bits",
        )

    def test_the_default_precision_is_one_hundredth(self, kata):
        """Without a precision, the grid has the spacing 0.01."""
        got = kata.gaussian_code_length(tensor(RESIDUALS))
        check.close(
            got,
            bits(RESIDUALS, 0.01),
            rtol=1e-4,
            unlike=slips(RESIDUALS, 0.01),
            what="the bits",
        )

    def test_half_the_spacing_costs_a_bit_per_residual(self, kata):
        """Every residual then has twice as many places where it could be: one more yes
        or no. With six residuals that is six bits more.
        """
        residuals = tensor(RESIDUALS)
        wide, fine = (
            kata.gaussian_code_length(residuals, precision)
            for precision in (0.02, 0.01)
        )
        unlike = {
            "a finer grid costs less": -6.0,
            "one bit for all residuals": 1.0,
            "no change": 0.0,
        }
        check.close(
            fine - wide,
            6.0,
            rtol=1e-4,
            unlike=unlike,
            what="the bits for 0.01 less those for 0.02",
        )

    @given(factor=st.integers(1, 1000).map(lambda k: k / 10))
    def test_units_do_not_matter(self, kata, factor):
        """Metres or centimetres: with residuals and grid in the same unit, the bits are
        the same.
        """
        got = kata.gaussian_code_length(tensor(RESIDUALS) * factor, 0.125 * factor)
        check.close(
            got, bits(RESIDUALS, 0.125), rtol=1e-4, what="the bits in another unit"
        )

    def test_is_close_to_what_the_best_code_takes(self, kata):
        """2000 normal residuals, each rounded to a grid of 0.05. A code that knows the
        probability of every cell takes −log2 of it. The formula, with density times
        width, comes within 2 % of that.
        """
        residuals = 0.4 * torch.randn(
            2000, generator=torch.Generator().manual_seed(3), dtype=torch.float64
        )
        normal = torch.distributions.Normal(
            tensor(0.0), residuals.square().mean().sqrt()
        )
        cells = (residuals / 0.05).round() * 0.05
        ideal = (
            -(normal.cdf(cells + 0.025) - normal.cdf(cells - 0.025)).log2().sum().item()
        )
        got = kata.gaussian_code_length(residuals, 0.05)
        check.that(
            abs(got / ideal - 1) < 0.02,
            f"{got:.1f} bits, the probabilities of the cells give {ideal:.1f}",
        )

    @pytest.mark.edge
    def test_a_perfect_fit_has_finitely_many_bits(self, kata):
        """v is at least precision²: a grid cannot show smaller differences. log2 of a
        variance of 0 would be −inf.
        """
        for residuals in ([0.0] * 5, [0.001, -0.002, 0.0]):
            got = kata.gaussian_code_length(tensor(residuals), 0.05)
            check.close(
                got, bits(residuals, 0.05), rtol=1e-4, what=f"the bits of {residuals}"
            )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Two degrees can differ by less than a bit in hundreds."""
        got = kata.gaussian_code_length(tensor(RESIDUALS), 0.125)
        check.close(got, bits(RESIDUALS, 0.125), rtol=0, atol=1e-9, what="the bits")


@pytest.mark.stretch
class TestGaussianCodeLengthNumpy:
    def test_six_residuals_by_the_formula(self, kata):
        """−log2 of density times spacing, added up over the residuals, with the mean of
        r² as the variance.
        """
        got = kata.gaussian_code_length_numpy(np.array(RESIDUALS), 0.125)
        check.close(
            got,
            bits(RESIDUALS, 0.125),
            rtol=1e-5,
            unlike=slips(RESIDUALS, 0.125),
            what="the bits",
        )

    def test_the_default_precision_is_one_hundredth(self, kata):
        """Without a precision, the grid has the spacing 0.01."""
        got = kata.gaussian_code_length_numpy(np.array(RESIDUALS))
        check.close(
            got,
            bits(RESIDUALS, 0.01),
            rtol=1e-5,
            unlike=slips(RESIDUALS, 0.01),
            what="the bits",
        )

    @given(
        case=st.tuples(
            st.lists(numbers, min_size=1, max_size=8).filter(any),
            st.sampled_from([0.01, 0.1, 0.25]),
        )
    )
    def test_agrees_with_pytorchs_normal_distribution(self, kata, case):
        """PyTorch has log densities in nats. Divided by ln 2 they are bits."""
        residuals, precision = case
        r = tensor(residuals)
        normal = torch.distributions.Normal(tensor(0.0), r.square().mean().sqrt())
        expected = -normal.log_prob(r).sum().item() / math.log(2) - len(r) * math.log2(
            precision
        )
        if r.square().mean() >= precision**2:  # below, the star's floor would count
            got = kata.gaussian_code_length_numpy(r.numpy(), precision)
            check.close(got, expected, rtol=1e-5, atol=1e-5, what="the bits")

    @pytest.mark.edge
    def test_a_perfect_fit_has_finitely_many_bits(self, kata):
        """v is at least precision², as in PyTorch."""
        got = kata.gaussian_code_length_numpy(np.zeros(5), 0.05)
        check.close(
            got, bits([0.0] * 5, 0.05), rtol=1e-5, what="the bits of five zeros"
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, and stay so."""
        got = kata.gaussian_code_length_numpy(np.array(RESIDUALS), 0.125)
        check.close(got, bits(RESIDUALS, 0.125), rtol=0, atol=1e-9, what="the bits")


def integer_bits(n):
    """Rissanen's code for an integer: the sum of repeated logarithms while they are
    positive, and a constant.
    """
    terms = [math.log2(n)]
    while terms[-1] > 0:
        terms.append(math.log2(terms[-1]))
    return math.log2(2.865064) + sum(terms[:-1])


def model_bits(degree, count):
    """The number of coefficients, then half of log2(count) for each."""
    return integer_bits(degree + 1) + sum(
        math.log2(math.sqrt(count)) for _ in range(degree + 1)
    )


class TestModelCodeLength:
    def test_each_coefficient_takes_half_of_log_n(self, kata):
        """A cubic has four coefficients. With 64 points each takes log2(64) / 2 = 3
        bits, and their number is written first.
        """
        number = integer_bits(4)
        unlike = {
            "a whole log2(n) per coefficient": number + 24,
            "the degree in place of degree + 1": integer_bits(3) + 9,
            "the number of coefficients without the code for it": 12.0,
            "the code of the degree, not of the number of coefficients": integer_bits(3)
            + 12,
            "a natural logarithm of n": number + 2 * math.log(64),
            "half of log2(n) once for all coefficients": number + 3,
            "half of log2(n) times the degree, one coefficient too few": number + 9,
        }
        check.close(
            kata.model_code_length(3, 64),
            number + 12,
            rtol=1e-4,
            unlike=unlike,
            what="the bits of degree 3",
        )

    def test_degree_0_has_one_coefficient(self, kata):
        """A constant is a coefficient as well. With 16 points it takes two bits, beside
        the code of its number 1.
        """
        unlike = {
            "no coefficient": integer_bits(1),
            "a whole log2(n) per coefficient": integer_bits(1) + 4,
        }
        got = kata.model_code_length(0, 16)
        check.that(type(got) is float, f"expected a float, not {check.describe(got)}")
        check.close(
            got,
            integer_bits(1) + 2,
            rtol=1e-4,
            unlike=unlike,
            what="the bits of degree 0",
        )

    @given(case=st.tuples(st.integers(0, 12), st.integers(1, 5000)))
    def test_four_times_the_points_cost_a_bit_per_coefficient(self, kata, case):
        """The uncertainty of a coefficient shrinks with √n. Four times the points halve
        it, so each coefficient is worth one more binary digit. Nothing else in the
        model changes.
        """
        degree, count = case
        more = kata.model_code_length(degree, 4 * count) - kata.model_code_length(
            degree, count
        )
        check.close(
            more,
            float(degree + 1),
            rtol=1e-4,
            what="the bits for 4n points less those for n points",
        )
        got = kata.model_code_length(degree, count)
        check.close(
            got, model_bits(degree, count), rtol=1e-4, what="the bits of the model"
        )


class TestTwoPartCode:
    def test_total_is_model_plus_data(self, kata):
        """Both parts have to be sent: without the polynomial nobody can read
        the residuals.
        """
        code = kata.two_part_code(*points(20), 1)
        check.equal(sorted(code), ["data", "model", "total"], what="the keys")
        for key, value in code.items():
            check.that(
                type(value) is float, f"{key!r} is not a float: {check.describe(value)}"
            )
        check.close(
            code["total"],
            code["model"] + code["data"],
            rtol=1e-4,
            what="total, compared with model + data",
        )

    def test_the_model_part_depends_on_degree_and_points(self, kata):
        """It is the code length of the model, for this degree and the number of points
        that it was fitted to.
        """
        for degree, count in ((0, 20), (3, 45)):
            unlike = {"one degree more": model_bits(degree + 1, count)}
            got = kata.two_part_code(*points(count), degree)["model"]
            what = f"the model's bits, degree {degree} and {count} points"
            check.close(
                got, model_bits(degree, count), rtol=1e-4, unlike=unlike, what=what
            )

    def test_the_data_part_is_what_the_trained_model_leaves_over(self, kata):
        """The residuals are y − model(x) *after* training, so their bits are those of
        the least squares fit.
        """
        x, y = points(45)
        for degree in (1, 4):
            got = kata.two_part_code(x, y, degree)["data"]
            unlike = {
                "the bits of y: the model is not trained": bits(y.tolist()),
                "one degree less": bits(left_over(x, y, degree - 1).tolist()),
                "one degree more": bits(left_over(x, y, degree + 1).tolist()),
            }
            expected = bits(left_over(x, y, degree).tolist())
            what = f"the data's bits, degree {degree}"
            check.close(got, expected, rtol=0, atol=0.01, unlike=unlike, what=what)

    def test_the_precision_belongs_to_the_data(self, kata):
        """A grid of twice the spacing saves a bit for each of the 20 points. The
        model's bits do not change.
        """
        fine, wide = (
            kata.two_part_code(*points(20), 2, precision) for precision in (0.02, 0.04)
        )
        unlike = {"a precision that the data's code did not get": 0.0}
        what = "the data's bits for 0.02 less those for 0.04"
        check.close(
            fine["data"] - wide["data"], 20.0, rtol=1e-3, unlike=unlike, what=what
        )
        check.close(
            fine["model"],
            wide["model"],
            rtol=1e-4,
            what="the model's bits for another precision",
        )

    @pytest.mark.edge
    def test_the_inputs_are_not_written_to(self, kata):
        """The same points are coded with the next degree afterwards."""
        x, y = points(20)
        with check.unchanged(x=x, y=y):
            kata.two_part_code(x, y, 2)


COUNT, CUBIC, LARGEST = 60, [0.5, -1.0, 0.0, 2.0], 6


@functools.cache
def selected(kata, noise=0.2, coefficients=tuple(CUBIC), seed=0, largest=LARGEST):
    """The degree and the table for one data set of 60 points."""
    generator = torch.Generator().manual_seed(seed)
    x, y = kata.make_polynomial_data(COUNT, list(coefficients), noise, generator)
    return kata.select_degree(x, y, largest)


def first_smallest(values):
    return list(values).index(min(values))


class TestSelectDegree:
    def test_the_table_has_all_degrees_up_to_the_largest(self, kata):
        """From 0 to max_degree, both included: for 3 that is four entries, in
        this order.
        """
        x, y = points(30)
        degree, table = kata.select_degree(x, y, 3)
        check.that(
            type(degree) is int, f"the degree is not an int: {check.describe(degree)}"
        )
        check.that(
            isinstance(table, list), f"the table is not a list: {check.describe(table)}"
        )
        check.that(
            len(table) == 4,
            f"max_degree=3 gives {len(table)} entries, expected those of the degrees "
            "0, 1, 2, 3",
        )
        for d, row in enumerate(table):
            model, data = model_bits(d, 30), bits(left_over(x, y, d).tolist())
            expected = {"model": model, "data": data, "total": model + data}
            check.close(row, expected, rtol=0, atol=0.01, what=f"table[{d}]")

    def test_chooses_the_smallest_total(self, kata):
        """The data part alone falls with every degree, and the model part rises. The
        sum has its minimum between.
        """
        x, y = points(30, seed=1)
        data = [bits(left_over(x, y, d).tolist()) for d in range(6)]
        totals = [part + model_bits(d, 30) for d, part in enumerate(data)]
        unlike = {
            "the smallest data part": first_smallest(data),
            "the smallest model part, or the largest total": 0,
        }
        got, _ = kata.select_degree(x, y, 5)
        check.equal(got, first_smallest(totals), unlike=unlike, what="the degree")

    def test_the_largest_degree_can_be_chosen(self, kata):
        """Up to degree 1 the line is worth its bits, on points with a slope."""
        got, _ = kata.select_degree(*points(30), 1)
        check.equal(got, 1, what="the degree for max_degree=1")

    def test_the_precision_reaches_the_code(self, kata):
        """Ten times the spacing saves log2(10) bits for each of 30 points, whatever
        the degree.
        """
        fine, wide = (
            kata.select_degree(*points(30), 1, precision)[1]
            for precision in (0.01, 0.1)
        )
        saved = [a["data"] - b["data"] for a, b in zip(fine, wide, strict=True)]
        check.close(
            saved,
            [30 * math.log2(10)] * 2,
            rtol=1e-3,
            what="the data's bits for 0.01 less those for 0.1",
        )

    @pytest.mark.timeout(60)
    def test_finds_the_true_degree(self, kata):
        """The key result: 60 points of a cubic with noise 0.2, and no validation set.
        The fewest bits belong to degree 3 in at least four of five data sets.
        """
        found = [selected(kata, seed=seed)[0] for seed in range(5)]
        check.that(
            found.count(3) >= 4,
            f"the degrees {found} were chosen, expected 3 at least four times",
        )

    @pytest.mark.timeout(60)
    def test_data_bits_alone_would_take_the_largest_degree(self, kata):
        """Every further power fits the points a bit better, down to their noise. So the
        data part never rises with the degree, and ends smallest at the largest one.
        """
        for seed in range(5):
            data = [row["data"] for row in selected(kata, seed=seed)[1]]
            shown = [round(part, 1) for part in data]
            falling = all(
                after <= before + 1e-3
                for before, after in zip(data, data[1:], strict=False)
            )
            check.that(falling, f"data bits rise with the degree: {shown}")
            smallest = first_smallest(data)
            check.that(
                smallest == LARGEST,
                f"data bits are smallest at degree {smallest} of {LARGEST}: {shown}",
            )

    @pytest.mark.timeout(60)
    def test_noise_alone_gets_a_constant(self, kata):
        """Where nothing is to be learned, the shortest description says so:
        degree 0.
        """
        found = [
            selected(kata, coefficients=(0.0,), seed=seed, largest=4)[0]
            for seed in range(2)
        ]
        check.equal(found, [0, 0], what="the degrees for points without any law")

    @pytest.mark.timeout(60)
    def test_a_law_under_much_noise_is_not_worth_its_bits(self, kata):
        """With noise 1.0 the cubic is still there, but 60 points hardly show it: degree
        0 or 1 is shorter. Ten times the points would pay for its coefficients.
        """
        found = [
            selected(kata, noise=1.0, seed=seed, largest=4)[0] for seed in range(2)
        ]
        check.that(
            max(found) <= 1,
            f"the degrees {found} were chosen, expected 0 or 1 under noise 1.0",
        )

    @pytest.mark.edge
    def test_the_smaller_degree_on_a_tie(self, kata, monkeypatch):
        """Of two descriptions of the same length, the simpler one is taken. Here all
        codes have 7 bits.
        """
        monkeypatch.setattr(
            kata,
            "two_part_code",
            lambda *_, **__: {"model": 3.0, "data": 4.0, "total": 7.0},
        )
        got, _ = kata.select_degree(*points(10), 3)
        unlike = {"the largest of the degrees with this total": 3}
        check.equal(got, 0, unlike=unlike, what="the degree, if all totals are equal")


@st.composite
def fits(draw):
    """At least eight points, and the residuals of each degree up to 5."""
    x, y = points(draw(st.integers(8, 40)), seed=draw(st.integers(0, 10**6)))
    return [left_over(x, y, degree) for degree in range(6)]


@pytest.mark.stretch
class TestInformationCriteria:
    def test_four_residuals_by_hand(self, kata):
        """Residuals 1, −1, 2 and 0 have v = 6/4. With three coefficients AIC is 4 · ln
        1.5 + 6 and BIC is 4 · ln 1.5 + 3 · ln 4: natural logarithms, and the mean
        of r².
        """

        def criteria(fit, k):
            return {"aic": fit + 2 * k, "bic": fit + k * math.log(4)}

        fit = 4 * math.log(1.5)
        right = criteria(fit, 3)
        unlike = {
            "log2 in place of ln": {
                "aic": 4 * math.log2(1.5) + 6,
                "bic": 4 * math.log2(1.5) + 6,
            },
            "the sum of r² in place of the mean": criteria(4 * math.log(6), 3),
            "k counted as the degree": criteria(fit, 2),
            "the variance counted as a parameter": criteria(fit, 4),
            "aic and bic exchanged": {"aic": right["bic"], "bic": right["aic"]},
            "the variance with n − 1": criteria(4 * math.log(2), 3),
            "the penalty subtracted": criteria(fit, -3),
            "the penalty of AIC without the factor 2": right | {"aic": fit + 3},
            "the penalty of BIC with a factor 2": right
            | {"bic": fit + 6 * math.log(4)},
            "half of both: the penalty of AIC is k": {
                key: value / 2 for key, value in right.items()
            },
        }
        got = kata.information_criteria(tensor([1.0, -1.0, 2.0, 0.0]), 3)
        check.close(got, right, rtol=1e-4, unlike=unlike, what="the criteria")

    def test_bic_is_the_two_part_code_without_the_bits_for_k(self, kata):
        """From one degree to the next, BIC changes by 2 · ln 2 times the change of data
        bits + k/2 · log2(n). It is the total of the two-part code, but for a factor, a
        constant and the few bits that say how many coefficients there are.
        """
        x, y = points(50)
        bic, code = [], []
        for degree in range(5):
            residuals = left_over(x, y, degree)
            bic.append(kata.information_criteria(residuals, degree + 1)["bic"])
            code.append(
                bits(residuals.tolist())
                + model_bits(degree, 50)
                - integer_bits(degree + 1)
            )
        expected = 2 * math.log(2) * tensor(code).diff()
        check.close(
            tensor(bic).diff(),
            expected,
            rtol=0,
            atol=1e-3,
            what="the change of BIC from degree to degree",
        )

    @given(residuals=fits())
    def test_aic_never_takes_fewer_coefficients_than_bic(self, kata, residuals):
        """From eight points on ln n is above 2, so that a coefficient costs more
        in BIC.
        """
        table = [
            kata.information_criteria(r, degree + 1)
            for degree, r in enumerate(residuals)
        ]
        aic, bic = (
            first_smallest([row[name] for row in table]) for name in ("aic", "bic")
        )
        check.that(aic >= bic, f"AIC takes degree {aic}, BIC degree {bic}")

    @pytest.mark.edge
    def test_a_negative_number_of_parameters_is_an_error(self, kata):
        """The penalty would be a reward."""
        with check.raises(ValueError):
            kata.information_criteria(tensor([1.0, -1.0]), -1)
