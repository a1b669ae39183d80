"""Specs of 24: batches from a stream, documents into a stream, shard files, a loader
for several ranks, mixtures.
"""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grader.specs import check


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def different_tokens(count, seed=0):
    """Token ids in no order, none of them twice: adding 1 does not give the
    next token.
    """
    return torch.randperm(5 * count, generator=seeded(seed))[:count]


def rows_of(tokens, offsets, length):
    """The pieces of `length` tokens that begin at these offsets, as rows."""
    values = tokens.tolist()
    return torch.tensor([values[o : o + length] for o in offsets])


def check_pair(got):
    right = isinstance(got, (tuple, list)) and len(got) == 2
    check.that(right, f"wanted a pair (x, y), got {check.describe(got)}")


@st.composite
def places_in_a_stream(draw):
    """B, T, a start, and how many tokens there are beyond the last target."""
    return (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        draw(st.integers(0, 5)),
        draw(st.integers(0, 4)),
    )


class TestSequentialBatch:
    def test_rows_are_the_next_pieces_of_the_stream(self, kata):
        """x is the next B·T tokens in reading order: row 0 holds the first T of them,
        row 1 the next T.
        """
        tokens = different_tokens(13)
        got = kata.sequential_batch(tokens, 3, 4)
        check_pair(got)
        expected = rows_of(tokens, [0, 4, 8], 4)
        unlike = {
            "dealt out column by column": tokens[:12].view(4, 3).T,
            "one token too far": tokens[1:].view(3, 4),
        }
        check.equal(got[0], expected, unlike=unlike, what="x")

    def test_targets_are_the_tokens_that_follow_across_rows_too(self, kata):
        """y begins one token later in the stream, so the target of the last token of
        row 0 is the first token of row 1. The very last target is the token after x: a
        batch needs B·T + 1 tokens.
        """
        tokens = different_tokens(20)
        got = kata.sequential_batch(tokens, 3, 4)
        check_pair(got)
        x = rows_of(tokens, [0, 4, 8], 4)
        unlike = {
            "each row rolled around: its last target is its own first token": x.roll(
                -1, dims=1
            ),
            "x rolled around: the very last target is the very first token": x.flatten()
            .roll(-1)
            .view(3, 4),
            "x itself": x,
            "the token before, not the token after": x.flatten().roll(1).view(3, 4),
            "two tokens on": rows_of(tokens, [2, 6, 10], 4),
        }
        check.equal(got[1], rows_of(tokens, [1, 5, 9], 4), unlike=unlike, what="y")

    @given(case=places_in_a_stream())
    def test_the_last_tokens_are_used_to_the_end(self, kata, case):
        """B·T + 1 tokens from `start` on are enough, also at the very end of the
        stream. x is the first B·T of them, y the last B·T.
        """
        B, T, start, beyond = case
        tokens = different_tokens(start + B * T + 1 + beyond)
        x, y = kata.sequential_batch(tokens, B, T, start)
        check.equal(x, rows_of(tokens, range(start, start + B * T, T), T), what="x")
        check.equal(
            y, rows_of(tokens, range(start + 1, start + 1 + B * T, T), T), what="y"
        )

    @pytest.mark.edge
    def test_a_stream_may_be_a_view(self, kata):
        """Every second token of a stream is a stream too, but a non-contiguous one."""
        tokens = different_tokens(60)
        got = kata.sequential_batch(tokens[::2], 4, 5, start=3)
        expected = [
            rows_of(tokens[::2], range(start, start + 20, 5), 5) for start in (3, 4)
        ]
        check.equal(list(got), expected, what="x and y")

    @pytest.mark.edge
    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "int64"])
    def test_any_integer_dtype_gives_long(self, kata, dtype):
        """Streams are stored in small dtypes, but cross-entropy needs long targets."""
        dtype = getattr(torch, dtype)
        tokens = torch.tensor([250, 3, 141, 59, 26, 53, 58]).to(dtype)
        x, y = kata.sequential_batch(tokens, 2, 3)
        check.dtype(x, torch.long, what=f"x from {dtype} tokens")
        check.dtype(y, torch.long, what=f"y from {dtype} tokens")
        check.equal(
            [x, y],
            [
                torch.tensor([[250, 3, 141], [59, 26, 53]]),
                torch.tensor([[3, 141, 59], [26, 53, 58]]),
            ],
        )

    @pytest.mark.edge
    def test_the_stream_stays_as_it_was(self, kata):
        """The stream is read again in the next epoch."""
        tokens = different_tokens(17)
        with check.unchanged(tokens=tokens):
            kata.sequential_batch(tokens, 2, 4, start=6)

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("length", "start"), [(12, 0), (24, 12), (24, 500), (0, 0)]
    )
    def test_a_batch_that_does_not_fit_is_refused(self, kata, length, start):
        """With one token too few, the last target is missing. A slice raises nothing:
        it is just shorter.
        """
        with check.raises(ValueError):
            kata.sequential_batch(different_tokens(24)[:length], 3, 4, start)

    @pytest.mark.edge
    @pytest.mark.parametrize("start", [-1, -20])
    def test_a_negative_start_is_refused(self, kata, start):
        """A slice from −20 on counts from the end. It finds enough tokens, but the
        wrong ones.
        """
        with check.raises(ValueError):
            kata.sequential_batch(different_tokens(24), 3, 4, start)


