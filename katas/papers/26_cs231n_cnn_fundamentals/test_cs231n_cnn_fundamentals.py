"""Specs of kata papers/26: losses and gradients by hand, a numeric check, a
convolution, what a net sees, training.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

N, C = 4, 5  # samples, classes
AUTOGRAD = ["torch.autograd.grad", "torch.autograd.backward", "torch.Tensor.backward"]
AUTOGRAD += [
    f"torch.func.{name}"
    for name in ("grad", "grad_and_value", "vjp", "jacrev", "jacfwd")
]
SOFTMAXES = [
    f"torch.nn.functional.{name}"
    for name in ("cross_entropy", "log_softmax", "nll_loss")
]
SOFTMAXES += [
    "torch.log_softmax",
    "torch.Tensor.log_softmax",
    "torch.nn.CrossEntropyLoss",
    "torch.nn.LogSoftmax",
]
CONVOLUTIONS = [
    f"torch.{name}"
    for name in ("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose2d")
]
CONVOLUTIONS += [
    f"torch.nn.functional.{name}"
    for name in ("conv1d", "conv2d", "conv3d", "conv_transpose2d", "unfold")
]
CONVOLUTIONS += [
    f"torch.nn.{name}"
    for name in ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d", "Unfold")
]


def batch(dtype=torch.float32):
    """Scores (N, C) and right classes (N,)."""
    return torch.randn(N, C, dtype=dtype) * 2, torch.tensor([2, 0, 4, 2])


def loss_and_gradient(result):
    """Return the result of a loss, once it is known to be a pair."""
    right = isinstance(result, tuple) and len(result) == 2
    check.that(
        right, f"expected a tuple (loss, gradient), not {check.describe(result)}"
    )
    return result


def gradient_of(f, scores):
    """The gradient of f at the scores by autograd, in float64."""
    x = scores.detach().double().requires_grad_()
    return torch.autograd.grad(f(x), x)[0]


class TestSoftmaxLoss:
    def test_the_loss_is_the_mean_cross_entropy(self, kata):
        """−log of the probability that the softmax gives to the right class, and the
        mean over the samples.
        """
        scores, y = batch()
        loss, _ = loss_and_gradient(kata.softmax_loss(scores, y))
        p = scores.double().softmax(dim=1)[range(N), y]
        unlike = {
            "the sum over the samples": -p.log().sum(),
            "the probabilities without the logarithm": -p.mean(),
            "the negative loss": p.log().mean(),
            "the mean over samples and classes": -p.log().sum() / (N * C),
            "the softmax over the samples": -scores.double()
            .log_softmax(dim=0)[range(N), y]
            .mean(),
        }
        check.close(loss, -p.log().mean(), unlike=unlike, what="loss")

    def test_the_gradient_is_that_of_autograd(self, kata):
        """On paper it is short: the probabilities, minus 1 at the right class, over N.
        The division belongs to the mean in the loss: without it a larger batch would
        take larger steps.
        """
        scores, y = batch()
        _, gradient = loss_and_gradient(kata.softmax_loss(scores, y))
        expected = gradient_of(lambda s: F.cross_entropy(s, y), scores)
        p = scores.double().softmax(dim=1)
        unlike = {
            "the gradient of the sum: not divided by N": expected * N,
            "the probabilities alone, with nothing subtracted": p / N,
            "the one-hot classes divided by N, the probabilities not": p
            - F.one_hot(y, C) / N,
            "1 subtracted in every row for each of the classes in y": (
                p - F.one_hot(y, C).sum(0).clamp(max=1)
            )
            / N,
        }
        check.close(gradient, expected, unlike=unlike, what="gradient")

    @given(size=st.tuples(st.integers(1, 6), st.integers(2, 7)))
    def test_each_row_of_the_gradient_sums_to_zero(self, kata, size):
        """The same number added to all scores of a sample changes no probability, so
        the slopes of a row cancel. Only that of the right class is negative: raise it,
        and the loss falls.
        """
        scores = torch.randn(size)
        y = torch.randint(size[1], size[:1])
        _, gradient = loss_and_gradient(kata.softmax_loss(scores, y))
        check.shape(gradient, size, what="gradient")
        check.close(
            gradient.sum(dim=1),
            torch.zeros(size[0]),
            what="the sums of the gradient's rows",
        )
        check.equal(
            gradient < 0,
            F.one_hot(y, size[1]).bool(),
            what="where the gradient is negative",
        )

    def test_written_by_hand(self, kata):
        """Neither the finished loss nor autograd is called: the point is to
        derive both.
        """
        with check.forbidden(kata, *SOFTMAXES, *AUTOGRAD):
            kata.softmax_loss(*batch())

    @pytest.mark.edge
    def test_scores_of_a_thousand_stay_finite(self, kata):
        """exp(1000) is infinite. Subtract the largest score of each row first: the
        probabilities stay the same.
        """
        scores = torch.tensor([[1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1001.0]])
        y = torch.tensor([1, 0])
        loss, gradient = loss_and_gradient(kata.softmax_loss(scores, y))
        check.close(loss, F.cross_entropy(scores.double(), y), what="loss")
        check.close(
            gradient,
            gradient_of(lambda s: F.cross_entropy(s, y), scores),
            what="gradient",
        )

    @pytest.mark.edge
    def test_float64_keeps_its_precision(self, kata):
        """A numeric check of the gradient needs all digits."""
        scores, y = batch(torch.float64)
        loss, gradient = loss_and_gradient(kata.softmax_loss(scores, y))
        check.close(loss, F.cross_entropy(scores, y), rtol=0, atol=1e-9, what="loss")
        expected = gradient_of(lambda s: F.cross_entropy(s, y), scores)
        check.close(gradient, expected, rtol=0, atol=1e-9, what="gradient")

    @pytest.mark.edge
    def test_the_scores_are_left_as_they_were(self, kata):
        """The caller uses the scores again, for the accuracy."""
        scores, y = batch()
        with check.unchanged(scores=scores, y=y):
            kata.softmax_loss(scores, y)


def hinge(scores, y, margin, right_too=False):
    """The mean hinge loss, term by term."""
    total = 0.0
    for row, right in zip(scores, y.tolist(), strict=True):
        for j in range(len(row)):
            if j != right or right_too:
                total = total + (row[j] - row[right] + margin).clamp(min=0)
    return total / len(y)


def margins():
    """Scores where, at margin 2.5, the rows violate 2, 3, 0 and 4 margins, and their
    right classes.
    """
    rows = (
        [1.0, 0.3, 2.0, -2.0, -0.9],
        [0.5, 1.0, -4.0, 2.0, -1.5],
        [1.0, 0, 2, -1, 5],
        [0.0, 1, -2, 3, 2],
    )
    return torch.tensor(rows), torch.tensor([2, 0, 4, 2])


class TestSvmLoss:
    def test_one_sample_by_hand(self, kata):
        """The example of the notes: scores 13, −7 and 11, the right class is 0, the
        margin 10. The terms are max(0, −7 − 13 + 10) = 0 and max(0, 11 − 13 + 10) = 8.
        The right class has no term.
        """
        unlike = {
            "the right class counted with a term of 10": torch.tensor(18.0),
            "the margin left out": torch.tensor(0.0),
            "no max(0, …)": torch.tensor(-2.0),
            "squared terms": torch.tensor(64.0),
            "the sign turned: s_y − s_j": torch.tensor(42.0),
        }
        loss, _ = loss_and_gradient(
            kata.svm_loss(torch.tensor([[13.0, -7.0, 11.0]]), torch.tensor([0]), 10.0)
        )
        check.close(loss, torch.tensor(8.0), unlike=unlike, what="loss")

    def test_the_loss_is_the_mean_over_samples_of_the_sum_of_terms(self, kata):
        """Terms of one sample are added, samples are averaged. Only wrong classes have
        a term: the right one would add the margin to every sample.
        """
        scores, y = margins()
        loss, _ = loss_and_gradient(kata.svm_loss(scores, y, margin=2.5))
        expected = hinge(scores.double(), y, 2.5)
        unlike = {
            "the right class counted: too large by the margin": hinge(
                scores.double(), y, 2.5, right_too=True
            ),
            "the sum over the samples": expected * N,
            "the mean over samples and classes": expected / C,
            "margin 1, whatever was asked for": hinge(scores.double(), y, 1.0),
        }
        check.close(loss, expected, unlike=unlike, what="loss")

    def test_the_gradient_counts_violated_margins(self, kata):
        """A violated margin raises the loss with its own score, and lowers it with the
        right one. So the right class gets minus the *number* of violated margins of its
        row, and everything is divided by N.
        """
        scores, y = margins()
        _, gradient = loss_and_gradient(kata.svm_loss(scores, y, margin=2.5))
        expected = gradient_of(lambda s: hinge(s, y, 2.5), scores)
        wrong = ~F.one_hot(y, C).bool()
        unlike = {
            "−1 for the right class, however many margins are violated": torch.where(
                wrong, expected, -1 / N
            ),
            "0 for the right class": torch.where(wrong, expected, 0.0),
            "the gradient of the sum: not divided by N": expected * N,
            "1 for every wrong class, violated or not": torch.where(
                wrong, 1.0, -(C - 1.0)
            )
            / N,
        }
        check.close(gradient, expected, unlike=unlike, what="gradient")

    def test_enough_is_enough(self, kata):
        """Scores that keep all margins cost nothing and have no gradient. Cross-entropy
        is never satisfied like this.
        """
        scores = torch.tensor([[3.0, 1.5, -1.0], [-2.0, 0.5, 9.0]])
        loss, gradient = loss_and_gradient(kata.svm_loss(scores, torch.tensor([0, 2])))
        check.close(loss, torch.tensor(0.0), what="loss")
        check.close(gradient, torch.zeros(2, 3), what="gradient")

    def test_written_without_autograd(self, kata):
        """The point is to derive the gradient."""
        finished = ["torch.nn.functional.multi_margin_loss", "torch.nn.MultiMarginLoss"]
        with check.forbidden(kata, *finished, *AUTOGRAD):
            kata.svm_loss(*batch())

    @pytest.mark.edge
    def test_a_term_of_exactly_zero_has_gradient_zero(self, kata):
        """At the kink both 0 and 1 are right slopes. The convention is 0, as in
        PyTorch's relu.
        """
        loss, gradient = loss_and_gradient(
            kata.svm_loss(torch.tensor([[2.0, 1.0, 4.0]]), torch.tensor([0]))
        )
        check.close(loss, torch.tensor(3.0), what="loss")
        check.close(gradient, torch.tensor([[-1.0, 0.0, 1.0]]), what="gradient")

    @pytest.mark.edge
    def test_float64_keeps_its_precision(self, kata):
        """A numeric check of the gradient needs all digits."""
        scores, y = batch(torch.float64)
        loss, gradient = loss_and_gradient(kata.svm_loss(scores, y))
        check.dtype(gradient, torch.float64, what="gradient")
        check.close(loss, hinge(scores, y, 1.0), rtol=0, atol=1e-9, what="loss")

    @pytest.mark.edge
    def test_the_scores_are_left_as_they_were(self, kata):
        """The caller uses the scores again, for the accuracy."""
        scores, y = batch()
        with check.unchanged(scores=scores, y=y):
            kata.svm_loss(scores, y)


@pytest.mark.stretch
class TestSvmLossNumpy:
    def test_agrees_with_a_loop_over_terms(self, kata):
        """The mean over samples of the sum over wrong classes of max(0,
        s_j − s_y + margin).
        """
        scores, y = (part.numpy() for part in margins())
        tensors = margins()[0].double(), margins()[1]
        for margin in (1.0, 2.5):
            expected = hinge(*tensors, margin).item()
            unlike = {
                "the right class counted: too large by the margin": expected + margin,
                "the sum over the samples": expected * N,
                "the mean over samples and classes": expected / C,
                "the sign turned: s_y − s_j": hinge(
                    -tensors[0], tensors[1], margin
                ).item(),
            }
            got = float(kata.svm_loss_numpy(scores.astype(float), y, margin))
            check.close(
                got,
                expected,
                rtol=1e-5,
                atol=1e-5,
                unlike=unlike,
                what=f"loss with margin {margin}",
            )

    def test_the_margin_is_1_unless_given(self, kata):
        """Scores 1 and 1.5, the right class is 0: the only term is 1.5 − 1 + 1."""
        check.close(
            float(kata.svm_loss_numpy(np.array([[1.0, 1.5]]), np.array([0]))),
            1.5,
            rtol=1e-5,
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """No rounding to float32 on the way."""
        scores, y = batch(torch.float64)
        got = float(kata.svm_loss_numpy(scores.numpy(), y.numpy()))
        check.close(got, hinge(scores, y, 1.0).item(), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_no_input_is_written_to(self, kata):
        """`scores -= …` would change the caller's array."""
        scores, y = (part.numpy() for part in batch(torch.float64))
        before = scores.copy(), y.copy()
        kata.svm_loss_numpy(scores, y)
        check.equal((scores, y), before, what="inputs after the call")


