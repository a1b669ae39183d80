"""Questions that the specs of kernels/01 ask only about known inputs, or that count
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


def sizes(count, rng):
    return torch.randint(17, 40, (count,), generator=rng).tolist()


def normal(rng, *shape):
    return torch.randn(shape, generator=rng)


@probe("add")
def _(kata, rng):
    n, other = sizes(2, rng)
    return counted(
        kata,
        "add",
        (normal(rng, n, other), normal(rng, n, other)),
        {"block": 128},
    )


@probe("outer_add")
def _(kata, rng):
    M, N = sizes(2, rng)
    return counted(
        kata,
        "outer_add",
        (normal(rng, M), normal(rng, N)),
        {"block_m": 8, "block_n": 16},
    )


@probe("to_contiguous")
def _(kata, rng):
    M, N = sizes(2, rng)
    return counted(kata, "to_contiguous", (normal(rng, 2 * N, M + 3)[::2, 3:].T,), {})


@probe("swiglu")
def _(kata, rng):
    [n] = sizes(1, rng)
    found = counted(kata, "swiglu", (normal(rng, 7, n), normal(rng, 7, n)), {})
    return [found[0].double().float(), *found[1:]]


@probe("dropout")
def _(kata, rng):
    n, seed = sizes(2, rng)
    return counted(kata, "dropout", (normal(rng, 5 * n), 0.4, seed), {"block": 64})


@probe("dropout_backward")
def _(kata, rng):
    n, seed = sizes(2, rng)
    return counted(
        kata,
        "dropout_backward",
        (normal(rng, 5 * n), 0.3, seed),
        {"block": 64},
    )


@probe("gather_rows")
def _(kata, rng):
    M, N = sizes(2, rng)
    return counted(
        kata,
        "gather_rows",
        (normal(rng, M, N), torch.randint(M, (9,), generator=rng)),
        {},
    )
