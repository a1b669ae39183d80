"""Questions about inputs drawn anew in papers/13."""

import torch

from grader.lock.probes import probe


@probe("attention_numpy")
def _(kata, rng):
    found = []
    for leading in ((), (2, 3)):
        queries, keys, width, values = torch.randint(2, 7, (4,), generator=rng).tolist()
        sizes = ((queries, width), (keys, width), (keys, values))
        given = [
            torch.randn(*leading, *size, generator=rng, dtype=torch.float64).numpy()
            for size in sizes
        ]
        mask = torch.rand(queries, keys, generator=rng) < 0.5
        mask[:, 0] = True
        found += [
            kata.attention_numpy(*given),
            kata.attention_numpy(*given, mask.numpy()),
        ]
    return found


@probe("Transformer.__init__")
def _(kata, rng):
    symbols, heads, layers, inner = torch.randint(2, 9, (4,), generator=rng).tolist()
    model = kata.Transformer(9 * symbols, 2 * heads, heads, layers, inner)
    return {
        name: tuple(parameter.shape) for name, parameter in model.named_parameters()
    }
