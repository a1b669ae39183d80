"""Questions that the specs of 05 cannot ask from another process."""

import torch

from grader.lock.probes import probe

ONE, TWO = (torch.exp, torch.tanh, torch.relu, torch.sin, torch.neg), (torch.add, torch.sub, torch.mul)


@probe("describe_graph")
def _(kata, rng):
    leaves = dict(zip("abcd", (torch.randn(3, generator=rng, requires_grad=True) for _ in range(4)), strict=True))
    drawn = lambda choices: list(choices)[int(torch.randint(len(choices), (), generator=rng))]
    names, found = {id(leaf): name for name, leaf in leaves.items()}, []
    for _ in range(8):
        x = kept = leaves[drawn("abcd")]
        for _ in range(6):
            x, kept = drawn(ONE)(x) if drawn("ab") == "a" else drawn(TWO)(x, drawn((kept, *leaves.values()))), x
        found.append(kata.describe_graph(x.sum()))
    return [(graph["ops"], sorted(names[id(leaf)] for leaf in graph["leaves"])) for graph in found]


@probe("inplace_is_safe")
def _(kata, rng):
    weight, other = torch.randn(3, generator=rng), torch.randn(3, generator=rng)
    operations = [lambda h: h * weight, lambda h: h * h, lambda h: h.exp(), lambda h: (h + other).tanh(), lambda h: -h]
    x = torch.rand(3, generator=rng)
    return [kata.inplace_is_safe(op, x, target) for op in operations for target in ("output", "input")]
