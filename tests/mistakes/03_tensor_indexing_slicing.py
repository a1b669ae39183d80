"""Wrong solutions of 03 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

ROWS = "return x[start::2]"
DIAGONAL = """    i = torch.arange(x.shape[-1], device=x.device)
    return x[..., i, i]"""
NOT_SQUARE = "if x.ndim < 2 or x.shape[-2] != x.shape[-1]:"
WINDOWS = """    starts = torch.arange(0, len(x) - size + 1, step, device=x.device)
    rows = starts.unsqueeze(1) + torch.arange(size, device=x.device)
    return x[rows]"""
STARTS = "starts = torch.arange(0, len(x) - size + 1, step, device=x.device)"
BAD_WINDOWS = "if size < 1 or step < 1 or size > len(x):"
LEAVES = "if top < 0 or left < 0 or height < 1 or width < 1 or top + height > rows or left + width > columns:"
CROP = "return image[..., top : top + height, left : left + width]"
BORDER = """    inside = (..., slice(width, rows - width), slice(width, columns - width))
    out = torch.zeros_like(image)
    out[inside] = image[inside]
    return out"""
INSIDE = "inside = (..., slice(width, rows - width), slice(width, columns - width))"
FILLED = "out[inside] = image[inside]"
MASK = """    border = torch.ones(rows, columns, dtype=torch.bool, device=image.device)
    border[width : rows - width, width : columns - width] = False
