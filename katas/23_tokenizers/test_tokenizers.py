"""Specs of 23 · Tokenizers."""

import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from grader.specs import check

# The stub's constant once more, so that an edit there does not move what is expected here.
SPLIT_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
END = "<|endoftext|>"
LOW = [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low")]  # lo 256, low 257, " low" 258
SPACED = [(b" ", b" "), (b"  ", b"  "), (b"\n", b"\n"), (b"\xc3", b"\xa9"), (b"\xf0", b"\x9f"), (b" ", b"\xc3\xa9")]
SINGLE = {bytes([byte]): byte for byte in range(256)}

texts = st.text("ab  1'_\n\té\xad東🙂", max_size=12)


class TestCharTokenizer:
    def test_the_vocabulary_is_sorted_and_distinct(self, kata):
        """Each different character once, in Python's order: blanks, capitals, small letters. A set has no order of
        its own, and gives other ids in the next run: a model saved today would read nonsense tomorrow."""
        text, expected = "To be, or not To be\n", ["\n", " ", ",", "T", "b", "e", "n", "o", "r", "t"]
        tokenizer = kata.CharTokenizer(text)
        appearing = {c: i for i, c in enumerate(dict.fromkeys(text))}
        unlike = {"numbered as they appear in the text": appearing}
        check.equal(dict(tokenizer.stoi), {c: i for i, c in enumerate(expected)}, unlike=unlike, what="stoi")
        check.equal([tokenizer.itos[i] for i in range(10)], expected, what="itos of 0 to 9")
        check.equal(tokenizer.vocab_size, 10, unlike={"the length of the text": 20}, what="vocab_size")

    def test_each_character_becomes_its_id(self, kata):
        """The vocabulary of "hello" is e, h, l, o, so its ids are [1, 0, 2, 2, 3]."""
        check.equal(kata.CharTokenizer("hello").encode("hello"), [1, 0, 2, 2, 3], what='ids of "hello"')

    def test_each_id_becomes_its_character(self, kata):
        """Id 0 is e, 1 is h."""
        check.equal(kata.CharTokenizer("hello").decode([1, 0, 0]), "hee", what="text of the ids 1, 0 and 0")

    @given(text=texts.filter(bool))
    def test_decode_undoes_encode(self, kata, text):
        """The ids of a text give the text again, with its blanks and newlines."""
        tokenizer = kata.CharTokenizer(text)
        check.equal(tokenizer.decode(tokenizer.encode(text)), text, what=f"{text!r} after encode and decode")

    @pytest.mark.edge
    def test_ids_may_be_a_tensor(self, kata):
        """A model answers with tensors. A loop over one gives tensors of one element, which are no keys of a dict of
        ints. Any other iterable of ids works as well."""
        tokenizer = kata.CharTokenizer("hello")
        hello = [1, 0, 2, 2, 3]
        for ids in (torch.tensor(hello), torch.tensor(hello, dtype=torch.int32), tuple(hello), iter(hello)):
            check.equal(tokenizer.decode(ids), "hello", what=f"text of the ids in {check.describe(ids)}")

    @pytest.mark.edge
    def test_nothing_becomes_nothing(self, kata):
        """An empty text has no ids, and no ids are an empty text."""
        check.equal(kata.CharTokenizer("hello").encode(""), [], what='ids of ""')
        check.equal(kata.CharTokenizer("hello").decode([]), "", what="text of no ids")

    @pytest.mark.edge
    def test_an_unknown_character_is_named(self, kata):
        """Dropped silently it would be missed far too late, and a KeyError does not say where in a long text it is.
        The message holds the character and its position."""
        with check.raises(ValueError, "%", 13):
            kata.CharTokenizer("abc").encode("abcabcabcabca%bc")

    @pytest.mark.edge
    @pytest.mark.parametrize("ids", [[0, 4], [977], [0, -1]], ids=str)
    def test_an_unknown_id_is_refused(self, kata, ids):
        """Ids go from 0 to vocab_size − 1. In a list the index −1 is the last entry, so a negative id would go through
        as a character."""
        with check.raises(ValueError):
            kata.CharTokenizer("hello").decode(ids)

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """A vocabulary of nothing can encode nothing."""
        with check.raises(ValueError):
            kata.CharTokenizer("")


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


@pytest.mark.stretch
class TestBytesToUnicode:
    def test_printable_bytes_keep_their_character(self, kata):
        """Most of a token in GPT-2's files is readable: letters, digits and signs are spelled as themselves, at the
        ends of all three ranges, too."""
        table = kata.bytes_to_unicode()
        as_they_are = {byte: chr(byte) for byte in (33, 65, 126, 161, 172, 174, 233, 255)}
        check.equal({byte: table.get(byte) for byte in as_they_are}, as_they_are, what="spelling of printable bytes ")

    def test_the_others_move_up_as_in_gpt2(self, kata):
        """A space is Ġ and a newline Ċ. Bytes 127, 160 and 173 (delete, the no-break space and the soft hyphen)
        print nothing either, so they move, too."""
        table = kata.bytes_to_unicode()
        moved = {0: "Ā", 10: "Ċ", 32: "Ġ", 127: "ġ", 160: "ł", 173: "Ń"}
        shifted = {"256 added to each": {byte: chr(256 + byte) for byte in moved}}
        got = {byte: table.get(byte) for byte in moved}
        check.equal(got, moved, unlike=shifted, what="spelling of bytes that do not print ")

    def test_every_byte_is_spelled_as_in_gpt2(self, kata):
        """Two bytes with one spelling could not be told apart in a file. The whole table: bytes that print stay, the
        other 68 count up from chr(256), in rising order."""
        check.equal(dict(kata.bytes_to_unicode()), SPELLING, what="the table ")


class TestCountPairs:
    def test_neighbours_are_counted(self, kata):
        """[7, 2, 5, 7, 2] holds (7, 2) twice, (2, 5) and (5, 7) once. (2, 7) is another pair, and does not occur."""
        unlike = {"pairs without an order": {(2, 7): 2, (2, 5): 1, (5, 7): 1}}
        check.equal(kata.count_pairs([7, 2, 5, 7, 2]), {(7, 2): 2, (2, 5): 1, (5, 7): 1}, unlike=unlike)

    def test_overlapping_pairs_all_count(self, kata):
        """[1, 1, 1] holds (1, 1) twice: the one in the middle has two neighbours."""
        check.equal(kata.count_pairs([1, 1, 1]), {(1, 1): 2}, unlike={"overlaps skipped": {(1, 1): 1}})

    def test_bytes_are_tokens_too(self, kata):
        """A token is one entry of the list, so b"ab", b"c" and b"a", b"bc" are two different pairs."""
        tokens = [b"ab", b"c", b"a", b"bc", b"ab", b"c"]
        expected = {(b"ab", b"c"): 2, (b"c", b"a"): 1, (b"a", b"bc"): 1, (b"bc", b"ab"): 1}
        check.equal(kata.count_pairs(tokens), expected)

    @pytest.mark.edge
    @pytest.mark.parametrize("tokens", [[], [5], ()], ids=str)
    def test_one_token_has_no_neighbour(self, kata, tokens):
        """No pair is no error."""
        check.equal(dict(kata.count_pairs(tokens)), {}, what=f"pairs of {tokens}")

    @pytest.mark.edge
    def test_the_tokens_stay_as_they_are(self, kata):
        """Counting only reads, from a tuple as well as from a list."""
        tokens = [3, 1, 3, 1]
        check.equal(kata.count_pairs(tuple(tokens)), {(3, 1): 2, (1, 3): 1}, what="pairs of a tuple")
        kata.count_pairs(tokens)
        check.equal(tokens, [3, 1, 3, 1], what="tokens after the call")


class TestMergePair:
    def test_the_pair_becomes_one_token_everywhere(self, kata):
        """Each 1 followed by a 2 becomes one 9. All other tokens stay, the first and the last among them."""
        unlike = {
            "only the first place merged": [5, 9, 2, 1, 1, 2, 4],
            "the last token lost": [5, 9, 2, 1, 9],
            "(2, 1) merged as well": [5, 9, 9, 9, 4],
        }
        check.equal(kata.merge_pair([5, 1, 2, 2, 1, 1, 2, 4], (1, 2), 9), [5, 9, 2, 1, 9, 4], unlike=unlike)

    def test_a_token_is_used_once(self, kata):
        """Of [1, 1, 1] the first two are taken; what is left is a single 1. The count of 2 that `count_pairs` gives
        does not mean that two merges are possible."""
        unlike = {"merged from the right": [1, 9], "overlapping": [9, 9]}
        check.equal(kata.merge_pair([1, 1, 1], (1, 1), 9), [9, 1], unlike=unlike)

    def test_bytes_are_compared_token_by_token(self, kata):
        """b"a", b"bc" spells the same as b"ab", b"c", but is not that pair."""
        tokens, unlike = [b"a", b"bc", b"ab", b"c"], {"the joined bytes compared": [b"abc", b"abc"]}
        check.equal(kata.merge_pair(tokens, (b"ab", b"c"), b"abc"), [b"a", b"bc", b"abc"], unlike=unlike)

    @given(tokens=st.text("ab", max_size=8), pair=st.sampled_from(["ab", "aa"]))
    def test_works_like_replace(self, kata, tokens, pair):
        """With single letters as tokens it is `str.replace`: "aab" with (a, a) → Z is "Zb"."""
        got = kata.merge_pair(list(tokens), tuple(pair), "Z")
        check.equal(got, list(tokens.replace(pair, "Z")), what=f"{list(tokens)} with {tuple(pair)} merged")

    @pytest.mark.edge
    def test_what_was_merged_is_not_merged_again(self, kata):
        """A pair consists of tokens that were there before. The new one, even if it equals half of the pair, waits for
        another call."""
        check.equal(kata.merge_pair([1, 2, 2, 2], (1, 2), 1), [1, 2, 2], unlike={"merged again": [1]})

    @pytest.mark.edge
    @pytest.mark.parametrize("tokens", [[5, 1, 2, 5], [5, 5, 5]], ids=["with the pair", "without it"])
    def test_the_list_given_stays_as_it_is(self, kata, tokens):
        """The caller may still need the old tokens: the result is a list of its own, also where nothing was merged."""
        before = list(tokens)
        got = kata.merge_pair(tokens, (1, 2), 9)
        check.equal(tokens, before, what="tokens after the call")
        check.that(got is not tokens, "the result is the list that was passed in, not a new one")


def chunks_of(text):
    return [[bytes([byte]) for byte in chunk.encode()] for chunk in re.findall(SPLIT_PATTERN, text)]


def merged_everywhere(chunk, left, right):
    """The chunk with left + right in place of left, right, found from the left."""
    out = []
    for token in chunk:
        if out[-1:] == [left] and token == right:
            out[-1] = left + right  # longer than left, so never taken for it
        else:
            out.append(token)
    return out


def trained_by_hand(text, steps):
    """Merges learned by counting everything anew in every step, one chunk of the text after the other."""
    chunks, merges = chunks_of(text), []
    for _ in range(steps):
        pairs = [chunk[i : i + 2] for chunk in chunks for i in range(len(chunk) - 1)]
        counts = Counter(map(tuple, pairs))
        most = max(counts.values(), default=0)
        if most < 2:
            break
        merges.append(sorted(pair for pair in counts if counts[pair] == most)[0])
        chunks = [merged_everywhere(chunk, *merges[-1]) for chunk in chunks]
    return merges


class TestTrainBpe:
    def test_the_example_step_by_step(self, kata):
        """In "low low lower", l, o and o, w occur three times each, and the smaller pair is merged first. Then lo, w
        occurs three times; then the space with low, twice."""
        once = {"pairs merged that occur once": [*LOW, (b" low", b"e"), (b" lowe", b"r")]}
        check.equal(kata.train_bpe("low low lower", 300), LOW, unlike=once, what="merges")

    def test_every_occurrence_counts(self, kata):
        """x, y is in one chunk that occurs five times, p, q in three chunks that occur once: five is more. Counting
        each different chunk once would find p, q first."""
        unlike = {"each different chunk counted once": [(b"p", b"q")], "the rarest pair": [(b"q", b"a")]}
        got = kata.train_bpe("xy,xy,xy,xy,xy,pqa,pqb,pqc", 257)
        check.equal(got, [(b"x", b"y")], unlike=unlike, what="merges")

    def test_merges_stay_inside_chunks(self, kata):
        """a and 1 are neighbours nine times, but a letter and a digit are two chunks, and so is the hyphen. Two tokens
        on either side of a border are no pair."""
        unlike = {"the text was not cut, or only at blanks": [(b"a", b"1"), (b"a1", b"a1")]}
        check.equal(kata.train_bpe("a1" * 9 + "-xy-xy", 258), [(b"x", b"y")], unlike=unlike, what="merges")

    def test_a_word_keeps_the_space_before_it(self, kata):
        """In " ab ab" the space belongs to the word's chunk, so that a space and a word can become one token."""
        unlike = {"spaces thrown away, or chunks of their own": [(b"a", b"b")]}
        check.equal(kata.train_bpe(" ab ab", 300), [(b" ", b"a"), (b" a", b"b")], unlike=unlike, what="merges")

    def test_a_tie_goes_to_the_smallest_pair(self, kata):
        """d, c comes first in the text, but b, a is smaller and occurs as often. With max() over a dict the first
        one seen would win, and another order of counting would make another tokenizer."""
        unlike = {"the first one seen": [(b"d", b"c"), (b"b", b"a")]}
        check.equal(kata.train_bpe("dc,dc,ba,ba", 300), [(b"b", b"a"), (b"d", b"c")], unlike=unlike, what="merges")

    @pytest.mark.parametrize(("size", "count"), [(258, 2), (256, 0)], ids=["258", "256"])
    def test_it_stops_at_the_size(self, kata, size, count):
        """vocab_size counts the 256 bytes: 258 leaves room for two merges, 256 for none."""
        check.equal(kata.train_bpe("low low lower", size), LOW[:count], what=f"merges for vocab_size {size}")

    @pytest.mark.parametrize("text", ["abcdef", "a"])
    def test_it_stops_when_nothing_repeats(self, kata, text):
        """A pair that occurs once is nothing to learn from: "abcdef" has only such pairs, and "a" has none at all."""
        check.equal(kata.train_bpe(text, 300), [], what=f"merges of {text!r}")

    @given(text=st.text("aab 1é", max_size=20))
    @example(text="abc,abc,abc,bz,bz,bz,ac,ac,ac,aba,aba,aba")
    @example(text="aaa")
    def test_equals_training_by_hand(self, kata, text):
        """All merges are those that counting everything anew finds, in the same order. Pairs are compared as tuples of
        bytes, é is two bytes, and "aaa" holds a, a twice."""
        check.equal(kata.train_bpe(text, 264), trained_by_hand(text, 8), what=f"merges of {text!r}")

    @pytest.mark.edge
    def test_there_is_no_room_below_the_bytes(self, kata):
        """With fewer than 256 tokens some byte would have none."""
        with check.raises(ValueError):
            kata.train_bpe("low low", 255)


class TestBPETokenizerInit:
    def test_without_merges_the_ids_are_the_bytes(self, kata):
        """UTF-8 turns any text into bytes, and byte b has the id b."""
        tokenizer = kata.BPETokenizer([])
        check.equal(dict(tokenizer.vocab), SINGLE, what="vocab")
        check.equal(tokenizer.vocab_size, 256, what="vocab_size")
        check.equal(tokenizer.special_tokens, {}, what="special_tokens")

    def test_merges_get_the_next_ids(self, kata):
        """lo is 256, low 257 and " low" 258, in the order of the merges."""
        tokenizer = kata.BPETokenizer(LOW)
        got = {token: tokenizer.vocab.get(token) for token in (b"lo", b"low", b" low")}
        check.equal(got, {b"lo": 256, b"low": 257, b" low": 258}, what="vocab")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")
        check.equal(list(tokenizer.merges), LOW, what="merges")

    def test_a_vocab_gives_its_own_ids(self, kata):
        """With `vocab` all ids come from there, those of single bytes as well, as in GPT-2's files."""
        vocab = {token: 300 - byte for token, byte in SINGLE.items()} | {b"lo": 7, b"low": 301, b" low": 3}
        tokenizer = kata.BPETokenizer(LOW, vocab)
        check.equal(dict(tokenizer.vocab), vocab, what="vocab")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")

    def test_special_tokens_are_kept_apart(self, kata):
        """They have an attribute of their own and are not in vocab; vocab_size counts both. Their ids may leave
        gaps."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 1000, "<|user|>": 259})
        check.equal(tokenizer.special_tokens, {END: 1000, "<|user|>": 259}, what="special_tokens")
        check.equal(len(tokenizer.vocab), 259, what="number of entries in vocab")
        unlike = {"without special tokens": 259, "the highest id + 1": 1001}
        check.equal(tokenizer.vocab_size, 261, unlike=unlike, what="vocab_size")

    @pytest.mark.edge
    def test_equal_results_share_an_id(self, kata):
        """ab + c and a + bc are the same bytes: one token, one id. The next new token gets the next id."""
        merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc"), (b"abc", b"d")]
        tokenizer = kata.BPETokenizer(merges)
        got = {token: tokenizer.vocab.get(token) for token in (b"ab", b"bc", b"abc", b"abcd")}
        unlike = {"an id for each merge": {b"ab": 256, b"bc": 257, b"abc": 259, b"abcd": 260}}
        unlike["an id left out"] = {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 260}
        unlike["a known token numbered anew"] = {b"ab": 256, b"bc": 257, b"abc": 259, b"abcd": 259}
        check.equal(got, {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 259}, unlike=unlike, what="ids")
        check.equal(tokenizer.vocab_size, 260, what="vocab_size")

    @pytest.mark.edge
    @pytest.mark.parametrize("special", [{END: 108}, {END: 258}, {END: 259, "<|user|>": 259}], ids=str)
    def test_a_special_id_must_be_free(self, kata, special):
        """Two tokens with one id could not be told apart: not with a byte, not with a merge, not with each other."""
        with check.raises(ValueError):
            kata.BPETokenizer(LOW, special_tokens=special)

    @pytest.mark.edge
    def test_what_is_passed_in_stays_as_it_is(self, kata):
        """Lists and dicts belong to the caller."""
        merges, special = list(LOW), {END: 259}
        vocab = SINGLE | {b"lo": 256, b"low": 257, b" low": 258}
        kept = dict(vocab)
        tokenizer = kata.BPETokenizer(merges, vocab, special)
        tokenizer.decode(tokenizer.encode(f"low{END}", allow_special=True))
        check.equal((merges, vocab, special), (LOW, kept, {END: 259}), what="(merges, vocab, special_tokens)")


def encoded_by_hand(chunk, merges):
    """The tokens of a chunk, one merge after the other: always the lowest rank, always the leftmost place."""
    while True:
        pairs = enumerate(zip(chunk, chunk[1:], strict=False))
        places = [(merges.index(pair), i) for i, pair in pairs if pair in merges]
        if not places:
            return chunk
        _, i = min(places)
        chunk = [*chunk[:i], chunk[i] + chunk[i + 1], *chunk[i + 2 :]]


class TestBPETokenizerEncodeBytes:
    def test_bytes_are_merged_as_far_as_possible(self, kata):
        """low! is l, o, w, !, then lo, w, !, then low, !. One merge is not the end."""
        unlike = {"the bytes, nothing merged": [108, 111, 119, 33], "one merge only": [256, 119, 33]}
        check.equal(kata.BPETokenizer(LOW).encode_bytes(b"low!"), [257, 33], unlike=unlike, what="ids of low!")

    def test_every_place_is_merged(self, kata):
        """As long as any known pair is left, there is another merge, wherever it is."""
        got = kata.BPETokenizer(LOW).encode_bytes(b"slowlylow lolow w")
        check.equal(got, [115, 257, 108, 121, 257, 32, 256, 257, 32, 119], what="ids of slowlylow lolow w")

    def test_the_lowest_rank_goes_first(self, kata):
        """b, c was learned first, so abc becomes a, bc, and there it ends: a, bc is no known pair. Merging what comes
        first in the text, or looking for the longest token, gives abc: a token that training would never have made
        there."""
        got = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")]).encode_bytes(b"abc")
        unlike = {"the leftmost pair, the highest rank or the longest token first": [258]}
        check.equal(got, [97, 256], unlike=unlike, what="ids of abc")

    def test_ids_come_from_vocab_and_ranks_do_not(self, kata):
        """Which pair goes first does not depend on ids: here ab has a lower one than bc, but was learned later."""
        vocab = {token: byte + 10 for token, byte in SINGLE.items()} | {b"ab": 0, b"bc": 1}
        got = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b")], vocab).encode_bytes(b"abc")
        unlike = {"the lowest id first": [0, 109], "the ids that there are without vocab": [97, 256]}
        check.equal(got, [107, 1], unlike=unlike, what="ids of abc")

    @given(text=st.text("abc", max_size=8))
    def test_equals_merging_by_hand(self, kata, text):
        """Always the pair with the lowest rank, and of equal pairs the leftmost."""
        merges = [(b"b", b"c"), (b"a", b"a"), (b"a", b"b"), (b"ab", b"c"), (b"aa", b"aa"), (b"bc", b"bc")]
        tokenizer = kata.BPETokenizer(merges)
        expected = [tokenizer.vocab[token] for token in encoded_by_hand([c.encode() for c in text], merges)]
        check.equal(tokenizer.encode_bytes(text.encode()), expected, what=f"ids of {text!r}")

    @pytest.mark.edge
    def test_a_pair_listed_twice_has_its_first_rank(self, kata):
        """A dict filled from the list keeps the last place of a pair, unless the first one is kept on purpose."""
        twice = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b"), (b"b", b"c")])
        unlike = {"the last place of a pair counts": [257, 99]}
        check.equal(twice.encode_bytes(b"abc"), [97, 256], unlike=unlike, what="ids of abc")

    @pytest.mark.edge
    def test_no_bytes_have_no_ids(self, kata):
        """Nothing becomes nothing."""
        check.equal(kata.BPETokenizer(LOW).encode_bytes(b""), [], what="ids of no bytes")


class TestBPETokenizerEncode:
    def test_text_becomes_utf8(self, kata):
        """Without merges the ids are the bytes of the text. é is two of them."""
        unlike = {"code points": [72, 233, 33]}
        check.equal(kata.BPETokenizer([]).encode("Hé!"), [72, 195, 169, 33], unlike=unlike, what='ids of "Hé!"')

    def test_text_is_cut_into_chunks_first(self, kata):
        """`encode` merges inside the chunks of SPLIT_PATTERN, as in training; a and 1 are in different ones."""
        got = kata.BPETokenizer([(b"a", b"1"), (b" ", b"a")]).encode("a1 a1")
        check.equal(got, [97, 49, 257, 49], unlike={"not cut": [256, 32, 256]}, what='ids of "a1 a1"')

    @given(text=texts)
    def test_each_chunk_is_encoded_by_itself(self, kata, text):
        """The ids of a text are those of its chunks, one after the other; no blank gets lost."""
        tokenizer = kata.BPETokenizer(SPACED)
        expected = [tokenizer.vocab[t] for chunk in chunks_of(text) for t in encoded_by_hand(chunk, SPACED)]
        check.equal(tokenizer.encode(text), expected, what=f"ids of {text!r}")

    def test_special_text_is_plain_text_by_default(self, kata):
        """A user who types <|endoftext|> must not end the document. Without `allow_special` the string is encoded
        like any other."""
        got = kata.BPETokenizer(LOW, special_tokens={END: 259}).encode(f"low{END}low")
        unlike = {"always read as special": [257, 259, 257]}
        check.equal(got, [257, *END.encode(), 257], unlike=unlike, what=f"ids of low{END}low")

    @pytest.mark.parametrize(
        ("text", "ids"), [(f"low{END} low!", [257, 259, 258, 33]), ("low", [257])], ids=["with", "without"]
    )
    def test_special_text_becomes_its_id_on_request(self, kata, text, ids):
        """With `allow_special` the string becomes one id, and the text around it is encoded as ever. In a regular
        expression | means "or": `re.escape` makes a plain sign of it."""
        got = kata.BPETokenizer(LOW, special_tokens={END: 259}).encode(text, allow_special=True)
        check.equal(got, ids, unlike={"special strings dropped": [257, 258, 33]}, what=f"ids of {text}")

    @pytest.mark.edge
    @pytest.mark.parametrize(
        ("text", "ids"), [(f"{END}{END}low{END}{END}", [259, 259, 257, 259, 259]), (END, [259])], ids=["twice", "alone"]
    )
    def test_special_text_in_a_row_and_at_both_ends(self, kata, text, ids):
        """A split at special strings leaves empty parts where two of them touch, and at the ends."""
        got = kata.BPETokenizer(LOW, special_tokens={END: 259}).encode(text, allow_special=True)
        check.equal(got, ids, what=f"ids of {text}")

    @pytest.mark.edge
    def test_the_longer_special_string_wins(self, kata):
        """Where <|a|> and <|a|><|b|> both match, it is the longer one, whichever comes first in the dict."""
        longer = {"<|a|>": 300, "<|a|><|b|>": 301, "<|b|>": 302}
        for special in (longer, dict(reversed(longer.items()))):
            tokenizer = kata.BPETokenizer([], special_tokens=special)
            got = tokenizer.encode("<|a|><|b|><|a|>x<|b|>", allow_special=True)
            unlike = {"the shorter ones": [300, 302, 300, 120, 302]}
            check.equal(got, [301, 300, 120, 302], unlike=unlike, what=f"ids with {list(special)}")

    @pytest.mark.edge
    def test_without_special_tokens_none_are_found(self, kata):
        """Then `allow_special` changes nothing. A pattern of no strings matches everywhere, and would cut the text
        into characters."""
        check.equal(kata.BPETokenizer(LOW).encode("low low", allow_special=True), [257, 258], what='ids of "low low"')

    @pytest.mark.edge
    @pytest.mark.parametrize("allow_special", [False, True], ids=["plain", "allow_special"])
    def test_no_text_has_no_ids(self, kata, allow_special):
        """Nothing becomes nothing."""
        got = kata.BPETokenizer(LOW, special_tokens={END: 259}).encode("", allow_special)
        check.equal(got, [], what='ids of ""')


class TestBPETokenizerDecodeBytes:
    def test_ids_become_their_bytes(self, kata):
        """Each id stands for its bytes, in the order of the ids."""
        check.equal(kata.BPETokenizer(LOW).decode_bytes([257, 258, 33]), b"low low!", what="bytes of 257, 258 and 33")

    def test_ids_are_those_of_the_vocab(self, kata):
        """With a `vocab` an id below 256 need not be a byte."""
        vocab = {token: 300 - byte for token, byte in SINGLE.items()} | {b"lo": 7, b"low": 301, b" low": 3}
        check.equal(kata.BPETokenizer(LOW, vocab).decode_bytes([301, 3, 267]), b"low low!", what="bytes of 301, 3, 267")

    def test_special_ids_become_their_string(self, kata):
        """The text of a document shows where it ends. In bytes it is the string's UTF-8."""
        got = kata.BPETokenizer(LOW, special_tokens={"<|ende ∎|>": 1000}).decode_bytes([257, 1000])
        check.equal(got, b"low" + "<|ende ∎|>".encode(), what="bytes of 257 and 1000")

    @given(data=st.binary(max_size=12))
    def test_any_bytes_come_back(self, kata, data):
        """Bytes need not be UTF-8. `encode_bytes` and `decode_bytes` do not mind."""
        tokenizer = kata.BPETokenizer(SPACED)
        check.equal(tokenizer.decode_bytes(tokenizer.encode_bytes(data)), data, what=f"{data} after both")

    @pytest.mark.edge
    def test_ids_may_be_a_tensor(self, kata):
        """A model's samples are a tensor. Any other iterable works as well."""
        got = kata.BPETokenizer(LOW).decode_bytes(torch.tensor([257, 33]))
        check.equal(got, b"low!", what="bytes of the ids in a tensor")

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [259, 999, -1])
    def test_an_unknown_id_is_refused(self, kata, i):
        """The first id that no token has, one in a gap below a special token, a negative one."""
        with check.raises(ValueError, i):
            kata.BPETokenizer(LOW, special_tokens={END: 1000}).decode_bytes([257, i])


