"""Questions that the specs of today/07 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def sizes(rng, count, low=2, high=7):
    return torch.randint(low, high, (count,), generator=rng).tolist()


@probe("absmax_int8")
def _(kata, rng):
    return list(kata.absmax_int8(torch.randn(*sizes(rng, 2), generator=rng)))


@probe("pack_int4")
def _(kata, rng):
    rows, pairs = sizes(rng, 2)
    return kata.pack_int4(
        torch.randint(-8, 8, (rows, 2 * pairs), generator=rng, dtype=torch.int8)
    )


@probe("unpack_int4")
def _(kata, rng):
    return kata.unpack_int4(
        torch.randint(256, tuple(sizes(rng, 2)), generator=rng, dtype=torch.uint8)
    )


@probe("absmax_int4")
def _(kata, rng):
    rows, groups, half = sizes(rng, 3)
    return list(
        kata.absmax_int4(torch.randn(rows, 2 * half * groups, generator=rng), 2 * half)
    )


@probe("quantised_linear")
def _(kata, rng):
    outputs, groups, half = sizes(rng, 3)
    packed = torch.randint(
        256, (outputs, groups * half), generator=rng, dtype=torch.uint8
    )
    scale, x = (
        torch.rand(outputs, groups, generator=rng),
        torch.randn(3, 2 * groups * half, generator=rng),
    )
    return kata.quantised_linear(
        x, packed, scale, 2 * half, torch.randn(outputs, generator=rng)
    )


@probe("calibrate")
def _(kata, rng):
    x = torch.randn(50, generator=rng)
    x[0] = 8 + 8 * torch.rand((), generator=rng)
    return kata.calibrate(x, bits=4, candidates=20)


def scaled(kata, x):
    y, scale = kata.fp8_scale(x)
    return [y.float(), scale]


@probe("fp8_scale")
def _(kata, rng):
    return scaled(kata, torch.randn(*sizes(rng, 2), generator=rng))


@probe("straight_through")
def _(kata, rng):
    w = (3 * torch.randn(*sizes(rng, 2), generator=rng)).requires_grad_()
    out = kata.straight_through(w, torch.round)
    (gradient,) = torch.autograd.grad(out, w, torch.randn(w.shape, generator=rng))
    return [out.detach(), gradient]
