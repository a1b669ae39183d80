"""Specs of 23: characters as ids, byte pairs counted, merged, learned and applied, GPT-2's files, bytes per token."""

import json
import random
import re
from collections import Counter
from functools import cache
from types import SimpleNamespace

import pytest
import torch

from grader.datasets import prose
from grader.specs import check

# The stub's constant once more, so that an edit there does not move what is expected here.
SPLIT_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
END = "<|endoftext|>"
LOW = [(b"l", b"o"), (b"lo", b"w"), (b" ", b"low")]  # lo 256, low 257, " low" 258
SPACED = [(b" ", b" "), (b"  ", b"  "), (b"\n", b"\n"), (b"\xc3", b"\xa9"), (b"\xf0", b"\x9f"), (b" ", b"\xc3\xa9")]
TEXTS = {
    "words": "The old man and the sea, 1952!",
    "accents": "déjà vu, Ærøskøbing, Ελλάδα, 東京",
    "emoji": "🙂🙃 👩‍👩‍👧 🇩🇰 é",
    "runs of spaces": "  a   b    c  ",
    "newlines and tabs": "\n\na\n \n\tb\r\n",
    "code": "def f(_x):\n    return _x**2  # don't, we'll see\n",
    "odd ones": "\x00\x7f\xa0\xad\u2028²½",
}


def same(got, expected, what="", unlike=None):
    """A list, text, bytes or dict that is just this one. Says where long ones differ, and which bug it looks like."""
    rows = [("of", what)] if what else []
    if type(got) is not type(expected) and not (isinstance(got, dict) and isinstance(expected, dict)):
        kind = f"a {type(expected).__name__}: {check.describe(expected)}"
        raise check.Mismatch([*rows, ("got", check.describe(got)), ("expected", kind)])
    if got != expected:
        rows += _entries(got, expected) if isinstance(got, dict) and len(expected) > 12 else _both(got, expected)
        names = [("looks like", name) for name, wrong in (unlike or {}).items() if got == wrong]
        raise check.Mismatch([*rows, *names[:1]])
    check.equal(got, expected, what=what)


def _both(got, expected):
    rows = [("got", check.describe(got)), ("expected", check.describe(expected))]
    if not isinstance(got, dict) and max(len(got), len(expected)) > 6:
        pairs = enumerate(zip(got, expected, strict=False))
        at = next((i for i, (a, b) in pairs if a != b), min(len(got), len(expected)))
        rows.append(("first", f"different at {at}: got {_around(got, at)}, expected {_around(expected, at)}"))
        rows.append(("length", f"{len(got)}, expected {len(expected)}"))
    return rows


def _entries(got, expected):
    """What is wrong with a large dict, without all that is right."""
    parts = {
        "missing": {key: value for key, value in expected.items() if key not in got},
        "too many": {key: value for key, value in got.items() if key not in expected},
        "got": {key: value for key, value in got.items() if key in expected and value != expected[key]},
    }
    parts["expected"] = {key: expected[key] for key in parts["got"]}
    return [(name, f"{check.describe(part)}, {len(part)} in all") for name, part in parts.items() if part]


def _around(sequence, at):
    return check.describe(sequence[at : at + 5]) if at < len(sequence) else "nothing more"


def chunks_of(text):
    return [[bytes([byte]) for byte in chunk.encode()] for chunk in re.findall(SPLIT_PATTERN, text)]


def merged_everywhere(chunks, left, right):
    """The chunks with left + right wherever left and right stood, found from the left."""
    out = []
    for chunk in chunks:
        out.append([])
        for token in chunk:
            if out[-1][-1:] == [left] and token == right:
                out[-1][-1] = left + right  # longer than left, so that it can not be taken for one
            else:
                out[-1].append(token)
    return out


@cache
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
        chunks = merged_everywhere(chunks, *merges[-1])
    return merges


def encoded_by_hand(text, merges):
    """The tokens of a text, one merge after the other: always the lowest rank, always the leftmost place."""
    out = []
    for chunk in chunks_of(text):
        while True:
            pairs = enumerate(zip(chunk, chunk[1:], strict=False))
            places = [(merges.index(pair), i) for i, pair in pairs if pair in merges]
            if not places:
                break
            _, i = min(places)
            chunk = [*chunk[:i], chunk[i] + chunk[i + 1], *chunk[i + 2 :]]
        out += chunk
    return out


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


