"""Questions that the specs of 16 cannot ask from another process: they would compare
the code with itself.

One asks about sizes that the specs do not name.
"""

import torch

from grader.lock.probes import fill, probe


def a_layer(kind, rng):
    layer = kind(12, 3)
    with torch.no_grad():
        for _, parameter in sorted(layer.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return layer


def inputs(rng):
    mask = (torch.rand(5, 7, generator=rng) < 0.6) | (torch.arange(7) == 0)
    return [*(torch.randn(2, length, 12, generator=rng) for length in (5, 7, 7)), mask]


@probe("MultiHeadAttention.__init__")
def _(kata, rng):
    found = []
    for heads, size in torch.randint(1, 9, (2, 2), generator=rng).tolist():
        layer = kata.MultiHeadAttention(
            heads * size, heads, dropout=size / 10, bias=size % 2 == 0
        )
        shapes = sorted(
            (name, tuple(parameter.shape))
            for name, parameter in layer.state_dict().items()
        )
        found.append(
            [shapes, layer.d_model, layer.num_heads, layer.d_k, layer.dropout.p]
        )
    return found


@probe("MultiHeadAttention.forward")
def _(kata, rng):
    layer, (query, key, value, mask) = (
        a_layer(kata.MultiHeadAttention, rng),
        inputs(rng),
    )
    return [
        layer(query),
        layer(query, key, value, mask),
        layer(query, key, need_weights=True),
    ]


@probe("attention_patterns")
def _(kata, rng):
    layer, (query, key, _, mask) = a_layer(kata.MultiHeadAttention, rng), inputs(rng)
    layer.dropout.p = 0.5
    torch.manual_seed(int(torch.randint(999, (), generator=rng)))
    return [kata.attention_patterns(layer, query, key, mask), torch.rand(3)]


def spoiled(kata, output_off, weights_off):
    """A layer whose output and weights are wrong at one place each."""

    class Spoiled(kata.MultiHeadAttention):
        def forward(self, *arguments, **options):
            result = super().forward(*arguments, **options)
            output, weights = result if isinstance(result, tuple) else (result, None)
            output = output.clone()
            output[1, 2, 3] += output_off
            if weights is None:
                return output
            weights = weights.clone()
            weights[1, 0, 2, 3] += weights_off
            return output, weights

    return Spoiled(12, 3)


@probe("compare_with_torch")
def _(kata, rng):
    offs = (torch.rand(2, generator=rng) + 0.2).tolist()
    found = kata.compare_with_torch(
        a_layer(lambda *sizes: spoiled(kata, *offs), rng), *inputs(rng)
    )
    return {name: torch.tensor(difference) for name, difference in found.items()}


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


def features(rng, *shape):
    return torch.randn(shape, generator=rng).requires_grad_()


@probe("split_heads")
def _(kata, rng):
    heads, width, length = torch.randint(2, 6, (3,), generator=rng).tolist()
    x = features(rng, 2, length, heads * width)
    return seen(rng, kata.split_heads(x, heads), x)


@probe("merge_heads")
def _(kata, rng):
    x = features(rng, 2, *torch.randint(2, 6, (3,), generator=rng).tolist())
    return [seen(rng, kata.merge_heads(one), x) for one in (x, x.transpose(1, 2))]


@probe("prepare_mask")
def _(kata, rng):
    """What comes back is what it allows, whatever sizes it leaves at 1."""
    shape, found = (3, 3, 4, 5), []
    for mask_shape in ((5,), (4, 5), (3, 4, 5), (3, 1, 4, 5), (3, 1, 5), None):
        mask = (
            None if mask_shape is None else torch.rand(mask_shape, generator=rng) < 0.6
        )
        real = torch.rand(3, 5, generator=rng) < 0.8
        for padding in (real, None):
            got = kata.prepare_mask(mask, padding, shape)
            found.append(None if got is None else got.expand(shape))
    return found


@probe("head_statistics")
def _(kata, rng):
    scores = 3 * torch.randn(2, 3, 4, 5, generator=rng)
    causal = torch.ones(4, 5, dtype=torch.bool).tril(1)
    weights = scores.masked_fill(~causal, -torch.inf).softmax(-1)
    return kata.head_statistics(weights)


@probe("to_torch_mha")
def _(kata, rng):
    found = []
    for bias in (True, False):
        layer = kata.MultiHeadAttention(6, 3, 0.0, bias)
        fill(layer, rng)
        theirs, x = kata.to_torch_mha(layer), torch.randn(2, 4, 6, generator=rng)
        found += [dict(theirs.state_dict()), theirs(x, x, x)[0].detach()]
    return found
