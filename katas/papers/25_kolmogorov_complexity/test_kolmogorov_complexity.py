"""Specs of kata papers/25: shortest programs, compressors, a distance, entropy, and a
model that learns on the way.
"""

import bz2
import copy
import functools
import lzma
import math
import random
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.datasets import prose
from grader.specs import check


def cheapest(max_length):
    """Every output with the length of its shortest program, found level by level: from
    outputs, not from programs.
    """
    costs, level = {"": 0}, {""}
    for cost in range(1, max_length + 1):
        level = {
            longer
            for output in level
            for longer in (output + "0", output + "1", output * 2)
        } - costs.keys()
        costs |= dict.fromkeys(level, cost)
    return costs


@functools.cache
def table(kata):
    """The learner's shortest programs of up to 8 characters."""
    return kata.shortest_programs(8)


class TestShortestPrograms:
    def test_every_program_prints_its_output(self, kata):
        """A description counts only if the string can be had back from it. Keys are
        outputs, values are programs.
        """
        found = kata.shortest_programs(3)
        for output, program in found.items():
            check.that(
                "D" not in str(output),
                f"{output!r} is among the keys: it is a program, and no output",
            )
            check.that(
                isinstance(program, str),
                f"the program for {output!r} is {program!r}, it should be a string",
            )
            check.equal(
                kata.run_program(program),
                output,
                what=f"the output of the program {program!r}",
            )

    def test_no_program_is_shorter(self, kata):
        """All outputs are there, each with a program of the smallest length. Most
        outputs have many programs: a longer one that comes later must not take the
        place of a shorter one.
        """
        costs = cheapest(5)
        found = kata.shortest_programs(5)
        missing = sorted(costs.keys() - found.keys(), key=len)
        check.that(
            not missing,
            f"{len(missing)} outputs are missing, {missing[0]!r} for one"
            if missing
            else "",
        )
        more = sorted(found.keys() - costs.keys(), key=len)
        check.that(
            not more,
            f"{more[0]!r} has a program of more than 5 characters only" if more else "",
        )
        long = [output for output in costs if len(found[output]) > costs[output]]
        said = [
            (
                f"{output!r} has {found[output]!r}, where {costs[output]} characters "
                "are enough"
            )
            for output in long[:1]
        ]
        check.that(
            not long,
            f"longer than needed for {len(long)} of {len(costs)} outputs: "
            f"{''.join(said)}",
        )

    def test_repetition_is_cheap(self, kata):
        """01 eight times is 01, doubled three times. Every D doubles what one more
        character can do.
        """
        for output, cost in (
            ("01" * 8, 5),
            ("0" * 32, 6),
            ("0" * 33, 7),
            ("0110" * 4, 6),
        ):
            program = table(kata).get(output)
            check.that(program is not None, f"{output!r} has no program")
            check.equal(
                len(program), cost, what=f"the length of {program!r}, for {output!r}"
            )

    @given(output=st.text(alphabet="01", max_size=8))
    def test_no_string_costs_more_than_its_length(self, kata, output):
        """A string is itself a program that prints it. So every string has a
        description at most as long as itself.
        """
        program = table(kata).get(output)
        check.that(
            program is not None,
            f"{output!r} has no program of at most 8 characters, yet it is one",
        )
        check.that(
            len(program) <= len(output),
            f"{output!r} has the program {program!r}, which is longer",
        )

    def test_most_strings_do_not_compress(self, kata):
        """Short programs are rare. Of the 256 strings of length 8, only 100 have a
        program of at most 7 characters, 46 one of at most 6, and 16 one of at most 5.
        """
        lengths = [
            len(program) for output, program in table(kata).items() if len(output) == 8
        ]
        for longest, count in ((7, 100), (6, 46), (5, 16)):
            share = sum(length <= longest for length in lengths) / 256
            check.equal(
                share,
                count / 256,
                what=f"the share with a program of at most {longest} characters",
            )


def packed(data):
    """The bytes that each description needs."""
    return {
        "the data itself": len(data),
        "zlib": len(zlib.compress(data, 9)),
        "bz2": len(bz2.compress(data, 9)),
        "lzma": len(lzma.compress(data, preset=9)),
    }


