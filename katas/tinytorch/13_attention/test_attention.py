"""Specs of kata tinytorch/13: masked softmax, causal masks, attention, positions, and
what attention costs.
"""

import math
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

THREE = np.log([[1.0, 2.0, 3.0], [4.0, 8.0, 4.0]])  # exponentials with simple shares


def tensor(values, requires_grad=False):
    from tinytorch.tensor import Tensor

    return Tensor(np.array(values), requires_grad=requires_grad)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def random_mask(*shape):
    """About half of it True, and the first key in any case, so that no query is without
    a key.
    """
    mask = np.random.default_rng(1).random(shape) < 0.5
    mask[..., 0] = True
    return mask


def queries_keys_values(*leading):
    """q, k and v with T=4, S=6, d=5, e=7 behind the leading dims."""
    return (
        normal(*leading, 4, 5),
        normal(*leading, 6, 5, seed=1),
        normal(*leading, 6, 7, seed=2),
    )


def softmax_by_torch(x, mask=None, dim=-1):
    return (
        x if mask is None else x.masked_fill(~torch.from_numpy(mask), -torch.inf)
    ).softmax(dim)


def weights_by_torch(q, k, mask=None, scale=None, dim=-1):
    scores = torch.from_numpy(np.einsum("...td,...sd->...ts", q, k))
    return softmax_by_torch(scores * (scale or q.shape[-1] ** -0.5), mask, dim).numpy()


def attention_by_torch(q, k, v, mask=None):
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=None if mask is None else torch.from_numpy(mask)
    )


def value_and_gradients(ours, theirs, *arrays, unlike=None, unlike_value=None):
    """Check that both functions have the same value, and inputs the same gradients, for
    some weights of the output. `unlike` are known wrong gradients.
    """
    mine = [tensor(x, requires_grad=True) for x in arrays]
    right = [torch.tensor(x, requires_grad=True) for x in arrays]
    output, oracle = ours(*mine), theirs(*right)
    check.close(
        check.data(output),
        oracle.detach().numpy(),
        what="the value",
        unlike=unlike_value,
    )
    check.that(
        output.requires_grad,
        "the result is not connected to its input: no gradient can go back",
    )
    probe = normal(*oracle.shape, seed=9)
    output.backward(probe)
    oracle.backward(torch.from_numpy(probe))
    for name, x, expected in zip(
        "xyz" if len(arrays) == 1 else "qkv", mine, right, strict=False
    ):
        check.that(x.grad is not None, f"no gradient reached {name}")
        check.close(
            x.grad, expected.grad.numpy(), what=f"the gradient of {name}", unlike=unlike
        )


def layer_by_torch(layer, x, *, causal=True, scale=None, values=None):
    """The output of one head, by PyTorch, from the weights of the layer."""
    q, k, v = (x @ W.weight.data.T for W in (layer.W_q, layer.W_k, values or layer.W_v))
    return (
        weights_by_torch(
            q, k, np.tri(x.shape[1], dtype=bool) if causal else None, scale
        )
        @ v
    )


@st.composite
def scores_and_masks(draw):
    """Scores of one to three dims, a dim, and a mask that broadcasts to them and allows
    something along that dim.
    """
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    sizes = [draw(st.sampled_from([size, 1])) for size in shape]
    mask = np.random.default_rng(draw(st.integers(0, 99))).random(sizes) < 0.5
    np.moveaxis(mask, dim, 0)[0] = True
    return normal(*shape), mask, dim


@st.composite
def orders_of_keys(draw):
    return draw(st.permutations(range(6)))


@st.composite
def changed_positions(draw):
    """A length, and a position that is changed."""
    length = draw(st.integers(2, 6))
    return length, draw(st.integers(0, length - 1))


@st.composite
def lengths_and_dims(draw):
    return draw(st.integers(1, 40)), 2 * draw(st.integers(1, 8))


