"""Questions that the specs of tinytorch/14 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


@probe("block_cost")
def _(kata, rng):
    batch, length, width, heads = torch.randint(1, 20, (4,), generator=rng).tolist()
    itemsize = 2 ** int(torch.randint(1, 4, (), generator=rng))
    return kata.block_cost(batch, length, heads * width, heads, itemsize=itemsize)
