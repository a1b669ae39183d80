"""Specs of 20: regression losses, log-likelihoods, cross-entropy, its binary and
sequence forms, KL divergences.
"""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

READY_MADE = [
    f"torch.nn.functional.{name}"
    for name in (
        "mse_loss",
        "l1_loss",
        "huber_loss",
        "smooth_l1_loss",
        "nll_loss",
        "cross_entropy",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div",
    )
]
READY_MADE += ["torch.binary_cross_entropy_with_logits", "torch.kl_div"]
REDUCTIONS = ["none", "sum", "mean"]
INF = float("inf")
TARGETS = [2, 0, 3, 1, 2]  # N = 5 rows, C = 4 classes


def scores(*shape, dtype=torch.float64):
    """Logits that are neither tiny nor saturated, all different."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64)
    return (2.5 * torch.sin(1.7 * numbers + 0.4)).reshape(shape).to(dtype)


def log_softmax(logits):
    """log softmax over the last dimension, by its definition; for logits of
    moderate size.
    """
    powers = logits.double().exp()
    return (powers / powers.sum(dim=-1, keepdim=True)).log()


def picked(table, targets):
    """Row by row, minus the entry that the target names."""
    return torch.stack([-row[t] for row, t in zip(table, targets, strict=True)])


def leaf(tensor):
    return tensor.detach().clone().requires_grad_()


def gradient(loss, *inputs):
    """The gradients of a scalar loss, or of the sum of a table of losses."""
    check.that(
        loss.requires_grad, "the result carries no graph: backward() would raise"
    )
    return torch.autograd.grad(loss.sum(), inputs)


def ids(shape_of_logits, at=None):
    """int64 targets for logits (…, C), some of them changed: at={(0, 1): 7} puts
    7 there.
    """
    targets = (
        torch.arange(math.prod(shape_of_logits[:-1])).reshape(shape_of_logits[:-1])
        % shape_of_logits[-1]
    )
    for place, value in (at or {}).items():
        targets[place] = value
    return targets


@st.composite
def classifications(draw):
    """Targets of one to five rows, and the options of a loss over four classes: at
    least one row is kept.
    """
    ignored = draw(st.sampled_from([-100, 0, 3]))
    targets = draw(
        st.lists(st.integers(0, 3) | st.just(ignored), min_size=1, max_size=5).filter(
            lambda t: set(t) != {ignored}
        )
    )
    return torch.tensor(targets), {
        "ignore_index": ignored,
        "reduction": draw(st.sampled_from(REDUCTIONS)),
    }


class TestRegressionLoss:
    def test_mean_squared_error(self, kata):
        """The default: square every error, and divide the sum by the number of
        elements, not of rows.
        """
        pred = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        target = torch.tensor([[0.0, 2.0, 5.0], [4.0, 2.0, 7.0]])
        check.close(
            kata.regression_loss(pred, target),
            torch.tensor(15 / 6),
            unlike={
                "the sum": torch.tensor(15.0),
                "the sum divided by the number of rows": torch.tensor(7.5),
                "half of the mean square": torch.tensor(15 / 12),
                "the mean of |d|": torch.tensor(9 / 6),
            },
        )

    def test_the_cost_of_each_error(self, kata):
        """With reduction "none" every element keeps its own cost; it does not depend on
        the sign of the error.
        """
        pred, target = (
            torch.tensor([1.5, -1.0, 4.0, 3.0]),
            torch.tensor([1.0, 2.0, 4.0, 1.0]),
        )
        costs = {
            "mse": [0.25, 9.0, 0.0, 4.0],
            "l1": [0.5, 3.0, 0.0, 2.0],
            "huber": [0.125, 2.5, 0.0, 1.5],
        }
        d = pred - target
        unlike = {
            "mse": {
                "half the square": d**2 / 2,
                "the error itself": d,
                "without the square": d.abs(),
            },
            "l1": {"the error with its sign": d, "the square": d**2},
            "huber": {
                "the square everywhere": d**2 / 2,
                "a line that is too high: |d|, not |d| − 1/2": torch.where(
                    d.abs() <= 1, d**2 / 2, d.abs()
                ),
                "the two cases exchanged": torch.where(
                    d.abs() > 1, d**2 / 2, d.abs() - 0.5
                ),
                "a square without its half": torch.where(
                    d.abs() <= 1, d**2, d.abs() - 0.5
                ),
            },
        }
        for kind, expected in costs.items():
            got = kata.regression_loss(pred, target, kind, reduction="none")
            check.close(
                got,
                torch.tensor(expected),
                unlike=unlike[kind],
                what=f'the costs under "{kind}"',
            )

    @pytest.mark.parametrize("delta", [0.5, 2.0])
    def test_delta_moves_the_bend_of_huber(self, kata, delta):
        """d²/2 up to delta, then a line that goes on with the slope it has reached:
        delta · (|d| − delta/2). Value and slope must not jump at the bend.
        """
        errors = [-3.0, -1.0, -0.25, 0.5, 1.75, 2.0, 4.0]
        expected = [
            d * d / 2 if abs(d) <= delta else delta * abs(d) - delta * delta / 2
            for d in errors
        ]
        smooth_l1 = F.smooth_l1_loss(
            torch.tensor(errors), torch.zeros(7), beta=delta, reduction="none"
        )
        steep = [d * d / 2 if abs(d) <= delta else abs(d) - delta / 2 for d in errors]
        unlike = {
            "smooth L1, which is Huber divided by delta": smooth_l1,
            "a line of slope 1": torch.tensor(steep),
        }
        got = kata.regression_loss(
            torch.tensor(errors), torch.zeros(7), "huber", delta=delta, reduction="none"
        )
        check.close(got, torch.tensor(expected), unlike=unlike)

    @given(
        shape=st.lists(st.integers(1, 3), max_size=3),
        kind=st.sampled_from(["mse", "l1", "huber"]),
        reduction=st.sampled_from(REDUCTIONS),
    )
    def test_values_and_gradients_equal_pytorch(self, kata, shape, kind, reduction):
        """Value, and the gradients of prediction and target, for each kind, each
        reduction and any shape.
        """
        theirs = {"mse": F.mse_loss, "l1": F.l1_loss, "huber": F.huber_loss}[kind]
        pred, target = scores(*shape), scores(2, *shape)[1]
        expected = theirs(pred, target, reduction=reduction)
        check.close(
            kata.regression_loss(pred, target, kind, reduction=reduction), expected
        )
        check.gradients(
            lambda p, t: kata.regression_loss(p, t, kind, reduction=reduction),
            lambda p, t: theirs(p, t, reduction=reduction),
            pred,
            target,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """The point is to write them: square, abs and where are all it takes."""
        with check.forbidden(kata, *READY_MADE):
            for kind in ("mse", "l1", "huber"):
                kata.regression_loss(scores(3), scores(3) + 1, kind)

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """`pred -= target` saves a line and destroys the caller's predictions."""
        pred, target = scores(2, 3), scores(3, 2).mT
        with check.unchanged(pred=pred, target=target):
            for kind in ("mse", "l1", "huber"):
                kata.regression_loss(pred, target, kind)

    @pytest.mark.edge
    def test_keeps_the_dtype(self, kata):
        """Tensors made on the way, such as one for delta, must not change
        the precision.
        """
        for kind in ("mse", "l1", "huber"):
            got = kata.regression_loss(
                scores(3).bfloat16(), scores(3).bfloat16() + 2, kind, delta=1.5
            )
            check.dtype(got, torch.bfloat16, what=kind)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "shapes", [((4,), (4, 1)), ((3, 4), (4,)), ((3, 4), ())], ids=str
    )
    def test_shapes_that_only_broadcast_are_refused(self, kata, shapes):
        """A (B,) prediction minus (B, 1) targets is a (B, B) table of all pairs, whose
        mean is a plausible number that no training can bring down. A loss should refuse
        what is not an exact match.
        """
        with check.raises(ValueError):
            kata.regression_loss(torch.zeros(shapes[0]), torch.zeros(shapes[1]))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "wrong", [{"reduction": "average"}, {"kind": "rmse"}], ids=str
    )
    def test_unknown_kind_or_reduction_is_refused(self, kata, wrong):
        """A misspelt option that falls through to a default trains on another loss than
        the one asked for.
        """
        with check.raises(ValueError):
            kata.regression_loss(scores(3), scores(3), **wrong)


