"""Specs of 23: characters as ids, byte pairs counted, merged, learned and applied,
GPT-2's files, bytes per token.
"""

import json
import random
import re
import sys
from collections import Counter
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grader.datasets import prose
from grader.specs import check

# The stub's constant once more, so that an edit there does not move what is
# expected here.
SPLIT_PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)
END = "<|endoftext|>"
LOW = [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low")]  # lo 256, low 257, " low" 258
SPACED = [
    (b" ", b" "),
    (b"  ", b"  "),
    (b"\n", b"\n"),
    (b"\xc3", b"\xa9"),
    (b"\xf0", b"\x9f"),
    (b" ", b"\xc3\xa9"),
]
# abc is made in two ways
SAME_BYTES = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc"), (b"abc", b"d")]
OWN_IDS = {bytes([byte]): 300 - byte for byte in range(256)} | {
    b"lo": 7,
    b"low": 301,
    b" low": 3,
}

ANY_TEXT = st.text(" \n\tab'1_é東🙂\u2028²", max_size=12)
SHORT_WORDS = st.text("aab c", max_size=20)


def chunks_of(text):
    return [
        [bytes([byte]) for byte in chunk.encode()]
        for chunk in re.findall(SPLIT_PATTERN, text)
    ]


def merged_everywhere(chunks, left, right):
    """The chunks with left + right wherever left and right were neighbours, found from
    the left.
    """
    out = []
    for chunk in chunks:
        out.append([])
        for token in chunk:
            if out[-1][-1:] == [left] and token == right:
                # longer than left, so that it can not be taken for one
                out[-1][-1] = left + right
            else:
                out[-1].append(token)
    return out


@cache
def trained_by_hand(text, steps):
    """Merges learned by counting everything anew in every step, one chunk of the text
    after the other.
    """
    chunks, merges = chunks_of(text), []
    for _ in range(steps):
        pairs = [chunk[i : i + 2] for chunk in chunks for i in range(len(chunk) - 1)]
        counts = Counter(map(tuple, pairs))
        most = max(counts.values(), default=0)
        if most < 2:
            break
        merges.append(sorted(pair for pair in counts if counts[pair] == most)[0])
        chunks = merged_everywhere(chunks, *merges[-1])
    return merges


def encoded_by_hand(tokens, merges):
    """The tokens of one chunk, one merge after the other: always the lowest rank,
    always the leftmost place.
    """
    while True:
        pairs = enumerate(zip(tokens, tokens[1:], strict=False))
        places = [(merges.index(pair), i) for i, pair in pairs if pair in merges]
        if not places:
            return tokens
        _, i = min(places)
        tokens = [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]


def spelling():
    """GPT-2's spelling of the bytes, filled in one after the other."""
    table, new = {}, 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            table[byte] = chr(byte)
        else:
            table[byte], new = chr(new), new + 1
    return table


SPELLING = spelling()
# the bytes by their ids there
GPT2_ORDER = sorted(range(256), key=lambda byte: (SPELLING[byte] != chr(byte), byte))


def spelled(token):
    return "".join(SPELLING[byte] for byte in token)


def write_files(folder, merges, special=(), *, without=(), end="\n"):
    """GPT-2's two files: the bytes in its order, then the results of merges, then the
    special tokens.
    """
    tokens = [
        *(spelled(bytes([byte])) for byte in GPT2_ORDER),
        *(spelled(left + right) for left, right in merges),
    ]
    tokens = list(dict.fromkeys([*tokens, *special]))
    encoder = {token: i for i, token in enumerate(tokens) if token not in without}
    lines = [
        "#version: 0.2",
        *(f"{spelled(left)} {spelled(right)}" for left, right in merges),
    ]
    (folder / "encoder.json").write_text(json.dumps(encoder), encoding="utf-8")
    (folder / "vocab.bpe").write_bytes(("\n".join(lines) + end).encode())
    return folder / "encoder.json", folder / "vocab.bpe"


def saved_files(kata, folder, tokenizer):
    """The files that `save_gpt2_files` writes: the object in encoder.json and the lines
    of vocab.bpe.
    """
    kata.save_gpt2_files(tokenizer, folder / "encoder.json", folder / "vocab.bpe")
    lines = (folder / "vocab.bpe").read_bytes().decode().splitlines()
    return json.loads((folder / "encoder.json").read_bytes()), lines


def entries(table, keys):
    """The entries of a large dict that a spec is about; None where there is none."""
    return {key: table.get(key) for key in keys}


class TestCharTokenizer:
    def test_the_vocabulary_is_sorted_and_distinct(self, kata):
        """Each different character once, in sorted order. A set has no order of its own
        and gives other ids in the next run: a model saved today would read
        nonsense tomorrow.
        """
        text, expected = (
            "To be, or not To be\n",
            ["\n", " ", ",", "T", "b", "e", "n", "o", "r", "t"],
        )
        tokenizer = kata.CharTokenizer(text)
        itos = (
            tokenizer.itos
            if isinstance(tokenizer.itos, dict)
            else dict(enumerate(tokenizer.itos))
        )
        check.equal(
            [itos.get(i) for i in range(10)],
            expected,
            unlike={"numbered in the order of the text": list(dict.fromkeys(text))},
            what="the characters of the ids 0 to 9",
        )
        check.equal(
            entries(tokenizer.stoi, expected),
            {c: i for i, c in enumerate(expected)},
            what="stoi",
        )
        check.equal(
            tokenizer.vocab_size,
            10,
            unlike={"the length of the text": 20},
            what="vocab_size",
        )

    def test_each_character_becomes_its_id(self, kata):
        """The vocabulary of "hello" is e, h, l, o, so that its ids are
        [1, 0, 2, 2, 3].
        """
        tokenizer = kata.CharTokenizer("hello")
        check.equal(tokenizer.encode("hello"), [1, 0, 2, 2, 3], what='ids of "hello"')
        check.equal(
            tokenizer.decode([3, 0, 2]), "oel", what="text of the ids [3, 0, 2]"
        )

    @given(text=st.text(" \nabBé🙂", min_size=1, max_size=12))
    def test_decode_undoes_encode(self, kata, text):
        """Nothing is lost on the way, neither spaces nor newlines."""
        tokenizer = kata.CharTokenizer(text)
        check.equal(tokenizer.decode(tokenizer.encode(text)), text)

    @pytest.mark.edge
    @pytest.mark.parametrize("kind", [torch.tensor, torch.IntTensor, iter])
    def test_ids_may_be_a_tensor(self, kata, kind):
        """A model returns tensors. Their elements are tensors, too, and a dict with int
        keys does not find them.
        """
        check.equal(kata.CharTokenizer("hello").decode(kind([1, 0, 2])), "hel")

    @pytest.mark.edge
    def test_nothing_becomes_nothing(self, kata):
        """An empty text has no ids, and no ids are an empty text."""
        tokenizer = kata.CharTokenizer("hello")
        check.equal(tokenizer.encode(""), [], what='ids of ""')
        check.equal(tokenizer.decode([]), "", what="text of no ids")

    @pytest.mark.edge
    def test_an_unknown_character_is_named(self, kata):
        """A character dropped in silence is missed far too late, and a KeyError does
        not say where in a long text to look.
        """
        with check.raises(ValueError, "%", 13):
            kata.CharTokenizer("abc").encode("abcabcabcabca%bc")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "ids", [[0, 4], [977], [0, -1], torch.tensor([-4])], ids=str
    )
    def test_an_unknown_id_is_refused(self, kata, ids):
        """Ids go from 0 to vocab_size − 1. In a list the index −1 is the last entry, so
        a wrong id would go unseen.
        """
        with check.raises(ValueError):
            kata.CharTokenizer("hello").decode(ids)

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """An empty vocabulary can encode nothing."""
        with check.raises(ValueError):
            kata.CharTokenizer("")


