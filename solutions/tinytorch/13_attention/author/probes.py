"""Questions that the specs of tinytorch/13 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


@probe("causal_mask")
def _(kata, rng):
    return kata.causal_mask(int(torch.randint(2, 30, (), generator=rng)))


@probe("attention_cost")
def _(kata, rng):
    sizes, itemsize = (
        torch.randint(2, 30, (4,), generator=rng).tolist(),
        2 ** int(torch.randint(1, 4, (), generator=rng)),
    )
    return kata.attention_cost(*sizes, itemsize)
