"""Specs of 14: a softmax under a mask, reading a weighted sum, additive scores, and a
decoder that looks back.
"""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

B, T, S = 2, 4, 5  # batch, queries, keys
DQ, DK, DV, HIDDEN = 3, 6, 8, 7  # numbers in a query, a key, a value, and in the tanh
V, EMBED, STATE = 9, 4, 6  # symbols, numbers in an embedding, numbers in a state


def mask_of(*rows):
    """A bool mask from strings: "110" is True, True, False."""
    return torch.tensor([[c == "1" for c in row] for row in rows])


def a_pair(result, names):
    """The result is a tuple of two."""
    check.that(
        isinstance(result, tuple) and len(result) == 2,
        f"expected {names}, got {check.describe(result)}",
    )


def unsaturated(module):
    """The module with parameters that all differ and are large enough to make results
    differ, too.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7)
    return module


def softmax_by_hand(scores, mask, dim=-1):
    """A softmax in float64 over the allowed numbers of each slice alone, one slice
    after the other.
    """
    scores = scores.double().movedim(dim, -1)
    mask = mask.movedim(dim, -1).reshape(-1, scores.shape[-1])
    slices = []
    for numbers, allowed in zip(
        scores.reshape(-1, scores.shape[-1]), mask, strict=True
    ):
        row = torch.zeros_like(numbers)
        if allowed.any():
            row = row.masked_scatter(allowed, numbers[allowed].softmax(dim=0))
        slices.append(row)
    return torch.stack(slices).reshape(scores.shape).movedim(-1, dim)


def attend_by_hand(scores, values, mask):
    """The weighted sum in float64, key by key; the mask is (B, T, S)."""
    weights = softmax_by_hand(scores, mask)
    return sum(
        weights[:, :, s, None] * values[:, s, None].double()
        for s in range(values.shape[1])
    )


def scores_by_hand(attention, query, keys):
    """v · tanh(W_q q + W_k k) in float64, pair by pair."""
    w_q, w_k, v = (
        getattr(attention, name).weight.double() for name in ("W_q", "W_k", "v")
    )
    pairs = [
        [
            torch.stack(
                [v[0] @ torch.tanh(w_q @ q + w_k @ k) for k in keys[b].double()]
            )
            for q in query[b].double()
        ]
        for b in range(len(query))
    ]
    return torch.stack([torch.stack(rows) for rows in pairs])


def attention_inputs(**options):
    """A query, keys and values of different lengths and sizes."""
    return (
        torch.randn(B, T, DQ, **options),
        torch.randn(B, S, DK, **options),
        torch.randn(B, S, DV, **options),
    )


def sentences(lengths=(3, 5), steps=T):
    """src, padded with PAD on the right, its mask, and tgt_in."""
    src, tgt_in = (
        torch.randint(2, V, (len(lengths), max(lengths))),
        torch.randint(1, V, (len(lengths), steps)),
    )
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return src.masked_fill(~mask, 0), mask, tgt_in


def encoded_by(model, src):
    """(all states, last state) of the encoder."""
    return model.encoder(model.embedding(src))


def decoded_by(model, encoded, last, tgt_in):
    """(logits, weights) of a decoder that starts from `last` and looks back
    at `encoded`.
    """
    states = model.decoder(model.embedding(tgt_in), last)[0]
    if model.attention is None:
        return model.head(states), None
    context, weights = model.attention(states, encoded)
    return model.head(torch.cat([context, states], dim=-1)), weights


def model_by_hand(model, src, tgt_in, lengths=None):
    """(logits, weights) in float64, one sequence after the other, each without
    its padding.
    """
    if model.head.weight.dtype != torch.float64:
        model = copy.deepcopy(model).double()
    logits, weights = [], []
    for b, length in enumerate(lengths or [src.shape[1]] * len(src)):
        answer, row = decoded_by(
            model, *encoded_by(model, src[b : b + 1, :length]), tgt_in[b : b + 1]
        )
        logits.append(answer)
        weights += [] if row is None else [F.pad(row, (0, src.shape[1] - length))]
    return torch.cat(logits), torch.cat(weights) if weights else None


def started_from_zeros(model, src, tgt_in):
    encoded, last = encoded_by(model, src)
    return decoded_by(model, encoded, torch.zeros_like(last), tgt_in)


def state_before_context(model, src, tgt_in):
    encoded, last = encoded_by(model, src)
    states = model.decoder(model.embedding(tgt_in), last)[0]
    return model.head(torch.cat([states, model.attention(states, encoded)[0]], dim=-1))


def asked_one_step_early(model, src, tgt_in):
    encoded, last = encoded_by(model, src)
    states = model.decoder(model.embedding(tgt_in), last)[0]
    return model.attention(
        torch.cat([last.transpose(0, 1), states[:, :-1]], dim=1), encoded
    )[1]


def decode_by_hand(model, src, max_len, lengths=None):
    """(tokens, weights): the argmax loop, which computes everything anew at
    each step.
    """
    tokens = torch.full((len(src), 1), 1)
    for _ in range(max_len):
        logits, weights = model_by_hand(model, src, tokens, lengths)
        tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)
    return tokens[:, 1:], None if weights is None else weights.detach()


def modes_of(model, act):
    """The training flags of the encoder, one per call, while act() runs."""
    seen = []
    model.encoder.register_forward_pre_hook(lambda *_: seen.append(model.training))
    act()
    return seen


def loss_by_hand(model, src, tgt_in, tgt_out):
    return (
        -model(src, tgt_in)[0]
        .log_softmax(dim=-1)
        .gather(2, tgt_out.unsqueeze(-1))
        .mean()
    )


def losses_by_hand(model, batches, lr):
    """The losses of training on these batches, each before its update."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for batch in batches:
        model.zero_grad()
        loss = loss_by_hand(model, *batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def losses_of_piled_up_gradients(model, batches, lr):
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for batch in batches:
        loss = loss_by_hand(model, *batch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@st.composite
def masked_scores(draw):
    """Scores, a dim, and a mask that broadcasts to them and leaves something in
    every slice.
    """
    shape = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    sizes = [draw(st.sampled_from([1, n])) for n in shape][
        draw(st.integers(0, len(shape) - 1)) :
    ]
    bits = st.lists(
        st.sampled_from([True, True, False]),
        min_size=math.prod(sizes),
        max_size=math.prod(sizes),
    )
    mask = torch.tensor(draw(bits)).reshape(sizes)
    dim = draw(st.integers(-len(shape), len(shape) - 1))
    assume(bool(mask.expand(shape).any(dim=dim).all()))
    return torch.randn(shape, dtype=torch.float64), mask, dim


@st.composite
def padded_batches(draw):
    """Sentences of some lengths with padding of any symbols behind them, and the number
    of decoder steps.
    """
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    width = max(lengths) + draw(st.integers(0, 2))
    symbols = st.lists(st.integers(0, V - 1), min_size=width, max_size=width)
    src = torch.tensor([draw(symbols) for _ in lengths])
    return src, lengths, draw(st.integers(1, 3)), draw(st.booleans())


class Watch:
    """Replaces training and decoding inside compare_seq2seq: nothing is trained, and
    what was asked is kept.

    The losses of a plain model are 3, 2, 1.75, with attention 3, 2, 1.5. The decoded
    answer is right but for its first symbol.
    """

    def __init__(self, kata, monkeypatch):
        self.trained, self.models, self.decoded = [], [], []
        draw = kata.make_reversal_batch

        def train(model, steps, batch_size=64, length=8, lr=5e-3, generator=None):
            self.models.append(copy.deepcopy(model))
            drawn = [
                draw(batch_size, length, model.embedding.num_embeddings, generator)[0]
                for _ in range(steps)
            ]
            self.trained.append(
                {
                    "steps": steps,
                    "batch_size": batch_size,
                    "length": length,
                    "lr": lr,
                    "drawn": drawn,
                }
            )
            return [3.0, 2.0, 1.75 if model.attention is None else 1.5]

        def decode(model, src, max_len, src_mask=None):
            self.decoded.append(src)
            tokens = src.flip(1)[:, :max_len].clone()
            tokens[:, 0] = 0  # never a symbol of the task
            return tokens, None

        monkeypatch.setattr(kata, "train_seq2seq", train)
        monkeypatch.setattr(kata, "greedy_decode", decode)


class TestMaskedSoftmax:
    def test_masked_entries_are_zero_and_the_others_share_one(self, kata):
        """The softmax is taken over the allowed scores alone. Masked entries get
        exactly 0, and the others add up to 1 without them.
        """
        scores = torch.randn(2, 3, 4)
        mask = torch.stack(
            [mask_of("1101", "0110", "1000"), mask_of("1110", "0011", "1010")]
        )
        free = scores.double().softmax(dim=-1)
        unlike = {
            "the mask is inverted: True means takes part": softmax_by_hand(
                scores, ~mask
            ),
            "masked after the softmax: the others no longer add up to 1": free * mask,
            "scores of 0, not of −∞, where nothing is allowed: e⁰ = 1 counts": (
                scores.double() * mask
            ).softmax(dim=-1),
            (
                "the mask is inverted before the softmax, and not behind it: nothing "
                "is left"
            ): torch.zeros(2, 3, 4),
            "the mask is ignored": free,
            "the softmax runs over another dimension": softmax_by_hand(
                scores, mask, dim=1
            ),
            "the logarithm of the weights": softmax_by_hand(scores, mask).log(),
        }
        weights = kata.masked_softmax(scores, mask)
        check.close(weights, softmax_by_hand(scores, mask), unlike=unlike)
        check.that(
            bool((weights[~mask] == 0).all()),
            "masked weights should be exactly 0, some are only nearly so",
        )

    def test_without_a_mask_it_is_a_plain_softmax(self, kata):
        """None means that everything is allowed. `dim` matters here, too."""
        scores = torch.randn(2, 3, 4)
        check.close(
            kata.masked_softmax(scores),
            scores.double().softmax(dim=-1),
            what="over the last dimension",
        )
        unlike = {
            "the last dimension, whatever dim says": scores.double().softmax(dim=-1)
        }
        check.close(
            kata.masked_softmax(scores, dim=1),
            scores.double().softmax(dim=1),
            unlike=unlike,
            what="with dim=1",
        )

    def test_dim_says_what_adds_up_to_one(self, kata):
        """With dim=1 the columns of each matrix add up to 1."""
        scores = torch.randn(2, 3, 4)
        mask = torch.stack(
            [mask_of("1101", "0110", "1011"), mask_of("1111", "1011", "0101")]
        )
        for dim in (1, -2):
            unlike = {
                "the last dimension, whatever dim says": softmax_by_hand(scores, mask)
            }
            expected = softmax_by_hand(scores, mask, dim)
            check.close(
                kata.masked_softmax(scores, mask, dim),
                expected,
                unlike=unlike,
                what=f"with dim={dim}",
            )

    @given(case=masked_scores())
    def test_values_and_gradients_for_any_mask_that_broadcasts(self, kata, case):
        """A mask may leave out leading dimensions or have sizes of 1, which mean "the
        same for all". Gradients flow to the allowed scores as in a softmax over
        these alone.
        """
        scores, mask, dim = case
        full = mask.expand(scores.shape)
        what = f"a mask of shape {tuple(mask.shape)}, dim={dim}"
        check.close(
            kata.masked_softmax(scores, mask, dim),
            softmax_by_hand(scores, full, dim),
            what=what,
        )
        ours, theirs = (
            lambda x: kata.masked_softmax(x, mask, dim),
            lambda x: softmax_by_hand(x, full, dim),
        )
        check.gradients(ours, theirs, scores)

    @pytest.mark.edge
    def test_dead_slices_are_zeros(self, kata):
        """Where nothing is allowed, all weights are 0. A softmax over −inf only is NaN.
        Over a large negative fill it is uniform, and the context becomes the mean of
        everything that should be hidden.
        """
        scores = torch.randn(2, 3)
        unlike = {
            "uniform: a large negative fill alone": torch.full((3,), 1 / 3),
            "a softmax over −inf only, which is NaN": torch.full((3,), math.nan),
        }
        mask = mask_of("000", "110")
        weights = kata.masked_softmax(scores, mask)
        check.equal(
            weights[0],
            torch.zeros(3),
            unlike=unlike,
            what="weights of the slice without any True",
        )
        check.close(
            weights[1],
            softmax_by_hand(scores, mask)[1],
            what="weights of the slice beside it",
        )
        dead = kata.masked_softmax(scores, mask_of("010", "010"), dim=0)[:, 0]
        check.equal(
            dead,
            torch.zeros(2),
            what="weights of the first column without any True, dim=0",
        )

    @pytest.mark.edge
    def test_gradients_of_dead_slices_are_finite(self, kata):
        """One NaN in a dead slice makes every parameter behind the scores NaN.
        Repairing the result afterwards may be too late, because the gradient was
        NaN already.
        """
        mask = torch.stack(
            [mask_of("1101", "0000", "1000"), mask_of("1111", "0011", "0000")]
        )
        scores = torch.randn(2, 3, 4, dtype=torch.float64)
        check.gradients(
            lambda x: kata.masked_softmax(x, mask),
            lambda x: softmax_by_hand(x, mask),
            scores,
        )

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """exp(1000) is infinite and exp(−1000) is 0. Subtracting the largest *allowed*
        score first avoids both. A masked 1000 must not matter, nor a masked 1e10, which
        a penalty of −1e9 does not hide.
        """
        scores = torch.tensor(
            [
                [1000.0, 999.0, -1000.0],
                [-1000.0, -1001.0, 1000.0],
                [1e10, 1000.0, 1000.0],
            ]
        )
        mask = mask_of("111", "110", "011")
        check.close(
            kata.masked_softmax(scores, mask),
            softmax_by_hand(scores, mask),
            what="with a mask",
        )
        check.close(
            kata.masked_softmax(scores),
            scores.double().softmax(dim=-1),
            what="without a mask",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str
    )
    def test_every_dtype_comes_back_as_itself(self, kata, dtype):
        """float16 ends at 65,504, so a fill of −1e9 is an error or an infinity there;
        and weights that come back in float32 double the memory of a
        half-precision model.
        """
        mask = mask_of("1101", "0000", "1000")
        scores = torch.randn(3, 4).to(dtype)
        for given_mask, full in ((mask, mask), (None, torch.ones_like(mask))):
            weights = kata.masked_softmax(scores, given_mask)
            check.dtype(
                weights,
                dtype,
                what="weights without a mask"
                if given_mask is None
                else "masked weights",
            )
            check.close(
                weights, softmax_by_hand(scores, full), what=f"weights in {dtype}"
            )

    @pytest.mark.edge
    def test_scores_and_mask_stay_as_they_were(self, kata):
        """Callers use both again. An in-place `masked_fill_` would leave them scores
        full of −inf.
        """
        scores, mask = torch.randn(2, 3), mask_of("010", "000")
        with check.unchanged(scores=scores, mask=mask):
            kata.masked_softmax(scores, mask)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float32, torch.int64, torch.uint8], ids=str
    )
    def test_a_mask_that_is_not_bool_is_refused(self, kata, dtype):
        """Some use float masks of 0 and 1, others add masks of 0 and −inf. The function
        cannot tell which is meant.
        """
        with check.raises(TypeError):
            kata.masked_softmax(torch.zeros(2, 3), torch.ones(2, 3, dtype=dtype))