def remainders(count):
    """Bytes from a rule of one line, without visible structure."""
    state, found = 1, []
    for _ in range(count):
        state = state * 1103515245 + 12345 & 0x7FFFFFFF
        found.append(state >> 16 & 255)
    return bytes(found)


PACKABLE = {
    # Inside a long match a longer one begins, which zlib finds at level 9 alone.
    "zlib": b"".join(
        r[:130] + r[1:] + r for r in (random.Random(i).randbytes(250) for i in range(4))
    ),
    "bz2": bytes(random.Random(0).choices([0, 1, 2, 3], [8, 4, 2, 1], k=4000)),
    "lzma": b"".join((n * n).to_bytes(4, "little") for n in range(1500)),
}


class TestCompressedBits:
    @pytest.mark.parametrize("winner", ["zlib", "bz2", "lzma"])
    def test_the_best_compressor_counts(self, kata, winner):
        """zlib has the smallest overhead, bz2 is good at uneven frequencies, lzma at
        fixed distances. The smallest of them is the best upper bound that you have. In
        bits, with 2 more to say which one it is.
        """
        sizes = packed(PACKABLE[winner])
        expected = 8 * min(sizes.values()) + 2
        others = {
            f"only {name} was tried": 8 * size + 2
            for name, size in sizes.items()
            if name != winner
        }
        least = min(sizes.values())
        unlike = {
            "bytes, not bits": least,
            "bytes, and 2 more": least + 2,
            "8 times the 2, too": 8 * (least + 2),
        }
        unlike |= {"no 2 bits for the choice": expected - 2} | others
        check.equal(
            kata.compressed_bits(PACKABLE[winner]),
            expected,
            unlike=unlike,
            what="the bits",
        )

    def test_what_no_compressor_shortens_is_sent_as_it_is(self, kata):
        """These 600 bytes come from a short rule, so their complexity is small. No
        compressor finds the rule, and each makes them longer. What you get is an upper
        bound, and it is never above 8 bits per byte plus 2.
        """
        data = remainders(600)
        sizes = packed(data)
        smallest = min(
            size for name, size in sizes.items() if name != "the data itself"
        )
        unlike = {
            "the data itself is not among the descriptions": 8 * smallest + 2,
            "no 2 bits where the data itself is sent": 8 * 600,
        }
        check.equal(
            kata.compressed_bits(data), 8 * 600 + 2, unlike=unlike, what="the bits"
        )

    @pytest.mark.edge
    def test_empty_data_costs_the_choice(self, kata):
        """Nothing has to be sent but which description it is."""
        check.equal(kata.compressed_bits(b""), 2)


def size_of(data):
    return len(zlib.compress(data, 9))


@pytest.mark.stretch
class TestNormalizedCompressionDistance:
    TEXT = prose().encode()

    def test_is_what_the_cheaper_one_does_not_explain(self, kata):
        """C(xy) − min is what the one that costs more adds, and max is what it
        costs alone.
        """
        x, y = self.TEXT[:3000] + PACKABLE["zlib"], self.TEXT[2000:3500]
        of_x, of_y, both = size_of(x), size_of(y), size_of(x + y)
        low, high = sorted((of_x, of_y))
        unlike = {
            "divided by the smaller one": (both - low) / low,
            "the larger one subtracted": (both - high) / high,
            "divided by both": (both - low) / (of_x + of_y),
            "sizes without compression": 1.0,
            "not divided by the larger one": both - low,
            "1 less the distance: a similarity": 1 - (both - low) / high,
        }
        for order, pair in (("x, y", (x, y)), ("y, x", (y, x))):
            expected = (size_of(pair[0] + pair[1]) - low) / high
            got = kata.normalized_compression_distance(*pair)
            check.close(
                got, expected, rtol=1e-6, unlike=unlike, what=f"the distance of {order}"
            )

    def test_nothing_is_new_about_a_copy(self, kata):
        """The second copy costs a few bytes: the distance is below 0.2."""
        for name, data in (
            ("text", self.TEXT[:4000]),
            ("random bytes", remainders(4000)),
        ):
            got = kata.normalized_compression_distance(data, data)
            check.that(
                got < 0.2,
                f"the distance of {name} to itself is {got:.3f}, expected below 0.2",
            )

    def test_related_texts_are_nearer(self, kata):
        """Two English texts share words. A text and random digits share nothing, and
        the distance is about 1, whichever comes first.
        """
        digits = bytes(random.Random(0).choices(b"0123456789", k=8000))
        text, other = self.TEXT[:8000], self.TEXT[200_000:208_000]
        related = kata.normalized_compression_distance(text, other)
        for pair in ((text, digits), (digits, text)):
            got = kata.normalized_compression_distance(*pair)
            check.that(
                0.9 < got < 1.2,
                f"the distance of text and digits is {got:.3f}, expected about 1",
            )
            check.that(
                related < got - 0.05,
                f"two texts are {related:.3f} apart, text and digits {got:.3f}",
            )


