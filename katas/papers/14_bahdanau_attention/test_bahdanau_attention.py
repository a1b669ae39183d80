"""Specs of kata papers/14: additive attention, encoder and decoder with and without it,
translating, training.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.specs import check, training

# batch, source places, features of queries, keys and the attention
B, T, Q, K, A = 3, 5, 4, 6, 7
H, V = 8, 9  # hidden units, symbols
PAD, BOS = 0, 1


def rand(*shape):
    """Float64 numbers in ±1."""
    return torch.rand(shape, dtype=torch.float64) * 2 - 1


def attended(
    query,
    keys,
    W_a,
    U_a,
    v_a,
    mask=None,
    *,
    squash=torch.tanh,
    dim=1,
    renormalise=True,
    dot=False,
    zeros=False,
):
    """The pair (context, weights) for query (B, Q) and keys (B, T, K), in float64. The
    options are slips.
    """
    query, keys, W_a, U_a, v_a = (
        part.double() for part in (query, keys, W_a, U_a, v_a)
    )
    asked, held = (
        torch.einsum("bq,aq->ba", query, W_a)[:, None],
        torch.einsum("btk,ak->bta", keys, U_a),
    )
    scores = (
        (asked * held).sum(dim=2)
        if dot
        else torch.einsum("bta,a->bt", squash(asked + held), v_a.flatten())
    )
    shares = (scores * mask if zeros else scores).exp()
    allowed = torch.ones_like(shares) if mask is None or zeros else mask.double()
    total = (shares * allowed if renormalise else shares).sum(dim=dim, keepdim=True)
    weights = shares * allowed / total
    return torch.einsum("bt,btk->bk", weights, keys), weights


def slips(*arguments):
    """By name, what some slips in attention lead to: pairs (context, weights)."""
    context, weights = attended(*arguments)
    keys = arguments[1].double()
    return {
        "the tanh is left out": attended(*arguments, squash=lambda sums: sums),
        "a sigmoid in place of the tanh": attended(*arguments, squash=torch.sigmoid),
        "the dot product of W_a(query) and U_a(key) as the score": attended(
            *arguments, dot=True
        ),
        "all weights are 1: the softmax did not go over the T keys": (
            keys.sum(dim=1),
            torch.ones_like(weights),
        ),
        "context and weights are exchanged": (weights, context),
    }


def mask_slips(query, keys, W_a, U_a, v_a, mask):
    """By name, what some slips with a mask lead to."""
    arguments = (query, keys, W_a, U_a, v_a)
    return {
        "the mask is inverted: True must mean may attend": attended(*arguments, ~mask),
        "masked after the softmax, so that the weights no longer sum to 1": attended(
            *arguments, mask, renormalise=False
        ),
        "scores of 0, not −∞, where the mask is False": attended(
            *arguments, mask, zeros=True
        ),
        "the mask is ignored": attended(*arguments),
    }


@st.composite
def masks(draw):
    """A mask of two to seven keys with at least one True."""
    mask = draw(st.lists(st.booleans(), min_size=2, max_size=7))
    mask[draw(st.integers(0, len(mask) - 1))] = True
    return np.array(mask)


@pytest.mark.stretch
class TestAdditiveAttentionNumpy:
    def arguments(self, T=T):
        return [rand(1, Q), rand(1, T, K), rand(A, Q), rand(A, K), 2 * rand(A)]

    def call(self, kata, arguments, mask=None):
        query, keys, *weights = arguments
        arrays = [part.numpy().copy() for part in (query[0], keys[0], *weights)]
        return kata.additive_attention_numpy(*arrays, *([] if mask is None else [mask]))

    def first(self, pairs):
        """Pairs of arrays without the batch dimension."""
        return {
            name: tuple(part[0].numpy() for part in pair)
            for name, pair in pairs.items()
        }

    def test_keys_are_averaged_by_the_softmax_of_their_scores(self, kata):
        """A score is v_a · tanh(W_a query + U_a key). Query and keys have sizes of
        their own here, so no dot product between them could even be taken.
        """
        arguments = self.arguments()
        expected = self.first({"": attended(*arguments)})[""]
        got = self.call(kata, arguments)
        check.close(
            got, expected, rtol=1e-4, atol=1e-5, unlike=self.first(slips(*arguments))
        )

    def test_true_means_may_attend(self, kata):
        """The other keys have weight 0, and those that are left share all of it: the
        mask works on the scores, before the softmax.
        """
        arguments, mask = (
            self.arguments(),
            torch.tensor([[True, False, True, True, False]]),
        )
        expected = self.first({"": attended(*arguments, mask)})[""]
        unlike = self.first(mask_slips(*arguments, mask))
        check.close(
            self.call(kata, arguments, mask[0].numpy()),
            expected,
            rtol=1e-4,
            atol=1e-5,
            unlike=unlike,
        )

    @given(mask=masks())
    def test_a_masked_key_might_as_well_not_be_there(self, kata, mask):
        """With a mask, the result is that of a shorter sequence which never had the
        other keys.
        """
        torch.manual_seed(int(mask.sum()))
        query, keys, *weights = self.arguments(len(mask))
        context, shares = self.call(kata, (query, keys, *weights), mask)
        shorter = self.call(kata, (query, keys[:, torch.from_numpy(mask)], *weights))
        check.close(
            context,
            shorter[0],
            rtol=1e-4,
            atol=1e-5,
            what=f"the context with the mask {mask.tolist()}",
        )
        check.close(
            np.asarray(shares)[mask],
            shorter[1],
            rtol=1e-4,
            atol=1e-5,
            what="the weights where it is True",
        )

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays are float64, so the results agree with a float64 oracle to 1e-9."""
        arguments = self.arguments()
        expected = self.first({"": attended(*arguments)})[""]
        check.close(self.call(kata, arguments), expected, rtol=0, atol=1e-9)

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """e to the power of 1000 is infinite. A softmax may subtract any number from
        all scores: take the largest.
        """
        arguments = self.arguments()
        arguments[-1] = torch.full((A,), 1000.0, dtype=torch.float64)
        best = int(
            (
                torch.tanh(
                    arguments[0] @ arguments[2].T + arguments[1][0] @ arguments[3].T
                )
            )
            .sum(dim=1)
            .argmax()
        )
        _, weights = self.call(kata, arguments)
        check.close(
            weights,
            np.eye(T)[best],
            rtol=0,
            atol=1e-5,
            what="weights, with scores in the thousands",
        )


