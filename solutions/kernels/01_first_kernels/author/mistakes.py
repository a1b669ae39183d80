"""Wrong solutions of kernels/01 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

ADD_X = "x = tl.load(x_ptr + at, mask=mask)\n    y = tl.load(y_ptr + at, mask=mask)"
ADD_AT = (
    "def _add_kernel(x_ptr, y_ptr, out_ptr, n, BLOCK: tl.constexpr):\n"
    "    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)"
)
ADD_HEAD = ADD_AT.partition("\n")[0]
ADD_GRID = "_add_kernel[(triton.cdiv(n, block),)]"
OUTER_STORE = """tl.store(
        out_ptr + rows[:, None] * N + columns[None, :],
        x[:, None] + y[None, :],
        mask=inside,
    )"""
VIEW_LOAD = "tl.load(x_ptr + rows * down + columns * right, mask=inside)"
GATED = "out = gate * tl.sigmoid(gate) * up"
KEPT = "kept = tl.rand(seed, at) >= p"
DROPPED = "tl.where(kept, x / (1 - p), 0.0)"

MISTAKES = [
    Mistake(
        "loads without a mask",
        ADD_X,
        "x = tl.load(x_ptr + at)\n    y = tl.load(y_ptr + at)",
        "TestAdd::test_lengths_that_are_no_multiple_of_the_block",
        says="load outside of x_ptr in program (0, 0, 0): element 1, of 1",
    ),
    Mistake(
        "a store without a mask",
        "tl.store(out_ptr + at, x + y, mask=mask)",
        "tl.store(out_ptr + at, x + y)",
        "TestAdd::test_lengths_that_are_no_multiple_of_the_block",
        says="store outside of out_ptr",
    ),
    Mistake(
        "every program takes the first block",
        ADD_AT,
        f"{ADD_HEAD}\n    at = tl.arange(0, BLOCK)",
        "TestAdd::test_two_blocks",
        says=(
            "program (1, 0, 0) stores element 0 of out_ptr, which another program wrote"
        ),
    ),
    Mistake(
        "the program's number without the block",
        ADD_AT,
        f"{ADD_HEAD}\n    at = tl.program_id(0) + tl.arange(0, BLOCK)",
        "TestAdd::test_two_blocks",
        says="program (1, 0, 0) stores element 1 of out_ptr",
    ),
    Mistake(
        "numbers that no program stores: perhaps the grid rounded down",
        ADD_GRID,
        "_add_kernel[(n // block,)]",
        "TestAdd::test_lengths_that_are_no_multiple_of_the_block",
        says="looks like a grid rounded down",
    ),
    Mistake(
        "one program per number",
        f"{ADD_GRID}(x, y, out, n, BLOCK=block)",
        "_add_kernel[(n,)](x, y, out, n, BLOCK=1)",
        "TestAdd::test_each_number_is_moved_once",
        says="1000 programs ran, not 16",
    ),
    Mistake(
        "a launch without a grid",
        f"{ADD_GRID}(x, y, out, n, BLOCK=block)",
        "_add_kernel(x, y, out, n, BLOCK=block)",
        "TestAdd::test_two_blocks",
        says="A launch has a grid: _add_kernel[(programs,)]",
    ),
    Mistake(
        "a block as long as the tensor",
        f"{ADD_GRID}(x, y, out, n, BLOCK=block)",
        "_add_kernel[(1,)](x, y, out, n, BLOCK=n)",
        "TestAdd::test_lengths_that_are_no_multiple_of_the_block",
        says="arange's range must be a power of 2",
    ),
    Mistake(
        "shapes not compared",
        "if x.shape != y.shape:",
        "if False:",
        "TestAdd::test_unlike_shapes_are_an_error",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "x along the columns",
        OUTER_STORE,
        "tl.store(out_ptr + rows[:, None] * N + columns[None, :], x[None, :] + y[:, "
        "None], mask=inside)",
        "TestOuterAdd::test_each_tile_loads_its_parts_once",
        says="raised",
    ),
    Mistake(
        "rows as far apart as the block is wide",
        OUTER_STORE,
        OUTER_STORE.replace("* N", "* BLOCK_N"),
        "TestOuterAdd::test_each_tile_loads_its_parts_once",
        says="which another program wrote",
    ),
    Mistake(
        "only the columns masked",
        "inside = (rows[:, None] < M) & (columns[None, :] < N)",
        "inside = (rows[:, None] >= 0) & (columns[None, :] < N)",
        "TestOuterAdd::test_each_tile_loads_its_parts_once",
        says="store outside of out_ptr",
    ),
    Mistake(
        "only the rows masked",
        "inside = (rows[:, None] < M) & (columns[None, :] < N)",
        "inside = (rows[:, None] < M) & (columns[None, :] >= 0)",
        "TestOuterAdd::test_each_tile_loads_its_parts_once",
        says="which another program wrote",
    ),
    Mistake(
        "the view taken for contiguous",
        VIEW_LOAD,
        "tl.load(x_ptr + rows * N + columns, mask=inside)",
        "TestToContiguous::test_a_transposed_matrix",
        says="looks like not transposed",
    ),
    Mistake(
        "one stride alone",
        VIEW_LOAD,
        "tl.load(x_ptr + rows * down + columns, mask=inside)",
        "TestToContiguous::test_gaps_are_never_read",
        says="has a gap",
    ),
    Mistake(
        "strides exchanged",
        VIEW_LOAD,
        "tl.load(x_ptr + rows * right + columns * down, mask=inside)",
        "TestToContiguous::test_gaps_are_never_read",
        says="load outside of x_ptr",
    ),
    Mistake(
        "strides in bytes",
        VIEW_LOAD,
        "tl.load(x_ptr + (rows * down + columns * right) * 4, mask=inside)",
        "TestToContiguous::test_a_transposed_matrix",
        says="load outside of x_ptr",
    ),
    Mistake(
        "always float32",
        "dtype=x.dtype",
        "dtype=torch.float32",
        "TestToContiguous::test_the_dtype_stays",
        says="dtype",
        edge=True,
    ),
    Mistake(
        "silu of up",
        GATED,
        "out = up * tl.sigmoid(up) * gate",
        "TestSwiglu::test_equals_the_formula",
        says="looks like silu of up",
    ),
    Mistake(
        "the place in the block as offset",
        KEPT,
        "kept = tl.rand(seed, tl.arange(0, BLOCK)) >= p",
        "TestDropout::test_the_block_changes_nothing",
        says="differs",
    ),
    Mistake(
        "multiplied by 1 − p",
        DROPPED,
        "tl.where(kept, x * (1 - p), 0.0)",
        "TestDropout::test_what_is_kept_is_scaled",
        says="looks like multiplied by 1 − p",
    ),
    Mistake(
        "not scaled",
        DROPPED,
        "tl.where(kept, x, 0.0)",
        "TestDropout::test_what_is_kept_is_scaled",
        says="looks like not scaled",
    ),
    Mistake(
        "dropped where it is kept",
        KEPT,
        "kept = tl.rand(seed, at) < p",
        "TestDropout::test_what_is_kept_is_scaled",
        says="looks like dropped where it is kept",
    ),
    Mistake(
        "the gradient not scaled",
        "return dropout(grad, p, seed, block)",
        "return dropout(grad, p, seed, block) * (1 - p)",
        "TestDropoutBackward::test_the_same_elements_are_dropped",
        says="looks like not scaled",
    ),
    Mistake(
        "the row's number as an address",
        "x = tl.load(x_ptr + row * N + at, mask=at < N)",
        "x = tl.load(x_ptr + row + at, mask=at < N)",
        "TestGatherRows::test_rows_in_the_order_of_the_index",
        says="looks like a row's number taken for its address: times N",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=KEPT,
        now="kept = tl.rand(seed, at) > p",
        reason="of two billion draws one is exactly p",
        textbook=True,
    ),
]
