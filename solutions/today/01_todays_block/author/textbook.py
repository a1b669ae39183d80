"""The block that Llama and Qwen share: RMSNorm, rotary positions, a gated MLP, key
heads shared by groups of heads.

Sizes: B rows of T tokens, C = n_embd features, M = n_hidden, V = vocab_size. There are
H = n_head query heads and H_kv = n_kv_head key heads, each with D = C / H features.
Names are Llama's own in Hugging Face's files.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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
    tied: bool = False
    head_dim: int = 0

    def __post_init__(self) -> None:
        self.head_dim = self.head_dim or self.n_embd // self.n_head


def rms_norm(x: Tensor, weight: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """Divide every row by its root mean square."""
    x = x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + eps)
    return x if weight is None else x * weight


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
    """Normalise each head of the queries and keys by itself."""
    return rms_norm(q, q_weight, eps), rms_norm(k, k_weight, eps)


def rope_half(
    x: Tensor, positions: Tensor, inv_freq: Tensor, scale: float = 1.0
) -> Tensor:
    """Turn queries or keys by angles that grow with the position. Features i and
    i + D/2 are a pair.
    """
    if positions.dim() == 2:
        positions = positions[:, None]  # (B, 1, T), for all heads
    angles = positions[..., None] * inv_freq
    cos, sin = angles.cos() * scale, angles.sin() * scale
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


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
    """

    def dim(turns):
        return (
            head_dim
            * math.log(original_len / (turns * 2 * math.pi))
            / (2 * math.log(base))
        )

    i = torch.arange(head_dim // 2)
    theta = base ** (-2 * i / head_dim)
    low = max(math.floor(dim(beta_fast)), 0)
    high = min(math.ceil(dim(beta_slow)), head_dim - 1)
    if low == high:
        high += 0.001
    ramp = ((i - low) / (high - low)).clamp(0, 1)
    scale = 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
    return theta * (1 - ramp) + theta / factor * ramp, scale


def swiglu(x: Tensor, w_gate: Tensor, w_up: Tensor, w_down: Tensor) -> Tensor:
    """Process each position with a gated MLP: one projection decides how much of the
    other passes.
    """
    return (F.silu(x @ w_gate.T) * (x @ w_up.T)) @ w_down.T


def gqa_attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> Tensor:
    """Attend with more query heads than key heads: neighbouring query heads
    share one.
    """
    group = q.size(1) // k.size(1)
    k = k.repeat_interleave(group, dim=1)
    v = v.repeat_interleave(group, dim=1)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.size(-1))
    if mask is None:
        t_q, t_k = scores.shape[-2:]
        mask = torch.ones(t_q, t_k, dtype=torch.bool).tril(t_k - t_q)
    return scores.masked_fill(~mask, -math.inf).softmax(-1) @ v


class Block(nn.Module):
    """One layer of today's models: attention, then a gated MLP, each normalised first
    and added.
    """

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        C, D = config.n_embd, config.n_embd // config.n_head
        self.input_layernorm = RMSNorm(C, config.eps)
        self.self_attn = nn.Module()
        self.self_attn.q_proj = nn.Linear(C, config.n_head * D, bias=False)
        self.self_attn.k_proj = nn.Linear(C, config.n_kv_head * D, bias=False)
        self.self_attn.v_proj = nn.Linear(C, config.n_kv_head * D, bias=False)
        self.self_attn.o_proj = nn.Linear(config.n_head * D, C, bias=False)
        if config.qk_norm:
            self.self_attn.q_norm = RMSNorm(D, config.eps)
            self.self_attn.k_norm = RMSNorm(D, config.eps)
        self.post_attention_layernorm = RMSNorm(C, config.eps)
        self.mlp = nn.Module()
        self.mlp.gate_proj = nn.Linear(C, config.n_hidden, bias=False)
        self.mlp.up_proj = nn.Linear(C, config.n_hidden, bias=False)
        self.mlp.down_proj = nn.Linear(config.n_hidden, C, bias=False)

    def forward(
        self,
        x: Tensor,
        positions: Tensor,
        inv_freq: Tensor,
        scale: float = 1.0,
        mask: Tensor | None = None,
    ) -> Tensor:
        B, T, C = x.shape
        D = C // self.config.n_head
        attn, mlp = self.self_attn, self.mlp
        h = self.input_layernorm(x)
        q = attn.q_proj(h).view(B, T, -1, D).transpose(1, 2)
        k = attn.k_proj(h).view(B, T, -1, D).transpose(1, 2)
        v = attn.v_proj(h).view(B, T, -1, D).transpose(1, 2)
        if self.config.qk_norm:
            q, k = qk_norm(
                q, k, attn.q_norm.weight, attn.k_norm.weight, self.config.eps
            )
        q = rope_half(q, positions, inv_freq, scale)
        k = rope_half(k, positions, inv_freq, scale)
        y = gqa_attention(q, k, v, mask).transpose(1, 2).reshape(B, T, C)
        x = x + attn.o_proj(y)
        h = self.post_attention_layernorm(x)
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
    """Build a Decoder with the sizes and weights of a Llama in Hugging
    Face's layout.
    """
    rope = hf_config.get("rope_parameters", {})
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
    )
    state = {
        name: tensor
        for name, tensor in state.items()
        if not name.endswith("rotary_emb.inv_freq")
    }
    if config.tied and "lm_head.weight" not in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model = Decoder(config)
    model.load_state_dict(state)
    return model
