# Different: retained memory from two snapshots, the running minimum of all timings, the
# slope as covariance over variance, and a table of kinds.


def profile_memory(fn, *args, **kwargs):
    already = tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        earlier = tracemalloc.take_snapshot()
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        result = fn(*args, **kwargs)
        peak = tracemalloc.get_traced_memory()[1] - start
        grown = sum(
            line.size_diff
            for line in tracemalloc.take_snapshot().compare_to(earlier, "filename")
        )
    finally:
        if not already:
            tracemalloc.stop()
    return MemoryProfile(
        result=result, peak_bytes=max(0, peak), retained_bytes=max(0, grown)
    )


def time_call(fn, *args, repeats=5, warmup=1, timer=time.perf_counter):
    assert repeats >= 1, "repeats: at least one"
    best = float("inf")
    for number in range(warmup + repeats):
        before = timer()
        fn(*args)
        seconds = timer() - before
        if number >= warmup:
            best = min(best, seconds)
    return best


def scaling_exponent(sizes, values):
    if len(sizes) != len(values):
        raise ValueError("one value per size")
    if any(value <= 0 for value in values):
        raise ValueError("no logarithm")
    x, y = np.log10(sizes), np.log10(values)
    (variance, covariance), _ = np.cov(x, y)
    if not variance > 0:
        raise ZeroDivisionError("all sizes are the same")
    return covariance / variance


def measure_scaling(build, sizes, *, kind="peak_bytes"):
    def measure(n):
        fn = build(n)
        match kind:
            case "seconds":
                return time_call(fn)
            case "peak_bytes":
                return profile_memory(fn)[1]
            case "retained_bytes":
                return profile_memory(fn)[2]
        raise KeyError(kind)

    values = list(map(measure, sizes))
    return dict(
        sizes=[*sizes], values=values, exponent=scaling_exponent(list(sizes), values)
    )
