"""Wrong solutions of 22 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

CHECK = """        if not math.isfinite(value):
            raise FloatingPointError(f"the loss of batch {index} is {value}")
"""
CLEAR = """        optimizer.zero_grad()
        loss.backward()
        if max_grad_norm is not None:"""
STEP = """            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        total"""
AVERAGE = """        total += value * len(inputs)
        samples += len(inputs)
    if not samples:
        raise ValueError("the loader gave no batch to train on")
    return total / samples"""
FLAGS = """    finally:
        for module, training in flags:
            module.training = training"""
MICRO = """        loss = loss_fn(model(inputs), targets) * len(inputs)
        loss.backward()
        total += loss.item()
        samples += len(inputs)
    if not samples:"""
SCHEDULE = """        if scheduler is not None:
            scheduler.step()
        if early"""
BREAK = """\
        if early_stopping is not None and early_stopping.step(found["loss"], model):
            break
    if early_stopping is not None and early_stopping.best is not None:
        early_stopping.restore(model)"""
WRITE = """    try:
        torch.save(checkpoint, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)"""
NUMPY = '"numpy": (kind, keys.tolist(), *rest),'
MISSING = """    if missing:
        raise ValueError(f"{path} holds no state for {', '.join(missing)}")
    model.load_state_dict(checkpoint["model"])"""
OWN = """    for name, generator in generators.items():
        generator.set_state(checkpoint["generators"][name].cpu())"""
AVERAGED = """    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= samples
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
"""

MISTAKES = [
    # train_one_epoch
    Mistake(
        "the mean over batches",
        was=AVERAGE,
        now=AVERAGE.replace("value * len(inputs)", "value").replace(
            "+= len(inputs)", "+= 1"
        ),
        caught_by="TestTrainOneEpoch::test_the_loss_is_per_sample",
        says="looks like every batch counts the same",
    ),
    Mistake(
        "no train mode",
        was="    model.train()\n    total",
        now="    total",
        caught_by="test_train_mode_is_set_in_every_call",
        says="looks like `model.train()` is missing",
    ),
    Mistake(
        "gradients cleared between backward and step",
        was=CLEAR,
        now=(
            "        loss.backward()\n        optimizer.zero_grad()\n"
            "        if max_grad_norm is not None:"
        ),
        caught_by="test_each_batch_makes_one_step",
        says="looks like nothing has moved",
    ),
    Mistake(
        "gradients never cleared",
        was=CLEAR,
        now="        loss.backward()\n        if max_grad_norm is not None:",
        caught_by="test_each_batch_makes_one_step",
        says="looks like gradients that are never cleared",
    ),
    Mistake(
        "clipped after the step",
        was=CLEAR.splitlines()[2] + "\n" + STEP,
        now="        optimizer.step()\n        if max_grad_norm is not None:\n"
        + STEP.replace("        optimizer.step()\n", ""),
        caught_by="test_the_norm_is_clipped_before_the_step",
        says="looks like not clipped between `backward()` and `step()`",
    ),
    Mistake(
        "scheduler before the optimizer",
        was=STEP,
        now=STEP.replace(
            "        optimizer.step()\n        if scheduler is not None:\n"
            "            scheduler.step()\n",
            "        if scheduler is not None:\n            scheduler.step()\n"
            "        optimizer.step()\n",
        ),
        caught_by="test_the_scheduler_follows_each_step",
        says="looks like the scheduler is stepped before the optimizer",
    ),
    Mistake(
        "no look at the loss",
        was=CHECK,
        now="",
        caught_by="test_a_loss_that_is_no_number_stops_the_epoch",
        says="raised nothing",
        edge=True,
    ),
    # evaluate
    Mistake(
        "a pair in place of the dict",
        was='return {"loss": loss, "accuracy": accuracy}',
        now="return loss, accuracy",
        caught_by="TestEvaluate::test_loss_and_accuracy_are_per_sample",
        says="a dict with keys ['loss', 'accuracy']",
    ),
    Mistake(
        "train mode at the end",
        was=FLAGS,
        now="    finally:\n        model.train()",
        caught_by="test_flags_come_back_module_by_module",
        says="looks like train mode at the end, whatever it was",
    ),
    Mistake(
        "flags restored only if all goes well",
        was=FLAGS,
        now=FLAGS.replace("finally", "except ZeroDivisionError")
        + "\n    for module, training in flags:\n        module.training = training",
        caught_by="test_flags_come_back_after_an_exception",
        says="training flags['2'] got True expected False",
        edge=True,
    ),
    # accumulated_step
    Mistake(
        "each micro-batch weighs the same",
        was=MICRO,
        now="        loss = loss_fn(model(inputs), targets)\n        loss.backward()\n"
        "        total += loss.item()\n"
        "        samples += 1\n    if not samples:",
        caught_by="test_it_equals_one_step_on_the_whole_batch",
        says="looks like each micro-batch weighs the same",
    ),
    Mistake(
        "accumulation: old gradients stay in",
        was="    optimizer.zero_grad()\n    total",
        now="    total",
        caught_by="test_one_call_does_not_reach_into_the_next",
        says="looks like gradients of the first call that stay",
    ),
    Mistake(
        "one backward pass for all",
        was=MICRO,
        now=MICRO.replace("        loss.backward()\n", "")
        .replace("total += loss.item()", "total += loss")
        .replace(
            "    if not samples:",
            "    if samples:\n        total.backward()\n        total = total.item()\n"
            "    if not samples:",
        ),
        caught_by="test_one_graph_at_a_time",
        says="got forward of 4, forward of 2, forward of 3, backward of 3",
    ),
    Mistake(
        "the sum is clipped, the average otherwise",
        was=AVERAGED,
        now="""    if max_grad_norm is None:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad /= samples
    else:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
