"""Specs of 06: a line's data, its loss, descent by hand and by PyTorch's parts, the
exact fit, scale, optimizers.
"""

import warnings
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

N, D, O = 7, 3, 2  # noqa: E741  (rows, features, outputs)
MANY = 4000  # points, so that spreads and shares can be measured to a few per cent


def plane_data(outputs=1, dtype=torch.float32):
    """X (7, 3) and y (7, outputs) near a plane, the same numbers each time, two of
    them 0.
    """
    random = np.random.default_rng(3)
    X = random.normal(size=(N, D)) * [1.0, 0.5, 1.5] + [0.5, -1.0, 0.0]
    y = (
        X @ random.normal(size=(D, outputs))
        + 2.0
        + 0.3 * random.normal(size=(N, outputs))
    )
    X[1, 0] = y[2, 0] = 0
    return torch.tensor(X, dtype=dtype), torch.tensor(y, dtype=dtype)


def people(n=60, *, dtype=torch.float32):
    """X (n, 2), heights in cm and ages in years, and y (n, 1), weights in kg."""
    random = np.random.default_rng(5)
    X = random.normal(size=(n, 2)) * [9.0, 12.0] + [170.0, 40.0]
    y = 60.0 + (X - [170.0, 40.0]) @ [[0.8], [0.2]] + 4.0 * random.normal(size=(n, 1))
    return torch.tensor(X, dtype=dtype), torch.tensor(y, dtype=dtype)


def descent(X, y, lr, epochs, *, start=None, momentum=0.0):
    """Gradient descent in float64 NumPy with the gradient written out: w, b and
    the losses.
    """
    X, y = X.double().numpy(), y.double().numpy()
    w, b = (
        (np.zeros((X.shape[1], y.shape[1])), np.zeros(y.shape[1]))
        if start is None
        else start
    )
    to_w, to_b, losses = 0.0, 0.0, []
    for _ in range(epochs):
        residual = X @ w + b - y
        losses.append(float(np.mean(residual**2)))
        to_w = momentum * to_w + 2.0 / residual.size * X.T @ residual
        to_b = momentum * to_b + 2.0 / residual.size * residual.sum(axis=0)
        w, b = w - lr * to_w, b - lr * to_b
    return torch.tensor(w), torch.tensor(b), losses


def least_squares(X, y):
    """The exact minimizer in float64 NumPy, on centred columns."""
    X, y = X.double().numpy(), y.double().numpy()
    w = np.linalg.lstsq(X - X.mean(axis=0), y - y.mean(axis=0), rcond=1e-10)[0]
    return torch.tensor(w), torch.tensor(y.mean(axis=0) - X.mean(axis=0) @ w)


def predicted(X, w, b):
    return X.double() @ w.double() + b.double()


def linear_with_start():
    """An `nn.Linear` from 3 features to 2 outputs with known weights, and these weights
    as the oracle takes them.
    """
    random = np.random.default_rng(11)
    w, b = random.normal(size=(D, O)), random.normal(size=O)
    model = nn.Linear(D, O)
    model.load_state_dict({"weight": torch.tensor(w.T), "bias": torch.tensor(b)})
    return model, (w, b)


def check_model(model, expected, unlike=None):
    """Compare the weights with those of `descent`. `unlike` names wrong ones, as
    `descent` gives them.
    """
    w, b, _ = expected
    wrong_w = {name: wrong[0].mT for name, wrong in (unlike or {}).items()}
    wrong_b = {name: wrong[1] for name, wrong in (unlike or {}).items()}
    check.close(
        model.weight, w.mT, rtol=1e-4, unlike=wrong_w, what="the weight after training"
    )
    check.close(
        model.bias, b, rtol=1e-4, unlike=wrong_b, what="the bias after training"
    )


def check_floats(losses, count):
    """Check that these are `count` losses, each a Python float."""
    check.that(
        isinstance(losses, list),
        f"the losses should be a list, not {check.describe(losses)}",
    )
    check.that(len(losses) == count, f"{count} epochs gave {len(losses)} losses")
    kinds = {type(loss).__name__ for loss in losses}
    check.that(
        kinds == {"float"},
        f"losses should be Python floats, these are {kinds}",
        like="tensors kept: append loss.item()",
    )


@contextmanager
def naming_lost_leaves():
    """Name the bug `w = w - lr * w.grad`, which autograd reports two lines later in
    words of its own.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            yield
        except (TypeError, AttributeError, RuntimeError) as error:
            if any("not a leaf" in str(warning.message) for warning in said):
                bug = (
                    "`w = w - lr * w.grad` (or the same with b): the new w is no "
                    "leaf, so its .grad is None in the "
                )
                bug += "next step. Update in place, w -= …, under torch.no_grad()."
            elif "does not require grad" in str(error):
                bug = (
                    "w and b without requires_grad=True, or replaced by a new w = w - "
                    "… under no_grad, which has no "
                )
                bug += "requires_grad. Update in place, w -= …."
            else:
                raise
            raise check.Mismatch(
                [("raised", f"{type(error).__name__}: {error}"), ("looks like", bug)]
            ) from error


def sgd(lr, momentum=0.0):
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum)


class Recorder(nn.Module):
    """A linear layer that notes for each forward pass whether it was in train mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(D, O)
        self.modes = []

    def forward(self, x):
        self.modes.append(self.training)
        return self.layer(x)


