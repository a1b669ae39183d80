"""Questions that the specs of 06 ask only about data that is known."""

import torch
from torch import nn

from grader.lock.probes import judge, probe


def a_task(rng):
    """Drawn data, and a function that makes a layer with drawn weights."""
    inputs, outputs = torch.randint(2, 5, (2,), generator=rng).tolist()
    X, y = (torch.randn(12, width, generator=rng) for width in (inputs, outputs))
    weight, bias = (
        torch.randn(outputs, inputs, generator=rng),
        torch.randn(outputs, generator=rng),
    )

    def make_model():
        model = nn.Linear(inputs, outputs)
        model.load_state_dict({"weight": weight, "bias": bias})
        return model

    return X, y, make_model


def a_rate(rng):
    return torch.rand((), generator=rng).item() / 20 + 0.01


@probe("make_line_data")
def _(kata, rng):
    low, seed = torch.randint(20, 40, (2,), generator=rng).tolist()
    slope, intercept = torch.randn(2, generator=rng).tolist()
    drawn = [
        kata.make_line_data(
            200,
            slope,
            intercept,
            noise,
            x_range=(low, low + 9.0),
            generator=torch.Generator().manual_seed(seed + other),
        )
        for noise, other in ((0.0, 0), (2.0, 0), (2.0, 0), (2.0, 1))
    ]
    return [torch.tensor([low, slope, intercept]), drawn, torch.rand(3)]


@judge("make_line_data")
def _(values, expected):
    (low, slope, intercept), (_, drawn, left_alone) = expected[0], values
    noise = [y - slope * X - intercept for X, y in drawn]
    (exact, _), (X, _), (again, _), (other, _) = drawn
    return [
        noise[0],
        [abs(one.mean()) < 0.6 and abs(one.std() - 2) < 0.5 for one in noise[1:]],
        [low <= X.min() < low + 1, low + 8 < X.max() <= low + 9],
        [
            abs(X.mean() - low - 4.5) < 1,
            abs((X * noise[1]).mean() - X.mean() * noise[1].mean()) < 2,
        ],
        [X - again, noise[1] - noise[2], left_alone],
        [(noise[1] - noise[3]).abs().max() > 0.1, (X - other).abs().max() > 0.1],
    ]


@probe("fit_manual")
def _(kata, rng):
    X, y, _ = a_task(rng)
    w, b, losses = kata.fit_manual(X, y[:, :1], a_rate(rng), 4)
    return [w, b, torch.tensor(losses)]


@probe("train")
def _(kata, rng):
    found = []
    for loss_fn in (None, nn.functional.smooth_l1_loss):
        X, y, make_model = a_task(rng)
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=a_rate(rng), momentum=0.5)
        losses = kata.train(model, X, y, optimizer, 3, loss_fn)
        found += [torch.tensor(losses), model.weight.detach(), model.bias.detach()]
    return found


@probe("fit_standardized")
def _(kata, rng):
    X = torch.tensor([170.0, 40.0]) + torch.tensor([9.0, 15.0]) * torch.randn(
        60, 2, generator=rng
    )
    y = X @ torch.rand(2, 1, generator=rng) + 4 * torch.randn(60, 1, generator=rng)
    w, b = kata.fit_standardized(X, y)
    return X @ w + b


@probe("compare_optimizers")
def _(kata, rng):
    X, y, make_model = a_task(rng)
    optimizers = {
        "plain": lambda parameters, lr=a_rate(rng): torch.optim.SGD(parameters, lr=lr),
        "momentum": lambda parameters, lr=a_rate(rng): torch.optim.SGD(
            parameters, lr=lr, momentum=0.5
        ),
        "Adam": lambda parameters, lr=a_rate(rng): torch.optim.Adam(parameters, lr=lr),
    }
    curves = kata.compare_optimizers(make_model, X, y, optimizers, 4)
    return {name: torch.tensor(curve) for name, curve in curves.items()}