class TestRandomBatch:
    def test_rows_are_windows_of_the_stream(self, kata):
        """Each row of x is T neighbouring tokens, in their order."""
        tokens = different_tokens(50)
        got = kata.random_batch(tokens, 8, 5, seeded(1))
        check_pair(got)
        check.shape(got[0], (8, 5), what="x")
        windows = {tuple(window) for window in tokens.unfold(0, 5, 1).tolist()}
        for row, window in enumerate(got[0].tolist()):
            check.that(
                tuple(window) in windows,
                f"row {row} of x, {window}, is not a piece of the stream",
            )

    def test_targets_are_the_tokens_that_follow(self, kata):
        """In every row, y begins one token later than x. Its last token is the token
        after that window.
        """
        tokens = different_tokens(50)
        got = kata.random_batch(tokens, 8, 5, seeded(2))
        check_pair(got)
        x, y = got
        following = dict(zip(tokens.tolist(), tokens.tolist()[1:], strict=False))
        expected = torch.tensor(
            [[following[token] for token in row] for row in x.tolist()]
        )
        later = torch.tensor(
            [[following.get(token, 0) for token in row] for row in expected.tolist()]
        )
        unlike = {
            "each row rolled around": x.roll(-1, dims=1),
            "x itself": x,
            "two tokens later": later,
        }
        check.equal(y, expected, unlike=unlike, what="y")

    def test_every_offset_is_equally_likely(self, kata):
        """9 tokens hold 6 windows of 3 that have a target for each token: offsets 0 …
        5, so 5 = N - T - 1 must occur, as often as the others. `torch.randint(high)`
        stops at high - 1.
        """
        tokens = different_tokens(9)
        x, _ = kata.random_batch(tokens, 6000, 3, seeded(3))
        offset = {token: i for i, token in enumerate(tokens.tolist())}
        counts = Counter(offset[token] for token in x[:, 0].tolist())
        once = "one offset for all rows: each row draws its own"
        check.that(len(counts) > 1, "all 6000 windows begin at one offset", like=once)
        never = [o for o in range(6) if counts[o] == 0]
        last = "the last window is never drawn" if never == [5] else ""
        check.that(
            not never,
            f"these offsets of 0 … 5 never came up in 6000 windows: {never}",
            like=last,
        )
        for o in range(6):
            check.that(
                850 < counts[o] < 1150,
                f"offset {o} came up {counts[o]} times in 6000, wanted about 1000",
            )

    def test_rows_draw_for_themselves(self, kata):
        """Rows draw independently: all pairs of offsets are equally likely, equal ones
        included. Neighbouring windows, or offsets that must all differ, are not
        independent draws.
        """
        tokens = different_tokens(7)
        x, _ = kata.random_batch(tokens, 8000, 3, seeded(4))
        offset = {token: i for i, token in enumerate(tokens.tolist())}
        drawn = [offset[token] for token in x[:, 0].tolist()]
        counts = Counter(zip(drawn[::2], drawn[1::2], strict=True))
        for pair in itertools.product(range(4), repeat=2):
            text = (
                f"offsets {pair} in neighbouring rows came up {counts[pair]} times in "
                "4000, wanted about 250"
            )
            check.that(150 < counts[pair] < 350, text)

    def test_a_seed_gives_its_batch_again(self, kata):
        """A given generator supplies all random numbers: the same seed gives the same
        batch, the next call gives another batch, and the global generator is
        not touched.
        """
        tokens = different_tokens(200)
        before = torch.get_rng_state()
        generator = seeded(6)
        first = kata.random_batch(tokens, 8, 5, generator)
        second = kata.random_batch(tokens, 8, 5, generator)
        untouched = torch.equal(before, torch.get_rng_state())
        check.that(
            untouched, "torch's global generator was used, though another one was given"
        )
        again = kata.random_batch(tokens, 8, 5, seeded(6))
        check.equal(
            list(again), list(first), what="x and y from a generator of the same seed"
        )
        check.that(
            not torch.equal(first[0], second[0]),
            "a second call with the same generator gave the same batch",
        )

    def test_without_a_generator_torchs_own_is_used(self, kata):
        """`torch.manual_seed` then decides, and nothing in the function
        seeds anything.
        """
        tokens = different_tokens(200)
        torch.manual_seed(11)
        first, second = (kata.random_batch(tokens, 8, 5)[0] for _ in range(2))
        check.that(
            not torch.equal(first, second),
            "two calls without a generator gave the same batch",
        )
        torch.manual_seed(11)
        check.equal(
            kata.random_batch(tokens, 8, 5)[0],
            first,
            what="x after the same torch.manual_seed",
        )

    @pytest.mark.edge
    def test_one_window_is_enough(self, kata):
        """T + 1 tokens hold a single window with its targets. Every row of the batch is
        this window.
        """
        tokens = different_tokens(7)
        got = kata.random_batch(tokens, 4, 6, seeded(5))
        expected = [tokens[:6].expand(4, 6), tokens[1:].expand(4, 6)]
        check.equal(list(got), expected, what="x and y")

    @pytest.mark.edge
    def test_any_integer_dtype_gives_long(self, kata):
        """A stream of any integer dtype gives long batches with the same ids."""
        tokens = different_tokens(30).fmod(251)
        expected = list(kata.random_batch(tokens, 4, 5, seeded(7)))
        for dtype in (torch.uint8, torch.int16, torch.uint16, torch.int32):
            got = kata.random_batch(tokens.to(dtype), 4, 5, seeded(7))
            check.dtype(got[0], torch.long, what=f"x from {dtype} tokens")
            check.dtype(got[1], torch.long, what=f"y from {dtype} tokens")
            check.equal(list(got), expected, what=f"x and y from {dtype} tokens")

    @pytest.mark.edge
    @pytest.mark.parametrize("length", [6, 3, 0])
    def test_too_few_tokens_are_refused(self, kata, length):
        """T tokens are a window whose last token has no target."""
        with check.raises(ValueError):
            kata.random_batch(different_tokens(10)[:length], 4, 6, seeded(0))


DOCS = [
    "seven",
    "owls",
    "watch",
    "owls",
    "the",
    "tide",
    "owls",
    "from",
    "seven",
    "tall",
    "",
    "cliffs",
    "tide",
]


def sides(got, docs):
    """(train, val), once they are known to be lists of documents that hold all of
    `docs` together.
    """
    right = (
        isinstance(got, (tuple, list))
        and len(got) == 2
        and all(isinstance(side, list) for side in got)
    )
    check.that(right, f"wanted a pair of lists (train, val), got {check.describe(got)}")
    lost, new = (
        Counter(docs) - Counter(got[0] + got[1]),
        Counter(got[0] + got[1]) - Counter(docs),
    )
    check.that(not lost, f"lost: {dict(lost)} (document: how many copies too few)")
    check.that(not new, f"there are more than in docs of: {dict(new)}")
    return got


