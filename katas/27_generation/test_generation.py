"""Specs of 27: a device, filters, a draw, the loop with its window, its stop and its
cache, and the cache's memory.
"""

import math
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from grader.specs import check

INF = math.inf
PROBABILITIES = (0.1, 0.5, 0.05, 0.35)  # of four tokens, in no order
DRAWS = 20_000


def logits_of(probabilities, rows=1, shift=2.0):
    """Logits (rows, V) whose softmax gives the probabilities. They are shifted
    logarithms: a shift changes nothing.
    """
    return (
        (torch.tensor(probabilities, dtype=torch.float64).log() + shift)
        .float()
        .repeat(rows, 1)
    )


def frequencies(kata, logits, **options):
    """The share of each token among the draws of all rows of the logits."""
    tokens = kata.sample_next(logits, **options)
    check.shape(tokens, (len(logits), 1))
    return tokens.flatten().bincount(minlength=logits.size(-1)) / len(logits)


def seen(tokens):
    return sorted(set(tokens.flatten().tolist()))


class Fake(nn.Module):
    """A model with a small vocabulary: `rule` turns a window (B, t) into the next
    tokens (B,) or the next logits (B, V), and the logits of every position follow it.
    It records its inputs and its state.
    """

    def __init__(self, rule, vocab_size=20, block_size=16):
        super().__init__()
        self.config = SimpleNamespace(block_size=block_size, vocab_size=vocab_size)
        self.anchor = nn.Parameter(torch.zeros(1))
        self.part = nn.Dropout(0.5)
        self.rule, self.vocab_size = rule, vocab_size
        self.windows, self.modes, self.gradients = [], [], []

    def forward(self, idx, *, cache=None):
        self.windows.append(idx.clone())
        self.modes.append(self.training or self.part.training)
        self.gradients.append(torch.is_grad_enabled())
        logits = [self._next(idx[:, : t + 1]) for t in range(idx.size(1))]
        return torch.stack(logits, dim=1) + 0 * self.anchor, None

    def _next(self, window):
        found = self.rule(window)
        return (
            found
            if found.is_floating_point()
            else 30.0 * nn.functional.one_hot(found, self.vocab_size)
        )


def counting(vocab_size=20, block_size=16):
    """A model that is sure that n + 1 follows n, and that 0 follows the last token."""
    return Fake(lambda window: (window[:, -1] + 1) % vocab_size, vocab_size, block_size)


def summing(vocab_size=20, block_size=16):
    """A model that is sure that the sum of all it sees comes next (modulo V), so the
    window shows in its answer.
    """
    return Fake(lambda window: window.sum(dim=1) % vocab_size, vocab_size, block_size)


def random_words(block_size=16):
    """A model that gives every context the same PROBABILITIES."""
    return Fake(lambda window: logits_of(PROBABILITIES, len(window)), 4, block_size)


def small_gpt(kata, **changes):
    """A real GPT in float64 with large random weights, the same in every run: its
    logits depend on the whole window and on the positions in it. Block size 8.
    """
    sizes = {
        "block_size": 8,
        "vocab_size": 13,
        "n_layer": 2,
        "n_head": 2,
        "n_embd": 16,
        "dropout": 0.4,
    } | changes
    model = kata.GPT(kata.GPTConfig(**sizes)).double()
    source = torch.Generator().manual_seed(10)
    weights = model.state_dict()  # the model's own tensors, by name
    for name in sorted(weights.keys() - {"lm_head.weight"}):
        if weights[name].ndim == 2:
            weights[name].copy_(
                torch.randn(weights[name].shape, generator=source, dtype=torch.float64)
            )
    return model


def watched_gpt(kata, **changes):
    """A small GPT that takes nothing but (idx) and (idx, cache=cache), and the list of
    the lengths of idx in its calls, each with whether there was a cache.
    """
    model, calls = small_gpt(kata, **changes), []
    forward = model.forward

    def noting(idx, *args, **options):
        said = (
            f"the model was called with {1 + len(args)} positional arguments and the "
            f"keywords {sorted(options)}"
        )
        check.that(
            not args and set(options) <= {"cache"},
            f"{said}; only cache=… may go with idx",
        )
        calls.append((idx.size(1), options.get("cache") is not None))
        return forward(idx, **options)

    model.forward = noting
    return model, calls


def prompts(length, vocab_size=13):
    """Two rows of tokens, not the same."""
    return torch.randint(
        vocab_size, (2, length), generator=torch.Generator().manual_seed(10 + length)
    )


