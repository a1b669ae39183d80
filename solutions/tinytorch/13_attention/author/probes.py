"""Questions that the specs of tinytorch/13 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe, there


@probe("causal_mask")
def _(kata, rng):
    return kata.causal_mask(int(torch.randint(2, 30, (), generator=rng)))


@probe("attention_cost")
def _(kata, rng):
    sizes, itemsize = (
        torch.randint(2, 30, (4,), generator=rng).tolist(),
        2 ** int(torch.randint(1, 4, (), generator=rng)),
    )
    return kata.attention_cost(*sizes, itemsize)


def tensor(rng, *shape):
    from tinytorch.tensor import Tensor

    return Tensor(
        torch.randn(*shape, generator=rng).double().numpy(), requires_grad=True
    )


def sizes(rng, count, low=2, high=7):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def mask(rng, *shape):
    """Random permissions, of which each row has one at least."""
    allowed = torch.rand(*shape, generator=rng) < 0.5
    allowed[..., 0] = True
    return allowed.numpy()


@probe("masked_softmax")
def _(kata, rng):
    rows, columns = sizes(rng, 2)
    scores = tensor(rng, 2, rows, columns)
    weights = kata.masked_softmax(scores, mask(rng, rows, columns))
    (weights * weights).sum().backward()
    return [weights.data, scores.grad, kata.masked_softmax(scores, dim=1).data]


@probe("scaled_dot_product_attention")
def _(kata, rng):
    queries, keys, width, out = sizes(rng, 4)
    q, k, v = (
        tensor(rng, 2, *shape)
        for shape in ((queries, width), (keys, width), (keys, out))
    )
    output, weights = kata.scaled_dot_product_attention(
        q, k, v, mask(rng, queries, keys)
    )
    (output * output).sum().backward()
    return [output.data, weights.data, [part.grad for part in (q, k, v)]]


def filled(kata, model, seed):
    """Write drawn numbers into the parameters, in the order of their names."""
    import numpy as np

    numbers = np.random.default_rng(seed)
    for _, parameter in sorted(model.named_parameters()):
        parameter.data[...] = numbers.normal(size=parameter.shape)


@probe("SelfAttention")
def _(kata, rng):
    length, width, head, seed = sizes(rng, 4)
    x, seen = tensor(rng, 2, length, width), []
    for options in ({"causal": False}, {}, {"head_dim": head}):
        layer = kata.SelfAttention(width, **options)
        there(kata, filled, layer, seed)
        seen.append([layer.W_q.weight.shape, layer.W_v.bias is None, layer(x).data])
    return seen


@probe("sinusoidal_positions")
def _(kata, rng):
    length, half = sizes(rng, 2, 5, 20)
    return kata.sinusoidal_positions(length, 2 * half)


@probe("recurrence_comparison")
def _(kata, rng):
    return kata.recurrence_comparison(*sizes(rng, 2, 2, 50))


@probe("attention_scaling")
def _(kata, rng):
    lengths, width = (
        sorted((128 + 4 * torch.randperm(60, generator=rng)[:4]).tolist()),
        sizes(rng, 1, 8, 24)[0],
    )
    found = kata.attention_scaling(lengths, width)
    slope = np.polyfit(np.log(lengths), np.log(found["values"]), 1)[0]
    enough = [
        value >= 4 * n * (n + width) for n, value in zip(lengths, found["values"])
    ]
    return [
        found["sizes"],
        found["exponent"] / slope,
        abs(found["exponent"] - 2) < 0.3,
        enough,
    ]
