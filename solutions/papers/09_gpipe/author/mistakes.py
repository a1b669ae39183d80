"""Wrong solutions of papers/09 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

MICRO = "micro = np.arange(num_micro + num_stages - 1)[:, None] - np.arange(num_stages)"
TABLE = "return np.where((micro >= 0) & (micro < num_micro), micro, -1)"
CUTS = "    best = {0: (0.0, [])}"
CLOCKS = """for clock, row in enumerate(
            schedule_numpy(len(self.stages), self.num_micro).tolist()
        ):
            for k, m in enumerate(row):"""
RUN = """return (
            checkpoint(stage, piece, use_reentrant=False)
            if self.recompute
            else stage(piece)
        )"""
SHARE = "share = len(inputs) / len(x)"
LOSS = """        loss = loss_fn(model(inputs), targets)
        (loss * share).backward()
        mean += loss.item() * share
    return mean"""
STEP = """        optimizer.zero_grad()
        losses.append(
            accumulate_gradients(model, x[rows], y[rows], F.cross_entropy, num_micro)
        )
        optimizer.step()"""

MISTAKES = [
    # schedule_numpy
    Mistake(
        "table transposed",
        was=TABLE,
        now=TABLE + ".T",
        caught_by="test_three_stages_and_four_micro_batches",
        says="one row per clock, one column per stage",
    ),
    Mistake(
        "stages in lockstep",
        was=MICRO,
        now="micro = np.tile(np.arange(num_micro)[:, None], (1, num_stages))",
        caught_by="test_three_stages_and_four_micro_batches",
        says="the stages run in lockstep",
    ),
    Mistake(
        "no check for the last micro-batch",
        was=TABLE,
        now="return np.where(micro >= 0, micro, -1)",
        caught_by="test_three_stages_and_four_micro_batches",
        says="looks like t − k, also after the last micro-batch",
    ),
    # bubble_fraction
    Mistake(
        "bubble (K-1)/M",
        was="return (num_stages - 1) / (num_micro + num_stages - 1)",
        now="return (num_stages - 1) / num_micro",
        caught_by="test_it_is_the_idle_share_of_the_timetable",
        says="looks like (K − 1) / M",
    ),
    # partition
    Mistake(
        "equal counts of layers",
        was=CUTS,
        now="""    parts = np.array_split(np.arange(len(costs)), num_stages)
    return [range(int(part[0]), int(part[-1]) + 1) for part in parts]
"""
        + CUTS,
        caught_by="test_costs_are_balanced_not_counts",
        says="the layers were counted, not their costs",
    ),
    Mistake(
        "stages filled up to their share",
        was=CUTS,
        now="""    stages, start = [], 0
    for k in range(num_stages - 1):
        stop = start + 1
        last = len(costs) - (num_stages - 1 - k)
        while stop < last and sum(costs[start:stop]) < sum(costs) / num_stages:
            stop += 1
        stages.append(range(start, stop))
        start = stop
    return [*stages, range(start, len(costs))]
