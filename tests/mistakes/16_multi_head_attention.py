"""Wrong solutions of 16 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

SPLIT = "return x.unflatten(-1, (num_heads, features // num_heads)).transpose(1, 2)"
MERGE = "return x.transpose(1, 2).flatten(2)"
FILL = "scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)"
ZEROED = "weights = scores.softmax(dim=-1).masked_fill(~allowed, 0.0)"
MASKED = f"""            {FILL}
            {ZEROED}"""
OUTPUT = "output = self.W_o(merge_heads(self.dropout(weights) @ v))"
LOOKING = "_, weights = mha(query, key, mask=mask, key_padding_mask=key_padding_mask, need_weights=True)"

MISTAKES = [
    # split_heads
    Mistake(
        "reshape split",
        was=SPLIT,
        now="return x.reshape(x.shape[0], num_heads, x.shape[1], features // num_heads)",
        caught_by="test_heads_are_consecutive_feature_blocks",
    ),
    Mistake(
        "interleaved heads",
        was=SPLIT,
        now="return x.unflatten(-1, (features // num_heads, num_heads)).permute(0, 3, 1, 2)",
        caught_by="test_heads_are_consecutive_feature_blocks",
    ),
    Mistake(
        "heads left behind the positions",
        was=SPLIT,
        now="return x.unflatten(-1, (num_heads, features // num_heads))",
        caught_by="test_heads_are_consecutive_feature_blocks",
    ),
    Mistake(
        "one head is squeezed away",
        was=SPLIT,
        now=SPLIT + ".squeeze(1)",
        caught_by="test_one_head_or_one_feature_a_head_is_fine",
    ),
    Mistake(
        "as many heads as features refused",
        was="if num_heads < 1 or features % num_heads:",
        now="if num_heads < 1 or num_heads >= features or features % num_heads:",
        caught_by="test_one_head_or_one_feature_a_head_is_fine",
    ),
    Mistake(
        "split reads memory in storage order",
        was=SPLIT,
        now="x = x.as_strided(x.shape, torch.empty(x.shape).stride())\n    " + SPLIT,
        caught_by="TestSplitHeads::test_works_on_a_transposed_view",
    ),
    Mistake(
        "split cuts the graph",
        was=SPLIT,
        now=SPLIT.replace("return x", "return x.detach()"),
        caught_by="test_gradients_reach_x",
    ),
    Mistake(
        "any number of dimensions is split",
        was="if x.ndim != 3:",
        now="if False:",
        caught_by="TestSplitHeads::test_x_must_be_three_dimensional",
    ),
    Mistake(
        "features that do not divide end in a RuntimeError",
        was="if num_heads < 1 or features % num_heads:",
        now="if num_heads < 1:",
        caught_by="TestSplitHeads::test_heads_must_divide_the_features",
    ),
    Mistake(
        "message without the numbers",
        was='raise ValueError(f"{features} features cannot be shared equally by {num_heads} heads")',
        now='raise ValueError("the number of heads must divide the features")',
        caught_by="TestSplitHeads::test_heads_must_divide_the_features",
    ),
    Mistake(
        "no heads end in a ZeroDivisionError",
        was="if num_heads < 1 or features % num_heads:",
        now="if features % num_heads:",
        caught_by="test_there_is_at_least_one_head",
    ),
    Mistake(
        "only zero heads are refused, negative ones are not",
        was="if num_heads < 1 or features % num_heads:",
        now="if num_heads == 0 or features % num_heads:",
        caught_by="test_there_is_at_least_one_head",
    ),
    # merge_heads
    Mistake(
        "merge without transpose",
        was=MERGE,
        now="return x.reshape(x.shape[0], x.shape[2], -1)",
        caught_by="test_heads_stand_side_by_side_again",
    ),
    Mistake(
        "merge interleaves the heads",
        was=MERGE,
        now="return x.permute(0, 2, 3, 1).flatten(2)",
        caught_by="test_heads_stand_side_by_side_again",
    ),
    Mistake(
        "view after transpose",
        was=MERGE,
        now="return x.transpose(1, 2).view(x.shape[0], x.shape[2], -1)",
        caught_by="test_heads_stand_side_by_side_again",
    ),
    Mistake(
        "merge reads memory in storage order",
        was=MERGE,
        now="x = x.as_strided(x.shape, torch.empty(x.shape).stride())\n    " + MERGE,
        caught_by="test_merge_undoes_split_on_non_contiguous_input",
    ),
    Mistake("merge cuts the graph", was=MERGE, now=MERGE + ".detach()", caught_by="test_gradients_reach_every_head"),
    Mistake(
        "five dimensions are merged",
        was="if x.ndim != 4:",
        now="if x.ndim < 4:",
        caught_by="test_x_must_be_four_dimensional",
    ),
    # prepare_mask
    Mistake(
        "all true instead of None",
        was="    allowed = None\n",
        now="    allowed = torch.ones(shape, dtype=torch.bool)\n",
        caught_by="test_no_mask_is_none",
    ),
    Mistake(
        "the mask is inverted for PyTorch",
        was="allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask",
        now="allowed = ~mask.unsqueeze(1) if mask.ndim == 3 else ~mask",
        caught_by="TestPrepareMask::test_every_mask_shape",
    ),
    Mistake(
        "3-D mask per head",
        was="allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask",
        now="allowed = mask.unsqueeze(0) if mask.ndim == 3 else mask",
        caught_by="TestPrepareMask::test_every_mask_shape",
    ),
    Mistake(
        "3-D mask per head where that fits",
        was="allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask",
        now="allowed = mask.unsqueeze(int(mask.shape[0] != heads)) if mask.ndim == 3 else mask",
        caught_by="TestPrepareMask::test_a_3d_mask_is_per_batch_element_even_when_b_equals_h",
    ),
    Mistake(
        "only 2-D and 4-D masks known",
        was="forms = {1: (keys,), 2: (queries, keys), 3: (batch, queries, keys)}",
        now="forms = {2: (queries, keys)}",
        caught_by="TestPrepareMask::test_every_mask_shape",
    ),
    Mistake(
        "a size of 1 is refused",
        was="all(n in (1, size) for n, size in zip(mask.shape, wanted, strict=True))",
        now="mask.shape == wanted",
        caught_by="TestPrepareMask::test_every_mask_shape",
    ),
    Mistake(
        "padding on queries",
        was="real = key_padding_mask[:, None, None, :]",
        now="real = key_padding_mask[:, None, :, None]",
        caught_by="TestPrepareMask::test_key_padding_hides_keys_not_queries",
    ),
    Mistake(
        "padding inverted",
        was="real = key_padding_mask[:, None, None, :]",
        now="real = ~key_padding_mask[:, None, None, :]",
        caught_by="TestPrepareMask::test_key_padding_hides_keys_not_queries",
    ),
    Mistake(
        "padding hides keys and queries",
        was="real = key_padding_mask[:, None, None, :]",
        now="""real = key_padding_mask[:, None, None, :]
        real = real & real.mT if queries == keys else real""",
        caught_by="TestPrepareMask::test_key_padding_hides_keys_not_queries",
    ),
    Mistake(
        "masks or-ed",
        was="real if allowed is None else allowed & real",
        now="real if allowed is None else allowed | real",
        caught_by="TestPrepareMask::test_mask_and_key_padding_are_anded",
    ),
    Mistake(
        "key padding replaces the mask",
        was="real if allowed is None else allowed & real",
        now="real",
        caught_by="TestPrepareMask::test_mask_and_key_padding_are_anded",
    ),
    Mistake(
        "and-ed in place where it fits",
        was="        allowed = real if allowed is None else allowed & real\n",
        now="""        if allowed is None:
            allowed = real
        elif allowed.shape == torch.broadcast_shapes(allowed.shape, real.shape):
            allowed &= real
        else:
            allowed = allowed & real