def lively(module):
    """The module with parameters in ±0.9, so that no part of it is too small to
    be seen.
    """
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.uniform_(-0.9, 0.9)
    return module


def matrices(attention):
    """W_a, U_a and v_a of a module."""
    return attention.W_a.weight, attention.U_a.weight, attention.v_a.weight


class TestBahdanauAttention:
    MASK = torch.tensor(
        [
            [True, False, True, True, False],
            [False, True, True, False, False],
            [True] * 4 + [False],
        ]
    )

    def inputs(self):
        return torch.randn(B, Q), torch.randn(B, T, K)

    def test_has_three_matrices_and_no_more(self, kata):
        """W_a brings the query and U_a the keys to the same size, v_a makes one score
        of their sum. No biases.
        """
        shapes = {
            name: list(p.shape)
            for name, p in kata.BahdanauAttention(Q, K, A).named_parameters()
        }
        expected = {"W_a.weight": [A, Q], "U_a.weight": [A, K], "v_a.weight": [1, A]}
        check.equal(shapes, expected, what="the shapes of the parameters")

    def test_keys_are_averaged_by_the_softmax_of_their_scores(self, kata):
        """A score is v_a(tanh(W_a(query) + U_a(key))). Each query has T keys of its
        own, and its weights sum to 1 over these.
        """
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )
        arguments = (query, keys, *matrices(attention))
        unlike = slips(*arguments)
        unlike["the softmax goes over the batch"] = attended(*arguments, dim=0)
        with torch.no_grad():
            got = attention(query, keys)
            expected = attended(*arguments)
        check.that(
            len(got) == 2,
            f"forward returns {check.describe(got)}, the pair (context, weights) is "
            "expected",
        )
        projected = tuple(got[0].shape) == (B, A)
        check.that(
            not projected,
            f"the context has {A} features, not {K}",
            like="U_a(key) is averaged, not the key",
        )
        for place, (what, size) in enumerate((("context", K), ("weights", T))):
            check.shape(got[place], (B, size), what=what)
            wrong = {
                name: pair[place].detach()
                for name, pair in unlike.items()
                if pair[place].shape == (B, size)
            }
            check.close(got[place], expected[place], unlike=wrong, what=what)

    def test_true_means_may_attend(self, kata):
        """Other keys have weight 0, and those that are left share all of it: the mask
        works on the scores, before the softmax.
        """
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )
        arguments = (query, keys, *matrices(attention), self.MASK)
        with torch.no_grad():
            got, expected, unlike = (
                attention(query, keys, self.MASK),
                attended(*arguments),
                mask_slips(*arguments),
            )
        for place, what in ((1, "weights"), (0, "context")):
            wrong = {name: pair[place] for name, pair in unlike.items()}
            check.close(
                got[place], expected[place], unlike=wrong, what=f"{what} with a mask"
            )

    @given(order=st.permutations(range(T)))
    def test_the_order_of_the_keys_does_not_matter(self, kata, order):
        """Attention has no places of its own: if keys and mask are shuffled, the
        weights are shuffled alike, and the context stays.
        """
        torch.manual_seed(3)
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )
        with torch.no_grad():
            context, weights = attention(query, keys, self.MASK)
            shuffled = attention(query, keys[:, order], self.MASK[:, order])
        check.close(
            shuffled[0], context, what=f"the context with the keys in the order {order}"
        )
        check.close(
            shuffled[1],
            weights[:, order],
            what=f"the weights with the keys in the order {order}",
        )

    def test_gradients_reach_the_query_the_keys_and_all_matrices(self, kata):
        """Keys are used twice, for the scores and for the average, and the gradient
        comes back on both ways. Nothing is detached.
        """
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )

        def tied(function):
            def context(query, keys, *matrices):
                return function(query, keys, *matrices)[0]

            return context

        def learners(query, keys, *values):
            names = ("W_a.weight", "U_a.weight", "v_a.weight")
            return torch.func.functional_call(
                attention, dict(zip(names, values, strict=True)), (query, keys)
            )

        check.gradients(
            tied(learners), tied(attended), query, keys, *matrices(attention)
        )

    @pytest.mark.edge
    def test_a_row_without_keys_gives_zeros(self, kata):
        """A softmax over nothing but −∞ is 0/0 = NaN, and one NaN spoils every gradient
        of the batch.
        """
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )
        mask = self.MASK.clone()
        mask[1] = False
        query.requires_grad_()
        context, weights = attention(query, keys, mask)
        check.close(
            weights[1],
            torch.zeros(T),
            what="the weights of the row that is masked everywhere",
        )
        check.close(context[1], torch.zeros(K), what="its context")
        (context.sum() + weights.square().sum()).backward()
        for name, part in (("the query", query), *attention.named_parameters()):
            check.finite(part.grad, what=f"gradient of {name}")

    @pytest.mark.edge
    def test_large_scores_stay_finite(self, kata):
        """e to the power of 1000 is infinite. torch's own softmax knows how to
        avoid that.
        """
        attention, (query, keys) = (
            lively(kata.BahdanauAttention(Q, K, A)),
            self.inputs(),
        )
        with torch.no_grad():
            attention.v_a.weight.mul_(1000)
            for part in attention(query, keys, self.MASK):
                check.finite(part, what="the result with scores in the thousands")

    @pytest.mark.edge
    def test_a_float64_module_computes_in_float64(self, kata):
        """As the NumPy function does: the results agree with a float64 oracle
        to 1e-9.
        """
        attention, query, keys = (
            lively(kata.BahdanauAttention(Q, K, A).double()),
            rand(B, Q),
            rand(B, T, K),
        )
        with torch.no_grad():
            got = attention(query, keys, self.MASK)
            expected = attended(query, keys, *matrices(attention), self.MASK)
        for what, mine, theirs in zip(
            ("context", "weights"), got, expected, strict=True
        ):
            check.dtype(mine, torch.float64, what=what)
            check.close(mine, theirs, rtol=0, atol=1e-9, what=what)


