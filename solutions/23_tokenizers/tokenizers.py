"""Tokenizers: text to ids and back, one id for each character, or byte pairs merged as GPT-2 merges them.

While pairs are merged a token is a `bytes` object. Ids appear only at the end, when a vocabulary numbers the tokens.
"""

import json  # stub: keep
import re  # stub: keep
from collections import Counter
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
        vocab_size: number of characters.

    Edge cases ★
        An empty `text` is an error.
    """

    def __init__(self, text: str):
        if not text:
            raise ValueError("a vocabulary needs at least one character, and the text is empty")
        self.itos = dict(enumerate(sorted(set(text))))
        self.stoi = {character: i for i, character in self.itos.items()}
        self.vocab_size = len(self.itos)

    def encode(self, text: str) -> list[int]:
        """Return the id of each character, in a list.

        Edge cases ★
            "" gives []. A character outside the vocabulary is an error that names it and its position, from 0.
        """
        for position, character in enumerate(text):
            if character not in self.stoi:
                raise ValueError(f"the character {character!r} at position {position} is not in the vocabulary")
        return [self.stoi[character] for character in text]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Return the text of these ids.

        Edge cases ★
            `ids` may be any iterable of ints or a 1-D tensor; none give "". An id outside 0 … vocab_size − 1 is an
            error, negative ones included.
        """
        characters = []
        for i in map(int, ids):
            if i not in self.itos:
                raise ValueError(f"there is no id {i}: they go from 0 to {self.vocab_size - 1}")
            characters.append(self.itos[i])
        return "".join(characters)


def bytes_to_unicode() -> dict[int, str]:
    """Spell each byte with a printable character, as GPT-2 does, so that any token can be written to a text file.

    Returns:
        A dict from each byte, 0 to 255, to one character:

        - bytes 33-126, 161-172 and 174-255 are printable as they are: `chr(byte)`
        - the other 68, in rising order, are `chr(256)`, `chr(257)`, `chr(258)`, … So byte 0 is "Ā", a newline "Ċ" and a
          space "Ġ".
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(256 + others.index(byte)) if byte in others else chr(byte) for byte in range(256)}


def count_pairs(tokens: Sequence[T]) -> dict[tuple[T, T], int]:
    """Count how often each pair of neighbours occurs.

    Args:
        tokens: ints, `bytes`, or anything that can be the key of a dict.
    Returns:
        A dict (or a subclass) with the pairs that occur, and no others. Overlapping pairs all count: [1, 1, 1] holds
        (1, 1) twice.

    Edge cases ★
        Fewer than two tokens hold no pair. `tokens` may be a tuple, and stays as it is.
    """
    return Counter(zip(tokens, tokens[1:], strict=False))


def merge_pair(tokens: Sequence[T], pair: tuple[T, T], merged: T) -> list[T]:
    """Put one token in place of a pair, wherever it occurs.

    Args:
        tokens: ints, `bytes`, or anything that `==` compares.
        pair: the two neighbours to look for.
        merged: the token in their place.
    Returns:
        A list. Pairs are taken from left to right, and a token is part of one at most: (1, 1) → 9 makes [9, 1] of
        [1, 1, 1], and [9, 9] of four ones.

    Edge cases ★
        The list is a new one and `tokens` stays as it is. A merged token is never half of a pair in the same call.
    """
    out = []
    i = 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            out.append(merged)
            i += 2
        else:
            out.append(tokens[i])
            i += 1
    return out


def train_bpe(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Learn from a text which pairs to merge, the most frequent first.

    Cut the text into chunks with `SPLIT_PATTERN`, and each chunk into its UTF-8 bytes: the first tokens. Then, again
    and again, merge the pair that occurs most often (as in `count_pairs` and `merge_pair`):

    - A pair is two neighbours in one chunk. Counts are over the whole text: a chunk that occurs ten times counts ten
      times.
    - Of equally frequent pairs take the smallest, in Python's order of the tuples (left, right).
    - Stop when no pair occurs at least twice.

    Args:
        text: the text to learn from.
        vocab_size: 256 for the bytes, plus the largest number of merges.
    Returns:
        The merges in order, tuples (left, right) of `bytes`. "low low lower" gives (b"l", b"o"), (b"lo", b"w"),
        (b" ", b"low").

    Edge cases ★
        A vocab_size below 256 is an error.
    """
    if vocab_size < 256:
        raise ValueError(f"the bytes alone are 256 tokens, so vocab_size can not be {vocab_size}")
    chunks = Counter(re.findall(SPLIT_PATTERN, text))
    words = [([bytes([byte]) for byte in chunk.encode()], times) for chunk, times in chunks.items()]
    merges = []
    while 256 + len(merges) < vocab_size:
        counts = Counter()
        for tokens, times in words:
            for pair, count in count_pairs(tokens).items():
                counts[pair] += count * times
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if best is None or counts[best] < 2:
            break
        merges.append(best)
        words = [(merge_pair(tokens, best, best[0] + best[1]), times) for tokens, times in words]
    return merges


