"""Wrong solutions of 25 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

MASK = "return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)"
SCORES = "scores = (q / math.sqrt(q.size(-1))) @ k.mT"
ALLOWED = "    allowed = causal_mask(q.size(2), k.size(2), q.device)\n"
WEIGHTS = "weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)"
OUT = "out = F.dropout(weights, dropout_p) @ v"
GIVEN = "    mask = None if q.size(2) == k.size(2) else causal_mask(q.size(2), k.size(2), q.device)\n"
FUSED = "F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=mask is None)"
APPEND_K = "self.k = k if self.k is None else torch.cat([self.k, k], dim=2)"
CUT = "q, k, v = (self._split_heads(part) for part in self.c_attn(x).chunk(3, dim=-1))"
USE_CACHE = """        if cache is not None:
            k, v = cache.append(k, v)
"""
LIMIT = """        if n_cached + x.size(1) > self.block_size:
            raise ValueError(f"{n_cached} cached and {x.size(1)} new positions exceed block_size {self.block_size}")
"""
JOIN = "y = y.transpose(1, 2).flatten(2)"
PROBABILITY = "dropout_p=self.dropout if self.training else 0.0"

MISTAKES = [
    # causal_mask
    Mistake(
        "tril without the shift",
        was=MASK,
        now=MASK.replace("tril(t_k - t_q)", "tril()"),
        caught_by="test_the_queries_are_the_newest_positions",
    ),
    Mistake(
        "True means blocked",
        was=MASK,
        now=MASK.replace("tril(t_k - t_q)", "triu(t_k - t_q + 1)"),
        caught_by="test_each_query_sees_itself_and_what_came_before",
    ),
    Mistake(
        "the mask always on the default device",
        was=MASK,
        now=MASK.replace(", device=device", ""),
        caught_by="test_the_mask_lies_on_the_device_asked_for",
    ),
    Mistake(
        "no queries are fine",
        was="if not 1 <= t_q <= t_k:",
        now="if t_q > t_k:",
        caught_by="test_there_is_a_query_and_no_more_queries_than_keys",
    ),
    # manual_attention
    Mistake(
        "scaled by all features, not by those of a head",
        was=SCORES,
        now=SCORES.replace("q.size(-1)", "q.size(1) * q.size(-1)"),
        caught_by="TestManualAttention::test_equals_attention_by_hand",
    ),
    Mistake(
        "softmax over the queries",
        was=WEIGHTS,
        now=WEIGHTS.replace("dim=-1", "dim=-2") + ".nan_to_num(0.0)",
        caught_by="TestManualAttention::test_equals_attention_by_hand",
    ),
    Mistake(
        "future scores are 0, not −inf",
        was=WEIGHTS,
        now=WEIGHTS.replace("-math.inf", "0.0"),
        caught_by="TestManualAttention::test_equals_attention_by_hand",
    ),
    Mistake(
        "the mask is taken as blocked",
        was=WEIGHTS,
        now=WEIGHTS.replace("~allowed", "allowed"),
        caught_by="TestManualAttention::test_equals_attention_by_hand",
    ),
    Mistake(
        "masked after the softmax",
        was=WEIGHTS,
        now="weights = scores.softmax(dim=-1) * allowed",
        caught_by="TestManualAttention::test_weights_come_on_request",
    ),
    Mistake(
        "no mask with fewer queries than keys",
        was=ALLOWED,
        now=ALLOWED + "    allowed = allowed if q.size(2) == k.size(2) else torch.ones_like(allowed)\n",
        caught_by="TestManualAttention::test_fewer_queries_than_keys",
    ),
    Mistake(
        "exp without the maximum",
        was=WEIGHTS,
        now="weights = scores.exp() * allowed\n    weights = weights / weights.sum(dim=-1, keepdim=True)",
        caught_by="TestManualAttention::test_large_scores_stay_finite",
    ),
    Mistake(
        "a fill value that scores can be below",
        was=WEIGHTS,
        now=WEIGHTS.replace("-math.inf", "-1e4"),
        caught_by="TestManualAttention::test_large_scores_stay_finite",
    ),
    Mistake(
        "a fill value that float16 cannot hold",
        was=WEIGHTS,
        now=WEIGHTS.replace("-math.inf", "-1e9"),
        caught_by="TestManualAttention::test_dtypes_are_kept",
    ),
    Mistake(
        "a softmax in float32 that stays there",
        was=WEIGHTS,
        now="weights = scores.float().masked_fill(~allowed, -math.inf).softmax(dim=-1)\n    v = v.float()",
        caught_by="TestManualAttention::test_dtypes_are_kept",
    ),
    Mistake(
        "scaled after the product",
        was=SCORES,
        now="scores = q @ k.mT / math.sqrt(q.size(-1))",
        caught_by="test_float16_survives_large_products",
    ),
    Mistake(
        "scores dropped before the softmax",
        was=WEIGHTS,
        now="scores = F.dropout(scores, dropout_p)\n    " + WEIGHTS + "\n    dropout_p = 0.0",
        caught_by="TestManualAttention::test_dropout_acts_on_the_weights",
    ),
    Mistake(
        "weights dropped without rescaling",
        was=OUT,
        now="out = (weights * (torch.rand_like(weights) >= dropout_p)) @ v",
        caught_by="TestManualAttention::test_dropout_acts_on_the_weights",
    ),
    Mistake(
        "the output dropped, not the weights",
        was=OUT,
        now="out = F.dropout(weights @ v, dropout_p)",
        caught_by="TestManualAttention::test_dropout_acts_on_the_weights",
    ),
    Mistake(
        "weights returned after dropout",
        was=OUT,
        now="weights = F.dropout(weights, dropout_p)\n    out = weights @ v",
        caught_by="test_weights_are_returned_before_dropout",
    ),
    Mistake(
        "q scaled in place",
        was=SCORES,
        now="scores = q.div_(math.sqrt(q.size(-1))) @ k.mT",
        caught_by="TestManualAttention::test_inputs_stay_as_they_were",
    ),
    Mistake(
        "view on q",
        was=SCORES,
        now="q = q.view(q.shape[0] * q.shape[1], q.shape[2], q.shape[3]).view(q.shape)\n    " + SCORES,
        caught_by="TestManualAttention::test_works_on_transposed_views",
    ),
    Mistake(
        "the mask left on the CPU",
        was=ALLOWED,
        now=ALLOWED.replace(", q.device", ""),
        caught_by="TestManualAttention::test_the_mask_follows_the_device_of_q",
    ),
    Mistake(
        "the fused call on both paths",
        was=OUT,
        now=OUT + "\n    out = out if dropout_p else flash_attention(q, k, v)",
        caught_by="test_written_without_the_fused_call",
    ),
    # flash_attention
    Mistake(
        "is_causal for every shape",
        was=GIVEN,
        now="    mask = None\n",
        caught_by="TestFlashAttention::test_fewer_queries_than_keys",
    ),
    Mistake(
        "the mask inverted, as nn.MultiheadAttention wants it",
        was=GIVEN,
        now="    mask = ~causal_mask(q.size(2), k.size(2), q.device)\n",
        caught_by="TestFlashAttention::test_equals_attention_by_hand",
    ),
    Mistake(
        "dropout_p not handed on",
        was=FUSED,
        now=FUSED.replace("dropout_p=dropout_p, ", ""),
        caught_by="TestFlashAttention::test_dropout_acts_on_the_weights",
    ),
    Mistake(
        "by hand under the other name",
        was="    return " + FUSED,
        now="    return manual_attention(q, k, v, dropout_p)",
        caught_by="test_goes_through_the_fused_call",
    ),
    # LayerCache
    Mistake(
        "cached along the heads",
        was=APPEND_K,
        now=APPEND_K.replace("dim=2", "dim=1"),
        caught_by="test_new_positions_stand_behind_the_old_ones",
    ),
    Mistake(
        "the new keys replace the old ones",
        was=APPEND_K,
        now="self.k = k",
        caught_by="test_new_positions_stand_behind_the_old_ones",
    ),
    Mistake(
        "the length counts heads",
        was="self.k.size(2)",
        now="self.k.size(1)",
        caught_by="test_the_first_positions_are_kept",
    ),
    Mistake(
        "kept on the class",
        was=APPEND_K,
        now=APPEND_K.replace("self.k = k", "LayerCache.k = k") + "\n        del self.__dict__['k']",
        caught_by="test_each_cache_has_its_own_positions",
    ),
    # CausalSelfAttention
    Mistake(
        "biases always",
        was="self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)",
        now="self.c_proj = nn.Linear(config.n_embd, config.n_embd)",
        caught_by="test_without_biases",
    ),
    Mistake(
        "the mask as a buffer",
        was="        self.resid_dropout = nn.Dropout(config.dropout)\n",
        now="        self.resid_dropout = nn.Dropout(config.dropout)\n"
        '        self.register_buffer("mask", causal_mask(config.block_size, config.block_size))\n',
        caught_by="test_parameters_are_those_of_gpt2",
    ),
    Mistake(
        "heads not moved back",
        was=JOIN,
        now="y = y.contiguous().view(x.shape)",
        caught_by="test_equals_a_layer_by_hand",
    ),
    Mistake(
        "q, k and v of each head side by side",
        was=CUT,
        now="q, k, v = self._split_heads(self.c_attn(x)).chunk(3, dim=-1)",
        caught_by="test_equals_a_layer_by_hand",
    ),
    Mistake(
        "flash read once",
        was="        attention = flash_attention if self.flash else manual_attention\n",
        now='        self.__dict__.setdefault("_attention", flash_attention if self.flash else manual_attention)\n'
        "        attention = self._attention\n",
        caught_by="test_flash_picks_the_path",
    ),
    Mistake(
        "cache taken for empty because it is false",
        was=USE_CACHE,
        now=USE_CACHE.replace("if cache is not None", "if cache"),
        caught_by="test_chunks_through_a_cache_equal_the_full_pass",
    ),
    Mistake(
        "cached before the heads stand in front of the positions",
        was=USE_CACHE,
        now="""        if cache is not None:
            k, v = (part.transpose(1, 2) for part in cache.append(k.transpose(1, 2), v.transpose(1, 2)))
