"""Specs of kata tinytorch/14: layer norm, gelu, several heads, the MLP, the block, the
stack, and what depth costs.
"""

import warnings
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

LINEARS = ("W_q", "W_k", "W_v", "W_o")
ATTENTION = [f"{name}.{part}" for name in LINEARS for part in ("weight", "bias")]
BLOCK = [
    *("ln1.weight", "ln1.bias", "ln2.weight", "ln2.bias"),
    *(f"attn.{name}" for name in ATTENTION),
    *("mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight", "mlp.fc2.bias"),
]


def tensor(values, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(values), requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def filled(module):
    """The module, with a number of its own in every entry of every parameter,
    in float64.
    """
    rng = np.random.default_rng(4)
    for _, p in module.named_parameters():
        p.data = rng.normal(size=p.shape) / (p.shape[-1] ** 0.5 if p.ndim == 2 else 1)
    return module


def for_torch(module):
    """The module's parameters as float64 tensors of PyTorch, by name."""
    return {
        name: torch.tensor(p.data, dtype=torch.float64, requires_grad=True)
        for name, p in module.named_parameters()
    }


def shapes_of(module):
    return {name: p.shape for name, p in module.named_parameters()}


def norm_by_torch(p, name, x):
    return F.layer_norm(x, x.shape[-1:], p[name + ".weight"], p[name + ".bias"])


def linear_by_torch(p, name, x):
    return F.linear(x, p[name + ".weight"], p[name + ".bias"])


def heads_by_torch(p, x, num_heads, *, prefix="", causal=True, scale=None):
    """The output of each head, in a list: attention on its own slice of
    the features.
    """
    q, k, v = (
        linear_by_torch(p, prefix + W, x).chunk(num_heads, dim=-1)
        for W in ("W_q", "W_k", "W_v")
    )
    return [
        F.scaled_dot_product_attention(q[h], k[h], v[h], is_causal=causal, scale=scale)
        for h in range(num_heads)
    ]


def attention_by_torch(p, x, num_heads, *, prefix="", causal=True):
    found = torch.cat(
        heads_by_torch(p, x, num_heads, prefix=prefix, causal=causal), dim=-1
    )
    return linear_by_torch(p, prefix + "W_o", found)


def mlp_by_torch(p, x, *, prefix="", act=lambda x: F.gelu(x, approximate="tanh")):
    return linear_by_torch(
        p, prefix + "fc2", act(linear_by_torch(p, prefix + "fc1", x))
    )


def block_by_torch(p, x, num_heads, prefix="", order="pre", causal=True, second="ln2"):
    """A block from its parameters: pre-norm, or with one of the known slips in
    the order.
    """

    def attn(x):
        return attention_by_torch(
            p, x, num_heads, prefix=prefix + "attn.", causal=causal
        )

    def mlp(x):
        return mlp_by_torch(p, x, prefix=prefix + "mlp.")

    def ln1(x):
        return norm_by_torch(p, prefix + "ln1", x)

    def ln2(x):
        return norm_by_torch(p, prefix + second, x)

    if order == "post":
        x = ln1(x + attn(x))
        return ln2(x + mlp(x))
    if order == "the norm outside the skip":
        x = ln1(x)
        x = ln2(x + attn(x))
        return x + mlp(x)
    if order == "both from the first x":
        return x + attn(ln1(x)) + mlp(ln2(x))
    if order == "no skips":
        return mlp(ln2(attn(ln1(x))))
    if order == "first skip":
        return mlp(ln2(x + attn(ln1(x))))
    if order == "second skip":
        x = attn(ln1(x))
        return x + mlp(ln2(x))
    x = x + attn(ln1(x))
    return x + mlp(ln2(x))


def value_and_gradients(module, oracle, x):
    """Check that the module and the oracle, which takes parameters by name and x, agree
    in value and all gradients.
    """
    mine, theirs = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    parameters = for_torch(module)
    output, expected = module(mine), oracle(parameters, theirs)
    check.close(check.data(output), expected.detach().numpy(), what="the value")
    check.that(
        output.requires_grad,
        "the result is not connected to its inputs: no gradient can go back",
    )
    probe = normal(*expected.shape, seed=9)
    output.backward(probe)
    expected.backward(torch.from_numpy(probe))
    pairs = [
        ("x", mine, theirs),
        *((name, p, parameters[name]) for name, p in module.named_parameters()),
    ]
    for name, p, right in pairs:
        check.that(p.grad is not None, f"no gradient reached {name}")
        check.close(
            p.grad, right.grad.numpy(), atol=1e-9, what=f"the gradient of {name}"
        )


def same_seed_same_layer(make):
    """Check that all draws come from `rng`, and that no two matrices of one shape are
    the same draw.
    """
    one, same = (make(np.random.default_rng(5)) for _ in range(2))
    again = dict(same.named_parameters())
    matrices = [(name, p.data) for name, p in one.named_parameters() if p.ndim == 2]
    for name, data in matrices:
        check.equal(again[name].data, data, what=f"{name} from the same seed")
    for i, (name, data) in enumerate(matrices):
        for other, its in matrices[:i]:
            check.that(
                not np.array_equal(data, its),
                f"{other} and {name} have the same numbers",
            )


@st.composite
def shapes_and_positions(draw):
    """A shape (B, T, C), and one position in it."""
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.integers(2, 6))
    return shape, (
        draw(st.integers(0, shape[0] - 1)),
        draw(st.integers(0, shape[1] - 1)),
    )


