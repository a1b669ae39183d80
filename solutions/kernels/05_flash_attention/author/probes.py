"""Questions that the specs of kernels/05 ask only about known inputs, or that count
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


def normal(rng, count, features=16):
    T = int(torch.randint(17, 40, (), generator=rng))
    return [torch.randn(1, 2, T, features, generator=rng) for _ in range(count)]


def rounded(values):
    return [value.double().float() for value in values]


def some_gradient(kata, rng, name, **blocks):
    q, k, v, dout = normal(rng, 4)
    scores = (q @ k.mT / 4).masked_fill(
        torch.ones(q.size(2), q.size(2)).triu(1) == 1, float("-inf")
    )
    delta = (scores.softmax(-1) @ v * dout).sum(-1)
    return counted(
        kata, name, (q, k, v, dout, scores.logsumexp(-1), delta, True), blocks
    )


@probe("causal_tiles")
def _(kata, rng):
    found = []
    for block_q, block_k in ((16, 16), (32, 16), (16, 64)):
        T = int(torch.randint(200, 300, (), generator=rng))
        found += [
            kata.causal_tiles(i, block_q, block_k, T) for i in range(-(-T // block_q))
        ]
    return found


@probe("flash_forward")
def _(kata, rng):
    found = counted(kata, "flash_forward", normal(rng, 3), {"causal": True})
    return [*rounded(found[0]), *found[1:]]


@probe("flash_decode_merge")
def _(kata, rng):
    return kata.flash_decode_merge(
        torch.randn(3, 5, 4, generator=rng), 9 * torch.randn(3, 5, generator=rng)
    )


@probe("flash_delta")
def _(kata, rng):
    return counted(kata, "flash_delta", normal(rng, 2), {})[:3]


@probe("flash_dkdv")
def _(kata, rng):
    return some_gradient(kata, rng, "flash_dkdv", block_k=32)


@probe("flash_dq")
def _(kata, rng):
    return some_gradient(kata, rng, "flash_dq", block_q=32)


def differentiated(kata, q, k, v, dout):
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out = kata.FlashAttention.apply(*leaves, True)
    return [out.detach(), *torch.autograd.grad(out, leaves, dout)]


@probe("FlashAttention")
def _(kata, rng):
    return differentiated(kata, *normal(rng, 4))