def vote(train_x, train_y, x, k, distance, best=min):
    """Point by point: the most frequent class of the k nearest, `best` of them on
    a tie.
    """
    found = []
    for point in x:
        order = sorted(
            range(len(train_x)), key=lambda row: distance(point, train_x[row])
        )
        labels = [int(train_y[row]) for row in order[:k]]
        found.append(
            best(
                label
                for label in labels
                if labels.count(label) == max(map(labels.count, labels))
            )
        )
    return np.array(found)


def euclidean(a, b):
    return float(((a - b) ** 2).sum())


@pytest.mark.stretch
class TestKnnPredictNumpy:
    TRAIN_X, TRAIN_Y = np.array([[0.0], [1.0], [5.0]]), np.array([2, 0, 0])

    def cloud(self):
        """12 training points in three dimensions, four of each class, and 7 points
        to classify.
        """
        draw = np.random.default_rng(3)
        return draw.normal(size=(12, 3)), np.arange(12) % 3, draw.normal(size=(7, 3))

    def test_the_nearest_point_decides_alone_for_k_1(self, kata):
        """Training points 0, 1 and 5 with the classes 2, 0 and 0. A point takes the
        class of the nearest one.
        """
        x = np.array([[0.1], [0.9], [-7.0], [4.0]])
        unlike = {
            "the classes of the farthest points": np.array([0, 0, 0, 2]),
            "the numbers of the nearest points, not their classes": np.array(
                [0, 1, 0, 2]
            ),
        }
        got = kata.knn_predict_numpy(self.TRAIN_X, self.TRAIN_Y, x, 1)
        check.equal(got, np.array([2, 0, 2, 0]), unlike=unlike)

    def test_the_most_frequent_class_wins_and_the_smaller_on_a_tie(self, kata):
        """0.1 is nearest to a point of class 2, then come two of class 0. With k = 2
        there is a tie of 2 and 0, and 0 is the smaller class. With k = 3, 0 has
        the majority.
        """
        for k in (2, 3):
            unlike = {
                "the class of the nearest point, or the last class on a tie": np.array(
                    [2]
                )
            }
            got = kata.knn_predict_numpy(
                self.TRAIN_X, self.TRAIN_Y, np.array([[0.1]]), k
            )
            check.equal(
                got, np.array([0]), unlike=unlike, what=f"the prediction for k = {k}"
            )

    @pytest.mark.parametrize("k", [1, 2, 5, 12])
    def test_agrees_with_a_loop_over_points(self, kata, k):
        """Distances count all coordinates: the square root of the sum of squared
        differences. If everybody votes and all classes are equally large, the answer is
        0 everywhere.
        """
        train_x, train_y, x = case = self.cloud()
        nearest = np.array(
            [
                sorted(range(12), key=lambda row: euclidean(p, train_x[row]))[:k]
                for p in x
            ]
        )
        unlike = {
            "nearest in the first coordinate": vote(
                *case, k, lambda a, b: abs(a[0] - b[0])
            ),
            "nearest by the sum of absolute differences": vote(
                *case, k, lambda a, b: abs(a - b).sum()
            ),
            "the k farthest points": vote(*case, k, lambda a, b: -euclidean(a, b)),
            "the largest class on a tie": vote(*case, k, euclidean, max),
            "the mean of the labels": train_y[nearest].mean(axis=1).round().astype(int),
            "row numbers instead of classes": nearest[:, 0],
        }
        check.equal(
            kata.knn_predict_numpy(*case, k),
            vote(*case, k, euclidean),
            unlike=unlike,
            what="predictions",
        )

    def test_every_training_point_is_its_own_nearest(self, kata):
        """That is why the accuracy of 1-NN on its own training data says nothing: it is
        always 1.
        """
        train_x, train_y, _ = self.cloud()
        check.equal(
            kata.knn_predict_numpy(train_x, train_y, train_x, 1),
            train_y,
            what="predictions",
        )

    def test_neighbours_solve_the_spirals(self, kata):
        """A result without any training: on 300 fresh points, five neighbours are right
        for more than 95 %.
        """
        generator = torch.Generator().manual_seed(0)
        (train_x, train_y), (x, y) = (
            kata.make_spirals(100, generator=generator) for _ in range(2)
        )
        got = kata.knn_predict_numpy(
            train_x.double().numpy(), train_y.numpy(), x.double().numpy(), 5
        )
        share = (got == y.numpy()).mean()
        check.that(
            share > 0.95,
            f"{share:.1%} of the fresh points are classified right, expected > 95 %",
        )

    @pytest.mark.edge
    def test_of_equal_distances_the_earlier_row_is_nearer(self, kata):
        """The choice must not depend on the sorting. `np.argsort` keeps the order only
        with kind="stable".
        """
        train_x = np.tile([[1.0], [-1.0]], (40, 1))
        train_y = np.r_[[3, 1, 2, 2], np.zeros(76, dtype=int)]
        for k, expected in ((1, 3), (4, 2)):
            got = kata.knn_predict_numpy(train_x, train_y, np.array([[0.0]]), k)
            check.equal(got, np.array([expected]), what=f"the prediction for k = {k}")

    @pytest.mark.edge
    def test_there_must_be_k_neighbours(self, kata):
        """k = 0 and k = N + 1 are errors. A slice would be quiet about both."""
        for k in (0, 4):
            with check.raises(ValueError):
                kata.knn_predict_numpy(self.TRAIN_X, self.TRAIN_Y, np.array([[0.1]]), k)


