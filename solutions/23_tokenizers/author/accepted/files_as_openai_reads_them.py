"""The table built as in GPT-2's own code, files written and read with open(),
characters beyond ASCII as they are, no newline at the end, special tokens found by
set differences.
"""


def bytes_to_unicode():
    bs = (
        list(range(ord("!"), ord("~") + 1))
        + list(range(ord("¡"), ord("¬") + 1))
        + list(range(ord("®"), ord("ÿ") + 1))
    )
    cs, n = bs[:], 0
    for b in range(2**8):
        if b not in bs:
            bs.append(b)
            cs.append(2**8 + n)
            n += 1
    return dict(zip(bs, map(chr, cs)))


def save_gpt2_files(tokenizer, encoder_path, bpe_path):
    spell = lambda token: token.decode("latin-1").translate(bytes_to_unicode())
    entries = sorted(
        [(i, spell(t)) for t, i in tokenizer.vocab.items()]
        + [(i, s) for s, i in tokenizer.special_tokens.items()]
    )
    with open(encoder_path, "w", encoding="utf-8") as file:
        json.dump(
            {token: i for i, token in entries}, file, ensure_ascii=False, indent=1
        )
    with open(bpe_path, "w", encoding="utf-8", newline="\n") as file:
        file.write("#version: 0.2")
        for pair in tokenizer.merges:
            file.write("\n" + " ".join(map(spell, pair)))


def load_gpt2_files(encoder_path, bpe_path):
    back = {c: b for b, c in bytes_to_unicode().items()}
    with open(bpe_path, encoding="utf-8") as file:
        next(file)
        merges = [
            tuple(bytes(map(back.get, part)) for part in line.split())
            for line in file
            if line.strip()
        ]
    with open(encoder_path, encoding="utf-8") as file:
        encoder = json.load(file)
    regular = {bytes([b]) for b in range(256)} | {
        left + right for left, right in merges
    }
    names = {"".join(bytes_to_unicode()[b] for b in token): token for token in regular}
    if names.keys() - encoder.keys():
        raise ValueError(f"no id for {sorted(names.keys() - encoder.keys())}")
    vocab = {names[name]: i for name, i in encoder.items() if name in names}
    return BPETokenizer(
        merges, vocab, {name: encoder[name] for name in encoder.keys() - names.keys()}
    )


def bytes_per_token(tokenizer, text):
    if text == "":
        raise ValueError("no text")
    return sum(len(c.encode()) for c in text) / sum(1 for _ in tokenizer.encode(text))