@pytest.mark.stretch
class TestBytesToUnicode:
    def test_printable_bytes_are_spelled_as_they_are(self, kata):
        """Letters, digits and signs stand for themselves, so that most of a token in
        GPT-2's files can be read.
        """
        expected = {byte: chr(byte) for byte in (33, 65, 126, 161, 172, 174, 233, 255)}
        check.equal(
            entries(kata.bytes_to_unicode(), expected), expected, what="spelling"
        )

    def test_the_others_move_up_as_in_gpt2(self, kata):
        """A space is Ġ and a newline Ċ. Bytes 127, 160 and 173 (delete, the no-break
        space and the soft hyphen) are not printable either, so they move, too.
        """
        moved = {0: "Ā", 10: "Ċ", 32: "Ġ", 127: "ġ", 160: "ł", 173: "Ń"}
        unlike = {
            "256 added to the byte": {byte: chr(256 + byte) for byte in moved},
            "delete and the soft hyphen taken for printable": moved
            | {127: "\x7f", 160: "Ł", 173: "\xad"},
        }
        check.equal(
            entries(kata.bytes_to_unicode(), moved),
            moved,
            unlike=unlike,
            what="spelling",
        )

    def test_every_byte_has_its_own_character(self, kata):
        """The whole table. Two bytes with the same spelling would be one byte when a
        file is read.
        """
        table = kata.bytes_to_unicode()
        check.equal(len(table), 256, what="number of bytes in the table")
        check.equal(entries(table, range(256)), SPELLING, what="spelling")


class TestCountPairs:
    def test_neighbours_are_counted(self, kata):
        """[7, 2, 5, 7, 2] holds (7, 2) twice, and (2, 5) and (5, 7) once. (2, 7) is
        another pair: it does not occur.
        """
        unlike = {"pairs without an order": {(2, 7): 2, (2, 5): 1, (5, 7): 1}}
        check.equal(
            dict(kata.count_pairs([7, 2, 5, 7, 2])),
            {(7, 2): 2, (2, 5): 1, (5, 7): 1},
            unlike=unlike,
        )

    def test_overlapping_pairs_all_count(self, kata):
        """Three ones are neighbours twice: the one in the middle has two neighbours."""
        check.equal(
            dict(kata.count_pairs([1, 1, 1])),
            {(1, 1): 2},
            unlike={"overlaps skipped": {(1, 1): 1}},
        )

    def test_bytes_are_tokens_too(self, kata):
        """A token may be any value: (b"ab", b"c") and (b"a", b"bc") are two pairs."""
        tokens = [b"ab", b"c", b"a", b"bc", b"ab", b"c"]
        expected = {
            (b"ab", b"c"): 2,
            (b"c", b"a"): 1,
            (b"a", b"bc"): 1,
            (b"bc", b"ab"): 1,
        }
        check.equal(dict(kata.count_pairs(tokens)), expected)

    @pytest.mark.edge
    @pytest.mark.parametrize("tokens", [[], [5], ()], ids=repr)
    def test_one_token_has_no_neighbour(self, kata, tokens):
        """Having nothing to count is not an error."""
        check.equal(dict(kata.count_pairs(tokens)), {})

    @pytest.mark.edge
    def test_the_tokens_stay_as_they_are(self, kata):
        """Counting changes nothing, and takes a tuple as well as a list."""
        tokens = [3, 1, 3, 1]
        check.equal(
            dict(kata.count_pairs(tuple(tokens))),
            {(3, 1): 2, (1, 3): 1},
            what="pairs of a tuple",
        )
        kata.count_pairs(tokens)
        check.equal(tokens, [3, 1, 3, 1], what="tokens after the call")


