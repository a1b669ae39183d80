"""Kata tinytorch/02 in code: strides, views and copies, dtypes, announcements, and what
they cost.
"""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, pytorch_source, save_figure, stretch
from tinytorch.setup import measure_scaling, profile_memory

kata = code(__file__)
Tensor = kata.Tensor

# 1. A 3 × 4 tensor of float32, and other descriptions of the same memory. NumPy's
#    strides are in bytes: 16 to the next row of four numbers, 4 to the next number. A
#    write to the tensor is seen in each view, and in no copy.
KEYS: dict[str, Callable[[Tensor], Tensor]] = {
    "t": lambda t: t,
    "t[1:]": lambda t: t[1:],
    "t[:, 2]": lambda t: t[:, 2],
    "t[None]": lambda t: t[None],
    "t.T": lambda t: t.T,
    "t.reshape(2, 6)": lambda t: t.reshape(2, 6),
    "t[[2, 0]]": lambda t: t[[2, 0]],
    "t[t > 5] by a mask": lambda t: t[t.data > 5],
    "t.T.reshape(12)": lambda t: t.T.reshape(12),
}
t = Tensor(np.arange(12, dtype=np.float32).reshape(3, 4))
heading("1. One block of memory, described anew")
print(f"   {'':<20} {'shape':<10} {'strides':<12} bytes  memory of t")
for name, operation in KEYS.items():
    result = operation(t)
    shares = "shared" if np.shares_memory(result.data, t.data) else "a copy"
    print(
        f"   {name:<20} {result.shape!s:<10} {result.data.strides!s:<12} "
        f"{result.nbytes:>5}  {shares}"
    )

# 2. Strides by arithmetic, in elements, and the place of one element.
heading("2. Where t[1, 2] is in memory")
for order in ("C", "F"):
    strides = stretch(kata.strides_for, (3, 4), order)
    place = stretch(kata.flat_index, (1, 2), (3, 4), order)
    if strides and place is not None:
        print(f'   order "{order}": strides {strides}, element {place}')

# 3. Dtypes. A Python number follows the tensor; an array does not.
heading("3. Which dtype comes out")
single, double, whole = Tensor([1.0, 2.0]), Tensor(np.ones(2)), Tensor([1, 2])
PAIRS = {
    "float32 + 2.5": single + 2.5,
    "2 - float32": 2 - single,
    "float32 + float64": single + double,
    "int64 + 2.5": whole + 2.5,
    "int64 / 2": whole / 2,
    "int64 + float32": whole + single,
}
for name, result in PAIRS.items():
    print(f"   {name:<18} {result.dtype!s:<8} {result.tolist()}")

# 4. What operations announce. Module 05 will write it down and walk back along it.
heading("4. Listening to ((2 - x) * w).mean()")
x, w = Tensor([[1.0, 2.0], [3.0, 4.0]]), Tensor([10.0, 20.0])


def announce(out: Tensor, op: str, inputs: tuple[Tensor, ...], saved: dict) -> None:
    print(
        f"   {op:<5} of shapes {[i.shape for i in inputs]} gives {out.shape}, saves "
        f"{saved}"
    )


def listen(operation: Callable[[], Tensor]) -> Tensor:
    # here, after `code` has loaded the framework
    from tinytorch.recorder import set_recorder

    previous = set_recorder(announce)
    try:
        return operation()
    finally:
        set_recorder(previous)


result = listen(lambda: ((2 - x) * w).mean())
print(f"   result {result.item()}, 0-d; nobody computed a gradient yet")

