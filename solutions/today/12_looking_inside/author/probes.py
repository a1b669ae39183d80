"""Questions that the specs of today/12 ask only about inputs that are known, or cannot
ask from another process.
"""

import torch

from grader.lock.probes import judge, probe


def sizes(rng, count, low=2, high=6):
    return torch.randint(low, high, (count,), generator=rng).tolist()


def doubles(rng, *shape):
    return torch.randn(shape, generator=rng, dtype=torch.float64)


def a_gpt(kata, layers, heads, seed):
    """A GPT of drawn weights beside the code."""
    import torch

    source = torch.Generator().manual_seed(seed)
    model = kata.GPT(
        kata.GPTConfig(
            block_size=8, vocab_size=9, n_layer=layers, n_head=heads, n_embd=4 * heads
        )
    )
    with torch.no_grad():
        for _, parameter in sorted(model.double().named_parameters()):
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=source))
    return model.eval()


def cached(kata, layers, heads, seed, tokens, names):
    """Logits and entries in the order of names, and how many hooks are left."""
    model = a_gpt(kata, layers, heads, seed)
    logits, cache = kata.run_with_cache(model, tokens, names)
    hooks = sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for module in model.modules()
    )
    return [logits.detach(), *(cache[name] for name in names), hooks]


@probe("run_with_cache")
def _(kata, rng):
    layers, heads, rows, seed = sizes(rng, 4)
    names = [
        "transformer.wte",
        "lm_head",
        *(f"transformer.h.{i}.attn" for i in range(layers)),
    ]
    tokens = torch.randint(9, (rows, 7), generator=rng)
    return cached(kata, layers, heads, seed, tokens, names)


def apart(kata, heads, weights, x):
    layer = (
        kata.CausalSelfAttention(
            kata.GPTConfig(block_size=8, n_head=heads, n_embd=x.size(-1))
        )
        .double()
        .eval()
    )
    layer.load_state_dict(weights)
    return kata.head_outputs(layer, x).detach()


@probe("head_outputs")
def _(kata, rng):
    heads, features, rows = sizes(rng, 3)
    c = heads * features
    shapes = {
        "c_attn.weight": (3 * c, c),
        "c_attn.bias": (3 * c,),
        "c_proj.weight": (c, c),
        "c_proj.bias": (c,),
    }
    weights = {name: doubles(rng, *shape) for name, shape in shapes.items()}
    return apart(kata, heads, weights, doubles(rng, rows, 7, c))


def shares(kata, parts, weight, bias, direction):
    import torch

    norm = torch.nn.LayerNorm(len(weight), eps=0.2, dtype=torch.float64)
    norm.load_state_dict({"weight": weight, "bias": bias})
    return kata.logit_shares(parts, norm, direction).detach()


@probe("logit_shares")
def _(kata, rng):
    count, rows, c = sizes(rng, 3, 3, 9)
    parts = [doubles(rng, rows, c) + i for i in range(count)]
    return shares(kata, parts, doubles(rng, c), doubles(rng, c), doubles(rng, rows, c))


@probe("induction_score")
def _(kata, rng):
    rows, heads = sizes(rng, 2)
    weights = doubles(rng, rows, heads, 9, 9).softmax(-1).tril()
    return kata.induction_score(weights, torch.randint(4, (rows, 9), generator=rng))


def patched(kata, layers, heads, seed, clean, corrupt, places):
    model = a_gpt(kata, layers, heads, seed)
    return kata.patch_heads(
        model, clean, corrupt, lambda logits: logits.flatten(1)[:, places].sum()
    ).double()


@probe("patch_heads")
def _(kata, rng):
    layers, heads, rows, seed = sizes(rng, 4)
    clean, corrupt = torch.randint(9, (2, rows, 7), generator=rng)
    places = torch.randperm(63, generator=rng)[:9]
    return patched(kata, layers, heads, seed, clean, corrupt, places)


@probe("probe")
def _(kata, rng):
    """Accuracy is the reference's. The control has drawn labels: it is held to what its
    features can tell.
    """
    types, labels = (torch.randint(count, (500,), generator=rng) for count in (20, 4))
    train = torch.rand(500, generator=rng) < 0.6
    words, noisy = (
        torch.nn.functional.one_hot(types, 20),
        torch.nn.functional.one_hot(labels, 4),
    )
    noisy = noisy + 0.8 * torch.randn(500, 4, generator=rng)
    accuracy, control = kata.probe(noisy, labels, types, train)
    _, known = kata.probe(words, labels, types, train)
    return [accuracy, control, known]


@judge("probe")
def _(values, expected):
    accuracy, control, known = values
    return [round(accuracy, 4), control < 0.7, round(known, 4)]


def without(kata, layers, heads, seed, tokens, places):
    model = a_gpt(kata, layers, heads, seed)
    found = [
        kata.ablate_heads(model, tokens, lambda x: x.flatten(1)[:, places].sum(), how)
        for how in ("zero", "mean")
    ]
    return [each.double() for each in found]


@probe("ablate_heads")
def _(kata, rng):
    layers, heads, rows, seed = sizes(rng, 4)
    tokens, places = (
        torch.randint(9, (rows, 7), generator=rng),
        torch.randperm(63, generator=rng)[:9],
    )
    return without(kata, layers, heads, seed, tokens, places)


def coded(kata, weights, k, x):
    model = kata.TopKAutoencoder(
        weights["bias"].numel(), len(weights["encoder"]), k
    ).double()
    model.load_state_dict(weights)
    found = [model.encode(x), *model(x)]
    model.normalise()
    return [each.detach() for each in (*found, model.decoder)]


@probe("TopKAutoencoder")
def _(kata, rng):
    features, k, more = sizes(rng, 3)
    shapes = {
        "bias": (features,),
        "encoder": (k + more, features),
        "decoder": (k + more, features),
    }
    weights = {name: doubles(rng, *shape) for name, shape in shapes.items()}
    return coded(kata, weights, k, doubles(rng, 6, features))
