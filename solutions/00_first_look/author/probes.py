"""Questions that the specs of 00 ask only about inputs that are known."""

import torch

from grader.lock.probes import judge, probe


@probe("draw")
def _(kata, rng):
    counts = torch.randperm(4, generator=rng) * 4 + 1  # 1, 5, 9 and 13
    probabilities = torch.cat([counts, torch.tensor([4, 0])]) / 32
    return [probabilities, [kata.draw(probabilities) for _ in range(2000)]]


@judge("draw")
def _(values, expected):
    """The positions that come up, whether the shares of the draws are near their
    probabilities, and whether a draw tells nothing of the next.
    """
    probabilities, draws = expected[0], torch.tensor(values[1])
    shares = draws.bincount(minlength=6) / 2000
    alike = (draws[1:] == draws[:-1]).float().mean()
    near = [
        bool(((shares - probabilities).abs() < 0.08).all()),
        bool((alike - probabilities.square().sum()).abs() < 0.08),
    ]
    return [shares > 0, near]


@probe("accuracy")
def _(kata, rng):
    scores, labels = torch.randn(40, 3, generator=rng), torch.arange(40) % 3
    return [kata.accuracy(scores + shift, labels) for shift in torch.eye(3)]


@probe("gradient_step")
def _(kata, rng):
    weight, gradient = torch.randn(2, 3, 4, generator=rng)
    rate = torch.rand((), generator=rng).item()
    return kata.gradient_step(weight, gradient, rate)
