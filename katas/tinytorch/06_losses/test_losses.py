"""Specs of kata tinytorch/06: squared error, softmax, cross-entropy, and the size of
their gradients.
"""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check


def tensor(values, dtype=np.float64, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(values, dtype=dtype), requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape)


def number(loss):
    """The array of a loss, which has to be a single number."""
    array = check.data(loss)
    check.that(
        array.shape == (), f"the loss has shape {array.shape}, expected (): one number"
    )
    return array


def value_and_gradient(ours, theirs, x, unlike=None, unlike_value=None):
    """Check that both functions of x have the same value and the same gradient of x,
    for some weights of the output. `unlike` are known wrong gradients.
    """
    mine, right = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    output, oracle = ours(mine), theirs(right)
    check.close(
        check.data(output),
        oracle.detach().numpy(),
        what="the value",
        unlike=unlike_value,
    )
    weights = normal(*oracle.shape, seed=9) if oracle.ndim else np.array(1.0)
    check.that(
        output.requires_grad,
        "the result is not connected to its input: no gradient can go back",
    )
    output.backward(weights)
    oracle.backward(torch.from_numpy(weights))
    check.that(mine.grad is not None, "no gradient reached the input")
    check.close(
        mine.grad, right.grad.numpy(), what="the gradient of the input", unlike=unlike
    )


class TestMseLoss:
    def test_the_mean_of_the_squares(self, kata):
        """The differences 0, 2 and −3 have the squares 0, 4 and 9, whose mean
        is 13/3.
        """
        loss = kata.mse_loss(tensor([1.0, 2.0, 1.0]), tensor([1.0, 0.0, 4.0]))
        unlike = {
            "the sum, not the mean": np.array(13.0),
            "half the mean": np.array(13 / 6),
            "the mean of the absolute differences": np.array(5 / 3),
            "the mean of the differences, not squared": np.array(-1 / 3),
            "the root of the mean": np.array(math.sqrt(13 / 3)),
        }
        check.close(number(loss), np.array(13 / 3), unlike=unlike)

    @pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
    def test_each_reduction_with_its_gradient(self, kata, reduction):
        """The same value and gradient as PyTorch. The gradient of the mean is
        2 · difference / number of elements.
        """
        target, squares = (
            normal(3, 4, seed=1),
            (normal(3, 4) - normal(3, 4, seed=1)) ** 2,
        )
        values = {"none": squares, "mean": squares.mean(), "sum": squares.sum()}
        unlike = {
            f"reduction={r!r}": np.array(value)
            for r, value in values.items()
            if r != reduction
        }
        if reduction != "none":
            unlike["reduced over the first dimension alone"] = getattr(
                squares, reduction
            )(0)
        value_and_gradient(
            lambda x: kata.mse_loss(x, tensor(target), reduction=reduction),
            lambda x: F.mse_loss(x, torch.from_numpy(target), reduction=reduction),
            normal(3, 4),
            unlike_value=unlike,
        )

    @pytest.mark.parametrize(
        "shapes", [((5, 1), (5,)), ((5,), (5, 1)), ((2, 3), (3,))], ids=str
    )
    def test_shapes_that_differ_are_refused(self, kata, shapes):
        """(5, 1) minus (5,) is a table of 25 differences, each prediction against each
        target. The loss looks well, falls, and teaches the model to predict the mean.
        """
        with check.raises(
            ValueError, like="shapes that differ are broadcast, not refused"
        ):
            kata.mse_loss(tensor(normal(*shapes[0])), tensor(normal(*shapes[1])))

    def test_the_target_may_be_an_array(self, kata):
        """Data often comes as a NumPy array, and needs no gradient."""
        check.close(
            number(kata.mse_loss(tensor([[1.0, 5.0]]), np.array([[2.0, 3.0]]))),
            np.array(2.5),
        )

    @pytest.mark.edge
    def test_the_error_names_both_shapes(self, kata):
        """With both shapes in the message, the wrong one is found at once."""
        with check.raises(ValueError, "(7, 1)", "(7,)"):
            kata.mse_loss(tensor(normal(7, 1)), tensor(normal(7)))

    @pytest.mark.edge
    def test_an_unknown_reduction_is_refused(self, kata):
        """A misspelt "maen" must not silently be something else."""
        with check.raises(ValueError, "maen"):
            kata.mse_loss(tensor([1.0]), tensor([2.0]), reduction="maen")


