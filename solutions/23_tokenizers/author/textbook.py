"""Tokenizers: text to ids and back, one id for each character, or byte pairs merged as
GPT-2 merges them.

While pairs are merged a token is a `bytes` object. Ids appear only at the end, when a
vocabulary numbers the tokens.
"""

import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor

T = TypeVar("T")

# GPT-2's rule for cutting text into chunks, written for Python's re: the ends of
# English contractions; words, numbers and runs of other signs, each with the one space
# before it; white space. Joined, the chunks are the text again.
SPLIT_PATTERN = (
    r"'(?:s|t|re|ve|m|ll|d)| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+"
)


class CharTokenizer:
    """One id for each character that a text is made of."""

    def __init__(self, text: str):
        self.itos = sorted(set(text))
        self.stoi = {character: i for i, character in enumerate(self.itos)}
        self.vocab_size = len(self.itos)

    def encode(self, text: str) -> list[int]:
        """The id of each character, in a list; [] for ""."""
        return [self.stoi[character] for character in text]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """The text of these ids: an iterable of ints, walked through once, or a 1-D
        integer tensor.
        """
        return "".join(self.itos[i] for i in ids)


def bytes_to_unicode() -> dict[int, str]:
    """GPT-2's spelling of bytes: a printable character for each, so that a text file
    can hold any token.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in printable}
    others = [byte for byte in range(256) if byte not in table]
    table.update({byte: chr(256 + i) for i, byte in enumerate(others)})
    return table


def count_pairs(tokens: Sequence[T]) -> dict[tuple[T, T], int]:
    """Count each pair of neighbours."""
    return Counter(zip(tokens, tokens[1:]))


def merge_pair(tokens: Sequence[T], pair: tuple[T, T], merged: T) -> list[T]:
    """The tokens with one of them, `merged`, wherever `pair` was."""
    result = []
    i = 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            result.append(merged)
            i += 2
        else:
            result.append(tokens[i])
            i += 1
    return result


def train_bpe(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Learn from a text which pairs to merge, the most frequent first."""
    chunks = Counter(re.findall(SPLIT_PATTERN, text))
    words = [
        ([bytes([byte]) for byte in chunk.encode("utf-8")], n)
        for chunk, n in chunks.items()
    ]
    merges = []
    while len(merges) < vocab_size - 256:
        counts = Counter()
        for tokens, n in words:
            for pair, times in count_pairs(tokens).items():
                counts[pair] += times * n
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if counts[best] < 2:
            break
        merges.append(best)
        words = [
            (merge_pair(tokens, best, best[0] + best[1]), n) for tokens, n in words
        ]
    return merges


