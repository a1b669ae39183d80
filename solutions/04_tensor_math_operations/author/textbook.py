"""Reductions, broadcasting and matrix products: which dimension goes, which sizes fit,
and what happens at zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def between(x: Tensor, low: float, high: float) -> Tensor:
    """low ≤ x ≤ high, element by element."""
    return (x >= low) & (x <= high)


def summary_stats(x: Tensor, dim: int | None = None) -> dict[str, Tensor]:
    """Min, max, mean and std, of all or along a dim."""
    return {
        "min": x.amin(dim),
        "max": x.amax(dim),
        "mean": x.mean(dim),
        "std": x.std(dim, correction=0),
    }


def standardize(x: Tensor, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Mean 0 and std 1 for every slice; slices of equal values become 0."""
    mean = x.mean(dim, keepdim=True)
    std = x.std(dim, correction=0, keepdim=True)
    constant = x.amin(dim, keepdim=True) == x.amax(dim, keepdim=True)
    return ((x - mean) / std).masked_fill(constant, 0)


def cosine_similarity(a: Tensor, b: Tensor, dim: int = -1, eps: float = 1e-8) -> Tensor:
    """a·b / (‖a‖ ‖b‖), with norms of at least eps."""
    a, b = torch.broadcast_tensors(a, b)
    norm_a = torch.linalg.vector_norm(a, dim=dim).clamp(min=eps)
    norm_b = torch.linalg.vector_norm(b, dim=dim).clamp(min=eps)
    return (a * b).sum(dim) / (norm_a * norm_b)


def matmul_shape(a_shape: Sequence[int], b_shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of torch.matmul(a, b)."""
    a = (1, *a_shape) if len(a_shape) == 1 else tuple(a_shape)
    b = (*b_shape, 1) if len(b_shape) == 1 else tuple(b_shape)
    if a[-1] != b[-2]:
        raise ValueError(f"shapes {tuple(a_shape)} and {tuple(b_shape)} do not fit")
    shape = tuple(torch.broadcast_shapes(a[:-2], b[:-2]))
    if len(a_shape) > 1:
        shape += (a[-2],)
    if len(b_shape) > 1:
        shape += (b[-1],)
    return shape


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The product of two matrices from * and sum."""
    return (a[:, :, None] * b[None]).sum(1)


def pairwise_distances(a: Tensor, b: Tensor) -> Tensor:
    """The distance of every point in a to every point in b."""
    return torch.linalg.vector_norm(a[:, None] - b[None], dim=-1)


def masked_mean(
    x: Tensor, mask: Tensor, dim: int | tuple[int, ...] | None = None
) -> Tensor:
    """The mean of the entries that a mask lets through."""
    mask = mask.expand_as(x)
    total = x.masked_fill(~mask, 0).sum(dim)
    return total / mask.sum(dim)
