"""Questions that the specs of 21 cannot ask from another process: an optimizer's groups are copied on the way."""

from types import SimpleNamespace

import torch

from grader.lock.probes import probe


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


@probe("StepLR.load_state_dict")
def _(kata, rng):
    optimizer, (step_size, later) = groups(rng), torch.randint(1, 5, (2,), generator=rng).tolist()
    settings = step_size, float(torch.rand((), generator=rng))
    schedule = kata.StepLR(optimizer, *settings)
    for _ in range(step_size + later):  # the rates have fallen
        schedule.step()
    resumed, seen = kata.StepLR(optimizer, *settings), []
    resumed.load_state_dict(schedule.state_dict())
    for _ in range(7):
        resumed.step()
        seen.append((resumed.last_epoch, resumed.get_last_lr()))
    return seen
