"""Specs of kata tinytorch/04: parameters, modules, Linear, Sequential, what they cost,
and XOR by hand.
"""

import math
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

TABLE = {
    "add",
    "sub",
    "mul",
    "div",
    "matmul",
    "neg",
    "pow",
    "sum",
    "reshape",
    "transpose",
    "index",
}


def tensor(values):
    from tinytorch.tensor import Tensor

    return Tensor(values)


def normal(*shape):
    """A Tensor of float32 normal numbers, the same ones for a shape in every call."""
    return tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


def module(kata, **attributes):
    """A Module with these attributes, set in this order."""
    made = kata.Module()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def three_deep(kata):
    """A module with one in an attribute, two in a list, and one inside one of those,
    by name.
    """
    inner = module(kata, scale=kata.Parameter([4.0]))
    found = {
        "inner": inner,
        "attribute": module(kata, weight=kata.Parameter([1.0])),
        "first in a list": module(kata, inner=inner),
        "second in a list": module(kata, bias=kata.Parameter([2.0])),
    }
    listed = [found["first in a list"], found["second in a list"]]
    return found | {
        "itself": module(
            kata, head=found["attribute"], layers=listed, shift=kata.Parameter([3.0])
        )
    }


def names_of(found):
    return [name for name, _ in found]


def by_hand(layer, x):
    """The output of a Linear, in float64 by PyTorch."""
    weight, bias = (
        None if p is None else torch.tensor(p.data).double()
        for p in (layer.weight, layer.bias)
    )
    return F.linear(torch.tensor(x.data).double(), weight, bias).numpy()


def announced(function):
    """The output of a function, and all tensors from which announced operations
    made it.
    """
    from tinytorch.recorder import set_recorder

    made_from, kept = {}, []

    def listen(out, op, inputs, saved):
        kept.append(out)  # so that no id is given away twice
        if op in TABLE:
            made_from[id(out)] = inputs

    before = set_recorder(listen)
    try:
        output = function()
    finally:
        set_recorder(before)
    reached, open_ = [], [output]
    while open_:
        inputs = made_from.get(id(open_.pop()), ())
        reached += inputs
        open_ += inputs
    return output, reached


def xor_of_three_units():
    """XOR as ½ + ½·relu(1) − relu(1 − x1 − x2) − relu(x1 + x2 − 1): three hidden units,
    and a bias behind them.
    """
    W1, b1 = [[0, 0], [-1, -1], [1, 1]], [1, 1, -1]
    return tuple(
        np.array(values, dtype=np.float32)
        for values in (W1, b1, [[0.5, -1, -1]], [0.5])
    )


