"""The parts of a tensor: memory, a shape, a dtype and a device; the way from NumPy and
pandas and back.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor


def count_to(n: int) -> Tensor:
    """0, 1, 2, … n − 1."""
    return torch.arange(n)


def filled(rows: int, cols: int, value: float) -> Tensor:
    """One number everywhere."""
    return torch.full((rows, cols), value, dtype=torch.float32)


def to_float(x: Tensor) -> Tensor:
    """The same numbers in float32."""
    return x.float()


def memory_by_dtype(
    shape: Sequence[int], dtypes: Sequence[torch.dtype]
) -> dict[torch.dtype, int]:
    """Bytes = product of the sizes × bytes of one element."""
    return {dtype: math.prod(shape) * dtype.itemsize for dtype in dtypes}


def describe(x: Tensor) -> dict[str, object]:
    """Describe a tensor."""
    return {
        "ndim": x.ndim,
        "shape": tuple(x.shape),
        "numel": x.numel(),
        "dtype": x.dtype,
        "device": x.device,
        "element_size": x.element_size(),
        "nbytes": x.numel() * x.element_size(),
        "storage_nbytes": x.untyped_storage().nbytes(),
        "is_contiguous": x.is_contiguous(),
        "value": x.item() if x.numel() == 1 else None,
    }


def counting_patterns(
    rows: int,
    cols: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> dict[str, Tensor]:
    """Five tensors that count."""
    options = {"dtype": dtype, "device": device}
    return {
        "vector": torch.arange(0, 2 * cols, 2, **options),
        "matrix": torch.arange(rows * cols, **options).reshape(rows, cols),
        "cube": torch.arange(2 * rows * cols, **options).reshape(2, rows, cols),
        "linspace": torch.linspace(0, 1, cols, **options),
        "indices": torch.arange(cols, device=device),
    }


def random_patterns(
    rows: int,
    cols: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Uniform and normal random numbers."""
    options = {"dtype": dtype, "device": device, "generator": generator}
    return {
        "uniform": torch.rand(rows, cols, **options),
        "normal": torch.randn(rows, cols, **options),
    }


def column_to_tensor(df: pd.DataFrame, name: str) -> Tensor:
    """One column of a table."""
    return torch.tensor(df[name].to_numpy(), dtype=torch.float32)


def tensor_to_dataframe(
    x: Tensor, columns: Sequence[str], *, index: Sequence | None = None
) -> pd.DataFrame:
    """A (rows, columns) tensor to a table whose columns have names."""
    return pd.DataFrame(x.detach().numpy(), columns=columns, index=index)


def from_array(array: np.ndarray, *, copy: bool = False) -> Tensor:
    """NumPy to torch, shared or copied."""
    return torch.tensor(array) if copy else torch.from_numpy(array)


def to_array(x: Tensor) -> np.ndarray:
    """Torch to NumPy, always a copy."""
    return x.detach().cpu().numpy().copy()


def dataframe_to_tensor(
    df: pd.DataFrame, *, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, list[str]]:
    """A table to a tensor, column by column: turning the whole frame into one array
    would lose digits.
    """
    columns = [torch.tensor(df[name].to_numpy(), dtype=dtype) for name in df.columns]
    return torch.stack(columns, dim=1), list(df.columns)


def to_device(batch: Any, device: torch.device | str | None = None) -> Any:
    """Move every tensor in a nested batch to a device."""
    if device is None:
        if torch.cuda.is_available():
            device = "cuda"
        elif torch.backends.mps.is_available():
            device = "mps"
        else:
            device = "cpu"
    if isinstance(batch, Tensor):
        return batch.to(device)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list):
        return [to_device(item, device) for item in batch]
    if isinstance(batch, tuple):
        items = [to_device(item, device) for item in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else tuple(items)
    return batch


def creation_patterns(
    rows: int,
    cols: int,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """The tensors that every program starts from."""
    options = {"dtype": dtype, "device": device}
    return {
        "scalar": torch.tensor(7, **options),
        "zeros": torch.zeros(rows, cols, **options),
        "ones": torch.ones(rows, cols, **options),
        "eye": torch.eye(rows, **options),
        **counting_patterns(rows, cols, dtype, device),
        **random_patterns(rows, cols, dtype, device, generator),
    }
