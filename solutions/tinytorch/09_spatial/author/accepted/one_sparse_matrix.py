"""Different: a convolution as one matrix from all pixels to all outputs, of which the
weights are gathered; a pool by a sorted window, whose rule shares by the flat place of
its winner; one stack of layers made by a recursion.
"""


def _places(C, H, W, k, stride, padding):
    """For each position and each entry of a kernel, the flat place of its pixel; C·H·W
    where there is none.
    """
    rows, columns = (
        output_size(H, k, stride, padding),
        output_size(W, k, stride, padding),
    )
    places = np.full((rows * columns, C * k * k), C * H * W)
    tops, lefts = (
        stride * n - padding for n in np.divmod(np.arange(rows * columns), columns)
    )
    for entry, (c, i, j) in enumerate(np.ndindex(C, k, k)):
        inside = (0 <= tops + i) & (tops + i < H) & (0 <= lefts + j) & (lefts + j < W)
        places[inside, entry] = ((c * H + tops + i) * W + lefts + j)[inside]
    return places


def im2col(x, kernel_size, stride=1, padding=0):
    places = _places(*x.shape[1:], kernel_size, stride, padding)
    flat = np.concatenate(
        [x.reshape(len(x), -1), np.zeros((len(x), 1), x.dtype)], axis=1
    )
    return flat[:, places].swapaxes(1, 2)


def col2im(cols, x_shape, kernel_size, stride=1, padding=0):
    size = int(np.prod(x_shape[1:]))
    places = _places(*x_shape[1:], kernel_size, stride, padding).T
    found = [
        np.bincount(places.ravel(), weights=one.ravel(), minlength=size + 1)[:size]
        for one in cols
    ]
    return np.array(found, dtype=cols.dtype).reshape(x_shape)


def _matrix(weight, places, size):
    """(O·L, C·H·W): a row per output, in which the kernel stands at the places that
    it reads.
    """
    matrix = np.zeros((len(weight), len(places), size + 1), weight.dtype)
    for position, row in enumerate(places):
        matrix[:, position, row] = weight.reshape(len(weight), -1)
    return matrix[:, :, :size].reshape(-1, size)


def conv2d(x, weight, bias=None, stride=1, padding=0):
    if x.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"{x.shape} does not fit {weight.shape}")
    k = weight.shape[-1]
    places = _places(*x.shape[1:], k, stride, padding)
    matrix = _matrix(weight.data, places, int(np.prod(x.shape[1:])))
    out = x.data.reshape(len(x), -1) @ matrix.T
    sides = [output_size(n, k, stride, padding) for n in x.shape[2:]]
    out = out.reshape(len(x), len(weight), *sides)
    if bias is None:
        return record(Tensor(out), "conv2d", (x, weight), matrix=matrix, places=places)
    return record(
        Tensor(out + bias.data.reshape(-1, 1, 1)),
        "conv2d",
        (x, weight, bias),
        matrix=matrix,
        places=places,
    )


@backward_rule("conv2d")
def conv2d_rule(node, grad):
    x, weight = (t.data for t in node.inputs[:2])
    to_x = (grad.reshape(len(x), -1) @ node.saved["matrix"]).reshape(x.shape)
    size = x[0].size
    to_matrix = (grad.reshape(len(x), -1).T @ x.reshape(len(x), -1)).reshape(
        len(weight), -1, size
    )
    to_matrix = np.pad(to_matrix, ((0, 0), (0, 0), (0, 1)))
    places = node.saved["places"]
    to_weight = sum(
        to_matrix[:, position, row] for position, row in enumerate(places)
    ).reshape(weight.shape)
    return [to_x, to_weight, np.add.reduce(grad, (0, 2, 3))][: len(node.inputs)]


def max_pool2d(x, kernel_size, stride=None):
    stride = stride or kernel_size
    B, C, H, W = x.shape
    places = _places(1, H, W, kernel_size, stride, 0)
    windows = x.data.reshape(B * C, -1)[:, places]
    winners = np.take_along_axis(
        places[None], windows.argmax(axis=-1)[..., None], axis=-1
    )[..., 0]
    out = np.take_along_axis(x.data.reshape(B * C, -1), winners, axis=1)
    sides = [output_size(n, kernel_size, stride) for n in (H, W)]
    return record(
        Tensor(out.reshape(B, C, *sides)), "max_pool2d", (x,), winners=winners
    )


@backward_rule("max_pool2d")
def max_pool2d_rule(node, grad):
    shape, winners = node.inputs[0].shape, node.saved["winners"]
    found = np.zeros((len(winners), shape[2] * shape[3]), grad.dtype)
    for row, places, parts in zip(found, winners, grad.reshape(len(winners), -1)):
        np.add.at(row, places, parts)
    return (found.reshape(shape),)


def make_cnn(
    image_size,
    in_channels=1,
    channels=(16, 32),
    num_classes=10,
    *,
    kernel_size=3,
    padding=0,
    rng=None,
):
    rng = get_rng(rng)

    def layers(size, inputs, rest):
        if not rest:
            return [Flatten(), Linear(inputs * size * size, num_classes, rng=rng)]
        conv = Conv2d(inputs, rest[0], kernel_size, padding=padding, rng=rng)
        size = output_size(size, kernel_size, padding=padding) // 2
        if size < 1:
            raise ValueError("the image is too small")
        return [conv, ReLU(), MaxPool2d(2), *layers(size, rest[0], rest[1:])]

    return Sequential(layers(image_size, in_channels, list(channels)))
