"""Specs of 14: a softmax under a mask, reading a weighted sum, additive scores, and a decoder that looks back."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
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
    check.that(isinstance(result, tuple) and len(result) == 2, f"expected {names}, got {check.describe(result)}")


def softmax_by_hand(scores, mask, dim=-1):
    """A softmax in float64 over the allowed numbers of each slice alone, one slice after the other."""
    scores = scores.double().movedim(dim, -1)
    mask = mask.movedim(dim, -1)
    slices = []
    for numbers, allowed in zip(scores.flatten(0, -2), mask.flatten(0, -2), strict=True):
        row = torch.zeros_like(numbers)
        if allowed.any():
            row = row.masked_scatter(allowed, numbers[allowed].softmax(dim=0))
        slices.append(row)
    return torch.stack(slices).reshape(scores.shape).movedim(-1, dim)


def attend_by_hand(scores, values, mask):
    """The weighted sum in float64, query by query; the mask is (B, T, S)."""
    weights = softmax_by_hand(scores, mask)
    context = torch.zeros(*scores.shape[:2], values.shape[2], dtype=torch.float64)
    for s in range(values.shape[1]):
        context = context + weights[:, :, s, None] * values[:, s, None].double()
    return context


def unsaturated(module):
    """The module with parameters that all differ and are large enough to make results differ, too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.7)
    return module


def scores_by_hand(attention, query, keys):
    """v · tanh(W_q q + W_k k) in float64, pair by pair."""
    w_q, w_k, v = (getattr(attention, name).weight.double() for name in ("W_q", "W_k", "v"))
    pairs = [
        [torch.stack([v[0] @ torch.tanh(w_q @ q + w_k @ k) for k in keys[b].double()]) for q in query[b].double()]
        for b in range(len(query))
    ]
    return torch.stack([torch.stack(rows) for rows in pairs])


def attention_inputs(**options):
    """A query, keys and values of different lengths and sizes."""
    return torch.randn(B, T, DQ, **options), torch.randn(B, S, DK, **options), torch.randn(B, S, DV, **options)


def sentences(lengths=(3, 5), steps=T):
    """src, padded with PAD on the right, its mask, and tgt_in."""
    src, tgt_in = torch.randint(2, V, (len(lengths), max(lengths))), torch.randint(1, V, (len(lengths), steps))
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return src.masked_fill(~mask, 0), mask, tgt_in


def model_by_hand(model, src, tgt_in, lengths=None, start=None, query="state", head="context, state"):
    """(logits, weights) in float64, one sequence after the other, without its padding. The last three make mistakes."""
    if model.head.weight.dtype != torch.float64:
        model = copy.deepcopy(model).double()
    logits, weights = [], []
    for b, own in enumerate(tgt_in):
        length = src.shape[1] if lengths is None else lengths[b]
        encoded, last = model.encoder(model.embedding(src[b : b + 1, :length]))
        if start == "after padding":
            last = model.encoder(model.embedding(src[b : b + 1]))[1]
        elif start == "zeros":
            last = torch.zeros_like(last)
        states = model.decoder(model.embedding(own[None]), last)[0]
        if model.attention is None:
            logits.append(model.head(states)[0])
            continue
        asked = torch.cat([last, states[:, :-1]], dim=1) if query == "before" else states
        context, row = model.attention(asked, encoded)
        both = [context, states] if head == "context, state" else [states, context]
        logits.append(model.head(torch.cat(both, dim=-1))[0])
        weights.append(F.pad(row[0], (0, src.shape[1] - length)))
    return torch.stack(logits), torch.stack(weights) if weights else None


def decode_by_hand(model, src, max_len, lengths=None):
    """(tokens, weights): the argmax loop, which computes everything anew at each step."""
    tokens = torch.full((len(src), 1), 1)
    for _ in range(max_len):
        logits, weights = model_by_hand(model, src, tokens, lengths)
        tokens = torch.cat([tokens, logits[:, -1:].argmax(dim=-1)], dim=1)
    return tokens[:, 1:], None if weights is None else weights.detach()


def seen_by(encoder, look):
    """A list that grows by look() at each call of the encoder."""
    seen = []
    encoder.register_forward_pre_hook(lambda *_: seen.append(look()))
    return seen