def bits_by_counting(symbols):
    """The sum of log2(N / n) over the places."""
    counts = Counter(symbols)
    return sum(math.log2(len(symbols) / counts[symbol]) for symbol in symbols)


def wrong_entropies(symbols, alphabet_size):
    right = bits_by_counting(symbols)
    return {
        "bits per symbol, not in total": right / len(symbols),
        "nats, not bits": right * math.log(2),
        "0 · log 0 = NaN among the terms": math.nan,
        "all symbols of the alphabet equally likely": len(symbols)
        * math.log2(alphabet_size),
    }


# 6 symbols in the alphabet; 3 and 4 do not occur
UNEVEN = [2, 0, 2, 2, 5, 0, 2, 2, 1, 2, 2]
SEQUENCES = st.lists(st.integers(0, 6), min_size=1, max_size=20)


@pytest.mark.stretch
class TestEntropyBits:
    def test_rare_symbols_cost_more(self, kata):
        """A symbol with the share p costs log2(1/p) bits, and the total is the sum over
        all places. Symbols that do not occur add 0, where 0 · log 0 would be NaN.
        """
        got = kata.entropy_bits(torch.tensor(UNEVEN), 6)
        unlike = wrong_entropies(UNEVEN, 6)
        check.close(
            got, bits_by_counting(UNEVEN), rtol=1e-5, unlike=unlike, what="the bits"
        )

    def test_a_constant_costs_nothing_and_equal_shares_most(self, kata):
        """One symbol only needs no bits. With equal shares each symbol costs log2 A
        bits, here 2.
        """
        check.close(
            kata.entropy_bits(torch.full((9,), 3), 4),
            0.0,
            atol=1e-4,
            what="the bits of a constant",
        )
        symbols = torch.arange(4).repeat(5)
        check.close(
            kata.entropy_bits(symbols, 4),
            40.0,
            rtol=1e-5,
            what="the bits of 20 symbols with equal shares",
        )

    @given(symbols=SEQUENCES)
    def test_any_sequence(self, kata, symbols):
        """Also where symbols of the alphabet do not occur, in the middle or at
        its end.
        """
        got = kata.entropy_bits(torch.tensor(symbols), 8)
        check.close(
            got, bits_by_counting(symbols), rtol=1e-5, atol=1e-4, what="the bits"
        )

    @pytest.mark.edge
    def test_is_computed_in_float64(self, kata):
        """In float32 seven digits are right: of a million bits, the last one
        is lost.
        """
        symbols = [n * n % 7 for n in range(3001)]
        got, expected = (
            kata.entropy_bits(torch.tensor(symbols), 7),
            bits_by_counting(symbols),
        )
        unlike = {"float32, with seven digits": float(np.float32(expected))}
        check.close(got, expected, rtol=1e-10, atol=0, unlike=unlike, what="the bits")