@st.composite
def splits(draw):
    """Documents with copies, a fraction that leaves at least one document on each side,
    and a seed.
    """
    docs = draw(
        st.lists(st.sampled_from("abcde"), min_size=2, max_size=8).filter(
            lambda docs: len(set(docs)) > 1
        )
    )
    n = len(set(docs))
    size = draw(st.integers(1, n - 1))
    return docs, size / n, size, draw(st.integers(0, 9))


@pytest.mark.stretch
class TestSplitDocuments:
    @given(case=splits())
    def test_nothing_is_lost_and_the_order_kept(self, kata, case):
        """Every document is in train or in val, as often as it occurs in docs. Both
        lists keep the order of docs: only the draw is shuffled.
        """
        docs, fraction, _, seed = case
        train, val = sides(kata.split_documents(docs, fraction, seeded(seed)), docs)
        check.equal(train, [doc for doc in docs if doc not in val], what="train")
        check.equal(val, [doc for doc in docs if doc not in train], what="val")

    def test_copies_stay_on_one_side(self, kata):
        """If val holds a copy of a training document, the model may have memorised it.
        So draw texts, not positions in the list.
        """
        for seed in range(8):
            train, val = sides(kata.split_documents(DOCS, 0.4, seeded(seed)), DOCS)
            both = sorted(set(train) & set(val))
            check.that(not both, f"on both sides: {both}")

    @given(case=splits())
    def test_the_fraction_counts_distinct_documents(self, kata, case):
        """`round(val_fraction * n)` documents are held out, where n counts each
        document once, however many copies it has.
        """
        docs, fraction, size, seed = case
        _, val = sides(kata.split_documents(docs, fraction, seeded(seed)), docs)
        n = len(set(docs))
        text = (
            f"{len(set(val))} of {n} distinct documents in val with "
            f"val_fraction={fraction:.3g}, wanted {size}"
        )
        check.that(len(set(val)) == size, text)

    def test_every_choice_is_equally_likely(self, kata):
        """2 of 5 documents can be chosen in 10 ways, all equally likely. A document
        with five copies is chosen no more often. A cut at a random position is not
        enough: it only ever holds out neighbours.
        """
        docs, generator = ["a", "b", "b", "c", "b", "d", "b", "b", "e"], seeded(1)
        splits = check.repeated(1000, kata.split_documents, docs, 0.4, generator)
        counts = Counter(frozenset(split[1]) for split in splits)
        for pair in itertools.combinations("abcde", 2):
            got = counts[frozenset(pair)]
            check.that(
                55 < got < 145,
                f"{' and '.join(pair)} were held out {got} times in 1000, wanted "
                "about 100",
            )

    def test_a_seed_gives_its_split_again(self, kata):
        """A given generator decides alone. The order of a set of strings changes from
        run to run, so it must not matter. A second call with the same generator gives
        another split.
        """
        docs = [f"document {i}" for i in range(40)]
        before = torch.get_rng_state()
        generator = seeded(2)
        first, second = (kata.split_documents(docs, 0.5, generator) for _ in range(2))
        untouched = torch.equal(before, torch.get_rng_state())
        check.that(
            untouched, "torch's global generator was used, though another one was given"
        )
        check.equal(
            kata.split_documents(docs, 0.5, seeded(2)),
            first,
            what="the split from the same seed",
        )
        check.that(
            first != second, "a second call with the same generator gave the same split"
        )
        renamed = kata.split_documents([doc.upper() for doc in docs], 0.5, seeded(2))
        places = [doc.lower() for doc in renamed[1]]
        check.equal(
            places,
            first[1],
            what="val of the same documents in capitals, back in lower case",
        )

    def test_without_a_generator_torchs_own_is_used(self, kata):
        """`torch.manual_seed` then decides, and nothing in the function
        seeds anything.
        """
        docs = [f"document {i}" for i in range(40)]
        torch.manual_seed(3)
        first, second = (kata.split_documents(docs, 0.5) for _ in range(2))
        check.that(first != second, "two calls without a generator gave the same split")
        torch.manual_seed(3)
        check.equal(
            kata.split_documents(docs, 0.5),
            first,
            what="the split after the same torch.manual_seed",
        )

    @pytest.mark.edge
    def test_both_sides_hold_something(self, kata):
        """Of three documents, a fraction of 0.01 rounds to none and 0.99 to all. Each
        side gets at least one.
        """
        for docs in (["a", "b"], ["a", "b", "c"], ["a", "b", "a", "c", "a"]):
            n = len(set(docs))
            for fraction, size in ((0.01, 1), (0.99, n - 1)):
                _, val = sides(kata.split_documents(docs, fraction, seeded(0)), docs)
                got = len(set(val))
                text = (
                    f"{got} distinct documents of {docs} in val with "
                    f"val_fraction={fraction}, wanted {size}"
                )
                check.that(got == size, text)

    @pytest.mark.edge
    def test_docs_stay_as_they_were(self, kata):
        """The list belongs to the caller. Any sequence works, so a tuple does too."""
        docs = list(DOCS)
        kata.split_documents(docs, 0.3, seeded(0))
        check.equal(docs, DOCS, what="docs after the call")
        sides(kata.split_documents(tuple(DOCS), 0.3, seeded(0)), DOCS)

    @pytest.mark.edge
    @pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5])
    def test_a_fraction_of_nothing_or_all_is_refused(self, kata, fraction):
        """A fraction of 0 or 1 leaves one side empty."""
        with check.raises(ValueError):
            kata.split_documents(DOCS, fraction, seeded(0))

    @pytest.mark.edge
    @pytest.mark.parametrize("docs", [[], ["a"], ["a", "a", "a"]], ids=str)
    def test_one_document_cannot_be_split(self, kata, docs):
        """Two sides need two distinct documents. Three copies of a document are one."""
        with check.raises(ValueError):
            kata.split_documents(docs, 0.5, seeded(0))


def letters(text):
    """An encoder for specs: a = 1, b = 2, …"""
    return [ord(letter) - 96 for letter in text]