class TestMergePair:
    def test_the_pair_becomes_one_token_everywhere(self, kata):
        """Where 1 and 2 are neighbours, in this order, one 9 takes their place. All
        other tokens stay, including the first and the last.
        """
        unlike = {
            "only the first place merged": [5, 9, 2, 1, 1, 2, 4],
            "the pair's second token kept behind the merged one": [
                5,
                9,
                2,
                2,
                1,
                9,
                2,
                4,
            ],
            "the last token lost": [5, 9, 2, 1, 9],
            "(2, 1) merged as well": [5, 9, 9, 9, 4],
        }
        check.equal(
            kata.merge_pair([5, 1, 2, 2, 1, 1, 2, 4], (1, 2), 9),
            [5, 9, 2, 1, 9, 4],
            unlike=unlike,
        )

    def test_a_token_is_used_once(self, kata):
        """Of [1, 1, 1] the first two are merged; a single 1 is left. `count_pairs`
        counts 2 there, but only one merge fits.
        """
        unlike = {
            "overlapping merges": [9, 9],
            "merged from the right": [1, 9],
            "the last token lost": [9],
        }
        check.equal(kata.merge_pair([1, 1, 1], (1, 1), 9), [9, 1], unlike=unlike)

    def test_a_merged_token_is_not_merged_again(self, kata):
        """Only tokens from before the call form pairs. A new token waits for the next
        call, even if it equals half of the pair.
        """
        check.equal(
            kata.merge_pair([1, 2, 2, 2], (1, 2), 1),
            [1, 2, 2],
            unlike={"merged again": [1]},
        )

    def test_bytes_are_compared_token_by_token(self, kata):
        """b"a", b"bc" spells the same as b"ab", b"c", but is not that pair. Compare
        with `==`, because equal bytes need not be the same object (`is`).
        """
        tokens = [b"a", b"bc", bytes([97, 98]), b"c"]
        unlike = {
            "the joined bytes compared": [b"abc", b"abc"],
            "compared with `is`": [b"a", b"bc", b"ab", b"c"],
        }
        check.equal(
            kata.merge_pair(tokens, (b"ab", b"c"), b"abc"),
            [b"a", b"bc", b"abc"],
            unlike=unlike,
        )

    @given(
        text=st.text("abc", min_size=1, max_size=8), pair=st.sampled_from(["aa", "ab"])
    )
    def test_merges_as_str_replace_does(self, kata, text, pair):
        """With one character per token, this is what `text.replace(pair, "*")` does:
        from left to right, without overlaps, and up to the very end.
        """
        check.equal(
            kata.merge_pair(list(text), tuple(pair), "*"), list(text.replace(pair, "*"))
        )

    @pytest.mark.edge
    def test_a_tuple_or_nothing_gives_a_list(self, kata):
        """The result is a list for every kind of sequence."""
        check.equal(
            kata.merge_pair((4, 1, 2), (1, 2), 9), [4, 9], what="merged from a tuple"
        )
        check.equal(kata.merge_pair([], (1, 2), 9), [], what="merged from no tokens")

    @pytest.mark.edge
    @pytest.mark.parametrize("tokens", [[5, 1, 2, 5], [5, 5, 5]], ids=str)
    def test_the_list_given_stays_as_it_is(self, kata, tokens):
        """The caller may still need the old tokens. The result is a list of its own,
        even if nothing was merged.
        """
        before = list(tokens)
        got = kata.merge_pair(tokens, (1, 2), 9)
        check.equal(tokens, before, what="tokens after the call")
        check.that(
            got is not tokens,
            "the result is the list that was passed in, not a new one",
        )


class TestTrainBpe:
    def test_the_example_step_by_step(self, kata):
        """In "low low lower" the pairs l, o and o, w occur three times each, and the
        smaller one is merged first. Then lo, w occurs three times, and then the space
        with low twice.
        """
        once = {
            "pairs merged that occur once": [*LOW, (b" low", b"e"), (b" lowe", b"r")]
        }
        check.equal(kata.train_bpe("low low lower", 300), LOW, unlike=once)

    def test_every_occurrence_counts(self, kata):
        """x, y is in one chunk that occurs five times; p, q is in three chunks that
        occur once. Five is more. Counting each different chunk once finds p, q first.
        """
        unlike = {
            "each different chunk counted once": [(b"p", b"q")],
            "the rarest pair": [(b"q", b"a")],
        }
        unlike |= {
            "a merge too many: 256 ids are bytes, so 257 leave one": [
                (b"x", b"y"),
                (b"p", b"q"),
            ]
        }
        check.equal(
            kata.train_bpe("xy,xy,xy,xy,xy,pqa,pqb,pqc", 257),
            [(b"x", b"y")],
            unlike=unlike,
        )

    def test_merges_stay_inside_chunks(self, kata):
        """a and 1 are neighbours nine times, but a letter and a digit are two chunks. A
        pair across their border does not count.
        """
        unlike = {
            "the text was not cut, or only at blanks": [(b"a", b"1"), (b"a1", b"a1")]
        }
        check.equal(
            kata.train_bpe("a1" * 9 + "-xy-xy", 258), [(b"x", b"y")], unlike=unlike
        )

    def test_a_word_keeps_the_space_before_it(self, kata):
        """In " ab ab" the space belongs to the word's chunk, so that a space and a word
        can become one token.
        """
        unlike = {"spaces thrown away, or chunks of their own": [(b"a", b"b")]}
        check.equal(
            kata.train_bpe(" ab ab", 300), [(b" ", b"a"), (b" a", b"b")], unlike=unlike
        )

    def test_a_tie_goes_to_the_smallest_pair(self, kata):
        """d, c comes first in the text, but b, a is smaller and occurs as often. max()
        over a dict takes the first pair seen, and another order of counting would make
        another tokenizer.
        """
        unlike = {"the first one seen": [(b"d", b"c"), (b"b", b"a")]}
        check.equal(
            kata.train_bpe("dc,dc,ba,ba", 300),
            [(b"b", b"a"), (b"d", b"c")],
            unlike=unlike,
        )

    def test_pairs_are_compared_as_tuples_of_bytes(self, kata):
        """(b"ab", b"c") comes before (b"b", b"z"), because b"ab" < b"b"; the ids would
        say the opposite. And (b"a", b"c") comes before (b"ab", b"a"): the left parts
        decide, not the joined bytes ac and aba.
        """
        by_ids = {"compared by ids": [(b"a", b"b"), (b"b", b"z"), (b"ab", b"c")]}
        expected = [(b"a", b"b"), (b"ab", b"c"), (b"b", b"z")]
        check.equal(
            kata.train_bpe("abc,abc,abc,bz,bz,bz", 259), expected, unlike=by_ids
        )
        joined = {
            "compared by the joined bytes": [(b"a", b"b"), (b"ab", b"a"), (b"a", b"c")]
        }
        expected = [(b"a", b"b"), (b"a", b"c"), (b"ab", b"a")]
        check.equal(
            kata.train_bpe("ac,ac,ac,aba,aba,aba", 259), expected, unlike=joined
        )

    def test_it_stops_at_the_size(self, kata):
        """vocab_size counts the 256 bytes: 258 leaves room for two merges, 256
        for none.
        """
        check.equal(
            kata.train_bpe("low low lower", 258),
            LOW[:2],
            unlike={"one merge too many": LOW},
            what="for 258",
        )
        check.equal(kata.train_bpe("low low lower", 256), [], what="for 256")

    def test_it_stops_when_nothing_repeats(self, kata):
        """A pair that occurs once is nothing to learn from, and a text of single
        letters has no pairs at all.
        """
        unlike = {"pairs merged that occur once": [(b"a", b"b"), (b"ab", b"ab")]}
        for text, expected in {"abab": [(b"a", b"b")], "abcdef": [], "a": []}.items():
            check.equal(
                kata.train_bpe(text, 300),
                expected,
                unlike=unlike,
                what=f"merges of {text!r}",
            )

    def test_sixty_merges_as_by_hand(self, kata):
        """On a page of prose, the 60 merges are those that counting everything anew
        finds, in the same order.
        """
        text = prose()[1000:2500]
        check.equal(kata.train_bpe(text, 316), trained_by_hand(text, 60))

    @given(text=st.text("aab1 é", min_size=1, max_size=16))
    def test_any_text_is_learned_as_by_hand(self, kata, text):
        """Short texts with ties, overlaps and é, which is two bytes. The merges are
        those that counting by hand finds.
        """
        check.equal(kata.train_bpe(text, 262), trained_by_hand(text, 6))

    @pytest.mark.edge
    def test_an_empty_text_teaches_nothing(self, kata):
        """There are no pairs, so there is no most frequent one."""
        check.equal(kata.train_bpe("", 300), [])

    @pytest.mark.edge
    @pytest.mark.parametrize("vocab_size", [255, 0])
    def test_there_is_no_room_below_the_bytes(self, kata, vocab_size):
        """With fewer than 256 tokens, some byte would have no token."""
        with check.raises(ValueError):
            kata.train_bpe("low low", vocab_size)


