"""Questions about inputs drawn anew in papers/07."""

import torch
from torch import nn

from grader.lock.probes import probe


def fill(parameters, rng):
    """Give the parameters drawn numbers."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(
                torch.randn(parameter.shape, generator=rng)
                / parameter[0].numel() ** 0.5
            )


@probe("MiniAlexNet")
def _(kata, rng):
    found = []
    for activation in ("relu", "tanh"):
        classes, x = (
            int(torch.randint(2, 20, (), generator=rng)),
            torch.rand(3, 1, 8, 8, generator=rng),
        )
        model = kata.MiniAlexNet(classes, activation).eval()
        fill([*model.features.parameters(), *model.classifier.parameters()], rng)
        with torch.no_grad():
            found.append(model(x))
    return found


@probe("predict_averaged")
def _(kata, rng):
    channels, height, width, classes = torch.randint(3, 7, (4,), generator=rng).tolist()
    model = nn.Sequential(
        nn.Flatten(), nn.Dropout(), nn.Linear(channels * height * width, classes)
    )
    fill(model.parameters(), rng)
    x = torch.randn(3, channels, height, width, generator=rng)
    return [
        kata.predict_averaged(model.train(), x),
        kata.predict_averaged(model.train(), x, 2),
    ]
