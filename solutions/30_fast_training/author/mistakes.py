"""Wrong solutions of 30 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

MEASURED = """        synchronize()
        start = clock()
        step()
        synchronize()
        seconds.append(clock() - start)"""
COUNT = "return 6 * n_params + 12 * config.n_layer * config.n_embd * config.block_size"
NEW_ROWS = "weight = nn.Parameter(F.pad(old.detach(), (0, 0, 0, size - len(old))))"
MASK = "return logits.masked_fill(is_padding, -torch.inf)"
AUTOCAST = """    with torch.autocast(x.device.type, dtype) if dtype else nullcontext():
        return _loss(model, x, y, vocab_size)
"""
LOSS = "    loss = amp_loss(model, x, y, dtype, vocab_size)\n"
BACKWARD = "    (loss if scaler is None else scaler.scale(loss)).backward()\n"
CLIP = """        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
"""
SCALED_STEP = """        scaler.step(optimizer)
        scaler.update()
"""
CHUNKS = """    losses = [
        checkpoint(_sum_of_losses, rows, weight, y, vocab_size, use_reentrant=False)
        for rows, y in zip(
            hidden.flatten(0, 1).split(chunk_size),
            targets.flatten().split(chunk_size),
            strict=True,
        )
    ]
"""
MEAN = "return torch.stack(losses).sum() / (targets != -100).sum().clamp(min=1)"
RESTORED = """    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
"""
CALLED = (
    "called = _WithLoss(copied, model.config.vocab_size) if rung.pad_multiple else "
    "copied"
)
COMPILED = """return (
        torch.compile(called, backend=rung.compile_backend)
        if rung.compile_backend
        else called
    )"""
SHARE = "share = None if peak_flops is None else mfu(speed, per_token, peak_flops)"

MISTAKES = [
    # flops_per_token, time_steps
    Mistake(
        "the attention term is missing",
        was=COUNT,
        now="return 6 * n_params",
        caught_by="test_weights_and_attention",
        says="looks like the attention term is missing",
    ),
    Mistake(
        "no synchronize before the second reading: only the launch is timed",
        was=MEASURED,
        now=MEASURED.replace("step()\n        synchronize()\n", "step()\n"),
        caught_by="test_the_work_is_in_the_time",
        says="looks like only the launch was timed",
    ),
    Mistake(
        "no synchronize before the first reading",
        was=MEASURED,
        now=MEASURED.removeprefix("        synchronize()\n"),
        caught_by="test_warm_up_is_over_before_the_clock_is_read",
        says="looks like the warm-up's work is in it",
    ),
    # padded_size, pad_vocab, mask_padded_logits
    Mistake(
        "a multiple gets one tile more",
        was="return -(-n // multiple) * multiple",
        now="return (n // multiple + 1) * multiple",
        caught_by="test_a_multiple_stays",
        says="looks like one tile too many",
    ),
    Mistake(
        "two weights instead of one",
        was="padded.transformer.wte.weight = padded.lm_head.weight = weight",
        now=(
            "padded.transformer.wte.weight, padded.lm_head.weight = weight, "
            "nn.Parameter(weight.detach().clone())"
        ),
        caught_by="test_still_one_weight",
        says="are two Parameters",
    ),
    Mistake(
        "0 for a mask",
        was=MASK,
        now="return logits.masked_fill(is_padding, 0.0)",
        caught_by="test_padded_columns_get_no_probability",
        says="looks like padded logits of 0",
    ),
    Mistake(
        "a constant that is too low for float16",
        was=MASK,
        now="return logits.masked_fill(is_padding, -1e9)",
        caught_by="test_half_precision_is_masked_too",
        says="cannot be converted to type c10::Half without overflow",
        edge=True,
    ),
    # amp_loss
    Mistake(
        "model.half() instead of autocast",
        was=AUTOCAST,
        now="    return _loss(model.to(dtype) if dtype else model, x, y, vocab_size)\n",
        caught_by="test_autocast_in_the_forward_pass",
        says="of transformer.wte.weight dtype bfloat16",
    ),
    Mistake(
        "the masked loss outside autocast, in bfloat16",
        was=AUTOCAST,
        now="""\
    with torch.autocast(x.device.type, dtype) if dtype else nullcontext():
        logits, loss = model(x, y)
    if vocab_size is None:
        return loss
    masked = mask_padded_logits(logits, vocab_size)
    return F.cross_entropy(masked.flatten(0, 1), y.flatten())
