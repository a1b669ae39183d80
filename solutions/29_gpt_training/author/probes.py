"""Questions that the specs of 29 ask only about models and sizes that are known."""

import torch
from torch import nn

from grader.lock.probes import probe


def a_model(rng):
    """Matrices and vectors of different sizes, some of them frozen."""
    model = nn.Module()
    for i, (rows, kind) in enumerate(torch.randint(3, (20, 2), generator=rng).tolist()):
        size = (2 + i, 1 + rows, 2)[: 1 + kind]
        trainable = bool(torch.rand((), generator=rng) < 0.7)
        model.register_parameter(f"part{i}", nn.Parameter(torch.zeros(size), requires_grad=trainable))
    model.tied = model.part0
    return model


def told(groups):
    return sorted((group["weight_decay"], sorted(tuple(p.shape) for p in group["params"])) for group in groups)


@probe("param_groups")
def _(kata, rng):
    return [told(kata.param_groups(a_model(rng), decay)) for decay in torch.rand(2, generator=rng).tolist()]


@probe("make_optimizer")
def _(kata, rng):
    lr, decay, first, second, eps = torch.rand(5, generator=rng).tolist()
    found = []
    for optimizer in (
        kata.make_optimizer(a_model(rng), lr),
        kata.make_optimizer(a_model(rng), lr, decay, (first, second), eps, fused=True),
    ):
        groups = optimizer.param_groups
        settings = [(group["lr"], tuple(group["betas"]), group["eps"], bool(group["fused"])) for group in groups]
        found.append([type(optimizer).__name__, settings, told(groups)])
    return found


@probe("accumulation_steps")
def _(kata, rng):
    sizes = torch.randint(1, 99, (5, 4), generator=rng).tolist()
    steps = [kata.accumulation_steps(n * b * t * world, b, t, world) for n, b, t, world in sizes]
    return [*steps, *(kata.accumulation_steps(n * b * t, b, t) for n, b, t, _ in sizes)]
