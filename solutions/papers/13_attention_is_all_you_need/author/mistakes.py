"""Wrong solutions of papers/13 that its specs must catch."""

from grader.course.mistakes import Mistake

RATE = "return d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)"
LOSSES = "losses = -(1 - eps) * right - eps * logp.mean(dim=-1)"
MEAN = "losses[target != pad_id].mean()"
ENCODED = """        x = self.norm1(x + self.drop(self.self_attn(x, x, x, src_mask)))
        return self.norm2(x + self.drop(self.ff(x)))
"""
CROSS = "self.cross_attn(y, memory, memory, src_mask)"
READ = "        return self.drop(scaled + self.positions[: ids.size(1)])\n"
STEP = """        optimizer.zero_grad()
        loss.backward()
"""
SCHEDULE = 'group["lr"] = lr_scale * noam_lr(step, model.embed.embedding_dim, warmup)'

MISTAKES = [
    Mistake(
        "NumPy: scores not divided by √D",
        was="K.swapaxes(-1, -2) / np.sqrt(Q.shape[-1])",
        now="K.swapaxes(-1, -2)",
        caught_by="test_averages_values_by_the_softmax_of_scaled_scores",
        says="looks like scores that are not divided by √D",
    ),
    Mistake(
        "max in place of min",
        was=RATE,
        now=RATE.replace("min", "max"),
        caught_by="test_the_rate_rises_in_a_line",
        says="looks like the larger of the two terms",
    ),
    Mistake(
        "smoothing over the wrong symbols only",
        was=LOSSES,
        now=(
            "losses = -(1 - eps) * right - eps * (logp.sum(dim=-1) - right) / "
            "(logp.size(-1) - 1)"
        ),
        caught_by="test_a_share_of_the_target_goes_to_every_symbol",
        says="looks like eps shared by the V − 1 wrong symbols",
    ),
    Mistake(
        "the loss averaged over padding",
        was=MEAN,
        now="losses.masked_fill(target == pad_id, 0.0).mean()",
        caught_by="test_padding_does_not_count",
        says="looks like divided by the number of all positions",
    ),
    Mistake(
        "pre-norm",
        was=ENCODED,
        now="""        y = self.norm1(x)
        x = x + self.drop(self.self_attn(y, y, y, src_mask))
        return x + self.drop(self.ff(self.norm2(x)))
""",
        caught_by="TestEncoderLayer::test_each_sublayer_is_added_then_normalised",
        says="looks like the norms come first (pre-norm)",
    ),
    Mistake(
        "the norm of the sublayer only",
        was=ENCODED,
        now="""        x = self.norm1(self.drop(self.self_attn(x, x, x, src_mask)))
        return self.norm2(self.drop(self.ff(x)))
""",
        caught_by="TestEncoderLayer::test_each_sublayer_is_added_then_normalised",
        says="looks like the norm of the sublayer only: its input is not added",
    ),
    Mistake(
        "cross-attention to the target itself",
        was=CROSS,
        now="self.cross_attn(y, y, y)",
        caught_by="test_three_sublayers_each_added_then_normalised",
        says="looks like cross-attention takes keys and values from y",
    ),
    Mistake(
        "cross-attention without a mask",
        was=CROSS,
        now="self.cross_attn(y, memory, memory)",
        caught_by="test_each_attention_has_its_own_mask",
        says="looks like src_mask is ignored",
    ),
    Mistake(
        "embeddings not scaled",
        was="self.embed(ids) * math.sqrt(self.embed.embedding_dim)",
        now="self.embed(ids)",
        caught_by="test_returns_the_last_layers_output_as_memory",
        says="looks like embeddings that are not scaled by √D",
    ),
    Mistake(
        "positions scaled, too",
        was=READ,
        now=READ.replace(
            "self.positions[: ids.size(1)]",
            "self.positions[: ids.size(1)] * len(self.positions[0]) ** 0.5",
        ),
        caught_by="test_returns_the_last_layers_output_as_memory",
        says="looks like positions that are scaled by √D, too",
    ),
    Mistake(
        "NaN: perhaps a causal mask without the diagonal",
        was="device=tgt.device\n        ).tril()",
        now="device=tgt.device).tril(diagonal=-1)",
        caught_by="test_logits_are_those_of_pytorchs_layers",
        says="values are NaN",
    ),
    Mistake(
        "no causal mask",
        was="tgt_mask = causal & (tgt",
        now="tgt_mask = (tgt",
        caught_by="test_logits_are_those_of_pytorchs_layers",
        says="looks like no causal mask: the future is read",
    ),
    Mistake(
        "BOS in the result",
        was="return tgt[:, 1:]",
        now="return tgt[:, :-1]",
        caught_by="test_each_symbol_is_the_argmax_given_those_before",
        says="looks like BOS is part of the result",
    ),
    Mistake(
        "symbols after EOS",
        was="symbol = symbol.masked_fill(done, PAD)",
        now="symbol = symbol.clone()",
        caught_by="test_after_eos_there_is_only_padding",
        says="looks like rows go on after EOS",
    ),
    Mistake(
        "dropout on while decoding",
        was="    model.eval()\n",
        now="",
        caught_by="test_the_model_decodes_in_eval_mode",
        says="the model was called in training mode",
    ),
    Mistake(
        "the model left in eval mode",
        was="        model.train(training)\n",
        now="        pass\n",
        caught_by="TestGreedyDecode::test_the_model_is_left_as_it_was",
        says="of model.training afterwards",
        edge=True,
    ),
    Mistake(
        "the encoder run for every symbol",
        was="symbol = model.decode(tgt, memory, src_mask)[:, -1:].argmax(dim=-1)",
        now="symbol = model(src, tgt)[:, -1:].argmax(dim=-1)",
        caught_by="test_the_source_is_encoded_once",
        says="of the number of calls of encode for 5 symbols",
        edge=True,
    ),
    Mistake(
        "the target not shifted",
        was="label_smoothed_loss(model(src, tgt_in), tgt_out",
        now="label_smoothed_loss(model(src, tgt_out), tgt_out",
        caught_by="test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like the model reads tgt_out, which it is scored on",
    ),
    Mistake(
        "the schedule counted from 0",
        was=SCHEDULE,
        now=SCHEDULE.replace("noam_lr(step,", "(step > 1) * noam_lr(max(step - 1, 1),"),
        caught_by="test_the_rate_follows_the_schedule",
        says="looks like steps counted from 0",
    ),
    Mistake(
        "gradients never cleared",
        was=STEP,
        now="        loss.backward()\n",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
]