@st.composite
def logits_and_dim(draw):
    """Logits of one to three dimensions, and one of these, counted from the front or
    from the back.
    """
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return normal(*shape, seed=draw(st.integers(0, 99))), draw(
        st.integers(-len(shape), len(shape) - 1)
    )


class TestLogSoftmax:
    def test_a_small_example(self, kata):
        """Exponentials of 1, 2 and 3 have the shares 1/6, 2/6 and 3/6. Their logarithms
        are the result.
        """
        got = check.data(kata.log_softmax(tensor(np.log([[1.0, 2, 3], [4, 4, 9]]))))
        shares = np.array([[1 / 6, 2 / 6, 3 / 6], [4 / 17, 4 / 17, 9 / 17]])
        shifted = np.array([[1 / 3, 2 / 3, 1], [4 / 9, 4 / 9, 1]])
        sums = shifted.sum(axis=1, keepdims=True)
        unlike = {
            "the sum of the exponentials, not its logarithm": np.log(shifted) - sums,
            "the largest logit subtracted in the sum alone": np.log(
                [[1.0, 2, 3], [4, 4, 9]]
            )
            - np.log(sums),
            "the largest of each row, and the sums over the rows (dim 0)": np.log(
                shifted / shifted.sum(axis=0)
            ),
            "the largest of each row, and one sum over all rows": np.log(
                shifted / shifted.sum()
            ),
            "softmax, without the logarithm": shares,
            "over the rows (dim 0), not along each row": np.log(
                [[1 / 5, 1 / 3, 3 / 12], [4 / 5, 2 / 3, 9 / 12]]
            ),
            "divided by the sum over all rows": np.log(
                np.array([[1, 2, 3], [4, 4, 9]]) / 23
            ),
        }
        check.close(got, np.log(shares), unlike=unlike)

    @pytest.mark.parametrize("dim", [0, 1, -1])
    def test_any_dimension_with_its_gradient(self, kata, dim):
        """For 3-d logits, the same values and gradients as PyTorch. Each element's
        gradient depends on the whole row along `dim`, because the sum does.
        """
        value_and_gradient(
            lambda x: kata.log_softmax(x, dim),
            lambda x: x.log_softmax(dim),
            normal(2, 3, 4),
            unlike={
                "a sum that does not depend on the logits": normal(2, 3, 4, seed=9)
            },
        )

    def test_large_logits(self, kata):
        """e¹⁰⁰⁰⁰ is infinite, and the logarithm of e⁻¹⁰⁰⁰⁰ = 0 as well. Without the
        exponential of a large number, and without the logarithm of a quotient, values
        and gradients are finite.
        """
        x = np.array([[10_000.0, -10_000.0, 9_999.0], [-10_000.0, -10_000.0, -9_998.0]])
        got = check.data(kata.log_softmax(tensor(x)))
        if np.isfinite(got.max(axis=-1)).all():
            slip = "the logarithm of a quotient that is 0"
        elif np.isfinite(got[0]).all():
            slip = "the largest logit of all rows is subtracted, not that of each row"
        else:
            slip = "the largest logit is not subtracted before exp"
        check.that(
            bool(np.isfinite(got).all()),
            f"got {got.tolist()}, expected finite numbers",
            like=slip,
        )
        value_and_gradient(kata.log_softmax, lambda x: x.log_softmax(-1), x)

    def test_rows_of_different_levels(self, kata):
        """A row at 1000 next to a row at -1000: each is shifted by its own largest
        logit. With the largest of all, the lower row is e⁻²⁰⁰⁰ = 0 everywhere, and its
        logarithm infinite.
        """
        x = np.array([[1000.0, 1001.0, 1003.0], [-1000.0, -1002.0, -1001.0]])
        lost = np.vstack(
            [torch.tensor(x[:1]).log_softmax(-1).numpy(), np.full((1, 3), np.inf)]
        )
        unlike = {"the largest logit of both rows subtracted": lost}
        value_and_gradient(
            kata.log_softmax, lambda x: x.log_softmax(-1), x, unlike_value=unlike
        )

    @given(case=logits_and_dim())
    def test_a_constant_changes_nothing(self, kata, case):
        """For any shape and dim: the exponentials of the result sum to 1, and adding 7
        to all logits, or nothing, gives the same. Only differences count.
        """
        x, dim = case
        got = check.data(kata.log_softmax(tensor(x), dim))
        total = np.asarray(np.exp(got).sum(axis=dim))
        check.close(total, np.ones_like(total), what="the sum of the exponentials")
        check.close(
            check.data(kata.log_softmax(tensor(x + 7), dim)),
            got,
            what="the result for x + 7",
        )

    @pytest.mark.edge
    def test_a_transposed_float32_array(self, kata):
        """Logits that are not contiguous in memory have the same result, and float32
        stays float32.
        """
        x = normal(4, 3).astype(np.float32)
        got = check.data(kata.log_softmax(tensor(x, np.float32).T, 0))
        check.close(
            got, torch.from_numpy(x.T.astype(np.float64)).log_softmax(0).numpy()
        )
        check.that(got.dtype == np.float32, f"float32 came out as {got.dtype}")


