"""Wrong solutions of kernels/03 that its specs must catch."""

from grader.course.mistakes import Mistake

IN_B = "in_b = (ks[:, None] < end) & (columns[None, :] < N)"
LOAD_A = """tl.load(
            a_ptr + rows[:, None] * a_down + ks[None, :] * a_right, mask=in_a, other=0.0
        )"""
PRODUCT = 'acc += tl.dot(a, b, input_precision="ieee")'
MATMUL_BEGINS = "    N = b.size(1)\n    out = torch.empty(M, N)\n"
MATMUL_LAUNCH = (
    "_matmul_kernel[grid](a, b, out, M, N, K, *a.stride(), *b.stride(), *block)"
)
HALF = "half = torch.empty(M, N, dtype=a.dtype)"
BIAS = "        acc += bias[None, :]\n"
SILU = '    if ACTIVATION == "silu":\n        acc = acc * tl.sigmoid(acc)\n'
BIAS_LOAD = (
    "    if bias_ptr is not None:\n"
    "        bias = tl.load(bias_ptr + columns, mask=columns < N, other=0.0)\n"
)
LINEAR_BEGINS = "    out = torch.empty(M, N, dtype=x.dtype)\n"
ORDER = "return top + place % height, place // height"
GROUPED_HEIGHT = "height = tl.minimum(GROUP, num_m - top)"
GROUPED_TILE = (
    "rows = (top + place % height) * BM + tl.arange(0, BM)\n"
    "    columns = place // height * BN + tl.arange(0, BN)"
)
ADD = "tl.atomic_add(out_ptr + rows[:, None] * N + columns[None, :], acc, mask=inside)"

