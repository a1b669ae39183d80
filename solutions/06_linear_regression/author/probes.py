"""Questions that the specs of 06 ask only about data that is known."""

import torch
from torch import nn

from grader.lock.probes import fill, integers, judge, probe


def a_task(rng):
    """Drawn data, and a function that makes a layer with drawn weights."""
    inputs, outputs = integers(rng, 2, 2, 5)
    X, y = (torch.randn(12, width, generator=rng) for width in (inputs, outputs))

    [seed] = integers(rng, 1, 0, 9999)

    def make_model():
        return fill(nn.Linear(inputs, outputs), torch.Generator().manual_seed(seed))

    return X, y, make_model


def a_rate(rng):
    return torch.rand((), generator=rng).item() / 20 + 0.01


@probe("make_line_data")
def _(kata, rng):
    """Points from three generators: the first draws twice, the second is its equal."""
    [low, noise], line = integers(rng, 2), torch.randn(2, generator=rng).tolist()
    points = []
    for seed in (low, low, noise + 9):
        generator = torch.Generator().manual_seed(seed)
        options = {"x_range": (low, low + 9.0), "generator": generator}
        points += [kata.make_line_data(1000, *line, noise, **options) for _ in range(2)]
    return [low, noise, line, points, torch.rand(3), kata.make_line_data(9, *line)]


@judge("make_line_data")
def _(values, expected):
    low, noise, (slope, intercept), *_ = expected
    *_, points, after, (x, y) = values
    found = [y - slope * x - intercept, after]
    for X, y in points:
        rest = (y - slope * X - intercept) / noise
        x, rest = ((X - low) / 9).flatten(), torch.special.ndtr(rest.flatten())
        found.append([spread(x), spread(rest), related(x, rest)])
        found += [[torch.equal(X, a), torch.equal(y, b)] for a, b in points]
    return found


def spread(x):
    """Are numbers spread evenly from 0 to 1, and does none tell the next?"""
    far = (x.sort().values - torch.linspace(0, 1, len(x))).abs().max()
    return [bool(far < 0.1), related(x[1:], x[:-1])]


def related(x, y):
    """Have numbers spread evenly from 0 to 1 to do with others?"""
    return bool(((x - 0.5) * (y - 0.5)).mean().abs() > 0.02)


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


@probe("mse_loss")
def _(kata, rng):
    """Some of the shapes differ."""
    found = []
    for columns in (1, *torch.randint(1, 3, (9,), generator=rng).tolist()):
        pred, target = torch.randn(4, 1, generator=rng), torch.randn(4, columns)
        try:
            found.append(kata.mse_loss(pred, 0 * target + pred[0]))
        except Exception as error:
            found.append(isinstance(error, ValueError | TypeError | RuntimeError))
    return found


@probe("LinearRegression")
def _(kata, rng):
    inputs, outputs = torch.randint(1, 6, (2,), generator=rng).tolist()
    model = kata.LinearRegression(inputs, outputs)
    state = {name: x.shape for name, x in model.state_dict().items()}
    fill(model, rng)
    return [state, model(torch.randn(4, inputs, generator=rng)).detach()]


@probe("fit_least_squares")
def _(kata, rng):
    X, y = torch.randn(9, 3, generator=rng), torch.randn(9, 2, generator=rng)
    return kata.fit_least_squares(X + 1, y)
