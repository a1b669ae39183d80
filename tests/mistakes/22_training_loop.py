"""Wrong solutions of 22 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

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
MEASURED = """                total += loss_fn(outputs, targets).item() * len(inputs)
                right += (outputs.argmax(dim=-1) == targets).sum().item()
                samples += len(inputs)"""
RATES = 'return {"loss": total / samples, "accuracy": right / samples}'
FLAGS = """    finally:
        for module, training in flags:
            module.training = training"""
MICRO = """        loss = loss_fn(model(inputs), targets) * len(inputs)
        loss.backward()
        total += loss.item()
        samples += len(inputs)
    if not samples:"""
DIVIDE = """    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= samples
    if max_grad_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
    optimizer.step()"""
KEEP = "self._state = copy.deepcopy(model.state_dict())"
BETTER = """        if self.best is None:
            return not math.isnan(value)
        gain = self.best - value if self.mode == "min" else value - self.best
        return gain > self.min_delta"""
RESTORE = """    if early_stopping is not None and early_stopping.best is not None:
        early_stopping.restore(model)"""
SCHEDULE = """        if scheduler is not None:
            scheduler.step()
        if early"""
BREAK = """        if early_stopping is not None and early_stopping.step(found["loss"], model):
            break
    if early_stopping is not None and early_stopping.best is not None:
        early_stopping.restore(model)"""
TRAIN = "train_one_epoch(model, train_loader, loss_fn, optimizer, device=device, max_grad_norm=max_grad_norm)"
WRITE = """    try:
        torch.save(checkpoint, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)"""
NUMPY = '"numpy": (kind, keys.tolist(), *rest),'
LOAD = "torch.load(path, map_location=map_location, weights_only=True)"
MISSING = """    if missing:
        raise ValueError(f"{path} holds no state for {', '.join(missing)}")
    model.load_state_dict(checkpoint["model"])"""
OWN = """    for name, generator in generators.items():
        generator.set_state(checkpoint["generators"][name].cpu())"""
STATUS = 'status = "nan" if gradient.isnan().any() else "inf" if gradient.isinf().any() else "ok"'
FROZEN = """        if not parameter.requires_grad:
            continue
