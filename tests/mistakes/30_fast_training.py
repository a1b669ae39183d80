"""Wrong solutions of 30 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

MEASURED = """        synchronize()
        start = clock()
        step()
        synchronize()
        seconds.append(clock() - start)"""
DEFAULT = "synchronize = torch.cuda.synchronize if torch.cuda.is_available() else _nothing"
COUNT = "return 6 * n_params + 12 * config.n_layer * config.n_embd * config.block_size"
ROUNDED_UP = "return -(-n // multiple) * multiple"
COPY = "padded = copy.deepcopy(model)"
NEW_ROWS = "weight = nn.Parameter(F.pad(old.detach(), (0, 0, 0, size - len(old))))"
NEW_CONFIG = "padded.config = replace(model.config, vocab_size=size)"
TIE = "padded.transformer.wte.weight = padded.lm_head.weight = weight"
IS_PADDING = "is_padding = torch.arange(logits.size(-1), device=logits.device) >= vocab_size"
MASK = "return logits.masked_fill(is_padding, -torch.inf)"
AUTOCAST = "with torch.autocast(x.device.type, dtype) if dtype else nullcontext():"
FORWARD = """        if vocab_size is None:
            _, loss = model(x, y)
        else:
            loss = _masked_loss(model(x)[0], y, vocab_size)
"""
BACKWARD = "    (loss if scaler is None else scaler.scale(loss)).backward()\n"
CLIP = """        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
"""
SCALED_STEP = """        scaler.step(optimizer)
        scaler.update()