class TestNumericalGradient:
    X = torch.tensor([[0.5, -1.2, 2.0], [1.5, 0.3, -0.7]], dtype=torch.float64)

    def f(self, x):
        """Cubes with different weights, and a product that mixes two entries."""
        weights = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(2, 3)
        return (weights * x**3).sum() + x[0, 1] * x[1, 2]

    def moved(self, entry, by):
        x = self.X.clone()
        x.view(-1)[entry] += by
        return self.f(x)

    def test_central_differences_of_a_cubic(self, kata):
        """Each entry is moved alone, up and down, and the rise is divided by both steps
        together. Central differences miss by eps² only; a forward difference misses by
        about eps, and fails here at 1e-6.
        """
        h = 1e-5
        ahead = torch.stack(
            [(self.moved(i, h) - self.moved(i, 0)) / h for i in range(6)]
        ).reshape(2, 3)
        behind = torch.stack(
            [(self.moved(i, 0) - self.moved(i, -h)) / h for i in range(6)]
        ).reshape(2, 3)
        expected = gradient_of(self.f, self.X)
        unlike = {
            "a forward difference": ahead,
            "a backward difference": behind,
            "divided by eps alone": 2 * expected,
            "all entries moved at once": expected.sum().expand(2, 3),
            "a whole row moved at once": expected.sum(dim=1, keepdim=True).expand(2, 3),
        }
        got = kata.numerical_gradient(self.f, self.X.clone())
        check.close(got, expected, rtol=0, atol=1e-6, unlike=unlike, what="gradient")

    def test_eps_is_the_step(self, kata):
        """For x³ the central difference with a step of 0.5 is exactly 3x² + 0.25."""
        x = self.X.clone()
        unlike = {
            "a step of 1e-5, whatever was asked for": 3 * self.X**2,
            "half the step": 3 * self.X**2 + 0.0625,
        }
        got = kata.numerical_gradient(lambda t: (t**3).sum(), x, eps=0.5)
        check.close(
            got, 3 * self.X**2 + 0.25, unlike=unlike, what="gradient with eps = 0.5"
        )

    def test_f_may_return_a_float(self, kata):
        """Functions in NumPy or in plain Python return floats. A vector has a gradient
        as well as a matrix.
        """
        x = torch.tensor([0.4, -2.0, 1.0, 3.0], dtype=torch.float64)
        got = kata.numerical_gradient(lambda t: t.sin().sum().item(), x.clone())
        check.close(got, x.cos(), rtol=0, atol=1e-6, what="gradient")

    def test_it_catches_a_wrong_gradient(self, kata):
        """A gradient derived right differs by less than 1e-7 of its size, a wrong one
        by much more.
        """
        x = self.X.clone()
        got = kata.numerical_gradient(lambda t: t.tanh().sum(), x.clone())
        for name, guess, low, high in (
            ("1 − tanh²", 1 - x.tanh() ** 2, 0, 1e-7),
            ("1 − x²", 1 - x**2, 0.1, 1e9),
        ):
            check.shape(got, (2, 3), what="gradient")
            gap = ((got - guess).norm() / (got.norm() + guess.norm())).item()
            check.that(
                low <= gap < high,
                f"for tanh, the relative difference to {name} is {gap:.1e}",
            )

    @pytest.mark.edge
    def test_x_is_left_as_it_was(self, kata):
        """x is a weight of the net that is being checked. x + eps − 2·eps + eps is not
        x again: rounding stays.
        """
        x = torch.tensor([[0.1, 1 / 3], [-0.7, 1e-6], [2.9, 5.3]], dtype=torch.float64)
        with check.unchanged(x=x):
            kata.numerical_gradient(lambda t: t.exp().sum(), x)


