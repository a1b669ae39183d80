"""Specs of kata tinytorch/07: SGD, descent on a bowl, learning rates, and gradients
that add up.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check


def parameter(data, grad=None, dtype=np.float64):
    """A Parameter, and its gradient if there is one."""
    from tinytorch.layers import Parameter

    p = Parameter(np.array(data, dtype=dtype))
    p.grad = None if grad is None else np.array(grad, dtype=dtype)
    return p


def two_parameters():
    """A weight and a bias with random values and gradients."""
    rng = np.random.default_rng(0)
    return [
        parameter(rng.normal(size=shape), rng.normal(size=shape))
        for shape in ((3, 4), (4,))
    ]


def path(curvatures, start, lr, steps):
    """The points of descent in closed form: each step multiplies xᵢ by 1 − lr·cᵢ."""
    factors = 1 - lr * np.asarray(curvatures, dtype=np.float64)
    return (
        np.asarray(start, dtype=np.float64) * factors ** np.arange(steps + 1)[:, None]
    )


def bowl(curvatures, points):
    """½ Σ cᵢ xᵢ² for each point."""
    return 0.5 * (points * points) @ np.asarray(curvatures, dtype=np.float64)


@st.composite
def descents(draw):
    """Curvatures, a start, a learning rate, and a number of steps."""
    size = draw(st.integers(1, 3))
    quarters = st.integers(1, 12).map(lambda n: n / 4)
    curvatures, start = (
        draw(st.lists(quarters, min_size=size, max_size=size)) for _ in range(2)
    )
    return (
        curvatures,
        start,
        draw(st.sampled_from([0.05, 0.25, 0.5, 1.0])),
        draw(st.integers(0, 6)),
    )


class TestOptimizer:
    def test_keeps_parameters_and_learning_rate(self, kata):
        """The parameters stand in a list, the very objects that were given: a copy
        would never reach the network.
        """
        first, second = two_parameters()
        optimizer = kata.Optimizer((first, second), 0.1)
        check.that(
            isinstance(optimizer.params, list),
            f"params is {check.describe(optimizer.params)}, expected a list",
        )
        check.equal(len(optimizer.params), 2, what="number of parameters")
        same = optimizer.params[0] is first and optimizer.params[1] is second
        check.that(same, "params holds other objects than those that were given")
        check.equal(optimizer.lr, 0.1, what="lr")

    def test_a_generator_lasts_for_many_steps(self, kata):
        """`model.parameters()` may be a generator, which is empty after one run. The
        second zero_grad must still find all parameters.
        """
        params = two_parameters()
        optimizer = kata.Optimizer((p for p in params), 0.1)
        for _ in range(2):
            for p in params:
                p.grad = np.ones(p.shape)
            optimizer.zero_grad()
            left = [p.shape for p in params if p.grad is not None]
            check.that(
                not left,
                f"zero_grad left the gradients of the parameters of shapes {left}",
            )

    def test_zero_grad_forgets_the_gradients(self, kata):
        """None says that there is no gradient, and `backward` starts anew from it. The
        parameters themselves stay.
        """
        params = two_parameters()
        before = [p.data.copy() for p in params]
        kata.Optimizer(params, 0.1).zero_grad()
        for p, data in zip(params, before, strict=True):
            check.that(
                p.grad is None,
                f"grad is {check.describe(p.grad)} after zero_grad, expected None",
            )
            check.equal(
                p.data,
                data,
                what="data after zero_grad",
                unlike={"zeroed data": np.zeros(p.shape)},
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("lr", [0.0, -0.1])
    def test_a_learning_rate_must_be_positive(self, kata, lr):
        """With 0 nothing is learned, and below 0 every step goes uphill."""
        with check.raises(ValueError):
            kata.Optimizer(two_parameters(), lr)

    @pytest.mark.edge
    def test_no_parameters_are_refused(self, kata):
        """An empty list is most likely a generator that has been used up."""
        used_up = iter([])
        with check.raises(ValueError):
            kata.Optimizer(used_up, 0.1)

    @pytest.mark.edge
    def test_a_parameter_twice_is_refused(self, kata):
        """It would be updated twice per step. Two parameters with equal values are not
        the same parameter.
        """
        first, second = parameter([1.0, 2.0]), parameter([1.0, 2.0])
        kata.Optimizer([first, second], 0.1)
        with check.raises(ValueError):
            kata.Optimizer([first, second, first], 0.1)

    @pytest.mark.edge
    def test_what_is_no_tensor_is_refused(self, kata):
        """An array has no `grad`, so that it would never be updated."""
        with check.raises(TypeError):
            kata.Optimizer([parameter([1.0]), np.ones(3)], 0.1)


class TestSGD:
    def test_one_step_by_hand(self, kata):
        """w ← w − lr · grad, for every parameter."""
        first, second = (
            parameter([1.0, -4.0], [2.0, -3.0]),
            parameter([[5.0]], [[10.0]]),
        )
        kata.SGD([first, second], lr=0.1).step()
        unlike = {
            "a step uphill: + lr · grad": np.array([1.2, -4.3]),
            "the gradient without the learning rate": np.array([-1.0, -1.0]),
            "lr applied to the parameter as well": np.array([0.1 - 0.2, -0.4 + 0.3]),
            "no step at all": np.array([1.0, -4.0]),
            "−lr · grad in place of the parameter": np.array([-0.2, 0.3]),
            "the default learning rate, not that asked for": np.array([0.98, -3.97]),
        }
        check.close(
            check.data(first),
            np.array([0.8, -3.7]),
            unlike=unlike,
            what="the first parameter",
        )
        check.close(check.data(second), np.array([[4.0]]), what="the second parameter")

    def test_a_training_loop_agrees_with_pytorch(self, kata):
        """Ten rounds of zero_grad, backward and step move weights and biases as
        torch.optim.SGD does, in float64.
        """
        from tinytorch.autograd import backward
        from tinytorch.tensor import Tensor

        rng = np.random.default_rng(0)
        x, y, w, b = (
            rng.normal(size=shape) for shape in ((6, 3), (6, 2), (3, 2), (2,))
        )
        ours, theirs = (
            [parameter(w), parameter(b)],
            [torch.tensor(w).requires_grad_(), torch.tensor(b).requires_grad_()],
        )
        optimizer, oracle = (
            kata.SGD((p for p in ours), lr=0.05),
            torch.optim.SGD(theirs, lr=0.05),
        )
        for _ in range(10):
            optimizer.zero_grad()
            backward(((Tensor(x) @ ours[0] + ours[1] - Tensor(y)) ** 2).mean())
            optimizer.step()
            oracle.zero_grad()
            (
                (torch.tensor(x) @ theirs[0] + theirs[1] - torch.tensor(y)) ** 2
            ).mean().backward()
            oracle.step()
        for p, q, name in zip(ours, theirs, ("weight", "bias"), strict=True):
            check.close(
                check.data(p), q.detach().numpy(), what=f"{name} after ten steps"
            )

    def test_a_parameter_without_gradient_is_skipped(self, kata):
        """A layer that took no part in the loss has the gradient None. It stays, and
        the others are still updated.
        """
        idle, busy = parameter([3.0, 4.0]), parameter([1.0], [2.0])
        kata.SGD([idle, busy], lr=0.5).step()
        check.equal(
            check.data(idle),
            np.array([3.0, 4.0]),
            what="the parameter without gradient",
        )
        unlike = {"a parameter without gradient ends the loop": np.array([1.0])}
        check.close(
            check.data(busy),
            np.array([0.0]),
            unlike=unlike,
            what="the parameter after it",
        )

    def test_gradients_keep_their_values(self, kata):
        """Clearing is the task of zero_grad. Who looks at the gradients after a step,
        or makes two steps, finds them as they were.
        """
        p = parameter([1.0, 2.0], [4.0, -8.0])
        optimizer = kata.SGD([p], lr=0.5)
        optimizer.step()
        check.that(p.grad is not None, "grad is None after step")
        check.equal(p.grad, np.array([4.0, -8.0]), what="grad after step")
        optimizer.step()
        check.close(
            check.data(p),
            np.array([-3.0, 10.0]),
            what="the parameter after a second step",
        )

    def test_float32_stays_float32(self, kata):
        """A Python number as learning rate does not change the dtype."""
        p = parameter([1.0, 2.0, 3.0], [1.0, 1.0, 1.0], dtype=np.float32)
        kata.SGD([p], lr=0.5).step()
        check.equal(check.data(p), np.array([0.5, 1.5, 2.5], dtype=np.float32))

    def test_a_changed_learning_rate_takes_effect(self, kata):
        """Schedules write to `optimizer.lr` between steps. The default is 0.01."""
        p = parameter([1.0], [1.0])
        optimizer = kata.SGD([p])
        optimizer.step()
        check.close(
            check.data(p),
            np.array([0.99]),
            what="after a step with the default learning rate",
        )
        optimizer.lr = 0.5
        optimizer.step()
        check.close(
            check.data(p),
            np.array([0.49]),
            what="after lr was set to 0.5",
            unlike={"the old lr": np.array([0.98])},
        )

    def test_a_step_is_not_recorded(self, kata):
        """The update is no part of the loss. Recorded, it would tie each step to the
        one before, and the graph would grow until memory is full.
        """
        from tinytorch.recorder import set_recorder

        p, heard = parameter([1.0, 2.0], [1.0, 1.0]), []
        optimizer = kata.SGD([p], lr=0.1)
        before = set_recorder(lambda out, op, inputs, saved: heard.append(op))
        try:
            optimizer.step()
        finally:
            set_recorder(before)
        check.that(
            not heard,
            f"step recorded {heard}: compute with the arrays p.data and p.grad",
        )
        leaf = p.node is None and p.requires_grad and optimizer.params[0] is p
        check.that(
            leaf,
            "the parameter is no leaf any more: it has a node, or requires no gradient",
        )

    @pytest.mark.edge
    def test_data_stays_the_same_array(self, kata):
        """Whoever shares the array, such as a tied layer or a view of one row, sees the
        update only in place.
        """
        p = parameter([[1.0, 2.0], [3.0, 4.0]], [[1.0, 1.0], [1.0, 1.0]])
        array, row = p.data, p.data[1]
        kata.SGD([p], lr=0.5).step()
        check.that(
            p.data is array,
            "step made a new array: `p.data = …` instead of a change in place",
        )
        check.close(row, np.array([2.5, 3.5]), what="a view of the second row")


class TestDescendQuadratic:
    def test_a_small_example_by_hand(self, kata):
        """Curvature 1 and lr 0.5 halve x at each step. The start counts as the first
        point, and every point is a copy: the array in the parameter goes on changing.
        """
        got = kata.descend_quadratic([1.0], [8.0], 0.5, 3)
        check.equal(sorted(got), ["losses", "points"], what="keys")
        unlike = {
            "the start is not kept": np.array([[4.0], [2.0], [1.0]]),
            "the end is not kept": np.array([[8.0], [4.0], [2.0]]),
            "every point is the last one": np.full((4, 1), 1.0),
            "every point is the parameter's own array, not a copy": np.full(
                (4, 1), 0.5
            ),
            "the points after each step": np.array([[4.0], [2.0], [1.0], [0.5]]),
            "a curvature of 2c: the ½ is missing": np.array(
                [[8.0], [0.0], [0.0], [0.0]]
            ),
            "gradients that add up from step to step": np.array(
                [[8.0], [4.0], [-2.0], [-7.0]]
            ),
        }
        check.close(
            got["points"],
            np.array([[8.0], [4.0], [2.0], [1.0]]),
            what="points",
            unlike=unlike,
        )
        unlike = {"the ½ is missing": np.array([64.0, 16.0, 4.0, 1.0])}
        check.close(
            got["losses"], np.array([32.0, 8.0, 2.0, 0.5]), what="losses", unlike=unlike
        )

    def test_start_and_end_are_included(self, kata):
        """Five steps lie between six points: (6, 2) numbers in float64, and six losses,
        the first of them the start's. Whole numbers as start are floats like any other.
        """
        got = kata.descend_quadratic([1, 4], [3, -2], 0.1, 5)
        check.equal(got["points"].shape, (6, 2), what="shape of the points")
        check.equal(got["losses"].shape, (6,), what="shape of the losses")
        check.equal(str(got["points"].dtype), "float64", what="dtype of the points")
        unlike = {"the mean over the directions, not their sum": 6.25}
        check.close(got["losses"][0], 12.5, unlike=unlike, what="loss of the start")

    @given(case=descents())
    def test_each_step_multiplies_by_one_minus_lr_c(self, kata, case):
        """The gradient is c·x, so that x − lr·c·x = (1 − lr·c)·x: after k steps
        start·(1 − lr·c)ᵏ, each direction with its own curvature.
        """
        curvatures, start, lr, steps = case
        points = path(curvatures, start, lr, steps)
        unlike = {
            "a curvature of 2c": path([2 * c for c in curvatures], start, lr, steps)
        }
        got = kata.descend_quadratic(curvatures, start, lr, steps)
        check.close(got["points"], points, what="points", unlike=unlike)
        check.close(got["losses"], bowl(curvatures, points), what="losses")

    @pytest.mark.edge
    def test_the_start_is_not_written_to(self, kata):
        """A Parameter shares the array that it is made from, and a step in place would
        move the caller's start.
        """
        start = np.array([3.0, -2.0])
        kata.descend_quadratic(np.array([1.0, 4.0]), start, 0.1, 3)
        check.equal(start, np.array([3.0, -2.0]), what="start after the call")


class TestMaxStableLr:
    def test_two_over_the_largest_curvature(self, kata):
        """The steepest direction is the first to diverge, wherever it is in
        the list.
        """
        unlike = {
            "2 / the smallest curvature": 2.0,
            "2 / the mean curvature": 0.4,
            "2 / the sum of the curvatures": 2 / 15,
            "1 / the largest: the fastest, not the last": 0.1,
        }
        check.close(kata.max_stable_lr([1.0, 10.0, 4.0]), 0.2, unlike=unlike)
        check.close(kata.max_stable_lr([0.5]), 4.0)

    def test_the_factor_there_is_minus_one(self, kata):
        """At this learning rate the steepest direction jumps from x to −x and back, and
        the loss stays. Below it the loss falls, above it grows.
        """
        curvatures, start = [3.0, 8.0], [0.0, 5.0]
        limit = kata.max_stable_lr(curvatures)
        for scale, change in ((0.9, "falls"), (1.1, "grows")):
            losses = bowl(curvatures, path(curvatures, start, scale * limit, 10))
            right = (losses[-1] < losses[0]) == (change == "falls")
            check.that(
                right,
                f"with {scale} times your limit {limit:.4g} the loss of a bowl "
                f"{curvatures} never {change}",
            )


class TestLrSweep:
    def test_too_small_right_and_too_large(self, kata):
        """One verdict per learning rate. Above 2/10 the direction with curvature 10
        diverges; far below, the one with curvature 1 hardly moves. From (1, 0.1) the
        loss falls first, and is above its first value from step 3 on.
        """
        expected = {0.001: "slow", 0.15: "converges", 0.25: "diverges"}
        check.equal(
            kata.lr_sweep([1.0, 10.0], [5.0, 5.0], [0.001, 0.15, 0.25], 40), expected
        )
        for steps, verdict in ((2, "slow"), (3, "diverges")):
            check.equal(
                kata.lr_sweep([1.0, 10.0], [1.0, 0.1], [0.25], steps),
                {0.25: verdict},
                what=f"{steps} steps",
            )

    def test_the_limit_is_two_over_the_largest_curvature(self, kata):
        """Just below it nothing diverges, just above it does. Exactly there the loss
        stays, which is slow.
        """
        verdicts = kata.lr_sweep([0.5, 4.0], [1.0, 1.0], [0.49, 0.51], 200)
        check.equal(verdicts, {0.49: "converges", 0.51: "diverges"})
        what = "at the limit, where the loss never changes, and above it"
        check.equal(
            kata.lr_sweep([1.0], [0.25], [2.0, 2.1], 4),
            {2.0: "slow", 2.1: "diverges"},
            what=what,
        )

    def test_one_percent_of_the_first_loss(self, kata):
        """One step with lr 0.85 leaves 2.25 % of the loss, one with 0.93 leaves 0.49 %.
        Only that is below 1 %.
        """
        expected = {0.85: "slow", 0.93: "converges"}
        unlike = {
            "1 % of the distance, not of the loss": {0.85: "slow", 0.93: "slow"},
            "10 %, not 1 %": {0.85: "converges", 0.93: "converges"},
        }
        check.equal(
            kata.lr_sweep([1.0], [0.2], [0.85, 0.93], 1), expected, unlike=unlike
        )

    @pytest.mark.edge
    def test_infinity_and_nan_diverge(self, kata):
        """Large steps overflow: first the loss is infinite, then inf − inf is NaN, and
        NaN is neither above nor below anything.
        """
        expected = {5.0: "diverges", 50.0: "diverges"}
        unlike = {
            "NaN compared as if it were a number": {5.0: "diverges", 50.0: "slow"}
        }
        with np.errstate(all="ignore"):  # no warnings
            for steps in (150, 400):
                check.equal(
                    kata.lr_sweep([10.0], [1.0], [5.0, 50.0], steps),
                    expected,
                    unlike=unlike,
                )


class SlopeTwo:
    """A loss whose gradient is 2 everywhere, added up in one and the same array, as a
    frugal backward would.
    """

    def __init__(self, param):
        self.param = param

    def backward(self):
        if self.param.grad is None:
            self.param.grad = np.zeros(self.param.shape)
        self.param.grad += 2.0


def table(gradients):
    """A list of arrays as one array, one row per pass."""
    check.that(
        isinstance(gradients, list),
        f"expected a list of arrays, got {check.describe(gradients)}",
    )
    return np.array(gradients)


@pytest.mark.stretch
class TestAccumulationReport:
    def test_the_kth_accumulated_gradient_is_k_times_the_zeroed_one(self, kata):
        """The loss Σ x² has the gradient 2x at each pass. Cleared before each, it is
        always 2x; never cleared, it is 2x, 4x, 6x.
        """
        p = parameter([1.0, -3.0])
        got = kata.accumulation_report(p, lambda: (p * p).sum(), 3)
        check.equal(sorted(got), ["accumulated", "zeroed"], what="keys")
        once = np.array([2.0, -6.0])
        check.close(
            table(got["zeroed"]),
            np.outer([1, 1, 1], once),
            what="zeroed, one row per pass",
        )
        unlike = {
            "not cleared between the two series": np.outer([2, 3, 4], once),
            "cleared in both series": np.outer([1, 1, 1], once),
        }
        expected = np.outer([1, 2, 3], once)
        check.close(
            table(got["accumulated"]),
            expected,
            what="accumulated, one row per pass",
            unlike=unlike,
        )

    def test_gradients_are_copies(self, kata):
        """A backward pass may add into the array that is there. Three references to it
        would all show the last sum.
        """
        p = parameter([5.0, 7.0])
        got = kata.accumulation_report(p, lambda: SlopeTwo(p), 3)
        unlike = {"three times the same array": np.full((3, 2), 6.0)}
        expected = np.outer([2, 4, 6], np.ones(2))
        check.close(
            table(got["accumulated"]),
            expected,
            what="accumulated, one row per pass",
            unlike=unlike,
        )

    def test_an_old_gradient_does_not_count(self, kata):
        """The parameter may have a gradient from before. Both series start without it,
        and the parameter never moves.
        """
        p = parameter([1.0, -3.0], [100.0, 100.0])
        got = kata.accumulation_report(p, lambda: (p * p).sum(), 1)
        check.close(
            got,
            {"zeroed": [np.array([2.0, -6.0])], "accumulated": [np.array([2.0, -6.0])]},
        )
        check.equal(
            check.data(p), np.array([1.0, -3.0]), what="the parameter afterwards"
        )

    @pytest.mark.edge
    def test_no_gradient_is_left(self, kata):
        """A report leaves nothing behind that a later step would use."""
        p = parameter([1.0, -3.0])
        kata.accumulation_report(p, lambda: (p * p).sum(), 2)
        check.that(
            p.grad is None,
            f"param.grad is {check.describe(p.grad)} afterwards, expected None",
        )


@pytest.mark.stretch
class TestUpdateCost:
    def test_counts_elements_and_bytes(self, kata):
        """A (5, 3) weight and a (3,) bias have 18 elements. Each takes one
        multiplication and one addition together, and 4 bytes for its gradient. Plain
        SGD keeps nothing between steps.
        """
        params = [
            parameter(np.ones((5, 3)), dtype=np.float32),
            parameter(np.ones(3), dtype=np.float32),
        ]
        expected = {
            "parameters": 18,
            "multiply_adds": 18,
            "gradient_bytes": 72,
            "state_bytes": 0,
        }
        unlike = {
            "the number of tensors": {"parameters": 2},
            "two operations per element": {"multiply_adds": 36},
            "data and gradients": {"gradient_bytes": 144},
            "elements, not bytes": {"gradient_bytes": 18},
        }
        check.equal(kata.update_cost(params), expected, unlike=unlike)

    @pytest.mark.edge
    def test_every_dtype_has_its_own_size(self, kata):
        """A float64 element takes 8 bytes, a float16 element 2, and a gradient is as
        large as its parameter. The parameters may come from a generator, which can be
        run through only once.
        """
        params = [
            parameter(np.ones(shape), dtype=d)
            for shape, d in ((3, "f8"), ((2, 5), "f4"), (7, "f2"))
        ]
        expected = {
            "parameters": 20,
            "multiply_adds": 20,
            "gradient_bytes": 24 + 40 + 14,
            "state_bytes": 0,
        }
        check.equal(
            kata.update_cost(p for p in params),
            expected,
            unlike={"4 bytes each": {"gradient_bytes": 80}},
        )


@pytest.mark.stretch
class TestStepScaling:
    def test_memory_grows_with_the_parameter(self, kata):
        """lr · grad is a new array as large as the parameter: twice the elements take
        twice the bytes, exponent 1.
        """
        got = kata.step_scaling([2000, 4000, 8000])
        check.equal(sorted(got), ["exponent", "sizes", "values"], what="keys")
        check.equal(got["sizes"], [2000, 4000, 8000], what="sizes")
        exponent = got["exponent"]
        slip = (
            "nothing that is measured grows with n, as without a gradient"
            if exponent < 0.25
            else ""
        )
        check.that(
            abs(exponent - 1) < 0.25,
            f"the exponent is {exponent:.3g}, expected near 1",
            like=slip,
        )

    def test_only_the_step_is_measured(self, kata):
        """Parameter and gradient exist before: a step adds one array of 8 · n bytes, or
        two if it does not work in place. With float64 numbers made inside the
        measurement it would be three.
        """
        for n, value in zip(
            (2000, 4000), kata.step_scaling([2000, 4000])["values"], strict=True
        ):
            right = 7.5 * n <= value <= 2 * 8 * n + 4000
            told = (
                f"one step on {n} elements peaked at {value:,} bytes, expected "
                f"{8 * n:,} to {16 * n:,}"
            )
            check.that(
                right,
                told,
                like="float32 numbers" if 3.75 * n <= value < 4.5 * n else "",
            )