def losses_by_hand(kata, model, steps, batch_size, length, lr, generator, keep_gradients=False):
    """(losses before, losses after each update) of the loop of train_seq2seq; keep_gradients makes a mistake."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    before, after = [], []
    for _ in range(steps):
        src, tgt_in, tgt_out = kata.make_reversal_batch(batch_size, length, V, generator)

        def loss_now(src=src, tgt_in=tgt_in, tgt_out=tgt_out):
            return -model(src, tgt_in)[0].log_softmax(dim=-1).gather(2, tgt_out.unsqueeze(-1)).mean()

        if not keep_gradients:
            model.zero_grad()
        loss = loss_now()
        loss.backward()
        optimizer.step()
        before.append(loss.item())
        after.append(loss_now().item())
    return before, after


class Watch:
    """Stands in for training and decoding inside compare_seq2seq: nothing is trained, and what was asked is kept.

    The decoded answer is right but for its first symbol, which is too small in one half and too large in the other.
    """

    def __init__(self, kata, monkeypatch):
        self.trained, self.models, self.decoded = [], [], []
        draw = kata.make_reversal_batch

        def train(model, steps, batch_size=64, length=8, lr=5e-3, generator=None):
            self.models.append(copy.deepcopy(model))
            drawn = [draw(batch_size, length, model.embedding.num_embeddings, generator)[0] for _ in range(steps)]
            self.trained.append({"steps": steps, "batch_size": batch_size, "length": length, "lr": lr, "drawn": drawn})
            return [3.0, 2.0, 1.5]

        vocabulary = 99  # larger than any symbol

        def decode(model, src, max_len, src_mask=None):
            self.decoded.append(src)
            tokens = src.flip(1)[:, :max_len].clone()
            tokens[::2, 0], tokens[1::2, 0] = 0, vocabulary
            return tokens, None

        monkeypatch.setattr(kata, "train_seq2seq", train)
        monkeypatch.setattr(kata, "greedy_decode", decode)


class TestMaskedSoftmax:
    def test_masked_entries_are_zero_and_the_others_share_one(self, kata):
        """The softmax is taken over the allowed scores alone. What is masked gets exactly 0, and the others add up to 1
        without it."""
        scores = torch.randn(2, 3, 4)
        mask = torch.stack([mask_of("1101", "0110", "1000"), mask_of("1111", "0011", "1010")])
        free = scores.double().softmax(dim=-1)
        unlike = {
            "the mask is inverted: True means takes part": softmax_by_hand(scores, ~mask),
            "masked after the softmax: the others no longer add up to 1": free * mask,
            "the mask is ignored": free,
            "the softmax runs over another dimension": softmax_by_hand(scores, mask, dim=1),
            "the logarithm of the weights": softmax_by_hand(scores, mask).log(),
        }
        weights = kata.masked_softmax(scores, mask)
        check.close(weights, softmax_by_hand(scores, mask), unlike=unlike)
        check.that(bool((weights[~mask] == 0).all()), "masked weights should be exactly 0, some are only nearly so")

    def test_without_a_mask_it_is_a_plain_softmax(self, kata):
        """None stands for a mask that allows everything."""
        scores = torch.randn(2, 3, 4)
        check.close(kata.masked_softmax(scores), scores.double().softmax(dim=-1), what="over the last dimension")
        check.close(kata.masked_softmax(scores, dim=1), scores.double().softmax(dim=1), what="with dim=1")
        check.close(kata.masked_softmax(scores, None, 0), scores.double().softmax(dim=0), what="with dim=0")

    def test_dim_says_what_adds_up_to_one(self, kata):
        """With dim=1 the columns of each matrix add up to 1. The scores here are a transposed view, too."""
        scores = torch.randn(2, 4, 3).mT
        mask = torch.stack([mask_of("1101", "0110", "1010"), mask_of("1111", "1011", "0101")])
        for dim in (0, 1, -2):
            unlike = {"the last dimension, whatever dim says": softmax_by_hand(scores, mask)}
            expected = softmax_by_hand(scores, mask, dim)
            check.close(kata.masked_softmax(scores, mask, dim), expected, unlike=unlike, what=f"with dim={dim}")

    def test_dead_slices_are_zeros(self, kata):
        """Where nothing is allowed, nothing has a weight. A softmax over −inf only is NaN, and over a large negative
        fill it is uniform: the mean of all that was to be hidden."""
        scores = torch.randn(2, 3)
        unlike = {"uniform: a large negative fill alone": torch.full((3,), 1 / 3)}
        mask = mask_of("000", "110")
        weights = kata.masked_softmax(scores, mask)
        check.equal(weights[0], torch.zeros(3), unlike=unlike, what="weights of the slice without any True")
        check.close(weights[1], softmax_by_hand(scores, mask)[1], what="weights of the slice beside it")
        dead = kata.masked_softmax(scores, mask_of("010", "010"), dim=0)[:, 0]
        check.equal(dead, torch.zeros(2), what="weights of the first column without any True, dim=0")

    def test_the_mask_broadcasts(self, kata):
        """A mask may leave out leading dimensions or have sizes of 1, which stand for "the same for all"."""
        scores = torch.randn(2, 3, 4)
        for shape in ((4,), (3, 4), (1, 4), (2, 1, 4), (3, 1), (2, 1, 1)):
            mask = torch.rand(shape) > 0.4
            expected = softmax_by_hand(scores, mask.expand(2, 3, 4))
            check.close(kata.masked_softmax(scores, mask), expected, what=f"a mask of shape {shape}")

    def test_gradients_match_and_stay_finite(self, kata):
        """Gradients flow to the allowed scores only. One NaN of a dead slice would spoil every parameter behind the
        scores; repairing the result afterwards may be too late, because the gradient was NaN already."""
        mask = torch.stack([mask_of("1101", "0000", "1000"), mask_of("1111", "0011", "0000")])
        scores = torch.randn(2, 3, 4, dtype=torch.float64)
        check.gradients(lambda x: kata.masked_softmax(x, mask), lambda x: softmax_by_hand(x, mask), scores)

    def test_gradients_without_a_mask(self, kata):
        """A weight depends on all the scores of its slice."""
        scores = torch.randn(2, 3, dtype=torch.float64)
        everything = mask_of("111", "111")
        check.gradients(kata.masked_softmax, lambda x: softmax_by_hand(x, everything), scores)

    def test_large_scores_stay_finite(self, kata):
        """exp(1000) is infinite and exp(−1000) is 0 in every dtype. Subtracting the largest *allowed* score first keeps
        both away; a masked 1000 must not matter."""
        scores = torch.tensor([[1000.0, 999.0, -1000.0], [-1000.0, -1001.0, 1000.0], [1000.0, 1000.0, 1000.0]])
        mask = mask_of("111", "110", "011")
        check.close(kata.masked_softmax(scores, mask), softmax_by_hand(scores, mask), what="with a mask")
        check.close(kata.masked_softmax(scores), scores.double().softmax(dim=-1), what="without a mask")

    def test_masked_scores_do_not_matter(self, kata):
        """A penalty of −1e9 that is added to the scores does not hide a score of 1e10."""
        mask = mask_of("1101", "0110", "1000")
        scores = torch.randn(3, 4)
        expected = softmax_by_hand(scores, mask)
        for content in (1e10, -1e10):
            altered = scores.masked_fill(~mask, content)
            check.close(kata.masked_softmax(altered, mask), expected, what=f"weights with {content:g} where masked")

    def test_every_dtype_comes_back_as_itself(self, kata):
        """float16 ends at 65,504, so a fill of −1e9 is an error or an infinity there; and weights that come back in
        float32 double the memory of a half-precision model."""
        mask = mask_of("1101", "0000", "1000")
        for dtype in (torch.float64, torch.float16, torch.bfloat16):
            scores = torch.randn(3, 4).to(dtype)
            for given in (mask, None):
                weights = kata.masked_softmax(scores, given)
                check.dtype(weights, dtype, what="weights" if given is None else "masked weights")
                expected = softmax_by_hand(scores, torch.ones_like(mask) if given is None else mask)
                check.close(weights, expected, what=f"weights in {dtype}")

    def test_scores_and_mask_stay_as_they_were(self, kata):
        """Callers use both again. An in-place `masked_fill_` would leave them scores full of −inf."""
        scores, mask = torch.randn(2, 3), mask_of("010", "000")
        with check.unchanged(scores=scores, mask=mask):
            kata.masked_softmax(scores, mask)

    @pytest.mark.edge
    def test_a_mask_that_is_not_bool_is_refused(self, kata):
        """A float mask means 0 and 1 to some and 0 and −inf to others. It is refused; the message names its dtype."""
        for dtype in (torch.float32, torch.int64, torch.uint8):
            with check.raises(TypeError, str(dtype).removeprefix("torch.")):
                kata.masked_softmax(torch.zeros(2, 3), torch.ones(2, 3, dtype=dtype))


class TestAttend:
    def test_context_is_the_weighted_sum_of_the_values(self, kata):
        """Each query has weights over the keys that add up to 1, and its context is the sum of the values under these
        weights: as wide as a value, as many as queries."""
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        everything = torch.ones(B, T, S, dtype=torch.bool)
        weights = softmax_by_hand(scores, everything)
        over_queries = scores.double().softmax(dim=1)
        pair = kata.attend(scores, values)
        a_pair(pair, "(context, weights)")
        check.shape(pair[0], (B, T, DV), what="context")
        check.close(pair[1], weights, unlike={"the softmax runs over the queries": over_queries}, what="weights")
        check.close(pair[0], attend_by_hand(scores, values, everything), what="context")

    def test_a_2d_mask_hides_keys_from_all_queries(self, kata):
        """(B, S) says which source positions are real. All queries of that batch element get weight 0 elsewhere."""
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        mask = mask_of("11100", "10011")
        full = mask[:, None].expand(B, T, S)
        free = scores.double().softmax(dim=-1)
        unlike = {"the mask is inverted": softmax_by_hand(scores, ~full), "the mask is ignored": free}
        context, weights = kata.attend(scores, values, mask)
        check.close(weights, softmax_by_hand(scores, full), unlike=unlike, what="weights")
        check.close(context, attend_by_hand(scores, values, full), what="context")

    def test_a_2d_mask_is_per_batch_element_even_when_b_equals_t(self, kata):
        """With as many queries as batch elements a (B, S) mask also fits as (T, S), and no error would tell."""
        scores, values = torch.randn(3, 3, S), torch.randn(3, S, DV)
        mask = mask_of("11100", "10011", "01110")
        expected = softmax_by_hand(scores, torch.stack([mask] * 3, dim=1))
        unlike = {"row t of the mask was given to query t": softmax_by_hand(scores, torch.stack([mask] * 3))}
        check.close(kata.attend(scores, values, mask)[1], expected, unlike=unlike, what="weights")

    def test_a_3d_mask_is_per_query(self, kata):
        """(B, T, S) lets each query look at keys of its own."""
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        mask = torch.rand(B, T, S) > 0.5
        context, weights = kata.attend(scores, values, mask)
        check.close(weights, softmax_by_hand(scores, mask), what="weights")
        check.close(context, attend_by_hand(scores, values, mask), what="context")

    def test_a_query_without_keys_reads_zeros(self, kata):
        """A sequence of padding alone has nothing to read. Its context is zeros: not NaN, and not the mean of the
        padding."""
        scores, values = torch.randn(B, T, S), torch.randn(B, S, DV)
        context, weights = kata.attend(scores, values, mask_of("00000", "10011"))
        unlike = {"the mean of all values": values[0].mean(dim=0).expand(T, DV)}
        check.close(context[0], torch.zeros(T, DV), unlike=unlike, what="context of the element without real keys")
        check.equal(weights[0], torch.zeros(T, S), what="weights of the element without real keys")

    def test_what_stands_at_masked_keys_does_not_matter(self, kata):
        """Padding may hold anything: neither its scores nor its values may show."""
        scores, values, mask = torch.randn(B, T, S), torch.randn(B, S, DV), mask_of("11100", "10011")
        expected = attend_by_hand(scores, values, mask[:, None].expand(B, T, S))
        scores = scores.masked_fill(~mask[:, None], 1e4)
        values = values.masked_fill(~mask[..., None], -1e4)
        check.close(kata.attend(scores, values, mask)[0], expected, what="context")

    def test_gradients_reach_scores_and_values(self, kata):
        """The scores learn where to look, the values what to show there. Queries without keys teach nothing."""
        scores, values = torch.randn(B, T, S, dtype=torch.float64), torch.randn(B, S, DV, dtype=torch.float64)
        mask = mask_of("11100", "00000")
        full = mask[:, None].expand(B, T, S)
        ours, theirs = lambda s, v: kata.attend(s, v, mask)[0], lambda s, v: attend_by_hand(s, v, full)
        check.gradients(ours, theirs, scores, values)

    def test_the_weights_carry_a_graph(self, kata):
        """Some losses act on the weights themselves, so these are not detached."""
        scores = torch.randn(B, T, S, requires_grad=True)
        _, weights = kata.attend(scores, torch.randn(B, S, DV))
        check.that(weights.requires_grad, "the weights carry no graph: no gradient can reach the scores through them")

    def test_the_arguments_stay_as_they_were(self, kata):
        """Scores, values and masks belong to the caller, who may use them again."""
        scores, values, mask = torch.randn(B, T, S), torch.randn(B, S, DV), mask_of("11100", "00000")
        with check.unchanged(scores=scores, values=values, mask=mask):
            kata.attend(scores, values, mask)


class TestAdditiveAttention:
    def test_exactly_three_weight_matrices(self, kata):
        """W_q, W_k and v are `nn.Linear` without bias, each with its own sizes, and there is nothing else to train."""
        attention = kata.AdditiveAttention(DQ, DK, HIDDEN)
        got = {name: tuple(p.shape) for name, p in attention.state_dict().items()}
        expected = {"W_q.weight": (HIDDEN, DQ), "W_k.weight": (HIDDEN, DK), "v.weight": (1, HIDDEN)}
        check.that(got == expected, f"the state_dict has {got}, expected {expected}")
        linear = all(isinstance(getattr(attention, name), nn.Linear) for name in ("W_q", "W_k", "v"))
        check.that(linear, "W_q, W_k and v should each be an nn.Linear")
        trained = sum(p.numel() for p in attention.parameters() if p.requires_grad)
        wanted = HIDDEN * (DQ + DK + 1)
        check.that(trained == wanted, f"{trained} numbers are trained, expected {wanted}")

    def test_scores_match_a_triple_loop(self, kata):
        """For each pair: project query and key, add the two, take the tanh of the sum, and only then weigh by v. The
        rows of the result are the queries, its columns the keys."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, _ = attention_inputs()
        q, k = (attention.W_q(query)[:, :, None], attention.W_k(keys)[:, None])
        unlike = {
            "the tanh of each part before the sum": attention.v(q.tanh() + k.tanh()).squeeze(-1),
            "no tanh": attention.v(q + k).squeeze(-1),
            "a product in place of the sum": attention.v(torch.tanh(q * k)).squeeze(-1),
            "the tanh after v": attention.v(q + k).squeeze(-1).tanh(),
            "a sigmoid in place of the tanh": attention.v((q + k).sigmoid()).squeeze(-1),
            "a difference in place of the sum": attention.v(torch.tanh(q - k)).squeeze(-1),
            "v is left out": torch.tanh(q + k).sum(dim=-1),
        }
        check.close(attention.score(query, keys), scores_by_hand(attention, query, keys), unlike=unlike)

    def test_values_default_to_the_keys(self, kata):
        """Without values, what is read is what was compared: Σ weight · key."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, _ = attention_inputs()
        weights = scores_by_hand(attention, query, keys).softmax(dim=-1)
        pair = attention(query, keys)
        a_pair(pair, "(context, weights)")
        unlike = {"the scores, without a softmax": scores_by_hand(attention, query, keys)}
        check.close(pair[1], weights, unlike=unlike, what="weights")
        check.close(pair[0], weights @ keys.double(), what="context")

    def test_context_uses_the_values_not_the_keys(self, kata):
        """Keys are for finding, values for reading. Here a value has 8 numbers and a key has 6."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = attention_inputs()
        weights = scores_by_hand(attention, query, keys).softmax(dim=-1)
        context, got = attention(query, keys, values)
        unlike = {"read from the keys": weights @ keys.double()}
        check.close(context, weights @ values.double(), unlike=unlike, what="context")
        check.close(got, weights, what="weights")

    def test_masks_of_both_kinds(self, kata):
        """(B, S) hides keys from all queries of a batch element, (B, T, S) from each query apart."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = attention_inputs()
        scores = scores_by_hand(attention, query, keys)
        per_element = mask_of("11100", "10011")
        per_query = torch.rand(B, T, S) > 0.5
        for mask, full in ((per_element, per_element[:, None].expand(B, T, S)), (per_query, per_query)):
            context, weights = attention(query, keys, values, mask)
            what = f"with a mask of shape {tuple(mask.shape)}"
            check.close(weights, softmax_by_hand(scores, full), what=f"weights {what}")
            check.close(context, softmax_by_hand(scores, full) @ values.double(), what=f"context {what}")

    def test_a_single_step_query(self, kata):
        """One decoder step asks with (B, Dq), and gets (B, Dv) and (B, S) back. With B = 1 or S = 1, a squeeze that
        names no dimension takes one too many."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        for batch, length, width in ((3, S, DV), (1, S, DV), (3, 1, DV), (1, 1, 1)):
            query, keys = torch.randn(batch, DQ), torch.randn(batch, length, DK)
            values = torch.randn(batch, length, width)
            weights = scores_by_hand(attention, query[:, None], keys)[:, 0].softmax(dim=-1)
            context, got = attention(query, keys, values)
            what = f"for B = {batch} and S = {length}"
            check.close(got, weights, what=f"weights {what}")
            check.close(context, (weights[:, :, None] * values.double()).sum(dim=1), what=f"context {what}")

    def test_a_single_step_query_takes_a_mask(self, kata):
        """A (B, S) mask means the same for one step as for many. Here B = S, so a mask turned round would fit."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys = torch.randn(3, DQ), torch.randn(3, 3, DK)
        mask = mask_of("110", "011", "100")
        expected = softmax_by_hand(scores_by_hand(attention, query[:, None], keys)[:, 0], mask)
        unlike = {"the mask is ignored": scores_by_hand(attention, query[:, None], keys)[:, 0].softmax(dim=-1)}
        context, weights = attention(query, keys, mask=mask)
        check.close(weights, expected, unlike=unlike, what="weights")
        check.close(context, (expected[:, :, None] * keys.double()).sum(dim=1), what="context")

    def test_a_query_of_length_one_keeps_its_dimension(self, kata):
        """(B, 1, Dq) is a sequence of one step, not a single step: three dimensions in, three out."""
        attention = kata.AdditiveAttention(DQ, DK, HIDDEN)
        context, weights = attention(torch.randn(B, 1, DQ), torch.randn(B, S, DK))
        check.shape(context, (B, 1, DK), what="context")
        check.shape(weights, (B, 1, S), what="weights")
        check.shape(attention.score(torch.randn(B, T, DQ), torch.randn(B, 1, DK)), (B, T, 1), what="scores for one key")

    def test_gradients_reach_every_parameter_and_input(self, kata):
        """What to look for (W_q), how to be found (W_k) and what counts (v) are all learned from the context."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN)).double()
        inputs = attention_inputs(dtype=torch.float64, requires_grad=True)
        query, keys, values = inputs
        learning = {"query": query, "keys": keys, "values": values} | dict(attention.named_parameters())
        probe = torch.randn(B, T, DV, dtype=torch.float64)

        def gradients(context):
            found = torch.autograd.grad((context * probe).sum(), list(learning.values()), allow_unused=True)
            return dict(zip(learning, found, strict=True))

        expected = gradients(scores_by_hand(attention, query, keys).softmax(dim=-1) @ values)
        got = gradients(attention(query, keys, values)[0])
        for name, gradient in expected.items():
            check.that(got[name] is not None, f"no gradient reaches {name}")
            check.close(got[name], gradient, what=f"gradient of {name}")

    def test_works_on_transposed_views_and_changes_nothing(self, kata):
        """Query and keys often come as views. They are read as they are indexed, and stay as they were."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys = torch.randn(B, DQ, T).mT, torch.randn(S, B, DK).transpose(0, 1)
        mask = mask_of("11100", "10011")
        expected = softmax_by_hand(scores_by_hand(attention, query, keys), mask[:, None].expand(B, T, S))
        with check.unchanged(query=query, keys=keys, mask=mask):
            weights = attention(query, keys, mask=mask)[1]
        check.close(weights, expected, what="weights")

    def test_a_float64_layer_gives_float64(self, kata):
        """A cast to float32 on the way costs digits that the user asked for."""
        attention = kata.AdditiveAttention(DQ, DK, HIDDEN).double()
        query, keys, values = attention_inputs(dtype=torch.float64)
        context, weights = attention(query, keys, values)
        check.dtype(context, torch.float64, what="context")
        check.dtype(weights, torch.float64, what="weights")

    @pytest.mark.gpu
    def test_works_on_the_gpu(self, kata):
        """Results are on the device of the inputs, with the numbers of the CPU."""
        attention = unsaturated(kata.AdditiveAttention(DQ, DK, HIDDEN))
        query, keys, values = attention_inputs()
        expected = scores_by_hand(attention, query, keys).softmax(dim=-1) @ values.double()
        context, weights = attention.cuda()(query.cuda(), keys.cuda(), values.cuda())
        devices = (context.device.type, weights.device.type)
        check.that(devices == ("cuda", "cuda"), f"context and weights are on {devices}, expected cuda")
        check.close(context, expected, rtol=1e-3, atol=1e-3, what="context")


class TestSeq2Seq:
    def test_its_parts(self, kata):
        """One embedding, two GRUs of one layer and one direction, the attention, and a head that reads context and
        state: twice as many numbers as without attention."""
        for use_attention, wide in ((True, 2 * STATE), (False, STATE)):
            model = kata.Seq2Seq(V, EMBED, STATE, use_attention=use_attention)
            said = f"use_attention={use_attention}: "
            shapes = {name: tuple(p.shape) for name, p in model.state_dict().items() if "attention" not in name}
            gru = {"weight_ih_l0": (3 * STATE, EMBED), "weight_hh_l0": (3 * STATE, STATE)}
            gru |= {"bias_ih_l0": (3 * STATE,), "bias_hh_l0": (3 * STATE,)}
            expected = {"embedding.weight": (V, EMBED), "head.weight": (V, wide), "head.bias": (V,)}
            expected |= {f"{name}.{key}": shape for name in ("encoder", "decoder") for key, shape in gru.items()}
            odd = {n: (shapes.get(n), expected.get(n)) for n in shapes | expected if shapes.get(n) != expected.get(n)}
            check.that(not odd, f"{said}the state_dict differs from the wanted one, as name: (is, should be): {odd}")
            kinds = {"embedding": nn.Embedding, "encoder": nn.GRU, "decoder": nn.GRU, "head": nn.Linear}
            wrong = [name for name, kind in kinds.items() if not isinstance(getattr(model, name), kind)]
            check.that(not wrong, f"{said}{wrong} should be of the kinds {kinds}")
            batch_first = model.encoder.batch_first and model.decoder.batch_first
            check.that(batch_first, f"{said}both GRUs need batch_first=True")
            trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
            wanted = sum(math.prod(s) for s in expected.values()) + use_attention * STATE * (2 * STATE + 1)
            check.that(trained == wanted, f"{said}{trained} numbers are trained, expected {wanted}: a shared part?")

    def test_attention_is_the_default(self, kata):
        """The attention is an `AdditiveAttention` of the hidden size, and a part of the model unless refused."""
        attention = kata.Seq2Seq(V, EMBED, STATE).attention
        check.that(isinstance(attention, kata.AdditiveAttention), f"model.attention is {check.describe(attention)}")
        shapes = {name: tuple(p.shape) for name, p in attention.state_dict().items()}
        expected = {"W_q.weight": (STATE, STATE), "W_k.weight": (STATE, STATE), "v.weight": (1, STATE)}
        check.that(shapes == expected, f"model.attention has {shapes}, expected {expected}")

    def test_logits_and_weights_have_their_shapes(self, kata):
        """For every step and symbol a logit, for every step and source position a weight."""
        src, _, tgt_in = sentences((S, S))
        pair = kata.Seq2Seq(V, EMBED, STATE)(src, tgt_in)
        a_pair(pair, "(logits, weights)")
        check.shape(pair[0], (B, T, V), what="logits")
        check.shape(pair[1], (B, T, S), what="weights")

    def test_forward_matches_a_loop_over_sequences(self, kata):
        """Encode; decode from the encoder's last state; ask with each decoder state; read the encoder's states; and put
        the context before the state for the head."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, tgt_in = sentences((S, S))
        unlike = {
            "the decoder starts from zeros, not from the encoder": model_by_hand(model, src, tgt_in, start="zeros"),
            "the head reads the state before the context": model_by_hand(model, src, tgt_in, head="state, context"),
            "asked with the state before the step": model_by_hand(model, src, tgt_in, query="before"),
        }
        logits, weights = model_by_hand(model, src, tgt_in)
        got = model(src, tgt_in)
        check.close(got[1], weights, unlike={name: wrong[1] for name, wrong in unlike.items()}, what="weights")
        check.close(got[0], logits, unlike={name: wrong[0] for name, wrong in unlike.items()}, what="logits")

    def test_the_plain_model_matches_a_loop_over_sequences(self, kata):
        """Without attention the decoder gets one state of the encoder, and the head reads the decoder's state alone."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention=False))
        src, _, tgt_in = sentences((S, S))
        unlike = {"the decoder starts from zeros": model_by_hand(model, src, tgt_in, start="zeros")[0]}
        check.close(model(src, tgt_in)[0], model_by_hand(model, src, tgt_in)[0], unlike=unlike, what="logits")

    def test_the_plain_model_has_no_attention(self, kata):
        """Weights that nobody uses are None, and parameters that nobody uses must not exist: optimizer and checkpoint
        would carry them along."""
        model = kata.Seq2Seq(V, EMBED, STATE, use_attention=False)
        src, _, tgt_in = sentences((S, S))
        check.that(model.attention is None, f"model.attention should be None, it is {check.describe(model.attention)}")
        names = [name for name, _ in model.named_parameters() if "attention" in name]
        check.that(not names, f"the plain model has parameters {names}")
        weights = model(src, tgt_in)[1]
        check.that(weights is None, f"the weights should be None, not {check.describe(weights)}")

    def test_the_decoder_starts_at_the_last_real_token(self, kata):
        """A GRU reads on through the padding, and its final state has half forgotten a short sequence. The state wanted
        is that of the last real symbol, which differs from row to row."""
        src, mask, tgt_in = sentences((3, 5, 1))
        for use_attention in (False, True):
            model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention))
            expected = model_by_hand(model, src, tgt_in, (3, 5, 1))[0]
            unlike = {
                "the decoder starts from the state after the padding": model_by_hand(
                    model, src, tgt_in, (3, 5, 1), start="after padding"
                )[0],
                "the mask is ignored": model_by_hand(model, src, tgt_in)[0],
            }
            logits, weights = model(src, tgt_in, mask)
            looks = weights is not None and bool(weights.masked_select(~mask[:, None]).any())
            check.that(not looks, "the attention gives weight to padding: it needs the mask as well")
            check.close(logits, expected, unlike=unlike, what=f"logits, use_attention={use_attention}")

    def test_padding_gets_weight_zero(self, kata):
        """The decoder may look at real symbols only; among these the weights add up to 1."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, tgt_in = sentences((3, 5, 1))
        expected = model_by_hand(model, src, tgt_in, (3, 5, 1))[1]
        check.close(model(src, tgt_in, mask)[1], expected, what="weights")

    def test_padding_never_changes_the_logits(self, kata):
        """The same sequence in a longer batch, padded with whatever symbols, must get the same answer."""
        src, _, tgt_in = sentences((3, 3))
        padded = torch.cat([src, torch.randint(0, V, (B, 4))], dim=1)
        real = (torch.arange(7) < 3).expand(B, 7)
        for use_attention in (False, True):
            model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention))
            expected = model_by_hand(model, src, tgt_in)[0]
            check.close(model(padded, tgt_in, real)[0], expected, what=f"logits, use_attention={use_attention}")

    def test_step_t_sees_tgt_in_only_up_to_t(self, kata):
        """In decoding there is no later symbol yet. A decoder that reads backwards, too, learns to copy the answer and
        is lost without it."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, tgt_in = sentences((S, S))
        changed = tgt_in.clone()
        changed[:, 2:] = torch.where(tgt_in[:, 2:] == 2, 3, 2)
        logits, weights = model(src, tgt_in)
        later, later_weights = model(src, changed)
        check.close(later[:, :2], logits[:, :2], what="logits of steps 0 and 1 after a change at 2")
        check.close(later_weights[:, :2], weights[:, :2], what="weights of steps 0 and 1 after a change at 2")
        moved = not torch.allclose(later[:, 2], logits[:, 2], atol=1e-4)
        check.that(moved, "step 2 does not react to its own symbol")

    def test_gradients_reach_every_parameter(self, kata):
        """A `detach` between encoder and decoder, or between context and head, leaves a part of the model at its random
        start."""
        src, mask, tgt_in = sentences((3, 5))
        probe = torch.randn(B, T, V, dtype=torch.float64)
        for use_attention in (False, True):
            model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention)).double()
            twin = copy.deepcopy(model)
            (model(src, tgt_in, mask)[0] * probe).sum().backward()
            (model_by_hand(twin, src, tgt_in, (3, 5))[0] * probe).sum().backward()
            for (name, parameter), right in zip(model.named_parameters(), twin.parameters(), strict=True):
                check.that(parameter.grad is not None, f"use_attention={use_attention}: no gradient reaches {name}")
                check.close(parameter.grad, right.grad, rtol=1e-5, atol=1e-7, what=f"gradient of {name}")

    def test_a_single_sequence(self, kata):
        """B, S and T may be 1. A `squeeze` that names no dimension takes these along."""
        for lengths, steps in (((5,), T), ((1,), 1)):
            src, mask, tgt_in = sentences(lengths, steps)
            for use_attention in (False, True):
                model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention))
                logits = model(src, tgt_in, mask)[0]
                what = f"logits for B = 1, S = {lengths[0]}, T = {steps}, use_attention={use_attention}"
                check.close(logits, model_by_hand(model, src, tgt_in)[0], what=what)

    def test_calls_change_nothing(self, kata):
        """The arguments stay as they were, and no state is kept from one call to the next."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, tgt_in = sentences((3, 5))
        first = model(src, tgt_in, mask)
        with check.unchanged(src=src, src_mask=mask, tgt_in=tgt_in):
            model(src[:1], tgt_in[:1, :2])
            again = model(src, tgt_in, mask)
        check.close(again[0], first[0], what="logits of the same call after another")

    def test_a_float64_model_gives_float64(self, kata):
        """`model.double()` is all that a user should have to write, with and without a mask."""
        model = kata.Seq2Seq(V, EMBED, STATE).double()
        src, mask, tgt_in = sentences((3, 5))
        for given in (mask, None):
            logits, weights = model(src, tgt_in, given)
            check.dtype(logits, torch.float64, what="logits")
            check.dtype(weights, torch.float64, what="weights")

    @pytest.mark.gpu
    def test_works_on_the_gpu(self, kata):
        """Everything that the model makes on the way is on the device of its input."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, tgt_in = sentences((3, 5))
        expected = model_by_hand(model, src, tgt_in, (3, 5))[0]
        logits, weights = model.cuda()(src.cuda(), tgt_in.cuda(), mask.cuda())
        devices = (logits.device.type, weights.device.type)
        check.that(devices == ("cuda", "cuda"), f"logits and weights are on {devices}, expected cuda")
        check.close(logits, expected, rtol=1e-2, atol=1e-2, what="logits")


class TestGreedyDecode:
    def test_tokens_and_weights_have_their_shapes(self, kata):
        """max_len symbols of type int64 for each sequence, and a row of weights for each of them. BOS is what the model
        was fed, not what it wrote."""
        model = kata.Seq2Seq(V, EMBED, STATE)
        src, _, _ = sentences((S, S))
        for max_len in (7, 1):  # longer than the source, and one step
            pair = kata.greedy_decode(model, src, max_len)
            a_pair(pair, "(tokens, weights)")
            check.shape(pair[0], (B, max_len), what="tokens")
            check.dtype(pair[0], torch.int64, what="tokens")
            check.shape(pair[1], (B, max_len, S), what="weights")

    def test_tokens_match_the_argmax_loop(self, kata):
        """Fed BOS, the model writes its first symbol; fed that, the second. Nothing but its own words is fed back."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, _ = sentences((S, S, S, S))
        expected, weights = decode_by_hand(model, src, 6)
        with_bos = torch.cat([torch.ones(4, 1, dtype=torch.int64), expected[:, :-1]], dim=1)
        reversal = torch.cat([torch.ones(4, 1, dtype=torch.int64), src.flip(1)], dim=1)
        unlike = {
            "the BOS is returned as the first symbol": with_bos,
            "fed the right answer instead of its own words": model_by_hand(model, src, reversal)[0].argmax(dim=-1),
        }
        tokens, got = kata.greedy_decode(model, src, 6)
        check.equal(tokens, expected, unlike=unlike, what="tokens")
        check.close(got, weights, what="weights")

    def test_a_plain_model_has_no_weights(self, kata):
        """The same loop serves a model without attention; then there is nothing to plot, and the weights are None."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE, use_attention=False))
        src, _, _ = sentences((S, S, S))
        tokens, weights = kata.greedy_decode(model, src, 6)
        check.equal(tokens, decode_by_hand(model, src, 6)[0], what="tokens")
        check.that(weights is None, f"the weights should be None, not {check.describe(weights)}")

    def test_the_source_mask_is_used(self, kata):
        """Padded sources decode as they would alone, and padding gets no weight."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, mask, _ = sentences((3, 5, 1, 4))
        tokens, weights = kata.greedy_decode(model, src, 6, mask)
        expected, right = decode_by_hand(model, src, 6, (3, 5, 1, 4))
        check.equal(tokens, expected, unlike={"the mask is ignored": decode_by_hand(model, src, 6)[0]}, what="tokens")
        check.close(weights, right, what="weights")

    def test_every_symbol_may_be_written(self, kata):
        """The argmax runs over all V symbols, PAD and BOS among them, and an early one does not end the writing."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE))
        src, _, _ = sentences((S, S))
        for symbol in range(V):
            with torch.no_grad():
                model.head.weight.zero_()
                model.head.bias.copy_(F.one_hot(torch.tensor(symbol), V))
            tokens = kata.greedy_decode(model, src, 2)[0]
            check.equal(tokens, torch.full((B, 2), symbol), what=f"tokens where {symbol} is always the likeliest")

    @pytest.mark.edge
    def test_decodes_in_eval_mode_and_puts_the_flag_back(self, kata):
        """In training mode dropout or batch norm, once there are any, would blur the answer. Whoever trains on must
        find the model as it was."""
        model = kata.Seq2Seq(V, EMBED, STATE)
        seen = seen_by(model.encoder, lambda: model.training)
        src, _, _ = sentences((S, S))
        for flag in (True, False):
            model.train(flag)
            kata.greedy_decode(model, src, 2)
            check.that(model.training == flag, f"model.training was {flag} and is now {model.training}")
            parts = [name for name, part in model.named_modules() if part.training != flag]
            check.that(
                not parts, f"model.training is {flag} as before, but no longer that of its parts {', '.join(parts)}"
            )
        check.that(not any(seen), "the encoder ran while the model was in training mode")

    @pytest.mark.edge
    def test_the_flag_is_put_back_after_an_error(self, kata):
        """A symbol that the embedding lacks ends in an error, and even then the model goes back to training mode."""
        model = kata.Seq2Seq(V, EMBED, STATE)
        with check.raises(Exception):
            kata.greedy_decode(model, torch.full((B, S), V), 2)
        check.that(model.training, "after the error the model is still in eval mode")

    def test_no_graph_is_built(self, kata):
        """Nobody differentiates a plot. A graph over all steps would keep every one of them in memory."""
        model = kata.Seq2Seq(V, EMBED, STATE)
        src, _, _ = sentences((S, S))
        with check.unchanged(src=src):
            _, weights = kata.greedy_decode(model, src, 2)
        check.that(not weights.requires_grad, "the weights carry a graph")
        check.that(torch.is_grad_enabled(), "gradients are switched off for everybody after the call")

    @pytest.mark.gpu
    def test_works_on_the_gpu(self, kata):
        """The BOS that starts the decoding has to be made on the device of the source."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).cuda()
        tokens, weights = kata.greedy_decode(model, sentences((S, S))[0].cuda(), 3)
        devices = (tokens.device.type, weights.device.type)
        check.that(devices == ("cuda", "cuda"), f"tokens and weights are on {devices}, expected cuda")


