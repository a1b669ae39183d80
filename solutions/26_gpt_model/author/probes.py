"""Questions that the specs of 26 cannot ask from another process: their oracles are
built on the layers' own weights.

Others ask only about inputs that are known.
"""

import torch

from grader.lock.probes import judge, probe


@probe("gelu_tanh")
def _(kata, rng):
    return kata.gelu_tanh(3 * torch.randn(40, generator=rng))


@probe("MLP")
def _(kata, rng):
    layer = kata.MLP(kata.GPTConfig(n_embd=8, dropout=0.0))
    with torch.no_grad():
        for _, parameter in sorted(layer.named_parameters()):
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return layer(torch.randn(2, 3, 8, generator=rng))


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


@probe("GPT.__init__")
def _(kata, rng):
    """A head that shares its weight changes with the embedding."""
    model = a_model(kata, rng)
    drawn = {name: x.clone() for name, x in model.state_dict().items()}
    with torch.no_grad():
        model.transformer.wte.weight[:] = torch.randn(13, 1, generator=rng)
    shared = model.lm_head.weight.detach()
    count = len(list(model.parameters()))
    return [drawn, count, len(model.transformer.h), shared]


@judge("GPT.__init__")
def _(values, expected):
    drawn, *told = values
    for name, p in sorted(drawn.items()):
        small = 0.02 * (2 * expected[2]) ** (-0.5 if "c_proj" in name else 0)
        near = abs(p.std() / small - 1) < 0.3 and abs(p.mean()) < small
        told.append(p if p.ndim == 1 else near)
    return told


@probe("GPT.num_params")
def _(kata, rng):
    model = a_model(kata, rng)
    return [model.num_params(), model.num_params(non_embedding=True)]


@probe("gpt2_config")
def _(kata, rng):
    names, fields = (
        ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"),
        "n_layer n_head n_embd vocab_size block_size bias",
    )
    configs = [
        kata.gpt2_config(names[i]) for i in torch.randint(4, (12,), generator=rng)
    ]
    return [getattr(config, field) for config in configs for field in fields.split()]