class TestNllLoss:
    def test_mean_of_the_targets_log_probabilities(self, kata):
        """Each row counts minus the one entry that its target names; the default is
        their mean.
        """
        log_probs = log_softmax(scores(5, 4))
        values = picked(log_probs, TARGETS)
        unlike = {
            "the sum": values.sum(),
            "the mean without the minus": -values.mean(),
            "the sum divided by C, not by N": values.sum() / 4,
        }
        check.close(
            kata.nll_loss(log_probs, torch.tensor(TARGETS)),
            values.mean(),
            unlike=unlike,
        )

    def test_none_gives_a_value_for_each_row_and_sum_adds_them(self, kata):
        """The table before it is reduced is (N,)."""
        log_probs, targets = log_softmax(scores(5, 4)), torch.tensor(TARGETS)
        values = picked(log_probs, TARGETS)
        check.close(
            kata.nll_loss(log_probs, targets, reduction="none"),
            values,
            what='reduction "none"',
        )
        check.close(
            kata.nll_loss(log_probs, targets, reduction="sum"),
            values.sum(),
            what='reduction "sum"',
        )

    def test_ignored_rows_are_zero_under_none_and_not_counted_under_mean(self, kata):
        """Two of four rows are ignored: the sum of the other two is divided by 2."""
        log_probs = torch.tensor(
            [
                [-1.0, -2.0, -3.0],
                [-4.0, -5.0, -6.0],
                [-7.0, -8.0, -9.0],
                [-1.5, -2.5, -3.5],
            ]
        )
        targets = torch.tensor([1, -100, 2, -100])
        got = kata.nll_loss(log_probs, targets.clone(), reduction="none")
        check.close(got, torch.tensor([2.0, 0.0, 9.0, 0.0]), what="none")
        check.close(
            kata.nll_loss(log_probs, targets.clone(), reduction="sum"),
            torch.tensor(11.0),
            what="sum",
        )
        unlike = {
            "the sum divided by all N rows, the ignored ones included": torch.tensor(
                11 / 4
            )
        }
        check.close(
            kata.nll_loss(log_probs, targets),
            torch.tensor(5.5),
            what="mean",
            unlike=unlike,
        )

    def test_any_number_may_be_the_ignored_one(self, kata):
        """The padding id of a tokenizer is often 0, a real id. Whatever `ignore_index`
        is, rows with it do not count.
        """
        for ignored in (0, 2, -1):
            log_probs, targets = log_softmax(scores(5, 4)), [1, ignored, 3, ignored, 1]
            kept = torch.tensor([t != ignored for t in targets])
            expected = picked(log_probs, targets).masked_fill(~kept, 0.0)
            got = kata.nll_loss(
                log_probs, torch.tensor(targets), ignore_index=ignored, reduction="none"
            )
            unlike = {
                "rows with ignore_index count like all others": picked(
                    log_probs, targets
                )
            }
            check.close(
                got, expected, unlike=unlike, what=f"none, with ignore_index={ignored}"
            )
            got = kata.nll_loss(log_probs, torch.tensor(targets), ignore_index=ignored)
            check.close(
                got, expected.sum() / 3, what=f"mean, with ignore_index={ignored}"
            )

    def test_weighted_mean_divides_by_the_kept_weights(self, kata):
        """A weighted mean divides by the weights that went into it: (0.5·2 + 0.25·9) /
        (0.5 + 0.25). These add up to less than 1, and that is nothing to guard against.
        """
        log_probs = torch.tensor(
            [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0], [-7.0, -8.0, -9.0]]
        )
        targets, weight = torch.tensor([1, -100, 2]), torch.tensor([4.0, 0.5, 0.25])
        got = kata.nll_loss(log_probs, targets.clone(), weight=weight, reduction="none")
        check.close(got, torch.tensor([1.0, 0.0, 2.25]), what="none")
        unlike = {
            "divided by N": torch.tensor(3.25 / 3),
            "divided by the number of kept rows": torch.tensor(3.25 / 2),
            "divided by at least 1": torch.tensor(3.25),
            "the weight of class 0, which no kept row has, is counted too": (
                torch.tensor(3.25 / 4.75)
            ),
        }
        got = kata.nll_loss(log_probs, targets, weight=weight)
        check.close(got, torch.tensor(3.25 / 0.75), what="mean", unlike=unlike)

    @given(case=classifications(), weighted=st.booleans())
    def test_values_and_gradients_equal_pytorch(self, kata, case, weighted):
        """With and without weights and ignored rows, under every reduction, as long as
        a row is kept.
        """
        targets, options = case
        weight = (
            torch.tensor([0.2, 1.0, 3.0, 0.7], dtype=torch.float64)
            if weighted
            else None
        )
        log_probs = scores(len(targets), 4)
        expected = F.nll_loss(log_probs, targets, weight, **options)
        check.close(
            kata.nll_loss(log_probs, targets.clone(), weight=weight, **options),
            expected,
            what=str(options),
        )
        check.gradients(
            lambda x: kata.nll_loss(x, targets.clone(), weight=weight, **options),
            lambda x: F.nll_loss(x, targets, weight, **options),
            log_probs,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """The point is to write it: picking one entry per row and averaging is all
        it takes.
        """
        with check.forbidden(kata, *READY_MADE):
            kata.nll_loss(scores(5, 4), torch.tensor(TARGETS))

    @pytest.mark.edge
    @pytest.mark.parametrize("weighted", [False, True])
    def test_all_ignored_is_zero_with_zero_gradient(self, kata, weighted):
        """A batch of padding alone has nothing to average. 0/0 is NaN, and one NaN step
        ruins every parameter.
        """
        log_probs = leaf(scores(5, 4))
        weight = (
            torch.tensor([0.5, 2.0, 1.0, 0.25], dtype=torch.float64)
            if weighted
            else None
        )
        loss = kata.nll_loss(log_probs, torch.full((5,), -100), weight=weight)
        check.close(loss, torch.tensor(0.0))
        check.equal(
            gradient(loss, log_probs)[0],
            torch.zeros(5, 4, dtype=torch.float64),
            what="gradient",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_minus_infinity_elsewhere_does_no_harm(self, kata, reduction):
        """An impossible class has log-probability −inf. As long as no kept row has it
        for its target, value and gradient are finite: 0 · −inf, as in a product with a
        one-hot table or with a mask, is NaN.
        """
        log_probs = leaf(
            torch.tensor([[-0.5, -INF, -1.0], [-INF, -0.5, -INF], [-INF, -INF, -INF]])
        )
        loss = kata.nll_loss(log_probs, torch.tensor([2, 1, -100]), reduction=reduction)
        expected, wrong = (
            torch.tensor([1.0, 0.5, 0.0]),
            torch.tensor([math.nan, math.nan, 0.0]),
        )
        unlike = {
            "a sum over all classes: 0 · −inf is NaN": wrong
            if reduction == "none"
            else wrong.sum()
        }
        right = {"none": expected, "sum": expected.sum(), "mean": expected.sum() / 2}[
            reduction
        ]
        check.close(loss, right, unlike=unlike)
        check.finite(gradient(loss, log_probs)[0], what="gradient")

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """`targets[targets == ignore_index] = 0` writes to the caller's batch: its next
        loss counts the padding.
        """
        log_probs, targets = (
            log_softmax(scores(5, 4)),
            torch.tensor([3, -100, 0, -100, 2]),
        )
        weight = torch.tensor([0.5, 2.0, 1.0, 0.25], dtype=torch.float64)
        with check.unchanged(log_probs=log_probs, targets=targets, weight=weight):
            kata.nll_loss(log_probs, targets, weight=weight)

    @pytest.mark.edge
    def test_keeps_the_dtype(self, kata):
        """Neither a mask nor a count may change the precision of the loss."""
        log_probs, targets = -scores(5, 4).abs().bfloat16(), torch.tensor(TARGETS)
        for reduction in REDUCTIONS:
            check.dtype(
                kata.nll_loss(log_probs, targets, reduction=reduction),
                torch.bfloat16,
                what=reduction,
            )
        weighted = kata.nll_loss(
            log_probs, targets, weight=torch.ones(4, dtype=torch.bfloat16)
        )
        check.dtype(weighted, torch.bfloat16, what="weighted mean")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bool], ids=str)
    def test_targets_must_be_class_ids(self, kata, dtype):
        """Float targets are probabilities or a forgotten `.long()`; bool ones would be
        taken for a mask.
        """
        with check.raises(TypeError):
            kata.nll_loss(scores(2, 4), torch.tensor([0, 1]).to(dtype))

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [57, -1, -100])
    def test_a_target_that_is_no_class_is_named(self, kata, wrong):
        """A label of 57 for 4 classes is a bug in the data. The message should say
        which value it was; −1 must not count from the end, and −100 is nothing special
        where `ignore_index` is another number.
        """
        with check.raises(IndexError, wrong):
            kata.nll_loss(scores(4, 4), torch.tensor([0, 1, wrong, 2]), ignore_index=0)

    @pytest.mark.edge
    def test_shapes_must_fit(self, kata):
        """(N, C) needs (N,) targets and (C,) weights. Fewer targets than rows would be
        gathered without an error.
        """
        rows, targets = scores(5, 4), torch.tensor(TARGETS)
        for log_probs, target, weight in [
            (rows, targets[:3], None),
            (rows, targets[:, None], None),
            (scores(5, 4, 3), targets, None),
            (rows, targets, torch.ones(5)),
        ]:
            with check.raises(ValueError):
                kata.nll_loss(log_probs, target, weight=weight)

    @pytest.mark.edge
    def test_unknown_reduction_is_refused(self, kata):
        """A misspelt reduction must not fall through to "mean"."""
        with check.raises(ValueError):
            kata.nll_loss(scores(5, 4), torch.tensor(TARGETS), reduction="average")


