"""Questions on tensors: what operations return, announce, and share."""

from unittest import mock

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe

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
    shape = integers(rng, 3, 2, 90)
    return [kata.predict_copy_bytes(shape, 8, operation) for operation in OPERATIONS]


def tensors(kata, rng):
    """(3, 4) and (1, 4) numbers above 1, in float64."""
    return [kata.Tensor(1 + np.abs(normal(rng, rows, 4))) for rows in (3, 1)]


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
    others = {id(x): np.sqrt(np.abs(x.data)) for x in given}
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
    whole, [number] = kata.Tensor(integers(rng, 4)), normal(rng, 1).tolist()
    halves = kata.Tensor(a.data.astype(np.float16))
    sums = whole + number, halves + number
    return [
        announced(lambda: a + b, a, b),
        [[total.data, str(total.data.dtype)] for total in sums],
    ]


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
    exponents = 2, normal(rng, 1).item()
    return [
        announced(lambda exponent=exponent: a**exponent, a) for exponent in exponents
    ]


@probe("Tensor.__matmul__")
def _(kata, rng):
    a, b = tensors(kata, rng)
    column = kata.Tensor(b.data.reshape(4, 1))
    batches = [kata.Tensor(normal(rng, 2, 3, 3)) for _ in range(2)]
    return [with_operands(x @ y, x, y) for x, y in ((a, column), batches)]


@probe("Tensor.reshape")
def _(kata, rng):
    a, _ = tensors(kata, rng)
    return [with_operands(a.reshape(*shape), a) for shape in ((2, 6), ((4, -1),))]


@probe("Tensor.transpose")
def _(kata, rng):
    t = kata.Tensor(normal(rng, 2, 3, 4))
    return [with_operands(t.transpose(*dims), t) for dims in ((0, 1), (0, 2), (1, 2))]


@probe("Tensor.sum")
def _(kata, rng):
    t = kata.Tensor(normal(rng, 2, 3, 4))
    [dim], [keepdim] = integers(rng, 1, -3, 0), integers(rng, 1, 0, 2)
    return [
        announced(lambda one=one: t.sum(one, keepdim=bool(keepdim)), t)
        for one in (dim, None)
    ]


@probe("Tensor.mean")
def _(kata, rng):
    t, _ = tensors(kata, rng)
    whole = kata.Tensor(integers(rng, 4))
    return [with_operands(t.mean(0), t), whole.mean().data]


@probe("Tensor.max")
def _(kata, rng):
    t, _ = tensors(kata, rng)
    return with_operands(t.max(0), t)


@probe("Tensor.__getitem__")
def _(kata, rng):
    """What a slice is a view of changes with it, and of what a list copies, nothing."""
    t = kata.Tensor(normal(rng, 4, 5))
    i, j = integers(rng, 2, 0, 4)
    keys = (slice(i, None), [i, j], i), (i, j), (t.data > 0), kata.Tensor([i, j])
    found = [announced(lambda key=key: t[key], t) for key in keys[1:]]
    t[i, 1:].data[0], t[[j]].data[0] = 7, 8
    return [found, type(t[i, j]).__name__, t.data]


@probe("Tensor.__init__")
def _(kata, rng):
    floats, ints = normal(rng, 2, 3), np.array(integers(rng, 4, 0, 100))
    given = [floats.tolist(), floats, ints.tolist(), ints.astype(np.int32)]
    made = [kata.Tensor(data) for data in (*given, kata.Tensor(ints))]
    made.append(kata.Tensor(ints, dtype=np.float32))
    made[1].data[0], made[4].data[1] = 7, 8
    return [floats, ints, [(t.data, str(t.data.dtype)) for t in made]]


@probe("Tensor.nbytes")
def _(kata, rng):
    shape = integers(rng, 2, 2, 50)
    arrays = [np.zeros(shape, dtype) for dtype in (np.int8, np.float32, np.float64)]
    views = arrays[2][1:], arrays[2].T[1:]
    return [kata.Tensor(array).nbytes for array in (*arrays, *views)]


@probe("Tensor.item")
def _(kata, rng):
    number = normal(rng, 1, 1)
    found = [
        kata.Tensor(one).item()
        for one in (number, (1000 * number).astype(int), number < 0.5)
    ]
    return [(type(value).__name__, value) for value in found]


@probe("Tensor.detach")
def _(kata, rng):
    wanted, array = [1, *integers(rng, 5, 0, 2)], normal(rng, 2, 3)
    given = [kata.Tensor(array, requires_grad=bool(one)) for one in wanted]
    found = [t.detach() for t in given]
    found[1].data[0] = 7
    return [found[0].data, [t.requires_grad for t in (*given, *found[:3])], array]


@probe("strides_for")
def _(kata, rng):
    shape = integers(rng, 4)
    return [kata.strides_for(shape), kata.strides_for(shape, "F")]


@probe("flat_index")
def _(kata, rng):
    index, shape = integers(rng, 3, 0, 9), integers(rng, 3, 9, 90)
    return [kata.flat_index(index, shape), kata.flat_index(index, shape, "F")]


@probe("is_view")
def _(kata, rng):
    """Tensors on one array or on two, with the same numbers."""
    found = []
    for shares in integers(rng, 24, 0, 2):
        base = np.arange(12.0).reshape(3, 4)
        other = base.T[1:, ::2] if shares else base.T[1:, ::2].copy()
        found.append(kata.is_view(kata.Tensor(other), kata.Tensor(base)))
    return found


@probe("add_scaling")
def _(kata, rng):
    """A sum takes so much memory as is drawn for its size."""
    units = dict(zip([50, *integers(rng, 2, 51, 99)], integers(rng, 3, 2, 30)))

    def add(a, b):
        return np.zeros(units[a.size] * UNIT, np.int8)

    with mock.patch.object(kata.Tensor, "__add__", add):
        return kata.add_scaling(list(units))


@judge("add_scaling")
def _(found, expected):
    return growth(found, expected["sizes"])


@probe("vectorization_report")
def _(kata, rng):
    """By a clock that goes on by one step at each look, and jumps in between."""
    [n, looks], [step] = [integers(rng, 1, 50, 200)[0], 0], np.abs(normal(rng, 1))
    now = 0.0

    def timer():
        nonlocal looks, now
        looks += 1
        now += step if looks % 2 == 0 else 10 * step
        return now

    found = kata.vectorization_report(n, timer=timer)
    return [found[key] for key in ("n", "loop_seconds", "numpy_seconds", "speedup")]
