"""Wrong solutions of kernels/02 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

SOFTMAX_LOAD = """\
x = tl.load(x_ptr + row * stride + at, mask=at < N, other=-float("inf")).to(
        tl.float32
    )
    powers"""
POWERS = "powers = tl.exp(x - tl.max(x))"
SHARES = "shares = powers / tl.sum(powers)"
SOFTMAX_LAUNCH = (
    "_softmax_kernel[(M,)](x, out, x.stride(0), N, BLOCK=triton.next_power_of_2(N))"
)
RSTD = "rstd = 1 / tl.sqrt(tl.sum(x * x) / N + eps)"
CENTRED = "centred = tl.where(at < N, x - tl.sum(x) / N, 0.0)"
VARIANCE = "variance = tl.sum(centred * centred) / N"
START = (
    "def {}(x_ptr, out_ptr, stride, N, BLOCK: tl.constexpr):\n"
    '    row = tl.program_id(0)\n    top = -float("inf")'
)
LSE_START, ARGMAX_START = (
    START.format("_logsumexp_kernel"),
    START.format("_argmax_kernel"),
)
TURN = (
    "        total = total * tl.exp(top - base) + tl.sum(tl.exp(x - base))\n"
    "        top = now\n"
)
LSE_STORE = "    tl.store(out_ptr + row, top + tl.log(total))"
LSE_TURN = TURN + LSE_STORE
SHRUNK = "total * tl.exp(top - base)"
LONG_TURN = TURN + "    for start in range(0, N, BLOCK):"
LONG_STORE = "tl.store(out_ptr + row * N + at, tl.exp(x - top) / total, mask=at < N)"
LINE_STORE = """tl.store(
        out_ptr + tl.program_id(0) * N + columns, tl.sum(x, axis=0), mask=columns < N
    )"""
FIRST = "first = tl.min(tl.where(x == largest, at, N))"

MISTAKES = [
    Mistake(
        "masked lanes with 0 in a softmax",
        SOFTMAX_LOAD,
        SOFTMAX_LOAD.replace('-float("inf")', "0.0"),
        "TestSoftmax::test_masked_lanes_get_no_share",
        says="looks like masked lanes in the sum",
    ),
    Mistake(
        "NaN: perhaps masked lanes without `other`",
        SOFTMAX_LOAD,
        SOFTMAX_LOAD.replace(', other=-float("inf")', ""),
        "TestSoftmax::test_masked_lanes_get_no_share",
        says="nan",
    ),
    Mistake(
        "NaN: perhaps the maximum not subtracted",
        POWERS,
        "powers = tl.exp(x)",
        "TestSoftmax::test_only_differences_count",
        says="looks like the maximum is not subtracted",
    ),
    Mistake(
        "not divided by the sum",
        SHARES,
        "shares = powers",
        "TestSoftmax::test_rows_become_shares",
        says="looks like not divided by the sum",
    ),
    Mistake(
        "rows of a view taken for neighbours",
        SOFTMAX_LAUNCH,
        SOFTMAX_LAUNCH.replace("x.stride(0)", "N"),
        "TestSoftmax::test_each_number_is_moved_once",
        says="has a gap",
    ),
    Mistake(
        "always float32",
        "out = torch.empty(M, N, dtype=x.dtype)",
        "out = torch.empty(M, N)",
        "TestSoftmax::test_half_precision_is_computed_in_float32",
        says="dtype",
        edge=True,
    ),
    Mistake(
        "a mean over the block",
        RSTD,
        RSTD.replace("/ N", "/ BLOCK"),
        "TestRmsNorm::test_the_mean_is_over_real_lanes",
        says="looks like a mean over the block",
    ),
    Mistake(
        "eps outside of the root",
        RSTD,
        "rstd = 1 / (tl.sqrt(tl.sum(x * x) / N) + eps)",
        "TestRmsNorm::test_the_root_is_kept",
        says="looks like eps outside of the root",
    ),
    Mistake(
        "a weight per row",
        "weight = tl.load(weight_ptr + at, mask=at < N, other=0.0).to(tl.float32)",
        "weight = tl.load(weight_ptr + row * N + at, mask=at < N, "
        "other=0.0).to(tl.float32)",
        "TestRmsNorm::test_rows_have_a_mean_square_of_one",
        says="load outside of weight_ptr in program (1, 0, 0)",
    ),
    Mistake(
        "squares in half precision",
        "x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0).to(tl.float32)\n"
        "    weight",
        "x = tl.load(x_ptr + row * N + at, mask=at < N, other=0.0)\n    weight",
        "TestRmsNorm::test_half_precision_is_computed_in_float32",
        says="differs",
        edge=True,
    ),
    Mistake(
        "masked lanes in the variance",
        CENTRED,
        "centred = x - tl.sum(x) / N",
        "TestLayerNorm::test_masked_lanes_are_not_in_the_variance",
        says="looks like 31 masked lanes in the variance",
    ),
    Mistake(
        "the variance as a difference of squares",
        VARIANCE,
        "variance = tl.sum(x * x) / N - (tl.sum(x) / N) * (tl.sum(x) / N)",
        "TestLayerNorm::test_a_large_mean_costs_no_digits",
        says="differs",
        edge=True,
    ),
    Mistake(
        "earlier blocks not rescaled",
        LSE_TURN,
        LSE_TURN.replace(SHRUNK, "total"),
        "TestLogsumexp::test_a_maximum_in_a_later_block",
        says="looks like earlier blocks are not rescaled",
    ),
    Mistake(
        "each block from its own maximum",
        LSE_TURN,
        LSE_TURN.replace(SHRUNK, "total").replace("x - base", "x - tl.max(x)"),
        "TestLogsumexp::test_a_maximum_in_a_later_block",
        says="looks like each block from its own maximum",
    ),
    Mistake(
        "NaN: perhaps rescaled the other way round",
        LSE_TURN,
        LSE_TURN.replace("top - base", "base - top"),
        "TestLogsumexp::test_one_block",
        says="nan",
    ),
    Mistake(
        "the maximum begins at 0",
        LSE_START,
        LSE_START.replace('-float("inf")', "0.0"),
        "TestLogsumexp::test_far_from_zero",
        says="looks like the largest so far begins at 0",
    ),
    Mistake(
        "the result stored at each turn",
        LSE_TURN,
        LSE_TURN.replace("    tl.store", "        tl.store"),
        "TestLogsumexp::test_one_pass",
        says="21 numbers were stored, 7 are enough",
    ),
    Mistake(
        "maximum and sum in passes of their own",
        LONG_TURN,
        "        top = now\n    for start in range(0, N, BLOCK):\n"
        "        at = start + tl.arange(0, BLOCK)\n"
        "        x = tl.load(x_ptr + row * stride + at, mask=at < N, "
        'other=-float("inf"))\n'
        "        total += tl.sum(tl.exp(x - top))\n"
        "    for start in range(0, N, BLOCK):",
        "TestSoftmaxLong::test_two_passes",
        says="1575 numbers were loaded, 1050 are enough",
    ),
    Mistake(
        "shares of each block",
        LONG_STORE,
        LONG_STORE.replace("/ total", "/ tl.sum(tl.exp(x - top))"),
        "TestSoftmaxLong::test_a_maximum_in_a_later_block",
        says="looks like shares of each block",
    ),
    Mistake(
        "lines that all programs share",
        LINE_STORE,
        LINE_STORE.replace("tl.program_id(0) * N + ", ""),
        "TestColumnSum::test_lines_are_summed_again",
        says="which another program wrote",
    ),
    Mistake(
        "sums by atomics",
        LINE_STORE,
        "tl.store(out_ptr + tl.program_id(0) * N + columns, 0.0, mask=columns < N)\n"
        "    "
        "tl.atomic_add(out_ptr + tl.program_id(0) * N + columns, tl.sum(x, axis=0), "
        "mask=columns < N)",
        "TestColumnSum::test_the_same_bits_in_any_order",
        says="numbers were changed by atomics",
    ),
    Mistake(
        "rows below the last one unmasked",
        "inside = (rows[:, None] < M) & (columns[None, :] < N)",
        "inside = (rows[:, None] >= 0) & (columns[None, :] < N)",
        "TestColumnSum::test_lines_are_summed_again",
        says="load outside of x_ptr",
    ),
    Mistake(
        "the place in the block",
        FIRST,
        "first = tl.min(tl.where(x == largest, tl.arange(0, BLOCK), N))",
        "TestArgmax::test_the_place_counts_from_the_row_s_start",
        says="looks like the place in the block",
    ),
    Mistake(
        "the last of equal ones",
        "place = tl.where(largest > top, first, place)",
        "place = tl.where(largest >= top, first, place)",
        "TestArgmax::test_the_first_of_equal_ones",
        says="looks like the last block's of equal ones",
    ),
    Mistake(
        "the largest so far begins at 0",
        ARGMAX_START,
        ARGMAX_START.replace('-float("inf")', "0.0"),
        "TestArgmax::test_all_negative",
        says="looks like the largest so far begins at 0",
    ),
]

FIRST_WINS = "the first block's largest number is above −∞"
EQUIVALENT = [
    Equivalent(
        was="return x[0]", now="return x[-1]", reason="one line is left", textbook=True
    ),
    Equivalent(was="place = 0", now="place = 1", reason=FIRST_WINS, textbook=True),
    Equivalent(was="place = 0", now="place = -1", reason=FIRST_WINS, textbook=True),
]
