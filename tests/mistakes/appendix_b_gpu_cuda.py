"""Wrong solutions of appendix B that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

BEST = "return torch.device(next(kind for kind, is_there in available.items() if is_there()))"
WISH = """    if not available[device.type]():
        raise ValueError(f"there is no {preferred!r} on this machine")
"""
TO = """    if hasattr(obj, "to"):
        return obj.to(device, non_blocking=non_blocking)
"""
DICTS = "return type(obj)({key: move_to(value, device, non_blocking=non_blocking) for key, value in obj.items()})"
REBUILT = 'return type(obj)(*moved) if hasattr(obj, "_fields") else type(obj)(moved)'
WINDOWS = "while window := list(islice(batches, accumulation_steps)):"
WEIGHTED = "loss = loss_fn(model(inputs.to(device)), targets.to(device)) * (len(inputs) / samples)"
WINDOW_START = """        optimizer.zero_grad()
        window_loss = 0.0
"""
AMP_FORWARD = """    optimizer.zero_grad()
    with torch.autocast(device_type, dtype=dtype):
        loss = loss_fn(model(inputs), targets)
    if scaler is None:
        loss.backward()
    else:
        scaler.scale(loss).backward()
"""
CLIP = """        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
"""
SCALED_STEP = """        scaler.step(optimizer)
        scaler.update()
    return loss.item()
