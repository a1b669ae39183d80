"""Wrong solutions of 16 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SPLIT = "return x.unflatten(-1, (num_heads, features // num_heads)).transpose(1, 2)"
MERGE = "return x.transpose(1, 2).flatten(2)"
FILL = "scores = scores.masked_fill(~allowed, torch.finfo(scores.dtype).min)"
MASKED = f"""            {FILL}
            weights = scores.softmax(dim=-1).masked_fill(~allowed, 0.0)"""
OUTPUT = "output = self.W_o(merge_heads(self.dropout(weights) @ v))"
LOOKING = "with _eval_mode(mha), torch.no_grad():\n        _, weights"

MISTAKES = [
    # split_heads
    Mistake(
        "reshape split",
        was=SPLIT,
        now=(
            "return x.reshape(x.shape[0], num_heads, x.shape[1], features // num_heads)"
        ),
        caught_by="test_heads_are_consecutive_feature_blocks",
        says="looks like reshaped to (B, H, T, D) without a transpose",
    ),
    Mistake(
        "interleaved heads",
        was=SPLIT,
        now=(
            "return x.unflatten(-1, (features // num_heads, num_heads)).permute(0, 3, "
            "1, 2)"
        ),
        caught_by="test_heads_are_consecutive_feature_blocks",
        says="looks like features dealt out to the heads in turn",
    ),
    Mistake(
        "heads left behind the positions",
        was=SPLIT,
        now="return x.unflatten(-1, (num_heads, features // num_heads))",
        caught_by="test_heads_are_consecutive_feature_blocks",
        says="looks like cut into heads, but not transposed",
    ),
    # merge_heads
    Mistake(
        "merge without transpose",
        was=MERGE,
        now="return x.reshape(x.shape[0], x.shape[2], -1)",
        caught_by="test_heads_are_side_by_side_again",
        says="looks like reshaped without moving the heads behind the positions",
    ),
    Mistake(
        "view after transpose",
        was=MERGE,
        now="return x.transpose(1, 2).view(x.shape[0], x.shape[2], -1)",
        caught_by="test_heads_are_side_by_side_again",
        says="view size is not compatible",
    ),
    # prepare_mask
    Mistake(
        "3-D mask per head",
        was="allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask",
        now="allowed = mask",
        caught_by="test_the_number_of_dimensions_says_what_a_mask_is",
        says="which does not expand to (2, 3, 5, 7)",
    ),
    Mistake(
        "3-D mask per head where that fits",
        was="allowed = mask.unsqueeze(1) if mask.ndim == 3 else mask",
        now=(
            "allowed = mask.unsqueeze(int(mask.shape[0] != heads)) if mask.ndim == 3 "
            "else mask"
        ),
        caught_by=(
            "TestPrepareMask::test_a_3d_mask_is_per_batch_element_even_when_b_equals_h"
        ),
        says="looks like one mask per head instead of one per batch element",
    ),
    Mistake(
        "padding on queries",
        was="real = key_padding_mask[:, None, None, :]",
        now="real = key_padding_mask[:, None, :, None]",
        caught_by="test_key_padding_hides_keys_not_queries",
        says="looks like the padded queries are hidden, not the padded keys",
    ),
    Mistake(
        "masks or-ed",
        was="real if allowed is None else allowed & real",
        now="real if allowed is None else allowed | real",
        caught_by="test_mask_and_key_padding_must_both_allow",
        says="looks like or-ed: either mask is enough",
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
        says="mask after the call, which must not write to it",
        edge=True,
    ),
    # MultiHeadAttention.__init__
    Mistake(
        "a layer that is not registered under its name",
        was="self.W_v = nn.Linear(d_model, d_model, bias=bias)",
        now="self.layers = [nn.Linear(d_model, d_model, bias=bias)]",
        caught_by="test_four_linear_layers_and_nothing_else",
        says="the state_dict lacks W_v.bias, W_v.weight",
    ),
    # MultiHeadAttention.forward
    Mistake(
        "heads reshaped inside the layer",
        was=(
            "k = split_heads(self.W_k(key), self.num_heads)\n"
            "        v = split_heads(self.W_v(value), self.num_heads)"
        ),
        now="""q = self.W_q(query).reshape(len(query), self.num_heads, -1, self.d_k)
        k = self.W_k(key).reshape(len(key), self.num_heads, -1, self.d_k)
        v = self.W_v(value).reshape(len(value), self.num_heads, -1, self.d_k)""",
        caught_by="test_forward_matches_a_per_head_loop",
        says="looks like heads reshaped to (B, H, T, D) without a transpose",
    ),
    Mistake(
        "scale by model width",
        was="scores = q @ k.mT / math.sqrt(self.d_k)",
        now="scores = q @ k.mT / math.sqrt(self.d_model)",
        caught_by="test_forward_matches_a_per_head_loop",
        says="looks like scores divided by √d_model",
    ),
    Mistake(
        "softmax over queries",
        was="weights = scores.softmax(dim=-1)\n        else",
        now="weights = scores.softmax(dim=-2)\n        else",
        caught_by="test_forward_matches_a_per_head_loop",
        says="looks like softmax over the queries",
    ),
    Mistake(
        "no output layer",
        was=OUTPUT,
        now="output = merge_heads(self.dropout(weights) @ v)",
        caught_by="test_forward_matches_a_per_head_loop",
        says="looks like W_o is left out",
    ),
    Mistake(
        "value default",
        was="value = key if value is None else value\n        q =",
        now="value = query if value is None else value\n        q =",
        caught_by="test_the_key_defaults_to_the_query_and_the_value_to_the_key",
        says="looks like the value defaults to the query",
    ),
    Mistake(
        "inverted mask",
        was=MASKED,
        now=MASKED.replace("~allowed", "allowed"),
        caught_by="test_true_means_may_attend",
        says="looks like the mask is inverted: True means may attend",
    ),
    Mistake(
        "mask after softmax",
        was=MASKED,
        now="            weights = scores.softmax(dim=-1) * allowed",
        caught_by="test_true_means_may_attend",
        says=(
            "looks like masked after the softmax: the allowed weights no longer sum "
            "to 1"
        ),
    ),
    Mistake(
        "key padding dropped by the layer",
        was="allowed = prepare_mask(mask, key_padding_mask, scores.shape)",
        now="allowed = prepare_mask(mask, None, scores.shape)",
        caught_by="test_padding_changes_nothing",
        says="looks like the real tokens see the padding",
    ),
    Mistake(
        "dropout on the result",
        was=OUTPUT,
        now="output = self.dropout(self.W_o(merge_heads(weights @ v)))",
        caught_by="test_dropout_of_everything_leaves_the_bias",
        says="looks like dropout on the output of the layer",
    ),
    Mistake(
        "dropout in eval mode",
        was=OUTPUT,
        now=(
            "output = self.W_o(merge_heads(nn.functional.dropout(weights, "
            "self.dropout.p) @ v))"
        ),
        caught_by="test_dropout_of_everything_leaves_the_bias",
        says="looks like dropout in eval mode, too",
    ),
    Mistake(
        "NaN row",
        was=MASKED,
        now=(
            "            weights = scores.masked_fill(~allowed, "
            "float('-inf')).softmax(dim=-1)"
        ),
        caught_by="test_a_fully_masked_row_has_zero_weights",
        says="looks like a softmax over −inf alone",
        edge=True,
    ),
    Mistake(
        "weights after dropout returned",
        was=OUTPUT,
        now=(
            "weights = self.dropout(weights)\n"
            "        output = self.W_o(merge_heads(weights @ v))"
        ),
        caught_by="test_returned_weights_are_before_dropout",
        says="of the weights in training mode",
        edge=True,
    ),
    # attention_patterns
    Mistake(
        "looking on in training mode",
        was=LOOKING,
        now="with torch.no_grad():\n        _, weights",
        caught_by="test_computed_in_eval_mode",
        says="the dropout is still on",
    ),
    # compare_with_torch
    Mistake(
        "PyTorch mask not inverted",
        was="attn_mask=~allowed.flatten(0, 1)",
        now="attn_mask=allowed.flatten(0, 1)",
        caught_by="test_tiny_for_every_kind_of_mask",
        says="looks like every key is blocked: PyTorch's True means that",
    ),
]


EQUIVALENT = [
    Equivalent(
        was="fits = len(wanted) == mask.ndim and all(",
        now="fits = len(wanted) >= mask.ndim and all(",
        reason=(
            "differs only for a mask without dimensions, of which the contract says "
            "nothing"
        ),
    ),
    Equivalent(
        was="keys, device=weights.device",
        now="keys",
        reason="only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(
        was=(
            "offset = torch.arange(queries, device=weights.device)[:, None] - "
            "torch.arange("
        ),
        now="offset = torch.arange(queries)[:, None] - torch.arange(",
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
        reason=(
            "in compare_with_torch, where only plain floats come back; in "
            "attention_patterns it is caught"
        ),
    ),
    Equivalent(
        was='"entropy": torch.special.entr(weights).sum(dim=-1),',
        now='"entropy": torch.special.entr(weights).sum(dim=-2),',
        reason="the other dim is summed below",
        textbook=True,
    ),
    Equivalent(
        was='"mean_distance": (weights * (i - j).abs()).sum(dim=-1),',
        now='"mean_distance": (weights * (i - j).abs()).sum(dim=-2),',
        reason="the other dim is summed below",
        textbook=True,
    ),
    Equivalent(
        was='"self_weight": (weights * (i == j)).sum(dim=-1),',
        now='"self_weight": (weights * (i == j)).sum(dim=-2),',
        reason="the other dim is summed below",
        textbook=True,
    ),
    Equivalent(
        was="count = (weights.sum(dim=-1) > 0).sum(dim=(0, 2)).clamp(min=1)",
        now="count = (weights.sum(dim=-1) > 0).sum(dim=(0, 2)).clamp(min=0)",
        reason="rows without a key are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="count = (weights.sum(dim=-1) > 0).sum(dim=(0, 2)).clamp(min=1)",
        now="count = (weights.sum(dim=-1) >= 0).sum(dim=(0, 2)).clamp(min=1)",
        reason="rows without a key are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="count = (weights.sum(dim=-1) > 0).sum(dim=(0, 2)).clamp(min=1)",
        now="count = (weights.sum(dim=-1) > -1).sum(dim=(0, 2)).clamp(min=1)",
        reason="rows without a key are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="sees = weights.sum(dim=-1) > 0  # (B, H, T)",
        now="sees = weights.sum(dim=-1) >= 0  # (B, H, T)",
        reason="rows without a key are asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="sees = weights.sum(dim=-1) > 0  # (B, H, T)",
        now="sees = weights.sum(dim=-1) > -1  # (B, H, T)",
        reason="rows without a key are asked at the edges alone",
        textbook=True,
    ),
]
