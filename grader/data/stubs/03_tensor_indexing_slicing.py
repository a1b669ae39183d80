"""Indexing and slicing: slices give views, index tensors and masks give copies.

Sizes: R or T rows, N × N matrices, H × W images, C columns, B batch elements. "(…, N, N)" stands for any number of
dimensions in front, none included.
"""

from torch import Tensor


def every_other_row(x: Tensor, start: int = 0) -> Tensor:
    """Take every second row, without copying anything.

    Args:
        x: (R, …), with at least one dimension.
        start: 0 for the rows 0, 2, 4, …, or 1 for the rows 1, 3, 5, …
    Returns:
        A view of `x`: it shares memory with `x`, so a write to the one is seen in the other. Of the rows
        [a b c d e], start 0 gives [a c e] and start 1 gives [b d].

    One row and start 1 give no rows: the shape is then (0, …). `x` may be non-contiguous. Gradients reach the rows
    taken.

    Raises:
        ValueError: `start` is neither 0 nor 1, or `x` is 0-dim.
    """
    raise NotImplementedError


def diagonal(x: Tensor) -> Tensor:
    """Take the diagonal of every square matrix in a batch.

    Args:
        x: (…, N, N), of any dtype.
    Returns:
        (…, N), of the same dtype: entry i is x[…, i, i]. From [[1, 2], [3, 4]] this is [1, 4].

    To be written from scratch: `torch.diagonal`, `torch.diag`, `torch.linalg.diagonal` and the methods of these names
    are not allowed. What stands off the diagonal, NaN and inf included, never reaches the result. N = 0 gives (…, 0).
    `x` may be non-contiguous; the gradient of entry i goes to x[…, i, i] alone.

    Raises:
        ValueError: the last two dimensions differ in size, or `x` has fewer than two.
    """
    raise NotImplementedError


def sliding_windows(x: Tensor, size: int, step: int = 1) -> Tensor:
    """Cut a sequence into windows of equal length that may overlap.

    Args:
        x: (T, …), with at least one dimension.
        size: rows in each window.
        step: rows from the start of one window to the start of the next.
    Returns:
        (W, size, …) with W = (T - size) // step + 1: window w is x[w·step : w·step + size]. Of the rows [a b c d e],
        size 3 and step 2 give [[a b c], [c d e]]; with size 2 and step 2 they give [[a b], [c d]].

    Only whole windows count, and rows after the last whole one are left out. No two windows share memory: a write to
    one leaves the others as they are. A row that stands in several windows gets the sum of their gradients. `x` may
    be non-contiguous and is not changed.

    Raises:
        ValueError: `size` or `step` is below 1, `size` is more than T, or `x` is 0-dim.
    """
    raise NotImplementedError


def crop(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """Cut a rectangle out of an image, without copying anything, and refuse one that leaves the image.

    Args:
        image: (…, H, W).
        top: the first row of the rectangle.
        left: its first column.
        height: how many rows.
        width: how many columns.
    Returns:
        (…, height, width), a view of `image`: entry (r, c) is image[…, top + r, left + c].

    The rectangle may touch every edge of the image, and be all of it. `image` may be non-contiguous. Gradients reach
    what lies inside.

    Raises:
        ValueError: the rectangle reaches past an edge, `top` or `left` is negative, or `height` or `width` is below 1.
            A plain slice would quietly return less, or count a negative corner from the other end.
    """
    raise NotImplementedError


def zero_border(image: Tensor, width: int = 1) -> Tensor:
    """Set the outermost rows and columns of an image to zero.

    Args:
        image: (…, H, W), of any dtype.
        width: how many rows at the top and at the bottom, and columns at the left and at the right, become 0.
    Returns:
        A new tensor of the same shape and dtype. Of [[a b c d], [e f g h], [i j k l]] width 1 leaves
        [[0 0 0 0], [0 f g 0], [0 0 0 0]].

    `image` may be non-contiguous and is not changed. NaN and inf in the border become 0 like everything else there.
    Width 0 gives a copy, and a width of half of H (or half of W) or more gives all zeros. The gradient is 0 at the
    border and passes inside.

    Raises:
        ValueError: `width` is negative.
    """
    raise NotImplementedError


def pick_per_row(x: Tensor, index: Tensor) -> Tensor:
    """Take one element from every row, each row its own.

    Args:
        x: (…, C), with at least two dimensions.
        index: (…), of x's shape without its last dimension, of any integer dtype, int32 and uint8 included.
    Returns:
        (…), the element x[…, index] of each row. From [[1, 2, 3], [4, 5, 6]] the index [2, 0] picks [3, 4].

    This is how a loss picks the score of the right class. Gradients reach only what was picked. `x` and `index` may
    be non-contiguous, and are not changed.

    Raises:
        TypeError: `index` is floating-point or bool.
        ValueError: `index.shape` is not `x.shape[:-1]`.
        IndexError: a value of `index` is outside 0 … C - 1. Negative ones do not count from the end.
    """
    raise NotImplementedError


def last_valid(x: Tensor, lengths: Tensor) -> Tensor:
    """Take the last real step of every padded sequence.

    Args:
        x: (B, T, …): sequence b has `lengths[b]` real steps, and padding behind them.
        lengths: (B,), int64.
    Returns:
        (B, …): x[b, lengths[b] - 1] for every b. With T = 4, a length of 3 takes step 2.

    Padding is never read: it may hold NaN or inf. Gradients reach only the steps taken. `x` may be non-contiguous,
    and neither tensor is changed.

    Raises:
        ValueError: `lengths` is not of shape (B,), or one of them is outside 1 … T.
    """
    raise NotImplementedError


def filter_rows(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Keep the rows where a mask is True, and say which they were.

    Args:
        x: (R, …).
        mask: (R,), bool.
    Returns:
        The K kept rows in their order, (K, …), and their row numbers, (K,), int64. Of the rows [a b c] the mask
        [True, False, True] keeps [a c], the rows number [0, 2].

    K may be 0 or 1: the shapes are then (0, …) and (0,), or (1, …) and (1,). The rows are copies, also when all of
    them are kept. `x` and `mask` may be non-contiguous, and are not changed. Gradients reach the kept rows.

    Raises:
        TypeError: `mask` is not bool. Integers 0 and 1 would be taken as row numbers.
        ValueError: `mask` is not of shape (R,).
    """
    raise NotImplementedError
