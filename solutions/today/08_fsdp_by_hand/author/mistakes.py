"""Wrong solutions of today/08 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
OWN = "return flat[dist.get_rank() * size :][:size].clone()"
CUT = "pieces = torch.cat(shards)[: sum(sizes)].split(sizes)"
GATHERED = "dist.all_gather(shards, shard)"
REDUCED = "dist.reduce_scatter(total, pieces)"
MEAN = "return total / dist.get_world_size()"
MOMENTS = (
    "m.mul_(betas[0]).add_(grad, alpha=1 - betas[0])\n"
    "    v.mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])"
)
DECAYED = "shard.mul_(1 - lr * weight_decay)"
MOVED = "shard.sub_(lr * (m / first) / ((v / second).sqrt() + eps))"
CORRECTIONS = 'first, second = (1 - beta ** state["step"] for beta in betas)'
SQUARES = (
    "squares = grad.square().sum()\n    dist.all_reduce(squares)\n"
    "    return math.sqrt(squares.item())"
)
COLUMN = "return F.linear(_CopyToRanks.apply(x), weight, bias)"
ROW = "out = _SumOverRanks.apply(F.linear(x, weight))"
ADDED = "return out if bias is None else out + bias"
NAMED = "return dict(zip(names, tensors, strict=True)) if dist.get_rank() == 0 else {}"

MISTAKES = [
    # shard_flat
    Mistake(
        "cut by chunk without padding: the last piece is shorter",
        "flat = _flat(tensors)\n    size = len(flat) // dist.get_world_size()\n    "
        + OWN,
        "flat = torch.cat([tensor.flatten() for tensor in tensors])\n"
        "    return flat.chunk(dist.get_world_size())[dist.get_rank()].clone()",
        "test_equal_pieces_of_the_flat_vector",
        says="shape      (17,)  expected (18,)",
    ),
    Mistake(
        "every W-th element",
        OWN,
        "return flat[dist.get_rank() :: dist.get_world_size()].clone()",
        "test_equal_pieces_of_the_flat_vector",
        says="looks like every W-th element, not neighbours",
    ),
    Mistake(
        "a view of the whole vector",
        OWN,
        OWN.replace(".clone()", ""),
        "test_memory_of_its_own",
        says="looks like a view of the whole vector",
    ),
    Mistake(
        "rank 0's piece on every rank",
        OWN,
        "return flat[:size].clone()",
        "test_equal_pieces_of_the_flat_vector",
        says="looks like rank 0's piece on every rank",
    ),
    Mistake(
        "padding in float32",
        "return F.pad(flat, (0, -len(flat) % dist.get_world_size()))",
        "return torch.cat([flat, torch.zeros(-len(flat) % dist.get_world_size())])",
        "TestShardFlat::test_dtype_and_strides",
        says="float32  expected bfloat16",
        edge=True,
    ),
    # gather_parameters
    Mistake(
        "the padding is not cut off",
        CUT,
        "pieces = torch.cat(shards).split(sizes)",
        "test_whole_tensors_on_every_rank",
        says="split_with_sizes expects",
    ),
    Mistake(
        "shards stacked as columns",
        CUT,
        "pieces = torch.stack(shards, dim=1).flatten()[: sum(sizes)].split(sizes)",
        "test_whole_tensors_on_every_rank",
        says="looks like the shards' elements in turn: they were stacked, not joined",
    ),
    # scatter_gradients
    Mistake(
        "the sum",
        MEAN,
        "return total",
        "test_its_piece_of_the_mean",
        says="looks like the sum over ranks",
    ),
    Mistake(
        "nothing is sent",
        REDUCED,
        "total = pieces[dist.get_rank()] * dist.get_world_size()",
        "test_its_piece_of_the_mean",
        says="looks like its own gradient: nothing was sent",
    ),
    # sharded_adamw
    Mistake(
        "no bias correction",
        CORRECTIONS,
        "first, second = 1, 1",
        "test_five_steps_are_those_of_adamw",
        says="looks like no bias correction",
    ),
    Mistake(
        "the step counter stands still",
        'state["step"] += 1',
        'state["step"] = 1',
        "test_five_steps_are_those_of_adamw",
        says=(
            "looks like bias corrected for the first step only: the step counter does "
            "not move"
        ),
    ),
    Mistake(
        "the decay in the gradient",
        MOMENTS,
        "grad, weight_decay = grad + weight_decay * shard, 0.0\n    " + MOMENTS,
        "test_five_steps_are_those_of_adamw",
        says="looks like the decay is part of the gradient, as in Adam",
    ),
    Mistake(
        "eps under the root",
        MOVED,
        "shard.sub_(lr * (m / first) / (v / second + eps).sqrt())",
        "test_five_steps_are_those_of_adamw",
        says="looks like eps under the root",
    ),
    Mistake(
        "a new shard instead of the old one changed",
        f"{DECAYED}\n    {MOVED}",
        "shard = shard * (1 - lr * weight_decay)\n    "
        + MOVED.replace("shard.sub_(", "shard = shard - (", 1),
        "test_five_steps_are_those_of_adamw",
        says="looks like not in place: the shard is as it was",
    ),
    Mistake(
        "moments that are not kept",
        MOMENTS,
        "m = betas[0] * m + (1 - betas[0]) * grad\n"
        "    v = betas[1] * v + (1 - betas[1]) * grad**2",
        "test_five_steps_are_those_of_adamw",
        says=(
            "looks like moments that start anew in every step: they are not kept in "
            "the state"
        ),
    ),
    # global_norm
    Mistake(
        "the norm of its own piece",
        "    dist.all_reduce(squares)\n    return math.sqrt(squares.item())",
        "    return math.sqrt(squares.item())",
        "test_3_and_4_give_5",
        says="looks like the norm of its own piece",
    ),
    Mistake(
        "norms added up",
        SQUARES,
        "norm = grad.norm()\n    dist.all_reduce(norm)\n    return norm.item()",
        "test_3_and_4_give_5",
        says="looks like the sum of the norms",
    ),
    # column_linear
    Mistake(
        "the gradient of x is not summed",
        COLUMN,
        "return F.linear(x, weight, bias)",
        "test_the_gradient_of_x_is_summed",
        says="looks like what this rank's outputs add, alone",
    ),
    Mistake(
        "a hook on the caller's x",
        COLUMN,
        "x.register_hook(lambda grad: (total := grad.clone(), "
        "dist.all_reduce(total))[0])\n"
        "    return F.linear(x, weight, bias)",
        "test_several_layers_read_one_x",
        says="of gradient of x on rank 0",
        edge=True,
    ),
    # row_linear
    Mistake(
        "the bias W times",
        f"{ROW}\n    {ADDED}",
        "return _SumOverRanks.apply(F.linear(x, weight, bias))",
        "test_the_sum_over_ranks_and_the_bias_once",
        says="looks like the bias came W times: add it after the sum",
    ),
    Mistake(
        "parts that are not summed",
        ROW,
        "out = F.linear(x, weight)",
        "test_the_sum_over_ranks_and_the_bias_once",
        says="looks like this rank's part alone",
    ),
    Mistake(
        "an all_reduce that sums in both directions",
        ROW,
        "out = torch.distributed.nn.functional.all_reduce(F.linear(x, weight))",
        "test_gradients_are_not_summed",
        says="looks like W times as large: summed over the ranks",
    ),
    Mistake(
        "an all_reduce that autograd does not see",
        ROW,
        "out = F.linear(x, weight).detach()\n    dist.all_reduce(out)",
        "test_the_sum_over_ranks_and_the_bias_once",
        says="does not require grad",
    ),
    # full_state_dict
    Mistake(
        "only rank 0 gathers",
        "tensors = gather_parameters(shard, shapes)\n    return dict",
        "tensors = gather_parameters(shard, shapes) if dist.get_rank() == 0 else []\n"
        "    return dict",
        "test_rank_0_has_whole_tensors_by_name",
        says="waited here for a call that the other rank does not make",
    ),
    Mistake(
        "whole tensors on every rank",
        NAMED,
        "return dict(zip(names, tensors, strict=True))",
        "test_the_others_hold_nothing",
        says="rank 1 should return {}, and returns",
    ),
]

EQUIVALENT = [
    Equivalent(
        "total = torch.empty_like(pieces[0])",
        "total = pieces[0]",
        "a piece of a copy, used once",
    ),
    Equivalent(
        "total = torch.empty_like(pieces[0])",
        "total = torch.empty_like(pieces[1])",
        "all pieces have one size",
    ),
    Equivalent(
        "total = torch.empty_like(pieces[0])",
        "total = torch.empty_like(pieces[-1])",
        "they do",
    ),
    Equivalent(
        "return math.sqrt(squares.item())",
        "return math.sqrt(squares)",
        "math.sqrt takes a tensor's number",
    ),
    Equivalent("@staticmethod", "", "`apply` calls both with their class"),
    Equivalent(
        "return x.view_as(x)",
        "return x",
        "a Function's result that is its input becomes a view",
    ),
    Equivalent(
        "total = grad.clone()",
        "total = grad",
        "the gradient of a product is nobody else's",
    ),
    Equivalent("total = grad.clone()", "total = grad.detach()", "the same"),
    Equivalent("total = x.clone()", "total = x", "the product has no other use"),
    Equivalent("total = x.clone()", "total = x.detach()", "the same"),
    Equivalent(
        "return dict(zip(names, tensors, strict=True)) if dist.get_rank() == 0 else {}",
        "return dict(zip(names, tensors, strict=True)) if dist.get_rank() <= 0 else {}",
        "a rank is never below 0",
    ),
]
