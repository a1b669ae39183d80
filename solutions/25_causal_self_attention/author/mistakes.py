"""Wrong solutions of 25 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

MASK = "return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)"
SCORES = "scores = (q / math.sqrt(q.size(-1))) @ k.mT"
ALLOWED = "    allowed = causal_mask(q.size(2), k.size(2), q.device)\n"
WEIGHTS = "weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)"
OUT = "out = F.dropout(weights, dropout_p) @ v"
GIVEN = """    mask = (
        None if q.size(2) == k.size(2) else causal_mask(q.size(2), k.size(2), q.device)
    )
"""
APPEND_K = "self.k = k if self.k is None else torch.cat([self.k, k], dim=2)"
CUT = "q, k, v = (self._split_heads(part) for part in self.c_attn(x).chunk(3, dim=-1))"
USE_CACHE = """        if cache is not None:
            k, v = cache.append(k, v)
"""
LIMIT = """        if n_cached + x.size(1) > self.block_size:
            raise ValueError(
                f"{n_cached} cached and {x.size(1)} new positions exceed block_size "
                f"{self.block_size}"
            )
"""
JOIN = "y = y.transpose(1, 2).flatten(2)"
PROBABILITY = "dropout_p=self.dropout if self.training else 0.0"

MISTAKES = [
    Mistake(
        "tril without the shift",
        was=MASK,
        now=MASK.replace("tril(t_k - t_q)", "tril()"),
        caught_by="test_the_queries_are_the_newest_positions",
        says="looks like aligned at the top left: tril() without the shift",
    ),
    Mistake(
        "True means blocked",
        was=MASK,
        now=MASK.replace("tril(t_k - t_q)", "triu(t_k - t_q + 1)"),
        caught_by="test_each_query_sees_itself_and_what_came_before",
        says="looks like True taken as blocked",
    ),
    Mistake(
        "scaled by all features, not by those of a head",
        was=SCORES,
        now=SCORES.replace("q.size(-1)", "q.size(1) * q.size(-1)"),
        caught_by="TestManualAttention::test_equals_attention_by_hand",
        says="looks like the scores divided by √C",
    ),
    Mistake(
        "softmax over the queries",
        was=WEIGHTS,
        now=WEIGHTS.replace("dim=-1", "dim=-2") + ".nan_to_num(0.0)",
        caught_by="TestManualAttention::test_equals_attention_by_hand",
        says="looks like softmax over the queries",
    ),
    Mistake(
        "future scores are 0, not −inf",
        was=WEIGHTS,
        now=WEIGHTS.replace("-math.inf", "0.0"),
        caught_by="TestManualAttention::test_equals_attention_by_hand",
        says="looks like future scores set to 0 instead of −inf",
    ),
    Mistake(
        "masked after the softmax",
        was=WEIGHTS,
        now="weights = scores.softmax(dim=-1) * allowed",
        caught_by="TestManualAttention::test_weights_come_on_request",
        says="looks like masked after the softmax",
    ),
    Mistake(
        "no mask with fewer queries than keys",
        was=ALLOWED,
        now=ALLOWED
        + (
            "    allowed = allowed if q.size(2) == k.size(2) else "
            "torch.ones_like(allowed)\n"
        ),
        caught_by="TestManualAttention::test_fewer_queries_than_keys",
        says="looks like no mask: every query sees the future",
    ),
    Mistake(
        "exp without the maximum",
        was=WEIGHTS,
        now=(
            "weights = scores.exp() * allowed\n"
            "    weights = weights / weights.sum(dim=-1, keepdim=True)"
        ),
        caught_by="TestManualAttention::test_large_scores_stay_finite",
        says="looks like exp of the scores as they are",
        edge=True,
    ),
    Mistake(
        "a fill value that float16 cannot hold",
        was=WEIGHTS,
        now=WEIGHTS.replace("-math.inf", "-1e9"),
        caught_by="TestManualAttention::test_dtypes_are_kept",
        says="cannot be converted to type c10::Half without overflow",
        edge=True,
    ),
    Mistake(
        "scores dropped before the softmax",
        was=WEIGHTS,
        now="scores = F.dropout(scores, dropout_p)\n    "
        + WEIGHTS
        + "\n    dropout_p = 0.0",
        caught_by="TestManualAttention::test_dropout_acts_on_the_weights",
        says="0% of the weights on visible keys",
    ),
    Mistake(
        "weights dropped without rescaling",
        was=OUT,
        now="out = (weights * (torch.rand_like(weights) >= dropout_p)) @ v",
        caught_by="TestManualAttention::test_dropout_acts_on_the_weights",
        says="looks like the weights that stay are not divided by 1 − p",
    ),
    Mistake(
        "weights returned after dropout",
        was=OUT,
        now="weights = F.dropout(weights, dropout_p)\n    out = weights @ v",
        caught_by="test_weights_are_returned_before_dropout",
        says="looks like the weights after dropout",
    ),
    Mistake(
        "the mask left on the CPU",
        was=ALLOWED,
        now=ALLOWED.replace(", q.device", ""),
        caught_by="TestManualAttention::test_the_mask_follows_the_device_of_q",
        says="is not on the expected device cpu",
        edge=True,
    ),
    Mistake(
        "is_causal for every shape",
        was=GIVEN,
        now="    mask = None\n",
        caught_by="TestFlashAttention::test_fewer_queries_than_keys",
        says="looks like the mask aligned at the top left",
    ),
    Mistake(
        "the mask inverted, as nn.MultiheadAttention wants it",
        was=GIVEN,
        now="    mask = ~causal_mask(q.size(2), k.size(2), q.device)\n",
        caught_by="TestFlashAttention::test_equals_attention_by_hand",
        says="looks like the mask inverted: False taken as visible",
    ),
    Mistake(
        "cached along the heads",
        was=APPEND_K,
        now=APPEND_K.replace("dim=2", "dim=1"),
        caught_by="test_new_positions_come_after_the_old_ones",
        says="shape (2, 6, 1, 4) expected (2, 3, 2, 4)",
    ),
    Mistake(
        "the new keys replace the old ones",
        was=APPEND_K,
        now="self.k = k",
        caught_by="test_new_positions_come_after_the_old_ones",
        says="looks like the new positions alone",
    ),
    Mistake(
        "the mask as a buffer",
        was="        self.resid_dropout = nn.Dropout(config.dropout)\n",
        now="        self.resid_dropout = nn.Dropout(config.dropout)\n"
        '        self.register_buffer("mask", causal_mask(config.block_size, '
        "config.block_size))\n",
        caught_by="test_parameters_are_those_of_gpt2",
        says="looks like a buffer is saved: the mask can be computed",
    ),
    Mistake(
        "heads not moved back",
        was=JOIN,
        now="y = y.contiguous().view(x.shape)",
        caught_by="test_equals_a_layer_by_hand",
        says="looks like heads not moved back behind the positions",
    ),
    Mistake(
        "q, k and v of each head side by side",
        was=CUT,
        now="q, k, v = self._split_heads(self.c_attn(x)).chunk(3, dim=-1)",
        caught_by="test_equals_a_layer_by_hand",
        says="looks like outputs of c_attn taken as q, k, v of head 0",
    ),
    Mistake(
        "the cache stays empty: perhaps an empty one counts as False",
        was=USE_CACHE,
        now=USE_CACHE.replace("if cache is not None", "if cache"),
        caught_by="test_chunks_through_a_cache_equal_the_full_pass",
        says=(
            "looks like nothing was stored: an empty cache is false, so ask `is not "
            "None`"
        ),
    ),
    Mistake(
        "checked after the cache has grown",
        was=LIMIT + "        " + CUT + "\n" + USE_CACHE,
        now="        "
        + CUT
        + "\n"
        + USE_CACHE
        + LIMIT.replace("n_cached + x.size(1) >", "k.size(2) >"),
        caught_by="test_cached_positions_count_towards_the_limit",
        says="len(cache) after the error",
        edge=True,
    ),
    Mistake(
        "attention dropout in eval mode too",
        was=PROBABILITY,
        now="dropout_p=self.dropout",
        caught_by="test_nothing_is_dropped_in_eval_mode",
        says="looks like weights dropped as in training",
    ),
    Mistake(
        "no dropout on the weights",
        was=", " + PROBABILITY,
        now="",
        caught_by="test_attention_weights_are_dropped_in_training",
        says="so no attention weight is dropped",
    ),
    Mistake(
        "dropped before c_proj",
        was="return self.resid_dropout(self.c_proj(y))",
        now="return self.c_proj(self.resid_dropout(y))",
        caught_by="test_the_output_is_dropped_in_training",
        says="0% of the outputs are 0 in training",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=(
            "None if q.size(2) == k.size(2) else causal_mask(q.size(2), k.size(2), "
            "q.device)"
        ),
        now=(
            "None if q.size(2) >= k.size(2) else causal_mask(q.size(2), k.size(2), "
            "q.device)"
        ),
        reason="differs only for more queries than keys, which the contract excludes",
    ),
]
