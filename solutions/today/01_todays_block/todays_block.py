"""The block that Llama and Qwen share: RMSNorm, rotary positions, a gated MLP, key
heads shared by groups of heads.

Sizes: B rows of T tokens, C = n_embd features, M = n_hidden, V = vocab_size. There are
H = n_head query heads and H_kv = n_kv_head key heads, each with D = C / H features.
Names are Llama's own in Hugging Face's files.
"""

import math  # stub: keep
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # stub: keep
from torch import Tensor, nn


@dataclass
class DecoderConfig:
    """The sizes of a decoder. Given: nothing to write here."""

    vocab_size: int = 97
    n_layer: int = 2
    n_head: int = 4  # H, of queries
    n_kv_head: int = 2  # H_kv, of keys and values; a divisor of n_head
    n_embd: int = 64  # C
    n_hidden: int = 176  # M, the width of the MLP
    rope_base: float = 10000.0
    eps: float = 1e-5  # of every norm
    qk_norm: bool = False  # whether queries and keys are normalised
    tied: bool = False  # whether lm_head and embed_tokens share one weight
    head_dim: int = 0  # D; 0 stands for C / H

    def __post_init__(self) -> None:
        self.head_dim = self.head_dim or self.n_embd // self.n_head


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Divide every row by its root mean square.

    Args:
        x: (…, C).
        weight: (C,), multiplied at the end; None = 1.
        eps: keeps a row of zeros from dividing by 0.
    Returns:
        The shape of x: x / √(mean(x²) + eps) · weight, with the mean over the
        last dimension.
        [3, 4] becomes about [0.8485, 1.1314], whose squares have the mean 1.

    Unlike layer norm it subtracts no mean and adds no bias. Write it without F.rms_norm
    and nn.RMSNorm.

    Edge cases ★
        Half precision is computed in float32, cast back, and then multiplied by the
        weight. x is not changed.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    normed = (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps)).to(
        x.dtype
    )
    return normed if weight is None else normed * weight


class RMSNorm(nn.Module):
    """`rms_norm` as a layer: its only parameter is `weight`, (dim,). Given: nothing to
    write here.
    """

    def __init__(self, dim: int, eps: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


def qk_norm(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, eps: float = 1e-6
) -> tuple[Tensor, Tensor]:
    """Normalise each head of the queries and keys by itself, so that no score can
    outgrow √D.

    Args:
        q: (B, H, T, D).
        k: (B, H_kv, T, D).
        q_weight, k_weight: (D,), the same for all heads.
        eps: as in `rms_norm`.
    Returns:
        (q, k), each with its shape: `rms_norm` over the D features of one head at
        one position.
    """
    return rms_norm(q, q_weight, eps), rms_norm(k, k_weight, eps)


def rope_half(
    x: Tensor, positions: Tensor, inv_freq: Tensor, scale: float = 1.0
) -> Tensor:
    """Turn queries or keys by angles that grow with the position. Features i and
    i + D/2 are a pair.

    Args:
        x: (B, H, T, D).
        positions: (T,), or (B, T) where rows differ; integers.
        inv_freq: (D/2,), how far pair i turns per position.
        scale: multiplies cos and sin; YaRN uses it.
    Returns:
        The shape of x. A pair (a, b) turns by the angle t = position · inv_freq[i]: a
        cos t − b sin t goes to place i, b cos t + a sin t to place i + D/2. At position
        1, with inv_freq [π/2, 0], [1, 2, 3, 4] becomes [−3, 2, 1, 4].

    18's `apply_rope` pairs neighbours instead. Llama's weights in Hugging Face's files
    need halves.

    Edge cases ★
        Angles are computed in at least float32, and the result has the dtype of x. An
        odd D is an error that names it.
    """
    if x.size(-1) % 2:
        raise ValueError(
            f"the features of a head come in pairs, and {x.size(-1)} is odd"
        )
    wide = torch.promote_types(inv_freq.dtype, torch.float32)
    # (1, T, D/2) or (B, 1, T, D/2)
    angles = (positions.unsqueeze(-1) * inv_freq.to(wide)).unsqueeze(-3)
    cos, sin = angles.cos() * scale, angles.sin() * scale
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1).to(x.dtype)


