"""Specs for 05: derivatives by differences and by autograd, accumulation, the graph
cut, read and written to.
"""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from grader.specs import check

HOWS = ["detach", "no_grad", "inference_mode"]


class Triple(torch.autograd.Function):
    """3x, as a custom operation to find in graphs."""

    @staticmethod
    def forward(ctx, x):
        return 3 * x

    @staticmethod
    def backward(ctx, grad):
        return 3 * grad


class BackwardStep2(Triple):
    """The same operation, under a name that contains "Backward" and a digit of
    its own.
    """


class BrokenBackward(Triple):
    """An operation whose backward pass always fails."""

    @staticmethod
    def backward(ctx, grad):
        raise RuntimeError("no derivative known")


def smooth(x):
    """A function of all elements together: each partial derivative depends on all
    of them.
    """
    return (x.sin() * x.flip(0)).sum().exp()


def smooth_gradient(x):
    """The gradient of `smooth` by calculus: with s = Σ sin(xᵢ)·x₋ᵢ,
    exp(s) · (cos(xᵢ)·x₋ᵢ + sin(x₋ᵢ)).
    """
    x = x.double()
    mirror = x.flip(0)
    return (x.sin() * mirror).sum().exp() * (x.cos() * mirror + mirror.sin())


def half_square(w, x):
    """½(w·x)² + Σ x², whose gradient with respect to w is (w·x) x. Swapped arguments
    give another one.
    """
    return 0.5 * (w * x).sum() ** 2 + x.square().sum()


def reaches(loss, tensor):
    """Tell if a gradient other than zero flows from the loss to the tensor."""
    (gradient,) = torch.autograd.grad(
        loss, tensor, retain_graph=True, allow_unused=True
    )
    return gradient is not None and bool(gradient.any())


def shapes(fewest, most):
    """Shapes with `fewest` to `most` dimensions, of sizes from 1 to 3."""
    return st.lists(st.integers(1, 3), min_size=fewest, max_size=most).map(tuple)


def same_tensors(got, expected):
    """Both hold the same tensor objects, in any order."""
    return len(got) == len(expected) and all(any(a is b for b in got) for a in expected)


