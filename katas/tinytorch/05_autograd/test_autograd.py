"""Specs of kata tinytorch/05: nodes, gradient rules, and the walk back through
the graph.
"""

import gc
import weakref
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.specs import check

TORCH = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "pow": lambda x, exponent: x**exponent,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sum": torch.sum,
    "mean": torch.mean,
    "max": torch.amax,
    "reshape": lambda x, shape: x.reshape(shape),
    "transpose": torch.transpose,
    "index": lambda x, key: x[key],
    "matmul": torch.matmul,
}
RULES = {
    "arithmetic_rule": ("add", "sub", "mul", "div", "neg"),
    "elementwise_rule": ("exp", "log", "pow", "relu", "sigmoid", "tanh"),
    "reduction_rule": ("sum", "mean", "max"),
    "shape_rule": ("reshape", "transpose", "index"),
    "matmul_rule": ("matmul",),
}


def leaf(*data, dtype=np.float64, shape=None):
    """A tensor that requires a gradient: of these numbers, or of random ones of
    this shape.
    """
    from tinytorch.tensor import Tensor

    array = (
        np.array(data, dtype)
        if shape is None
        else np.random.default_rng(3).normal(size=shape).astype(dtype)
    )
    return Tensor(array, requires_grad=True)


def constant(*data):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(data, np.float64))


def array_of(op, inputs, saved):
    """The result of an operation of torch on these inputs."""
    return np.array(TORCH[op](*(torch.tensor(x.data) for x in inputs), **saved).numpy())


def announced(kata, array, op, *inputs, **saved):
    """A Tensor of this array, which was announced to the kata's `record_node` as the
    output of an operation.
    """
    from tinytorch.tensor import Tensor

    out = Tensor(array)
    kata.record_node(out, op, inputs, saved)
    return out


def made(kata, op, *inputs, **saved):
    """The announced output of an operation that torch computes."""
    return announced(kata, array_of(op, inputs, saved), op, *inputs, **saved)


def by_torch(node, grad):
    """The gradients of a node's inputs, by torch."""
    inputs = [torch.tensor(x.data, requires_grad=True) for x in node.inputs]
    out = TORCH[node.op](*inputs, **node.saved)
    return tuple(
        part.numpy()
        for part in torch.autograd.grad(
            out, inputs, torch.tensor(grad, dtype=out.dtype)
        )
    )


def with_rules_of_torch(kata):
    """Inside the block, all gradient rules are torch's, so that `backward` is
    judged alone.
    """
    return mock.patch.dict(kata.RULES, dict.fromkeys(TORCH, by_torch))


@contextmanager
def own_recorder(kata):
    """Inside the block, operations announce themselves to the kata's `record_node`,
    which asks the kata's flag.
    """
    from tinytorch.recorder import set_recorder

    before = set_recorder(kata.record_node)
    try:
        with mock.patch.dict(
            kata.record_node.__globals__, is_grad_enabled=kata.is_grad_enabled
        ):
            yield
    finally:
        set_recorder(before)


@contextmanager
def own_framework(kata):
    """Inside the block, recorder and rules are those of the kata."""
    rules = {op: getattr(kata, name) for name, ops in RULES.items() for op in ops}
    with own_recorder(kata), mock.patch.dict(kata.RULES, rules):
        yield


def gradcheck(kata, fn, inputs, **options):
    with own_framework(kata):
        return kata.gradcheck(fn, inputs, **options)


def check_rule(rule, kata, op, *arrays, unlike=None, **saved):
    """Compare a rule's gradients with torch's, for a random gradient of the output. All
    inputs require a gradient.

    Args:
        unlike: from the name of a slip to a function that makes its wrong gradients of
            grad and the arrays.
    """
    from tinytorch.tensor import Tensor

    inputs = tuple(Tensor(array, requires_grad=True) for array in arrays)
    node = kata.Node(op, inputs, saved, array_of(op, inputs, saved))
    grad = np.random.default_rng(1).normal(size=node.out.shape)
    expected, local = by_torch(node, grad), by_torch(node, np.ones_like(grad))
    wrong = {name: slip(grad, *arrays) for name, slip in (unlike or {}).items()}
    if any(map(np.any, local)):
        wrong["the derivative alone, without grad"] = local
    if op == "reshape":
        node.saved = {}  # the operation does not save its new shape
    got = rule(node, grad.copy())
    fine = isinstance(got, (tuple, list)) and len(got) == len(arrays)
    check.that(
        fine,
        f"expected a tuple of {len(arrays)}, one gradient per input, got "
        f"{check.describe(got)}",
    )
    for number, name in enumerate("ab" if len(arrays) == 2 else "x"):
        alike = {slip: parts[number] for slip, parts in wrong.items()}
        part = summed_to(got[number], arrays[number].shape)
        check.close(
            part, expected[number], what=f'gradient of {name} in "{op}"', unlike=alike
        )


def summed_to(part, shape):
    """A gradient of the broadcast shape, summed to this shape. Of another shape, it
    stays as it is.
    """
    part = np.asarray(part)
    fits = part.ndim >= len(shape) and all(
        n in (1, m) for n, m in zip(shape[::-1], part.shape[::-1])
    )
    return torch.tensor(part).sum_to_size(shape).numpy() if fits else part


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


def away_from_zero(*shape):
    return np.sign(normal(*shape)) * (0.5 + np.abs(normal(*shape)))


@st.composite
def broadcast_shapes(draw):
    """A shape, and one that broadcasts to it: some sizes are 1, some leading dimensions
    are missing.
    """
    full = tuple(draw(st.lists(st.integers(1, 4), max_size=4)))
    kept = [draw(st.sampled_from([size, 1])) for size in full]
    return full, tuple(kept[draw(st.integers(0, len(full))) :])


@st.composite
def arithmetic(draw):
    """An operation, and the shapes of its two inputs."""
    full, part = draw(broadcast_shapes())
    shapes = draw(st.permutations([full, part]))
    return draw(st.sampled_from(["add", "sub", "mul", "div"])), *shapes


@st.composite
def reductions(draw):
    """An operation on an array of shape (2, 3, 3), and how it reduces it."""
    dims = draw(st.sets(st.integers(0, 2), min_size=1))
    return (
        draw(st.sampled_from(["sum", "mean", "max"])),
        tuple(sorted(dims)),
        draw(st.booleans()),
    )