"""
LOSS = "return F.cross_entropy(mask_padded_logits(logits, vocab_size).flatten(0, 1), y.flatten())"
ROUNDED = "rounded = (raw + (unit // 2 - 1 + is_odd)) & -unit if unit > 1 else raw"
FINITE = "return torch.where(x.isfinite(), rounded.view(torch.float32), x)"
RESTORED = """    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
"""
COPIED = "trained = pad_vocab(model, rung.pad_multiple) if rung.pad_multiple else copy.deepcopy(model)"
CALLED = "called = _MaskedGPT(trained, model.config.vocab_size) if rung.pad_multiple else trained"
TAKE_STEP = "return lambda: amp_step(called, optimizer, x, y, rung.dtype, scaler)"
SCALER = "scaler = torch.amp.GradScaler(x.device.type) if rung.dtype == torch.float16 else None"
SHARE = "share = None if peak_flops is None else mfu(speed, per_token, peak_flops)"
MEDIAN = "seconds = statistics.median(time_steps(lambda: losses.append(step()), n_steps, n_warmup, clock=clock))"

MISTAKES = [
    # tokens_per_second, flops_per_token, mfu
    Mistake(
        "seconds a token",
        was="return n_tokens / seconds",
        now="return seconds / n_tokens",
        caught_by="test_all_tokens_over_the_time",
    ),
    Mistake(
        "the attention term is missing",
        was=COUNT,
        now="return 6 * n_params",
        caught_by="test_gpt2",
    ),
    Mistake(
        "the forward pass alone",
        was="return 6 * n_params",
        now="return 2 * n_params",
        caught_by="test_weights_and_attention",
    ),
    Mistake(
        "attention counted for every head",
        was="12 * config.n_layer * config.n_embd",
        now="12 * config.n_layer * config.n_head * config.n_embd",
        caught_by="test_weights_and_attention",
    ),
    Mistake(
        "mfu in per cent",
        was="return tokens_per_s * flops_per_tok / peak_flops",
        now="return 100 * tokens_per_s * flops_per_tok / peak_flops",
        caught_by="test_done_over_possible",
    ),
    # time_steps
    Mistake(
        "no synchronize before the second reading: only the launch is timed",
        was=MEASURED,
        now=MEASURED.replace("step()\n        synchronize()\n", "step()\n"),
        caught_by="test_the_work_is_in_the_time",
    ),
    Mistake(
        "no synchronize before the first reading",
        was=MEASURED,
        now=MEASURED.removeprefix("        synchronize()\n"),
        caught_by="test_warm_up_is_over_before_the_clock_is_read",
    ),
    Mistake(
        "warm-up steps in the list",
        was="    for _ in range(n_warmup):\n        step()\n    seconds = []\n    for _ in range(n_steps):",
        now="    seconds = []\n    for _ in range(n_warmup + n_steps):",
        caught_by="test_warm_up_is_not_measured",
    ),
    Mistake(
        "no warm-up",
        was="    for _ in range(n_warmup):\n        step()\n",
        now="",
        caught_by="test_warm_up_is_not_measured",
    ),
    Mistake(
        "one time for all steps, shared out",
        was=f"""    for _ in range(n_steps):
{MEASURED}
    return seconds""",
        now="""    synchronize()
    start = clock()
    for _ in range(n_steps):
        step()
        synchronize()
    return [(clock() - start) / n_steps] * n_steps""",
        caught_by="test_the_work_is_in_the_time",
    ),
    Mistake(
        "the clock read in warm-up, too",
        was="    for _ in range(n_warmup):\n        step()\n",
        now="    for _ in range(n_warmup):\n        clock()\n        step()\n",
        caught_by="test_the_clock_is_read_twice_a_step",
    ),
    Mistake(
        "no waiting by default",
        was=DEFAULT,
        now="synchronize = _nothing",
        caught_by="test_with_a_gpu_it_waits_by_itself",
    ),
    Mistake(
        "CUDA waited for where there is none",
        was=DEFAULT,
        now="synchronize = torch.cuda.synchronize",
        caught_by="test_without_a_gpu_nothing_is_waited_for",
    ),
    Mistake(
        "no steps are an empty list",
        was="if n_steps < 1:",
        now="if n_steps < 0:",
        caught_by="test_at_least_one_step",
        edge=True,
    ),
    # padded_size
    Mistake(
        "a multiple gets one tile more",
        was=ROUNDED_UP,
        now="return (n // multiple + 1) * multiple",
        caught_by="test_a_multiple_stays",
    ),
    Mistake(
        "the nearest multiple",
        was=ROUNDED_UP,
        now="return max(1, round(n / multiple)) * multiple",
        caught_by="test_up_to_the_next_multiple",
    ),
    Mistake(
        "a size of 0 is padded to 0",
        was="if n < 1 or multiple < 1:",
        now="if n < 0 or multiple < 1:",
        caught_by="test_sizes_are_at_least_one",
        edge=True,
    ),
    # pad_vocab
    Mistake(
        "the model given is padded",
        was=COPY,
        now="padded = model",
        caught_by="test_the_model_given_stays",
    ),
    Mistake(
        "a shallow copy that shares its modules",
        was=COPY,
        now="padded = copy.copy(model)",
        caught_by="test_the_model_given_stays",
    ),
    Mistake(
        "extra rows drawn at random",
        was=NEW_ROWS,
        now="weight = nn.Parameter(torch.cat([old.detach(), 0.02 * torch.randn(size - len(old), len(old[0])).to(old)]))",
        caught_by="test_extra_rows_are_zero",
    ),
    Mistake(
        "extra rows in front",
        was="(0, 0, 0, size - len(old))",
        now="(0, 0, size - len(old), 0)",
        caught_by="test_the_old_logits_are_unchanged",
    ),
    Mistake(
        "two weights instead of one",
        was=TIE,
        now="padded.transformer.wte.weight, padded.lm_head.weight = weight, nn.Parameter(weight.detach().clone())",
        caught_by="test_still_one_weight",
    ),
    Mistake(
        "only the output layer is padded",
        was=TIE,
        now="padded.lm_head.weight = weight",
        caught_by="test_still_one_weight",
    ),
    Mistake(
        "the config keeps the old size",
        was=NEW_CONFIG,
        now="padded.config = replace(model.config)",
        caught_by="test_the_config_says_so",
    ),
    Mistake(
        "built anew: dropout is lost",
        was=NEW_CONFIG,
        now="padded.config = replace(model.config, vocab_size=size, dropout=0.0)",
        caught_by="test_the_config_says_so",
    ),
    Mistake(
        "the config of the model given is written to",
        was=NEW_CONFIG,
        now="padded.config = model.config\n    padded.config.vocab_size = size",
        caught_by="test_the_config_says_so",
    ),
    Mistake(
        "the model itself where there is nothing to pad",
        was=COPY,
        now="if model.config.vocab_size % multiple == 0:\n        return model\n    padded = copy.deepcopy(model)",
        caught_by="test_the_copy_is_independent",
    ),
    Mistake(
        "built anew: mode and flash are lost",
        was=f"{COPY}\n    size = padded_size(model.config.vocab_size, multiple)",
        now="""size = padded_size(model.config.vocab_size, multiple)
    padded = GPT(model.config).to(model.lm_head.weight)
    padded.load_state_dict(model.state_dict())""",
        caught_by="test_flash_is_kept",
    ),
    Mistake(
        "built anew: training mode",
        was=COPY,
        now="padded = copy.deepcopy(model).train()",
        caught_by="test_the_mode_is_kept",
    ),
    Mistake(
        "built anew: float32",
        was=COPY,
        now="padded = copy.deepcopy(model).float()",
        caught_by="test_the_dtype_is_kept",
    ),
    Mistake(
        "the layers name the old size",
        was="    padded.transformer.wte.num_embeddings = padded.lm_head.out_features = size\n",
        now="",
        caught_by="test_the_config_says_so",
    ),
    # mask_padded_logits
    Mistake(
        "the last real token is masked, too",
        was=IS_PADDING,
        now=IS_PADDING.replace(">=", ">= -1 +"),
        caught_by="test_real_columns_stay",
    ),
    Mistake(
        "one padded token is not masked",
        was=IS_PADDING,
        now=IS_PADDING.replace(">=", ">"),
        caught_by="test_padded_columns_get_no_probability",
    ),
    Mistake(
        "0 for a mask",
        was=MASK,
        now="return logits.masked_fill(is_padding, 0.0)",
        caught_by="test_padded_columns_get_no_probability",
    ),
    Mistake(
        "a constant that is not low enough, or too low for float16",
        was=MASK,
        now="return logits.masked_fill(is_padding, -1e9)",
        caught_by="test_half_precision_is_masked_too",
    ),
    Mistake(
        "the logits given are written to",
        was=MASK,
        now="return logits.masked_fill_(is_padding, -torch.inf)",
        caught_by="test_logits_are_kept",
    ),
    Mistake(
        "-100, as for targets",
        was=MASK,
        now="return logits.masked_fill(is_padding, -100.0)",
        caught_by="test_padded_columns_are_as_low_as_can_be",
    ),
    # amp_step
    Mistake(
        "clipped before unscale_",
        was=CLIP,
        now="""        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        if scaler is not None:
            scaler.unscale_(optimizer)
