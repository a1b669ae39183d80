"""Wrong solutions of 02 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

VIEWED = """    try:
        return x.view(shape), True
    except RuntimeError:  # no view: a copy, or an error for that shape
        return x.reshape(shape), False"""
TURNS = """    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)"""
FLATTENED = "return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape"
PERMUTED = """return by_place.permute(2, 0, 3, 1, 4).reshape(
        channels, rows * height, columns * width
    )"""

MISTAKES = [
    # to_rows and swap_axes
    Mistake(
        "columns taken for the number of rows",
        was="return x.reshape(-1, columns)",
        now="return x.reshape(columns, -1)",
        caught_by="test_the_numbers_fill_row_after_row",
        says="looks like `columns` taken for the number of rows",
    ),
    Mistake(
        "the columns filled first",
        was="return x.reshape(-1, columns)",
        now="return x.reshape(columns, -1).T",
        caught_by="test_the_numbers_fill_row_after_row",
        says="looks like the columns are filled first",
    ),
    Mistake(
        "reshaped instead of transposed",
        was="return x.T",
        now="return x.reshape(x.shape[1], x.shape[0])",
        caught_by="test_rows_become_columns",
        says=(
            "looks like reshaped, which regroups the numbers instead of swapping the "
            "axes"
        ),
    ),
    # add_batch_dim
    Mistake(
        "the new dimension last",
        was="return sample.unsqueeze(0)",
        now="return sample.unsqueeze(-1)",
        caught_by="test_the_sample_becomes_a_batch_of_one",
        says="looks like the new dimension is the last one",
    ),
    Mistake(
        "a stack of one, which copies",
        was="return sample.unsqueeze(0)",
        now="return torch.stack([sample])",
        caught_by="TestAddBatchDim::test_nothing_is_copied",
        says=(
            "looks like an operation that copies: slices, view, transpose and "
            "unsqueeze do not"
        ),
    ),
    Mistake(
        "unsqueezed in place",
        was="return sample.unsqueeze(0)",
        now="return sample.unsqueeze_(0)",
        caught_by="test_the_sample_keeps_its_shape",
        says="looks like an operation in place on the caller's own sample",
    ),
    # drop_batch_dim
    Mistake(
        "every dimension of size 1 goes",
        was="return batch[0]",
        now="return batch.squeeze()",
        caught_by="test_other_dimensions_of_size_1_stay",
        says="looks like every dimension of size 1 removed",
    ),
    Mistake(
        "squeeze(0) unchecked, which does nothing to a batch of two",
        was="""if batch.ndim == 0 or batch.shape[0] != 1:
        raise ValueError(f"expected a batch of one, not the shape {tuple(batch.shape)}")
    return batch[0]""",
        now="return batch.squeeze(0)",
        caught_by="test_a_batch_of_two_is_refused",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    # nhwc_to_nchw
    Mistake(
        "reshaped: the right shape, scrambled pixels",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="N, H, W, C = images.shape; return images.reshape(N, C, H, W)",
        caught_by="test_channels_move_and_pixels_do_not",
        says=(
            "looks like reshaped, which regroups the numbers instead of moving the "
            "channels"
        ),
    ),
    Mistake(
        "H and W swapped",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 2, 1).contiguous()",
        caught_by="test_rows_and_columns_are_not_swapped",
        says="looks like H and W are swapped: every image is transposed",
    ),
    Mistake(
        "a bare permute",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2)",
        caught_by="test_the_result_is_contiguous",
        says="the strides are (60, 1, 15, 3), in order they would be (60, 20, 5, 1)",
        edge=True,
    ),
    Mistake(
        "the graph is cut",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2).contiguous().detach()",
        caught_by="test_the_gradient_lands_on_the_right_pixel",
        says="the result has no autograd graph",
    ),
    # flatten_samples
    Mistake(
        "no batch left",
        was=FLATTENED,
        now="return x.flatten(), sample_shape",
        caught_by="test_row_i_is_sample_i",
        says="looks like everything in one row: the border between samples is lost",
    ),
    Mistake(
        "N is part of the sample shape",
        was=FLATTENED,
        now="return x.reshape(x.shape[0], math.prod(sample_shape)), tuple(x.shape)",
        caught_by="test_the_shape_of_a_sample_comes_along",
        says="looks like the shape of the whole batch, N included",
    ),
    Mistake(
        "view",
        was=FLATTENED,
        now="return x.view(x.shape[0], math.prod(sample_shape)), sample_shape",
        caught_by="test_a_non_contiguous_batch_flattens",
        says="view size is not compatible with input tensor's size and stride",
        edge=True,
    ),
    # unflatten_samples
    Mistake(
        "the rows read as columns",
        was="return flat.reshape(flat.shape[0], *sample_shape)",
        now="return flat.T.reshape(flat.shape[0], *sample_shape)",
        caught_by="test_sample_i_is_row_i_in_its_shape",
        says="looks like the samples are mixed: the rows were read as columns",
    ),
    Mistake(
        "unchecked, N from what is there",
        was="if flat.shape[1] != math.prod(sample_shape):",
        now="""return flat.reshape(-1, *sample_shape)
    if False:""",
        caught_by="test_rows_of_another_length_are_refused",
        says="raised nothing expected an error, such as ValueError",
        edge=True,
    ),
    # reshape_and_check
    Mistake(
        "always a view",
        was=VIEWED,
        now="    return x.reshape(shape), True",
        caught_by="test_a_transposed_tensor_is_copied_where_rows_have_to_join",
        says="looks like called a view without a look: reshape copies where it has to",
    ),
    Mistake(
        "contiguous and view taken for the same",
        was=VIEWED,
        now="    return x.reshape(shape), x.is_contiguous()",
        caught_by="test_a_transposed_tensor_is_viewed_where_that_is_possible",
        says=(
            "looks like is_contiguous() asked: some shapes are views of other "
            "tensors, too"
        ),
    ),
    # interleave
    Mistake(
        "one after the other",
        was=TURNS,
        now="    return torch.cat([a, b], dim=dim)",
        caught_by="test_two_rows_take_turns",
        says="looks like all of a, then all of b",
    ),
    Mistake(
        "stacked in front of the dimension, the same as cat",
        was=TURNS,
        now="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim).flatten(dim, dim + 1)""",
        caught_by="test_along_another_dimension",
        says="looks like all of a, then all of b",
    ),
    Mistake(
        "a negative dimension used as it is",
        was="""    dim %= a.ndim
    return torch""",
        now="    return torch",
        caught_by="test_along_any_dimension_of_any_shape",
        says="flatten() has invalid args: start_dim cannot come after end_dim",
    ),
    # make_grid
    Mistake(
        "reshaped without a permute: stripes",
        was=PERMUTED,
        now="return by_place.reshape(channels, rows * height, columns * width)",
        caught_by="test_each_cell_is_its_image",
        says="looks like reshaped without moving anything",
    ),
    Mistake(
        "the last images are dropped",
        was="rows = math.ceil(count / columns)",
        now="rows = count // columns; count = rows * columns; images = images[:count]",
        caught_by="test_the_last_row_may_be_shorter",
        says="looks like the images of the last row are missing",
    ),
    Mistake(
        "default dtype",
        was="images.new_zeros(rows * columns, channels, height, width)",
        now=(
            "torch.zeros(rows * columns, channels, height, width, device=images.device)"
        ),
        caught_by="TestMakeGrid::test_dtype_and_device_are_kept",
        says="dtype float32 expected uint8",
        edge=True,
    ),
]