""",
        caught_by="test_the_norm_of_the_average_is_compared_with_the_limit",
        says="looks like the sum is clipped, not the average",
    ),
    # EarlyStopping
    Mistake(
        "less is better in either mode",
        was='value if self.mode == "min" else -value',
        now="value",
        caught_by="test_in_mode_max_more_is_better",
        says="after call 1, with the value -1.0: best -2.0, expected -1.0",
    ),
    Mistake(
        "the best value with the sign that 10 watches",
        was="self.best, self.best_epoch = value, self.stopper.best_epoch",
        now=(
            "self.best, self.best_epoch = self.stopper.best_loss, "
            "self.stopper.best_epoch"
        ),
        caught_by="test_in_mode_max_more_is_better",
        says="looks like the best value with its sign turned, as it is compared",
    ),
    # fit
    Mistake(
        "the rate written down after the schedule",
        was=SCHEDULE,
        now="        if scheduler is not None:\n            scheduler.step()\n"
        '            history[-1]["lr"] = '
        'optimizer.param_groups[0]["lr"]\n        if early',
        caught_by="test_the_rate_is_the_one_the_epoch_used",
        says="looks like the rates after the schedule has moved on",
    ),
    Mistake(
        "restored only when stopped early",
        was=BREAK,
        now="""\
        if early_stopping is not None and early_stopping.step(found["loss"], model):
            early_stopping.restore(model)
            break""",
        caught_by="test_the_best_weights_come_back_also_at_the_last_epoch",
        says="looks like those of the last epoch",
    ),
    # save_checkpoint, load_checkpoint
    Mistake(
        "NumPy's own objects in the file",
        was=NUMPY,
        now='"numpy": np.random.get_state(),',
        caught_by="test_the_file_opens_with_weights_only",
        says="the file asks for numpy",
    ),
    Mistake(
        "half a file left behind",
        was=WRITE,
        now="    torch.save(checkpoint, unfinished)\n    os.replace(unfinished, path)",
        caught_by="test_a_failed_save_leaves_the_old_file_alone",
        says="files in the folder after the failure",
        edge=True,
    ),
    Mistake(
        "a seed instead of a state",
        was='    torch.set_rng_state(checkpoint["torch"].cpu())\n',
        now='    torch.manual_seed(checkpoint["step"])\n',
        caught_by="test_resuming_is_bitwise",
        says="loss in step 0 after the load",
    ),
    Mistake(
        "the run's generators left out",
        was=OWN,
        now="",
        caught_by="test_resuming_is_bitwise",
        says="without the interruption",
    ),
    Mistake(
        "the model loaded before the check",
        was=MISSING,
        now="\n".join([MISSING.splitlines()[2], *MISSING.splitlines()[:2]]),
        caught_by="test_a_missing_part_is_named_and_nothing_is_loaded",
        says="looks like the model was loaded before the error",
        edge=True,
    ),
    # gradient_report
    Mistake(
        "the deviation of a sample",
        was="gradient.std(correction=0)",
        now="gradient.std()",
        caught_by="test_norm_mean_and_std_of_each_gradient",
        says="looks like the deviation of a sample, divided by n - 1",
    ),
    # classify_error
    Mistake(
        "one spelling of in-place",
        was='("inplace operation", "in-place operation")',
        now='("inplace operation",)',
        caught_by="test_what_backward_needs_was_overwritten",
        says="in-place operation. wanted 'inplace_modification', got 'unknown'",
    ),
]

CUDA = (
    "without a CUDA device there is no such state; with one "
    "test_a_run_moves_between_cpu_and_gpu fails"
)

MOVED = "evaluate of 10 moves the batches to the model's device as well"

EQUIVALENT = [
    Equivalent(
        was=(
            "moved = ((inputs.to(device), targets.to(device)) for inputs, targets in "
            "loader)"
        ),
        now="moved = ((inputs.to(device), targets) for inputs, targets in loader)",
        reason=MOVED,
    ),
    Equivalent(
        was=(
            "moved = ((inputs.to(device), targets.to(device)) for inputs, targets in "
            "loader)"
        ),
        now="moved = ((inputs, targets.to(device)) for inputs, targets in loader)",
        reason=MOVED,
    ),
    Equivalent(
        was="found = evaluate(model, val_loader, loss_fn, device=device)",
        now="found = evaluate(model, val_loader, loss_fn)",
        reason=MOVED,
    ),
    Equivalent(
        was="if self.bad_epochs == 0:",
        now="if self.bad_epochs <= 0:",
        reason="a count of epochs is never negative",
    ),
    Equivalent(
        was=(
            '"cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else '
            "[],"
        ),
        now='"cuda": torch.cuda.get_rng_state_all(),',
        reason="without a CUDA device the list is empty as well",
    ),
    Equivalent(
        was=(
            '"cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else '
            "[],"
        ),
        now='"cuda": [],',
        reason=CUDA,
    ),
    Equivalent(
        was='generator.set_state(checkpoint["generators"][name].cpu())',
        now='generator.set_state(checkpoint["generators"][name])',
        reason=CUDA,
    ),
    Equivalent(
        was='torch.set_rng_state(checkpoint["torch"].cpu())',
        now='torch.set_rng_state(checkpoint["torch"])',
        reason=CUDA,
    ),
    Equivalent(
        was=(
            'for index, state in enumerate(checkpoint["cuda"][: '
            "torch.cuda.device_count()]):"
        ),
        now='for index, state in enumerate(checkpoint["cuda"][: ]):',
        reason=(
            "differs only on a machine with fewer CUDA devices than the one that saved"
        ),
    ),
    Equivalent(
        was=(
            'for index, state in enumerate(checkpoint["cuda"][: '
            "torch.cuda.device_count()]):"
        ),
        now="for index, state in []:",
        reason=CUDA,
    ),
    Equivalent(
        was="torch.cuda.set_rng_state(state.cpu(), index)", now="pass", reason=CUDA
    ),
    Equivalent(
        was="torch.cuda.set_rng_state(state.cpu(), index)",
        now="torch.cuda.set_rng_state(index, state.cpu())",
        reason=CUDA,
    ),
    Equivalent(
        was="torch.cuda.set_rng_state(state.cpu(), index)",
        now="torch.cuda.set_rng_state(state, index)",
        reason=CUDA,
    ),
    Equivalent(
        was="gradient = parameter.grad.cpu().double()",
        now="gradient = parameter.grad.cpu().float()",
        reason="float32 is wider than the halves, too; more is not promised",
    ),
    Equivalent(
        was="gradient = parameter.grad.cpu().double()",
        now="gradient = parameter.grad.double()",
        reason="the detour through the CPU is for devices that have no float64",
    ),
    Equivalent(
        was='lr = optimizer.param_groups[0]["lr"]',
        now='lr = optimizer.param_groups[-1]["lr"]',
        reason="several groups are asked at the edges alone",
        textbook=True,
    ),
]
