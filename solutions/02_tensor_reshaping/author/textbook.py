"""Reshaping: the same numbers in another shape, each still in its right place."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def to_rows(x: Tensor, columns: int) -> Tensor:
    """(N,) → (N / columns, columns)"""
    return x.reshape(-1, columns)


def swap_axes(x: Tensor) -> Tensor:
    """(R, C) → (C, R)"""
    return x.T


def add_batch_dim(sample: Tensor) -> Tensor:
    """(…) → (1, …)"""
    return sample.unsqueeze(0)


def drop_batch_dim(batch: Tensor) -> Tensor:
    """(1, …) → (…)"""
    return batch.squeeze(0)


def nhwc_to_nchw(images: Tensor) -> Tensor:
    """(N, H, W, C) → (N, C, H, W)"""
    return images.permute(0, 3, 1, 2).contiguous()


def flatten_samples(x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """(N, …) → (N, D), and the shape of a sample."""
    return x.flatten(1), tuple(x.shape[1:])


def unflatten_samples(flat: Tensor, sample_shape: Sequence[int]) -> Tensor:
    """(N, D) → (N, *sample_shape)"""
    return flat.reshape(len(flat), *sample_shape)


def reshape_and_check(x: Tensor, shape: Sequence[int]) -> tuple[Tensor, bool]:
    """Reshape, and say whether the result shares memory with x."""
    reshaped = x.reshape(shape)
    return reshaped, reshaped.data_ptr() == x.data_ptr()


def interleave(a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
    """a₀, b₀, a₁, b₁, … along one dimension."""
    dim = dim % a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)


def make_grid(images: Tensor, columns: int) -> Tensor:
    """(N, C, H, W) → one large image, row by row."""
    n, c, h, w = images.shape
    rows = math.ceil(n / columns)
    grid = images.new_zeros(c, rows * h, columns * w)
    for i, image in enumerate(images):
        row, column = divmod(i, columns)
        grid[:, row * h : (row + 1) * h, column * w : (column + 1) * w] = image
    return grid
