"""Questions on the parts of a transformer."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


@probe("block_cost")
def _(kata, rng):
    batch, length, width, heads = integers(rng, 4, 1, 20)
    itemsize = 2 ** integers(rng, 1, 1, 4)[0]
    return kata.block_cost(batch, length, heads * width, heads, itemsize=itemsize)


def sizes(rng, count):
    return integers(rng, count, 2, 5)


def tensor(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(normal(rng, *shape), requires_grad=True)


def filled(module, rng):
    """Write drawn numbers into the parameters, in the order of their names."""
    for _, parameter in sorted(module.named_parameters()):
        parameter.data[...] = 0.5 * normal(rng, *parameter.shape)


def asked(rng, module, *shape):
    """The module's parameters, and with drawn numbers in them its output and the
    gradient of its input.
    """
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    filled(module, rng)
    x = tensor(rng, *shape)
    out = module(x)
    (out * out).sum().backward()
    return [shapes, out.data, x.grad]


@probe("LayerNorm")
def _(kata, rng):
    rows, width = integers(rng, 2, 3, 9)
    return asked(rng, kata.LayerNorm(width), 2, rows, width)


@probe("gelu")
def _(kata, rng):
    x = tensor(rng, *sizes(rng, 2))
    y = kata.gelu(x)
    (y * y).sum().backward()
    return [y.data, x.grad]


@probe("MultiHeadAttention")
def _(kata, rng):
    heads, width, length = sizes(rng, 3)
    layers = [
        kata.MultiHeadAttention(heads * width, heads, **options)
        for options in ({}, {"causal": False})
    ]
    return [asked(rng, layer, 2, length, heads * width) for layer in layers]


@probe("FeedForward")
def _(kata, rng):
    width, hidden, length = integers(rng, 3, 3, 9)
    layers = [kata.FeedForward(width), kata.FeedForward(width, hidden)]
    return [asked(rng, layer, 2, length, width) for layer in layers]


@probe("TransformerBlock")
def _(kata, rng):
    """In the place of dropout, something that triples while training."""
    from tinytorch.layers import Module

    class Tripling(Module):
        def __init__(self, p, **options):
            self.p = p

        def forward(self, x):
            return 3.0 * x if self.training and self.p else x

    heads, width, length = sizes(rng, 3)
    with mock.patch.object(kata, "Dropout", Tripling):
        blocks = [
            kata.TransformerBlock(heads * width, heads, **options)
            for options in ({}, {"residual": False}, {"dropout": 0.5}, {"dropout": 0.5})
        ]
    blocks[-1].eval()
    return [asked(rng, block, 2, length, heads * width) for block in blocks]


@probe("GPTBackbone")
def _(kata, rng):
    heads, width, layers, length = sizes(rng, 4)
    return asked(
        rng,
        kata.GPTBackbone(heads * width, heads, layers),
        2,
        length,
        heads * width,
    )


@probe("residual_gradient_norms")
def _(kata, rng):
    """From parameters and an input that are drawn, as the code's own draws are its
    own.
    """
    [depth], numbers = integers(rng, 1, 2, 6), normal(rng, 999)

    class Source(np.random.Generator):
        def normal(self, loc=0.0, scale=1.0, size=None):
            return loc + scale * np.resize(numbers, size)

        def standard_normal(self, size=None, dtype=np.float64, out=None):
            return np.resize(numbers, size).astype(dtype)

    class Drawn(kata.TransformerBlock):
        def __init__(self, *given, **options):
            super().__init__(*given, **options)
            for name, p in self.named_parameters():
                p.data[...] = 0.3 * np.resize(numbers[len(name) :], p.shape)

    with mock.patch.object(kata, "TransformerBlock", Drawn):
        return [
            kata.residual_gradient_norms(
                depth, residual=residual, rng=Source(np.random.PCG64(0))
            )
            for residual in (True, False)
        ]


@probe("norm_statistics")
def _(kata, rng):
    return kata.norm_statistics(tensor(rng, *sizes(rng, 3)))


@probe("depth_scaling")
def _(kata, rng):
    """A backbone's output keeps so much memory as is drawn for its depth."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def backbone(width, heads, depth, **options):
        share = UNIT // (width * heads)
        return lambda x: np.zeros(units[depth] * share * x.size // 6, np.int8)

    with mock.patch.object(kata, "GPTBackbone", backbone):
        return kata.depth_scaling(list(units), embed_dim=8, batch=3, length=8)


@judge("depth_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
