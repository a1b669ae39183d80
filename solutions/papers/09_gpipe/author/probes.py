"""Questions that the specs of papers/09 cannot ask from another process."""

import torch

from grader.lock.probes import judge, probe


@probe("partition")
def _(kata, rng):
    found = []
    for stages in (1, 2, 3, 5):
        costs = (1 + 9 * torch.rand(8, generator=rng, dtype=torch.float64)).tolist()
        ranges = kata.partition(list(costs), stages)
        slowest = max(sum(costs[i] for i in part) for part in ranges)
        found.append(
            (
                len(ranges),
                [i for part in ranges for i in part],
                slowest,
                min(map(len, ranges)),
            )
        )
    return found


@judge("partition")
def _(values, expected):
    """There may be several with the same slowest stage."""
    return [[*found, least > 0] for *found, least in values]


@probe("bubble_fraction")
def _(kata, rng):
    sizes = torch.randint(1, 40, (8, 2), generator=rng).tolist()
    return [kata.bubble_fraction(stages, micro) for stages, micro in sizes]