"""
        + CUTS,
        caught_by="test_no_other_cut_is_better",
        says="filled up greedily, from the left",
    ),
    # Pipeline
    Mistake(
        "micro-batch by micro-batch",
        was=CLOCKS,
        now="""for m in range(self.num_micro):
            first = m * len(self.stages)
            for clock, k in enumerate(range(len(self.stages)), start=first):""",
        caught_by="test_the_trace_follows_the_timetable",
        says="looks like one micro-batch at a time, through all stages",
    ),
    Mistake(
        "chunk",
        was="pieces = list(x.tensor_split(self.num_micro))",
        now="pieces = [*x.chunk(self.num_micro), x[:0]]",
        caught_by="test_the_trace_is_what_happened",
        says="looks like the pieces of chunk, and an empty one",
    ),
    Mistake(
        "the trace only grows",
        was="        self.trace = []\n        for clock",
        now="        for clock",
        caught_by="test_the_trace_is_that_of_the_last_forward",
        says="12 entries after the second forward, expected 3 · 2",
    ),
    Mistake(
        "detached stage inputs",
        was="self._run(self.stages[k], pieces[m])",
        now="self._run(self.stages[k], pieces[m].detach())",
        caught_by="test_gradients_reach_every_stage",
        says="a stage's input was detached",
    ),
    Mistake(
        "no stage is registered, as in a plain list",
        was="self.stages = nn.ModuleList(stages)",
        now="self.stages = list(stages)",
        caught_by="test_the_stages_are_parts_of_the_module",
        says="looks like no stage is registered, as in a plain list",
    ),
    Mistake(
        "recompute is ignored",
        was=RUN,
        now="return stage(piece)",
        caught_by="test_recompute_runs_each_stage_again",
        says="looks like recompute is ignored: nothing runs again",
    ),
    Mistake(
        "recompute without the random state",
        was="checkpoint(stage, piece, use_reentrant=False)",
        now="checkpoint(stage, piece, use_reentrant=False, preserve_rng_state=False)",
        caught_by="test_recompute_keeps_the_dropout_masks",
        says="gradient of x, through the masks of the first run",
    ),
    # accumulate_gradients
    Mistake(
        "divided by M with uneven parts",
        was=SHARE,
        now="share = 1 / num_micro",
        caught_by="test_uneven_micro_batches_give_the_gradients_of_the_full_batch",
        says="looks like every piece weighted 1 / M",
    ),
    Mistake(
        "losses not weighted",
        was="(loss * share).backward()",
        now="loss.backward()",
        caught_by="test_uneven_micro_batches_give_the_gradients_of_the_full_batch",
        says="looks like the losses of the pieces summed, without weights",
    ),
    Mistake(
        "the weighted loss of the last piece returned",
        was="mean += loss.item() * share",
        now="mean = loss.item()",
        caught_by="test_the_loss_is_the_mean_over_the_full_batch",
        says="looks like the last piece's mean",
    ),
    Mistake(
        "zero_grad inside accumulate_gradients",
        was="    mean = 0.0\n",
        now="    mean = 0.0\n    model.zero_grad()\n",
        caught_by="test_gradients_add_to_what_is_there",
        says="looks like the old gradient was cleared",
    ),
    Mistake(
        "a step of descent inside",
        was=LOSS,
        now=LOSS.replace(
            "    return mean",
            "    with torch.no_grad():\n"
            "        [p.sub_(0.05 * p.grad) for p in model.parameters()]\n"
            "    return mean",
        ),
        caught_by="TestAccumulateGradients::test_no_parameter_changes",
        says="weight",
    ),
    Mistake(
        "one backward at the end",
        was=LOSS,
        now="""        mean = mean + loss_fn(model(inputs), targets) * share
    mean.backward()
    return mean.item()""",
        caught_by="test_each_micro_batch_goes_back_before_the_next_one",
        says="looks like one backward, at the end",
    ),
    # train_pipeline
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "an optimizer step per micro-batch",
        was=STEP,
        now="""        total = 0.0
        for part in rows.tensor_split(num_micro):
            optimizer.zero_grad()
            mean = accumulate_gradients(model, x[part], y[part], F.cross_entropy, 1)
            total += mean * len(part) / batch
            optimizer.step()
        losses.append(total)""",
        caught_by="test_every_step_is_that_of_the_optimizer",
        says="looks like an update per micro-batch",
    ),
    Mistake(
        "num_micro not passed on",
        was="F.cross_entropy, num_micro)\n        )",
        now="F.cross_entropy, 1))",
        caught_by="test_each_step_reads_one_batch_in_micro_batches",
        says="looks like whole batches",
    ),
    # edges
    Mistake(
        "more micro-batches than rows",
        was="        if len(x) < self.num_micro:",
        now="        if False:",
        caught_by="test_too_many_micro_batches_are_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "no call of train()",
        was="    model.train()\n",
        now="",
        caught_by="test_the_mode_is_training_and_stays",
        says="of model.training, during the steps and afterwards",
        edge=True,
    ),
    Mistake(
        "cleared after the step only",
        was=STEP,
        now=STEP.replace("        optimizer.zero_grad()\n", "")
        + "\n        optimizer.zero_grad()",
        caught_by="test_old_gradients_have_no_effect",
        says="of linear.weight after one step",
        edge=True,
    ),
]

UNASKED = {"train_pipeline: x, never negative": "grey levels, or numbers of rows"}

EQUIVALENT = [
    Equivalent(
        was="return np.where((micro >= 0) & (micro < num_micro), micro, -1)",
        now="return np.where((micro >= -1) & (micro < num_micro), micro, -1)",
        reason="micro-batch -1 is the mark of none",
        textbook=True,
    ),
    Equivalent(
        was="if largest < smallest:",
        now="if largest <= smallest:",
        reason="any best cut will do",
        textbook=True,
    ),
]
