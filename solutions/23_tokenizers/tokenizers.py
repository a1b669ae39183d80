"""Tokenizers: text to ids and back, with one id per character, or with byte pairs
merged as GPT-2 merges them.

While pairs are merged a token is a `bytes` object. Ids appear only at the end, when a
vocabulary numbers the tokens.
"""

import json  # stub: keep
import re  # stub: keep
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
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
    """Give every character of a text its own id.

    The ids number the distinct characters in sorted order: "hello" has "e" 0, "h" 1,
    "l" 2, "o" 3 and is encoded as [1, 0, 2, 2, 3].

    Args:
        text: its characters are the vocabulary.
    Attributes:
        stoi: dict from character to id.
        itos: the character of each id, in a dict or a list.
        vocab_size: the number of characters.

    Edge cases ★
        An empty `text` is an error.
    """

    def __init__(self, text: str):
        if not text:
            raise ValueError(
                "a vocabulary needs at least one character, and the text is empty"
            )
        self.itos = dict(enumerate(sorted(set(text))))
        self.stoi = {character: i for i, character in self.itos.items()}
        self.vocab_size = len(self.itos)

    def encode(self, text: str) -> list[int]:
        """Look up the id of each character.

        Edge cases ★
            An empty text has no ids: []. An unknown character is an error that names it
            and its position in `text`, counted from 0.
        """
        for position, character in enumerate(text):
            if character not in self.stoi:
                raise ValueError(
                    f"the character {character!r} at position {position} is not in "
                    "the vocabulary"
                )
        return [self.stoi[character] for character in text]

    def decode(self, ids: Iterable[int] | Tensor) -> str:
        """Join the characters of these ids.

        Edge cases ★
            `ids` may be a 1-D integer tensor or an iterator, and may be empty. An id
            outside 0 … vocab_size − 1 is an error; negative ids do not count from
            the end.
        """
        characters = []
        for i in map(int, ids):
            if i not in self.itos:
                raise ValueError(
                    f"there is no id {i}: they go from 0 to {self.vocab_size - 1}"
                )
            characters.append(self.itos[i])
        return "".join(characters)


def bytes_to_unicode() -> dict[int, str]:
    """Spell every byte with one printable character, as GPT-2's files do.

    Returns:
        A dict from each byte, 0 to 255, to a character:

        - bytes 33–126, 161–172 and 174–255 are printable as they are: `chr(byte)`
        - the other 68 become, in rising order, `chr(256)`, `chr(257)`, `chr(258)`, … So
          byte 0 is "Ā", a newline "Ċ" and a space "Ġ".
    """
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    return {
        byte: chr(256 + others.index(byte)) if byte in others else chr(byte)
        for byte in range(256)
    }


def count_pairs(tokens: Sequence[T]) -> dict[tuple[T, T], int]:
    """Count each pair of neighbours.

    Args:
        tokens: a list of ints or of `bytes`.
    Returns:
        A dict (or a subclass of it) with the pairs that occur. Overlapping pairs all
        count: [1, 1, 1] holds (1, 1) twice.

    Edge cases ★
        `tokens` may be a tuple, and stays as it is. Fewer than two tokens hold no pair.
    """
    return Counter(zip(tokens, tokens[1:], strict=False))


def merge_pair(tokens: Sequence[T], pair: tuple[T, T], merged: T) -> list[T]:
    """Replace a pair of neighbours by one token, everywhere.

    Args:
        tokens: a list of ints or of `bytes`.
        pair: the two neighbours to look for, compared with `==`.
        merged: the token that replaces them.
    Returns:
        A list. Merge from left to right; pairs never share a token: (1, 1) → 9 turns
        [1, 1, 1] into [9, 1].
        Only tokens of `tokens` form pairs, never a `merged` from this call.

    Edge cases ★
        `tokens` may be a tuple or empty. It stays as it is: the result is always a
        new list.
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

    Cut the text with `SPLIT_PATTERN`, and each chunk into its UTF-8 bytes. Then repeat:
    merge the most frequent pair into left + right, in all chunks.

    - No pair crosses a chunk border.
    - Counts are over the whole text: a pair in a word that occurs ten times counts
      ten times.
    - Ties go to the smallest tuple (left, right).

    In "low low lower" the merges are (b"l", b"o"), (b"lo", b"w") and (b" ", b"low").

    Args:
        text: the text to learn from.
        vocab_size: 256 for the bytes, plus one per merge.
    Returns:
        The merges in the order learned: vocab_size − 256 of them, or fewer once no pair
        occurs twice.

    Edge cases ★
        An empty text gives no merges: []. A `vocab_size` below 256 is an error.
    """
    if vocab_size < 256:
        raise ValueError(
            f"the bytes alone are 256 tokens, so vocab_size cannot be {vocab_size}"
        )
    chunks = Counter(re.findall(SPLIT_PATTERN, text))
    words = [
        ([bytes([byte]) for byte in chunk.encode()], times)
        for chunk, times in chunks.items()
    ]
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
        words = [
            (merge_pair(tokens, best, best[0] + best[1]), times)
            for tokens, times in words
        ]
    return merges


