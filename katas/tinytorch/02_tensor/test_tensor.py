"""Specs of kata tinytorch/02: the tensor, its arithmetic, its views and reductions, and
what they cost.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

# Each announced operation as a function of its inputs and saved values, and the names
# of those values.
REPLAY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "matmul": np.matmul,
    "neg": np.negative,
    "exp": np.exp,
    "log": np.log,
    "pow": lambda x, exponent: x**exponent,
    "sum": lambda x, dim, keepdim: x.sum(axis=dim, keepdims=keepdim),
    "mean": lambda x, dim, keepdim: x.mean(axis=dim, keepdims=keepdim),
    "max": lambda x, dim, keepdim: x.max(axis=dim, keepdims=keepdim),
    "transpose": lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
    "index": lambda x, key: x[key],
    "reshape": lambda x, shape: x.reshape(shape),
}
OF_A_REDUCTION = ("dim", "keepdim")
SAVED = {
    "pow": ("exponent",),
    "sum": OF_A_REDUCTION,
    "mean": OF_A_REDUCTION,
    "max": OF_A_REDUCTION,
    "transpose": ("dim0", "dim1"),
    "index": ("key",),
}
TWO_INPUTS = ("add", "sub", "mul", "div", "matmul")


def listen(operation):
    """The result of `operation()`, and its announcements: (out, op, inputs, saved) for
    each call of `record`.
    """
    from tinytorch.recorder import set_recorder

    heard = []
    previous = set_recorder(lambda *announcement: heard.append(announcement))
    try:
        return operation(), heard
    finally:
        set_recorder(previous)


def check_stays(t, array, result):
    """Check that `t`, which held `array`, was neither changed nor returned."""
    check.that(
        result is not t,
        "the result is the given tensor t, which others still use; return a new Tensor",
        like="t itself is changed and returned",
    )
    check.equal(t.data, array, what="the given tensor t, after the operation")


def check_announced(operation, *tensors):
    """Check that `operation()` announces how its result comes from these tensors, in
    one step or in several.

    Whatever is announced is computed once more, from the inputs and the saved
    values alone.
    The tensors stay as they are, and the result is a new one.
    """
    before = [tensor.data.copy() for tensor in tensors]
    result, heard = listen(operation)
    for tensor, array in zip(tensors, before, strict=True):
        check_stays(tensor, array, result)
    reached = [result]
    for out, op, inputs, saved in reversed(heard):
        if any(out is tensor for tensor in reached):
            check_replay(out, op, inputs, saved)
            reached += inputs
    for number, tensor in enumerate(tensors):
        names = ", ".join(repr(op) for _, op, _, _ in heard) or "nothing"
        check.that(
            any(tensor is x for x in reached),
            f"operand {number} cannot be found behind the result; announced: {names}. "
            "Return what `record` returns, "
            "and give it the tensors themselves as inputs",
            like="" if heard else "not announced: `record` is not called",
        )


def check_replay(out, op, inputs, saved):
    """Check one announcement: name, kind and number of inputs, saved values, and that
    they give the result again.
    """
    check.that(
        op in REPLAY, f"{op!r} is announced, which is no operation of this module"
    )
    check.that(
        type(inputs) is tuple,
        f"the inputs of {op!r} are {check.describe(inputs)}, expected a tuple",
    )
    arrays = [
        check.data(x, what=f"input {number} announced for {op!r}")
        for number, x in enumerate(inputs)
    ]
    wanted = 2 if op in TWO_INPUTS else 1
    check.that(
        len(arrays) == wanted,
        f"{op!r} is announced with {len(arrays)} inputs, expected {wanted}",
    )
    missing = [name for name in SAVED.get(op, ()) if name not in saved]
    check.that(
        not missing,
        f"{op!r} is announced without {', '.join(missing)}: pass {missing}, by name, "
        "to `record`",
    )
    values = {name: saved[name] for name in SAVED.get(op, ())}
    if "dim" in values:
        dims = values["dim"]
        plain = isinstance(dims, tuple) and all(
            isinstance(d, (int, np.integer)) and d >= 0 for d in dims
        )
        check.that(
            plain, f"{op!r} saves dim={dims!r}, expected a tuple of non-negative ints"
        )
    if "key" in values:
        keys = values["key"] if isinstance(values["key"], tuple) else (values["key"],)
        check.that(
            not any(isinstance(k, type(out)) for k in keys),
            "the saved key holds a Tensor, NumPy takes arrays",
        )
    if op == "reshape":
        values["shape"] = out.data.shape
    check.close(
        np.asarray(REPLAY[op](*arrays, **values)),
        out.data,
        what=f"{op!r} of the announced inputs, against the result",
    )


def numbers(*shape, dtype=np.float64):
    """Different positive numbers in no order."""
    values = np.random.default_rng(0).permutation(math.prod(shape)).reshape(shape)
    return (values + 1).astype(dtype)


@st.composite
def reductions(draw):
    """A 3-D shape of different sizes, a dim or several, and keepdim."""
    shape = tuple(draw(st.permutations([2, 3, 4])))
    dims = draw(st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    dims = [d - 3 if draw(st.booleans()) else d for d in dims]
    return shape, dims[0] if len(dims) == 1 else tuple(dims), draw(st.booleans())


@st.composite
def basic_keys(draw):
    """A key of ints, slices, `...` and None for a tensor of shape (3, 4, 5)."""
    parts = []
    for size in (3, 4, 5)[: draw(st.integers(1, 3))]:
        start, stop = draw(st.integers(-size, size)), draw(st.integers(-size, size))
        part = draw(
            st.sampled_from([start % size, slice(start, stop, draw(st.integers(1, 3)))])
        )
        parts += [None, part] if draw(st.booleans()) else [part]
    return (*parts, ...) if draw(st.booleans()) else tuple(parts)


@st.composite
def places(draw):
    """A shape, an order, and the index of one element."""
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    return (
        shape,
        draw(st.sampled_from("CF")),
        tuple(draw(st.integers(0, size - 1)) for size in shape),
    )


class TestTensorInit:
    def test_python_numbers_get_the_dtypes_of_the_framework(self, kata):
        """Python floats become float32, half the memory of NumPy's float64. Ints are
        int64, bools stay bool.
        """
        for given_data, dtype in [
            (2.5, np.float32),
            ([[1.0, 2.0, 3.0]], np.float32),
            (7, np.int64),
            ([[1], [2]], np.int64),
            ([True, False], np.bool_),
        ]:
            data = check.data(kata.Tensor(given_data))
            check.equal(
                data,
                np.array(given_data, dtype=dtype),
                what=f"Tensor({given_data}).data",
            )

    def test_an_array_keeps_its_dtype(self, kata):
        """An array or a NumPy scalar has a dtype that somebody chose. Only Python
        floats become float32.
        """
        for given_data in [
            numbers(2, 3),
            numbers(2, dtype=np.int32),
            np.float64(0.1),
            np.int8(3),
            np.array(True),
        ]:
            check.equal(check.data(kata.Tensor(given_data)), np.asarray(given_data))

    def test_an_array_keeps_its_memory(self, kata):
        """The tensor is another view of the same memory, as torch.as_tensor makes it: a
        write to the array can be seen in the tensor. Copying would double the memory of
        every data set.
        """
        array = numbers(3, 4)
        before, part = array[:, 1:3].copy(), kata.Tensor(array[:, 1:3])
        array[2, 1] = 99
        what, unlike = (
            "a tensor of two columns, after a write to the array",
            {"a copy of the array": before},
        )
        check.equal(check.data(part), array[:, 1:3], what=what, unlike=unlike)
        check.that(
            np.shares_memory(part.data, array), "the tensor has a copy of the array"
        )

    def test_a_dtype_that_is_asked_for(self, kata):
        """`dtype` converts: Python numbers directly, without a stop at float32, and
        arrays into a copy.
        """
        check.equal(
            check.data(kata.Tensor([1, 2], dtype=np.float32)),
            np.array([1, 2], dtype=np.float32),
        )
        exact = np.array([0.1])
        check.equal(
            check.data(kata.Tensor([0.1], dtype=np.float64)),
            exact,
            unlike={
                "rounded to float32 on the way": exact.astype(np.float32).astype(
                    np.float64
                )
            },
        )
        array = numbers(2, 3)
        check.equal(
            check.data(kata.Tensor(array, dtype=np.float32)), array.astype(np.float32)
        )
        check.equal(
            array, numbers(2, 3), what="the given array, which must stay float64"
        )
        same = kata.Tensor(array, dtype=np.float64)
        check.that(
            np.shares_memory(same.data, array),
            "the dtype did not change, but the tensor has a copy",
        )

    def test_a_tensor_gives_its_array(self, kata):
        """`Tensor(t)` wraps the array of t, not t itself."""
        inner = kata.Tensor(numbers(2, 3, dtype=np.float32))
        outer = kata.Tensor(inner)
        check.equal(check.data(outer), inner.data)
        check.that(
            np.shares_memory(outer.data, inner.data),
            "the new tensor has a copy of the array",
        )

    def test_all_four_attributes_are_set(self, kata):
        """`data`, `requires_grad`, `grad` and `node` are there from the start: module
        05 relies on them.
        """
        plain, wanted = kata.Tensor([1.0]), kata.Tensor([1.0], requires_grad=True)
        got = {
            name: getattr(plain, name, "missing")
            for name in ("requires_grad", "grad", "node")
        }
        check.equal(got, {"requires_grad": False, "grad": None, "node": None})
        check.that(
            wanted.requires_grad is True,
            f"requires_grad=True was kept as {wanted.requires_grad}",
        )
        check.that(
            wanted.grad is None and wanted.node is None, "grad and node start as None"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("data", [[1, 2], [True]], ids=["int", "bool"])
    def test_only_floating_tensors_can_require_a_gradient(self, kata, data):
        """A gradient is a slope: a number that moves in steps of 1 has none."""
        with check.raises(ValueError):
            kata.Tensor(data, requires_grad=True)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "data", ["word", None, [[1.0, 2.0], [3.0]]], ids=["text", "None", "ragged"]
    )
    def test_what_is_no_number_is_refused(self, kata, data):
        """NumPy makes arrays of text and of Python objects. Nothing can be computed
        with them here.
        """
        with check.raises(TypeError):
            kata.Tensor(data)


class TestTensorNbytes:
    @pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int8])
    def test_elements_times_bytes_of_one(self, kata, dtype):
        """The elements of a (2, 3, 5) tensor are 30 numbers of 8, 4 or 1 bytes. Shape
        and dtype are a few bytes more, which nobody counts.
        """
        size = np.dtype(dtype).itemsize
        tensor = kata.Tensor(numbers(2, 3, 5, dtype=dtype))
        unlike = {
            "counted in bits": 240 * size,
            "the rows only": 2 * size,
            "the elements": 30,
        }
        unlike |= (
            {"four bytes per element, whatever the dtype": 120} if size != 4 else {}
        )
        check.equal(tensor.nbytes, 30 * size, unlike=unlike)

    def test_a_view_counts_its_own_elements(self, kata):
        """Every third of 12 numbers: 4 numbers, though the memory behind them holds 12.
        A 0-d tensor holds one.
        """
        check.equal(kata.Tensor(np.arange(12.0)[::3]).nbytes, 32)
        check.equal(kata.Tensor(np.float64(3)).nbytes, 8)


class TestTensorItem:
    @pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
    def test_one_element_becomes_a_python_number(self, kata, shape):
        """A bool, int or float of Python, whatever the shape around it. A NumPy scalar
        would keep its dtype and change what is computed with it.
        """
        for value, dtype in [(2.5, np.float32), (7, np.int64), (True, np.bool_)]:
            got = kata.Tensor(np.full(shape, value, dtype=dtype)).item()
            told = f"item() is a {type(got).__name__}, expected {type(value).__name__}"
            scalar = (
                "a NumPy scalar, not Python's number"
                if isinstance(got, np.generic)
                else ""
            )
            check.that(type(got) is type(value), told, like=scalar)
            check.that(got == value, f"item() is {got}, expected {value}")

    def test_arrays_lists_length_and_text(self, kata):
        """`numpy()` is the array itself, `tolist()` has Python numbers, `len` counts
        rows, and the text shows values, shape and dtype.
        """
        t = kata.Tensor([[1, 2, 3], [4, 5, 6]])
        check.that(t.numpy() is t.data, "numpy() is not the array itself")
        check.equal(t.tolist(), [[1, 2, 3], [4, 5, 6]])
        check.equal(
            len(t),
            2,
            what="len(t)",
            unlike={"all elements, not the rows": 6, "the columns": 3},
        )
        for part in ("6", "(2, 3)", "int64"):
            check.that(part in repr(t), f"{t!r} does not show {part}")

    @pytest.mark.edge
    @pytest.mark.parametrize("data", [[1, 2], []], ids=["two", "none"])
    def test_other_than_one_element_is_refused(self, kata, data):
        """Two elements are not a number, and neither is none."""
        with check.raises(ValueError):
            kata.Tensor(data).item()

    @pytest.mark.edge
    def test_a_0_d_tensor_has_no_length(self, kata):
        """There is no first dimension whose size could be told."""
        with check.raises(TypeError):
            len(kata.Tensor(3.0))


class TestTensorDetach:
    def test_shares_the_memory(self, kata):
        """Only the history goes. The numbers stay where they are: a write to one tensor
        is seen in the other.
        """
        t = kata.Tensor(numbers(2, 3), requires_grad=True)
        got = t.detach()
        t.data[1, 2] = 99
        unlike = {
            "a copy: a write to the first tensor does not reach it": numbers(2, 3)
        }
        check.equal(
            check.data(got),
            t.data,
            what="the detached tensor, after a write to the first one",
            unlike=unlike,
        )

    def test_has_no_gradient_and_no_node(self, kata):
        """A detached tensor starts anew: module 05 must find nothing behind it. The
        first tensor keeps everything.
        """
        t = kata.Tensor([1.0, 2.0], requires_grad=True)
        t.grad, t.node = np.ones(2, dtype=np.float32), "made by add"
        got = t.detach()
        check.that(
            got is not t,
            "detach() returned the tensor itself, so its history would be lost",
        )
        check.that(not got.requires_grad, "the detached tensor requires a gradient")
        check.that(got.grad is None, f"the detached tensor has the gradient {got.grad}")
        check.that(got.node is None, f"the detached tensor has the node {got.node!r}")
        check.that(
            t.requires_grad and t.grad is not None and t.node == "made by add",
            "the first tensor was changed",
        )

    def test_announces_nothing(self, kata):
        """A tensor that was announced is connected to its inputs, which is what
        detaching ends.
        """
        t = kata.Tensor([1.0, 2.0])
        _, heard = listen(t.detach)
        check.that(not heard, f"detach announced {[op for _, op, _, _ in heard]}")


class TestTensorAdd:
    def test_shapes_broadcast(self, kata):
        """(2, 3, 1) with (4,): sizes are compared from the right, and a size of 1
        is repeated.
        """
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        expected = (torch.tensor(a) + torch.tensor(b)).numpy()
        check.equal(check.data(kata.Tensor(a) + kata.Tensor(b)), expected)

    def test_arrays_on_either_side(self, kata):
        """`array + t` is one Tensor, too. Without `__array_ufunc__ = None` NumPy would
        add element by element and build an array of Tensors.
        """
        a, b = numbers(2, 3), 10 * numbers(3)
        check.equal(check.data(kata.Tensor(a) + b), a + b)
        check.equal(check.data(a + kata.Tensor(b)), a + b)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("number", [2, 2.5])
    def test_a_number_keeps_the_dtype_of_a_floating_tensor(self, kata, dtype, number):
        """float32 + 2 is float32. `Tensor(2)` alone would be int64, and NumPy makes
        float64 of an int64 and a float32 array: twice the memory from here on.
        """
        x = numbers(2, 3, dtype=dtype)
        expected = np.add(x, dtype(number))
        check.equal(check.data(kata.Tensor(x) + number), expected, what=f"t + {number}")
        check.equal(check.data(number + kata.Tensor(x)), expected, what=f"{number} + t")

    def test_an_integer_tensor_plus_a_fraction_is_floating(self, kata):
        """2.5 in the dtype of the tensor, int64, would be 2."""
        got = check.data(kata.Tensor([1, 2]) + 2.5)
        check.close(
            got,
            np.array([3.5, 4.5]),
            unlike={"2.5 truncated to an integer": np.array([3.0, 4.0])},
        )
        check.that(
            check.data(kata.Tensor([1, 2]) + 3).dtype == np.int64,
            "integers plus an integer stay integers",
        )

    def test_the_operands_stay_as_they_are(self, kata):
        """The result is a new tensor. Writing into `self` would change a tensor that
        others still use.
        """
        a, b = kata.Tensor(numbers(2, 3)), kata.Tensor(10 * numbers(2, 3))
        result = a + b
        check.that(result is not a, "the result is the left operand itself")
        check.equal(a.data, numbers(2, 3), what="the left operand after the sum")
        check.equal(b.data, 10 * numbers(2, 3), what="the right operand after the sum")

    def test_announces_itself(self, kata):
        """The result is connected to both tensors, by Tensors as inputs: a number or
        array is wrapped first. Module 05 finds the gradients along these connections.
        """
        a, b = kata.Tensor(numbers(2, 3, 1)), kata.Tensor(numbers(4))
        check_announced(lambda: a + b, a, b)
        check_announced(lambda: a + 2.5, a)
        check_announced(lambda: numbers(4) + a, a)

    @pytest.mark.edge
    @pytest.mark.parametrize("other", [None, "2"], ids=["None", "text"])
    def test_other_operands_are_refused(self, kata, other):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice.
        Return NotImplemented, and Python raises the TypeError.
        """
        with check.raises(TypeError):
            kata.Tensor([1.0]) + other
        with check.raises(TypeError):
            other + kata.Tensor([1.0])