class NoMatrixProduct(np.ndarray):
    """An array that refuses `@`."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        check.that(
            ufunc.__name__ != "matmul", "this exercise is to be written without @"
        )
        plain = [np.asarray(x) if isinstance(x, NoMatrixProduct) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **options)


@st.composite
def trees(draw):
    """A module as nested dicts: an attribute is a parameter "p", a tensor "t", a list
    of these, or a module.
    """
    leaf = st.sampled_from(["p", "t"])
    attributes = st.sampled_from(["weight", "head", "a", "b"])
    tree = st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(attributes, inner, max_size=2)
        ),
        max_leaves=4,
    )
    return draw(st.dictionaries(attributes, tree, min_size=1, max_size=3))


def built(kata, tree):
    """The tree with Parameters, Tensors, lists and Modules."""
    if isinstance(tree, dict):
        return module(kata, **{name: built(kata, part) for name, part in tree.items()})
    if isinstance(tree, list):
        return [built(kata, part) for part in tree]
    return kata.Parameter([1.0]) if tree == "p" else tensor([1.0])


def paths(tree, path=()):
    """The dotted names of all "p" in the tree."""
    if tree == "p":
        return [".".join(path)]
    parts = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    return [found for name, part in parts for found in paths(part, (*path, str(name)))]


@st.composite
def batches(draw):
    """The leading dims of an input, and whether the layer has a bias."""
    return draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)), draw(
        st.booleans()
    )


@st.composite
def three_sizes(draw):
    return tuple(draw(st.integers(1, 5)) for _ in range(3))


class TestParameter:
    def test_is_a_tensor_that_requires_a_gradient(self, kata):
        """A parameter is learned, so it requires a gradient without being asked to.
        Otherwise it is a Tensor with all of its operations.
        """
        p = kata.Parameter([[0.5, 2.0, 1.0]])
        check.equal(check.data(p), np.array([[0.5, 2.0, 1.0]], dtype=np.float32))
        check.that(
            isinstance(p, type(tensor(0.0))), "a Parameter is to be a Tensor as well"
        )
        check.that(
            p.requires_grad is True,
            f"requires_grad is {p.requires_grad}, expected True without being asked "
            "for",
        )
        check.close(check.data(p + 1.0), np.array([[1.5, 3.0, 2.0]]), what="p + 1.0")

    def test_can_be_frozen(self, kata):
        """With requires_grad=False the numbers stay as they are in training: a
        frozen parameter.
        """
        p = kata.Parameter([0.5], requires_grad=False)
        check.that(
            p.requires_grad is False,
            f"requires_grad is {p.requires_grad}, expected False",
        )

    def test_shares_an_array(self, kata):
        """As with Tensor, an array is not copied and keeps its dtype."""
        array = np.array([1.0, 2.0])
        p = kata.Parameter(array)
        array[0] = 7.0
        check.equal(check.data(p), np.array([7.0, 2.0]))


class TestModuleCall:
    def test_calls_forward(self, kata):
        """module(x) gives what the forward of its class returns. Layers are called like
        functions, so that a plain function can stand wherever a layer can.
        """

        class Doubled(kata.Module):
            def forward(self, x):
                return x * 2.0

        check.close(check.data(Doubled()(tensor([1.0, 3.0]))), np.array([2.0, 6.0]))

    def test_passes_on_every_input(self, kata):
        """Some layers have two inputs or more, in this order: forward decides
        how many.
        """

        class Difference(kata.Module):
            def forward(self, a, b):
                return a - b

        got = check.data(Difference()(tensor([5.0, 1.0]), tensor([2.0, 4.0])))
        check.close(
            got,
            np.array([3.0, -3.0]),
            unlike={"the inputs were exchanged": np.array([-3.0, 3.0])},
        )


class TestModuleNamedParameters:
    def test_its_own_in_the_order_of_the_attributes(self, kata):
        """Pairs of a name and the Parameter itself, not a copy. The order is that in
        which they were set: two networks built alike list theirs alike.
        """
        weight, bias = kata.Parameter([[1.0, 2.0]]), kata.Parameter([3.0])
        found = module(kata, weight=weight, bias=bias).named_parameters()
        check.equal(
            names_of(found),
            ["weight", "bias"],
            unlike={"sorted by name": ["bias", "weight"]},
            what="names",
        )
        check.that(
            found[0][1] is weight and found[1][1] is bias,
            "the pairs should hold the Parameters themselves",
        )

    def test_finds_those_of_inner_modules(self, kata):
        """A network is a module of modules, however deep. What is not found here is
        never trained, and nothing says so. The name is the path: "head.inner.weight".
        """
        inner = module(kata, weight=kata.Parameter([1.0]))
        net = module(
            kata,
            head=module(kata, inner=inner, bias=kata.Parameter([2.0])),
            scale=kata.Parameter([3.0]),
        )
        unlike = {
            "its own alone: inner modules are left out": ["scale"],
            "names without the path": ["weight", "bias", "scale"],
            "its own first, not in the order of the attributes": [
                "scale",
                "head.inner.weight",
                "head.bias",
            ],
        }
        expected = ["head.inner.weight", "head.bias", "scale"]
        check.equal(
            names_of(net.named_parameters()), expected, unlike=unlike, what="names"
        )

    def test_looks_into_lists_and_tuples(self, kata):
        """Layers are often kept in a list. The position is part of the name:
        "layers.0.weight".
        """
        layers = [
            module(kata, weight=kata.Parameter([1.0])),
            module(kata, weight=kata.Parameter([2.0])),
        ]
        net = module(
            kata, layers=layers, scales=(kata.Parameter([3.0]), kata.Parameter([4.0]))
        )
        expected = ["layers.0.weight", "layers.1.weight", "scales.0", "scales.1"]
        unlike = {
            "Parameters in a tuple are left out": expected[:2],
            "modules in a list are left out": expected[2:],
            "lists and tuples are left out": [],
        }
        check.equal(
            names_of(net.named_parameters()), expected, unlike=unlike, what="names"
        )

    def test_a_plain_tensor_is_no_parameter(self, kata):
        """A module may keep tensors that are not learned, such as a mask. They have
        another class: Tensor. A bias that was left out is None.
        """
        net = module(
            kata,
            mask=tensor([1.0, 0.0]),
            weight=kata.Parameter([1.0]),
            bias=None,
            masks=[tensor([1.0])],
        )
        check.equal(names_of(net.named_parameters()), ["weight"], what="names")

    @given(tree=trees())
    def test_any_nesting(self, kata, tree):
        """Modules, lists, Parameters ("p") and Tensors ("t") in one another: each
        Parameter is found, by its path.
        """
        check.equal(
            names_of(built(kata, tree).named_parameters()), paths(tree), what="names"
        )

    @pytest.mark.edge
    def test_a_shared_parameter_is_listed_once(self, kata):
        """An optimizer that gets a parameter twice updates it twice. The first
        name wins.
        """
        shared = kata.Parameter([1.0])
        both = module(
            kata,
            one=module(kata, weight=shared),
            other=module(kata, weight=shared),
            again=[shared],
        )
        check.equal(names_of(both.named_parameters()), ["one.weight"], what="names")


class TestModuleModules:
    def test_itself_first(self, kata):
        """A module alone lists itself. Its Parameters are no modules, and neither are
        functions and activations.
        """
        from tinytorch.activations import ReLU

        net = module(
            kata, weight=kata.Parameter([1.0]), act=ReLU(), double=lambda x: x * 2.0
        )
        found = net.modules()
        check.that(
            len(found) == 1 and found[0] is net,
            f"expected the module alone, got {check.describe(found)}",
        )

    def test_all_inside(self, kata):
        """Modules in attributes, in lists, and inside of those: `train` reaches the
        ones that are listed here.
        """
        expected = three_deep(kata)
        found = expected["itself"].modules()
        check.that(
            bool(found) and found[0] is expected["itself"],
            "the first one should be the module itself",
        )
        missing = [
            name
            for name, inside in expected.items()
            if not any(inside is one for one in found)
        ]
        check.that(not missing, f"these are missing: {', '.join(missing)}")
        check.that(
            len(found) == len(expected),
            f"{len(found)} are listed, there are {len(expected)} modules",
        )

    @pytest.mark.edge
    def test_a_shared_module_is_listed_once(self, kata):
        """Two attributes may hold the same module. It is one module."""
        shared = kata.Module()
        found = module(kata, one=shared, other=shared, layers=[shared]).modules()
        check.that(
            len(found) == 2 and found[1] is shared,
            f"expected itself and the shared one, got {len(found)}",
        )


class TestModuleTrain:
    def test_reaches_every_module_inside(self, kata):
        """Dropout sits deep inside a network, and the network is switched at the top. A
        mode that stops there leaves dropout on in evaluation.
        """
        every = three_deep(kata)
        net = every["itself"]
        for mode in (False, True):
            net.train(mode)
            wrong = [name for name, one in every.items() if one.training is not mode]
            check.that(
                not wrong,
                f"after train({mode}), `training` is not {mode} of: {', '.join(wrong)}",
            )

    def test_is_true_by_default_and_eval_is_its_opposite(self, kata):
        """train() means train(True), and eval() means train(False)."""
        net = kata.Module()
        net.eval()
        check.that(net.training is False, f"after eval(), `training` is {net.training}")
        net.train()
        check.that(net.training is True, f"after train(), `training` is {net.training}")

    def test_returns_the_module(self, kata):
        """`net = Net().eval()` should be the network, not None."""
        net = kata.Module()
        check.that(net.train() is net, "train() should return the module itself")
        check.that(net.eval() is net, "eval() should return the module itself")

    def test_another_module_keeps_its_mode(self, kata):
        """The mode belongs to the object. Set on the class, it would switch every
        network of the program.
        """
        net, other = kata.Module(), kata.Module()
        net.train(False)
        check.that(
            other.training is True,
            "another module, which is not inside this one, was switched too",
        )


class TestModuleZeroGrad:
    def test_sets_every_gradient_to_none(self, kata):
        """None, also in inner modules. backward adds to `grad`, so a gradient left over
        counts in the next step.
        """
        net = three_deep(kata)["itself"]
        for _, p in net.named_parameters():
            p.grad = np.ones(p.shape, dtype=np.float32)
        net.zero_grad()
        left = {
            name: p.grad for name, p in net.named_parameters() if p.grad is not None
        }
        zeros = all((grad == 0).all() for grad in left.values())
        check.that(
            not (left and zeros), "every grad is an array of zeros, expected None"
        )
        check.that(not left, f"these still have a grad: {', '.join(left)}")

    def test_keeps_the_numbers(self, kata):
        """The parameters themselves stay, and so does their requires_grad."""
        net = module(kata, weight=kata.Parameter([1.0, 2.0]))
        net.weight.grad = np.ones(2, dtype=np.float32)
        net.zero_grad()
        check.equal(check.data(net.weight), np.array([1.0, 2.0], dtype=np.float32))
        check.that(net.weight.requires_grad is True, "requires_grad was switched off")


class TestLinearInit:
    def test_a_weight_with_one_row_per_output_and_a_bias(self, kata):
        """weight is (out, in): row i holds the weights of output i. bias has one number
        per output. Both are Parameters, in float32.
        """
        layer = kata.Linear(3, 4)
        for name, expected in (("weight", (4, 3)), ("bias", (4,))):
            p = getattr(layer, name)
            check.that(
                isinstance(p, kata.Parameter),
                f"{name} is a {type(p).__name__}, expected a Parameter",
            )
            check.equal(
                p.shape,
                expected,
                what=f"the shape of {name}",
                unlike={"(in, out), exchanged": (3, 4)},
            )
            default = (
                "NumPy's default dtype: .astype(np.float32) is missing"
                if p.dtype == np.float64
                else ""
            )
            check.that(
                p.dtype == np.float32,
                f"{name} is {p.dtype}, expected float32",
                like=default,
            )

    def test_without_a_bias(self, kata):
        """With bias=False there is none: the attribute is None, and the weight is the
        only parameter.
        """
        layer = kata.Linear(3, 4, bias=False)
        check.that(
            layer.bias is None, f"bias is {check.describe(layer.bias)}, expected None"
        )
        check.that(
            layer.weight.shape == (4, 3),
            f"weight has shape {layer.weight.shape}, expected (4, 3)",
        )

    def test_all_numbers_are_within_one_over_the_root_of_the_inputs(self, kata):
        """An output adds up as many terms as there are inputs. With in = 16, every
        number of weight and bias is within ±1/4, however many outputs there are.
        """
        layer = kata.Linear(16, 900, rng=np.random.default_rng(1))
        for name, p in (("weight", layer.weight), ("bias", layer.bias)):
            largest = float(np.abs(p.data).max())
            check.that(
                largest <= 0.2500001,
                f"{name} has a number of size {largest:.3g}, the bound is 0.25",
            )
            outputs = (
                "scaled by the number of outputs" if 0.03 < largest <= 1 / 30 else ""
            )
            said = (
                f"{name} has no number above {largest:.3g} in size, the bound is 0.25"
            )
            check.that(largest > 0.225, said, like=outputs)

    def test_numbers_are_uniform_on_both_sides_of_zero(self, kata):
        """Each part of the range is as likely as any other. All equal, or all of one
        sign, the units of a layer would start alike and learn alike.
        """
        layer = kata.Linear(16, 900, rng=np.random.default_rng(1))
        for name, p in (("weight", layer.weight), ("bias", layer.bias)):
            shares = np.histogram(p.data, bins=4, range=(-0.25, 0.25))[0] / p.size
            check.close(
                shares,
                np.full(4, 0.25),
                atol=0.06,
                what=f"shares of {name} in the four quarters of ±0.25",
            )

    def test_the_generator_decides_every_number(self, kata):
        """The same seed gives the same layer. Two layers drawn from one generator
        differ: it goes on where it was.
        """
        rng = np.random.default_rng(5)
        first, second, again = (
            kata.Linear(3, 4, rng=rng),
            kata.Linear(3, 4, rng=rng),
            None,
        )
        again = kata.Linear(3, 4, rng=np.random.default_rng(5))
        for name in ("weight", "bias"):
            mine, same, other = (
                check.data(getattr(layer, name)) for layer in (first, again, second)
            )
            check.equal(same, mine, what=f"{name} of a second layer from the same seed")
            check.that(
                not np.array_equal(mine, other),
                f"two layers from one generator have the same {name}",
            )

    def test_without_a_generator_draws_from_the_frameworks(self, kata):
        """Without `rng` the numbers come from get_rng(), so that manual_seed repeats a
        whole experiment.
        """
        from tinytorch.setup import manual_seed

        manual_seed(3)
        first, second = kata.Linear(3, 4), kata.Linear(3, 4)
        manual_seed(3)
        again = kata.Linear(3, 4)
        check.equal(
            check.data(again.weight),
            check.data(first.weight),
            what="weight after the same manual_seed",
        )
        different = not np.array_equal(first.weight.data, second.weight.data)
        check.that(different, "two layers, one after the other, have the same weight")

    @pytest.mark.edge
    @pytest.mark.parametrize("sizes", [(0, 3), (3, 0), (-2, 3)])
    def test_sizes_below_1_are_refused(self, kata, sizes):
        """A layer without inputs or outputs is a slip, and 1/√0 is infinite."""
        with check.raises(ValueError):
            kata.Linear(*sizes)


class TestLinearForward:
    def test_a_weighted_sum_per_output(self, kata):
        """Output i is the dot product of x with row i of the weight, plus bias i: x
        Wᵀ + b. Here W = [[1, 2], [3, 4]], b = [10, 20] and x = [1, 0]: the first column
        of W plus b.
        """
        layer = kata.Linear(2, 2)
        layer.weight.data[...] = [[1, 2], [3, 4]]
        layer.bias.data[...] = [10, 20]
        unlike = {
            "x W + b: the weight was not transposed": np.array([[11.0, 22.0]]),
            "x Wᵀ: the bias was not added": np.array([[1.0, 3.0]]),
        }
        check.close(
            check.data(layer(tensor([[1.0, 0.0]]))),
            np.array([[11.0, 23.0]]),
            unlike=unlike,
        )

    @given(case=batches())
    def test_any_number_of_leading_dims(self, kata, case):
        """(5, 3) is a batch, (2, 7, 3) a batch of sequences. The layer acts on the last
        dimension alone.
        """
        leading, bias = case
        layer, x = (
            kata.Linear(3, 4, bias, rng=np.random.default_rng(2)),
            normal(*leading, 3),
        )
        check.close(check.data(layer(x)), by_hand(layer, x))

    def test_the_result_is_connected_to_x_weight_and_bias(self, kata):
        """Module 05 finds gradients by following the announced operations from the
        output back. An operation on `.data` is not announced, and what it took is
        never trained.
        """
        layer, x = kata.Linear(3, 4), normal(5, 3)
        output, reached = announced(lambda: layer(x))
        check.data(output)
        for name, wanted in (("x", x), ("weight", layer.weight), ("bias", layer.bias)):
            found = any(one is wanted for one in reached)
            check.that(
                found,
                f"no chain of announced operations leads from the output to {name}",
            )

    @pytest.mark.edge
    def test_one_sample_alone(self, kata):
        """An input without a batch dimension, (in,), gives (out,), with and without
        a bias.
        """
        for bias in (True, False):
            layer, x = kata.Linear(3, 4, bias), normal(3)
            check.close(
                check.data(layer(x)),
                by_hand(layer, x),
                what=f"the output with bias={bias}",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(5, 7), (7,)])
    def test_another_last_size_is_refused(self, kata, shape):
        """Seven features do not fit a layer for three. The message names both sizes."""
        layer = kata.Linear(3, 4)
        with check.raises(ValueError, 7, 3):
            layer(normal(*shape))


class TestSequential:
    def test_applies_its_layers_in_order(self, kata):
        """The output of each layer is the input of the next. Doubling and then adding 1
        is not adding 1 and then doubling.
        """
        net = kata.Sequential([lambda x: x * 2.0, lambda x: x + 1.0])
        unlike = {
            "the last layer was applied first": np.array([8.0, 12.0]),
            "the last layer's result on the input alone": np.array([4.0, 6.0]),
        }
        check.close(
            check.data(net(tensor([3.0, 5.0]))), np.array([7.0, 11.0]), unlike=unlike
        )

    def test_takes_modules_activations_and_functions(self, kata):
        """Anything that can be called with one input is a layer: here a Linear, a ReLU
        and a function.
        """
        from tinytorch.activations import ReLU

        first, x = kata.Linear(3, 5, rng=np.random.default_rng(2)), normal(7, 3)
        net = kata.Sequential([first, ReLU(), lambda x: -x])
        check.close(check.data(net(x)), -np.maximum(by_hand(first, x), 0))

    def test_is_read_like_a_list(self, kata):
        """len(net), net[i], net[-1] and a for loop give the layers themselves."""
        layers = [lambda x: x, lambda x: -x, kata.Module()]
        net = kata.Sequential(layers)
        check.equal(len(net), 3, what="len(net)")
        check.that(
            net[1] is layers[1] and net[-1] is layers[2],
            "net[1] and net[-1] should be those layers themselves",
        )
        check.that(
            all(map(lambda a, b: a is b, list(net), layers)),
            "iterating should give the layers in order",
        )

    def test_keeps_a_list_of_its_own(self, kata):
        """Any iterable will do, also one that can be read only once, so the layers go
        into a new list. A change of the caller's list later is no change of
        the network.
        """
        layers = [lambda x: x * 2.0, lambda x: x + 1.0]
        net, read_once = (
            kata.Sequential(layers),
            kata.Sequential(layer for layer in layers),
        )
        layers.append(lambda x: x * 100.0)
        for which, one in (
            ("from a list that grew", net),
            ("from a generator", read_once),
        ):
            check.that(
                isinstance(one.layers, list),
                f"layers is a {type(one.layers).__name__}, expected a list",
            )
            unlike = {"the caller's own list is kept, and grows with it": 3}
            check.equal(
                len(one),
                2,
                unlike=unlike if one is net else {},
                what=f"the length of a Sequential {which}",
            )
            check.close(
                check.data(one(tensor([3.0]))),
                np.array([7.0]),
                what=f"the output of a Sequential {which}",
            )

    def test_its_parameters_are_named_by_position(self, kata):
        """The list is an attribute called `layers`, and that is the first part of every
        parameter's name.
        """
        net = kata.Sequential(
            [
                module(kata, weight=kata.Parameter([1.0])),
                lambda x: x,
                kata.Linear(2, 3, bias=False),
            ]
        )
        check.equal(
            names_of(net.named_parameters()),
            ["layers.0.weight", "layers.2.weight"],
            what="names",
        )

    @pytest.mark.edge
    def test_without_layers_the_output_is_the_input(self, kata):
        """Nothing is applied to x, so x comes out: the start from which longer networks
        are built.
        """
        check.close(
            check.data(kata.Sequential([])(tensor([3.0, 5.0]))), np.array([3.0, 5.0])
        )

    @pytest.mark.edge
    def test_what_cannot_be_called_is_refused_at_once(self, kata):
        """The layer 3 would fail at the first forward, far from the line where it was
        put in.
        """
        with check.raises(TypeError):
            kata.Sequential([lambda x: x, 3])


class TestDropout:
    @pytest.mark.parametrize("p", [0.2, 0.5])
    def test_each_number_is_dropped_or_scaled(self, kata, p):
        """With probability p a number becomes 0, and otherwise it is divided by 1 - p.
        So the sum that the next layer computes is on average as large as
        without dropout.
        """
        x = tensor(np.full((50, 40), 3.0))
        got = check.data(kata.Dropout(p, rng=np.random.default_rng(0))(x))
        found = sorted({round(float(value), 4) for value in np.ravel(got)})
        unlike = {
            "what is left was not scaled": [0.0, 3.0],
            "multiplied by 1 - p": [0.0, round(3.0 * (1 - p), 4)],
            "nothing was dropped": [3.0],
        }
        check.equal(
            found,
            [0.0, round(3.0 / (1 - p), 4)],
            unlike=unlike,
            what="the numbers that a 3.0 became",
        )
        share = float((got == 0).mean())
        kept = (
            " It looks like p is the probability to stay."
            if abs(share - (1 - p)) < 0.05 and p != 0.5
            else ""
        )
        check.that(
            abs(share - p) < 0.05,
            f"{share:.0%} of 2000 numbers were dropped, expected about {p:.0%}.{kept}",
        )

    def test_every_call_draws_anew(self, kata):
        """Always the same numbers off is a smaller network, and no dropout."""
        layer, x = kata.Dropout(0.5), normal(20, 20)
        first, second = (check.data(layer(x)) for _ in range(2))
        check.that(
            not np.array_equal(first, second), "two calls dropped the same numbers"
        )

    def test_every_number_is_drawn_for_itself(self, kata):
        """One draw for a whole row or column would switch features or samples
        off together.
        """
        dropped = (
            check.data(
                kata.Dropout(0.5, rng=np.random.default_rng(1))(
                    tensor(np.ones((30, 30)))
                )
            )
            == 0
        )
        for axis, lines in enumerate(("column", "row")):
            whole = dropped.all(axis=axis) | ~dropped.any(axis=axis)
            check.that(
                not whole.any(),
                f"{int(whole.sum())} of 30 {lines}s were dropped or kept as a whole",
            )

    def test_evaluation_changes_nothing(self, kata):
        """Predictions use the whole network. `eval` is called at the top of the
        network, and the mode is asked for at every call.
        """
        layer, x = kata.Dropout(0.5), normal(5, 4)
        kata.Sequential([layer]).eval()
        got = check.data(layer(x))
        dropped = float((got == 0).mean())
        says = f"after eval(), {dropped:.0%} of the numbers are dropped"
        check.that(
            dropped == 0,
            says,
            like="dropout is on in evaluation" if dropped < 1 else "",
        )
        check.equal(got, x.data)
        layer.train()
        check.that(
            not np.array_equal(check.data(layer(x)), x.data),
            "after train() nothing is dropped",
        )

    def test_the_generator_decides_what_is_dropped(self, kata):
        """The same seed gives the same mask, and the next call continues the draws."""
        first, again, other = (
            kata.Dropout(0.5, rng=np.random.default_rng(seed)) for seed in (1, 1, 2)
        )
        x = normal(20, 20)
        for _ in range(2):
            expected = check.data(first(x))
            check.equal(
                check.data(again(x)), expected, what="the result with the same seed"
            )
        check.that(
            not np.array_equal(check.data(other(x)), expected),
            "another seed drops the same numbers",
        )

    def test_the_result_is_connected_to_x(self, kata):
        """What was kept passes its gradient on, times 1 / (1 - p), by the
        multiplication's own rule.
        """
        x = normal(5, 4)
        _, reached = announced(lambda: kata.Dropout(0.5)(x))
        check.that(
            any(one is x for one in reached),
            "no chain of announced operations leads from the output to x",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
    def test_a_p_that_is_no_share_is_an_error(self, kata, p):
        """With p = 1 nothing is left, and 1 - p cannot divide."""
        with check.raises(ValueError):
            kata.Dropout(p)

    @pytest.mark.edge
    def test_the_dtype_stays(self, kata):
        """A mask of float64 would double the memory of everything after it."""
        check.equal(
            str(kata.Dropout(0.5)(normal(3, 4)).dtype),
            "float32",
            what="the dtype of a float32 x",
        )


@pytest.mark.stretch
class TestMatmulLoops:
    def test_the_product(self, kata):
        """Entry [i, j] is the sum over s of a[i, s] · b[s, j], written as
        three loops.
        """
        a, b = (
            np.random.default_rng(0).normal(size=(2, 3)),
            np.random.default_rng(1).normal(size=(3, 4)),
        )
        left, right = tensor(a), tensor(b)
        for one in (left, right):
            one.data = one.data.view(NoMatrixProduct)
        with check.forbidden(
            kata,
            "numpy.matmul",
            "numpy.dot",
            "numpy.einsum",
            "numpy.inner",
            "numpy.tensordot",
        ):
            product, _ = kata.matmul_loops(left, right)
        unlike = {"the last product alone: `=` for `+=`": np.outer(a[:, -1], b[-1])}
        check.close(np.asarray(check.data(product)), a @ b, unlike=unlike)

    def test_the_multiply_adds(self, kata):
        """One per pair that was multiplied and added: 2 · 3 · 4 for (2, 3)
        times (3, 4).
        """
        _, count = kata.matmul_loops(tensor(np.ones((2, 3))), tensor(np.ones((3, 4))))
        unlike = {
            "one per entry of the product": 8,
            "multiplications and additions counted apart": 48,
        }
        check.equal(count, 24, unlike=unlike, what="the count")

    @given(sizes=three_sizes())
    def test_any_sizes(self, kata, sizes):
        """(n, k) times (k, m) is (n, m) and takes n·k·m multiply-adds, also where a
        size is 1.
        """
        n, k, m = sizes
        a, b = (
            np.arange(n * k * 1.0).reshape(n, k),
            np.arange(k * m * 1.0).reshape(k, m) - 3,
        )
        product, count = kata.matmul_loops(tensor(a), tensor(b))
        check.close(check.data(product), a @ b, what="the product")
        check.equal(count, n * k * m, what="the count")

    @pytest.mark.edge
    def test_has_the_dtype_that_numpy_gives(self, kata):
        """Products of ints are ints, exact however large. An int and a float give
        a float.
        """
        ints, floats = np.full((2, 3), 2**30), np.full((3, 4), 0.5)
        check.equal(
            check.data(kata.matmul_loops(tensor(ints), tensor(ints.T))[0]),
            ints @ ints.T,
            what="int by int",
        )
        check.equal(
            check.data(kata.matmul_loops(tensor(ints), tensor(floats))[0]),
            ints @ floats,
            what="int by float",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("inner", [2, 5])
    def test_inner_sizes_must_be_equal(self, kata, inner):
        """A row of three and a column of two or five have no dot product. Loops over
        the shorter one would give a number that means nothing.
        """
        with check.raises(ValueError):
            kata.matmul_loops(tensor(np.ones((2, 3))), tensor(np.ones((inner, 4))))


@pytest.mark.stretch
class TestLinearCost:
    def test_of_one_layer(self, kata):
        """784 inputs, 10 outputs, 32 rows: one weight per pair of input and output, one
        bias per output; each row takes a multiply-add per weight.
        """
        expected = {
            "parameters": 7850,
            "parameter_bytes": 31400,
            "multiply_adds": 250880,
            "output_bytes": 1280,
        }
        unlike = {
            "the bias is not counted": {"parameters": 7840, "parameter_bytes": 31360},
            "one row, not the batch": {"multiply_adds": 7840, "output_bytes": 40},
            "numbers, not bytes": {"parameter_bytes": 7850, "output_bytes": 320},
            "a bias per input, not per output": {
                "parameters": 8624,
                "parameter_bytes": 34496,
            },
            "multiplications and additions counted apart": {"multiply_adds": 501760},
        }
        check.equal(kata.linear_cost(784, 10, 32), expected, unlike=unlike)

    def test_without_a_bias_in_float64(self, kata):
        """No bias means fewer parameters and as many multiply-adds. Numbers of eight
        bytes take twice the memory.
        """
        expected = {
            "parameters": 15,
            "parameter_bytes": 120,
            "multiply_adds": 105,
            "output_bytes": 168,
        }
        check.equal(kata.linear_cost(5, 3, 7, bias=False, itemsize=8), expected)

    @given(sizes=three_sizes())
    def test_is_what_a_real_layer_takes(self, kata, sizes):
        """The prediction is exact: it equals the bytes of a real layer's arrays."""
        in_features, out_features, batch = sizes
        layer = kata.Linear(in_features, out_features)
        cost, arrays = (
            kata.linear_cost(in_features, out_features, batch),
            [layer.weight.data, layer.bias.data],
        )
        check.equal(
            cost["parameters"], sum(array.size for array in arrays), what="parameters"
        )
        check.equal(
            cost["parameter_bytes"],
            sum(array.nbytes for array in arrays),
            what="parameter_bytes",
        )
        check.equal(
            cost["output_bytes"],
            layer(normal(batch, in_features)).data.nbytes,
            what="output_bytes",
        )


