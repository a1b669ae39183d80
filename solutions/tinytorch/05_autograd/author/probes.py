"""Questions that the specs of tinytorch/05 cannot ask from another process."""

import numpy as np
import torch

from grader.lock.probes import probe, there


def leaves(kata, rng):
    return [
        kata.Tensor(
            torch.randn(2, 3, generator=rng).double().numpy(), requires_grad=True
        )
        for _ in range(2)
    ]


@probe("no_grad")
def _(kata, rng):
    """Enter and leave blocks, one inside another."""
    a, b = leaves(kata, rng)
    steps, blocks, seen = (
        [1, 1, 0, 0, 1, *torch.randint(2, (20,), generator=rng).tolist()],
        [],
        [],
    )
    for step in steps:
        if step:
            blocks.append(kata.no_grad())
            blocks[-1].__enter__()
        elif blocks:
            blocks.pop().__exit__(None, None, None)
        seen.append((kata.is_grad_enabled(), (a * b).requires_grad))
    for block in blocks[::-1]:
        block.__exit__(None, None, None)
    return seen


@probe("record_node")
def _(kata, rng):
    seen = []
    for number in range(6):
        wanted = torch.randint(2, (2,), generator=rng).bool().tolist()
        arrays = torch.randn(3, 4, generator=rng).double().numpy()
        inputs = tuple(
            kata.Tensor(array, requires_grad=one) for array, one in zip(arrays, wanted)
        )
        out = kata.Tensor(arrays[2])
        kata.record_node(out, f"op{number}", inputs, {"exponent": number})
        node = out.node
        told = (
            None
            if node is None
            else [node.op, [x.data for x in node.inputs], node.saved, node.out]
        )
        seen.append((out.requires_grad, told))
    return seen


@probe("backward")
def _(kata, rng):
    a, b = leaves(kata, rng)
    c = a * b + a
    kata.backward((c * c - b).sum())
    kata.backward((a * 3.0).sum())
    return [a.grad, b.grad]


def spoil(kata):
    """Put a wrong rule in the place of that for products."""
    kata.RULES["kept"] = kata.RULES["mul"]
    kata.RULES["mul"] = lambda node, grad: (grad, grad)


def mend(kata):
    kata.RULES["mul"] = kata.RULES.pop("kept")


@probe("gradcheck")
def _(kata, rng):
    rows, columns = torch.randint(2, 5, (2,), generator=rng).tolist()
    shapes, wanted = (
        ((rows, columns), (columns,), (rows, 1)),
        torch.randperm(3, generator=rng).tolist()[:2],
    )
    arrays = [torch.randn(*shape, generator=rng).double().numpy() for shape in shapes]
    inputs = [
        kata.Tensor(array, requires_grad=place in wanted)
        for place, array in enumerate(arrays)
    ]
    right = kata.gradcheck(lambda a, b, c: a * b + c * a + b * c, inputs)
    there(kata, spoil)
    try:
        wrong = kata.gradcheck(lambda a, b, c: a * b + c * a + b * c, inputs)
    finally:
        there(kata, mend)
    told = [
        (found["ok"], found["numerical_forward_calls"], found["backward_calls"])
        for found in (right, wrong)
    ]
    return [
        told,
        bool(right["max_abs_error"] < 1e-6),
        np.float32(wrong["max_abs_error"]),
    ]


def graph(kata, rows, columns, taken):
    """Two tensors with a graph of views, whose blocks of memory are held
    several times.
    """
    import numpy as np

    def made(op, inputs, array, **saved):
        out = kata.Tensor(array)
        kata.record_node(out, op, inputs, saved)
        return out

    x, ids = (
        kata.Tensor(np.ones((rows, columns)), requires_grad=True),
        np.arange(taken) % rows,
    )
    picked = made("index", (x,), x.data[ids], key=ids)
    squared = made("mul", (picked, picked), picked.data**2)
    part = made("index", (squared,), squared.data[1:], key=slice(1, None))
    return part, made("add", (part, x), part.data[0] + x.data)


@probe("graph_report")
def _(kata, rng):
    tensors = there(kata, graph, *torch.randint(2, 9, (3,), generator=rng).tolist())
    return [kata.graph_report(tensor) for tensor in tensors]


@probe("depth_scaling")
def _(kata, rng):
    depths, width = (
        (2 + torch.randperm(9, generator=rng)[:3]).tolist(),
        int(torch.randint(10, 30, (), generator=rng)),
    )
    found = kata.depth_scaling(depths, width * 1000)
    told = [
        [one["sizes"], [round(n / 4000 / width) for n in one["values"]]]
        for one in found.values()
    ]
    slopes = [
        np.polyfit(np.log(depths), np.log(one["values"]), 1)[0]
        for one in found.values()
    ]
    return [
        list(found),
        told,
        [one["exponent"] - slope for one, slope in zip(found.values(), slopes)],
    ]


def positive(kata, rng):
    """(2, 3) numbers from 1 to 2 in a Tensor, and a gradient for them."""
    numbers, grad = (
        1 + torch.rand(2, 3, generator=rng).double().numpy() for _ in range(2)
    )
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
    nodes = [
        kata.Node(op, (x,), {"exponent": 3} if op == "pow" else {}, out)
        for op, out in outs.items()
    ]
    return [list(kata.elementwise_rule(node, grad)) for node in nodes]


@probe("shape_rule")
def _(kata, rng):
    x, grad = positive(kata, rng)
    ids = torch.randint(2, (5,), generator=rng).numpy()
    weights = torch.rand(5, 3, generator=rng).double().numpy()
    return [
        list(
            kata.shape_rule(
                kata.Node("reshape", (x,), {}, x.data.reshape(6)), grad.reshape(6)
            )
        ),
        list(
            kata.shape_rule(
                kata.Node("transpose", (x,), {"dim0": 0, "dim1": 1}, x.data.T), grad.T
            )
        ),
        list(
            kata.shape_rule(
                kata.Node("index", (x,), {"key": ids}, x.data[ids]), weights
            )
        ),
    ]


@probe("matmul_rule")
def _(kata, rng):
    a, _ = positive(kata, rng)
    b = kata.Tensor(
        torch.randn(3, 4, generator=rng).double().numpy(), requires_grad=True
    )
    grad = torch.randn(2, 4, generator=rng).double().numpy()
    return list(
        kata.matmul_rule(kata.Node("matmul", (a, b), {}, a.data @ b.data), grad)
    )


@probe("reduction_rule")
def _(kata, rng):
    x, seen = (
        kata.Tensor(
            torch.randn(2, 3, 4, generator=rng).double().numpy(), requires_grad=True
        ),
        [],
    )
    for op in ("sum", "mean", "max"):
        for keepdim in (True, False):
            dim = tuple(sorted(torch.randperm(3, generator=rng)[:2].tolist()))
            out = getattr(np, op)(x.data, axis=dim, keepdims=keepdim)
            node = kata.Node(op, (x,), {"dim": dim, "keepdim": keepdim}, out)
            seen.append(
                list(
                    kata.reduction_rule(
                        node, torch.randn(*out.shape, generator=rng).double().numpy()
                    )
                )
            )
    return seen
