"""Reshaping: the same numbers in another shape, each still in its right place."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def to_rows(x: Tensor, columns: int) -> Tensor:
    """Cut a row of N numbers into rows of `columns` numbers: (N / columns, columns).

    to_rows(tensor([1, 2, 3, 4]), 2)  →  tensor([[1, 2], [3, 4]])
    """
    raise NotImplementedError


def swap_axes(x: Tensor) -> Tensor:
    """Swap rows and columns: (R, C) → (C, R).

    swap_axes(tensor([[1, 2, 3], [4, 5, 6]]))  →  tensor([[1, 4], [2, 5], [3, 6]])
    """
    raise NotImplementedError


def add_batch_dim(sample: Tensor) -> Tensor:
    """Make a batch of one out of a single sample: add a first dimension of size 1.

    A model takes batches: an image (3, 8, 8) goes in as (1, 3, 8, 8).

    Args:
        sample: any shape; it keeps that shape.
    Returns:
        (1, *sample.shape), a view of the sample: nothing is copied, and gradients
        flow back.

    Edge cases ★
        A sample without dimensions gives (1,). A non-contiguous sample is not
        copied either.
    """
    raise NotImplementedError


def drop_batch_dim(batch: Tensor) -> Tensor:
    """Take the only sample out of a batch of one: the way back from `add_batch_dim`.

    Args:
        batch: (1, …); it keeps that shape.
    Returns:
        (…), a view of the batch: nothing is copied, and gradients flow back. Only the
        first dimension goes.
        Other dimensions of size 1 stay: (1, 1, 5) gives (1, 5).

    Edge cases ★
        (1,) gives (). A non-contiguous batch is not copied either.
        A batch whose first size is not 1, or that has no dimensions, is an error.
    """
    raise NotImplementedError


def nhwc_to_nchw(images: Tensor) -> Tensor:
    """Move the channels of images from the last dimension, as in files, to the second,
    as layers want them.

    Args:
        images: (N, H, W, C): N images of H rows and W columns, each pixel with its
            C channels.
    Returns:
        (N, C, H, W): channel c of image n, `result[n, c]`, is the whole plane
        `images[n, :, :, c]`.
        An image of 1 × 2 pixels, [[[r0, g0, b0], [r1, g1, b1]]], becomes [[r0, r1]],
        [[g0, g1]] and [[b0, b1]].

    Gradients flow back to the images.

    Edge cases ★
        The result is contiguous and has the dtype of the images. They may be
        non-contiguous, and stay as they were. Images that are not 4-D are an error.
    """
    raise NotImplementedError


def flatten_samples(x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Lay out each sample of a batch as one row of numbers, as a linear layer wants it.

    Args:
        x: (N, …), a batch of N samples.
    Returns:
        The pair (flat, sample shape). `flat` is (N, D) with D the number of elements
        per sample: row i is `x[i].flatten()`. The sample shape is a tuple, the shape of
        x without N.
        A batch (32, 3, 8, 8) gives (32, 192) and (3, 8, 8).

    Gradients flow back to x.

    Edge cases ★
        The sample shape is a plain tuple of ints, not a torch.Size. x may
        be non-contiguous.
        An empty batch keeps its D: (0, 3, 8, 8) gives (0, 192). A batch of numbers (N,)
        gives (N, 1) and ().
        An x without dimensions is an error.
    """
    raise NotImplementedError


def unflatten_samples(flat: Tensor, sample_shape: Sequence[int]) -> Tensor:
    """Give the rows of a flat batch their shape back: the way back from
    `flatten_samples`.

    Args:
        flat: (N, D), one row per sample.
        sample_shape: the shape of one sample, without N.
    Returns:
        (N, *sample_shape): `result[i].flatten()` is `flat[i]`. (32, 192) and (3, 8, 8)
        give (32, 3, 8, 8).

    N is the number of rows of `flat`, which may be only a part of the batch. Gradients
    flow back to `flat`.

    Edge cases ★
        The sample shape may be a list or a torch.Size. () turns (N, 1) into (N,), and
        an empty batch (0, D) works. `flat` may be non-contiguous. A `flat` that is not
        2-D is an error, and so is a D that is not the product of `sample_shape`, even
        if N is 0. A -1 is not filled in: (3, -1) has the product -3.
    """
    raise NotImplementedError


def reshape_and_check(x: Tensor, shape: Sequence[int]) -> tuple[Tensor, bool]:
    """Reshape x, and say whether the result is a view of x or a copy.

    Args:
        x: any tensor, contiguous or not.
        shape: the new shape; one size may be -1: whatever is left.
    Returns:
        The pair (reshaped, is_view). `reshaped` has the elements of x in the order in
        which x is indexed.
        `is_view` is True if it shares memory with x, False if it is a copy.

    Return a view wherever one is possible. A contiguous x can be viewed in every shape.
    The (4, 3) transpose of a (3, 4) tensor can be viewed as (2, 2, 3), but not
    as (12,).
    Gradients flow back to x.

    Edge cases ★
        A shape that does not fit the number of elements, or has two -1, is an error
        (PyTorch's own will do).
    """
    raise NotImplementedError


def interleave(a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
    """Take turns: a₀, b₀, a₁, b₁, … along one dimension.

        interleave([1, 2], [10, 20])  →  [1, 10, 2, 20]

    Args:
        a, b: two tensors of one shape.
        dim: the dimension to interleave along; a negative one counts from the end of a
            and b, so -1 is their last.
    Returns:
        A tensor of twice the size along `dim` and the other sizes unchanged: along
        `dim`, its elements 0, 2, 4, … are those of a and 1, 3, 5, … those of b.

    Gradients flow back to a and b.

    Edge cases ★
        a and b may be non-contiguous and stay as they were; the result has their dtype
        and device.
        Different shapes (nothing is broadcast), tensors without dimensions, and a `dim`
        out of range are errors.
    """
    raise NotImplementedError


def make_grid(images: Tensor, columns: int) -> Tensor:
    """Put a batch of images side by side into one large image, row by row.

    Args:
        images: (N, C, H, W).
        columns: the number of images per row.
    Returns:
        (C, R·H, columns·W) with R = N / columns rows, rounded up. Image n is the cell
        in row n // columns and column n % columns. Five images in three columns:

            0 1 2
            3 4 ·

        Cells without an image are 0, also where `columns` is larger than N.

    Edge cases ★
        The grid has the dtype and device of the images and never shares memory with
        them. They may be non-contiguous. Images that are not 4-D, no images, and fewer
        than one column are errors.
    """
    raise NotImplementedError