"""

MISTAKES = [
    # train_one_epoch
    Mistake(
        "the mean over batches",
        was=AVERAGE,
        now=AVERAGE.replace("value * len(inputs)", "value").replace("+= len(inputs)", "+= 1"),
        caught_by="TestTrainOneEpoch::test_the_loss_is_per_sample",
    ),
    Mistake(
        "batch means added up, divided by the samples",
        was="total += value * len(inputs)",
        now="total += value",
        caught_by="TestTrainOneEpoch::test_the_loss_is_per_sample",
    ),
    Mistake(
        "no train mode",
        was="    model.train()\n    total",
        now="    total",
        caught_by="test_train_mode_is_set_in_every_call",
    ),
    Mistake(
        "gradients cleared between backward and step",
        was=CLEAR,
        now="        loss.backward()\n        optimizer.zero_grad()\n        if max_grad_norm is not None:",
        caught_by="test_each_batch_makes_one_step",
    ),
    Mistake(
        "gradients never cleared",
        was=CLEAR,
        now="        loss.backward()\n        if max_grad_norm is not None:",
        caught_by="test_each_batch_makes_one_step",
    ),
    Mistake(
        "gradients cleared after the step only",
        was="        optimizer.zero_grad()\n" + CLEAR.split("\n", 1)[1] + "\n" + STEP,
        now=CLEAR.split("\n", 1)[1]
        + "\n"
        + STEP.replace("optimizer.step()", "optimizer.step()\n        optimizer.zero_grad()"),
        caught_by="TestTrainOneEpoch::test_old_gradients_have_no_influence",
    ),
    Mistake(
        "clipped after the step",
        was=CLEAR.splitlines()[2] + "\n" + STEP,
        now="        optimizer.step()\n        if max_grad_norm is not None:\n"
        + STEP.replace("        optimizer.step()\n", ""),
        caught_by="test_the_norm_is_clipped_before_the_step",
    ),
    Mistake(
        "each element clipped",
        was=STEP,
        now=STEP.replace("clip_grad_norm_", "clip_grad_value_"),
        caught_by="test_the_norm_is_clipped_before_the_step",
    ),
    Mistake(
        "each parameter clipped by its own norm",
        was=STEP,
        now=STEP.replace(
            "nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)",
            "[nn.utils.clip_grad_norm_([p], max_grad_norm) for p in model.parameters()]",
        ),
        caught_by="test_the_norm_is_clipped_before_the_step",
    ),
    Mistake(
        "scheduler before the optimizer",
        was=STEP,
        now=STEP.replace(
            "        optimizer.step()\n        if scheduler is not None:\n            scheduler.step()\n",
            "        if scheduler is not None:\n            scheduler.step()\n        optimizer.step()\n",
        ),
        caught_by="test_the_scheduler_follows_each_step",
    ),
    Mistake(
        "scheduler once an epoch",
        was=STEP + AVERAGE[len("        total") :],
        now=STEP.replace("        if scheduler is not None:\n            scheduler.step()\n", "")
        + AVERAGE[len("        total") :].replace(
            "    return", "    if scheduler is not None:\n        scheduler.step()\n    return"
        ),
        caught_by="test_the_scheduler_follows_each_step",
    ),
    Mistake(
        "the moved batch is thrown away",
        was="        inputs, targets = inputs.to(device), targets.to(device)\n        loss",
        now="        inputs.to(device), targets.to(device)\n        loss",
        caught_by="TestTrainOneEpoch::test_batches_are_moved_to_the_device",
    ),
    Mistake(
        "targets stay where they are",
        was="        inputs, targets = inputs.to(device), targets.to(device)\n        loss",
        now="        inputs = inputs.to(device)\n        loss",
        caught_by="TestTrainOneEpoch::test_batches_are_moved_to_the_device",
    ),
    Mistake(
        "no look at the loss", was=CHECK, now="", caught_by="test_a_loss_that_is_no_number_stops_the_epoch", edge=True
    ),
    Mistake(
        "only NaN is looked for",
        was="if not math.isfinite(value):",
        now="if math.isnan(value):",
        caught_by="test_a_loss_that_is_no_number_stops_the_epoch",
        edge=True,
    ),
    Mistake(
        "the loss looked at after the step",
        was=CHECK + CLEAR + "\n" + STEP,
        now=CLEAR + "\n" + STEP.replace("        total", CHECK + "        total"),
        caught_by="test_a_loss_that_is_no_number_stops_the_epoch",
        edge=True,
    ),
    Mistake(
        "batches counted from 1",
        was="in enumerate(loader):",
        now="in enumerate(loader, 1):",
        caught_by="test_a_loss_that_is_no_number_stops_the_epoch",
        edge=True,
    ),
    Mistake(
        "bad batches passed over",
        was='raise FloatingPointError(f"the loss of batch {index} is {value}")',
        now="continue",
        caught_by="test_a_loss_that_is_no_number_stops_the_epoch",
        edge=True,
    ),
    Mistake(
        "the loss as a tensor",
        was="value = loss.item()",
        now="value = loss.detach()",
        caught_by="test_the_loss_is_a_plain_float",
    ),
    Mistake(
        "samples from the data set's length",
        was=AVERAGE,
        now=AVERAGE.replace("    return total / samples", "    return total / len(loader.dataset)"),
        caught_by="TestTrainOneEpoch::test_the_loss_is_per_sample",
    ),
    # evaluate
    Mistake(
        "evaluation: the mean over batches",
        was=MEASURED,
        now=MEASURED.replace(".item() * len(inputs)", ".item()")
        .replace("targets).sum()", "targets).double().mean()")
        .replace("+= len(inputs)", "+= 1"),
        caught_by="test_loss_and_accuracy_are_per_sample",
    ),
    Mistake(
        "evaluation: divided by the size of the data set",
        was=RATES,
        now='samples = len(loader.dataset) if hasattr(loader, "dataset") else samples\n    ' + RATES,
        caught_by="test_samples_that_the_loader_drops_do_not_count",
    ),
    Mistake(
        "argmax over the batch",
        was="outputs.argmax(dim=-1)",
        now="outputs.argmax(dim=0)",
        caught_by="test_loss_and_accuracy_are_per_sample",
    ),
    Mistake(
        "accuracy as a tensor",
        was="== targets).sum().item()",
        now="== targets).sum()",
        caught_by="test_loss_and_accuracy_are_per_sample",
    ),
    Mistake(
        "no eval mode",
        was="    model.eval()\n",
        now="",
        caught_by="test_the_model_is_in_eval_mode",
    ),
    Mistake(
        "gradients on",
        was="with torch.no_grad():",
        now="with torch.enable_grad():",
        caught_by="test_no_graph_is_built",
    ),
    Mistake(
        "gradients off for good",
        was="        with torch.no_grad():\n            for inputs, targets in loader:",
        now="        torch.set_grad_enabled(False)\n        if True:\n            for inputs, targets in loader:",
        caught_by="test_no_graph_is_built",
    ),
    Mistake(
        "train mode at the end",
        was=FLAGS,
        now="    finally:\n        model.train()",
        caught_by="test_flags_come_back_module_by_module",
    ),
    Mistake(
        "one flag for all modules",
        was=FLAGS,
        now="    finally:\n        model.train(flags[0][1])",
        caught_by="test_flags_come_back_module_by_module",
    ),
    Mistake(
        "eval mode at the end",
        was=FLAGS,
        now="    finally:\n        pass",
        caught_by="test_flags_come_back_module_by_module",
    ),
    Mistake(
        "flags restored only if all goes well",
        was=FLAGS,
        now=FLAGS.replace("finally", "except ZeroDivisionError")
        + "\n    for module, training in flags:\n        module.training = training",
        caught_by="test_flags_come_back_after_an_exception",
        edge=True,
    ),
    Mistake(
        "gradients cleared by an evaluation",
        was="    model.eval()\n",
        now="    model.eval()\n    model.zero_grad()\n",
        caught_by="test_nothing_in_the_model_changes",
    ),
    Mistake(
        "evaluation: batches not moved",
        was="                inputs, targets = inputs.to(device), targets.to(device)\n",
        now="",
        caught_by="TestEvaluate::test_batches_are_moved_to_the_device",
    ),
    Mistake(
        "evaluation: len(loader) is needed",
        was=RATES,
        now='return {"loss": total / samples, "accuracy": right / samples * len(loader) / len(loader)}',
        caught_by="test_the_loader_may_be_a_generator",
    ),
    Mistake(
        "evaluation: an empty loader has loss 0",
        was='        raise ValueError("the loader gave no batch to evaluate on")',
        now='        return {"loss": 0.0, "accuracy": 0.0}',
        caught_by="TestEvaluate::test_an_empty_loader_is_an_error",
        edge=True,
    ),
    # accumulated_step
    Mistake(
        "each micro-batch weighs the same",
        was=MICRO,
        now="        loss = loss_fn(model(inputs), targets)\n        loss.backward()\n        total += loss.item()\n"
        "        samples += 1\n    if not samples:",
        caught_by="test_it_equals_one_step_on_the_whole_batch",
    ),
    Mistake(
        "gradients added up, not averaged",
        was="            parameter.grad /= samples\n",
        now="            pass\n",
        caught_by="test_it_equals_one_step_on_the_whole_batch",
    ),
    Mistake(
        "a step for each micro-batch",
        was=MICRO,
        now=MICRO.replace("* len(inputs)", "* len(inputs) / 9").replace(
            "        total", "        optimizer.step()\n        optimizer.zero_grad()\n        total"
        ),
        caught_by="test_it_equals_one_step_on_the_whole_batch",
    ),
    Mistake(
        "gradients cleared for every micro-batch",
        was=MICRO,
        now=MICRO.replace("        loss.backward()", "        optimizer.zero_grad()\n        loss.backward()"),
        caught_by="test_it_equals_one_step_on_the_whole_batch",
    ),
    Mistake(
        "every micro-batch clipped",
        was=MICRO,
        now=MICRO.replace(
            "        total",
            "        if max_grad_norm is not None:\n"
            "            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n        total",
        ),
        caught_by="test_the_whole_gradient_is_clipped_once",
    ),
    Mistake(
        "clipped before the division",
        was=DIVIDE,
        now="    if max_grad_norm is not None:\n"
        "        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n"
        + DIVIDE.replace(
            "    if max_grad_norm is not None:\n        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n",
            "",
        ),
        caught_by="test_the_whole_gradient_is_clipped_once",
    ),
    Mistake(
        "accumulation: each element clipped",
        was=DIVIDE,
        now=DIVIDE.replace("clip_grad_norm_", "clip_grad_value_"),
        caught_by="test_the_whole_gradient_is_clipped_once",
    ),
    Mistake(
        "accumulation: old gradients stay in",
        was="    optimizer.zero_grad()\n    total",
        now="    total",
        caught_by="TestAccumulatedStep::test_old_gradients_have_no_influence",
    ),
    Mistake(
        "all micro-batches put together first",
        was="    for inputs, targets in micro_batches:\n",
        now="    micro_batches = list(micro_batches)\n    whole = [torch.cat(part) for part in zip(*micro_batches)]\n"
        "    for inputs, targets in [whole] if whole else []:\n",
        caught_by="test_one_graph_at_a_time",
    ),
    Mistake(
        "one backward pass for all",
        was=MICRO,
        now=MICRO.replace("        loss.backward()\n", "")
        .replace("total += loss.item()", "total += loss")
        .replace(
            "    if not samples:",
            "    if samples:\n        total.backward()\n        total = total.item()\n    if not samples:",
        ),
        caught_by="test_one_graph_at_a_time",
    ),
    Mistake(
        "len() of a generator",
        was="    for inputs, targets in micro_batches:\n",
        now="    if len(micro_batches) == 0:\n        raise ValueError\n    for inputs, targets in micro_batches:\n",
        caught_by="test_micro_batches_may_come_from_a_generator",
    ),
    Mistake(
        "None divided",
        was="        if parameter.grad is not None:\n            parameter.grad /= samples",
        now="        parameter.grad /= samples",
        caught_by="TestAccumulatedStep::test_a_parameter_that_takes_no_part_is_left_alone",
    ),
    Mistake(
        "the loss of an accumulated step as a sum",
        was="    optimizer.step()\n    return total / samples",
        now="    optimizer.step()\n    return total",
        caught_by="TestAccumulatedStep::test_the_loss_is_per_sample",
    ),
    Mistake(
        "a step out of nothing",
        was='        raise ValueError("there are no micro-batches to make a step of")',
        now="        return 0.0",
        caught_by="test_no_micro_batches_are_an_error",
        edge=True,
    ),
    # EarlyStopping
    Mistake(
        "the live state kept",
        was=KEEP,
        now="self._state = model.state_dict()",
        caught_by="test_restore_brings_the_best_weights_back",
    ),
    Mistake(
        "a shallow copy kept",
        was=KEEP,
        now="self._state = dict(model.state_dict())",
        caught_by="test_restore_brings_the_best_weights_back",
    ),
    Mistake(
        "the state of every epoch kept",
        was="        self._epoch += 1\n",
        now="        self._epoch += 1\n        self._state = copy.deepcopy(model.state_dict())\n",
        caught_by="test_restore_brings_the_best_weights_back",
    ),
    Mistake(
        "parameters kept without buffers",
        was=KEEP,
        now="self._state = {name: p.detach().clone() for name, p in model.named_parameters()}",
        caught_by="test_buffers_are_part_of_the_best",
    ),
    Mistake(
        "the kept tensors handed out",
        was="model.load_state_dict(self._state)",
        now="model.load_state_dict(self._state, assign=True)",
        caught_by="test_restore_can_be_called_again",
    ),
    Mistake(
        "the kept tensors put into .data",
        was="model.load_state_dict(self._state)",
        now="for name, p in model.named_parameters():\n            p.data = self._state[name]",
        caught_by="test_restore_can_be_called_again",
    ),
    Mistake(
        "an equal value counts as better",
        was="return gain > self.min_delta",
        now="return gain >= self.min_delta",
        caught_by="test_an_equal_value_is_no_gain",
    ),
    Mistake(
        "not worse means better",
        was=BETTER,
        now="""        if self.best is None:
            return True
        gain = self.best - value if self.mode == "min" else value - self.best
        return not gain <= self.min_delta""",
        caught_by="test_nan_is_never_better",
        edge=True,
    ),
    Mistake(
        "the first value is best, NaN or not",
        was="return not math.isnan(value)",
        now="return True",
        caught_by="test_nan_is_never_better",
        edge=True,
    ),
    Mistake(
        "NaN passed over",
        was="        else:\n            self.bad_epochs += 1",
        now="        elif not math.isnan(value):\n            self.bad_epochs += 1",
        caught_by="test_nan_is_never_better",
        edge=True,
    ),
    Mistake(
        "zero taken for no value",
        was=BETTER,
        now=BETTER.replace("self.best is None", "not self.best"),
        caught_by="test_zero_is_a_value",
    ),
    Mistake(
        "mode is ignored",
        was='self.best - value if self.mode == "min" else value - self.best',
        now="self.best - value",
        caught_by="test_in_mode_max_more_is_better",
    ),
    Mistake(
        "min_delta is ignored",
        was="return gain > self.min_delta",
        now="return gain > 0",
        caught_by="test_a_gain_must_exceed_min_delta",
    ),
    Mistake(
        "gains compared with the value before",
        was=BETTER,
        now="""        last, self._last = getattr(self, "_last", None), value
        if self.best is None:
            return not math.isnan(value)
        gain = last - value if self.mode == "min" else value - last
        return gain > self.min_delta""",
        caught_by="test_a_gain_must_exceed_min_delta",
    ),
    Mistake(
        "one epoch too patient",
        was="return self.bad_epochs >= self.patience",
        now="return self.bad_epochs > self.patience",
        caught_by="test_it_stops_when_patience_runs_out",
    ),
    Mistake(
        "bad epochs never forgiven",
        was="self.best, self.best_epoch, self.bad_epochs = value, self._epoch, 0",
        now="self.best, self.best_epoch = value, self._epoch",
        caught_by="test_a_better_value_starts_the_count_again",
    ),
    Mistake(
        "epochs counted from 1",
        was="        self._epoch = 0",
        now="        self._epoch = 1",
        caught_by="test_it_stops_when_patience_runs_out",
    ),
    Mistake(
        "best starts at infinity",
        was="        self.best: float | None = None",
        now='        self.best: float | None = math.inf if mode == "min" else -math.inf',
        caught_by="test_it_starts_with_nothing",
    ),
    Mistake(
        "nothing to restore passed over",
        was='            raise RuntimeError("there is no best epoch to restore yet")',
        now="            return",
        caught_by="test_there_must_be_something_to_restore",
        edge=True,
    ),
    Mistake(
        "patience 0 goes through",
        was="if patience < 1:",
        now="if patience < 0:",
        caught_by="test_patience_and_mode_are_checked",
        edge=True,
    ),
    Mistake(
        "any mode goes through",
        was='if mode not in ("min", "max"):',
        now='if mode not in ("min", "max", "maximum"):',
        caught_by="test_patience_and_mode_are_checked",
        edge=True,
    ),
    # fit
    Mistake(
        "the rate written down after the schedule",
        was=SCHEDULE,
        now='        if scheduler is not None:\n            scheduler.step()\n            history[-1]["lr"] = '
        'optimizer.param_groups[0]["lr"]\n        if early',
        caught_by="test_the_rate_is_the_one_the_epoch_used",
    ),
    Mistake(
        "fit: the schedule steps with every batch",
        was=TRAIN,
        now=TRAIN.replace("max_grad_norm=max_grad_norm", "max_grad_norm=max_grad_norm, scheduler=scheduler"),
        caught_by="test_the_rate_is_the_one_the_epoch_used",
    ),
    Mistake(
        "evaluated before the epoch",
        was="        trained = " + TRAIN + "\n        found = evaluate(model, val_loader, loss_fn, device=device)",
        now="        found = evaluate(model, val_loader, loss_fn, device=device)\n        trained = " + TRAIN,
        caught_by="test_the_history_has_a_dict_for_each_epoch",
    ),
    Mistake(
        "epochs from 1",
        was='"epoch": epoch,',
        now='"epoch": epoch + 1,',
        caught_by="test_the_history_has_a_dict_for_each_epoch",
    ),
    Mistake(
        "early stopping watches the training loss",
        was='early_stopping.step(found["loss"], model)',
        now="early_stopping.step(trained, model)",
        caught_by="test_it_stops_when_told",
    ),
    Mistake(
        "nobody stops",
        was=BREAK,
        now=BREAK.replace("            break", "            pass"),
        caught_by="test_it_stops_when_told",
    ),
    Mistake(
        "restored only when stopped early",
        was=BREAK,
        now="""        if early_stopping is not None and early_stopping.step(found["loss"], model):
            early_stopping.restore(model)
            break""",
        caught_by="test_the_best_weights_come_back_also_at_the_last_epoch",
    ),
    Mistake(
        "the last weights stay",
        was=RESTORE,
        now="",
        caught_by="test_patience_decides_how_long_it_runs",
    ),
    Mistake(
        "restored without a best epoch",
        was=RESTORE,
        now=RESTORE.replace(" and early_stopping.best is not None", ""),
        caught_by="test_without_a_usable_value_the_last_weights_stay",
        edge=True,
    ),
    Mistake(
        "the last group's rate",
        was='lr = optimizer.param_groups[0]["lr"]',
        now='lr = optimizer.param_groups[-1]["lr"]',
        caught_by="test_the_rate_is_that_of_the_first_group",
    ),
    Mistake(
        "fit: no clipping",
        was=TRAIN,
        now=TRAIN.replace(", max_grad_norm=max_grad_norm", ""),
        caught_by="test_clipping_is_passed_on",
    ),
    Mistake(
        "fit: training stays on the CPU",
        was=TRAIN,
        now=TRAIN.replace(", device=device", ""),
        caught_by="test_the_device_is_passed_on",
    ),
    Mistake(
        "fit: evaluation stays on the CPU",
        was="evaluate(model, val_loader, loss_fn, device=device)",
        now="evaluate(model, val_loader, loss_fn)",
        caught_by="test_the_device_is_passed_on",
    ),
    # save_checkpoint, load_checkpoint
    Mistake(
        "NumPy's state as an array",
        was=NUMPY,
        now='"numpy": np.random.get_state(),',
        caught_by="test_the_file_opens_with_weights_only",
    ),
    Mistake(
        "generators saved whole",
        was="{name: generator.get_state() for name, generator in (generators or {}).items()}",
        now="dict(generators or {})",
        caught_by="test_the_file_opens_with_weights_only",
    ),
    Mistake(
        "the whole model pickled",
        was='"model": model.state_dict(),',
        now='"model": model.state_dict(), "module": model,',
        caught_by="test_the_file_opens_with_weights_only",
    ),
    Mistake(
        "written straight to the target",
        was=WRITE,
        now="    torch.save(checkpoint, path)",
        caught_by="test_a_failed_save_leaves_the_old_file_alone",
        edge=True,
    ),
    Mistake(
        "the old file removed first",
        was="    try:\n        torch.save",
        now="    path.unlink(missing_ok=True)\n    try:\n        torch.save",
        caught_by="test_a_failed_save_leaves_the_old_file_alone",
        edge=True,
    ),
    Mistake(
        "half a file left behind",
        was=WRITE,
        now="    torch.save(checkpoint, unfinished)\n    os.replace(unfinished, path)",
        caught_by="test_a_failed_save_leaves_the_old_file_alone",
        edge=True,
    ),
    Mistake(
        "failures hidden",
        was="    finally:\n        unfinished",
        now="    except Exception:\n        unfinished",
        caught_by="test_a_failed_save_leaves_the_old_file_alone",
        edge=True,
    ),
    Mistake(
        "renamed from the system's folder for temporary files",
        was='unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")',
        now='import tempfile\n    unfinished = Path(tempfile.mkdtemp(), "unfinished")',
        caught_by="test_the_new_file_is_written_beside_the_old_one",
    ),
    Mistake(
        "copied over the target",
        was="os.replace(unfinished, path)",
        now="path.write_bytes(unfinished.read_bytes())",
        caught_by="test_the_new_file_takes_the_old_ones_place",
    ),
    Mistake(
        "the first file stays beside the copy",
        was=WRITE,
        now="    torch.save(checkpoint, unfinished)\n    Path(path).write_bytes(unfinished.read_bytes())",
        caught_by="test_nothing_else_is_left_in_the_folder",
    ),
    Mistake(
        "a path must be a Path",
        was="    path = Path(path)\n    unfinished",
        now="    unfinished",
        caught_by="test_the_file_opens_with_weights_only",
    ),
    Mistake(
        "train mode after saving",
        was='    checkpoint = {\n        "model"',
        now='    model.train()\n    checkpoint = {\n        "model"',
        caught_by="test_saving_changes_nothing",
    ),
    Mistake(
        "a new seed when saving",
        was='        "torch": torch.get_rng_state(),',
        now='        "seed": torch.seed(),\n        "torch": torch.get_rng_state(),',
        caught_by="test_saving_changes_nothing",
    ),
    Mistake(
        "every part is needed",
        was="    if scaler is not None:\n        checkpoint",
        now="    if True:\n        checkpoint",
        caught_by="test_one_part_may_be_saved_without_the_others",
    ),
    Mistake(
        "buffers left out",
        was='"model": model.state_dict(),',
        now='"model": {name: model.state_dict()[name] for name, _ in model.named_parameters()},',
        caught_by="test_the_model_comes_back",
    ),
    Mistake(
        "the optimizer left out",
        was='    optimizer.load_state_dict(checkpoint["optimizer"])\n',
        now="",
        caught_by="test_the_optimizer_comes_back",
    ),
    Mistake(
        "the saved tensors become the model's",
        was='model.load_state_dict(checkpoint["model"])',
        now='model.load_state_dict(checkpoint["model"], assign=True)',
        caught_by="test_the_model_comes_back",
    ),
    Mistake(
        "scheduler and scaler not loaded",
        was="            part.load_state_dict(checkpoint[name])",
        now="            pass",
        caught_by="test_scheduler_and_scaler_come_back",
    ),
    Mistake(
        "torch's generator left out",
        was='    torch.set_rng_state(checkpoint["torch"].cpu())\n',
        now="",
        caught_by="test_global_generators_come_back",
    ),
    Mistake(
        "a seed instead of a state",
        was='    torch.set_rng_state(checkpoint["torch"].cpu())\n',
        now='    torch.manual_seed(checkpoint["step"])\n',
        caught_by="test_resuming_is_bitwise",
    ),
    Mistake(
        "Python's generator left out",
        was='    random.setstate(checkpoint["python"])\n',
        now="",
        caught_by="test_global_generators_come_back",
    ),
    Mistake(
        "Python's pending value left out",
        was='random.setstate(checkpoint["python"])',
        now='random.setstate((*checkpoint["python"][:2], None))',
        caught_by="test_global_generators_come_back",
    ),
    Mistake(
        "NumPy's generator left out",
        was='    np.random.set_state(checkpoint["numpy"])\n',
        now="",
        caught_by="test_global_generators_come_back",
    ),
    Mistake(
        "NumPy's pending value left out",
        was='np.random.set_state(checkpoint["numpy"])',
        now='np.random.set_state(checkpoint["numpy"][:3])',
        caught_by="test_global_generators_come_back",
    ),
    Mistake(
        "the run's generators left out",
        was=OWN,
        now="",
        caught_by="test_resuming_is_bitwise",
    ),
    Mistake(
        "generators matched by position",
        was=OWN,
        now="""    for generator, state in zip(generators.values(), checkpoint["generators"].values(), strict=False):
        generator.set_state(state.cpu())""",
        caught_by="test_generators_come_back_by_name",
    ),
    Mistake(
        "no extra is None",
        was='"extra": extra or {},',
        now='"extra": extra,',
        caught_by="test_step_and_extra_are_returned",
    ),
    Mistake(
        "step forgotten",
        was='return {"step": checkpoint["step"],',
        now='return {"step": 0,',
        caught_by="test_step_and_extra_are_returned",
    ),
    Mistake(
        "the whole file returned",
        was='return {"step": checkpoint["step"], "extra": checkpoint["extra"]}',
        now="return checkpoint",
        caught_by="test_step_and_extra_are_returned",
    ),
    Mistake(
        "everything in the file must be asked for",
        was="    if missing:\n",
        now='    missing += [name for name in checkpoint["generators"] if name not in generators]\n    if missing:\n',
        caught_by="test_what_is_not_asked_for_is_passed_over",
    ),
    Mistake(
        "the model loaded before the check",
        was=MISSING,
        now="\n".join([MISSING.splitlines()[2], *MISSING.splitlines()[:2]]),
        caught_by="test_a_missing_part_is_named_and_nothing_is_loaded",
        edge=True,
    ),
    Mistake(
        "generators set before the check",
        was="    if missing:\n",
        now='    torch.set_rng_state(checkpoint["torch"])\n    random.setstate(checkpoint["python"])\n    if missing:\n',
        caught_by="test_a_missing_part_is_named_and_nothing_is_loaded",
        edge=True,
    ),
    Mistake(
        "a missing part passed over",
        was="    if missing:\n        raise ValueError(f\"{path} holds no state for {', '.join(missing)}\")",
        now="    wanted = {name: part for name, part in wanted.items() if name not in missing}",
        caught_by="test_a_missing_part_is_named_and_nothing_is_loaded",
        edge=True,
    ),
    Mistake(
        "an empty state taken for a missing one",
        was="if part is not None and name not in checkpoint]",
        now="if part is not None and not checkpoint.get(name)]",
        caught_by="test_an_empty_state_is_not_a_missing_one",
    ),
    Mistake(
        "map_location not passed on",
        was=LOAD,
        now="torch.load(path, weights_only=True)",
        caught_by="test_map_location_reaches_torch_load",
    ),
    Mistake(
        "code in the file is run",
        was="weights_only=True)\n    generators",
        now="weights_only=False)\n    generators",
        caught_by="test_code_in_a_file_is_not_run",
    ),
    # gradient_report
    Mistake(
        "the deviation of a sample",
        was="gradient.std(correction=0)",
        now="gradient.std()",
        caught_by="test_norm_mean_and_std_of_each_gradient",
    ),
    Mistake(
        "the sample's deviation, NaN replaced",
        was='"std": gradient.std(correction=0).item(),',
        now='"std": gradient.std().nan_to_num().item(),',
        caught_by="test_norm_mean_and_std_of_each_gradient",
    ),
    Mistake(
        "spectral norm of matrices",
        was="gradient.norm().item()",
        now="torch.linalg.norm(gradient, 2).item()",
        caught_by="test_norm_mean_and_std_of_each_gradient",
    ),
    Mistake(
        "mean of absolute values",
        was="gradient.mean().item()",
        now="gradient.abs().mean().item()",
        caught_by="test_one_element_has_no_spread",
    ),
    Mistake(
        "tensors in the report",
        was='"mean": gradient.mean().item(),',
        now='"mean": gradient.mean(),',
        caught_by="test_numbers_are_plain_floats",
    ),
    Mistake(
        "infinity wins",
        was=STATUS,
        now='status = "inf" if gradient.isinf().any() else "nan" if gradient.isnan().any() else "ok"',
        caught_by="test_nan_and_infinity_are_told",
    ),
    Mistake(
        "only plus infinity",
        was="gradient.isinf().any()",
        now="gradient.isposinf().any()",
        caught_by="test_nan_and_infinity_are_told",
    ),
    Mistake(
        "bad only if all are",
        was="gradient.isnan().any()",
        now="gradient.isnan().all()",
        caught_by="test_nan_and_infinity_are_told",
    ),
    Mistake(
        "zeros taken for a missing gradient",
        was="        if parameter.grad is None:\n            report",
        now="        if parameter.grad is None or not parameter.grad.any():\n            report",
        caught_by="test_no_gradient_is_missing",
    ),
    Mistake(
        "missing gradients left out",
        was='            report[name] = {"status": "missing", "norm": None, "mean": None, "std": None}\n',
        now="",
        caught_by="test_no_gradient_is_missing",
    ),
    Mistake(
        "missing gradients are 0",
        was='"norm": None, "mean": None, "std": None',
        now='"norm": 0.0, "mean": 0.0, "std": 0.0',
        caught_by="test_no_gradient_is_missing",
    ),
    Mistake(
        "frozen parameters in the report",
        was=FROZEN,
        now="",
        caught_by="test_frozen_parameters_are_left_out",
    ),
    Mistake(
        "gradients cleared after the report",
        was="    return report\n",
        now="    model.zero_grad()\n    return report\n",
        caught_by="test_the_report_changes_nothing",
    ),
    Mistake(
        "measured in half precision",
        was="parameter.grad.cpu().double()",
        now="parameter.grad.detach()",
        caught_by="test_half_precision_is_measured_in_a_wider_dtype",
        edge=True,
    ),
    # classify_error
    Mistake(
        "every text with a size in it is about shapes",
        was="if isinstance(error, (RuntimeError, ValueError)):",
        now="if True:",
        caught_by="test_everything_else_is_unknown",
    ),
    Mistake(
        "only RuntimeErrors",
        was="isinstance(error, (RuntimeError, ValueError))",
        now="isinstance(error, RuntimeError)",
        caught_by="test_shapes_that_do_not_fit",
    ),
    Mistake(
        "out of memory by its text",
        was="if isinstance(error, torch.OutOfMemoryError):",
        now='if "out of memory" in str(error):',
        caught_by="test_out_of_memory_is_known_by_its_class",
    ),
    Mistake(
        "one spelling of in-place",
        was='("inplace operation", "in-place operation")',
        now='("inplace operation",)',
        caught_by="test_what_backward_needs_was_overwritten",
    ),
    Mistake(
        "scalar taken for a dtype",
        was="in _PHRASES.items():",
        now='in [("dtype_mismatch", ("scalar", "dtype")), *_PHRASES.items()]:',
        caught_by="test_backward_on_several_elements",
    ),
    Mistake(
        "expected taken for a dtype",
        was="in _PHRASES.items():",
        now='in [("dtype_mismatch", ("expected", "dtype")), *_PHRASES.items()]:',
        caught_by="test_tensors_on_different_devices",
    ),
    Mistake(
        "only the GPU's device text",
        was='("same device", "expected device")',
        now='("same device",)',
        caught_by="test_tensors_on_different_devices",
    ),
    Mistake(
        "only the meta device's text",
        was='("same device", "expected device")',
        now='("expected device",)',
        caught_by="test_tensors_on_different_devices",
    ),
    Mistake(
        "a missing graph taken for a second backward",
        was='("a second time",)',
        now='("a second time", "grad_fn")',
        caught_by="test_backward_without_a_graph",
    ),
    Mistake(
        "only dtype, not scalar type",
        was='("dtype", "scalar type")',
        now='("dtype",)',
        caught_by="test_dtypes_that_do_not_fit",
    ),
    Mistake(
        "products only",
        was='("cannot be multiplied", "must match", "match target", "invalid for input of size")',
        now='("cannot be multiplied",)',
        caught_by="test_shapes_that_do_not_fit",
    ),
]

CUDA = "without a CUDA device there is no such state; with one test_a_run_moves_between_cpu_and_gpu fails"

EQUIVALENT = [
    Equivalent(
        was="right += (outputs.argmax(dim=-1) == targets).sum().item()",
        now="right += (outputs.argmax(dim=1) == targets).sum().item()",
        reason="outputs are (B, C): dim 1 is the last one",
    ),
    Equivalent(
        was='"cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],',
        now='"cuda": torch.cuda.get_rng_state_all(),',
        reason="without a CUDA device the list is empty as well",
    ),
    Equivalent(
        was='"cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],',
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
        was='for index, state in enumerate(checkpoint["cuda"][: torch.cuda.device_count()]):',
        now='for index, state in enumerate(checkpoint["cuda"][: ]):',
        reason="differs only on a machine with fewer CUDA devices than the one that saved",
    ),
    Equivalent(
        was='for index, state in enumerate(checkpoint["cuda"][: torch.cuda.device_count()]):',
        now="for index, state in []:",
        reason=CUDA,
    ),
    Equivalent(was="torch.cuda.set_rng_state(state.cpu(), index)", now="pass", reason=CUDA),
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
]