class TestSeq2SeqInit:
    def shapes(self, attention=True):
        """The shapes of all parameters by name, from PyTorch's own modules."""
        parts = {
            "embed": nn.Embedding(V, H),
            "encoder": nn.GRU(H, H, bidirectional=True),
            "bridge": nn.Linear(H, H),
            "decoder": nn.GRUCell(3 * H, H),
            "head": nn.Linear(3 * H, V),
        }
        found = {
            f"{part}.{name}": list(p.shape)
            for part in parts
            for name, p in parts[part].named_parameters()
        }
        if attention:
            found |= {
                f"attention.{name}.weight": [H, size]
                for name, size in (("W_a", H), ("U_a", 2 * H))
            }
            found["attention.v_a.weight"] = [1, H]
        return found

    def test_has_these_parameters_and_no_more(self, kata):
        """The encoder reads both ways, so what there is to attend to has 2H features.
        The decoder's cell reads a symbol and a context, H + 2H, and so does the head.
        """
        shapes = {
            name: list(p.shape) for name, p in kata.Seq2Seq(V, H).named_parameters()
        }
        check.equal(shapes, self.shapes(), what="the shapes of the parameters")

    def test_without_attention_the_other_parts_are_the_same(self, kata):
        """Then `attention` is None. Everything else stays, so that the comparison
        is fair.
        """
        model = kata.Seq2Seq(V, H, attention=False)
        check.that(
            model.attention is None,
            f"attention should be None, not {check.describe(model.attention)}",
        )
        shapes = {name: list(p.shape) for name, p in model.named_parameters()}
        check.equal(
            shapes, self.shapes(attention=False), what="the shapes of the parameters"
        )

    def test_the_encoder_takes_the_batch_first(self, kata):
        """src is (B, T). A GRU with the batch in the second place would run along the
        batch without complaint.
        """
        encoder = kata.Seq2Seq(V, H).encoder
        check.that(
            isinstance(encoder, nn.GRU),
            f"encoder should be an nn.GRU, not {check.describe(encoder)}",
        )
        unlike = {
            "batch_first=True is missing": (False,),
            "bidirectional=True is missing": (..., False),
        }
        check.equal(
            (encoder.batch_first, encoder.bidirectional),
            (True, True),
            unlike=unlike,
            what="(batch_first, bidirectional)",
        )


