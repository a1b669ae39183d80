"""Indexing and slicing: slices give views, index tensors and masks give copies.

"(…, N, N)" means any number of dimensions in front, none included.
"""

import torch  # stub: keep
from torch import Tensor


def first_rows(x: Tensor, n: int) -> Tensor:
    """Take the first n rows.

    first_rows(tensor([[1, 2], [3, 4], [5, 6]]), 2)  →  tensor([[1, 2], [3, 4]])
    """
    return x[:n]


def last_column(x: Tensor) -> Tensor:
    """Take the last column of a matrix: (R, C) → (R,).

    last_column(tensor([[1, 2, 3], [4, 5, 6]]))  →  tensor([3, 6])
    """
    return x[:, -1]


def every_other_row(x: Tensor, start: int = 0) -> Tensor:
    """Take every second row, without copying anything.

    Args:
        x: (R, …).
        start: 0 for the rows 0, 2, 4, …, or 1 for the rows 1, 3, 5, …
    Returns:
        A view of `x`, in the same memory. Of the rows [a b c d e], start 0 gives
        [a c e] and start 1 gives [b d].

    A single row and start 1 give no rows: the shape is then (0, …). Gradients reach the
    rows taken.

    Edge cases ★
        `x` may be non-contiguous. Another `start` is an error, and so is an `x`
        without dimensions.
    """
    if start not in (0, 1):
        raise ValueError(f"start should be 0 or 1, not {start}")
    if x.ndim == 0:
        raise ValueError("x has no rows: it is 0-dim")
    return x[start::2]


def diagonal(x: Tensor) -> Tensor:
    """Take the diagonal of every square matrix in a batch.

    Args:
        x: (…, N, N).
    Returns:
        (…, N): entry i is x[…, i, i]. For [[1, 2], [3, 4]] this is [1, 4].

    Write it from scratch: without `torch.diagonal`, `torch.diag`,
    `torch.linalg.diagonal` and the methods of these names. The gradient of entry i goes
    to x[…, i, i] alone.

    Edge cases ★
        NaN and inf off the diagonal never reach the result. The dtype is kept, `x` may
        be non-contiguous, and N = 0 gives (…, 0). Different sizes of the last two
        dimensions, or fewer than two dimensions, are errors.
    """
    if x.ndim < 2 or x.shape[-2] != x.shape[-1]:
        raise ValueError(f"x should be (…, N, N), not of shape {tuple(x.shape)}")
    i = torch.arange(x.shape[-1], device=x.device)
    return x[..., i, i]