@pytest.mark.stretch
class TestEntropyBitsNumpy:
    def test_rare_symbols_cost_more(self, kata):
        """A symbol with the share p costs log2(1/p) bits. Symbols that do not occur add
        0, not NaN.
        """
        got = kata.entropy_bits_numpy(np.array(UNEVEN), 6)
        unlike = wrong_entropies(UNEVEN, 6)
        check.close(
            got, bits_by_counting(UNEVEN), rtol=1e-6, unlike=unlike, what="the bits"
        )

    @given(symbols=SEQUENCES)
    def test_any_sequence(self, kata, symbols):
        """Also a constant one, which costs nothing."""
        got = kata.entropy_bits_numpy(np.array(symbols), 8)
        check.close(
            got, bits_by_counting(symbols), rtol=1e-6, atol=1e-6, what="the bits"
        )


# symbols in the alphabet, places of a context, hidden units, contexts
A, C, H, B = 4, 3, 7, 5
CONTEXTS = torch.tensor([[4, 4, 4], [4, 4, 2], [0, 1, 2], [2, 1, 0], [3, 3, 0]])


def parameters_of(model):
    """The weights and biases of the two layers in `net`, as float64."""
    shapes = [tuple(parameter.shape) for parameter in model.parameters()]
    check.equal(
        shapes,
        [(H, C * (A + 1)), (H,), (A, H), (A,)],
        what="the shapes of the parameters",
    )
    return [parameter.detach().double() for parameter in model.net.parameters()]


def logits_by_columns(model, contexts, squash=torch.tanh, order=None):
    """The logits that the model should give: each symbol of a context picks a column of
    the first layer.
    """
    first, bias, second, last = parameters_of(model)
    if order is not None:
        first = first[:, order]
    rows = []
    for row in contexts.tolist():
        columns = [
            first[:, place * (A + 1) + symbol] for place, symbol in enumerate(row)
        ]
        rows.append(second @ squash(sum(columns) + bias) + last)
    return torch.stack(rows)


class TestContextModel:
    def test_has_two_layers_and_its_sizes(self, kata):
        """`net` holds a Linear from all one-hot values side by side, and one to the
        logits. `alphabet_size` and `context` are what `prequential_bits` reads.
        """
        model = kata.ContextModel(A, C, H)
        parameters_of(model)
        check.equal(
            (model.alphabet_size, model.context),
            (A, C),
            what="alphabet_size and context",
        )

    def test_one_row_of_logits_per_context(self, kata):
        """A score for each symbol that may come next. "Before the beginning", the
        number A, is read but never comes next: A + 1 values go in, A logits come out.
        """
        check.shape(kata.ContextModel(A, C, H)(CONTEXTS), (B, A), what="logits")

    def test_each_place_has_columns_of_its_own(self, kata):
        """One-hot values, side by side, times a matrix: each symbol at each place picks
        a column. So the order of a context counts.
        """
        torch.manual_seed(0)
        model = kata.ContextModel(A, C, H)
        unlike = {
            "contexts read backwards": logits_by_columns(model, CONTEXTS.flip(1)),
            "the beginning taken for symbol 0": logits_by_columns(model, CONTEXTS % A),
            "one-hot values transposed before they were laid side by side": (
                logits_by_columns(
                    model,
                    CONTEXTS,
                    order=torch.arange(C * (A + 1)).reshape(A + 1, C).T.flatten(),
                )
            ),
            "no tanh": logits_by_columns(model, CONTEXTS, lambda x: x),
            "relu, not tanh": logits_by_columns(model, CONTEXTS, torch.relu),
            "probabilities": logits_by_columns(model, CONTEXTS).softmax(dim=1),
            "log probabilities": logits_by_columns(model, CONTEXTS).log_softmax(dim=1),
        }
        check.close(
            model(CONTEXTS),
            logits_by_columns(model, CONTEXTS).float(),
            unlike=unlike,
            what="logits",
        )

    def test_gradients_reach_both_layers(self, kata):
        """All four parameters learn."""
        model = kata.ContextModel(A, C, H)
        (model(CONTEXTS) * torch.rand(B, A)).sum().backward()
        for name, parameter in model.named_parameters():
            check.that(
                parameter.grad is not None and bool(parameter.grad.any()),
                f"{name} gets no gradient",
            )

    @pytest.mark.edge
    def test_a_float64_model_computes_in_float64(self, kata):
        """One-hot values have the dtype of the weights."""
        model = kata.ContextModel(A, C, H).double()
        check.close(
            model(CONTEXTS),
            logits_by_columns(model, CONTEXTS),
            rtol=0,
            atol=1e-9,
            what="logits",
        )