class TestMaskedSoftmax:
    def test_the_allowed_entries_share_the_weight(self, kata):
        """Exponentials of 1, 2 and 3 with the 1 forbidden: 2 and 3 have the shares 2/5
        and 3/5. The mask acts before softmax. Afterwards it would leave a sum below 1.
        """
        mask = np.array([[False, True, True], [True, True, False]])
        every = np.array([[1 / 6, 2 / 6, 3 / 6], [1 / 4, 1 / 2, 1 / 4]])
        added = np.exp(THREE + mask) / np.exp(THREE + mask).sum(axis=1, keepdims=True)
        unlike = {
            "masked after softmax: the rest no longer sums to 1": every * mask,
            "without the mask": every,
            "divided by the sum over all rows": np.array([[0, 2, 3], [1, 2, 0]]) / 8,
            "the mask added to the scores as 0 and 1": added,
            "the mask inverted: True is to mean allowed": np.array(
                [[1.0, 0, 0], [0, 0, 1.0]]
            ),
            "forbidden scores set to 0, a score like others": np.array(
                [[1 / 6, 2 / 6, 3 / 6], [4 / 13, 8 / 13, 1 / 13]]
            ),
        }
        expected = np.array([[0, 2 / 5, 3 / 5], [1 / 3, 2 / 3, 0]])
        check.close(
            check.data(kata.masked_softmax(tensor(THREE), mask)),
            expected,
            unlike=unlike,
        )

    @pytest.mark.parametrize("dim", [0, 1])
    def test_any_dimension_with_its_gradient(self, kata, dim):
        """Without a mask it is softmax, along any dim: the same values and gradients as
        PyTorch. Each element's gradient depends on all weights along `dim`, because the
        sum does.
        """
        x = torch.tensor(normal(2, 3, 4))
        value_and_gradients(
            lambda x: kata.masked_softmax(x, dim=dim),
            lambda x: x.softmax(dim),
            x.numpy(),
            unlike={
                "a sum that does not depend on the scores": x.softmax(dim).numpy()
                * normal(2, 3, 4, seed=9)
            },
            unlike_value={"softmax over the last dim": x.softmax(-1).numpy()},
        )

    def test_a_mask_that_broadcasts(self, kata):
        """Scores are (2, 3, 4). A mask may have fewer dims, and sizes of 1: causal
        masks are the same for every batch, padding masks for every query. Values and
        gradients are those of PyTorch with -inf in the forbidden places.
        """
        for shape in ((3, 4), (2, 1, 4)):
            mask, x = random_mask(*shape), normal(2, 3, 4)
            value_and_gradients(
                lambda x, mask=mask: kata.masked_softmax(x, mask),
                lambda x, mask=mask: softmax_by_torch(x, mask),
                x,
            )

    def test_the_mask_may_be_a_tensor(self, kata):
        """A bool Tensor says the same as a bool array."""
        mask = random_mask(3, 4)
        expected = softmax_by_torch(torch.from_numpy(normal(3, 4)), mask).numpy()
        check.close(
            check.data(kata.masked_softmax(tensor(normal(3, 4)), tensor(mask))),
            expected,
        )

    def test_large_scores(self, kata):
        """e¹⁰⁰⁰⁰ is infinite. Only differences count, so the largest score of the row
        is subtracted first.
        """
        x = np.array([[10_000.0, 9_999.0, -10_000.0], [-10_000.0, -10_000.0, -9_998.0]])
        nan = np.nan
        unlike = {
            "exp of the scores as they are: inf/inf": np.array(
                [[nan, nan, 0], [0, 0, 0]]
            ),
            "exp of the scores as they are: inf/inf and 0/0": np.array(
                [[nan, nan, 0], [nan, nan, nan]]
            ),
        }
        value_and_gradients(
            kata.masked_softmax, lambda x: x.softmax(-1), x, unlike_value=unlike
        )

    def test_a_large_forbidden_score(self, kata):
        """The largest score is forbidden. If it is what gets subtracted, all the others
        become e⁻¹⁰⁰⁰⁰ = 0, and no weight is left. Only allowed scores count.
        """
        x = np.array([[10_000.0, 1.0, 2.0, 3.0], [0.0, -10_000.0, 9_999.0, -9_998.0]])
        mask = np.array([[False, True, True, True], [False, True, False, True]])
        unlike = {
            "the forbidden score subtracted: all weights are 0": np.zeros((2, 4)),
            "the forbidden score subtracted: all weights are 0/0": np.full(
                (2, 4), np.nan
            ),
        }
        value_and_gradients(
            lambda x: kata.masked_softmax(x, mask),
            lambda x: softmax_by_torch(x, mask),
            x,
            unlike_value=unlike,
        )

    @given(case=scores_and_masks())
    def test_exact_zeros_and_a_sum_of_one(self, kata, case):
        """For any shape, dim and mask that broadcasts: a forbidden weight is 0 to the
        last bit, not just small, and the weights along `dim` sum to 1.
        """
        x, mask, dim = case
        got = check.data(kata.masked_softmax(tensor(x), mask, dim))
        check.that(
            got.shape == x.shape,
            f"the weights have shape {got.shape}, expected that of the scores, "
            f"{x.shape}",
        )
        check.equal(
            got[~np.broadcast_to(mask, x.shape)].sum(),
            0.0,
            what="the sum of all forbidden weights",
        )
        total = np.asarray(got.sum(axis=dim))
        check.close(total, np.ones_like(total), what=f"the sum along dim {dim}")

    @pytest.mark.edge
    def test_a_row_with_nothing_allowed(self, kata):
        """Such a row has weights of 0: neither NaN, nor equal weights for what must not
        be seen. Its gradients are 0, too, and NumPy has nothing to warn about.
        """
        x, mask = tensor(normal(3, 4), requires_grad=True), random_mask(3, 4)
        mask[1] = False
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            weights = kata.masked_softmax(x, mask)
            weights.backward(normal(3, 4, seed=9))
        equal_weights = {"equal weights for forbidden entries": np.full(4, 0.25)}
        check.equal(
            check.data(weights)[1],
            np.zeros(4),
            unlike=equal_weights,
            what="the weights of that row",
        )
        check.close(x.grad[1], np.zeros(4), what="the gradient of that row")
        rest = softmax_by_torch(torch.from_numpy(normal(3, 4)), mask).numpy()[[0, 2]]
        check.close(check.data(weights)[[0, 2]], rest, what="the other rows")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", ["int64", "float64"])
    def test_a_mask_that_is_not_bool_is_refused(self, kata, dtype):
        """A float mask of 0 and -inf was meant to be added, and ints may count the
        other way round. The message names the dtype.
        """
        with check.raises(TypeError, dtype):
            kata.masked_softmax(tensor(normal(3, 4)), random_mask(3, 4).astype(dtype))


