"""Questions that the specs of 24 ask only about streams that are known."""

from pathlib import Path

import numpy as np
import torch

from grader.lock.probes import probe


def some_ids(rng, count):
    return torch.randint(65536, (count,), generator=rng).numpy().astype(np.uint16)


def shards(rng, *lengths):
    """The paths of files with drawn ids."""
    paths = [Path(f"shard{place}.npy") for place in range(len(lengths))]
    for path, length in zip(paths, lengths, strict=True):
        np.save(path, some_ids(rng, length))
    return paths


def sizes(rng):
    """B, T and a number of ranks."""
    return torch.randint(2, 6, (3,), generator=rng).tolist()


@probe("random_batch")
def _(kata, rng):
    """In a stream of equal steps all windows look alike, seen from their first token:
    no draw makes a difference.
    """
    first, step, size, offsets = (torch.randint(9, (4,), generator=rng) + 2).tolist()
    x, y = kata.random_batch(
        first + step * torch.arange(size + offsets), 2000, size, rng
    )
    return [
        x[:, 0].unique(),
        (x - x[:, :1]).unique(dim=0),
        (y - x[:, :1]).unique(dim=0),
    ]


@probe("tokenize_documents")
def _(kata, rng):
    table = dict(zip("abcdefgh", some_ids(rng, 8).tolist(), strict=True))
    lengths = [0, *torch.randint(5, (6,), generator=rng).tolist()]
    docs = [
        "".join("abcdefgh"[i] for i in torch.randint(8, (length,), generator=rng))
        for length in lengths
    ]
    stream = kata.tokenize_documents(
        docs, lambda text: [table[letter] for letter in text], int(some_ids(rng, 1)[0])
    )
    return [stream.dtype.name, stream]


@probe("load_shard")
def _(kata, rng):
    return [
        kata.load_shard(path)
        for path in shards(rng, *torch.randint(1, 20, (3,), generator=rng).tolist())
    ]


@probe("DataLoaderLite.__init__")
def _(kata, rng):
    b, t, ranks = sizes(rng)
    paths = shards(rng, b * t * ranks + 3, 2 * b * t * ranks)
    loaders = [
        kata.DataLoaderLite(paths, b, t),
        *(kata.DataLoaderLite(paths, b, t, r, ranks) for r in range(ranks)),
    ]
    return [loader.next_batch() for loader in loaders]


@probe("DataLoaderLite.reset")
def _(kata, rng):
    b, t, ranks = sizes(rng)
    loader, found = (
        kata.DataLoaderLite(
            shards(rng, 2 * b * t * ranks + 1, b * t * ranks + 2), b, t, 1, ranks
        ),
        [],
    )
    for steps in range(1, 4):
        found += [loader.next_batch() for _ in range(steps)]
        loader.reset()
    return found


@probe("DataLoaderLite.state_dict")
def _(kata, rng):
    """The states after steps that another one follows in the same shard."""
    b, t, ranks = sizes(rng)
    steps = torch.randint(2, 6, (3,), generator=rng).tolist()
    paths, found = shards(rng, *(n * b * t * ranks + 1 for n in steps)), []
    for rank in (0, ranks - 1):
        loader = kata.DataLoaderLite(paths, b, t, rank, ranks)
        for n in steps:
            for place in range(n):
                batch = loader.next_batch()
                if place < n - 1:
                    found.append([dict(loader.state_dict()), batch])
    return found


@probe("mixture_epochs")
def _(kata, rng):
    names = ["abcdef"[i] for i in torch.randperm(6, generator=rng)]
    tokens, weights = (
        1 + 1e6 * torch.rand(2, 6, generator=rng, dtype=torch.float64)
    ).tolist()
    epochs = kata.mixture_epochs(
        dict(zip(names, tokens, strict=True)),
        dict(zip(names[::-1], weights)),
        tokens[0],
    )
    return [epochs[name] for name in sorted(names)]