class TestAttend:
    def test_context_is_the_weighted_sum_of_the_values(self, kata):
        """Each query has weights over the keys that add up to 1, and its context is the
        sum of the values with these weights. There is one context per query, as wide as
        a value.
        """
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        everything = torch.ones(B, T, S, dtype=torch.bool)
        weights = softmax_by_hand(scores, everything)
        over_queries = scores.double().softmax(dim=1)
        pair = kata.attend(scores, values)
        a_pair(pair, "(context, weights)")
        check.shape(pair[0], (B, T, DV), what="context")
        check.close(
            pair[1],
            weights,
            unlike={"the softmax runs over the queries": over_queries},
            what="weights",
        )
        check.close(pair[0], attend_by_hand(scores, values, everything), what="context")

    def test_a_2d_mask_hides_keys_from_all_queries(self, kata):
        """(B, S) says which source positions are real. All queries of that batch
        element get weight 0 elsewhere.
        """
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        mask = mask_of("11100", "10011")
        full = mask[:, None].expand(B, T, S)
        free = scores.double().softmax(dim=-1)
        unlike = {
            "the mask is inverted": softmax_by_hand(scores, ~full),
            "the mask is ignored": free,
        }
        context, weights = kata.attend(scores, values, mask)
        check.close(
            weights, softmax_by_hand(scores, full), unlike=unlike, what="weights"
        )
        check.close(context, attend_by_hand(scores, values, full), what="context")

    def test_a_2d_mask_is_per_batch_element_even_when_b_equals_t(self, kata):
        """With as many queries as batch elements, a (B, S) mask also fits as (T, S),
        and no error is raised.
        """
        scores, values = torch.randn(3, 3, S), torch.randn(3, S, DV)
        mask = mask_of("11100", "10011", "01110")
        expected = softmax_by_hand(scores, torch.stack([mask] * 3, dim=1))
        unlike = {
            "row t of the mask was given to query t": softmax_by_hand(
                scores, torch.stack([mask] * 3)
            )
        }
        check.close(
            kata.attend(scores, values, mask)[1],
            expected,
            unlike=unlike,
            what="weights",
        )

    def test_a_3d_mask_is_per_query(self, kata):
        """(B, T, S) lets each query look at keys of its own."""
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        mask = torch.rand(B, T, S) > 0.5
        context, weights = kata.attend(scores, values, mask)
        check.close(weights, softmax_by_hand(scores, mask), what="weights")
        check.close(context, attend_by_hand(scores, values, mask), what="context")

    @given(
        sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
        masked=st.booleans(),
    )
    def test_every_size_may_be_one(self, kata, sizes, masked):
        """One query, one key or a batch of one: a dimension of size 1 stays."""
        b, t, s = sizes
        scores, values, mask = (
            torch.randn(b, t, s),
            torch.randn(b, s, DV),
            torch.rand(b, s) > 0.5,
        )
        mask[:, 0] = True
        full = (mask if masked else torch.ones_like(mask))[:, None].expand(b, t, s)
        context, weights = kata.attend(scores, values, mask if masked else None)
        check.close(weights, softmax_by_hand(scores, full), what="weights")
        check.close(context, attend_by_hand(scores, values, full), what="context")

    def test_gradients_reach_scores_and_values(self, kata):
        """The scores learn where to look, the values what to show there. Some losses
        act on the weights themselves, so the weights need a graph as well.
        """
        scores, values = (
            torch.randn(B, T, S, dtype=torch.float64),
            torch.randn(B, S, DV, dtype=torch.float64),
        )
        mask = mask_of("11100", "10011")
        full = mask[:, None].expand(B, T, S)
        ours, theirs = (
            lambda s, v: kata.attend(s, v, mask)[0],
            lambda s, v: attend_by_hand(s, v, full),
        )
        check.gradients(ours, theirs, scores, values)
        weights = kata.attend(scores.requires_grad_(), values)[1]
        check.that(
            weights.requires_grad,
            "the weights carry no graph: no gradient can reach the scores through them",
        )

    @pytest.mark.edge
    def test_a_query_without_keys_reads_zeros(self, kata):
        """A sequence of padding alone has nothing to read. Its context is zeros: not
        NaN, and not the mean of the padding.
        """
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        context, weights = kata.attend(scores, values, mask_of("00000", "10011"))
        unlike = {"the mean of all values": values[0].mean(dim=0).expand(T, DV)}
        check.close(
            context[0],
            torch.zeros(T, DV),
            unlike=unlike,
            what="context of the element without real keys",
        )
        check.equal(
            weights[0],
            torch.zeros(T, S),
            what="weights of the element without real keys",
        )

    @pytest.mark.edge
    def test_contents_of_masked_keys_do_not_matter(self, kata):
        """Padding may hold any numbers: neither its scores nor its values may change
        the context.
        """
        scores, values, mask = (
            torch.randn(B, T, S),
            torch.randn(B, S, DV),
            mask_of("11100", "10011"),
        )
        expected = attend_by_hand(scores, values, mask[:, None].expand(B, T, S))
        scores = scores.masked_fill(~mask[:, None], 1e4)
        values = values.masked_fill(~mask[..., None], -1e4)
        check.close(kata.attend(scores, values, mask)[0], expected, what="context")

    @pytest.mark.edge
    def test_the_arguments_stay_as_they_were(self, kata):
        """Scores, values and masks belong to the caller, who may use them again."""
        scores, values, mask = (
            torch.randn(B, T, S),
            torch.randn(B, S, DV),
            mask_of("11100", "00000"),
        )
        with check.unchanged(scores=scores, values=values, mask=mask):
            kata.attend(scores, values, mask)