@pytest.mark.stretch
class TestTrainSeq2Seq:
    def test_a_loss_for_every_step(self, kata):
        """One plain float a step: a list of tensors keeps the graph of every step alive."""
        losses = kata.train_seq2seq(kata.Seq2Seq(V, EMBED, STATE), 3, batch_size=2, length=2)
        floats = isinstance(losses, list) and len(losses) == 3 and all(type(loss) is float for loss in losses)
        check.that(floats, f"expected a list of 3 floats, got {check.describe(losses)}")

    def test_losses_match_the_loop(self, kata):
        """A fresh batch, teacher forcing, the mean cross-entropy over all positions, one update by Adam from fresh
        gradients; and the loss is the one before the update."""
        model = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).double()
        twin, third = copy.deepcopy(model), copy.deepcopy(model)
        before, after = losses_by_hand(kata, twin, 4, 5, 3, 0.05, torch.Generator().manual_seed(3))
        losses = kata.train_seq2seq(model, 4, 5, 3, 0.05, torch.Generator().manual_seed(3))
        unlike = {"taken after the update": after[0], "summed over all positions": 15 * before[0]}
        check.close(losses[0], before[0], rtol=1e-3, atol=1e-3, unlike=unlike, what="the first loss")
        piled_up, _ = losses_by_hand(kata, third, 4, 5, 3, 0.05, torch.Generator().manual_seed(3), keep_gradients=True)
        unlike = {"the gradients of earlier steps are not cleared": torch.tensor(piled_up)}
        check.close(torch.tensor(losses), torch.tensor(before), rtol=1e-3, atol=1e-3, unlike=unlike, what="the losses")

    def test_the_defaults(self, kata, monkeypatch):
        """64 sequences of 8 symbols from the model's own vocabulary, unless told otherwise."""
        asked, draw = [], kata.make_reversal_batch

        def watch(batch_size, length, vocab_size, generator=None):
            asked.append((batch_size, length, vocab_size))
            return draw(batch_size, length, vocab_size, generator)

        monkeypatch.setattr(kata, "make_reversal_batch", watch)
        model, generator = unsaturated(kata.Seq2Seq(V, EMBED, STATE)).double(), torch.Generator()
        twin = copy.deepcopy(model)
        losses = kata.train_seq2seq(model, 2, generator=generator.manual_seed(3))
        check.that(asked == [(64, 8, V)] * 2, f"batches (size, length, vocabulary) are {asked}, not (64, 8, {V}) twice")
        expected, _ = losses_by_hand(kata, twin, 2, 64, 8, 5e-3, generator.manual_seed(3))
        check.close(losses, expected, rtol=1e-3, atol=1e-3, what="the losses with lr = 0.005")

    def test_same_seeds_same_loss_curve(self, kata):
        """All that is random comes from the generator, so two runs from the same start agree, whatever torch's own
        generator holds."""
        model = kata.Seq2Seq(V, EMBED, STATE)
        curves = []
        for seed in (1, 2):
            torch.manual_seed(seed)
            twin = copy.deepcopy(model)
            curves.append(kata.train_seq2seq(twin, 3, 4, 3, generator=torch.Generator().manual_seed(5)))
        check.close(torch.tensor(curves[1]), torch.tensor(curves[0]), rtol=1e-3, atol=1e-3, what="the second curve")

    def test_trains_in_training_mode(self, kata):
        """A model that comes from decoding is in eval mode. Its dropout, if it had any, would stay off."""
        model = kata.Seq2Seq(V, EMBED, STATE).eval()
        seen = seen_by(model.encoder, lambda: model.training)
        kata.train_seq2seq(model, 2, 2, 2)
        check.that(seen and all(seen), "the model was trained in eval mode")

    def test_a_plain_model_trains_too(self, kata):
        """The same loop serves a model without attention: every parameter moves."""
        model = kata.Seq2Seq(V, EMBED, STATE, use_attention=False)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        kata.train_seq2seq(model, 1, 8, 4)
        still = [name for name, p in model.named_parameters() if torch.equal(p, before[name])]
        check.that(not still, f"after one step {still} are what they were")

    @pytest.mark.timeout(60)
    def test_sixty_steps_learn_to_reverse_four_symbols(self, kata):
        """60 steps bring the loss well below its start. Gradients that pile up, or no step at all, do not."""
        losses = kata.train_seq2seq(kata.Seq2Seq(8, 16, 32), 60, 32, 4, generator=torch.Generator().manual_seed(0))
        start, end = losses[0], sum(losses[-5:]) / 5
        check.that(end < 0.7 * start, f"the loss went from {start:.2f} to {end:.2f}, expected below {0.7 * start:.2f}")