SRC = torch.tensor([[4, 7, 2, 8, 5], [6, 3, 0, 0, 0], [5, 8, 3, 2, 0]])
LENGTHS = torch.tensor([5, 2, 4])  # not sorted
TGT = torch.tensor([[1, 5, 8, 2], [1, 3, 6, 7], [1, 2, 3, 8]])


def small(kata, attention=True):
    """A Seq2Seq with random parameters, far from zero."""
    return lively(kata.Seq2Seq(V, H, attention=attention))


def judged(
    model,
    src,
    lengths,
    tgt_in,
    *,
    start="backward",
    bridge=torch.tanh,
    padded="",
    looks="before",
    fixed="right",
    context_first=False,
    late=False,
):
    """The pair (logits, weights) of a float64 model, sequence by sequence, without
    padding. The options are slips.
    """
    embed, width = model.embed.weight, src.size(1)
    states, ends = [], []
    for row, length in zip(src, lengths.tolist(), strict=True):
        outputs, last = model.encoder(
            embed[row if padded not in ("", "zeros") else row[:length]][None]
        )
        states.append(outputs[0, :length] if padded == "read" else outputs[0])
        if padded == "zeros":
            states[-1] = F.pad(states[-1], (0, 0, 0, width - length))
        ends.append(last[:, 0])
    ends = torch.stack(ends, dim=1)  # (2, B, H)
    vectors = {
        "right": torch.cat([ends[0], ends[1]], dim=1),
        "zeros": torch.zeros(len(src), 2 * ends.size(2), dtype=torch.float64),
        "mixed": ends.reshape(len(src), -1),
        "exchanged": torch.cat([ends[1], ends[0]], dim=1),
    }
    logits, weights = [], []
    for b, target in enumerate(tgt_in):
        first = {
            "backward": ends[1, b],
            "forward": ends[0, b],
            "last output": states[b][-1, ends.size(2) :],
        }[start]
        s, context, share = (
            bridge(model.bridge(first)),
            vectors[fixed][b],
            torch.zeros(width, dtype=torch.float64),
        )
        for symbol in target:
            if model.attention is not None and looks == "before":
                context, share = looked(model, s, states[b], width)
            before = s
            read = (
                [context, embed[symbol]] if context_first else [embed[symbol], context]
            )
            s = model.decoder(torch.cat(read)[None], s[None])[0]
            if model.attention is not None and looks == "after":
                context, share = looked(model, s, states[b], width)
            logits.append(model.head(torch.cat([before if late else s, context])))
            weights.append(share)
    shape = tgt_in.shape
    return torch.stack(logits).unflatten(0, shape), torch.stack(weights).unflatten(
        0, shape
    )


def looked(model, s, states, width):
    """Context and weights of one sequence, the weights with zeros up to this width."""
    context, weights = attended(s[None], states[None], *matrices(model.attention))
    return context[0], F.pad(weights[0], (0, width - len(states)))


def precise(model):
    return copy.deepcopy(model).double()


