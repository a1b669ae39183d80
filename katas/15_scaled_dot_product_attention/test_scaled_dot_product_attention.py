"""Specs of kata 15: masks, scaled dot-product attention, and what the scale is for."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check

BUILT_IN = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.MultiheadAttention",
)


def queries_keys_values(*leading):
    """Standard-normal q, k and v with T=4, S=6, D=5, Dv=7 behind the leading dims."""
    return (
        torch.randn(*leading, 4, 5),
        torch.randn(*leading, 6, 5),
        torch.randn(*leading, 6, 7),
    )


def oracle(q, k, v, mask=None, scale=None):
    """(output, weights) in float64: einsum, and a softmax written out, in which masked
    keys count 0 times.
    """
    q, k, v = q.double(), k.double(), v.double()
    scores = torch.einsum("...td,...sd->...ts", q, k) * (
        q.size(-1) ** -0.5 if scale is None else scale
    )
    powers = torch.exp(scores - scores.detach().amax(dim=-1, keepdim=True))
    if mask is not None:
        powers = powers * mask
    weights = powers / powers.sum(dim=-1, keepdim=True).clamp_min(1e-30)
    return torch.einsum("...ts,...sv->...tv", weights, v), weights


def with_dead_rows():
    """A (2, 4, 6) mask: in element 0 query 1 may see no key, in element 1 no query may.
    Elsewhere key 0 is live.
    """
    mask = torch.rand(2, 4, 6) < 0.5
    mask[:, :, 0] = True
    mask[0, 1] = False
    mask[1] = False
    return mask


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


def statistics_by_hand(scores, v):
    """The four statistics with plain Python numbers, row by row."""
    entropy, gradient, outputs = [], [], []
    for row in scores.double().tolist():
        powers = [math.exp(score - max(row)) for score in row]
        w = [power / sum(powers) for power in powers]
        entropy.append(-sum(x * math.log(x) for x in w if x))
        gradient.append(sum(x * (1 - x) for x in w))
        outputs.append(torch.tensor(w, dtype=torch.float64) @ v.double())
    return {
        "std": scores.double().std().item(),
        "entropy": sum(entropy) / len(entropy),
        "gradient": sum(gradient) / len(gradient),
        "output_std": torch.stack(outputs).std().item(),
    }


@st.composite
def queries_and_keys(draw):
    """T, and an S that is at least T."""
    queries = draw(st.integers(1, 4))
    return queries, queries + draw(st.integers(0, 3))


@st.composite
def padded_batches(draw):
    """Lengths, and a max_len that none of them exceeds."""
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    return lengths, max(lengths) + draw(st.integers(0, 2))


@st.composite
def several_masks(draw):
    """Masks of shapes that broadcast to (2, 3, 4), with None between them."""
    sizes = st.tuples(
        st.sampled_from([2, 1]), st.sampled_from([3, 1]), st.sampled_from([4, 1])
    )
    shapes = draw(st.lists(st.none() | sizes, min_size=1, max_size=4))
    return [
        None if shape is None else torch.rand(shape, generator=seeded()) < 0.7
        for shape in shapes
    ]


@st.composite
def leading_dims(draw):
    """The leading dims of q, and those of k and v, which are the same or 1
    and broadcast.
    """
    sizes = draw(st.lists(st.integers(2, 3), max_size=2))
    return [sizes] + [
        [draw(st.sampled_from([size, 1])) for size in sizes] for _ in range(2)
    ]


class TestCausalMask:
    def test_a_query_sees_itself_and_everything_before_it(self, kata):
        """Row i says what query i may see: keys 0 to i, itself included. True means
        "may attend".
        """
        expected = torch.tensor(
            [[True, False, False], [True, True, False], [True, True, True]]
        )
        strict = torch.tensor(
            [[False, False, False], [True, False, False], [True, True, False]]
        )
        unlike = {
            "a query that may not see itself: the diagonal is missing": strict,
            "an upper triangle: queries see the future instead of the past": expected.T,
            "True where attention is forbidden": ~expected,
        }
        check.equal(kata.causal_mask(3), expected, unlike=unlike)

    def test_a_short_query_block_is_at_the_end(self, kata):
        """With two queries and five keys, the queries are positions 3 and 4, so the
        first sees four keys. A triangle that starts in the top left corner would treat
        them as positions 0 and 1.
        """
        expected = torch.tensor(
            [[True, True, True, True, False], [True, True, True, True, True]]
        )
        top_left = torch.tensor(
            [[True, False, False, False, False], [True, True, False, False, False]]
        )
        unlike = {
            "the queries are at the first positions instead of the last": top_left
        }
        check.equal(kata.causal_mask(2, 5), expected, unlike=unlike)

    @given(case=queries_and_keys())
    def test_query_i_sees_up_to_its_own_position(self, kata, case):
        """For any T ≤ S, query i has position S − T + i. A single query, the newest
        token, sees every key.
        """
        T, S = case
        expected = torch.tensor([[j <= S - T + i for j in range(S)] for i in range(T)])
        check.equal(kata.causal_mask(T, S), expected)

    @pytest.mark.edge
    def test_is_on_the_device_asked_for(self, kata):
        """The mask must be on the device of the scores. "meta" is a device without data
        that every computer has.
        """
        mask = kata.causal_mask(3, 4, device="meta")
        check.that(
            mask.device.type == "meta", f"device is {mask.device}, expected meta"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(("query_len", "key_len"), [(7, 5), (3, 0)])
    def test_fewer_keys_than_queries_are_refused(self, kata, query_len, key_len):
        """The queries are the last of the keys' positions, so there cannot be more of
        them. 0 is a number of keys, not a missing argument. The message names
        both numbers.
        """
        with check.raises(ValueError, query_len, key_len):
            kata.causal_mask(query_len, key_len)


class TestPaddingMask:
    def test_has_a_dimension_for_the_queries(self, kata):
        """(B, 1, S): the 1 is where (B, T, S) scores have their queries, so that one
        row serves them all.
        """
        check.shape(kata.padding_mask(torch.tensor([2, 4, 1]), 5), (3, 1, 5))

    def test_the_first_keys_are_real(self, kata):
        """Padding is at the end: True for the first lengths[b] keys of sequence b, and
        for no other key.
        """
        expected = torch.tensor(
            [[[True, True, False, False, False]], [[True, True, True, True, False]]]
        )
        one_more = torch.tensor(
            [[[True, True, True, False, False]], [[True, True, True, True, True]]]
        )
        unlike = {
            "True where there is padding": ~expected,
            "one key too many: position lengths[b] is the first that is padding": (
                one_more
            ),
            "padding at the start": expected.flip(-1),
        }
        check.equal(kata.padding_mask(torch.tensor([2, 4]), 5), expected, unlike=unlike)

    @given(case=padded_batches())
    def test_any_lengths_up_to_max_len(self, kata, case):
        """The mask is as wide as the scores, even where no sequence is that long. A
        full sequence has no padding.
        """
        lengths, max_len = case
        expected = torch.tensor(
            [[[j < length for j in range(max_len)]] for length in lengths]
        )
        unlike = {"as wide as the longest sequence": expected[..., : max(lengths)]}
        check.equal(
            kata.padding_mask(torch.tensor(lengths), max_len), expected, unlike=unlike
        )

    @pytest.mark.edge
    def test_an_empty_sequence_is_all_padding(self, kata):
        """A length of 0 is allowed: no key of that sequence is real."""
        expected = torch.tensor([[[False, False, False]], [[True, True, False]]])
        check.equal(kata.padding_mask(torch.tensor([0, 2]), 3), expected)

    @pytest.mark.edge
    @pytest.mark.parametrize("bad", [-1, 5])
    def test_lengths_outside_0_to_max_len_are_refused(self, kata, bad):
        """One bad length among good ones is an error. A comparison would quietly take
        it as 0 or max_len.
        """
        lengths = torch.tensor([2, bad, 3])
        with check.raises(ValueError):
            kata.padding_mask(lengths, 4)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_is_on_the_device_of_the_lengths(self, kata):
        """Lengths on the GPU give a mask on the GPU, where the scores are."""
        mask = kata.padding_mask(torch.tensor([2, 4], device="cuda"), 5)
        check.that(
            mask.device.type == "cuda", f"device is {mask.device}, expected cuda"
        )
        check.equal(mask.sum(-1), torch.tensor([[2], [4]]))


@pytest.mark.stretch
class TestCombineMasks:
    def test_what_every_mask_allows(self, kata):
        """A key is visible if no mask forbids it: logical and, element by element."""
        first = torch.tensor([[True, True, False], [False, True, False]])
        second = torch.tensor([[True, False, True], [False, True, False]])
        expected = torch.tensor([[True, False, False], [False, True, False]])
        unlike = {
            "or: what some mask allows": first | second,
            "exclusive or": first ^ second,
        }
        check.equal(kata.combine_masks(first, second), expected, unlike=unlike)

    def test_none_if_nothing_is_left(self, kata):
        """No mask at all, or only None: there is no restriction, which is
        None again.
        """
        check.that(
            kata.combine_masks() is None,
            f"combine_masks() is {kata.combine_masks()}, expected None",
        )
        both = kata.combine_masks(None, None)
        check.that(both is None, f"combine_masks(None, None) is {both}, expected None")

    @given(masks=several_masks())
    def test_any_number_of_masks_that_broadcast(self, kata, masks):
        """A (T, S) causal mask and a (B, 1, S) padding mask make a (B, T, S) mask. None
        is no restriction, and the masks before and after it still count.
        """
        real = [mask for mask in masks if mask is not None]
        got = kata.combine_masks(*masks)
        if real:
            first = real[: masks.index(None)] if None in masks else real
            lost = (
                torch.stack(torch.broadcast_tensors(*first)).all(dim=0)
                if first
                else None
            )
            right = torch.stack(torch.broadcast_tensors(*real)).all(dim=0)
            unlike = {"None ends the loop: the masks behind it are lost": lost}
            check.equal(got, right, unlike=unlike if len(first) < len(real) else {})
        else:
            check.that(
                got is None,
                f"with {len(masks)} None and nothing else the result is {got}, "
                "expected None",
            )

    @pytest.mark.edge
    def test_no_mask_is_written_to(self, kata):
        """The caller goes on using its masks; `&=` would change the first one."""
        first, second = torch.rand(3, 5) < 0.5, torch.rand(3, 5) < 0.5
        with check.unchanged(first=first, second=second):
            kata.combine_masks(first, second)

    @pytest.mark.edge
    @pytest.mark.parametrize("place", [0, 1, 2], ids=["alone", "first", "second"])
    def test_masks_that_are_not_bool_are_refused(self, kata, place):
        """0/1 integers and floats look like masks, but for them `~` and `&` mean
        something else. That holds for the only mask as well as for the first or second
        of two.
        """
        wrong = torch.tensor([1, 0, 1]) if place == 1 else torch.tensor([1.0, 0.0, 1.0])
        right = torch.tensor([True, True, False])
        masks = [[wrong], [wrong, right], [right, wrong]][place]
        with check.raises(TypeError):
            kata.combine_masks(*masks)


class TestScaledDotProductAttention:
    def test_returns_output_and_weights(self, kata):
        """Two results, in this order: output (T, Dv), one row per query, and weights
        (T, S). All this is to be written without PyTorch's own function.
        """
        q, k, v = queries_keys_values()
        with check.forbidden(kata, *BUILT_IN):
            result = kata.scaled_dot_product_attention(q, k, v)
        pair = isinstance(result, tuple) and len(result) == 2
        check.that(pair, f"expected (output, weights), got {check.describe(result)}")
        check.shape(result[0], (4, 7), what="output")
        check.shape(result[1], (4, 6), what="weights")

    def test_a_small_example_by_hand(self, kata):
        """D = 4, so the scale is 1/2. The products with the three keys are 0, 2·log 2
        and 2·log 3, the scaled scores 0, log 2 and log 3. Softmax turns them into 1/6,
        2/6 and 3/6.
        """
        q = torch.tensor([[2.0, 0.0, 0.0, 0.0]])
        k = torch.zeros(3, 4)
        k[:, 0] = torch.tensor([1.0, 2.0, 3.0]).log()
        v = torch.tensor([[60.0, 0.0], [0.0, 60.0], [6.0, 6.0]])
        products = q @ k.T
        unlike = {
            "the scores were not scaled": products.softmax(-1),
            "divided by D, not by its root": (products / 4).softmax(-1),
            "multiplied by √D, not divided": (products * 2).softmax(-1),
            "scaled by √S, the number of keys": (products / math.sqrt(3)).softmax(-1),
            "softmax over the queries instead of the keys": torch.ones(1, 3),
        }
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.close(
            weights,
            torch.tensor([[1 / 6, 2 / 6, 3 / 6]]),
            what="weights",
            unlike=unlike,
        )
        check.close(output, torch.tensor([[13.0, 23.0]]), what="output")

    @given(leading=leading_dims())
    def test_matches_the_formula_for_any_leading_dims(self, kata, leading):
        """softmax(q kᵀ/√D) v for the last two dims, whatever comes before them:
        nothing, a batch, batch and heads. Sizes of 1 broadcast.
        """
        of_q, of_k, of_v = leading
        torch.manual_seed(0)
        q, k, v = (
            torch.randn(*of_q, 4, 5),
            torch.randn(*of_k, 6, 5),
            torch.randn(*of_v, 6, 7),
        )
        products = torch.einsum("...td,...sd->...ts", q, k)
        wrong = {
            "the scores were not scaled": products,
            "scaled by √T, the number of queries": products / math.sqrt(4),
            "scaled by √Dv, the width of the values": products / math.sqrt(7),
            "multiplied by √D": products * math.sqrt(5),
            "k was reshaped to (D, S), not transposed": q
            @ k.reshape(*of_k, 5, 6)
            / math.sqrt(5),
        }
        if len(of_q) == 2:
            wrong["scaled by √d_model, D times the number of heads"] = (
                products / math.sqrt(5 * of_q[1])
            )
        unlike = {name: scores.softmax(dim=-1) for name, scores in wrong.items()}
        unlike["softmax over the queries instead of the keys"] = (
            products / math.sqrt(5)
        ).softmax(dim=-2)
        expected = oracle(q, k, v)
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.close(weights, expected[1], what="weights", unlike=unlike)
        check.close(output, expected[0], what="output")

    def test_gradients_flow_through_both_results(self, kata):
        """q, k and v learn from the output, and q and k from the weights as well. A
        `detach` or `.data` on the way would leave one of them out.
        """
        check.gradients(
            lambda q, k, v: torch.cat(
                kata.scaled_dot_product_attention(q, k, v), dim=-1
            ),
            lambda q, k, v: torch.cat(oracle(q, k, v), dim=-1),
            *queries_keys_values(2),
        )

    def test_false_keys_are_hidden(self, kata):
        """True means "may attend". The softmax runs over the True keys alone, and the
        others get exactly 0: with 1e-9 of weight a masked key still leaks into
        the output.
        """
        q, k, v = queries_keys_values(2)
        mask = (torch.arange(6) < torch.tensor([[[3]], [[5]]])).expand(2, 4, 6)
        expected = oracle(q, k, v, mask)
        unlike = {
            "the mask is inverted: True keys are hidden": oracle(q, k, v, ~mask)[1],
            "masked after the softmax, so that the weights no longer sum to 1": oracle(
                q, k, v
            )[1]
            * mask,
            "the mask has no effect": oracle(q, k, v)[1],
        }
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.close(weights, expected[1], what="weights", unlike=unlike)
        check.close(output, expected[0], what="output")
        check.equal(weights[~mask], torch.zeros(16), what="weights of masked keys")

    def test_agrees_with_pytorch_on_every_shape_of_mask(self, kata):
        """F.scaled_dot_product_attention gives the same output for any mask that
        broadcasts to (2, 3, T, S).
        """
        q, k, v = queries_keys_values(2, 3)
        for shape in ((6,), (4, 6), (3, 1, 6), (2, 1, 4, 6), (2, 3, 4, 6)):
            mask = torch.rand(shape) < 0.5
            mask[..., 0] = True
            expected = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask.expand(2, 3, 4, 6)
            )
            output, _ = kata.scaled_dot_product_attention(q, k, v, mask)
            check.close(output, expected, what=f"output with a mask of shape {shape}")

    @given(now=st.integers(0, 4))
    def test_the_future_changes_nothing(self, kata, now):
        """Under a causal mask, later keys and values have no part in the outputs up to
        position `now`.
        """
        torch.manual_seed(0)
        q, k, v = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 2)
        causal = torch.ones(5, 5, dtype=torch.bool).tril()
        expected = kata.scaled_dot_product_attention(q, k, v, causal)[0][: now + 1]
        later = (torch.arange(5) > now).unsqueeze(1)
        output, _ = kata.scaled_dot_product_attention(
            q, k + 3 * later, v - 8 * later, causal
        )
        check.close(
            output[: now + 1],
            expected,
            what=f"outputs 0 to {now} after a change of the later positions",
        )

    def test_a_given_scale_replaces_the_usual_one(self, kata):
        """With `scale` the dot products are multiplied by it and by nothing else,
        masked or not.
        """
        q, k, v = queries_keys_values(2)
        for mask in (None, torch.ones(4, 6, dtype=torch.bool).tril(2)):
            expected = oracle(q, k, v, mask, 0.7)[1]
            unlike = {
                "`scale` is ignored": oracle(q, k, v, mask)[1],
                "`scale` comes on top of 1/√D": oracle(
                    q, k, v, mask, 0.7 / math.sqrt(5)
                )[1],
                "divided by `scale`": oracle(q, k, v, mask, 1 / 0.7)[1],
            }
            _, weights = kata.scaled_dot_product_attention(q, k, v, mask, scale=0.7)
            check.close(weights, expected, what="weights", unlike=unlike)

    def test_a_query_without_keys_gets_zeros(self, kata):
        """Softmax over nothing is 0/0. Here it is defined as zeros, for the weights and
        so for the output. NaN would spread through the network, and equal weights would
        be on keys that may not be seen.
        """
        q, k, v = queries_keys_values(2)
        mask = with_dead_rows()
        expected = oracle(q, k, v, mask)
        dead = ~mask.any(dim=-1, keepdim=True)
        unlike = {
            "a row without keys came out as NaN": expected[1].masked_fill(
                dead, math.nan
            ),
            "a row without keys came out uniform": torch.where(
                dead, 1 / 6, expected[1]
            ),
        }
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.close(weights, expected[1], what="weights", unlike=unlike)
        check.close(output, expected[0], what="output")

    def test_a_query_without_keys_leaves_the_gradients_finite(self, kata):
        """Its own gradient is 0, and no other one changes. Zeros written over a NaN are
        not enough: the derivative of what made the NaN is NaN too, and 0 · NaN is NaN.
        """
        mask = with_dead_rows()
        check.gradients(
            lambda q, k, v: torch.cat(
                kata.scaled_dot_product_attention(q, k, v, mask), dim=-1
            ),
            lambda q, k, v: torch.cat(oracle(q, k, v, mask), dim=-1),
            *queries_keys_values(2),
        )

    @pytest.mark.edge
    def test_a_scale_of_zero_weighs_all_keys_alike(self, kata):
        """0.0 is a scale like any other: every score is 0. Python counts 0.0 as false,
        so `scale or …` drops it.
        """
        q, k, v = queries_keys_values(2)
        unlike = {"a scale of 0.0 taken for no scale": oracle(q, k, v)[1]}
        _, weights = kata.scaled_dot_product_attention(q, k, v, scale=0.0)
        check.close(
            weights, torch.full((2, 4, 6), 1 / 6), what="weights", unlike=unlike
        )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """Scores of a hundred thousand choose one key: weight 1 for the largest, 0 for
        the rest. Their plain exponential is infinite, and inf/inf is NaN. Softmax
        subtracts the largest score first.
        """
        q, k, v = torch.zeros(4, 3), torch.zeros(6, 3), torch.randn(6, 7)
        q[:, 1] = 300 * torch.tensor([-2.0, 1.0, 4.0, -3.0])
        k[:, 1] = 300 * torch.tensor([1.0, 3.0, -2.0, 0.0, 2.0, -1.0])
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.close(weights, torch.eye(6)[[2, 1, 1, 2]], what="weights")
        check.close(output, v[[2, 1, 1, 2]], what="output")

    @pytest.mark.edge
    def test_a_masked_key_loses_against_any_score(self, kata):
        """Two live keys with a score of -1e5 share the weight. If a masked key gets a
        score like -1e4 instead of one below all others, it wins here.
        """
        q, k, v = (
            torch.full((2, 1), 1000.0),
            torch.tensor([[-100.0], [-100.0], [100.0]]),
            torch.randn(3, 2),
        )
        mask = torch.tensor([True, True, False])
        expected = torch.tensor([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]])
        unlike = {
            "a masked key that outdoes live ones": torch.tensor(
                [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
            ),
            "a masked key that takes the weight of live ones with it": torch.zeros(
                2, 3
            ),
        }
        _, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.close(weights, expected, what="weights", atol=0.02, unlike=unlike)

    @pytest.mark.edge
    def test_works_on_non_contiguous_inputs(self, kata):
        """Heads are cut out by transposing, and keys are shared by expanding: neither
        is contiguous in memory.
        """
        q, k, v = (
            torch.randn(2, 5, 4).mT,
            torch.randn(6, 2, 5).transpose(0, 1),
            torch.randn(6, 7).expand(2, 6, 7),
        )
        mask = (torch.rand(6, 4) < 0.7).T
        expected = oracle(q, k, v, mask)
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.close(weights, expected[1], what="weights")
        check.close(output, expected[0], what="output")

    @pytest.mark.edge
    def test_inputs_are_not_written_to(self, kata):
        """`q *= scale` would scale the caller's queries as well, and once more at the
        next call.
        """
        q, k, v = queries_keys_values(2)
        mask = with_dead_rows()
        with check.unchanged(q=q, k=k, v=v, mask=mask):
            kata.scaled_dot_product_attention(q, k, v, mask)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"]
    )
    def test_half_precision_is_kept(self, kata, dtype):
        """Both results keep the dtype and stay finite, with and without keys to see.
        float16 has no number like -1e9: filling with it is an error.
        """
        q, k, v = (x.to(dtype) for x in queries_keys_values(2))
        mask = with_dead_rows()
        expected = oracle(q, k, v, mask)
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.dtype(output, dtype, what="output")
        check.dtype(weights, dtype, what="weights")
        check.close(weights, expected[1], what="weights")
        check.close(output, expected[0], what="output")

    @pytest.mark.edge
    def test_float16_fits_scaled_scores(self, kata):
        """q = k = 40 with D = 64: each product sums up to 102400, beyond float16, but
        its scaled score is 12800. A product that overflows before it is scaled
        stays infinite.
        """
        q, k = (
            torch.full((2, 64), 40.0, dtype=torch.float16),
            torch.full((3, 64), 40.0, dtype=torch.float16),
        )
        v = torch.tensor([[3.0], [6.0], [9.0]], dtype=torch.float16)
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.finite(weights, what="weights")
        check.close(weights, torch.full((2, 3), 1 / 3), what="weights")
        check.close(output, torch.full((2, 1), 6.0), what="output", atol=0.02)

    @pytest.mark.edge
    def test_float64_keeps_its_precision(self, kata):
        """float64 in, float64 out, and computed in float64 on the way: a detour through
        float32 loses nine digits.
        """
        q, k, v = (x.double() for x in queries_keys_values(2))
        expected = oracle(q, k, v)
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.dtype(output, torch.float64, what="output")
        check.close(weights, expected[1], what="weights", rtol=1e-11)
        check.close(output, expected[0], what="output", rtol=1e-11)

    @pytest.mark.edge
    def test_results_have_the_dtype_of_the_values(self, kata):
        """Queries and keys in float32 for exact scores, values in bfloat16: output and
        weights are bfloat16.
        """
        q, k, v = queries_keys_values(2)
        v = v.bfloat16()
        expected = oracle(q, k, v)[0]
        output, weights = kata.scaled_dot_product_attention(q, k, v)
        check.dtype(output, torch.bfloat16, what="output")
        check.dtype(weights, torch.bfloat16, what="weights")
        check.close(output, expected, what="output")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.int64, torch.float32], ids=["int64", "float32"]
    )
    def test_masks_of_0_and_1_are_refused(self, kata, dtype):
        """A number says nothing about its meaning: a float mask could as well be added
        to the scores.
        """
        q, k, v = queries_keys_values(2)
        mask = torch.ones(4, 6, dtype=dtype)
        with check.raises(TypeError):
            kata.scaled_dot_product_attention(q, k, v, mask)

    @pytest.mark.edge
    @pytest.mark.parametrize(("dq", "dk"), [(11, 13), (13, 1)])
    def test_queries_and_keys_must_have_the_same_features(self, kata, dq, dk):
        """A dot product needs as many numbers on both sides; a single one is
        not repeated.
        """
        q, k, v = torch.randn(2, 4, dq), torch.randn(2, 6, dk), torch.randn(2, 6, 7)
        with check.raises(ValueError, dq, dk):
            kata.scaled_dot_product_attention(q, k, v)

    @pytest.mark.edge
    @pytest.mark.parametrize(("keys", "values"), [(17, 19), (19, 1)])
    def test_every_key_must_have_a_value(self, kata, keys, values):
        """Keys and values come in pairs: as many rows in k as in v."""
        q, k, v = (
            torch.randn(2, 4, 5),
            torch.randn(2, keys, 5),
            torch.randn(2, values, 7),
        )
        with check.raises(ValueError, keys, values):
            kata.scaled_dot_product_attention(q, k, v)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_stays_on_the_gpu(self, kata):
        """Output and weights are on the device of the inputs and have the values that
        the formula gives.
        """
        q, k, v = (x.cuda() for x in queries_keys_values(2))
        mask = with_dead_rows().cuda()
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.that(
            output.device == q.device,
            f"output is on {output.device}, expected {q.device}",
        )
        check.that(
            weights.device == q.device,
            f"weights are on {weights.device}, expected {q.device}",
        )
        expected = oracle(q, k, v, mask)
        check.close(weights, expected[1], what="weights", rtol=1e-3, atol=1e-4)
        check.close(output, expected[0], what="output", rtol=1e-3, atol=1e-4)

    @pytest.mark.edge
    @pytest.mark.amp
    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"]
    )
    def test_half_precision_is_kept_on_the_gpu(self, kata, dtype):
        """As on the CPU: both results keep the dtype and stay finite, with and without
        keys to see.
        """
        q, k, v = (x.to("cuda", dtype) for x in queries_keys_values(2))
        mask = with_dead_rows().cuda()
        expected = oracle(q, k, v, mask)
        output, weights = kata.scaled_dot_product_attention(q, k, v, mask)
        check.dtype(output, dtype, what="output")
        check.dtype(weights, dtype, what="weights")
        check.close(weights, expected[1], what="weights")
        check.close(output, expected[0], what="output")


class TestScoreStatistics:
    def test_equal_scores(self, kata):
        """Four keys with equal scores: no spread, the largest entropy, log 4, and
        1 − 4 · (1/4)² = 3/4 of gradient. Every output is the mean of the values.
        """
        scores, v = torch.full((3, 4), 2.0), torch.arange(8.0).reshape(4, 2)
        mean = v.mean(dim=0).expand(3, 2)
        expected = {
            "std": 0.0,
            "entropy": math.log(4),
            "gradient": 0.75,
            "output_std": mean.std(correction=0).item(),
        }
        unlike = {"in bits: nats need the natural logarithm": {"entropy": 2.0}}
        check.close(
            kata.score_statistics(scores, v),
            expected,
            rtol=0.2,
            atol=1e-5,
            unlike=unlike,
            what="statistics",
        )

    def test_matches_a_plain_loop(self, kata):
        """Entropy and gradient are sums over the keys of one query, averaged over the
        queries. The two standard deviations are over all entries of a matrix.
        """
        scores, v = 2 * torch.randn(20, 30), torch.randn(30, 25)
        w = scores.softmax(-1)
        unlike = {
            "the variance": {
                "std": scores.var().item(),
                "output_std": (w @ v).var().item(),
            },
            "in bits: nats need the natural logarithm": {
                "entropy": -(w * w.log2()).sum(-1).mean().item()
            },
            "averaged over the keys, not summed": {
                "entropy": -(w * w.log()).mean().item(),
                "gradient": (w * (1 - w)).mean().item(),
            },
            "summed over the queries, not averaged": {
                "entropy": -(w * w.log()).sum().item(),
                "gradient": (w * (1 - w)).sum().item(),
            },
            "of the weights, not of the output": {"output_std": w.std().item()},
        }
        expected = statistics_by_hand(scores, v)
        check.close(
            kata.score_statistics(scores, v),
            expected,
            rtol=2e-3,
            unlike=unlike,
            what="statistics",
        )

    def test_a_weight_of_zero_adds_no_entropy(self, kata):
        """Scores far apart make one weight 1 and the others exactly 0. 0 · log 0 counts
        as 0, its limit; computed literally it is NaN.
        """
        scores, v = 1000 * torch.eye(4)[[1, 3, 0]], torch.randn(4, 5)
        zeros = {"entropy": 0.0, "gradient": 0.0}
        unlike = {
            "0 · log 0 computed literally": {"entropy": math.nan, "gradient": 0.0}
        }
        got = kata.score_statistics(scores, v)
        check.close(
            {name: got[name] for name in zeros}, zeros, atol=1e-6, unlike=unlike
        )


class TestCompareScaling:
    def test_eight_floats_per_size_in_the_given_order(self, kata):
        """The keys are the sizes D themselves. Each has four measures, for the raw and
        for the scaled scores.
        """
        measures = ("std", "entropy", "gradient", "output_std")
        names = {f"{name}_{kind}" for name in measures for kind in ("raw", "scaled")}
        result = kata.compare_scaling([16, 1, 4], generator=seeded())
        check.equal(list(result), [16, 1, 4], what="keys")
        for dim, entry in result.items():
            check.that(
                set(entry) == names,
                f"entry {dim} has keys {sorted(entry)}, expected {sorted(names)}",
            )

    def test_only_raw_scores_spread_with_d(self, kata):
        """A dot product of D independent terms of variance 1 has variance D, so raw
        scores spread by √D. Divided by √D, the scores look the same at every D.
        """
        result = kata.compare_scaling([4, 64, 1024], generator=seeded())
        for dim in (4, 64, 1024):
            check.close(
                result[dim]["std_raw"],
                math.sqrt(dim),
                rtol=0.4,
                what=f"std_raw at D={dim}",
            )
            check.close(
                result[dim]["std_scaled"], 1.0, rtol=0.4, what=f"std_scaled at D={dim}"
            )

    def test_raw_and_scaled_measure_the_same_draw(self, kata):
        """Only the scale may differ between the two, so one standard deviation is
        exactly √D times the other. With D = 1 there is nothing to scale, and all four
        measures come in equal pairs.
        """
        result = kata.compare_scaling([9, 49, 1], generator=seeded())
        for dim in (9, 49):
            ratio = result[dim]["std_raw"] / result[dim]["std_scaled"]
            check.close(
                ratio,
                math.sqrt(dim),
                rtol=1e-4,
                what=f"std_raw / std_scaled at D={dim}",
            )
        for name in ("std", "entropy", "gradient", "output_std"):
            raw, scaled = result[1][f"{name}_raw"], result[1][f"{name}_scaled"]
            check.close(
                scaled,
                raw,
                rtol=1e-4,
                atol=1e-6,
                what=f"{name}_scaled at D=1, compared with {name}_raw",
            )

    def test_entropy_and_gradient_collapse_only_for_raw_scores(self, kata):
        """With D = 1024 the raw weights are almost one-hot: no entropy, and next to no
        gradient through softmax. The scaled ones keep both at every D.
        """
        result = kata.compare_scaling([4, 64, 1024], generator=seeded())
        for dim in (4, 64, 1024):
            entropy, gradient = (
                result[dim]["entropy_scaled"],
                result[dim]["gradient_scaled"],
            )
            check.that(
                2.5 < entropy < 3.47,
                f"entropy_scaled at D={dim} is {entropy:.3g}, expected 2.5 to 3.47",
            )
            check.that(
                0.75 < gradient < 1,
                f"gradient_scaled at D={dim} is {gradient:.3g}, expected 0.75 to 1",
            )
        entropy, gradient = result[1024]["entropy_raw"], result[1024]["gradient_raw"]
        check.that(
            -1e-6 < entropy < 0.6,
            f"entropy_raw at D=1024 is {entropy:.3g}, expected 0 to 0.6",
        )
        check.that(
            -1e-6 < gradient < 0.3,
            f"gradient_raw at D=1024 is {gradient:.3g}, expected 0 to 0.3",
        )

    def test_raw_output_copies_and_scaled_output_averages(self, kata):
        """One-hot weights copy a row of v, whose entries spread by 1. An average over
        many rows spreads far less.
        """
        result = kata.compare_scaling([64, 1024], generator=seeded())
        for dim in (64, 1024):
            raw, scaled = (
                result[dim]["output_std_raw"],
                result[dim]["output_std_scaled"],
            )
            check.that(
                0.7 < raw < 1.3,
                f"output_std_raw at D={dim} is {raw:.3g}, expected near 1",
            )
            check.that(
                0.1 < scaled < 0.45,
                f"output_std_scaled at D={dim} is {scaled:.3g}, expected 0.1 to 0.45",
            )

    def test_more_keys_and_values_of_their_own(self, kata):
        """Over 512 keys with scores of spread 1, the entropy is close to log 512 − 1/2
        and the output is an average of many values. The values have nothing to do with
        the keys: a query that sums keys finds itself in its output.
        """
        entry = kata.compare_scaling(
            [4], num_queries=24, num_keys=512, generator=seeded()
        )[4]
        entropy, spread, about = (
            entry["entropy_scaled"],
            entry["output_std_scaled"],
            math.log(512) - 0.5,
        )
        check.that(
            abs(entropy - about) < 0.4,
            f"entropy_scaled is {entropy:.3g}, expected about {about:.3g}",
        )
        check.that(
            spread < 0.3, f"output_std_scaled is {spread:.3g}, expected below 0.3"
        )

    def test_the_generator_decides_every_draw(self, kata):
        """The same seed gives the same dict, whatever torch's global generator has done
        in between. Another seed, or the same generator used further, gives another.
        """
        generator = seeded(8)
        first, further = (
            kata.compare_scaling([2, 5], generator=generator) for _ in range(2)
        )
        torch.rand(3)
        check.close(kata.compare_scaling([2, 5], generator=seeded(8)), first, rtol=1e-5)
        check.that(
            further != first,
            "two calls with one generator give the same numbers: it is reset, or not "
            "used",
        )
        check.that(
            kata.compare_scaling([2, 5], generator=seeded(9)) != first,
            "seeds 8 and 9 give the same numbers",
        )


@pytest.mark.stretch
class TestAttentionCost:
    def test_dot_products(self, kata):
        """T·S pairs with D multiplications each, no nonlinearity, and one score per
        pair. Dot products take q and k as given, so no projection is counted.
        """
        expected = {
            "multiplications": 3 * 5 * 7,
            "nonlinearities": 0,
            "largest_intermediate": 3 * 5,
        }
        unlike = {
            "projections are counted, which dot products do not have": {
                "multiplications": 3 * 49 + 5 * 49 + 105
            }
        }
        check.equal(
            kata.attention_cost(3, 5, 7)["dot"], expected, what="dot", unlike=unlike
        )

    def test_additive_attention(self, kata):
        """W_q on T queries and W_k on S keys, D² each; then, per pair, D tanh calls and
        D products with v. The sums of all pairs are one tensor of T·S·D elements.
        """
        expected = {
            "multiplications": 3 * 49 + 5 * 49 + 3 * 5 * 7,
            "nonlinearities": 3 * 5 * 7,
            "largest_intermediate": 3 * 5 * 7,
        }
        unlike = {
            "the projections W_q and W_k are not counted": {"multiplications": 105},
            "the projection of the queries is not counted": {
                "multiplications": 5 * 49 + 105
            },
            "the projection of the keys is not counted": {
                "multiplications": 3 * 49 + 105
            },
        }
        check.equal(
            kata.attention_cost(3, 5, 7)["additive"],
            expected,
            what="additive",
            unlike=unlike,
        )