def yarn_frequencies(
    head_dim: int,
    base: float,
    factor: float,
    original_len: int,
    beta_fast: float = 32.0,
    beta_slow: float = 1.0,
) -> tuple[Tensor, float]:
    """Stretch slow rotations to a context `factor` times as long, and leave fast
    ones alone.

    Args:
        head_dim: D.
        base: of the frequencies θ_i = base^(−2i / D), for i = 0 … D/2 − 1.
        factor: how many times longer than in training.
        original_len: L, the trained length.
        beta_fast, beta_slow: pairs that turn more often than this within L stay, those
            that turn less are divided.
    Returns:
        (inv_freq, scale) for `rope_half`: a float32 tensor (D/2,) and a float.

        - dim(r) = D · ln(L / (2πr)) / (2 ln base).
        - low = max(⌊dim(beta_fast)⌋, 0), high = min(⌈dim(beta_slow)⌉, D − 1), plus
          0.001 if equal.
        - ramp_i = (i − low) / (high − low), clamped to 0 … 1.
        - inv_freq = θ · (1 − ramp) + θ / factor · ramp.
        - scale = 0.1 · ln(factor) + 1, and 1 for factor ≤ 1.
    """
    pairs = torch.arange(head_dim // 2, dtype=torch.float64)
    theta = base ** (-2 * pairs / head_dim)
    low, high = (
        head_dim * math.log(original_len / (2 * math.pi * turns)) / (2 * math.log(base))
        for turns in (beta_fast, beta_slow)
    )
    low, high = max(math.floor(low), 0), min(math.ceil(high), head_dim - 1)
    ramp = ((pairs - low) / (high - low or 0.001)).clamp(0, 1)
    inv_freq = theta * (1 - ramp) + theta / factor * ramp
    return inv_freq.float(), 0.1 * math.log(factor) + 1 if factor > 1 else 1.0


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """Process each position with a gated MLP: one projection decides how much of the
    other passes.

    Args:
        x: (…, C).
        w_gate, w_up: (M, C), as nn.Linear holds a weight.
        w_down: (C, M).
    Returns:
        (…, C): (silu(x w_gateᵀ) · (x w_upᵀ)) w_downᵀ, where silu(z) = z · sigmoid(z)
        and · is element by element.
        With C = M = 1, x = 2 and all weights 1: silu(2) · 2 = 3.523.

    Source: Shazeer 2020.
    """
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down)