class TestBPETokenizerDecode:
    def test_ids_become_text(self, kata):
        """The bytes of all ids, read as UTF-8; special ids become their string."""
        got = kata.BPETokenizer(LOW, special_tokens={END: 259}).decode([257, 258, 33, 195, 169, 259])
        check.equal(got, f"low low!é{END}", what="text of 257, 258, 33, 195, 169 and 259")

    @given(text=texts)
    def test_any_text_comes_back(self, kata, text):
        """A character may be spread over several tokens, none of which is text by itself. So bytes are joined first
        and decoded once; token by token the parts of é would be unreadable."""
        tokenizer = kata.BPETokenizer([(b" ", b"\xc3"), (b"a", b"b")])
        check.equal(tokenizer.decode(tokenizer.encode(text)), text, what=f"{text!r} after encode and decode")

    def test_bytes_that_are_no_text(self, kata):
        """A model may stop in the middle of a character. By default decode puts the sign for "unreadable" there;
        `errors` asks for something else, as in `bytes.decode`."""
        tokenizer = kata.BPETokenizer([])
        check.equal(tokenizer.decode([72, 195]), "H\ufffd", what="text of the ids 72 and 195")
        check.equal(tokenizer.decode([72, 195], errors="ignore"), "H", what='text with errors="ignore"')

    @pytest.mark.edge
    def test_ids_may_be_a_tensor(self, kata):
        """A model's samples are a tensor. Any other iterable works as well."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        for ids in (torch.tensor([257, 33, 259]), iter([257, 33, 259])):
            check.equal(tokenizer.decode(ids), f"low!{END}", what=f"text of the ids in {check.describe(ids)}")

    @pytest.mark.edge
    @pytest.mark.parametrize("i", [259, 999, -1])
    def test_an_unknown_id_is_refused(self, kata, i):
        """The first id that no token has, one in a gap below a special token, a negative one."""
        with check.raises(ValueError, i):
            kata.BPETokenizer(LOW, special_tokens={END: 1000}).decode([257, i])

    @pytest.mark.edge
    def test_no_ids_are_no_text(self, kata):
        """Nothing becomes nothing."""
        check.equal(kata.BPETokenizer(LOW).decode([]), "", what="text of no ids")


GPT2_ORDER = sorted(range(256), key=lambda byte: (SPELLING[byte] != chr(byte), byte))  # the bytes by their ids there


def spelled(token):
    return "".join(SPELLING[byte] for byte in token)


def write_files(folder, merges, special=(), *, without=(), end="\n"):
    """GPT-2's two files: the bytes in its order, then the results of merges, then the special tokens."""
    tokens = [*(spelled(bytes([byte])) for byte in GPT2_ORDER), *(spelled(left + right) for left, right in merges)]
    tokens = list(dict.fromkeys([*tokens, *special]))
    encoder = {token: i for i, token in enumerate(tokens) if token not in without}
    lines = ["#version: 0.2", *(f"{spelled(left)} {spelled(right)}" for left, right in merges)]
    (folder / "encoder.json").write_text(json.dumps(encoder), encoding="utf-8")
    (folder / "vocab.bpe").write_bytes(("\n".join(lines) + end).encode())
    return folder / "encoder.json", folder / "vocab.bpe"