class TestSeq2SeqForward:
    def compared(self, model, src, lengths, *, slips, what):
        """Check logits and weights against the judge's. Slips are the judge's options
        by name.
        """
        judge = precise(model)
        with torch.no_grad():
            expected = judged(judge, src, lengths, TGT)
            unlike = {
                name: judged(judge, src, lengths, TGT, **slip)
                for name, slip in slips.items()
            }
            got = model(src, lengths, TGT)
        check.that(
            len(got) == 2,
            f"forward returns {check.describe(got)}, the pair (logits, weights) is "
            "expected",
        )
        for place, (name, size) in enumerate((("logits", V), ("weights", src.size(1)))):
            check.shape(got[place], (B, TGT.size(1), size), what=f"{name} {what}")
            wrong = {name: pair[place] for name, pair in unlike.items()}
            check.close(
                got[place], expected[place], unlike=wrong, what=f"{name} {what}"
            )

    def test_each_step_looks_back_with_the_state_before(self, kata):
        """s_0 comes from the backward direction, which has read the source from its end
        to its begin. At each step the context is looked up with s_{t−1}, and goes into
        the cell and into the head. Sources of full length.
        """
        slips = {
            "s_0 from the forward direction": {"start": "forward"},
            "s_0 from the last output, where the backward direction has only begun": {
                "start": "last output"
            },
            "s_0 without the tanh": {"bridge": lambda x: x},
            "the context is looked up with s_t, after the update": {"looks": "after"},
            "one fixed context, attention is not used": {"looks": "never"},
            "the cell reads the context first, then the symbol": {
                "context_first": True
            },
            "the head reads s_{t−1}, not s_t": {"late": True},
        }
        full = torch.full((B,), 3)
        self.compared(
            small(kata),
            SRC[[0, 2, 0], 1:4].clone(),
            full,
            slips=slips,
            what="for sources of equal length",
        )

    def test_every_source_ends_at_its_own_length(self, kata):
        """The backward direction starts at each row's last symbol, not in the padding,
        and nobody attends to padding. The lengths are in no order.
        """
        slips = {
            "the encoder reads the padding, and it is attended to": {
                "padded": "attended"
            },
            "the encoder reads the padding, though it is not attended to": {
                "padded": "read"
            },
            "the padding is attended to, though the encoder does not read it": {
                "padded": "zeros"
            },
        }
        self.compared(
            small(kata),
            SRC,
            LENGTHS,
            slips=slips,
            what="for sources of lengths 5, 2 and 4",
        )

    @pytest.mark.parametrize("attention", [True, False])
    def test_more_padding_changes_nothing(self, kata, attention):
        """With two more columns of PAD the logits stay, and the weights are 0 there.
        The encoder's outputs need to be as wide as src, also where no row is.
        """
        model = small(kata, attention)
        with torch.no_grad():
            expected = model(SRC, LENGTHS, TGT)
            logits, weights = model(F.pad(SRC, (0, 2), value=PAD), LENGTHS, TGT)
        check.close(
            logits, expected[0], what="logits, with two more columns of padding"
        )
        check.close(
            weights,
            F.pad(expected[1], (0, 2)),
            what="weights, with two more columns of padding",
        )

    def test_the_targets_future_changes_nothing(self, kata):
        """The logits of step t depend on tgt_in up to place t only: what comes later is
        not known yet when translating.
        """
        model = small(kata)
        with torch.no_grad():
            before = model(SRC, LENGTHS, TGT)[0]
            for place in (1, 2, 3):
                other = TGT.clone()
                other[:, place:] = (other[:, place:] + 3) % V
                after = model(SRC, LENGTHS, other)[0]
                what = (
                    f"logits before place {place}, after a change of tgt_in from "
                    "there on"
                )
                check.close(after[:, :place], before[:, :place], what=what)
                same = torch.allclose(after[:, place], before[:, place])
                check.that(
                    not same,
                    f"a change of tgt_in at place {place} has no effect on the logits "
                    "there",
                )

    def test_without_attention_the_context_is_one_fixed_vector(self, kata):
        """[last forward, last backward], the same at every step: all that the decoder
        learns of the source. It goes in the same places. The weights are zeros.
        """
        slips = {
            "a context of zeros": {"fixed": "zeros"},
            (
                "states of several rows mixed: (2, B, H) must be joined along H, not "
                "reshaped"
            ): {"fixed": "mixed"},
            "backward before forward": {"fixed": "exchanged"},
            "the encoder reads the padding": {"padded": True},
        }
        self.compared(
            small(kata, attention=False),
            SRC,
            LENGTHS,
            slips=slips,
            what="without attention",
        )

    @pytest.mark.parametrize("attention", [True, False])
    def test_gradients_reach_every_part(self, kata, attention):
        """From the logits back through every step: to the head and the cell, to W_a,
        U_a and v_a, and through the contexts to all that the encoder has read.
        """
        model = small(kata, attention)
        judge, probe = precise(model), torch.randn(B, TGT.size(1), V)
        for one, logits in (
            (model, model(SRC, LENGTHS, TGT)[0]),
            (judge, judged(judge, SRC, LENGTHS, TGT)[0]),
        ):
            check.that(logits.requires_grad, "the logits have no graph")
            (logits * probe.to(logits.dtype)).sum().backward()
            one.embed.weight.grad[PAD] = 0.0
        for (name, mine), right in zip(
            model.named_parameters(), judge.parameters(), strict=True
        ):
            check.that(mine.grad is not None, f"no gradient reaches {name}")
            check.close(
                mine.grad, right.grad, rtol=1e-3, atol=1e-4, what=f"gradient of {name}"
            )


