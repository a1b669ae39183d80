"""Questions that the specs of tinytorch/04 cannot ask from another process, or ask only
about inputs that are known.
"""

import numpy as np
import torch

from grader.lock.probes import probe, there


def sizes(rng, count, low=2, high=9):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def numbers(rng, *shape):
    return torch.randn(*shape, generator=rng).numpy()


def filled(kata, layer, *arrays):
    """Write the arrays into a layer's parameters."""
    parts = layer if isinstance(layer, list) else [layer]
    for parameter, array in zip(
        [p for part in parts for p in (part.weight, part.bias)], arrays
    ):
        parameter.data[...] = array
    return layer


@probe("Parameter")
def _(kata, rng):
    array = numbers(rng, 2, 3)
    return [
        (p.data, p.requires_grad)
        for p in (kata.Parameter(array), kata.Parameter(array, requires_grad=False))
    ]


def weighed(kata):
    class Weighed(kata.Module):
        def forward(self, *inputs):
            return [place * value for place, value in enumerate(inputs, start=2)]

    return Weighed()


@probe("Module.__call__")
def _(kata, rng):
    module, given = there(kata, weighed), sizes(rng, 3, high=1000)
    return [module(*given), module(given[0]), module()]


def tree(kata, tags):
    """A module and four more inside it, in attributes, a list and a tuple; then all
    their parameters.
    """

    class Part(kata.Module):
        def __init__(self, tag):
            self.tag, self.weight = tag, kata.Parameter([float(tag)])

    top, middle, left, right, deep = parts = [Part(tag) for tag in tags]
    top.first, top.plain, top.rest = middle, kata.Tensor([1.0]), [left, "text", right]
    middle.layers = (deep,)
    return parts, [part.weight for part in parts]


@probe("Module.modules")
def _(kata, rng):
    parts, _ = there(kata, tree, torch.randperm(900, generator=rng)[:5].tolist())
    found = [[module.tag for module in part.modules()] for part in parts]
    return [(tags[0], sorted(tags)) for tags in found]


@probe("Module.train")
def _(kata, rng):
    parts, _ = there(kata, tree, [1, 2, 3, 4, 5])
    seen = []
    for place, mode in zip(sizes(rng, 8, 0, 5), sizes(rng, 8, 0, 2)):
        seen.append(
            [parts[place].train(bool(mode)).tag, [part.training for part in parts]]
        )
    return seen


def with_gradients(kata, parameters):
    for parameter in parameters:
        parameter.grad = parameter.data.copy()


@probe("Module.zero_grad")
def _(kata, rng):
    tags, seen = (
        [1 + tag for tag in torch.randperm(900, generator=rng)[:5].tolist()],
        [],
    )
    parts, parameters = there(kata, tree, tags)
    for place in torch.randperm(5, generator=rng).tolist():
        there(kata, with_gradients, parameters)
        parts[place].zero_grad()
        seen.append([None if p.grad is None else p.grad.tolist() for p in parameters])
    return seen


@probe("Linear.__init__")
def _(kata, rng):
    inputs, outputs = sizes(rng, 2, 80, 150)
    seed = sizes(rng, 1, 0, 10**6)[0]
    first, again = (
        kata.Linear(inputs, outputs, rng=np.random.default_rng(seed)) for _ in range(2)
    )
    weight, bias = first.weight.data, first.bias.data
    scale = (
        np.array(
            [np.abs(weight).max(), 3**0.5 * weight.std(), 3**0.5 * weight[0].std()]
        )
        * inputs**0.5
    )
    alike = np.array_equal(again.weight.data, weight) and np.array_equal(
        again.bias.data, bias
    )
    bare = kata.Linear(inputs, 2, bias=False)
    shapes = [
        weight.shape,
        bias.shape,
        bare.weight.shape,
        str(weight.dtype),
        str(bias.dtype),
    ]
    return [
        shapes,
        np.abs(scale - 1) < 0.3,
        np.abs(bias).max() * inputs**0.5 <= 1.001,
        alike,
        bare.bias is None,
    ]


@probe("Linear.forward")
def _(kata, rng):
    rows, inputs, outputs = sizes(rng, 3)
    weight, bias, x = (
        numbers(rng, outputs, inputs),
        numbers(rng, outputs),
        numbers(rng, 3, rows, inputs),
    )
    layer = there(kata, filled, kata.Linear(inputs, outputs), weight, bias)
    return [layer(kata.Tensor(x)).data, layer(kata.Tensor(x[0])).data]


