"""Questions on modules and layers, with drawn numbers in their parameters."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def numbers(rng, *shape):
    return normal(rng, *shape).astype(np.float32)


def filled(layers, rng):
    """Write drawn numbers into the weights and biases of some Linears."""
    for layer in layers:
        for parameter in (layer.weight, layer.bias):
            parameter.data[...] = numbers(rng, *parameter.shape)


@probe("Parameter")
def _(kata, rng):
    array, wanted = numbers(rng, 2, 3), integers(rng, 12, 0, 2)
    made = [kata.Parameter(array, requires_grad=bool(one)) for one in wanted]
    made[0].data[0] = 7
    return [array, kata.Parameter(array).data, [p.requires_grad for p in made]]


def weighed(kata):
    class Weighed(kata.Module):
        def forward(self, *inputs):
            return [place * value for place, value in enumerate(inputs, start=2)]

    return Weighed()


@probe("Module.__call__")
def _(kata, rng):
    module, given = weighed(kata), integers(rng, 3, 2, 1000)
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


@probe("Module.named_parameters")
def _(kata, rng):
    parts, _ = tree(kata, integers(rng, 5, 0, 900))
    found = [part.named_parameters() for part in parts]
    return [[(name, p.data) for name, p in of_one] for of_one in found]


@probe("Module.modules")
def _(kata, rng):
    parts, _ = tree(kata, integers(rng, 5, 0, 900))
    found = [[module.tag for module in part.modules()] for part in parts]
    return [(tags[0], sorted(tags)) for tags in found]


@probe("Module.train")
def _(kata, rng):
    parts, _ = tree(kata, integers(rng, 5, 0, 900))
    seen = []
    for place, mode in zip(integers(rng, 8, 0, 5), integers(rng, 8, 0, 2)):
        returned = parts[place].train(bool(mode))
        seen.append([returned.tag, [part.training for part in parts]])
    return seen


@probe("Module.zero_grad")
def _(kata, rng):
    parts, parameters = tree(kata, integers(rng, 5, 1, 900))
    seen = []
    for place in integers(rng, 8, 0, 5):
        for parameter in parameters:
            parameter.grad = parameter.data.copy()
        parts[place].zero_grad()
        seen.append([parameter.grad for parameter in parameters])
    return seen


@probe("Linear.__init__")
def _(kata, rng):
    inputs, outputs = integers(rng, 2, 80, 150)
    [seed] = integers(rng, 1, 0, 10**6)
    shared = np.random.default_rng(seed)
    layers = [kata.Linear(inputs, outputs, rng=shared) for _ in range(2)]
    layers.append(kata.Linear(inputs, outputs, rng=np.random.default_rng(seed)))
    bare = kata.Linear(inputs, outputs, bias=False)
    drawn = [[layer.weight.data, layer.bias.data] for layer in layers]
    return [drawn, bare.weight.data, bare.bias]


@judge("Linear.__init__")
def _(values, expected):
    [first, second, again], bare, _ = values
    bound = expected[1].shape[1] ** -0.5
    weights = [first[0], first[1], second[0], again[0], bare]
    return [
        [np.abs(part).max() / bound <= 1.001 for part in weights],
        [abs(part.std() / bound * 3**0.5 - 1) < 0.3 for part in weights],
        [np.abs(first[i] - again[i]).max() == 0 for i in (0, 1)],
        [np.abs(first[i] - second[i]).max() > 0 for i in (0, 1)],
        len(np.unique(first[0])) > first[0].size / 2,
    ]


@probe("Linear.forward")
def _(kata, rng):
    """What it gives other numbers in the same parameters, too."""
    rows, inputs, outputs = integers(rng, 3)
    layer, x = kata.Linear(inputs, outputs), numbers(rng, 3, rows, inputs)
    filled([layer], rng)
    return [layer(kata.Tensor(x)).data, layer(kata.Tensor(x[0])).data]


@probe("Sequential")
def _(kata, rng):
    factors = integers(rng, 4)
    steps = [lambda x, factor=factor: factor * x + 1 for factor in factors]
    net, other = kata.Sequential(iter(steps)), kata.Sequential(steps)
    steps.pop()
    found = [net[-1](10), [step(10) for step in net], other(10), len(other)]
    return [net(10), len(net), *found]


@probe("Dropout")
def _(kata, rng):
    [seed], x = integers(rng, 1, 0, 10**6), numbers(rng, 60, 50)
    p = 0.2 + 0.06 * integers(rng, 1)[0]
    first, again = (kata.Dropout(p, rng=np.random.default_rng(seed)) for _ in range(2))
    drawn = [layer(kata.Tensor(x)).data for layer in (first, first, again)]
    return [x, p, drawn, first.eval()(kata.Tensor(x)).data]


@judge("Dropout")
def _(values, expected):
    (x, p, *_), (_, _, drawn, evaluated) = expected, values
    return [
        evaluated,
        [np.where(one == 0, 0, x / (1 - p)) - one for one in drawn],
        [abs((one == 0).mean() - p) < 0.06 for one in drawn],
        [np.array_equal(drawn[0], one) for one in drawn],
    ]


@probe("matmul_loops")
def _(kata, rng):
    n, k, m = integers(rng, 3)
    a, b = kata.Tensor(numbers(rng, n, k)), kata.Tensor(numbers(rng, k, m))
    product, count = kata.matmul_loops(a, b)
    return [product.data, count]


@probe("linear_cost")
def _(kata, rng):
    given, itemsize = integers(rng, 3, 2, 50), 2 ** integers(rng, 1, 1, 4)[0]
    return [
        kata.linear_cost(*given, bias=bias, itemsize=itemsize) for bias in (True, False)
    ]


@probe("layer_report")
def _(kata, rng):
    rows, *widths = integers(rng, 4, 2, 30)
    last = kata.Linear(*widths[1:], bias=False)
    net = kata.Sequential([kata.Linear(*widths[:2]), kata.ReLU(), last])
    return kata.layer_report(net, kata.Tensor(numbers(rng, rows, widths[0])))


@probe("layer_scaling")
def _(kata, rng):
    """A layer keeps so much memory as is drawn for its width."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def linear(inputs, outputs):
        return np.zeros(units[inputs] * UNIT * outputs // inputs, np.int8)

    with mock.patch.object(kata, "Linear", linear):
        return kata.layer_scaling(list(units))


@judge("layer_scaling")
def _(found, expected):
    widths = expected["flops"]["sizes"]
    return [growth(found["memory"], widths), found["flops"]]


@probe("run_xor_inference")
def _(kata, rng):
    seeds = integers(rng, 2, 0, 10**6)
    made = [kata.run_xor_inference(np.random.default_rng(seed)) for seed in seeds]
    (net, out), (other, _) = made
    weights = [net[0].weight.data.copy(), other[0].weight.data]
    again = net(kata.Tensor(kata.XOR_X)).data
    filled([net[0], net[2]], rng)
    return [out.data, again, weights, net(kata.Tensor(numbers(rng, 5, 2))).data]


@judge("run_xor_inference")
def _(values, expected):
    out, again, [weight, other], filled = values
    return [filled, out - again, np.abs(weight - other).max() > 0]


@probe("load_xor_by_hand")
def _(kata, rng):
    """What stands in for XOR are drawn weights."""
    [hidden], weights = integers(rng, 1, 2, 5), []
    for shape in ((hidden, 2), (hidden,), (1, hidden), (1,)):
        weights.append(numbers(rng, *shape))
    layers = [kata.Linear(2, 4), kata.Linear(4, 1)]
    filled(layers, rng)
    own = [part for layer in layers for part in (layer.weight, layer.bias)]
    net = kata.Sequential([layers[0], kata.ReLU(), layers[1]])
    with mock.patch.object(kata, "xor_by_hand", lambda: tuple(weights)):
        found = kata.load_xor_by_hand(net)
    out = found(kata.Tensor(numbers(rng, 6, 2))).data
    return [out, [parameter.data for parameter in own]]