""",
        caught_by="test_the_masks_stay_as_they_were",
    ),
    Mistake(
        "a mask's shape is not checked",
        was="        if not fits:\n",
        now="        if False:\n",
        caught_by="test_a_mask_that_does_not_fit_is_an_error",
    ),
    Mistake(
        "a 3-D mask per head is let through",
        was="        if not fits:\n",
        now="        if not fits and mask.shape != (heads, queries, keys):\n",
        caught_by="test_a_mask_that_does_not_fit_is_an_error",
    ),
    Mistake(
        "five dimensions are let through",
        was="fits = len(wanted) == mask.ndim and all(",
        now="fits = mask.ndim > 4 or all(",
        caught_by="test_a_mask_that_does_not_fit_is_an_error",
    ),
    Mistake(
        "message without the wanted shape",
        was='raise ValueError(f"mask has shape {tuple(mask.shape)}, which does not fit {wanted}")',
        now='raise ValueError(f"mask has shape {tuple(mask.shape)}, which does not fit")',
        caught_by="test_a_mask_that_does_not_fit_is_an_error",
    ),
    Mistake(
        "a mask may enlarge a size of 1, as in broadcasting",
        was="all(n in (1, size) for n, size in zip(mask.shape, wanted, strict=True))",
        now="all(n == size or 1 in (n, size) for n, size in zip(mask.shape, wanted, strict=True))",
        caught_by="test_a_mask_never_enlarges_the_scores",
    ),
    Mistake(
        "key padding may be (1, S)",
        was="if key_padding_mask.shape != (batch, keys):",
        now="if key_padding_mask.shape not in ((batch, keys), (1, keys)):",
        caught_by="test_key_padding_must_be_exactly_batch_by_keys",
    ),
    Mistake(
        "key padding's length is not checked",
        was="if key_padding_mask.shape != (batch, keys):",
        now="if key_padding_mask.ndim != 2 or key_padding_mask.shape[0] != batch:",
        caught_by="test_key_padding_must_be_exactly_batch_by_keys",
    ),
    Mistake(
        "masks are converted to bool",
        was='        _require_bool("mask", mask)\n',
        now="        mask = mask.bool()\n",
        caught_by="test_masks_must_be_bool",
    ),
    Mistake(
        "the message names the wrong mask",
        was='_require_bool("key_padding_mask", key_padding_mask)',
        now='_require_bool("mask", key_padding_mask)',
        caught_by="test_masks_must_be_bool",
    ),
    # MultiHeadAttention
    Mistake(
        "an extra parameter",
        was="self.dropout = nn.Dropout(dropout)",
        now="self.dropout = nn.Dropout(dropout)\n        self.scale = nn.Parameter(torch.tensor(1.0))",
        caught_by="test_four_linear_layers_and_nothing_else",
    ),
    Mistake(
        "layers of a plain list",
        was="self.W_v = nn.Linear(d_model, d_model, bias=bias)",
        now="self.layers = [nn.Linear(d_model, d_model, bias=bias)]",
        caught_by="test_four_linear_layers_and_nothing_else",
    ),
    Mistake(
        "one layer for queries and keys",
        was="self.W_k = nn.Linear(d_model, d_model, bias=bias)",
        now="self.W_k = self.W_q",
        caught_by="test_four_linear_layers_and_nothing_else",
    ),
    Mistake(
        "output layer always with bias",
        was="self.W_o = nn.Linear(d_model, d_model, bias=bias)",
        now="self.W_o = nn.Linear(d_model, d_model)",
        caught_by="test_four_linear_layers_and_nothing_else",
    ),
    Mistake(
        "no bias by default",
        was="dropout: float = 0.0, bias: bool = True):",
        now="dropout: float = 0.0, bias: bool = False):",
        caught_by="test_dropout_of_everything_leaves_the_bias",
    ),
    Mistake(
        "d_k is the number of heads",
        was="self.d_k = d_model // num_heads",
        now="self.d_k = num_heads",
        caught_by="test_sizes_are_plain_attributes",
    ),
    Mistake(
        "always a pair",
        was="return (output, weights) if need_weights else output",
        now="return output, weights",
        caught_by="test_output_and_weights_have_their_shapes",
    ),
    Mistake(
        "weights asked for by default",
        was="need_weights: bool = False,",
        now="need_weights: bool = True,",
        caught_by="test_output_and_weights_have_their_shapes",
    ),
    Mistake(
        "weights averaged over the heads",
        was="return (output, weights) if need_weights else output",
        now="return (output, weights.mean(1)) if need_weights else output",
        caught_by="test_output_and_weights_have_their_shapes",
    ),
    Mistake(
        "scale by model width",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = q @ k.mT / math.sqrt(self.d_model)",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "no scale",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = q @ k.mT",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "scale without the root",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = q @ k.mT / self.d_k",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "softmax over queries",
        was="weights = scores.softmax(dim=-1)\n        else",
        now="weights = scores.softmax(dim=-2)\n        else",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "tied projections",
        was="k = split_heads(self.W_k(key), self.num_heads)",
        now="k = split_heads(self.W_q(key), self.num_heads)",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "values projected by the key's layer",
        was="v = split_heads(self.W_v(value), self.num_heads)",
        now="v = split_heads(self.W_k(value), self.num_heads)",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "keys used as values",
        was="v = split_heads(self.W_v(value), self.num_heads)",
        now="v = split_heads(self.W_v(key), self.num_heads)",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "no output layer",
        was=OUTPUT,
        now="output = merge_heads(self.dropout(weights) @ v)",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "residual added inside the layer",
        was=OUTPUT,
        now="output = query + self.W_o(merge_heads(self.dropout(weights) @ v))",
        caught_by="test_forward_matches_a_per_head_loop",
    ),
    Mistake(
        "projection through .data",
        was="k = split_heads(self.W_k(key), self.num_heads)",
        now="k = split_heads(nn.functional.linear(key, self.W_k.weight.data, self.W_k.bias), self.num_heads)",
        caught_by="test_gradients_match_a_per_head_loop",
    ),
    Mistake(
        "bias added by hand, also where there is none",
        was="k = split_heads(self.W_k(key), self.num_heads)",
        now="k = split_heads(key @ self.W_k.weight.mT + self.W_k.bias, self.num_heads)",
        caught_by="test_self_attention_without_bias",
    ),
    Mistake(
        "stacked weights cached at the first call",
        was="        k = split_heads(self.W_k(key), self.num_heads)\n",
        now="""        if not hasattr(self, "stacked"):
            self.stacked = torch.cat([self.W_k.weight, self.W_v.weight]).detach().clone()
        k = split_heads(nn.functional.linear(key, self.stacked[: self.d_model], self.W_k.bias), self.num_heads)