GRID_CHECK = "if images.ndim != 4 or images.shape[0] == 0 or columns < 1:"
UNPACKED = "taking the shape apart into four names raises a ValueError of its own"
NEVER_NEGATIVE = "there is no negative number of dimensions, and no negative size"

MOVED = "moves numbers, whatever they are"
UNASKED = {f"{name}: x, never negative": MOVED for name in ("swap_axes", "to_rows")} | {
    "drop_batch_dim: batch, all rows alike": "it has one row"
}

EQUIVALENT = [
    Equivalent(
        was="return batch[0]",
        now="return batch[-1]",
        reason="the first of one sample is also the last",
    ),
    Equivalent(
        was="if batch.ndim == 0 or batch.shape[0] != 1:",
        now="if batch.ndim <= 0 or batch.shape[0] != 1:",
        reason=NEVER_NEGATIVE,
    ),
    Equivalent(was="if x.ndim == 0:", now="if x.ndim <= 0:", reason=NEVER_NEGATIVE),
    Equivalent(
        was="if a.shape != b.shape or a.ndim == 0:",
        now="if a.shape != b.shape or a.ndim <= 0:",
        reason=NEVER_NEGATIVE,
    ),
    Equivalent(
        was=GRID_CHECK,
        now=GRID_CHECK.replace("[0] ==", "[0] <="),
        reason=NEVER_NEGATIVE,
    ),
    Equivalent(
        was=GRID_CHECK,
        now=GRID_CHECK.replace("images.ndim != 4 or ", ""),
        reason=UNPACKED,
    ),
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("!= 4", "> 4"), reason=UNPACKED),
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("!= 4", "< 4"), reason=UNPACKED),
]