def chain(model, src, lengths, n, *, start=BOS, newest=-1, fed="all"):
    """n symbols of greedy translation, by the model's own forward. The options
    are slips.
    """
    ids = torch.full((len(src), 1), start)
    with torch.no_grad():
        for _ in range(n):
            logits = model(src, lengths, ids if fed == "all" else ids[:, -1:])[0]
            ids = torch.cat(
                [
                    ids,
                    logits[:, min(newest, logits.size(1) - 1)].argmax(dim=-1)[:, None],
                ],
                dim=1,
            )
    return ids[:, 1:]


def talkative(kata):
    """A Seq2Seq whose next symbol depends much on the one before."""
    model = small(kata)
    with torch.no_grad():
        model.embed.weight.mul_(4)
        model.decoder.weight_ih[:, :H].mul_(4)
    return model


@pytest.mark.stretch
class TestGreedyTranslate:
    @pytest.mark.parametrize("n", [3, 9])
    def test_feeds_back_its_own_best_symbol(self, kata, n):
        """Start from BOS, take the argmax of the newest logits, feed it back, and so
        on. The result holds the max_len new symbols only, and may be longer than
        the source.
        """
        for seed in range(3):
            torch.manual_seed(seed)
            model = talkative(kata)
            expected = chain(model, SRC, LENGTHS, n)
            unlike = {
                "BOS is part of the result": F.pad(expected[:, :-1], (1, 0), value=BOS),
                "PAD in place of BOS at the start": chain(
                    model, SRC, LENGTHS, n, start=PAD
                ),
                "the first place's logits at every step": chain(
                    model, SRC, LENGTHS, n, newest=0
                ),
                "the state starts anew for every symbol": chain(
                    model, SRC, LENGTHS, n, fed="last"
                ),
                "padding is read as part of the source": chain(
                    model, SRC, torch.full((B,), T), n
                ),
            }
            check.equal(
                kata.greedy_translate(model, SRC, LENGTHS, n), expected, unlike=unlike
            )

    def test_works_without_attention(self, kata):
        """The fixed vector is translated in the same way."""
        model = small(kata, attention=False)
        check.equal(
            kata.greedy_translate(model, SRC, LENGTHS, 6), chain(model, SRC, LENGTHS, 6)
        )

    def test_the_parameters_stay_as_they_are(self, kata):
        """Translating is no training: nothing is learned from it, and a second call
        gives the same.
        """
        model = talkative(kata)
        before = copy.deepcopy(model.state_dict())
        first = kata.greedy_translate(model, SRC, LENGTHS, 4)
        check.equal(
            dict(model.state_dict()), dict(before), what="the parameters after the call"
        )
        check.equal(
            kata.greedy_translate(model, SRC, LENGTHS, 4),
            first,
            what="the result of a second call",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False])
    def test_the_model_is_left_as_it_was(self, kata, training):
        """It writes in eval mode and comes back in its own. No graph is built, which
        would grow with every symbol, and a gradient that is still needed stays.
        """
        model, seen = small(kata).train(training), []
        model.bridge.bias.grad = torch.ones(H)
        hook = model.head.register_forward_hook(
            lambda module, inputs, output: seen.append(
                (module.training, output.requires_grad)
            )
        )
        with check.unchanged(
            **{name.replace(".", "_"): p for name, p in model.named_parameters()}
        ):
            kata.greedy_translate(model, SRC, LENGTHS, 3)
        hook.remove()
        check.equal(model.training, training, what="model.training afterwards")
        check.that(
            not any(mode for mode, _ in seen), "the model wrote in training mode"
        )
        check.that(
            not any(graph for _, graph in seen),
            "the logits have a graph, which is of no use here",
        )


