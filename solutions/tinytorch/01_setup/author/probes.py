"""Questions on versions, random numbers, measurements and tests."""

import numpy as np

from grader.lock.probes import UNIT, growth, integers, judge, normal, probe


@probe("in_virtualenv")
def _(kata, rng):
    return [
        kata.in_virtualenv(f"/opt/{own}", f"/opt/{base}")
        for own, base in zip(integers(rng, 24, 0, 2), [0, 1] * 12)
    ]


@probe("parse_version")
def _(kata, rng):
    a, b, c = integers(rng, 3, 1, 100)
    versions = f"{a}.{b}.0+cpu{c}", f"{a}.0.{b}rc{c}", f"{a}.{b}.{c}.dev7", f"{a}.0.0"
    return [kata.parse_version(version) for version in versions]


@probe("check_environment")
def _(kata, rng):
    names = [f"package{number}" for number in integers(rng, 12, 0, 10**6)]
    minima = [f"1.{minor}" for minor in integers(rng, 12, 8, 12)]
    versions = [f"1.{minor}" for minor in integers(rng, 12, 8, 12)]
    oldest = [[(2, 99), (4, 0)][number] for number in integers(rng, 12, 0, 2)]
    found = kata.check_environment(
        dict(zip(names, minima)), installed=dict(zip(names[::-2], versions))
    )
    return [
        [found[key] for key in ("versions", "missing", "outdated", "ok")],
        [kata.check_environment({}, min_python=one)["python_ok"] for one in oldest],
        kata.check_environment(dict.fromkeys(names))["missing"],
    ]


@probe("manual_seed")
def _(kata, rng):
    [seed] = integers(rng, 1, 0, 10**6)
    return [kata.manual_seed(seed).random(3), kata.get_rng().random(3)]


@probe("get_rng")
def _(kata, rng):
    own, other = integers(rng, 2, 0, 10**6)
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
    kept, dropped = integers(rng, 2, 2, 30)
    found = kata.profile_memory(allocate, kept * UNIT, dropped=dropped * UNIT)
    return [
        found.result.shape,
        round(found.peak_bytes / UNIT),
        round(found.retained_bytes / UNIT),
    ]


@probe("time_call")
def _(kata, rng):
    seconds, now = [0.1 + abs(float(one)) for one in normal(rng, 6)], [1000.0]
    left = iter([0.01, 0.02, *seconds])  # two calls to warm up

    def fn(factor):
        now[0] += factor * next(left)

    found = kata.time_call(fn, 3, repeats=6, warmup=2, timer=lambda: now[0])
    return [found, list(left)]


@probe("scaling_exponent")
def _(kata, rng):
    sizes = [3, *integers(rng, 5, 4, 90)]
    return kata.scaling_exponent(sizes, [abs(float(one)) for one in normal(rng, 6)])


@probe("measure_scaling")
def _(kata, rng):
    sizes = [4, *integers(rng, 2, 5, 15)]

    def build(n):
        """Prepare a call which allocates ten times n units, and keeps n."""
        prepared = np.zeros(20 * n * UNIT, dtype=np.int8)
        return lambda: (prepared[: 10 * n * UNIT] + 1)[: n * UNIT].copy()

    kinds = "peak_bytes", "retained_bytes"
    return [kata.measure_scaling(build, sizes, kind=kind) for kind in kinds]


@judge("measure_scaling")
def _(values, expected):
    return [growth(found, right["sizes"]) for found, right in zip(values, expected)]


@probe("run_tests")
def _(kata, rng):
    def outcome(number):
        def test():
            if number % 2:
                kind = (ValueError, KeyError, AssertionError)[number % 3]
                raise kind(f"case {number}")

        return test

    numbers = integers(rng, 9, 0, 900)
    tests = {f"test_{number}": outcome(number) for number in numbers}
    others = {f"test_of_{number}": number for number in numbers}
    return list(kata.run_tests({**tests, **others, "helper": outcome(1)}))