class TestCrossEntropy:
    def test_from_raw_logits(self, kata):
        """Softmax, logarithm, and minus the target's entry, averaged over the rows."""
        logits, targets = scores(5, 4), torch.tensor(TARGETS)
        values = picked(log_softmax(logits), TARGETS)
        unlike = {
            "nll_loss of the raw logits: the softmax is missing": picked(
                logits, TARGETS
            ).mean(),
            "a second softmax on top of probabilities": picked(
                log_softmax(logits.softmax(1)), TARGETS
            ).mean(),
            "a softmax over the rows, not over the classes": picked(
                log_softmax(logits.mT).mT, TARGETS
            ).mean(),
            "the sum": values.sum(),
        }
        check.close(kata.cross_entropy(logits, targets), values.mean(), unlike=unlike)

    def test_ignored_rows_are_not_counted_under_mean(self, kata):
        """Two equal logits cost ln 2 per row, however many other rows are ignored."""
        for targets in ([1, -100, -100, 0, -100], [-100, -100, 1, -100, -100]):
            got = kata.cross_entropy(torch.zeros(5, 2), torch.tensor(targets))
            share = sum(t >= 0 for t in targets) / 5
            unlike = {
                "the sum divided by all N rows, the ignored ones included": (
                    torch.tensor(math.log(2) * share)
                )
            }
            check.close(got, torch.tensor(math.log(2)), unlike=unlike)

    def test_smoothing_spreads_over_all_classes(self, kata):
        """The target keeps 1 − s and takes its own share s/C on top. With s = 0.2 and
        C = 4 that is 0.85, and 0.05 for each of the others.
        """
        logits = torch.tensor([[2.0, -1.0, 0.5, 0.0]], dtype=torch.float64)
        logs = log_softmax(logits)[0]
        others = -(0.8 * logs[1] + 0.2 / 3 * (logs.sum() - logs[1]))
        unlike = {
            "s spread over the other C − 1 classes only": others[None],
            "s/C on the other classes, 1 − s on the target": -(
                0.8 * logs[1] + 0.05 * (logs.sum() - logs[1])
            )[None],
            "1 on the target plus s/C everywhere": -(logs[1] + 0.05 * logs.sum())[None],
            "no smoothing": -logs[1:2],
            "summed over the classes, not averaged": -(
                0.8 * logs[1] + 0.2 * logs.sum()
            )[None],
        }
        expected = -(0.85 * logs[1] + 0.05 * (logs[0] + logs[2] + logs[3]))
        got = kata.cross_entropy(
            logits, torch.tensor([1]), label_smoothing=0.2, reduction="none"
        )
        check.close(got, expected[None], unlike=unlike)

    def test_smoothing_leaves_ignored_rows_out(self, kata):
        """The smoothing term is part of a row's loss: an ignored row has none of it,
        and gets no gradient.
        """
        logits = leaf(scores(3, 4))
        loss = kata.cross_entropy(
            logits, torch.tensor([1, -100, 2]), label_smoothing=0.5, reduction="none"
        )
        smoothed = {
            "smoothed, though it is ignored": -0.5
            * logits[1].detach().log_softmax(0).mean()
        }
        check.close(
            loss[1], torch.tensor(0.0), unlike=smoothed, what="loss of the ignored row"
        )
        check.equal(
            gradient(loss, logits)[0][1],
            torch.zeros(4, dtype=torch.float64),
            what="its gradient",
        )

    @pytest.mark.parametrize("smoothing", [0.0, 0.4])
    def test_logits_of_ten_thousand(self, kata, smoothing):
        """exp(1e4) overflows and softmax gives exact zeros, whose logarithm is −inf.
        log_softmax subtracts first, and is exact: here the wrong answer costs 20000,
        the right one 0.
        """
        logits = leaf(
            torch.tensor([[1e4, -1e4], [1e4, -1e4], [-1e4, -1e4]], dtype=torch.float64)
        )
        loss = kata.cross_entropy(
            logits, torch.tensor([1, 0, 0]), label_smoothing=smoothing, reduction="none"
        )
        share = smoothing / 2
        check.close(loss, torch.tensor([2e4 * (1 - share), 2e4 * share, math.log(2)]))
        slopes = torch.tensor(
            [[1 - share, share - 1], [share, -share], [share - 0.5, 0.5 - share]]
        )
        check.close(gradient(loss, logits)[0], slopes, what="gradient")

    @given(case=classifications(), smoothing=st.sampled_from([0.0, 0.3]))
    def test_values_and_gradients_equal_pytorch(self, kata, case, smoothing):
        """With ignored rows, with and without smoothing, under every reduction, as long
        as a row is kept.
        """
        targets, options = case
        options = options | {"label_smoothing": smoothing}
        logits = scores(len(targets), 4)
        expected = F.cross_entropy(logits, targets, **options)
        check.close(
            kata.cross_entropy(logits, targets.clone(), **options),
            expected,
            what=str(options),
        )
        check.gradients(
            lambda x: kata.cross_entropy(x, targets.clone(), **options),
            lambda x: F.cross_entropy(x, targets, **options),
            logits,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """log_softmax or logsumexp does the delicate part; the rest is yours."""
        with check.forbidden(kata, *READY_MADE):
            kata.cross_entropy(scores(5, 4), torch.tensor(TARGETS), label_smoothing=0.1)

    @pytest.mark.edge
    def test_an_impossible_class_does_no_harm(self, kata):
        """A logit of −inf rules a class out. Unless it is the target, value and
        gradient are those without the class; also the smoothing term must not turn it
        into 0 · −inf = NaN when s = 0.
        """
        logits = leaf(
            torch.tensor([[0.5, -INF, 0.5], [-INF, 1.0, -INF], [-INF, 0.0, 1.0]])
        )
        loss = kata.cross_entropy(logits, torch.tensor([2, 1, -100]), reduction="none")
        check.close(loss, torch.tensor([math.log(2), 0.0, 0.0]))
        expected = torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        check.close(gradient(loss, logits)[0], expected, what="gradient")

    @pytest.mark.edge
    def test_all_ignored_is_zero_with_zero_gradient(self, kata):
        """Nothing to average is 0, not 0/0, with smoothing as well."""
        for smoothing in (0.0, 0.2):
            logits = leaf(scores(5, 4))
            loss = kata.cross_entropy(
                logits, torch.full((5,), 3), ignore_index=3, label_smoothing=smoothing
            )
            check.close(loss, torch.tensor(0.0))
            check.equal(
                gradient(loss, logits)[0],
                torch.zeros(5, 4, dtype=torch.float64),
                what="gradient",
            )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """Neither `logits -= logits.max()` nor a write to the ignored targets may reach
        the caller.
        """
        logits, targets = scores(5, 4), torch.tensor([3, -100, 0, -100, 2])
        with check.unchanged(logits=logits, targets=targets):
            kata.cross_entropy(logits, targets, label_smoothing=0.1)

    @pytest.mark.edge
    def test_keeps_the_dtype(self, kata):
        """A distribution built on the way must not change the precision of the loss."""
        for smoothing in (0.0, 0.2):
            got = kata.cross_entropy(
                scores(5, 4).bfloat16(),
                torch.tensor(TARGETS),
                label_smoothing=smoothing,
            )
            check.dtype(got, torch.bfloat16)

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bool], ids=str)
    def test_targets_must_be_class_ids(self, kata, dtype):
        """Float targets are probabilities or a forgotten `.long()`."""
        with check.raises(TypeError):
            kata.cross_entropy(scores(2, 4), torch.tensor([0, 1]).to(dtype))

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [57, -1])
    def test_a_target_that_is_no_class_is_named(self, kata, wrong):
        """A class id beyond the last, or a negative one that is not `ignore_index`, is
        a bug in the data.
        """
        with check.raises(IndexError, wrong):
            kata.cross_entropy(scores(5, 4), torch.tensor([0, 1, wrong, -100, 2]))

    @pytest.mark.edge
    def test_shapes_must_fit(self, kata):
        """(N, C) needs (N,) targets."""
        rows, targets = scores(5, 4), torch.tensor(TARGETS)
        for logits, target in [
            (rows, targets[:3]),
            (rows, targets[:, None]),
            (scores(5, 4, 3), targets),
        ]:
            with check.raises(ValueError):
                kata.cross_entropy(logits, target)

    @pytest.mark.edge
    @pytest.mark.parametrize("smoothing", [-0.1, 1.0, 1.5])
    def test_label_smoothing_is_between_zero_and_one(self, kata, smoothing):
        """At s = 1 nothing of the target is left to learn; a negative s asks for
        negative probabilities.
        """
        with check.raises(ValueError):
            kata.cross_entropy(
                scores(5, 4), torch.tensor(TARGETS), label_smoothing=smoothing
            )

    @pytest.mark.edge
    def test_unknown_reduction_is_refused(self, kata):
        """A misspelt reduction must not fall through to "mean"."""
        with check.raises(ValueError):
            kata.cross_entropy(scores(5, 4), torch.tensor(TARGETS), reduction="average")