class BPETokenizer:
    """Byte-level byte-pair encoding: starts from the bytes of a text and merges pairs in the order they were learned.

    With the merges [(b"l", b"o"), (b"lo", b"w")] the text "low!" is the bytes l, o, w, !, then lo, w, !, then low, !:
    the ids [257, 33].
    """

    def __init__(
        self,
        merges: Sequence[tuple[bytes, bytes]],
        vocab: dict[bytes, int] | None = None,
        special_tokens: dict[str, int] | None = None,
    ):
        """Number the tokens: the bytes, the results of merges, and the special tokens.

        Args:
            merges: pairs of `bytes`, as `train_bpe` returns them: single bytes or results of earlier merges.
            vocab: the id of each token, for all single bytes and all results of merges. By default byte b has the id
                b, and the results of merges have 256, 257, … in order.
            special_tokens: ids of strings with a meaning of their own, such as {"<|endoftext|>": 50256}.
        Attributes:
            merges: list of the merges.
            vocab: dict from `bytes` to id, without special tokens.
            special_tokens: dict from string to id; empty if there are none.
            vocab_size: number of all tokens, special ones included.

        Edge cases ★
            Merges with equal results share one id, and no id is left out. A special token whose id is taken is an
            error. The arguments stay as they are.
        """
        self.merges = list(merges)
        self.vocab = _default_vocab(self.merges) if vocab is None else dict(vocab)
        self.special_tokens = dict(special_tokens or {})
        self.vocab_size = len(self.vocab) + len(self.special_tokens)
        self._ranks = {}
        for rank, pair in enumerate(self.merges):
            self._ranks.setdefault(pair, rank)
        self._bytes = {i: token for token, i in self.vocab.items()}
        for string, i in self.special_tokens.items():
            if i in self._bytes:
                raise ValueError(f"{string!r} can not have the id {i}: {self._bytes[i]!r} has it")
            self._bytes[i] = string.encode()

    def encode_bytes(self, data: bytes) -> list[int]:
        """Return the ids of these bytes, taken as one chunk, without any cutting.

        Start with one token for each byte. As long as two neighbours are a pair of `merges`, merge the pair with the
        lowest rank, which is its index in `merges`, whatever ids the tokens have; of equal pairs the leftmost. With
        [(b"b", b"c"), (b"a", b"b")] the bytes abc become a and bc: what was learned first is merged first.

        Edge cases ★
            A pair that is listed twice has its first rank. b"" gives [].
        """
        tokens = [bytes([byte]) for byte in data]
        while known := [pair for pair in count_pairs(tokens) if pair in self._ranks]:
            best = min(known, key=self._ranks.get)
            tokens = merge_pair(tokens, best, best[0] + best[1])
        return [self.vocab[token] for token in tokens]

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Return the ids of a text: cut with `SPLIT_PATTERN`, and the UTF-8 bytes of each chunk encoded by themselves.

        Args:
            text: any string without lone surrogates.
            allow_special: whether special strings in `text` become their ids. By default they are text like any other,
                so that users cannot end a document by typing "<|endoftext|>".

        The text before and after a special string is encoded as if it stood alone.

        Edge cases ★
            Special strings may touch, and be at both ends. Where several match, the longest is taken. Without special
            tokens `allow_special` changes nothing. "" gives [].
        """
        if not (allow_special and self.special_tokens):
            return self._encode_plain(text)
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        ids = []
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text):
            ids += [self.special_tokens[part]] if part in self.special_tokens else self._encode_plain(part)
        return ids

    def decode_bytes(self, ids: Iterable[int] | Tensor) -> bytes:
        """Return the bytes of these ids, joined. A special id gives the UTF-8 bytes of its string.

        Edge cases ★
            `ids` may be any iterable of ints or a 1-D tensor. An unknown id is an error that names it.
        """
        tokens = []
        for i in map(int, ids):
            if i not in self._bytes:
                raise ValueError(f"no token has the id {i}")
            tokens.append(self._bytes[i])
        return b"".join(tokens)

    def decode(self, ids: Iterable[int] | Tensor, errors: str = "replace") -> str:
        """Return the text of these ids: their bytes are joined first, and decoded as UTF-8 once.

        A character can be spread over several tokens, so a token alone need not be text, but `decode(encode(text))` is
        `text` again.

        Args:
            ids: token ids; special ones become their string.
            errors: as in `bytes.decode`: "replace" puts "�" for bytes that are not UTF-8.

        Edge cases ★
            `ids` may be any iterable of ints or a 1-D tensor; none give "". An unknown id is an error that names it.
        """
        return self.decode_bytes(ids).decode(errors=errors)

    def _encode_plain(self, text: str) -> list[int]:
        """Chunk by chunk; each different chunk is encoded once."""
        chunks = re.findall(SPLIT_PATTERN, text)
        known = {chunk: self.encode_bytes(chunk.encode()) for chunk in set(chunks)}
        return [i for chunk in chunks for i in known[chunk]]


def save_gpt2_files(tokenizer: BPETokenizer, encoder_path: str | Path, bpe_path: str | Path) -> None:
    """Write a tokenizer as the two files in which GPT-2's is published.

    Args:
        tokenizer: the tokenizer to write.
        encoder_path: for `encoder.json`: one JSON object from token to id. Regular tokens are spelled byte by byte with
            `bytes_to_unicode`, so that b" low" is "Ġlow"; special tokens are written as they are.
        bpe_path: for `vocab.bpe`, a text file in UTF-8. Its first line is "#version: 0.2". Then there is one merge per
            line, by rank: the two parts, spelled in the same way, with a space between them.

    Edge cases ★
        The tokenizer stays as it is.
    """
    table = bytes_to_unicode()
    encoder = {_spelled(token, table): i for token, i in tokenizer.vocab.items()} | tokenizer.special_tokens
    pairs = [f"{_spelled(left, table)} {_spelled(right, table)}" for left, right in tokenizer.merges]
    Path(encoder_path).write_text(json.dumps(encoder), encoding="utf-8")
    Path(bpe_path).write_text("\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8")


def load_gpt2_files(encoder_path: str | Path, bpe_path: str | Path) -> BPETokenizer:
    """Read a tokenizer from two files as `save_gpt2_files` writes them, or as OpenAI did.

    Args:
        encoder_path: `encoder.json`. All ids come from here, those of single bytes too: in GPT-2 "!" has the id 0 and a
            space 220. An entry that is neither a single byte nor the result of a merge is a special token.
        bpe_path: `vocab.bpe`. Only the first line is a header: "# #" further down is a merge.
    Returns:
        A `BPETokenizer` with these merges, ids and special tokens.

    Edge cases ★
        Merges with equal results have one entry. The last line may end without a newline. A byte or a result of a merge
        without an id is an error.
    """
    table = bytes_to_unicode()
    byte_of = {character: byte for byte, character in table.items()}
    merges = []
    for line in Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:
        left, right = (bytes(byte_of[character] for character in part) for part in line.split(" "))
        merges.append((left, right))
    special_tokens = json.loads(Path(encoder_path).read_text(encoding="utf-8"))
    vocab = {}
    for token in _default_vocab(merges):
        spelling = _spelled(token, table)
        if spelling not in special_tokens:
            raise ValueError(f"{spelling!r} has no id in {encoder_path}")
        vocab[token] = special_tokens.pop(spelling)
    return BPETokenizer(merges, vocab, special_tokens)


def bytes_per_token(tokenizer: CharTokenizer | BPETokenizer, text: str) -> float:
    """Measure how much text one token holds: the UTF-8 bytes of the text divided by the number of its tokens.

    Args:
        tokenizer: either class, or anything else with a method `encode` from text to ids.
        text: the text to measure on.
    Returns:
        A float; 1.0 for a byte-level tokenizer without merges.

    Edge cases ★
        An empty `text` is an error.
    """
    if not text:
        raise ValueError("an empty text has no tokens to divide by")
    return len(text.encode()) / len(tokenizer.encode(text))


def _default_vocab(merges: Sequence[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """The bytes, then each new result of a merge, numbered in this order."""
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def _spelled(token: bytes, table: dict[int, str]) -> str:
    return "".join(table[byte] for byte in token)