class TestTensorSub:
    def test_left_minus_right(self, kata):
        """Tensors, arrays and numbers on the right, by the rules of `+`."""
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        expected = (torch.tensor(a) - torch.tensor(b)).numpy()
        unlike = {"right minus left": -expected}
        check.equal(
            check.data(kata.Tensor(a) - kata.Tensor(b)), expected, unlike=unlike
        )
        check.equal(check.data(kata.Tensor(a) - b), expected, what="t - array")
        check.equal(
            check.data(kata.Tensor(a) - 2), numbers(2, 3, 1) - 2.0, what="t - 2"
        )

    def test_a_number_follows_the_rules_of_add(self, kata):
        """float32 - 2 stays float32, and an integer tensor minus a fraction
        is floating.
        """
        x = numbers(2, 3, dtype=np.float32)
        check.equal(check.data(kata.Tensor(x) - 2), np.subtract(x, np.float32(2)))
        check.close(check.data(kata.Tensor([1, 2]) - 0.5), np.array([0.5, 1.5]))

    def test_announces_itself(self, kata):
        """Announced in the order in which they are written: the right operand's
        gradient has a minus sign.
        """
        a, b = kata.Tensor(numbers(2, 3, 1)), kata.Tensor(10 * numbers(4))
        check_announced(lambda: a - b, a, b)
        check_announced(lambda: a - 2.5, a)

    @pytest.mark.edge
    def test_other_operands_are_refused(self, kata):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice."""
        with check.raises(TypeError):
            kata.Tensor([1.0]) - None


class TestTensorRsub:
    def test_a_number_minus_a_tensor(self, kata):
        """2 - t. Python asks the number first, which refuses, and then calls
        `t.__rsub__(2)`: self is on the right.
        """
        x = numbers(2, 3, dtype=np.float32)
        unlike = {"t - 2: the operands are swapped": x - 2}
        check.equal(
            check.data(2 - kata.Tensor(x)), np.subtract(np.float32(2), x), unlike=unlike
        )
        check.close(
            check.data(0.5 - kata.Tensor([1, 2])),
            np.array([-0.5, -1.5]),
            what="0.5 - an integer tensor",
        )

    def test_an_array_minus_a_tensor(self, kata):
        """One Tensor, with the shape that both broadcast to, and not an array
        of Tensors.
        """
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        unlike = {"t - array: the operands are swapped": b - a}
        check.equal(check.data(a - kata.Tensor(b)), a - b, unlike=unlike)

    def test_announces_itself(self, kata):
        """As a difference whose left operand is the number: its replay must give 2 -
        t, too.
        """
        t = kata.Tensor(numbers(2, 3))
        check_announced(lambda: 2.5 - t, t)

    @pytest.mark.edge
    def test_other_operands_are_refused(self, kata):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice."""
        with check.raises(TypeError):
            None - kata.Tensor([1.0])


