"""Convolution and pooling: the same small linear layer at every position, as loops and
as one matrix product.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.activations import ReLU  # stub: keep
from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Linear, Module, Parameter, Sequential  # stub: keep
from tinytorch.recorder import record  # stub: keep
from tinytorch.setup import get_rng, measure_scaling  # stub: keep
from tinytorch.tensor import Tensor


def output_size(n: int, kernel_size: int, stride: int = 1, padding: int = 0) -> int:
    """Count the positions of a kernel along one side of an image.

    Args:
        n: pixels along the side.
        kernel_size: pixels of the kernel.
        stride: pixels from one position to the next.
        padding: pixels added at *each* of the two ends.
    Returns:
        How often the kernel fits, from the first pixel on. 8 pixels, kernel 3, stride
        2: at 0, 2 and 4, so 3.

    Edge cases ★
        A kernel or stride below 1, a padding below 0, and a kernel larger than the
        padded side are errors.
    """
    if kernel_size < 1 or stride < 1 or padding < 0 or kernel_size > n + 2 * padding:
        raise ValueError(
            f"kernel {kernel_size}, stride {stride}, padding {padding} do not fit a "
            f"side of {n}"
        )
    return (n + 2 * padding - kernel_size) // stride + 1


def conv2d_loops(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Tensor:
    """Convolve images by loops over batch, output channel and positions. Forward only:
    nothing is announced.

    Args:
        x: (B, C, H, W).
        weight: (O, C, K, K), one kernel per output channel.
        bias: (O,), or None.
        stride, padding: as for `output_size`. Padding is zeros on all four sides.
    Returns:
        (B, O, H', W'). Each output is the sum of a window of all C channels times the
        kernel, plus the channel's bias. The kernel is not flipped.

    `im2col`, `tensordot` and `einsum` may not be called.

    Edge cases ★
        The dtype is x's. An x that is not 4-D, or of another number of channels, is
        an error.
    """
    shape, k = _conv_shape(x, weight, stride, padding), weight.shape[-1]
    padded = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.zeros(shape, dtype=x.dtype)
    for b in range(shape[0]):
        for o in range(shape[1]):
            for i in range(shape[2]):
                for j in range(shape[3]):
                    window = padded[
                        b, :, i * stride : i * stride + k, j * stride : j * stride + k
                    ]
                    out[b, o, i, j] = (window * weight.data[o]).sum()
                    if bias is not None:
                        out[b, o, i, j] += bias.data[o]
    return Tensor(out)


def im2col(
    x: np.ndarray, kernel_size: int, stride: int = 1, padding: int = 0
) -> np.ndarray:
    """Unfold images: write the window at each position as a column.

    Args:
        x: an array (B, C, H, W).
        kernel_size, stride, padding: as for `output_size`.
    Returns:
        (B, C·K·K, L), with one column for each of the L positions.

    - Rows go by channel, then kernel row, then kernel column: the order of
      `weight[o].reshape(-1)`.
    - Positions go row by row. A 2 × 2 kernel on [[a b c], [d e f]] gives the columns
      [a b d e] and [b c e f].

    Edge cases ★
        `x` may be non-contiguous. The dtype is x's.
    """
    B, C, H, W = x.shape
    rows, columns = (output_size(n, kernel_size, stride, padding) for n in (H, W))
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    cols = np.empty((B, C, kernel_size, kernel_size, rows, columns), dtype=x.dtype)
    for i in range(kernel_size):
        for j in range(kernel_size):
            cols[:, :, i, j] = padded[
                :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
            ]
    return cols.reshape(B, C * kernel_size**2, rows * columns)


def col2im(
    cols: np.ndarray,
    x_shape: Sequence[int],
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
) -> np.ndarray:
    """Fold columns back: add every entry to the pixel that `im2col` read it from.

    Args:
        cols: (B, C·K·K, L), in the order of `im2col`.
        x_shape: (B, C, H, W), the shape of the images.
        kernel_size, stride, padding: those of the `im2col` call.
    Returns:
        (B, C, H, W). The columns [1 1 1 1] and [1 1 1 1] of a 2 × 2 kernel on (2, 3)
        give [[1 2 1], [1 2 1]].

    - Where windows overlap, their entries add up. A pixel that no window read is 0.
    - What came from the padding is dropped.

    Edge cases ★
        The dtype is that of cols.
    """
    B, C, H, W = x_shape
    rows, columns = (output_size(n, kernel_size, stride, padding) for n in (H, W))
    padded = np.zeros((B, C, H + 2 * padding, W + 2 * padding), dtype=cols.dtype)
    windows = cols.reshape(B, C, kernel_size, kernel_size, rows, columns)
    for i in range(kernel_size):
        for j in range(kernel_size):
            padded[
                :, :, i : i + stride * rows : stride, j : j + stride * columns : stride
            ] += windows[:, :, i, j]
    return padded[:, :, padding : padding + H, padding : padding + W]


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
) -> Tensor:
    """Convolve images by one matrix product per image: the kernels as rows, times the
    columns of `im2col`.

    Args:
        x: (B, C, H, W).
        weight: (O, C, K, K).
        bias: (O,), or None.
        stride, padding: as for `output_size`.
    Returns:
        (B, O, H', W'), the numbers of `conv2d_loops`.

    Compute in NumPy and announce the result by `record` as "conv2d", with the inputs x,
    weight and, if there is one, bias. Save what `conv2d_rule` will need: stride
    and padding.

    Edge cases ★
        `x` may be non-contiguous, float32 stays float32, and the checks are those
        of `conv2d_loops`.
    """
    shape = _conv_shape(x, weight, stride, padding)
    cols = im2col(x.data, weight.shape[-1], stride, padding)
    out = (weight.data.reshape(len(weight), -1) @ cols).reshape(shape)
    if bias is not None:
        out = out + bias.data[:, None, None]
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return record(Tensor(out), "conv2d", inputs, stride=stride, padding=padding)


@backward_rule("conv2d")
def conv2d_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through a convolution.

    Args:
        node: what your `conv2d` announced: `inputs` and `saved`.
        grad: (B, O, H', W'), the gradient of the output.
    Returns:
        One gradient per input, each of the input's shape: of x, weight and, if it is
        there, bias.

    Read the forward pass as columns: out = weight @ cols + bias, with weight as
    (O, C·K·K), out as (B, O, L). So weight and cols have the gradients of a matrix
    product, and those of cols go back to the pixels by `col2im`.
    """
    x, weight = (t.data for t in node.inputs[:2])
    stride, padding, k = node.saved["stride"], node.saved["padding"], weight.shape[-1]
    grad = grad.reshape(*grad.shape[:2], -1)
    by_column = weight.reshape(len(weight), -1).T @ grad
    by_weight = (grad @ im2col(x, k, stride, padding).swapaxes(1, 2)).sum(axis=0)
    grads = (
        col2im(by_column, x.shape, k, stride, padding),
        by_weight.reshape(weight.shape),
    )
    return grads if len(node.inputs) == 2 else (*grads, grad.sum(axis=(0, 2)))


