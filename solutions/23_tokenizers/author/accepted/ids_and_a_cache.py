"""Encoding on ids with a table of ranks by pair of ids, one leftmost merge at a time,
words cached; special strings found by a scan of the text; characters by str.translate.
"""


class CharTokenizer:
    def __init__(self, text):
        if len(text) == 0:
            raise ValueError("empty text")
        self.stoi = {c: i for i, c in enumerate(sorted(dict.fromkeys(text)))}
        self.itos = {i: c for c, i in self.stoi.items()}

    vocab_size = property(lambda self: len(self.stoi))

    def encode(self, text):
        ids = []
        for i in range(len(text)):
            try:
                ids.append(self.stoi[text[i]])
            except KeyError:
                raise ValueError(
                    f"{text[i]} (character {i} of the text) is unknown"
                ) from None
        return ids

    def decode(self, ids):
        ids = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        for i in ids:
            if not 0 <= i < self.vocab_size:
                raise ValueError(f"id {i} out of range")
        return "".join(map(chr, ids)).translate({i: c for i, c in self.itos.items()})


class BPETokenizer:
    def __init__(self, merges, vocab=None, special_tokens=None):
        self.merges = list(merges)
        self.vocab = (
            {bytes([b]): b for b in range(256)} if vocab is None else vocab.copy()
        )
        if vocab is None:
            for left, right in self.merges:
                if left + right not in self.vocab:
                    self.vocab[left + right] = len(self.vocab)
        self.special_tokens = {} if special_tokens is None else special_tokens.copy()
        self.vocab_size = len(self.vocab) + len(self.special_tokens)
        taken = set(self.vocab.values())
        for string, i in self.special_tokens.items():
            if i in taken:
                raise ValueError(f"{string} needs another id than {i}")
            taken.add(i)
        self.rules = {}
        for rank, (left, right) in enumerate(self.merges):
            key = self.vocab[left], self.vocab[right]
            if key not in self.rules:
                self.rules[key] = rank, self.vocab[left + right]
        self.cache = {}

    def encode_bytes(self, data):
        if data not in self.cache:
            ids = [self.vocab[bytes([b])] for b in data]
            while True:
                found = [
                    (self.rules[ids[i], ids[i + 1]], i)
                    for i in range(len(ids) - 1)
                    if (ids[i], ids[i + 1]) in self.rules
                ]
                if not found:
                    break
                (_, new), i = min(found)
                ids[i : i + 2] = [new]
            self.cache[data] = tuple(ids)
        return list(self.cache[data])

    def encode(self, text, allow_special=False):
        ids, start, i = [], 0, 0
        while allow_special and i < len(text):
            matching = [s for s in self.special_tokens if text.startswith(s, i)]
            if matching:
                longest = max(matching, key=len)
                ids += self.encode(text[start:i]) + [self.special_tokens[longest]]
                i = start = i + len(longest)
            else:
                i += 1
        for chunk in re.findall(SPLIT_PATTERN, text[start:]):
            ids.extend(self.encode_bytes(bytes(chunk, "utf-8")))
        return ids

    def decode_bytes(self, ids):
        out = bytearray()
        for i in ids:
            i = int(i)
            token = [t for t, j in self.vocab.items() if i == j] + [
                s.encode() for s, j in self.special_tokens.items() if i == j
            ]
            if len(token) == 0:
                raise ValueError(f"id {i}?")
            out += token[0]
        return bytes(out)

    def decode(self, ids, errors="replace"):
        return self.decode_bytes(ids).decode("utf-8", errors)
