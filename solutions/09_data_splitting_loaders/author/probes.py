"""Questions that the specs of 09 cannot ask from another process."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.utils.data._utils.worker as worker_module

from grader.lock.probes import judge, probe


@probe("make_loaders")
def _(kata, rng):
    splits = [
        torch.randint(999, (size,), generator=rng).tolist() for size in (23, 11, 7)
    ]
    seed, batch_size = torch.randint(2, 6, (2,), generator=rng).tolist()
    drawn = []
    for start in (seed, seed, seed + 1):
        generator = torch.Generator().manual_seed(start)
        loaders = kata.make_loaders(*splits, batch_size, generator=generator)
        drawn.append([torch.cat(list(loaders["train"])) for _ in range(2)])
    lengths = [len(batch) for batch in loaders["train"]]
    rest = [list(loaders["val"]), list(loaders["test"])]
    return [torch.tensor(splits[0]), rest, lengths, drawn]


@judge("make_loaders")
def _(values, expected):
    train, (_, rest, lengths, drawn) = expected[0], values
    [[first, second], again, other] = drawn
    return [
        [rest, lengths],
        [epoch.sort().values for epochs in drawn for epoch in epochs],
        torch.stack([first, second]) - torch.stack(again),
        [bool((first != x).any()) for x in (train, second, other[0])],
    ]


def parts(kata, start, end, workers):
    """What each worker reads of a stream, and what is read outside of workers."""
    stream, seen = kata.ShardedRange(start, end), []
    for worker in range(workers):
        info = SimpleNamespace(
            id=worker, num_workers=workers, seed=worker, dataset=stream
        )
        with mock.patch.object(worker_module, "_worker_info", info):
            seen.append(list(stream))
    return seen, list(stream)


@probe("ShardedRange")
def _(kata, rng):
    start, share, workers = torch.randint(2, 7, (3,), generator=rng).tolist()
    seen, whole = parts(kata, start, start + share * workers, workers)
    return [
        sorted(sum(seen, [])),
        sorted(map(len, seen)),
        whole,
    ]
