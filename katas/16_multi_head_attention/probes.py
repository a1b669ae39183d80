"""What the specs of 16 cannot ask from another process: their oracle is built on the layer's own weights."""

import torch

from grader.loading import probe


@probe("MultiHeadAttention.forward")
def _(kata, rng):
    layer = kata.MultiHeadAttention(12, 3)
    with torch.no_grad():
        for _, parameter in sorted(layer.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    query, key = torch.randn(2, 5, 12, generator=rng), torch.randn(2, 7, 12, generator=rng)
    mask = torch.rand(5, 7, generator=rng) > 0.3
    mask[:, 0] = True
    return [layer(query), layer(query, key, mask=mask), layer(query, key, need_weights=True)]
