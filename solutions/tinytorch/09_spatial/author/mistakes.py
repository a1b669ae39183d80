"""Wrong solutions of tinytorch/09 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

WINDOW = "(window * weight.data[o]).sum()"
ADDED = """padded[
                :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
            ] += windows[:, :, i, j]"""
BY_WEIGHT = "(grad @ im2col(x, k, stride, padding).swapaxes(1, 2)).sum(axis=0)"
POOLED = "    cols = im2col(x.data.reshape(B * C, 1, H, W), kernel_size, stride)\n"
CHOSEN = """    np.put_along_axis(
        chosen, cols.argmax(axis=1)[:, None], grad.reshape(B * C, 1, -1), axis=1
    )
"""
NEXT = """width,
            output_size(output_size(image_size, kernel_size, 1, padding), 2, 2)"""
MOVED = "(B * C * H * W + parameters + B * outputs) * itemsize"

MISTAKES = [
    Mistake(
        "rounded up",
        was="return (n + 2 * padding - kernel_size) // stride + 1",
        now="return -(-(n + 2 * padding - kernel_size) // stride) + 1",
        caught_by="test_how_often_the_kernel_fits",
        says="looks like rounded up",
    ),
    Mistake(
        "padding counted once",
        was="return (n + 2 * padding - kernel_size) // stride + 1",
        now="return (n + padding - kernel_size) // stride + 1",
        caught_by="test_how_often_the_kernel_fits",
        says="looks like padding at one end only",
    ),
    Mistake(
        "nothing is refused",
        was=(
            "    if kernel_size < 1 or stride < 1 or padding < 0 or kernel_size > n + "
            "2 * padding:\n"
        ),
        now="    if False:\n",
        caught_by="test_what_does_not_fit_is_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "the kernel flipped",
        was=WINDOW,
        now="(window * weight.data[o][:, ::-1, ::-1]).sum()",
        caught_by="test_the_kernel_is_not_flipped",
        says="looks like the kernel turned by 180 degrees",
    ),
    Mistake(
        "one channel for all",
        was=WINDOW,
        now="(window[0] * weight.data[o, 0]).sum()",
        caught_by="test_channels_are_added_up",
        says="looks like the first input channel only",
    ),
    Mistake(
        "padding on one side",
        was=(
            "    padded = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), "
            "(padding, padding)))\n"
        ),
        now=(
            "    padded = np.pad(x.data, ((0, 0), (0, 0), (0, 2 * padding), (0, 2 * "
            "padding)))\n"
        ),
        caught_by="TestConv2dLoops::test_any_stride_and_padding",
        says="stride 1, padding 1",
    ),
    Mistake(
        "channels may broadcast",
        was="    if x.ndim != 4 or x.shape[1] != weight.shape[1]:\n",
        now="    if False:\n",
        caught_by="TestConv2dLoops::test_another_shape_is_refused",
        says="raised nothing",
        edge=True,
    ),
    Mistake(
        "windows read column by column",
        was="cols[:, :, i, j] = padded",
        now="cols[:, :, j, i] = padded",
        caught_by="test_a_column_per_window",
        says="looks like windows read column by column",
    ),
    Mistake(
        "positions in front",
        was="return cols.reshape(B, C * kernel_size**2, rows * columns)",
        now=(
            "return cols.transpose(0, 4, 5, 1, 2, 3).reshape(B, C * kernel_size**2, "
            "rows * columns)"
        ),
        caught_by="test_the_order_of_rows_and_positions",
        says="looks like reshaped to (B, C·K·K, L) with the positions in front",
    ),
    Mistake(
        "assigned, not added",
        was=ADDED,
        now=ADDED.replace("+=", "="),
        caught_by="test_overlapping_entries_add_up",
        says="looks like the last entry only",
    ),
    Mistake(
        "the padding stays",
        was="return padded[:, :, padding : padding + H, padding : padding + W]",
        now="return padded[:, :, :H, :W]",
        caught_by="test_the_padding_is_dropped",
        says="looks like cut at the lower right only",
    ),
    Mistake(
        "height and width exchanged",
        was="@ cols).reshape(shape)",
        now="@ cols).reshape(*shape[:2], shape[3], shape[2])",
        caught_by="TestConv2dFunction::test_equals_pytorch",
        says="looks like height and width exchanged",
    ),
    Mistake(
        "bias along a row",
        was="out = out + bias.data[:, None, None]",
        now="out = out + bias.data",
        caught_by="TestConv2dFunction::test_one_bias_per_output_channel",
        says="looks like the bias added along each row",
    ),
    Mistake(
        "the bias is not announced",
        was="inputs = (x, weight) if bias is None else (x, weight, bias)",
        now="inputs = (x, weight)",
        caught_by="TestConv2dFunction::test_it_announces_itself_with_its_inputs",
        says="must be the Tensors x, weight, bias",
    ),
    Mistake(
        "stride ignored in the backward",
        was="grads = (\n        col2im(by_column, x.shape, k, stride, padding)",
        now="grads = (col2im(by_column, x.shape, k, 1, padding)",
        caught_by="test_rows_that_no_window_read_have_no_gradient",
        says="cannot reshape array of size 16 into shape (1,1,2,2,5,5)",
    ),
    Mistake(
        "the mean over the batch",
        was=BY_WEIGHT,
        now=BY_WEIGHT.replace("sum(", "mean("),
        caught_by="test_gradients_of_images_kernels_and_bias",
        says="looks like half of it",
    ),
    Mistake(
        "start values of the wrong fan-in",
        was="(in_channels * kernel_size**2) ** -0.5",
        now="in_channels**-0.5",
        caught_by="test_the_range_of_the_draws",
        says="the largest weight is",
    ),
    Mistake(
        "pool by reshape only",
        was=POOLED,
        now="""    cols = (
        x.data.reshape(B * C, rows, H // rows, columns, W // columns)
        .swapaxes(2, 3).reshape(B * C, rows * columns, -1).swapaxes(1, 2)
    )
""",
        caught_by="test_windows_that_do_not_fit_are_dropped",
        says="cannot reshape array of size 210 into shape (6,2,2,3,2)",
    ),
    Mistake(
        "the pool starts from 0",
        was="cols.max(axis=1).reshape",
        now="cols.max(axis=1, initial=0).reshape",
        caught_by="test_negative_values",
        says="looks like 0, which is in no window",
    ),
    Mistake(
        "everyone in the window",
        was=CHOSEN,
        now="    chosen[:] = grad.reshape(B * C, 1, -1)\n",
        caught_by="test_the_largest_gets_all",
        says="looks like every pixel of the window gets it",
    ),
    Mistake(
        "all equal maxima",
        was=CHOSEN,
        now=(
            "    chosen[:] = (cols == cols.max(axis=1, keepdims=True)) * "
            "grad.reshape(B * C, 1, -1)\n"
        ),
        caught_by="test_equal_maxima",
        says="looks like all of the largest get the whole gradient",
        edge=True,
    ),
    Mistake(
        "the batch flattened",
        was="return x.reshape(*x.shape[: self.start_dim], -1)",
        now="return x.reshape(-1)",
        caught_by="test_one_row_per_image",
        says="looks like the batch flattened, too",
    ),
    Mistake(
        "pools forgotten in the size",
        was=NEXT,
        now="width, output_size(image_size, kernel_size, 1, padding)",
        caught_by="test_the_linear_layer_fits",
        says="looks like without the pools",
    ),
    Mistake(
        "the weights left out of the bytes",
        was=MOVED,
        now="(B * C * H * W + B * outputs) * itemsize",
        caught_by="test_bytes_moved",
        says="looks like the weights are missing",
    ),
    Mistake(
        "the field grows by kernel - 1",
        was="        step *= stride\n",
        now="",
        caught_by="test_two_convolutions_a_pool_and_a_third",
        says="looks like kernel - 1 added whatever the strides",
    ),
]

EQUIVALENT = [
    Equivalent(
        was=(
            "padded = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, "
            "padding)))"
        ),
        now=(
            "padded = np.pad(x.data, ((0, 1), (0, 0), (padding, padding), (padding, "
            "padding)))"
        ),
        reason="the image more is never read",
        textbook=True,
    ),
    Equivalent(
        was="].reshape(B, -1)",
        now="].reshape(B, -2)",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was=(
            "out = weight.data.reshape(out_channels, -1) @ im2col(x.data, K, stride, "
            "padding)"
        ),
        now=(
            "out = weight.data.reshape(out_channels, -2) @ im2col(x.data, K, stride, "
            "padding)"
        ),
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was="grad = grad.reshape(len(x), out_channels, -1)",
        now="grad = grad.reshape(len(x), out_channels, -2)",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was="grad_cols = weight.reshape(out_channels, -1).T @ grad",
        now="grad_cols = weight.reshape(out_channels, -2).T @ grad",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was="np.put_along_axis(grad_cols, largest, grad.reshape(B * C, 1, -1), axis=1)",
        now="np.put_along_axis(grad_cols, largest, grad.reshape(B * C, 1, -2), axis=1)",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was="return x.reshape(*x.shape[: self.start_dim], -1)",
        now="return x.reshape(*x.shape[: self.start_dim], -2)",
        reason="numpy reads any negative size as -1",
        textbook=True,
    ),
    Equivalent(
        was="padded = np.zeros((B, C, H + 2 * padding, W + 2 * padding))",
        now="padded = np.zeros((B, C, H + 2 * padding, W + 3 * padding))",
        reason="what is wider is cut off at the end",
        textbook=True,
    ),
    Equivalent(
        was="padded = np.zeros((B, C, H + 2 * padding, W + 2 * padding))",
        now="padded = np.zeros((B, C, H + 3 * padding, W + 2 * padding))",
        reason="what is wider is cut off at the end",
        textbook=True,
    ),
    Equivalent(
        was="x = node.inputs[0].data",
        now="x = node.inputs[-1].data",
        reason="one input",
        textbook=True,
    ),
    Equivalent(
        was="x = np.ones((2, 3, image_size, image_size), dtype=np.float32)",
        now="x = np.ones((2, 4, image_size, image_size), dtype=np.float32)",
        reason="batch and channels cancel: only growth is measured",
        textbook=True,
    ),
    Equivalent(
        was="x = np.ones((2, 3, image_size, image_size), dtype=np.float32)",
        now="x = np.ones((2, 2, image_size, image_size), dtype=np.float32)",
        reason="batch and channels cancel: only growth is measured",
        textbook=True,
    ),
    Equivalent(
        was="x = np.ones((2, 3, image_size, image_size), dtype=np.float32)",
        now="x = np.ones((3, 3, image_size, image_size), dtype=np.float32)",
        reason="batch and channels cancel: only growth is measured",
        textbook=True,
    ),
    Equivalent(
        was="x = np.ones((2, 3, image_size, image_size), dtype=np.float32)",
        now="x = np.ones((1, 3, image_size, image_size), dtype=np.float32)",
        reason="batch and channels cancel: only growth is measured",
        textbook=True,
    ),
]
