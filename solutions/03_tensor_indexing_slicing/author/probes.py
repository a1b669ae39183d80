"""Questions that the specs of 03 ask only about inputs that are known."""

import torch

from grader.lock.probes import integers, probe


@probe("first_rows")
def _(kata, rng):
    rows, columns = torch.randint(2, 9, (2,), generator=rng).tolist()
    return kata.first_rows(torch.randn(rows + columns, columns, generator=rng), rows)


@probe("last_column")
def _(kata, rng):
    rows, columns = torch.randint(1, 9, (2,), generator=rng).tolist()
    return kata.last_column(torch.randn(rows, columns, generator=rng))


@probe("diagonal")
def _(kata, rng):
    batch, size = torch.randint(2, 9, (2,), generator=rng).tolist()
    return kata.diagonal(torch.randn(batch, size, size, generator=rng))


def drawn(rng, *shape):
    return torch.randn(shape, generator=rng)


def written(view, base):
    """The base and the view, after a write to the view."""
    view.fill_(7)
    return [view.shape, base]


def seen(rng, function, x, *given):
    """The result, and the gradient of x."""
    x = x.clone().requires_grad_()
    out = function(x, *given)
    (gradient,) = torch.autograd.grad(out, x, drawn(rng, *out.shape))
    return [out.detach(), gradient]


@probe("every_other_row")
def _(kata, rng):
    [rows], x = integers(rng, 1, 4, 9), drawn(rng, 9, 3)
    views = [kata.every_other_row(x[:rows], start) for start in (0, 1)]
    return [[view.clone() for view in views], written(views[rows % 2], x)]


@probe("sliding_windows")
def _(kata, rng):
    size, step = integers(rng, 2, 1, 4)
    windows = kata.sliding_windows(drawn(rng, 9, 2), size, step)
    return [windows, seen(rng, kata.sliding_windows, drawn(rng, 9), 3, step)]


@probe("crop")
def _(kata, rng):
    image, place = drawn(rng, 2, 9, 8), integers(rng, 4, 1, 4)
    view = kata.crop(image, *place)
    return [view.clone(), written(view, image)]


@probe("zero_border")
def _(kata, rng):
    image, [width] = drawn(rng, 2, 7, 8), integers(rng, 1, 1, 4)
    found = [kata.zero_border(image), kata.zero_border(image, width)]
    return [found, image, seen(rng, kata.zero_border, image, width)]


@probe("pick_per_row")
def _(kata, rng):
    found = []
    for shape in ((4,), (1, 3), (2, 1)):
        index = torch.randint(5, shape, generator=rng)
        found.append(seen(rng, kata.pick_per_row, drawn(rng, *shape, 5), index))
    return found


@probe("last_valid")
def _(kata, rng):
    lengths = torch.randint(1, 6, (4,), generator=rng)
    return seen(rng, kata.last_valid, drawn(rng, 4, 5, 3), lengths)


@probe("filter_rows")
def _(kata, rng):
    found = []
    for count in (1, *integers(rng, 2, 2, 6)):
        x, mask = drawn(rng, 7, 3), torch.zeros(7, dtype=torch.bool)
        mask[torch.randperm(7, generator=rng)[:count]] = True
        found.append(kata.filter_rows(x, mask))
    return found
