"""Tokenizers: text to ids and back, one id for each character, or byte pairs merged as GPT-2 merges them.

While pairs are merged a token is a `bytes` object. Ids appear only at the end, when a vocabulary numbers the tokens.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")

# GPT-2's rule for cutting text into chunks, written for Python's re: the ends of English contractions; words, numbers
# and runs of other signs, each with the one space before it; white space. Joined, the chunks are the text again.
SPLIT_PATTERN = r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"


class CharTokenizer:
    """One id for each character that a text is made of.

    The ids number the distinct characters in Python's order of strings: "hello" has "e" 0, "h" 1, "l" 2, "o" 3, and is
    encoded as [1, 0, 2, 2, 3].

    Args:
        text: the text whose characters are the vocabulary.
    Attributes:
        stoi: dict from character to id.
        itos: the character of each id, in a dict or a list.
        vocab_size: how many there are.
    Raises:
        ValueError: `text` is empty.
    """

    def __init__(self, text: str):
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        """The id of each character, in a list; [] for "".

        Raises:
            ValueError: a character is not in the vocabulary. The message holds the character and its position in
                `text`, counted from 0.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of these ids: an iterable of ints, walked through once, or a 1-D integer tensor.

        Raises:
            ValueError: an id is not in 0 … vocab_size - 1; negative ones do not count from the end. The message holds
                the id.
        """
        raise NotImplementedError


def bytes_to_unicode() -> dict[int, str]:
    """GPT-2's spelling of bytes: a printable character for each, so that any token can stand in a text file.

    Returns:
        A dict from each byte, 0 to 255, to one character:

        - bytes 33-126, 161-172 and 174-255 are printable as they are: `chr(byte)`
        - the other 68, in rising order, are `chr(256)`, `chr(257)`, `chr(258)`, … So byte 0 is "Ā", a newline "Ċ" and a
          space "Ġ".
    """
    raise NotImplementedError


def count_pairs(tokens: Sequence[T]) -> dict[tuple[T, T], int]:
    """How often each pair of neighbours occurs.

    Args:
        tokens: a list or tuple of tokens: ints, `bytes`, or anything that can be the key of a dict. It stays as it is.
    Returns:
        A dict (a subclass will do) with the pairs that occur, and no others. Overlapping pairs all count: [1, 1, 1]
        holds (1, 1) twice. Fewer than two tokens hold no pair.
    """
    raise NotImplementedError


def merge_pair(tokens: Sequence[T], pair: tuple[T, T], merged: T) -> list[T]:
    """The tokens with one of them, `merged`, wherever `pair` stood.

    Args:
        tokens: a list or tuple of tokens: ints, `bytes`, or anything else that `==` compares. It stays as it is.
        pair: the two neighbours to look for.
        merged: what stands for both of them afterwards.
    Returns:
        A new list. Pairs are taken from left to right, and a token that is part of one is not part of the next:
        (1, 1) → 9 makes [9, 1] of [1, 1, 1], and [9, 9] of four ones. Only what stands in `tokens` is merged, never
        `merged` itself.
    """
    raise NotImplementedError


def train_bpe(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Learn from a text which pairs to merge, the most frequent first.

    The text is cut into chunks with `SPLIT_PATTERN`, and each chunk into its UTF-8 bytes: the first tokens. Then, again
    and again, the pair that occurs most often becomes one token, everywhere in the text:

    - a pair is two neighbours in the same chunk; no merge crosses from one chunk to the next
    - it counts as in `count_pairs`, over the whole text: once in a word that stands there ten times is ten times
    - of pairs that occur equally often the smallest is taken, in Python's order of the tuples (left, right)
    - it is merged as in `merge_pair`, into left + right

    "low low lower" has the chunks "low", " low" and " lower". Three pairs repeat: (b"l", b"o") and (b"o", b"w") occur
    three times each, (b" ", b"l") twice. First (b"l", b"o") is merged, then (b"lo", b"w"), then (b" ", b"low").

    Args:
        text: what to learn from; an empty one teaches nothing.
        vocab_size: 256 for the bytes, plus one for each merge wanted.
    Returns:
        The merges in the order in which they were learned, each a tuple (left, right) of `bytes`. There are
        vocab_size - 256 of them, or fewer: learning stops as soon as no pair occurs at least twice.
    Raises:
        ValueError: vocab_size < 256.
    """
    raise NotImplementedError