class TestTensorMul:
    def test_element_by_element(self, kata):
        """Tensors, arrays and numbers on either side; shapes broadcast."""
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        expected = (torch.tensor(a) * torch.tensor(b)).numpy()
        check.equal(check.data(kata.Tensor(a) * kata.Tensor(b)), expected)
        check.equal(check.data(kata.Tensor(a) * b), expected, what="t * array")
        check.equal(check.data(a * kata.Tensor(b)), expected, what="array * t")

    def test_a_number_follows_the_rules_of_add(self, kata):
        """float32 times 2 stays float32, and an integer tensor times a fraction
        is floating.
        """
        x = numbers(2, 3, dtype=np.float32)
        check.equal(check.data(kata.Tensor(x) * 2), x + x, what="t * 2")
        check.equal(check.data(2 * kata.Tensor(x)), x + x, what="2 * t")
        got = check.data(kata.Tensor([1, 3]) * 0.5)
        check.close(
            got,
            np.array([0.5, 1.5]),
            unlike={"0.5 truncated to an integer": np.zeros(2)},
        )

    def test_announces_itself(self, kata):
        """Module 05 needs both factors: the gradient of one is the other."""
        a, b = kata.Tensor(numbers(2, 3, 1)), kata.Tensor(10 * numbers(4))
        check_announced(lambda: a * b, a, b)
        check_announced(lambda: 2.5 * a, a)

    @pytest.mark.edge
    def test_other_operands_are_refused(self, kata):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice."""
        with check.raises(TypeError):
            kata.Tensor([1.0]) * None


class TestTensorTruediv:
    def test_left_over_right(self, kata):
        """Tensors, arrays and numbers on the right, by the rules of `+`."""
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        expected = (torch.tensor(a) / torch.tensor(b)).numpy()
        unlike = {
            "right over left": 1 / expected,
            "divided without remainder": np.floor(expected),
        }
        check.close(
            check.data(kata.Tensor(a) / kata.Tensor(b)), expected, unlike=unlike
        )
        check.close(check.data(kata.Tensor(a) / b), expected, what="t / array")

    def test_integers_give_fractions(self, kata):
        """1 / 2 is 0.5, not 0. A float32 tensor over 2 stays float32."""
        got = check.data(kata.Tensor([1, 3]) / 2)
        check.close(
            got,
            np.array([0.5, 1.5]),
            unlike={"divided without remainder": np.array([0.0, 1.0])},
        )
        x = numbers(2, 3, dtype=np.float32)
        check.equal(check.data(kata.Tensor(x) / 2), x * np.float32(0.5))

    def test_announces_itself(self, kata):
        """The two operands in order: numerator and denominator have
        different gradients.
        """
        a, b = kata.Tensor(numbers(2, 3, 1)), kata.Tensor(10 * numbers(4))
        check_announced(lambda: a / b, a, b)
        check_announced(lambda: a / 2.5, a)

    @pytest.mark.edge
    def test_other_operands_are_refused(self, kata):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice."""
        with check.raises(TypeError):
            kata.Tensor([1.0]) / None


