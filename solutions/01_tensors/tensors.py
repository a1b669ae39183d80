"""What a tensor is made of: memory, a shape, a dtype and a device; the way from NumPy and pandas and back."""

import math  # stub: keep
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def count_to(n: int) -> Tensor:
    """Count from 0 to n − 1, in int64.

    count_to(4)  →  tensor([0, 1, 2, 3])
    """
    return torch.arange(n)


def filled(rows: int, cols: int, value: float) -> Tensor:
    """Make a (rows, cols) tensor of float32 with the same number everywhere.

    filled(2, 3, 7)  →  tensor([[7., 7., 7.], [7., 7., 7.]])
    """
    return torch.full((rows, cols), value, dtype=torch.float32)


def to_float(x: Tensor) -> Tensor:
    """Give the same numbers in float32.

    to_float(tensor([3, 1]))  →  tensor([3., 1.])
    """
    return x.float()


def memory_by_dtype(shape: Sequence[int], dtypes: Sequence[torch.dtype]) -> dict[torch.dtype, int]:
    """Compute the bytes that a tensor of this shape takes, per dtype.

    A (2, 3) tensor has 2 × 3 = 6 elements, and a float32 element takes 4 bytes (`torch.float32.itemsize`): 24 bytes.

        memory_by_dtype((2, 3), [torch.float32, torch.bool])  →  {torch.float32: 24, torch.bool: 6}

    Args:
        shape: the size of each dimension.
        dtypes: any torch dtypes.
    Returns:
        The bytes for each dtype.

    Build no tensor of that shape: (1_000_000, 1_000_000) is answered at once.

    Edge cases ★
        The shape () has one element, and a size of 0 gives 0 bytes. A negative size is an error.
    """
    if any(size < 0 for size in shape):
        raise ValueError(f"a size cannot be negative: {tuple(shape)}")
    return {dtype: math.prod(shape) * dtype.itemsize for dtype in dtypes}


def describe(x: Tensor) -> dict[str, object]:
    """Describe a tensor in a dict with exactly these keys.

        ndim            number of dimensions
        shape           size of each dimension, a tuple
        numel           number of elements
        dtype           such as torch.float32
        device          a torch.device
        element_size    bytes per element
        nbytes          numel × element_size
        storage_nbytes  bytes of the memory (the storage) behind x
        is_contiguous   True if the elements lie in memory row by row
        value           the Python number in x if numel is 1, else None

    table = torch.zeros(2, 3) takes 24 bytes. Its column table[:, 0] is a view: nbytes 8, storage_nbytes 24.
    A tensor with one element has a value whatever its shape: (), (1,) or (1, 1).

    Edge cases ★
        `shape` is a plain tuple, not a torch.Size. The value of an empty tensor is None.
    """
    return {
        "ndim": x.ndim,
        "shape": tuple(x.shape),
        "numel": x.numel(),
        "dtype": x.dtype,
        "device": x.device,
        "element_size": x.element_size(),
        "nbytes": x.nbytes,
        "storage_nbytes": x.untyped_storage().nbytes(),
        "is_contiguous": x.is_contiguous(),
        "value": x.item() if x.numel() == 1 else None,
    }


