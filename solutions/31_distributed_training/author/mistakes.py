"""Wrong solutions of 31 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

READ = 'DistInfo(int(env["RANK"]), int(env["LOCAL_RANK"]), int(env["WORLD_SIZE"]))'
ALL_TENSORS = "for tensor in [*model.parameters(), *model.buffers()]:"
FILL = "            if p.grad is None:\n                p.grad = torch.zeros_like(p)\n"
TOTAL = "total = torch.tensor(own, dtype=torch.float64, device=device)"
CONTEXT = """return (
        model.no_sync() if hasattr(model, "no_sync") and not is_last else nullcontext()
    )"""
LAST = "is_last=i == len(batches) - 1"
FORWARD = "            loss = model(x, y)[1] / len(batches)\n"
BACKWARD = "            loss.backward()\n"
WRITE = (
    "    if is_main:\n        torch.save(state, path)\n    if dist.is_initialized():\n"
    "        dist.barrier()\n"
)

MISTAKES = [
    # DistInfo
    Mistake(
        "local rank 0 is main",
        was="return self.rank == 0",
        now="return self.local_rank == 0",
        caught_by="test_local_rank_zero_of_another_machine_is_not_main",
        says="looks like asked of local_rank, not of rank",
    ),
    # dist_info_from_env
    Mistake(
        "strings",
        was=READ,
        now=READ.replace("int", ""),
        caught_by="test_the_three_variables_are_read",
        says="not supported between instances of 'int' and 'str'",
    ),
    Mistake(
        "an empty mapping is taken for None",
        was="env = os.environ if env is None else env",
        now="env = env or os.environ",
        caught_by="test_an_empty_mapping_is_not_none",
        says="got DistInfo(rank=2",
        edge=True,
    ),
    # rank_slice
    Mistake(
        "every world_size-th row",
        was="return x[rank * rows : (rank + 1) * rows]",
        now="return x[rank::world_size]",
        caught_by="test_contiguous_pieces",
        says="looks like every world_size-th row",
    ),
    # broadcast_parameters
    Mistake(
        "buffers forgotten",
        was=ALL_TENSORS,
        now="for tensor in model.parameters():",
        caught_by="test_buffers_too",
        says="looks like its own, as before",
    ),
    Mistake(
        "only what is trained",
        was=ALL_TENSORS,
        now=(
            "for tensor in [*(p for p in model.parameters() if p.requires_grad), "
            "*model.buffers()]:"
        ),
        caught_by="test_every_rank_gets_the_weights_of_rank_0",
        says="looks like its own, as before",
    ),
    Mistake(
        "needs a group",
        was=f"    if not dist.is_initialized():\n        return\n    {ALL_TENSORS}",
        now=f"    {ALL_TENSORS}",
        caught_by=(
            "TestBroadcastParameters::test_without_a_process_group_nothing_happens"
        ),
        says="Default process group has not been initialized",
    ),
    # average_gradients
    Mistake(
        "sum instead of mean",
        was="            p.grad /= dist.get_world_size()\n",
        now="",
        caught_by="test_the_mean_is_the_gradient_of_the_big_batch",
        says="looks like the sum over ranks",
    ),
    Mistake(
        "no gradient, no call",
        was=FILL,
        now="            if p.grad is None:\n                continue\n",
        caught_by="test_a_rank_without_gradient_takes_part",
        says="waited here for a call that the other rank does not make",
        edge=True,
    ),
    # reduce_mean
    Mistake(
        "the sum",
        was="return total.item() / dist.get_world_size()",
        now="return total.item()",
        caught_by="test_the_mean_on_every_rank",
        says="looks like the sum",
    ),
    Mistake(
        "rank 0 only",
        was="    dist.all_reduce(total)\n",
        now="    dist.reduce(total, 0)\n",
        caught_by="test_the_mean_on_every_rank",
        says="looks like its own part alone, divided by 2",
    ),
    Mistake(
        "a tensor",
        was="return total.item() / dist.get_world_size()",
        now="return total / dist.get_world_size()",
        caught_by="test_a_loss_that_still_has_its_graph",
        says="got float64 tensor ()",
    ),
    Mistake(
        "summed up in the caller's tensor",
        was=TOTAL,
        now=(
            "total = value.detach() if isinstance(value, Tensor) else "
            "torch.tensor(float(own))"
        ),
        caught_by="test_what_is_given_is_not_written_to",
        says="looks like the sum, written into the tensor given",
        edge=True,
    ),
    Mistake(
        "a tensor on the CPU for NCCL",
        was='device = "cuda" if dist.get_backend() == "nccl" else "cpu"',
        now='device = "cpu"',
        caught_by="test_nccl_sends_from_the_gpu",
        says="with the backend nccl the tensor that is sent is on the cpu",
        edge=True,
    ),
    # sync_context
    Mistake(
        "no_sync in the last",
        was=CONTEXT,
        now=CONTEXT.replace("not is_last", "is_last"),
        caught_by="test_ddp_waits_for_the_last_micro_batch",
        says="looks like averaged already",
    ),
    # unwrap
    Mistake(
        "whatever is called module",
        was="return model.module if isinstance(model, DDP) else model",
        now='return getattr(model, "module", model)',
        caught_by="test_a_layer_called_module",
        says="wanted the whole model, got Linear",
        edge=True,
    ),
    # ddp_train_step
    Mistake(
        "micro-batches added up",
        was=FORWARD + BACKWARD + "        total += loss.item()\n",
        now=FORWARD.replace(" / len(batches)", "")
        + BACKWARD
        + "        total += loss.item() / len(batches)\n",
        caught_by="test_the_weights_of_one_process_with_the_big_batch",
        says="looks like gradients of micro-batches added up, not averaged",
    ),
    Mistake(
        "averaged once more, by hand",
        was="    optimizer.step()\n",
        now=(
            "    for p in model.parameters():\n"
            "        p.grad /= dist.get_world_size()\n    optimizer.step()\n"
        ),
        caught_by="test_the_weights_of_one_process_with_the_big_batch",
        says="looks like divided by the number of ranks once more",
    ),
    Mistake(
        "the loss of this rank",
        was='"loss": reduce_mean(total)',
        now='"loss": total',
        caught_by="test_the_loss_is_the_mean_of_all_micro_batches",
        says="looks like the loss of this rank only",
    ),
    Mistake(
        "never synchronises",
        was=LAST,
        now="is_last=i == len(batches)",
        caught_by="test_the_weights_of_one_process_with_the_big_batch",
        says="looks like this rank's own step",
    ),
    Mistake(
        "no_sync around backward only",
        was=f"        with sync_context(model, {LAST}):\n{FORWARD}{BACKWARD}",
        now=f"{FORWARD[4:]}        with sync_context(model, {LAST}):\n{BACKWARD}",
        caught_by="test_one_all_reduce_a_step",
        says="looks like sent after every micro-batch",
    ),
    Mistake(
        "clipped after every backward pass",
        was=BACKWARD,
        now=(
            f"{BACKWARD}            nn.utils.clip_grad_norm_(model.parameters(), "
            "max_norm or math.inf)\n"
        ),
        caught_by="test_clipped_after_averaging",
        says="looks like the norm after clipping",
    ),
    Mistake(
        "old gradients stay",
        was="    optimizer.zero_grad()\n",
        now="",
        caught_by="test_a_plain_model_in_one_process",
        says="looks like the first step's gradient added",
    ),
    # save_on_main
    Mistake(
        "every rank writes",
        was=WRITE,
        now=WRITE.replace("if is_main:", "if True:"),
        caught_by="test_only_rank_0_writes",
        says="rank 0 should load what rank 0 saved, and finds: 1",
    ),
    Mistake(
        "no barrier",
        was=WRITE,
        now=WRITE.replace("        dist.barrier()\n", "        pass\n"),
        caught_by="test_complete_on_every_rank_when_it_returns",
        says="rank 1 should load what rank 0 saved, and finds:",
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
        "total = torch.tensor(own, dtype=torch.float64, device=device)",
        "total = torch.tensor(own, device=device)",
        "float32 is precise enough for a log, and a sum of ints is divided by `/`",
    ),
    Equivalent(
        "total = torch.tensor(own, dtype=torch.float64, device=device)",
        "total = torch.tensor(own, dtype=torch.float32, device=device)",
        "float32 is precise enough for a log",
    ),
    Equivalent(
        "with sync_context(model, is_last=i == len(batches) - 1):",
        "with sync_context(model, is_last=i >= len(batches) - 1):",
        "i is never larger",
    ),
    Equivalent(
        "total += loss.item()",
        "total += loss",
        "the same sum as a tensor, which reduce_mean takes",
    ),
    Equivalent(
        "is_main = not dist.is_initialized() or dist.get_rank() == 0",
        "is_main = not dist.is_initialized() or dist.get_rank() <= 0",
        "no rank is negative",
    ),
]
