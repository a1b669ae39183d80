"""Indexing and slicing: slices give views, index tensors and masks give copies.

"(…, N, N)" means any number of dimensions in front, none included.
"""

import torch
from torch import Tensor


def first_rows(x: Tensor, n: int) -> Tensor:
    """The first n rows."""
    return x[:n]


def last_column(x: Tensor) -> Tensor:
    """(R, C) → (R,)"""
    return x[:, -1]


def every_other_row(x: Tensor, start: int = 0) -> Tensor:
    """Rows 0, 2, 4, … or 1, 3, 5, … as a view."""
    return x[start::2]


def diagonal(x: Tensor) -> Tensor:
    """The diagonal of every matrix in a batch."""
    i = torch.arange(x.shape[-1])
    return x[..., i, i]


def sliding_windows(x: Tensor, size: int, step: int = 1) -> Tensor:
    """Overlapping windows, (W, size, …)."""
    starts = torch.arange(0, len(x) - size + 1, step)
    return x[starts[:, None] + torch.arange(size)]


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A rectangle cut out of an image, as a view."""
    return image[..., top : top + height, left : left + width]


def zero_border(image: Tensor, width: int = 1) -> Tensor:
    """Zeros, with the inside of the image copied in."""
    h, w = image.shape[-2:]
    result = torch.zeros_like(image)
    result[..., width : h - width, width : w - width] = image[
        ..., width : h - width, width : w - width
    ]
    return result


def pick_per_row(x: Tensor, index: Tensor) -> Tensor:
    """One element from every row."""
    return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def last_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """The last real step of every padded sequence."""
    return x[torch.arange(len(x)), lengths - 1]


def filter_rows(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The rows that a mask keeps, and their numbers."""
    return x[mask], mask.nonzero().squeeze(1)
