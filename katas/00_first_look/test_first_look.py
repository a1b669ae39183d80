"""Specs of 00: the share read right, one step of learning, a position drawn
at random.
"""

from numbers import Integral, Real

import pytest
import torch
from torch import Tensor

from grader.specs import check


def number(result):
    """The returned number. A tensor that holds one number counts here: the last spec
    asks for Python's own.
    """
    return (
        result.item() if isinstance(result, Tensor) and result.numel() == 1 else result
    )


def positions(kata, probabilities, times):
    """The results of so many draws."""
    found = [number(drawn) for drawn in check.repeated(times, kata.draw, probabilities)]
    for drawn in found:
        whole = isinstance(drawn, Integral) and not isinstance(drawn, bool)
        check.that(
            whole, f"got {check.describe(drawn)}, expected a position: one whole number"
        )
    return [int(drawn) for drawn in found]


class TestAccuracy:
    def test_one_of_two_is_right(self, kata):
        """Each row has its largest score somewhere. That position is what the network
        reads, and it is right where it equals the label. `argmax(dim=1)` finds the
        position in every row.
        """
        scores, labels = (
            torch.tensor([[1.0, 7.0, 2.0], [5.0, 0.0, 3.0]]),
            torch.tensor([1, 2]),
        )
        unlike = {
            "all or nothing: True only if every one is right": False,
            "the number of right ones: divide by how many there are": 1,
            "percent": 50,
            (
                "the scores themselves compared with the labels, or other positions "
                "than those of the largest"
            ): 0,
        }
        check.close(number(kata.accuracy(scores, labels)), 0.5, unlike=unlike)

    def test_five_of_eight_are_right(self, kata):
        """The largest score of a row counts, however large it is: it may be negative,
        or less than another row's.
        """
        scores = torch.tensor(
            [
                *(
                    [0.2, 9.5, 0.1],
                    [0.7, 0.1, 0.2],
                    [-3.0, -2.0, -1.0],
                    [0.1, 0.4, 0.3],
                ),
                *(
                    [2.5, 0.5, 1.5],
                    [0.3, 0.6, 0.9],
                    [0.8, 0.7, 0.6],
                    [-0.5, -0.1, -0.9],
                ),
            ]
        )
        # the rows' largest scores are at 1 0 2 1 0 2 0 1
        labels = torch.tensor([1, 0, 2, 0, 0, 2, 2, 0])
        unlike = {
            "the number of right ones: divide by how many there are": 5,
            "percent": 62.5,
            "the share that is read wrong": 0.375,
            "the smallest score of each row instead of the largest": 0.25,
            "the largest score of all rows together: argmax needs dim=1": 0.125,
            (
                "the scores compared with the labels: argmax gives positions, max "
                "gives scores"
            ): 0.0,
            "rounded to a whole number": 1,
        }
        check.close(number(kata.accuracy(scores, labels)), 0.625, unlike=unlike)

    def test_all_right_or_none(self, kata):
        """The best share is 1 and the worst is 0."""
        scores = torch.eye(4)
        check.close(
            number(kata.accuracy(scores, torch.tensor([0, 1, 2, 3]))),
            1.0,
            what="all right",
            rtol=1e-6,
        )
        check.close(
            number(kata.accuracy(scores, torch.tensor([1, 2, 3, 0]))),
            0.0,
            what="none right",
        )

    def test_agrees_with_counting(self, kata):
        """Three hundred rows of ten scores, counted one by one."""
        scores, labels = torch.randn(300, 10), torch.randint(10, (300,))
        labels[:150] = scores[:150].argmax(dim=1)
        right = sum(
            row.index(max(row)) == label
            for row, label in zip(scores.tolist(), labels.tolist())
        )
        check.close(number(kata.accuracy(scores, labels)), right / 300, rtol=1e-4)

    def test_the_share_is_a_python_number(self, kata):
        """A tensor that holds one number is still a tensor. Its method `item()` takes
        the number out.
        """
        share = kata.accuracy(torch.eye(3), torch.tensor([0, 2, 2]))
        good = isinstance(share, Real) and not isinstance(share, bool)
        check.that(good, f"got {check.describe(share)}, expected a Python number")