D, H = 3, 6  # numbers per sample, hidden units


def net(kata, dtype=torch.float32):
    """A TwoLayerNet from D to C with biases that are not zero."""
    model = kata.TwoLayerNet(D, H, C).to(dtype)
    with torch.no_grad():
        model.b1.uniform_(-0.5, 0.5)
        model.b2.uniform_(-0.5, 0.5)
    return model


def parameters(model):
    """The parameters of a TwoLayerNet by name in float64, for autograd."""
    return {
        name: p.detach().double().requires_grad_()
        for name, p in model.named_parameters()
    }


def scores_of(w, x, act=torch.relu):
    return act(x.double() @ w["W1"] + w["b1"]) @ w["W2"] + w["b2"]


class TestTwoLayerNetInit:
    def test_has_two_weights_and_two_biases(self, kata):
        """x @ W1 wants W1 as (D, H): inputs in rows. `nn.Linear` stores it the other
        way round.
        """
        shapes = {
            name: tuple(p.shape)
            for name, p in kata.TwoLayerNet(D, H, C).named_parameters()
        }
        expected = {"W1": (D, H), "b1": (H,), "W2": (H, C), "b2": (C,)}
        check.equal(shapes, expected, what="shapes of the parameters")

    def test_biases_start_at_zero(self, kata):
        """Weights already make the hidden units differ, so biases need not
        be random.
        """
        model = kata.TwoLayerNet(D, H, C)
        check.close(model.b1, torch.zeros(H), what="b1")
        check.close(model.b2, torch.zeros(C), what="b2")

    def test_weights_have_the_scale_of_he(self, kata):
        """Standard deviation sqrt(2 / fan_in): a unit adds up fan_in products, and the
        relu halves what comes out. So signals keep their size in nets of any width.
        fan_in is D for W1 and H for W2.
        """
        model = kata.TwoLayerNet(50, 100, 60)
        for name, fan_in in (("W1", 50), ("W2", 100)):
            weight = getattr(model, name).detach()
            said = (
                f"{name} has mean {weight.mean():.3f} and standard deviation "
                f"{weight.std():.3f}"
            )
            goal = (2 / fan_in) ** 0.5
            check.that(abs(weight.mean()) < goal / 10, f"{said}, expected mean 0")
            check.that(
                0.9 * goal < weight.std() < 1.1 * goal,
                f"{said}, expected {goal:.3f} = sqrt(2 / {fan_in})",
            )
            beyond = (weight.abs() > 2 * goal).float().mean().item()
            check.that(
                0.02 < beyond < 0.08,
                f"{beyond:.1%} of {name} is beyond two standard deviations, not 4.6 %",
            )


class TestTwoLayerNetForward:
    def test_scores_are_linear_relu_linear(self, kata):
        """relu(x W1 + b1) W2 + b2, with nothing after it: scores may be negative."""
        model, x = net(kata), torch.randn(N, D)
        w = parameters(model)
        unlike = {
            "no relu: two linear layers are one": scores_of(w, x, lambda z: z),
            "a relu on the scores": scores_of(w, x).relu(),
            "softmax probabilities": scores_of(w, x).softmax(dim=1),
            "no biases": (x.double() @ w["W1"]).relu() @ w["W2"],
        }
        check.close(model(x), scores_of(w, x), unlike=unlike, what="scores")

    def test_autograd_reaches_every_parameter(self, kata):
        """`train_classifier` trains the net through `forward`, and the hand gradients
        are compared with autograd's.
        """
        model, x = net(kata), torch.randn(N, D)
        scores = model(x)
        check.that(
            scores.requires_grad,
            "the scores have no autograd graph: nothing can be learned",
        )
        got = torch.autograd.grad(
            scores.square().sum(), list(model.parameters()), allow_unused=True
        )
        w = parameters(model)
        right = torch.autograd.grad(scores_of(w, x).square().sum(), list(w.values()))
        for name, mine, expected in zip(w, got, right, strict=True):
            check.that(mine is not None, f"no gradient reaches {name}")
            check.close(mine, expected, what=f"gradient of {name}")


def total_loss(w, x, y, reg, loss):
    """The loss of a TwoLayerNet with its penalty, in float64."""
    scores = scores_of(w, x)
    data = F.cross_entropy(scores, y) if loss == "softmax" else hinge(scores, y, 1.0)
    return data + reg / 2 * (w["W1"].square().sum() + w["W2"].square().sum())


def gradients_of(w, x, y, reg, loss):
    """Its gradients by autograd."""
    return dict(
        zip(
            w,
            torch.autograd.grad(total_loss(w, x, y, reg, loss), list(w.values())),
            strict=True,
        )
    )


def without_mask(w, x, y, reg, loss):
    """The gradients if the way back forgets the relu."""
    found = gradients_of(w, x, y, reg, loss)
    hidden = scores_of(w | {"W2": torch.eye(H).double(), "b2": torch.zeros(H)}, x)
    scores = scores_of(w, x).detach().requires_grad_()
    data = F.cross_entropy(scores, y) if loss == "softmax" else hinge(scores, y, 1.0)
    back = torch.autograd.grad(data, scores)[0] @ w["W2"].T
    check.that(bool((hidden == 0).any()), "the case has no hidden unit at 0")
    return found | {"W1": x.double().T @ back + reg * w["W1"], "b1": back.sum(dim=0)}


