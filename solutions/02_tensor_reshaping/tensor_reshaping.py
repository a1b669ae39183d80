"""Reshaping: the same numbers in another shape, each still in its right place."""

import math  # stub: keep
from collections.abc import Sequence

import torch  # stub: keep
from torch import Tensor


def to_rows(x: Tensor, columns: int) -> Tensor:
    """Cut a row of N numbers into rows of `columns` numbers: (N / columns, columns).

    to_rows(tensor([1, 2, 3, 4]), 2)  →  tensor([[1, 2], [3, 4]])
    """
    return x.reshape(-1, columns)


def swap_axes(x: Tensor) -> Tensor:
    """Swap rows and columns: (R, C) → (C, R).

    swap_axes(tensor([[1, 2, 3], [4, 5, 6]]))  →  tensor([[1, 4], [2, 5], [3, 6]])
    """
    return x.T


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
    return sample.unsqueeze(0)


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
    if batch.ndim == 0 or batch.shape[0] != 1:
        raise ValueError(f"expected a batch of one, not the shape {tuple(batch.shape)}")
    return batch[0]


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
    if images.ndim != 4:
        raise ValueError(
            f"images should be (N, H, W, C), not of shape {tuple(images.shape)}"
        )
    return images.permute(0, 3, 1, 2).contiguous()


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
    if x.ndim == 0:
        raise ValueError("a tensor without dimensions is no batch")
    sample_shape = tuple(x.shape[1:])
    return x.reshape(x.shape[0], math.prod(sample_shape)), sample_shape


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
    if flat.ndim != 2:
        raise ValueError(f"flat should be (N, D), not of shape {tuple(flat.shape)}")
    if flat.shape[1] != math.prod(sample_shape):
        raise ValueError(
            f"rows of {flat.shape[1]} numbers do not make samples of shape "
            f"{tuple(sample_shape)}"
        )
    return flat.reshape(flat.shape[0], *sample_shape)


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
    try:
        return x.view(shape), True
    except RuntimeError:  # no view: a copy, or an error for that shape
        return x.reshape(shape), False


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
    if a.shape != b.shape or a.ndim == 0:
        raise ValueError(
            f"shapes {tuple(a.shape)} and {tuple(b.shape)}: expected one shape with a "
            "dimension or more"
        )
    if not -a.ndim <= dim < a.ndim:
        raise IndexError(f"there is no dimension {dim} in the shape {tuple(a.shape)}")
    dim %= a.ndim
    return torch.stack([a, b], dim=dim + 1).flatten(dim, dim + 1)


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
    if images.ndim != 4 or images.shape[0] == 0 or columns < 1:
        raise ValueError(
            f"no grid of {columns} columns for images of shape {tuple(images.shape)}"
        )
    count, channels, height, width = images.shape
    rows = math.ceil(count / columns)
    cells = images.new_zeros(rows * columns, channels, height, width)
    cells[:count] = images
    by_place = cells.reshape(rows, columns, channels, height, width)
    return by_place.permute(2, 0, 3, 1, 4).reshape(
        channels, rows * height, columns * width
    )