class TestCharTokenizer:
    def test_the_vocabulary_is_sorted_and_distinct(self, kata):
        """Each different character once, in Python's order: blanks, capitals, small letters. A set has no order of
        its own, and gives other ids in the next run: a model saved today would read nonsense tomorrow."""
        text, expected = "To be, or not To be\n", ["\n", " ", ",", "T", "b", "e", "n", "o", "r", "t"]
        tokenizer = kata.CharTokenizer(text)
        appearing = {c: i for i, c in enumerate(dict.fromkeys(text))}
        unlike = {"numbered as they appear in the text": appearing}
        same(tokenizer.stoi, {c: i for i, c in enumerate(expected)}, "stoi", unlike)
        itos = tokenizer.itos if isinstance(tokenizer.itos, dict) else dict(enumerate(tokenizer.itos))
        same(itos, dict(enumerate(expected)), "itos")
        check.equal(tokenizer.vocab_size, 10, unlike={"the length of the text": 20}, what="vocab_size")

    def test_each_character_becomes_its_id(self, kata):
        """The vocabulary of "hello" is e, h, l, o, so that its ids are [1, 0, 2, 2, 3]."""
        same(kata.CharTokenizer("hello").encode("hello"), [1, 0, 2, 2, 3], 'ids of "hello"')

    def test_decode_goes_back(self, kata):
        """Nothing is lost on the way: the ids of a text give the text again, with its blanks and newlines."""
        text = prose()[:3000] + "\n\t é🙂 "
        tokenizer = kata.CharTokenizer(text)
        same(tokenizer.decode([0, 1]), "".join(sorted(set(text))[:2]), "text of the ids 0 and 1")
        same(tokenizer.decode(tokenizer.encode(text)), text, "text after encode and decode")

    def test_ids_may_be_a_tensor(self, kata):
        """A model answers with tensors. Walking through one gives tensors of one element, which are no key of a dict
        of ints. Any other iterable of ids will do as well."""
        tokenizer = kata.CharTokenizer("hello")
        hello = [1, 0, 2, 2, 3]
        for ids in (torch.tensor(hello), torch.tensor(hello, dtype=torch.int32), tuple(hello), iter(hello)):
            same(tokenizer.decode(ids), "hello", f"text of the ids in {check.describe(ids)}")

    def test_nothing_becomes_nothing(self, kata):
        """An empty text has no ids, and no ids are an empty text."""
        tokenizer = kata.CharTokenizer("hello")
        same(tokenizer.encode(""), [], 'ids of ""')
        same(tokenizer.decode([]), "", "text of no ids")

    @pytest.mark.edge
    def test_an_unknown_character_is_named(self, kata):
        """Dropped silently it would be missed far too late, and a KeyError does not say where in a long text it
        stands. The message holds the character and its position."""
        tokenizer = kata.CharTokenizer("abc")
        with check.raises(ValueError, "%", 13):
            tokenizer.encode("abcabcabcabca%bc")

    @pytest.mark.edge
    def test_an_unknown_id_is_refused(self, kata):
        """Ids end at vocab_size - 1."""
        tokenizer = kata.CharTokenizer("hello")
        for i in (4, 977):
            with check.raises(ValueError, i):
                tokenizer.decode([0, i])

    @pytest.mark.edge
    def test_a_negative_id_is_refused(self, kata):
        """In a list the index -1 is the last entry, and a wrong id would go through as a character."""
        tokenizer = kata.CharTokenizer("hello")
        for ids in ([0, -1], torch.tensor([-4])):
            with check.raises(ValueError, ids[-1].item() if isinstance(ids, torch.Tensor) else -1):
                tokenizer.decode(ids)

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """A vocabulary of nothing can encode nothing."""
        with check.raises(ValueError):
            kata.CharTokenizer("")


@pytest.mark.stretch
class TestBytesToUnicode:
    def test_printable_bytes_are_spelled_as_they_are(self, kata):
        """Most of a token in GPT-2's files can be read: letters, digits and signs stand for themselves, at all three
        ranges' ends too."""
        table = kata.bytes_to_unicode()
        as_they_are = {byte: chr(byte) for byte in (33, 65, 126, 161, 172, 174, 233, 255)}
        same({byte: table.get(byte) for byte in as_they_are}, as_they_are, "spelling of printable bytes")

    def test_the_others_move_up_as_in_gpt2(self, kata):
        """A space is Ġ and a newline Ċ. Bytes 127, 160 and 173 (delete, the no-break space and the soft hyphen)
        print nothing either, so that they move, too."""
        table = kata.bytes_to_unicode()
        moved = {0: "Ā", 10: "Ċ", 32: "Ġ", 127: "ġ", 160: "ł", 173: "Ń"}
        shifted = {"256 added to each": {byte: chr(256 + byte) for byte in moved}}
        same({byte: table.get(byte) for byte in moved}, moved, "spelling of bytes that do not print", shifted)

    def test_all_256_are_different_and_printable(self, kata):
        """Two bytes with one spelling could not be told apart when a file is read. A spelling with a blank in it
        would break a line of merges."""
        table = kata.bytes_to_unicode()
        same(sorted(table), list(range(256)), "bytes in the table")
        check.equal(len(set(table.values())), 256, what="number of different spellings")
        bad = [byte for byte, c in table.items() if len(c) != 1 or not c.isprintable() or c.isspace()]
        check.that(not bad, f"these bytes are not spelled as one printable character: {check.describe(bad)}")

    def test_every_byte_is_spelled_as_in_gpt2(self, kata):
        """The whole table: bytes that print stay, the other 68 count up from chr(256), in rising order."""
        same(kata.bytes_to_unicode(), SPELLING, "the table")


class TestCountPairs:
    def test_neighbours_are_counted(self, kata):
        """[7, 2, 5, 7, 2] holds (7, 2) twice, (2, 5) and (5, 7) once. (2, 7) is another pair, and does not occur."""
        unsorted = {"pairs without an order": {(2, 7): 2, (2, 5): 1, (5, 7): 1}}
        same(kata.count_pairs([7, 2, 5, 7, 2]), {(7, 2): 2, (2, 5): 1, (5, 7): 1}, unlike=unsorted)

    def test_overlapping_pairs_all_count(self, kata):
        """Three ones stand next to each other twice: the one in the middle has two neighbours."""
        same(kata.count_pairs([1, 1, 1]), {(1, 1): 2}, unlike={"overlaps skipped": {(1, 1): 1}})

    def test_bytes_are_tokens_too(self, kata):
        """A token is whatever stands at one place, so that b"ab", b"c" and b"a", b"bc" are two pairs."""
        tokens = [b"ab", b"c", b"a", b"bc", b"ab", b"c"]
        expected = {(b"ab", b"c"): 2, (b"c", b"a"): 1, (b"a", b"bc"): 1, (b"bc", b"ab"): 1}
        same(kata.count_pairs(tokens), expected)

    def test_one_token_has_no_neighbour(self, kata):
        """Nothing to count is no error."""
        for tokens in ([], [5], ()):
            same(dict(kata.count_pairs(tokens)), {}, f"pairs of {tokens}")

    def test_the_tokens_stay_as_they_are(self, kata):
        """Counting only looks, at a tuple as well as at a list."""
        tokens = [3, 1, 3, 1]
        same(kata.count_pairs(tuple(tokens)), {(3, 1): 2, (1, 3): 1}, "pairs of a tuple")
        kata.count_pairs(tokens)
        same(tokens, [3, 1, 3, 1], "tokens after the call")