@pytest.mark.stretch
class TestCompareSeq2Seq:
    def test_numbers_for_every_length(self, kata, monkeypatch):
        """By length, then "plain" and "attention", each with its last training loss and the share of right symbols.
        Training and decoding are replaced here: the losses are 3, 2 and 1.5, and each answer is right but for its first
        symbol."""
        Watch(kata, monkeypatch)
        got = kata.compare_seq2seq([3, 4], steps=2)
        by_length = {n: {"loss": 1.5, "accuracy": (n - 1) / n} for n in (3, 4)}
        expected = {n: {"plain": row, "attention": row} for n, row in by_length.items()}
        whole = {n: dict.fromkeys(("plain", "attention"), {"loss": 1.5, "accuracy": 0.0}) for n in (3, 4)}
        first = {n: dict.fromkeys(("plain", "attention"), {"loss": 3.0, "accuracy": 0.0}) for n in (3, 4)}
        unlike = {"the share of sequences that are right as a whole": whole, "the first loss": first}
        check.close(got, expected, unlike=unlike)

    def test_one_model_with_attention_and_one_without(self, kata, monkeypatch):
        """Each of the two names stands for its own model, with the sizes asked for."""
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([3], 2, 7, 11)
        sizes = [(m.embedding.num_embeddings, m.embedding.embedding_dim, m.encoder.hidden_size) for m in watch.models]
        check.that(sizes == [(11, 16, 7)] * 2, f"(vocabulary, embed_dim, hidden) are {sizes}, not (11, 16, 7) twice")
        with_attention = sorted(model.attention is not None for model in watch.models)
        check.that(with_attention == [False, True], "expected one model with attention and one without")

    def test_names_stand_for_the_right_models(self, kata, monkeypatch):
        """The loss under "attention" is that of the model that has it."""

        def train(model, *_, **__):
            return [5.0, 2.0 if model.attention is None else 1.0]

        monkeypatch.setattr(kata, "train_seq2seq", train)
        got = kata.compare_seq2seq([2], 2)
        losses = {name: row["loss"] for name, row in got[2].items()}
        check.equal(losses, {"plain": 2.0, "attention": 1.0}, what="the losses")

    def test_both_models_see_the_same_batches(self, kata, monkeypatch):
        """A model with attention has more parameters and draws more numbers for them. If the batches come from the same
        generator, seeded once, each model gets others, and part of the difference is luck."""
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([3], steps=2)
        how = [(t["steps"], t["batch_size"], t["length"], t["lr"]) for t in watch.trained]
        check.that(how == [(2, 64, 3, 5e-3)] * 2, f"trained with (steps, batch size, length, lr) {how}")
        first, second = (torch.stack(t["drawn"]) for t in watch.trained)
        check.equal(second, first, what="the training batches of the second model, beside those of the first")

    def test_each_model_starts_from_the_seed(self, kata, monkeypatch):
        """`torch.manual_seed(seed)` right before a model is made: the start depends on the seed and on nothing else, so
        what all models begin with, the embedding, is the same in both."""
        watch = Watch(kata, monkeypatch)
        for state, seed in ((1, 4), (2, 4), (2, 5)):
            torch.manual_seed(state)
            kata.compare_seq2seq([3], steps=1, seed=seed)
        weights = [nn.utils.parameters_to_vector(model.parameters()) for model in watch.models]
        for i in (0, 1):
            check.equal(weights[2 + i], weights[i], what="parameters at the start, whatever was drawn before")
            check.that(not torch.equal(weights[4 + i], weights[i]), "another seed should give another start")
        for i, made in enumerate(watch.models[:2]):
            torch.manual_seed(4)
            fresh = kata.Seq2Seq(12, 16, 32, made.attention is not None)
            check.equal(weights[i], nn.utils.parameters_to_vector(fresh.parameters()), what="parameters at the start")

    def test_the_test_batch_is_new_to_both(self, kata, monkeypatch):
        """200 sequences from another seed, the same for both models. From the training seed they would begin with the
        very sequences of the first training batch."""
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([5], steps=2)
        for src in watch.decoded:
            check.shape(src, (200, 5), what="the test batch")
        check.equal(watch.decoded[1], watch.decoded[0], what="the test batch of the second model, beside the first's")
        for drawn in watch.trained[0]["drawn"]:
            check.that(not torch.equal(watch.decoded[0][:64], drawn), "the test batch holds a training batch")

    def test_the_defaults(self, kata, monkeypatch):
        """200 steps, a hidden size of 32, a vocabulary of 12 and the seed 0, unless told otherwise."""
        watch = Watch(kata, monkeypatch)
        kata.compare_seq2seq([2])
        steps = [trained["steps"] for trained in watch.trained]
        check.that(steps == [200, 200], f"each model should be trained for 200 steps, not {steps}")
        sizes = [(model.encoder.hidden_size, model.embedding.num_embeddings) for model in watch.models]
        check.that(sizes == [(32, 12)] * 2, f"(hidden size, vocabulary) are {sizes}, not (32, 12) twice")
        kata.compare_seq2seq([2], 1, seed=0)
        weights = [m.embedding.weight for m in watch.models]
        check.equal(weights[0], weights[2], what="embedding at the start by default, beside that with seed=0")

    def test_another_seed_gives_other_batches(self, kata, monkeypatch):
        """Whoever doubts one result tries another seed, and wants everything to be new that was drawn."""
        watch = Watch(kata, monkeypatch)
        for seed in (4, 5):
            kata.compare_seq2seq([5], steps=1, seed=seed)
        same_training = torch.equal(watch.trained[0]["drawn"][0], watch.trained[2]["drawn"][0])
        check.that(not same_training, "seeds 4 and 5 give the same training batch")
        check.that(not torch.equal(watch.decoded[0], watch.decoded[2]), "seeds 4 and 5 give the same test batch")

    def test_lengths_do_not_influence_one_another(self, kata):
        """Each length starts from the seed again, so its numbers do not depend on what was run before."""
        alone = kata.compare_seq2seq([2], 2, 5, 6, 3)
        together = kata.compare_seq2seq([3, 2], 2, 5, 6, 3)
        check.that(list(together) == [3, 2], f"the keys are {list(together)}, expected [3, 2]")
        check.close(together[2], alone[2], rtol=1e-3, atol=1e-3, what="length 2 after length 3")

    @pytest.mark.timeout(60)
    def test_at_length_10_attention_is_ahead(self, kata):
        """One state has to carry ten symbols, and the plain model gets about a third of them right. With attention the
        symbols are still there to be read: at least 0.15 more come out right."""
        result = kata.compare_seq2seq([10], steps=150)[10]
        plain, attention = result["plain"]["accuracy"], result["attention"]["accuracy"]
        check.that(attention >= plain + 0.15, f"accuracy {attention:.2f} with attention and {plain:.2f} without")