class TestTensorRtruediv:
    def test_a_number_over_a_tensor(self, kata):
        """2 / t, which Python makes a call of `t.__rtruediv__(2)`: self is
        the denominator.
        """
        x = numbers(2, 3, dtype=np.float32)
        got = check.data(2 / kata.Tensor(x))
        check.close(
            got,
            2 / x.astype(np.float64),
            unlike={"t / 2: the operands are swapped": x / 2},
        )
        check.that(
            got.dtype == np.float32,
            f"2 / a float32 tensor is {got.dtype}, expected float32",
        )

    def test_an_array_over_a_tensor(self, kata):
        """One Tensor, with the shape that both broadcast to."""
        a, b = numbers(2, 3, 1), 10 * numbers(4)
        check.close(
            check.data(a / kata.Tensor(b)),
            a / b,
            unlike={"t / array: the operands are swapped": b / a},
        )

    def test_announces_itself(self, kata):
        """As a quotient whose numerator is the number."""
        t = kata.Tensor(numbers(2, 3))
        check_announced(lambda: 2.5 / t, t)

    @pytest.mark.edge
    def test_other_operands_are_refused(self, kata):
        """NumPy reads None as NaN where a float is wanted, and nobody would notice."""
        with check.raises(TypeError):
            None / kata.Tensor([1.0])


class TestTensorPow:
    @pytest.mark.parametrize("exponent", [3, 0.5, -1])
    def test_every_element_to_the_same_power(self, kata, exponent):
        """Also fractions, which are roots, and negative powers, which divide. The
        dtype stays.
        """
        x = numbers(2, 3, dtype=np.float32)
        got = check.data(kata.Tensor(x) ** exponent)
        unlike = {
            "times the exponent, not to its power": x.astype(np.float64) * exponent,
            "the exponent to the power of the elements": float(exponent)
            ** x.astype(np.float64),
        }
        check.close(got, x.astype(np.float64) ** exponent, unlike=unlike)
        check.that(
            got.dtype == np.float32,
            f"a float32 tensor ** {exponent} is {got.dtype}, expected float32",
        )

    def test_announces_itself_with_its_exponent(self, kata):
        """The gradient of x³ is 3 x²: without the saved 3 it cannot be computed."""
        t = kata.Tensor(numbers(2, 3))
        check_announced(lambda: t**3, t)
        check_announced(lambda: t**0.5, t)

    def test_minus_exp_and_log(self, kata):
        """The given operations of one operand compute and announce themselves in the
        same way.
        """
        x = numbers(2, 3) / 3
        t = kata.Tensor(x)
        check.close(check.data(-t), 0 - x)
        check.close(check.data(t.exp()), torch.tensor(x).exp().numpy())
        check.close(check.data(t.log()), torch.tensor(x).log().numpy())
        for operation in (t.__neg__, t.exp, t.log):
            check_announced(operation, t)

    @pytest.mark.edge
    def test_other_exponents_are_refused(self, kata):
        """The gradient rule knows a number as exponent. A tensor would need a second
        gradient, its own.
        """
        with check.raises(TypeError):
            kata.Tensor([2.0]) ** kata.Tensor([3.0])
        with check.raises(TypeError):
            kata.Tensor([2.0]) ** None