class TestBceWithLogits:
    def test_soft_and_hard_targets(self, kata):
        """−(t · log σ(x) + (1 − t) · log(1 − σ(x))), for any t between 0 and 1,
        averaged over all elements.
        """
        logits = torch.tensor(
            [[0.5, -1.0, 2.0], [-0.25, 1.5, 0.0]], dtype=torch.float64
        )
        targets = torch.tensor([[1.0, 0.0, 0.3], [0.0, 1.0, 0.9]], dtype=torch.float64)
        p = 1 / (1 + (-logits).exp())
        values = -(targets * p.log() + (1 - targets) * (1 - p).log())
        halves = {
            "only the part of yes": -targets * p.log(),
            "only the part of no": -(1 - targets) * (1 - p).log(),
        }
        check.close(
            kata.bce_with_logits(logits, targets, reduction="none"),
            values,
            unlike=halves,
            what="none",
        )
        unlike = {
            "the sum": values.sum(),
            "the sum divided by the number of rows": values.sum() / 2,
        }
        check.close(
            kata.bce_with_logits(logits, targets),
            values.mean(),
            what="mean",
            unlike=unlike,
        )
        check.close(
            kata.bce_with_logits(logits, targets, reduction="sum"),
            values.sum(),
            what="sum",
        )

    def test_pos_weight_acts_on_positives_only(self, kata):
        """It weighs the part of "yes": a target of 1 costs three times as much, one of
        0 as much as before, and one of 0.5 three times its first half.
        """
        logits, targets = torch.zeros(3), torch.tensor([1.0, 0.0, 0.5])
        whole = 3 * math.log(2) * torch.ones(3)
        got = kata.bce_with_logits(
            logits, targets, pos_weight=torch.tensor(3.0), reduction="none"
        )
        expected = torch.tensor([3.0, 1.0, 2.0]) * math.log(2)
        unlike = {
            "the whole loss multiplied": whole,
            "the part of no multiplied": torch.tensor([1.0, 3.0, 2.0]) * math.log(2),
            "pos_weight left out": whole / 3,
        }
        check.close(got, expected, unlike=unlike)

    def test_logits_of_ten_thousand(self, kata):
        """sigmoid(−1e4) is exactly 0 and its logarithm −inf. A small number added to it
        caps the cost: 1e-7 at
        16. In log space the cost is simply 1e4, and its slope −1. Weighting the part of
        yes must not bring the overflow back.
        """
        for weight in (None, torch.tensor(2.0)):
            logits, yes = (
                leaf(torch.tensor([1e4, -1e4, 1e4, -1e4])),
                1.0 if weight is None else 2.0,
            )
            loss = kata.bce_with_logits(
                logits,
                torch.tensor([1.0, 1.0, 0.0, 0.0]),
                pos_weight=weight,
                reduction="none",
            )
            check.close(
                loss,
                torch.tensor([0.0, 1e4 * yes, 1e4, 0.0]),
                what=f"the costs with pos_weight={weight}",
            )
            check.close(
                gradient(loss, logits)[0],
                torch.tensor([0.0, -yes, 1.0, 0.0]),
                what="gradient",
            )

    def test_confident_right_answers_stay_precise(self, kata):
        """A logit of 30 with target 1 is not certain: it costs log1p(e⁻³⁰) = 9.36e-14.
        Through sigmoid(30) = 1 − 9e-14, or with an epsilon inside the logarithm, that
        is lost.
        """
        logits = torch.tensor([30.0, -30.0], dtype=torch.float64)
        targets = torch.tensor([1.0, 0.0], dtype=torch.float64)
        expected = torch.full((2,), math.log1p(math.exp(-30)), dtype=torch.float64)
        check.close(
            kata.bce_with_logits(logits, targets, reduction="none"),
            expected,
            rtol=0.1,
            atol=0.0,
        )

    @pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
    def test_the_gradient_is_probability_minus_target(self, kata, t):
        """The slope of the sum is σ(x) − t for every logit."""
        logits = leaf(
            torch.tensor(
                [-8.0, -2.5, -1.0, -1e-3, 1e-3, 0.75, 2.0, 8.0], dtype=torch.float64
            )
        )
        loss = kata.bce_with_logits(
            logits, torch.full((8,), t, dtype=torch.float64), reduction="sum"
        )
        expected = 1 / (1 + (-logits.detach()).exp()) - t
        check.close(
            gradient(loss, logits)[0], expected, rtol=1e-6, atol=1e-8, what="gradient"
        )

    @given(
        shape=st.sampled_from([None, (), (3,), (2, 1), (2, 3)]),
        reduction=st.sampled_from(REDUCTIONS),
    )
    def test_values_and_gradients_equal_pytorch(self, kata, shape, reduction):
        """Also with a weight for each column, row or element. "mean" divides by the
        number of elements, whatever the weights.
        """
        logits, targets = scores(3, 2).mT, scores(2, 3).sigmoid()
        pos_weight = None if shape is None else scores(*shape).exp()
        options = {"pos_weight": pos_weight, "reduction": reduction}
        theirs = F.binary_cross_entropy_with_logits
        check.close(
            kata.bce_with_logits(logits, targets, **options),
            theirs(logits, targets, **options),
        )
        check.gradients(
            lambda x: kata.bce_with_logits(x, targets, **options),
            lambda x: theirs(x, targets, **options),
            logits,
        )

    def test_is_written_without_the_ready_made_ones(self, kata):
        """softplus(x) = ln(1 + eˣ) does the delicate part; the rest is yours."""
        with check.forbidden(kata, *READY_MADE):
            kata.bce_with_logits(scores(3), torch.ones(3, dtype=torch.float64))

    @pytest.mark.edge
    def test_the_gradient_at_zero(self, kata):
        """At a logit of exactly 0, where a head initialised to zeros starts, clamp and
        abs have a kink: autograd picks a side, and the first step goes wrong. The slope
        is ½ − t there as well.
        """
        for t in (0.0, 0.3, 1.0):
            logits = leaf(torch.zeros(2, dtype=torch.float64))
            loss = kata.bce_with_logits(
                logits, torch.full((2,), t, dtype=torch.float64), reduction="sum"
            )
            unlike = {
                "clamp, which picks one side of its kink": torch.full((2,), 1.0 - t)
            }
            what = f"gradient for target {t}"
            check.close(
                gradient(loss, logits)[0],
                torch.full((2,), 0.5 - t),
                atol=1e-8,
                unlike=unlike,
                what=what,
            )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """Nothing is written to logits, targets or weights."""
        logits, targets, pos_weight = (
            scores(2, 3),
            scores(2, 3).sigmoid(),
            torch.tensor([2.0, 0.5, 1.0]),
        )
        with check.unchanged(logits=logits, targets=targets, pos_weight=pos_weight):
            kata.bce_with_logits(logits, targets, pos_weight=pos_weight)

    @pytest.mark.edge
    def test_keeps_the_dtype(self, kata):
        """Float targets and weights of the same dtype give a loss of that dtype."""
        logits = scores(2, 3).bfloat16()
        check.dtype(kata.bce_with_logits(logits, logits.sigmoid()), torch.bfloat16)
        weighted = kata.bce_with_logits(
            logits, logits.sigmoid(), pos_weight=torch.ones(3, dtype=torch.bfloat16)
        )
        check.dtype(weighted, torch.bfloat16, what="weighted")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "shapes", [((4,), (4, 1)), ((3, 4), (4,)), ((3, 1), (3, 4))], ids=str
    )
    def test_shapes_that_only_broadcast_are_refused(self, kata, shapes):
        """A head returns (B, 1), the labels are (B,): broadcast, every answer is
        compared with every label.
        """
        with check.raises(ValueError):
            kata.bce_with_logits(torch.zeros(shapes[0]), torch.ones(shapes[1]))

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(2,), (4, 2, 3)], ids=str)
    def test_a_pos_weight_that_does_not_fit_is_refused(self, kata, shape):
        """It has to broadcast to the logits. A larger one would enlarge the loss, and
        change its mean or sum.
        """
        with check.raises(ValueError):
            kata.bce_with_logits(
                torch.zeros(2, 3), torch.ones(2, 3), pos_weight=torch.ones(shape)
            )

    @pytest.mark.edge
    def test_unknown_reduction_is_refused(self, kata):
        """A misspelt reduction must not fall through to "mean"."""
        with check.raises(ValueError):
            kata.bce_with_logits(scores(3), torch.ones(3), reduction="average")


