"""Specs of 16: splitting and merging heads, masks, the layer, looking into it, and
proving it equal to PyTorch's.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

B, H, T, S, D = 2, 3, 5, 7, 4  # batch, heads, queries, keys, features of a head
C = H * D
SHAPE = (B, H, T, S)
WEIGHTS = ("W_q", "W_k", "W_v", "W_o")
FINISHED = (
    "torch.nn.MultiheadAttention",
    "torch.nn.functional.multi_head_attention_forward",
)


def layer(kata, **options):
    """A layer whose parameters, biases included, all differ from one another and
    from zero.
    """
    mha = kata.MultiHeadAttention(C, H, **options)
    with torch.no_grad():
        for parameter in mha.parameters():
            parameter.normal_(std=0.3)
    return mha


def three_inputs(keys=S, **options):
    """A query of T positions, a key and a value of `keys` positions, all different."""
    return [torch.randn(B, length, C, **options) for length in (T, keys, keys)]


def some_of(*shape):
    """A random mask that leaves key 0 to every query."""
    mask = torch.rand(shape) > 0.5
    mask[..., 0] = True
    return mask


def in_full(mask, shape=SHAPE):
    """Expand a mask of 1 to 4 dimensions to every batch element, head, query
    and key.
    """
    four = (
        (mask.shape[0], 1, *mask.shape[1:])
        if mask.ndim == 3
        else (1,) * (4 - mask.ndim) + mask.shape
    )
    return mask.reshape(four).expand(shape)


def expanded(result, shape=SHAPE):
    """The learner's mask, expanded to all the scores."""
    try:
        return result.expand(shape)
    except (AttributeError, RuntimeError):
        check.that(
            False,
            f"the result is {check.describe(result)}, which does not expand to {shape}",
        )


def project(linear, x):
    """A linear layer in float64."""
    bias = None if linear.bias is None else linear.bias.double()
    return F.linear(x.double(), linear.weight.double(), bias)


def by_hand(mha, query, key, value, allowed=None):
    """(output, weights) of the layer in float64, one head after the other."""
    q, k, v = project(mha.W_q, query), project(mha.W_k, key), project(mha.W_v, value)
    heads, weights = [], []
    for h in range(H):
        own = slice(h * D, (h + 1) * D)
        scores = q[..., own] @ k[..., own].mT / D**0.5
        if allowed is not None:
            scores = scores.masked_fill(
                ~allowed.expand(B, H, T, key.shape[1])[:, h], -math.inf
            )
        weights.append(scores.softmax(-1).nan_to_num(0.0))
        heads.append(weights[h] @ v[..., own])
    return project(mha.W_o, torch.cat(heads, dim=-1)), torch.stack(weights, dim=1)


def without_keys(expected):
    """By name, what some slips make of query 2 of batch element 1, which may
    look nowhere.
    """
    rows = {
        "NaN where a query may look nowhere": math.nan,
        "even weights where a query may look nowhere": 1 / S,
    }
    wrong = {name: expected[1].clone() for name in rows}
    for name, value in rows.items():
        wrong[name][1, :, 2] = value
    return {name: (..., weights) for name, weights in wrong.items()}


def slips(mha, query, key, value):
    """By name, what some slips in `forward` lead to."""
    q, k, v = project(mha.W_q, query), project(mha.W_k, key), project(mha.W_v, value)
    q_of_key, v_by_key = project(mha.W_q, key), project(mha.W_k, value)

    def cut(x):
        return x.unflatten(-1, (H, D)).transpose(1, 2)

    def dealt(x):
        return x.reshape(B, H, -1, D)

    def join(weights, v):
        return (weights @ v).transpose(1, 2).flatten(2)

    scores, dealt_scores = cut(q) @ cut(k).mT, dealt(q) @ dealt(k).mT
    right, other_way, dealt_out = (
        (x / D**0.5).softmax(-1) for x in (scores, scores.mT, dealt_scores)
    )
    pairs = {
        "scores divided by √d_model: the scale is √d_k, for the width of one head": (
            scores / C**0.5
        ).softmax(-1),
        "scores not divided by √d_k": scores.softmax(-1),
        "scores divided by d_k: the scale is its square root": (scores / D).softmax(-1),
        "softmax over the queries: it runs over the keys": (scores / D**0.5).softmax(
            -2
        ),
        "W_q projects the keys, too": (cut(q) @ cut(q_of_key).mT / D**0.5).softmax(-1),
    }
    found = {
        name: (project(mha.W_o, join(weights, cut(v))), weights)
        for name, weights in pairs.items()
    }
    merged = join(right, cut(v))
    found["heads reshaped to (B, H, T, D) without a transpose"] = (
        project(mha.W_o, join(dealt_out, dealt(v))),
        dealt_out,
    )
    found["heads merged without a transpose"] = (
        project(mha.W_o, (right @ cut(v)).reshape(B, T, C)),
        right,
    )
    found["W_k projects the values, too"] = (
        project(mha.W_o, join(right, cut(v_by_key))),
        right,
    )
    found["the key is used as the value"] = by_hand(mha, query, key, key)
    found["W_o is left out"] = (merged, right)
    found["the query is added to the output"] = (
        query + project(mha.W_o, merged),
        right,
    )
    return found


def gradients(output, mha, query, key, value):
    """The gradients of the inputs and parameters by name, for a fixed random weighting
    of the output.
    """
    learning = {"query": query, "key": key, "value": value} | dict(
        mha.named_parameters()
    )
    probe = torch.randn(
        output.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64
    )
    found = torch.autograd.grad(
        (output * probe).sum(), list(learning.values()), allow_unused=True
    )
    return dict(zip(learning, found, strict=True))


def check_gradients(got, expected):
    for name in expected:
        check.close(
            got[name], expected[name], rtol=1e-4, atol=1e-5, what=f"gradient of {name}"
        )


def random_weights(*shape):
    """Random attention weights: rows that sum to 1."""
    return torch.rand(shape).softmax(dim=-1)


def statistics_by_hand(weights):
    """The four statistics with plain Python numbers, row by row."""
    names = ("entropy", "mean_distance", "max_weight", "self_weight")
    totals = {name: [] for name in names}
    for head in weights.transpose(0, 1).double().tolist():
        rows = [(i, row) for batch in head for i, row in enumerate(batch) if any(row)]
        entropy = [-sum(w * math.log(w) for w in row if w) for _, row in rows]
        distance = [sum(w * abs(i - j) for j, w in enumerate(row)) for i, row in rows]
        largest = [max(row) for _, row in rows]
        own = [row[i] if i < len(row) else 0.0 for i, row in rows]
        for name, values in zip(names, (entropy, distance, largest, own), strict=True):
            totals[name].append(sum(values) / max(len(rows), 1))
    return {
        name: torch.tensor(values, dtype=torch.float64)
        for name, values in totals.items()
    }