@st.composite
def repeated_words(draw):
    """A text of a few different words, each of which occurs several times."""
    words = draw(
        st.lists(st.text("aab", min_size=1, max_size=7), min_size=1, max_size=4)
    )
    return ",".join(draw(st.lists(st.sampled_from(words), max_size=12)))


def many_words_few_that_change():
    """300 rare words of small letters, and 15 frequent ones of capital letters, to
    which the first merges belong.
    """
    draw = random.Random(0)
    rare = ["".join(draw.choices("abcdef", k=6)) for _ in range(300)]
    frequent = [
        "".join(draw.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 6)) for _ in range(15)
    ]
    return ",".join(rare + frequent * 100)


class TooMany(BaseException):
    """More lines were run than a spec lets pass."""


def lines_run(kata, function, *args, limit=sys.maxsize):
    """Count the lines of the kata's file that a call runs: the same number on a fast
    machine and on a busy one.
    """
    count, names, before = 0, vars(kata), sys.gettrace()

    def trace(frame, event, _):
        nonlocal count
        if frame.f_globals is not names:
            return None
        count += event == "line"
        if count > limit:
            raise TooMany
        return trace

    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.stretch
class TestTrainBpeFast:
    def test_the_example_step_by_step(self, kata):
        """In "low low lower" the merges are those of `train_bpe`: l with o, lo with w,
        and the space with low.
        """
        check.equal(kata.train_bpe_fast("low low lower", 300), LOW)

    def test_every_occurrence_counts(self, kata):
        """x, y is in one chunk that occurs five times, p, q in three chunks that occur
        once. Multiply the counts of a chunk by how often the chunk occurs.
        """
        unlike = {"each different chunk counted once": [(b"p", b"q")]}
        check.equal(
            kata.train_bpe_fast("xy,xy,xy,xy,xy,pqa,pqb,pqc", 257),
            [(b"x", b"y")],
            unlike=unlike,
        )

    def test_a_pair_may_occur_several_times_in_a_word(self, kata):
        """aaaa holds a, a three times, which is more than two chunks with b, c. After
        the merge it holds aa, aa once, and no a, a any more: three are subtracted,
        not one.
        """
        unlike = {"a pair counted once per chunk": [(b"b", b"c")]}
        check.equal(
            kata.train_bpe_fast("aaaa,bc,bc", 300),
            [(b"a", b"a"), (b"b", b"c")],
            unlike=unlike,
        )

    def test_the_neighbours_change_too(self, kata):
        """Merging b, c in abc takes a, b away, and brings a, bc. If the old count of a,
        b stays, the next merge is of a pair that no chunk holds any more.
        """
        expected = [(b"b", b"c"), (b"a", b"bc"), (b"x", b"y")]
        unlike = {
            "old neighbours still counted": [(b"b", b"c"), (b"a", b"b"), (b"a", b"bc")]
        }
        check.equal(
            kata.train_bpe_fast("abc,abc,abc,bc,bc,xy,xy", 259), expected, unlike=unlike
        )

    def test_a_tie_goes_to_the_smallest_pair(self, kata):
        """The rule holds for new pairs as well: a, bc appears after d, e with the same
        count, and is smaller.
        """
        expected = [(b"b", b"c"), (b"a", b"bc"), (b"d", b"e")]
        unlike = {"the first one seen": [(b"b", b"c"), (b"d", b"e"), (b"a", b"bc")]}
        check.equal(
            kata.train_bpe_fast("abc,abc,bc,de,de", 300), expected, unlike=unlike
        )

    def test_sixty_merges_as_by_hand(self, kata):
        """On a page of prose, the 60 merges are those that counting everything anew
        finds, in the same order.
        """
        text = prose()[1000:2500]
        check.equal(kata.train_bpe_fast(text, 316), trained_by_hand(text, 60))

    @given(text=repeated_words())
    def test_any_text_is_learned_as_by_hand(self, kata, text):
        """Words with runs of the same letter, where pairs overlap, and with ties. The
        merges are those that counting everything anew finds.
        """
        check.equal(kata.train_bpe_fast(text, 264), trained_by_hand(text, 8))

    def test_only_chunks_that_hold_the_pair_are_counted_again(self, kata):
        """All merges here change 15 of 315 chunks, which is little work beside the
        first count. Whoever counts all chunks anew runs 9 times as many lines of code
        for 45 merges as for 5.
        """
        text = many_words_few_that_change()
        few = lines_run(kata, kata.train_bpe_fast, text, 261)
        try:
            lines_run(kata, kata.train_bpe_fast, text, 301, limit=4 * few)
        except TooMany:
            check.that(
                False,
                f"5 merges run {few} lines of code, and 45 merges more than four "
                "times as many",
            )
        check.that(few > 0, "no line of code was run")

    @pytest.mark.edge
    def test_an_empty_text_teaches_nothing(self, kata):
        """There are no pairs, so there is no most frequent one."""
        check.equal(kata.train_bpe_fast("", 300), [])

    @pytest.mark.edge
    @pytest.mark.parametrize("vocab_size", [255, 0])
    def test_there_is_no_room_below_the_bytes(self, kata, vocab_size):
        """With fewer than 256 tokens, some byte would have no token."""
        with check.raises(ValueError):
            kata.train_bpe_fast("low low", vocab_size)