class TestFiniteDifferenceGradient:
    def test_differences_are_central(self, kata):
        """(2.01³ - 1.99³) / 0.02 = 12.0001. One step up and one step down cancel most
        of the error that a single step leaves: (2.01³ - 2³) / 0.01 = 12.0601.
        """
        x = torch.tensor([2.0], dtype=torch.float64)
        check.close(
            kata.finite_difference_gradient(lambda t: (t**3).sum(), x, eps=1e-2),
            torch.tensor([12.0001], dtype=torch.float64),
            unlike={
                "a forward difference, (f(x + eps) - f(x)) / eps": torch.tensor(
                    [12.0601], dtype=torch.float64
                ),
                "a backward difference, (f(x) - f(x - eps)) / eps": torch.tensor(
                    [11.9401], dtype=torch.float64
                ),
                "a forward difference divided by 2 · eps": torch.tensor(
                    [6.03005], dtype=torch.float64
                ),
                "a difference over 2 · eps divided by eps": torch.tensor(
                    [24.0002], dtype=torch.float64
                ),
                "multiplied by eps, as in `/ 2 * eps`": torch.tensor(
                    [0.00120001], dtype=torch.float64
                ),
            },
        )

    def test_only_one_element_moves_at_a_time(self, kata):
        """For a partial derivative one variable moves and all others keep their values,
        including those that have moved before. For a·b·c the partials are b·c, c·a and
        a·b, with steps of any size.
        """
        x = torch.tensor([2.0, 3.0, 5.0], dtype=torch.float64)
        moved_together = torch.full(
            (3,), (2.5 * 3.5 * 5.5 - 1.5 * 2.5 * 4.5), dtype=torch.float64
        )
        check.close(
            kata.finite_difference_gradient(lambda t: t.prod(), x, eps=0.5),
            torch.tensor([15.0, 10.0, 6.0], dtype=torch.float64),
            unlike={"all elements moved at once": moved_together},
        )

    @given(shape=shapes(1, 3))
    def test_exact_for_a_quadratic_of_any_shape(self, kata, shape):
        """The gradient of Σ w·x² is 2wx, one slope per element of x. For a quadratic,
        the only error of central differences is rounding.
        """
        w = torch.arange(1.0, 1 + math.prod(shape), dtype=torch.float64).reshape(shape)
        x = (w * 0.3).cos()
        seen = []
        got = kata.finite_difference_gradient(
            lambda t: (seen.append(t.dtype), (w * t * t).sum())[1], x
        )
        rounded = "f is asked in float32, where a small step is lost in rounding"
        check.that(
            {*seen} == {torch.float64},
            f"f was given {seen[:1]}, float64 is expected",
            like=rounded,
        )
        check.close(got, 2 * w * x, rtol=1e-6, atol=1e-7)

    def test_agrees_with_autograd(self, kata):
        """Two independent ways lead to the same number: this is how to check a gradient
        written by hand.
        """
        a = torch.tensor([[2.0, -1.0, 0.5], [0.25, 3.0, 1.0]], dtype=torch.float64)
        x = torch.tensor([[0.3, 1.2], [-0.7, 0.4], [0.9, -0.2]], dtype=torch.float64)
        leaf = x.clone().requires_grad_()
        (a @ leaf.tanh()).norm().backward()
        got = kata.finite_difference_gradient(lambda t: (a @ t.tanh()).norm(), x)
        check.close(got, leaf.grad, rtol=1e-7, atol=1e-7)

    def test_precise_for_a_float32_x(self, kata):
        """float32 holds about seven digits: subtracting two nearly equal numbers leaves
        almost none of them. So work in float64, and return float64.
        """
        x = torch.tensor([[1.0, -2.0, 3.0], [2.0, 1.0, -1.0]])
        got = kata.finite_difference_gradient(smooth, x)
        check.dtype(got, torch.float64)
        check.close(got, smooth_gradient(x), rtol=1e-7, atol=1e-7)

    def test_f_is_called_with_float64_tensors_of_the_shape_of_x(self, kata):
        """f may index, reshape or multiply its argument, so that has to look like x,
        in float64.
        """
        seen = []
        kata.finite_difference_gradient(
            lambda t: seen.append((t.dtype, tuple(t.shape))) or t.sum(),
            torch.ones(2, 3),
        )
        check.that(len(seen) > 0, "f was never called")
        odd = [call for call in seen if call != (torch.float64, (2, 3))]
        check.that(
            not odd, f"f was called with {odd[:1]}, expected (torch.float64, (2, 3))"
        )

    def test_the_result_does_not_require_grad(self, kata):
        """Slopes are plain numbers, even if x or a parameter inside f requires grad."""
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        weight = torch.tensor([3.0, 4.0], requires_grad=True)
        got = kata.finite_difference_gradient(lambda t: (weight * t).sum(), x)
        check.that(
            not got.requires_grad,
            "the result requires grad: it is part of the graph of f",
        )

    @pytest.mark.edge
    def test_the_step_is_one_millionth_unless_given(self, kata):
        """For f(x) = 10¹² · x³ at 0 the central difference is 10¹² · eps², which is 1
        for eps = 1e-6.
        """
        x = torch.zeros(1, dtype=torch.float64)
        got = kata.finite_difference_gradient(lambda t: 1e12 * (t**3).sum(), x)
        check.close(got, torch.ones(1, dtype=torch.float64), rtol=1e-6)

    @pytest.mark.edge
    def test_works_on_a_single_number(self, kata):
        """A 0-dim x has one element and no index; its gradient is 0-dim as well. For
        1/x at 4 it is -1/16.
        """
        x = torch.tensor(4.0, dtype=torch.float64)
        got = kata.finite_difference_gradient(lambda t: 1 / t, x)
        check.close(got, torch.tensor(-0.0625, dtype=torch.float64))

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Slope [i, j] belongs to x[i, j], wherever that is in memory."""
        x = torch.arange(6, dtype=torch.float64).reshape(2, 3).t()
        weights = torch.tensor(
            [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64
        )
        got = kata.finite_difference_gradient(lambda t: (weights * t * t).sum(), x)
        shuffled = 2 * weights * torch.arange(6.0).reshape(3, 2)
        check.close(
            got,
            2 * weights * x,
            unlike={"x was read in memory order instead of index order": shuffled},
        )

    @pytest.mark.edge
    def test_works_where_elements_share_memory(self, kata):
        """All rows of an expanded x share one row in memory. They are still
        separate variables.
        """
        x = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64).expand(2, 3)
        got = kata.finite_difference_gradient(lambda t: (t[0] * t[1]).sum(), x)
        check.close(got, torch.tensor([[1.0, 2.0, 4.0]] * 2, dtype=torch.float64))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.int64], ids=str)
    def test_precise_whatever_the_dtype_of_x(self, kata, dtype):
        """bfloat16 holds two or three digits, and integers have no small steps at all.
        Converted to float64, both are points like any other.
        """
        x = torch.tensor([[1, -2, 3], [2, 1, -1]], dtype=dtype)
        got = kata.finite_difference_gradient(smooth, x)
        check.dtype(got, torch.float64)
        check.close(got, smooth_gradient(x), rtol=1e-7, atol=1e-7)

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(3,), ()])
    def test_x_is_not_changed(self, kata, shape):
        """A float64 x needs no conversion, so without a copy the caller's own elements
        would move.
        """
        x = torch.full(shape, 0.1, dtype=torch.float64).requires_grad_()
        x.grad = torch.full(shape, 7.0, dtype=torch.float64)
        with check.unchanged(x=x):
            kata.finite_difference_gradient(lambda t: t.exp().sum(), x)

    @pytest.mark.edge
    def test_one_element_may_have_dimensions(self, kata):
        """A loss of shape (1, 1) is one number as well."""
        got = kata.finite_difference_gradient(
            lambda t: (t * t).sum().reshape(1, 1), torch.tensor([3.0, -1.0])
        )
        check.close(got, torch.tensor([6.0, -2.0]), rtol=1e-7)

    @pytest.mark.edge
    @pytest.mark.parametrize("size", [0, 2])
    def test_more_or_less_than_one_element_is_an_error(self, kata, size):
        """The slope of several numbers is not one number: a silent sum would hide
        the mistake.
        """
        x = torch.tensor([1.0, 2.0, 3.0])
        with check.raises(ValueError):
            kata.finite_difference_gradient(lambda t: t[:size], x)


class TestPartialDerivatives:
    def test_one_gradient_per_input(self, kata):
        """Each input gets a gradient of its own shape, in the order of the inputs."""
        x, y, z = torch.ones(2, 3), torch.ones(4), torch.tensor(2.0)
        got = kata.partial_derivatives(lambda x, y, z: x.sum() * y.sum() * z, x, y, z)
        check.that(
            isinstance(got, tuple) and len(got) == 3,
            f"expected a tuple of 3, got {check.describe(got)}",
        )
        for name, gradient, variable in zip("xyz", got, (x, y, z), strict=True):
            check.shape(gradient, variable.shape, what=f"gradient of {name}")

    def test_partials_match_calculus(self, kata):
        """Of Σ x²y + 3z the partials are 2xy, x² and 3, taken where x, y and z
        are now.
        """
        x, y, z = torch.tensor([3.0, -1.0]), torch.tensor([5.0, 2.0]), torch.tensor(4.0)
        got = kata.partial_derivatives(
            lambda x, y, z: (x * x * y).sum() + 3 * z, x, y, z
        )
        check.close(
            got,
            (torch.tensor([30.0, -4.0]), torch.tensor([9.0, 1.0]), torch.tensor(3.0)),
            what="partials",
        )

    @given(powers=st.tuples(st.integers(0, 3), st.integers(0, 3)))
    def test_partials_of_any_product_of_powers(self, kata, powers):
        """Of xᵐ · yⁿ the partials are m · xᵐ⁻¹ · yⁿ and n · xᵐ · yⁿ⁻¹."""
        m, n = powers
        x, y = torch.tensor(2.0), torch.tensor(-3.0)
        got = kata.partial_derivatives(lambda x, y: x**m * y**n, x, y)
        expected = m * 2.0 ** (m - 1) * (-3.0) ** n, n * 2.0**m * (-3.0) ** (n - 1)
        check.close(
            got, (torch.tensor(expected[0]), torch.tensor(expected[1])), what="partials"
        )

    def test_an_unused_input_gets_zeros(self, kata):
        """If f does not use y, moving y changes nothing: its partial derivative is
        zero, neither missing nor an error.
        """
        x, y, z = torch.tensor([1.0, 2.0, 3.0]), torch.ones(2, 4), torch.tensor(6.0)
        got = kata.partial_derivatives(lambda x, y, z: x.sum() * z, x, y, z)
        check.close(
            got,
            (torch.full((3,), 6.0), torch.zeros(2, 4), torch.tensor(6.0)),
            what="partials",
        )

    def test_the_inputs_stay_as_they_were(self, kata):
        """The tensors belong to the caller: neither requires_grad nor an old .grad may
        change, and no new .grad may appear.
        """
        plain, fresh = torch.tensor([1.0, 2.0]), torch.ones(3, requires_grad=True)
        used = torch.ones(4, requires_grad=True)
        used.grad = torch.full((4,), 7.0)
        with check.unchanged(plain=plain, fresh=fresh, used=used):
            kata.partial_derivatives(
                lambda x, y, z: x.sum() * y.sum() * z.sum(), plain, fresh, used
            )

    def test_the_gradients_do_not_require_grad(self, kata):
        """Gradients are plain numbers, for used and unused inputs, even if an input
        requires grad.
        """
        x, y = (
            torch.tensor(3.0, requires_grad=True),
            torch.tensor(2.0, requires_grad=True),
        )
        gradients = kata.partial_derivatives(lambda x, y: x**3, x, y)
        for name, gradient in zip(("used", "unused"), gradients, strict=True):
            check.that(
                not gradient.requires_grad,
                f"the gradient of the {name} input requires grad",
            )

    @pytest.mark.edge
    def test_a_constant_f_gives_zeros(self, kata):
        """A constant has no graph to walk, and its slope in every direction is zero."""
        got = kata.partial_derivatives(
            lambda x, y: torch.tensor(3.0), torch.ones(2, 3), torch.tensor(5.0)
        )
        check.close(got, (torch.zeros(2, 3), torch.tensor(0.0)), what="partials")

    @pytest.mark.edge
    def test_a_value_made_of_parameters_alone_gives_zeros(self, kata):
        """This value has a graph, but none of the inputs is part of it."""
        weight = torch.tensor(2.0, requires_grad=True)
        got = kata.partial_derivatives(
            lambda x, y: weight * weight, torch.ones(3), torch.ones(1, 2)
        )
        check.close(got, (torch.zeros(3), torch.zeros(1, 2)), what="partials")

    @pytest.mark.edge
    def test_the_same_tensor_twice_is_two_variables(self, kata):
        """f(x, y) = x · y² has the partials y² and 2xy, even if one tensor is passed
        for both. A leaf shared by both positions would get the sum of the two, twice.
        """
        x = torch.tensor(3.0)
        got = kata.partial_derivatives(lambda x, y: x * y * y, x, x)
        total = torch.tensor(27.0)
        check.close(
            got,
            (torch.tensor(9.0), torch.tensor(18.0)),
            what="partials",
            unlike={
                "the sum over both positions, as from one shared leaf": (total, total)
            },
        )

    @pytest.mark.edge
    def test_an_input_may_be_a_result_itself(self, kata):
        """An input may be computed from something else: only its value matters, not
        where it came from.
        """
        start = torch.tensor([1.0, 2.0], requires_grad=True)
        middle = start * 3
        (got,) = kata.partial_derivatives(lambda x: (x * x).sum(), middle)
        check.close(got, torch.tensor([6.0, 12.0]))
        check.that(
            start.grad is None,
            "the tensor that the input was computed from got a .grad",
        )

    @pytest.mark.edge
    def test_parameters_inside_f_stay_as_they_were(self, kata):
        """`backward()` adds to every leaf of the graph, even to those that are not
        inputs of f.
        """
        weight, bias = (
            torch.tensor([2.0, 3.0], requires_grad=True),
            torch.tensor(1.0, requires_grad=True),
        )
        bias.grad = torch.tensor(7.0)
        with check.unchanged(weight=weight, bias=bias):
            (got,) = kata.partial_derivatives(
                lambda x: (weight * x).sum() + bias, torch.tensor([1.0, 4.0])
            )
        check.close(got, torch.tensor([2.0, 3.0]))

    @pytest.mark.edge
    def test_works_inside_no_grad(self, kata):
        """Under the caller's no_grad nothing is recorded, unless you switch recording
        on for the call of f.
        """
        with torch.no_grad():
            got = kata.partial_derivatives(
                lambda x: (x * x).sum(), torch.tensor([3.0, -1.0])
            )
        unlike = {"nothing was recorded while f ran": (torch.zeros(2),)}
        check.close(got, (torch.tensor([6.0, -2.0]),), unlike=unlike, what="partials")

    @pytest.mark.edge
    def test_the_grad_mode_of_the_caller_holds_afterwards(self, kata):
        """A caller who switched recording off did so to save memory: put the old
        mode back.
        """
        with torch.no_grad():
            kata.partial_derivatives(lambda x: x * x, torch.tensor(3.0))
            check.that(
                not torch.is_grad_enabled(),
                "grad mode was off before the call and is on after it",
            )
        kata.partial_derivatives(lambda x: x * x, torch.tensor(3.0))
        check.that(
            torch.is_grad_enabled(),
            "grad mode was on before the call and is off after it",
        )

    @pytest.mark.edge
    def test_every_gradient_has_the_dtype_of_its_input(self, kata):
        """A gradient will be subtracted from its input, so it has that input's dtype,
        zeros included.
        """
        x, y = torch.ones(2, dtype=torch.float64), torch.ones(3, dtype=torch.float32)
        z = torch.ones(2, dtype=torch.bfloat16)
        cases = {
            "tracked": lambda x, y, z: x.sum() * y.sum(),
            "constant": lambda x, y, z: torch.tensor(1.0),
        }
        for name, f in cases.items():
            got = kata.partial_derivatives(f, x, y, z)
            dtypes = [g.dtype for g in got]
            expected = [x.dtype, y.dtype, z.dtype]
            check.that(
                dtypes == expected,
                f"gradients of a {name} f have the dtypes {dtypes}, the inputs "
                f"{expected}",
            )

    @pytest.mark.edge
    def test_one_element_may_have_dimensions(self, kata):
        """A value of shape (1, 1) is one number as well."""
        got = kata.partial_derivatives(
            lambda x: (x * x).sum().reshape(1, 1), torch.tensor([3.0, 4.0])
        )
        check.close(got, (torch.tensor([6.0, 8.0]),), what="partials")

    @pytest.mark.edge
    @pytest.mark.parametrize("size", [0, 2])
    def test_more_or_less_than_one_element_is_an_error(self, kata, size):
        """Several values have a Jacobian, not a gradient: a silent sum would hide
        the mistake.
        """
        with check.raises(ValueError):
            kata.partial_derivatives(
                lambda x: x[:size] * 2, torch.tensor([1.0, 2.0, 3.0])
            )

    @pytest.mark.edge
    def test_a_constant_vector_is_an_error_too(self, kata):
        """f must return one element, whether or not autograd recorded it."""
        with check.raises(ValueError):
            kata.partial_derivatives(lambda x: torch.ones(3), torch.tensor(1.0))


class TestGradientHistory:
    def setup_method(self):
        self.weight = torch.tensor([1.0, -2.0])
        self.inputs = [
            torch.tensor([2.0, 0.5]),
            torch.tensor([-1.0, 3.0]),
            torch.tensor([4.0, 1.0]),
        ]
        # (w·x) x
        self.alone = [
            torch.tensor([2.0, 0.5]),
            torch.tensor([7.0, -21.0]),
            torch.tensor([8.0, 2.0]),
        ]
        self.exchanged = [g + 2 * self.weight for g in self.alone]
        self.sums = [
            torch.tensor([2.0, 0.5]),
            torch.tensor([9.0, -20.5]),
            torch.tensor([17.0, -18.5]),
        ]

    def test_zeroing_gives_each_gradient_alone(self, kata):
        """`backward()` adds to .grad. To get the gradient of one loss alone, clear what
        the previous one left there.
        """
        history = kata.gradient_history(half_square, self.weight, self.inputs, True)
        check.close(
            history,
            self.alone,
            what="history",
            unlike={
                "the same .grad tensor every time, in its last state": [self.alone[2]]
                * 3,
                "the same .grad tensor every time, never cleared": [self.sums[2]] * 3,
                "the running sum: .grad is not cleared before each backward": self.sums,
                (
                    "the same .grad tensor every time, zeroed after it was kept: "
                    "clone it"
                ): [0 * self.weight] * 3,
                "loss_fn called with its arguments swapped": self.exchanged,
            },
        )

    def test_without_zeroing_gradients_add_up(self, kata):
        """`backward()` adds to .grad, so without zeroing each entry holds the sum of
        all gradients up to it.
        """
        history = kata.gradient_history(half_square, self.weight, self.inputs, False)
        check.close(
            history,
            self.sums,
            what="history",
            unlike={
                "each gradient alone": self.alone,
                "the same .grad tensor every time, in its last state": [self.sums[2]]
                * 3,
            },
        )

    @given(
        case=st.tuples(
            st.lists(st.integers(-3, 3), min_size=1, max_size=4), st.booleans()
        )
    )
    def test_any_number_of_inputs(self, kata, case):
        """The loss w·x has the gradient x, so the history holds the inputs themselves,
        or their running sums. A snapshot is a copy: it does not change when the next
        backward pass adds to .grad.
        """
        numbers, zero_between = case
        inputs = [torch.tensor(float(n)) for n in numbers]
        expected = numbers if zero_between else itertools.accumulate(numbers)
        history = kata.gradient_history(
            lambda w, x: w * x, torch.tensor(5.0), inputs, zero_between
        )
        check.close(history, [torch.tensor(float(n)) for n in expected], what="history")

    def test_the_weight_may_require_grad_itself(self, kata):
        """Only leaves get a .grad. A clone of a tensor that requires grad is the result
        of an operation, not a leaf: detach first.
        """
        weight = self.weight.clone().requires_grad_()
        history = kata.gradient_history(half_square, weight, self.inputs, True)
        check.close(history, self.alone, what="history")

    def test_snapshots_do_not_require_grad(self, kata):
        """Snapshots are plain numbers. One that belongs to a graph keeps that graph
        in memory.
        """
        weight = self.weight.clone().requires_grad_()
        for gradient in kata.gradient_history(half_square, weight, self.inputs, False):
            check.that(not gradient.requires_grad, "a snapshot requires grad")

    def test_the_weight_stays_as_it_was(self, kata):
        """The backward passes run on a copy: the caller's weight keeps its flag and
        gets no .grad.
        """
        plain, tracked = self.weight.clone(), self.weight.clone().requires_grad_()
        with check.unchanged(plain=plain, tracked=tracked):
            kata.gradient_history(half_square, plain, self.inputs, True)
            kata.gradient_history(half_square, tracked, self.inputs, False)

    @pytest.mark.parametrize("zero_between", [True, False])
    def test_an_old_gradient_neither_counts_nor_changes(self, kata, zero_between):
        """An old weight.grad belongs to the caller: it stays, and no sum of this
        history includes it.
        """
        weight = self.weight.clone().requires_grad_()
        weight.grad = torch.tensor([100.0, 100.0])
        with check.unchanged(weight=weight):
            history = kata.gradient_history(
                half_square, weight, self.inputs, zero_between
            )
        check.close(history, self.alone if zero_between else self.sums, what="history")

    @pytest.mark.edge
    def test_loss_fn_is_called_once_per_input_in_order(self, kata):
        """A loss may be expensive or draw random numbers, so call it once per input,
        with the weight first.
        """
        calls = []

        def loss_fn(w, x):
            calls.append((w.detach().clone(), x))
            return half_square(w, x)

        kata.gradient_history(loss_fn, self.weight, self.inputs, True)
        check.equal(
            calls, [(self.weight, x) for x in self.inputs], what="calls of loss_fn"
        )

    @pytest.mark.edge
    def test_the_copy_is_private(self, kata):
        """A loss_fn that updates w, as an optimizer does, changes only the copy. The
        next gradient is taken at the new w, and the caller's weight stays.
        """

        def loss_fn(w, x):
            with torch.no_grad():
                w.add_(1)
            return (w * w * x).sum()

        weight, ones = torch.tensor([1.0, -2.0]), torch.ones(2)
        with check.unchanged(weight=weight):
            history = kata.gradient_history(loss_fn, weight, [ones, ones], True)
        check.close(
            history,
            [torch.tensor([4.0, -2.0]), torch.tensor([6.0, 0.0])],
            what="history",
        )

    @pytest.mark.edge
    def test_the_gradients_have_the_dtype_of_the_weight(self, kata):
        """The gradient of a float64 weight is float64."""
        inputs = [x.double() for x in self.inputs]
        history = kata.gradient_history(half_square, self.weight.double(), inputs, True)
        check.equal(history, [g.double() for g in self.alone], what="history")

    @pytest.mark.edge
    def test_an_iterator_is_fine(self, kata):
        """An iterator has no length, no index and no second pass: loop over it once."""
        history = kata.gradient_history(
            half_square, self.weight, (x for x in self.inputs), False
        )
        check.close(history, self.sums, what="history")

    @pytest.mark.edge
    def test_no_input_gives_an_empty_list(self, kata):
        """Without a backward pass there is nothing to put into the list."""
        check.equal(kata.gradient_history(half_square, self.weight, [], False), [])


class TestFrozenTargetLoss:
    def setup_method(self):
        self.state = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
        self.next_state = torch.tensor([[2.0, -1.0], [1.0, 1.0], [0.0, 4.0]])
        self.reward = torch.tensor([1.0, -0.5, 2.0])

    def loss_by_hand(self, w, gamma):
        """The loss for value_fn(s) = s @ w, row by row in plain Python, and its
        gradient with the target held still.
        """
        total, gradient = 0.0, [0.0, 0.0]
        for s, n, r in zip(
            self.state.tolist(),
            self.next_state.tolist(),
            self.reward.tolist(),
            strict=True,
        ):
            error = (
                s[0] * w[0] + s[1] * w[1] - (r + gamma * (n[0] * w[0] + n[1] * w[1]))
            )
            total += error * error / 3
            gradient = [g + 2 * error * f / 3 for g, f in zip(gradient, s, strict=True)]
        return torch.tensor(total, dtype=torch.float64), torch.tensor(
            gradient, dtype=torch.float64
        )

    def modes_of(self, loss_with):
        """The mode in which value_fn is called for each of the two states, while
        `loss_with` computes the loss.
        """
        modes = {}

        def value_fn(states):
            which = "state" if torch.equal(states, self.state) else "next_state"
            mode = "grad" if torch.is_grad_enabled() else "no_grad"
            modes[which] = (
                "inference_mode" if torch.is_inference_mode_enabled() else mode
            )
            return states @ torch.tensor([0.5, -1.5])

        loss_with(value_fn)
        return modes

    def test_mean_squared_distance_to_the_target(self, kata):
        """The target is reward + gamma · value of the next state, and gamma is 0.9
        by default.
        """
        w = torch.tensor([0.5, -1.5])
        loss = kata.frozen_target_loss(
            lambda s: s @ w, self.state, self.next_state, self.reward
        )
        now, later = self.state @ w, self.next_state @ w
        unlike = {
            "the sum, not the mean": (now - self.reward - 0.9 * later).square().sum(),
            "the reward discounted as well": (now - 0.9 * (self.reward + later))
            .square()
            .mean(),
            "prediction and target added up": (now + self.reward + 0.9 * later)
            .square()
            .mean(),
            "gamma not used": (now - self.reward - later).square().mean(),
            "no reward in the target": (now - 0.9 * later).square().mean(),
        }
        check.close(loss, self.loss_by_hand([0.5, -1.5], 0.9)[0], unlike=unlike)

    @pytest.mark.parametrize("how", HOWS)
    def test_gradient_does_not_flow_through_the_target(self, kata, how):
        """The prediction should move towards the target. If the target is in the graph
        as well, it moves, too, and the gradient is different.
        """
        w = torch.tensor([0.5, -1.5], requires_grad=True)
        loss = kata.frozen_target_loss(
            lambda s: s @ w, self.state, self.next_state, self.reward, how=how
        )
        check.that(
            loss.requires_grad,
            "the loss carries no graph: value_fn(state) must be tracked",
        )
        moving = w.detach().clone().requires_grad_()
        (
            self.state @ moving - self.reward - 0.9 * (self.next_state @ moving)
        ).square().mean().backward()
        check.close(
            torch.autograd.grad(loss, w)[0],
            self.loss_by_hand([0.5, -1.5], 0.9)[1],
            what="the gradient of value_fn's parameter",
            unlike={"the gradient through prediction and target": moving.grad},
        )

    @given(case=st.tuples(st.sampled_from(HOWS), st.sampled_from([0.0, 0.5, 0.9, 1.0])))
    def test_all_three_ways_give_the_same_loss_and_gradient(self, kata, case):
        """The three ways differ in what they record, not in any number, whatever
        gamma is.
        """
        how, gamma = case
        w = torch.tensor([0.5, -1.5], requires_grad=True)
        loss = kata.frozen_target_loss(
            lambda s: s @ w, self.state, self.next_state, self.reward, gamma, how
        )
        expected, gradient = self.loss_by_hand([0.5, -1.5], gamma)
        check.close(loss, expected, what="the loss")
        check.close(
            torch.autograd.grad(loss, w)[0],
            gradient,
            what="the gradient of value_fn's parameter",
        )

    @pytest.mark.parametrize("how", HOWS)
    def test_the_target_is_computed_in_the_mode_asked_for(self, kata, how):
        """detach records first and cuts afterwards; no_grad and inference_mode do not
        record in the first place. Only the call for next_state is inside the mode: the
        call for state is tracked.
        """
        modes = self.modes_of(
            lambda value_fn: kata.frozen_target_loss(
                value_fn, self.state, self.next_state, self.reward, how=how
            )
        )
        expected = {"state": "grad", "next_state": "grad" if how == "detach" else how}
        unlike = (
            {}
            if how == "detach"
            else {"detached, whatever `how` says": dict.fromkeys(expected, "grad")}
        )
        check.equal(
            modes,
            expected,
            unlike=unlike,
            what=f"the mode of value_fn, with how={how!r}, at ",
        )

    def test_no_gradient_reaches_next_state(self, kata):
        """The gradient flows to state but not to next_state, which belongs to
        the target.
        """
        state, following = (
            self.state.clone().requires_grad_(),
            self.next_state.clone().requires_grad_(),
        )
        loss = kata.frozen_target_loss(
            lambda s: (s * s).sum(1), state, following, self.reward
        )
        check.that(
            loss.requires_grad,
            "the loss carries no graph: value_fn(state) must be tracked",
        )
        check.that(reaches(loss, state), "no gradient reaches state")
        check.that(
            not reaches(loss, following),
            "a gradient reaches next_state: the target is not a constant",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("how", HOWS)
    def test_no_gradient_reaches_the_reward(self, kata, how):
        """The whole target is a constant, including the reward: detach the sum, not
        only the value of next_state.
        """
        state, reward = (
            self.state.clone().requires_grad_(),
            self.reward.clone().requires_grad_(),
        )
        loss = kata.frozen_target_loss(
            lambda s: (s * s).sum(1), state, self.next_state, reward, how=how
        )
        check.that(
            not reaches(loss, reward),
            f"a gradient reaches the reward, with how={how!r}",
        )

    @pytest.mark.edge
    def test_another_how_is_an_error(self, kata):
        """A misspelt mode must not silently fall back to one of the three."""
        with check.raises(ValueError):
            kata.frozen_target_loss(
                lambda s: s.sum(1),
                self.state,
                self.next_state,
                self.reward,
                how="no-grad",
            )


@pytest.mark.stretch
class TestDescribeGraph:
    def test_operations_and_leaves(self, kata):
        """With d = 2x, (d·d + b).sum() consists of two products, one addition and one
        sum. d is used twice and is still one node.
        """
        x, b = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
        d = 2 * x
        got = kata.describe_graph((d * d + b).sum())
        check.that(
            isinstance(got, dict) and set(got) == {"ops", "leaves"},
            f"expected keys ops, leaves: got {got!r}",
        )
        check.equal(
            got["ops"],
            {"Mul": 2, "Add": 1, "Sum": 1},
            what="ops",
            unlike={"the shared node counted once per way to it": {"Mul": 3}},
        )

    def test_leaves_are_the_tensors_themselves(self, kata):
        """The list holds the objects that will get the .grad, not copies and
        not nodes.
        """
        x, b = torch.ones(3, requires_grad=True), torch.zeros(3, requires_grad=True)
        leaves = kata.describe_graph((2 * x + b).sum())["leaves"]
        check.that(
            same_tensors(leaves, [x, b]), f"expected x and b themselves, got {leaves!r}"
        )

    def test_a_leaf_used_twice_is_listed_once(self, kata):
        """Both uses add to the same .grad: x is one leaf."""
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        leaves = kata.describe_graph((x.exp() * x.abs() + x).sum())["leaves"]
        check.that(
            same_tensors(leaves, [x]), f"expected x once, got {len(leaves)} leaves"
        )

    def test_tensors_without_grad_are_not_listed(self, kata):
        """A leaf that does not require grad takes part in the arithmetic but not in
        the graph.
        """
        x, data = (
            torch.tensor([1.0, 2.0], requires_grad=True),
            torch.tensor([-3.0, -4.0]),
        )
        got = kata.describe_graph((data * x).sum())
        check.equal(got["ops"], {"Mul": 1, "Sum": 1}, what="ops")
        check.that(
            same_tensors(got["leaves"], [x]), f"expected x alone, got {got['leaves']!r}"
        )

    def test_the_graph_ends_where_it_was_cut(self, kata):
        """Nothing before a detach can be reached, and no gradient gets there."""
        x, w = (
            torch.tensor([1.0, 2.0], requires_grad=True),
            torch.tensor([3.0, 4.0], requires_grad=True),
        )
        got = kata.describe_graph(x.exp().detach() * w)
        check.equal(got["ops"], {"Mul": 1}, what="ops")
        check.that(
            same_tensors(got["leaves"], [w]), f"expected w alone, got {got['leaves']!r}"
        )

    def test_names_lose_only_their_ending(self, kata):
        """Log2Backward0 becomes Log2 and PowBackward1 becomes Pow: remove digits and
        "Backward" only at the end of the name.
        """
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        got = kata.describe_graph((x.log2() * x.log() * x**x).sum())
        check.equal(
            got["ops"], {"Log2": 1, "Log": 1, "Pow": 1, "Mul": 2, "Sum": 1}, what="ops"
        )

    def test_a_custom_function_has_its_own_name(self, kata):
        """The node of a custom Function has the name of its class, with
        "Backward" added.
        """
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        y = Triple.apply(Triple.apply(x))
        check.equal(kata.describe_graph(y)["ops"], {"Triple": 2}, what="ops")

    def test_sixteen_doublings_are_sixteen_nodes(self, kata):
        """Each h + h leads to h in two ways, so there are 2¹⁶ ways to x: remember which
        nodes you have seen.
        """
        x = torch.tensor(1.0, requires_grad=True)
        h = x
        for _ in range(16):
            h = h + h
        got = kata.describe_graph(h)
        check.equal(
            got["ops"],
            {"Add": 16},
            what="ops",
            unlike={"every way counted": {"Add": 2**16 - 1}},
        )
        check.that(
            same_tensors(got["leaves"], [x]),
            f"expected x once, got {len(got['leaves'])} leaves",
        )

    @pytest.mark.edge
    def test_a_backward_inside_a_name_stays(self, kata):
        """Remove a "Backward" only at the end of the name, together with the digits
        after it.
        """
        x = torch.tensor([2.0, 3.0], requires_grad=True)
        check.equal(
            kata.describe_graph(BackwardStep2.apply(x))["ops"],
            {"BackwardStep2": 1},
            what="ops",
        )

    @pytest.mark.edge
    def test_a_node_with_two_outputs_counts_once(self, kata):
        """unbind gives two tensors from one node, and both lead back to it."""
        x = torch.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        first, second = x.unbind()
        check.equal(
            kata.describe_graph((first * second).sum())["ops"],
            {"Unbind": 1, "Mul": 1, "Sum": 1},
            what="ops",
        )

    @pytest.mark.edge
    def test_a_leaf_is_its_own_graph(self, kata):
        """A tensor made by hand comes from no operation. If it requires grad, it gets
        the gradient itself.
        """
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        got = kata.describe_graph(x)
        check.equal(got["ops"], {}, what="ops")
        check.that(
            same_tensors(got["leaves"], [x]),
            f"expected x itself, got {got['leaves']!r}",
        )

    @pytest.mark.edge
    def test_an_untracked_tensor_has_no_graph(self, kata):
        """Without requires_grad nothing is recorded: no operations, no leaves."""
        check.equal(kata.describe_graph(torch.ones(3) * 2), {"ops": {}, "leaves": []})

    @pytest.mark.edge
    def test_a_long_chain(self, kata):
        """A chain of 3000 operations is deeper than Python's limit for
        recursive calls.
        """
        x = torch.tensor(0.0, requires_grad=True)
        h = x
        for _ in range(3000):
            h = h + 1
        got = kata.describe_graph(h)
        check.equal(got["ops"], {"Add": 3000}, what="ops")
        check.that(
            same_tensors(got["leaves"], [x]),
            f"expected x once, got {len(got['leaves'])} leaves",
        )


@pytest.mark.stretch
class TestJacobian:
    def test_shape_of_y_then_shape_of_x(self, kata):
        """There is one derivative per pair of an entry of y and an entry of x: y (3,)
        and x (2, 3) give (3, 2, 3).
        """
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        check.shape(kata.jacobian(lambda t: t[0] * t[1], x), (3, 2, 3))

    @given(sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)))
    def test_a_linear_map_is_its_own_jacobian(self, kata, sizes):
        """Row i holds the derivatives of y[i]: for y = A x that is row i of A."""
        a = torch.arange(1.0, 1 + math.prod(sizes)).reshape(sizes)
        check.close(
            kata.jacobian(lambda t: a @ t, torch.ones(sizes[1])),
            a,
            unlike={"the transpose": a.t()},
        )

    def test_values_are_taken_at_x(self, kata):
        """y = (x₀x₁, x₁², x₁ / x₀) has the rows (x₁, x₀), (0, 2x₁) and
        (-x₁/x₀², 1/x₀).
        """
        x = torch.tensor([2.0, 6.0])
        got = kata.jacobian(
            lambda t: torch.stack([t[0] * t[1], t[1] ** 2, t[1] / t[0]]), x
        )
        check.close(got, torch.tensor([[6.0, 2.0], [0.0, 12.0], [-1.5, 0.5]]))

    def test_y_may_have_several_dimensions(self, kata):
        """For y[i, j] = a[i] · x[j]² the entry [i, j, k] is 2 a[i] x[j] where k = j and
        zero elsewhere.
        """
        a, x = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 5.0, -1.0])
        expected = torch.zeros(2, 3, 3)
        for i in range(2):
            for j in range(3):
                expected[i, j, j] = 2 * a[i] * x[j]
        check.close(kata.jacobian(lambda t: torch.outer(a, t * t), x), expected)

    def test_f_is_called_once(self, kata):
        """One forward pass records one graph, and every row is a backward pass through
        that graph. Calling f once per row repeats the forward work, and is wrong if f
        draws random numbers.
        """
        calls = []
        kata.jacobian(
            lambda t: calls.append(1) or t * t, torch.tensor([1.0, 2.0, 3.0, 4.0])
        )
        check.that(len(calls) == 1, f"f was called {len(calls)} times")

    def test_constant_entries_give_zero_rows(self, kata):
        """The second entry does not depend on x."""
        got = kata.jacobian(
            lambda t: torch.stack([3 * t[0], torch.tensor(4.0), 5 * t[1]]),
            torch.tensor([1.0, 2.0]),
        )
        check.close(got, torch.tensor([[3.0, 0.0], [0.0, 0.0], [0.0, 5.0]]))

    def test_the_result_does_not_require_grad(self, kata):
        """The derivatives are plain numbers, even if x requires grad."""
        x = torch.tensor([1.0, 2.0], requires_grad=True)
        check.that(
            not kata.jacobian(lambda t: t**3, x).requires_grad,
            "the result requires grad",
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """torch.autograd.functional and torch.func have this function; here you build
        it from backward passes.
        """
        functional = [
            f"torch.autograd.functional.{name}" for name in ("jacobian", "vjp", "jvp")
        ]
        ready = [
            f"torch.func.{name}"
            for name in ("jacrev", "jacfwd", "vjp", "jvp", "grad", "linearize")
        ]
        with check.forbidden(kata, *functional, *ready):
            got = kata.jacobian(lambda t: 3 * t, torch.tensor([1.0, 2.0]))
        check.close(got, torch.tensor([[3.0, 0.0], [0.0, 3.0]]))

    @pytest.mark.edge
    def test_y_may_be_a_single_number(self, kata):
        """The Jacobian of a 0-dim y is its gradient, of x's shape."""
        x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        check.close(kata.jacobian(lambda t: t.square().sum(), x), 2 * x)

    @pytest.mark.edge
    def test_x_may_be_a_single_number(self, kata):
        """For a 0-dim x there is one derivative per entry of y, so the result has
        y's shape.
        """
        a = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        check.close(kata.jacobian(lambda t: a * t, torch.tensor(7.0)), a)

    @pytest.mark.edge
    def test_a_constant_f_gives_zeros(self, kata):
        """If no entry depends on x, y has no graph at all."""
        check.close(
            kata.jacobian(lambda t: torch.ones(4), torch.ones(2, 3)),
            torch.zeros(4, 2, 3),
        )

    @pytest.mark.edge
    def test_a_function_of_parameters_alone_gives_zeros(self, kata):
        """This y has a graph, but x is not part of it."""
        weight = torch.tensor([1.0, 2.0], requires_grad=True)
        check.close(
            kata.jacobian(lambda t: 3 * weight, torch.ones(3)), torch.zeros(2, 3)
        )

    @pytest.mark.edge
    def test_no_grad_changes_anywhere(self, kata):
        """x keeps its flag and its .grad, and a parameter inside f gets none."""
        plain, tracked = (
            torch.tensor([1.0, 2.0]),
            torch.tensor([1.0, 2.0], requires_grad=True),
        )
        weight = torch.tensor([3.0, 4.0], requires_grad=True)
        tracked.grad = torch.tensor([7.0, 7.0])
        with check.unchanged(plain=plain, tracked=tracked, weight=weight):
            kata.jacobian(lambda t: weight * t, plain)
            kata.jacobian(lambda t: weight * t, tracked)

    @pytest.mark.edge
    def test_works_inside_no_grad(self, kata):
        """f has to be recorded, even if the caller has switched recording off."""
        with torch.no_grad():
            got = kata.jacobian(lambda t: t * t, torch.tensor([3.0, -1.0]))
        check.close(got, torch.tensor([[6.0, 0.0], [0.0, -2.0]]))

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
    def test_has_the_dtype_of_x(self, kata, dtype):
        """Derivatives with respect to x have x's dtype, zeros included."""
        x = torch.tensor([1.0, 2.0], dtype=dtype)
        check.equal(
            kata.jacobian(lambda t: t * t, x),
            torch.tensor([[2.0, 0.0], [0.0, 4.0]], dtype=dtype),
        )
        zeros = kata.jacobian(lambda t: torch.ones(3), x)
        check.equal(zeros, torch.zeros(3, 2, dtype=dtype), what="zeros of a constant f")

    @pytest.mark.edge
    def test_stays_on_the_device_of_x(self, kata):
        """Zeros, unit vectors and other new tensors have to be made on x's device. The
        meta device, which has shapes and no numbers, takes the place of a GPU here.
        """
        a, x = torch.ones(4, 3, device="meta"), torch.ones(3, device="meta")
        got = kata.jacobian(lambda t: a @ t, x)
        check.that(
            got.device == x.device, f"the result is on {got.device}, x on {x.device}"
        )
        check.shape(got, (4, 3))