STEPS = (
    "{a} + {b}",
    "{a} - {b}",
    "tanh({a}) * {b}",
    "{a} / ({b} * {b} + 1.0)",
    "-{a} * 0.5",
    "tanh({a}).exp()",
    "({a} * {a} + 1.0).log()",
    "tanh({a}) ** 3",
    "relu({a})",
    "sigmoid({a})",
    "({a} + t[0]).sum(dim=0)",
    "({a} + t[0]).mean(dim=1, keepdim=True)",
    "({a} + t[0]).mean()",
    "({a} + t[0]).reshape(3, 2).transpose(0, 1)",
    "({a} + t[0])[1]",
    "({a} + t[0])[[1, 1]]",
    "tanh({a} + t[0]) @ ({b} + t[0]).transpose(0, 1) @ t[0]",
)


@st.composite
def programs(draw):
    """Lines of code. t[0] to t[3] are leaves of the shapes (2, 3), (3,), (2, 1) and ();
    each line makes the next t.
    """
    lines = []
    for number in range(4, 4 + draw(st.integers(1, 6))):
        a, b = (f"t[{draw(st.integers(0, number - 1))}]" for _ in "ab")
        lines.append(draw(st.sampled_from(STEPS)).format(a=a, b=b))
    return lines


def run(lines, leaves, **functions):
    t = list(leaves)
    for line in lines:
        t.append(eval(line, {"t": t, **functions}))
    return t[-1]


@pytest.fixture(autouse=True)
def recording_is_on(kata):
    """A flag that one spec left switched off is no matter of the next."""
    with mock.patch.object(kata, "_enabled", True, create=True):
        yield


class TestRecordNode:
    def test_the_output_gets_a_node(self, kata):
        """A node is all that the walk back will need: the operation's name, its input
        tensors themselves, what it saved, and the array of its output.
        """
        from tinytorch.tensor import Tensor

        w, out = leaf(2.0, 3.0), Tensor(np.array([4.0, 9.0]))
        kata.record_node(out, "pow", (w,), {"exponent": 2})
        check.that(out.node is not None, "out.node is None")
        check.that(
            isinstance(out.node, kata.Node),
            f"out.node is {check.describe(out.node)}, expected a Node",
        )
        check.equal(
            (out.node.op, out.node.saved),
            ("pow", {"exponent": 2}),
            what="(node.op, node.saved)",
        )
        check.that(
            len(out.node.inputs) == 1 and out.node.inputs[0] is w,
            "node.inputs must be the tuple it was given",
        )
        check.that(
            out.node.out is out.data,
            f"node.out is {check.describe(out.node.out)}, expected the array out.data",
        )

    def test_one_input_that_requires_grad_is_enough(self, kata):
        """The gradient must find its way to the one weight among constants, so the
        output requires a gradient, too.
        """
        outs = [constant(3.0) for _ in range(3)]
        pairs = (
            (constant(1.0), leaf(2.0)),
            (leaf(2.0), constant(1.0)),
            (leaf(1.0), leaf(2.0)),
        )
        for out, inputs in zip(outs, pairs, strict=True):
            kata.record_node(out, "add", inputs, {})
        got = tuple(out.node is not None for out in outs)
        slips = {
            (False, False, True): "all inputs have to require a gradient, not any",
            (False, True, True): "the first input alone is asked",
        }
        told = "out.node is None, though one of two inputs requires a gradient"
        check.that(all(got), told, like=slips.get(got, ""))
        for out in outs:
            check.that(
                out.requires_grad is True,
                f"out.requires_grad is {out.requires_grad}, expected True",
            )

    def test_constants_leave_no_node(self, kata):
        """Where no input requires a gradient, nobody will ask for one. A node would
        only keep memory.
        """
        out = constant(3.0)
        kata.record_node(out, "add", (constant(1.0), constant(2.0)), {})
        check.that(
            out.node is None, "out has a node, though no input requires a gradient"
        )
        check.that(
            out.requires_grad is False,
            f"out.requires_grad is {out.requires_grad}, expected False",
        )

    def test_nothing_is_recorded_while_gradients_are_off(self, kata):
        """`is_grad_enabled()` decides. It is False inside of `no_grad`."""
        out = constant(3.0)
        with mock.patch.multiple(
            kata, _enabled=False, is_grad_enabled=lambda: False, create=True
        ):
            kata.record_node(out, "neg", (leaf(-3.0),), {})
        check.that(
            out.node is None, "out has a node, though is_grad_enabled() is False"
        )
        check.that(
            out.requires_grad is False,
            "out requires a gradient, though is_grad_enabled() is False",
        )

    def test_every_operation_calls_it(self, kata):
        """The module installs it with `set_recorder`, so what is computed from a
        recorded output is recorded, too.
        """
        x = leaf(1.0, 2.0)
        y = (x * constant(3.0, 4.0)).exp()
        check.that(y.node is not None, "(x * 3).exp() has no node")
        source = y.node.inputs[0]
        check.that(
            source.node is not None and source.requires_grad,
            "the input of exp, x * 3, has no node",
        )


class TestNoGrad:
    def test_recording_is_off_inside_and_on_again_behind(self, kata):
        """`is_grad_enabled()` says so. A flag that stays off ends the training without
        an error.
        """
        check.that(kata.is_grad_enabled() is True, "recording is off before the block")
        with kata.no_grad():
            check.that(
                kata.is_grad_enabled() is False,
                "inside the block is_grad_enabled() is True",
            )
        check.that(
            kata.is_grad_enabled() is True,
            "behind the block is_grad_enabled() is still False",
        )

    def test_blocks_can_be_nested(self, kata):
        """The inner block gives back what it found, off, and not simply on."""
        with kata.no_grad():
            with kata.no_grad():
                pass
            check.that(
                kata.is_grad_enabled() is False,
                "the end of the inner block switched recording on again",
            )
        check.that(
            kata.is_grad_enabled() is True,
            "behind both blocks is_grad_enabled() is still False",
        )

    def test_operations_inside_leave_no_node(self, kata):
        """An evaluation needs no graph, and keeps no intermediate in memory."""
        x = leaf(1.0, 2.0)
        with own_recorder(kata):
            with kata.no_grad():
                inside = x * x
            behind = x * x
        check.that(
            inside.node is None,
            "x * x has a node, though it was computed inside of no_grad",
        )
        check.that(
            not inside.requires_grad,
            "x * x requires a gradient, though it was computed inside of no_grad",
        )
        check.that(behind.node is not None, "x * x behind the block has no node")

    @pytest.mark.edge
    def test_an_exception_leaves_recording_on(self, kata):
        """An evaluation that fails, or is interrupted, must not switch off all
        later training.
        """
        with pytest.raises(ZeroDivisionError), kata.no_grad():
            raise ZeroDivisionError
        check.that(
            kata.is_grad_enabled() is True,
            "after an exception in the block is_grad_enabled() is False",
        )

    @pytest.mark.edge
    def test_works_as_a_decorator(self, kata):
        """`@no_grad()` over a function is the block around each of its calls."""

        @kata.no_grad()
        def evaluate():
            return kata.is_grad_enabled()

        check.equal(
            [evaluate(), kata.is_grad_enabled(), evaluate()],
            [False, True, False],
            what="inside, after, again",
        )