class TestSoftmax:
    def test_a_small_example(self, kata):
        """Exponentials of 1, 2 and 3 have the shares 1/6, 2/6 and 3/6."""
        got = check.data(kata.softmax(tensor(np.log([[1.0, 2, 3], [4, 4, 8]]))))
        expected = np.array([[1 / 6, 2 / 6, 3 / 6], [1 / 4, 1 / 4, 1 / 2]])
        unlike = {
            "the logarithm of softmax": np.log(expected),
            "over the rows (dim 0), not along each row": np.array(
                [[1 / 5, 1 / 3, 3 / 11], [4 / 5, 2 / 3, 8 / 11]]
            ),
            "divided by the sum over all rows": np.array([[1, 2, 3], [4, 4, 8]]) / 22,
        }
        check.close(got, expected, unlike=unlike)

    @pytest.mark.parametrize("dim", [0, 1, -1])
    def test_any_dimension_with_its_gradient(self, kata, dim):
        """For 3-d logits, the same values and gradients as PyTorch."""
        x = normal(2, 3, 4)
        unlike = {
            "along the last dimension, whatever `dim` is": torch.tensor(x)
            .softmax(-1)
            .numpy()
        }
        value_and_gradient(
            lambda x: kata.softmax(x, dim),
            lambda x: x.softmax(dim),
            x,
            unlike_value=unlike,
        )

    def test_large_logits_and_rows_of_different_levels(self, kata):
        """Probabilities depend on differences within a row, however large the logits of
        this row or of another are.
        """
        x = np.array([[10_000.0, 10_001.0, 9_999.0], [-10_000.0, -10_000.0, -9_998.0]])
        unlike = {
            "exp of the logits as they are: inf/inf and 0/0": np.full((2, 3), np.nan)
        }
        value_and_gradient(
            kata.softmax, lambda x: x.softmax(-1), x, unlike_value=unlike
        )

    @given(case=logits_and_dim())
    def test_probabilities_sum_to_one(self, kata, case):
        """For any shape, along the given dim."""
        x, dim = case
        total = np.asarray(check.data(kata.softmax(tensor(x), dim)).sum(axis=dim))
        check.close(total, np.ones_like(total), what="the sum of the probabilities")

    @pytest.mark.edge
    def test_a_transposed_float32_array(self, kata):
        """Logits that are not contiguous in memory have the same result, and float32
        stays float32.
        """
        x = normal(4, 3).astype(np.float32)
        got = check.data(kata.softmax(tensor(x, np.float32).T, 0))
        check.close(got, torch.from_numpy(x.T.astype(np.float64)).softmax(0).numpy())
        check.that(got.dtype == np.float32, f"float32 came out as {got.dtype}")


