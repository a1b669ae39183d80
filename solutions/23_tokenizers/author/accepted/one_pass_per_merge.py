"""Merges applied in the order of their ranks, one pass over the tokens for each;
decoding in one expression; vocab_size as a property, counted from a table
of everything.
"""


class BPETokenizer:
    def __init__(self, merges, vocab=None, special_tokens=None):
        self.merges = [tuple(pair) for pair in merges]
        if vocab is None:
            vocab = {bytes([byte]): byte for byte in range(256)}
            for left, right in self.merges:
                vocab.setdefault(left + right, len(vocab))
        self.vocab = vocab
        self.special_tokens = special_tokens or {}
        everything = [*self.vocab.values(), *self.special_tokens.values()]
        if len(set(everything)) != len(everything):
            raise ValueError("two tokens share an id")
        self.table = dict(
            zip(
                everything,
                [
                    *self.vocab,
                    *(string.encode("utf-8") for string in self.special_tokens),
                ],
            )
        )

    @property
    def vocab_size(self):
        return len(self.table)

    def encode_bytes(self, data):
        tokens = [data[i : i + 1] for i in range(len(data))]
        for pair in self.merges:
            tokens = merge_pair(tokens, pair, pair[0] + pair[1])
        return [self.vocab[token] for token in tokens]

    def encode(self, text, allow_special=False):
        if allow_special:
            at = [(text.index(s), -len(s), s) for s in self.special_tokens if s in text]
            if at:
                place, _, string = min(at)
                after = self.encode(text[place + len(string) :], allow_special=True)
                return [*self.encode(text[:place]), self.special_tokens[string], *after]
        return [
            i
            for chunk in re.finditer(SPLIT_PATTERN, text)
            for i in self.encode_bytes(chunk[0].encode("utf-8"))
        ]

    def decode_bytes(self, ids):
        ids = ids.tolist() if isinstance(ids, Tensor) else list(ids)
        if unknown := set(ids) - set(self.table):
            raise ValueError(f"unknown ids: {unknown}")
        return b"".join(self.table[i] for i in ids)

    def decode(self, ids, errors="replace"):
        return str(self.decode_bytes(ids), "utf-8", errors)
