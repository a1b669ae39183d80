"""What the specs of 16 cannot ask from another process: they would compare the code with itself."""

import torch

from grader.loading import probe


def a_layer(kind, rng):
    layer = kind(12, 3)
    with torch.no_grad():
        for _, parameter in sorted(layer.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return layer


def inputs(rng):
    mask = (torch.rand(5, 7, generator=rng) < 0.6) | (torch.arange(7) == 0)
    return [*(torch.randn(2, length, 12, generator=rng) for length in (5, 7, 7)), mask]


@probe("MultiHeadAttention.forward")
def _(kata, rng):
    layer, (query, key, value, mask) = a_layer(kata.MultiHeadAttention, rng), inputs(rng)
    return [layer(query), layer(query, key, value, mask), layer(query, key, need_weights=True)]


@probe("attention_patterns")
def _(kata, rng):
    layer, (query, key, _, mask) = a_layer(kata.MultiHeadAttention, rng), inputs(rng)
    return kata.attention_patterns(layer, query, key, mask)


@probe("compare_with_torch")
def _(kata, rng):
    class Spoiled(kata.MultiHeadAttention):
        def forward(self, *arguments, need_weights=False, **options):
            output, weights = super().forward(*arguments, need_weights=True, **options)
            return (1.5 * output, 0.5 * weights) if need_weights else 1.5 * output

    return kata.compare_with_torch(a_layer(Spoiled, rng), *inputs(rng))