class TestUnbroadcast:
    def test_added_dimensions_are_summed(self, kata):
        """A bias (3,) is added to each of 2 · 4 rows, so its gradient is the sum over
        the rows.
        """
        grad = normal(2, 4, 3)
        unlike = {
            "one of the rows": grad[0, 0],
            "the mean, not the sum": grad.mean(axis=(0, 1)),
        }
        check.close(
            np.asarray(kata.unbroadcast(grad, (3,))),
            grad.sum(axis=(0, 1)),
            unlike=unlike,
        )

    def test_stretched_dimensions_keep_size_1(self, kata):
        """A column (2, 1) was repeated along its second dimension. Its gradient is a
        column, too, not (2,).
        """
        grad = normal(2, 3)
        unlike = {"the mean, not the sum": grad.mean(axis=1)[:, None]}
        check.close(
            np.asarray(kata.unbroadcast(grad, (2, 1))),
            grad.sum(axis=1)[:, None],
            unlike=unlike,
        )

    def test_both_at_once(self, kata):
        """Shapes are aligned from the right: for (4, 1, 3) in (2, 4, 5, 3), dimension 0
        was added and dimension 2 was stretched. The positions in the two shapes differ
        by the number of added dimensions.
        """
        grad = normal(2, 4, 5, 3)
        check.close(
            np.asarray(kata.unbroadcast(grad, (4, 1, 3))),
            grad.sum(axis=(0, 2))[:, None],
        )

    @given(case=broadcast_shapes())
    def test_any_shape_that_broadcasts(self, kata, case):
        """The result has the shape asked for, and the same sum as before: nothing is
        lost, whatever was repeated. That holds for (), for sizes of 1 on both sides,
        and where nothing was repeated.
        """
        full, part = case
        grad = normal(*full)
        check.close(
            np.asarray(kata.unbroadcast(grad, part)),
            torch.tensor(grad).sum_to_size(part).numpy(),
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(3,), (2, 2), (1, 2, 4), (2, 4, 1)])
    def test_other_shapes_are_refused(self, kata, shape):
        """A gradient of shape (2, 4) cannot come from an array of this shape: the rule
        that made it is wrong.
        """
        with check.raises(ValueError):
            kata.unbroadcast(normal(2, 4), shape)


class TestArithmeticRule:
    def test_sums_pass_the_gradient_on(self, kata):
        """If a or b grows by 1, so does a + b. In a - b, the one of b counts the
        other way.
        """
        for op in ("add", "sub"):
            check_rule(
                kata.arithmetic_rule, kata, op, normal(2, 3), away_from_zero(2, 3)
            )

    def test_products_exchange_the_factors(self, kata):
        """If a grows by 1, then a · b grows by b."""
        check_rule(
            kata.arithmetic_rule,
            kata,
            "mul",
            normal(2, 3),
            away_from_zero(2, 3),
            unlike={
                "grad times the input itself, not the other one": lambda grad, a, b: (
                    grad * a,
                    grad * b,
                )
            },
        )

    def test_a_quotient_falls_as_its_denominator_grows(self, kata):
        """d(a / b) is 1 / b by a, and -a / b² by b."""
        unlike = {
            "-grad · a / b, with b not squared": lambda grad, a, b: (
                grad / b,
                -grad * a / b,
            ),
            "-grad / b², without a": lambda grad, a, b: (grad / b, -grad / b**2),
            "grad · b": lambda grad, a, b: (grad * b, -grad * a / b**2),
        }
        check_rule(
            kata.arithmetic_rule,
            kata,
            "div",
            normal(2, 3),
            away_from_zero(2, 3),
            unlike=unlike,
        )

    def test_a_minus_turns_the_sign(self, kata):
        """-x has one input, and its rule returns a tuple of one."""
        check_rule(kata.arithmetic_rule, kata, "neg", normal(2, 3))

    @given(case=arithmetic())
    def test_shapes_that_broadcast(self, kata, case):
        """A gradient may keep the shape of the output, for `unbroadcast` to sum. Or it
        has the shape of its input.
        """
        op, first, second = case
        check_rule(
            kata.arithmetic_rule, kata, op, normal(*first), away_from_zero(*second)
        )