def greedy_by_hand(model, idx, count):
    """Appends the best token repeatedly, from the full window and without a cache."""
    model.eval()
    with torch.no_grad():
        for _ in range(count):
            logits, _ = model(idx[:, -model.config.block_size :])
            idx = torch.cat([idx, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    return idx


def kept_by_hand(logits, p):
    """The tokens of one row that stay: from the most probable down, until p
    is reached.
    """
    weights = [math.exp(x) for x in logits]
    kept, reached = set(), 0.0
    for token in sorted(range(len(logits)), key=lambda token: -weights[token]):
        if reached < p:
            kept.add(token)
        reached += weights[token] / sum(weights)
    return kept


@st.composite
def rows_of_logits(draw):
    """Logits (V,), (A, V) or (A, B, V), no two of a row alike."""
    size = draw(st.integers(1, 5))
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    row = st.lists(st.integers(-3, 6), min_size=size, max_size=size, unique=True)
    return (
        torch.tensor([draw(row) for _ in range(math.prod(lead))])
        .float()
        .reshape(*lead, size)
    )


class TestPickDevice:
    @pytest.mark.parametrize(
        "cuda, mps, best",
        [
            (True, False, "cuda"),
            (True, True, "cuda"),
            (False, True, "mps"),
            (False, False, "cpu"),
        ],
        ids=["cuda", "cuda and mps", "mps", "neither"],
    )
    def test_takes_the_best_device_there_is(self, kata, cuda, mps, best):
        """Without a wish: cuda if there is one, else mps, Apple's GPU, else cpu. (This
        spec pretends which devices exist, by patching torch.cuda.is_available and
        torch.backends.mps.is_available. Call both inside the function: an answer stored
        when the module was loaded no longer changes.)
        """
        with (
            mock.patch("torch.cuda.is_available", lambda: cuda),
            mock.patch("torch.backends.mps.is_available", lambda: mps),
        ):
            unlike = (
                {f"{best} is not asked for at the call": torch.device("cpu")}
                if best != "cpu"
                else {}
            )
            check.equal(kata.pick_device(), torch.device(best), unlike=unlike)

    @pytest.mark.parametrize("there", [True, False], ids=["all there", "none there"])
    def test_a_wish_wins(self, kata, there):
        """A wish becomes a torch.device, whatever else there is: the CPU on a machine
        with a GPU, and also a missing GPU. Then the first tensor raises an error, which
        is better than a run that is silently slow. "cuda:1" is the second GPU and
        "cuda" the current one: two different devices.
        """
        with (
            mock.patch("torch.cuda.is_available", lambda: there),
            mock.patch("torch.backends.mps.is_available", lambda: there),
        ):
            for wish in ("cpu", "cuda", "cuda:1", "mps"):
                check.equal(
                    kata.pick_device(wish),
                    torch.device(wish),
                    what=f"the device for {wish!r}",
                )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_a_gpu_is_found(self, kata):
        """With a CUDA GPU in the machine and no wish, that GPU is the answer."""
        check.equal(kata.pick_device(), torch.device("cuda"))


class TestTopKFilter:
    def test_the_k_largest_stay(self, kata):
        """The k largest logits keep their values and places; the others are −inf, which
        softmax turns into 0.
        """
        logits = torch.tensor([[2.0, 7.0, -3.0, 4.0, 0.5]])
        expected = torch.tensor([[-INF, 7.0, -INF, 4.0, -INF]])
        wrong = {
            "the filtered tokens set to 0, a logit like any other": torch.tensor(
                [[0.0, 7.0, 0.0, 4.0, 0.0]]
            ),
            "the k smallest kept": torch.tensor([[-INF, -INF, -3.0, -INF, 0.5]]),
            "one token too few": torch.tensor([[-INF, 7.0, -INF, -INF, -INF]]),
            "one token too many": torch.tensor([[2.0, 7.0, -INF, 4.0, -INF]]),
            "all from the k-th smallest on": torch.tensor([[2.0, 7.0, -INF, 4.0, 0.5]]),
        }
        check.equal(kata.top_k_filter(logits, 2), expected, unlike=wrong, finite=False)

    def test_every_row_has_a_limit_of_its_own(self, kata):
        """All logits of row 1 are smaller, and the row still keeps its own two largest.
        A threshold from the whole batch leaves it without a single token, or keeps too
        many in other rows.
        """
        logits = torch.tensor(
            [[5.0, 9.0, 7.0, 8.0], [1.0, -2.0, 0.0, -1.0], [3.0, 9.5, 9.0, 4.0]]
        )
        expected = torch.tensor(
            [[-INF, 9.0, -INF, 8.0], [1.0, -INF, 0.0, -INF], [-INF, 9.5, 9.0, -INF]]
        )
        wrong = {
            "one threshold for the whole batch, from its first row": logits.masked_fill(
                logits < 8.0, -INF
            ),
            "one threshold for the whole batch, its k-th largest": logits.masked_fill(
                logits < 9.0, -INF
            ),
            "one threshold for the whole batch, the lowest of all rows": (
                logits.masked_fill(logits < 0.0, -INF)
            ),
        }
        check.equal(kata.top_k_filter(logits, 2), expected, unlike=wrong, finite=False)

    @given(logits=rows_of_logits(), data=st.data())
    def test_any_row_and_any_leading_dimensions(self, kata, logits, data):
        """One row of logits alone, or (A, B, V) of them: the last dimension is the
        vocabulary, and k = V keeps all.
        """
        k = data.draw(st.integers(1, logits.size(-1)), label="k")
        rows = logits.reshape(-1, logits.size(-1)).tolist()
        kept = [
            [x if x in sorted(row, reverse=True)[:k] else -INF for x in row]
            for row in rows
        ]
        check.equal(
            kata.top_k_filter(logits, k),
            torch.tensor(kept).reshape(logits.shape),
            finite=False,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("k", [5, 50])
    def test_k_may_be_more_than_all(self, kata, k):
        """With k above V there is nothing to filter. (torch.topk alone refuses a k
        above V.)
        """
        logits = torch.tensor([[2.0, 7.0, -3.0, 4.0], [0.0, 1.0, 2.0, 3.0]])
        check.equal(kata.top_k_filter(logits, k), logits)

    @pytest.mark.edge
    def test_ties_do_not_lose_tokens(self, kata):
        """Three tokens share the second place. At least one of them stays, as does the
        better token, and the worse token goes. (`logits <= limit` would remove the
        limit itself.)
        """
        got = kata.top_k_filter(torch.tensor([[4.0, 6.0, 4.0, 1.0, 4.0]]), 2)[0]
        check.equal(
            got[[1, 3]],
            torch.tensor([6.0, -INF]),
            what="the best token and the worst",
            finite=False,
        )
        kept = got[[0, 2, 4]]
        fine = bool((kept == 4.0).any()) and bool(
            ((kept == 4.0) | (kept == -INF)).all()
        )
        check.that(
            fine,
            "of the three tokens with logit 4 at least one should stay as it is, got "
            f"{kept.tolist()}",
        )

    @pytest.mark.parametrize("k", [0, -1])
    @pytest.mark.edge
    def test_no_token_at_all_is_refused(self, kata, k):
        """With nothing left to draw from there is no next token: better an error than
        the NaN of softmax.
        """
        with check.raises(ValueError):
            kata.top_k_filter(torch.zeros(2, 4), k)

    @pytest.mark.edge
    def test_the_input_stays_as_it_is(self, kata):
        """The caller may need the full distribution again, for the next filter or for
        a plot.
        """
        logits = torch.tensor([[2.0, 7.0, -3.0, 4.0]])
        with check.unchanged(logits=logits):
            kata.top_k_filter(logits, 1)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype",
        [torch.float16, torch.bfloat16, torch.float64],
        ids=lambda d: str(d)[6:],
    )
    def test_the_dtype_is_kept(self, kata, dtype):
        """Logits of any precision come back in that precision, and the kept ones are
        bit for bit the same.
        """
        logits = torch.tensor([[2.0, 7.0, -3.0, 4.0]], dtype=dtype)
        check.equal(
            kata.top_k_filter(logits, 2),
            torch.tensor([[-INF, 7.0, -INF, 4.0]], dtype=dtype),
            finite=False,
        )


class TestTopPFilter:
    @pytest.mark.parametrize(
        "p, kept",
        [
            (0.01, [1]),
            (0.6, [1, 3]),
            (0.8, [1, 3]),
            (0.9, [0, 1, 3]),
            (0.97, [0, 1, 2, 3]),
        ],
        ids=["p=0.01", "p=0.6", "p=0.8", "p=0.9", "p=0.97"],
    )
    def test_the_smallest_set_that_reaches_p(self, kata, p, kept):
        """From the most probable token down, until p is reached: the token that crosses
        p stays, so one always does. The tokens here are not sorted: each decision made
        in sorted order has to go back to its token's place.
        """
        logits = logits_of(PROBABILITIES)
        expected, in_sorted_order = (
            torch.full_like(logits, -INF),
            torch.full_like(logits, -INF),
        )
        expected[0, kept] = logits[0, kept]
        in_sorted_order[0, : len(kept)] = logits[0, : len(kept)]
        ranked = torch.full_like(logits, -INF)
        ranked[0, : len(kept)] = logits[0].sort(descending=True).values[: len(kept)]
        without = expected.clone()
        without[0, min(kept, key=lambda token: PROBABILITIES[token])] = -INF
        each = logits.masked_fill(torch.tensor([PROBABILITIES]) < p, -INF)
        every = {
            "the mask not brought back from sorted order": in_sorted_order,
            "sorted logits returned, not those of the tokens": ranked,
            "the token that crosses p is removed": without,
            "each token judged by itself, probability ≥ p": each,
            "the filtered tokens set to 0, a logit like any other": (
                expected.masked_fill(expected == -INF, 0.0)
            ),
        }
        wrong = {
            name: value
            for name, value in every.items()
            if not torch.equal(value, expected)
        }
        check.equal(kata.top_p_filter(logits, p), expected, unlike=wrong, finite=False)

    def test_every_row_has_a_set_of_its_own(self, kata):
        """A sure row keeps one token and an unsure row three. The orders differ from
        row to row as well.
        """
        rows = [(0.04, 0.02, 0.9, 0.04), (0.3, 0.33, 0.07, 0.3), (0.65, 0.05, 0.1, 0.2)]
        logits = torch.cat([logits_of(row) for row in rows])
        stays = torch.tensor(
            [
                [False, False, True, False],
                [True, True, False, True],
                [True, False, False, True],
            ]
        )
        check.equal(
            kata.top_p_filter(logits, 0.8),
            logits.masked_fill(~stays, -INF),
            finite=False,
        )

    @given(logits=rows_of_logits(), p=st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9]))
    def test_any_row_and_any_leading_dimensions(self, kata, logits, p):
        """One row of logits alone, or (A, B, V) of them. The set of each row is counted
        out by hand.
        """
        rows = logits.reshape(-1, logits.size(-1)).tolist()
        kept = [
            [x if i in kept_by_hand(row, p) else -INF for i, x in enumerate(row)]
            for row in rows
        ]
        check.equal(
            kata.top_p_filter(logits, p),
            torch.tensor(kept).reshape(logits.shape),
            finite=False,
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "size, p, expected", [(2, 0.5, 1), (4, 0.25, 1), (4, 0.75, 3)]
    )
    def test_a_sum_of_exactly_p_is_enough(self, kata, size, p, expected):
        """Equally probable tokens stay until their sum is p or more, whichever of them
        come first. Their probabilities are exact here, so no rounding decides.
        """
        got = (kata.top_p_filter(torch.zeros(3, size), p) > -INF).sum(dim=-1)
        unlike = {"one token too many": torch.full((3,), expected + 1)}
        what = f"how many of {size} equal tokens stay with p = {p}"
        check.equal(got, torch.full((3,), expected), unlike=unlike, what=what)

    @pytest.mark.edge
    def test_p_of_one_keeps_everything(self, kata):
        """p = 1 is no filter. In float32 a sum is 1 long before the last tokens (their
        share is too small to be seen), or a little above 1. These tokens are still
        possible and stay.
        """
        logits = torch.tensor([[3.0, 30.0, -2.0, 9.0, 1.0], [0.1, 0.2, 0.3, 0.4, 0.5]])
        check.equal(kata.top_p_filter(logits, 1.0), logits)
        many = torch.randn(4, 3000, generator=torch.Generator().manual_seed(1))
        check.equal(kata.top_p_filter(many, 1), many, what="4 rows of 3000 tokens")

    @pytest.mark.parametrize("p", [0.0, -0.5, 1.01])
    @pytest.mark.edge
    def test_p_is_a_probability_above_0(self, kata, p):
        """Nothing can be drawn from an empty set, and no set reaches more than 1: an
        error in both cases.
        """
        with check.raises(ValueError):
            kata.top_p_filter(torch.zeros(2, 4), p)

    @pytest.mark.edge
    def test_the_input_stays_as_it_is(self, kata):
        """The caller may need the full distribution again."""
        logits = logits_of(PROBABILITIES, rows=2)
        with check.unchanged(logits=logits):
            kata.top_p_filter(logits, 0.6)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype",
        [torch.float16, torch.bfloat16, torch.float64],
        ids=lambda d: str(d)[6:],
    )
    def test_the_dtype_is_kept(self, kata, dtype):
        """Logits of any precision come back in that precision, and the kept ones are
        bit for bit the same.
        """
        logits = logits_of(PROBABILITIES).to(dtype)
        check.equal(
            kata.top_p_filter(logits, 0.6),
            logits.masked_fill(torch.tensor([[True, False, True, False]]), -INF),
            finite=False,
        )

    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"]
    )
    @pytest.mark.edge
    def test_half_precision_is_added_up_in_float32(self, kata, dtype):
        """A thousand equally probable tokens and p = 0.9985: 999 stay. bfloat16 has no
        number between 0.996 and 1, so a sum kept in it cannot tell 998 of them
        from 1000. And the nearest that it has to 0.001 is 0.0009995: softmax has to be
        in float32 too, or a thousand such probabilities are not 1.
        """
        got = kata.top_p_filter(torch.zeros(2, 1000, dtype=dtype), 0.9985)
        check.equal(
            (got > -INF).sum(dim=-1).tolist(),
            [999, 999],
            what="how many tokens stay in row ",
        )