"""
OOM_LOOP = """        optimizer.zero_grad()
        loss = _accumulate(model, inputs, targets, loss_fn, size)
        if loss is not None:
            optimizer.step()
            return loss, size
        optimizer.zero_grad()
        (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
"""
PIECES = "loss = loss_fn(model(x), y) * (len(x) / len(inputs))"
CAUGHT = """    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            return None
        raise
    return total
"""
PROFILE = """    del result
    stages.append(_memory("deleted", cuda))
    cuda.empty_cache()
    stages.append(_memory("emptied", cuda))
"""
TIMED = """    for _ in range(repeats):
        wait()
        start = timer()
        fn()
        wait()
        times.append(timer() - start)
"""
MEASURED = "workload, warmup=warmup, repeats=repeats, synchronize=lambda on=device: synchronize(on), timer=timer"
SPEEDUP = '{"median": median, "speedup": first / median}'

MISTAKES = [
    # select_device
    Mistake(
        "cuda or the CPU, nothing else",
        was=BEST,
        now='return torch.device("cuda" if available["cuda"]() else "cpu")',
        caught_by="test_the_best_there_is",
    ),
    Mistake(
        '"auto" taken for a wish',
        was='if preferred is None or preferred == "auto":',
        now="if preferred is None:",
        caught_by="test_auto_is_no_wish",
    ),
    Mistake(
        "the index is lost",
        was="""        raise ValueError(f"there is no {preferred!r} on this machine")
    return device
""",
        now="""        raise ValueError(f"there is no {preferred!r} on this machine")
    return torch.device(device.type)
""",
        caught_by="test_a_wish_keeps_its_index",
    ),
    Mistake(
        "an unavailable wish silently becomes the CPU",
        was=WISH,
        now="""    if not available[device.type]():
        return torch.device("cpu")
""",
        caught_by="test_an_unavailable_wish_is_an_error",
        edge=True,
    ),
    Mistake(
        "any GPU will do for a wish",
        was="if not available[device.type]():",
        now='if device.type != "cpu" and not (available["cuda"]() or available["mps"]()):',
        caught_by="test_an_unavailable_wish_is_an_error",
        edge=True,
    ),
    Mistake(
        "asks how torch was built, not what the machine has",
        was='"cuda": torch.cuda.is_available if cuda_available is None else cuda_available,',
        now='"cuda": torch.backends.cuda.is_built if cuda_available is None else cuda_available,',
        caught_by="test_by_default_torch_is_asked_in_every_call",
        edge=True,
    ),
    Mistake(
        "the message does not say what was wished for",
        was='raise ValueError(f"{preferred!r} is no device") from None',
        now='raise ValueError("no such device") from None',
        caught_by="test_text_that_is_no_device_is_named",
        edge=True,
    ),
    # move_to
    Mistake(
        "only tensors move",
        was=TO,
        now=TO.replace('hasattr(obj, "to")', "isinstance(obj, Tensor)"),
        caught_by="test_whatever_has_a_to_is_moved_by_it",
    ),
    Mistake(
        "containers first: a PackedSequence is taken apart",
        was=TO,
        now=TO.replace('hasattr(obj, "to")', 'hasattr(obj, "to") and not isinstance(obj, tuple)'),
        caught_by="test_a_packed_sequence_keeps_its_sizes_on_the_cpu",
    ),
    Mistake(
        "non_blocking is lost in lists",
        was="moved = [move_to(value, device, non_blocking=non_blocking) for value in obj]",
        now="moved = [move_to(value, device) for value in obj]",
        caught_by="test_non_blocking_is_passed_on",
    ),
    Mistake(
        "a copy, also where the tensor is already",
        was=TO,
        now=TO.replace("return obj", "if isinstance(obj, Tensor):\n            obj = obj.clone()\n        return obj"),
        caught_by="test_a_tensor_already_there_is_not_copied",
    ),
    Mistake(
        "written into the caller's dict",
        was=f"        {DICTS}\n",
        now="""        for key, value in obj.items():
            obj[key] = move_to(value, device, non_blocking=non_blocking)
        return obj
""",
        caught_by="test_the_containers_given_are_not_changed",
    ),
    Mistake(
        "an OrderedDict becomes a dict",
        was=DICTS,
        now=DICTS.replace("type(obj)(", "dict("),
        caught_by="test_dicts_keep_their_type_and_order",
    ),
    Mistake(
        "one level only",
        was="moved = [move_to(value, device, non_blocking=non_blocking) for value in obj]",
        now="moved = [v.to(device, non_blocking=non_blocking) if hasattr(v, 'to') else v for v in obj]",
        caught_by="test_every_level_moves",
    ),
    Mistake(
        "a namedtuple made from one list",
        was=REBUILT,
        now="return type(obj)(moved)",
        caught_by="test_a_namedtuple_keeps_its_class",
    ),
    Mistake(
        "a tuple becomes a list",
        was=REBUILT,
        now='return type(obj)(*moved) if hasattr(obj, "_fields") else moved',
        caught_by="test_a_list_and_a_tuple_keep_their_type",
    ),
    Mistake(
        "text is taken for a list",
        was="if isinstance(obj, (list, tuple)):",
        now="if isinstance(obj, (list, tuple)) or (isinstance(obj, str) and len(obj) > 1):",
        caught_by="test_anything_else_comes_back_as_it_is",
    ),
    # accumulated_epoch
    Mistake(
        "the shorter last window is lost",
        was=WINDOWS,
        now="while len(window := list(islice(batches, accumulation_steps))) == accumulation_steps:",
        caught_by="test_what_is_left_over_gets_its_step",
    ),
    Mistake(
        "losses divided by accumulation_steps",
        was=WEIGHTED,
        now=WEIGHTED.replace("* (len(inputs) / samples)", "/ accumulation_steps"),
        caught_by="test_unequal_batches_count_by_their_size",
    ),
    Mistake(
        "gradients added up",
        was=WEIGHTED,
        now=WEIGHTED.replace(" * (len(inputs) / samples)", ""),
        caught_by="test_a_window_is_one_step_on_its_joined_batches",
    ),
    Mistake(
        "gradients cleared for every batch",
        was="        for inputs, targets in window:\n",
        now="        for inputs, targets in window:\n            optimizer.zero_grad()\n",
        caught_by="test_a_window_is_one_step_on_its_joined_batches",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=WINDOW_START,
        now=WINDOW_START.replace("optimizer.zero_grad()", "if losses:\n            optimizer.zero_grad()"),
        caught_by="TestAccumulatedEpoch::test_stale_gradients_have_no_influence",
    ),
    Mistake(
        "the last batch's loss for the window's",
        was="window_loss += loss.item()",
        now="window_loss = loss.item()",
        caught_by="test_the_loss_of_each_window",
    ),
    Mistake(
        "the window's batches joined to one",
        was="        for inputs, targets in window:\n",
        now="        for inputs, targets in [tuple(map(torch.cat, zip(*window)))]:\n",
        caught_by="test_one_graph_at_a_time",
    ),
    Mistake("train mode forgotten", was="    model.train()\n", now="", caught_by="test_the_model_trains"),
    Mistake(
        "targets are not moved",
        was=WEIGHTED,
        now=WEIGHTED.replace("targets.to(device)", "targets"),
        caught_by="test_batches_are_moved_to_the_device",
    ),
    Mistake(
        "a loader must have a length",
        was="    batches = iter(loader)\n",
        now="    batches = iter([loader[i] for i in range(len(loader))])\n",
        caught_by="test_a_loader_may_be_used_up_by_one_pass",
    ),
    Mistake(
        "windows of 0 batches go through",
        was="    if accumulation_steps < 1:\n",
        now="    if accumulation_steps < 0:\n",
        caught_by="test_a_window_holds_at_least_one_batch",
        edge=True,
    ),
    # amp_train_step
    Mistake(
        "autocast forgotten",
        was="with torch.autocast(device_type, dtype=dtype):",
        now="with torch.enable_grad():",
        caught_by="test_the_forward_pass_runs_in_half_precision",
    ),
    Mistake(
        "the loss outside autocast",
        was="        loss = loss_fn(model(inputs), targets)\n    if scaler is None:",
        now="        outputs = model(inputs)\n    loss = loss_fn(outputs, targets)\n    if scaler is None:",
        caught_by="test_forward_and_loss_are_under_autocast_and_nothing_else",
    ),
    Mistake(
        "the backward pass under autocast",
        was=AMP_FORWARD,
        now="""    optimizer.zero_grad()
    with torch.autocast(device_type, dtype=dtype):
        loss = loss_fn(model(inputs), targets)
        if scaler is None:
            loss.backward()
        else:
            scaler.scale(loss).backward()
""",
        caught_by="test_forward_and_loss_are_under_autocast_and_nothing_else",
    ),
    Mistake(
        "the model itself in half precision",
        was=AMP_FORWARD,
        now=AMP_FORWARD.replace("loss = loss_fn(model(inputs)", "loss = loss_fn(model.to(dtype)(inputs.to(dtype))"),
        caught_by="test_weights_remain_float32",
    ),
    Mistake(
        "the loss is not scaled",
        was="scaler.scale(loss).backward()",
        now="loss.backward()",
        caught_by="test_the_scaler_is_called_in_order",
    ),
    Mistake(
        "clipped before unscale_",
        was=CLIP,
        now="""        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        if scaler is not None:
            scaler.unscale_(optimizer)
""",
        caught_by="test_clipping_sees_unscaled_gradients",
    ),
    Mistake(
        "each parameter clipped by itself",
        was="        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n",
        now="        for p in model.parameters():\n            nn.utils.clip_grad_norm_(p, max_grad_norm)\n",
        caught_by="test_clipping_without_a_scaler",
    ),
    Mistake(
        "scaler.update forgotten",
        was=SCALED_STEP,
        now=SCALED_STEP.replace("        scaler.update()\n", ""),
        caught_by="test_the_scaler_is_called_in_order",
    ),
    Mistake(
        "update before the step",
        was=SCALED_STEP,
        now="""        scaler.update()
        scaler.step(optimizer)
    return loss.item()
""",
        caught_by="test_the_scaler_is_called_in_order",
    ),
    Mistake(
        "optimizer.step() besides scaler.step",
        was=SCALED_STEP,
        now=SCALED_STEP.replace("        scaler.update()", "        optimizer.step()\n        scaler.update()"),
        caught_by="test_a_scaler_that_skips_leaves_the_weights_alone",
    ),
    Mistake(
        "optimizer.step() in place of scaler.step",
        was=SCALED_STEP,
        now=SCALED_STEP.replace("scaler.step(optimizer)", "scaler.unscale_(optimizer)\n        optimizer.step()"),
        caught_by="test_a_scaler_that_skips_leaves_the_weights_alone",
    ),
    Mistake(
        "the scaled loss is returned",
        was="        scaler.scale(loss).backward()\n    if max",
        now="        loss = scaler.scale(loss)\n        loss.backward()\n    if max",
        caught_by="test_the_loss_comes_back_unscaled",
    ),
    Mistake(
        "gradients not cleared",
        was=AMP_FORWARD,
        now=AMP_FORWARD.replace("    optimizer.zero_grad()\n", ""),
        caught_by="TestAmpTrainStep::test_stale_gradients_have_no_influence",
    ),
    # oom_safe_step
    Mistake(
        "any error counts as out of memory",
        was=CAUGHT,
        now="    except Exception:\n        return None\n    return total\n",
        caught_by="test_other_errors_are_not_tried_again",
    ),
    Mistake(
        "only torch.OutOfMemoryError is known",
        was='if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):',
        now="if isinstance(error, torch.OutOfMemoryError):",
        caught_by="test_both_kinds_of_out_of_memory_are_known",
    ),
    Mistake(
        "known by the text alone",
        was='isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)',
        now='"out of memory" in str(error)',
        caught_by="test_both_kinds_of_out_of_memory_are_known",
    ),
    Mistake(
        "the backward pass outside the try",
        was="""            loss = loss_fn(model(x), y) * (len(x) / len(inputs))
            loss.backward()
            total += loss.item()
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            return None
        raise
    return total
""",
        now="""            losses = [*locals().get("losses", []), loss_fn(model(x), y) * (len(x) / len(inputs))]
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error):
            return None
        raise
    for loss in losses:
        loss.backward()
    return sum(loss.item() for loss in losses)
