# Different: a subclass of the reference whose arithmetic is set from a table; a number
# takes the result's dtype, and differences and quotients of a number are made of
# negation and powers.


class Tensor(Tensor):
    def __init__(self, data, dtype=None, *, requires_grad=False):
        data = data.data if isinstance(data, Tensor) else data
        array = np.array(data, dtype=dtype, copy=None)
        if array.dtype.kind not in "bifu":
            raise ValueError(f"cannot compute with {array.dtype}")
        chosen = dtype is not None or hasattr(data, "dtype")
        if not chosen and np.issubdtype(array.dtype, np.floating):
            array = np.array(data, dtype="float32")
        if requires_grad and not np.issubdtype(array.dtype, np.floating):
            raise ValueError("no gradient for integers")
        self.data, self.requires_grad, self.grad, self.node = (
            array,
            requires_grad,
            None,
            None,
        )

    @property
    def nbytes(self):
        return int(np.prod(self.data.shape, dtype=int)) * self.data.itemsize

    def item(self):
        (element,) = self.data.ravel().tolist()
        return element

    def detach(self):
        alike = Tensor.__new__(Tensor)
        alike.data, alike.requires_grad, alike.grad, alike.node = (
            self.data,
            False,
            None,
            None,
        )
        return alike

    def __rsub__(self, other):
        return -self + other

    def __rtruediv__(self, other):
        return self**-1.0 * other

    def __pow__(self, exponent):
        if isinstance(exponent, (Tensor, np.ndarray)) or exponent is None:
            raise TypeError("the exponent is a number")
        return record(
            Tensor(np.power(self.data, exponent)), "pow", (self,), exponent=exponent
        )


def _operator(name, compute):
    def method(self, other):
        if not isinstance(other, (Tensor, np.ndarray, int, float)):
            return NotImplemented
        plain = other.data if isinstance(other, Tensor) else other
        out = compute(self.data, plain)
        if not isinstance(other, Tensor):
            other = Tensor(
                plain
                if isinstance(plain, np.ndarray)
                else np.array(plain, dtype=out.dtype)
            )
        return record(Tensor(out), name, (self, other))

    return method


for _method, _name, _ufunc in [
    ("add", "add", np.add),
    ("sub", "sub", np.subtract),
    ("truediv", "div", np.divide),
]:
    setattr(Tensor, f"__{_method}__", _operator(_name, _ufunc))
Tensor.__mul__ = Tensor.__rmul__ = _operator("mul", np.multiply)
