"""Questions that the specs of tinytorch/04 cannot ask from another process."""

import torch

from grader.lock.probes import probe


@probe("Parameter")
def _(kata, rng):
    numbers = torch.randn(2, 3, generator=rng).numpy()
    return [(p.data, p.requires_grad) for p in (kata.Parameter(numbers), kata.Parameter(numbers, requires_grad=False))]


@probe("Module.__call__")
def _(kata, rng):
    class Weighed(kata.Module):
        def forward(self, *inputs):
            return [place * value for place, value in enumerate(inputs, start=2)]

    numbers = torch.randint(1000, (3,), generator=rng).tolist()
    return [Weighed()(*numbers), Weighed()(numbers[0]), Weighed()()]