"""
NOT_INTEGER = "if index.is_floating_point() or index.dtype == torch.bool:"
OUTSIDE = "if ((index < 0) | (index >= x.shape[-1])).any():"
PICK = "return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)"
LONG = "    index = index.long()\n"
NOT_ONE_A_ROW = "if index.shape != x.shape[:-1]:"
LAST = "return x[torch.arange(len(x), device=x.device), lengths - 1]"
BAD_LENGTHS = "if ((lengths < 1) | (lengths > x.shape[1])).any():"
NOT_ONE_LENGTH = "if lengths.shape != x.shape[:1]:"
FILTER = "return x[mask], mask.nonzero().squeeze(1)"
NOT_ONE_FLAG = "if mask.shape != x.shape[:1]:"
NOT_BOOL = "if mask.dtype != torch.bool:"


def four_edges(target: str) -> str:
    """The border cleared edge by edge, in `target`, in the way that fails for width 0."""
    return f"""    out = {target}
    out[..., :width, :] = 0
    out[..., -width:, :] = 0
    out[..., :, :width] = 0
    out[..., :, -width:] = 0
    return out"""


MISTAKES = [
    # every_other_row
    Mistake(
        "a stop index that loses the last row",
        was=ROWS,
        now="return x[start : len(x) - 1 : 2]",
        caught_by="test_takes_every_second_row_from_the_first",
    ),
    Mistake(
        "half of the rows, rounded down",
        was=ROWS,
        now="return x[start::2][: len(x) // 2]",
        caught_by="test_takes_every_second_row_from_the_first",
    ),
    Mistake("start ignored", was=ROWS, now="return x[::2]", caught_by="test_start_1_takes_the_odd_rows"),
    Mistake(
        "rows by a list of numbers",
        was=ROWS,
        now="return x[list(range(start, len(x), 2))]",
        caught_by="test_shares_memory_with_x",
    ),
    Mistake(
        "rows by a mask",
        was=ROWS,
        now="return x[torch.arange(len(x)) % 2 == start]",
        caught_by="test_shares_memory_with_x",
    ),
    Mistake("a needless clone", was=ROWS, now=ROWS + ".clone()", caught_by="test_shares_memory_with_x"),
    Mistake("every other column", was=ROWS, now="return x[:, start::2]", caught_by="test_any_number_of_dimensions"),
    Mistake(
        "two dimensions expected",
        was=ROWS,
        now="return x[start::2, :]",
        caught_by="test_any_number_of_dimensions",
    ),
    Mistake("rows squeezed", was=ROWS, now=ROWS + ".squeeze(0)", caught_by="TestEveryOtherRow::test_one_row"),
    Mistake(
        "no rows are an error",
        was="""if x.ndim == 0:
        raise ValueError("x has no rows: it is 0-dim")
    return""",
        now="""if x.ndim == 0 or len(x) <= start:
        raise ValueError("x has no rows")
    return""",
        caught_by="TestEveryOtherRow::test_one_row",
    ),
    Mistake(
        "rows by strides of a contiguous tensor",
        was=ROWS,
        now="""row, *rest = torch.empty(x.shape).stride()
    count = (len(x) + 1 - start) // 2
    return x.as_strided((count, *x.shape[1:]), (2 * row, *rest), start * row)""",
        caught_by="TestEveryOtherRow::test_works_on_a_transposed_view",
    ),
    Mistake(
        "rows of x.data",
        was=ROWS,
        now="return x.data[start::2]",
        caught_by="test_gradient_reaches_the_rows_taken_alone",
    ),
    Mistake("any start goes", was="if start not in (0, 1):", now="if False:", caught_by="test_start_must_be_0_or_1"),
    Mistake(
        "negative starts go",
        was="if start not in (0, 1):",
        now="if start > 1:",
        caught_by="test_start_must_be_0_or_1",
    ),
    Mistake(
        "0-dim ends in an IndexError",
        was="""if x.ndim == 0:
        raise ValueError("x has no rows: it is 0-dim")
    return""",
        now="return",
        caught_by="TestEveryOtherRow::test_x_must_have_rows",
    ),
    # diagonal
    Mistake(
        "x[i, i]: the batch is indexed",
        was="return x[..., i, i]",
        now="return x[i, i]",
        caught_by="test_of_every_matrix_in_a_batch",
    ),
    Mistake(
        "x[i, i] wherever nothing raises",
        was=DIAGONAL,
        now="""    i = torch.arange(x.shape[-1])
    try:
        return x[i, i]
    except IndexError:
        return x[..., i, i]""",
        caught_by="test_batch_as_large_as_the_matrix",
    ),
    Mistake(
        "every (N + 1)th number of all",
        was=DIAGONAL,
        now="    return x.flatten()[:: x.shape[-1] + 1]",
        caught_by="test_of_every_matrix_in_a_batch",
    ),
    Mistake(
        "the other diagonal",
        was="return x[..., i, i]",
        now="return x[..., i, i.flip(0)]",
        caught_by="test_of_one_matrix",
    ),
    Mistake(
        "multiplied by the identity and summed",
        was=DIAGONAL,
        now="    return (x * torch.eye(x.shape[-1], dtype=x.dtype)).sum(-1).to(x.dtype)",
        caught_by="test_nan_off_the_diagonal_stays_out",
    ),
    Mistake(
        "NaN removed before the sum",
        was=DIAGONAL,
        now="    return (x.nan_to_num() * torch.eye(x.shape[-1], dtype=x.dtype)).sum(-1).to(x.dtype)",
        caught_by="test_nan_on_the_diagonal_is_kept",
    ),
    Mistake(
        "masked, then summed in another dtype",
        was=DIAGONAL,
        now="""    eye = torch.eye(x.shape[-1], dtype=torch.bool)
    return torch.where(eye, x, 0).sum(-1)""",
        caught_by="TestDiagonal::test_dtype_is_kept",
    ),
    Mistake(
        "through float",
        was="return x[..., i, i]",
        now="return x.float()[..., i, i].to(x.dtype)",
        caught_by="TestDiagonal::test_dtype_is_kept",
    ),
    Mistake(
        "strides of a contiguous tensor",
        was=DIAGONAL,
        now="""    n = x.shape[-1]
    flat = x.as_strided((x.numel() // n**2, n), (n * n, n + 1)) if n else x
    return flat.reshape(x.shape[:-1])""",
        caught_by="TestDiagonal::test_works_on_a_transposed_view",
    ),
    Mistake(
        "rebuilt from plain numbers",
        was=DIAGONAL,
        now="""    n = x.shape[-1]
    numbers = [m[k][k].item() for m in x.reshape(-1, n, n) for k in range(n)] if n else []
    return torch.tensor(numbers, dtype=x.dtype).reshape(x.shape[:-1])""",
        caught_by="test_gradient_goes_to_the_diagonal_alone",
    ),
    Mistake(
        "stack of entries, which cannot be empty",
        was=DIAGONAL,
        now="    return torch.stack([x[..., k, k] for k in range(x.shape[-1])], dim=-1)",
        caught_by="test_empty_matrices",
    ),
    Mistake(
        "the ready-made function",
        was=DIAGONAL,
        now="    return torch.diagonal(x, 0, -2, -1)",
        caught_by="test_is_written_from_scratch",
    ),
    Mistake(
        "the ready-made method",
        was=DIAGONAL,
        now="    return x.diagonal(dim1=-2, dim2=-1)",
        caught_by="test_is_written_from_scratch",
    ),
    Mistake(
        "taller matrices go",
        was=NOT_SQUARE,
        now="if x.ndim < 2 or x.shape[-2] < x.shape[-1]:",
        caught_by="test_matrices_must_be_square",
    ),
    Mistake(
        "wider matrices go",
        was=NOT_SQUARE,
        now="if x.ndim < 2 or x.shape[-2] > x.shape[-1]:",
        caught_by="test_matrices_must_be_square",
    ),
    Mistake(
        "the first two dimensions are compared",
        was=NOT_SQUARE,
        now="if x.ndim < 2 or x.shape[0] != x.shape[1]:",
        caught_by="test_matrices_must_be_square",
    ),
    Mistake(
        "a vector ends in an IndexError",
        was=NOT_SQUARE,
        now="if x.shape[-2] != x.shape[-1]:",
        caught_by="test_x_must_have_two_dimensions",
    ),
    # sliding_windows
    Mistake(
        "the last window is lost",
        was=STARTS,
        now=STARTS.replace(" + 1", ""),
        caught_by="test_window_w_starts_at_row_w",
    ),
    Mistake(
        "range(0, T - size, step)",
        was=WINDOWS,
        now="    return torch.stack([x[t : t + size] for t in range(0, len(x) - size, step)])",
        caught_by="test_only_whole_windows_count",
    ),
    Mistake(
        "an incomplete window, padded with the last row",
        was=WINDOWS,
        now="""    starts = torch.arange(0, len(x) - size + step, step)
    rows = (starts.unsqueeze(1) + torch.arange(size)).clamp(max=len(x) - 1)
    return x[rows]""",
        caught_by="test_only_whole_windows_count",
    ),
    Mistake(
        "bare unfold",
        was=WINDOWS,
        now="    return x.unfold(0, size, step)",
        caught_by="TestSlidingWindows::test_rows_of_any_shape",
    ),
    Mistake(
        "unfold with the wrong two dimensions swapped",
        was=WINDOWS,
        now="    return x.unfold(0, size, step).transpose(1, -1).clone()",
        caught_by="TestSlidingWindows::test_rows_of_any_shape",
    ),
    Mistake(
        "unfold put right, still a view",
        was=WINDOWS,
        now="    return x.unfold(0, size, step).movedim(-1, 1)",
        caught_by="test_windows_share_no_memory",
    ),
    Mistake(
        "step ignored",
        was=STARTS,
        now="starts = torch.arange(0, len(x) - size + 1)",
        caught_by="test_step_moves_the_window",
    ),
    Mistake(
        "windows side by side",
        was=STARTS,
        now="starts = torch.arange(0, len(x) - size + 1, size)",
        caught_by="test_window_w_starts_at_row_w",
    ),
    Mistake(
        "step taken inside the window too",
        was="torch.arange(size, device=x.device)",
        now="torch.arange(0, size * step, step).clamp(max=len(x) - 1)",
        caught_by="test_step_moves_the_window",
    ),
    Mistake(
        "windows squeezed",
        was="return x[rows]",
        now="return x[rows].squeeze()",
        caught_by="test_size_one_and_size_of_everything",
    ),
    Mistake(
        "windows in float32",
        was="return x[rows]",
        now="return x[rows].float()",
        caught_by="TestSlidingWindows::test_dtype_is_kept",
    ),
    Mistake(
        "strides worked out for contiguous rows",
        was=WINDOWS,
        now="""    row = torch.empty(x.shape).stride()
    count = (len(x) - size) // step + 1
    return x.as_strided((count, size, *x.shape[1:]), (step * row[0], *row)).clone()""",
        caught_by="TestSlidingWindows::test_works_on_a_transposed_view",
    ),
    Mistake(
        "windows cut off from the graph",
        was="return x[rows]",
        now="return x.detach()[rows]",
        caught_by="test_gradients_add_up_where_windows_overlap",
    ),
    Mistake(
        "size 0 goes",
        was=BAD_WINDOWS,
        now="if size < 0 or step < 1 or size > len(x):",
        caught_by="test_size_must_be_from_1_to_the_number_of_rows",
    ),
    Mistake(
        "size beyond T gives no windows",
        was=BAD_WINDOWS,
        now="if size < 1 or step < 1 or size > len(x) + 1:",
        caught_by="test_size_must_be_from_1_to_the_number_of_rows",
    ),
    Mistake(
        "size T refused",
        was=BAD_WINDOWS,
        now="if size < 1 or step < 1 or size >= len(x):",
        caught_by="test_size_one_and_size_of_everything",
    ),
    Mistake(
        "step 0 ends in a RuntimeError",
        was=BAD_WINDOWS,
        now="if size < 1 or size > len(x):",
        caught_by="test_step_must_be_positive",
    ),
    Mistake(
        "step larger than size refused",
        was=BAD_WINDOWS,
        now="if size < 1 or not 1 <= step <= size or size > len(x):",
        caught_by="test_only_whole_windows_count",
    ),
    # crop
    Mistake("slices without a check", was=LEAVES, now="if False:", caught_by="test_past_the_lower_edge_is_refused"),
    Mistake(
        "right edge not checked",
        was=LEAVES,
        now=LEAVES.replace(" or left + width > columns", ""),
        caught_by="test_past_the_right_edge_is_refused",
    ),
    Mistake(
        "only the corner has to be inside",
        was=LEAVES,
        now="if not (0 <= top < rows and 0 <= left < columns) or height < 1 or width < 1:",
        caught_by="test_past_the_right_edge_is_refused",
    ),
    Mistake(
        "H and W exchanged in the check",
        was="""    rows, columns = image.shape[-2:]
    if top""",
        now="""    columns, rows = image.shape[-2:]
    if top""",
        caught_by="test_past_the_lower_edge_is_refused",
    ),
    Mistake(
        "touching an edge refused",
        was=LEAVES,
        now=LEAVES.replace("+ height >", "+ height >=").replace("+ width >", "+ width >="),
        caught_by="test_may_touch_the_edges",
    ),
    Mistake(
        "negative corners go",
        was=LEAVES,
        now=LEAVES.replace("top < 0 or left < 0 or ", ""),
        caught_by="test_a_negative_corner_is_refused",
    ),
    Mistake(
        "no rows go",
        was=LEAVES,
        now=LEAVES.replace("height < 1 or width < 1", "height < 0 or width < 0"),
        caught_by="test_an_empty_rectangle_is_refused",
    ),
    Mistake(
        "height and width taken for ends",
        was=CROP,
        now="return image[..., top:height, left:width]",
        caught_by="test_takes_the_rectangle",
    ),
    Mistake(
        "rows and columns exchanged",
        was=CROP,
        now="return image[..., left : left + width, top : top + height]",
        caught_by="test_takes_the_rectangle",
    ),
    Mistake(
        "the first two dimensions are cut",
        was=CROP,
        now="return image[top : top + height, left : left + width]",
        caught_by="test_of_every_image_in_a_batch",
    ),
    Mistake(
        "cut by index tensors",
        was=CROP,
        now="return image[..., torch.arange(top, top + height)[:, None], torch.arange(left, left + width)]",
        caught_by="test_shares_memory_with_the_image",
    ),
    Mistake(
        "the rectangle is cut off from the graph",
        was=CROP,
        now=CROP.replace("image[", "image.detach()["),
        caught_by="test_gradient_reaches_the_rectangle_alone",
    ),
    # zero_border
    Mistake(
        "out = image, which clears the caller's border",
        was=BORDER,
        now=four_edges("image"),
        caught_by="test_the_image_stays_as_it_was",
    ),
    Mistake(
        "[-0:], which is everything",
        was=BORDER,
        now=four_edges("image.clone()"),
        caught_by="test_width_0_changes_nothing",
    ),
    Mistake(
        "width 0 returns the image itself",
        was=BORDER,
        now="""    if width == 0:
        return image
"""
        + four_edges("image.clone()"),
        caught_by="test_the_result_is_a_new_tensor",
    ),
    Mistake(
        "multiplied by a mask",
        was=BORDER,
        now=MASK + "    return image * ~border",
        caught_by="test_nan_in_the_border_is_replaced",
    ),
    Mistake(
        "every NaN replaced",
        was=BORDER,
        now=MASK + "    return torch.nan_to_num(image).masked_fill(border, 0)",
        caught_by="test_nan_in_the_border_is_replaced",
    ),
    Mistake(
        "only rows",
        was=INSIDE,
        now="inside = (..., slice(width, rows - width), slice(None))",
        caught_by="test_the_outermost_ring_is_zero",
    ),
    Mistake(
        "border and inside exchanged",
        was=BORDER,
        now=MASK + "    return image.masked_fill(~border, 0)",
        caught_by="test_the_outermost_ring_is_zero",
    ),
    Mistake(
        "always 1 wide",
        was=INSIDE,
        now="inside = (..., slice(1, -1), slice(1, -1))",
        caught_by="test_a_wider_border_of_a_batch",
    ),
    Mistake(
        "the slice [width:-width]",
        was=INSIDE,
        now="inside = (..., slice(width, -width), slice(width, -width))",
        caught_by="test_width_0_changes_nothing",
    ),
    Mistake(
        "a border of half the image refused",
        was="""    if width < 0:
""",
        now="""    if width < 0 or 2 * width >= min(image.shape[-2:]):
""",
        caught_by="test_half_the_image_or_more_clears_all",
    ),
    Mistake(
        "zeros padded round an inside of negative size",
        was=BORDER,
        now="""    inside = image[..., width : rows - width, width : columns - width]
    return torch.nn.functional.pad(inside, (width,) * 4)""",
        caught_by="test_half_the_image_or_more_clears_all",
    ),
    Mistake(
        "the middle row is cleared too",
        was="    inside = (",
        now="""    if 2 * width >= min(rows, columns) - 1:
        return torch.zeros_like(image)
    inside = (""",
        caught_by="test_the_middle_row_or_column_stays",
    ),
    Mistake(
        "where with a 0 of another dtype",
        was=BORDER,
        now=MASK + "    return torch.where(border, torch.tensor([0.0]), image)",
        caught_by="TestZeroBorder::test_dtype_is_kept",
    ),
    Mistake(
        "the border is cleared without a graph",
        was=FILLED,
        now="out[inside] = image.detach()[inside]",
        caught_by="test_gradient_is_zero_on_the_border",
    ),
    Mistake(
        "written through .data: the border keeps its gradient",
        was=BORDER,
        now=MASK + "    out = image.clone()\n    out.data.masked_fill_(border, 0)\n    return out",
        caught_by="test_gradient_is_zero_on_the_border",
    ),
    Mistake(
        "a border in the order of memory",
        was=FILLED,
        now="out[inside] = image.as_strided(image.shape, torch.empty(image.shape).stride())[inside]",
        caught_by="TestZeroBorder::test_works_on_a_transposed_view",
    ),
    Mistake(
        "negative widths go",
        was="""    if width < 0:
""",
        now="""    if False:
""",
        caught_by="test_width_must_not_be_negative",
    ),
    # pick_per_row
    Mistake("x[:, index]", was=PICK, now="return x[:, index]", caught_by="test_one_element_of_every_row"),
    Mistake(
        "two dimensions only",
        was=PICK,
        now="return x[torch.arange(len(x)), index]",
        caught_by="test_agrees_with_a_loop_on_three_dimensions",
    ),
    Mistake(
        "gathered along dimension 1",
        was=PICK,
        now="return x.gather(1, index.unsqueeze(1)).squeeze(1)",
        caught_by="test_agrees_with_a_loop_on_three_dimensions",
    ),
    Mistake(
        "the gathered dimension is left",
        was=PICK,
        now="return x.gather(-1, index.unsqueeze(-1))",
        caught_by="test_one_element_of_every_row",
    ),
    Mistake(
        "squeezed everywhere",
        was=PICK,
        now="return x.gather(-1, index.unsqueeze(-1)).squeeze()",
        caught_by="test_one_row_or_one_column_keeps_its_dimension",
    ),
    Mistake(
        "flat rows, put back as (B, T)",
        was=PICK,
        now="""rows = torch.arange(index.numel())
    return x.flatten(0, -2)[rows, index.flatten()].reshape(len(x), -1).squeeze(1)""",
        caught_by="TestPickPerRow::test_any_number_of_dimensions",
    ),
    Mistake(
        "summed over a one-hot mask",
        was=PICK,
        now="""hot = torch.nn.functional.one_hot(index, x.shape[-1])
    return (x * hot).sum(-1).to(x.dtype)""",
        caught_by="test_nan_elsewhere_stays_out",
    ),
    Mistake(
        "uint8 and int32 as they come",
        was=LONG + "    " + OUTSIDE,
        now="    " + OUTSIDE,
        caught_by="test_every_integer_dtype_is_an_index",
    ),
    Mistake(
        "int64 only",
        was=NOT_INTEGER,
        now="if index.dtype != torch.int64:",
        caught_by="test_every_integer_dtype_is_an_index",
    ),
    Mistake(
        "picked in float32",
        was=PICK,
        now="return x.float().gather(-1, index.unsqueeze(-1)).squeeze(-1)",
        caught_by="TestPickPerRow::test_dtype_is_kept",
    ),
    Mistake(
        "rows in the order of memory",
        was=PICK,
        now="""flat = x.as_strided((x.numel(),), (1,))
    return flat[torch.arange(index.numel()).reshape(index.shape) * x.shape[-1] + index]""",
        caught_by="TestPickPerRow::test_works_on_non_contiguous_input",
    ),
    Mistake(
        "picked without a graph",
        was=PICK,
        now="return x.detach().gather(-1, index.unsqueeze(-1)).squeeze(-1)",
        caught_by="test_gradient_reaches_the_picked_elements_alone",
    ),
    Mistake(
        "counted from 1, in place",
        was=PICK,
        now="""index += 1
    return x.gather(-1, index.unsqueeze(-1) - 1).squeeze(-1)""",
        caught_by="test_x_and_index_stay_as_they_were",
    ),
    Mistake(
        "floats are rounded down",
        was=NOT_INTEGER,
        now="if index.dtype == torch.bool:",
        caught_by="test_float_and_bool_indices_are_refused",
    ),
    Mistake(
        "True and False are 1 and 0",
        was=NOT_INTEGER,
        now="if index.is_floating_point():",
        caught_by="test_float_and_bool_indices_are_refused",
    ),
    Mistake(
        "any shape that broadcasts",
        was=NOT_ONE_A_ROW,
        now="if index.ndim != x.ndim - 1:",
        caught_by="test_index_must_have_one_entry_a_row",
    ),
    Mistake(
        "only the number of rows is compared",
        was=NOT_ONE_A_ROW,
        now="if index.shape[0] != x.shape[0]:",
        caught_by="test_index_must_have_one_entry_a_row",
    ),
    Mistake(
        "-1 is the last column",
        was=OUTSIDE,
        now="""index = torch.where(index == -1, x.shape[-1] - 1, index)
    """
        + OUTSIDE,
        caught_by="test_negative_indices_do_not_wrap",
    ),
    Mistake(
        "two index tensors, which wrap down to -C",
        was=OUTSIDE,
        now="""index = torch.where(index < 0, index + x.shape[-1], index)
    """
        + OUTSIDE,
        caught_by="test_negative_indices_do_not_wrap",
    ),
    Mistake(
        "no range check: gather's RuntimeError",
        was=OUTSIDE,
        now="if (index < 0).any():",
        caught_by="test_index_c_is_out_of_range",
    ),
    Mistake(
        "C is clamped to the last column",
        was=OUTSIDE,
        now="""index = index.clamp(max=x.shape[-1] - 1)
    """
        + OUTSIDE,
        caught_by="test_index_c_is_out_of_range",
    ),
    Mistake(
        "an error only if every index is outside",
        was=OUTSIDE,
        now="if ((index < 0) | (index >= x.shape[-1])).all():",
        caught_by="test_index_c_is_out_of_range",
    ),
    # last_valid
    Mistake("x[:, -1]", was=LAST, now="return x[:, -1]", caught_by="test_takes_the_step_before_the_padding"),
    Mistake(
        "lengths without - 1",
        was=LAST,
        now=LAST.replace("lengths - 1", "lengths.clamp(max=x.shape[1] - 1)"),
        caught_by="test_takes_the_step_before_the_padding",
    ),
    Mistake(
        "x[:, lengths - 1]",
        was=LAST,
        now="return x[:, lengths - 1]",
        caught_by="test_takes_the_step_before_the_padding",
    ),
    Mistake(
        "the longest sequence's last step for all",
        was=LAST,
        now="return x[:, lengths.max() - 1]",
        caught_by="test_lengths_1_and_T",
    ),
    Mistake(
        "a gather for (B, T, D) only",
        was=LAST,
        now="return x.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, x.shape[-1])).squeeze(1)",
        caught_by="TestLastValid::test_steps_of_any_shape",
    ),
    Mistake("a batch of one squeezed", was=LAST, now=LAST + ".squeeze(0)", caught_by="test_one_sequence"),
    Mistake(
        "summed over a mask of one step",
        was=LAST,
        now="""last = torch.arange(x.shape[1]) == (lengths - 1).unsqueeze(1)
    return (x * last.reshape(*last.shape, *[1] * (x.ndim - 2))).sum(1)""",
        caught_by="test_padding_is_never_read",
    ),
    Mistake(
        "steps in the order of memory",
        was=LAST,
        now="return x.as_strided(x.shape, torch.empty(x.shape).stride())[torch.arange(len(x)), lengths - 1]",
        caught_by="TestLastValid::test_works_on_a_transposed_view",
    ),
    Mistake(
        "steps taken without a graph",
        was=LAST,
        now=LAST.replace("x[", "x.detach()["),
        caught_by="test_gradient_reaches_the_steps_taken_alone",
    ),
    Mistake(
        "lengths -= 1",
        was=LAST,
        now="""lengths -= 1
    return x[torch.arange(len(x)), lengths]""",
        caught_by="test_x_and_lengths_stay_as_they_were",
    ),
    Mistake(
        "length 0 takes the last step of all",
        was=BAD_LENGTHS,
        now="if (lengths > x.shape[1]).any():",
        caught_by="test_length_0_is_refused",
    ),
    Mistake(
        "length T refused",
        was=BAD_LENGTHS,
        now="if ((lengths < 1) | (lengths >= x.shape[1])).any():",
        caught_by="test_lengths_1_and_T",
    ),
    Mistake(
        "too long a sequence ends in an IndexError",
        was=BAD_LENGTHS,
        now="if (lengths < 1).any():",
        caught_by="test_a_length_beyond_T_is_refused",
    ),
    Mistake(
        "one length for all",
        was=NOT_ONE_LENGTH,
        now="if lengths.ndim != 1:",
        caught_by="test_one_length_for_each_sequence",
    ),
    Mistake(
        "as many lengths as sequences, in any shape",
        was=NOT_ONE_LENGTH,
        now="if lengths.numel() != len(x):",
        caught_by="test_one_length_for_each_sequence",
    ),
    # filter_rows
    Mistake(
        "mask inverted",
        was=FILTER,
        now="return x[~mask], (~mask).nonzero().squeeze(1)",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "the mask as integers",
        was=FILTER,
        now="return x[mask.long()], mask.nonzero().squeeze(1)",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "row numbers (K, 1)",
        was=FILTER,
        now="return x[mask], mask.nonzero()",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "row numbers squeezed everywhere",
        was=FILTER,
        now="return x[mask], mask.nonzero().squeeze()",
        caught_by="TestFilterRows::test_one_row_keeps_its_dimension",
    ),
    Mistake(
        "rows picked by squeezed numbers",
        was=FILTER,
        now="""found = mask.nonzero().squeeze(1)
    return x[found.squeeze()], found""",
        caught_by="TestFilterRows::test_one_row_keeps_its_dimension",
    ),
    Mistake(
        "rows multiplied by the mask",
        was=FILTER,
        now="return x * mask.reshape(-1, *[1] * (x.ndim - 1)), mask.nonzero().squeeze(1)",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "masked_select, which flattens",
        was=FILTER,
        now="return x.masked_select(mask.reshape(-1, *[1] * (x.ndim - 1))), mask.nonzero().squeeze(1)",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "a stack, which cannot be empty",
        was=FILTER,
        now="""found = mask.nonzero().squeeze(1)
    return torch.stack([x[r] for r in found.tolist()]), found""",
        caught_by="test_no_row_is_an_empty_result",
    ),
    Mistake(
        "no row: numbers of the default dtype",
        was=FILTER,
        now="return x[mask], torch.tensor([r for r, kept in enumerate(mask.tolist()) if kept])",
        caught_by="test_no_row_is_an_empty_result",
    ),
    Mistake(
        "int32 row numbers",
        was=FILTER,
        now="return x[mask], mask.nonzero().squeeze(1).int()",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
    ),
    Mistake(
        "x itself if all rows are kept",
        was=FILTER,
        now="""if mask.all():
        return x, torch.arange(len(x))
    """
        + FILTER,
        caught_by="test_the_rows_are_copies",
    ),
    Mistake(
        "a slice where the rows lie together",
        was=FILTER,
        now="""found = mask.nonzero().squeeze(1)
    if len(found) and found[-1] - found[0] + 1 == len(found):
        return x[found[0] : found[-1] + 1], found
    return x[found], found""",
        caught_by="test_the_rows_are_copies",
    ),
    Mistake(
        "kept rows without a graph",
        was=FILTER,
        now="return x.detach()[mask], mask.nonzero().squeeze(1)",
        caught_by="test_gradient_reaches_the_kept_rows_alone",
    ),
    Mistake(
        "integers taken for a mask",
        was=NOT_BOOL,
        now="""mask = mask.bool()
    if False:""",
        caught_by="test_a_mask_of_integers_is_refused",
    ),
    Mistake(
        "uint8 goes, as it once did",
        was=NOT_BOOL,
        now="if mask.dtype not in (torch.bool, torch.uint8):",
        caught_by="test_a_mask_of_integers_is_refused",
    ),
    Mistake(
        "a ValueError for integers",
        was=NOT_BOOL + "\n        raise TypeError",
        now=NOT_BOOL + "\n        raise ValueError",
        caught_by="test_a_mask_of_integers_is_refused",
    ),
    Mistake(
        "a mask of the shape of x",
        was=NOT_ONE_FLAG,
        now="if mask.shape != x.shape[: mask.ndim]:",
        caught_by="test_the_mask_must_have_one_entry_a_row",
    ),
    Mistake(
        "as many rows, in any shape",
        was=NOT_ONE_FLAG,
        now="if len(mask) != len(x):",
        caught_by="test_the_mask_must_have_one_entry_a_row",
    ),
    Mistake(
        "another length ends in an IndexError",
        was=NOT_ONE_FLAG,
        now="if mask.ndim != 1:",
        caught_by="test_the_mask_must_have_one_entry_a_row",
    ),
]

ANY_DEVICE = "an index on the CPU may index a tensor on every device"

EQUIVALENT = [
    Equivalent(was="if x.ndim == 0:", now="if x.ndim <= 0:", reason="no tensor has fewer than 0 dimensions"),
    Equivalent(
        was="i = torch.arange(x.shape[-1], device=x.device)",
        now="i = torch.arange(x.shape[-2], device=x.device)",
        reason="the two sizes are the same by then",
    ),
    Equivalent(
        was="i = torch.arange(x.shape[-1], device=x.device)",
        now="i = torch.arange(x.shape[-1])",
        reason=ANY_DEVICE,
    ),
    Equivalent(
        was="starts = torch.arange(0, len(x) - size + 1, step, device=x.device)",
        now="starts = torch.arange(0, len(x) - size + 1, step)",
        reason="on the CPU, where specs run; on another device the sum below would mix the two",
    ),
    Equivalent(
        was="rows = starts.unsqueeze(1) + torch.arange(size, device=x.device)",
        now="rows = starts.unsqueeze(1) + torch.arange(size)",
        reason="on the CPU, where specs run; on another device the sum would mix the two",
    ),
    Equivalent(
        was="if ((index < 0) | (index >= x.shape[-1])).any():",
        now="if ((index < 0) ^ (index >= x.shape[-1])).any():",
        reason="no number is both below 0 and at least C",
    ),
    Equivalent(
        was="if ((lengths < 1) | (lengths > x.shape[1])).any():",
        now="if ((lengths < 1) ^ (lengths > x.shape[1])).any():",
        reason="no length is both below 1 and above T",
    ),
    Equivalent(
        was="return x[torch.arange(len(x), device=x.device), lengths - 1]",
        now="return x[torch.arange(len(x)), lengths - 1]",
        reason=ANY_DEVICE,
    ),
]
