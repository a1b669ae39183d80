"""Wrong solutions of today/01 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
NORM = """\
normed = (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(
        x.dtype
    )"""
EACH_HEAD = "return rms_norm(q, q_weight, eps), rms_norm(k, k_weight, eps)"
TURN = "return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)"
COS = "cos, sin = angles.cos() * scale, angles.sin() * scale"
ANGLES = "angles = (positions.unsqueeze(-1) * inv_freq.to(wide)).unsqueeze(-3)"
RAMP = "ramp = ((pairs - low) / (high - low or 0.001)).clamp(0, 1)"
MIXED = "inv_freq = theta * (1 - ramp) + theta / factor * ramp"
GATED = "return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)"
SHARED = "k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)"
CAUSAL = """dtype=torch.bool, device=q.device).tril(
            k.size(2) - q.size(2)
        )"""
ATTEND = "return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)"
NORMS = """        if self.config.qk_norm:
            q, k = qk_norm(
                q, k, attn.q_norm.weight, attn.k_norm.weight, self.config.eps
            )
"""
TURNED = """        q, k = (
            rope_half(q, positions, inv_freq, scale),
            rope_half(k, positions, inv_freq, scale),
        )
"""

MISTAKES = [
    Mistake(
        "the mean subtracted, as in layer norm",
        NORM,
        f"wide = wide - wide.mean(dim=-1, keepdim=True)\n    {NORM}",
        "test_the_mean_square_of_each_row_becomes_1",
        says="looks like the mean was subtracted: RMSNorm keeps it",
    ),
    Mistake(
        "eps outside the root",
        NORM,
        "normed = (wide / (wide.square().mean(dim=-1, keepdim=True).sqrt() + "
        "eps)).to(x.dtype)",
        "test_eps_belongs_under_the_root",
        says="looks like eps outside the root",
    ),
    Mistake(
        "the weight before the norm",
        "wide = x.to(torch.promote_types(x.dtype, torch.float32))",
        "x = x if weight is None else x * weight\n    weight = None\n"
        "    wide = x.to(torch.promote_types(x.dtype, torch.float32))",
        "test_the_weight_is_multiplied_at_the_end",
        says="looks like multiplied before the norm",
    ),
    Mistake(
        "computed in half precision",
        "wide = x.to(torch.promote_types(x.dtype, torch.float32))",
        "wide = x",
        "TestRmsNorm::test_half_precision_is_computed_in_float32",
        says="expected",
        edge=True,
    ),
    Mistake(
        "one norm over all heads",
        EACH_HEAD,
        """def flat(x, w):
        rows = rms_norm(x.transpose(1, 2).flatten(2), None, eps)
        return rows.unflatten(-1, (-1, x.size(-1))).transpose(1, 2) * w

    return flat(q, q_weight), flat(k, k_weight)""",
        "test_each_head_is_normalised_by_itself",
        says="looks like one norm over all heads of a position",
    ),
    Mistake(
        "eps not handed on",
        EACH_HEAD,
        "return rms_norm(q, q_weight), rms_norm(k, k_weight)",
        "test_eps_is_handed_on",
        says="looks like rms_norm's own default, 1e-5",
    ),
    Mistake(
        "neighbouring pairs, as in 18",
        f"a, b = x.chunk(2, dim=-1)\n    {TURN}",
        "a, b = x[..., 0::2], x[..., 1::2]\n"
        "    return torch.stack([a * cos - b * sin, b * cos + a * sin], "
        "dim=-1).flatten(-2).to(x.dtype)",
        "test_equals_a_rotation_of_every_pair",
        says="looks like neighbouring pairs, the layout of 18",
    ),
    Mistake(
        "halves turned, then dealt out as neighbours",
        TURN,
        "return torch.stack([a * cos - b * sin, b * cos + a * sin], "
        "dim=-1).flatten(-2).to(x.dtype)",
        "test_a_pair_is_half_a_head_apart",
        says="looks like feature 1 holds what belongs at D/2",
    ),
    Mistake(
        "the sign of sin",
        TURN,
        TURN.replace(
            "a * cos - b * sin, b * cos + a * sin",
            "a * cos + b * sin, b * cos - a * sin",
        ),
        "test_equals_a_rotation_of_every_pair",
        says="looks like turned the other way: the sign of sin",
    ),
    Mistake(
        "only cos scaled",
        COS,
        "cos, sin = angles.cos() * scale, angles.sin()",
        "test_scale_multiplies_cos_and_sin",
        says="looks like only cos is scaled",
    ),
    Mistake(
        "positions of rows given to heads",
        ANGLES,
        "angles = positions.unsqueeze(-1) * inv_freq.to(wide)",
        "test_rows_may_have_positions_of_their_own",
        says="RuntimeError: The size of tensor",
    ),
    Mistake(
        "the ramp upside down",
        MIXED,
        "inv_freq = theta * ramp + theta / factor * (1 - ramp)",
        "TestYarnFrequencies::test_equals_a_loop_over_pairs",
        says="looks like the ramp is upside down",
    ),
    Mistake(
        "the ramp over features, not over pairs",
        RAMP,
        RAMP.replace("(pairs - low)", "(2 * pairs - low)"),
        "TestYarnFrequencies::test_equals_a_loop_over_pairs",
        says="looks like the ramp is over features 2i, not over pairs i",
    ),
    Mistake(
        "silu on the up branch",
        GATED,
        "return F.linear(F.linear(x, w_gate) * F.silu(F.linear(x, w_up)), w_down)",
        "test_a_gate_multiplies_the_values",
        says="looks like silu on the up branch: gate and up swapped",
    ),
    Mistake(
        "repeat in place of repeat_interleave",
        SHARED,
        "k, v = k.repeat(1, groups, 1, 1), v.repeat(1, groups, 1, 1)",
        "test_neighbouring_query_heads_share_a_key_head",
        says="looks like query head 1 reads key head 1",
    ),
    Mistake(
        "is_causal for fewer queries than keys",
        ATTEND,
        "return F.scaled_dot_product_attention(q, k, v, is_causal=True)",
        "test_fewer_queries_than_keys_are_the_newest",
        says=(
            "looks like aligned at the top left: the first query sees one key of 7, "
            "as with is_causal=True"
        ),
    ),
    Mistake(
        "the causal mask on top of a given one",
        "    if mask is None:\n        mask = torch.ones(q.size(2), k.size(2), "
        + CAUSAL,
        "    causal = torch.ones(q.size(2), k.size(2), "
        + CAUSAL
        + "\n    mask = causal if mask is None else mask & causal",
        "test_a_mask_says_who_attends_to_whom",
        says="looks like the causal mask on top of the given one",
    ),
    Mistake(
        "biases in the projections of queries",
        '"q_proj": nn.Linear(c, config.n_head * d, bias=False)',
        '"q_proj": nn.Linear(c, config.n_head * d)',
        "test_names_are_llamas",
        says="too many are ['self_attn.q_proj.bias']",
    ),
    Mistake(
        "as many key heads as query heads",
        '"k_proj": nn.Linear(c, config.n_kv_head * d, bias=False)',
        '"k_proj": nn.Linear(c, config.n_head * d, bias=False)',
        "TestBlockInit::test_shapes",
        says="of self_attn.k_proj.weight shape (24, 24) expected (12, 24)",
    ),
    Mistake(
        "norms drawn as matrices are",
        '                "down_proj": nn.Linear(config.n_hidden, c, bias=False),\n'
        "            }\n        )\n",
        '                "down_proj": nn.Linear(config.n_hidden, c, bias=False),\n'
        "            }\n        )\n"
        "        for parameter in self.parameters():\n"
        "            nn.init.normal_(parameter, std=0.02)\n",
        "test_norms_start_at_1",
        says="of input_layernorm.weight differs at 24 of 24 places",
    ),
    Mistake(
        "RoPE on the values",
        TURNED,
        TURNED + "        v = rope_half(v, positions, inv_freq, scale)\n",
        "TestBlockForward::test_attention_then_mlp_each_added",
        says="looks like v turned",
    ),
    Mistake(
        "RoPE before the norm of queries and keys",
        NORMS + TURNED,
        TURNED + NORMS,
        "TestBlockForward::test_attention_then_mlp_each_added",
        says="looks like turned before the norm",
    ),
    Mistake(
        "square weights transposed, as GPT-2's were",
        "    model.load_state_dict(weights)\n",
        """    for name in weights:
        if name.endswith(("q_proj.weight", "o_proj.weight")):
            weights[name] = weights[name].T
    model.load_state_dict(weights)
""",
        "TestLoadLlama::test_the_logits_are_the_models",
        says=(
            "looks like square weights transposed: Llama's are nn.Linear's layout "
            "already"
        ),
    ),
    Mistake(
        "YaRN's high cut off at the last pair",
        "min(math.ceil(high), head_dim - 1)",
        "min(math.ceil(high), head_dim // 2 - 1)",
        "TestYarnFrequencies::test_equals_a_loop_over_pairs",
        says="looks like high is at most D/2 − 1",
    ),
    Mistake(
        "YaRN's scale below factor 1",
        "if factor > 1 else 1.0",
        "if factor > 0 else 1.0",
        "test_a_factor_of_1_changes_nothing",
        says="looks like 0.1 · ln(factor) + 1, which is for factors above 1",
    ),
]

UNASKED = {"rope_half: inv_freq, never negative": "a frequency is positive"}

EQUIVALENT = [
    Equivalent(
        was="scale = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0",
        now="scale = 0.1 * math.log(factor) + 1 if factor >= 1 else 1.0",
        reason="the logarithm of 1 is 0",
        textbook=True,
    ),
]
