"""GPT's attention: one projection for q, k and v, a causal mask, a cache for the past,
and two paths that agree.

Sizes: B batch elements, T positions, C = n_embd features, H = n_head heads of D = C / H
features each.
q, k and v are (B, H, T, D). There may be fewer queries than keys, never more: the T_q
queries are the last T_q of the T_k positions, because a cache holds keys and values of
the past. Boolean masks: True = may attend.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class GPTConfig:
    """The sizes of a GPT; the defaults are GPT-2's smallest model."""

    block_size: int = 1024  # most positions that the model can see at once
    vocab_size: int = 50257
    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768  # C, the features of a position
    dropout: float = 0.0
    bias: bool = True  # do linear layers and layer norms have one?


def causal_mask(t_q: int, t_k: int, device: torch.device | str | None = None) -> Tensor:
    """Say which keys each query may see, when the queries are the newest of
    all positions.
    """
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(
        diagonal=t_k - t_q
    )


def manual_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Causal attention step by step: softmax(q kᵀ / √D) with the causal mask, dropout
    on the weights, times v.
    """
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
    mask = causal_mask(q.shape[-2], k.shape[-2], q.device)
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=-1)
    out = F.dropout(weights, dropout_p) @ v
    return (out, weights) if return_weights else out


def flash_attention(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0) -> Tensor:
    """The same attention through F.scaled_dot_product_attention, which never writes the
    (T_q, T_k) scores to memory.
    """
    t_q, t_k = q.shape[-2], k.shape[-2]
    if t_q == t_k:
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout_p, is_causal=True
        )
    mask = causal_mask(t_q, t_k, q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p)


class LayerCache:
    """The keys and values that one attention layer has computed so far."""

    def __init__(self) -> None:
        self.k = None
        self.v = None

    def __len__(self) -> int:
        return 0 if self.k is None else self.k.shape[2]

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put the new positions behind the old ones."""
        if self.k is not None:
            k = torch.cat([self.k, k], dim=2)
            v = torch.cat([self.v, v], dim=2)
        self.k, self.v = k, v
        return k, v


class CausalSelfAttention(nn.Module):
    """GPT-2's attention layer: project, cut into heads, attend causally, join the
    heads, project.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        super().__init__()
        self.n_head = config.n_head
        self.dropout = config.dropout
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.flash = flash

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        B, T, C = x.shape
        q, k, v = (
            t.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            for t in self.c_attn(x).split(C, dim=2)
        )
        if cache is not None:
            k, v = cache.append(k, v)
        attention = flash_attention if self.flash else manual_attention
        y = attention(q, k, v, self.dropout if self.training else 0.0)
        y = y.transpose(1, 2).reshape(B, T, C)
        return self.resid_dropout(self.c_proj(y))


def score_bytes(
    batch_size: int, n_head: int, n_tokens: int, dtype: torch.dtype = torch.float32
) -> int:
    """Count the bytes of the attention scores of one layer, which the fused kernel
    never writes out.
    """
    return batch_size * n_head * n_tokens * n_tokens * dtype.itemsize
