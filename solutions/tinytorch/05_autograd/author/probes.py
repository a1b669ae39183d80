"""Questions that the specs of tinytorch/05 cannot ask from another process."""

from unittest import mock

import numpy as np
import torch

from grader.lock.probes import probe


def leaves(kata, rng):
    return [kata.Tensor(torch.randn(2, 3, generator=rng).double().numpy(), requires_grad=True) for _ in range(2)]


@probe("no_grad")
def _(kata, rng):
    a, b = leaves(kata, rng)
    seen = [kata.is_grad_enabled()]
    with kata.no_grad():
        seen.append(kata.is_grad_enabled())
        with kata.no_grad():
            seen.append((a * b).requires_grad)
        seen.append(kata.is_grad_enabled())
    return [*seen, kata.is_grad_enabled(), (a * b).requires_grad]


@probe("backward")
def _(kata, rng):
    a, b = leaves(kata, rng)
    c = a * b + a
    kata.backward((c * c - b).sum())
    kata.backward((a * 3.0).sum())
    return [a.grad, b.grad]


@probe("gradcheck")
def _(kata, rng):
    a, b = leaves(kata, rng)
    right = kata.gradcheck(lambda a, b: a * b + a, [a, b])
    with mock.patch.dict(kata.RULES, {"mul": lambda node, grad: (grad, grad)}):
        wrong = kata.gradcheck(lambda a, b: a * b + a, [a, b])
    return [(found["ok"], found["numerical_forward_calls"], found["backward_calls"]) for found in (right, wrong)]


@probe("graph_report")
def _(kata, rng):
    def made(op, inputs, array, **saved):
        out = kata.Tensor(array)
        kata.record_node(out, op, inputs, saved)
        return out

    rows, columns, taken = torch.randint(2, 9, (3,), generator=rng).tolist()
    x, ids = kata.Tensor(np.ones((rows, columns)), requires_grad=True), np.arange(taken) % rows
    picked = made("index", (x,), x.data[ids], key=ids)
    squared = made("mul", (picked, picked), picked.data**2)
    part = made("index", (squared,), squared.data[1:], key=slice(1, None))
    return [kata.graph_report(part), kata.graph_report(made("add", (part, x), part.data[0] + x.data))]


def positive(kata, rng):
    """(2, 3) numbers from 1 to 2 in a Tensor, and a gradient for them."""
    numbers, grad = (1 + torch.rand(2, 3, generator=rng).double().numpy() for _ in range(2))
    return kata.Tensor(numbers, requires_grad=True), grad


@probe("elementwise_rule")
def _(kata, rng):
    x, grad = positive(kata, rng)
    outs = {
        "exp": np.exp(x.data),
        "log": np.log(x.data),
        "pow": x.data**3,
        "relu": x.data,
        "sigmoid": 1 / (1 + np.exp(-x.data)),
        "tanh": np.tanh(x.data),
    }
    nodes = [kata.Node(op, (x,), {"exponent": 3} if op == "pow" else {}, out) for op, out in outs.items()]
    return [list(kata.elementwise_rule(node, grad)) for node in nodes]


@probe("shape_rule")
def _(kata, rng):
    x, grad = positive(kata, rng)
    ids = torch.randint(2, (5,), generator=rng).numpy()
    weights = torch.rand(5, 3, generator=rng).double().numpy()
    return [
        list(kata.shape_rule(kata.Node("reshape", (x,), {}, x.data.reshape(6)), grad.reshape(6))),
        list(kata.shape_rule(kata.Node("transpose", (x,), {"dim0": 0, "dim1": 1}, x.data.T), grad.T)),
        list(kata.shape_rule(kata.Node("index", (x,), {"key": ids}, x.data[ids]), weights)),
    ]


@probe("matmul_rule")
def _(kata, rng):
    a, _ = positive(kata, rng)
    b = kata.Tensor(torch.randn(3, 4, generator=rng).double().numpy(), requires_grad=True)
    grad = torch.randn(2, 4, generator=rng).double().numpy()
    return list(kata.matmul_rule(kata.Node("matmul", (a, b), {}, a.data @ b.data), grad))
