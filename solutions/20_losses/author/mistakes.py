"""Wrong solutions of 20 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

HUBER = """values = torch.where(
            size <= delta, error.square() / 2, delta * (size - delta / 2)
        )"""
NLL = """return _reduced(
        -counts * chosen.masked_fill(~kept, 0.0),
        reduction,
        torch.where(total == 0, 1.0, total),
    )"""
SAFE_IDS = "return targets.masked_fill(~kept, 0)"
LOG_SOFTMAX = "log_probs = logits.log_softmax(dim=1)"
SMOOTHED = """values = (
            1 - label_smoothing
        ) * values + label_smoothing * everywhere.masked_fill(~kept, 0.0)"""
YES = "yes = targets * F.softplus(-logits)"
BCE = "return _reduced(yes + no, reduction, logits.numel())"
BY_SEQUENCE = "return values.sum(dim=1) / kept.sum(dim=1).clamp(min=1)"
SEQUENCE_END = (
    BY_SEQUENCE + "\n    return _reduced(values, reduction, kept.sum().clamp(min=1))"
)
LOG_RATIO = "log_ratio = torch.where(p > 0, log_p - log_q, 0.0)"
KL = "return (p * log_ratio).sum(dim=-1)"
KL_MEAN = "return values.sum() / mask.sum().clamp(min=1)"

MISTAKES = [
    # regression_loss
    Mistake(
        "mean over rows, not elements",
        was="return _reduced(values, reduction, values.numel())",
        now="return _reduced(values, reduction, len(values))",
        caught_by="test_mean_squared_error",
        says="looks like the sum divided by the number of rows",
    ),
    Mistake(
        "broadcasting allowed",
        was='    _require_same_shape("target", target, pred.shape)\n',
        now="",
        caught_by="TestRegressionLoss::test_shapes_that_only_broadcast_are_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "smooth L1 for Huber",
        was=HUBER,
        now=(
            "values = torch.where(size <= delta, error.square() / (2 * delta), size - "
            "delta / 2)"
        ),
        caught_by="test_delta_moves_the_bend_of_huber",
        says="looks like smooth L1, which is Huber divided by delta",
    ),
    Mistake(
        "F.mse_loss",
        was="        values = error.square()\n",
        now='        values = F.mse_loss(pred, target, reduction="none")\n',
        caught_by="TestRegressionLoss::test_is_written_without_the_ready_made_ones",
        says="to be written without torch.nn.functional.mse_loss",
    ),
    # nll_loss
    Mistake(
        "mean divided by all rows",
        was=NLL,
        now=NLL.replace("torch.where(total == 0, 1.0, total)", "len(targets)"),
        caught_by="test_ignored_rows_are_zero_under_none_and_not_counted_under_mean",
        says="looks like the sum divided by all N rows, the ignored ones included",
    ),
    Mistake(
        "weighted mean divided by the number of kept rows",
        was=NLL,
        now=NLL.replace(
            "torch.where(total == 0, 1.0, total)", "kept.sum().clamp(min=1)"
        ),
        caught_by="test_weighted_mean_divides_by_the_kept_weights",
        says="looks like divided by the number of kept rows",
    ),
    Mistake(
        "hard-coded −100",
        was="    kept = targets != ignore_index\n    classes =",
        now="    kept = targets != -100\n    classes =",
        caught_by="test_any_number_may_be_the_ignored_one",
        says="looks like rows with ignore_index count like all others",
    ),
    Mistake(
        "0/0 when all rows are ignored",
        was=NLL,
        now=NLL.replace("torch.where(total == 0, 1.0, total)", "total"),
        caught_by="TestNllLoss::test_all_ignored_is_zero_with_zero_gradient",
        says="got nan, expected 0",
        edge=True,
    ),
    Mistake(
        "one-hot table times log-probabilities",
        was="chosen = log_probs.gather(1, classes.unsqueeze(1)).squeeze(1)",
        now="chosen = (F.one_hot(classes, log_probs.shape[1]) * log_probs).sum(1)",
        caught_by="test_minus_infinity_elsewhere_does_no_harm",
        says="looks like a sum over all classes: 0 · −inf is NaN",
        edge=True,
    ),
    Mistake(
        "targets[targets == ignore_index] = 0",
        was=SAFE_IDS,
        now="targets[~kept] = 0\n    return targets",
        caught_by="TestNllLoss::test_the_inputs_stay_as_they_were",
        says="targets after the call, which must not write to it",
        edge=True,
    ),
    # cross_entropy
    Mistake(
        "F.cross_entropy",
        was=LOG_SOFTMAX,
        now="return F.cross_entropy(logits, targets, ignore_index=ignore_index, "
        "label_smoothing=label_smoothing, "
        "reduction=reduction)\n    " + LOG_SOFTMAX,
        caught_by="TestCrossEntropy::test_is_written_without_the_ready_made_ones",
        says="to be written without torch.nn.functional.cross_entropy",
    ),
    Mistake(
        "logarithm of softmax",
        was=LOG_SOFTMAX,
        now="log_probs = torch.log(torch.softmax(logits, 1))",
        caught_by="TestCrossEntropy::test_logits_of_ten_thousand",
        says="got inf, expected 20000",
    ),
    Mistake(
        "softmax twice",
        was=LOG_SOFTMAX,
        now="log_probs = logits.softmax(1).log_softmax(1)",
        caught_by="test_from_raw_logits",
        says="looks like a second softmax on top of probabilities",
    ),
    Mistake(
        "smoothing on the other classes only",
        was=SMOOTHED,
        now="values = (1 - label_smoothing) * values + label_smoothing / "
        "(logits.shape[1] - 1) * "
        "(everywhere * logits.shape[1] - values).masked_fill(~kept, 0.0)",
        caught_by="test_smoothing_spreads_over_all_classes",
        says="looks like s spread over the other C − 1 classes only",
    ),
    Mistake(
        "smoothing of ignored rows",
        was=SMOOTHED,
        now=SMOOTHED.replace(".masked_fill(~kept, 0.0)", ""),
        caught_by="test_smoothing_leaves_ignored_rows_out",
        says="looks like smoothed, though it is ignored",
    ),
    # bce_with_logits
    Mistake(
        "logarithm of sigmoid plus a small number",
        was=YES,
        now="yes = targets * -torch.log(torch.sigmoid(logits) + 1e-7)",
        caught_by="TestBceWithLogits::test_logits_of_ten_thousand",
        says="got 16.1181, expected 10000",
    ),
    Mistake(
        "clamp and abs, with a kink at 0",
        was=BCE,
        now="""if pos_weight is None:
        values = logits.clamp(min=0) - logits * targets
        values = values + torch.log1p(torch.exp(-logits.abs()))
        return _reduced(values, reduction, logits.numel())
    return _reduced(yes + no, reduction, logits.numel())""",
        caught_by="test_the_gradient_at_zero",
        says="looks like clamp, which picks one side of its kink",
        edge=True,
    ),
    Mistake(
        "pos_weight on the whole loss",
        was="        yes = pos_weight * yes\n",
        now="        yes, no = pos_weight * yes, pos_weight * no\n",
        caught_by="test_pos_weight_acts_on_positives_only",
        says="looks like the whole loss multiplied",
    ),
    # sequence_cross_entropy
    Mistake(
        "the mean of sequence means",
        was=SEQUENCE_END,
        now=SEQUENCE_END.replace(
            "    return _reduced",
            '    if reduction == "mean":\n'
            "        return (values.sum(dim=1) / kept.sum(dim=1).clamp(min=1)).mean()\n"
            "    return _reduced",
        ),
        caught_by="test_token_mean_is_not_the_mean_of_sequence_means",
        says="looks like the mean of the sequence means",
    ),
    Mistake(
        "the mean over padding too",
        was=SEQUENCE_END,
        now=SEQUENCE_END.replace("kept.sum().clamp(min=1)", "targets.numel()"),
        caught_by="test_padding_changes_nothing",
        says="looks like the mean over padding, too",
    ),
    # token_log_probs
    Mistake(
        "the ignored target −100 used as an index",
        was="tokens = _class_ids(targets, mask, logits)",
        now="_class_ids(targets, mask, logits)\n    tokens = targets",
        caught_by="test_masked_targets_may_be_anything",
        says="index -100 is out of bounds",
    ),
    # kl_divergence
    Mistake(
        "p and q exchanged",
        was=LOG_RATIO,
        now="p = log_q.exp()\n    log_ratio = torch.where(p > 0, log_q - log_p, 0.0)",
        caught_by="test_direction_and_sum",
        says="looks like KL(q ‖ p): p and q exchanged",
    ),
    Mistake(
        "F.kl_div",
        was=KL,
        now=(
            'return F.kl_div(log_q, log_p, reduction="none", '
            "log_target=True).sum(dim=-1)"
        ),
        caught_by="test_is_written_without_the_ready_made_one",
        says="to be written without torch.nn.functional.kl_div",
    ),
    # approximate_kl
    Mistake(
        "ref − policy for k1",
        was="        values = -r\n",
        now="        values = r\n",
        caught_by="test_each_estimator_by_hand",
        says="looks like r = policy − ref, which has the sign turned",
    ),
    Mistake(
        "masked estimates averaged over all positions",
        was=KL_MEAN,
        now="return values.sum() / mask.numel()",
        caught_by="test_the_mean_is_over_kept_positions",
        says="looks like divided by all positions, the masked included",
    ),
]

IGNORED = "what is ignored is multiplied by a count of 0"

UNASKED = {
    f"{given}, never negative": "how much a class counts"
    for given in ("bce_with_logits: pos_weight", "nll_loss: weight")
}

EQUIVALENT = [
    Equivalent(
        was="size <= delta, error.square() / 2, delta * (size - delta / 2)",
        now="size < delta, error.square() / 2, delta * (size - delta / 2)",
        reason="parabola and line meet at delta, in value and slope",
    ),
    Equivalent(
        was="-counts * chosen.masked_fill(~kept, 0.0),",
        now=("-counts * chosen.masked_fill(~kept, 1.0),"),
        reason=IGNORED,
    ),
    Equivalent(
        was="-counts * chosen.masked_fill(~kept, 0.0),",
        now=("-counts * chosen.masked_fill(~kept, -1.0),"),
        reason=IGNORED,
    ),
    Equivalent(
        was="torch.where(total == 0, 1.0, total),",
        now="torch.where(total <= 0, 1.0, total),",
        reason="weights are not negative",
    ),
    Equivalent(
        was="torch.where(total == 0, 1.0, total),",
        now="torch.where(total == 0, 2.0, total),",
        reason="the sum that is divided is 0",
    ),
    Equivalent(
        was="if logits.ndim != 2:",
        now="if logits.ndim < 2:",
        reason="nll_loss refuses more dimensions",
    ),
    Equivalent(
        was=LOG_RATIO,
        now=LOG_RATIO.replace("0.0)", "1.0)"),
        reason="it is multiplied by p = 0",
    ),
    Equivalent(
        was=LOG_RATIO,
        now=LOG_RATIO.replace("0.0)", "-1.0)"),
        reason="it is multiplied by p = 0",
    ),
    Equivalent(
        was="wrong = kept & ((targets < 0) | (targets >= scores.shape[-1]))",
        now="wrong = kept & ((targets < 0) ^ (targets >= scores.shape[-1]))",
        reason="no number is both below 0 and at least C",
    ),
    Equivalent(
        was=(
            "values = torch.where(d.abs() <= delta, d**2 / 2, delta * (d.abs() - "
            "delta / 2))"
        ),
        now=(
            "values = torch.where(d.abs() < delta, d**2 / 2, delta * (d.abs() - delta "
            "/ 2))"
        ),
        reason="at delta both are delta² / 2, with one slope",
        textbook=True,
    ),
    Equivalent(
        was=(
            "targets = targets.masked_fill(~keep, 0)  # any class will do: the row "
            "does not count"
        ),
        now=(
            "targets = targets.masked_fill(~keep, 1)  # any class will do: the row "
            "does not count"
        ),
        reason="any class will do",
        textbook=True,
    ),
    Equivalent(
        was=(
            "picked = log_probs.gather(1, targets[:, "
            "None]).squeeze(1).masked_fill(~keep, 0)"
        ),
        now=(
            "picked = log_probs.gather(1, targets[:, "
            "None]).squeeze(1).masked_fill(~keep, 1)"
        ),
        reason="the row's weight is 0",
        textbook=True,
    ),
    Equivalent(
        was=(
            "picked = log_probs.gather(1, targets[:, "
            "None]).squeeze(1).masked_fill(~keep, 0)"
        ),
        now=(
            "picked = log_probs.gather(1, targets[:, "
            "None]).squeeze(1).masked_fill(~keep, -1)"
        ),
        reason="the row's weight is 0",
        textbook=True,
    ),
    Equivalent(
        was="if label_smoothing > 0:",
        now="if label_smoothing >= 0:",
        reason="0 times a finite term; an infinite one is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if label_smoothing > 0:",
        now="if label_smoothing > -1:",
        reason="0 times a finite term; an infinite one is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="return values.sum() / keep.sum().clamp(min=1)",
        now="return values.sum() / keep.sum().clamp(min=0)",
        reason="targets that are all ignored are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="return values.sum(dim=1) / keep.sum(dim=1).clamp(min=1)",
        now="return values.sum(dim=1) / keep.sum(dim=1).clamp(min=0)",
        reason="targets that are all ignored are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="targets = targets.masked_fill(~mask, 0)",
        now="targets = targets.masked_fill(~mask, 1)",
        reason="any token will do: the mask takes it out",
        textbook=True,
    ),
]