@pytest.mark.stretch
class TestInplaceIsSafe:
    def setup_method(self):
        self.x = torch.tensor([0.5, 1.5, 2.0])

    def table(self, kata, *names):
        ops = {"plus 3": lambda h: h + 3, "times 3": lambda h: h * 3}
        return {
            name: {
                target: kata.inplace_is_safe(
                    ops.get(name) or getattr(torch, name), self.x, target
                )
                for target in ("output", "input")
            }
            for name in names
        }

    def test_operations_that_save_their_output(self, kata):
        """exp(x) is its own derivative, and the derivatives of the others follow from
        the output, too. Autograd saves the output, so the output must not change, while
        the input may.
        """
        x = torch.tensor([0.5, 1.5, 2.0])
        for op in (torch.exp, torch.tanh, torch.sigmoid, torch.relu, torch.sqrt):
            check.equal(
                kata.inplace_is_safe(op, x, "output"),
                False,
                what=f"the result for {op.__name__}",
            )
            check.equal(
                kata.inplace_is_safe(op, x, "input"),
                True,
                what=f"the result for {op.__name__}",
            )

    def test_operations_that_save_their_input(self, kata):
        """The derivatives cos(x), 1/x and 2x need x. Autograd saves the input, so the
        input must not change, while the output may.
        """
        x = torch.tensor([0.5, 1.5, 2.0])
        for op in (torch.sin, torch.log, torch.square):
            check.equal(
                kata.inplace_is_safe(op, x, "output"),
                True,
                what=f"the result for {op.__name__}",
            )
            check.equal(
                kata.inplace_is_safe(op, x, "input"),
                False,
                what=f"the result for {op.__name__}",
            )

    def test_operations_that_save_neither(self, kata):
        """The derivatives of x + 3 and of 3x do not depend on x: neither tensor is
        saved, and both may change.
        """
        x = torch.tensor([-0.5, 1.5, 2.0])
        for target in ("output", "input"):
            check.equal(
                kata.inplace_is_safe(lambda h: h + 3, x, target),
                True,
                what="the result for x + 3",
            )
            check.equal(
                kata.inplace_is_safe(lambda h: h * 3, x, target),
                True,
                what="the result for 3x",
            )

    def test_the_output_is_changed_unless_told_otherwise(self, kata):
        """The default target is the output."""
        x = torch.tensor([0.5, 1.5, 2.0])
        check.equal(
            kata.inplace_is_safe(torch.exp, x), False, what="the result for exp"
        )
        check.equal(kata.inplace_is_safe(torch.sin, x), True, what="the result for sin")

    @pytest.mark.edge
    def test_x_stays_as_it_was(self, kata):
        """The trial writes to a copy: values, flag and .grad of the caller's tensor
        stay as they were.
        """
        plain, tracked = self.x.clone(), self.x.clone().requires_grad_()
        tracked.grad = torch.full((3,), 7.0)
        with check.unchanged(plain=plain, tracked=tracked):
            for x in (plain, tracked):
                kata.inplace_is_safe(torch.exp, x, "input")
                kata.inplace_is_safe(torch.exp, x, "output")

    @pytest.mark.edge
    def test_works_inside_no_grad(self, kata):
        """The trial needs a graph, even if the caller has switched recording off."""
        x = torch.tensor([0.5, 1.5, 2.0])
        with torch.no_grad():
            check.equal(
                kata.inplace_is_safe(torch.exp, x), False, what="the result for exp"
            )
            check.equal(
                kata.inplace_is_safe(torch.exp, x, "input"),
                True,
                what="the result for exp",
            )

    @pytest.mark.edge
    def test_an_error_of_op_comes_through(self, kata):
        """An op that fails before anything was changed says nothing about safety, so
        its error must not become False.
        """
        with check.raises(RuntimeError):
            kata.inplace_is_safe(lambda h: h @ torch.ones(7), self.x)

    @pytest.mark.edge
    def test_another_error_of_the_backward_pass_comes_through(self, kata):
        """Only the error "modified by an inplace operation" means unsafe; all others
        are passed on.
        """
        with check.raises(RuntimeError, "no derivative known"):
            kata.inplace_is_safe(BrokenBackward.apply, self.x)

    @pytest.mark.edge
    def test_another_target_is_an_error(self, kata):
        """A misspelt target must not be treated as one of the two."""
        with check.raises(ValueError):
            kata.inplace_is_safe(torch.exp, self.x, "outputs")