class TestSequenceCrossEntropy:
    def test_mean_over_all_tokens(self, kata):
        """Every position of every sequence is a classification over V words; the
        default is the mean over all of them.
        """
        logits, targets = scores(2, 3, 5), ids((2, 3, 5))
        values = picked(log_softmax(logits).reshape(6, 5), targets.flatten().tolist())
        unlike = {
            "the sum": values.sum(),
            "the sum divided by the number of sequences": values.sum() / 2,
        }
        check.close(
            kata.sequence_cross_entropy(logits, targets), values.mean(), unlike=unlike
        )

    def test_none_keeps_the_positions_and_sum_adds_them(self, kata):
        """The table before it is reduced is (B, T), and an ignored position is 0
        in it.
        """
        logits, targets = scores(2, 3, 5), ids((2, 3, 5), at={(1, 1): -100})
        values = torch.zeros(2, 3, dtype=torch.float64)
        for b, t in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2)]:
            values[b, t] = -log_softmax(logits)[b, t, targets[b, t]]
        got = kata.sequence_cross_entropy(logits, targets.clone(), reduction="none")
        check.close(got, values, what="none")
        check.close(
            kata.sequence_cross_entropy(logits, targets, reduction="sum"),
            values.sum(),
            what="sum",
        )

    def test_token_mean_is_not_the_mean_of_sequence_means(self, kata):
        """One sequence has one token, the other four. In the mean over tokens each
        counts 1/5; the mean of the two sequence means would give the lone token half of
        the weight.
        """
        logits, targets = (
            scores(2, 4, 5),
            ids((2, 4, 5), at={(0, 1): -100, (0, 2): -100, (0, 3): -100}),
        )
        values = picked(
            log_softmax(logits).reshape(8, 5), targets.flatten().clamp(min=0).tolist()
        ).reshape(2, 4)
        one, four = values[0, 0], values[1]
        unlike = {
            "the mean of the sequence means": (one + four.mean()) / 2,
            "the sum divided by B·T, padding included": (one + four.sum()) / 8,
        }
        check.close(
            kata.sequence_cross_entropy(logits, targets),
            (one + four.sum()) / 5,
            what="mean",
            unlike=unlike,
        )
        check.close(
            kata.sequence_cross_entropy(logits[:1], targets[:1]),
            one,
            what="mean of the lone token's sequence",
        )
        got = kata.sequence_cross_entropy(logits, targets, reduction="sequence")
        unlike = {
            "each sum divided by T": torch.stack([one / 4, four.mean()]),
            "the sums": torch.stack([one, four.sum()]),
        }
        check.close(
            got, torch.stack([one, four.mean()]), what="sequence", unlike=unlike
        )

    def test_the_ignored_id_may_be_a_real_one(self, kata):
        """With padding id 2, position by position: what has target 2 does not count,
        the rest does.
        """
        logits, targets = scores(2, 3, 5), torch.tensor([[4, 2, 2], [3, 1, 2]])
        logs = log_softmax(logits)
        a, b, c = -logs[0, 0, 4], -logs[1, 0, 3], -logs[1, 1, 1]
        zero = torch.zeros_like(a)
        expected = {
            "mean": (a + b + c) / 3,
            "sequence": torch.stack([a, (b + c) / 2]),
            "none": torch.stack([a, zero, zero, b, c, zero]).reshape(2, 3),
        }
        for reduction, right in expected.items():
            got = kata.sequence_cross_entropy(
                logits, targets, ignore_index=2, reduction=reduction
            )
            check.close(got, right, what=f'reduction "{reduction}" with ignore_index=2')

    def test_gradients_equal_pytorch(self, kata):
        """A token gets its share of the gradient, an ignored one none at all."""
        targets = ids((2, 3, 5), at={(0, 1): -100, (1, 2): -100})

        def theirs(logits):
            rows = [
                F.cross_entropy(x, t, reduction="none")
                for x, t in zip(logits, targets, strict=True)
            ]
            values = torch.stack(rows)
            return {
                "none": values,
                "sum": values.sum(),
                "mean": values.sum() / 4,
                "sequence": values.sum(1) / 2,
            }

        for reduction in (*REDUCTIONS, "sequence"):
            ours = partial(
                kata.sequence_cross_entropy, targets=targets, reduction=reduction
            )
            check.gradients(ours, lambda x: theirs(x)[reduction], scores(2, 3, 5))

    @given(
        padding=st.integers(0, 4),
        lengths=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    )
    def test_padding_changes_nothing(self, kata, padding, lengths):
        """Longer padding holds more places and no more tokens: sum, mean and sequence
        means stay. They are those of the two sequences without any padding.
        """
        T = max(lengths) + padding
        logits, targets = scores(2, T, 5), ids((2, T, 5))
        for row, length in enumerate(lengths):
            targets[row, length:] = -100
        losses = [
            -log_softmax(logits)[b, range(n), targets[b, :n]]
            for b, n in enumerate(lengths)
        ]
        expected = {
            "sum": torch.cat(losses).sum(),
            "mean": torch.cat(losses).mean(),
            "sequence": torch.stack([loss.mean() for loss in losses]),
        }
        for reduction, right in expected.items():
            got = kata.sequence_cross_entropy(
                logits, targets.clone(), reduction=reduction
            )
            unlike = {"the mean over padding, too": expected["sum"] / targets.numel()}
            check.close(
                got,
                right,
                unlike=unlike,
                what=f'reduction "{reduction}" of {lengths} tokens padded to {T}',
            )

    @pytest.mark.edge
    def test_a_sequence_without_tokens_is_zero(self, kata):
        """A row of padding has no mean of its own: 0, with gradient 0, and the others
        are as before.
        """
        logits = leaf(scores(3, 2, 5))
        targets = ids((3, 2, 5), at={1: -100})
        loss = kata.sequence_cross_entropy(logits, targets, reduction="sequence")
        others = kata.sequence_cross_entropy(
            logits[[0, 2]], targets[[0, 2]], reduction="sequence"
        )
        check.close(
            loss, torch.stack([others[0], torch.zeros_like(others[0]), others[1]])
        )
        slopes = gradient(loss, logits)[0]
        check.finite(slopes, what="gradient")
        check.equal(
            slopes[1],
            torch.zeros(2, 5, dtype=torch.float64),
            what="gradient of the empty sequence",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("reduction", ["mean", "sequence"])
    def test_all_ignored_is_zero_with_zero_gradient(self, kata, reduction):
        """A batch of padding alone: 0, not 0/0, and nothing to learn."""
        logits = leaf(scores(2, 3, 5))
        loss = kata.sequence_cross_entropy(
            logits, torch.full((2, 3), -100), reduction=reduction
        )
        check.close(loss, torch.zeros(() if reduction == "mean" else (2,)))
        check.equal(
            gradient(loss, logits)[0],
            torch.zeros(2, 3, 5, dtype=torch.float64),
            what="gradient",
        )

    @pytest.mark.edge
    def test_transposed_logits_work(self, kata):
        """Logits that come from a transpose are not contiguous, and `view` raises on
        them. What matters is logits[b, t], wherever it is in memory.
        """
        targets = ids((2, 3, 5), at={(0, 2): -100})
        for logits in (scores(3, 2, 5).transpose(0, 1), scores(2, 5, 3).mT):
            got = kata.sequence_cross_entropy(logits, targets, reduction="none")
            check.close(
                got,
                kata.sequence_cross_entropy(
                    logits.contiguous(), targets, reduction="none"
                ),
            )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """The caller needs its padding for the next loss."""
        logits, targets = scores(2, 3, 5), ids((2, 3, 5), at={(1, 1): -100})
        with check.unchanged(logits=logits, targets=targets):
            kata.sequence_cross_entropy(logits, targets)
            kata.sequence_cross_entropy(logits, targets, reduction="sequence")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bool], ids=str)
    def test_targets_must_be_token_ids(self, kata, dtype):
        """Token ids are ints."""
        with check.raises(TypeError):
            kata.sequence_cross_entropy(scores(2, 3, 5), torch.ones(2, 3, dtype=dtype))

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [57, -7])
    def test_a_target_outside_the_vocabulary_is_named(self, kata, wrong):
        """An id that the vocabulary lacks comes from another tokenizer: say which
        it was.
        """
        with check.raises(IndexError, wrong):
            kata.sequence_cross_entropy(
                scores(2, 3, 5), ids((2, 3, 5), at={(1, 0): wrong, (0, 1): -100})
            )

    @pytest.mark.edge
    def test_shapes_must_fit(self, kata):
        """(B, T, V) needs (B, T) targets. (T, B) targets hold as many tokens in another
        order: flattened, they pass.
        """
        for targets in (ids((3, 2, 5)), ids((6, 5)), ids((2, 2, 5))):
            with check.raises(ValueError):
                kata.sequence_cross_entropy(scores(2, 3, 5), targets)

    @pytest.mark.edge
    def test_unknown_reduction_is_refused(self, kata):
        """A misspelt reduction must not fall through to "mean"."""
        with check.raises(ValueError):
            kata.sequence_cross_entropy(
                scores(2, 3, 5), ids((2, 3, 5)), reduction="average"
            )