class TestElementwiseRule:
    def test_exp_is_its_own_derivative(self, kata):
        """The derivative of eˣ is eˣ, which the node has as `out`."""
        unlike = {
            "grad · x, with the input for the output": lambda grad, x: (grad * x,)
        }
        check_rule(kata.elementwise_rule, kata, "exp", normal(2, 3), unlike=unlike)

    def test_log_divides_by_its_input(self, kata):
        """The derivative of log x is 1 / x."""
        unlike = {
            "grad / log x, with the output for the input": lambda grad, x: (
                grad / np.log(x),
            )
        }
        check_rule(
            kata.elementwise_rule,
            kata,
            "log",
            np.abs(away_from_zero(2, 3)),
            unlike=unlike,
        )

    def test_pow_lowers_the_exponent_by_1(self, kata):
        """The derivative of xⁿ is n · xⁿ⁻¹, also for roots and for
        negative exponents.
        """
        for exponent in (2, 3, 0.5, -1, 1):
            unlike = {
                "xⁿ⁻¹ without the factor n": lambda grad, x: (
                    grad * x ** (exponent - 1),
                ),
                "n · xⁿ, the exponent not lowered": lambda grad, x: (
                    grad * exponent * x**exponent,
                ),
            }
            x = (
                np.abs(away_from_zero(2, 3))
                if exponent == 0.5
                else away_from_zero(2, 3)
            )
            check_rule(
                kata.elementwise_rule, kata, "pow", x, exponent=exponent, unlike=unlike
            )

    def test_pow_has_a_gradient_at_0(self, kata):
        """x² is flat at 0, and x¹ has the slope 1. An activation is often 0, after a
        ReLU for instance, and one NaN spreads to every weight.
        """
        for exponent in (2, 3, 1):
            with np.errstate(all="ignore"):
                unlike = {
                    "n · out / x, which is 0 / 0 at x = 0": lambda grad, x: (
                        grad * exponent * x**exponent / x,
                    )
                }
                x = np.array([[0.0, 2.0, -1.5], [0.5, 0.0, 3.0]])
                check_rule(
                    kata.elementwise_rule,
                    kata,
                    "pow",
                    x,
                    exponent=exponent,
                    unlike=unlike,
                )

    def test_relu_passes_the_gradient_where_it_passed_the_value(self, kata):
        """The derivative is 1 for positive x and 0 for negative. At 0 it has none; as
        PyTorch, we take 0.
        """
        unlike = {
            "1 at x = 0": lambda grad, x: (grad * (x >= 0),),
            "grad · relu(x)": lambda grad, x: (grad * np.maximum(x, 0),),
            "the gradient everywhere": lambda grad, x: (grad,),
        }
        x = np.array([[0.7, -2.0, 0.0], [0.0, 3.0, -0.5]])
        check_rule(kata.elementwise_rule, kata, "relu", x, unlike=unlike)

    def test_sigmoid_is_steepest_at_0(self, kata):
        """The derivative of s = sigmoid(x) is s · (1 - s): 1/4 at 0, and next to
        nothing far from it.
        """
        unlike = {
            "x · (1 - x), with the input for the output": lambda grad, x: (
                grad * x * (1 - x),
            ),
            "1 - s, without the factor s": lambda grad, x: (grad / (1 + np.exp(x)),),
        }
        check_rule(
            kata.elementwise_rule, kata, "sigmoid", 2 * normal(2, 3), unlike=unlike
        )

    def test_tanh_is_steepest_at_0(self, kata):
        """The derivative of t = tanh(x) is 1 - t²: 1 at 0, and next to nothing far
        from it.
        """
        unlike = {
            "1 - x², with the input for the output": lambda grad, x: (
                grad * (1 - x**2),
            ),
            "1 - t, not squared": lambda grad, x: (grad * (1 - np.tanh(x)),),
        }
        check_rule(kata.elementwise_rule, kata, "tanh", 2 * normal(2, 3), unlike=unlike)

    @pytest.mark.edge
    def test_an_exponent_of_0_has_no_gradient_even_at_0(self, kata):
        """x⁰ is 1 everywhere. 0 · xⁿ⁻¹ would be 0 · ∞ at x = 0, which is NaN, and NaN
        spreads to every weight.
        """
        with np.errstate(all="ignore"):
            check_rule(
                kata.elementwise_rule,
                kata,
                "pow",
                np.array([0.0, 2.0, -1.0]),
                exponent=0,
            )