class TestBPETokenizerInit:
    def test_without_merges_the_vocabulary_is_the_bytes(self, kata):
        """Byte b has the id b."""
        tokenizer = kata.BPETokenizer([])
        check.equal(
            entries(tokenizer.vocab, [bytes([b]) for b in range(256)]),
            {bytes([b]): b for b in range(256)},
        )
        check.equal(tokenizer.vocab_size, 256, what="vocab_size")
        check.equal(tokenizer.special_tokens, {}, what="special_tokens")

    def test_merges_get_the_next_ids(self, kata):
        """lo is 256, low 257 and " low" 258, in the order of the merges."""
        tokenizer = kata.BPETokenizer(LOW)
        expected = {b"lo": 256, b"low": 257, b" low": 258}
        check.equal(entries(tokenizer.vocab, expected), expected, what="vocab")
        check.equal(list(tokenizer.merges), LOW, what="merges")
        check.equal(
            tokenizer.vocab_size,
            259,
            unlike={"the number of merges": 3},
            what="vocab_size",
        )

    def test_special_tokens_are_kept_apart(self, kata):
        """Special tokens have an attribute of their own and are not in vocab;
        vocab_size counts both. Their ids need not follow the others.
        """
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 1000, "<|user|>": 259})
        check.equal(
            tokenizer.special_tokens,
            {END: 1000, "<|user|>": 259},
            what="special_tokens",
        )
        check.equal(len(tokenizer.vocab), 259, what="number of entries in vocab")
        unlike = {"without special tokens": 259, "the highest id + 1": 1001}
        check.equal(tokenizer.vocab_size, 261, unlike=unlike, what="vocab_size")

    def test_a_vocab_gives_its_own_ids(self, kata):
        """With `vocab` all ids come from there, also those of single bytes."""
        tokenizer = kata.BPETokenizer(LOW, OWN_IDS)
        check.equal(tokenizer.vocab, OWN_IDS, what="vocab")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")

    @pytest.mark.edge
    def test_equal_results_share_an_id(self, kata):
        """ab + c and a + bc are the same bytes: one token, one id. The next new token
        gets the next id.
        """
        tokenizer = kata.BPETokenizer(SAME_BYTES)
        unlike = {
            "an id left out": {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 260},
            "an id for each merge": {b"ab": 256, b"bc": 257, b"abc": 259, b"abcd": 260},
        }
        expected = {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 259}
        check.equal(entries(tokenizer.vocab, expected), expected, unlike=unlike)
        check.equal(tokenizer.vocab_size, 260, what="vocab_size")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        "special", [{END: 108}, {END: 258}, {END: 259, "<|user|>": 259}], ids=str
    )
    def test_a_special_id_must_be_free(self, kata, special):
        """A special token needs an id that no byte, no merge and no other special
        token has.
        """
        with check.raises(ValueError):
            kata.BPETokenizer(LOW, special_tokens=special)

    @pytest.mark.edge
    def test_the_arguments_stay_as_they_are(self, kata):
        """Lists and dicts belong to the caller."""
        merges, vocab, special = list(LOW), dict(OWN_IDS), {END: 1000}
        tokenizer = kata.BPETokenizer(merges, vocab, special)
        tokenizer.decode(tokenizer.encode(f"low{END}", allow_special=True))
        check.equal(
            [merges, vocab, special],
            [LOW, OWN_IDS, {END: 1000}],
            what="merges, vocab and special_tokens",
        )


@st.composite
def learned_and_new(draw):
    """Merges learned from one short text, and the bytes of another."""
    return trained_by_hand(draw(SHORT_WORDS), 6), draw(SHORT_WORDS).encode()


class TestBPETokenizerEncodeBytes:
    def test_a_pair_is_merged_at_every_place(self, kata):
        """One merge is not the end: go on while there is a known pair."""
        got = kata.BPETokenizer(LOW).encode_bytes(b"lowlylow lo")
        unlike = {
            "nothing merged": list(b"lowlylow lo"),
            "only the first rule": [256, 119, 108, 121, 256, 119, 32, 256],
        }
        check.equal(
            got, [257, 108, 121, 257, 32, 256], unlike=unlike, what="ids of lowlylow lo"
        )

    def test_the_lowest_rank_goes_first(self, kata):
        """b, c was learned first, so abc becomes a, bc. That is all, because a, bc is
        not a known pair. Merging from the left, or looking for the longest token, gives
        abc, a token that training never made there.
        """
        # bc 256, ab 257, abc 258
        tokenizer = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])
        unlike = {
            "the leftmost pair, the highest rank or the longest token first": [258]
        }
        check.equal(
            tokenizer.encode_bytes(b"abc"), [97, 256], unlike=unlike, what="ids of abc"
        )
        check.equal(
            tokenizer.encode_bytes(b"bc"),
            [256],
            what="ids of bc, all of which is one token",
        )

    def test_of_equal_pairs_the_leftmost_goes_first(self, kata):
        """In aaa the first two are merged: aa, a."""
        got = kata.BPETokenizer([(b"a", b"a")]).encode_bytes(b"aaaba")
        check.equal(
            got,
            [256, 97, 98, 97],
            unlike={"merged from the right": [97, 256, 98, 97]},
            what="ids of aaaba",
        )

    def test_rank_is_the_place_in_the_list(self, kata):
        """The order of the pairs does not depend on ids: ab has a lower id than bc
        here, but was learned later.
        """
        vocab = {bytes([byte]): byte + 10 for byte in range(256)} | {b"ab": 0, b"bc": 1}
        got = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b")], vocab).encode_bytes(
            b"abc"
        )
        check.equal(
            got, [107, 1], unlike={"the lowest id first": [0, 109]}, what="ids of abc"
        )

    @given(case=learned_and_new())
    def test_any_bytes_are_merged_as_by_hand(self, kata, case):
        """With merges learned from one text, the tokens of another are those that
        merging by hand makes.
        """
        merges, data = case
        tokenizer = kata.BPETokenizer(merges)
        expected = encoded_by_hand([bytes([byte]) for byte in data], merges)
        ids = tokenizer.vocab
        check.equal(tokenizer.encode_bytes(data), [ids[token] for token in expected])

    @pytest.mark.edge
    def test_a_pair_listed_twice_has_its_first_rank(self, kata):
        """The first place of a pair in the list is its rank."""
        got = kata.BPETokenizer(
            [(b"b", b"c"), (b"a", b"b"), (b"b", b"c")]
        ).encode_bytes(b"abc")
        check.equal(
            got,
            [97, 256],
            unlike={"the last index counts": [257, 99]},
            what="ids of abc",
        )

    @pytest.mark.edge
    def test_no_bytes_have_no_ids(self, kata):
        """Nothing becomes nothing."""
        check.equal(kata.BPETokenizer(LOW).encode_bytes(b""), [])