class TestAdditiveAttentionScore:
    def test_scores_match_a_triple_loop(self, kata):
        """For each pair: project query and key, add the two, take the tanh of the sum,
        and only then weigh by v. The rows of the result are the queries, its columns
        the keys.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, _ = attention_inputs()
        q, k = (attention.W_q(query)[:, :, None], attention.W_k(keys)[:, None])
        unlike = {
            "the tanh of each part before the sum": attention.v(
                q.tanh() + k.tanh()
            ).squeeze(-1),
            "no tanh": attention.v(q + k).squeeze(-1),
            "a product in place of the sum": attention.v(torch.tanh(q * k)).squeeze(-1),
            "the tanh after v": attention.v(q + k).squeeze(-1).tanh(),
            "a sigmoid in place of the tanh": attention.v((q + k).sigmoid()).squeeze(
                -1
            ),
            "a difference in place of the sum": attention.v(torch.tanh(q - k)).squeeze(
                -1
            ),
            "v is left out": torch.tanh(q + k).sum(dim=-1),
        }
        check.close(
            attention.score(query, keys),
            scores_by_hand(attention, query, keys),
            unlike=unlike,
        )

    @given(sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)))
    def test_every_size_may_be_one(self, kata, sizes):
        """One query or one key still has its dimension. A `squeeze` that names no
        dimension removes one too many.
        """
        batch, queries, keys = sizes
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        inputs = torch.randn(batch, queries, DQ), torch.randn(batch, keys, DK)
        what = f"scores for B = {batch}, T = {queries}, S = {keys}"
        check.close(
            attention.score(*inputs), scores_by_hand(attention, *inputs), what=what
        )

    def test_gradients_reach_every_parameter_and_input(self, kata):
        """W_q (what to look for), W_k (how to be found) and v (which features count)
        are all learned.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN)).double()
        query, keys, _ = attention_inputs(dtype=torch.float64, requires_grad=True)
        learning = {"query": query, "keys": keys} | dict(attention.named_parameters())
        probe = torch.randn(B, T, S, dtype=torch.float64)
        expected = torch.autograd.grad(
            (scores_by_hand(attention, query, keys) * probe).sum(), [*learning.values()]
        )
        scores = (attention.score(query, keys) * probe).sum()
        got = torch.autograd.grad(scores, [*learning.values()], allow_unused=True)
        for name, mine, right in zip(learning, got, expected, strict=True):
            check.that(mine is not None, f"no gradient reaches {name}")
            check.close(mine, right, what=f"gradient of {name}")


