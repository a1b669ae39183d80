"""Specs of kata papers/21: paths and labels, the CTC loss three times, decoding, a
frame classifier, and training.
"""

import copy
import functools
import itertools
import math
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

READY_MADE = ["torch.nn.functional.ctc_loss", "torch.ctc_loss"]


def merged(path, blank=0):
    """The labels of a path: each class that is not the blank, and not the one of the
    frame before.
    """
    pairs = zip([blank, *path], path, strict=False)
    return [now for before, now in pairs if now not in (before, blank)]


@st.composite
def labels_and_paths(draw):
    """Labels, a blank, and a path that stands for them: each label held, blanks between
    at will or where needed.
    """
    blank = draw(st.integers(0, 3))
    labels = draw(st.lists(st.integers(0, 3).filter(lambda c: c != blank), max_size=5))
    path = [blank] * draw(st.integers(0, 2))
    for k, label in enumerate(labels):
        again = labels[k + 1 : k + 2] == [label]
        path += [label] * draw(st.integers(1, 3)) + [blank] * draw(
            st.integers(int(again), 2)
        )
    return labels, path, blank


class TestCollapse:
    def test_runs_are_merged_before_blanks_are_dropped(self, kata):
        """Merge first: the blank in 1 1 0 1 keeps the 1s apart, so the labels are 1 1.
        With blanks dropped first, all three 1s would be one run.
        """
        for path, labels, dropped_first in (
            ([1, 1, 0, 1], [1, 1], [1]),
            ([1, 2, 2, 0, 2, 1], [1, 2, 2, 1], [1, 2, 1]),
            ([0, 3, 3, 0], [3], [3]),
        ):
            unlike = {
                "blanks dropped before runs are merged": dropped_first,
                "runs that were not merged": [c for c in path if c],
                "blanks that were not dropped": [c for c, _ in itertools.groupby(path)],
                "each class once": sorted(set(labels)),
            }
            check.equal(
                kata.collapse(path), labels, unlike=unlike, what=f"the labels of {path}"
            )

    def test_blanks_alone_have_no_labels(self, kata):
        """Silence says nothing: an empty list. So does a path without frames."""
        check.equal(kata.collapse([0, 0]), [], what="the labels of [0, 0]")
        check.equal(kata.collapse([]), [], what="the labels of []")

    def test_the_blank_may_be_another_class(self, kata):
        """With blank=2, class 0 is a label like any other."""
        unlike = {"class 0 taken for the blank": [2, 1], "all but the 0s": [2, 2, 1]}
        check.equal(
            kata.collapse([2, 0, 0, 2, 0, 1], blank=2), [0, 0, 1], unlike=unlike
        )

    @given(case=labels_and_paths())
    def test_undoes_holding_labels_and_adding_blanks(self, kata, case):
        """However long each label is held and wherever blanks are added, the labels
        come back, as long as equal neighbours have a blank between.
        """
        labels, path, blank = case
        check.equal(
            kata.collapse(path, blank),
            labels,
            what=f"the labels of {path} with blank={blank}",
        )


