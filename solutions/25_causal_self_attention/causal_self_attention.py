"""GPT's attention: one projection for q, k and v, a causal mask, a cache for the past,
and two paths that agree.

Sizes: B batch elements, T positions, C = n_embd features, H = n_head heads of D = C / H
features each.
q, k and v are (B, H, T, D). There may be fewer queries than keys, never more: the T_q
queries are the last T_q of the T_k positions, because a cache holds keys and values of
the past. Boolean masks: True = may attend.
"""

import math  # stub: keep
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # stub: keep
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
    bias: bool = True  # whether linear layers and layer norms have one


def causal_mask(t_q: int, t_k: int, device: torch.device | str | None = None) -> Tensor:
    """Make the mask that lets each query see itself and all earlier keys. The queries
    are the newest positions.

    Args:
        t_q: number of queries.
        t_k: number of keys; the last t_q of them belong to the queries.
        device: of the mask; None means the default device.
    Returns:
        (t_q, t_k) bool, True = may attend: query i sees keys 0 … i + (t_k − t_q).
        causal_mask(2, 4) is [[True, True, True, False], [True, True, True, True]].

    Edge cases ★
        The mask is on `device`. Sizes other than 1 ≤ t_q ≤ t_k are an error that
        names both.
    """
    if not 1 <= t_q <= t_k:
        raise ValueError(
            "there must be at least one query and no more queries than keys, got "
            f"{t_q} and {t_k}"
        )
    return torch.ones(t_q, t_k, dtype=torch.bool, device=device).tril(t_k - t_q)


def manual_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    return_weights: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """Causal attention step by step: softmax(q kᵀ / √D) with the causal mask, dropout
    on the weights, times v.

    Args:
        q: (B, H, T_q, D) queries, the last T_q of the T_k positions.
        k, v: (B, H, T_k, D) keys and values.
        dropout_p: probability that a weight is set to 0; the others are divided
            by 1 − dropout_p.
        return_weights: return the weights too.
    Returns:
        (B, H, T_q, D), or with return_weights also the weights (B, H, T_q, T_k) before
        dropout; each row sums to 1.

    Write it yourself, without F.scaled_dot_product_attention.

    Edge cases ★
        Scores of ±1e5 leave values and gradients finite. The output has the dtype and
        device of q. In float16 only the scaled scores must fit, as for q = k = 40,
        D = 64. Inputs may be non-contiguous and stay as they were.
    """
    # divided before the product, so that float16 does not overflow
    scores = (q / math.sqrt(q.size(-1))) @ k.mT
    allowed = causal_mask(q.size(2), k.size(2), q.device)
    # every row has a key, so no row becomes NaN
    weights = scores.masked_fill(~allowed, -math.inf).softmax(dim=-1)
    out = F.dropout(weights, dropout_p) @ v
    return (out, weights) if return_weights else out


def flash_attention(q: Tensor, k: Tensor, v: Tensor, dropout_p: float = 0.0) -> Tensor:
    """The same attention through F.scaled_dot_product_attention, which never writes the
    (T_q, T_k) scores to memory.

    Args:
        q: (B, H, T_q, D) queries, the last T_q of the T_k positions.
        k, v: (B, H, T_k, D) keys and values.
        dropout_p: as in `manual_attention`.
    Returns:
        (B, H, T_q, D), equal to `manual_attention` in values and gradients.

    `is_causal=True` aligns the mask at the top left: query 0 sees key 0 alone. That is
    right only for T_q = T_k.

    Edge cases ★
        The output has the dtype and device of q, also with a mask. For T_q = T_k no
        mask is passed: PyTorch's fastest kernel for GPUs, FlashAttention, takes none.
    """
    mask = (
        None if q.size(2) == k.size(2) else causal_mask(q.size(2), k.size(2), q.device)
    )
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout_p, is_causal=mask is None
    )