def gqa_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Attend with more query heads than key heads: neighbouring query heads share one.

    Args:
        q: (B, H, T_q, D) queries, the last T_q of the T_k positions.
        k, v: (B, H_kv, T_k, D), where H_kv divides H.
        mask: bool, True = may attend, broadcastable to (B, H, T_q, T_k). It replaces
            the causal mask. None = causal: query i sees keys 0 … i + (T_k − T_q).
    Returns:
        (B, H, T_q, D): softmax(q kᵀ / √D) v. Query head h reads key head h //
        (H / H_kv): with H = 6 and H_kv = 2, heads 0, 1, 2 read head 0, and 3, 4, 5 read
        head 1.

    Any function of PyTorch is allowed.

    Edge cases ★
        An H that H_kv does not divide is an error that names both.
    """
    if q.size(1) % k.size(1):
        raise ValueError(
            f"{q.size(1)} query heads cannot share {k.size(1)} key heads evenly"
        )
    groups = q.size(1) // k.size(1)
    k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
    if mask is None:
        mask = torch.ones(q.size(2), k.size(2), dtype=torch.bool, device=q.device).tril(
            k.size(2) - q.size(2)
        )
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class Block(nn.Module):
    """One layer of today's models: attention, then a gated MLP, each normalised first
    and added.
    """

    def __init__(self, config: DecoderConfig):
        """Create the parts under Llama's names.

        Args:
            config: uses n_embd (C), n_head (H), n_kv_head (H_kv), n_hidden (M), eps and
                qk_norm; kept as `self.config`.

        Attributes, where a Linear is an nn.Linear without bias, and a norm an `RMSNorm`
            with config.eps: input_layernorm, post_attention_layernorm: norms of
            C features.
            self_attn: holds the Linears q_proj (C to H·D), k_proj and v_proj
                (C to H_kv·D), o_proj (H·D to C), and only if config.qk_norm the norms
                q_norm and k_norm of D features.
            mlp: holds the Linears gate_proj and up_proj (C to M) and
            down_proj (M to C).

        self_attn and mlp may be an nn.ModuleDict or modules of your own. The state dict
        has names such as "self_attn.q_proj.weight", and no others.

        Edge cases ★
            D is config.head_dim, which may be set to another number than C / H, as Qwen
            3 has it.
        """
        super().__init__()
        self.config = config
        c, d = config.n_embd, config.head_dim
        self.input_layernorm = RMSNorm(c, config.eps)
        self.self_attn = nn.ModuleDict(
            {
                "q_proj": nn.Linear(c, config.n_head * d, bias=False),
                "k_proj": nn.Linear(c, config.n_kv_head * d, bias=False),
                "v_proj": nn.Linear(c, config.n_kv_head * d, bias=False),
                "o_proj": nn.Linear(config.n_head * d, c, bias=False),
            }
        )
        if config.qk_norm:
            self.self_attn["q_norm"] = RMSNorm(d, config.eps)
            self.self_attn["k_norm"] = RMSNorm(d, config.eps)
        self.post_attention_layernorm = RMSNorm(c, config.eps)
        self.mlp = nn.ModuleDict(
            {
                "gate_proj": nn.Linear(c, config.n_hidden, bias=False),
                "up_proj": nn.Linear(c, config.n_hidden, bias=False),
                "down_proj": nn.Linear(config.n_hidden, c, bias=False),
            }
        )

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        inv_freq: Tensor,
        scale: float = 1.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Let every position read the earlier ones, then process each by itself.

        Args:
            x: (B, T, C).
            positions: (T,) or (B, T), for `rope_half`, as are inv_freq (D/2,)
                and scale.
            mask: for `gqa_attention`.
        Returns:
            (B, T, C): x = x + attention(input_layernorm(x)), then x = x +
            mlp(post_attention_layernorm(x)).

        Attention: q, k and v in heads, (B, H, T, D) and (B, H_kv, T, D); with qk_norm,
        `qk_norm` of q and k with config.eps; `rope_half` of q and k, not of v;
        `gqa_attention`; heads merged; o_proj. The MLP is `swiglu`.

        Edge cases ★
            H·D may be another number than C.
        """
        attn, h = self.self_attn, self.input_layernorm(x)
        q, k, v = (
            layer(h).unflatten(-1, (heads, -1)).transpose(1, 2)
            for layer, heads in (
                (attn.q_proj, self.config.n_head),
                (attn.k_proj, self.config.n_kv_head),
                (attn.v_proj, self.config.n_kv_head),
            )
        )
        if self.config.qk_norm:
            q, k = qk_norm(
                q, k, attn.q_norm.weight, attn.k_norm.weight, self.config.eps
            )
        q, k = (
            rope_half(q, positions, inv_freq, scale),
            rope_half(k, positions, inv_freq, scale),
        )
        x = x + attn.o_proj(gqa_attention(q, k, v, mask).transpose(1, 2).flatten(2))
        mlp, h = self.mlp, self.post_attention_layernorm(x)
        return x + swiglu(
            h, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight
        )