def frames(num_frames, num_classes=3, seed=0, **options):
    """Random log-probabilities (T, C)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(
        num_frames, num_classes, generator=generator, **options
    ).log_softmax(dim=1)


def by_definition(log_probs, target, blank=0, best=False):
    """Minus the log of the summed probability (or of the largest one) of all paths that
    stand for the target.
    """
    probs = log_probs.double().exp()
    paths = itertools.product(range(probs.shape[1]), repeat=len(probs))
    found = [
        probs[range(len(probs)), path].prod()
        for path in paths
        if merged(path, blank) == list(target)
    ]
    if not found:
        return torch.tensor(math.inf, dtype=torch.float64)
    return -torch.stack(found).max().log() if best else -torch.stack(found).sum().log()


def recursion(log_probs, target, blank=0, *, starts=2, ends=2, skip="unequal"):
    """The forward recursion on probabilities in float64, with the slips that
    people make.

    starts, ends: how many states a path may start and end in. skip: when a path may
    jump over a state.
    """
    probs = log_probs.detach().double().exp().tolist()
    states = [blank]
    for label in target:
        states += [label, blank]
    alpha = [probs[0][c] if s < starts else 0.0 for s, c in enumerate(states)]
    for row in probs[1:]:
        before = [0.0, 0.0, *alpha]
        alpha = []
        for s, c in enumerate(states):
            label = s >= 2 and c != blank
            may = {
                "never": False,
                "labels": label,
                "unequal": label and c != states[s - 2],
                "any": True,
            }[skip]
            alpha.append((before[s + 2] + before[s + 1] + may * before[s]) * row[c])
    total = sum(alpha[-ends:])
    return torch.tensor(-math.log(total) if total > 0 else math.inf)


def slips(log_probs, target, blank=0):
    """By name, what some slips lead to."""
    total = recursion(log_probs, target, blank)
    return {
        "a skip over the blank between equal labels, too": recursion(
            log_probs, target, blank, skip="labels"
        ),
        "a skip from blank to blank, too": recursion(
            log_probs, target, blank, skip="any"
        ),
        "no skips at all": recursion(log_probs, target, blank, skip="never"),
        "the last state only: paths have to end with a blank": recursion(
            log_probs, target, blank, ends=1
        ),
        "paths that have to start with a blank": recursion(
            log_probs, target, blank, starts=1
        ),
        "paths that start in any state": recursion(log_probs, target, blank, starts=99),
        "the first frame counted twice": recursion(
            torch.cat([log_probs[:1], log_probs]), target, blank
        ),
        "the best path alone": by_definition(log_probs, target, blank, best=True),
        "the sign flipped": -total,
        "the probability, without its logarithm": (-total).exp(),
    }


COIN = torch.tensor([[0.4, 0.6], [0.3, 0.7]]).log()  # two frames, a blank and one label
COIN_LOSS = torch.tensor(-math.log(0.88))
COIN_SLIPS = {
    "the best path alone": torch.tensor(-math.log(0.42)),
    "paths that have to start with a blank": torch.tensor(-math.log(0.28)),
    "the last state only: paths have to end with a blank": torch.tensor(
        -math.log(0.18)
    ),
    "the path of two blanks counted, too: it stands for no label": torch.tensor(0.0),
    "the path 1 1 forgotten": torch.tensor(-math.log(0.46)),
    "the last label's state only: no path may end with a blank": torch.tensor(
        -math.log(0.7)
    ),
    "the first frame counted twice": recursion(torch.cat([COIN[:1], COIN]), [1]),
    "the logarithms of the three probabilities summed": torch.tensor(
        -math.log(0.28 * 0.18 * 0.42)
    ),
    "the sign flipped": torch.tensor(math.log(0.88)),
    "the probability, without its logarithm": torch.tensor(0.88),
}
# target, blank
CASES = [
    ([2], 0),
    ([1, 2], 0),
    ([2, 1], 0),
    ([1, 1], 0),
    ([0], 2),
    ([0, 1], 2),
    ([1, 1], 2),
]


def compared(loss, target, blank=0, num_frames=5):
    """Check one loss against its definition."""
    log_probs = frames(num_frames)
    unlike = slips(log_probs, target, blank)
    if blank:
        unlike["class 0 taken for the blank"] = recursion(log_probs, target, 0)
    expected = by_definition(log_probs, target, blank)
    unlike = {
        name: wrong
        for name, wrong in unlike.items()
        if not torch.isclose(wrong.double(), expected, rtol=1e-3)
    }
    check.close(
        loss(log_probs, target, blank),
        expected,
        unlike=unlike,
        what=f"target {target}, blank={blank}: loss",
    )


@pytest.mark.stretch
class TestCtcBruteForce:
    def test_two_frames_by_hand(self, kata):
        """Three paths stand for [1]: blank 1, 1 blank and 1 1. Their probabilities are
        0.4·0.7 + 0.6·0.3 + 0.6·0.7 = 0.88. The loss is a scalar tensor, −log 0.88.
        """
        check.close(kata.ctc_brute_force(COIN, [1]), COIN_LOSS, unlike=COIN_SLIPS)

    @pytest.mark.parametrize("target", [[2], [1, 2], [1, 1]])
    def test_equals_the_loss_of_pytorch(self, kata, target):
        """`F.ctc_loss` computes the same number. (It takes a sum here: its default mean
        divides by the length of the target.)
        """
        log_probs = frames(5)
        sizes = torch.tensor(5), torch.tensor(len(target))
        expected = F.ctc_loss(
            log_probs.double(), torch.tensor(target), *sizes, reduction="sum"
        )
        check.close(
            kata.ctc_brute_force(log_probs, target),
            expected,
            unlike=slips(log_probs, target),
        )

    def test_the_blank_may_be_another_class(self, kata):
        """With blank=2, the target [0, 1] has two labels."""
        compared(kata.ctc_brute_force, [0, 1], 2)

    def test_is_written_without_the_ready_made_one(self, kata):
        """Going through all paths is the exercise: the slow definition is what faster
        ways are judged by.
        """
        with check.forbidden(kata, *READY_MADE):
            kata.ctc_brute_force(frames(3), [1])

    @pytest.mark.edge
    def test_the_empty_target_is_the_path_of_blanks(self, kata):
        """Only one path collapses to nothing."""
        log_probs = frames(5)
        check.close(kata.ctc_brute_force(log_probs, []), -log_probs[:, 0].sum())

    @pytest.mark.edge
    def test_a_target_that_no_path_stands_for_has_an_infinite_loss(self, kata):
        """[1, 1] needs three frames. In two it has the probability 0, and −log 0
        is inf.
        """
        check.close(
            kata.ctc_brute_force(frames(2), [1, 1]),
            torch.tensor(math.inf),
            finite=False,
        )


def gradient(loss, logits, target):
    """The gradient of a loss on log_softmax of free logits."""
    logits = logits.detach().clone().requires_grad_()
    value = loss(logits.log_softmax(dim=1), target)
    check.that(
        value.requires_grad,
        "the loss has no autograd graph: nothing can be learned from it",
    )
    (found,) = torch.autograd.grad(value, logits)
    return found


NAN = (
    "with −inf for what is impossible, log(exp(−inf) + exp(−inf)) is −inf as it should "
    "be, but its derivative is "
    "exp(−inf − (−inf)), which is NaN, and NaN · 0 stays NaN. −1e30 in place of −inf "
    "has the same effect without that"
)


class TestCtcForward:
    def test_two_frames_by_hand(self, kata):
        """Three paths stand for [1]: blank 1, 1 blank and 1 1. A path may start with
        the blank or the label, and end with either. Their probabilities are
        0.4·0.7 + 0.6·0.3 + 0.6·0.7 = 0.88, and the loss is a scalar, −log 0.88.
        """
        check.close(kata.ctc_forward(COIN, [1]), COIN_LOSS, unlike=COIN_SLIPS)

    @pytest.mark.parametrize(("target", "blank"), CASES)
    def test_equals_the_sum_over_all_paths(self, kata, target, blank):
        """The oracle multiplies the probabilities of each of the 3^5 paths that stand
        for the target, and adds them up. The recursion comes to the same number, with
        the blank in any class.
        """
        compared(kata.ctc_forward, target, blank)

    def test_equal_neighbours_need_a_blank_between(self, kata):
        """In three frames, one path stands for [1, 1]: 1 blank 1. From the first 1 no
        path may jump over the blank to the second one: that would be 1 1 without a
        blank, which is read as a single 1.
        """
        log_probs = frames(3)
        unlike = {
            "a skip over the blank between equal labels, too": recursion(
                log_probs, [1, 1], skip="labels"
            )
        }
        expected = -(log_probs[0, 1] + log_probs[1, 0] + log_probs[2, 1])
        check.close(kata.ctc_forward(log_probs, [1, 1]), expected, unlike=unlike)

    def test_all_targets_together_have_the_probability_one(self, kata):
        """Each path of three frames stands for exactly one target. So the probabilities
        of all targets that fit, and of the path of blanks, sum to 1: no path is lost,
        and none is counted twice.
        """
        log_probs = frames(3)
        targets = [[1], [2], [1, 1], [1, 2], [2, 1], [2, 2], [1, 2, 1], [2, 1, 2]]
        total = sum(
            math.exp(-kata.ctc_forward(log_probs, target)) for target in targets
        )
        check.close(
            total + log_probs[:, 0].sum().exp().item(),
            1.0,
            rtol=1e-4,
            what="the sum of all probabilities",
        )

    def test_200_frames_at_minus_50_stay_finite(self, kata):
        """exp(−50) is 2e-22, and two such factors are 0 in float32. So probabilities
        are added in log space, with logsumexp or logaddexp, and never multiplied.
        """
        log_probs = torch.full((200, 3), -50.0)
        sizes = torch.tensor(200), torch.tensor(2)
        expected = F.ctc_loss(
            log_probs.double(), torch.tensor([1, 2]), *sizes, reduction="sum"
        )
        got = kata.ctc_forward(log_probs, [1, 2])
        check.finite(got, what="the loss of 200 frames at −50")
        check.close(got, expected, rtol=1e-4, what="the loss of 200 frames at −50")

    @pytest.mark.parametrize("target", [[2], [1, 2], [1, 1, 2]])
    def test_gradients_are_not_nan(self, kata, target):
        """A loss that is right can have a gradient that is not. The reason is in states
        that no path has reached.
        """
        got = gradient(kata.ctc_forward, torch.zeros(6, 3), target)
        count = int(got.isnan().sum())
        check.that(
            count == 0,
            f"{count} of {got.numel()} entries of the gradient are NaN: {NAN}",
        )

    @pytest.mark.parametrize("target", [[2], [1, 2], [1, 1, 2]])
    def test_gradients_equal_those_of_pytorch(self, kata, target):
        """Autograd goes back through the recursion. `F.ctc_loss` has a formula for the
        same gradient (section 4.2 of the paper). Both are taken at the logits,
        before log_softmax.
        """

        def ready_made(log_probs, labels):
            sizes = torch.tensor(6), torch.tensor(len(labels))
            return F.ctc_loss(log_probs, torch.tensor(labels), *sizes, reduction="sum")

        logits = torch.randn(6, 3)
        expected = gradient(ready_made, logits.double(), target)
        check.close(
            gradient(kata.ctc_forward, logits, target),
            expected,
            what="the gradient of the logits",
        )

    def test_is_written_without_the_ready_made_one(self, kata):
        """The recursion is the exercise."""
        with check.forbidden(kata, *READY_MADE):
            kata.ctc_forward(frames(4), [1, 2])

    @pytest.mark.edge
    def test_has_the_dtype_of_its_input_and_its_precision(self, kata):
        """float64 in, float64 out, right to nine digits. float32 stays float32."""
        check.dtype(kata.ctc_forward(frames(4), [1, 2]), torch.float32)
        log_probs = frames(5, dtype=torch.float64)
        got = kata.ctc_forward(log_probs, [1, 2])
        check.dtype(got, torch.float64)
        check.close(got, by_definition(log_probs, [1, 2]), rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_the_empty_target_is_the_path_of_blanks(self, kata):
        """There is one state, the blank. With this target, all probabilities sum
        to 1.
        """
        log_probs = frames(5)
        check.close(kata.ctc_forward(log_probs, []), -log_probs[:, 0].sum())
        check.close(
            kata.ctc_forward(log_probs[:1], []),
            -log_probs[0, 0],
            what="the loss of [] in one frame",
        )

    @pytest.mark.edge
    def test_a_target_that_does_not_fit_has_an_infinite_loss(self, kata):
        """[1, 1] needs three frames, [1, 2, 1, 2] four. The probability is 0, and −log
        0 is inf, not NaN or 1e30.
        """
        for num_frames, target in ((2, [1, 1]), (3, [1, 2, 1, 2]), (1, [1, 2])):
            got = kata.ctc_forward(frames(num_frames), target)
            check.close(
                got,
                torch.tensor(math.inf),
                what=f"the loss of {target} in {num_frames} frames",
                finite=False,
            )

    @pytest.mark.edge
    def test_a_blank_in_the_target_is_an_error(self, kata):
        """No path can stand for it. The recursion would run, and return a number."""
        for target, blank in (([1, 0, 2], 0), ([2], 2)):
            with check.raises(ValueError):
                kata.ctc_forward(frames(5), target, blank)

    @pytest.mark.edge
    def test_log_probs_may_hold_minus_infinity(self, kata):
        """A class that is ruled out has the log-probability −inf. The loss and its
        gradient have no NaN.
        """
        log_probs = frames(5)
        log_probs[:2, 2], log_probs[3, 0] = -math.inf, -math.inf
        expected = by_definition(log_probs, [1, 2])
        log_probs.requires_grad_()
        got = kata.ctc_forward(log_probs, [1, 2])
        check.close(got, expected)
        (found,) = torch.autograd.grad(got, log_probs)
        check.that(
            not found.isnan().any(),
            "the gradient has NaN where a log-probability is −inf",
        )


@pytest.mark.stretch
class TestCtcForwardNumpy:
    def loss(self, kata, log_probs, target, blank=0):
        """The result as a scalar tensor, once it is known to be a float."""
        got = kata.ctc_forward_numpy(log_probs.double().numpy(), target, blank)
        check.that(
            isinstance(got, float), f"expected a float, not {check.describe(got)}"
        )
        return torch.tensor(got, dtype=torch.float64)

    def test_two_frames_by_hand(self, kata):
        """Three paths stand for [1]: blank 1, 1 blank and 1 1. Their probabilities are
        0.4·0.7 + 0.6·0.3 + 0.6·0.7 = 0.88. The loss is a float, −log 0.88.
        """
        check.close(self.loss(kata, COIN, [1]), COIN_LOSS, unlike=COIN_SLIPS)

    @pytest.mark.parametrize(("target", "blank"), CASES)
    def test_equals_the_sum_over_all_paths(self, kata, target, blank):
        """The oracle multiplies the probabilities of each of the 3^5 paths that stand
        for the target, and adds them up.
        """
        compared(functools.partial(self.loss, kata), target, blank)

    def test_200_frames_at_minus_50_stay_finite(self, kata):
        """Even float64 ends at 1e-308. In log space the loss is near 200 · 50, and less
        by the logarithm of the number of paths.
        """
        log_probs = torch.full((200, 3), -50.0, dtype=torch.float64)
        sizes = torch.tensor(200), torch.tensor(2)
        expected = F.ctc_loss(log_probs, torch.tensor([1, 2]), *sizes, reduction="sum")
        check.close(
            self.loss(kata, log_probs, [1, 2]),
            expected,
            what="the loss of 200 frames at −50",
        )

    def test_is_written_without_the_ready_made_one(self, kata):
        """The same recursion, in NumPy alone."""
        with check.forbidden(kata, *READY_MADE):
            self.loss(kata, frames(4), [1, 2])

    @pytest.mark.edge
    def test_log_probs_may_hold_minus_infinity(self, kata):
        """A class that is ruled out has the log-probability −inf. Paths through it
        count for nothing.
        """
        log_probs = frames(5)
        log_probs[:2, 2], log_probs[3, 0] = -math.inf, -math.inf
        check.close(
            self.loss(kata, log_probs, [1, 2]), by_definition(log_probs, [1, 2])
        )

    @pytest.mark.edge
    def test_the_empty_target_and_one_that_does_not_fit(self, kata):
        """The empty target is the path of blanks. [1, 1] in two frames has the
        loss inf.
        """
        check.close(
            self.loss(kata, frames(5), []),
            by_definition(frames(5), []),
            what="the loss of []",
        )
        check.close(
            self.loss(kata, frames(2), [1, 1]),
            torch.tensor(math.inf),
            what="the loss of [1, 1] in 2 frames",
            finite=False,
        )

    @pytest.mark.edge
    def test_a_blank_in_the_target_is_an_error(self, kata):
        """No path can stand for it."""
        with check.raises(ValueError):
            kata.ctc_forward_numpy(frames(5).numpy(), [1, 0, 2])


def scored(paths, num_classes):
    """Log-probabilities (T, B, C) whose best classes are these B paths."""
    best = F.one_hot(torch.tensor(paths).T, num_classes).float()
    return (4 * best + torch.rand(best.shape)).log_softmax(dim=2)


class TestGreedyDecode:
    PATHS = ([0, 2, 2, 0, 2, 1], [3, 3, 0, 1, 1, 3], [0, 1, 2, 3, 0, 0])

    def test_each_utterance_has_its_own_labels(self, kata):
        """The best class of each frame, merged and without blanks, for each column b of
        (T, B, C): a list of B lists of ints.
        """
        frames = [merged(classes) for classes in zip(*self.PATHS, strict=True)]
        unlike = {
            "runs that were not merged": [[2, 2, 2, 1], [3, 3, 1, 1, 3], [1, 2, 3]],
            "best classes that were not collapsed": list(self.PATHS),
            "the last frame left out": [merged(path[:-1]) for path in self.PATHS],
            "rows of one frame taken for utterances": frames,
            "rows of the first three frames taken for utterances": frames[:3],
        }
        got = kata.greedy_decode(scored(self.PATHS, 4), torch.tensor([6, 6, 6]))
        check.equal(got, [[2, 2, 1], [3, 1, 3], [1, 2, 3]], unlike=unlike)

    def test_frames_past_the_length_are_ignored(self, kata):
        """Padding is not speech, even though the model has a best class there."""
        unlike = {"all T frames": [[2, 2, 1], [3, 1, 3], [1, 2, 3]]}
        got = kata.greedy_decode(scored(self.PATHS, 4), torch.tensor([5, 2, 1]))
        check.equal(got, [[2, 2], [3], []], unlike=unlike)

    def test_the_blank_may_be_another_class(self, kata):
        """With blank=3, class 0 is a label."""
        unlike = {"class 0 taken for the blank": [[2, 2, 1], [3, 1, 3], [1, 2, 3]]}
        got = kata.greedy_decode(
            scored(self.PATHS, 4), torch.tensor([6, 6, 6]), blank=3
        )
        check.equal(got, [[0, 2, 0, 2, 1], [0, 1], [0, 1, 2, 0]], unlike=unlike)

    @given(
        case=st.lists(
            st.tuples(
                st.lists(st.integers(0, 2), min_size=7, max_size=7), st.integers(1, 7)
            ),
            min_size=1,
        )
    )
    def test_any_batch(self, kata, case):
        """For any paths and lengths: the labels of the first frames of each path."""
        paths, lengths = zip(*case, strict=True)
        expected = [merged(path[:length]) for path, length in case]
        check.equal(
            kata.greedy_decode(scored(paths, 3), torch.tensor(lengths)), expected
        )


T, B, FEATURES, HIDDEN, C = 7, 3, 4, 6, 5


def classified(model, x):
    """The right output of a SpeechModel in float64, frame by frame, and by name those
    of some slips.
    """
    w = {name: parameter.double() for name, parameter in model.named_parameters()}
    padded = F.pad(x.double(), (0, 0, 0, 0, 2, 2))
    hidden = []
    for t in range(len(x)):
        near = padded[t : t + 5]  # (5, B, F): frame t in the middle
        hidden.append(
            torch.einsum("kbf,hfk->bh", near, w["conv.weight"]) + w["conv.bias"]
        )
    hidden = torch.stack(hidden)
    logits = F.linear(hidden.relu(), w["output.weight"], w["output.bias"])
    across = (
        F.conv1d(x.double().mT, w["conv.weight"], w["conv.bias"], padding=2).relu().mT
    )
    return {
        "right": logits.log_softmax(dim=2),
        "logits, without a log-softmax": logits,
        "probabilities: the logarithm is missing": logits.softmax(dim=2),
        "a softmax over time": logits.log_softmax(dim=0),
        "a softmax over the batch": logits.log_softmax(dim=1),
        "a convolution along the batch": F.linear(
            across, w["output.weight"], w["output.bias"]
        ).log_softmax(dim=2),
        "no relu": F.linear(hidden, w["output.weight"], w["output.bias"]).log_softmax(
            dim=2
        ),
    }


# slips after which the classes of a frame do not share the probability 1
NOT_PER_FRAME = (
    "logits, without a log-softmax",
    "probabilities: the logarithm is missing",
    "a softmax over time",
    "a softmax over the batch",
)


class TestSpeechModel:
    def test_its_parameters_are_a_convolution_and_a_linear_layer(self, kata):
        """The convolution has kernel 5. It makes H numbers from F per frame, and the
        linear layer C.
        """
        model = kata.SpeechModel(FEATURES, HIDDEN, C)
        got = {
            name: tuple(parameter.shape) for name, parameter in model.named_parameters()
        }
        expected = {
            "conv.weight": (HIDDEN, FEATURES, 5),
            "conv.bias": (HIDDEN,),
            "output.weight": (C, HIDDEN),
            "output.bias": (C,),
        }
        check.equal(got, expected, what="shapes of the parameters")

    def test_each_frame_has_probabilities_that_sum_to_one(self, kata):
        """(T, B, F) becomes (T, B, C): no frame is lost. The classes of one frame, the
        blank included, share the probability 1.
        """
        model, x = kata.SpeechModel(FEATURES, HIDDEN, C), torch.randn(T, B, FEATURES)
        with torch.no_grad():
            got, found = model(x), classified(model, x)
        check.shape(got, (T, B, C))
        unlike = {name: found[name].exp().sum(dim=2) for name in NOT_PER_FRAME}
        check.close(
            got.exp().sum(dim=2),
            torch.ones(T, B),
            unlike=unlike,
            what="the sum over the classes of each frame",
        )

    def test_each_frame_is_judged_by_five_frames(self, kata):
        """Convolution, ReLU, linear layer, log-softmax. Frame t sees the frames t − 2
        to t + 2 of its own utterance.
        """
        model, x = kata.SpeechModel(FEATURES, HIDDEN, C), torch.randn(T, B, FEATURES)
        with torch.no_grad():
            unlike = classified(model, x)
            check.close(model(x), unlike.pop("right"), unlike=unlike)

    def test_padding_frames_do_not_change_the_others(self, kata):
        """A convolution pads with zeros, and so does a batch: an utterance has the same
        result alone and beside longer ones.
        """
        model, x = kata.SpeechModel(FEATURES, HIDDEN, C), torch.randn(T, B, FEATURES)
        x[4:, 1] = 0.0
        with torch.no_grad():
            check.close(
                model(x)[:4, 1],
                model(x[:4, 1:2])[:, 0],
                what="the first 4 frames of an utterance",
            )

    def test_gradients_reach_all_parameters(self, kata):
        """Convolution and linear layer learn from every frame."""
        model, x = kata.SpeechModel(FEATURES, HIDDEN, C), torch.randn(T, B, FEATURES)
        weights = torch.linspace(-1, 2, T * B * C).reshape(T, B, C)
        parameters = dict(model.named_parameters())
        result = model(x)
        check.shape(result, (T, B, C))
        check.that(
            result.requires_grad,
            "the result has no autograd graph: nothing can be learned",
        )
        got = torch.autograd.grad(
            (result * weights).sum(), list(parameters.values()), allow_unused=True
        )
        right = torch.autograd.grad(
            (classified(model, x)["right"] * weights).sum(), list(parameters.values())
        )
        for name, mine, expected in zip(parameters, got, right, strict=True):
            check.that(mine is not None, f"no gradient reaches {name}")
            check.close(mine, expected, what=f"gradient of {name}")


class Frames(nn.Module):
    """Classifies each frame by itself, and keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 5)
        self.read, self.modes = [], []

    def forward(self, x):
        self.read.append(x.detach().clone())
        self.modes.append(self.training)
        return self.linear(x).log_softmax(dim=-1)