""",
        caught_by="test_a_scaler_changes_nothing",
    ),
    Mistake(
        "backward inside autocast",
        was=FORWARD + BACKWARD,
        now=FORWARD + "    " + BACKWARD,
        caught_by="test_autocast_is_off_during_backward",
    ),
    Mistake(
        "the optimizer steps beside the scaler",
        was=SCALED_STEP,
        now=SCALED_STEP + "        optimizer.step()\n",
        caught_by="test_the_scaler_may_leave_the_step_out",
    ),
    Mistake(
        "no update of the scaler",
        was=SCALED_STEP,
        now="        scaler.step(optimizer)\n",
        caught_by="test_the_scaler_is_called_in_order",
    ),
    Mistake(
        "the scaled loss is returned",
        was=BACKWARD,
        now="    loss = loss if scaler is None else scaler.scale(loss)\n    loss.backward()\n",
        caught_by="test_the_returned_loss_is_unscaled",
    ),
    Mistake(
        "model.half() instead of autocast",
        was=AUTOCAST,
        now="with nullcontext(model.to(dtype) if dtype else None):",
        caught_by="test_autocast_in_the_forward_pass",
    ),
    Mistake(
        "autocast for a GPU only",
        was=AUTOCAST,
        now=AUTOCAST.replace("x.device.type", '"cuda"'),
        caught_by="test_autocast_in_the_forward_pass",
    ),
    Mistake(
        "always under autocast",
        was=AUTOCAST,
        now="with torch.autocast(x.device.type, dtype or torch.bfloat16):",
        caught_by="test_no_dtype_no_autocast",
    ),
    Mistake(
        "the masked loss outside autocast, in bfloat16",
        was="            loss = _masked_loss(model(x)[0], y, vocab_size)\n",
        now="""            logits = model(x)[0]
    if vocab_size is not None:
        loss = _masked_loss(logits, y, vocab_size)