def train_bpe_fast(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Learn the same merges, but count once and then correct the counts of the chunks
    that a merge changes.
    """
    chunks = Counter(re.findall(SPLIT_PATTERN, text))
    words = [[bytes([byte]) for byte in chunk.encode("utf-8")] for chunk in chunks]
    times = list(chunks.values())
    counts = Counter()
    places = defaultdict(set)

    def add(i, sign):
        for pair, n in count_pairs(words[i]).items():
            counts[pair] += sign * n * times[i]
            places[pair].add(i)

    for i in range(len(words)):
        add(i, +1)
    merges = []
    while len(merges) < vocab_size - 256:
        best = min(counts, key=lambda pair: (-counts[pair], pair), default=None)
        if counts[best] < 2:
            break
        merges.append(best)
        for i in list(places[best]):
            add(i, -1)
            words[i] = merge_pair(words[i], best, best[0] + best[1])
            add(i, +1)
    return merges


class BPETokenizer:
    """Byte-level byte-pair encoding: starts from the bytes of a text and merges pairs
    in the order they were learned.
    """

    def __init__(
        self,
        merges: Sequence[tuple[bytes, bytes]],
        vocab: dict[bytes, int] | None = None,
        special_tokens: dict[str, int] | None = None,
    ):
        self.merges = list(merges)
        if vocab is None:
            vocab = {bytes([byte]): byte for byte in range(256)}
            for left, right in merges:
                vocab.setdefault(left + right, len(vocab))
        self.vocab = vocab
        self.special_tokens = special_tokens or {}
        self.vocab_size = len(self.vocab) + len(self.special_tokens)
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.tokens = {i: token for token, i in self.vocab.items()}
        self.tokens.update(
            {i: text.encode("utf-8") for text, i in self.special_tokens.items()}
        )

    def encode_bytes(self, data: bytes) -> list[int]:
        """The ids of these bytes, taken as one chunk; [] for b""."""
        tokens = [bytes([byte]) for byte in data]
        while len(tokens) > 1:
            pair = min(
                zip(tokens, tokens[1:]), key=lambda pair: self.ranks.get(pair, math.inf)
            )
            if pair not in self.ranks:
                break
            tokens = merge_pair(tokens, pair, pair[0] + pair[1])
        return [self.vocab[token] for token in tokens]

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """The ids of a text: cut with `SPLIT_PATTERN`, and the UTF-8 bytes of each
        chunk encoded by themselves.
        """
        ids = []
        if allow_special and self.special_tokens:
            longest_first = sorted(self.special_tokens, key=len, reverse=True)
            for part in re.split(
                "(" + "|".join(map(re.escape, longest_first)) + ")", text
            ):
                if part in self.special_tokens:
                    ids.append(self.special_tokens[part])
                else:
                    ids.extend(self.encode(part))
        else:
            for chunk in re.findall(SPLIT_PATTERN, text):
                ids.extend(self.encode_bytes(chunk.encode("utf-8")))
        return ids

    def decode_bytes(self, ids: Iterable[int] | Tensor) -> bytes:
        """The bytes that these ids stand for, joined; the id of a special token gives
        the UTF-8 bytes of its string.
        """
        return b"".join(self.tokens[int(i)] for i in ids)

    def decode(self, ids: Iterable[int] | Tensor, errors: str = "replace") -> str:
        """The text that these ids stand for: their bytes are joined first, and decoded
        as UTF-8 once.
        """
        return self.decode_bytes(ids).decode("utf-8", errors=errors)


CHARACTERS = bytes_to_unicode()


BYTES = {character: byte for byte, character in CHARACTERS.items()}


def _spell(token: bytes) -> str:
    return "".join(CHARACTERS[byte] for byte in token)


def _unspell(text: str) -> bytes:
    return bytes(BYTES[character] for character in text)


def save_gpt2_files(
    tokenizer: BPETokenizer, encoder_path: str | Path, bpe_path: str | Path
) -> None:
    """Write a tokenizer as the two files in which GPT-2's is published."""
    encoder = {
        _spell(token): i for token, i in tokenizer.vocab.items()
    } | tokenizer.special_tokens
    Path(encoder_path).write_text(
        json.dumps(encoder, ensure_ascii=False), encoding="utf-8"
    )
    lines = ["#version: 0.2"] + [
        f"{_spell(left)} {_spell(right)}" for left, right in tokenizer.merges
    ]
    Path(bpe_path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def load_gpt2_files(encoder_path: str | Path, bpe_path: str | Path) -> BPETokenizer:
    """Read a tokenizer from two files as `save_gpt2_files` writes them, or as
    OpenAI did.
    """
    encoder = json.loads(Path(encoder_path).read_text(encoding="utf-8"))
    lines = Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]
    merges = [tuple(_unspell(part) for part in line.split(" ")) for line in lines]
    tokens = [bytes([byte]) for byte in range(256)] + [
        left + right for left, right in merges
    ]
    vocab = {token: encoder.pop(_spell(token)) for token in dict.fromkeys(tokens)}
    return BPETokenizer(merges, vocab, special_tokens=encoder)


def bytes_per_token(tokenizer: CharTokenizer | BPETokenizer, text: str) -> float:
    """The amount of text in one token: the UTF-8 bytes of the text divided by the
    number of its tokens.
    """
    return len(text.encode("utf-8")) / len(tokenizer.encode(text))