@pytest.mark.stretch
class TestLayerReport:
    def test_one_row_per_layer(self, kata):
        """Each row describes a layer and its output. An activation or a function has
        no parameters.
        """
        from tinytorch.activations import ReLU

        model = kata.Sequential(
            [
                kata.Linear(3, 5),
                ReLU(),
                lambda x: x * 2.0,
                kata.Linear(5, 2, bias=False),
            ]
        )
        rows = [
            ("Linear", (7, 5), 20, 80, 140),
            ("ReLU", (7, 5), 0, 0, 140),
            ("function", (7, 5), 0, 0, 140),
        ]
        rows += [("Linear", (7, 2), 10, 40, 56)]
        keys = (
            "index",
            "name",
            "output_shape",
            "parameters",
            "parameter_bytes",
            "output_bytes",
        )
        expected = [
            dict(zip(keys, (index, *row), strict=True))
            for index, row in enumerate(rows)
        ]
        shapes = [
            {"output_shape": shape, "output_bytes": 4 * math.prod(shape)}
            for shape in ((7, 3), *[(7, 5)] * 3)
        ]
        unlike = {
            "each layer's input, not its output": [
                row | shape for row, shape in zip(expected, shapes, strict=True)
            ],
            "the weight alone, without the bias": [
                expected[0] | {"parameters": 15, "parameter_bytes": 60},
                ...,
                ...,
                ...,
            ],
        }
        check.equal(
            kata.layer_report(model, normal(7, 3)), expected, what="rows", unlike=unlike
        )

    def test_an_inner_sequential_is_one_row(self, kata):
        """The rows together have all parameters of the model, also those inside an
        inner Sequential.
        """
        inner = kata.Sequential([kata.Linear(3, 5), kata.Linear(5, 4)])
        model = kata.Sequential([inner, kata.Linear(4, 2)])
        rows = kata.layer_report(model, normal(7, 3))
        check.equal(
            [row["name"] for row in rows], ["Sequential", "Linear"], what="names"
        )
        total = sum(p.data.size for _, p in model.named_parameters())
        check.equal(
            sum(row["parameters"] for row in rows),
            total,
            what="the sum of all parameters",
        )
        check.equal(
            [row["output_shape"] for row in rows],
            [(7, 4), (7, 2)],
            what="output shapes",
        )

    def test_bytes_follow_the_dtype(self, kata):
        """Float64 numbers take eight bytes. The arrays know how many bytes
        they have.
        """
        model = kata.Sequential(
            [
                lambda x: x * 2.0,
                module(kata, forward=lambda x: x, p=kata.Parameter(np.ones(3))),
            ]
        )
        rows = kata.layer_report(model, tensor(np.ones((7, 3))))
        unlike = {"four bytes per number, whatever the dtype": [84, 84]}
        check.equal(
            [row["output_bytes"] for row in rows],
            [168, 168],
            what="output_bytes",
            unlike=unlike,
        )
        unlike = {"four bytes per number, whatever the dtype": [0, 12]}
        check.equal(
            [row["parameter_bytes"] for row in rows],
            [0, 24],
            what="parameter_bytes",
            unlike=unlike,
        )


