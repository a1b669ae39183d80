"""Questions that the specs of 09 cannot ask from another process."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.utils.data._utils.worker

from grader.lock.probes import probe


@probe("make_loaders")
def _(kata, rng):
    splits = [torch.randint(999, (size,), generator=rng).tolist() for size in (23, 11, 7)]
    seed, batch_size = torch.randint(2, 6, (2,), generator=rng).tolist()
    generators = [torch.Generator().manual_seed(seed) for _ in range(2)]
    loaders, again = (kata.make_loaders(*splits, batch_size, generator=generator) for generator in generators)
    first, second = [torch.cat(list(loaders["train"])).tolist() for _ in range(2)]
    return [
        list(loaders["val"]),
        list(loaders["test"]),
        [len(batch) for batch in loaders["train"]],
        [sorted(first), sorted(second), first == second, splits[0] == first],
        first == torch.cat(list(again["train"])).tolist(),
    ]


@probe("ShardedRange")
def _(kata, rng):
    start, length = torch.randint(5, 20, (2,), generator=rng).tolist()
    stream, seen = kata.ShardedRange(start, start + length), []
    for worker in range(3):
        info = SimpleNamespace(id=worker, num_workers=3, seed=worker, dataset=stream)
        with mock.patch.object(torch.utils.data._utils.worker, "_worker_info", info):
            seen.append(list(stream))
    return [sorted(sum(seen, [])), all(part == sorted(part) for part in seen), list(stream)]