class BPETokenizer:
    """Byte-level byte-pair encoding: starts from the bytes of a text and merges pairs in the order they were learned.

    With the merges [(b"l", b"o"), (b"lo", b"w")] the text "low!" is the bytes l, o, w, !, then lo, w, !, then low, !:
    the ids [257, 33].

    Args:
        merges: pairs of `bytes`, as `train_bpe` returns them: both parts of each are single bytes or results of earlier
            merges. The place of a pair in the list is its rank.
        vocab: the id of each token, for all single bytes and all results of merges. Without it, byte b has the id b,
            and the results of merges the next ids in order: 256, 257, …; a merge whose result already has an id shares
            it, and no id is left out.
        special_tokens: ids of strings that stand for something other than text, such as {"<|endoftext|>": 50256}. No
            string is empty.
    Attributes:
        merges: list of the merges.
        vocab: dict from `bytes` to id; without special tokens.
        special_tokens: dict from string to id; empty if there are none.
        vocab_size: how many tokens there are, regular and special together.

    What is passed in stays as it is.

    Raises:
        ValueError: the id of a special token is already taken, by a regular token or by another special one.
    """

    def __init__(
        self,
        merges: Sequence[tuple[bytes, bytes]],
        vocab: dict[bytes, int] | None = None,
        special_tokens: dict[str, int] | None = None,
    ):
        raise NotImplementedError

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of these bytes, taken as one chunk; [] for b"".

        It starts with one token for each byte. As long as two neighbours are a pair of `merges`, the pair with the
        lowest rank is merged, the leftmost one if it stands there several times. The rank of a pair is its index in
        `merges` (the first, if it is listed twice), whatever ids the tokens have. With [(b"b", b"c"), (b"a", b"b")] the
        bytes abc become a and bc: what was learned first is merged first, not what comes first in the text.

        No special tokens are looked for.
        """
        raise NotImplementedError

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text: cut with `SPLIT_PATTERN`, and the UTF-8 bytes of each chunk encoded by themselves.

        Args:
            text: any string without lone surrogates; "" has no ids.
            allow_special: whether a special string in `text` becomes its id. If not, it is text like any other, so that
                nobody ends a document by typing "<|endoftext|>".

        With `allow_special`, special strings are looked for from left to right; where several match at one place, the
        longest is taken. The text before, between and after them is encoded as if it stood alone.
        """
        raise NotImplementedError

    def decode_bytes(self, ids: Iterable[int] | Tensor) -> bytes:
        """The bytes that these ids stand for, joined; the id of a special token gives the UTF-8 bytes of its string.

        Args:
            ids: an iterable of ints, walked through once, or a 1-D integer tensor.
        Raises:
            ValueError: no token has this id. The message holds the id.
        """
        raise NotImplementedError

    def decode(self, ids: Iterable[int] | Tensor, errors: str = "replace") -> str:
        """The text that these ids stand for: their bytes are joined first, and decoded as UTF-8 once.

        A character can be spread over several tokens, so a token alone need not be text; but `decode(encode(text))` is
        `text` again.

        Args:
            ids: as in `decode_bytes`.
            errors: what becomes of bytes that are not UTF-8, as in `bytes.decode`: "replace" puts "�", "strict" raises
                UnicodeDecodeError, …
        Raises:
            ValueError: no token has this id.
        """
        raise NotImplementedError


def save_gpt2_files(tokenizer: BPETokenizer, encoder_path: str | Path, bpe_path: str | Path) -> None:
    """Write a tokenizer as the two files in which GPT-2's is published.

    Args:
        tokenizer: what to write. It stays as it is.
        encoder_path: where `encoder.json` goes: one JSON object from token to id, in UTF-8. Regular tokens are spelled
            byte by byte with `bytes_to_unicode`, so that b" low" is "Ġlow"; special tokens stand there as they are.
        bpe_path: where `vocab.bpe` goes, a text file in UTF-8. Its first line is "#version: 0.2"; then there is one
            merge a line, in the order of the ranks: the two parts, spelled in the same way, one space between them.

    `load_gpt2_files` makes an equal tokenizer of the two.
    """
    raise NotImplementedError


def load_gpt2_files(encoder_path: str | Path, bpe_path: str | Path) -> BPETokenizer:
    """Read a tokenizer from two files as `save_gpt2_files` writes them, or as OpenAI did.

    Args:
        encoder_path: `encoder.json`. All ids come from here, those of single bytes too: in GPT-2 "!" has the id 0 and a
            space 220. An entry that is neither a single byte nor the result of a merge is a special token.
        bpe_path: `vocab.bpe`. The first line is its header, and only that one: "# #" further down is a merge. The last
            line may end in a newline or not.
    Returns:
        A `BPETokenizer` with these merges, in this order, these ids and these special tokens.
    Raises:
        ValueError: a single byte, or the result of a merge, has no id in `encoder.json`.
    """
    raise NotImplementedError


def bytes_per_token(tokenizer: CharTokenizer | BPETokenizer, text: str) -> float:
    """How much text one token holds: the UTF-8 bytes of the text divided by the number of its tokens.

    Args:
        tokenizer: either class, or anything else with a method `encode` from text to ids.
        text: what to measure on.
    Raises:
        ValueError: `text` is empty.
    """
    raise NotImplementedError