class TestCheckTargets:
    def test_returns_the_numbers_as_an_array(self, kata):
        """Three rows, three class numbers, in any integer dtype, out of a Tensor or
        an array.
        """
        for targets in (
            np.array([2, 0, 1]),
            np.array([2, 0, 1], dtype=np.uint8),
            tensor([2, 0, 1], np.int32),
        ):
            check.close(
                kata.check_targets(tensor(normal(3, 4)), targets),
                np.array([2, 0, 1]),
                rtol=0,
            )

    def test_targets_that_are_not_integers(self, kata):
        """A float may be a probability, a bool a mask: neither is the number of
        a class.
        """
        for targets in (
            np.array([1.0, 0.0, 1.0]),
            tensor([1, 0, 1], np.float32),
            np.array([True, False, True]),
        ):
            with check.raises(
                TypeError,
                like="targets that are no integers are taken as they are, or rounded",
            ):
                kata.check_targets(tensor(normal(3, 4)), targets)

    @pytest.mark.parametrize("shape", [(3, 1), (3, 4), (4,)], ids=str)
    def test_targets_of_another_shape(self, kata, shape):
        """Logits (3, 4) have three rows, so targets are (3,): not a column, not one-hot
        rows, not one per class.
        """
        slip = (
            "a second dimension of targets is let pass"
            if shape[0] == 3
            else "the lengths are not compared"
        )
        with check.raises(ValueError, like=slip):
            kata.check_targets(tensor(normal(3, 4)), np.zeros(shape, dtype=np.int64))

    @pytest.mark.parametrize("shape", [(3,), (3, 4, 2)], ids=str)
    def test_logits_of_another_shape(self, kata, shape):
        """Without one row per example there is nothing to choose from."""
        with check.raises(ValueError):
            kata.check_targets(tensor(normal(*shape)), np.zeros(3, dtype=np.int64))

    @pytest.mark.edge
    def test_the_error_names_both_shapes(self, kata):
        """With both shapes in the message, the wrong one is found at once."""
        with check.raises(ValueError, "(5, 3)", "(6,)"):
            kata.check_targets(tensor(normal(5, 3)), np.zeros(6, dtype=np.int64))


