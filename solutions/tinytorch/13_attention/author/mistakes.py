"""Wrong solutions of tinytorch/13 that its specs must catch."""

from grader.course.mistakes import Mistake

LARGEST = (
    "    largest = np.max(x, axis=dim, keepdims=True, where=allowed, initial=-np.inf)\n"
)
POWERS = "    powers = np.exp(np.where(allowed, x - largest, -np.inf))\n"
WEIGHTS = 'Tensor(powers / np.where(total > 0, total, 1)),\n        "masked_softmax"'
RULE = 'weighted - node.out * weighted.sum(axis=node.saved["dim"], keepdims=True)'
SCORES = "q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])"
VALUES = "        self.W_v = Linear(embed_dim, head_dim, bias=False, rng=rng)\n"
TABLE = "table[:, 0::2], table[:, 1::2] = np.sin(angles), np.cos(angles)"

MISTAKES = [
    # masked_softmax
    Mistake(
        "the mask multiplied in after softmax",
        was=POWERS,
        now="    powers = np.exp(x - x.max(axis=dim, keepdims=True))\n"
        "    mask, powers = allowed, powers / powers.sum("
        "axis=dim, keepdims=True) * allowed\n"
        "    return record(Tensor(powers), 'masked_softmax', (scores,), dim=dim)\n",
        caught_by="test_the_allowed_entries_share_the_weight",
        says="looks like masked after softmax",
    ),
    Mistake(
        "the mask added as 0 and 1",
        was=POWERS,
        now="    powers = np.exp(x + allowed - largest)\n",
        caught_by="test_the_allowed_entries_share_the_weight",
        says="looks like the mask added to the scores as 0 and 1",
    ),
    Mistake(
        "the mask inverted",
        was="True if mask is None else _bools(mask)",
        now="True if mask is None else ~_bools(mask)",
        caught_by="test_the_allowed_entries_share_the_weight",
        says="looks like the mask inverted",
    ),
    Mistake(
        "forbidden scores set to 0",
        was=POWERS,
        now="    powers = np.exp(np.where(allowed, x, 0))\n",
        caught_by="test_the_allowed_entries_share_the_weight",
        says="looks like forbidden scores set to 0",
    ),
    Mistake(
        "nothing subtracted",
        was=POWERS,
        now=POWERS.replace("x - largest", "x"),
        caught_by="test_large_scores",
        says="looks like exp of the scores as they are: inf/inf",
    ),
    Mistake(
        "the largest of all scores, forbidden ones as well",
        was=LARGEST,
        now="    largest = np.max(x, axis=dim, keepdims=True)\n",
        caught_by="test_a_large_forbidden_score",
        says="looks like the forbidden score subtracted: all weights are 0",
    ),
    Mistake(
        "a fill of -10,000",
        was=POWERS,
        now=(
            "    x = np.where(allowed, x, -1e4)\n"
            "    powers = np.exp(x - x.max(axis=dim, keepdims=True))\n"
        ),
        caught_by="test_a_large_forbidden_score",
        says="the value",
    ),
    Mistake(
        "always over the last dim",
        was=LARGEST,
        now="    dim = -1\n" + LARGEST,
        caught_by="TestMaskedSoftmax::test_any_dimension_with_its_gradient",
        says="looks like softmax over the last dim",
    ),
    Mistake(
        "a gradient as if the sum were constant",
        was=RULE,
        now="weighted",
        caught_by="TestMaskedSoftmax::test_any_dimension_with_its_gradient",
        says="looks like a sum that does not depend on the scores",
    ),
    Mistake(
        "cut off from the graph",
        was="""record(
        Tensor(powers / np.where(total > 0, total, 1)),
        "masked_softmax",
        (scores,),
        dim=dim,
    )""",
        now="Tensor(powers / np.where(total > 0, total, 1))",
        caught_by="TestMaskedSoftmax::test_any_dimension_with_its_gradient",
        says="not connected to its input",
    ),
    Mistake(
        "a fully masked row is uniform",
        was=POWERS,
        now=(
            "    x = np.where(allowed, x, -1e9)\n"
            "    powers = np.exp(x - x.max(axis=dim, keepdims=True))\n"
        ),
        caught_by="test_a_row_with_nothing_allowed",
        says="looks like equal weights for forbidden entries",
        edge=True,
    ),
    Mistake(
        "a fully masked row is 0/0",
        was=WEIGHTS,
        now='Tensor(powers / total), "masked_softmax"',
        caught_by="test_a_query_that_may_attend_to_nothing",
        says="looks like 0/0: no score is allowed",
        edge=True,
    ),
    Mistake(
        "any mask is taken for bool",
        was="    if array.dtype != bool:\n",
        now="    array = array.astype(bool)\n    if False:\n",
        caught_by="test_a_mask_that_is_not_bool_is_refused",
        says="raised nothing",
        edge=True,
    ),
    # causal_mask
    Mistake(
        "a strict triangle",
        was="np.tri(length, dtype=bool)",
        now="np.tri(length, k=-1, dtype=bool)",
        caught_by="TestCausalMask::test_each_position_sees_itself_and_the_past",
        says="looks like the diagonal is missing",
    ),
    Mistake(
        "an upper triangle",
        was="np.tri(length, dtype=bool)",
        now="np.triu(np.ones((length, length), dtype=bool))",
        caught_by="TestCausalMask::test_each_position_sees_itself_and_the_past",
        says="looks like an upper triangle",
    ),
    # scaled_dot_product_attention
    Mistake(
        "not scaled",
        was=SCORES,
        now="q @ k.transpose(-2, -1)",
        caught_by="test_one_query_and_three_keys",
        says="looks like scores not divided by √d",
    ),
    Mistake(
        "divided by d",
        was=SCORES,
        now="q @ k.transpose(-2, -1) / q.shape[-1]",
        caught_by="test_one_query_and_three_keys",
        says="looks like scores divided by d, not by √d",
    ),
    Mistake(
        "softmax over the queries",
        was="masked_softmax(scores, mask)",
        now="masked_softmax(scores, mask, dim=-2)",
        caught_by="test_equals_pytorch_for_any_leading_dimensions",
        says="looks like softmax over the queries",
    ),
    Mistake(
        "perhaps k transposed by .T, which reverses all dimensions",
        was=SCORES,
        now="q @ k.T / math.sqrt(q.shape[-1])",
        caught_by="test_equals_pytorch_for_any_leading_dimensions",
        says="raised",
    ),
    Mistake(
        "computed with arrays",
        was=SCORES,
        now="Tensor(q.data) @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])",
        caught_by="TestScaledDotProductAttention::test_gradients",
        says="no gradient reached q",
    ),
    Mistake(
        "the mask forgotten",
        was="masked_softmax(scores, mask)",
        now="masked_softmax(scores)",
        caught_by="TestScaledDotProductAttention::test_a_mask_that_broadcasts",
        says="looks like without the mask",
    ),
    # SelfAttention
    Mistake(
        "values projected with W_k",
        was="self.W_k(x), self.W_v(x), mask",
        now="self.W_k(x), self.W_k(x), mask",
        caught_by="test_attends_within_each_sequence",
        says="looks like values projected with W_k",
    ),
    Mistake(
        "projections with a bias",
        was=VALUES,
        now=VALUES.replace("bias=False, ", ""),
        caught_by="test_three_projections_without_a_bias",
        says="W_v.bias",
    ),
    Mistake(
        "only the first projection gets the generator",
        was=VALUES,
        now=VALUES.replace(", rng=rng", ""),
        caught_by="test_the_generator_draws_all_three",
        says="W_v from the same seed",
    ),
    # sinusoidal_positions
    Mistake(
        "sines and cosines in halves",
        was=TABLE,
        now=(
            "table[:, : dim // 2], table[:, dim // 2 :] = np.sin(angles), "
            "np.cos(angles)"
        ),
        caught_by="test_shape_dtype_and_row_zero",
        says="looks like all sines first, then all cosines",
    ),
]