class TestCausalMask:
    def test_each_position_sees_itself_and_the_past(self, kata):
        """Row t says what position t may see: 0 to t. Position 0 sees itself alone."""
        expected = np.array(
            [[True, False, False], [True, True, False], [True, True, True]]
        )
        unlike = {
            "the diagonal is missing: a position that does not see itself": np.tri(
                3, k=-1, dtype=bool
            ),
            "an upper triangle: positions see the future instead of the past": (
                expected.T
            ),
            "True where attention is forbidden": ~expected,
            "the diagonal moved right: each position sees the next one": np.tri(
                3, k=1, dtype=bool
            ),
        }
        check.that(
            isinstance(kata.causal_mask(3), np.ndarray),
            "expected an array, not a Tensor or a list",
        )
        check.equal(kata.causal_mask(3), expected, unlike=unlike)

    def test_row_t_has_t_plus_one_times_true(self, kata):
        """For 7 positions, the rows allow 1, 2, … 7 of them. The dtype is bool."""
        mask = kata.causal_mask(7)
        check.that(
            mask.dtype == bool and mask.shape == (7, 7),
            f"got {mask.dtype} {mask.shape}, expected bool (7, 7)",
        )
        check.equal(
            mask.sum(axis=1).tolist(),
            [1, 2, 3, 4, 5, 6, 7],
            what="the number of allowed positions per row",
        )


