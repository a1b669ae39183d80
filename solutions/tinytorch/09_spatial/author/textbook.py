"""Convolution and pooling as a textbook has them: loops over positions, columns, and
two gradient rules.
"""

import numpy as np

from tinytorch.activations import ReLU
from tinytorch.autograd import backward_rule
from tinytorch.layers import Linear, Module, Parameter, Sequential
from tinytorch.recorder import record
from tinytorch.setup import get_rng, measure_scaling
from tinytorch.tensor import Tensor


def output_size(n, kernel_size, stride=1, padding=0):
    """Count the positions of a kernel along one side of an image."""
    return (n + 2 * padding - kernel_size) // stride + 1


def conv2d_loops(x, weight, bias=None, stride=1, padding=0):
    """Convolve images by loops over batch, output channel and positions."""
    B, _, H, W = x.shape
    out_channels, _, K, _ = weight.shape
    H, W = output_size(H, K, stride, padding), output_size(W, K, stride, padding)
    padded = np.pad(x.data, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    out = np.zeros((B, out_channels, H, W))
    for b in range(B):
        for o in range(out_channels):
            for i in range(H):
                for j in range(W):
                    top, left = i * stride, j * stride
                    window = padded[b, :, top : top + K, left : left + K]
                    out[b, o, i, j] = (window * weight.data[o]).sum()
            if bias is not None:
                out[b, o] += bias.data[o]
    return Tensor(out)


def im2col(x, kernel_size, stride=1, padding=0):
    """Unfold images: write the window at each position as a column."""
    B, C, H, W = x.shape
    K = kernel_size
    H, W = output_size(H, K, stride, padding), output_size(W, K, stride, padding)
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    cols = np.zeros((B, C * K * K, H * W))
    for i in range(H):
        for j in range(W):
            top, left = i * stride, j * stride
            cols[:, :, i * W + j] = padded[
                :, :, top : top + K, left : left + K
            ].reshape(B, -1)
    return cols


def col2im(cols, x_shape, kernel_size, stride=1, padding=0):
    """Fold columns back: add every entry to the pixel that `im2col` read it from."""
    B, C, H, W = x_shape
    K = kernel_size
    padded = np.zeros((B, C, H + 2 * padding, W + 2 * padding))
    rows, columns = (
        output_size(H, K, stride, padding),
        output_size(W, K, stride, padding),
    )
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            padded[:, :, top : top + K, left : left + K] += cols[
                :, :, i * columns + j
            ].reshape(B, C, K, K)
    return padded[:, :, padding : padding + H, padding : padding + W]


def conv2d(x, weight, bias=None, stride=1, padding=0):
    """Convolve images by one matrix product per image."""
    B, _, H, W = x.shape
    out_channels, _, K, _ = weight.shape
    out = weight.data.reshape(out_channels, -1) @ im2col(x.data, K, stride, padding)
    out = out.reshape(
        B,
        out_channels,
        output_size(H, K, stride, padding),
        output_size(W, K, stride, padding),
    )
    inputs = (x, weight)
    if bias is not None:
        out = out + bias.data.reshape(out_channels, 1, 1)
        inputs = (x, weight, bias)
    return record(Tensor(out), "conv2d", inputs, stride=stride, padding=padding)


@backward_rule("conv2d")
def conv2d_rule(node, grad):
    """Carry a gradient back through a convolution."""
    x, weight = node.inputs[0].data, node.inputs[1].data
    stride, padding = node.saved["stride"], node.saved["padding"]
    out_channels, _, K, _ = weight.shape
    cols = im2col(x, K, stride, padding)
    grad = grad.reshape(len(x), out_channels, -1)
    grad_cols = weight.reshape(out_channels, -1).T @ grad
    grad_x = col2im(grad_cols, x.shape, K, stride, padding)
    grad_weight = (grad @ cols.swapaxes(1, 2)).sum(axis=0).reshape(weight.shape)
    if len(node.inputs) == 2:
        return grad_x, grad_weight
    return grad_x, grad_weight, grad.sum(axis=(0, 2))


class Conv2d(Module):
    """conv2d as a layer that holds its weight and bias."""

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
        bound = 1 / np.sqrt(in_channels * kernel_size**2)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = Parameter(rng.uniform(-bound, bound, shape).astype(np.float32))
        self.bias = (
            Parameter(rng.uniform(-bound, bound, out_channels).astype(np.float32))
            if bias
            else None
        )
        self.stride = stride
        self.padding = padding

    def forward(self, x):
        return conv2d(x, self.weight, self.bias, self.stride, self.padding)


def max_pool2d(x, kernel_size, stride=None):
    """Keep the largest value of every window, in each channel by itself."""
    if stride is None:
        stride = kernel_size
    B, C, H, W = x.shape
    cols = im2col(x.data.reshape(B * C, 1, H, W), kernel_size, stride)
    out = cols.max(axis=1).reshape(
        B, C, output_size(H, kernel_size, stride), output_size(W, kernel_size, stride)
    )
    return record(
        Tensor(out), "max_pool2d", (x,), kernel_size=kernel_size, stride=stride
    )


@backward_rule("max_pool2d")
def max_pool2d_rule(node, grad):
    """Carry a gradient back through a max pool."""
    x = node.inputs[0].data
    kernel_size, stride = node.saved["kernel_size"], node.saved["stride"]
    B, C, H, W = x.shape
    cols = im2col(x.reshape(B * C, 1, H, W), kernel_size, stride)
    grad_cols = np.zeros(cols.shape)
    largest = cols.argmax(axis=1, keepdims=True)
    np.put_along_axis(grad_cols, largest, grad.reshape(B * C, 1, -1), axis=1)
    return (col2im(grad_cols, (B * C, 1, H, W), kernel_size, stride).reshape(x.shape),)


class MaxPool2d(Module):
    """max_pool2d as a layer."""

    def __init__(self, kernel_size, stride=None):
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x):
        return max_pool2d(x, self.kernel_size, self.stride)