class TestGradientStep:
    def test_one_step_against_the_gradient(self, kata):
        """The gradient says where the loss rises, so the step goes the other way. The
        learning rate makes it small.
        """
        weight, gradient = torch.tensor([3.0, 1.0]), torch.tensor([2.0, -4.0])
        unlike = {
            "a step along the gradient, which makes the loss rise": torch.tensor(
                [3.2, 0.6]
            ),
            "a step without the learning rate": torch.tensor([1.0, 5.0]),
            "the step alone: where it leads is weight minus step": torch.tensor(
                [0.2, -0.4]
            ),
            "the step alone, with its sign changed": torch.tensor([-0.2, 0.4]),
            "the mean of the gradient for every weight": torch.tensor([3.1, 1.1]),
            "the weights as they were": torch.tensor([3.0, 1.0]),
            "the gradient minus the step": torch.tensor([1.8, -3.6]),
            "the gradient divided by the learning rate": torch.tensor([-17.0, 41.0]),
            "(weight − learning_rate) · gradient: the product comes first": (
                torch.tensor([5.8, -3.6])
            ),
            "the learning rate subtracted, without the gradient": torch.tensor(
                [2.9, 0.9]
            ),
        }
        check.close(
            kata.gradient_step(weight, gradient, 0.1),
            torch.tensor([2.8, 1.4]),
            unlike=unlike,
        )

    def test_weights_of_any_shape(self, kata):
        """Every number moves by its own gradient: a table of weights stays a table."""
        weight, gradient = torch.randn(2, 3), torch.randn(2, 3)
        rows = zip(weight.double().tolist(), gradient.double().tolist())
        expected = torch.tensor(
            [[w - 0.25 * g for w, g in zip(*row)] for row in rows], dtype=torch.float64
        )
        check.close(kata.gradient_step(weight, gradient, 0.25), expected)

    def test_many_steps_lead_to_the_lowest_point(self, kata):
        """The loss (w − 3)² is lowest at w = 3, and its gradient is 2 · (w − 3). Each
        step with learning rate 0.1 takes a fifth of the way that is left, so forty
        steps from 0 end at 2.9996.
        """
        w = torch.tensor([0.0])
        for _ in range(40):
            w = kata.gradient_step(w, 2 * (w - 3), 0.1)
            check.shape(w, (1,), what="w after a step")
        check.close(
            w,
            torch.tensor([3 - 3 * 0.8**40], dtype=torch.float64),
            what="w after forty steps",
        )

    @pytest.mark.edge
    def test_the_weights_given_stay_as_they_were(self, kata):
        """`weight -= …` writes into the tensor that the caller still holds.
        `weight - …` makes a new one.
        """
        weight, gradient = torch.tensor([3.0, 1.0]), torch.tensor([2.0, -4.0])
        with check.unchanged(weight=weight, gradient=gradient):
            kata.gradient_step(weight, gradient, 0.1)


class TestDraw:
    def test_what_is_sure_always_comes(self, kata):
        """Position 2 has probability 1, and the others have 0: every draw is 2."""
        found = set(positions(kata, torch.tensor([0.0, 0.0, 1.0, 0.0]), 30))
        check.that(
            found == {2},
            f"drew {sorted(found)}, expected position 2 each "
            f"time{_counted_from_one(found)}",
        )

    def test_what_has_probability_0_never_comes(self, kata):
        """Positions 1 and 3 have probability 0, so no draw may give them."""
        found = set(positions(kata, torch.tensor([0.5, 0.0, 0.25, 0.0, 0.25]), 300))
        wrong = sorted(found - {0, 2, 4})
        check.that(not wrong, f"drew {wrong}, expected positions 0, 2 and 4 only")

    def test_the_draws_differ(self, kata):
        """Each call draws again. Two positions with one half each: among 200 draws both
        come up.
        """
        found = set(positions(kata, torch.tensor([0.5, 0.5]), 200))
        said = f"200 draws gave {sorted(found)}, expected positions 0 and 1: "
        check.that(
            found == {0, 1},
            said
            + (
                "looks like the largest probability was taken, or a seed is set in "
                "`draw`"
            ),
        )

    def test_two_thousand_draws_show_the_probabilities(self, kata):
        """Probability 13/16 means: in the long run, 13 draws of 16 give that position.
        Of two thousand draws, the share of each position is near its probability.
        """
        # their sum is exactly 1
        probabilities = torch.tensor([1 / 16, 13 / 16, 2 / 16])
        counts = torch.tensor(positions(kata, probabilities, 2000)).bincount(
            minlength=3
        )
        unlike = {
            "all positions equally likely: the probabilities are not used": torch.full(
                (3,), 1 / 3
            ),
            "softmax of the probabilities: they are shares already": (
                probabilities.softmax(dim=0)
            ),
            "the largest probability, always": torch.tensor([0.0, 1.0, 0.0]),
        }
        check.close(
            counts / 2000,
            probabilities,
            atol=0.06,
            what="the shares of the draws",
            unlike=unlike,
        )

    def test_the_position_is_a_python_int(self, kata):
        """A tensor that holds one number is still a tensor. Its method `item()` takes
        the number out.
        """
        drawn = kata.draw(torch.tensor([0.5, 0.5]))
        good = isinstance(drawn, int) and not isinstance(drawn, bool)
        check.that(good, f"got {check.describe(drawn)}, expected a Python int")


def _counted_from_one(found):
    return ": looks like counted from 1" if found == {3} else ""
