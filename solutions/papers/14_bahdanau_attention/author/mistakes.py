"""Wrong solutions of papers/14 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

NUMPY_MASK = """        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum()
"""
SCORES = """        sums = self.W_a(query)[:, None] + self.U_a(keys)
        scores = self.v_a(torch.tanh(sums)).squeeze(-1)
"""
MASKED = """weights = (
                scores.masked_fill(~mask, lowest)
                .softmax(dim=-1)
                .masked_fill(~mask, 0.0)
            )"""
PACKED = """        packed = pack_padded_sequence(
            self.embed(src), lengths, batch_first=True, enforce_sorted=False
        )
        outputs, (forward, backward) = self.encoder(packed)
        states, _ = pad_packed_sequence(
            outputs, batch_first=True, total_length=src.size(1)
        )
"""
LOOK = """            if self.attention is not None:
                context, weights = self.attention(s, states, mask)
"""
UPDATE = "            s = self.decoder(torch.cat([y, context], dim=1), s)\n"
FIXED = "context = torch.cat([forward, backward], dim=1)"
CLIP = "        nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n"
READ = "        logits, _ = model(src, lengths, tgt_in)\n"

MISTAKES = [
    # additive_attention_numpy
    Mistake(
        "the tanh left out, in NumPy",
        was="np.tanh(W_a @ query + keys @ U_a.T) @ v_a",
        now="(W_a @ query + keys @ U_a.T) @ v_a",
        caught_by=(
            "TestAdditiveAttentionNumpy::"
            "test_keys_are_averaged_by_the_softmax_of_their_scores"
        ),
        says="looks like the tanh is left out",
    ),
    Mistake(
        "masked after the softmax, in NumPy",
        was=NUMPY_MASK,
        now="""        scores = scores + 0.0
    weights = np.exp(scores - scores.max())
    weights = weights / weights.sum()
    weights = weights if mask is None else weights * mask
