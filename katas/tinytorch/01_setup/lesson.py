"""TinyTorch 01 in code: the environment, one generator, the memory and the time of a
call, and how both grow.
"""

import math

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch

kata = code(__file__)

# 1. What Python is this, and are the packages there? Nothing is imported to find out.
#    (A stretch exercise.)
heading("1. The environment")
report = stretch(
    kata.check_environment, {"numpy": "1.26", "torch": "2.0", "no-such-package": None}
)
for key, value in (report or {}).items():
    print(f"   {key:<14} {value}")

# 2. One generator for the whole framework. Its draws continue, until a seed starts
#    it anew.
heading("2. Random numbers")
kata.manual_seed(7)
print(
    "   seed 7:    ",
    kata.get_rng().integers(0, 100, 5),
    kata.get_rng().integers(0, 100, 5),
)
kata.manual_seed(7)
print(
    "   once more: ",
    kata.get_rng().integers(0, 100, 5),
    kata.get_rng().integers(0, 100, 5),
)

# 3. Memory. An array takes (number of elements) × (bytes per element); the rest is
#    bookkeeping of Python. A sum of products makes a temporary array: it is in the
#    peak, and it is not retained.
million = 10**6


def sum_of_squares(x):
    return (x * x).sum()


heading("3. Memory of one million numbers, in bytes")
print("                                     predicted        peak    retained")
for dtype in (np.float32, np.float64):
    profile = kata.profile_memory(np.ones, million, dtype=dtype)
    predicted = million * np.dtype(dtype).itemsize
    name = f"np.ones(10**6), {np.dtype(dtype).name}"
    print(
        f"   {name:<30}{predicted:>12,}{profile.peak_bytes:>12,}"
        f"{profile.retained_bytes:>12,}"
    )
profile = kata.profile_memory(sum_of_squares, np.ones(million))
print(
    "   (x * x).sum(), float64        "
    f"{8 * million:>12,}{profile.peak_bytes:>12,}{profile.retained_bytes:>12,}"
)

# 4. Time. The same call takes a different time on each run. What disturbs it only ever
#    adds, so the smallest timing is the one to compare. sum looks at every element: ten
#    times the list, ten times the time.
heading("4. Time of sum(list), in microseconds")
for length in (1_000, 10_000, 100_000):
    numbers = list(range(length))
    once = [kata.time_call(sum, numbers, repeats=1, warmup=0) * 1e6 for _ in range(20)]
    best = kata.time_call(sum, numbers, repeats=20) * 1e6
    print(
        f"   {length:>7} numbers: 20 single timings from {min(once):.1f} to "
        f"{max(once):.1f}, smallest of 20: {best:.1f}"
    )

# 5. Growth. 20 · n numbers, a table of n × n, a cube of n × n × n: twice the n, and
#    there are two, four and eight times the bytes. The factor 20 does not change the
#    exponent, which is the slope of the line in the figure.
sizes = [20, 40, 80, 160]
shapes = {"20 n": lambda n: (20, n), "n²": lambda n: (n, n), "n³": lambda n: (n, n, n)}


def builder(shape):
    """A `build` for measure_scaling: from n to a function without arguments."""
    return lambda n: lambda: np.ones(shape(n))


heading("5. Growth of the peak memory of np.ones")
measured = {
    name: kata.measure_scaling(builder(shape), sizes) for name, shape in shapes.items()
}
for exponent, (name, shape) in enumerate(shapes.items(), start=1):
    found = measured[name]
    print(
        f"   {name:<4}  predicted {[8 * math.prod(shape(n)) for n in sizes]}, "
        f"exponent {exponent}"
    )
    print(f"         measured  {found['values']}, exponent {found['exponent']:.2f}")
print(
    "   Some hundred bytes of bookkeeping weigh most where the array is small, so the "
    "first two are a little low."
)

seconds = kata.measure_scaling(
    lambda n: lambda: sum(range(n)), [10_000, 20_000, 40_000, 80_000], kind="seconds"
)
print(
    "   seconds of sum(range(n)): predicted exponent 1, measured "
    f"{seconds['exponent']:.2f}"
)

# 6. A test runner is a loop over names. (A stretch exercise.)


def test_addition():
    assert 1 + 1 == 2


def test_of_floats():
    assert 0.1 + 0.2 == 0.3, f"0.1 + 0.2 is {0.1 + 0.2}"


heading("6. The runner on two tests of this file")
result = stretch(kata.run_tests, globals())
if result:
    print(
        f"   passed {result.passed}\n   failed {result.failed}\n   ok     {result.ok}"
    )

# 7. What stands for these tools in PyTorch. Nothing of it is needed here.
heading("7. PyTorch does it so")
print("   kata.manual_seed(0)          torch.manual_seed(0)")
print("   kata.get_rng()               torch.default_generator, a torch.Generator")
print(
    "   kata.time_call(fn)           torch.utils.benchmark.Timer, which reports the "
    "median"
)
print("   kata.profile_memory(fn)      torch.cuda.max_memory_allocated, for the GPU")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    same = torch.manual_seed(0) is torch.default_generator
    print(
        f"   torch.manual_seed(0) is torch.default_generator: {same}. It seeds anew, "
        "kata.manual_seed makes a new one."
    )
    pytorch_source("torch.random", "_manual_seed_impl", start="return", lines=1)


# 8. The figure: in logarithms a power law is a straight line, and its slope is
#    the exponent.
def draw() -> Figure:
    figure = Figure(figsize=(6.6, 4.2))
    axes = figure.subplots()
    for (name, found), colour in zip(measured.items(), COLOURS, strict=False):
        axes.loglog(found["sizes"], found["values"], "o-", color=colour, base=2)
        slope = f"{name}: slope {found['exponent']:.2f}"
        axes.annotate(
            slope,
            (sizes[-1], found["values"][-1]),
            (8, -4),
            textcoords="offset points",
            color=colour,
        )
    axes.set(
        title="A power of n is a straight line, its exponent the slope", xlim=(17, 340)
    )
    axes.set_xlabel("n")
    axes.set_ylabel("peak memory")
    axes.set_xticks(sizes, labels=map(str, sizes))
    ticks = [10**4, 10**6, 10**8]
    axes.set_yscale("log", base=10)
    axes.set_yticks(ticks, labels=["10 kB", "1 MB", "100 MB"])
    return figure


save_figure(draw(), __file__)
