"""Scaled dot-product attention: two matrix products, a softmax between them, and masks
for what may not be seen.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def causal_mask(
    query_len: int, key_len: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """The keys that each query may see: the queries are the last T of S positions."""
    if key_len is None:
        key_len = query_len
    return torch.ones(query_len, key_len, dtype=torch.bool, device=device).tril(
        key_len - query_len
    )


def padding_mask(lengths: Tensor, max_len: int) -> Tensor:
    """The keys that are real, (B, 1, S)."""
    positions = torch.arange(max_len, device=lengths.device)
    return positions < lengths[:, None, None]


def combine_masks(*masks: Tensor | None) -> Tensor | None:
    """Allow what every mask allows."""
    combined = None
    for mask in masks:
        if mask is not None:
            combined = mask if combined is None else combined & mask
    return combined


def scaled_dot_product_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor]:
    """softmax(q kᵀ · scale) v, and the weights."""
    if scale is None:
        scale = 1 / math.sqrt(q.shape[-1])
    scores = q @ k.mT * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)
    if mask is not None:
        weights = weights.masked_fill(~mask, 0)
    return weights @ v, weights


def score_statistics(scores: Tensor, v: Tensor) -> dict[str, float]:
    """Measure how sharply the weights choose among the keys."""
    w = scores.softmax(dim=-1)
    return {
        "std": scores.std().item(),
        "entropy": torch.special.entr(w).sum(dim=-1).mean().item(),
        "gradient": (w * (1 - w)).sum(dim=-1).mean().item(),
        "output_std": (w @ v).std().item(),
    }


def compare_scaling(
    head_dims: Sequence[int],
    num_queries: int = 64,
    num_keys: int = 32,
    generator: torch.Generator | None = None,
) -> dict[int, dict[str, float]]:
    """Measure what dividing the scores by √D changes."""
    results = {}
    for dim in head_dims:
        q = torch.randn(num_queries, dim, generator=generator)
        k = torch.randn(num_keys, dim, generator=generator)
        v = torch.randn(num_keys, dim, generator=generator)
        raw = score_statistics(q @ k.mT, v)
        scaled = score_statistics(q @ k.mT / math.sqrt(dim), v)
        results[dim] = {f"{name}_raw": value for name, value in raw.items()}
        results[dim] |= {f"{name}_scaled": value for name, value in scaled.items()}
    return results


def attention_cost(
    num_queries: int, num_keys: int, dim: int
) -> dict[str, dict[str, int]]:
    """Count products, tanh calls and memory."""
    pairs = num_queries * num_keys
    return {
        "dot": {
            "multiplications": pairs * dim,
            "nonlinearities": 0,
            "largest_intermediate": pairs,
        },
        "additive": {
            "multiplications": num_queries * dim**2 + num_keys * dim**2 + pairs * dim,
            "nonlinearities": pairs * dim,
            "largest_intermediate": pairs * dim,
        },
    }
