"""Questions that the specs of tinytorch/09 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def images(kata, rng, *shape):
    return kata.Tensor(torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True)


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
    return [kata.conv_cost(shape, channels, 3, 2, 1, bias=bias, itemsize=itemsize) for bias in (True, False)]
