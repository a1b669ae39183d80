"""Questions that the specs of 02 ask only about inputs that are known."""

import torch

from grader.lock.probes import integers, probe


def numbers(dims, rng):
    """Random numbers in a random shape, and that shape: no two sizes are equal."""
    shape = (2 + torch.randperm(6, generator=rng)[:dims]).tolist()
    return torch.randn(shape, generator=rng), shape


@probe("to_rows")
def _(kata, rng):
    x, (_, columns) = numbers(2, rng)
    return kata.to_rows(x.flatten(), columns)


@probe("swap_axes")
def _(kata, rng):
    return kata.swap_axes(numbers(2, rng)[0])


@probe("add_batch_dim")
def _(kata, rng):
    sample, _ = numbers(3, rng)
    batch = kata.add_batch_dim(sample)
    sample[0] = 7
    return [batch, sample]


@probe("drop_batch_dim")
def _(kata, rng):
    batch = numbers(3, rng)[0][None, :1]
    sample = kata.drop_batch_dim(batch)
    batch[0, 0] = 7
    return [sample, batch]


@probe("nhwc_to_nchw")
def _(kata, rng):
    x = numbers(4, rng)[0].requires_grad_()
    y = kata.nhwc_to_nchw(x)
    return [y.detach(), torch.autograd.grad(y.square().sum(), x)[0]]


@probe("reshape_and_check")
def _(kata, rng):
    found = []
    for split in integers(rng, 12, 0, 2):
        x, _ = numbers(3, rng)
        x = x.permute(*torch.randperm(3, generator=rng).tolist())
        rows, columns, depth = x.shape
        shape = (rows, columns, -1, 1) if split else (rows * columns, depth)
        found.append(kata.reshape_and_check(x, shape))
    return found


@probe("flatten_samples")
def _(kata, rng):
    return [kata.flatten_samples(numbers(dims, rng)[0]) for dims in (2, 3, 4)]


@probe("unflatten_samples")
def _(kata, rng):
    x, shape = numbers(4, rng)
    return kata.unflatten_samples(x.flatten(1), shape[1:])


@probe("interleave")
def _(kata, rng):
    x, _ = numbers(3, rng)
    return [kata.interleave(x, 2 * x, dim) for dim in (0, 1, -1, -2)]


@probe("make_grid")
def _(kata, rng):
    images, _ = numbers(4, rng)
    return [kata.make_grid(images, columns) for columns in (2, 3)]