class Conv2d(Module):
    """conv2d as a layer that holds its weight and bias. `forward` is given."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        *,
        rng: np.random.Generator | None = None,
    ):
        """Draw the parameters, and keep `stride` and `padding` for `forward`.

        Args:
            in_channels, out_channels, kernel_size: C, O and K.
            stride, padding: as for `output_size`.
            bias: False leaves the bias out: `self.bias` is None.
            rng: the source of all draws. None means the framework's
                generator, `get_rng()`.

        `weight` (O, C, K, K) and `bias` (O,) are float32 Parameters, uniform between
        ±1/√(C·K·K): C·K·K inputs go into one output, as in_features do in a Linear.
        """
        rng, bound = get_rng(rng), (in_channels * kernel_size**2) ** -0.5

        def drawn(*shape: int) -> Parameter:
            return Parameter(rng.uniform(-bound, bound, shape).astype(np.float32))

        self.weight = drawn(out_channels, in_channels, kernel_size, kernel_size)
        self.bias = drawn(out_channels) if bias else None
        self.stride, self.padding = stride, padding

    def forward(self, x: Tensor) -> Tensor:  # stub: keep
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)


def max_pool2d(x: Tensor, kernel_size: int, stride: int | None = None) -> Tensor:
    """Keep the largest value of every window, in each channel by itself.

    Args:
        x: (B, C, H, W).
        kernel_size: K, for windows of K × K.
        stride: pixels from one window to the next. None means kernel_size: windows side
            by side.
    Returns:
        (B, C, H', W'), sizes as by `output_size` without padding: windows that do not
        fit are dropped. A 2 × 2 pool of a row of 5 pixels leaves 2.

    Announce the result by `record` as "max_pool2d", and save what `max_pool2d_rule`
    will need.

    Edge cases ★
        `x` may be non-contiguous. float32 stays float32.
    """
    stride = kernel_size if stride is None else stride
    B, C, H, W = x.shape
    rows, columns = (output_size(n, kernel_size, stride) for n in (H, W))
    cols = im2col(x.data.reshape(B * C, 1, H, W), kernel_size, stride)
    out = cols.max(axis=1).reshape(B, C, rows, columns)
    return record(
        Tensor(out), "max_pool2d", (x,), kernel_size=kernel_size, stride=stride
    )


@backward_rule("max_pool2d")
def max_pool2d_rule(node: Node, grad: np.ndarray) -> tuple[np.ndarray, ...]:
    """Carry a gradient back through a max pool.

    Args:
        node: what your `max_pool2d` announced.
        grad: (B, C, H', W'), the gradient of the output.
    Returns:
        A tuple of one array: the gradient of x. In each window the largest pixel gets
        the window's gradient, the other pixels get nothing. A pixel that is the largest
        of several windows gets the sum.

    Edge cases ★
        Of equal maxima in a window, the first in row order gets the whole gradient.
    """
    x, k, stride = node.inputs[0].data, node.saved["kernel_size"], node.saved["stride"]
    B, C, H, W = x.shape
    cols = im2col(x.reshape(B * C, 1, H, W), k, stride)
    chosen = np.zeros_like(cols, dtype=grad.dtype)
    np.put_along_axis(
        chosen, cols.argmax(axis=1)[:, None], grad.reshape(B * C, 1, -1), axis=1
    )
    return (col2im(chosen, (B * C, 1, H, W), k, stride).reshape(x.shape),)


class MaxPool2d(Module):
    """max_pool2d as a layer. Given."""

    def __init__(self, kernel_size: int, stride: int | None = None):
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride)


class Flatten(Module):
    """A layer that makes one dimension of all from `start_dim` on.

    Args:
        start_dim: the first dimension of those that become one. The ones before
            it stay.

    Flatten() makes (B, C, H, W) into (B, C·H·W), ready for a Linear: one row per image.
    Flatten(2) makes it (B, C, H·W). Use an operation of Tensor, so that gradients find
    the way back.
    """

    def __init__(self, start_dim: int = 1):
        self.start_dim = start_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[: self.start_dim], -1)


def make_cnn(
    image_size: int,
    in_channels: int = 1,
    channels: Sequence[int] = (16, 32),
    num_classes: int = 10,
    *,
    kernel_size: int = 3,
    padding: int = 0,
    rng: np.random.Generator | None = None,
) -> Sequential:
    """Build a classifier of square images.

    Args:
        image_size: pixels along each side.
        in_channels: channels of the images.
        channels: output channels of each convolution in turn.
        num_classes: outputs of the last layer.
        kernel_size, padding: of all convolutions. Their stride is 1.
        rng: the source of all draws, layer after layer.
    Returns:
        A Sequential: Conv2d, ReLU and MaxPool2d(2) per entry of `channels`, then
        Flatten and a Linear, which takes as many inputs as Flatten leaves.

    28 pixels: conv 26, pool 13, conv 11, pool 5, so Linear(32·5·5, 10).

    Edge cases ★
        An image that is too small for these layers is an error.
    """
    rng = get_rng(rng)
    layers: list[Callable[[Any], Any]] = []
    for width in channels:
        layers += [
            Conv2d(in_channels, width, kernel_size, padding=padding, rng=rng),
            ReLU(),
            MaxPool2d(2),
        ]
        in_channels, image_size = (
            width,
            output_size(output_size(image_size, kernel_size, 1, padding), 2, 2),
        )
    return Sequential(
        [*layers, Flatten(), Linear(in_channels * image_size**2, num_classes, rng=rng)]
    )


def conv_cost(
    x_shape: Sequence[int],
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    *,
    bias: bool = True,
    itemsize: int = 4,
) -> dict[str, Any]:
    """Predict what a convolution costs, without running it.

    Args:
        x_shape: (B, C, H, W).
        out_channels, kernel_size, stride, padding, bias: as for Conv2d.
        itemsize: bytes per number.
    Returns:
        "output_shape": a tuple (B, O, H', W');
        "parameters": the numbers in weight and bias;
        "multiply_adds": those of the whole batch, without the additions of the bias;
        "output_bytes", "im2col_bytes": of the output, and of the array that
        `im2col` returns;
        "linear_parameters": those of a Linear from all inputs of an image to all its
        outputs, with a bias if `bias`; "bytes_moved": of x, weight, bias and output,
        each once;
        "multiply_adds_per_byte": multiply_adds / bytes_moved, a float. The others
        are ints.
    """
    B, C, H, W = x_shape
    rows, columns = (output_size(n, kernel_size, stride, padding) for n in (H, W))
    outputs, window = out_channels * rows * columns, C * kernel_size**2
    parameters = out_channels * window + (out_channels if bias else 0)
    multiply_adds = B * outputs * window
    bytes_moved = (B * C * H * W + parameters + B * outputs) * itemsize
    return {
        "output_shape": (B, out_channels, rows, columns),
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "output_bytes": B * outputs * itemsize,
        "im2col_bytes": B * window * rows * columns * itemsize,
        "linear_parameters": C * H * W * outputs + (outputs if bias else 0),
        "bytes_moved": bytes_moved,
        "multiply_adds_per_byte": multiply_adds / bytes_moved,
    }


def conv_scaling(kernel_sizes: Sequence[int], image_size: int = 24) -> dict[str, Any]:
    """Measure how the memory of `im2col` grows with the kernel.

    Args:
        kernel_sizes: the values of K.
        image_size: pixels along each side of the images, of which a small float32 batch
            is made.
    Returns:
        What `measure_scaling` returns for the peak bytes of `im2col` over K. The
        padding is K // 2, which gives about one position per pixel. The exponent is
        about 2.
    """
    x = np.ones((4, 3, image_size, image_size), dtype=np.float32)
    return measure_scaling(lambda k: lambda: im2col(x, k, padding=k // 2), kernel_sizes)


def receptive_field(layers: Sequence[tuple[int, int]]) -> list[int]:
    """Say how many pixels of the input, along one side, one output depends on.

    Args:
        layers: (kernel, stride) of each convolution or pool, the first layer first.
    Returns:
        The field after each layer, from the first to the last pixel that counts: [(3,
        1), (3, 1), (2, 2), (3, 1)] gives [3, 5, 6, 10].

    A step from one position of a layer to the next is as many input pixels as the
    strides *before* it multiply to.
    """
    field, step, fields = 1, 1, []
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
        fields.append(field)
    return fields


def _conv_shape(
    x: Tensor, weight: Tensor, stride: int, padding: int
) -> tuple[int, int, int, int]:
    """The shape of a convolution's output."""
    if x.ndim != 4 or x.shape[1] != weight.shape[1]:
        raise ValueError(f"x must be (B, {weight.shape[1]}, H, W), got shape {x.shape}")
    k = weight.shape[-1]
    return (
        x.shape[0],
        len(weight),
        *(output_size(n, k, stride, padding) for n in x.shape[2:]),
    )
