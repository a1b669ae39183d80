"""Wrong solutions of 20 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

HUBER = "values = torch.where(size <= delta, error.square() / 2, delta * (size - delta / 2))"
NLL = "return _reduced(-counts * chosen.masked_fill(~kept, 0.0), reduction, torch.where(total == 0, 1.0, total))"
SAFE_IDS = "return targets.masked_fill(~kept, 0)"
LOG_SOFTMAX = "log_probs = logits.log_softmax(dim=1)"
SMOOTHED = "values = (1 - label_smoothing) * values + label_smoothing * everywhere.masked_fill(~kept, 0.0)"
EVERYWHERE = "everywhere = -log_probs.mean(dim=1)"
CROSS_ENTROPY_END = """* everywhere.masked_fill(~kept, 0.0)
    return _reduced(values, reduction, kept.sum().clamp(min=1))"""
YES = "yes = targets * F.softplus(-logits)"
NO = "no = (1 - targets) * F.softplus(logits)"
BCE = "return _reduced(yes + no, reduction, logits.numel())"
BY_SEQUENCE = "return values.sum(dim=1) / kept.sum(dim=1).clamp(min=1)"
SEQUENCE_END = BY_SEQUENCE + "\n    return _reduced(values, reduction, kept.sum().clamp(min=1))"
FLAT = """values = cross_entropy(logits.flatten(0, -2), targets.flatten(), ignore_index=ignore_index, reduction="none")
    values = values.reshape(targets.shape)"""
TOKEN = "chosen = logits.log_softmax(dim=-1).gather(-1, tokens.unsqueeze(-1)).squeeze(-1)"
LOG_RATIO = "log_ratio = torch.where(p > 0, log_p - log_q, 0.0)"
KL = "return (p * log_ratio).sum(dim=-1)"
R = "r = log_probs_ref.masked_fill(~mask, 0.0) - log_probs_policy.masked_fill(~mask, 0.0)"
KL_MEAN = "return values.sum() / mask.sum().clamp(min=1)"
ESTIMATE = f"""{R}
    if estimator == "k1":
        values = -r
    elif estimator == "k2":
        values = r.square() / 2
    elif estimator == "k3":
        values = r.expm1() - r
    else:
        raise ValueError(f"estimator should be 'k1', 'k2' or 'k3', not {{estimator!r}}")
    {KL_MEAN}"""

MISTAKES = [
    # regression_loss
    Mistake(
        "mean over rows, not elements",
        was="return _reduced(values, reduction, values.numel())",
        now="return _reduced(values, reduction, len(values))",
        caught_by="test_mean_squared_error",
    ),
    Mistake(
        "half the square for mse",
        was="        values = error.square()\n",
        now="        values = error.square() / 2\n",
        caught_by="test_mean_squared_error",
    ),
    Mistake(
        "broadcasting allowed",
        was='    _require_same_shape("target", target, pred.shape)\n',
        now="",
        caught_by="TestRegressionLoss::test_shapes_that_only_broadcast_are_refused",
        edge=True,
    ),
    Mistake(
        "only the number of elements compared",
        was='_require_same_shape("target", target, pred.shape)',
        now='_require_same_shape("target", target.flatten(), pred.flatten().shape)',
        caught_by="TestRegressionLoss::test_shapes_that_only_broadcast_are_refused",
        edge=True,
    ),
    Mistake(
        "smooth L1 for Huber",
        was=HUBER,
        now="values = torch.where(size <= delta, error.square() / 2 / delta, size - delta / 2)",
        caught_by="test_delta_moves_the_bend_of_huber",
    ),
    Mistake(
        "Huber with a jump",
        was=HUBER,
        now="values = torch.where(size <= delta, error.square() / 2, delta * size)",
        caught_by="test_delta_moves_the_bend_of_huber",
    ),
    Mistake(
        "Huber without the half",
        was=HUBER,
        now="values = torch.where(size <= delta, error.square(), delta * (2 * size - delta))",
        caught_by="test_the_cost_of_each_error",
    ),
    Mistake(
        "Huber takes the parabola of negative errors",
        was=HUBER,
        now="values = torch.where(error <= delta, error.square() / 2, delta * (size - delta / 2))",
        caught_by="test_the_cost_of_each_error",
    ),
    Mistake(
        "the error in place",
        was="error = pred - target",
        now="error = pred.sub_(target) if not pred.requires_grad else pred - target",
        caught_by="TestRegressionLoss::test_the_inputs_stay_as_they_were",
    ),
    Mistake(
        "the target detached",
        was="error = pred - target",
        now="error = pred - target.detach()",
        caught_by="TestRegressionLoss::test_values_and_gradients_equal_pytorch",
    ),
    Mistake(
        "F.mse_loss",
        was="        values = error.square()\n",
        now='        values = F.mse_loss(pred, target, reduction="none")\n',
        caught_by="TestRegressionLoss::test_is_written_without_the_ready_made_ones",
    ),
    Mistake(
        "any other kind is Huber",
        was="""        values = torch.where(size <= delta, error.square() / 2, delta * (size - delta / 2))
    else:
        raise ValueError(f"kind should be 'mse', 'l1' or 'huber', not {kind!r}")""",
        now="""        values = torch.where(size <= delta, error.square() / 2, delta * (size - delta / 2))
    else:
        values = error.abs()""",
        caught_by="test_unknown_kind_or_reduction_is_refused_by_name",
        edge=True,
    ),
    Mistake(
        "any other reduction is the mean",
        was="""    if reduction == "mean":
        return values.sum() / count
    raise ValueError(f"there is no reduction {reduction!r}")""",
        now="    return values.sum() / count",
        caught_by="TestNllLoss::test_unknown_reduction_is_refused_by_name",
        edge=True,
    ),
    # nll_loss
    Mistake(
        "mean divided by all rows",
        was=NLL,
        now=NLL.replace("torch.where(total == 0, 1.0, total)", "len(targets)"),
        caught_by="test_ignored_rows_are_zero_under_none_and_not_counted_under_mean",
    ),
    Mistake(
        "weighted mean divided by the number of kept rows",
        was=NLL,
        now=NLL.replace("torch.where(total == 0, 1.0, total)", "kept.sum().clamp(min=1)"),
        caught_by="test_weighted_mean_divides_by_the_kept_weights",
    ),
    Mistake(
        "sum of weights kept from falling below 1",
        was="torch.where(total == 0, 1.0, total)",
        now="total.clamp(min=1)",
        caught_by="test_weighted_mean_divides_by_the_kept_weights",
    ),
    Mistake(
        "0/0 when all rows are ignored",
        was="torch.where(total == 0, 1.0, total)",
        now="total",
        caught_by="TestNllLoss::test_all_ignored_is_zero_with_zero_gradient",
        edge=True,
    ),
    Mistake(
        "no graph when all rows are ignored",
        was="    total = counts.sum()\n",
        now="    total = counts.sum()\n    if not kept.any():\n        return torch.tensor(0.0)\n",
        caught_by="TestNllLoss::test_all_ignored_is_zero_with_zero_gradient",
        edge=True,
    ),
    Mistake(
        "weights of ignored rows counted as class 0",
        was="counts = counts * weight[classes]",
        now="counts = weight[classes]",
        caught_by="test_weighted_mean_divides_by_the_kept_weights",
    ),
    Mistake(
        "hard-coded −100",
        was="    kept = targets != ignore_index\n    classes =",
        now="    kept = targets != -100\n    classes =",
        caught_by="test_any_number_may_be_the_ignored_one",
    ),
    Mistake(
        "every negative target ignored",
        was="    kept = targets != ignore_index\n    classes =",
        now="    kept = (targets != ignore_index) & (targets >= 0)\n    classes =",
        caught_by="TestNllLoss::test_a_target_that_is_no_class_is_named",
        edge=True,
    ),
    Mistake(
        "−100 ignored beside ignore_index",
        was="    kept = targets != ignore_index\n    classes =",
        now="    kept = (targets != ignore_index) & (targets != -100)\n    classes =",
        caught_by="test_minus_one_hundred_is_nothing_special",
        edge=True,
    ),
    Mistake(
        "negative targets refused, ignore_index included",
        was="    wrong = kept & (",
        now="    wrong = (targets < 0) | kept & (",
        caught_by="test_ignored_rows_are_zero_under_none_and_not_counted_under_mean",
    ),
    Mistake(
        "one-hot table times log-probabilities",
        was="chosen = log_probs.gather(1, classes.unsqueeze(1)).squeeze(1)",
        now="chosen = (F.one_hot(classes, log_probs.shape[1]) * log_probs).sum(1)",
        caught_by="test_minus_infinity_elsewhere_does_no_harm",
    ),
    Mistake(
        "ignored rows multiplied by 0",
        was=NLL,
        now=NLL.replace("chosen.masked_fill(~kept, 0.0)", "chosen"),
        caught_by="test_minus_infinity_elsewhere_does_no_harm",
    ),
    Mistake(
        "the minus forgotten",
        was="_reduced(-counts * chosen",
        now="_reduced(counts * chosen",
        caught_by="test_mean_of_the_targets_log_probabilities",
    ),
    Mistake(
        "targets[targets == ignore_index] = 0",
        was=SAFE_IDS,
        now="targets[~kept] = 0\n    return targets",
        caught_by="TestNllLoss::test_the_targets_stay_as_they_were",
    ),
    Mistake(
        "counts in float32",
        was="counts = kept.to(log_probs.dtype)",
        now="counts = kept.float()",
        caught_by="TestNllLoss::test_keeps_the_dtype",
        edge=True,
    ),
    Mistake(
        "float targets converted",
        was="""    if targets.is_floating_point() or targets.dtype == torch.bool:
        raise TypeError(f"targets should be int64 class ids, not {targets.dtype}")""",
        now="    targets = targets.long()",
        caught_by="TestNllLoss::test_targets_must_be_class_ids",
        edge=True,
    ),
    Mistake(
        "negative class ids count from the end",
        was="((targets < 0) | (targets >= scores.shape[-1]))",
        now="((targets < -1000) | (targets >= scores.shape[-1]))",
        caught_by="TestCrossEntropy::test_a_target_that_is_no_class_is_named",
        edge=True,
    ),
    Mistake(
        "fewer targets than rows accepted",
        was='    _require_same_shape("targets", targets, scores.shape[:-1])\n',
        now="",
        caught_by="TestNllLoss::test_shapes_must_fit",
        edge=True,
    ),
    # cross_entropy
    Mistake(
        "logarithm of softmax",
        was=LOG_SOFTMAX,
        now="log_probs = torch.log(torch.softmax(logits, 1))",
        caught_by="TestCrossEntropy::test_logits_of_ten_thousand",
    ),
    Mistake(
        "logarithm of softmax plus a small number",
        was=LOG_SOFTMAX,
        now="log_probs = torch.log(torch.softmax(logits, 1) + 1e-12)",
        caught_by="TestCrossEntropy::test_logits_of_ten_thousand",
    ),
    Mistake(
        "softmax over the rows",
        was=LOG_SOFTMAX,
        now="log_probs = logits.log_softmax(dim=0)",
        caught_by="test_from_raw_logits",
    ),
    Mistake(
        "softmax twice",
        was=LOG_SOFTMAX,
        now="log_probs = logits.softmax(dim=1).log_softmax(dim=1)",
        caught_by="test_from_raw_logits",
    ),
    Mistake(
        "smoothing on the other classes only",
        was=EVERYWHERE,
        now="everywhere = (-log_probs.sum(dim=1) - values) / (logits.shape[1] - 1)",
        caught_by="test_smoothing_spreads_over_all_classes",
    ),
    Mistake(
        "smoothing added to a full target",
        was=SMOOTHED,
        now=SMOOTHED.replace("(1 - label_smoothing) * values", "values"),
        caught_by="test_smoothing_spreads_over_all_classes",
    ),
    Mistake(
        "smoothing of ignored rows",
        was=SMOOTHED,
        now=SMOOTHED.replace(".masked_fill(~kept, 0.0)", ""),
        caught_by="test_smoothing_leaves_ignored_rows_out",
    ),
    Mistake(
        "smoothing term times 0",
        was="if label_smoothing > 0:",
        now="if True:",
        caught_by="test_an_impossible_class_does_no_harm",
    ),
    Mistake(
        "cross-entropy divided by all rows",
        was=CROSS_ENTROPY_END,
        now=CROSS_ENTROPY_END.replace("kept.sum().clamp(min=1)", "len(targets)"),
        caught_by="TestCrossEntropy::test_ignored_rows_are_not_counted_under_mean",
    ),
    Mistake(
        "cross-entropy of nothing is 0/0",
        was=CROSS_ENTROPY_END,
        now=CROSS_ENTROPY_END.replace(".clamp(min=1)", ""),
        caught_by="TestCrossEntropy::test_all_ignored_is_zero_with_zero_gradient",
    ),
    Mistake(
        "smoothing of 1 allowed",
        was="if not 0 <= label_smoothing < 1:",
        now="if not 0 <= label_smoothing <= 1:",
        caught_by="test_label_smoothing_lies_in_zero_to_one",
        edge=True,
    ),
    # bce_with_logits
    Mistake(
        "logarithm of sigmoid plus a small number",
        was=YES,
        now="yes = targets * -torch.log(torch.sigmoid(logits) + 1e-7)",
        caught_by="TestBceWithLogits::test_logits_of_ten_thousand",
    ),
    Mistake(
        "sigmoid in the logarithm of a right answer",
        was=YES,
        now="yes = targets * torch.where(logits > 0, -torch.log(torch.sigmoid(logits) + 1e-8), F.softplus(-logits))",
        caught_by="test_confident_right_answers_stay_precise",
    ),
    Mistake(
        "clamp and abs, with a kink at 0",
        was=BCE,
        now="""if pos_weight is None:
        values = logits.clamp(min=0) - logits * targets + torch.log1p(torch.exp(-logits.abs()))
        return _reduced(values, reduction, logits.numel())
    return _reduced(yes + no, reduction, logits.numel())""",
        caught_by="test_the_gradient_is_probability_minus_target",
    ),
    Mistake(
        "pos_weight on the whole loss",
        was=BCE,
        now="return _reduced((yes + no) * (1 if pos_weight is None else pos_weight), reduction, logits.numel())",
        caught_by="test_pos_weight_acts_on_positives_only",
    ),
    Mistake(
        "mean divided by the weights",
        was=BCE,
        now="count = logits.numel() if pos_weight is None else pos_weight.expand_as(logits).sum()\n    "
        + BCE.replace("logits.numel()", "count"),
        caught_by="TestBceWithLogits::test_values_and_gradients_equal_pytorch",
    ),
    Mistake(
        "yes and no exchanged",
        was=NO,
        now="yes, no = (1 - targets) * F.softplus(-logits), targets * F.softplus(logits)",
        caught_by="test_soft_and_hard_targets",
    ),
    Mistake(
        "targets rounded to yes or no",
        was=YES,
        now="targets = targets.round()\n    " + YES,
        caught_by="test_soft_and_hard_targets",
    ),
    Mistake(
        "(B, 1) logits against (B,) targets",
        was='    _require_same_shape("targets", targets, logits.shape)\n    yes =',
        now="    yes =",
        caught_by="TestBceWithLogits::test_shapes_that_only_broadcast_are_refused",
        edge=True,
    ),
    Mistake(
        "pos_weight enlarges the loss",
        was='        _require_fitting("pos_weight", pos_weight, logits.shape)\n',
        now="",
        caught_by="test_a_pos_weight_that_does_not_fit_is_refused",
        edge=True,
    ),
    Mistake(
        "pos_weight must have the shape of the logits",
        was='_require_fitting("pos_weight", pos_weight, logits.shape)',
        now='_require_same_shape("pos_weight", pos_weight, logits.shape)',
        caught_by="test_pos_weight_acts_on_positives_only",
    ),
    # sequence_cross_entropy
    Mistake(
        "the mean of sequence means",
        was=SEQUENCE_END,
        now=SEQUENCE_END.replace(
            "    return _reduced(",
            '    if reduction == "mean":\n        return (values.sum(dim=1) / kept.sum(dim=1).clamp(min=1)).mean()\n'
            "    return _reduced(",
        ),
        caught_by="test_token_mean_is_not_the_mean_of_sequence_means",
    ),
    Mistake(
        "the mean over padding too",
        was=SEQUENCE_END,
        now=SEQUENCE_END.replace("kept.sum().clamp(min=1))", "kept.numel())"),
        caught_by="test_token_mean_is_not_the_mean_of_sequence_means",
    ),
    Mistake(
        "sequence means over T",
        was=BY_SEQUENCE,
        now="return values.mean(dim=1)",
        caught_by="test_token_mean_is_not_the_mean_of_sequence_means",
    ),
    Mistake(
        "an empty sequence is 0/0",
        was=BY_SEQUENCE,
        now="return values.sum(dim=1) / kept.sum(dim=1)",
        caught_by="test_a_sequence_without_tokens_is_zero",
    ),
    Mistake(
        "mean of nothing by boolean selection",
        was=SEQUENCE_END,
        now=SEQUENCE_END.replace(
            "    return _reduced(",
            '    if reduction == "mean":\n        return values[kept].mean()\n    return _reduced(',
        ),
        caught_by="TestSequenceCrossEntropy::test_all_ignored_is_zero_with_zero_gradient",
    ),
    Mistake(
        ".view on logits",
        was=FLAT,
        now=FLAT.replace("logits.flatten(0, -2)", "logits.view(-1, logits.shape[-1])"),
        caught_by="TestSequenceCrossEntropy::test_transposed_logits_work",
    ),
    Mistake(
        "ignore_index not passed on",
        was=FLAT,
        now=FLAT.replace("ignore_index=ignore_index, ", ""),
        caught_by="test_the_ignored_id_may_be_a_real_one",
    ),
    Mistake(
        "targets of another layout flattened",
        was='    _require_same_shape("targets", targets, logits.shape[:-1])\n    values',
        now="    values",
        caught_by="TestSequenceCrossEntropy::test_shapes_must_fit",
        edge=True,
    ),
    Mistake(
        "targets shifted once more",
        was=FLAT,
        now="targets = targets.roll(-1, dims=1)\n    " + FLAT,
        caught_by="test_mean_over_all_tokens",
    ),
    # token_log_probs
    Mistake(
        "gather on raw targets",
        was="tokens = _class_ids(targets, mask, logits)",
        now="_class_ids(targets, mask, logits)\n    tokens = targets",
        caught_by="test_masked_targets_may_be_anything",
    ),
    Mistake(
        "probabilities instead of logarithms",
        was=TOKEN,
        now=TOKEN.replace("log_softmax", "softmax"),
        caught_by="test_log_probability_of_each_token",
    ),
    Mistake(
        "the likeliest token",
        was=TOKEN,
        now="chosen = logits.log_softmax(dim=-1).amax(dim=-1)",
        caught_by="test_log_probability_of_each_token",
    ),
    Mistake(
        "the loss in place of the log-probability",
        was="return chosen.masked_fill(~mask, 0.0)",
        now="return -chosen.masked_fill(~mask, 0.0)",
        caught_by="test_log_probability_of_each_token",
    ),
    Mistake(
        "softmax, then logarithm",
        was=TOKEN,
        now=TOKEN.replace("log_softmax(dim=-1)", "softmax(dim=-1).log()"),
        caught_by="TestTokenLogProbs::test_logits_of_ten_thousand",
    ),
    Mistake(
        "masked tokens multiplied by 0",
        was="return chosen.masked_fill(~mask, 0.0)",
        now="return chosen * mask",
        caught_by="test_a_masked_impossible_token_is_zero",
    ),
    Mistake(
        "masked tokens left in",
        was="return chosen.masked_fill(~mask, 0.0)",
        now="return chosen",
        caught_by="test_masked_targets_may_be_anything",
    ),
    Mistake(
        "a mask that broadcasts",
        was='    _require_same_shape("mask", mask, targets.shape)\n',
        now="",
        caught_by="TestTokenLogProbs::test_shapes_must_fit",
        edge=True,
    ),
    # kl_divergence
    Mistake(
        "p and q exchanged",
        was="    p = log_p.exp()\n",
        now="    log_p, log_q = log_q, log_p\n    p = log_p.exp()\n",
        caught_by="test_direction_and_sum",
    ),
    Mistake(
        "mean over the vocabulary",
        was=KL,
        now="return (p * log_ratio).mean(dim=-1)",
        caught_by="test_direction_and_sum",
    ),
    Mistake("everything summed", was=KL, now="return (p * log_ratio).sum()", caught_by="test_direction_and_sum"),
    Mistake(
        "F.kl_div",
        was=KL,
        now='return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(dim=-1)',
        caught_by="TestKlDivergence::test_is_written_without_the_ready_made_one",
    ),
    Mistake("0 · −inf", was=LOG_RATIO, now="log_ratio = log_p - log_q", caught_by="test_zero_in_p_contributes_nothing"),
    Mistake(
        "NaN replaced in the value only",
        was=KL,
        now="return (p * (log_p - log_q)).nan_to_num(0.0, float('inf')).sum(dim=-1)",
        caught_by="test_zero_in_p_contributes_nothing",
    ),
    Mistake(
        "log q clamped",
        was=LOG_RATIO,
        now="log_ratio = torch.where(p > 0, log_p - log_q.clamp(min=-30), 0.0)",
        caught_by="test_zero_in_q_alone_is_infinite",
    ),
    Mistake(
        "zero where q is 0",
        was=LOG_RATIO,
        now="log_ratio = torch.where((p > 0) & (log_q > -float('inf')), log_p - log_q, 0.0)",
        caught_by="test_zero_in_q_alone_is_infinite",
    ),
    # approximate_kl
    Mistake(
        "ref − policy for k1",
        was="        values = -r\n",
        now="        values = r\n",
        caught_by="test_each_estimator_by_hand",
    ),
    Mistake(
        "r turned round for all of them",
        was=R,
        now=R.replace("r = ", "r = -(") + ")",
        caught_by="test_averaged_over_the_policy_they_give_the_divergence",
    ),
    Mistake(
        "k2 without the half",
        was="values = r.square() / 2",
        now="values = r.square()",
        caught_by="test_each_estimator_by_hand",
    ),
    Mistake(
        "k3 without r",
        was="values = r.expm1() - r",
        now="values = r.expm1()",
        caught_by="test_each_estimator_by_hand",
    ),
    Mistake(
        "k3 as the default",
        was='estimator: str = "k1"',
        now='estimator: str = "k3"',
        caught_by="test_k1_is_the_default",
    ),
    Mistake(
        "masked estimates averaged over all positions",
        was=KL_MEAN,
        now="return values.sum() / mask.numel()",
        caught_by="test_the_mean_is_over_kept_positions",
    ),
    Mistake(
        "boolean selection and mean",
        was=KL_MEAN,
        now="return values[mask].mean()",
        caught_by="test_nothing_kept_is_zero_with_zero_gradient",
        edge=True,
    ),
    Mistake(
        "masked positions multiplied by 0",
        was=R,
        now="r = (log_probs_ref - log_probs_policy) * mask",
        caught_by="test_what_is_masked_has_no_influence",
    ),
    Mistake(
        "masked after the formula",
        was=ESTIMATE,
        now=ESTIMATE.replace(R, "r = log_probs_ref - log_probs_policy").replace(
            "values.sum()", "values.masked_fill(~mask, 0.0).sum()"
        ),
        caught_by="test_what_is_masked_has_no_influence",
    ),
    Mistake(
        "the reference detached",
        was=R,
        now=R.replace("log_probs_ref.", "log_probs_ref.detach()."),
        caught_by="TestApproximateKl::test_gradients_equal_the_formula",
    ),
    Mistake(
        "(B,) against (B, 1)",
        was='    _require_same_shape("log_probs_ref", log_probs_ref, log_probs_policy.shape)\n',
        now="",
        caught_by="TestApproximateKl::test_shapes_must_be_equal",
        edge=True,
    ),
]

IGNORED = "what is ignored is multiplied by a count of 0"

EQUIVALENT = [
    Equivalent(
        was=HUBER,
        now=HUBER.replace("<=", "<"),
        reason="parabola and line meet at delta, in value and slope",
    ),
    Equivalent(was=NLL, now=NLL.replace("~kept, 0.0", "~kept, 1.0"), reason=IGNORED),
    Equivalent(was=NLL, now=NLL.replace("~kept, 0.0", "~kept, -1.0"), reason=IGNORED),
    Equivalent(was=NLL, now=NLL.replace("total == 0", "total <= 0"), reason="weights are not negative"),
    Equivalent(was=NLL, now=NLL.replace("== 0, 1.0", "== 0, 2.0"), reason="the sum that is divided is 0"),
    Equivalent(was="if logits.ndim != 2:", now="if logits.ndim < 2:", reason="nll_loss refuses more dimensions"),
    Equivalent(was=LOG_RATIO, now=LOG_RATIO.replace("0.0)", "1.0)"), reason="it is multiplied by p = 0"),
    Equivalent(was=LOG_RATIO, now=LOG_RATIO.replace("0.0)", "-1.0)"), reason="it is multiplied by p = 0"),
    Equivalent(
        was="wrong = kept & ((targets < 0) | (targets >= scores.shape[-1]))",
        now="wrong = kept & ((targets < 0) ^ (targets >= scores.shape[-1]))",
        reason="no number is both below 0 and at least C",
    ),
]
