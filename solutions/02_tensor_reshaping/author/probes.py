"""Questions that the specs of 02 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


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
    batch = numbers(3, rng)[0][None]
    sample = kata.drop_batch_dim(batch)
    batch[0, 0] = 7
    return [sample, batch]


@probe("nhwc_to_nchw")
def _(kata, rng):
    return kata.nhwc_to_nchw(numbers(4, rng)[0])


@probe("reshape_and_check")
def _(kata, rng):
    found = []
    for _ in range(6):
        x, _ = numbers(3, rng)
        x = x.permute(*torch.randperm(3, generator=rng).tolist())
        rows, columns, depth = x.shape
        found += [
            kata.reshape_and_check(x, shape)
            for shape in ((rows * columns, depth), (rows, columns, -1, 1))
        ]
    return found
