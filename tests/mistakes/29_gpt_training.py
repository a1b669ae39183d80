"""Wrong solutions of 29 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

GROUPS = """    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]"""
ADAMW = "torch.optim.AdamW(param_groups(model, weight_decay), lr=lr, betas=betas, eps=eps, fused=fused)"
MICRO = """        loss = model(x, y)[1] / len(batches)
        loss.backward()
        total += loss.item()
"""
CLIP = "    norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf if max_norm is None else max_norm)\n"
RATE = """    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    optimizer.step()
"""
WEIGHTED = """                targets = int((y != -100).sum())
                if targets:
                    total += model(x, y)[1].item() * targets
                    counted += targets"""
FIT = """    optimizer = make_optimizer(model, lr, weight_decay=0.0)
    return [train_step(model, optimizer, [(x, y)])["loss"] for _ in range(steps)]"""
WEIGHTS = '    model.load_state_dict(checkpoint["model"])\n'
CHECKS = """    if checkpoint["config"] != asdict(model.config):
        raise ValueError(f"the file is for {checkpoint['config']}, the model has {asdict(model.config)}")
    if loader is not None and checkpoint["loader"] is None:
        raise ValueError("the file was saved without a loader")
    model.load_state_dict(checkpoint["model"])
"""
NOW = "        if step % config.eval_every == 0 or step == config.max_steps - 1:"
LOOK = """            if val_batches is not None:
                history["val"].append((step, evaluate(model, val_batches)))
            if sample is not None:
                model.eval()
                history["samples"].append((step, sample(model)))
"""
UPDATE = """        lr = cosine_lr(step, config.max_lr, config.min_lr, config.warmup_steps, config.max_steps)
        batches = [loader.next_batch() for _ in range(config.accum_steps)]
        result = train_step(model, optimizer, batches, config.max_norm, lr)
"""

MISTAKES = [
    # cosine_lr
    Mistake(
        "warm-up from rate 0",
        was="return max_lr * (step + 1) / warmup_steps",
        now="return max_lr * step / warmup_steps",
        caught_by="TestCosineLr::test_the_rise_is_a_straight_line",
    ),
    Mistake(
        "cosine counted from step 0",
        was="way = (step - warmup_steps) / (max_steps - warmup_steps)",
        now="way = step / max_steps",
        caught_by="TestCosineLr::test_the_cosine_starts_at_the_top",
    ),
    Mistake(
        "cosine down to 0",
        was="return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * way)) / 2",
        now="return max_lr * (1 + math.cos(math.pi * way)) / 2",
        caught_by="TestCosineLr::test_between_it_is_half_a_cosine",
    ),
    Mistake(
        "the cosine comes up again",
        was="    if step >= max_steps:\n        return min_lr\n",
        now="",
        caught_by="TestCosineLr::test_from_the_end_on_it_stays_at_min_lr",
    ),
    Mistake(
        "a warm-up that takes the whole run goes through",
        was="if not 0 <= warmup_steps < max_steps:",
        now="if not 0 <= warmup_steps <= max_steps:",
        caught_by="TestCosineLr::test_the_warm_up_ends_before_the_run",
        edge=True,
    ),
    # param_groups
    Mistake(
        "everything decays",
        was=GROUPS,
        now='    return [{"params": trainable, "weight_decay": weight_decay}, {"params": [], "weight_decay": 0.0}]',
        caught_by="TestParamGroups::test_matrices_decay_and_the_rest_does_not",
    ),
    Mistake(
        "told apart by the name: only biases are spared",
        was=GROUPS,
        now="""    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {"params": [p for n, p in named if not n.endswith("bias")], "weight_decay": weight_decay},
        {"params": [p for n, p in named if n.endswith("bias")], "weight_decay": 0.0},
    ]""",
        caught_by="TestParamGroups::test_matrices_decay_and_the_rest_does_not",
    ),
    Mistake(
        "the shared weight twice",
        was="trainable = [p for p in model.parameters() if p.requires_grad]",
        now="trainable = [p for _, p in model.named_parameters(remove_duplicate=False) if p.requires_grad]",
        caught_by="TestParamGroups::test_the_shared_weight_is_there_once",
    ),
    Mistake(
        "frozen parameters decay",
        was="trainable = [p for p in model.parameters() if p.requires_grad]",
        now="trainable = list(model.parameters())",
        caught_by="TestParamGroups::test_frozen_parameters_are_left_out",
    ),
    Mistake(
        "only matrices of exactly two dimensions",
        was="if p.ndim >= 2]",
        now="if p.ndim == 2]",
        caught_by="TestParamGroups::test_any_module_and_empty_groups",
    ),
    # make_optimizer
    Mistake(
        "one group that decays",
        was=ADAMW,
        now="torch.optim.AdamW(model.parameters(), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=fused)",
        caught_by="TestMakeOptimizer::test_adamw_with_two_groups",
    ),
    Mistake(
        "Adam, whose decay goes through the moments",
        was=ADAMW,
        now=ADAMW.replace("AdamW", "Adam"),
        caught_by="TestMakeOptimizer::test_adamw_with_two_groups",
    ),
    Mistake(
        "torch's own betas",
        was=ADAMW,
        now=ADAMW.replace("betas=betas, ", ""),
        caught_by="TestMakeOptimizer::test_every_setting_arrives",
    ),
    Mistake(
        "fused forgotten",
        was=ADAMW,
        now=ADAMW.replace(", fused=fused", ""),
        caught_by="TestMakeOptimizer::test_fused_is_passed_on",
    ),
    # batch_size_at and accumulation_steps
    Mistake(
        "the ramp begins at 0 rows",
        was="size = start + (full - start) * tokens_seen // ramp_tokens",
        now="size = full * tokens_seen // ramp_tokens",
        caught_by="TestBatchSizeAt::test_a_straight_line_from_start_to_full",
    ),
    Mistake(
        "rounded down below start",
        was="return max(start, size - size % multiple)",
        now="return size - size % multiple",
        caught_by="TestBatchSizeAt::test_never_below_start",
    ),
    Mistake(
        "full is rounded, too",
        was="        return full\n    size",
        now="        return full - full % multiple\n    size",
        caught_by="TestBatchSizeAt::test_full_is_not_rounded",
    ),
    Mistake(
        "the other processes are forgotten",
        was="at_once = batch_size * block_size * world_size",
        now="at_once = batch_size * block_size",
        caught_by="TestAccumulationSteps::test_gpt2s_half_million_tokens",
    ),
    Mistake(
        "rounded down instead of refused",
        was="    if total_tokens % at_once:\n",
        now="    if total_tokens < at_once:\n",
        caught_by="TestAccumulationSteps::test_what_does_not_divide_is_refused",
        edge=True,
    ),
    # train_step
    Mistake(
        "the loss is not divided",
        was=MICRO,
        now="""        loss = model(x, y)[1]
        loss.backward()
        total += loss.item() / len(batches)