def spoiled(kata, spoil):
    """A layer with a planted error: `spoil(output, weights)` writes to its results."""

    class Spoiled(kata.MultiHeadAttention):
        def forward(
            self,
            query,
            key=None,
            value=None,
            mask=None,
            key_padding_mask=None,
            need_weights=False,
        ):
            output, weights = super().forward(
                query, key, value, mask, key_padding_mask, need_weights=True
            )
            spoil(output, weights)
            return (output, weights) if need_weights else output

    return Spoiled(C, H)


@st.composite
def features_and_heads(draw):
    """x (B, T, H·D) of any small sizes, and H."""
    batch, positions, heads, width = (draw(st.integers(1, 3)) for _ in range(4))
    return torch.arange(batch * positions * heads * width).reshape(
        batch, positions, -1
    ).float(), heads


@st.composite
def mask_shapes(draw):
    """(S,), (T, S), (B, T, S) or (B, H, T, S), some of the sizes replaced by 1."""
    sizes = draw(st.sampled_from([(S,), (T, S), (B, T, S), SHAPE]))
    return tuple(draw(st.sampled_from([size, 1])) for size in sizes)


class TestSplitHeads:
    def test_heads_are_consecutive_feature_blocks(self, kata):
        """Head h of position t is a slice of that position's features. Reshaping
        straight to (B, H, T, D) has the right shape and the wrong numbers: it divides
        the positions among the heads.
        """
        x = torch.arange(B * T * C).reshape(B, T, C).float()
        expected = torch.stack(x.split(D, dim=-1), dim=1)
        dealt_out = x.reshape(B, T, D, H).permute(0, 3, 1, 2)
        unlike = {
            "reshaped to (B, H, T, D) without a transpose": x.reshape(B, H, T, D),
            (
                "features dealt out to the heads in turn: head 0 has features 0, H, "
                "2·H, …"
            ): dealt_out,
            (
                "cut into heads, but not transposed: the positions are still before "
                "the heads"
            ): x.reshape(B, T, H, D),
            "head size and number of heads are exchanged": torch.stack(
                x.split(H, dim=-1), dim=1
            ),
        }
        check.equal(kata.split_heads(x, H), expected, unlike=unlike)

    @given(case=features_and_heads())
    def test_any_number_of_heads_that_divides(self, kata, case):
        """One head keeps all features; as many heads as features have one each. No size
        is special, not even 1.
        """
        x, heads = case
        check.equal(
            kata.split_heads(x, heads), torch.stack(x.chunk(heads, dim=-1), dim=1)
        )

    def test_gradients_reach_x(self, kata):
        """Splitting is part of the model: the gradient of each head flows back to its
        slice of x.
        """
        x = torch.randn(B, T, C)
        check.gradients(
            lambda x: kata.split_heads(x, H),
            lambda x: torch.stack(x.split(D, -1), dim=1),
            x,
        )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """Positions and features are those of x as it is indexed, whatever order they
        have in memory.
        """
        x = torch.randn(B, C, T).mT
        check.equal(kata.split_heads(x, H), torch.stack(x.split(D, dim=-1), dim=1))

    @pytest.mark.edge
    def test_heads_must_divide_the_features(self, kata):
        """12 features cannot be shared by 5 heads. A message with both numbers shows
        the caller which is wrong.
        """
        with check.raises(ValueError, C, 5):
            kata.split_heads(torch.zeros(B, T, C), 5)

    @pytest.mark.edge
    def test_there_is_at_least_one_head(self, kata):
        """No heads at all, or −3 of them, is an error, although −3 divides 12 without
        a remainder.
        """
        for num_heads in (0, -3):
            with check.raises(ValueError):
                kata.split_heads(torch.zeros(B, T, C), num_heads)

    @pytest.mark.edge
    def test_x_must_be_three_dimensional(self, kata):
        """A 2-D or 4-D input is a mistake of the caller. Without an error, the wrong
        dimension would be cut.
        """
        for shape in ((T, C), (B, 1, T, C)):
            with check.raises(ValueError):
                kata.split_heads(torch.zeros(shape), H)


class TestMergeHeads:
    def test_heads_are_side_by_side_again(self, kata):
        """Position t gets the features of head 0, then those of head 1, and so on. The
        heads come from a matrix product here, contiguous in memory. They no longer are
        after a transpose, where `view` does not work.
        """
        x = torch.randn(B, H, T, D)
        expected = torch.cat([x[:, h] for h in range(H)], dim=-1)
        unlike = {
            "reshaped without moving the heads behind the positions": x.reshape(
                B, T, C
            ),
            (
                "the positions joined with the features: the heads were not moved "
                "behind them"
            ): x.flatten(2),
            "the features of the heads are interleaved": x.permute(0, 2, 3, 1).reshape(
                B, T, C
            ),
        }
        check.equal(kata.merge_heads(x), expected, unlike=unlike)

    @given(case=features_and_heads())
    def test_merging_undoes_splitting(self, kata, case):
        """Split heads are usually a transposed view. Merging gives back the tensor that
        they were cut from.
        """
        x, heads = case
        split = x.unflatten(-1, (heads, -1)).transpose(1, 2)
        check.equal(kata.merge_heads(split), x)

    def test_gradients_reach_every_head(self, kata):
        """The output layer behind the merge trains all the heads."""
        check.gradients(
            kata.merge_heads,
            lambda x: torch.cat(x.unbind(1), -1),
            torch.randn(B, H, T, D),
        )

    @pytest.mark.edge
    def test_x_must_be_four_dimensional(self, kata):
        """Anything but (B, H, T, D) is a mistake of the caller."""
        for shape in ((B, T, C), (B, H, T, D, 1)):
            with check.raises(ValueError):
                kata.merge_heads(torch.zeros(shape))


