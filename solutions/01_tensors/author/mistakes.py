"""Wrong solutions of 01 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

MISTAKES = [
    # count_to, filled and to_float
    Mistake(
        "counted from 1",
        was="return torch.arange(n)",
        now="return torch.arange(1, n + 1)",
        caught_by="TestCountTo::test_counts_from_zero",
        says="looks like counted from 1",
    ),
    Mistake(
        "rows and columns exchanged",
        was="torch.full((rows, cols), value, dtype=torch.float32)",
        now="torch.full((cols, rows), value, dtype=torch.float32)",
        caught_by="test_one_number_is_everywhere",
        says="looks like rows and columns exchanged",
    ),
    Mistake(
        "the dtype taken from the number",
        was="torch.full((rows, cols), value, dtype=torch.float32)",
        now="torch.full((rows, cols), value)",
        caught_by="test_a_whole_number_gives_float32_too",
        says="dtype int64 expected float32",
    ),
    Mistake(
        "float64 came back: from Python's `float`, or as it was in x",
        was="return x.float()",
        now="return x.to(float)",
        caught_by="TestToFloat::test_whole_numbers_become_float32",
        says="dtype float64 expected float32",
    ),
    # memory_by_dtype
    Mistake(
        "the number of elements instead of bytes",
        was="math.prod(shape) * dtype.itemsize for",
        now="math.prod(shape) for",
        caught_by="test_six_float32_elements_take_24_bytes",
        says="looks like the number of elements, not yet times the bytes of one",
    ),
    Mistake(
        "the tensor allocated to be asked",
        was="math.prod(shape) * dtype.itemsize for",
        now="torch.empty(tuple(shape), dtype=dtype).nbytes for",
        caught_by="test_a_huge_shape_is_answered_at_once",
        says="can't allocate memory: you tried to allocate 8000000000000000 bytes",
    ),
    # describe
    Mistake(
        "storage_nbytes of the view alone",
        was='"storage_nbytes": x.untyped_storage().nbytes()',
        now='"storage_nbytes": x.nbytes',
        caught_by="test_a_strided_view_shares_a_storage_larger_than_itself",
        says="looks like the bytes of the view alone",
    ),
    Mistake(
        "item() always",
        was="x.item() if x.numel() == 1 else None",
        now="x.item()",
        caught_by="test_value_is_none_where_there_are_more_elements",
        says="a Tensor with 3 elements cannot be converted to Scalar",
    ),
    # counting_patterns and random_patterns
    Mistake(
        "arange without a step",
        was="torch.arange(0, 2 * cols, 2, **kind)",
        now="torch.arange(cols, **kind)",
        caught_by="test_vector_counts_in_twos",
        says="looks like arange without a step",
    ),
    Mistake(
        "the matrix counted down the columns",
        was="torch.arange(rows * cols, **kind).reshape(rows, cols)",
        now="torch.arange(rows * cols, **kind).reshape(cols, rows).T",
        caught_by="test_matrix_counts_row_by_row",
        says="looks like counted down the columns",
    ),
    Mistake(
        "the second layer counts from 0 again",
        was="torch.arange(2 * rows * cols, **kind).reshape(2, rows, cols)",
        now="torch.arange(rows * cols, **kind).reshape(rows, cols).repeat(2, 1, 1)",
        caught_by="test_cube_counts_on_into_its_second_layer",
        says="looks like the second layer counts from 0 again",
    ),
    Mistake(
        "linspace never reaches 1",
        was="torch.linspace(0, 1, cols, **kind)",
        now="torch.arange(cols, **kind) / cols",
        caught_by="test_linspace_reaches_one",
        says="looks like steps of 1 / cols, so that 1 is never reached",
    ),
    Mistake(
        "float indices",
        was="torch.arange(cols, device=device)",
        now="torch.arange(cols, **kind)",
        caught_by="test_indices_count_from_zero_in_int64",
        says="dtype float32 expected int64",
    ),
    Mistake(
        "randn for both",
        was="torch.rand(rows, cols, **kind)",
        now="torch.randn(rows, cols, **kind)",
        caught_by="test_uniform_is_spread_over_zero_to_one",
        says="drawn from the normal distribution?",
    ),
    Mistake(
        "torch's global generator used or seeded",
        was="generator}\n    return",
        now="generator}\n    torch.manual_seed(0)\n    return",
        caught_by="TestRandomPatterns::test_a_generator_leaves_the_global_one_alone",
        says="the call changed the state of torch's global generator",
    ),
    # column_to_tensor and tensor_to_dataframe
    Mistake(
        "the dtype of the column kept",
        was="torch.tensor(df[name].to_numpy(), dtype=torch.float32)",
        now="torch.tensor(df[name].to_numpy())",
        caught_by="test_every_column_becomes_float32",
        says='of column "age" dtype int64 expected float32',
    ),
    Mistake(
        "a table with one column",
        was="torch.tensor(df[name].to_numpy(), dtype=torch.float32)",
        now="torch.tensor(df[[name]].to_numpy(), dtype=torch.float32)",
        caught_by="test_the_numbers_of_one_column",
        says="looks like a table with one column, df[[name]]",
    ),
    Mistake(
        "names sorted",
        was="columns=columns, index=index",
        now="columns=sorted(columns), index=index",
        caught_by="test_every_number_is_found_under_its_name_and_label",
        says="looks like sorted by name",
    ),
    # from_array and to_array
    Mistake(
        "never shares",
        was="    return torch.from_numpy(array)  #",
        now="    return torch.tensor(array)  #",
        caught_by="test_writing_to_the_array_shows_in_the_tensor",
        says="looks like a copy, which the change does not reach",
    ),
    Mistake(
        "always shares",
        was="torch.from_numpy(array.copy())",
        now="torch.from_numpy(array)",
        caught_by="test_a_copy_is_independent",
        says="looks like memory that the tensor and the array share",
    ),
    Mistake(
        "memory shared with x",
        was="x.numpy(force=True).copy()",
        now="x.detach().cpu().numpy()",
        caught_by="test_writing_to_the_array_leaves_the_tensor_alone",
        says="looks like memory that x and the array share",
    ),
    # dataframe_to_tensor
    Mistake(
        "all columns as one array, which holds objects in a mixed frame",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now=(
            "    return torch.from_numpy(df.values.copy()).to(dtype), "
            "list(df.columns)\n"
            "    result = torch.empty(df.shape, dtype=dtype)"
        ),
        caught_by="test_numbers_and_bools_may_be_mixed",
        says="can't convert np.ndarray of type numpy.object_",
    ),
    Mistake(
        "everything through float64",
        was="torch.tensor(column.to_numpy())",
        now='torch.tensor(column.to_numpy(dtype="float64"))',
        caught_by="test_int64_keeps_every_digit",
        says="looks like cast through float64",
        edge=True,
    ),
    # to_device
    Mistake(
        "the dict that was given changed",
        was=(
            "        return {key: to_device(value, device) for key, value in "
            "batch.items()}"
        ),
        now=(
            "        for key in batch:\n"
            "            batch[key] = to_device(batch[key], device)\n"
            "        return batch"
        ),
        caught_by="test_the_containers_given_are_not_changed",
        says="the dict that was given holds another list now",
    ),
    # creation_patterns
    Mistake(
        "the default dtype changed",
        was='    return {\n        "scalar"',
        now='    torch.set_default_dtype(dtype)\n    return {\n        "scalar"',
        caught_by="TestCreationPatterns::test_nothing_outside_is_changed",
        says="torch's default dtype after the call",
    ),
]

EQUIVALENT = [
    Equivalent(
        "if x.ndim != 2:",
        "if x.ndim < 2:",
        "pandas refuses an array of three dimensions or more itself, with the same "
        "ValueError",
    ),
    Equivalent(
        "x = x.float()",
        "x = x.double()",
        "tensor_to_dataframe promises float columns and leaves open how wide they are",
    ),
]
