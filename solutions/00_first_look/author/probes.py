"""Questions that the specs of 00 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe, there


def drawn(kata, probabilities):
    return [kata.draw(probabilities) for _ in range(2000)]


@probe("draw")
def _(kata, rng):
    """The positions that come up, and whether the shares of the draws are near
    their probabilities.
    """
    counts = torch.randperm(4, generator=rng) * 4 + 1  # 1, 5, 9 and 13
    probabilities = torch.cat([counts, torch.tensor([4, 0])]) / 32
    shares = (
        torch.tensor(there(kata, drawn, probabilities)).bincount(minlength=6) / 2000
    )
    return [shares > 0, bool(((shares - probabilities).abs() < 0.08).all())]