class TestTwoLayerNetLossAndGradients:
    X, Y = (
        torch.linspace(-2, 2, N * D).reshape(N, D).sin() * 2,
        torch.tensor([2, 0, 4, 2]),
    )

    @pytest.mark.parametrize("loss", ["softmax", "svm"])
    def test_the_loss_is_the_one_asked_for(self, kata, loss):
        """ "softmax" is the cross-entropy of the scores, "svm" the hinge loss with
        margin 1. Both are means over the samples.
        """
        model = net(kata)
        w = parameters(model)
        unlike = {
            "the other loss": total_loss(
                w, self.X, self.Y, 0, "svm" if loss == "softmax" else "softmax"
            )
        }
        value, _ = loss_and_gradient(
            model.loss_and_gradients(self.X, self.Y, loss=loss)
        )
        check.close(
            value, total_loss(w, self.X, self.Y, 0, loss), unlike=unlike, what="loss"
        )

    def test_the_penalty_is_half_reg_times_the_squared_weights(self, kata):
        """The half makes the gradient reg · W, without a 2. Biases are not punished:
        they do not make the net wild.
        """
        model = net(kata)
        w = parameters(model)
        plain, squares = (
            total_loss(w, self.X, self.Y, 0, "softmax"),
            {name: p.square().sum() for name, p in w.items()},
        )
        weights = squares["W1"] + squares["W2"]
        unlike = {
            "no penalty": plain,
            "reg times the squared weights, without the half": plain + 0.3 * weights,
            "biases punished, too": plain + 0.15 * sum(squares.values()),
            "W1 punished, W2 not": plain + 0.15 * squares["W1"],
            "norms that are not squared": plain
            + 0.15 * (squares["W1"] ** 0.5 + squares["W2"] ** 0.5),
        }
        value, _ = loss_and_gradient(model.loss_and_gradients(self.X, self.Y, reg=0.3))
        check.close(value, plain + 0.15 * weights, unlike=unlike, what="loss")

    @pytest.mark.parametrize("reg", [0.0, 0.3])
    @pytest.mark.parametrize("loss", ["softmax", "svm"])
    def test_the_gradients_are_those_of_autograd(self, kata, loss, reg):
        """From the scores back to W2 and b2, through W2 to the hidden units, only
        through those that the relu let pass, then to W1 and b1. The penalty adds
        reg · W to the gradients of the weights.
        """
        model = net(kata)
        w = parameters(model)
        case = w, self.X, self.Y, reg, loss
        expected = gradients_of(*case)
        penalty = {name: reg * p * (name[0] == "W") for name, p in w.items()}
        unlike = {
            "the relu forgotten on the way back": without_mask(*case),
            "no reg · W in the gradients": {
                name: expected[name] - penalty[name] for name in w
            },
            "2 · reg · W in the gradients": {
                name: expected[name] + penalty[name] for name in w
            },
            "reg · b in the gradients of the biases": {
                n: expected[n] + reg * w[n] * (n[0] == "b") for n in w
            },
            "means over the samples instead of sums for the biases": expected
            | {name: expected[name] / N for name in ("b1", "b2")},
            "sums of a loss that is not divided by N": {
                n: (expected[n] - penalty[n]) * N + penalty[n] for n in w
            },
        }
        _, gradients = loss_and_gradient(
            model.loss_and_gradients(self.X, self.Y, reg, loss)
        )
        check.close(gradients, expected, unlike=unlike, what="gradients")

    def test_written_without_autograd(self, kata):
        """The point is the chain rule by hand."""
        model = net(kata)
        with check.forbidden(kata, *AUTOGRAD):
            model.loss_and_gradients(self.X, self.Y, reg=0.1)

    @pytest.mark.edge
    def test_another_loss_is_refused(self, kata):
        """A misspelled name must not quietly choose one of the two losses."""
        with check.raises(ValueError):
            net(kata).loss_and_gradients(self.X, self.Y, loss="hinges")

    @pytest.mark.edge
    def test_grad_stays_as_it_was(self, kata):
        """The gradients are returned, not stored: an optimizer that holds the
        parameters notices nothing.
        """
        model = net(kata)
        model.W1.grad = torch.full((D, H), 7.0)
        with check.unchanged(**dict(model.named_parameters())):
            model.loss_and_gradients(self.X, self.Y, reg=0.1)

    @pytest.mark.edge
    def test_float64_keeps_its_precision(self, kata):
        """Then a numeric check agrees to seven digits."""
        model = net(kata, torch.float64)
        w = parameters(model)
        for loss in ("softmax", "svm"):
            _, gradients = loss_and_gradient(
                model.loss_and_gradients(self.X.double(), self.Y, 0.3, loss)
            )
            expected = gradients_of(w, self.X, self.Y, 0.3, loss)
            check.close(gradients, expected, rtol=0, atol=1e-9, what="gradients")


def operands(dtype=torch.float32):
    """Images (2, 3, 6, 7), weights (4, 3, 2, 3) and a bias (4,)."""
    return [
        torch.randn(shape, dtype=dtype) for shape in ((2, 3, 6, 7), (4, 3, 2, 3), (4,))
    ]


def doubled(*tensors):
    return [tensor.double() for tensor in tensors]


@st.composite
def images_and_kernels(draw):
    image = draw(st.tuples(st.integers(3, 8), st.integers(3, 8)))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return image, kernel, draw(st.integers(1, 3)), draw(st.integers(0, 2))


