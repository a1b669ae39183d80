"""Wrong solutions of 15 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

REAL_LINES = """\
    real = torch.arange(max_len, device=lengths.device) < lengths[:, None]
    return real[:, None, :]"""
COMBINE_LOOP = """        combined = mask if combined is None else combined & mask
    return combined"""
SCALE_LINES = """    if scale is None:
        scale = 1 / math.sqrt(q.size(-1))
"""
SCORES = "    scores = (q * scale) @ k.transpose(-2, -1)"
MASKED_LINES = """\
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1).masked_fill(~mask, 0.0)"""
PAIR_OF_SCORES = '{"raw": raw, "scaled": raw / math.sqrt(dim)}'
ENTROPY = "-(weights * log_weights).sum(dim=-1).mean().item()"

MISTAKES = [
    # causal_mask
    Mistake(
        "strict causal mask",
        was=""".tril(
        key_len - query_len
    )""",
        now=".tril(key_len - query_len - 1)",
        caught_by="test_a_query_sees_itself_and_everything_before_it",
        says="looks like a query that may not see itself: the diagonal is missing",
    ),
    Mistake(
        "upper triangle",
        was=""".tril(
        key_len - query_len
    )""",
        now=".triu(key_len - query_len)",
        caught_by="test_a_query_sees_itself_and_everything_before_it",
        says="looks like an upper triangle: queries see the future",
    ),
    Mistake(
        "top-left alignment",
        was=""".tril(
        key_len - query_len
    )""",
        now=".tril()",
        caught_by="test_a_short_query_block_is_at_the_end",
        says="looks like the queries are at the first positions instead of the last",
    ),
    # padding_mask
    Mistake(
        "a padding mask of shape (B, S)",
        was="    return real[:, None, :]",
        now="    return real",
        caught_by="test_has_a_dimension_for_the_queries",
        says="(3, 5) expected (3, 1, 5)",
    ),
    Mistake(
        "True where there is padding",
        was=REAL_LINES,
        now=REAL_LINES.replace("<", ">="),
        caught_by="test_the_first_keys_are_real",
        says="looks like True where there is padding",
    ),
    Mistake(
        "one key too many",
        was="device=lengths.device) < lengths",
        now="device=lengths.device) <= lengths",
        caught_by="test_the_first_keys_are_real",
        says="looks like one key too many",
    ),
    Mistake(
        "as wide as the longest sequence",
        was="torch.arange(max_len, device=lengths.device)",
        now="torch.arange(int(lengths.max()), device=lengths.device)",
        caught_by="test_any_lengths_up_to_max_len",
        says="looks like as wide as the longest sequence",
    ),
    # combine_masks
    Mistake(
        "masks or-ed",
        was="combined & mask",
        now="combined | mask",
        caught_by="test_what_every_mask_allows",
        says="looks like or: what some mask allows",
    ),
    Mistake(
        "None ends the loop",
        was="            continue\n",
        now="            break\n",
        caught_by="test_any_number_of_masks_that_broadcast",
        says="looks like None ends the loop: the masks behind it are lost",
    ),
    Mistake(
        "combined in place",
        was=COMBINE_LOOP,
        now=COMBINE_LOOP.replace("combined & mask", "combined.logical_and_(mask)"),
        caught_by="TestCombineMasks::test_no_mask_is_written_to",
        says="first after the call, which must not write to it",
        edge=True,
    ),
    # scaled_dot_product_attention
    Mistake(
        "no scale",
        was=SCALE_LINES + SCORES,
        now="    scores = q @ k.transpose(-2, -1)",
        caught_by="test_a_small_example_by_hand",
        says="looks like the scores were not scaled",
    ),
    Mistake(
        "scaled by the number of keys",
        was="1 / math.sqrt(q.size(-1))",
        now="1 / math.sqrt(k.size(-2))",
        caught_by="test_a_small_example_by_hand",
        says="looks like scaled by √S, the number of keys",
    ),
    Mistake(
        "softmax over the queries",
        was="    if mask is None:\n        weights = torch.softmax(scores, dim=-1)",
        now="    if mask is None:\n        weights = torch.softmax(scores, dim=-2)",
        caught_by="test_a_small_example_by_hand",
        says="looks like softmax over the queries instead of the keys",
    ),
    Mistake(
        "dimensions 0 and 1 of k transposed",
        was="k.transpose(-2, -1)",
        now="k.transpose(0, 1)",
        caught_by="test_matches_the_formula_for_any_leading_dims",
        says="The size of tensor a (2) must match the size of tensor b (6)",
    ),
    Mistake(
        "inverted mask",
        was=MASKED_LINES,
        now=MASKED_LINES.replace("~mask", "mask"),
        caught_by="test_false_keys_are_hidden",
        says="looks like the mask is inverted: True keys are hidden",
    ),
    Mistake(
        "masked after the softmax, not renormalised",
        was=MASKED_LINES,
        now="        weights = torch.softmax(scores, dim=-1) * mask",
        caught_by="test_false_keys_are_hidden",
        says=(
            "looks like masked after the softmax, so that the weights no longer sum "
            "to 1"
        ),
    ),
    Mistake(
        "scale on top of 1/√D",
        was=SCALE_LINES,
        now="    scale = (1 if scale is None else scale) / math.sqrt(q.size(-1))\n",
        caught_by="test_a_given_scale_replaces_the_usual_one",
        says="looks like `scale` comes on top of 1/√D",
    ),
    Mistake(
        "dead row NaN",
        was=MASKED_LINES,
        now=(
            "        weights = torch.softmax(scores.masked_fill(~mask, -math.inf), "
            "dim=-1)"
        ),
        caught_by="test_a_query_without_keys_gets_zeros",
        says="looks like a row without keys came out as NaN",
    ),
    Mistake(
        "dead row uniform",
        was=MASKED_LINES,
        now="        weights = torch.softmax(scores.masked_fill(~mask, -1e9), dim=-1)",
        caught_by="test_a_query_without_keys_gets_zeros",
        says="looks like a row without keys came out uniform",
    ),
    Mistake(
        "zeros over a NaN whose gradient stays NaN",
        was=MASKED_LINES,
        now="        bias = torch.zeros_like(scores).masked_fill(~mask, -math.inf)\n"
        "        weights = torch.softmax(scores + bias, dim=-1).nan_to_num(0.0)",
        caught_by="test_a_query_without_keys_leaves_the_gradients_finite",
        says="values are NaN",
    ),
    Mistake(
        "falsy scale",
        was=SCALE_LINES,
        now="    scale = scale or q.size(-1) ** -0.5\n",
        caught_by="test_a_scale_of_zero_weighs_all_keys_alike",
        says="looks like a scale of 0.0 taken for no scale",
        edge=True,
    ),
    Mistake(
        "queries scaled in place",
        was=SCORES,
        now="    q *= scale\n    scores = q @ k.transpose(-2, -1)",
        caught_by="TestScaledDotProductAttention::test_inputs_are_not_written_to",
        says="q after the call, which must not write to it",
        edge=True,
    ),
    # score_statistics
    Mistake(
        "0 · log 0 is NaN",
        was=ENTROPY,
        now="-(weights * weights.log()).sum(dim=-1).mean().item()",
        caught_by="test_a_weight_of_zero_adds_no_entropy",
        says="looks like 0 · log 0 computed literally",
    ),
    Mistake(
        "entropy averaged over the keys",
        was=ENTROPY,
        now="-(weights * log_weights).mean().item()",
        caught_by="TestScoreStatistics::test_matches_a_plain_loop",
        says="looks like averaged over the keys, not summed",
    ),
    # compare_scaling
    Mistake(
        "another draw for the scaled scores",
        was=PAIR_OF_SCORES,
        now=(
            '{"raw": raw, "scaled": torch.randn(q.shape, generator=generator) @ k.T / '
            "math.sqrt(dim)}"
        ),
        caught_by="test_raw_and_scaled_measure_the_same_draw",
        says="got 3.2",
    ),
]

EQUIVALENT = [
    Equivalent(
        "log_weights = torch.log_softmax(scores, dim=-1)",
        "log_weights = torch.log_softmax(scores, dim=1)",
        "the scores have two dimensions",
    ),
    Equivalent(
        '"entropy": -(weights * log_weights).sum(dim=-1).mean().item(),',
        '"entropy": -(weights * log_weights).sum(dim=1).mean().item(),',
        "the weights have two dimensions",
    ),
    Equivalent(
        '"gradient": (weights * (1 - weights)).sum(dim=-1).mean().item(),',
        '"gradient": (weights * (1 - weights)).sum(dim=1).mean().item(),',
        "the weights have two dimensions",
    ),
]
