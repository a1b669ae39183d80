"""Questions that the specs of 23 ask only about texts and merges that are known."""

import json
from pathlib import Path

import torch

from grader.lock.probes import probe


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
    texts = [
        "".join(pieces[i] for i in torch.randint(len(pieces), (30,), generator=rng))
        for _ in range(2)
    ]
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
    ids = [
        possible[i] for i in torch.randint(len(possible), (40,), generator=rng)
    ] + possible[-2:]
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
    text = "".join("aé€🙂"[i] for i in torch.randint(4, (40,), generator=rng))
    return [
        kata.bytes_per_token(kata.CharTokenizer(text), text),
        kata.bytes_per_token(kata.CharTokenizer(text), text[::3]),
        kata.bytes_per_token(kata.BPETokenizer([]), text),
    ]
