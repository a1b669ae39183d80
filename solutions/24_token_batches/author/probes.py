"""Questions that the specs of 24 ask only about streams that are known."""

import tempfile
from pathlib import Path

import numpy as np
import torch

from grader.lock.probes import integers, judge, probe


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
    return integers(rng, 3, 2, 6)


@probe("random_batch")
def _(kata, rng):
    """Batches of a stream of equal steps; two of three generators are seeded alike."""
    first, step, size, offsets = integers(rng, 4)
    stream = first + step * torch.arange(size + offsets)
    generators = [torch.Generator().manual_seed(s) for s in (step, step, step + 1)]
    return [kata.random_batch(stream, 300, size, each) for each in generators]


@judge("random_batch")
def _(values, expected):
    """All windows look alike, seen from their first token."""
    found = []
    for x, y in values:
        starts, inputs, targets = x[:, 0], x - x[:, :1], y - x[:, :1]
        found += [starts.unique(), inputs.unique(dim=0), targets.unique(dim=0)]
        found.append(torch.equal(x, values[0][0]))
    return found


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
    paths = shards(rng, b * t * ranks + 2, 2 * b * t * ranks + 1)
    loader, found = kata.DataLoaderLite(paths, b, t, 1, ranks), []
    for steps in (1, 2, 3):
        found += [loader.next_batch() for _ in range(steps)]
        loader.reset()
    return found


@probe("DataLoaderLite.state_dict")
def _(kata, rng):
    """The states after steps that another one follows in the same shard."""
    b, t, ranks = sizes(rng)
    steps, found = integers(rng, 3, 2, 6), []
    paths = shards(rng, *(n * b * t * ranks + 1 for n in steps))
    for rank in (0, ranks - 1):
        loader = kata.DataLoaderLite(paths, b, t, rank, ranks)
        for n in steps:
            found += [[loader.next_batch(), loader.state_dict()] for _ in range(n - 1)]
            loader.next_batch()
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


@probe("sequential_batch")
def _(kata, rng):
    tokens, (rows, columns, start) = some_ids(rng, 60), sizes(rng)
    return kata.sequential_batch(torch.tensor(tokens), rows, columns, start)


@probe("split_documents")
def _(kata, rng):
    seed, docs = int(torch.randint(999, (), generator=rng)), []
    for number in torch.randint(15, (40,), generator=rng).tolist():
        docs.append(f"text {number}")
    drawn = []
    for one in (seed, seed, seed + 1):
        generator = torch.Generator().manual_seed(one)
        drawn.append(kata.split_documents(docs, 0.3, generator))
    texts = [["|".join(part) for part in one] for one in drawn]
    return [docs, texts, torch.rand(3)]


@judge("split_documents")
def _(values, expected):
    docs, (_, drawn, left_alone) = expected[0], values
    drawn = [[part.split("|") for part in one] for one in drawn]
    held = [{*val} for _, val in drawn]
    return [
        [
            [doc for doc in docs if doc not in one] == train
            for (train, _), one in zip(drawn, held)
        ],
        [
            [doc for doc in docs if doc in one] == val
            for (_, val), one in zip(drawn, held)
        ],
        [len(one) for one in held],
        [drawn[0] == drawn[1], left_alone],
    ]


@probe("write_shards")
def _(kata, rng):
    tokens, [size, *_] = some_ids(rng, 60), sizes(rng)
    with tempfile.TemporaryDirectory() as folder:
        paths = kata.write_shards(tokens, Path(folder, "a", "b"), 10 + size, "train")
        told = [str(Path(path).relative_to(folder)) for path in paths]
        return [told, [np.load(path) for path in paths], np.load(paths[0]).dtype.str]


def loaders(kata, folder, rng):
    """Loaders of each of two ranks on three shards of drawn lengths."""
    paths = []
    for i, length in enumerate(torch.randint(14, 40, (3,), generator=rng).tolist()):
        paths.append(Path(folder, f"{i}.npy"))
        np.save(paths[-1], np.array(some_ids(rng, length), dtype=np.uint16))
    return [kata.DataLoaderLite(paths, 2, 3, rank, 2) for rank in (0, 1)]


@probe("DataLoaderLite.next_batch")
def _(kata, rng):
    with tempfile.TemporaryDirectory() as folder:
        ranks = loaders(kata, folder, rng)
        return [loader.next_batch() for _ in range(9) for loader in ranks]


@probe("DataLoaderLite.load_state_dict")
def _(kata, rng):
    found = []
    with tempfile.TemporaryDirectory() as folder:
        one, other = loaders(kata, folder, rng)
        for steps in torch.randint(1, 9, (3,), generator=rng).tolist():
            one.reset()
            for _ in range(steps):
                one.next_batch()
            other.load_state_dict(one.state_dict())
            found.append([other.next_batch() for _ in range(3)])
    return found
