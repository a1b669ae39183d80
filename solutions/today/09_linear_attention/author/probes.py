"""Questions that the specs of today/09 ask only about inputs that are known, or cannot
ask from another process.
"""

import torch

from grader.lock.probes import judge, probe


def sizes(rng, count, low=2, high=6):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def tokens(rng, length, lead=2):
    """q, k of length 1, v, beta and log_decay of drawn sizes. `lead` dimensions come
    before T.
    """
    heads, keys, values = sizes(rng, 3)
    shape = (2, heads, length)[: lead + 1]
    q, k = torch.randn(2, *shape, keys, generator=rng)
    v = torch.randn(*shape, values, generator=rng)
    beta, decay = torch.rand(2, *shape, generator=rng)
    return q, torch.nn.functional.normalize(k, dim=-1), v, beta, -decay


def a_state(rng, q, v):
    return torch.randn(*q.shape[:2], q.size(-1), v.size(-1), generator=rng)


@probe("parallel_form")
def _(kata, rng):
    q, k, v, _, g = tokens(rng, 20 + sizes(rng, 1)[0])
    return [kata.parallel_form(q, k, v, g), kata.parallel_form(q, k, v, 20 * g)]


@probe("recurrent_step")
def _(kata, rng):
    q, k, v, _, g = (x[:, :, 0] for x in tokens(rng, 1))
    return list(kata.recurrent_step(a_state(rng, q, v), q, k, v, g))


@probe("chunked_form")
def _(kata, rng):
    q, k, v, _, g = tokens(rng, 20 + sizes(rng, 1)[0])
    found = list(kata.chunked_form(q, k, v, g))
    return found + list(
        kata.chunked_form(q, k, v, g, sizes(rng, 1)[0], a_state(rng, q, v))
    )


@probe("combine")
def _(kata, rng):
    a, b, c, d = torch.randn(4, *sizes(rng, 2), generator=rng)
    return list(kata.combine((a, b), (c, d)))


def scanned(kata, matrices):
    """The prefixes, and how often op was called."""
    calls = []

    def op(left, right):
        calls.append(1)
        return (right[0] @ left[0],)

    (found,) = kata.associative_scan(op, (matrices,))
    return found, len(calls)


@probe("associative_scan")
def _(kata, rng):
    matrices, _ = torch.linalg.qr(
        torch.randn(36 + sizes(rng, 1)[0], 3, 3, generator=rng)
    )
    return list(scanned(kata, matrices))


@judge("associative_scan")
def _(values, expected):
    found, calls = values
    return [found, calls <= 13]


@probe("delta_step")
def _(kata, rng):
    q, k, v, beta, g = (x[:, :, 0] for x in tokens(rng, 1))
    return list(kata.delta_step(a_state(rng, q, v), q, k, v, beta, g))


@probe("delta_chunked")
def _(kata, rng):
    drawn = tokens(rng, 20 + sizes(rng, 1)[0])
    found = list(kata.delta_chunked(*drawn))
    return found + list(
        kata.delta_chunked(*drawn, sizes(rng, 1)[0], a_state(rng, drawn[0], drawn[2]))
    )


def a_layer(kata, rng):
    """A layer of drawn sizes, with drawn parameters of a size at which no eps of a norm
    shows: queries meet keys.
    """
    heads, features, width = sizes(rng, 3, 2, 20)
    layer = kata.GatedDeltaNet(heads * features, heads, width)
    with torch.no_grad():
        for name, parameter in sorted(layer.named_parameters()):
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
            if name == "qkv.weight":
                parameter[: 2 * heads * features, 0] += 5
                parameter[2 * heads * features :, 0] += 1000
            if name == "conv":
                parameter.abs_().add_(0.1)
            if name == "beta.bias":
                parameter.add_(2)
    return layer, heads * features


@probe("GatedDeltaNet.__init__")
def _(kata, rng):
    heads, features, width = sizes(rng, 3, 2, 20)
    layer = kata.GatedDeltaNet(heads * features, heads, width)
    state = layer.state_dict()
    found = sorted((name, tuple(value.shape)) for name, value in state.items())
    return [found, state["decay.bias"]]


@probe("GatedDeltaNet.forward")
def _(kata, rng):
    layer, features = a_layer(kata, rng)
    x = torch.randn(2, 20, features, generator=rng)
    x[..., 0] = 1
    return layer(x)


@probe("decoding_bytes")
def _(kata, rng):
    found = []
    for layers in ("L", "W", "A", "LLWA"):
        T, window = torch.randint(100, 999, (2,), generator=rng).tolist()
        found.append(kata.decoding_bytes(layers, T, *sizes(rng, 3, 2, 20), window))
    return found