@pytest.mark.stretch
class TestLayerScaling:
    def test_memory_grows_with_the_square_of_the_width(self, kata):
        """A new Linear(n, n) keeps n² + n numbers of four bytes. The numbers as drawn,
        in float64, are gone by then, so the peak is not what it keeps.
        """
        memory = kata.layer_scaling([64, 128, 256])["memory"]
        check.equal(memory["sizes"], [64, 128, 256], what="memory sizes")
        for n, found in zip(memory["sizes"], memory["values"], strict=True):
            predicted = 4 * (n * n + n)
            near = abs(found - predicted) <= 0.2 * predicted + 8192
            check.that(
                near,
                f"Linear({n}, {n}) was measured as {found} bytes, it keeps {predicted}",
            )
        check.close(memory["exponent"], 2.0, atol=0.25, what="memory exponent")

    def test_work_grows_with_the_cube(self, kata):
        """A batch of n rows, each a dot product of length n for each of n outputs:
        n³ multiply-adds.
        """
        flops = kata.layer_scaling([4, 10, 30])["flops"]
        unlike = {"n², the work of one row": {"values": [16, 100, 900]}}
        check.equal(
            flops,
            {"sizes": [4, 10, 30], "values": [64, 1000, 27000]},
            unlike=unlike,
            what="flops",
        )


