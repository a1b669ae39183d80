"""Questions that the specs of 19 cannot ask from another process, or ask only about
modules that are known.
"""

from collections import OrderedDict

import torch
from torch import nn

from grader.lock.probes import fill, integers, judge, probe


@probe("describe_state")
def _(kata, rng):
    model, draws = nn.Sequential(), torch.rand(2, 40, generator=rng) < 0.5
    for kind in integers(rng, 8, 0, 4):
        bare, norm = nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2)
        nested = nn.Sequential(nn.Tanh(), nn.Linear(2, 2))
        model.append((bare, norm, nested, model[:1])[kind])
    for parameter, learned in zip(model.parameters(), draws[0].tolist()):
        parameter.requires_grad = learned
    for i, part in enumerate(model):
        part.register_buffer(f"seen{i}", torch.zeros(2), bool(draws[1, i]))
    found = kata.describe_state(model)
    names = ("trainable", "frozen", "buffers", "transient")
    return {name: list(found[name]) for name in names}


@probe("StandardizedLinear.__init__")
def _(kata, rng):
    wide, narrow = integers(rng, 2, 2, 30)
    found = []
    for options in ({}, {"bias": False, "eps": 1 / wide}):
        layer = kata.StandardizedLinear(wide, narrow, **options)
        buffers = {name: list(buffer.shape) for name, buffer in layer.named_buffers()}
        learned = {name: list(p.shape) for name, p in layer.named_parameters()}
        kept = layer.in_features, layer.out_features, layer.eps
        found.append([kept, learned, buffers, layer.mean, layer.var, layer.count])
    return found


def told(layer):
    return [layer.mean.clone(), layer.var.clone(), layer.count.clone()]


@probe("StandardizedLinear.forward")
def _(kata, rng):
    layer = fill(kata.StandardizedLinear(3, 2).double(), rng)
    seen = []
    for size in ((4, 3), (2, 5, 3), (6, 3)):
        x = torch.randn(size, generator=rng, dtype=torch.float64, requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        seen += [y.detach(), x.grad, *told(layer)]
    loaded = kata.StandardizedLinear(3, 2).double().eval()
    loaded.load_state_dict(layer.state_dict())
    seen += [loaded(x).detach(), *told(loaded)]
    return [tensor.float() for tensor in seen]


def shapes(module):
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


@probe("SimpleModuleList")
def _(kata, rng):
    sizes = integers(rng, 6, 1, 99)
    modules = kata.SimpleModuleList(nn.Linear(n, 2) for n in sizes[:4])
    modules.append(nn.Linear(sizes[4], 3)).append(nn.Linear(3, sizes[5], bias=False))
    widths = [module.in_features for module in modules]
    some = [modules[i].in_features for i in (3, 0)]
    part = modules[1 : sizes[0] % 3 + 3]
    return [len(modules), widths, some, shapes(modules), shapes(part)]


@probe("SimpleModuleDict")
def _(kata, rng):
    sizes = integers(rng, 8, 1, 9)
    modules = kata.SimpleModuleDict({f"part{n}": nn.Linear(n, 2) for n in sizes[:4]})
    for n in sizes[4:] + sizes[:2]:
        modules[f"part{n}"] = nn.Linear(n, 3)
    told = [(key, tuple(module.weight.shape)) for key, module in modules.items()]
    there = [f"part{n}" in modules for n in range(1, 9)]
    return [told, shapes(modules), list(modules), len(modules), there]


@probe("init_weights")
def _(kata, rng):
    """Layers of three models; the generators of two are seeded alike."""
    wide, narrow, seed = integers(rng, 3, 40, 60)
    found = []
    for start in (seed, seed, seed + 1):
        parts = nn.Linear(wide, narrow), nn.Embedding(narrow, wide)
        model = nn.Sequential(
            nn.Sequential(*parts), nn.LayerNorm(narrow), nn.Conv1d(2, 3, 1)
        )
        tensors = list(fill(model, rng).parameters())
        generator = torch.Generator().manual_seed(start)
        kata.init_weights(model, embedding_std=seed / 9, generator=generator)
        found.append([tensor.detach() for tensor in tensors])
    return [seed / 9, found, torch.rand(3)]


@judge("init_weights")
def _(values, expected):
    """The linear layer is spread as in the reference, the embedding as asked."""
    (std, wanted, _), (_, found, after) = expected, values
    told = [after]
    for linear, bias, embedding, *others in found:
        even = linear / wanted[0][0].abs().max() / 2 + 0.5
        told += [spread(even), spread(torch.special.ndtr(embedding / std))]
        told += [bias, *others, torch.equal(linear, found[0][0])]
        told.append(torch.equal(embedding, found[0][2]))
    return told


def spread(x):
    """Are numbers spread evenly from 0 to 1, and does none tell the next?"""
    x = x.flatten()
    far = (x.sort().values - torch.linspace(0, 1, len(x))).abs().max()
    return [
        bool(far < 0.1),
        bool(((x[1:] - 0.5) @ (x[:-1] - 0.5)).abs() < 0.02 * len(x)),
    ]


@probe("set_trainable")
def _(kata, rng):
    """What was covered, and the gradients, after freezing and thawing named parts."""
    order = [(1, 2, 12, 21, 11, 22)[i] for i in torch.randperm(6, generator=rng)]
    parts = {f"part{n}": nn.Sequential(nn.Linear(n, 3), nn.Linear(3, n)) for n in order}
    model, found = nn.ModuleDict(parts), []
    a, b, c, *_ = torch.randperm(6, generator=rng).tolist()
    names = list(parts)
    for trainable, prefixes in (
        (False, [names[a], f"{names[b]}.1"]),
        (True, [f"{names[a]}.0.bias"]),
        (True, [names[c]]),
        (False, None),
    ):
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, a + 2.0)
        covered = kata.set_trainable(model, trainable, prefixes)
        learned = [name for name, p in model.named_parameters() if p.requires_grad]
        found.append([covered, learned, [p.grad for p in model.parameters()]])
    return found


