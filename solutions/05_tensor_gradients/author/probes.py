"""Questions that the specs of 05 ask only about inputs that are known, or cannot ask
from another process.

Functions hold drawn numbers as defaults, so that they run where the code is.
"""

import torch

from grader.lock.probes import probe


def sizes(count, rng):
    return torch.randint(2, 6, (count,), generator=rng).tolist()


@probe("partial_derivatives")
def _(kata, rng):
    rows, columns, others = sizes(3, rng)
    x, w = (
        torch.randn(rows, columns, generator=rng),
        torch.randn(columns, generator=rng),
    )
    y, unused, z = (
        torch.randn(size, generator=rng) for size in ((others,), (rows,), ())
    )
    return [
        kata.partial_derivatives(
            lambda x, n, y, z, w=w: (x @ w).sin().sum() * y.exp().sum() + z * z,
            x,
            unused,
            y,
            z,
        ),
        kata.partial_derivatives(lambda y, w=w: (y.square().sum() * w).sum(), y),
    ]


def grown(kata, values, plans):
    """Leaves with these values, and one output per plan: its steps are operations and
    places of other operands.
    """
    import torch

    leaves, outputs = [value.clone().requires_grad_() for value in values], []
    for plan in plans:
        x = kept = leaves[0]
        for name, place in plan:
            operands = (
                [x]
                if name in ("exp", "tanh", "relu", "sin", "neg")
                else [x, (kept, *leaves)[place]]
            )
            x, kept = getattr(torch, name)(*operands), x
        outputs.append(x.sum())
    return leaves, outputs


@probe("describe_graph")
def _(kata, rng):
    operations = ("exp", "tanh", "relu", "sin", "neg", "add", "sub", "mul", "maximum")
    kinds, places = (
        torch.randint(below, (8, 6), generator=rng).tolist()
        for below in (len(operations), 5)
    )
    plans = [
        [(operations[kind], place) for kind, place in zip(*rows, strict=True)]
        for rows in zip(kinds, places)
    ]
    leaves, outputs = grown(kata, list(torch.randn(4, 3, generator=rng)), plans)
    graphs = [kata.describe_graph(output) for output in outputs]
    return [
        [graph["ops"], [sum(leaf is one for one in graph["leaves"]) for leaf in leaves]]
        for graph in graphs
    ]


@probe("jacobian")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    a, x = (
        torch.randn(rows, columns, generator=rng),
        torch.randn(columns, generator=rng),
    )
    noise = torch.Generator().manual_seed(int(torch.randint(9999, (), generator=rng)))
    return [
        kata.jacobian(lambda t, a=a: torch.outer(a @ t, t.sin()), x),
        kata.jacobian(
            lambda t, a=a, noise=noise: (
                torch.rand(len(a), generator=noise) * (a @ t.exp())
            ),
            x,
        ),
    ]


@probe("inplace_is_safe")
def _(kata, rng):
    w, x = torch.randn(3, generator=rng), torch.rand(3, generator=rng) + 0.5
    operations = [
        *(torch.exp, torch.tanh, torch.sigmoid, torch.sin, torch.square, torch.neg),
        *(
            lambda h, w=w: h * w,
            lambda h: h * h,
            lambda h, w=w: (h + w).tanh(),
            lambda h, w=w: h - w,
        ),
    ]
    order = torch.randperm(len(operations), generator=rng).tolist()
    return [
        kata.inplace_is_safe(operations[i], x, target)
        for i in order
        for target in ("output", "input")
    ]


@probe("LeakyReLUFunction")
def _(kata, rng):
    x, incoming = torch.randn(2, *sizes(2, rng), generator=rng).double()
    slope, x[0, 0] = torch.rand((), generator=rng).item() + 0.1, 0
    x.requires_grad_()
    y = kata.LeakyReLUFunction.apply(x, slope)
    return [y.detach(), torch.autograd.grad(y, x, incoming)[0]]