@pytest.mark.stretch
class TestAlignmentMass:
    def test_a_perfect_mirror_has_mass_1(self, kata):
        """All weight at the place that is expected, for every target place. If all of
        it is two places off, nothing is within 1.
        """
        mirror = torch.eye(6).flip(0).expand(B, 6, 6)
        centre = 5 - torch.arange(6)
        mass = kata.alignment_mass(mirror, centre)
        check.that(
            type(mass) is float,
            f"the mass should be a float, not {check.describe(mass)}",
        )
        unlike = {
            "the mean over T, too": 1 / 6,
            "the sum over T'": 6.0,
            "the sum over B and T'": 6.0 * B,
            "the mean of all weights in the windows": 6 / 16,
        }
        check.close(mass, 1.0, unlike=unlike, what="mass of a mirror")
        far = kata.alignment_mass(mirror[:, :4], centre[:4] - 2)
        check.close(far, 0.0, what="mass of weights two places off")

    def test_at_the_ends_the_window_is_cut(self, kata):
        """Uniform weights over six places: three places of 1/6 each where all exist,
        two at the first and the last. The window does not go round to the other end.
        """
        uniform = torch.full((B, 6, 6), 1 / 6)
        unlike = {
            "the window wraps around at the ends": 3 / 6,
            "only the places before the centre": 11 / 36,
        }
        unlike["the centre alone, or the mean over the window"] = 1 / 6
        unlike["all places before the window, too"] = (2 + 3 + 4 + 5 + 6 + 6) / 36
        got = kata.alignment_mass(uniform, torch.arange(6))
        check.close(
            got,
            (4 * 3 + 2 * 2) / 36,
            rtol=1e-5,
            unlike=unlike,
            what="mass of uniform weights",
        )

    @pytest.mark.parametrize("width", [0, 1, 3])
    def test_is_the_mean_over_batch_and_target_places(self, kata, width):
        """Also if there are more source than target places, or if two of them expect
        the same source place. Compared to a loop over all weights.
        """
        weights, centre = (
            torch.randn(B, 4, 7).softmax(dim=-1),
            torch.tensor([6, 2, 2, 0]),
        )
        near = [
            weights[b, t, max(0, c - width) : c + width + 1].sum().item()
            for b in range(B)
            for t, c in enumerate(centre.tolist())
        ]
        unlike = {
            "the sum over the batch": sum(near) / 4,
            "the mean over T, too": sum(near) / len(near) / 7,
        }
        got = kata.alignment_mass(weights, centre, width)
        check.close(
            got,
            sum(near) / len(near),
            rtol=1e-4,
            unlike=unlike,
            what=f"mass for width = {width}",
        )


class Guesser(nn.Module):
    """A model that is called as a Seq2Seq is, and notes what it reads. Its logits are
    large in every second call, so that the norm of its gradients is above 1 and below 1
    in turn.
    """

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(V, H), nn.Linear(H, V)
        self.read, self.modes = [], []

    def forward(self, src, lengths, tgt_in):
        self.read.append((src, lengths, tgt_in))
        self.modes.append(self.training)
        size = 6 if len(self.read) % 2 else 0.3
        logits = size * self.out(
            self.embed(src).mean(dim=1, keepdim=True) + self.embed(tgt_in)
        )
        return logits, torch.zeros(*tgt_in.shape, src.size(1))


def reversed_row(row):
    """The symbols of a source backwards, then PAD."""
    symbols = [symbol for symbol in row.tolist() if symbol != PAD]
    return symbols[::-1] + [PAD] * (len(row) - len(symbols))


@functools.cache
def learned(kata, attention):
    """The accuracy of a trained net on 200 new sequences of length 10, with the right
    symbols fed in, and its weights (200, 10, 10).
    """
    torch.manual_seed(0)
    model = kata.Seq2Seq(12, 32, attention=attention)
    kata.train_seq2seq(
        model,
        steps=100,
        min_len=9,
        lr=0.015,
        generator=torch.Generator().manual_seed(0),
    )
    src, lengths, tgt_in, tgt_out = kata.reverse_batch(
        200, 10, 10, 12, torch.Generator().manual_seed(1)
    )
    with torch.no_grad():
        logits, weights = model(src, lengths, tgt_in)
    return (logits.argmax(dim=-1) == tgt_out).float().mean().item(), weights