""",
        caught_by="TestAdditiveAttentionNumpy::test_true_means_may_attend",
        says=(
            "looks like masked after the softmax, so that the weights no longer sum "
            "to 1"
        ),
    ),
    Mistake(
        "the largest score not subtracted",
        was="np.exp(scores - scores.max())",
        now="np.exp(scores)",
        caught_by="TestAdditiveAttentionNumpy::test_large_scores_stay_finite",
        says="4 values are NaN",
        edge=True,
    ),
    # BahdanauAttention
    Mistake(
        "a dot product of the projections",
        was=SCORES,
        now=(
            "        scores = (self.W_a(query)[:, None] * self.U_a(keys)).sum(dim=-1)\n"
        ),
        caught_by=(
            "TestBahdanauAttention::"
            "test_keys_are_averaged_by_the_softmax_of_their_scores"
        ),
        says="looks like the dot product of W_a(query) and U_a(key) as the score",
    ),
    Mistake(
        "the softmax over the batch",
        was="weights = scores.softmax(dim=-1)",
        now="weights = scores.softmax(dim=0)",
        caught_by=(
            "TestBahdanauAttention::"
            "test_keys_are_averaged_by_the_softmax_of_their_scores"
        ),
        says="looks like the softmax goes over the batch",
    ),
    Mistake(
        "masked after the softmax",
        was=MASKED,
        now="weights = scores.softmax(dim=-1).masked_fill(~mask, 0.0)",
        caught_by="TestBahdanauAttention::test_true_means_may_attend",
        says=(
            "looks like masked after the softmax, so that the weights no longer sum "
            "to 1"
        ),
    ),
    Mistake(
        "NaN: perhaps masked scores of plus infinity",
        was=MASKED,
        now='weights = scores.masked_fill(~mask, float("inf")).softmax(dim=-1)',
        caught_by="TestBahdanauAttention::test_true_means_may_attend",
        says="values are NaN",
    ),
    Mistake(
        "the mask inverted",
        was=MASKED,
        now="weights = scores.masked_fill(mask, lowest).softmax(dim=-1)",
        caught_by="TestBahdanauAttention::test_true_means_may_attend",
        says="looks like the mask is inverted",
    ),
    Mistake(
        "masked scores of minus infinity",
        was=MASKED,
        now='weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)',
        caught_by="TestBahdanauAttention::test_a_row_without_keys_gives_zeros",
        says="the weights of the row that is masked everywhere",
        edge=True,
    ),
    # Seq2Seq
    Mistake(
        "an encoder with the batch in second place",
        was="batch_first=True, bidirectional=True\n        )",
        now="bidirectional=True)",
        caught_by="TestSeq2SeqInit::test_the_encoder_takes_the_batch_first",
        says="looks like batch_first=True is missing",
    ),
    Mistake(
        "padding read by the encoder",
        was=PACKED,
        now="        states, (forward, backward) = self.encoder(self.embed(src))\n",
        caught_by="TestSeq2SeqForward::test_every_source_ends_at_its_own_length",
        says="looks like the encoder reads the padding, though it is not attended to",
    ),
    Mistake(
        "outputs as wide as the longest row",
        was=", total_length=src.size(1)\n        )",
        now=")",
        caught_by="TestSeq2SeqForward::test_more_padding_changes_nothing",
        says="scores: (3, 5) mask: (3, 7)",
    ),
    Mistake(
        "s_0 from the last output",
        was="torch.tanh(self.bridge(backward))",
        now=(
            "torch.tanh(self.bridge(states[range(len(src)), lengths - 1, "
            "forward.size(1) :]))"
        ),
        caught_by="TestSeq2SeqForward::test_each_step_looks_back_with_the_state_before",
        says="looks like s_0 from the last output",
    ),
    Mistake(
        "attention after the update",
        was=LOOK + UPDATE,
        now=UPDATE + LOOK,
        caught_by="TestSeq2SeqForward::test_each_step_looks_back_with_the_state_before",
        says="looks like the context is looked up with s_t, after the update",
    ),
    Mistake(
        "directions mixed by a reshape",
        was=FIXED,
        now="context = torch.stack([forward, backward]).reshape(len(src), -1)",
        caught_by=(
            "TestSeq2SeqForward::test_without_attention_the_context_is_one_fixed_vector"
        ),
        says="looks like states of several rows mixed",
    ),
    Mistake(
        "a fixed context of zeros",
        was=FIXED,
        now="context = torch.zeros_like(states[:, 0])",
        caught_by=(
            "TestSeq2SeqForward::test_without_attention_the_context_is_one_fixed_vector"
        ),
        says="looks like a context of zeros",
    ),
    # greedy_translate
    Mistake(
        "only the newest symbol fed back",
        was="model(src, lengths, written)",
        now="model(src, lengths, written[:, -1:])",
        caught_by="TestGreedyTranslate::test_feeds_back_its_own_best_symbol",
        says="looks like the state starts anew for every symbol",
    ),
    Mistake(
        "the model left in eval mode",
        was="        model.train(training)\n",
        now="        pass\n",
        caught_by="TestGreedyTranslate::test_the_model_is_left_as_it_was",
        says="of model.training afterwards",
        edge=True,
    ),
    # alignment_mass
    Mistake(
        "the mean over T, too",
        was="(weights * near).sum(dim=2).mean().item()",
        now="(weights * near).mean().item()",
        caught_by="TestAlignmentMass::test_a_perfect_mirror_has_mass_1",
        says="looks like the mean over T, too",
    ),
    Mistake(
        "a window that wraps around",
        was="near = (places - centre[:, None]).abs() <= width",
        now="near = (places - centre[:, None] + width) % weights.size(2) <= 2 * width",
        caught_by="TestAlignmentMass::test_at_the_ends_the_window_is_cut",
        says="looks like the window wraps around at the ends",
    ),
    # train_seq2seq
    Mistake(
        "the target not shifted",
        was=READ,
        now=READ.replace("tgt_in", "tgt_out"),
        caught_by="TestTrainSeq2seq::test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like tgt_out",
    ),
    Mistake(
        "padding scored",
        was="F.cross_entropy(logits.mT, tgt_out, ignore_index=PAD)",
        now="F.cross_entropy(logits.mT, tgt_out)",
        caught_by="TestTrainSeq2seq::test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like padding counts",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainSeq2seq::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "clipped after the step",
        was=f"{CLIP}        optimizer.step()\n",
        now=f"        optimizer.step()\n{CLIP}",
        caught_by="TestTrainSeq2seq::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not clipped before the step",
    ),
    Mistake(
        "trained in the mode in which the model came",
        was="    model.train()\n",
        now="",
        caught_by="TestTrainSeq2seq::test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
]

EQUIVALENT: list[Equivalent] = []