MISTAKES = [
    Mistake(
        "the product with the transpose of b",
        PRODUCT,
        PRODUCT.replace("b,", "tl.trans(b),"),
        "TestMatmul::test_one_tile",
        says="looks like a times the transpose of b",
    ),
    Mistake(
        "the last block of K alone",
        PRODUCT,
        PRODUCT.replace("+=", "="),
        "TestMatmul::test_a_sum_over_blocks_of_k",
        says="looks like the last block of K alone",
    ),
    Mistake(
        "strides of a for b",
        MATMUL_LAUNCH,
        MATMUL_LAUNCH.replace("*b.stride()", "*a.stride()"),
        "TestMatmul::test_a_sum_over_blocks_of_k",
        says="load outside of b_ptr",
    ),
    Mistake(
        "the end of K not masked",
        IN_B,
        "in_b = (ks[:, None] >= 0) & (columns[None, :] < N)",
        "TestMatmul::test_sizes_that_are_no_multiple_of_the_block",
        says="load outside of b_ptr in program (2, 1, 0): element",
    ),
    Mistake(
        "NaN: perhaps masked lanes without `other`",
        LOAD_A,
        LOAD_A.replace(", other=0.0", ""),
        "TestMatmul::test_sizes_that_are_no_multiple_of_the_block",
        says="nan",
    ),
    Mistake(
        "views taken for contiguous",
        MATMUL_LAUNCH,
        MATMUL_LAUNCH.replace("*a.stride(), *b.stride()", "K, 1, N, 1"),
        "TestMatmul::test_views_are_read_through_their_strides",
        says="looks like views taken for contiguous",
    ),
    Mistake(
        "views copied before",
        MATMUL_BEGINS,
        f"    a, b = a.contiguous(), b.contiguous()\n{MATMUL_BEGINS}",
        "TestMatmul::test_views_are_read_through_their_strides",
        says="no element of a itself is loaded: was it copied before?",
    ),
    Mistake(
        "the whole of K in one block",
        MATMUL_LAUNCH,
        MATMUL_LAUNCH.replace(
            "*block", "block[0], block[1], triton.next_power_of_2(K)"
        ),
        "TestMatmul::test_blocks_are_obeyed",
        says="are the blocks too large?",
    ),
    Mistake(
        "sizes not compared",
        "if len(b) != K:",
        "if False:",
        "TestMatmul::test_sizes_that_do_not_fit_are_an_error",
        says="raised",
        edge=True,
    ),
    Mistake(
        "the sum in float16",
        PRODUCT,
        "acc = (acc + tl.dot(a, b)).to(a.dtype)",
        "TestMatmulHalf::test_the_sum_is_kept_in_float32",
        says="looks like the sum rounded to float16 at each step",
    ),
    Mistake(
        "copies in float32",
        HALF,
        f"{HALF}\n    a, b = a.float(), b.float()",
        "TestMatmulHalf::test_two_bytes_per_number",
        says="no element of a itself is loaded",
    ),
    Mistake(
        "the bias added in each turn",
        BIAS,
        "        acc += bias[None, :] * tl.cdiv(K, BK)\n",
        "TestLinear::test_the_bias_is_added_once",
        says="looks like the bias added in each turn",
    ),
    Mistake(
        "silu before the bias",
        BIAS_LOAD + BIAS + SILU,
        SILU + BIAS_LOAD + BIAS,
        "TestLinear::test_silu_of_the_whole_sum",
        says="looks like silu before the bias",
    ),
    Mistake(
        "a transposed copy of the weight",
        LINEAR_BEGINS,
        f"    weight = weight.T.contiguous().T\n{LINEAR_BEGINS}",
        "TestLinear::test_one_launch_reads_the_weight_itself",
        says="no element of the weight itself is loaded: was it copied before?",
    ),
    Mistake(
        "the result always float32",
        LINEAR_BEGINS,
        "    out = torch.empty(M, N)\n",
        "TestLinear::test_half_precision",
        says="dtype",
        edge=True,
    ),
    Mistake(
        "any activation taken",
        'if activation not in (None, "silu"):',
        "if False:",
        "TestLinear::test_an_unknown_activation_is_an_error",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "row by row, whatever the group",
        ORDER,
        "return top + place // num_n, place % num_n",
        "TestGroupedOrder::test_columns_of_a_group",
        says="looks like row by row",
    ),
    Mistake(
        "the last group as high as the others",
        "height = min(group, num_m - top)",
        "height = group",
        "TestGroupedOrder::test_the_last_group_may_be_lower",
        says="looks like as if the last group were as high",
    ),
    Mistake(
        "a kernel that goes row by row",
        GROUPED_TILE,
        "rows = tl.program_id(0) // num_n * BM + tl.arange(0, BM)\n"
        "    columns = tl.program_id(0) % num_n * BN + tl.arange(0, BN)",
        "TestMatmulGrouped::test_programs_take_tiles_in_the_grouped_order",
        says="looks like row by row",
    ),
    Mistake(
        "the kernel's last group as high as the others",
        GROUPED_HEIGHT,
        "height = GROUP",
        "TestMatmulGrouped::test_sizes_that_are_no_multiple_of_the_block",
        says="nan",
    ),
    Mistake(
        "parts stored over each other",
        ADD,
        ADD.replace("atomic_add", "store"),
        "TestSplitK::test_parts_are_added",
        says="which another program wrote in the same launch",
    ),
    Mistake(
        "atomics on memory that nobody zeroed",
        "sums = torch.zeros(M, N)",
        "sums = torch.empty(M, N)",
        "TestSplitK::test_parts_are_added",
        says="nan",
    ),
    Mistake(
        "every part to the end of K",
        "end = tl.minimum(begin + part, K)",
        "end = K",
        "TestSplitK::test_parts_are_added",
        says="differs",
    ),
    Mistake(
        "zeros from one of the programs",
        ADD,
        "if tl.program_id(2) == 0:\n"
        "        tl.store(out_ptr + rows[:, None] * N + columns[None, :], "
        "tl.zeros((BM, BN), tl.float32), mask=inside)\n"
        f"    {ADD}",
        "TestSplitK::test_any_order_of_programs",
        says="which another program wrote in the same launch",
    ),
    Mistake(
        "one program for all of K",
        "part = triton.cdiv(triton.cdiv(K, block[2]), splits) * block[2]",
        "part = K",
        "TestSplitK::test_k_is_shared",
        says="the programs of a tile sum over [160] numbers of K",
    ),
]