@contextmanager
def recorded(kata):
    """A list that fills with what `make_utterances` draws in the block."""
    drawn, draw = [], kata.make_utterances

    def recording(*arguments, **options):
        drawn.append(draw(*arguments, **options))
        return drawn[-1]

    with mock.patch.object(kata, "make_utterances", recording):
        yield drawn


def one_by_one(log_probs, lengths, targets):
    """The CTC loss of each utterance by itself, without its padding, as a list."""
    losses = []
    for b, (length, target) in enumerate(zip(lengths.tolist(), targets, strict=True)):
        sizes = torch.tensor(length), torch.tensor(len(target))
        losses.append(
            F.ctc_loss(
                log_probs[:length, b], torch.tensor(target), *sizes, reduction="sum"
            )
        )
    return losses


def averaged(log_probs, lengths, targets):
    """The default mean of F.ctc_loss: each loss per label of its target, then the mean
    over the batch.
    """
    losses = one_by_one(log_probs, lengths, targets)
    return sum(
        loss / len(target) for loss, target in zip(losses, targets, strict=True)
    ) / len(targets)


@functools.cache
def learned(kata):
    """A model trained for 200 steps: its last loss, and its label error rate on 100
    new utterances.
    """
    torch.manual_seed(1)
    model, generator = kata.SpeechModel(8, 32, 5), torch.Generator().manual_seed(1)
    losses = kata.train_ctc(model, steps=200, generator=generator)
    features, lengths, targets = kata.make_utterances(100, generator=generator)
    with torch.no_grad():
        best = model(features).argmax(dim=2)
    found = [
        merged(best[:length, b].tolist()) for b, length in enumerate(lengths.tolist())
    ]
    return losses[-1], kata.label_error_rate(found, targets)