""",
        caught_by="test_three_micro_batches_equal_one_batch",
    ),
    Mistake(
        "a step inside the loop",
        was=MICRO + CLIP + RATE,
        now="""        optimizer.zero_grad()
        loss = model(x, y)[1]
        loss.backward()
        total += loss.item() / len(batches)
"""
        + "".join(f"    {line}\n" for line in (CLIP + RATE).splitlines()),
        caught_by="test_three_micro_batches_equal_one_batch",
    ),
    Mistake(
        "zero_grad inside the loop",
        was="        loss = model(x, y)[1] / len(batches)\n",
        now="        optimizer.zero_grad()\n        loss = model(x, y)[1] / len(batches)\n",
        caught_by="test_three_micro_batches_equal_one_batch",
    ),
    Mistake(
        "the loss of the last micro-batch is reported",
        was="        total += loss.item()\n",
        now="        total = loss.item() * len(batches)\n",
        caught_by="test_loss_and_norm_of_three_micro_batches",
    ),
    Mistake(
        "clipped in the loop",
        was=MICRO + CLIP,
        now=MICRO + "    " + CLIP,
        caught_by="test_clipped_once_after_the_last",
    ),
    Mistake(
        "clipped after the step",
        was=CLIP + RATE,
        now=RATE + CLIP,
        caught_by="test_clipped_once_after_the_last",
    ),
    Mistake(
        "each element clipped",
        was=CLIP,
        now="""    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    if max_norm is not None:
        nn.utils.clip_grad_value_(model.parameters(), max_norm)
""",
        caught_by="test_clipped_once_after_the_last",
    ),
    Mistake(
        "every gradient brought to max_norm",
        was=CLIP,
        now="""    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])
    for p in model.parameters():
        p.grad *= 1.0 if max_norm is None else max_norm / norm
