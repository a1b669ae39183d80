"""Questions that the specs of 26 cannot ask from another process: their oracles are
built on the layers' own weights.

Others ask only about inputs that are known.
"""

import torch

from grader.lock.probes import fill, integers, judge, probe


@probe("gelu_tanh")
def _(kata, rng):
    return kata.gelu_tanh(3 * torch.randn(40, generator=rng))


@probe("MLP")
def _(kata, rng):
    layer = fill(kata.MLP(kata.GPTConfig(n_embd=8, dropout=0.5)), rng).eval()
    return layer(torch.randn(2, 3, 8, generator=rng)).detach()


def a_config(kata, rng):
    blocks, layers, heads = integers(rng, 3, 1, 4)
    sizes = {"n_layer": layers, "n_head": heads, "n_embd": 24 * heads}
    return kata.GPTConfig(block_size=20 * blocks, vocab_size=23, **sizes)


@probe("GPT.__init__")
def _(kata, rng):
    """Start values of two models, and what is read in one place after it was written in
    another.
    """
    config = a_config(kata, rng)
    models = kata.GPT(config), kata.GPT(config)
    kept = [str(model.config) for model in models]
    starts = [{k: x.clone() for k, x in m.state_dict().items()} for m in models]
    models[0].lm_head.weight.data = torch.randn(23, config.n_embd, generator=rng)
    return [kept, starts, models[0].transformer.wte.weight.detach()]


@judge("GPT.__init__")
def _(values, expected):
    """Vectors are compared, matrices by how they are spread."""
    kept, (first, second), tied = values
    found = [kept, tied]
    for name, wanted in expected[1][0].items():
        x, std = first[name], wanted.std()
        if x.ndim == 1:
            found.append(x)
        else:
            even = torch.special.ndtr(x / std).flatten().sort().values
            far = (even - torch.linspace(0, 1, len(even))).abs().max()
            near = bool(far < 0.15), bool(0.78 < x.std() / std < 1.28)
            found.append([near, torch.equal(x, second[name])])
    return found


@probe("GPT.num_params")
def _(kata, rng):
    model = kata.GPT(a_config(kata, rng))
    return [model.num_params(), model.num_params(non_embedding=True)]


@probe("gpt2_config")
def _(kata, rng):
    """The sizes of drawn models; each config is written to before the next one."""
    names, found = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"), []
    fields = "n_layer n_head n_embd vocab_size block_size".split()
    for place in integers(rng, 12, 0, 4):
        config = kata.gpt2_config(names[place])
        found.append([getattr(config, field) for field in fields])
        config.n_layer = place
    return found


def a_model(kata, rng):
    blocks, layers, heads = torch.randint(1, 6, (3,), generator=rng).tolist()
    return kata.GPT(
        kata.GPTConfig(
            block_size=3 * blocks,
            vocab_size=13,
            n_layer=layers,
            n_head=heads,
            n_embd=8 * heads,
        )
    )


def small(kata, **options):
    sizes = {"block_size": 9, "vocab_size": 7, "n_layer": 2, "n_head": 2, "n_embd": 8}
    return kata.GPTConfig(**sizes, **options)


@probe("Block")
def _(kata, rng):
    found, x = [], torch.randn(2, 5, 8, generator=rng)
    for bias in (True, False):
        block = kata.Block(small(kata, bias=bias))
        fill(block, rng)
        names = sorted((name, tuple(p.shape)) for name, p in block.named_parameters())
        cache = kata.LayerCache()
        parts = [block(part, cache).detach() for part in (x[:, :3], x[:, 3:])]
        found += [names, block(x).detach(), *parts]
    return found


@probe("GPT.forward")
def _(kata, rng):
    """Dropout near 1 drops everything, so that draws decide nothing."""
    model = kata.GPT(small(kata, dropout=1 - 1e-7))
    fill(model.transformer, rng)
    ids, targets = torch.randint(7, (2, 2, 6), generator=rng)
    targets[0, :2] = -100
    dropped = model(ids)[0].detach()
    logits, loss = model.eval()(ids, targets)
    cache, parts = [kata.LayerCache() for _ in model.transformer.h], []
    for part in ids.split([3, 1, 2], dim=1):
        parts.append(model(part, cache=cache)[0].detach())
    return [dropped, logits.detach(), loss.detach(), model(ids)[1], parts]


@probe("new_cache")
def _(kata, rng):
    """Each cache takes its own number of positions."""
    model = a_model(kata, rng)
    caches, lengths = kata.new_cache(model), []
    for n, cache in enumerate(caches, start=1):
        cache.append(*torch.randn(2, 1, 1, n, 2, generator=rng))
        lengths += [len(cache), cache.k]
    return [lengths, [len(cache) for cache in caches]]


@probe("parameter_count")
def _(kata, rng):
    found = []
    for bias in (True, False):
        layers, heads, width, block, vocabulary = torch.randint(
            1, 9, (5,), generator=rng
        ).tolist()
        sizes = {"n_layer": layers, "n_head": heads, "n_embd": 8 * heads * width}
        sizes |= {"block_size": block, "vocab_size": 10000 * vocabulary, "bias": bias}
        found.append(kata.parameter_count(kata.GPTConfig(**sizes)))
    return found