@pytest.mark.stretch
class TestLeakyReLUFunction:
    def setup_method(self):
        self.x = torch.tensor(
            [[-2.0, 3.0, -0.5], [1.5, -4.0, 0.25]], dtype=torch.float64
        )

    def test_positive_values_stay_and_others_are_scaled(self, kata):
        """x where x > 0 and slope · x elsewhere, for slopes below 1 and above."""
        x = self.x
        for slope in (0.1, 2.0):
            check.close(
                kata.LeakyReLUFunction.apply(x, slope),
                torch.tensor(
                    [[-2 * slope, 3.0, -0.5 * slope], [1.5, -4 * slope, 0.25]]
                ),
                what=f"the result for slope {slope}",
                unlike={
                    "the larger of x and slope · x": torch.maximum(x, slope * x),
                    "a plain ReLU": x.relu(),
                },
            )

    def test_gradient_is_one_or_the_slope(self, kata):
        """The incoming gradient passes where x > 0 and is scaled by the slope
        elsewhere. backward returns as many values as forward has arguments: None
        for slope.
        """
        incoming = torch.tensor(
            [[5.0, 7.0, 11.0], [13.0, 17.0, 19.0]], dtype=torch.float64
        )
        for slope in (0.1, 2.0):
            sides = torch.tensor(
                [[slope, 1.0, slope], [1.0, slope, 1.0]], dtype=torch.float64
            )
            x = self.x.clone().requires_grad_()
            y = kata.LeakyReLUFunction.apply(x, slope)
            check.close(
                torch.autograd.grad(y, x, incoming)[0],
                sides * incoming,
                what=f"the gradient of x for slope {slope}",
                unlike={
                    "the incoming gradient was ignored": sides,
                    "the gradient of a plain ReLU": incoming * (x > 0),
                },
            )

    def test_zero_counts_as_elsewhere(self, kata):
        """The kink at 0 has a slope on each side: this function takes the one on
        the left.
        """
        x = torch.zeros(3, requires_grad=True)
        y = kata.LeakyReLUFunction.apply(x, 0.25)
        check.close(y, torch.zeros(3))
        check.close(
            torch.autograd.grad(y.sum(), x)[0],
            torch.full((3,), 0.25),
            what="gradient at 0",
            unlike={"the slope of the right side": torch.ones(3)},
        )

    def test_is_one_node_of_the_graph(self, kata):
        """Nothing is recorded inside a custom Function: all of it is one node, with the
        backward that you wrote.
        """
        y = kata.LeakyReLUFunction.apply(self.x.clone().requires_grad_(), 0.1)
        check.equal(
            type(y.grad_fn).__name__,
            "LeakyReLUFunctionBackward",
            what="node of the result",
        )

    def test_passes_gradcheck(self, kata):
        """gradcheck compares backward with finite differences of forward."""
        x = torch.tensor(
            [[-2.0, 3.0], [1.5, -0.5]], dtype=torch.float64, requires_grad=True
        )
        for slope in (0.1, 2.0):
            good = gradcheck(
                kata.LeakyReLUFunction.apply, (x, slope), raise_exception=False
            )
            check.that(
                good,
                f"slope {slope}: backward disagrees with finite differences of forward",
            )

    def test_passes_gradgradcheck(self, kata):
        """A backward made of differentiable operations can itself be differentiated.
        Gradient penalties need that.
        """
        x = torch.tensor(
            [[-2.0, 3.0], [1.5, -0.5]], dtype=torch.float64, requires_grad=True
        )
        for slope in (0.1, 2.0):
            good = gradgradcheck(
                kata.LeakyReLUFunction.apply, (x, slope), raise_exception=False
            )
            check.that(
                good,
                f"slope {slope}: the second derivative disagrees with finite "
                "differences of backward",
            )

    def test_is_written_without_the_ready_made_one(self, kata):
        """torch has a leaky ReLU; here you write its forward and backward yourself."""
        names = [
            "torch.nn.functional.leaky_relu",
            "torch.nn.functional.leaky_relu_",
            "torch.nn.LeakyReLU",
        ]
        with check.forbidden(kata, *names):
            x = self.x.clone().requires_grad_()
            kata.LeakyReLUFunction.apply(x, 0.1).sum().backward()
        check.close(x.grad, torch.where(self.x > 0, 1.0, 0.1))

    @pytest.mark.edge
    @pytest.mark.parametrize("slope", [0.0, -0.5])
    def test_slopes_of_zero_and_below(self, kata, slope):
        """With a negative slope the output is positive on both sides, so its sign does
        not tell the sides apart: look at x.
        """
        incoming = torch.tensor(
            [[5.0, 7.0, 11.0], [13.0, 17.0, 19.0]], dtype=torch.float64
        )
        x = self.x.clone().requires_grad_()
        y = kata.LeakyReLUFunction.apply(x, slope)
        check.close(
            y,
            torch.tensor([[-2 * slope, 3.0, -0.5 * slope], [1.5, -4 * slope, 0.25]]),
            what="the result",
        )
        sides = torch.tensor(
            [[slope, 1.0, slope], [1.0, slope, 1.0]], dtype=torch.float64
        )
        from_output = torch.where(y > 0, incoming, slope * incoming)
        suspects = {"the sign was read from the output": from_output}
        check.close(
            torch.autograd.grad(y, x, incoming)[0],
            sides * incoming,
            what="the gradient of x",
            unlike=suspects,
        )
        tracked = torch.tensor(
            [-2.0, 3.0, 1.5], dtype=torch.float64, requires_grad=True
        )
        good = gradgradcheck(
            kata.LeakyReLUFunction.apply, (tracked, slope), raise_exception=False
        )
        check.that(
            good, "the second derivative disagrees with finite differences of backward"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_keeps_shape_and_dtype(self, kata, dtype):
        """Result and gradient have the shape and dtype of x."""
        x = torch.tensor(
            [[[-2.0, 4.0, -8.0]], [[1.0, -1.0, 16.0]]], dtype=dtype, requires_grad=True
        )
        y = kata.LeakyReLUFunction.apply(x, 0.5)
        check.equal(
            y, torch.tensor([[[-1.0, 4.0, -4.0]], [[1.0, -0.5, 16.0]]], dtype=dtype)
        )
        y.sum().backward()
        check.dtype(x.grad, dtype, what="gradient of x")

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """The order of the elements in memory changes neither values nor gradients."""

        def right(x):
            return x.t().clamp(min=0) + 0.1 * x.t().clamp(max=0)

        check.close(kata.LeakyReLUFunction.apply(self.x.t(), 0.1), right(self.x))
        check.gradients(
            lambda x: kata.LeakyReLUFunction.apply(x.t(), 0.1), right, self.x
        )

    @pytest.mark.edge
    def test_writes_neither_to_x_nor_to_the_incoming_gradient(self, kata):
        """Others still need both tensors: the caller needs x, and other branches of the
        graph the incoming gradient.
        """
        x, incoming = (
            self.x.clone().requires_grad_(),
            torch.full((2, 3), 3.0, dtype=torch.float64),
        )
        with check.unchanged(x=x, incoming=incoming):
            torch.autograd.grad(kata.LeakyReLUFunction.apply(x, 0.1), x, incoming)

    @pytest.mark.edge
    def test_a_change_of_x_is_noticed_or_harmless(self, kata):
        """Autograd does not watch a tensor that is a plain attribute of ctx: if it
        changes in place, backward silently computes a wrong gradient. Autograd watches
        what save_for_backward gets.
        """
        x = self.x.clone().requires_grad_()
        h = x.clone()
        y = kata.LeakyReLUFunction.apply(h, 0.25)
        with torch.no_grad():
            h.neg_()
        try:
            y.sum().backward()
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
        else:
            expected = torch.tensor(
                [[0.25, 1.0, 0.25], [1.0, 0.25, 1.0]], dtype=torch.float64
            )
            check.close(x.grad, expected, what="gradient of x")
