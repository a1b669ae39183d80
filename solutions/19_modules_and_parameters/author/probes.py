"""Questions that the specs of 19 cannot ask from another process, or ask only about modules that are known."""

import torch
from torch import nn

from grader.lock.probes import probe


@probe("describe_state")
def _(kata, rng):
    model = nn.Sequential()
    for kind in torch.randint(4, (8,), generator=rng).tolist():
        parts = (nn.Linear(2, 2, bias=False), nn.BatchNorm1d(2), nn.Sequential(nn.Tanh(), nn.Linear(2, 2)), model[:1])
        model.append(parts[kind])
    for parameter in model.parameters():
        parameter.requires_grad = bool(torch.rand((), generator=rng) < 0.5)
    for i, part in enumerate(model):
        part.register_buffer(f"seen{i}", torch.zeros(2), persistent=bool(torch.rand((), generator=rng) < 0.5))
    found = kata.describe_state(model)
    return {name: list(found[name]) for name in ("trainable", "frozen", "buffers", "transient")}


@probe("StandardizedLinear.__init__")
def _(kata, rng):
    wide, narrow = torch.randint(2, 30, (2,), generator=rng).tolist()
    layers = [kata.StandardizedLinear(wide, narrow), kata.StandardizedLinear(narrow, wide, bias=False, eps=1 / wide)]
    return [
        [layer.in_features, layer.out_features, layer.eps, layer.mean, layer.var, layer.count]
        + sorted((name, tuple(tensor.shape)) for name, tensor in layer.state_dict().items())
        for layer in layers
    ]


@probe("StandardizedLinear.forward")
def _(kata, rng):
    layer = kata.StandardizedLinear(3, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(2, 3, generator=rng))
        layer.bias.copy_(torch.randn(2, generator=rng))
    seen = []
    for size in ((4, 3), (2, 5, 3), (6, 3)):
        x = torch.randn(size, generator=rng, dtype=torch.float64, requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        seen += [y.detach(), x.grad, layer.mean.clone(), layer.var.clone()]
    x = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    seen += [layer.eval()(x).detach(), layer.mean, layer.var]
    return [[tensor.float() for tensor in seen], layer.count]


@probe("SimpleModuleDict")
def _(kata, rng):
    sizes = torch.randint(1, 9, (8,), generator=rng).tolist()
    modules = kata.SimpleModuleDict({f"part{n}": nn.Linear(n, 2) for n in sizes[:4]})
    for n in sizes[4:] + sizes[:2]:
        modules[f"part{n}"] = nn.Linear(n, 3)
    told = [(key, module.weight.shape == (3, int(key[4:]))) for key, module in modules.items()]
    shapes = [(name, tuple(tensor.shape)) for name, tensor in modules.state_dict().items()]
    return [told, shapes, list(modules), len(modules), [f"part{n}" in modules for n in range(9)]]
