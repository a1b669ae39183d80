"""Wrong solutions of 29 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

GROUPS = """    return [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]"""
MICRO = """        loss = model(x, y)[1] / len(batches)
        loss.backward()
        total += loss.item()
"""
CLIP = """    norm = nn.utils.clip_grad_norm_(
        model.parameters(), math.inf if max_norm is None else max_norm
    )
"""
RATE = """    if lr is not None:
        for group in optimizer.param_groups:
            group["lr"] = lr
    optimizer.step()
"""
WEIGHTED = """                targets = int((y != -100).sum())
                if targets:
                    total += model(x, y)[1].item() * targets
                    counted += targets"""
NOW = "        if step % config.eval_every == 0 or step == config.max_steps - 1:"
LOOK = """            if val_batches is not None:
                history["val"].append(
                    (step, evaluate(model, _moved(val_batches, device)))
                )
            if sample is not None:
                model.eval()
                history["samples"].append((step, sample(model)))
"""
UPDATE = """        lr = cosine_lr(
            step, config.max_lr, config.min_lr, config.warmup_steps, config.max_steps
        )
        batches = [loader.next_batch() for _ in range(config.accum_steps)]
        result = train_step(
            model, optimizer, _moved(batches, device), config.max_norm, lr
        )
"""

MISTAKES = [
    # cosine_lr
    Mistake(
        "warm-up from rate 0",
        was="return max_lr * (step + 1) / warmup_steps",
        now="return max_lr * step / warmup_steps",
        caught_by="TestCosineLr::test_the_rise_is_a_straight_line",
        says="looks like step / warmup_steps, which begins at 0",
    ),
    Mistake(
        "cosine counted from step 0",
        was="way = (step - warmup_steps) / (max_steps - warmup_steps)",
        now="way = step / max_steps",
        caught_by="TestCosineLr::test_the_cosine_starts_at_the_top",
        says="looks like the way counted from step 0",
    ),
    Mistake(
        "the cosine comes up again",
        was="    if step >= max_steps:\n        return min_lr\n",
        now="",
        caught_by="TestCosineLr::test_from_the_end_on_it_stays_at_min_lr",
        says="looks like a cosine that comes up again",
    ),
    # param_groups and make_optimizer
    Mistake(
        "everything decays",
        was=GROUPS,
        now=(
            '    return [{"params": trainable, "weight_decay": weight_decay}, '
            '{"params": [], "weight_decay": 0.0}]'
        ),
        caught_by="TestParamGroups::test_matrices_decay_and_the_rest_does_not",
        says="parameters that decay: should not be there",
    ),
    Mistake(
        "told apart by the name: only biases are spared",
        was=GROUPS,
        now="""\
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    return [
        {
            "params": [p for n, p in named if not n.endswith("bias")],
            "weight_decay": weight_decay,
        },
        {"params": [p for n, p in named if n.endswith("bias")], "weight_decay": 0.0},
    ]""",
        caught_by="TestParamGroups::test_matrices_decay_and_the_rest_does_not",
        says="parameters that decay: should not be there",
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
        says="looks like summed up, not averaged",
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
        says="looks like an update after each micro-batch",
    ),
    Mistake(
        "the loss of the last micro-batch is reported",
        was="        total += loss.item()\n",
        now="        total = loss.item() * len(batches)\n",
        caught_by="test_loss_and_norm_of_three_micro_batches",
        says="looks like the last micro-batch's",
    ),
    Mistake(
        "clipped in the loop",
        was=MICRO + CLIP,
        now=MICRO + "    " + CLIP,
        caught_by="test_clipped_once_after_the_last",
        says="looks like clipped after each micro-batch",
    ),
    Mistake(
        "clipped after the step",
        was=CLIP + RATE,
        now=RATE + CLIP,
        caught_by="test_clipped_once_after_the_last",
        says="looks like not clipped",
    ),
    Mistake(
        "old gradients stay",
        was="    optimizer.zero_grad()\n    total",
        now="    total",
        caught_by="test_steps_in_a_row",
        says="looks like the gradients of the step before added",
    ),
    Mistake(
        "lr set after the step",
        was=RATE,
        now="    optimizer.step()\n" + RATE.replace("    optimizer.step()\n", ""),
        caught_by="test_lr_holds_for_this_very_step",
        says="looks like the old rates",
    ),
    Mistake(
        "a loss that keeps its graph",
        was=MICRO,
        now=MICRO.replace("loss.item()", "loss"),
        caught_by="TestTrainStep::test_one_batch_is_one_step_down",
        says="which must not keep its graph",
    ),
    # evaluate
    Mistake(
        "the mean of the means",
        was=WEIGHTED,
        now="""                total += model(x, y)[1].item()
                counted += 1""",
        caught_by="test_every_target_counts_once",
        says="looks like the mean of the batches' means",
    ),
    Mistake(
        "dropout stays on",
        was="    model.eval()\n    total, counted",
        now="    total, counted",
        caught_by="TestEvaluate::test_dropout_is_off",
        says="looks like `model.eval()` is missing",
    ),
    Mistake(
        "eval mode for good",
        was="        model.train(was_training)\n",
        now="        pass\n",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
        says="the model came with training=True",
        edge=True,
    ),
    # checkpoints
    Mistake(
        "the file holds more than tensors and plain data",
        was='        "config": asdict(model.config),\n',
        now='        "config": model.config,\n',
        caught_by="test_a_dict_of_plain_data",
        says="refuses the file",
    ),
    Mistake(
        "weights without the optimizer's state",
        was=(
            "    if optimizer is not None:\n"
            '        optimizer.load_state_dict(checkpoint["optimizer"])\n'
        ),
        now="",
        caught_by="test_the_optimizer_goes_on",
        says="looks like an optimizer that starts over",
    ),
    Mistake(
        "the random state stays",
        was='    torch.set_rng_state(checkpoint["rng"])\n',
        now="",
        caught_by="TestLoadCheckpoint::test_resumed_equals_uninterrupted",
        says="losses of the last three steps",
    ),
    Mistake(
        "the config is not looked at",
        was='    if checkpoint["config"] != asdict(model.config):\n',
        now='    if checkpoint["config"]["vocab_size"] != model.config.vocab_size:\n',
        caught_by="test_another_config_is_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "the random state of the GPU stays",
        was="        torch.cuda.set_rng_state(state, index)",
        now="        pass",
        caught_by="test_the_random_state_of_a_gpu_comes_back",
        says="looks like the state from before loading",
        edge=True,
    ),
    # train
    Mistake(
        "batches stay on the CPU",
        was="""train_step(
            model, optimizer, _moved(batches, device), config.max_norm, lr
        )""",
        now="train_step(model, optimizer, batches, config.max_norm, lr)",
        caught_by="test_batches_go_to_the_device_of_the_model",
        says="list 0 of them, expected 16",
        edge=True,
    ),
    Mistake(
        "the warm-up once more after a resumption",
        was="lr = cosine_lr(\n            step, config",
        now="lr = cosine_lr(step - start_step, config",
        caught_by="test_the_schedule_is_that_of_the_whole_run",
        says="looks like the warm-up once more",
    ),
    Mistake(
        "measured after the update",
        was=NOW + "\n" + LOOK + UPDATE,
        now=UPDATE + NOW + "\n" + LOOK,
        caught_by="test_validation_on_the_way",
        says="looks like measured after the update",
    ),
    Mistake(
        "the sample sees training mode",
        was="                model.eval()\n                history",
        now="                history",
        caught_by="test_samples_in_eval_mode_and_steps_in_training_mode",
        says="looks like the sample is drawn in training mode",
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
    Equivalent(
        was="if step >= max_steps:",
        now="if step > max_steps:",
        reason="at max_steps the cosine has come to the same number",
        textbook=True,
    ),
    Equivalent(
        was="if step >= max_steps:",
        now="if step >= max_steps + 1:",
        reason="at max_steps the cosine has come to the same number",
        textbook=True,
    ),
]