class TestBPETokenizerEncode:
    def test_a_text_is_its_utf8_bytes(self, kata):
        """UTF-8 turns any text into bytes. é is two of them."""
        unlike = {"code points": [72, 233, 33]}
        check.equal(
            kata.BPETokenizer([]).encode("Hé!"),
            [72, 195, 169, 33],
            unlike=unlike,
            what='ids of "Hé!"',
        )

    def test_text_is_cut_into_chunks_first(self, kata):
        """`encode` merges inside the chunks of SPLIT_PATTERN, as in training; a and 1
        are in different chunks. Only `encode_bytes` takes all that it is given as
        one chunk.
        """
        got = kata.BPETokenizer([(b"a", b"1"), (b" ", b"a")]).encode("a1 a1")
        unlike = {
            "not cut": [256, 32, 256],
            "cut at blanks, which are lost": [97, 49, 97, 49],
        }
        check.equal(got, [97, 49, 257, 49], unlike=unlike, what='ids of "a1 a1"')

    def test_prose_is_encoded_as_by_hand(self, kata):
        """With 60 merges from one page of prose, the tokens of another page are those
        that merging by hand makes.
        """
        merges, other = trained_by_hand(prose()[1000:2500], 60), prose()[40_000:41_500]
        tokenizer = kata.BPETokenizer(merges)
        expected = [
            token
            for chunk in chunks_of(other)
            for token in encoded_by_hand(chunk, merges)
        ]
        ids = tokenizer.vocab
        check.equal(tokenizer.encode(other), [ids[token] for token in expected])

    def test_special_text_is_plain_text_by_default(self, kata):
        """A user who types <|endoftext|> must not end the document. Without
        `allow_special` the string is encoded like any other.
        """
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        unlike = {"always read as special": [257, 259, 257]}
        check.equal(
            tokenizer.encode(f"low{END}low"), [257, *END.encode(), 257], unlike=unlike
        )

    def test_special_text_becomes_its_id_on_request(self, kata):
        """With `allow_special` the string is one id, and the text around it is encoded
        as usual. `|` has a meaning of its own in regular expressions.
        """
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        got = tokenizer.encode(f"low{END} low!", allow_special=True)
        unlike = {
            "read as plain text": [257, *END.encode(), 258, 33],
            "cut out and dropped": [257, 258, 33],
        }
        check.equal(got, [257, 259, 258, 33], unlike=unlike)

    @pytest.mark.edge
    @given(texts=st.lists(st.text(" ab\né", max_size=4), min_size=1, max_size=4))
    def test_text_around_special_strings_stands_alone(self, kata, texts):
        """Each text is encoded as if it were alone, also if it is empty: at both ends,
        or between two special strings in a row.
        """
        tokenizer = kata.BPETokenizer(SPACED, special_tokens={END: 999})
        expected = [i for text in texts for i in [999, *tokenizer.encode(text)]][1:]
        check.equal(tokenizer.encode(END.join(texts), allow_special=True), expected)

    @pytest.mark.edge
    @pytest.mark.parametrize("order", [1, -1])
    def test_the_longer_special_string_wins(self, kata, order):
        """Where <|a|> and <|a|><|b|> both match, the longer one counts, whichever comes
        first in the dict.
        """
        special = [("<|a|>", 300), ("<|a|><|b|>", 301), ("<|b|>", 302)][::order]
        tokenizer = kata.BPETokenizer([], special_tokens=dict(special))
        got = tokenizer.encode("<|a|><|b|><|a|>x<|b|>", allow_special=True)
        check.equal(
            got,
            [301, 300, 120, 302],
            unlike={"the shorter ones": [300, 302, 300, 120, 302]},
        )

    @pytest.mark.edge
    @pytest.mark.parametrize("text", ["low low", END, ""])
    def test_without_special_tokens_none_are_found(self, kata, text):
        """Then `allow_special` changes nothing. A pattern made of no strings matches
        everywhere, and would cut the text into characters.
        """
        tokenizer = kata.BPETokenizer(LOW)
        check.equal(tokenizer.encode(text, allow_special=True), tokenizer.encode(text))

    @pytest.mark.edge
    def test_an_empty_text_has_no_ids(self, kata):
        """Nothing becomes nothing, with special tokens and without."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        check.equal(
            [tokenizer.encode(""), tokenizer.encode("", allow_special=True)], [[], []]
        )


class TestBPETokenizerDecodeBytes:
    def test_each_id_stands_for_its_bytes(self, kata):
        """257 is low, 258 is low with a space before it, 33 the sign !."""
        check.equal(kata.BPETokenizer(LOW).decode_bytes([257, 258, 33]), b"low low!")

    def test_ids_of_a_given_vocab(self, kata):
        """With a vocab of its own, a byte's id is not its value: 267 is the sign
        ! here.
        """
        check.equal(
            kata.BPETokenizer(LOW, OWN_IDS).decode_bytes([301, 3, 267]), b"low low!"
        )

    def test_special_ids_give_the_bytes_of_their_string(self, kata):
        """Special strings are written in UTF-8, like all text."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={"<|ende ∎|>": 1000})
        check.equal(tokenizer.decode_bytes([257, 1000]), b"low" + "<|ende ∎|>".encode())

    @given(data=st.binary(max_size=12))
    def test_any_bytes_come_back(self, kata, data):
        """`decode_bytes` undoes `encode_bytes`. Random bytes are rarely valid UTF-8,
        and need not be.
        """
        tokenizer = kata.BPETokenizer(SPACED)
        check.equal(tokenizer.decode_bytes(tokenizer.encode_bytes(data)), data)

    @pytest.mark.edge
    @pytest.mark.parametrize("kind", [torch.tensor, iter])
    def test_ids_may_be_a_tensor(self, kata, kind):
        """Sampled ids are a tensor. Its elements are tensors, too, and a dict with int
        keys does not find them.
        """
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        check.equal(tokenizer.decode_bytes(kind([257, 33, 259])), f"low!{END}".encode())

    @pytest.mark.edge
    def test_no_ids_have_no_bytes(self, kata):
        """Nothing becomes nothing."""
        check.equal(kata.BPETokenizer(LOW).decode_bytes([]), b"")

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [259, 999, 1001, -1])
    def test_an_unknown_id_is_refused(self, kata, i):
        """No token has these ids: the first after the merges, two next to a special
        token, and a negative one.
        """
        with check.raises(ValueError):
            kata.BPETokenizer(LOW, special_tokens={END: 1000}).decode_bytes([257, i])


