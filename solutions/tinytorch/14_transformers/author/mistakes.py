"""Wrong solutions of tinytorch/14 that its specs must catch."""

from grader.course.mistakes import Mistake

MEAN = """mean, variance = (
            x.data.mean(axis=-1, keepdims=True),
            x.data.var(axis=-1, keepdims=True),
        )
        scale"""
SCALE = "        scale = 1 / np.sqrt(variance + self.eps)\n"
NORM_RULE = """weighted - weighted.mean(axis=-1, keepdims=True) - normalised * along
    ) * node.saved["scale"]"""
HEADS = "return y.reshape(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)"
ATTEND = """        out, _ = scaled_dot_product_attention(
            heads(self.W_q(x)), heads(self.W_k(x)), heads(self.W_v(x)), mask
        )
"""
MERGE = "return self.W_o(out.transpose(1, 2).reshape(B, T, C))"
PARTS = (
    "        for norm, part in ((self.ln1, self.attn), (self.ln2, self.mlp)):\n"
    "            y = self.drop(part(norm(x)))\n"
)
SKIP = "            x = x + y if self.residual else y\n        return x"
BLOCKS = """self.blocks = [
            TransformerBlock(embed_dim, num_heads, rng=rng) for _ in range(num_layers)
        ]"""

MISTAKES = [
    # LayerNorm
    Mistake(
        "the variance divided by C - 1",
        was=MEAN,
        now=MEAN.replace("var(axis=-1, ", "var(axis=-1, ddof=1, "),
        caught_by="TestLayerNorm::test_each_row_is_standardised",
        says="looks like variance divided by C - 1",
    ),
    Mistake(
        "statistics over the batch",
        was=MEAN,
        now=MEAN.replace("axis=-1", "axis=0"),
        caught_by="TestLayerNorm::test_each_row_is_standardised",
        says="looks like statistics over the rows, as in batch norm",
    ),
    Mistake(
        "statistics over all positions of a sequence",
        was=MEAN,
        now=MEAN.replace("axis=-1", "axis=tuple(range(max(1, x.ndim - 2), x.ndim))"),
        caught_by="TestLayerNorm::test_each_position_is_normalised_alone",
        says="other positions changed",
    ),
    Mistake(
        "eps outside the square root",
        was=SCALE,
        now="        scale = 1 / (np.sqrt(variance) + self.eps)\n",
        caught_by="test_eps_is_added_to_the_variance",
        says="looks like eps outside the square root",
    ),
    Mistake(
        "mean and variance as constants in the gradient",
        was=NORM_RULE,
        now='weighted) * node.saved["scale"]',
        caught_by="TestLayerNorm::test_values_and_three_gradients",
        says="the gradient of x",
    ),
    Mistake(
        "any size that broadcasts",
        was="if x.shape[-1:] != self.weight.shape:",
        now="if False:",
        caught_by="test_another_last_size_is_refused",
        says="raised nothing",
        edge=True,
    ),
    # gelu
    Mistake(
        "the cube without √(2/π)",
        was="math.sqrt(2 / math.pi) * (x.data + 0.044715 * x.data * x.data * x.data)",
        now="math.sqrt(2 / math.pi) * x.data + 0.044715 * x.data * x.data * x.data",
        caught_by="TestGelu::test_known_values",
        says="looks like √(2/π) not applied to the cube",
    ),
    Mistake(
        "a gradient that forgets the factor x",
        was="grad * 0.5 * (1 + inner + x * (1 - inner * inner) * slope)",
        now="grad * 0.5 * x * (1 - inner * inner) * slope",
        caught_by="TestGelu::test_value_and_gradient",
        says="looks like the factor x taken as constant",
    ),
    Mistake(
        "a NumPy number as a factor",
        was="tanh(\n        Tensor(math.sqrt(2 / math.pi)",
        now="tanh(Tensor(np.sqrt(2 / np.pi)",
        caught_by="test_the_dtype_stays",
        says="float32 became float64",
        edge=True,
    ),
    # MultiHeadAttention
    Mistake(
        "heads of full size",
        was="""self.W_q, self.W_k, self.W_v, self.W_o = (
            Linear(embed_dim, embed_dim, rng=rng) for _ in range(4)
        )""",
        now="""self.W_q, self.W_k, self.W_v = (
            Linear(embed_dim, num_heads * embed_dim, rng=rng) for _ in range(3)
        )
        self.W_o = Linear(num_heads * embed_dim, embed_dim, rng=rng)""",
        caught_by="test_four_projections_with_a_bias",
        says="looks like 12 features for each head",
    ),
    Mistake(
        "split by a reshape alone",
        was=HEADS,
        now="return y.reshape(B, self.num_heads, T, C // self.num_heads)",
        caught_by="test_each_head_attends_on_its_own_slice",
        says="looks like heads split by a reshape without a transpose",
    ),
    Mistake(
        "merged by a reshape alone",
        was=MERGE,
        now="return self.W_o(out.reshape(B, T, C))",
        caught_by="test_each_head_attends_on_its_own_slice",
        says="looks like heads merged by a reshape without a transpose",
    ),
    Mistake(
        "scaled by the features of all heads",
        was=ATTEND,
        now=ATTEND.replace(
            "heads(self.W_q(x))", "heads(self.W_q(x)) * self.num_heads**-0.5"
        ),
        caught_by="test_each_head_attends_on_its_own_slice",
        says="looks like scaled by 1/√C, not by 1/√D",
    ),
    Mistake(
        "the heads never mixed",
        was=MERGE,
        now="return out.transpose(1, 2).reshape(B, T, C)",
        caught_by="test_each_head_attends_on_its_own_slice",
        says="looks like without W_o",
    ),
    Mistake(
        "always causal",
        was="causal_mask(T) if self.causal else None",
        now="causal_mask(T)",
        caught_by="TestMultiHeadAttention::test_without_causal_every_position_sees_all",
        says="looks like causal all the same",
    ),
    Mistake(
        "an uneven cut is found too late",
        was="if embed_dim % num_heads:",
        now="if False:",
        caught_by="test_heads_must_divide_the_features",
        says="raised nothing",
        edge=True,
    ),
    # FeedForward
    Mistake(
        "relu in place of gelu",
        was="self.fc2(gelu(self.fc1(x)))",
        now=(
            "self.fc2((lambda h: h * Tensor((h.data > "
            "0).astype(h.dtype)))(self.fc1(x)))"
        ),
        caught_by="TestFeedForward::test_gelu_between_them",
        says="looks like relu in place of gelu",
    ),
    # TransformerBlock
    Mistake(
        "post-norm",
        was=PARTS + SKIP,
        now=(
            "        x = self.ln1(x + self.attn(x))\n"
            "        return self.ln2(x + self.mlp(x))"
        ),
        caught_by="test_norm_then_part_then_skip",
        says="looks like post-norm",
    ),
    Mistake(
        "the skip starts after the norm",
        was=PARTS,
        now=PARTS.replace(
            "y = self.drop(part(norm(x)))",
            "x = norm(x)\n            y = self.drop(part(x))",
        ),
        caught_by="test_norm_then_part_then_skip",
        says="looks like the skip starts after the norm",
    ),
    Mistake(
        "one norm used twice",
        was=PARTS,
        now=PARTS.replace("self.ln2, self.mlp", "self.ln1, self.mlp"),
        caught_by="test_norm_then_part_then_skip",
        says="looks like ln1 used twice",
    ),
    Mistake(
        "residual=False leaves one skip",
        was=SKIP,
        now=SKIP.replace("if self.residual", "if self.residual or part is self.mlp"),
        caught_by="test_residual_false_leaves_both_skips_out",
        says="looks like with the second skip",
    ),
    Mistake(
        "dropout on the sum",
        was=PARTS + SKIP,
        now=PARTS.replace("self.drop(part(norm(x)))", "part(norm(x))")
        + SKIP.replace(
            "x + y if self.residual else y", "self.drop(x + y if self.residual else y)"
        ),
        caught_by="test_dropout_acts_on_what_each_part_returns",
        says="looks like what the skip carries was dropped, too",
    ),
    # GPTBackbone
    Mistake(
        "one block, num_layers times",
        was=BLOCKS,
        now=(
            "self.blocks = [TransformerBlock(embed_dim, num_heads, rng=rng)] * "
            "num_layers"
        ),
        caught_by="test_blocks_with_parameters_of_their_own",
        says="looks like one block, three times",
    ),
    Mistake(
        "without the last norm",
        was="return self.ln_f(x)",
        now="return x",
        caught_by="test_all_blocks_and_then_the_norm",
        says="looks like without the last norm",
    ),
    # residual_gradient_norms
    # block_cost
    Mistake(
        "the work of one product in the heads",
        was="+ 2 * batch * length**2 * C",
        now="+ batch * length**2 * C",
        caught_by="TestBlockCost::test_the_work_of_all_products",
        says="looks like one product in each head, not two",
    ),
]