class Flatten(Module):
    """A layer that makes one dimension of all from `start_dim` on."""

    def __init__(self, start_dim=1):
        self.start_dim = start_dim

    def forward(self, x):
        return x.reshape(*x.shape[: self.start_dim], -1)


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
    """Build a classifier of square images."""
    layers = []
    for out_channels in channels:
        layers.append(
            Conv2d(in_channels, out_channels, kernel_size, padding=padding, rng=rng)
        )
        layers.append(ReLU())
        layers.append(MaxPool2d(2))
        image_size = output_size(image_size, kernel_size, padding=padding) // 2
        in_channels = out_channels
    layers.append(Flatten())
    layers.append(Linear(in_channels * image_size**2, num_classes, rng=rng))
    return Sequential(layers)


def conv_cost(
    x_shape, out_channels, kernel_size, stride=1, padding=0, *, bias=True, itemsize=4
):
    """Predict what a convolution costs, without running it."""
    B, C, H, W = x_shape
    rows, columns = (
        output_size(H, kernel_size, stride, padding),
        output_size(W, kernel_size, stride, padding),
    )
    window = C * kernel_size**2
    inputs, outputs = C * H * W, out_channels * rows * columns
    parameters = out_channels * window
    linear_parameters = inputs * outputs
    if bias:
        parameters += out_channels
        linear_parameters += outputs
    multiply_adds = B * outputs * window
    bytes_moved = itemsize * (B * inputs + parameters + B * outputs)
    return {
        "output_shape": (B, out_channels, rows, columns),
        "parameters": parameters,
        "multiply_adds": multiply_adds,
        "output_bytes": itemsize * B * outputs,
        "im2col_bytes": itemsize * B * window * rows * columns,
        "linear_parameters": linear_parameters,
        "bytes_moved": bytes_moved,
        "multiply_adds_per_byte": multiply_adds / bytes_moved,
    }


def conv_scaling(kernel_sizes, image_size=24):
    """Measure how the memory of `im2col` grows with the kernel."""
    x = np.ones((2, 3, image_size, image_size), dtype=np.float32)

    def build(K):
        return lambda: im2col(x, K, padding=K // 2)

    return measure_scaling(build, kernel_sizes)


def receptive_field(layers):
    """Say how many pixels of the input, along one side, one output depends on."""
    fields = []
    field = step = 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
        fields.append(field)
    return fields
