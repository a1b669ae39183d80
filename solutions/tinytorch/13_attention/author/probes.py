"""Questions on attention."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


@probe("causal_mask")
def _(kata, rng):
    return kata.causal_mask(*integers(rng, 1, 2, 30))


@probe("attention_cost")
def _(kata, rng):
    return kata.attention_cost(*integers(rng, 4, 2, 30), 2 ** integers(rng, 1, 1, 4)[0])


def tensor(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(normal(rng, *shape), requires_grad=True)


def mask(rng, *shape):
    """Random permissions, of which each row has one at least."""
    allowed = normal(rng, *shape) < 0
    allowed[..., 0] = True
    return allowed


@probe("masked_softmax")
def _(kata, rng):
    rows, columns = integers(rng, 2)
    scores = tensor(rng, 2, rows, columns)
    weights = kata.masked_softmax(scores, mask(rng, rows, columns))
    (weights * weights).sum().backward()
    far = tensor(rng, 2, rows, columns).data * 1e4
    others = kata.masked_softmax(scores, dim=1), kata.masked_softmax(type(scores)(far))
    return [weights.data, scores.grad, [other.data for other in others]]


@probe("scaled_dot_product_attention")
def _(kata, rng):
    queries, keys, width, out = integers(rng, 4)
    q, k, v = (
        tensor(rng, 2, *shape)
        for shape in ((queries, width), (keys, width), (keys, out))
    )
    output, weights = kata.scaled_dot_product_attention(
        q, k, v, mask(rng, queries, keys)
    )
    (output * output).sum().backward()
    return [output.data, weights.data, [part.grad for part in (q, k, v)]]


def filled(model, rng):
    """Write drawn numbers into the parameters, in the order of their names."""
    for _, parameter in sorted(model.named_parameters()):
        parameter.data[...] = normal(rng, *parameter.shape)


@probe("SelfAttention")
def _(kata, rng):
    length, width, head = integers(rng, 3)
    x, seen = tensor(rng, 2, length, width), []
    for options in ({"causal": False}, {}, {"head_dim": head}):
        layer = kata.SelfAttention(width, **options)
        filled(layer, rng)
        seen.append([layer.W_q.weight.shape, layer.W_v.bias, layer(x).data])
    return seen


@probe("sinusoidal_positions")
def _(kata, rng):
    length, half = integers(rng, 2, 5, 20)
    return kata.sinusoidal_positions(length, 2 * half)


@probe("recurrence_comparison")
def _(kata, rng):
    return kata.recurrence_comparison(*integers(rng, 2, 2, 50))


@probe("attention_scaling")
def _(kata, rng):
    """Attention takes so much memory as is drawn for its length."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def attend(q, k, v):
        return np.zeros(units[q.shape[1]] * UNIT * v.shape[2] // 8, np.int8)

    with mock.patch.object(kata, "scaled_dot_product_attention", attend):
        return kata.attention_scaling(list(units), 8)


@judge("attention_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])