""",
        caught_by="test_the_loss_belongs_under_autocast",
        says="looks like a loss computed in bfloat16",
    ),
    # amp_step
    Mistake(
        "the dtype is not handed on",
        was=LOSS,
        now="    loss = amp_loss(model, x, y, None, vocab_size)\n",
        caught_by="test_autocast_is_off_during_backward",
        says="looks like a step without autocast",
    ),
    Mistake(
        "clipped before unscale_",
        was=CLIP,
        now="""        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        if scaler is not None:
            scaler.unscale_(optimizer)
""",
        caught_by="test_a_scaler_changes_nothing",
        says="looks like clipped before unscale_",
    ),
    Mistake(
        "backward inside autocast",
        was=LOSS + BACKWARD,
        now=(
            "    with torch.autocast(x.device.type, dtype) if dtype else "
            f"nullcontext():\n    {LOSS}    {BACKWARD}"
        ),
        caught_by="test_autocast_is_off_during_backward",
        says="backward ran inside the block",
    ),
    Mistake(
        "the optimizer steps beside the scaler",
        was=SCALED_STEP,
        now=SCALED_STEP + "        optimizer.step()\n",
        caught_by="test_the_scaler_may_leave_the_step_out",
        says="looks like the optimizer stepped beside the scaler",
    ),
    Mistake(
        "the scaled loss is returned",
        was=BACKWARD,
        now=(
            "    loss = loss if scaler is None else scaler.scale(loss)\n"
            "    loss.backward()\n"
        ),
        caught_by="test_a_scaler_changes_nothing",
        says="looks like the scaled loss",
    ),
    # chunked_cross_entropy
    Mistake(
        "the mean of the chunks' means",
        was=f"{CHUNKS}    {MEAN}",
        now=CHUNKS.replace("checkpoint(_sum", "checkpoint(_mean")
        + """    return torch.stack(losses).mean()


def _mean_of_losses(rows, weight, targets, vocab_size):
    count = (targets != -100).sum().clamp(min=1)
    return _sum_of_losses(rows, weight, targets, vocab_size) / count
""",
        caught_by="TestChunkedCrossEntropy::test_the_mean_over_the_targets_that_count",
        says="looks like the mean of the chunks' means",
    ),
    Mistake(
        "the last chunk is left out",
        was=CHUNKS,
        now="""    losses = [
        checkpoint(_sum_of_losses, rows, weight, y, vocab_size, use_reentrant=False)
        for rows, y in zip(
            hidden.flatten(0, 1).split(chunk_size),
            targets.flatten().split(chunk_size),
            strict=True,
        )
        if len(y) == chunk_size or len(y) == targets.numel()
    ]
