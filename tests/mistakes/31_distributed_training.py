"""Wrong solutions of 31 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

IS_MAIN = "return self.rank == 0"
ENV = "env = os.environ if env is None else env"
NO_RANK = '    if "RANK" not in env:\n'
READ = 'DistInfo(int(env["RANK"]), int(env["LOCAL_RANK"]), int(env["WORLD_SIZE"]))'
RANK_IN_WORLD = "if not 0 <= info.rank < info.world_size:"
RANK_RANGE = "if not 0 <= rank < world_size:"
SLICE = "return x[rank * rows : (rank + 1) * rows]"
ALL_TENSORS = "for tensor in [*model.parameters(), *model.buffers()]:"
BROADCAST = "dist.broadcast(tensor.detach(), src)"
NO_GROUP = "    if not dist.is_initialized():\n        return\n"
TENSORS = f"{NO_GROUP}    {ALL_TENSORS}"
PARAMETERS = f"{NO_GROUP}    for p in model.parameters():\n        if p.requires_grad:\n"
FILL = "            if p.grad is None:\n                p.grad = torch.zeros_like(p)\n"
SUM_GRADIENTS = "            dist.all_reduce(p.grad)\n"
DIVIDE_GRADIENTS = "            p.grad /= dist.get_world_size()\n"
OWN = "own = value.item() if isinstance(value, Tensor) else value"
ALONE = "        return float(own)\n"
TOTAL = "total = torch.tensor(own, dtype=torch.float64)"
SUM_VALUES = "    dist.all_reduce(total)\n"
MEAN = "return total.item() / dist.get_world_size()"
CONTEXT = 'return model.no_sync() if hasattr(model, "no_sync") and not is_last else nullcontext()'
UNWRAP = "return model.module if isinstance(model, DDP) else model"
EMPTY = '    if not batches:\n        raise ValueError("a step needs at least one batch")\n'
LAST = "is_last=i == len(batches) - 1"
WITH = f"with sync_context(model, {LAST}):"
FORWARD = "            loss = model(x, y)[1] / len(batches)\n"
BACKWARD = "            loss.backward()\n"
CLIP = "    norm = nn.utils.clip_grad_norm_(model.parameters(), math.inf if max_norm is None else max_norm)\n"
EACH_CLIPPED = "            nn.utils.clip_grad_norm_(model.parameters(), max_norm or math.inf)\n"
LOSS = '"loss": reduce_mean(total)'
WRITE = "    if is_main:\n        torch.save(state, path)\n    if dist.is_initialized():\n        dist.barrier()\n"

MISTAKES = [
    # DistInfo
    Mistake(
        "local rank 0 is main",
        IS_MAIN,
        "return self.local_rank == 0",
        "test_local_rank_zero_of_another_machine_is_not_main",
    ),
    Mistake("not frozen", "@dataclass(frozen=True)", "@dataclass", "test_a_value_and_no_place_to_write"),
    # dist_info_from_env
    Mistake("an empty mapping is taken for None", ENV, "env = env or os.environ", "test_an_empty_mapping_is_not_none"),
    Mistake("None is not asked for", ENV, "env = {} if env is None else env", "test_none_means_the_real_environment"),
    Mistake(
        "asks for WORLD_SIZE",
        NO_RANK,
        NO_RANK.replace("RANK", "WORLD_SIZE"),
        "test_without_a_rank_it_is_one_process",
    ),
    Mistake("strings", READ, READ.replace("int", ""), "test_the_three_variables_are_read"),
    Mistake(
        "rank = world size allowed",
        RANK_IN_WORLD,
        "if not 0 <= info.rank <= info.world_size:",
        "TestDistInfoFromEnv::test_the_rank_is_one_of_the_world",
        edge=True,
    ),
    Mistake(
        "rank 0 refused",
        RANK_IN_WORLD,
        "if not 0 < info.rank < info.world_size:",
        "TestDistInfoFromEnv::test_the_rank_is_one_of_the_world",
        edge=True,
    ),
    # rank_slice
    Mistake("every world_size-th row", SLICE, "return x[rank::world_size]", "test_contiguous_pieces"),
    Mistake(
        "the rest is dropped", "    if len(x) % world_size:\n", "    if False:\n", "test_shares_are_equal", edge=True
    ),
    Mistake(
        "chunk, whatever the rank",
        RANK_RANGE,
        "if False:",
        "TestRankSlice::test_the_rank_is_one_of_the_world",
        edge=True,
    ),
    # broadcast_parameters
    Mistake("buffers forgotten", ALL_TENSORS, "for tensor in model.parameters():", "test_buffers_too"),
    Mistake(
        "only what is trained",
        ALL_TENSORS,
        "for tensor in [*(p for p in model.parameters() if p.requires_grad), *model.buffers()]:",
        "test_every_rank_gets_the_weights_of_rank_0",
    ),
    Mistake("src ignored", BROADCAST, "dist.broadcast(tensor.detach(), 0)", "test_any_rank_can_be_the_source"),
    Mistake(
        "new parameters",
        TENSORS,
        NO_GROUP + "    for module in model.modules():\n        for name, p in list(module._parameters.items()):\n"
        "            module._parameters[name] = nn.Parameter(p.detach().clone(), p.requires_grad)\n    " + ALL_TENSORS,
        "test_written_in_place",
    ),
    Mistake(
        "needs a group",
        TENSORS,
        "    " + ALL_TENSORS,
        "TestBroadcastParameters::test_without_a_process_group_nothing_happens",
    ),
    Mistake(
        "the environment asked for a group: broadcast",
        TENSORS,
        TENSORS.replace("not dist.is_initialized()", "dist_info_from_env().world_size == 1"),
        "TestBroadcastParameters::test_without_a_process_group_nothing_happens",
    ),
    # average_gradients
    Mistake("sum instead of mean", DIVIDE_GRADIENTS, "", "test_the_mean_is_the_gradient_of_the_big_batch"),
    Mistake(
        "no gradient, no call",
        FILL,
        "            if p.grad is None:\n                continue\n",
        "test_a_rank_without_gradient_takes_part",
    ),
    Mistake(
        "no gradient: takes part and keeps None",
        FILL,
        "            if p.grad is None:\n                dist.all_reduce(torch.zeros_like(p))\n                continue\n",
        "test_a_rank_without_gradient_takes_part",
    ),
    Mistake(
        "zeros for frozen parameters",
        PARAMETERS,
        PARAMETERS.replace("p.requires_grad", "True"),
        "test_frozen_parameters_are_left_out",
    ),
    Mistake(
        "zeros without a group",
        PARAMETERS + FILL,
        PARAMETERS.replace(NO_GROUP, "")
        + FILL
        + "            if not dist.is_initialized():\n                continue\n",
        "TestAverageGradients::test_without_a_process_group_nothing_happens",
    ),
    Mistake(
        "the environment asked for a group: gradients",
        PARAMETERS,
        PARAMETERS.replace("not dist.is_initialized()", "dist_info_from_env().world_size == 1"),
        "TestAverageGradients::test_without_a_process_group_nothing_happens",
    ),
    # reduce_mean
    Mistake("the sum", MEAN, "return total.item()", "test_the_mean_on_every_rank"),
    Mistake("rank 0 only", SUM_VALUES, "    dist.reduce(total, 0)\n", "test_the_mean_on_every_rank"),
    Mistake("floor division", MEAN, "return float(total.item() // dist.get_world_size())", "test_ints_and_fractions"),
    Mistake(
        "summed up in the caller's tensor",
        TOTAL,
        "total = value.detach() if isinstance(value, Tensor) else torch.tensor(float(own))",
        "test_what_is_given_is_not_written_to",
    ),
    Mistake("a tensor", MEAN, "return total / dist.get_world_size()", "TestReduceMean::test_plain_floats"),
    Mistake("an int stays an int alone", ALONE, "        return own\n", "test_without_a_process_group_it_is_the_value"),
    Mistake(
        "the environment asked for a group: a number",
        "    if not dist.is_initialized():\n" + ALONE,
        "    if dist_info_from_env().world_size == 1:\n" + ALONE,
        "test_without_a_process_group_it_is_the_value",
    ),
    # sync_context
    Mistake(
        "no_sync in the last",
        CONTEXT,
        CONTEXT.replace("not is_last", "is_last"),
        "test_a_models_own_no_sync_is_used",
    ),
    Mistake("never no_sync", CONTEXT, "return nullcontext()", "test_ddp_waits_for_the_last_micro_batch"),
    Mistake(
        "always no_sync",
        CONTEXT,
        CONTEXT.replace(" and not is_last", ""),
        "test_the_last_micro_batch_is_not_held_back",
    ),
    Mistake(
        "every model has no_sync",
        CONTEXT,
        CONTEXT.replace('hasattr(model, "no_sync") and ', ""),
        "test_a_model_without_no_sync",
    ),
    Mistake(
        "DDP only",
        CONTEXT,
        CONTEXT.replace('hasattr(model, "no_sync")', "isinstance(model, DDP)"),
        "test_a_models_own_no_sync_is_used",
    ),
    # unwrap
    Mistake("the wrapper", UNWRAP, "return model", "test_the_model_inside_a_ddp"),
    Mistake(
        "whatever is called module",
        UNWRAP,
        'return getattr(model, "module", model)',
        "test_a_layer_called_module",
    ),
    # ddp_train_step
    Mistake(
        "micro-batches added up",
        FORWARD + BACKWARD + "        total += loss.item()\n",
        FORWARD.replace(" / len(batches)", "") + BACKWARD + "        total += loss.item() / len(batches)\n",
        "test_the_weights_of_one_process_with_the_big_batch",
    ),
    Mistake(
        "averaged once more, by hand",
        "    optimizer.step()\n",
        "    for p in model.parameters():\n        p.grad /= dist.get_world_size()\n    optimizer.step()\n",
        "test_the_weights_of_one_process_with_the_big_batch",
    ),
    Mistake("the loss of this rank", LOSS, '"loss": total', "test_the_loss_is_the_mean_of_all_micro_batches"),
    Mistake(
        "synchronises in the first, not the last",
        LAST,
        "is_last=i == 0",
        "test_forward_and_backward_inside_the_context",
    ),
    Mistake("never synchronises", LAST, "is_last=i == len(batches)", "test_a_single_micro_batch_is_the_last"),
    Mistake(
        "no_sync around backward only",
        "        " + WITH + "\n" + FORWARD + BACKWARD,
        FORWARD[4:] + "        " + WITH + "\n" + BACKWARD,
        "test_one_all_reduce_a_step",
    ),
    Mistake("None is no limit", CLIP, CLIP.replace("math.inf if max_norm is None else ", ""), "test_without_clipping"),
    Mistake(
        "clipped before averaging",
        BACKWARD,
        BACKWARD + EACH_CLIPPED,
        "test_clipped_after_averaging",
    ),
    Mistake(
        "a step for each micro-batch",
        BACKWARD,
        BACKWARD + "            optimizer.step()\n",
        "test_stale_gradients_do_not_count",
    ),
    Mistake(
        "the norm after clipping",
        '"grad_norm": norm.item()',
        '"grad_norm": min(norm.item(), max_norm or math.inf)',
        "test_clipped_after_averaging",
    ),
    Mistake("a step without batches", EMPTY, "", "test_a_step_needs_a_batch", edge=True),
    Mistake("stale gradients", "    optimizer.zero_grad()\n", "", "test_stale_gradients_do_not_count"),
    Mistake("no training mode", "    model.train()\n", "", "TestDdpTrainStep::test_training_mode"),
    # save_on_main
    Mistake("every rank writes", WRITE, WRITE.replace("if is_main:", "if True:"), "test_only_rank_0_writes"),
    Mistake(
        "no barrier",
        WRITE,
        WRITE.replace("        dist.barrier()\n", "        pass\n"),
        "test_complete_on_every_rank_when_it_returns",
    ),
    Mistake(
        "barrier on rank 0 only",
        WRITE,
        WRITE.replace("if dist.is_initialized():", "if dist.is_initialized() and is_main:"),
        "test_no_other_file_is_left",
    ),
    Mistake(
        "main by the environment",
        "is_main = not dist.is_initialized() or dist.get_rank() == 0",
        "is_main = dist_info_from_env().is_main",
        "test_without_a_process_group",
    ),
]

EQUIVALENT = [
    Equivalent("return self.rank == 0", "return self.rank <= 0", "no rank is negative"),
    Equivalent(
        "dist.broadcast(tensor.detach(), src)",
        "dist.broadcast(tensor, src)",
        "broadcast writes to the values of a parameter as well",
    ),
    Equivalent(
        "own = value.item() if isinstance(value, Tensor) else value",
        "own = value",
        "float and torch.tensor take a tensor with one element, too, and copy it",
    ),
    Equivalent(
        "own = value.item() if isinstance(value, Tensor) else value",
        "own = value if isinstance(value, Tensor) else value",
        "the same",
    ),
    Equivalent(
        "total = torch.tensor(own, dtype=torch.float64)",
        "total = torch.tensor(own)",
        "float32 is precise enough for a log, and a sum of ints is divided by `/`",
    ),
    Equivalent(
        "total = torch.tensor(own, dtype=torch.float64)",
        "total = torch.tensor(own, dtype=torch.float32)",
        "float32 is precise enough for a log",
    ),
    Equivalent(
        "with sync_context(model, is_last=i == len(batches) - 1):",
        "with sync_context(model, is_last=i >= len(batches) - 1):",
        "i is never larger",
    ),
    Equivalent("total += loss.item()", "total += loss", "the same sum as a tensor, which reduce_mean takes"),
    Equivalent(
        "is_main = not dist.is_initialized() or dist.get_rank() == 0",
        "is_main = not dist.is_initialized() or dist.get_rank() <= 0",
        "no rank is negative",
    ),
]