class TestBPETokenizerDecode:
    def test_ids_go_back_to_text(self, kata):
        """A special id gives its string, so the text shows where a document ends."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        check.equal(tokenizer.decode([257, 258, 33, 259]), f"low low!{END}")

    def test_bytes_are_joined_before_they_are_decoded(self, kata):
        """é is the bytes 195 and 169. Neither of them is text by itself, but together
        they are.
        """
        got = kata.BPETokenizer([]).decode([195, 169, 33])
        check.equal(
            got,
            "é!",
            unlike={"decoded token by token": "\ufffd\ufffd!", "code points": "Ã©!"},
        )

    @given(text=ANY_TEXT)
    def test_any_text_comes_back(self, kata, text):
        """`decode` undoes `encode`, runs of spaces, newlines, accents and
        emoji included.
        """
        tokenizer = kata.BPETokenizer(SPACED)
        check.equal(tokenizer.decode(tokenizer.encode(text)), text)

    def test_bytes_that_are_no_text(self, kata):
        """A model may stop in the middle of a character. By default `decode` puts "�"
        there. `errors` asks for something else, as in `bytes.decode`.
        """
        tokenizer = kata.BPETokenizer([])
        check.equal(
            tokenizer.decode([72, 195]), "H\ufffd", what="text of the ids 72 and 195"
        )
        check.equal(
            tokenizer.decode([72, 195], errors="ignore"),
            "H",
            what='text with errors="ignore"',
        )
        with check.raises(UnicodeDecodeError):
            tokenizer.decode([72, 195], errors="strict")

    @pytest.mark.edge
    @pytest.mark.parametrize("kind", [torch.tensor, iter])
    def test_ids_may_be_a_tensor(self, kata, kind):
        """Sampled ids are a tensor."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        check.equal(tokenizer.decode(kind([257, 33, 259])), f"low!{END}")

    @pytest.mark.edge
    def test_no_ids_are_an_empty_text(self, kata):
        """Nothing becomes nothing."""
        check.equal(kata.BPETokenizer(LOW).decode([]), "")

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [259, -1])
    def test_an_unknown_id_is_refused(self, kata, i):
        """An id that no token has is a bug elsewhere, not a "�"."""
        with check.raises(ValueError):
            kata.BPETokenizer(LOW).decode([257, i])


@pytest.mark.stretch
class TestSaveGpt2Files:
    def test_encoder_json_holds_all_tokens(self, kata, tmp_path):
        """A JSON object from token to id, for all bytes and merges. GPT-2 spells " low"
        as Ġlow.
        """
        got, _ = saved_files(kata, tmp_path, kata.BPETokenizer(LOW))
        check.that(" low" not in got, '" low" has a raw space: it is spelled "Ġlow"')
        expected = {spelled(bytes([byte])): byte for byte in range(256)} | {
            "lo": 256,
            "low": 257,
            "Ġlow": 258,
        }
        check.equal(entries(got, expected), expected, what="encoder.json")
        check.equal(len(got), 259, what="number of entries in encoder.json")

    def test_vocab_bpe_holds_the_merges(self, kata, tmp_path):
        """A header, then one merge per line, by rank. The two parts have a space
        between them, which is why a space inside a token needs another spelling.
        """
        _, lines = saved_files(kata, tmp_path, kata.BPETokenizer(LOW))
        unlike = {
            "raw spaces": ["#version: 0.2", "l o", "lo w", "  low"],
            "no header": ["l o", "lo w", "Ġ low"],
        }
        check.equal(
            lines,
            ["#version: 0.2", "l o", "lo w", "Ġ low"],
            unlike=unlike,
            what="lines of vocab.bpe",
        )

    def test_bytes_that_are_no_text_are_spelled_too(self, kata, tmp_path):
        """Half an emoji, a newline, a zero: each byte of a token is spelled
        by itself.
        """
        merges = [
            (b"\xf0", b"\x9f"),
            (b"\n", b"\n"),
            (b"\x00", b"#"),
            (b"\xc2", b"\xad"),
        ]
        got, lines = saved_files(kata, tmp_path, kata.BPETokenizer(merges))
        check.equal(lines[1:], ["ð Ł", "Ċ Ċ", "Ā #", "Â Ń"], what="merges in vocab.bpe")
        expected = {"ðŁ": 256, "ĊĊ": 257, "Ā#": 258, "ÂŃ": 259}
        check.equal(entries(got, expected), expected, what="encoder.json")

    def test_ids_are_those_of_the_tokenizer(self, kata, tmp_path):
        """With a vocab of its own, a byte's id is not its value."""
        got, _ = saved_files(kata, tmp_path, kata.BPETokenizer(LOW, OWN_IDS))
        expected = {spelled(token): i for token, i in OWN_IDS.items()}
        check.equal(entries(got, expected), expected, what="encoder.json")

    def test_special_tokens_keep_their_own_string(self, kata, tmp_path):
        """A special token is written as it is, not spelled byte by byte, and it is not
        a merge.
        """
        special = {END: 256, "<|the end ∎|>": 300}
        got, lines = saved_files(
            kata, tmp_path, kata.BPETokenizer([], special_tokens=special)
        )
        check.equal(entries(got, special), special, what="encoder.json")
        check.equal(lines, ["#version: 0.2"], what="lines of vocab.bpe")

    @pytest.mark.edge
    def test_the_tokenizer_stays_as_it_is(self, kata, tmp_path):
        """Saving changes nothing."""
        tokenizer = kata.BPETokenizer(LOW, OWN_IDS, {END: 1000})
        saved_files(kata, tmp_path, tokenizer)
        got = [list(tokenizer.merges), tokenizer.vocab, tokenizer.special_tokens]
        check.equal(
            got,
            [LOW, OWN_IDS, {END: 1000}],
            what="merges, vocab and special_tokens after saving",
        )


