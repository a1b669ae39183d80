"""Questions that the specs of 00 ask only about inputs that are known."""

import torch

from grader.lock.probes import judge, probe


@probe("draw")
def _(kata, rng):
    counts = torch.randperm(4, generator=rng) * 4 + 1  # 1, 5, 9 and 13
    probabilities = torch.cat([counts, torch.tensor([4, 0])]) / 32
    drawn = [kata.draw(probabilities) for _ in range(2000)]
    return [probabilities, torch.tensor(drawn)]


@judge("draw")
def _(values, expected):
    """The positions that come up, and whether the shares of the draws are near
    their probabilities.
    """
    shares = values[1].clamp(0, 6).bincount(minlength=7)[:6] / 2000
    return [shares > 0, (shares - expected[0]).abs() < 0.08]
