"""GPT's attention: one projection for q, k and v, a causal mask, a cache for the past, and two paths that agree.

Sizes: B batch elements, T positions, C = n_embd features, H = n_head heads of D = C / H features each.
q, k and v are (B, H, T, D). There may be fewer queries than keys, never more: the T_q queries are the last T_q of the
T_k positions, because a cache holds keys and values of the past. Boolean masks: True = may attend.
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
    """Say which keys each query may see, when the queries are the newest of all positions.

    Args:
        t_q: how many queries.
        t_k: how many keys, those of the queries themselves included.
        device: where the mask lies; None means the default device.
    Returns:
        (t_q, t_k) bool, True = may attend: query i sees keys 0 … i + (t_k − t_q).
    Raises:
        ValueError: unless 1 ≤ t_q ≤ t_k; the message names both numbers.

    causal_mask(2, 4) is [[True, True, True, False], [True, True, True, True]], and a single query sees every key.
    """
    if not 1 <= t_q <= t_k:
        raise ValueError(f"there must be at least one query and no more queries than keys, got {t_q} and {t_k}")
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)


def manual_attention(
    q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0, return_weights: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Causal attention step by step: softmax(q kᵀ / √D) with the causal mask, dropout on the weights, times v.

    Args:
        q: (B, H, T_q, D) queries, the last T_q of the T_k positions.
        k, v: (B, H, T_k, D) keys and values, T_q ≤ T_k.
        dropout_p: the probability, at least 0 and below 1, that a weight is set to zero; those that stay are divided by
            1 − dropout_p, so that the mean of the output does not change. It acts whenever it is above 0: the caller
            knows whether this is training.
        return_weights: hand out the weights too.
    Returns:
        (B, H, T_q, D), or with return_weights also the weights (B, H, T_q, T_k) *before* dropout: each row sums to 1,
        and future keys have weight 0.

    Everything has the dtype and the device of q. float64 is computed in float64. Large scores (±1e5 in float32) do no
    harm: values and gradients stay finite. float16 comes out right as long as the *scaled* scores fit into it:
    q = k = 40 everywhere with D = 64 makes dot products of 102400, and float16 ends at 65504. Inputs may be
    non-contiguous, and none is written to. Write it yourself: F.scaled_dot_product_attention may not be called here.
    """
    scores = (q / math.sqrt(q.size(-1))) @ k.mT  # divided before the product, so that float16 does not overflow
    allowed = causal_mask(q.size(2), k.size(2), q.device)
    weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)  # every row has a key, so no row becomes NaN
    out = F.dropout(weights, dropout_p) @ v
    return (out, weights) if return_weights else out


def flash_attention(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0) -> Tensor:
    """The same attention through F.scaled_dot_product_attention, which never writes the (T_q, T_k) scores to memory.

    Args:
        q: (B, H, T_q, D) queries, the last T_q of the T_k positions.
        k, v: (B, H, T_k, D) keys and values, T_q ≤ T_k.
        dropout_p: as in `manual_attention`.
    Returns:
        (B, H, T_q, D), equal to `manual_attention` up to rounding, in values and gradients; dtype and device of q.

    `is_causal=True` lines the mask up at the top left corner: query 0 sees key 0 alone. That is right only for
    T_q = T_k. With more keys than queries the mask has to be given.
    """
    mask = None if q.size(2) == k.size(2) else causal_mask(q.size(2), k.size(2), q.device)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=mask is None)


class LayerCache:
    """The keys and values that one attention layer has computed so far.

    Attributes:
        k, v: (B, H, T, D) with the T positions cached so far, or None as long as there are none.

    `len(cache)` is T, and 0 for a new cache. (So a new cache is false: ask `cache is not None`, never `if cache`.)
    Every cache has tensors of its own: two caches do not see each other's positions.
    """

    def __init__(self) -> None:
        self.k: Tensor | None = None
        self.v: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.k is None else self.k.size(2)

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Put the new positions behind the old ones.

        Args:
            k, v: (B, H, T_new, D).
        Returns:
            (k, v) of all positions, old and new, each (B, H, T_old + T_new, D): what `self.k` and `self.v` are now.

        The tensors passed in are not changed, and dtype and device stay as they are.
        """
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


class CausalSelfAttention(nn.Module):
    """GPT-2's attention layer: project, cut into heads, attend causally, join the heads, project.

    Args:
        config: uses n_embd (C), n_head (H), block_size, dropout and bias.
        flash: whether to compute with `flash_attention` or with `manual_attention`.
    Shapes:
        x (B, T, C) → (B, T, C).
    Attributes:
        c_attn: nn.Linear(C, 3C). Of its 3C outputs the first C are q, the next C are k, the last C are v; inside each,
            head h has the D outputs from h·D on.
        c_proj: nn.Linear(C, C), applied to the heads side by side, head 0 first.
        resid_dropout: nn.Dropout(config.dropout), applied after c_proj.
        flash: may be set to True or False at any time; the next call follows it.

    - With config.bias = False neither linear layer has a bias. The state dict holds the parameters of c_attn and
      c_proj alone, under these names, so that GPT-2's weights load. There are no buffers.
    - config.dropout also acts on the attention weights, in training mode only. In eval mode nothing is random.
    - Output t depends on x[:, : t + 1] only.
    - With a cache, x holds the positions that follow the cached ones: its keys and values are appended, and its queries
      see all of them. Chunks of any length, given one after the other to one cache, come out as in a single full pass.
      A call without a cache (None) knows nothing of earlier calls.
    - The output has the dtype of the layer's weights, x is not changed, and gradients reach x and every parameter.

    Raises:
        ValueError: in __init__, n_embd is not divisible by n_head (the message names both numbers); in forward, the
            cached positions and those of x are more than block_size together (the message names block_size). Exactly
            block_size are allowed. A cache is as before after the error.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(f"n_embd {config.n_embd} cannot be shared equally by {config.n_head} heads")
        self.n_head = config.n_head
        self.block_size = config.block_size
        self.dropout = config.dropout
        self.flash = flash
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        n_cached = 0 if cache is None else len(cache)
        if n_cached + x.size(1) > self.block_size:
            raise ValueError(f"{n_cached} cached and {x.size(1)} new positions exceed block_size {self.block_size}")
        q, k, v = (self._split_heads(part) for part in self.c_attn(x).chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.append(k, v)
        attention = flash_attention if self.flash else manual_attention
        y = attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)  # (B, H, T, D)
        y = y.transpose(1, 2).flatten(2)  # (B, T, C): the heads side by side
        return self.resid_dropout(self.c_proj(y))

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (B, T, C) → (B, H, T, D)


def score_bytes(batch_size: int, n_head: int, n_tokens: int, dtype: torch.dtype = torch.float32) -> int:
    """Count the bytes of the attention scores of one layer, which the fused kernel never writes out.

    Args:
        batch_size: B.
        n_head: H.
        n_tokens: T, queries and keys alike.
        dtype: the type of the scores.
    Returns:
        The bytes of a (B, H, T, T) tensor of that dtype, as an int.

    GPT-2's 12 heads on one sequence of 1024 positions take 48 MiB in float32. Nothing that large is made to find out:
    the answer for a million tokens comes as fast as that for ten.
    """
    return batch_size * n_head * n_tokens * n_tokens * dtype.itemsize