class TestSampleNext:
    def test_one_id_for_every_row(self, kata):
        """(B, V) in, (B, 1) out, ready to be appended to the (B, T) tokens, and long,
        as ids are. Each row here is all but sure of one token.
        """
        wanted = torch.tensor([[4], [0], [2]])
        logits = torch.full((3, 5), -40.0).scatter(1, wanted, 3.0)
        got = kata.sample_next(logits)
        wrong = {"one draw for all rows": wanted[:1].expand(3, 1)}
        check.equal(got, wanted, unlike=wrong)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    def test_frequencies_follow_the_temperature(self, kata, temperature):
        """Twenty thousand rows with the same logits: each token comes up as often as
        softmax(logits / temperature) says. A low temperature favours the probable
        tokens, and a high one evens them out.
        """
        logits = logits_of(PROBABILITIES, DRAWS)
        wrong = {
            "the logits multiplied by the temperature": (
                logits[0] * temperature
            ).softmax(-1)
        }
        wrong[
            "no temperature: it divides the logits, and must do so before the softmax"
        ] = logits[0].softmax(-1)
        if temperature == 1.0:
            wrong = {
                "the best token every time": torch.tensor([0.0, 1.0, 0.0, 0.0]),
                "all tokens equally often": torch.full((4,), 0.25),
            }
        got = frequencies(kata, logits, temperature=temperature)
        expected = (logits[0].double() / temperature).softmax(-1)
        check.close(
            got,
            expected,
            rtol=0,
            atol=0.02,
            unlike=wrong,
            what="the share of each token",
        )

    @pytest.mark.parametrize(
        "options", [{"top_k": 2}, {"top_p": 0.55}], ids=["k=2", "p=0.55"]
    )
    def test_what_stays_shares_the_rest_out(self, kata, options):
        """With top_k=2, or with top_p=0.55, tokens 1 and 3 stay, 0.5 and 0.35: after
        another softmax they have 0.59 and 0.41.
        """
        got = frequencies(kata, logits_of(PROBABILITIES, DRAWS), **options)
        expected = torch.tensor([0.0, 0.5 / 0.85, 0.0, 0.35 / 0.85])
        check.close(got, expected, rtol=0, atol=0.02, what="the share of each token")

    def test_first_temperature_then_k_then_p(self, kata):
        """top-p sees the probabilities that temperature and top-k have left. At
        temperature 0.25 token 1 alone has 0.81, at 2 it has 0.38. Of the two tokens
        that k = 2 leaves, token 1 has 0.5 / 0.85 = 0.59.
        """
        at_1 = "top-p sees the probabilities at temperature 1"
        for options, kept in (
            ({"temperature": 0.25, "top_p": 0.6}, [1]),
            ({"temperature": 2.0, "top_p": 0.6}, [1, 3]),
            ({"temperature": 2.0, "top_p": 0.8}, [0, 1, 3]),
            ({"top_k": 2, "top_p": 0.55}, [1]),
            ({"temperature": 0.25, "top_k": 3, "top_p": 0.97}, [1, 3]),
        ):
            tokens = kata.sample_next(logits_of(PROBABILITIES, 2000), **options)
            slip = (
                "top-p sees all tokens, not those of top-k"
                if "top_k" in options
                else at_1
            )
            unlike = {} if kept == [1, 3] else {slip: [1, 3]}
            check.equal(
                seen(tokens),
                kept,
                unlike=unlike,
                what=f"with {options}, the tokens of 2000 draws, ",
            )

    def test_temperature_0_takes_the_best(self, kata):
        """The limit of ever lower temperatures: the largest logit wins, every time.
        Dividing by 0 makes infinities and NaN instead; the filters have nothing to add.
        """
        logits = torch.tensor(
            [[0.1, 0.3, 0.2, 0.0], [-5.0, -6.0, -4.9, -5.1], [0.0, 0.0, 0.0, 0.01]]
        ).repeat(20, 1)
        best = torch.tensor([[1], [2], [3]]).repeat(20, 1)
        check.equal(kata.sample_next(logits, temperature=0.0), best)
        check.equal(
            kata.sample_next(logits, temperature=0.0, top_k=2, top_p=0.5),
            best,
            what="with filters",
        )

    def test_a_generator_decides_alone(self, kata):
        """The same generator state gives the same draw, whatever the global generator
        has done in between.
        """
        logits = logits_of(PROBABILITIES, 50)
        torch.manual_seed(2)
        unlike, draws = (
            {"drawn from the global generator": kata.sample_next(logits)},
            [],
        )
        for global_seed in (1, 2):
            torch.manual_seed(global_seed)
            got = kata.sample_next(logits, generator=torch.Generator().manual_seed(6))
            draws.append(got)
        check.equal(
            got,
            draws[0],
            unlike=unlike,
            what="the second draw with a generator seeded like the first",
        )
        other = kata.sample_next(logits, generator=torch.Generator().manual_seed(7))
        check.that(
            not torch.equal(other, draws[0]),
            "another seed gives the same 50 draws: the generator is not used",
        )

    def test_the_global_generator_is_the_default(self, kata):
        """Without a generator torch.manual_seed makes the draw repeatable, and the next
        draw is another one.
        """
        logits = logits_of(PROBABILITIES, 50)
        torch.manual_seed(8)
        first, second = kata.sample_next(logits), kata.sample_next(logits)
        torch.manual_seed(8)
        check.equal(
            kata.sample_next(logits), first, what="the draw from the same global seed"
        )
        check.that(
            not torch.equal(first, second),
            "two draws one after the other are the same in all 50 rows",
        )

    @pytest.mark.edge
    def test_temperature_0_is_not_a_tiny_temperature(self, kata):
        """Two logits that are as close as float32 can tell them apart, and logits of
        1e30 and 2e30. A tiny number in place of 0 leaves the first to chance, or makes
        infinities of the second.
        """
        close = torch.tensor([0.5, 0.5, 0.25]).nextafter(torch.tensor([0.0, 1.0, 0.0]))
        logits = torch.stack([close, torch.tensor([1e30, 0.0, 2e30])]).repeat(100, 1)
        check.equal(
            kata.sample_next(logits, temperature=0.0),
            torch.tensor([[1], [2]]).repeat(100, 1),
        )

    @pytest.mark.edge
    def test_a_negative_temperature_is_refused(self, kata):
        """It would turn the order round: the least probable token the most probable."""
        with check.raises(ValueError):
            kata.sample_next(torch.randn(2, 4), temperature=-0.5)

    @pytest.mark.parametrize(
        "options",
        [{"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}],
        ids=["k=0", "p=0", "p=1.5"],
    )
    @pytest.mark.edge
    def test_refuses_what_the_filters_refuse(self, kata, options):
        """Only None switches a filter off. 0 is a number: it reaches the filter, which
        refuses it.
        """
        with check.raises(ValueError):
            kata.sample_next(torch.randn(2, 4), **options)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"]
    )
    def test_half_precision(self, kata, dtype):
        """Logits may be in half precision. Frequencies and filters work as
        in float32.
        """
        logits = logits_of(PROBABILITIES, DRAWS).to(dtype)
        got = frequencies(kata, logits)
        check.close(
            got,
            torch.tensor(PROBABILITIES),
            rtol=0,
            atol=0.02,
            what="the share of each token",
        )
        check.equal(
            seen(kata.sample_next(logits[:500], top_k=3, top_p=0.6)),
            [1, 3],
            what="with top-k and top-p, ",
        )

    @pytest.mark.edge
    def test_half_precision_and_a_small_temperature(self, kata):
        """600 / 0.004 is 150,000, and float16 ends at 65,504. Two logits that both
        become infinity are NaN after softmax: divide in float32.
        """
        logits = torch.tensor(
            [[600.0, 590.0, 20.0], [20.0, 590.0, 600.0]], dtype=torch.float16
        )
        check.equal(
            kata.sample_next(logits, temperature=0.004), torch.tensor([[0], [2]])
        )

    @pytest.mark.edge
    def test_a_slice_is_read_and_left_alone(self, kata):
        """A model returns (B, T, V), and the slice of the last position is a view that
        is not contiguous. Do not write to it, not even to divide by the temperature.
        """
        everything = torch.full((3, 2, 5), -40.0)
        everything[:, -1] = torch.eye(5)[[4, 0, 2]] * 60 - 30
        with check.unchanged(logits=everything):
            got = kata.sample_next(
                everything[:, -1], temperature=0.7, top_k=3, top_p=0.9
            )
        check.equal(got, torch.tensor([[4], [0], [2]]))

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_draws_on_the_gpu(self, kata):
        """Logits and generator on the GPU: so are the tokens."""
        generator = torch.Generator("cuda").manual_seed(0)
        tokens = kata.sample_next(
            logits_of(PROBABILITIES, 2000).cuda(), 0.9, 3, 0.6, generator
        )
        check.equal(tokens.device.type, "cuda", what="the device of the tokens")
        check.equal(seen(tokens), [1, 3], what="the tokens that come up, ")


class TestNextLogits:
    def test_the_last_position_decides(self, kata):
        """The logits of the last position are about the token to come; those of the
        first predict the prompt's second token. This model is sure that n + 1
        follows n.
        """
        idx = torch.tensor([[9, 2, 5], [0, 17, 11]])
        got = kata.next_logits(counting(), idx)
        check.shape(got, (2, 20), what="the logits, one row per text")
        wrong = {"the logits of position 0": torch.tensor([10, 1])}
        check.equal(
            got.argmax(dim=-1),
            torch.tensor([6, 12]),
            unlike=wrong,
            what="the likeliest tokens",
        )

    @given(length=st.integers(1, 7))
    def test_the_window_is_the_last_block(self, kata, length):
        """Block size 4: the model sees the last four tokens, no fewer and no more. This
        one answers with the sum of what it sees, so a wrong window shows at once.
        """
        idx, model = prompts(length, 20), summing(block_size=4)
        got = kata.next_logits(model, idx).argmax(dim=-1)
        given_to_it = [window.size(1) for window in model.windows]
        check.equal(
            given_to_it, [min(length, 4)], what="the tokens given to the model, call "
        )
        wrong = {
            "the first tokens of the window, not the last": idx[:, :4].sum(dim=1) % 20
        }
        check.equal(
            got, idx[:, -4:].sum(dim=1) % 20, unlike=wrong, what="the likeliest tokens"
        )

    def test_the_cache_saves_work(self, kata):
        """First the prompt, then one new token per call: that is the whole purpose of
        the cache. Eight tokens fit into the block here. After that the window moves and
        is run as a whole, without the cache.
        """
        model, calls = watched_gpt(kata)
        idx, cache = prompts(10), kata.new_cache(model)
        for length in (3, 4, 5, 6, 7, 8, 9, 10):
            kata.next_logits(model, idx[:, :length], cache)
        expected = [3, 1, 1, 1, 1, 1, 8, 8]
        unlike = {
            "all tokens again, though they are in the cache": [3, 4, 5, 6, 7, 8, 8, 8]
        }
        check.equal(
            [count for count, _ in calls],
            expected,
            unlike=unlike,
            what="the tokens given to the model, call ",
        )

    @given(
        lengths=st.lists(st.integers(1, 11), min_size=1, max_size=6, unique=True).map(
            sorted
        )
    )
    def test_the_cache_changes_nothing(self, kata, lengths):
        """However the text grows, by one token or by several, the logits are those of
        the last eight tokens in one pass. When there are more than eight, each token in
        the window has a new position, and the cached keys and values belong to the
        old positions.
        """
        model, idx = small_gpt(kata).eval(), prompts(11)
        cache = kata.new_cache(model)
        for length in lengths:
            got = kata.next_logits(model, idx[:, :length], cache)
            expected = model(idx[:, max(0, length - 8) : length])[0][:, -1]
            # attention may compute in float32
            check.close(
                got,
                expected,
                rtol=1e-4,
                atol=1e-3,
                what=f"the logits after {length} tokens",
            )

    def test_the_calling_rule(self, kata):
        """model(idx), or model(idx, cache=cache): the second positional argument of GPT
        is not the cache but the targets. Without a cache, none is passed.
        """
        model, calls = watched_gpt(kata, n_layer=1)
        kata.next_logits(model, prompts(3), kata.new_cache(model))
        kata.next_logits(model, prompts(3))
        check.equal(
            [cached for _, cached in calls],
            [True, False],
            what="whether there was a cache, in call ",
        )


@st.composite
def drawn_tokens(draw):
    """The tokens that some rows draw in each of some steps, out of four, and the one
    that stops.
    """
    rows, steps = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    step = st.lists(st.integers(0, 3), min_size=rows, max_size=rows)
    return [draw(step) for _ in range(steps)], draw(st.integers(0, 3))


class TestApplyStop:
    def test_rows_that_had_ended_are_filled(self, kata):
        """The third row has ended before, so its 4 becomes a stop token. The first row
        ends now.
        """
        token, done = (
            torch.tensor([[9], [4], [4]]),
            torch.tensor([[False], [False], [True]]),
        )
        got = kata.apply_stop(token, done, 9)
        unlike = {
            "a finished row goes on": torch.tensor([[9], [4], [4]]),
            "all rows": torch.tensor([[9], [9], [9]]),
        }
        unlike["the rows that go on are filled"] = torch.tensor([[9], [9], [4]])
        check.equal(
            got[0], torch.tensor([[9], [4], [9]]), unlike=unlike, what="the tokens"
        )
        unlike = {
            "the rows that had ended before are forgotten": torch.tensor(
                [[True], [False], [False]]
            )
        }
        unlike["the rows that end now are not noted"] = torch.tensor(
            [[False], [False], [True]]
        )
        check.equal(
            got[1], torch.tensor([[True], [False], [True]]), unlike=unlike, what="done"
        )

    def test_without_a_stop_token_nothing_ends(self, kata):
        """With None, whatever is drawn stays, and no row is done."""
        token, done = torch.tensor([[0], [1]]), torch.tensor([[False], [False]])
        got = kata.apply_stop(token, done, None)
        check.equal(got[0], torch.tensor([[0], [1]]), what="the tokens")
        check.equal(got[1], torch.tensor([[False], [False]]), what="done")

    @given(case=drawn_tokens())
    def test_step_by_step_each_row_ends_at_its_first_stop(self, kata, case):
        """Whatever is drawn, a row is its tokens up to the first stop token, and stop
        tokens from there on. 0 is an id like any other, and only None means that there
        is no stop token.
        """
        steps, stop = case
        done, written = torch.zeros(len(steps[0]), 1, dtype=torch.bool), []
        for drawn in steps:
            token, done = kata.apply_stop(torch.tensor(drawn)[:, None], done, stop)
            written.append(token)
        for row, (got, ended) in enumerate(
            zip(torch.cat(written, dim=1).tolist(), done[:, 0].tolist(), strict=True)
        ):
            drawn = [step[row] for step in steps]
            end = drawn.index(stop) if stop in drawn else len(drawn)
            check.equal(
                got, drawn[:end] + [stop] * (len(drawn) - end), what=f"row {row}, step "
            )
            falsy = (
                "0 taken for no stop token: ask `is not None`"
                if stop == 0 and not ended
                else ""
            )
            check.that(
                ended == (stop in drawn),
                f"row {row} drew {drawn}, and done is {ended} in the end",
                like=falsy,
            )

    @pytest.mark.edge
    def test_the_arguments_stay_as_they_were(self, kata):
        """`token[done] = stop_token` writes into what was drawn."""
        token, done = (
            torch.tensor([[9], [4], [4]]),
            torch.tensor([[False], [False], [True]]),
        )
        with check.unchanged(token=token, done=done):
            kata.apply_stop(token, done, 9)


class TestGenerate:
    def test_each_row_goes_on_with_its_own_next_tokens(self, kata):
        """This model is sure that n + 1 follows n. A row that ends in 5 continues with
        6, 7, 8 after the prompt.
        """
        idx = torch.tensor([[9, 2, 5], [0, 17, 11]])
        got = kata.generate(counting(), idx, 4)
        expected = torch.tensor([[9, 2, 5, 6, 7, 8, 9], [0, 17, 11, 12, 13, 14, 15]])
        wrong = {
            "new tokens put in front": torch.tensor(
                [[6, 6, 6, 6, 9, 2, 5], [12, 12, 12, 12, 0, 17, 11]]
            ),
            "only the new tokens, without the prompt": expected[:, 3:],
        }
        check.equal(got, expected, unlike=wrong)

    def test_the_controls_reach_every_draw(self, kata):
        """temperature, top_k and top_p act on each new token as they do in sample_next;
        without them any token may come.
        """
        idx = torch.zeros(400, 1, dtype=torch.long)
        for options, kept in (
            ({}, [0, 1, 2, 3]),
            ({"top_k": 2}, [1, 3]),
            ({"top_p": 0.9}, [0, 1, 3]),
            ({"temperature": 0.25, "top_p": 0.6}, [1]),
            ({"temperature": 0.0}, [1]),
        ):
            got = kata.generate(random_words(), idx, 2, **options)
            check.shape(got, (400, 3))
            for position in (1, 2):
                what = (
                    f"with {options}, the tokens that come up at position {position}, "
                )
                check.equal(seen(got[:, position]), kept, what=what)

    @settings(max_examples=10)
    @given(length=st.integers(1, 11), count=st.integers(1, 14), use_cache=st.booleans())
    def test_a_real_gpt_as_by_hand(self, kata, length, count, use_cache):
        """A GPT with dropout and block size 8, at temperature 0: the same ids as from a
        loop that runs the last eight tokens through the model in every step, in eval
        mode. That holds with and without cache, also past the block.
        """
        model, idx = small_gpt(kata), prompts(length)
        expected = greedy_by_hand(model, idx, count)
        check.equal(
            kata.generate(
                model.train(), idx, count, temperature=0.0, use_cache=use_cache
            ),
            expected,
        )

    def test_every_token_is_a_fresh_draw(self, kata):
        """This model's next token does not depend on the context, so two neighbours
        agree in 38.5 % of all cases. A generator that is seeded again in each step
        would make them agree always.
        """
        source = torch.Generator().manual_seed(0)
        got = kata.generate(
            random_words(), torch.zeros(3000, 1, dtype=torch.long), 2, generator=source
        )
        agree = (got[:, 1] == got[:, 2]).double().mean().item()
        check.that(
            abs(agree - 0.385) < 0.06,
            f"neighbouring tokens agree in {agree:.1%} of all rows, expected about "
            "38.5 %",
        )

    def test_the_same_seed_writes_the_same_text(self, kata):
        """All randomness comes from the generator that was passed in, whatever torch's
        global generator does.
        """
        idx = torch.zeros(5, 1, dtype=torch.long)
        texts = []
        for global_seed, seed in ((1, 6), (2, 6), (2, 7)):
            torch.manual_seed(global_seed)
            texts.append(
                kata.generate(
                    random_words(),
                    idx,
                    12,
                    generator=torch.Generator().manual_seed(seed),
                )
            )
        check.equal(texts[1], texts[0], what="the text from the same seed")
        check.that(
            not torch.equal(texts[2], texts[0]),
            "another seed gives the same text: the generator is not used",
        )

    def test_runs_in_eval_mode_without_gradients(self, kata):
        """Dropout would make every token worse at random, and an unused graph would
        grow with every token.
        """
        model = counting().train()
        kata.generate(model, torch.tensor([[3]]), 3)
        check.equal(
            model.modes,
            [False] * 3,
            what="whether the model was in training mode, in call ",
        )
        check.equal(
            model.gradients,
            [False] * 3,
            what="whether gradients were recorded, in call ",
        )

    def test_a_row_that_has_stopped_is_filled_up(self, kata):
        """Stop token 9. The first row produces it after two tokens, the second after
        four: until then the first row gets only 9. When both are done the loop ends,
        long before max_new_tokens.
        """
        model = counting()
        got = kata.generate(model, torch.tensor([[2, 7], [1, 5]]), 10, stop_token=9)
        expected = torch.tensor([[2, 7, 8, 9, 9, 9], [1, 5, 6, 7, 8, 9]])
        wrong = {
            "the loop ends when any row stops": expected[:, :4],
            "a finished row goes on": torch.tensor(
                [[2, 7, 8, 9, 10, 11], [1, 5, 6, 7, 8, 9]]
            ),
        }
        check.equal(got, expected, unlike=wrong)
        check.that(
            len(model.windows) == 4,
            f"four new tokens took {len(model.windows)} calls of the model, expected 4",
        )

    def test_a_stop_token_in_the_prompt_does_not_count(self, kata):
        """Rows are often separated by the stop token, so a prompt may begin or end
        with it.
        Only a new one ends a row.
        """
        got = kata.generate(counting(), torch.tensor([[9, 3], [4, 9]]), 3, stop_token=9)
        expected = torch.tensor([[9, 3, 4, 5, 6], [4, 9, 10, 11, 12]])
        check.equal(
            got,
            expected,
            unlike={
                "rows with a stop token in the prompt are done": torch.tensor(
                    [[9, 3], [4, 9]]
                )
            },
        )

    @pytest.mark.parametrize(
        "use_cache", [False, True], ids=["without cache", "with cache"]
    )
    def test_the_cache_is_used_if_asked_for(self, kata, use_cache):
        """With use_cache the model gets the prompt first, then one new token per call.
        Without it no cache is made or filled. The cache of one text is not that of
        the next.
        """
        model, calls = watched_gpt(kata)
        for _ in range(2):
            calls.clear()
            kata.generate(model, prompts(3), 4, use_cache=use_cache)
            expected = (
                [(3, True), (1, True), (1, True), (1, True)]
                if use_cache
                else [(n, False) for n in (3, 4, 5, 6)]
            )
            check.that(
                calls == expected,
                f"(tokens, cache or not) in each call: {calls}, expected {expected}",
            )

    @pytest.mark.edge
    def test_the_prompt_is_not_written_to(self, kata):
        """The result is a new tensor, and the caller's prompt stays what it was."""
        idx = torch.tensor([[3, 4], [5, 6]])
        with check.unchanged(idx=idx):
            check.shape(kata.generate(counting(), idx, 3), (2, 5))

    @pytest.mark.edge
    @pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
    @pytest.mark.parametrize(
        "gradients", [True, False], ids=["gradients", "no gradients"]
    )
    def test_modes_are_put_back(self, kata, training, gradients):
        """A sample between two training steps must not switch dropout off for the rest
        of the run. Afterwards the model with all its parts is in the mode it was in,
        and gradients are recorded if they were before.
        """
        model = counting().train(training)
        with torch.set_grad_enabled(gradients):
            kata.generate(model, torch.tensor([[3]]), 2)
            after = torch.is_grad_enabled()
        modes = {"the model": model.training, "its part": model.part.training}
        check.equal(
            modes,
            {"the model": training, "its part": training},
            what="training mode of ",
        )
        check.equal(after, gradients, what="whether gradients are recorded afterwards")

    @pytest.mark.parametrize("at", [1, 2])
    @pytest.mark.edge
    def test_modes_are_put_back_after_an_exception(self, kata, at):
        """Out of memory in the middle of a sample, caught by a training script that
        goes on: it goes on in training mode and with gradients. The exception itself
        comes through.
        """
        calls = []

        def rule(window):
            calls.append(window)
            if len(calls) == at:
                raise MemoryError("out of memory")
            return torch.zeros(len(window), dtype=torch.long)

        model = Fake(rule).train()
        with check.raises(MemoryError):
            kata.generate(model, torch.tensor([[3]]), 3)
        check.that(
            model.training and model.part.training, "the model was left in eval mode"
        )
        check.that(torch.is_grad_enabled(), "gradients were left switched off")

    @pytest.mark.parametrize(
        "use_cache", [False, True], ids=["without cache", "with cache"]
    )
    @pytest.mark.edge
    def test_no_new_tokens_is_a_copy(self, kata, use_cache):
        """max_new_tokens = 0 gives the prompt back, as a tensor of its own: writing to
        it does not change the prompt.
        """
        idx = prompts(4)
        got = kata.generate(small_gpt(kata), idx, 0, use_cache=use_cache)
        check.equal(got, idx)
        check.independent(got, idx)

    @pytest.mark.parametrize("shape", [(3,), (1, 2, 3), ()])
    @pytest.mark.edge
    def test_the_prompts_are_two_dimensional(self, kata, shape):
        """(B, T), one row a text, also when there is only one: idx[None] makes (1, T)
        of (T,).
        """
        with check.raises(ValueError):
            kata.generate(counting(), torch.zeros(shape, dtype=torch.long), 2)

    @pytest.mark.edge
    def test_an_empty_prompt_is_refused(self, kata):
        """A GPT has no answer to nothing: there is no last position. A begin-of-text
        token would be a prompt.
        """
        with check.raises(ValueError):
            kata.generate(counting(), torch.zeros(2, 0, dtype=torch.long), 2)

    @pytest.mark.edge
    def test_a_negative_number_of_tokens_is_refused(self, kata):
        """`range(-1)` is silently empty; a caller who computed a negative number has
        made a mistake and should know.
        """
        with check.raises(ValueError):
            kata.generate(counting(), torch.tensor([[1, 2]]), -1)

    @pytest.mark.edge
    @pytest.mark.gpu
    @pytest.mark.parametrize(
        "use_cache", [False, True], ids=["without cache", "with cache"]
    )
    def test_generates_on_the_gpu(self, kata, use_cache):
        """Model, prompt and generator on the GPU: the text is there too, stopped
        rows included.
        """
        model, idx = small_gpt(kata), prompts(3)
        expected = greedy_by_hand(model, idx, 12)
        stop = next(token for token in range(26) if token not in expected[:, 3:])
        source = torch.Generator("cuda").manual_seed(0)
        got = kata.generate(
            model.cuda(), idx.cuda(), 12, 0.0, None, None, stop, use_cache, source
        )
        check.equal(got.device.type, "cuda", what="the device of the text")
        check.equal(got.cpu(), expected)
        sampled = kata.generate(
            model, idx.cuda(), 12, 1.5, 5, 0.9, stop, use_cache, source
        )
        check.equal(sampled.device.type, "cuda", what="the device of the sampled text")


LETTERS = "abcdefghijklmnopqrst"  # the vocabulary of the fakes: 20 tokens


class Letters:
    """A tokenizer with one id per letter, which records how it was used."""

    def __init__(self):
        self.encoded, self.decoded = [], []

    def encode(self, text):
        self.encoded.append(text)
        return [LETTERS.index(letter) for letter in text]

    def decode(self, ids):
        self.decoded.append(ids)
        return "".join(LETTERS[int(i)] for i in ids)


def sample(kata, model, prompt, *arguments, **options):
    letters = Letters()
    texts = kata.sample_texts(
        model, letters.encode, letters.decode, prompt, *arguments, **options
    )
    check.that(
        isinstance(texts, list) and all(isinstance(text, str) for text in texts),
        f"a list of texts was expected, got {check.describe(texts)}",
    )
    return texts, letters


def any_letter():
    """A model that finds all twenty letters equally likely."""
    return Fake(lambda window: torch.zeros(len(window), 20))


@pytest.mark.stretch
class TestSampleTexts:
    def test_prompt_and_continuation(self, kata):
        """This model continues the alphabet: "c" goes on with "defg". Text in, text
        out, the prompt first.
        """
        texts, _ = sample(kata, counting(), "hac", 1, 4)
        check.equal(texts, ["hacdefg"])

    def test_by_default_one_sample_of_50_tokens(self, kata):
        """num_samples is 1 and max_new_tokens 50 where the caller says nothing."""
        texts, _ = sample(kata, counting(), "a")
        check.equal(texts, [(LETTERS * 3)[:51]])

    def test_one_batch_does_it(self, kata):
        """The samples run side by side, (num_samples, T) tokens in each call. One after
        the other takes num_samples times as long; all of them in one row make one
        long prompt.
        """
        model = any_letter()
        _, letters = sample(kata, model, "hac", num_samples=5, max_new_tokens=4)
        got, expected = (
            [tuple(window.shape) for window in model.windows],
            [(5, 3), (5, 4), (5, 5), (5, 6)],
        )
        check.that(
            got == expected,
            f"shape of the tokens in each call: {got}, expected {expected}",
        )
        check.that(
            letters.encoded == ["hac"],
            f"encode was called with {letters.encoded}, expected once with the prompt",
        )

    def test_several_samples_differ(self, kata):
        """Six continuations by a model to which all letters are alike: each is drawn on
        its own.
        (That two of them have the same twelve letters by chance is
        practically impossible.)
        """
        texts, _ = sample(kata, any_letter(), "hac", num_samples=6, max_new_tokens=12)
        check.equal([len(text) for text in texts], [15] * 6, what="the length of text ")
        check.equal(
            [text[:3] for text in texts], ["hac"] * 6, what="the beginning of text "
        )
        check.that(
            len(set(texts)) == 6,
            f"only {len(set(texts))} of 6 texts differ: {texts[:2]} …",
        )

    def test_the_text_ends_before_the_stop_token(self, kata):
        """The stop token ends the text and is no part of it. Pass it to generate too:
        once all texts have ended, the model is not called any more.
        """
        model = counting()
        texts, _ = sample(kata, model, "hac", 2, 30, LETTERS.index("g"))
        check.equal(texts, ["hacdef"] * 2)
        calls = len(model.windows)
        check.that(
            calls == 4,
            f"for d, e, f and the stop token, g, the model was called {calls} times, "
            "expected 4",
        )
        texts, _ = sample(kata, counting(), "haf", 1, 3, LETTERS.index("g"))
        check.equal(texts, ["haf"], what="the text that stops at once, ")

    def test_each_sample_ends_at_its_own_stop_token(self, kata):
        """Rows that stop early are filled up with stop tokens, which do not belong to
        the text. The longest row runs to the end of the batch.
        """
        texts, _ = sample(
            kata, any_letter(), "hac", num_samples=30, max_new_tokens=15, stop_token=4
        )
        check.that(
            not any("e" in text for text in texts),
            f"there is a stop token, e, left in {texts}",
        )
        lengths = sorted({len(text) for text in texts})
        check.that(
            len(lengths) > 2, f"30 texts with a random end have the lengths {lengths}"
        )

    def test_a_stop_token_in_the_prompt_cuts_nothing(self, kata):
        """The prompt is the caller's: it stays as it is, and the text is continued."""
        texts, _ = sample(
            kata, counting(), "gag", max_new_tokens=3, stop_token=LETTERS.index("g")
        )
        check.equal(
            texts,
            ["gaghij"],
            unlike={"cut at a stop token in the prompt": [""]},
            what="texts",
        )

    def test_the_sampling_options_are_passed_on(self, kata):
        """temperature, top_k and all others go to generate. With top_k=1 nothing is
        random; the same seed gives the same texts.
        """
        favourite = (
            torch.randperm(20, generator=torch.Generator().manual_seed(0)).float()
            * 0.01
        )
        model = Fake(lambda window: favourite.repeat(len(window), 1))
        best = LETTERS[int(favourite.argmax())]
        for options in ({"top_k": 1}, {"temperature": 0.0}, {"top_p": 0.001}):
            texts, _ = sample(kata, model, "hac", 3, 5, **options)
            check.equal(texts, ["hac" + 5 * best] * 3, what=f"with {options}, text ")
        twice = [
            sample(
                kata,
                any_letter(),
                "a",
                2,
                9,
                generator=torch.Generator().manual_seed(4),
            )[0]
            for _ in range(2)
        ]
        check.equal(twice[1], twice[0], what="with the same seed, text ")
        gpt, calls = watched_gpt(kata, vocab_size=20)
        sample(kata, gpt, "hac", 2, 3, use_cache=True)
        check.equal(
            [count for count, _ in calls],
            [3, 1, 1],
            what="with use_cache, the tokens given to the model, call ",
        )

    def test_decode_gets_a_list_of_plain_ints(self, kata):
        """Many tokenizers look ids up in a dict, and a tensor is not found in one,
        whatever its value.
        """
        _, letters = sample(kata, counting(), "hac", 2, 4)
        for ids in letters.decoded:
            plain = isinstance(ids, list) and all(type(i) is int for i in ids)
            check.that(
                plain,
                f"decode was called with {check.describe(ids)}, expected a list of "
                "ints",
            )

    @pytest.mark.edge
    def test_the_prompt_comes_back_as_it_was_given(self, kata):
        """Not every tokenizer gives back the text that it was given. This one turns
        capitals into small letters. Use decode for the continuation only: the prompt is
        there as text.
        """
        letters = Letters()
        texts = kata.sample_texts(
            counting(),
            lambda text: letters.encode(text.lower()),
            letters.decode,
            "HaC",
            2,
            4,
        )
        check.equal(
            texts,
            ["HaCdefg"] * 2,
            unlike={"the prompt's ids decoded too": ["hacdefg"] * 2},
        )

    @pytest.mark.edge
    def test_an_empty_prompt_is_refused(self, kata):
        """Without a token there is no position to predict from."""
        with check.raises(ValueError):
            sample(kata, counting(), "", 2, 3)

    @pytest.mark.edge
    def test_the_prompt_goes_to_the_models_device(self, kata):
        """A model on a GPU wants its input there. The "meta" device, which holds shapes
        without numbers, stands in for one here: the model notes where the prompt is,
        and breaks off.
        """
        places = []

        class Arrived(Exception):
            pass

        def rule(window):
            places.append(window.device.type)
            raise Arrived

        with check.raises(Arrived):
            sample(kata, Fake(rule).to("meta"), "hac", 2, 3)
        check.equal(places, ["meta"], what="the device of the prompt, call ")

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_samples_on_the_gpu(self, kata):
        """A real GPT on the GPU, the prompt as text: the rest works as on the CPU."""
        texts, _ = sample(
            kata,
            small_gpt(kata, vocab_size=20).cuda(),
            "hac",
            3,
            12,
            top_k=4,
            use_cache=True,
        )
        check.equal([len(text) for text in texts], [15] * 3, what="the length of text ")


@pytest.mark.stretch
class TestKvCacheBytes:
    def test_gpt2_at_its_full_length(self, kata):
        """12 layers, 12 heads of 64 features, 1024 tokens, keys and values, 2 bytes per
        number: 36 MiB for one sequence.
        """
        full = 2 * 12 * 12 * 64 * 1024 * 2
        wrong = {
            "keys without values, or numbers, not bytes": full // 2,
            "float32 numbers": 2 * full,
            "tokens², as attention scores have": 1024 * full,
        }
        check.equal(kata.kv_cache_bytes(12, 12, 64, 1024), full, unlike=wrong)

    def test_every_size_counts(self, kata):
        """Layers, heads, features, tokens and sequences, each once: all factors are
        different primes here.
        """
        expected = 2 * 3 * 5 * 7 * 11 * 13 * 4
        unlike = {
            "tokens², as attention scores have": 11 * expected,
            "without the batch": expected // 13,
        }
        check.equal(
            kata.kv_cache_bytes(3, 5, 7, 11, 13, torch.float32), expected, unlike=unlike
        )

    def test_the_dtype_sets_the_bytes(self, kata):
        """A number of the cache takes as many bytes as its dtype has. Some caches are
        kept in int8, which torch.finfo rejects.
        """
        for dtype, size in (
            (torch.float64, 8),
            (torch.bfloat16, 2),
            (torch.float8_e4m3fn, 1),
            (torch.int8, 1),
        ):
            check.equal(
                kata.kv_cache_bytes(2, 3, 4, 5, dtype=dtype),
                2 * 2 * 3 * 4 * 5 * size,
                what=f"bytes in {dtype}",
            )

    @pytest.mark.edge
    def test_nothing_cached_takes_nothing(self, kata):
        """0 tokens, or no sequences: 0 bytes, and no error."""
        check.equal(kata.kv_cache_bytes(12, 12, 64, 0), 0)
        check.equal(kata.kv_cache_bytes(12, 12, 64, 1024, batch_size=0), 0)

    @pytest.mark.edge
    def test_negative_sizes_are_refused(self, kata):
        """A negative size is a mistake of the caller. Two of them multiply to a
        positive number that looks right.
        """
        for place in range(5):
            sizes = [2, 3, 4, 5, 6]
            for position in (place, place - 1):
                sizes[position] = -1
                with check.raises(ValueError):
                    kata.kv_cache_bytes(*sizes)


@pytest.mark.stretch
class TestMaxCachedTokens:
    def test_gpt2_in_one_gibibyte(self, kata):
        """A token of GPT-2 takes 36,864 bytes of float16 keys and values, so 2³⁰ bytes
        hold 29,127 of them: round down, because part of a token cannot be cached.
        """
        check.equal(
            kata.max_cached_tokens(2**30, 12, 12, 64),
            29_127,
            unlike={"rounded up": 29_128},
        )

    def test_the_batch_shares_the_budget(self, kata):
        """Tokens are counted per sequence: with eleven sequences, each gets an eleventh
        of the budget.
        """
        per_token = 2 * 3 * 5 * 7 * 4
        got = kata.max_cached_tokens(13 * 11 * per_token, 3, 5, 7, 11, torch.float32)
        check.equal(got, 13, unlike={"the tokens of all sequences together": 13 * 11})

    @given(sizes=st.tuples(*[st.integers(1, 3)] * 4), budget=st.integers(0, 300))
    def test_one_token_more_would_not_fit(self, kata, sizes, budget):
        """The answer fits into the budget, to the last byte, and one token more in
        every sequence does not.
        """
        tokens, per_token = (
            kata.max_cached_tokens(budget, *sizes),
            2 * 2 * math.prod(sizes),
        )
        check.that(
            tokens * per_token <= budget,
            f"{tokens} tokens of {per_token} bytes do not fit into {budget}",
        )
        fits = (tokens + 1) * per_token <= budget
        check.that(
            not fits,
            f"one more than {tokens} tokens of {per_token} bytes would fit into "
            f"{budget}, too",
        )

    @pytest.mark.edge
    def test_exact_for_large_budgets(self, kata):
        """Integers stay exact: `/` makes a float, which has 53 bits and rounds off
        the rest.
        """
        tokens = 2**60 + 1
        check.equal(kata.max_cached_tokens(tokens * 2 * 3 * 5 * 7 * 2, 3, 5, 7), tokens)

    @pytest.mark.edge
    def test_impossible_sizes_are_refused(self, kata):
        """A negative budget, or a cache with no layers, heads, features or sequences,
        which would hold any number of tokens.
        """
        for sizes in (
            (-1, 2, 3, 4),
            (10, 0, 3, 4),
            (10, 2, -3, 4),
            (10, 2, 3, 0),
            (10, 2, 3, 4, 0),
        ):
            with check.raises(ValueError):
                kata.max_cached_tokens(*sizes)
