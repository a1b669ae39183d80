"""Specs of 16: splitting and merging heads, masks, the layer, looking into it, and proving it equal to PyTorch's."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grader.specs import check

B, H, T, S, D = 2, 3, 5, 7, 4  # batch, heads, queries, keys, features of a head
C = H * D
SHAPE = (B, H, T, S)

EVERY_MASK_SHAPE = [  # how a mask may come, and where its sizes then stand in (B, H, T, S)
    ((S,), (1, 1, 1, S)),
    ((T, S), (1, 1, T, S)),
    ((1, S), (1, 1, 1, S)),
    ((T, 1), (1, 1, T, 1)),
    ((B, T, S), (B, 1, T, S)),
    ((B, 1, S), (B, 1, 1, S)),
    ((1, T, S), (1, 1, T, S)),
    ((B, H, T, S), (B, H, T, S)),
    ((1, 1, T, S), (1, 1, T, S)),
    ((B, 1, 1, S), (B, 1, 1, S)),
    ((B, 1, T, S), (B, 1, T, S)),
    ((1, H, 1, S), (1, H, 1, S)),
    ((1, H, T, S), (1, H, T, S)),
]


def layer(kata, **options):
    """A layer whose parameters, biases included, all differ from one another and from zero."""
    mha = kata.MultiHeadAttention(C, H, **options)
    with torch.no_grad():
        for parameter in mha.parameters():
            parameter.normal_(std=0.3)
    return mha


def three_inputs(keys=S, **options):
    """A query of T positions, a key and a value of `keys` positions, all different."""
    return [torch.randn(B, length, C, **options) for length in (T, keys, keys)]


def by_hand(mha, query, key, value, allowed=None, scale=D**0.5, over=-1, use=("W_q", "W_k", "W_v", "W_o")):
    """(output, weights) of the layer in float64, one head after the other; the last three arguments make mistakes."""

    def project(name, x):
        linear = getattr(mha, name)
        return F.linear(x.double(), linear.weight.double(), None if linear.bias is None else linear.bias.double())

    q, k, v = (project(name, x) for name, x in zip(use, (query, key, value), strict=False))
    heads, weights = [], []
    for h in range(H):
        own = slice(h * D, (h + 1) * D)
        scores = q[..., own] @ k[..., own].mT / scale
        if allowed is not None:
            masked = ~allowed.expand(B, H, *scores.shape[1:])[:, h]
            scores = scores.masked_fill(masked, -math.inf)
        weights.append(scores.softmax(over).nan_to_num(0.0))
        heads.append(weights[h] @ v[..., own])
    merged = torch.cat(heads, dim=-1)
    return (project(use[3], merged) if len(use) == 4 else merged), torch.stack(weights, dim=1)


def gradients_of(mha, query, key, value):
    """A function from an output to the gradients, by name, of the inputs and parameters behind it."""
    learning = {"query": query, "key": key, "value": value} | dict(mha.named_parameters())
    probe = torch.randn(B, T, C, dtype=torch.float64)

    def gradients(output):
        found = torch.autograd.grad((output * probe).sum(), list(learning.values()), allow_unused=True)
        return dict(zip(learning, found, strict=True))

    return gradients


def expanded(result, shape=SHAPE):
    """The mask as its user would expand it; left alone where that is impossible."""
    sizes = zip(reversed(result.shape), reversed(shape), strict=False) if isinstance(result, Tensor) else [(0, 1)]
    return result.expand(shape) if all(n in (1, size) for n, size in sizes) else result


def some_of(*shape):
    """A random mask that leaves key 0 to every query."""
    mask = torch.rand(shape) > 0.5
    mask[..., 0] = True
    return mask


def random_weights(*shape):
    """Random attention weights: rows that add up to 1."""
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
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in totals.items()}


def altered(kata, change):
    """A layer whose results `change(output, weights)` writes to, and that remembers the last value it was given."""

    class Altered(kata.MultiHeadAttention):
        def forward(self, query, key=None, value=None, mask=None, key_padding_mask=None, need_weights=False):
            self.last_value = value
            output, weights = super().forward(query, key, value, mask, key_padding_mask, need_weights=True)
            change(output, weights)
            return (output, weights) if need_weights else output

    return Altered(C, H)


class TestSplitHeads:
    def test_heads_are_consecutive_feature_blocks(self, kata):
        """Head h of position t is a slice of that position's features. Reshaping straight to (B, H, T, D) has the
        right shape and the wrong numbers: it deals out positions to heads."""
        x = torch.arange(B * T * C).reshape(B, T, C).float()
        expected = torch.stack(x.split(D, dim=-1), dim=1)
        dealt_out = x.reshape(B, T, D, H).permute(0, 3, 1, 2)
        unlike = {
            "reshaped to (B, H, T, D) without a transpose": x.reshape(B, H, T, D),
            "features dealt out to the heads in turn: head 0 has features 0, H, 2·H, …": dealt_out,
            "cut into heads, but the heads still stand after the positions": x.reshape(B, T, H, D),
            "head size and number of heads are exchanged": torch.stack(x.split(H, dim=-1), dim=1),
        }
        check.equal(kata.split_heads(x, H), expected, unlike=unlike)

    def test_one_head_or_one_feature_a_head_is_fine(self, kata):
        """One head keeps all features, and as many heads as features have one each."""
        x = torch.randn(B, T, C)
        check.equal(kata.split_heads(x, 1), x.reshape(B, 1, T, C), what="one head")
        check.equal(kata.split_heads(x, C), x.mT.reshape(B, C, T, 1), what="one feature a head")

    def test_works_on_a_transposed_view(self, kata):
        """Positions and features are those of x as it is indexed, whatever order they have in memory."""
        x = torch.randn(B, C, T).mT
        expected = torch.stack(x.split(D, dim=-1), dim=1)
        check.equal(kata.split_heads(x, H), expected)

    def test_gradients_reach_x(self, kata):
        """Splitting is part of the model: what a head learns has to flow back to its slice of x."""
        x = torch.randn(B, T, C)
        check.gradients(lambda x: kata.split_heads(x, H), lambda x: torch.stack(x.split(D, -1), dim=1), x)

    def test_x_must_be_three_dimensional(self, kata):
        """A 2-D or 4-D input is a mistake of the caller's, and silence would cut the wrong dimension."""
        for shape in ((T, C), (B, 1, T, C)):
            with check.raises(ValueError):
                kata.split_heads(torch.zeros(shape), H)

    def test_heads_must_divide_the_features(self, kata):
        """12 features cannot be shared by 5 heads; the message names both numbers, so that the caller sees which."""
        with check.raises(ValueError, C, 5):
            kata.split_heads(torch.zeros(B, T, C), 5)

    def test_there_is_at_least_one_head(self, kata):
        """0 heads would end in a division by zero, and −3 divides 12 without a remainder: both are a ValueError."""
        for num_heads in (0, -3):
            with check.raises(ValueError):
                kata.split_heads(torch.zeros(B, T, C), num_heads)