""",
        caught_by="test_the_last_chunk_may_be_smaller",
        says="looks like without the last chunk",
    ),
    Mistake(
        "the logits of all chunks are kept",
        was=CHUNKS,
        now=CHUNKS.replace("checkpoint(_sum_of_losses, ", "_sum_of_losses(").replace(
            ", use_reentrant=False", ""
        ),
        caught_by="test_no_logits_are_kept_for_backward",
        says="looks like the logits of every chunk are kept for backward",
    ),
    Mistake(
        "chunk_size taken for the number of chunks",
        was=CHUNKS,
        now=CHUNKS.replace(".split(", ".tensor_split("),
        caught_by="test_the_logits_never_exist_at_once",
        says="the logits of 4 positions are 200",
    ),
    Mistake(
        "0 / 0 where nothing is to be predicted",
        was=MEAN,
        now=MEAN.replace(".clamp(min=1)", ""),
        caught_by="test_without_targets_the_loss_is_0",
        says="got nan expected 0",
        edge=True,
    ),
    # round_mantissa, matmul_precision
    Mistake(
        "a bfloat16 on the way",
        was="    unit = 1 << (23 - bits)",
        now=(
            "    if bits == 7:\n        return x.bfloat16().float()\n"
            "    unit = 1 << (23 - bits)  #"
        ),
        caught_by="TestRoundMantissa::test_by_hand",
        says="a tensor of torch.bfloat16 was made on the way",
    ),
    Mistake(
        "not restored after an exception",
        was=RESTORED,
        now="    yield\n    torch.set_float32_matmul_precision(before)\n",
        caught_by="test_restored_after_an_exception",
        says="of precision after the exception got 'medium'",
        edge=True,
    ),
    # rung_model, run_rung, speed_ladder
    Mistake(
        "one model for all rungs",
        was="else copy.deepcopy(model)",
        now="else model",
        caught_by="test_every_rung_starts_from_the_given_weights",
        says="looks like those of the weights that the first one left",
    ),
    Mistake(
        "the mask outside of what is compiled",
        was=f"{CALLED}\n    {COMPILED}",
        now="""\
called = copied
    if rung.compile_backend:
        called = torch.compile(copied, backend=rung.compile_backend)
    if rung.pad_multiple:
        called = _WithLoss(called, model.config.vocab_size)
    return called""",
        caught_by="test_the_loss_is_compiled_with_the_model",
        says="the loss is computed outside of what torch.compile was given",
    ),
    Mistake(
        "precision left at that of the last rung",
        was="    with matmul_precision(rung.precision):\n",
        now="    torch.set_float32_matmul_precision(rung.precision)\n    if True:\n",
        caught_by="TestRunRung::test_the_precision_is_restored",
        says="looks like left at that of the rung",
    ),
    Mistake(
        "tokens per second from the rows",
        was="tokens_per_second(x.numel(), median)",
        now="tokens_per_second(len(x), median)",
        caught_by="test_all_tokens_count",
        says="looks like rows per second",
    ),
]

EQUIVALENT = [
    Equivalent(
        NEW_ROWS,
        NEW_ROWS.replace(".detach()", ""),
        "nn.Parameter cuts its data off from any graph",
    ),
    Equivalent(
        NEW_ROWS,
        NEW_ROWS.replace("detach", "clone"),
        "nn.Parameter cuts its data off from any graph",
    ),
    Equivalent(
        "if not 1 <= bits <= 23:",
        "if not 1 <= bits <= 24:",
        "for 24 bits the shift by a negative number raises a ValueError, too",
    ),
    Equivalent(
        "if chunk_size < 1:",
        "if chunk_size < 0:",
        "split refuses pieces of 0 rows, too",
    ),
    Equivalent(
        'raise ValueError(f"a chunk has at least one position, not {chunk_size}")',
        "pass",
        "split refuses pieces of 0 rows and of fewer, too",
    ),
    Equivalent(
        MEAN,
        MEAN.replace("!=", ">"),
        "no target is below −100",
    ),
    Equivalent(
        "is_odd = (raw & unit != 0).int()",
        "is_odd = (raw & unit > 0).int()",
        "unit is never the sign bit, so the result of & is not negative",
    ),
    Equivalent(
        SHARE,
        SHARE.replace("speed, per_token", "per_token, speed"),
        "a product is symmetric",
    ),
    Equivalent(
        "torch.amp.GradScaler(x.device.type) if rung.dtype == torch.float16 else None",
        "torch.amp.GradScaler(x.device.type)",
        "its factor is a power of two, which float32 and bfloat16 multiply and divide "
        "by without rounding",
    ),
    Equivalent(
        CALLED,
        "called = _WithLoss(copied, model.config.vocab_size)",
        "where no token is padded the mask masks nothing",
    ),
    Equivalent(
        was="if drop == 0:",
        now="if drop == -1:",
        reason="all 23 bits are asked at the edges alone",
        textbook=True,
    ),
]
