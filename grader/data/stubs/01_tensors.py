"""What a tensor is made of: memory, a shape, a dtype, a device; how it comes from NumPy and pandas and goes back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def memory_by_dtype(shape: Sequence[int], dtypes: Sequence[torch.dtype]) -> dict[torch.dtype, int]:
    """Say how many bytes a tensor of this shape takes, for each of the dtypes.

    A tensor of shape (2, 3) has 2 × 3 = 6 elements. One float32 element takes 4 bytes (`torch.float32.itemsize`),
    so the tensor takes 24:

        memory_by_dtype((2, 3), [torch.float32, torch.bool])  →  {torch.float32: 24, torch.bool: 6}

    Args:
        shape: the size of each dimension.
        dtypes: any torch dtypes.
    Returns:
        A dict with one entry for each dtype: its bytes as a plain Python int.
    Raises:
        ValueError: a size in `shape` is negative.

    The shape () has one element, and a size of 0 makes a tensor of 0 bytes. No tensor of that shape is built:
    (1_000_000, 1_000_000) is answered at once.
    """
    raise NotImplementedError


def describe(x: Tensor) -> dict[str, object]:
    """Put down what there is to know about a tensor, in a dict with exactly these keys.

        ndim            how many dimensions x has
        shape           the size of each dimension, as a plain tuple of ints (torch.Size is a class of its own)
        numel           how many elements x has
        dtype           what an element is, such as torch.float32
        device          where x lives, as a torch.device
        element_size    the bytes of one element
        nbytes          numel × element_size: the bytes of the elements that x shows
        storage_nbytes  the bytes of the block of memory (the storage) that x looks into
        is_contiguous   True if the elements of x lie in memory one after the other, row by row
        value           the number in x as a plain Python number if x has exactly one element, else None

    table = torch.zeros(2, 3) has nbytes 24 and storage_nbytes 24. Its column table[:, 0] is a view: it shows 2 of the
    6 elements and shares the storage, so its nbytes is 8 and its storage_nbytes 24.

    A tensor with one element has its `value` whatever its shape: (), (1,) and (1, 1) alike.
    """
    raise NotImplementedError


def creation_patterns(
    rows: int,
    cols: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Make the tensors that every program starts from, in a dict with exactly these keys.

        scalar    ()               7
        vector    (cols,)          0, 2, 4, …
        matrix    (rows, cols)     0, 1, 2, … row by row: for 2 rows and 3 columns [[0, 1, 2], [3, 4, 5]]
        cube      (2, rows, cols)  0, 1, 2, … through the first layer row by row, then on through the second
        zeros     (rows, cols)     0 everywhere
        ones      (rows, cols)     1 everywhere
        eye       (rows, rows)     1 on the diagonal, 0 elsewhere
        linspace  (cols,)          evenly spaced from 0 to 1, both ends included; [0] if cols is 1
        uniform   (rows, cols)     random, spread evenly over [0, 1): 1 itself never occurs, whatever the dtype
        normal    (rows, cols)     random, from the normal distribution of mean 0 and standard deviation 1
        indices   (cols,)          0, 1, 2, … cols − 1

    Args:
        rows, cols: at least 1 each.
        dtype: of every tensor but `indices`, which is always int64, as PyTorch wants the numbers it indexes with.
        device: where all of them live.
        generator: draws `uniform` and `normal`: equally seeded generators give equal numbers, and torch's global
            generator is left alone. Each call draws further numbers. None means torch's global generator.
    Raises:
        ValueError: rows or cols is less than 1.
        TypeError: dtype is not floating point (integer, bool and complex dtypes are not).

    Nothing outside is changed, such as torch's default dtype.
    """
    raise NotImplementedError


def from_array(array: np.ndarray, *, copy: bool = False) -> Tensor:
    """Turn a NumPy array into a tensor of the same shape, dtype and values.

    Args:
        array: any array of numbers or bools. float64, NumPy's default, stays float64.
        copy: False makes a tensor that looks into the array's own memory: whatever is written to one shows in the
            other. True makes a tensor with memory of its own.
    Raises:
        TypeError: array is not a np.ndarray; the message names its type.
        ValueError: copy is False and the array is read-only, or has a negative stride (as array[::-1] has), which
            a tensor cannot have.

    With copy=True read-only arrays and negative strides are fine.
    """
    raise NotImplementedError


def to_array(x: Tensor) -> np.ndarray:
    """Turn a tensor into a NumPy array of the same shape, dtype and values.

    Args:
        x: on any device; it may require grad and need not be contiguous.
    Returns:
        An array with memory of its own: writing to it never changes x. bfloat16, which NumPy does not have, becomes
        float32; every other dtype is kept.

    x stays as it is: if it required grad before, it does so afterwards.
    """
    raise NotImplementedError


def dataframe_to_tensor(df: pd.DataFrame, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[str]]:
    """Turn a table into a tensor of one dtype, and say which column is which.

        age  member
         31    True     →   tensor([[31., 1.], [27., 0.]]), ["age", "member"]
         27   False

    Args:
        df: columns of numbers (NumPy's integer and floating dtypes) or bools, mixed as they come, named by strings.
        dtype: of the tensor.
    Returns:
        The values, (rows, columns), in the order of the frame; and the list of the column names in that order.
    Raises:
        TypeError: a column is not numeric; the message names the first such column. Text (also "12"), dates and
            categories are not numbers.

    NaN stays NaN. The values are exact as far as `dtype` can hold them: an int64 column read with dtype=torch.int64
    keeps 2**53 + 1, which no floating dtype can hold, even beside float columns; and float64 keeps the 0.1 of a
    float64 column. The tensor never shares memory with the frame.
    """
    raise NotImplementedError


def tensor_to_dataframe(x: Tensor, columns: Sequence[str], *, index: Sequence | None = None) -> pd.DataFrame:
    """Turn a (rows, columns) tensor into a table whose columns have names.

    Args:
        x: (rows, columns). It may require grad, be bfloat16, and need not be contiguous.
        columns: one name for each column of x, in order.
        index: one label for each row, such as the index of the frame that x was made from; None numbers the rows
            0, 1, 2, …
    Returns:
        A frame with memory of its own: writing to it or to x never changes the other. Integer tensors give integer
        columns (an int64 keeps every digit), floating ones float columns.
    Raises:
        ValueError: x is not 2-D, or the number of names is not the number of columns.
    """
    raise NotImplementedError


def to_device(batch: Any, device: torch.device | str | None = None) -> Any:
    """Move every tensor in a batch to a device, however deep it is nested.

        to_device({"image": x, "boxes": [a, b], "file": "cat.png"}, "cuda")
        →         {"image": x.to("cuda"), "boxes": [a.to("cuda"), b.to("cuda")], "file": "cat.png"}

    Args:
        batch: a tensor, or dicts, lists, tuples and namedtuples of tensors and of one another. Anything else in it
            (text, numbers, None) comes back as it is.
        device: where to. None looks, at each call, for the best there is: "cuda" if torch.cuda.is_available(),
            else "mps" if torch.backends.mps.is_available(), else "cpu".
    Returns:
        The batch in new containers of the same types: a dict with its keys in the same order, a list, a tuple, a
        namedtuple of the same class. The containers given still hold the tensors that they held.
    """
    raise NotImplementedError