@pytest.mark.stretch
class TestTokenLogProbs:
    def test_log_probability_of_each_token(self, kata):
        """log softmax over the vocabulary, and from it the entry of the given token."""
        logits, targets = scores(2, 3, 5), ids((2, 3, 5))
        chosen = -picked(
            log_softmax(logits).reshape(6, 5), targets.flatten().tolist()
        ).reshape(2, 3)
        unlike = {
            "probabilities, not their logarithms": chosen.exp(),
            "the raw logits: the softmax is missing": torch.gather(
                logits, 2, targets[..., None]
            )[..., 0],
            "the likeliest token, not the given one": log_softmax(logits).amax(-1),
            "the loss: the sign is turned": -chosen,
            "log-softmax over the tokens, not over the vocabulary": torch.gather(
                log_softmax(logits.mT).mT, 2, targets[..., None]
            )[..., 0],
        }
        check.close(kata.token_log_probs(logits, targets), chosen, unlike=unlike)

    def test_masked_targets_may_be_anything(self, kata):
        """Where the mask is False the target is often −100 or a padding id beyond the
        vocabulary. Looking it up crashes, or counts from the end; the result there
        is 0.0.
        """
        logits, targets = (
            scores(2, 3, 5),
            ids((2, 3, 5), at={(0, 1): -100, (1, 2): 99, (1, 0): -1}),
        )
        mask = torch.tensor([[True, False, True], [False, True, False]])
        logs, expected = log_softmax(logits), torch.zeros(2, 3, dtype=torch.float64)
        for b, t in [(0, 0), (0, 2), (1, 1)]:
            expected[b, t] = logs[b, t, targets[b, t]]
        inside = targets.where(mask, 0)
        turned = {
            "the mask turned around: 0 where it is True": logs.gather(
                2, inside[..., None]
            )[..., 0]
            * ~mask
        }
        check.close(kata.token_log_probs(logits, inside, mask), expected, unlike=turned)
        check.close(kata.token_log_probs(logits, targets, mask), expected)

    def test_gradients_flow_where_the_mask_is_true(self, kata):
        """Kept positions have the gradient of log_softmax; masked ones exactly 0."""
        targets = ids((2, 3, 5))
        mask = torch.tensor([[True, False, True], [False, True, False]])

        def by_rows(logits):
            logs = logits - logits.exp().sum(dim=-1, keepdim=True).log()
            return (logs * F.one_hot(targets, 5)).sum(dim=-1) * mask

        check.gradients(
            lambda x: kata.token_log_probs(x, targets, mask), by_rows, scores(2, 3, 5)
        )
        logits = leaf(scores(2, 3, 5))
        slopes = gradient(kata.token_log_probs(logits, targets, mask), logits)[0]
        check.equal(
            slopes[~mask],
            torch.zeros(3, 5, dtype=torch.float64),
            what="gradient at masked positions",
        )

    def test_logits_of_ten_thousand(self, kata):
        """log(softmax(x)) is −inf here; the log-probabilities are 0 and −20000, their
        gradients finite.
        """
        logits = leaf(torch.tensor([[[1e4, -1e4], [1e4, -1e4]]], dtype=torch.float64))
        got = kata.token_log_probs(logits, torch.tensor([[0, 1]]))
        check.close(got, torch.tensor([[0.0, -2e4]]))
        expected = torch.tensor([[[0.0, 0.0], [-1.0, 1.0]]])
        check.close(gradient(got, logits)[0], expected, what="gradient")

    @pytest.mark.edge
    def test_a_masked_impossible_token_is_zero(self, kata):
        """A masked token with a logit of −inf: −inf · 0 would be NaN."""
        logits = scores(1, 2, 3)
        logits[0, 1, 0] = -INF
        got = kata.token_log_probs(
            logits, torch.tensor([[2, 0]]), torch.tensor([[True, False]])
        )
        check.close(got[0, 1], torch.tensor(0.0))

    @pytest.mark.edge
    def test_transposed_logits_work(self, kata):
        """Only logits[b, t] matters, wherever it is in memory."""
        logits, targets = scores(3, 2, 5).transpose(0, 1), ids((2, 3, 5))
        check.close(
            kata.token_log_probs(logits, targets),
            kata.token_log_probs(logits.contiguous(), targets),
        )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """`targets[~mask] = 0` would write to the caller's batch."""
        logits, targets = scores(2, 3, 5), ids((2, 3, 5), at={(0, 1): -100})
        mask = targets >= 0
        with check.unchanged(logits=logits, targets=targets, mask=mask):
            kata.token_log_probs(logits, targets, mask)

    @pytest.mark.edge
    def test_keeps_the_dtype(self, kata):
        """The zeros at masked positions must not change the precision."""
        for dtype in (torch.float64, torch.bfloat16):
            got = kata.token_log_probs(
                scores(2, 3, 5, dtype=dtype), ids((2, 3, 5)), torch.zeros(2, 3).bool()
            )
            check.dtype(got, dtype)

    @pytest.mark.edge
    def test_targets_must_be_token_ids(self, kata):
        """Token ids are ints."""
        for dtype in (torch.float32, torch.bool):
            with check.raises(TypeError):
                kata.token_log_probs(scores(2, 3, 5), torch.ones(2, 3, dtype=dtype))

    @pytest.mark.edge
    @pytest.mark.parametrize("wrong", [57, -7])
    def test_a_target_that_is_not_masked_must_be_a_token(self, kata, wrong):
        """Where the mask is True, or without a mask, an id outside the vocabulary is a
        bug: say which it was.
        """
        targets, mask = ids((2, 3, 5), at={(1, 1): wrong}), torch.ones(2, 3).bool()
        mask[0, 0] = False
        for masks in ([mask], []):
            with check.raises(IndexError, wrong):
                kata.token_log_probs(scores(2, 3, 5), targets, *masks)

    @pytest.mark.edge
    def test_shapes_must_fit(self, kata):
        """(B, T, V) needs (B, T) targets and a (B, T) mask; a (T,) mask is
        not broadcast.
        """
        logits, targets = scores(2, 3, 5), ids((2, 3, 5))
        for t, mask in [
            (targets[:, :2], None),
            (targets.mT, None),
            (targets, torch.ones(3).bool()),
        ]:
            with check.raises(ValueError):
                kata.token_log_probs(logits, t, mask)


