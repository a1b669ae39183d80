# Different: the normal equations solved by lstsq, timings sorted, tracing stopped by a
# context manager, tests collected before they run, and min_python compared number
# by number.
import contextlib


@contextlib.contextmanager
def _tracing():
    if tracemalloc.is_tracing():
        tracemalloc.reset_peak()
        yield
        return
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def profile_memory(fn, *args, **kwargs):
    with _tracing():
        first = tracemalloc.get_traced_memory()
        result = fn(*args, **kwargs)
        last = tracemalloc.get_traced_memory()
    retained, peak = (max(b - first[0], 0) for b in last)
    return MemoryProfile(result, peak, retained)


def time_call(fn, *args, repeats=5, warmup=1, timer=time.perf_counter):
    if not repeats > 0:
        raise ValueError("repeats")
    [fn(*args) for _ in range(warmup)]

    def once():
        started = timer()
        fn(*args)
        return timer() - started

    return sorted(once() for _ in range(repeats))[0]


def scaling_exponent(sizes, values):
    if len(set(sizes)) == 1 or min(values) <= 0:
        raise ValueError(values)
    table = np.stack([np.log2(sizes), np.ones(len(values))], axis=1)
    (slope, _), *_ = np.linalg.lstsq(table, np.log2(values), rcond=None)
    return slope


def run_tests(namespace):
    tests = [
        (name, test)
        for name, test in namespace.items()
        if name[:5] == "test_" and hasattr(test, "__call__")
    ]
    outcomes = {}
    for name, test in tests:
        outcomes[name] = None
        try:
            test()
        except Exception as e:
            outcomes[name] = ": ".join([e.__class__.__name__, str(e)])
    failed = {name: text for name, text in outcomes.items() if text is not None}
    return TestReport(
        [name for name in outcomes if name not in failed], failed, len(failed) == 0
    )