@pytest.mark.stretch
class TestConv2d:
    def test_a_row_by_hand(self, kata):
        """The kernel [1, 10] slides over [1, 2, 3, 4]: 1·1 + 10·2 = 21, then 32,
        then 43. It is not flipped, as it would be in the convolution of mathematics.
        """
        x, weight = torch.tensor([[[[1.0, 2, 3, 4]]]]), torch.tensor([[[[1.0, 10]]]])
        unlike = {"the kernel flipped": torch.tensor([[[[12.0, 23, 34]]]])}
        check.close(
            kata.conv2d(x, weight), torch.tensor([[[[21.0, 32, 43]]]]), unlike=unlike
        )

    def test_windows_of_all_channels_times_weights(self, kata):
        """A kernel has weights for each channel, and its output is the sum over
        channels, rows and columns of the window. Each of the O kernels makes one map,
        and gets its own bias.
        """
        x, weight, bias = operands()
        args = doubled(x, weight, bias)
        plain = F.conv2d(*args[:2])
        unlike = {
            "the kernel flipped": F.conv2d(args[0], args[1].flip(2, 3), args[2]),
            "the bias left out": plain,
            "the first channel alone": F.conv2d(
                args[0][:, :1], args[1][:, :1], args[2]
            ),
            "the bias added for each channel of x": plain + 3 * args[2][:, None, None],
        }
        check.close(
            kata.conv2d(x, weight, bias), plain + args[2][:, None, None], unlike=unlike
        )
        check.close(kata.conv2d(x, weight), plain, what="the result without a bias")

    def test_stride_and_padding(self, kata):
        """Padding puts zeros on all four sides, then every stride-th window counts,
        down and across.
        """
        x, weight, bias = operands()
        args = doubled(x, weight, bias)
        unlike = {
            "no padding": F.conv2d(*args, 2),
            "no stride": F.conv2d(*args, 1, 1),
            "padding on one side only": F.conv2d(
                F.pad(args[0], (1, 0, 1, 0)), *args[1:], 2
            ),
            "the stride in one direction only": F.conv2d(*args, (2, 1), 1),
        }
        check.close(
            kata.conv2d(x, weight, bias, 2, 1), F.conv2d(*args, 2, 1), unlike=unlike
        )

    @given(case=images_and_kernels())
    def test_any_kernel_on_any_image(self, kata, case):
        """Whatever the sizes of image and kernel, stride and padding are, the result is
        that of `F.conv2d`.
        """
        image, kernel, stride, padding = case
        x, weight = torch.randn(2, 2, *image), torch.randn(3, 2, *kernel)
        got = kata.conv2d(x, weight, None, stride, padding)
        check.close(got, F.conv2d(*doubled(x, weight), None, stride, padding))

    def test_gradients_are_those_of_torch(self, kata):
        """A pixel is part of several windows, and a weight is used in all of them:
        their gradients are sums. Autograd finds them if all steps are
        tensor operations.
        """
        check.gradients(
            lambda x, weight, bias: kata.conv2d(x, weight, bias, 2, 1),
            lambda x, weight, bias: F.conv2d(*doubled(x, weight, bias), 2, 1),
            *operands(),
        )

    def test_written_without_the_finished_convolution(self, kata):
        """Write the convolution yourself: calling a finished one, or `F.unfold`, would
        be the whole exercise.
        """
        x, weight, bias = operands()
        with check.forbidden(kata, *CONVOLUTIONS):
            kata.conv2d(x, weight, bias, 2, 1)

    @pytest.mark.edge
    def test_x_may_be_non_contiguous_and_is_not_written_to(self, kata):
        """Images from a file are often (B, H, W, C), and arrive permuted."""
        x, weight, bias = operands()
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        with check.unchanged(x=x, weight=weight, bias=bias):
            got = kata.conv2d(x, weight, bias, 1, 1)
        check.close(got, F.conv2d(*doubled(x, weight, bias), 1, 1))

    @pytest.mark.edge
    def test_float64_keeps_its_precision(self, kata):
        """Zeros for the padding and sums on the way have the dtype of x."""
        args = operands(torch.float64)
        got = kata.conv2d(*args, 1, 1)
        check.dtype(got, torch.float64)
        check.close(got, F.conv2d(*args, 1, 1), rtol=0, atol=1e-9)


POOLS = ["max_pool2d", "max_pool2d_with_indices", "adaptive_max_pool2d", "max_unpool2d"]
POOLS = [f"torch.nn.functional.{name}" for name in POOLS] + [
    "torch.max_pool2d",
    "torch.nn.MaxPool2d",
]


def pooled_by_torch(x, size, upstream):
    """What PyTorch's own layer gives, with the gradient from autograd, in float64."""
    leaf = x.detach().double().requires_grad_()
    pooled = F.max_pool2d(leaf, size)
    return pooled.detach(), torch.autograd.grad((pooled * upstream).sum(), leaf)[0]


@pytest.mark.stretch
class TestMaxPool2d:
    def operands(self, size=2, dtype=torch.float32):
        """Images (2, 3, 2 windows, 4 windows) and an upstream gradient for them."""
        x = torch.randn(2, 3, 2 * size, 4 * size, dtype=dtype)
        return x, size, torch.randn(2, 3, 2, 4, dtype=dtype)

    def test_each_window_keeps_its_largest_value(self, kata):
        """Windows lie side by side. Each of them gives one number, and each channel is
        pooled by itself.
        """
        args = self.operands(3)
        expected, _ = pooled_by_torch(*args)
        unlike = {"the mean of each window": F.avg_pool2d(args[0].double(), 3)}
        pooled, _ = kata.max_pool2d(*args)
        check.close(pooled, expected, unlike=unlike, what="the pooled values")

    def test_the_largest_value_gets_the_gradient(self, kata):
        """A small change of any other value changes nothing, so its gradient is 0. The
        largest one hands its change on unchanged.
        """
        x, size, upstream = self.operands(3)
        _, expected = pooled_by_torch(x, size, upstream)
        spread = (
            upstream.repeat_interleave(size, dim=2)
            .repeat_interleave(size, dim=3)
            .double()
        )
        unlike = {
            "the gradient shared evenly, as a mean would": spread / size**2,
            "the whole gradient for every value of the window": spread,
            "1 in place of the upstream gradient": (expected != 0).double(),
            "the largest values, not their gradients": x.double() * (expected != 0),
        }
        _, gradient = kata.max_pool2d(x, size, upstream)
        check.close(gradient, expected, unlike=unlike, what="the gradient")

    @given(case=st.tuples(*[st.integers(1, 4)] * 4))
    def test_any_image(self, kata, case):
        """Whatever the sizes of image and window are, both results are those
        of PyTorch.
        """
        channels, high, wide, size = case
        x, upstream = (
            torch.randn(2, channels, high * size, wide * size),
            torch.randn(2, channels, high, wide),
        )
        check.close(
            kata.max_pool2d(x, size, upstream), pooled_by_torch(x, size, upstream)
        )

    def test_written_by_hand(self, kata):
        """Neither a finished max pool nor autograd is called."""
        with check.forbidden(kata, *POOLS, *AUTOGRAD):
            kata.max_pool2d(*self.operands())

    @pytest.mark.edge
    def test_of_equal_values_the_first_gets_the_gradient(self, kata):
        """After a relu many windows hold zeros only. One of them gets the gradient: the
        first in reading order.
        """
        _, size, upstream = self.operands()
        _, gradient = kata.max_pool2d(torch.zeros(2, 3, 4, 8), size, upstream)
        expected = torch.zeros(2, 3, 4, 8)
        expected[:, :, ::2, ::2] = upstream
        check.close(gradient, expected, what="the gradient")

    @pytest.mark.edge
    def test_float64_is_kept_and_nothing_is_written_to(self, kata):
        """The results have the dtype of x. The caller may need x and upstream again."""
        x, size, upstream = self.operands(dtype=torch.float64)
        with check.unchanged(x=x, upstream=upstream):
            pooled, gradient = kata.max_pool2d(x, size, upstream)
        check.dtype(pooled, torch.float64, what="the pooled values")
        check.close(
            gradient,
            pooled_by_torch(x, size, upstream)[1],
            rtol=0,
            atol=1e-12,
            what="the gradient",
        )


