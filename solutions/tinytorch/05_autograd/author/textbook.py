"""Autograd as a textbook has it: a node per operation, rules by name, and one walk in
topological order.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.recorder import set_recorder
from tinytorch.setup import measure_scaling
from tinytorch.tensor import Tensor


@dataclass(eq=False)
class Node:
    """The origin of a tensor."""

    op: str
    inputs: tuple
    saved: dict
    out: Any


_enabled = True


def is_grad_enabled():
    """Say whether operations are recorded."""
    return _enabled


def record_node(out, op, inputs, saved):
    """Put a node on the output of an operation if a gradient may be asked for."""
    if _enabled and any(x.requires_grad for x in inputs):
        out.requires_grad = True
        out.node = Node(op, inputs, saved, out.data)


set_recorder(record_node)


@contextmanager
def no_grad():
    """Record nothing inside the block."""
    global _enabled
    before = _enabled
    _enabled = False
    yield
    _enabled = before


def unbroadcast(grad, shape):
    """Add up what broadcasting repeated."""
    while grad.ndim > len(shape):
        grad = grad.sum(axis=0)
    for dim, size in enumerate(shape):
        if size == 1:
            grad = grad.sum(axis=dim, keepdims=True)
    return grad


RULES = {}


def backward_rule(op):
    """Register the decorated function as the gradient rule of an operation."""

    def register(rule):
        RULES[op] = rule
        return rule

    return register


def arithmetic_rule(node, grad):
    """Carry a gradient back through an arithmetic operation."""
    if node.op == "add":
        return grad, grad
    if node.op == "sub":
        return grad, -grad
    if node.op == "neg":
        return (-grad,)
    a, b = node.inputs[0].data, node.inputs[1].data
    if node.op == "mul":
        return grad * b, grad * a
    if node.op == "div":
        return grad / b, -grad * a / b**2


def elementwise_rule(node, grad):
    """Carry a gradient back through a function of each element."""
    x, y = node.inputs[0].data, node.out
    if node.op == "exp":
        return (grad * y,)
    if node.op == "log":
        return (grad / x,)
    if node.op == "pow":
        n = node.saved["exponent"]
        return (grad * n * x ** (n - 1),)
    if node.op == "relu":
        return (grad * (x > 0),)
    if node.op == "sigmoid":
        return (grad * y * (1 - y),)
    if node.op == "tanh":
        return (grad * (1 - y**2),)


def reduction_rule(node, grad):
    """Carry a gradient back through a reduction."""
    x, y, dim = node.inputs[0].data, node.out, node.saved["dim"]
    if not node.saved["keepdim"]:
        grad = np.expand_dims(grad, dim)
        y = np.expand_dims(y, dim)
    if node.op == "sum":
        return (grad * np.ones(x.shape),)
    if node.op == "mean":
        return (grad * np.ones(x.shape) * y.size / x.size,)
    if node.op == "max":
        return (grad * (x == y),)


def shape_rule(node, grad):
    """Carry a gradient back through a change of shape."""
    x = node.inputs[0].data
    if node.op == "reshape":
        return (grad.reshape(x.shape),)
    if node.op == "transpose":
        return (grad.swapaxes(node.saved["dim0"], node.saved["dim1"]),)
    if node.op == "index":
        whole = np.zeros(x.shape)
        np.add.at(whole, node.saved["key"], grad)
        return (whole,)


def matmul_rule(node, grad):
    """Carry a gradient back through a matrix product."""
    a, b = node.inputs[0].data, node.inputs[1].data
    return grad @ b.swapaxes(-1, -2), a.swapaxes(-1, -2) @ grad


RULES.update(dict.fromkeys(("add", "sub", "mul", "div", "neg"), arithmetic_rule))
RULES.update(
    dict.fromkeys(("exp", "log", "pow", "relu", "sigmoid", "tanh"), elementwise_rule)
)
RULES.update(dict.fromkeys(("sum", "mean", "max"), reduction_rule))
RULES.update(dict.fromkeys(("reshape", "transpose", "index"), shape_rule))
RULES.update({"matmul": matmul_rule})


def sorted_graph(tensor):
    """Every tensor of the graph that requires a gradient, inputs first."""
    order, seen = [], set()

    def visit(x):
        if x.requires_grad and x not in seen:
            seen.add(x)
            if x.node:
                for source in x.node.inputs:
                    visit(source)
            order.append(x)

    visit(tensor)
    return order


def backward(tensor, gradient=None, *, retain_graph=False):
    """Add the gradient of a tensor to the `.grad` of every leaf that it was
    computed from.
    """
    order = sorted_graph(tensor)
    grads = {tensor: np.ones(tensor.shape) if gradient is None else gradient}
    for x in reversed(order):
        grad = grads[x]
        if x.node is None:
            x.grad = grad if x.grad is None else x.grad + grad
            continue
        for source, part in zip(x.node.inputs, RULES[x.node.op](x.node, grad)):
            if source.requires_grad:
                grads[source] = grads.get(source, 0) + unbroadcast(part, source.shape)
        if not retain_graph:
            x.node.inputs, x.node.saved = (), {}


def gradcheck(fn, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-4):
    """Compare backward with central differences."""
    checked = [x for x in inputs if x.requires_grad]
    for x in checked:
        x.grad = None
    fn(*inputs).sum().backward()
    ok, largest, calls = True, 0.0, 0
    for x in checked:
        for place in np.ndindex(x.shape):
            here = x.data[place]
            with no_grad():
                x.data[place] = here + eps
                above = fn(*inputs).sum().item()
                x.data[place] = here - eps
                below = fn(*inputs).sum().item()
            x.data[place] = here
            calls += 2
            slope = (above - below) / (2 * eps)
            error = abs(slope - x.grad[place])
            largest = max(largest, error)
            if error > atol + rtol * abs(slope):
                ok = False
    return {
        "ok": ok,
        "max_abs_error": largest,
        "numerical_forward_calls": calls,
        "backward_calls": 1,
    }


def graph_report(tensor):
    """Count the nodes behind a tensor, and the bytes that they keep in memory."""
    ops, blocks = {}, {}
    for x in sorted_graph(tensor):
        if x.node:
            ops[x.node.op] = ops.get(x.node.op, 0) + 1
            arrays = [source.data for source in x.node.inputs] + [x.node.out]
            arrays += [
                value
                for value in x.node.saved.values()
                if isinstance(value, np.ndarray)
            ]
            for array in arrays:
                while array.base is not None:
                    array = array.base
                blocks[id(array)] = array.nbytes
    return {"nodes": sum(ops.values()), "ops": ops, "held_bytes": sum(blocks.values())}


def depth_scaling(depths, width=20_000):
    """Measure the memory that a chain of operations retains, with and without
    a graph.
    """

    def build(depth):
        x = Tensor(np.ones(width, dtype=np.float32), requires_grad=True)

        def chain():
            y = x
            for _ in range(depth):
                y = y * 1.0
            return y

        return chain

    graph = measure_scaling(build, depths, kind="retained_bytes")
    with no_grad():
        without = measure_scaling(build, depths, kind="retained_bytes")
    return {"graph": graph, "no_grad": without}