class Decoder(nn.Module):
    """Embedding, blocks, a final norm and an output layer, under Llama's names. Given:
    nothing to write here.

    `inv_freq` and `rope_scale` are plain attributes, which `yarn_frequencies`
    may replace.
    forward(idx, positions, mask): token ids (B, T) → logits (B, T, V). positions
    default to 0 … T − 1.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(config.vocab_size, config.n_embd),
                "layers": nn.ModuleList(Block(config) for _ in range(config.n_layer)),
                "norm": RMSNorm(config.n_embd, config.eps),
            }
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.inv_freq = config.rope_base ** (
            -torch.arange(0, config.head_dim, 2) / config.head_dim
        )
        self.rope_scale = 1.0
        for name, parameter in self.named_parameters():
            # as in 26, with less for what writes to the residual path
            if parameter.ndim == 2:
                writes = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(
                    parameter,
                    std=0.02 / math.sqrt(2 * config.n_layer) if writes else 0.02,
                )

    def forward(
        self, idx: Tensor, positions: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if positions is None:
            positions = torch.arange(idx.size(1), device=idx.device)
        x = self.model.embed_tokens(idx)
        for block in self.model.layers:
            x = block(x, positions, self.inv_freq.to(idx.device), self.rope_scale, mask)
        return self.lm_head(self.model.norm(x))


def load_llama(hf_config: Mapping, state: Mapping[str, Tensor]) -> Decoder:
    """Build a Decoder with the sizes and weights of a Llama in Hugging Face's layout.

    Args:
        hf_config: a config.json as a dict. hidden_size is n_embd, intermediate_size
            n_hidden, num_hidden_layers n_layer, num_attention_heads n_head,
            num_key_value_heads n_kv_head, rms_norm_eps eps, vocab_size itself.
            rope_base is "rope_theta", else hf_config["rope_parameters"]["rope_theta"],
            else 10000. tied is "tie_word_embeddings", False if absent. Other keys
            are ignored.
        state: names and tensors. The Linears are nn.Linear's already: nothing
            is transposed.
    Returns:
        A Decoder with these weights.

    Names that end in "rotary_emb.inv_freq" are dropped. Only a tied model may lack
    "lm_head.weight". Any other missing or unexpected name, or a wrong shape, is an
    error that names the tensor, as load_state_dict raises it.

    Edge cases ★
        Model and `state` share no memory, and `state` is not changed. Qwen 3's are
        loaded, too: qk_norm is True if `state` has q_norm's weights, and "head_dim" is
        taken where the config has one. A "rope_type" other than "default", in
        "rope_parameters" or "rope_scaling", is an error that names it. So is a
        "partial_rotary_factor" other than 1, by this word. A tied state without
        embedding names "model.embed_tokens.weight".
    """
    rope = hf_config.get("rope_parameters") or {}
    for settings in (rope, hf_config.get("rope_scaling") or {}):
        kind = settings.get("rope_type", settings.get("type", "default"))
        if kind != "default":
            raise ValueError(f"rope_type is {kind!r}, and only the default is known")
    part = (
        hf_config.get("partial_rotary_factor")
        or rope.get("partial_rotary_factor")
        or 1.0
    )
    if part != 1:
        raise ValueError(
            f"partial_rotary_factor is {part}, and rope_half turns all features of a "
            "head"
        )
    biases = [name for name in state if name.endswith("_proj.bias")]
    if biases:
        raise ValueError(
            f"{len(biases)} biases, the first {biases[0]}: Qwen 2 has them, and this "
            "Block has none"
        )
    config = DecoderConfig(
        vocab_size=hf_config["vocab_size"],
        n_layer=hf_config["num_hidden_layers"],
        n_head=hf_config["num_attention_heads"],
        n_kv_head=hf_config["num_key_value_heads"],
        n_embd=hf_config["hidden_size"],
        n_hidden=hf_config["intermediate_size"],
        rope_base=hf_config.get("rope_theta", rope.get("rope_theta", 10000.0)),
        eps=hf_config["rms_norm_eps"],
        tied=hf_config.get("tie_word_embeddings", False),
        qk_norm=any(name.endswith("q_norm.weight") for name in state),
        head_dim=hf_config.get("head_dim") or 0,
    )
    model = Decoder(config)
    weights = {
        name: tensor
        for name, tensor in state.items()
        if not name.endswith("rotary_emb.inv_freq")
    }
    # else load_state_dict says that it is missing
    if config.tied and "model.embed_tokens.weight" in weights:
        weights.setdefault("lm_head.weight", weights["model.embed_tokens.weight"])
    model.load_state_dict(weights)
    return model
