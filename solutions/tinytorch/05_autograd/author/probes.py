"""Questions on the graph, and on the rules that carry gradients through it."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


def leaf(kata, rng, *shape):
    return kata.Tensor(normal(rng, *shape), requires_grad=True)


def ruled(kata, rng, rule, op, given, out, **saved):
    """What a rule makes of a drawn gradient."""
    node = kata.Node(op, tuple(given), saved, out)
    return list(rule(node, normal(rng, *out.shape)))


@probe("no_grad")
def _(kata, rng):
    """Enter and leave blocks, one inside another."""
    a, b = leaf(kata, rng, 2, 3), leaf(kata, rng, 2, 3)
    blocks, seen = [], []
    with mock.patch.object(kata, "_enabled", True):
        for step in (1, 1, 0, 0, *integers(rng, 20, 0, 2)):
            if step:
                blocks.append(kata.no_grad())
                blocks[-1].__enter__()
            elif blocks:
                blocks.pop().__exit__(None, None, None)
            seen.append([kata.is_grad_enabled(), (a * b).requires_grad])
    return [len(blocks), seen]


@probe("record_node")
def _(kata, rng):
    seen = []
    for number in range(6):
        wanted, arrays = integers(rng, 2, 0, 2), normal(rng, 3, 4)
        inputs = [kata.Tensor(a, requires_grad=bool(w)) for a, w in zip(arrays, wanted)]
        out = kata.Tensor(arrays[2])
        kata.record_node(out, f"op{number}", tuple(inputs), {"exponent": number})
        seen.append(out.requires_grad)
        if node := out.node:
            seen.append([node.op, [x.data for x in node.inputs], node.saved, node.out])
    return seen


@probe("unbroadcast")
def _(kata, rng):
    grad = normal(rng, 4, 2, 3)
    shapes = (4, 2, 3), (2, 3), (2, 1), (4, 1, 1), (1, 3)
    return [kata.unbroadcast(grad, shape) for shape in shapes]


@probe("arithmetic_rule")
def _(kata, rng):
    a, b, rule = leaf(kata, rng, 2, 3), leaf(kata, rng, 2, 3), kata.arithmetic_rule
    outs = {"add": a + b, "sub": a - b, "mul": a * b, "div": a / b}
    found = [ruled(kata, rng, rule, op, (a, b), out.data) for op, out in outs.items()]
    return [*found, ruled(kata, rng, rule, "neg", [a], -a.data)]


@probe("elementwise_rule")
def _(kata, rng):
    x = kata.Tensor(np.abs(normal(rng, 3, 4)), requires_grad=True)
    outs = {
        "exp": np.exp(x.data),
        "log": np.log(x.data),
        "pow": x.data**3,
        "relu": x.data,
        "sigmoid": 1 / (1 + np.exp(-x.data)),
        "tanh": np.tanh(x.data),
    }
    return [
        ruled(kata, rng, kata.elementwise_rule, op, [x], out, exponent=3)
        for op, out in outs.items()
    ]


@probe("reduction_rule")
def _(kata, rng):
    x, seen = leaf(kata, rng, 2, 3, 4), []
    for op in ("sum", "mean", "max"):
        for keepdim in (True, False):
            dim = tuple({*integers(rng, 2, 0, 3)})
            out = getattr(np, op)(x.data, axis=dim, keepdims=keepdim)
            saved = {"dim": dim, "keepdim": keepdim}
            seen.append(ruled(kata, rng, kata.reduction_rule, op, [x], out, **saved))
    return seen


@probe("shape_rule")
def _(kata, rng):
    x, rule, ids = leaf(kata, rng, 2, 3), kata.shape_rule, integers(rng, 5, 0, 2)
    return [
        ruled(kata, rng, rule, "reshape", [x], x.data.reshape(6)),
        ruled(kata, rng, rule, "transpose", [x], x.data.T, dim0=0, dim1=1),
        ruled(kata, rng, rule, "index", [x], x.data[ids], key=np.array(ids)),
    ]


@probe("matmul_rule")
def _(kata, rng):
    found = []
    for left, right in (((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4))):
        given = leaf(kata, rng, *left), leaf(kata, rng, *right)
        out = given[0].data @ given[1].data
        found.append(ruled(kata, rng, kata.matmul_rule, "matmul", given, out))
    return found


@probe("backward")
def _(kata, rng):
    a, b = leaf(kata, rng, 2, 3), leaf(kata, rng, 2, 3)
    c = a * b + a
    d = c * c
    kata.backward((d * c - b + d).sum())
    kata.backward((a * 3.0).sum())
    kept = [len(x.node.inputs or ()) for x in (c, d)]
    return [a.grad, b.grad, kept]


@probe("gradcheck")
def _(kata, rng):
    """With the rule for products, and with a wrong one in its place."""
    rows, columns = integers(rng, 2, 2, 5)
    wanted, shapes = integers(rng, 3, 0, 2), ((rows, columns), (columns,), (rows, 1))
    inputs = [
        kata.Tensor(normal(rng, *shape), requires_grad=bool(one))
        for shape, one in zip(shapes, [1, *wanted])
    ]
    rules = [kata.RULES["mul"], lambda node, grad: (grad, grad)]
    found = []
    for choice in (0, 1, *integers(rng, 4, 0, 2)):
        with mock.patch.dict(kata.RULES, mul=rules[choice]):
            found.append(kata.gradcheck(lambda a, b, c: a * b + c * a + b * c, inputs))
    return [
        [
            one["numerical_forward_calls"],
            one["backward_calls"],
            one["ok"],
            np.float32(one["max_abs_error"]),
        ]
        for one in found
    ]


def graph(kata, rows, columns, taken):
    """Two tensors with a graph of views, whose blocks of memory are held
    several times.
    """

    def made(op, inputs, array, **saved):
        out = kata.Tensor(array)
        kata.record_node(out, op, inputs, saved)
        return out

    x = kata.Tensor(np.ones((rows, columns)), requires_grad=True)
    ids = np.arange(taken) % rows
    picked = made("index", (x,), x.data[ids], key=ids)
    squared = made("mul", (picked, picked), picked.data**2)
    part = made("index", (squared,), squared.data[1:], key=slice(1, None))
    return part, made("add", (part, x), part.data[0] + x.data)


@probe("graph_report")
def _(kata, rng):
    tensors = graph(kata, *integers(rng, 3))
    return [kata.graph_report(tensor) for tensor in tensors]


@probe("depth_scaling")
def _(kata, rng):
    """Each product keeps so much memory as is drawn, where it is recorded."""
    depths, [units] = [2, *integers(rng, 2, 3, 12)], integers(rng, 1, 2, 9)

    def times(a, b):
        out = kata.Tensor(a.data, requires_grad=True)
        if kata.is_grad_enabled():
            out.node = kata.Node("mul", (a,), {}, np.zeros(units * UNIT, np.int8))
        return out

    with mock.patch.object(kata.Tensor, "__mul__", times):
        return [units, kata.depth_scaling(depths, 10)]


@judge("depth_scaling")
def _(values, expected):
    return {
        name: growth(found, expected[1][name]["sizes"])
        for name, found in values[1].items()
    }
