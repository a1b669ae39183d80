"""Tensor: a block of memory with a shape, a dtype and strides, and the operations
on it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinytorch.recorder import record
from tinytorch.setup import measure_scaling, time_call


class Tensor:
    """A NumPy array whose operations announce themselves.

    Attributes:
        data: the np.ndarray.
        requires_grad: whether a gradient is wanted.
        grad: None, or an np.ndarray with the shape and dtype of `data`.
        node: None. Module 05 keeps there how the tensor was made.

    Every operation computes with NumPy, wraps the result in a new Tensor and announces
    it, as `exp` and `log` do: `record(out, op, inputs, **saved)` returns `out`. The
    inputs are Tensors, in the order in which they are written; those of + and * in any.
    Module 05 finds gradients by these names. Until then nobody listens.
    """

    # makes `array - tensor` call Tensor.__rsub__, once, with the whole array
    __array_ufunc__ = None

    def __init__(self, data: Any, dtype: Any = None, *, requires_grad: bool = False):
        """Set the four attributes of the class.

        Args:
            data: a Python number, nested lists of them, an np.ndarray, a NumPy scalar
                or a Tensor.
            dtype: the dtype to convert to. By default Python floats become float32,
                ints int64 and bools bool; everything else keeps its dtype.
            requires_grad: kept as an attribute. `grad` and `node` start as None.

        An ndarray keeps its memory: no copy, unless the dtype changes. A Tensor gives
        its ndarray.

        Edge cases ★
            `requires_grad=True` on a dtype that is not floating is an error. So are
            text, None and ragged lists.
        """
        raise NotImplementedError

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
        """Count the bytes of this tensor's elements.

        Returns:
            The number of elements times the bytes of one, which the dtype knows. A
            float32 tensor of shape (2, 3) has
            24. A slice counts its own elements, not those of the whole.
        """
        raise NotImplementedError

    def numpy(self) -> np.ndarray:
        """The array itself, not a copy."""
        return self.data

    def item(self) -> Any:
        """Take the only element out.

        Returns:
            A Python bool, int or float, not a NumPy scalar. Tensor([[7]]).item() is 7.

        Edge cases ★
            A tensor with no element, or with more than one, is an error.
        """
        raise NotImplementedError

    def tolist(self) -> Any:
        """The elements as nested lists of Python numbers."""
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
        """Give the same numbers without their history.

        Returns:
            A new Tensor on the same memory that requires no gradient and has neither
            `grad` nor `node`. `self` keeps its attributes. Announce nothing: a detached
            tensor is connected to no other.
        """
        raise NotImplementedError

    def backward(self, gradient: Any = None, *, retain_graph: bool = False) -> None:
        """Compute the gradients of all leaves. Module 05 writes what this calls."""
        from tinytorch.autograd import backward

        backward(self, gradient, retain_graph=retain_graph)

    def __add__(self, other: Any) -> "Tensor":
        """Compute `self + other` and announce it as "add" with inputs (self, other).

        Args:
            other: a Tensor, an np.ndarray or a Python number. Shapes broadcast as
                in NumPy.
        Returns:
            A new Tensor. Tensor([1, 2]) + Tensor([[10], [20]]) is [[11, 12], [21, 22]].

        - All announced inputs are Tensors: wrap an array, and a number as a 0-d one.
        - A Python number keeps the dtype of a floating tensor: float32 + 2 is float32.
          int64 + 2.5 is floating.

        The other arithmetic methods follow the same two rules.

        Edge cases ★
            An operand of another kind, such as None, is a TypeError. This holds for
            all arithmetic.
        """
        raise NotImplementedError

    def __radd__(self, other: Any) -> "Tensor":
        """Compute `other + self`, where other is no Tensor."""
        return self + other

    def __sub__(self, other: Any) -> "Tensor":
        """Compute `self - other` by the rules of `__add__`, and announce it as "sub"
        with inputs (self, other).

        Edge cases ★
            An operand of another kind is a TypeError.
        """
        raise NotImplementedError

    def __rsub__(self, other: Any) -> "Tensor":
        """Compute `other - self`, where other is an np.ndarray or a Python number, by
        the rules of `__add__`.

        Python calls this for `2 - t`, after the number 2 has refused. Announce it as
        "sub" with inputs (other, self), in the order in which they are written.

        Edge cases ★
            An operand of another kind is a TypeError.
        """
        raise NotImplementedError

    def __mul__(self, other: Any) -> "Tensor":
        """Compute `self * other`, element by element, by the rules of `__add__`.
        Announce it as "mul" with inputs (self, other).

        Edge cases ★
            An operand of another kind is a TypeError.
        """
        raise NotImplementedError

    def __rmul__(self, other: Any) -> "Tensor":
        """Compute `other * self`, where other is no Tensor."""
        return self * other

    def __truediv__(self, other: Any) -> "Tensor":
        """Compute `self / other` by the rules of `__add__`, and announce it as "div"
        with inputs (self, other).

        Integers divided by integers are floating: Tensor([1, 2]) / 2 is [0.5, 1].

        Edge cases ★
            An operand of another kind is a TypeError.
        """
        raise NotImplementedError

    def __rtruediv__(self, other: Any) -> "Tensor":
        """Compute `other / self`, where other is an np.ndarray or a Python number, by
        the rules of `__add__`.

        Announce it as "div" with inputs (other, self).

        Edge cases ★
            An operand of another kind is a TypeError.
        """
        raise NotImplementedError

    def __pow__(self, exponent: float) -> "Tensor":
        """Raise every element to the same power.

        Args:
            exponent: a Python number.
        Returns:
            A new Tensor. Tensor([1.0, 3.0]) ** 2 is [1, 9], of the same dtype.

        Announce it as "pow" with input (self,), and save `exponent`, the Python number.

        Edge cases ★
            An exponent of another kind, such as a Tensor, is a TypeError.
        """
        raise NotImplementedError

    def __neg__(self) -> "Tensor":
        """Compute `-self`."""
        return record(Tensor(-self.data), "neg", (self,))

    def exp(self) -> "Tensor":
        """eˣ of every element."""
        return record(Tensor(np.exp(self.data)), "exp", (self,))

    def log(self) -> "Tensor":
        """The natural logarithm of every element."""
        return record(Tensor(np.log(self.data)), "log", (self,))

    def __matmul__(self, other: Any) -> "Tensor":
        """Compute the matrix product `self @ other` of the last two dims.

        Args:
            other: a Tensor or np.ndarray. Both operands are at least 2-D; dims before
                the last two broadcast.
        Returns:
            (..., n, k) @ (..., k, m) gives (..., n, m). [[1, 2]] @ [[3], [4]]
            is [[11]].

        Announce it as "matmul" with inputs (self, other), both Tensors.

        Edge cases ★
            Inner sizes that differ are an error that shows both shapes.
        """
        raise NotImplementedError

    def __rmatmul__(self, other: Any) -> "Tensor":
        """Compute `other @ self`, where other is no Tensor."""
        return Tensor(other) @ self

    def __getitem__(self, key: Any) -> "Tensor":
        """Select elements: `t[key]`, by NumPy's rules.

        Args:
            key: an int, slice, `...`, None, integer list or array, boolean mask, a
                Tensor of integers or bools, or a tuple of these.
        Returns:
            A Tensor, also for a single element: t[1, 2] is 0-d. Slices, `...` and None
            give a view of the same memory; integer lists and masks give a copy.

        Announce it as "index" with input (self,), and save `key` as NumPy takes it:
        arrays in place of Tensors.

        Edge cases ★
            An index outside is an IndexError.
        """
        raise NotImplementedError

    def reshape(self, *shape: Any) -> "Tensor":
        """Show the same elements, in the same order, in another shape.

        Args:
            shape: the sizes as arguments, or one tuple of them. One size may be -1: it
                follows from the others.
        Returns:
            A view of the same memory where NumPy can make one, else a copy. With t of
            shape (2, 6), t.reshape(3, 4), t.reshape((3, 4)) and t.reshape(3, -1) are
            the same.

        Announce it as "reshape" with input (self,).
        """
        raise NotImplementedError

    def transpose(self, dim0: int, dim1: int) -> "Tensor":
        """Swap two dimensions, without moving a number in memory.

        Args:
            dim0: a dimension. Negative ones count from the end.
            dim1: the one to swap it with.
        Returns:
            A view. transpose(0, -1) of shape (2, 3, 4) has shape (4, 3, 2).

        Announce it as "transpose" with input (self,), and save `dim0` and `dim1`.
        """
        raise NotImplementedError

    @property
    def T(self) -> "Tensor":
        """A matrix with rows and columns swapped."""
        if self.ndim != 2:
            raise ValueError(f".T is for matrices, this tensor has shape {self.shape}")
        return self.transpose(0, 1)

    def sum(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """Add up the elements along some dimensions.

        Args:
            dim: the dimension, or several, that disappear by adding. Negative ones
                count from the end. None: all.
            keepdim: whether they stay, with size 1.
        Returns:
            A Tensor. [[1, 2], [3, 4]].sum(0) is [4, 6], .sum(-1, keepdim=True) is
            [[3], [7]], .sum() is 10, 0-d.

        Announce it as "sum" with input (self,), and save `keepdim` and `dim`: a tuple
        of non-negative ints, all dimensions for None. `mean` and `max` follow the
        same rules.

        Edge cases ★
            A dim out of range is an IndexError. This holds for `mean` and `max`, too.
        """
        raise NotImplementedError

    def mean(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """Average the elements along some dimensions, by the rules of `sum`.

        Returns:
            A Tensor of the same dtype, if that is floating. [[1.0, 2.0], [3.0,
            4.0]].mean(1) is [1.5, 3.5]. Integers have a floating mean: Tensor([1,
            2]).mean() is 1.5.

        Announce it as "mean", saving `dim` and `keepdim`, or compose it of
        announced operations.

        Edge cases ★
            A dim out of range is an IndexError.
        """
        raise NotImplementedError

    def max(
        self, dim: int | tuple[int, ...] | None = None, keepdim: bool = False
    ) -> "Tensor":
        """Find the largest element along some dimensions, by the rules of `sum`.

        Returns:
            A Tensor of values, without their places. [[1, 5], [3, 2]].max(1) is [5, 3].

        Announce it as "max" with input (self,), and save `dim` and `keepdim`.

        Edge cases ★
            A dim out of range is an IndexError.
        """
        raise NotImplementedError


def strides_for(shape: Sequence[int], order: str = "C") -> tuple[int, ...]:
    """Say how many elements lie between neighbours along each dimension.

    Args:
        shape: the sizes, each at least 1.
        order: "C" for row-major, where the last index moves fastest, or "F" for
            column-major, where the first does.
    Returns:
        One stride per dimension, in elements. Shape (2, 3, 4) has (12, 4, 1) in order
        "C" and (1, 2, 6) in "F".

    Count; make no array of this shape, which may be larger than the memory.

    Edge cases ★
        The shape () has the strides (). Another order is an error.
    """
    raise NotImplementedError


def flat_index(index: Sequence[int], shape: Sequence[int], order: str = "C") -> int:
    """Find where in memory one element is.

    Args:
        index: one integer per dimension.
        shape: the sizes of the array.
        order: "C" or "F", as in `strides_for`.
    Returns:
        How many elements lie before it: the sum of index times stride. In shape (3, 4),
        (1, 2) is at 6 in order "C" and at 7 in "F".

    Edge cases ★
        Negative indices count from the end. An index outside, or a wrong number of
        them, is an IndexError.
    """
    raise NotImplementedError


def is_view(t: Tensor, base: Tensor) -> bool:
    """Say whether two tensors share memory, so that a write to one can be seen in
    the other.

    A view of a view shares memory with the first tensor, too. So does a tensor
    with itself.

    Edge cases ★
        Slices of one tensor that have no element in common share no memory: t[::2]
        and t[1::2].
    """
    raise NotImplementedError


def predict_copy_bytes(shape: Sequence[int], itemsize: int, operation: str) -> int:
    """Systems: predict how many new bytes the elements of a result take.

    Args:
        shape: of a contiguous tensor with two dims or more, all sizes at least 2.
        itemsize: bytes per element.
        operation: "add" (`a + a`), "slice" (`a[1:]`), "transpose", "reshape",
            "insert_axis" (`a[None]`), "integer_index" (all rows in another order),
            "reshape_of_transpose" (transposed, then reshaped to 1-D) or "copy".
    Returns:
        All the bytes of the tensor if the operation must move or compute elements, 0 if
        it only describes the same memory in another way.

    Edge cases ★
        Another word is an error.
    """
    raise NotImplementedError


def add_scaling(sizes: Sequence[int]) -> dict[str, Any]:
    """Systems: measure how the memory of `a + a` grows with the size of a.

    Args:
        sizes: the numbers of elements n. `a` is a float32 Tensor of shape (n,), made
            before the measurement.
    Returns:
        What `measure_scaling` of module 01 gives for peak bytes: "sizes", "values" and
        "exponent". Every value is about 4 n, the bytes of the result.
    """
    raise NotImplementedError


def vectorization_report(
    n: int, *, timer: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Systems: compare a Python loop with NumPy's loop in C, adding two random float32
    arrays of n elements.

    Args:
        n: the number of elements.
        timer: a clock, in seconds. Each way is timed by `time_call` of module 01, the
            smallest of several timings.
    Returns:
        A dict:

        - "n": as given.
        - "loop_seconds": adding the elements of two lists in a Python loop.
        - "numpy_seconds": adding two Tensors.
        - "speedup": loop_seconds / numpy_seconds.
        - "max_abs_diff": a float, the largest |difference| between the two sums.
    """
    raise NotImplementedError
