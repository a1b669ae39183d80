"""Questions about inputs drawn anew in papers/01."""

import torch

from grader.lock.probes import probe


@probe("mixing_curves")
def _(kata, rng):
    """Rows of more and more ones: their blocks have all densities."""
    found = []
    for block in (4, 8, 5):
        count = int(torch.randint(6, 12, (), generator=rng))
        rows = (
            torch.rand(7, count * block, generator=rng)
            < torch.linspace(0.1, 0.9, 7)[:, None]
        ).long()
        found.append(kata.mixing_curves(rows, block))
    return found
