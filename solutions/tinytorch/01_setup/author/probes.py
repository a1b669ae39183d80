"""Questions that the specs of tinytorch/01 ask only about inputs that are known."""

import numpy as np
import torch

from grader.lock.probes import probe

UNIT = 200_000  # bytes: far more than a measurement is off by


def drawn(rng, low, high, count):
    return torch.randint(low, high, (count,), generator=rng).tolist()


@probe("in_virtualenv")
def _(kata, rng):
    return [
        kata.in_virtualenv(f"/opt/{own}", f"/opt/{base}")
        for own, base in zip(drawn(rng, 0, 2, 24), [0, 1] * 12)
    ]


@probe("check_environment")
def _(kata, rng):
    names = [f"package{number}" for number in drawn(rng, 0, 10**6, 12)]
    versions, minima = (
        [f"1.{minor}" for minor in drawn(rng, 8, 12, 12)] for _ in range(2)
    )
    found = kata.check_environment(
        dict(zip(names, minima)), installed=dict(zip(names[::-2], versions))
    )
    return [found[key] for key in ("versions", "missing", "outdated", "ok")]


@probe("manual_seed")
def _(kata, rng):
    [seed] = drawn(rng, 0, 10**6, 1)
    return [kata.manual_seed(seed).random(3), kata.get_rng().random(3)]


@probe("get_rng")
def _(kata, rng):
    own, other = drawn(rng, 0, 10**6, 2)
    kata.manual_seed(other)
    return [
        kata.get_rng(np.random.default_rng(own)).random(3),
        kata.get_rng().random(3),
        kata.get_rng(None).random(3),
    ]


def allocate(kept, dropped):
    """Allocate two arrays of so many bytes, and return the first."""
    array, _ = np.zeros(kept, dtype=np.int8), np.zeros(dropped, dtype=np.int8)
    return array


@probe("profile_memory")
def _(kata, rng):
    kept, dropped = drawn(rng, 2, 30, 2)
    found = kata.profile_memory(allocate, kept * UNIT, dropped=dropped * UNIT)
    return [
        found.result.shape,
        round(found.peak_bytes / UNIT),
        round(found.retained_bytes / UNIT),
    ]


@probe("time_call")
def _(kata, rng):
    seconds, now = (
        (torch.rand(6, generator=rng, dtype=torch.float64) + 0.1).tolist(),
        [1000.0],
    )
    left = iter([0.01, 0.02, *seconds])  # two calls to warm up

    def fn(factor):
        now[0] += factor * next(left)

    return [
        kata.time_call(fn, 3, repeats=6, warmup=2, timer=lambda: now[0]),
        list(left),
    ]


def kept_and_dropped(n):
    """Prepare a call which allocates n units, and keeps one in ten."""
    return lambda: np.zeros(n * 200_000, dtype=np.int8)[: n * 20_000].copy()


@probe("measure_scaling")
def _(kata, rng):
    sizes, seen = (10 + torch.randperm(40, generator=rng)[:3]).tolist(), []
    for kind, unit in (("peak_bytes", UNIT), ("retained_bytes", UNIT // 10)):
        found = kata.measure_scaling(kept_and_dropped, sizes, kind=kind)
        slope = np.polyfit(np.log(sizes), np.log(found["values"]), 1)[0]
        seen.append(
            [
                found["sizes"],
                [int(value / unit) for value in found["values"]],
                found["exponent"] / slope,
            ]
        )
    return seen


@probe("run_tests")
def _(kata, rng):
    def outcome(number):
        def test():
            if number % 2:
                raise (ValueError, KeyError, AssertionError)[number % 3](
                    f"case {number}"
                )

        return test

    numbers = torch.randperm(900, generator=rng)[:9].tolist()
    return list(
        kata.run_tests({f"test_{number}": outcome(number) for number in numbers})
    )