@pytest.mark.stretch
class TestKlDivergence:
    def test_direction_and_sum(self, kata):
        """KL(p ‖ q) = Σ p (log p − log q): p does the averaging. With p and q exchanged
        the number is another, and the mean over V in place of the sum is V times
        too small.
        """
        log_p, log_q = (
            log_softmax(scores(2, 3, 5)),
            log_softmax(scores(5, 3, 2).permute(2, 1, 0)),
        )
        term = log_p.exp() * (log_p - log_q)
        unlike = {
            "KL(q ‖ p): p and q exchanged": (log_q.exp() * (log_q - log_p)).sum(-1),
            "the mean over V, not the sum": term.mean(-1),
            "the sign turned": -term.sum(-1),
            "not weighted by p": (log_p - log_q).sum(-1),
            "the average taken over q": (log_q.exp() * (log_p - log_q)).sum(-1),
        }
        expected = torch.zeros(2, 3, dtype=torch.float64)
        for v in range(5):
            expected += log_p[..., v].exp() * (log_p[..., v] - log_q[..., v])
        check.close(kata.kl_divergence(log_p, log_q), expected, unlike=unlike)

    def test_any_number_of_leading_dimensions(self, kata):
        """Only the last dimension is summed: (V,) gives a scalar."""
        log_p, log_q = torch.tensor([0.25, 0.75]).log(), torch.tensor([0.5, 0.5]).log()
        expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
        check.close(kata.kl_divergence(log_p, log_q), torch.tensor(expected))

    @given(
        p=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
        q=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
    )
    def test_is_zero_only_for_equal_distributions(self, kata, p, q):
        """No q beats p itself where p does the averaging: the divergence is never
        negative; for q = p it is 0.
        """
        log_p, log_q = (log_softmax(torch.tensor(logits)) for logits in (p, q))
        got = kata.kl_divergence(log_p, log_q).item()
        check.that(
            got > -1e-9,
            f"the divergence is {got:.3g} for the logits {p} and {q}, it is never "
            "negative",
        )
        check.close(
            kata.kl_divergence(log_p, log_p),
            torch.tensor(0.0),
            atol=1e-9,
            what="KL(p ‖ p)",
        )

    def test_gradients_equal_the_formula(self, kata):
        """Both inputs get a gradient: log p(v) the term p (log p − log q) + p, log q(v)
        minus p.
        """
        check.gradients(
            kata.kl_divergence,
            lambda a, b: F.kl_div(b, a, reduction="none", log_target=True).sum(-1),
            log_softmax(scores(2, 3, 5)),
            log_softmax(scores(2, 3, 5) * 0.5 + 1),
        )

    def test_zero_in_q_alone_is_infinite(self, kata):
        """q gives probability 0 to what p produces: no finite number of nats pays for
        that. A clamp would hide it.
        """
        log_p, log_q = (
            torch.tensor([[0.5, 0.5], [0.5, 0.5]]).log(),
            torch.tensor([[1.0, 0.0], [0.25, 0.75]]).log(),
        )
        got = kata.kl_divergence(log_p, log_q)
        check.that(
            got[0].item() == INF,
            f"expected inf where q is 0 and p is not, got {got[0].item()}",
        )
        check.finite(got[1], what="the other row")

    def test_is_written_without_the_ready_made_one(self, kata):
        """F.kl_div takes its arguments in the opposite order, and its "mean" is not
        the divergence.
        """
        with check.forbidden(kata, *READY_MADE):
            kata.kl_divergence(log_softmax(scores(3, 5)), log_softmax(scores(3, 5)))

    @pytest.mark.edge
    def test_zero_in_p_contributes_nothing(self, kata):
        """lim p log p = 0 for p → 0. Computed, 0 · −inf is NaN, in the value or only in
        the gradient. Here q is 0 in one of the two places where p is.
        """
        log_p = leaf(torch.tensor([0.5, 0.5, 0.0, 0.0]).log())
        log_q = leaf(torch.tensor([0.25, 0.25, 0.5, 0.0]).log())
        got = kata.kl_divergence(log_p, log_q)
        check.close(got, torch.tensor(math.log(2)))
        for_p, for_q = gradient(got, log_p, log_q)
        half = 0.5 * math.log(2) + 0.5
        check.close(
            for_p, torch.tensor([half, half, 0.0, 0.0]), what="gradient of log_p"
        )
        check.close(
            for_q, torch.tensor([-0.5, -0.5, 0.0, 0.0]), what="gradient of log_q"
        )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """`log_p[log_p == -inf] = 0` would write to the caller's tensor."""
        log_p, log_q = (
            torch.tensor([0.5, 0.5, 0.0]).log(),
            torch.tensor([0.25, 0.75, 0.0]).log(),
        )
        with check.unchanged(log_p=log_p, log_q=log_q):
            kata.kl_divergence(log_p, log_q)

    @pytest.mark.edge
    def test_shapes_must_be_equal(self, kata):
        """One q for all rows of p has to be expanded by the caller, who knows that it
        is meant.
        """
        for other in [(5,), (1, 5), (3, 1)]:
            with check.raises(ValueError):
                kata.kl_divergence(torch.zeros(3, 5), torch.zeros(other))


