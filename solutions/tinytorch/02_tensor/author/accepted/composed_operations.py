# Different: a - b as a + (-b), a square as a product, a mean as a sum times a number,
# matmul by einsum, dims by NumPy's own helper, transposes by moving axes, a reshape
# that sets the shape of a view.


class Tensor(Tensor):
    def __sub__(self, other):
        if other is None:
            raise TypeError("None is no operand")
        return self + (-other)

    def __pow__(self, exponent):
        return (
            self * self
            if type(exponent) is int and exponent == 2
            else super().__pow__(exponent)
        )

    def __matmul__(self, other):
        other = other if isinstance(other, Tensor) else Tensor(other)
        try:
            product = np.einsum("...ik,...kj->...ij", self.data, other.data)
        except ValueError:
            raise ValueError(f"{self.shape} @ {other.shape}") from None
        return record(Tensor(product), "matmul", (self, other))

    def __getitem__(self, key):
        if not isinstance(key, tuple):
            key = (key,)
        key = tuple(
            getattr(part, "data", part) if isinstance(part, Tensor) else part
            for part in key
        )
        selected = self.data[key]
        return record(Tensor(selected), "index", (self,), key=key)

    def reshape(self, *shape):
        shape = shape if len(shape) > 1 else np.atleast_1d(shape[0]).tolist()
        try:
            array = self.data.view()
            array.shape = shape
        except AttributeError:
            array = self.data.copy().reshape(shape)
        return record(Tensor(array), "reshape", (self,))

    def transpose(self, dim0, dim1):
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        return record(
            Tensor(np.transpose(self.data, order)),
            "transpose",
            (self,),
            dim0=dim0,
            dim1=dim1,
        )

    def sum(self, dim=None, keepdim=False):
        dims = self._all(dim)
        out = self.data.sum(dims, keepdims=keepdim)
        return record(Tensor(out), "sum", (self,), dim=dims, keepdim=bool(keepdim))

    def mean(self, dim=None, keepdim=False):
        total = self.sum(dim, keepdim)
        return total * (total.size / self.size)

    def max(self, dim=None, keepdim=False):
        dims = self._all(dim)
        out = np.amax(self.data, axis=dims, keepdims=keepdim)
        return record(Tensor(out), op="max", inputs=(self,), keepdim=keepdim, dim=dims)

    def _all(self, dim):
        dims = (
            range(self.ndim)
            if dim is None
            else dim
            if isinstance(dim, tuple)
            else [dim]
        )
        return np.lib.array_utils.normalize_axis_tuple(dims, self.ndim)