def check_stream(got, expected, unlike=None):
    """`got` is a 1-D uint16 array with these ids."""
    right = isinstance(got, np.ndarray) and got.ndim == 1
    check.that(right, f"wanted a 1-D NumPy array, got {check.describe(got)}")
    default = (
        "NumPy's default: dtype=np.uint16 is missing" if got.dtype == np.int64 else ""
    )
    check.that(
        got.dtype == np.uint16, f"the dtype is {got.dtype}, wanted uint16", like=default
    )
    unlike = {name: torch.tensor(wrong) for name, wrong in (unlike or {}).items()}
    expected = torch.tensor(expected, dtype=torch.int64)
    check.equal(
        torch.tensor(got.astype(np.int64)), expected, unlike=unlike, what="the stream"
    )


class TestTokenizeDocuments:
    def test_a_mark_is_before_each_document(self, kata):
        """The mark says that a new document begins. The first document has one too:
        generation starts from the mark.
        """
        got = kata.tokenize_documents(["fig", "plum", "pear"], letters, 99)
        expected = [99, 6, 9, 7, 99, 16, 12, 21, 13, 99, 16, 5, 1, 18]
        unlike = {
            "a mark after each document": expected[1:] + [99],
            "marks between documents only": expected[1:],
            "marks on both sides": expected + [99],
            "no marks": [i for i in expected if i != 99],
        }
        check_stream(got, expected, unlike)

    def test_an_empty_document_has_its_mark(self, kata):
        """Each document has one mark, whatever it holds: "" becomes a mark and
        nothing else.
        """
        got = kata.tokenize_documents(["", "ab", "", "", "c", ""], letters, 7)
        unlike = {"empty documents skipped": [7, 1, 2, 7, 3]}
        check_stream(got, [7, 7, 1, 2, 7, 7, 7, 3, 7], unlike)

    def test_ids_up_to_65535_survive(self, kata):
        """uint16 holds 0 … 65535, which is why GPT-2's 50257 ids fit into two bytes.
        int16 ends at 32767.
        """
        ids = [0, 1, 32767, 32768, 50256, 65535]
        check_stream(
            kata.tokenize_documents(["x"], lambda text: ids, 65535), [65535, *ids]
        )
        check_stream(kata.tokenize_documents(["x"], lambda text: ids, 0), [0, *ids])

    @pytest.mark.edge
    def test_the_encoders_lists_are_left_alone(self, kata):
        """An encoder may keep the lists that it returns, and return them again. A mark
        inserted into such a list would come up twice next time.
        """
        kept = {"ab": [1, 2], "c": [3]}
        check_stream(
            kata.tokenize_documents(["ab", "c", "ab", "c"], kept.get, 9),
            [9, 1, 2, 9, 3, 9, 1, 2, 9, 3],
        )
        check.equal(
            kept, {"ab": [1, 2], "c": [3]}, what="the encoder's lists after the call"
        )

    @pytest.mark.edge
    def test_no_documents_are_an_empty_stream(self, kata):
        """No documents give an empty stream, still of uint16."""
        check_stream(kata.tokenize_documents([], letters, 9), [])

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("ids", "eot"), [([1, 65536, 2], 5), ([3, -1], 5), ([1], 65536), ([1], -1)]
    )
    def test_an_id_that_does_not_fit_is_refused(self, kata, ids, eot):
        """`astype` turns 65536 into 0 and −1 into 65535: other tokens, and no error.
        The mark is an id like any other.
        """
        with check.raises(ValueError):
            kata.tokenize_documents(["a", "b"], lambda text: ids, eot)


def contents(path):
    """The tokens in a shard file, as a list of ints, once it is known to be
    1-D uint16.
    """
    check.that(Path(path).is_file(), f"there is no file {Path(path).name}")
    array = np.load(path)
    text = (
        f"{Path(path).name} holds {array.dtype} of shape {array.shape}, wanted 1-D "
        "uint16"
    )
    check.that(array.ndim == 1 and array.dtype == np.uint16, text)
    return array.tolist()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