# 5. The bytes that each operation allocates: predicted, and measured after
#    the operation.
heading("5. New bytes for a (256, 512) tensor of float32")
big = Tensor(np.ones((256, 512), dtype=np.float32))
OPERATIONS: dict[str, Callable[[], object]] = {
    "add": lambda: big + big,
    "slice": lambda: big[1:],
    "transpose": lambda: big.T,
    "reshape": lambda: big.reshape(-1),
    "insert_axis": lambda: big[None],
    "integer_index": lambda: big[np.arange(256)[::-1]],
    "reshape_of_transpose": lambda: big.T.reshape(-1),
    "copy": lambda: big.data.copy(),
}
known = stretch(kata.predict_copy_bytes, big.shape, 4, "copy") is not None
print(f"   {'operation':<22} predicted   measured   (the tensor has {big.nbytes:,})")
for name, call in OPERATIONS.items():
    predicted = f"{kata.predict_copy_bytes(big.shape, 4, name):,}" if known else "?"
    print(f"   {name:<22} {predicted:>9} {profile_memory(call).retained_bytes:>10,}")

# 6. The same additions in Python and in C.
heading("6. A loop in Python and a loop in C")
for n in (1_000, 20_000, 200_000):
    report = stretch(kata.vectorization_report, n)
    if report:
        loop, fast = report["loop_seconds"] * 1e6, report["numpy_seconds"] * 1e6
        print(
            f"   n = {n:<8,} loop {loop:9.1f} µs   NumPy {fast:7.1f} µs   "
            f"{report['speedup']:6.0f} times as fast"
        )

# 7. PyTorch: the same table of views, its promotion rules, and how it writes `2 - t`.
heading("7. PyTorch does it so")
try:
    import torch
except ImportError:
    print("   (PyTorch is not installed here)")
else:
    theirs = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    print("   strides are in elements, and every view of step 1 is a view here, too:")
    for name, view in {
        "t[1:]": theirs[1:],
        "t.T": theirs.T,
        "t[[2, 0]]": theirs[[2, 0]],
    }.items():
        shares = (
            view.untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr()
        )
        print(
            f"   {name:<20} {tuple(view.shape)!s:<10} {view.stride()!s:<12}        "
            f"{'shared' if shares else 'a copy'}"
        )
    promoted = (torch.tensor([1, 2]) + torch.ones(2)).dtype
    print(
        f"   int64 + float32 is {promoted}, NumPy's is {PAIRS['int64 + float32'].dtype}"
    )
    pytorch_source("torch._tensor", "Tensor.__rsub__")


# 8. The figure: what `a + a` allocates, predicted as 4 bytes per element and measured
#    by module 01.
def transposing(n: int) -> Callable[[], Tensor]:
    a = Tensor(np.ones((n, 1), dtype=np.float32))
    return lambda: a.T


def draw() -> Figure:
    sizes = [250 * 2**k for k in range(9)]
    added = stretch(kata.add_scaling, sizes)
    viewed = measure_scaling(transposing, sizes)
    figure = Figure(figsize=(6.6, 4.2))
    axes = figure.subplots()
    axes.loglog(
        sizes, [4 * n for n in sizes], color=COLOURS[6], linewidth=1, linestyle="--"
    )
    axes.annotate(
        "predicted: 4 n",
        (sizes[4], 4 * sizes[4]),
        (-12, 16),
        textcoords="offset points",
        ha="right",
    )
    if added:
        axes.loglog(sizes, added["values"], "o", color=COLOURS[0])
        label = f"a + a, measured\nslope {added['exponent']:.2f}"
        axes.annotate(
            label,
            (sizes[6], added["values"][6]),
            (14, -22),
            textcoords="offset points",
            color=COLOURS[0],
        )
    axes.loglog(sizes, viewed["values"], "s", color=COLOURS[1])
    axes.annotate(
        "a.T, measured",
        (sizes[6], viewed["values"][6]),
        (0, 10),
        textcoords="offset points",
        color=COLOURS[1],
    )
    axes.set(title="A sum allocates its result, a view only its description")
    axes.set(xlabel="n, elements of a (float32)", ylabel="peak memory of the operation")
    ticks = [10**3, 10**4, 10**5]
    axes.set_yticks(ticks, labels=["1 kB", "10 kB", "100 kB"])
    axes.set_xticks([10**3, 10**4], labels=["1,000", "10,000"])
    return figure


save_figure(draw(), __file__)
