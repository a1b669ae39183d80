"""Convolution and pooling: the same small linear layer at every position, as loops and
as one matrix product.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinytorch.activations import ReLU
from tinytorch.autograd import Node, backward_rule
from tinytorch.layers import Linear, Module, Parameter, Sequential
from tinytorch.recorder import record
from tinytorch.setup import get_rng, measure_scaling
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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
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
    raise NotImplementedError


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
    raise NotImplementedError


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
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
