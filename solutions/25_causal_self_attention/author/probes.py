"""Questions that the specs of 25 ask only about sizes that are known."""

import torch

from grader.lock.probes import fill, judge, probe


@probe("CausalSelfAttention.__init__")
def _(kata, rng):
    found = []
    for heads, size in torch.randint(1, 9, (2, 2), generator=rng).tolist():
        config = kata.GPTConfig(
            n_head=heads, n_embd=heads * size, bias=size % 2 == 0, dropout=size / 10
        )
        layer = kata.CausalSelfAttention(config, flash=heads % 2 == 0)
        shapes = sorted(
            (name, tuple(parameter.shape))
            for name, parameter in layer.state_dict().items()
        )
        found.append([shapes, layer.flash, layer.resid_dropout.p])
    return found


@probe("score_bytes")
def _(kata, rng):
    sizes = torch.randint(1, 2000, (4, 3), generator=rng).tolist()
    kinds = (torch.float64, torch.float32, torch.bfloat16, torch.int8)
    return [
        kata.score_bytes(*three, kind) for three, kind in zip(sizes, kinds, strict=True)
    ]


def seen(rng, out, *leaves):
    """The numbers of a result, and the gradients of these leaves."""
    gradients = torch.autograd.grad(out, leaves, torch.randn(out.shape, generator=rng))
    return [out.detach(), gradients]


@probe("causal_mask")
def _(kata, rng):
    n, more = torch.randint(2, 9, (2,), generator=rng).tolist()
    return [kata.causal_mask(n, n), kata.causal_mask(n, n + more)]


def some_qkv(rng, queries=4, keys=4):
    shapes = (2, 3, queries, 5), (2, 3, keys, 5), (2, 3, keys, 5)
    return [torch.randn(shape, generator=rng).requires_grad_() for shape in shapes]


@probe("manual_attention")
def _(kata, rng):
    """Dropped by half, a weight is 0 or twice as large: that says which are left."""
    found = []
    for given in (some_qkv(rng), some_qkv(rng, 2, 6)):
        out, weights = kata.manual_attention(*given, return_weights=True)
        found += [weights.detach(), *seen(rng, out, *given)]
    q, k, _ = some_qkv(rng)
    v = torch.eye(4).expand(2, 3, 4, 4)
    dropped, weights = kata.manual_attention(q, k, v, 0.5, return_weights=True)
    return [found, weights.detach(), dropped.detach()]


@judge("manual_attention")
def _(values, expected):
    found, weights, dropped = values
    kept = dropped / weights.clamp(min=1e-9) / 2
    share = kept.sum() / (weights > 1e-6).sum()
    return [found, weights, abs(share - 0.5) < 0.25, (kept * (1 - kept)).abs() < 1e-3]


@probe("flash_attention")
def _(kata, rng):
    found = []
    for given in (some_qkv(rng), some_qkv(rng, 2, 6), some_qkv(rng, 1, 5)):
        found += seen(rng, kata.flash_attention(*given), *given)
    return found


@probe("LayerCache")
def _(kata, rng):
    cache, other, found = kata.LayerCache(), kata.LayerCache(), []
    for n in torch.randint(1, 4, (3,), generator=rng).tolist():
        k, v = torch.randn(2, 2, 3, n, 4, generator=rng)
        found += [*cache.append(k, v), cache.k, cache.v, len(cache), len(other)]
    return found


@probe("CausalSelfAttention.forward")
def _(kata, rng):
    """Dropout near 1 drops everything, so that draws decide nothing."""
    found, x = [], torch.randn(2, 6, 12, generator=rng)
    for flash in (True, False):
        config = kata.GPTConfig(block_size=8, n_head=3, n_embd=12, dropout=1 - 1e-7)
        layer = kata.CausalSelfAttention(config, flash)
        fill(layer, rng)
        found += [layer(x).detach(), layer.eval()(x).detach()]
        cache = kata.LayerCache()
        cut = int(torch.randint(1, 5, (), generator=rng))
        found += [layer(part, cache).detach() for part in (x[:, :cut], x[:, cut:])]
        layer.train().resid_dropout.eval()
        found.append(layer(x).detach())
    return found
