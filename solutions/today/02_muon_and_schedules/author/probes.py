"""Questions that the specs of today/02 ask only about inputs that are known, or that
need to be asked beside the code.
"""

import torch
from torch import nn

from grader.lock.probes import judge, probe


def sizes(count, rng):
    return torch.randint(2, 7, (count,), generator=rng).tolist()


def wide64(rng, *shape):
    return torch.randn(shape, dtype=torch.float64, generator=rng)


def largest_tensor(kata, tall):
    """How many numbers the largest tensor has that is made on the way."""
    import torch

    # a TorchDispatchMode imports torch's compiler for a second
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_leaves

    class Largest(TorchFunctionMode):
        numbers = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            sizes = [
                part.numel()
                for part in tree_leaves(out)
                if isinstance(part, torch.Tensor)
            ]
            self.numbers = max(self.numbers, *sizes, 0)
            return out

    with Largest() as largest:
        kata.newton_schulz(tall)
    return largest.numbers


@probe("newton_schulz")
def _(kata, rng):
    rows, columns, steps = sizes(3, rng)
    wide = wide64(rng, rows, rows + columns)
    tall = wide64(rng, 6 * columns, columns)
    # to float32's tolerance
    found = [
        kata.newton_schulz(wide, steps - 1).float(),
        kata.newton_schulz(tall).float(),
    ]
    return [*found, largest_tensor(kata, tall), tall.numel()]


@judge("newton_schulz")
def _(values, expected):
    wide, tall, largest, _ = values
    return [wide, tall, largest <= expected[3]]


@probe("shape_scale")
def _(kata, rng):
    rows, columns = torch.randint(2, 60, (2,), generator=rng).tolist()
    shapes = [(rows * columns, columns), (columns, rows + columns)]
    return [
        kata.shape_scale(shape, mode)
        for shape in shapes
        for mode in ("original", "match_rms_adamw")
    ]


def split_names(kata, plan, tied):
    """The names of both lists, for a model whose layers the plan lists."""
    from torch import nn

    layers = nn.ModuleDict()
    for place, kind in enumerate(plan):
        made = (
            nn.Linear(5, 5),
            nn.Embedding(5, 5),
            nn.LayerNorm(5),
            nn.Linear(5, 5, bias=False),
            nn.Linear(5, 5),
        )[kind]
        made.requires_grad_(kind != 4)
        layers[f"part{place}"] = made
    layers["lm_head"] = nn.Linear(5, 5)
    if tied:
        layers["words"] = nn.Embedding(5, 5)
        layers["words"].weight = layers["lm_head"].weight
    names = {id(parameter): name for name, parameter in layers.named_parameters()}
    return [
        [names[id(parameter)] for parameter in part]
        for part in kata.split_parameters(layers)
    ]


@probe("split_parameters")
def _(kata, rng):
    plan = torch.randint(5, (7,), generator=rng).tolist()
    return split_names(kata, plan, bool(plan[0] % 2))


def some_settings(rng):
    lr, momentum, decay = (0.1 + 0.8 * torch.rand(3, generator=rng)).tolist()
    return {
        "lr": lr,
        "momentum": momentum,
        "weight_decay": decay,
        "ns_steps": sizes(1, rng)[0],
    }


@probe("Muon.__init__")
def _(kata, rng):
    settings = some_settings(rng)
    groups = kata.Muon([nn.Parameter(wide64(rng, 3, 4))], **settings).param_groups
    return [groups[0][name] for name in sorted(settings)] + [
        groups[0]["nesterov"],
        groups[0]["mode"],
    ]


def moved(kata, start, grads, settings):
    """The parameter after a step per gradient; every second time the gradient is filled
    in place. Another one moves.
    """
    from torch import nn

    p, other = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizer = kata.Muon([other, p], **settings)
    for place, g in enumerate(grads):
        other.grad = g.flip(0).clone()
        if p.grad is None or place % 2:
            p.grad = g.clone()
        else:
            p.grad.copy_(g)
        optimizer.step()
        optimizer.zero_grad(set_to_none=place == 1)
    return p.detach()


@probe("Muon.step")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    found = []
    for nesterov, mode in ((True, "original"), (False, "match_rms_adamw")):
        settings = some_settings(rng) | {"nesterov": nesterov, "mode": mode}
        start, grads = (
            wide64(rng, rows * columns, columns),
            list(wide64(rng, 4, rows * columns, columns)),
        )
        found.append(moved(kata, start, grads, settings).float())
    return found


@probe("wsd_lr")
def _(kata, rng):
    warmup, flat, decay = sizes(3, rng)
    last, rates = warmup + flat + decay, (0.1 + torch.rand(2, generator=rng)).tolist()
    return [
        kata.wsd_lr(step, rates[0], warmup, decay, last, rates[1] / 10, shape)
        for step in range(last + 2)
        for shape in ("linear", "sqrt")
    ]


@probe("z_loss")
def _(kata, rng):
    rows, columns = sizes(2, rng)
    logits, coefficient = (
        torch.randn(rows, 4, columns, generator=rng).requires_grad_(),
        0.1 + float(torch.rand((), generator=rng)),
    )
    targets = torch.randint(columns, (rows, 4), generator=rng)
    targets[0, 1] = -100
    loss = kata.z_loss(logits, targets, coefficient)
    (gradient,) = torch.autograd.grad(loss, logits)
    return [kata.z_loss(logits.detach()), loss.detach(), gradient]
