"""Wrong solutions of 14 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

FILL = "scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)"
SOFTMAX = "return scores.softmax(dim).masked_fill(~mask, 0.0)"
PAIRS = "pairs = self.W_q(query)[:, :, None] + self.W_k(keys)[:, None]"
SCORE = "return self.v(torch.tanh(pairs)).squeeze(-1)"
LAST = "last = encoded[rows, src_mask.sum(dim=1) - 1].unsqueeze(0)"
READ = "context, weights = self.attention(states, encoded, mask=src_mask)"
HEAD = "return self.head(torch.cat([context, states], dim=-1)), weights"
TRAIN = """losses = train_seq2seq(
                model,
                steps,
                length=length,
                generator=torch.Generator().manual_seed(seed),
            )"""
EACH_MODEL = 'for name, use_attention in (("plain", False), ("attention", True)):'
ACCURACY = "accuracy = (tokens == tgt_out).double().mean().item()"

MISTAKES = [
    # masked_softmax
    Mistake(
        "inverted mask",
        was=FILL,
        now="mask = ~mask\n    " + FILL,
        caught_by="test_masked_entries_are_zero_and_the_others_share_one",
        says="looks like the mask is inverted",
    ),
    Mistake(
        "masked after the softmax",
        was=FILL,
        now="pass",
        caught_by="test_masked_entries_are_zero_and_the_others_share_one",
        says="looks like masked after the softmax: the others no longer add up to 1",
    ),
    Mistake(
        "dead slice NaN",
        was=f"{FILL}\n    {SOFTMAX}",
        now='return scores.masked_fill(~mask, float("-inf")).softmax(dim)',
        caught_by="TestMaskedSoftmax::test_dead_slices_are_zeros",
        says="looks like a softmax over −inf only",
        edge=True,
    ),
    Mistake(
        "dead slice uniform",
        was=f"{FILL}\n    {SOFTMAX}",
        now="return scores.masked_fill(~mask, -1e4).softmax(dim)",
        caught_by="test_dead_slices_are_zeros",
        says="looks like uniform: a large negative fill alone",
        edge=True,
    ),
    Mistake(
        "NaN repaired in the result only",
        was=f"{FILL}\n    {SOFTMAX}",
        now="penalty = torch.zeros_like(scores).masked_fill(~mask, -torch.inf)\n"
        "    return (scores + penalty).softmax(dim).nan_to_num(0.0)",
        caught_by="test_gradients_of_dead_slices_are_finite",
        says="got nan, expected 0; 8 values are NaN",
        edge=True,
    ),
    # attend
    Mistake(
        "softmax over the queries",
        was="weights = masked_softmax(scores, mask)",
        now="weights = masked_softmax(scores, mask, dim=1)",
        caught_by="test_context_is_the_weighted_sum_of_the_values",
        says="looks like the softmax runs over the queries",
    ),
    Mistake(
        "(B, S) mask not unsqueezed",
        was="mask = mask.unsqueeze(1)",
        now="pass",
        caught_by="test_a_2d_mask_is_per_batch_element_even_when_b_equals_t",
        says="looks like row t of the mask was given to query t",
    ),
    # AdditiveAttention
    Mistake(
        "tanh per term",
        was=f"{PAIRS}\n        {SCORE}",
        now=(
            "return self.v(self.W_q(query).tanh()[:, :, None] + "
            "self.W_k(keys).tanh()[:, None]).squeeze(-1)"
        ),
        caught_by="test_scores_match_a_triple_loop",
        says="looks like the tanh of each part before the sum",
    ),
    Mistake(
        "no tanh",
        was="torch.tanh(pairs)",
        now="pairs",
        caught_by="test_scores_match_a_triple_loop",
        says="looks like no tanh",
    ),
    Mistake(
        "swapped axes",
        was=PAIRS,
        now="pairs = self.W_q(query)[:, None] + self.W_k(keys)[:, :, None]",
        caught_by="test_scores_match_a_triple_loop",
        says="looks like the last two dimensions are swapped",
    ),
    Mistake(
        "context from the keys",
        was="return attend(self.score(query, keys), values, mask)",
        now="return attend(self.score(query, keys), keys, mask)",
        caught_by="test_context_uses_the_values_not_the_keys",
        says="looks like read from the keys",
    ),
    Mistake(
        "squeeze without a dimension",
        was="return context.squeeze(1), weights.squeeze(1)",
        now="return context.squeeze(), weights.squeeze()",
        caught_by="test_one_step_is_a_sequence_of_one_without_its_dimension",
        says="looks like a `squeeze` that names no dimension",
    ),
    # Seq2Seq
    Mistake(
        "state before context",
        was="torch.cat([context, states], dim=-1)",
        now="torch.cat([states, context], dim=-1)",
        caught_by="TestSeq2SeqForward::test_matches_a_loop_over_sequences",
        says="looks like the head reads the state before the context",
    ),
    Mistake(
        "the context is left out",
        was=HEAD,
        now="return self.head(torch.cat([states, states], dim=-1)), weights",
        caught_by="test_at_length_6_attention_is_ahead",
        says="accuracy",
    ),
    Mistake(
        "state after the padding",
        was=LAST,
        now="pass",
        caught_by="test_the_decoder_starts_at_the_last_real_symbol",
        says="looks like the decoder starts from the state after the padding",
    ),
    Mistake(
        "padding is looked at",
        was=READ,
        now="context, weights = self.attention(states, encoded)",
        caught_by="test_padding_gets_weight_zero",
        says="the attention gives weight to padding",
    ),
    # greedy_decode
    Mistake(
        "BOS returned",
        was="return tokens[:, 1:], weights",
        now="return tokens[:, :-1], weights",
        caught_by="test_tokens_match_the_argmax_loop",
        says="looks like the BOS is returned as the first symbol",
    ),
    Mistake(
        "teacher forcing in decoding",
        was="return tokens[:, 1:], weights",
        now="fed = torch.cat([tokens[:, :1], src.flip(1)[:, : max_len - 1]], dim=1)\n"
        "    return model(src, fed, src_mask)[0].argmax(dim=-1), weights",
        caught_by="test_tokens_match_the_argmax_loop",
        says="looks like fed the right answer instead of its own words",
    ),
    Mistake(
        "decoded in training mode",
        was="    model.eval()\n    try:",
        now="    try:",
        caught_by="test_decodes_in_eval_mode",
        says="the encoder ran while the model was in training mode",
    ),
    Mistake(
        "left in eval mode",
        was="model.train(training)",
        now="pass",
        caught_by="test_the_training_flag_is_put_back",
        says="model.training was True and is now False",
        edge=True,
    ),
    # train_seq2seq
    Mistake(
        "no zero_grad",
        was="optimizer.zero_grad()",
        now="pass",
        caught_by="test_losses_match_the_loop",
        says="looks like the gradients of earlier steps are not cleared",
    ),
    # compare_seq2seq
    Mistake(
        "whole sequences counted",
        was=ACCURACY,
        now="accuracy = (tokens == tgt_out).all(dim=1).double().mean().item()",
        caught_by="test_numbers_for_every_length",
        says="looks like the share of sequences that are right as a whole",
    ),
    Mistake(
        "the second model trains on other batches",
        was=TRAIN,
        now="losses = train_seq2seq(model, steps, length=length)",
        caught_by="test_both_models_see_the_same_batches",
        says="the training batches of the second model",
    ),
    Mistake(
        "not seeded anew for each model",
        was=f"{EACH_MODEL}\n            torch.manual_seed(seed)",
        now=f"torch.manual_seed(seed)\n        {EACH_MODEL}",
        caught_by="test_each_model_starts_from_the_seed",
        says="parameters at the start",
    ),
    Mistake(
        "tested on training sequences",
        was="torch.Generator().manual_seed(seed + 1)",
        now="torch.Generator().manual_seed(seed)",
        caught_by="test_the_test_batch_is_new_to_both",
        says="the test batch holds a training batch",
    ),
]

ROWS = "rows = torch.arange(len(src), device=src.device)"
START = "tokens = torch.full((len(src), 1), BOS, device=src.device)"

EQUIVALENT = [
    Equivalent(
        was="if mask is not None and mask.ndim == 2:",
        now="if mask is not None and mask.ndim <= 2:",
        reason=(
            "differs only for masks of fewer dimensions, of which the contract says "
            "nothing"
        ),
    ),
    Equivalent(
        was="if query.ndim == 2:",
        now="if query.ndim <= 2:",
        reason=(
            "differs only for a query of one dimension, of which the contract says "
            "nothing"
        ),
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
    Equivalent(
        was="200, length, vocab_size, torch.Generator().manual_seed(seed + 1)",
        now=("200, length, vocab_size, torch.Generator().manual_seed(seed - 1)"),
        reason=("another seed, too"),
    ),
    Equivalent(
        was="200, length, vocab_size, torch.Generator().manual_seed(seed + 1)",
        now=("200, length, vocab_size, torch.Generator().manual_seed(seed + 2)"),
        reason=("another seed, too"),
    ),
    Equivalent(
        was=ACCURACY,
        now=ACCURACY.replace("double", "float"),
        reason="the same share but for rounding",
    ),
    Equivalent(
        was="test_generator = torch.Generator().manual_seed(seed + 1)",
        now="test_generator = torch.Generator().manual_seed(seed + 2)",
        reason="any seed but that of training will do",
        textbook=True,
    ),
]