""",
        caught_by="test_short_gradients_are_not_stretched",
    ),
    Mistake(
        "None taken for the default",
        was="math.inf if max_norm is None else max_norm",
        now="1.0 if max_norm is None else max_norm",
        caught_by="test_none_means_no_clipping",
    ),
    Mistake(
        "the norm after clipping",
        was=CLIP,
        now=CLIP + "    norm = nn.utils.get_total_norm([p.grad for p in model.parameters()])\n",
        caught_by="test_the_norm_is_the_one_before_clipping",
    ),
    Mistake(
        "zero_grad after backward",
        was="    optimizer.zero_grad()\n    total = 0.0\n    for x, y in batches:\n" + MICRO,
        now="    total = 0.0\n    for x, y in batches:\n" + MICRO + "    optimizer.zero_grad()\n",
        caught_by="test_one_batch_is_one_step_down",
    ),
    Mistake(
        "old gradients stay",
        was="    optimizer.zero_grad()\n    total",
        now="    total",
        caught_by="test_old_gradients_do_not_count",
    ),
    Mistake(
        "cleared at the end only",
        was="    optimizer.zero_grad()\n    total = 0.0\n    for x, y in batches:\n" + MICRO + CLIP + RATE,
        now="    total = 0.0\n    for x, y in batches:\n" + MICRO + CLIP + RATE + "    optimizer.zero_grad()\n",
        caught_by="test_old_gradients_do_not_count",
    ),
    Mistake(
        "all micro-batches in one pass",
        was="    for x, y in batches:\n" + MICRO,
        now="""    x, y = (torch.cat([half.flatten() for half in halves]) for halves in zip(*batches))
    loss = sum(model(a, b)[1] * b.numel() for a, b in batches) / y.numel()
    loss.backward()
    total = loss.item()