class TestMergePair:
    def test_the_pair_becomes_one_token_everywhere(self, kata):
        """Where 1 and 2 stand side by side, in this order, one 9 takes their place. All other tokens stay, the first
        and the last among them."""
        unlike = {
            "only the first place merged": [5, 9, 2, 1, 1, 2, 4],
            "the last token lost": [5, 9, 2, 1, 9],
            "(2, 1) merged as well": [5, 9, 9, 9, 4],
        }
        same(kata.merge_pair([5, 1, 2, 2, 1, 1, 2, 4], (1, 2), 9), [5, 9, 2, 1, 9, 4], unlike=unlike)

    def test_at_the_very_end_too(self, kata):
        """The last two tokens can be the pair, and a first half at the end is no pair yet."""
        same(kata.merge_pair([3, 1, 2], (1, 2), 9), [3, 9])
        same(kata.merge_pair([1, 2, 1], (1, 2), 9), [9, 1], unlike={"the last token lost": [9]})

    def test_a_token_is_used_once(self, kata):
        """Of [1, 1, 1] the first two are taken; what is left is a single 1. The count of 2 that `count_pairs` gives
        does not mean that two merges are possible."""
        unlike = {"merged from the right": [1, 9], "overlapping": [9, 9]}
        same(kata.merge_pair([1, 1, 1], (1, 1), 9), [9, 1], unlike=unlike)
        same(kata.merge_pair([1, 1, 1, 1], (1, 1), 9), [9, 9], unlike={"overlapping": [9, 9, 9]})

    def test_what_was_merged_is_not_merged_again(self, kata):
        """A pair consists of tokens that were there before. The one just made, even if it equals half of the pair,
        waits for another call."""
        same(kata.merge_pair([1, 2, 2, 2], (1, 2), 1), [1, 2, 2], unlike={"merged again": [1]})

    def test_bytes_are_compared_token_by_token(self, kata):
        """b"a", b"bc" spells the same as b"ab", b"c", but is not that pair."""
        tokens, unlike = [b"a", b"bc", b"ab", b"c"], {"the joined bytes compared": [b"abc", b"abc"]}
        same(kata.merge_pair(tokens, (b"ab", b"c"), b"abc"), [b"a", b"bc", b"abc"], unlike=unlike)

    def test_equal_tokens_are_the_pair(self, kata):
        """`==` decides, for whatever stands there: two lists with the same entries are equal, though they are two
        objects (`is` says no) and no keys of a dict."""
        tokens = [[1], [2, 3], [1], [2]]
        same(kata.merge_pair(tokens, ([1], [2]), [9]), [[1], [2, 3], [9]], unlike={"compared with `is`": tokens})

    def test_without_the_pair_nothing_happens(self, kata):
        """Then the new list holds the same tokens; no tokens give no tokens, and a tuple gives a list."""
        same(kata.merge_pair([2, 1, 3], (1, 2), 9), [2, 1, 3])
        same(kata.merge_pair([], (1, 2), 9), [])
        same(kata.merge_pair((4, 1, 2), (1, 2), 9), [4, 9], "merged from a tuple")

    def test_the_list_given_stays_as_it_is(self, kata):
        """The caller may still need the old tokens: the result is a list of its own, also where nothing was merged."""
        for tokens in ([5, 1, 2, 5], [5, 5, 5]):
            before = list(tokens)
            got = kata.merge_pair(tokens, (1, 2), 9)
            same(tokens, before, "tokens after the call")
            check.that(got is not tokens, "the result is the list that was passed in, not a new one")