@st.composite
def learned_with_special(draw):
    """Merges learned from a short text, and the special tokens that go with them."""
    merges = trained_by_hand(draw(st.text("aab #é\n", max_size=16)), 6)
    names = draw(st.lists(st.sampled_from([END, "<|the end ∎|>", "low"]), unique=True))
    return merges, {name: 700 + i for i, name in enumerate(names)}


@pytest.mark.stretch
class TestLoadGpt2Files:
    def test_merges_are_read_in_order(self, kata, tmp_path):
        """The header is not a merge. Every later line is one, starting with rank 0."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW))
        is_one = isinstance(tokenizer, kata.BPETokenizer)
        check.that(is_one, f"expected a BPETokenizer, got {check.describe(tokenizer)}")
        check.equal(list(tokenizer.merges), LOW, what="merges")

    def test_ids_come_from_the_file(self, kata, tmp_path):
        """GPT-2 numbers the bytes that print first: "!" is 0, and a space 220. The 260
        entries here are in its order: 256 bytes, three merges and <|endoftext|>.
        """
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, [END]))
        unlike = {"the byte's value as its id": [33, 258, 10]}
        check.equal(
            tokenizer.encode("! low\n"),
            [0, 258, 198],
            unlike=unlike,
            what='ids of "! low\\n"',
        )
        check.equal(
            tokenizer.decode([0, 258, 220]),
            "! low ",
            what="text of the ids 0, 258 and 220",
        )

    def test_other_entries_are_special_tokens(self, kata, tmp_path):
        """An entry that is neither a byte nor the result of a merge is special, even if
        it looks like a spelled token.
        """
        special = {END: 259, "lowest": 260, "<|the end ∎|>": 261}
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, special))
        unlike = {"no special tokens": dict.fromkeys(special)}
        check.equal(
            tokenizer.special_tokens, special, unlike=unlike, what="special_tokens"
        )

    def test_a_number_sign_is_no_comment(self, kata, tmp_path):
        """Only the first line is a header. "# #" further down is a merge: Markdown and
        Python are full of it.
        """
        merges = [(b"#", b"#"), (b"##", b"##"), (b" ", b"#"), (b"#", b"!")]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, merges))
        check.equal(
            list(tokenizer.merges),
            merges,
            unlike={"lines with # dropped": [(b" ", b"#")]},
            what="merges",
        )

    @settings(max_examples=6)  # a table built anew for every byte is slow, but right
    @given(case=learned_with_special())
    def test_saved_and_loaded_it_is_the_same(self, kata, tmp_path, case):
        """Same merges, same ids, same special tokens: `load_gpt2_files` undoes
        `save_gpt2_files`.
        """
        merges, special = case
        saved = kata.BPETokenizer(merges, special_tokens=special)
        kata.save_gpt2_files(saved, tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        loaded = kata.load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        for name in ("merges", "special_tokens", "vocab"):
            check.equal(getattr(loaded, name), getattr(saved, name), what=name)

    @pytest.mark.edge
    def test_the_last_line_may_lack_its_newline(self, kata, tmp_path):
        """The last line is still a merge."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, end=""))
        check.equal(list(tokenizer.merges), LOW, what="merges")

    @pytest.mark.edge
    def test_two_merges_may_give_the_same_bytes(self, kata, tmp_path):
        """Such a token has one entry in encoder.json, which both merges share."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, SAME_BYTES))
        check.equal(list(tokenizer.merges), SAME_BYTES, what="merges")
        check.equal(tokenizer.encode("abcd"), [259], what='ids of "abcd"')

    @pytest.mark.edge
    @pytest.mark.parametrize("missing", ["!", "Ġ", "Ń", "lo", "Ġlow"])
    def test_a_missing_id_is_refused(self, kata, tmp_path, missing):
        """Without an id for a byte, some text could not be encoded. Without one for a
        merge's result, a pair would become a token that has no id.
        """
        paths = write_files(tmp_path, LOW, without=[missing])
        with check.raises(ValueError):
            kata.load_gpt2_files(*paths)


@pytest.mark.stretch
class TestBytesPerToken:
    def test_bytes_of_the_text_over_tokens(self, kata):
        """With the merges for low, the eight bytes of "low low!" are three tokens."""
        got = kata.bytes_per_token(kata.BPETokenizer(LOW), "low low!")
        check.close(got, 8 / 3, unlike={"tokens per byte": 3 / 8})

    def test_utf8_bytes_count(self, kata):
        """é is one character and two bytes, 🙂 is four. With one token per character,
        "é🙂" has six bytes in two.
        """
        got = kata.bytes_per_token(kata.CharTokenizer("é🙂"), "é🙂")
        check.close(
            got, 3.0, unlike={"characters counted": 1.0, "bytes of UTF-16": 4.0}
        )

    def test_a_token_may_hold_a_part_of_a_character(self, kata):
        """Without merges each of the six bytes of "é🙂" is a token. Count the bytes of
        the text: such a token alone decodes to U+FFFD, which has three bytes."""
        got = kata.bytes_per_token(kata.BPETokenizer([]), "é🙂")
        check.close(got, 1.0, unlike={"bytes of what each token decodes to": 3.0})

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """Zero bytes divided by zero tokens measure nothing."""
        with check.raises(ValueError):
            kata.bytes_per_token(kata.CharTokenizer("a"), "")
