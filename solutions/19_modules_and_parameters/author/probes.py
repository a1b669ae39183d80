"""Questions that the specs of 19 cannot ask from another process, or ask only about
modules that are known.
"""

import torch
from torch import nn

from grader.lock.probes import judge, probe


@probe("describe_state")
def _(kata, rng):
    model = nn.Sequential()
    for kind in torch.randint(4, (8,), generator=rng).tolist():
        parts = (
            nn.Linear(2, 2, bias=False),
            nn.BatchNorm1d(2),
            nn.Sequential(nn.Tanh(), nn.Linear(2, 2)),
            model[:1],
        )
        model.append(parts[kind])
    for parameter in model.parameters():
        parameter.requires_grad = bool(torch.rand((), generator=rng) < 0.5)
    for i, part in enumerate(model):
        part.register_buffer(
            f"seen{i}",
            torch.zeros(2),
            persistent=bool(torch.rand((), generator=rng) < 0.5),
        )
    found = kata.describe_state(model)
    return {
        name: list(found[name])
        for name in ("trainable", "frozen", "buffers", "transient")
    }


@probe("StandardizedLinear.__init__")
def _(kata, rng):
    wide, narrow = torch.randint(2, 30, (2,), generator=rng).tolist()
    layers = [
        kata.StandardizedLinear(wide, narrow),
        kata.StandardizedLinear(narrow, wide, bias=False, eps=1 / wide),
    ]
    return [
        [
            layer.in_features,
            layer.out_features,
            layer.eps,
            layer.mean,
            layer.var,
            layer.count,
        ]
        + sorted(
            (name, tuple(tensor.shape)) for name, tensor in layer.state_dict().items()
        )
        for layer in layers
    ]


def in_float64(kata):
    return kata.StandardizedLinear(3, 2).double()


def statistics(kata, layer):
    return [layer.mean.clone(), layer.var.clone(), layer.count.clone()]


@probe("StandardizedLinear.forward")
def _(kata, rng):
    layer = in_float64(kata)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 3, generator=rng))
        layer.bias.copy_(torch.randn(2, generator=rng))
    seen = []
    for size in ((4, 3), (2, 5, 3), (6, 3)):
        x = torch.randn(size, generator=rng, dtype=torch.float64, requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        seen += [y.detach(), x.grad, *statistics(kata, layer)]
    x = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    seen += [layer.eval()(x).detach(), *statistics(kata, layer)]
    return [tensor.float() for tensor in seen]


def shapes(kata, module):
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


@probe("SimpleModuleList")
def _(kata, rng):
    sizes = torch.randint(1, 99, (6,), generator=rng).tolist()
    modules = kata.SimpleModuleList(nn.Linear(n, 2) for n in sizes[:4])
    modules.append(nn.Linear(sizes[4], 3)).append(nn.Linear(3, sizes[5], bias=False))
    widths = [module.in_features for module in modules]
    return [
        len(modules),
        widths,
        [modules[i].in_features for i in (3, 0)],
        *(shapes(kata, each) for each in (modules, modules[1 : sizes[0] % 3 + 3])),
    ]


@probe("SimpleModuleDict")
def _(kata, rng):
    sizes = torch.randint(1, 9, (8,), generator=rng).tolist()
    modules = kata.SimpleModuleDict({f"part{n}": nn.Linear(n, 2) for n in sizes[:4]})
    for n in sizes[4:] + sizes[:2]:
        modules[f"part{n}"] = nn.Linear(n, 3)
    told = [(key, module.weight.shape) for key, module in modules.items()]
    return [
        told,
        shapes(kata, modules),
        list(modules),
        len(modules),
        [f"part{n}" in modules for n in range(9)],
    ]


@probe("init_weights")
def _(kata, rng):
    wide, narrow = torch.randint(20, 60, (2,), generator=rng).tolist()
    parts = (
        nn.Linear(wide, narrow),
        nn.Embedding(narrow, wide),
        nn.LayerNorm(narrow),
        nn.Conv1d(2, 3, 1),
    )
    with torch.no_grad():
        for parameter in nn.Sequential(*parts).parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    linear, embedding, norm, other = parts
    generator = torch.Generator().manual_seed(wide * narrow)
    kata.init_weights(
        nn.Sequential(nn.Sequential(*parts[:2]), *parts[2:]),
        embedding_std=0.5,
        generator=generator,
    )
    kept = [linear.bias, norm.weight, norm.bias, other.weight, other.bias]
    drawn = [linear.weight, embedding.weight]
    return [[x.detach() for x in part] for part in (kept, drawn)] + [torch.rand(3)]


@judge("init_weights")
def _(values, expected):
    kept, (linear, embedding), left_alone = values
    bound = (6 / sum(linear.shape)) ** 0.5
    return [
        [kept, left_alone],
        0.9 < linear.abs().max() / bound <= 1.0001,
        [abs(linear.mean()) < 0.2 * bound, abs(linear.std() / bound - 3**-0.5) < 0.1],
        [abs(embedding.mean()) < 0.1, abs(embedding.std() - 0.5) < 0.1],
        [len(x.unique()) > 0.9 * x.numel() for x in (linear, embedding)],
    ]


@probe("set_trainable")
def _(kata, rng):
    names = [f"part{n}" for n in torch.randperm(30, generator=rng)[:6].tolist()]
    model, flags = nn.Sequential(), []
    for name in names:
        model.add_module(
            name, nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        )
    for trainable, prefixes in (
        (False, [names[4], f"{names[1]}.2"]),
        (True, [f"{names[4]}.0.bias"]),
        (False, None),
    ):
        covered = kata.set_trainable(model, trainable, prefixes)
        flags.append(
            (
                covered,
                [
                    name
                    for name, parameter in model.named_parameters()
                    if parameter.requires_grad
                ],
            )
        )
    return flags


@probe("trace_shapes")
def _(kata, rng):
    rows, *widths = torch.randint(2, 30, (5,), generator=rng).tolist()
    shared = nn.Tanh()
    pairs = zip(widths, widths[1:], strict=False)
    model = nn.Sequential(
        *(nn.Sequential(nn.Linear(a, b), nn.Dropout(), shared) for a, b in pairs)
    )
    return [
        tuple(record)
        for record in kata.trace_shapes(
            model, torch.randn(rows, widths[0], generator=rng)
        )
    ]
