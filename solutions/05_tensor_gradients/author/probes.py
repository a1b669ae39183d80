"""Questions that the specs of 05 ask only about inputs that are known, or cannot ask
from another process.
"""

import torch

from grader.lock.probes import integers, probe


def drawn(rng, *shape):
    return torch.randn(shape, generator=rng)


@probe("partial_derivatives")
def _(kata, rng):
    rows, columns, others = integers(rng, 3)
    x, w, y = drawn(rng, rows, columns), drawn(rng, columns), drawn(rng, others)
    unused, z = drawn(rng, rows), drawn(rng)

    def f(x, n, y, z):
        return (x @ w).sin().sum() * y.exp().sum() + z * z

    return [
        kata.partial_derivatives(f, x, unused, y, z),
        kata.partial_derivatives(lambda y: (y.square().sum() * w).sum(), y),
    ]


def grown(kata, values, plans):
    """Leaves with these values, and one output per plan: its steps are operations and
    places of other operands.
    """
    leaves, outputs = [value.clone().requires_grad_() for value in values], []
    for plan in plans:
        x = kept = leaves[0]
        for name, place in plan:
            alone = name in ("exp", "tanh", "relu", "sin", "neg")
            operands = [x] if alone else [x, (kept, *leaves)[place]]
            x, kept = getattr(torch, name)(*operands), x
        outputs.append(x.sum())
    return leaves, outputs


@probe("describe_graph")
def _(kata, rng):
    """The operations, and the leaves' values, of which those found count up."""
    operations = ("exp", "tanh", "relu", "sin", "neg", "add", "sub", "mul", "maximum")
    plans, found = [], []
    for _ in range(8):
        kinds, places = integers(rng, 6, 0, 9), integers(rng, 6, 0, 5)
        plans.append([(operations[i], place) for i, place in zip(kinds, places)])
    leaves, outputs = grown(kata, list(drawn(rng, 4, 3)), plans)
    for output in outputs:
        graph = kata.describe_graph(output)
        for leaf in graph["leaves"]:
            leaf.data += 1
        found.append([graph["ops"], torch.stack(leaves).detach()])
    return found


@probe("jacobian")
def _(kata, rng):
    rows, columns = integers(rng, 2)
    a, x = drawn(rng, rows, columns), drawn(rng, columns)
    noise = torch.Generator().manual_seed(rows * columns)

    def noisy(t):
        return torch.rand(rows, generator=noise) * (a @ t.exp())

    return [
        kata.jacobian(lambda t: torch.outer(a @ t, t.sin()), x),
        kata.jacobian(noisy, x),
    ]


@probe("inplace_is_safe")
def _(kata, rng):
    w, x = drawn(rng, 3), torch.rand(3, generator=rng) + 0.5
    operations = [
        *(torch.exp, torch.tanh, torch.sigmoid, torch.sin, torch.square, torch.neg),
        *(lambda h: h * w, lambda h: h * h, lambda h: (h + w).tanh(), lambda h: h - w),
    ]
    return [
        kata.inplace_is_safe(operations[i % 10], x, ("output", "input")[i // 10])
        for i in torch.randperm(20, generator=rng).tolist()
    ]


@probe("LeakyReLUFunction")
def _(kata, rng):
    x, incoming = drawn(rng, 2, *integers(rng, 2)).double()
    slope, x[0, 0] = torch.rand((), generator=rng).item() + 0.1, 0
    x.requires_grad_()
    y = kata.LeakyReLUFunction.apply(x, slope)
    return [y.detach(), torch.autograd.grad(y, x, incoming)[0]]


@probe("finite_difference_gradient")
def _(kata, rng):
    w, x = torch.randn(2, 3, 4, generator=rng).double()
    found = kata.finite_difference_gradient(lambda t: (w * t**3).sum(), x, 0.1)
    small = kata.finite_difference_gradient(lambda t: (w * t.sin()).sum(), x.float())
    return [found, small.float(), small.dtype]


@probe("gradient_history")
def _(kata, rng):
    weight, *inputs = torch.randn(5, 3, generator=rng)
    weight.grad = torch.ones(3)
    return [
        kata.gradient_history(lambda w, x: (w * w * x).sum(), weight, inputs, zero)
        for zero in (True, False)
    ] + [weight, weight.grad]


@probe("frozen_target_loss")
def _(kata, rng):
    """Inside of a value function, gradients are recorded or not."""
    state, following = torch.randn(2, 5, 3, generator=rng)
    reward, seen, sums = torch.randn(5, generator=rng), [], []
    for how in ("detach", "no_grad", "inference_mode"):
        w = torch.randn(3, generator=rng).requires_grad_()

        def value(x, w=w):
            sums.append(x.sum().item() * (1 + torch.is_grad_enabled()))
            return x @ w

        loss = kata.frozen_target_loss(value, state, following, reward, 0.7, how)
        seen += [loss.detach(), *torch.autograd.grad(loss, w)]
    return [seen, sorted(sums)]
