"""Multi-head attention: the model width cut into heads that attend separately, and
mixed again by one linear layer.

Sizes: B batch elements, T queries, S keys, C = d_model features, H heads of D = C / H
features each.
Masks are boolean everywhere, and True means "may attend" (`nn.MultiheadAttention` means
the opposite).
"""

import math

import torch
from torch import Tensor, nn


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """(B, T, C) → (B, H, T, D)"""
    B, T, C = x.shape
    return x.reshape(B, T, num_heads, C // num_heads).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, D) → (B, T, H·D)"""
    return x.transpose(1, 2).flatten(2)


def prepare_mask(
    mask: Tensor | None,
    key_padding_mask: Tensor | None,
    shape: tuple[int, int, int, int],
) -> Tensor | None:
    """One mask that fits the scores of all heads."""
    if mask is not None:
        if mask.ndim == 3:
            mask = mask.unsqueeze(1)
        mask = mask.expand(shape)
    if key_padding_mask is not None:
        key_padding_mask = key_padding_mask[:, None, None, :]
        mask = key_padding_mask if mask is None else mask & key_padding_mask
    return mask


class MultiHeadAttention(nn.Module):
    """Attention in `num_heads` slices of the features at once."""

    def __init__(
        self, d_model: int, num_heads: int, dropout: float = 0.0, bias: bool = True
    ):
        super().__init__()
        self.d_model = d_model
        self.num_heads = num_heads
        self.d_k = d_model // num_heads
        self.W_q = nn.Linear(d_model, d_model, bias=bias)
        self.W_k = nn.Linear(d_model, d_model, bias=bias)
        self.W_v = nn.Linear(d_model, d_model, bias=bias)
        self.W_o = nn.Linear(d_model, d_model, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if key is None:
            key = query
        if value is None:
            value = key
        q = split_heads(self.W_q(query), self.num_heads)
        k = split_heads(self.W_k(key), self.num_heads)
        v = split_heads(self.W_v(value), self.num_heads)

        scores = q @ k.mT / math.sqrt(self.d_k)
        mask = prepare_mask(mask, key_padding_mask, scores.shape)
        if mask is not None:
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = scores.softmax(dim=-1)
        if mask is not None:
            weights = weights.masked_fill(~mask, 0)

        output = self.W_o(merge_heads(self.dropout(weights) @ v))
        return (output, weights) if need_weights else output


@torch.no_grad()
def attention_patterns(
    mha: MultiHeadAttention,
    query: Tensor,
    key: Tensor | None = None,
    mask: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> Tensor:
    """The weights to plot, changing nothing."""
    was_training = mha.training
    mha.eval()
    _, weights = mha(
        query, key, mask=mask, key_padding_mask=key_padding_mask, need_weights=True
    )
    mha.train(was_training)
    return weights


def head_statistics(weights: Tensor) -> dict[str, Tensor]:
    """Four numbers per head, averaged over all rows that are not all zeros."""
    _, _, T, S = weights.shape
    i = torch.arange(T, device=weights.device)[:, None]
    j = torch.arange(S, device=weights.device)
    rows = {
        "entropy": torch.special.entr(weights).sum(dim=-1),
        "mean_distance": (weights * (i - j).abs()).sum(dim=-1),
        "max_weight": weights.amax(dim=-1),
        "self_weight": (weights * (i == j)).sum(dim=-1),
    }
    count = (weights.sum(dim=-1) > 0).sum(dim=(0, 2)).clamp(min=1)
    return {name: values.sum(dim=(0, 2)) / count for name, values in rows.items()}


def to_torch_mha(mha: MultiHeadAttention) -> nn.MultiheadAttention:
    """PyTorch's own layer with the same weights."""
    has_bias = mha.W_q.bias is not None
    twin = nn.MultiheadAttention(
        mha.d_model,
        mha.num_heads,
        dropout=mha.dropout.p,
        bias=has_bias,
        batch_first=True,
    )
    with torch.no_grad():
        twin.in_proj_weight.copy_(
            torch.cat([mha.W_q.weight, mha.W_k.weight, mha.W_v.weight])
        )
        twin.out_proj.weight.copy_(mha.W_o.weight)
        if has_bias:
            twin.in_proj_bias.copy_(
                torch.cat([mha.W_q.bias, mha.W_k.bias, mha.W_v.bias])
            )
            twin.out_proj.bias.copy_(mha.W_o.bias)
    return twin.train(mha.training)


@torch.no_grad()
def compare_with_torch(
    mha: MultiHeadAttention,
    query: Tensor,
    key: Tensor | None = None,
    value: Tensor | None = None,
    mask: Tensor | None = None,
    key_padding_mask: Tensor | None = None,
) -> dict[str, float]:
    """The largest difference to PyTorch's layer, on rows that may see any key."""
    if key is None:
        key = query
    if value is None:
        value = key
    mha.eval()
    output, weights = mha(query, key, value, mask, key_padding_mask, need_weights=True)

    B, H, T, S = weights.shape
    allowed = prepare_mask(mask, key_padding_mask, weights.shape)
    blocked = (
        None if allowed is None else ~allowed.expand(B, H, T, S).reshape(B * H, T, S)
    )
    twin = to_torch_mha(mha)
    their_output, their_weights = twin(
        query, key, value, attn_mask=blocked, average_attn_weights=False
    )

    sees = weights.sum(dim=-1) > 0  # (B, H, T)
    return {
        "output": (output - their_output)[sees.all(dim=1)].abs().max().item(),
        "weights": (weights - their_weights)[sees].abs().max().item(),
    }
