"""Wrong solutions of appendix B that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

BEST = """return torch.device(
            next(kind for kind, is_there in available.items() if is_there())
        )"""
WISH = """    if not available[device.type]():
        raise ValueError(f"there is no {preferred!r} on this machine")
    return device
"""
TO = """    if hasattr(obj, "to"):
        return obj.to(device, non_blocking=non_blocking)
"""
DICTS = """return type(obj)(
            {
                key: move_to(value, device, non_blocking=non_blocking)
                for key, value in obj.items()
            }
        )"""
REBUILT = 'return type(obj)(*moved) if hasattr(obj, "_fields") else type(obj)(moved)'
WINDOWS = "while window := list(islice(batches, accumulation_steps)):"
WEIGHTED = """loss = loss_fn(model(inputs.to(device)), targets.to(device)) * (
                len(inputs) / samples
            )"""
WINDOW_START = """        optimizer.zero_grad()
        window_loss = 0.0
"""
CLIP = """        if scaler is not None:
            scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
"""
SCALED_STEP = """        scaler.step(optimizer)
        scaler.update()
    return loss.item()
"""
PIECES = "loss = loss_fn(model(x), y) * (len(x) / len(inputs))"
AFTER_A_FAILURE = """                optimizer.zero_grad()
                raise
        optimizer.zero_grad()
        (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
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
SPEEDUP = '{"median": median, "speedup": first / median}'

MISTAKES = [
    # select_device
    Mistake(
        "cuda or the CPU, nothing else",
        was=BEST,
        now='return torch.device("cuda" if available["cuda"]() else "cpu")',
        caught_by="test_the_best_there_is",
        says="looks like cuda or the CPU, and mps forgotten",
    ),
    Mistake(
        "an unavailable device silently becomes the CPU",
        was=WISH,
        now="""    return device if available[device.type]() else torch.device("cpu")
""",
        caught_by="test_an_unavailable_device_is_an_error",
        says="raised nothing",
    ),
    Mistake(
        "the index is lost",
        was=WISH,
        now=WISH.replace("return device", "return torch.device(device.type)"),
        caught_by="test_the_preferred_device_is_chosen",
        says="looks like the index is lost",
    ),
    # move_to
    Mistake(
        "only tensors move",
        was=TO,
        now=TO.replace('hasattr(obj, "to")', "isinstance(obj, Tensor)"),
        caught_by="test_whatever_has_a_to_is_moved_by_it",
        says="looks like tensors alone are moved",
    ),
    Mistake(
        "written into the caller's dict",
        was=f"        {DICTS}\n",
        now="""        for key, value in obj.items():
            obj[key] = move_to(value, device, non_blocking=non_blocking)
        return obj
""",
        caught_by="test_every_level_moves",
        says="the batch passed in, which must not change",
    ),
    Mistake(
        "a tuple becomes a list",
        was=REBUILT,
        now='return type(obj)(*moved) if hasattr(obj, "_fields") else moved',
        caught_by="test_containers_keep_their_type",
        says="a tuple was expected",
    ),
    Mistake(
        "a namedtuple made from one list",
        was=REBUILT,
        now="return type(obj)(moved)",
        caught_by="test_a_namedtuple_keeps_its_class",
        says="missing 1 required positional argument: 'right'",
        edge=True,
    ),
    # accumulated_epoch
    Mistake(
        "the shorter last window is lost",
        was=WINDOWS,
        now=(
            "while len(window := list(islice(batches, accumulation_steps))) == "
            "accumulation_steps:"
        ),
        caught_by="test_what_is_left_over_gets_its_step",
        says="looks like the shorter last window was dropped",
    ),
    Mistake(
        "losses divided by accumulation_steps",
        was=WEIGHTED,
        now=(
            "loss = loss_fn(model(inputs.to(device)), targets.to(device)) / "
            "accumulation_steps"
        ),
        caught_by="test_unequal_batches_count_by_their_size",
        says="looks like every batch counted the same",
    ),
    Mistake(
        "gradients added up",
        was=WEIGHTED,
        now="loss = loss_fn(model(inputs.to(device)), targets.to(device))",
        caught_by="test_a_window_is_one_step_on_its_joined_batches",
        says="looks like the gradients of a window added up, not averaged",
    ),
    Mistake(
        "the window's batches joined to one",
        was="        for inputs, targets in window:\n",
        now="        for inputs, targets in [tuple(map(torch.cat, zip(*window)))]:\n",
        caught_by="test_one_graph_at_a_time_in_train_mode",
        says="looks like the batches of a window joined to one",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=WINDOW_START,
        now=WINDOW_START.replace(
            "optimizer.zero_grad()", "if losses:\n            optimizer.zero_grad()"
        ),
        caught_by="TestAccumulatedEpoch::test_stale_gradients_have_no_influence",
        says="looks like cleared after a step only",
        edge=True,
    ),
    # amp_train_step
    Mistake(
        "clipped before unscale_",
        was=CLIP,
        now="""        nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
        if scaler is not None:
            scaler.unscale_(optimizer)
""",
        caught_by="test_clipping_sees_unscaled_gradients",
        says="looks like clipped before unscale_",
    ),
    Mistake(
        "optimizer.step() besides scaler.step",
        was=SCALED_STEP,
        now=SCALED_STEP.replace(
            "        scaler.update()",
            "        optimizer.step()\n        scaler.update()",
        ),
        caught_by="test_with_a_scaler_the_step_is_the_same",
        says="looks like two steps in place of one",
    ),
    Mistake(
        "the scaled loss is returned",
        was="        scaler.scale(loss).backward()\n    if max",
        now="        loss = scaler.scale(loss)\n        loss.backward()\n    if max",
        caught_by="test_with_a_scaler_the_step_is_the_same",
        says="looks like still scaled",
    ),
    # is_out_of_memory, accumulate_gradients, oom_safe_step
    Mistake(
        "only torch.OutOfMemoryError is known",
        was=""" or (
        isinstance(error, RuntimeError) and "out of memory" in str(error)
    )""",
        now="",
        caught_by="test_by_type_or_by_text",
        says="got False expected True",
    ),
    Mistake(
        "pieces counted the same",
        was=PIECES,
        now="loss = loss_fn(model(x), y) / len(inputs.split(micro_batch_size))",
        caught_by="test_pieces_count_by_their_rows",
        says="looks like every piece counted the same",
    ),
    Mistake(
        "the gradients of a failed attempt are kept",
        was="""    while True:
        optimizer.zero_grad()
        try:
            loss = accumulate_gradients(model, inputs, targets, loss_fn, size)
            optimizer.step()
            return loss, size
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                optimizer.zero_grad()
                raise
        optimizer.zero_grad()
""",
        now="""    optimizer.zero_grad()
    while True:
        try:
            loss = accumulate_gradients(model, inputs, targets, loss_fn, size)
            optimizer.step()
            return loss, size
        except RuntimeError as error:
            if size == 1 or not is_out_of_memory(error):
                optimizer.zero_grad()
                raise
""",
        caught_by="test_memory_that_runs_out_in_a_later_piece",
        says="looks like the first rows counted twice",
    ),
    Mistake(
        "the cache is emptied inside the except block",
        was=AFTER_A_FAILURE,
        now="""                raise
            optimizer.zero_grad()
            (torch.cuda.empty_cache if empty_cache is None else empty_cache)()
        size //= 2
""",
        caught_by="test_nothing_of_a_failed_attempt_is_alive_when_the_cache_is_emptied",
        says=(
            "tensors of failed attempts still alive, at the calls of empty_cache, [0] "
            "got 1"
        ),
    ),
    # profile_empty_cache
    Mistake(
        "the result stays alive",
        was="    del result\n",
        now="",
        caught_by="test_deleting_frees_what_is_allocated",
        says="looks like the object is still alive",
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
        says="looks like empty_cache called before the deletion, or not at all",
    ),
    # benchmark
    Mistake(
        "the clock read before the work is done",
        was=TIMED,
        now=TIMED.replace("        fn()\n        wait()\n", "        fn()\n"),
        caught_by="test_times_of_each_call",
        says="looks like the clock read before the work was done",
    ),
    Mistake(
        "no wait after the warm-up",
        was=TIMED,
        now=TIMED.replace("        wait()\n        start", "        start"),
        caught_by="test_warm_up_calls_are_not_timed",
        says="looks like no wait after the warm-up",
    ),
    # compare_devices
    Mistake(
        "the workload is made inside the timed function",
        was="            workload,\n            warmup",
        now="            lambda on=device: make_workload(on)(), warmup",
        caught_by="test_medians_and_speedups",
        says="looks like set up within the measurement",
    ),
    Mistake(
        "speedup upside down",
        was=SPEEDUP,
        now='{"median": median, "speedup": median / first}',
        caught_by="test_medians_and_speedups",
        says="looks like own time / the first device's",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="if rows == 0:", now="if rows <= 0:", reason="len is never negative"
    ),
    Equivalent(
        was="if repeats < 1 or warmup < 0:",
        now="if warmup < 0:",
        reason="without times, min raises a ValueError, too",
    ),
    Equivalent(
        was="if repeats < 1 or warmup < 0:",
        now="if repeats < 0 or warmup < 0:",
        reason="without times, min raises a ValueError, too",
    ),
    Equivalent(
        was="if not is_out_of_memory(error) or size == 1:",
        now="if not is_out_of_memory(error) or size == 0:",
        reason="a single row that does not fit is asked at the edges alone",
        textbook=True,
    ),
]
