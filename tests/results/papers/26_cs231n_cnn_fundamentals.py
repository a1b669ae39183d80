"""Spirals and bars, each learned by a small net and by a linear model: accuracy on
fresh points and images.
"""

import torch
from torch import nn

LIMITS = {
    "spirals, linear model": "< 0.65",
    "spirals, 64 hidden units": "> 0.93",
    "bars, linear model": "< 0.75",
    "bars, one convolution": "> 0.95",
}


def flat():
    """A linear model of bars."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))


def run(kata, seed) -> dict[str, float]:
    """Train four models, all from the same seed."""
    generator = torch.Generator().manual_seed(seed)
    spirals, fresh_spirals = (
        kata.make_spirals(100, generator=generator) for _ in range(2)
    )
    bars, fresh_bars = (
        kata.make_bars(count, generator=generator) for count in (600, 1000)
    )
    batches = {"batch_size": 64, "generator": generator}
    recipes = (
        (lambda: nn.Linear(2, 3), spirals, fresh_spirals, {"steps": 200, "lr": 0.1}),
        (
            lambda: kata.TwoLayerNet(2, 64, 3),
            spirals,
            fresh_spirals,
            {"steps": 400, "lr": 0.02},
        ),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 3)),
            bars,
            fresh_bars,
            {"steps": 200, "lr": 0.02, **batches},
        ),
        (
            lambda: kata.BarNet(8),
            bars,
            fresh_bars,
            {"steps": 200, "lr": 0.02, **batches},
        ),
    )
    found = []
    for make, data, fresh, options in recipes:
        torch.manual_seed(seed)
        model = make()
        kata.train_classifier(model, *data, **options)
        found.append(kata.accuracy(model, *fresh))
    return dict(zip(LIMITS, found, strict=True))
