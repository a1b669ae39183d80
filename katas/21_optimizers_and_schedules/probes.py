"""What the specs of 21 cannot ask from another process: an optimizer's groups are copied on the way."""

from types import SimpleNamespace

import torch

from grader.loading import probe


def groups(rng):
    return SimpleNamespace(param_groups=[{"lr": lr} for lr in torch.rand(3, generator=rng).tolist()])


@probe("StepLR.__init__")
def _(kata, rng):
    optimizer = groups(rng)
    schedule = kata.StepLR(optimizer, 3, 0.5)
    return [schedule.last_epoch, schedule.optimizer is optimizer, [group["lr"] for group in optimizer.param_groups]]


@probe("StepLR.step")
def _(kata, rng):
    seen = []
    for step_size in torch.randint(1, 5, (2,), generator=rng).tolist():
        optimizer = groups(rng)
        schedule = kata.StepLR(optimizer, step_size, float(torch.rand((), generator=rng)))
        for _ in range(7):
            schedule.step()
            seen.append((schedule.last_epoch, [group["lr"] for group in optimizer.param_groups]))
    return seen
