"""Bytes counted in a Counter, size by size."""

from collections import Counter


def memory_by_dtype(shape, dtypes):
    if min(shape, default=0) < 0:
        raise ValueError("no size is negative")
    found = Counter({dtype: dtype.itemsize for dtype in dtypes})
    for size in shape:
        for dtype in found:
            found[dtype] *= size
    return found