class TestTensorMatmul:
    def test_rows_times_columns(self, kata):
        """(2, 3) @ (3, 4): element [i, j] is the sum of row i times column j."""
        a, b = numbers(2, 3), 10 * numbers(3, 4)
        rows, columns = a.tolist(), list(zip(*b.tolist(), strict=True))
        expected = [
            [sum(x * y for x, y in zip(row, column, strict=True)) for column in columns]
            for row in rows
        ]
        check.close(check.data(kata.Tensor(a) @ kata.Tensor(b)), np.array(expected))

    def test_leading_dims_are_a_batch(self, kata):
        """(2, 1, 3, 4) @ (5, 4, 6) is (2, 5, 3, 6): one product per batch element, and
        the dims before the last two broadcast. Both operands are transposed views here,
        not contiguous in memory.
        """
        a, b = numbers(2, 1, 4, 3).swapaxes(-1, -2), numbers(5, 6, 4).swapaxes(-1, -2)
        expected = np.einsum("abik,bkj->abij", a.repeat(5, axis=1), b)
        unlike = {
            "np.dot, which multiplies each matrix of a with each of b": np.dot(a, b)
        }
        check.close(
            check.data(kata.Tensor(a) @ kata.Tensor(b)), expected, unlike=unlike
        )

    def test_arrays_on_either_side(self, kata):
        """An ndarray operand is wrapped, as in `+`; the result is one Tensor."""
        a, b = numbers(2, 3), numbers(3, 4)
        expected = np.einsum("ik,kj->ij", a, b)
        check.close(check.data(kata.Tensor(a) @ b), expected, what="t @ array")
        check.close(check.data(a @ kata.Tensor(b)), expected, what="array @ t")

    def test_announces_itself(self, kata):
        """The order counts: a @ b and b @ a are different products."""
        a, b = kata.Tensor(numbers(2, 3)), kata.Tensor(numbers(3, 4))
        check_announced(lambda: a @ b, a, b)
        check_announced(lambda: a @ numbers(3, 4), a)

    @pytest.mark.edge
    def test_inner_sizes_that_differ_show_both_shapes(self, kata):
        """NumPy's own message names "core dimension 0" and a signature. The two shapes
        say at once what to mend.
        """
        a, b = kata.Tensor(numbers(2, 3)), kata.Tensor(numbers(4, 5))
        with check.raises(ValueError, "(2, 3)", "(4, 5)"):
            a @ b


class TestTensorGetitem:
    @given(key=basic_keys())
    def test_ints_slices_dots_and_none(self, kata, key):
        """An int drops its dimension, a slice keeps it, `...` fills up, and None adds a
        dimension of size 1.
        """
        x = numbers(3, 4, 5)
        check.equal(check.data(kata.Tensor(x)[key]), torch.tensor(x)[key].numpy())

    def test_one_element_is_a_tensor(self, kata):
        """NumPy returns a scalar for t[1, 2]. Here it is a 0-d Tensor: a gradient must
        find its way back to t.
        """
        x = numbers(3, 4, dtype=np.float32)
        check.equal(check.data(kata.Tensor(x)[1, 2]), np.array(x[1, 2]))

    def test_basic_keys_give_a_view(self, kata):
        """The selected elements lie at regular steps, so a new description of the same
        memory is enough. What is written through the slice is seen in the whole tensor.
        """
        for key in [1, slice(1, None), (slice(None), 2), (..., None)]:
            t = kata.Tensor(numbers(3, 4))
            part = check.data(t[key])
            check.that(np.shares_memory(part, t.data), f"t[{key}] is a copy")
            part[...] = 0
            check.equal(
                t.data[key],
                np.zeros(part.shape),
                what=f"t[{key}] after writing 0 through the view",
            )

    def test_integer_lists_and_masks_give_a_copy(self, kata):
        """Rows 2, 0, or all rows but one: no stride can describe them, so their
        elements move to new memory.
        """
        x = numbers(3, 4)
        for key, rows in [
            ([2, 0], [x[2], x[0]]),
            (np.array([1, 1]), [x[1], x[1]]),
            ([True, False, True], x[::2]),
        ]:
            t = kata.Tensor(x)
            got = check.data(t[key])
            check.equal(got, np.stack(rows), what=f"t[{key}]")
            check.that(
                not np.shares_memory(got, t.data), f"t[{key}] shares memory with t"
            )

    def test_tensors_are_keys_too(self, kata):
        """Alone or in a tuple, integers or bools. NumPy does not know Tensors: hand it
        their arrays.
        """
        x = numbers(3, 4)
        t, rows, mask = (
            kata.Tensor(x),
            kata.Tensor([2, 0]),
            kata.Tensor(np.array([True, False, True])),
        )
        check.equal(check.data(t[rows]), np.stack([x[2], x[0]]), what="t[rows]")
        check.equal(check.data(t[mask]), np.stack([x[0], x[2]]), what="t[mask]")
        check.equal(
            check.data(t[rows, kata.Tensor([1, 3])]),
            np.array([x[2, 1], x[0, 3]]),
            what="t[rows, columns]",
        )

    def test_announces_itself_with_its_key(self, kata):
        """Module 05 adds the gradient at `key` into zeros of the whole shape, and NumPy
        must understand the key.
        """
        t, rows = kata.Tensor(numbers(3, 4)), kata.Tensor([2, 0, 2])
        check_announced(lambda: t[1:, 2], t)
        check_announced(lambda: t[rows], t)
        check_announced(lambda: t[rows, None], t)

    @pytest.mark.edge
    @pytest.mark.parametrize("key", [3, (0, -5), (0, 0, 0)], ids=str)
    def test_an_index_outside_is_refused(self, kata, key):
        """By NumPy's IndexError, which also ends `for row in t`."""
        t = kata.Tensor(numbers(3, 4))
        with check.raises(IndexError):
            t[key]