class TestMergeHeads:
    def test_heads_stand_side_by_side_again(self, kata):
        """Position t gets the features of head 0, then those of head 1, and so on. The heads come from a matrix
        product here, contiguous in memory: swapping dimensions makes that untrue, and then `view` no longer works."""
        x = torch.randn(B, H, T, D)
        expected = torch.cat([x[:, h] for h in range(H)], dim=-1)
        unlike = {
            "reshaped without moving the heads behind the positions": x.reshape(B, T, C),
            "the features of the heads are interleaved": x.permute(0, 2, 3, 1).reshape(B, T, C),
        }
        check.equal(kata.merge_heads(x), expected, unlike=unlike)

    def test_merge_undoes_split_on_non_contiguous_input(self, kata):
        """Split heads are usually a transposed view. Merging them must give back the very tensor they came from."""
        x = torch.randn(B, T, C)
        heads = x.unflatten(-1, (H, D)).transpose(1, 2)
        check.equal(kata.merge_heads(heads), x)

    def test_gradients_reach_every_head(self, kata):
        """The output layer behind the merge teaches all the heads."""
        check.gradients(kata.merge_heads, lambda x: torch.cat(x.unbind(1), -1), torch.randn(B, H, T, D))

    def test_x_must_be_four_dimensional(self, kata):
        """Anything but (B, H, T, D) is a mistake of the caller's."""
        for shape in ((B, T, C), (B, H, T, D, 1)):
            with check.raises(ValueError):
                kata.merge_heads(torch.zeros(shape))


class TestPrepareMask:
    def test_no_mask_is_none(self, kata):
        """Without masks there is nothing to do, and None says so more cheaply than a tensor of True."""
        got = kata.prepare_mask(None, None, SHAPE)
        check.that(got is None, f"without masks the result should be None, not {check.describe(got)}")

    def test_every_mask_shape(self, kata):
        """The number of dimensions says what a mask is: (S,), (T, S), (B, T, S) or (B, H, T, S), and each size may be
        1. The result must mean that for every batch element, head, query and key."""
        for given, in_four in EVERY_MASK_SHAPE:
            mask = torch.rand(given) > 0.5
            expected = mask.reshape(in_four).expand(SHAPE)
            unlike = {"a 3-D mask taken as one for each head, not for each batch element": mask.unsqueeze(0)}
            what = f"a mask of shape {given}, expanded to (B, H, T, S)"
            check.equal(expanded(kata.prepare_mask(mask, None, SHAPE)), expected, unlike=unlike, what=what)

    def test_a_3d_mask_is_per_batch_element_even_when_b_equals_h(self, kata):
        """With as many heads as batch elements a mask per head would fit too, and no error would tell. It still is one
        mask per batch element."""
        shape = (H, H, T, S)
        mask = torch.rand(H, T, S) > 0.5
        expected = torch.stack([mask] * H, dim=1)
        unlike = {"one mask per head instead of one per batch element": torch.stack([mask] * H, dim=0)}
        check.equal(expanded(kata.prepare_mask(mask, None, shape), shape), expected, unlike=unlike)

    def test_key_padding_hides_keys_not_queries(self, kata):
        """A padded token may not be looked at, by any query of any head. Hiding the padded queries instead has the
        same shape when T = S, and leaves the padding visible."""
        shape = (B, H, S, S)
        real = torch.arange(S) < torch.tensor([[S - 3], [S - 1]])
        expected = real.reshape(B, 1, 1, S).expand(shape)
        unlike = {
            "the padded queries are hidden, not the padded keys": real.reshape(B, 1, S, 1).expand(shape),
            "inverted: True means a real token": ~expected,
        }
        check.equal(expanded(kata.prepare_mask(None, real, shape), shape), expected, unlike=unlike)

    def test_mask_and_key_padding_are_anded(self, kata):
        """A query may look at a key only if both masks let it: in a padded causal batch, at real tokens of the past."""
        real = torch.arange(S) < torch.tensor([[S - 3], [S - 1]])
        padding = real.reshape(B, 1, 1, S).expand(SHAPE)
        for given, in_four in (((T, S), (1, 1, T, S)), ((B, T, S), (B, 1, T, S)), ((1, H, 1, S), (1, H, 1, S))):
            mask = torch.rand(given) > 0.5
            alone = mask.reshape(in_four).expand(SHAPE)
            unlike = {
                "or-ed: either mask is enough": alone | padding,
                "only the mask is used": alone,
                "only the key padding is used": padding,
                "True where the two masks agree": alone == padding,
            }
            what = f"a mask of shape {given} and key padding, expanded to (B, H, T, S)"
            check.equal(expanded(kata.prepare_mask(mask, real, SHAPE)), alone & padding, unlike=unlike, what=what)

    def test_the_masks_stay_as_they_were(self, kata):
        """Callers use a mask again for the next layer. An in-place `&=` would leave them one with holes."""
        for given in (SHAPE, (B, T, S)):
            mask, real = torch.rand(given) > 0.3, torch.rand(B, S) > 0.5
            with check.unchanged(mask=mask, key_padding_mask=real):
                kata.prepare_mask(mask, real, SHAPE)

    def test_a_mask_that_does_not_fit_is_an_error(self, kata):
        """The message names the argument, its shape and the shape it should have. (H, T, S) is the tempting one: three
        dimensions are one mask per batch element."""
        for given, wanted in (
            ((T,), (S,)),
            ((S, T), (T, S)),
            ((H, T, S), (B, T, S)),
            ((B, T, T), (B, T, S)),
            ((H, B, T, S), SHAPE),
            ((B, H, T, S, 1), SHAPE),
        ):
            with check.raises(ValueError, "mask", ", ".join(map(str, given)), ", ".join(map(str, wanted))):
                kata.prepare_mask(torch.ones(given, dtype=torch.bool), None, SHAPE)

    def test_a_mask_never_enlarges_the_scores(self, kata):
        """Plain broadcasting would turn one batch element and a mask for five into five batch elements, silently."""
        for given, shape in (((5, T, S), (1, H, T, S)), ((T, S), (B, H, 1, S)), ((S,), (B, H, T, 1))):
            with check.raises(ValueError, "mask", ", ".join(map(str, given))):
                kata.prepare_mask(torch.ones(given, dtype=torch.bool), None, shape)

    def test_key_padding_must_be_exactly_batch_by_keys(self, kata):
        """One row for each batch element: a (1, S) mask that is broadcast to all of them is a forgotten batch."""
        for given in ((1, S), (B, T), (S,), (B, 1, S)):
            with check.raises(ValueError, "key_padding_mask", ", ".join(map(str, given)), f"{B}, {S}"):
                kata.prepare_mask(None, torch.ones(given, dtype=torch.bool), SHAPE)

    def test_masks_must_be_bool(self, kata):
        """A float mask (0 and −inf, or 0 and 1) means something else to everyone, so it is refused by name and
        dtype."""
        with check.raises(TypeError, "mask", "float32"):
            kata.prepare_mask(torch.ones(T, S), None, SHAPE)
        with check.raises(TypeError, "key_padding_mask", "int64"):
            kata.prepare_mask(torch.ones(T, S, dtype=torch.bool), torch.ones(B, S, dtype=torch.int64), SHAPE)