class TestPrepareMask:
    def test_no_mask_is_none(self, kata):
        """Without masks there is nothing to do, and None says so more cheaply than a
        tensor of True.
        """
        got = kata.prepare_mask(None, None, SHAPE)
        check.that(
            got is None,
            f"without masks the result should be None, not {check.describe(got)}",
        )

    @given(given=mask_shapes())
    def test_the_number_of_dimensions_says_what_a_mask_is(self, kata, given):
        """(S,), (T, S), (B, T, S) or (B, H, T, S), where any size may be 1. Expanded to
        (B, H, T, S), the result says that for every batch element, head, query and key.
        """
        mask = torch.rand(given, generator=torch.manual_seed(0)) > 0.5
        unlike = {"inverted: True means may attend": ~in_full(mask)}
        got = kata.prepare_mask(mask, None, SHAPE)
        check.equal(
            expanded(got),
            in_full(mask),
            unlike=unlike,
            what=f"a mask of shape {given}, expanded",
        )

    def test_a_3d_mask_is_per_batch_element_even_when_b_equals_h(self, kata):
        """With as many heads as batch elements, a mask per head fits as well, and no
        error tells. It still is one mask per batch element.
        """
        shape = (H, H, T, S)
        mask = torch.rand(H, T, S) > 0.5
        expected = torch.stack([mask] * H, dim=1)
        unlike = {
            "one mask per head instead of one per batch element": torch.stack(
                [mask] * H, dim=0
            )
        }
        check.equal(
            expanded(kata.prepare_mask(mask, None, shape), shape),
            expected,
            unlike=unlike,
        )

    def test_key_padding_hides_keys_not_queries(self, kata):
        """No query of any head may look at a padded token. Hiding the padded queries
        instead has the same shape when T = S, and leaves the padding visible.
        """
        shape = (B, H, S, S)
        real = torch.arange(S) < torch.tensor([[S - 3], [S - 1]])
        expected = real.reshape(B, 1, 1, S).expand(shape)
        unlike = {
            "the padded queries are hidden, not the padded keys": real.reshape(
                B, 1, S, 1
            ).expand(shape),
            "inverted: True means a real token": ~expected,
        }
        check.equal(
            expanded(kata.prepare_mask(None, real, shape), shape),
            expected,
            unlike=unlike,
        )

    def test_mask_and_key_padding_must_both_allow(self, kata):
        """A query may look at a key only if both masks let it: in a padded causal
        batch, at real tokens of the past.
        """
        real = torch.arange(S) < torch.tensor([[S - 3], [S - 1]])
        padding = real.reshape(B, 1, 1, S).expand(SHAPE)
        for shape in ((T, S), (B, T, S), (1, H, 1, S)):
            mask = torch.rand(shape) > 0.5
            alone = in_full(mask)
            unlike = {
                "or-ed: either mask is enough": alone | padding,
                "only the mask is used": alone,
                "only the key padding is used": padding,
                "True where the two masks agree": alone == padding,
            }
            got = kata.prepare_mask(mask, real, SHAPE)
            what = f"a mask of shape {shape} and key padding, expanded"
            check.equal(expanded(got), alone & padding, unlike=unlike, what=what)

    @pytest.mark.edge
    def test_the_masks_stay_as_they_were(self, kata):
        """Callers pass the same mask to the next layer. An in-place `&=` would change
        it for all of them.
        """
        for shape in (SHAPE, (B, T, S)):
            mask, real = torch.rand(shape) > 0.3, torch.rand(B, S) > 0.5
            with check.unchanged(mask=mask, key_padding_mask=real):
                kata.prepare_mask(mask, real, SHAPE)

    @pytest.mark.edge
    def test_a_mask_that_does_not_fit_is_an_error(self, kata):
        """The message shows the shape of the mask. (H, T, S) is the tempting one, but
        three dimensions are one mask per batch element.
        """
        for shape in (
            (T,),
            (S, T),
            (H, T, S),
            (B, T, T),
            (H, B, T, S),
            (B, H, T, S, 1),
        ):
            with check.raises(ValueError, ", ".join(map(str, shape))):
                kata.prepare_mask(torch.ones(shape, dtype=torch.bool), None, SHAPE)

    @pytest.mark.edge
    def test_a_mask_never_enlarges_the_scores(self, kata):
        """Plain broadcasting would turn one batch element and a mask for five into five
        batch elements, silently.
        """
        for given_shape, shape in (
            ((5, T, S), (1, H, T, S)),
            ((T, S), (B, H, 1, S)),
            ((S,), (B, H, T, 1)),
        ):
            with check.raises(ValueError, ", ".join(map(str, given_shape))):
                kata.prepare_mask(
                    torch.ones(given_shape, dtype=torch.bool), None, shape
                )

    @pytest.mark.edge
    def test_key_padding_must_be_exactly_batch_by_keys(self, kata):
        """There is one row per batch element. A (1, S) mask that is broadcast to all of
        them is a forgotten batch.
        """
        for shape in ((1, S), (B, T), (S,), (B, 1, S)):
            with check.raises(ValueError, ", ".join(map(str, shape))):
                kata.prepare_mask(None, torch.ones(shape, dtype=torch.bool), SHAPE)

    @pytest.mark.edge
    def test_masks_must_be_bool(self, kata):
        """A float mask may hold 0 and −inf, or 0 and 1: nobody can tell what it means.
        The message names its dtype.
        """
        with check.raises(TypeError, "float32"):
            kata.prepare_mask(torch.ones(T, S), None, SHAPE)
        with check.raises(TypeError, "int64"):
            kata.prepare_mask(
                torch.ones(T, S, dtype=torch.bool),
                torch.ones(B, S, dtype=torch.int64),
                SHAPE,
            )


class TestMultiHeadAttentionInit:
    def test_four_linear_layers_and_nothing_else(self, kata):
        """W_q, W_k, W_v and W_o are the only parameters. A layer in a plain list is
        neither trained nor saved, a shared one is trained twice, and an extra parameter
        breaks every checkpoint.
        """
        for bias, kinds in ((True, ("weight", "bias")), (False, ("weight",))):
            mha = kata.MultiHeadAttention(C, H, bias=bias)
            names = {f"{name}.{kind}" for name in WEIGHTS for kind in kinds}
            got = set(mha.state_dict())
            plain = [
                name
                for name in WEIGHTS
                if isinstance(getattr(mha, name, None), (list, tuple, dict))
            ]
            check.that(
                not plain,
                f"{', '.join(plain)} in a plain list: nn.Module registers no layers "
                "in it",
            )
            lacks, beside = (
                ", ".join(sorted(names - got)),
                ", ".join(sorted(got - names)),
            )
            check.that(not lacks, f"bias={bias}: the state_dict lacks {lacks}")
            check.that(not beside, f"bias={bias}: the state_dict has {beside} too many")
            numbers = sum(parameter.numel() for parameter in mha.parameters())
            wanted = 4 * C * (C + bias)
            check.that(
                numbers == wanted,
                f"bias={bias}: {numbers} numbers are trained, expected {wanted}",
            )
            layers = [getattr(mha, name) for name in WEIGHTS]
            linear = all(isinstance(layer, nn.Linear) for layer in layers)
            check.that(
                linear,
                "W_q, W_k, W_v and W_o should be nn.Linear, not "
                f"{[type(x).__name__ for x in layers]}",
            )

    def test_it_has_a_bias_by_default(self, kata):
        """bias=True is the default, as in `nn.Linear`."""
        check.that(
            kata.MultiHeadAttention(C, H).W_q.bias is not None, "W_q has no bias"
        )

    def test_sizes_are_plain_attributes(self, kata):
        """d_k is the width of one head: 12 features for 3 heads are 4 each, and one
        head has them all.
        """
        for num_heads, width in ((H, D), (1, C), (C, 1)):
            mha = kata.MultiHeadAttention(C, num_heads)
            expected = {"d_model": C, "num_heads": num_heads, "d_k": width}
            check.equal(
                {name: getattr(mha, name) for name in expected},
                expected,
                what="attributes",
            )

    def test_dropout_is_a_module_and_off_by_default(self, kata):
        """An `nn.Dropout` follows train() and eval() by itself. Its probability is 0
        by default.
        """
        check.that(
            isinstance(kata.MultiHeadAttention(C, H).dropout, nn.Dropout),
            "mha.dropout should be an nn.Dropout",
        )
        default, given_one = (
            kata.MultiHeadAttention(C, H),
            kata.MultiHeadAttention(C, H, dropout=0.25),
        )
        probabilities = {
            "default": default.dropout.p,
            "dropout=0.25": given_one.dropout.p,
        }
        check.equal(
            probabilities, {"default": 0.0, "dropout=0.25": 0.25}, what="mha.dropout.p"
        )

    @pytest.mark.edge
    def test_heads_must_divide_d_model(self, kata):
        """10 features for 3 heads, no heads or −2 of them: an error now is easier to
        read than one in the first batch.
        """
        for d_model, num_heads in ((10, 3), (C, 0), (C, -2)):
            with check.raises(ValueError):
                kata.MultiHeadAttention(d_model, num_heads)

    @pytest.mark.edge
    def test_dropout_must_be_a_probability(self, kata):
        """It is between 0 and 1."""
        for dropout in (1.5, -0.1):
            with check.raises(ValueError):
                kata.MultiHeadAttention(C, H, dropout=dropout)