@probe("Sequential")
def _(kata, rng):
    factors, net = sizes(rng, 4), kata.Sequential([])
    steps = [lambda x, factor=factor: factor * x + 1 for factor in factors]
    net = kata.Sequential(iter(steps[: factors[0]]))
    return [net(10), len(net), net[-1](10), [step(10) for step in net]]


@probe("Dropout")
def _(kata, rng):
    [seed], p, x = (
        sizes(rng, 1, 0, 10**6),
        0.2 + 0.5 * float(torch.rand((), generator=rng)),
        numbers(rng, 60, 50),
    )
    first, again = (kata.Dropout(p, rng=np.random.default_rng(seed)) for _ in range(2))
    got, next_ = (first(kata.Tensor(x)).data for _ in range(2))
    scaled = np.where(got == 0, 0, x / (1 - p))
    right = [
        np.allclose(got, scaled, atol=1e-5),
        abs((got == 0).mean() - p) < 0.06,
        np.array_equal(got, next_),
    ]
    alike = np.array_equal(again(kata.Tensor(x)).data, got)
    return [right, alike, first.eval()(kata.Tensor(x)).data]


@probe("matmul_loops")
def _(kata, rng):
    n, k, m = sizes(rng, 3)
    product, count = kata.matmul_loops(
        kata.Tensor(numbers(rng, n, k)), kata.Tensor(numbers(rng, k, m))
    )
    return [product.data, count]


@probe("linear_cost")
def _(kata, rng):
    *given, itemsize = sizes(rng, 4, high=50)
    return [
        kata.linear_cost(*given, bias=bias, itemsize=itemsize) for bias in (True, False)
    ]


@probe("layer_report")
def _(kata, rng):
    rows, *widths = sizes(rng, 4, high=30)
    layers = [
        kata.Linear(*widths[:2]),
        kata.ReLU(),
        kata.Linear(*widths[1:], bias=False),
    ]
    return kata.layer_report(
        kata.Sequential(layers), kata.Tensor(numbers(rng, rows, widths[0]))
    )


@probe("layer_scaling")
def _(kata, rng):
    widths = (20 * (10 + torch.randperm(15, generator=rng)[:3])).tolist()
    found = kata.layer_scaling(widths)
    memory = found["memory"]
    slope = np.polyfit(np.log(widths), np.log(memory["values"]), 1)[0]
    # of a square of float32 numbers
    sides = [round((value / 4) ** 0.5 / 20) for value in memory["values"]]
    return [memory["sizes"], sides, memory["exponent"] / slope, found["flops"]]


def by_hand(x, weight, bias, last_weight, last_bias):
    return np.maximum(x @ weight.T + bias, 0) @ last_weight.T + last_bias


@probe("run_xor_inference")
def _(kata, rng):
    net, out = kata.run_xor_inference(np.random.default_rng(sizes(rng, 1, 0, 10**6)[0]))
    own = [
        array
        for layer in (net[0], net[2])
        for array in (layer.weight.data, layer.bias.data)
    ]
    right = np.allclose(out.data, by_hand(kata.XOR_X, *own), atol=1e-5)
    there(
        kata, filled, [net[0], net[2]], *(numbers(rng, *array.shape) for array in own)
    )
    return [
        len(net),
        [array.shape for array in own],
        right,
        net(kata.Tensor(numbers(rng, 5, 2))).data,
    ]


@probe("load_xor_by_hand")
def _(kata, rng):
    """Between the four points, a network says what the weights of module 03 make
    of them.
    """
    arrays = [numbers(rng, *shape) for shape in ((4, 2), (4,), (1, 4), (1,))]
    layers = there(kata, filled, [kata.Linear(2, 4), kata.Linear(4, 1)], *arrays)
    net = kata.load_xor_by_hand(kata.Sequential([layers[0], kata.ReLU(), layers[1]]))
    x = torch.rand(6, 2, generator=rng).numpy()
    return np.allclose(
        net(kata.Tensor(x)).data, by_hand(x, *kata.xor_by_hand()), atol=1e-4
    )