class TestScaledDotProductAttention:
    def test_one_query_and_three_keys(self, kata):
        """With d = 4, the dot products 0, 2·log 2 and 2·log 3 are divided by 2. Softmax
        makes weights of 1/6, 2/6 and 3/6, and the output is the mean of the values with
        these weights.
        """
        q, k = np.array([[2.0, 0, 0, 0]]), np.log([[1.0], [2], [3]]) * [[1.0, 0, 0, 0]]
        v = np.array([[60.0, 0], [0, 60], [6, 6]])
        output, weights = kata.scaled_dot_product_attention(
            tensor(q), tensor(k), tensor(v)
        )
        unlike = {
            "scores not divided by √d": weights_by_torch(q, k, scale=1),
            "scores divided by d, not by √d": weights_by_torch(q, k, scale=1 / 4),
            "scores multiplied by √d": weights_by_torch(q, k, scale=2),
            "softmax over the queries (dim -2), not over the keys": np.ones((1, 3)),
            "the scores, not their softmax": np.log([[1.0, 2, 3]]),
        }
        check.close(
            check.data(weights),
            np.array([[1 / 6, 2 / 6, 3 / 6]]),
            unlike=unlike,
            what="the weights",
        )
        check.close(check.data(output), np.array([[13.0, 23.0]]), what="the output")

    @pytest.mark.parametrize("leading", [(2,), (2, 3)], ids=str)
    def test_equals_pytorch_for_any_leading_dimensions(self, kata, leading):
        """T=4 queries with d=5, S=6 keys, and values with e=7 features, behind one and
        two further dims.
        """
        q, k, v = queries_keys_values(*leading)
        output, weights = kata.scaled_dot_product_attention(
            tensor(q), tensor(k), tensor(v)
        )
        unlike = {
            "softmax over the queries: each row should sum to 1": weights_by_torch(
                q, k, dim=-2
            ),
            "scores not divided by √d": weights_by_torch(q, k, scale=1),
            "scores divided by d, not by √d": weights_by_torch(q, k, scale=1 / 5),
            "divided by the root of the values' features": weights_by_torch(
                q, k, scale=7**-0.5
            ),
        }
        check.close(
            check.data(weights),
            weights_by_torch(q, k),
            unlike=unlike,
            what="the weights",
        )
        expected = attention_by_torch(*map(torch.from_numpy, (q, k, v))).numpy()
        check.close(check.data(output), expected, what="the output")

    @pytest.mark.parametrize("shape", [(4, 6), (2, 1, 4, 6), (2, 1, 1, 6)], ids=str)
    def test_a_mask_that_broadcasts(self, kata, shape):
        """Scores are (2, 3, 4, 6): a causal mask is one for all, a padding mask one per
        element of the batch.
        """
        q, k, v = queries_keys_values(2, 3)
        mask = random_mask(*shape)
        output, weights = kata.scaled_dot_product_attention(
            tensor(q), tensor(k), tensor(v), mask
        )
        unlike = {"without the mask": weights_by_torch(q, k)}
        check.close(
            check.data(weights),
            weights_by_torch(q, k, mask),
            unlike=unlike,
            what="the weights",
        )
        expected = attention_by_torch(*map(torch.from_numpy, (q, k, v)), mask).numpy()
        check.close(check.data(output), expected, what="the output")

    def test_gradients(self, kata):
        """One backward pass from the output reaches queries, keys and values, with the
        gradients of PyTorch.
        """
        mask = random_mask(4, 6)
        value_and_gradients(
            lambda q, k, v: kata.scaled_dot_product_attention(q, k, v, mask)[0],
            lambda q, k, v: attention_by_torch(q, k, v, mask),
            *queries_keys_values(2),
        )

    @given(order=orders_of_keys())
    def test_the_order_of_the_keys_does_not_matter(self, kata, order):
        """Attention reads a set: keys and values in another order, both in the same
        one, give the same output. What knows about order is the mask, or the
        features themselves.
        """
        q, k, v = queries_keys_values(2)
        output, _ = kata.scaled_dot_product_attention(
            tensor(q), tensor(k[:, order]), tensor(v[:, order])
        )
        expected = attention_by_torch(*map(torch.from_numpy, (q, k, v))).numpy()
        check.close(check.data(output), expected)

    @pytest.mark.edge
    def test_a_query_that_may_attend_to_nothing(self, kata):
        """Padding queries exist. Theirs is an output of zeros; one NaN would spread to
        every parameter.
        """
        mask = random_mask(4, 6)
        mask[2] = False
        q, k, v = (tensor(x, requires_grad=True) for x in queries_keys_values(2))
        output, _ = kata.scaled_dot_product_attention(q, k, v, mask)
        unlike = {"0/0: no score is allowed": np.full((2, 7), np.nan)}
        check.equal(
            check.data(output)[:, 2],
            np.zeros((2, 7)),
            what="the output of query 2",
            unlike=unlike,
        )
        output.backward(normal(2, 4, 7, seed=9))
        for name, x in {"q": q, "k": k, "v": v}.items():
            check.that(
                bool(np.isfinite(x.grad).all()), f"the gradient of {name} is not finite"
            )
        check.close(q.grad[:, 2], np.zeros((2, 5)), what="the gradient of query 2")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "shapes",
        [
            ((2, 4, 5), (6, 5), (6, 7)),
            ((2, 4, 5), (2, 6, 8), (2, 6, 7)),
            ((2, 4, 5), (2, 6, 5), (2, 3, 7)),
        ],
        ids=["dims", "d", "S"],
    )
    def test_shapes_that_do_not_fit_are_refused(self, kata, shapes):
        """Keys without a batch, features that differ, values that are fewer than the
        keys. The message names all three shapes, because the wrong one is not always
        the one that the product complains about.
        """
        with check.raises(ValueError, *shapes):
            kata.scaled_dot_product_attention(
                *(tensor(normal(*shape)) for shape in shapes)
            )