def saved(kata, tokenizer, folder):
    """What the two files hold: the dict of encoder.json, the lines of vocab.bpe."""
    kata.save_gpt2_files(tokenizer, folder / "encoder.json", folder / "vocab.bpe")
    encoder = json.loads((folder / "encoder.json").read_bytes())
    return encoder, (folder / "vocab.bpe").read_bytes().decode().splitlines()


@pytest.mark.stretch
class TestSaveGpt2Files:
    def test_encoder_json_holds_all_tokens(self, kata, tmp_path):
        """A JSON object from token to id, for all bytes and merges. Tokens are spelled as GPT-2 spells them: " low"
        is Ġlow."""
        encoder, _ = saved(kata, kata.BPETokenizer(LOW), tmp_path)
        check.that(" low" not in encoder, '" low" is in encoder.json with a raw space: it is spelled "Ġlow"')
        expected = {spelled(token): i for token, i in SINGLE.items()} | {"lo": 256, "low": 257, "Ġlow": 258}
        check.equal(encoder, expected, what="encoder.json")

    def test_vocab_bpe_holds_the_merges(self, kata, tmp_path):
        """A header, then one merge per line, by rank: the two parts with a space between them. A space that belongs to
        a token needs another spelling, and so do a newline, a zero and half an emoji."""
        merges = [*LOW, (b"\xf0", b"\x9f"), (b"\n", b"\n"), (b"\x00", b"#"), (b"\xc2", b"\xad")]
        _, lines = saved(kata, kata.BPETokenizer(merges), tmp_path)
        expected = ["#version: 0.2", "l o", "lo w", "Ġ low", "ð Ł", "Ċ Ċ", "Ā #", "Â Ń"]
        check.equal(lines, expected, what="lines of vocab.bpe")

    def test_ids_are_those_of_the_tokenizer(self, kata, tmp_path):
        """With a vocab of its own, a byte's id is not its value."""
        vocab = {token: 300 - byte for token, byte in SINGLE.items()} | {b"lo": 7, b"low": 301, b" low": 3}
        encoder, _ = saved(kata, kata.BPETokenizer(LOW, vocab), tmp_path)
        check.equal(encoder, {spelled(token): i for token, i in vocab.items()}, what="encoder.json")

    def test_special_tokens_keep_their_own_string(self, kata, tmp_path):
        """They are no bytes to be spelled, whatever characters they have, and no merges."""
        special = {END: 256, "<|the end ∎|>": 300}
        encoder, lines = saved(kata, kata.BPETokenizer([], special_tokens=special), tmp_path)
        check.equal({key: encoder.get(key) for key in special}, special, what="special entries of encoder.json")
        check.equal(len(encoder), 258, what="number of entries")
        check.equal(lines, ["#version: 0.2"], what="lines of vocab.bpe")

    @pytest.mark.edge
    def test_the_tokenizer_stays_as_it_is(self, kata, tmp_path):
        """Saving only reads."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        before = [list(tokenizer.merges), dict(tokenizer.vocab), dict(tokenizer.special_tokens)]
        saved(kata, tokenizer, tmp_path)
        for name, value in zip(("merges", "vocab", "special_tokens"), before, strict=True):
            check.equal(getattr(tokenizer, name), value, what=f"{name} after saving")


@pytest.mark.stretch
class TestLoadGpt2Files:
    def test_merges_are_read_in_order(self, kata, tmp_path):
        """The header is no merge; then each line is one, from rank 0."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW))
        is_one = isinstance(tokenizer, kata.BPETokenizer)
        check.that(is_one, f"expected a BPETokenizer, got {check.describe(tokenizer)}")
        check.equal(list(tokenizer.merges), LOW, what="merges")

    def test_ids_come_from_the_file(self, kata, tmp_path):
        """GPT-2 numbers the bytes that print first: "!" is 0, and a space 220. The 260 entries here are in its
        order: 256 bytes, three merges and <|endoftext|>."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, [END]))
        expected = {bytes([byte]): i for i, byte in enumerate(GPT2_ORDER)} | {b"lo": 256, b"low": 257, b" low": 258}
        few = [b"!", b" ", b"\n", b" low"]
        unlike = {"the byte's value as its id": {b"!": 33, b" ": 32, b"\n": 10, b" low": 258}}
        got = {token: tokenizer.vocab.get(token) for token in few}
        check.equal(got, {token: expected[token] for token in few}, unlike=unlike, what="vocab")
        check.equal(dict(tokenizer.vocab), expected, what="vocab")

    def test_other_entries_are_special_tokens(self, kata, tmp_path):
        """An entry is special if it is neither a byte nor the result of a merge. That it could be read as spelled
        bytes, as "lowest" could, does not matter."""
        special = [END, "lowest", "<|the end ∎|>"]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, special))
        expected = {END: 259, "lowest": 260, "<|the end ∎|>": 261}
        check.equal(tokenizer.special_tokens, expected, what="special_tokens")
        check.equal(tokenizer.vocab_size, 262, what="vocab_size")

    def test_a_number_sign_is_no_comment(self, kata, tmp_path):
        """Only the first line is a header. "# #" further down is a merge: Markdown and Python are full of it."""
        merges = [(b"#", b"#"), (b"##", b"##"), (b" ", b"#"), (b"#", b"!")]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, merges))
        check.equal(list(tokenizer.merges), merges, unlike={"lines with # dropped": [(b" ", b"#")]}, what="merges")

    def test_bytes_that_are_no_text_are_read_too(self, kata, tmp_path):
        """Each character of a spelling is one byte. Half an emoji becomes a token of two bytes."""
        merges = [(b"\xf0", b"\x9f"), (b"\n", b"\n"), (b"\x00", b"\xff"), (b"\xc2", b"\xa0")]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, merges))
        check.equal(list(tokenizer.merges), merges, what="merges")

    def test_load_undoes_save(self, kata, tmp_path):
        """Same merges, same ids, same special tokens, and so the same ids for any text."""
        before = kata.BPETokenizer(SPACED, special_tokens={END: 700})
        saved(kata, before, tmp_path)
        after = kata.load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        for name in ("merges", "vocab", "special_tokens"):
            check.equal(getattr(after, name), getattr(before, name), what=f"{name} after saving and loading")
        check.equal(after.encode("  é 🙂\n"), before.encode("  é 🙂\n"), what="ids after saving and loading")

    @pytest.mark.edge
    def test_equal_results_are_one_entry(self, kata, tmp_path):
        """ab + c and a + bc are one token, with one entry in the file."""
        merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc")]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, merges))
        check.equal(tokenizer.vocab.get(b"abc"), 258, what="id of abc")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")

    @pytest.mark.edge
    @pytest.mark.parametrize("end", ["", "\n"], ids=["no newline", "newline"])
    def test_the_last_line_may_end_without_a_newline(self, kata, tmp_path, end):
        """It is a merge all the same, and a newline after it adds none."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, end=end))
        check.equal(list(tokenizer.merges), LOW, what=f"merges of a file that ends in {end!r}")

    @pytest.mark.edge
    @pytest.mark.parametrize("missing", ["!", "Ġ", "Ġlow"], ids=["byte", "space", "merge"])
    def test_a_missing_id_is_refused(self, kata, tmp_path, missing):
        """Some text could not be encoded without the id of a byte, and a pair would be merged into a token without
        one."""
        paths = write_files(tmp_path, LOW, without=[missing])
        with check.raises(ValueError):
            kata.load_gpt2_files(*paths)


