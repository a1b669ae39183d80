"""A vocabulary counted by hand in a dict, padding into a buffer, the mask row by row,
means text by text.
"""


class Vocabulary:
    tokenize = staticmethod(tokenize)

    def __init__(self, texts, min_freq=1, max_size=None):
        if max_size is not None and max_size <= 1 or min_freq <= 0:
            raise ValueError("no room")
        frequency = {}
        for text in texts:
            for word in Vocabulary.tokenize(text):
                frequency[word] = frequency.get(word, 0) + 1
        frequency.pop("<pad>", None)
        frequency.pop("<unk>", None)
        self.pad_id, self.unk_id = 0, 1
        self.ids = {"<pad>": 0, "<unk>": 1}
        for word in sorted(sorted(frequency), key=frequency.get, reverse=True):
            if frequency[word] < min_freq or len(self.ids) == max_size:
                break
            self.ids[word] = len(self.ids)
        self.tokens = list(self.ids)

    def __len__(self):
        return len(self.ids)

    def __contains__(self, token):
        return token in self.tokens

    def encode(self, text):
        result = torch.empty(len(text.split()), dtype=torch.long)
        for place, word in enumerate(self.tokenize(text)):
            result[place] = self.ids[word] if word in self.ids else 1
        return result

    def decode(self, ids):
        words = []
        for i in ids:
            if i < 0 or i >= len(self.tokens):
                raise IndexError(int(i))
            if i:
                words.append(self.tokens[i])
        return " ".join(words)


def pad_batch(sequences, padding_value=0, max_len=None):
    if not sequences or (max_len is not None and max_len <= 0):
        raise ValueError("nothing to pad")
    lengths = [len(s) if max_len is None else min(len(s), max_len) for s in sequences]
    first = sequences[0]
    padded = torch.full(
        (len(sequences), max(lengths), *first.shape[1:]),
        padding_value,
        dtype=first.dtype,
    )
    mask = torch.zeros(len(sequences), max(lengths), dtype=torch.bool)
    for b, (sequence, length) in enumerate(zip(sequences, lengths)):
        padded[b, :length] = sequence[:length]
        mask[b, :length] = True
    return padded, mask


def embed_texts(texts, vocabulary, embedding, max_len=None):
    ids, mask = pad_batch([vocabulary.encode(text) for text in texts], 0, max_len)
    vectors = embedding(ids)
    means = [
        row[real].mean(dim=0) if real.any() else row.new_zeros(row.shape[-1])
        for row, real in zip(vectors, mask)
    ]
    return {"mean": torch.stack(means), "vectors": vectors, "mask": mask, "ids": ids}