def bar_scores(w, x, pool, act=torch.relu):
    """The scores of a BarNet from its parameters by name, in float64."""
    maps = act(
        F.conv2d(
            x.double(),
            w["conv.weight"],
            w["conv.bias"],
            padding=w["conv.weight"].shape[-1] // 2,
        )
    )
    return F.linear(pool(maps), w["output.weight"], w["output.bias"])


def strongest(maps):
    return maps.flatten(2).max(dim=2).values


@pytest.mark.stretch
class TestBarNet:
    def net(self, kata, kernel_size=3):
        """A BarNet of 4 channels, two of which see too little for their relu."""
        model = kata.BarNet(4, 5, kernel_size)
        with torch.no_grad():
            model.conv.bias.copy_(torch.tensor([0.1, -3.0, 0.2, -3.0]))
        return model, {
            name: p.detach().double() for name, p in model.named_parameters()
        }

    def test_has_one_convolution_and_one_linear_layer(self, kata):
        """The linear layer reads one number per channel, so the size of the image is
        nowhere to be seen. With 8 channels that makes 107 numbers.
        """
        model = kata.BarNet(8)
        shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        expected = {
            "conv.weight": (8, 1, 3, 3),
            "conv.bias": (8,),
            "output.weight": (3, 8),
            "output.bias": (3,),
        }
        check.equal(shapes, expected, what="shapes of the parameters")
        shape = tuple(kata.BarNet(2, 4, 5).conv.weight.shape)
        check.equal(shape, (2, 1, 5, 5), what="shape of conv.weight for kernel_size=5")

    @pytest.mark.parametrize("size", [(8, 8), (11, 7)], ids=str)
    def test_scores_come_from_the_strongest_response_of_each_channel(self, kata, size):
        """Convolution, relu, maximum over all positions, linear layer. Images may have
        any size.
        """
        model, w = self.net(kata)
        x = torch.randn(3, 1, *size)
        unlike = {
            "the mean over positions": bar_scores(
                w, x, lambda maps: maps.mean(dim=(2, 3))
            ),
            "the sum over positions": bar_scores(
                w, x, lambda maps: maps.sum(dim=(2, 3))
            ),
            "no relu": bar_scores(w, x, strongest, lambda maps: maps),
        }
        check.close(model(x), bar_scores(w, x, strongest), unlike=unlike, what="scores")

    def test_the_border_is_padded(self, kata):
        """With padding kernel_size // 2 every pixel is the centre of some window, also
        in a corner.
        """
        for kernel_size in (3, 5):
            model, w = self.net(kata, kernel_size)
            x = torch.zeros(2, 1, 7, 6)
            x[0, 0, 0, 0] = x[1, 0, -1, 2] = 20.0
            expected = bar_scores(w, x, strongest)
            check.close(
                model(x),
                expected,
                what=f"scores for a pixel at the border, kernel_size={kernel_size}",
            )

    def test_a_moved_bar_has_the_same_scores(self, kata):
        """The same windows come up in another place, and the maximum does not care
        where. A linear model has to learn each place on its own.
        """
        x = torch.zeros(2, 1, 9, 9)
        x[0, 0, 2, 1:5] = x[1, 0, 4, 3:7] = 1.0
        model, _ = self.net(kata)
        scores = model(x)
        check.close(scores[1], scores[0], what="scores after a move by two pixels")


class Small(nn.Module):
    """Images (B, 3, H, W) → scores (B, 4): a convolution, tanh, the mean over
    positions, a linear layer.
    """

    def __init__(self):
        super().__init__()
        self.conv, self.output = nn.Conv2d(3, 5, 3), nn.Linear(5, 4)
        nn.init.normal_(self.conv.weight)

    def forward(self, x):
        return self.output(self.conv(x).tanh().mean(dim=(2, 3)))


def slopes(f, x):
    """The gradient of f at x by autograd."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(f(x), x)[0]


@pytest.mark.stretch
class TestSaliencyMap:
    def test_of_a_linear_model_it_is_the_weights(self, kata):
        """A score w · x has the gradient w everywhere, so the map is |w| of the class
        asked about: whatever the image shows. Of several channels the largest counts,
        which leaves one map.
        """
        model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 3 * 4, 5))
        weights, y = (
            model[1].weight.detach().reshape(5, 2, 3, 4),
            torch.tensor([3, 0, 3]),
        )
        x = torch.randn(3, 2, 3, 4)

        def map_of(score):
            leaf = x.clone().requires_grad_()
            return torch.autograd.grad(score(model(leaf)), leaf)[0].abs().amax(dim=1)

        unlike = {
            "the gradient of the loss, not of the score": map_of(
                lambda scores: F.cross_entropy(scores, y)
            ),
            "the gradient of the probability": map_of(
                lambda scores: scores.softmax(dim=1)[range(3), y].sum()
            ),
            "no absolute value": weights[y].amax(dim=1),
            "the sum over the channels": weights[y].abs().sum(dim=1),
            "the mean over the channels": weights[y].abs().mean(dim=1),
            "the gradient of the sum of all scores": weights.sum(dim=0)
            .abs()
            .amax(dim=0)
            .expand(3, -1, -1),
            "the absolute value after the maximum": weights[y].amax(dim=1).abs(),
        }
        check.close(
            kata.saliency_map(model, x, y),
            weights[y].abs().amax(dim=1),
            unlike=unlike,
            what="saliency",
        )

    def test_it_is_the_gradient_of_the_score_image_by_image(self, kata):
        """Which pixels would move the score of class y? Not the loss, which also
        depends on the other scores, and not the highest score: y may be a class that
        the model does not choose.
        """
        model, x, y = Small(), torch.randn(3, 3, 6, 5), torch.tensor([3, 0, 2])
        scores = model(x).detach()
        y[0] = scores[0].argmin()
        expected = torch.stack(
            [slopes(lambda t, b=b: model(t[None])[0, y[b]], x[b]) for b in range(3)]
        )
        others = {
            "the gradient of the loss": slopes(
                lambda t: F.cross_entropy(model(t), y, reduction="sum"), x
            ),
            "the gradient of the mean loss": slopes(
                lambda t: F.cross_entropy(model(t), y), x
            ),
            "the gradient of the highest score": slopes(
                lambda t: model(t).amax(dim=1).sum(), x
            ),
            "the gradient of the sum of all scores": slopes(
                lambda t: model(t).sum(), x
            ),
            "the gradient of the probability": slopes(
                lambda t: model(t).softmax(1)[range(3), y].sum(), x
            ),
            "the gradient of the mean score: divided by B": expected / 3,
        }
        unlike = {name: gradient.abs().amax(dim=1) for name, gradient in others.items()}
        got = kata.saliency_map(model, x.clone(), y)
        check.close(got, expected.abs().amax(dim=1), unlike=unlike, what="saliency")

    def test_a_maximum_looks_at_one_window(self, kata):
        """Four channels, each with its maximum in one window of 9 pixels: at most 36 of
        the 99 pixels can matter.
        """
        conv, output = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(4, 3)
        model = nn.Sequential(
            conv, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), output
        )
        saliency = kata.saliency_map(
            model, torch.randn(2, 1, 11, 9), torch.tensor([1, 2])
        )
        check.shape(saliency, (2, 11, 9), what="saliency")
        counts = (saliency != 0).sum(dim=(1, 2)).tolist()
        check.that(
            all(0 < count <= 36 for count in counts),
            f"{counts} pixels are not 0, expected 1 to 36",
        )

    @pytest.mark.edge
    def test_the_model_runs_in_eval_mode_and_keeps_its_modes(self, kata):
        """Dropout would make holes in the map. Afterwards each module is in the mode it
        had, also a frozen one in a model that trains.
        """
        model = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 4), nn.BatchNorm1d(4)
        ).train()
        model[3].eval()
        x, y = torch.randn(2, 1, 3, 4), torch.tensor([1, 3])
        got = kata.saliency_map(model, x.clone(), y)
        check.equal(
            [part.training for part in model.modules()],
            [True, True, True, True, False],
            what="modes",
        )
        exact = copy.deepcopy(model).eval()
        expected = slopes(lambda t: exact(t)[range(2), y].sum(), x).abs().amax(dim=1)
        check.close(got, expected, what="saliency")

    @pytest.mark.edge
    def test_nothing_is_left_behind(self, kata):
        """No `.grad` in x or in a parameter, if there was none, and the same as before,
        if there was one: the map may be drawn in the middle of training.
        """
        model, x, y = Small(), torch.randn(2, 3, 5, 6), torch.tensor([1, 2])
        model.output.weight.grad = torch.full((4, 5), 7.0)
        with check.unchanged(
            x=x, **{name.replace(".", "_"): p for name, p in model.named_parameters()}
        ):
            kata.saliency_map(model, x, y)


class Witness(nn.Module):
    """One linear layer from 3 to 4. It keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.read, self.modes = [], []

    def forward(self, x):
        self.read.append(x.detach().clone())
        self.modes.append(self.training)
        return self.linear(x)


