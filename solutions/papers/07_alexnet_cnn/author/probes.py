"""Questions about inputs drawn anew in papers/07."""

from unittest import mock

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import judge, probe


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


@probe("conv2d_numpy")
def _(kata, rng):
    x, w, b = (
        torch.randn(shape, generator=rng).double().numpy()
        for shape in ((2, 3, 7, 6), (4, 3, 2, 3), (4,))
    )
    found = [kata.conv2d_numpy(x, w, b, *given) for given in ((), (2,), (2, 1), (1, 2))]
    return [*found, kata.conv2d_numpy(x, w)]


@probe("local_response_norm")
def _(kata, rng):
    x = torch.randn(2, 6, 3, 2, generator=rng)
    return [kata.local_response_norm(x, n, 0.3, 0.6, 1.5) for n in (3, 5)]


@probe("random_shift")
def _(kata, rng):
    x = torch.randn(1, 2, 4, 3, generator=rng).expand(400, 2, 4, 3).contiguous()
    seed = int(torch.randint(999, (), generator=rng))
    drawn = [
        kata.random_shift(x, 1, torch.Generator().manual_seed(one))
        for one in (seed, seed, seed + 1)
    ]
    return [x[0], drawn, torch.rand(3)]


@judge("random_shift")
def _(values, expected):
    """Each of the nine windows comes up about equally often."""
    image, (_, drawn, left_alone) = expected[0], values
    padded = F.pad(image, (1, 1, 1, 1))
    windows = torch.stack(
        [padded[:, i : i + 4, j : j + 3] for i in range(3) for j in range(3)]
    )
    same = (drawn[0][:, None] == windows).flatten(2).all(2)
    return [
        [drawn[0] - drawn[1], left_alone],
        [same.sum(1), same.sum(0).min() > 20, same.sum(0).max() < 80],
        bool((drawn[0] != drawn[2]).any()),
    ]


@probe("train_alexnet")
def _(kata, rng):
    """All images are alike; shifts are those of a stand-in."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    fill(model.parameters(), rng)
    x = torch.randn(1, 1, 4, 3, generator=rng).expand(6, 1, 4, 3)
    y, found = torch.full((6,), 2), []
    with mock.patch.object(kata, "random_shift", lambda x, pad, *given, **o: x + pad):
        for shift in (0, 2):
            options = {"steps": 4, "batch": 3, "lr": 0.1, "weight_decay": 0.5}
            found.append(kata.train_alexnet(model, x, y, shift=shift, **options))
    return [found, model[1].weight.detach()]