class TestTensorReshape:
    def test_the_order_of_the_elements_stays(self, kata):
        """Row by row, as they lie in memory. Swapping rows and columns is another
        operation, `transpose`.
        """
        x = numbers(2, 6)
        flat = sum(x.tolist(), [])
        expected = np.array([flat[i : i + 4] for i in range(0, 12, 4)])
        unlike = {"column by column": x.reshape(3, 4, order="F")}
        check.equal(check.data(kata.Tensor(x).reshape(3, 4)), expected, unlike=unlike)

    def test_one_tuple_and_minus_one(self, kata):
        """The sizes are arguments or one tuple, and -1 stands for the size that
        is left.
        """
        t = kata.Tensor(numbers(2, 6))
        for shape in [((3, 4),), (3, -1), ((-1, 4),)]:
            check.equal(
                check.data(t.reshape(*shape)).shape,
                (3, 4),
                what=f"the shape of t.reshape{shape}",
            )
        check.equal(
            check.data(t.reshape(-1)).shape, (12,), what="the shape of t.reshape(-1)"
        )

    def test_is_a_view_where_it_can_be_one(self, kata):
        """The memory of a contiguous tensor fits any shape: only the description
        is new.
        """
        t = kata.Tensor(numbers(2, 6))
        got = check.data(t.reshape(3, 4))
        check.that(np.shares_memory(got, t.data), "the reshaped tensor is a copy")
        got[0, 0] = 99
        check.that(
            t.data[0, 0] == 99,
            "a write through the reshaped tensor is not seen in the first one",
        )

    def test_copies_where_it_must(self, kata):
        """In a transposed view neighbours are not neighbours in memory. No strides
        describe it as one dimension.
        """
        x = numbers(2, 3)
        expected = np.array([x[i, j] for j in range(3) for i in range(2)])
        unlike = {"the order in memory, not that of the view": x.ravel()}
        check.equal(check.data(kata.Tensor(x.T).reshape(6)), expected, unlike=unlike)

    def test_announces_itself(self, kata):
        """Nothing to save: the gradient takes the shape of the input again."""
        t = kata.Tensor(numbers(2, 6))
        check_announced(lambda: t.reshape(3, 4), t)


class TestTensorTranspose:
    @pytest.mark.parametrize(
        ("dim0", "dim1"), [(0, 1), (1, 2), (2, 0), (0, -1), (-2, -1)]
    )
    def test_two_dimensions_are_swapped(self, kata, dim0, dim1):
        """Those two and no others: `.T` of an array reverses all of them."""
        x = numbers(2, 3, 4)
        expected = torch.tensor(x).transpose(dim0, dim1).numpy()
        unlike = {"all dimensions reversed": x.T}
        if x.T.shape == expected.shape:
            unlike = {
                "reshaped: the right shape, the wrong places": x.reshape(expected.shape)
            }
        check.equal(
            check.data(kata.Tensor(x).transpose(dim0, dim1)), expected, unlike=unlike
        )

    def test_is_a_view(self, kata):
        """Two strides change places, and no number moves."""
        t = kata.Tensor(numbers(2, 3, 4))
        got = check.data(t.transpose(0, 2))
        check.that(np.shares_memory(got, t.data), "the transposed tensor is a copy")

    def test_announces_itself_with_its_dims(self, kata):
        """The gradient goes through the same swap once more."""
        t = kata.Tensor(numbers(2, 3, 4))
        check_announced(lambda: t.transpose(0, -1), t)

    def test_t_of_a_matrix(self, kata):
        """The given `T` is a transpose of rows and columns."""
        x = numbers(2, 3)
        t = kata.Tensor(x)
        check.equal(
            check.data(t.T), np.array([[x[i, j] for i in range(2)] for j in range(3)])
        )
        check_announced(lambda: t.T, t)


class TestTensorSum:
    def test_none_adds_everything(self, kata):
        """A 0-d Tensor, also for a tensor that is 0-d itself."""
        x = numbers(2, 3, 4)
        unlike = {
            "the mean": x.mean(),
            "the last dim alone is added up": x.sum(-1),
            "the first dim alone": x.sum(0),
        }
        unlike = {name: np.array(wrong) for name, wrong in unlike.items()}
        check.equal(
            check.data(kata.Tensor(x).sum()),
            np.array(sum(x.ravel().tolist())),
            unlike=unlike,
        )
        check.equal(check.data(kata.Tensor(np.array(3.5)).sum()), np.array(3.5))
        check.equal(check.data(kata.Tensor(x).sum(keepdim=True)).shape, (1, 1, 1))

    @given(case=reductions())
    def test_the_given_dims_disappear(self, kata, case):
        """One dim or a tuple, counted from either end; with `keepdim` they stay with
        size 1.
        """
        shape, dim, keepdim = case
        x = numbers(*shape)
        expected = torch.tensor(x).sum(dim, keepdim=keepdim).numpy()
        check.close(check.data(kata.Tensor(x).sum(dim, keepdim=keepdim)), expected)

    def test_float32_stays_float32(self, kata):
        """A sum of float32 numbers is float32."""
        got = check.data(kata.Tensor(numbers(2, 3, dtype=np.float32)).sum(1))
        check.that(got.dtype == np.float32, f"the sum is {got.dtype}, expected float32")

    def test_announces_itself_with_plain_dims(self, kata):
        """Module 05 puts the summed dims back where they were. It reads them as a tuple
        of non-negative ints.
        """
        t = kata.Tensor(numbers(2, 3, 4))
        for dim in (None, 1, -1, (0, -1)):
            check_announced(lambda dim=dim: t.sum(dim), t)
            check_announced(lambda dim=dim: t.sum(dim, keepdim=True), t)

    @pytest.mark.edge
    @pytest.mark.parametrize("dim", [2, -3, (0, 2)], ids=str)
    def test_a_dim_out_of_range_is_refused(self, kata, dim):
        """`dim % ndim` makes a valid dim of any number, and the wrong sum of a
        typing error.
        """
        t = kata.Tensor(numbers(2, 3))
        with check.raises(IndexError):
            t.sum(dim)


