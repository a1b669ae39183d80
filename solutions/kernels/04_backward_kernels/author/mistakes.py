"""Wrong solutions of kernels/04 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

TOP = 'top = tl.full((), -float("inf"), dtype)'
TOTAL = "total = total * tl.exp(top - base) + tl.sum(tl.exp(logits - base))"
BASE = 'base = tl.where(now == -float("inf"), 0.0, now)'
LSE = "lse = top + tl.log(total)"
MASKED = """, mask=target >= 0, other=0.0).to(
        dtype
    )"""
LOSS = "tl.store(loss_ptr + row, tl.where(target >= 0, lse - of_target, 0.0))"
OF_TARGET = f"{MASKED}\n    {LOSS}"
ONE_PASS = (
    "        now = tl.maximum(top, tl.max(logits))\n"
    f"        {BASE}  # nothing but −inf so far\n        {TOTAL}\n        top = now\n"
)
SECOND_PASS = """        top = tl.maximum(top, tl.max(logits))
    for start in range(0, V, BLOCK):
        at = start + tl.arange(0, BLOCK)
        logits = tl.load(logits_ptr + row * V + at, mask=at < V, other=-float("inf"))
        logits = logits.to(dtype)
        total += tl.sum(tl.exp(logits - top))
"""
GRADIENT = "(tl.exp(logits - lse) - tl.where(at == target, 1.0, 0.0)) * dloss"
COUNTED = "gradient = tl.where(target >= 0, gradient, 0.0)"
KEPT = "ctx.save_for_backward(logits, targets, lse)"
GIVEN_BACK = (
    "return cross_entropy_backward(logits, targets, lse, dloss.contiguous()), None"
)
DX = "dx = rstd * (g - normed * (tl.sum(g * normed) / N))"
LINE = "tl.store(lines_ptr + tl.program_id(0) * N + at, line, mask=at < N)"
DGATE = "dgate = dout * up * share * (1 + gate * (1 - share))"
WRITTEN_OVER = """        _cross_entropy_backward_kernel[(len(logits),)](
            logits, targets[rows], lse, share[rows], logits, len(weight), BLOCK=32
        )