@st.composite
def different_shapes(draw):
    """Two shapes of at most three dimensions that differ; most of them broadcast."""
    shapes = st.lists(st.integers(1, 3), max_size=3).map(tuple)
    pred, target = draw(shapes), draw(shapes)
    assume(pred != target)
    return pred, target


@st.composite
def planes(draw):
    """The weights (D, O) and the bias (O,) of planes, in whole numbers."""
    number = st.integers(-5, 5)
    w = draw(st.lists(st.lists(number, min_size=O, max_size=O), min_size=D, max_size=D))
    b = draw(st.lists(number, min_size=O, max_size=O))
    return torch.tensor(w, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)


@pytest.mark.stretch
class TestMakeLineData:
    def test_x_and_y_are_columns(self, kata):
        """One row per point: (n, 1), the shape that a linear layer takes and returns. A
        y of (n,) would later broadcast against predictions of (n, 1).
        """
        X, y = kata.make_line_data(5, 2.0, 1.0)
        for name, points in {"X": X, "y": y}.items():
            check.shape(points, (5, 1), what=name)
            check.dtype(points, torch.float32, what=name)

    def test_without_noise_all_points_lie_on_the_line(self, kata):
        """y = slope · x + intercept for each point, and no noise unless it is
        asked for.
        """
        X, y = kata.make_line_data(9, -3.0, 0.5, x_range=(2.0, 6.0))
        expected = X.double() * -3.0 + 0.5
        exchanged = X.double() * 0.5 - 3.0
        check.close(
            y,
            expected,
            atol=1e-4,
            unlike={"slope and intercept exchanged": exchanged},
            what="y",
        )

    def test_x_lies_in_x_range_and_uses_it(self, kata):
        """x is uniform between the two ends: no point outside, and a quarter of the
        points in each quarter.
        """
        X, _ = kata.make_line_data(MANY, 2.0, 1.0, 0.5, x_range=(2.0, 6.0))
        low, high = X.min().item(), X.max().item()
        check.that(
            2.0 <= low and high <= 6.0,
            f"x goes from {low:.3f} to {high:.3f}, x_range is (2, 6)",
        )
        shares = [
            ((start <= X) & (X < start + 1)).double().mean().item()
            for start in (2.0, 3.0, 4.0, 5.0)
        ]
        what = (
            "the four quarters of x_range hold "
            f"{[round(share, 2) for share in shares]} of the points, not 0.25 each"
        )
        check.that(all(abs(share - 0.25) < 0.04 for share in shares), what)

    def test_x_lies_between_minus_one_and_one_by_default(self, kata):
        """The default range is (-1, 1), both signs."""
        X, _ = kata.make_line_data(MANY, 2.0, 1.0)
        low, high = X.min().item(), X.max().item()
        expected = -1.0 <= low < -0.95 and 0.95 < high <= 1.0
        check.that(
            expected,
            f"x goes from {low:.3f} to {high:.3f}, expected nearly -1 to nearly 1",
        )

    def test_noise_is_normal_with_the_asked_spread(self, kata):
        """The distances from the line are normal: mean 0, standard deviation `noise`, a
        different one per point.
        """
        X, y = kata.make_line_data(MANY, 2.0, 1.0, 0.5)
        rest = (y - 2.0 * X - 1.0).double()
        mean, spread = rest.mean().item(), rest.std().item()
        is_uniform = abs(mean - 0.25) < 0.02 and abs(spread - 0.5 / 12**0.5) < 0.01
        check.that(
            not is_uniform,
            f"the noise has mean {mean:.2f}, expected 0",
            like="drawn by torch.rand",
        )
        variance = {
            "`noise` taken for a variance": 0.5**0.5,
            "one noise for all points": 0.0,
        }
        check.close(
            spread,
            0.5,
            atol=0.04,
            what="standard deviation of y - line, noise 0.5",
            unlike=variance,
        )
        check.that(abs(mean) < 0.05, f"the noise has mean {mean:.2f}, expected 0")
        far = (rest.abs() > 1.0).double().mean().item()
        check.that(
            0.025 < far < 0.07,
            f"{far:.1%} of the noise is further out than 2 · noise; of normal noise "
            "4.6% is",
        )

    def test_noise_has_no_relation_to_x(self, kata):
        """Noise is added to y alone, and has the same size everywhere. Noise added to x
        comes back multiplied by the slope; noise multiplied by x vanishes in
        the middle.
        """
        X, y = kata.make_line_data(MANY, 2.0, 1.0, 0.5)
        rest = (y - 2.0 * X - 1.0).double()
        together = torch.corrcoef(torch.cat([X.double(), rest], dim=1).T)[0, 1].item()
        check.that(
            abs(together) < 0.1,
            f"x and the noise have correlation {together:.2f}, expected about 0",
        )
        outside = X.abs() > 0.5
        for name, half in {
            "|x| ≤ 0.5": rest[~outside],
            "|x| > 0.5": rest[outside],
        }.items():
            check.close(
                half.std().item(),
                0.5,
                atol=0.06,
                what=f"standard deviation of the noise where {name}",
            )

    def test_a_generator_repeats_its_points(self, kata):
        """All numbers come from the generator, X and noise alike: the same seed gives
        the same points again, and the global generator is left alone.
        """
        before = torch.get_rng_state()
        first = kata.make_line_data(
            6, 2.0, 1.0, 0.5, generator=torch.Generator().manual_seed(4)
        )
        check.that(
            torch.equal(torch.get_rng_state(), before),
            "the global generator has moved on or been seeded",
        )
        torch.rand(3)
        again = kata.make_line_data(
            6, 2.0, 1.0, 0.5, generator=torch.Generator().manual_seed(4)
        )
        check.equal(again, first, what="X and y from a generator of the same seed")

    def test_two_calls_give_different_points(self, kata):
        """A seed set inside gives the same points every time, and changes what the rest
        of the program draws.
        """
        first, _ = kata.make_line_data(6, 2.0, 1.0)
        second, _ = kata.make_line_data(6, 2.0, 1.0)
        check.that(
            not torch.equal(first, second),
            "two calls gave the same points, not random ones: drawn at all, and "
            "without a seed inside?",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("n", [0, -2])
    def test_there_is_at_least_one_point(self, kata, n):
        """A line of no points is the caller's mistake."""
        with check.raises(ValueError):
            kata.make_line_data(n, 2.0, 1.0)

    @pytest.mark.edge
    def test_noise_is_not_negative(self, kata):
        """A standard deviation below zero has no meaning."""
        with check.raises(ValueError):
            kata.make_line_data(5, 2.0, 1.0, -0.1)


@pytest.mark.stretch
class TestMseLoss:
    def test_mean_of_the_squared_differences(self, kata):
        """(4 + 0 + 1 + 9) / 4 = 3.5, a tensor without dimensions."""
        pred, target = (
            torch.tensor([[0.0], [1.0], [2.0], [3.0]]),
            torch.tensor([[2.0], [1.0], [3.0], [0.0]]),
        )
        check.close(
            kata.mse_loss(pred, target),
            torch.tensor(3.5),
            unlike={
                "the sum, not the mean": torch.tensor(14.0),
                "the mean of the absolute differences": torch.tensor(1.5),
                "the root of the mean": torch.tensor(3.5**0.5),
                "half of the mean": torch.tensor(1.75),
            },
        )

    def test_the_mean_is_over_all_elements(self, kata):
        """With two outputs per row the mean runs over rows and outputs alike."""
        pred, target = torch.randn(N, O), torch.randn(N, O)
        squares = [
            (p - t) ** 2
            for p, t in zip(
                pred.flatten().tolist(), target.flatten().tolist(), strict=True
            )
        ]
        per_row = torch.tensor(sum(squares) / N)
        check.close(
            kata.mse_loss(pred, target),
            torch.tensor(sum(squares) / (N * O)),
            unlike={"divided by N": per_row},
        )

    def test_gradients_reach_both(self, kata):
        """The loss teaches the model that made the predictions: its gradient there is
        2 · (pred - target) / N.
        """
        pred, target = torch.randn(N, 1), torch.randn(N, 1)
        check.gradients(
            kata.mse_loss, lambda p, t: sum((p - t).pow(2)).squeeze() / N, pred, target
        )

    @given(shapes=different_shapes())
    def test_refuses_shapes_that_differ(self, kata, shapes):
        """(5, 1) minus (5,) is (5, 5): every prediction against every target. Nothing
        fails, and a model trained on it learns only the mean of the targets. So shapes
        that differ are an error, whether they broadcast or not.
        """
        pred, target = shapes
        with check.raises(ValueError):
            kata.mse_loss(torch.ones(pred), torch.zeros(target))

    def test_is_written_without_the_ready_made_one(self, kata):
        """This exercise is about what the ready-made loss does inside."""
        with check.forbidden(kata, "torch.nn.functional.mse_loss", "torch.nn.MSELoss"):
            kata.mse_loss(torch.randn(N, 1), torch.randn(N, 1))

    @pytest.mark.edge
    def test_the_error_names_both_shapes(self, kata):
        """The message shows at once which of the two has a dimension too many."""
        with check.raises(ValueError, "5, 1", "7"):
            kata.mse_loss(torch.randn(5, 1), torch.randn(7))


class TestFitManual:
    def test_shapes(self, kata):
        """One weight per feature, one bias, one loss per epoch."""
        X, y = plane_data()
        with naming_lost_leaves():
            w, b, losses = kata.fit_manual(X, y, 0.05, 4)
        check.shape(w, (D, 1), what="w")
        check.shape(b, (1,), what="b")
        check_floats(losses, 4)

    def test_one_step_by_hand(self, kata):
        """X = 1, 3 and y = 2, 4: at zero the gradient is (2·(-2)·1 + 2·(-4)·3) / 2 =
        -14 for w and -6 for b. A step of 0.1 against it gives 1.4 and 0.6.
        """
        X, y = torch.tensor([[1.0], [3.0]]), torch.tensor([[2.0], [4.0]])
        w, b, _ = kata.fit_manual(X, y, 0.1, 1)
        known = {
            "the sum of the squares, not their mean": (2.8, 1.2),
            "a step uphill": (-1.4, -0.6),
            "the factor 2 of the square's derivative is missing": (0.7, 0.3),
            "y is (N,) somewhere: differences are (N, N)": (1.2, 0.6),
            "b moved by a gradient that the new w had changed": (1.4, 0.04),
            "b takes no step": (1.4, 0.0),
        }
        of_w = {name: torch.tensor([[values[0]]]) for name, values in known.items()}
        of_b = {name: torch.tensor([values[1]]) for name, values in known.items()}
        check.close(w, torch.tensor([[1.4]]), what="w after one epoch", unlike=of_w)
        check.close(b, torch.tensor([0.6]), what="b after one epoch", unlike=of_b)

    @pytest.mark.parametrize("epochs", [2, 60])
    def test_equals_a_descent_written_out(self, kata, epochs):
        """The same steps in NumPy, with the gradient as a formula: for w it is
        2/N · Xᵀ(Xw + b - y), for b 2/N · Σ (Xw + b - y).
        Gradients that are not cleared pile up from the second epoch on.
        """
        X, y = plane_data()
        y -= 2
        w, b, _ = kata.fit_manual(X, y, 0.05, epochs)
        right, right_b, _ = descent(X, y, 0.05, epochs)
        known = {
            "gradients that are not cleared: each step follows the sum of all so far": (
                descent(X, y, 0.05, epochs, momentum=1.0)
            ),
            "the sum of the squares, not their mean: N times the step": descent(
                X, y, 0.05 * N, epochs
            ),
            "y is (N,) somewhere: differences are (N, N)": descent(
                X, y.mean().expand_as(y), 0.05, epochs
            ),
        }
        check.close(
            w,
            right,
            rtol=1e-4,
            what="w",
            unlike={name: found[0] for name, found in known.items()},
        )
        check.close(
            b,
            right_b,
            rtol=1e-4,
            what="b",
            unlike={name: found[1] for name, found in known.items()},
        )

    def test_losses_are_measured_before_each_update(self, kata):
        """The first loss belongs to zero weights: the mean of y². So the curve shows
        where training began.
        """
        X, y = plane_data()
        _, _, losses = kata.fit_manual(X, y, 0.05, 5)
        _, _, expected = descent(X, y, 0.05, 6)
        known = {
            "the loss after the update": expected[1:],
            "the sum of the squares": [N * loss for loss in expected[:5]],
        }
        check.close(losses, expected[:5], rtol=1e-4, what="losses", unlike=known)

    def test_the_result_carries_no_graph(self, kata):
        """The fitted w and b are plain numbers to predict with: return
        them detached.
        """
        w, b, _ = kata.fit_manual(*plane_data(), 0.05, 2)
        check.that(not w.requires_grad, "w still requires grad")
        check.that(not b.requires_grad, "b still requires grad")

    def test_is_written_without_nn_and_optim(self, kata):
        """This exercise does by hand what a layer, a loss and an optimizer do in the
        next ones.
        """
        modules = (
            "torch.nn.Linear",
            "torch.nn.MSELoss",
            "torch.nn.functional.linear",
            "torch.nn.functional.mse_loss",
        )
        with check.forbidden(kata, *modules, "torch.optim.SGD", "torch.optim.Adam"):
            kata.fit_manual(*plane_data(), 0.05, 1)

    @pytest.mark.edge
    def test_no_epochs_leave_zeros(self, kata):
        """Both start at zero, and without an epoch nothing is measured or moved."""
        X, y = plane_data()
        w, b, losses = kata.fit_manual(X, y, 0.05, 0)
        check.equal(
            [w, b, losses],
            [torch.zeros(D, 1), torch.zeros(1), []],
            what="[w, b, losses]",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_result_has_the_dtype_of_x(self, kata, dtype):
        """Data in double precision are fitted in double precision: make w and b with
        X's dtype.
        """
        X, y = plane_data(dtype=dtype)
        w, b, losses = kata.fit_manual(X, y, 0.05, 5)
        check.dtype(w, dtype, what="w")
        check.dtype(b, dtype, what="b")
        check.close(
            [w, b, losses],
            list(descent(X, y, 0.05, 5)),
            rtol=1e-10 if X.dtype == torch.float64 else 1e-4,
        )

    @pytest.mark.edge
    def test_the_data_are_not_changed(self, kata):
        """Fitting only reads X and y."""
        X, y = plane_data()
        with check.unchanged(X=X, y=y):
            kata.fit_manual(X, y, 0.05, 2)


class TestLinearRegression:
    def test_one_output_per_row(self, kata):
        """(N, in_features) goes in, (N, out_features) comes out."""
        check.shape(kata.LinearRegression(D, O)(torch.randn(N, D)), (N, O))

    def test_a_line_by_default(self, kata):
        """By default one feature in and one number out: a slope and an intercept."""
        check.shape(kata.LinearRegression()(torch.randn(N, 1)), (N, 1))

    def test_state_keys_and_shapes(self, kata):
        """Saved weights are loaded by the names of the parameters. `nn.Linear` keeps
        its weight as (out, in).
        """
        state = kata.LinearRegression(D, O).state_dict()
        shapes = {name: list(value.shape) for name, value in state.items()}
        check.equal(
            shapes, {"linear.weight": [O, D], "linear.bias": [O]}, what="shapes by key "
        )

    def test_predicts_with_its_own_weights(self, kata):
        """Row n gets Σ x[n, i] · weight[o, i] + bias[o]: a straight line, with nothing
        behind it.
        """
        model, x = kata.LinearRegression(D, O), torch.randn(N, D)
        weight, bias = torch.randn(O, D), torch.tensor([-5.0, 5.0])
        model.load_state_dict({"linear.weight": weight, "linear.bias": bias})
        expected = (
            torch.einsum("ni,oi->no", x.double(), weight.double()) + bias.double()
        )
        check.close(
            model(x),
            expected,
            unlike={
                "cut off at 0: a ReLU": expected.relu(),
                "no bias": expected - bias,
            },
        )

    def test_gradients_reach_weight_and_bias(self, kata):
        """Both are learned: the gradient of the sum of all outputs is Σ x for a weight
        and N for a bias.
        """
        model, x = kata.LinearRegression(D, O), torch.randn(N, D)
        output = model(x)
        check.that(output.requires_grad, "the output has no graph: it was detached")
        output.sum().backward()
        check.close(
            model.linear.weight.grad,
            x.double().sum(0).expand(O, D),
            what="gradient of linear.weight",
        )
        check.close(
            model.linear.bias.grad,
            torch.full((O,), float(N)),
            what="gradient of linear.bias",
        )

    @pytest.mark.edge
    def test_follows_a_change_of_dtype(self, kata):
        """After `model.double()` the model works in float64."""
        check.dtype(
            kata.LinearRegression(D, O).double()(
                torch.randn(N, D, dtype=torch.float64)
            ),
            torch.float64,
        )


class TestTrain:
    def test_one_loss_per_epoch(self, kata):
        """The list of losses is the curve that you plot, one number per epoch. A loss
        kept as a tensor keeps the whole graph of its epoch in memory.
        """
        (X, y), (model, _) = plane_data(O), linear_with_start()
        losses = kata.train(
            model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 4
        )
        check_floats(losses, 4)

    def test_equals_a_descent_written_out(self, kata):
        """Plain SGD on the mean squared error takes the same steps as a descent by
        hand, from the same start.
        """
        (X, y), (model, start) = plane_data(O), linear_with_start()
        kata.train(model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 12)
        expected = descent(X, y, 0.05, 12, start=start)
        known = {
            "gradients that are not cleared": descent(
                X, y, 0.05, 12, start=start, momentum=1.0
            )[0].mT,
            "nothing was learned: no step, or zero_grad between backward and step": (
                torch.tensor(start[0]).mT
            ),
            "the sum of the squares, not their mean": descent(
                X, y, 0.05 * N * O, 12, start=start
            )[0].mT,
        }
        check.close(
            model.weight,
            expected[0].mT,
            rtol=1e-4,
            what="the weight after training",
            unlike=known,
        )
        check.close(model.bias, expected[1], rtol=1e-4, what="the bias after training")

    def test_losses_are_measured_before_each_update(self, kata):
        """The first loss is that of the untrained model."""
        (X, y), (model, start) = plane_data(O), linear_with_start()
        losses = kata.train(
            model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 5
        )
        _, _, expected = descent(X, y, 0.05, 6, start=start)
        check.close(
            losses,
            expected[:5],
            rtol=1e-4,
            what="losses",
            unlike={"the loss after the update": expected[1:]},
        )

    def test_the_given_optimizer_takes_the_steps(self, kata):
        """The optimizer belongs to the caller: with momentum the steps differ from
        plain descent, and a second call continues where the first one ended.
        """
        (X, y), (model, start) = plane_data(O), linear_with_start()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8)
        kata.train(model, X, y, optimizer, 2)
        kata.train(model, X, y, optimizer, 3)
        check_model(model, descent(X, y, 0.02, 5, start=start, momentum=0.8))

    def test_runs_in_train_mode_once_per_epoch(self, kata):
        """Dropout and batch norm behave differently in eval mode, so training calls
        `model.train()` first. The recorded loss is the one that is differentiated: one
        forward pass per epoch.
        """
        (X, y), model = plane_data(O), Recorder().eval()
        kata.train(model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 2)
        check.that(
            all(model.modes), f"model.training was {model.modes} in the forward passes"
        )
        check.that(
            len(model.modes) == 2, f"2 epochs made {len(model.modes)} forward passes"
        )

    def test_loss_fn_is_used(self, kata):
        """With the mean absolute error both the losses and the steps differ."""
        (X, y), (model, start) = plane_data(O), linear_with_start()
        w, b = (torch.tensor(part) for part in start)
        residual = predicted(X, w, b) - y
        losses = kata.train(
            model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 1, F.l1_loss
        )
        squared = {
            "the mean squared error all the same": [residual.square().mean().item()]
        }
        check.close(
            losses,
            [residual.abs().mean().item()],
            rtol=1e-4,
            what="losses",
            unlike=squared,
        )
        check.close(
            model.bias,
            b - 0.05 * residual.sign().mean(0) / O,
            rtol=1e-4,
            what="the bias after one epoch",
        )

    def test_loss_fn_gets_the_prediction_first(self, kata):
        """loss_fn(prediction, y): many losses are not symmetric. This one looks at its
        second argument alone.
        """
        (X, y), (model, _) = plane_data(O), linear_with_start()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        losses = kata.train(
            model,
            X,
            y,
            optimizer,
            1,
            lambda prediction, target: 0 * prediction.sum() + target.sum(),
        )
        check.close(losses, [y.double().sum().item()], rtol=1e-4, what="losses")

    @pytest.mark.edge
    def test_gradients_from_before_have_no_influence(self, kata):
        """`.grad` may hold anything when training starts, and `backward` adds to it.
        Cleared only after the step, it spoils the first one.
        """
        (X, y), (model, start) = plane_data(O), linear_with_start()
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 100.0)
        kata.train(model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 3)
        w, b, _ = descent(X, y, 0.05, 1, start=start)
        spoiled = descent(
            X, y, 0.05, 2, start=(w.numpy() - 0.05 * 100, b.numpy() - 0.05 * 100)
        )
        unlike = {"the first step used the gradients from before": spoiled}
        check_model(model, descent(X, y, 0.05, 3, start=start), unlike)

    @pytest.mark.edge
    def test_no_epochs_move_nothing(self, kata):
        """No epoch: no loss, and the weights stay as they are."""
        (X, y), (model, start) = plane_data(O), linear_with_start()
        check.equal(
            kata.train(model, X, y, torch.optim.SGD(model.parameters(), lr=0.05), 0),
            [],
            what="losses",
        )
        check.close(
            model.weight, torch.tensor(start[0].T), what="the weight after no epoch"
        )


