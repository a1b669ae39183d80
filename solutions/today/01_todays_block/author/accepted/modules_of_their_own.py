# Attention and MLP as modules with a forward of their own, nn.RMSNorm in the block,
# SDPA with enable_gqa, loading by hand.


def rotate_half(x):
    first, second = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-second, first), dim=-1)


def rope_half(x, positions, inv_freq, scale=1.0):
    assert x.shape[-1] % 2 == 0, f"odd width {x.shape[-1]}"
    angles = positions[..., None].float() * inv_freq.float()
    angles = torch.cat((angles, angles), dim=-1)
    if angles.ndim == 3:
        angles = angles[:, None]
    turned = x * (angles.cos() * scale) + rotate_half(x) * (angles.sin() * scale)
    return turned.to(x.dtype)


def gqa_attention(q, k, v, mask=None):
    if q.size(1) % k.size(1):
        raise ValueError(f"H = {q.size(1)}, H_kv = {k.size(1)}")
    if mask is not None:
        return F.scaled_dot_product_attention(q, k, v, mask, enable_gqa=True)
    allowed = torch.ones(
        k.size(2), k.size(2), dtype=torch.bool, device=q.device
    ).tril()[-q.size(2) :]
    return F.scaled_dot_product_attention(q, k, v, allowed, enable_gqa=True)


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads, self.kv_heads, width = (
            config.n_head,
            config.n_kv_head,
            config.head_dim,
        )
        self.q_proj = nn.Linear(config.n_embd, self.heads * width, bias=False)
        self.k_proj = nn.Linear(config.n_embd, self.kv_heads * width, bias=False)
        self.v_proj = nn.Linear(config.n_embd, self.kv_heads * width, bias=False)
        self.o_proj = nn.Linear(self.heads * width, config.n_embd, bias=False)
        self.q_norm = nn.RMSNorm(width, eps=config.eps) if config.qk_norm else None
        self.k_norm = nn.RMSNorm(width, eps=config.eps) if config.qk_norm else None

    def forward(self, x, positions, inv_freq, scale, mask):
        rows, length, _ = x.shape
        q = self.q_proj(x).reshape(rows, length, self.heads, -1).permute(0, 2, 1, 3)
        k = self.k_proj(x).reshape(rows, length, self.kv_heads, -1).permute(0, 2, 1, 3)
        v = self.v_proj(x).reshape(rows, length, self.kv_heads, -1).permute(0, 2, 1, 3)
        if self.q_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = (rope_half(part, positions, inv_freq, scale) for part in (q, k))
        return self.o_proj(
            gqa_attention(q, k, v, mask).permute(0, 2, 1, 3).reshape(rows, length, -1)
        )


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.gate_proj = nn.Linear(config.n_embd, config.n_hidden, bias=False)
        self.up_proj = nn.Linear(config.n_embd, config.n_hidden, bias=False)
        self.down_proj = nn.Linear(config.n_hidden, config.n_embd, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.n_embd, eps=config.eps)
        self.post_attention_layernorm = nn.RMSNorm(config.n_embd, eps=config.eps)

    def forward(self, x, positions, inv_freq, scale=1.0, mask=None):
        x = x + self.self_attn(
            self.input_layernorm(x), positions, inv_freq, scale, mask
        )
        x = x + self.mlp(self.post_attention_layernorm(x))
        return x


def load_llama(hf_config, state):
    rope = dict(hf_config.get("rope_parameters") or hf_config.get("rope_scaling") or {})
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"rope of type {rope['rope_type']}")
    if {
        rope.get("partial_rotary_factor", 1.0),
        hf_config.get("partial_rotary_factor", 1.0),
    } != {1.0}:
        raise ValueError("partial_rotary_factor")
    base = 10000.0
    if "rope_theta" in hf_config:
        base = hf_config["rope_theta"]
    elif "rope_theta" in rope:
        base = rope["rope_theta"]
    names = {
        "n_embd": "hidden_size",
        "n_hidden": "intermediate_size",
        "n_layer": "num_hidden_layers",
        "n_head": "num_attention_heads",
        "n_kv_head": "num_key_value_heads",
        "vocab_size": "vocab_size",
        "eps": "rms_norm_eps",
    }
    sizes = {ours: hf_config[theirs] for ours, theirs in names.items()}
    tied = bool(hf_config.get("tie_word_embeddings"))
    normed = "model.layers.0.self_attn.q_norm.weight" in state
    width = hf_config.get("head_dim") or sizes["n_embd"] // sizes["n_head"]
    model = Decoder(
        DecoderConfig(
            **sizes, rope_base=base, tied=tied, qk_norm=normed, head_dim=width
        )
    )
    given = {n: t for n, t in state.items() if "rotary_emb.inv_freq" not in n}
    own = dict(model.named_parameters())
    if tied:
        given.pop("lm_head.weight", None)
    if own.keys() != given.keys():
        raise KeyError(f"not in both: {sorted(own.keys() ^ given.keys())}")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != given[name].shape:
                raise ValueError(
                    f"{name} is {tuple(given[name].shape)}, not "
                    f"{tuple(parameter.shape)}"
                )
            parameter.copy_(given[name])
    return model
