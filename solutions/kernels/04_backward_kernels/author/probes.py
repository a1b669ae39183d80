"""Questions that the specs of kernels/04 ask only about known inputs, or that count
what a kernel moves beside it.
"""

import torch

from grader.lock.probes import probe


def counted(kata, name, arguments, options):
    """What came of a call, with the numbers that it stored and the programs
    that ran.
    """
    from grader import kernels

    with kernels.watched() as seen:
        out = getattr(kata, name)(*arguments, **options)
    out = out if isinstance(out, tuple) else (out,)
    return [*out, seen.total("store"), seen.programs]


def rows_of_logits(rng):
    R, V = (
        torch.randint(5, 9, (), generator=rng),
        torch.randint(33, 60, (), generator=rng),
    )
    targets = torch.randint(0, int(V), (int(R),), generator=rng)
    targets[int(R) // 2] = -100
    return torch.randn(int(R), int(V), generator=rng) * 3, targets


def normed(rng):
    M, N = (int(size) for size in torch.randint(5, 30, (2,), generator=rng))
    x = torch.randn(M, N, generator=rng)
    return x, torch.rand(N, generator=rng) + 0.5, torch.randn(M, N, generator=rng)


def differentiated(kata, name, inputs, upward, others):
    """A result of an autograd function, or of an operation, and the gradients of
    its inputs.
    """
    function = (
        kata.register_swiglu()
        if name == "register_swiglu"
        else getattr(kata, name).apply
    )
    leaves = [value.clone().requires_grad_() for value in inputs]
    out = function(*leaves, *others)
    return [out.detach(), *torch.autograd.grad(out, leaves, upward)]


@probe("cross_entropy_forward")
def _(kata, rng):
    return counted(kata, "cross_entropy_forward", rows_of_logits(rng), {"block": 16})


@probe("cross_entropy_backward")
def _(kata, rng):
    logits, targets = rows_of_logits(rng)
    dloss = torch.randn(len(logits), generator=rng)
    return counted(
        kata,
        "cross_entropy_backward",
        (logits, targets, logits.logsumexp(1), dloss),
        {"block": 16},
    )


@probe("CrossEntropy")
def _(kata, rng):
    logits, targets = rows_of_logits(rng)
    return differentiated(
        kata,
        "CrossEntropy",
        [logits],
        torch.randn(len(logits), generator=rng),
        [targets],
    )


@probe("rms_norm_backward")
def _(kata, rng):
    x, weight, dy = normed(rng)
    return kata.rms_norm_backward(
        dy, x, weight, (x.square().mean(1) + 1e-5).rsqrt(), rows=2
    )


@probe("RMSNorm")
def _(kata, rng):
    x, weight, dy = normed(rng)
    return differentiated(kata, "RMSNorm", [x, weight], dy, [])


@probe("register_swiglu")
def _(kata, rng):
    gate, _, up = normed(rng)
    return differentiated(
        kata,
        "register_swiglu",
        [gate, up],
        torch.randn(gate.shape, generator=rng),
        [],
    )


@probe("linear_cross_entropy")
def _(kata, rng):
    logits, targets = rows_of_logits(rng)
    x = torch.randn(len(logits), 7, generator=rng)
    return kata.linear_cross_entropy(
        x, torch.randn(logits.size(1), 7, generator=rng), targets, chunk=2
    )