def train_bpe_fast(text: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Learn the merges of `train_bpe` without counting everything anew for each
    of them.

    Count the pairs of all chunks once, and note per pair which chunks hold it. A merge
    changes only the chunks that hold its pair: subtract their old pairs, merge, add
    their new ones. Where (b"o", b"w") is merged in "low", the pair (b"l", b"o") occurs
    once less, and (b"l", b"ow") once more.

    Args:
        text, vocab_size: as for `train_bpe`.
    Returns:
        The merges of `train_bpe` in the same order, ties included.

    In a text of 300 rare and 15 frequent chunks, where all merges are in the frequent
    ones, 45 merges run fewer than 4 times as many lines of your code as 5.

    Edge cases ★
        As for `train_bpe`.
    """
    if vocab_size < 256:
        raise ValueError(
            f"there is no vocabulary of {vocab_size} tokens: the bytes alone are 256"
        )
    frequencies = Counter(re.findall(SPLIT_PATTERN, text))
    words, times = (
        [[bytes([byte]) for byte in chunk.encode()] for chunk in frequencies],
        list(frequencies.values()),
    )
    # per pair: how often it occurs, the words that hold it or held it
    counts, holders = Counter(), defaultdict(set)
    changed, heap, merges = set(), [], []

    def add(i: int, sign: int) -> None:
        """Add the pairs of word i to the counts, or subtract them."""
        for pair, count in count_pairs(words[i]).items():
            counts[pair] += sign * count * times[i]
            holders[pair].add(i)
            changed.add(pair)

    for i in range(len(words)):
        add(i, 1)
    while 256 + len(merges) < vocab_size:
        for pair in changed:
            heappush(heap, (-counts[pair], pair))
        changed.clear()
        while heap and -heap[0][0] != counts[heap[0][1]]:
            heappop(heap)  # the count has changed since, and a newer entry holds it
        if not heap or heap[0][0] > -2:
            break
        best = heappop(heap)[1]
        merges.append(best)
        for i in holders.pop(best):
            add(i, -1)
            words[i] = merge_pair(words[i], best, best[0] + best[1])
            add(i, 1)
    return merges


class BPETokenizer:
    """Byte-level byte-pair encoding: start from the bytes of a text and merge pairs in
    the order they were learned.

    With the merges [(b"l", b"o"), (b"lo", b"w")] the text "low!" is the bytes l, o,
    w, !, then lo, w, !, then low, !. Its ids are [257, 33].
    """

    def __init__(
        self,
        merges: Sequence[tuple[bytes, bytes]],
        vocab: dict[bytes, int] | None = None,
        special_tokens: dict[str, int] | None = None,
    ):
        """Number the tokens.

        Args:
            merges: pairs of `bytes`, as `train_bpe` returns them. The index of a pair
                is its rank.
            vocab: the id of each single byte and each result of a merge. By default
                byte b has the id b, and the results of the merges have the next ids in
                order: 256, 257, …
            special_tokens: ids of strings that are not text, such as
                {"<|endoftext|>": 50256}.
        Attributes:
            merges: list of pairs.
            vocab: dict from `bytes` to id, without special tokens.
            special_tokens: dict from string to id.
            vocab_size: the number of tokens, regular and special.

        Edge cases ★
            Two merges that give the same bytes share one id, and the next new token has
            the next id. A special id that another token has already is an error. The
            arguments stay as they are.
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
                raise ValueError(
                    f"{string!r} cannot have the id {i}: {self._bytes[i]!r} has it"
                )
            self._bytes[i] = string.encode()

    def encode_bytes(self, data: bytes) -> list[int]:
        """Encode bytes as one chunk.

        Start with one token per byte. While two neighbours are a pair of `merges`,
        merge the pair with the lowest rank, at its leftmost place. The rank of a pair
        is its index in `merges`, whatever the ids are. With
        [(b"b", b"c"), (b"a", b"b")] the bytes abc become a, bc.

        Edge cases ★
            If a pair is listed twice, its first index counts. b"" has no ids: [].
        """
        tokens = [bytes([byte]) for byte in data]
        while known := [pair for pair in count_pairs(tokens) if pair in self._ranks]:
            best = min(known, key=self._ranks.get)
            tokens = merge_pair(tokens, best, best[0] + best[1])
        return [self.vocab[token] for token in tokens]

    def encode(self, text: str, allow_special: bool = False) -> list[int]:
        """Encode a text: cut it with `SPLIT_PATTERN`, and encode the UTF-8 bytes of
        each chunk separately.

        Args:
            text: a string without lone surrogates.
            allow_special: whether a special string in `text` becomes its id. By default
                it is ordinary text, so that nobody ends a document by typing
                "<|endoftext|>".

        Edge cases ★
            Special strings may follow one another and may be at both ends. Where
            several match at one place, the longest wins. The text around special
            strings is encoded as if it were alone. Without special tokens
            `allow_special` changes nothing. An empty text has no ids.
        """
        if not (allow_special and self.special_tokens):
            return self._encode_plain(text)
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        ids = []
        for part in re.split(f"({'|'.join(map(re.escape, longest_first))})", text):
            ids += (
                [self.special_tokens[part]]
                if part in self.special_tokens
                else self._encode_plain(part)
            )
        return ids

    def decode_bytes(self, ids: Iterable[int] | Tensor) -> bytes:
        """Join the bytes of these ids. The id of a special token gives the UTF-8 bytes
        of its string.

        Edge cases ★
            `ids` may be a 1-D integer tensor or an iterator, and may be empty. An id
            that no token has is an error.
        """
        tokens = []
        for i in map(int, ids):
            if i not in self._bytes:
                raise ValueError(f"no token has the id {i}")
            tokens.append(self._bytes[i])
        return b"".join(tokens)

    def decode(self, ids: Iterable[int] | Tensor, errors: str = "replace") -> str:
        """Join the bytes of these ids first, then decode them as UTF-8 once.

        A character may be spread over several tokens, so a single token need not be
        text. But `decode(encode(text))` is `text` again.

        Args:
            ids: as in `decode_bytes`.
            errors: what to do with bytes that are not UTF-8, as in `bytes.decode`:
                "replace" puts "�" there, "strict" raises UnicodeDecodeError, …

        Edge cases ★
            As in `decode_bytes`.
        """
        return self.decode_bytes(ids).decode(errors=errors)

    def _encode_plain(self, text: str) -> list[int]:
        """Encode chunk by chunk, each different chunk once."""
        chunks = re.findall(SPLIT_PATTERN, text)
        known = {chunk: self.encode_bytes(chunk.encode()) for chunk in set(chunks)}
        return [i for chunk in chunks for i in known[chunk]]


def save_gpt2_files(
    tokenizer: BPETokenizer, encoder_path: str | Path, bpe_path: str | Path
) -> None:
    """Write a tokenizer as the two files in which GPT-2's is published, both in UTF-8.

    Args:
        tokenizer: the tokenizer to write.
        encoder_path: for `encoder.json`, a JSON object from token to id. Regular tokens
            are spelled byte by byte with `bytes_to_unicode`: b" low" is "Ġlow". Special
            tokens are written as they are.
        bpe_path: for `vocab.bpe`. Its first line is "#version: 0.2". Then there is one
            merge per line, in rank order: the two parts, spelled in the same way, with
            one space between them.

    Edge cases ★
        The tokenizer stays as it is.
    """
    table = bytes_to_unicode()
    encoder = {
        _spelled(token, table): i for token, i in tokenizer.vocab.items()
    } | tokenizer.special_tokens
    pairs = [
        f"{_spelled(left, table)} {_spelled(right, table)}"
        for left, right in tokenizer.merges
    ]
    Path(encoder_path).write_text(json.dumps(encoder), encoding="utf-8")
    Path(bpe_path).write_text(
        "\n".join(["#version: 0.2", *pairs]) + "\n", encoding="utf-8"
    )


def load_gpt2_files(encoder_path: str | Path, bpe_path: str | Path) -> BPETokenizer:
    """Read a tokenizer from files as `save_gpt2_files` writes them, or as OpenAI did.

    Args:
        encoder_path: `encoder.json`. All ids come from here, also those of single
            bytes: in GPT-2 "!" has the id 0 and a space 220. An entry that is neither a
            byte nor the result of a merge is a special token.
        bpe_path: `vocab.bpe`. Only the first line is a header: "# #" further down is
            a merge.
    Returns:
        A `BPETokenizer` with these merges, in this order, these ids and these
        special tokens.

    Edge cases ★
        The last line may lack its newline. Two merges may give the same bytes. A single
        byte or a result of a merge that has no id in `encoder.json` is an error.
    """
    table = bytes_to_unicode()
    byte_of = {character: byte for byte, character in table.items()}
    merges = []
    for line in Path(bpe_path).read_text(encoding="utf-8").splitlines()[1:]:
        left, right = (
            bytes(byte_of[character] for character in part) for part in line.split(" ")
        )
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
    """Measure how much text a token holds.

    Returns:
        The number of UTF-8 bytes of `text` divided by the number of its tokens. With
        one token per character, "é🙂" has 6 bytes in 2 tokens: 3.0.

    Edge cases ★
        An empty text is an error.
    """
    if not text:
        raise ValueError("an empty text has no tokens to divide by")
    return len(text.encode()) / len(tokenizer.encode(text))


def _default_vocab(merges: Sequence[tuple[bytes, bytes]]) -> dict[bytes, int]:
    """Number the bytes, then each new result of a merge."""
    tokens = [bytes([byte]) for byte in range(256)] + [
        left + right for left, right in merges
    ]
    return {token: i for i, token in enumerate(dict.fromkeys(tokens))}


def _spelled(token: bytes, table: dict[int, str]) -> str:
    return "".join(table[byte] for byte in token)