class LayerCache:
    """Keep the keys and values that one attention layer has computed so far.

    Attributes:
        k, v: (B, H, T, D) for the T positions cached so far, or None in a new cache.

    `len(cache)` is T. A new cache has length 0 and is false, so ask
    `cache is not None`, never `if cache`.
    Two caches share nothing.

    Edge cases ★
        The tensors passed in are not changed, and their dtype is kept.
    """

    def __init__(self) -> None:
        self.k: Tensor | None = None
        self.v: Tensor | None = None

    def __len__(self) -> int:
        return 0 if self.k is None else self.k.size(2)

    def append(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Add new positions after the old ones.

        Args:
            k, v: (B, H, T_new, D).
        Returns:
            (k, v) of all positions, each (B, H, T_old + T_new, D), as in `self.k` and
            `self.v` now.
        """
        self.k = k if self.k is None else torch.cat([self.k, k], dim=2)
        self.v = v if self.v is None else torch.cat([self.v, v], dim=2)
        return self.k, self.v


class CausalSelfAttention(nn.Module):
    """GPT-2's attention layer: project, split into heads, attend causally, merge the
    heads, project.
    """

    def __init__(self, config: GPTConfig, flash: bool = True):
        """Create the layers under GPT-2's names.

        Args:
            config: uses n_embd (C), n_head (H), block_size, dropout and bias.
            flash: whether forward uses `flash_attention` or `manual_attention`; kept
                as `self.flash`.

        Attributes:
            c_attn: nn.Linear(C, 3C, bias=config.bias), for q, k and v.
            c_proj: nn.Linear(C, C, bias=config.bias).
            resid_dropout: nn.Dropout(config.dropout).

        The state dict holds the parameters of c_attn and c_proj alone.

        Edge cases ★
            An n_embd that n_head does not divide is an error that names both.
        """
        super().__init__()
        if config.n_embd % config.n_head:
            raise ValueError(
                f"n_embd {config.n_embd} cannot be shared equally by {config.n_head} "
                "heads"
            )
        self.n_head = config.n_head
        self.block_size = config.block_size
        self.dropout = config.dropout
        self.flash = flash
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.resid_dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        """Attend within each row of the batch: output t depends on x[:, : t + 1] only.

        Args:
            x: (B, T, C). With a cache, the positions that follow the cached ones.
            cache: takes the new keys and values. The queries see all that it holds
                then. Chunks of any length give the outputs of one full pass.
        Returns:
            (B, T, C).

        - Of c_attn's 3C outputs the first C are q, the next k, the last v. In each,
          head h has the D = C / H features from h·D on.
        - c_proj gets the heads side by side, head 0 first. resid_dropout comes last.
        - config.dropout also acts on the attention weights. In eval mode nothing
          is dropped.
        - `self.flash` may change at any time.

        Edge cases ★
            More than block_size positions, cached ones included, are an error that
            names the limit and leaves the cache as it was. A layer in float64 or
            bfloat16, or on another device, computes there. `x` may be non-contiguous
            and stays as it was.
        """
        n_cached = 0 if cache is None else len(cache)
        if n_cached + x.size(1) > self.block_size:
            raise ValueError(
                f"{n_cached} cached and {x.size(1)} new positions exceed block_size "
                f"{self.block_size}"
            )
        q, k, v = (self._split_heads(part) for part in self.c_attn(x).chunk(3, dim=-1))
        if cache is not None:
            k, v = cache.append(k, v)
        attention = flash_attention if self.flash else manual_attention
        # (B, H, T, D)
        y = attention(q, k, v, dropout_p=self.dropout if self.training else 0.0)
        y = y.transpose(1, 2).flatten(2)  # (B, T, C): the heads side by side
        return self.resid_dropout(self.c_proj(y))

    def _split_heads(self, x: Tensor) -> Tensor:
        # (B, T, C) → (B, H, T, D)
        return x.unflatten(-1, (self.n_head, -1)).transpose(1, 2)


def score_bytes(
    batch_size: int, n_head: int, n_tokens: int, dtype: torch.dtype = torch.float32
) -> int:
    """Count the bytes of the attention scores of one layer, which the fused kernel
    never writes to memory.

    Args:
        batch_size: B.
        n_head: H.
        n_tokens: T, the number of queries and of keys.
        dtype: of the scores.
    Returns:
        The bytes of a (B, H, T, T) tensor of that dtype, as an int, without making such
        a tensor.
        For GPT-2's 12 heads on one sequence of 1024 positions: 48 MiB in float32.
    """
    return batch_size * n_head * n_tokens * n_tokens * dtype.itemsize
