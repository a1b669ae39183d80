"""Questions that the specs of 21 ask only about gradients and rates that are known."""

from types import SimpleNamespace

import torch
from torch import nn

from grader.lock.probes import fill, integers, probe


def groups(rng):
    """Something with `param_groups`."""
    return SimpleNamespace(param_groups=[{"lr": lr} for lr in rates(rng)])


def rates(rng):
    return torch.rand(3, generator=rng).tolist()


def some_parameters(rng):
    """Parameters of drawn sizes with large gradients, and one without a gradient."""
    parameters, [without, *sizes] = [], integers(rng, 6, 1, 6)
    for place, size in enumerate(sizes, start=1):
        parameters.append(nn.Parameter(torch.randn(size, generator=rng)))
        gradient = 3 * torch.randn(size, generator=rng)
        parameters[-1].grad = None if place == without else gradient
    return parameters


@probe("SGD.zero_grad")
def _(kata, rng):
    found = []
    for options in ({}, {"set_to_none": True}, {"set_to_none": False}):
        parameters = some_parameters(rng)
        groups = [{"params": parameters[:2]}, {"params": parameters[2:]}]
        kata.SGD(groups, lr=0.1).zero_grad(**options)
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
    """The rates at the start and after some steps, and those of the optimizer, when
    they are set through the schedule.
    """
    optimizer, [step_size, steps] = groups(rng), integers(rng, 2, 1, 5)
    schedule = kata.StepLR(optimizer, step_size)
    told = [schedule.last_epoch, schedule.get_last_lr()]
    for _ in range(steps):
        schedule.step()
    told += [schedule.last_epoch, schedule.get_last_lr()]
    for group, lr in zip(schedule.optimizer.param_groups, rates(rng)):
        group["lr"] = lr
    return [*told, [group["lr"] for group in optimizer.param_groups]]


@probe("StepLR.step")
def _(kata, rng):
    seen = []
    for step_size in integers(rng, 2, 1, 5):
        schedule = kata.StepLR(groups(rng), step_size, gamma(rng))
        for _ in range(7):
            schedule.step()
            seen.append((schedule.last_epoch, schedule.get_last_lr()))
    return seen


@probe("StepLR.load_state_dict")
def _(kata, rng):
    """The rates of a schedule that goes on where they have fallen."""
    optimizer, [step_size, later] = groups(rng), integers(rng, 2, 1, 5)
    settings, seen = (step_size, gamma(rng)), []
    schedule = kata.StepLR(optimizer, *settings)
    for _ in range(step_size + later):
        schedule.step()
    resumed = kata.StepLR(optimizer, *settings)
    resumed.load_state_dict(schedule.state_dict())
    for _ in range(7):
        resumed.step()
        seen.append((resumed.last_epoch, resumed.get_last_lr()))
    return seen


def rates_of(rng):
    return torch.rand(3, generator=rng).tolist()


def drawn(rng, *shape):
    return nn.Parameter(torch.randn(shape, generator=rng))


def stepped(rng, make):
    """Parameters in two groups after each of four steps, between which a rate changes;
    one has no gradient at first.
    """
    a, b, c = drawn(rng, 2, 3), drawn(rng, 4), drawn(rng, 2)
    optimizer, seen = make([{"params": [a, b]}, {"params": [c], "lr": 0.2}]), []
    for rate in (0.1, 0.3, 0.05, 0.1):
        optimizer.param_groups[0]["lr"] = rate
        for p in (a, b, c):
            p.grad = torch.randn(p.shape, generator=rng)
        b.grad = b.grad if seen else None
        optimizer.step()
        seen.append([p.detach().clone() for p in (a, b, c)])
    return seen


def grouped(rng, make):
    """The groups of an optimizer, with the numbers of their parameters."""
    parts, found = [drawn(rng, 2), drawn(rng, 3)], []
    lr, other = torch.rand(2, generator=rng).tolist()
    for params in (
        iter(parts),
        [{"params": parts[:1], "lr": other}, {"params": parts[1:]}],
    ):
        groups = make(params, lr).param_groups
        found.append(
            [{**one, "params": [p.detach() for p in one["params"]]} for one in groups]
        )
    return [
        [{key: one[key] for key in KEYS if key in one} for one in of] for of in found
    ]


KEYS = "params", "lr", "momentum", "weight_decay", "nesterov", "betas", "eps"


@probe("warmup_cosine")
def _(kata, rng):
    top, low = torch.rand(2, generator=rng).tolist()
    warmup, more = torch.randint(2, 6, (2,), generator=rng).tolist()
    options = {"max_lr": top + 1, "min_lr": low, "warmup_steps": warmup}
    options["max_steps"] = warmup + more
    return [kata.warmup_cosine(step, **options) for step in range(14)]


@probe("SGD.__init__")
def _(kata, rng):
    options = {"momentum": 0.5, "weight_decay": 0.1}
    return grouped(rng, lambda params, lr: kata.SGD(params, lr, **options))


@probe("SGD.step")
def _(kata, rng):
    settings = {}, {"momentum": 0.8}, {"momentum": 0.8, "nesterov": True}
    return [
        stepped(
            rng, lambda params, one=one: kata.SGD(params, 0.1, weight_decay=0.1, **one)
        )
        for one in settings
    ]


@probe("Adam.__init__")
def _(kata, rng):
    return grouped(rng, lambda params, lr: kata.Adam(params, lr, (0.8, 0.9), 0.1))


@probe("Adam.step")
def _(kata, rng):
    options = {"betas": (0.8, 0.9), "eps": 0.1, "weight_decay": 0.1}
    return stepped(rng, lambda params: kata.Adam(params, 0.1, **options))


@probe("AdamW")
def _(kata, rng):
    options = {"betas": (0.8, 0.9), "eps": 0.1, "weight_decay": 0.1}
    return stepped(rng, lambda params: kata.AdamW(params, 0.1, **options))


@probe("decay_groups")
def _(kata, rng):
    width, *frozen = torch.randint(2, 9, (3,), generator=rng).tolist()
    model = nn.Sequential(
        *(nn.Linear(width, width) for _ in range(9)), nn.LayerNorm(width)
    )
    model[1].weight = model[0].weight
    for i in frozen:
        model[i].requires_grad_(False)
    fill(model, rng)
    groups = kata.decay_groups(model, width / 10)
    sums = [sorted(p.sum().item() for p in group["params"]) for group in groups]
    return [sums, [group["weight_decay"] for group in groups]]


@probe("clip_grad_norm")
def _(kata, rng):
    found = []
    for limit, kind in ((0.5, 2.0), (100.0, 2.0), (0.5, 1.0), (0.5, torch.inf)):
        params = [drawn(rng, 3), drawn(rng, 2, 2), drawn(rng, 1)]
        for p in params[:2]:
            p.grad = torch.randn(p.shape, generator=rng)
        norm = kata.clip_grad_norm(iter(params), limit, norm_type=kind)
        found += [norm, [p.grad for p in params]]
    return found


@probe("batch_size_schedule")
def _(kata, rng):
    start, more, ramp, of = torch.randint(2, 40, (4,), generator=rng).tolist()
    options = {"start": start, "end": start + more, "ramp_tokens": 10 * ramp}
    seen = torch.randint(500, (9,), generator=rng).tolist()
    return [
        kata.batch_size_schedule(n, **options, multiple_of=m)
        for n in seen
        for m in (1, of)
    ]