class TestWriteShards:
    def test_names_are_numbered_from_zero(self, kata, tmp_path):
        """`train_000000.npy`, `train_000001.npy`, …: six digits keep 2 before 10 when
        names are sorted. The paths come back in the order of the stream.
        """
        paths = kata.write_shards(list(range(24)), tmp_path, 2, "train")
        names = [f"train_0000{i:02}.npy" for i in range(12)]
        check.equal(files_in(tmp_path), names, what="the files")
        check.that(
            isinstance(paths, list),
            f"wanted a list of paths, got {check.describe(paths)}",
        )
        strange = [path for path in paths if not isinstance(path, Path)]
        check.that(
            not strange, f"wanted Path objects, got {check.describe(strange[:1])}"
        )
        check.equal(paths, [tmp_path / name for name in names], what="the paths")

    def test_each_shard_holds_the_next_tokens(self, kata, tmp_path):
        """Full shards first, then the rest: 23 tokens in shards of 10 are 10, 10 and 3.
        Nothing is dropped or padded.
        """
        stream = (np.arange(23) * 37 % 1000).tolist()
        kata.write_shards(stream, tmp_path, 10, "val")
        check.equal(
            files_in(tmp_path), [f"val_{i:06}.npy" for i in range(3)], what="the files"
        )
        got = [contents(tmp_path / f"val_{i:06}.npy") for i in range(3)]
        check.equal(got, [stream[:10], stream[10:20], stream[20:]], what="the shards")

    def test_no_shard_is_empty(self, kata, tmp_path):
        """20 tokens in shards of 10 make two files, not two and an empty third."""
        kata.write_shards(list(range(20)), tmp_path, 10, "train")
        check.equal(
            files_in(tmp_path),
            ["train_000000.npy", "train_000001.npy"],
            what="the files",
        )

    @given(
        tokens=st.lists(st.integers(0, 65535), min_size=1, max_size=9),
        size=st.integers(1, 10),
    )
    def test_the_shards_are_the_stream(self, kata, tmp_path, tokens, size):
        """Read one after the other, the files give back the stream, ids above 32767
        included. All are full except perhaps the last.
        """
        shards = [
            contents(path)
            for path in kata.write_shards(tokens, tmp_path, size, "train")
        ]
        check.equal(sum(shards, []), tokens, what="the shards, one after the other")
        lengths = [len(shard) for shard in shards]
        check.equal(
            lengths[:-1],
            [size] * (len(lengths) - 1),
            what="lengths of all shards but the last",
        )

    def test_folders_are_made(self, kata, tmp_path):
        """The folder and its parents may be missing, or exist already."""
        for tokens in ([1, 2, 3], [4, 5, 6]):
            paths = kata.write_shards(
                np.array(tokens), tmp_path / "data" / "prose", 2, "train"
            )
            check.equal(
                [contents(path) for path in paths],
                [tokens[:2], tokens[2:]],
                what="the shards",
            )

    @pytest.mark.edge
    @pytest.mark.parametrize("name", ["uint16", "int64", "int32", "uint8"])
    def test_arrays_of_any_integer_dtype(self, kata, tmp_path, name):
        """The files are uint16 whatever the dtype of the stream."""
        stream = np.array([7, 250, 0, 99, 120], dtype=name)
        before = stream.copy()
        paths = kata.write_shards(stream, str(tmp_path), 3, name)
        check.equal(
            [contents(path) for path in paths],
            [[7, 250, 0], [99, 120]],
            what="the shards",
        )
        check.equal(stream, before, what="tokens after the call")

    @pytest.mark.edge
    def test_files_of_other_names_stay(self, kata, tmp_path):
        """A stream of five files, then one of two files with the same prefix: the first
        two are overwritten, the others stay.
        """
        for tokens in ([1, 2, 3, 4, 5], [6, 7]):
            kata.write_shards(tokens, tmp_path, 1, "train")
        names = [f"train_{i:06}.npy" for i in range(5)]
        check.equal(files_in(tmp_path), names, what="the files after the second call")
        check.equal(
            [contents(tmp_path / name) for name in names],
            [[6], [7], [3], [4], [5]],
            what="the shards",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("bad", [65536, -1, 1_000_000])
    @pytest.mark.parametrize("kind", [list, np.array])
    def test_an_id_that_does_not_fit_is_refused(self, kata, tmp_path, kind, bad):
        """65536 would wrap to 0 and −1 to 65535 without an error. Check all ids before
        the first file is written, so that no half of a dataset is left behind.
        """
        with check.raises(ValueError):
            kata.write_shards(kind([1, 2, 3, 4, bad]), tmp_path, 2, "train")
        left = files_in(tmp_path)
        check.that(
            not left, f"the id {bad} was refused, but these were written before: {left}"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("size", [0, -3])
    def test_a_shard_holds_at_least_one_token(self, kata, tmp_path, size):
        """Shards of 0 tokens would never reach the end of the stream."""
        with check.raises(ValueError):
            kata.write_shards([1, 2, 3], tmp_path, size, "train")
        check.that(
            not files_in(tmp_path),
            f"shard_size={size} was refused, but something was written before",
        )


def saved(path, array):
    np.save(path, array)
    return path


class TestLoadShard:
    def test_the_ids_come_back_as_long(self, kata, tmp_path):
        """Two bytes per token on disk, long in memory."""
        path = saved(
            tmp_path / "train_000000.npy",
            np.array([12, 0, 700, 12, 5], dtype=np.uint16),
        )
        got = kata.load_shard(path)
        check.dtype(got, torch.long)
        check.equal(got, torch.tensor([12, 0, 700, 12, 5]))

    def test_ids_above_32767_stay_positive(self, kata, tmp_path):
        """Read as int16, the same 16 bits are negative from 32768 on: 65535 would
        be −1.
        """
        ids = torch.tensor([32767, 32768, 50256, 65535])
        path = saved(tmp_path / "train_000000.npy", ids.numpy().astype(np.uint16))
        check.equal(
            kata.load_shard(path),
            ids,
            unlike={"uint16 read as int16": ids.to(torch.int16).long()},
        )

    @pytest.mark.edge
    def test_a_path_may_be_a_str(self, kata, tmp_path):
        """Command lines give paths as text."""
        path = saved(
            tmp_path / "train_000000.npy", np.array([3, 1, 2], dtype=np.uint16)
        )
        check.equal(kata.load_shard(str(path)), torch.tensor([3, 1, 2]))

    @pytest.mark.parametrize(
        "array",
        [
            pytest.param(np.zeros((1, 5), dtype=np.uint16), id="a table of one row"),
            pytest.param(np.zeros(5, dtype=np.int16), id="int16"),
            pytest.param(np.zeros(5, dtype=np.int64), id="int64"),
            pytest.param(np.zeros(5, dtype=np.float32), id="float32"),
        ],
    )
    @pytest.mark.edge
    def test_other_arrays_are_refused(self, kata, tmp_path, array):
        """A file with a table, or with numbers of another dtype, does not hold
        a stream.
        """
        path = saved(tmp_path / "other.npy", array)
        with check.raises(ValueError):
            kata.load_shard(path)


def shards(folder, *lengths):
    """Files of these lengths. Token i of shard s has the id 10·i + s: 242 is token 24
    of shard 2.
    """
    folder = folder / "-".join(map(str, lengths))
    folder.mkdir(exist_ok=True)
    return [
        saved(
            folder / f"train_{s:06}.npy",
            10 * np.arange(n, dtype=np.uint16) + np.uint16(s),
        )
        for s, n in enumerate(lengths)
    ]


def piece(shard, position, B, T):
    """x and y of the B·T tokens from there on."""
    x = 10 * (torch.arange(B * T).view(B, T) + position) + shard
    return [x, x + 10]


def steps_of(lengths, stride):
    """(shard, position) of each step of one pass: a step needs the token after its
    last, too.
    """
    places = [
        (s, p)
        for s, length in enumerate(lengths)
        for p in range(length)
        if p + stride < length
    ]
    return [(s, p) for s, p in places if p % stride == 0]


def check_steps(loader, steps, B, T, *, offset=0, whose="", unlike=None):
    """The next batches of the loader are those of these steps, `offset` tokens
    further on.
    """
    for i, (shard, position) in enumerate(steps):
        got = loader.next_batch()
        check_pair(got)
        wrong = {
            name: piece(*known[i], B, T)
            for name, known in (unlike or {}).items()
            if i < len(known)
        }
        where = (
            f"x and y of {whose}batch {i} (from token {position + offset} of shard "
            f"{shard} on; id = 10·token + shard)"
        )
        check.equal(
            list(got), piece(shard, position + offset, B, T), unlike=wrong, what=where
        )


@st.composite
def worlds(draw):
    """Lengths of shards that all have room for a step of B·T = 6 tokens per rank, a
    rank and the world size.
    """
    world_size = draw(st.integers(1, 3))
    lengths = draw(
        st.lists(st.integers(6 * world_size + 1, 45), min_size=1, max_size=3)
    )
    return lengths, draw(st.integers(0, world_size - 1)), world_size


class TestDataLoaderLiteInit:
    @pytest.mark.parametrize("rank", [0, 1, 2])
    def test_a_new_loader_begins_at_the_start(self, kata, tmp_path, rank):
        """The first batch of rank r is the r-th piece of the first shard: x and y, both
        (B, T), y one token later.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 50, 60), 3, 4, rank, 3)
        unlike = {"the piece of rank 0": [(0, 0)]} if rank else {}
        check_steps(
            loader,
            [(0, 0)],
            3,
            4,
            offset=12 * rank,
            whose=f"rank {rank}'s ",
            unlike=unlike,
        )

    def test_one_process_is_the_default(self, kata, tmp_path):
        """Without `rank` and `world_size` there is one process, whose next batch begins
        B·T tokens later.
        """
        check_steps(
            kata.DataLoaderLite(shards(tmp_path, 50), 3, 4), [(0, 0), (0, 12)], 3, 4
        )

    @pytest.mark.edge
    def test_paths_may_be_text(self, kata, tmp_path):
        """Paths may be Path or str, in a list or a tuple. They are read in the order
        given, not sorted by name.
        """
        first, second = shards(tmp_path, 20, 20)
        loader = kata.DataLoaderLite((str(second), str(first)), 2, 4)
        check_steps(loader, [(1, 0), (1, 8), (0, 0), (0, 8), (1, 0)], 2, 4)

    @pytest.mark.edge
    @pytest.mark.parametrize(("rank", "world_size"), [(2, 2), (-1, 2), (1, 1)])
    def test_a_rank_outside_the_world_is_refused(
        self, kata, tmp_path, rank, world_size
    ):
        """Two processes have the ranks 0 and 1."""
        with check.raises(ValueError):
            kata.DataLoaderLite(shards(tmp_path, 100), 2, 3, rank, world_size)

    @pytest.mark.edge
    @pytest.mark.parametrize("lengths", [(5,), (5, 12, 9)], ids=str)
    def test_shards_without_a_single_step_are_refused(self, kata, tmp_path, lengths):
        """Skipping short shards forever is an endless loop. The step of all ranks and
        one more token must fit into a shard: 13 tokens.
        """
        with check.raises(ValueError):
            kata.DataLoaderLite(shards(tmp_path, *lengths), 2, 3, 0, 2)


class TestDataLoaderLiteNextBatch:
    def test_batches_follow_one_another(self, kata, tmp_path):
        """A single process advances by B·T tokens per step, not by B·T + 1: the last
        target of a batch is the first input of the next.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 100), 3, 4)
        unlike = {
            "advanced by B·T + 1": [(0, 13 * i) for i in range(8)],
            "the same batch again": [(0, 0)] * 8,
        }
        check_steps(loader, [(0, 12 * i) for i in range(8)], 3, 4, unlike=unlike)

    def test_each_rank_reads_its_piece(self, kata, tmp_path):
        """One step uses B·T·world_size tokens: rank r reads the r-th piece of B·T, then
        all ranks advance past the last piece. After advancing by B·T alone, a rank
        reads what its neighbour has just read.
        """
        paths = shards(tmp_path, 400)
        for rank in range(3):
            loader = kata.DataLoaderLite(paths, 2, 5, rank, 3)
            unlike = {
                "advanced by B·T, not by B·T·world_size": [
                    (0, 10 * rank + 10 * i) for i in range(6)
                ],
                "what rank 0 should read": [(0, 30 * i) for i in range(6)],
            }
            steps = [(0, 30 * i) for i in range(6)]
            check_steps(
                loader,
                steps,
                2,
                5,
                offset=10 * rank,
                whose=f"rank {rank}'s ",
                unlike=unlike,
            )

    def test_ranks_tile_the_stream(self, kata, tmp_path):
        """Together the ranks read every token once as an input: no gaps,
        no overlaps.
        """
        loaders = [
            kata.DataLoaderLite(shards(tmp_path, 300), 2, 5, rank, 4)
            for rank in range(4)
        ]
        read = torch.cat(
            [loader.next_batch()[0].flatten() for _ in range(4) for loader in loaders]
        ).tolist()
        never = sorted({*range(0, 1600, 10)} - {*read})
        again = sorted({token for token in read if read.count(token) > 1})
        told = (
            f"of the first 160 tokens {len(never)} are never read {never[:4]}, "
            f"{len(again)} again {again[:4]}"
        )
        check.that(not never and not again, f"4 ranks in 4 steps: {told}")

    @pytest.mark.parametrize(("length", "fit"), [(24, 1), (25, 2), (26, 2)])
    def test_a_shard_is_used_as_long_as_a_step_fits(self, kata, tmp_path, length, fit):
        """A step of a single process needs B·T + 1 tokens, here 13. A shard of 25
        tokens holds exactly two steps, one of 24 holds one. The next batch comes from
        the next shard.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, length, 60), 3, 4)
        check_steps(loader, [(0, 12 * i) for i in range(fit)] + [(1, 0), (1, 12)], 3, 4)

    def test_after_the_last_shard_comes_the_first(self, kata, tmp_path):
        """Training may take any number of steps: here three passes, then a
        fourth begins.
        """
        lengths = [30, 21]
        steps = steps_of(lengths, 8) * 3 + [(0, 0)]
        check_steps(kata.DataLoaderLite(shards(tmp_path, *lengths), 2, 4), steps, 2, 4)

    def test_all_ranks_change_shard_at_the_same_step(self, kata, tmp_path):
        """Shards of 40 and 26 tokens, B = 2, T = 3, two ranks: three steps in the first
        shard, two in the second, for both. If each rank counts the tokens left from its
        own piece, rank 1 leaves the first shard one step early, and from there on the
        ranks are out of step.
        """
        paths = shards(tmp_path, 40, 26)
        steps = [(0, 0), (0, 12), (0, 24), (1, 0), (1, 12)] * 2
        for rank in range(2):
            early = [(0, 6), (0, 18), (1, 6), (1, 18), (0, 6)] if rank else []
            unlike = {"a rank that counts the tokens left from its own piece": early}
            loader = kata.DataLoaderLite(paths, 2, 3, rank, 2)
            check_steps(
                loader,
                steps,
                2,
                3,
                offset=6 * rank,
                whose=f"rank {rank}'s ",
                unlike=unlike,
            )

    @given(case=worlds())
    def test_any_shards_are_read_as_by_hand(self, kata, tmp_path, case):
        """For any lengths, number of ranks and rank, the steps are those that fit,
        shard after shard.
        """
        lengths, rank, world_size = case
        loader = kata.DataLoaderLite(shards(tmp_path, *lengths), 2, 3, rank, world_size)
        steps = steps_of(lengths, 6 * world_size)
        check_steps(loader, [*steps, *steps[:2]], 2, 3, offset=6 * rank)

    @pytest.mark.edge
    def test_short_shards_are_passed_over(self, kata, tmp_path):
        """Shards without room for one step may come anywhere: first, last, or several
        in a row. 12 tokens are one too few for a step of 12.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 4, 12, 30, 1, 12, 13, 7), 3, 4)
        check_steps(loader, [(2, 0), (2, 12), (5, 0)] * 2, 3, 4)

    @pytest.mark.edge
    @pytest.mark.parametrize("rank", [0, 1])
    def test_all_ranks_pass_over_a_shard_at_the_same_step(self, kata, tmp_path, rank):
        """9 tokens are enough for rank 0's own piece, but not for the step of
        both ranks.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 40, 9, 26), 2, 3, rank, 2)
        check_steps(
            loader,
            [(0, 0), (0, 12), (0, 24), (2, 0), (2, 12)] * 2,
            2,
            3,
            offset=6 * rank,
        )

    @pytest.mark.edge
    def test_batches_are_long_with_the_ids_of_the_file(self, kata, tmp_path):
        """Ids above 32767 come through unchanged, as long."""
        ids = torch.tensor([65535, 40000, 32768, 50256, 0, 65534, 12])
        path = saved(tmp_path / "train_000000.npy", ids.numpy().astype(np.uint16))
        x, y = kata.DataLoaderLite([path], 2, 3).next_batch()
        check.equal([x, y], [ids[:6].view(2, 3), ids[1:].view(2, 3)], what="x and y")


class TestDataLoaderLiteReset:
    @pytest.mark.parametrize("taken", [1, 4, 6])
    def test_reset_goes_back_to_the_first_shard(self, kata, tmp_path, taken):
        """After `reset`, the loader gives the batches of a new loader, wherever it was:
        the shard goes back as well as the position.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 30, 21, 19), 2, 4)
        for _ in range(taken):
            loader.next_batch()
        loader.reset()
        unlike = {
            "only the position went back": [
                (s, 0) for s, _ in steps_of([30, 21, 19], 8)[taken - 1 : taken]
            ]
        }
        check_steps(
            loader,
            [(0, 0), (0, 8), (0, 16), (1, 0)],
            2,
            4,
            whose=f"(after {taken} and a reset) ",
            unlike=unlike,
        )