class TestAdditiveAttentionForward:
    def test_values_default_to_the_keys(self, kata):
        """Without values, the query reads the keys that it was compared with:
        Σ weight · key.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, _ = attention_inputs()
        weights = scores_by_hand(attention, query, keys).softmax(dim=-1)
        pair = attention(query, keys)
        a_pair(pair, "(context, weights)")
        unlike = {
            "the scores, without a softmax": scores_by_hand(attention, query, keys)
        }
        check.close(pair[1], weights, unlike=unlike, what="weights")
        check.close(pair[0], weights @ keys.double(), what="context")

    def test_context_uses_the_values_not_the_keys(self, kata):
        """Keys are for finding, values for reading. Here a value has 8 features and a
        key has 6.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = attention_inputs()
        weights = scores_by_hand(attention, query, keys).softmax(dim=-1)
        context, got = attention(query, keys, values)
        unlike = {"read from the keys": weights @ keys.double()}
        check.close(context, weights @ values.double(), unlike=unlike, what="context")
        check.close(got, weights, what="weights")

    def test_masks_of_both_kinds(self, kata):
        """(B, S) hides keys from all queries of a batch element, (B, T, S) from each
        query separately.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = attention_inputs()
        scores = scores_by_hand(attention, query, keys)
        per_element = mask_of("11100", "10011")
        per_query = torch.rand(B, T, S) > 0.5
        for mask, full in (
            (per_element, per_element[:, None].expand(B, T, S)),
            (per_query, per_query),
        ):
            context, weights = attention(query, keys, values, mask)
            what = f"with a mask of shape {tuple(mask.shape)}"
            check.close(weights, softmax_by_hand(scores, full), what=f"weights {what}")
            check.close(
                context,
                softmax_by_hand(scores, full) @ values.double(),
                what=f"context {what}",
            )

    @given(sizes=st.tuples(st.integers(1, 3), st.integers(1, 3)), masked=st.booleans())
    def test_one_step_is_a_sequence_of_one_without_its_dimension(
        self, kata, sizes, masked
    ):
        """A query (B, Dq) gets what (B, 1, Dq) gets: context (B, Dv) and weights (B, S)
        instead of (B, 1, Dv) and (B, 1, S). A `squeeze` that names no dimension also
        removes B = 1 or S = 1. A (B, S) mask still works.
        """
        batch, length = sizes
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = (
            torch.randn(batch, DQ),
            torch.randn(batch, length, DK),
            torch.randn(batch, length, DV),
        )
        mask = (
            torch.arange(length) < torch.arange(1, batch + 1)[:, None]
            if masked
            else None
        )
        allowed = torch.ones(batch, length, dtype=torch.bool) if mask is None else mask
        expected = softmax_by_hand(
            scores_by_hand(attention, query[:, None], keys), allowed[:, None]
        )
        one, many = (
            attention(query, keys, values, mask),
            attention(query[:, None], keys, values, mask),
        )
        check.close(many[1], expected, what="weights of a query (B, 1, Dq)")
        check.close(
            many[0], expected @ values.double(), what="context of a query (B, 1, Dq)"
        )
        unlike = {"a `squeeze` that names no dimension": expected.squeeze()}
        check.close(
            one[1], expected[:, 0], unlike=unlike, what="weights of a query (B, Dq)"
        )
        check.close(
            one[0],
            (expected @ values.double())[:, 0],
            what="context of a query (B, Dq)",
        )

    @pytest.mark.edge
    def test_works_on_transposed_views_and_changes_nothing(self, kata):
        """Query and keys are often non-contiguous views. They give the same scores as a
        copy would, and stay unchanged.
        """
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys = torch.randn(B, DQ, T).mT, torch.randn(S, B, DK).transpose(0, 1)
        mask = mask_of("11100", "10011")
        expected = softmax_by_hand(
            scores_by_hand(attention, query, keys), mask[:, None].expand(B, T, S)
        )
        with check.unchanged(query=query, keys=keys, mask=mask):
            weights = attention(query, keys, mask=mask)[1]
        check.close(weights, expected, what="weights")


class TestSeq2SeqInit:
    def test_its_parts(self, kata):
        """One embedding, two GRUs of one layer and one direction, the attention, and a
        head that reads context and state: twice as many numbers as without attention.
        """
        for use_attention, wide in ((True, 2 * STATE), (False, STATE)):
            model = kata.Seq2Seq(V, EMBED, STATE, use_attention=use_attention)
            said = f"use_attention={use_attention}: "
            shapes = {
                name: tuple(p.shape)
                for name, p in model.state_dict().items()
                if "attention" not in name
            }
            gru = {
                "weight_ih_l0": (3 * STATE, EMBED),
                "weight_hh_l0": (3 * STATE, STATE),
            }
            gru |= {"bias_ih_l0": (3 * STATE,), "bias_hh_l0": (3 * STATE,)}
            expected = {
                "embedding.weight": (V, EMBED),
                "head.weight": (V, wide),
                "head.bias": (V,),
            }
            expected |= {
                f"{name}.{key}": shape
                for name in ("encoder", "decoder")
                for key, shape in gru.items()
            }
            odd = {
                n: (shapes.get(n), expected.get(n))
                for n in shapes | expected
                if shapes.get(n) != expected.get(n)
            }
            check.that(
                not odd,
                f"{said}the state_dict differs from the wanted one, as name: (is, "
                f"should be): {odd}",
            )
            kinds = {
                "embedding": nn.Embedding,
                "encoder": nn.GRU,
                "decoder": nn.GRU,
                "head": nn.Linear,
            }
            wrong = [
                name
                for name, kind in kinds.items()
                if not isinstance(getattr(model, name), kind)
            ]
            check.that(not wrong, f"{said}{wrong} should be of the kinds {kinds}")
            batch_first = model.encoder.batch_first and model.decoder.batch_first
            check.that(batch_first, f"{said}both GRUs need batch_first=True")
            trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
            wanted = sum(
                math.prod(s) for s in expected.values()
            ) + use_attention * STATE * (2 * STATE + 1)
            why = "a shared part?" if trained < wanted else "a part too many?"
            check.that(
                trained == wanted,
                f"{said}{trained} numbers are trained, expected {wanted}: {why}",
            )

    def test_attention_is_the_default(self, kata):
        """The attention is an `AdditiveAttention` of the hidden size, and a part of the
        model unless refused.
        """
        attention = kata.Seq2Seq(V, EMBED, STATE).attention
        check.that(
            isinstance(attention, kata.AdditiveAttention),
            f"model.attention is {check.describe(attention)}",
        )
        shapes = {name: tuple(p.shape) for name, p in attention.state_dict().items()}
        expected = {
            "W_q.weight": (STATE, STATE),
            "W_k.weight": (STATE, STATE),
            "v.weight": (1, STATE),
        }
        check.that(
            shapes == expected, f"model.attention has {shapes}, expected {expected}"
        )

    def test_the_plain_model_has_no_attention(self, kata):
        """Unused parameters must not exist: the optimizer and every checkpoint would
        carry them along.
        """
        model = kata.Seq2Seq(V, EMBED, STATE, use_attention=False)
        check.that(
            model.attention is None,
            f"model.attention should be None, it is {check.describe(model.attention)}",
        )
        names = [name for name, _ in model.named_parameters() if "attention" in name]
        check.that(not names, f"the plain model has parameters {names}")


class TestSeq2SeqForward:
    def test_matches_a_loop_over_sequences(self, kata):
        """Encode; decode from the encoder's last state; ask with each decoder state;
        read the encoder's states; and put the context before the state for the head.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, tgt_in = sentences((S, S))
        logits, weights = model_by_hand(model, src, tgt_in)
        from_zeros, weights_from_zeros = started_from_zeros(model, src, tgt_in)
        got = model(src, tgt_in)
        a_pair(got, "(logits, weights)")
        unlike = {
            "the decoder starts from zeros, not from the encoder": weights_from_zeros,
            "asked with the state before the step": asked_one_step_early(
                model, src, tgt_in
            ),
        }
        check.close(got[1], weights, unlike=unlike, what="weights")
        unlike = {
            "the decoder starts from zeros, not from the encoder": from_zeros,
            "the head reads the state before the context": state_before_context(
                model, src, tgt_in
            ),
        }
        check.close(got[0], logits, unlike=unlike, what="logits")

    def test_the_plain_model_matches_a_loop_over_sequences(self, kata):
        """Without attention the decoder gets one state of the encoder, the head reads
        the decoder's state alone, and the weights are None.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention=False))
        src, _, tgt_in = sentences((S, S))
        unlike = {
            "the decoder starts from zeros, not from the encoder": started_from_zeros(
                model, src, tgt_in
            )[0]
        }
        logits, weights = model(src, tgt_in)
        check.close(
            logits, model_by_hand(model, src, tgt_in)[0], unlike=unlike, what="logits"
        )
        check.that(
            weights is None,
            f"the weights should be None, not {check.describe(weights)}",
        )

    def test_the_decoder_starts_at_the_last_real_symbol(self, kata):
        """A GRU reads on through the padding, so its final state has half forgotten a
        short sequence. Start from the state at the last real symbol, whose position
        differs from row to row.
        """
        src, mask, tgt_in = sentences((3, 5, 1))
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention=False))
        unlike = {
            "the decoder starts from the state after the padding": model_by_hand(
                model, src, tgt_in
            )[0],
            "the decoder starts from zeros, not from the encoder": started_from_zeros(
                model, src, tgt_in
            )[0],
        }
        expected = model_by_hand(model, src, tgt_in, (3, 5, 1))[0]
        check.close(
            model(src, tgt_in, mask)[0],
            expected,
            unlike=unlike,
            what="logits of a plain model",
        )

    def test_padding_gets_weight_zero(self, kata):
        """The decoder may look at real symbols only, and their weights add up to 1."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, tgt_in = sentences((3, 5, 1))
        weights = model(src, tgt_in, mask)[1]
        looks = bool(weights.masked_select(~mask[:, None]).any())
        check.that(
            not looks,
            "the attention gives weight to padding: it needs the mask as well",
        )
        check.close(
            weights, model_by_hand(model, src, tgt_in, (3, 5, 1))[1], what="weights"
        )

    @given(case=padded_batches())
    def test_padding_never_changes_the_logits(self, kata, case):
        """A sequence in a padded batch gets the answer that it gets alone, however much
        padding there is and whatever symbols it holds. Any size may be 1.
        """
        src, lengths, steps, use_attention = case
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention))
        tgt_in = torch.randint(1, V, (len(src), steps))
        mask = torch.arange(src.shape[1]) < torch.tensor(lengths)[:, None]
        logits = model(src, tgt_in, mask)[0]
        expected = model_by_hand(model, src, tgt_in, lengths)[0]
        check.close(logits, expected, what=f"logits, use_attention={use_attention}")

    def test_step_t_sees_tgt_in_only_up_to_t(self, kata):
        """In decoding there is no later symbol yet. A decoder that also reads backwards
        learns to copy the answer, and fails when the answer is missing.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, tgt_in = sentences((S, S))
        changed = tgt_in.clone()
        changed[:, 2:] = torch.where(tgt_in[:, 2:] == 2, 3, 2)
        logits, weights = model(src, tgt_in)
        later, later_weights = model(src, changed)
        check.close(
            later[:, :2],
            logits[:, :2],
            what="logits of steps 0 and 1 after a change at 2",
        )
        check.close(
            later_weights[:, :2],
            weights[:, :2],
            what="weights of steps 0 and 1 after a change at 2",
        )
        moved = not torch.allclose(later[:, 2], logits[:, 2], atol=1e-4)
        check.that(moved, "step 2 does not react to its own symbol")

    def test_gradients_reach_every_parameter(self, kata):
        """A `detach` between encoder and decoder, or between context and head, leaves a
        part of the model at its random start.
        """
        src, mask, tgt_in = sentences((3, 5))
        probe = torch.randn(B, T, V, dtype=torch.float64)
        for use_attention in (False, True):
            model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention)).double()
            twin = copy.deepcopy(model)
            (model(src, tgt_in, mask)[0] * probe).sum().backward()
            (model_by_hand(twin, src, tgt_in, (3, 5))[0] * probe).sum().backward()
            for (name, parameter), right in zip(
                model.named_parameters(), twin.parameters(), strict=True
            ):
                check.that(
                    parameter.grad is not None,
                    f"use_attention={use_attention}: no gradient reaches {name}",
                )
                check.close(
                    parameter.grad,
                    right.grad,
                    rtol=1e-5,
                    atol=1e-7,
                    what=f"gradient of {name}",
                )

    @pytest.mark.edge
    def test_calls_change_nothing(self, kata):
        """The arguments stay as they were, and no state is kept from one call to
        the next.
        """
        src, mask, tgt_in = sentences((3, 5))
        for options in check.modes(use_attention=[False]):
            model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, **options))
            first = model(src, tgt_in, mask)
            with check.unchanged(src=src, src_mask=mask, tgt_in=tgt_in):
                model(src[:1], tgt_in[:1, :2])
                again = model(src, tgt_in, mask)
            check.close(
                again[0],
                first[0],
                what=f"logits of the same call after another, with {options}",
            )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_works_on_the_gpu(self, kata):
        """Everything that the model makes on the way is on the device of its input."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, tgt_in = sentences((3, 5))
        expected = model_by_hand(model, src, tgt_in, (3, 5))[0]
        logits, weights = model.cuda()(src.cuda(), tgt_in.cuda(), mask.cuda())
        devices = (logits.device.type, weights.device.type)
        check.that(
            devices == ("cuda", "cuda"),
            f"logits and weights are on {devices}, expected cuda",
        )
        check.close(logits, expected, rtol=1e-2, atol=1e-2, what="logits")