""",
        caught_by="test_micro_batches_count_equally",
    ),
    Mistake(
        "lr set after the step",
        was=RATE,
        now="    optimizer.step()\n" + RATE.replace("    optimizer.step()\n", ""),
        caught_by="test_lr_holds_for_this_very_step",
    ),
    Mistake(
        "lr in the first group only",
        was="        for group in optimizer.param_groups:\n",
        now="        for group in optimizer.param_groups[:1]:\n",
        caught_by="test_lr_reaches_every_group",
    ),
    Mistake(
        "a rate of 0 taken for none",
        was="    if lr is not None:\n",
        now="    if lr:\n",
        caught_by="test_no_lr_leaves_the_groups_alone",
    ),
    Mistake(
        "stays in eval mode",
        was="    model.train()\n    optimizer.zero_grad()",
        now="    optimizer.zero_grad()",
        caught_by="TestTrainStep::test_training_mode",
    ),
    Mistake(
        "a loss that keeps its graph",
        was=MICRO,
        now=MICRO.replace("loss.item()", "loss"),
        caught_by="TestTrainStep::test_plain_floats",
    ),
    Mistake(
        "steps without batches",
        was='        raise ValueError("a step needs at least one batch")\n',
        now='        return {"loss": 0.0, "grad_norm": 0.0}\n',
        caught_by="test_no_batches_are_refused",
        edge=True,
    ),
    # evaluate
    Mistake(
        "the mean of the means",
        was=WEIGHTED,
        now="""                total += model(x, y)[1].item()
                counted += 1""",
        caught_by="test_every_target_counts_once",
    ),
    Mistake(
        "weighted by all targets",
        was="targets = int((y != -100).sum())",
        now="targets = y.numel()",
        caught_by="test_every_target_counts_once",
    ),
    Mistake(
        "a batch without targets makes NaN",
        was="                if targets:\n",
        now="                if True:\n",
        caught_by="test_a_batch_without_targets_is_passed_over",
        edge=True,
    ),
    Mistake(
        "dropout stays on",
        was="    model.eval()\n    total, counted",
        now="    total, counted",
        caught_by="TestEvaluate::test_dropout_is_off",
    ),
    Mistake(
        "eval mode for good",
        was="        model.train(was_training)\n",
        now="        pass\n",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
    ),
    Mistake(
        "always back to training",
        was="        model.train(was_training)\n",
        now="        model.train()\n",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
    ),
    Mistake(
        "autograd records",
        was="        with torch.no_grad():\n            for x, y in batches:",
        now="        with torch.enable_grad():\n            for x, y in batches:",
        caught_by="TestEvaluate::test_no_graph_is_built",
    ),
    Mistake(
        "the mode is put back on the good way only",
        was="    finally:\n        model.train(was_training)\n",
        now="    except ZeroDivisionError:\n        pass\n    model.train(was_training)\n",
        caught_by="TestEvaluate::test_the_mode_is_put_back_after_an_error",
        edge=True,
    ),
    # overfit_one_batch
    Mistake(
        "with the usual weight decay",
        was="make_optimizer(model, lr, weight_decay=0.0)",
        now="make_optimizer(model, lr)",
        caught_by="test_no_weight_decays",
    ),
    Mistake(
        "another rate than the one given",
        was="make_optimizer(model, lr, weight_decay=0.0)",
        now="make_optimizer(model, lr / 4, weight_decay=0.0)",
        caught_by="test_the_rate_is_the_one_given",
    ),
    Mistake(
        "losses from after the updates",
        was=FIT,
        now=FIT.replace("    return [", "    losses = [").replace(
            "range(steps)]", 'range(steps)]\n    return losses[1:] + [train_step(model, optimizer, [(x, y)])["loss"]]'
        ),
        caught_by="TestOverfitOneBatch::test_one_loss_for_each_step",
    ),
    # save_checkpoint and load_checkpoint
    Mistake(
        "a dataclass in the file",
        was='        "config": asdict(model.config),\n',
        now='        "config": model.config,\n',
        caught_by="test_a_dict_of_plain_data",
    ),
    Mistake(
        "weights without the optimizer's state",
        was='    if optimizer is not None:\n        optimizer.load_state_dict(checkpoint["optimizer"])\n',
        now="",
        caught_by="test_the_optimizer_goes_on",
    ),
    Mistake(
        "the data starts over",
        was='    if loader is not None:\n        loader.load_state_dict(checkpoint["loader"])\n',
        now="",
        caught_by="test_the_loader_goes_on",
    ),
    Mistake(
        "the random state stays",
        was='    torch.set_rng_state(checkpoint["rng"])\n',
        now="",
        caught_by="TestLoadCheckpoint::test_resumed_equals_uninterrupted",
    ),
    Mistake(
        "the config is not looked at",
        was='    if checkpoint["config"] != asdict(model.config):\n',
        now='    if checkpoint["config"]["vocab_size"] != model.config.vocab_size:\n',
        caught_by="test_another_config_is_refused",
        edge=True,
    ),
    Mistake(
        "refused when the weights are in already",
        was=CHECKS,
        now=WEIGHTS + CHECKS.replace(WEIGHTS, ""),
        caught_by="test_a_loader_that_was_not_saved_is_refused",
        edge=True,
    ),
    # train
    Mistake(
        "the warm-up once more after a resumption",
        was="lr = cosine_lr(step, config",
        now="lr = cosine_lr(step - start_step, config",
        caught_by="test_the_schedule_is_that_of_the_whole_run",
    ),
    Mistake(
        "measured after the update",
        was=NOW + "\n" + LOOK + UPDATE,
        now=UPDATE + NOW + "\n" + LOOK,
        caught_by="test_validation_on_the_way",
    ),
    Mistake(
        "the sample sees training mode",
        was="                model.eval()\n                history",
        now="                history",
        caught_by="test_samples_in_eval_mode_and_steps_in_training_mode",
    ),
    Mistake(
        "no validation at the end",
        was=NOW,
        now="        if step % config.eval_every == 0:",
        caught_by="test_validation_on_the_way",
    ),
    Mistake(
        "one micro-batch a step",
        was="for _ in range(config.accum_steps)]",
        now="for _ in range(1)]",
        caught_by="test_the_weights_follow",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if step >= max_steps:",
        now="if step > max_steps:",
        reason="at max_steps the cosine is exactly -1, and min_lr is what is left",
    ),
    Equivalent(
        was="targets = int((y != -100).sum())",
        now="targets = int((y > -100).sum())",
        reason="a target is a token id or -100",
    ),
    Equivalent(
        was='checkpoint = torch.load(path, map_location="cpu", weights_only=True)',
        now="checkpoint = torch.load(path, weights_only=True)",
        reason="only a file from a GPU holds tensors that would go elsewhere",
    ),
    Equivalent(
        was="if step % config.eval_every == 0 or step == config.max_steps - 1:",
        now="if step % config.eval_every <= 0 or step == config.max_steps - 1:",
        reason="a remainder is never below 0",
    ),
    Equivalent(
        was="if step % config.eval_every == 0 or step == config.max_steps - 1:",
        now="if step % config.eval_every == 0 or step >= config.max_steps - 1:",
        reason="the loop ends at max_steps - 1",
    ),
]