class TestTrainBpe:
    def test_the_example_step_by_step(self, kata):
        """In "low low lower", l, o and o, w occur three times each, and the smaller pair is merged first. Then lo, w
        occurs three times; then the space with low, twice."""
        once = {"pairs merged that occur once": [*LOW, (b" low", b"e"), (b" lowe", b"r")]}
        same(kata.train_bpe("low low lower", 300), LOW, "merges", once)

    def test_every_occurrence_counts(self, kata):
        """x, y stands in one chunk that occurs five times, p, q in three chunks that occur once: five is more.
        Counting each different chunk once only would find p, q first."""
        unlike = {"each different chunk counted once": [(b"p", b"q")], "the rarest pair": [(b"q", b"a")]}
        same(kata.train_bpe("xy,xy,xy,xy,xy,pqa,pqb,pqc", 257), [(b"x", b"y")], "merges", unlike)

    def test_merges_stay_inside_chunks(self, kata):
        """a and 1 are neighbours nine times, but a letter and a digit are two chunks, and so is the hyphen. What
        crosses the border of chunks is no pair."""
        text = "a1" * 9 + "-xy-xy"
        unlike = {"the text was not cut, or only at blanks": [(b"a", b"1"), (b"a1", b"a1")]}
        same(kata.train_bpe(text, 258), [(b"x", b"y")], "merges", unlike)

    def test_a_word_keeps_the_space_before_it(self, kata):
        """Twice " ab": the space belongs to the word's chunk, so that a space and a word can become one token."""
        unlike = {"spaces thrown away, or chunks of their own": [(b"a", b"b")]}
        same(kata.train_bpe(" ab ab", 300), [(b" ", b"a"), (b" a", b"b")], "merges", unlike)

    def test_a_tie_goes_to_the_smallest_pair(self, kata):
        """d, c comes first in the text, but b, a is smaller and occurs as often. With max() over a dict the first
        one seen would win, and another order of counting would make another tokenizer."""
        unlike = {"the first one seen": [(b"d", b"c"), (b"b", b"a")]}
        same(kata.train_bpe("dc,dc,ba,ba", 300), [(b"b", b"a"), (b"d", b"c")], "merges", unlike)

    def test_pairs_are_compared_as_tuples_of_bytes(self, kata):
        """(b"ab", b"c") comes before (b"b", b"z"), because b"ab" < b"b", although ab would have the higher id. And
        (b"a", b"c") comes before (b"ab", b"a"): the left parts decide, not the bytes joined, aba and ac."""
        by_ids = [(b"a", b"b"), (b"b", b"z"), (b"ab", b"c")]
        expected = [(b"a", b"b"), (b"ab", b"c"), (b"b", b"z")]
        same(kata.train_bpe("abc,abc,abc,bz,bz,bz", 259), expected, "merges", {"compared by ids": by_ids})
        joined = [(b"a", b"b"), (b"ab", b"a"), (b"a", b"c")]
        expected = [(b"a", b"b"), (b"a", b"c"), (b"ab", b"a")]
        same(kata.train_bpe("ac,ac,ac,aba,aba,aba", 259), expected, "merges", {"the joined bytes compared": joined})

    def test_characters_beyond_ascii_are_several_bytes(self, kata):
        """é is the bytes C3 A9 in UTF-8: two tokens, until they are merged."""
        same(kata.train_bpe("éé", 300), [(b"\xc3", b"\xa9")], "merges")

    def test_overlapping_pairs_count(self, kata):
        """aaa holds a, a twice, which is enough to merge it once. Left are aa and a: a pair that occurs once."""
        same(kata.train_bpe("aaa", 300), [(b"a", b"a")], "merges", {"overlaps not counted": []})

    def test_sixty_merges_as_by_hand(self, kata):
        """On a page of prose, all 60 merges are those that counting everything anew finds, in the same order."""
        text = prose()[1000:2500]
        same(kata.train_bpe(text, 316), trained_by_hand(text, 60), "merges")

    def test_it_stops_at_the_size(self, kata):
        """vocab_size counts the 256 bytes: 258 leaves room for two merges, 256 for none."""
        same(kata.train_bpe("low low lower", 258), LOW[:2], "merges for 258")
        same(kata.train_bpe("low low lower", 256), [], "merges for 256")

    def test_it_stops_when_nothing_repeats(self, kata):
        """A pair that occurs once is nothing to learn from: "abcdef" has only such pairs, "a" and "" have none at
        all."""
        for text in ("abcdef", "abab", "a", ""):
            expected = [(b"a", b"b")] if text == "abab" else []
            same(kata.train_bpe(text, 300), expected, f"merges of {text!r}")

    @pytest.mark.edge
    def test_there_is_no_room_below_the_bytes(self, kata):
        """With fewer than 256 tokens some byte would have none."""
        for vocab_size in (255, 0):
            with check.raises(ValueError):
                kata.train_bpe("low low", vocab_size)