class TestGreedyDecode:
    def test_tokens_and_weights_have_their_shapes(self, kata):
        """Each sequence gets max_len symbols of type int64, and each symbol a row of
        weights. The model was fed the BOS and did not write it, so BOS is no part of
        the result.
        """
        model = kata.Seq2Seq(V, EMBED, STATE)
        src, _, _ = sentences((S, S))
        for max_len in (7, 1):  # longer than the source, and one step
            pair = kata.greedy_decode(model, src, max_len)
            a_pair(pair, "(tokens, weights)")
            kept = torch.is_tensor(pair[0]) and tuple(pair[0].shape) == (B, max_len + 1)
            check.that(
                not kept,
                f"{max_len + 1} tokens, {max_len} are expected",
                like="the BOS left in the answer",
            )
            check.shape(pair[0], (B, max_len), what="tokens")
            check.dtype(pair[0], torch.int64, what="tokens")
            check.shape(pair[1], (B, max_len, S), what="weights")

    def test_tokens_match_the_argmax_loop(self, kata):
        """Fed BOS, the model writes its first symbol; fed that symbol, it writes the
        second. Only its own symbols are fed back.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, _ = sentences((S, S, S, S))
        expected, weights = decode_by_hand(model, src, 6)
        with_bos = torch.cat(
            [torch.ones(4, 1, dtype=torch.int64), expected[:, :-1]], dim=1
        )
        reversal = torch.cat([torch.ones(4, 1, dtype=torch.int64), src.flip(1)], dim=1)
        unlike = {
            "the BOS is returned as the first symbol": with_bos,
            "the answer of the first position each time": expected[:, :1].expand(-1, 6),
            "fed the right answer instead of its own words": model_by_hand(
                model, src, reversal
            )[0].argmax(dim=-1),
        }
        tokens, got = kata.greedy_decode(model, src, 6)
        check.equal(tokens, expected, unlike=unlike, what="tokens")
        check.close(got, weights, what="weights")

    def test_a_plain_model_has_no_weights(self, kata):
        """The same loop serves a model without attention. There is nothing to plot
        then, and the weights are None.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention=False))
        src, _, _ = sentences((S, S, S))
        tokens, weights = kata.greedy_decode(model, src, 6)
        check.equal(tokens, decode_by_hand(model, src, 6)[0], what="tokens")
        check.that(
            weights is None,
            f"the weights should be None, not {check.describe(weights)}",
        )

    def test_the_source_mask_is_used(self, kata):
        """Padded sources decode as they would alone, and padding gets no weight."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, _ = sentences((3, 5, 1, 4))
        tokens, weights = kata.greedy_decode(model, src, 6, mask)
        expected, right = decode_by_hand(model, src, 6, (3, 5, 1, 4))
        check.equal(
            tokens,
            expected,
            unlike={"the mask is ignored": decode_by_hand(model, src, 6)[0]},
            what="tokens",
        )
        check.close(weights, right, what="weights")

    def test_every_symbol_may_be_written(self, kata):
        """The argmax runs over all V symbols, PAD and BOS among them. Neither ends the
        decoding early.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, _ = sentences((S, S))
        for symbol in range(V):
            with torch.no_grad():
                model.head.weight.zero_()
                model.head.bias.copy_(F.one_hot(torch.tensor(symbol), V))
            tokens = kata.greedy_decode(model, src, 2)[0]
            check.equal(
                tokens,
                torch.full((B, 2), symbol),
                what=f"tokens where {symbol} is always the likeliest",
            )

    def test_decodes_in_eval_mode(self, kata):
        """In training mode, dropout or batch norm would change the answer, once the
        model has any.
        """
        model = kata.Seq2Seq(V, EMBED, STATE).train()
        seen = modes_of(
            model, lambda: kata.greedy_decode(model, sentences((S, S))[0], 2)
        )
        check.that(
            bool(seen) and not any(seen),
            "the encoder ran while the model was in training mode",
        )

    def test_no_graph_is_built(self, kata):
        """Nobody differentiates a plot, and a graph over all steps would keep every
        step in memory.
        """
        model = kata.Seq2Seq(V, EMBED, STATE)
        _, weights = kata.greedy_decode(model, sentences((S, S))[0], 2)
        check.that(not weights.requires_grad, "the weights carry a graph")
        check.that(
            torch.is_grad_enabled(), "gradients are still switched off after the call"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("flag", [True, False])
    def test_the_training_flag_is_put_back(self, kata, flag):
        """Training goes on after a look at the answers. The model and all its parts
        leave in the mode they came in.
        """
        model = kata.Seq2Seq(V, EMBED, STATE).train(flag)
        kata.greedy_decode(model, sentences((S, S))[0], 2)
        check.that(
            model.training == flag,
            f"model.training was {flag} and is now {model.training}",
        )
        parts = ", ".join(
            name for name, part in model.named_modules() if part.training != flag
        )
        check.that(
            not parts,
            f"model.training is {flag} as before, but no longer that of its parts "
            f"{parts}",
        )

    @pytest.mark.edge
    def test_the_flag_is_put_back_after_an_error(self, kata):
        """A symbol that the embedding lacks raises an error. Even then the model goes
        back to training mode.
        """
        model = kata.Seq2Seq(V, EMBED, STATE)
        with check.raises(Exception):
            kata.greedy_decode(model, torch.full((B, S), V), 2)
        check.that(model.training, "after the error the model is still in eval mode")

    @pytest.mark.edge
    def test_the_source_stays_as_it_was(self, kata):
        """The caller still compares the answer with the source."""
        src, mask, _ = sentences((3, 5))
        with check.unchanged(src=src, src_mask=mask):
            kata.greedy_decode(kata.Seq2Seq(V, EMBED, STATE), src, 2, mask)

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_works_on_the_gpu(self, kata):
        """The BOS that starts the decoding has to be made on the device of
        the source.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).cuda()
        tokens, weights = kata.greedy_decode(model, sentences((S, S))[0].cuda(), 3)
        devices = (tokens.device.type, weights.device.type)
        check.that(
            devices == ("cuda", "cuda"),
            f"tokens and weights are on {devices}, expected cuda",
        )


@pytest.mark.stretch
class TestTrainSeq2Seq:
    def test_a_loss_for_every_step(self, kata):
        """Return one plain float per step. A list of tensors would keep the graph of
        every step alive.
        """
        losses = kata.train_seq2seq(
            kata.Seq2Seq(V, EMBED, STATE), 3, batch_size=2, length=2
        )
        floats = (
            isinstance(losses, list)
            and len(losses) == 3
            and all(type(loss) is float for loss in losses)
        )
        check.that(floats, f"expected a list of 3 floats, got {check.describe(losses)}")

    def test_losses_match_the_loop(self, kata):
        """Each step takes a fresh batch from the generator, with teacher forcing and
        the mean cross-entropy over all positions. Adam makes one update from fresh
        gradients; the loss is measured before it.
        """
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).double()
        generator = torch.Generator().manual_seed(3)
        batches = [kata.make_reversal_batch(5, 3, V, generator) for _ in range(4)]
        expected = losses_by_hand(copy.deepcopy(model), batches, 0.05)
        unlike = {
            "the gradients of earlier steps are not cleared": torch.tensor(
                losses_of_piled_up_gradients(copy.deepcopy(model), batches, 0.05)
            ),
            "summed over all positions, not averaged": 15 * torch.tensor(expected),
            "scored on tgt_in, what the decoder is fed": torch.tensor(
                losses_by_hand(
                    copy.deepcopy(model),
                    [(src, fed, fed) for src, fed, _ in batches],
                    0.05,
                )
            ),
            "the decoder is fed tgt_out, the answer": torch.tensor(
                losses_by_hand(
                    copy.deepcopy(model),
                    [(src, answer, answer) for src, _, answer in batches],
                    0.05,
                )
            ),
            "one batch for all steps": torch.tensor(
                losses_by_hand(copy.deepcopy(model), batches[:1] * 4, 0.05)
            ),
        }
        losses = torch.tensor(
            kata.train_seq2seq(model, 4, 5, 3, 0.05, generator.manual_seed(3))
        )
        check.close(
            losses,
            torch.tensor(expected),
            rtol=1e-3,
            atol=1e-3,
            unlike=unlike,
            what="the losses",
        )

    def test_the_defaults(self, kata, monkeypatch):
        """64 sequences of 8 symbols from the model's own vocabulary and lr = 0.005,
        unless told otherwise.
        """
        asked, drawn, draw = [], [], kata.make_reversal_batch

        def watch(batch_size, length, vocab_size, generator=None):
            asked.append((batch_size, length, vocab_size))
            drawn.append(draw(batch_size, length, vocab_size, generator))
            return drawn[-1]

        monkeypatch.setattr(kata, "make_reversal_batch", watch)
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).double()
        twin = copy.deepcopy(model)
        losses = kata.train_seq2seq(model, 2)
        check.that(
            asked == [(64, 8, V)] * 2,
            f"batches (size, length, vocabulary) are {asked}, not (64, 8, {V}) twice",
        )
        check.close(
            losses,
            losses_by_hand(twin, drawn, 5e-3),
            rtol=1e-3,
            atol=1e-3,
            what="the losses with lr = 0.005",
        )

    def test_trains_in_training_mode(self, kata):
        """A model that comes from decoding is in eval mode, where dropout is off.
        Training has to switch back.
        """
        model = kata.Seq2Seq(V, EMBED, STATE).eval()
        seen = modes_of(model, lambda: kata.train_seq2seq(model, 2, 2, 2))
        check.that(bool(seen) and all(seen), "the model was trained in eval mode")

    @pytest.mark.timeout(60)
    def test_sixty_steps_learn_to_reverse_four_symbols(self, kata):
        """60 steps bring the loss well below its start. With accumulated gradients, or
        without updates, it stays there.
        """
        losses = kata.train_seq2seq(
            kata.Seq2Seq(8, 16, 32),
            60,
            32,
            4,
            generator=torch.Generator().manual_seed(0),
        )
        start, end = losses[0], sum(losses[-5:]) / 5
        check.that(
            end < 0.7 * start,
            f"the loss went from {start:.2f} to {end:.2f}, expected below "
            f"{0.7 * start:.2f}",
        )


@pytest.mark.stretch
class TestCompareSeq2Seq:
    def test_numbers_for_every_length(self, kata, monkeypatch):
        """By length, then "plain" and "attention", each with its last training loss and
        the share of right symbols. Training and decoding are replaced here: the last
        losses are 1.75 without attention and 1.5 with it, and each answer is right but
        for its first symbol.
        """
        Watch(kata, monkeypatch)

        def table(plain, attention, accuracy):
            losses = {"plain": plain, "attention": attention}
            return {
                n: {m: {"loss": x, "accuracy": accuracy(n)} for m, x in losses.items()}
                for n in (3, 4)
            }

        unlike = {
            "the share of sequences that are right as a whole": table(
                1.75, 1.5, lambda n: 0.0
            ),
            "the first loss": table(3.0, 3.0, lambda n: (n - 1) / n),
            "the names of the two models are exchanged": table(
                1.5, 1.75, lambda n: (n - 1) / n
            ),
        }
        check.close(
            kata.compare_seq2seq([3, 4], steps=2),
            table(1.75, 1.5, lambda n: (n - 1) / n),
            unlike=unlike,
        )

    def test_one_model_with_attention_and_one_without(self, kata, monkeypatch):
        """One model looks back and one does not; both have the sizes asked for."""
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([3], 2, 7, 11)
        sizes = [
            (
                m.embedding.num_embeddings,
                m.embedding.embedding_dim,
                m.encoder.hidden_size,
            )
            for m in watch.models
        ]
        check.that(
            sizes == [(11, 16, 7)] * 2,
            f"(vocabulary, embed_dim, hidden) are {sizes}, not (11, 16, 7) twice",
        )
        with_attention = sorted(model.attention is not None for model in watch.models)
        check.that(
            with_attention == [False, True],
            "expected one model with attention and one without",
        )

    def test_both_models_see_the_same_batches(self, kata, monkeypatch):
        """A model with attention has more parameters and draws more random numbers for
        them. If the batches come from the same generator, seeded once, the models see
        different batches, and part of the difference is luck.
        """
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([3], steps=2)
        how = [
            (t["steps"], t["batch_size"], t["length"], t["lr"]) for t in watch.trained
        ]
        check.that(
            how == [(2, 64, 3, 5e-3)] * 2,
            f"trained with (steps, batch size, length, lr) {how}",
        )
        first, second = (torch.stack(t["drawn"]) for t in watch.trained)
        check.equal(
            second,
            first,
            what="the training batches of the second model, beside those of the first",
        )

    def test_each_model_starts_from_the_seed(self, kata, monkeypatch):
        """Call `torch.manual_seed(seed)` right before each model is made. Its
        parameters then depend on the seed alone, and both models start with the
        same embedding.
        """
        watch = Watch(kata, monkeypatch)
        for state, seed in ((1, 4), (2, 4), (2, 5)):
            torch.manual_seed(state)
            kata.compare_seq2seq([3], steps=1, seed=seed)
        weights = [
            nn.utils.parameters_to_vector(model.parameters()) for model in watch.models
        ]
        for i in (0, 1):
            check.equal(
                weights[2 + i],
                weights[i],
                what="parameters at the start, whatever was drawn before",
            )
            check.that(
                not torch.equal(weights[4 + i], weights[i]),
                "another seed should give another start",
            )
        for i, made in enumerate(watch.models[:2]):
            torch.manual_seed(4)
            fresh = kata.Seq2Seq(12, 16, 32, made.attention is not None)
            check.equal(
                weights[i],
                nn.utils.parameters_to_vector(fresh.parameters()),
                what="parameters at the start",
            )

    def test_the_test_batch_is_new_to_both(self, kata, monkeypatch):
        """200 sequences from another seed, the same for both models. With the training
        seed, the test batch would begin with sequences of the first training batch.
        Another seed gives other batches, in training and test.
        """
        watch = Watch(kata, monkeypatch)
        for seed in (0, 5):
            kata.compare_seq2seq([5], steps=2, seed=seed)
        for src in watch.decoded:
            check.shape(src, (200, 5), what="the test batch")
        check.equal(
            watch.decoded[1],
            watch.decoded[0],
            what="the test batch of the second model, beside the first's",
        )
        for drawn in watch.trained[0]["drawn"]:
            check.that(
                not torch.equal(watch.decoded[0][:64], drawn),
                "the test batch holds a training batch",
            )
        same_training = torch.equal(
            watch.trained[0]["drawn"][0], watch.trained[2]["drawn"][0]
        )
        check.that(not same_training, "seeds 0 and 5 give the same training batch")
        check.that(
            not torch.equal(watch.decoded[0], watch.decoded[2]),
            "seeds 0 and 5 give the same test batch",
        )

    def test_the_defaults(self, kata, monkeypatch):
        """200 steps, a hidden size of 32, a vocabulary of 12 and the seed 0, unless
        told otherwise.
        """
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([2])
        steps = [trained["steps"] for trained in watch.trained]
        check.that(
            steps == [200, 200],
            f"each model should be trained for 200 steps, not {steps}",
        )
        sizes = [
            (model.encoder.hidden_size, model.embedding.num_embeddings)
            for model in watch.models
        ]
        check.that(
            sizes == [(32, 12)] * 2,
            f"(hidden size, vocabulary) are {sizes}, not (32, 12) twice",
        )
        kata.compare_seq2seq([2], 1, seed=0)
        weights = [m.embedding.weight for m in watch.models]
        check.equal(
            weights[0],
            weights[2],
            what="embedding at the start by default, beside that with seed=0",
        )

    def test_lengths_do_not_influence_one_another(self, kata):
        """Each length starts from the seed again, so its numbers do not depend on what
        was run before.
        """
        alone = kata.compare_seq2seq([2], 2, 5, 6, 3)
        together = kata.compare_seq2seq([3, 2], 2, 5, 6, 3)
        check.that(
            list(together) == [3, 2], f"the keys are {list(together)}, expected [3, 2]"
        )
        check.close(
            together[2], alone[2], rtol=1e-3, atol=1e-3, what="length 2 after length 3"
        )

    @pytest.mark.timeout(60)
    def test_at_length_6_attention_is_ahead(self, kata):
        """One state has to carry six symbols, and after 60 steps the plain model gets
        about 0.4 of them right. With attention every symbol can still be read, and the
        share is higher by at least 0.15.
        """
        result = kata.compare_seq2seq([6], steps=60, hidden_size=48)[6]
        plain, attention = result["plain"]["accuracy"], result["attention"]["accuracy"]
        check.that(
            attention >= plain + 0.15,
            f"accuracy {attention:.2f} with attention and {plain:.2f} without",
        )