class TestTensorMean:
    def test_divides_by_the_number_of_averaged_elements(self, kata):
        """The mean of each row of a (2, 3) tensor divides by 3, the mean of each column
        by 2.
        """
        x = numbers(2, 3)
        for dim in (0, 1):
            sums = x.sum(axis=dim)
            unlike = {
                "divided by the number of all elements": sums / 6,
                "divided by the size of the other dim": sums / x.shape[1 - dim],
            }
            got = check.data(kata.Tensor(x).mean(dim))
            check.close(
                got,
                torch.tensor(x).mean(dim).numpy(),
                unlike=unlike,
                what=f"t.mean({dim})",
            )
        check.close(check.data(kata.Tensor(x).mean()), np.array(3.5), what="t.mean()")

    @given(case=reductions())
    def test_follows_the_rules_of_sum(self, kata, case):
        """One dim or a tuple, counted from either end; with `keepdim` they stay with
        size 1.
        """
        shape, dim, keepdim = case
        x = numbers(*shape)
        expected = torch.tensor(x).mean(dim, keepdim=keepdim).numpy()
        check.close(check.data(kata.Tensor(x).mean(dim, keepdim=keepdim)), expected)

    def test_float32_stays_float32(self, kata):
        """A factor of NumPy's own, such as np.float64(1 / 3), would make it float64."""
        got = check.data(kata.Tensor(numbers(2, 3, dtype=np.float32)).mean(1))
        check.that(
            got.dtype == np.float32, f"the mean is {got.dtype}, expected float32"
        )

    def test_integers_have_a_floating_mean(self, kata):
        """The mean of 1 and 2 lies between them. An integer dtype would cut it off."""
        got = check.data(kata.Tensor([[1, 2], [2, 5]]).mean(1))
        check.close(
            got,
            np.array([1.5, 3.5]),
            what="t.mean(1)",
            unlike={"cut off to integers": np.array([1, 3])},
        )

    def test_announces_itself(self, kata):
        """As "mean", or as a sum times a number: both lead back to the input."""
        t = kata.Tensor(numbers(2, 3, 4))
        for dim in (None, -1, (0, 1)):
            check_announced(lambda dim=dim: t.mean(dim, keepdim=True), t)

    @pytest.mark.edge
    @pytest.mark.parametrize("dim", [2, -3], ids=str)
    def test_a_dim_out_of_range_is_refused(self, kata, dim):
        """`dim % ndim` makes a valid dim of any number."""
        t = kata.Tensor(numbers(2, 3))
        with check.raises(IndexError):
            t.mean(dim)


class TestTensorMax:
    def test_the_largest_of_each_row(self, kata):
        """Values, not places; and the largest of negative numbers is negative."""
        x = -numbers(2, 3, dtype=np.float32)
        expected = np.array([max(row) for row in x.tolist()], dtype=np.float32)
        unlike = {
            "the place of the largest": x.argmax(axis=1),
            "the largest of each column": x.max(axis=0),
        }
        check.equal(check.data(kata.Tensor(x).max(1)), expected, unlike=unlike)
        check.equal(
            check.data(kata.Tensor(x).max()),
            np.array(-1, dtype=np.float32),
            what="t.max()",
        )

    @given(case=reductions())
    def test_follows_the_rules_of_sum(self, kata, case):
        """One dim or a tuple, counted from either end; with `keepdim` they stay with
        size 1.
        """
        shape, dim, keepdim = case
        x = numbers(*shape)
        expected = torch.tensor(x).amax(dim, keepdim=keepdim).numpy()
        check.equal(check.data(kata.Tensor(x).max(dim, keepdim=keepdim)), expected)

    def test_announces_itself(self, kata):
        """With plain dims, as `sum`: the gradient goes to the largest elements
        along them.
        """
        t = kata.Tensor(numbers(2, 3, 4))
        for dim in (None, -1, (0, 1)):
            check_announced(lambda dim=dim: t.max(dim, keepdim=True), t)

    @pytest.mark.edge
    @pytest.mark.parametrize("dim", [2, -3], ids=str)
    def test_a_dim_out_of_range_is_refused(self, kata, dim):
        """`dim % ndim` makes a valid dim of any number."""
        t = kata.Tensor(numbers(2, 3))
        with check.raises(IndexError):
            t.max(dim)


@pytest.mark.stretch
class TestStridesFor:
    def test_row_major_and_column_major(self, kata):
        """In row-major order the last index moves by 1, and each earlier one by the
        product of the later sizes. Column- major order is the mirror image: the first
        index moves by 1.
        """
        unlike = {
            "the mirror image: the other order": (1, 2, 6),
            "sizes, not products of sizes": (3, 4, 1),
            "the dimension's own size multiplied in": (24, 12, 4),
        }
        check.equal(kata.strides_for((2, 3, 4)), (12, 4, 1), unlike=unlike)
        check.equal(
            kata.strides_for((2, 3, 4), "F"),
            (1, 2, 6),
            unlike={"row-major": (12, 4, 1)},
        )

    @given(case=places())
    def test_equals_numpy(self, kata, case):
        """NumPy counts in bytes: an array with elements of one byte has the
        same strides.
        """
        shape, order, _ = case
        # NumPy writes what it likes for sizes of 1, where no step is ever taken:
        # compare with sizes from 2 on.
        shape = tuple(size + 1 for size in shape)
        check.equal(
            kata.strides_for(shape, order),
            np.empty(shape, dtype=np.int8, order=order).strides,
        )

    def test_makes_no_array(self, kata):
        """Strides are arithmetic. An array of this shape would take a
        million terabytes.
        """
        check.equal(kata.strides_for((10**6, 10**6, 10**6)), (10**12, 10**6, 1))

    @pytest.mark.edge
    def test_no_dimensions_and_other_orders(self, kata):
        """() has no stride to tell. "K" and "A" mean something in NumPy, not here."""
        check.equal(kata.strides_for(()), ())
        with check.raises(ValueError):
            kata.strides_for((2, 3), "K")


@pytest.mark.stretch
class TestFlatIndex:
    def test_index_times_strides(self, kata):
        """Row 1, column 2 of shape (3, 4): one whole row of 4 and two more lie before
        it, or two columns of 3 and one more.
        """
        unlike = {
            "column-major": 7,
            "index times size: a stride is a product of later sizes": 11,
        }
        check.equal(kata.flat_index((1, 2), (3, 4)), 6, unlike=unlike)
        check.equal(kata.flat_index((1, 2), (3, 4), "F"), 7, unlike={"row-major": 6})

    @given(case=places())
    def test_equals_numpy(self, kata, case):
        """For any shape and order, as np.ravel_multi_index says."""
        shape, order, index = case
        check.equal(
            kata.flat_index(index, shape, order),
            int(np.ravel_multi_index(index, shape, order=order)),
        )

    @pytest.mark.edge
    def test_negative_indices_count_from_the_end(self, kata):
        """-1 is the last along its dimension, so (-1, -2) in shape (3, 4) is (2, 2)."""
        check.equal(kata.flat_index((-1, -2), (3, 4)), 10)
        check.equal(kata.flat_index((-3, 0), (3, 4), "F"), 0)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "index", [(3, 0), (0, 4), (0, -5), (1,), (1, 1, 0)], ids=str
    )
    def test_outside_or_the_wrong_number_is_refused(self, kata, index):
        """(0, 4) in shape (3, 4) would be the place of (1, 0): another element, and
        no error.
        """
        with check.raises(IndexError):
            kata.flat_index(index, (3, 4))


