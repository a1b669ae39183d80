"""Questions that the specs of papers/09 cannot ask from another process."""

import torch
import torch.nn.functional as F
from torch import nn

from grader.lock.probes import fill, judge, probe


@probe("partition")
def _(kata, rng):
    found = []
    for stages in (1, 2, 3, 5):
        costs = (1 + 9 * torch.rand(8, generator=rng, dtype=torch.float64)).tolist()
        ranges = kata.partition(list(costs), stages)
        slowest = max(sum(costs[i] for i in part) for part in ranges)
        found.append(
            (
                len(ranges),
                [i for part in ranges for i in part],
                slowest,
                min(map(len, ranges)),
            )
        )
    return found


@judge("partition")
def _(values, expected):
    """There may be several with the same slowest stage."""
    return [[*found, least > 0] for *found, least in values]


@probe("bubble_fraction")
def _(kata, rng):
    sizes = torch.randint(1, 40, (8, 2), generator=rng).tolist()
    return [kata.bubble_fraction(stages, micro) for stages, micro in sizes]


@probe("schedule_numpy")
def _(kata, rng):
    return [
        kata.schedule_numpy(*pair)
        for pair in torch.randint(1, 6, (4, 2), generator=rng).tolist()
    ]


def stages(rng, count=3):
    """Small layers with drawn numbers."""
    layers = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(count)]
    for layer in layers:
        fill(layer, rng)
    return layers


class Noted(nn.Module):
    """A stage that notes how many rows each of its runs has had."""

    def __init__(self, inner, rows):
        super().__init__()
        self.inner, self.rows = inner, rows

    def forward(self, x):
        self.rows.append(len(x))
        return self.inner(x)


@probe("Pipeline")
def _(kata, rng):
    found = []
    for recompute in (False, True):
        [micro], rows = torch.randint(2, 5, (1,), generator=rng).tolist(), []
        parts = [Noted(stage, rows) for stage in stages(rng)]
        pipe = kata.Pipeline(parts, micro, recompute)
        x = torch.randn(7, 4, generator=rng).requires_grad_()
        out = [pipe(x), pipe(x)][1]
        grads = torch.autograd.grad(out.pow(2).sum(), [x, *pipe.parameters()])
        found.append([out.detach(), grads, sorted(pipe.trace), sorted(rows)])
    return found


@probe("accumulate_gradients")
def _(kata, rng):
    """The pieces are run one by one."""
    rows = []
    [layer] = stages(rng, 1)
    model, losses = Noted(layer, rows), []
    x, y = torch.randn(2, 7, 4, generator=rng)
    for micro in (3, 2):
        losses.append(kata.accumulate_gradients(model, x, y, F.mse_loss, micro))
    return [
        losses,
        rows,
        [p.grad for p in model.parameters()],
        layer[0].weight.detach(),
    ]


@probe("train_pipeline")
def _(kata, rng):
    """All inputs are alike, so that no draw decides anything."""
    rows = []
    [layer] = stages(rng, 1)
    x, y = torch.randn(1, 4, generator=rng).expand(9, 4), torch.full((9,), 2)
    options = {"steps": 3, "batch": 5, "lr": 0.2, "num_micro": 3}
    losses = kata.train_pipeline(Noted(layer, rows), x, y, **options)
    return [losses, rows, layer[0].weight.detach()]