class TestReductionRule:
    def test_a_sum_gives_every_element_the_gradient(self, kata):
        """Each element of row i is in sum i. The gradients (3,) of the sums of rows
        must first become a column: NumPy would spread them as a row, and with three
        columns no error says so.
        """
        unlike = {
            "spread along the wrong dimension": lambda grad, x: (
                np.broadcast_to(grad, x.shape),
            )
        }
        x = normal(3, 3)
        check_rule(
            kata.reduction_rule, kata, "sum", x, dim=(1,), keepdim=False, unlike=unlike
        )
        check_rule(kata.reduction_rule, kata, "sum", x, dim=(0, 1), keepdim=False)

    def test_a_mean_divides_by_what_was_averaged(self, kata):
        """One of four elements moves their mean by a quarter. The 4 is the number of
        elements per result, not the 12 of all elements, and not the 3 of the results.
        """
        unlike = {
            "not divided: a sum's rule": lambda grad, x: (
                np.broadcast_to(grad[:, None], x.shape),
            ),
            "divided by the number of all elements": lambda grad, x: (
                np.broadcast_to(grad[:, None] / 12, x.shape),
            ),
        }
        check_rule(
            kata.reduction_rule,
            kata,
            "mean",
            normal(3, 4),
            unlike=unlike,
            dim=(1,),
            keepdim=False,
        )

    def test_the_largest_element_gets_everything(self, kata):
        """A small change of any other element does not move the maximum."""
        unlike = {
            "every element gets the gradient": lambda grad, x: (
                np.broadcast_to(grad[:, None], x.shape),
            ),
            "only the largest of all elements gets any": lambda grad, x: (
                grad[:, None] * (x == x.max()),
            ),
        }
        check_rule(
            kata.reduction_rule,
            kata,
            "max",
            normal(3, 4),
            dim=(1,),
            keepdim=False,
            unlike=unlike,
        )

    @given(case=reductions())
    def test_any_dimensions_with_and_without_keepdim(self, kata, case):
        """`dim` is a tuple of one to all dimensions. Without `keepdim`, grad and out
        lack them.
        """
        op, dim, keepdim = case
        check_rule(
            kata.reduction_rule, kata, op, normal(2, 3, 3), dim=dim, keepdim=keepdim
        )

    @pytest.mark.edge
    def test_equal_maxima_share_the_gradient(self, kata):
        """Two largest elements get a half each, so that the parts sum to the gradient,
        as `torch.amax` does it.
        """
        x = np.array([[2.0, 5.0, 5.0, 1.0], [3.0, 3.0, 3.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
        first = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
        unlike = {
            "the whole gradient to each of them": lambda grad, x: (
                grad[:, None] * (x == x.max(1, keepdims=True)),
            ),
            "the whole gradient to the first one": lambda grad, x: (
                grad[:, None] * first,
            ),
        }
        check_rule(
            kata.reduction_rule, kata, "max", x, dim=(1,), keepdim=False, unlike=unlike
        )


class TestShapeRule:
    def test_reshape_goes_back_to_the_input_s_shape(self, kata):
        """No element changes, so neither does its gradient. The node has the old shape:
        that of its input.
        """
        check_rule(kata.shape_rule, kata, "reshape", normal(2, 6), shape=(3, 4))

    @pytest.mark.parametrize("dims", [(0, 2), (1, 2), (-1, 0)], ids=str)
    def test_transpose_swaps_the_same_dimensions_back(self, kata, dims):
        """Swapping twice is no change. Other dimensions than these two stay where
        they are.
        """
        unlike = {
            "reshaped, not swapped back": lambda grad, x: (grad.reshape(x.shape),)
        }
        check_rule(
            kata.shape_rule,
            kata,
            "transpose",
            normal(2, 3, 4),
            dim0=dims[0],
            dim1=dims[1],
            unlike=unlike,
        )

    def test_index_puts_the_gradient_where_the_elements_came_from(self, kata):
        """An element that was not taken has no part in the result: its gradient is 0.
        Keys are ints, slices, None, masks, or tuples of these.
        """
        keys = (
            1,
            slice(0, 3, 2),
            (slice(None), 2),
            (..., None, 0),
            np.array([True, False, True]),
            (0, [1, 3]),
        )
        for key in keys:
            check_rule(kata.shape_rule, kata, "index", normal(3, 4), key=key)

    def test_an_element_taken_twice_gets_the_sum(self, kata):
        """One row of an embedding is read for each time that its word occurs, and
        learns from all of them.
        """
        last = np.zeros((4, 2))

        def overwritten(grad, x):
            last[[2, 0, 2, 2]] = grad
            return (last,)

        unlike = {"the last gradient of a repeated index, not their sum": overwritten}
        check_rule(
            kata.shape_rule,
            kata,
            "index",
            normal(4, 2),
            key=np.array([2, 0, 2, 2]),
            unlike=unlike,
        )


class TestMatmulRule:
    def test_two_matrices(self, kata):
        """c = a @ b with (2, 3) @ (3, 4). Only one order of the factors gives a (2, 3)
        and a (3, 4) of grad (2, 4).
        """
        check_rule(kata.matmul_rule, kata, "matmul", normal(2, 3), away_from_zero(3, 4))

    def test_square_matrices(self, kata):
        """With equal sizes every order of factors has the right shape, and every
        forgotten transpose.
        """
        unlike = {
            "b is not transposed, or a is not": lambda grad, a, b: (grad @ b, a @ grad),
            "the factors are in the wrong order": lambda grad, a, b: (
                b.T @ grad,
                grad @ a.T,
            ),
        }
        check_rule(
            kata.matmul_rule,
            kata,
            "matmul",
            normal(3, 3),
            away_from_zero(3, 3),
            unlike=unlike,
        )

    @pytest.mark.parametrize(
        ("first", "second"),
        [((5,), (5,)), ((2, 5), (2, 5)), ((5,), ()), ((), (5,)), ((2, 1), (5,))],
        ids=str,
    )
    def test_batches_of_matrices(self, kata, first, second):
        """Only the last two dimensions are a matrix: `.T` would turn around all of
        them. Leading dimensions that broadcast may stay in the gradient, for
        `unbroadcast` to sum.
        """
        check_rule(
            kata.matmul_rule,
            kata,
            "matmul",
            normal(*first, 2, 3),
            away_from_zero(*second, 3, 4),
        )


class TestBackward:
    def test_every_leaf_gets_its_gradient_and_nothing_else_does(self, kata):
        """For y = (a·b + a + c).sum(): b + 1 for a, and a for b. The constant c and all
        results on the way get none.
        """
        a, b, c = leaf(2.0, 3.0), leaf(5.0, 7.0), constant(1.0, 1.0)
        product = made(kata, "mul", a, b)
        total = made(kata, "add", made(kata, "add", product, a), c)
        y = made(kata, "sum", total, dim=(0,), keepdim=False)
        with with_rules_of_torch(kata):
            kata.backward(y)
        unlike = {
            "1, the way past the product alone: the parts of both ways must be added": (
                np.array([1.0, 1.0])
            ),
            (
                "b, the way through the product alone: the parts of both ways must be "
                "added"
            ): np.array([5.0, 7.0]),
        }
        check.close(a.grad, np.array([6.0, 8.0]), what="a.grad", unlike=unlike)
        check.close(b.grad, np.array([2.0, 3.0]), what="b.grad")
        check.that(c.grad is None, "c does not require a gradient, and has one")
        for name, x in {"a·b": product, "a·b + a + c": total, "y": y}.items():
            check.that(x.grad is None, f"{name} is not a leaf, and has a .grad")

    def test_several_ways_to_one_tensor_add_up(self, kata):
        """y = x·x + x uses x three times. Its gradient is the sum over all ways,
        2x + 1; at x = 3 that is 7.
        """
        x = leaf(3.0)
        y = made(kata, "add", made(kata, "mul", x, x), x)
        with with_rules_of_torch(kata):
            kata.backward(y)
        unlike = {
            "2x: the way without a product is missing": np.array([6.0]),
            "1: each way replaced the one before": np.array([1.0]),
            "3: each way replaced the one before": np.array([3.0]),
            "x + 1: of x·x only one way counts": np.array([4.0]),
        }
        check.close(x.grad, np.array([7.0]), what="x.grad", unlike=unlike)

    def test_a_node_waits_for_all_its_consumers_and_is_visited_once(self, kata):
        """Here h is used directly and, later, through others. Only when all of them
        have added their part is h's gradient complete. Ten doublings have 1024 ways
        through them, and ten nodes: walk over nodes, not over ways.
        """
        for swapped in (False, True):
            x, calls = leaf(0.3, -0.5), []

            def counted(node, grad):
                calls.append(node.op)
                return by_torch(node, grad)

            h = made(kata, "exp", x)
            ways = [h, made(kata, "tanh", made(kata, "mul", h, h))]
            y = made(kata, "mul", *(ways[::-1] if swapped else ways))
            for _ in range(10):
                y = made(kata, "add", y, y)
            with mock.patch.dict(kata.RULES, dict.fromkeys(TORCH, counted)):
                kata.backward(made(kata, "sum", y, dim=(0,), keepdim=False))
            count = {op: calls.count(op) for op in ("sum", "add", "mul", "tanh", "exp")}
            expected = {"sum": 1, "add": 10, "mul": 2, "tanh": 1, "exp": 1}
            check.equal(
                count,
                expected,
                what="calls of rules",
                unlike={"one visit for each way": {"add": 1023}},
            )
            right = torch.tensor(x.data, requires_grad=True)
            (1024 * right.exp() * (right.exp() ** 2).tanh()).sum().backward()
            early = 1024 * np.exp(x.data) * np.tanh(np.exp(x.data) ** 2)
            unlike = {"h handed on its gradient before all had added their part": early}
            check.close(x.grad, right.grad.numpy(), what="x.grad", unlike=unlike)

    def test_a_second_pass_adds_to_the_gradient(self, kata):
        """Gradients of several losses, or of several parts of a batch, sum up until
        someone clears them. A graph that was kept by retain_graph=True can be
        walked again.
        """
        x, y = leaf(3.0), leaf(4.0)
        z = made(kata, "mul", x, y)
        with with_rules_of_torch(kata):
            kata.backward(z, retain_graph=True)
            kata.backward(z, retain_graph=True)
            unlike = {"the last pass alone": np.array([4.0])}
            check.close(
                x.grad,
                np.array([8.0]),
                what="x.grad after two passes over one graph",
                unlike=unlike,
            )
            kata.backward(made(kata, "neg", x))
        unlike = {"the last pass alone": np.array([-1.0])}
        check.close(
            x.grad,
            np.array([7.0]),
            what="x.grad after a pass over another graph",
            unlike=unlike,
        )
        check.close(y.grad, np.array([6.0]), what="y.grad")

    def test_the_graph_is_released(self, kata):
        """The nodes hold every intermediate. Afterwards nobody needs them, but the loss
        is often kept, for a plot: it must not keep its whole graph.
        """
        y, arrays = leaf(shape=(100, 10)), []
        for _ in range(10):
            y = made(kata, "tanh", y)
            arrays.append(weakref.ref(y.data))
        loss = made(kata, "sum", y, dim=(0, 1), keepdim=False)
        del y
        with with_rules_of_torch(kata):
            kata.backward(loss)
        if any(array() is not None for array in arrays):
            gc.collect()  # a function that calls itself is in a cycle
        alive = sum(array() is not None for array in arrays)
        check.that(
            alive < 2,
            f"{alive} of 10 intermediate arrays are still in memory, held by the loss "
            f"{loss.shape}",
        )

    def test_a_new_operation_needs_only_a_rule(self, kata):
        """`@backward_rule("axpy")` registers a rule at any time, and a later one
        replaces it. Its gradient of the bias has the broadcast shape, and its third
        input has none.
        """
        x, bias, ids = leaf(shape=(2, 3)), leaf(1.0, 2.0, 3.0), constant(0.0)
        out = announced(kata, 2 * x.data + bias.data, "axpy", x, bias, ids)
        with mock.patch.dict(kata.RULES):
            kata.backward_rule("axpy")(lambda node, grad: (grad, grad, None))
            kata.backward_rule("axpy")(lambda node, grad: (2 * grad, grad, None))
            kata.backward(out, np.ones((2, 3)))
        check.close(
            x.grad,
            np.full((2, 3), 2.0),
            what="x.grad",
            unlike={"the rule that was replaced": np.ones((2, 3))},
        )
        check.close(
            bias.grad,
            np.full(3, 2.0),
            what="bias.grad",
            unlike={"not un-broadcast": np.ones((2, 3))},
        )

    @settings(max_examples=40)
    @given(lines=programs())
    def test_random_programs_have_torch_s_gradients(self, kata, lines):
        """Your recorder, your rules and `backward` together: from a given gradient of
        the last tensor to all leaves. Each of `lines` makes the next tensor t[4], t[5]
        … of the ones before.
        """
        from tinytorch.activations import relu, sigmoid, tanh

        leaves = [leaf(shape=shape) for shape in ((2, 3), (3,), (2, 1), ())]
        theirs = [torch.tensor(x.data, requires_grad=True) for x in leaves]
        expected = run(
            lines, theirs, relu=torch.relu, sigmoid=torch.sigmoid, tanh=torch.tanh
        )
        gradient = np.random.default_rng(4).normal(size=expected.shape)
        expected.backward(torch.tensor(gradient))
        with own_framework(kata):
            kata.backward(
                run(lines, leaves, relu=relu, sigmoid=sigmoid, tanh=tanh), gradient
            )
        for number, (x, right) in enumerate(zip(leaves, theirs)):
            if right.grad is None:
                check.that(
                    x.grad is None,
                    f"t[{number}] has no part in the result, and has a .grad",
                )
            else:
                check.that(x.grad is not None, f"t[{number}].grad is None")
                check.close(
                    np.asarray(x.grad), right.grad.numpy(), what=f"t[{number}].grad"
                )

    def test_a_network_gets_the_gradients_that_torch_computes(self, kata):
        """Layers and activations of modules 03 and 04 were written before this one.
        They announce what they do, and so all their parameters learn.
        """
        from tinytorch.activations import ReLU, Sigmoid, Tanh
        from tinytorch.layers import Linear, Sequential
        from tinytorch.tensor import Tensor

        rng = np.random.default_rng(0)
        layers = [
            Linear(3, 5, rng=rng),
            Tanh(),
            Linear(5, 4, rng=rng),
            ReLU(),
            Linear(4, 2, rng=rng),
            Sigmoid(),
        ]
        net, x = Sequential(layers), rng.normal(size=(6, 3))
        ours = {
            f"layers[{i}].{name}": getattr(layers[i], name)
            for i in (0, 2, 4)
            for name in ("weight", "bias")
        }
        weights = [
            torch.tensor(p.data, dtype=torch.float64, requires_grad=True)
            for p in ours.values()
        ]
        h = torch.tanh(torch.tensor(x) @ weights[0].T + weights[1])
        h = torch.relu(h @ weights[2].T + weights[3])
        ((h @ weights[4].T + weights[5]).sigmoid() ** 2).mean().backward()
        with own_framework(kata):
            kata.backward((net(Tensor(x.astype(np.float32))) ** 2).mean())
        for (name, parameter), right in zip(ours.items(), weights):
            check.that(parameter.grad is not None, f"{name}.grad is None")
            check.close(
                parameter.grad,
                right.grad.numpy(),
                rtol=1e-4,
                atol=1e-6,
                what=f"{name}.grad",
            )

    @pytest.mark.edge
    def test_a_chain_of_5000_operations(self, kata):
        """A recurrent network has one operation per step. Python stops at about 1000
        calls inside of each other.
        """
        x = y = leaf(1.0)
        for _ in range(5000):
            y = announced(kata, -y.data, "neg", y)
        with mock.patch.dict(kata.RULES, neg=lambda node, grad: (-grad,)):
            kata.backward(y)
        check.close(x.grad, np.array([1.0]), what="x.grad")

    @pytest.mark.edge
    def test_a_gradient_has_the_dtype_of_its_leaf(self, kata):
        """Float32 weights have float32 gradients, also where a float64 constant came
        in. That of a 0-d leaf is an array, too, and not a NumPy scalar.
        """
        weight, scale = leaf(1.0, 2.0, dtype=np.float32), leaf(shape=())
        y = made(kata, "mul", made(kata, "mul", weight, constant(3.0, 4.0)), scale)
        with with_rules_of_torch(kata):
            kata.backward(
                made(kata, "sum", y, dim=(0,), keepdim=False), retain_graph=True
            )
            kata.backward(made(kata, "sum", y, dim=(0,), keepdim=False))
        check.equal(
            weight.grad,
            (2 * scale.data * np.array([3.0, 4.0])).astype(np.float32),
            what="weight.grad",
        )
        check.close(scale.grad, np.array(22.0), what="scale.grad")

    @pytest.mark.edge
    def test_every_leaf_owns_its_gradient(self, kata):
        """Clipping writes into `.grad`. With a + b, both gradients are the one that
        came in: one array for all of them would be clipped twice.
        """
        a, b, gradient = leaf(1.0, 2.0), leaf(3.0, 4.0), np.array([1.0, 1.0])
        out = announced(kata, a.data + b.data, "add", a, b)
        with mock.patch.dict(kata.RULES, add=lambda node, grad: (grad, grad)):
            kata.backward(out, gradient)
        check.that(
            not np.shares_memory(a.grad, b.grad), "a.grad and b.grad share their memory"
        )
        shared = np.shares_memory(a.grad, gradient) or np.shares_memory(
            b.grad, gradient
        )
        check.that(
            not shared,
            "a leaf's .grad shares its memory with the gradient that was given",
        )

    @pytest.mark.edge
    def test_the_start_must_be_clear(self, kata):
        """There is nothing to compute for a tensor without a gradient. Several elements
        need a weight each, in an array of their shape; a Tensor will do.
        """
        x = leaf(shape=(2, 3))
        with with_rules_of_torch(kata):
            with check.raises(ValueError):
                kata.backward(constant(1.0))
            with check.raises(ValueError):
                kata.backward(made(kata, "neg", x))
            with check.raises(ValueError):
                kata.backward(made(kata, "neg", x), np.ones(3))
            check.that(
                x.grad is None, "x.grad was written, though the call was refused"
            )
            kata.backward(made(kata, "neg", x), constant(*np.ones((2, 3))))
        check.close(x.grad, -np.ones((2, 3)), what="x.grad")

    @pytest.mark.edge
    def test_a_released_graph_is_refused(self, kata):
        """The arrays that the rules need are gone. That holds for a second loss, too,
        which shares a part of the first one's graph. The message names retain_graph.
        """
        x = leaf(2.0)
        shared = made(kata, "exp", x)
        loss, other = made(kata, "neg", shared), made(kata, "tanh", shared)
        with with_rules_of_torch(kata):
            kata.backward(loss)
            for again in (loss, other):
                with check.raises(RuntimeError, "retain_graph"):
                    kata.backward(again)

    @pytest.mark.edge
    def test_an_operation_without_a_rule_is_named(self, kata):
        """A new operation was announced, and nobody registered its rule."""
        out = announced(kata, np.array([2.0]), "cube_root", leaf(8.0))
        try:
            kata.backward(out)
        except Exception as error:
            if "cube_root" not in str(error):
                raise
        else:
            check.that(
                False,
                "expected an error, such as NotImplementedError, that names cube_root",
            )

    @pytest.mark.edge
    def test_a_part_that_nobody_needs_is_left_alone(self, kata):
        """An operation on integers has no gradient for them. Whatever the rule returns
        there, nothing is done with it. None for a leaf counts nothing.
        """
        from tinytorch.tensor import Tensor

        x, skipped, ids = leaf(1.0, 2.0), leaf(1.0, 2.0), Tensor(np.array([0, 1, 0]))
        out = announced(kata, np.array([3.0]), "own", x, skipped, ids)
        with mock.patch.dict(
            kata.RULES, own=lambda node, grad: (np.array([5.0, 6.0]), None, "nothing")
        ):
            kata.backward(out)
        check.close(x.grad, np.array([5.0, 6.0]), what="x.grad")
        check.that(
            skipped.grad is None and ids.grad is None,
            "an input whose part is None or not needed has a .grad",
        )


@pytest.mark.stretch
class TestGradcheck:
    def test_right_gradients_agree(self, kata):
        """Differences and `backward` are two ways to one number. `fn` may return a
        tensor of any shape: its sum is checked. An input may have a gradient already,
        to which `backward` would add.
        """
        a, b, c = leaf(shape=(2, 3)), leaf(shape=(3,)), constant(2.0)
        b.grad = np.array([10.0, 20.0, 30.0])
        result = gradcheck(kata, lambda a, b, c: (a * b - c).exp() * b, [a, b, c])
        check.that(
            set(result)
            == {"ok", "max_abs_error", "numerical_forward_calls", "backward_calls"},
            f"{result}",
        )
        check.that(
            bool(result["ok"]),
            f"ok is {result['ok']}, with an error of {result['max_abs_error']:.3g}",
        )
        error = result["max_abs_error"]
        check.that(
            0 < error < 1e-6,
            f"max_abs_error is {error:.3g}, expected rounding noise below 1e-6",
        )

    def test_wrong_gradients_are_found(self, kata):
        """`detach` hides one of the two factors from `backward`, which then finds x
        where 2x is right. The error is |x|, and the largest one counts.
        """
        x = leaf(1.0, -3.0, 2.0, 0.0)
        result = gradcheck(kata, lambda x: x * x.detach(), [x])
        check.that(
            not result["ok"],
            "ok is True, though three of four gradients are half of the right ones",
        )
        unlike = {
            "the last error": 0.0,
            "the first error": 1.0,
            "the error with its sign": 2.0,
        }
        check.close(
            result["max_abs_error"], 3.0, rtol=1e-6, what="max_abs_error", unlike=unlike
        )

    def test_counts_what_each_way_costs(self, kata):
        """Differences take two forward passes per element, here 2 · (6 + 3); the
        constant is not checked. `backward` takes one for all. That is why training uses
        reverse mode.
        """
        recorded = []

        def fn(a, b, c):
            recorded.append(kata.is_grad_enabled())
            return a * b * c

        result = gradcheck(
            kata, fn, [leaf(shape=(2, 3)), leaf(shape=(3,)), constant(2.0)]
        )
        unlike = {
            "one pass per element": 9,
            "the constant is checked, too": 20,
            "two passes per input": 4,
        }
        check.equal(
            result["numerical_forward_calls"],
            18,
            what="numerical_forward_calls",
            unlike=unlike,
        )
        check.equal(result["backward_calls"], 1, what="backward_calls")
        check.equal(
            (len(recorded), sum(recorded)),
            (19, 1),
            what="(calls of fn, those that were recorded)",
        )

    def test_both_tolerances_count(self, kata):
        """An error is fine up to atol + rtol · |difference|: large gradients may be off
        by more. Here backward finds 2 where 2.01 is right, then -2 where -2.01 is, then
        2e6 where 2.01e6 is.
        """
        for scale in (1.0, -1.0, 1e6):
            for atol, rtol in ((0.02, 0.0), (0.0, 0.008), (0.004, 0.0), (0.0, 0.002)):
                result = gradcheck(
                    kata,
                    lambda x: scale * (2 * x + 0.01 * x.detach()),
                    [leaf(1.0)],
                    atol=atol,
                    rtol=rtol,
                )
                fine = 0.01 * abs(scale) <= atol + rtol * 2.01 * abs(scale)
                said = (
                    f"ok is {result['ok']} for an error of {0.01 * abs(scale):g}, "
                    f"atol={atol}, rtol={rtol}"
                )
                check.that(
                    bool(result["ok"]) == fine,
                    f"{said}, a difference of {2.01 * scale:g}",
                )

    @pytest.mark.edge
    def test_leaves_the_inputs_as_they_were(self, kata):
        """A check in the middle of training changes nothing: every element is moved and
        put back, and `.grad` is what it was.
        """
        a, b = leaf(0.1, 0.7, -0.3), leaf(1.0, 2.0, 3.0)
        a.grad = kept = np.array([1.0, 2.0, 3.0])
        gradcheck(kata, lambda a, b: a * b, [a, b])
        check.equal(a.data, np.array([0.1, 0.7, -0.3]), what="a.data afterwards")
        check.equal(a.grad, np.array([1.0, 2.0, 3.0]), what="a.grad afterwards")
        check.equal(kept, np.array([1.0, 2.0, 3.0]), what="the array that was a.grad")
        check.that(
            b.grad is None, "b.grad was None before the check, and is not afterwards"
        )

    @pytest.mark.edge
    def test_an_unused_input_has_the_gradient_0(self, kata):
        """`backward` does not reach it, and its differences are 0."""
        result = gradcheck(kata, lambda a, b: a * 2.0, [leaf(1.0), leaf(1.0, 2.0)])
        check.that(bool(result["ok"]), f"ok is {result['ok']}")
        check.equal(
            result["numerical_forward_calls"], 6, what="numerical_forward_calls"
        )

    @pytest.mark.edge
    def test_float32_is_refused(self, kata):
        """With seven digits, a difference of two values 2e-6 apart is mostly
        rounding noise.
        """
        with check.raises(ValueError, "float32"):
            gradcheck(kata, lambda x: x * x, [leaf(1.0, dtype=np.float32)])


@pytest.mark.stretch
class TestGraphReport:
    def test_counts_each_node_once(self, kata):
        """h is used twice and is one node. Leaves have none."""
        x = leaf(1.0, 2.0)
        h = made(kata, "exp", x)
        y = made(kata, "mul", made(kata, "add", h, x), made(kata, "add", h, h))
        report = kata.graph_report(y)
        check.that(
            set(report) == {"nodes", "ops", "held_bytes"},
            f"the keys are {sorted(report)}",
        )
        check.equal(
            report["nodes"],
            4,
            what="nodes",
            unlike={"h counted per way to it": 6, "leaves counted": 5},
        )
        check.equal(dict(report["ops"]), {"exp": 1, "add": 2, "mul": 1}, what="ops")

    def test_adds_up_the_memory_of_all_arrays(self, kata):
        """x (10 float64), the factor c, which requires no gradient, x·c, its exp and
        the sum: each of them is held, and each counts once, though a result is in
        two nodes.
        """
        x, c = leaf(shape=(2, 5)), constant(*range(5))
        y = made(
            kata,
            "sum",
            made(kata, "exp", made(kata, "mul", x, c)),
            dim=(0, 1),
            keepdim=False,
        )
        unlike = {
            "outputs alone": 168,
            "results counted as output and as input": 448,
            "without the constant": 248,
            "numbers, not bytes": 36,
        }
        check.equal(
            kata.graph_report(y)["held_bytes"],
            8 * (10 + 5 + 10 + 10 + 1),
            what="held_bytes",
            unlike=unlike,
        )

    def test_views_are_one_block(self, kata):
        """A reshaped tensor is the same memory. A slice keeps the whole block alive,
        and counts as all of it.
        """
        from tinytorch.tensor import Tensor

        x = leaf(shape=(4, 6))
        flat = announced(kata, x.data.reshape(24), "reshape", x)
        part = announced(kata, flat.data[:3], "index", flat, key=slice(0, 3))
        unlike = {"each view counted": 8 * (24 + 24 + 3)}
        check.equal(
            kata.graph_report(part)["held_bytes"],
            8 * 24,
            what="held_bytes",
            unlike=unlike,
        )
        block = np.arange(100.0)
        only = Tensor(block[:2], requires_grad=True)
        got = kata.graph_report(made(kata, "exp", only))["held_bytes"]
        check.equal(
            got,
            8 * (100 + 2),
            what="held_bytes with 2 of 100 elements",
            unlike={"the slice alone": 32},
        )

    def test_saved_arrays_count(self, kata):
        """Arrays that an operation saved are in memory as well: here indices, and a
        mask that is also an input's.
        Other entries, such as an exponent, have no array.
        """
        x, ids = leaf(shape=(4, 6)), np.array([1, 0, 3])
        y = made(kata, "index", x, key=ids)
        z = announced(kata, y.data**2, "square", y, exponent=2, mask=y.data)
        check.equal(
            kata.graph_report(z)["held_bytes"],
            x.nbytes + ids.nbytes + 2 * y.nbytes,
            what="held_bytes",
        )

    def test_a_leaf_has_no_graph(self, kata):
        """Nothing was recorded for it."""
        check.equal(
            kata.graph_report(leaf(1.0, 2.0)), {"nodes": 0, "ops": {}, "held_bytes": 0}
        )


@pytest.mark.stretch
class TestDepthScaling:
    def test_a_graph_grows_with_the_depth(self, kata):
        """Every product is an input of the next node, so each of them stays:
        depth · width · 4 bytes.
        """
        with own_recorder(kata):
            found = kata.depth_scaling([4, 8, 16], width=5000)
        check.that(
            set(found) == {"graph", "no_grad"},
            f"the keys are {sorted(found)}, expected graph and no_grad",
        )
        check.equal(found["graph"]["sizes"], [4, 8, 16], what="graph sizes")
        for depth, value in zip((4, 8, 16), found["graph"]["values"]):
            least = depth * 5000 * 4
            fits = least <= value < 1.2 * least + 20_000
            told = (
                f"depth {depth}: {value} bytes are retained, expected about {least}, "
                "float32 per product"
            )
            slip = (
                "the result alone: there is no graph"
                if 20_000 <= value < 32_000 and depth > 2
                else ""
            )
            check.that(
                fits,
                told,
                like="float64 numbers"
                if 2 * least <= value < 2.2 * least + 5_000
                else slip,
            )
        check.close(
            found["graph"]["exponent"], 1.0, atol=0.25, what="exponent with a graph"
        )

    def test_without_a_graph_only_the_result_stays(self, kata):
        """Under `no_grad` each product is freed as soon as the next one is there, at
        any depth.
        """
        with own_recorder(kata):
            found = kata.depth_scaling([4, 8, 16], width=5000)["no_grad"]
        check.equal(found["sizes"], [4, 8, 16], what="no_grad sizes")
        check.close(found["exponent"], 0.0, atol=0.25, what="exponent under no_grad")
        for value in found["values"]:
            check.that(
                20_000 <= value < 32_000,
                f"{value} bytes are retained, expected those of one result, 20000",
            )
        check.that(kata.is_grad_enabled() is True, "recording is off afterwards")