class TestRunXorInference:
    def test_a_network_of_two_layers_with_relu_between(self, kata):
        """Two inputs, four hidden units, one output: net(x) is W2
        relu(W1 x + b1) + b2.
        """
        net, _ = kata.run_xor_inference(np.random.default_rng(4))
        check.that(
            isinstance(net, kata.Sequential),
            f"the network is {check.describe(net)}, expected a Sequential",
        )
        check.equal(len(net), 3, what="the number of layers")
        shapes = [tuple(net[i].weight.shape) for i in (0, 2)]
        check.equal(shapes, [(4, 2), (1, 4)], what="the shapes of the two weights")
        x = normal(5, 2)
        hidden = by_hand(net[0], x)
        activated = {
            "right": np.maximum(hidden, 0),
            "tanh between the layers": np.tanh(hidden),
            "sigmoid between the layers": 1 / (1 + np.exp(-hidden)),
        }
        unlike = {
            name: part @ net[2].weight.data.T + net[2].bias.data
            for name, part in activated.items()
        }
        check.close(
            check.data(net(x)), unlike.pop("right"), unlike=unlike, what="net(x)"
        )

    def test_its_output_on_the_four_points(self, kata):
        """The network runs on all four points at once: (4, 2) in, (4, 1) out.
        Untrained, the answers are arbitrary.
        """
        from tinytorch.activations import XOR_X

        net, output = kata.run_xor_inference(np.random.default_rng(4))
        check.that(
            check.data(output).shape == (4, 1),
            f"the output has shape {output.shape}, expected (4, 1)",
        )
        check.that(bool(np.isfinite(output.data).all()), "the output should be finite")
        check.close(
            output.data,
            check.data(net(tensor(XOR_X))),
            what="the output, compared with net(XOR_X)",
        )

    def test_the_generator_draws_both_layers(self, kata):
        """The same seed gives the same network, the first layer as well as
        the second.
        """
        nets = [
            kata.run_xor_inference(np.random.default_rng(seed))[0] for seed in (4, 4, 9)
        ]
        for i in (0, 2):
            one, same, other = (check.data(net[i].weight) for net in nets)
            check.equal(same, one, what=f"weight of layer {i} from the same seed")
            check.that(
                not np.array_equal(one, other),
                f"seeds 4 and 9 give the same weight of layer {i}",
            )

    def test_without_a_generator(self, kata):
        """Without `rng` both layers draw from the framework's generator, which
        manual_seed resets.
        """
        from tinytorch.setup import manual_seed

        outputs = []
        for seed in (3, 3, 8):
            manual_seed(seed)
            outputs.append(check.data(kata.run_xor_inference()[1]))
        check.equal(
            outputs[1], outputs[0], what="the output after the same manual_seed"
        )
        check.that(
            not np.array_equal(outputs[0], outputs[2]),
            "manual_seed(3) and manual_seed(8) give the same output",
        )


