"""Wrong solutions of 17 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
FORWARD_FF = "return self.fc2(self.dropout(self.activation(self.fc1(x))))"
ATTEND_PRE = """x = x + self.dropout(
                self.attention(normed, mask=mask, key_padding_mask=key_padding_mask)
            )"""
FEED_PRE = "return x + self.dropout(self.ff(self.norm2(x)))"
ATTEND_POST = """x = self.norm1(
            x
            + self.dropout(
                self.attention(x, mask=mask, key_padding_mask=key_padding_mask)
            )
        )"""
FEED_POST = "return self.norm2(x + self.dropout(self.ff(x)))"
BLOCKS = """nn.ModuleList(
            TransformerEncoderBlock(
                d_model, num_heads, d_ff, dropout, norm_first, activation
            )
            for _ in range(num_layers)
        )"""

FEED_FORWARD = [
    Mistake(
        "no activation",
        FORWARD_FF,
        "return self.fc2(self.dropout(self.fc1(x)))",
        "test_is_fc2_of_relu_of_fc1",
        "looks like no activation between fc1 and fc2",
    ),
    Mistake(
        "hidden width C",
        "hidden = 4 * d_model if d_ff is None else d_ff",
        "hidden = d_ff or d_model",
        "test_widens_to_d_ff_and_narrows_back",
        "fc1.weight without d_ff shape (12, 12) expected (48, 12)",
    ),
    Mistake(
        "tanh-approximated gelu",
        "nn.GELU()",
        'nn.GELU("tanh")',
        "test_gelu_is_the_exact_one",
        "looks like the tanh approximation",
    ),
    Mistake(
        "dropout on the result",
        FORWARD_FF,
        "return self.dropout(self.fc2(self.activation(self.fc1(x))))",
        "test_dropout_acts_on_the_hidden_values",
        "looks like dropout on the result",
    ),
]

BLOCK = [
    Mistake(
        "no dropout on the attention weights",
        "MultiHeadAttention(d_model, num_heads, dropout)",
        "MultiHeadAttention(d_model, num_heads)",
        "test_one_probability_for_every_dropout",
        "looks like dropout is not handed on to the attention",
    ),
    Mistake(
        "PyTorch's layer inside",
        "self.norm_first = norm_first",
        "self.norm_first = norm_first\n"
        "        self.layer = nn.TransformerEncoderLayer(d_model, num_heads)",
        "test_has_the_promised_parts",
        "PyTorch's own nn.TransformerEncoderLayer in it: build it from its parts",
    ),
    Mistake(
        "pre-norm: residual from the normalised x",
        ATTEND_PRE,
        ATTEND_PRE.replace("x = x +", "x = normed +"),
        "test_pre_norm_leaves_the_residual_path_alone",
        "looks like the first residual taken from the normalised x",
    ),
    Mistake(
        "pre-norm: norm1 for both sublayers",
        FEED_PRE,
        FEED_PRE.replace("norm2", "norm1"),
        "test_pre_norm_leaves_the_residual_path_alone",
        "looks like norm1 used for both sublayers",
    ),
    Mistake(
        "norm_first ignored",
        "if self.norm_first:",
        "if False:",
        "test_pre_norm_leaves_the_residual_path_alone",
        "looks like post-norm: norm_first is ignored",
    ),
    Mistake(
        "post-norm: norm on the sublayer's result alone",
        ATTEND_POST + "\n        " + FEED_POST,
        "x = x + self.norm1(self.dropout(self.attention(x, mask=mask, "
        "key_padding_mask=key_padding_mask)))\n"
        "        return x + self.norm2(self.dropout(self.ff(x)))",
        "test_post_norm_is_the_default",
        "looks like the norm on the sublayer's result alone, x + norm1(attention(x))",
    ),
    Mistake(
        "masks not handed on",
        ATTEND_POST,
        "x = self.norm1(x + self.dropout(self.attention(x, x, x)))",
        "test_true_in_the_mask_means_may_attend",
        "looks like no mask",
    ),
    Mistake(
        "padding mask in the mask's slot",
        ATTEND_POST,
        "x = self.norm1(x + self.dropout(self.attention(x, x, x, key_padding_mask)))",
        "test_a_padding_mask_is_not_a_mask",
        "looks like the padding mask used as the (T, T) mask",
    ),
    Mistake(
        "one mask replaces the other",
        ATTEND_POST,
        "mask = mask if key_padding_mask is None else None\n        " + ATTEND_POST,
        "test_equals_the_layer_of_torch",
        "looks like the mask is left out",
    ),
    Mistake(
        "dropout on the sum",
        ATTEND_PRE,
        "x = self.dropout(x + self.attention(normed, mask=mask, "
        "key_padding_mask=key_padding_mask))",
        "test_dropout_of_one_leaves_the_residual_path",
        "looks like dropout on the sum x + sublayer",
    ),
]

ENCODER = [
    Mistake(
        "the parameters of one block, not of N",
        BLOCKS,
        BLOCKS.replace("ModuleList(", "ModuleList([").replace(
            "\n            for _ in range(num_layers)", "] * num_layers"
        ),
        "test_every_block_has_parameters_of_its_own",
        "with post-norm there are 16 parameter tensors, expected 48",
    ),
    Mistake(
        "blocks in a plain list",
        BLOCKS,
        BLOCKS.replace("nn.ModuleList(", "list("),
        "test_holds_the_blocks_in_a_module_list",
        "blocks should be an nn.ModuleList, it is a list",
    ),
    Mistake(
        "no final norm",
        "nn.LayerNorm(d_model) if norm_first else nn.Identity()",
        "nn.Identity()",
        "test_pre_norm_ends_in_a_layer_norm",
        "in pre-norm, norm should be nn.LayerNorm, it is Identity",
    ),
]

CLASSIFIER = [
    Mistake(
        "mean over padding",
        "if key_padding_mask is None:\n            return",
        "if True:\n            return",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
        "looks like the mean runs over the padding too",
    ),
    Mistake(
        "0 / 0 for an empty sequence",
        "keepdim=True).clamp(min=1)",
        "keepdim=True)",
        "test_a_sequence_without_a_real_token_gets_the_bias",
        "looks like a mean of 0 / 0",
        edge=True,
    ),
]

TRAIN = [
    Mistake(
        "gradients add up",
        "            optimizer.zero_grad()\n",
        "",
        "test_learns_with_clipped_adamw",
        "looks like gradients that add up over the steps",
    ),
    Mistake(
        "not clipped before the update",
        "nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
        "pass",
        "test_gradients_are_clipped_to_a_total_norm_of_one",
        "a large gradient arrives at the update with norm",
    ),
    Mistake(
        "labels drawn apart from ids",
        "labels[rows]",
        "labels[torch.randint(len(ids), (batch_size,), generator=generator)]",
        "test_ids_mask_and_labels_of_a_batch_belong_together",
        "are ids and labels of the same rows?",
    ),
    Mistake(
        "accuracy in training mode",
        "        model.eval()\n",
        "",
        "test_trains_in_training_mode_and_measures_in_eval_mode",
        "the training flag when the accuracy is measured is [True], expected False",
    ),
    Mistake(
        "flag not put back after an error",
        "    finally:\n        model.train(was_training)",
        "    except ZeroDivisionError:\n        pass\n    model.train(was_training)",
        "test_the_training_flag_is_put_back_after_an_error",
        "model.training is True after the error",
        edge=True,
    ),
]

COMPARE = [
    Mistake(
        "no root",
        "state.square().mean().sqrt()",
        "state.square().mean()",
        "test_rms_is_that_of_each_state",
        "looks like the mean square without the root",
    ),
]

MISTAKES = FEED_FORWARD + BLOCK + ENCODER + CLASSIFIER + TRAIN + COMPARE

EQUIVALENT = [
    Equivalent(
        "right = model(ids, key_padding_mask).argmax(dim=-1) == labels",
        "right = model(ids, key_padding_mask).argmax(dim=1) == labels",
        "logits have two dimensions",
    ),
    Equivalent(
        'return {"losses": losses, "accuracy": right.double().mean().item()}',
        'return {"losses": losses, "accuracy": right.float().mean().item()}',
        "the mean of a few zeros and ones, within rounding",
    ),
    Equivalent(
        "output, states = encoder(x.detach().requires_grad_(), return_all=True)",
        "output, states = encoder(x.clone().requires_grad_(), return_all=True)",
        "a clone is another tensor than x too, and torch.autograd.grad takes one "
        "inside a graph",
    ),
    Equivalent(
        was="mean = (h * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)",
        now="mean = (h * real).sum(dim=1) / real.sum(dim=1).clamp(min=0)",
        reason="a sequence of padding alone is asked at the edges alone",
        textbook=True,
    ),
]