def sliding_windows(x: Tensor, size: int, step: int = 1) -> Tensor:
    """Cut a sequence into windows of equal length that may overlap.

    Args:
        x: (T, …).
        size: rows per window.
        step: rows from the start of one window to the start of the next.
    Returns:
        (W, size, …) with W = (T - size) // step + 1: window w is x[w·step :
        w·step + size]. Of the rows [a b c d e], size 3 and step 2 give
        [[a b c], [c d e]]; size 2 and step 2 give [[a b], [c d]].

    Only whole windows count: rows after the last one are left out.
    A row in several windows gets the sum of their gradients.

    Edge cases ★
        No two windows share memory: a write to one leaves the others as they are. `x`
        keeps its values and dtype, and may be non-contiguous. A `size` or `step` below
        1, a `size` above T, and an `x` without dimensions are errors.
    """
    if x.ndim == 0:
        raise ValueError("x has no rows: it is 0-dim")
    if size < 1 or step < 1 or size > len(x):
        raise ValueError(f"no windows of size {size} and step {step} in {len(x)} rows")
    starts = torch.arange(0, len(x) - size + 1, step, device=x.device)
    rows = starts.unsqueeze(1) + torch.arange(size, device=x.device)
    return x[rows]


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Cut a rectangle out of an image, without copying anything.

    Args:
        image: (…, H, W).
        top: the first row of the rectangle.
        left: its first column.
        height: its number of rows.
        width: its number of columns.
    Returns:
        (…, height, width), a view of `image`: entry (r, c) is image[…,
        top + r, left + c].

    The rectangle may touch the edges of the image or be the whole image. Gradients
    reach the rectangle alone.

    Edge cases ★
        `image` may be non-contiguous. A rectangle that reaches past an edge, a negative
        `top` or `left`, and a `height` or `width` below 1 are errors: a plain slice
        would quietly return less, or count from the other end.
    """
    rows, columns = image.shape[-2:]
    if (
        top < 0
        or left < 0
        or height < 1
        or width < 1
        or top + height > rows
        or left + width > columns
    ):
        raise ValueError(
            f"{height} × {width} at row {top}, column {left} leaves an image of "
            f"{rows} × {columns}"
        )
    return image[..., top : top + height, left : left + width]


def zero_border(image: Tensor, width: int = 1) -> Tensor:
    """Set the outermost rows and columns of an image to zero, in a copy.

    Args:
        image: (…, H, W); it is not changed.
        width: the number of rows at the top and at the bottom, and of columns at the
            left and at the right.
    Returns:
        A new tensor of the same shape. Of [[a b c d], [e f g h], [i j k l]] width 1
        leaves [[0 0 0 0], [0 f g 0], [0 0 0 0]].

    The gradient is 0 at the border, and passes through inside.

    Edge cases ★
        NaN and inf in the border become 0 like everything else there. Width 0 gives a
        copy; a width of half of H or half of W or more gives all zeros. The dtype is
        kept, and `image` may be non-contiguous.
        A negative width is an error.
    """
    if width < 0:
        raise ValueError(f"width should be 0 or more, not {width}")
    rows, columns = image.shape[-2:]
    inside = (..., slice(width, rows - width), slice(width, columns - width))
    out = torch.zeros_like(image)
    out[inside] = image[inside]
    return out


def pick_per_row(x: Tensor, index: Tensor) -> Tensor:
    """Take one element from every row, each row its own.

    Args:
        x: (…, C), with at least two dimensions.
        index: (…), int64, of x's shape without its last dimension.
    Returns:
        (…), the element x[…, index] of each row. From [[1, 2, 3], [4, 5, 6]] the index
        [2, 0] picks [3, 4].

    A loss picks the score of the right class like this. Gradients reach only the
    picked elements.

    Edge cases ★
        NaN elsewhere in a row stays out. The dtype of `x` is kept, both may be
        non-contiguous, and neither is changed. `index` may be of any integer dtype,
        int32 and uint8 too. A float or bool index, another shape, and a value outside 0
        … C - 1 are errors: negative ones do not count from the end.
    """
    if index.is_floating_point() or index.dtype == torch.bool:
        raise TypeError(f"index should hold integers, not {index.dtype}")
    if index.shape != x.shape[:-1]:
        raise ValueError(
            f"index should be of shape {tuple(x.shape[:-1])}, not {tuple(index.shape)}"
        )
    index = index.long()
    if ((index < 0) | (index >= x.shape[-1])).any():
        raise IndexError(
            f"index goes from {index.min()} to {index.max()}, allowed is 0 to "
            f"{x.shape[-1] - 1}"
        )
    return x.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def last_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Take the last real step of every padded sequence.

    Args:
        x: (B, T, …): sequence b has `lengths[b]` real steps, and then padding.
        lengths: (B,), int64; it is not changed.
    Returns:
        (B, …): x[b, lengths[b] - 1] for every b. With T = 4, a length of 3 takes
        step 2.

    Gradients reach only the steps taken.

    Edge cases ★
        Padding is never read: it may hold NaN or inf. `x` may be non-contiguous.
        Lengths that are not of shape (B,), or not from 1 to T, are errors.
    """
    if lengths.shape != x.shape[:1]:
        raise ValueError(
            f"lengths should be of shape {tuple(x.shape[:1])}, not "
            f"{tuple(lengths.shape)}"
        )
    if ((lengths < 1) | (lengths > x.shape[1])).any():
        raise ValueError(
            f"lengths should be from 1 to {x.shape[1]}, not {lengths.tolist()}"
        )
    return x[torch.arange(len(x), device=x.device), lengths - 1]


def filter_rows(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the rows where a mask is True, and say which they were.

    Args:
        x: (R, …).
        mask: (R,), bool.
    Returns:
        The K kept rows in their order, (K, …), and their row numbers, (K,), int64. Of
        the rows [a b c] the mask [True, False, True] keeps [a c], rows number [0, 2].
        One kept row gives (1, …) and (1,).

    The rows are copies, also when all of them are kept. Gradients reach the kept rows.

    Edge cases ★
        No kept row gives (0, …) and (0,). `x` and `mask` may be non-contiguous, and are
        not changed.
        A mask that is not bool, or not of shape (R,), is an error: integers 0 and 1
        would be taken as row numbers.
    """
    if mask.dtype != torch.bool:
        raise TypeError(f"mask should be bool, not {mask.dtype}")
    if mask.shape != x.shape[:1]:
        raise ValueError(
            f"mask should be of shape {tuple(x.shape[:1])}, not {tuple(mask.shape)}"
        )
    return x[mask], mask.nonzero().squeeze(1)
