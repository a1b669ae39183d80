"""Questions that the specs of tinytorch/02 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe, there

UNIT = 50_000  # bytes: more than a measurement is off by
OPERATIONS = (
    "add",
    "slice",
    "transpose",
    "reshape",
    "insert_axis",
    "integer_index",
    "reshape_of_transpose",
    "copy",
)
OF_A_REDUCTION = ("dim", "keepdim")
# each announced operation as a function of its inputs and of these saved values
AGAIN = {
    "add": (np.add,),
    "sub": (np.subtract,),
    "mul": (np.multiply,),
    "div": (np.true_divide,),
    "matmul": (np.matmul,),
    "neg": (np.negative,),
    "exp": (np.exp,),
    "log": (np.log,),
    "pow": (np.power, "exponent"),
    "sum": (lambda x, dim, keepdim: x.sum(dim, keepdims=keepdim), *OF_A_REDUCTION),
    "mean": (lambda x, dim, keepdim: x.mean(dim, keepdims=keepdim), *OF_A_REDUCTION),
    "max": (lambda x, dim, keepdim: x.max(dim, keepdims=keepdim), *OF_A_REDUCTION),
    "transpose": (np.swapaxes, "dim0", "dim1"),
    "index": (lambda x, key: x[key], "key"),
    "reshape": (np.reshape,),
}


@probe("predict_copy_bytes")
def _(kata, rng):
    shape = torch.randint(2, 9, (3,), generator=rng).tolist()
    return [kata.predict_copy_bytes(shape, 8, operation) for operation in OPERATIONS]


def tensors(kata, rng):
    """(3, 4) and (1, 4) numbers from 1 to 2, in float64."""
    return [
        kata.Tensor(1 + torch.rand(rows, 4, generator=rng).double().numpy())
        for rows in (3, 1)
    ]


def with_operands(result, *given):
    """The numbers of a result, and of the tensors that it came from: these stay."""
    return [tensor.data for tensor in (result, *given)]


def announced(operation, *given):
    """The numbers of the result of `operation()`, and what its announcements make of
    other numbers of these tensors.
    """
    from tinytorch.recorder import set_recorder

    heard = []
    previous = set_recorder(lambda *announcement: heard.append(announcement))
    try:
        result = operation()
    finally:
        set_recorder(previous)
    others = {id(x): np.sqrt(x.data) for x in given}
    for out, op, inputs, saved in heard:
        function, *names = AGAIN[op]
        values = (
            [saved[name] for name in names] if op != "reshape" else [out.data.shape]
        )
        if "dim" in names and min(saved["dim"]) < 0:
            raise ValueError("a dim that is announced counts from the end")
        others[id(out)] = function(
            *(others.get(id(x), x.data) for x in inputs), *values
        )
    return [*with_operands(result, *given), others.get(id(result))]


@probe("Tensor.__add__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return with_operands(a + b, a, b)


@probe("Tensor.__sub__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return with_operands(a - b, a, b)


@probe("Tensor.__rsub__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return with_operands(3 - a, a)


@probe("Tensor.__mul__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return announced(lambda: a * b, a, b)


@probe("Tensor.__truediv__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    return with_operands(a / b, a, b)


@probe("Tensor.__rtruediv__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return with_operands(3 / a, a)


@probe("Tensor.__pow__")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    exponents = 2, torch.rand((), generator=rng).item()
    return [
        announced(lambda exponent=exponent: a**exponent, a) for exponent in exponents
    ]


@probe("Tensor.__matmul__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    column = kata.Tensor(b.data.reshape(4, 1))
    return with_operands(a @ column, a, column)


@probe("Tensor.reshape")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return [with_operands(a.reshape(*shape), a) for shape in ((2, 6), ((4, -1),))]


@probe("Tensor.transpose")
def _(kata, rng):
    t = kata.Tensor(torch.rand(2, 3, 4, generator=rng).double().numpy())
    return [with_operands(t.transpose(*dims), t) for dims in ((0, 1), (0, 2), (1, 2))]


@probe("Tensor.sum")
def _(kata, rng):
    t = kata.Tensor(torch.rand(2, 3, 4, generator=rng).double().numpy())
    dim, keepdim = (
        int(torch.randint(-3, 0, (), generator=rng)),
        bool(torch.rand((), generator=rng) < 0.5),
    )
    return [
        announced(lambda one=one: t.sum(one, keepdim=keepdim), t) for one in (dim, None)
    ]


@probe("Tensor.mean")
def _(kata, rng):
    t, _ = tensors(kata, rng)
    return with_operands(t.mean(0), t)


@probe("Tensor.max")
def _(kata, rng):
    t, _ = tensors(kata, rng)
    return with_operands(t.max(0), t)


@probe("Tensor.__init__")
def _(kata, rng):
    floats = torch.rand(2, 3, generator=rng)
    ints = torch.randint(100, (4,), generator=rng)
    given = [
        floats.tolist(),
        floats.double().numpy(),
        ints.tolist(),
        ints.int().numpy(),
        kata.Tensor(ints.numpy()),
    ]
    made = [kata.Tensor(data) for data in given] + [
        kata.Tensor(ints.numpy(), dtype=np.float32)
    ]
    return [(t.data, str(t.data.dtype), t.requires_grad) for t in made]


@probe("Tensor.nbytes")
def _(kata, rng):
    rows, columns = torch.randint(2, 50, (2,), generator=rng).tolist()
    arrays = [
        np.zeros((rows, columns), dtype=dtype)
        for dtype in (np.int8, np.float32, np.float64)
    ]
    return [
        kata.Tensor(array).nbytes for array in [*arrays, arrays[2][1:], arrays[2].T[1:]]
    ]


@probe("Tensor.item")
def _(kata, rng):
    number = torch.rand(1, 1, generator=rng)
    found = [
        kata.Tensor(one.numpy()).item()
        for one in (number, (1000 * number).int(), number < 0.5)
    ]
    return [(type(value).__name__, value) for value in found]


@probe("Tensor.detach")
def _(kata, rng):
    t = kata.Tensor(torch.randn(2, 3, generator=rng).numpy(), requires_grad=True)
    found = (t * t).detach()
    return [
        found.data,
        found.requires_grad,
        found.node,
        (t.detach() * t).data,
        t.requires_grad,
    ]


def pairs(kata, writes):
    """Tensors on one array or on two, with the same numbers."""
    import numpy as np

    bases = [np.arange(12.0).reshape(3, 4) for _ in writes]
    others = [
        base.T[1:, ::2] if is_view else base.T[1:, ::2].copy()
        for base, is_view in zip(bases, writes)
    ]
    return [
        (kata.Tensor(other), kata.Tensor(base)) for other, base in zip(others, bases)
    ]


@probe("is_view")
def _(kata, rng):
    writes = torch.randint(2, (24,), generator=rng).bool().tolist()
    return [kata.is_view(*pair) for pair in there(kata, pairs, writes)]


@probe("add_scaling")
def _(kata, rng):
    sizes = (1 + torch.randperm(40, generator=rng)[:3]).mul(UNIT).tolist()
    found = kata.add_scaling(sizes)
    slope = np.polyfit(np.log(sizes), np.log(found["values"]), 1)[0]
    return [
        found["sizes"],
        [round(value / 4 / UNIT) for value in found["values"]],
        found["exponent"] / slope,
    ]


@probe("vectorization_report")
def _(kata, rng):
    n, step, looks = (
        int(torch.randint(50, 200, (), generator=rng)),
        torch.rand((), generator=rng).item(),
        [0, 0.0],
    )

    def timer():
        """A clock that goes on by the same step at each look, and jumps in between."""
        looks[0] += 1
        looks[1] += step if looks[0] % 2 == 0 else 10 * step
        return looks[1]

    found = kata.vectorization_report(n, timer=timer)
    return [
        found["n"],
        found["loop_seconds"],
        found["numpy_seconds"],
        found["speedup"],
        found["max_abs_diff"] < 1e-5,
    ]
