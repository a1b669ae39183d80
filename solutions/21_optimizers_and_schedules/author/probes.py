"""Questions that the specs of 21 cannot ask from another process: an optimizer's groups
are copied on the way.

Others ask only about gradients that are known.
"""

from types import SimpleNamespace

import torch
from torch import nn

from grader.lock.probes import probe


def groups(rng):
    """Something with `param_groups`, where the schedule is."""
    return SimpleNamespace(param_groups=[{"lr": lr} for lr in rates_of(rng)])


def rates_of(rng):
    return torch.rand(3, generator=rng).tolist()


def some_parameters(rng):
    """Parameters of drawn sizes with large gradients, and one without a gradient."""
    parameters, without = [], int(torch.randint(5, (), generator=rng))
    for place, size in enumerate(torch.randint(1, 9, (5,), generator=rng).tolist()):
        parameters.append(nn.Parameter(torch.randn(size, generator=rng)))
        gradient = 3 * torch.randn(size, generator=rng)
        parameters[-1].grad = None if place == without else gradient
    return parameters


@probe("SGD.zero_grad")
def _(kata, rng):
    found = []
    for options in ({}, {"set_to_none": True}, {"set_to_none": False}):
        parameters = some_parameters(rng)
        kata.SGD(
            [{"params": parameters[:2]}, {"params": parameters[2:]}], lr=0.1
        ).zero_grad(**options)
        found += [(parameter.detach(), parameter.grad) for parameter in parameters]
    return found


@probe("clip_grad_value")
def _(kata, rng):
    parameters, limit = some_parameters(rng), 0.5 + float(torch.rand((), generator=rng))
    kata.clip_grad_value(parameters, limit)
    return [parameter.grad for parameter in parameters]


def gamma(rng):
    """A factor with which rates neither stay as they are nor vanish."""
    return 0.3 + 0.5 * float(torch.rand((), generator=rng))


@probe("StepLR.__init__")
def _(kata, rng):
    optimizer = groups(rng)
    schedule = kata.StepLR(optimizer, 3, 0.5)
    return [
        schedule.last_epoch,
        [group["lr"] for group in optimizer.param_groups],
        [group["lr"] for group in schedule.optimizer.param_groups],
    ]


@probe("StepLR.step")
def _(kata, rng):
    seen = []
    for step_size in torch.randint(1, 5, (2,), generator=rng).tolist():
        optimizer = groups(rng)
        schedule = kata.StepLR(optimizer, step_size, gamma(rng))
        for _ in range(7):
            schedule.step()
            seen.append(
                (schedule.last_epoch, [group["lr"] for group in optimizer.param_groups])
            )
    return seen


@probe("StepLR.load_state_dict")
def _(kata, rng):
    optimizer, (step_size, later) = (
        groups(rng),
        torch.randint(1, 5, (2,), generator=rng).tolist(),
    )
    settings = step_size, gamma(rng)
    schedule = kata.StepLR(optimizer, *settings)
    for _ in range(step_size + later):  # the rates have fallen
        schedule.step()
    resumed, seen = kata.StepLR(optimizer, *settings), []
    resumed.load_state_dict(schedule.state_dict())
    for _ in range(7):
        resumed.step()
        seen.append((resumed.last_epoch, resumed.get_last_lr()))
    return seen
