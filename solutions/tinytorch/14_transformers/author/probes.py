"""Questions that the specs of tinytorch/14 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe, there


@probe("block_cost")
def _(kata, rng):
    batch, length, width, heads = torch.randint(1, 20, (4,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.block_cost(batch, length, heads * width, heads, itemsize=itemsize)


def sizes(rng, count, low=2, high=5):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def tensor(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(
        torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True
    )


def filled(kata, module, seed):
    """Write drawn numbers into the parameters, in the order of their names."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    for _, parameter in sorted(module.named_parameters()):
        parameter.data[...] = 0.5 * numbers.normal(size=parameter.shape)


def asked(kata, rng, module, *shape):
    """The module's parameters, and with drawn numbers in them its output and the
    gradient of its input.
    """
    shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
    there(kata, filled, module, *sizes(rng, 1, 0, 10**6))
    x = tensor(rng, *shape)
    out = module(x)
    (out * out).sum().backward()
    return [shapes, out.data, x.grad]


@probe("LayerNorm")
def _(kata, rng):
    rows, width = sizes(rng, 2, 3, 9)
    return asked(kata, rng, kata.LayerNorm(width), 2, rows, width)


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
    return [asked(kata, rng, layer, 2, length, heads * width) for layer in layers]


@probe("FeedForward")
def _(kata, rng):
    width, hidden, length = sizes(rng, 3, 3, 9)
    layers = [kata.FeedForward(width), kata.FeedForward(width, hidden)]
    return [asked(kata, rng, layer, 2, length, width) for layer in layers]


@probe("TransformerBlock")
def _(kata, rng):
    heads, width, length = sizes(rng, 3)
    blocks = [
        kata.TransformerBlock(heads * width, heads, residual=residual)
        for residual in (True, False)
    ]
    dropping = kata.TransformerBlock(heads * width, heads, dropout=0.5)
    there(kata, filled, dropping, *sizes(rng, 1, 0, 10**6))
    x = tensor(rng, 9, length, heads * width)
    moved = [
        (layer(x).data != layer.eval()(x).data).mean() > 0.5
        for layer in (dropping, blocks[0])
    ]
    return [
        moved,
        *(
            asked(kata, rng, block.train(), 2, length, heads * width)
            for block in blocks
        ),
    ]


@probe("GPTBackbone")
def _(kata, rng):
    heads, width, layers, length = sizes(rng, 4)
    return asked(
        kata,
        rng,
        kata.GPTBackbone(heads * width, heads, layers),
        2,
        length,
        heads * width,
    )


@probe("residual_gradient_norms")
def _(kata, rng):
    """Without skips, the first block gets far less: by a factor of about 150, of which
    the mean of five is sure.
    """
    [depth], seeds, gains = sizes(rng, 1, 10, 16), sizes(rng, 5, 0, 10**6), []
    for seed in seeds:
        plain, skipped = (
            kata.residual_gradient_norms(
                depth, residual=residual, rng=np.random.default_rng(seed)
            )
            for residual in (False, True)
        )
        gains.append(np.log(skipped[0] / plain[0]))
    again = kata.residual_gradient_norms(
        depth, residual=True, rng=np.random.default_rng(seeds[-1])
    )
    shapes = [
        kata.residual_gradient_norms(n, residual=True).shape
        for n in sizes(rng, 3, 1, 9)
    ]
    return [
        skipped.shape,
        shapes,
        np.allclose(again, skipped),
        bool(np.mean(gains) > 1),
    ]


@probe("norm_statistics")
def _(kata, rng):
    return kata.norm_statistics(tensor(rng, *sizes(rng, 3)))


@probe("depth_scaling")
def _(kata, rng):
    batch, length = sizes(rng, 2, 4, 9)
    depths = [
        2 * factor
        for factor in (1, *(2 + torch.randperm(3, generator=rng)[:2]).tolist())
    ]
    found = kata.depth_scaling(depths, batch=batch, length=8 * length)
    slope = np.polyfit(np.log(depths), np.log(found["values"]), 1)[0]
    return [
        found["sizes"],
        [round(value / found["values"][0]) for value in found["values"]],
        found["exponent"] / slope,
    ]
