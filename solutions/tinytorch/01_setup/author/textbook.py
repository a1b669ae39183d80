"""Setup: name the environment, draw random numbers, measure memory and time,
run checks.
"""

import importlib.metadata
import re
import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


def in_virtualenv(prefix: str | None = None, base_prefix: str | None = None) -> bool:
    """Tell if Python runs in a virtual environment."""
    if prefix is None:
        prefix = sys.prefix
    if base_prefix is None:
        base_prefix = sys.base_prefix
    return prefix != base_prefix


def parse_version(version: str) -> tuple[int, ...]:
    """The numbers at the start of a version."""
    release = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in release[0].split(".")]
    while numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def check_environment(
    requirements: Mapping[str, str | None],
    *,
    min_python: tuple[int, ...] = (3, 10),
    installed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """List what is missing or too old."""
    versions, missing, outdated = {}, [], []
    for name, minimum in requirements.items():
        versions[name] = (
            find_version(name) if installed is None else installed.get(name)
        )
        if versions[name] is None:
            missing.append(name)
        elif minimum is not None and parse_version(versions[name]) < parse_version(
            minimum
        ):
            outdated.append(name)
    python_ok = sys.version_info >= min_python
    return {
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "python_ok": python_ok,
        "in_virtualenv": in_virtualenv(),
        "versions": versions,
        "missing": missing,
        "outdated": outdated,
        "ok": python_ok and not missing and not outdated,
    }


def find_version(name):
    """The installed version, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


global_rng = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Start the framework's generator anew."""
    global global_rng
    global_rng = np.random.default_rng(seed)
    return global_rng


def get_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """The given generator, or the framework's."""
    if rng is None:
        return global_rng
    return rng


class MemoryProfile(NamedTuple):
    """The result of a call, and the bytes that it allocated."""

    result: Any
    peak_bytes: int
    retained_bytes: int


def profile_memory(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> MemoryProfile:
    """Measure the memory of a call."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    result = fn(*args, **kwargs)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return MemoryProfile(result, peak - before, after - before)


def time_call(
    fn: Callable[..., Any],
    *args: Any,
    repeats: int = 5,
    warmup: int = 1,
    timer: Callable[[], float] = time.perf_counter,
) -> float:
    """The smallest of several timings."""
    for _ in range(warmup):
        fn(*args)
    times = []
    for _ in range(repeats):
        start = timer()
        fn(*args)
        times.append(timer() - start)
    return min(times)


def scaling_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The slope of a line through the logarithms."""
    slope, _ = np.polyfit(np.log(sizes), np.log(values), 1)
    return float(slope)


def measure_scaling(
    build: Callable[[int], Callable[[], Any]],
    sizes: Sequence[int],
    *,
    kind: str = "peak_bytes",
) -> dict[str, Any]:
    """Measure how memory or time grows with the size."""
    values = []
    for n in sizes:
        fn = build(n)
        if kind == "seconds":
            values.append(time_call(fn))
        else:
            values.append(getattr(profile_memory(fn), kind))
    return {
        "sizes": list(sizes),
        "values": values,
        "exponent": scaling_exponent(sizes, values),
    }


class TestReport(NamedTuple):
    """The names of the passed tests, and the failed ones with their messages."""

    passed: list[str]
    failed: dict[str, str]
    ok: bool


TestReport.__test__ = False  # pytest collects classes whose names start with Test


def run_tests(namespace: Mapping[str, object]) -> TestReport:
    """Run every test in the namespace."""
    passed, failed = [], {}
    for name, test in namespace.items():
        if name.startswith("test_") and callable(test):
            try:
                test()
                passed.append(name)
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"
    return TestReport(passed, failed, ok=not failed)
