"""Wrong solutions of 02 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

RESHAPED = """    try:
        return x.view(shape), True
    except RuntimeError:  # no view: a copy, or an error for that shape
        pass
    try:
        return x.reshape(shape), False
    except RuntimeError as error:
        raise ValueError(f"{tuple(x.shape)} cannot be reshaped to {tuple(shape)}") from error"""
ONE_RESHAPE = """    try:
        reshaped = x.reshape(shape)
    except RuntimeError as error:
        raise ValueError("does not fit") from error
    return reshaped, """

MISTAKES = [
    # add_batch_dim
    Mistake(
        "the new dimension last",
        was="return sample.unsqueeze(0)",
        now="return sample.unsqueeze(-1)",
        caught_by="test_the_sample_becomes_a_batch_of_one",
    ),
    Mistake(
        "the new dimension second",
        was="return sample.unsqueeze(0)",
        now="return sample.unsqueeze(1)",
        caught_by="test_the_sample_becomes_a_batch_of_one",
    ),
    Mistake(
        "an index for each size",
        was="return sample.unsqueeze(0)",
        now="return sample[None, :]",
        caught_by="test_a_number_becomes_a_batch_of_one_number",
    ),
    Mistake(
        "a stack of one, which copies",
        was="return sample.unsqueeze(0)",
        now="return torch.stack([sample])",
        caught_by="TestAddBatchDim::test_nothing_is_copied",
    ),
    Mistake(
        "a clone",
        was="return sample.unsqueeze(0)",
        now="return sample.clone()[None]",
        caught_by="TestAddBatchDim::test_nothing_is_copied",
    ),
    Mistake(
        "unsqueezed in place",
        was="return sample.unsqueeze(0)",
        now="return sample.unsqueeze_(0)",
        caught_by="test_the_sample_keeps_its_shape",
    ),
    Mistake(
        "the graph is cut",
        was="return sample.unsqueeze(0)",
        now="return sample.detach()[None]",
        caught_by="test_gradients_reach_the_sample",
    ),
    # drop_batch_dim
    Mistake(
        "every dimension of size 1 goes",
        was="return batch[0]",
        now="return batch.squeeze()",
        caught_by="test_other_dimensions_of_size_1_stay",
    ),
    Mistake(
        "a clone",
        was="return batch[0]",
        now="return batch[0].clone()",
        caught_by="TestDropBatchDim::test_nothing_is_copied",
    ),
    Mistake(
        "squeezed in place",
        was="return batch[0]",
        now="return batch.squeeze_(0)",
        caught_by="test_the_batch_keeps_its_shape",
    ),
    Mistake(
        "the graph is cut",
        was="return batch[0]",
        now="return batch.data[0]",
        caught_by="TestDropBatchDim::test_gradients_reach_the_batch",
    ),
    Mistake(
        "squeeze(0) unchecked, which does nothing to a batch of two",
        was="""if batch.ndim == 0 or batch.shape[0] != 1:
        raise ValueError(f"expected a batch of one, not the shape {tuple(batch.shape)}")
    return batch[0]""",
        now="return batch.squeeze(0)",
        caught_by="test_a_batch_of_two_is_refused",
    ),
    Mistake(
        "the first of several samples",
        was="if batch.ndim == 0 or batch.shape[0] != 1:",
        now="if batch.ndim == 0:",
        caught_by="test_a_batch_of_two_is_refused",
    ),
    Mistake(
        "an empty batch goes on to an IndexError",
        was="if batch.ndim == 0 or batch.shape[0] != 1:",
        now="if batch.ndim == 0 or batch.shape[0] > 1:",
        caught_by="test_an_empty_batch_is_refused",
    ),
    Mistake(
        "the size asked of a tensor without dimensions",
        was="if batch.ndim == 0 or batch.shape[0] != 1:",
        now="if batch.shape[0] != 1:",
        caught_by="TestDropBatchDim::test_a_tensor_without_dimensions_is_refused",
    ),
    # nhwc_to_nchw
    Mistake(
        "reshaped: the right shape, scrambled pixels",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="N, H, W, C = images.shape; return images.reshape(N, C, H, W)",
        caught_by="test_channels_move_and_pixels_do_not",
    ),
    Mistake(
        "H and W swapped",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 2, 1).contiguous()",
        caught_by="test_rows_and_columns_are_not_swapped",
    ),
    Mistake(
        "a bare permute",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2)",
        caught_by="test_the_result_is_contiguous",
    ),
    Mistake(
        "a clone, which keeps the strides",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2).clone()",
        caught_by="test_the_result_is_contiguous",
    ),
    Mistake(
        "always float32",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2).contiguous().float()",
        caught_by="test_any_dtype_is_kept",
    ),
    Mistake(
        "the graph is cut",
        was="return images.permute(0, 3, 1, 2).contiguous()",
        now="return images.permute(0, 3, 1, 2).contiguous().detach()",
        caught_by="test_the_gradient_lands_on_the_right_pixel",
    ),
    Mistake(
        "only too few dimensions are refused",
        was="if images.ndim != 4:",
        now="if images.ndim < 4:",
        caught_by="test_only_four_dimensions_are_a_batch_of_images",
    ),
    # flatten_samples
    Mistake(
        "no batch left",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.flatten(), sample_shape",
        caught_by="test_row_i_is_sample_i",
    ),
    Mistake(
        "the samples in the columns",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], -1).T, sample_shape",
        caught_by="test_row_i_is_sample_i",
    ),
    Mistake(
        "view",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.view(x.shape[0], math.prod(sample_shape)), sample_shape",
        caught_by="test_a_non_contiguous_batch_flattens",
    ),
    Mistake(
        "-1 for the width, which 0 elements do not tell",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], -1), sample_shape",
        caught_by="test_an_empty_batch_keeps_its_width",
    ),
    Mistake(
        "the number of elements divided by N",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], x.numel() // max(x.shape[0], 1)), sample_shape",
        caught_by="test_an_empty_batch_keeps_its_width",
    ),
    Mistake(
        "flatten(1), which a batch of numbers lacks",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.flatten(1), sample_shape",
        caught_by="test_a_batch_of_numbers_gets_one_column",
    ),
    Mistake(
        "the graph is cut",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="x = x.detach(); return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        caught_by="TestFlattenSamples::test_gradients_reach_the_batch",
    ),
    Mistake(
        "N is part of the sample shape",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], math.prod(sample_shape)), tuple(x.shape)",
        caught_by="test_the_shape_of_a_sample_comes_along",
    ),
    Mistake(
        "a torch.Size",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], math.prod(sample_shape)), x.shape[1:]",
        caught_by="test_the_sample_shape_is_a_plain_tuple",
    ),
    Mistake(
        "a list",
        was="return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape",
        now="return x.reshape(x.shape[0], math.prod(sample_shape)), list(sample_shape)",
        caught_by="test_the_sample_shape_is_a_plain_tuple",
    ),
    Mistake(
        "a tensor without dimensions goes on to an IndexError",
        was="if x.ndim == 0:",
        now="if False:",
        caught_by="TestFlattenSamples::test_a_tensor_without_dimensions_is_refused",
    ),
    # unflatten_samples
    Mistake(
        "the rows read as columns",
        was="return flat.reshape(flat.shape[0], *sample_shape)",
        now="return flat.T.reshape(flat.shape[0], *sample_shape)",
        caught_by="test_sample_i_is_row_i_in_its_shape",
    ),
    Mistake(
        "unflatten, which wants a size at least",
        was="return flat.reshape(flat.shape[0], *sample_shape)",
        now="return flat.unflatten(1, sample_shape)",
        caught_by="test_one_column_and_no_shape_make_a_batch_of_numbers",
    ),
    Mistake(
        "only a tuple can be added to a tuple",
        was="return flat.reshape(flat.shape[0], *sample_shape)",
        now="return flat.reshape((flat.shape[0],) + sample_shape)",
        caught_by="test_the_shape_may_be_a_list_or_a_torch_size",
    ),
    Mistake(
        "the graph is cut",
        was="return flat.reshape(flat.shape[0], *sample_shape)",
        now="flat = flat.detach(); return flat.reshape(flat.shape[0], *sample_shape)",
        caught_by="test_gradients_reach_the_rows",
    ),
    Mistake(
        "unchecked, N from what is there",
        was="if flat.shape[1] != math.prod(sample_shape):",
        now="""return flat.reshape(-1, *sample_shape)
    if False:""",
        caught_by="test_rows_of_another_length_are_refused",
    ),
    Mistake(
        "torch's own error for a row of another length",
        was="if flat.shape[1] != math.prod(sample_shape):",
        now="if False:",
        caught_by="test_rows_of_another_length_are_refused",
    ),
    Mistake(
        "all elements counted instead of D",
        was="if flat.shape[1] != math.prod(sample_shape):",
        now="if flat.numel() != len(flat) * math.prod(sample_shape):",
        caught_by="test_a_wrong_shape_is_noticed_on_an_empty_batch_too",
    ),
    Mistake(
        "-1 filled in",
        was="if flat.shape[1] != math.prod(sample_shape):",
        now="if -1 not in sample_shape and flat.shape[1] != math.prod(sample_shape):",
        caught_by="test_minus_one_is_no_size",
    ),
    Mistake(
        "more than two dimensions are fine",
        was="if flat.ndim != 2:",
        now="if flat.ndim < 2:",
        caught_by="test_flat_must_be_two_dimensional",
    ),
    # reshape_and_check
    Mistake(
        "always a view",
        was=RESHAPED,
        now=ONE_RESHAPE + "True",
        caught_by="test_a_transposed_tensor_is_copied_where_rows_have_to_join",
    ),
    Mistake(
        "contiguous and view taken for the same",
        was=RESHAPED,
        now=ONE_RESHAPE + "x.is_contiguous()",
        caught_by="test_a_transposed_tensor_is_viewed_where_that_is_possible",
    ),
    Mistake(
        "asks for x as the base of the view",
        was=RESHAPED,
        now=ONE_RESHAPE + "reshaped._base is x",
        caught_by="test_a_view_of_a_view_is_a_view",
    ),
    Mistake(
        "a contiguous x wherever x is not",
        was=RESHAPED,
        now="    x = x.contiguous()\n" + RESHAPED,
        caught_by="test_a_transposed_tensor_is_copied_where_rows_have_to_join",
    ),
    Mistake(
        "flattened on the way, which copies",
        was=RESHAPED,
        now=ONE_RESHAPE.replace("x.reshape", "x.flatten().reshape") + "reshaped.data_ptr() == x.data_ptr()",
        caught_by="test_a_transposed_tensor_is_viewed_where_that_is_possible",
    ),
    Mistake(
        "the graph is cut",
        was="return x.reshape(shape), False",
        now="return x.detach().reshape(tuple(shape)), False",
        caught_by="TestReshapeAndCheck::test_gradients_reach_x",
    ),
    Mistake(
        "torch's own error",
        was="    except RuntimeError as error:",
        now="    except KeyError as error:",
        caught_by="test_a_shape_that_does_not_fit_is_a_value_error",
    ),
    Mistake(
        "the sizes compared, -1 or not",
        was=RESHAPED,
        now="    if math.prod(shape) != x.numel():\n        raise ValueError('does not fit')\n" + RESHAPED,
        caught_by="test_minus_one_stands_for_what_is_left",
    ),
    Mistake(
        "two -1 go on to torch's error",
        was=RESHAPED,
        now="""    if -1 not in shape and math.prod(shape) != x.numel() or x.numel() % math.prod(shape):
        raise ValueError("does not fit")
    try:
        return x.view(shape), True
    except RuntimeError:
        return x.reshape(shape), False""",
        caught_by="test_two_unknown_sizes_are_a_value_error",
    ),
    # interleave
    Mistake(
        "along the last dimension if none is named",
        was="dim: int = 0)",
        now="dim: int = -1)",
        caught_by="test_the_first_dimension_is_the_default",
    ),
    Mistake(
        "one after the other",
        was="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)""",
        now="    return torch.cat([a, b], dim=dim)",
        caught_by="test_two_rows_take_turns",
    ),
    Mistake(
        "stacked in front of the dimension, the same as cat",
        was="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)""",
        now="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim).flatten(dim, dim + 1)""",
        caught_by="test_two_rows_take_turns",
    ),
    Mistake(
        "stacked last whatever the dimension",
        was="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)""",
        now="""    dim %= a.ndim
    return torch.stack([a, b], dim=-1).flatten(dim, dim + 1)""",
        caught_by="test_along_every_dimension",
    ),
    Mistake(
        "b first",
        was="torch.stack([a, b]",
        now="torch.stack([b, a]",
        caught_by="test_two_rows_take_turns",
    ),
    Mistake(
        "a negative dimension used as it is",
        was="""    dim %= a.ndim
    return torch""",
        now="    return torch",
        caught_by="test_negative_dimensions_count_from_the_end",
    ),
    Mistake(
        "default dtype",
        was="""    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)""",
        now="""    dim %= a.ndim
    sizes = list(a.shape)
    sizes[dim] *= 2
    out = torch.empty(sizes).transpose(0, dim)
    out[0::2], out[1::2] = a.transpose(0, dim), b.transpose(0, dim)
    return out.transpose(0, dim)""",
        caught_by="TestInterleave::test_dtype_and_device_are_kept",
    ),
    Mistake(
        "the graph of b is cut",
        was="torch.stack([a, b]",
        now="torch.stack([a, b.detach()]",
        caught_by="test_gradients_reach_both",
    ),
    Mistake(
        "broadcast where possible",
        was="if a.shape != b.shape or a.ndim == 0:",
        now="""a, b = torch.broadcast_tensors(a, b)
    if a.ndim == 0:""",
        caught_by="test_shapes_that_differ_are_refused",
    ),
    Mistake(
        "numbers without dimensions",
        was="if a.shape != b.shape or a.ndim == 0:",
        now="if a.shape != b.shape:",
        caught_by="test_numbers_without_dimensions_are_refused",
    ),
    Mistake(
        "a dimension out of range wraps round",
        was="if not -a.ndim <= dim < a.ndim:",
        now="if False:",
        caught_by="test_a_dimension_out_of_range_is_an_index_error",
    ),
    Mistake(
        "one dimension too many",
        was="if not -a.ndim <= dim < a.ndim:",
        now="if not -a.ndim <= dim <= a.ndim:",
        caught_by="test_a_dimension_out_of_range_is_an_index_error",
    ),
    # make_grid
    Mistake(
        "reshaped without a permute: stripes",
        was="return by_place.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)",
        now="return by_place.reshape(channels, rows * height, columns * width)",
        caught_by="test_each_cell_is_its_image",
    ),
    Mistake(
        "rows of pixels not between rows and columns of cells",
        was="return by_place.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)",
        now="return by_place.permute(2, 0, 1, 3, 4).reshape(channels, rows * height, columns * width)",
        caught_by="test_each_cell_is_its_image",
    ),
    Mistake(
        "the columns are filled first",
        was="return by_place.permute(2, 0, 3, 1, 4).reshape(channels, rows * height, columns * width)",
        now="by_place = cells.reshape(columns, rows, channels, height, width)\n"
        "    return by_place.permute(2, 1, 3, 0, 4).reshape(channels, rows * height, columns * width)",
        caught_by="test_each_cell_is_its_image",
    ),
    Mistake(
        "the last images are dropped",
        was="rows = math.ceil(count / columns)",
        now="rows = count // columns; count = rows * columns; images = images[:count]",
        caught_by="test_the_last_row_may_be_shorter",
    ),
    Mistake(
        "a row too many where N is divisible",
        was="rows = math.ceil(count / columns)",
        now="rows = count // columns + 1",
        caught_by="test_each_cell_is_its_image",
    ),
    Mistake(
        "no more columns than images",
        was="rows = math.ceil(count / columns)",
        now="columns = min(columns, count); rows = math.ceil(count / columns)",
        caught_by="test_more_columns_than_images",
    ),
    Mistake(
        "ones in the empty cells",
        was="images.new_zeros",
        now="images.new_ones",
        caught_by="test_the_last_row_may_be_shorter",
    ),
    Mistake(
        "default dtype",
        was="images.new_zeros(rows * columns, channels, height, width)",
        now="torch.zeros(rows * columns, channels, height, width, device=images.device)",
        caught_by="TestMakeGrid::test_dtype_and_device_are_kept",
    ),
    Mistake(
        "padded only where needed, so that one image is not copied",
        was="""    cells = images.new_zeros(rows * columns, channels, height, width)
    cells[:count] = images""",
        now="""    cells = images
    if rows * columns > count:
        cells = torch.cat([images, images.new_zeros(rows * columns - count, channels, height, width)])""",
        caught_by="test_the_grid_is_a_new_tensor",
    ),
    Mistake(
        "no image makes a grid without rows",
        was="if images.ndim != 4 or images.shape[0] == 0 or columns < 1:",
        now="if images.ndim != 4 or columns < 1:",
        caught_by="test_only_a_batch_of_images_makes_a_grid",
    ),
    Mistake(
        "columns unchecked",
        was="if images.ndim != 4 or images.shape[0] == 0 or columns < 1:",
        now="if images.ndim != 4 or images.shape[0] == 0:",
        caught_by="test_there_is_at_least_one_column",
    ),
]

GRID_CHECK = "if images.ndim != 4 or images.shape[0] == 0 or columns < 1:"
UNPACKED = "taking the shape apart into four names raises a ValueError of its own"
NEVER_NEGATIVE = "there is no negative number of dimensions, and no negative size"

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
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("[0] ==", "[0] <="), reason=NEVER_NEGATIVE),
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("images.ndim != 4 or ", ""), reason=UNPACKED),
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("!= 4", "> 4"), reason=UNPACKED),
    Equivalent(was=GRID_CHECK, now=GRID_CHECK.replace("!= 4", "< 4"), reason=UNPACKED),
]