""",
        caught_by="test_memory_that_runs_out_in_the_backward_pass",
    ),
    Mistake(
        "one row less, not half",
        was="        size //= 2\n",
        now="        size -= 1\n",
        caught_by="test_out_of_memory_halves_the_size",
    ),
    Mistake(
        "pieces counted the same",
        was=PIECES,
        now="loss = loss_fn(model(x), y) / len(inputs.split(size))",
        caught_by="test_pieces_add_up_to_the_whole_batch",
    ),
    Mistake(
        "the gradients of a failed attempt are kept",
        was=OOM_LOOP,
        now=OOM_LOOP.replace("        optimizer.zero_grad()\n        loss", "        loss").replace(
            "        optimizer.zero_grad()\n        (torch", "        (torch"
        ),
        caught_by="test_memory_that_runs_out_in_a_later_piece",
    ),
    Mistake(
        "gradients dropped after the cache is emptied",
        was=OOM_LOOP,
        now=OOM_LOOP.replace("        optimizer.zero_grad()\n        (torch", "        (torch"),
        caught_by="test_gradients_are_dropped_before_the_cache_is_emptied",
    ),
    Mistake(
        "the cache is emptied inside the except block",
        was=OOM_LOOP,
        now="""        optimizer.zero_grad()
        try:
            total = 0.0
            for x, y in zip(inputs.split(size), targets.split(size), strict=True):
                loss = loss_fn(model(x), y) * (len(x) / rows)
                loss.backward()
                total += loss.item()
            optimizer.step()
            return total, size
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
                raise
            optimizer.zero_grad()
            (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
""",
        caught_by="test_nothing_of_a_failed_attempt_is_alive_when_the_cache_is_emptied",
    ),
    Mistake(
        "variables of the failed attempt outlive it",
        was=OOM_LOOP,
        now="""        optimizer.zero_grad()
        total, failed = 0.0, False
        try:
            for x, y in zip(inputs.split(size), targets.split(size), strict=True):
                outputs = model(x)
                (loss_fn(outputs, y) * (len(x) / rows)).backward()
                total += loss_fn(outputs, y).item() * (len(x) / rows)
        except RuntimeError as error:
            if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
                raise
            failed = True
        if not failed:
            optimizer.step()
            return total, size
        optimizer.zero_grad()
        (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
""",
        caught_by="test_nothing_of_a_failed_attempt_is_alive_when_the_cache_is_emptied",
    ),
    Mistake(
        "goes on at the row that failed",
        was=OOM_LOOP,
        now="""        optimizer.zero_grad()
        start, total = 0, 0.0
        while start < rows and size:
            part = slice(start, start + size)
            loss = _accumulate(model, inputs[part], targets[part], lambda o, y: loss_fn(o, y) * (len(y) / rows), size)
            if loss is None:
                (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
                size //= 2
            else:
                total, start = total + loss, start + size
        if size:
            optimizer.step()
            return total, size
""",
        caught_by="test_memory_that_runs_out_in_the_backward_pass",
    ),
    Mistake(
        "the cache is never emptied",
        was="        (torch.cuda.empty_cache if empty_cache is None else empty_cache)()\n",
        now="",
        caught_by="test_out_of_memory_halves_the_size",
    ),
    Mistake(
        "no cache by default",
        was="(torch.cuda.empty_cache if empty_cache is None else empty_cache)()",
        now="(empty_cache or _nothing)()",
        caught_by="test_by_default_torchs_cache_is_emptied",
    ),
    Mistake(
        "a size beyond the batch is halved as it is",
        was="min(micro_batch_size, rows)",
        now="micro_batch_size",
        caught_by="test_a_size_beyond_the_batch_is_the_whole_batch",
    ),
    Mistake(
        "gives up without an error",
        was='    raise torch.OutOfMemoryError("out of memory with a single row")\n',
        now='    return float("nan"), 0\n',
        caught_by="test_a_single_row_that_does_not_fit",
        edge=True,
    ),
    # profile_empty_cache
    Mistake(
        "the result stays alive",
        was="    del result\n",
        now="",
        caught_by="test_deleting_frees_what_is_allocated",
    ),
    Mistake(
        "empty_cache before the deletion",
        was=PROFILE,
        now="""    cuda.empty_cache()
    del result
    stages.append(_memory("deleted", cuda))
    stages.append(_memory("emptied", cuda))
""",
        caught_by="test_only_empty_cache_lowers_what_is_reserved",
    ),
    Mistake(
        "does not wait before it reads",
        was="    cuda.synchronize()\n",
        now="",
        caught_by="test_each_reading_waits_for_the_device",
    ),
    Mistake(
        "built twice",
        was="    result = build()\n",
        now="    build()\n    result = build()\n",
        caught_by="test_build_is_called_once",
    ),
    # benchmark
    Mistake(
        "the clock read before the work is done",
        was=TIMED,
        now=TIMED.replace("        fn()\n        wait()\n", "        fn()\n"),
        caught_by="test_times_of_each_call",
    ),
    Mistake(
        "no wait after the warm-up",
        was=TIMED,
        now=TIMED.replace("        wait()\n        start", "        start"),
        caught_by="test_warm_up_calls_are_not_timed",
    ),
    Mistake(
        "warm-up calls are timed",
        was=TIMED,
        now=TIMED.replace("range(repeats)", "range(warmup + repeats)"),
        caught_by="test_warm_up_calls_are_not_timed",
    ),
    Mistake(
        "total / repeats for each",
        was='    return {"times": times, "min"',
        now='    times = [sum(times) / repeats] * repeats\n    return {"times": times, "min"',
        caught_by="test_times_of_each_call",
    ),
    Mistake(
        "the median of unsorted times",
        was='"median": statistics.median(times)',
        now='"median": (times[(repeats - 1) // 2] + times[repeats // 2]) / 2',
        caught_by="test_min_mean_and_median",
    ),
    Mistake(
        "synchronize must be given",
        was="    wait = synchronize or _nothing\n",
        now="    wait = synchronize\n",
        caught_by="test_there_may_be_nothing_to_wait_for",
    ),
    Mistake(
        "fewer than no warm-up calls go through",
        was="if repeats < 1 or warmup < 0:",
        now="if repeats < 1:",
        caught_by="test_at_least_one_call_is_measured",
        edge=True,
    ),
    # compare_devices
    Mistake(
        "the workload is made inside the timed function",
        was="            workload, warmup",
        now="            lambda on=device: make_workload(on)(), warmup",
        caught_by="test_medians_and_speedups",
    ),
    Mistake(
        "the mean for the median",
        was='medians[str(device)] = measured["median"]',
        now='medians[str(device)] = measured["mean"]',
        caught_by="test_medians_and_speedups",
    ),
    Mistake(
        "speedup upside down",
        was=SPEEDUP,
        now='{"median": median, "speedup": median / first}',
        caught_by="test_medians_and_speedups",
    ),
    Mistake(
        "always compared with the CPU",
        was="first = next(iter(medians.values()))",
        now='first = medians["cpu"]',
        caught_by="test_devices_are_text_or_objects_and_keep_their_order",
    ),
    Mistake(
        "waits for the first device, always",
        was=MEASURED,
        now=MEASURED.replace("synchronize(on)", "synchronize(torch.device(devices[0]))"),
        caught_by="test_the_device_being_measured_is_waited_for",
    ),
    Mistake(
        "devices handed over as text",
        was="for device in map(torch.device, devices):",
        now="for device in devices:",
        caught_by="test_each_workload_is_made_once",
    ),
    Mistake(
        "warm-up and repeats are not passed on",
        was=MEASURED,
        now=MEASURED.replace("warmup=warmup, repeats=repeats, ", ""),
        caught_by="test_medians_and_speedups",
    ),
    Mistake(
        "no devices, no error",
        was='    if not devices:\n        raise ValueError("there are no devices to compare")\n',
        now="    if not devices:\n        return {}\n",
        caught_by="test_no_devices_are_refused",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(was="if rows == 0:", now="if rows <= 0:", reason="len is never negative"),
    Equivalent(
        was="if repeats < 1 or warmup < 0:",
        now="if warmup < 0:",
        reason="without times, min raises the ValueError that is promised",
    ),
    Equivalent(
        was="if repeats < 1 or warmup < 0:",
        now="if repeats < 0 or warmup < 0:",
        reason="without times, min raises the ValueError that is promised",
    ),
]