@pytest.mark.stretch
class TestFitLeastSquares:
    @given(plane=planes())
    def test_finds_the_plane_that_points_lie_on(self, kata, plane):
        """Points without noise leave no residual, so the fit is the plane itself: w
        (D, O) and b (O,).
        """
        w, b = plane
        X, _ = plane_data()
        y = X @ w + b
        raw = torch.linalg.pinv(X) @ y
        wrong = {
            "no column of ones: the last weight is taken for b": (raw[:-1], raw[-1])
        }
        check.close(
            kata.fit_least_squares(X, y), (w, b), atol=1e-3, unlike=wrong, what="(w, b)"
        )

    def test_no_other_fit_is_better(self, kata):
        """The minimizer of a noisy plane, the same that another solver finds."""
        X, y = plane_data(O)
        w, b = kata.fit_least_squares(X, y)
        right, right_b = least_squares(X, y)
        raw = torch.tensor(np.linalg.pinv(X.double().numpy())) @ y.double()
        check.close(
            w, right, rtol=1e-4, atol=1e-4, what="w", unlike={"no intercept": raw}
        )
        mean = {
            "the mean of y: right only where the means of X are 0": y.double().mean(0)
        }
        check.close(b, right_b, rtol=1e-4, atol=1e-4, what="b", unlike=mean)

    def test_the_residual_is_orthogonal_to_the_columns(self, kata):
        """At the minimum the residual has mean zero and is orthogonal to every column:
        otherwise that column, or b, could reduce it further.
        """
        X, y = plane_data(O, torch.float64)
        w, b = kata.fit_least_squares(X, y)
        residual = predicted(X, w, b) - y
        check.close(
            residual.mean(0),
            torch.zeros(O),
            atol=1e-5,
            what="mean of the residual, for each output",
        )
        check.close(
            X.T @ residual,
            torch.zeros(D, O),
            atol=1e-5,
            what="columns times residual, Xᵀ(Xw + b - y)",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("column", ["duplicate", "proportional", "constant"])
    def test_a_column_that_adds_nothing_is_no_error(self, kata, column):
        """Such columns have many minimizers, and XᵀX has no inverse. All minimizers
        make the same predictions.
        """
        X, y = plane_data(O)
        extra = {
            "duplicate": X[:, :1],
            "proportional": -2.0 * X[:, :1],
            "constant": torch.full((N, 1), 3.0),
        }[column]
        X = torch.cat([X, extra], dim=1)
        w, b = kata.fit_least_squares(X, y)
        expected = predicted(X, *least_squares(X, y))
        check.close(
            predicted(X, w, b),
            expected,
            atol=1e-3,
            what=f"predictions with a {column} column",
        )

    @pytest.mark.edge
    def test_a_feature_near_1000_still_gives_its_slope(self, kata):
        """A column near 1000 with spread 1 equals a multiple of the ones in its first
        three digits. float32 has too few digits for the rest, and (XᵀX)⁻¹ squares them;
        float64 has enough.
        """
        spread = torch.linspace(-1.5, 1.5, 41).reshape(-1, 1)
        X = 1000.0 + spread
        y = 3.0 * (X.double() - 1000.0).float() + 20.0
        w, b = kata.fit_least_squares(X, y)
        A = torch.cat([X, torch.ones_like(X)], dim=1)
        unlike = {
            "(XᵀX)⁻¹ in float32": (torch.linalg.inv_ex(A.T @ A).inverse @ A.T @ y)[:1]
        }
        check.close(
            w, torch.tensor([[3.0]]), rtol=0, atol=1e-2, unlike=unlike, what="w"
        )
        check.close(b, torch.tensor([-2980.0]), rtol=1e-2, what="b")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_result_has_the_dtype_of_x(self, kata, dtype):
        """Solve in float64, and return X's dtype."""
        w, b = kata.fit_least_squares(*plane_data(O, dtype))
        check.dtype(w, dtype, what="w")
        check.dtype(b, dtype, what="b")

    @pytest.mark.edge
    def test_the_data_are_not_changed(self, kata):
        """Fitting only reads X and y; centring them in place would change
        the caller's.
        """
        X, y = plane_data(O, torch.float64)
        with check.unchanged(X=X, y=y):
            kata.fit_least_squares(X, y)


class TestFitStandardized:
    def test_shapes(self, kata):
        """One weight per column of X, and one intercept."""
        w, b = kata.fit_standardized(*people(), epochs=2)
        check.shape(w, (2, 1), what="w")
        check.shape(b, (1,), what="b")

    def test_one_feature_is_mapped_back(self, kata):
        """Three people of 180, 160 and 170 cm weigh 60, 50 and 55 kg: 0.5 kg per cm,
        and -30 kg at 0 cm. In standard units the same line has slope 1 and intercept 0.
        """
        X, y = (
            torch.tensor([[180.0], [160.0], [170.0]]),
            torch.tensor([[60.0], [50.0], [55.0]]),
        )
        w, b = kata.fit_standardized(X, y)
        of_w = {
            "left in standard units": torch.tensor([[1.0]]),
            "divided by the spread of X, not multiplied by that of y": torch.tensor(
                [[1 / 8.165]]
            ),
            "divided by the spread of X, not multiplied by that of y (N - 1)": (
                torch.tensor([[0.1]])
            ),
            "multiplied by the spread of y, not divided by that of X": torch.tensor(
                [[4.0825]]
            ),
            "multiplied by the spread of y, not divided by that of X (N - 1)": (
                torch.tensor([[5.0]])
            ),
        }
        check.close(w, torch.tensor([[0.5]]), rtol=0, atol=1e-3, what="w", unlike=of_w)
        of_b = {
            "the mean of y alone: the prediction at the mean of X, not at 0": (
                torch.tensor([55.0])
            ),
            "left in standard units": torch.tensor([0.0]),
        }
        check.close(b, torch.tensor([-30.0]), rtol=0, atol=0.1, what="b", unlike=of_b)

    @pytest.mark.parametrize(
        ("x_unit", "y_unit"), [(1.0, 1.0), (0.3937, 2.205), (0.01, 1000.0)], ids=str
    )
    def test_predictions_match_least_squares_in_any_units(self, kata, x_unit, y_unit):
        """Standardizing changes the way down, not where it ends: predictions agree with
        the exact fit to 0.1 kg. Heights in inches and weights in pounds have the same
        standard units, so the units do not matter. Here ages count from 40 years, and
        weights from 60 kg.
        """
        X, y = people()
        X, y = x_unit * (X - torch.tensor([0.0, 40.0])), y_unit * (y - 60)
        X[0, 1] = y[1] = 0
        w, b = kata.fit_standardized(X, y)
        exact = least_squares(X, y)
        known = {
            "everybody weighs the mean": y.double().mean().expand_as(y),
            "the intercept is the mean of y, for people of 0 cm": predicted(
                X, exact[0], y.double().mean(0)
            ),
        }
        expected = predicted(X, *exact)
        check.close(
            predicted(X, w, b),
            expected,
            rtol=1e-4,
            atol=0.1 * y_unit,
            what="predictions",
            unlike=known,
        )

    def test_lr_and_epochs_are_used(self, kata):
        """They decide how far the descent gets: 3 steps end elsewhere than 20 steps,
        and so do 20 smaller ones.
        """
        X, y = people()
        few, slow, more = (
            kata.fit_standardized(X, y, *how)[0]
            for how in ((0.1, 3), (0.01, 20), (0.1, 20))
        )
        found = more.flatten().tolist()
        check.that(
            not torch.allclose(few, more, rtol=1e-4),
            f"3 epochs and 20 give the same w: {found}",
        )
        check.that(
            not torch.allclose(slow, more, rtol=1e-4),
            f"lr 0.01 and 0.1 give the same w: {found}",
        )

    def test_the_result_carries_no_graph(self, kata):
        """The fitted w and b are plain numbers to predict with."""
        w, b = kata.fit_standardized(*people(), epochs=2)
        check.that(not w.requires_grad, "w still requires grad")
        check.that(not b.requires_grad, "b still requires grad")

    @pytest.mark.edge
    def test_a_constant_column_has_weight_zero(self, kata):
        """A constant column has spread 0, and 0 / 0 is NaN. The column says nothing
        about y: its weight is exactly 0, and the other weights are those of a fit
        without it.
        """
        X, y = people()
        w, b = kata.fit_standardized(
            torch.cat([X[:, :1], torch.full_like(y, 2.0), X[:, 1:]], dim=1), y
        )
        check.finite(w, what="w, with a column that is 2 everywhere")
        check.finite(b, what="b, with a column that is 2 everywhere")
        check.equal(
            w[1], torch.zeros(1), what="the weight of the column that is 2 everywhere"
        )
        expected = predicted(X, *least_squares(X, y))
        check.close(
            predicted(X, w[[0, 2]], b), expected, rtol=0, atol=0.1, what="predicted kg"
        )

    @pytest.mark.edge
    def test_a_constant_column_whose_mean_is_rounded_has_weight_zero(self, kata):
        """The mean of 53 times 170.1 is not quite 170.1 in float32, so the spread is
        0.00002 and not 0. Divided by it, rounding errors become a column of ones.
        Compare the entries, not the spread.
        """
        _, y = people(53)
        X = torch.full((53, 1), 170.1)
        w, b = kata.fit_standardized(X, y)
        check.equal(w, torch.zeros(1, 1), what="w, where X is 170.1 everywhere")
        mean = y.double().mean(0).expand(53, 1)
        check.close(
            predicted(X, w, b),
            mean,
            rtol=0,
            atol=0.1,
            what="predicted kg, the mean for everybody",
        )

    @pytest.mark.edge
    def test_a_column_that_begins_and_ends_alike_still_counts(self, kata):
        """A column is constant only if all its entries are equal, not just the first
        and the last.
        """
        X, y = (
            torch.tensor([[180.0], [160.0], [170.0], [180.0]]),
            torch.tensor([[10.0], [0.0], [5.0], [10.0]]),
        )
        w, b = kata.fit_standardized(X, y)
        check.close(w, torch.tensor([[0.5]]), rtol=0, atol=1e-3, what="w")
        check.close(b, torch.tensor([-80.0]), rtol=0, atol=0.1, what="b")

    @pytest.mark.edge
    def test_a_constant_y_is_predicted(self, kata):
        """If everybody weighs the same, that weight is the prediction, whatever
        the height.
        """
        X, _ = people()
        y = torch.full((len(X), 1), 64.0)
        w, b = kata.fit_standardized(X, y)
        check.close(
            predicted(X, w, b),
            y,
            rtol=0,
            atol=0.01,
            what="predicted kg, where y is 64 everywhere",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    def test_the_result_has_the_dtype_of_x(self, kata, dtype):
        """w and b are multiplied with more data like X, and a product of two dtypes is
        an error.
        """
        w, b = kata.fit_standardized(*people(dtype=dtype), epochs=2)
        check.dtype(w, dtype, what="w")
        check.dtype(b, dtype, what="b")

    @pytest.mark.edge
    def test_the_data_are_not_changed(self, kata):
        """Subtracting the mean in place would standardize the caller's heights."""
        X, y = people()
        with check.unchanged(X=X, y=y):
            kata.fit_standardized(X, y, epochs=2)


class TestCompareOptimizers:
    def test_one_curve_per_name_in_order(self, kata):
        """A dict from name to the losses of that optimizer, in the order in which they
        were given.
        """
        X, y = plane_data(O)
        optimizers = {"slow": sgd(0.01), "fast": sgd(0.1), "a third": sgd(0.05)}
        curves = kata.compare_optimizers(lambda: nn.Linear(D, O), X, y, optimizers, 4)
        check.that(
            isinstance(curves, dict), f"expected a dict, got {check.describe(curves)}"
        )
        check.equal(
            list(curves), ["slow", "fast", "a third"], what="the names in order "
        )
        lengths = {name: len(curve) for name, curve in curves.items()}
        check.equal(lengths, dict.fromkeys(optimizers, 4), what="losses by name ")

    def test_all_start_with_the_same_loss(self, kata):
        """A race with different starts says nothing. `make_model` draws new weights at
        each call, here from a generator that no seed reaches, and the weights of a
        trained model are no fresh start.
        """
        X, y = plane_data(O)
        generator, drawn = torch.Generator().manual_seed(9), []

        def make_model():
            model = nn.Linear(D, O)
            model.load_state_dict(
                {
                    key: v.normal_(generator=generator)
                    for key, v in model.state_dict().items()
                }
            )
            drawn.append(nn.functional.mse_loss(model(X), y).item())
            return model

        optimizers = {
            "SGD": sgd(0.05),
            "Adam": lambda p: torch.optim.Adam(p, lr=0.1),
            "momentum": sgd(0.05, 0.9),
        }
        curves = kata.compare_optimizers(make_model, X, y, optimizers, 3)
        first = {name: curve[0] for name, curve in curves.items()}
        goes_on = len(drawn) == 1 and first["Adam"] < curves["SGD"][-1] < first["SGD"]
        check.that(
            not goes_on,
            "the second curve begins where the first ends",
            like="one model, trained on and on",
        )
        while len(drawn) < len(first):
            make_model()
        unlike = {
            "a new model for each optimizer": dict(zip(first, drawn[-3:], strict=False))
        }
        check.close(
            first,
            dict.fromkeys(first, first["SGD"]),
            rtol=1e-6,
            unlike=unlike,
            what="the first loss of ",
        )

    def test_the_same_optimizer_twice_has_the_same_curve(self, kata):
        """Neither weights nor momentum of one run reach the next."""
        X, y = plane_data(O)
        optimizers = {
            "first": sgd(0.05, 0.9),
            "between": sgd(0.1),
            "second": sgd(0.05, 0.9),
        }
        curves = kata.compare_optimizers(lambda: nn.Linear(D, O), X, y, optimizers, 6)
        check.close(
            curves["second"],
            curves["first"],
            rtol=1e-6,
            what="the curve of the second of two like optimizers",
        )

    def test_each_curve_is_that_of_its_optimizer(self, kata):
        """From known weights, the curves of a plain descent and of one with momentum,
        written out in NumPy.
        """
        X, y = plane_data(O)
        _, start = linear_with_start()
        optimizers = {"plain": sgd(0.05), "momentum": sgd(0.02, 0.8)}
        curves = kata.compare_optimizers(
            lambda: linear_with_start()[0], X, y, optimizers, 6
        )
        plain, later = (
            descent(X, y, 0.05, 7, start=start)[2],
            descent(X, y, 0.02, 7, start=start, momentum=0.8)[2],
        )
        idle = {
            "after the update": plain[1:],
            "no learning: the optimizer has another model": plain[:1] * 6,
        }
        check.close(
            curves["plain"], plain[:6], rtol=1e-4, what="curve of SGD", unlike=idle
        )
        check.close(
            curves["momentum"], later[:6], rtol=1e-4, what="curve of SGD with momentum"
        )

    @pytest.mark.edge
    def test_no_optimizers_or_no_epochs(self, kata):
        """No optimizers give no curves, and no epochs give empty ones."""
        X, y = plane_data(O)
        check.equal(
            kata.compare_optimizers(lambda: nn.Linear(D, O), X, y, {}, 3),
            {},
            what="curves of no optimizers ",
        )
        curves = kata.compare_optimizers(
            lambda: nn.Linear(D, O), X, y, {"SGD": sgd(0.1)}, 0
        )
        check.equal(curves, {"SGD": []}, what="curves of no epochs ")
