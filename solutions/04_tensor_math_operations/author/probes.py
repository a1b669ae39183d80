"""Questions that the specs of 04 ask only about inputs that are known."""

import torch

from grader.lock.probes import integers, probe


@probe("standardize")
def _(kata, rng):
    x = 3 * torch.randn(3, 5, 7, generator=rng) + 1
    return [kata.standardize(x, dim) for dim in (None, 1, (0, 2))]


@probe("masked_mean")
def _(kata, rng):
    x, mask = (
        torch.randn(3, 5, 7, generator=rng),
        torch.rand(3, 5, 7, generator=rng) < 0.5,
    )
    mask[:, 0] = mask[0] = mask[..., 0] = True
    return [kata.masked_mean(x, mask, dim) for dim in (None, 1, (0, 2))]


def drawn(rng, *shape):
    return torch.randn(shape, generator=rng)


def seen(rng, function, *given):
    """The result of drawn tensors, and their gradients."""
    given = [x.clone().requires_grad_() for x in given]
    out = function(*given)
    gradients = torch.autograd.grad(out, given, drawn(rng, *out.shape))
    return [out.detach(), gradients]


@probe("between")
def _(kata, rng):
    x, (low, high) = torch.randint(9, (40,), generator=rng), integers(rng, 2, 2, 4)
    return [kata.between(x, low, high + 3), kata.between(x / 2, low / 2, low / 2 + 1)]


@probe("summary_stats")
def _(kata, rng):
    return [kata.summary_stats(drawn(rng, 3, 4, 5), dim) for dim in (None, 1, -1)]


@probe("cosine_similarity")
def _(kata, rng):
    pairs = seen(rng, kata.cosine_similarity, drawn(rng, 3, 1, 4), drawn(rng, 1, 2, 4))
    a, b = drawn(rng, 4, 3), drawn(rng, 4, 3)
    a[:, 1] = 0
    return [pairs, kata.cosine_similarity(a, b, dim=0)]


@probe("matmul_shape")
def _(kata, rng):
    """Some of the shapes do not fit."""
    shapes, found = ((2, 3), (3, 2), (3,), (7, 1, 2, 3), (5, 3, 4), (2, 1), (1, 3)), []
    for i, j in zip(integers(rng, 30, 0, 7), integers(rng, 30, 0, 7)):
        try:
            found.append(tuple(kata.matmul_shape(shapes[i], shapes[j])))
        except ValueError:
            found.append("ValueError")
    big = integers(rng, 3, 10**6, 10**7)
    return [found, tuple(kata.matmul_shape(big[:2], big[1:]))]


@probe("matmul")
def _(kata, rng):
    rows, inner, columns = integers(rng, 3)
    return seen(rng, kata.matmul, drawn(rng, rows, inner), drawn(rng, inner, columns))


@probe("pairwise_distances")
def _(kata, rng):
    return seen(rng, kata.pairwise_distances, drawn(rng, 4, 3), drawn(rng, 5, 3))
