"""Different: im2col as one fancy index, col2im as np.add.at with the same index; a
network built backwards.
"""

import math


def output_size(n, kernel_size, stride=1, padding=0):
    assert kernel_size > 0 and stride > 0 and padding >= 0
    assert n + 2 * padding >= kernel_size, "the kernel does not fit"
    return math.floor((n + 2 * padding - kernel_size) / stride + 1)


def _indices(shape, k, stride, padding):
    _, C, H, W = shape
    H, W = output_size(H, k, stride, padding), output_size(W, k, stride, padding)
    c, di, dj = np.indices((C, k, k)).reshape(3, -1, 1)
    i, j = np.indices((H, W)).reshape(2, 1, -1) * stride
    return c, di + i, dj + j


def im2col(x, kernel_size, stride=1, padding=0):
    c, i, j = _indices(x.shape, kernel_size, stride, padding)
    wide = np.pad(x, ((0,), (0,), (padding,), (padding,)))
    return wide[:, c, i, j]


def col2im(cols, x_shape, kernel_size, stride=1, padding=0):
    B, C, H, W = x_shape
    wide = np.zeros((B, C, H + 2 * padding, W + 2 * padding), dtype=cols.dtype)
    np.add.at(
        wide, (slice(None), *_indices(x_shape, kernel_size, stride, padding)), cols
    )
    return wide[:, :, padding:-padding, padding:-padding] if padding else wide


def conv2d(x, weight, bias=None, stride=1, padding=0):
    if len(x.shape) < 4:
        raise ValueError("no batch")
    k = weight.shape[-1]
    cols = im2col(x.data, k, stride, padding)
    out = weight.data.reshape(weight.shape[0], -1) @ cols
    b = Tensor(np.zeros(weight.shape[0], out.dtype)) if bias is None else bias
    out = out + b.data[:, np.newaxis]
    sizes = [output_size(n, k, stride, padding) for n in x.shape[2:]]
    return record(
        Tensor(out.reshape(*out.shape[:2], *sizes)),
        "conv2d",
        (x, weight, b),
        stride=stride,
        padding=padding,
    )


class Conv2d(Module):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        bias=True,
        *,
        rng=None,
    ):
        rng = get_rng(rng)
        fan_in = in_channels * kernel_size * kernel_size
        sizes = {
            "weight": (out_channels, in_channels, kernel_size, kernel_size),
            "bias": (out_channels,),
        }
        for name, size in sizes.items():
            drawn = (2 * rng.random(size) - 1) / math.sqrt(fan_in)
            setattr(
                self,
                name,
                Parameter(drawn.astype("float32"))
                if bias or name == "weight"
                else None,
            )
        self.stride = stride
        self.padding = padding

    def forward(self, x):
        return conv2d(
            x, self.weight, self.bias, stride=self.stride, padding=self.padding
        )


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
    layers = []
    for a, b in zip((in_channels, *channels), channels):
        layers.extend(
            (Conv2d(a, b, kernel_size, 1, padding, rng=rng), ReLU(), MaxPool2d(2, 2))
        )
    probe = Tensor(np.zeros((1, in_channels, image_size, image_size), dtype="float32"))
    flat = Flatten()(Sequential(layers)(probe)).shape[1]
    return Sequential(layers + [Flatten(), Linear(flat, num_classes, rng=rng)])


def conv_scaling(kernel_sizes, image_size=24):
    def build(k):
        images = np.zeros((1, 8, image_size, image_size), np.float32)
        return lambda: im2col(images, k, 1, k // 2)

    return measure_scaling(build, list(kernel_sizes), kind="peak_bytes")