class TestDataLoaderLiteStateDict:
    def test_state_is_plain_and_the_same_on_all_ranks(self, kata, tmp_path):
        """A checkpoint keeps {"shard": …, "position": …} as plain ints. The position
        does not depend on the rank, so that one process can save for all: it is a
        multiple of B·T·world_size.
        """
        paths = shards(tmp_path, 40, 26)
        loaders = [kata.DataLoaderLite(paths, 2, 3, rank, 2) for rank in range(2)]
        for step in range(7):
            states = [loader.state_dict() for loader in loaders]
            for rank, state in enumerate(states):
                right = isinstance(state, dict) and set(state) == {"shard", "position"}
                check.that(
                    right,
                    "wanted a dict with shard and position, got "
                    f"{check.describe(state)}",
                )
                for key, value in state.items():
                    check.that(
                        type(value) is int,
                        f"{key} is {value!r}, a {type(value).__name__}; wanted an int",
                    )
                text = (
                    f"rank {rank}'s position after {step} steps is "
                    f"{state['position']}, wanted a multiple of 12"
                )
                check.that(state["position"] % 12 == 0, text)
            text = (
                f"after {step} steps rank 0 says {states[0]} and rank 1 {states[1]}: "
                "one state must serve both"
            )
            check.that(states[0] == states[1], text)
            for loader in loaders:
                loader.next_batch()

    def test_a_state_does_not_move_on(self, kata, tmp_path):
        """A saved state is a snapshot: its loader does not change it later."""
        loader = kata.DataLoaderLite(shards(tmp_path, 50, 50), 2, 3)
        loader.next_batch()
        state = loader.state_dict()
        before = dict(state)
        loader.next_batch()
        unlike = {"the state now, not that of the save": dict(loader.state_dict())}
        check.equal(
            state,
            before,
            unlike=unlike,
            what="the first state after one more batch and a second state",
        )


