# Different: strides by accumulate, places by Horner's rule, sharing by the owner of the
# memory and its bounds, copies measured on a small array instead of listed, loop and
# NumPy timed by module 01.
import itertools
import operator

from tinytorch.setup import profile_memory, scaling_exponent, time_call


def strides_for(shape, order="C"):
    if order not in {"C", "F"}:
        raise ValueError(order)
    sizes = tuple(shape) if order == "F" else tuple(shape)[::-1]
    products = tuple(itertools.accumulate((1, *sizes[:-1]), operator.mul))[: len(sizes)]
    return products if order == "F" else products[::-1]


def flat_index(index, shape, order="C"):
    if len(index) != len(shape) or any(
        i not in range(-n, n) for i, n in zip(index, shape, strict=True)
    ):
        raise IndexError(index)
    pairs = list(zip(index, shape, strict=True))
    place = 0
    for i, n in pairs if order == "C" else pairs[::-1]:
        place = place * n + i % n
    return place


def is_view(t, base):
    try:
        return bool(np.shares_memory(t.data, base.data, max_work=-1))
    except np.exceptions.TooHardError:
        return True


def predict_copy_bytes(shape, itemsize, operation):
    small = np.arange(6.0).reshape(2, 3)
    results = {
        "add": small + small,
        "slice": small[1:],
        "transpose": small.T,
        "reshape": small.reshape(6),
        "insert_axis": small[np.newaxis],
        "integer_index": small[[1, 0]],
        "reshape_of_transpose": small.T.reshape(6),
        "copy": np.copy(small),
    }
    total = itemsize
    for size in shape:
        total *= size
    return total * (not np.may_share_memory(results[operation], small))


def add_scaling(sizes):
    values = []
    for n in sizes:
        a = Tensor(np.zeros(n), dtype=np.float32)
        values.append(profile_memory(lambda a=a: a + a).peak_bytes)
    return {
        "sizes": sizes,
        "values": values,
        "exponent": scaling_exponent(sizes, values),
    }


def vectorization_report(n, *, timer=time.perf_counter):
    a, b = np.random.default_rng().standard_normal((2, n), dtype=np.float32)
    left, right, s, t = list(map(float, a)), list(map(float, b)), Tensor(a), Tensor(b)
    looped = []

    def loop():
        looped.clear()
        for i in range(n):
            looped.append(left[i] + right[i])

    slow = time_call(loop, repeats=1, timer=timer)
    fast = time_call(lambda: s + t, repeats=3, timer=timer)
    difference = max(abs(x - y) for x, y in zip(looped, (s + t).tolist(), strict=True))
    return dict(
        n=n,
        loop_seconds=slow,
        numpy_seconds=fast,
        speedup=slow / fast,
        max_abs_diff=difference,
    )