class Table(nn.Module):
    """A model that is called as ContextModel is. Each symbol at each of two places has
    a row of three logits, and the rows are added up.
    """

    def __init__(self):
        super().__init__()
        self.alphabet_size, self.context = 3, 2
        self.rows = nn.Parameter(torch.randn(2, 4, 3))

    def forward(self, contexts):
        return self.rows[0, contexts[:, 0]] + self.rows[1, contexts[:, 1]]


SYMBOLS = torch.tensor([2, 0, 1, 1, 2, 0, 0, 1, 2, 2, 1, 0, 1, 2, 0, 1, 1, 0, 2, 2])


def contexts_of(symbols, late=0, padding=3):
    """The two symbols before each place; with late = 1 the one before and the
    symbol itself.
    """
    padded = [padding, padding, *symbols.tolist()]
    return torch.tensor(
        [padded[place + late : place + late + 2] for place in range(len(symbols))]
    )


def prices(model, contexts, symbols):
    """−log2 p of each symbol."""
    chances = model(contexts).double().softmax(dim=1)[range(len(symbols)), symbols]
    return -chances.log2()


def by_hand(
    model,
    symbols,
    *,
    chunk,
    lr,
    updates=2,
    window=512,
    clear=True,
    fresh=False,
    learn_first=False,
):
    """The bits of each symbol with a copy of the model. The options after `updates`
    are slips.
    """
    model, contexts = copy.deepcopy(model), contexts_of(symbols)
    optimizer, bits = torch.optim.Adam(model.parameters(), lr=lr), []
    for start in range(0, len(symbols), chunk):
        now = slice(start, start + chunk)
        seen = slice(max(0, start + chunk - window), start + chunk)
        if not learn_first:
            bits += prices(model, contexts[now], symbols[now]).tolist()
        if fresh:
            optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        for _ in range(updates):
            if clear:
                optimizer.zero_grad()
            prices(model, contexts[seen], symbols[seen]).mean().mul(
                math.log(2)
            ).backward()
            optimizer.step()
        if learn_first:
            bits += prices(model, contexts[now], symbols[now]).tolist()
    return torch.tensor(bits)


def source(length, generator):
    """A first-order Markov source of 4 symbols: with probability 0.85 the next one
    round, else any of the others.
    """
    steps = torch.multinomial(
        torch.tensor([0.05, 0.85, 0.05, 0.05]),
        length,
        replacement=True,
        generator=generator,
    )
    return steps.cumsum(0) % 4


@functools.cache
def learned_prices(kata):
    """The bits of 4000 symbols of each kind, priced by a ContextModel of 32 units that
    sees 3 symbols.
    """
    generator = torch.Generator().manual_seed(0)
    sequences = {
        "Markov": source(4000, generator),
        "random": torch.randint(4, (4000,), generator=generator),
        "pattern": torch.tensor([0, 1, 1, 3, 2]).repeat(800),
    }
    found = {}
    for name, symbols in sequences.items():
        torch.manual_seed(0)
        found[name] = kata.prequential_bits(
            kata.ContextModel(4, 3, 32), symbols
        ).detach()
        check.shape(found[name], (4000,), what=f"bits of the {name} sequence")
    return found


