"""Different: sliding_window_view with tensordot; the columns kept for the backward;
argmax kept and scattered.
"""

from math import prod

from numpy.lib.stride_tricks import sliding_window_view


def _windows(x, k, stride, padding=0):
    if k > min(x.shape[2:]) + 2 * padding:
        raise ValueError(f"a kernel of {k} does not fit {x.shape}")
    if padding:  # at K = 1 nothing is copied then: the columns are a view of x
        x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    return sliding_window_view(x, (k, k), axis=(2, 3))[:, :, ::stride, ::stride]


def conv2d_loops(x, weight, bias=None, stride=1, padding=0):
    if x.ndim != 4 or weight.shape[1] != x.shape[1]:
        raise ValueError(f"x {x.shape}, weight {weight.shape}")
    k = weight.shape[2]
    size = [output_size(n, k, stride, padding) for n in x.shape[2:]]
    out = np.empty((len(x.data), len(weight.data), *size), dtype=x.data.dtype)
    wide = np.pad(x.data, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    for b, o, i, j in np.ndindex(out.shape):
        total = 0.0 if bias is None else float(bias.data[o])
        for c, di, dj in np.ndindex(weight.shape[1:]):
            total += float(wide[b, c, i * stride + di, j * stride + dj]) * float(
                weight.data[o, c, di, dj]
            )
        out[b, o, i, j] = total
    return Tensor(out)


def im2col(x, kernel_size, stride=1, padding=0):
    windows = _windows(x, kernel_size, stride, padding)
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(
        len(x), x.shape[1] * kernel_size**2, -1
    )


def conv2d(x, weight, bias=None, stride=1, padding=0):
    assert x.ndim == 4 and x.shape[1] == weight.shape[1], f"{x.shape} {weight.shape}"
    windows = _windows(x.data, weight.shape[2], stride, padding)
    out = np.moveaxis(
        np.tensordot(windows, weight.data, axes=((1, 4, 5), (1, 2, 3))), -1, 1
    )
    inputs = [x, weight]
    if bias is not None:
        out = out + bias.data.reshape(1, -1, 1, 1)
        inputs.append(bias)
    return record(
        Tensor(out),
        "conv2d",
        tuple(inputs),
        windows=windows,
        stride=stride,
        padding=padding,
    )


@backward_rule("conv2d")
def conv2d_rule(node, grad):
    x, weight = (t.data for t in node.inputs[:2])
    windows = node.saved.get("windows")
    if windows is None:
        windows = _windows(
            x, weight.shape[2], node.saved["stride"], node.saved["padding"]
        )
    to_weight = np.tensordot(grad, windows, axes=((0, 2, 3), (0, 2, 3)))
    to_cols = np.einsum("bohw,ocij->bcijhw", grad, weight).reshape(
        len(x), weight[0].size, -1
    )
    to_x = col2im(
        to_cols, x.shape, weight.shape[2], node.saved["stride"], node.saved["padding"]
    )
    return (to_x, to_weight, grad.sum((0, 2, 3)))[: len(node.inputs)]


def max_pool2d(x, kernel_size, stride=None):
    if stride is None:
        stride = kernel_size
    windows = _windows(x.data, kernel_size, stride)
    flat = windows.reshape(*windows.shape[:4], -1)
    return record(
        Tensor(flat.max(-1)),
        "max_pool2d",
        (x,),
        chosen=flat.argmax(-1),
        k=kernel_size,
        stride=stride,
    )


@backward_rule("max_pool2d")
def max_pool2d_rule(node, grad):
    (x,), saved = node.inputs, node.saved
    if "chosen" not in saved:
        return (np.zeros(x.shape),)
    b, c, i, j = np.indices(grad.shape)
    di, dj = np.divmod(saved["chosen"], saved["k"])
    found = np.zeros(x.shape)
    np.add.at(found, (b, c, i * saved["stride"] + di, j * saved["stride"] + dj), grad)
    return [found]


def conv_cost(
    x_shape, out_channels, kernel_size, stride=1, padding=0, *, bias=True, itemsize=4
):
    sides = tuple(output_size(n, kernel_size, stride, padding) for n in x_shape[2:])
    out = (x_shape[0], out_channels, *sides)
    weights = out_channels * x_shape[1] * kernel_size * kernel_size
    work = x_shape[0] * prod(sides) * weights
    own = weights + bias * out_channels
    moved = itemsize * (prod(x_shape) + own + prod(out))
    return dict(
        output_shape=out,
        parameters=own,
        multiply_adds=work,
        output_bytes=itemsize * prod(out),
        im2col_bytes=itemsize * work // out_channels,
        linear_parameters=(prod(x_shape[1:]) + bias) * prod(out[1:]),
        bytes_moved=moved,
        multiply_adds_per_byte=work / moved,
    )
