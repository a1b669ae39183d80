"""Setup: name the environment, draw random numbers, measure memory and time,
run checks.
"""

import sys
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


def in_virtualenv(prefix: str | None = None, base_prefix: str | None = None) -> bool:
    """Say whether Python runs in a virtual environment: whether the two folders differ.

    Args:
        prefix: the folder that packages are installed in. None means `sys.prefix`.
        base_prefix: the folder of the Python that the environment was made from. None
            means `sys.base_prefix`.
    Returns:
        in_virtualenv("/home/me/.venv", "/usr") is True, in_virtualenv("/usr", "/usr")
        is False.
    """
    raise NotImplementedError


def parse_version(version: str) -> tuple[int, ...]:
    """Read the release, the numbers and dots at the start of a version, as a tuple that
    compares like a version.

    Args:
        version: such as "2.13.0+cpu". What comes behind the release is left out, even
            if it contains digits.
    Returns:
        The numbers without zeros at the end: "2.13.0+cpu" gives (2, 13), "1.26.0rc1"
        gives (1, 26) and "2.0.1.dev7" gives (2, 0, 1).

    Edge cases ★
        "0" gives (0,). A text that does not start with a digit is an error that names
        the text.
    """
    raise NotImplementedError


def check_environment(
    requirements: Mapping[str, str | None],
    *,
    min_python: tuple[int, ...] = (3, 10),
    installed: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Report which of the required packages are missing or too old, without
    importing any.

    Args:
        requirements: from the name of a distribution, as pip knows it, to its minimum
            version, or to None for any.
        min_python: the oldest Python that will do.
        installed: from name to version, to be asked instead of `importlib.metadata`.
    Returns:
        A dict with seven keys:

        - "python": the running version, such as "3.12.4". "python_ok": whether it is at
          least min_python.
        - "in_virtualenv": bool.
        - "versions": from each required name to its version, or to None.
        - "missing" and "outdated": lists of names in the order of `requirements`. No
          name is in both.
        - "ok": whether python_ok holds and both lists are empty.

    Edge cases ★
        An empty `installed` means that nothing is installed.
    """
    raise NotImplementedError


_global_rng = np.random.default_rng()


def manual_seed(seed: int) -> np.random.Generator:
    """Make a new generator the framework's global one, and return it.

    Args:
        seed: equal seeds give generators that draw equal numbers.
    Returns:
        The new generator, made by `np.random.default_rng`. From now on `get_rng()`
        returns it.

    Edge cases ★
        NumPy's own global state, that of `np.random.rand`, is not touched.
    """
    raise NotImplementedError


def get_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """Choose the generator that a function draws from.

    Args:
        rng: the caller's own generator, or None.
    Returns:
        `rng` itself, or the framework's global generator if `rng` is None. The global
        one is the same object on every call, so that its draws continue:
        get_rng().random() twice gives two numbers.
    """
    raise NotImplementedError


class MemoryProfile(NamedTuple):
    """The result of a call, and the bytes that it allocated."""

    result: Any
    peak_bytes: int
    retained_bytes: int


def profile_memory(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> MemoryProfile:
    """Call `fn` once and measure the memory that it allocates, by `tracemalloc`.

    Args:
        fn: is called as fn(*args, **kwargs).
    Returns:
        MemoryProfile(result, peak_bytes, retained_bytes). The peak is the most that
        existed at once during the call; retained is what still exists afterwards, while
        the result is alive. Both count from the start of the call.
        For `lambda: np.zeros(1000).sum()` the peak is a little above 8000, and almost
        nothing is retained.

    Edge cases ★
        Both numbers are at least 0. Where tracing is on already, what was allocated
        before counts for nothing, and tracing stays on. Where it was off, it is off
        again afterwards, also if `fn` raises. The exception passes through.
    """
    raise NotImplementedError


def time_call(
    fn: Callable[..., Any],
    *args: Any,
    repeats: int = 5,
    warmup: int = 1,
    timer: Callable[[], float] = time.perf_counter,
) -> float:
    """Time a call several times and keep the smallest timing, the one that was
    disturbed least.

    Args:
        fn: is called as fn(*args), first `warmup` times untimed, then `repeats` times,
            each timed by itself.
        timer: returns the time now, in seconds.
    Returns:
        Seconds per call. With repeats=3 and calls of 0.5, 0.3 and 0.4 seconds it
        is 0.3.

    Edge cases ★
        Fewer than one repeat is an error that mentions `repeats`.
    """
    raise NotImplementedError


def scaling_exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Find k in values ≈ c · sizesᵏ: the slope of the least-squares line through all
    points (log size, log value).

    Args:
        sizes: n positive numbers.
        values: n positive numbers, one per size.
    Returns:
        k as a float. Sizes [10, 20, 40] with values [3, 12, 48] give 2.0: twice the
        size, four times the value.

    Edge cases ★
        Lists of unequal length, fewer than two different sizes, and a value that is not
        positive are errors.
    """
    raise NotImplementedError


def measure_scaling(
    build: Callable[[int], Callable[[], Any]],
    sizes: Sequence[int],
    *,
    kind: str = "peak_bytes",
) -> dict[str, Any]:
    """Measure how memory or time grows with the size n of a problem.

    Args:
        build: build(n) prepares a problem and returns a function `fn` without
            arguments. Only fn() is measured.
        sizes: the values of n.
        kind: "peak_bytes" or "retained_bytes", as `profile_memory` counts them, or
            "seconds", by `time_call`.
    Returns:
        {"sizes": the sizes as a list, "values": one measurement per size, "exponent":
        their scaling exponent}

    Edge cases ★
        Any other `kind` is an error that names it.
    """
    raise NotImplementedError


class TestReport(NamedTuple):
    """The names of the passed tests, and the failed ones with their messages."""

    passed: list[str]
    failed: dict[str, str]
    ok: bool


TestReport.__test__ = False  # pytest collects classes whose names start with Test


def run_tests(namespace: Mapping[str, object]) -> TestReport:
    """Run every function whose name starts with `test_`, and go on after a failure.

    Args:
        namespace: names and what they stand for, such as `globals()`. Other names, and
            what cannot be called, are skipped.
    Returns:
        TestReport(passed, failed, ok): the names of the tests that passed, in order;
        from the name of each test that raised an exception of any kind to its text,
        such as "AssertionError: 2 is not 3"; and whether none failed.

    Edge cases ★
        A namespace without tests is ok. KeyboardInterrupt and SystemExit are not
        caught: they end the run.
    """
    raise NotImplementedError