class TestPrequentialBits:
    def test_a_price_is_minus_log2_p(self, kata):
        """The probability of a symbol, given the ones before it, makes its price. Here
        the model never learns (updates=0), so all prices are those of the fresh model.
        """
        torch.manual_seed(0)
        model = Table()
        right = prices(model, contexts_of(SYMBOLS), SYMBOLS).detach().float()
        unlike = {
            "nats, not bits": right * math.log(2),
            "contexts that contain the symbol itself": prices(
                model, contexts_of(SYMBOLS, late=1), SYMBOLS
            ).detach(),
            "contexts with the newest symbol first": prices(
                model, contexts_of(SYMBOLS).flip(1), SYMBOLS
            ).detach(),
            "zeros before the beginning": prices(
                model, contexts_of(SYMBOLS, padding=0), SYMBOLS
            ).detach(),
        }
        got = kata.prequential_bits(model, SYMBOLS, chunk=6, updates=0)
        check.shape(got, (20,), what="the bits")
        check.close(got, right, rtol=1e-4, unlike=unlike, what="the bits")

    def test_the_first_chunk_is_priced_by_the_untouched_model(self, kata):
        """First pay, then learn. A receiver who has not seen the chunk cannot have
        learned from it, and has to arrive at the same probabilities.
        """
        torch.manual_seed(0)
        model = Table()
        right = (
            prices(copy.deepcopy(model), contexts_of(SYMBOLS)[:10], SYMBOLS[:10])
            .detach()
            .float()
        )
        unlike = {
            "prices after the update": by_hand(
                model, SYMBOLS, chunk=10, lr=0.1, learn_first=True
            )[:10],
            "nats, not bits": right * math.log(2),
        }
        got = kata.prequential_bits(model, SYMBOLS, chunk=10, lr=0.1)
        check.close(
            got[:10],
            right,
            rtol=1e-4,
            unlike=unlike,
            what="the bits of the first chunk",
        )

    def test_each_chunk_teaches_the_next(self, kata):
        """After a chunk come `updates` steps on all that was seen so far (up to
        512 + chunk symbols), each with cleared gradients. One Adam serves the
        whole sequence.
        """
        torch.manual_seed(0)
        model = Table()
        options = {"chunk": 4, "lr": 0.1, "updates": 3}
        slips = {
            "gradients that were never cleared": {"clear": False},
            "learned from the last chunk only": {"window": 4},
            "a new Adam for each chunk": {"fresh": True},
            "one update per chunk": {"updates": 1},
            "two updates, the default": {"updates": 2},
            "the default learning rate": {"lr": 0.01},
            "prices after the update": {"learn_first": True},
            "no update": {"updates": 0},
        }
        unlike = {
            name: by_hand(model, SYMBOLS, **options | slip)
            for name, slip in slips.items()
        }
        expected = by_hand(model, SYMBOLS, **options)
        got = kata.prequential_bits(model, SYMBOLS, **options)
        check.close(got, expected, rtol=5e-3, atol=5e-3, unlike=unlike, what="the bits")

    def test_512_symbols_and_the_chunk_are_replayed(self, kata):
        """A shorter memory forgets what it paid for. One without end costs more with
        every chunk. Here the sequence is zeros, but for two symbols that are replayed
        for the last time in two of the last steps, and its last chunk.
        """
        torch.manual_seed(0)
        model = Table()
        symbols = torch.zeros(768, dtype=torch.int64)
        symbols[63], symbols[126], symbols[704:] = 1, 2, torch.randint(3, (64,))
        options = {"chunk": 64, "lr": 0.1}
        slips = {
            "learned from the last chunk only": {"window": 64},
            "learned from all that was seen": {"window": 1000},
            "learned from the last 512 symbols": {"window": 512},
            "one symbol more is replayed": {"window": 512 + 65},
            "one symbol fewer is replayed": {"window": 512 + 63},
        }
        unlike = {
            name: by_hand(model, symbols, **options | slip)[704:]
            for name, slip in slips.items()
        }
        expected = by_hand(model, symbols, **options, window=512 + 64)[704:]
        got = kata.prequential_bits(model, symbols, **options)[704:]
        check.close(
            got,
            expected,
            rtol=1e-4,
            atol=1e-4,
            unlike=unlike,
            what="the bits of the last chunk",
        )

    def test_the_future_changes_no_price(self, kata):
        """A price may depend on what came before, and on nothing after it. So the first
        n symbols alone cost what they cost in the whole sequence. That holds for every
        n, also where the last chunk is not full.
        """
        torch.manual_seed(0)
        model = Table()
        whole = kata.prequential_bits(copy.deepcopy(model), SYMBOLS, chunk=6, lr=0.1)
        for n in range(6, 20):
            got = kata.prequential_bits(
                copy.deepcopy(model), SYMBOLS[:n], chunk=6, lr=0.1
            )
            check.close(
                got,
                whole[:n],
                rtol=1e-4,
                atol=1e-4,
                what=f"the bits of the first {n} symbols",
            )

    def test_the_alternatives_of_a_symbol_share_one(self, kata):
        """What could come next has probabilities that sum to 1: Σ 2^−bits over the
        symbols at one place. Where the sum is larger, a symbol has lowered its own
        price, and no receiver could follow.
        """
        torch.manual_seed(0)
        model = Table()
        for place in range(4, 12):
            total = 0.0
            for symbol in range(3):
                symbols = torch.cat([SYMBOLS[:place], torch.tensor([symbol])])
                total += (
                    2
                    ** -kata.prequential_bits(
                        copy.deepcopy(model), symbols, chunk=5, lr=0.1
                    )[-1].item()
                )
            check.close(
                total,
                1.0,
                rtol=1e-3,
                what=f"the sum of 2^−bits over the symbols at place {place}",
            )

    @pytest.mark.timeout(60)
    def test_structure_is_found_and_randomness_is_not(self, kata):
        """By its frequencies alone the Markov source costs 2 bits per symbol. The model
        pays less than 1.2, its first guesses included, and less than 0.2 for a pattern
        of five. Random symbols cost 2 bits, whatever model prices them: less would mean
        that prices know what they should not know.
        """
        means = {
            name: bits.mean().item() for name, bits in learned_prices(kata).items()
        }
        for name, least, most in (
            ("random", 1.95, 2.2),
            ("Markov", 0.8, 1.2),
            ("pattern", 0.0, 0.2),
        ):
            says = (
                f"the {name} sequence costs {means[name]:.3f} bits per symbol, "
                f"expected {least} to {most}"
            )
            check.that(least < means[name] < most, says)

    @pytest.mark.timeout(60)
    def test_prices_fall_as_the_model_learns(self, kata):
        """The first 500 symbols of the Markov source cost more than the last 2000,
        symbol by symbol.
        """
        bits = learned_prices(kata)["Markov"]
        first, last = bits[:500].mean().item(), bits[2000:].mean().item()
        check.that(
            last < first - 0.05,
            f"bits per symbol: {first:.3f} among the first 500, {last:.3f} in the "
            "last 2000",
        )

    @pytest.mark.edge
    def test_a_sequence_may_be_shorter_than_a_chunk(self, kata):
        """Then all of it is priced by the fresh model."""
        torch.manual_seed(0)
        model = Table()
        right = prices(model, contexts_of(SYMBOLS[:3]), SYMBOLS[:3]).detach().float()
        check.close(
            kata.prequential_bits(model, SYMBOLS[:3]),
            right,
            rtol=1e-4,
            what="the bits of three symbols",
        )

    @pytest.mark.edge
    def test_the_bits_have_no_graph(self, kata):
        """Prices are a measurement. With their graphs, every chunk of a long sequence
        would stay in memory.
        """
        bits = kata.prequential_bits(Table(), SYMBOLS, chunk=6)
        check.that(
            not bits.requires_grad,
            "the bits require a gradient: price under torch.no_grad()",
        )

    @pytest.mark.edge
    def test_old_gradients_have_no_effect(self, kata):
        """Gradients are cleared before the first step, not only after it."""
        torch.manual_seed(0)
        model = Table()
        clean = copy.deepcopy(model)
        model.rows.grad = torch.full((2, 4, 3), 50.0)
        expected = kata.prequential_bits(clean, SYMBOLS, chunk=4, lr=0.1)
        got = kata.prequential_bits(model, SYMBOLS, chunk=4, lr=0.1)
        check.close(
            got,
            expected,
            rtol=1e-4,
            atol=1e-4,
            what="the bits of a model that held gradients",
        )