class TestSelfAttention:
    def test_three_projections_without_a_bias(self, kata):
        """W_q, W_k and W_v go from C = 6 to d = 4, and a Linear's weight is (out, in).
        Without head_dim, d is C.
        """
        found = {
            name: p.shape for name, p in kata.SelfAttention(6, 4).named_parameters()
        }
        check.equal(
            found,
            dict.fromkeys(["W_q.weight", "W_k.weight", "W_v.weight"], (4, 6)),
            what="parameters",
        )
        found = {name: p.shape for name, p in kata.SelfAttention(6).named_parameters()}
        check.equal(
            found,
            dict.fromkeys(["W_q.weight", "W_k.weight", "W_v.weight"], (6, 6)),
            what="without head_dim",
        )

    def test_attends_within_each_sequence(self, kata):
        """Queries, keys and values are projections of the same x; the scale is that of
        the head, 1/√d with d = 4, not of the C = 9 features that come in.
        """
        layer, x = kata.SelfAttention(9, 4), 2 * normal(2, 5, 9)
        unlike = {
            "not causal": layer_by_torch(layer, x, causal=False),
            "scaled by 1/√C, not 1/√d": layer_by_torch(layer, x, scale=1 / 3),
            "scaled twice": layer_by_torch(layer, x, scale=1 / 4),
            "values projected with W_k": layer_by_torch(layer, x, values=layer.W_k),
        }
        check.close(
            check.data(layer(tensor(x))), layer_by_torch(layer, x), unlike=unlike
        )

    @given(case=changed_positions())
    def test_the_future_changes_nothing(self, kata, case):
        """Another token at position t leaves all outputs before t as they are, to the
        last bit, and changes those from t on. A model that sees the next token has
        nothing to predict.
        """
        length, t = case
        layer, x = (
            kata.SelfAttention(6, 4, rng=np.random.default_rng(3)),
            normal(2, length, 6),
        )
        before = check.data(layer(tensor(x))).copy()
        x[:, t] += 1.0
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

    def test_without_causal_every_position_sees_all(self, kata):
        """causal=False is for sequences that are known as a whole, such as a sentence
        to be classified.
        """
        layer, x = kata.SelfAttention(6, 4, causal=False), normal(2, 5, 6)
        unlike = {"causal all the same": layer_by_torch(layer, x)}
        check.close(
            check.data(layer(tensor(x))),
            layer_by_torch(layer, x, causal=False),
            unlike=unlike,
        )

    def test_the_gradient_reaches_every_projection(self, kata):
        """One backward pass gives all three weights and x the gradients that
        PyTorch has.
        """
        layer, x = kata.SelfAttention(6, 4), tensor(normal(2, 5, 6), requires_grad=True)
        ours = [x, layer.W_q.weight, layer.W_k.weight, layer.W_v.weight]
        theirs = [
            torch.tensor(p.data, dtype=torch.float64, requires_grad=True) for p in ours
        ]
        probe = normal(2, 5, 4, seed=9)
        layer(x).backward(probe)
        output = F.scaled_dot_product_attention(
            *(theirs[0] @ W.T for W in theirs[1:]), is_causal=True
        )
        output.backward(torch.from_numpy(probe))
        for name, mine, right in zip(
            ("x", "W_q", "W_k", "W_v"), ours, theirs, strict=True
        ):
            check.that(mine.grad is not None, f"no gradient reached {name}")
            check.close(
                mine.grad, right.grad.numpy(), rtol=1e-3, what=f"the gradient of {name}"
            )

    def test_the_generator_draws_all_three(self, kata):
        """Every Linear gets `rng`, so that the same seed gives the same layer. One draw
        is not used three times: with equal W_q and W_k, every position would look at
        itself first.
        """
        one, same = (
            kata.SelfAttention(6, 4, rng=np.random.default_rng(5)) for _ in range(2)
        )
        names = ("W_q", "W_k", "W_v")
        drawn = {name: getattr(one, name).weight.data for name in names}
        for name in names:
            check.equal(
                getattr(same, name).weight.data,
                drawn[name],
                what=f"{name} from the same seed",
            )
        for a, b in (("W_q", "W_k"), ("W_q", "W_v"), ("W_k", "W_v")):
            check.that(
                not np.array_equal(drawn[a], drawn[b]),
                f"{a} and {b} have the same weight",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("shape", [(5, 6), (2, 3, 5, 6)], ids=str)
    def test_an_input_of_another_rank_is_refused(self, kata, shape):
        """(T, C) lacks the batch, and (B, H, T, C) would take its heads for positions.
        The message names the shape.
        """
        with check.raises(ValueError, shape):
            kata.SelfAttention(6)(tensor(normal(*shape)))


@pytest.mark.stretch
class TestSinusoidalPositions:
    def test_shape_dtype_and_row_zero(self, kata):
        """One row per position, float32 as the features are. At position 0, every sine
        is 0 and every cosine 1, side by side.
        """
        table = kata.sinusoidal_positions(5, 6)
        check.that(
            isinstance(table, np.ndarray) and table.shape == (5, 6),
            "expected an array of shape (5, 6)",
        )
        default = (
            "NumPy's default dtype: dtype=np.float32 is missing"
            if table.dtype == np.float64
            else ""
        )
        check.that(
            table.dtype == np.float32,
            f"the dtype is {table.dtype}, expected float32",
            like=default,
        )
        unlike = {
            "all sines first, then all cosines": np.array([0.0, 0, 0, 1, 1, 1]),
            "cosines in the even columns": np.array([1.0, 0, 1, 0, 1, 0]),
            "positions counted from 1": [
                f(10000 ** (-i / 3)) for i in range(3) for f in (math.sin, math.cos)
            ],
        }
        check.close(
            table[0], np.array([0.0, 1, 0, 1, 0, 1]), unlike=unlike, what="row 0"
        )

    def test_row_one(self, kata):
        """With dim = 4, position 1 has the angles 1 and 1/10000^(2/4) = 1/100: each
        sine shares its angle with the cosine beside it.
        """
        row = kata.sinusoidal_positions(2, 4)[1]
        unlike = {
            "an angle of its own for each column": np.array(
                [math.sin(1), math.cos(0.1), math.sin(0.01), math.cos(0.001)]
            ),
            "10000^(i/dim), not 10000^(2i/dim)": np.array(
                [math.sin(1), math.cos(1), math.sin(0.1), math.cos(0.1)]
            ),
            "multiplied by 10000^(2i/dim)": np.array(
                [math.sin(1), math.cos(1), math.sin(100), math.cos(100)]
            ),
        }
        expected = np.array([math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)])
        check.close(row, expected, unlike=unlike)
        far = np.array([math.sin(2000), math.cos(2000), math.sin(20), math.cos(20)])
        check.close(
            kata.sinusoidal_positions(2001, 4)[2000], far, atol=1e-4, what="row 2000"
        )

    @given(case=lengths_and_dims())
    def test_every_entry_by_the_formula(self, kata, case):
        """For any length and even dim: column c has the angle t / 10000^(2·(c //
        2)/dim), and the sine if c is even.
        """
        length, dim = case
        waves = (math.sin, math.cos)
        expected = [
            [waves[c % 2](t / 10000 ** (2 * (c // 2) / dim)) for c in range(dim)]
            for t in range(length)
        ]
        check.close(
            kata.sinusoidal_positions(length, dim), np.array(expected), atol=1e-4
        )

    def test_no_two_positions_are_alike(self, kata):
        """A fast wave repeats within a few steps, a slow one hardly moves. Together
        they tell 300 positions apart.
        """
        table = kata.sinusoidal_positions(300, 8)
        distances = np.linalg.norm(table[:, None] - table[None], axis=-1) + 9 * np.eye(
            300
        )
        check.that(
            distances.min() > 0.1, f"two rows are only {distances.min():.3g} apart"
        )

    @pytest.mark.edge
    def test_an_odd_dim_is_refused(self, kata):
        """Sines and cosines come in pairs. The message names the number."""
        with check.raises(ValueError, 7):
            kata.sinusoidal_positions(5, 7)


@pytest.mark.stretch
class TestAttentionCost:
    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    def test_the_bytes_of_real_arrays(self, kata, dtype):
        """Queries, keys, values, scores and output for B=2, H=3, T=5, d=7, as arrays:
        the prediction is their nbytes.
        """
        q = np.zeros((2, 3, 5, 7), dtype=dtype)
        scores = q @ q.swapaxes(-1, -2)
        got = kata.attention_cost(2, 3, 5, 7, itemsize=q.itemsize)
        keys = {"score_bytes", "qkv_bytes", "output_bytes", "multiply_adds"}
        check.that(
            set(got) == keys, f"the keys are {sorted(got)}, expected {sorted(keys)}"
        )
        unlike = {
            "the scores of one head": scores.nbytes // 3,
            "as many as features": q.nbytes,
        }
        check.equal(
            got["score_bytes"], scores.nbytes, unlike=unlike, what="score_bytes"
        )
        unlike = {"one of the three alone": q.nbytes}
        check.equal(got["qkv_bytes"], 3 * q.nbytes, unlike=unlike, what="qkv_bytes")
        check.equal(got["output_bytes"], (scores @ q).nbytes, what="output_bytes")

    def test_the_work_of_both_products(self, kata):
        """Each of the T² scores is a dot product of d numbers, and each of the T·d
        outputs a sum over T values. An item has 4 bytes unless said otherwise.
        """
        got = kata.attention_cost(2, 3, 5, 7)
        one = sum(1 for _ in np.ndindex(2, 3, 5, 5, 7))
        unlike = {
            "only one of the two products": one,
            "multiplications and additions apart": 4 * one,
        }
        check.equal(got["multiply_adds"], 2 * one, unlike=unlike, what="multiply_adds")
        check.equal(
            got["score_bytes"],
            4 * 2 * 3 * 5 * 5,
            what="score_bytes with the default itemsize",
        )

    def test_scores_outgrow_what_they_are_made_of(self, kata):
        """At T = 3d, the scores take as many bytes as queries, keys and values; at
        twice the length, twice as many.
        """
        for length, factor in ((48, 1), (96, 2)):
            got = kata.attention_cost(2, 3, length, 16)
            check.equal(
                got["score_bytes"],
                factor * got["qkv_bytes"],
                what=f"score_bytes for T = {length}, d = 16",
            )


@pytest.mark.stretch
class TestRecurrenceComparison:
    def test_steps_and_paths(self, kata):
        """Seven positions: attention looks at all at once, and every pair is one step
        apart. A recurrence takes seven steps, one after the other, and carries the
        first position through six updates to the last.
        """
        got = kata.recurrence_comparison(7, 5)
        for kind, steps, path in (("attention", 1, 1), ("recurrence", 7, 6)):
            check.equal(
                got[kind]["sequential_steps"], steps, what=f"sequential_steps of {kind}"
            )
            check.equal(got[kind]["path_length"], path, what=f"path_length of {kind}")

    def test_the_work(self, kata):
        """Attention: two products for every pair of positions and every feature.
        Recurrence: two matrices (d, d) at every position.
        """
        got = kata.recurrence_comparison(7, 5)
        unlike = {"one product of the two": 7 * 7 * 5}
        check.equal(
            got["attention"]["multiply_adds"],
            2 * 7 * 7 * 5,
            unlike=unlike,
            what="multiply_adds of attention",
        )
        unlike = {
            "one matrix of the two": 7 * 5 * 5,
            "every pair of positions, as in attention": 2 * 7 * 7 * 5,
        }
        check.equal(
            got["recurrence"]["multiply_adds"],
            2 * 7 * 5 * 5,
            unlike=unlike,
            what="multiply_adds of recurrence",
        )

    def test_where_both_cost_the_same(self, kata):
        """At the crossover length, the two counts are equal. Below it attention is
        cheaper, above it the recurrence.
        """
        crossover = kata.recurrence_comparison(7, 5)["crossover_length"]
        for length, sign in ((crossover - 1, -1), (crossover, 0), (crossover + 1, 1)):
            got = kata.recurrence_comparison(length, 5)
            difference = (
                got["attention"]["multiply_adds"] - got["recurrence"]["multiply_adds"]
            )
            check.equal(
                int(np.sign(difference)),
                sign,
                what=f"sign of attention - recurrence for T = {length}, d = 5",
            )


@pytest.mark.stretch
class TestAttentionScaling:
    def test_memory_grows_with_the_square(self, kata):
        """Twice the length, four times the scores. What grows with T alone pulls the
        exponent a little below 2.
        """
        got = kata.attention_scaling([128, 256, 512])
        check.equal(got["sizes"], [128, 256, 512], what="sizes")
        check.that(
            1.7 <= got["exponent"] <= 2.1,
            f"the exponent is {got['exponent']:.3f}, expected 1.7 to 2.1",
        )

    def test_the_peak_holds_the_scores_and_the_output(self, kata):
        """At its peak, attention holds at least one (T, T) array of float32, here of
        16,384 bytes. Heads of 512 features make an output that is larger:
        131,072 bytes.
        """
        peaks = {
            head_dim: kata.attention_scaling([64, 65], head_dim)["values"][0]
            for head_dim in (8, 512)
        }
        slip = "head_dim is not used" if abs(peaks[512] - peaks[8]) < 2048 else ""
        for (head_dim, peak), least in zip(
            peaks.items(), (4 * 64 * 64, 4 * 64 * 512), strict=True
        ):
            told = (
                f"T = 64, d = {head_dim}: the peak is {peak:,} bytes, expected at "
                f"least {least:,}"
            )
            check.that(peak >= least, told, like=slip)

    def test_one_sequence(self, kata):
        """What is measured are attention's queries, keys and values of
        shape (1, T, d).
        """
        attend, shapes = kata.scaled_dot_product_attention, set()

        def watched(*args, **named):
            shapes.update(x.shape for x in (*args, *named.values()) if x is not None)
            return attend(*args, **named)

        with mock.patch.object(kata, "scaled_dot_product_attention", watched):
            kata.attention_scaling([3, 4], 5)
        check.equal(shapes, {(1, 3, 5), (1, 4, 5)}, what="shapes")
