"""Views by `unfold`, one index for all windows, sorted random keys for a permutation,
two bytes packed by hand.
"""

import struct
from collections import Counter


def sequential_batch(tokens, batch_size, block_size, start=0):
    if start < 0:
        raise ValueError("start is negative")
    tail = tokens[start:].to(torch.int64)
    if tail.numel() <= batch_size * block_size:
        raise ValueError("the stream is too short")
    rows = tail.unfold(0, block_size + 1, block_size)[:batch_size]
    return rows[:, :-1].clone(), rows[:, 1:].clone()


def random_batch(tokens, batch_size, block_size, generator=None):
    places = tokens.numel() - block_size
    if places < 1:
        raise ValueError("the stream is too short")
    offsets = (
        torch.rand(batch_size, 1, generator=generator, dtype=torch.float64) * places
    ).long()
    index = offsets + torch.arange(block_size)
    stream = tokens.long()
    return stream[index], stream[index + 1]


def split_documents(docs, val_fraction, generator=None):
    if val_fraction <= 0 or val_fraction >= 1:
        raise ValueError("the fraction is not between 0 and 1")
    names = sorted(Counter(docs))
    n = len(names)
    if n < 2:
        raise ValueError("one document cannot be split")
    take = sorted([1, round(n * val_fraction), n - 1])[1]
    ranks = torch.rand(n, generator=generator).argsort().argsort()
    to_val = {name: rank < take for name, rank in zip(names, ranks.tolist())}
    train, val = [], []
    for doc in docs:
        (val if to_val[doc] else train).append(doc)
    return train, val


def tokenize_documents(docs, encode, eot):
    packed = b""
    for doc in docs:
        try:
            packed += b"".join(
                struct.pack("=H", token) for token in (eot, *encode(doc))
            )
        except struct.error as error:
            raise ValueError(str(error)) from None
    return np.frombuffer(packed, dtype="=u2")