class TestCrossEntropy:
    def test_a_small_example(self, kata):
        """The right classes have the probabilities 1/2 and 1/5. The loss is the mean of
        log 2 and log 5.
        """
        probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.7, 0.2]])
        loss = kata.cross_entropy(
            tensor(np.log(probabilities) + [[3.0], [-1.0]]), np.array([0, 2])
        )
        down = np.exp(np.log(probabilities) + [[3.0], [-1.0]])
        down /= down.sum(axis=0)
        unlike = {
            "the sum over the rows, not the mean": np.array(math.log(10)),
            "the mean over rows and classes": np.array(math.log(10) / 6),
            "the minus sign is missing": np.array(-math.log(10) / 2),
            "without softmax: minus the logit itself": np.array((math.log(10) - 2) / 2),
            "softmax over the rows (dim 0)": np.array(
                -math.log(down[0, 0] * down[1, 2]) / 2
            ),
            "every row with every target: pick one target per row": np.array(
                -np.log(probabilities[:, [0, 2]]).mean()
            ),
            "base 2": np.array(math.log2(10) / 2),
            "the probabilities, without the logarithm": np.array(-0.35),
            "softmax twice: of what log_softmax turns into probabilities": np.array(
                np.log(np.exp(probabilities).sum(axis=1)).mean() - 0.35
            ),
        }
        check.close(number(loss), np.array(math.log(10) / 2), unlike=unlike)

    def test_equal_logits_give_log_c(self, kata):
        """Guessing among C classes has a loss of log C, whatever the targets: here
        log 7.
        """
        loss = kata.cross_entropy(tensor(np.full((3, 7), 5.0)), np.array([0, 6, 3]))
        check.close(number(loss), np.array(math.log(7)))

    def test_value_and_gradient(self, kata):
        """As in PyTorch, in float64. The gradient is (softmax - one-hot) / N: the 1/N
        comes from the mean.
        """
        x, targets = normal(5, 7), np.array([3, 0, 6, 3, 1])
        summed = torch.tensor(x, requires_grad=True)
        F.cross_entropy(summed, torch.from_numpy(targets), reduction="sum").backward()
        value_and_gradient(
            lambda x: kata.cross_entropy(x, targets),
            lambda x: F.cross_entropy(x, torch.from_numpy(targets)),
            x,
            unlike={"the gradient of the sum: 1/N is missing": summed.grad.numpy()},
            unlike_value={
                "every row asked for every target": torch.tensor(x)
                .log_softmax(1)[:, targets]
                .mean()
                .neg()
                .numpy()
            },
        )

    def test_the_targets_may_be_a_tensor(self, kata):
        """Targets come as an array or as a Tensor, with the same loss."""
        x = tensor(normal(3, 4))
        with_array = number(kata.cross_entropy(x, np.array([3, 1, 0])))
        check.close(
            number(kata.cross_entropy(x, tensor([3, 1, 0], np.int64))), with_array
        )

    def test_a_column_of_targets_is_refused(self, kata):
        """Row numbers (3,) and targets (3, 1) pick a table: each row's log-probability
        for each target. A model trained on it learns nothing, without an error.
        `check_targets` refuses the column.
        """
        with check.raises(ValueError):
            kata.cross_entropy(tensor(normal(3, 4)), np.array([[3], [1], [0]]))

    def test_large_logits(self, kata):
        """A model that is wrong and very sure has a large loss, 2,000 here, and a
        gradient. It is not infinite.
        """
        x, targets = (
            np.array([[1000.0, 0.0, -1000.0], [0.0, 1000.0, 0.0]]),
            np.array([2, 1]),
        )
        value_and_gradient(
            lambda x: kata.cross_entropy(x, targets),
            lambda x: F.cross_entropy(x, torch.from_numpy(targets)),
            x,
            unlike_value={"the logarithm of a probability that is 0": np.array(np.inf)},
        )

    def test_the_gradient_reaches_every_parameter(self, kata):
        """One number at the end, one backward pass: both layers of a network get the
        gradients that PyTorch has.
        """
        from tinytorch.layers import Linear

        x, targets, layers = (
            normal(6, 3).astype(np.float32),
            np.array([1, 0, 1, 1, 0, 1]),
            (Linear(3, 5), Linear(5, 2)),
        )
        kata.cross_entropy(
            layers[1](layers[0](tensor(x, np.float32)).exp()), targets
        ).backward()
        theirs = [
            torch.tensor(p.data, requires_grad=True)
            for layer in layers
            for p in (layer.weight, layer.bias)
        ]
        hidden = F.linear(torch.from_numpy(x), *theirs[:2]).exp()
        F.cross_entropy(
            F.linear(hidden, *theirs[2:]), torch.from_numpy(targets)
        ).backward()
        for mine, right in zip(
            [p for layer in layers for p in (layer.weight, layer.bias)], theirs
        ):
            check.that(
                mine.grad is not None,
                f"a parameter of shape {mine.shape} got no gradient",
            )
            check.close(
                mine.grad,
                right.grad.numpy(),
                rtol=1e-3,
                what=f"the gradient of shape {mine.shape}",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("target", [-1, 4])
    def test_a_class_that_does_not_exist(self, kata, target):
        """Four classes have the numbers 0 to 3. NumPy takes -1 for the last one,
        without a word.
        """
        with check.raises(IndexError):
            kata.cross_entropy(tensor(normal(3, 4)), np.array([0, target, 1]))


@pytest.mark.stretch
class TestSigmoidLossGradients:
    def test_at_zero(self, kata):
        """At z = 0, p is 1/2, one half away from the target 1, and the slope of σ
        is 1/4.
        """
        got = kata.sigmoid_loss_gradients([0], 1)
        check.that(
            set(got) == {"logit", "mse", "bce"},
            f"the keys are {sorted(got)}, expected logit, mse and bce",
        )
        check.equal(got["logit"], np.array([0.0]), what="logit")
        unlike = {
            "the factor 2 of the square is missing": np.array([-0.125]),
            "the slope p(1 - p) of the sigmoid is missing": np.array([-1.0]),
            "the sign is flipped": np.array([0.25]),
        }
        check.close(got["mse"], np.array([-0.25]), unlike=unlike, what="mse")
        unlike = {
            "multiplied by p(1 - p), which cancels": np.array([-0.125]),
            "the sign is flipped": np.array([0.5]),
            "the derivative with respect to p": np.array([-2.0]),
        }
        check.close(got["bce"], np.array([-0.5]), unlike=unlike, what="bce")

    @pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
    def test_both_derivatives(self, kata, target):
        """The same as PyTorch's autograd, for any logits and targets, in float64."""
        logits = np.linspace(-6, 6, 12).reshape(3, 4)
        z = torch.tensor(logits, requires_grad=True)
        goal = torch.full_like(z, target)
        (mse,) = torch.autograd.grad(((z.sigmoid() - goal) ** 2).sum(), z)
        (bce,) = torch.autograd.grad(
            F.binary_cross_entropy_with_logits(z, goal, reduction="sum"), z
        )
        got = kata.sigmoid_loss_gradients(logits.tolist(), target)
        expected = {"logit": logits, "mse": mse.numpy(), "bce": bce.numpy()}
        for name, right in expected.items():
            check.close(got[name], right, rtol=1e-6, what=name)
            check.that(
                got[name].dtype == np.float64,
                f"{name} is {got[name].dtype}, expected float64",
            )

    def test_far_on_the_wrong_side(self, kata):
        """At z = -20 with target 1, and at z = 20 with target 0, the model is sure and
        wrong. The squared error's gradient vanishes, and nothing is learned; that of
        cross-entropy is near -1 and 1.
        """
        for z, target, sign in ((-20.0, 1.0, -1), (20.0, 0.0, 1)):
            got = kata.sigmoid_loss_gradients(np.array([z]), target)
            check.that(
                0 < abs(got["mse"][0]) < 1e-8,
                f'z = {z}: "mse" is {got["mse"][0]:.3g}, expected next to 0',
            )
            check.close(
                got["bce"], np.array([sign * 1.0]), rtol=1e-6, what=f"bce at z = {z}"
            )


@pytest.mark.stretch
class TestGradientMagnitudes:
    def test_the_euclidean_norm(self, kata):
        """The gradient of 3w₀ + 4w₁ is [3, 4], which has the length 5. That of 2v
        is 2.
        """
        w, v = (
            tensor([1.0, 1.0], requires_grad=True),
            tensor([[7.0]], requires_grad=True),
        )
        got = kata.gradient_magnitudes(
            (w * np.array([3.0, 4.0])).sum() - (2 * v).sum(), {"w": w, "v": v}
        )
        unlike = {
            "the largest element": {"w": 4.0},
            "the sum of the elements": {"w": 7.0},
            "the mean of the squares": {"w": 12.5},
            "the square of the norm": {"w": 25.0},
            "the norm of the parameter, not of its gradient": {"w": math.sqrt(2)},
        }
        check.close(got, {"w": 5.0, "v": 2.0}, unlike=unlike)

    def test_a_matrix_counts_all_its_elements(self, kata):
        """The norm of a weight matrix is the root of the sum of all squares, as PyTorch
        has it.
        """
        x = normal(4, 3)
        weight, bias = (
            tensor(normal(3, 2, seed=1), requires_grad=True),
            tensor(normal(2, seed=2), requires_grad=True),
        )
        theirs = [torch.tensor(p.data, requires_grad=True) for p in (weight, bias)]
        (torch.from_numpy(x) @ theirs[0] + theirs[1]).exp().sum().backward()
        got = kata.gradient_magnitudes(
            (tensor(x) @ weight + bias).exp().sum(), {"weight": weight, "bias": bias}
        )
        check.close(
            got,
            {name: p.grad.norm().item() for name, p in zip(("weight", "bias"), theirs)},
        )
        check.that(
            list(got) == ["weight", "bias"],
            f"the names are in the order {list(got)}, expected weight, bias",
        )

    @pytest.mark.edge
    def test_a_parameter_without_a_gradient(self, kata):
        """A layer that the loss does not depend on has grad None. Its magnitude
        is 0.0.
        """
        used, unused = (
            tensor([2.0], requires_grad=True),
            tensor([3.0], requires_grad=True),
        )
        got = kata.gradient_magnitudes(
            (used * 3).sum(), {"unused": unused, "used": used}
        )
        check.close(got, {"unused": 0.0, "used": 3.0})


@pytest.mark.stretch
class TestPredictCrossEntropyBytes:
    def test_three_tables_and_a_number(self, kata):
        """Logits, log-probabilities and the gradient of the logits have one element per
        row and class. The loss has one.
        """
        expected = {"logits": 1920, "log_probs": 1920, "logit_grad": 1920, "loss": 4}
        unlike = {
            "one loss per row": {"loss": 64},
            "elements, not bytes": {"logits": 480},
            "the gradient of the loss is one number, that of the logits is a table": {
                "logit_grad": 4
            },
        }
        check.close(
            kata.predict_cross_entropy_bytes(16, 30), expected, rtol=0, unlike=unlike
        )

    @pytest.mark.parametrize(
        "dtype", [np.float32, np.float64], ids=["float32", "float64"]
    )
    def test_the_real_arrays(self, kata, dtype):
        """The prediction is the size of the real arrays: `nbytes` of each. A gradient
        has the dtype of its tensor.
        """
        logits = tensor(normal(8, 5), dtype, requires_grad=True)
        loss = kata.cross_entropy(logits, np.arange(8) % 5)
        loss.backward()
        real = {
            "logits": logits.data.nbytes,
            "log_probs": check.data(kata.log_softmax(logits)).nbytes,
            "logit_grad": logits.grad.size * logits.data.itemsize,
            "loss": check.data(loss).nbytes,
        }
        check.close(
            kata.predict_cross_entropy_bytes(8, 5, logits.data.itemsize), real, rtol=0
        )


@pytest.mark.stretch
class TestClassScaling:
    def test_memory_grows_with_the_classes(self, kata):
        """Twice the classes, twice the memory: every array has one column per class."""
        got = kata.class_scaling([256, 512, 1024])
        check.equal(list(got["sizes"]), [256, 512, 1024], what="sizes")
        exponent = got["exponent"]
        check.that(
            abs(exponent - 1) <= 0.25,
            f"the exponent is {exponent:.2f}, expected about 1",
        )

    def test_memory_grows_with_the_batch(self, kata):
        """A table of log-probabilities is made, batch · classes · 4 bytes, and twice
        the batch doubles it.
        """
        # A reduction in NumPy may take a buffer of 33 kB whatever the batch: these
        # tables are far larger.
        few, many = (
            kata.class_scaling([400, 800], batch=batch)["values"][0]
            for batch in (128, 512)
        )
        said = 128 * 400 * 4
        check.that(
            few >= 0.8 * said,
            f"the peak is {few} bytes, but the log-probabilities alone are {said}",
        )
        ratio = many / few
        check.that(
            3 <= ratio <= 5,
            f"four times the batch takes {ratio:.2f} times the memory, expected about "
            "4",
        )
