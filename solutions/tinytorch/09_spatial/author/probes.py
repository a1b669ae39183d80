"""Questions on convolutions and pooling."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe

SHAPES = (2, 3, 6, 5), (4, 3, 2, 2), (4,)  # of images, kernels and a bias


def images(kata, rng, *shape):
    return kata.Tensor(normal(rng, *shape), requires_grad=True)


def filled(layers, rng):
    """Write drawn numbers into the parameters of these layers."""
    for layer in layers:
        for parameter in (layer.weight, layer.bias):
            parameter.data[...] = 0.1 * normal(rng, *parameter.shape)


@probe("output_size")
def _(kata, rng):
    sizes = [(8 + a, *rest) for a, *rest in (integers(rng, 4, 1, 8) for _ in range(9))]
    return [kata.output_size(*one) for one in sizes]


@probe("conv2d_loops")
def _(kata, rng):
    parts = [images(kata, rng, *shape) for shape in SHAPES]
    return kata.conv2d_loops(*parts, stride=2, padding=1).data


@probe("im2col")
def _(kata, rng):
    kernel, stride, padding = integers(rng, 3, 1, 4)
    return kata.im2col(normal(rng, 2, 3, 7, 6), kernel, stride, padding)


@probe("col2im")
def _(kata, rng):
    kernel, stride, padding = 3, *integers(rng, 2, 1, 3)
    shape, like = (2, 3, 7, 6), np.zeros((2, 3, 7, 6))
    cols = normal(rng, *kata.im2col(like, kernel, stride, padding).shape)
    return kata.col2im(cols, shape, kernel, stride, padding)


@probe("conv2d")
def _(kata, rng):
    parts = [images(kata, rng, *shape) for shape in SHAPES]
    out = kata.conv2d(*parts, stride=2, padding=1)
    (out * images(kata, rng, *out.shape)).sum().backward()
    return [out.data, [part.grad for part in parts]]


@probe("conv2d_rule")
def _(kata, rng):
    parts = [images(kata, rng, *shape) for shape in SHAPES]
    out = kata.conv2d(*parts, stride=2, padding=1)
    return list(kata.conv2d_rule(out.node, normal(rng, *out.shape)))


@probe("Conv2d")
def _(kata, rng):
    inputs, outputs, kernel, stride, padding, seed = integers(rng, 6, 2, 5)
    sizes, drawn = (inputs, 20 * outputs, kernel, stride, padding), []
    for source in (seed, seed, seed + 1):
        layer = kata.Conv2d(*sizes, rng=np.random.default_rng(source))
        drawn.append([layer.weight.data.copy(), layer.bias.data.copy()])
    filled([layer], rng)
    bare = kata.Conv2d(*sizes, bias=False)
    out = layer(images(kata, rng, 2, inputs, 9, 8)).data
    return [drawn, bare.weight.data, bare.bias, out]


@judge("Conv2d")
def _(values, expected):
    [first, again, other], bare, _, out = values
    bound = expected[1][0].size ** -0.5
    weights = [*first, other[0], bare]
    return [
        out,
        [np.abs(part).max() / bound <= 1.001 for part in weights],
        [abs(part.std() / bound * 3**0.5 - 1) < 0.3 for part in weights],
        [np.abs(a - b).max() > 0 for one in (again, other) for a, b in zip(first, one)],
    ]


@probe("max_pool2d")
def _(kata, rng):
    return kata.max_pool2d(images(kata, rng, 2, 3, 7, 5), 3, stride=2).data


@probe("max_pool2d_rule")
def _(kata, rng):
    out = kata.max_pool2d(images(kata, rng, 2, 3, 7, 5), 3, stride=2)
    return list(kata.max_pool2d_rule(out.node, normal(rng, *out.shape)))


@probe("conv_cost")
def _(kata, rng):
    *shape, channels = integers(rng, 5, 5, 12)
    itemsize = 2 ** integers(rng, 1, 1, 4)[0]
    return [
        kata.conv_cost(shape, channels, 3, 2, 1, bias=bias, itemsize=itemsize)
        for bias in (True, False)
    ]


@probe("receptive_field")
def _(kata, rng):
    return kata.receptive_field(
        list(zip(integers(rng, 6, 1, 5), integers(rng, 6, 1, 4)))
    )


@probe("Flatten")
def _(kata, rng):
    x = images(kata, rng, *integers(rng, 4, 2, 6))
    return [kata.Flatten()(x).data, kata.Flatten(2)(x).data]


@probe("make_cnn")
def _(kata, rng):
    size, inputs, *channels, classes = integers(rng, 5, 2, 6)
    net = kata.make_cnn(size + 14, inputs, channels, classes, kernel_size=4, padding=1)
    layers = [net[0], net[3], net[7]]
    filled(layers, rng)
    shapes = [(layer.weight.shape, layer.bias.shape) for layer in layers]
    out = net(images(kata, rng, 2, inputs, size + 14, size + 14)).data
    return [len(net), shapes, out]


@probe("conv_scaling")
def _(kata, rng):
    """Unfolding takes so much memory as is drawn for its kernel."""
    units = dict(zip([3, *integers(rng, 2, 4, 20)], integers(rng, 3, 2, 30)))

    def im2col(x, kernel, stride=1, padding=0):
        share = UNIT * x.shape[-1] * padding // (24 * (kernel // 2))
        return np.zeros(units[kernel] * share, np.int8)

    with mock.patch.object(kata, "im2col", im2col):
        return kata.conv_scaling(list(units), 24)


@judge("conv_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