@probe("trace_shapes")
def _(kata, rng):
    rows, *widths = integers(rng, 5, 2, 30)
    shared, model = nn.Tanh(), nn.Sequential()
    for a, b in zip(widths, widths[1:]):
        model.append(nn.Sequential(nn.Linear(a, b), nn.Dropout(), shared))
    records = kata.trace_shapes(model, torch.randn(rows, widths[0], generator=rng))
    return [tuple(record) for record in records]


@probe("SimpleSequential")
def _(kata, rng):
    width, *others = torch.randint(2, 9, (4,), generator=rng).tolist()
    twice = nn.Linear(width, width)
    plain = kata.SimpleSequential(twice, nn.ReLU(), twice)
    named = kata.SimpleSequential(
        OrderedDict([(f"fc{n}", nn.Linear(width, width)) for n in others])
    )
    found, x = [], torch.randn(3, width, generator=rng)
    for chain in (plain, named):
        fill(chain, rng)
        found += [chain(x), chain[1:](x), chain[-1](x), [part(x) for part in chain]]
        found += [shapes(chain), len(chain)]
    return [found, getattr(named, f"fc{others[0]}").weight]


@probe("load_matching")
def _(kata, rng):
    """The model is trained on, and the given state stays."""
    sizes = torch.randint(2, 5, (8,), generator=rng).tolist()
    model = nn.Sequential(*(nn.Linear(n, 2) for n in sizes[:4]), nn.BatchNorm1d(2))
    fill(model, rng)
    state = {
        f"{i}.weight": torch.randn(2, n, generator=rng) for i, n in enumerate(sizes)
    }
    report = kata.load_matching(model, state)
    loaded = {name: x.clone() for name, x in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    return [list(map(list, report)), loaded, state]