@pytest.mark.stretch
class TestBytesPerToken:
    def test_bytes_of_the_text_over_tokens(self, kata):
        """With the merges for low, the eight bytes of "low low!" are three tokens. Without merges there is one byte
        per token."""
        unlike = {"turned round": 3 / 8}
        check.close(kata.bytes_per_token(kata.BPETokenizer(LOW), "low low!"), 8 / 3, unlike=unlike)
        check.close(kata.bytes_per_token(kata.BPETokenizer([]), "low low!"), 1.0)

    def test_utf8_bytes_count(self, kata):
        """é is one character and two bytes, 🙂 four. With one token per character, "é🙂" has six bytes in two
        tokens."""
        unlike = {"characters counted": 1.0, "bytes of UTF-16": 4.0}
        check.close(kata.bytes_per_token(kata.CharTokenizer("é🙂"), "é🙂"), 3.0, unlike=unlike)

    def test_anything_that_encodes_will_do(self, kata):
        """All it needs is a method `encode` that takes a text."""
        in_threes = SimpleNamespace(encode=lambda text: [len(text[i : i + 3]) for i in range(0, len(text), 3)])
        check.close(kata.bytes_per_token(in_threes, "abcdefgh"), 8 / 3)

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """Nothing divided by nothing is no measure."""
        with check.raises(ValueError):
            kata.bytes_per_token(kata.CharTokenizer("a"), "")
