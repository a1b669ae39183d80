"""What the specs of 09 cannot ask from another process."""

from types import SimpleNamespace
from unittest import mock

import torch
import torch.utils.data._utils.worker

from grader.loading import probe


@probe("ShardedRange")
def _(kata, rng):
    start, length = torch.randint(5, 20, (2,), generator=rng).tolist()
    stream, seen = kata.ShardedRange(start, start + length), []
    for worker in range(3):
        info = SimpleNamespace(id=worker, num_workers=3, seed=worker, dataset=stream)
        with mock.patch.object(torch.utils.data._utils.worker, "_worker_info", info):
            seen.append(list(stream))
    return [sorted(sum(seen, [])), all(part == sorted(part) for part in seen), list(stream)]
