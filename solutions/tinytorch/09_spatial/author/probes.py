"""Questions that the specs of tinytorch/09 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe, there


def images(kata, rng, *shape):
    return kata.Tensor(
        torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True
    )


@probe("conv2d_loops")
def _(kata, rng):
    parts = [images(kata, rng, *shape) for shape in ((2, 3, 6, 5), (4, 3, 2, 2), (4,))]
    return kata.conv2d_loops(*parts, stride=2, padding=1).data


@probe("conv2d_rule")
def _(kata, rng):
    parts = [images(kata, rng, *shape) for shape in ((2, 3, 6, 5), (4, 3, 2, 2), (4,))]
    out = kata.conv2d(*parts, stride=2, padding=1)
    return list(kata.conv2d_rule(out.node, images(kata, rng, *out.shape).data))


@probe("max_pool2d")
def _(kata, rng):
    return kata.max_pool2d(images(kata, rng, 2, 3, 7, 5), 3, stride=2).data


@probe("max_pool2d_rule")
def _(kata, rng):
    out = kata.max_pool2d(images(kata, rng, 2, 3, 7, 5), 3, stride=2)
    return list(kata.max_pool2d_rule(out.node, images(kata, rng, *out.shape).data))


@probe("conv_cost")
def _(kata, rng):
    *shape, channels = torch.randint(5, 12, (5,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return [
        kata.conv_cost(shape, channels, 3, 2, 1, bias=bias, itemsize=itemsize)
        for bias in (True, False)
    ]


def sizes(rng, count, low, high):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def filled(kata, layers, numbers):
    """Write the numbers into the parameters of these layers."""
    for layer in layers:
        for parameter in (layer.weight, layer.bias):
            parameter.data[...] = numbers[: parameter.size].reshape(parameter.shape)
            numbers = numbers[parameter.size :]


@probe("Conv2d")
def _(kata, rng):
    inputs, outputs, kernel, stride, padding, seed = sizes(rng, 6, 2, 5)
    first, again = (
        kata.Conv2d(
            inputs,
            20 * outputs,
            kernel,
            stride,
            padding,
            rng=np.random.default_rng(seed),
        )
        for _ in range(2)
    )
    weight, bias = first.weight.data, first.bias.data
    scale = (
        np.array([np.abs(weight).max(), 3**0.5 * weight.std()])
        * (inputs * kernel**2) ** 0.5
    )
    alike = np.array_equal(again.weight.data, weight) and np.array_equal(
        again.bias.data, bias
    )
    told = [weight.shape, bias.shape, str(weight.dtype), np.abs(scale - 1) < 0.2, alike]
    bare = kata.Conv2d(inputs, outputs, kernel, bias=False)
    there(
        kata,
        filled,
        [first],
        torch.randn(weight.size + bias.size, generator=rng).numpy(),
    )
    return [
        told,
        bare.weight.shape,
        bare.bias is None,
        first(images(kata, rng, 2, inputs, 9, 8)).data,
    ]


@probe("Flatten")
def _(kata, rng):
    x = images(kata, rng, *sizes(rng, 4, 2, 6))
    return [kata.Flatten()(x).data, kata.Flatten(2)(x).data]


@probe("make_cnn")
def _(kata, rng):
    size, inputs, *channels, classes = sizes(rng, 5, 2, 6)
    net = kata.make_cnn(size + 14, inputs, channels, classes, kernel_size=4, padding=1)
    layers = [net[0], net[3], net[7]]
    shapes = [part.shape for layer in layers for part in (layer.weight, layer.bias)]
    numbers = 0.1 * torch.randn(
        sum(int(np.prod(shape)) for shape in shapes), generator=rng
    )
    there(kata, filled, layers, numbers.numpy())
    return [
        len(net),
        shapes,
        net(images(kata, rng, 2, inputs, size + 14, size + 14)).data,
    ]


@probe("conv_scaling")
def _(kata, rng):
    kernels, size = (
        sorted((3 + 2 * torch.randperm(5, generator=rng)[:3]).tolist()),
        sizes(rng, 1, 20, 30)[0],
    )
    found, larger = (
        kata.conv_scaling(kernels, size),
        kata.conv_scaling(kernels, 2 * size),
    )
    slope = np.polyfit(np.log(kernels), np.log(found["values"]), 1)[0]
    ratios = [a / b for a, b in zip(larger["values"], found["values"])]
    return [
        found["sizes"],
        found["exponent"] / slope,
        all(3 < ratio < 5 for ratio in ratios),
    ]