""",
        caught_by="test_the_loss_belongs_under_autocast",
    ),
    Mistake(
        "gradients pile up",
        was="    optimizer.zero_grad()\n",
        now="",
        caught_by="test_old_gradients_do_not_count",
    ),
    Mistake(
        "the vocabulary's real size is ignored",
        was="        if vocab_size is None:\n",
        now="        if True:\n",
        caught_by="test_with_a_padded_vocabulary_the_loss_is_the_old_one",
    ),
    Mistake(
        "float16 without a scaler goes on",
        was="if dtype == torch.float16 and scaler is None:",
        now="if False:",
        caught_by="test_float16_without_a_scaler_is_refused",
        edge=True,
    ),
    # round_mantissa, matmul_precision
    Mistake(
        "cut off instead of rounded",
        was=ROUNDED,
        now="rounded = raw & -unit",
        caught_by="test_seven_bits_are_bfloat16",
    ),
    Mistake(
        "ties away from zero",
        was=ROUNDED,
        now="rounded = (raw + unit // 2) & -unit",
        caught_by="test_ties_go_to_even",
    ),
    Mistake(
        "NaN and infinity go through the same sum",
        was=FINITE,
        now="return rounded.view(torch.float32).clone()",
        caught_by="test_zeros_infinities_and_nan_stay",
        edge=True,
    ),
    Mistake(
        "not restored after an exception",
        was=RESTORED,
        now="    yield\n    torch.set_float32_matmul_precision(before)\n",
        caught_by="test_restored_after_an_exception",
    ),
    # speed_ladder
    Mistake(
        "one model for all rungs",
        was=COPIED,
        now="trained = model",
        caught_by="test_every_rung_starts_from_the_given_weights",
    ),
    Mistake(
        "the mean, with a slow step in it",
        was=MEDIAN,
        now=MEDIAN.replace("median", "mean"),
        caught_by="test_the_median_of_the_steps",
    ),
    Mistake(
        "tokens a second from the rows",
        was="tokens_per_second(x.numel(), seconds)",
        now="tokens_per_second(len(x), seconds)",
        caught_by="test_all_tokens_count",
    ),
    Mistake(
        "precision left at that of the last rung",
        was="        with matmul_precision(rung.precision):\n",
        now="        torch.set_float32_matmul_precision(rung.precision)\n        if True:\n",
        caught_by="test_the_precision_is_restored",
    ),
    Mistake(
        "the mask outside of what is compiled",
        was=f"""{CALLED}
    if rung.compile_backend:
        called = torch.compile(called, backend=rung.compile_backend)
    {TAKE_STEP}""",
        now="""called = torch.compile(trained, backend=rung.compile_backend) if rung.compile_backend else trained
    real = model.config.vocab_size if rung.pad_multiple else None
    return lambda: amp_step(called, optimizer, x, y, rung.dtype, scaler, vocab_size=real)""",
        caught_by="test_the_loss_is_compiled_with_the_model",
    ),
    Mistake(
        "the unpadded model is compiled, its padded copy is trained",
        was=CALLED,
        now="called = copy.deepcopy(model).train()",
        caught_by="test_the_loss_is_compiled_with_the_model",
    ),
]

EQUIVALENT = [
    Equivalent(NEW_ROWS, NEW_ROWS.replace(".detach()", ""), "nn.Parameter cuts its data off from any graph"),
    Equivalent(NEW_ROWS, NEW_ROWS.replace("detach", "clone"), "nn.Parameter cuts its data off from any graph"),
    Equivalent(
        "if not 1 <= bits <= 23:",
        "if not 1 <= bits <= 24:",
        "for 24 bits the shift by a negative number raises a ValueError, too",
    ),
    Equivalent(
        "is_odd = (raw & unit != 0).int()",
        "is_odd = (raw & unit > 0).int()",
        "unit is never the sign bit, so the result of & is not negative",
    ),
    Equivalent(SHARE, SHARE.replace("speed, per_token", "per_token, speed"), "a product is symmetric"),
    Equivalent(
        SCALER,
        "scaler = torch.amp.GradScaler(x.device.type)",
        "its factor is a power of two, which float32 and bfloat16 multiply and divide by without rounding",
    ),
    Equivalent(
        CALLED,
        "called = _MaskedGPT(trained, model.config.vocab_size)",
        "where no token is padded the mask masks nothing",
    ),
]
