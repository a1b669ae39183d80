"""Wrong solutions of kernels/07 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

BEFORE = "    before = tl.load(before_ptr + block - 1, mask=block > 0, other=0)\n"
OWN_LOOP = """    before = 0.0
    for other in range(block):
        before += tl.sum(tl.load(x_ptr + other * BLOCK + tl.arange(0, BLOCK)))
"""
CARRIED = "h = a * carry + b"
CARRY = "carry = tl.sum(tl.where(steps == BT - 1, h, 0.0), axis=0, keep_dims=True)"
ROWS = """mask=(rows < end) & (columns[None, :] < N),
            other=0.0,
        )
        total"""
BETWEEN = """between = tl.where(
            rows[:, None] >= rows[None, :],
            total[:, None] - total[None, :],
            float("-inf"),
        )"""
COUNTED = """other=-1)
    chosen = (experts[:, None] == numbers[None, :]).to(tl.int32)
    tl.store(
        counts_ptr"""
TILES = "tiles = tl.cdiv(end - begin, BM) * across"
INSIDE = "inside = (rows < end) & (columns[None, :] < N)"
FACTOR = "tl.maximum(scale << 23, 1 << 22)"
IN_FLIGHT = "c.stages * (c.bm + c.bn) * c.bk * itemsize"

MISTAKES = [
    Mistake(
        "each block begins at 0",
        "before + tl.cumsum(x, axis=0)",
        "tl.cumsum(x, axis=0)",
        "TestPrefixSum::test_blocks_go_on",
        says="looks like each block begins at 0",
    ),
    Mistake(
        "only the block before counted",
        "        sums = prefix_sum(sums, block)\n",
        "",
        "TestPrefixSum::test_blocks_go_on",
        says="looks like only the block before counted",
    ),
    Mistake(
        "each block sums all blocks before it",
        BEFORE,
        OWN_LOOP,
        "TestPrefixSum::test_each_number_is_loaded_twice",
        says="numbers were loaded",
    ),
    Mistake(
        "the later step put before the earlier one",
        "return a * c, b * c + d",
        "return a * c, a * d + b",
        "TestLinearRecurrence::test_one_block",
        says="looks like the later step put before the earlier one",
    ),
    Mistake(
        "what a block hands on is added, not multiplied by a",
        CARRIED,
        "h = carry + b",
        "TestLinearRecurrence::test_blocks_hand_on",
        says="looks like what a block hands on is added, not multiplied by a",
    ),
    Mistake(
        "what a block hands on is rounded to float16",
        CARRY,
        f"{CARRY}.to(h_ptr.dtype.element_ty).to(tl.float32)",
        "TestLinearRecurrence::test_half_precision",
        says="the last number of column 2",
        edge=True,
    ),
    Mistake(
        "the first row of a group left out",
        "range(begin, end, BM)",
        "range(begin + 1, end, BM)",
        "TestSegmentedSum::test_groups_of_any_length",
        says="looks like the first row of a group left out",
    ),
    Mistake(
        "groups summed up to a full tile",
        ROWS,
        ROWS.replace("(rows < end) & (columns[None, :] < N)", "columns[None, :] < N"),
        "TestSegmentedSum::test_groups_of_any_length",
        says="load outside of x_ptr",
    ),
    Mistake(
        "exp(G) times exp(−G)",
        "* tl.exp(between)",
        "* tl.where(rows[:, None] >= rows[None, :], tl.exp(total)[:, None] * "
        "tl.exp(-total)[None, :], 0.0)",
        "TestLinearAttention::test_strong_decay",
        says="not finite",
    ),
    Mistake(
        "tokens of the future counted",
        BETWEEN,
        "between = total[:, None] - total[None, :]",
        "TestLinearAttention::test_one_chunk",
        says="looks like tokens of the future counted",
    ),
    Mistake(
        "a token faded by its own decay",
        BETWEEN,
        BETWEEN.replace("- total[None, :]", "- total[None, :] + fade[None, :]"),
        "TestLinearAttention::test_a_token_fades_what_was_before",
        says="looks like a token faded by its own decay",
    ),
    Mistake(
        "keys not faded to the chunk's end",
        "faded = k * tl.exp(whole - total)[:, None]",
        "faded = k",
        "TestLinearAttention::test_a_state_from_chunk_to_chunk",
        says="looks like keys not faded to the chunk's end",
    ),
    Mistake(
        "each block of choices sorted by itself",
        "    ends = prefix_sum(counts.flatten())\n",
        "    ends = prefix_sum(counts.T.flatten()).view(blocks, "
        "n_experts).T.flatten()\n",
        "TestPlacesByExpert::test_several_blocks",
        says="looks like each block sorted by itself",
    ),
    Mistake(
        "masked lanes counted for expert 0",
        COUNTED,
        COUNTED.replace("other=-1", "other=0"),
        "TestPlacesByExpert::test_any_number_of_choices",
        says="differs",
    ),
    Mistake(
        "the first matrix for all groups",
        "places = (group * N + columns[:, None]) * K + at",
        "places = columns[:, None] * K + at",
        "TestGroupedMatmul::test_a_matrix_per_group",
        says="looks like the first matrix for all groups",
    ),
    Mistake(
        "one tile per program and group",
        "while tile < first + tiles:",
        "if tile < first + tiles:",
        "TestGroupedMatmul::test_any_number_of_programs",
        says="differs",
    ),
    Mistake(
        "as many tiles per group as for all rows",
        TILES,
        TILES.replace("end - begin", "tl.load(offsets_ptr + E)"),
        "TestGroupedMatmul::test_what_is_moved",
        says="w[0] is loaded",
    ),
    Mistake(
        "rows of the next group overwritten",
        INSIDE,
        INSIDE.replace("rows < end", "rows < tl.load(offsets_ptr + E)"),
        "TestGroupedMatmul::test_what_is_moved",
        says="which another program",
    ),
    Mistake(
        "a bias of 128",
        FACTOR,
        FACTOR.replace("scale", "(scale - 1)"),
        "TestMatmulMxfp4::test_a_scale_per_32_numbers",
        says="looks like a bias of 128",
    ),
    Mistake(
        "a byte of 0 taken for a scale of 0",
        FACTOR,
        "(scale << 23)",
        "TestMatmulMxfp4::test_a_scale_per_32_numbers",
        says="looks like a byte of 0 taken for 0",
    ),
    Mistake(
        "a scale of 255 taken for a number",
        'tl.where(scale == 255, float("nan"), power)',
        "power",
        "TestMatmulMxfp4::test_a_scale_that_is_no_number",
        says="inf",
        edge=True,
    ),
    Mistake(
        "one stage counted",
        IN_FLIGHT,
        IN_FLIGHT.removeprefix("c.stages * "),
        "TestCandidates::test_tiles_in_flight_fit_shared_memory",
        says="looks like one stage counted",
    ),
    Mistake(
        "outputs not put back",
        "                output.copy_(before)\n",
        "                pass\n",
        "TestTuner::test_outputs_are_put_back",
        says="looks like outputs not put back",
    ),
    Mistake(
        "measured in every call",
        "if key not in self.best:",
        "if key:",
        "TestTuner::test_once_per_key",
        says="a second call with the same key runs",
    ),
    Mistake(
        "only a RuntimeError taken for one that cannot run",
        "except Exception:",
        "except RuntimeError:",
        "TestTuner::test_a_configuration_that_cannot_run",
        says="ValueError",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="x = tl.load(x_ptr + at, mask=at < n, other=0.0)",
        now="x = tl.load(x_ptr + at, mask=at < n - 1, other=0.0)",
        reason="the sum of the last block begins no other",
        textbook=True,
    ),
    Equivalent(
        was="ends = counts.T.flatten().cumsum(0).view(n_experts, blocks).T",
        now="ends = counts.T.flatten().cumsum(-1).view(n_experts, blocks).T",
        reason="one dimension",
        textbook=True,
    ),
    Equivalent(
        was="return tl.where(codes > 7, -size, size) * tl.maximum(",
        now="return tl.where(codes > 8, -size, size) * tl.maximum(",
        reason="code 8 is -0",
        textbook=True,
    ),
    Equivalent(
        was="if c.bm * c.bn > registers * 32 * c.warps:",
        now="if c.bm * c.bn > (registers * 32 * c.warps) + 1:",
        reason="tl.arange wants powers of two: no tile has an odd number of elements",
        textbook=True,
    ),
    Equivalent(
        was="largest = [max(16, triton.next_power_of_2(size)) for size in (M, N, K)]",
        now="largest = [max(17, triton.next_power_of_2(size)) for size in (M, N, K)]",
        reason="tl.arange wants sides that are powers of two",
        textbook=True,
    ),
    Equivalent(
        was="if c.bm > largest[0] or c.bn > largest[1] or c.bk > largest[2]:",
        now="if c.bm > largest[0] or c.bn > largest[1] or c.bk > largest[2] + 1:",
        reason="tl.arange wants sides that are powers of two",
        textbook=True,
    ),
    Equivalent(
        was="if c.bm > largest[0] or c.bn > largest[1] or c.bk > largest[2]:",
        now="if c.bm > largest[0] or c.bn > largest[1] + 1 or c.bk > largest[2]:",
        reason="tl.arange wants sides that are powers of two",
        textbook=True,
    ),
    Equivalent(
        was="if c.bm > largest[0] or c.bn > largest[1] or c.bk > largest[2]:",
        now="if c.bm > largest[0] + 1 or c.bn > largest[1] or c.bk > largest[2]:",
        reason="tl.arange wants sides that are powers of two",
        textbook=True,
    ),
]
