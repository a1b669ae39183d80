"""Wrong solutions of 01 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

MISTAKES = [
    # memory_by_dtype
    Mistake(
        "the number of elements instead of bytes",
        was="math.prod(shape) * dtype.itemsize for",
        now="math.prod(shape) for",
        caught_by="test_six_float32_elements_take_24_bytes",
    ),
    Mistake(
        "sizes added instead of multiplied",
        was="math.prod(shape) *",
        now="sum(shape) *",
        caught_by="test_six_float32_elements_take_24_bytes",
    ),
    Mistake(
        "bits instead of bytes",
        was="* dtype.itemsize for",
        now="* dtype.itemsize * 8 for",
        caught_by="test_six_float32_elements_take_24_bytes",
    ),
    Mistake(
        "four bytes whatever the dtype",
        was="* dtype.itemsize for",
        now="* 4 for",
        caught_by="test_every_dtype_asked_for_has_its_own_entry",
    ),
    Mistake(
        "finfo, which knows floating dtypes only",
        was="* dtype.itemsize for",
        now="* (torch.finfo(dtype).bits // 8) for",
        caught_by="test_every_dtype_asked_for_has_its_own_entry",
    ),
    Mistake(
        "the tensor allocated to be asked",
        was="math.prod(shape) * dtype.itemsize for",
        now="torch.empty(tuple(shape), dtype=dtype).nbytes for",
        caught_by="test_a_shape_of_ten_to_the_twelve_elements_is_answered_at_once",
    ),
    Mistake(
        "at least one element",
        was="math.prod(shape) *",
        now="max(1, math.prod(shape)) *",
        caught_by="test_a_size_of_zero_takes_no_memory",
    ),
    Mistake(
        "no dimensions taken for no elements",
        was="math.prod(shape) *",
        now="(math.prod(shape) if shape else 0) *",
        caught_by="test_the_shape_without_dimensions_is_one_element",
    ),
    Mistake(
        "NumPy's product, a float for the shape ()",
        was="math.prod(shape) *",
        now="np.prod(shape) *",
        caught_by="test_the_shape_without_dimensions_is_one_element",
    ),
    Mistake(
        "negative sizes let through",
        was="if any(size < 0 for size in shape):",
        now="if False:",
        caught_by="test_a_negative_size_is_refused",
    ),
    Mistake(
        "only a negative product refused",
        was="if any(size < 0 for size in shape):",
        now="if math.prod(shape) < 0:",
        caught_by="test_a_negative_size_is_refused",
    ),
    Mistake(
        "a size of 0 refused",
        was="size < 0",
        now="size <= 0",
        caught_by="test_a_size_of_zero_takes_no_memory",
    ),
    # describe
    Mistake(
        "torch.Size instead of a plain tuple",
        was='"shape": tuple(x.shape)',
        now='"shape": x.shape',
        caught_by="test_shape_is_a_plain_tuple",
    ),
    Mistake(
        "the shape as a list",
        was='"shape": tuple(x.shape)',
        now='"shape": list(x.shape)',
        caught_by="test_counts_the_dimensions_and_the_elements",
    ),
    Mistake(
        "len(x) for the number of elements",
        was='"numel": x.numel()',
        now='"numel": len(x) if x.ndim else 1',
        caught_by="test_counts_the_dimensions_and_the_elements",
    ),
    Mistake(
        "the dtype as text",
        was='"dtype": x.dtype,\n        "device": x',
        now='"dtype": str(x.dtype),\n        "device": x',
        caught_by="test_names_the_dtype_and_the_device",
    ),
    Mistake(
        "the device as text",
        was='"device": x.device',
        now='"device": x.device.type',
        caught_by="test_names_the_dtype_and_the_device",
    ),
    Mistake(
        "four bytes for every element",
        was='"element_size": x.element_size()',
        now='"element_size": 4',
        caught_by="test_counts_the_bytes",
    ),
    Mistake(
        "nbytes of the whole storage",
        was='"nbytes": x.nbytes',
        now='"nbytes": x.untyped_storage().nbytes()',
        caught_by="test_a_strided_view_shares_a_storage_larger_than_itself",
    ),
    Mistake(
        "storage_nbytes of the view alone",
        was='"storage_nbytes": x.untyped_storage().nbytes()',
        now='"storage_nbytes": x.nbytes',
        caught_by="test_a_strided_view_shares_a_storage_larger_than_itself",
    ),
    Mistake(
        "storage of the expanded elements",
        was='"storage_nbytes": x.untyped_storage().nbytes()',
        now='"storage_nbytes": max(x.nbytes, x.untyped_storage().nbytes())',
        caught_by="test_an_expanded_tensor_shows_more_than_its_storage_holds",
    ),
    Mistake(
        "elements of the storage instead of bytes",
        was="x.untyped_storage().nbytes()",
        now="x.untyped_storage().nbytes() // x.element_size()",
        caught_by="test_counts_the_bytes",
    ),
    Mistake(
        "is_contiguous not called",
        was="x.is_contiguous()",
        now="x.is_contiguous",
        caught_by="test_says_whether_the_elements_lie_in_order",
    ),
    Mistake(
        "every tensor said to be contiguous",
        was="x.is_contiguous()",
        now="x.contiguous().is_contiguous()",
        caught_by="test_says_whether_the_elements_lie_in_order",
    ),
    Mistake(
        "item() always",
        was="x.item() if x.numel() == 1 else None",
        now="x.item()",
        caught_by="test_value_is_none_unless_there_is_one_element",
    ),
    Mistake(
        "value only without dimensions",
        was="x.item() if x.numel() == 1 else None",
        now="x.item() if x.ndim == 0 else None",
        caught_by="test_one_element_in_any_shape_has_its_value",
    ),
    Mistake(
        "value is still a tensor",
        was="x.item() if x.numel() == 1 else None",
        now="x.squeeze() if x.numel() == 1 else None",
        caught_by="test_value_is_a_python_number",
    ),
    Mistake(
        "value forced to be a float",
        was="x.item() if x.numel() == 1 else None",
        now="float(x.real) if x.numel() == 1 else None",
        caught_by="test_value_is_a_python_number",
    ),
    Mistake(
        "value is the first of many",
        was="x.item() if x.numel() == 1 else None",
        now="x.flatten()[0].item() if x.numel() else None",
        caught_by="test_value_is_none_unless_there_is_one_element",
    ),
    Mistake(
        "an empty tensor asked for its value",
        was="x.numel() == 1",
        now="x.numel() <= 1",
        caught_by="test_value_is_none_unless_there_is_one_element",
    ),
    Mistake(
        "the key value left out where there is none",
        was="""        "value": x.item() if x.numel() == 1 else None,
    }""",
        now="""    } | ({"value": x.item()} if x.numel() == 1 else {})""",
        caught_by="test_value_is_none_unless_there_is_one_element",
    ),
    Mistake(
        "a key too many",
        was='"ndim": x.ndim,',
        now='"ndim": x.ndim, "stride": x.stride(),',
        caught_by="test_has_exactly_the_ten_keys",
    ),
    # creation_patterns
    Mistake(
        "the scalar as a vector of one",
        was="torch.tensor(7, **kind)",
        now="torch.tensor([7], **kind)",
        caught_by="test_scalar_holds_seven",
    ),
    Mistake(
        "torch.Tensor(7), seven numbers that mean nothing",
        was="torch.tensor(7, **kind)",
        now="torch.Tensor(7)",
        caught_by="test_scalar_holds_seven",
    ),
    Mistake(
        "the scalar without the dtype",
        was="torch.tensor(7, **kind)",
        now="torch.tensor(7.0, device=device)",
        caught_by="test_every_tensor_but_indices_has_the_dtype",
    ),
    Mistake(
        "arange without a step",
        was="torch.arange(0, 2 * cols, 2, **kind)",
        now="torch.arange(cols, **kind)",
        caught_by="test_vector_counts_in_twos",
    ),
    Mistake(
        "the vector stops too early",
        was="torch.arange(0, 2 * cols, 2, **kind)",
        now="torch.arange(0, cols, 2, **kind)",
        caught_by="test_vector_counts_in_twos",
    ),
    Mistake(
        "the matrix counted down the columns",
        was="torch.arange(rows * cols, **kind).reshape(rows, cols)",
        now="torch.arange(rows * cols, **kind).reshape(cols, rows).T",
        caught_by="test_matrix_counts_row_by_row",
    ),
    Mistake(
        "rows and columns exchanged",
        was="torch.arange(rows * cols, **kind).reshape(rows, cols)",
        now="torch.arange(rows * cols, **kind).reshape(cols, rows)",
        caught_by="test_matrix_counts_row_by_row",
    ),
    Mistake(
        "the matrix counts from 1",
        was="torch.arange(rows * cols, **kind)",
        now="torch.arange(1, rows * cols + 1, **kind)",
        caught_by="test_matrix_counts_row_by_row",
    ),
    Mistake(
        "the second layer counts from 0 again",
        was="torch.arange(2 * rows * cols, **kind).reshape(2, rows, cols)",
        now="torch.arange(rows * cols, **kind).reshape(rows, cols).repeat(2, 1, 1)",
        caught_by="test_cube_counts_on_into_its_second_layer",
    ),
    Mistake(
        "the layers in the last dimension",
        was="torch.arange(2 * rows * cols, **kind).reshape(2, rows, cols)",
        now="torch.arange(2 * rows * cols, **kind).reshape(rows, cols, 2).permute(2, 0, 1)",
        caught_by="test_cube_counts_on_into_its_second_layer",
    ),
    Mistake(
        "zeros_like ones",
        was="torch.ones(rows, cols, **kind)",
        now="torch.zeros(rows, cols, **kind)",
        caught_by="test_zeros_and_ones_are_filled",
    ),
    Mistake(
        "memory taken as it was found for zeros",
        was="torch.zeros(rows, cols, **kind)",
        now="torch.full((rows, cols), 1e-38, **kind)",
        caught_by="test_zeros_and_ones_are_filled",
    ),
    Mistake(
        "eye of (rows, cols)",
        was="torch.eye(rows, **kind)",
        now="torch.eye(rows, cols, **kind)",
        caught_by="test_eye_is_square_with_ones_on_the_diagonal",
    ),
    Mistake(
        "linspace never reaches 1",
        was="torch.linspace(0, 1, cols, **kind)",
        now="torch.arange(cols, **kind) / cols",
        caught_by="test_linspace_reaches_one",
    ),
    Mistake(
        "linspace divides by zero for one column",
        was="torch.linspace(0, 1, cols, **kind)",
        now="torch.arange(cols, **kind) / (cols - 1)",
        caught_by="test_one_row_or_one_column_is_enough",
    ),
    Mistake(
        "linspace in float32, then widened",
        was="torch.linspace(0, 1, cols, **kind)",
        now="torch.linspace(0, 1, cols, device=device).to(dtype)",
        caught_by="test_the_numbers_have_the_precision_of_the_dtype",
    ),
    Mistake(
        "randn for both",
        was="torch.rand(rows, cols, generator",
        now="torch.randn(rows, cols, generator",
        caught_by="test_uniform_is_spread_over_zero_to_one",
    ),
    Mistake(
        "rand for both",
        was="torch.randn(rows, cols, generator",
        now="torch.rand(rows, cols, generator",
        caught_by="test_normal_has_mean_zero_and_deviation_one",
    ),
    Mistake(
        "uniform from -1 to 1",
        was="torch.rand(rows, cols, generator=generator, **kind)",
        now="torch.rand(rows, cols, generator=generator, **kind) * 2 - 1",
        caught_by="test_uniform_is_spread_over_zero_to_one",
    ),
    Mistake(
        "normal of mean 0 and deviation 1 that is no bell curve",
        was="torch.randn(rows, cols, generator=generator, **kind)",
        now="(torch.rand(rows, cols, generator=generator, **kind) - 0.5) * 12**0.5",
        caught_by="test_normal_has_mean_zero_and_deviation_one",
    ),
    Mistake(
        "uniform drawn in float32 and shortened",
        was="torch.rand(rows, cols, generator=generator, **kind)",
        now="torch.rand(rows, cols, generator=generator, device=device).to(dtype)",
        caught_by="test_uniform_stays_below_one_in_a_short_dtype",
    ),
    Mistake(
        "float indices",
        was="torch.arange(cols, device=device)",
        now="torch.arange(cols, dtype=dtype, device=device)",
        caught_by="test_indices_count_from_zero_in_int64",
    ),
    Mistake(
        "int32 indices",
        was="torch.arange(cols, device=device)",
        now="torch.arange(cols, dtype=torch.int32, device=device)",
        caught_by="test_indices_count_from_zero_in_int64",
    ),
    Mistake(
        "indices left on the CPU",
        was="torch.arange(cols, device=device)",
        now="torch.arange(cols)",
        caught_by="test_every_tensor_is_on_the_device",
    ),
    Mistake(
        "the device ignored",
        was='{"dtype": dtype, "device": device}',
        now='{"dtype": dtype}',
        caught_by="test_every_tensor_is_on_the_device",
    ),
    Mistake(
        "the dtype ignored",
        was='{"dtype": dtype, "device": device}',
        now='{"dtype": torch.float32, "device": device}',
        caught_by="test_every_tensor_but_indices_has_the_dtype",
    ),
    Mistake(
        "the generator for uniform only",
        was="torch.randn(rows, cols, generator=generator, **kind)",
        now="torch.randn(rows, cols, **kind)",
        caught_by="test_equal_generators_give_equal_numbers",
    ),
    Mistake(
        "the generator for normal only",
        was="torch.rand(rows, cols, generator=generator, **kind)",
        now="torch.rand(rows, cols, **kind)",
        caught_by="test_equal_generators_give_equal_numbers",
    ),
    Mistake(
        "the global generator seeded",
        was="    kind: dict[str, Any]",
        now="    torch.manual_seed(0)\n    kind: dict[str, Any]",
        caught_by="test_a_generator_leaves_the_global_one_alone",
    ),
    Mistake(
        "the global generator seeded where none is given",
        was="    kind: dict[str, Any]",
        now="    if generator is None:\n        torch.manual_seed(0)\n    kind: dict[str, Any]",
        caught_by="test_without_a_generator_the_global_one_is_used",
    ),
    Mistake(
        "a generator of its own where none is given",
        was="    kind: dict[str, Any]",
        now="    generator = generator or torch.Generator()\n    kind: dict[str, Any]",
        caught_by="test_without_a_generator_the_global_one_is_used",
    ),
    Mistake(
        "the generator rewound at every call",
        was="    kind: dict[str, Any]",
        now=(
            "    if generator is not None:\n        generator.manual_seed(generator.initial_seed())\n"
            "    kind: dict[str, Any]"
        ),
        caught_by="test_a_generator_goes_on_drawing",
    ),
    Mistake(
        "the global generator seeded from the one given",
        was='"uniform": torch.rand(rows, cols, generator=generator, **kind)',
        now='"uniform": (generator and torch.manual_seed(generator.initial_seed()), torch.rand(rows, cols, **kind))[1]',
        caught_by="test_a_generator_leaves_the_global_one_alone",
    ),
    Mistake(
        "the default dtype changed",
        was="    kind: dict[str, Any]",
        now="    torch.set_default_dtype(dtype)\n    kind: dict[str, Any]",
        caught_by="test_the_default_dtype_stays_what_it_was",
    ),
    Mistake(
        "no rows let through",
        was="if rows < 1 or cols < 1:",
        now="if cols < 1:",
        caught_by="test_less_than_one_row_or_column_is_refused",
    ),
    Mistake(
        "no columns let through",
        was="if rows < 1 or cols < 1:",
        now="if rows < 1:",
        caught_by="test_less_than_one_row_or_column_is_refused",
    ),
    Mistake(
        "one row refused",
        was="if rows < 1 or",
        now="if rows <= 1 or",
        caught_by="test_one_row_or_one_column_is_enough",
    ),
    Mistake(
        "integer dtypes let through",
        was="if not dtype.is_floating_point:",
        now="if False:",
        caught_by="test_a_dtype_that_is_not_floating_point_is_refused",
    ),
    Mistake(
        "only integers refused",
        was="if not dtype.is_floating_point:",
        now="if dtype in (torch.int32, torch.int64):",
        caught_by="test_a_dtype_that_is_not_floating_point_is_refused",
    ),
    # from_array
    Mistake(
        "never shares",
        was="    return torch.from_numpy(array)  #",
        now="    return torch.tensor(array)  #",
        caught_by="test_writing_to_the_array_shows_in_the_tensor",
    ),
    Mistake(
        "always shares",
        was="torch.from_numpy(array.copy())",
        now="torch.from_numpy(array)",
        caught_by="test_a_copy_is_independent",
    ),
    Mistake(
        "torch.Tensor, which is always float32",
        was="    return torch.from_numpy(array)  #",
        now="    return torch.Tensor(array)  #",
        caught_by="TestFromArray::test_keeps_shape_dtype_and_values",
    ),
    Mistake(
        "the copy is float32",
        was="torch.from_numpy(array.copy())",
        now="torch.Tensor(array.copy())",
        caught_by="test_every_dtype_is_kept",
    ),
    Mistake(
        "torch.tensor as the copy, which takes no negative strides",
        was="torch.from_numpy(array.copy())",
        now="torch.tensor(array)",
        caught_by="test_a_reversed_array_can_be_copied",
    ),
    Mistake(
        "a strided array copied to be contiguous",
        was="    return torch.from_numpy(array)  #",
        now="    return torch.from_numpy(np.ascontiguousarray(array))  #",
        caught_by="test_a_strided_array_is_shared_as_well",
    ),
    Mistake(
        "a reversed array copied without being asked",
        was="    return torch.from_numpy(array)  #",
        now="    return torch.from_numpy(array if min(array.strides, default=0) >= 0 else array.copy())  #",
        caught_by="test_a_reversed_array_is_not_shared",
    ),
    Mistake(
        "a read-only array shared after a warning",
        was="if not array.flags.writeable:",
        now="if False:",
        caught_by="test_a_read_only_array_is_not_shared",
    ),
    Mistake(
        "a read-only array refused also for a copy",
        was="""    if copy:
        return torch.from_numpy(array.copy())
    if not array.flags.writeable:""",
        now="""    if copy and array.flags.writeable:
        return torch.from_numpy(array.copy())
    if not array.flags.writeable:""",
        caught_by="test_a_read_only_array_can_be_copied",
    ),
    Mistake(
        "a read-only array copied without being asked",
        was="    if copy:\n",
        now="    if copy or isinstance(array, np.ndarray) and not array.flags.writeable:\n",
        caught_by="test_a_read_only_array_is_not_shared",
    ),
    Mistake(
        "copy is the default",
        was="copy: bool = False) -> Tensor",
        now="copy: bool = True) -> Tensor",
        caught_by="test_writing_to_the_array_shows_in_the_tensor",
    ),
    Mistake(
        "lists taken as well",
        was="""        raise TypeError(f"a NumPy array is needed, not {type(array).__name__}")""",
        now="""        array = np.asarray(array)""",
        caught_by="test_anything_but_an_array_is_refused_by_its_type",
    ),
    Mistake(
        "the type that came is not named",
        was="""(f"a NumPy array is needed, not {type(array).__name__}")""",
        now="""("a NumPy array is needed")""",
        caught_by="test_anything_but_an_array_is_refused_by_its_type",
    ),
    # to_array
    Mistake(
        "memory shared with x",
        was="x.numpy(force=True).copy()",
        now="x.detach().cpu().numpy()",
        caught_by="test_writing_to_the_array_leaves_the_tensor_alone",
    ),
    Mistake(
        "x.numpy() while x requires grad",
        was="x.numpy(force=True).copy()",
        now="x.numpy().copy()",
        caught_by="test_a_tensor_that_requires_grad_is_converted",
    ),
    Mistake(
        "x itself detached",
        was="x.numpy(force=True).copy()",
        now="x.detach_().numpy().copy()",
        caught_by="test_the_tensor_keeps_its_gradient",
    ),
    Mistake(
        "x told not to require grad",
        was="x.numpy(force=True).copy()",
        now="x.requires_grad_(False).numpy().copy()",
        caught_by="test_the_tensor_keeps_its_gradient",
    ),
    Mistake(
        "NumPy's float64 from a list",
        was="x.numpy(force=True).copy()",
        now="np.array(x.tolist())",
        caught_by="TestToArray::test_keeps_shape_and_values",
    ),
    Mistake(
        "everything becomes float32",
        was="    if x.dtype == torch.bfloat16:\n        x = x.float()\n    return x",
        now="    x = x.float()\n    return x",
        caught_by="test_the_dtype_is_kept",
    ),
    Mistake(
        "bfloat16 forgotten",
        was="    if x.dtype == torch.bfloat16:\n        x = x.float()\n    return x",
        now="    return x",
        caught_by="test_bfloat16_becomes_float32",
    ),
    Mistake(
        "bfloat16 becomes float16, whose numbers end at 65504",
        was="x = x.float()\n    return x",
        now="x = x.half()\n    return x",
        caught_by="test_bfloat16_becomes_float32",
    ),
    Mistake(
        "the memory of a transposed tensor in its old order",
        was="x.numpy(force=True).copy()",
        now='x.numpy(force=True).ravel(order="K").reshape(tuple(x.shape)).copy()',
        caught_by="TestToArray::test_a_transposed_tensor_keeps_its_order",
    ),
    # dataframe_to_tensor
    Mistake(
        "df.values of a mixed frame",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now=(
            "    return torch.from_numpy(df.values.copy()).to(dtype), list(df.columns)\n"
            "    result = torch.empty(df.shape, dtype=dtype)"
        ),
        caught_by="test_numbers_and_bools_may_be_mixed",
    ),
    Mistake(
        "everything through float64",
        was="torch.tensor(column.to_numpy())",
        now='torch.tensor(column.to_numpy(dtype="float64"))',
        caught_by="test_int64_keeps_every_digit",
    ),
    Mistake(
        "everything through float32",
        was="torch.tensor(column.to_numpy())",
        now='torch.tensor(column.to_numpy(dtype="float32"))',
        caught_by="test_float64_keeps_every_digit",
    ),
    Mistake(
        "float64 whatever the dtype",
        was="result = torch.empty(df.shape, dtype=dtype)",
        now="result = torch.empty(df.shape, dtype=torch.float64)",
        caught_by="test_rows_and_columns_become_a_matrix",
    ),
    Mistake(
        "float64 by default",
        was="df: pd.DataFrame, *, dtype: torch.dtype = torch.float32",
        now="df: pd.DataFrame, *, dtype: torch.dtype = torch.float64",
        caught_by="test_rows_and_columns_become_a_matrix",
    ),
    Mistake(
        "the dtype asked of NumPy by name",
        was="torch.tensor(column.to_numpy())",
        now='torch.tensor(column.to_numpy(dtype=str(dtype).removeprefix("torch.")))',
        caught_by="test_bfloat16_can_be_asked_for",
    ),
    Mistake(
        "columns sorted by name",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now="    df = df[sorted(df.columns)]\n    result = torch.empty(df.shape, dtype=dtype)",
        caught_by="test_the_order_of_the_frame_is_kept",
    ),
    Mistake(
        "rows sorted by label",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now="    df = df.sort_index()\n    result = torch.empty(df.shape, dtype=dtype)",
        caught_by="test_the_order_of_the_frame_is_kept",
    ),
    Mistake(
        "the index as a column",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now="    df = df.reset_index()\n    result = torch.empty(df.shape, dtype=dtype)",
        caught_by="test_rows_and_columns_become_a_matrix",
    ),
    Mistake(
        "rows and columns exchanged in the tensor",
        was="return result, list(df.columns)",
        now="return result.T, list(df.columns)",
        caught_by="test_rows_and_columns_become_a_matrix",
    ),
    Mistake(
        "the names as a pandas Index",
        was="return result, list(df.columns)",
        now="return result, df.columns",
        caught_by="test_rows_and_columns_become_a_matrix",
    ),
    Mistake(
        "missing numbers filled with 0",
        was="torch.tensor(column.to_numpy())",
        now="torch.tensor(column.fillna(0).to_numpy())",
        caught_by="test_a_missing_number_stays_nan",
    ),
    Mistake(
        "rows with a missing number dropped",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now="    df = df.dropna()\n    result = torch.empty(df.shape, dtype=dtype)",
        caught_by="test_a_missing_number_stays_nan",
    ),
    Mistake(
        "the memory of the frame handed out",
        was="return result, list(df.columns)",
        now="return torch.from_numpy(df.to_numpy()).to(dtype), list(df.columns)",
        caught_by="test_writing_to_the_tensor_leaves_the_frame_alone",
    ),
    Mistake(
        "pandas left to complain about text",
        was="if not pd.api.types.is_numeric_dtype(column):",
        now="if False:",
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "text that looks like a number read as one",
        was="        if not pd.api.types.is_numeric_dtype(column):",
        now="        column = pd.to_numeric(column)\n        if not pd.api.types.is_numeric_dtype(column):",
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "codes invented for categories",
        was="        if not pd.api.types.is_numeric_dtype(column):",
        now=(
            "        column = column.cat.codes if hasattr(column, 'cat') else column\n"
            "        if not pd.api.types.is_numeric_dtype(column):"
        ),
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "only text refused, so that dates become large numbers",
        was="if not pd.api.types.is_numeric_dtype(column):",
        now=(
            "column = column.astype('int64') if column.dtype.kind == 'M' else column\n"
            "        if column.dtype.kind not in 'biuf':"
        ),
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "the last column that is not numeric named",
        was="in enumerate(df.items()):",
        now="in [*enumerate(df.items())][::-1]:",
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "columns that are not numeric left out",
        was="    result = torch.empty(df.shape, dtype=dtype)",
        now="    df = df.select_dtypes(['number', 'bool'])\n    result = torch.empty(df.shape, dtype=dtype)",
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    Mistake(
        "ValueError for text",
        was='raise TypeError(f"column',
        now='raise ValueError(f"column',
        caught_by="test_a_column_that_is_not_numeric_is_named",
    ),
    # tensor_to_dataframe
    Mistake(
        "names sorted",
        was="columns=columns, index=index",
        now="columns=sorted(columns), index=index",
        caught_by="test_names_keep_their_order",
    ),
    Mistake(
        "columns put in alphabetical order",
        was="pd.DataFrame(x.numpy(force=True), columns=columns, index=index, copy=True)",
        now="pd.DataFrame(x.numpy(force=True), columns=[*columns], index=index).sort_index(axis=1)",
        caught_by="test_values_and_names_meet",
    ),
    Mistake(
        "names given to the rows",
        was="pd.DataFrame(x.numpy(force=True), columns=columns, index=index, copy=True)",
        now="pd.DataFrame(x.numpy(force=True).T, index=list(columns), columns=index, copy=True)",
        caught_by="test_values_and_names_meet",
    ),
    Mistake(
        "the index lost",
        was="columns=columns, index=index",
        now="columns=columns",
        caught_by="test_rows_are_numbered_unless_labelled",
    ),
    Mistake(
        "rows put in the order of their labels",
        was="columns=columns, index=index, copy=True)",
        now="columns=columns, index=index, copy=True).sort_index()",
        caught_by="test_rows_are_numbered_unless_labelled",
    ),
    Mistake(
        "integers through a float",
        was="pd.DataFrame(x.numpy(force=True), columns",
        now="pd.DataFrame(x.double().numpy(force=True), columns",
        caught_by="test_integers_give_integer_columns",
    ),
    Mistake(
        "large integers through a float and back",
        was="pd.DataFrame(x.numpy(force=True), columns",
        now="pd.DataFrame(x.double().to(x.dtype).numpy(force=True), columns",
        caught_by="test_a_large_integer_keeps_every_digit",
    ),
    Mistake(
        "x.numpy() while a gradient is attached",
        was="pd.DataFrame(x.numpy(force=True), columns",
        now="pd.DataFrame(x.numpy().copy(), columns",
        caught_by="test_a_result_of_a_model_is_converted",
    ),
    Mistake(
        "bfloat16 not widened for pandas",
        was="        x = x.float()\n    # Asked",
        now="        pass\n    # Asked",
        caught_by="test_bfloat16_is_converted",
    ),
    Mistake(
        "bfloat16 cut down to integers",
        was="        x = x.float()\n    # Asked",
        now="        x = x.long()\n    # Asked",
        caught_by="test_bfloat16_is_converted",
    ),
    Mistake(
        "the frame shares memory with x",
        was="index=index, copy=True)",
        now="index=index, copy=False)",
        caught_by="test_neither_writes_into_the_other",
    ),
    Mistake(
        "a vector taken for a column",
        was="if x.ndim != 2:",
        now="if x.ndim > 2:",
        caught_by="test_only_two_dimensions_are_a_table",
    ),
    Mistake(
        "names too many dropped",
        was="columns=columns, index",
        now="columns=columns[: x.shape[1]], index",
        caught_by="test_the_number_of_names_must_fit",
    ),
    Mistake(
        "columns without a name dropped",
        was="pd.DataFrame(x.numpy(force=True), columns",
        now="pd.DataFrame(x.numpy(force=True)[:, : len(columns)], columns",
        caught_by="test_the_number_of_names_must_fit",
    ),
    # to_device
    Mistake(
        "the dict that was given changed",
        was="        return {key: to_device(value, device) for key, value in batch.items()}",
        now="        for key in batch:\n            batch[key] = to_device(batch[key], device)\n        return batch",
        caught_by="test_the_containers_given_are_not_changed",
    ),
    Mistake(
        "the list that was given changed",
        was="        moved = [to_device(item, device) for item in batch]",
        now=(
            "        moved = [to_device(item, device) for item in batch]\n"
            "        if isinstance(batch, list):\n            batch[:] = moved"
        ),
        caught_by="test_the_containers_given_are_not_changed",
    ),
    Mistake(
        "text looped over",
        was="isinstance(batch, (list, tuple)):",
        now="hasattr(batch, '__iter__'):",
        caught_by="test_anything_else_passes_through",
    ),
    Mistake(
        "every number made a tensor",
        was="    return batch\n",
        now="    return torch.tensor(batch, device=device) if isinstance(batch, float) else batch\n",
        caught_by="test_anything_else_passes_through",
    ),
    Mistake(
        "what is no tensor left out",
        was="for key, value in batch.items()}",
        now="for key, value in batch.items() if not isinstance(value, (str, int))}",
        caught_by="test_anything_else_passes_through",
    ),
    Mistake(
        "one level only",
        was="moved = [to_device(item, device) for item in batch]",
        now="moved = [item.to(device) if isinstance(item, Tensor) else item for item in batch]",
        caught_by="test_every_level_of_a_nested_batch_moves",
    ),
    Mistake(
        "tuples become lists",
        was="else type(batch)(moved)",
        now="else moved",
        caught_by="test_a_list_and_a_tuple_keep_their_type",
    ),
    Mistake(
        "tuples forgotten",
        was="isinstance(batch, (list, tuple)):",
        now="isinstance(batch, list):",
        caught_by="test_a_list_and_a_tuple_keep_their_type",
    ),
    Mistake(
        "a namedtuple becomes a plain tuple",
        was='type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)',
        now="moved if isinstance(batch, list) else tuple(moved)",
        caught_by="test_a_namedtuple_keeps_its_class",
    ),
    Mistake(
        "a namedtuple made from one list",
        was='type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)',
        now="type(batch)(moved)",
        caught_by="test_a_namedtuple_keeps_its_class",
    ),
    Mistake(
        "keys in alphabetical order",
        was="for key, value in batch.items()}",
        now="for key, value in sorted(batch.items(), reverse=False, key=str)}",
        caught_by="test_a_dict_keeps_its_keys_in_order",
    ),
    Mistake(
        "the device not passed down",
        was="{key: to_device(value, device) for",
        now="{key: to_device(value) for",
        caught_by="test_a_dict_keeps_its_keys_in_order",
    ),
    Mistake(
        "None means cpu",
        was='        if torch.cuda.is_available():\n            device = "cuda"\n        else:\n'
        '            device = "mps" if torch.backends.mps.is_available() else "cpu"',
        now='        device = "cpu"',
        caught_by="test_without_a_device_the_best_there_is_gets_chosen",
    ),
    Mistake(
        "None means cuda without looking",
        was="if torch.cuda.is_available():",
        now="if True:",
        caught_by="test_without_a_device_the_best_there_is_gets_chosen",
    ),
    Mistake(
        "mps forgotten",
        was='device = "mps" if torch.backends.mps.is_available() else "cpu"',
        now='device = "cpu"',
        caught_by="test_without_a_device_the_best_there_is_gets_chosen",
    ),
    Mistake(
        "mps before cuda",
        was="if torch.cuda.is_available():",
        now="if torch.cuda.is_available() and not torch.backends.mps.is_available():",
        caught_by="test_without_a_device_the_best_there_is_gets_chosen",
    ),
    Mistake(
        "the dtype lost on the way",
        was="return batch.to(device)",
        now="return batch.float().to(device)",
        caught_by="test_a_tensor_moves",
    ),
]

EQUIVALENT = [
    Equivalent(
        "if x.ndim != 2:",
        "if x.ndim < 2:",
        "pandas refuses an array of three dimensions or more itself, with the same ValueError",
    ),
    Equivalent(
        "x = x.float()",
        "x = x.double()",
        "tensor_to_dataframe promises float columns and leaves open how wide they are",
    ),
]
