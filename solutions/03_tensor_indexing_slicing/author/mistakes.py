"""Wrong solutions of 03 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

ROWS = "return x[start::2]"
DIAGONAL = """    i = torch.arange(x.shape[-1], device=x.device)
    return x[..., i, i]"""
WINDOWS = """    starts = torch.arange(0, len(x) - size + 1, step, device=x.device)
    rows = starts.unsqueeze(1) + torch.arange(size, device=x.device)
    return x[rows]"""
STARTS = "starts = torch.arange(0, len(x) - size + 1, step, device=x.device)"
LEAVES = """if (
        top < 0
        or left < 0
        or height < 1
        or width < 1
        or top + height > rows
        or left + width > columns
    ):"""
CROP = "return image[..., top : top + height, left : left + width]"
BORDER = """\
    inside = (..., slice(width, rows - width), slice(width, columns - width))
    out = torch.zeros_like(image)
    out[inside] = image[inside]
    return out"""
OUTSIDE = "if ((index < 0) | (index >= x.shape[-1])).any():"
PICK = "return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)"
LAST = "return x[torch.arange(len(x), device=x.device), lengths - 1]"
FILTER = "return x[mask], mask.nonzero().squeeze(1)"


def four_edges(target: str) -> str:
    """The border cleared edge by edge, in `target`, in the way that fails for
    width 0.
    """
    return f"""    out = {target}
    out[..., :width, :] = 0
    out[..., -width:, :] = 0
    out[..., :, :width] = 0
    out[..., :, -width:] = 0
    return out"""


MISTAKES = [
    # first_rows and last_column
    Mistake(
        "row n alone",
        was="return x[:n]",
        now="return x[n]",
        caught_by="test_takes_n_rows_from_the_start",
        says="looks like row n alone",
    ),
    Mistake(
        "the first n columns",
        was="return x[:n]",
        now="return x[:, :n]",
        caught_by="test_takes_n_rows_from_the_start",
        says="looks like the first n columns",
    ),
    Mistake(
        "the last row",
        was="return x[:, -1]",
        now="return x[-1]",
        caught_by="test_takes_the_last_number_of_every_row",
        says="looks like the last row",
    ),
    Mistake(
        "a slice, which keeps the dimension",
        was="return x[:, -1]",
        now="return x[:, -1:]",
        caught_by="test_takes_the_last_number_of_every_row",
        says="looks like a matrix with one column",
    ),
    # every_other_row
    Mistake(
        "a stop index that loses the last row",
        was=ROWS,
        now="return x[start : len(x) - 1 : 2]",
        caught_by="test_takes_every_second_row_from_the_first",
        says="looks like the last row is lost",
    ),
    Mistake(
        "rows by a list of numbers",
        was=ROWS,
        now="return x[list(range(start, len(x), 2))]",
        caught_by="test_shares_memory_with_x",
        says=(
            "looks like an operation that copies: slices, view, transpose and "
            "unsqueeze do not"
        ),
    ),
    Mistake(
        "every other column",
        was=ROWS,
        now="return x[..., start::2]",
        caught_by="test_any_number_of_rows_of_any_shape",
        says="looks like taken along the last dimension",
    ),
    # diagonal
    Mistake(
        "x[i, i]: the batch is indexed",
        was="return x[..., i, i]",
        now="return x[i, i]",
        caught_by="test_batch_as_large_as_the_matrix",
        says="looks like x[i, i]: the batch was indexed",
    ),
    Mistake(
        "every (N + 1)th number of all",
        was=DIAGONAL,
        now="    return x.flatten()[:: x.shape[-1] + 1]",
        caught_by="test_of_every_matrix_in_a_batch",
        says="looks like every sixth number of all, without regard to the batch",
    ),
    Mistake(
        "the ready-made method",
        was=DIAGONAL,
        now="    return x.diagonal(dim1=-2, dim2=-1)",
        caught_by="test_is_written_from_scratch",
        says="this exercise is to be written without torch.Tensor.diagonal",
    ),
    Mistake(
        "multiplied by the identity and summed",
        was=DIAGONAL,
        now=(
            "    return (x * torch.eye(x.shape[-1], dtype=x.dtype)).sum(-1).to(x.dtype)"
        ),
        caught_by="test_nan_off_the_diagonal_stays_out",
        says="looks like multiplied by the identity and summed: 0 · NaN is NaN",
        edge=True,
    ),
    # sliding_windows
    Mistake(
        "range(0, T - size, step)",
        was=STARTS,
        now="starts = torch.arange(0, len(x) - size, step, device=x.device)",
        caught_by="test_window_w_starts_at_row_w",
        says="looks like the last window is lost",
    ),
    Mistake(
        "bare unfold",
        was=WINDOWS,
        now="    return x.unfold(0, size, step)",
        caught_by="test_rows_of_any_shape",
        says="looks like bare unfold: the place in the window is the last dimension",
    ),
    Mistake(
        "unfold put right, still a view",
        was=WINDOWS,
        now="    return x.unfold(0, size, step).movedim(-1, 1)",
        caught_by="test_windows_share_no_memory",
        says="looks like views: the windows beside it share rows with window 1",
        edge=True,
    ),
    # crop
    Mistake(
        "height and width taken for ends",
        was=CROP,
        now="return image[..., top:height, left:width]",
        caught_by="test_takes_the_rectangle",
        says="looks like height and width are ends",
    ),
    Mistake(
        "slices without a check",
        was=LEAVES,
        now="if False:",
        caught_by="test_past_the_lower_edge_is_refused",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    # zero_border
    Mistake(
        "out = image, which clears the caller's border",
        was=BORDER,
        now=four_edges("image"),
        caught_by="test_the_image_stays_as_it_was",
        says=(
            "of image after the call, which must not write to it differs at 36 of 60 "
            "places"
        ),
    ),
    Mistake(
        "[-0:], which is everything",
        was=BORDER,
        now=four_edges("image.clone()"),
        caught_by="test_width_0_changes_nothing",
        says="looks like everything was cleared: [-0:] is [0:]",
        edge=True,
    ),
    # pick_per_row
    Mistake(
        "x[:, index]",
        was=PICK,
        now="return x[:, index]",
        caught_by="test_one_element_of_every_row",
        says="looks like x[:, index]: every row gave all the columns",
    ),
    Mistake(
        "squeezed everywhere",
        was=PICK,
        now="return x.gather(-1, index.unsqueeze(-1)).squeeze()",
        caught_by="TestPickPerRow::test_any_number_of_dimensions",
        says="looks like every dimension of size 1 removed",
    ),
    Mistake(
        "two index tensors, so that -1 wraps",
        was=OUTSIDE,
        now="""\
