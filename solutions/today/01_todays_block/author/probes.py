"""Questions that the specs of today/01 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def sizes(count, rng):
    return torch.randint(1, 5, (count,), generator=rng).tolist()


@probe("rms_norm")
def _(kata, rng):
    x, weight = torch.randn(3, 2, 9, generator=rng), torch.randn(9, generator=rng)
    eps = float(torch.rand((), generator=rng))
    return [
        kata.rms_norm(x),
        kata.rms_norm(x + 3, weight),
        kata.rms_norm(x, weight, eps),
    ]


@probe("qk_norm")
def _(kata, rng):
    groups, heads, width = sizes(3, rng)
    q, k = (
        torch.randn(2, groups * heads, 3, 2 * width, generator=rng),
        torch.randn(2, heads, 3, 2 * width, generator=rng),
    )
    weights = torch.randn(2, 2 * width, generator=rng)
    return list(kata.qk_norm(q, k, weights[0], weights[1], 0.1))


@probe("rope_half")
def _(kata, rng):
    heads, half = sizes(2, rng)
    x, inv_freq = (
        torch.randn(3, heads, 4, 2 * half, generator=rng),
        torch.rand(half, generator=rng),
    )
    positions, scale = (
        torch.randint(50, (3, 4), generator=rng),
        1 + float(torch.rand((), generator=rng)),
    )
    return [
        kata.rope_half(x, positions[0], inv_freq),
        kata.rope_half(x, positions, inv_freq, scale),
    ]


@probe("yarn_frequencies")
def _(kata, rng):
    found = []
    for _ in range(3):
        width, length, fast = (
            torch.randint(1, 9, (3,), generator=rng) * torch.tensor([8, 128, 4])
        ).tolist()
        factor = 1.5 + 8 * float(torch.rand((), generator=rng))
        found += kata.yarn_frequencies(
            width + 8, 10000.0, factor, length, fast + 4.5, 1.25
        )
    return found


@probe("swiglu")
def _(kata, rng):
    width, hidden = sizes(2, rng)
    shapes = ((3, 2, width), (hidden, width), (hidden, width), (width, hidden))
    return kata.swiglu(*(torch.randn(shape, generator=rng) for shape in shapes))


@probe("gqa_attention")
def _(kata, rng):
    groups, heads, t_q, older = sizes(4, rng)
    q = torch.randn(2, groups * heads, t_q, 6, generator=rng)
    k, v = torch.randn(2, 2, heads, t_q + older, 6, generator=rng)
    mask = torch.rand(t_q, t_q + older, generator=rng) < 0.5
    mask[:, 0] = True
    return [kata.gqa_attention(q, k, v), kata.gqa_attention(q, k, v, mask)]


def a_config(kata, rng):
    groups, heads, half, layers = sizes(4, rng)
    config = {
        "n_head": groups * heads,
        "n_kv_head": heads,
        "n_embd": 2 * half * groups * heads,
    }
    config |= {
        "n_hidden": int(torch.randint(3, 99, (), generator=rng)),
        "n_layer": layers,
        "vocab_size": 13 + half,
    }
    return kata.DecoderConfig(**config, eps=0.01, qk_norm=bool(half % 2)), half


def filled(module, rng):
    """The module with drawn parameters, whatever the order in which they were made."""
    with torch.no_grad():
        for _, parameter in sorted(module.named_parameters()):
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return module


@probe("Block.__init__")
def _(kata, rng):
    config, _ = a_config(kata, rng)
    state = kata.Block(config).state_dict()
    return sorted((name, tuple(tensor.shape)) for name, tensor in state.items())


@probe("Block.forward")
def _(kata, rng):
    config, half = a_config(kata, rng)
    block = filled(kata.Block(config), rng)
    x, inv_freq = (
        torch.randn(2, 4, config.n_embd, generator=rng),
        torch.rand(half, generator=rng),
    )
    positions = torch.randint(20, (2, 4), generator=rng)
    return block(x, positions, inv_freq, 1.5)


@probe("load_llama")
def _(kata, rng):
    groups, heads, half, layers = sizes(4, rng)
    c, d, m, v = 2 * half * groups * heads, 2 * half, 5 + layers, 11 + half
    config = {
        "hidden_size": c,
        "intermediate_size": m,
        "num_hidden_layers": layers,
        "vocab_size": v,
    }
    config |= {
        "num_attention_heads": groups * heads,
        "num_key_value_heads": heads,
        "rms_norm_eps": 1e-3,
    }
    config |= {
        "rope_parameters": {
            "rope_theta": 50 + 100 * float(torch.rand((), generator=rng))
        }
    }
    shapes = {
        "model.embed_tokens.weight": (v, c),
        "model.norm.weight": (c,),
        "lm_head.weight": (v, c),
    }
    for i in range(layers):
        of_block = {
            "input_layernorm": (c,),
            "post_attention_layernorm": (c,),
            "self_attn.q_proj": (c, c),
        }
        of_block |= {
            "self_attn.k_proj": (heads * d, c),
            "self_attn.v_proj": (heads * d, c),
            "self_attn.o_proj": (c, c),
        }
        of_block |= {
            "mlp.gate_proj": (m, c),
            "mlp.up_proj": (m, c),
            "mlp.down_proj": (c, m),
        }
        shapes |= {
            f"model.layers.{i}.{name}.weight": shape for name, shape in of_block.items()
        }
    state = {
        name: 0.3 * torch.randn(shape, generator=rng) for name, shape in shapes.items()
    }
    return kata.load_llama(config, state)(torch.randint(v, (2, 5), generator=rng))