def untrained(kata):
    """Linear(2, 4), ReLU, Linear(4, 1)."""
    from tinytorch.activations import ReLU

    rng = np.random.default_rng(4)
    return kata.Sequential(
        [kata.Linear(2, 4, rng=rng), ReLU(), kata.Linear(4, 1, rng=rng)]
    )


class TestLoadXorByHand:
    def test_the_network_is_xor_exactly(self, kata):
        """On the points 00, 01, 10, 11 the output is 0, 1, 1, 0, to the last bit.
        Nothing was trained: the weights of module 03 are enough.
        """
        from tinytorch.activations import XOR_X, XOR_Y

        net = untrained(kata)
        drawn = {name: p.data.copy() for name, p in net.named_parameters()}
        kata.load_xor_by_hand(net)
        left = [
            name
            for name, p in net.named_parameters()
            if p.shape == drawn[name].shape and (p.data == drawn[name]).any()
        ]
        check.that(
            not left, f"numbers are left as they were drawn: in {', '.join(left)}"
        )
        check.equal(check.data(net(tensor(XOR_X))), XOR_Y, what="net(XOR_X)")

    def test_the_network_and_its_parameters_stay_the_same_objects(self, kata):
        """An optimizer, or a report, holds on to the Parameters: they get new numbers
        in the old shapes.
        """
        net = untrained(kata)
        before = net.named_parameters()
        shapes = [p.shape for _, p in before]
        check.that(
            kata.load_xor_by_hand(net) is net,
            "the network that was passed should be returned",
        )
        after = net.named_parameters()
        check.equal(
            [p.shape for _, p in after], shapes, what="shapes of the parameters"
        )
        replaced = [
            name
            for (name, old), (_, new) in zip(before, after, strict=True)
            if old is not new
        ]
        check.that(
            not replaced,
            f"new Parameters in place of the old ones: {', '.join(replaced)}",
        )

    def test_unused_units_are_zero(self, kata):
        """The weights by hand have two hidden units or more, the network has four. A
        unit that is left as it was drawn adds its own output; one whose last weight
        alone is 0 would learn from noise.
        """
        from tinytorch.activations import xor_by_hand

        hidden, net = len(xor_by_hand()[1]), kata.load_xor_by_hand(untrained(kata))
        parts = {
            "weight of the first layer": net[0].weight.data[hidden:],
            "bias of the first layer": net[0].bias.data[hidden:],
            "weight of the second layer": net[2].weight.data[:, hidden:],
        }
        for name, part in parts.items():
            check.equal(
                part,
                np.zeros_like(part),
                what=f"{name}, for the units from {hidden} on",
            )

    def test_any_number_of_units_up_to_four(self, kata):
        """Module 03 leaves the number of hidden units to its author. Here `xor_by_hand`
        is replaced by one with three units, and the network must again be XOR.
        """
        from tinytorch import activations

        with (
            mock.patch.object(activations, "xor_by_hand", xor_of_three_units),
            mock.patch.dict(vars(kata), xor_by_hand=xor_of_three_units),
        ):
            net = kata.load_xor_by_hand(untrained(kata))
        check.equal(
            check.data(net(tensor(activations.XOR_X))),
            activations.XOR_Y,
            what="net(XOR_X)",
        )