picked = x.flatten(0, -2)[torch.arange(index.numel()), index.flatten()]
    return picked.reshape(index.shape)
    if False:""",
        caught_by="test_negative_indices_do_not_wrap",
        says="raised nothing expected an error, such as IndexError",
        edge=True,
    ),
    # last_valid
    Mistake(
        "x[:, lengths - 1]",
        was=LAST,
        now="return x[:, lengths - 1]",
        caught_by="test_takes_the_step_before_the_padding",
        says="looks like x[:, lengths - 1]: every sequence gave all the steps",
    ),
    Mistake(
        "lengths without - 1",
        was=LAST,
        now="return x[torch.arange(len(x)), lengths.clamp(max=x.shape[1] - 1)]",
        caught_by="test_takes_the_step_before_the_padding",
        says="looks like one step too far",
    ),
    # filter_rows
    Mistake(
        "a mask of integers as an index",
        was=FILTER,
        now="return x[mask.long()], mask.nonzero().squeeze(1)",
        caught_by="test_keeps_the_rows_where_the_mask_is_true",
        says="looks like the mask read as row numbers 0 and 1",
    ),
    Mistake(
        "squeeze() without a position, which takes a single row's dimension",
        was=FILTER,
        now="return x[mask], mask.nonzero().squeeze()",
        caught_by="test_one_row_keeps_its_dimension",
        says="looks like every dimension of size 1 removed",
    ),
]


ANY_DEVICE = "an index on the CPU may index a tensor on every device"

UNASKED = {
    f"{given}, never negative": "moves numbers, whatever they are"
    for given in (
        "crop: image",
        "every_other_row: x",
        "filter_rows: x",
        "first_rows: x",
        "last_column: x",
        "sliding_windows: x",
    )
}

EQUIVALENT = [
    Equivalent(
        was="if x.ndim == 0:",
        now="if x.ndim <= 0:",
        reason="no tensor has fewer than 0 dimensions",
    ),
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
        reason=(
            "on the CPU, where specs run; on another device the sum below would mix "
            "the two"
        ),
    ),
    Equivalent(
        was="rows = starts.unsqueeze(1) + torch.arange(size, device=x.device)",
        now="rows = starts.unsqueeze(1) + torch.arange(size)",
        reason=(
            "on the CPU, where specs run; on another device the sum would mix the two"
        ),
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
    Equivalent(
        was="i = torch.arange(x.shape[-1])",
        now="i = torch.arange(x.shape[-2])",
        reason="the matrices are square",
        textbook=True,
    ),
]