"""

MISTAKES = [
    Mistake(
        "lse without the largest logit",
        LSE,
        "lse = tl.log(total)",
        "TestCrossEntropyForward::test_one_block",
        says="looks like lse without the largest logit",
    ),
    Mistake(
        "earlier blocks not rescaled",
        TOTAL,
        TOTAL.replace(" * tl.exp(top - base)", ""),
        "TestCrossEntropyForward::test_several_blocks",
        says="looks like earlier blocks are not rescaled",
    ),
    Mistake(
        "the running maximum begins at 0",
        TOP,
        "top = tl.full((), 0.0, dtype)",
        "TestCrossEntropyForward::test_far_from_zero",
        says="inf",
    ),
    Mistake(
        "the target −100 read, and the result thrown away",
        OF_TARGET,
        OF_TARGET.replace(", mask=target >= 0, other=0.0", ""),
        "TestCrossEntropyForward::test_ignored_rows",
        says="load outside of logits_ptr in program (0, 0, 0): element -100, of 280",
    ),
    Mistake(
        "the target −100 taken for a column",
        OF_TARGET,
        ").to(dtype)\n    tl.store(loss_ptr + row, lse - of_target)",
        "TestCrossEntropyForward::test_ignored_rows",
        says="looks like the logit 100 places before",
    ),
    Mistake(
        "an ignored row with a loss",
        LOSS,
        "tl.store(loss_ptr + row, lse - of_target)",
        "TestCrossEntropyForward::test_ignored_rows",
        says="looks like an ignored row has the loss lse",
    ),
    Mistake(
        "maximum and sum in passes of their own",
        ONE_PASS,
        SECOND_PASS,
        "TestCrossEntropyForward::test_one_pass",
        says="1404 numbers were loaded, 711 are enough",
    ),
    Mistake(
        "NaN from −∞ − (−∞)",
        BASE,
        "base = now",
        "TestCrossEntropyForward::test_forbidden_columns",
        says="nan",
        edge=True,
    ),
    Mistake(
        "the softmax alone",
        GRADIENT,
        "tl.exp(logits - lse) * dloss",
        "TestCrossEntropyBackward::test_the_softmax_minus_one_at_the_target",
        says="looks like the softmax alone",
    ),
    Mistake(
        "the target's column counted from the block",
        GRADIENT,
        GRADIENT.replace("at ==", "tl.arange(0, BLOCK) =="),
        "TestCrossEntropyBackward::test_each_row_has_a_dloss",
        says="looks like the target's column counted from the block",
    ),
    Mistake(
        "dloss on the softmax alone",
        GRADIENT,
        "tl.exp(logits - lse) * dloss - tl.where(at == target, 1.0, 0.0)",
        "TestCrossEntropyBackward::test_each_row_has_a_dloss",
        says="looks like dloss scales the softmax alone",
    ),
    Mistake(
        "dloss forgotten",
        GRADIENT,
        GRADIENT.removesuffix(" * dloss"),
        "TestCrossEntropyBackward::test_each_row_has_a_dloss",
        says="looks like dloss not used",
    ),
    Mistake(
        "ignored rows with a gradient",
        COUNTED,
        "",
        "TestCrossEntropyBackward::test_ignored_rows",
        says="looks like ignored rows have their softmax",
    ),
    Mistake(
        "the softmax kept",
        KEPT,
        "ctx.save_for_backward(logits, targets, lse, logits.softmax(1))",
        "TestCrossEntropy::test_nothing_else_of_the_size_of_the_logits_is_kept",
        says="780 numbers are kept, 402 are enough",
    ),
    Mistake(
        "one gradient for two inputs",
        GIVEN_BACK,
        GIVEN_BACK.removesuffix(", None"),
        "TestCrossEntropy::test_value_and_gradient",
        says="returned an incorrect number of gradients (expected 2, got 1)",
    ),
    Mistake(
        "a gradient taken for contiguous",
        GIVEN_BACK,
        GIVEN_BACK.replace(".contiguous()", ""),
        "TestCrossEntropy::test_the_gradient_of_a_sum",
        says="load outside of dloss_ptr in program (1, 0, 0): element 1",
        edge=True,
    ),
    Mistake(
        "the part along x stays",
        DX,
        "dx = rstd * g",
        "TestRmsNormBackward::test_the_gradient_of_the_rows",
        says="looks like the part along x stays",
    ),
    Mistake(
        "a mean over the block",
        DX,
        DX.replace("/ N", "/ BLOCK"),
        "TestRmsNormBackward::test_the_gradient_of_the_rows",
        says="looks like a mean over the block",
    ),
    Mistake(
        "x in place of x̂",
        "line += dy * normed",
        "line += dy * x",
        "TestRmsNormBackward::test_the_gradient_of_the_weight",
        says="looks like x in place of x̂",
    ),
    Mistake(
        "a line that all programs share",
        LINE,
        LINE.replace("tl.program_id(0) * N + ", ""),
        "TestRmsNormBackward::test_groups_of_rows",
        says="which another program wrote",
    ),
    Mistake(
        "rows below the last one unmasked",
        "inside = (at < N) & (row < M)",
        "inside = at < N",
        "TestRmsNormBackward::test_groups_of_rows",
        says="load outside of dy_ptr in program (3, 0, 0): element 429, of 429",
    ),
    Mistake(
        "sums for a frozen weight",
        "sums=ctx.needs_input_grad[1]\n        )",
        "sums=True)",
        "TestRMSNorm::test_a_frozen_weight",
        says="180 numbers were stored, 140 are enough",
        edge=True,
    ),
    Mistake(
        "silu's slope without the part of its sigmoid",
        DGATE,
        "dgate = dout * up * share",
        "TestRegisterSwiglu::test_value_and_gradients",
        says="gradient of input 0",
    ),
    Mistake(
        "the gradient beside the logits, not over them",
        WRITTEN_OVER,
        "        logits = cross_entropy_backward(logits, targets[rows], lse, "
        "share[rows])\n",
        "TestLinearCrossEntropy::test_the_logits_never_exist_at_once",
        says="4 tensors of 296 numbers were made: 2 are enough",
    ),
    Mistake(
        "divided by all rows",
        "share = (targets != -100) / (targets != -100).sum()",
        "share = (targets != -100) / len(targets)",
        "TestLinearCrossEntropy::test_the_mean_leaves_ignored_rows_out",
        says="looks like divided by all 12 rows",
    ),
]

A_ROW = "a row is a program of its own"
UNASKED = {
    f"cross_entropy_backward: {given}, at most two blocks": A_ROW
    for given in ("dloss", "lse")
} | {"rms_norm_backward: rstd, never negative": "1 over a root is positive"}

EQUIVALENT = [
    Equivalent(
        was="of_target = tl.load(logits_ptr + row * V + target, mask=target >= 0)",
        now="of_target = tl.load(logits_ptr + row * V + target, mask=target >= -1)",
        reason="a target is a column or -100",
        textbook=True,
    ),
    Equivalent(
        was="tl.store(loss_ptr + row, tl.where(target >= 0, lse - of_target, 0.0))",
        now="tl.store(loss_ptr + row, tl.where(target >= -1, lse - of_target, 0.0))",
        reason="a target is a column or -100",
        textbook=True,
    ),
    Equivalent(
        was="scale = tl.where(target >= 0, tl.load(dloss_ptr + row), 0.0)",
        now="scale = tl.where(target >= -1, tl.load(dloss_ptr + row), 0.0)",
        reason="a target is a column or -100",
        textbook=True,
    ),
    Equivalent(
        was="_swiglu_backward_kernel[(triton.cdiv(n, 128),)](",
        now="_swiglu_backward_kernel[(triton.cdiv(n, 127),)](",
        reason="programs behind the end store nothing",
        textbook=True,
    ),
    Equivalent(
        was="share = (targets != -100) / (targets != -100).sum()",
        now="share = (targets != -101) / (targets != -100).sum()",
        reason="ignored rows have losses and gradients of 0, whatever their share",
        textbook=True,
    ),
    Equivalent(
        was="share = (targets != -100) / (targets != -100).sum()",
        now="share = (targets != -99) / (targets != -100).sum()",
        reason="ignored rows have losses and gradients of 0, whatever their share",
        textbook=True,
    ),
    Equivalent(
        was="rstd = tl.load(rstd_ptr + row, mask=row < M, other=0.0)",
        now="rstd = tl.load(rstd_ptr + row, mask=row < M)",
        reason="Triton's interpreter takes other=0.0 of a single number for none",
        textbook=True,
    ),
]