class TestMultiHeadAttention:
    def test_four_linear_layers_and_nothing_else(self, kata):
        """W_q, W_k, W_v and W_o are the only parameters. A layer kept in a plain list is not trained or saved, a
        shared one is trained twice, and an extra parameter breaks everybody's checkpoints."""
        for bias, kinds in ((True, ("weight", "bias")), (False, ("weight",))):
            mha = kata.MultiHeadAttention(C, H, bias=bias)
            names = {f"{name}.{kind}" for name in ("W_q", "W_k", "W_v", "W_o") for kind in kinds}
            got = set(mha.state_dict())
            check.that(got == names, f"bias={bias}: the state_dict has {sorted(got)}, expected {sorted(names)}")
            numbers = sum(parameter.numel() for parameter in mha.parameters())
            wanted = 4 * C * (C + bias)
            check.that(numbers == wanted, f"bias={bias}: {numbers} numbers are trained, expected {wanted}")
            layers = [getattr(mha, name) for name in ("W_q", "W_k", "W_v", "W_o")]
            linear = all(isinstance(layer, nn.Linear) for layer in layers)
            check.that(linear, f"W_q, W_k, W_v and W_o should be nn.Linear, not {[type(x).__name__ for x in layers]}")

    def test_sizes_are_plain_attributes(self, kata):
        """d_k is the width of one head: 12 features for 3 heads are 4 each, one head has them all."""
        for num_heads, width in ((H, D), (1, C), (C, 1)):
            mha = kata.MultiHeadAttention(C, num_heads)
            expected = {"d_model": C, "num_heads": num_heads, "d_k": width}
            check.equal({name: getattr(mha, name) for name in expected}, expected, what="attributes")

    def test_output_and_weights_have_their_shapes(self, kata):
        """The output is as wide as the query and as long; the weights, if asked for, are one (T, S) map for each
        head."""
        mha = kata.MultiHeadAttention(C, H)
        query, key, value = three_inputs()
        check.shape(mha(query, key, value), (B, T, C), what="the output alone")
        both = mha(query, key, value, need_weights=True)
        pair = isinstance(both, tuple) and len(both) == 2
        check.that(pair, f"need_weights=True should return (output, weights), not {check.describe(both)}")
        check.shape(both[0], (B, T, C), what="the output")
        check.shape(both[1], SHAPE, what="the weights")

    def test_forward_matches_a_per_head_loop(self, kata):
        """Each head is softmax(q kᵀ / √d_k) v on its own slice of the three projections, the softmax taken over the
        keys; W_o mixes the merged heads. The weights are those of each head."""
        mha = layer(kata)
        query, key, value = three_inputs()
        mistakes = {
            "scores divided by √d_model: the scale is √d_k, for the width of one head": {"scale": C**0.5},
            "scores not divided by √d_k": {"scale": 1.0},
            "scores divided by d_k: the scale is its square root": {"scale": D},
            "softmax over the queries: each query shares its weight out over the keys": {"over": 1},
            "W_q projects the keys too": {"use": ("W_q", "W_q", "W_v", "W_o")},
            "W_k projects the values too": {"use": ("W_q", "W_k", "W_k", "W_o")},
            "W_q and W_k are exchanged": {"use": ("W_k", "W_q", "W_v", "W_o")},
            "W_o is left out": {"use": ("W_q", "W_k", "W_v")},
        }
        unlike = {name: by_hand(mha, query, key, value, **options) for name, options in mistakes.items()}
        unlike["the key is used as the value"] = by_hand(mha, query, key, key)
        expected = by_hand(mha, query, key, value)
        got = mha(query, key, value, need_weights=True)
        check.close(got, expected, unlike=unlike, what="(output, weights)")

    def test_self_attention_without_bias(self, kata):
        """With bias=False and the query alone: every position looks at its own sequence, and nothing is added."""
        mha = layer(kata, bias=False)
        query = torch.randn(B, T, C)
        check.close(mha(query), by_hand(mha, query, query, query)[0])

    def test_gradients_match_a_per_head_loop(self, kata):
        """Query, key, value and all eight parameters learn: a `detach`, `.data` or `no_grad` on the way cuts one
        off."""
        mha = layer(kata).double()
        query, key, value = three_inputs(dtype=torch.float64, requires_grad=True)
        gradients = gradients_of(mha, query, key, value)
        expected = gradients(by_hand(mha, query, key, value)[0])
        got = gradients(mha(query, key, value))
        for name in expected:
            check.close(got[name], expected[name], rtol=1e-4, atol=1e-5, what=f"gradient of {name}")

    def test_key_defaults_to_query(self, kata):
        """Without a key, attention is over the query itself. A value that is given stays the value."""
        mha = layer(kata)
        query, _, value = three_inputs(keys=T)
        expected = by_hand(mha, query, query, value)[0]
        unlike = {
            "the value that was given is ignored": by_hand(mha, query, query, query)[0],
            "the key defaults to the value": by_hand(mha, query, value, value)[0],
        }
        check.close(mha(query, value=value), expected, unlike=unlike)

    def test_value_defaults_to_key(self, kata):
        """In cross-attention what is found is read where it was found. With as many keys as queries, a value that
        defaults to the query raises no error and is wrong."""
        mha = layer(kata)
        query, key, _ = three_inputs(keys=T)
        expected = by_hand(mha, query, key, key)[0]
        unlike = {
            "the value defaults to the query": by_hand(mha, query, key, query)[0],
            "the key is ignored: this is self-attention": by_hand(mha, query, query, query)[0],
        }
        check.close(mha(query, key), expected, unlike=unlike)

    def test_true_means_may_attend(self, kata):
        """Masked keys get weight 0 and the allowed ones share 1 anew. Hiding keys after the softmax leaves rows that
        add up to less."""
        mha = layer(kata)
        query, key, value = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[..., 1] = False
        free = by_hand(mha, query, key, value)[1]
        unlike = {
            "the mask is inverted: True means may attend": by_hand(mha, query, key, value, ~allowed)[1],
            "masked after the softmax: the allowed weights no longer add up to 1": free * allowed,
            "the mask is ignored": free,
        }
        expected, weights = by_hand(mha, query, key, value, allowed)
        output, got = mha(query, key, value, mask=allowed, need_weights=True)
        check.close(got, weights, unlike=unlike, what="the weights")
        check.close(output, expected, what="the output")

    def test_every_mask_shape(self, kata):
        """Every form of mask that `prepare_mask` understands works in the layer: a weight is positive exactly where
        the mask lets that query of that head look at that key."""
        mha = layer(kata)
        query, key, _ = three_inputs()
        for given, in_four in EVERY_MASK_SHAPE:
            mask = torch.rand(given) > 0.4
            expected = mask.reshape(in_four).expand(SHAPE)
            dead = ~expected.any(dim=-1, keepdim=True)
            unlike = {"a query without any allowed key attends to all of them": expected | dead}
            _, weights = mha(query, key, mask=mask, need_weights=True)
            check.equal(weights > 0, expected, unlike=unlike, what=f"weights > 0 for a mask of shape {given}")

    def test_a_3d_mask_is_per_batch_element_even_when_b_equals_h(self, kata):
        """With B = H the two readings have the same shape. (B, T, S) is one mask per batch element, for all its
        heads."""
        mha = layer(kata)
        mask = some_of(H, T, T)
        _, weights = mha(torch.randn(H, T, C), mask=mask, need_weights=True)
        unlike = {"one mask per head instead of one per batch element": mask.expand(H, H, T, T)}
        check.equal(weights > 0, mask.unsqueeze(1).expand(H, H, T, T), unlike=unlike, what="weights > 0")

    def test_per_head_masks_reach_the_right_heads(self, kata):
        """Here each head of each batch element may see one key only, so the weights show whose mask it got."""
        mha = layer(kata)
        query, key, value = three_inputs()
        allowed = F.one_hot(torch.arange(B * H), S).bool().reshape(B, H, 1, S).expand(SHAPE)
        swapped = F.one_hot(torch.arange(B * H), S).reshape(H, B, 1, S).transpose(0, 1).expand(SHAPE)
        unlike = {"batch and heads are exchanged where they were flattened to B·H": swapped}
        _, weights = mha(query, key, value, mask=allowed, need_weights=True)
        check.close(weights, allowed.float(), unlike=unlike, what="the weights")

    def test_key_padding_hides_keys_not_queries(self, kata):
        """In self-attention a padded batch is hidden along the keys. Along the queries it has the same shape, and the
        real tokens go on reading the padding."""
        mha = layer(kata)
        real = torch.arange(T) < torch.tensor([[T - 2], [T - 1]])
        expected = real.reshape(B, 1, 1, T).expand(B, H, T, T)
        unlike = {"the padded queries are hidden, not the padded keys": real.reshape(B, 1, T, 1).expand(B, H, T, T)}
        _, weights = mha(torch.randn(B, T, C), key_padding_mask=real, need_weights=True)
        check.equal(weights > 0, expected, unlike=unlike, what="weights > 0")

    def test_mask_and_key_padding_are_anded(self, kata):
        """A causal mask and the padding of a batch usually come together, and both must hold."""
        mha = layer(kata)
        causal = torch.ones(T, T, dtype=torch.bool).tril()
        real = torch.arange(T) < torch.tensor([[T - 2], [T - 1]])
        padding = real.reshape(B, 1, 1, T).expand(B, H, T, T)
        unlike = {
            "or-ed: either mask is enough": padding | causal,
            "only the mask is used": causal.expand(B, H, T, T),
            "only the key padding is used": padding,
        }
        _, weights = mha(torch.randn(B, T, C), mask=causal, key_padding_mask=real, need_weights=True)
        check.equal(weights > 0, padding & causal, unlike=unlike, what="weights > 0")

    def test_a_fully_masked_row_has_zero_weights(self, kata):
        """A query that may look nowhere reads nothing: its output is the bias of W_o. A softmax over −inf only is NaN,
        and over a finite fill it is uniform: the mean of everything that was to be hidden."""
        query, key, value = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        unlike = {"uniform over the masked keys": torch.full((H, S), 1 / S)}
        for bias in (True, False):
            mha = layer(kata, bias=bias)
            expected = mha.W_o.bias if bias else torch.zeros(C)
            output, weights = mha(query, key, value, mask=allowed, need_weights=True)
            check.close(weights[1, :, 2], torch.zeros(H, S), unlike=unlike, what="the weights of the masked row")
            check.close(output[1, 2], expected, what=f"the output of the masked row, bias={bias}")
            output = mha(query, key, value, mask=allowed)
            check.close(output[1, 2], expected, what=f"the output of the masked row, bias={bias}, without weights")

    def test_gradients_stay_finite_with_a_fully_masked_row(self, kata):
        """One NaN in the backward pass of one row spoils every parameter. Repairing it after the softmax may be too
        late, because the gradient was NaN already. The other rows learn as if that one were not there."""
        mha = layer(kata).double()
        query, key, value = three_inputs(dtype=torch.float64, requires_grad=True)
        allowed = some_of(T, S)
        allowed[2] = False
        gradients = gradients_of(mha, query, key, value)
        expected = gradients(by_hand(mha, query, key, value, allowed)[0])
        got = gradients(mha(query, key, value, mask=allowed))
        for name in expected:
            check.close(got[name], expected[name], rtol=1e-4, atol=1e-5, what=f"gradient of {name}")

    def test_contents_of_masked_keys_do_not_matter(self, kata):
        """Padding may hold anything. A penalty of −1e4 that is added to the scores does not outweigh a key of 1e4."""
        mha = layer(kata)
        query, key, value = three_inputs()
        real = torch.arange(S) < torch.tensor([[S - 2], [S - 3]])
        expected = by_hand(mha, query, key, value, real.reshape(B, 1, 1, S))[0]
        for content in (1e4, -1e4):
            key, value = (x.masked_fill(~real.unsqueeze(-1), content) for x in (key, value))
            check.close(mha(query, key, value, key_padding_mask=real), expected, what=f"with {content:g} as padding")

    def test_large_scores_stay_finite(self, kata):
        """exp(800) is infinite, in float64 too; a softmax subtracts the largest score first. And where the allowed
        score is −40,000, a masked key at −1e4 would take everything."""
        mha = layer(kata).double()
        query, key, value = three_inputs(dtype=torch.float64)
        query, key, first = 200 * query, 200 * key, torch.arange(S) < 1
        for mask in (None, first):
            expected = by_hand(mha, query, key, value, mask)[0]
            name = "the output without a mask" if mask is None else "the output where only key 0 is allowed"
            check.close(mha(query, key, value, mask), expected, rtol=0.01, atol=0.01, what=name)

    def test_weights_or_not_the_output_is_the_same(self, kata):
        """Asking for the weights is a way of looking on. It must not change what is seen."""
        mha = layer(kata, dropout=0.5).eval()
        query, key, value = three_inputs()
        allowed = torch.rand(B, H, T, S) > 0.4
        expected = mha(query, key, value, mask=allowed, need_weights=True)[0]
        check.close(mha(query, key, value, mask=allowed), expected)

    def test_dropout_of_everything_leaves_the_bias(self, kata):
        """With p = 1 in training every weight is dropped, no head finds anything, and W_o adds its bias to nothing."""
        mha = layer(kata, dropout=1.0)
        query, key, value = three_inputs()
        unlike = {
            "dropout on the output of the layer": torch.zeros(B, T, C),
            "no dropout in training mode": by_hand(mha, query, key, value)[0],
            "dropout on the scores, before the softmax": by_hand(mha, query * 0, key * 0, value, scale=math.inf)[0],
        }
        expected = mha.W_o.bias.expand(B, T, C)
        check.close(mha(query, key, value), expected, unlike=unlike)

    def test_dropout_drops_whole_weights(self, kata):
        """With one key and W_v and W_o doing nothing, a head returns 1 times the value, or after dropout with p = 0.5
        either 0 or 2 times. All features of a head share one weight, so they go together."""
        mha = kata.MultiHeadAttention(C, H, dropout=0.5)
        with torch.no_grad():
            for name in ("W_v", "W_o"):
                getattr(mha, name).weight.copy_(torch.eye(C))
                getattr(mha, name).bias.zero_()
        output = mha(torch.randn(16, T, C), torch.ones(16, 1, C))
        values = tuple(output.unique().tolist())
        cause = {(1.0,): "no dropout acts on the weights", (0.0, 1.0): "what is kept is not divided by 1 − p"}
        said = f"{list(values[:6])}{': ' * (values in cause)}{cause.get(values, '')}"
        check.that(values == (0.0, 2.0), f"the outputs should be 0 and 2 and nothing else, they are {said}")
        heads = output.reshape(16, T, H, D)
        check.equal(heads, heads[..., :1].expand_as(heads), what="the features of a head, dropped together")
        apart = (heads[..., 0] != heads[:, :1, :1, 0]).any(dim=0)
        own = bool(apart[1:, 0].any() and apart[0, 1:].any())
        check.that(own, "all heads or all queries of a batch element share one draw: each weight has its own")

    def test_dropout_keeps_the_mean(self, kata):
        """The weights that stay are divided by 1 − p, so that the mean of many draws is the output without dropout."""
        mha = layer(kata, dropout=0.5)
        query, key, value = (x[:1] for x in three_inputs())
        expected = by_hand(mha, *(x.expand(B, -1, -1) for x in (query, key, value)))[0][:1, :2]
        bias = mha.W_o.bias
        unlike = {"the kept weights are not divided by 1 − p": (expected - bias) / 2 + bias}
        draws = mha(*(x.expand(500, -1, -1) for x in (query[:, :2], key, value)))
        check.close(draws.mean(dim=0, keepdim=True), expected, atol=0.15, rtol=0, unlike=unlike, what="the mean")

    def test_returned_weights_are_before_dropout(self, kata):
        """The weights are returned to be looked at: in training mode, too, each row adds up to 1 and no weight is
        lost."""
        mha = layer(kata, dropout=0.5)
        query, key, value = three_inputs()
        expected = by_hand(mha, query, key, value)[1]
        check.close(mha(query, key, value, need_weights=True)[1], expected, what="the weights in training mode")

    def test_eval_mode_draws_no_dropout(self, kata):
        """`F.dropout` without `training=self.training` goes on in eval mode: two calls differ, and a model at work
        guesses."""
        mha = layer(kata, dropout=0.5).eval()
        query, key, value = three_inputs()
        check.close(mha(query, key, value), by_hand(mha, query, key, value)[0], what="the output in eval mode")

    def test_dropout_is_a_module_and_off_by_default(self, kata):
        """An `nn.Dropout` follows train() and eval() by itself. Its probability is the argument's, 0 unless told."""
        check.that(isinstance(layer(kata).dropout, nn.Dropout), "mha.dropout should be an nn.Dropout")
        probabilities = {"default": layer(kata).dropout.p, "dropout=0.25": layer(kata, dropout=0.25).dropout.p}
        check.equal(probabilities, {"default": 0.0, "dropout=0.25": 0.25}, what="mha.dropout.p")

    def test_calls_leave_nothing_behind(self, kata):
        """A mask, a key or a size kept on the layer from one call would change the next one. The arguments stay as
        they were, too."""
        mha = layer(kata)
        query, key, value = three_inputs()
        mask, real = some_of(B, 1, T, S), some_of(B, S)
        first = mha(query, key)
        with check.unchanged(query=query, key=key, value=value, mask=mask, key_padding_mask=real):
            mha(query, key, value, mask, real)
            mha(query, key, value, mask)
        mha(query[:1, :2])
        check.close(mha(query, key), first, what="the same call before and after others")

    def test_every_dtype_comes_back_as_itself(self, kata):
        """A half-precision model stays one: a weight matrix that comes back in float32 doubles the memory, and −1e9 is
        more than float16 can hold."""
        mha = layer(kata)
        inputs = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        expected = by_hand(mha, *inputs, allowed)
        free = by_hand(mha, *inputs)[0]
        for dtype, atol in ((torch.float64, None), (torch.float16, 0.01), (torch.bfloat16, 0.08)):
            mha, inputs = mha.to(dtype), [x.to(dtype) for x in inputs]
            tolerance = {"atol": atol, "rtol": atol} if atol else {"atol": 1e-5, "rtol": 1e-5}
            output, weights = mha(*inputs, mask=allowed, need_weights=True)
            check.dtype(output, dtype, what="the output")
            check.dtype(weights, dtype, what="the weights")
            check.close((output, weights), expected, what="(output, weights)", **tolerance)
            output = mha(*inputs)
            check.dtype(output, dtype, what="the output without a mask")
            check.close(output, free, what="the output without a mask", **tolerance)

    def test_cpu_autocast_stays_near_float32(self, kata):
        """Under autocast the scores are bfloat16 while the query is float32: the smallest float32 does not fit into
        them."""
        mha = layer(kata)
        inputs = three_inputs()
        allowed = some_of(B, 1, T, S)
        allowed[1, 0, 2] = False
        expected = by_hand(mha, *inputs, allowed)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output, weights = mha(*inputs, mask=allowed, need_weights=True)
        check.close(output, expected[0], atol=0.08, rtol=0.08, what="the output")
        check.close(weights, expected[1], atol=0.08, rtol=0.08, what="the weights")

    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Whatever the layer makes for itself, it makes on the device of its input."""
        mha = layer(kata).cuda()
        query, key, value = (x.cuda() for x in three_inputs())
        mask, real = some_of(T, S).cuda(), some_of(B, S).cuda()
        expected = by_hand(mha, query, key, value, mask & real.reshape(B, 1, 1, S))
        output, weights = mha(query, key, value, mask, real, need_weights=True)
        check.that(output.device == query.device, f"the output is on {output.device}, the query on {query.device}")
        check.close((output, weights), expected, what="(output, weights)", rtol=1e-2, atol=1e-2)

    @pytest.mark.amp
    def test_gpu_autocast_stays_near_float32(self, kata):
        """In float16 on the GPU as in bfloat16 on the CPU: everything finite, a fully masked row included."""
        mha = layer(kata).cuda()
        inputs = [x.cuda() for x in three_inputs()]
        allowed = some_of(B, 1, T, S).cuda()
        allowed[1, 0, 2] = False
        expected = by_hand(mha, *inputs, allowed)
        with torch.autocast("cuda", dtype=torch.float16):
            output, weights = mha(*inputs, mask=allowed, need_weights=True)
        check.close(output, expected[0], atol=0.05, rtol=0.05, what="the output")
        check.close(weights, expected[1], atol=0.05, rtol=0.05, what="the weights")

    def test_written_without_the_finished_layer(self, kata):
        """This exercise is the layer: `nn.MultiheadAttention` and `F.multi_head_attention_forward` would be the
        answer."""
        finished = ("torch.nn.MultiheadAttention", "torch.nn.functional.multi_head_attention_forward")
        with check.forbidden(kata, *finished):
            output = kata.MultiHeadAttention(C, H)(torch.randn(B, T, C))
        check.shape(output, (B, T, C))

    def test_a_checkpoint_fits_a_fresh_layer(self, kata):
        """The state_dict says everything there is to say about a layer: one that loads it answers alike, also if it
        had been at work with other weights before."""
        mha, fresh = layer(kata), kata.MultiHeadAttention(C, H)
        query = torch.randn(B, T, C)
        fresh(query)
        fresh.load_state_dict(mha.state_dict())
        check.close(fresh(query), by_hand(mha, query, query, query)[0])

    def test_heads_must_divide_d_model(self, kata):
        """10 features for 3 heads, no heads or −2 of them: better an error now than a shape error in the first
        batch."""
        for d_model, num_heads in ((10, 3), (C, 0), (C, -2)):
            with check.raises(ValueError):
                kata.MultiHeadAttention(d_model, num_heads)

    def test_dropout_must_be_a_probability(self, kata):
        """It lies between 0 and 1."""
        for dropout in (1.5, -0.1):
            with check.raises(ValueError):
                kata.MultiHeadAttention(C, H, dropout=dropout)

    def test_query_must_be_d_model_wide(self, kata):
        """The message names the width that came and the one that was wanted, which a matrix product deep inside would
        not."""
        for width in (10, 15):
            with check.raises(ValueError, C, width):
                kata.MultiHeadAttention(C, H)(torch.randn(B, T, width))

    def test_bad_masks_are_refused(self, kata):
        """The layer is as strict as `prepare_mask`: nothing is broadcast in silence."""
        mha = kata.MultiHeadAttention(C, H)
        query, key, _ = three_inputs()
        with check.raises(TypeError, "mask", "float32"):
            mha(query, key, mask=torch.zeros(T, S))
        with check.raises(ValueError, "mask", f"{H}, {T}, {S}"):
            mha(query, key, mask=torch.ones(H, T, S, dtype=torch.bool))
        with check.raises(ValueError, "key_padding_mask"):
            mha(query, key, key_padding_mask=torch.ones(1, S, dtype=torch.bool))


class TestAttentionPatterns:
    def test_the_weights_of_a_call(self, kata):
        """One map for each head, of the call with this key and these masks."""
        mha = layer(kata)
        query, key, _ = three_inputs()
        mask, real = some_of(T, S), some_of(B, S)
        unlike = {
            "the mask is not passed on": mha(query, key, key_padding_mask=real, need_weights=True)[1],
            "the key padding is not passed on": mha(query, key, mask=mask, need_weights=True)[1],
        }
        expected = mha(query, key, mask=mask, key_padding_mask=real, need_weights=True)[1]
        check.close(kata.attention_patterns(mha, query, key, mask, real), expected, unlike=unlike)

    def test_the_weights_carry_no_graph(self, kata):
        """They are for plotting: a graph would keep the whole forward pass in memory, and `.numpy()` would fail."""
        got = kata.attention_patterns(layer(kata), torch.randn(B, T, C, requires_grad=True))
        check.that(not got.requires_grad, "the weights still have requires_grad=True")

    def test_computed_in_eval_mode(self, kata):
        """No dropout is drawn: looking at a model in the middle of training must not change its random numbers."""
        mha, query = layer(kata, dropout=0.5), torch.randn(B, T, C)
        before = torch.get_rng_state()
        kata.attention_patterns(mha, query)
        check.that(torch.equal(torch.get_rng_state(), before), "random numbers were drawn: the dropout is still on")

    def test_the_training_flag_is_put_back(self, kata):
        """A model in training goes on training, and one in eval mode stays there; its dropout layer likewise."""
        mha = layer(kata)
        for training in (True, False):
            mha.train(training)
            kata.attention_patterns(mha, torch.randn(B, T, C))
            flags = {"mha": mha.training, "mha.dropout": mha.dropout.training}
            check.equal(flags, {"mha": training, "mha.dropout": training}, what="training flags after the call")

    def test_the_training_flag_is_put_back_after_an_error(self, kata):
        """A call with a query of the wrong width raises, and must not leave the model in eval mode for the rest of the
        run."""
        mha = layer(kata)
        with check.raises(ValueError):
            kata.attention_patterns(mha, torch.randn(B, T, 10))
        check.that(mha.training, "the layer was in training mode and is in eval mode after the error")

    def test_gradients_in_progress_stay(self, kata):
        """Between backward() and step() the gradients wait in `.grad`: looking on must neither clear nor change
        them."""
        mha, query = layer(kata), torch.randn(B, T, C, requires_grad=True)
        mha(query).sum().backward()
        with check.unchanged(query=query, **{name.replace(".", "_"): p for name, p in mha.named_parameters()}):
            kata.attention_patterns(mha, query)


@pytest.mark.stretch
class TestHeadStatistics:
    def test_matches_a_plain_loop(self, kata):
        """Four numbers for each head, each computed row by row and then averaged over all rows."""
        weights = random_weights(*SHAPE)
        expected = statistics_by_hand(weights)
        offset = torch.arange(T)[:, None] - torch.arange(S)
        unlike = {
            "in bits: nats need the natural logarithm": {"entropy": expected["entropy"] / math.log(2)},
            "the sign is left in: a distance has none": {"mean_distance": (weights * offset).sum(3).mean((0, 2))},
            "squared distances": {"mean_distance": (weights * offset**2).sum(3).mean((0, 2))},
            "the maximum over all rows": {"max_weight": weights.amax((0, 2, 3))},
            "one number for all heads": {name: value.mean().expand(H) for name, value in expected.items()},
        }
        check.close(kata.head_statistics(weights), expected, unlike=unlike, what="statistics")

    def test_zero_weights_have_no_entropy(self, kata):
        """0 · ln 0 counts as 0, the limit it has. Computed literally it is NaN: and a mask makes many zeros."""
        one_hot = torch.eye(T).expand(B, H, T, T)
        half = 0.5 * one_hot + 0.5 * one_hot.roll(1, dims=-1)
        expected = torch.tensor([0.0, math.log(2)])
        got = torch.stack([kata.head_statistics(weights)["entropy"][0] for weights in (one_hot, half)])
        check.close(got, expected, what="entropy of one key, and of two alike")

    def test_fully_masked_rows_are_left_out(self, kata):
        """Rows of all zeros are no attention at all. They are not counted, so the others are averaged over fewer, all
        batch elements together."""
        weights = random_weights(*SHAPE)
        weights[0, 1, 2:4] = 0.0
        expected = statistics_by_hand(weights)
        counted = {name: value * torch.tensor([1.0, 0.8, 1.0]) for name, value in expected.items()}
        halves = [statistics_by_hand(weights[b : b + 1]) for b in range(B)]
        means = {name: torch.stack([half[name] for half in halves]).mean(0) for name in expected}
        unlike = {"the rows of all zeros are counted": counted, "averaged over each batch element first": means}
        check.close(kata.head_statistics(weights), expected, unlike=unlike, what="statistics")

    def test_queries_beyond_the_keys_have_no_self(self, kata):
        """With more queries than keys, query i ≥ S has no key of its own: its self weight is 0, and it counts in the
        average."""
        weights = random_weights(B, H, S, T)
        check.close(kata.head_statistics(weights), statistics_by_hand(weights), what="statistics")

    def test_a_head_without_a_live_row_is_zero(self, kata):
        """An average over no rows is 0.0 by agreement, not NaN; over one row it is that row's value."""
        weights = random_weights(*SHAPE)
        weights[:, 2] = 0.0
        weights[0, 1] = weights[1, 1, 1:] = 0.0  # head 1 has one row left
        check.close(kata.head_statistics(weights), statistics_by_hand(weights), what="statistics")

    def test_half_precision_is_summed_in_float32(self, kata):
        """bfloat16 keeps two to three digits: computed in it, these statistics are off by up to a hundredth."""
        weights = torch.zeros(1, 2, 3, 300, dtype=torch.bfloat16)
        weights[:, 0, :, 253:290] = 1 / 37
        weights[:, 1, :, 281:290] = 1 / 9
        expected = statistics_by_hand(weights)
        got = kata.head_statistics(weights)
        check.close(got, expected, rtol=1e-3, what="statistics")
        for name in expected:
            check.dtype(got[name], torch.float32, what=name)

    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Positions to compare with are made on the device of the weights."""
        weights = random_weights(*SHAPE)
        check.close(kata.head_statistics(weights.cuda()), statistics_by_hand(weights), what="statistics")


@pytest.mark.stretch
class TestToTorchMha:
    def test_projections_are_stacked_query_key_value(self, kata):
        """PyTorch keeps the three input projections in one (3·C, C) matrix: queries on top, then keys, then values."""
        mha = layer(kata)
        q, k, v = mha.W_q, mha.W_k, mha.W_v
        theirs = kata.to_torch_mha(mha)
        orders = {"W_k, W_q, W_v": (k, q, v), "W_q, W_v, W_k": (q, v, k), "W_k, W_v, W_q": (k, v, q)}
        unlike = {f"stacked as {name}": torch.cat([x.weight for x in order]) for name, order in orders.items()}
        unlike["transposed before stacking"] = torch.cat([x.weight.mT for x in (q, k, v)])
        expected = torch.cat([x.weight for x in (q, k, v)])
        check.equal(theirs.in_proj_weight, expected, unlike=unlike, what="in_proj_weight")
        check.equal(theirs.in_proj_bias, torch.cat([x.bias for x in (q, k, v)]), what="in_proj_bias")
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

    def test_settings_are_carried_over(self, kata):
        """Batch first, as many heads, the same bias, dropout probability and mode: two models to be exchanged
        freely."""
        for training, bias, dropout in ((True, False, 0.25), (False, True, 0.0)):
            theirs = kata.to_torch_mha(kata.MultiHeadAttention(C, H, dropout=dropout, bias=bias).train(training))
            check.that(isinstance(theirs, nn.MultiheadAttention), f"expected nn.MultiheadAttention, got {type(theirs)}")
            expected = {"embed_dim": C, "num_heads": H, "dropout": dropout, "training": training, "batch_first": True}
            got = {name: getattr(theirs, name) for name in expected}
            check.equal(got | {"bias": theirs.in_proj_bias is not None}, expected | {"bias": bias}, what="settings")

    def test_dtype_and_device_are_carried_over(self, kata):
        """A float64 layer gets a float64 twin without rounding, and a layer on another device a twin there. ("meta" is
        a device without data that every computer has.)"""
        mha = layer(kata).double()
        check.equal(kata.to_torch_mha(mha).out_proj.weight, mha.W_o.weight, what="out_proj.weight in float64")
        theirs = kata.to_torch_mha(kata.MultiHeadAttention(C, H).to("meta"))
        devices = {name: str(parameter.device) for name, parameter in theirs.named_parameters()}
        check.equal(devices, dict.fromkeys(devices, "meta"), what="devices")

    def test_the_weights_are_copies(self, kata):
        """Training one of the two must not train the other behind its back."""
        mha = layer(kata)
        theirs = kata.to_torch_mha(mha)
        before = [parameter.detach().clone() for parameter in theirs.parameters()]
        with torch.no_grad():
            for parameter in mha.parameters():
                parameter.add_(1.0)
        for (name, parameter), value in zip(theirs.named_parameters(), before, strict=True):
            check.equal(parameter, value, what=f"{name} after the first layer changed")

    def test_its_parameters_are_trainable_leaves(self, kata):
        """An optimiser takes leaves only: a parameter that still hangs on the graph of the copy cannot be trained. A
        frozen layer's twin is trainable as well."""
        mha = layer(kata).requires_grad_(False)
        for name, parameter in kata.to_torch_mha(mha).named_parameters():
            trainable = parameter.is_leaf and parameter.requires_grad
            check.that(trainable, f"{name}: is_leaf={parameter.is_leaf}, requires_grad={parameter.requires_grad}")


