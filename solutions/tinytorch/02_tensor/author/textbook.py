"""Tensor: an array with a shape, a dtype and strides, whose operations
announce themselves.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.recorder import record
from tinytorch.setup import measure_scaling, time_call


class Tensor:
    """A NumPy array whose operations announce themselves."""

    __array_ufunc__ = None

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = False):
        """Python floats become float32; an array keeps dtype and memory."""
        if isinstance(data, Tensor):
            data = data.data
        if (
            dtype is None
            and not isinstance(data, (np.ndarray, np.generic))
            and np.array(data).dtype == np.float64
        ):
            dtype = np.float32
        self.data = np.asarray(data, dtype=dtype)
        self.requires_grad = requires_grad
        self.grad = None
        self.node = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.data.dtype

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def nbytes(self) -> int:
        """The bytes of the elements."""
        return self.data.nbytes

    def numpy(self) -> np.ndarray:
        """The array itself."""
        return self.data

    def item(self) -> Any:
        """The only element."""
        return self.data.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self.data.tolist()

    def __len__(self) -> int:
        """The size of the first dimension."""
        if self.ndim == 0:
            raise TypeError("a 0-d tensor has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        """Show values, shape and dtype."""
        return (
            f"Tensor({np.array2string(self.data, separator=', ')}, "
            f"shape={self.shape}, dtype={self.dtype})"
        )

    def detach(self) -> "Tensor":
        """The same memory without a history."""
        return Tensor(self.data)

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Compute the gradients of all leaves. Module 05 writes what this calls."""
        from tinytorch.autograd import backward

        backward(self, gradient, retain_graph=retain_graph)

    def _wrap(self, other: Any) -> "Tensor":
        """The other operand as a Tensor; a number in the dtype that the result
        will have.
        """
        if isinstance(other, Tensor):
            return other
        if isinstance(other, np.ndarray):
            return Tensor(other)
        return Tensor(other, dtype=np.result_type(self.dtype, other))

    def __add__(self, other: Any) -> "Tensor":
        """self + other"""
        other = self._wrap(other)
        return record(Tensor(self.data + other.data), "add", (self, other))

    def __radd__(self, other: Any) -> "Tensor":
        """other + self"""
        return self + other

    def __sub__(self, other: Any) -> "Tensor":
        """self - other"""
        other = self._wrap(other)
        return record(Tensor(self.data - other.data), "sub", (self, other))

    def __rsub__(self, other: Any) -> "Tensor":
        """other - self"""
        return self._wrap(other) - self

    def __mul__(self, other: Any) -> "Tensor":
        """self * other"""
        other = self._wrap(other)
        return record(Tensor(self.data * other.data), "mul", (self, other))

    def __rmul__(self, other: Any) -> "Tensor":
        """other * self"""
        return self * other

    def __truediv__(self, other: Any) -> "Tensor":
        """self / other"""
        other = self._wrap(other)
        return record(Tensor(self.data / other.data), "div", (self, other))

    def __rtruediv__(self, other: Any) -> "Tensor":
        """other / self"""
        return self._wrap(other) / self

    def __pow__(self, exponent: float) -> "Tensor":
        """self ** exponent"""
        return record(Tensor(self.data**exponent), "pow", (self,), exponent=exponent)

    def __neg__(self) -> "Tensor":
        """-self"""
        return record(Tensor(-self.data), "neg", (self,))

    def exp(self) -> "Tensor":
        """eˣ of every element."""
        return record(Tensor(np.exp(self.data)), "exp", (self,))

    def log(self) -> "Tensor":
        """The natural logarithm of every element."""
        return record(Tensor(np.log(self.data)), "log", (self,))

    def __matmul__(self, other: Any) -> "Tensor":
        """self @ other"""
        other = self._wrap(other)
        return record(Tensor(self.data @ other.data), "matmul", (self, other))

    def __rmatmul__(self, other: Any) -> "Tensor":
        """other @ self"""
        return Tensor(other) @ self

    def __getitem__(self, key: Any) -> "Tensor":
        """Select elements by NumPy's rules."""
        if isinstance(key, tuple):
            key = tuple(part.data if isinstance(part, Tensor) else part for part in key)
        elif isinstance(key, Tensor):
            key = key.data
        return record(Tensor(self.data[key]), "index", (self,), key=key)

    def reshape(self, *shape: Any) -> "Tensor":
        """The same elements in another shape."""
        return record(Tensor(self.data.reshape(*shape)), "reshape", (self,))

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Swap two dimensions."""
        return record(
            Tensor(self.data.swapaxes(dim0, dim1)),
            "transpose",
            (self,),
            dim0=dim0,
            dim1=dim1,
        )

    @property
    def T(self) -> "Tensor":
        """A matrix with rows and columns swapped."""
        if self.ndim != 2:
            raise ValueError(f".T is for matrices, this tensor has shape {self.shape}")
        return self.transpose(0, 1)

    def _dims(self, dim: int | tuple[int, ...] | None) -> tuple[int, ...]:
        """The dims as non-negative numbers, all of them for None."""
        if dim is None:
            return tuple(range(self.ndim))
        dims = dim if isinstance(dim, tuple) else (dim,)
        return tuple(d % self.ndim for d in dims)

    def sum(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """Add along some dimensions."""
        dims = self._dims(dim)
        return record(
            Tensor(self.data.sum(axis=dims, keepdims=keepdim)),
            "sum",
            (self,),
            dim=dims,
            keepdim=keepdim,
        )

    def mean(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """Average along some dimensions."""
        dims = self._dims(dim)
        return record(
            Tensor(self.data.mean(axis=dims, keepdims=keepdim)),
            "mean",
            (self,),
            dim=dims,
            keepdim=keepdim,
        )

    def max(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """The largest along some dimensions."""
        dims = self._dims(dim)
        return record(
            Tensor(self.data.max(axis=dims, keepdims=keepdim)),
            "max",
            (self,),
            dim=dims,
            keepdim=keepdim,
        )


def strides_for(shape: Sequence[int], order: str = "C") -> tuple[int, ...]:
    """The elements between neighbours along each dimension."""
    if order == "C":
        return tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))
    return tuple(math.prod(shape[:d]) for d in range(len(shape)))


def flat_index(index: Sequence[int], shape: Sequence[int], order: str = "C") -> int:
    """The place of one element in memory."""
    return sum(i * stride for i, stride in zip(index, strides_for(shape, order)))


def is_view(t: Tensor, base: Tensor) -> bool:
    """Tell if two tensors share memory."""
    return np.shares_memory(t.data, base.data)


def predict_copy_bytes(shape: Sequence[int], itemsize: int, operation: str) -> int:
    """The new bytes that an operation takes for its result."""
    if operation in ("add", "integer_index", "reshape_of_transpose", "copy"):
        return math.prod(shape) * itemsize
    return 0


def add_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Measure the memory of `a + a` over its size."""

    def build(n: int) -> Callable[[], Tensor]:
        a = Tensor(np.ones(n, dtype=np.float32))
        return lambda: a + a

    return measure_scaling(build, sizes)


def vectorization_report(
    n: int, *, timer: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Compare a Python loop with NumPy's."""
    a, b = (
        Tensor(np.random.rand(n).astype(np.float32)),
        Tensor(np.random.rand(n).astype(np.float32)),
    )
    x, y = a.tolist(), b.tolist()

    def loop() -> list[float]:
        return [x[i] + y[i] for i in range(n)]

    loop_seconds = time_call(loop, timer=timer)
    numpy_seconds = time_call(lambda: a + b, timer=timer)
    return {
        "n": n,
        "loop_seconds": loop_seconds,
        "numpy_seconds": numpy_seconds,
        "speedup": loop_seconds / numpy_seconds,
        "max_abs_diff": float(np.abs((a + b).data - loop()).max()),
    }