class TestMultiHeadAttentionForward:
    def test_output_and_weights_have_their_shapes(self, kata):
        """The output has the shape of the query. The weights, if asked for, are one
        (T, S) map per head. All this is to be written without PyTorch's finished layer.
        """
        query, key, value = three_inputs()
        with check.forbidden(kata, *FINISHED):
            mha = kata.MultiHeadAttention(C, H)
            output, both = (
                mha(query, key, value),
                mha(query, key, value, need_weights=True),
            )
        check.shape(output, (B, T, C), what="the output alone")
        pair = isinstance(both, tuple) and len(both) == 2
        check.that(
            pair,
            "need_weights=True should return (output, weights), not "
            f"{check.describe(both)}",
        )
        check.shape(both[0], (B, T, C), what="the output")
        check.shape(both[1], SHAPE, what="the weights")

    def test_forward_matches_a_per_head_loop(self, kata):
        """Each head is softmax(q kᵀ / √d_k) v on its own slice of the three
        projections. The softmax runs over the keys, and W_o mixes the merged heads.
        """
        for bias in (True, False):
            mha = layer(kata, bias=bias)
            query, key, value = three_inputs()
            expected, unlike = (
                by_hand(mha, query, key, value),
                slips(mha, query, key, value),
            )
            got = mha(query, key, value, need_weights=True)
            check.close(
                got, expected, unlike=unlike, what=f"(output, weights) with bias={bias}"
            )
            check.close(
                mha(query, key, value),
                expected[0],
                what=f"the output alone with bias={bias}",
            )

    def test_gradients_match_a_per_head_loop(self, kata):
        """Query, key, value and all eight parameters learn. A `detach`, `.data` or
        `no_grad` on the way cuts one off.
        """
        mha = layer(kata).double()
        inputs = three_inputs(dtype=torch.float64, requires_grad=True)
        expected = gradients(by_hand(mha, *inputs)[0], mha, *inputs)
        check_gradients(gradients(mha(*inputs), mha, *inputs), expected)

    def test_the_key_defaults_to_the_query_and_the_value_to_the_key(self, kata):
        """In cross-attention, values are read where the keys were found. With as many
        keys as queries, a value that defaults to the query raises no error and gives
        wrong numbers.
        """
        mha = layer(kata)
        query, key, value = three_inputs(keys=T)
        of_itself = by_hand(mha, query, query, query)[0]
        check.close(mha(query), of_itself, what="query alone: the output")
        unlike = {
            "the value defaults to the query": by_hand(mha, query, key, query)[0],
            "the key is ignored": of_itself,
        }
        check.close(
            mha(query, key),
            by_hand(mha, query, key, key)[0],
            unlike=unlike,
            what="query and key: the output",
        )
        unlike = {"the given value is ignored": of_itself}
        expected = by_hand(mha, query, query, value)[0]
        check.close(
            mha(query, value=value),
            expected,
            unlike=unlike,
            what="query and value: the output",
        )

    def test_true_means_may_attend(self, kata):
        """Masked keys get weight 0, and the allowed ones share a weight of 1. Hiding
        keys after the softmax leaves rows that sum to less.
        """
        mha = layer(kata)
        query, key, value = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[..., 1] = False
        free = by_hand(mha, query, key, value)[1]
        unlike = {
            "the mask is inverted: True means may attend": by_hand(
                mha, query, key, value, ~allowed
            )[1],
            "masked after the softmax: the allowed weights no longer sum to 1": free
            * allowed,
            "the mask is ignored": free,
        }
        expected, weights = by_hand(mha, query, key, value, allowed)
        output, got = mha(query, key, value, mask=allowed, need_weights=True)
        check.close(got, weights, unlike=unlike, what="the weights")
        check.close(output, expected, what="the output")
        check.close(
            mha(query, key, value, mask=allowed),
            expected,
            what="the output, without asking for the weights",
        )

    def test_every_kind_of_mask_reaches_its_heads(self, kata):
        """A weight is positive exactly where the masks let that query of that head look
        at that key.
        """
        mha = layer(kata)
        query, key, _ = three_inputs()
        padded = some_of(B, S)
        padding = padded.reshape(B, 1, 1, S).expand(SHAPE)
        for shape in ((S,), (T, S), (B, T, S), SHAPE):
            mask = some_of(*shape)
            allowed = in_full(mask)
            exchanged = {
                "batch and heads are exchanged": allowed.transpose(0, 1).reshape(SHAPE)
            }
            weights = mha(query, key, mask=mask, need_weights=True)[1]
            check.equal(
                weights > 0,
                allowed,
                unlike=exchanged,
                what=f"weights > 0 for a mask of shape {shape}",
            )
            weights = mha(
                query, key, mask=mask, key_padding_mask=padded, need_weights=True
            )[1]
            unlike = {
                "only the mask is used": allowed,
                "only the key padding is used": padding,
            }
            what = f"weights > 0 for a mask of shape {shape} and key padding"
            check.equal(weights > 0, allowed & padding, unlike=unlike, what=what)

    @given(lengths=st.lists(st.integers(1, T), min_size=1, max_size=3))
    def test_padding_changes_nothing(self, kata, lengths):
        """A sequence gives the same output alone and in a padded batch, whatever the
        padding holds.
        """
        mha = layer(kata)
        batch = torch.randn(len(lengths), max(lengths), C)
        real = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
        outputs, visible = mha(batch, key_padding_mask=real), mha(batch)
        for b, length in enumerate(lengths):
            alone = mha(batch[b : b + 1, :length])[0]
            unlike = {"the real tokens see the padding": visible[b, :length]}
            what = (
                f"the output for the {length} tokens of sequence {b}, padded to "
                f"{max(lengths)}"
            )
            check.close(outputs[b, :length], alone, unlike=unlike, what=what)

    def test_dropout_of_everything_leaves_the_bias(self, kata):
        """With p = 1 every weight is dropped in training mode. No head finds anything,
        and the bias of W_o is left. In eval mode nothing is dropped.
        """
        mha = layer(kata, dropout=1.0)
        query, key, value = three_inputs()
        free = by_hand(mha, query, key, value)[0]
        mean = project(mha.W_o, project(mha.W_v, value).mean(1, keepdim=True)).expand(
            B, T, C
        )
        unlike = {
            "dropout on the output of the layer": torch.zeros(B, T, C),
            "no dropout in training mode": free,
            "dropout on the scores, before the softmax": mean,
        }
        bias = mha.W_o.bias.expand(B, T, C)
        check.close(
            mha(query, key, value),
            bias,
            unlike=unlike,
            what="the output in training mode",
        )
        unlike = {"dropout in eval mode, too": bias}
        check.close(
            mha.eval()(query, key, value),
            free,
            unlike=unlike,
            what="the output in eval mode",
        )

    def test_dropout_drops_whole_weights(self, kata):
        """With one key, and W_v and W_o that change nothing, a head returns 1 times the
        value. With p = 0.5 in training mode that is 0 or 2 times. All features of a
        head share one weight, so they are dropped together.
        """
        mha = kata.MultiHeadAttention(C, H, dropout=0.5)
        with torch.no_grad():
            for name in ("W_v", "W_o"):
                getattr(mha, name).weight.copy_(torch.eye(C))
                getattr(mha, name).bias.zero_()
        heads = mha(torch.randn(16, T, C), torch.ones(16, 1, C)).reshape(16, T, H, D)
        values = tuple(heads.unique().tolist())
        causes = {
            (1.0,): "no dropout acts on the weights",
            (0.0, 1.0): "the kept weights are not divided by 1 − p",
        }
        said = f"{list(values[:6])}{': ' * (values in causes)}{causes.get(values, '')}"
        check.that(
            values == (0.0, 2.0),
            f"the outputs should be 0 and 2 and nothing else, they are {said}",
        )
        first = heads[..., :1].expand_as(heads)
        check.equal(
            heads, first, what="the features of a head, which are dropped together"
        )

    @pytest.mark.edge
    def test_returned_weights_are_before_dropout(self, kata):
        """The weights are returned to be looked at. In training mode, too, each row
        sums to 1 and no weight is lost.
        """
        mha = layer(kata, dropout=0.5)
        query, key, value = three_inputs()
        expected = by_hand(mha, query, key, value)[1]
        check.close(
            mha(query, key, value, need_weights=True)[1],
            expected,
            what="the weights in training mode",
        )

    @pytest.mark.edge
    def test_a_fully_masked_row_has_zero_weights(self, kata):
        """A query that may look nowhere reads nothing: its output is the bias of W_o. A
        softmax over −inf alone is NaN. Over a finite fill it is uniform: the mean of
        everything that was to be hidden.
        """
        query, key, value = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        unlike = {
            "uniform over the masked keys": torch.full((H, S), 1 / S),
            "a softmax over −inf alone, which is NaN": torch.full((H, S), math.nan),
        }
        for bias in (True, False):
            mha = layer(kata, bias=bias)
            expected = mha.W_o.bias if bias else torch.zeros(C)
            output, weights = mha(query, key, value, mask=allowed, need_weights=True)
            check.close(
                weights[1, :, 2],
                torch.zeros(H, S),
                unlike=unlike,
                what="the weights of the masked row",
            )
            check.close(
                output[1, 2],
                expected,
                what=f"the output of the masked row, bias={bias}",
            )
            output = mha(query, key, value, mask=allowed)
            check.close(
                output[1, 2],
                expected,
                what=f"the output of the masked row, bias={bias}, without weights",
            )

    @pytest.mark.edge
    def test_gradients_stay_finite_with_a_fully_masked_row(self, kata):
        """One NaN in the backward pass of one row reaches every parameter. Repairing
        the row after the softmax may be too late, because its gradient is NaN already.
        The other rows learn as if that row were not there.
        """
        mha = layer(kata).double()
        inputs = three_inputs(dtype=torch.float64, requires_grad=True)
        allowed = some_of(T, S)
        allowed[2] = False
        expected = gradients(by_hand(mha, *inputs, allowed)[0], mha, *inputs)
        check_gradients(gradients(mha(*inputs, mask=allowed), mha, *inputs), expected)

    @pytest.mark.edge
    def test_masked_contents_of_ten_thousand_do_not_matter(self, kata):
        """Padding may hold anything. A penalty of −1e4 that is added to the scores does
        not outweigh a key of 1e4.
        """
        mha = layer(kata)
        query, key, value = three_inputs()
        real = torch.arange(S) < torch.tensor([[S - 2], [S - 3]])
        expected = by_hand(mha, query, key, value, real.reshape(B, 1, 1, S))[0]
        for content in (1e4, -1e4):
            key, value = (
                x.masked_fill(~real.unsqueeze(-1), content) for x in (key, value)
            )
            check.close(
                mha(query, key, value, key_padding_mask=real),
                expected,
                what=f"with {content:g} as padding",
            )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """exp(800) is infinite, in float64 too; a softmax subtracts the largest score
        first. And where the allowed score is −40,000, a masked key at −1e4 would take
        all the weight.
        """
        mha = layer(kata).double()
        query, key, value = three_inputs(dtype=torch.float64)
        query, key, first = 200 * query, 200 * key, torch.arange(S) < 1
        for mask in (None, first):
            expected = by_hand(mha, query, key, value, mask)[0]
            name = (
                "the output without a mask"
                if mask is None
                else "the output where only key 0 is allowed"
            )
            check.close(
                mha(query, key, value, mask), expected, rtol=0.01, atol=0.01, what=name
            )

    @pytest.mark.edge
    def test_calls_leave_nothing_behind(self, kata):
        """A mask, a key or a size kept on the layer from one call would change the next
        one. The arguments stay as they were, too.
        """
        query, key, value = three_inputs()
        mask, real = some_of(B, 1, T, S), some_of(B, S)
        for options in check.modes(bias=[False]):
            mha = layer(kata, **options)
            first = mha(query, key)
            with check.unchanged(
                query=query, key=key, value=value, mask=mask, key_padding_mask=real
            ):
                mha(query, key, value, mask, real)
                mha(query, key, value, mask)
            mha(query[:1, :2])
            check.close(
                mha(query, key),
                first,
                what=f"the same call before and after others, with {options}",
            )

    @pytest.mark.edge
    def test_a_checkpoint_fits_a_fresh_layer(self, kata):
        """The state_dict holds everything there is to know about a layer. A fresh one
        that loads it gives the same output, also if it has been called before with
        other weights.
        """
        mha, fresh = layer(kata), kata.MultiHeadAttention(C, H)
        query = torch.randn(B, T, C)
        fresh(query)
        fresh.load_state_dict(mha.state_dict())
        check.close(fresh(query), mha(query))

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("dtype", "tolerance"),
        [(torch.float64, 1e-5), (torch.float16, 0.01), (torch.bfloat16, 0.08)],
        ids=str,
    )
    def test_every_dtype_comes_back_as_itself(self, kata, dtype, tolerance):
        """A half-precision model stays one. Weights that come back in float32 double
        the memory, and −1e9 is more than float16 can hold.
        """
        mha = layer(kata)
        inputs = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        expected, free = by_hand(mha, *inputs, allowed), by_hand(mha, *inputs)[0]
        mha, inputs = mha.to(dtype), [x.to(dtype) for x in inputs]
        output, weights = mha(*inputs, mask=allowed, need_weights=True)
        check.dtype(output, dtype, what="the output")
        check.dtype(weights, dtype, what="the weights")
        unlike = without_keys(expected)
        what = "(output, weights)"
        check.close(
            (output, weights),
            expected,
            unlike=unlike,
            what=what,
            atol=tolerance,
            rtol=tolerance,
        )
        check.close(
            mha(*inputs),
            free,
            what="the output without a mask",
            atol=tolerance,
            rtol=tolerance,
        )

    @pytest.mark.edge
    def test_cpu_autocast_stays_near_float32(self, kata):
        """Under autocast the scores are bfloat16 while the query is float32. The
        smallest float32 does not fit into them.
        """
        mha = layer(kata)
        inputs = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        expected = by_hand(mha, *inputs, allowed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output, weights = mha(*inputs, mask=allowed, need_weights=True)
        unlike = without_keys(expected)
        check.close(
            (output, weights),
            expected,
            unlike=unlike,
            what="(output, weights)",
            atol=0.08,
            rtol=0.08,
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """The layer creates all tensors on the device of its input."""
        mha = layer(kata).cuda()
        query, key, value = (x.cuda() for x in three_inputs())
        mask, real = some_of(T, S).cuda(), some_of(B, S).cuda()
        expected = by_hand(mha, query, key, value, mask & real.reshape(B, 1, 1, S))
        output, weights = mha(query, key, value, mask, real, need_weights=True)
        check.that(
            output.device == query.device,
            f"the output is on {output.device}, the query on {query.device}",
        )
        check.close(
            (output, weights), expected, what="(output, weights)", rtol=1e-2, atol=1e-2
        )

    @pytest.mark.edge
    @pytest.mark.amp
    def test_gpu_autocast_stays_near_float32(self, kata):
        """In float16 on the GPU as in bfloat16 on the CPU: everything is finite, a
        fully masked row included.
        """
        mha = layer(kata).cuda()
        inputs = [x.cuda() for x in three_inputs()]
        allowed = some_of(B, 1, T, S).cuda()
        allowed[1, 0, 2] = False
        expected = by_hand(mha, *inputs, allowed)
        with torch.autocast("cuda", dtype=torch.float16):
            output, weights = mha(*inputs, mask=allowed, need_weights=True)
        check.close(output, expected[0], atol=0.05, rtol=0.05, what="the output")
        check.close(weights, expected[1], atol=0.05, rtol=0.05, what="the weights")

    @pytest.mark.edge
    def test_query_must_be_d_model_wide(self, kata):
        """A message with both widths, the given and the wanted one, shows the caller
        which of them is wrong.
        """
        for width in (10, 15):
            with check.raises(ValueError, C, width):
                kata.MultiHeadAttention(C, H)(torch.randn(B, T, width))

    @pytest.mark.edge
    def test_bad_masks_are_refused(self, kata):
        """The layer is as strict as `prepare_mask`: nothing is broadcast silently."""
        mha = kata.MultiHeadAttention(C, H)
        query, key, _ = three_inputs()
        with check.raises(TypeError):
            mha(query, key, mask=torch.zeros(T, S))
        with check.raises(ValueError):
            mha(query, key, mask=torch.ones(H, T, S, dtype=torch.bool))
        with check.raises(ValueError):
            mha(query, key, key_padding_mask=torch.ones(1, S, dtype=torch.bool))


class TestAttentionPatterns:
    def test_the_weights_of_a_call(self, kata):
        """There is one map per head, for a call with this key and these masks."""
        mha = layer(kata)
        query, key, _ = three_inputs()
        mask, real = some_of(T, S), some_of(B, S)
        unlike = {
            "the mask is not passed on": mha(
                query, key, key_padding_mask=real, need_weights=True
            )[1],
            "the key padding is not passed on": mha(
                query, key, mask=mask, need_weights=True
            )[1],
        }
        expected = mha(query, key, mask=mask, key_padding_mask=real, need_weights=True)[
            1
        ]
        check.close(
            kata.attention_patterns(mha, query, key, mask, real),
            expected,
            unlike=unlike,
        )

    def test_the_weights_carry_no_graph(self, kata):
        """They are for plotting. A graph would keep the whole forward pass in memory,
        and `.numpy()` would fail.
        """
        got = kata.attention_patterns(
            layer(kata), torch.randn(B, T, C, requires_grad=True)
        )
        check.that(not got.requires_grad, "the weights still have requires_grad=True")

    def test_computed_in_eval_mode(self, kata):
        """No dropout is drawn: looking at a model in the middle of training must not
        change its random numbers.
        """
        mha, query = layer(kata, dropout=0.5), torch.randn(B, T, C)
        before = torch.get_rng_state()
        kata.attention_patterns(mha, query)
        check.that(
            torch.equal(torch.get_rng_state(), before),
            "random numbers were drawn: the dropout is still on",
        )

    @pytest.mark.edge
    def test_the_training_flag_is_put_back(self, kata):
        """A model in training goes on training, and one in eval mode stays there; its
        dropout layer likewise.
        """
        mha = layer(kata)
        for training in (True, False):
            mha.train(training)
            kata.attention_patterns(mha, torch.randn(B, T, C))
            flags = {"mha": mha.training, "mha.dropout": mha.dropout.training}
            check.equal(
                flags,
                {"mha": training, "mha.dropout": training},
                what="training flags after the call",
            )

    @pytest.mark.edge
    def test_the_training_flag_is_put_back_after_an_error(self, kata):
        """A call with a query of the wrong width raises. It must not leave the model in
        eval mode for the rest of the run.
        """
        mha = layer(kata)
        with check.raises(ValueError):
            kata.attention_patterns(mha, torch.randn(B, T, 10))
        check.that(
            mha.training,
            "the layer was in training mode and is in eval mode after the error",
        )

    @pytest.mark.edge
    def test_gradients_in_progress_stay(self, kata):
        """Between backward() and step(), `.grad` holds gradients that are still needed.
        Leave them as they are.
        """
        mha, query = layer(kata), torch.randn(B, T, C, requires_grad=True)
        mha(query).sum().backward()
        with check.unchanged(
            query=query,
            **{name.replace(".", "_"): p for name, p in mha.named_parameters()},
        ):
            kata.attention_patterns(mha, query)


@pytest.mark.stretch
class TestHeadStatistics:
    def test_matches_a_plain_loop(self, kata):
        """Four numbers per head, each computed row by row and then averaged over
        all rows.
        """
        weights = random_weights(*SHAPE)
        expected = statistics_by_hand(weights)
        offset = torch.arange(T)[:, None] - torch.arange(S)
        to_largest = (weights.argmax(3) - torch.arange(T)).abs().double()
        unlike = {
            "in bits: nats need the natural logarithm": {
                "entropy": expected["entropy"] / math.log(2)
            },
            "the sign is left in: a distance has none": {
                "mean_distance": (weights * offset).sum(3).mean((0, 2))
            },
            "squared distances": {
                "mean_distance": (weights * offset**2).sum(3).mean((0, 2))
            },
            "the maximum over all rows": {"max_weight": weights.amax((0, 2, 3))},
            "the maximum over the queries, not over the keys": {
                "max_weight": weights.amax(2).mean((0, 2))
            },
            "the place of the largest weight": {
                "max_weight": weights.argmax(3).double().mean((0, 2))
            },
            "the distance to the key of the largest weight alone": {
                "mean_distance": to_largest.mean((0, 2))
            },
            "one number for all heads": {
                name: value.mean().expand(H) for name, value in expected.items()
            },
        }
        check.close(
            kata.head_statistics(weights), expected, unlike=unlike, what="statistics"
        )
        row = weights[:1, :, :1]
        check.close(
            kata.head_statistics(row),
            statistics_by_hand(row),
            what="statistics of one query",
        )

    def test_zero_weights_have_no_entropy(self, kata):
        """0 · ln 0 counts as 0, its limit. Computed literally it is NaN, and a mask
        makes many zeros.
        """
        one_hot = torch.eye(T).expand(B, H, T, T)
        half = 0.5 * one_hot + 0.5 * one_hot.roll(1, dims=-1)
        expected = torch.tensor([0.0, math.log(2)])
        got = torch.stack(
            [kata.head_statistics(weights)["entropy"][0] for weights in (one_hot, half)]
        )
        check.close(got, expected, what="entropy of one key, and of two equal ones")

    @pytest.mark.edge
    def test_fully_masked_rows_are_left_out(self, kata):
        """Rows of all zeros are no attention at all. They do not count, so the average
        is over fewer rows, of all batch elements together.
        """
        weights = random_weights(*SHAPE)
        weights[0, 1, 2:4] = 0.0
        expected = statistics_by_hand(weights)
        counted = {
            name: value * torch.tensor([1.0, 0.8, 1.0])
            for name, value in expected.items()
        }
        halves = [statistics_by_hand(weights[b : b + 1]) for b in range(B)]
        means = {
            name: torch.stack([half[name] for half in halves]).mean(0)
            for name in expected
        }
        unlike = {
            "the rows of all zeros are counted": counted,
            "averaged over each batch element first": means,
        }
        check.close(
            kata.head_statistics(weights), expected, unlike=unlike, what="statistics"
        )

    @pytest.mark.edge
    def test_queries_beyond_the_keys_have_no_self(self, kata):
        """With more queries than keys, query i ≥ S has no key of its own. Its self
        weight is 0, and it counts in the average.
        """
        weights = random_weights(B, H, S, T)
        check.close(
            kata.head_statistics(weights),
            statistics_by_hand(weights),
            what="statistics",
        )

    @pytest.mark.edge
    def test_a_head_without_a_live_row_is_zero(self, kata):
        """An average over no rows is 0.0 by convention, not NaN. Over one row it is the
        value of that row.
        """
        weights = random_weights(*SHAPE)
        weights[:, 2] = 0.0
        weights[0, 1] = weights[1, 1, 1:] = 0.0  # head 1 has one row left
        check.close(
            kata.head_statistics(weights),
            statistics_by_hand(weights),
            what="statistics",
        )

    @pytest.mark.edge
    def test_half_precision_is_summed_in_float32(self, kata):
        """bfloat16 keeps two to three digits. Statistics computed in it are off by up
        to a hundredth.
        """
        weights = torch.zeros(1, 2, 3, 300, dtype=torch.bfloat16)
        weights[:, 0, :, 253:290] = 1 / 37
        weights[:, 1, :, 281:290] = 1 / 9
        expected = statistics_by_hand(weights)
        got = kata.head_statistics(weights)
        check.close(got, expected, rtol=1e-3, what="statistics")
        for name in expected:
            check.dtype(got[name], torch.float32, what=name)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Positions to compare with are created on the device of the weights."""
        weights = random_weights(*SHAPE)
        check.close(
            kata.head_statistics(weights.cuda()),
            statistics_by_hand(weights),
            what="statistics",
        )


@pytest.mark.stretch
class TestToTorchMha:
    def test_it_is_pytorchs_layer_with_the_same_sizes(self, kata):
        """Batch first, the same number of heads, and a bias only if the layer
        has one.
        """
        for bias in (True, False):
            theirs = kata.to_torch_mha(kata.MultiHeadAttention(C, H, bias=bias))
            check.that(
                isinstance(theirs, nn.MultiheadAttention),
                f"expected nn.MultiheadAttention, got {type(theirs)}",
            )
            expected = {"embed_dim": C, "num_heads": H, "batch_first": True}
            got = {name: getattr(theirs, name) for name in expected}
            check.equal(
                got | {"bias": theirs.in_proj_bias is not None},
                expected | {"bias": bias},
                what="settings",
            )

    def test_projections_are_stacked_query_key_value(self, kata):
        """PyTorch keeps the three input projections in one (3·C, C) matrix: queries on
        top, then keys, then values.
        """
        mha = layer(kata)
        q, k, v = mha.W_q, mha.W_k, mha.W_v
        theirs = kata.to_torch_mha(mha)
        orders = {
            "W_k, W_q, W_v": (k, q, v),
            "W_q, W_v, W_k": (q, v, k),
            "W_k, W_v, W_q": (k, v, q),
        }
        unlike = {
            f"stacked as {name}": torch.cat([x.weight for x in order])
            for name, order in orders.items()
        }
        unlike["transposed before stacking"] = torch.cat(
            [x.weight.mT for x in (q, k, v)]
        )
        expected = torch.cat([x.weight for x in (q, k, v)])
        check.equal(
            theirs.in_proj_weight, expected, unlike=unlike, what="in_proj_weight"
        )
        check.equal(
            theirs.in_proj_bias,
            torch.cat([x.bias for x in (q, k, v)]),
            what="in_proj_bias",
        )
        check.equal(theirs.out_proj.weight, mha.W_o.weight, what="out_proj.weight")
        check.equal(theirs.out_proj.bias, mha.W_o.bias, what="out_proj.bias")

    def test_the_two_layers_give_the_same_output(self, kata):
        """With the same weights, heads and bias the two layers are one function."""
        for bias in (True, False):
            mha = layer(kata, bias=bias)
            query, key, value = three_inputs()
            expected = by_hand(mha, query, key, value)
            theirs = kata.to_torch_mha(mha)
            got = theirs(query, key, value, average_attn_weights=False)
            check.close(got, expected, what=f"(output, weights) with bias={bias}")

    @pytest.mark.edge
    def test_dropout_and_mode_are_carried_over(self, kata):
        """A layer that drops weights while it trains gets a copy that does the same."""
        for training, dropout in ((True, 0.25), (False, 0.0)):
            theirs = kata.to_torch_mha(
                kata.MultiHeadAttention(C, H, dropout=dropout).train(training)
            )
            expected = {"dropout": dropout, "training": training}
            check.equal(
                {name: getattr(theirs, name) for name in expected},
                expected,
                what="settings",
            )

    @pytest.mark.edge
    def test_dtype_and_device_are_carried_over(self, kata):
        """A float64 layer gets a float64 copy without rounding, and a layer on another
        device a copy there. ("meta" is a device without data that every computer has.)
        """
        mha = layer(kata).double()
        check.equal(
            kata.to_torch_mha(mha).out_proj.weight,
            mha.W_o.weight,
            what="out_proj.weight in float64",
        )
        theirs = kata.to_torch_mha(kata.MultiHeadAttention(C, H).to("meta"))
        devices = {
            name: str(parameter.device) for name, parameter in theirs.named_parameters()
        }
        check.equal(devices, dict.fromkeys(devices, "meta"), what="devices")

    @pytest.mark.edge
    def test_the_weights_are_copies(self, kata):
        """Training one of the two must not change the other."""
        mha = layer(kata)
        theirs = kata.to_torch_mha(mha)
        before = [parameter.detach().clone() for parameter in theirs.parameters()]
        with torch.no_grad():
            for parameter in mha.parameters():
                parameter.add_(1.0)
        for (name, parameter), value in zip(
            theirs.named_parameters(), before, strict=True
        ):
            check.equal(parameter, value, what=f"{name} after the first layer changed")

    @pytest.mark.edge
    def test_its_parameters_are_trainable_leaves(self, kata):
        """An optimiser takes leaves only: a parameter that is part of the graph of the
        copy cannot be trained. The copy of a frozen layer is trainable as well.
        """
        mha = layer(kata).requires_grad_(False)
        for name, parameter in kata.to_torch_mha(mha).named_parameters():
            trainable = parameter.is_leaf and parameter.requires_grad
            check.that(
                trainable,
                f"{name}: is_leaf={parameter.is_leaf}, "
                f"requires_grad={parameter.requires_grad}",
            )


@pytest.mark.stretch
class TestCompareWithTorch:
    def test_tiny_for_every_kind_of_mask(self, kata):
        """Only rounding may differ, whichever mask both layers get. PyTorch's True
        means blocked, and its 3-D mask is (B·H, T, S).
        """
        mha = layer(kata)
        query, key, value = three_inputs()
        for name, mask, real in (
            ("no mask", None, None),
            ("a (T, S) mask", some_of(T, S), None),
            ("a (B, T, S) mask", some_of(B, T, S), None),
            ("a (B, H, T, S) mask", some_of(*SHAPE), None),
            ("a (T, S) mask and key padding", some_of(T, S), some_of(B, S)),
        ):
            got = kata.compare_with_torch(mha, query, key, value, mask, real)
            unlike = {
                "every key is blocked: PyTorch's True means that": {
                    "output": math.nan,
                    "weights": math.nan,
                }
            }
            expected, what = {"output": 0.0, "weights": 0.0}, f"differences with {name}"
            check.close(got, expected, atol=1e-5, unlike=unlike, what=what)

    def test_keys_and_values_default_as_in_the_layer(self, kata):
        """Without a key both layers attend to the query. Without a value both read
        the key.
        """
        mha = layer(kata)
        query, key, _ = three_inputs()
        for arguments in ((query,), (query, key)):
            got = kata.compare_with_torch(mha, *arguments)
            what = f"differences with {len(arguments)} inputs"
            check.close(got, {"output": 0.0, "weights": 0.0}, atol=1e-5, what=what)

    def test_both_are_compared_in_eval_mode(self, kata):
        """With dropout on, two equal layers differ at random."""
        got = kata.compare_with_torch(layer(kata, dropout=0.5), *three_inputs())
        check.close(
            got,
            {"output": 0.0, "weights": 0.0},
            atol=1e-5,
            what="differences with dropout=0.5",
        )

    def test_reports_a_wrong_output(self, kata):
        """A comparison that never finds anything proves nothing. Here one number of the
        output is 0.5 too small.
        """
        mha = spoiled(kata, lambda output, weights: output[1, 2, 3].sub_(0.5))
        got = kata.compare_with_torch(mha, *three_inputs())
        check.close(got, {"output": 0.5, "weights": 0.0}, atol=1e-5, what="differences")

    def test_reports_wrong_weights_of_one_head(self, kata):
        """An error in one head is reported in full. Averaged over the heads, two
        opposite errors would cancel.
        """
        mha = spoiled(
            kata,
            lambda output, weights: (
                weights[1, 0, 2, 3].add_(0.25),
                weights[1, 1, 2, 3].sub_(0.25),
            ),
        )
        got = kata.compare_with_torch(mha, *three_inputs())
        unlike = {"averaged over the heads": {"weights": 0.0}}
        check.close(
            got,
            {"output": 0.0, "weights": 0.25},
            atol=1e-5,
            unlike=unlike,
            what="differences",
        )

    @pytest.mark.edge
    def test_fully_masked_rows_are_left_out(self, kata):
        """PyTorch returns NaN there. Output row (b, t) is left out if any of its heads
        is fully masked. Of the weights, only the rows of that head are left out, and
        those of the other heads are compared.
        """
        allowed = some_of(*SHAPE)
        allowed[1, 0, 2] = False

        def spoil(output, weights):
            output[1, 2] += 0.5
            output[0, 0] += 0.25
            weights[1, 0, 2] += 0.5
            weights[1, 1, 2] += 0.125

        got = kata.compare_with_torch(
            spoiled(kata, spoil), *three_inputs(), mask=allowed
        )
        unlike = {
            "the other heads of that query were left out as well": {"weights": 0.0},
            "everything was left out": {"output": 0.0},
            "the dead row was compared": {"output": 0.5, "weights": 0.5},
        }
        check.close(
            got,
            {"output": 0.25, "weights": 0.125},
            atol=1e-5,
            unlike=unlike,
            what="differences",
        )

    @pytest.mark.edge
    def test_nothing_left_is_no_difference(self, kata):
        """With every key masked there is nothing to compare: 0.0, not NaN and not an
        error about an empty maximum.
        """
        got = kata.compare_with_torch(
            layer(kata), *three_inputs(), mask=torch.zeros(T, S, dtype=torch.bool)
        )
        check.close(got, {"output": 0.0, "weights": 0.0}, what="differences")

    @pytest.mark.edge
    def test_the_training_flag_is_put_back(self, kata):
        """Whoever compares in the middle of training goes on training."""
        for training in (True, False):
            mha = layer(kata).train(training)
            kata.compare_with_torch(mha, *three_inputs())
            check.that(
                mha.training == training,
                f"the layer's training flag was {training} and is now {mha.training}",
            )