""",
        caught_by="test_chunks_through_a_cache_equal_the_full_pass",
    ),
    Mistake(
        "the limit forgets the cache",
        was="if n_cached + x.size(1) > self.block_size:",
        now="if x.size(1) > self.block_size:",
        caught_by="test_cached_positions_count_towards_the_limit",
    ),
    Mistake(
        "checked after the cache has grown",
        was=LIMIT + "        " + CUT + "\n" + USE_CACHE,
        now="        " + CUT + "\n" + USE_CACHE + LIMIT.replace("n_cached + x.size(1) >", "k.size(2) >"),
        caught_by="test_cached_positions_count_towards_the_limit",
    ),
    Mistake(
        "attention dropout in eval mode too",
        was=PROBABILITY,
        now="dropout_p=self.dropout",
        caught_by="test_nothing_is_dropped_in_eval_mode",
    ),
    Mistake(
        "no dropout on the weights",
        was=", " + PROBABILITY,
        now="",
        caught_by="test_attention_weights_are_dropped_in_training",
    ),
    Mistake(
        "dropped before c_proj",
        was="return self.resid_dropout(self.c_proj(y))",
        now="return self.c_proj(self.resid_dropout(y))",
        caught_by="test_the_output_is_dropped_in_training",
    ),
    Mistake(
        "heads that do not divide end in a RuntimeError later",
        was="if config.n_embd % config.n_head:",
        now="if False:",
        caught_by="TestCausalSelfAttention::test_heads_must_divide_the_features",
    ),
    # score_bytes
    Mistake(
        "four bytes always",
        was="n_tokens * n_tokens * dtype.itemsize",
        now="n_tokens * n_tokens * 4",
        caught_by="test_two_sequences_three_heads_ten_tokens",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=GIVEN.strip(),
        now="mask = causal_mask(q.size(2), k.size(2), q.device)",
        reason="a mask that is always given is right as well",
    ),
    Equivalent(
        was=GIVEN.strip(),
        now=GIVEN.strip().replace("==", ">="),
        reason="differs only for more queries than keys, which the contract excludes",
    ),
]
