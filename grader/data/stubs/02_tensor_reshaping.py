"""Reshaping: the same numbers in another shape, with each number still where its meaning says it should be."""

from collections.abc import Sequence

from torch import Tensor


def add_batch_dim(sample: Tensor) -> Tensor:
    """Make a batch of one out of a single sample, by a new first dimension of size 1.

    A model takes batches: an image (3, 8, 8) goes in as (1, 3, 8, 8).

    Args:
        sample: any shape.
    Returns:
        (1, *sample.shape), a view of the sample: nothing is copied, and gradients flow back to it.

    A sample without dimensions gives (1,), and a non-contiguous one (a transposed one, say) is not copied either. The
    sample itself keeps its shape.
    """
    raise NotImplementedError


def drop_batch_dim(batch: Tensor) -> Tensor:
    """Take the only sample out of a batch of one: the way back from `add_batch_dim`.

    Args:
        batch: (1, …).
    Returns:
        (…), a view of the batch: nothing is copied, and gradients flow back to it. Only the first dimension goes,
        other dimensions of size 1 stay: (1, 1, 5) gives (1, 5).

    A non-contiguous batch is not copied either. The batch itself keeps its shape.

    Raises:
        ValueError: the first dimension is not of size 1, or there is none.
    """
    raise NotImplementedError


def nhwc_to_nchw(images: Tensor) -> Tensor:
    """Move the channels of a batch of images from last place, where files have them, to second, where layers want them.

    Args:
        images: (N, H, W, C), of any dtype: N images of H rows and W columns, each pixel with its C channels.
    Returns:
        (N, C, H, W), contiguous, of the same dtype: channel c of image n, `result[n, c]`, is the whole plane
        `images[n, :, :, c]`. One image of 1 × 2 pixels, [[[r0, g0, b0], [r1, g1, b1]]], becomes three planes of
        1 × 2: [[r0, r1]], [[g0, g1]] and [[b0, b1]].

    Gradients flow back to the images, which stay as they were and need not be contiguous.

    Raises:
        ValueError: `images` is not 4-D.
    """
    raise NotImplementedError


def flatten_samples(x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Lay out each sample of a batch as one row of numbers, as a linear layer wants it.

    Args:
        x: (N, …), a batch of N samples.
    Returns:
        The pair (flat, sample shape). `flat` is (N, D) with D the number of elements of a sample: row i holds the
        elements of `x[i]`, in the order of `x[i].flatten()`. The sample shape is a plain tuple of ints (torch.Size is a
        class of its own), the shape of x without N. A batch (32, 3, 8, 8) gives (32, 192) and (3, 8, 8).

    Gradients flow back to x, which need not be contiguous. An empty batch keeps its D: (0, 3, 8, 8) gives (0, 192).
    A batch of numbers (N,) gives (N, 1) and the sample shape ().

    Raises:
        ValueError: x has no dimensions, so no batch.
    """
    raise NotImplementedError


def unflatten_samples(flat: Tensor, sample_shape: Sequence[int]) -> Tensor:
    """Give the rows of a flat batch their shape back: the way back from `flatten_samples`.

    Args:
        flat: (N, D), one row per sample.
        sample_shape: the shape of one sample, without N: a tuple, a list or a torch.Size.
    Returns:
        (N, *sample_shape): `result[i].flatten()` is `flat[i]`.

    N is that of `flat`, whatever the batch was before: a part of its rows and an empty batch (0, D) are fine.
    The sample shape () turns (N, 1) into (N,). Gradients flow back to `flat`, which need not be contiguous.

    Raises:
        ValueError: `flat` is not 2-D, or D is not the product of `sample_shape` (also when N is 0). A -1 is not filled
            in: (3, -1) has the product -3.
    """
    raise NotImplementedError


def reshape_and_check(x: Tensor, shape: Sequence[int]) -> tuple[Tensor, bool]:
    """Reshape x, and say whether the result is a view of it or a copy.

    Args:
        x: any tensor, contiguous or not.
        shape: the shape wanted; one size may be -1, which stands for whatever is left.
    Returns:
        The pair (reshaped, is_view). `reshaped` has the elements of x in the order in which x is indexed, and gradients
        flow back. `is_view` is True if it shares memory with x, so that writing to one changes the other, and False if
        it is a copy.

    It is a view wherever one is possible. Of a contiguous x every shape is. Of a non-contiguous x some still are: the
    transposed (4, 3) of a (3, 4) tensor can be viewed as (2, 2, 3), but not as (12,).

    Raises:
        ValueError: the shape does not fit the number of elements, or has more than one -1.
    """
    raise NotImplementedError


def interleave(a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
    """Take turns: a₀, b₀, a₁, b₁, … along one dimension.

    Args:
        a, b: two tensors of one shape and dtype.
        dim: the dimension to interleave along; a negative one counts from the end of a and b, so -1 is their last.
    Returns:
        A tensor of twice the size along `dim` and the other sizes unchanged, of the same dtype and on the same device:
        along `dim`, its elements 0, 2, 4, … are those of a and 1, 3, 5, … those of b.

        interleave([1, 2], [10, 20])  →  [1, 10, 2, 20]

    Gradients flow back to a and b, which stay as they were and need not be contiguous.

    Raises:
        ValueError: the shapes differ (nothing is broadcast), or a and b have no dimensions.
        IndexError: there is no dimension `dim`.
    """
    raise NotImplementedError


def make_grid(images: Tensor, columns: int) -> Tensor:
    """Put a batch of images side by side into one large image, row by row.

    Args:
        images: (N, C, H, W), of any dtype, contiguous or not.
        columns: how many images stand in a row.
    Returns:
        (C, R·H, columns·W) with R rows, as many as N images need (N / columns, rounded up). Image n is the cell in row
        n // columns and column n % columns. Five images in three columns:

            0 1 2
            3 4 ·

        Cells without an image are 0, also where `columns` is larger than N.

    dtype and device are those of the images. The grid is a new tensor: it never shares memory with them.

    Raises:
        ValueError: `images` is not 4-D or holds no image, or `columns` is below 1.
    """
    raise NotImplementedError
