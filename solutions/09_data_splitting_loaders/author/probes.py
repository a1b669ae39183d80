"""Questions that the specs of 09 cannot ask from another process."""

import torch

from grader.lock.probes import probe, there


@probe("make_loaders")
def _(kata, rng):
    splits = [
        torch.randint(999, (size,), generator=rng).tolist() for size in (23, 11, 7)
    ]
    seed, batch_size = torch.randint(2, 6, (2,), generator=rng).tolist()
    generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
    loaders, again = (
        kata.make_loaders(*splits, batch_size, generator=generator)
        for generator in generators
    )
    first, second = [torch.cat(list(loaders["train"])).tolist() for _ in range(2)]
    return [
        list(loaders["val"]),
        list(loaders["test"]),
        [len(batch) for batch in loaders["train"]],
        [sorted(first), sorted(second), first == second, splits[0] == first],
        first == torch.cat(list(again["train"])).tolist(),
    ]


def parts(kata, start, end, workers):
    """What each worker reads of a stream, and what is read outside of workers."""
    from types import SimpleNamespace
    from unittest import mock

    import torch.utils.data._utils.worker as place

    stream, seen = kata.ShardedRange(start, end), []
    for worker in range(workers):
        info = SimpleNamespace(
            id=worker, num_workers=workers, seed=worker, dataset=stream
        )
        with mock.patch.object(place, "_worker_info", info):
            seen.append(list(stream))
    return seen, list(stream)


@probe("ShardedRange")
def _(kata, rng):
    start, share, workers = torch.randint(2, 7, (3,), generator=rng).tolist()
    seen, whole = there(kata, parts, start, start + share * workers, workers)
    return [
        sorted(sum(seen, [])),
        sorted(map(len, seen)),
        all(part == sorted(part) for part in seen),
        whole,
    ]
