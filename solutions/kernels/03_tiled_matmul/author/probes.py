"""Questions that the specs of kernels/03 ask only about known inputs, or that count
what a kernel moves beside it.
"""

import torch

from grader.lock.probes import probe


def counted(kata, name, arguments, options):
    """What came of a call, with the numbers that it moved, in bytes as well, and the
    programs that ran.
    """
    from grader import kernels

    with kernels.watched() as seen:
        out = getattr(kata, name)(*arguments, **options)
    moved = [
        seen.total("load"),
        seen.total("store"),
        seen.bytes("load"),
        seen.bytes("store"),
        seen.programs,
    ]
    return [
        out,
        *moved,
        int(seen.loads(arguments[0]).sum()),
        int(seen.loads(arguments[1]).sum()),
    ]


def storing(kata, name, arguments, options):
    """What came of a call, and the number of the program that stored each element
    of it.
    """
    from grader import kernels

    with kernels.watched() as seen:
        out = getattr(kata, name)(*arguments, **options)
    [launch] = seen.launched
    memory = launch.memories[out.untyped_storage().data_ptr(), out.element_size()]
    return [out, torch.from_numpy(launch.writers[memory]).view(out.shape)]


def matrices(rng, M=48, N=32):
    """Whole tiles, and any K; a is a view."""
    K = int(torch.randint(33, 60, (), generator=rng))
    return torch.randn(K, M, generator=rng).T, torch.randn(K, N, generator=rng)


@probe("matmul")
def _(kata, rng):
    return counted(kata, "matmul", matrices(rng), {"block": (16, 32, 16)})


@probe("matmul_half")
def _(kata, rng):
    a, b = matrices(rng)
    return counted(kata, "matmul_half", (a.half(), b.half()), {})


@probe("linear")
def _(kata, rng):
    x, weight = matrices(rng)
    arguments = (x, weight.T.contiguous(), torch.randn(32, generator=rng))
    return counted(kata, "linear", arguments, {"activation": "silu"})


@probe("grouped_order")
def _(kata, rng):
    num_m, num_n = torch.randint(10, 20, (2,), generator=rng).tolist()
    group = int(torch.randint(3, 9, (), generator=rng))
    return [
        kata.grouped_order(pid, num_m, num_n, group) for pid in range(num_m * num_n)
    ]


@probe("matmul_grouped")
def _(kata, rng):
    return storing(kata, "matmul_grouped", matrices(rng, M=80), {"group": 2})


@probe("split_k")
def _(kata, rng):
    return counted(kata, "split_k", matrices(rng), {"splits": 3})[:1]