class TestDataLoaderLiteLoadStateDict:
    @given(case=worlds(), taken=st.integers(0, 9))
    def test_resuming_continues_on_every_rank(self, kata, tmp_path, case, taken):
        """Rank 0 saves after any number of steps. A new loader of any rank that loads
        this state continues with the very batches that would have followed, past the
        ends of shards.
        """
        lengths, rank, world_size = case
        paths = shards(tmp_path, *lengths)
        saver, loader = (
            kata.DataLoaderLite(paths, 2, 3, r, world_size) for r in (0, rank)
        )
        for _ in range(taken):
            saver.next_batch()
        state = saver.state_dict()
        loader.load_state_dict(dict(state))
        steps = itertools.cycle(steps_of(lengths, 6 * world_size))
        coming = list(itertools.islice(steps, taken, taken + 3))
        whose = f"rank {rank}'s (resumed after {taken} steps from {state}) "
        kept = [
            place
            for place in steps_of(lengths, 6 * world_size)
            if place >= (0, state.get("position", 0))
        ]
        shard, position = (kept or coming)[0]
        unlike = {
            "a loader that started over": [(0, 6 * rank)],
            "only the position restored": [(shard, position + 6 * rank)],
        }
        check_steps(loader, coming, 2, 3, offset=6 * rank, whose=whose, unlike=unlike)

    def test_a_running_loader_can_be_set_back(self, kata, tmp_path):
        """A state may be loaded into a loader that has already read. The tokens in
        memory must then be those of the new shard.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 40, 26), 2, 3, 1, 2)
        states = []
        for _ in range(5):
            states.append(loader.state_dict())
            loader.next_batch()
        steps = steps_of([40, 26], 12)
        for taken in (3, 1, 4, 0):
            loader.load_state_dict(states[taken])
            stale = {
                "the right position, in the shard read before": [
                    (1 - steps[taken][0], steps[taken][1] + 6)
                ]
            }
            whose = f"(set back to step {taken}) "
            check_steps(
                loader,
                steps[taken : taken + 1],
                2,
                3,
                offset=6,
                whose=whose,
                unlike=stale,
            )

    @pytest.mark.edge
    def test_the_state_stays_as_it_was(self, kata, tmp_path):
        """A state can be loaded many times, because later steps do not change it."""
        loader = kata.DataLoaderLite(shards(tmp_path, 50), 2, 3)
        state = {"shard": 0, "position": 6}
        for _ in range(2):
            loader.load_state_dict(state)
            check_steps(loader, [(0, 6), (0, 12)], 2, 3, whose="(after loading) ")
        check.equal(
            state, {"shard": 0, "position": 6}, what="the state after loading it twice"
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(("shard", "position"), [(3, 0), (-1, 0), (0, 13), (2, 6)])
    def test_a_state_that_does_not_fit_is_refused(
        self, kata, tmp_path, shard, position
    ):
        """A shard that does not exist, or a position between two steps, belongs to
        other files or another number of ranks. After the error, the loader is where it
        was before.
        """
        loader = kata.DataLoaderLite(shards(tmp_path, 40, 15, 26), 2, 3, 1, 2)
        loader.next_batch()
        with check.raises(ValueError):
            loader.load_state_dict({"shard": shard, "position": position})
        check_steps(
            loader,
            [(0, 12), (0, 24), (1, 0)],
            2,
            3,
            offset=6,
            whose="(after a refused state) ",
        )


GPT3_TOKENS = {
    "Common Crawl": 410e9,
    "WebText2": 19e9,
    "Books1": 12e9,
    "Books2": 55e9,
    "Wikipedia": 3e9,
}
GPT3_PERCENT = {
    "Common Crawl": 60,
    "WebText2": 22,
    "Books1": 8,
    "Books2": 8,
    "Wikipedia": 3,
}


@pytest.mark.stretch
class TestMixtureEpochs:
    def test_tokens_taken_over_tokens_there(self, kata):
        """Of 300 tokens three quarters come from "web" and a quarter from "books"; each
        count is divided by the size of its dataset.
        """
        got = kata.mixture_epochs(
            {"web": 400, "books": 50}, {"web": 3, "books": 1}, 300
        )
        unlike = {
            "the tokens taken, not divided by the size": {"web": 225, "books": 75},
            "the size over the tokens taken": {"web": 400 / 225, "books": 50 / 75},
            "weights that were not divided by their sum": {"web": 2.25, "books": 6},
        }
        check.close(got, {"web": 0.5625, "books": 1.5}, unlike=unlike)

    def test_the_mixture_of_gpt3(self, kata):
        """GPT-3's published percentages sum to 101. Only proportions count, so they are
        divided by 101.
        """
        got = kata.mixture_epochs(GPT3_TOKENS, GPT3_PERCENT, 300e9)
        shares = {name: percent / 101 * 300e9 for name, percent in GPT3_PERCENT.items()}
        unlike = {
            "percentages divided by 100": {
                name: 3e9 * GPT3_PERCENT[name] / GPT3_TOKENS[name] for name in shares
            }
        }
        check.close(
            got,
            {name: shares[name] / GPT3_TOKENS[name] for name in shares},
            unlike=unlike,
        )

    @given(factor=st.sampled_from([0.01, 0.5, 2, 7, 1e6]))
    def test_percentages_and_fractions_say_the_same(self, kata, factor):
        """All weights times the same number are the same proportions."""
        weights = {name: percent * factor for name, percent in GPT3_PERCENT.items()}
        expected = kata.mixture_epochs(GPT3_TOKENS, GPT3_PERCENT, 300e9)
        check.close(kata.mixture_epochs(GPT3_TOKENS, weights, 300e9), expected)

    def test_names_decide_not_their_order(self, kata):
        """Two dicts may hold the same names in different orders: match them by name."""
        got = kata.mixture_epochs(
            {"web": 400, "books": 50, "code": 10},
            {"code": 0, "books": 1, "web": 3},
            300,
        )
        check.close(got, {"web": 0.5625, "books": 1.5, "code": 0.0})

    @pytest.mark.edge
    def test_the_dicts_stay_as_they_were(self, kata):
        """The caller's weights are not divided in place."""
        sizes, weights = {"web": 400, "books": 50}, {"web": 3, "books": 1}
        kata.mixture_epochs(sizes, weights, 300)
        check.equal(
            [sizes, weights],
            [{"web": 400, "books": 50}, {"web": 3, "books": 1}],
            what="the arguments",
        )

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "weights",
        [{"web": 1}, {"web": 1, "books": 1, "code": 1}, {"web": 1, "boks": 1}],
        ids=str,
    )
    def test_names_that_differ_are_refused(self, kata, weights):
        """A dataset without a weight, or a weight without a dataset, is a mistake in
        the mixture.
        """
        with check.raises(ValueError):
            kata.mixture_epochs({"web": 400, "books": 50}, weights, 300)

    @pytest.mark.edge
    @pytest.mark.parametrize(("web", "books"), [(3, -1), (-3, -1), (0, 0), (2, -2)])
    def test_weights_must_be_proportions(self, kata, web, books):
        """A negative share means nothing, and if all shares are 0 there are
        no proportions.
        """
        with check.raises(ValueError):
            kata.mixture_epochs(
                {"web": 400, "books": 50}, {"web": web, "books": books}, 300
            )