@pytest.mark.stretch
class TestCompareWithTorch:
    def test_tiny_for_every_kind_of_mask(self, kata):
        """Rounding is all that may differ, whichever mask both layers get. PyTorch's True means blocked, and its 3-D
        mask is (B·H, T, S)."""
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
            check.close(got, {"output": 0.0, "weights": 0.0}, atol=1e-5, what=f"differences with {name}")

    def test_keys_and_values_default_as_in_the_layer(self, kata):
        """Without a key both layers attend to the query; without a value both read the key."""
        mha = layer(kata)
        query, key, _ = three_inputs()
        for arguments in ((query,), (query, key)):
            got = kata.compare_with_torch(mha, *arguments)
            check.close(got, {"output": 0.0, "weights": 0.0}, atol=1e-5, what=f"{len(arguments)} inputs")

    def test_a_given_value_is_used(self, kata):
        """Cross-attention may read from elsewhere than it looks. With the key in its place both layers would agree, on
        the wrong thing."""
        mha = altered(kata, lambda output, weights: None)
        query, key, value = three_inputs()
        got = kata.compare_with_torch(mha, query, key, value)
        check.equal(mha.last_value, value, unlike={"the key": key}, what="the value that the layer was called with")
        check.close(got, {"output": 0.0, "weights": 0.0}, atol=1e-5, what="differences")

    def test_reports_a_wrong_output(self, kata):
        """One number that is 0.5 too small is a difference of 0.5 in the output and none in the weights. A comparison
        that never finds anything proves nothing."""
        mha = altered(kata, lambda output, weights: output[1, 2, 3].sub_(0.5))
        got = kata.compare_with_torch(mha, *three_inputs())
        check.close(got, {"output": 0.5, "weights": 0.0}, atol=1e-5, what="differences")

    def test_reports_wrong_weights_of_one_head(self, kata):
        """An error in one head is reported in full. Averaged over the heads, two opposite errors would cancel."""
        mha = altered(kata, lambda output, weights: (weights[1, 0, 2, 3].add_(0.25), weights[1, 1, 2, 3].sub_(0.25)))
        got = kata.compare_with_torch(mha, *three_inputs())
        unlike = {"averaged over the heads": {"weights": 0.0}}
        check.close(got, {"output": 0.0, "weights": 0.25}, atol=1e-5, unlike=unlike, what="differences")

    def test_fully_masked_rows_are_left_out(self, kata):
        """PyTorch answers NaN there. Output row (b, t) is left out if any head of it is fully masked; of the weights
        only the rows of that head are, and the other heads' are compared."""
        allowed = some_of(*SHAPE)
        allowed[1, 0, 2] = False

        def spoil(output, weights):
            output[1, 2] += 0.5
            output[0, 0] += 0.25
            weights[1, 0, 2] += 0.5
            weights[1, 1, 2] += 0.125

        got = kata.compare_with_torch(altered(kata, spoil), *three_inputs(), mask=allowed)
        unlike = {
            "the other heads of that query were left out as well": {"weights": 0.0},
            "everything was left out": {"output": 0.0},
            "the dead row was compared": {"output": 0.5, "weights": 0.5},
        }
        check.close(got, {"output": 0.25, "weights": 0.125}, atol=1e-5, unlike=unlike, what="differences")

    def test_nothing_left_is_no_difference(self, kata):
        """With every key masked there is nothing to compare: 0.0, not NaN and not an error about an empty maximum."""
        got = kata.compare_with_torch(layer(kata), *three_inputs(), mask=torch.zeros(T, S, dtype=torch.bool))
        check.close(got, {"output": 0.0, "weights": 0.0}, what="differences")

    def test_compares_in_eval_mode_and_puts_the_flag_back(self, kata):
        """With dropout on, two equal layers differ at random. Both are compared in eval mode; the layer trains on
        after."""
        for training in (True, False):
            mha = layer(kata, dropout=0.5).train(training)
            got = kata.compare_with_torch(mha, *three_inputs())
            check.close(got, {"output": 0.0, "weights": 0.0}, atol=1e-5, what="differences with dropout=0.5")
            check.that(mha.training == training, f"the layer's training flag was {training} and is now {mha.training}")
