"""Wrong solutions of 17 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
HIDDEN_WIDTH = "hidden = 4 * d_model if d_ff is None else d_ff"
FORWARD_FF = "return self.fc2(self.dropout(self.activation(self.fc1(x))))"
ATTEND_PRE = "x = x + self.dropout(self.attention(normed, mask=mask, key_padding_mask=key_padding_mask))"
FEED_PRE = "return x + self.dropout(self.ff(self.norm2(x)))"
ATTEND_POST = "x = self.norm1(x + self.dropout(self.attention(x, mask=mask, key_padding_mask=key_padding_mask)))"
FEED_POST = "return self.norm2(x + self.dropout(self.ff(x)))"
BLOCKS = """nn.ModuleList(
            TransformerEncoderBlock(d_model, num_heads, d_ff, dropout, norm_first, activation)
            for _ in range(num_layers)
        )"""
FINAL_NORM = "nn.LayerNorm(d_model) if norm_first else nn.Identity()"
STACK = "states.append(block(states[-1], mask, key_padding_mask))"
ENCODE = "self.encoder(self.embedding(ids), key_padding_mask=key_padding_mask)"
BUILD_ENCODER = "self.encoder = TransformerEncoder(num_layers, d_model, num_heads, d_ff, dropout, norm_first)"
COUNT = "count = key_padding_mask.sum(dim=1, keepdim=True).clamp(min=1)"
POOLING = (
    "padding = ~key_padding_mask.unsqueeze(-1)\n"
    "        total = hidden.masked_fill(padding, 0.0).sum(dim=1)\n"
    f"        {COUNT}\n"
    "        return self.head(total / count)"
)
DRAW = "rows = torch.randint(len(ids), (batch_size,), generator=generator)"
LOSS = "loss = F.cross_entropy(model(ids[rows], real), labels[rows])"
CLIP = "nn.utils.clip_grad_norm_(model.parameters(), 1.0)"
NOTE_LOSS = "            losses.append(loss.item())\n"
CLEAR_AND_BACKWARD = "            optimizer.zero_grad()\n            loss.backward()\n"
CLIP_AND_STEP = f"            {CLIP}\n            optimizer.step()\n"
MEASURE = "right = model(ids, key_padding_mask).argmax(dim=-1) == labels"
SCALED = "(block.attention.W_v, block.attention.W_o, block.ff.fc1, block.ff.fc2)"
GRADIENTS = "gradients = torch.autograd.grad((output * probe).sum(), states)"

FEED_FORWARD = [
    Mistake("no activation", FORWARD_FF, "return self.fc2(self.dropout(self.fc1(x)))", "test_is_fc2_of_relu_of_fc1"),
    Mistake(
        "hidden width C", HIDDEN_WIDTH, "hidden = d_ff or d_model", "test_the_default_width_is_four_times_the_model"
    ),
    Mistake("d_ff ignored", HIDDEN_WIDTH, "hidden = 4 * d_model", "test_the_width_in_between_is_d_ff"),
    Mistake("tanh-approximated gelu", "nn.GELU()", 'nn.GELU("tanh")', "test_gelu_is_the_exact_one"),
    Mistake(
        "always relu", 'nn.ReLU() if activation == "relu" else nn.GELU()', "nn.ReLU()", "test_gelu_is_the_exact_one"
    ),
    Mistake(
        "no check of the activation",
        'if activation not in ("relu", "gelu"):',
        "if False:",
        "test_another_activation_is_refused",
    ),
    Mistake(
        "activation names in any case",
        'if activation not in ("relu", "gelu"):',
        'if activation.lower() not in ("relu", "gelu"):',
        "test_another_activation_is_refused",
    ),
    Mistake(
        "dropout on the result",
        FORWARD_FF,
        "return self.dropout(self.fc2(self.activation(self.fc1(x))))",
        "test_dropout_acts_on_the_hidden_values",
    ),
    Mistake(
        "dropout on the input",
        FORWARD_FF,
        "return self.fc2(self.activation(self.fc1(self.dropout(x))))",
        "test_dropout_acts_on_the_hidden_values",
    ),
    Mistake(
        "dropout before the activation",
        FORWARD_FF,
        "return self.fc2(self.activation(self.dropout(self.fc1(x))))",
        "test_dropout_comes_after_the_activation",
    ),
    Mistake(
        "dropout twice",
        FORWARD_FF,
        "return self.fc2(self.dropout(self.activation(self.dropout(self.fc1(x)))))",
        "test_dropout_comes_after_the_activation",
    ),
    Mistake(
        "F.dropout without the training flag",
        FORWARD_FF,
        "return self.fc2(F.dropout(self.activation(self.fc1(x)), self.dropout.p))",
        "TestFeedForward::test_nothing_is_dropped_in_eval_mode",
    ),
    Mistake(
        "dropout 0.1 whatever was asked for",
        "nn.GELU()\n        self.dropout = nn.Dropout(dropout)",
        "nn.GELU()\n        self.dropout = nn.Dropout(0.1)",
        "test_nothing_is_dropped_by_default",
    ),
    Mistake(
        "no bias in fc2",
        "nn.Linear(hidden, d_model)",
        "nn.Linear(hidden, d_model, bias=False)",
        "test_fc1_and_fc2_hold_all_parameters",
    ),
    Mistake("a residual of its own", FORWARD_FF, FORWARD_FF + " + x", "test_is_fc2_of_relu_of_fc1"),
    Mistake(
        "norm inside the feed-forward net",
        "self.fc2 = nn.Linear(hidden, d_model)",
        "self.fc2 = nn.Linear(hidden, d_model)\n        self.norm = nn.LayerNorm(d_model)",
        "test_fc1_and_fc2_hold_all_parameters",
    ),
    Mistake(
        "relu written in place on a view",
        FORWARD_FF,
        "x.relu_()\n        " + FORWARD_FF,
        "TestFeedForward::test_a_transposed_input_is_read_and_left_alone",
    ),
    Mistake(
        "positions flattened away",
        FORWARD_FF,
        FORWARD_FF.replace("(x)", "(x.reshape(-1, x.size(-1)))"),
        "TestFeedForward::test_keeps_the_shape",
    ),
    Mistake(
        "(B, T, C) only",
        FORWARD_FF,
        "B, T, C = x.shape\n        " + FORWARD_FF,
        "test_every_position_stands_alone",
    ),
    Mistake("float32 whatever comes", FORWARD_FF, FORWARD_FF + ".float()", "TestFeedForward::test_the_dtype_is_kept"),
    Mistake(
        "cut off from the graph",
        FORWARD_FF,
        FORWARD_FF + ".detach()",
        "TestFeedForward::test_the_gradient_reaches_the_input",
    ),
]

BLOCK = [
    Mistake(
        "pre-norm: residual from the normalised x",
        ATTEND_PRE,
        ATTEND_PRE.replace("x = x +", "x = normed +"),
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: both residuals from the normalised x",
        ATTEND_PRE + "\n            " + FEED_PRE,
        ATTEND_PRE.replace("x = x +", "x = normed +") + "\n            x = self.norm2(x)\n"
        "            return x + self.dropout(self.ff(x))",
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: only the query is normalised",
        ATTEND_PRE,
        ATTEND_PRE.replace("normed,", "normed, x, x,"),
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: values not normalised",
        ATTEND_PRE,
        ATTEND_PRE.replace("normed,", "normed, normed, x,"),
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: norm1 for both sublayers",
        FEED_PRE,
        FEED_PRE.replace("norm2", "norm1"),
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: no norm before the feed-forward net",
        FEED_PRE,
        "return x + self.dropout(self.ff(x))",
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: second residual missing",
        FEED_PRE,
        "return self.dropout(self.ff(self.norm2(x)))",
        "test_pre_norm_leaves_the_residual_path_alone",
    ),
    Mistake(
        "pre-norm: a norm at the end of the block too",
        FEED_PRE,
        "return self.norm2(x + self.dropout(self.ff(self.norm2(x))))",
        "test_equals_the_layer_of_torch",
    ),
    Mistake("norm_first ignored", "if self.norm_first:", "if False:", "test_pre_norm_leaves_the_residual_path_alone"),
    Mistake(
        "norm_first upside down", "if self.norm_first:", "if not self.norm_first:", "test_post_norm_is_the_default"
    ),
    Mistake(
        "post-norm: norm on the sublayer's result alone",
        ATTEND_POST,
        "x = x + self.norm1(self.dropout(self.attention(x, mask=mask, key_padding_mask=key_padding_mask)))",
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "post-norm: norm1 for both sublayers",
        FEED_POST,
        FEED_POST.replace("norm2", "norm1"),
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "post-norm: second residual missing",
        FEED_POST,
        "return self.norm2(self.ff(x))",
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "post-norm: first residual missing",
        ATTEND_POST,
        ATTEND_POST.replace("x + self.dropout", "self.dropout"),
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "post-norm: last norm missing",
        FEED_POST,
        "return x + self.dropout(self.ff(x))",
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "both sublayers read the block's input",
        ATTEND_POST + "\n        " + FEED_POST,
        "return self.norm2(" + ATTEND_POST.removeprefix("x = ") + " + self.dropout(self.ff(x)))",
        "test_post_norm_is_the_default",
    ),
    Mistake(
        "masks not handed on",
        ATTEND_POST,
        "x = self.norm1(x + self.dropout(self.attention(x, x, x)))",
        "test_true_in_the_mask_means_may_attend",
    ),
    Mistake(
        "masks not handed on in pre-norm",
        ATTEND_PRE,
        "x = x + self.dropout(self.attention(normed, normed, normed))",
        "test_true_in_the_mask_means_may_attend",
    ),
    Mistake(
        "padding mask not handed on",
        ATTEND_POST,
        ATTEND_POST.replace("key_padding_mask=key_padding_mask", "key_padding_mask=None"),
        "test_true_in_the_padding_mask_means_a_real_token",
    ),
    Mistake(
        "padding mask in the mask's slot",
        ATTEND_POST,
        "x = self.norm1(x + self.dropout(self.attention(x, x, x, key_padding_mask)))",
        "test_a_padding_mask_is_not_a_mask",
    ),
    Mistake(
        "mask inverted as PyTorch means it",
        ATTEND_POST,
        "mask = None if mask is None else ~mask\n        " + ATTEND_POST,
        "test_true_in_the_mask_means_may_attend",
    ),
    Mistake(
        "padding mask inverted as PyTorch means it",
        ATTEND_POST,
        "key_padding_mask = None if key_padding_mask is None else ~key_padding_mask\n        " + ATTEND_POST,
        "test_true_in_the_padding_mask_means_a_real_token",
    ),
    Mistake(
        "one mask replaces the other",
        ATTEND_POST,
        "mask = mask if key_padding_mask is None else None\n        " + ATTEND_POST,
        "test_equals_the_layer_of_torch",
    ),
    Mistake(
        "(T, T) masks only",
        ATTEND_POST,
        "mask = mask if mask is None else mask.reshape(-1, *mask.shape[-2:])[0]\n        " + ATTEND_POST,
        "test_a_mask_for_each_batch_element",
    ),
    Mistake(
        "mask arguments exchanged",
        "def forward(self, x: Tensor, mask: Tensor | None = None, key_padding_mask: Tensor | None = None) -> Tensor:",
        "def forward(self, x: Tensor, key_padding_mask: Tensor | None = None, mask: Tensor | None = None) -> Tensor:",
        "TestTransformerEncoderBlock::test_masks_by_position_or_by_name",
    ),
    Mistake(
        "dropout on the sum",
        ATTEND_PRE,
        "x = self.dropout(x + self.attention(normed, mask=mask, key_padding_mask=key_padding_mask))",
        "test_dropout_of_one_leaves_the_residual_path",
    ),
    Mistake(
        "dropout after the norm",
        FEED_POST,
        "return self.dropout(self.norm2(x + self.ff(x)))",
        "test_dropout_of_one_leaves_the_residual_path",
    ),
    Mistake(
        "no dropout on the attention's result",
        ATTEND_PRE,
        "x = x + self.attention(normed, mask=mask, key_padding_mask=key_padding_mask)",
        "test_dropout_of_one_leaves_the_residual_path",
    ),
    Mistake(
        "no dropout on the feed-forward's result",
        FEED_POST,
        "return self.norm2(x + self.ff(x))",
        "test_dropout_of_one_leaves_the_residual_path",
    ),
    Mistake(
        "F.dropout without the training flag on a branch",
        FEED_POST,
        "return self.norm2(x + F.dropout(self.ff(x), self.dropout.p))",
        "TestTransformerEncoderBlock::test_nothing_is_dropped_in_eval_mode",
    ),
    Mistake(
        "no dropout on the attention weights",
        "MultiHeadAttention(d_model, num_heads, dropout)",
        "MultiHeadAttention(d_model, num_heads)",
        "test_one_probability_for_every_dropout",
    ),
    Mistake(
        "no dropout inside the feed-forward net",
        "FeedForward(d_model, d_ff, dropout, activation)",
        "FeedForward(d_model, d_ff, activation=activation)",
        "test_one_probability_for_every_dropout",
    ),
    Mistake(
        "d_ff not handed on",
        "FeedForward(d_model, d_ff, dropout, activation)",
        "FeedForward(d_model, None, dropout, activation)",
        "test_the_feed_forward_gets_its_settings",
    ),
    Mistake(
        "activation not handed on",
        "FeedForward(d_model, d_ff, dropout, activation)",
        "FeedForward(d_model, d_ff, dropout)",
        "test_the_feed_forward_gets_its_settings",
    ),
    Mistake(
        "heads fixed",
        "MultiHeadAttention(d_model, num_heads, dropout)",
        "MultiHeadAttention(d_model, 4, dropout)",
        "test_the_heads_are_those_asked_for",
    ),
    Mistake(
        "one norm under two names",
        "self.norm2 = nn.LayerNorm(d_model)",
        "self.norm2 = self.norm1",
        "test_the_four_parts_hold_all_parameters",
    ),
    Mistake(
        "norm over the batch",
        "self.norm2 = nn.LayerNorm(d_model)",
        "self.norm2 = nn.BatchNorm1d(d_model)",
        "TestTransformerEncoderBlock::test_has_the_promised_parts",
    ),
    Mistake(
        "norm without learned scale",
        "self.norm2 = nn.LayerNorm(d_model)",
        "self.norm2 = nn.LayerNorm(d_model, elementwise_affine=False)",
        "test_the_four_parts_hold_all_parameters",
    ),
    Mistake(
        "residual added in place",
        ATTEND_PRE,
        ATTEND_PRE.replace("x = x +", "x +="),
        "TestTransformerEncoderBlock::test_a_transposed_input_is_read_and_left_alone",
    ),
    Mistake(
        "PyTorch's layer inside",
        "self.norm_first = norm_first",
        "self.norm_first = norm_first\n        nn.TransformerEncoderLayer(d_model, num_heads)",
        "TestTransformerEncoderBlock::test_is_built_without_the_ready_made_layers",
    ),
]

ENCODER = [
    Mistake(
        "one block N times",
        BLOCKS,
        BLOCKS.replace("ModuleList(", "ModuleList([").replace(
            "\n            for _ in range(num_layers)", "] * num_layers"
        ),
        "test_every_block_has_parameters_of_its_own",
    ),
    Mistake(
        "blocks in a plain list",
        BLOCKS,
        BLOCKS.replace("nn.ModuleList(", "list("),
        "test_holds_the_blocks_in_a_module_list",
    ),
    Mistake(
        "one block too many",
        "for _ in range(num_layers)\n",
        "for _ in range(num_layers + 1)\n",
        "test_holds_the_blocks_in_a_module_list",
    ),
    Mistake("no final norm", FINAL_NORM, "nn.Identity()", "test_pre_norm_ends_in_a_layer_norm"),
    Mistake("a final norm always", FINAL_NORM, "nn.LayerNorm(d_model)", "test_pre_norm_ends_in_a_layer_norm"),
    Mistake(
        "final norm not used",
        "output = self.norm(states[-1])",
        "output = states[-1]",
        "test_is_block_after_block_then_the_norm",
    ),
    Mistake(
        "norm after every block",
        STACK,
        "states.append(self.norm(block(states[-1], mask, key_padding_mask)))",
        "test_is_block_after_block_then_the_norm",
    ),
    Mistake(
        "every block reads the input",
        STACK,
        STACK.replace("states[-1]", "x"),
        "test_is_block_after_block_then_the_norm",
    ),
    Mistake("no masks handed on", STACK, "states.append(block(states[-1]))", "test_both_masks_reach_every_block"),
    Mistake(
        "padding not handed on", STACK, "states.append(block(states[-1], mask))", "test_both_masks_reach_every_block"
    ),
    Mistake(
        "masks for the first block only",
        STACK,
        STACK + "\n            mask = key_padding_mask = None",
        "test_both_masks_reach_every_block",
    ),
    Mistake(
        "masks exchanged",
        STACK,
        "states.append(block(states[-1], key_padding_mask, mask))",
        "test_both_masks_reach_every_block",
    ),
    Mistake(
        "causal mask inverted",
        STACK,
        "states.append(block(states[-1], None if mask is None else ~mask.tril(-1), key_padding_mask))",
        "test_a_causal_mask_holds_through_three_blocks",
    ),
    Mistake(
        "last state after the norm",
        "return (output, states) if return_all else output",
        "return (output, [*states[:-1], output]) if return_all else output",
        "test_return_all_gives_every_state",
    ),
    Mistake(
        "states without the input",
        "return (output, states) if return_all else output",
        "return (output, states[1:]) if return_all else output",
        "test_return_all_gives_every_state",
    ),
    Mistake(
        "states alone",
        "return (output, states) if return_all else output",
        "return states if return_all else output",
        "test_return_all_gives_every_state",
    ),
    Mistake(
        "always a pair",
        "return (output, states) if return_all else output",
        "return output, states",
        "TestTransformerEncoder::test_keeps_the_shape",
    ),
    Mistake(
        "states cut off from the graph",
        "return (output, states) if return_all else output",
        "return (output, [state.detach().requires_grad_() for state in states]) if return_all else output",
        "test_the_output_depends_on_every_state",
    ),
    Mistake(
        "norm_first not handed on",
        BLOCKS,
        BLOCKS.replace("norm_first, activation", "activation=activation"),
        "test_every_block_gets_the_settings",
    ),
    Mistake(
        "activation not handed on", BLOCKS, BLOCKS.replace(", activation)", ")"), "test_every_block_gets_the_settings"
    ),
    Mistake(
        "dropout not handed on",
        BLOCKS,
        BLOCKS.replace("dropout, norm_first", "norm_first=norm_first").replace(
            ", activation)", ", activation=activation)"
        ),
        "test_every_block_gets_the_settings",
    ),
    Mistake("d_ff not handed on", BLOCKS, BLOCKS.replace("d_ff", "None"), "test_every_block_gets_the_settings"),
    Mistake("zero layers accepted", "if num_layers < 1:", "if num_layers < 0:", "test_at_least_one_block"),
    Mistake("negative layers accepted", "if num_layers < 1:", "if num_layers == 0:", "test_at_least_one_block"),
    Mistake(
        "input written to",
        "states = [x]",
        "x -= x.mean(dim=-1, keepdim=True)\n        states = [x]",
        "TestTransformerEncoder::test_the_input_is_left_alone",
    ),
    Mistake(
        "PyTorch's stack inside",
        "self.norm = " + FINAL_NORM,
        "self.norm = nn.TransformerEncoder(nn.TransformerEncoderLayer(d_model, num_heads), 1)",
        "TestTransformerEncoder::test_is_built_without_the_ready_made_layers",
    ),
]

CLASSIFIER = [
    Mistake(
        "mean over padding",
        "if key_padding_mask is None:\n            return",
        "if True:\n            return",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
    ),
    Mistake(
        "divided by T", "total / count", "total / ids.size(1)", "test_a_padded_sequence_gets_the_logits_it_gets_alone"
    ),
    Mistake(
        "mask not handed to the encoder",
        ENCODE,
        "self.encoder(self.embedding(ids))",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
    ),
    Mistake(
        "padding mask in the mask's slot of the encoder",
        ENCODE,
        "self.encoder(self.embedding(ids), key_padding_mask)",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
    ),
    Mistake(
        "the mean runs over the padding alone",
        "padding = ~key_padding_mask.unsqueeze(-1)",
        "padding = key_padding_mask.unsqueeze(-1)",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
    ),
    Mistake("sum for mean", "total / count", "total", "test_a_padded_sequence_gets_the_logits_it_gets_alone"),
    Mistake(
        "sum for mean without a mask",
        "hidden.mean(dim=1)",
        "hidden.sum(dim=1)",
        "test_is_the_head_of_the_mean_of_the_encoder",
    ),
    Mistake(
        "first position for the mean",
        "hidden.mean(dim=1)",
        "hidden[:, 0]",
        "test_is_the_head_of_the_mean_of_the_encoder",
    ),
    Mistake(
        "the first tokens, as many as are real",
        "padding = ~key_padding_mask.unsqueeze(-1)",
        "padding = (torch.arange(ids.size(1)) >= key_padding_mask.sum(1, keepdim=True)).unsqueeze(-1)",
        "test_real_tokens_may_stand_anywhere",
    ),
    Mistake(
        "id 0 taken for padding",
        "hidden = self.encoder",
        "key_padding_mask = ids != 0 if key_padding_mask is None else key_padding_mask\n        hidden = self.encoder",
        "test_without_a_mask_every_id_is_real",
    ),
    Mistake(
        "id 0 left out as well as the padding",
        "hidden = self.encoder",
        "key_padding_mask = key_padding_mask if key_padding_mask is None else key_padding_mask & (ids != 4)\n"
        "        hidden = self.encoder",
        "test_a_padded_sequence_gets_the_logits_it_gets_alone",
    ),
    Mistake(
        "0 / 0 for an empty sequence",
        COUNT,
        COUNT.removesuffix(".clamp(min=1)"),
        "test_a_sequence_without_a_real_token_gets_the_bias",
    ),
    Mistake(
        "0 / 0 repaired too late",
        POOLING,
        "real = key_padding_mask.unsqueeze(-1)\n"
        "        mean = (hidden * real).sum(dim=1) / real.sum(dim=1)\n"
        "        return self.head(mean.nan_to_num())",
        "test_an_empty_sequence_leaves_the_gradients_finite",
    ),
    Mistake("a lone token counted twice", "clamp(min=1)", "clamp(min=2)", "test_real_tokens_may_stand_anywhere"),
    Mistake("no encoder", ENCODE, "self.embedding(ids)", "test_is_the_head_of_the_mean_of_the_encoder"),
    Mistake(
        "post-norm whatever is asked for",
        BUILD_ENCODER,
        BUILD_ENCODER.replace(", norm_first)", ")"),
        "test_the_encoder_gets_the_settings",
    ),
    Mistake(
        "dropout not handed to the encoder",
        BUILD_ENCODER,
        BUILD_ENCODER.replace("dropout, norm_first", "norm_first=norm_first"),
        "test_the_encoder_gets_the_settings",
    ),
    Mistake(
        "layers and heads exchanged",
        BUILD_ENCODER,
        BUILD_ENCODER.replace("num_layers, d_model, num_heads", "num_heads, d_model, num_layers"),
        "TestSequenceClassifier::test_the_defaults",
    ),
    Mistake(
        "post-norm by default",
        "norm_first: bool = True,",
        "norm_first: bool = False,",
        "TestSequenceClassifier::test_the_defaults",
    ),
    Mistake(
        "padding written into the ids",
        "hidden = self.encoder",
        "ids = ids if key_padding_mask is None else ids.masked_fill_(~key_padding_mask, 0)\n"
        "        hidden = self.encoder",
        "test_ids_and_mask_are_left_alone",
    ),
]

TRAIN = [
    Mistake("no update", "            optimizer.step()\n", "", "test_learns_with_clipped_adamw"),
    Mistake("gradients add up", "            optimizer.zero_grad()\n", "", "test_learns_with_clipped_adamw"),
    Mistake("not clipped", CLIP, "pass", "test_gradients_are_clipped_to_a_total_norm_of_one"),
    Mistake(
        "clipped after the update",
        CLIP + "\n            optimizer.step()",
        "optimizer.step()\n            " + CLIP,
        "test_gradients_are_clipped_to_a_total_norm_of_one",
    ),
    Mistake(
        "clipped before the gradients are there",
        "loss.backward()\n            " + CLIP,
        CLIP + "\n            loss.backward()",
        "test_gradients_are_clipped_to_a_total_norm_of_one",
    ),
    Mistake(
        "each value clipped",
        CLIP,
        "nn.utils.clip_grad_value_(model.parameters(), 1.0)",
        "test_gradients_are_clipped_to_a_total_norm_of_one",
    ),
    Mistake(
        "each parameter clipped by itself",
        CLIP,
        "[nn.utils.clip_grad_norm_([p], 1.0) for p in model.parameters()]",
        "test_gradients_are_clipped_to_a_total_norm_of_one",
    ),
    Mistake("Adam for AdamW", "torch.optim.AdamW(", "torch.optim.Adam(", "test_learns_with_clipped_adamw"),
    Mistake("SGD for AdamW", "torch.optim.AdamW(", "torch.optim.SGD(", "test_learns_with_clipped_adamw"),
    Mistake(
        "learning rate ignored", "model.parameters(), lr=lr)", "model.parameters())", "test_learns_with_clipped_adamw"
    ),
    Mistake(
        "a new optimizer every step",
        DRAW,
        DRAW + "\n            optimizer = torch.optim.AdamW(model.parameters(), lr=lr)",
        "test_learns_with_clipped_adamw",
    ),
    Mistake(
        "loss after the update",
        NOTE_LOSS + CLEAR_AND_BACKWARD + CLIP_AND_STEP,
        CLEAR_AND_BACKWARD + CLIP_AND_STEP + f"            {LOSS}\n" + NOTE_LOSS,
        "test_each_loss_is_taken_before_its_update",
    ),
    Mistake("losses as tensors", "loss.item()", "loss.detach()", "test_gives_losses_and_accuracy"),
    Mistake(
        "accuracy as a tensor",
        "right.double().mean().item()",
        "right.double().mean()",
        "test_gives_losses_and_accuracy",
    ),
    Mistake(
        "accuracy in percent",
        "right.double().mean().item()",
        "100 * right.double().mean().item()",
        "test_accuracy_is_over_all_rows_after_training",
    ),
    Mistake(
        "accuracy as a count",
        "right.double().mean().item()",
        "right.double().sum().item()",
        "test_accuracy_is_over_all_rows_after_training",
    ),
    Mistake(
        "accuracy of the last batch",
        MEASURE,
        "right = model(ids[rows], real).argmax(dim=-1) == labels[rows]",
        "test_no_steps_only_measure",
    ),
    Mistake(
        "accuracy in training mode",
        "        model.eval()\n",
        "",
        "test_trains_in_training_mode_and_measures_in_eval_mode",
    ),
    Mistake(
        "accuracy without the mask",
        "model(ids, key_padding_mask).arg",
        "model(ids).arg",
        "test_accuracy_is_over_all_rows_after_training",
    ),
    Mistake("measured with a graph", "torch.no_grad()", "torch.enable_grad()", "test_measures_without_a_graph"),
    Mistake(
        "training in the mode it came in",
        "        model.train()\n",
        "",
        "test_trains_in_training_mode_and_measures_in_eval_mode",
    ),
    Mistake(
        "training mode afterwards, always",
        "model.train(was_training)",
        "model.train()",
        "test_the_training_flag_is_put_back",
    ),
    Mistake("eval mode afterwards, always", "model.train(was_training)", "pass", "test_the_training_flag_is_put_back"),
    Mistake(
        "flag not put back after an error",
        "    finally:\n        model.train(was_training)",
        "    except ZeroDivisionError:\n        pass\n    model.train(was_training)",
        "test_the_training_flag_is_put_back_after_an_error",
    ),
    Mistake(
        "labels drawn apart from ids",
        LOSS,
        LOSS.replace("labels[rows]", "labels[torch.randint(len(ids), (batch_size,), generator=generator)]"),
        "test_the_labels_are_those_of_the_batch",
    ),
    Mistake(
        "first labels for every batch",
        LOSS,
        LOSS.replace("labels[rows]", "labels.repeat(batch_size)[:batch_size]"),
        "test_the_labels_are_those_of_the_batch",
    ),
    Mistake(
        "first masks for every batch",
        "key_padding_mask[rows]",
        "key_padding_mask.repeat(batch_size, 1)[:batch_size]",
        "test_ids_mask_and_labels_of_a_batch_belong_together",
    ),
    Mistake(
        "mask not used in training",
        LOSS,
        LOSS.replace(", real)", ")"),
        "test_ids_mask_and_labels_of_a_batch_belong_together",
    ),
    Mistake(
        "drawn without replacement",
        DRAW,
        "rows = torch.randperm(len(ids), generator=generator)[:batch_size]",
        "test_rows_are_drawn_with_replacement",
    ),
    Mistake(
        "permutations strung together",
        DRAW,
        "rows = torch.cat([torch.randperm(len(ids), generator=generator) for _ in range(batch_size)])[:batch_size]",
        "test_rows_are_drawn_with_replacement",
    ),
    Mistake(
        "generator not used",
        ", generator=generator)\n            real",
        ")\n            real",
        "test_batches_come_from_the_generator",
    ),
    Mistake(
        "a seed of its own",
        "generator=generator)\n            real",
        "generator=torch.Generator().manual_seed(0))\n            real",
        "test_batches_come_from_the_generator",
    ),
    Mistake(
        "its own generator where none is given",
        "    losses = []\n",
        "    losses = []\n    generator = generator or torch.Generator().manual_seed(0)\n",
        "test_without_a_generator_the_global_one_serves",
    ),
    Mistake(
        "gradients zeroed after the update",
        CLEAR_AND_BACKWARD + CLIP_AND_STEP,
        "            loss.backward()\n" + CLIP_AND_STEP + "            optimizer.zero_grad()\n",
        "test_gradients_from_before_do_not_count",
    ),
    Mistake(
        "half as many steps",
        "for _ in range(steps):",
        "for _ in range(steps // 2):",
        "TestTrainClassifier::test_the_defaults",
    ),
    Mistake(
        "nothing learned from the tokens",
        LOSS,
        LOSS.replace("model(ids[rows], real)", "model(0 * ids[rows], real)"),
        "test_learns_the_marker_task",
    ),
]

COMPARE = [
    Mistake("both post-norm", '("pre", True)', '("pre", False)', "test_sixteen_blocks_show_the_difference"),
    Mistake(
        "names exchanged",
        '(("post", False), ("pre", True))',
        '(("post", True), ("pre", False))',
        "test_rms_is_that_of_each_state",
    ),
    Mistake("gain not applied", "layer.weight.data *= gain", "pass", "test_rms_is_that_of_each_state"),
    Mistake(
        "W_q multiplied too",
        SCALED,
        "(block.attention.W_q, block.attention.W_v, block.attention.W_o, block.ff.fc1, block.ff.fc2)",
        "test_rms_is_that_of_each_state",
    ),
    Mistake(
        "W_v forgotten", SCALED, "(block.attention.W_o, block.ff.fc1, block.ff.fc2)", "test_rms_is_that_of_each_state"
    ),
    Mistake(
        "biases multiplied too",
        "layer.weight.data *= gain",
        "layer.weight.data *= gain\n                layer.bias.data *= gain",
        "test_rms_is_that_of_each_state",
    ),
    Mistake(
        "first block only multiplied",
        "for block in encoder.blocks:\n            for",
        "for block in encoder.blocks[:1]:\n            for",
        "test_rms_is_that_of_each_state",
    ),
    Mistake("L2 norm for rms", "state.square().mean().sqrt()", "state.norm()", "test_rms_is_that_of_each_state"),
    Mistake(
        "standard deviation for rms", "state.square().mean().sqrt()", "state.std()", "test_rms_is_that_of_each_state"
    ),
    Mistake("no root", "state.square().mean().sqrt()", "state.square().mean()", "test_rms_is_that_of_each_state"),
    Mistake(
        "probe forgotten",
        GRADIENTS,
        "gradients = torch.autograd.grad(output.sum(), states)",
        "test_grad_norm_is_that_of_each_state",
    ),
    Mistake(
        "gradient of the last state",
        GRADIENTS,
        GRADIENTS.replace("output", "states[-1]"),
        "test_grad_norm_is_that_of_each_state",
    ),
    Mistake("gradients backwards", GRADIENTS, GRADIENTS + "[::-1]", "test_grad_norm_is_that_of_each_state"),
    Mistake(
        "largest gradient for the norm",
        "gradient.norm()",
        "gradient.abs().max()",
        "test_grad_norm_is_that_of_each_state",
    ),
    Mistake(
        "probe from the global generator",
        "probe = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))",
        "probe = torch.randn(x.shape)",
        "test_the_seed_decides_everything",
    ),
    Mistake(
        "one seed for both stacks, set once",
        '    for placement, norm_first in (("post", False), ("pre", True)):\n        torch.manual_seed(seed)\n',
        '    torch.manual_seed(seed)\n    for placement, norm_first in (("post", False), ("pre", True)):\n',
        "test_rms_is_that_of_each_state",
    ),
    Mistake("seed ignored", "torch.manual_seed(seed)\n", "torch.manual_seed(0)\n", "test_rms_is_that_of_each_state"),
    Mistake(
        "x made a leaf itself",
        "x.detach().requires_grad_()",
        "x.requires_grad_()",
        "TestCompareNormPlacement::test_the_input_is_left_alone",
    ),
    Mistake("dropout left on", "dropout=0.0, norm_first", "norm_first", "test_rms_is_that_of_each_state"),
    Mistake("tensors for floats", "gradient.norm().item()", "gradient.norm()", "test_a_list_for_every_question"),
    Mistake("heads ignored", "num_heads, dropout=0.0", "1, dropout=0.0", "test_rms_is_that_of_each_state"),
    Mistake("gain 1 by default", "gain: float = 2.0", "gain: float = 1.0", "test_sixteen_blocks_show_the_difference"),
    Mistake(
        "eight layers by default",
        "num_layers: int = 16",
        "num_layers: int = 8",
        "test_sixteen_blocks_show_the_difference",
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
        "a clone is another tensor than x too, and torch.autograd.grad takes one inside a graph",
    ),
]