class TestTrainSeq2seq(training.Contract):
    """Adam on clipped gradients, whose norm is above 1 in every second step only. The
    model reads tgt_in, from BOS on, and is scored on tgt_out, one symbol further.
    Padding does not count.
    """

    model, max_norm = Guesser, 1.0

    def train(self, kata, model, **options):
        return kata.train_seq2seq(
            model, batch=8, min_len=2, max_len=T, vocab_size=V, **options
        )

    def loss(self, model, batch):
        src, lengths, _ = batch
        right = torch.tensor([reversed_row(row) for row in src])
        shares = model(src, lengths, F.pad(right[:, :-1], (1, 0), value=BOS))[
            0
        ].log_softmax(dim=-1)
        return -shares.gather(-1, right[..., None])[..., 0][right != PAD].mean()

    def wrong_losses(self, model, batch):
        src, lengths, _ = batch
        right = torch.tensor([reversed_row(row) for row in src])
        tgt_in = F.pad(right[:, :-1], (1, 0), value=BOS)
        logits = model(src, lengths, tgt_in)[0].mT
        model.read.clear()
        return {
            "tgt_out read in place of tgt_in": F.cross_entropy(
                model(src, lengths, right)[0].mT, right, ignore_index=PAD
            ),
            "padding counts": F.cross_entropy(logits, right),
            "scored on tgt_in, which the model has just read": F.cross_entropy(
                logits, tgt_in, ignore_index=PAD
            ),
            "the sum over all places": F.cross_entropy(
                logits, right, ignore_index=PAD, reduction="sum"
            ),
            "the mean of the rows' means": (
                F.cross_entropy(logits, right, ignore_index=PAD, reduction="none").sum(
                    dim=1
                )
                / lengths
            ).mean(),
        }

    def test_each_step_reads_a_new_batch(self, kata):
        """`batch` sequences of min_len to max_len symbols are drawn anew for each step;
        by default 64 of 4 to 10 symbols. The target that is read begins with BOS.
        """
        model = Guesser()
        self.train(kata, model, steps=5)
        sources = [src for src, _, _ in model.read]
        check.equal(
            [tuple(src.shape) for src in sources],
            [(8, T)] * 5,
            what="shapes of the sources read",
        )
        check.that(
            not torch.equal(sources[0], sources[1]), "two steps read the same batch"
        )
        lengths = torch.stack([lengths for _, lengths, _ in model.read])
        check.equal(
            (lengths.min().item(), lengths.max().item()),
            (2, T),
            what="the shortest and the longest length",
        )
        src, _, tgt_in = model.read[0]
        right = torch.tensor([reversed_row(row) for row in src])
        check.equal(
            tgt_in,
            F.pad(right[:, :-1], (1, 0), value=BOS),
            unlike={"tgt_out": right},
            what="the target read",
        )
        net = kata.train_seq2seq(Wide(), steps=1)
        check.equal(len(net), 1, what="the number of losses with the default sizes")

    @pytest.mark.timeout(90)
    def test_attention_holds_at_length_10(self, kata):
        """The paper's result in small, first half: after 100 updates the net with
        attention has more than 80 % of the symbols right, in reversals of ten symbols.
        Guessing has 10 %.
        """
        accuracy, _ = learned(kata, True)
        check.that(
            accuracy > 0.8, f"the accuracy is {accuracy:.3f}: it should be above 0.8"
        )

    @pytest.mark.timeout(90)
    def test_one_fixed_vector_does_not(self, kata):
        """Second half: the same net without attention, after the same training, stays
        below 75 %, and more than 15 points behind. Ten symbols are too many for
        one vector.
        """
        fixed, with_attention = learned(kata, False)[0], learned(kata, True)[0]
        check.that(
            fixed < 0.75,
            f"the accuracy without attention is {fixed:.3f}: it should be below 0.75",
        )
        said = (
            f"{with_attention:.3f} with attention and {fixed:.3f} without: the gap "
            "should be above 0.15"
        )
        check.that(with_attention - fixed > 0.15, said)

    @pytest.mark.timeout(90)
    def test_the_alignment_runs_against_the_diagonal(self, kata):
        """Nobody told the net where to look. To write symbol t of a reversal it learns
        to look at symbol 9 − t: more than 60 % of all weight lies there or next to it,
        where uniform weights have 28 %.
        """
        _, weights = learned(kata, True)
        mean = weights.mean(dim=0)  # (10, 10), of 200 sequences
        mass = sum(mean[t, max(0, 8 - t) : 11 - t].sum().item() for t in range(10)) / 10
        check.that(
            mass > 0.6,
            f"the weight within ±1 of the mirrored place is {mass:.3f}: it should be "
            "above 0.6",
        )


class Wide(nn.Module):
    """A model of the default sizes: 12 symbols, up to 10 places."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(12, 12)

    def forward(self, src, lengths, tgt_in):
        check.equal(tuple(src.shape), (64, 10), what="shape of the source by default")
        return self.table(tgt_in), torch.zeros(64, 10, 10)