""",
        caught_by="test_a_checkpoint_fits_a_fresh_layer",
    ),
    Mistake(
        "value default",
        was="value = key if value is None else value\n        q =",
        now="value = query if value is None else value\n        q =",
        caught_by="test_value_defaults_to_key",
    ),
    Mistake(
        "without a key, the value is overwritten as well",
        was="value = key if value is None else value\n        q =",
        now="value = key if value is None or key is query else value\n        q =",
        caught_by="TestMultiHeadAttention::test_key_defaults_to_query",
    ),
    Mistake(
        "inverted mask",
        was=MASKED,
        now=MASKED.replace("~allowed", "allowed"),
        caught_by="test_true_means_may_attend",
    ),
    Mistake(
        "mask after softmax",
        was=MASKED,
        now="            weights = scores.softmax(dim=-1) * allowed",
        caught_by="test_true_means_may_attend",
    ),
    Mistake(
        "mask ignored when weights are not asked for",
        was="        if allowed is None:\n            weights",
        now="        if allowed is None or not need_weights:\n            weights",
        caught_by="test_weights_or_not_the_output_is_the_same",
    ),
    Mistake(
        "mask given to all heads of the first batch element",
        was=FILL,
        now="allowed = allowed.expand(scores.shape)[:1]\n            " + FILL,
        caught_by="TestMultiHeadAttention::test_every_mask_shape",
    ),
    Mistake(
        "3-D mask per head where that fits, in the layer",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="""if mask is not None and mask.ndim == 3 and len(mask) == self.num_heads:
            mask = mask.unsqueeze(0)
        allowed = prepare_mask(mask, key_padding_mask, scores.shape)""",
        caught_by="TestMultiHeadAttention::test_a_3d_mask_is_per_batch_element_even_when_b_equals_h",
    ),
    Mistake(
        "head and batch swapped in B·H",
        was=FILL,
        now="allowed = allowed.expand(scores.shape).transpose(0, 1).reshape(scores.shape)\n            " + FILL,
        caught_by="test_per_head_masks_reach_the_right_heads",
    ),
    Mistake(
        "key padding dropped by the layer when there is a mask",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="allowed = prepare_mask(mask, key_padding_mask if mask is None else None, scores.shape)",
        caught_by="TestMultiHeadAttention::test_mask_and_key_padding_are_anded",
    ),
    Mistake(
        "key padding dropped by the layer",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="allowed = prepare_mask(mask, None, scores.shape)",
        caught_by="TestMultiHeadAttention::test_key_padding_hides_keys_not_queries",
    ),
    Mistake(
        "NaN row",
        was=MASKED,
        now="            weights = scores.masked_fill(~allowed, float('-inf')).softmax(dim=-1)",
        caught_by="test_a_fully_masked_row_has_zero_weights",
    ),
    Mistake(
        "uniform dead row",
        was=ZEROED,
        now="weights = scores.softmax(dim=-1)",
        caught_by="test_a_fully_masked_row_has_zero_weights",
    ),
    Mistake(
        "half-unsafe fill",
        was="torch.finfo(scores.dtype).min",
        now="-1e9",
        caught_by="test_every_dtype_comes_back_as_itself",
    ),
    Mistake(
        "fill of the query's dtype",
        was="torch.finfo(scores.dtype).min",
        now="torch.finfo(query.dtype).min",
        caught_by="test_cpu_autocast_stays_near_float32",
    ),
    Mistake(
        "dead rows repaired after the softmax, their gradients NaN",
        was=MASKED,
        now="""            scores = scores + torch.zeros_like(scores).masked_fill(~allowed, float("-inf"))
            weights = scores.softmax(dim=-1).nan_to_num(0.0)""",
        caught_by="test_gradients_stay_finite_with_a_fully_masked_row",
    ),
    Mistake(
        "scores of the masked call detached",
        was=FILL,
        now=FILL.replace("scores.masked_fill", "scores.detach().masked_fill"),
        caught_by="test_gradients_stay_finite_with_a_fully_masked_row",
    ),
    Mistake(
        "penalty of −1e4 added",
        was=FILL,
        now="scores = scores + (~allowed) * -1e4",
        caught_by="test_contents_of_masked_keys_do_not_matter",
    ),
    Mistake(
        "masked values multiplied in",
        was=OUTPUT,
        now="output = self.W_o(merge_heads(self.dropout(weights + 1e-6) @ v))",
        caught_by="test_contents_of_masked_keys_do_not_matter",
    ),
    Mistake(
        "fill of −1e4",
        was="torch.finfo(scores.dtype).min",
        now="-1e4",
        caught_by="test_large_scores_stay_finite",
    ),
    Mistake(
        "exp without the maximum",
        was="weights = scores.softmax(dim=-1)\n        else",
        now="weights = scores.exp() / scores.exp().sum(dim=-1, keepdim=True)\n        else",
        caught_by="test_large_scores_stay_finite",
    ),
    Mistake(
        "scores clamped",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = (q @ k.mT / math.sqrt(self.d_k)).clamp(-50, 50)",
        caught_by="test_large_scores_stay_finite",
    ),
    Mistake(
        "dropout on the result",
        was=OUTPUT,
        now="output = self.dropout(self.W_o(merge_heads(weights @ v)))",
        caught_by="test_dropout_of_everything_leaves_the_bias",
    ),
    Mistake(
        "dropout on the merged heads",
        was=OUTPUT,
        now="output = self.W_o(self.dropout(merge_heads(weights @ v)))",
        caught_by="test_dropout_drops_whole_weights",
    ),
    Mistake(
        "dropout on the scores",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = self.dropout(q @ k.mT / math.sqrt(self.d_k))",
        caught_by="test_returned_weights_are_before_dropout",
    ),
    Mistake(
        "no dropout at all",
        was=OUTPUT,
        now="output = self.W_o(merge_heads(weights @ v))",
        caught_by="test_dropout_of_everything_leaves_the_bias",
    ),
    Mistake(
        "dropout by hand without 1/(1 − p)",
        was=OUTPUT,
        now="""kept = torch.rand_like(weights) >= self.dropout.p if self.training else 1
        output = self.W_o(merge_heads((weights * kept) @ v))""",
        caught_by="test_dropout_keeps_the_mean",
    ),
    Mistake(
        "one dropout draw for all heads and queries",
        was=OUTPUT,
        now="""kept = self.dropout(torch.ones_like(weights[:, :1, :1]))
        output = self.W_o(merge_heads((weights * kept) @ v))""",
        caught_by="test_dropout_drops_whole_weights",
    ),
    Mistake(
        "weights after dropout returned",
        was=OUTPUT,
        now="weights = self.dropout(weights)\n        output = self.W_o(merge_heads(weights @ v))",
        caught_by="test_returned_weights_are_before_dropout",
    ),
    Mistake(
        "dropout in eval mode",
        was=OUTPUT,
        now="output = self.W_o(merge_heads(nn.functional.dropout(weights, self.dropout.p) @ v))",
        caught_by="test_eval_mode_draws_no_dropout",
    ),
    Mistake(
        "dropout kept as a number",
        was="self.dropout = nn.Dropout(dropout)",
        now="self.dropout = lambda x: nn.functional.dropout(x, dropout, self.training)",
        caught_by="test_dropout_is_a_module_and_off_by_default",
    ),
    Mistake(
        "dropout on by default",
        was="dropout: float = 0.0, bias",
        now="dropout: float = 0.1, bias",
        caught_by="test_dropout_is_a_module_and_off_by_default",
    ),
    Mistake(
        "the mask is remembered",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="""if mask is not None:
            self.mask = mask
        mask = getattr(self, "mask", None)
        allowed = prepare_mask(mask, key_padding_mask, scores.shape)""",
        caught_by="test_calls_leave_nothing_behind",
    ),
    Mistake(
        "the mask is inverted in place",
        was=FILL,
        now="scores = scores.masked_fill(allowed.logical_not_(), -1e9)\n            allowed = ~allowed",
        caught_by="test_calls_leave_nothing_behind",
    ),
    Mistake(
        "weights returned in float32",
        was="return (output, weights) if need_weights else output",
        now="return (output, weights.float()) if need_weights else output",
        caught_by="test_every_dtype_comes_back_as_itself",
    ),
    Mistake(
        "the finished layer called",
        was=OUTPUT,
        now=OUTPUT
        + """
        nn.functional.multi_head_attention_forward(
            query.mT.mT.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1), self.d_model, self.num_heads,
            torch.cat([self.W_q.weight, self.W_k.weight, self.W_v.weight]), None, None, None, False, 0.0,
            self.W_o.weight, self.W_o.bias,
        )""",
        caught_by="test_written_without_the_finished_layer",
    ),
    Mistake(
        "heads that do not divide d_model",
        was="if num_heads < 1 or d_model % num_heads:",
        now="if num_heads < 1:",
        caught_by="test_heads_must_divide_d_model",
    ),
    Mistake(
        "no check of the number of heads",
        was="if num_heads < 1 or d_model % num_heads:",
        now="if num_heads and d_model % num_heads:",
        caught_by="test_heads_must_divide_d_model",
    ),
    Mistake(
        "assert instead of ValueError",
        was="""        if num_heads < 1 or d_model % num_heads:
            raise ValueError(f"d_model {d_model} cannot be shared equally by {num_heads} heads")""",
        now="        assert num_heads >= 1 and d_model % num_heads == 0",
        caught_by="test_heads_must_divide_d_model",
    ),
    Mistake(
        "impossible dropout clamped",
        was="self.dropout = nn.Dropout(dropout)",
        now="self.dropout = nn.Dropout(min(max(dropout, 0.0), 1.0))",
        caught_by="test_dropout_must_be_a_probability",
    ),
    Mistake(
        "query width not checked",
        was="if query.shape[-1] != self.d_model:",
        now="if False:",
        caught_by="test_query_must_be_d_model_wide",
    ),
    Mistake(
        "only a query that is too narrow is refused",
        was="if query.shape[-1] != self.d_model:",
        now="if query.shape[-1] < self.d_model:",
        caught_by="test_query_must_be_d_model_wide",
    ),
    Mistake(
        "one head refused",
        was="if num_heads < 1 or d_model % num_heads:",
        now="if num_heads < 2 or d_model % num_heads:",
        caught_by="test_sizes_are_plain_attributes",
    ),
    Mistake(
        "message without the width that came",
        was='raise ValueError(f"query has {query.shape[-1]} features, d_model is {self.d_model}")',
        now='raise ValueError(f"query should have {self.d_model} features")',
        caught_by="test_query_must_be_d_model_wide",
    ),
    Mistake(
        "the layer casts its masks",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="allowed = prepare_mask(None if mask is None else mask.bool(), key_padding_mask, scores.shape)",
        caught_by="test_bad_masks_are_refused",
    ),
    # attention_patterns
    Mistake(
        "mask not passed on",
        was=LOOKING,
        now=LOOKING.replace("mask=mask, ", ""),
        caught_by="test_the_weights_of_a_call",
    ),
    Mistake(
        "masks exchanged",
        was=LOOKING,
        now="_, weights = mha(query, key, None, key_padding_mask, mask, True)",
        caught_by="test_the_weights_of_a_call",
    ),
    Mistake(
        "key padding not passed on",
        was=LOOKING,
        now=LOOKING.replace("key_padding_mask=key_padding_mask, ", ""),
        caught_by="test_the_weights_of_a_call",
    ),
    Mistake(
        "key not passed on",
        was=LOOKING,
        now=LOOKING.replace("query, key, mask", "query, mask"),
        caught_by="test_the_weights_of_a_call",
    ),
    Mistake(
        "weights with their graph",
        was="with _eval_mode(mha), torch.no_grad():\n        _, weights",
        now="with _eval_mode(mha):\n        _, weights",
        caught_by="test_the_weights_carry_no_graph",
    ),
    Mistake(
        "looking on in training mode",
        was="with _eval_mode(mha), torch.no_grad():\n        _, weights",
        now="with torch.no_grad():\n        _, weights",
        caught_by="test_computed_in_eval_mode",
    ),
    Mistake(
        "left in eval mode",
        was="with _eval_mode(mha), torch.no_grad():\n        _, weights",
        now="mha.eval()\n    with torch.no_grad():\n        _, weights",
        caught_by="TestAttentionPatterns::test_the_training_flag_is_put_back",
    ),
    Mistake(
        "always back to training mode",
        was="            part.training = flag",
        now="            part.training = True",
        caught_by="TestAttentionPatterns::test_the_training_flag_is_put_back",
    ),
    Mistake(
        "only the layer's own flag is put back",
        was="        for part, flag in flags:",
        now="        for part, flag in flags[:1]:",
        caught_by="TestAttentionPatterns::test_the_training_flag_is_put_back",
    ),
    Mistake(
        "left in eval mode after an error",
        was="""    try:
        yield
    finally:
        for part, flag in flags:
            part.training = flag""",
        now="""    yield
    for part, flag in flags:
        part.training = flag""",
        caught_by="test_the_training_flag_is_put_back_after_an_error",
    ),
    Mistake(
        "gradients cleared",
        was="with _eval_mode(mha), torch.no_grad():\n        _, weights",
        now="mha.zero_grad()\n    with _eval_mode(mha), torch.no_grad():\n        _, weights",
        caught_by="test_gradients_in_progress_stay",
    ),
    # head_statistics
    Mistake(
        "entropy in bits",
        was="torch.special.entr(weights).sum(dim=(0, 2, 3))",
        now="torch.special.entr(weights).sum(dim=(0, 2, 3)) / math.log(2)",
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "signed distance",
        was="(weights * offset.abs()).sum(dim=(0, 2, 3))",
        now="(weights * offset).sum(dim=(0, 2, 3))",
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "distance of the mean position",
        was="(weights * offset.abs()).sum(dim=(0, 2, 3))",
        now="(weights * offset).sum(dim=3).abs().sum(dim=(0, 2))",
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "largest weight of the head",
        was='"max_weight": weights.amax(dim=3).sum(dim=(0, 2)),',
        now='"max_weight": weights.amax(dim=(0, 2, 3)) * (weights != 0).any(dim=3).sum(dim=(0, 2)),',
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "averaged over the heads too",
        was="total / live.clamp(min=1) for name",
        now="(total / live.clamp(min=1)).mean().expand(live.shape) for name",
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "0·log 0 is NaN",
        was="torch.special.entr(weights).sum(dim=(0, 2, 3))",
        now="-(weights * weights.log()).sum(dim=(0, 2, 3))",
        caught_by="test_zero_weights_have_no_entropy",
    ),
    Mistake(
        "0·log 0 with a large epsilon",
        was="torch.special.entr(weights).sum(dim=(0, 2, 3))",
        now="-(weights * (weights + 1e-3).log()).sum(dim=(0, 2, 3))",
        caught_by="TestHeadStatistics::test_matches_a_plain_loop",
    ),
    Mistake(
        "dead rows counted",
        was="live = (weights != 0).any(dim=3).sum(dim=(0, 2))",
        now="live = (weights == weights).any(dim=3).sum(dim=(0, 2))",
        caught_by="TestHeadStatistics::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "averaged over each batch element first",
        was="def head_statistics(weights: Tensor) -> dict[str, Tensor]:",
        now="""def head_statistics(weights):
    halves = [statistics_of_all(half[None]) for half in weights]
    return {name: torch.stack([half[name] for half in halves]).mean(dim=0) for name in halves[0]}


