"""Questions that the specs of 18 cannot ask from another process, or ask only about
inputs that are known.
"""

from unittest import mock

import torch
from torch import nn

from grader.lock.probes import fill, integers, judge, probe


@probe("permutation_gap")
def _(kata, rng):
    x, places = torch.randn(2, 2, 5, 3, generator=rng)
    permutation = torch.randperm(5, generator=rng)
    return kata.permutation_gap(lambda x: x * places, x, permutation)


@probe("sinusoidal_encoding")
def _(kata, rng):
    sizes = [integers(rng, 3) for _ in range(3)]
    return [
        kata.sinusoidal_encoding(rows, 2 * pairs, base**4.0)
        for rows, pairs, base in sizes
    ]


def compared(kata, weights, right_at, seed):
    """The comparison of classifiers that start from these weights and are right at one
    length of sequences.
    """

    class Classifier(nn.Module):
        """Learns a score per position and token; in eval mode all its answers are
        right, or all are wrong.
        """

        def __init__(self, vocab_size, kind, max_len):
            super().__init__()
            self.weights = nn.Parameter(weights[:max_len].double())
            torch.rand(len(kind))

        def forward(self, ids):
            length = ids.size(1)
            if self.training:
                return self.weights[torch.arange(length), ids].sum(dim=1)
            is_first = (ids == 1).int().argmax(dim=1) < (ids == 2).int().argmax(dim=1)
            return nn.functional.one_hot(
                (is_first == (length == right_at)).long(), 2
            ).double()

    with mock.patch.object(kata, "OrderClassifier", Classifier):
        return kata.compare_position_encodings(("learned", "none"), 6, 4, seed, 9)


@probe("compare_position_encodings")
def _(kata, rng):
    weights, [seed] = torch.randn(9, 12, 2, generator=rng), integers(rng, 1, 0, 999)
    found = compared(kata, weights, 6 + seed % 2 * 3, seed)
    return [
        [kind, each["losses"], each["accuracy"], each["test_length_accuracy"]]
        for kind, each in found.items()
    ]


@probe("alibi_slopes")
def _(kata, rng):
    return [
        kata.alibi_slopes(heads)
        for heads in (torch.randperm(60, generator=rng)[:4] + 5).tolist()
    ]


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


@probe("SinusoidalPositionalEncoding")
def _(kata, rng):
    """Dropout near 1 drops everything."""
    offset, found = int(torch.randint(1, 9, (), generator=rng)), []
    x = torch.randn(3, 4, 6, generator=rng)
    for mode in ("add", "concat"):
        layer = kata.SinusoidalPositionalEncoding(6, 20, 0.0, mode)
        dropping = kata.SinusoidalPositionalEncoding(6, 20, 1 - 1e-7, mode)
        found += [layer(x), layer(x, offset), dropping(x), dropping.eval()(x)]
        found += [
            len(list(layer.parameters())),
            [*dict(layer.named_buffers())],
            layer.pe,
        ]
    return found


@probe("LearnedPositionalEmbedding")
def _(kata, rng):
    layer, x = (
        kata.LearnedPositionalEmbedding(60, 40),
        torch.randn(2, 4, 40, generator=rng),
    )
    first = layer.embedding.weight.detach().clone()
    fill(layer, rng)
    offset = int(torch.randint(1, 9, (), generator=rng))
    return [
        first,
        seen(rng, layer(x, offset), layer.embedding.weight),
        layer(x).detach(),
    ]


@judge("LearnedPositionalEmbedding")
def _(values, expected):
    first, *found = values
    return [found, abs(first.std() / 0.02 - 1) < 0.1, abs(first.mean()) < 0.002]


@probe("apply_rope")
def _(kata, rng):
    x = torch.randn(2, 3, 5, 6, generator=rng).requires_grad_()
    positions = torch.randint(90, (5,), generator=rng)
    given = (x,), (x, positions), (x, positions, 50.0), (x[0, 0],)
    return [seen(rng, kata.apply_rope(*some), x) for some in given]


@probe("alibi_bias")
def _(kata, rng):
    n, more = torch.randint(2, 9, (2,), generator=rng).tolist()
    return [kata.alibi_bias(4, n), kata.alibi_bias(8, n, n + more)]