def counting_patterns(
    rows: int, cols: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Make five tensors that count, in a dict with exactly these keys.

        vector    (cols,)          0, 2, 4, …
        matrix    (rows, cols)     0, 1, 2, … row by row: [[0, 1, 2], [3, 4, 5]] for 2 rows and 3 columns
        cube      (2, rows, cols)  0, 1, 2, … row by row through the first layer, then on through the second
        linspace  (cols,)          evenly spaced from 0 to 1, both ends included
        indices   (cols,)          0, 1, 2, … cols − 1

    Args:
        dtype: of all but `indices`. Positions are whole numbers: `indices` is always int64.
        device: of all five.

    Edge cases ★
        One row or one column works, and `linspace` is then [0]. `linspace` has the full precision of `dtype`.
    """
    kind: dict[str, Any] = {"dtype": dtype, "device": device}
    return {
        "vector": torch.arange(0, 2 * cols, 2, **kind),
        "matrix": torch.arange(rows * cols, **kind).reshape(rows, cols),
        "cube": torch.arange(2 * rows * cols, **kind).reshape(2, rows, cols),
        "linspace": torch.linspace(0, 1, cols, **kind),
        "indices": torch.arange(cols, device=device),
    }


def random_patterns(
    rows: int,
    cols: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Draw two random tensors, in a dict with exactly these keys.

        uniform  (rows, cols)  every number in [0, 1) equally likely
        normal   (rows, cols)  mean 0 and standard deviation 1

    Args:
        dtype, device: of both.
        generator: the source of the random numbers. None means torch's global generator.

    Equally seeded generators give equal numbers, and a second draw gives other numbers.
    A call with a generator leaves the global one as it was.

    Edge cases ★
        1 never occurs in `uniform`, whatever the dtype: bfloat16 would round 0.999 up to 1.
    """
    kind: dict[str, Any] = {"dtype": dtype, "device": device, "generator": generator}
    return {"uniform": torch.rand(rows, cols, **kind), "normal": torch.randn(rows, cols, **kind)}


def column_to_tensor(df: pd.DataFrame, name: str) -> Tensor:
    """Turn one numeric column of a table into a float32 tensor of shape (rows,).

    column_to_tensor(people, "age")  →  tensor([31., 27.])
    """
    return torch.tensor(df[name].to_numpy(), dtype=torch.float32)


def tensor_to_dataframe(x: Tensor, columns: Sequence[str], *, index: Sequence | None = None) -> pd.DataFrame:
    """Turn a (rows, columns) tensor into a table with named columns.

    Args:
        x: (rows, columns); it may require grad, and stays as it is.
        columns: one name per column of x, in order.
        index: one label per row; None numbers the rows 0, 1, 2, …
    Returns:
        The frame. Integer tensors give integer columns, floating ones float columns.

    Edge cases ★
        x may be non-contiguous or bfloat16. The frame shares no memory with x.
        An x that is not 2-D is an error. So is a number of names that differs from the number of columns.
    """
    if x.ndim != 2:
        raise ValueError(f"x must have two dimensions, rows and columns; its shape is {tuple(x.shape)}")
    if x.dtype == torch.bfloat16:
        x = x.float()
    # Asked to copy, since pandas 2 would share the memory. A wrong number of names is a ValueError of pandas itself.
    return pd.DataFrame(x.numpy(force=True), columns=columns, index=index, copy=True)


def from_array(array: np.ndarray, *, copy: bool = False) -> Tensor:
    """Turn a NumPy array into a tensor of the same shape, dtype and values.

    Args:
        array: numbers or bools. float64, NumPy's default, stays float64.
        copy: False makes a tensor that shares the array's memory: a write to one shows in the other.
            True makes a tensor with memory of its own.

    Edge cases ★
        `copy=True` also takes a read-only array and one with negative strides, such as array[::-1].
        `copy=False` refuses both with an error, and shares other strided arrays such as array[:, ::2].
        Anything but a np.ndarray is an error that names its type.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"a NumPy array is needed, not {type(array).__name__}")
    if copy:
        return torch.from_numpy(array.copy())
    if not array.flags.writeable:
        raise ValueError("the array is read-only, and a tensor that shares its memory could write to it: use copy=True")
    return torch.from_numpy(array)  # itself raises ValueError for negative strides


def to_array(x: Tensor) -> np.ndarray:
    """Turn a tensor into a NumPy array of the same shape, dtype and values.

    Args:
        x: on any device; it may require grad.
    Returns:
        An array with memory of its own: a write to the array never changes x.

    x stays as it is: a tensor that requires grad still does so afterwards.

    Edge cases ★
        x may be non-contiguous. bfloat16, which NumPy does not have, becomes float32.
    """
    if x.dtype == torch.bfloat16:
        x = x.float()
    return x.numpy(force=True).copy()


def dataframe_to_tensor(df: pd.DataFrame, *, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[str]]:
    """Turn a table into a tensor of one dtype, and list the names of its columns.

        age  member
         31    True     →   tensor([[31., 1.], [27., 0.]]), ["age", "member"]
         27   False

    Args:
        df: columns of integers, floats or bools, with strings as names.
        dtype: of the tensor.
    Returns:
        The (rows, columns) tensor and the list of names, both in the order of the frame. NaN stays NaN.

    Edge cases ★
        Values are as exact as `dtype` allows: int64 keeps 2**53 + 1 even beside float columns, and float64 keeps 0.1.
        Any torch dtype works, also bfloat16. The tensor shares no memory with the frame.
        A column of text (such as "12"), dates or categories is an error that names the first such column.
    """
    result = torch.empty(df.shape, dtype=dtype)
    for position, (name, column) in enumerate(df.items()):
        if not pd.api.types.is_numeric_dtype(column):
            raise TypeError(f"column {name!r} is not numeric: its dtype is {column.dtype}")
        result[:, position] = torch.tensor(column.to_numpy())
    return result, list(df.columns)


def to_device(batch: Any, device: torch.device | str | None = None) -> Any:
    """Move every tensor in a batch to a device, however deep it is nested.

        to_device({"image": x, "boxes": [a, b], "file": "cat.png"}, "cuda")
        →         {"image": x.to("cuda"), "boxes": [a.to("cuda"), b.to("cuda")], "file": "cat.png"}

    Args:
        batch: a tensor, or dicts, lists and tuples that hold tensors and each other. Anything else in it
            (text, numbers, None) comes back as it is.
        device: None means "cuda" if torch.cuda.is_available(), else "mps" if torch.backends.mps.is_available(),
            else "cpu".
    Returns:
        New containers of the same types. Dicts keep the order of their keys. The given containers do not change.

    Edge cases ★
        A namedtuple comes back as a namedtuple of its own class.
    """
    if device is None:
        if torch.cuda.is_available():
            device = "cuda"
        else:
            device = "mps" if torch.backends.mps.is_available() else "cpu"
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, (list, tuple)):
        moved = [to_device(item, device) for item in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


def creation_patterns(
    rows: int,
    cols: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Make eleven tensors that programs start from, in a dict with exactly these keys.

        scalar  ()            7
        zeros   (rows, cols)  0 everywhere
        ones    (rows, cols)  1 everywhere
        eye     (rows, rows)  1 on the diagonal, 0 elsewhere

    and the seven of `counting_patterns` and `random_patterns`. You may call both.

    Args:
        dtype: of every tensor but `indices`.
        device: of every tensor.
        generator: of the two random tensors.

    Change no global state, such as torch's default dtype.

    Edge cases ★
        Fewer than one row or column is an error, and so is a dtype that is not floating point.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"rows and cols must be at least 1, not {rows} and {cols}")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be floating point, not {dtype}")
    kind: dict[str, Any] = {"dtype": dtype, "device": device}
    return {
        "scalar": torch.tensor(7, **kind),
        "zeros": torch.zeros(rows, cols, **kind),
        "ones": torch.ones(rows, cols, **kind),
        "eye": torch.eye(rows, **kind),
        **counting_patterns(rows, cols, dtype, device),
        **random_patterns(rows, cols, dtype, device, generator),
    }