def statistics_of_all(weights: Tensor) -> dict[str, Tensor]:""",
        caught_by="TestHeadStatistics::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "self weight from the diagonal, averaged over its length",
        was='"self_weight": (weights * (offset == 0)).sum(dim=(0, 2, 3)),',
        now='"self_weight": weights.diagonal(dim1=2, dim2=3).mean(dim=2).sum(dim=0) * queries,',
        caught_by="test_queries_beyond_the_keys_have_no_self",
    ),
    Mistake(
        "a head without live rows is NaN",
        was="total / live.clamp(min=1) for",
        now="total / live for",
        caught_by="test_a_head_without_a_live_row_is_zero",
    ),
    Mistake(
        "half precision kept",
        was="    weights = weights.to(torch.promote_types(weights.dtype, torch.float32))\n",
        now="",
        caught_by="test_half_precision_is_summed_in_float32",
    ),
    # to_torch_mha
    Mistake(
        "stack order in the copy",
        was="inputs = (mha.W_q, mha.W_k, mha.W_v)",
        now="inputs = (mha.W_k, mha.W_q, mha.W_v)",
        caught_by="test_projections_are_stacked_query_key_value",
    ),
    Mistake(
        "output bias forgotten",
        was="            theirs.out_proj.bias.copy_(mha.W_o.bias)\n",
        now="",
        caught_by="test_the_two_layers_give_the_same_output",
    ),
    Mistake(
        "output layer forgotten",
        was="        theirs.out_proj.weight.copy_(mha.W_o.weight)\n",
        now="",
        caught_by="test_the_two_layers_give_the_same_output",
    ),
    Mistake(
        "always with bias",
        was="        bias=has_bias,\n",
        now="",
        caught_by="test_settings_are_carried_over",
    ),
    Mistake(
        "batch second",
        was="        batch_first=True,\n",
        now="",
        caught_by="test_the_two_layers_give_the_same_output",
    ),
    Mistake(
        "dropout not carried over",
        was="        dropout=mha.dropout.p,\n",
        now="",
        caught_by="test_settings_are_carried_over",
    ),
    Mistake(
        "mode not carried over",
        was="return theirs.train(mha.training)",
        now="return theirs",
        caught_by="test_settings_are_carried_over",
    ),
    Mistake(
        "dtype not carried over",
        was="        dtype=mha.W_o.weight.dtype,\n",
        now="",
        caught_by="test_dtype_and_device_are_carried_over",
    ),
    Mistake(
        "device not carried over",
        was="        device=mha.W_o.weight.device,\n",
        now="",
        caught_by="test_dtype_and_device_are_carried_over",
    ),
    Mistake(
        "output layer shared",
        was="        theirs.out_proj.weight.copy_(mha.W_o.weight)\n",
        now="        theirs.out_proj.weight = mha.W_o.weight\n",
        caught_by="test_the_weights_are_copies",
    ),
    Mistake(
        "frozen copies",
        was="return theirs.train(mha.training)",
        now="return theirs.train(mha.training).requires_grad_(mha.W_q.weight.requires_grad)",
        caught_by="test_its_parameters_are_trainable_leaves",
    ),
    # compare_with_torch
    Mistake(
        "PyTorch mask not inverted",
        was="attn_mask=~allowed.flatten(0, 1)",
        now="attn_mask=allowed.flatten(0, 1)",
        caught_by="test_tiny_for_every_kind_of_mask",
    ),
    Mistake(
        "heads before batch in the 3-D mask",
        was="attn_mask=~allowed.flatten(0, 1)",
        now="attn_mask=~allowed.transpose(0, 1).flatten(0, 1)",
        caught_by="test_tiny_for_every_kind_of_mask",
    ),
    Mistake(
        "key padding forgotten on PyTorch's side",
        was="allowed = prepare_mask(mask, key_padding_mask, weights.shape)",
        now="allowed = prepare_mask(mask, None, weights.shape)",
        caught_by="test_tiny_for_every_kind_of_mask",
    ),
    Mistake(
        "value defaults to the query on PyTorch's side",
        was="    value = key if value is None else value\n    theirs",
        now="    value = query if value is None else value\n    theirs",
        caught_by="test_keys_and_values_default_as_in_the_layer",
    ),
    Mistake(
        "a value that is given is not compared",
        was="    value = key if value is None else value\n    theirs",
        now="    value = key\n    theirs",
        caught_by="test_a_given_value_is_used",
    ),
    Mistake(
        "everything left out when one row is dead",
        was="_largest((output - torch_output)[live.all(dim=1)])",
        now="_largest((output - torch_output)[live.all()])",
        caught_by="TestCompareWithTorch::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "signed difference",
        was="differences.abs().max().item()",
        now="differences.max().item()",
        caught_by="test_reports_a_wrong_output",
    ),
    Mistake(
        "compared with itself",
        was="_largest((output - torch_output)[live.all(dim=1)])",
        now="_largest((torch_output - torch_output)[live.all(dim=1)])",
        caught_by="test_reports_a_wrong_output",
    ),
    Mistake(
        "weights averaged over the heads in the comparison",
        was="_largest((weights - torch_weights)[live])",
        now="_largest((weights - torch_weights).mean(dim=1)[live.all(dim=1)])",
        caught_by="test_reports_wrong_weights_of_one_head",
    ),
    Mistake(
        "NaN rows compared",
        was="_largest((output - torch_output)[live.all(dim=1)])",
        now="_largest(output - torch_output)",
        caught_by="TestCompareWithTorch::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "output rows left out only if all heads are dead",
        was="_largest((output - torch_output)[live.all(dim=1)])",
        now="_largest((output - torch_output)[live.any(dim=1)])",
        caught_by="TestCompareWithTorch::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "weights of all heads left out with one",
        was="_largest((weights - torch_weights)[live])",
        now="_largest((weights - torch_weights).transpose(1, 2)[live.all(dim=1)])",
        caught_by="TestCompareWithTorch::test_fully_masked_rows_are_left_out",
    ),
    Mistake(
        "empty maximum",
        was="differences.abs().max().item() if differences.numel() else 0.0",
        now="differences.abs().max().item()",
        caught_by="test_nothing_left_is_no_difference",
    ),
    Mistake(
        "tensors instead of floats",
        was="differences.abs().max().item() if",
        now="differences.abs().max() if",
        caught_by="test_tiny_for_every_kind_of_mask",
    ),
    Mistake(
        "compared with dropout on",
        was="theirs = to_torch_mha(mha).eval()",
        now="theirs = to_torch_mha(mha)",
        caught_by="test_compares_in_eval_mode_and_puts_the_flag_back",
    ),
    Mistake(
        "left in eval mode after the comparison",
        was="    with _eval_mode(mha), torch.no_grad():\n        output",
        now="    mha.eval()\n    with torch.no_grad():\n        output",
        caught_by="test_compares_in_eval_mode_and_puts_the_flag_back",
    ),
]

OFFSET = "offset = torch.arange(queries, device=weights.device)[:, None] - torch.arange(keys, device=weights.device)"
FITS = "fits = len(wanted) == mask.ndim and all(n in (1, size) for n, size in zip(mask.shape, wanted, strict=True))"

EQUIVALENT = [
    Equivalent(
        was=FITS,
        now=FITS.replace("==", ">="),
        reason="differs only for a mask without dimensions, of which the contract says nothing",
    ),
    Equivalent(
        was=OFFSET,
        now=OFFSET.replace("(keys, device=weights.device)", "(keys)"),
        reason="only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(
        was=OFFSET,
        now=OFFSET.replace("(queries, device=weights.device)", "(queries)"),
        reason="only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(
        was="live = (weights != 0).any(dim=3).sum(dim=(0, 2))",
        now="live = (weights > 0).any(dim=3).sum(dim=(0, 2))",
        reason="attention weights are never negative",
    ),
    Equivalent(
        was="with _eval_mode(mha), torch.no_grad():",
        now="with _eval_mode(mha), torch.enable_grad():",
        reason="in compare_with_torch, where only plain floats come back; in attention_patterns it is caught",
    ),
]