@pytest.mark.stretch
class TestIsView:
    def test_views_share_memory(self, kata):
        """A slice, a transpose, a slice of that, and the tensor itself."""
        x = numbers(3, 4)
        base = kata.Tensor(x)
        for name, array in {
            "a slice": x[1:],
            "a view of a view": x.T[1:, ::2],
            "the whole": x,
        }.items():
            got = kata.is_view(kata.Tensor(array), base)
            told = f"is_view of {name} and its base is {got}, expected True"
            check.that(
                got is True,
                told + ": an array that owns its memory has no `.base`" * (array is x),
            )
        got = kata.is_view(base, kata.Tensor(x[1:]))
        check.that(
            got is True,
            f"is_view of the whole and a part of it is {got}, expected True",
        )

    def test_copies_do_not(self, kata):
        """Equal numbers at another place: a write to one leaves the other as it is."""
        x = numbers(3, 4)
        for name, array in {
            "a copy": x.copy(),
            "rows by a list": x[[0, 1, 2]],
            "zeros": np.zeros((3, 4)),
        }.items():
            got = kata.is_view(kata.Tensor(array), kata.Tensor(x))
            equal = (
                "equal numbers taken for the same memory"
                if name == "a copy" and got is True
                else ""
            )
            check.that(
                got is False,
                f"is_view of {name} and the tensor is {got}, expected False",
                like=equal,
            )

    @pytest.mark.edge
    def test_parts_without_a_common_element(self, kata):
        """Even and odd places of one tensor lie between one another, and no write to
        one reaches the other.
        """
        x = numbers(8)
        got = kata.is_view(kata.Tensor(x[::2]), kata.Tensor(x[1::2]))
        told = f"is_view of the even and the odd places is {got}, expected False"
        check.that(
            got is False,
            told,
            like="a common block of memory, not a common element"
            if got is True
            else "",
        )


OPERATIONS = {
    "add": lambda a: a + a,
    "slice": lambda a: a[1:],
    "transpose": lambda a: a.swapaxes(0, 1),
    "reshape": lambda a: a.reshape(-1),
    "insert_axis": lambda a: a[None],
    "integer_index": lambda a: a[np.random.default_rng(0).permutation(len(a))],
    "reshape_of_transpose": lambda a: a.swapaxes(0, 1).reshape(-1),
    "copy": lambda a: a.copy(),
}


@pytest.mark.stretch
class TestPredictCopyBytes:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_equals_the_measured_bytes(self, kata, operation):
        """The prediction against what NumPy has allocated when the operation
        is over.
        """
        from tinytorch.setup import profile_memory

        for dtype in (np.float64, np.float32):
            a = numbers(64, 128, dtype=dtype)
            got = kata.predict_copy_bytes(a.shape, a.itemsize, operation)
            check.that(
                isinstance(got, int),
                f"the prediction is {check.describe(got)}, expected an int",
            )
            measured = profile_memory(OPERATIONS[operation], a).retained_bytes
            close = abs(got - measured) <= 0.2 * measured + 8192
            told = (
                f"{operation}: {got} bytes predicted, {measured} measured, the tensor "
                f"has {a.nbytes}"
            )
            check.that(close, told, like="elements, not bytes" if got == a.size else "")

    def test_is_exact(self, kata):
        """All bytes or none: elements times bytes per element."""
        check.equal(
            kata.predict_copy_bytes((3, 5, 7), 4, "copy"),
            420,
            unlike={"elements, not bytes": 105},
        )
        check.equal(kata.predict_copy_bytes((3, 5, 7), 8, "transpose"), 0)

    @pytest.mark.edge
    def test_another_word_is_refused(self, kata):
        """A word that is not in the list is a typing error, not an operation
        without memory.
        """
        with check.raises(ValueError):
            kata.predict_copy_bytes((3, 5), 4, "slices")


@pytest.mark.stretch
class TestAddScaling:
    def test_memory_grows_as_the_size(self, kata):
        """4 bytes per element of the result and nothing else: `a` is made before
        the measurement.
        """
        sizes = [10_000, 20_000, 40_000]
        got = kata.add_scaling(sizes)
        check.equal(got["sizes"], sizes, what="sizes")
        for size, value in zip(sizes, got["values"], strict=True):
            close = abs(value - 4 * size) <= 0.2 * 4 * size + 8192
            twice = abs(value - 8 * size) <= 0.2 * 4 * size
            slip = (
                "float64 numbers, or `a` made inside of the measurement"
                if twice
                else ""
            )
            check.that(
                close,
                f"n = {size}: {value} bytes, expected about {4 * size}",
                like=slip,
            )
        check.close(got["exponent"], 1.0, atol=0.25, what="exponent")


@pytest.mark.stretch
class TestVectorizationReport:
    def test_reports_both_times_and_their_ratio(self, kata):
        """Times come from the given timer, which here goes on by half a second at
        each look.
        """
        looks = iter(range(1000))
        got = kata.vectorization_report(100, timer=lambda: next(looks) / 2)
        check.equal(
            sorted(got),
            ["loop_seconds", "max_abs_diff", "n", "numpy_seconds", "speedup"],
            what="keys",
        )
        check.equal(got["n"], 100)
        check.close(got["loop_seconds"], 0.5, what="loop_seconds")
        check.close(got["numpy_seconds"], 0.5, what="numpy_seconds")

    def test_the_speedup_is_loop_over_numpy(self, kata):
        """A clock whose steps grow: the two times differ, and the ratio says how often
        the second fits in the first.
        """
        looks = iter(range(1000))
        got = kata.vectorization_report(100, timer=lambda: 2.0 ** next(looks))
        expected = got["loop_seconds"] / got["numpy_seconds"]
        check.close(
            got["speedup"],
            expected,
            what="speedup",
            unlike={"NumPy over loop": 1 / expected},
        )

    def test_numpy_is_at_least_ten_times_as_fast(self, kata):
        """The same sums, equal up to rounding to float32, in about a hundredth of the
        time. The best of three reports counts, as another program may take the
        processor in between.
        """
        reports = [kata.vectorization_report(20_000) for _ in range(3)]
        for report in reports:
            difference = report["max_abs_diff"]
            check.that(
                isinstance(difference, float),
                f"max_abs_diff is {check.describe(difference)}, expected a float",
            )
            check.that(
                0 <= difference < 1e-5,
                f"the two sums differ by {difference}, expected rounding only",
            )
        best = max(report["speedup"] for report in reports)
        check.that(
            best >= 10,
            f"NumPy is {best:.1f} times as fast as the loop, expected 10 or more",
        )