class TestBPETokenizer:
    def test_without_merges_the_ids_are_the_bytes(self, kata):
        """UTF-8 turns any text into bytes, and byte b has the id b. é is two of them."""
        tokenizer = kata.BPETokenizer([])
        same(tokenizer.encode("Hé!"), [72, 195, 169, 33], 'ids of "Hé!"', {"code points": [72, 233, 33]})
        check.equal(tokenizer.vocab_size, 256, what="vocab_size")
        same(tokenizer.vocab, {bytes([byte]): byte for byte in range(256)}, "vocab")

    def test_merges_get_the_next_ids(self, kata):
        """lo is 256 and low 257, in the order of the merges: "low!" is low and !."""
        tokenizer = kata.BPETokenizer(LOW)
        unlike = {"the bytes, nothing merged": [108, 111, 119, 33], "one merge only": [256, 119, 33]}
        same(tokenizer.encode("low!"), [257, 33], 'ids of "low!"', unlike)
        got = {token: tokenizer.vocab.get(token) for token in (b"lo", b"low", b" low")}
        same(got, {b"lo": 256, b"low": 257, b" low": 258}, "ids of the merges in vocab")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")
        same(list(tokenizer.merges), LOW, "merges")
        same(tokenizer.special_tokens, {}, "special_tokens")

    def test_a_pair_is_merged_wherever_it_stands(self, kata):
        """One merge is not the end: as long as any known pair is left, there is another one."""
        got = kata.BPETokenizer(LOW).encode_bytes(b"slowlylow lolow w")
        same(got, [115, 257, 108, 121, 257, 32, 256, 257, 32, 119], "ids of slowlylow lolow w")

    def test_the_lowest_rank_goes_first(self, kata):
        """b, c was learned first, so that abc becomes a, bc, and there it ends: a, bc is no known pair. Merging what
        comes first in the text, or looking for the longest token, gives abc: a token that training would never have
        made there."""
        tokenizer = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")])  # bc 256, ab 257, abc 258
        unlike = {"the leftmost pair, the highest rank or the longest token first": [258]}
        same(tokenizer.encode_bytes(b"abc"), [97, 256], "ids of abc", unlike)
        same(tokenizer.encode_bytes(b"abd"), [257, 100], "ids of abd")

    def test_of_equal_pairs_the_leftmost_goes_first(self, kata):
        """In aaa the first two are merged: aa, a."""
        got = kata.BPETokenizer([(b"a", b"a")]).encode_bytes(b"aaaba")
        same(got, [256, 97, 98, 97], "ids of aaaba", {"merged from the right": [97, 256, 98, 97]})

    def test_ids_go_back_to_text(self, kata):
        """Each id stands for its bytes, in the order of the ids."""
        tokenizer = kata.BPETokenizer(LOW)
        same(tokenizer.decode_bytes([257, 258, 33]), b"low low!", "bytes")
        same(tokenizer.decode([257, 258, 33]), "low low!", "text")

    def test_text_is_cut_into_chunks_first(self, kata):
        """`encode` merges inside the chunks of SPLIT_PATTERN, as in training; a and 1 are in different ones.
        `encode_bytes` takes all it is given as one chunk."""
        tokenizer = kata.BPETokenizer([(b"a", b"1"), (b" ", b"a")])
        same(tokenizer.encode("a1 a1"), [97, 49, 257, 49], 'ids of "a1 a1"', {"not cut": [256, 32, 256]})
        same(tokenizer.encode_bytes(b"a1 a1"), [256, 32, 256], "encode_bytes of a1 a1", {"cut": [97, 49, 257, 49]})

    def test_prose_is_encoded_as_by_hand(self, kata):
        """With 60 merges from one page of prose, the tokens of another one are those that merging step by step
        makes."""
        merges, other = list(trained_by_hand(prose()[1000:2500], 60)), prose()[40_000:41_500]
        ids = {bytes([byte]): byte for byte in range(256)}
        for left, right in merges:
            ids.setdefault(left + right, len(ids))
        same(kata.BPETokenizer(merges).encode(other), [ids[token] for token in encoded_by_hand(other, merges)], "ids")

    def test_any_text_comes_back(self, kata):
        """A character may be spread over several tokens, none of which is text by itself. Joined, they are UTF-8
        again. Whatever drops a blank or decodes token by token shows here."""
        for merges in ([], SPACED):
            tokenizer = kata.BPETokenizer(merges)
            for name, text in TEXTS.items():
                same(tokenizer.decode(tokenizer.encode(text)), text, f"{name}, {len(merges)} merges")

    def test_any_string_comes_back(self, kata):
        """The same for strings that nobody would type: characters drawn from all of Unicode, and from its beginning."""
        tokenizer, draw = kata.BPETokenizer(SPACED), random.Random(23)
        for below in (0x80, 0x800, 0xD800, 0x110000) * 5:
            drawn = [draw.randrange(below) for _ in range(draw.randrange(1, 40))]
            text = "".join(chr(i) for i in drawn if not 0xD800 <= i < 0xE000)  # without lone surrogates
            same(tokenizer.decode(tokenizer.encode(text)), text, f"the text {ascii(text)}")

    def test_any_bytes_come_back(self, kata):
        """500 random bytes are no UTF-8. `encode_bytes` and `decode_bytes` do not mind."""
        data = random.Random(23).randbytes(500)
        for merges in ([], SPACED):
            tokenizer = kata.BPETokenizer(merges)
            same(tokenizer.decode_bytes(tokenizer.encode_bytes(data)), data, f"bytes, {len(merges)} merges")

    def test_bytes_that_are_no_text(self, kata):
        """A model may stop in the middle of a character. By default decode puts the sign for "unreadable" there;
        `errors` asks for something else, and means what it means in `bytes.decode`."""
        tokenizer = kata.BPETokenizer([])
        same(tokenizer.decode([72, 195]), "H\ufffd", "text of the ids 72 and 195")
        same(tokenizer.decode([72, 195], errors="ignore"), "H", 'text with errors="ignore"')
        with check.raises(UnicodeDecodeError):
            tokenizer.decode([72, 195], errors="strict")

    def test_special_text_is_plain_text_by_default(self, kata):
        """A user who types <|endoftext|> must not end the document. Without `allow_special` the string is encoded
        like any other, and comes back."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        text = f"low{END}low"
        same(tokenizer.encode(text), [257, *END.encode(), 257], "ids", {"always read as special": [257, 259, 257]})
        same(tokenizer.decode(tokenizer.encode(text)), text, "text after encode and decode")

    def test_special_text_becomes_its_id_on_request(self, kata):
        """In the middle, at both ends and twice in a row."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        for text, expected in {
            f"low{END} low!": [257, 259, 258, 33],
            f"{END}low": [259, 257],
            f"low{END}": [257, 259],
            f"{END}{END}low{END}{END}": [259, 259, 257, 259, 259],
            END: [259],
            "low": [257],
        }.items():
            same(tokenizer.encode(text, allow_special=True), expected, f"ids of {text!r}")

    def test_special_tokens_are_kept_apart(self, kata):
        """They have an attribute of their own and are not in vocab; vocab_size counts both. Their ids need not
        follow."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 1000, "<|user|>": 259})
        same(tokenizer.special_tokens, {END: 1000, "<|user|>": 259}, "special_tokens")
        check.equal(len(tokenizer.vocab), 259, what="number of entries in vocab")
        unlike = {"without special tokens": 259, "the highest id + 1": 1001}
        check.equal(tokenizer.vocab_size, 261, unlike=unlike, what="vocab_size")

    def test_special_ids_decode_to_their_string(self, kata):
        """So that the text of a document shows where it ends. In bytes it is the string's UTF-8."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={"<|ende ∎|>": 1000})
        same(tokenizer.decode([257, 1000, 33]), "low<|ende ∎|>!", "text")
        same(tokenizer.decode_bytes([1000]), "<|ende ∎|>".encode(), "bytes")

    def test_the_longer_special_string_wins(self, kata):
        """Where <|a|> and <|a|><|b|> both match, it is the longer one, whichever comes first in the dict."""
        longer = {"<|a|>": 300, "<|a|><|b|>": 301, "<|b|>": 302}
        for special in (longer, dict(reversed(longer.items()))):
            tokenizer = kata.BPETokenizer([], special_tokens=special)
            got = tokenizer.encode("<|a|><|b|><|a|>x<|b|>", allow_special=True)
            unlike = {"the shorter ones": [300, 302, 300, 120, 302]}
            same(got, [301, 300, 120, 302], f"ids with {list(special)}", unlike)

    def test_special_strings_are_no_patterns(self, kata):
        """[SEP], a|b and (?) mean something else in a regular expression."""
        tokenizer = kata.BPETokenizer([], special_tokens={"[SEP]": 300, "a|b": 301, "(?)": 302})
        got = tokenizer.encode("S[SEP]aa|b(?)?", allow_special=True)
        same(got, [83, 300, 97, 301, 302, 63], 'ids of "S[SEP]aa|b(?)?"')

    def test_text_between_special_strings_stands_alone(self, kata):
        """What stands before and after a special string is encoded like two texts. The two blanks at the end of the
        first one are one chunk: nothing follows them there."""
        tokenizer = kata.BPETokenizer(SPACED, special_tokens={END: 999})
        got = tokenizer.encode(f"x  {END} é", allow_special=True)
        same(got, [120, 256, 999, 261], f'ids of "x  {END} é"')

    def test_without_special_tokens_none_are_found(self, kata):
        """Then `allow_special` changes nothing. A pattern made of no strings matches everywhere, and would cut the
        text into characters."""
        for text in ("low low", END, ""):
            expected = kata.BPETokenizer(LOW).encode(text)
            same(kata.BPETokenizer(LOW).encode(text, allow_special=True), expected, f"ids of {text!r}")

    def test_a_vocab_gives_its_own_ids(self, kata):
        """With `vocab` all ids come from there, those of single bytes as well, as in GPT-2's files."""
        vocab = {bytes([byte]): 300 - byte for byte in range(256)} | {b"lo": 7, b"low": 301, b" low": 3}
        tokenizer = kata.BPETokenizer(LOW, vocab)
        unlike = {"the ids that there are without vocab": [257, 258, 33]}
        same(tokenizer.encode("low low!"), [301, 3, 267], 'ids of "low low!"', unlike)
        same(tokenizer.decode([301, 3, 267]), "low low!", "text")
        same(tokenizer.vocab, vocab, "vocab")
        check.equal(tokenizer.vocab_size, 259, what="vocab_size")

    @pytest.mark.edge
    def test_rank_is_the_place_in_the_list(self, kata):
        """Which pair goes first does not depend on ids: here ab has a lower one than bc, but was learned later. And
        a pair that is listed twice has its first place."""
        merges = [(b"b", b"c"), (b"a", b"b")]
        vocab = {bytes([byte]): byte + 10 for byte in range(256)} | {b"ab": 0, b"bc": 1}
        got = kata.BPETokenizer(merges, vocab).encode_bytes(b"abc")
        same(got, [107, 1], "ids of abc", {"the lowest id first": [0, 109]})
        twice = kata.BPETokenizer([(b"b", b"c"), (b"a", b"b"), (b"b", b"c")])
        same(twice.encode_bytes(b"abc"), [97, 256], "ids of abc", {"the last place of a pair counts": [257, 99]})

    def test_equal_results_share_an_id(self, kata):
        """ab + c and a + bc are the same bytes: one token, one id. The next new token gets the next id."""
        merges = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc"), (b"abc", b"d")]
        tokenizer = kata.BPETokenizer(merges)
        got = {token: tokenizer.vocab.get(token) for token in (b"ab", b"bc", b"abc", b"abcd")}
        unlike = {"an id for each merge": {b"ab": 256, b"bc": 257, b"abc": 259, b"abcd": 260}}
        unlike["an id left out"] = {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 260}
        unlike["a token that is there already numbered anew"] = {b"ab": 256, b"bc": 257, b"abc": 259, b"abcd": 259}
        same(got, {b"ab": 256, b"bc": 257, b"abc": 258, b"abcd": 259}, "ids", unlike)
        check.equal(tokenizer.vocab_size, 260, what="vocab_size")
        same(tokenizer.encode("abcd abc"), [259, 32, 258], 'ids of "abcd abc"')

    def test_nothing_becomes_nothing(self, kata):
        """No text has no ids, and no ids are no text."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        same(tokenizer.encode(""), [], 'ids of ""')
        same(tokenizer.encode("", allow_special=True), [], 'ids of "" with allow_special')
        same(tokenizer.encode_bytes(b""), [], "ids of no bytes")
        same(tokenizer.decode([]), "", "text of no ids")

    def test_ids_may_be_a_tensor(self, kata):
        """What a model has sampled is a tensor. Any other iterable will do as well."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        for ids in (torch.tensor([257, 33, 259]), iter([257, 33, 259])):
            same(tokenizer.decode(ids), f"low!{END}", f"text of the ids in {check.describe(ids)}")
        same(tokenizer.decode_bytes(torch.tensor([257, 33])), b"low!", "bytes of the ids in a tensor")

    @pytest.mark.edge
    def test_an_unknown_id_is_refused(self, kata):
        """The first id that no token has, one in a gap below a special token, a negative one."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 1000})
        for i in (259, 999, 1001, -1):
            with check.raises(ValueError, i):
                tokenizer.decode([257, i])
            with check.raises(ValueError, i):
                tokenizer.decode_bytes([257, i])

    @pytest.mark.edge
    def test_a_special_id_must_be_free(self, kata):
        """Two tokens with one id could not be told apart: not with a byte, not with a merge, not with each other."""
        for special in ({END: 108}, {END: 258}, {END: 259, "<|user|>": 259}):
            with check.raises(ValueError):
                kata.BPETokenizer(LOW, special_tokens=special)
        vocab = {bytes([byte]): byte + 1 for byte in range(256)}
        got = kata.BPETokenizer([], vocab, {END: 0}).encode(END, allow_special=True)
        same(got, [0], f"ids of {END} with the id 0, which vocab leaves free")

    def test_what_is_passed_in_stays_as_it_is(self, kata):
        """Lists and dicts belong to the caller."""
        merges, special = list(LOW), {END: 259}
        vocab = {bytes([byte]): byte for byte in range(256)} | {b"lo": 256, b"low": 257, b" low": 258}
        kept = dict(vocab)
        tokenizer = kata.BPETokenizer(merges, vocab, special)
        tokenizer.decode(tokenizer.encode(f"low{END}", allow_special=True))
        same(merges, LOW, "merges after the calls")
        same(vocab, kept, "vocab after the calls")
        same(special, {END: 259}, "special_tokens after the calls")


@pytest.mark.stretch
class TestSaveGpt2Files:
    def test_encoder_json_holds_all_tokens(self, kata, tmp_path):
        """A JSON object from token to id, for all bytes and merges. Tokens are spelled as GPT-2 spells them: " low"
        is Ġlow."""
        kata.save_gpt2_files(kata.BPETokenizer(LOW), tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        got = json.loads((tmp_path / "encoder.json").read_bytes())
        expected = {spelled(bytes([byte])): byte for byte in range(256)} | {"lo": 256, "low": 257, "Ġlow": 258}
        check.that(" low" not in got, '" low" stands there with a raw space: it is spelled "Ġlow"')
        same(got, expected, "encoder.json")

    def test_vocab_bpe_holds_the_merges(self, kata, tmp_path):
        """A header, then a merge a line, by rank: the two parts with a space between them, which is why a space that
        belongs to a token needs another spelling."""
        kata.save_gpt2_files(kata.BPETokenizer(LOW), tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        lines = (tmp_path / "vocab.bpe").read_bytes().decode().splitlines()
        same(lines, ["#version: 0.2", "l o", "lo w", "Ġ low"], "lines of vocab.bpe")

    def test_bytes_that_are_no_text_are_spelled_too(self, kata, tmp_path):
        """Half an emoji, a newline, a zero: each byte of a token is spelled by itself."""
        merges = [(b"\xf0", b"\x9f"), (b"\n", b"\n"), (b"\x00", b"#"), (b"\xc2", b"\xad")]
        kata.save_gpt2_files(kata.BPETokenizer(merges), tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        lines = (tmp_path / "vocab.bpe").read_bytes().decode().splitlines()
        same(lines[1:], ["ð Ł", "Ċ Ċ", "Ā #", "Â Ń"], "merges in vocab.bpe")
        got = json.loads((tmp_path / "encoder.json").read_bytes())
        expected = {"ðŁ": 256, "ĊĊ": 257, "Ā#": 258, "ÂŃ": 259}
        same({key: got.get(key) for key in expected}, expected, "entries of encoder.json")

    def test_ids_are_those_of_the_tokenizer(self, kata, tmp_path):
        """With a vocab of its own, a byte's id is not its value."""
        vocab = {bytes([byte]): 300 - byte for byte in range(256)} | {b"lo": 7, b"low": 301, b" low": 3}
        kata.save_gpt2_files(kata.BPETokenizer(LOW, vocab), tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        got = json.loads((tmp_path / "encoder.json").read_bytes())
        same(got, {spelled(token): i for token, i in vocab.items()}, "encoder.json")

    def test_special_tokens_keep_their_own_string(self, kata, tmp_path):
        """They are no bytes to be spelled, whatever characters they have, and no merges."""
        tokenizer = kata.BPETokenizer([], special_tokens={END: 256, "<|the end ∎|>": 300})
        kata.save_gpt2_files(tokenizer, str(tmp_path / "encoder.json"), str(tmp_path / "vocab.bpe"))
        got = json.loads((tmp_path / "encoder.json").read_bytes())
        same({key: got.get(key) for key in (END, "<|the end ∎|>")}, {END: 256, "<|the end ∎|>": 300}, "special entries")
        check.equal(len(got), 258, what="number of entries")
        same((tmp_path / "vocab.bpe").read_bytes().decode().splitlines(), ["#version: 0.2"], "lines of vocab.bpe")

    def test_the_tokenizer_stays_as_it_is(self, kata, tmp_path):
        """Saving only looks."""
        tokenizer = kata.BPETokenizer(LOW, special_tokens={END: 259})
        before = [list(tokenizer.merges), dict(tokenizer.vocab), dict(tokenizer.special_tokens)]
        kata.save_gpt2_files(tokenizer, tmp_path / "encoder.json", tmp_path / "vocab.bpe")
        for name, value in zip(("merges", "vocab", "special_tokens"), before, strict=True):
            same(getattr(tokenizer, name), value, f"{name} after saving")


@pytest.mark.stretch
class TestLoadGpt2Files:
    def test_merges_are_read_in_order(self, kata, tmp_path):
        """The header is no merge; then each line is one, from rank 0."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW))
        is_one = isinstance(tokenizer, kata.BPETokenizer)
        check.that(is_one, f"expected a BPETokenizer, got {check.describe(tokenizer)}")
        same(list(tokenizer.merges), LOW, "merges")

    def test_ids_come_from_the_file(self, kata, tmp_path):
        """GPT-2 numbers the bytes that print first: "!" is 0, and a space 220. The 260 entries here are in its
        order: 256 bytes, three merges and <|endoftext|>."""
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, [END]))
        same(tokenizer.encode("! low"), [0, 258], 'ids of "! low"', {"the byte's value as its id": [33, 258]})
        same(tokenizer.encode(" !\n"), [220, 0, 198], 'ids of " !\\n"', {"the byte's value as its id": [32, 33, 10]})
        same(tokenizer.decode([0, 258, 220]), "! low ", "text of the ids 0, 258 and 220")
        expected = {bytes([byte]): i for i, byte in enumerate(GPT2_ORDER)} | {b"lo": 256, b"low": 257, b" low": 258}
        same(tokenizer.vocab, expected, "vocab")

    def test_other_entries_are_special_tokens(self, kata, tmp_path):
        """Neither a byte nor the result of a merge: then it is special, also if it could be read as spelled bytes,
        or could not, because it has a space."""
        special = [END, "lowest", "<|the end ∎|>"]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, special))
        same(tokenizer.special_tokens, {END: 259, "lowest": 260, "<|the end ∎|>": 261}, "special_tokens")
        check.equal(tokenizer.vocab_size, 262, what="vocab_size")
        same(tokenizer.encode(f"low{END}", allow_special=True), [257, 259], "ids with allow_special")

    def test_a_number_sign_is_no_comment(self, kata, tmp_path):
        """Only the first line is a header. "# #" further down is a merge: Markdown and Python are full of it."""
        merges = [(b"#", b"#"), (b"##", b"##"), (b" ", b"#"), (b"#", b"!")]
        tokenizer = kata.load_gpt2_files(*write_files(tmp_path, merges))
        same(list(tokenizer.merges), merges, "merges", {"lines with # dropped": [(b" ", b"#")]})

    def test_the_last_line_may_end_without_a_newline(self, kata, tmp_path):
        """Then it is a merge all the same; and what follows the last newline is none."""
        for end in ("", "\n"):
            tokenizer = kata.load_gpt2_files(*write_files(tmp_path, LOW, end=end))
            same(list(tokenizer.merges), LOW, f"merges of a file that ends in {end!r}")

    def test_bytes_that_are_no_text_are_read_too(self, kata, tmp_path):
        """Each character of a spelling is one byte. Half an emoji becomes a token of two bytes."""
        merges = [(b"\xf0", b"\x9f"), (b"\n", b"\n"), (b"\x00", b"\xff"), (b"\xc2", b"\xa0")]
        paths = [str(path) for path in write_files(tmp_path, merges)]
        tokenizer = kata.load_gpt2_files(*paths)
        same(list(tokenizer.merges), merges, "merges")
        same(tokenizer.decode_bytes([256, 257, 258, 259]), b"\xf0\x9f\n\n\x00\xff\xc2\xa0", "bytes of the merges' ids")

    def test_saved_and_loaded_it_is_the_same(self, kata, tmp_path):
        """Same merges, same ids, same special tokens, and the same ids for any text, blanks and emoji included."""
        equal_results = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc"), (b"abc", b"d")]
        for merges in (SPACED, equal_results):
            saved = kata.BPETokenizer(merges, special_tokens={END: 700})
            kata.save_gpt2_files(saved, tmp_path / "encoder.json", tmp_path / "vocab.bpe")
            loaded = kata.load_gpt2_files(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
            for name in ("merges", "vocab", "special_tokens"):
                same(getattr(loaded, name), getattr(saved, name), f"{name} after saving and loading")
            for name, text in TEXTS.items():
                same(loaded.encode(text), saved.encode(text), f"ids of {name}")

    @pytest.mark.edge
    def test_a_missing_byte_is_refused(self, kata, tmp_path):
        """Some text could not be encoded then."""
        for missing in ("!", "Ġ", "Ń"):
            paths = write_files(tmp_path, LOW, without=[missing])
            with check.raises(ValueError):
                kata.load_gpt2_files(*paths)

    @pytest.mark.edge
    def test_a_missing_merge_is_refused(self, kata, tmp_path):
        """A pair would be merged into a token without an id."""
        for missing in ("lo", "Ġlow"):
            paths = write_files(tmp_path, LOW, without=[missing])
            with check.raises(ValueError):
                kata.load_gpt2_files(*paths)


@pytest.mark.stretch
class TestBytesPerToken:
    def test_anything_that_encodes_will_do(self, kata):
        """All it needs is a method `encode` that takes a text."""
        in_threes = SimpleNamespace(encode=lambda text: [len(text[i : i + 3]) for i in range(0, len(text), 3)])
        check.close(kata.bytes_per_token(in_threes, "abcdefgh"), 8 / 3)
        check.that(type(kata.bytes_per_token(in_threes, "abc")) is float, "3 bytes in 1 token should be the float 3.0")

    def test_bytes_of_the_text_over_tokens(self, kata):
        """With the merges for low, the eight bytes of "low low!" are three tokens. Without merges it is one byte a
        token."""
        unlike = {"turned round": 3 / 8, "characters of the last token": 1.0}
        check.close(kata.bytes_per_token(kata.BPETokenizer(LOW), "low low!"), 8 / 3, unlike=unlike)
        check.close(kata.bytes_per_token(kata.BPETokenizer([]), "low low!"), 1.0)

    def test_utf8_bytes_count(self, kata):
        """é is one character and two bytes, 🙂 four. With one token a character, "é🙂" has six bytes in two tokens."""
        text = "é🙂"
        got = kata.bytes_per_token(kata.CharTokenizer(text), text)
        check.close(got, 3.0, unlike={"characters counted": 1.0, "bytes of UTF-16": 4.0})
        check.close(kata.bytes_per_token(kata.BPETokenizer([]), text), 1.0, unlike={"characters counted": 1 / 3})

    @pytest.mark.edge
    def test_an_empty_text_is_refused(self, kata):
        """Nothing divided by nothing is no measure."""
        for tokenizer in (kata.CharTokenizer("a"), kata.BPETokenizer(LOW)):
            with check.raises(ValueError):
                kata.bytes_per_token(tokenizer, "")
