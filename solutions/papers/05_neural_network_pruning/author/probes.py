"""Questions that the specs of papers/05 cannot ask from another process: they set the masks of layers."""

import torch

from grader.lock.probes import probe


@probe("global_prune")
def _(kata, rng):
    model, seen = kata.MaskedMLP([5, 4, 3]), []
    with torch.no_grad():
        for layer, size in zip(model.layers, (1.0, 2.0)):
            layer.weight.copy_(size * torch.randn(layer.weight.shape, generator=rng))
            layer.bias.zero_()
        for sparsity in (0.25, 0.75):
            seen.append((kata.global_prune(model, sparsity), [layer.mask.clone() for layer in model.layers]))
            for layer in model.layers:
                layer.weight[~layer.mask] = 9.0
    return seen