def rows(count):
    """Rows that tell their number in their first entry, times 10, and their classes:
    row i has class i·i mod 4.
    """
    number = torch.arange(count)
    return torch.stack(
        [number / 10, number.float().sin(), number.float().cos()], dim=1
    ), labels(number)


def labels(number):
    return number**2 % 4


def numbers(x):
    """The numbers of these rows."""
    return (x[:, 0] * 10).round().long()


@functools.cache
def shares(kata, task):
    """The accuracy on fresh data of the net and of a linear model, after training on
    "spirals" or "bars".
    """
    generator = torch.Generator().manual_seed(1)
    if task == "spirals":
        (x, y), fresh = (kata.make_spirals(100, generator=generator) for _ in range(2))
    else:
        (x, y), fresh = (
            kata.make_bars(count, generator=generator) for count in (600, 1000)
        )
    found = []
    for name in ("net", "linear"):
        torch.manual_seed(1)
        if task == "spirals":
            model = kata.TwoLayerNet(2, 64, 3) if name == "net" else nn.Linear(2, 3)
            options = (
                {"steps": 400, "lr": 0.02}
                if name == "net"
                else {"steps": 200, "lr": 0.1}
            )
        else:
            model = (
                kata.BarNet(8)
                if name == "net"
                else nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
            )
            options = {
                "steps": 200,
                "lr": 0.02,
                "batch_size": 64,
                "generator": generator,
            }
        kata.train_classifier(model, x, y, **options)
        found.append(kata.accuracy(model, *fresh))
    return found


@pytest.mark.stretch
class TestTrainClassifier(training.Contract):
    """Steps of Adam on drawn batches, or on all rows."""

    model, lr, default_lr = Witness, 0.02, 1e-3

    def train(self, kata, model, **options):
        return kata.train_classifier(model, *rows(30), batch_size=8, **options)

    def loss(self, model, x):
        return F.cross_entropy(model(x), labels(numbers(x)))

    def wrong_losses(self, model, x):
        return {
            "the sum over the rows": len(x) * self.loss(model, x),
            "the classes of other rows": F.cross_entropy(
                model(x), labels(torch.arange(len(x)))
            ),
        }

    def test_without_a_batch_size_every_step_reads_all_rows(self, kata):
        """That is gradient descent on the whole set. Nothing is drawn, so the losses
        are those of three steps by hand.
        """
        model = Witness()
        fresh, all_rows = copy.deepcopy(model), rows(7)[0]
        losses = kata.train_classifier(model, *rows(7), steps=3, lr=0.1)
        read = [numbers(x).sort().values.tolist() for x in model.read]
        check.equal(
            read, [list(range(7))] * 3, what="the rows that the model read in 3 steps"
        )
        by_hand = self.by_hand(fresh, [all_rows] * 4, lr=0.1)[0]
        expected, later = by_hand[:3], by_hand[1:]
        unlike = {
            "the losses after each update": later,
            "the sum over the rows": [7 * loss for loss in expected],
        }
        check.close(
            losses, expected, rtol=1e-3, unlike=unlike, what="the losses of 3 steps"
        )

    def test_batches_are_drawn_with_replacement(self, kata):
        """Each row of a batch is drawn from all rows. Of 40 draws from 30 rows at least
        two are the same, and every step draws anew.
        """
        model = Witness()
        kata.train_classifier(model, *rows(30), steps=4, lr=0.1, batch_size=40)
        check.equal(
            [len(x) for x in model.read],
            [40] * 4,
            what="rows that the model read per step",
        )
        seen = [numbers(x).tolist() for x in model.read]
        check.that(
            seen[0] != seen[1], "steps 0 and 1 read the same rows: draw per step"
        )
        met = len(set(sum(seen, [])))
        check.that(
            met > 24,
            f"160 draws meet {met} of the 30 rows, expected nearly all of them",
        )

    @pytest.mark.timeout(60)
    def test_one_hidden_layer_learns_the_spirals(self, kata):
        """The key result of the notes: a linear model cannot separate spirals (below
        65 % on fresh points), 64 hidden units can (above 93 %).
        """
        hidden, linear = shares(kata, "spirals")
        check.that(
            linear < 0.65,
            f"a linear model is right on {linear:.1%} of fresh points, expected < 65 %",
        )
        check.that(
            hidden > 0.93,
            f"TwoLayerNet is right on {hidden:.1%} of fresh points, expected > 93 %",
        )

    @pytest.mark.timeout(60)
    def test_one_convolution_finds_the_bars(self, kata):
        """A BarNet of 107 numbers is right on more than 95 % of fresh images, at least
        20 points above a linear model of 195.
        """
        bars, linear = shares(kata, "bars")
        check.that(
            bars > 0.95,
            f"BarNet is right on {bars:.1%} of fresh images, expected > 95 %",
        )
        check.that(
            bars >= linear + 0.2,
            f"BarNet {bars:.1%}, linear {linear:.1%}: expected 20 points more",
        )