@pytest.mark.stretch
class TestApproximateKl:
    @pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
    def test_each_estimator_by_hand(self, kata, estimator):
        """With r = ref − policy, position by position: −r, r²/2, eʳ − 1 − r; then the
        mean over all positions.
        """
        policy = torch.tensor(
            [[-1.0, -2.0, -0.5], [-3.0, -1.5, -2.5]], dtype=torch.float64
        )
        ref = torch.tensor(
            [[-1.5, -1.0, -0.75], [-5.0, -1.25, -2.0]], dtype=torch.float64
        )
        gaps = [-0.5, 1.0, -0.25, -2.0, 0.25, 0.5]
        formula = {
            "k1": lambda r: -r,
            "k2": lambda r: r * r / 2,
            "k3": lambda r: math.exp(r) - 1 - r,
        }[estimator]
        turned = torch.tensor(sum(formula(-r) for r in gaps) / 6, dtype=torch.float64)
        expected = torch.tensor(sum(map(formula, gaps)) / 6, dtype=torch.float64)
        unlike = {"the sum, not the mean": expected * 6}
        if estimator != "k2":
            unlike["r = policy − ref, which has the sign turned"] = turned
        check.close(
            kata.approximate_kl(policy, ref, estimator), expected, unlike=unlike
        )

    def test_k1_is_the_default(self, kata):
        """Without an estimator: the mean of policy − ref, for any shape, here one
        number per text, (B,).
        """
        policy, ref = torch.tensor([-1.0, -2.0, -4.0]), torch.tensor([-3.0, -2.5, -2.0])
        check.close(kata.approximate_kl(policy, ref), torch.tensor(1 / 6))

    def test_averaged_over_the_policy_they_give_the_divergence(self, kata):
        """Tokens drawn from the policy, each as often as its probability says: 5, 2 and
        1 of 8. Then k1 and k3 are exactly Σ p (log p − log q), which is positive; the
        sign is that of KL(policy ‖ ref).
        """
        p = torch.tensor([5.0, 2.0, 1.0], dtype=torch.float64) / 8
        q = torch.tensor([0.25, 0.25, 0.5], dtype=torch.float64)
        drawn = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2])
        exact = (p * (p / q).log()).sum()
        for estimator in ("k1", "k3"):
            check.close(
                kata.approximate_kl(p.log()[drawn], q.log()[drawn], estimator),
                exact,
                what=estimator,
            )

    def test_k2_and_k3_are_never_negative(self, kata):
        """A single position may give a negative k1. For k2 and k3 no position can, so
        their mean is small only where the models agree.
        """
        for gap in (-3.0, -0.5, 0.5, 2.0):
            policy, ref = torch.tensor([-4.0]), torch.tensor([-4.0 + gap])
            for estimator in ("k2", "k3"):
                got = kata.approximate_kl(policy, ref, estimator)
                check.that(
                    got.item() > 0,
                    f"{estimator} at a position with r = {gap} should be > 0, not "
                    f"{got.item()}",
                )

    def test_the_mean_is_over_kept_positions(self, kata):
        """A shorter text has fewer positions, not a smaller divergence: the sum is
        divided by the True positions.
        """
        policy, ref = (
            torch.tensor([-1.0, -2.0, -7.0, -9.0]),
            torch.tensor([-2.0, -2.5, -1.0, -30.0]),
        )
        mask = torch.tensor([True, True, False, False])
        for estimator in ("k1", "k2", "k3"):
            expected = kata.approximate_kl(policy[:2], ref[:2], estimator)
            unlike = {"divided by all positions, the masked included": expected / 2}
            check.close(
                kata.approximate_kl(policy, ref, estimator, mask),
                expected,
                unlike=unlike,
                what=estimator,
            )

    def test_gradients_equal_the_formula(self, kata):
        """Both sides get gradients, at kept positions, divided by the number
        of those.
        """
        mask = torch.tensor([[True, False, True], [False, True, True]])
        formulas = {
            "k1": lambda r: -r,
            "k2": lambda r: r**2 / 2,
            "k3": lambda r: r.exp() - 1 - r,
        }
        for estimator, formula in formulas.items():
            check.gradients(
                partial(kata.approximate_kl, estimator=estimator, mask=mask),
                lambda a, b: (formula(b - a) * mask).sum() / 4,
                log_softmax(scores(2, 3)),
                log_softmax(scores(3, 2)).mT,
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("estimator", ["k1", "k2", "k3"])
    def test_what_is_masked_has_no_influence(self, kata, estimator):
        """Padding may hold NaN or −inf. Multiplied by 0 these are NaN, in the value, or
        only in the gradient when the mask comes after the formula.
        """
        nan = float("nan")
        policy = leaf(torch.tensor([-1.0, nan, -INF, -INF, -5.0]))
        ref = leaf(torch.tensor([-2.0, -1.0, -1.0, -INF, nan]))
        mask = torch.tensor([True, False, False, False, False])
        got = kata.approximate_kl(policy, ref, estimator, mask)
        expected = {"k1": 1.0, "k2": 0.5, "k3": math.exp(-1)}[estimator]
        check.close(got, torch.tensor(expected))
        for name, slopes in zip(
            ("policy", "ref"), gradient(got, policy, ref), strict=True
        ):
            check.equal(
                slopes[1:],
                torch.zeros(4),
                what=f"gradient of the masked positions of {name}",
            )

    @pytest.mark.edge
    def test_nothing_kept_is_zero_with_zero_gradient(self, kata):
        """An empty selection has no mean: 0, not NaN."""
        policy, ref = leaf(scores(2, 3)), leaf(scores(2, 3) - 1)
        for estimator in ("k1", "k2", "k3"):
            got = kata.approximate_kl(policy, ref, estimator, torch.zeros(2, 3).bool())
            check.close(got, torch.tensor(0.0), what=estimator)
            for slopes in gradient(got, policy, ref):
                check.equal(
                    slopes, torch.zeros(2, 3, dtype=torch.float64), what="gradient"
                )

    @pytest.mark.edge
    def test_the_inputs_stay_as_they_were(self, kata):
        """Masked positions are replaced in a new tensor."""
        policy, ref, mask = (
            scores(2, 3),
            scores(2, 3) - 1,
            torch.tensor([[True, False, True]] * 2),
        )
        with check.unchanged(policy=policy, ref=ref, mask=mask):
            kata.approximate_kl(policy, ref, "k3", mask)

    @pytest.mark.edge
    def test_shapes_must_be_equal(self, kata):
        """(B,) against (B, 1) would be broadcast to all pairs, and a (T,) mask to
        all sequences.
        """
        for policy, ref, mask in [
            ((4,), (4, 1), ()),
            ((2, 3), (3,), ()),
            ((2, 3), (2, 3), (3,)),
        ]:
            masks = [torch.ones(mask).bool()] if mask else []
            with check.raises(ValueError):
                kata.approximate_kl(torch.zeros(policy), torch.zeros(ref), "k1", *masks)

    @pytest.mark.edge
    def test_unknown_estimator_is_refused(self, kata):
        """A misspelt estimator must not fall through to another one."""
        with check.raises(ValueError):
            kata.approximate_kl(scores(3), scores(3), "k4")