@st.composite
def numbers(draw):
    return draw(st.lists(st.floats(-20, 20), min_size=1, max_size=5))


@st.composite
def changed_positions(draw):
    """A length, a position that is changed, and a number of heads for 12 features."""
    length = draw(st.integers(2, 5))
    return (
        length,
        draw(st.integers(0, length - 1)),
        draw(st.sampled_from([1, 2, 3, 4, 6])),
    )


@st.composite
def arrays(draw):
    """An array of two to four dims with at least two features, around some mean and of
    some spread.
    """
    shape = (
        *draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)),
        draw(st.integers(2, 5)),
    )
    return draw(st.floats(-5, 5)) + draw(st.floats(0.5, 9)) * normal(
        *shape, seed=draw(st.integers(0, 99))
    )


class TestLayerNorm:
    def test_starts_with_weight_one_and_bias_zero(self, kata):
        """Both are float32 Parameters with one entry per feature, so that the layer
        starts as the plain norm and can learn another scale and mean.
        """
        parameters = dict(kata.LayerNorm(6).named_parameters())
        check.equal(
            sorted(parameters), ["bias", "weight"], what="the names of the parameters"
        )
        check.equal(
            parameters["weight"].data, np.ones(6, dtype=np.float32), what="weight"
        )
        check.equal(parameters["bias"].data, np.zeros(6, dtype=np.float32), what="bias")

    def test_each_row_is_standardised(self, kata):
        """The row 1, 2, 3, 4, 5 has mean 3 and variance 2, the mean of the squared
        distances. Every row has a mean and a variance of its own.
        """
        x = np.array([[1.0, 2, 3, 4, 5], [30.0, 10, 20, 50, 40]])
        steps = np.array([[-2.0, -1, 0, 1, 2], [0, -2, -1, 2, 1]])
        unlike = {
            "variance divided by C - 1": steps / 2.5**0.5,
            "statistics over the rows, as in batch norm": (x - x.mean(0)) / x.std(0),
            "statistics over the whole tensor": (x - x.mean()) / x.std(),
            "divided by the variance, not by its root": steps
            / np.array([[2.0], [200.0]])
            * [[1], [10]],
            "the mean of each column, as in batch norm, and a variance about it": (
                x - x.mean(0)
            )
            / np.sqrt(((x - x.mean(0)) ** 2).mean(1, keepdims=True)),
            "the mean is not subtracted": x / x.std(1, keepdims=True),
            "the mean of the squares, not of the squared distances": (
                x - x.mean(1, keepdims=True)
            )
            / np.sqrt((x**2).mean(1, keepdims=True)),
        }
        check.close(
            check.data(kata.LayerNorm(5)(tensor(x))),
            steps / 2**0.5,
            atol=1e-5,
            unlike=unlike,
        )

    @pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)], ids=str)
    def test_values_and_three_gradients(self, kata, shape):
        """With weight and bias other than at the start: the values of PyTorch, and its
        gradients for x, weight and bias. Mean and variance depend on x, so their
        derivatives belong to the gradient of x.
        """
        value_and_gradients(
            filled(kata.LayerNorm(5)),
            lambda p, x: F.layer_norm(x, (5,), p["weight"], p["bias"]),
            normal(*shape),
        )

    def test_eps_is_added_to_the_variance(self, kata):
        """With features only 0.001 apart, eps is larger than the variance. It belongs
        inside the square root.
        """
        x = 1e-3 * normal(3, 5)
        centred, variance = x - x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        unlike = {
            "without eps": centred / variance**0.5,
            "eps outside the square root": centred / (variance**0.5 + 1e-5),
        }
        got = check.data(kata.LayerNorm(5)(tensor(x)))
        check.close(
            got,
            centred / (variance + 1e-5) ** 0.5,
            unlike=unlike,
            what="the result with eps = 1e-5",
        )
        got = check.data(kata.LayerNorm(5, eps=0.5)(tensor(x)))
        check.close(
            got,
            centred / (variance + 0.5) ** 0.5,
            unlike=unlike,
            what="the result with eps = 0.5",
        )

    def test_nothing_is_remembered(self, kata):
        """Earlier inputs do not matter, and evaluation is the same as training: no
        running averages.
        """
        norm, x = kata.LayerNorm(5), normal(3, 5)
        first = check.data(norm(tensor(x))).copy()
        norm(tensor(100 + 7 * normal(3, 5, seed=1)))
        check.equal(check.data(norm(tensor(x))), first, what="the same x again")
        check.equal(
            check.data(norm.eval()(tensor(x))), first, what="the same x in evaluation"
        )

    @given(case=shapes_and_positions())
    def test_each_position_is_normalised_alone(self, kata, case):
        """For any shape (B, T, C): other numbers at one position leave all other
        positions as they are. The rest of the batch and the future must not matter.
        """
        (batch, length, dim), place = case
        norm, x = kata.LayerNorm(dim), normal(batch, length, dim)
        before = check.data(norm(tensor(x))).copy()
        x[place] = 5 * normal(dim, seed=1)
        after = check.data(norm(tensor(x)))
        changed = np.abs(after - before).max(axis=-1) > 1e-9
        changed[place] = False
        check.that(
            not changed.any(),
            f"{int(changed.sum())} other positions changed with position {place}",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("last", [1, 4])
    def test_another_last_size_is_refused(self, kata, last):
        """A last size of 1 would broadcast silently to C = 5 equal features. The
        message names both sizes.
        """
        with check.raises(ValueError, 5, last):
            kata.LayerNorm(5)(tensor(normal(2, 3, last)))


class TestGelu:
    def test_known_values(self, kata):
        """0 stays 0, 1 becomes 0.8412 and -1 becomes -0.1588. Unlike relu, it is smooth
        and lets a little of what is negative pass.
        """
        x = np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
        right = torch.from_numpy(x)
        unlike = {
            "relu": np.maximum(x, 0),
            "the exact GELU, by the error function": F.gelu(right).numpy(),
            "the sigmoid approximation, x · sigmoid(1.702 x)": (
                right * torch.sigmoid(1.702 * right)
            ).numpy(),
            "√(2/π) not applied to the cube": (
                0.5
                * right
                * (1 + torch.tanh((2 / np.pi) ** 0.5 * right + 0.044715 * right**3))
            ).numpy(),
            "√2/π for √(2/π)": (
                0.5
                * right
                * (1 + torch.tanh(2**0.5 / np.pi * (right + 0.044715 * right**3)))
            ).numpy(),
            "x² for x³": (
                0.5
                * right
                * (1 + torch.tanh((2 / np.pi) ** 0.5 * (right + 0.044715 * right**2)))
            ).numpy(),
            "without the factor 0.5": 2 * F.gelu(right, approximate="tanh").numpy(),
            "without 1 + …": F.gelu(right, approximate="tanh").numpy() - 0.5 * x,
            "0.44715 for 0.044715": (
                0.5
                * right
                * (1 + torch.tanh((2 / np.pi) ** 0.5 * (right + 0.44715 * right**3)))
            ).numpy(),
        }
        check.close(
            check.data(kata.gelu(tensor(x))),
            F.gelu(right, approximate="tanh").numpy(),
            unlike=unlike,
        )

    def test_value_and_gradient(self, kata):
        """For any shape, the values and gradients of PyTorch's tanh form. x stands in
        it three times: as a factor, in the tanh, and cubed.
        """
        x = 2 * normal(2, 3, 4)
        mine, theirs = (
            tensor(x, requires_grad=True),
            torch.tensor(x, requires_grad=True),
        )
        output, expected = kata.gelu(mine), F.gelu(theirs, approximate="tanh")
        check.close(check.data(output), expected.detach().numpy(), what="the value")
        check.that(
            output.requires_grad,
            "the result is not connected to x: no gradient can go back",
        )
        output.backward(normal(2, 3, 4, seed=9))
        expected.backward(torch.from_numpy(normal(2, 3, 4, seed=9)))
        check.that(mine.grad is not None, "no gradient reached x")
        right, probe = theirs.grad.numpy(), normal(2, 3, 4, seed=9)
        unlike = {
            "the factor x taken as constant": right
            - probe * expected.detach().numpy() / x
        }
        check.close(mine.grad, right, what="the gradient of x", unlike=unlike)

    @given(case=numbers())
    def test_x_and_minus_x(self, kata, case):
        """The outputs for x and -x differ by exactly x: gelu(x) - gelu(-x) = x for
        every number.
        """
        x = np.array(case)
        got = check.data(kata.gelu(tensor(x))) - check.data(kata.gelu(tensor(-x)))
        check.close(got, x, atol=1e-9, what="gelu(x) - gelu(-x)")

    @pytest.mark.edge
    def test_large_numbers(self, kata):
        """10,000 stays as it is and -10,000 becomes 0. Their gradients are 1 and 0, and
        NumPy does not warn.
        """
        x = tensor([10_000.0, -10_000.0], requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            output = kata.gelu(x)
            output.sum().backward()
        check.close(check.data(output), np.array([10_000.0, 0.0]), atol=1e-9)
        check.close(x.grad, np.array([1.0, 0.0]), atol=1e-9, what="the gradient")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_dtype_stays(self, kata, dtype):
        """A factor such as np.sqrt(2) is a NumPy number of float64: times float32, it
        makes everything after it float64, at twice the memory.
        """
        got = check.data(kata.gelu(tensor(normal(3).astype(dtype))))
        check.that(got.dtype == dtype, f"{np.dtype(dtype)} became {got.dtype}")


class TestMultiHeadAttention:
    @pytest.mark.parametrize("num_heads", [1, 3])
    def test_four_projections_with_a_bias(self, kata, num_heads):
        """W_q, W_k, W_v and W_o are Linears from C to C, however many heads there are:
        heads cut features in slices, they do not add any.
        """
        expected = {
            name: (12, 12) if name.endswith("weight") else (12,) for name in ATTENTION
        }
        unlike = {"12 features for each head": {"W_q.weight": (36, 12)}}
        check.equal(
            shapes_of(kata.MultiHeadAttention(12, num_heads)),
            expected,
            what="parameters",
            unlike=unlike,
        )

    def test_each_head_attends_on_its_own_slice(self, kata):
        """Head h has features h·D to (h + 1)·D - 1 of queries, keys and values, with
        D = C/H = 4, and the scale 1/√D. What the heads found goes side by side through
        W_o. Splitting and merging both take a reshape and a transpose:
        a reshape alone has the right shape and deals positions out to heads.
        """
        layer, x = filled(kata.MultiHeadAttention(12, 3)), normal(2, 5, 12)
        p, x_ = for_torch(layer), torch.from_numpy(x)
        found = heads_by_torch(p, x_, 3)
        q, k, v = (linear_by_torch(p, W, x_).reshape(2, 3, 5, 4) for W in LINEARS[:3])
        dealt = F.scaled_dot_product_attention(q, k, v, is_causal=True)

        def out(found):
            return linear_by_torch(p, "W_o", found).detach().numpy()

        unlike = {
            "heads merged by a reshape without a transpose": out(
                torch.stack(found, 1).reshape(2, 5, 12)
            ),
            "heads split by a reshape without a transpose": out(
                dealt.transpose(1, 2).reshape(2, 5, 12)
            ),
            "split and merged without a transpose": out(dealt.reshape(2, 5, 12)),
            "heads merged feature by feature": out(
                torch.stack(found, -1).reshape(2, 5, 12)
            ),
            "scaled by 1/√C, not by 1/√D": out(
                torch.cat(heads_by_torch(p, x_, 3, scale=12**-0.5), -1)
            ),
            "one head for all features": out(heads_by_torch(p, x_, 1)[0]),
            "not causal": out(torch.cat(heads_by_torch(p, x_, 3, causal=False), -1)),
            "without W_o": torch.cat(found, -1).detach().numpy(),
        }
        expected = out(torch.cat(found, -1))
        check.close(check.data(layer(tensor(x))), expected, unlike=unlike)

    def test_one_head_is_plain_attention(self, kata):
        """With H = 1 there is nothing to split: projections, attention, and W_o."""
        layer, x = filled(kata.MultiHeadAttention(6, 1)), normal(2, 5, 6)
        expected = (
            attention_by_torch(for_torch(layer), torch.from_numpy(x), 1)
            .detach()
            .numpy()
        )
        check.close(check.data(layer(tensor(x))), expected)

    def test_without_causal_every_position_sees_all(self, kata):
        """causal=False is for sequences that are known as a whole."""
        layer, x = (
            filled(kata.MultiHeadAttention(12, 3, causal=False)),
            normal(2, 5, 12),
        )
        p, x_ = for_torch(layer), torch.from_numpy(x)
        unlike = {"causal all the same": attention_by_torch(p, x_, 3).detach().numpy()}
        expected = attention_by_torch(p, x_, 3, causal=False).detach().numpy()
        check.close(check.data(layer(tensor(x))), expected, unlike=unlike)

    def test_gradients(self, kata):
        """One backward pass reaches x and all eight parameters, with the gradients of
        PyTorch. That of W_k's bias is 0 up to rounding: it adds the same to all scores
        of a query, and softmax ignores that.
        """
        layer = filled(kata.MultiHeadAttention(12, 3))
        value_and_gradients(
            layer, lambda p, x: attention_by_torch(p, x, 3), normal(2, 5, 12)
        )

    def test_the_generator_draws_all_four(self, kata):
        """Every Linear gets `rng`, so that the same seed gives the same layer. No draw
        is used twice.
        """
        same_seed_same_layer(lambda rng: kata.MultiHeadAttention(12, 3, rng=rng))

    @given(case=changed_positions())
    def test_the_future_changes_nothing(self, kata, case):
        """For any number of heads: another token at position t leaves all outputs
        before t as they are, and changes those from t on.
        """
        length, t, num_heads = case
        layer, x = (
            kata.MultiHeadAttention(12, num_heads, rng=np.random.default_rng(3)),
            normal(2, length, 12),
        )
        before = check.data(layer(tensor(x))).copy()
        x[:, t] += normal(12, seed=1)
        after = check.data(layer(tensor(x)))
        changed = [
            bool(np.abs(after[:, i] - before[:, i]).max() > 1e-12)
            for i in range(length)
        ]
        check.equal(
            changed,
            [i >= t for i in range(length)],
            what=f"positions that changed with token {t}",
        )

    @pytest.mark.edge
    def test_heads_must_divide_the_features(self, kata):
        """Twelve features cannot be cut in five equal slices. The message names both
        numbers, when the layer is made.
        """
        with check.raises(ValueError, 12, 5):
            kata.MultiHeadAttention(12, 5)


class TestFeedForward:
    def test_two_layers_four_times_as_wide_inside(self, kata):
        """fc1 goes from C = 5 to 4·C = 20 features and fc2 back. Another inner width
        can be asked for.
        """
        for args, hidden in (((5,), 20), ((5, 7), 7)):
            expected = {
                "fc1.weight": (hidden, 5),
                "fc1.bias": (hidden,),
                "fc2.weight": (5, hidden),
                "fc2.bias": (5,),
            }
            check.equal(
                shapes_of(kata.FeedForward(*args)),
                expected,
                what=f"parameters of FeedForward{args}",
            )

    def test_gelu_between_them(self, kata):
        """fc2(gelu(fc1(x))). Without what bends in between, two linear layers
        are one.
        """
        mlp, x = filled(kata.FeedForward(5, 7)), normal(2, 3, 5)
        p, x_ = for_torch(mlp), torch.from_numpy(x)

        def expected(act):
            return mlp_by_torch(p, x_, act=act).detach().numpy()

        gelu = expected(lambda x: F.gelu(x, approximate="tanh"))
        unlike = {
            "relu in place of gelu": expected(torch.relu),
            "nothing between the layers": expected(lambda x: x),
            "gelu after the second layer as well": F.gelu(
                torch.from_numpy(gelu), approximate="tanh"
            ).numpy(),
            "a skip, which is the block's": x + gelu,
        }
        check.close(check.data(mlp(tensor(x))), gelu, unlike=unlike)

    def test_gradients(self, kata):
        """One backward pass reaches x, both weights and both biases, with the gradients
        of PyTorch.
        """
        value_and_gradients(
            filled(kata.FeedForward(5, 7)), mlp_by_torch, normal(2, 3, 5)
        )

    def test_the_generator_draws_both(self, kata):
        """Both Linears get `rng`, so that the same seed gives the same layer."""
        same_seed_same_layer(lambda rng: kata.FeedForward(5, rng=rng))


class TestTransformerBlock:
    def test_its_parts(self, kata):
        """ln1, attn, ln2 and mlp, with the parameters of each. For C = 8, these are
        12·C² + 13·C = 872 numbers.
        """
        found = shapes_of(kata.TransformerBlock(8, 2))
        check.equal(sorted(found), sorted(BLOCK), what="the names of the parameters")
        total = sum(int(np.prod(shape)) for shape in found.values())
        check.equal(total, 12 * 8**2 + 13 * 8, what="the number of parameters")

    def test_norm_then_part_then_skip(self, kata):
        """Pre-norm: x + attn(ln1(x)), then x + mlp(ln2(x)) with the x from the first
        step. Each part reads a normed copy, and the skip carries x itself.
        """
        block, x = filled(kata.TransformerBlock(12, 3)), normal(2, 5, 12)
        p, x_ = for_torch(block), torch.from_numpy(x)

        def by_torch(*args, **options):
            return block_by_torch(p, x_, *args, **options).detach().numpy()

        unlike = {
            "post-norm: ln(x + part(x))": by_torch(3, order="post"),
            "the skip starts after the norm": by_torch(
                3, order="the norm outside the skip"
            ),
            "the MLP reads the first x": by_torch(3, order="both from the first x"),
            "without the skips": by_torch(3, order="no skips"),
            "without the second skip": by_torch(3, order="first skip"),
            "without the first skip": by_torch(3, order="second skip"),
            "ln1 used twice": by_torch(3, second="ln1"),
            "not causal": by_torch(3, causal=False),
        }
        expected = by_torch(3)
        check.close(check.data(block(tensor(x))), expected, unlike=unlike)

    def test_with_zeros_in_both_outputs_it_is_the_identity(self, kata):
        """If W_o and fc2 are all zeros, both parts add nothing, and x comes out as it
        went in. This path is what carries gradients through depth.
        """
        block, x = filled(kata.TransformerBlock(12, 3)), 3 + 2 * normal(2, 5, 12)
        for layer in (block.attn.W_o, block.mlp.fc2):
            for p in (layer.weight, layer.bias):
                p.data = np.zeros(p.shape)
        p, x_ = for_torch(block), torch.from_numpy(x)
        unlike = {
            "normed on the way out": block_by_torch(p, x_, 3, order="post")
            .detach()
            .numpy()
        }
        check.close(check.data(block(tensor(x))), x, unlike=unlike)

    def test_residual_false_leaves_both_skips_out(self, kata):
        """mlp(ln2(attn(ln1(x)))): the same parts, one after the other."""
        block, x = (
            filled(kata.TransformerBlock(12, 3, residual=False)),
            normal(2, 5, 12),
        )
        p, x_ = for_torch(block), torch.from_numpy(x)
        unlike = {
            "with both skips": block_by_torch(p, x_, 3).detach().numpy(),
            "with the first skip": block_by_torch(p, x_, 3, order="first skip")
            .detach()
            .numpy(),
            "with the second skip": block_by_torch(p, x_, 3, order="second skip")
            .detach()
            .numpy(),
        }
        expected = block_by_torch(p, x_, 3, order="no skips").detach().numpy()
        check.close(check.data(block(tensor(x))), expected, unlike=unlike)

    def test_dropout_acts_on_what_each_part_returns(self, kata):
        """x + drop(part(norm(x))): with p = 0.5, each number that a part adds is twice
        as large or not there at all. What the skip carries stays whole. One part at a
        time adds zeros, so that the other one is seen alone.
        """
        x = normal(4, 5, 12)
        for part, silent in (("attn", "mlp.fc2"), ("mlp", "attn.W_o")):
            plain, block = (
                filled(kata.TransformerBlock(12, 3)),
                filled(kata.TransformerBlock(12, 3, dropout=0.5)),
            )
            for name, p in [*plain.named_parameters(), *block.named_parameters()]:
                if name.startswith(silent):
                    p.data = np.zeros(p.shape)
            added = check.data(plain(tensor(x))) - x
            got = check.data(block(tensor(x)))
            dropped = np.isclose(got, x)
            share = float(dropped.mean())
            told = (
                f"{share:.0%} of the numbers that {part} returns were dropped, "
                "expected about half"
            )
            told += (
                ". It looks like what the skip carries was dropped, too"
                if (got == 0).any()
                else ""
            )
            check.that(0.3 < share < 0.7, told)
            check.close(
                got,
                np.where(dropped, x, x + 2 * added),
                what=f"x + what is left of {part}",
            )
            block.eval()
            check.close(
                check.data(block(tensor(x))), x + added, what="the output in evaluation"
            )

    def test_gradients(self, kata):
        """One backward pass reaches x and all sixteen parameters, with the gradients
        of PyTorch.
        """
        value_and_gradients(
            filled(kata.TransformerBlock(12, 3)),
            lambda p, x: block_by_torch(p, x, 3),
            normal(2, 5, 12),
        )

    def test_the_generator_draws_all_parts(self, kata):
        """Attention and MLP both get `rng`, so that the same seed gives the
        same block.
        """
        same_seed_same_layer(lambda rng: kata.TransformerBlock(12, 3, rng=rng))


class TestGPTBackbone:
    def test_blocks_with_parameters_of_their_own(self, kata):
        """Three blocks and the last norm: "blocks.0.ln1.weight" to "ln_f.bias". One
        block three times over would have a third of the parameters.
        """
        found = shapes_of(kata.GPTBackbone(8, 2, 3))
        names = [f"blocks.{i}.{name}" for i in range(3) for name in BLOCK] + [
            "ln_f.weight",
            "ln_f.bias",
        ]
        unlike = {
            "one block, three times": sorted(
                name for name in names if not name.startswith(("blocks.1", "blocks.2"))
            )
        }
        check.equal(
            sorted(found),
            sorted(names),
            unlike=unlike,
            what="the names of the parameters",
        )
        total = sum(int(np.prod(shape)) for shape in found.values())
        check.equal(
            total, 3 * (12 * 8**2 + 13 * 8) + 2 * 8, what="the number of parameters"
        )

    def test_all_blocks_and_then_the_norm(self, kata):
        """Each block gets what the one before made, and ln_f comes once, at the end:
        pre-norm blocks leave a sum behind that nobody has normed.
        """
        model, x = filled(kata.GPTBackbone(12, 3, 3)), normal(2, 5, 12)
        p, h = for_torch(model), torch.from_numpy(x)
        states = [h]
        for i in range(3):
            states.append(block_by_torch(p, states[-1], 3, prefix=f"blocks.{i}."))
        backwards = h
        for i in (2, 1, 0):
            backwards = block_by_torch(p, backwards, 3, prefix=f"blocks.{i}.")

        def final(h):
            return norm_by_torch(p, "ln_f", h).detach().numpy()

        unlike = {
            "without the last norm": states[3].detach().numpy(),
            "the last block left out": final(states[2]),
            "only the first block": final(states[1]),
            "the blocks in the wrong order": final(backwards),
        }
        expected = final(states[3])
        check.close(check.data(model(tensor(x))), expected, unlike=unlike)

    def test_every_parameter_gets_a_gradient(self, kata):
        """A model in which a part gets no gradient trains all the same, only worse. The
        bias of W_k is the exception: softmax ignores what it adds, and its gradient is
        0 up to rounding.
        """
        model = filled(kata.GPTBackbone(12, 3, 2))
        model(tensor(normal(2, 5, 12))).backward(normal(2, 5, 12, seed=9))
        for name, p in model.named_parameters():
            check.that(p.grad is not None, f"no gradient reached {name}")
            if not name.endswith("W_k.bias"):
                check.that(np.abs(p.grad).max() > 1e-9, f"the gradient of {name} is 0")

    def test_the_generator_draws_all_blocks(self, kata):
        """Every block gets `rng` itself, so that the same seed gives the same model and
        no two blocks are alike.
        """
        same_seed_same_layer(lambda rng: kata.GPTBackbone(8, 2, 3, rng=rng))


@pytest.mark.stretch
class TestResidualGradientNorms:
    def test_one_norm_per_block(self, kata):
        """An array of floats with one norm per block, for any depth and any sizes."""
        options = {"embed_dim": 12, "num_heads": 3, "batch": 1, "length": 4}
        for depth in (1, 3):
            got = kata.residual_gradient_norms(depth, residual=True, **options)
            check.that(isinstance(got, np.ndarray), "expected an array")
            check.equal(got.shape, (depth,), what="the shape")
            check.that(bool((got > 0).all()), f"a norm is not positive: {got}")

    def test_the_loss_is_the_mean_of_the_squares(self, kata):
        """Backward once more through the same blocks, from the same input: the norms
        are the same.
        """
        forward, calls = kata.TransformerBlock.forward, []

        def watched(block, x, *args, **named):
            calls.append((block, x))
            return forward(block, x, *args, **named)

        with mock.patch.object(kata.TransformerBlock, "forward", watched):
            got = kata.residual_gradient_norms(2, residual=True)
        h = calls[0][1]
        for block, _ in calls:
            block.zero_grad()
            h = block(h)
        (h * h).mean().backward()
        check.close(
            got,
            np.array(
                [np.linalg.norm(block.attn.W_v.weight.grad) for block, _ in calls]
            ),
            rtol=1e-4,
        )

    def test_with_skips_all_blocks_learn(self, kata):
        """Through twelve blocks with skips, the first one has a gradient about as large
        as the last one's. With the loss mean(h²), both are near 1.
        """
        for seed in (0, 1):
            norms = kata.residual_gradient_norms(
                12, residual=True, rng=np.random.default_rng(seed)
            )
            ratio = norms[0] / norms[-1]
            check.that(0.2 < ratio < 5, f"first/last is {ratio:.3g}, expected 0.2 to 5")
            check.that(
                0.2 < norms[0] < 8,
                f"the first norm is {norms[0]:.3g}, expected about 1 for the *mean* "
                "of h squared",
            )

    def test_without_skips_the_first_blocks_starve(self, kata):
        """Without skips, each block on the way back shrinks the gradient, so that it
        falls from the last block to the first. The first entry of the array is that of
        the first block.
        """
        for seed in (0, 1):
            without = kata.residual_gradient_norms(
                12, residual=False, rng=np.random.default_rng(seed)
            )
            ratio = without[0] / without[-1]
            slip = ": is the last block the first entry?" if ratio > 3 else ""
            skips = kata.residual_gradient_norms(
                12, residual=True, rng=np.random.default_rng(seed)
            )
            same = "`residual` is not used" if np.array_equal(without, skips) else ""
            check.that(
                ratio < 0.4,
                f"first/last is {ratio:.3g} without skips, expected less than "
                f"0.4{slip}",
                like=same,
            )
            check.that(
                without[0] < 0.1 * skips[0],
                f"first block: {without[0]:.3g} without skips and {skips[0]:.3g} with "
                "them, expected less than a tenth",
            )

    def test_the_same_seed_gives_the_same_norms(self, kata):
        """Blocks and input are drawn from `rng` alone."""
        one, same = (
            kata.residual_gradient_norms(2, residual=True, rng=np.random.default_rng(5))
            for _ in range(2)
        )
        check.equal(same, one)


@pytest.mark.stretch
class TestNormStatistics:
    def test_rows_and_columns(self, kata):
        """[[1, 5], [3, 5]]: layer norm compares the features of a position, batch norm
        one feature of all positions. The second feature is the same everywhere, so
        batch norm makes it 0.
        """
        got = kata.norm_statistics(tensor([[1.0, 5.0], [3.0, 5.0]]))
        check.equal(sorted(got), ["batch", "layer"], what="the keys")
        layer, batch = (
            np.array([[-1.0, 1.0], [-1.0, 1.0]]),
            np.array([[-1.0, 0.0], [1.0, 0.0]]),
        )
        check.close(
            got["layer"],
            layer,
            atol=1e-4,
            unlike={"the other of the two": batch},
            what="layer",
        )
        check.close(
            got["batch"],
            batch,
            atol=1e-4,
            unlike={"the other of the two": layer},
            what="batch",
        )

    @given(case=arrays())
    def test_equals_pytorch(self, kata, case):
        """For any number of dims: "layer" is F.layer_norm over the last one, "batch" is
        F.batch_norm with all other dims as one batch.
        """
        got, x = kata.norm_statistics(tensor(case)), torch.from_numpy(case)
        check.close(got["layer"], F.layer_norm(x, x.shape[-1:]).numpy(), what="layer")
        rows = x.reshape(-1, x.shape[-1])
        mean, variance = rows.mean(0), rows.var(0, correction=0)
        batch = F.batch_norm(rows, mean, variance, eps=1e-5).reshape(x.shape)
        check.close(got["batch"], batch.numpy(), atol=1e-9, what="batch")

    def test_a_batch_of_one(self, kata):
        """With one position only, every feature is its own mean: batch norm wipes
        everything out, layer norm does not.
        """
        got = kata.norm_statistics(tensor(normal(1, 6)))
        check.close(got["batch"], np.zeros((1, 6)), what="batch")
        check.that(
            np.abs(got["layer"]).max() > 0.5,
            "layer norm does not depend on the batch, but layer is about 0",
        )


@pytest.mark.stretch
class TestBlockCost:
    def test_parameters(self, kata):
        """For C = 6, summed over the shapes of all parameters: four Linears from 6 to
        6, two between 6 and 24, and two norms.
        """
        got = kata.block_cost(2, 5, 6, 3, itemsize=8)
        keys = (
            "parameters parameter_bytes attention_parameters mlp_parameters "
            "score_bytes mlp_hidden_bytes multiply_adds"
        )
        check.equal(sorted(got), sorted(keys.split()), what="the keys")
        attention, mlp, norms = (
            4 * (6 * 6 + 6),
            (24 * 6 + 24) + (6 * 24 + 6),
            2 * (6 + 6),
        )
        check.equal(
            got["attention_parameters"],
            attention,
            unlike={"without the biases": 144},
            what="attention",
        )
        check.equal(
            got["mlp_parameters"],
            mlp,
            unlike={"without the biases": 288},
            what="mlp_parameters",
        )
        unlike = {
            "without the norms": attention + mlp,
            "with one norm": attention + mlp + norms // 2,
        }
        check.equal(
            got["parameters"], attention + mlp + norms, unlike=unlike, what="parameters"
        )
        check.equal(
            got["parameter_bytes"],
            8 * (attention + mlp + norms),
            what="parameter_bytes",
        )

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_bytes_of_real_arrays(self, kata, dtype):
        """Scores and the MLP's hidden features for B=2, T=5, C=6, H=3, as arrays: the
        prediction is their nbytes.
        """
        q, hidden = (
            np.zeros((2, 3, 5, 2), dtype=dtype),
            np.zeros((2, 5, 24), dtype=dtype),
        )
        got = kata.block_cost(2, 5, 6, 3, itemsize=q.itemsize)
        scores = (q @ q.swapaxes(-1, -2)).nbytes
        check.equal(
            got["score_bytes"],
            scores,
            unlike={"the scores of one head": scores // 3},
            what="score_bytes",
        )
        unlike = {"as wide as the block, not four times as wide": hidden.nbytes // 4}
        check.equal(
            got["mlp_hidden_bytes"],
            hidden.nbytes,
            unlike=unlike,
            what="mlp_hidden_bytes",
        )

    def test_the_work_of_all_products(self, kata):
        """A product (n, k) @ (k, m) takes n·k·m multiply-adds. There are six Linears on
        B·T = 10 rows, and two products in each of B·H = 6 heads. An item has 4 bytes
        unless said otherwise.
        """
        linears = [(10, 6, 6)] * 4 + [(10, 6, 24), (10, 24, 6)]
        heads = [(5, 2, 5), (5, 5, 2)] * 6
        count = {
            name: sum(n * k * m for n, k, m in found)
            for name, found in (("linears", linears), ("heads", heads))
        }
        got = kata.block_cost(2, 5, 6, 3)
        unlike = {
            "without the products in the heads": count["linears"],
            "without the Linears": count["heads"],
            "one product in each head, not two": count["linears"] + count["heads"] // 2,
        }
        check.equal(
            got["multiply_adds"],
            count["linears"] + count["heads"],
            unlike=unlike,
            what="multiply_adds",
        )
        check.equal(
            got["score_bytes"],
            4 * 2 * 3 * 5 * 5,
            what="score_bytes with the default itemsize",
        )

    def test_what_heads_cost(self, kata):
        """Twice as many heads: twice the scores, and nothing else."""
        few, many = kata.block_cost(2, 5, 12, 2), kata.block_cost(2, 5, 12, 4)
        check.equal(
            many,
            few | {"score_bytes": 2 * few["score_bytes"]},
            what="the costs with four heads, not two",
        )


@pytest.mark.stretch
class TestDepthScaling:
    def test_memory_grows_with_depth(self, kata):
        """Twice as many blocks keep twice as much for the way back. A forward pass
        without a graph, or whose result nobody keeps, would retain the same for
        any depth.
        """
        got = kata.depth_scaling([1, 2, 4])
        check.equal(got["sizes"], [1, 2, 4], what="sizes")
        told = f"the exponent is {got['exponent']:.3f}, expected 0.75 to 1.25"
        slip = (
            "the depth is not used, or no graph is kept"
            if abs(got["exponent"]) < 0.5
            else ""
        )
        check.that(0.75 <= got["exponent"] <= 1.25, told, like=slip)

    def test_each_block_keeps_its_scores_and_hidden_features(self, kata):
        """The factors of the products are kept for their gradients. For C=16, B=2 and
        T=16, one more block keeps at least an array of scores (B, H, T, T) and one of
        hidden features (B, T, 4·C), in float32. Twice the features, sequences or
        positions are more.
        """

        def second_block(embed_dim, batch, length):
            one, two = kata.depth_scaling([1, 2], embed_dim, batch, length)["values"]
            return two - one

        base, least = second_block(16, 2, 16), 4 * (2 * 4 * 16 * 16 + 2 * 16 * 64)
        check.that(
            base >= least,
            f"the second block retains {base:,} bytes, expected at least {least:,}",
        )
        for name, sizes in (("C", (32, 2, 16)), ("B", (16, 4, 16)), ("T", (16, 2, 32))):
            got = second_block(*sizes)
            check.that(
                got > 1.25 * base,
                f"twice the {name}: the second block retains {got:,} bytes, before "
                f"{base:,}",
            )
