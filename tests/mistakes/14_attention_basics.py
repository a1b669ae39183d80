"""Wrong solutions of 14 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

FILL = "scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)"
SOFTMAX = "return scores.softmax(dim).masked_fill(~mask, 0.0)"
PAIRS = "pairs = self.W_q(query)[:, :, None] + self.W_k(keys)[:, None]"
SCORE = "return self.v(torch.tanh(pairs)).squeeze(-1)"
LAST = "last = encoded[rows, src_mask.sum(dim=1) - 1].unsqueeze(0)"
STATES = "states, _ = self.decoder(self.embedding(tgt_in), last)"
READ = "context, weights = self.attention(states, encoded, mask=src_mask)"
HEAD = "return self.head(torch.cat([context, states], dim=-1)), weights"
FEED = "tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)"
LOSS = "loss = F.cross_entropy(logits.flatten(0, 1), tgt_out.flatten())"
UPDATE = """optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())"""
BATCH = "src, tgt_in, tgt_out = make_reversal_batch(batch_size, length, model.embedding.num_embeddings, generator)"
TRAIN = "losses = train_seq2seq(model, steps, length=length, generator=torch.Generator().manual_seed(seed))"
MODEL = "model = Seq2Seq(vocab_size, 16, hidden_size, use_attention)"
EACH_MODEL = 'for name, use_attention in (("plain", False), ("attention", True)):'
EACH_LENGTH = """for length in lengths:
        src, _, tgt_out = make_reversal_batch(200, length, vocab_size, torch.Generator().manual_seed(seed + 1))
        results[length] = {}
        """
SEED = "            torch.manual_seed(seed)\n            model"
ACCURACY = "accuracy = (tokens == tgt_out).double().mean().item()"

MISTAKES = [
    # masked_softmax
    Mistake(
        "inverted mask",
        was=FILL,
        now="mask = ~mask\n    " + FILL,
        caught_by="test_masked_entries_are_zero_and_the_others_share_one",
    ),
    Mistake(
        "masked after the softmax",
        was=FILL,
        now="pass",
        caught_by="test_masked_entries_are_zero_and_the_others_share_one",
    ),
    Mistake(
        "dim ignored",
        was=SOFTMAX,
        now=SOFTMAX.replace("dim", "-1"),
        caught_by="test_dim_says_what_adds_up_to_one",
    ),
    Mistake(
        "dim ignored without a mask",
        was="return scores.softmax(dim)\n",
        now="return scores.softmax(-1)\n",
        caught_by="test_without_a_mask_it_is_a_plain_softmax",
    ),
    Mistake(
        "the mask must have the shape of the scores",
        was=FILL,
        now="scores = torch.stack([scores])[0]\n    scores[~mask] = torch.finfo(scores.dtype).min",
        caught_by="test_the_mask_broadcasts",
    ),
    Mistake(
        "dead slice NaN",
        was=f"{FILL}\n    {SOFTMAX}",
        now='return scores.masked_fill(~mask, float("-inf")).softmax(dim)',
        caught_by="TestMaskedSoftmax::test_dead_slices_are_zeros",
    ),
    Mistake(
        "dead slice uniform",
        was=f"{FILL}\n    {SOFTMAX}",
        now="return scores.masked_fill(~mask, -1e4).softmax(dim)",
        caught_by="test_dead_slices_are_zeros",
    ),
    Mistake(
        "NaN repaired in the result only",
        was=f"{FILL}\n    {SOFTMAX}",
        now="penalty = torch.zeros_like(scores).masked_fill(~mask, -torch.inf)\n"
        "    return (scores + penalty).softmax(dim).nan_to_num(0.0)",
        caught_by="test_gradients_match_and_stay_finite",
    ),
    Mistake(
        "weights cut off from the graph",
        was=SOFTMAX,
        now=SOFTMAX.replace("scores.", "scores.detach().", 1),
        caught_by="test_gradients_match_and_stay_finite",
    ),
    Mistake(
        "exp without the maximum",
        was="return scores.softmax(dim)\n",
        now="return scores.exp() / scores.exp().sum(dim, keepdim=True)\n",
        caught_by="test_large_scores_stay_finite",
    ),
    Mistake(
        "the maximum of the masked scores too",
        was=f"{FILL}\n    {SOFTMAX}",
        now="powers = (scores - scores.amax(dim, keepdim=True)).exp() * mask\n"
        "    return powers / powers.sum(dim, keepdim=True).clamp(min=1e-30)",
        caught_by="test_large_scores_stay_finite",
    ),
    Mistake(
        "a penalty added to the scores",
        was=FILL,
        now="scores = scores - 1e9 * (~mask).to(scores.dtype)",
        caught_by="test_masked_scores_do_not_matter",
    ),
    Mistake(
        "fill of -1e9 in float16",
        was="torch.finfo(scores.dtype).min",
        now="-1e9",
        caught_by="TestMaskedSoftmax::test_every_dtype_comes_back_as_itself",
    ),
    Mistake(
        "weights always float32",
        was=FILL,
        now="scores = scores.float().masked_fill(~mask, -1e9)",
        caught_by="TestMaskedSoftmax::test_every_dtype_comes_back_as_itself",
    ),
    Mistake(
        "scores filled in place",
        was=FILL,
        now="scores.masked_fill_(~mask, torch.finfo(scores.dtype).min)",
        caught_by="test_scores_and_mask_stay_as_they_were",
    ),
    Mistake(
        "any mask taken",
        was="if mask.dtype != torch.bool:",
        now="mask = mask != 0\n    if mask.dtype != torch.bool:",
        caught_by="test_a_mask_that_is_not_bool_is_refused",
        edge=True,
    ),
    Mistake(
        "integer masks taken",
        was="if mask.dtype != torch.bool:",
        now="if mask.dtype == torch.uint8:\n        mask = mask.bool()\n    if mask.dtype != torch.bool:",
        caught_by="test_a_mask_that_is_not_bool_is_refused",
        edge=True,
    ),
    # attend
    Mistake(
        "softmax over the queries",
        was="weights = masked_softmax(scores, mask)",
        now="weights = masked_softmax(scores, mask, dim=1)",
        caught_by="test_context_is_the_weighted_sum_of_the_values",
    ),
    Mistake(
        "weights and context exchanged",
        was="return weights @ values, weights",
        now="return weights, weights @ values",
        caught_by="test_context_is_the_weighted_sum_of_the_values",
    ),
    Mistake(
        "(B, S) mask not unsqueezed",
        was="mask = mask.unsqueeze(1)",
        now="pass",
        caught_by="test_a_2d_mask_is_per_batch_element_even_when_b_equals_t",
    ),
    Mistake(
        "(B, S) mask hides queries",
        was="mask = mask.unsqueeze(1)",
        now="mask = mask.unsqueeze(2)",
        caught_by="test_a_2d_mask_is_per_batch_element_even_when_b_equals_t",
    ),
    Mistake(
        "a 3-D mask read at the first query only",
        was="weights = masked_softmax(scores, mask)",
        now="weights = masked_softmax(scores, None if mask is None else mask[:, :1])",
        caught_by="test_a_3d_mask_is_per_query",
    ),
    Mistake(
        "every mask unsqueezed",
        was="if mask is not None and mask.ndim == 2:",
        now="if mask is not None:",
        caught_by="test_a_3d_mask_is_per_query",
    ),
    Mistake(
        "the mean for a query without keys",
        was="return weights @ values, weights",
        now="dead = (weights == 0).all(dim=-1, keepdim=True)\n"
        "    return torch.where(dead, values.mean(dim=1, keepdim=True), weights @ values), weights",
        caught_by="test_a_query_without_keys_reads_zeros",
    ),
    Mistake(
        "detached weights",
        was="return weights @ values, weights",
        now="return weights @ values, weights.detach()",
        caught_by="test_the_weights_carry_a_graph",
    ),
    # AdditiveAttention
    Mistake(
        "a bias in W_q",
        was="self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)",
        now="self.W_q = nn.Linear(query_dim, hidden_dim)",
        caught_by="test_exactly_three_weight_matrices",
    ),
    Mistake(
        "sizes of query and key exchanged",
        was="""self.W_q = nn.Linear(query_dim, hidden_dim, bias=False)
        self.W_k = nn.Linear(key_dim, hidden_dim, bias=False)""",
        now="""self.W_k = nn.Linear(query_dim, hidden_dim, bias=False)
        self.W_q = nn.Linear(key_dim, hidden_dim, bias=False)""",
        caught_by="test_exactly_three_weight_matrices",
    ),
    Mistake(
        "tanh per term",
        was=f"{PAIRS}\n        {SCORE}",
        now="return self.v(self.W_q(query).tanh()[:, :, None] + self.W_k(keys).tanh()[:, None]).squeeze(-1)",
        caught_by="test_scores_match_a_triple_loop",
    ),
    Mistake("no tanh", was="torch.tanh(pairs)", now="pairs", caught_by="test_scores_match_a_triple_loop"),
    Mistake(
        "swapped axes",
        was=PAIRS,
        now="pairs = self.W_q(query)[:, None] + self.W_k(keys)[:, :, None]",
        caught_by="test_scores_match_a_triple_loop",
    ),
    Mistake(
        "context from the keys",
        was="return attend(self.score(query, keys), values, mask)",
        now="return attend(self.score(query, keys), keys, mask)",
        caught_by="test_context_uses_the_values_not_the_keys",
    ),
    Mistake(
        "values default to the projected keys",
        was="values = keys if values is None else values",
        now="values = self.W_k(keys) if values is None else values",
        caught_by="test_values_default_to_the_keys",
    ),
    Mistake(
        "the mask is forgotten",
        was="return attend(self.score(query, keys), values, mask)",
        now="return attend(self.score(query, keys), values)",
        caught_by="test_masks_of_both_kinds",
    ),
    Mistake(
        "squeeze without a dimension",
        was="return context.squeeze(1), weights.squeeze(1)",
        now="return context.squeeze(), weights.squeeze()",
        caught_by="test_a_single_step_query",
    ),
    Mistake(
        "scores squeezed without a dimension",
        was="return self.v(torch.tanh(pairs)).squeeze(-1)",
        now="return self.v(torch.tanh(pairs)).squeeze()",
        caught_by="test_a_query_of_length_one_keeps_its_dimension",
    ),
    Mistake(
        "a single step keeps a query dimension",
        was="return context.squeeze(1), weights.squeeze(1)",
        now="return context, weights",
        caught_by="test_a_single_step_query",
    ),
    Mistake(
        "no mask for a single step",
        was="context, weights = self.forward(query.unsqueeze(1), keys, values, mask)",
        now="context, weights = self.forward(query.unsqueeze(1), keys, values)",
        caught_by="test_a_single_step_query_takes_a_mask",
    ),
    Mistake(
        "every query of length one squeezed",
        was="return attend(self.score(query, keys), values, mask)",
        now="return tuple(x.squeeze(1) for x in attend(self.score(query, keys), values, mask))",
        caught_by="test_a_query_of_length_one_keeps_its_dimension",
    ),
    Mistake(
        "keys learn nothing",
        was=PAIRS,
        now="pairs = self.W_q(query)[:, :, None] + self.W_k(keys.detach())[:, None]",
        caught_by="TestAdditiveAttention::test_gradients_reach_every_parameter_and_input",
    ),
    Mistake(
        "float32 on the way",
        was=SCORE,
        now="return self.v(torch.tanh(pairs)).squeeze(-1).float().to(query.dtype).float()",
        caught_by="test_a_float64_layer_gives_float64",
    ),
    # Seq2Seq
    Mistake(
        "one GRU for both",
        was="self.decoder = nn.GRU(embed_dim, hidden_size, batch_first=True)",
        now="self.decoder = self.encoder",
        caught_by="test_its_parts",
    ),
    Mistake(
        "the head is wide without attention, too",
        was="self.head = nn.Linear(2 * hidden_size if use_attention else hidden_size, vocab_size)",
        now="self.head = nn.Linear(2 * hidden_size, vocab_size)",
        caught_by="test_its_parts",
    ),
    Mistake(
        "no attention unless asked for",
        was="use_attention: bool = True):",
        now="use_attention: bool = False):",
        caught_by="test_attention_is_the_default",
    ),
    Mistake(
        "decoder starts from zeros",
        was=STATES,
        now="states, _ = self.decoder(self.embedding(tgt_in))",
        caught_by="test_the_plain_model_matches_a_loop_over_sequences",
    ),
    Mistake(
        "state before context",
        was="torch.cat([context, states], dim=-1)",
        now="torch.cat([states, context], dim=-1)",
        caught_by="test_forward_matches_a_loop_over_sequences",
    ),
    Mistake(
        "asked with the state before the step",
        was=READ,
        now="before = torch.cat([last.transpose(0, 1), states[:, :-1]], dim=1)\n        "
        + READ.replace("states", "before"),
        caught_by="test_forward_matches_a_loop_over_sequences",
    ),
    Mistake(
        "the context is left out",
        was=HEAD,
        now="return self.head(torch.cat([states, states], dim=-1)), weights",
        caught_by="test_at_length_10_attention_is_ahead",
    ),
    Mistake(
        "the last source state as the only context",
        was=HEAD,
        now="return self.head(torch.cat([encoded[:, -1:].expand_as(states), states], dim=-1)), weights",
        caught_by="test_forward_matches_a_loop_over_sequences",
    ),
    Mistake(
        "state after the padding",
        was=LAST,
        now="pass",
        caught_by="test_the_decoder_starts_at_the_last_real_token",
    ),
    Mistake(
        "one position too far",
        was=LAST,
        now="last = encoded[rows, src_mask.sum(dim=1).clamp(max=src.shape[1] - 1)].unsqueeze(0)",
        caught_by="test_the_decoder_starts_at_the_last_real_token",
    ),
    Mistake(
        "the longest sequence's length for all",
        was=LAST,
        now="last = encoded[rows, src_mask.sum(dim=1).max() - 1].unsqueeze(0)",
        caught_by="test_the_decoder_starts_at_the_last_real_token",
    ),
    Mistake(
        "padding is looked at",
        was=READ,
        now="context, weights = self.attention(states, encoded)",
        caught_by="test_padding_gets_weight_zero",
    ),
    Mistake(
        "the symbols decide what is padding",
        was=READ,
        now="context, weights = self.attention(states, encoded, mask=None if src_mask is None else src != PAD)",
        caught_by="test_padding_never_changes_the_logits",
    ),
    Mistake(
        "a decoder that reads backwards, too",
        was=STATES,
        now=STATES + "\n        states = states + states.mean(dim=1, keepdim=True)",
        caught_by="test_step_t_sees_tgt_in_only_up_to_t",
    ),
    Mistake(
        "an attention that nobody uses",
        was="self.attention = AdditiveAttention(hidden_size, hidden_size, hidden_size) if use_attention else None",
        now="self.attention = AdditiveAttention(hidden_size, hidden_size, hidden_size)\n"
        "        self.use_attention = use_attention",
        caught_by="test_the_plain_model_has_no_attention",
    ),
    Mistake(
        "encoder cut off from the decoder",
        was=STATES,
        now="states, _ = self.decoder(self.embedding(tgt_in), last.detach())",
        caught_by="TestSeq2Seq::test_gradients_reach_every_parameter",
    ),
    Mistake(
        "encoder cut off from the attention",
        was=READ,
        now="context, weights = self.attention(states, encoded.detach(), mask=src_mask)",
        caught_by="TestSeq2Seq::test_gradients_reach_every_parameter",
    ),
    # greedy_decode
    Mistake(
        "BOS returned",
        was="return tokens[:, 1:], weights",
        now="return tokens[:, :-1], weights",
        caught_by="test_tokens_match_the_argmax_loop",
    ),
    Mistake(
        "BOS returned beside the tokens",
        was="return tokens[:, 1:], weights",
        now="return tokens, weights",
        caught_by="TestGreedyDecode::test_tokens_and_weights_have_their_shapes",
    ),
    Mistake(
        "teacher forcing in decoding",
        was=FEED,
        now=FEED + "\n                tokens[:, 1:] = src.flip(1)[:, : tokens.shape[1] - 1]"
        "\n            written = model(src, tokens, src_mask)[0].argmax(dim=-1)"
        "\n            tokens = torch.cat([tokens[:, :1], written[:, :max_len]], dim=1)",
        caught_by="test_tokens_match_the_argmax_loop",
    ),
    Mistake(
        "started from PAD",
        was="tokens = torch.full((len(src), 1), BOS, device=src.device)",
        now="tokens = torch.full((len(src), 1), PAD, device=src.device)",
        caught_by="test_tokens_match_the_argmax_loop",
    ),
    Mistake(
        "the first step's symbol for ever",
        was="logits[:, -1:].argmax(dim=-1)",
        now="logits[:, :1].argmax(dim=-1)",
        caught_by="test_tokens_match_the_argmax_loop",
    ),
    Mistake(
        "weights of the last step only",
        was="return tokens[:, 1:], weights",
        now="return tokens[:, 1:], weights if weights is None else weights[:, -1:]",
        caught_by="TestGreedyDecode::test_tokens_and_weights_have_their_shapes",
    ),
    Mistake(
        "as many steps as the source is long",
        was="for _ in range(max_len):",
        now="for _ in range(min(max_len, src.shape[1])):",
        caught_by="TestGreedyDecode::test_tokens_and_weights_have_their_shapes",
    ),
    Mistake(
        "decoded without the mask",
        was="logits, weights = model(src, tokens, src_mask)",
        now="logits, weights = model(src, tokens)",
        caught_by="test_the_source_mask_is_used",
    ),
    Mistake(
        "never writes PAD or BOS",
        was="logits[:, -1:].argmax(dim=-1)",
        now="logits[:, -1:, FIRST_SYMBOL:].argmax(dim=-1) + FIRST_SYMBOL",
        caught_by="test_every_symbol_may_be_written",
    ),
    Mistake(
        "stops at PAD",
        was=FEED,
        now=FEED + "\n                if (tokens[:, -1] == PAD).all():\n                    break",
        caught_by="test_every_symbol_may_be_written",
    ),
    Mistake(
        "decoded in training mode",
        was="    model.eval()\n    try:",
        now="    try:",
        caught_by="test_decodes_in_eval_mode_and_puts_the_flag_back",
        edge=True,
    ),
    Mistake(
        "left in eval mode",
        was="model.train(training)",
        now="pass",
        caught_by="test_decodes_in_eval_mode_and_puts_the_flag_back",
        edge=True,
    ),
    Mistake(
        "only the flag of the model itself put back, not those of its parts",
        was="model.train(training)",
        now="model.training = training",
        caught_by="test_decodes_in_eval_mode_and_puts_the_flag_back",
        edge=True,
    ),
    Mistake(
        "always back to training mode",
        was="model.train(training)",
        now="model.train()",
        caught_by="test_decodes_in_eval_mode_and_puts_the_flag_back",
        edge=True,
    ),
    Mistake(
        "no finally",
        was="    finally:\n        model.train(training)\n",
        now="    except ZeroDivisionError:\n        pass\n    model.train(training)\n",
        caught_by="test_the_flag_is_put_back_after_an_error",
        edge=True,
    ),
    Mistake(
        "decoded with a graph",
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        caught_by="test_no_graph_is_built",
    ),
    # train_seq2seq
    Mistake("a list of tensors", was="loss.item()", now="loss.detach()", caught_by="test_a_loss_for_every_step"),
    Mistake(
        "measured after the update",
        was="losses.append(loss.item())",
        now="losses.append(F.cross_entropy(model(src, tgt_in)[0].flatten(0, 1), tgt_out.flatten()).item())",
        caught_by="test_losses_match_the_loop",
    ),
    Mistake(
        "the last position only",
        was=LOSS,
        now="loss = F.cross_entropy(logits[:, -1], tgt_out[:, -1])",
        caught_by="test_losses_match_the_loop",
    ),
    Mistake(
        "logits reshaped across classes",
        was=LOSS,
        now="loss = F.cross_entropy(logits.transpose(1, 2).reshape(-1, logits.shape[-1]), tgt_out.flatten())",
        caught_by="test_losses_match_the_loop",
    ),
    Mistake(
        "the answer is fed as it is",
        was="logits, _ = model(src, tgt_in)",
        now="logits, _ = model(src, tgt_out)",
        caught_by="test_losses_match_the_loop",
    ),
    Mistake("no zero_grad", was="optimizer.zero_grad()", now="pass", caught_by="test_losses_match_the_loop"),
    Mistake("no step", was="optimizer.step()", now="pass", caught_by="test_sixty_steps_learn_to_reverse_four_symbols"),
    Mistake("plain SGD", was="torch.optim.Adam(", now="torch.optim.SGD(", caught_by="test_losses_match_the_loop"),
    Mistake(
        "one batch for all steps",
        was=f"for _ in range(steps):\n        {BATCH}",
        now=f"{BATCH}\n    for _ in range(steps):",
        caught_by="test_losses_match_the_loop",
    ),
    Mistake(
        "the generator is ignored",
        was=BATCH,
        now=BATCH.replace(", generator)", ")"),
        caught_by="test_same_seeds_same_loss_curve",
    ),
    Mistake(
        "trained in eval mode",
        was="    model.train()\n",
        now="    model.eval()\n",
        caught_by="test_trains_in_training_mode",
    ),
    Mistake(
        "another learning rate by default",
        was="lr: float = 5e-3",
        now="lr: float = 1e-3",
        caught_by="TestTrainSeq2Seq::test_the_defaults",
    ),
    # compare_seq2seq
    Mistake(
        "the first loss",
        was='"loss": losses[-1]',
        now='"loss": losses[0]',
        caught_by="test_numbers_for_every_length",
    ),
    Mistake(
        "whole sequences counted",
        was=ACCURACY,
        now="accuracy = (tokens == tgt_out).all(dim=1).double().mean().item()",
        caught_by="test_numbers_for_every_length",
    ),
    Mistake(
        "accuracy as a tensor",
        was=ACCURACY,
        now=ACCURACY.replace(".item()", ""),
        caught_by="test_numbers_for_every_length",
    ),
    Mistake(
        "names exchanged",
        was='(("plain", False), ("attention", True))',
        now='(("plain", True), ("attention", False))',
        caught_by="test_names_stand_for_the_right_models",
    ),
    Mistake(
        "both with attention",
        was="model = Seq2Seq(vocab_size, 16, hidden_size, use_attention)",
        now="model = Seq2Seq(vocab_size, 16, hidden_size)",
        caught_by="test_one_model_with_attention_and_one_without",
    ),
    Mistake(
        "unfair comparison: one generator for both",
        was=TRAIN,
        now="losses = train_seq2seq(model, steps, length=length)",
        caught_by="test_both_models_see_the_same_batches",
    ),
    Mistake(
        "seeded once for both models",
        was=f"{EACH_MODEL}\n            torch.manual_seed(seed)",
        now=f"torch.manual_seed(seed)\n        {EACH_MODEL}",
        caught_by="test_each_model_starts_from_the_seed",
    ),
    Mistake(
        "one generator for the batches of all models",
        was=f"{EACH_LENGTH}{EACH_MODEL}\n            torch.manual_seed(seed)\n            {MODEL}\n            {TRAIN}",
        now=f"generator = torch.Generator().manual_seed(seed)\n    {EACH_LENGTH}{EACH_MODEL}\n"
        f"            torch.manual_seed(seed)\n            {MODEL}\n"
        f"            {TRAIN.replace('torch.Generator().manual_seed(seed)', 'generator')}",
        caught_by="test_lengths_do_not_influence_one_another",
    ),
    Mistake(
        "never seeded",
        was=SEED,
        now="            model",
        caught_by="test_each_model_starts_from_the_seed",
    ),
    Mistake(
        "tested on training sequences",
        was="torch.Generator().manual_seed(seed + 1)",
        now="torch.Generator().manual_seed(seed)",
        caught_by="test_the_test_batch_is_new_to_both",
    ),
    Mistake(
        "the test batch is always the same",
        was="torch.Generator().manual_seed(seed + 1)",
        now="torch.Generator().manual_seed(1234)",
        caught_by="test_another_seed_gives_other_batches",
    ),
    Mistake(
        "a hundred steps by default",
        was="steps: int = 200, hidden_size",
        now="steps: int = 100, hidden_size",
        caught_by="TestCompareSeq2Seq::test_the_defaults",
    ),
]

TEST_BATCH = "src, _, tgt_out = make_reversal_batch(200, length, vocab_size, torch.Generator().manual_seed(seed + 1))"
ROWS = "rows = torch.arange(len(src), device=src.device)"
START = "tokens = torch.full((len(src), 1), BOS, device=src.device)"

EQUIVALENT = [
    Equivalent(
        was="if mask is not None and mask.ndim == 2:",
        now="if mask is not None and mask.ndim <= 2:",
        reason="differs only for masks of fewer dimensions, of which the contract says nothing",
    ),
    Equivalent(
        was="if query.ndim == 2:",
        now="if query.ndim <= 2:",
        reason="differs only for a query of one dimension, of which the contract says nothing",
    ),
    Equivalent(
        was=ROWS,
        now=ROWS.replace(", device=src.device", ""),
        reason="only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(
        was=START,
        now=START.replace(", device=src.device", ""),
        reason="only a GPU can tell, and the gpu marked spec does",
    ),
    Equivalent(was=TEST_BATCH, now=TEST_BATCH.replace("+ 1", "- 1"), reason="another seed, too"),
    Equivalent(was=TEST_BATCH, now=TEST_BATCH.replace("+ 1", "+ 2"), reason="another seed, too"),
    Equivalent(was=ACCURACY, now=ACCURACY.replace("double", "float"), reason="the same share but for rounding"),
]
