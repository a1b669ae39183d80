"""What the specs of 03 ask only about inputs that are known."""

import torch

from grader.loading import probe


@probe("last_column")
def _(kata, rng):
    rows, columns = torch.randint(1, 9, (2,), generator=rng).tolist()
    return kata.last_column(torch.randn(rows, columns, generator=rng))