class TestTrainCtc(training.Contract):
    """Steps of Adam on fresh utterances. What `make_utterances` draws is recorded, so
    that a spec knows the lengths.
    """

    model, lr, default_lr = Frames, 0.03, 1e-2

    def train(self, kata, model, **options):
        with recorded(kata) as model.drawn:
            return kata.train_ctc(model, batch_size=6, **options)

    def batches(self, model, steps):
        return model.drawn

    def loss(self, model, batch):
        features, lengths, targets = batch
        return averaged(model(features), lengths, targets)

    def wrong_losses(self, model, batch):
        features, lengths, targets = batch
        before, all_frames = model(features), torch.full_like(lengths, len(features))
        alone = torch.stack(one_by_one(before, lengths, targets))
        return {
            "padding scored: all T frames for each utterance": averaged(
                before, all_frames, targets
            ),
            "the sum over the batch": alone.sum(),
            "the mean over the batch, not divided by the lengths of the targets": (
                alone.mean()
            ),
            "targets in another order than the utterances": averaged(
                before, lengths, targets[::-1]
            ),
        }

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata):
        """For each utterance the CTC loss of its own frames, without padding, divided
        by the length of its target, then the mean, before the update. `F.ctc_loss` does
        that by default, if it gets (T, B, C), the frames of each utterance, and the
        labels of each target.
        """
        super().test_the_first_loss_is_that_of_the_fresh_model(kata)

    def test_one_fresh_batch_per_step(self, kata):
        """Each step draws `batch_size` new utterances and calls the model with their
        features (T, B, 8).
        """
        model = Frames()
        kata.train_ctc(model, steps=3, batch_size=6)
        check.equal(
            [x.shape[1] for x in model.read],
            [6, 6, 6],
            what="utterances that the model was called with",
        )
        check.equal(
            [x.shape[2] for x in model.read], [8, 8, 8], what="features per frame"
        )
        fresh = model.read[0].shape != model.read[1].shape or not torch.equal(
            *model.read[:2]
        )
        check.that(
            fresh, "steps 0 and 1 read the same utterances: draw new ones per step"
        )

    @pytest.mark.timeout(60)
    def test_labels_are_learned_without_an_alignment(self, kata):
        """The key result: nobody said in which frames a symbol is. After 200 steps the
        loss is below 0.3, and the best class of each frame gives new utterances with an
        error rate below 10 %.
        """
        loss, rate = learned(kata)
        check.that(
            loss < 0.3,
            f"the loss of the last step is {loss:.3f}, expected less than 0.3",
        )
        check.that(
            rate < 0.1, f"the label error rate is {rate:.3f}, expected less than 0.1"
        )
