"""Wrong solutions of today/10 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
BACK = "return _exchanged(grad, ctx.receive, ctx.send), None, None"
SORTED = "parts = arrived[by_expert].split(arriving.sum(0).tolist())"
COMBINED = """return combine(
        exchange_rows(done[by_expert.argsort()], receive, send), order, weights
    )"""
COUNTED = (
    "counts = torch.bincount(experts.flatten(), minlength=len(bias))\n"
    "    dist.all_reduce(counts)"
)
MOVED = "return bias + rate * (counts.double().mean() - counts).sign().to(bias.dtype)"
ENDS = "return torch.cat([chunks[rank], chunks[2 * world - 1 - rank]])"
TOTAL = "total = torch.logaddexp(lse, part_lse)"
BASE = "base = torch.where(total.isneginf(), 0.0, total)"
MIXED = "return next(shares) * out + next(shares) * part, total"
VISITOR = (
    "out, lse = merge(out, lse, *attend_part(q, k, v, _seen(own[rank], own[source])))"
)
P = "p = (scores - lse.unsqueeze(-1)).exp()"
HOME = "k, v, dk, dv = pass_on(k), pass_on(v), pass_on(dk), pass_on(dv)"
BY_TOKEN = "return back.permute(2, 0, 3, 1, 4).flatten(1, 2)"

MISTAKES = [
    # exchange_rows
    Mistake(
        "a collective without autograd",
        "return _Exchange.apply(x, list(send), list(receive))",
        "return _exchanged(x, list(send), list(receive))",
        "TestExchangeRows::test_gradients_travel_back",
        says="is None: autograd does not see where a collective's numbers came from",
    ),
    Mistake(
        "the forward pass's counts in the backward pass",
        BACK,
        "return _exchanged(grad, ctx.send, ctx.receive), None, None",
        "TestExchangeRows::test_gradients_travel_back",
        says="Split sizes doesn't match total dim 0 size",
    ),
    Mistake(
        "memory sent as it lies there",
        "dist.all_to_all_single(out, x.contiguous(), receive, send)",
        "dist.all_to_all_single(out, x, receive, send)",
        "test_rows_that_are_stored_column_by_column",
        says="contiguous",
    ),
    # parallel_experts
    Mistake(
        "its own counts taken for those of what arrives",
        "arriving = exchange_rows(counts, [here] * world, [here] * world).view(world, "
        "here)",
        "arriving = counts.view(world, here)",
        "TestParallelExperts::test_outputs_are_those_of_one_process",
        says="rank",
    ),
    Mistake(
        "rows by rank taken for rows by expert",
        SORTED,
        "by_expert = torch.arange(len(arrived))\n    " + SORTED,
        "TestParallelExperts::test_outputs_are_those_of_one_process",
        says="looks like rows by rank taken for rows by expert",
    ),
    Mistake(
        "the order of the experts for its inverse",
        COMBINED,
        COMBINED.replace(".argsort()", ""),
        "TestParallelExperts::test_outputs_are_those_of_one_process",
        says="differs",
    ),
    Mistake(
        "every expert on every row",
        "done = torch.cat([expert(part) for expert, part in zip(local, parts, "
        "strict=True)])",
        "done = sum(expert(arrived) * (expert_of == e)[:, None] for e, expert in "
        "enumerate(local))[by_expert]",
        "test_each_expert_computes_its_own_rows_once",
        says="shape",
    ),
    # balance_bias
    Mistake(
        "the counts of one rank",
        COUNTED,
        COUNTED.partition("\n")[0],
        "test_crowded_down_and_idle_up",
        says="looks like the counts of this rank alone",
    ),
    Mistake(
        "crowded experts up",
        MOVED,
        MOVED.replace("bias + rate", "bias - rate"),
        "test_crowded_down_and_idle_up",
        says="looks like the wrong way round: crowded experts up",
    ),
    Mistake(
        "steps as large as the difference",
        MOVED,
        MOVED.replace(".sign()", ""),
        "test_crowded_down_and_idle_up",
        says="looks like the difference itself, not its sign",
    ),
    Mistake(
        "counts up to the last chosen expert",
        "minlength=len(bias)",
        "minlength=0",
        "test_crowded_down_and_idle_up",
        says="rank",
    ),
    Mistake(
        "the bias changed in place",
        MOVED,
        "bias += rate * (counts.double().mean() - counts).sign().to(bias.dtype)\n"
        "    return bias",
        "test_a_new_bias_of_the_same_dtype",
        says="the bias of rank 0 afterwards",
        edge=True,
    ),
    # positions
    Mistake(
        "the last chunk for every rank",
        ENDS,
        "return torch.cat([chunks[rank], chunks[-1]])",
        "test_zigzag_takes_from_both_ends",
        says="looks like the last chunk for every rank",
    ),
    Mistake(
        "neighbouring chunks",
        ENDS,
        "return torch.cat([chunks[2 * rank], chunks[2 * rank + 1]])",
        "test_zigzag_takes_from_both_ends",
        says="looks like the chunks 2r and 2r + 1",
    ),
    # merge
    Mistake(
        "exponentials of whole scores",
        TOTAL,
        "total = (lse.exp() + part_lse.exp()).log()",
        "test_scores_of_800",
        says="looks like exponentials of whole scores: torch.logaddexp has none",
    ),
    Mistake(
        "−∞ minus −∞",
        BASE,
        "base = total",
        "test_rows_without_keys",
        says="out of nothing twice has NaN",
    ),
    Mistake(
        "the mean of the outs",
        MIXED,
        "return (out + part) / 2, total",
        "test_shares_of_1_and_3",
        says="looks like the mean of both",
    ),
    # ring_attention
    Mistake(
        "the visitor taken for rank + hop",
        "source = (rank - hop) % world\n        out, lse",
        "source = (rank + hop) % world\n        out, lse",
        "TestRingAttention::test_equals_one_process",
        says="looks like the visitor's positions taken for those of rank + hop",
    ),
    Mistake(
        "a triangle in every hop",
        VISITOR,
        VISITOR.replace("own[source]", "own[rank]"),
        "TestRingAttention::test_equals_one_process",
        says="looks like the mask of its own keys in every hop",
    ),
    Mistake(
        "later ranks skipped",
        VISITOR,
        "if source < rank:\n            " + VISITOR,
        "TestRingAttention::test_equals_one_process",
        says=(
            "looks like its own keys alone, or no keys of later ranks: right for "
            "contiguous tokens alone"
        ),
    ),
    # ring_backward
    Mistake(
        "gradients that do not travel",
        HOME,
        "k, v = pass_on(k), pass_on(v)",
        "TestRingBackward::test_equals_one_process",
        says="differs",
    ),
    Mistake(
        "one hop too few",
        HOME,
        "if hop < world - 1:\n            " + HOME,
        "TestRingBackward::test_equals_one_process",
        says="looks like of the next rank's keys: one hop is missing",
    ),
    Mistake(
        "a softmax of the visiting part",
        P,
        "p = scores.softmax(-1).nan_to_num(0.0)",
        "TestRingBackward::test_equals_one_process",
        says="differs",
    ),
    # ulysses_attention
    Mistake(
        "heads joined in turn",
        BY_TOKEN,
        "return back.permute(2, 3, 0, 1, 4).flatten(1, 2)",
        "TestUlyssesAttention::test_equals_one_process",
        says="looks like the heads of the ranks in turn, not one rank after the other",
    ),
    Mistake(
        "not exchanged back",
        "whole = attend(*(_tokens_for_heads(x) for x in (q, k, v)))",
        "return attend(*(_tokens_for_heads(x) for x in (q, k, v)))",
        "TestUlyssesAttention::test_equals_one_process",
        says="looks like not exchanged back: all tokens, and this rank's heads",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="seen = own[rank][:, None] >= own[(rank - hop) % W]",
        now="seen = own[rank][:, None] > own[(rank - hop) % W]",
        reason="no two ranks have a token in common",
        textbook=True,
    ),
    Equivalent(
        was="seen = own[rank][:, None] >= own[(rank - hop) % W]",
        now="seen = own[rank][:, None] >= own[(rank - hop) % W] + 1",
        reason="no two ranks have a token in common",
        textbook=True,
    ),
]
