"""Questions that the specs of 11 ask only about inputs that are known."""

import torch

from grader.lock.probes import probe


def texts(rng):
    """Four texts of words such as "w7": some are frequent, some occur once, some as
    often as others.
    """
    rows = torch.randint(9, (4, 6), generator=rng) * torch.randint(
        1, 9, (4, 6), generator=rng
    )
    return [" ".join(f"w{number}" for number in row) for row in rows.tolist()]


@probe("Vocabulary.__init__")
def _(kata, rng):
    found = []
    for limits in ({}, {"min_freq": 2}, {"max_size": 6}):
        vocabulary = kata.Vocabulary(texts(rng), **limits)
        found.append(
            [
                vocabulary.tokens,
                dict(vocabulary.ids),
                vocabulary.pad_id,
                vocabulary.unk_id,
            ]
        )
    return found


@probe("Vocabulary.encode")
def _(kata, rng):
    vocabulary = kata.Vocabulary(texts(rng), max_size=9)
    return [vocabulary.encode(text) for text in texts(rng)]


@probe("PackedBatch.pack")
def _(kata, rng):
    padded, lengths = (
        torch.randn(5, 7, 3, generator=rng),
        torch.randint(1, 7, (5,), generator=rng),
    )
    packed = kata.PackedBatch.pack(padded, lengths)
    return [packed.data, packed.batch_sizes, packed.sorted_indices, packed.total_length]


@probe("memory_comparison")
def _(kata, rng):
    return kata.memory_comparison(*torch.randint(1, 999, (3,), generator=rng).tolist())
