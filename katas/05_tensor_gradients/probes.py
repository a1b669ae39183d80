"""What the specs of 05 cannot ask from another process."""

import torch

from grader.loading import probe


@probe("describe_graph")
def _(kata, rng):
    a, b, c = (torch.randn(3, generator=rng, requires_grad=True) for _ in range(3))
    d = a * b
    results = [(d * d + c).sum(), (a.exp() - b).tanh().mean(), (torch.stack([a, b]) @ c).relu().sum(), a.detach() * b]
    names = {id(a): "a", id(b): "b", id(c): "c"}
    found = [kata.describe_graph(result) for result in results]
    return [(graph["ops"], sorted(names[id(leaf)] for leaf in graph["leaves"])) for graph in found]


@probe("inplace_is_safe")
def _(kata, rng):
    weight, other = torch.randn(3, generator=rng), torch.randn(3, generator=rng)
    operations = [lambda h: h * weight, lambda h: h * h, lambda h: h.exp(), lambda h: (h + other).tanh(), lambda h: -h]
    x = torch.rand(3, generator=rng)
    return [kata.inplace_is_safe(op, x, target) for op in operations for target in ("output", "input")]
