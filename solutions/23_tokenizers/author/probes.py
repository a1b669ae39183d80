"""Questions that the specs of 23 ask only about texts and merges that are known."""

import json
import tempfile
from pathlib import Path

import torch

from grader.lock.probes import integers, probe


def some_merges(rng):
    """Pairs of letters, no two of which give the same bytes."""
    pairs = torch.randperm(26 * 26, generator=rng)[:5].tolist()
    return [(bytes([97 + pair // 26]), bytes([97 + pair % 26])) for pair in pairs]


def told(tokenizer):
    vocab = sorted((i, token.hex()) for token, i in tokenizer.vocab.items())
    merges = [(left.hex(), right.hex()) for left, right in tokenizer.merges]
    return [
        vocab,
        merges,
        sorted(tokenizer.special_tokens.items()),
        tokenizer.vocab_size,
    ]


@probe("count_pairs")
def _(kata, rng):
    return sorted(
        kata.count_pairs(torch.randint(4, (30,), generator=rng).tolist()).items()
    )


@probe("BPETokenizer.__init__")
def _(kata, rng):
    merges = some_merges(rng)
    vocab = {
        token: i + 1
        for i, token in enumerate(
            [*map(bytes, zip(range(256))), *(a + b for a, b in merges)]
        )
    }
    return [
        told(kata.BPETokenizer(merges)),
        told(kata.BPETokenizer(merges, vocab, {"<|end|>": 300})),
    ]


@probe("BPETokenizer.encode")
def _(kata, rng):
    merges = some_merges(rng)
    pieces = [
        "<|end|>",
        " ",
        "é1",
        "'s ",
        "\n",
        *((left + right).decode() for left, right in merges),
    ]
    tokenizer = kata.BPETokenizer(merges, special_tokens={"<|end|>": 300})
    drawn = [integers(rng, 30, 0, len(pieces)) for _ in range(2)]
    texts = ["".join(pieces[i] for i in places) for places in drawn]
    return [
        tokenizer.encode(text, *allowed)
        for text in texts
        for allowed in ((), (False,), (True,))
    ]


@probe("BPETokenizer.decode")
def _(kata, rng):
    """Bytes that are text together, and bytes that are none."""
    merges = [*some_merges(rng), (b"\xc3", b"\xa9")]
    some = [*(left + right for left, right in merges), b"\xc3", b"\xa9"]
    tokens = dict.fromkeys([*some, *map(bytes, zip(range(256)))])
    vocab = dict(zip(tokens, torch.randperm(900, generator=rng).tolist()))
    tokenizer = kata.BPETokenizer(merges, vocab, {"<|é|>": 999})
    possible = [999, *(vocab[token] for token in some)]
    ids = [possible[i] for i in integers(rng, 40, 0, len(possible))] + possible[-2:]
    return [
        tokenizer.decode(ids),
        *(tokenizer.decode(ids, how) for how in ("ignore", "backslashreplace")),
    ]


@probe("load_gpt2_files")
def _(kata, rng):
    pairs = [(left.decode(), right.decode()) for left, right in some_merges(rng)]
    table = kata.bytes_to_unicode()
    tokens = [
        *(table[byte] for byte in range(256)),
        *(left + right for left, right in pairs),
        "<|end|>",
    ]
    ids = torch.randperm(len(tokens), generator=rng).tolist()
    encoder, bpe = Path(f"encoder{ids[0]}.json"), Path(f"vocab{ids[0]}.bpe")
    encoder.write_text(
        json.dumps(dict(zip(tokens, ids, strict=True))), encoding="utf-8"
    )
    bpe.write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in pairs),
        encoding="utf-8",
    )
    return told(kata.load_gpt2_files(encoder, bpe))


@probe("bytes_per_token")
def _(kata, rng):
    merges = [*some_merges(rng), (b"\xc3", b"\xa9")]
    pieces = ["é", "€", "🙂", *((left + right).decode() for left, right in merges)]
    text = "".join(pieces[i] for i in integers(rng, 40, 0, len(pieces)))
    tokenizers = kata.CharTokenizer(text), kata.BPETokenizer(merges)
    return [kata.bytes_per_token(tokenizer, text) for tokenizer in tokenizers]


def a_text(rng, count=60):
    """Words of few letters, of which some take several bytes."""
    letters = "abcdé€  "
    return "".join(letters[i] for i in torch.randint(8, (count,), generator=rng))


@probe("CharTokenizer")
def _(kata, rng):
    text = a_text(rng)[::-1] + chr(100 + int(torch.randint(900, (), generator=rng)))
    tokenizer = kata.CharTokenizer(text)
    ids = tokenizer.encode(text[20:])
    known = [tokenizer.itos[i] for i in range(tokenizer.vocab_size)]
    return [tokenizer.stoi, known, ids, tokenizer.decode(ids[::-1])]


@probe("bytes_to_unicode")
def _(kata, rng):
    return kata.bytes_to_unicode()


@probe("merge_pair")
def _(kata, rng):
    tokens = torch.randint(3, (30,), generator=rng).tolist()
    pairs = (0, 0), (0, 1), (2, 2)
    found = [kata.merge_pair(tokens, pair, 1) for pair in pairs]
    parts = [b"ab"[i : i + 1] for i in torch.randint(2, (20,), generator=rng)]
    return [*found, kata.merge_pair(parts, (b"a", b"b"), b"ab"), tokens]


@probe("train_bpe")
def _(kata, rng):
    return [kata.train_bpe(a_text(rng, n), 256 + 12) for n in (80, 300)]


@probe("train_bpe_fast")
def _(kata, rng):
    return [kata.train_bpe_fast(a_text(rng, n), 256 + 12) for n in (80, 300)]


def a_tokenizer(kata, rng):
    """Merges of which later ones need earlier ones, else drawn, under drawn ids."""
    pairs = [(b"a", b"b"), (b"b", b"c"), (b"ab", b"c"), (b"a", b"bc"), (b"c", b"c")]
    first, last = (torch.randperm(n, generator=rng) for n in (2, 3))
    order = [*first.tolist(), *(2 + last).tolist()]
    singles = [bytes([i]) for i in range(256)]
    tokens = [*singles, *dict.fromkeys(left + right for left, right in pairs)]
    ids = torch.randperm(len(tokens), generator=rng).tolist()
    special = {"<|end|>": 300 + order[0]}
    return kata.BPETokenizer([pairs[i] for i in order], dict(zip(tokens, ids)), special)


@probe("BPETokenizer.encode_bytes")
def _(kata, rng):
    data = bytes(torch.randint(97, 100, (60,), generator=rng).tolist())
    return a_tokenizer(kata, rng).encode_bytes(data)


@probe("BPETokenizer.decode_bytes")
def _(kata, rng):
    tokenizer = a_tokenizer(kata, rng)
    ids = torch.randint(255, (20,), generator=rng).tolist()
    return tokenizer.decode_bytes([*ids, *tokenizer.special_tokens.values()])


@probe("save_gpt2_files")
def _(kata, rng):
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "encoder.json"), Path(folder, "vocab.bpe")
        kata.save_gpt2_files(a_tokenizer(kata, rng), *paths)
        encoder, merges = (path.read_text("utf-8") for path in paths)
        return [json.loads(encoder), merges.splitlines()]
