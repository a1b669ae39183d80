"""Questions that the specs of 09 cannot ask from another process."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.utils.data._utils.worker as place

from grader.lock.probes import integers, judge, probe


@probe("make_loaders")
def _(kata, rng):
    """All batches of two passes, of two generators that are seeded alike."""
    seed, batch_size, *sizes = integers(rng, 5, 5, 9)
    splits = [integers(rng, 3 * size, 0, 999) for size in sizes]
    found = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(seed)
        loaders = kata.make_loaders(*splits, batch_size, generator=generator)
        found += [{name: list(loaders[name]) for name in loaders} for _ in range(2)]
    return [splits[0], found]


@judge("make_loaders")
def _(values, expected):
    given, passes = torch.tensor(expected[0]), values[1]
    orders = [torch.cat(each["train"]) for each in passes]
    equal = [[torch.equal(x, y) for y in (*orders, given)] for x in orders]
    others = [[each["val"], each["test"]] for each in passes]
    return [equal, [order.sort().values for order in orders], others]


def shares(stream, workers):
    """What each worker reads of a stream."""
    for worker in range(workers):
        info = SimpleNamespace(
            id=worker, num_workers=workers, seed=worker, dataset=stream
        )
        with mock.patch.object(place, "_worker_info", info):
            yield list(stream)


@probe("ShardedRange")
def _(kata, rng):
    """Streams of which all workers can read as much, and one cannot."""
    start, share, workers = integers(rng, 3)
    even = kata.ShardedRange(start, start + share * workers)
    odd = kata.ShardedRange(start, start + share * workers - 1)
    return [
        list(shares(even, workers)),
        sorted(sum(shares(odd, workers), [])),
        list(odd),
    ]


@judge("ShardedRange")
def _(values, expected):
    seen, *odd = values
    return [sorted(sum(seen, [])), [part == sorted(part) for part in seen], odd]


FRACTIONS = 0.6, 0.25, 0.15


@probe("split_sizes")
def _(kata, rng):
    counts = torch.randint(99, (9,), generator=rng).tolist()
    return [kata.split_sizes(n, FRACTIONS) for n in counts]


def by_seed(rng, function):
    """What it draws from equal and other seeds."""
    seed = int(torch.randint(999, (), generator=rng))
    seeds = seed, seed, seed + 1
    return [function(torch.Generator().manual_seed(one)) for one in seeds]


@probe("random_split_indices")
def _(kata, rng):
    n = int(torch.randint(20, 50, (), generator=rng))
    drawn = by_seed(rng, lambda g: kata.random_split_indices(n, FRACTIONS, g))
    return [n, drawn, torch.rand(3)]


@judge("random_split_indices")
def _(values, expected):
    _, drawn, left_alone = values
    first, again, other = (torch.cat(splits) for splits in drawn)
    return [
        [order.sort().values for order in (first, again, other)],
        [first - again, left_alone],
        [bool((first != x).any()) for x in (other, first.sort().values)],
        [bool((part != part.sort().values).any()) for part in drawn[0][:2]],
    ]


@probe("stratified_split")
def _(kata, rng):
    labels = 3 * torch.randint(3, (60,), generator=rng)
    drawn = by_seed(rng, lambda g: kata.stratified_split(labels, FRACTIONS, g))
    return [labels, drawn, torch.rand(3)]


@judge("stratified_split")
def _(values, expected):
    labels, (_, drawn, left_alone) = expected[0], values
    first, again, other = (torch.cat(splits) for splits in drawn)
    counts = [
        labels[split.clamp(0, 59)].bincount(minlength=7)
        for splits in drawn
        for split in splits
    ]
    return [
        [order.sort().values for order in (first, again, other)],
        [[split - split.sort().values for split in splits] for splits in drawn],
        [counts, first - again, left_alone],
        bool((first != other).any()),
    ]


def items(rng, n):
    """Samples of a tensor and a number."""
    x, y = torch.randn(n, 2, 3, generator=rng), torch.randperm(n, generator=rng)
    return list(zip(x, y.tolist()))


@probe("MiniLoader.__len__")
def _(kata, rng):
    found = []
    for n, size in torch.randint(1, 12, (9, 2), generator=rng).tolist():
        loaders = [kata.MiniLoader(range(n), size, drop_last=d) for d in (False, True)]
        found.append([len(loader) for loader in loaders])
    return found


@probe("MiniLoader.__iter__")
def _(kata, rng):
    n, size = 9 + int(torch.randint(9, (), generator=rng)), 4
    data = items(rng, n)
    plain = [list(kata.MiniLoader(data, size, drop_last=d)) for d in (False, True)]
    drawn = by_seed(
        rng,
        lambda g: [
            list(loader)
            for loader in 2 * [kata.MiniLoader(data, size, shuffle=True, generator=g)]
        ],
    )
    return [torch.stack([x for x, _ in data]), plain, drawn, torch.rand(3)]


@judge("MiniLoader.__iter__")
def _(values, expected):
    x, (_, plain, drawn, left_alone) = expected[0], values
    passes = [epoch for epochs in drawn for epoch in epochs]
    inputs, orders = (
        [torch.cat([batch[i] for batch in epoch]) for epoch in passes] for i in (0, 1)
    )
    labels = torch.cat([y for _, y in expected[1][0]])
    places = [labels.argsort()[order.clamp(0, len(x) - 1)] for order in orders]
    return [
        [plain, left_alone],
        [order.sort().values for order in orders],
        [got - x[place] for got, place in zip(inputs, places)],
        [orders[0] - orders[2], orders[1] - orders[3]],
        [bool((orders[0] != orders[i]).any()) for i in (1, 4)],
    ]


@probe("pad_collate")
def _(kata, rng):
    lengths = torch.randint(1, 7, (4,), generator=rng).tolist()
    whole = [torch.randint(99, (n, 2), generator=rng) for n in lengths]
    steps = [torch.randint(9, (n,), generator=rng) for n in lengths]
    return [
        kata.pad_collate(list(zip(whole, lengths)), pad_value=7),
        kata.pad_collate([(x / 2, y) for x, y in zip(whole, steps)]),
    ]


@probe("batch_report")
def _(kata, rng):
    n, width, *chosen = torch.randint(2, 20, (5,), generator=rng).tolist()
    data = [(torch.zeros(width), torch.tensor(0)) for _ in range(n)]
    return kata.batch_report(data, [*chosen, 50])
