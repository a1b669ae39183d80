# Different: the four attributes in slots, operations by NumPy's functions with the
# operands in a tuple, reductions one dimension after the other, a key kept as a tuple,
# places by np.ravel_multi_index.


class Tensor(Tensor):
    __slots__ = ("data", "requires_grad", "grad", "node")

    def __init__(self, data, dtype=None, *, requires_grad=False):
        if isinstance(data, Tensor):
            data = data.numpy()
        is_array = isinstance(data, (np.ndarray, np.generic))
        array = data if is_array and dtype is None else np.asarray(data, dtype)
        if not is_array and dtype is None and array.dtype.kind == "f":
            array = np.float32(array)
        self.data = np.asanyarray(array)
        if not np.issubdtype(self.data.dtype, np.number) and self.data.dtype != bool:
            raise TypeError("numbers only")
        if requires_grad and self.data.dtype.kind in "biu":
            raise TypeError("no slope for integers")
        self.requires_grad, self.grad, self.node = bool(requires_grad), None, None

    @property
    def nbytes(self):
        return math.prod(self.data.shape) * self.data.dtype.itemsize

    def item(self):
        if len(self.data.flat) != 1:
            raise ValueError("not one element")
        return next(iter(self.data.flat)).item()

    def _pair(self, other):
        if isinstance(other, (int, float)):
            other = np.array(other, dtype=(self.data[..., None][:0] + other).dtype)
        if not isinstance(other, (Tensor, np.ndarray, np.generic)):
            raise TypeError(f"no operand: {other!r}")
        return self, other if isinstance(other, Tensor) else Tensor(other)

    def __add__(self, other):
        pair = self._pair(other)
        return record(Tensor(np.add(*(t.data for t in pair))), "add", pair)

    def __sub__(self, other):
        pair = self._pair(other)
        return record(Tensor(np.subtract(*(t.data for t in pair))), "sub", pair)

    def __rsub__(self, other):
        pair = self._pair(other)[::-1]
        return record(Tensor(np.subtract(*(t.data for t in pair))), "sub", pair)

    def __mul__(self, other):
        pair = self._pair(other)
        return record(Tensor(np.multiply(*(t.data for t in pair))), "mul", pair)

    def __truediv__(self, other):
        pair = self._pair(other)
        return record(Tensor(np.true_divide(*(t.data for t in pair))), "div", pair)

    def __rtruediv__(self, other):
        pair = self._pair(other)[::-1]
        return record(Tensor(np.true_divide(*(t.data for t in pair))), "div", pair)

    def __matmul__(self, other):
        pair = self._pair(other)
        left, right = (t.data for t in pair)
        if left.shape[-1] != right.shape[-2]:
            raise ValueError(f"{left.shape} times {right.shape}")
        return record(Tensor(np.matmul(left, right)), "matmul", pair)

    def __getitem__(self, key):
        parts = key if isinstance(key, tuple) else (key,)
        parts = tuple(
            part.numpy() if isinstance(part, Tensor) else part for part in parts
        )
        return record(Tensor(self.data[parts]), "index", (self,), key=parts)

    def _dims(self, dim):
        given = (
            range(self.ndim)
            if dim is None
            else dim
            if isinstance(dim, tuple)
            else (dim,)
        )
        places = range(self.ndim)
        return tuple(places[d] for d in given)  # an IndexError outside

    def _reduced(self, name, ufunc, dim, keepdim):
        dims, array = self._dims(dim), self.data
        for d in sorted(dims, reverse=True):
            array = ufunc.reduce(array, axis=d, keepdims=keepdim)
        return record(Tensor(array), name, (self,), dim=dims, keepdim=keepdim)

    def sum(self, dim=None, keepdim=False):
        return self._reduced("sum", np.add, dim, keepdim)

    def max(self, dim=None, keepdim=False):
        return self._reduced("max", np.maximum, dim, keepdim)

    def mean(self, dim=None, keepdim=False):
        count = math.prod(self.shape[d] for d in self._dims(dim))
        return self.sum(dim, keepdim) / count


def flat_index(index, shape, order="C"):
    if len(index) != len(shape) or not all(-n <= i < n for i, n in zip(index, shape)):
        raise IndexError(f"{index} in {shape}")
    return int(
        np.ravel_multi_index(
            [i % n for i, n in zip(index, shape)], tuple(shape), order=order
        )
    )
