"""Questions that the specs of kernels/02 ask only about known inputs, or that count
what a kernel moves beside it.
"""

import torch

from grader.lock.probes import probe


def counted(kata, name, arguments, options):
    """What came of a call, with the numbers that it moved and the programs that ran."""
    from grader import kernels

    with kernels.watched() as seen:
        out = getattr(kata, name)(*arguments, **options)
    return [out, seen.total("load"), seen.total("store"), seen.programs]


def sizes(rng):
    """Rows, of which each is a program, and their length."""
    return [
        int(torch.randint(least, least + 27, (), generator=rng)) for least in (9, 33)
    ]


def normal(rng, *shape):
    return torch.randn(shape, generator=rng)


@probe("softmax")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(kata, "softmax", (normal(rng, M, 70)[:, :N],), {})


@probe("rms_norm")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(kata, "rms_norm", (normal(rng, M, N), normal(rng, N)), {"eps": 0.1})


@probe("layer_norm")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(
        kata,
        "layer_norm",
        (normal(rng, M, N), normal(rng, N), normal(rng, N)),
        {"eps": 0.1},
    )


@probe("logsumexp")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(kata, "logsumexp", (normal(rng, M, 70)[:, :N] * 5,), {"block": 16})


@probe("softmax_long")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(
        kata, "softmax_long", (normal(rng, M, 70)[:, :N] * 5,), {"block": 16}
    )


@probe("column_sum")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(kata, "column_sum", (normal(rng, M, N),), {"rows": 8})


@probe("argmax")
def _(kata, rng):
    M, N = sizes(rng)
    return counted(kata, "argmax", (normal(rng, M, 70)[:, :N],), {"block": 16})
